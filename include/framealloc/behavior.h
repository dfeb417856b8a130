// SPDX-License-Identifier: MIT
//
// How a tag uses memory, found at frame ends from figures that are kept anyway: frame memory that is held or promoted, pool objects that do not
// outlive their frame, promotions that replace each other, heap objects in every frame. Switched off until fa_behavior_watch().
//
// Frames are looked at in windows. At the end of each every tag has a report; a value above its limit is diagnosed (FA5xx), once until the
// value was at or below the limit in a later window.
//
// Cost: none per allocation and free. Off, a branch a frame end; on, 80 KiB, and by callgrind 170 instructions a frame end and 150 more for each
// tag that did something.
//
// What [own], [main] and [any] mean, and what a wrong thread, NULL, size or alignment is answered: base.h. A refused call changes nothing.
#pragma once

#include <framealloc/tag.h>

/// What is looked at: codes and values.
typedef enum fa_behavior_kind {
    // FA501: frames that the tag's frame memory outlived its own frame by, mean over bytes: frames that are held, or overlap. 0 with one frame in flight.
    FA_BEHAVIOR_FRAME_AGE,
    // FA502: share of the tag's frame memory that was promoted, in bytes.
    FA_BEHAVIOR_SURVIVAL,
    // FA510: share of the tag's pool objects that were freed before the frame end after they were made, at least. Objects carry no frame: of what was
    // freed, as many as lived when the frame began may be older. So the value is exact for a tag that keeps nothing, and too small, never too
    // large, for one that does. Objects above 32 KiB are not looked at. With drain_objects_max frees are seen when they come home.
    FA_BEHAVIOR_POOL_SAME_FRAME,
    // FA520: promotions a frame that replaced a version which their cell held.
    FA_BEHAVIOR_CHURN,
    // FA530: heap objects made a frame.
    FA_BEHAVIOR_HEAP,
    FA_BEHAVIOR_KINDS
} fa_behavior_kind;

typedef struct fa_behavior_limits {
    uint32_t frames;      // of a window, 1 to 65536
    uint32_t samples_min; // of a window, for a value to be judged: frames with frame memory, objects, promotions
    double most[FA_BEHAVIOR_KINDS]; // a value above this is diagnosed; negative: never
} fa_behavior_limits;

/// [any] Windows of 60 frames, 10 samples: ages above 8 frames, half promoted, 80 % of pool objects, 0.5 replacements and 100 / 60 heap objects a
/// frame.
FA_API fa_behavior_limits fa_behavior_default(void);
/// [any] For tests: windows of 10 frames, 3 samples; 2 frames, 25 %, 50 %, 0.1 and 0.5 a frame.
FA_API fa_behavior_limits fa_behavior_strict(void);
/// [any] Windows of 300 frames, 100 samples; 12 frames, 80 %, 95 %, 2 and 20 a frame.
FA_API fa_behavior_limits fa_behavior_relaxed(void);

/// [main] From now on frames are looked at; what was found before is forgotten, and a new window begins. NULL: the default limits.
/// FA_ERROR_INVALID: NULL system, no frames or more than 65536 in a window, a limit that is no number. FA_ERROR_MEMORY: refused; nothing is watched.
/// FA_ERROR_WRONG_THREAD. FA_ERROR_UNSUPPORTED: a build without FA_STATISTICS.
FA_API FA_MUST_CHECK fa_status fa_behavior_watch(fa_system *fa, const fa_behavior_limits *limits);

/// [main] Forgets what was found, also which values were above their limits, and begins a new window. FA_ERROR_STATE: nothing is watched.
/// FA_ERROR_INVALID: NULL. FA_ERROR_WRONG_THREAD. FA_ERROR_UNSUPPORTED: a build without FA_STATISTICS.
FA_API fa_status fa_behavior_reset(fa_system *fa);

/// [main] The end of it; memory goes back. Nothing happens if nothing is watched (FA_OK). FA_ERROR_INVALID: NULL.
/// FA_ERROR_WRONG_THREAD. FA_ERROR_UNSUPPORTED: a build without FA_STATISTICS.
FA_API fa_status fa_behavior_unwatch(fa_system *fa);

/// What a tag did in a window, by the tag alone.
typedef struct fa_behavior {
    uint32_t frames; // retired in the window; 0: none is complete yet
    uint32_t above;  // values above their limit, a bit for each kind
    uint64_t frame_bytes, promoted_bytes;
    uint64_t pool_objects;           // made, up to 32 KiB each
    uint64_t pool_same_frame_least;  // of them, freed in the frame that made them: between …
    uint64_t pool_same_frame_most;   // … and this
    uint64_t promoted, replaced;     // promotions, and those of them that replaced a version in their cell
    uint64_t heap_objects;           // made
    double value[FA_BEHAVIOR_KINDS]; // 0 without samples
    uint32_t samples[FA_BEHAVIOR_KINDS];
} fa_behavior;

/// [main] The tag's report of the last complete window. FA_ERROR_INVALID: NULL, or no tag of this system. FA_ERROR_STATE: nothing is watched.
/// FA_ERROR_WRONG_THREAD, FA_ERROR_UNSUPPORTED. *out is zero when it fails.
FA_API fa_status fa_behavior_read(fa_system *fa, fa_tag tag, fa_behavior *out);
