// SPDX-License-Identifier: MIT
//
// Damage to what the library keeps beside the objects, done on purpose: a checked system notices before it hands anything out from there.
#include "alloc/lane.h"
#include "support.h"

enum { OBJECTS = 50 };

static fai_slab *slab_of(fa_worker *w, const void *p)
{
    return fai_slab_of(&fai_lane_of(w)->memory->blocks, p);
}

static void *take_object(fa_worker *w, bool heap, size_t size)
{
    return heap ? fa_heap_alloc(w, size, 16) : fa_pool_alloc(w, size);
}

static void give_object(fa_worker *w, bool heap, void *p)
{
    heap ? fa_heap_free(w, p) : fa_pool_free(w, p);
}

/// What a stray write might make of a slab's description.
static void damage(fai_slab *slab, int how, const void *live, const unsigned char *start)
{
    uint32_t index = (uint32_t)(((const unsigned char *)live - start) / slab->object_size);
    switch (how) {
        case 0:
            slab->free_bits[index / 64] |= UINT64_C(1) << index % 64;
            return;                                                         // a live object would be handed out again
        case 1: memset(slab->free_bits, 0, sizeof slab->free_bits); return; // a search would find nothing
        default: slab->free_count += 3; return;
    }
}

static void damaged_slabs_are_set_aside(const test_case *at)
{
    static const size_t sizes[] = {16, 100, 4096, 20000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        for (int how = 0; how < 6; how++) {
            bool heap = how >= 3;
            size_t size = sizes[i];
            sink to;
            fa_system *fa = create_case(at, &to);
            fa_worker *w = fa_self(fa);
            unsigned char *live = take_object(w, heap, size), *p[OBJECTS];
            fill(live, size, 1);
            damage(slab_of(w, live), how % 3, live,
                   fai_unit_start(&fai_lane_of(w)->memory->blocks, slab_of(w, live)->head));
            for (int j = 0; j < OBJECTS; j++) {
                p[j] = take_object(w, heap, size);
                assert_non_null(p[j]);
                fill(p[j], size, (uint64_t)j + 2);
            }
            assert_non_null(strstr(to.message, "damaged slab found on lane 0"));
            assert_reported(&to, 901, 1); // not for every allocation
            assert_true(is_filled(live, size, 1));
            for (int j = 0; j < OBJECTS; j++) assert_true(is_filled(p[j], size, (uint64_t)j + 2));
            for (int j = 0; j < OBJECTS; j++) give_object(w, heap, p[j]);
            give_object(w, heap, live); // what is freed comes back, and may be used again
            live = take_object(w, heap, size);
            assert_non_null(live);
            give_object(w, heap, live);
            destroy_quiet(fa, &to);
        }
    }
}

static void sound_slabs_are_no_matter(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    rng from = {test_seed()};
    void *p[200] = {NULL};
    for (int i = 0; i < ROUNDS(40000); i++) {
        uint32_t which = rng_below(&from, 200);
        if (p[which] != NULL) give_object(w, which % 2 != 0, p[which]);
        p[which] = rng_below(&from, 3) == 0 ? NULL : take_object(w, which % 2 != 0, 1 + rng_below(&from, 20000));
    }
    for (uint32_t i = 0; i < 200; i++)
        if (p[i] != NULL) give_object(w, i % 2 != 0, p[i]);
    destroy_quiet(fa, &to);
}

int main(int argc, char **argv)
{
    const test_entry entries[] = {
        EACH_OF(damaged_slabs_are_set_aside, "02", "y"),
        EACH_OF(sound_slabs_are_no_matter, "02", "ny"),
    };
    return RUN_MATRIX("lane", entries, argc, argv);
}
