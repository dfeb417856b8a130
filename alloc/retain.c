// SPDX-License-Identifier: MIT
//
// Retained allocations and their promotion. Lanes list what they retain; when the frame retires the main lane sorts all lists by
// (key, order of submission) and promotes one after the other, so that order and outcome do not depend on who ran what.
#include "alloc/lane.h"
#include "concurrent/check.h"

#include <string.h>

static bool retain_is_valid(fai_lane *lane, const fa_retain *retain, size_t align)
{
    if (retain != NULL && (uint32_t)retain->to <= FA_RETAIN_SCRATCH &&
        (retain->to != FA_RETAIN_POOL || align <= FAI_POOL_ALIGN_MAX) &&
        (retain->to != FA_RETAIN_SCRATCH || retain->cell == NULL))
        return true;
    fai_report(lane->memory, lane, "FA903",
               "the destination is unknown, the pool cannot give this alignment, or scratch memory was to go to a cell",
               "choose a destination of fa_retain_to; above 4096 bytes of alignment, and for cells, the heap",
               "retained allocation refused");
    return false;
}

/// What all pieces of a loop share: the items of a piece are told apart by `low` and the sequence, wherever the piece begins.
static uint64_t own_high(const fai_order *order)
{
    uint32_t shared = (uint32_t)order->bits - order->piece;
    return shared == 0 ? 0 : order->high & (UINT64_MAX << (64 - shared));
}

void *fa_frame_retained(fa_worker *w, size_t size, size_t align, const fa_retain *retain)
{
    if (w == NULL) return NULL;
    fai_lane *lane = fai_lane_of(w);
    if (!fai_lane_may_use(lane) || !retain_is_valid(lane, retain, align)) return NULL;
    if (align == 0) align = FA_ALIGN_DEFAULT;
    void *p = fa_frame_alloc_aligned(w, size, align); // reports what is wrong, no frame included
    if (p == NULL) return NULL;
    fai_retained_list *list = &lane->frames[lane->slot].retained;
    if (list->count == list->capacity) {
        void *items = list->items;
        if (!fai_lane_grow(lane, &items, list->count, &list->capacity, sizeof(fai_retained))) {
            fai_lane_report_refused(lane, size);
            return NULL;
        }
        list->items = items;
    }
    memset(p, 0, size);
    uint32_t number = ++list->made, nth = lane->order != NULL ? lane->order->retained++ : number;
    list->items[list->count++] = (fai_retained){
        .object = p,
        .size = size,
        .align = align,
        .retain = *retain,
        .high = lane->order != NULL ? own_high(lane->order) : UINT64_MAX,
        .low = lane->order != NULL ? lane->order->low : w->index,
        .serial = fai_lane_serial(lane),
        .label = fai_lane_label(lane),
        .sequence = nth,
        .number = number,
    };
    return p;
}

void fai_lane_forget_retained(fai_lane *lane, uint32_t after)
{
    fai_retained_list *list = &lane->frames[lane->slot].retained;
    uint32_t kept = list->count;
    while (kept > 0 && list->items[kept - 1].number > after) kept--;
    for (uint32_t i = kept; i < list->count; i++) // other jobs' entries, run meanwhile, stay
        if (list->items[i].serial != fai_lane_serial(lane)) list->items[kept++] = list->items[i];
    list->count = kept;
}

static uint32_t own_count(const fai_lane *lane)
{
    const fai_retained_list *list = &lane->frames[lane->slot].retained;
    uint32_t own = 0;
    for (uint32_t i = 0; i < list->count; i++) own += list->items[i].serial == fai_lane_serial(lane);
    return own;
}

uint32_t fa_retained_count(const fa_worker *w)
{
    const fai_lane *lane = (const fai_lane *)(const void *)w;
    if (w == NULL || !fai_lane_may_use(lane) || lane->slot == FAI_NO_SLOT) return 0;
    return lane->frames[lane->slot].retained.count;
}

uint32_t fa_retained_abandon(fa_worker *w)
{
    if (w == NULL) return 0;
    fai_lane *lane = fai_lane_of(w);
    if (!fai_lane_may_use(lane) || lane->slot == FAI_NO_SLOT) return 0;
    uint32_t own = own_count(lane);
    if (own > 0) fai_lane_forget_retained(lane, 0);
    return own;
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
        fai_retained_list *list = &fai_memory_lane(memory, lane)->frames[slot].retained;
        for (uint32_t i = 0; i < list->count; i++) memory->sorted[n++] = &list->items[i];
    }
    FA_ASSERT(n == total);
    return true;
}

// Promotion -------------------------------------------------------------------------------------------------------------

/// Hands a span of the frame over to the heap as it is; NULL if it is none. *status says so if the tag's budget refuses.
static void *move_to_heap(fai_memory *memory, const fai_retained *item, fa_promotion_status *status)
{
    fai_blocks *blocks = &memory->blocks;
    fai_lane *main_lane = fai_memory_lane(memory, 0);
    uint32_t unit = fai_unit_of(blocks, item->object), tag = fai_label_tag(item->label);
    uint32_t info = fai_load_relaxed(&blocks->unit_info[unit]);
    if (fai_info_kind(info) != FAI_KIND_FRAME) return NULL;
    fai_slab *span = &blocks->slabs[unit];
    FA_ASSERT(fai_unit_start(blocks, unit) == item->object);
    if (!fai_label_charge(main_lane, item->label, FAI_USE_HEAP, span->size)) {
        *status = FA_PROMOTION_BUDGET;
        return NULL;
    }
    span->kind = FAI_KIND_SPAN; // the arena's reset passes over it
    span->account = FAI_KIND_HEAP;
    span->tag = tag;
    fai_store_relaxed(&blocks->unit_info[unit], fai_info_make(fai_info_lane(info), tag, FAI_KIND_SPAN, 0));
    main_lane->changed = true;
    FAI_TALLY(main_lane, heap_live, 1);
    FAI_TALLY(main_lane, heap_live_bytes, (int64_t)span->size);
    FAI_TALLY(main_lane, heap_allocs, 1);
    fai_lane_adopt_bytes(main_lane, fai_memory_lane(memory, fai_info_lane(info)), span->size);
    fai_record_promoted(main_lane, item->object, item->size, span->size);
    fai_lane_tell_alloc(main_lane, FAI_KIND_HEAP, item->object, item->size);
    return item->object;
}

/// Room in the item's scratch pool, NULL and the reason if there is none.
static void *take_scratch(fai_lane *main_lane, const fai_retained *item, fa_promotion_status *status)
{
    fai_arena_answer answer;
    void *p = fai_scratch_take(main_lane, item->retain.scratch, item->size, item->align, &answer);
    if (answer == FAI_ARENA_GONE) *status = FA_PROMOTION_NO_SCRATCH;
    if (answer == FAI_ARENA_FULL) *status = FA_PROMOTION_SCRATCH_FULL;
    return p;
}

/// A copy at the destination, under the tag of the original.
static void *copy_out(fai_memory *memory, const fai_retained *item, fa_promotion_status *status)
{
    fai_lane *main_lane = fai_memory_lane(memory, 0);
    uint32_t before = fai_lane_label(main_lane), label = fai_label_make(fai_label_tag(item->label), 0);
    if (label != before) fai_lane_switch_label(main_lane, label);
    uint64_t denied = main_lane->denials, refused_frame = main_lane->refused_frame;
    main_lane->refused_frame = fai_load_relaxed(&memory->frame_number); // FA904 will say it
    void *p = item->retain.to == FA_RETAIN_SCRATCH ? take_scratch(main_lane, item, status)
              : item->retain.to == FA_RETAIN_POOL  ? fa_pool_alloc_aligned(&main_lane->hot, item->size, item->align)
                                                   : fa_heap_alloc(&main_lane->hot, item->size, item->align);
    main_lane->refused_frame = refused_frame;
    if (p == NULL && main_lane->denials != denied) *status = FA_PROMOTION_BUDGET;
    if (fai_lane_label(main_lane) != before) fai_lane_switch_label(main_lane, before);
    FA_ASSERT(item->object != NULL);
    if (p != NULL) memcpy(p, item->object, item->size);
    return p;
}

static void give_back(fai_memory *memory, void *p)
{
    (void)fai_lane_free(fai_memory_lane(memory, 0), p, FAI_KIND_NONE);
}

/// Publishes a promoted object in its cell, which has room to retire the version before.
static void publish(fai_memory *memory, const fai_retained *item, void *p)
{
    if (item->retain.cell == NULL) return;
    fa_status status = fa_cell_publish(&fai_memory_lane(memory, 0)->hot, item->retain.cell, p);
    FA_ASSERT(status == FA_OK);
    (void)status;
}

static void promote_one(fai_memory *memory, const fai_retained *item, fa_promotion *out, uint32_t *moved)
{
    // First what the cell needs: a span that changed hands could not be given back to its frame.
    if (item->retain.cell != NULL && !fai_lane_reserve_retired(fai_memory_lane(memory, 0))) {
        out->status = FA_PROMOTION_INTERNAL;
        return;
    }
    out->status = FA_PROMOTION_MEMORY;
    void *p = item->retain.to == FA_RETAIN_HEAP ? move_to_heap(memory, item, &out->status) : NULL;
    if (out->status == FA_PROMOTION_BUDGET) return;
    *moved += p != NULL;
    if (p == NULL) p = copy_out(memory, item, &out->status);
    if (p == NULL) return;
    publish(memory, item, p);
    out->to = p;
    out->status = FA_PROMOTED;
}

/// What the limits say of the item, before any memory is asked for: FA_PROMOTED if nothing is against it.
static fa_promotion_status judge(const fai_memory *memory, const fai_retained *item, uint32_t before,
                                 uint64_t bytes_before, bool listed)
{
    const fa_config *config = &memory->config;
    if (before >= config->retained_max) return FA_PROMOTION_LIMIT;
    if (item->retain.to == FA_RETAIN_DISCARD) return FA_PROMOTION_DROPPED;
    if (!listed && item->retain.cell == NULL) return FA_PROMOTION_DROPPED;
    if (config->promotion_size_max != 0 && item->size > config->promotion_size_max) return FA_PROMOTION_TOO_LARGE;
    uint64_t limit = config->promotion_bytes_max;
    if (limit != 0 && (bytes_before > limit || item->size > limit - bytes_before)) return FA_PROMOTION_LIMIT;
    return FA_PROMOTED;
}

const char *fa_promotion_text(fa_promotion_status status)
{
    static const char *const texts[FA_PROMOTION_STATUSES] = {"promoted",
                                                             "dropped",
                                                             "no memory at the destination",
                                                             "the tag's budget refused",
                                                             "too large",
                                                             "beyond the limits",
                                                             "no such scratch pool",
                                                             "the scratch pool is full",
                                                             "the cell could not take it"};
    return (uint32_t)status < FA_PROMOTION_STATUSES ? texts[status] : "unknown status";
}

// Summaries -------------------------------------------------------------------------------------------------------------

static void count_for(fa_retention *of, const fa_promotion *item, int32_t sign)
{
    bool promoted = item->status == FA_PROMOTED, dropped = item->status == FA_PROMOTION_DROPPED;
    uint64_t bytes = (uint64_t)(int64_t)sign * item->size;
    *(promoted ? &of->promoted : dropped ? &of->discarded : &of->failed) += (uint32_t)sign;
    *(promoted ? &of->promoted_bytes : dropped ? &of->discarded_bytes : &of->failed_bytes) += bytes;
}

/// Adds what an item became to its tag and phase, or takes that back. What had none is the rest of all.
static void count_retention(fai_memory *memory, const fa_promotion *item, int32_t sign)
{
    if (!FA_STATISTICS || item->label == 0) return;
    const uint32_t nodes[] = {[FAI_BY_TAG] = fai_label_tag(item->label), [FAI_BY_PHASE] = fai_label_phase(item->label)};
    fai_retentions *all = memory->retentions;
    for (fai_by by = FAI_BY_TAG; by <= FAI_BY_PHASE; by++) {
        if (nodes[by] == 0) continue;
        all->touched[by][nodes[by] / 64] |= UINT64_C(1) << nodes[by] % 64;
        count_for(&all->of[by][nodes[by]], item, sign);
    }
}

static void count_frame(fai_memory *memory, fai_by by)
{
    const fai_ledger *last = &memory->labels->last;
    for (uint32_t word = 0; word < FAI_NAME_WORDS; word++) {
        memory->retentions->touched[by][word] |= last->touched[by][word];
        for (uint64_t touched = last->touched[by][word]; touched != 0; touched &= touched - 1) {
            uint32_t node = word * 64 + (uint32_t)__builtin_ctzll(touched);
            memory->retentions->of[by][node].frame_bytes += last->counts[by][node].bytes[FAI_USE_FRAME];
        }
    }
}

void fai_memory_count_retentions(fai_memory *memory)
{
    count_frame(memory, FAI_BY_TAG);
    count_frame(memory, FAI_BY_PHASE);
}

static uint64_t promoted_bytes(const fa_frame_result *result)
{
    return result->pool_bytes + result->heap_bytes + result->scratch_bytes;
}

static fa_retention all_of(const fa_frame_result *result)
{
    return (fa_retention){.path = "",
                          .promoted = result->by_status[FA_PROMOTED],
                          .promoted_bytes = promoted_bytes(result),
                          .discarded = result->discarded,
                          .discarded_bytes = result->discarded_bytes,
                          .failed = result->failed,
                          .failed_bytes = result->failed_bytes};
}

static void take_off(fa_retention *rest, const fa_retention *row)
{
    rest->promoted -= row->promoted;
    rest->promoted_bytes -= row->promoted_bytes;
    rest->discarded -= row->discarded;
    rest->discarded_bytes -= row->discarded_bytes;
    rest->failed -= row->failed;
    rest->failed_bytes -= row->failed_bytes;
}

/// Lists those that had any part in the result, first what had no name; *count is how many.
static const fa_retention *list_by(fai_memory *memory, fai_by by, const fai_name *names, const fa_frame_result *result,
                                   uint32_t *count)
{
    fai_retentions *all = memory->retentions;
    fa_retention rest = all_of(result), *rows = all->listed[by] + 1;
    *count = 0;
    for (uint32_t word = 0; word < FAI_NAME_WORDS; word++)
        for (uint64_t touched = all->touched[by][word]; touched != 0; touched &= touched - 1) {
            uint32_t node = word * 64 + (uint32_t)__builtin_ctzll(touched);
            FA_ASSERT(node != 0);
            rows[*count] = all->of[by][node];
            rows[*count].path = names[node].path;
            take_off(&rest, &rows[(*count)++]);
        }
    if (rest.promoted + rest.discarded + rest.failed == 0) return rows;
    ++*count;
    rows[-1] = rest;
    return rows - 1;
}

void fai_memory_list_retentions(fai_memory *memory, fa_frame_result *result)
{
    if (!FA_STATISTICS) return;
    result->tags = list_by(memory, FAI_BY_TAG, memory->labels->tags.nodes, result, &result->tag_count);
    result->phases = list_by(memory, FAI_BY_PHASE, memory->labels->phases.nodes, result, &result->phase_count);
}

void fai_memory_clear_retentions(fai_memory *memory)
{
    if (!FA_STATISTICS || !fai_load_relaxed(&memory->labelled)) return;
    fai_retentions *all = memory->retentions;
    for (fai_by by = FAI_BY_TAG; by <= FAI_BY_PHASE; by++)
        for (uint32_t word = 0; word < FAI_NAME_WORDS; word++) {
            for (uint64_t touched = all->touched[by][word]; touched != 0; touched &= touched - 1)
                all->of[by][word * 64 + (uint32_t)__builtin_ctzll(touched)] = (fa_retention){0};
            all->touched[by][word] = 0;
        }
}

static void add_up(fai_memory *memory, fa_frame_result *result, const fa_promotion *item)
{
    result->by_status[item->status]++;
    count_retention(memory, item, 1);
    if (item->status == FA_PROMOTION_DROPPED) {
        result->discarded++;
        result->discarded_bytes += item->size;
    } else if (item->status != FA_PROMOTED) {
        result->failed++;
        result->failed_bytes += item->size;
    } else if (item->destination == FA_RETAIN_POOL) {
        result->to_pool++;
        result->pool_bytes += item->size;
    } else if (item->destination == FA_RETAIN_SCRATCH) {
        result->to_scratch++;
        result->scratch_bytes += item->size;
    } else {
        result->to_heap++;
        result->heap_bytes += item->size;
    }
}

static void note(fai_memory *memory, const fa_promotion *item)
{
    static const char *const destinations[] = {"discard", "pool", "heap", "scratch"};
    FA_ASSERT((uint32_t)item->destination < sizeof destinations / sizeof destinations[0]);
    if (item->status == FA_PROMOTION_DROPPED) return;
    fa_event_kind kind = item->status == FA_PROMOTED ? FA_EVENT_PROMOTION : FA_EVENT_PROMOTION_FAILED;
    fai_event(fai_memory_lane(memory, 0), kind, destinations[item->destination], item->size, item->user, 0);
}

/// The next item of the result, or a scratch one when the caller wants no list or there is no room for it: what has no cell is lost then,
/// rather than promoted to where nobody would find it.
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
               "a limit, a budget or the system refused; fa_frame_result says which",
               "raise what refused, or retain less", "%u of frame %llu's retained objects were lost", lost,
               (unsigned long long)number);
}

/// Without memory to sort them all are lost, in whatever order.
static void lose_all(fai_memory *memory, uint32_t slot, fa_frame_result *result)
{
    for (uint32_t lane = 0; lane < fai_memory_lanes_used(memory); lane++) {
        const fai_retained_list *list = &fai_memory_lane(memory, lane)->frames[slot].retained;
        for (uint32_t i = 0; i < list->count; i++) {
            const fai_retained *item = &list->items[i];
            fa_promotion lost = {.size = item->size, .label = item->label, .status = FA_PROMOTION_MEMORY};
            add_up(memory, result, &lost);
            if (lost.label != 0) fai_ledger_add_retained(memory, slot, &lost, false);
        }
    }
}

void fai_memory_promote(fai_memory *memory, uint32_t slot, uint64_t number, fa_frame_result *result, bool listed)
{
    uint32_t total = 0;
    for (uint32_t i = 0; i < fai_memory_lanes_used(memory); i++)
        total += fai_memory_lane(memory, i)->frames[slot].retained.count;
    if (total == 0) return;
    fa_frame_result unlisted = {0};
    if (result == NULL) result = &unlisted; // at the end of the system
    FA_ASSERT(result != &unlisted || !listed);
    fa_frame_result before = *result;
    bool collected = collect(memory, slot, total);
    if (collected)
        sort(memory->sorted, memory->sorted + total, total);
    else
        lose_all(memory, slot, result);
    for (uint32_t i = 0; collected && i < total; i++) {
        const fai_retained *item = memory->sorted[i];
        fa_promotion spare, *out = next_item(memory, result, listed, &spare);
        *out = (fa_promotion){
            .from = item->object,
            .size = item->size,
            .user = item->retain.user,
            .frame = number,
            .cell = item->retain.cell,
            .type = item->retain.type,
            .tag = {fai_label_tag(item->label)},
            .label = item->label,
            .destination = item->retain.to,
            .status = judge(memory, item, i, promoted_bytes(result) - promoted_bytes(&before), listed),
        };
        bool replaces = out->label != 0 && out->cell != NULL &&
                        fa_cell_read(&fai_memory_lane(memory, 0)->hot, out->cell) != NULL;
        bool is_found = !listed || out != &spare || out->cell != NULL;
        if (out->status == FA_PROMOTED && !is_found) out->status = FA_PROMOTION_MEMORY;
        if (out->status == FA_PROMOTED) promote_one(memory, item, out, &result->moved);
        add_up(memory, result, out);
        if (out->label != 0) fai_ledger_add_retained(memory, slot, out, replaces && out->status == FA_PROMOTED);
        note(memory, out);
    }
    if (FA_STATISTICS) {
        memory->stats_due = true;
        memory->merged.promoted += result->by_status[FA_PROMOTED] - before.by_status[FA_PROMOTED];
        memory->merged.promoted_bytes += promoted_bytes(result) - promoted_bytes(&before);
        memory->merged.promotion_failed += result->failed - before.failed;
    }
    for (uint32_t i = 0; i < fai_memory_lanes_used(memory); i++) {
        fai_retained_list *list = &fai_memory_lane(memory, i)->frames[slot].retained;
        list->count = list->made = 0;
    }
    if (result->failed > before.failed) report_lost(memory, result->failed - before.failed, number);
}

void fai_memory_drop_unclaimed(fai_memory *memory, fa_frame_result *result)
{
    for (uint32_t i = 0; i < result->count; i++) {
        fa_promotion *item = &memory->items[i];
        if (item->status != FA_PROMOTED || item->cell != NULL) continue;
        bool to_pool = item->destination == FA_RETAIN_POOL, to_scratch = item->destination == FA_RETAIN_SCRATCH;
        *(to_pool ? &result->to_pool : to_scratch ? &result->to_scratch : &result->to_heap) -= 1;
        *(to_pool ? &result->pool_bytes : to_scratch ? &result->scratch_bytes : &result->heap_bytes) -= item->size;
        result->by_status[FA_PROMOTED]--;
        result->by_status[FA_PROMOTION_DROPPED]++;
        result->discarded++;
        result->discarded_bytes += item->size;
        count_retention(memory, item, -1);
        item->status = FA_PROMOTION_DROPPED;
        count_retention(memory, item, 1);
        if (!to_scratch) give_back(memory, item->to); // that stays taken until the pool is reset
    }
    result->count = 0;
    result->items = NULL;
}
