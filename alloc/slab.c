// SPDX-License-Identifier: MIT
//
// Slabs and spans, cut from the blocks of one lane. A block's units are found by bit tricks on one 32-bit mask; a slab's
// objects by the bits of free_bits.
#include "alloc/slab.h"

#include "alloc/records.h"
#include "concurrent/check.h"

#include <string.h>

_Static_assert(FAI_BLOCK_UNITS == 32, "free_units has a bit for each unit of a block");
_Static_assert(FAI_UNIT_BYTES / 16 <= FAI_SLAB_BITS, "free_bits has a bit for each object of the smallest class");

// Objects above 8 KiB come from slabs of 256 KiB, so that a slab still holds 8 or more.
#define BIG_SIZE 8192u
#define BIG_UNITS 4u
// Blocks that a search for units looks at before it takes the fullest that fits: full blocks fill up, and others become whole.
#define LOOK_MAX 64u
// The last slab of a class with room stays although it is empty, but not for objects so large that it would hold much memory for little:
// making a slab costs 0.1 µs, spread over its objects.
#define KEPT_SIZE_MAX 1024u

uint32_t fai_class_size(uint32_t size_class)
{
    FA_ASSERT(size_class < FA_CLASS_COUNT);
    if (size_class < 8) return (size_class + 1) * 16;
    uint32_t doubling = (size_class - 8) / 4, step = (size_class - 8) % 4;
    return (5 + step) << (doubling + 5);
}

static uint32_t class_units(uint32_t size_class)
{
    return fai_class_size(size_class) <= BIG_SIZE ? 1 : BIG_UNITS;
}

uint32_t fai_class_capacity(uint32_t size_class)
{
    return (uint32_t)(class_units(size_class) * FAI_UNIT_BYTES / fai_class_size(size_class));
}

uint32_t fai_class_aligned(size_t size, size_t align)
{
    if (size > FA_CLASS_SIZE_MAX) return FA_CLASS_COUNT;
    uint32_t size_class = fa_class_of(size);
    while (size_class < FA_CLASS_COUNT && (fai_class_size(size_class) & (align - 1)) != 0) size_class++;
    return size_class;
}

void fai_slabs_init(fai_slabs *slabs, fai_blocks *blocks, fa_contention *contention, uint32_t lane,
                    fai_slab_lists **tagged)
{
    memset(slabs, 0, sizeof *slabs);
    slabs->blocks = blocks;
    slabs->contention = contention;
    slabs->lane = lane;
    slabs->open = FAI_INDEX_NONE;
    slabs->tagged = tagged;
    for (uint32_t i = 0; i < FA_CLASS_COUNT; i++) slabs->store[i].first = FAI_INDEX_NONE;
}

void fai_slabs_add_tag(fai_slabs *slabs, uint32_t tag, fai_slab_lists *lists)
{
    FA_ASSERT(slabs->tagged[tag] == NULL);
    for (uint32_t i = 0; i < FA_CLASS_COUNT; i++) lists->pool[i].first = lists->heap[i].first = FAI_INDEX_NONE;
    slabs->tagged[tag] = lists;
}

// Blocks with free units ------------------------------------------------------------------------------------------------

static void open_insert(fai_slabs *slabs, uint32_t block)
{
    fai_block *info = slabs->blocks->block_info;
    info[block].previous = FAI_INDEX_NONE;
    info[block].next = slabs->open;
    if (slabs->open != FAI_INDEX_NONE) info[slabs->open].previous = block;
    slabs->open = block;
}

static void open_remove(fai_slabs *slabs, uint32_t block)
{
    fai_block *info = slabs->blocks->block_info;
    uint32_t next = info[block].next, previous = info[block].previous;
    if (previous == FAI_INDEX_NONE)
        slabs->open = next;
    else
        info[previous].next = next;
    if (next != FAI_INDEX_NONE) info[next].previous = previous;
}

/// Bits where a run of `count` free units begins.
static uint32_t run_starts(uint32_t free_units, uint32_t count)
{
    uint64_t starts = free_units;
    for (uint32_t have = 1; have < count;) {
        uint32_t step = have < count - have ? have : count - have;
        starts &= starts >> step;
        have += step;
    }
    return (uint32_t)starts;
}

static uint32_t unit_mask(uint32_t count)
{
    return count >= 32 ? UINT32_MAX : (UINT32_C(1) << count) - 1;
}

/// Every align-th bit, beginning with bit 0.
static uint32_t aligned_bits(uint32_t align)
{
    uint32_t bits = 0;
    for (uint32_t bit = 0; bit < FAI_BLOCK_UNITS; bit += align) bits |= UINT32_C(1) << bit;
    return bits;
}

static uint32_t units_from_block(fai_slabs *slabs, uint32_t block, uint32_t start, uint32_t count)
{
    fai_block *info = &slabs->blocks->block_info[block];
    info->free_units &= ~(unit_mask(count) << start);
    if (info->free_units == 0) open_remove(slabs, block);
    return block * (uint32_t)FAI_BLOCK_UNITS + start;
}

/// `count` <= 32 neighbouring units in one block, aligned to `align` units; FAI_INDEX_NONE when refused.
static uint32_t units_take(fai_slabs *slabs, uint32_t count, uint32_t align)
{
    fai_block *info = slabs->blocks->block_info;
    uint32_t allowed = align > 1 ? aligned_bits(align) : UINT32_MAX;
    uint32_t best = FAI_INDEX_NONE, best_starts = 0, looked = 0;
    for (uint32_t block = slabs->open; block != FAI_INDEX_NONE && looked < LOOK_MAX;
         block = info[block].next, looked++) {
        uint32_t starts = run_starts(info[block].free_units, count) & allowed;
        if (starts == 0) continue;
        bool fuller = best == FAI_INDEX_NONE ||
                      __builtin_popcount(info[block].free_units) < __builtin_popcount(info[best].free_units);
        if (!fuller) continue;
        best = block;
        best_starts = starts;
    }
    if (best != FAI_INDEX_NONE) return units_from_block(slabs, best, (uint32_t)__builtin_ctz(best_starts), count);
    uint32_t block = fai_blocks_take_any(slabs->blocks, 1, 1, slabs->contention);
    if (block == FAI_INDEX_NONE) return FAI_INDEX_NONE;
    info[block].free_units = UINT32_MAX;
    open_insert(slabs, block);
    return units_from_block(slabs, block, 0, count);
}

static void units_give(fai_slabs *slabs, uint32_t unit, uint32_t count)
{
    uint32_t block = unit / (uint32_t)FAI_BLOCK_UNITS;
    fai_block *info = &slabs->blocks->block_info[block];
    uint32_t mask = unit_mask(count) << unit % (uint32_t)FAI_BLOCK_UNITS;
    FA_ASSERT((info->free_units & mask) == 0);
    if (info->free_units == 0) open_insert(slabs, block);
    info->free_units |= mask;
    if (info->free_units != UINT32_MAX) return;
    open_remove(slabs, block);
    FAI_COUNT(slabs->contention, block_gives, 1);
    fai_blocks_give_any(slabs->blocks, block, 1);
}

// Former slabs: what checked systems know of memory that was given back ---------------------------------------------------

/// Units that hold no slab or span, and did not hold a slab last, have no records.
static void clear_records(const fai_blocks *blocks, uint32_t unit, uint32_t count)
{
    if (blocks->records == NULL) return;
    FAI_ATOMIC(uint64_t) *records = blocks->records + (size_t)unit * FAI_UNIT_RECORDS;
    for (uint32_t i = 0; i < count; i++) fai_store_relaxed(&records[i], UINT64_C(0));
}

static void forget_former(fai_blocks *blocks, fai_slab *slab)
{
    slab->former = false;
    clear_records(blocks, slab->head, slab->capacity);
}

/// Verifies the former slabs that have some of these units, of one block, and forgets them: the units are to be used otherwise.
static void verify_former(fai_slabs *slabs, uint32_t unit, uint32_t count)
{
    fai_slab *all = slabs->blocks->slabs;
    if (slabs->blocks->records == NULL) return;
    for (uint32_t i = unit; i < unit + count; i++) {
        uint32_t head = all[i].head; // as it was last, if ever; only this block is surely the lane's
        if (head / FAI_BLOCK_UNITS != unit / FAI_BLOCK_UNITS || !all[head].former || i - head >= all[head].units)
            continue;
        fai_records_verify_former(slabs, &all[head]);
        forget_former(slabs->blocks, &all[head]);
    }
}

void fai_slabs_verify_blocks(fai_slabs *slabs, uint32_t first, uint32_t run)
{
    for (uint32_t block = first; block < first + run; block++)
        verify_former(slabs, block * (uint32_t)FAI_BLOCK_UNITS, (uint32_t)FAI_BLOCK_UNITS);
}

void fai_slabs_forget_block(fai_blocks *blocks, uint32_t block)
{
    if (blocks->records == NULL) return;
    fai_slab *slab = &blocks->slabs[(size_t)block * FAI_BLOCK_UNITS];
    for (uint32_t i = 0; i < FAI_BLOCK_UNITS; i++)
        if (slab[i].former) forget_former(blocks, &slab[i]);
}

// Slabs -----------------------------------------------------------------------------------------------------------------

static fai_slab_list *list_of(fai_slabs *slabs, uint32_t tag, fai_kind kind, uint32_t size_class)
{
    FA_ASSERT(fai_kind_is_slab(kind));
    if (kind == FAI_KIND_STORE) return &slabs->store[size_class];
    fai_slab_lists *lists = slabs->tagged[tag];
    return kind == FAI_KIND_POOL ? &lists->pool[size_class] : &lists->heap[size_class];
}

static void list_insert(fai_slabs *slabs, fai_slab *slab)
{
    fai_slab_list *list = list_of(slabs, slab->tag, slab->kind, slab->size_class);
    slab->previous = FAI_INDEX_NONE;
    slab->next = list->first;
    if (list->first != FAI_INDEX_NONE) slabs->blocks->slabs[list->first].previous = slab->head;
    list->first = slab->head;
}

static void list_remove(fai_slabs *slabs, fai_slab *slab)
{
    fai_slab *all = slabs->blocks->slabs;
    if (slab->previous == FAI_INDEX_NONE)
        list_of(slabs, slab->tag, slab->kind, slab->size_class)->first = slab->next;
    else
        all[slab->previous].next = slab->next;
    if (slab->next != FAI_INDEX_NONE) all[slab->next].previous = slab->previous;
}

static void set_unit_info(fai_blocks *blocks, uint32_t unit, uint32_t count, uint32_t info)
{
    for (uint32_t i = unit; i < unit + count; i++) fai_store_relaxed(&blocks->unit_info[i], info);
}

static fai_slab *slab_make(fai_slabs *slabs, uint32_t tag, fai_kind kind, uint32_t size_class)
{
    uint32_t size = fai_class_size(size_class);
    uint32_t units = class_units(size_class);
    uint32_t unit = units_take(slabs, units, 1);
    if (unit == FAI_INDEX_NONE) return NULL;
    fai_slab *slab = &slabs->blocks->slabs[unit];
    bool again = kind != FAI_KIND_STORE && slab->former && slab->size_class == size_class;
    if (!again) verify_former(slabs, unit, units);
    slab->former = false; // the same objects again: each is verified when it is handed out
    for (uint32_t i = 0; i < units; i++) slabs->blocks->slabs[unit + i].head = unit;
    slab->units = units;
    slab->tag = tag;
    slab->kind = kind;
    slab->size_class = size_class;
    slab->object_size = size;
    slab->reciprocal = (uint32_t)(((UINT64_C(1) << 32) + size - 1) / size);
    slab->capacity = fai_class_capacity(size_class);
    slab->free_count = slab->capacity;
    slab->hint = 0;
    memset(slab->free_bits, 0xff, slab->capacity / 64 * sizeof(uint64_t));
    if (slab->capacity % 64 != 0) slab->free_bits[slab->capacity / 64] = (UINT64_C(1) << slab->capacity % 64) - 1;
    set_unit_info(slabs->blocks, unit, units, fai_info_make(slabs->lane, tag, kind, size_class));
    list_insert(slabs, slab);
    if (kind == FAI_KIND_POOL) slabs->pool_slabs[size_class]++;
    return slab;
}

static void slab_release(fai_slabs *slabs, fai_slab *slab)
{
    FA_ASSERT(slab->free_count == slab->capacity);
    list_remove(slabs, slab);
    slab->former = slabs->blocks->records != NULL && slab->kind != FAI_KIND_STORE;
    if (slab->kind == FAI_KIND_POOL) slabs->pool_slabs[slab->size_class]--;
    set_unit_info(slabs->blocks, slab->head, slab->units, FAI_INFO_FREED);
    units_give(slabs, slab->head, slab->units);
}

/// Takes up to `want` objects, lowest address first.
static uint32_t slab_take(fai_slabs *slabs, fai_slab *slab, void **objects, uint32_t want)
{
    unsigned char *start = fai_unit_start(slabs->blocks, slab->head);
    uint32_t got = 0;
    uint32_t word = slab->hint;
    while (got < want && slab->free_count > 0) {
        while (slab->free_bits[word] == 0) word++;
        uint64_t bits = slab->free_bits[word];
        do {
            uint32_t index = word * 64 + (uint32_t)__builtin_ctzll(bits);
            bits &= bits - 1;
            objects[got++] = start + (size_t)index * slab->object_size;
            slab->free_count--;
        } while (bits != 0 && got < want);
        slab->free_bits[word] = bits;
    }
    slab->hint = word;
    if (slab->free_count == 0) list_remove(slabs, slab);
    return got;
}

/// Whether the slab's bits agree with its count.
static bool is_intact(const fai_slab *slab)
{
    uint32_t bits = 0, last = slab->capacity % 64;
    for (uint32_t word = 0; word < slab->capacity / 64; word++)
        bits += (uint32_t)__builtin_popcountll(slab->free_bits[word]);
    if (last != 0) bits += (uint32_t)__builtin_popcountll(slab->free_bits[slab->capacity / 64]);
    return bits == slab->free_count && slab->free_count > 0;
}

/// Nobody knows which of its objects are free: none is, and only what is freed from now on comes back.
static void set_aside(fai_slabs *slabs, fai_slab *slab)
{
    list_remove(slabs, slab);
    memset(slab->free_bits, 0, sizeof slab->free_bits);
    slab->free_count = 0;
    slabs->damaged++;
}

uint32_t fai_slabs_take(fai_slabs *slabs, uint32_t tag, fai_kind kind, uint32_t size_class, void **objects,
                        uint32_t want)
{
    const fai_slab_list *list = list_of(slabs, tag, kind, size_class);
    uint32_t got = 0;
    while (got < want) {
        fai_slab *slab = list->first != FAI_INDEX_NONE ? &slabs->blocks->slabs[list->first] : NULL;
        if (slabs->verify && slab != NULL && !is_intact(slab)) {
            set_aside(slabs, slab);
            continue;
        }
        if (slab == NULL) {
            if (got > 0) break; // a new slab only for a caller that would go without
            slab = slab_make(slabs, tag, kind, size_class);
            if (slab == NULL) return 0;
        }
        got += slab_take(slabs, slab, objects + got, want - got);
    }
    for (uint32_t low = 0, high = got; low + 1 < high; low++) {
        void *swapped = objects[low];
        objects[low] = objects[--high];
        objects[high] = swapped;
    }
    return got;
}

static bool object_index(const fai_blocks *blocks, const fai_slab *slab, const void *p, uint32_t *index)
{
    uint64_t offset = (uint64_t)((uintptr_t)p - (uintptr_t)fai_unit_start(blocks, slab->head));
    *index = (uint32_t)(offset * slab->reciprocal >> 32);
    return *index < slab->capacity && (uint64_t)*index * slab->object_size == offset;
}

bool fai_slab_is_object(const fai_blocks *blocks, const fai_slab *slab, const void *p)
{
    uint32_t index;
    if (!fai_kind_is_slab(slab->kind)) return fai_unit_start(blocks, slab->head) == p;
    return object_index(blocks, slab, p, &index);
}

/// The number of an object in its slab; a span is object 0.
static uint32_t posted_index(const fai_blocks *blocks, const fai_slab *slab, const void *p)
{
    uint32_t index = 0;
    if (fai_kind_is_slab(slab->kind)) (void)object_index(blocks, slab, p, &index);
    return index;
}

bool fai_slab_post(fai_blocks *blocks, const void *p)
{
    fai_slab *slab = fai_slab_of(blocks, p);
    uint32_t index = posted_index(blocks, slab, p);
    uint64_t bit = UINT64_C(1) << index % 64;
    return (fai_or_relaxed(&slab->posted[index / 64], bit) & bit) == 0;
}

void fai_slab_unpost(fai_blocks *blocks, const void *p)
{
    fai_slab *slab = fai_slab_of(blocks, p);
    uint32_t index = posted_index(blocks, slab, p);
    (void)fai_and_relaxed(&slab->posted[index / 64], ~(UINT64_C(1) << index % 64));
}

bool fai_slab_is_posted(const fai_blocks *blocks, const void *p)
{
    const fai_slab *slab = fai_slab_of(blocks, p);
    uint32_t index = posted_index(blocks, slab, p);
    return (fai_load_relaxed(&slab->posted[index / 64]) >> index % 64 & 1) != 0;
}

bool fai_slabs_is_taken(const fai_slabs *slabs, const void *p)
{
    const fai_slab *slab = fai_slab_of(slabs->blocks, p);
    uint32_t index;
    return object_index(slabs->blocks, slab, p, &index) && (slab->free_bits[index / 64] >> index % 64 & 1) == 0;
}

bool fai_slabs_give(fai_slabs *slabs, void *object)
{
    fai_slab *slab = fai_slab_of(slabs->blocks, object);
    uint32_t index;
    if (!object_index(slabs->blocks, slab, object, &index)) return false;
    uint64_t bit = UINT64_C(1) << index % 64;
    if ((slab->free_bits[index / 64] & bit) != 0) return false;
    slab->free_bits[index / 64] |= bit;
    if (index / 64 < slab->hint) slab->hint = index / 64;
    if (slab->free_count++ == 0) list_insert(slabs, slab);
    if (slab->free_count < slab->capacity) return true;
    bool alone = slab->next == FAI_INDEX_NONE && slab->previous == FAI_INDEX_NONE;
    if (!alone || slab->object_size > KEPT_SIZE_MAX) slab_release(slabs, slab);
    return true;
}

static void trim_list(fai_slabs *slabs, const fai_slab_list *list)
{
    uint32_t unit = list->first;
    while (unit != FAI_INDEX_NONE) {
        fai_slab *slab = &slabs->blocks->slabs[unit];
        unit = slab->next;
        if (slab->free_count == slab->capacity) slab_release(slabs, slab);
    }
}

void fai_slabs_trim(fai_slabs *slabs, uint32_t tag)
{
    const fai_slab_lists *lists = slabs->tagged[tag];
    for (uint32_t i = 0; i < FA_CLASS_COUNT; i++) {
        trim_list(slabs, &lists->pool[i]);
        trim_list(slabs, &lists->heap[i]);
        if (tag == 0) trim_list(slabs, &slabs->store[i]);
    }
}

// Spans -----------------------------------------------------------------------------------------------------------------

static uint32_t span_units(fai_slabs *slabs, size_t units, size_t align)
{
    size_t align_units = align >> FA_UNIT_SHIFT > 1 ? align >> FA_UNIT_SHIFT : 1;
    if (units <= FAI_BLOCK_UNITS && align_units < FAI_BLOCK_UNITS) {
        uint32_t unit = units_take(slabs, (uint32_t)units, (uint32_t)align_units);
        if (unit != FAI_INDEX_NONE) verify_former(slabs, unit, (uint32_t)units);
        return unit;
    }
    size_t blocks = (units + FAI_BLOCK_UNITS - 1) / FAI_BLOCK_UNITS;
    size_t align_blocks = align_units > FAI_BLOCK_UNITS ? align_units / FAI_BLOCK_UNITS : 1;
    if (blocks > slabs->blocks->count || align_blocks > slabs->blocks->count) return FAI_INDEX_NONE;
    uint32_t first = fai_blocks_take_any(slabs->blocks, (uint32_t)blocks, (uint32_t)align_blocks, slabs->contention);
    if (first == FAI_INDEX_NONE) return FAI_INDEX_NONE;
    fai_slabs_verify_blocks(slabs, first, (uint32_t)blocks);
    return first * (uint32_t)FAI_BLOCK_UNITS;
}

/// How many units a span has, and whether it is made of whole blocks.
static size_t span_shape(size_t size, size_t align, bool *whole_blocks)
{
    size_t units = (size + FAI_UNIT_BYTES - 1) >> FA_UNIT_SHIFT;
    *whole_blocks = units > FAI_BLOCK_UNITS || align >= FAI_BLOCK_BYTES;
    return *whole_blocks ? (units + FAI_BLOCK_UNITS - 1) / FAI_BLOCK_UNITS * FAI_BLOCK_UNITS : units;
}

size_t fai_span_size(size_t size, size_t align)
{
    bool whole_blocks;
    return span_shape(size, align, &whole_blocks) * FAI_UNIT_BYTES;
}

void *fai_span_take(fai_slabs *slabs, size_t size, size_t align, uint32_t tag, fai_kind kind, fai_kind account)
{
    if (size > slabs->blocks->bytes) return NULL;
    bool whole_blocks;
    size_t units = span_shape(size, align, &whole_blocks);
    uint32_t unit = span_units(slabs, units, align);
    if (unit == FAI_INDEX_NONE) return NULL;
    fai_slab *span = &slabs->blocks->slabs[unit];
    span->head = unit;
    span->units = (uint32_t)units;
    span->tag = tag;
    span->kind = kind;
    span->account = account;
    span->size = units * FAI_UNIT_BYTES;
    span->capacity = whole_blocks; // of a span: whether it is made of whole blocks
    span->next = FAI_INDEX_NONE;
    set_unit_info(slabs->blocks, unit, 1, fai_info_make(slabs->lane, tag, kind, 0));
    return fai_unit_start(slabs->blocks, unit);
}

void fai_span_give(fai_slabs *slabs, uint32_t unit)
{
    fai_slab *span = &slabs->blocks->slabs[unit];
    FA_ASSERT(span->head == unit);
    FA_ASSERT(span->kind == FAI_KIND_SPAN || span->kind == FAI_KIND_FRAME);
    clear_records(slabs->blocks, unit, 2);
    set_unit_info(slabs->blocks, unit, 1, FAI_INFO_FREED);
    if (!fai_span_is_whole(span)) {
        units_give(slabs, unit, span->units);
        return;
    }
    FAI_COUNT(slabs->contention, block_gives, 1);
    fai_blocks_give_any(slabs->blocks, unit / (uint32_t)FAI_BLOCK_UNITS, span->units / (uint32_t)FAI_BLOCK_UNITS);
}
