// SPDX-License-Identifier: MIT
//
// Waking others: see wake.h.
#include "jobs/wake.h"

void fai_wake_lane(fai_worker *w, uint32_t lane)
{
    FA_ASSERT(lane < fai_worker_lane_end(w));
    fai_count(&w->stats.wakes, 1);
    FAI_COUNT(&w->lane.contention, wakes, 1);
    fai_event_own(&w->lane, FA_EVENT_WAKE, lane, 0);
    (void)fai_wake_any(&fai_system_worker(fai_worker_system(w), lane)->parker);
}

/// Removes one lane from the set of idle ones, the main lane only if there is no other; FAI_NO_SLOT if there is none.
static uint32_t remove_idle(fai_worker *w)
{
    fai_sleepers *sleepers = &fai_worker_system(w)->sleepers;
    for (uint32_t i = 0; i < sleepers->words; i++) {
        uint64_t lanes = fai_load_relaxed(&sleepers->idle.words[i]);
        if (i == 0) lanes &= ~UINT64_C(1);
        for (; lanes != 0; lanes &= lanes - 1) {
            uint32_t lane = i * 64 + (uint32_t)__builtin_ctzll(lanes);
            FAI_COUNT(&w->lane.contention, idle_updates, 1);
            if (fai_lane_set_remove(&sleepers->idle, lane)) return lane;
        }
    }
    if (!fai_lane_set_has(&sleepers->idle, 0)) return FAI_NO_SLOT;
    FAI_COUNT(&w->lane.contention, idle_updates, 1);
    return fai_lane_set_remove(&sleepers->idle, 0) ? 0 : FAI_NO_SLOT;
}

bool fai_work_is_visible(const fai_worker *w)
{
    uint32_t end = fai_worker_lane_end(w);
    for (uint32_t n = 0; n < end; n++) {
        fai_worker *victim = fai_system_worker(fai_worker_system(w), n);
        if (fai_deque_look_any(&victim->deque) > 0) return true;
        if (victim != w) fai_deque_want_any(&victim->deque);
    }
    return false;
}

/// One lane less searches. Whether that was the last one and others are needed.
static bool stop_searching(fai_worker *w)
{
    fai_sleepers *sleepers = &fai_worker_system(w)->sleepers;
    FAI_COUNT(&w->lane.contention, idle_updates, 1);
    uint32_t before = fai_sub_relaxed(&sleepers->searching, 1u);
    FA_ASSERT(before > 0);
    // [sleepers.announce] seq_cst: a publisher that still saw the lane searching published before this look.
    fai_fence_after_rmw_seq_cst();
    return before == 1 && fai_lane_set_any(&sleepers->idle, sleepers->words) != 0 && fai_work_is_visible(w);
}

void fai_wake_idle(fai_worker *w)
{
    fai_sleepers *sleepers = &fai_worker_system(w)->sleepers;
    do {
        uint32_t none = 0;
        FAI_COUNT(&w->lane.contention, idle_updates, 1);
        if (!fai_cas_relaxed(&sleepers->searching, &none, 1u))
            return; // somebody searches, for the lane that will be woken
        uint32_t lane = remove_idle(w);
        if (lane != FAI_NO_SLOT) {
            fai_wake_lane(w, lane);
            return;
        }
    } while (stop_searching(w));
}

void fai_search_end(fai_worker *w)
{
    if (stop_searching(w)) fai_wake_idle(w);
}

bool fai_search_begin(fai_worker *w)
{
    fa_system *fa = fai_worker_system(w);
    if (2 * fai_load_relaxed(&fa->sleepers.searching) >= fa->worker_count) return false;
    FAI_COUNT(&w->lane.contention, idle_updates, 1);
    (void)fai_add_relaxed(&fa->sleepers.searching, 1u);
    return true;
}

void fai_wake_waiting(fai_worker *w, const fa_counter *counter)
{
    fa_system *fa = fai_worker_system(w);
    for (uint32_t i = 0; i < fa->sleepers.words; i++) {
        // Of a lane that entered before the caller's fence what it waits for is seen; one that enters later sees what the caller did.
        uint64_t lanes = fai_load_relaxed(&fa->sleepers.waiting.words[i]);
        for (; lanes != 0; lanes &= lanes - 1) {
            uint32_t lane = i * 64 + (uint32_t)__builtin_ctzll(lanes);
            const fai_worker *waiter = fai_system_worker(fa, lane);
            if (waiter == w || (counter != NULL && fai_load_relaxed(&waiter->waiting_for) != counter)) continue;
            FAI_COUNT(&w->lane.contention, idle_updates, 1);
            if (fai_lane_set_remove(&fa->sleepers.waiting, lane)) fai_wake_lane(w, lane);
        }
    }
}

void fai_publish_all(fai_worker *w)
{
    int64_t n = fai_deque_private_owner(&w->deque);
    if (n == 0) return;
    FAI_COUNT(&w->lane.contention, publishes, 1);
    fai_deque_publish_owner(&w->deque, n);
    fai_notify(w, NULL);
    const fai_sleepers *sleepers = &fai_worker_system(w)->sleepers;
    if (fai_lane_set_any(&sleepers->waiting, sleepers->words) != 0) fai_wake_waiting(w, NULL);
}
