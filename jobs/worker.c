// SPDX-License-Identifier: MIT
//
// Workers: running jobs, finding them, going to sleep. See worker.h.
#include "jobs/worker.h"

#include "concurrent/clock.h"
#include "jobs/attach.h"
#include "jobs/counter.h"
#include "jobs/tick.h"

// A quiescent state costs a few ns when no grace period runs and a cache miss when one does.
#define JOBS_PER_QUIESCENT_STATE 16
// A thief that lost this many races in a row for one lane's jobs tries the next lane.
#define RACES_PER_VICTIM 4
// Looks at the other lanes between two looks at the clock, which costs as much as one.
#define ROUNDS_PER_CLOCK 8

// Running ---------------------------------------------------------------------------------------------------------------

void fai_worker_publish_finished(fai_worker *w, uint32_t slot)
{
    if (w->unpublished == 0) return;
    fa_system *fa = fai_worker_system(w);
    FA_ASSERT(slot < fa->frame_slots);
    FAI_ATOMIC(uint64_t) *finished = &w->tallies[slot].finished;
    // [frame.jobs] release: all that the jobs did, and the lane's window of the frame.
    fai_store_release(finished, fai_load_relaxed(finished) + w->unpublished);
    w->unpublished = 0;
    // [frame.await] seq_cst: the count before the look at who waits for it.
    fai_fence_seq_cst();
    if (fai_load_relaxed(&fa->awaited_slot) == slot && fai_frame_jobs_done(fa, slot)) fai_worker_wake(w, 0);
}

void fai_worker_switch_frame(fai_worker *w, uint32_t slot, uint64_t number)
{
    uint32_t left = w->lane.slot;
    fai_lane_switch_frame(&w->lane, slot, number);
    fai_worker_publish_finished(w, left);
}

/// Prepares for a job that was queued; returns its run.
static uint32_t enter(fai_worker *w, fai_job *job)
{
    const fa_system *fa = fai_worker_system(w);
    uint32_t slot = fai_job_slot(job), flags = fai_job_flags(job);
    fai_counter_flush_others(w, job->counter);
    if (w->lane.slot != slot) fai_worker_switch_frame(w, slot, fai_load_relaxed(&fa->frame_numbers[slot]));
    FA_ASSERT(w->lane.frame_number == fai_load_relaxed(&fa->frame_numbers[slot]));
    if ((flags & FAI_JOB_FORKED) != 0) fai_bump(&w->tallies[slot].submitted, 1);
    if (w->context != NULL && (flags & FAI_JOB_STOLEN) == 0) return w->run;
    uint32_t run = fai_worker_fresh_run(w);
    if (job->counter != NULL && (flags & FAI_JOB_STOLEN) != 0) fai_store_relaxed(&job->counter->runner, run);
    return run;
}

void fai_worker_run(fai_worker *w, fai_job *job)
{
    FA_ASSERT(w->claimed);
    FA_ASSERT(job->fn != NULL);
    uint32_t run = enter(w, job);
    fai_context context;
    fai_context_begin(w, &context, job, run);
    job->fn(&w->lane.hot, fai_job_argument(job));
    fai_context_end(w, &context);
    FA_ASSERT(w->lane.slot == fai_job_slot(job));
    w->unpublished++;
    fai_bump(&w->stats.jobs, 1);
    fai_counter_gather(w, job->counter);
}

void fai_worker_run_nested(fai_worker *w, fai_job *job)
{
    uint32_t slot = w->lane.slot;
    uint64_t number = w->lane.frame_number;
    fai_worker_run(w, job);
    if (w->lane.slot != slot) fai_worker_switch_frame(w, slot, number);
}

void fai_worker_run_inline(fai_worker *w, fai_job *job)
{
    FA_ASSERT(w->lane.slot == fai_job_slot(job));
    fai_context context;
    fai_context_begin(w, &context, job, w->run);
    job->fn(&w->lane.hot, fai_job_argument(job));
    fai_context_end(w, &context);
    fai_bump(&w->stats.jobs, 1);
    fai_bump(&w->stats.jobs_inline, 1);
}

// Finding ---------------------------------------------------------------------------------------------------------------

bool fai_worker_pop(fai_worker *w, fai_job *out)
{
    while (fai_deque_pop_owner(&w->deque, out, &w->lane.contention))
        if (FA_LIKELY(out->fn != NULL)) return true;
    return false;
}

fai_steal fai_worker_steal_from(fai_worker *w, fai_worker *victim, const fai_want *want, fai_job *out)
{
    FA_ASSERT(w != victim);
    FA_ASSERT(w->claimed);
    for (;;) {
        fai_steal result = fai_deque_steal_any(&victim->deque, want, out);
        fai_bump(&w->stats.steal_tries, 1);
        FAI_COUNT(&w->lane.contention, steal_tries, 1);
        if (result == FAI_STEAL_LOST) FAI_COUNT(&w->lane.contention, steal_retries, 1);
        if (result != FAI_STEAL_TAKEN) return result;
        if (out->fn == NULL) continue;
        out->meta |= (uint64_t)FAI_JOB_STOLEN << 16;
        fai_bump(&w->stats.steals, 1);
        FAI_COUNT(&w->lane.contention, steals, 1);
        return result;
    }
}

static uint32_t lane_end(const fai_worker *w)
{
    return fai_load_relaxed(&fai_worker_system(w)->lane_end);
}

static uint64_t next_random(fai_worker *w)
{
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    return w->random;
}

static bool claim(fai_worker *w)
{
    if (!w->claimed) w->claimed = fai_lane_claim(&w->lane);
    return w->claimed;
}

bool fai_worker_steal(fai_worker *w, fai_job *out, bool *seen)
{
    uint32_t end = lane_end(w), at = w->last_victim < end ? w->last_victim : 0;
    for (uint32_t n = 0; n < end; n++, at = at + 1 < end ? at + 1 : 0) {
        fai_worker *victim = fai_system_worker(fai_worker_system(w), at);
        if (victim == w) continue;
        for (int races = 0; races < RACES_PER_VICTIM; races++) {
            if (fai_deque_look_any(&victim->deque) <= 0) {
                fai_deque_want_any(&victim->deque);
                break;
            }
            *seen = true;
            if (!claim(w)) return false;
            if (fai_worker_steal_from(w, victim, &FAI_WANT_ANY, out) != FAI_STEAL_TAKEN) continue;
            w->last_victim = at;
            return true;
        }
    }
    w->last_victim = (uint32_t)(next_random(w) % end);
    return false;
}

static int64_t find_own(const fai_worker *w, const fai_want *want, int64_t *cursor)
{
    const fai_deque *deque = &w->deque;
    int64_t top = fai_load_relaxed(&deque->top), head = deque->head;
    int64_t middle = *cursor < top || *cursor > head ? -1 : *cursor; // the last series of looks ended here
    if (fai_worker_system(w)->worker_count == 0) {
        int64_t from = middle < 0 ? top : middle;
        int64_t found = fai_deque_find_oldest_owner(deque, from, head, want);
        if (found == head && from > top) {
            found = fai_deque_find_oldest_owner(deque, top, from, want);
            if (found == from) found = head;
        }
        return *cursor = found == head ? -1 : found;
    }
    int64_t to = middle < 0 ? head : middle;
    int64_t found = fai_deque_find_newest_owner(deque, top, to, want);
    if (found < top && to < head) {
        found = fai_deque_find_newest_owner(deque, to, head, want);
        if (found < to) found = -1;
    }
    return *cursor = found < top ? -1 : found;
}

bool fai_worker_take_own(fai_worker *w, const fai_want *want, int64_t *cursor, fai_job *out)
{
    for (;;) {
        int64_t index = find_own(w, want, cursor);
        if (index < 0) return false;
        if (fai_deque_take_out_owner(&w->deque, index, out)) break;
        FAI_COUNT(&w->lane.contention, own_races, 1);
    }
    fai_worker_publish_all(w);
    return true;
}

/// A job that lay above a wanted one: queued here instead, or run if there is no room.
static void adopt(fai_worker *w, fai_job *job)
{
    fai_job *slot = fai_deque_reserve_owner(&w->deque);
    if (slot == NULL) {
        fai_worker_run_nested(w, job);
        fai_counter_flush(w);
        return;
    }
    fai_job_write(slot, job);
    w->deque.head++;
    fai_worker_publish_all(w);
}

/// Takes jobs from the victim until a wanted one comes, `above` + 1 at most.
static bool dig(fai_worker *w, fai_worker *victim, const fai_want *want, int64_t above, fai_job *out)
{
    for (int64_t left = above + 1; left > 0; left--) {
        fai_steal result = fai_worker_steal_from(w, victim, left > 1 ? &FAI_WANT_ANY : want, out);
        if (result == FAI_STEAL_LOST) continue; // somebody else took one
        if (result != FAI_STEAL_TAKEN) return false;
        if (fai_job_matches(out, want)) return true;
        adopt(w, out);
    }
    return false;
}

bool fai_worker_take_others(fai_worker *w, const fai_want *want, int64_t limit, fai_job *out)
{
    uint32_t end = lane_end(w);
    for (uint32_t n = 0; n < end; n++) {
        fai_worker *victim = fai_system_worker(fai_worker_system(w), n);
        if (victim == w || fai_deque_look_any(&victim->deque) <= 0) continue;
        int64_t above = fai_deque_find_any(&victim->deque, want, limit);
        if (above >= 0 && dig(w, victim, want, above, out)) return true;
    }
    return false;
}

bool fai_worker_sees(const fai_worker *w, const fai_want *want)
{
    uint32_t end = lane_end(w);
    for (uint32_t n = 0; n < end; n++) {
        fai_worker *victim = fai_system_worker(fai_worker_system(w), n);
        if (victim == w) continue;
        int64_t limit = fai_deque_look_any(&victim->deque);
        if (limit > 0 && fai_deque_find_any(&victim->deque, want, limit) >= 0) return true;
    }
    return false;
}

void fai_worker_publish_all(fai_worker *w)
{
    if (w->deque.head == w->deque.base) return;
    FAI_COUNT(&w->lane.contention, publishes, 1);
    fai_deque_publish_owner(&w->deque);
    fai_worker_notify(w, NULL);
    const fai_sleepers *sleepers = &fai_worker_system(w)->sleepers;
    if (fai_lane_set_any(&sleepers->waiting, sleepers->words) != 0) fai_worker_wake_waiting(w, NULL);
}

// Sleeping and waking ------------------------------------------------------------------------------------------------------

void fai_worker_wake(fai_worker *w, uint32_t lane)
{
    fai_bump(&w->stats.wakes, 1);
    FAI_COUNT(&w->lane.contention, wakes, 1);
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

static bool work_is_visible(const fai_worker *w)
{
    uint32_t end = lane_end(w);
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
    // [sleepers.search] acq_rel: orders those who stop; the fence does the rest.
    uint32_t before = fai_sub_acq_rel(&sleepers->searching, 1u);
    FA_ASSERT(before > 0);
    // [sleepers.announce] seq_cst: a publisher that still saw the lane searching published before this look.
    fai_fence_seq_cst();
    return before == 1 && fai_lane_set_any(&sleepers->idle, sleepers->words) != 0 && work_is_visible(w);
}

void fai_worker_wake_idle(fai_worker *w)
{
    fai_sleepers *sleepers = &fai_worker_system(w)->sleepers;
    do {
        uint32_t none = 0;
        FAI_COUNT(&w->lane.contention, idle_updates, 1);
        if (!fai_cas_relaxed(&sleepers->searching, &none, 1u)) return; // somebody searches, for the lane that will be woken
        uint32_t lane = remove_idle(w);
        if (lane != FAI_NO_SLOT) {
            fai_worker_wake(w, lane);
            return;
        }
    } while (stop_searching(w));
}

void fai_worker_search_end(fai_worker *w)
{
    if (stop_searching(w)) fai_worker_wake_idle(w);
}

bool fai_worker_search_begin(fai_worker *w)
{
    fa_system *fa = fai_worker_system(w);
    if (2 * fai_load_relaxed(&fa->sleepers.searching) >= fa->worker_count) return false;
    FAI_COUNT(&w->lane.contention, idle_updates, 1);
    (void)fai_add_relaxed(&fa->sleepers.searching, 1u);
    return true;
}

void fai_worker_wake_waiting(fai_worker *w, const fa_counter *counter)
{
    fa_system *fa = fai_worker_system(w);
    for (uint32_t i = 0; i < fa->sleepers.words; i++) {
        // [sleepers.announce] acquire: what a lane waits for was written before it entered the set.
        uint64_t lanes = fai_load_acquire(&fa->sleepers.waiting.words[i]);
        for (; lanes != 0; lanes &= lanes - 1) {
            uint32_t lane = i * 64 + (uint32_t)__builtin_ctzll(lanes);
            const fai_worker *waiter = fai_system_worker(fa, lane);
            if (waiter == w || (counter != NULL && fai_load_relaxed(&waiter->waiting_for) != counter)) continue;
            FAI_COUNT(&w->lane.contention, idle_updates, 1);
            if (fai_lane_set_remove(&fa->sleepers.waiting, lane)) fai_worker_wake(w, lane);
        }
    }
}

// Worker threads -------------------------------------------------------------------------------------------------------------

/// Lets go of the lane, and says what it has finished.
static void rest(fai_worker *w)
{
    fai_counter_flush(w);
    uint32_t slot = w->lane.slot;
    fai_lane_yield(&w->lane);
    w->claimed = false;
    fai_worker_publish_finished(w, slot);
    fai_rcu_quiescent();
    w->since_quiescent = 0;
}

static bool is_stopping(const fa_system *fa)
{
    // [system.stop] acquire: the main lane has run all jobs.
    return fai_load_acquire(&fa->stopping) != 0;
}

/// Sleeps unless there is something to do after all. Returns whether the lane now counts as searching.
static bool sleep_idle(fai_worker *w, bool searching)
{
    fa_system *fa = fai_worker_system(w);
    FA_ASSERT(!w->claimed);
    FAI_COUNT(&w->lane.contention, idle_updates, 2);
    fai_lane_set_add(&fa->sleepers.idle, w->lane.hot.index);
    if (searching) {
        // [sleepers.search] acq_rel: as in stop_searching(); this lane's look below replaces waking another.
        (void)fai_sub_acq_rel(&fa->sleepers.searching, 1u);
        // [sleepers.announce] seq_cst: likewise.
        fai_fence_seq_cst();
    }
    if (!work_is_visible(w) && !is_stopping(fa)) {
        fai_bump(&w->stats.parks, 1);
        FAI_COUNT(&w->lane.contention, parks, 1);
        fai_rcu_offline();
        fai_park_owner(&w->parker);
        fai_rcu_online();
    }
    if (!fai_lane_set_remove(&fa->sleepers.idle, w->lane.hot.index)) return true; // by who woke it and counted it
    return fai_worker_search_begin(w);
}

/// Looks for a job until there is one; false when the system stops.
static bool search(fai_worker *w, fai_job *out)
{
    const fa_system *fa = fai_worker_system(w);
    bool searching = fai_worker_search_begin(w);
    uint64_t deadline = searching && fa->spin_ns > 0 ? fai_now_ns() + fa->spin_ns : 0;
    for (uint32_t round = 1;; round++) {
        bool seen = false, found = fai_worker_steal(w, out, &seen);
        if (found || is_stopping(fa)) {
            if (searching) fai_worker_search_end(w);
            return found;
        }
        if (w->claimed) rest(w);
        if (deadline != 0 && round % ROUNDS_PER_CLOCK == 0 && fai_now_ns() >= deadline) deadline = 0;
        if (seen || deadline != 0) {
            fai_pause();
            continue;
        }
        searching = sleep_idle(w, searching);
        if (searching && fa->spin_ns > 0) deadline = fai_now_ns() + fa->spin_ns;
    }
}

/// The next job without letting go of the lane.
static bool next(fai_worker *w, fai_job *out)
{
    if (++w->since_quiescent >= JOBS_PER_QUIESCENT_STATE) {
        w->since_quiescent = 0;
        fai_rcu_quiescent();
    }
    fai_lane_service_if_due(&w->lane);
    bool seen = false;
    return fai_worker_pop(w, out) || fai_worker_steal(w, out, &seen);
}

void fai_worker_main(void *worker)
{
    fai_worker *w = worker;
    FA_ASSERT(!fai_worker_is_main(w) && !fai_worker_is_attached(w));
    fai_self_add(w);
    fai_rcu_register();
    fai_rcu_online();
    fai_worker_touch(w);
    fai_job job;
    while (search(w, &job)) {
        do fai_worker_run(w, &job);
        while (next(w, &job));
        rest(w);
    }
    FA_ASSERT(w->deque.head == fai_load_relaxed(&w->deque.top) || w->deque.head == w->deque.base);
    fai_rcu_offline();
    fai_rcu_unregister();
    fai_self_remove(w);
}
