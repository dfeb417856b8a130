// SPDX-License-Identifier: MIT
//
// Tick hooks: one call where an engine's tick starts and one where it ends, for loops that are not ours. They open and end frames
// (frame.h) on all lanes, workers included, and may be mixed with fa_frame_begin() and fa_frame_end(): a tick is open exactly while
// a frame is.
//
// fa_frame_begin() and fa_frame_end() refuse what is out of order. Hooks are called by an engine that ignores what they answer and may
// skip one on some paths (a loading screen, an exception, a paused window), so they put things in order and say so:
//
//     what happened                                    diagnostic   what the library does
//     begin while a tick is open: its end was missed   FA102        ends that tick as fa_tick_end() would, once; begins the next
//     likewise, but a fork of it was not joined        FA203        nothing, in checked systems: FA_ERROR_STATE, that tick stays open
//     end while no tick is open: its begin was missed  FA102        nothing to end: FA_ERROR_STATE
//     a hook inside a job, or on another thread        FA102        nothing: FA_ERROR_STATE, FA_ERROR_WRONG_THREAD
//     a hook between fa_idle_begin() and fa_idle_end() FA102        calls fa_idle_end(), and goes on
//     no hook for tick_late_ms while jobs are not done FA102        nothing is lost: they run when the next hook comes; once a silence
//     a job or frame memory is asked for, hooks were   FA101        refused as ever, with FA101 in place of FA001, until the first
//     declared, and no tick was ever begun                          fa_tick_begin()
//
// What a tick that is ended late had submitted is run, what it retained for a cell is promoted, its frame memory goes. Its result finds nobody to
// read it: what it retained without a cell is dropped, as by fa_frame_end(fa, NULL).
//
// What [own], [main] and [any] mean, and what a wrong thread, NULL, size or alignment is answered: base.h. A refused call changes nothing.
#pragma once

#include <framealloc/base.h>

struct fa_frame_result; // promote.h

/// [main] Declares that this program drives its ticks by hooks, as fa_config.tick_hooks does; may be repeated.
/// FA_ERROR_INVALID: NULL. FA_ERROR_WRONG_THREAD.
FA_API fa_status fa_tick_install(fa_system *fa);

/// [main] The start of a tick: begins the next frame, waiting as fa_frame_begin() does; see the table above. FA_ERROR_INVALID: NULL.
/// FA_ERROR_STATE: inside a job, a sink or a listener. FA_ERROR_WRONG_THREAD. In both cases FA102 says so and nothing was begun or ended.
/// FA_ERROR_STATE as well, in checked systems, when the open tick has a fork that was not joined (FA203): that tick stays open.
FA_API fa_status fa_tick_begin(fa_system *fa);

/// [main] The end of a tick: ends the frame on all lanes. `result` as for fa_frame_end(), NULL is allowed; it is zeroed when there was no
/// tick to end. See the table above. FA_ERROR_INVALID: NULL system. FA_ERROR_STATE: no tick to end, or inside a job, a sink or a listener.
/// FA_ERROR_WRONG_THREAD. In both cases FA102 says so. FA_ERROR_STATE as well for a fork that was not joined, as for fa_frame_end().
FA_API fa_status fa_tick_end(fa_system *fa, struct fa_frame_result *result);

/// [any] Whether ticks come: FA_ERROR_BUSY, and FA102 once a silence, when no hook was called for tick_late_ms while jobs are not done. For
/// a watchdog thread; the hooks themselves look too. FA_ERROR_INVALID: NULL. FA_ERROR_UNSUPPORTED: tick_late_ms is 0.
FA_API fa_status fa_tick_check(fa_system *fa);

/// [main] The same two hooks for engines that register `void (void *)` callbacks; `fa` is the fa_system. What goes wrong is reported as in
/// the table; NULL does nothing.
FA_API void fa_tick_on_begin(void *fa);
FA_API void fa_tick_on_end(void *fa);
