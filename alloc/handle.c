// SPDX-License-Identifier: MIT
//
// Handles: the slot table and what users call. Chunks are in chunk.c, the compaction in compact.c; what pins, moves and frees of one object
// owe each other is said in the public header.
#include "alloc/lane.h"
#include "alloc/store.h"
#include "concurrent/annotate.h"
#include "concurrent/check.h"

#include <string.h>

#define ALLOCATED_BYTE 0xcd
#define FREED_BYTE 0xdd
#define BATCH_MAX 64u
// Above this an object has memory of its own: fewer than eight in a chunk.
#define HANDLE_SIZE_MAX 8192u
#define HANDLE_ALIGN_MAX 4096u
#define NO_KIND FAI_HANDLE_KINDS
// Slots begin with different generations in systems one after another, 2^24 apart, and keep three quarters of their generations. Another system's
// handle is stale here until a slot was used 2^24 times.
#define SYSTEMS_TOLD_APART 64u
#define GENERATIONS_BITS 24

_Static_assert(sizeof(fa_handle_slot) == 16, "four slots a cache line");

// Life ------------------------------------------------------------------------------------------------------------------

static size_t lines(size_t bytes)
{
    return (bytes + FAI_CACHE_LINE - 1) & ~(size_t)(FAI_CACHE_LINE - 1);
}

bool fai_handles_init(fai_handles *handles, const fai_blocks *blocks, uint32_t max, uint32_t lane_count,
                      uint32_t number)
{
    size_t units = blocks->count * FAI_BLOCK_UNITS, set = lines(units / 64 * sizeof(uint64_t) + sizeof(uint64_t));
    size_t slots = lines(max * sizeof(fa_handle_slot)), info = lines(max * sizeof(fai_handle_info));
    size_t chunks = lines(units * sizeof(fai_chunk));
    size_t bytes = slots + info + chunks + FAI_HANDLE_KINDS * set;
    memset(handles, 0, sizeof *handles);
    void *map = fai_map(bytes);
    if (map == NULL) return false;
    handles->map = map;
    handles->map_bytes = bytes;
    handles->slots = (fa_handle_slot *)map;
    handles->info = (fai_handle_info *)(void *)(handles->map + slots);
    handles->chunks = (fai_chunk *)(void *)(handles->map + slots + info);
    for (uint32_t kind = 0; kind < FAI_HANDLE_KINDS; kind++)
        handles->room[kind].words = (uint64_t *)(void *)(handles->map + slots + info + chunks + kind * set);
    handles->max = max;
    handles->generation = number % SYSTEMS_TOLD_APART << GENERATIONS_BITS | 1;
    // Half of the slots at most are with lanes that do not need them.
    uint32_t batch = max / (8 * lane_count);
    handles->batch = batch > BATCH_MAX ? BATCH_MAX : batch > 0 ? batch : 1;
    return true;
}

void fai_handles_prefault(fai_handles *handles, uint32_t blocks)
{
    if (handles->max == 0) return;
    // All zero as they are: 9 KiB for each block of 2 MiB, and a page for each kind of chunk.
    size_t units = (size_t)blocks * FAI_BLOCK_UNITS;
    memset(handles->chunks, 0, units * sizeof *handles->chunks);
    for (uint32_t kind = 0; kind < FAI_HANDLE_KINDS; kind++)
        memset(handles->room[kind].words, 0, (units + 63) / 64 * sizeof *handles->room[kind].words);
}

void fai_handles_exit(fai_handles *handles)
{
    fai_unmap(handles->map, handles->map_bytes);
}

void fai_handle_lane_init(fai_lane *lane)
{
    fai_handles *handles = &lane->memory->handles;
    lane->hot.handle_slots = handles->slots;
    lane->hot.handle_count = handles->max;
    lane->hot.handle_base = (uintptr_t)lane->memory->blocks.base - 16; // places count from 1
    lane->handles.free_slots = FAI_INDEX_NONE;
    lane->handles.refused_frame = UINT64_MAX;
    for (uint32_t kind = 0; kind < FAI_HANDLE_KINDS; kind++) lane->handles.cursors[kind].unit = FAI_INDEX_NONE;
}

void fai_handle_lane_trim(fai_lane *lane)
{
    // A lane that the main lane services has no outbox of its own to send things home.
    bool proxy = fai_load_relaxed(&lane->state) == FAI_LANE_PROXY;
    fai_lane *sender = proxy ? fai_memory_lane(lane->memory, 0) : lane;
    for (uint64_t kinds = lane->handles.kinds; kinds != 0; kinds &= kinds - 1)
        fai_chunk_drop(sender, &lane->handles.cursors[__builtin_ctzll(kinds)]);
    lane->handles.kinds = 0;
}

// Slots -----------------------------------------------------------------------------------------------------------------

/// Slots that were never used, as a chain; FAI_INDEX_NONE if all were.
static uint32_t carve(fai_handles *handles, uint32_t *count)
{
    uint32_t first = fai_load_relaxed(&handles->made);
    do {
        *count = handles->max - first < handles->batch ? handles->max - first : handles->batch;
        if (*count == 0) return FAI_INDEX_NONE;
    } while (!fai_cas_relaxed(&handles->made, &first, first + *count));
    for (uint32_t i = first; i < first + *count; i++) handles->info[i].next = i + 1;
    handles->info[first + *count - 1].next = FAI_INDEX_NONE;
    return first;
}

static bool refill_slots(fai_lane *lane)
{
    fai_handles *handles = &lane->memory->handles;
    uint32_t retries = 0, count = handles->batch;
    uint32_t first = handles->max == 0 ? FAI_INDEX_NONE
                                       : fai_index_stack_pop_any(&handles->free, &handles->slots[0].link,
                                                                 sizeof(fa_handle_slot), &retries);
    if (first == FAI_INDEX_NONE) first = carve(handles, &count);
    lane->handles.free_slots = first;
    lane->handles.free_count = first != FAI_INDEX_NONE ? count : 0;
    return first != FAI_INDEX_NONE;
}

static uint32_t take_slot(fai_lane *lane)
{
    fai_handle_lane *own = &lane->handles;
    if (own->free_slots == FAI_INDEX_NONE && !refill_slots(lane)) return FAI_INDEX_NONE;
    uint32_t index = own->free_slots;
    FA_ASSERT(index < lane->memory->handles.max && own->free_count > 0);
    FA_ASSERT(fai_load_relaxed(&lane->memory->handles.slots[index].place) == 0);
    own->free_slots = lane->memory->handles.info[index].next;
    own->free_count--;
    return index;
}

/// Hands the newest batch of the lane's chain to all lanes.
static void spill_slots(fai_lane *lane)
{
    fai_handles *handles = &lane->memory->handles;
    uint32_t first = lane->handles.free_slots, last = first;
    FA_ASSERT(lane->handles.free_count > handles->batch);
    for (uint32_t i = 1; i < handles->batch; i++) last = handles->info[last].next;
    lane->handles.free_slots = handles->info[last].next;
    lane->handles.free_count -= handles->batch;
    handles->info[last].next = FAI_INDEX_NONE;
    (void)fai_index_stack_push_any(&handles->free, first, &handles->slots[first].link);
}

static void give_slot(fai_lane *lane, uint32_t index)
{
    fai_handle_lane *own = &lane->handles;
    lane->memory->handles.info[index].next = own->free_slots;
    own->free_slots = index;
    if (++own->free_count > 2 * lane->memory->handles.batch) spill_slots(lane);
}

/// Makes every handle to the slot's object stale, and the slot free, unless its generations are used up.
static void end_generation(fai_lane *lane, uint32_t index)
{
    fai_handles *handles = &lane->memory->handles;
    uint32_t generation = fai_load_relaxed(&handles->slots[index].generation);
    FA_ASSERT(fai_load_relaxed(&handles->slots[index].place) == 0 && generation != 0);
    if (generation == UINT32_MAX) {
        (void)fai_add_relaxed(&handles->worn, 1u);
        return;
    }
    fai_store_relaxed(&handles->slots[index].generation, generation + 1);
    give_slot(lane, index);
}

// Objects ---------------------------------------------------------------------------------------------------------------

/// The kind of chunk that serves it; NO_KIND: memory of its own.
static uint32_t kind_for(size_t size, size_t align, bool fixed)
{
    if (size > HANDLE_SIZE_MAX || align > HANDLE_ALIGN_MAX) return NO_KIND;
    uint32_t size_class = fai_class_aligned(size > 32 ? size : 32, align);
    if (size_class >= FAI_HANDLE_KINDS / 2) return NO_KIND;
    return 2 * size_class + fixed;
}

static void *take_object(fai_lane *lane, size_t size, size_t align, uint32_t kind, uint32_t slot)
{
    if (kind == NO_KIND) return fai_store_take(lane, size, align);
    lane->handles.kinds |= UINT64_C(1) << kind;
    void *p = fai_chunk_alloc(lane, &lane->handles.cursors[kind], kind, slot);
    if (p != NULL) fai_allow(p, size);
    return p;
}

/// Once more after the lane has given back what it keeps, when a limit refuses.
static void *take_object_or_trim(fai_lane *lane, size_t size, size_t align, uint32_t kind, uint32_t slot)
{
    void *p = take_object(lane, size, align, kind, slot);
    if (p != NULL) return p;
    fai_lane_trim(lane);
    return take_object(lane, size, align, kind, slot);
}

static size_t occupied(const fai_memory *memory, uint32_t kind, const void *p)
{
    return kind == NO_KIND ? fai_store_size(memory, p) : fai_class_size(kind / 2);
}

/// The same before there is one; 0: more than there can ever be.
static size_t will_occupy(const fai_memory *memory, uint32_t kind, size_t size, size_t align)
{
    if (kind != NO_KIND) return fai_class_size(kind / 2);
    return size <= memory->blocks.bytes ? fai_store_room(size, align) : 0;
}

/// Charges the tag before anything is taken: a sink that hears of the budget may use handles itself. NULL: refused.
static void *take_charged(fai_lane *lane, size_t size, size_t align, uint32_t kind, uint32_t slot)
{
    size_t bytes = will_occupy(lane->memory, kind, size, align);
    if (bytes == 0 || !fai_label_charge(lane, fai_lane_label(lane), FAI_USE_HANDLE, bytes)) return NULL;
    void *p = take_object_or_trim(lane, size, align, kind, slot);
    FA_ASSERT(p == NULL || occupied(lane->memory, kind, p) == bytes);
    if (p == NULL) fai_label_refund(lane, fai_lane_label(lane), FAI_USE_HANDLE, bytes);
    return p;
}

/// Counts an object that begins to live.
static void enter_object(fai_lane *lane, const fai_handle_info *info, const void *p)
{
    lane->changed = true;
    FAI_TALLY(lane, handle_allocs, 1);
    FAI_TALLY(lane, handle_live, 1);
    size_t bytes = occupied(lane->memory, info->kind, p);
    FAI_TALLY(lane, handle_live_bytes, (int64_t)bytes);
    fai_lane_count(lane, FAI_USE_HANDLE, bytes);
    FAI_TALLY(lane, handle_fixed, info->fixed);
}

/// The opposite, on any lane.
static void leave_object(fai_lane *lane, const fai_handle_info *info, const void *p)
{
    int64_t bytes = (int64_t)occupied(lane->memory, info->kind, p);
    fai_label_refund(lane, info->label, FAI_USE_HANDLE, (uint64_t)bytes);
    lane->changed = true;
    FAI_TALLY(lane, handle_live, -1);
    FAI_TALLY(lane, handle_live_bytes, -bytes);
    FAI_TALLY(lane, handle_fixed, -info->fixed);
}

/// Objects of chunks are filled while they are free. The rest of the memory is the store's.
static void verify_and_fill(const fai_lane *lane, void *p, size_t size, uint32_t kind)
{
    bool intact = kind == NO_KIND || fa_is_poisoned(p, size);
    memset(p, ALLOCATED_BYTE, size);
    if (!intact)
        fai_report(lane->memory, lane, "FA201",
                   "an address outlived its object, or its move, or what lies before was written past its end",
                   "resolve the handle again after each quiescent state, or pin it",
                   "the object now allocated behind a handle at %p was written while it was free", p);
}

static void report_full(fai_lane *lane)
{
    const fai_memory *memory = lane->memory;
    uint64_t frame = fai_load_relaxed(&memory->frame_number);
    (void)fai_add_relaxed(&lane->memory->handles.refused, UINT64_C(1));
    if (lane->handles.refused_frame == frame) return;
    lane->handles.refused_frame = frame;
    fai_report(memory, lane, "FA301", "the allocation is refused; other lanes may keep a few free handles at hand",
               "free handles, or configure a larger handles_max", "all of %u handles are in use",
               (unsigned)memory->handles.max);
}

fa_handle fa_handle_alloc(fa_worker *w, size_t size, size_t align, const fa_handle_options *options)
{
    static const fa_handle_options none = {false, NULL, NULL};
    fa_handle dangling = {0, 0};
    if (w == NULL) return dangling;
    fai_lane *lane = fai_lane_of(w);
    if (!fai_lane_may_use(lane)) return dangling;
    if (!fai_arena_request_is_valid(lane, size, &align)) return dangling;
    fai_handles *handles = &lane->memory->handles;
    if (options == NULL) options = &none;
    uint32_t slot = take_slot(lane);
    if (slot == FAI_INDEX_NONE) {
        report_full(lane);
        return dangling;
    }
    uint32_t kind = kind_for(size, align, options->fixed);
    uint64_t denials = lane->denials;
    void *p = take_charged(lane, size, align, kind, slot);
    if (p == NULL) {
        give_slot(lane, slot);
        if (lane->denials == denials) fai_lane_report_refused(lane, size);
        return dangling;
    }
    if (lane->memory->config.checked) verify_and_fill(lane, p, size, kind);
    fai_handle_info *info = &handles->info[slot];
    fai_store_relaxed(&info->on_relocate, options->on_relocate);
    fai_store_relaxed(&info->context, options->context);
    fai_store_relaxed(&info->size, size);
    info->kind = kind;
    info->label = fai_lane_label(lane);
    info->fixed = options->fixed;
    enter_object(lane, info, p);
    fa_handle_slot *to = &handles->slots[slot];
    FA_ASSERT(((uintptr_t)p & (align - 1)) == 0);
    if (fai_load_relaxed(&to->generation) == 0) fai_store_relaxed(&to->generation, handles->generation);
    // [handle.place] release: publishes the object, what is known of it, and its generation.
    fai_store_release(&to->place, fai_place_make(&lane->memory->blocks, p));
    return (fa_handle){slot, fai_load_relaxed(&to->generation)};
}

// What a handle names ---------------------------------------------------------------------------------------------------

static void report_stale(const fai_lane *lane, fa_handle handle, const char *what)
{
    if (!lane->memory->config.checked) return;
    fai_report(lane->memory, lane, "FA401", "its object was freed, or it never named one in this system",
               "drop handles when their object is freed, or ask fa_handle_is_valid() first",
               "%s of an invalid handle (index %u, generation %u)", what, (unsigned)handle.index,
               (unsigned)handle.generation);
}

void *fa_handle_refuse(const fa_worker *w, fa_handle handle)
{
    const fai_lane *lane = (const fai_lane *)(const void *)w;
    if (w != NULL && fai_lane_may_use(lane)) report_stale(lane, handle, "resolve");
    return NULL;
}

/// The slot's word while the handle names its object, else 0. As fa_handle_peek(), whose comments hold.
static uint64_t place_of(const fai_handles *handles, fa_handle handle)
{
    if (handle.index >= handles->max) return 0;
    const fa_handle_slot *slot = &handles->slots[handle.index];
    // [handle.place] acquire: the object as it was left; the generation below is not older than the place.
    uint64_t place = fai_load_acquire(&slot->place);
    return fai_load_relaxed(&slot->generation) == handle.generation ? place : 0;
}

static void report_pins(const fai_lane *lane, fa_handle handle, const char *what, const char *help)
{
    fai_report(lane->memory, lane, "FA401", "nothing was changed", help, "%s (index %u, generation %u)", what,
               (unsigned)handle.index, (unsigned)handle.generation);
}

void *fa_handle_pin(fa_worker *w, fa_handle handle)
{
    if (w == NULL) return NULL;
    fai_lane *lane = fai_lane_of(w);
    if (!fai_lane_may_use(lane)) return NULL;
    const fai_handles *handles = &lane->memory->handles;
    for (;;) {
        uint64_t place = place_of(handles, handle);
        if (place == 0) {
            report_stale(lane, handle, "pin");
            return NULL;
        }
        if ((place & FAI_PLACE_PINS) == FAI_PLACE_PINS) {
            report_pins(lane, handle, "pin of a handle that has the most pins already", "take pins off");
            return NULL;
        }
        uint64_t pinned = (place & ~FAI_PLACE_MOVING) + 1;
        // [handle.place] acquire: the object as its last move left it. It cancels a move that has only begun.
        if (!fai_cas_acquire(&handles->slots[handle.index].place, &place, pinned)) continue;
        if ((pinned & FAI_PLACE_PINS) == 1) {
            FAI_TALLY(lane, handle_pinned, 1);
            lane->changed = true;
        }
        return fai_place_address(&lane->memory->blocks, pinned);
    }
}

fa_status fa_handle_unpin(fa_worker *w, fa_handle handle)
{
    if (w == NULL) return FA_ERROR_INVALID;
    fai_lane *lane = fai_lane_of(w);
    fa_status status = fai_lane_check(lane);
    if (status != FA_OK) return status;
    const fai_handles *handles = &lane->memory->handles;
    for (;;) {
        uint64_t place = place_of(handles, handle);
        if (place == 0) {
            report_stale(lane, handle, "unpin");
            return FA_ERROR_STALE;
        }
        if ((place & FAI_PLACE_PINS) == 0) {
            report_pins(lane, handle, "unpin of a handle that is not pinned", "unpin as often as pinned");
            return FA_ERROR_STATE;
        }
        // [handle.pin] release: what was written under the pin is there for the move that it prevented, and for the free.
        if (!fai_cas_release(&handles->slots[handle.index].place, &place, place - 1)) continue;
        if ((place & FAI_PLACE_PINS) == 1) {
            FAI_TALLY(lane, handle_pinned, -1);
            lane->changed = true;
        }
        return FA_OK;
    }
}

fa_status fa_handle_free(fa_worker *w, fa_handle handle)
{
    if (w == NULL) return FA_ERROR_INVALID;
    fai_lane *lane = fai_lane_of(w);
    fa_status status = fai_lane_check(lane);
    if (status != FA_OK) return status;
    const fai_handles *handles = &lane->memory->handles;
    if (!fai_lane_reserve_retired(lane)) return FA_ERROR_MEMORY;
    for (;;) {
        uint64_t place = place_of(handles, handle);
        if (place == 0) {
            report_stale(lane, handle, "free");
            return FA_ERROR_STALE;
        }
        if ((place & FAI_PLACE_PINS) != 0) return FA_ERROR_BUSY;
        // [handle.pin] acquire: what was written under pins comes before the memory is used again.
        if (!fai_cas_acquire(&handles->slots[handle.index].place, &place, UINT64_C(0))) continue;
        void *p = fai_place_address(&lane->memory->blocks, place);
        leave_object(lane, &handles->info[handle.index], p);
        bool recorded = fai_lane_retire(lane, p);
        FA_ASSERT(recorded);
        (void)recorded;
        end_generation(lane, handle.index);
        return FA_OK;
    }
}

// At the boundary -------------------------------------------------------------------------------------------------------

static void mark_freed(const fai_memory *memory, void *p, size_t size)
{
    if (memory->config.checked) {
        fai_allow(p, size);
        memset(p, FREED_BYTE, size);
    }
    fai_forbid(p, size);
}

void fai_handle_reclaim(fai_memory *memory, void *p)
{
    uint32_t unit = fai_unit_of(&memory->blocks, p);
    FA_ASSERT(fai_store_has(memory, p));
    const fai_chunk *chunk = &memory->handles.chunks[unit];
    if (chunk->capacity == 0) {
        mark_freed(memory, p, fai_store_size(memory, p));
        fai_store_give(fai_memory_lane(memory, 0), p);
        return;
    }
    mark_freed(memory, p, chunk->object_size);
    fai_chunk_free(memory, unit, fai_chunk_index(chunk, &memory->blocks, unit, p));
}
