// SPDX-License-Identifier: MIT
//
// Where a lane's next job comes from: its own deque, newest first; another's, oldest first; or, for one who waits for
// certain jobs, wherever such a job is queued.
//
// A lane without work takes several jobs of another at a time, half of them at most, into its own deque, where all can
// still take them; and only when that pays: what a thief does not know and how it finds out is said in take.c.
//
// All functions are the lane's thread's own; what they do together with other lanes' is said in deque.h.
#pragma once

#include "jobs/worker.h"

/// [own] The job that was pushed last; false if the deque is empty.
bool fai_take_newest(fai_worker *w, fai_job *out);

/// [own] With an empty deque: the oldest job of another lane, and others after it into the own deque. Starts where it
/// last found some. Claims the lane when it has one. `seen`: there are some, but they could not be had, or were not worth
/// it yet.
bool fai_take_stolen(fai_worker *w, fai_job *out, bool *seen);

/// [own] The oldest job of that lane, if it is wanted; holes are passed over.
fai_steal fai_take_oldest_of(fai_worker *w, fai_worker *victim, const fai_want *want, fai_job *out);

/// [own] A wanted job from the own deque: the newest, with 0 workers the oldest. `cursor` speeds up a series of calls
/// for the same jobs; it starts as -1.
bool fai_take_own(fai_worker *w, const fai_want *want, int64_t *cursor, fai_job *out);

/// [own] A wanted job among the `limit` oldest of another lane. If there are others before it they are moved to the own
/// deque, where all can still take them.
bool fai_take_others(fai_worker *w, const fai_want *want, uint32_t limit, fai_job *out);

/// [own] Whether another lane seems to have a wanted job.
bool fai_take_sees(const fai_worker *w, const fai_want *want);
