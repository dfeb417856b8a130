// SPDX-License-Identifier: MIT
//
// Snapshots: the state of memory and scheduler at a frame boundary, a history of them, graphs of it, and JSON.
//
// In a build with the CMake option FA_STATISTICS off there are none: functions answer FA_ERROR_UNSUPPORTED, or 0.
//
// What [own], [main] and [any] mean, and what a wrong thread, NULL, size or alignment is answered: base.h. A refused call changes nothing.
#pragma once

#include <framealloc/events.h>
#include <framealloc/worker.h>

#include <stdio.h>

/// Version of the structure and of its JSON; rises when a member changes its meaning.
#define FA_SNAPSHOT_VERSION 1u

/// Lanes of the largest system, and rows that a snapshot has room for.
#define FA_LANES_MAX 255u
#define FA_SNAPSHOT_ROWS_MAX 128u
#define FA_SNAPSHOT_NAME_MAX 48u
#define FA_SNAPSHOT_COLUMNS 6u

/// Frame memory of a lane.
typedef struct fa_lane_snapshot {
    uint64_t capacity; // bytes of the blocks that it keeps for its frames
    uint64_t used;     // bytes allocated in the frame that retired last
    uint64_t peak;     // most in any frame
    uint64_t jobs;     // run since creation
} fa_lane_snapshot;

/// A class of the pool, all lanes.
typedef struct fa_class_snapshot {
    uint32_t size;    // of an object
    uint32_t slabs;   // that lanes hold
    uint64_t live;    // objects with users
    uint64_t at_hand; // free objects in magazines
    uint64_t refills; // magazines found empty, since creation
} fa_class_snapshot;

/// What else a system has and names: tags, phases, streams and the like. `section` counts the sections of this library version; the JSON
/// spells them and their columns out.
typedef struct fa_snapshot_row {
    uint32_t section;
    char name[FA_SNAPSHOT_NAME_MAX]; // cut off if longer
    uint64_t values[FA_SNAPSHOT_COLUMNS];
} fa_snapshot_row;

typedef struct fa_snapshot {
    uint32_t version; // FA_SNAPSHOT_VERSION
    uint32_t lane_count;
    uint32_t row_count;
    uint32_t rows_left_out; // for which there was no room
    uint64_t time_ns;       // CLOCK_MONOTONIC
    uint64_t frame;         // open or last frame
    fa_stats stats;         // of the last boundary: global, and the scheduler
    fa_class_snapshot classes[FA_CLASS_COUNT];
    fa_snapshot_row rows[FA_SNAPSHOT_ROWS_MAX];
    fa_lane_snapshot lanes[FA_LANES_MAX]; // last: `lane_count` are in use
} fa_snapshot;

/// [main] The state as of the last boundary; allocates nothing. What classes say is exact if no lane was at work during the boundary; a lane
/// that is shows what it published last. FA_ERROR_INVALID: NULL. FA_ERROR_WRONG_THREAD.
/// Refused, *out is not touched.
FA_API fa_status fa_snapshot_take(fa_system *fa, fa_snapshot *out);

/// [main] Keeps the snapshots of the last `count` frames (0: fa_config.history_length) from the next fa_frame_end() on; what was kept is
/// forgotten. All memory for it is taken here: about 15 KiB + 32 bytes a lane for each. FA_ERROR_INVALID: NULL, or more than 65536.
/// FA_ERROR_MEMORY: refused; there is no history then. FA_ERROR_WRONG_THREAD.
FA_API FA_MUST_CHECK fa_status fa_history_enable(fa_system *fa, uint32_t count);

/// [main] Forgets the history and gives its memory back. FA_ERROR_INVALID: NULL. FA_ERROR_WRONG_THREAD.
FA_API fa_status fa_history_disable(fa_system *fa);

/// [main] Snapshots that are kept now; 0 without a history, for NULL and on another thread.
FA_API uint32_t fa_history_count(fa_system *fa);

/// [main] The snapshot of `age` frames ago, 0 the newest. FA_ERROR_STALE: not kept. FA_ERROR_INVALID: NULL. FA_ERROR_WRONG_THREAD.
/// Refused, *out is not touched.
FA_API fa_status fa_history_read(fa_system *fa, uint32_t age, fa_snapshot *out);

/// A stretch of the history.
typedef struct fa_graph_point {
    uint64_t frame;        // of the largest `bytes` in it
    uint64_t bytes;        // most that users had: frame memory of the frame, pool and heap objects
    uint64_t memory_bytes; // most that was taken from the system
} fa_graph_point;

/// [main] The history as a graph of at most n points, oldest first: with more snapshots than points each point stands for a stretch of them and shows
/// its peaks, so that none is lost. Returns how many were written: 0 without a history, for NULL, for n == 0 and on another thread.
FA_API uint32_t fa_memory_graph(fa_system *fa, fa_graph_point *points, uint32_t n);

/// [any] Writes a snapshot as one JSON object, in pieces of up to 4 KiB. Bytes of names that are not UTF-8 become U+FFFD.
/// FA_ERROR_INVALID: NULL (context may be), or a snapshot that is none of this version. FA_ERROR_IO: `write` answered false.
FA_API fa_status fa_snapshot_write_json(const fa_snapshot *snapshot, fa_write_fn *write, void *context);

/// [any] The same to a file, which stays open. FA_ERROR_INVALID: NULL, or a snapshot that is none of this version. FA_ERROR_IO: it could not be
/// written, or not all.
FA_API fa_status fa_snapshot_write_file(const fa_snapshot *snapshot, FILE *file);
