// SPDX-License-Identifier: MIT
//
// Waiting. A lane that waits for a counter never runs unrelated work; in this order it takes
//   1. jobs of the counter from its own deque,
//   2. jobs of the counter that lie near the old end of another lane's deque, where the next thief would find them,
//   3. descendants of a job of the counter from the lane that runs it (leapfrogging, Wagner and Calder 1993): jobs
//      submitted by the run that fa_counter.runner names, queued on that run's lane;
// then it looks around for a bounded time, searches all deques to the bottom, and parks. The main lane runs whatever main-thread jobs there are
// before it parks.
//
// Who parks has seen that every job of the counter that is not done has been started; what those need for their own
// progress they run themselves, or wait for in the same way. A job of the counter that is queued later wakes the
// waiter: its submitter looks at the set of waiting lanes after publishing (sleepers.h).
#include "jobs/wait.h"

#include "concurrent/clock.h"
#include "jobs/counter.h"
#include "jobs/deadlock.h"
#include "jobs/main_jobs.h"
#include "jobs/take.h"
#include "jobs/wake.h"

// How deep a spinning waiter looks into others' deques; each entry is a cache miss.
#define NEAR_TOP 2
#define ROUNDS_PER_CLOCK 8

/// A descendant of a job of the counter, from the lane that runs it; if that lane has none to give it is asked.
static bool take_descendant(fai_worker *w, const fa_counter *counter, fai_job *out)
{
    const fa_system *fa = fai_worker_system(w);
    uint32_t run = fai_load_relaxed(&counter->runner), lane = run >> 24;
    if (run == 0 || lane == w->lane.hot.index || lane >= fai_load_relaxed(&fa->lane_end)) return false;
    fai_worker *runner = fai_system_worker(fa, lane);
    if (fai_deque_look_any(&runner->deque) == 0) {
        fai_deque_want_any(&runner->deque);
        return false;
    }
    fai_want want = {.counter = NULL, .slot = FAI_SLOT_ANY, .run = run};
    return fai_deque_find_any(&runner->deque, &want, 1) == 0 &&
           fai_take_oldest_of(w, runner, &want, out) == FAI_STEAL_TAKEN;
}

static bool has_main_jobs(const fai_worker *w)
{
    return fai_worker_is_main(w) && fai_main_jobs_any(fai_worker_system(w));
}

/// Main-thread jobs, on the main lane. Those of other counters wait inside a job until there is nothing else to do before the lane
/// parks; then they must run, one by one: a job that this one waits for may wait for one of them, wherever it runs.
static void help_main_jobs(fai_worker *w, const fa_counter *counter, const fai_want *want, uint32_t limit)
{
    if (w->context == NULL) {
        (void)fai_main_jobs_run(w, &FAI_WANT_ANY);
        return;
    }
    if (!fa_is_done(counter)) (void)fai_main_jobs_run(w, want);
    if (limit != UINT32_MAX) return;
    while (!fa_is_done(counter) && fai_main_jobs_run_one(w, &FAI_WANT_ANY)) {
    }
}

/// Runs what the rules above allow, as long as there is any.
static void help(fai_worker *w, const fa_counter *counter, const fai_want *want, uint32_t limit)
{
    int64_t cursor = -1;
    fai_job job;
    FA_ASSERT(w->claimed);
    while (fai_take_own(w, want, &cursor, &job) || fai_take_others(w, want, limit, &job) ||
           (!fa_is_done(counter) && take_descendant(w, counter, &job)))
        fai_worker_run_nested(w, &job);
    fai_counter_flush(w);
    FA_ASSERT(w->gathered_count == 0);
    if (has_main_jobs(w)) help_main_jobs(w, counter, want, limit);
}

/// Sleeps until woken unless there is something to do after all. True: the wait can never end.
static bool park(fai_worker *w, fa_counter *counter, const fai_want *want)
{
    fa_system *fa = fai_worker_system(w);
    const char *cycle = NULL;
    FA_ASSERT(w->deque.head == w->deque.base); // nobody could take it while this lane sleeps
    FA_ASSERT(w->gathered_count == 0);         // nor wait for it
    FA_ASSERT(!fai_lane_set_has(&fa->sleepers.idle, w->lane.hot.index));
    FAI_COUNT(&w->lane.contention, idle_updates, 2);
    if (fa->checked)
        fai_deadlock_show(w, counter);
    else
        fai_store_relaxed(&w->waiting_for, counter);
    fai_lane_set_add(&fa->sleepers.waiting, w->lane.hot.index);
    if (fai_counter_wait_begin(w, counter)) {
        if (fai_take_sees(w, want) || has_main_jobs(w)) {
            // Something came meanwhile.
        } else if (fa->checked && w->context != NULL && (cycle = fai_deadlock_over_lanes(w, counter)) != NULL) {
            // It is reported below, when a sink may use the lane.
        } else {
            fai_count(&w->stats.parks, 1);
            fai_count(&w->stats.waits_parked, 1);
            FAI_COUNT(&w->lane.contention, parks, 1);
            fai_zone zone = fai_worker_park_begin(w);
            fai_park_owner(&w->parker);
            fai_worker_park_end(w, &zone);
        }
    }
    (void)fai_lane_set_remove(&fa->sleepers.waiting, w->lane.hot.index);
    fai_counter_wait_end(w, counter);
    if (fa->checked) fai_deadlock_hide(w);
    if (cycle != NULL) fai_deadlock_report(w, cycle);
    return cycle != NULL;
}

/// Waits for jobs that were not done at first sight.
static fa_status wait_on(fai_worker *w, fa_counter *counter, bool may_fail)
{
    const fa_system *fa = fai_worker_system(w);
    const fai_want want = {.counter = counter, .slot = FAI_SLOT_ANY, .run = 0};
    uint64_t deadline = 0;
    uint32_t limit = NEAR_TOP;
    fai_publish_all(w); // what lies private here nobody else could run while this lane waits
    for (uint32_t round = 1;; round++) {
        uint64_t jobs = w->lane.serial_last;
        help(w, counter, &want, limit);
        limit = NEAR_TOP;
        if (fa_is_done(counter)) return FA_OK;
        if (w->lane.serial_last != jobs) deadline = 0; // ran something
        if (deadline == 0) deadline = fa->spin_ns > 0 ? fai_now_ns() + fa->spin_ns : 1;
        if (deadline > 1 && (round % ROUNDS_PER_CLOCK != 0 || fai_now_ns() < deadline)) {
            fai_pause();
            continue;
        }
        if (park(w, counter, &want) && may_fail) return FA_ERROR_DEADLOCK;
        deadline = 0;
        limit = UINT32_MAX; // it may have been woken for a job that lies deep, or for the main thread
    }
}

static fa_status wait_for(fai_worker *w, fa_counter *counter, bool may_fail)
{
    fai_counter_flush(w);
    if (fa_is_done(counter)) return FA_OK;
    if (fai_deadlock_on_stack(w, counter) && may_fail) return FA_ERROR_DEADLOCK;
    fai_zone zone = fai_zone_begin(&w->lane, FA_EVENT_WAIT_BEGIN, NULL, 0, 0);
    fa_status status = wait_on(w, counter, may_fail);
    fai_zone_end(&w->lane, &zone, NULL, 0, 0);
    return status;
}

void fai_wait_for_own(fai_worker *w, fa_counter *counter)
{
    fa_status status = wait_for(w, counter, false);
    FA_ASSERT(status == FA_OK);
    (void)status;
    fai_worker_publish_holder(w);
}

fa_status fa_wait(fa_worker *worker, fa_counter *counter)
{
    if (worker == NULL || counter == NULL) return FA_ERROR_INVALID;
    fai_worker *w = fai_worker_of(worker);
    fa_status usable = fai_lane_check(&w->lane);
    if (usable != FA_OK) return usable;
    if (fa_is_done(counter) && w->gathered != counter) return FA_OK;
    if (w->lane.checked && !fai_counter_is_ours(w, counter)) return FA_ERROR_INVALID;
    bool between_jobs = w->context == NULL && !fai_worker_is_main(w) && !fai_worker_is_attached(w); // a sink calls
    if (w->lane.idle || between_jobs) return FA_ERROR_STATE;
    bool online = w->online;
    if (w->context == NULL && !online) fai_rcu_online(); // the main lane between frames
    fa_status status = wait_for(w, counter, true);
    if (w->context == NULL && !online) fai_rcu_offline();
    fai_worker_publish_holder(w);
    return status;
}
