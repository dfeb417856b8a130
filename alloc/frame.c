// SPDX-License-Identifier: MIT
//
// Frame and scope memory of a lane: slow paths, checkpoints, scopes. The cursor in use lives in the lane's fa_worker; every slow path
// stores it into the arena, works there and loads it back.
#include "alloc/lane.h"
#include "concurrent/annotate.h"
#include "concurrent/check.h"

#include <string.h>

#define ALLOCATED_BYTE 0xcd

/// In a checked system windows are empty, and only this file moves them.
static bool is_overwritten(const fai_lane *lane, const fai_arena *arena, const unsigned char *cursor,
                           const unsigned char *end)
{
    return FA_UNLIKELY(lane->checked) && (cursor != arena->cursor || end != cursor);
}

__attribute__((noinline, cold)) static void report_overwritten(const fai_lane *lane)
{
    fai_report(lane->memory, lane, "FA901", "its windows were put right; objects beside it may be damaged too",
               "look for wild writes near a fa_worker; if there are none, this is a bug of the library",
               "the context of lane %u was overwritten", (unsigned)lane->hot.index);
}

FAI_FRAME_END FAI_APART fai_arena *fai_lane_store_frame(fai_lane *lane)
{
    FA_ASSERT(lane->slot != FAI_NO_SLOT);
    fai_arena *arena = &lane->frames[lane->slot].arena;
    if (is_overwritten(lane, arena, lane->hot.frame_cursor, lane->hot.frame_end)) {
        fai_lane_load_frame(lane);
        report_overwritten(lane);
    }
    arena->cursor = lane->hot.frame_cursor;
    return arena;
}

/// The end of the window that inlined code may use. While large allocations are watched it is no larger than one, so that they all come here.
static unsigned char *window_end(const fai_lane *lane, const fai_arena *arena)
{
    if (lane->exact) return arena->cursor;
    if (FA_LIKELY(!fai_lane_watches(lane, FA_EVENT_BIT(FA_EVENT_LARGE_ALLOCATION)))) return arena->end;
    uint64_t large = lane->memory->config.large_bytes & ~(uint64_t)(FA_ALIGN_DEFAULT - 1);
    return large == 0 || large >= (uint64_t)(arena->end - arena->cursor) ? arena->end : arena->cursor + large;
}

static void end_window_at_limit(fai_lane *lane, const fai_arena *arena)
{
    uint64_t room = fai_lane_budget_room(&lane->budgets[FA_LANE_USE_FRAME], fai_arena_bytes(arena));
    if (room < (uint64_t)(lane->hot.frame_end - arena->cursor))
        lane->hot.frame_end = arena->cursor + (room & ~UINT64_C(15));
}

FAI_FRAME_BEGIN void fai_lane_load_frame(fai_lane *lane)
{
    const fai_arena *arena = &lane->frames[lane->slot].arena;
    lane->hot.frame_cursor = arena->cursor;
    lane->hot.frame_end = lane->counts_frame ? arena->cursor : window_end(lane, arena);
    if (FA_STATISTICS && FA_UNLIKELY(fai_lane_budget_is_set(&lane->budgets[FA_LANE_USE_FRAME])))
        end_window_at_limit(lane, arena);
    if (fai_label_tag(fai_lane_label(lane)) == 0 || lane->counts_frame) return;
    uint64_t paid = lane->credit - (fai_arena_bytes(arena) - lane->label_bytes);
    if (paid < (uint64_t)(lane->hot.frame_end - arena->cursor))
        lane->hot.frame_end = arena->cursor + (paid & ~UINT64_C(15));
}

static void load_scope(fai_lane *lane)
{
    lane->hot.scope_cursor = lane->scope.cursor;
    lane->hot.scope_end = window_end(lane, &lane->scope);
}

static fai_arena *store_scope(fai_lane *lane)
{
    if (is_overwritten(lane, &lane->scope, lane->hot.scope_cursor, lane->hot.scope_end)) {
        load_scope(lane);
        report_overwritten(lane);
    }
    lane->scope.cursor = lane->hot.scope_cursor;
    return &lane->scope;
}

/// The list of starts goes with the frame, checkpoints stay: once there are labels, their rollbacks end here. A worker has none outside jobs.
FAI_APART static void forget_starts(fai_lane *lane)
{
    lane->start_count = 0;
    if (lane->depth == 0 && lane->hot.index - 1 < lane->memory->config.worker_count)
        lane->starts_wanted = false;
    else if (FA_STATISTICS && fai_load_relaxed(&lane->memory->labelled))
        fai_lane_keep_frame(lane);
}

FAI_FRAME_END void fai_lane_leave_frame(fai_lane *lane)
{
    if (lane->slot == FAI_NO_SLOT) return;
    fai_lane_note(lane, FA_LANE_USE_FRAME);
    (void)fai_lane_store_frame(lane);
    if (fai_lane_label(lane) != 0) fai_lane_suspend_label(lane);
    if (FA_UNLIKELY(lane->starts_wanted)) forget_starts(lane);
    lane->slot = lane->gate = FAI_NO_SLOT;
    lane->hot.frame_cursor = lane->hot.frame_end = NULL;
}

FAI_FRAME_BEGIN void fai_lane_switch_frame(fai_lane *lane, uint32_t slot, uint64_t number)
{
    if (lane->slot != FAI_NO_SLOT) fai_lane_leave_frame(lane);
    if (slot == FAI_NO_SLOT) return;
    FA_ASSERT(slot < lane->memory->config.frames_in_flight);
    lane->slot = slot;
    lane->gate = fai_lane_gate(lane);
    lane->frame_number = number;
    lane->hot.frame_cursor = lane->hot.frame_end = lane->frames[slot].arena.cursor;
    if (fai_lane_label(lane) != 0) fai_lane_resume_label(lane);
    fai_lane_load_frame(lane);
}

static void report_exhausted(fai_lane *lane, size_t size)
{
    if (lane->exhausted_frame == lane->frame_number) return;
    lane->exhausted_frame = lane->frame_number;
    fai_report(lane->memory, lane, "FA003",
               "frame_bytes_max, memory_max or the system refused more; reported once per frame and lane",
               "raise the limit, or allocate less per frame",
               "frame or scope memory exhausted by an allocation of %zu bytes", size);
}

/// In checked systems: memory that is handed out must still be as it was left when it was freed.
static void verify_and_fill(const fai_lane *lane, void *p, size_t size)
{
    size_t filled = fai_arena_filled(&lane->memory->blocks, p, size);
    bool intact = filled == 0 || fa_is_poisoned(p, filled);
    memset(p, ALLOCATED_BYTE, size);
    if (!intact)
        fai_report(lane->memory, lane, "FA002",
                   "a pointer outlived its frame, scope or checkpoint, or what lies before was written past its end",
                   "drop pointers with their frame; fa_check() before a use, and AddressSanitizer, find the place",
                   "the frame or scope memory now allocated at %p was written while it was free", p);
}

static void *alloc_frame(fai_lane *lane, size_t size, size_t align)
{
    fai_arena *arena = fai_lane_store_frame(lane);
    void *p = fai_arena_alloc(arena, &lane->slabs, size, align, (size_t)lane->memory->config.frame_bytes_max);
    fai_lane_load_frame(lane);
    return p;
}

static void *alloc_scope(fai_lane *lane, size_t size, size_t align)
{
    lane->scope_used = true;
    void *p = fai_arena_alloc(store_scope(lane), &lane->slabs, size, align, 0);
    load_scope(lane);
    return p;
}

/// Most bytes by which an allocation can fill the arena further.
static uint64_t most_bytes(const fai_lane *lane, size_t size, size_t align)
{
    if (size > lane->memory->blocks.bytes) return size;
    size_t gap = align > FA_ALIGN_DEFAULT ? align - FA_ALIGN_DEFAULT : 0;
    if (size + gap > FAI_ARENA_SPAN_MIN) return fai_span_size(size, align);
    return ((size + FA_ALIGN_DEFAULT - 1) & ~(size_t)(FA_ALIGN_DEFAULT - 1)) + gap;
}

/// Whether the budgets of tag and lane allow `bytes` more. The lane comes last: a sink that hears of the tag's budget may have allocated.
static bool may_allocate(fai_lane *lane, uint64_t bytes)
{
    if (fai_label_tag(fai_lane_label(lane)) != 0 && !fai_lane_reserve_frame(lane, bytes)) return false;
    return fai_lane_grant(lane, FA_LANE_USE_FRAME, bytes, bytes) != 0;
}

void *fa_frame_alloc_slow(fa_worker *w, size_t size, size_t align)
{
    fai_lane *lane = fai_lane_of(w);
    if (!fai_lane_may_use(lane) || size == 0 || !fai_lane_align(lane, &align, SIZE_MAX)) return NULL;
    if (lane->slot == FAI_NO_SLOT) {
        fai_report_outside(lane, "frame allocation");
        return NULL;
    }
    if (!may_allocate(lane, most_bytes(lane, size, align))) return NULL;
    void *p = alloc_frame(lane, size, align);
    if (p == NULL) { // once more if something can be given back; a sink that it calls may have used what was granted
        fai_lane_trim(lane);
        if (!may_allocate(lane, most_bytes(lane, size, align))) return NULL;
        p = alloc_frame(lane, size, align);
    }
    if (p == NULL) report_exhausted(lane, size);
    if (p != NULL && lane->counts_frame) fai_lane_count(lane, FAI_USE_FRAME, 0);
    if (p != NULL) fai_lane_note_large(lane, "frame", size);
    if (FA_UNLIKELY(lane->checked) && p != NULL) verify_and_fill(lane, p, size);
    if (p != NULL) fai_lane_note(lane, FA_LANE_USE_FRAME);
    return p;
}

/// Whether the window of scope memory is all that its block has left, so that it may be moved without a look at the arena.
static bool has_plain_window(const fai_lane *lane)
{
    return !lane->exact && !fai_lane_watches(lane, FA_EVENT_BIT(FA_EVENT_LARGE_ALLOCATION));
}

/// The block that the last scope or job left, without a look at anything else: each job's first allocation comes here. NULL: it is more than that.
static void *reopen_scope(fai_lane *lane, size_t size, size_t align)
{
    fai_arena *scope = &lane->scope;
    bool is_small = size <= FAI_ARENA_SPAN_MIN && align <= FA_ALIGN_DEFAULT;
    if (scope->ordinal != 0 || scope->first == FAI_INDEX_NONE || !is_small || !has_plain_window(lane)) return NULL;
    unsigned char *start = fai_block_start(&lane->memory->blocks, scope->first);
    scope->current = scope->first;
    scope->ordinal = 1;
    scope->start = scope->cursor = start;
    scope->end = start + FAI_BLOCK_BYTES;
    lane->hot.scope_cursor = start + ((size + (FA_ALIGN_DEFAULT - 1)) & ~(size_t)(FA_ALIGN_DEFAULT - 1));
    lane->hot.scope_end = scope->end;
    lane->scope_used = true;
    return start;
}

void *fa_scope_alloc_slow(fa_worker *w, size_t size, size_t align)
{
    fai_lane *lane = fai_lane_of(w);
    if (!fai_lane_may_use(lane) || size == 0 || !fai_lane_align(lane, &align, SIZE_MAX)) return NULL;
    void *p = reopen_scope(lane, size, align);
    if (p != NULL) return p;
    p = alloc_scope(lane, size, align);
    if (p == NULL) {
        fai_lane_trim(lane);
        p = alloc_scope(lane, size, align);
    }
    if (p == NULL) report_exhausted(lane, size);
    if (p != NULL) fai_lane_note_large(lane, "scope", size);
    if (FA_UNLIKELY(lane->checked) && p != NULL) verify_and_fill(lane, p, size);
    return p;
}

/// Rewinds within the current block, or closes the only one. False: it is more than that.
static bool rewind_scope_in_block(fai_lane *lane, fa_arena_mark mark)
{
    fai_arena *scope = &lane->scope;
    if (mark.spans != scope->span_count || !has_plain_window(lane)) return false;
    if (mark.block == 0 && scope->ordinal == 1) {
        scope->ordinal = 0;
        scope->cursor = scope->start = scope->end = NULL;
        lane->hot.scope_cursor = lane->hot.scope_end = NULL;
        return true;
    }
    size_t back = (size_t)(lane->hot.scope_cursor - mark.cursor);
    if (mark.block != scope->ordinal || back > (size_t)(lane->hot.scope_cursor - scope->start)) return false;
    lane->hot.scope_cursor = mark.cursor;
    return true;
}

void fai_lane_rewind_scope(fai_lane *lane, fa_arena_mark mark)
{
    if (rewind_scope_in_block(lane, mark)) return;
    fai_arena_rewind(store_scope(lane), &lane->slabs, mark, 0, lane->memory->config.checked);
    load_scope(lane);
}

fa_scope fa_scope_begin(fa_worker *w)
{
    if (w == NULL || !fai_lane_may_use(fai_lane_of(w))) return (fa_scope){0};
    return (fa_scope){w, fai_lane_scope_mark(fai_lane_of(w))};
}

void fa_scope_end(fa_scope *scope)
{
    if (scope == NULL || scope->worker == NULL) return;
    fai_lane *lane = fai_lane_of(scope->worker);
    if (!fai_lane_may_use(lane)) return;
    if (scope->mark.cursor != lane->hot.scope_cursor || !fai_mark_is(scope->mark, fai_lane_scope_mark(lane)))
        fai_lane_rewind_scope(lane, scope->mark);
}

// In place --------------------------------------------------------------------------------------------------------------

/// What an allocation has grown by is handed out like a new one: all but the rest of its last 16 bytes, which it may have used before it shrank.
static void verify_growth(const fai_lane *lane, unsigned char *p, size_t old_size, size_t new_size)
{
    size_t rounded = (old_size + (FA_ALIGN_DEFAULT - 1)) & ~(size_t)(FA_ALIGN_DEFAULT - 1);
    size_t own = rounded < new_size ? rounded : new_size;
    memset(p + old_size, ALLOCATED_BYTE, own - old_size);
    if (new_size > own) verify_and_fill(lane, p + own, new_size - own);
}

bool fai_lane_extend_frame(fai_lane *lane, void *p, size_t old_size, size_t new_size)
{
    if (!fai_lane_may_use(lane) || lane->slot == FAI_NO_SLOT) return false;
    fai_arena *arena = fai_lane_store_frame(lane);
    uint64_t more = (uint64_t)(new_size - old_size) + FA_ALIGN_DEFAULT; // at most
    // If not, a sink that heard of it may have allocated: the window is as it left it.
    if (new_size <= FAI_ARENA_SPAN_MIN && !may_allocate(lane, more)) return false;
    bool extended = fai_arena_extend(arena, p, old_size, new_size);
    fai_lane_load_frame(lane);
    if (FA_UNLIKELY(lane->checked) && extended) verify_growth(lane, p, old_size, new_size);
    if (extended) fai_lane_note(lane, FA_LANE_USE_FRAME);
    return extended;
}

bool fai_lane_extend_scope(fai_lane *lane, void *p, size_t old_size, size_t new_size)
{
    if (!fai_lane_may_use(lane)) return false;
    bool extended = fai_arena_extend(store_scope(lane), p, old_size, new_size);
    load_scope(lane);
    if (FA_UNLIKELY(lane->checked) && extended) verify_growth(lane, p, old_size, new_size);
    return extended;
}

// Arrays ----------------------------------------------------------------------------------------------------------------

bool fai_lane_align(const fai_lane *lane, size_t *align, size_t most)
{
    bool is_power = (*align & (*align - 1)) == 0;
    if (FA_LIKELY(is_power && *align <= most)) {
        if (*align < FA_ALIGN_DEFAULT) *align = FA_ALIGN_DEFAULT;
        return true;
    }
    fai_report(lane->memory, lane, "FA903", "an alignment is a power of two, in the pool at most 4096",
               is_power ? "ask the heap for more than 4096" : "pass _Alignof of the type, or 0 for 16",
               "alignment %zu refused", *align);
    return false;
}

void *fa_refuse_array(fa_worker *w, size_t count, size_t size)
{
    if (w == NULL || !fai_lane_may_use(fai_lane_of(w))) return NULL;
    fai_report(fai_lane_of(w)->memory, fai_lane_of(w), "FA914", "the number of bytes does not fit in size_t",
               "check the count before you allocate", "an array of %zu elements of %zu bytes cannot be had", count,
               size);
    return NULL;
}

bool fa_frame_alloc_batch(fa_worker *w, size_t n, size_t size, size_t align, void **out)
{
    if (w == NULL || out == NULL || size == 0) return false;
    if (!fai_lane_may_use(fai_lane_of(w)) || !fai_lane_align(fai_lane_of(w), &align, SIZE_MAX)) return false;
    if (n == 0) return true;
    size_t stride, bytes;
    if (__builtin_add_overflow(size, align - 1, &stride) || __builtin_mul_overflow(stride & ~(align - 1), n, &bytes))
        return fa_refuse_array(w, n, size) != NULL;
    stride &= ~(align - 1);
    unsigned char *p = fa_frame_alloc_aligned(w, bytes, align);
    if (p == NULL) return false;
    for (size_t i = 0; i < n; i++) out[i] = p + i * stride;
    return true;
}

// Checkpoints -----------------------------------------------------------------------------------------------------------

fa_checkpoint fa_checkpoint_take(fa_worker *w)
{
    if (w == NULL || !fai_lane_may_use(fai_lane_of(w))) return (fa_checkpoint){.lane = UINT32_MAX};
    fai_lane *lane = fai_lane_of(w);
    lane->starts_wanted = true;
    return (fa_checkpoint){
        .frame = fai_lane_frame_mark(lane),
        .scope = fai_lane_scope_mark(lane),
        .frame_number = lane->slot == FAI_NO_SLOT ? 0 : lane->frame_number,
        .serial = fai_lane_serial(lane),
        .taken = ++lane->checkpoints,
        .retained = lane->slot == FAI_NO_SLOT ? 0 : lane->frames[lane->slot].retained.made,
        .lane = w->index,
    };
}

/// Whether the checkpoint is one of this lane's current job and frame, and memory still reaches it.
static bool is_live(const fai_lane *lane, const fa_checkpoint *checkpoint)
{
    uint64_t frame = lane->slot == FAI_NO_SLOT ? 0 : lane->frame_number;
    if (checkpoint->lane != lane->hot.index || checkpoint->frame_number != frame) return false;
    if (checkpoint->serial != fai_lane_serial(lane)) return false;
    if (checkpoint->taken <= lane->checkpoints_first || checkpoint->taken > lane->checkpoints) return false;
    for (uint32_t i = lane->stale_count; i-- > 0 && lane->stale[i].upto >= checkpoint->taken;)
        if (checkpoint->taken > lane->stale[i].after) return false;
    return !fai_mark_before(fai_lane_frame_mark(lane), checkpoint->frame) &&
           !fai_mark_before(fai_lane_scope_mark(lane), checkpoint->scope);
}

/// Room for one more range of stale checkpoints. Without memory for it the two newest ranges become one, and the checkpoints between them
/// count as stale although they were not rolled back past.
static void reserve_stale(fai_lane *lane)
{
    if (lane->stale_count < lane->stale_capacity) return;
    void *stale = lane->stale;
    if (fai_lane_grow(lane, &stale, lane->stale_count, &lane->stale_capacity, sizeof *lane->stale))
        lane->stale = stale;
    else
        lane->stale_count--;
}

/// Checkpoints taken after the one that is rolled back to are stale from now on. Ranges of numbers lie apart and rise.
static void make_stale(fai_lane *lane, uint64_t after)
{
    while (lane->stale_count > 0 && lane->stale[lane->stale_count - 1].after >= after) lane->stale_count--;
    if (after == lane->checkpoints) return;
    uint32_t before = lane->stale_count;
    reserve_stale(lane);
    if (lane->stale_count < before) after = lane->stale[lane->stale_count].after;
    FA_ASSERT(lane->stale_count < lane->stale_capacity);
    lane->stale[lane->stale_count++] = (fai_stale){after, lane->checkpoints};
}

fa_status fa_checkpoint_rollback(fa_worker *w, fa_checkpoint checkpoint)
{
    if (w == NULL) return FA_ERROR_INVALID;
    fai_lane *lane = fai_lane_of(w);
    fa_status usable = fai_lane_check(lane);
    if (usable != FA_OK) return usable;
    if (!is_live(lane, &checkpoint)) return FA_ERROR_STALE;
    fai_lane_rewind_scope(lane, checkpoint.scope);
    make_stale(lane, checkpoint.taken);
    if (lane->slot == FAI_NO_SLOT) return FA_OK;
    fai_lane_forget_retained(lane, checkpoint.retained);
    fai_lane_settle_label(lane);
    fai_arena *arena = fai_lane_store_frame(lane);
    uint64_t before = fai_arena_bytes(arena);
    const fa_config *config = &lane->memory->config;
    fai_arena_rewind(arena, &lane->slabs, checkpoint.frame, (size_t)config->frame_bytes_max, config->checked);
    lane->hot.frame_cursor = lane->hot.frame_end = arena->cursor;
    if (FA_STATISTICS && fai_load_relaxed(&lane->memory->labelled)) fai_lane_unwind_label(lane, before);
    fai_lane_load_frame(lane);
    return FA_OK;
}
