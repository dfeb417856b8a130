// SPDX-License-Identifier: MIT
//
// Submitting. A job is written into the ring of the lane's deque and made public at once; then the submitter looks at
// who sleeps.
#include "jobs/submit.h"

#include "jobs/counter.h"
#include "jobs/inherit.h"
#include "jobs/main_jobs.h"

__attribute__((noinline)) fa_status fai_submit_check(const fai_worker *w, fa_counter *counter)
{
    fa_status usable = fai_lane_check(&w->lane);
    if (usable != FA_OK) return usable;
    if (w->lane.slot == FAI_NO_SLOT || w->lane.order == NULL) {
        fai_report_outside(&w->lane, "job submitted");
        return FA_ERROR_STATE;
    }
    if (!w->lane.checked || counter == NULL) return FA_OK;
    if (!fai_counter_is_ours(w, counter)) return FA_ERROR_INVALID;
    fai_store_relaxed(&counter->system, w->lane.memory->number);
    return FA_OK;
}

// Building a job in registers and writing it straight into its slot is half of what submitting costs: the way there
// must be inlined.
#define FAST static inline __attribute__((always_inline))

__attribute__((noinline)) static void run_inline(fai_worker *w, fai_job *job)
{
    fai_worker_run_inline(w, job);
    if (job->counter != NULL) fai_counter_complete(w, job->counter, 1);
}

/// Runs a job for which there is no room. Only the copy is ever in memory.
FAST void run_at_once(fai_worker *w, const fai_job *job)
{
    fai_job copy;
    fai_job_write(&copy, job);
    run_inline(w, &copy);
}

static bool is_gated(const fai_worker *w)
{
    return FA_UNLIKELY(w->lane.gate == FAI_NO_SLOT);
}

/// Adds a counted job to the deque, or runs it. The gate is closed: always in checked systems, in others because of memory that the job may
/// inherit.
__attribute__((noinline)) static void push_gated(fai_worker *w, fai_job job, uint32_t flags)
{
    fai_heir spare;
    bool may_queue = fai_inherit(w, &job, &flags, &spare);
    fai_submit_complete(w, &job, flags);
    if (may_queue && fai_submit_push(w, &job)) return;
    fai_submit_publish(w, job.counter); // what was pushed before
    run_inline(w, &job);
}

FAST fa_status submit(fai_worker *w, fai_job job, uint32_t flags, bool gated)
{
    if (FA_UNLIKELY(gated)) {
        if (job.counter != NULL) fai_counter_add(w, job.counter, 1);
        push_gated(w, job, flags);
        fai_submit_publish(w, job.counter);
        return FA_OK;
    }
    fai_submit_complete(w, &job, flags);
    if (job.counter != NULL) fai_counter_add(w, job.counter, 1);
    if (FA_LIKELY(fai_submit_push(w, &job)))
        fai_submit_publish(w, job.counter);
    else
        run_at_once(w, &job);
    return FA_OK;
}

/// Puts the arguments into the job, those that do not fit into frame memory. A name takes the place of the last 8
/// bytes.
static fa_status pack(fai_worker *w, fai_job *job, const void *args, size_t size, const char *name, uint32_t *flags)
{
    *flags = 0;
    if (name != NULL) {
        *flags |= FAI_JOB_NAMED;
        job->args[2] = (uintptr_t)name;
    }
    if (size == 0) {
        job->args[0] = (uintptr_t)args;
    } else if (size <= (name != NULL ? FA_JOB_INLINE - sizeof(uint64_t) : FA_JOB_INLINE)) {
        *flags |= FAI_JOB_COPIED;
        memcpy(job->args, args, size);
    } else {
        void *copy = fa_frame_alloc(&w->lane.hot, size);
        if (copy == NULL) return FA_ERROR_MEMORY;
        memcpy(copy, args, size);
        fai_lane_keep_frame(&w->lane);
        job->args[0] = (uintptr_t)copy;
    }
    return FA_OK;
}

static fa_status submit_main(fai_worker *w, fai_job *job, uint32_t flags)
{
    fai_heir spare;
    bool may_queue = fai_inherit(w, job, &flags, &spare);
    fai_submit_complete(w, job, flags);
    if (may_queue && fai_main_jobs_submit(w, job)) return FA_OK;
    fai_disinherit(w, job);
    return FA_ERROR_MEMORY;
}

fa_status fa_submit_job(fa_worker *worker, const fa_job *job)
{
    if (worker == NULL || job == NULL || job->fn == NULL || (job->flags & ~(uint32_t)FA_JOB_MAIN) != 0 ||
        (job->arg == NULL && job->arg_size > 0))
        return FA_ERROR_INVALID;
    fai_worker *w = fai_worker_of(worker);
    fa_status status = fai_submit_gate(w, job->counter);
    if (status != FA_OK) return status;
    fai_job packed = {.fn = job->fn, .counter = job->counter};
    uint32_t flags;
    status = pack(w, &packed, job->arg, job->arg_size, job->name, &flags);
    if (status != FA_OK) return status;
    if ((job->flags & FA_JOB_MAIN) == 0) return submit(w, packed, flags, is_gated(w));
    return submit_main(w, &packed, flags);
}

/// The gate is closed, or the deque full.
__attribute__((noinline)) static fa_status submit_pointer_slow(fai_worker *w, fa_counter *counter, fa_job_fn *fn,
                                                               void *arg)
{
    bool gated = is_gated(w);
    fa_status status = fai_submit_gate(w, counter);
    if (status != FA_OK) return status;
    fai_job job = {.fn = fn, .counter = counter, .args = {(uintptr_t)arg, 0, 0}};
    return submit(w, job, 0, gated);
}

/// To publish a job is to wait for all that was stored before, the stack included: this one goes from registers into its slot.
FAST fa_status submit_pointer(fa_worker *worker, fa_counter *counter, fa_job_fn *fn, void *arg)
{
    if (FA_UNLIKELY(worker == NULL || fn == NULL)) return FA_ERROR_INVALID;
    fai_worker *w = fai_worker_of(worker);
    if (is_gated(w)) return submit_pointer_slow(w, counter, fn, arg);
    fai_job *slot = fai_deque_reserve_owner(&w->deque);
    if (FA_UNLIKELY(slot == NULL)) return submit_pointer_slow(w, counter, fn, arg);
    fai_job job = {.fn = fn, .counter = counter, .args = {(uintptr_t)arg}};
    fai_submit_complete(w, &job, 0);
    if (counter != NULL) fai_counter_add(w, counter, 1);
    fai_job_write_pointer(slot, &job);
    fai_submit_pushed(w);
    fai_submit_publish(w, counter);
    return FA_OK;
}

fa_status fa_submit(fa_worker *worker, fa_job_fn *fn, void *arg)
{
    return submit_pointer(worker, NULL, fn, arg);
}

fa_status fa_submit_counted(fa_worker *worker, fa_counter *counter, fa_job_fn *fn, void *arg)
{
    return submit_pointer(worker, counter, fn, arg);
}

FAST fa_status submit_copy(fai_worker *w, fa_counter *counter, fa_job_fn *fn, const void *args, size_t size, bool gated)
{
    fai_job job = {.fn = fn, .counter = counter};
    uint32_t flags;
    fa_status status = pack(w, &job, args, size, NULL, &flags);
    return status == FA_OK ? submit(w, job, flags, gated) : status;
}

__attribute__((noinline)) static fa_status submit_copy_gated(fai_worker *w, fa_counter *counter, fa_job_fn *fn,
                                                             const void *args, size_t size)
{
    fa_status status = fai_submit_check(w, counter);
    return status == FA_OK ? submit_copy(w, counter, fn, args, size, true) : status;
}

fa_status fa_submit_copy(fa_worker *worker, fa_counter *counter, fa_job_fn *fn, const void *args, size_t size)
{
    if (worker == NULL || fn == NULL || (args == NULL && size > 0)) return FA_ERROR_INVALID;
    fai_worker *w = fai_worker_of(worker);
    if (is_gated(w)) return submit_copy_gated(w, counter, fn, args, size);
    return submit_copy(w, counter, fn, args, size, false);
}

/// Copies of `count` arguments that are too large to travel inside, at the stride that keeps them 16-byte aligned.
static unsigned char *copy_all(fai_worker *w, const unsigned char *args, size_t size, size_t stride, uint32_t count)
{
    unsigned char *copies = fa_frame_alloc_array(&w->lane.hot, count, stride, FA_ALIGN_DEFAULT);
    if (copies == NULL) return NULL;
    for (uint32_t i = 0; i < count; i++) memcpy(copies + i * stride, args + i * size, size);
    fai_lane_keep_frame(&w->lane);
    return copies;
}

fa_status fa_submit_many(fa_worker *worker, fa_counter *counter, fa_job_fn *fn, const void *args, size_t size,
                         uint32_t count)
{
    if (worker == NULL || fn == NULL || (args == NULL && size > 0)) return FA_ERROR_INVALID;
    fai_worker *w = fai_worker_of(worker);
    bool gated = is_gated(w);
    fa_status status = fai_submit_gate(w, counter);
    if (status != FA_OK) return status;
    if (count == 0) return FA_OK;
    size_t stride = size;
    const unsigned char *from = args;
    bool inside = size > 0 && size <= FA_JOB_INLINE;
    if (size > FA_JOB_INLINE) {
        if (size > SIZE_MAX - FA_ALIGN_DEFAULT) return FA_ERROR_MEMORY;
        stride = (size + FA_ALIGN_DEFAULT - 1) & ~(size_t)(FA_ALIGN_DEFAULT - 1);
        from = copy_all(w, args, size, stride, count);
        if (from == NULL) return FA_ERROR_MEMORY;
    }
    if (counter != NULL) fai_counter_add(w, counter, count);
    for (uint32_t i = 0; i < count; i++) {
        fai_job job = {.fn = fn, .counter = counter};
        if (inside)
            memcpy(job.args, from + i * stride, size);
        else
            job.args[0] = (uintptr_t)(size > 0 ? from + i * stride : from);
        if (FA_UNLIKELY(gated)) {
            push_gated(w, job, inside ? FAI_JOB_COPIED : 0);
            continue;
        }
        fai_submit_complete(w, &job, inside ? FAI_JOB_COPIED : 0);
        if (FA_LIKELY(fai_submit_push(w, &job))) continue;
        fai_submit_publish(w, counter);
        run_at_once(w, &job);
    }
    fai_submit_publish(w, counter);
    return FA_OK;
}
