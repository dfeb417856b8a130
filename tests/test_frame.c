// SPDX-License-Identifier: MIT
//
// Frame memory: sizes and alignments by address, reuse, growth, limits and what is refused, and figures that are exact at the boundary.
#include "support.h"

#include <stddef.h>

#include <pthread.h>

#define SPAN_UNIT (64 * KIB)

// Sizes and alignments --------------------------------------------------------------------------------------------------

static void sizes_and_alignments(const test_case *at)
{
    static const size_t sizes[] = {1,
                                   2,
                                   15,
                                   16,
                                   17,
                                   31,
                                   100,
                                   1000,
                                   4095,
                                   4096,
                                   65536,
                                   300000,
                                   512 * KIB - 1,
                                   512 * KIB,
                                   512 * KIB + 1,
                                   MIB,
                                   2 * MIB,
                                   2 * MIB + 1,
                                   4 * MIB};
    enum { SIZES = sizeof sizes / sizeof sizes[0] };
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    for (size_t align = 1; align <= 4 * MIB; align *= 2) {
        unsigned char *p[SIZES];
        begin(fa);
        for (size_t i = 0; i < SIZES; i++) {
            p[i] = fa_frame_alloc_aligned(w, sizes[i], align);
            assert_non_null(p[i]);
            assert_int_equal((uintptr_t)p[i] % align, 0);
            assert_int_equal((uintptr_t)p[i] % FA_ALIGN_DEFAULT, 0);
            fill(p[i], sizes[i], i);
        }
        for (size_t i = 0; i < SIZES; i++) {
            assert_true(is_filled(p[i], sizes[i], i));
            for (size_t j = 0; j < i; j++) assert_true(p[i] + sizes[i] <= p[j] || p[j] + sizes[j] <= p[i]);
        }
        end(fa);
    }
    destroy_quiet(fa, &to);
}

typedef struct aligned_type {
    _Alignas(128) char bytes[3];
} aligned_type;

static void typed_forms(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    begin(fa);
    for (int i = 0; i < 20; i++) {
        (void)fa_frame_new(w, char);
        (void)fa_scope_new(w, char);
        assert_int_equal((uintptr_t)fa_frame_new(w, aligned_type) % 128, 0);
        assert_int_equal((uintptr_t)fa_frame_array(w, aligned_type, 3) % 128, 0);
        assert_int_equal((uintptr_t)fa_scope_new(w, aligned_type) % 128, 0);
        assert_int_equal((uintptr_t)fa_scope_array(w, aligned_type, 3) % 128, 0);
    }
    end(fa);
    destroy_quiet(fa, &to);
}

// Random sizes on all lanes ---------------------------------------------------------------------------------------------

enum { PIECES = 400 };

typedef struct crowd {
    uint64_t seed;
    atomic_ullong bytes;
    unsigned char *memory[16][PIECES];
    uint32_t sizes[16][PIECES];
} crowd;

static void allocate_pieces(fa_worker *w, void *arg)
{
    crowd *all = arg;
    rng from = {all->seed + w->index};
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < PIECES; i++) {
        uint32_t size = i % 100 == 50 ? (uint32_t)MIB : 1 + rng_below(&from, i % 10 == 0 ? 60000 : 600);
        all->memory[w->index][i] = fa_frame_alloc(w, size);
        all->sizes[w->index][i] = size;
        EXPECT(all->memory[w->index][i] != NULL);
        fill(all->memory[w->index][i], size, w->index * PIECES + i);
        bytes += (size + 15) & ~15u;
    }
    atomic_fetch_add(&all->bytes, bytes);
}

static void exact_figures(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    static crowd all;
    all.seed = test_seed();
    uint64_t peak = 0;
    for (int frame = 1; frame <= 6; frame++, all.seed++) {
        atomic_store(&all.bytes, 0u);
        begin(fa);
        assert_int_equal(fa_frame_number(fa), frame);
        everyone(fa, allocate_pieces, &all);
        if (frame == 4) everyone(fa, allocate_pieces, &all);
        for (uint32_t lane = 0; lane <= at->workers; lane++)
            for (uint32_t i = 0; i < PIECES; i++)
                assert_true(is_filled(all.memory[lane][i], all.sizes[lane][i], lane * PIECES + i));
        end(fa);
        fa_stats stats = stats_of(fa);
        uint64_t bytes = atomic_load(&all.bytes);
        if (bytes > peak) peak = bytes;
        assert_int_equal(stats.frame, frame);
        assert_int_equal(stats.frame_bytes, bytes);
        assert_int_equal(stats.frame_bytes_peak, peak);
        assert_true(stats.frame_blocks >= at->workers + 1);
    }
    begin(fa);
    end(fa);
    assert_int_equal(stats_of(fa).frame_bytes, 0);
    assert_int_equal(stats_of(fa).frame_bytes_peak, peak);
    destroy_quiet(fa, &to);
}

/// What one frame of an otherwise quiet system does, and which figure it raises by one at that frame's boundary.
typedef struct quiet_change {
    void (*change)(fa_worker *w);
    size_t figure; // offset in fa_stats
} quiet_change;

static void change_heap_by_promotion(fa_worker *w)
{
    const fa_retain to_heap = {.to = FA_RETAIN_HEAP};
    assert_non_null(fa_frame_retained(w, MIB, 16, &to_heap)); // a span, which is handed over as it is
}

static void change_heap(fa_worker *w)
{
    assert_non_null(fa_heap_alloc(w, 100, 16));
}

static void change_pool(fa_worker *w)
{
    assert_non_null(fa_pool_alloc(w, 48));
}

static void change_handles(fa_worker *w)
{
    assert_false(fa_handle_is_none(fa_handle_alloc(w, 64, 16, NULL)));
}

static void change_streams(fa_worker *w)
{
    fa_stream stream;
    assert_int_equal(fa_stream_reserve(w, KIB, FA_STREAM_NORMAL, NULL, &stream), FA_OK);
}

static void change_groups(fa_worker *w)
{
    fa_group group;
    assert_int_equal(fa_group_create(w, "quiet", &group), FA_OK);
}

static void change_scratch(fa_worker *w)
{
    static const char *const names[] = {"quiet", "quieter"};
    fa_scratch scratch;
    bool again = fa_scratch_find(w, names[0]).id != 0;
    assert_int_equal(fa_scratch_create(w, names[again], KIB, &scratch), FA_OK);
}

static void do_nothing(fa_worker *w, void *arg)
{
    (void)w, (void)arg;
}

static void change_jobs(fa_worker *w)
{
    assert_int_equal(fa_submit(w, do_nothing, NULL), FA_OK);
}

static uint64_t figure_of(fa_system *fa, size_t offset)
{
    fa_stats stats = stats_of(fa);
    uint64_t value;
    memcpy(&value, (const char *)&stats + offset, sizeof value);
    return value;
}

static void empty_frames(fa_system *fa, int count)
{
    for (int i = 0; i < count; i++) {
        begin(fa);
        end(fa);
    }
}

/// Boundaries at which nothing happened write little; none may miss what did happen.
static void a_quiet_system_shows_each_change_at_once(const test_case *at)
{
    static const quiet_change changes[] = {
        {change_heap_by_promotion, offsetof(fa_stats, heap_live)},
        {change_heap_by_promotion, offsetof(fa_stats, promoted)},
        {change_jobs, offsetof(fa_stats, jobs)},
        {change_heap, offsetof(fa_stats, heap_live)},
        {change_handles, offsetof(fa_stats, handle_live)},
        {change_streams, offsetof(fa_stats, streams)},
        {change_groups, offsetof(fa_stats, groups)},
        {change_scratch, offsetof(fa_stats, scratch_pools)},
        {change_pool, offsetof(fa_stats, pool_live)},
    };
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        sink to;
        fa_system *fa = create_case(at, &to);
        empty_frames(fa, 5);
        for (int round = 0; round < 2; round++) {
            uint64_t before = figure_of(fa, changes[i].figure);
            begin(fa);
            changes[i].change(fa_self(fa));
            fa_frame_result result;
            assert_int_equal(fa_frame_end(fa, &result), FA_OK);
            assert_int_equal(figure_of(fa, changes[i].figure), before + 1);
            empty_frames(fa, 3);
            assert_int_equal(figure_of(fa, changes[i].figure), before + 1);
            assert_int_equal(stats_of(fa).frame, fa_frame_number(fa));
        }
        assert_int_equal(fa_destroy(fa), FA_OK); // reports as leaks what was not freed
    }
}

typedef struct stats_reader {
    fa_system *fa;
    atomic_bool stop;
    atomic_uint reads;
} stats_reader;

static void *read_statistics(void *arg)
{
    stats_reader *r = arg;
    uint64_t last = 0;
    while (!atomic_load(&r->stop)) {
        fa_stats stats = stats_of(r->fa);
        EXPECT(stats.frame >= last);
        EXPECT(stats.heap_live == (stats.frame + 1) / 2); // one object in each odd frame
        EXPECT(stats.heap_live == stats.heap_allocs);
        last = stats.frame;
        atomic_fetch_add(&r->reads, 1u);
    }
    return NULL;
}

/// A version is read whole, also where only its first part is new.
static void statistics_are_of_one_boundary(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    stats_reader r = {.fa = fa};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, read_statistics, &r), 0);
    for (uint64_t frame = 1; frame <= ROUNDS(1000000) || atomic_load(&r.reads) < 1000; frame++) {
        begin(fa);
        if (frame % 2 != 0) assert_non_null(fa_heap_alloc(fa_self(fa), 32, 16));
        end(fa);
    }
    atomic_store(&r.stop, true);
    pthread_join(thread, NULL);
    assert_int_equal(fa_destroy(fa), FA_OK); // reports the objects as leaks
}

/// One frame end frees what all lanes allocated: many frames need no more memory than a few.
static void all_lanes_are_freed(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    static crowd all;
    all.seed = 1;
    uint64_t early = 0;
    for (int frame = 1; frame <= ROUNDS(60); frame++) {
        begin(fa);
        everyone(fa, allocate_pieces, &all);
        end(fa);
        fa_stats stats = stats_of(fa);
        if (frame == 5) early = stats.memory_bytes;
        if (frame > 5) assert_int_equal(stats.memory_bytes, early);
    }
    destroy_quiet(fa, &to);
}

static void consecutive_frames_reuse_addresses(const test_case *at)
{
    enum { COUNT = 5000 };
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    static void *first[COUNT];
    for (int frame = 0; frame < 4; frame++) {
        begin(fa);
        for (uint32_t i = 0; i < COUNT; i++) {
            void *p = fa_frame_alloc(w, 1 + i % 2000); // 5 MB: several blocks
            assert_non_null(p);
            if (frame == 0)
                first[i] = p;
            else
                assert_ptr_equal(p, first[i]);
        }
        end(fa);
    }
    destroy_quiet(fa, &to);
}

static void growth_across_blocks(const test_case *at)
{
    enum { COUNT = 12000 };
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    static void *p[COUNT];
    begin(fa);
    for (uint32_t i = 0; i < COUNT; i++) { // 12 MB in pieces
        p[i] = fa_frame_alloc(w, 1008);
        assert_non_null(p[i]);
        fill(p[i], 1008, i);
    }
    for (uint32_t i = 0; i < COUNT; i++) assert_true(is_filled(p[i], 1008, i));
    end(fa);
    assert_int_equal(stats_of(fa).frame_bytes, COUNT * 1008);
    assert_true(stats_of(fa).frame_blocks >= 6);
    // A peak that does not come back decays: blocks go back after enough small frames.
    for (int frame = 0; frame < 1500; frame++) {
        begin(fa);
        assert_non_null(fa_frame_alloc(w, 16));
        end(fa);
    }
    assert_true(stats_of(fa).frame_blocks <= 2);
    destroy_quiet(fa, &to);
}

/// What frames that lie one behind the other in time leave: a large object in one frame, none in the next.
static void spans_come_back(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    uint64_t most = 0;
    for (int frame = 0; frame < 40; frame++) {
        begin(fa);
        for (int i = 0; i < 4; i++) {
            size_t size = 600 * KIB + (size_t)((frame * 7 + i * 3) % 10) * MIB;
            unsigned char *p = fa_frame_alloc(w, size);
            assert_non_null(p);
            p[0] = p[size - 1] = 1;
        }
        end(fa);
        uint64_t now = stats_of(fa).memory_bytes;
        if (frame < 20)
            most = now > most ? now : most;
        else
            assert_true(now <= most);
    }
    destroy_quiet(fa, &to);
}

typedef struct numbers {
    fa_system *fa;
    uint64_t expected;
} numbers;

static void *look_from_outside(void *arg)
{
    const numbers *seen = arg;
    fa_worker *w;
    fa_frame frame;
    EXPECT(fa_attach(seen->fa, &w) == FA_OK);
    EXPECT(fa_frame_number(seen->fa) == seen->expected);
    EXPECT(fa_frame_hold(w, &frame) == FA_OK && fa_frame_alloc(w, 16) != NULL);
    EXPECT(fa_frame_drop(seen->fa, frame) == FA_OK);
    EXPECT(fa_frame_number(seen->fa) == seen->expected);
    EXPECT(fa_detach(w) == FA_OK);
    return NULL;
}

static void look_from_a_lane(fa_worker *w, void *arg)
{
    const numbers *seen = arg;
    EXPECT(fa_frame_number(w->system) == seen->expected);
}

/// Neither jobs nor threads that come and go raise the number, nor do they make the main lane's checkpoint invalid.
static void one_number_a_tick(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    for (uint64_t tick = 1; tick <= 5; tick++) {
        numbers seen = {fa, tick};
        pthread_t threads[2];
        begin(fa);
        fa_checkpoint before = fa_checkpoint_take(w);
        for (int i = 0; i < 2; i++) assert_int_equal(pthread_create(&threads[i], NULL, look_from_outside, &seen), 0);
        everyone(fa, look_from_a_lane, &seen);
        for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
        assert_int_equal(fa_checkpoint_rollback(w, before), FA_OK);
        end(fa);
        assert_int_equal(fa_frame_number(fa), tick);
        assert_int_equal(stats_of(fa).frame, tick);
    }
    destroy_quiet(fa, &to);
}

// Limits ----------------------------------------------------------------------------------------------------------------

static void fill_to_the_limit(fa_worker *w, void *arg)
{
    atomic_uint *got = arg;
    uint32_t count = 0;
    while (count < 1000 && fa_frame_alloc(w, 16) != NULL) count++;
    EXPECT(count == 256);
    for (int i = 0; i < 10; i++) EXPECT(fa_frame_alloc(w, 16) == NULL);
    EXPECT(fa_frame_alloc(w, MIB) == NULL);
    EXPECT(fa_frame_alloc_aligned(w, 1, 64) == NULL);
    EXPECT(fa_scope_alloc(w, 16) != NULL); // has no limit of its own
    atomic_fetch_add(got, count);
}

static void four_kilobytes(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    config.frame_bytes_max = 4096;
    fa_system *fa = create(&config);
    for (int frame = 0; frame < 3; frame++) {
        atomic_uint got = 0;
        begin(fa);
        everyone(fa, fill_to_the_limit, &got);
        end(fa);
        assert_int_equal(atomic_load(&got), 256 * (at->workers + 1));
        assert_int_equal(stats_of(fa).frame_bytes, 4096 * (at->workers + 1));
        assert_reported(&to, 3, at->workers + 1); // once per frame and lane
    }
    destroy_quiet(fa, &to);
}

static void fill_and_be_refused(fa_worker *w, void *arg)
{
    while (fa_frame_alloc(w, 16) != NULL) {
    }
    for (size_t size = 1; size <= 16; size++) EXPECT(fa_frame_alloc(w, size) == NULL);
    atomic_fetch_add((atomic_uint *)arg, 1u);
}

/// What is refused takes no blocks, whatever is left below a limit that is no multiple of 16.
static void refusals_take_no_blocks(const test_case *at)
{
    static const size_t limits[] = {1, 8, 15, 1000, 4095, 100001};
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        sink to;
        fa_config config = case_config(at, &to);
        config.frame_bytes_max = limits[i];
        fa_system *fa = create(&config);
        atomic_uint refused = 0;
        begin(fa);
        everyone(fa, fill_and_be_refused, &refused);
        end(fa);
        fa_stats stats = stats_of(fa);
        assert_int_equal(atomic_load(&refused), at->workers + 1);
        assert_int_equal(stats.frame_bytes, (limits[i] & ~(size_t)15) * (at->workers + 1));
        assert_int_equal(stats.frame_blocks, limits[i] < 16 ? 0 : at->workers + 1);
        assert_reported(&to, 3, at->workers + 1);
        destroy_quiet(fa, &to);
    }
}

/// Any mixture stays within the limit, and is refused only when it would not fit.
static void limit_with_random_sizes(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    rng from = {test_seed()};
    static const size_t limits[] = {16, 4096, 5000, 100000, 3 * MIB, 5 * MIB + 48};
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        config.frame_bytes_max = limits[i];
        fa_system *fa = create(&config);
        for (int frame = 0; frame < 3; frame++) {
            size_t used = 0;
            begin(fa);
            for (int n = 0; n < 20000; n++) {
                size_t size = 1 + rng_below(&from, limits[i] > MIB ? 20000 : 600), rounded = (size + 15) & ~(size_t)15;
                void *p = fa_frame_alloc(fa_self(fa), size);
                // A block's rest may be lost when the next is opened.
                if (p == NULL && limits[i] < 2 * MIB) assert_true(used + rounded > limits[i]);
                if (p == NULL) break;
                used += rounded;
                assert_true(used <= limits[i]);
            }
            assert_true(used <= limits[i] && used + 40000 >= limits[i]);
            if (limits[i] > MIB) assert_null(fa_frame_alloc(fa_self(fa), 2 * MIB));
            end(fa);
            assert_true(stats_of(fa).frame_bytes <= limits[i]);
            if (sink_count(&to, 3) > 0) assert_reported(&to, 3, 1);
        }
        destroy_quiet(fa, &to);
    }
}

static uint32_t allocate_all(fa_worker *w, size_t size)
{
    uint32_t count = 0;
    for (unsigned char *p = fa_frame_alloc(w, size); p != NULL; p = fa_frame_alloc(w, size), count++)
        p[0] = p[size - 1] = 1;
    return count;
}

static void memory_limit_and_recovery(const test_case *at)
{
    static const size_t sizes[] = {1008, 1008, 300000, 600 * KIB, 3 * MIB, 1008};
    sink to;
    fa_config config = case_config(at, &to);
    config.attached_max = 0;
    config.memory_max = 20 * MIB;
    fa_system *fa = create(&config);
    uint32_t first = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        begin(fa);
        uint32_t count = allocate_all(fa_self(fa), sizes[i]);
        if (i == 0) first = count;
        end(fa);
        assert_reported(&to, 3, 1);
        fa_stats stats = stats_of(fa);
        if (count * sizes[i] < 12 * MIB) print_error("only %u of %zu bytes\n", count, sizes[i]);
        assert_true(count * sizes[i] >= 12 * MIB && count * sizes[i] <= 20 * MIB);
        assert_true(stats.memory_peak <= config.memory_max && stats.memory_bytes <= config.memory_max);
        assert_true(stats.memory_refused > i);
        if (sizes[i] == 1008) assert_int_equal(count, first);
    }
    destroy_quiet(fa, &to);
}

static void exhaust_together(fa_worker *w, void *arg)
{
    atomic_uint *got = arg;
    atomic_fetch_add(got, allocate_all(w, 100000));
}

static void memory_limit_shared_by_lanes(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    config.attached_max = 0;
    config.memory_max = 32 * MIB;
    fa_system *fa = create(&config);
    for (int frame = 0; frame < 5; frame++) {
        atomic_uint got = 0;
        begin(fa);
        everyone(fa, exhaust_together, &got);
        end(fa);
        assert_reported(&to, 3, at->workers + 1);
        assert_true(stats_of(fa).memory_peak <= config.memory_max);
        assert_true(atomic_load(&got) * (uint64_t)100000 >= 20 * MIB);
    }
    destroy_quiet(fa, &to);
}

// What is refused -------------------------------------------------------------------------------------------------------

static void outside_a_frame(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    assert_int_equal(fa_frame_number(fa), 0);
    for (int round = 0; round < 3; round++) {
        assert_null(fa_frame_alloc(w, 16));
        assert_null(fa_frame_alloc_aligned(w, 16, 256));
        assert_null(fa_frame_alloc_array(w, 2, 8, 8));
        assert_reported(&to, 1, 3);
        void *p = fa_pool_alloc(w, 10), *q = fa_heap_alloc(w, 10, 16);
        assert_true(p != NULL && q != NULL);
        fa_pool_free(w, p);
        fa_heap_free(w, q);
        assert_int_equal(fa_frame_end(fa, NULL), FA_ERROR_STATE);
        begin(fa);
        assert_int_equal(fa_frame_begin(fa), FA_ERROR_STATE);
        assert_int_equal(fa_frame_try_begin(fa), FA_ERROR_STATE);
        assert_non_null(fa_frame_alloc(w, 16));
        end(fa);
        assert_int_equal(fa_frame_number(fa), round + 1);
    }
    destroy_quiet(fa, &to);
}

static void bad_arguments(fa_worker *w, void *arg)
{
    (void)arg;
    EXPECT(fa_frame_alloc(w, 0) == NULL);
    EXPECT(fa_scope_alloc(w, 0) == NULL);
    EXPECT(fa_frame_alloc_aligned(w, 0, 64) == NULL);
    EXPECT(fa_frame_alloc_array(w, 0, 8, 8) == NULL);
    EXPECT(fa_frame_alloc_array(w, 8, 0, 8) == NULL);
    for (size_t below = 0; below < 40; below++) {
        EXPECT(fa_frame_alloc(w, SIZE_MAX - below) == NULL);
        EXPECT(fa_frame_alloc_aligned(w, SIZE_MAX - below, 64) == NULL);
        EXPECT(fa_scope_alloc(w, SIZE_MAX - below) == NULL);
    }
    EXPECT(fa_frame_alloc_aligned(w, 16, SIZE_MAX / 2 + 1) == NULL);
}

static void bad_arrays(fa_worker *w, void *arg)
{
    (void)arg;
    EXPECT(fa_frame_alloc_array(w, SIZE_MAX / 2, 3, 16) == NULL);
    EXPECT(fa_frame_alloc_array(w, SIZE_MAX / 16 + 2, 16, 16) == NULL); // the product wraps to 16
    EXPECT(fa_scope_alloc_array(w, SIZE_MAX / 16 + 2, 16, 16) == NULL);
}

static void bad_alignments(fa_worker *w, void *arg)
{
    static const size_t bad[] = {3, 5, 6, 7, 12, 15, 24, 48, 4097, SIZE_MAX};
    (void)arg;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        EXPECT(fa_frame_alloc_aligned(w, 16, bad[i]) == NULL);
        EXPECT(fa_scope_alloc_aligned(w, 16, bad[i]) == NULL);
    }
}

static void refused_requests(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    begin(fa);
    unsigned char *before = fa_frame_alloc(w, 32);
    everyone(fa, bad_arguments, NULL);
    assert_reported(&to, 3, at->workers + 1);
    everyone(fa, bad_arrays, NULL);
    assert_reported(&to, 914, 3 * (at->workers + 1));
    everyone(fa, bad_alignments, NULL);
    assert_reported(&to, 903, 20 * (at->workers + 1));
    assert_ptr_equal(fa_frame_alloc(w, 32), before + 32); // nothing was taken meanwhile
    end(fa);
    assert_int_equal(stats_of(fa).frame_bytes, 64);
    destroy_quiet(fa, &to);
}

static void in_a_job(fa_worker *w, void *arg)
{
    fa_system *fa = arg;
    fa_status wanted = w->index == 0 ? FA_ERROR_STATE : FA_ERROR_WRONG_THREAD;
    EXPECT(fa_frame_begin(fa) == wanted);
    EXPECT(fa_frame_try_begin(fa) == wanted);
    EXPECT(fa_frame_end(fa, NULL) == wanted);
    EXPECT(fa_frame_number(fa) == 1);
    EXPECT(fa_self(fa) == w);
}

static void no_boundary_in_a_job(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    begin(fa);
    for (int i = 0; i < 50; i++) assert_int_equal(fa_submit(fa_self(fa), in_a_job, fa), FA_OK);
    end(fa);
    assert_true(at->checked && at->workers > 0 ? sink_count(&to, 201) % 3 == 0 : sink_count(&to, 201) == 0);
    forget_reports(&to, 201); // those that a worker ran
    destroy_quiet(fa, &to);
}

int main(int argc, char **argv)
{
    const test_entry entries[] = {
        EACH_OF(sizes_and_alignments, "02", "ny"),
        EACH_OF(typed_forms, "0", "ny"),
        EACH_OF(exact_figures, COUNTED("01248"), "ny"),
        EACH_OF(a_quiet_system_shows_each_change_at_once, COUNTED("02"), "ny"),
        EACH_OF(statistics_are_of_one_boundary, COUNTED("02"), "n"),
        EACH_OF(all_lanes_are_freed, COUNTED("0124"), "ny"),
        EACH_OF(consecutive_frames_reuse_addresses, "02", "ny"),
        EACH_OF(one_number_a_tick, COUNTED("0124"), "ny"),
        EACH_OF(growth_across_blocks, COUNTED("02"), "ny"),
        EACH_OF(spans_come_back, COUNTED("02"), "ny"),
        EACH_OF(four_kilobytes, COUNTED("0124"), "ny"),
        EACH_OF(refusals_take_no_blocks, COUNTED("0124"), "ny"),
        EACH_OF(limit_with_random_sizes, COUNTED("01"), "ny"),
        EACH_OF(memory_limit_and_recovery, COUNTED("02"), "ny"),
        EACH_OF(memory_limit_shared_by_lanes, COUNTED("0124"), "ny"),
        EACH_OF(outside_a_frame, "04", "ny"),
        EACH_OF(refused_requests, COUNTED("0124"), "ny"),
        EACH(no_boundary_in_a_job),
    };
    return RUN_MATRIX("frame", entries, argc, argv);
}
