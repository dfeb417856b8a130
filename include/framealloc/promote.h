// SPDX-License-Identifier: MIT
//
// What outlives its frame: retained allocations, promoted when the frame retires, and reference cells through which
// readers on any lane reach promoted objects.
//
// A cell holds one pointer. Reading is one acquire load and no counter; replacing or dropping retires the old version,
// which goes home at a later frame boundary, when every lane has passed a quiescent state (RCU, the QSBR flavour:
// Desnoyers et al., "User-Level Implementations of Read-Copy Update", IEEE TPDS 2012).
#pragma once

#include <framealloc/frame.h>

/// A shared pointer to a pool or heap object. Owned by the caller: it may lie anywhere (also in a promoted object), but
/// must be dropped before its memory goes. {0} is an empty cell.
typedef struct fa_cell {
    void *pointer; // shared: accessed atomically only
} fa_cell;

/// [own] The current version, NULL if none. The pointer stays valid until the current job ends (on the main lane outside
/// jobs: until fa_frame_end() or fa_idle_begin(); on an attached thread: until fa_quiescent(), fa_idle_begin() or
/// fa_detach()). On the main lane legal between fa_frame_begin() and fa_frame_end().
static inline void *fa_cell_read(const fa_worker *w, const fa_cell *cell)
{
    (void)w;
    // [cell.publish] acquire: the reader sees the object as its publisher left it.
    return __atomic_load_n(&cell->pointer, __ATOMIC_ACQUIRE);
}

/// [own] Makes `object` the current version (NULL empties the cell) and retires the one before. `object` must be a whole pool
/// or heap object of this system, or NULL; it belongs to the cell from now on. With several writers the last wins and
/// every other version is retired exactly once; publishing the current version again changes nothing. FA_ERROR_INVALID: NULL cell, or not such an object. FA_ERROR_MEMORY: the
/// retirement could not be recorded; nothing changed. The main lane may publish and drop outside a frame as well.
FA_API fa_status fa_cell_publish(fa_worker *w, fa_cell *cell, void *object);

/// [own] Empties the cell and retires its version. As fa_cell_publish(w, cell, NULL).
FA_API fa_status fa_cell_drop(fa_worker *w, fa_cell *cell);

/// [own] Retires a pool or heap object that readers may still use although it is unlinked: it is freed after a grace period
/// at a later frame boundary. Errors as fa_cell_publish().
FA_API fa_status fa_retire(fa_worker *w, void *object);

typedef enum fa_retain_to {
    FA_RETAIN_DISCARD, // die with the frame, but be listed
    FA_RETAIN_POOL,    // free with fa_pool_free()
    FA_RETAIN_HEAP,    // free with fa_heap_free()
} fa_retain_to;

/// What is to happen to a retained allocation when its frame retires.
typedef struct fa_retain {
    fa_retain_to to;
    fa_cell *cell; // if not NULL: the promoted object is published there; the cell must live until then
    uint64_t user; // handed back in the result
    uint64_t key;  // sort key of the result, smallest first; equal keys go in the order of submission
} fa_retain;

/// [own] `size` bytes of zeroed frame memory, to be promoted as `retain` says when the frame retires. Objects above 512 KiB
/// that go to the heap are handed over without a copy. NULL: as fa_frame_alloc_aligned(); also when `retain` is NULL or invalid, or
/// asks the pool for an alignment above 4096 (FA903).
FA_API void *fa_frame_retained(fa_worker *w, size_t size, size_t align, const fa_retain *retain);

typedef enum fa_promotion_status {
    FA_PROMOTED,          // at `to`; still yours to free unless it went to a cell
    FA_PROMOTION_DROPPED, // FA_RETAIN_DISCARD
    FA_PROMOTION_MEMORY,  // the destination had no memory: gone with the frame
    FA_PROMOTION_LIMIT,   // beyond the first retained_max of its frame, in the order of the result: gone with the frame
} fa_promotion_status;

typedef struct fa_promotion {
    const void *from; // address in the frame, for identification only
    void *to;         // promoted object or NULL
    size_t size;      // bytes asked for
    uint64_t user;
    uint64_t frame; // number of the frame it was retained in
    fa_cell *cell;
    fa_retain_to destination;
    fa_promotion_status status;
} fa_promotion;

/// Promotions of the frames that retired in one fa_frame_end(). Their order and outcome do not depend on the number of
/// workers: by frame, then key, then the order of submission. (Exact while the path of a job's ancestors fits in
/// 64 bits, about eight levels of small fan-out; beyond that the order is still the same in every run.)
typedef struct fa_frame_result {
    uint64_t frame;   // number of the frame that was ended
    uint32_t retired; // frames that retired in this call
    uint32_t count;   // length of items
    const fa_promotion *items;
    uint32_t discarded;
    uint32_t to_pool;
    uint32_t to_heap;
    uint32_t failed;
    uint64_t discarded_bytes;
    uint64_t pool_bytes;
    uint64_t heap_bytes;
    uint64_t failed_bytes;
    uint32_t moved; // promoted without a copy
} fa_frame_result;
