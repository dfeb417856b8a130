// SPDX-License-Identifier: MIT
//
// Address range, bitmaps and memory from the system: the only file that calls mmap and madvise.
#include "alloc/blocks.h"

#include "alloc/slab.h"
#include "concurrent/annotate.h"
#include "concurrent/check.h"
#include "concurrent/layout.h"

#include <string.h>
#include <sys/mman.h>

// Entries that unit_info starts off its page. Writing an object and then reading an entry at the same offset of a page
// delays the read (the store looks like its source), and slabs' first objects, at offset 0, are the most used.
#define INFO_SKEW 2u
#define RESERVE_MIN ((uint64_t)64 << 20)
// Free blocks that are kept however long nobody needs them, and how many boundaries (10 s at 60 Hz) the others must stay unneeded: a
// block that comes back costs 0.1 ms to 1 ms of faults in some frame, kept memory costs only itself.
#define SPARE_MIN 4u
#define SPARE_BOUNDARIES 600u
// Free blocks below which a boundary touches one ahead of need.
#define SPARE_WANTED 2u

void *fai_map(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

void fai_unmap(void *p, size_t bytes)
{
    if (p != NULL) (void)munmap(p, bytes);
}

static size_t word_count(const fai_blocks *blocks)
{
    return (blocks->count + 63) / 64;
}

/// Maps a range that starts at a block boundary: maps one block more and cuts off both ends.
static unsigned char *map_aligned(size_t bytes)
{
    unsigned char *p = fai_map(bytes + FAI_BLOCK_BYTES);
    if (p == NULL) return NULL;
    size_t before = (size_t)(-(uintptr_t)p & (FAI_BLOCK_BYTES - 1));
    if (before > 0) fai_unmap(p, before);
    if (before < FAI_BLOCK_BYTES) fai_unmap(p + before + bytes, FAI_BLOCK_BYTES - before);
    return p + before;
}

static void unmap_all(fai_blocks *blocks)
{
    size_t units = blocks->count * FAI_BLOCK_UNITS;
    fai_unmap(blocks->base, blocks->bytes);
    fai_unmap(blocks->block_info, blocks->count * sizeof(fai_block));
    if (blocks->unit_info != NULL) fai_unmap(blocks->unit_info - INFO_SKEW, (units + INFO_SKEW) * sizeof(uint32_t));
    fai_unmap(blocks->slabs, units * sizeof(fai_slab));
    fai_unmap(blocks->used, word_count(blocks) * 3 * sizeof(uint64_t));
    fai_unmap(blocks->records, units * FAI_UNIT_RECORDS * sizeof(uint64_t));
}

static bool map_all(fai_blocks *blocks, uint64_t bytes, bool checked)
{
    blocks->bytes = (size_t)bytes;
    blocks->count = (uint32_t)(bytes >> FAI_BLOCK_SHIFT);
    size_t units = blocks->count * FAI_BLOCK_UNITS;
    blocks->base = map_aligned(blocks->bytes);
    blocks->block_info = fai_map(blocks->count * sizeof(fai_block));
    uint32_t *info = fai_map((units + INFO_SKEW) * sizeof(uint32_t));
    blocks->unit_info = info != NULL ? info + INFO_SKEW : NULL;
    blocks->slabs = fai_map(units * sizeof(fai_slab));
    blocks->used = fai_map(word_count(blocks) * 3 * sizeof(uint64_t));
    blocks->records = checked ? fai_map(units * FAI_UNIT_RECORDS * sizeof(uint64_t)) : NULL;
    bool recorded = blocks->records != NULL || !checked;
    if (blocks->base && blocks->block_info && blocks->unit_info && blocks->slabs && blocks->used && recorded)
        return true;
    unmap_all(blocks);
    return false;
}

bool fai_blocks_init(fai_blocks *blocks, const fa_config *config)
{
    memset(blocks, 0, sizeof *blocks);
    uint64_t bytes = config->reserve_bytes;
    while (!map_all(blocks, bytes, config->checked)) {
        bytes = bytes / 2 & ~(uint64_t)(FAI_BLOCK_BYTES - 1);
        if (bytes < RESERVE_MIN) return false;
    }
    blocks->resident = blocks->used + word_count(blocks);
    blocks->populated = blocks->resident + word_count(blocks);
    blocks->limit = blocks->count;
    if (config->memory_max != 0 && config->memory_max >> FAI_BLOCK_SHIFT < blocks->limit)
        blocks->limit = (uint32_t)(config->memory_max >> FAI_BLOCK_SHIFT);
    for (uint32_t block = blocks->count; block % 64 != 0; block++) // the tail of the last word never becomes free
        blocks->used[block / 64] |= UINT64_C(1) << block % 64;
    // Refusal of huge pages changes nothing but speed.
    if (config->huge_pages) (void)madvise(blocks->base, blocks->bytes, MADV_HUGEPAGE);
    return true;
}

void fai_blocks_exit(fai_blocks *blocks)
{
    size_t touched = (size_t)fai_load_relaxed(&blocks->words) * 64 * FAI_BLOCK_BYTES;
    fai_allow(blocks->base, touched < blocks->bytes ? touched : blocks->bytes);
    unmap_all(blocks);
}

// The bitmaps ---------------------------------------------------------------------------------------------------------

/// Bits of one word that a run from bit `from` covers, at most to the end of the word.
static uint64_t word_mask(uint32_t from, uint32_t run)
{
    uint64_t ones = run >= 64 ? UINT64_MAX : (UINT64_C(1) << run) - 1;
    return ones << from;
}

static void release_run(fai_blocks *blocks, uint32_t first, uint32_t run)
{
    for (uint32_t block = first; block < first + run;) {
        uint32_t length = 64 - block % 64 < first + run - block ? 64 - block % 64 : first + run - block;
        // [blocks.claim] release: the next owner sees the block as its last user left it.
        (void)fai_and_release(&blocks->used[block / 64], ~word_mask(block % 64, length));
        block += length;
    }
}

/// Sets all used bits of the run, or none.
static bool claim_run(fai_blocks *blocks, uint32_t first, uint32_t run)
{
    for (uint32_t block = first; block < first + run;) {
        uint32_t length = 64 - block % 64 < first + run - block ? 64 - block % 64 : first + run - block;
        uint64_t mask = word_mask(block % 64, length);
        // [blocks.claim] acquire: pairs with the release in release_run().
        uint64_t before = fai_or_acquire(&blocks->used[block / 64], mask);
        if ((before & mask) != 0) {
            // [blocks.claim] release: hands on, untouched, what this lane set a moment ago.
            (void)fai_and_release(&blocks->used[block / 64], ~(mask & ~before));
            release_run(blocks, first, block - first);
            return false;
        }
        block += length;
    }
    return true;
}

static bool run_looks_free(const fai_blocks *blocks, uint32_t first, uint32_t run, uint32_t *next)
{
    for (uint32_t block = first; block < first + run; block++) {
        if ((fai_load_relaxed(&blocks->used[block / 64]) >> block % 64 & 1) == 0) continue;
        *next = block + 1;
        return false;
    }
    return true;
}

static uint32_t claim_any_run(fai_blocks *blocks, uint32_t run, uint32_t align, fa_contention *contention)
{
    // Alignment is of addresses, and the range itself is aligned to one block only.
    uint32_t offset = (uint32_t)(-((uintptr_t)blocks->base >> FAI_BLOCK_SHIFT)) & (align - 1);
    for (uint32_t first = offset; first < blocks->count && run <= blocks->count - first;) {
        uint32_t next = first + align;
        if (run_looks_free(blocks, first, run, &next)) {
            if (claim_run(blocks, first, run)) return first;
            FAI_COUNT(contention, block_retries, 1);
        }
        first = ((next - offset + align - 1) & ~(align - 1)) + offset;
    }
    return FAI_INDEX_NONE;
}

static uint32_t claim_one(fai_blocks *blocks, fa_contention *contention)
{
    uint32_t words = (uint32_t)word_count(blocks);
    for (uint32_t word = fai_load_relaxed(&blocks->hint); word < words; word++) {
        for (;;) {
            uint64_t used = fai_load_relaxed(&blocks->used[word]);
            if (used == UINT64_MAX) break;
            uint32_t block = word * 64 + (uint32_t)__builtin_ctzll(~used);
            if (claim_run(blocks, block, 1)) {
                fai_store_relaxed(&blocks->hint, word); // a hint: a lost update costs a longer search
                return block;
            }
            FAI_COUNT(contention, block_retries, 1);
        }
    }
    return claim_any_run(blocks, 1, 1, contention); // something below the hint, or nothing
}

// Residence -----------------------------------------------------------------------------------------------------------

static bool is_resident(const fai_blocks *blocks, uint32_t block)
{
    return (fai_load_relaxed(&blocks->resident[block / 64]) >> block % 64 & 1) != 0;
}

/// Gives a claimed block, which the count no longer has, back to the system.
static void forget(fai_blocks *blocks, uint32_t block)
{
    uint64_t bit = UINT64_C(1) << block % 64;
    fai_slabs_forget_block(blocks, block);
    (void)fai_and_relaxed(&blocks->resident[block / 64], ~bit);
    (void)fai_and_relaxed(&blocks->populated[block / 64], ~bit);
    int refused = madvise(fai_block_start(blocks, block), FAI_BLOCK_BYTES, MADV_DONTNEED);
    FA_ASSERT(refused == 0); // of a mapping of our own it cannot be
    (void)refused;
}

/// Gives one free resident block back to the system, the highest; false if there is none.
static bool purge_one(fai_blocks *blocks)
{
    for (uint32_t word = fai_load_relaxed(&blocks->words); word-- > 0;) {
        uint64_t spare = fai_load_relaxed(&blocks->resident[word]) & ~fai_load_relaxed(&blocks->used[word]);
        for (uint64_t bit; spare != 0; spare &= ~bit) {
            uint32_t block = word * 64 + 63 - (uint32_t)__builtin_clzll(spare);
            bit = UINT64_C(1) << block % 64;
            if (!claim_run(blocks, block, 1)) continue; // somebody takes it this moment: then it is needed
            bool purged = is_resident(blocks, block);
            if (purged) { // out of the count first: a lane that asks meanwhile need not wait for the system call
                (void)fai_sub_relaxed(&blocks->resident_count, 1u);
                forget(blocks, block);
            }
            release_run(blocks, block, 1);
            if (purged) return true;
        }
    }
    return false;
}

static void note_peak(fai_blocks *blocks, uint32_t now)
{
    uint32_t peak = fai_load_relaxed(&blocks->resident_peak);
    while (now > peak && !fai_cas_relaxed(&blocks->resident_peak, &peak, now)) continue;
}

/// Accounts for `fresh` more resident blocks if the limit has room for them.
static bool charge_within(fai_blocks *blocks, uint32_t fresh, uint32_t flag)
{
    uint32_t word = fai_load_relaxed(&blocks->resident_count), now;
    do {
        now = word & ~FAI_BLOCKS_AHEAD;
        if (now > blocks->limit || fresh > blocks->limit - now) return false;
    } while (!fai_cas_relaxed(&blocks->resident_count, &word, (word + fresh) | flag));
    note_peak(blocks, now + fresh);
    return true;
}

/// Ends that the block which is provided ahead counts: whether one did, and this call ended it. With `drop` 1 it is
/// out of the count, with 0 it stays.
static bool end_ahead(fai_blocks *blocks, uint32_t drop)
{
    uint32_t word = fai_load_relaxed(&blocks->resident_count);
    do {
        if ((word & FAI_BLOCKS_AHEAD) == 0) return false;
    } while (!fai_cas_relaxed(&blocks->resident_count, &word, (word & ~FAI_BLOCKS_AHEAD) - drop));
    return true;
}

/// Accounts for `fresh` more resident blocks, purging free ones if the limit asks for it, the one that is provided ahead at last; false if
/// it still refuses.
static bool charge(fai_blocks *blocks, uint32_t fresh)
{
    do {
        if (charge_within(blocks, fresh, 0)) return true;
    } while (purge_one(blocks) || end_ahead(blocks, 1));
    return false;
}

static void note_words(fai_blocks *blocks, uint32_t block)
{
    uint32_t words = fai_load_relaxed(&blocks->words);
    while (block / 64 + 1 > words && !fai_cas_relaxed(&blocks->words, &words, block / 64 + 1)) continue;
}

/// Touches the descriptors of a block that becomes resident, so that their page faults fall together with the block's and not into some
/// later frame.
static void touch_descriptors(fai_blocks *blocks, uint32_t block)
{
    for (size_t i = 0; i < FAI_BLOCK_UNITS; i++) {
        fai_slab *slab = &blocks->slabs[block * FAI_BLOCK_UNITS + i];
        *(volatile uint32_t *)&slab->units = 0;
        *(volatile uint64_t *)&slab->free_bits[FAI_SLAB_BITS / 64 - 1] = 0;
    }
    fai_store_relaxed(&blocks->unit_info[block * FAI_BLOCK_UNITS], 0u);
    fai_store_relaxed(&blocks->unit_info[block * FAI_BLOCK_UNITS + FAI_BLOCK_UNITS - 1], 0u);
    *(volatile uint32_t *)&blocks->block_info[block].used = 0;
}

/// A claimed block that was charged.
static void mark_resident(fai_blocks *blocks, uint32_t block)
{
    touch_descriptors(blocks, block);
    (void)fai_and_relaxed(&blocks->populated[block / 64], ~(UINT64_C(1) << block % 64));
    (void)fai_or_relaxed(&blocks->resident[block / 64], UINT64_C(1) << block % 64);
}

/// Makes the blocks of a claimed run resident; false when the limit refuses.
static bool make_resident(fai_blocks *blocks, uint32_t first, uint32_t run)
{
    uint32_t fresh = 0;
    for (uint32_t block = first; block < first + run; block++) fresh += !is_resident(blocks, block);
    if (fresh == 0) return true;
    if (!charge(blocks, fresh)) return false;
    note_words(blocks, first + run - 1);
    for (uint32_t block = first; block < first + run; block++) {
        if (!is_resident(blocks, block)) mark_resident(blocks, block);
    }
    (void)fai_add_relaxed(&blocks->fresh, fresh);
    return true;
}

// Taking and giving ---------------------------------------------------------------------------------------------------

/// Makes the next maintenance look at the bitmaps.
static void note_move(fai_blocks *blocks)
{
    // [blocks.moves] acq_rel: the bits that changed, and the counts.
    (void)fai_add_acq_rel(&blocks->moves, 1u);
}

uint32_t fai_blocks_take_any(fai_blocks *blocks, uint32_t run, uint32_t align, fa_contention *contention)
{
    FA_ASSERT(run > 0 && align > 0 && (align & (align - 1)) == 0);
    uint32_t first = run == 1 && align == 1 ? claim_one(blocks, contention)
                                            : claim_any_run(blocks, run, align, contention);
    FAI_COUNT(contention, block_takes, 1);
    if (first != FAI_INDEX_NONE && !make_resident(blocks, first, run)) {
        release_run(blocks, first, run);
        first = FAI_INDEX_NONE;
    }
    note_move(blocks);
    if (first == FAI_INDEX_NONE) {
        (void)fai_add_relaxed(&blocks->refused, 1u);
        return FAI_INDEX_NONE;
    }
    fai_forbid(fai_block_start(blocks, first), run * FAI_BLOCK_BYTES);
    return first;
}

void fai_blocks_give_any(fai_blocks *blocks, uint32_t first, uint32_t run)
{
    FA_ASSERT(first + run <= blocks->count);
    release_run(blocks, first, run);
    if (first / 64 < fai_load_relaxed(&blocks->hint)) fai_store_relaxed(&blocks->hint, first / 64);
    note_move(blocks);
}

/// Provides all pages of a resident block, also of one in use: contents do not change. Kernels before 5.14 cannot; the pages then fault
/// one by one as they are touched.
static void populate(fai_blocks *blocks, uint32_t block)
{
#ifdef MADV_POPULATE_WRITE
    (void)madvise(fai_block_start(blocks, block), FAI_BLOCK_BYTES, MADV_POPULATE_WRITE);
#endif
    (void)fai_or_relaxed(&blocks->populated[block / 64], UINT64_C(1) << block % 64);
}

/// False: all resident blocks have their pages.
static bool populate_one(fai_blocks *blocks)
{
    // Then a free block that is claimed here could be the one that a lane needs: only those in use, and without a claim.
    bool limited = blocks->limit < blocks->count;
    for (uint32_t word = 0; word < fai_load_relaxed(&blocks->words); word++) {
        uint64_t missing = fai_load_relaxed(&blocks->resident[word]) & ~fai_load_relaxed(&blocks->populated[word]);
        if (limited) missing &= fai_load_relaxed(&blocks->used[word]);
        if (missing == 0) continue;
        uint32_t block = word * 64 + (uint32_t)__builtin_ctzll(missing);
        bool claimed = !limited && claim_run(blocks, block, 1); // a free block must not be purged meanwhile
        if (!claimed || is_resident(blocks, block)) populate(blocks, block);
        if (claimed) release_run(blocks, block, 1);
        return true;
    }
    return false;
}

/// Provides a claimed block's pages; false: the limit refuses, or a lane needed what it counted for and took it off meanwhile. For that moment
/// one block more than the limit may be there.
static bool provide_ahead(fai_blocks *blocks, uint32_t block)
{
    if (!charge_within(blocks, 1, FAI_BLOCKS_AHEAD)) return false;
    note_words(blocks, block);
    mark_resident(blocks, block);
    populate(blocks, block);
    if (end_ahead(blocks, 0)) return true;
    forget(blocks, block);
    return false;
}

/// Claims an untouched block, touches it and leaves it free.
static bool prefault_one(fai_blocks *blocks)
{
    for (uint32_t block = 0; block < blocks->count; block++) {
        uint32_t next;
        if (is_resident(blocks, block) || !run_looks_free(blocks, block, 1, &next)) continue;
        if (!claim_run(blocks, block, 1)) continue;
        bool done = is_resident(blocks, block) || provide_ahead(blocks, block);
        fai_blocks_give_any(blocks, block, 1);
        return done;
    }
    return false;
}

bool fai_blocks_prefault(fai_blocks *blocks, uint32_t count)
{
    while (count-- > 0)
        if (!prefault_one(blocks)) return false;
    fai_store_relaxed(&blocks->fresh, 0u);
    return true;
}

static uint32_t count_spare(const fai_blocks *blocks)
{
    uint32_t spare = 0;
    for (uint32_t word = 0; word < fai_load_relaxed(&blocks->words); word++)
        spare += (uint32_t)__builtin_popcountll(fai_load_relaxed(&blocks->resident[word]) &
                                                ~fai_load_relaxed(&blocks->used[word]));
    return spare;
}

/// The next maintenance finds that something has moved.
static void look_again(fai_blocks *blocks)
{
    blocks->moves_seen--;
}

/// After blocks have moved. Whether frames took untouched ones.
FAI_APART static bool survey(fai_blocks *blocks)
{
    if (populate_one(blocks)) look_again(blocks);
    blocks->spare = count_spare(blocks);
    if (fai_load_relaxed(&blocks->fresh) == 0) return false;
    fai_store_relaxed(&blocks->fresh, 0u);
    blocks->purge_left = 0;
    if (blocks->spare < SPARE_WANTED) (void)prefault_one(blocks);
    return true;
}

FAI_APART static void purge(fai_blocks *blocks)
{
    blocks->purge_left--;
    if (purge_one(blocks)) look_again(blocks);
}

FAI_FRAME_END bool fai_blocks_maintain(fai_blocks *blocks)
{
    // [blocks.moves] acquire: what the bitmaps became.
    uint64_t moves = fai_load_acquire(&blocks->moves);
    bool moved = moves != blocks->moves_seen, growing = false;
    if (FA_UNLIKELY(moved)) {
        blocks->moves_seen = moves;
        growing = survey(blocks);
    }
    if (blocks->spare < blocks->spare_low) blocks->spare_low = blocks->spare;
    if (growing) return moved;
    if (++blocks->spare_age >= SPARE_BOUNDARIES) {
        blocks->purge_left = blocks->spare_low > SPARE_MIN ? blocks->spare_low - SPARE_MIN : 0;
        blocks->spare_low = UINT32_MAX;
        blocks->spare_age = 0;
    }
    if (FA_UNLIKELY(blocks->purge_left > 0)) purge(blocks);
    return moved;
}
