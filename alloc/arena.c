// SPDX-License-Identifier: MIT
//
// Arenas: see arena.h.
#include "alloc/arena.h"

#include "concurrent/annotate.h"
#include "concurrent/check.h"
#include "concurrent/layout.h"

#include <string.h>

// Resets after which a peak that was not reached again falls by one block: about 2 s at 60 Hz.
#define PEAK_RESETS 120u

#define FREED_BYTE 0xdd

void fai_arena_init(fai_arena *arena)
{
    memset(arena, 0, sizeof *arena);
    arena->first = arena->current = arena->span = FAI_INDEX_NONE;
}

static void fill_freed(unsigned char *from, size_t bytes)
{
    if (bytes == 0) return;
    fai_allow(from, bytes);
    memset(from, FREED_BYTE, bytes);
}

/// The same in a block of the chain, which knows how far it was ever filled.
static void fill_freed_in_block(const fai_blocks *blocks, uint32_t block, unsigned char *from, size_t bytes)
{
    uint32_t end = (uint32_t)((size_t)(from - fai_block_start(blocks, block)) + bytes);
    fill_freed(from, bytes);
    if (blocks->block_info[block].filled < end) blocks->block_info[block].filled = end;
}

/// Inline: without filling there is nothing to do, and every scope ends here.
static inline void forbid_in_block(const fai_blocks *blocks, uint32_t block, unsigned char *from, size_t bytes,
                                   bool fill)
{
    if (fill) fill_freed_in_block(blocks, block, from, bytes);
    if (bytes > 0) fai_forbid(from, bytes);
}

/// Lets whoever is handed an address in the block see that it is an arena's.
static void mark_block(fai_blocks *blocks, uint32_t block, uint32_t info)
{
    fai_store_relaxed(&blocks->unit_info[block * FAI_BLOCK_UNITS], info);
}

bool fai_arena_holds(const fai_blocks *blocks, const void *p)
{
    if (!fai_blocks_contain(blocks, p)) return false;
    uint32_t unit = fai_unit_of(blocks, p), first = unit - unit % (uint32_t)FAI_BLOCK_UNITS;
    return fai_info_kind(fai_load_relaxed(&blocks->unit_info[unit])) == FAI_KIND_FRAME ||
           fai_info_kind(fai_load_relaxed(&blocks->unit_info[first])) == FAI_KIND_ARENA;
}

size_t fai_arena_filled(const fai_blocks *blocks, const void *p, size_t size)
{
    uint32_t unit = fai_unit_of(blocks, p), block = unit / (uint32_t)FAI_BLOCK_UNITS;
    uint32_t info = fai_load_relaxed(&blocks->unit_info[block * FAI_BLOCK_UNITS]);
    if (fai_info_kind(info) != FAI_KIND_ARENA) return 0; // a span
    size_t before = (size_t)((const unsigned char *)p - fai_block_start(blocks, block));
    size_t filled = blocks->block_info[block].filled;
    if (filled <= before) return 0;
    return filled - before < size ? filled - before : size;
}

/// Makes the next block of the chain current, adding one to the chain if it has no more.
static bool open_next_block(fai_arena *arena, fai_slabs *slabs)
{
    fai_block *info = slabs->blocks->block_info;
    uint32_t next = arena->ordinal == 0 ? arena->first : info[arena->current].next;
    if (next == FAI_INDEX_NONE) {
        next = fai_blocks_take_any(slabs->blocks, 1, 1, slabs->contention);
        if (next == FAI_INDEX_NONE) return false;
        fai_slabs_verify_blocks(slabs, next, 1);
        info[next].next = FAI_INDEX_NONE;
        info[next].filled = 0;
        mark_block(slabs->blocks, next, fai_info_make(slabs->lane, 0, FAI_KIND_ARENA, 0));
        if (arena->ordinal == 0)
            arena->first = next;
        else
            info[arena->current].next = next;
        arena->length++;
    }
    if (arena->ordinal != 0) {
        uint32_t used = (uint32_t)(arena->cursor - arena->start);
        info[arena->current].used = used;
        arena->closed_bytes += used;
    }
    arena->current = next;
    arena->ordinal++;
    arena->cursor = arena->start = fai_block_start(slabs->blocks, next);
    arena->end = arena->cursor + FAI_BLOCK_BYTES;
    return true;
}

static void *alloc_span(fai_arena *arena, fai_slabs *slabs, size_t size, size_t align)
{
    unsigned char *p = fai_span_take(slabs, size, align, 0, FAI_KIND_FRAME, FAI_KIND_FRAME);
    if (p == NULL) return NULL;
    uint32_t unit = fai_unit_of(slabs->blocks, p);
    slabs->blocks->slabs[unit].next = arena->span;
    arena->span = unit;
    arena->span_count++;
    arena->span_bytes += slabs->blocks->slabs[unit].size;
    fai_allow(p, size);
    return p;
}

static size_t round_up(size_t size)
{
    return (size + (FA_ALIGN_DEFAULT - 1)) & ~(size_t)(FA_ALIGN_DEFAULT - 1);
}

/// Bumps within the current block; NULL if it does not fit.
static void *bump(fai_arena *arena, size_t size, size_t align)
{
    size_t gap = (size_t)(-(uintptr_t)arena->cursor & (align - 1));
    size_t left = (size_t)(arena->end - arena->cursor);
    if (gap > left || round_up(size) > left - gap) return NULL;
    unsigned char *p = arena->cursor + gap;
    arena->cursor = p + round_up(size);
    fai_allow(p, size);
    return p;
}

/// Keeps the usable part of the current block within the limit.
static void apply_limit(fai_arena *arena, size_t limit)
{
    if (limit == 0 || arena->ordinal == 0) return;
    size_t before = arena->closed_bytes + arena->span_bytes;
    size_t room = limit > before ? limit - before : 0;
    if (room > FAI_BLOCK_BYTES) room = FAI_BLOCK_BYTES;
    unsigned char *end = arena->start + (room & ~(size_t)(FA_ALIGN_DEFAULT - 1));
    arena->end = end > arena->cursor ? end : arena->cursor;
}

void *fai_arena_alloc(fai_arena *arena, fai_slabs *slabs, size_t size, size_t align, size_t limit)
{
    FA_ASSERT(size > 0 && align > 0 && (align & (align - 1)) == 0);
    if (size > slabs->blocks->bytes || align > slabs->blocks->bytes) return NULL;
    if (align < FA_ALIGN_DEFAULT) align = FA_ALIGN_DEFAULT;
    if (size + align - FA_ALIGN_DEFAULT > FAI_ARENA_SPAN_MIN) {
        size_t have = fai_arena_bytes(arena);
        if (limit != 0 && (have > limit || size > limit - have)) return NULL;
        void *span = alloc_span(arena, slabs, size, align);
        apply_limit(arena, limit);
        return span;
    }
    void *p = arena->ordinal == 0 ? NULL : bump(arena, size, align);
    if (p != NULL) return p;
    // As much as it takes: who is refused must not have opened a block.
    if (limit != 0 && fai_arena_bytes(arena) + round_up(size) > limit) return NULL;
    if (!open_next_block(arena, slabs)) return NULL;
    apply_limit(arena, limit);
    return bump(arena, size, align);
}

bool fai_arena_extend(fai_arena *arena, void *p, size_t old_size, size_t new_size)
{
    FA_ASSERT(p != NULL && old_size <= new_size);
    unsigned char *start = p;
    if (arena->ordinal == 0 || old_size > FAI_ARENA_SPAN_MIN || new_size > FAI_ARENA_SPAN_MIN) return false;
    if ((uintptr_t)start + round_up(old_size) != (uintptr_t)arena->cursor) return false;
    if (round_up(new_size) > (size_t)(arena->end - start)) return false;
    arena->cursor = start + round_up(new_size);
    fai_allow(start, new_size);
    return true;
}

fa_arena_mark fai_arena_mark(const fai_arena *arena)
{
    return (fa_arena_mark){arena->cursor, arena->ordinal, arena->span_count};
}

bool fai_mark_before(fa_arena_mark a, fa_arena_mark b)
{
    return a.block != b.block ? a.block < b.block : (uintptr_t)a.cursor < (uintptr_t)b.cursor;
}

static void rewind_spans(fai_arena *arena, fai_slabs *slabs, uint32_t count, bool fill)
{
    while (arena->span_count > count) {
        uint32_t unit = arena->span;
        fai_slab *span = &slabs->blocks->slabs[unit];
        arena->span = span->next;
        arena->span_count--;
        arena->span_bytes -= span->size;
        if (fill) fill_freed(fai_unit_start(slabs->blocks, unit), span->size);
        fai_forbid(fai_unit_start(slabs->blocks, unit), span->size);
        fai_span_give(slabs, unit);
    }
}

/// Where a block that is filled as far as `end` is rewound to. A mark that outlived a reset may point beyond, or into a block that the arena no
/// longer has: all of the block stays.
static unsigned char *cursor_within(fa_arena_mark mark, unsigned char *start, unsigned char *end)
{
    return (uintptr_t)mark.cursor - (uintptr_t)start <= (uintptr_t)end - (uintptr_t)start ? mark.cursor : end;
}

FAI_APART static void rewind_blocks(fai_arena *arena, const fai_blocks *blocks, fa_arena_mark mark, bool fill)
{
    if (mark.block == arena->ordinal) {
        mark.cursor = cursor_within(mark, arena->start, arena->cursor);
        if (arena->ordinal != 0)
            forbid_in_block(blocks, arena->current, mark.cursor, (size_t)(arena->cursor - mark.cursor), fill);
        arena->cursor = mark.cursor;
        return;
    }
    forbid_in_block(blocks, arena->current, arena->start, (size_t)(arena->cursor - arena->start), fill);
    uint32_t block = arena->first;
    arena->closed_bytes = 0;
    for (uint32_t ordinal = 1; ordinal < arena->ordinal; ordinal++, block = blocks->block_info[block].next) {
        const fai_block *info = &blocks->block_info[block];
        unsigned char *start = fai_block_start(blocks, block);
        if (ordinal < mark.block) {
            arena->closed_bytes += info->used;
        } else if (ordinal == mark.block) {
            mark.cursor = cursor_within(mark, start, start + info->used);
            forbid_in_block(blocks, block, mark.cursor, (size_t)(start + info->used - mark.cursor), fill);
            arena->current = block;
        } else {
            forbid_in_block(blocks, block, start, info->used, fill);
        }
    }
    arena->ordinal = mark.block;
    arena->cursor = mark.cursor;
    arena->start = mark.block == 0 ? NULL : fai_block_start(blocks, arena->current);
    arena->end = mark.block == 0 ? NULL : arena->start + FAI_BLOCK_BYTES;
    if (mark.block == 0) arena->cursor = NULL;
}

void fai_arena_rewind(fai_arena *arena, fai_slabs *slabs, fa_arena_mark mark, size_t limit, bool fill)
{
    if (fai_mark_before(mark, arena->floor)) {
        mark.block = arena->floor.block;
        mark.cursor = arena->floor.cursor;
    }
    if (mark.spans < arena->floor.spans) mark.spans = arena->floor.spans;
    rewind_spans(arena, slabs, mark.spans, fill);
    if (fai_mark_before(mark, fai_arena_mark(arena))) rewind_blocks(arena, slabs->blocks, mark, fill);
    apply_limit(arena, limit);
}

/// Cuts the chain to `keep` blocks.
FAI_APART static void trim(fai_arena *arena, fai_blocks *blocks, fa_contention *contention, uint32_t keep)
{
    fai_block *info = blocks->block_info;
    uint32_t block = arena->first, before = FAI_INDEX_NONE;
    for (uint32_t i = 0; i < keep && block != FAI_INDEX_NONE; i++, block = info[block].next) before = block;
    if (before == FAI_INDEX_NONE)
        arena->first = FAI_INDEX_NONE;
    else
        info[before].next = FAI_INDEX_NONE;
    while (block != FAI_INDEX_NONE) {
        uint32_t next = info[block].next;
        FAI_COUNT(contention, block_gives, 1);
        mark_block(blocks, block, 0);
        fai_blocks_give_any(blocks, block, 1);
        arena->length--;
        block = next;
    }
}

FAI_FRAME_END uint32_t fai_arena_reset(fai_arena *arena, fai_blocks *blocks, fa_contention *contention, bool fill)
{
    uint32_t used = arena->ordinal, spans = arena->span;
    if (used == 0 && arena->length == 0 && spans == FAI_INDEX_NONE) return FAI_INDEX_NONE;
    // Only those who want to see the freed memory walk the chain; otherwise the cost does not depend on its length.
    if (used > 0 && (fill || FAI_ASAN)) rewind_blocks(arena, blocks, (fa_arena_mark){NULL, 0, 0}, fill);
    arena->current = arena->span = FAI_INDEX_NONE;
    arena->ordinal = arena->span_count = 0;
    arena->cursor = arena->end = arena->start = NULL;
    arena->closed_bytes = arena->span_bytes = 0;
    arena->floor = (fa_arena_mark){NULL, 0, 0};
    if (used >= arena->peak) {
        arena->peak = used;
        arena->resets = 0;
    } else if (++arena->resets >= PEAK_RESETS) {
        arena->peak--;
        arena->resets = 0;
    }
    if (arena->length > arena->peak) trim(arena, blocks, contention, arena->peak);
    return spans;
}

void fai_arena_trim(fai_arena *arena, fai_blocks *blocks, fa_contention *contention)
{
    if (arena->length > arena->ordinal) trim(arena, blocks, contention, arena->ordinal);
}
