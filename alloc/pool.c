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

#define FREED_BYTE 0xdd

/// `caller` asked for `size` bytes and gets `room`.
static void mark_allocated(fai_lane *lane, void *p, size_t size, size_t room, fai_kind account, const void *caller)
{
    if (lane->memory->config.checked)
        fai_record_taken(lane, p, size, room, account, caller);
    else
        fai_allow(p, size);
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

/// Between `need` and `want` bytes, charged to the lane's tag, that its budget allows, too; 0: refused, which was reported. The lane comes last: a
/// sink that hears of the tag's budget may have allocated.
static uint64_t obtain(fai_lane *lane, fai_use use, uint64_t need, uint64_t want)
{
    uint64_t charged = fai_label_charge_ahead(lane, fai_lane_label(lane), use, need, want);
    if (charged == 0) return 0;
    uint64_t granted = fai_lane_grant(lane, FA_LANE_USE_OBJECTS, need, charged);
    fai_label_refund(lane, fai_lane_label(lane), use, charged - granted);
    return granted;
}

static void *take_span(fai_lane *lane, size_t size, size_t align, fai_kind account)
{
    uint32_t tag = fai_label_tag(fai_lane_label(lane));
    void *p = fai_span_take(&lane->slabs, size, align, tag, FAI_KIND_SPAN, account);
    if (p != NULL) return p;
    fai_lane_trim(lane);
    return fai_span_take(&lane->slabs, size, align, tag, FAI_KIND_SPAN, account);
}

static void *alloc_span(fai_lane *lane, size_t size, size_t align, fai_kind account, const void *caller)
{
    if (size > lane->memory->blocks.bytes) {
        fai_lane_report_refused(lane, size);
        return NULL;
    }
    if (!fai_mailbox_is_empty(&lane->mailbox)) fai_mailbox_drain(lane); // what others freed counts until it is home
    size_t reserved = fai_span_size(size, align);
    if (obtain(lane, use_of(account), reserved, reserved) == 0) return NULL;
    void *p = take_span(lane, size, align, account);
    fai_lane_report_damage(lane);
    if (p == NULL) {
        fai_label_refund(lane, fai_lane_label(lane), use_of(account), reserved);
        fai_lane_report_refused(lane, size);
        return NULL;
    }
    FA_ASSERT(fai_slab_of(&lane->memory->blocks, p)->size == reserved);
    lane->changed = true;
    if (account == FAI_KIND_POOL) {
        FAI_TALLY(lane, pool_live, 1);
        FAI_TALLY(lane, pool_live_bytes, (int64_t)reserved);
        FAI_TALLY(lane, pool_allocs, 1);
    } else {
        FAI_TALLY(lane, heap_live, 1);
        FAI_TALLY(lane, heap_live_bytes, (int64_t)reserved);
        FAI_TALLY(lane, heap_allocs, 1);
    }
    fai_lane_count(lane, use_of(account), reserved);
    mark_allocated(lane, p, size, reserved, account, caller);
    fai_lane_note_large(lane, account == FAI_KIND_POOL ? "pool" : "heap", size);
    fai_lane_tell_alloc(lane, account, p, size);
    fai_lane_note(lane, FA_LANE_USE_OBJECTS);
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

/// The smallest class in use that serves such objects, FA_CLASS_COUNT if none does.
static uint32_t pool_class(const fai_lane *lane, size_t size, size_t align)
{
    uint64_t used = lane->memory->config.pool_classes;
    uint32_t size_class = fai_class_aligned(size, align);
    while (size_class < FA_CLASS_COUNT &&
           ((used >> size_class & 1) == 0 || (fai_class_size(size_class) & (align - 1)) != 0))
        size_class++;
    return size_class;
}

static fai_purse *current_purse(fai_lane *lane)
{
    uint32_t tag = fai_label_tag(fai_lane_label(lane));
    fai_purse *purse = fai_lane_purse(lane, tag);
    return purse != NULL ? purse : fai_lane_make_purse(lane, tag);
}

/// `n` more objects are out of the slabs.
static void count_out(fai_purse *purse, uint32_t size_class, int64_t n)
{
    if (FA_STATISTICS) purse->taken[size_class] += n;
}

/// Returns the `give` oldest objects of a magazine to their slabs.
static void flush(fai_lane *lane, fai_purse *purse, uint32_t tag, uint32_t size_class, uint32_t give)
{
    fa_magazine *magazine = &purse->magazines[size_class];
    void *bad[FA_MAGAZINE_SLOTS];
    uint32_t given = 0, bad_count = 0;
    for (uint32_t i = 0; i < give; i++) {
        if (fai_slabs_give(&lane->slabs, magazine->slots[i]))
            given++;
        else
            bad[bad_count++] = magazine->slots[i];
    }
    magazine->state -= give;
    memmove(magazine->slots, magazine->slots + give, fa_magazine_count(magazine) * sizeof(void *));
    count_out(purse, size_class, -(int64_t)given);
    fai_label_refund(lane, fai_label_make(tag, 0), FAI_USE_POOL, (uint64_t)given * fai_class_size(size_class));
    for (uint32_t i = 0; i < bad_count; i++) // now that a sink may use the magazine
        fai_report(lane->memory, lane, "FA201", "the object was freed twice, or its address is inside an object",
                   "a checked system reports this at the free itself", "invalid free of %p", bad[i]);
}

static void flush_all(fai_lane *lane, fai_purse *purse, uint32_t tag)
{
    for (uint64_t classes = purse->classes; classes != 0; classes &= classes - 1) {
        uint32_t size_class = (uint32_t)__builtin_ctzll(classes);
        flush(lane, purse, tag, size_class, fa_magazine_count(&purse->magazines[size_class]));
    }
}

bool fai_lane_flush_tag(fai_lane *lane, uint32_t tag)
{
    fai_purse *purse = fai_lane_purse(lane, tag);
    bool any = false;
    for (uint64_t classes = purse != NULL ? purse->classes : 0; classes != 0 && !any; classes &= classes - 1)
        any = fa_magazine_count(&purse->magazines[__builtin_ctzll(classes)]) > 0;
    if (any) flush_all(lane, purse, tag);
    return any;
}

/// As many objects, up to `want`, as the lane's budget allows and its tag was charged for.
static uint32_t charge_objects(fai_lane *lane, uint32_t size_class, uint32_t want)
{
    uint32_t size = fai_class_size(size_class);
    uint64_t granted = obtain(lane, FAI_USE_POOL, size, (uint64_t)want * size);
    fai_label_refund(lane, fai_lane_label(lane), FAI_USE_POOL, granted % size);
    return (uint32_t)(granted / size);
}

/// What is in quarantine is given up before an allocation is refused.
static uint32_t take_objects(fai_lane *lane, fai_kind kind, uint32_t size_class, void **objects, uint32_t want)
{
    uint32_t tag = fai_label_tag(fai_lane_label(lane)),
             taken = fai_slabs_take(&lane->slabs, tag, kind, size_class, objects, want);
    if (FA_LIKELY(taken > 0 || lane->quarantined == 0)) return taken;
    fai_quarantine_empty(lane);
    return fai_slabs_take(&lane->slabs, tag, kind, size_class, objects, want);
}

/// Fills an empty magazine half: first with what came home, then from slabs.
static void refill(fai_lane *lane, fai_purse *purse, uint32_t size_class)
{
    fa_magazine *magazine = &purse->magazines[size_class];
    FAI_TALLY(lane, pool_refills, 1);
    if (FA_STATISTICS) lane->refills[size_class]++;
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
    if (fa_magazine_count(magazine) > 0) { // a sink that was told of the budget has been here
        fai_label_refund(lane, fai_lane_label(lane), FAI_USE_POOL, (uint64_t)granted * fai_class_size(size_class));
        return;
    }
    uint32_t taken = take_objects(lane, FAI_KIND_POOL, size_class, magazine->slots, granted);
    magazine->state += taken;
    count_out(purse, size_class, taken);
    fai_event(lane, FA_EVENT_POOL_REFILL, NULL, taken, fai_class_size(size_class), 0);
    fai_label_refund(lane, fai_lane_label(lane), FAI_USE_POOL,
                     (uint64_t)(granted - taken) * fai_class_size(size_class));
}

void *fa_pool_alloc_slow(fa_worker *w, size_t size, size_t align)
{
    fai_lane *lane = fai_lane_of(w);
    if (!fai_lane_may_use(lane) || size == 0 || !fai_lane_align(lane, &align, FAI_POOL_ALIGN_MAX)) return NULL;
    uint32_t size_class = pool_class(lane, size, align);
    if (size_class == FA_CLASS_COUNT) return alloc_span(lane, size, align, FAI_KIND_POOL, __builtin_return_address(0));
    uint64_t denials = lane->denials;
    fai_purse *purse = current_purse(lane);
    void *p = NULL;
    bool popped = false;
    if (purse != NULL) {
        fa_magazine *magazine = &purse->magazines[size_class];
        if (fa_magazine_count(magazine) == 0) refill(lane, purse, size_class);
        popped = fa_magazine_pop(magazine, &p);
    }
    fai_lane_report_damage(lane);
    if (!popped) {
        if (lane->denials == denials) fai_lane_report_refused(lane, size);
        return NULL;
    }
    if (lane->exact)
        mark_allocated(lane, p, size, fai_class_size(size_class), FAI_KIND_POOL, __builtin_return_address(0));
    fai_lane_tell_alloc(lane, FAI_KIND_POOL, p, size);
    fai_lane_note(lane, FA_LANE_USE_OBJECTS);
    return p;
}

void fai_lane_trim(fai_lane *lane)
{
    const fai_memory *memory = lane->memory;
    for (uint32_t i = 0; i < lane->purse_count; i++)
        flush_all(lane, fai_lane_purse(lane, lane->purses[i]), lane->purses[i]);
    fai_quarantine_empty(lane);
    // [frame.slot] acquire: the arenas of dead slots as the main lane reset them.
    uint32_t alive = fai_load_acquire(&memory->slots_alive);
    // A slot that is dead stays dead while this lane stands in a frame, or is the main lane's or in its hands; otherwise the main lane might
    // begin and retire a frame there meanwhile.
    bool may_trim_dead = lane->slot != FAI_NO_SLOT || lane->hot.index == 0 ||
                         fai_load_relaxed(&lane->state) == FAI_LANE_PROXY;
    for (uint32_t slot = 0; slot < memory->config.frames_in_flight; slot++)
        if (slot == lane->slot || ((alive >> slot & 1) == 0 && may_trim_dead))
            fai_arena_trim(&lane->frames[slot].arena, &lane->memory->blocks, &lane->contention);
    fai_arena_trim(&lane->scope, &lane->memory->blocks, &lane->contention);
    fai_handle_lane_trim(lane);
    for (uint32_t i = 0; i < lane->purse_count; i++) fai_slabs_trim(&lane->slabs, lane->purses[i]);
}

// A free that is none -----------------------------------------------------------------------------------------------------

/// False: it is not frame memory.
static bool report_escaped(const fai_memory *memory, const fai_lane *lane, const void *p)
{
    if (!fai_arena_holds(&memory->blocks, p)) return false;
    fai_report(memory, lane, "FA002",
               "frame memory goes with its frame, scope memory with its scope; neither is freed or shared",
               "allocate what is to live longer from the pool or heap, or retain it: fa_frame_retained()",
               "frame or scope memory at %p was handed to what keeps or frees objects", p);
    return true;
}

static const char LIVE[] = "a live object", FREED[] = "was freed already", NOWHERE[] = "is the start of no live object",
                  KEPT[] = "belongs to a handle, group, stream, job or scratch pool, or to the library";

/// What is known of an address in a slab of users' objects. *inside: bytes from the start of the object, if it is not that.
static const char *describe_in_slab(const fai_memory *memory, const fai_lane *lane, const void *p, uint32_t info,
                                    size_t *inside)
{
    const fai_blocks *blocks = &memory->blocks;
    const fai_slab *slab = fai_slab_of(blocks, p);
    size_t offset = (size_t)((const unsigned char *)p - fai_unit_start(blocks, slab->head));
    size_t size = fai_class_size(fai_info_class(info));
    if (offset / size >= fai_class_capacity(fai_info_class(info))) return NOWHERE;
    *inside = offset % size;
    const void *start = (const unsigned char *)p - *inside;
    bool freed = fai_record_was_freed(memory, start) || fai_slab_is_posted(blocks, start);
    if (*inside > 0 && freed) return "an object that was freed already";
    if (*inside > 0) return fai_memory_has_records(memory) && fai_record_is_live(memory, start) ? LIVE : "an object";
    if (freed) return FREED;
    bool own = lane != NULL && fai_info_lane(info) == lane->hot.index;
    return !fai_record_is_live(memory, p) || (own && !fai_slabs_is_taken(&lane->slabs, p)) ? "is free already" : NULL;
}

/// The same where no object begins in the unit: deep inside one of the lane's large objects, what its last object left, or nothing.
static const char *describe_in_none(const fai_blocks *blocks, const fai_lane *lane, const void *p, uint32_t info,
                                    size_t *inside)
{
    uint32_t unit = fai_unit_of(blocks, p), first = unit, found = info;
    while (lane != NULL && fai_info_kind(found) == FAI_KIND_NONE && first > 0)
        found = fai_load_relaxed(&blocks->unit_info[--first]);
    if (lane != NULL && fai_info_kind(found) == FAI_KIND_SPAN && fai_info_lane(found) == lane->hot.index &&
        unit - first < blocks->slabs[first].units) {
        if (blocks->slabs[first].account == FAI_KIND_STORE) return KEPT;
        *inside = (size_t)((const unsigned char *)p - fai_unit_start(blocks, first));
        return LIVE;
    }
    if (info != FAI_INFO_FREED) return NOWHERE;
    return fai_unit_start(blocks, unit) == p ? FREED : "lies in memory that was freed already";
}

/// What is known of p, which cannot be freed from `account` (FAI_KIND_NONE: pool or heap) and is no frame memory; `lane`, if any, is the
/// caller's: it may look into its own slabs.
static const char *describe(const fai_memory *memory, const fai_lane *lane, const void *p, fai_kind account,
                            size_t *inside)
{
    const fai_blocks *blocks = &memory->blocks;
    if (!fai_blocks_contain(blocks, p)) return "is no memory of this system";
    uint32_t info = fai_load_relaxed(&blocks->unit_info[fai_unit_of(blocks, p)]);
    fai_kind kind = fai_info_kind(info);
    const char *what = NULL;
    if (kind == FAI_KIND_NONE) return describe_in_none(blocks, lane, p, info, inside);
    if (kind == FAI_KIND_POOL || kind == FAI_KIND_HEAP) {
        what = describe_in_slab(memory, lane, p, info, inside);
    } else {
        const fai_slab *span = fai_slab_of(blocks, p);
        if (kind == FAI_KIND_STORE || span->account == FAI_KIND_STORE) return KEPT;
        kind = span->account;
        *inside = (size_t)((const unsigned char *)p - fai_unit_start(blocks, span->head));
        if (*inside > 0) return LIVE;
        if (fai_slab_is_posted(blocks, p)) return FREED;
    }
    if (what != NULL) return what;
    if (account == FAI_KIND_POOL && kind == FAI_KIND_HEAP) return "is a heap object: fa_heap_free() frees it";
    if (account == FAI_KIND_HEAP && kind == FAI_KIND_POOL) return "is a pool object: fa_pool_free() frees it";
    return "was freed before its memory was handed out again";
}

static void report_bad_free(const fai_memory *memory, const fai_lane *lane, const void *p, fai_kind account)
{
    static const char note[] = "nothing was freed",
                      help[] = "free what fa_pool_alloc() gave with fa_pool_free(), what fa_heap_alloc() gave with "
                               "fa_heap_free(), once";
    if (report_escaped(memory, lane, p)) return;
    size_t inside = 0;
    const char *what = describe(memory, lane, p, account, &inside);
    if (inside > 0)
        fai_report(memory, lane, "FA201", note, help, "invalid free of %p, which points %zu bytes into %s", p, inside,
                   what);
    else
        fai_report(memory, lane, "FA201", note, help, "invalid free of %p, which %s", p, what);
}

static void report_invalid(const fai_lane *lane, const void *p)
{
    report_bad_free(lane->memory, lane, p, FAI_KIND_NONE);
}

static void free_span(fai_lane *lane, void *p)
{
    fai_slab *span = fai_slab_of(&lane->memory->blocks, p);
    if (span->account == FAI_KIND_STORE) {
        fai_store_give_own(lane, p);
        return;
    }
    int64_t size = (int64_t)span->size;
    if (span->account == FAI_KIND_POOL) {
        FAI_TALLY(lane, pool_live, -1);
        FAI_TALLY(lane, pool_live_bytes, -size);
    } else if (span->account == FAI_KIND_HEAP) {
        FAI_TALLY(lane, heap_live, -1);
        FAI_TALLY(lane, heap_live_bytes, -size);
    }
    if (span->account == FAI_KIND_POOL || span->account == FAI_KIND_HEAP)
        fai_label_refund(lane, fai_label_make(span->tag, 0), use_of(span->account), span->size);
    if (span->account != FAI_KIND_FRAME) fai_record_given(lane, p, span->size);
    mark_freed(lane, p, span->size);
    fai_span_give(&lane->slabs, span->head);
}

/// Whether p is an object of this lane's slabs that somebody has. One in quarantine is not; nor is one that fa_free_any() has linked into
/// a mailbox, which must not be filled before it is taken out.
static bool is_live(const fai_lane *lane, const void *p)
{
    if (!fai_slabs_is_taken(&lane->slabs, p)) return false;
    return !lane->exact || (fai_record_is_live(lane->memory, p) && !fai_slab_is_posted(&lane->memory->blocks, p));
}

/// Before the slab, and with it the memory, may be another lane's, the object is checked and filled.
static void give_exact(fai_lane *lane, void *p, size_t room)
{
    fai_record_given(lane, p, room);
    mark_freed(lane, p, room);
    fai_quarantine_put(lane, p);
}

static void free_pool_object(fai_lane *lane, void *p, uint32_t tag, uint32_t size_class)
{
    fai_purse *purse = fai_lane_purse(lane, tag);
    if (lane->exact) {
        if (!is_live(lane, p)) {
            report_invalid(lane, p);
            return;
        }
        give_exact(lane, p, fai_class_size(size_class));
        count_out(purse, size_class, -1);
        fai_label_refund(lane, fai_label_make(tag, 0), FAI_USE_POOL, fai_class_size(size_class));
        return;
    }
    fa_magazine *magazine = &purse->magazines[size_class];
    if (fa_magazine_push(magazine, p)) return;
    flush(lane, purse, tag, size_class, (fa_magazine_count(magazine) + 1) / 2);
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
            if (!is_live(lane, p)) {
                report_invalid(lane, p);
                return;
            }
            FAI_TALLY(lane, heap_live, -1);
            FAI_TALLY(lane, heap_live_bytes, -(int64_t)fai_class_size(size_class));
            fai_label_refund(lane, fai_label_make(fai_info_tag(info), 0), FAI_USE_HEAP, fai_class_size(size_class));
            if (lane->exact)
                give_exact(lane, p, fai_class_size(size_class));
            else
                (void)fai_slabs_give(&lane->slabs, p);
            return;
        case FAI_KIND_STORE: fai_store_give_own(lane, p); return;
        case FAI_KIND_SPAN:
            if (lane->exact && fai_slab_is_posted(&lane->memory->blocks, p)) {
                report_invalid(lane, p);
                return;
            }
            free_span(lane, p);
            return;
        case FAI_KIND_FRAME: free_span(lane, p); return;
        case FAI_KIND_ARENA:
        case FAI_KIND_NONE: report_invalid(lane, p); return;
    }
}

/// Whether users may free such units' objects by address.
static bool is_for_users(fai_kind kind)
{
    return kind == FAI_KIND_POOL || kind == FAI_KIND_HEAP || kind == FAI_KIND_SPAN;
}

fai_kind fai_memory_kind_of(const fai_memory *memory, const void *p)
{
    const fai_blocks *blocks = &memory->blocks;
    if (p == NULL || !fai_blocks_contain(blocks, p)) return FAI_KIND_NONE;
    fai_kind kind = fai_info_kind(fai_load_relaxed(&blocks->unit_info[fai_unit_of(blocks, p)]));
    if (!is_for_users(kind)) return FAI_KIND_NONE;
    const fai_slab *slab = fai_slab_of(blocks, p);
    if (!fai_slab_is_object(blocks, slab, p)) return FAI_KIND_NONE;
    if (kind != FAI_KIND_SPAN) return kind;
    return slab->account == FAI_KIND_STORE ? FAI_KIND_NONE : slab->account;
}

/// Whether the lane sees that p, an object, is free. What is on its way home to another lane still counts as live.
static bool is_free_here(const fai_lane *lane, const void *p)
{
    const fai_blocks *blocks = &lane->memory->blocks;
    uint32_t info = fai_load_relaxed(&blocks->unit_info[fai_unit_of(blocks, p)]);
    return fai_info_lane(info) == lane->hot.index && fai_kind_is_slab(fai_info_kind(info)) &&
           !fai_slabs_is_taken(&lane->slabs, p);
}

fai_kind fai_lane_kind_of(const fai_lane *lane, const void *p)
{
    fai_kind kind = fai_memory_kind_of(lane->memory, p);
    if (FA_LIKELY(!lane->checked) || p == NULL) return kind;
    if (kind != FAI_KIND_NONE && !is_free_here(lane, p)) return kind;
    if (!report_escaped(lane->memory, lane, p))
        fai_report(lane->memory, lane, "FA201",
                   "a cell or retirement takes whole, live pool and heap objects of its system",
                   "publish or retire what fa_pool_alloc() or fa_heap_alloc() gave, before it is freed",
                   "invalid use of %p, which is no live object", p);
    return FAI_KIND_NONE;
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
    if (!is_for_users(kind)) return false;
    if (kind != FAI_KIND_SPAN) return account == FAI_KIND_NONE || account == kind;
    const fai_slab *span = fai_slab_of(&memory->blocks, p);
    if (span->account == FAI_KIND_STORE || !fai_slab_is_object(&memory->blocks, span, p)) return false;
    return account == FAI_KIND_NONE || account == span->account;
}

bool fai_lane_free(fai_lane *lane, void *p, fai_kind account)
{
    const fai_blocks *blocks = &lane->memory->blocks;
    if (!fai_blocks_contain(blocks, p)) {
        report_bad_free(lane->memory, lane, p, account);
        return false;
    }
    uint32_t info = fai_load_relaxed(&blocks->unit_info[fai_unit_of(blocks, p)]);
    if (FA_UNLIKELY(!account_fits(lane->memory, p, info, account))) {
        report_bad_free(lane->memory, lane, p, account);
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
    if (p != NULL && fai_lane_may_use(lane)) (void)fai_lane_free(lane, p, FAI_KIND_POOL);
}

// Batches ---------------------------------------------------------------------------------------------------------------

/// Takes what the magazine has of `want` objects. The count of those handed out is the upper part of the word.
static size_t pop_many(fa_magazine *magazine, size_t want, void **out)
{
    uint32_t count = fa_magazine_count(magazine);
    uint32_t take = want < count ? (uint32_t)want : count;
    memcpy(out, magazine->slots + (count - take), take * sizeof *out);
    magazine->state += (uint64_t)take * 0xff;
    return take;
}

/// Up to `want` objects straight from slabs, as far as the tag's budget goes.
static size_t cut_many(fai_lane *lane, fai_purse *purse, uint32_t size_class, size_t want, void **out)
{
    uint32_t ask = want < UINT32_MAX ? (uint32_t)want : UINT32_MAX, granted = charge_objects(lane, size_class, ask);
    if (granted == 0) return 0;
    uint32_t taken = take_objects(lane, FAI_KIND_POOL, size_class, out, granted);
    count_out(purse, size_class, taken);
    purse->magazines[size_class].state += (uint64_t)taken << 8; // handed out past the magazine
    fai_label_refund(lane, fai_lane_label(lane), FAI_USE_POOL,
                     (uint64_t)(granted - taken) * fai_class_size(size_class));
    return taken;
}

/// Up to `want` objects: what is at hand, what came home, then from slabs.
static size_t take_many(fai_lane *lane, uint32_t size_class, size_t want, void **out)
{
    fai_purse *purse = current_purse(lane);
    if (purse == NULL) return 0;
    fa_magazine *magazine = &purse->magazines[size_class];
    size_t got = pop_many(magazine, want, out);
    if (got == want) return got;
    FAI_TALLY(lane, pool_refills, 1);
    lane->changed = true;
    lane->pool_used = true;
    purse->classes |= UINT64_C(1) << size_class;
    if (lane->exact) fai_mailbox_drain(lane);
    while (got < want) {
        if (!lane->exact) fai_mailbox_refill(lane, magazine);
        size_t more = pop_many(magazine, want - got, out + got);
        if (more == 0) more = cut_many(lane, purse, size_class, want - got, out + got);
        if (more == 0) break;
        got += more;
    }
    FA_ASSERT(got <= want);
    return got;
}

static size_t spans_many(fai_lane *lane, size_t n, size_t size, size_t align, void **out, const void *caller)
{
    size_t got = 0;
    while (got < n && (out[got] = alloc_span(lane, size, align, FAI_KIND_POOL, caller)) != NULL) got++;
    return got;
}

bool fa_pool_alloc_batch(fa_worker *w, size_t n, size_t size, size_t align, void **out)
{
    if (w == NULL || out == NULL || size == 0) return false;
    fai_lane *lane = fai_lane_of(w);
    if (!fai_lane_may_use(lane) || !fai_lane_align(lane, &align, FAI_POOL_ALIGN_MAX)) return false;
    size_t bytes;
    if (__builtin_mul_overflow(n, size > sizeof *out ? size : sizeof *out, &bytes))
        return fa_refuse_array(w, n, size) != NULL;
    const void *caller = __builtin_return_address(0);
    uint64_t denials = lane->denials;
    uint32_t size_class = pool_class(lane, size, align);
    bool small = size_class != FA_CLASS_COUNT;
    size_t got = small ? take_many(lane, size_class, n, out) : spans_many(lane, n, size, align, out, caller);
    if (lane->exact && small)
        for (size_t i = 0; i < got; i++) {
            mark_allocated(lane, out[i], size, fai_class_size(size_class), FAI_KIND_POOL, caller);
            fai_lane_tell_alloc(lane, FAI_KIND_POOL, out[i], size);
        }
    fai_lane_report_damage(lane);
    if (got == n) {
        fai_lane_note(lane, FA_LANE_USE_OBJECTS);
        return true;
    }
    fa_pool_free_batch(w, got, out);
    if (small && got > 0) // they were never handed out; without any, the magazines may be those that nobody writes
        w->magazines[size_class].state -= (uint64_t)got << 8;
    else if (got > 0) {
        FAI_TALLY(lane, pool_allocs, -(uint64_t)got);
        fai_ledger_add(lane, fai_lane_label(lane), FAI_USE_POOL, -(got * fai_span_size(size, align)), -(uint64_t)got);
    }
    if (small && lane->denials == denials) fai_lane_report_refused(lane, size);
    return false;
}

void fa_pool_free_batch(fa_worker *w, size_t n, void *const *objects)
{
    if (w == NULL || objects == NULL) return;
    uint64_t last_unit = UINT64_MAX; // neighbours in the array are often neighbours in memory
    fa_magazine *magazine = NULL;    // of the objects in that unit, if this lane owns them
    for (size_t i = 0; i < n; i++) {
        uint64_t unit = (uint64_t)((uintptr_t)objects[i] - w->region_base) >> FA_UNIT_SHIFT;
        if (unit != last_unit) {
            uint32_t info = unit < w->region_units ? fai_load_relaxed(&w->unit_info[unit]) : 0;
            magazine = info >> 8 == w->pool_info ? &w->magazines[info & 0xff] : NULL;
            last_unit = unit;
        }
        if (FA_UNLIKELY(magazine == NULL || !fa_magazine_push(magazine, objects[i]))) {
            fa_pool_free_slow(w, objects[i]);
            last_unit = UINT64_MAX; // a flush may have given the slab back
        }
    }
}

// The heap --------------------------------------------------------------------------------------------------------------

void *fa_heap_alloc(fa_worker *w, size_t size, size_t align)
{
    if (w == NULL) return NULL;
    fai_lane *lane = fai_lane_of(w);
    if (!fai_lane_may_use(lane) || size == 0 || !fai_lane_align(lane, &align, SIZE_MAX)) return NULL;
    uint32_t size_class = align <= FAI_POOL_ALIGN_MAX ? fai_class_aligned(size, align) : FA_CLASS_COUNT;
    if (!fai_mailbox_is_empty(&lane->mailbox)) fai_mailbox_drain(lane);
    if (size_class == FA_CLASS_COUNT) return alloc_span(lane, size, align, FAI_KIND_HEAP, __builtin_return_address(0));
    if (current_purse(lane) == NULL) {
        fai_lane_report_refused(lane, size);
        return NULL;
    }
    uint32_t bytes = fai_class_size(size_class);
    if (obtain(lane, FAI_USE_HEAP, bytes, bytes) == 0) return NULL;
    void *p;
    uint32_t taken = take_objects(lane, FAI_KIND_HEAP, size_class, &p, 1);
    fai_lane_report_damage(lane);
    if (taken == 0) {
        fai_label_refund(lane, fai_lane_label(lane), FAI_USE_HEAP, bytes);
        fai_lane_report_refused(lane, size);
        return NULL;
    }
    fai_lane_count(lane, FAI_USE_HEAP, bytes);
    lane->changed = true;
    FAI_TALLY(lane, heap_allocs, 1);
    FAI_TALLY(lane, heap_live, 1);
    FAI_TALLY(lane, heap_live_bytes, bytes);
    if (lane->exact) mark_allocated(lane, p, size, bytes, FAI_KIND_HEAP, __builtin_return_address(0));
    fai_lane_tell_alloc(lane, FAI_KIND_HEAP, p, size);
    fai_lane_note(lane, FA_LANE_USE_OBJECTS);
    return p;
}

void fa_heap_free(fa_worker *w, void *p)
{
    if (w == NULL || p == NULL || !fai_lane_may_use(fai_lane_of(w))) return;
    (void)fai_lane_free(fai_lane_of(w), p, FAI_KIND_HEAP);
}

void fa_free_any(fa_system *fa, void *p)
{
    fai_memory *memory = (fai_memory *)(void *)fa;
    if (fa == NULL || p == NULL) return;
    // Its first word will link it, so it must really be an object.
    if (fai_memory_kind_of(memory, p) == FAI_KIND_NONE || !fai_record_is_live(memory, p)) {
        report_bad_free(memory, NULL, p, FAI_KIND_NONE);
        return;
    }
    uint32_t info = fai_load_relaxed(&memory->blocks.unit_info[fai_unit_of(&memory->blocks, p)]);
    if (!fai_slab_post(&memory->blocks, p)) {
        fai_report(memory, NULL, "FA201", "it was freed a moment ago and is still on its way home",
                   "free each object once", "invalid free of %p, which was freed already", p);
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
    const fai_lane *lane = memory->config.checked ? fai_lane_self(memory) : NULL;
    if (lane != NULL && is_free_here(lane, p)) {
        fai_report(memory, lane, "FA201", "the object was freed", "ask for the size of live objects only",
                   "invalid use of %p, which is no live object", p);
        return 0;
    }
    size_t size = object_size(memory, p, fai_load_relaxed(&memory->blocks.unit_info[fai_unit_of(&memory->blocks, p)]));
    fai_record_use_all(memory, (void *)(uintptr_t)p, size); // who asks may write it all
    return size;
}
