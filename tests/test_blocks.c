// SPDX-License-Identifier: MIT
//
// Blocks under a limit: whatever the main lane does with them at a boundary, a lane that asks for no more than the limit has is not refused.
#include "alloc/blocks.h"
#include "support.h"

#include <pthread.h>

enum { LIMIT = 4 };

typedef struct scene {
    fai_blocks blocks;
    atomic_bool stop;
} scene;

static void open_scene(scene *s, const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    config.reserve_bytes = 64 * MIB;
    config.memory_max = LIMIT * FAI_BLOCK_BYTES;
    config.huge_pages = false;
    memset(s, 0, sizeof *s);
    assert_true(fai_blocks_init(&s->blocks, &config));
    assert_int_equal(s->blocks.limit, LIMIT);
}

/// A boundary after another: provides blocks ahead while lanes take fresh ones.
static void *maintain(void *arg)
{
    scene *s = arg;
    while (!atomic_load(&s->stop)) {
        (void)fai_blocks_prefault(&s->blocks, 1);
        fai_blocks_maintain(&s->blocks);
    }
    return NULL;
}

/// `runs` together make up the limit; all of them must be had, again and again.
static void take_all(const test_case *at, const uint32_t *runs, size_t count)
{
    scene s;
    open_scene(&s, at);
    pthread_t thread;
    fa_contention contention = {0};
    assert_int_equal(pthread_create(&thread, NULL, maintain, &s), 0);
    uint32_t refused = 0;
    for (int round = 0; round < ROUNDS(2000); round++) {
        uint32_t first[LIMIT];
        for (size_t i = 0; i < count; i++) {
            first[i] = fai_blocks_take_any(&s.blocks, runs[i], 1, &contention);
            refused += first[i] == FAI_INDEX_NONE;
        }
        EXPECT(fai_blocks_resident(&s.blocks) <= LIMIT);
        for (size_t i = 0; i < count; i++)
            if (first[i] != FAI_INDEX_NONE) fai_blocks_give_any(&s.blocks, first[i], runs[i]);
        // From another place next time, so that what is taken was not there before.
        fai_store_relaxed(&s.blocks.hint, (uint32_t)0);
        if (round % 8 == 0) sched_yield();
    }
    atomic_store(&s.stop, true);
    pthread_join(thread, NULL);
    assert_int_equal(refused, 0);
    assert_in_range(fai_blocks_resident(&s.blocks), 0, LIMIT);
    uint32_t bits = 0;
    for (uint32_t i = 0; i < (s.blocks.count + 63) / 64; i++)
        bits += (uint32_t)__builtin_popcountll(s.blocks.resident[i]);
    assert_int_equal(bits,
                     fai_blocks_resident(&s.blocks)); // the count is exact, and nothing is provided ahead any more
    assert_int_equal(fai_load_relaxed(&s.blocks.resident_count) & FAI_BLOCKS_AHEAD, 0);
    fai_blocks_exit(&s.blocks);
}

static void single_blocks_are_not_refused(const test_case *at)
{
    take_all(at, (const uint32_t[]){1, 1, 1, 1}, 4);
}

static void runs_are_not_refused(const test_case *at)
{
    take_all(at, (const uint32_t[]){4}, 1);
    take_all(at, (const uint32_t[]){1, 3}, 2);
}

int main(int argc, char **argv)
{
    static const test_entry entries[] = {
        EACH_OF(single_blocks_are_not_refused, "0", "n"),
        EACH_OF(runs_are_not_refused, "0", "n"),
    };
    return RUN_MATRIX("blocks", entries, argc, argv);
}
