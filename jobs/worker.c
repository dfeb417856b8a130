// SPDX-License-Identifier: MIT
//
// Workers: running jobs, and the life of a worker thread. See worker.h.
#include "jobs/worker.h"

#include "concurrent/clock.h"
#include "jobs/attach.h"
#include "jobs/counter.h"
#include "jobs/inherit.h"
#include "jobs/take.h"
#include "jobs/tick.h"
#include "jobs/wake.h"

// A search that finds nothing but jobs that are not worth it ends after this many times the usual spin: to sleep and be
// woken costs the other side 3 µs.
#define SPINS_IN_SIGHT 10u
// Looks at the other lanes between two looks at the clock, which costs as much as one.
#define ROUNDS_PER_CLOCK 8

// Running -------------------------------------------------------------------------------------------------------------

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
    if (fai_load_relaxed(&fa->awaited_slot) == slot && fai_frame_jobs_done(fa, slot)) fai_wake_lane(w, 0);
}

void fai_worker_switch_frame(fai_worker *w, uint32_t slot, uint64_t number)
{
    uint32_t left = w->lane.slot;
    FA_ASSERT(slot != left || slot == FAI_NO_SLOT);
    fai_lane_switch_frame(&w->lane, slot, number);
    fai_worker_publish_finished(w, left);
}

/// Prepares for a job that was queued; returns its run.
static uint32_t enter(fai_worker *w, fai_job *job)
{
    const fa_system *fa = fai_worker_system(w);
    uint32_t slot = fai_job_slot(job), flags = fai_job_flags(job);
    FA_ASSERT(slot < fa->frame_slots);
    fai_counter_flush_others(w, job->counter);
    if (w->lane.slot != slot) {
        if (w->context == NULL && !fai_worker_is_main(w) && !fai_worker_is_attached(w)) fai_lane_forget_stale(&w->lane);
        fai_worker_switch_frame(w, slot, fai_load_relaxed(&fa->frame_numbers[slot]));
    }
    FA_ASSERT(w->lane.frame_number == fai_load_relaxed(&fa->frame_numbers[slot]));
    if ((flags & FAI_JOB_FORKED) != 0) fai_bump(&w->tallies[slot].submitted, 1);
    if (w->context != NULL && (flags & FAI_JOB_STOLEN) == 0) return w->run;
    uint32_t run = fai_worker_fresh_run(w);
    if (job->counter != NULL && (flags & FAI_JOB_STOLEN) != 0) fai_store_relaxed(&job->counter->runner, run);
    return run;
}

__attribute__((noinline)) void fai_job_call_watched(fai_worker *w, fa_job_fn *fn, void *arg)
{
    const char *name = w->context->name;
    uint64_t function = (uintptr_t)fai_heir_function(fn, arg), depth = w->lane.depth;
    uint32_t outer = w->forks;
    int64_t since = w->deque.head;
    w->forks = 0;
    fai_zone zone = fai_zone_begin(&w->lane, FA_EVENT_JOB_BEGIN, name, function, depth);
    fn(&w->lane.hot, arg);
    fai_zone_end(&w->lane, &zone, name, function, depth);
    if (FA_UNLIKELY(w->forks > 0)) fai_forks_cut(w, since);
    w->forks = outer;
}

void fai_worker_run(fai_worker *w, fai_job *job)
{
    FA_ASSERT(w->claimed);
    FA_ASSERT(job->fn != NULL);
    uint32_t before = w->run;
    w->run = enter(w, job);
    fai_context context;
    fai_context_begin(w, &context, job, fai_job_name(job));
    fai_job_call(w, job->fn, fai_job_argument(job));
    fai_context_end(w, &context);
    w->run = before;
    FA_ASSERT(w->lane.slot == fai_job_slot(job));
    w->unpublished++;
    fai_count(&w->stats.jobs, 1);
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
    fai_context_begin(w, &context, job, fai_job_name(job));
    fai_job_call(w, job->fn, fai_job_argument(job));
    fai_context_end(w, &context);
    fai_count(&w->stats.jobs, 1);
    fai_count(&w->stats.jobs_inline, 1);
}

// Worker threads ------------------------------------------------------------------------------------------------------

/// Lets go of the lane, and says what it has finished.
static void rest(fai_worker *w)
{
    FA_ASSERT(w->claimed && w->context == NULL);
    FA_ASSERT(w->deque.head == w->deque.base);
    fai_counter_flush(w);
    uint32_t slot = w->lane.slot;
    fai_lane_yield(&w->lane);
    w->claimed = false;
    fai_worker_publish_finished(w, slot);
    fai_rcu_quiescent();
}

static bool is_stopping(const fa_system *fa)
{
    return fai_load_relaxed(&fa->stopping) != 0;
}

/// Sleeps unless there is something to do after all. Returns whether the lane now counts as searching.
static bool sleep_idle(fai_worker *w, bool searching)
{
    fa_system *fa = fai_worker_system(w);
    FA_ASSERT(!w->claimed && w->unpublished == 0);
    FA_ASSERT(w->gathered_count == 0);
    FAI_COUNT(&w->lane.contention, idle_updates, 2);
    fai_lane_set_add(&fa->sleepers.idle, w->lane.hot.index);
    if (searching) {
        (void)fai_sub_relaxed(&fa->sleepers.searching, 1u);
        // [sleepers.announce] seq_cst: as in stop_searching(); this lane's look below replaces waking another.
        fai_fence_after_rmw_seq_cst();
    }
    if (!fai_work_is_visible(w) && !is_stopping(fa)) {
        fai_count(&w->stats.parks, 1);
        FAI_COUNT(&w->lane.contention, parks, 1);
        fai_rcu_offline();
        fai_zone zone = fai_worker_park_begin(w);
        fai_park_owner(&w->parker);
        fai_worker_park_end(w, &zone);
        fai_rcu_online();
    } else {
        fai_rcu_quiescent(); // it may go on looking at jobs that are not worth it
    }
    if (!fai_lane_set_remove(&fa->sleepers.idle, w->lane.hot.index)) return true; // by who woke it and counted it
    return fai_search_begin(w);
}

/// When a search is to end: after a while without jobs in sight, and some time later also with jobs that were not worth
/// it.
typedef struct patience {
    uint64_t until_ns; // 0: at once
    uint64_t limit_ns;
} patience;

static patience be_patient(const fa_system *fa, bool searching)
{
    if (!searching || fa->spin_ns == 0) return (patience){0};
    uint64_t now = fai_now_ns();
    return (patience){now + fa->spin_ns, now + SPINS_IN_SIGHT * fa->spin_ns};
}

static bool is_patient(const fa_system *fa, patience *p, bool seen, uint32_t round)
{
    if (p->until_ns == 0) return seen; // what is in sight is looked at twice all the same
    if (!seen && round % ROUNDS_PER_CLOCK != 0) return true;
    uint64_t now = fai_now_ns();
    if (seen) p->until_ns = now + fa->spin_ns;
    return now < p->until_ns && now < p->limit_ns;
}

/// Looks for a job until there is one; false when the system stops.
static bool search(fai_worker *w, fai_job *out)
{
    const fa_system *fa = fai_worker_system(w);
    bool searching = fai_search_begin(w);
    patience p = be_patient(fa, searching);
    for (uint32_t round = 1;; round++) {
        bool seen = false, found = fai_take_stolen(w, out, &seen);
        if (found || is_stopping(fa)) {
            if (searching) fai_search_end(w);
            return found;
        }
        if (is_patient(fa, &p, seen, round)) {
            fai_pause();
            continue;
        }
        searching = sleep_idle(w, searching);
        p = be_patient(fa, searching);
    }
}

/// The next job without letting go of the lane, which has run `jobs`.
static bool next(fai_worker *w, uint32_t jobs, fai_job *out)
{
    fai_worker_pass(w, jobs);
    fai_lane_service_if_due(&w->lane);
    bool seen = false;
    return fai_take_newest(w, out) || fai_take_stolen(w, out, &seen);
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
        uint32_t jobs = 0;
        do fai_worker_run(w, &job);
        while (next(w, ++jobs, &job));
        rest(w);
    }
    FA_ASSERT(w->deque.head == w->deque.base && fai_deque_look_any(&w->deque) == 0);
    fai_rcu_offline();
    fai_rcu_unregister();
    fai_self_remove(w);
}
