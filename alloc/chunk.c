// SPDX-License-Identifier: MIT
//
// Chunks: the memory of handles' objects; see handle.h. A lane takes a word of free bits at a time with one exchange on a chunk that only
// it allocates from, and hands objects out of it with plain stores. The main lane puts bits back. `state` keeps the flags and the number
// of objects taken in one word, so that "full" and "has room again", "listed" and "empty" cannot miss each other.
#include "alloc/lane.h"
#include "alloc/store.h"
#include "concurrent/annotate.h"
#include "concurrent/check.h"

#include <string.h>

#define FREED_BYTE 0xdd

_Static_assert(FAI_CHUNK_WORDS * 64 * 32 == FAI_UNIT_BYTES, "a bit for each object of the smallest class");

static fai_chunk *chunk_at(const fai_memory *memory, uint32_t unit)
{
    fai_chunk *chunk = &memory->handles.chunks[unit];
    FA_ASSERT(chunk->capacity != 0);
    return chunk;
}

static uint32_t words_of(const fai_chunk *chunk)
{
    return (chunk->capacity + 63) / 64;
}

static uint32_t taken(uint32_t state)
{
    return state & FAI_CHUNK_TAKEN;
}

// Making and giving back ------------------------------------------------------------------------------------------------

static void fill_bits(fai_chunk *chunk)
{
    for (uint32_t word = 0; word < words_of(chunk); word++) {
        uint32_t left = chunk->capacity - word * 64;
        fai_store_relaxed(&chunk->free_bits[word], left >= 64 ? UINT64_MAX : (UINT64_C(1) << left) - 1);
    }
}

/// An empty chunk, owned; FAI_INDEX_NONE when refused.
static uint32_t chunk_make(fai_lane *lane, uint32_t kind)
{
    fai_handles *handles = &lane->memory->handles;
    uint32_t size = fai_class_size(kind / 2);
    uint32_t capacity = (uint32_t)(FAI_UNIT_BYTES / size);
    void *memory = fai_store_take(lane, FAI_UNIT_BYTES, FAI_UNIT_BYTES);
    if (memory == NULL) return FAI_INDEX_NONE;
    uint32_t *owners = fai_store_take(lane, capacity * sizeof(uint32_t), FA_ALIGN_DEFAULT);
    if (owners == NULL) {
        fai_store_give(lane, memory);
        return FAI_INDEX_NONE;
    }
    uint32_t unit = fai_unit_of(&lane->memory->blocks, memory);
    fai_chunk *chunk = &handles->chunks[unit];
    FA_ASSERT(chunk->capacity == 0 && capacity <= FAI_CHUNK_WORDS * 64);
    chunk->owners = owners;
    chunk->kind = kind;
    chunk->capacity = capacity;
    chunk->object_size = size;
    chunk->reciprocal = (uint32_t)(((UINT64_C(1) << 32) + size - 1) / size);
    fill_bits(chunk);
    fai_store_relaxed(&chunk->state, FAI_CHUNK_OWNED);
    (void)fai_add_relaxed(&handles->chunk_count, 1u);
    if (lane->memory->config.checked) memset(memory, FREED_BYTE, FAI_UNIT_BYTES); // as objects that come back
    fai_forbid(memory, FAI_UNIT_BYTES);
    return unit;
}

static void chunk_give(fai_lane *lane, uint32_t unit)
{
    fai_handles *handles = &lane->memory->handles;
    fai_chunk *chunk = chunk_at(lane->memory, unit);
    FA_ASSERT(taken(fai_load_relaxed(&chunk->state)) == 0);
    chunk->capacity = 0;
    fai_store_give(lane, chunk->owners);
    fai_store_give(lane, fai_unit_start(&lane->memory->blocks, unit));
    (void)fai_sub_relaxed(&handles->chunk_count, 1u);
}

// The set of those with room --------------------------------------------------------------------------------------------

static void set_add(fai_chunk_set *set, uint32_t unit)
{
    uint32_t word = unit / 64, end = fai_load_relaxed(&set->end);
    while (word >= end && !fai_cas_relaxed(&set->end, &end, word + 1)) continue;
    if (word < fai_load_relaxed(&set->hint)) fai_store_relaxed(&set->hint, word);
    // [chunk.room] acq_rel: publishes the chunk. It is a read-modify-write, as the one that removes: of two, the later sees all that came
    // before the earlier, so that either the free that emptied the chunk finds it listed or whoever lists it finds it empty.
    uint64_t before = fai_or_acq_rel(&set->words[word], UINT64_C(1) << unit % 64);
    FA_ASSERT((before >> unit % 64 & 1) == 0);
    (void)before;
}

bool fai_chunk_claim(fai_memory *memory, uint32_t kind, uint32_t unit)
{
    uint64_t bit = UINT64_C(1) << unit % 64;
    // [chunk.room] acq_rel: the chunk as its last owner left it; see set_add().
    if ((fai_and_acq_rel(&memory->handles.room[kind].words[unit / 64], ~bit) & bit) == 0) return false;
    FA_ASSERT(chunk_at(memory, unit)->kind == kind);
    uint32_t before = fai_or_relaxed(&memory->handles.chunks[unit].state, FAI_CHUNK_OWNED);
    FA_ASSERT((before & ~FAI_CHUNK_TAKEN) == 0);
    (void)before;
    return true;
}

/// The first chunk of a kind that has room, owned from now on; FAI_INDEX_NONE if there is none.
static uint32_t set_take(fai_memory *memory, uint32_t kind)
{
    fai_chunk_set *set = &memory->handles.room[kind];
    uint32_t end = fai_load_relaxed(&set->end), start = fai_load_relaxed(&set->hint);
    for (uint32_t i = 0; i < end; i++) {
        uint32_t word = start + i < end ? start + i : start + i - end;
        if (word >= end) break; // the hint is beyond the end: a lost race of hints
        uint64_t bits;
        while ((bits = fai_load_relaxed(&set->words[word])) != 0) {
            uint32_t unit = word * 64 + (uint32_t)__builtin_ctzll(bits);
            if (!fai_chunk_claim(memory, kind, unit)) continue;
            fai_store_relaxed(&set->hint, word);
            return unit;
        }
    }
    return FAI_INDEX_NONE;
}

// Giving up -------------------------------------------------------------------------------------------------------------

/// Makes an owned chunk nobody's because it has no room; false if it has some.
static bool seal(fai_chunk *chunk)
{
    // [chunk.full] acquire: the bits of every free that is counted in it.
    uint32_t state = fai_load_acquire(&chunk->state);
    do {
        FA_ASSERT((state & FAI_CHUNK_OWNED) != 0);
        if (taken(state) < chunk->capacity) return false;
        // [chunk.full] release: hands the chunk to the free that makes room.
    } while (!fai_cas_release(&chunk->state, &state, taken(state) | FAI_CHUNK_FULL));
    return true;
}

/// Gives back a listed chunk if it is empty and still there.
static void give_if_empty(fai_lane *lane, uint32_t kind, uint32_t unit)
{
    if (!fai_chunk_claim(lane->memory, kind, unit)) return;
    // [chunk.full] acquire: whoever put the last object back has done with the chunk.
    if (taken(fai_load_acquire(&chunk_at(lane->memory, unit)->state)) == 0)
        chunk_give(lane, unit);
    else
        fai_chunk_let_go(lane, unit);
}

void fai_chunk_let_go(fai_lane *lane, uint32_t unit)
{
    fai_chunk *chunk = chunk_at(lane->memory, unit);
    if (seal(chunk)) return;
    // [chunk.full] acq_rel: the frees so far; a free that comes later finds the chunk listed, or is found below.
    uint32_t before = fai_and_acq_rel(&chunk->state, FAI_CHUNK_TAKEN);
    FA_ASSERT((before & ~FAI_CHUNK_TAKEN) == FAI_CHUNK_OWNED);
    if (taken(before) == 0) {
        chunk_give(lane, unit);
        return;
    }
    uint32_t kind = chunk->kind;
    set_add(&lane->memory->handles.room[kind], unit); // from here on it may be another's, or gone
    if (taken(fai_load_relaxed(&chunk->state)) == 0) give_if_empty(lane, kind, unit);
}

void fai_chunk_drain(fai_memory *memory, uint32_t unit)
{
    fai_chunk *chunk = chunk_at(memory, unit);
    FA_ASSERT((fai_load_relaxed(&chunk->state) & ~FAI_CHUNK_TAKEN) == FAI_CHUNK_OWNED);
    (void)fai_or_relaxed(&chunk->state, FAI_CHUNK_DRAIN);
    (void)fai_and_relaxed(&chunk->state, ~FAI_CHUNK_OWNED);
    if (taken(fai_load_relaxed(&chunk->state)) == 0) chunk_give(fai_memory_lane(memory, 0), unit);
}

// Objects ---------------------------------------------------------------------------------------------------------------

/// Takes the free objects of one word; false if the chunk shows none.
static bool take_word(fai_chunk *chunk, fai_chunk_cursor *cursor)
{
    uint32_t words = words_of(chunk);
    for (uint32_t i = 0; i < words; i++) {
        uint32_t word = cursor->word + i < words ? cursor->word + i : cursor->word + i - words;
        if (fai_load_relaxed(&chunk->free_bits[word]) == 0) continue;
        // [chunk.bits] acquire: the object as whoever freed it left it.
        cursor->mask = fai_exchange_acquire(&chunk->free_bits[word], UINT64_C(0));
        cursor->word = word;
        FA_ASSERT(cursor->mask != 0); // only its owner takes
        (void)fai_add_relaxed(&chunk->state, (uint32_t)__builtin_popcountll(cursor->mask));
        return true;
    }
    return false;
}

void *fai_chunk_alloc_here(fai_memory *memory, fai_chunk_cursor *cursor, uint32_t slot)
{
    FA_ASSERT(cursor->unit != FAI_INDEX_NONE);
    fai_chunk *chunk = chunk_at(memory, cursor->unit);
    while (cursor->mask == 0 && !take_word(chunk, cursor)) {
        if (!seal(chunk)) continue; // something came back meanwhile
        cursor->unit = FAI_INDEX_NONE;
        return NULL;
    }
    uint32_t index = cursor->word * 64 + (uint32_t)__builtin_ctzll(cursor->mask);
    cursor->mask &= cursor->mask - 1;
    FA_ASSERT(index < chunk->capacity);
    chunk->owners[index] = slot;
    return fai_unit_start(&memory->blocks, cursor->unit) + (size_t)index * chunk->object_size;
}

void *fai_chunk_alloc(fai_lane *lane, fai_chunk_cursor *cursor, uint32_t kind, uint32_t slot)
{
    for (;;) {
        if (cursor->unit != FAI_INDEX_NONE) {
            void *p = fai_chunk_alloc_here(lane->memory, cursor, slot);
            if (p != NULL) return p;
        }
        uint32_t unit = set_take(lane->memory, kind);
        if (unit == FAI_INDEX_NONE) unit = chunk_make(lane, kind);
        if (unit == FAI_INDEX_NONE) return NULL;
        FA_ASSERT(chunk_at(lane->memory, unit)->kind == kind);
        *cursor = (fai_chunk_cursor){.unit = unit};
    }
}

void fai_chunk_drop(fai_lane *lane, fai_chunk_cursor *cursor)
{
    uint32_t unit = cursor->unit;
    if (unit == FAI_INDEX_NONE) return;
    fai_chunk *chunk = chunk_at(lane->memory, unit);
    if (cursor->mask != 0) {
        // Nobody has touched the objects: for whoever takes them the bits still go back to the frees, by a release sequence.
        (void)fai_or_relaxed(&chunk->free_bits[cursor->word], cursor->mask);
        (void)fai_sub_relaxed(&chunk->state, (uint32_t)__builtin_popcountll(cursor->mask));
    }
    *cursor = (fai_chunk_cursor){.unit = FAI_INDEX_NONE};
    fai_chunk_let_go(lane, unit);
}

void fai_chunk_free(fai_memory *memory, uint32_t unit, uint32_t index)
{
    fai_lane *main_lane = fai_memory_lane(memory, 0);
    fai_chunk *chunk = chunk_at(memory, unit);
    uint64_t bit = UINT64_C(1) << index % 64;
    uint32_t kind = chunk->kind; // now: when the last object is back, the chunk may go at any moment
    FA_ASSERT(index < chunk->capacity);
    // [chunk.bits] release: the object is done with, for whoever takes it next.
    uint64_t bits = fai_or_release(&chunk->free_bits[index / 64], bit);
    FA_ASSERT((bits & bit) == 0);
    (void)bits;
    // [chunk.full] acq_rel: after the bit, which an owner that counts this free then finds; a chunk that was sealed is this lane's now.
    uint32_t before = fai_sub_acq_rel(&chunk->state, 1u);
    FA_ASSERT(taken(before) > 0);
    if ((before & FAI_CHUNK_FULL) != 0) {
        fai_store_relaxed(&chunk->state, FAI_CHUNK_OWNED | (taken(before) - 1));
        fai_chunk_let_go(main_lane, unit);
    } else if (taken(before) == 1) {
        if ((before & FAI_CHUNK_DRAIN) != 0)
            chunk_give(main_lane, unit);
        else if ((before & FAI_CHUNK_OWNED) == 0)
            give_if_empty(main_lane, kind, unit);
    }
}
