// SPDX-License-Identifier: MIT
//
// Groups: two lanes allocate from one, each from windows of its own; one of them frees it, with cleanups, while the other still tries; and both
// go on with another group, in the same blocks.
#include "tests/model/little_flag.h"
#include "tests/model/little_system.h"

#include <string.h>

extern const mc_model model_group, model_group_tick;

static fa_system *fa;
static fa_worker *other;
static struct {
    fa_group first;
    uint64_t cleaned, late_cleaned;
    FAI_ATOMIC(uint32_t) late;
    little_flag first_is_there, others_are_in, other_is_done;
} world;

static void before_tick(void)
{
    memset(&world, 0, sizeof world);
}

static void on_end(fa_worker *w, void *object, void *context)
{
    (void)w;
    MC_ASSERT(*(uint64_t *)object == (uintptr_t)context);
    *(uint64_t *)object = 0;
    world.cleaned++;
}

/// Of an object that nobody has written to: only what the library noted is seen.
static void on_late_end(fa_worker *w, void *object, void *context)
{
    (void)w;
    MC_ASSERT(object != NULL && ((uintptr_t)context == 77 || (uintptr_t)context == 78));
    world.late_cleaned++;
}

static void allocate(fa_worker *w, fa_group group, uint64_t value)
{
    for (int i = 0; i < 2; i++) {
        uint64_t *p = fa_group_alloc_cleaned(w, group, 64, 16, on_end, (void *)(uintptr_t)value);
        MC_ASSERT(p != NULL);
        *p = value;
    }
}

static void second_group(fa_worker *w, const char *name)
{
    fa_group group;
    MC_ASSERT(fa_group_create(w, name, &group) == FA_OK);
    uint64_t *p = fa_group_alloc(w, group, 64, 16);
    MC_ASSERT(p != NULL);
    *p = 5;
    MC_ASSERT(fa_group_free(w, group) == FA_OK);
}

static void other_lane(void)
{
    fa_worker *w;
    MC_ASSERT(fa_attach(fa, &w) == FA_OK);
    little_wait_for(&world.first_is_there);
    allocate(w, world.first, 2);
    little_raise(&world.others_are_in);
    for (int i = 0; i < 2; i++) { // too late or not
        if (fa_group_alloc_cleaned(w, world.first, 64, 16, on_late_end, (void *)(uintptr_t)(77 + i)) == NULL) break;
        (void)fai_add_relaxed(&world.late, 1u);
    }
    MC_ASSERT(fa_quiescent(w) == FA_OK);
    second_group(w, "other's");
    MC_ASSERT(fa_detach(w) == FA_OK);
    little_raise(&world.other_is_done);
}

static void main_lane(void)
{
    fa_worker *w = fa_self(fa);
    MC_ASSERT(fa_group_create(w, "first", &world.first) == FA_OK);
    little_raise(&world.first_is_there);
    allocate(w, world.first, 1);
    little_wait_for(&world.others_are_in);
    MC_ASSERT(fa_group_free(w, world.first) == FA_OK);
    MC_ASSERT(world.cleaned == 4);
    for (int frame = 0; frame < 3; frame++) {
        MC_ASSERT(fa_frame_begin(fa) == FA_OK);
        second_group(w, "main's");
        MC_ASSERT(fa_frame_end(fa, NULL) == FA_OK);
        fai_pause();
    }
    little_wait_for(&world.other_is_done);
    MC_ASSERT(world.late_cleaned <= fai_load_relaxed(&world.late) + 1);
    little_stop(fa, true);
}

const mc_model model_group_tick = {
    .name = "group_tick",
    .claim =
        "objects of a group are where one lane put them; its end sees them all, once; its memory goes on after that",
    .large = true,
    .system = &fa,
    .before = before_tick,
    .threads = {main_lane, other_lane, little_reclaimer},
};

// The end of a group against allocations, alone -------------------------------------------------------------------------------

static void before_end(void)
{
    memset(&world, 0, sizeof world);
    other = little_attach(fa);
    MC_ASSERT(fa_group_create(fa_self(fa), "first", &world.first) == FA_OK);
}

static void allocate_late(fa_worker *w)
{
    if (fa_group_alloc_cleaned(w, world.first, 64, 16, on_late_end, (void *)77) != NULL)
        (void)fai_add_relaxed(&world.late, 1u);
}

static void thread_end(void)
{
    mc_dawdle(60);
    if (mc_self() == 0) {
        if (mc_choose(2) == 0) allocate_late(fa_self(fa));
        MC_ASSERT(fa_group_free(fa_self(fa), world.first) == FA_OK);
        second_group(fa_self(fa), "main's");
        return;
    }
    allocate_late(other);
    if (mc_choose(2) == 0)
        (void)fa_group_alloc(other, world.first, 64, 16); // of which the end learns by the lane's state alone
    if (mc_choose(2) == 0) MC_ASSERT(fa_quiescent(other) == FA_OK);
    allocate_late(other);
    if (mc_choose(2) == 0) second_group(other, "other's");
    if (mc_choose(2) == 0) MC_ASSERT(fa_idle_begin(other) == FA_OK);
}

static void after_end(void)
{
    MC_ASSERT(world.late_cleaned == fai_load_relaxed(&world.late)); // what was given out was cleaned up, once
}

const mc_model model_group = {
    .name = "group",
    .claim = "an allocation comes before the group's end, which then sees it, or is refused",
    .large = true,
    .system = &fa,
    .before = before_end,
    .threads = {thread_end, thread_end},
    .after = after_end,
};
