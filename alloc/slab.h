// SPDX-License-Identifier: MIT
//
// Slabs and spans: runs of units (64 KiB) that one lane owns. A slab holds objects of one size class and a bit for each
// that is free; a span holds one large object. Both are described outside their memory, at the number of their first unit.
//
//     slab: free_count == number of 1 bits in free_bits; the other objects are with users, in magazines or on their
//           way home
//     a slab is on its lane's list of its kind and class exactly while free_count > 0
//
// Everything here is owner-only: the lane's thread, or a proxy that has claimed the lane.
#pragma once

#include "alloc/blocks.h"

#define FAI_SLAB_BITS 4096
/// Records of objects per unit (records.h), in checked systems.
#define FAI_UNIT_RECORDS FAI_SLAB_BITS

typedef struct fai_slab {
    uint32_t head; // first unit, set for every unit of the slab
    uint32_t units;
    uint32_t object_size;
    uint32_t reciprocal; // ceil(2^32 / object_size)
    uint32_t capacity;
    uint32_t free_count;
    uint32_t next, previous; // list of slabs with free objects; `next` also chains an arena's spans
    uint32_t size_class;
    uint32_t tag; // that pays for the objects
    fai_kind kind;
    fai_kind account; // of a span: POOL, HEAP, FRAME or STORE
    uint32_t hint;    // first word of free_bits that may have a bit set
    bool former;      // checked systems: given back, its units too, but not yet its records and pattern
    size_t size;      // of a span: bytes reserved
    uint64_t free_bits[FAI_SLAB_BITS / 64];
    // shared: bit per object that links itself into a mailbox (fa_free_any)
    FAI_ATOMIC(uint64_t) posted[FAI_SLAB_BITS / 64];
} fai_slab;

typedef struct fai_slab_list {
    uint32_t first; // unit of a slab with free objects, FAI_INDEX_NONE if none
} fai_slab_list;

/// A freed object that was written, found where no sink may be called.
typedef struct fai_written {
    const void *object;
    uint64_t record;
    size_t offset;
} fai_written;

#define FAI_WRITTEN_KEPT 32u

/// Slabs with free objects under one tag.
typedef struct fai_slab_lists {
    fai_slab_list pool[FA_CLASS_COUNT];
    fai_slab_list heap[FA_CLASS_COUNT];
} fai_slab_lists;

/// All slabs and blocks of one lane.
typedef struct fai_slabs {
    // immutable after init
    fai_blocks *blocks;
    fa_contention *contention;
    uint32_t lane;
    // owner
    uint32_t open;                       // first block with free units, FAI_INDEX_NONE if none
    uint32_t pool_slabs[FA_CLASS_COUNT]; // how many there are, full ones included
    fai_slab_list store[FA_CLASS_COUNT];
    fai_slab_lists **tagged; // by tag, NULL where the lane never had one
    uint64_t refused;
    bool verify;            // every slab before something is taken from it
    uint32_t damaged;       // slabs that were found otherwise than the rule above says, and are not taken from any more
    uint32_t written_count; // objects of former slabs, not reported yet; the first of them are in `written`
    fai_written written[FAI_WRITTEN_KEPT];
} fai_slabs;

/// `tagged` holds room for every tag, all NULL.
void fai_slabs_init(fai_slabs *slabs, fai_blocks *blocks, fa_contention *contention, uint32_t lane,
                    fai_slab_lists **tagged);

/// Empty lists for a tag that the lane uses for the first time; the owner keeps them until the end.
void fai_slabs_add_tag(fai_slabs *slabs, uint32_t tag, fai_slab_lists *lists);

uint32_t fai_class_size(uint32_t size_class);

/// Objects in a slab of the class.
uint32_t fai_class_capacity(uint32_t size_class);

/// The smallest class of at least `size` whose objects are aligned to `align` (a power of two up to 4096); FA_CLASS_COUNT if there is none.
uint32_t fai_class_aligned(size_t size, size_t align);

/// Takes up to `want` free objects of a class from slabs that `tag` pays for (0 for the store); returns how many. Addresses fall, so that
/// a magazine hands them out rising.
uint32_t fai_slabs_take(fai_slabs *slabs, uint32_t tag, fai_kind kind, uint32_t size_class, void **objects,
                        uint32_t want);

/// Whether p is an object of this lane's slabs that is not free.
bool fai_slabs_is_taken(const fai_slabs *slabs, const void *p);

/// Takes back one object of this lane. False: it is no object, or free already; nothing changes.
bool fai_slabs_give(fai_slabs *slabs, void *object);

/// A span of at least `size` bytes at `align`, owned by this lane; NULL when refused.
void *fai_span_take(fai_slabs *slabs, size_t size, size_t align, uint32_t tag, fai_kind kind, fai_kind account);

/// What fai_span_take() would reserve.
size_t fai_span_size(size_t size, size_t align);
void fai_span_give(fai_slabs *slabs, uint32_t unit);

/// Gives back the empty slabs of a tag that are kept at hand, with tag 0 the store's too.
void fai_slabs_trim(fai_slabs *slabs, uint32_t tag);

/// In checked systems, blocks that this lane has taken are to be used whole: verifies what former slabs left there, and forgets them.
void fai_slabs_verify_blocks(fai_slabs *slabs, uint32_t first, uint32_t run);

/// [any] The memory of a claimed block goes: nothing in it can be verified any more.
void fai_slabs_forget_block(fai_blocks *blocks, uint32_t block);

/// Whether units of this kind are slabs, not spans.
static inline bool fai_kind_is_slab(fai_kind kind)
{
    return kind == FAI_KIND_POOL || kind == FAI_KIND_HEAP || kind == FAI_KIND_STORE;
}

/// Whether a span is made of whole blocks, and so no part of a block that a lane serves others from.
static inline bool fai_span_is_whole(const fai_slab *span)
{
    return span->capacity != 0;
}

/// [any] The descriptor of the slab or span that an address lies in; the address is in the range and in one.
static inline fai_slab *fai_slab_of(const fai_blocks *blocks, const void *p)
{
    return &blocks->slabs[blocks->slabs[fai_unit_of(blocks, p)].head];
}

/// [any] Marks an object as on its way home, linked through its first word; false if it is already. And takes the mark off.
bool fai_slab_post(fai_blocks *blocks, const void *p);
void fai_slab_unpost(fai_blocks *blocks, const void *p);
bool fai_slab_is_posted(const fai_blocks *blocks, const void *p);

/// [any] Whether p is the start of an object of the slab or span; says nothing of whether it is free.
bool fai_slab_is_object(const fai_blocks *blocks, const fai_slab *slab, const void *p);
