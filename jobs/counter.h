// SPDX-License-Identifier: MIT
//
// Counters of jobs, and who waits for them.
//
//     fa_counter.state: jobs not done 32 bits | waiting lane + 1, 0 for none: 16 bits | more than one waits: 1 bit
//
// The last completion and the news of who waits are one read-modify-write: it may make the counter vanish (a waiter
// returns and its stack frame goes), so nothing looks at the counter afterwards. A waiter adds itself by
// compare-and-swap while the counter is not zero.
//
// A lane gathers completions of one counter and takes them off together. What is held back delays nobody: the lane
// either runs a job of the same counter next, which is not zero before that is done anyway, or hands the completions
// in.
//
// Who may run together: everything with everything, while the counter is alive: until it is zero and every wait on it
// has returned.
#pragma once

#include "jobs/worker.h"

#define FAI_COUNTER_WAITER_SHIFT 32
#define FAI_COUNTER_WAITER_MASK (UINT64_C(0xffff) << FAI_COUNTER_WAITER_SHIFT)
#define FAI_COUNTER_MANY (UINT64_C(1) << 48)

/// [own] In checked systems: whether a wait on the counter, or a job of it, can be one of this system's; if not that is reported (FA201).
bool fai_counter_is_ours(const fai_worker *w, const fa_counter *counter);

/// [own] Before the jobs are published.
static inline void fai_counter_add(fai_worker *w, fa_counter *counter, uint32_t n)
{
    FAI_COUNT(&w->lane.contention, counter_updates, 1);
    uint64_t before = fai_add_relaxed(&counter->state, (uint64_t)n);
    FA_ASSERT((uint32_t)before <= UINT32_MAX - n);
    (void)before;
}

/// [own] n of the counter's jobs are done; wakes who waits if they were the last.
void fai_counter_complete(fai_worker *w, fa_counter *counter, uint32_t n);

/// [own] Hands in what the lane has gathered.
static inline void fai_counter_flush(fai_worker *w)
{
    if (w->gathered_count == 0) return;
    FA_ASSERT(w->gathered != NULL);
    uint32_t n = w->gathered_count;
    w->gathered_count = 0;
    fai_counter_complete(w, w->gathered, n);
}

/// [own] Before a job of `counter` runs.
static inline void fai_counter_flush_others(fai_worker *w, const fa_counter *counter)
{
    if (w->gathered_count != 0 && w->gathered != counter) fai_counter_flush(w);
}

/// [own] One job of the counter, which may be NULL, is done.
static inline void fai_counter_gather(fai_worker *w, fa_counter *counter)
{
    if (counter == NULL) return;
    fai_counter_flush_others(w, counter);
    w->gathered = counter;
    w->gathered_count++;
}

/// [own] Notes that the lane waits; false if the counter is zero. The lane is in the set of waiting lanes already.
bool fai_counter_wait_begin(fai_worker *w, fa_counter *counter);

/// [own] The lane does not sleep on the counter any more.
void fai_counter_wait_end(fai_worker *w, fa_counter *counter);
