// SPDX-License-Identifier: MIT
//
// Waits that can never end. A wait on the counter of a job that lies further down the same lane's stack is found
// always. In checked builds a lane that is about to park shows what it waits for and the counters of the jobs on its
// stack, and follows the others':
//
//     this lane waits for c  ->  a lane that has a job of c on its stack waits for c'  ->  …  ->  this lane's stack
//
// A job below a wait cannot go on before the wait ends, so such a circle never opens, if all of it stood at one
// instant. To know that, every lane's view carries a serial number that is odd while it waits; a circle counts when no
// serial has changed after all was read.
#pragma once

#include "jobs/worker.h"

/// [own] Whether the counter is one of a job on this lane's own stack; reports it as FA905.
bool fai_deadlock_on_stack(const fai_worker *w, const fa_counter *counter);

/// [own] Before and after parking on `counter`, checked builds only.
void fai_deadlock_show(fai_worker *w, const fa_counter *counter);
void fai_deadlock_hide(fai_worker *w);

/// [own] Between the two, after a full fence: NULL unless the wait is part of a circle; then the name of the job that it waits for.
const char *fai_deadlock_over_lanes(const fai_worker *w, const fa_counter *counter);
/// [own] After the two: reports it as FA905.
void fai_deadlock_report(const fai_worker *w, const char *waited_for);
