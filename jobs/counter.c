// SPDX-License-Identifier: MIT
//
// Counters: see counter.h.
#include "jobs/counter.h"

#include "jobs/wake.h"

bool fai_counter_is_ours(const fai_worker *w, const fa_counter *counter)
{
    uint32_t system = fai_load_relaxed(&counter->system);
    if (system == 0 || system == w->lane.memory->number || fa_is_done(counter)) return true;
    fai_report(w->lane.memory, &w->lane, "FA201", "a wait over systems would not be woken: the call is refused",
               "submit and wait with lanes of one system", "a counter of another system was used on lane %u",
               (unsigned)w->lane.hot.index);
    return false;
}

static void wake_waiters(fai_worker *w, const fa_counter *counter, uint64_t state)
{
    // [sleepers.announce] seq_cst: a lane that found itself noted already changed nothing in the state, but entered the
    // set first.
    fai_fence_seq_cst();
    if ((state & FAI_COUNTER_MANY) != 0) {
        fai_wake_waiting(w, counter);
        return;
    }
    uint32_t lane = (uint32_t)((state & FAI_COUNTER_WAITER_MASK) >> FAI_COUNTER_WAITER_SHIFT) - 1;
    FA_ASSERT(lane < fai_worker_system(w)->lane_count);
    if (fai_lane_set_remove(&fai_worker_system(w)->sleepers.waiting, lane)) fai_wake_lane(w, lane);
}

void fai_counter_complete(fai_worker *w, fa_counter *counter, uint32_t n)
{
    FA_ASSERT(n > 0);
    FAI_COUNT(&w->lane.contention, counter_updates, 1);
    // [counter.done] acq_rel: what the jobs did is visible to who sees zero, over all lanes that completed some.
    uint64_t before = fai_sub_acq_rel(&counter->state, (uint64_t)n);
    FA_ASSERT((uint32_t)before >= n);
    if ((uint32_t)before == n && before != n) wake_waiters(w, counter, before);
}

bool fai_counter_wait_begin(fai_worker *w, fa_counter *counter)
{
    uint64_t self = (uint64_t)(w->lane.hot.index + 1) << FAI_COUNTER_WAITER_SHIFT;
    uint64_t state = fai_load_relaxed(&counter->state);
    FA_ASSERT(fai_load_relaxed(&w->waiting_for) == counter);
    for (;;) {
        if ((uint32_t)state == 0) return false;
        uint64_t waiter = state & FAI_COUNTER_WAITER_MASK;
        uint64_t noted = waiter == 0 || waiter == self ? state | self : state | FAI_COUNTER_MANY;
        if (noted == state) return true;
        // [counter.done] release: the lane's entry in the set of waiting lanes.
        if (fai_cas_release(&counter->state, &state, noted)) return true;
    }
}

void fai_counter_wait_end(fai_worker *w, fa_counter *counter)
{
    uint64_t self = (uint64_t)(w->lane.hot.index + 1) << FAI_COUNTER_WAITER_SHIFT;
    uint64_t state = fai_load_relaxed(&counter->state);
    for (;;) {
        uint64_t left = state;
        if ((uint32_t)state == 0)
            left = 0; // the last completion has seen whoever was noted
        else if ((state & ~(uint64_t)UINT32_MAX) == self)
            left = (uint32_t)state;
        if (left == state || fai_cas_relaxed(&counter->state, &state, left)) return;
    }
}
