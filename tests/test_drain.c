// SPDX-License-Identifier: MIT
//
// The bounded drain: how many frees by others a boundary takes home, what is kept, and that memory stays bounded.
#include "support.h"

#include <pthread.h>

enum { PACKET = 61, LOAD = 6100 };

typedef struct load {
    void *objects[LOAD];
    uint32_t by; // the lane that frees
    bool heap;
} load;

static void free_load(fa_worker *w, void *arg)
{
    load *all = arg;
    if (w->index != all->by) return;
    for (int i = 0; i < LOAD; i++) {
        if (all->heap)
            fa_heap_free(w, all->objects[i]);
        else
            fa_pool_free(w, all->objects[i]);
    }
}

static void allocate(fa_worker *w, load *all, size_t size)
{
    for (int i = 0; i < LOAD; i++) {
        all->objects[i] = all->heap ? fa_heap_alloc(w, size, 16) : fa_pool_alloc(w, size);
        assert_non_null(all->objects[i]);
        fill(all->objects[i], size, (uint64_t)i);
    }
}

static uint64_t live_of(const fa_system *fa, const load *all)
{
    return all->heap ? stats_of(fa).heap_live : stats_of(fa).pool_live;
}

static void a_boundary_takes_no_more_than_it_may(const test_case *at)
{
    static load all;
    for (uint32_t most = 100; most <= 6400; most *= 4) {
        sink to;
        fa_config config = case_config(at, &to);
        config.drain_objects_max = most;
        fa_system *fa = create(&config);
        all = (load){.by = at->workers, .heap = most == 400};
        allocate(fa_self(fa), &all, 64);
        begin(fa);
        everyone(fa, free_load, &all);
        end(fa);
        uint64_t kept = stats_of(fa).frees_kept, left = LOAD;
        for (int boundary = 0; left > 0; boundary++) {
            assert_true(boundary < 100);
            uint64_t may = most > left / 4 ? most : left / 4;
            uint64_t taken = left - kept;
            assert_true(taken <= may + PACKET - 1);
            assert_true(taken >= may || kept == 0);
            assert_int_equal(live_of(fa, &all), kept); // what is kept is live for all accounts
            left = kept;
            begin(fa);
            end(fa);
            kept = stats_of(fa).frees_kept;
        }
        assert_int_equal(live_of(fa, &all), 0);
        destroy_quiet(fa, &to);
    }
}

static void by_default_everything_is_taken(const test_case *at)
{
    static load all;
    sink to;
    fa_system *fa = create_case(at, &to);
    all = (load){.by = at->workers};
    allocate(fa_self(fa), &all, 64);
    begin(fa);
    everyone(fa, free_load, &all);
    end(fa);
    begin(fa);
    end(fa);
    assert_int_equal(stats_of(fa).frees_kept, 0);
    assert_int_equal(stats_of(fa).pool_live, 0);
    destroy_quiet(fa, &to);
}

typedef struct provision {
    load *all;
    uint32_t lane;
} provision;

static void provide(fa_worker *w, void *arg)
{
    const provision *from = arg;
    if (w->index != from->lane) return;
    for (int i = 0; i < LOAD; i++) {
        from->all->objects[i] = fa_pool_alloc(w, 64);
        EXPECT(from->all->objects[i] != NULL);
    }
}

/// A worker that sleeps is looked after at every boundary until nothing waits for it.
static void a_sleeping_owner_gets_all_in_the_end(const test_case *at)
{
    static load all;
    sink to;
    fa_config config = case_config(at, &to);
    config.drain_objects_max = 300;
    fa_system *fa = create(&config);
    all = (load){.by = 0};
    provision from = {&all, at->workers};
    begin(fa);
    everyone(fa, provide, &from);
    end(fa);
    begin(fa);
    free_load(fa_self(fa), &all);
    end(fa);
    assert_true(stats_of(fa).frees_kept > LOAD / 2);
    for (int i = 0; i < 40; i++) {
        begin(fa);
        end(fa);
    }
    assert_int_equal(stats_of(fa).frees_kept, 0);
    assert_int_equal(stats_of(fa).pool_live, 0);
    destroy_quiet(fa, &to);
}

/// Traffic that never stops: an owner in need takes what waits first, so that it is never more than a frame's worth.
static void keep_what_the_owner_does_not_need(const test_case *at)
{
    static load all;
    sink to;
    fa_config config = case_config(at, &to);
    config.drain_objects_max = 1;
    fa_system *fa = create(&config);
    uint64_t most = 0, memory = 0;
    for (int tick = 0; tick < ROUNDS(60); tick++) {
        all = (load){.by = at->workers};
        allocate(fa_self(fa), &all, 64);
        begin(fa);
        everyone(fa, free_load, &all);
        end(fa);
        fa_stats stats = stats_of(fa);
        if (stats.frees_kept > most) most = stats.frees_kept;
        assert_true(stats.frees_kept <= LOAD);
        assert_int_equal(stats.pool_live, stats.frees_kept);
        if (tick == 12) memory = stats.memory_bytes;
        if (tick > 12) assert_true(stats.memory_bytes <= memory + 4 * MIB);
    }
    if (!at->checked && !WITH_ASAN) assert_true(most > 0);
    destroy_quiet(fa, &to);
}

/// The same while the owner needs nothing: what waits settles at a few frames' worth.
static void keep_what_boundaries_leave(const test_case *at)
{
    enum { TICKS = 12 };
    static load stock[TICKS];
    sink to;
    fa_config config = case_config(at, &to);
    config.drain_objects_max = 1;
    fa_system *fa = create(&config);
    for (int tick = 0; tick < TICKS; tick++) {
        stock[tick] = (load){.by = at->workers};
        allocate(fa_self(fa), &stock[tick], 64);
    }
    uint64_t most = 0;
    for (int tick = 0; tick < TICKS; tick++) {
        begin(fa);
        everyone(fa, free_load, &stock[tick]);
        end(fa);
        fa_stats stats = stats_of(fa);
        if (stats.frees_kept > most) most = stats.frees_kept;
        assert_int_equal(stats.pool_live, stats.frees_kept + (uint64_t)(TICKS - 1 - tick) * LOAD);
    }
    assert_in_range(most, 2 * LOAD, 4 * LOAD);
    destroy_quiet(fa, &to);
}

static void what_waits_is_bounded(const test_case *at)
{
    keep_what_the_owner_does_not_need(at);
    keep_what_boundaries_leave(at);
}

/// Somebody who may not even attach frees; his objects are kept likewise.
static void *free_any(void *arg)
{
    load *all = arg;
    fa_system *fa = all->objects[0];
    for (int i = 1; i < LOAD; i++) fa_free_any(fa, all->objects[i]);
    return NULL;
}

static void strangers_frees_are_bounded_too(const test_case *at)
{
    static load all;
    sink to;
    fa_config config = case_config(at, &to);
    config.drain_objects_max = 1000;
    fa_system *fa = create(&config);
    allocate(fa_self(fa), &all, 48);
    fa_pool_free(fa_self(fa), all.objects[0]);
    all.objects[0] = fa;
    pthread_t stranger;
    assert_int_equal(pthread_create(&stranger, NULL, free_any, &all), 0);
    assert_int_equal(pthread_join(stranger, NULL), 0);
    begin(fa);
    end(fa);
    assert_int_equal(stats_of(fa).frees_kept, LOAD - 1 - (LOAD - 1) / 4);
    for (int i = 0; i < 20; i++) {
        begin(fa);
        end(fa);
    }
    assert_int_equal(stats_of(fa).frees_kept, 0);
    assert_int_equal(stats_of(fa).pool_live, 0);
    destroy_quiet(fa, &to);
}

static void a_refusal_takes_everything_home(const test_case *at)
{
    static load all;
    sink to;
    fa_config config = case_config(at, &to);
    config.drain_objects_max = 1;
    config.memory_max = 64 * MIB;
    config.attached_max = 0;
    fa_system *fa = create(&config);
    all = (load){.by = at->workers};
    allocate(fa_self(fa), &all, 64);
    begin(fa);
    everyone(fa, free_load, &all);
    end(fa);
    assert_true(stats_of(fa).frees_kept > 0);
    assert_null(fa_heap_alloc(fa_self(fa), 65 * MIB, 16));
    assert_reported(&to, 301, 1);
    begin(fa);
    end(fa);
    assert_int_equal(stats_of(fa).frees_kept, 0);
    assert_int_equal(stats_of(fa).pool_live, 0);
    destroy_quiet(fa, &to);
}

int main(int argc, char **argv)
{
    static const test_entry entries[] = {
        EACH_OF(a_boundary_takes_no_more_than_it_may, COUNTED("124"), "ny"),
        EACH_OF(by_default_everything_is_taken, COUNTED("124"), "ny"),
        EACH_OF(a_sleeping_owner_gets_all_in_the_end, COUNTED("124"), "ny"),
        EACH_OF(what_waits_is_bounded, COUNTED("124"), "ny"),
        EACH_OF(strangers_frees_are_bounded_too, COUNTED("02"), "ny"),
        EACH_OF(a_refusal_takes_everything_home, COUNTED("12"), "ny"),
    };
    return RUN_MATRIX("drain", entries, argc, argv);
}
