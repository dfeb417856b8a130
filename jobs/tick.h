// SPDX-License-Identifier: MIT
//
// The ring of frames in flight. Frame n lives in slot n % frames_in_flight; frames retire in order.
//
//     oldest <= newest + 1, newest - oldest < frames_in_flight
//     a frame retires when it has ended, holds == 0 and all its jobs are done
//
// The three are checked in the order: ended, holds, jobs, holds. Nobody enters a frame that has ended; with no hold
// left, new jobs come from running ones only, so once the jobs are done there are none for good; a job may have taken a
// hold before it finished, which the second look sees.
//
// Who may run together ("X": the main lane alone):
//                      begin, end, retire   jobs_done   hold, drop
//   begin, end, retire         X                -          -
//   jobs_done                  -                -          -
//   hold, drop                 -                -          -
#pragma once

#include "jobs/worker.h"

static inline uint32_t fai_frame_slot(const fa_system *fa, uint64_t number)
{
    return FA_LIKELY(fa->frame_slots == 1) ? 0 : (uint32_t)(number % fa->frame_slots);
}

/// [any] Whether all jobs that were submitted in the frame of `slot` are done; see worker.h.
bool fai_frame_jobs_done(const fa_system *fa, uint32_t slot);

/// [own] An attached thread's lane is back in the frame that it holds.
void fai_frame_reenter(fai_worker *w);

/// [main] Ends every frame and waits for the jobs of all; holds are ignored. For fa_destroy().
void fai_frames_finish(fa_system *fa);
