// SPDX-License-Identifier: MIT
//
// The memory of a collection of fixed capacity: where it comes from, whose it is and how long it may be used. vector.h and map.h build on it.
//
// A collection belongs to the lane that initialised it and never leaves its thread. Where that is broken, or its memory has ended (the frame
// retired, the scope was left, a rollback passed it), checked systems say so (FA201, FA002) and refuse; others do not look. Programs compiled
// by Clang with -Wthread-safety and FA_THREAD_SAFETY are warned of calls with another lane's context. Reading is another matter: jobs of the
// same frame may read a collection on any lane through the functions whose name says `read`, once whoever filled it is known to be done (a
// counter waited for), and while nobody changes it.
//
// What [own], [main] and [any] mean, and what a wrong thread, NULL, size or alignment is answered: base.h. A refused call changes nothing.
#pragma once

#include <framealloc/frame.h>
#include <framealloc/pool.h>

/// Where memory comes from.
typedef enum fa_home {
    FA_HOME_FRAME, // gone with the frame
    FA_HOME_SCOPE, // gone with the scope or job
    FA_HOME_POOL,  // until it is given back
    FA_HOME_HEAP,  // likewise
} fa_home;

/// Most elements of a collection.
#define FA_CAPACITY_MAX ((size_t)1 << 30)

/// {0} is none. Nothing here is for users to write.
typedef struct fa_storage {
    void *memory; // as allocated; NULL if none
    fa_worker *owner;
    fa_arena_mark mark; // of the arena, right after the allocation
    uint64_t frame;     // number of the lane's frame then, 0 if none
    uint64_t stamp;     // checked systems: also written into the memory; 0 in others
    uint32_t slot;      // of that frame
    fa_home home;
} fa_storage;

/// [own] `count` elements of `size` bytes at `align` (0: 16), uninitialised, which *out owns until fa_storage_give(); *elements is NULL when
/// count is 0, which is granted. FA_ERROR_INVALID: NULL, an unknown home, size 0, an alignment that is none (FA903), count above FA_CAPACITY_MAX
/// or a product that overflows (FA914). FA_ERROR_STATE: frame memory outside a frame (FA001). FA_ERROR_MEMORY: refused as by the home's own
/// functions. *out and *elements are empty then.
FA_API FA_MUST_CHECK fa_status fa_storage_take(fa_worker *w, fa_home home, size_t count, size_t size, size_t align,
                                               fa_storage *out, void **elements);

/// [own] Gives pool and heap memory back; frame and scope memory goes by itself. *storage is empty afterwards. Nothing happens with a NULL, nor
/// when it is refused (another thread's or an idle lane, in checked systems).
FA_API void fa_storage_give(fa_worker *w, fa_storage *storage);

/// [own] The check of checked systems: whether this lane may use the storage now. False: for NULL; and FA201 on another lane, false and FA002
/// when its memory has ended.
FA_API bool fa_storage_check(fa_worker *w, const fa_storage *storage);

/// [own] Whether the storage, not NULL, may be used: false as fa_storage_check(); in unchecked systems true without a look.
static inline bool fa_storage_may_use(fa_worker *w, const fa_storage *storage)
{
    return FA_LIKELY(storage->stamp == 0) || fa_storage_check(w, storage);
}

#define FA_COLLECTION_FN static inline __attribute__((unused))

/// Declares a job, `static void name(fa_worker *w, void *arg)`, that holds the lane it is handed; see FA_NEEDS_LANE in base.h.
#define FA_JOB(name) static void name(fa_worker *w, void *arg) FA_NEEDS_LANE(w)

/// [own] Tells Clang's analysis that this thread is on lane w: where a context comes from fa_self() or fa_attach().
static inline void fa_lane_assume(const fa_worker *w) FA_HOLDS_LANE(w);
static inline void fa_lane_assume(const fa_worker *w)
{
    (void)w;
}
