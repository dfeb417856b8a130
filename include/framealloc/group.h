// SPDX-License-Identifier: MIT
//
// Groups: related allocations that are freed together, such as all that belongs to a level. Any number of lanes allocate
// from one group at once, each from a window of its own: no lock, no shared counter. Single objects cannot be freed.
//
// Small first: the first allocation of a lane in a group takes 1 KiB from the lane's slabs, later chunks double up to 64 KiB; an
// object larger than a quarter of the next chunk gets memory of its own.
//
// A group's end. fa_group_free() on any lane; of several callers one wins. From then on the id is refused everywhere and for
// ever. Cleanups run inside the call, lane after lane in the order of lane numbers, the newest registration of
// each lane first. An allocation that runs at the same moment on another lane is either in the group in time (and what it registered is
// cleaned up), or refused. The memory goes home at once when no other lane is at work; otherwise after a grace period at
// a later frame boundary, so that a job that still uses it when the group is freed is safe until that job ends. On the calling lane the
// pointers are dead when the call returns.
//
// What [own], [main] and [any] mean, and what a wrong thread, NULL, size or alignment is answered: base.h. A refused call changes nothing.
#pragma once

#include <framealloc/frame.h>

/// Longest name of a group or scratch pool, bytes.
#define FA_NAME_MAX 47u

/// A group. {0} is none. Ids are not used again.
typedef struct fa_group {
    uint64_t id;
} fa_group;

/// Called once for its object when the group ends, on the lane `w` that frees it (at fa_destroy(): the main lane; it must not submit or
/// wait there). May use the library, but nothing can be allocated from the ending group any more.
typedef void fa_group_cleanup_fn(fa_worker *w, void *object, void *context);

/// [own] A new group. The name (not NULL or empty, at most FA_NAME_MAX bytes) is copied; several groups may have the same.
/// FA_ERROR_INVALID: an argument. FA_ERROR_FULL: groups_max groups live. FA_ERROR_MEMORY: refused. *out is then {0}.
FA_API FA_MUST_CHECK fa_status fa_group_create(fa_worker *w, const char *name, fa_group *out);

/// [own] `size` bytes, uninitialised, at `align`: any power of two, by address; 0 stands for 16. NULL: size 0; an alignment that is none (FA903);
/// a limit or the system refuses (FA301, once a frame and lane; fa_stats.group_refused), or the tag's budget (FA302); no such group, or it was
/// freed (FA201 in checked systems); NULL worker.
FA_API void *fa_group_alloc(fa_worker *w, fa_group group, size_t size, size_t align);

/// [own] As fa_group_alloc(): `count` elements of `size` bytes; NULL also when the product overflows (FA914).
FA_API void *fa_group_alloc_array(fa_worker *w, fa_group group, size_t count, size_t size, size_t align);

/// [own] As fa_group_alloc(), and fn(w, object, context) is called when the group ends; NULL also when fn is NULL (FA903). Registering costs
/// 32 bytes and one compare-and-swap on a line of this lane. The object must be fit for fn when another lane can free the group.
FA_API void *fa_group_alloc_cleaned(fa_worker *w, fa_group group, size_t size, size_t align, fa_group_cleanup_fn *fn,
                                    void *context);

/// [own] Ends the group: see above. Costs O(chunks) and the cleanups. FA_ERROR_STALE: no such group, or another call freed it; in checked
/// systems FA201. FA_ERROR_INVALID: NULL worker. May be called inside jobs, and by cleanups for other groups.
FA_API fa_status fa_group_free(fa_worker *w, fa_group group);

typedef struct fa_group_info {
    char name[FA_NAME_MAX + 1];
    uint64_t objects; // allocated so far by all lanes
    uint64_t bytes;   // of them, rounded up to 16 each, with padding for alignment and 32 for each cleanup
} fa_group_info;

/// [own] Exact when no other lane allocates meanwhile. FA_ERROR_STALE: no such group. FA_ERROR_INVALID: NULL.
/// *out is then zero.
FA_API fa_status fa_group_read(fa_worker *w, fa_group group, fa_group_info *out);

/// [own] Whether the group lives; false for {0}, for ids that are none and for NULL.
FA_API bool fa_group_exists(fa_worker *w, fa_group group);

/// Typed forms: a T, or n of them, uninitialised. NULL as their functions.
#define fa_group_new(w, group, T) FA_CAST(T *, fa_group_alloc((w), (group), sizeof(T), FA_ALIGNOF(T)))
#define fa_group_array(w, group, T, n) FA_CAST(T *, fa_group_alloc_array((w), (group), (n), sizeof(T), FA_ALIGNOF(T)))
#define fa_group_new_cleaned(w, group, T, fn, context)                                                                 \
    FA_CAST(T *, fa_group_alloc_cleaned((w), (group), sizeof(T), FA_ALIGNOF(T), (fn), (context)))
