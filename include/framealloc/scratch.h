// SPDX-License-Identifier: MIT
//
// Scratch pools: named memory of a fixed capacity that survives frames until it is reset as a whole, such as a navigation cache. Any
// number of lanes allocate from one pool at once, each from a window of its own: no lock, no shared counter.
//
// Capacity is exact: what all lanes together have, rounded up to 16 each and with padding for alignment, never exceeds it. One lane alone
// can use all of it. A lane's window is at most 1/64 of what was left when it took it (224 bytes at least, 64 KiB at most), so L
// other lanes keep at most L/64 of the capacity, and 224 * L bytes when it is nearly full, where this lane cannot use it.
//
// Reset and removal are allowed on any lane at any time; of several at once each ends what it found. What was handed out before is gone:
// on the calling lane when the call returns, in jobs that run on other lanes when they end (on the main lane with fa_frame_end(), on attached
// threads with fa_quiescent()), because its memory goes home after a grace period then; at once if no other lane is at work. An
// allocation at the same moment is either before (and gone with the rest) or after the reset. Until that memory is home a pool that is
// reset with jobs under way holds more than its capacity; memory_max holds all the same.
//
// What [own], [main] and [any] mean, and what a wrong thread, NULL, size or alignment is answered: base.h. A refused call changes nothing.
#pragma once

#include <framealloc/group.h>

/// A scratch pool. {0} is none. A handle stays valid over resets; after removal it is refused for ever, also when a pool of the
/// same name is made again.
typedef struct fa_scratch {
    uint64_t id;
} fa_scratch;

/// [own] The pool of that name; made if there is none, with `capacity` bytes (0: scratch_bytes of the configuration). Lanes that
/// create the same name at once get the same pool. The name (not NULL or empty, at most FA_NAME_MAX bytes) is copied; a name once
/// used keeps one of the scratch_max places even after removal.
/// FA_ERROR_STATE: it exists with another capacity than the one asked for (0 takes any); *out is {0}, as in the other errors.
/// FA_ERROR_INVALID: an argument, or a capacity above reserve_bytes or below 16. FA_ERROR_FULL: scratch_max names. FA_ERROR_MEMORY: refused; the
/// name may have its place by then.
FA_API FA_MUST_CHECK fa_status fa_scratch_create(fa_worker *w, const char *name, uint64_t capacity, fa_scratch *out);

/// [own] The pool of that name, {0} if there is none, and for NULL.
FA_API fa_scratch fa_scratch_find(fa_worker *w, const char *name);

/// [own] `size` bytes, uninitialised, at `align`: any power of two, by address; 0 stands for 16. NULL: size 0; an alignment that is none (FA903);
/// the pool is full (FA003 once between resets), or a limit or the system refuses (FA301, once a frame and lane), both in fa_stats.scratch_refused;
/// the tag's budget refuses (FA302); no such pool, or it was removed (FA201 in checked systems); NULL worker.
FA_API void *fa_scratch_alloc(fa_worker *w, fa_scratch pool, size_t size, size_t align);

/// [own] As fa_scratch_alloc(): `count` elements of `size` bytes; NULL also when the product overflows (FA914).
FA_API void *fa_scratch_alloc_array(fa_worker *w, fa_scratch pool, size_t count, size_t size, size_t align);

/// [own] Empties the pool: see above. FA_ERROR_STALE: no such pool (FA201 in checked systems). FA_ERROR_MEMORY: no memory for the pool's new
/// description (256 bytes); nothing changed. FA_ERROR_INVALID: NULL worker.
FA_API fa_status fa_scratch_reset(fa_worker *w, fa_scratch pool);

/// [own] Resets every pool. FA_ERROR_MEMORY: not all could be; those that could not are as they were. FA_ERROR_INVALID: NULL.
FA_API fa_status fa_scratch_reset_all(fa_worker *w);

/// [own] Ends the pool. FA_ERROR_STALE: no such pool (FA201 in checked systems). FA_ERROR_INVALID: NULL worker.
FA_API fa_status fa_scratch_remove(fa_worker *w, fa_scratch pool);

typedef struct fa_scratch_info {
    fa_scratch pool;
    char name[FA_NAME_MAX + 1];
    uint64_t capacity;  // bytes
    uint64_t allocated; // since the last reset, rounded up to 16 each and with padding for alignment
    uint64_t objects;
    uint64_t remaining; // of it, this lane can still have; capacity - allocated - remaining is in other lanes' windows
} fa_scratch_info;

/// [own] Exact when no other lane allocates meanwhile. FA_ERROR_STALE: no such pool. FA_ERROR_INVALID: NULL. *out is then zero.
FA_API fa_status fa_scratch_read(fa_worker *w, fa_scratch pool, fa_scratch_info *out);

/// [own] How many pools there are; describes the first `count` of them, in the order in which their names were first used. `out` may be
/// NULL when count is 0. 0 for a NULL worker.
FA_API uint32_t fa_scratch_list(fa_worker *w, fa_scratch_info *out, uint32_t count);

/// Typed forms: a T, or n of them, uninitialised. NULL as their functions.
#define fa_scratch_new(w, pool, T) FA_CAST(T *, fa_scratch_alloc((w), (pool), sizeof(T), FA_ALIGNOF(T)))
#define fa_scratch_array(w, pool, T, n) FA_CAST(T *, fa_scratch_alloc_array((w), (pool), (n), sizeof(T), FA_ALIGNOF(T)))
