// SPDX-License-Identifier: MIT
//
// Events: the rings that lanes record into, and who wants them. See events.h for what users see.
//
// A ring has one writer, the thread of its lane, and one reader, the main lane:
//
//     tail <= head <= tail + capacity                  head: the writer's, tail: the reader's; neither wraps
//     open zones of the writer <= tail + capacity - head, so that the end of every recorded zone has room
//
// A record about a lane that the main lane services for its owner (PROXY) goes into the main lane's own ring, with the other's number: its
// thread may be recording that it sleeps.
//
// Who may run together ("-" yes, "X" the caller must exclude):
//                    record_own   drain
//   record_own            X         -
//   drain                 -         X
#pragma once

#include "concurrent/order.h"

#include <framealloc/events.h>

/// Bits of fai_lane.watched above those of event kinds: live hooks.
#define FAI_WATCH_FORKS (UINT64_C(1) << 29) // always, in checked systems
#define FAI_WATCH_ZONES (UINT64_C(1) << 30)
#define FAI_WATCH_MEMORY (UINT64_C(1) << 31)

_Static_assert(FA_EVENT_KINDS <= 29,
               "kinds and hooks share a word of 32 bits: one load and a test that fits an instruction");
_Static_assert(sizeof(fa_event) <= 64, "an event is at most a cache line");

typedef struct fai_event_ring {
    // immutable after init
    uint32_t capacity; // a power of two
    // owner: the writer
    uint32_t open;      // recorded zones that have not ended
    uint64_t tail_seen; // a value that `tail` had
    // shared: written by the writer
    FAI_ATOMIC(uint64_t) head;
    // shared: written by the reader
    FAI_OWN_LINE FAI_ATOMIC(uint64_t) tail;
    FAI_OWN_LINE fa_event events[];
} fai_event_ring;

/// A zone that began: what its end needs to know.
typedef struct fai_zone {
    uint64_t token; // of the profiler
    uint32_t kind;  // of its begin, 0: nobody watched
    bool recorded;
    bool hooked;
} fai_zone;

typedef struct fai_listener {
    fa_event_fn *fn; // NULL: free
    void *context;
    uint64_t mask;
    uint64_t born;  // deliveries before it was added
    uint32_t nonce; // part of its name
} fai_listener;

struct fai_trace;

/// Part of fai_memory; all of it the main lane's.
typedef struct fai_events {
    fai_listener listeners[FA_LISTENERS_MAX];
    fa_profiler profiler;
    struct fai_trace *trace; // NULL: none runs
    uint64_t wanted;         // kinds that a listener or the trace wants
    uint64_t hooks;          // FAI_WATCH_… of the profiler
    uint64_t deliveries;
    uint32_t nonce;
    uint32_t rings; // lanes below this number have one
    bool delivering;
    bool pressed; // memory pressure was reported and has not gone
    uint64_t refused_seen;
} fai_events;
