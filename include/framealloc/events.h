// SPDX-License-Identifier: MIT
//
// What happens, as it happens: one stream of small records that all lanes write while somebody wants them.
//
// Every lane has a ring of its own; a record costs it about 30 ns, and nothing is recorded, nor is there memory for it, before the first
// fa_listen() or fa_trace_start(). fa_frame_end() hands the records of all lanes to the listeners, on the main lane, after everything else that it does: in
// the order of their times (equal times by lane number), at most 65536 a call, the rest with the next. The beginning and end of a frame are
// delivered at once: FA_EVENT_FRAME_BEGIN as the last thing that fa_frame_begin() does, FA_EVENT_FRAME_END after the other events of that
// fa_frame_end(), when the statistics are exact.
//
// A ring holds fa_config.event_capacity records. When it is full further records are dropped and counted (fa_stats.events_dropped), but
// never the end of a zone whose beginning was recorded: begins and ends of one lane nest like brackets.
//
// In a build with the CMake option FA_TRACE off all functions here answer FA_ERROR_UNSUPPORTED.
//
// What [own], [main] and [any] mean, and what a wrong thread, NULL, size or alignment is answered: base.h. A refused call changes nothing.
#pragma once

#include <framealloc/stats.h>

/// Kinds of records, with their names, and what `name`, `a`, `b` and `c` of a record say; what is not mentioned is NULL or 0.
#define FA_EVENT_LIST(X)                                                                                               \
    X(FRAME_BEGIN, "frame begin")           /* a: number */                                                            \
    X(FRAME_END, "frame end")               /* a: number, b: bytes allocated in the frame that retired last */         \
    X(JOB_BEGIN, "job begin")               /* name of the job, a: address of its function, b: depth on the lane */    \
    X(JOB_END, "job end")                   /* as its begin */                                                         \
    X(LOOP_BEGIN, "loop begin")             /* a piece of fa_parallel_for; name of the job, a: first, b: last item */  \
    X(LOOP_END, "loop end")                 /* as its begin */                                                         \
    X(WAIT_BEGIN, "wait begin")             /* fa_wait() or a join that found its jobs not done */                     \
    X(WAIT_END, "wait end")                 /* */                                                                      \
    X(PARK_BEGIN, "park begin")             /* the lane sleeps */                                                      \
    X(PARK_END, "park end")                 /* and was woken */                                                        \
    X(PHASE_BEGIN, "phase begin")           /* path of the phase */                                                    \
    X(PHASE_END, "phase end")               /* as its begin, a: ns */                                                  \
    X(STEAL, "steal")                       /* a: jobs taken, b: lane they were taken from */                          \
    X(WAKE, "wake")                         /* a: lane that was woken */                                               \
    X(LARGE_ALLOCATION, "large allocation") /* name of the memory, a: bytes */                                         \
    X(MEMORY_PRESSURE, "memory pressure")   /* a: bytes in use, b: limit */                                            \
    X(MEMORY_REFUSED, "memory refused")     /* a: requests refused since the frame before, b: limit */                 \
    X(POOL_REFILL, "pool refill")           /* a: objects, b: bytes of each */                                         \
    X(REMOTE_DRAIN, "remote drain")         /* a: objects that came home */                                            \
    X(BUDGET_WARNING, "budget warning")     /* path of the tag, a: bytes charged, b: soft limit */                     \
    X(BUDGET_EXCEEDED, "budget exceeded")   /* path of the tag, a: bytes charged, b: hard limit, c: bytes refused */   \
    X(PROMOTION, "promotion")               /* name of the destination, a: bytes, b: fa_retain.user */                 \
    X(PROMOTION_FAILED, "promotion failed") /* as above */                                                             \
    X(TAG_PUSH, "tag push")                 /* path of the tag */                                                      \
    X(TAG_POP, "tag pop")                   /* path of the tag */                                                      \
    X(STREAM_EVICT, "stream evict")         /* a: bytes, b: id */                                                      \
    X(HANDLE_COMPACT, "handle compact")     /* a: objects moved, b: bytes moved */

typedef enum fa_event_kind {
#define FA_EVENT_VALUE(name, text) FA_EVENT_##name,
    FA_EVENT_LIST(FA_EVENT_VALUE)
#undef FA_EVENT_VALUE
        FA_EVENT_KINDS
} fa_event_kind;

/// A set of kinds: FA_EVENT_BIT(FA_EVENT_STEAL) | …
#define FA_EVENT_BIT(kind) (UINT64_C(1) << (kind))
#define FA_EVENT_ALL (FA_EVENT_BIT(FA_EVENT_KINDS) - 1)

typedef struct fa_event {
    uint64_t time_ns; // CLOCK_MONOTONIC
    uint64_t frame;   // that the lane was in, or the open or last one; 0 before the first
    const char *name; // static storage or the system's, or NULL
    uint64_t a, b, c; // see the list above
    uint32_t kind;    // fa_event_kind
    uint32_t lane;    // number of the lane that it is about
} fa_event;

/// [any] The name of a kind, in static storage; "unknown" for other values, never NULL.
FA_API const char *fa_event_name(uint32_t kind);

/// Listeners that a system may have at one time.
#define FA_LISTENERS_MAX 16u

/// Receives an event, on the main lane. It may call the library as the main lane may between frames (at FA_EVENT_FRAME_BEGIN: in a frame, outside
/// jobs), add and remove listeners, itself included, and take snapshots; fa_frame_begin(), fa_frame_end(), fa_destroy() and the functions of
/// trace.h answer FA_ERROR_STATE meanwhile. What it causes itself is delivered with the next frame end. `event` is valid during the call.
typedef void fa_event_fn(const fa_event *event, void *context);

/// A listener. {0} is none.
typedef struct fa_listener {
    uint64_t bits;
} fa_listener;

/// [main] Has fn called with every event of the kinds in `mask` from now on; added inside a listener, from the next event on. Takes the
/// lanes' rings, event_capacity * 64 bytes a lane, if there are none yet; a thread that attaches later is recorded from the next frame
/// end on. Several listeners are called in no particular order.
/// FA_ERROR_INVALID: NULL, an empty mask or unknown kinds. FA_ERROR_STATE: inside a job. FA_ERROR_FULL: FA_LISTENERS_MAX are there.
/// FA_ERROR_MEMORY: the limit or the system refused; nothing changed. FA_ERROR_WRONG_THREAD, FA_ERROR_UNSUPPORTED.
FA_API FA_MUST_CHECK fa_status fa_listen(fa_system *fa, uint64_t mask, fa_event_fn *fn, void *context,
                                         fa_listener *out);

/// [main] Ends it: fn is not called again, not even with the event that is being delivered.
/// FA_ERROR_STALE: no such listener (any more). FA_ERROR_INVALID: NULL. FA_ERROR_STATE: inside a job. FA_ERROR_WRONG_THREAD, FA_ERROR_UNSUPPORTED.
FA_API fa_status fa_unlisten(fa_system *fa, fa_listener listener);

/// Memory of which a profiler is told.
typedef enum fa_profiled { FA_PROFILED_POOL, FA_PROFILED_HEAP } fa_profiled;

/// Live hooks for a profiler, called where and when it happens, on the thread of the lane, several at once. They must not call
/// the library. Members that are NULL are not called. Set at creation (fa_config.profiler).
typedef struct fa_profiler {
    void *context;
    /// Around jobs, pieces of loops, waits, sleep and phases (`kind` is their …_BEGIN); calls on one lane nest. What begin returns is handed to its end.
    uint64_t (*zone_begin)(void *context, uint32_t lane, fa_event_kind kind, const char *name);
    void (*zone_end)(void *context, uint32_t lane, fa_event_kind kind, uint64_t token);
    /// On the main lane at the end of every fa_frame_end(), with exact statistics.
    void (*frame)(void *context, uint64_t frame, const fa_stats *stats);
    /// Every object of pool and heap as it is allocated and freed; `lane` is UINT32_MAX for fa_free_any(). With one of the two all
    /// allocations take the library's slow path.
    void (*alloc)(void *context, uint32_t lane, fa_profiled kind, const void *p, size_t size);
    void (*free)(void *context, uint32_t lane, fa_profiled kind, const void *p);
} fa_profiler;

/// Receives a piece of output; false: no more, the call that writes answers FA_ERROR_IO.
typedef bool fa_write_fn(const void *data, size_t size, void *context);
