// SPDX-License-Identifier: MIT
//
// Allocator tables: see allocator.h. A memory is a row: what allocates, what frees, and what may keep an object where it is; moving is the same
// for all.
#include "alloc/lane.h"
#include "concurrent/annotate.h"

#include <framealloc/allocator.h>

#include <string.h>

/// Everything that a table gives is aligned to 16 at least; 0 asks for no more.
static bool is_aligned(const void *p, size_t align)
{
    return align == 0 || ((uintptr_t)p & (align - 1)) == 0;
}

static void *move(const fa_allocator *a, void *p, size_t have, size_t new_size, size_t align)
{
    void *moved = a->alloc(a->ctx, new_size, align);
    if (moved == NULL) return NULL;
    memcpy(moved, p, have < new_size ? have : new_size);
    a->free(a->ctx, p, have);
    return moved;
}

// Frame and scope -------------------------------------------------------------------------------------------------------

static void *frame_alloc(void *ctx, size_t size, size_t align)
{
    return ctx != NULL ? fa_frame_alloc_aligned(ctx, size, align) : NULL;
}

static void *scope_alloc(void *ctx, size_t size, size_t align)
{
    return ctx != NULL ? fa_scope_alloc_aligned(ctx, size, align) : NULL;
}

void fai_table_keep(void *ctx, void *p, size_t size)
{
    (void)ctx;
    (void)p;
    (void)size;
}

static void *frame_realloc(void *ctx, void *p, size_t old_size, size_t new_size, size_t align)
{
    if (p == NULL) return frame_alloc(ctx, new_size, align);
    if (ctx == NULL || new_size == 0) return NULL;
    if (is_aligned(p, align) &&
        (new_size <= old_size || fai_lane_extend_frame(fai_lane_of(ctx), p, old_size, new_size)))
        return p;
    fa_allocator a = {frame_alloc, frame_realloc, fai_table_keep, ctx};
    return move(&a, p, old_size, new_size, align);
}

static void *scope_realloc(void *ctx, void *p, size_t old_size, size_t new_size, size_t align)
{
    if (p == NULL) return scope_alloc(ctx, new_size, align);
    if (ctx == NULL || new_size == 0) return NULL;
    if (is_aligned(p, align) &&
        (new_size <= old_size || fai_lane_extend_scope(fai_lane_of(ctx), p, old_size, new_size)))
        return p;
    fa_allocator a = {scope_alloc, scope_realloc, fai_table_keep, ctx};
    return move(&a, p, old_size, new_size, align);
}

// Groups and scratch pools ----------------------------------------------------------------------------------------------

static void *group_alloc(void *ctx, size_t size, size_t align)
{
    const fa_group_source *source = ctx;
    return source != NULL ? fa_group_alloc(source->worker, source->group, size, align) : NULL;
}

static void *scratch_alloc(void *ctx, size_t size, size_t align)
{
    const fa_scratch_source *source = ctx;
    return source != NULL ? fa_scratch_alloc(source->worker, source->pool, size, align) : NULL;
}

void *fai_table_realloc(const fa_allocator *a, void *p, size_t old_size, size_t new_size, size_t align)
{
    if (p == NULL) return a->alloc(a->ctx, new_size, align);
    if (a->ctx == NULL || new_size == 0) return NULL;
    return is_aligned(p, align) && new_size <= old_size ? p : move(a, p, old_size, new_size, align);
}

static void *group_realloc(void *ctx, void *p, size_t old_size, size_t new_size, size_t align)
{
    fa_allocator a = fa_allocator_group(ctx);
    return fai_table_realloc(&a, p, old_size, new_size, align);
}

static void *scratch_realloc(void *ctx, void *p, size_t old_size, size_t new_size, size_t align)
{
    fa_allocator a = fa_allocator_scratch(ctx);
    return fai_table_realloc(&a, p, old_size, new_size, align);
}

// Pool and heap ---------------------------------------------------------------------------------------------------------

static void *pool_alloc(void *ctx, size_t size, size_t align)
{
    return ctx != NULL ? fa_pool_alloc_aligned(ctx, size, align) : NULL;
}

static void *heap_alloc(void *ctx, size_t size, size_t align)
{
    return fa_heap_alloc(ctx, size, align);
}

static void pool_free(void *ctx, void *p, size_t size)
{
    (void)size;
    if (ctx != NULL) fa_pool_free(ctx, p);
}

static void heap_free(void *ctx, void *p, size_t size)
{
    (void)size;
    fa_heap_free(ctx, p);
}

/// The object's size; 0 and a diagnostic if it is none of this account.
static size_t size_of(fai_lane *lane, void *p, fai_kind account)
{
    if (fai_memory_kind_of(lane->memory, p) == account) return fa_usable_size(lane->hot.system, p);
    fai_report(lane->memory, lane, "FA201", "it is no live object of this system, or of the other kind",
               "pass realloc what alloc of the same table gave", "invalid realloc of %p", p);
    return 0;
}

static void *object_realloc(const fa_allocator *a, fai_kind account, void *p, size_t old_size, size_t new_size,
                            size_t align)
{
    if (p == NULL) return a->alloc(a->ctx, new_size, align);
    if (a->ctx == NULL || !fai_lane_may_use(fai_lane_of(a->ctx))) return NULL;
    size_t usable = size_of(fai_lane_of(a->ctx), p, account);
    if (usable == 0) return NULL;
    if (new_size == 0) {
        a->free(a->ctx, p, old_size);
        return NULL;
    }
    bool fits = is_aligned(p, align) && new_size <= usable;
    bool is_snug = new_size > usable / 2 || usable <= FA_ALIGN_DEFAULT;
    void *moved = fits && is_snug ? NULL : move(a, p, old_size < usable ? old_size : usable, new_size, align);
    if (moved != NULL || !fits) return moved;
    fai_allow(p, new_size);
    return p; // also when a smaller place was refused: this one is still right
}

static void *pool_realloc(void *ctx, void *p, size_t old_size, size_t new_size, size_t align)
{
    fa_allocator a = fa_allocator_pool(ctx);
    return object_realloc(&a, FAI_KIND_POOL, p, old_size, new_size, align);
}

static void *heap_realloc(void *ctx, void *p, size_t old_size, size_t new_size, size_t align)
{
    fa_allocator a = fa_allocator_heap(ctx);
    return object_realloc(&a, FAI_KIND_HEAP, p, old_size, new_size, align);
}

// Tables ----------------------------------------------------------------------------------------------------------------

fa_allocator fa_allocator_frame(fa_worker *w)
{
    return (fa_allocator){frame_alloc, frame_realloc, fai_table_keep, w};
}

fa_allocator fa_allocator_scope(fa_worker *w)
{
    return (fa_allocator){scope_alloc, scope_realloc, fai_table_keep, w};
}

fa_allocator fa_allocator_pool(fa_worker *w)
{
    return (fa_allocator){pool_alloc, pool_realloc, pool_free, w};
}

fa_allocator fa_allocator_heap(fa_worker *w)
{
    return (fa_allocator){heap_alloc, heap_realloc, heap_free, w};
}

fa_allocator fa_allocator_group(fa_group_source *source)
{
    return (fa_allocator){group_alloc, group_realloc, fai_table_keep, source};
}

fa_allocator fa_allocator_scratch(fa_scratch_source *source)
{
    return (fa_allocator){scratch_alloc, scratch_realloc, fai_table_keep, source};
}
