// SPDX-License-Identifier: MIT
//
// What scenarios have in common: see race.h.
#include "tests/race/race.h"

enum { TRIES = 4096 };

race_scene scene;
flag ready, used, over;

static FAI_ATOMIC(uint64_t) bits_passed;

void pass_on(uint64_t bits)
{
    REQUIRE(bits != 0);
    fai_store_relaxed(&bits_passed, bits);
    raise_flag(&ready);
}

uint64_t passed(void)
{
    wait_for(&ready);
    return fai_load_relaxed(&bits_passed);
}

void pass_object(const void *p)
{
    pass_on((uintptr_t)p);
}

unsigned char *passed_object(void)
{
    return (unsigned char *)(uintptr_t)passed();
}

void pass_handle(fa_handle handle)
{
    pass_on((uint64_t)handle.generation << 32 | handle.index);
}

fa_handle passed_handle(void)
{
    uint64_t bits = passed();
    return (fa_handle){(uint32_t)bits, (uint32_t)(bits >> 32)};
}

void plain(fa_config *config)
{
    (void)config;
}

void begin_frame(void)
{
    REQUIRE(fa_frame_begin(scene.fa) == FA_OK);
}

void end_frame(void)
{
    REQUIRE(fa_frame_end(scene.fa, NULL) == FA_OK);
}

void have_again(unsigned char *p, void (*use)(unsigned char *))
{
    static unsigned char *others[TRIES];
    int count = 0;
    do {
        REQUIRE(count < TRIES);
        others[count] = fa_pool_alloc(scene.w, SIZE);
        REQUIRE(others[count] != NULL);
    } while (others[count++] != p);
    use(p);
    while (count > 0) fa_pool_free(scene.w, others[--count]);
}

void end_group(void)
{
    fa_group group;
    REQUIRE(fa_group_create(scene.w, "race", &group) == FA_OK);
    pass_on(group.id);
    wait_for(&used);
    REQUIRE(fa_group_free(scene.w, group) == FA_OK);
}
