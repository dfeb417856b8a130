// SPDX-License-Identifier: MIT
//
// Frame memory, scope memory and the frames themselves.
//
// Frame memory lives until its frame retires: it was ended, its jobs are done, nobody holds it. Scope memory lives
// until the enclosing scope or job ends. Both are bump allocated from the lane's own blocks; neither is freed
// piece by piece. Memory is not zeroed unless a function says so.
//
// What [own], [main] and [any] mean, and what a wrong thread, NULL, size or alignment is answered: base.h. A refused call changes nothing.
#pragma once

#include <framealloc/worker.h>

#include <string.h>

/// A frame, by number and slot. {0} is none.
typedef struct fa_frame {
    uint64_t bits;
} fa_frame;

struct fa_frame_result; // promote.h

/// [main] Starts the next frame. With frames_in_flight frames alive it first waits for the oldest, running only that
/// frame's jobs. FA_ERROR_STATE: a frame is open already, or called inside a job, a sink or a listener, or while the main lane is idle.
/// FA_ERROR_INVALID: NULL. FA_ERROR_WRONG_THREAD.
FA_API fa_status fa_frame_begin(fa_system *fa);

/// [main] As fa_frame_begin(), but answers FA_ERROR_BUSY instead of waiting.
FA_API fa_status fa_frame_try_begin(fa_system *fa);

/// [main] Ends the open frame. With one frame in flight it waits for the frame's jobs, helping; with more it returns and
/// the jobs may overlap the next frames. Every frame that can retire does: retained allocations are promoted in the
/// order of submission, replaced and dropped versions whose grace period is over go home, frame memory of all lanes is
/// recycled, statistics are exact. `result` describes the promotions of the frames that retired in this call; its items stay valid until the
/// next begin or end. With NULL nobody would learn where objects went: those that have no cell are dropped.
/// FA_ERROR_STATE: no frame is open, or called inside a job, a sink or a listener, while the main lane is idle, or (checked systems, FA203) with
/// a fork that was not joined. FA_ERROR_INVALID: NULL system. FA_ERROR_WRONG_THREAD. Refused, *result is not touched.
FA_API fa_status fa_frame_end(fa_system *fa, struct fa_frame_result *result);

/// [any] Number of the open or last frame; the first is 1. 0 before it, and for NULL.
FA_API uint64_t fa_frame_number(const fa_system *fa);

/// [own] Keeps the lane's current frame (the job's, or the open one) from retiring until fa_frame_drop(). An attached
/// thread that holds a frame allocates from it; others keep allocating from the frame they are in.
/// FA_ERROR_STATE: no frame, or an attached thread that holds one already. FA_ERROR_FULL: 2^22 - 1 holds of this frame. FA_ERROR_INVALID: NULL.
/// *out is {0} when it fails.
FA_API FA_MUST_CHECK fa_status fa_frame_hold(fa_worker *w, fa_frame *out);

/// [any] Gives back a frame that fa_frame_hold() gave. An attached thread must drop its frame itself. FA_ERROR_STALE: not held, {0} included.
/// FA_ERROR_WRONG_THREAD: an attached thread's hold, dropped by another. FA_ERROR_STATE: an attached thread's inside a job or sink, while it is
/// idle, or with a fork that was not joined. FA_ERROR_INVALID: NULL. A begin that waits for holds alone says so after a second (FA906) and goes
/// on waiting.
FA_API fa_status fa_frame_drop(fa_system *fa, fa_frame frame);

/// [own] Slow paths of the functions below; not for direct use.
FA_API void *fa_frame_alloc_slow(fa_worker *w, size_t size, size_t align);
FA_API void *fa_scope_alloc_slow(fa_worker *w, size_t size, size_t align);

/// [own] `size` bytes of frame memory, 16-byte aligned. NULL outside a frame (FA001), when the frame's or the system's
/// limit refuses (FA003, once a frame and lane), the budget of the tag or lane (FA302, FA304), or size is 0.
static inline void *fa_frame_alloc(fa_worker *w, size_t size)
{
    unsigned char *p = w->frame_cursor;
    size_t left = (size_t)(w->frame_end - p);
    if (FA_UNLIKELY(size - 1 >= left)) return fa_frame_alloc_slow(w, size, FA_ALIGN_DEFAULT);
    w->frame_cursor = p + ((size + (FA_ALIGN_DEFAULT - 1)) & ~(size_t)(FA_ALIGN_DEFAULT - 1));
    return p;
}

/// [own] As fa_frame_alloc() at a chosen alignment: any power of two, by address; 0 stands for 16. NULL also for another one (FA903).
static inline void *fa_frame_alloc_aligned(fa_worker *w, size_t size, size_t align)
{
    if (align <= FA_ALIGN_DEFAULT && (align & (align - 1)) == 0) return fa_frame_alloc(w, size);
    return fa_frame_alloc_slow(w, size, align);
}

/// [own] As fa_frame_alloc_aligned(): `count` elements of `size` bytes, uninitialised; NULL also when the product overflows (FA914).
static inline void *fa_frame_alloc_array(fa_worker *w, size_t count, size_t size, size_t align)
{
    size_t bytes;
    if (FA_UNLIKELY(__builtin_mul_overflow(count, size, &bytes))) return fa_refuse_array(w, count, size);
    return fa_frame_alloc_aligned(w, bytes, align);
}

/// [own] `n` objects of `size` bytes at `align` (a power of two) into out[0 … n), side by side in one piece of frame memory; all or none.
/// n = 0 is granted and touches nothing. False, `out` untouched: as fa_frame_alloc_array(), and when `w` or `out` is NULL.
FA_API bool fa_frame_alloc_batch(fa_worker *w, size_t n, size_t size, size_t align, void **out);

/// [own] `size` bytes of scope memory, 16-byte aligned: also outside a frame, not counted against frame_bytes_max nor any budget, freed at the
/// end of the enclosing FA_SCOPE, rollback or job; outside a job at the latest at the frame's end on the main lane, at fa_quiescent() or
/// fa_detach() on an attached thread (idle times keep it). NULL: size 0, or memory_max or the system refuses (FA003, once a frame and lane).
static inline void *fa_scope_alloc(fa_worker *w, size_t size)
{
    unsigned char *p = w->scope_cursor;
    size_t left = (size_t)(w->scope_end - p);
    if (FA_UNLIKELY(size - 1 >= left)) return fa_scope_alloc_slow(w, size, FA_ALIGN_DEFAULT);
    w->scope_cursor = p + ((size + (FA_ALIGN_DEFAULT - 1)) & ~(size_t)(FA_ALIGN_DEFAULT - 1));
    return p;
}

/// [own] As fa_scope_alloc() at a chosen alignment: any power of two, by address; 0 stands for 16. NULL also for another one (FA903).
static inline void *fa_scope_alloc_aligned(fa_worker *w, size_t size, size_t align)
{
    if (align <= FA_ALIGN_DEFAULT && (align & (align - 1)) == 0) return fa_scope_alloc(w, size);
    return fa_scope_alloc_slow(w, size, align);
}

/// [own] As fa_scope_alloc_aligned(): `count` elements of `size` bytes, uninitialised; NULL also when the product overflows (FA914).
static inline void *fa_scope_alloc_array(fa_worker *w, size_t count, size_t size, size_t align)
{
    size_t bytes;
    if (FA_UNLIKELY(__builtin_mul_overflow(count, size, &bytes))) return fa_refuse_array(w, count, size);
    return fa_scope_alloc_aligned(w, bytes, align);
}

#ifdef __cplusplus
#define FA_ALIGNOF(T) alignof(T)
#define FA_CAST(T, p) (static_cast<T>(p))
#else
#define FA_ALIGNOF(T) _Alignof(T)
#define FA_CAST(T, p) ((T)(p))
#endif

/// [own] As fa_frame_alloc_array(), zeroed.
static inline void *fa_frame_alloc_zeroed(fa_worker *w, size_t count, size_t size, size_t align)
{
    return fa_zero(fa_frame_alloc_array(w, count, size, align), count, size);
}

/// [own] As fa_scope_alloc_array(), zeroed.
static inline void *fa_scope_alloc_zeroed(fa_worker *w, size_t count, size_t size, size_t align)
{
    return fa_zero(fa_scope_alloc_array(w, count, size, align), count, size);
}

/// Typed forms: a T, or n of them, uninitialised or zeroed. NULL as their functions.
#define fa_frame_new(w, T) FA_CAST(T *, fa_frame_alloc_aligned((w), sizeof(T), FA_ALIGNOF(T)))
#define fa_frame_array(w, T, n) FA_CAST(T *, fa_frame_alloc_array((w), (n), sizeof(T), FA_ALIGNOF(T)))
#define fa_scope_new(w, T) FA_CAST(T *, fa_scope_alloc_aligned((w), sizeof(T), FA_ALIGNOF(T)))
#define fa_scope_array(w, T, n) FA_CAST(T *, fa_scope_alloc_array((w), (n), sizeof(T), FA_ALIGNOF(T)))
#define fa_frame_zeroed(w, T, n) FA_CAST(T *, fa_frame_alloc_zeroed((w), (n), sizeof(T), FA_ALIGNOF(T)))
#define fa_scope_zeroed(w, T, n) FA_CAST(T *, fa_scope_alloc_zeroed((w), (n), sizeof(T), FA_ALIGNOF(T)))

/// How far an arena is filled: a cursor in its block-th block, and how many spans of their own it has.
typedef struct fa_arena_mark {
    unsigned char *cursor;
    uint32_t block;
    uint32_t spans;
} fa_arena_mark;

/// A point in a lane's frame and scope memory to go back to.
typedef struct fa_checkpoint {
    fa_arena_mark frame;
    fa_arena_mark scope;
    uint64_t frame_number;
    uint64_t serial;   // of the job on this lane, 0 outside jobs
    uint64_t taken;    // how many checkpoints this lane took before
    uint32_t retained; // retained allocations that this lane made in the frame
    uint32_t lane;
} fa_checkpoint;

/// [own] Where the lane's memory stands now. Refused, for NULL too, a checkpoint that every rollback answers FA_ERROR_STALE (lane UINT32_MAX).
FA_API fa_checkpoint fa_checkpoint_take(fa_worker *w);

/// [own] Frees all frame and scope memory that this lane's current job allocated since the checkpoint, and forgets what it
/// retained since. Frame memory that other jobs allocated on this lane meanwhile (run while waiting) stays: what
/// lies below it stays too, until the frame retires; so do copied arguments of queued jobs and, in a system that has used tags or phases, what was
/// there when the lane last left the frame: in fa_quiescent() and fa_idle_begin() of an attached thread, and in a wait that ran a job of another
/// frame. Costs O(blocks given back).
/// FA_ERROR_STALE: taken in another frame or job, on another lane, already rolled back past, or over scope memory that is gone since (outside
/// jobs: fa_quiescent()); nothing changes.
/// FA_ERROR_INVALID: NULL.
FA_API fa_status fa_checkpoint_rollback(fa_worker *w, fa_checkpoint checkpoint);

typedef struct fa_scope {
    fa_worker *worker;
    fa_arena_mark mark;
} fa_scope;

/// [own] What FA_SCOPE expands to, for use by hand: begin and end pair up like brackets. Refused, for NULL too, begin gives {0}; an end of NULL or
/// {0} does nothing.
FA_API fa_scope fa_scope_begin(fa_worker *w);
FA_API void fa_scope_end(fa_scope *scope);

/// A declaration: scope memory allocated from here on is freed when the enclosing block is left, by any way out.
#define FA_SCOPE(w) FA_SCOPE_NAMED(w, __LINE__)
#define FA_SCOPE_NAMED(w, line) FA_SCOPE_JOINED(w, line)
#define FA_SCOPE_JOINED(w, line)                                                                                       \
    fa_scope fa_scope_at_##line __attribute__((cleanup(fa_scope_end), unused)) = fa_scope_begin(w)
