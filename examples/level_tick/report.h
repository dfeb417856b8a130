// SPDX-License-Identifier: MIT
//
// What a run has to say: as text for people, as JSON for programs, as a checksum alone.
#pragma once

#include "output.h"
#include "tick.h"

/// Gathered once, after run_end().
struct report {
    const struct run *run;
    const struct options *options;
    double seconds;
    double ticks_per_second;
    double p50_ms; // length of a tick
    double p99_ms;
    double p999_ms;
    double longest_ms;
    double cpu_seconds;                // of the process, start-up included
    uint64_t resident_peak;            // bytes, 0 if unknown
    uint64_t phase_bytes[PHASE_COUNT]; // frame, pool and heap memory; per tick, but for load and render in all
};

/// Sorts run->samples.
struct report report_make(const struct options *options, struct run *run);

void report_print(const struct report *report);

/// Whether report_write_json() can write: it needs Jansson.
bool report_has_json(void);
bool report_write_json(const struct report *report, struct output *output, struct failure *failure);
