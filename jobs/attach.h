// SPDX-License-Identifier: MIT
//
// Which lanes the calling thread is: a list per thread, through the lanes themselves, because one thread may drive
// several systems.
#pragma once

#include "jobs/worker.h"

/// [own] The calling thread is this lane from now on, and no longer.
void fai_self_add(fai_worker *w);
void fai_self_remove(fai_worker *w);

/// [any] From now on, whoever ends while it is a lane is reported and let go of. False: the system refused.
bool fai_self_watch(void);

/// [own] The calling thread's lane in the system, NULL if it has none.
fai_worker *fai_self(const fa_system *fa);

/// [own] Claims the lane, waiting out a proxy that services it.
void fai_worker_claim(fai_worker *w);

/// [own] Touches the lane's ring for the first time, so that it is mapped, near its thread, before it is needed.
void fai_worker_touch(fai_worker *w);
