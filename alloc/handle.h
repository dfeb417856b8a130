// SPDX-License-Identifier: MIT
//
// Handles inside: the slot table, and the chunks (64 KiB) that their objects lie in. The public header says how pins, moves and frees of
// one object meet.
//
// Slots. A slot is free (on a lane's chain or, a batch at a time, on the shared stack), or names one object. Its generation rises with
// every free; a slot whose generation would come round to 0 is never used again.
//
// Chunks. Objects of one size class, relocatable ones and fixed ones apart, share chunks; what is above HANDLE_SIZE_MAX has memory of
// its own. Lanes allocate, only the main lane frees: freed objects and old copies go through the lanes' retired lists (cell.c) and come
// back when their grace period is over. A chunk is
//
//     OWNED   by a lane, that allocates from it, or by the compaction
//     listed  in the set `room` of its kind; whoever takes it off owns it
//     FULL    nobody's: without room; the free that makes some lists it
//     DRAIN   nobody's: evacuated; the free that leaves it empty gives it back
//
//     taken == objects that are live or wait for their grace period + those in the owner's mask
//     taken == 0 of a listed chunk: it is given back
#pragma once

#include "alloc/blocks.h"
#include "concurrent/index_stack.h"

#include <framealloc/handle.h>

struct fai_lane;
struct fai_memory;

#define FAI_HANDLES_MAX FAI_INDEX_MAX
/// Size classes from 32 bytes (1) to 8 KiB (31), each twice: 2 * class + fixed.
#define FAI_HANDLE_KINDS 64
#define FAI_CHUNK_WORDS (FAI_UNIT_BYTES / 32 / 64)

/// What is known of an object beside its place. The compaction may read the
/// first three while another lane frees and allocates in the slot, and finds that out afterwards.
typedef struct fai_handle_info {
    FAI_ATOMIC(fa_relocate_fn *) on_relocate;
    FAI_ATOMIC(void *) context;
    FAI_ATOMIC(size_t) size; // asked for
    uint32_t kind;           // of chunk; FAI_HANDLE_KINDS: memory of its own
    uint32_t next;           // free slot on the same chain
    uint32_t label;          // whose tag is charged
    bool fixed;
} fai_handle_info;

typedef struct fai_chunk {
    // immutable while it exists
    uint32_t *owners; // slot of each object
    uint32_t kind;
    uint32_t capacity; // 0: no chunk begins at this unit
    uint32_t object_size;
    uint32_t reciprocal; // ceil(2^32 / object_size)
    // shared
    FAI_ATOMIC(uint32_t) state; // flags | taken
    FAI_ATOMIC(uint64_t) free_bits[FAI_CHUNK_WORDS];
} fai_chunk;

/// Where a lane, or the compaction, allocates: free objects of one word of a chunk that it owns.
typedef struct fai_chunk_cursor {
    uint32_t unit; // FAI_INDEX_NONE if none
    uint32_t word;
    uint64_t mask;
} fai_chunk_cursor;

/// A lane's part.
typedef struct fai_handle_lane {
    // owner
    uint32_t free_slots; // chain, FAI_INDEX_NONE if empty
    uint32_t free_count;
    uint64_t kinds;         // bit per cursor that has a chunk
    uint64_t refused_frame; // in which FA301 was last reported
    fai_chunk_cursor cursors[FAI_HANDLE_KINDS];
} fai_handle_lane;

/// A set of chunks: those of one kind with room.
typedef struct fai_chunk_set {
    FAI_ATOMIC(uint64_t) *words; // bit per unit
    FAI_ATOMIC(uint32_t) end;    // words that were ever used
    FAI_ATOMIC(uint32_t) hint;   // first word worth looking at
} fai_chunk_set;

typedef struct fai_handles {
    // immutable after init
    unsigned char *map;
    size_t map_bytes;
    fa_handle_slot *slots;
    fai_handle_info *info;
    fai_chunk *chunks; // by unit
    uint32_t max;
    uint32_t batch;      // slots that travel together
    uint32_t generation; // with which slots begin
    // owner: the main lane
    bool compacting;
    uint32_t resume; // kind at which the next compaction begins
    uint64_t relocated, relocated_bytes;
    // shared
    FAI_OWN_LINE fai_index_stack free; // batches of free slots
    FAI_ATOMIC(uint32_t) made;         // slots ever used
    FAI_ATOMIC(uint32_t) worn;
    FAI_ATOMIC(uint32_t) chunk_count;
    FAI_ATOMIC(uint64_t) refused;
    fai_chunk_set room[FAI_HANDLE_KINDS];
} fai_handles;

/// False: no address range for the tables. The blocks are there.
bool fai_handles_init(fai_handles *handles, const fai_blocks *blocks, uint32_t max, uint32_t lane_count,
                      uint32_t number);
void fai_handles_exit(fai_handles *handles);

/// [main] Touches what describes handles' chunks in the first so many blocks: those that a prefault takes.
void fai_handles_prefault(fai_handles *handles, uint32_t blocks);

/// Gives a lane its part, and its public context what resolving needs.
void fai_handle_lane_init(struct fai_lane *lane);

/// [owner] Gives the chunks that the lane allocates from to whoever needs them.
void fai_handle_lane_trim(struct fai_lane *lane);

/// [main] An object, or its old copy, whose grace period is over.
void fai_handle_reclaim(struct fai_memory *memory, void *p);

// Chunks (chunk.c) --------------------------------------------------------------------------------------------------------

/// States of a chunk, in one word with the number of objects taken.
#define FAI_CHUNK_OWNED (UINT32_C(1) << 31)
#define FAI_CHUNK_FULL (UINT32_C(1) << 30)
#define FAI_CHUNK_DRAIN (UINT32_C(1) << 29)
#define FAI_CHUNK_TAKEN (FAI_CHUNK_DRAIN - 1)

/// [owner] An object from the cursor's chunk, or from another of its kind that becomes the cursor's; NULL when refused. `slot` owns it.
void *fai_chunk_alloc(struct fai_lane *lane, fai_chunk_cursor *cursor, uint32_t kind, uint32_t slot);

/// [owner] An object from the cursor's chunk only, NULL when it has no room; the cursor has given a full chunk up then.
void *fai_chunk_alloc_here(struct fai_memory *memory, fai_chunk_cursor *cursor, uint32_t slot);

/// [owner] Gives the cursor's chunk up. `lane` sends home what becomes free by that.
void fai_chunk_drop(struct fai_lane *lane, fai_chunk_cursor *cursor);

/// [owner] Gives up an owned chunk: lists it, or leaves it FULL, or gives it back.
void fai_chunk_let_go(struct fai_lane *lane, uint32_t unit);

/// [any] Takes a chunk off the set of a kind; false if it is not there (any more). It is OWNED then.
bool fai_chunk_claim(struct fai_memory *memory, uint32_t kind, uint32_t unit);

/// [main] Takes an object back. The chunk may go with it.
void fai_chunk_free(struct fai_memory *memory, uint32_t unit, uint32_t index);

/// [main] An evacuated chunk that is owned: goes back with the last of its old copies.
void fai_chunk_drain(struct fai_memory *memory, uint32_t unit);

/// The number of the object at p in the chunk that begins at `unit`.
static inline uint32_t fai_chunk_index(const fai_chunk *chunk, const fai_blocks *blocks, uint32_t unit, const void *p)
{
    uint64_t offset = (uint64_t)((uintptr_t)p - (uintptr_t)fai_unit_start(blocks, unit));
    return (uint32_t)(offset * chunk->reciprocal >> 32);
}

// Places ------------------------------------------------------------------------------------------------------------------

#define FAI_PLACE_MOVING (UINT64_C(1) << 26)
#define FAI_PLACE_PINS ((uint64_t)FA_HANDLE_PINS_MAX)

static inline uint64_t fai_place_make(const fai_blocks *blocks, const void *p)
{
    uint64_t offset = (uint64_t)((uintptr_t)p - (uintptr_t)blocks->base);
    return (offset / 16 + 1) << FA_HANDLE_PLACE_SHIFT; // never 0
}

static inline void *fai_place_address(const fai_blocks *blocks, uint64_t place)
{
    return blocks->base + ((place >> FA_HANDLE_PLACE_SHIFT) - 1) * 16;
}

/// [main] Outside frames and jobs; see fa_handles_compact().
fa_status fai_handles_compact(struct fai_memory *memory, size_t max_bytes, uint32_t max_moves,
                              fa_handle_compaction *result);
