// SPDX-License-Identifier: MIT
//
// Groups: the part of shared arenas that has ids and cleanups. See group.h and alloc/shared_arena.h.
#include "alloc/lane.h"
#include "alloc/shared_arena.h"
#include "concurrent/check.h"

static void report_gone(const fai_lane *lane, fa_group group)
{
    if (!lane->memory->config.checked) return;
    fai_report(lane->memory, lane, "FA201", "it was freed, or never was one of this system",
               "keep the id only as long as the group lives", "group 0x%llx refused", (unsigned long long)group.id);
}

/// The live group, reported if there is none.
static fai_shared_arena *find(const fai_lane *lane, fa_group group)
{
    fai_shared_arena *arena = fai_arena_find(lane->memory, group.id, FAI_ARENA_GROUP);
    if (arena == NULL) report_gone(lane, group);
    return arena;
}

/// A slot that holds no group; FAI_INDEX_NONE if all do.
static uint32_t slot_take(fai_arena_registry *registry)
{
    uint32_t retries = 0, groups_max = registry->slot_count - registry->scratch_count;
    if (groups_max == 0) return FAI_INDEX_NONE;
    uint32_t slot = fai_index_stack_pop_any(&registry->free, &registry->slots[0].link, sizeof(fai_arena_slot),
                                            &retries);
    if (slot != FAI_INDEX_NONE) return slot;
    uint32_t made = fai_load_relaxed(&registry->made);
    do {
        if (made == groups_max) return FAI_INDEX_NONE;
    } while (!fai_cas_relaxed(&registry->made, &made, made + 1));
    return registry->scratch_count + made;
}

static void slot_give(fai_arena_registry *registry, uint32_t slot)
{
    FA_ASSERT(slot >= registry->scratch_count && slot < registry->slot_count);
    (void)fai_index_stack_push_any(&registry->free, slot, &registry->slots[slot].link);
}

fa_status fa_group_create(fa_worker *w, const char *name, fa_group *out)
{
    if (out != NULL) *out = (fa_group){0};
    if (w == NULL || out == NULL || !fai_arena_name_is_valid(name)) return FA_ERROR_INVALID;
    fai_lane *lane = fai_lane_of(w);
    fa_status status = fai_lane_check(lane);
    if (status != FA_OK) return status;
    fai_arena_registry *registry = &lane->memory->arenas;
    fai_memory_note_loose_counters(lane->memory);
    uint32_t slot = slot_take(registry);
    if (slot == FAI_INDEX_NONE) return FA_ERROR_FULL;
    fai_shared_arena *arena = fai_arena_make(lane, slot, 0, name, 0);
    if (arena == NULL) {
        slot_give(registry, slot);
        return FA_ERROR_MEMORY;
    }
    out->id = arena->id;
    (void)fai_add_relaxed(&registry->groups, 1u);
    bool opened = fai_arena_swap(lane->memory, slot, NULL, arena);
    FA_ASSERT(opened);
    (void)opened;
    return FA_OK;
}

static void *alloc(fa_worker *w, fa_group group, size_t size, size_t align, const fai_cleanup *cleanup)
{
    if (w == NULL) return NULL;
    fai_lane *lane = fai_lane_of(w);
    if (!fai_lane_may_use(lane) || !fai_arena_request_is_valid(lane, size, &align)) return NULL;
    fai_shared_arena *arena = find(lane, group);
    if (arena == NULL) return NULL;
    fai_arena_answer answer;
    void *p = fai_arena_alloc_shared(lane, arena, size, align, cleanup, &answer);
    if (p == NULL && answer == FAI_ARENA_GONE) report_gone(lane, group);
    return p;
}

void *fa_group_alloc(fa_worker *w, fa_group group, size_t size, size_t align)
{
    return alloc(w, group, size, align, NULL);
}

void *fa_group_alloc_array(fa_worker *w, fa_group group, size_t count, size_t size, size_t align)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) return fa_refuse_array(w, count, size);
    return alloc(w, group, bytes, align, NULL);
}

void *fa_group_alloc_cleaned(fa_worker *w, fa_group group, size_t size, size_t align, fa_group_cleanup_fn *fn,
                             void *context)
{
    if (w == NULL || !fai_lane_may_use(fai_lane_of(w))) return NULL;
    if (fn == NULL) {
        fai_report(fai_lane_of(w)->memory, fai_lane_of(w), "FA903", "nothing was allocated",
                   "call fa_group_alloc() for objects that need no cleanup", "a cleanup without a function refused");
        return NULL;
    }
    return alloc(w, group, size, align, &(fai_cleanup){.fn = fn, .context = context});
}

fa_status fa_group_free(fa_worker *w, fa_group group)
{
    if (w == NULL) return FA_ERROR_INVALID;
    fai_lane *lane = fai_lane_of(w);
    fa_status status = fai_lane_check(lane);
    if (status != FA_OK) return status;
    fai_arena_registry *registry = &lane->memory->arenas;
    fai_shared_arena *arena = find(lane, group);
    if (arena == NULL) return FA_ERROR_STALE;
    uint32_t slot = arena->slot;
    if (!fai_arena_swap(lane->memory, slot, arena, NULL)) {
        report_gone(lane, group);
        return FA_ERROR_STALE;
    }
    (void)fai_sub_relaxed(&registry->groups, 1u);
    slot_give(registry, slot);
    fai_arena_end(lane, arena);
    return FA_OK;
}

fa_status fa_group_read(fa_worker *w, fa_group group, fa_group_info *out)
{
    if (w == NULL || out == NULL) return FA_ERROR_INVALID;
    *out = (fa_group_info){0};
    fai_lane *lane = fai_lane_of(w);
    fa_status status = fai_lane_check(lane);
    if (status != FA_OK) return status;
    const fai_shared_arena *arena = fai_arena_find(lane->memory, group.id, FAI_ARENA_GROUP);
    if (arena == NULL) return FA_ERROR_STALE;
    memcpy(out->name, arena->name, sizeof out->name);
    uint64_t own_window;
    fai_arena_sum(lane, arena, &out->objects, &out->bytes, &own_window);
    return FA_OK;
}

bool fa_group_exists(fa_worker *w, fa_group group)
{
    if (w == NULL || !fai_lane_may_use(fai_lane_of(w))) return false;
    return fai_arena_find(fai_lane_of(w)->memory, group.id, FAI_ARENA_GROUP) != NULL;
}
