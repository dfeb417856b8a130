// SPDX-License-Identifier: MIT
//
// Retained allocations and their promotion. Lanes list what they retain; when the frame retires the main lane sorts all lists by
// (key, order of submission) and promotes one after the other, so that order and outcome do not depend on who ran what.
#include "alloc/lane.h"
#include "concurrent/check.h"

#include <string.h>

static bool retain_is_valid(fai_lane *lane, const fa_retain *retain, size_t align)
{
    if (retain != NULL && (uint32_t)retain->to <= FA_RETAIN_HEAP && (retain->to != FA_RETAIN_POOL || align <= 4096))
        return true;
    fai_report(lane->memory, lane, "FA903", "the destination is unknown, or the pool cannot give this alignment",
               "choose a destination of fa_retain_to; above 4096 bytes of alignment the heap",
               "retained allocation refused");
    return false;
}

void *fa_frame_retained(fa_worker *w, size_t size, size_t align, const fa_retain *retain)
{
    fai_lane *lane = fai_lane_of(w);
    if (!retain_is_valid(lane, retain, align)) return NULL;
    fai_retained_list *list = lane->slot == FAI_NO_SLOT ? NULL : &lane->retained[lane->slot];
    if (list != NULL && list->count == list->capacity) {
        void *items = list->items;
        if (!fai_lane_grow(lane, &items, list->count, &list->capacity, sizeof(fai_retained))) return NULL;
        list->items = items;
    }
    void *p = fa_frame_alloc_aligned(w, size, align); // reports what is wrong, no frame included
    if (p == NULL) return NULL;
    memset(p, 0, size);
    list->items[list->count++] = (fai_retained){
        .object = p,
        .size = size,
        .align = align,
        .retain = *retain,
        .high = lane->order != NULL ? lane->order->high : UINT64_MAX,
        .low = lane->order != NULL ? lane->order->low : w->index,
        .serial = lane->serial,
        .sequence = lane->order != NULL ? lane->order->retained++ : list->count,
    };
    return p;
}

void fai_lane_forget_retained(fai_lane *lane, uint32_t count)
{
    fai_retained_list *list = &lane->retained[lane->slot];
    uint32_t kept = count;
    for (uint32_t i = count; i < list->count; i++) // other jobs' entries, run meanwhile, stay
        if (list->items[i].serial != lane->serial) list->items[kept++] = list->items[i];
    list->count = kept;
}

// Order -----------------------------------------------------------------------------------------------------------------

static bool goes_before(const fai_retained *a, const fai_retained *b)
{
    if (a->retain.key != b->retain.key) return a->retain.key < b->retain.key;
    if (a->high != b->high) return a->high < b->high;
    if (a->low != b->low) return a->low < b->low;
    return a->sequence < b->sequence;
}

/// Merge sort of n pointers with n more as work space; qsort may call malloc.
static void sort(fai_retained **items, fai_retained **space, uint32_t n)
{
    for (uint32_t width = 1; width < n; width *= 2) {
        for (uint32_t start = 0; start < n; start += 2 * width) {
            uint32_t middle = start + width < n ? start + width : n, end = middle + width < n ? middle + width : n;
            uint32_t a = start, b = middle;
            for (uint32_t out = start; out < end; out++) {
                bool take_b = a == middle || (b < end && goes_before(items[b], items[a]));
                space[out] = take_b ? items[b++] : items[a++];
            }
        }
        memcpy(items, space, n * sizeof *items);
    }
}

/// All entries of the slot, unsorted; false if there is no room for them.
static bool collect(fai_memory *memory, uint32_t slot, uint32_t total)
{
    fai_lane *main_lane = fai_memory_lane(memory, 0);
    while (memory->sorted_capacity < 2 * total) {
        void *sorted = memory->sorted;
        if (!fai_lane_grow(main_lane, &sorted, 0, &memory->sorted_capacity, sizeof *memory->sorted)) return false;
        memory->sorted = sorted;
    }
    uint32_t n = 0;
    for (uint32_t lane = 0; lane < fai_memory_lanes_used(memory); lane++) {
        fai_retained_list *list = &fai_memory_lane(memory, lane)->retained[slot];
        for (uint32_t i = 0; i < list->count; i++) memory->sorted[n++] = &list->items[i];
    }
    FA_ASSERT(n == total);
    return true;
}

// Promotion -------------------------------------------------------------------------------------------------------------

/// Hands a span of the frame over to the heap as it is.
static void *move_to_heap(fai_memory *memory, const fai_retained *item)
{
    fai_blocks *blocks = &memory->blocks;
    uint32_t unit = fai_unit_of(blocks, item->object);
    uint32_t info = fai_load_relaxed(&blocks->unit_info[unit]);
    if (fai_info_kind(info) != FAI_KIND_FRAME) return NULL;
    fai_slab *span = &blocks->slabs[unit];
    FA_ASSERT(fai_unit_start(blocks, unit) == item->object);
    span->kind = FAI_KIND_SPAN; // the arena's reset passes over it
    span->account = FAI_KIND_HEAP;
    fai_store_relaxed(&blocks->unit_info[unit], fai_info_make(fai_info_lane(info), span->tag, FAI_KIND_SPAN, 0));
    fai_lane *main_lane = fai_memory_lane(memory, 0);
    main_lane->stats.heap_live++;
    main_lane->stats.heap_live_bytes += (int64_t)span->size;
    main_lane->stats.heap_allocs++;
    return item->object;
}

static void *copy_out(fai_memory *memory, const fai_retained *item)
{
    fa_worker *w = &fai_memory_lane(memory, 0)->hot;
    void *p = item->retain.to == FA_RETAIN_POOL ? fa_pool_alloc_aligned(w, item->size, item->align)
                                                : fa_heap_alloc(w, item->size, item->align);
    if (p != NULL) memcpy(p, item->object, item->size);
    return p;
}

static void give_back(fai_memory *memory, void *p)
{
    (void)fai_lane_free(fai_memory_lane(memory, 0), p, FAI_KIND_NONE);
}

/// Publishes a promoted object in its cell; false if the version before could not be recorded.
static bool publish(fai_memory *memory, const fai_retained *item, void *p)
{
    fa_worker *w = &fai_memory_lane(memory, 0)->hot;
    return item->retain.cell == NULL || fa_cell_publish(w, item->retain.cell, p) == FA_OK;
}

static void promote_one(fai_memory *memory, const fai_retained *item, fa_promotion *out, uint32_t *moved)
{
    out->status = FA_PROMOTION_MEMORY;
    void *p = item->retain.to == FA_RETAIN_HEAP ? move_to_heap(memory, item) : NULL;
    *moved += p != NULL;
    if (p == NULL) p = copy_out(memory, item);
    if (p == NULL) return;
    if (!publish(memory, item, p)) {
        give_back(memory, p);
        return;
    }
    out->to = p;
    out->status = FA_PROMOTED;
}

static void add_up(fa_frame_result *result, const fa_promotion *item)
{
    switch (item->status) {
        case FA_PROMOTION_DROPPED:
            result->discarded++;
            result->discarded_bytes += item->size;
            return;
        case FA_PROMOTED:
            if (item->destination == FA_RETAIN_POOL) {
                result->to_pool++;
                result->pool_bytes += item->size;
            } else {
                result->to_heap++;
                result->heap_bytes += item->size;
            }
            return;
        case FA_PROMOTION_MEMORY:
        case FA_PROMOTION_LIMIT:
            result->failed++;
            result->failed_bytes += item->size;
            return;
    }
}

/// The next item of the result, or a scratch one when the caller wants no list or there is no room for it.
static fa_promotion *next_item(fai_memory *memory, fa_frame_result *result, bool listed, fa_promotion *spare)
{
    if (!listed) return spare;
    if (result->count == memory->item_capacity) {
        void *items = memory->items;
        if (!fai_lane_grow(fai_memory_lane(memory, 0), &items, result->count, &memory->item_capacity,
                           sizeof *memory->items))
            return spare;
        memory->items = items;
    }
    result->items = memory->items;
    return &memory->items[result->count++];
}

static void report_lost(fai_memory *memory, uint32_t lost, uint64_t number)
{
    fai_report(memory, fai_memory_lane(memory, 0), "FA904",
               "the destination had no memory, or the frame retained more than retained_max",
               "raise memory_max or retained_max, or retain less", "%u of frame %llu's retained objects were lost",
               lost, (unsigned long long)number);
}

void fai_memory_promote(fai_memory *memory, uint32_t slot, uint64_t number, fa_frame_result *result)
{
    uint32_t total = 0, lost = 0;
    for (uint32_t i = 0; i < fai_memory_lanes_used(memory); i++)
        total += fai_memory_lane(memory, i)->retained[slot].count;
    if (total == 0) return;
    fa_frame_result unlisted = {0};
    bool listed = result != NULL;
    if (!listed) result = &unlisted;
    fa_frame_result before = *result;
    bool collected = collect(memory, slot, total);
    if (collected)
        sort(memory->sorted, memory->sorted + total, total);
    else
        lost = total;
    for (uint32_t i = 0; i < total - lost; i++) {
        const fai_retained *item = memory->sorted[i];
        fa_promotion spare, *out = next_item(memory, result, listed, &spare);
        *out = (fa_promotion){
            .from = item->object,
            .size = item->size,
            .user = item->retain.user,
            .frame = number,
            .cell = item->retain.cell,
            .destination = item->retain.to,
            .status = i >= memory->config.retained_max ? FA_PROMOTION_LIMIT : FA_PROMOTION_DROPPED,
        };
        if (i < memory->config.retained_max && item->retain.to != FA_RETAIN_DISCARD)
            promote_one(memory, item, out, &result->moved);
        add_up(result, out);
    }
    result->failed += lost;
    memory->merged.promoted += result->to_pool - before.to_pool + result->to_heap - before.to_heap;
    memory->merged.promoted_bytes += result->pool_bytes - before.pool_bytes + result->heap_bytes - before.heap_bytes;
    memory->merged.promotion_failed += result->failed - before.failed;
    for (uint32_t i = 0; i < fai_memory_lanes_used(memory); i++) fai_memory_lane(memory, i)->retained[slot].count = 0;
    if (result->failed > before.failed) report_lost(memory, result->failed - before.failed, number);
}
