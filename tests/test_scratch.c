// SPDX-License-Identifier: MIT
//
// Scratch pools: names, capacity to the byte, many lanes in one pool, resets and removal while others are at work, and promotion into them.
#include "support.h"

#include <pthread.h>

static fa_scratch create_pool(fa_worker *w, const char *name, uint64_t capacity)
{
    fa_scratch pool;
    assert_int_equal(fa_scratch_create(w, name, capacity, &pool), FA_OK);
    assert_true(pool.id != 0);
    return pool;
}

static fa_scratch_info info_of(fa_worker *w, fa_scratch pool)
{
    fa_scratch_info info;
    memset(&info, 0xee, sizeof info);
    assert_int_equal(fa_scratch_read(w, pool, &info), FA_OK);
    assert_int_equal(info.pool.id, pool.id);
    return info;
}

static fa_stats settle(fa_system *fa, uint64_t bytes)
{
    fa_stats stats;
    double start = seconds_now();
    do {
        begin(fa);
        end(fa);
        stats = stats_of(fa);
    } while (stats.scratch_bytes != bytes && seconds_now() - start < 20);
    return stats;
}

// Names -----------------------------------------------------------------------------------------------------------------

static void found_by_name(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    char name[] = "paths";
    assert_int_equal(fa_scratch_find(w, name).id, 0);
    fa_scratch paths = create_pool(w, name, 0), sound = create_pool(w, "sound", 64 * KIB);
    name[0] = 'X'; // the name was copied
    assert_int_equal(fa_scratch_find(w, "paths").id, paths.id);
    assert_int_equal(fa_scratch_find(w, "sound").id, sound.id);
    assert_int_equal(fa_scratch_find(w, "path").id, 0);
    assert_int_equal(create_pool(w, "paths", 0).id, paths.id);
    assert_int_equal(create_pool(w, "paths", MIB).id, paths.id);
    fa_scratch other = {9};
    assert_int_equal(fa_scratch_create(w, "sound", 32 * KIB, &other), FA_ERROR_STATE);
    assert_int_equal(other.id, 0);
    assert_int_equal(create_pool(w, "sound", 0).id, sound.id);
    fa_scratch_info info = info_of(w, paths);
    assert_string_equal(info.name, "paths");
    assert_int_equal(info.capacity, MIB);
    assert_int_equal(info.remaining, MIB);
    assert_int_equal(info.allocated, 0);
    assert_int_equal(info_of(w, sound).capacity, 64 * KIB);
    destroy_quiet(fa, &to); // pools are the program's, not leaks
}

static void default_capacity_is_configured(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    assert_int_equal(config.scratch_bytes, MIB);
    config.scratch_bytes = 5000; // the odd bytes cannot be had
    config.scratch_max = 2;
    fa_system *fa = create(&config);
    fa_worker *w = fa_self(fa);
    fa_scratch pool = create_pool(w, "a", 0);
    assert_int_equal(info_of(w, pool).capacity, 4992);
    assert_int_equal(create_pool(w, "a", 5000).id, pool.id);
    assert_non_null(fa_scratch_alloc(w, pool, 4992, 0));
    assert_null(fa_scratch_alloc(w, pool, 1, 0));
    assert_reported(&to, 3, 1);
    fa_scratch other = create_pool(w, "b", 16), third = {1};
    assert_int_equal(fa_scratch_create(w, "c", 0, &third), FA_ERROR_FULL);
    assert_int_equal(third.id, 0);
    assert_int_equal(fa_scratch_remove(w, other), FA_OK);
    assert_int_equal(fa_scratch_create(w, "c", 0, &third), FA_ERROR_FULL); // a name keeps its place
    assert_true(create_pool(w, "b", 0).id != other.id);
    destroy_quiet(fa, &to);
    config.scratch_max = 4097;
    assert_int_equal(fa_create(&config, &fa), FA_ERROR_INVALID);
    config.scratch_max = 0;
    config.scratch_bytes = 15;
    assert_int_equal(fa_create(&config, &fa), FA_ERROR_INVALID);
    config.scratch_bytes = config.reserve_bytes + 1;
    assert_int_equal(fa_create(&config, &fa), FA_ERROR_INVALID);
    assert_reported(&to, 907, 3);
    config.scratch_bytes = 16;
    fa = create(&config);
    assert_int_equal(fa_scratch_create(fa_self(fa), "none", 0, &third), FA_ERROR_FULL);
    destroy_quiet(fa, &to);
}

typedef struct meeting {
    uint32_t round;
    atomic_ullong ids[32];
    atomic_uint different;
} meeting;

static void create_the_same(fa_worker *w, void *arg)
{
    meeting *all = arg;
    for (uint32_t i = 0; i < 32; i++) {
        char name[32];
        snprintf(name, sizeof name, "round %u name %u", (unsigned)all->round, (unsigned)i);
        fa_scratch pool;
        EXPECT(fa_scratch_create(w, name, 4096, &pool) == FA_OK);
        unsigned long long none = 0;
        if (!atomic_compare_exchange_strong(&all->ids[i], &none, pool.id) && none != pool.id)
            atomic_fetch_add(&all->different, 1u);
        EXPECT(fa_scratch_find(w, name).id == pool.id);
        EXPECT(fa_scratch_alloc(w, pool, 100, 0) != NULL);
    }
}

static void same_name_same_pool(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    config.scratch_max = 32 * 20;
    fa_system *fa = create(&config);
    fa_worker *w = fa_self(fa);
    meeting all = {0};
    for (all.round = 0; all.round < 20; all.round++) {
        for (uint32_t i = 0; i < 32; i++) atomic_store(&all.ids[i], 0);
        begin(fa);
        everyone(fa, create_the_same, &all);
        end(fa);
        assert_int_equal(atomic_load(&all.different), 0);
        for (uint32_t i = 0; i < 32; i++)
            assert_int_equal(info_of(w, (fa_scratch){atomic_load(&all.ids[i])}).objects, at->workers + 1);
    }
    assert_int_equal(fa_scratch_list(w, NULL, 0), 32 * 20);
    assert_int_equal(stats_of(fa).scratch_pools, 32 * 20);
    assert_int_equal(stats_of(fa).scratch_capacity, 32 * 20 * 4096);
    assert_int_equal(stats_of(fa).scratch_bytes, 32 * 20 * 112 * (at->workers + 1));
    destroy_quiet(fa, &to);
}

// Capacity --------------------------------------------------------------------------------------------------------------

static void one_lane_can_use_all(const test_case *at)
{
    static const uint64_t capacities[] = {16, 48, 1000, 4096, 100000, MIB, 5 * MIB};
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    for (size_t c = 0; c < sizeof capacities / sizeof capacities[0]; c++) {
        for (size_t size = 16; size <= 70000; size = size * 3 + 16) {
            char name[32];
            snprintf(name, sizeof name, "pool %u", (unsigned)c);
            fa_scratch pool = create_pool(w, name, capacities[c]);
            uint64_t capacity = capacities[c] / 16 * 16, got = 0;
            for (void *p; got <= capacity / size && (p = fa_scratch_alloc(w, pool, size, 0)) != NULL; got++)
                fill(p, size, got);
            assert_int_equal(got, capacity / size);
            assert_reported(&to, 3, 1);
            assert_null(fa_scratch_alloc(w, pool, size, 0));
            assert_quiet(&to); // once between resets
            fa_scratch_info info = info_of(w, pool);
            assert_int_equal(info.allocated, got * size);
            assert_int_equal(info.remaining, capacity - got * size);
            if (info.remaining > 0) assert_non_null(fa_scratch_alloc(w, pool, info.remaining, 0)); // to the last byte
            assert_int_equal(info_of(w, pool).remaining, 0);
            assert_null(fa_scratch_alloc(w, pool, 1, 0));
            assert_int_equal(fa_scratch_reset(w, pool), FA_OK);
            assert_int_equal(info_of(w, pool).remaining, capacity);
        }
    }
    destroy_quiet(fa, &to);
}

/// Any mixture of sizes and alignments: what is handed out and what remains is the capacity, to the byte.
static void mixed_sizes_add_up(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    rng random = {test_seed()};
    for (int round = 0; round < ROUNDS(40); round++) {
        uint64_t capacity = 4 * KIB + rng_below(&random, 400000) / 16 * 16;
        char name[32];
        snprintf(name, sizeof name, "mixed %d", round);
        fa_scratch pool = create_pool(w, name, capacity);
        static unsigned char *objects[3000];
        static size_t sizes[3000];
        uint32_t n = 0, refused = 0;
        while (n < 3000 && refused < 50) {
            size_t size = 1 + rng_below(&random, n % 5 == 0 ? 20000 : 300), align = (size_t)1 << rng_below(&random, 13);
            unsigned char *p = fa_scratch_alloc(w, pool, size, align);
            refused += p == NULL;
            if (p == NULL) continue;
            assert_int_equal((uintptr_t)p % align, 0);
            fill(p, size, n);
            sizes[n] = size;
            objects[n++] = p;
            fa_scratch_info info = info_of(w, pool);
            assert_int_equal(info.allocated + info.remaining, capacity);
        }
        for (uint32_t i = 0; i < n; i++) assert_true(is_filled(objects[i], sizes[i], i));
        assert_int_equal(info_of(w, pool).objects, n);
        assert_int_equal(fa_scratch_remove(w, pool), FA_OK);
        atomic_store(&to.codes[3], 0u);
        atomic_store(&to.total, 0u);
    }
    destroy_quiet(fa, &to);
}

enum { DRAINED = MIB / 16 + 1 }; // one more than there is room for

typedef struct drain {
    fa_scratch pool;
    atomic_ullong bytes;
    size_t size;
    unsigned char *objects[5][DRAINED]; // by lane
    uint32_t counts[5];
} drain;

static drain draining;

static drain *drain_of(fa_scratch pool, size_t size)
{
    memset(draining.counts, 0, sizeof draining.counts);
    draining.pool = pool;
    draining.size = size;
    atomic_store(&draining.bytes, 0);
    return &draining;
}

static void take_until_full(fa_worker *w, void *arg)
{
    drain *all = arg;
    uint32_t *n = &all->counts[w->index];
    for (unsigned char *p; *n < DRAINED && (p = fa_scratch_alloc(w, all->pool, all->size, 16)) != NULL; ++*n) {
        memset(p, (int)w->index, all->size);
        p[0] = (unsigned char)~w->index;
        all->objects[w->index][*n] = p;
    }
    atomic_fetch_add(&all->bytes, *n * all->size);
}

/// What each lane wrote is still there.
static void assert_undisturbed(const drain *all)
{
    for (uint32_t lane = 0; lane < 5; lane++)
        for (uint32_t i = 0; i < all->counts[lane]; i++) {
            const unsigned char *p = all->objects[lane][i];
            assert_true(p[0] == (unsigned char)~lane && p[1] == lane && p[all->size - 1] == lane);
        }
}

/// Takes 64 KiB and on, until a window has just been opened: nearly all of it is left then.
static void take_into_a_new_window(fa_worker *w, void *arg)
{
    drain *all = arg;
    unsigned char *last = NULL, *p;
    uint64_t bytes = 0;
    for (bool is_new = false; bytes < 64 * KIB || !is_new; bytes += 16, last = p) {
        p = fa_scratch_alloc(w, all->pool, 16, 16);
        EXPECT(p != NULL);
        if (p == NULL) break;
        is_new = last == NULL || p != last + 16;
    }
    atomic_fetch_add(&all->bytes, bytes);
}

static void capacity_holds_for_all_lanes(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    for (int round = 0; round < 30; round++) {
        drain *all = drain_of(create_pool(w, "shared", MIB), (size_t)16 << round % 6);
        begin(fa);
        everyone(fa, take_until_full, all);
        end(fa);
        assert_undisturbed(all);
        assert_true(atomic_load(&all->bytes) <= MIB);
        // All ran until refused, so in each lane's window there is less than an object.
        assert_true(atomic_load(&all->bytes) + (at->workers + 1) * all->size > MIB);
        fa_scratch_info info = info_of(w, all->pool);
        assert_int_equal(info.allocated, atomic_load(&all->bytes));
        assert_true(info.allocated + info.remaining <= MIB);
        assert_reported(&to, 3, 1);
        assert_true(stats_of(fa).scratch_refused >= at->workers + 1);
        assert_int_equal(fa_scratch_reset(w, all->pool), FA_OK);
    }
    assert_int_equal(settle(fa, 0).scratch_bytes, 0);
    destroy_quiet(fa, &to);
}

/// What other lanes' windows keep from this lane: at most 1/64 of the capacity each.
static void little_is_stranded(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    drain *all = drain_of(create_pool(w, "stranded", MIB), 16);
    begin(fa);
    everyone(fa, take_into_a_new_window, all);
    fa_scratch_info info = info_of(w, all->pool);
    assert_int_equal(info.allocated, atomic_load(&all->bytes));
    assert_true(info.capacity - info.allocated - info.remaining <= at->workers * MIB / 64);
    take_until_full(w, all);
    assert_reported(&to, 3, 1);
    assert_true(atomic_load(&all->bytes) >= MIB - at->workers * (MIB / 64));
    assert_int_equal(info_of(w, all->pool).remaining, 0);
    end(fa);
    destroy_quiet(fa, &to);
}

enum { LOOKS = 250, TAKEN_BETWEEN = 4096 };

typedef struct onlooker {
    fa_system *fa;
    fa_scratch pool;
    atomic_uint wanted, done; // looks
    uint64_t remaining;       // for the onlooker's lane
} onlooker;

static void *look_on(void *arg)
{
    onlooker *at = arg;
    fa_worker *w;
    EXPECT(fa_attach(at->fa, &w) == FA_OK);
    for (uint32_t n = 1; n <= LOOKS; n++) {
        fa_scratch_info info;
        while (atomic_load(&at->wanted) < n) sched_yield();
        EXPECT(fa_scratch_read(w, at->pool, &info) == FA_OK);
        at->remaining = info.remaining;
        atomic_store(&at->done, n);
    }
    EXPECT(fa_detach(w) == FA_OK);
    return NULL;
}

/// The same all the way until the pool is full: a lane that allocates much has larger windows, but they shrink with what is left.
static void windows_shrink_with_what_is_left(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    onlooker other = {.fa = fa, .pool = create_pool(w, "shrinking", MIB)};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, look_on, &other), 0);
    for (uint32_t n = 1; n <= LOOKS; n++) {
        for (uint32_t i = 0; i < TAKEN_BETWEEN / 16; i++) EXPECT(fa_scratch_alloc(w, other.pool, 16, 16) != NULL);
        atomic_store(&other.wanted, n);
        while (atomic_load(&other.done) < n) sched_yield();
        uint64_t left = MIB - (uint64_t)n * TAKEN_BETWEEN, stranded = left - other.remaining;
        EXPECT(other.remaining <= left && stranded <= MIB / 64);
        EXPECT(left > 64 * KIB || stranded <= 2 * KIB); // of a window that was opened when less than 80 KiB were left
    }
    pthread_join(thread, NULL);
    destroy_quiet(fa, &to);
}

static void aligned_by_address(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    fa_scratch pool = create_pool(w, "aligned", MIB);
    uint64_t n = 0;
    for (size_t align = 1; align <= 4 * MIB; align *= 2) {
        for (size_t i = 0; i < 4; i++, n++) {
            unsigned char *p = fa_scratch_alloc(w, pool, 33 + i, align);
            assert_non_null(p);
            assert_int_equal((uintptr_t)p % align, 0);
            fill(p, 33 + i, n);
        }
    }
    assert_true(info_of(w, pool).allocated < 64 * KIB); // large alignment does not cost capacity
    destroy_quiet(fa, &to);
}

// Frames, resets, removal -----------------------------------------------------------------------------------------------

static void survives_frames(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    fa_scratch pool = create_pool(w, "cache", 0);
    static unsigned char *p[100];
    for (uint32_t i = 0; i < 100; i++) {
        begin(fa);
        p[i] = fa_scratch_alloc(w, pool, 1 + i * 50, 0);
        fill(p[i], 1 + i * 50, i);
        memset(fa_frame_alloc(w, 50000), 0xee, 50000);
        end(fa);
    }
    for (uint32_t i = 0; i < 100; i++) assert_true(is_filled(p[i], 1 + i * 50, i));
    assert_int_equal(info_of(w, pool).objects, 100);
    fa_scratch other = create_pool(w, "other", 0);
    assert_non_null(fa_scratch_new(w, other, uint64_t));
    assert_non_null(fa_scratch_array(w, other, uint64_t, 10));
    assert_int_equal(fa_scratch_reset(w, other), FA_OK);
    for (uint32_t i = 0; i < 100; i++) assert_true(is_filled(p[i], 1 + i * 50, i)); // a reset is of one pool
    assert_int_equal(info_of(w, other).objects, 0);
    assert_int_equal(fa_scratch_reset_all(w), FA_OK);
    assert_int_equal(info_of(w, pool).objects, 0);
    assert_int_equal(info_of(w, pool).remaining, MIB);
    assert_non_null(fa_scratch_alloc(w, pool, 10, 0)); // the handle goes on
    destroy_quiet(fa, &to);
}

static void removed_handles_are_refused(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    fa_scratch gone = create_pool(w, "pool", 4096);
    assert_non_null(fa_scratch_alloc(w, gone, 100, 0));
    assert_int_equal(fa_scratch_remove(w, gone), FA_OK);
    assert_int_equal(fa_scratch_find(w, "pool").id, 0);
    fa_scratch again = create_pool(w, "pool", 8192); // may have another capacity now
    assert_true(again.id != gone.id);
    assert_int_equal(info_of(w, again).capacity, 8192);
    assert_int_equal(info_of(w, again).objects, 0);
    fa_group group;
    assert_int_equal(fa_group_create(w, "group", &group), FA_OK);
    fa_scratch wrong[] = {gone, {0}, {UINT64_MAX}, {again.id + 1}, {group.id}};
    fa_scratch_info info;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_null(fa_scratch_alloc(w, wrong[i], 10, 0));
        assert_int_equal(fa_scratch_reset(w, wrong[i]), FA_ERROR_STALE);
        assert_int_equal(fa_scratch_remove(w, wrong[i]), FA_ERROR_STALE);
        assert_reported(&to, 201, at->checked ? 3 : 0);
        assert_int_equal(fa_scratch_read(w, wrong[i], &info), FA_ERROR_STALE);
        assert_int_equal(info.capacity, 0);
    }
    assert_null(fa_group_alloc(w, (fa_group){again.id}, 10, 0));
    assert_reported(&to, 201, at->checked ? 1 : 0);
    assert_int_equal(fa_group_free(w, group), FA_OK);
    assert_int_equal(settle(fa, 0).scratch_bytes, 0);
    assert_int_equal(stats_of(fa).scratch_pools, 1);
    assert_int_equal(stats_of(fa).scratch_capacity, 8192);
    destroy_quiet(fa, &to);
}

typedef struct resets {
    fa_scratch pool;
    atomic_uint resets;
} resets;

static void allocate_and_reset(fa_worker *w, void *arg)
{
    resets *all = arg;
    for (uint32_t i = 0; i < 1500; i++) {
        unsigned char *p[4];
        for (uint32_t j = 0; j < 4; j++) {
            p[j] = fa_scratch_alloc(w, all->pool, 40 + 16 * j, 16);
            if (p[j] != NULL) fill(p[j], 40 + 16 * j, w->index * 7 + j);
        }
        fa_scratch_info info;
        EXPECT(fa_scratch_read(w, all->pool, &info) == FA_OK && info.allocated <= info.capacity);
        if (i % 16 == 0) sched_yield();
        // Others reset meanwhile; this job has not ended, so what it has is still its own.
        for (uint32_t j = 0; j < 4; j++) EXPECT(p[j] == NULL || is_filled(p[j], 40 + 16 * j, w->index * 7 + j));
        if (i % 50 == w->index * 11) {
            EXPECT(fa_scratch_reset(w, all->pool) == FA_OK);
            atomic_fetch_add(&all->resets, 1u);
        }
    }
}

static void reset_while_others_allocate(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    resets all = {.pool = create_pool(w, "restless", 256 * KIB)};
    for (int round = 0; round < ROUNDS(12); round++) {
        begin(fa);
        everyone(fa, allocate_and_reset, &all);
        end(fa);
    }
    assert_true(atomic_load(&all.resets) > 0);
    atomic_store(&to.codes[3], 0u); // how often it was full is chance
    atomic_store(&to.total, 0u);
    assert_int_equal(fa_scratch_remove(w, all.pool), FA_OK);
    fa_stats stats = settle(fa, 0);
    assert_int_equal(stats.scratch_bytes, 0);
    assert_int_equal(stats.scratch_pools, 0);
    assert_int_equal(stats.scratch_capacity, 0);
    destroy_quiet(fa, &to);
}

static void create_and_remove(fa_worker *w, void *arg)
{
    (void)arg;
    unsigned char *last = NULL;
    for (uint32_t i = 0; i < 400; i++) {
        fa_scratch pool;
        EXPECT(fa_scratch_create(w, i % 2 == 0 ? "even" : "odd", 8192, &pool) == FA_OK);
        unsigned char *p = fa_scratch_alloc(w, pool, 100, 0);
        if (p != NULL) fill(p, 100, w->index);
        if (i % 16 == 0) sched_yield();
        // Others reset and remove; this job has not ended, so what it has is its own until it does that itself.
        EXPECT(p == NULL || is_filled(p, 100, w->index));
        EXPECT(last == NULL || is_filled(last, 100, w->index));
        last = i % 3 == 2 ? p : NULL;
        if (i % 3 == 0) (void)fa_scratch_reset_all(w);
        fa_status status = i % 3 == 1 ? fa_scratch_remove(w, pool) : FA_OK;
        EXPECT(status == FA_OK || status == FA_ERROR_STALE);
    }
}

static void removed_while_others_use_it(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    for (int round = 0; round < ROUNDS(8); round++) {
        begin(fa);
        everyone(fa, create_and_remove, NULL);
        end(fa);
    }
    for (int i = 0; i < 2; i++) {
        fa_scratch pool = fa_scratch_find(w, i == 0 ? "even" : "odd");
        if (pool.id != 0) assert_int_equal(fa_scratch_remove(w, pool), FA_OK);
    }
    memset(to.codes, 0, sizeof to.codes); // refusals of removed handles in checked systems, full pools
    atomic_store(&to.total, 0u);
    fa_stats stats = settle(fa, 0);
    assert_int_equal(stats.scratch_bytes, 0);
    assert_int_equal(stats.scratch_pools, 0);
    assert_int_equal(stats.scratch_capacity, 0);
    destroy_quiet(fa, &to);
}

/// A pool that is filled and reset every frame finds its memory again: at once if the workers rest by then, else after a grace period of
/// some milliseconds, which may be many such short frames.
static void resets_do_not_grow(const test_case *at)
{
    enum { FRAMES = 600 };
    sink to;
    fa_config config = case_config(at, &to);
    config.attached_max = 0;
    config.memory_max = at->workers == 0 ? 8 * MIB : 200 * MIB;
    config.reserve_bytes = 256 * MIB;
    fa_system *fa = create(&config);
    fa_worker *w = fa_self(fa);
    fa_scratch pool = create_pool(w, "frame by frame", MIB);
    for (int frame = 0; frame < FRAMES; frame++) {
        begin(fa);
        drain *all = drain_of(pool, 1000);
        assert_int_equal(fa_submit(w, take_until_full, all), FA_OK);
        end(fa);
        assert_true(atomic_load(&all->bytes) + 2000 > MIB / 1008 * 1000);
        assert_int_equal(fa_scratch_reset(w, pool), FA_OK);
    }
    assert_reported(&to, 3, FRAMES);
    assert_true(stats_of(fa).memory_peak <= config.memory_max);
    destroy_quiet(fa, &to);
}

// Questions and misuse --------------------------------------------------------------------------------------------------

static void all_pools_are_listed(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    fa_scratch pools[5];
    for (int i = 0; i < 5; i++) {
        char name[] = {'p', (char)('0' + i), '\0'};
        pools[i] = create_pool(w, name, (uint64_t)1024 << i);
        for (int j = 0; j < i; j++) assert_non_null(fa_scratch_alloc(w, pools[i], 30, 0));
    }
    assert_int_equal(fa_scratch_remove(w, pools[2]), FA_OK);
    fa_scratch_info infos[5];
    memset(infos, 0xee, sizeof infos);
    assert_int_equal(fa_scratch_list(w, infos, 5), 4);
    static const int left[] = {0, 1, 3, 4};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(infos[i].pool.id, pools[left[i]].id);
        assert_int_equal(infos[i].name[1], '0' + left[i]);
        assert_int_equal(infos[i].capacity, 1024 << left[i]);
        assert_int_equal(infos[i].objects, left[i]);
        assert_int_equal(infos[i].allocated, 32 * left[i]);
    }
    memset(infos, 0xee, sizeof infos);
    assert_int_equal(fa_scratch_list(w, infos, 1), 4);
    assert_int_equal(infos[1].capacity, UINT64_C(0xeeeeeeeeeeeeeeee));
    assert_int_equal(fa_scratch_list(NULL, infos, 5), 0);
    begin(fa);
    end(fa);
    fa_stats stats = stats_of(fa);
    assert_int_equal(stats.scratch_pools, 4);
    assert_int_equal(stats.scratch_capacity, 1024 * (1 + 2 + 8 + 16));
    assert_int_equal(stats.scratch_bytes, 32 * (1 + 3 + 4));
    destroy_quiet(fa, &to);
}

static void bad_requests_are_answered(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    fa_scratch pool = {5};
    char too_long[FA_NAME_MAX + 2];
    memset(too_long, 'x', sizeof too_long);
    too_long[FA_NAME_MAX + 1] = '\0';
    assert_int_equal(fa_scratch_create(NULL, "x", 0, &pool), FA_ERROR_INVALID);
    assert_int_equal(pool.id, 0);
    assert_int_equal(fa_scratch_create(w, NULL, 0, &pool), FA_ERROR_INVALID);
    assert_int_equal(fa_scratch_create(w, "", 0, &pool), FA_ERROR_INVALID);
    assert_int_equal(fa_scratch_create(w, too_long, 0, &pool), FA_ERROR_INVALID);
    assert_int_equal(fa_scratch_create(w, "x", 0, NULL), FA_ERROR_INVALID);
    assert_int_equal(fa_scratch_create(w, "x", 15, &pool), FA_ERROR_INVALID);
    assert_int_equal(fa_scratch_create(w, "x", UINT64_MAX, &pool), FA_ERROR_INVALID);
    assert_int_equal(fa_scratch_find(NULL, "x").id, 0);
    assert_int_equal(fa_scratch_find(w, NULL).id, 0);
    assert_int_equal(fa_scratch_find(w, too_long).id, 0);
    assert_int_equal(fa_scratch_list(w, NULL, 0), 0); // nothing was made
    pool = create_pool(w, "x", 1000);
    assert_null(fa_scratch_alloc(NULL, pool, 10, 0));
    assert_null(fa_scratch_alloc_array(NULL, pool, 10, 10, 0));
    assert_null(fa_scratch_alloc(w, pool, 0, 0));
    assert_quiet(&to);
    assert_null(fa_scratch_alloc(w, pool, 10, 48));
    assert_reported(&to, 903, 1);
    assert_null(fa_scratch_alloc(w, pool, SIZE_MAX, 0));
    assert_reported(&to, 3, 1);
    assert_null(fa_scratch_alloc(w, pool, 16, (size_t)1 << 63));
    assert_null(fa_scratch_alloc_array(w, pool, SIZE_MAX / 2 + 2, 2, 0));
    assert_reported(&to, 914, 1);
    assert_null(fa_scratch_alloc(w, pool, 1001, 0));
    assert_int_equal(info_of(w, pool).objects, 0);
    assert_int_equal(info_of(w, pool).remaining, 992);
    assert_non_null(fa_scratch_alloc(w, pool, 992, 0));
    assert_int_equal(fa_scratch_reset(NULL, pool), FA_ERROR_INVALID);
    assert_int_equal(fa_scratch_remove(NULL, pool), FA_ERROR_INVALID);
    assert_int_equal(fa_scratch_reset_all(NULL), FA_ERROR_INVALID);
    assert_int_equal(fa_scratch_read(NULL, pool, &(fa_scratch_info){0}), FA_ERROR_INVALID);
    assert_int_equal(fa_scratch_read(w, pool, NULL), FA_ERROR_INVALID);
    destroy_quiet(fa, &to);
}

static void memory_max_holds(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    config.attached_max = 0;
    config.memory_max = 12 * MIB;
    config.reserve_bytes = 64 * MIB;
    fa_system *fa = create(&config);
    fa_worker *w = fa_self(fa);
    drain *all = drain_of(create_pool(w, "larger than memory", 40 * MIB), 3000);
    take_until_full(w, all);
    assert_true(atomic_load(&all->bytes) > 6 * MIB && atomic_load(&all->bytes) <= 12 * MIB);
    assert_int_equal(info_of(w, all->pool).allocated, atomic_load(&all->bytes) / 3000 * 3008);
    begin(fa);
    end(fa);
    assert_int_equal(stats_of(fa).scratch_refused, 1);
    assert_reported(&to, 301, 1);
    assert_true(stats_of(fa).memory_peak <= 12 * MIB);
    assert_int_equal(fa_scratch_remove(w, all->pool), FA_OK);
    assert_int_equal(settle(fa, 0).scratch_bytes, 0);
    destroy_quiet(fa, &to);
}

// Tags ------------------------------------------------------------------------------------------------------------------

static void tags_pay_until_the_reset(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    fa_tag tag = tag_of(fa, "navigation"), other = tag_of(fa, "other");
    fa_scratch pool = create_pool(w, "tagged", MIB);
    assert_int_equal(fa_budget_set(fa, tag, 0, 100000), FA_OK);
    for (int round = 0; round < 4; round++) {
        begin(fa);
        uint64_t got = 0;
        {
            FA_TAG_AT(w, other);
            assert_non_null(fa_scratch_alloc(w, pool, 16, 0)); // has a window of its own
        }
        {
            FA_TAG_AT(w, tag);
            while (fa_scratch_alloc(w, pool, 160, 0) != NULL) got++;
        }
        assert_int_equal(got, 625);
        assert_int_equal(tag_stats(fa, tag).held[FA_TAG_SCRATCH], 100000);
        assert_reported(&to, 302, 1);
        fa_scratch_info info = info_of(w, pool);
        assert_int_equal(info.allocated, 100016);
        assert_in_range(info.allocated + info.remaining, MIB, MIB); // to the byte
        end(fa);
        assert_int_equal(fa_scratch_reset(w, pool), FA_OK);
        (void)settle(fa, 0);
        assert_int_equal(tag_stats(fa, tag).charged, 0);
        assert_int_equal(tag_stats(fa, other).charged, 0);
    }
    destroy_quiet(fa, &to);
}

// Promotion -------------------------------------------------------------------------------------------------------------

static void *retain(fa_worker *w, size_t size, size_t align, fa_scratch pool, uint64_t user)
{
    fa_retain how = {.to = FA_RETAIN_SCRATCH, .user = user, .scratch = pool};
    return fa_frame_retained(w, size, align, &how);
}

static fa_frame_result end_with_result(fa_system *fa)
{
    fa_frame_result result;
    memset(&result, 0xee, sizeof result);
    assert_int_equal(fa_frame_end(fa, &result), FA_OK);
    return result;
}

static void promoted_into_a_pool(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    fa_scratch pool = create_pool(w, "promoted", 4 * MIB);
    begin(fa);
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < 60; i++) {
        size_t size = 1 + i * i * 17;
        unsigned char *p = retain(w, size, (size_t)1 << i % 13, pool, i);
        assert_non_null(p);
        fill(p, size, i);
        bytes += size;
    }
    fa_retain how = fa_retain_for(FA_SCRATCH);
    how.scratch = pool;
    how.user = 60;
    unsigned char *large = fa_frame_retained(w, MIB, 64, &how); // a span of its own in the frame
    assert_non_null(large);
    fill(large, MIB, 60);
    fa_frame_result result = end_with_result(fa);
    assert_int_equal(result.count, 61);
    assert_int_equal(result.to_scratch, 61);
    assert_int_equal(result.scratch_bytes, bytes + MIB);
    assert_int_equal(result.to_pool + result.to_heap + result.failed + result.discarded, 0);
    for (uint32_t i = 0; i < 61; i++) {
        const fa_promotion *item = &result.items[i];
        assert_int_equal(item->status, FA_PROMOTED);
        assert_int_equal(item->destination, FA_RETAIN_SCRATCH);
        assert_int_equal(item->user, i);
        assert_int_equal((uintptr_t)item->to % (i < 60 ? (size_t)1 << i % 13 : 64), 0);
        assert_true(is_filled(item->to, item->size, i));
    }
    assert_int_equal(info_of(w, pool).objects, 61);
    fa_stats stats = stats_of(fa);
    assert_int_equal(stats.promoted, 61);
    assert_int_equal(stats.promoted_bytes, bytes + MIB);
    assert_int_equal(stats.scratch_bytes, info_of(w, pool).allocated);
    const void *kept = result.items[59].to;
    size_t kept_size = result.items[59].size;
    for (int frame = 0; frame < 3; frame++) {
        begin(fa);
        memset(fa_frame_alloc(w, 100000), 0xee, 100000);
        end(fa);
    }
    assert_true(is_filled(kept, kept_size, 59));
    assert_int_equal(fa_scratch_reset(w, pool), FA_OK);
    assert_int_equal(settle(fa, 0).scratch_bytes, 0);
    destroy_quiet(fa, &to);
}

static void promotion_says_why_not(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    config.attached_max = 0;
    config.memory_max = 16 * MIB;
    config.reserve_bytes = 64 * MIB;
    fa_system *fa = create(&config);
    fa_worker *w = fa_self(fa);
    fa_scratch small = create_pool(w, "small", 100), gone = create_pool(w, "gone", 0),
               vast = create_pool(w, "vast", 60 * MIB);
    begin(fa);
    fill(retain(w, 96, 16, small, 0), 96, 0);
    assert_non_null(retain(w, 1, 1, small, 1)); // full by then
    assert_non_null(retain(w, 10, 1, gone, 2));
    assert_non_null(retain(w, 10, 1, (fa_scratch){0}, 3));
    assert_non_null(retain(w, 9 * MIB, 1, vast, 4)); // twice does not fit into memory_max
    assert_int_equal(fa_scratch_remove(w, gone), FA_OK);
    fa_frame_result result = end_with_result(fa);
    static const fa_promotion_status wanted[] = {FA_PROMOTED, FA_PROMOTION_SCRATCH_FULL, FA_PROMOTION_NO_SCRATCH,
                                                 FA_PROMOTION_NO_SCRATCH, FA_PROMOTION_MEMORY};
    assert_int_equal(result.count, 5);
    for (uint32_t i = 0; i < 5; i++) {
        assert_int_equal(result.items[i].status, wanted[i]);
        assert_int_equal(result.items[i].to != NULL, i == 0);
    }
    assert_true(is_filled(result.items[0].to, 96, 0));
    assert_int_equal(result.to_scratch, 1);
    assert_int_equal(result.failed, 4);
    assert_int_equal(result.failed_bytes, 21 + 9 * MIB);
    assert_int_equal(stats_of(fa).promotion_failed, 4);
    assert_int_equal(sink_count(&to, 904), 1);
    assert_int_equal(sink_count(&to, 3), 1);
    assert_int_equal(atomic_load(&to.total), 2);
    memset(to.codes, 0, sizeof to.codes);
    atomic_store(&to.total, 0u);
    // A cell's versions are freed one by one; scratch memory is not.
    fa_cell cell = {0};
    begin(fa);
    fa_retain how = {.to = FA_RETAIN_SCRATCH, .cell = &cell, .scratch = small};
    assert_null(fa_frame_retained(w, 10, 1, &how));
    assert_reported(&to, 903, 1);
    end(fa);
    destroy_quiet(fa, &to);
}

/// Without a list nobody would learn where the object is.
static void an_end_without_a_list_takes_no_room(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    fa_scratch pool = create_pool(w, "unlisted", 4096);
    for (int round = 0; round < 3; round++) {
        begin(fa);
        assert_non_null(retain(w, 100, 16, pool, 0));
        fa_frame_result summary;
        assert_int_equal(round == 0 ? fa_frame_end(fa, NULL) : fa_frame_end_summary(fa, &summary), FA_OK);
        if (round > 0) assert_int_equal(summary.discarded, 1);
        assert_int_equal(info_of(w, pool).objects, 0);
    }
    destroy_quiet(fa, &to);
}

enum { RETAINED = 250 };

static void retain_backwards(fa_worker *w, uint64_t first, uint64_t last, void *arg)
{
    for (uint64_t i = first; i < last; i++) {
        uint64_t place = RETAINED - 1 - i; // by its key: the last is first
        fa_retain how = {.to = FA_RETAIN_SCRATCH, .user = place, .key = place, .scratch = *(fa_scratch *)arg};
        void *p = fa_frame_retained(w, 32, 16, &how);
        EXPECT(p != NULL);
        if (p != NULL) fill(p, 32, place);
    }
}

/// Which of too many find room does not depend on who ran what.
static void the_first_in_order_find_room(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    fa_scratch pool = create_pool(w, "room for 100", 3200);
    for (int round = 0; round < 10; round++) {
        begin(fa);
        assert_int_equal(fa_parallel_for(w, 0, RETAINED, 1, retain_backwards, &pool), FA_OK);
        fa_frame_result result = end_with_result(fa);
        assert_int_equal(result.count, RETAINED);
        for (uint32_t i = 0; i < RETAINED; i++) {
            assert_int_equal(result.items[i].user, i);
            assert_int_equal(result.items[i].status, i < 100 ? FA_PROMOTED : FA_PROMOTION_SCRATCH_FULL);
            if (i < 100) assert_true(is_filled(result.items[i].to, 32, i));
        }
        assert_int_equal(fa_scratch_reset(w, pool), FA_OK);
    }
    atomic_store(&to.total, 0u);
    memset(to.codes, 0, sizeof to.codes);
    destroy_quiet(fa, &to);
}

int main(int argc, char **argv)
{
    static const test_entry entries[] = {
        EACH_OF(found_by_name, "02", "ny"),
        EACH_OF(default_capacity_is_configured, "02", "ny"),
        EACH_OF(same_name_same_pool, COUNTED("0124"), "ny"),
        EACH_OF(one_lane_can_use_all, "02", "ny"),
        EACH_OF(mixed_sizes_add_up, "02", "ny"),
        EACH_OF(capacity_holds_for_all_lanes, COUNTED("0124"), "ny"),
        EACH(little_is_stranded),
        EACH_OF(windows_shrink_with_what_is_left, "02", "ny"),
        EACH_OF(aligned_by_address, "0", "ny"),
        EACH_OF(survives_frames, "02", "ny"),
        EACH_OF(removed_handles_are_refused, COUNTED("02"), "ny"),
        EACH_OF(reset_while_others_allocate, COUNTED("0124"), "ny"),
        EACH_OF(removed_while_others_use_it, COUNTED("0124"), "ny"),
        EACH_OF(resets_do_not_grow, COUNTED("0124"), "ny"),
        EACH_OF(all_pools_are_listed, COUNTED("02"), "ny"),
        EACH_OF(bad_requests_are_answered, "02", "ny"),
        EACH_OF(memory_max_holds, COUNTED("02"), "ny"),
        EACH_OF(tags_pay_until_the_reset, COUNTED("02"), "ny"),
        EACH_OF(promoted_into_a_pool, COUNTED("0124"), "ny"),
        EACH_OF(promotion_says_why_not, COUNTED("02"), "ny"),
        EACH_OF(an_end_without_a_list_takes_no_room, "02", "ny"),
        EACH(the_first_in_order_find_room),
    };
    return RUN_MATRIX("scratch", entries, argc, argv);
}
