// SPDX-License-Identifier: MIT
//
// Statistics. Counters are kept per lane with plain stores and merged when a frame retires; fa_stats_read() gives the
// merged values of the last boundary, exact at that moment when no attached thread or overlapping frame was at work.
//
// In a build with the CMake option FA_STATISTICS off nothing is counted: fa_stats_read() gives zeroes and FA_ERROR_UNSUPPORTED.
//
// What [own], [main] and [any] mean, and what a wrong thread, NULL, size or alignment is answered: base.h. A refused call changes nothing.
#pragma once

#include <framealloc/base.h>

typedef struct fa_stats {
    // frames
    uint64_t frame;        // last one that retired
    uint32_t frames_alive; // begun and not retired
    uint32_t frame_holds;  // references held
    // frame and scope memory, bytes
    uint64_t frame_bytes;      // allocated in that frame by all lanes
    uint64_t frame_bytes_peak; // most in any frame
    uint64_t frame_blocks;     // blocks (2 MiB) that frame and scope arenas hold
    // jobs, since creation
    uint64_t jobs;        // run
    uint64_t jobs_inline; // run at submit because a deque was full
    uint64_t steals;      // jobs taken from another lane
    uint64_t steal_tries;
    uint64_t parks;        // times a lane went to sleep
    uint64_t wakes;        // times a lane was woken
    uint64_t waits_parked; // waits that had to sleep
    // pool and heap
    uint64_t pool_live;       // objects
    uint64_t pool_live_bytes; // in class sizes
    uint64_t pool_live_bytes_peak;
    uint64_t pool_allocs;  // since creation
    uint64_t pool_refills; // slow paths: magazine empty
    uint64_t heap_live;
    uint64_t heap_live_bytes; // as reserved for the objects
    uint64_t heap_live_bytes_peak;
    uint64_t heap_allocs;
    uint64_t remote_frees;  // objects freed by another lane
    uint64_t foreign_frees; // objects freed by unattached threads
    // objects behind handles, see handle.h for more
    uint64_t handle_live;
    uint64_t handle_live_bytes;
    uint64_t handle_allocs;
    uint64_t
        frees_kept; // objects freed by others and left for a later boundary (drain_objects_max); they count as live
    // streams (stream.h)
    uint64_t streams;               // that are not gone
    uint64_t stream_reserved_bytes; // counted against stream_bytes_max
    uint64_t stream_reserved_bytes_peak;
    uint64_t stream_loaded_bytes;  // ready, or loaded so far
    uint64_t stream_leaving_bytes; // evicted or freed, not yet given back
    uint64_t stream_evictions;     // since creation
    uint64_t stream_refused;
    // groups and scratch pools, of all lanes
    uint64_t groups;           // live
    uint64_t group_objects;    // whose memory is not on its way home yet; so are bytes
    uint64_t group_bytes;      // rounded up to 16 each, with padding
    uint64_t group_refused;    // allocations that a limit or the system refused, since creation
    uint64_t scratch_pools;    // live
    uint64_t scratch_capacity; // of them, bytes
    uint64_t scratch_bytes;    // allocated, as group_bytes
    uint64_t scratch_refused;  // allocations, as above or because the pool was full
    // memory of jobs (job_memory.h)
    uint64_t job_memories;       // live
    uint64_t job_memory_bytes;   // of them, as group_bytes
    uint64_t job_memory_refused; // allocations, as group_refused
    // system memory
    uint64_t memory_bytes; // taken from the system now, blocks in use or kept; what describes them (1 %) and
                           // the lanes themselves (40 KiB each, and their deques) come on top
    uint64_t memory_peak;
    uint64_t memory_free;    // of it, kept in reserve
    uint64_t memory_refused; // requests that the limit or the system refused
    // promotion and reclamation
    uint64_t promoted; // objects, since creation
    uint64_t promoted_bytes;
    uint64_t promotion_failed;
    uint64_t retired;        // versions replaced or dropped, since creation
    uint64_t reclaimed;      // of them, freed
    uint64_t backlog;        // retired - reclaimed
    uint64_t backlog_frames; // age of the oldest in frames
    // observation
    uint64_t events_dropped; // since creation: records that found their lane's ring full, or none (events.h)
} fa_stats;

/// [any] Copies the statistics of the last boundary. FA_ERROR_INVALID: NULL. FA_ERROR_UNSUPPORTED, and zeroes: a build without FA_STATISTICS.
FA_API fa_status fa_stats_read(const fa_system *fa, fa_stats *out);

/// Traffic on lines that lanes share, summed over lanes since creation. Counted only in builds with FA_CONTENTION.
typedef struct fa_contention {
    uint64_t inbox_posts;     // chains pushed to another lane's inbox
    uint64_t inbox_posted;    // objects in them
    uint64_t inbox_retries;   // failed compare-and-swaps of a post
    uint64_t inbox_drains;    // non-empty chains taken
    uint64_t inbox_drained;   // objects in them
    uint64_t inbox_drain_max; // most objects in one
    uint64_t block_takes;     // claims in the shared map of blocks
    uint64_t block_gives;
    uint64_t block_retries; // lost claims
    uint64_t packet_moves;  // packets taken from or given to the shared depot
    uint64_t packet_retries;
    uint64_t steal_tries;
    uint64_t steals;          // of them won, for one job or several at once
    uint64_t steal_retries;   // lost races for a job
    uint64_t own_races;       // an owner's races for its last job
    uint64_t publishes;       // times a deque's public end moved
    uint64_t counter_updates; // read-modify-writes on counters
    uint64_t lane_claims;     // read-modify-writes on lane states
    uint64_t parks;
    uint64_t wakes;
    uint64_t idle_updates; // read-modify-writes on the set of sleepers
    uint64_t chunk_claims; // parallel_for pieces
} fa_contention;

/// [main] Sums up; exact between frames. FA_ERROR_UNSUPPORTED: not counted in this build. FA_ERROR_WRONG_THREAD. *out is zero in both cases.
/// FA_ERROR_INVALID: NULL.
FA_API fa_status fa_contention_read(const fa_system *fa, fa_contention *out);
