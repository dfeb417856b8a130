// SPDX-License-Identifier: MIT
//
// Scratch pools: the part of shared arenas that has names and a capacity. See scratch.h and alloc/shared_arena.h.
//
// A name is bound to the first slot that had none, by one compare-and-swap, and stays there: so lanes that bind the same name at once
// meet at the same slot.
#include "alloc/lane.h"
#include "alloc/shared_arena.h"
#include "alloc/store.h"
#include "concurrent/check.h"

#include <string.h>

static void report_gone(const fai_lane *lane, fa_scratch pool)
{
    if (!lane->memory->config.checked) return;
    fai_report(lane->memory, lane, "FA201", "it was removed, or never was one of this system",
               "keep the handle only as long as the pool is not removed", "scratch pool 0x%llx refused",
               (unsigned long long)pool.id);
}

static fai_shared_arena *find(const fai_lane *lane, fa_scratch pool)
{
    fai_shared_arena *arena = fai_arena_find(lane->memory, pool.id, FAI_ARENA_SCRATCH);
    if (arena == NULL) report_gone(lane, pool);
    return arena;
}

static fai_shared_arena *arena_at(const fai_memory *memory, uint32_t slot)
{
    // [arena.open] acquire: sees the arena as it was made.
    return fai_load_acquire(&memory->arenas.slots[slot].arena);
}

// Names -----------------------------------------------------------------------------------------------------------------

/// The slot of a name, scratch_count if it has none; then `end` is the first slot without a name.
static uint32_t slot_of(const fai_memory *memory, const char *name, uint32_t *end)
{
    uint32_t count = memory->arenas.scratch_count;
    for (*end = 0; *end < count; ++*end) {
        // [arena.name] acquire: the characters.
        const char *bound = fai_load_acquire(&memory->arenas.slots[*end].name);
        if (bound == NULL) break;
        if (strcmp(bound, name) == 0) return *end;
    }
    return count;
}

/// The slot of a name, bound now if it was not.
static fa_status bind_name(fai_lane *lane, const char *name, uint32_t *out)
{
    fai_memory *memory = lane->memory;
    uint32_t count = memory->arenas.scratch_count, end;
    *out = slot_of(memory, name, &end);
    if (*out < count) return FA_OK;
    if (end == count) return FA_ERROR_FULL;
    char *copy = fai_store_take(lane, FA_NAME_MAX + 1, FA_ALIGN_DEFAULT);
    if (copy == NULL) return FA_ERROR_MEMORY;
    memcpy(copy, name, strlen(name) + 1); // at most FA_NAME_MAX: its callers have looked
    for (; *out == count && end < count; end++) {
        char *bound = NULL;
        // [arena.name] acq_rel: publishes the characters, or sees those of the name that was first.
        if (fai_cas_acq_rel(&memory->arenas.slots[end].name, &bound, copy)) {
            *out = end;
            return FA_OK;
        }
        if (strcmp(bound, name) == 0) *out = end;
    }
    fai_store_give_own(lane, copy);
    return *out < count ? FA_OK : FA_ERROR_FULL;
}

// Pools -----------------------------------------------------------------------------------------------------------------

/// The pool in the slot, made if there is none; NULL when refused.
static const fai_shared_arena *open_pool(fai_lane *lane, uint32_t slot, const char *name, uint64_t capacity)
{
    fai_memory *memory = lane->memory;
    for (;;) {
        fai_shared_arena *arena = arena_at(memory, slot);
        if (arena != NULL) return arena;
        fai_memory_note_loose_counters(memory);
        arena = fai_arena_make(lane, slot, 0, name, capacity);
        if (arena == NULL) return NULL;
        if (fai_arena_swap(memory, slot, NULL, arena)) {
            (void)fai_add_relaxed(&memory->arenas.pools, 1u);
            (void)fai_add_relaxed(&memory->arenas.pool_capacity, arena->capacity);
            return arena;
        }
        fai_arena_unmake(lane, arena); // another lane was first
    }
}

fa_status fa_scratch_create(fa_worker *w, const char *name, uint64_t capacity, fa_scratch *out)
{
    if (out != NULL) *out = (fa_scratch){0};
    if (w == NULL || out == NULL || !fai_arena_name_is_valid(name)) return FA_ERROR_INVALID;
    fai_lane *lane = fai_lane_of(w);
    if (capacity != 0 && (capacity < FA_ALIGN_DEFAULT || capacity > lane->memory->config.reserve_bytes))
        return FA_ERROR_INVALID;
    fa_status status = fai_lane_check(lane);
    if (status != FA_OK) return status;
    uint32_t slot;
    status = bind_name(lane, name, &slot);
    if (status != FA_OK) return status;
    uint64_t wanted = capacity != 0 ? capacity : lane->memory->config.scratch_bytes;
    wanted &= ~(uint64_t)(FA_ALIGN_DEFAULT - 1);
    const fai_shared_arena *arena = open_pool(lane, slot, name, wanted);
    if (arena == NULL) return FA_ERROR_MEMORY;
    if (capacity != 0 && arena->capacity != wanted) return FA_ERROR_STATE;
    out->id = arena->id;
    return FA_OK;
}

fa_scratch fa_scratch_find(fa_worker *w, const char *name)
{
    if (w == NULL || name == NULL || !fai_lane_may_use(fai_lane_of(w))) return (fa_scratch){0};
    const fai_memory *memory = fai_lane_of(w)->memory;
    uint32_t end, slot = slot_of(memory, name, &end);
    const fai_shared_arena *arena = slot < memory->arenas.scratch_count ? arena_at(memory, slot) : NULL;
    return (fa_scratch){arena != NULL ? arena->id : 0};
}

void *fa_scratch_alloc(fa_worker *w, fa_scratch pool, size_t size, size_t align)
{
    if (w == NULL) return NULL;
    fai_lane *lane = fai_lane_of(w);
    if (!fai_lane_may_use(lane) || !fai_arena_request_is_valid(lane, size, &align)) return NULL;
    fai_arena_answer answer;
    void *p = fai_scratch_take(lane, pool, size, align, &answer);
    if (answer == FAI_ARENA_GONE) report_gone(lane, pool);
    return p;
}

void *fa_scratch_alloc_array(fa_worker *w, fa_scratch pool, size_t count, size_t size, size_t align)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) return fa_refuse_array(w, count, size);
    return fa_scratch_alloc(w, pool, bytes, align);
}

void *fai_scratch_take(fai_lane *lane, fa_scratch pool, size_t size, size_t align, fai_arena_answer *answer)
{
    void *p = NULL;
    do {
        fai_shared_arena *arena = fai_arena_find(lane->memory, pool.id, FAI_ARENA_SCRATCH);
        *answer = FAI_ARENA_GONE;
        if (arena == NULL) return NULL;
        p = fai_arena_alloc_shared(lane, arena, size, align, NULL, answer);
    } while (*answer == FAI_ARENA_GONE); // it was reset meanwhile
    return p;
}

// The end ---------------------------------------------------------------------------------------------------------------

/// FA_ERROR_BUSY: another call ended this life of the pool.
static fa_status reset(fai_lane *lane, fai_shared_arena *arena)
{
    fai_shared_arena *fresh = fai_arena_make(lane, arena->slot, arena->id, arena->name, arena->capacity);
    if (fresh == NULL) return FA_ERROR_MEMORY;
    if (!fai_arena_swap(lane->memory, arena->slot, arena, fresh)) {
        fai_arena_unmake(lane, fresh);
        return FA_ERROR_BUSY;
    }
    fai_arena_end(lane, arena);
    return FA_OK;
}

fa_status fa_scratch_reset(fa_worker *w, fa_scratch pool)
{
    if (w == NULL) return FA_ERROR_INVALID;
    fai_lane *lane = fai_lane_of(w);
    fa_status status = fai_lane_check(lane);
    if (status != FA_OK) return status;
    fai_shared_arena *arena = find(lane, pool);
    if (arena == NULL) return FA_ERROR_STALE;
    status = reset(lane, arena);
    if (status != FA_ERROR_BUSY) return status;
    return find(lane, pool) != NULL ? FA_OK : FA_ERROR_STALE; // the other reset came right after this one
}

fa_status fa_scratch_reset_all(fa_worker *w)
{
    if (w == NULL) return FA_ERROR_INVALID;
    fai_lane *lane = fai_lane_of(w);
    fa_status all = fai_lane_check(lane);
    if (all != FA_OK) return all;
    for (uint32_t slot = 0; slot < lane->memory->arenas.scratch_count; slot++) {
        fai_shared_arena *arena = arena_at(lane->memory, slot);
        if (arena != NULL && reset(lane, arena) == FA_ERROR_MEMORY) all = FA_ERROR_MEMORY;
    }
    return all;
}

fa_status fa_scratch_remove(fa_worker *w, fa_scratch pool)
{
    if (w == NULL) return FA_ERROR_INVALID;
    fai_lane *lane = fai_lane_of(w);
    fa_status status = fai_lane_check(lane);
    if (status != FA_OK) return status;
    fai_arena_registry *registry = &lane->memory->arenas;
    fai_shared_arena *arena = find(lane, pool);
    while (arena != NULL && !fai_arena_swap(lane->memory, arena->slot, arena, NULL))
        arena = find(lane, pool); // it was reset meanwhile
    if (arena == NULL) return FA_ERROR_STALE;
    (void)fai_sub_relaxed(&registry->pools, 1u);
    (void)fai_sub_relaxed(&registry->pool_capacity, arena->capacity);
    fai_arena_end(lane, arena);
    return FA_OK;
}

// Questions -------------------------------------------------------------------------------------------------------------

static fa_scratch_info describe(const fai_lane *lane, const fai_shared_arena *arena)
{
    fa_scratch_info info = {.pool = {arena->id}, .capacity = arena->capacity};
    uint64_t own_window;
    memcpy(info.name, arena->name, sizeof info.name);
    fai_arena_sum(lane, arena, &info.objects, &info.allocated, &own_window);
    info.remaining = arena->capacity - fai_load_relaxed(&arena->reserved) + own_window;
    return info;
}

fa_status fa_scratch_read(fa_worker *w, fa_scratch pool, fa_scratch_info *out)
{
    if (w == NULL || out == NULL) return FA_ERROR_INVALID;
    *out = (fa_scratch_info){0};
    const fai_lane *lane = fai_lane_of(w);
    fa_status status = fai_lane_check(lane);
    if (status != FA_OK) return status;
    const fai_shared_arena *arena = fai_arena_find(lane->memory, pool.id, FAI_ARENA_SCRATCH);
    if (arena == NULL) return FA_ERROR_STALE;
    *out = describe(lane, arena);
    return FA_OK;
}

uint32_t fa_scratch_list(fa_worker *w, fa_scratch_info *out, uint32_t count)
{
    if (w == NULL || !fai_lane_may_use(fai_lane_of(w))) return 0;
    const fai_lane *lane = fai_lane_of(w);
    uint32_t pools = 0;
    for (uint32_t slot = 0; slot < lane->memory->arenas.scratch_count; slot++) {
        const fai_shared_arena *arena = arena_at(lane->memory, slot);
        if (arena == NULL) continue;
        if (pools < count && out != NULL) out[pools] = describe(lane, arena);
        pools++;
    }
    return pools;
}
