// SPDX-License-Identifier: MIT
//
// Arenas shared by lanes, from their creation to the release of their memory; share.c allocates from them. See shared_arena.h.
#include "alloc/shared_arena.h"

#include "alloc/lane.h"
#include "alloc/store.h"
#include "concurrent/annotate.h"
#include "concurrent/check.h"

#include <string.h>

#define SLOT_BITS 16
#define LEAKS_NAMED 8u // groups that fa_destroy() names
#define FREED_BYTE 0xdd

// Slots -----------------------------------------------------------------------------------------------------------------

static size_t slots_bytes(const fai_arena_registry *registry)
{
    return registry->slot_count * sizeof(fai_arena_slot);
}

static size_t windows_bytes(const fai_memory *memory)
{
    return (size_t)memory->lane_count * memory->arenas.slot_count * sizeof(fai_arena_window);
}

bool fai_arenas_init(fai_memory *memory)
{
    fai_arena_registry *registry = &memory->arenas;
    registry->scratch_count = memory->config.scratch_max;
    registry->serial = (uint64_t)(memory->number & 0xffff) << 32;
    registry->slot_count = memory->config.scratch_max + memory->config.groups_max;
    FA_ASSERT(registry->slot_count < UINT32_C(1) << SLOT_BITS);
    if (registry->slot_count == 0) return true;
    registry->slots = fai_map(slots_bytes(registry));
    registry->windows = fai_map(windows_bytes(memory));
    return registry->slots != NULL && registry->windows != NULL; // the caller unmaps
}

void fai_arenas_unmap(fai_memory *memory)
{
    fai_arena_registry *registry = &memory->arenas;
    fai_unmap(registry->slots, slots_bytes(registry));
    fai_unmap(registry->windows, windows_bytes(memory));
}

fai_shared_arena *fai_arena_find(const fai_memory *memory, uint64_t id, fai_arena_kind kind)
{
    const fai_arena_registry *registry = &memory->arenas;
    uint32_t slot = (uint32_t)(id & ((UINT32_C(1) << SLOT_BITS) - 1)) - 1; // of {0}: beyond all
    if (slot >= registry->slot_count || (slot < registry->scratch_count) != (kind == FAI_ARENA_SCRATCH)) return NULL;
    // [arena.open] acquire: sees the arena as it was made.
    fai_shared_arena *arena = fai_load_acquire(&registry->slots[slot].arena);
    return arena != NULL && arena->id == id ? arena : NULL;
}

fai_shared_arena *fai_arena_make(fai_lane *lane, uint32_t slot, uint64_t id, const char *name, uint64_t capacity)
{
    fai_arena_registry *registry = &lane->memory->arenas;
    FA_ASSERT(slot < registry->slot_count && fai_arena_name_is_valid(name));
    fai_shared_arena *arena = fai_arena_take(lane, sizeof *arena, _Alignof(fai_shared_arena));
    if (arena == NULL) return NULL;
    memset(arena, 0, sizeof *arena);
    arena->epoch = fai_add_relaxed(&registry->serial, UINT64_C(1)) + 1;
    arena->id = id != 0 ? id : arena->epoch << SLOT_BITS | (slot + 1);
    arena->slot = slot;
    arena->use = slot < registry->scratch_count ? FAI_USE_SCRATCH : FAI_USE_GROUP;
    arena->capacity = capacity & ~(uint64_t)(FA_ALIGN_DEFAULT - 1);
    strncpy(arena->name, name, FA_NAME_MAX);
    return arena;
}

void fai_arena_unmake(fai_lane *lane, fai_shared_arena *arena)
{
    FA_ASSERT(arena->shares == NULL);
    fai_store_give_own(lane, arena);
}

bool fai_arena_swap(fai_memory *memory, uint32_t slot, fai_shared_arena *old, fai_shared_arena *arena)
{
    FA_ASSERT(slot < memory->arenas.slot_count);
    FA_ASSERT(arena == NULL || arena->slot == slot);
    // [arena.open] release: publishes the new arena. Whoever ends the old one has found it with acquire.
    return fai_cas_release(&memory->arenas.slots[slot].arena, &old, arena);
}

// The end ---------------------------------------------------------------------------------------------------------------

/// The one place where an arena is refunded, but for windows that were not used up.
static void give_chunks(fai_lane *lane, const fai_share *share, fai_use use)
{
    for (fai_arena_chunk *chunk = share->chunks, *next; chunk != NULL; chunk = next) {
        next = chunk->next;
        fai_label_refund(lane, fai_label_make(chunk->tag, 0), use, chunk->payload - chunk->unused);
        if (lane->memory->config.checked) {
            fai_allow(chunk->base, chunk->payload);
            memset(chunk->base, FREED_BYTE, chunk->payload);
        }
        fai_store_give(lane, chunk->base);
    }
}

void fai_arena_release(fai_lane *lane, fai_shared_arena *arena)
{
    lane->changed = true;
    for (fai_share *share = arena->closed_shares, *next; share != NULL; share = next) {
        next = share->next;
        fai_arena_count(lane, arena, -(int64_t)share->objects, -(int64_t)share->bytes);
        give_chunks(lane, share, arena->use);
        fai_store_give(lane, share);
    }
    fai_store_give(lane, arena);
}

/// The share of the lowest lane that is at least `lane`.
static fai_share *share_from(fai_share *shares, uint32_t lane)
{
    fai_share *best = NULL;
    for (fai_share *share = shares; share != NULL; share = share->next)
        if (share->lane >= lane && (best == NULL || share->lane < best->lane)) best = share;
    return best;
}

static void run_cleanups(fai_lane *lane, fai_share *shares)
{
    for (fai_share *share = share_from(shares, 0); share != NULL; share = share_from(shares, share->lane + 1)) {
        for (const fai_cleanup *cleanup = fai_share_close_cleanups(share); cleanup != NULL; cleanup = cleanup->next)
            cleanup->fn(&lane->hot, cleanup->object, cleanup->context);
    }
}

/// Whether no other lane is at work, and this one is not called back from an allocation: then nobody is inside an arena that was unlinked
/// before. Only the main lane can find it so, because it always counts as running.
static bool is_alone(const fai_lane *lane)
{
    if (lane->hot.index != 0 || lane->in_arena > 0) return false;
    // [arena.unlink] seq_cst: the unlinking before the look at the lanes; a lane that runs after it was seen idle does not find the arena.
    fai_fence_seq_cst();
    for (uint32_t i = 1; i < fai_memory_lanes_used(lane->memory); i++) {
        // [lane.claim] acquire: what the lane did before it became idle.
        if (fai_load_acquire(&fai_memory_lane(lane->memory, i)->state) != FAI_LANE_IDLE) return false;
    }
    return true;
}

void fai_arena_end(fai_lane *lane, fai_shared_arena *arena)
{
    fai_arena_registry *registry = &lane->memory->arenas;
    arena->closed_shares = fai_arena_close_shares(arena);
    run_cleanups(lane, arena->closed_shares);
    if (is_alone(lane)) {
        fai_arena_release(lane, arena);
        return;
    }
    arena->next = fai_load_relaxed(&registry->closed);
    // [arena.closed] release: hands the arena to the main lane.
    while (!fai_cas_release(&registry->closed, &arena->next, arena)) continue;
}

// At the boundary -------------------------------------------------------------------------------------------------------

static void release_all(fai_memory *memory, fai_shared_arena *arena)
{
    for (fai_shared_arena *next; arena != NULL; arena = next) {
        next = arena->next;
        fai_arena_release(fai_memory_lane(memory, 0), arena);
    }
}

void fai_arenas_release_waiting(fai_memory *memory)
{
    release_all(memory, memory->arenas.waiting);
    memory->arenas.waiting = NULL;
}

bool fai_arenas_gather(fai_memory *memory)
{
    fai_arena_registry *registry = &memory->arenas;
    FA_ASSERT(registry->waiting == NULL);
    if (fai_load_relaxed(&registry->closed) == NULL) return false;
    // [arena.closed] acquire: the arenas as they were handed over.
    registry->waiting = fai_exchange_acquire(&registry->closed, NULL);
    return true;
}

static void report_left(fai_memory *memory, const fai_shared_arena *arena, uint64_t objects, uint64_t bytes)
{
    fai_report(memory, fai_memory_lane(memory, 0), "FA910", "its cleanups have run; it is released with the system",
               "fa_group_free() before fa_destroy()", "never freed: group \"%s\", %llu objects (%llu bytes)",
               arena->name, (unsigned long long)objects, (unsigned long long)bytes);
}

static void end_group(fai_memory *memory, fai_shared_arena *arena, bool named)
{
    fai_lane *main_lane = fai_memory_lane(memory, 0);
    uint64_t objects, bytes, window;
    fai_arena_sum(main_lane, arena, &objects, &bytes, &window);
    if (named) report_left(memory, arena, objects, bytes);
    bool ours = fai_arena_swap(memory, arena->slot, arena, NULL);
    FA_ASSERT(ours);
    if (ours) fai_arena_end(main_lane, arena);
}

void fai_arenas_end(fai_memory *memory)
{
    fai_arena_registry *registry = &memory->arenas;
    uint32_t left = 0;
    for (uint32_t slot = 0; slot < registry->slot_count; slot++) {
        if (slot >= registry->scratch_count && slot - registry->scratch_count >= fai_load_relaxed(&registry->made))
            break;
        fai_shared_arena *arena = fai_load_relaxed(&registry->slots[slot].arena);
        if (arena != NULL && slot >= registry->scratch_count) end_group(memory, arena, left++ < LEAKS_NAMED);
    }
    if (left > LEAKS_NAMED)
        fai_report(memory, fai_memory_lane(memory, 0), "FA910", "their cleanups have run", "fa_group_free() each",
                   "never freed: %u groups more", (unsigned)(left - LEAKS_NAMED));
    fai_arenas_release_waiting(memory);
    if (fai_arenas_gather(memory)) fai_arenas_release_waiting(memory);
}

// Requests --------------------------------------------------------------------------------------------------------------

bool fai_arena_request_is_valid(const fai_lane *lane, size_t size, size_t *align)
{
    return size > 0 && fai_lane_align(lane, align, SIZE_MAX);
}

bool fai_arena_name_is_valid(const char *name)
{
    size_t length = name != NULL ? strnlen(name, FA_NAME_MAX + 1) : 0;
    return length >= 1 && length <= FA_NAME_MAX;
}
