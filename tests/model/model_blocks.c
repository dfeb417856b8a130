// SPDX-License-Identifier: MIT
//
// Blocks: two lanes take whole blocks and give them back at the same time. A block has one owner, who sees it as its last user left it.
#include "tests/model/little_flag.h"
#include "tests/model/little_system.h"

#include <string.h>

extern const mc_model model_blocks;

static fa_system *fa;
static fa_worker *other;

static void setup(void)
{
    fa = little_system(&model_blocks, 0, NULL);
}

static void before(void)
{
    other = little_attach(fa);
}

static void thread(unsigned self)
{
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
    .threads = 2,
    .large = true,
    .setup = setup,
    .before = before,
    .thread = thread,
};
