// SPDX-License-Identifier: MIT
//
// Guards: declarations that undo something when the block that holds them is left, by whichever way out: return, break, goto, the closing
// brace (the cleanup attribute of gcc and clang; not longjmp). A job stays on its lane, so what a guard began there ends there.
//
//     FA_POOL_AUTO(w, message, m);                 // a message *m, freed to the pool
//     if (m == NULL || !fill(m)) return;
//     send(fa_auto_release(m));                    // kept after all
//
//     FA_CHECKPOINT(w, guess);                     // frame and scope memory, rolled back …
//     if (good) fa_checkpoint_commit(&guess);      // … unless committed
//
// What [own], [main] and [any] mean, and what a wrong thread, NULL, size or alignment is answered: base.h. A refused call changes nothing.
#pragma once

#include <framealloc/frame.h>
#include <framealloc/pool.h>

/// What happens to an object before its memory is freed.
typedef void fa_drop_fn(void *object, void *context);

// Objects ---------------------------------------------------------------------------------------------------------------

/// Owns one pool or heap object, or none.
typedef struct fa_auto {
    fa_worker *worker;
    void *object; // NULL: nothing to free
    void (*give)(fa_worker *w, void *object);
    fa_drop_fn *drop; // may be NULL
    void *context;
} fa_auto;

/// [own] What the declarations below expand to, for use by hand. `count` elements of `size` bytes at `align`, as
/// fa_pool_alloc_array() and fa_heap_alloc_array(). Without memory, and with a NULL worker, `object` is NULL: nothing to end.
FA_API fa_auto fa_auto_pool(fa_worker *w, size_t count, size_t size, size_t align);
FA_API fa_auto fa_auto_heap(fa_worker *w, size_t count, size_t size, size_t align);

/// [own] Calls `drop`, if there is one, and frees the object; does nothing when there is none, or the second time. NULL is allowed.
/// Refused (another thread's or an idle lane, in checked systems), `drop` is not called and the guard keeps the object.
FA_API void fa_auto_end(fa_auto *guard);

/// [own] Takes the object out of its guard: it is the caller's to free. NULL if there is none, or the second time.
static inline void *fa_auto_take(fa_auto *guard)
{
    void *object = guard->object;
    guard->object = NULL;
    return object;
}

/// Declares `T *name`, allocated from the pool or heap (uninitialised; NULL as fa_pool_alloc()), and frees it at the end of the block.
#define FA_POOL_AUTO(w, T, name) FA_AUTO_DECLARE(T, name, fa_auto_pool((w), 1, sizeof(T), FA_ALIGNOF(T)))
#define FA_HEAP_AUTO(w, T, name) FA_AUTO_DECLARE(T, name, fa_auto_heap((w), 1, sizeof(T), FA_ALIGNOF(T)))
/// The same for n elements.
#define FA_POOL_AUTO_ARRAY(w, T, n, name) FA_AUTO_DECLARE(T, name, fa_auto_pool((w), (n), sizeof(T), FA_ALIGNOF(T)))
#define FA_HEAP_AUTO_ARRAY(w, T, n, name) FA_AUTO_DECLARE(T, name, fa_auto_heap((w), (n), sizeof(T), FA_ALIGNOF(T)))

#define FA_AUTO_DECLARE(T, name, value)                                                                                \
    fa_auto name##_guard __attribute__((cleanup(fa_auto_end))) = value;                                                \
    T *const name = FA_CAST(T *, name##_guard.object)

/// For a `name` declared so: calls `fn(object, context)` before the object is freed, from now on; not when it is released.
#define fa_auto_on_drop(name, fn, ctx) ((void)(name##_guard.drop = (fn), name##_guard.context = (ctx)))

/// The object of `name`, which the block's end will not free any more; NULL the second time.
#define fa_auto_release(name) FA_CAST(__typeof__(&*name), fa_auto_take(&name##_guard))

// Checkpoints -----------------------------------------------------------------------------------------------------------

typedef struct fa_checkpoint_guard {
    fa_worker *worker;
    fa_checkpoint checkpoint;
    bool committed;
} fa_checkpoint_guard;

/// [own] What FA_CHECKPOINT expands to, for use by hand. The end rolls back unless the guard was committed or has ended; if the checkpoint is
/// stale by then (an outer one was rolled back, or its frame has retired) its memory is gone already and nothing happens. NULL is
/// allowed; a guard begun with a NULL worker has nothing to end. An end that is refused (another thread's or an idle lane, in checked systems)
/// leaves the guard as it was.
FA_API fa_checkpoint_guard fa_checkpoint_guard_begin(fa_worker *w);
FA_API void fa_checkpoint_guard_end(fa_checkpoint_guard *guard);

/// [own] Keeps what was allocated since; an outer guard may still roll it back.
static inline void fa_checkpoint_commit(fa_checkpoint_guard *guard)
{
    guard->committed = true;
}

/// A declaration: frame and scope memory that this job allocates from here on is rolled back, and what it retains forgotten, when the block is
/// left, unless fa_checkpoint_commit(&name) was called.
#define FA_CHECKPOINT(w, name)                                                                                         \
    fa_checkpoint_guard name __attribute__((cleanup(fa_checkpoint_guard_end), unused)) = fa_checkpoint_guard_begin(w)

// Speculation -----------------------------------------------------------------------------------------------------------

typedef enum fa_outcome {
    FA_OUTCOME_NOT_RUN,     // an argument was NULL, or the lane was refused
    FA_OUTCOME_KEPT,        // success: what was allocated stays
    FA_OUTCOME_ROLLED_BACK, // failure: all of it is gone
    FA_OUTCOME_REFUSED,     // failure, and the rollback was refused: `status` says why
} fa_outcome;

typedef struct fa_speculation {
    fa_outcome outcome;
    int error; // what the attempt returned: 0 means success
    fa_status
        status; // of the rollback; FA_OK if there was none; when it was not run, why: FA_ERROR_INVALID, or what refused the lane
} fa_speculation;

/// Something that may fail. 0 keeps what it allocated, anything else rolls it back.
typedef int fa_attempt_fn(fa_worker *w, void *arg);

/// [own] Runs `attempt` at once, on this lane, and rolls frame and scope memory back if it fails, retained allocations included. Nests. Pool
/// and heap objects are not touched. FA_OUTCOME_REFUSED when the attempt itself rolled back past its own beginning or ended the frame.
/// FA_OUTCOME_NOT_RUN when a NULL or the lane was refused (`status` says which): nothing was run and nothing changed.
FA_API fa_speculation fa_speculate(fa_worker *w, fa_attempt_fn *attempt, void *arg);

/// What FA_SPECULATE keeps.
typedef struct fa_attempt {
    fa_checkpoint_guard guard;
    fa_speculation *result;
    bool entered;
} fa_attempt;

/// [own] What FA_SPECULATE expands to; `result` and `attempt` must not be NULL. Where the lane is refused, or NULL, the result is
/// FA_OUTCOME_NOT_RUN with the status that says why, fa_attempt_once() answers false and the end changes nothing.
FA_API fa_attempt fa_attempt_begin(fa_worker *w, fa_speculation *result);
FA_API void fa_attempt_end(fa_attempt *attempt);

/// [own] Whether the block is to be entered: true once, false if the begin was refused.
static inline bool fa_attempt_once(fa_attempt *attempt)
{
    if (attempt->entered || attempt->guard.worker == NULL) return false;
    return attempt->entered = true;
}

/// A block that is rolled back unless it says fa_speculation_keep(&result); `result` is an fa_speculation of the surrounding block, complete
/// afterwards. break and continue leave the block, return and goto as well, and all of them obey the same rule. result.error is the
/// block's to set, and handed on if it fails (-1 unless set). It runs once; not at all with a NULL worker (FA_OUTCOME_NOT_RUN).
///
///     fa_speculation route;
///     FA_SPECULATE(w, route) {
///         if (!find_route(w, map, &path)) break;
///         fa_speculation_keep(&route);
///     }
///     if (route.outcome != FA_OUTCOME_KEPT) stay();
#define FA_SPECULATE(w, result) FA_SPECULATE_NAMED(w, result, __LINE__)
#define FA_SPECULATE_NAMED(w, result, line) FA_SPECULATE_JOINED(w, result, line)
#define FA_SPECULATE_JOINED(w, result, line)                                                                           \
    for (fa_attempt fa_attempt_at_##line __attribute__((cleanup(fa_attempt_end))) = fa_attempt_begin((w), &(result));  \
         fa_attempt_once(&fa_attempt_at_##line);)

/// [own] Inside the block: its work is good. May be taken back by setting `error`.
static inline void fa_speculation_keep(fa_speculation *result)
{
    result->error = 0;
}
