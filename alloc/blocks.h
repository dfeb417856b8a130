// SPDX-License-Identifier: MIT
//
// The substrate: one reserved address range cut in blocks of 2 MiB, with everything known about them kept outside.
//
//     block -> block_info[block]       who has it, which of its units are free
//     unit  -> unit_info[unit]         lane, kind, class: all that a free needs, in one load
//     unit  -> slabs[unit]             the slab or span that starts there (slab.h)
//
// Two bits tell where a block is. `used`: a lane has it (an arena's chain, a pool's list, a span of whole blocks). `resident`: its memory
// is taken from the system. Whoever sets the used bit owns the block and its resident bit:
//
//     used  resident
//      0       0        untouched or purged
//      0       1        free, its memory kept for the next taker
//      1       1        taken
//
//     resident_count == number of resident bits <= limit
//
// Free blocks are claimed lowest first, by fetch-or on the bitmap: what is used stays dense, and the same sizes find the same memory
// again. Nothing here purges on an allocation path unless the limit would otherwise refuse; fai_blocks_maintain() does, between
// frames, one block a call.
#pragma once

#include "concurrent/contention.h"
#include "concurrent/order.h"

#include <framealloc/system.h>
#include <framealloc/worker.h>

#define FAI_BLOCK_SHIFT 21
#define FAI_BLOCK_BYTES ((size_t)1 << FAI_BLOCK_SHIFT)
#define FAI_UNIT_BYTES ((size_t)1 << FA_UNIT_SHIFT)
#define FAI_BLOCK_UNITS (FAI_BLOCK_BYTES / FAI_UNIT_BYTES)

typedef enum fai_kind {
    FAI_KIND_NONE = 0, // nothing that can be freed by address
    FAI_KIND_POOL,
    FAI_KIND_HEAP,  // heap objects in slabs
    FAI_KIND_SPAN,  // one large object; see fai_slab.account for whether pool or heap pays
    FAI_KIND_FRAME, // span of an arena
    FAI_KIND_STORE, // the library's own objects (store.h), in slabs; account of its spans
    FAI_KIND_ARENA, // a block of an arena; only its first unit says so
} fai_kind;

typedef struct fai_block {
    // owner: the lane that has it
    uint32_t free_units;     // bit per unit, of blocks that serve slabs
    uint32_t next, previous; // in the lane's list, or `next` in an arena's chain
    uint32_t used;           // bytes, of a closed arena block
    // checked systems: bytes at the start of an arena block that hold the pattern of freed memory where nothing is allocated
    uint32_t filled;
} fai_block;

struct fai_slab;

/// Bit of resident_count: one of those counted is claimed by the main lane, which provides its pages before anybody needs it. A lane that the
/// limit would refuse takes it off the count instead.
#define FAI_BLOCKS_AHEAD (UINT32_C(1) << 31)

typedef struct fai_blocks {
    // immutable after init
    unsigned char *base;
    size_t bytes;
    uint32_t count;
    uint32_t limit; // most blocks that may be taken from the system at one time
    fai_block *block_info;
    uint32_t *unit_info; // shared: relaxed; written by the lane that has the block
    struct fai_slab *slabs;
    FAI_ATOMIC(uint64_t) *records; // of objects, see records.h; NULL in unchecked systems
    FAI_ATOMIC(uint64_t) *used;
    FAI_ATOMIC(uint64_t) *resident;
    FAI_ATOMIC(uint64_t) *populated; // of the resident blocks: all pages are there
    // shared
    FAI_OWN_LINE FAI_ATOMIC(uint32_t) resident_count; // and FAI_BLOCKS_AHEAD
    FAI_ATOMIC(uint32_t) resident_peak;
    FAI_ATOMIC(uint32_t) fresh; // blocks taken untouched since the last maintenance
    FAI_ATOMIC(uint32_t) hint;  // first word of `used` worth looking at
    FAI_ATOMIC(uint32_t) words; // words of `used` that were ever looked into
    FAI_ATOMIC(uint64_t) refused;
    FAI_ATOMIC(uint64_t) moves; // takes and gives
    // owner: the main lane
    uint64_t moves_seen; // by the last maintenance, which left nothing undone; or another number
    uint32_t spare;      // free resident blocks at the last maintenance
    uint32_t spare_low;  // fewest since the decay period began
    uint32_t spare_age;  // maintenances since then
    uint32_t purge_left; // blocks to give back to the system, one a call
} fai_blocks;

/// [any] Blocks that count against the limit now.
static inline uint32_t fai_blocks_resident(const fai_blocks *blocks)
{
    return fai_load_relaxed(&blocks->resident_count) & ~FAI_BLOCKS_AHEAD;
}

/// Address space for the library's tables: zeroed, memory comes with the first use of each page. NULL: refused. The other accepts NULL.
void *fai_map(size_t bytes);
void fai_unmap(void *p, size_t bytes);

/// False: no address range to be had. The configuration is valid.
bool fai_blocks_init(fai_blocks *blocks, const fa_config *config);
void fai_blocks_exit(fai_blocks *blocks);

/// [any] `run` neighbouring blocks, aligned to `align` blocks (a power of two); the first's number, or FAI_INDEX_NONE when the limit or the
/// system refuses (counted).
uint32_t fai_blocks_take_any(fai_blocks *blocks, uint32_t run, uint32_t align, fa_contention *contention);

/// [any] Gives blocks back; their memory is kept for the next taker.
void fai_blocks_give_any(fai_blocks *blocks, uint32_t first, uint32_t run);

/// [main] Between frames: provides all pages of a block that frames took untouched, so that they fault now and not one by one in later
/// frames; touches a block ahead of need if the last frame had to take fresh ones; gives one back to the system that nobody needed for
/// a long while. At most one block of each a call. Whether blocks have moved since the last call.
bool fai_blocks_maintain(fai_blocks *blocks);

/// Touches `count` blocks ahead of need. False: not all could be had.
bool fai_blocks_prefault(fai_blocks *blocks, uint32_t count);

static inline unsigned char *fai_block_start(const fai_blocks *blocks, uint32_t block)
{
    return blocks->base + ((size_t)block << FAI_BLOCK_SHIFT);
}

static inline bool fai_blocks_contain(const fai_blocks *blocks, const void *p)
{
    return (uintptr_t)p - (uintptr_t)blocks->base < blocks->bytes;
}

static inline uint32_t fai_unit_of(const fai_blocks *blocks, const void *p)
{
    return (uint32_t)(((uintptr_t)p - (uintptr_t)blocks->base) >> FA_UNIT_SHIFT);
}

static inline unsigned char *fai_unit_start(const fai_blocks *blocks, uint32_t unit)
{
    return blocks->base + ((size_t)unit << FA_UNIT_SHIFT);
}

/// What unit_info holds: who owns the unit, which tag pays for its objects (0: none), what they are.
static inline uint32_t fai_info_make(uint32_t lane, uint32_t tag, fai_kind kind, uint32_t size_class)
{
    return lane << 24 | tag << 16 | (uint32_t)kind << 8 | size_class;
}

/// What is left where an object or slab began that was freed: of kind FAI_KIND_NONE, and for those who report a second free.
#define FAI_INFO_FREED 1u

static inline uint32_t fai_info_lane(uint32_t info)
{
    return info >> 24;
}
static inline uint32_t fai_info_tag(uint32_t info)
{
    return info >> 16 & 0xff;
}
static inline fai_kind fai_info_kind(uint32_t info)
{
    return (fai_kind)(info >> 8 & 0xff);
}
static inline uint32_t fai_info_class(uint32_t info)
{
    return info & 0xff;
}
