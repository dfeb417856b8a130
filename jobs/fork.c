// SPDX-License-Identifier: MIT
//
// Fork and join. A forked task lies in the private part of the deque; a join that finds it there calls it: no fence and
// no read-modify-write on either side. When another lane wants work the older half of the private part becomes public.
#include "jobs/counter.h"
#include "jobs/inherit.h"
#include "jobs/submit.h"
#include "jobs/wait.h"
#include "jobs/wake.h"

__attribute__((noinline)) static void share(fai_worker *w)
{
    int64_t n = fai_deque_private_owner(&w->deque);
    if (n == 0) return;
    fai_store_relaxed(&w->deque.wanted, 0u);
    fai_deque_publish_owner(&w->deque, (n + 1) / 2);
    FAI_COUNT(&w->lane.contention, publishes, 1);
    fai_notify(w, NULL);
}

static void set_done(fa_task *task)
{
    fai_store_relaxed(&task->counter.state, UINT64_C(0));
}

/// Runs a task for which there is no room, or no memory for what it inherits.
__attribute__((noinline)) static fa_status fork_inline(fai_worker *w, fa_task *task, fa_job_fn *fn, uint64_t arg)
{
    fai_job job = {.fn = fn, .args = {arg}};
    fai_submit_complete(w, &job, FAI_JOB_FORKED);
    set_done(task);
    fai_worker_run_inline(w, &job);
    return FA_OK;
}

/// Queues a task whose counter is set but for its state. As in fa_submit(), it goes from registers into its slot.
static inline __attribute__((always_inline)) fa_status fork_task(fai_worker *w, fa_task *task, fa_job_fn *fn,
                                                                 uint64_t arg, bool may_queue)
{
    if (FA_UNLIKELY(!may_queue || !fai_deque_has_room_owner(&w->deque))) return fork_inline(w, task, fn, arg);
    fai_job job = {.fn = fn, .counter = &task->counter, .args = {arg}};
    fai_submit_complete(w, &job, FAI_JOB_FORKED);
    fai_store_relaxed(&task->counter.state, UINT64_C(1));
    fai_job_write_pointer(fai_deque_at(&w->deque, w->deque.head++), &job);
    if (FA_UNLIKELY(fai_deque_is_wanted_owner(&w->deque))) share(w);
    return FA_OK;
}

/// The gate is closed: nothing may be forked here, or the system is checked, or the task may inherit memory.
__attribute__((noinline)) static fa_status fork_gated(fai_worker *w, fa_task *task, fa_job_fn *fn, void *arg)
{
    fa_status status = fai_submit_check(w, &task->counter);
    if (status != FA_OK) {
        set_done(task);
        return status;
    }
    w->forks += w->lane.checked;
    fai_job job = {.fn = fn, .counter = &task->counter, .args = {(uintptr_t)arg, 0, 0}};
    fai_heir spare;
    uint32_t flags = 0;
    bool may_queue = fai_inherit(w, &job, &flags, &spare);
    return fork_task(w, task, job.fn, job.args[0], may_queue);
}

fa_status fa_fork(fa_worker *worker, fa_task *task, fa_job_fn *fn, void *arg)
{
    if (FA_UNLIKELY(worker == NULL || task == NULL || fn == NULL)) return FA_ERROR_INVALID;
    fai_worker *w = fai_worker_of(worker);
    task->counter.runner = task->counter.system = 0;
    if (FA_UNLIKELY(w->lane.gate == FAI_NO_SLOT)) return fork_gated(w, task, fn, arg);
    return fork_task(w, task, fn, (uintptr_t)arg, true);
}

/// Runs a task that nobody took, as a call. The deque does not hold it any more.
static inline __attribute__((always_inline)) void run_joined(fai_worker *w, fa_task *task, const fai_job *job)
{
    fai_context context;
    fai_context_begin(w, &context, job, NULL);
    set_done(task);
    fai_job_call(w, job->fn, (void *)(uintptr_t)job->args[0]);
    fai_context_end(w, &context);
    fai_count(&w->stats.jobs, 1);
}

/// What checked systems ask of a join. The gate is closed.
static bool may_join(fai_worker *w, fa_task *task)
{
    if (!w->lane.checked) return true;
    if (!fai_lane_may_use(&w->lane)) return false;
    if (task->counter.system == 0) return !fa_is_done(&task->counter); // not forked, or joined already
    if (task->counter.system != w->lane.memory->number) {
        (void)fai_counter_is_ours(w, &task->counter);
        return false;
    }
    task->counter.system = 0;
    if (w->forks > 0) w->forks--;
    return true;
}

/// Any join.
__attribute__((noinline)) static void join_slow(fai_worker *w, fa_task *task)
{
    if (FA_UNLIKELY(w->lane.gate == FAI_NO_SLOT) && !may_join(w, task)) return;
    if (fa_is_done(&task->counter)) return;
    int64_t newest = w->deque.head - 1;
    fai_job job;
    if (newest >= fai_deque_top_owner(&w->deque) && fai_deque_at(&w->deque, newest)->counter == &task->counter &&
        fai_deque_take_out_owner(&w->deque, newest, &job)) {
        if (fai_deque_is_wanted_owner(&w->deque)) share(w);
        run_joined(w, task, &job);
        return;
    }
    fai_wait_for_own(w, &task->counter);
    FA_ASSERT(fa_is_done(&task->counter));
}

/// Most joins find the task where the fork left it, with nothing else to be done. They prepare for no call but the task's: the
/// others are join_slow()'s as a whole.
void fa_join(fa_worker *worker, fa_task *task)
{
    if (FA_UNLIKELY(worker == NULL || task == NULL)) return;
    fai_worker *w = fai_worker_of(worker);
    int64_t newest = w->deque.head - 1;
    if (FA_UNLIKELY(w->lane.gate == FAI_NO_SLOT || newest < w->deque.base || fai_deque_is_wanted_owner(&w->deque))) {
        join_slow(w, task);
        return;
    }
    fai_job job;
    fai_job_read_pointer(fai_deque_at(&w->deque, newest), &job);
    if (FA_UNLIKELY(job.counter != &task->counter || fai_job_label(&job) != fai_lane_label(&w->lane))) {
        join_slow(w, task);
        return;
    }
    w->deque.head = newest;
    run_joined(w, task, &job);
}

// Forks that were not joined --------------------------------------------------------------------------------------------

bool fai_forks_are_left(const fai_worker *w)
{
    if (FA_LIKELY(w->forks == 0)) return false;
    fai_report(w->lane.memory, &w->lane, "FA203", "the call is refused: a task must be joined where it was forked",
               "call fa_join() for every fa_fork() first", "%u forks were not joined", (unsigned)w->forks);
    return true;
}

void fai_forks_cut(fai_worker *w, int64_t since)
{
    fai_deque *deque = &w->deque;
    int64_t from = fai_deque_top_owner(deque) > since ? fai_deque_top_owner(deque) : since;
    while (from < deque->base && !fai_deque_take_back_owner(deque, from)) from = fai_deque_top_owner(deque);
    uint32_t left = w->forks, cut = 0;
    for (int64_t i = from; i < deque->head; i++) {
        fai_job *slot = fai_deque_at(deque, i);
        if ((fai_job_flags(slot) & FAI_JOB_FORKED) == 0 || slot->counter == NULL) continue;
        fai_store_relaxed(&slot->counter, NULL);
        cut++;
    }
    fai_publish_all(w);
    const char *name = w->context->name;
    fai_report(
        w->lane.memory, &w->lane, "FA203",
        left > cut
            ? "a fork that another lane has taken writes to its task, which lay on the stack of the job, when it ends"
            : "they run all the same, without their tasks",
        "call fa_join() for every fa_fork() before the job returns", "job %s returned with %u forks not joined",
        name != NULL ? name : "(unnamed)", (unsigned)left);
}
