// SPDX-License-Identifier: MIT
//
// A tick, from its first phase to its last: stream, plan beside sense, move beside sweep and audit, events.
#pragma once

#include "stream.h"

/// [main lane, inside the tick's frame] False after a fault.
bool phases_run(fa_worker *w, struct world *world, struct stream *stream);

/// [main lane, inside a frame, after the last tick] Lets go of all that is kept for ticks to come: paths and events.
fa_status phases_let_go(fa_worker *w, struct world *world);
