// SPDX-License-Identifier: MIT
//
// Jobs for the main lane: see main_jobs.h.
#include "jobs/main_jobs.h"

#include "jobs/attach.h"
#include "jobs/counter.h"
#include "jobs/wake.h"

/// Wakes the main lane if it is parked: it may be in either set.
static void wake_main(fai_worker *w)
{
    fai_sleepers *sleepers = &fai_worker_system(w)->sleepers;
    // [sleepers.announce] seq_cst: the job before the look at whether the main lane sleeps.
    fai_fence_seq_cst();
    if (fai_lane_set_has(&sleepers->waiting, 0) && fai_lane_set_remove(&sleepers->waiting, 0)) fai_wake_lane(w, 0);
    if (!fai_lane_set_has(&sleepers->idle, 0)) return;
    // Whoever removes an idle lane counts it, and counts it before: the lane takes itself off the count as soon as it finds itself removed.
    (void)fai_add_relaxed(&sleepers->searching, 1u);
    if (fai_lane_set_remove(&sleepers->idle, 0))
        fai_wake_lane(w, 0);
    else
        fai_search_end(w);
}

bool fai_main_jobs_submit(fai_worker *w, const fai_job *job)
{
    FA_ASSERT(w->lane.slot != FAI_NO_SLOT);
    FA_ASSERT(job->fn != NULL);
    fai_main_job *node = fa_frame_alloc(&w->lane.hot, sizeof *node);
    if (node == NULL) return false;
    fai_lane_keep_frame(&w->lane);
    node->job = *job;
    if (job->counter != NULL) fai_counter_add(w, job->counter, 1);
    fai_bump(&w->tallies[w->lane.slot].submitted, 1);
    (void)fai_inbox_push_any(&fai_worker_system(w)->main_inbox, &node->entry, &node->entry, &w->lane.contention);
    if (!fai_worker_is_main(w)) wake_main(w);
    return true;
}

/// Appends new arrivals to the main lane's list: the inbox gives the last one first.
static void receive(fa_system *fa)
{
    fai_inbox_entry *entry = fai_inbox_take_owner(&fa->main_inbox);
    fai_main_job *first = NULL, *last = (fai_main_job *)(void *)entry;
    while (entry != NULL) {
        fai_main_job *node = (fai_main_job *)(void *)entry;
        entry = entry->next;
        node->next = first;
        first = node;
    }
    if (first == NULL) return;
    if (fa->main_first == NULL)
        fa->main_first = first;
    else
        fa->main_last->next = first;
    fa->main_last = last;
}

/// Removes the first wanted job from the list.
static fai_main_job *take(fa_system *fa, const fai_want *want)
{
    fai_main_job *before = NULL, *node = fa->main_first;
    while (node != NULL && !fai_job_matches(&node->job, want)) {
        before = node;
        node = node->next;
    }
    if (node == NULL) return NULL;
    if (before == NULL)
        fa->main_first = node->next;
    else
        before->next = node->next;
    if (fa->main_last == node) fa->main_last = before;
    FA_ASSERT((fa->main_first == NULL) == (fa->main_last == NULL));
    return node;
}

bool fai_main_jobs_run_one(fai_worker *w, const fai_want *want)
{
    fa_system *fa = fai_worker_system(w);
    FA_ASSERT(fai_worker_is_main(w));
    receive(fa);
    fai_main_job *node = take(fa, want);
    if (node == NULL) return false;
    fai_worker_run_nested(w, &node->job);
    fai_counter_flush(w);
    return true;
}

uint32_t fai_main_jobs_run(fai_worker *w, const fai_want *want)
{
    uint32_t count = 0;
    while (fai_main_jobs_run_one(w, want)) count++;
    return count;
}

uint32_t fa_run_main_jobs(fa_system *fa)
{
    if (fa == NULL || fai_memory_check_main(&fa->memory) != FA_OK) return 0;
    fai_worker *w = fai_system_worker(fa, 0);
    if (w->context != NULL || fai_lane_check(&w->lane) != FA_OK || w->lane.idle) return 0;
    if (fai_is_reporting(&fa->memory)) return 0;
    if (!w->online) fai_rcu_online();
    uint32_t count = fai_main_jobs_run(w, &FAI_WANT_ANY);
    if (!w->online) fai_rcu_offline();
    return count;
}
