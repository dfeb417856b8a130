// SPDX-License-Identifier: MIT
//
// The way of a diagnostic: suppressed or not, to the sink, and in strict mode to the end of the program.
//
// A sink is replaced while others may be calling it, so sinks have places, and a place counts its callers:
//
//     a place is written only by the main lane, when it is not the current one and has no callers
//     a caller enters the current place, and looks again whether it still is; if not it leaves and tries the other
//
// Both sides have a full fence between their store and their look, so that a caller that stays is seen by whoever wants to write.
#pragma once

#include "concurrent/order.h"

#include <framealloc/diagnostics.h>
#include <framealloc/system.h>

#define FAI_SINKS 4u

typedef struct fai_sink {
    fa_diagnostic_fn *fn; // NULL: stderr
    void *context;
    FAI_ATOMIC(uint32_t) callers;
} fai_sink;

/// Part of fai_memory. Written by the main lane, but for the counts of callers.
typedef struct fai_diagnostics {
    FAI_ATOMIC(uint32_t) current;                       // of the sinks
    FAI_ATOMIC(uint32_t) strict;                        // fa_strict
    FAI_ATOMIC(uint32_t) verbose;                       // 1: stderr gets the long form
    FAI_ATOMIC(uint32_t) silent;                        // 1: everything is suppressed
    FAI_ATOMIC(uint64_t) suppressed[FA_SUPPRESSED_MAX]; // hashes of codes, 0: free
    fai_sink sinks[FAI_SINKS];
} fai_diagnostics;

struct fai_memory;

/// Zeroed before. The configuration is resolved.
void fai_diagnostics_init(fai_diagnostics *diagnostics, const fa_config *config);

/// Says which rule a configuration breaks (FA907). NULL: the configuration cannot be trusted, neither its sink nor its strictness.
void fai_config_report(const fa_config *config, const char *rule);

/// Lets FRAMEALLOC_STRICT overrule the configuration; an unknown value is reported (FA911) and ignored.
void fai_config_read_strict(fa_config *config);

/// [any] Whether the calling thread is inside a sink of the system: calls that would pull the ground from under who reports are refused then.
bool fai_is_reporting(const struct fai_memory *memory);
