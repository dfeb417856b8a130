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
// A thief costs its victim cache misses: one now, and one for every slot that it read when the slot is used again, about 0.1 µs each. So tiny jobs are
// better left alone: 64 of 15 ns each take 2 µs on one lane, and took 20 µs with a thief that snatched one after the other. A thief
// looks twice at a deque, LOOK_NS apart. If its owner has not moved in between it is busy with something large, or away: worth it. If it has, it
// is worth it when the rest would take the owner WORTH_NS at that pace and a job takes JOB_NS or more: at the owner's pace when it is
// popping; as far as the thief knows from the last ones when the owner is pushing. When it does not know it takes a few to find out.
#define LOOK_NS 300u
#define LOOK_BUSY_NS 1000u
#define WORTH_NS 3000u
#define JOB_NS 150u
#define STALE_NS 50000u
#define SAMPLE 4u
// Jobs that a thief takes at a time at most; each is one cache miss, but they overlap.
#define STEAL_MAX 32u
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
    while (fai_deque_pop_owner(&w->deque, out))
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

/// Looks at a deque that has jobs: how many of them it pays to take.
static uint32_t worth(fai_worker *w, uint32_t lane, uint64_t word)
{
    fai_watch *watch = &w->watch;
    uint64_t now = fai_now_ns(), count = fai_deque_count_of(word), elapsed = now - watch->at_ns;
    uint32_t base = (fai_deque_top_of(word) + (uint32_t)count) & 0xffff;
    int16_t moved = (int16_t)(uint16_t)(base - watch->base);
    bool known = watch->again_ns != 0 && watch->lane == lane && elapsed < STALE_NS;
    watch->lane = lane;
    watch->base = base;
    watch->at_ns = now;
    watch->again_ns = now + LOOK_NS;
    if (!known) return 0;
    if (moved == 0) return STEAL_MAX;
    uint64_t pace = elapsed / (uint64_t)(moved < 0 ? -moved : moved);
    if (count * pace < WORTH_NS) return 0;
    if (moved < 0) return pace >= JOB_NS ? STEAL_MAX : 0;
    if (now - watch->taken_ns >= STALE_NS) return SAMPLE;
    return watch->job_ns >= JOB_NS ? STEAL_MAX : 0;
}

static uint32_t steal_many(fai_worker *w, fai_worker *victim, uint32_t limit, fai_job *out)
{
    if (limit > w->deque.mask / 2) limit = (uint32_t)(w->deque.mask / 2);
    uint32_t n = fai_deque_steal_many_any(&victim->deque, &w->deque, limit, out);
    fai_bump(&w->stats.steal_tries, 1);
    FAI_COUNT(&w->lane.contention, steal_tries, 1);
    if (n == 0) {
        FAI_COUNT(&w->lane.contention, steal_retries, 1);
        return 0;
    }
    fai_bump(&w->stats.steals, n);
    FAI_COUNT(&w->lane.contention, steals, n);
    out->meta |= (uint64_t)FAI_JOB_STOLEN << 16;
    fai_worker_publish_all(w); // what was out of sight for a moment
    w->watch.taken = n;
    w->watch.taken_ns = fai_now_ns();
    return n;
}

/// Tries one lane: whether it had jobs, and whether it was worth a try.
static bool try_victim(fai_worker *w, uint32_t lane, fai_job *out, bool *seen)
{
    fai_worker *victim = fai_system_worker(fai_worker_system(w), lane);
    uint64_t word = fai_load_relaxed(&victim->deque.word);
    if (fai_deque_count_of(word) == 0) {
        fai_deque_want_any(&victim->deque);
        return false;
    }
    *seen = true;
    uint32_t limit = worth(w, lane, word);
    if (limit == 0 || !claim(w) || steal_many(w, victim, limit, out) == 0) return false;
    w->last_victim = lane;
    return out->fn != NULL || fai_worker_pop(w, out);
}

/// The jobs that the thief last took are done: what one took.
static void account_taken(fai_watch *watch, uint64_t now)
{
    if (watch->taken == 0) return;
    watch->job_ns = (now - watch->taken_ns) / watch->taken;
    watch->taken_ns = now;
    watch->taken = 0;
}

bool fai_worker_steal(fai_worker *w, fai_job *out, bool *seen)
{
    uint32_t end = lane_end(w), self = w->lane.hot.index, watched = self;
    fai_watch *watch = &w->watch;
    uint64_t again_ns = 0;
    if (watch->again_ns != 0) {
        uint64_t now = fai_now_ns();
        account_taken(watch, now);
        if (now < watch->again_ns) {
            *seen = true;
            return false;
        }
        watched = watch->lane;
        if (try_victim(w, watched, out, seen)) return true;
        if (*seen) again_ns = watch->at_ns + LOOK_BUSY_NS;
        watch->again_ns = 0; // what others have counts as not seen yet
    }
    uint32_t lane = w->last_victim < end ? w->last_victim : 0;
    for (uint32_t n = 0; n < end; n++, lane = lane + 1 < end ? lane + 1 : 0) {
        if (lane == self || lane == watched) continue;
        if (try_victim(w, lane, out, seen)) return true;
        if (watch->again_ns != 0) return false;
    }
    watch->again_ns = again_ns; // nobody else has any
    w->last_victim = (uint32_t)(next_random(w) % end);
    return false;
}

/// The index of a wanted job in the own deque, -1 if there is none.
static int64_t find_own(fai_worker *w, const fai_want *want, int64_t *cursor)
{
    fai_deque *deque = &w->deque;
    int64_t top = fai_deque_oldest_owner(deque), head = deque->head;
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
static bool dig(fai_worker *w, fai_worker *victim, const fai_want *want, int32_t above, fai_job *out)
{
    for (int32_t left = above + 1; left > 0; left--) {
        fai_steal result = fai_worker_steal_from(w, victim, left > 1 ? &FAI_WANT_ANY : want, out);
        if (result == FAI_STEAL_LOST) continue; // somebody else took one
        if (result != FAI_STEAL_TAKEN) return false;
        if (fai_job_matches(out, want)) return true;
        adopt(w, out);
    }
    return false;
}

bool fai_worker_take_others(fai_worker *w, const fai_want *want, uint32_t limit, fai_job *out)
{
    uint32_t end = lane_end(w);
    for (uint32_t n = 0; n < end; n++) {
        fai_worker *victim = fai_system_worker(fai_worker_system(w), n);
        if (victim == w || fai_deque_look_any(&victim->deque) == 0) continue;
        int32_t above = fai_deque_find_any(&victim->deque, want, limit);
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
        if (fai_deque_find_any(&victim->deque, want, UINT32_MAX) >= 0) return true;
    }
    return false;
}

void fai_worker_publish_all(fai_worker *w)
{
    int64_t n = fai_deque_private_owner(&w->deque);
    if (n == 0) return;
    FAI_COUNT(&w->lane.contention, publishes, 1);
    fai_deque_publish_owner(&w->deque, n);
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
    fai_fence_after_rmw_seq_cst();
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
        fai_fence_after_rmw_seq_cst();
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
    FA_ASSERT(w->deque.head == w->deque.base && fai_deque_look_any(&w->deque) == 0);
    fai_rcu_offline();
    fai_rcu_unregister();
    fai_self_remove(w);
}
