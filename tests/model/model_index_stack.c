// SPDX-License-Identifier: MIT
//
// index_stack.h: lanes take an element, use it, and give it back. Whoever has an element has it alone and sees what its last user left.
#include "tests/model/checker.h"

#include "concurrent/index_stack.h"

enum { ELEMENTS = 3, TURNS = 2 };

static struct {
    fai_index_stack stack;
    FAI_ATOMIC(uint32_t) links[ELEMENTS];
    uint64_t payload[ELEMENTS]; // plain: how often it was had
    uint64_t taken[MC_THREADS_MAX];
} world;

static void before(void)
{
    memset(&world, 0, sizeof world);
    for (uint32_t i = 0; i < ELEMENTS; i++) (void)fai_index_stack_push_any(&world.stack, i, &world.links[i]);
}

static uint32_t take(void)
{
    uint32_t retries = 0;
    uint32_t index = fai_index_stack_pop_any(&world.stack, world.links, sizeof world.links[0], &retries);
    if (index != FAI_INDEX_NONE) {
        MC_ASSERT(index < ELEMENTS);
        world.payload[index]++;
        world.taken[mc_self()]++;
    }
    return index;
}

static void give(uint32_t index)
{
    if (index != FAI_INDEX_NONE) (void)fai_index_stack_push_any(&world.stack, index, &world.links[index]);
}

// A lane that takes two and gives them back in the other order makes the same element the top of another stack: ABA.
static void thread(void)
{
    for (uint32_t turn = 0; turn < TURNS; turn++) {
        uint32_t first = take(), second = mc_self() == 0 ? take() : FAI_INDEX_NONE;
        give(first);
        give(second);
    }
}

static void after(void)
{
    uint64_t left = 0, had = 0, taken = 0;
    bool seen[ELEMENTS] = {false};
    uint32_t retries = 0;
    for (uint32_t i;
         (i = fai_index_stack_pop_any(&world.stack, world.links, sizeof world.links[0], &retries)) != FAI_INDEX_NONE;) {
        MC_ASSERT(!seen[i]);
        seen[i] = true;
        had += world.payload[i];
        left++;
    }
    for (uint32_t i = 0; i < MC_THREADS_MAX; i++) taken += world.taken[i];
    MC_ASSERT(left == ELEMENTS);
    MC_ASSERT(had == taken);
}

const mc_model model_index_stack = {
    .name = "index_stack",
    .claim = "an element is in one place at a time, and with it what its last user left",
    .before = before,
    .threads = {thread, thread, thread},
    .after = after,
};
