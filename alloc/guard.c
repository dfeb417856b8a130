// SPDX-License-Identifier: MIT
//
// Guards: see guard.h. Everything here goes through the public functions of pool, heap and checkpoints, and so through their accounts.
#include "alloc/lane.h"

#include <framealloc/guard.h>

// Objects ---------------------------------------------------------------------------------------------------------------

static void give_to_pool(fa_worker *w, void *object)
{
    fa_pool_free(w, object);
}

fa_auto fa_auto_pool(fa_worker *w, size_t count, size_t size, size_t align)
{
    void *object = w != NULL ? fa_pool_alloc_array(w, count, size, align) : NULL;
    return (fa_auto){.worker = w, .object = object, .give = give_to_pool};
}

fa_auto fa_auto_heap(fa_worker *w, size_t count, size_t size, size_t align)
{
    void *object = w != NULL ? fa_heap_alloc_array(w, count, size, align) : NULL;
    return (fa_auto){.worker = w, .object = object, .give = fa_heap_free};
}

void fa_auto_end(fa_auto *guard)
{
    if (guard == NULL || guard->object == NULL) return;
    FA_ASSERT(guard->worker != NULL && guard->give != NULL);
    if (!fai_lane_may_use(fai_lane_of(guard->worker))) return; // before `drop` runs
    void *object = fa_auto_take(guard);                        // first: once is enough, whatever `drop` does
    if (guard->drop != NULL) guard->drop(object, guard->context);
    guard->give(guard->worker, object);
}

// Checkpoints -----------------------------------------------------------------------------------------------------------

fa_checkpoint_guard fa_checkpoint_guard_begin(fa_worker *w)
{
    return (fa_checkpoint_guard){.worker = w, .checkpoint = fa_checkpoint_take(w), .committed = w == NULL};
}

void fa_checkpoint_guard_end(fa_checkpoint_guard *guard)
{
    if (guard == NULL || guard->committed || guard->worker == NULL) return;
    if (!fai_lane_may_use(fai_lane_of(guard->worker))) return;
    guard->committed = true;
    (void)fa_checkpoint_rollback(guard->worker, guard->checkpoint); // stale: its memory is gone already
}

// Speculation -----------------------------------------------------------------------------------------------------------

static void conclude(fa_worker *w, fa_checkpoint checkpoint, fa_speculation *result)
{
    result->outcome = FA_OUTCOME_KEPT;
    result->status = FA_OK;
    if (result->error == 0) return;
    result->status = fa_checkpoint_rollback(w, checkpoint);
    result->outcome = result->status == FA_OK ? FA_OUTCOME_ROLLED_BACK : FA_OUTCOME_REFUSED;
}

fa_speculation fa_speculate(fa_worker *w, fa_attempt_fn *attempt, void *arg)
{
    fa_speculation result = {FA_OUTCOME_NOT_RUN, -1, FA_ERROR_INVALID};
    if (w == NULL || attempt == NULL) return result;
    fa_status usable = fai_lane_check(fai_lane_of(w));
    if (usable != FA_OK) return (fa_speculation){FA_OUTCOME_NOT_RUN, -1, usable};
    fa_checkpoint checkpoint = fa_checkpoint_take(w);
    result.error = attempt(w, arg);
    conclude(w, checkpoint, &result);
    return result;
}

fa_attempt fa_attempt_begin(fa_worker *w, fa_speculation *result)
{
    fa_status usable = w != NULL ? fai_lane_check(fai_lane_of(w)) : FA_ERROR_INVALID;
    *result = (fa_speculation){FA_OUTCOME_NOT_RUN, -1, usable != FA_OK ? usable : FA_ERROR_INVALID};
    if (usable != FA_OK) w = NULL; // the block is not entered
    return (fa_attempt){.guard = fa_checkpoint_guard_begin(w), .result = result};
}

void fa_attempt_end(fa_attempt *attempt)
{
    if (!attempt->entered) return;
    attempt->entered = false;
    conclude(attempt->guard.worker, attempt->guard.checkpoint, attempt->result);
}
