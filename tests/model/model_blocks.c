// SPDX-License-Identifier: MIT
//
// Blocks: two lanes take whole blocks and give them back at the same time. A block has one owner, who sees it as its last user left it. And the
// boundary's account of spare blocks, which it renews only when blocks have moved, is right as soon as it does not say that it must look again.
#include "tests/model/little_flag.h"
#include "tests/model/little_system.h"

#include "jobs/system.h"

#include <string.h>

extern const mc_model model_blocks, model_blocks_spare;

static fa_system *fa;
static fa_worker *other;

static void before(void)
{
    other = little_attach(fa);
}

static void thread(void)
{
    unsigned self = mc_self();
    fa_worker *w = self == 0 ? fa_self(fa) : other;
    mc_dawdle(20);
    for (uint64_t turn = 0; turn < 3; turn++) {
        uint64_t *p = fa_heap_alloc(w, ((size_t)2 << 20) * (1 + (turn + self) % 2), 16);
        MC_ASSERT(p != NULL);
        *p = turn;
        fai_pause();
        MC_ASSERT(*p == turn);
        fa_heap_free(w, p);
    }
}

const mc_model model_blocks = {
    .name = "blocks",
    .claim = "a block has one owner, who sees it as its last user left it",
    .large = true,
    .system = &fa,
    .before = before,
    .threads = {thread, thread},
};

// The account of spare blocks -------------------------------------------------------------------------------------------------

static void use_block(fa_worker *w, uint32_t blocks)
{
    void *p = fa_heap_alloc(w, ((size_t)2 << 20) * blocks, 16);
    MC_ASSERT(p != NULL);
    fa_heap_free(w, p);
}

static void before_spare(void)
{
    other = little_attach(fa);
    use_block(fa_self(fa), 2); // spare from now on
    (void)fai_blocks_maintain(&fa->memory.blocks);
}

static void thread_spare(void)
{
    mc_dawdle(20);
    if (mc_self() == 0)
        for (int i = 0; i < 2; i++) (void)fai_blocks_maintain(&fa->memory.blocks);
    else
        MC_ASSERT(fa_heap_alloc(other, (size_t)2 << 20, 16) != NULL);
}

static void after_spare(void)
{
    fai_blocks *blocks = &fa->memory.blocks;
    (void)fai_blocks_maintain(blocks);
    uint32_t spare = blocks->spare;
    blocks->moves_seen--; // counts once more
    (void)fai_blocks_maintain(blocks);
    MC_ASSERT(blocks->spare == spare);
}

const mc_model model_blocks_spare = {
    .name = "blocks_spare",
    .claim = "the boundary counts spare blocks again when blocks have moved since it last did",
    .large = true,
    .system = &fa,
    .before = before_spare,
    .threads = {thread_spare, thread_spare},
    .after = after_spare,
};
