// SPDX-License-Identifier: MIT
//
// A system from creation to destruction, and the threads that belong to it.
//
// What [own], [main] and [any] mean, and what a wrong thread, NULL, size or alignment is answered: base.h. A refused call changes nothing.
#pragma once

#include <framealloc/base.h>
#include <framealloc/diagnostics.h>

/// Marks a configuration made by fa_config_default() of this version; anything else is refused.
#define FA_CONFIG_COOKIE (0xFA000000u ^ (uint32_t)FA_VERSION_NUMBER ^ ((uint32_t)sizeof(fa_config) << 8))

/// Worker count that means: one less than the CPUs this process may use, at least 1 (the main lane works too
/// while it waits).
#define FA_WORKERS_AUTO UINT32_MAX

/// Upper limits of the configuration.
#define FA_WORKERS_MAX 192u
#define FA_ATTACHED_MAX 62u
#define FA_FRAMES_IN_FLIGHT_MAX 16u
#define FA_STREAMS_MAX (1u << 20)

/// Every field is honoured or the configuration is refused. Sizes are bytes.
typedef struct fa_config {
    uint32_t cookie;           // set by fa_config_default()
    uint32_t worker_count;     // threads to start: 0 to FA_WORKERS_MAX or FA_WORKERS_AUTO (default)
    uint32_t attached_max;     // threads that may be attached at one time, 0 to FA_ATTACHED_MAX; default 16
    uint32_t frames_in_flight; // frames that may be alive together, 1 (default) to FA_FRAMES_IN_FLIGHT_MAX
    uint32_t deque_capacity;   // jobs queued per lane before a submit runs its job inline; power of two, 16 to
                               // 65536, default 4096
    uint32_t search_spin_us;   // how long a worker without work looks for some before it parks, µs, at most
                               // 1000000; default 20, counts as 0 with more lanes than CPUs
    uint64_t memory_max;       // limit on memory taken from the system, rounded down to blocks of 2 MiB; at least one
                               // block a lane or 0 = unlimited (default)
    uint64_t reserve_bytes;    // address range, multiple of 2 MiB, 64 MiB to 1 TiB, default 64 GiB; halved until the
                               // system grants it, not below 64 MiB
    uint64_t frame_bytes_max;  // most bytes that one lane may allocate in one frame, 0 = unlimited (default)
    uint64_t prefault_bytes;   // memory touched at creation, with what describes it, multiple of 2 MiB, default 0
    uint64_t pool_classes;     // size classes that the pool uses, a bit each (worker.h), default FA_CLASSES_ALL:
                               // other sizes get the next larger one that is used, at the cost of a call, and what
                               // is larger than all of them comes from spans of 64 KiB
    uint32_t retained_max;     // most promotions per frame, 0 to 16777216, default 65536
    uint32_t handles_max;      // most objects behind handles at one time, 0 to 16777214, default 1048576; each takes
                               // 56 bytes of address range, and of memory once it is used
    uint32_t groups_max;       // groups that may live at one time, 0 to 32768, default 1024
    uint32_t scratch_max;      // names of scratch pools, 0 to 4096, default 64
    uint64_t scratch_bytes;    // capacity of a scratch pool that asks for none, 16 to reserve_bytes, default 1 MiB
    uint64_t promotion_bytes_max; // most bytes promoted per frame, 0 = unlimited (default)
    uint64_t promotion_size_max;  // largest object that is promoted, bytes, 0 = any (default)
    // frees by other lanes that a boundary takes home for a lane, in packets of 61; 0 (default): all. What is left waits for the next one
    // (fa_stats.frees_kept), which takes a quarter of it at least, and everything when memory was refused: with F such frees a frame no
    // more than 4 F wait
    uint32_t drain_objects_max;
    uint32_t transfers_max; // objects on their way by fa_transfer_send(), 0 to 65535, default 1024
    bool tick_hooks;        // ticks are driven by the hooks of tick.h: FA101 when they never come; default false
    uint32_t tick_late_ms;  // FA102 when none comes for so long and jobs wait, at most 3600000; 0 (default): never
    // checked systems, see debug.h: return addresses kept per allocation site, 0 (default) and 1 the caller's, up to 16 by backtrace(), which
    // costs every pool and heap allocation some µs; sites told apart, 0 to 65535, default 4096, 200 bytes each when used; freed
    // objects of up to 32 KiB that a lane does not use again yet, 0 (default) to 65536
    uint32_t backtraces;
    uint32_t backtrace_sites;
    uint32_t quarantine;
    uint64_t stream_bytes_max; // budget of streams, at most reserve_bytes and memory_max; 0 (default): a quarter of
                               // memory_max, or 256 MiB if that is 0
    uint32_t streams_max;      // most streams at one time, 0 to FA_STREAMS_MAX, default 16384; 128 bytes of address
                               // space each, memory for those used
    uint32_t event_capacity;   // events that a lane records between two frame ends (events.h), 64 bytes each, taken
                               // when somebody listens; power of two, 64 to 1048576, default 16384
    uint32_t history_length;   // snapshots that fa_history_enable(fa, 0) keeps, 1 to 65536, default 300
    uint32_t pressure_percent; // of the memory limit in use: FA_EVENT_MEMORY_PRESSURE; to 100, default 90, 0 = never
    bool frame_counts;         // count allocations of frame memory by tag and phase (tag.h): each then takes a
                               // call; default false, and false without FA_STATISTICS; checked systems count anyway
    uint64_t large_bytes;      // above this: FA_EVENT_LARGE_ALLOCATION; at least 32768, default 1 MiB, 0 = never
    bool huge_pages;           // ask for transparent huge pages; default true
    bool pin_workers;          // pin worker i to the i-th usable CPU; default false
    bool checked;              // fill, verify and diagnose at every step; default true in builds with assertions
    fa_strict strict;          // which diagnostics stop the program; default none; FRAMEALLOC_STRICT overrides it
    fa_diagnostic_fn *report;  // the sink until fa_sink_set(); NULL (default): to stderr
    void *report_context;      // passed to `report`
    const struct fa_profiler *profiler; // live hooks (events.h), copied; NULL (default): none, and so in builds
                                        // without FA_TRACE
} fa_config;

/// [any] The default configuration. fa_create() copies what it is given.
FA_API fa_config fa_config_default(void);

/// [any] For tools and small programs: no workers, 2 attached threads, 1 MiB of frame memory a lane and frame, 256 queued jobs, 1024
/// promotions a frame, 4096 handles, 1024 streams, an address range of 1 GiB, no huge pages.
FA_API fa_config fa_config_minimal(void);

/// [any] For a process that has its machine to itself: 64 MiB touched ahead, 16384 queued jobs a lane, workers that look for work for 50 µs
/// before they park, 1048576 promotions a frame, 65536 streams, unchecked even in builds with assertions.
FA_API fa_config fa_config_high_performance(void);

/// [any] Creates a system; the calling thread becomes its main lane, which drives the tick. On success *out is the
/// system, on failure NULL and nothing is left behind.
/// FA_ERROR_CONFIG: not made by fa_config_default() of this version. FA_ERROR_INVALID: NULL argument or a field out of
/// range or contradictory (FA907 says which). FA_ERROR_MEMORY, FA_ERROR_THREAD: refused by the system.
FA_API FA_MUST_CHECK fa_status fa_create(const fa_config *config, fa_system **out);

/// [main] Runs the jobs that are still queued, stops the workers, reports what was never freed (diagnostic FA910) and
/// releases all memory of the system, every pointer into it included. No other thread may be attached (FA_ERROR_BUSY, and FA909 says which
/// lane), and it cannot be called from a job, a sink or a listener (FA_ERROR_STATE, FA909). An open frame is ended. NULL is allowed (FA_OK).
/// FA_ERROR_WRONG_THREAD. Refused, the system lives on as it was.
FA_API fa_status fa_destroy(fa_system *fa);

/// [any] The calling thread's context in this system, NULL if it has none, and for NULL. Costs a look-up in thread-local storage:
/// jobs are handed theirs.
FA_API fa_worker *fa_self(fa_system *fa);

/// [any] Makes the calling thread a lane until fa_detach(); it may then allocate, free, submit and wait.
/// An attached thread counts as a reader of shared cells: it must call fa_quiescent() now and then, or
/// fa_idle_begin() before it blocks, and it should call fa_detach() before it ends; otherwise that is done for it, and reported (FA908).
/// FA_ERROR_FULL: attached_max threads are attached. FA_ERROR_STATE: this thread is a lane already, or a sink calls.
/// FA_ERROR_INVALID: NULL. *out is NULL when it fails.
/// FA_ERROR_THREAD: the process has no thread-specific key left. It waits for the main lane if that brings home the lane's frees at this moment.
FA_API FA_MUST_CHECK fa_status fa_attach(fa_system *fa, fa_worker **out);

/// [own] Ends what fa_attach() began. Memory it allocated stays valid and is freed as ever, but for scope memory, which is freed; jobs it queued
/// are run by others. FA_ERROR_STATE from inside a job, while it holds a frame, between fa_idle_begin() and fa_idle_end(), inside a sink, or when
/// it sees a fork that was not joined. FA_ERROR_WRONG_THREAD, in every system. FA_ERROR_INVALID: NULL, or no attached thread (in a worker's job, too).
FA_API fa_status fa_detach(fa_worker *w);

/// [own] Says that this attached thread holds no pointer read from a shared cell, and lets its lane be serviced: what it
/// freed goes home, what others freed comes home, and its scope memory is freed. The main lane may call it as well; its scope memory stays.
/// FA_ERROR_STATE: inside a job or a sink, or idle. FA_ERROR_WRONG_THREAD, in every system. FA_ERROR_INVALID: NULL.
FA_API fa_status fa_quiescent(fa_worker *w);

/// [own] Around a call that may block (I/O, vsync, a host mutex): between the two an attached thread or the main lane must
/// not use its lane (checked systems refuse that: FA202), and holds nobody up. The end waits as fa_attach() does.
/// FA_ERROR_STATE: inside a job; begun already, or not begun.
/// FA_ERROR_WRONG_THREAD, in every system. FA_ERROR_INVALID: NULL.
FA_API fa_status fa_idle_begin(fa_worker *w);
FA_API fa_status fa_idle_end(fa_worker *w);

/// [any] Workers started, the main lane not counted; 0 for NULL.
FA_API uint32_t fa_worker_count(const fa_system *fa);
