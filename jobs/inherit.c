// SPDX-License-Identifier: MIT
//
// Memory of jobs: what jobs ask for, and what their children inherit. See inherit.h and alloc/job_memory.h.
#include "jobs/inherit.h"

// Heirs -----------------------------------------------------------------------------------------------------------------

/// Body of an heir.
static void run_heir(fa_worker *worker, void *arg)
{
    fai_worker *w = fai_worker_of(worker);
    fai_heir *heir = arg;
    fai_lane_use_memory(&w->lane, &w->context->mark, heir->memory, false); // whose user it is since it was queued
    heir->fn(worker, heir->copied ? (void *)heir->args : (void *)(uintptr_t)heir->args[0]);
    if (heir->noted) fai_job_note_give(&w->lane, heir);
}

bool fai_inherit(fai_worker *w, fai_job *job, uint32_t *flags, fai_heir *spare)
{
    fai_job_memory *memory = fai_worker_memory(w);
    if (memory == NULL) return true;
    fai_heir *heir = fai_job_note_take(&w->lane, sizeof *heir);
    bool noted = heir != NULL;
    if (!noted) heir = spare;
    *heir = (fai_heir){memory, job->fn, (*flags & FAI_JOB_COPIED) != 0, noted, {0}};
    memcpy(heir->args, job->args, sizeof heir->args);
    fai_job_memory_keep(memory);
    job->fn = run_heir;
    job->args[0] = (uintptr_t)heir; // args[2] may be the name
    *flags &= ~(uint32_t)FAI_JOB_COPIED;
    return noted;
}

void fai_disinherit(fai_worker *w, fai_job *job)
{
    if (job->fn != run_heir) return;
    fai_heir *heir = (fai_heir *)(uintptr_t)job->args[0];
    fai_job_memory_drop(&w->lane, heir->memory);
    if (heir->noted) fai_job_note_give(&w->lane, heir);
}

static void run_heir_piece(fa_worker *worker, uint64_t first, uint64_t last, void *arg)
{
    fai_worker *w = fai_worker_of(worker);
    const fai_heir_range *range = arg;
    fai_job_memory_keep(range->memory);
    fai_lane_use_memory(&w->lane, &w->context->mark, range->memory, false);
    range->fn(worker, first, last, range->arg);
}

void fai_inherit_range(const fai_worker *w, fai_heir_range *range, fa_range_fn **fn, void **arg)
{
    fai_job_memory *memory = fai_worker_memory(w);
    if (memory == NULL) return;
    *range = (fai_heir_range){memory, *fn, *arg};
    *fn = run_heir_piece;
    *arg = range;
}

fa_job_fn *fai_heir_function(fa_job_fn *fn, const void *arg)
{
    return fn == run_heir ? ((const fai_heir *)arg)->fn : fn;
}

// What jobs ask for ----------------------------------------------------------------------------------------------------

/// FA_OK in a job on the caller's lane; anything else was reported.
static fa_status check(const fai_worker *w)
{
    fa_status usable = fai_lane_check(&w->lane);
    if (usable != FA_OK || w->context != NULL) return usable;
    fai_report(w->lane.memory, &w->lane, "FA004", "memory of a job belongs to the job that runs on the lane",
               "call it in a job; outside jobs use frame memory, a group or the pool", "job memory used outside a job");
    return FA_ERROR_STATE;
}

/// The running job's own memory, made if it has none; NULL: refused, which was reported.
static fai_job_memory *own_memory(fai_worker *w)
{
    fai_job_mark *mark = &w->context->mark;
    if ((mark->own & FAI_MARK_OWN_MEMORY) == 0) {
        fai_job_memory *memory = fai_job_memory_make(&w->lane);
        if (memory == NULL) return NULL;
        if ((mark->own & FAI_MARK_OWN_MEMORY) != 0) { // a sink that heard of a free was here
            fai_job_memory_drop(&w->lane, memory);
            return mark->memory;
        }
        memory->parent = fai_worker_memory(w); // and takes over this job's use of it
        fai_lane_use_memory(&w->lane, mark, memory, true);
    }
    return mark->memory;
}

/// The memory of that id if the running job is among its users, which alone makes it sure to live.
static fai_job_memory *find(const fai_worker *w, fa_job_memory memory)
{
    fai_job_memory *at = fai_worker_memory(w);
    while (at != NULL && at->arena.id != memory.id) at = at->parent;
    return at;
}

static void *alloc(fai_worker *w, fai_job_memory *memory, size_t size, size_t align)
{
    fai_arena_answer answer;
    return fai_arena_alloc_shared(&w->lane, &memory->arena, size, align, NULL, &answer);
}

fa_status fa_job_memory_open(fa_worker *worker, fa_job_memory *out)
{
    if (out != NULL) *out = (fa_job_memory){0};
    if (worker == NULL || out == NULL) return FA_ERROR_INVALID;
    fai_worker *w = fai_worker_of(worker);
    fa_status status = check(w);
    if (status != FA_OK) return status;
    const fai_job_memory *memory = own_memory(w);
    if (memory == NULL) return FA_ERROR_MEMORY;
    out->id = memory->arena.id;
    return FA_OK;
}

fa_job_memory fa_job_memory_current(const fa_worker *worker)
{
    const fai_worker *w = worker != NULL ? fai_worker_of_const(worker) : NULL;
    const fai_job_memory *memory = w != NULL && fai_lane_may_use(&w->lane) ? fai_worker_memory(w) : NULL;
    return (fa_job_memory){memory != NULL ? memory->arena.id : 0};
}

void *fa_job_alloc(fa_worker *worker, size_t size, size_t align)
{
    if (worker == NULL) return NULL;
    fai_worker *w = fai_worker_of(worker);
    if (check(w) != FA_OK || !fai_arena_request_is_valid(&w->lane, size, &align)) return NULL;
    fai_job_memory *memory = own_memory(w);
    return memory != NULL ? alloc(w, memory, size, align) : NULL;
}

void *fa_job_memory_alloc(fa_worker *worker, fa_job_memory memory, size_t size, size_t align)
{
    if (worker == NULL) return NULL;
    fai_worker *w = fai_worker_of(worker);
    if (check(w) != FA_OK || !fai_arena_request_is_valid(&w->lane, size, &align)) return NULL;
    fai_job_memory *found = find(w, memory);
    if (found != NULL) return alloc(w, found, size, align);
    if (w->lane.checked)
        fai_report(w->lane.memory, &w->lane, "FA201", "it is not of the running job, nor of one that this comes from",
                   "hand the memory on to jobs that its owner starts after fa_job_memory_open()",
                   "job memory 0x%llx refused", (unsigned long long)memory.id);
    return NULL;
}

fa_status fa_job_memory_read(fa_worker *worker, fa_job_memory memory, fa_job_memory_info *out)
{
    if (worker == NULL || out == NULL) return FA_ERROR_INVALID;
    fai_worker *w = fai_worker_of(worker);
    *out = (fa_job_memory_info){0};
    fa_status usable = fai_lane_check(&w->lane);
    if (usable != FA_OK) return usable;
    const fai_job_memory *found = find(w, memory);
    if (found == NULL) return FA_ERROR_STALE;
    uint64_t own_window;
    fai_arena_sum(&w->lane, &found->arena, &out->objects, &out->bytes, &own_window);
    return FA_OK;
}

// As a table (allocator.h) ----------------------------------------------------------------------------------------------

static void *table_alloc(void *ctx, size_t size, size_t align)
{
    const fa_job_source *source = ctx;
    return source != NULL ? fa_job_memory_alloc(source->worker, source->memory, size, align) : NULL;
}

static void *table_realloc(void *ctx, void *p, size_t old_size, size_t new_size, size_t align)
{
    fa_allocator a = fa_allocator_job(ctx);
    return fai_table_realloc(&a, p, old_size, new_size, align);
}

fa_allocator fa_allocator_job(fa_job_source *source)
{
    return (fa_allocator){table_alloc, table_realloc, fai_table_keep, source};
}
