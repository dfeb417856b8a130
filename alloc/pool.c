// SPDX-License-Identifier: MIT
//
// The pool's slow paths: refilling and flushing magazines, frees of other lanes' objects, and what checked builds verify.
//
// For each purse, that is, for each tag on a lane:
//     objects out of the slabs of class c == taken[c]; the tag is charged for them
//     of them with users                  == taken[c] - count of magazines[c]   (after a boundary)
#include "alloc/lane.h"
#include "alloc/store.h"
#include "concurrent/annotate.h"
#include "concurrent/check.h"

#include <string.h>

#define ALLOCATED_BYTE 0xcd
#define FREED_BYTE 0xdd
#define POOL_ALIGN_MAX 4096u

static void mark_allocated(const fai_lane *lane, void *p, size_t size)
{
    fai_allow(p, size);
    if (lane->memory->config.checked) memset(p, ALLOCATED_BYTE, size);
}

static void mark_freed(const fai_lane *lane, void *p, size_t size)
{
    if (lane->memory->config.checked) {
        fai_allow(p, size);
        memset(p, FREED_BYTE, size);
    }
    fai_forbid(p, size);
}

static fai_use use_of(fai_kind account)
{
    return account == FAI_KIND_POOL ? FAI_USE_POOL : FAI_USE_HEAP;
}

static void *take_span(fai_lane *lane, size_t size, size_t align, fai_kind account)
{
    uint32_t tag = fai_label_tag(lane->label);
    void *p = fai_span_take(&lane->slabs, size, align, tag, FAI_KIND_SPAN, account);
    if (p != NULL) return p;
    fai_lane_trim(lane);
    return fai_span_take(&lane->slabs, size, align, tag, FAI_KIND_SPAN, account);
}

static void *alloc_span(fai_lane *lane, size_t size, size_t align, fai_kind account)
{
    if (size > lane->memory->blocks.bytes) return NULL;
    size_t reserved = fai_span_size(size, align);
    if (!fai_label_charge(lane, lane->label, use_of(account), reserved)) return NULL;
    void *p = take_span(lane, size, align, account);
    if (p == NULL) {
        fai_label_refund(lane, lane->label, use_of(account), reserved);
        return NULL;
    }
    FA_ASSERT(fai_slab_of(&lane->memory->blocks, p)->size == reserved);
    lane->changed = true;
    if (account == FAI_KIND_POOL) {
        lane->stats.pool_live++;
        lane->stats.pool_live_bytes += (int64_t)reserved;
        lane->stats.pool_allocs++;
    } else {
        lane->stats.heap_live++;
        lane->stats.heap_live_bytes += (int64_t)reserved;
        lane->stats.heap_allocs++;
    }
    fai_lane_count_heap(lane, reserved);
    mark_allocated(lane, p, size);
    fai_lane_note_large(lane, account == FAI_KIND_POOL ? "pool" : "heap", size);
    fai_lane_tell_alloc(lane, account, p, size);
    return p;
}

/// Tells a profiler of an object that is freed, unless it is noticed here that it is none.
static void tell_free(const fai_lane *lane, const void *p, uint32_t info)
{
    if (FA_LIKELY(!fai_lane_watches(lane, FAI_WATCH_MEMORY))) return;
    bool own_slab = fai_kind_is_slab(fai_info_kind(info)) && fai_info_lane(info) == lane->hot.index;
    if (!own_slab || fai_slabs_is_taken(&lane->slabs, p))
        fai_memory_tell_free(lane->memory, lane->hot.index, fai_memory_kind_of(lane->memory, p), p);
}

static fai_purse *current_purse(fai_lane *lane)
{
    uint32_t tag = fai_label_tag(lane->label);
    fai_purse *purse = fai_lane_purse(lane, tag);
    return purse != NULL ? purse : fai_lane_make_purse(lane, tag);
}

/// Returns the `give` oldest objects of a magazine to their slabs.
static void flush(fai_lane *lane, fai_purse *purse, uint32_t size_class, uint32_t give)
{
    fa_magazine *magazine = &purse->magazines[size_class];
    uint32_t given = 0, tag = 0;
    for (uint32_t i = 0; i < give; i++) {
        tag = fai_slab_of(&lane->memory->blocks, magazine->slots[i])->tag;
        if (fai_slabs_give(&lane->slabs, magazine->slots[i]))
            given++;
        else
            fai_report(lane->memory, lane, "FA201", "the object was freed twice, or its address is inside an object",
                       "a checked build reports this at the free itself", "invalid free of %p", magazine->slots[i]);
    }
    magazine->state -= give;
    memmove(magazine->slots, magazine->slots + give, fa_magazine_count(magazine) * sizeof(void *));
    purse->taken[size_class] -= given;
    fai_label_refund(lane, fai_label_make(tag, 0), FAI_USE_POOL, (uint64_t)given * fai_class_size(size_class));
}

static void flush_all(fai_lane *lane, fai_purse *purse)
{
    for (uint64_t classes = purse->classes; classes != 0; classes &= classes - 1) {
        uint32_t size_class = (uint32_t)__builtin_ctzll(classes);
        flush(lane, purse, size_class, fa_magazine_count(&purse->magazines[size_class]));
    }
}

bool fai_lane_flush_tag(fai_lane *lane, uint32_t tag)
{
    fai_purse *purse = fai_lane_purse(lane, tag);
    bool any = false;
    for (uint64_t classes = purse != NULL ? purse->classes : 0; classes != 0 && !any; classes &= classes - 1)
        any = fa_magazine_count(&purse->magazines[__builtin_ctzll(classes)]) > 0;
    if (any) flush_all(lane, purse);
    return any;
}

/// Charges up to `want` objects to the lane's tag; how many.
static uint32_t charge_objects(fai_lane *lane, uint32_t size_class, uint32_t want)
{
    uint32_t size = fai_class_size(size_class);
    uint64_t granted = fai_label_charge_ahead(lane, lane->label, FAI_USE_POOL, size, (uint64_t)want * size);
    fai_label_refund(lane, lane->label, FAI_USE_POOL, granted % size);
    return (uint32_t)(granted / size);
}

/// Fills an empty magazine half: first with what came home, then from slabs.
static void refill(fai_lane *lane, fai_purse *purse, uint32_t size_class)
{
    fa_magazine *magazine = &purse->magazines[size_class];
    lane->stats.pool_refills++;
    lane->refills[size_class]++;
    lane->changed = true;
    lane->pool_used = true;
    purse->classes |= UINT64_C(1) << size_class;
    if (lane->exact)
        fai_mailbox_drain(lane); // without magazines everything goes straight to its slab
    else
        fai_mailbox_refill(lane, magazine);
    if (fa_magazine_count(magazine) > 0) {
        fai_event(lane, FA_EVENT_POOL_REFILL, NULL, fa_magazine_count(magazine), fai_class_size(size_class), 0);
        return;
    }
    uint32_t want = magazine->limit > 1 ? (uint32_t)magazine->limit / 2 : 1;
    uint32_t granted = charge_objects(lane, size_class, want);
    if (granted == 0) return;
    uint32_t taken = fai_slabs_take(&lane->slabs, fai_label_tag(lane->label), FAI_KIND_POOL, size_class,
                                    magazine->slots, granted);
    magazine->state += taken;
    purse->taken[size_class] += taken;
    fai_event(lane, FA_EVENT_POOL_REFILL, NULL, taken, fai_class_size(size_class), 0);
    fai_label_refund(lane, lane->label, FAI_USE_POOL, (uint64_t)(granted - taken) * fai_class_size(size_class));
}

void *fa_pool_alloc_slow(fa_worker *w, size_t size, size_t align)
{
    fai_lane *lane = fai_lane_of(w);
    if (size == 0 || align == 0 || (align & (align - 1)) != 0 || align > POOL_ALIGN_MAX) return NULL;
    uint32_t size_class = fai_class_aligned(size, align);
    if (size_class == FA_CLASS_COUNT) return alloc_span(lane, size, align, FAI_KIND_POOL);
    fai_purse *purse = current_purse(lane);
    if (purse == NULL) return NULL;
    fa_magazine *magazine = &purse->magazines[size_class];
    if (fa_magazine_count(magazine) == 0) refill(lane, purse, size_class);
    void *p;
    if (!fa_magazine_pop(magazine, &p)) return NULL;
    if (lane->exact) mark_allocated(lane, p, size);
    fai_lane_tell_alloc(lane, FAI_KIND_POOL, p, size);
    return p;
}

void fai_lane_trim(fai_lane *lane)
{
    const fai_memory *memory = lane->memory;
    for (uint32_t i = 0; i < lane->purse_count; i++) flush_all(lane, fai_lane_purse(lane, lane->purses[i]));
    // [frame.slot] acquire: the arenas of dead slots as the main lane reset them.
    uint32_t alive = fai_load_acquire(&memory->slots_alive);
    // A slot that is dead stays dead while this lane stands in a frame, or is the main lane's or in its hands; otherwise the main lane might
    // begin and retire a frame there meanwhile.
    bool may_trim_dead = lane->slot != FAI_NO_SLOT || lane->hot.index == 0 ||
                         fai_load_relaxed(&lane->state) == FAI_LANE_PROXY;
    for (uint32_t slot = 0; slot < memory->config.frames_in_flight; slot++)
        if (slot == lane->slot || ((alive >> slot & 1) == 0 && may_trim_dead))
            fai_arena_trim(&lane->frame[slot], &lane->memory->blocks, &lane->contention);
    fai_arena_trim(&lane->scope, &lane->memory->blocks, &lane->contention);
    for (uint32_t i = 0; i < lane->purse_count; i++) fai_slabs_trim(&lane->slabs, lane->purses[i]);
}

static void report_invalid(const fai_lane *lane, const void *p)
{
    fai_report(
        lane->memory, lane, "FA201", "it is no live object of this system, or of the other kind",
        "free what fa_pool_alloc() gave with fa_pool_free(), what fa_heap_alloc() gave with fa_heap_free(), once",
        "invalid free of %p", p);
}

static void free_span(fai_lane *lane, void *p)
{
    fai_slab *span = fai_slab_of(&lane->memory->blocks, p);
    int64_t size = (int64_t)span->size;
    if (span->account == FAI_KIND_POOL) {
        lane->stats.pool_live--;
        lane->stats.pool_live_bytes -= size;
    } else if (span->account == FAI_KIND_HEAP) {
        lane->stats.heap_live--;
        lane->stats.heap_live_bytes -= size;
    }
    if (span->account == FAI_KIND_POOL || span->account == FAI_KIND_HEAP)
        fai_label_refund(lane, fai_label_make(span->tag, 0), use_of(span->account), span->size);
    mark_freed(lane, p, span->size);
    fai_span_give(&lane->slabs, span->head);
}

static void free_pool_object(fai_lane *lane, void *p, uint32_t tag, uint32_t size_class)
{
    fai_purse *purse = fai_lane_purse(lane, tag);
    if (lane->exact) {
        if (!fai_slabs_is_taken(&lane->slabs, p)) {
            report_invalid(lane, p);
            return;
        }
        // Before the slab, and with it the memory, may be another lane's.
        mark_freed(lane, p, fai_class_size(size_class));
        (void)fai_slabs_give(&lane->slabs, p);
        purse->taken[size_class]--;
        fai_label_refund(lane, fai_label_make(tag, 0), FAI_USE_POOL, fai_class_size(size_class));
        return;
    }
    fa_magazine *magazine = &purse->magazines[size_class];
    if (fa_magazine_push(magazine, p)) return;
    flush(lane, purse, size_class, (fa_magazine_count(magazine) + 1) / 2);
    (void)fa_magazine_push(magazine, p);
}

void fai_lane_free_own(fai_lane *lane, void *p, uint32_t info)
{
    lane->changed = true;
    if (fai_info_lane(info) != lane->hot.index) { // freed twice, and its memory has gone elsewhere meanwhile
        report_invalid(lane, p);
        return;
    }
    uint32_t size_class = fai_info_class(info);
    switch (fai_info_kind(info)) {
        case FAI_KIND_POOL: free_pool_object(lane, p, fai_info_tag(info), size_class); return;
        case FAI_KIND_HEAP:
            if (!fai_slabs_is_taken(&lane->slabs, p)) {
                report_invalid(lane, p);
                return;
            }
            lane->stats.heap_live--;
            lane->stats.heap_live_bytes -= fai_class_size(size_class);
            fai_label_refund(lane, fai_label_make(fai_info_tag(info), 0), FAI_USE_HEAP, fai_class_size(size_class));
            if (lane->exact) mark_freed(lane, p, fai_class_size(size_class));
            (void)fai_slabs_give(&lane->slabs, p);
            return;
        case FAI_KIND_STORE: fai_store_give_own(lane, p); return;
        case FAI_KIND_SPAN:
        case FAI_KIND_FRAME: free_span(lane, p); return;
        case FAI_KIND_NONE: report_invalid(lane, p); return;
    }
}

fai_kind fai_memory_kind_of(const fai_memory *memory, const void *p)
{
    const fai_blocks *blocks = &memory->blocks;
    if (p == NULL || !fai_blocks_contain(blocks, p)) return FAI_KIND_NONE;
    fai_kind kind = fai_info_kind(fai_load_relaxed(&blocks->unit_info[fai_unit_of(blocks, p)]));
    if (kind == FAI_KIND_NONE || kind == FAI_KIND_FRAME || kind == FAI_KIND_STORE) return FAI_KIND_NONE;
    const fai_slab *slab = fai_slab_of(blocks, p);
    if (!fai_slab_is_object(blocks, slab, p)) return FAI_KIND_NONE;
    if (kind != FAI_KIND_SPAN) return kind;
    return slab->account == FAI_KIND_STORE ? FAI_KIND_NONE : slab->account;
}

static size_t object_size(const fai_memory *memory, const void *p, uint32_t info)
{
    if (fai_kind_is_slab(fai_info_kind(info))) return fai_class_size(fai_info_class(info));
    return fai_slab_of(&memory->blocks, p)->size;
}

/// Whether the unit's kind goes with the account that the caller frees from; FAI_KIND_NONE goes with pool and heap.
static bool account_fits(const fai_memory *memory, const void *p, uint32_t info, fai_kind account)
{
    fai_kind kind = fai_info_kind(info);
    if (kind == FAI_KIND_NONE || kind == FAI_KIND_FRAME || kind == FAI_KIND_STORE) return false;
    if (kind != FAI_KIND_SPAN) return account == FAI_KIND_NONE || account == kind;
    const fai_slab *span = fai_slab_of(&memory->blocks, p);
    if (span->account == FAI_KIND_STORE || !fai_slab_is_object(&memory->blocks, span, p)) return false;
    return account == FAI_KIND_NONE || account == span->account;
}

bool fai_lane_free(fai_lane *lane, void *p, fai_kind account)
{
    const fai_blocks *blocks = &lane->memory->blocks;
    if (!fai_blocks_contain(blocks, p)) {
        report_invalid(lane, p);
        return false;
    }
    uint32_t info = fai_load_relaxed(&blocks->unit_info[fai_unit_of(blocks, p)]);
    if (FA_UNLIKELY(!account_fits(lane->memory, p, info, account))) {
        report_invalid(lane, p);
        return false;
    }
    tell_free(lane, p, info);
    if (fai_info_lane(info) == lane->hot.index)
        fai_lane_free_own(lane, p, info);
    else
        fai_outbox_add(lane, fai_info_lane(info), p, object_size(lane->memory, p, info));
    return true;
}

void fa_pool_free_slow(fa_worker *w, void *p)
{
    fai_lane *lane = fai_lane_of(w);
    uint64_t unit = (uint64_t)((uintptr_t)p - w->region_base) >> FA_UNIT_SHIFT;
    if (FA_LIKELY(unit < w->region_units)) { // the common case: another lane's pool object
        uint32_t info = fai_load_relaxed(&w->unit_info[unit]);
        if (FA_LIKELY(fai_info_kind(info) == FAI_KIND_POOL && fai_info_lane(info) != w->index)) {
            tell_free(lane, p, info);
            fai_outbox_add(lane, fai_info_lane(info), p, fai_class_size(fai_info_class(info)));
            return;
        }
    }
    if (p != NULL) (void)fai_lane_free(lane, p, FAI_KIND_POOL);
}

// The heap --------------------------------------------------------------------------------------------------------------

void *fa_heap_alloc(fa_worker *w, size_t size, size_t align)
{
    if (w == NULL) return NULL;
    fai_lane *lane = fai_lane_of(w);
    if (align == 0) align = FA_ALIGN_DEFAULT;
    if (size == 0 || (align & (align - 1)) != 0) return NULL;
    if (align < FA_ALIGN_DEFAULT) align = FA_ALIGN_DEFAULT;
    uint32_t size_class = align <= POOL_ALIGN_MAX ? fai_class_aligned(size, align) : FA_CLASS_COUNT;
    if (!fai_mailbox_is_empty(&lane->mailbox)) fai_mailbox_drain(lane);
    if (size_class == FA_CLASS_COUNT) return alloc_span(lane, size, align, FAI_KIND_HEAP);
    if (current_purse(lane) == NULL) return NULL;
    uint32_t bytes = fai_class_size(size_class);
    if (!fai_label_charge(lane, lane->label, FAI_USE_HEAP, bytes)) return NULL;
    void *p;
    if (fai_slabs_take(&lane->slabs, fai_label_tag(lane->label), FAI_KIND_HEAP, size_class, &p, 1) == 0) {
        fai_label_refund(lane, lane->label, FAI_USE_HEAP, bytes);
        return NULL;
    }
    fai_lane_count_heap(lane, bytes);
    lane->changed = true;
    lane->stats.heap_allocs++;
    lane->stats.heap_live++;
    lane->stats.heap_live_bytes += bytes;
    if (lane->exact) mark_allocated(lane, p, size);
    fai_lane_tell_alloc(lane, FAI_KIND_HEAP, p, size);
    return p;
}

void fa_heap_free(fa_worker *w, void *p)
{
    if (w != NULL && p != NULL) (void)fai_lane_free(fai_lane_of(w), p, FAI_KIND_HEAP);
}

void fa_free_any(fa_system *fa, void *p)
{
    fai_memory *memory = (fai_memory *)(void *)fa;
    if (fa == NULL || p == NULL) return;
    // Its first word will link it, so it must really be an object.
    if (fai_memory_kind_of(memory, p) == FAI_KIND_NONE) {
        fai_report(memory, NULL, "FA201", "it is no live object of this system", "free each object once",
                   "invalid free of %p", p);
        return;
    }
    uint32_t info = fai_load_relaxed(&memory->blocks.unit_info[fai_unit_of(&memory->blocks, p)]);
    if (!fai_slab_post(&memory->blocks, p)) {
        fai_report(memory, NULL, "FA201", "it was freed a moment ago and is still on its way home",
                   "free each object once", "invalid free of %p", p);
        return;
    }
    if (memory->events.profiler.free != NULL)
        fai_memory_tell_free(memory, UINT32_MAX, fai_memory_kind_of(memory, p), p);
    fai_mailbox_post_foreign(memory, fai_info_lane(info), p);
}

size_t fa_usable_size(const fa_system *fa, const void *p)
{
    if (fa == NULL) return 0;
    const fai_memory *memory = (const fai_memory *)(const void *)fa;
    if (fai_memory_kind_of(memory, p) == FAI_KIND_NONE) return 0;
    return object_size(memory, p, fai_load_relaxed(&memory->blocks.unit_info[fai_unit_of(&memory->blocks, p)]));
}
