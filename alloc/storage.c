// SPDX-License-Identifier: MIT
//
// Storage of collections: see storage.h.
//
// A checked system finds out whether storage has ended without reading memory that may be another lane's by now: first the frame's number,
// then how far the lane's arena reaches; what lies below that is this lane's, and there the storage's stamp must still stand: checked systems
// overwrite what is rewound.
#include "alloc/lane.h"
#include "concurrent/annotate.h"
#include "concurrent/check.h"

#include <framealloc/storage.h>

#include <string.h>

static void *take(fa_worker *w, fa_home home, size_t bytes, size_t align)
{
    switch (home) {
        case FA_HOME_FRAME: return fa_frame_alloc_aligned(w, bytes, align);
        case FA_HOME_SCOPE: return fa_scope_alloc_aligned(w, bytes, align);
        case FA_HOME_POOL: return fa_pool_alloc_aligned(w, bytes, align);
        case FA_HOME_HEAP: return fa_heap_alloc(w, bytes, align);
    }
    return NULL;
}

/// The stamp's number: which lane, which collection of it. Never 0.
static uint64_t next_stamp(fai_lane *lane)
{
    return (uint64_t)(lane->hot.index + 1) << 48 | ++lane->storages;
}

/// Bytes for the elements and, in checked systems, the stamp in front of them; false: too many.
static bool measure(const fai_lane *lane, size_t count, size_t size, size_t align, size_t *front, size_t *bytes)
{
    *front = lane->memory->config.checked ? align : 0;
    return count <= FA_CAPACITY_MAX && !__builtin_mul_overflow(count, size, bytes) &&
           !__builtin_add_overflow(*bytes, *front, bytes);
}

fa_status fa_storage_take(fa_worker *w, fa_home home, size_t count, size_t size, size_t align, fa_storage *out,
                          void **elements)
{
    if (out == NULL || elements == NULL) return FA_ERROR_INVALID;
    *out = (fa_storage){0};
    *elements = NULL;
    if (w == NULL || (uint32_t)home > FA_HOME_HEAP || size == 0) return FA_ERROR_INVALID;
    fai_lane *lane = fai_lane_of(w);
    fa_status usable = fai_lane_check(lane);
    if (usable != FA_OK) return usable;
    if (!fai_lane_align(lane, &align, home == FA_HOME_POOL ? FAI_POOL_ALIGN_MAX : SIZE_MAX)) return FA_ERROR_INVALID;
    size_t front, bytes;
    if (!measure(lane, count, size, align, &front, &bytes)) {
        (void)fa_refuse_array(w, count, size);
        return FA_ERROR_INVALID;
    }
    unsigned char *p = bytes > 0 ? take(w, home, bytes, align) : NULL;
    if (p == NULL && bytes > 0)
        return home == FA_HOME_FRAME && lane->slot == FAI_NO_SLOT ? FA_ERROR_STATE : FA_ERROR_MEMORY;
    *out = (fa_storage){
        .memory = p,
        .owner = w,
        .mark = home == FA_HOME_SCOPE ? fai_lane_scope_mark(lane) : fai_lane_frame_mark(lane),
        .frame = lane->slot == FAI_NO_SLOT ? 0 : lane->frame_number,
        .stamp = front > 0 ? next_stamp(lane) : 0,
        .slot = lane->slot,
        .home = home,
    };
    FA_ASSERT(p != NULL || front == 0);
    if (front > 0) memcpy(p, &out->stamp, sizeof out->stamp);
    *elements = count > 0 ? p + front : NULL;
    return FA_OK;
}

void fa_storage_give(fa_worker *w, fa_storage *storage)
{
    if (w == NULL || storage == NULL || !fai_lane_may_use(fai_lane_of(w))) return;
    if (storage->home == FA_HOME_POOL) fa_pool_free(w, storage->memory);
    if (storage->home == FA_HOME_HEAP) fa_heap_free(w, storage->memory);
    *storage = (fa_storage){0};
}

// Checks ----------------------------------------------------------------------------------------------------------------

/// Not instrumented: the stamp of storage that has ended may lie in memory that is forbidden now.
__attribute__((no_sanitize("address"), noinline)) static bool is_stamped(const fa_storage *storage)
{
    return *(const volatile uint64_t *)storage->memory == storage->stamp;
}

/// Whether a mark of the arena, filled as far as `now`, still lies in what is allocated.
static bool reaches(fa_arena_mark now, fa_arena_mark mark)
{
    return !fai_mark_before(now, mark) && now.spans >= mark.spans;
}

static bool frame_is_alive(const fai_memory *memory, const fa_storage *storage)
{
    uint64_t newest = fai_load_relaxed(&memory->frame_number);
    return storage->slot != FAI_NO_SLOT && (fai_load_relaxed(&memory->slots_alive) >> storage->slot & 1) != 0 &&
           newest < storage->frame + memory->config.frames_in_flight;
}

/// How far the lane's arena of a frame that is alive is filled.
static fa_arena_mark mark_of_frame(const fai_lane *lane, uint32_t slot)
{
    return lane->slot == slot ? fai_lane_mark_in_frame(lane) : fai_arena_mark(&lane->frames[slot].arena);
}

static bool has_memory(const fai_lane *lane, const fa_storage *storage)
{
    switch (storage->home) {
        case FA_HOME_FRAME:
            if (!frame_is_alive(lane->memory, storage)) return false;
            // The main lane may be about to reset an arena that another lane has left, if not one of its own.
            if (lane->slot != storage->slot && lane->hot.index != 0) return true;
            return reaches(mark_of_frame(lane, storage->slot), storage->mark) && is_stamped(storage);
        case FA_HOME_SCOPE: return reaches(fai_lane_scope_mark(lane), storage->mark) && is_stamped(storage);
        case FA_HOME_POOL:
        case FA_HOME_HEAP:
            return fai_memory_kind_of(lane->memory, storage->memory) != FAI_KIND_NONE && is_stamped(storage);
    }
    return false;
}

bool fa_storage_check(fa_worker *w, const fa_storage *storage)
{
    if (w == NULL || storage == NULL) return false;
    const fai_lane *lane = fai_lane_of(w);
    if (!fai_lane_may_use(lane)) return false; // a context of another thread
    if (storage->owner != w) {
        fai_report(lane->memory, lane, "FA201", "a collection is changed on the lane that initialised it only",
                   "read it with the functions for readers, or hand its elements over",
                   "a collection of lane %u was used on lane %u", storage->owner->index, w->index);
        return false;
    }
    if (has_memory(lane, storage)) return true;
    fai_report(lane->memory, lane, "FA002",
               "its frame retired, its scope was left, a rollback passed it, or it was given back",
               "initialise a new one, or let it live in pool or heap memory",
               "a collection made in frame %llu was used after its memory ended", (unsigned long long)storage->frame);
    return false;
}
