// SPDX-License-Identifier: MIT
//
// The library's own memory, see store.h.
#include "alloc/store.h"

#include "concurrent/annotate.h"
#include "concurrent/check.h"

#define STORE_ALIGN_MAX 4096u

void *fai_store_take(fai_lane *lane, size_t size, size_t align)
{
    FA_ASSERT(size > 0 && align > 0 && (align & (align - 1)) == 0);
    uint32_t size_class = align <= STORE_ALIGN_MAX ? fai_class_aligned(size, align) : FA_CLASS_COUNT;
    void *p = NULL;
    if (size_class == FA_CLASS_COUNT)
        p = fai_span_take(&lane->slabs, size, align, 0, FAI_KIND_SPAN, FAI_KIND_STORE);
    else if (fai_slabs_take(&lane->slabs, 0, FAI_KIND_STORE, size_class, &p, 1) == 0)
        p = NULL;
    if (p != NULL) fai_allow(p, size);
    return p;
}

static uint32_t info_of(const fai_memory *memory, const void *p)
{
    FA_ASSERT(fai_blocks_contain(&memory->blocks, p));
    return fai_load_relaxed(&memory->blocks.unit_info[fai_unit_of(&memory->blocks, p)]);
}

void fai_store_give_own(fai_lane *lane, void *p)
{
    uint32_t info = info_of(lane->memory, p);
    FA_ASSERT(fai_info_lane(info) == lane->hot.index);
    size_t size = fai_store_size(lane->memory, p);
    fai_forbid(p, size);
    if (fai_info_kind(info) == FAI_KIND_SPAN) {
        fai_span_give(&lane->slabs, fai_unit_of(&lane->memory->blocks, p));
    } else {
        bool given = fai_slabs_give(&lane->slabs, p);
        FA_ASSERT(given);
        (void)given;
    }
}

void fai_store_give(fai_lane *lane, void *p)
{
    uint32_t owner = fai_info_lane(info_of(lane->memory, p));
    if (owner == lane->hot.index)
        fai_store_give_own(lane, p);
    else
        fai_outbox_add(lane, owner, p, fai_store_size(lane->memory, p));
}

bool fai_store_has(const fai_memory *memory, const void *p)
{
    uint32_t info = info_of(memory, p);
    if (fai_info_kind(info) != FAI_KIND_SPAN) return fai_info_kind(info) == FAI_KIND_STORE;
    return fai_slab_of(&memory->blocks, p)->account == FAI_KIND_STORE;
}

size_t fai_store_room(size_t size, size_t align)
{
    uint32_t size_class = align <= STORE_ALIGN_MAX ? fai_class_aligned(size, align) : FA_CLASS_COUNT;
    return size_class == FA_CLASS_COUNT ? fai_span_size(size, align) : fai_class_size(size_class);
}

size_t fai_store_size(const fai_memory *memory, const void *p)
{
    uint32_t info = info_of(memory, p);
    if (fai_info_kind(info) == FAI_KIND_STORE) return fai_class_size(fai_info_class(info));
    const fai_slab *span = fai_slab_of(&memory->blocks, p);
    FA_ASSERT(fai_info_kind(info) == FAI_KIND_SPAN && span->account == FAI_KIND_STORE);
    return span->size;
}
