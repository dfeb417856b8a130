// SPDX-License-Identifier: MIT
//
// An arena: bump allocation over a chain of blocks, with spans of their own for what is larger than a quarter block. One
// per lane and frame slot, and one per lane for scope memory.
//
//     bytes allocated == used of the closed blocks + (cursor - start of the current block) + sizes of the spans
//
// While an arena is in use its cursor lives in the lane's fa_worker, where inlined code bumps it; lane.c stores it back before it
// calls anything here. Owner-only.
#pragma once

#include "alloc/slab.h"

#include <framealloc/frame.h>

#define FAI_ARENA_SPAN_MIN (FAI_BLOCK_BYTES / 4)

typedef struct fai_arena {
    unsigned char *cursor;
    unsigned char *end;   // of the usable part of the current block
    unsigned char *start; // of the current block, NULL if none
    uint32_t first;       // chain of blocks, FAI_INDEX_NONE if none; blocks after `current` are kept for reuse
    uint32_t current;
    uint32_t length;     // of the chain
    uint32_t span;       // first of the spans, newest first
    uint32_t ordinal;    // of the current block in the chain, from 1; 0 = none
    uint32_t span_count; // (beside `ordinal`: every job marks both)
    size_t closed_bytes; // in blocks before the current one
    size_t span_bytes;
    fa_arena_mark floor; // rewinds do not go below: other jobs' memory lies under it
    uint32_t peak;       // blocks used by recent frames, decayed
    uint32_t resets;     // since `peak` last fell
} fai_arena;

void fai_arena_init(fai_arena *arena);

/// `size` bytes at `align` (a power of two). `limit` is the most bytes that the arena may hold, 0 = unlimited. NULL when refused.
void *fai_arena_alloc(fai_arena *arena, fai_slabs *slabs, size_t size, size_t align, size_t limit);

/// Grows the newest allocation of the current block, p of old_size bytes, where it is; false: it is not the newest, or there is no room.
bool fai_arena_extend(fai_arena *arena, void *p, size_t old_size, size_t new_size);

/// How many of the `size` bytes at p, just allocated from an arena of the caller, were filled when they were last freed and not handed out since.
size_t fai_arena_filled(const fai_blocks *blocks, const void *p, size_t size);

fa_arena_mark fai_arena_mark(const fai_arena *arena);

/// Whether `a` lies before `b`, both marks of this arena.
bool fai_mark_before(fa_arena_mark a, fa_arena_mark b);

/// Frees what came after the mark, or after the floor if that is later. A mark ahead of the arena does nothing; one from before a reset frees
/// only what came after it, if not all of that. `limit` as of allocations.
void fai_arena_rewind(fai_arena *arena, fai_slabs *slabs, fa_arena_mark mark, size_t limit, bool fill);

/// Frees everything but the spans, whose chain is returned (FAI_INDEX_NONE if none): they belong to the arena's lane, and whoever
/// resets frees them as its own or sends them home. Keeps as many blocks as recent frames needed and gives the others back.
uint32_t fai_arena_reset(fai_arena *arena, fai_blocks *blocks, fa_contention *contention, bool fill);

/// Gives the blocks back that the chain keeps for later.
void fai_arena_trim(fai_arena *arena, fai_blocks *blocks, fa_contention *contention);

/// [any] Whether an address lies in memory that arenas have, used this moment or not. Of a large allocation only the first unit is known.
bool fai_arena_holds(const fai_blocks *blocks, const void *p);

static inline size_t fai_arena_bytes(const fai_arena *arena)
{
    return arena->closed_bytes + arena->span_bytes + (size_t)(arena->cursor - arena->start);
}
