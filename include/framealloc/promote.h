// SPDX-License-Identifier: MIT
//
// What outlives its frame: retained allocations, promoted when the frame retires, and reference cells through which
// readers on any lane reach promoted objects.
//
// A cell holds one pointer. Reading is one acquire load and no counter; replacing or dropping retires the old version,
// which goes home at a later frame boundary, when every lane has passed a quiescent state (RCU, the QSBR flavour:
// Desnoyers et al., "User-Level Implementations of Read-Copy Update", IEEE TPDS 2012).
//
// What [own], [main] and [any] mean, and what a wrong thread, NULL, size or alignment is answered: base.h. A refused call changes nothing.
#pragma once

#include <framealloc/scratch.h>
#include <framealloc/tag.h>

/// A shared pointer to a pool or heap object. Owned by the caller: it may lie anywhere (also in a promoted object), but
/// must be dropped before its memory goes. {0} is an empty cell.
typedef struct fa_cell {
    void *pointer; // shared: accessed atomically only
} fa_cell;

/// [own] The current version, NULL if none; the cell must not be NULL, and w is not looked at. The pointer stays valid until the current job ends
/// (on the main lane outside jobs: until fa_frame_end() or fa_idle_begin(); on an attached thread: until fa_quiescent(), fa_idle_begin() or
/// fa_detach()). On the main lane legal between fa_frame_begin() and fa_frame_end().
static inline void *fa_cell_read(const fa_worker *w, const fa_cell *cell)
{
    (void)w;
    // [cell.publish] acquire: the reader sees the object as its publisher left it.
    return __atomic_load_n(&cell->pointer, __ATOMIC_ACQUIRE);
}

/// [own] Makes `object` the current version (NULL empties the cell) and retires the one before. `object` must be a whole pool or heap object of
/// this system, or NULL; it belongs to the cell from now on. With several writers the last wins and every other version is retired exactly once;
/// publishing the current version again changes nothing. FA_ERROR_INVALID: NULL cell, or not such an object (checked systems say which: FA002 for
/// frame memory, FA201 for others, also an object of this lane that was freed), or the cell holds what is none of this system (FA201 likewise).
/// FA_ERROR_MEMORY: the retirement could not be recorded (FA301). In all these cases nothing changed, and the object stays the caller's. The main
/// lane may publish and drop outside a frame as well.
FA_API fa_status fa_cell_publish(fa_worker *w, fa_cell *cell, void *object);

/// [own] Empties the cell and retires its version: fa_cell_publish() of NULL. FA_ERROR_INVALID: NULL worker or cell, or the cell holds what is
/// none of this system (FA201 in checked systems). FA_ERROR_MEMORY likewise; the cell is then as it was.
FA_API fa_status fa_cell_drop(fa_worker *w, fa_cell *cell);

/// [own] Retires a pool or heap object that readers may still use although it is unlinked: it is freed after a grace period
/// at a later frame boundary. Errors as fa_cell_publish(); FA_ERROR_INVALID also for NULL, which is not reported.
FA_API fa_status fa_retire(fa_worker *w, void *object);

typedef enum fa_retain_to {
    FA_RETAIN_DISCARD, // die with the frame, but be listed
    FA_RETAIN_POOL,    // free with fa_pool_free()
    FA_RETAIN_HEAP,    // free with fa_heap_free()
    FA_RETAIN_SCRATCH, // goes when its scratch pool is reset or removed
} fa_retain_to;

/// What is to happen to a retained allocation when its frame retires.
typedef struct fa_retain {
    fa_retain_to to;
    fa_cell *cell;      // if not NULL: the promoted object is published there; the cell must live until then
    uint64_t user;      // handed back in the result
    uint64_t key;       // sort key of the result, smallest first; equal keys go in the order of submission
    const char *type;   // static; handed back in the result; may be NULL
    fa_scratch scratch; // of FA_RETAIN_SCRATCH: the pool; must exist when the frame retires
} fa_retain;

/// How long something is wanted, for those who would rather say that than where it goes.
typedef enum fa_importance {
    FA_EPHEMERAL,  // FA_RETAIN_DISCARD
    FA_REUSABLE,   // FA_RETAIN_POOL
    FA_PERSISTENT, // FA_RETAIN_HEAP
    FA_SCRATCH,    // FA_RETAIN_SCRATCH; name the pool in `scratch`
} fa_importance;

/// [any] What an importance stands for; set the other fields as needed. A value that is none is ephemeral.
static inline fa_retain fa_retain_for(fa_importance importance)
{
    fa_retain retain = {importance == FA_REUSABLE     ? FA_RETAIN_POOL
                        : importance == FA_PERSISTENT ? FA_RETAIN_HEAP
                        : importance == FA_SCRATCH    ? FA_RETAIN_SCRATCH
                                                      : FA_RETAIN_DISCARD,
                        NULL,
                        0,
                        0,
                        NULL,
                        {0}};
    return retain;
}

/// [own] `size` bytes of zeroed frame memory, to be promoted as `retain` says when the frame retires. Objects above 512 KiB that go to the heap
/// are handed over without a copy. `retain` is copied. NULL: as fa_frame_alloc_aligned(), and for a NULL worker; also when `retain` is NULL or
/// invalid, or asks the pool for an alignment above 4096, or scratch memory for a cell (FA903).
FA_API void *fa_frame_retained(fa_worker *w, size_t size, size_t align, const fa_retain *retain);

/// [own] As fa_frame_retained(), with a type, which the result names unless `retain` names one. What fa_frame_retained_new() expands to.
static inline void *fa_frame_retained_typed(fa_worker *w, size_t size, size_t align, const fa_retain *retain,
                                            const char *type)
{
    if (retain == NULL || retain->type != NULL) return fa_frame_retained(w, size, align, retain);
    fa_retain named = *retain;
    named.type = type;
    return fa_frame_retained(w, size, align, &named);
}

/// Typed forms: a T, or n of them, zeroed; `retain` is a const fa_retain *.
#define fa_frame_retained_new(w, T, retain)                                                                            \
    FA_CAST(T *, fa_frame_retained_typed((w), sizeof(T), FA_ALIGNOF(T), (retain), #T))

/// [own] Allocations that this lane has retained in its current frame; 0 outside a frame, and for NULL.
FA_API uint32_t fa_retained_count(const fa_worker *w);

/// [own] Forgets those of them that the current job retained (outside jobs: what was retained outside jobs): they die with the frame and
/// are not listed. Returns how many; 0 outside a frame, and for NULL.
FA_API uint32_t fa_retained_abandon(fa_worker *w);

typedef enum fa_promotion_status {
    FA_PROMOTED,          // at `to`; still yours to free unless it went to a cell
    FA_PROMOTION_DROPPED, // FA_RETAIN_DISCARD; or no cell and no list in which the caller would find it
    // Failures: gone with the frame.
    FA_PROMOTION_MEMORY,       // memory_max or the system refused: at the destination, or to list what has no cell
    FA_PROMOTION_BUDGET,       // a budget of its tag refused
    FA_PROMOTION_TOO_LARGE,    // above promotion_size_max
    FA_PROMOTION_LIMIT,        // beyond retained_max or promotion_bytes_max of its frame, in the order of the result
    FA_PROMOTION_NO_SCRATCH,   // no such scratch pool when the frame retired
    FA_PROMOTION_SCRATCH_FULL, // the scratch pool has no room
    FA_PROMOTION_INTERNAL,     // the version that its cell held could not be retired: no memory to note that
    FA_PROMOTION_STATUSES
} fa_promotion_status;

/// [any] A short text for a status, static; never NULL, also for values that are no status.
FA_API const char *fa_promotion_text(fa_promotion_status status);

typedef struct fa_promotion {
    const void *from; // address in the frame, for identification only
    void *to;         // promoted object or NULL
    size_t size;      // bytes asked for
    uint64_t user;
    uint64_t frame; // number of the frame it was retained in
    fa_cell *cell;
    const char *type;
    fa_tag tag;     // under which it was retained; the promoted object belongs to it
    uint32_t label; // of the library: that tag, and the phase
    fa_retain_to destination;
    fa_promotion_status status;
} fa_promotion;

/// What became of the frame memory of one tag or phase; innermost attribution. Bytes of objects as asked for.
typedef struct fa_retention {
    const char *path;     // "" is what had none
    uint64_t frame_bytes; // allocated in the frames that retired, rounded up to 16 a piece; 0 for ""
    uint64_t discarded_bytes, promoted_bytes, failed_bytes;
    uint32_t discarded, promoted, failed; // retained objects
} fa_retention;

/// Promotions of the frames that retired in one fa_frame_end(). Their order and outcome do not depend on the number of
/// workers: by frame, then key, then the order of submission, in which what the items of a parallel loop retain comes before what is retained by
/// jobs and loops that they start. (Exact while the path of a job's ancestors fits in 64 bits, about eight levels of small fan-out; beyond that
/// the order is still the same in every run, but for jobs below a parallel loop.)
typedef struct fa_frame_result {
    uint64_t frame;   // number of the frame that was ended
    uint32_t retired; // frames that retired in this call
    uint32_t count;   // length of items
    const fa_promotion *items;
    uint32_t discarded;
    uint32_t to_pool;
    uint32_t to_heap;
    uint32_t to_scratch;
    uint32_t failed;
    uint64_t discarded_bytes;
    uint64_t pool_bytes;
    uint64_t heap_bytes;
    uint64_t scratch_bytes;
    uint64_t failed_bytes;
    uint32_t moved; // promoted without a copy
    uint32_t by_status[FA_PROMOTION_STATUSES];
    // By tag and by phase, in the order of their making, those that had any part in it. Valid as long as items; none before the system's
    // first tag or phase.
    uint32_t tag_count;
    uint32_t phase_count;
    const fa_retention *tags;
    const fa_retention *phases;
} fa_frame_result;

/// [any] Share of the retained objects that were to be promoted and were; 1 when there were none.
static inline double fa_promotion_rate(const fa_frame_result *result)
{
    uint32_t promoted = result->by_status[FA_PROMOTED], wanted = promoted + result->failed;
    return wanted > 0 ? (double)promoted / (double)wanted : 1.0;
}

/// [main] As fa_frame_end() with a result, but without the list of items: what has no cell is dropped, because nobody would learn its
/// address. FA_ERROR_INVALID: NULL. Other errors as fa_frame_end().
FA_API fa_status fa_frame_end_summary(fa_system *fa, fa_frame_result *result);
