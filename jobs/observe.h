// SPDX-License-Identifier: MIT
//
// Observation at the frame's edges: who listens, traces and keeps history is served here; what they are told comes from alloc/.
#pragma once

#include "jobs/worker.h"

/// [main] The last things that begin and end of a frame do. Cheap when nobody looks.
void fai_observe_begin(fa_system *fa);
void fai_observe_end(fa_system *fa);

/// [main] At fa_destroy(), workers stopped: delivers all that is left, the end of the frame if one was open, and completes a trace that runs.
void fai_observe_finish(fa_system *fa, bool frame_ended);

/// [main] Whether a listener is being called.
static inline bool fai_observe_delivers(const fa_system *fa)
{
    return fa->memory.events.delivering;
}
