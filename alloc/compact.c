// SPDX-License-Identifier: MIT
//
// The compaction of handles' objects. Of each size it takes the chunks that have room out of their set, sorts them by how much they
// hold, and empties them from the emptiest upwards into the fullest downwards, as long as what a chunk holds fits into those that are
// left: then there is one chunk less. An object moves by two compare-and-swaps on its slot (see the public header), no lock is held at any
// time, and its old copy goes the way of every freed object.
//
//     a chunk is emptied or left as it was, unless a budget, a pin or a lack of memory comes between: then it is emptier
#include "alloc/lane.h"
#include "concurrent/annotate.h"
#include "concurrent/check.h"

#define CHUNKS_MAX 256u  // looked at per size
#define LOOKS_MAX 65536u // objects

typedef struct entry {
    uint32_t unit;
    uint32_t taken;
} entry;

/// One compaction.
typedef struct run {
    fai_memory *memory;
    size_t bytes_left;
    uint32_t moves_left;
    uint32_t looks_left;
    bool no_memory;
    fa_handle_compaction result;
    // of the size at hand
    entry chunks[CHUNKS_MAX]; // rising by what they hold
    uint32_t low, high;       // the chunk that is emptied; the one that fills up
    fai_chunk_cursor to;      // in the latter
} run;

typedef enum move { MOVED, GONE, PINNED, STOP } move;

static fai_chunk *chunk_of(const run *r, uint32_t unit)
{
    return &r->memory->handles.chunks[unit];
}

static void *object_at(const run *r, uint32_t unit, uint32_t index)
{
    return fai_unit_start(&r->memory->blocks, unit) + (size_t)index * chunk_of(r, unit)->object_size;
}

// Moving one object -----------------------------------------------------------------------------------------------------

/// Copies what nobody writes, or what a pin came to be written meanwhile: then the copy is thrown away, so that a torn one does no harm, and
/// ThreadSanitizer need not know. Sizes of objects are padded to 16 in memory, but only `size` bytes may be touched.
FAI_UNSEEN_BY_TSAN static void copy(void *to, const void *from, size_t size)
{
    const volatile uint64_t *words = from;
    const volatile unsigned char *bytes = from;
    for (size_t i = 0; i < size / 8; i++) ((volatile uint64_t *)to)[i] = words[i];
    for (size_t i = size & ~(size_t)7; i < size; i++) ((volatile unsigned char *)to)[i] = bytes[i];
}

/// Room in the fullest chunk that has some; NULL when those that are left are full.
static void *take_room(run *r, uint32_t slot)
{
    for (;;) {
        if (r->to.unit != FAI_INDEX_NONE) {
            void *p = fai_chunk_alloc_here(r->memory, &r->to, slot);
            if (p != NULL) return p;
            r->high--; // it was sealed
        }
        if (r->high <= r->low) return NULL;
        r->to = (fai_chunk_cursor){.unit = r->chunks[r->high].unit};
    }
}

/// The slot's word if its object lies at p and is not pinned, with what to answer otherwise.
static move look(run *r, uint32_t slot, const void *p, uint64_t *place)
{
    // [handle.place] acquire: what is known of the object.
    *place = fai_load_acquire(&r->memory->handles.slots[slot].place);
    if (*place >> FA_HANDLE_PLACE_SHIFT != fai_place_make(&r->memory->blocks, p) >> FA_HANDLE_PLACE_SHIFT) return GONE;
    return (*place & FAI_PLACE_PINS) != 0 ? PINNED : MOVED;
}

static move move_object(run *r, uint32_t slot, void *from, uint32_t object_size)
{
    fa_handle_slot *at = &r->memory->handles.slots[slot];
    const fai_handle_info *info = &r->memory->handles.info[slot];
    fai_lane *main_lane = fai_memory_lane(r->memory, 0);
    uint64_t place;
    move found = look(r, slot, from, &place);
    if (found != MOVED) return found;
    if (r->moves_left == 0 || fai_load_relaxed(&info->size) > r->bytes_left) return STOP;
    r->no_memory = !fai_lane_reserve_retired(main_lane);
    if (r->no_memory) return STOP;
    void *to = take_room(r, slot);
    if (to == NULL) return STOP;
    uint64_t moving = place | FAI_PLACE_MOVING;
    // [handle.pin] acquire: what was written under pins that are gone. A lane that frees or pins now makes the next step fail.
    bool claimed = fai_cas_acquire(&at->place, &place, moving);
    // The slot may have been freed and may have another object by now: then these are not this object's, and the next step fails.
    fai_handle_info known = {.on_relocate = fai_load_relaxed(&info->on_relocate),
                             .context = fai_load_relaxed(&info->context),
                             .size = fai_load_relaxed(&info->size)};
    if (known.size > object_size) known.size = object_size;
    fai_allow(to, known.size);
    if (claimed) copy(to, from, known.size);
    // [handle.place] release: publishes the copy.
    if (!claimed || !fai_cas_release(&at->place, &moving, fai_place_make(&r->memory->blocks, to))) {
        fai_handle_reclaim(r->memory, to); // nobody has seen it
        return look(r, slot, from, &place) == GONE ? GONE : PINNED;
    }
    bool recorded = fai_lane_retire(main_lane, from);
    FA_ASSERT(recorded);
    (void)recorded;
    FA_ASSERT(r->moves_left > 0 && r->bytes_left >= known.size && to != from);
    r->moves_left--;
    r->bytes_left -= known.size;
    r->result.moves++;
    r->result.bytes += known.size;
    if (known.on_relocate != NULL) known.on_relocate(from, to, known.context);
    return MOVED;
}

// Emptying one chunk ----------------------------------------------------------------------------------------------------

/// Calls for every object that is taken; stops at the first answer that is neither MOVED nor GONE.
static move for_each_taken(run *r, uint32_t unit, move (*visit)(run *r, uint32_t slot, void *p, uint32_t object_size))
{
    const fai_chunk *chunk = chunk_of(r, unit);
    for (uint32_t word = 0; word * 64 < chunk->capacity; word++) {
        uint32_t left = chunk->capacity - word * 64;
        uint64_t mask = left >= 64 ? UINT64_MAX : (UINT64_C(1) << left) - 1;
        for (uint64_t bits = ~fai_load_relaxed(&chunk->free_bits[word]) & mask; bits != 0; bits &= bits - 1) {
            uint32_t index = word * 64 + (uint32_t)__builtin_ctzll(bits);
            move done = visit(r, chunk->owners[index], object_at(r, unit, index), chunk->object_size);
            if (done == PINNED || done == STOP) return done;
        }
    }
    return MOVED;
}

static move visit_look(run *r, uint32_t slot, void *p, uint32_t object_size)
{
    (void)object_size;
    uint64_t place;
    if (r->looks_left == 0) return STOP;
    r->looks_left--;
    return look(r, slot, p, &place);
}

/// Empties the lowest chunk. STOP: a budget is used up, or there is no memory.
static move empty_lowest(run *r)
{
    uint32_t unit = r->chunks[r->low].unit;
    FA_ASSERT(r->low < r->high && unit != r->to.unit);
    move done = for_each_taken(r, unit, visit_look);
    if (done == MOVED) done = for_each_taken(r, unit, move_object);
    r->result.pinned += done == PINNED;
    if (done != MOVED) return done;
    fai_chunk_drain(r->memory, unit);
    r->chunks[r->low].unit = FAI_INDEX_NONE;
    r->result.blocks++;
    return MOVED;
}

// One size --------------------------------------------------------------------------------------------------------------

static void sort(entry *entries, uint32_t count)
{
    for (uint32_t gap = count / 2; gap > 0; gap /= 2) { // Shell 1959; at most CHUNKS_MAX
        for (uint32_t i = gap; i < count; i++) {
            entry moved = entries[i];
            uint32_t j = i;
            for (; j >= gap && entries[j - gap].taken > moved.taken; j -= gap) entries[j] = entries[j - gap];
            entries[j] = moved;
        }
    }
}

/// Takes the chunks of a kind out of their set.
static uint32_t collect(run *r, uint32_t kind)
{
    fai_chunk_set *set = &r->memory->handles.room[kind];
    uint32_t count = 0;
    for (uint32_t word = 0; word < fai_load_relaxed(&set->end); word++) {
        for (uint64_t bits = fai_load_relaxed(&set->words[word]); bits != 0; bits &= bits - 1) {
            uint32_t unit = word * 64 + (uint32_t)__builtin_ctzll(bits);
            if (count == CHUNKS_MAX) return count;
            if (!fai_chunk_claim(r->memory, kind, unit)) continue;
            uint32_t taken = fai_load_relaxed(&chunk_of(r, unit)->state) & FAI_CHUNK_TAKEN;
            r->chunks[count++] = (entry){unit, taken};
        }
    }
    return count;
}

/// Free objects in the chunks above the lowest, up to the one that fills up.
static uint64_t count_room(const run *r)
{
    uint64_t room = r->to.unit != FAI_INDEX_NONE ? (uint64_t)__builtin_popcountll(r->to.mask) : 0;
    for (uint32_t i = r->low + 1; i <= r->high; i++) {
        const fai_chunk *chunk = chunk_of(r, r->chunks[i].unit);
        uint32_t taken = fai_load_relaxed(&chunk->state) & FAI_CHUNK_TAKEN;
        FA_ASSERT(taken <= chunk->capacity);
        room += chunk->capacity - taken;
    }
    return room;
}

/// False: a budget is used up.
static bool compact_kind(run *r, uint32_t kind)
{
    uint32_t count = collect(r, kind);
    if (count == 0) return true;
    sort(r->chunks, count);
    move done = MOVED;
    r->high = count - 1;
    r->to.unit = FAI_INDEX_NONE;
    for (r->low = 0; r->low < r->high && done != STOP && r->chunks[r->low].taken <= count_room(r); r->low++)
        done = empty_lowest(r);
    uint32_t filling = r->to.unit;
    fai_chunk_drop(fai_memory_lane(r->memory, 0), &r->to);
    for (uint32_t i = 0; i <= r->high; i++)
        if (r->chunks[i].unit != FAI_INDEX_NONE && r->chunks[i].unit != filling)
            fai_chunk_let_go(fai_memory_lane(r->memory, 0), r->chunks[i].unit);
    r->result.more |= done == STOP || (count == CHUNKS_MAX && r->result.blocks > 0);
    return done != STOP;
}

fa_status fai_handles_compact(fai_memory *memory, size_t max_bytes, uint32_t max_moves, fa_handle_compaction *result)
{
    fai_handles *handles = &memory->handles;
    run r = {.memory = memory, .bytes_left = max_bytes, .moves_left = max_moves, .looks_left = LOOKS_MAX};
    if (handles->compacting) return FA_ERROR_STATE;
    handles->compacting = true;
    if (max_bytes > 0 && max_moves > 0) {
        fai_memory_trim_handles(memory);
        uint32_t kind = handles->resume;
        for (uint32_t i = 0; i < FAI_HANDLE_KINDS / 2; i++, kind = (kind + 2) % FAI_HANDLE_KINDS)
            if (!compact_kind(&r, kind)) break;
        handles->resume = kind;
    }
    handles->compacting = false;
    fai_store_relaxed(&handles->relocated, handles->relocated + r.result.moves);
    fai_store_relaxed(&handles->relocated_bytes, handles->relocated_bytes + r.result.bytes);
    if (r.result.moves > 0)
        fai_event(fai_memory_lane(memory, 0), FA_EVENT_HANDLE_COMPACT, NULL, r.result.moves, r.result.bytes, 0);
    if (result != NULL) *result = r.result;
    return r.no_memory ? FA_ERROR_MEMORY : FA_OK;
}
