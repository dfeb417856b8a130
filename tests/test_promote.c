// SPDX-License-Identifier: MIT
//
// Retained allocations and their promotion: what arrives where, in which order, and what happens at limits. Order and outcome are the same
// for any number of workers.
#include "support.h"

static void *retain(fa_worker *w, size_t size, size_t align, fa_retain_to to, uint64_t user, uint64_t key,
                    fa_cell *cell)
{
    fa_retain how = {.to = to, .cell = cell, .user = user, .key = key};
    return fa_frame_retained(w, size, align, &how);
}

static fa_frame_result end_with_result(fa_system *fa)
{
    fa_frame_result result;
    memset(&result, 0xee, sizeof result); // every field is written
    assert_int_equal(fa_frame_end(fa, &result), FA_OK);
    assert_int_equal(result.frame, fa_frame_number(fa));
    return result;
}

/// The summary adds up to the items.
static void assert_sums(const fa_frame_result *result)
{
    fa_frame_result sum = {0};
    for (uint32_t i = 0; i < result->count; i++) {
        const fa_promotion *item = &result->items[i];
        if (item->status == FA_PROMOTION_DROPPED)
            sum.discarded++, sum.discarded_bytes += item->size;
        else if (item->status != FA_PROMOTED)
            sum.failed++, sum.failed_bytes += item->size;
        else if (item->destination == FA_RETAIN_POOL)
            sum.to_pool++, sum.pool_bytes += item->size;
        else
            sum.to_heap++, sum.heap_bytes += item->size;
        sum.moved += item->status == FA_PROMOTED && item->to == item->from;
        assert_int_equal(item->to != NULL, item->status == FA_PROMOTED);
    }
    assert_int_equal(result->discarded, sum.discarded);
    assert_int_equal(result->to_pool, sum.to_pool);
    assert_int_equal(result->to_heap, sum.to_heap);
    assert_int_equal(result->failed, sum.failed);
    assert_int_equal(result->discarded_bytes, sum.discarded_bytes);
    assert_int_equal(result->pool_bytes, sum.pool_bytes);
    assert_int_equal(result->heap_bytes, sum.heap_bytes);
    assert_int_equal(result->failed_bytes, sum.failed_bytes);
    assert_int_equal(result->moved, sum.moved);
}

static void free_items(fa_worker *w, const fa_frame_result *result)
{
    for (uint32_t i = 0; i < result->count; i++) {
        const fa_promotion *item = &result->items[i];
        if (item->status != FA_PROMOTED || item->cell != NULL) continue;
        if (item->destination == FA_RETAIN_POOL)
            fa_pool_free(w, item->to);
        else
            fa_heap_free(w, item->to);
    }
}

// What arrives ----------------------------------------------------------------------------------------------------------

static const size_t some_sizes[] = {1,   16,          40,     1000, 33000, 400 * KIB, 511 * KIB, 512 * KIB + 1,
                                    MIB, 2 * MIB + 1, 5 * MIB};
enum { SOME_SIZES = sizeof some_sizes / sizeof some_sizes[0] };

typedef struct originals {
    void *memory[3 * SOME_SIZES];
} originals;

static void retain_each(fa_worker *w, void *arg)
{
    originals *all = arg;
    for (uint32_t i = 0; i < SOME_SIZES; i++) {
        for (uint32_t to = FA_RETAIN_DISCARD; to <= FA_RETAIN_HEAP; to++) {
            uint32_t user = 3 * i + to;
            unsigned char *p = retain(w, some_sizes[i], (size_t)16 << i % 9, (fa_retain_to)to, user, 0, NULL);
            EXPECT(p != NULL && (uintptr_t)p % ((size_t)16 << i % 9) == 0);
            EXPECT(p[0] == 0 && p[some_sizes[i] - 1] == 0 && p[some_sizes[i] / 2] == 0);
            fill(p, some_sizes[i], user);
            all->memory[user] = p;
        }
    }
}

static void bytes_sizes_and_places(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    for (int round = 0; round < 4; round++) {
        originals all;
        begin(fa);
        if (round % 2 == 0)
            retain_each(w, &all);
        else
            assert_int_equal(fa_submit(w, retain_each, &all), FA_OK);
        fa_frame_result result = end_with_result(fa);
        assert_int_equal(result.count, 3 * SOME_SIZES);
        assert_int_equal(result.retired, 1);
        assert_sums(&result);
        assert_int_equal(result.moved, 4); // the heap's, above 512 KiB
        uint64_t heap_bytes = 0, pool_bytes = 0;
        for (uint32_t i = 0; i < result.count; i++) {
            const fa_promotion *item = &result.items[i];
            assert_int_equal(item->user, i);
            assert_int_equal(item->size, some_sizes[i / 3]);
            assert_int_equal(item->destination, i % 3);
            assert_int_equal(item->frame, round + 1);
            assert_ptr_equal(item->from, all.memory[i]);
            assert_null(item->cell);
            assert_int_equal(item->status, i % 3 == FA_RETAIN_DISCARD ? FA_PROMOTION_DROPPED : FA_PROMOTED);
            if (item->status != FA_PROMOTED) continue;
            assert_int_equal((uintptr_t)item->to % ((size_t)16 << i / 3 % 9), 0);
            assert_true(is_filled(item->to, item->size, i));
            assert_true(fa_usable_size(fa, item->to) >= item->size);
            assert_int_equal(item->to == item->from, item->destination == FA_RETAIN_HEAP && item->size > 512 * KIB);
            *(item->destination == FA_RETAIN_HEAP ? &heap_bytes : &pool_bytes) += fa_usable_size(fa, item->to);
        }
        fa_stats stats = stats_of(fa);
        assert_int_equal(stats.pool_live, SOME_SIZES);
        assert_int_equal(stats.heap_live, SOME_SIZES);
        assert_int_equal(stats.pool_live_bytes, pool_bytes);
        assert_int_equal(stats.heap_live_bytes, heap_bytes);
        free_items(w, &result);
    }
    destroy_quiet(fa, &to);
}

static void objects_outlive_frames(const test_case *at)
{
    enum { OBJECTS = 500 };
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    static void *kept[OBJECTS];
    for (int round = 0; round < ROUNDS(12); round++) {
        begin(fa);
        for (uint32_t i = 0; i < OBJECTS; i++) {
            size_t size = 1 + i * 41 % 3000;
            fill(retain(w, size, 8, i % 2 == 0 ? FA_RETAIN_POOL : FA_RETAIN_HEAP, i, 0, NULL), size, i);
        }
        fa_frame_result result = end_with_result(fa);
        assert_int_equal(result.count, OBJECTS);
        for (uint32_t i = 0; i < OBJECTS; i++) kept[i] = result.items[i].to;
        for (int frame = 0; frame < 2; frame++) {
            begin(fa);
            for (int i = 0; i < 20; i++) memset(fa_frame_alloc(w, 100000), 0xee, 100000);
            end(fa);
        }
        for (uint32_t i = 0; i < OBJECTS; i++) {
            assert_true(is_filled(kept[i], 1 + i * 41 % 3000, i));
            if (i % 2 == 0)
                fa_pool_free(w, kept[i]);
            else
                fa_heap_free(w, kept[i]);
        }
    }
    destroy_quiet(fa, &to);
}

/// The list lasts until the next begin, whatever happens meanwhile.
static void items_last_until_the_next_begin(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    for (uint32_t round = 0; round < 5; round++) {
        uint32_t count = UINT32_C(30) << 2 * round;
        if ((WITH_TSAN || WITH_MEMCHECK) && count > 2000) break;
        begin(fa);
        for (uint32_t i = 0; i < count; i++) assert_non_null(retain(w, 24, 8, FA_RETAIN_DISCARD, i, 0, NULL));
        fa_frame_result result = end_with_result(fa);
        for (int i = 0; i < 2000; i++) {
            void *p = fa_pool_alloc(w, 50), *q = fa_heap_alloc(w, 3000, 16), *r = fa_heap_alloc(w, 200000, 16);
            memset(p, 0xee, 50);
            memset(q, 0xee, 3000);
            memset(r, 0xee, 3000);
            fa_pool_free(w, p);
            fa_heap_free(w, q);
            fa_heap_free(w, r);
        }
        assert_int_equal(result.count, count);
        for (uint32_t i = 0; i < count; i++) assert_int_equal(result.items[i].user, i);
    }
    destroy_quiet(fa, &to);
}

static void zeroed(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    static const size_t sizes[] = {1, 100, 5000, 600 * KIB};
    for (int round = 0; round < 4; round++) {
        begin(fa);
        for (size_t i = 0; i < 4; i++) {
            fa_checkpoint before = fa_checkpoint_take(w);
            memset(fa_frame_alloc(w, sizes[i]), 0xee, sizes[i]);
            assert_int_equal(fa_checkpoint_rollback(w, before), FA_OK);
            unsigned char *p = retain(w, sizes[i], 16, FA_RETAIN_HEAP, 0, 0, NULL);
            for (size_t j = 0; j < sizes[i]; j++) assert_int_equal(p[j], 0);
            memset(p, 0xee, sizes[i]);
        }
        fa_frame_result result = end_with_result(fa);
        assert_int_equal(result.count, 4);
        free_items(w, &result);
    }
    destroy_quiet(fa, &to);
}

// Order -----------------------------------------------------------------------------------------------------------------

typedef struct program {
    uint64_t seed;
    bool keyed;
    bool large;
} program;

typedef struct branch {
    const program *of;
    uint64_t path;
    uint32_t depth;
} branch;

static void retain_for(fa_worker *w, const program *of, uint64_t path)
{
    rng from = {of->seed ^ path * 0x9e37};
    uint32_t count = 1 + rng_below(&from, 3);
    for (uint32_t i = 0; i < count; i++) {
        fa_retain_to to = (fa_retain_to)rng_below(&from, 3);
        size_t size = 1 + rng_below(&from, of->large && rng_below(&from, 60) == 0 ? 700000 : 500);
        uint64_t user = path * 4 + i, key = of->keyed ? rng_below(&from, 5) : 7;
        unsigned char *p = retain(w, size, 16, to, user, key, NULL);
        EXPECT(p != NULL);
        if (p != NULL) p[0] = (unsigned char)user;
    }
}

static void piece_of_loop(fa_worker *w, uint64_t first, uint64_t last, void *arg)
{
    const branch *here = arg;
    for (uint64_t i = first; i < last; i++) retain_for(w, here->of, here->path * 64 + i + 1);
}

static void run_branch(fa_worker *w, void *arg)
{
    branch here = *(branch *)arg;
    rng from = {here.of->seed + here.path * 31};
    uint32_t children = here.depth == 0 ? 0 : 1 + rng_below(&from, 3);
    fa_counter counter = FA_COUNTER_INIT;
    retain_for(w, here.of, here.path);
    for (uint32_t i = 0; i < children; i++) {
        branch child = {here.of, here.path * 5 + i + 1, here.depth - 1};
        fa_counter *counted = rng_below(&from, 2) == 0 ? &counter : NULL;
        EXPECT(fa_submit_copy(w, counted, run_branch, &child, sizeof child) == FA_OK);
        if (i == 1) retain_for(w, here.of, here.path + 1000000);
    }
    if (rng_below(&from, 2) == 0)
        EXPECT(fa_parallel_for(w, 0, 40, 1 + rng_below(&from, 8), piece_of_loop, &here) == FA_OK);
    EXPECT(fa_wait(w, &counter) == FA_OK);
    retain_for(w, here.of, here.path + 2000000);
}

enum { MOST_ITEMS = 8192 };

typedef struct listing {
    uint32_t count;
    struct {
        uint64_t user;
        size_t size;
        fa_promotion_status status;
        fa_retain_to destination;
    } items[MOST_ITEMS];
} listing;

static void run_program(fa_system *fa, const program *of, listing *out)
{
    fa_worker *w = fa_self(fa);
    begin(fa);
    retain_for(w, of, 1);
    for (uint64_t i = 0; i < 6; i++) {
        branch root = {of, 2 + i, 3};
        assert_int_equal(fa_submit_copy(w, NULL, run_branch, &root, sizeof root), FA_OK);
    }
    branch loop = {of, 77, 0};
    assert_int_equal(fa_parallel_for(w, 0, 60, 0, piece_of_loop, &loop), FA_OK);
    retain_for(w, of, 100);
    fa_frame_result result = end_with_result(fa);
    assert_sums(&result);
    assert_true(result.count < MOST_ITEMS);
    out->count = result.count;
    for (uint32_t i = 0; i < result.count; i++) {
        const fa_promotion *item = &result.items[i];
        out->items[i].user = item->user;
        out->items[i].size = item->size;
        out->items[i].status = item->status;
        out->items[i].destination = item->destination;
        if (item->to != NULL) assert_int_equal(*(unsigned char *)item->to, (unsigned char)item->user);
    }
    free_items(w, &result);
}

static void assert_same(const listing *a, const listing *b)
{
    assert_int_equal(a->count, b->count);
    for (uint32_t i = 0; i < a->count; i++) {
        assert_int_equal(a->items[i].user, b->items[i].user);
        assert_int_equal(a->items[i].size, b->items[i].size);
        assert_int_equal(a->items[i].status, b->items[i].status);
        assert_int_equal(a->items[i].destination, b->items[i].destination);
    }
}

/// With 0 workers everything runs on one lane; that list is what all others are compared with.
static void compare_with_no_workers(const test_case *at, const program *first, uint32_t retained_max)
{
    static listing wanted, got;
    program of = *first;
    of.seed = test_seed();
    for (int round = 0; round < ROUNDS(4); round++, of.seed++) {
        sink to;
        for (int system = 0; system < 2; system++) {
            test_case here = {system == 0 ? 0 : at->workers, at->checked};
            fa_config config = case_config(&here, &to);
            config.retained_max = retained_max;
            fa_system *fa = create(&config);
            for (int frame = 0; frame < 2; frame++) {
                program now = of;
                run_program(fa, &now, system == 0 && frame == 0 ? &wanted : &got);
                if (system > 0 || frame > 0) assert_same(&wanted, &got);
            }
            assert_true(wanted.count > 100);
            if (retained_max < wanted.count) assert_reported(&to, 904, 2);
            destroy_quiet(fa, &to);
        }
    }
}

static void order_of_submission(const test_case *at)
{
    compare_with_no_workers(at, &(program){.keyed = false}, 65536);
}

static void retain_one(fa_worker *w, uint64_t user)
{
    EXPECT(retain(w, 16, 16, FA_RETAIN_POOL, user, 7, NULL) != NULL);
}

static void retain_argument(fa_worker *w, void *arg)
{
    retain_one(w, (uint64_t)(uintptr_t)arg);
}

static void spin(uint32_t turns)
{
    for (volatile uint32_t i = 0; i < turns; i = i + 1) {
    }
}

static void inner_items(fa_worker *w, uint64_t first, uint64_t last, void *arg)
{
    for (uint64_t i = first; i < last; i++) {
        retain_one(w, (uint64_t)(uintptr_t)arg + i);
        spin(i % 7 == 3 ? 20000 : 10);
    }
}

/// Items that retain themselves, and start what does.
static void outer_items(fa_worker *w, uint64_t first, uint64_t last, void *arg)
{
    (void)arg;
    for (uint64_t i = first; i < last; i++) {
        retain_one(w, i);
        if (i % 5 == 0) EXPECT(fa_parallel_for(w, 0, 40, 1, inner_items, (void *)(uintptr_t)(1000 * (i + 1))) == FA_OK);
        fa_task task;
        if (i % 3 == 0) EXPECT(fa_fork(w, &task, retain_argument, (void *)(uintptr_t)(i + 1000000)) == FA_OK);
        if (i % 4 == 1) EXPECT(fa_submit(w, retain_argument, (void *)(uintptr_t)(i + 2000000)) == FA_OK);
        if (i % 3 == 0) fa_join(w, &task);
        retain_one(w, i + 3000000);
    }
}

static void loop_of_everything(fa_worker *w, void *arg)
{
    EXPECT(fa_parallel_for(w, 0, 100, (uint64_t)(uintptr_t)arg, outer_items, NULL) == FA_OK);
}

/// Where a loop was cut, which its measurements and its lanes decide, does not show.
static void order_across_the_pieces_of_a_loop(const test_case *at)
{
    static listing wanted, got;
    for (int system = 0; system < 2; system++) {
        sink to;
        test_case here = {system == 0 ? 0 : at->workers, at->checked};
        fa_system *fa = create_case(&here, &to);
        for (int frame = 0; frame < ROUNDS(12); frame++) {
            begin(fa);
            for (uintptr_t grain = 0; grain < 9; grain += 4)
                assert_int_equal(fa_submit(fa_self(fa), loop_of_everything, (void *)grain), FA_OK);
            fa_frame_result result = end_with_result(fa);
            listing *out = system == 0 && frame == 0 ? &wanted : &got;
            out->count = result.count;
            assert_true(result.count > 1000 && result.count < MOST_ITEMS);
            for (uint32_t i = 0; i < result.count; i++) out->items[i].user = result.items[i].user;
            if (system > 0 || frame > 0) assert_same(&wanted, &got);
            free_items(fa_self(fa), &result);
        }
        destroy_quiet(fa, &to);
    }
}

static void order_of_keys(const test_case *at)
{
    compare_with_no_workers(at, &(program){.keyed = true, .large = true}, 65536);
}

/// Which ones are beyond the limit does not depend on who ran what either.
static void limit_is_deterministic(const test_case *at)
{
    compare_with_no_workers(at, &(program){.keyed = true}, 90);
}

/// The order itself, not only that it is always the same: as if every job ran where it was submitted, after what its parent did.
static void retain_numbered(fa_worker *w, void *arg)
{
    uint64_t number = *(uint64_t *)arg;
    EXPECT(retain(w, 16, 16, FA_RETAIN_DISCARD, number, 0, NULL) != NULL);
    if (number >= 1000) return;
    for (uint64_t i = 1; i <= 3; i++) {
        uint64_t child = number * 10 + i;
        EXPECT(fa_submit_copy(w, NULL, retain_numbered, &child, sizeof child) == FA_OK);
    }
}

static uint32_t walk(uint64_t *out, uint32_t at, uint64_t number)
{
    out[at++] = number;
    for (uint64_t i = 1; i <= 3 && number < 1000; i++) at = walk(out, at, number * 10 + i);
    return at;
}

static void order_is_depth_first(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    for (int round = 0; round < 5; round++) {
        uint64_t wanted[400];
        uint32_t count = 0;
        begin(fa);
        for (uint64_t root = 1; root <= 9; root++) {
            assert_int_equal(fa_submit_copy(fa_self(fa), NULL, retain_numbered, &root, sizeof root), FA_OK);
            count = walk(wanted, count, root);
        }
        fa_frame_result result = end_with_result(fa);
        assert_int_equal(result.count, count);
        for (uint32_t i = 0; i < count; i++) assert_int_equal(result.items[i].user, wanted[i]);
    }
    destroy_quiet(fa, &to);
}

static void keys_come_first(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    begin(fa);
    static const uint64_t keys[] = {5, 1, UINT64_MAX, 0, 5, 1, 0};
    static const uint64_t wanted[] = {3, 6, 1, 5, 0, 4, 2};
    for (uint64_t i = 0; i < 7; i++) assert_non_null(retain(w, 8, 8, FA_RETAIN_DISCARD, i, keys[i], NULL));
    fa_frame_result result = end_with_result(fa);
    assert_int_equal(result.count, 7);
    for (uint32_t i = 0; i < 7; i++) assert_int_equal(result.items[i].user, wanted[i]);
    destroy_quiet(fa, &to);
}

// Limits ----------------------------------------------------------------------------------------------------------------

static void first_ones_win(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    static const uint32_t limits[] = {0, 1, 10, 25, 26};
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        config.retained_max = limits[i];
        fa_system *fa = create(&config);
        for (int frame = 0; frame < 2; frame++) {
            begin(fa);
            for (uint64_t j = 0; j < 25; j++) // the last ones retained come first
                fill(retain(fa_self(fa), 100, 16, j % 2 == 0 ? FA_RETAIN_POOL : FA_RETAIN_HEAP, j, 25 - j, NULL), 100,
                     j);
            fa_frame_result result = end_with_result(fa);
            assert_int_equal(result.count, 25);
            assert_sums(&result);
            for (uint32_t j = 0; j < 25; j++) {
                assert_int_equal(result.items[j].user, 24 - j);
                assert_int_equal(result.items[j].status, j < limits[i] ? FA_PROMOTED : FA_PROMOTION_LIMIT);
                if (j < limits[i]) assert_true(is_filled(result.items[j].to, 100, 24 - j));
            }
            if (limits[i] < 25) assert_reported(&to, 904, 1);
            free_items(fa_self(fa), &result);
            begin(fa);
            end(fa);
            assert_int_equal(stats_of(fa).promoted, (frame + 1) * (int)(limits[i] < 25 ? limits[i] : 25));
            assert_int_equal(stats_of(fa).promotion_failed, (frame + 1) * (int)(limits[i] < 25 ? 25 - limits[i] : 0));
        }
        destroy_quiet(fa, &to);
    }
}

static void no_memory_at_the_destination(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    config.attached_max = 0;
    config.memory_max = 24 * MIB;
    fa_system *fa = create(&config);
    fa_worker *w = fa_self(fa);
    for (int round = 0; round < 3; round++) {
        fa_cell cell = {NULL};
        begin(fa);
        for (uint64_t i = 0; i < 50; i++) { // 14 MB, which do not fit a second time
            void *p = retain(w, 280000, 16, i % 2 == 0 ? FA_RETAIN_POOL : FA_RETAIN_HEAP, i, 0, i == 49 ? &cell : NULL);
            assert_non_null(p);
            fill(p, 280000, i);
        }
        fa_frame_result result = end_with_result(fa);
        assert_int_equal(result.count, 50);
        assert_sums(&result);
        assert_true(result.failed > 0 && result.to_pool + result.to_heap > 10);
        for (uint32_t i = 0; i < 50; i++) {
            const fa_promotion *item = &result.items[i];
            assert_true(item->status == FA_PROMOTED || item->status == FA_PROMOTION_MEMORY);
            if (item->to != NULL) assert_true(is_filled(item->to, 280000, item->user));
        }
        assert_int_equal(result.items[49].status, FA_PROMOTION_MEMORY);
        assert_null(cell.pointer); // what fails is not published
        assert_reported(&to, 904, 1);
        assert_null(fa_heap_alloc(w, 64 * MIB, 0)); // what is refused later is told of all the same
        assert_reported(&to, 301, 1);
        assert_true(stats_of(fa).memory_peak <= config.memory_max);
        free_items(w, &result);
        begin(fa);
        end(fa);
        assert_int_equal(stats_of(fa).pool_live + stats_of(fa).heap_live, 0);
    }
    destroy_quiet(fa, &to);
}

// Refused ---------------------------------------------------------------------------------------------------------------

static void refused(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    config.frame_bytes_max = 64 * KIB;
    fa_system *fa = create(&config);
    fa_worker *w = fa_self(fa);
    fa_retain how = {.to = FA_RETAIN_POOL};
    assert_null(fa_frame_retained(w, 16, 16, &how));
    assert_reported(&to, 1, 1);
    begin(fa);
    assert_null(fa_frame_retained(w, 16, 16, NULL));
    assert_null(retain(w, 16, 16, (fa_retain_to)(FA_RETAIN_SCRATCH + 1), 0, 0, NULL));
    assert_null(retain(w, 16, 16, (fa_retain_to)77, 0, 0, NULL));
    assert_null(retain(w, 16, 8192, FA_RETAIN_POOL, 0, 0, NULL));
    assert_null(retain(w, 16, 24, FA_RETAIN_HEAP, 0, 0, NULL));
    assert_reported(&to, 903, 5);
    assert_null(retain(w, 0, 16, FA_RETAIN_POOL, 0, 0, NULL));
    assert_quiet(&to);
    assert_null(retain(w, SIZE_MAX, 16, FA_RETAIN_POOL, 0, 0, NULL));
    assert_null(
        retain(w, 100 * KIB, 16, FA_RETAIN_HEAP, 0, 0, NULL)); // a full arena is a failure, not an empty success
    assert_reported(&to, 3, 1);
    assert_non_null(retain(w, 16, 8192, FA_RETAIN_HEAP, 5, 0, NULL));
    fa_frame_result result = end_with_result(fa);
    assert_int_equal(result.count, 1);
    assert_int_equal(result.items[0].user, 5);
    assert_int_equal((uintptr_t)result.items[0].to % 8192, 0);
    free_items(w, &result);
    destroy_quiet(fa, &to);
}

// Cells and plain ends --------------------------------------------------------------------------------------------------

static void read_cells(fa_worker *w, void *arg)
{
    fa_cell *cells = arg;
    for (uint64_t i = 0; i < 50; i++) {
        const unsigned char *p = fa_cell_read(w, &cells[i]);
        EXPECT(p != NULL && is_filled(p, 200, (unsigned)(fa_frame_number(w->system) - 1) * 50 + i));
    }
}

static void published_through_cells(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    fa_cell cells[50] = {{NULL}};
    for (uint64_t frame = 1; frame <= 20; frame++) {
        begin(fa);
        if (frame > 1) {
            for (int i = 0; i < 8; i++) assert_int_equal(fa_submit(w, read_cells, cells), FA_OK);
            everyone(fa, read_cells, cells);
        }
        for (uint64_t i = 0; i < 50; i++)
            fill(retain(w, 200, 16, i % 2 == 0 ? FA_RETAIN_POOL : FA_RETAIN_HEAP, i, 0, &cells[i]), 200,
                 frame * 50 + i);
        if (frame % 2 == 0) {
            end(fa); // a plain end publishes too, and leaks nothing
        } else {
            fa_frame_result result = end_with_result(fa);
            assert_int_equal(result.count, 50);
            for (uint32_t i = 0; i < 50; i++) {
                assert_ptr_equal(result.items[i].cell, &cells[i]);
                assert_ptr_equal(result.items[i].to, cells[i].pointer);
            }
        }
        assert_int_equal(stats_of(fa).retired, (frame - 1) * 50);
    }
    begin(fa);
    for (int i = 0; i < 50; i++) assert_int_equal(fa_cell_drop(w, &cells[i]), FA_OK);
    end(fa);
    destroy_quiet(fa, &to);
}

/// Two for one cell: the later one in the order wins, the other is retired.
static void last_one_wins(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    fa_cell cell = {NULL};
    begin(fa);
    for (uint64_t i = 0; i < 5; i++) fill(retain(w, 64, 16, FA_RETAIN_POOL, i, i == 2 ? 9 : 1, &cell), 64, i);
    end(fa);
    assert_true(is_filled(cell.pointer, 64, 2));
    begin(fa);
    assert_true(is_filled(fa_cell_read(w, &cell), 64, 2));
    assert_int_equal(fa_cell_drop(w, &cell), FA_OK);
    end(fa);
    assert_int_equal(stats_of(fa).retired, 5);
    destroy_quiet(fa, &to);
}

/// Without a result nobody learns where the objects went: they are the user's leak, and reported as one.
static void unclaimed_objects_are_leaks(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    begin(fa);
    for (uint64_t i = 0; i < 7; i++) assert_non_null(retain(w, 112, 16, FA_RETAIN_POOL, i, 0, NULL));
    for (uint64_t i = 0; i < 3; i++) assert_non_null(retain(w, MIB, 16, FA_RETAIN_HEAP, i, 0, NULL));
    for (uint64_t i = 0; i < 3; i++) assert_non_null(retain(w, 112, 16, FA_RETAIN_DISCARD, i, 0, NULL));
    (void)end_with_result(fa);
    assert_int_equal(stats_of(fa).pool_live, 7);
    assert_int_equal(stats_of(fa).heap_live, 3);
    assert_int_equal(stats_of(fa).promoted, 10);
    assert_int_equal(stats_of(fa).promoted_bytes, 7 * 112 + 3 * MIB);
    assert_int_equal(fa_destroy(fa), FA_OK);
    assert_string_equal(to.message, "never freed: 7 pool objects (784 bytes), 3 heap objects (3145728 bytes)");
    assert_reported(&to, 910, 1);
}

// Several frames in flight ----------------------------------------------------------------------------------------------

static void frames_one_by_one(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    config.frames_in_flight = 4;
    fa_system *fa = create(&config);
    fa_worker *w = fa_self(fa);
    uint64_t seen = 0, retired = 0;
    for (uint64_t frame = 1; frame <= 40; frame++) {
        fa_frame held;
        begin(fa);
        bool hold = frame % 4 == 1;
        if (hold) assert_int_equal(fa_frame_hold(w, &held), FA_OK);
        for (uint64_t i = 0; i < 3; i++) fill(retain(w, 50, 16, FA_RETAIN_POOL, frame * 3 + i, 0, NULL), 50, frame);
        for (int part = 0; part < 2; part++) {
            fa_frame_result result = end_with_result(fa);
            for (uint32_t i = 0; i < result.count; i++, seen++) {
                assert_int_equal(result.items[i].user, seen + 3);
                assert_int_equal(result.items[i].frame, (seen + 3) / 3);
                assert_true(is_filled(result.items[i].to, 50, result.items[i].frame));
            }
            retired += result.retired;
            free_items(w, &result);
            if (!hold || part == 1) break;
            assert_true(retired < frame); // held
            begin(fa);
            frame++;
            for (uint64_t i = 0; i < 3; i++) fill(retain(w, 50, 16, FA_RETAIN_POOL, frame * 3 + i, 0, NULL), 50, frame);
            assert_int_equal(fa_frame_drop(fa, held), FA_OK);
        }
    }
    assert_int_equal(retired, 40);
    assert_int_equal(seen, 120);
    destroy_quiet(fa, &to);
}

// Lists and summaries ---------------------------------------------------------------------------------------------------

typedef struct note {
    uint64_t value;
} note;

static void retain_some(fa_worker *w, fa_cell *cell)
{
    assert_non_null(retain(w, 112, 16, FA_RETAIN_POOL, 0, 0, NULL));
    assert_non_null(retain(w, MIB, 16, FA_RETAIN_HEAP, 1, 0, NULL));
    note *kept = retain(w, sizeof(note), 16, FA_RETAIN_POOL, 2, 0, cell);
    assert_non_null(kept);
    kept->value = 77;
}

static void a_plain_end_drops_what_nobody_would_find(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    fa_cell cell = {NULL};
    for (int round = 0; round < 5; round++) {
        begin(fa);
        retain_some(w, &cell);
        end(fa);
        begin(fa); // the version before goes home
        end(fa);
    }
    begin(fa);
    note *kept = fa_cell_read(w, &cell);
    assert_int_equal(kept->value, 77);
    assert_int_equal(fa_cell_drop(w, &cell), FA_OK);
    end(fa);
    destroy_quiet(fa, &to); // no leaks
}

static void a_summary_alone_leaks_nothing(const test_case *at)
{
    for (uint32_t in_flight = 1; in_flight <= 3; in_flight++) {
        sink to;
        fa_config config = case_config(at, &to);
        config.frames_in_flight = in_flight;
        fa_system *fa = create(&config);
        fa_worker *w = fa_self(fa);
        fa_cell cell = {NULL};
        uint32_t discarded = 0, to_pool = 0;
        for (int round = 0; round < 12; round++) {
            fa_frame held = {0};
            begin(fa);
            retain_some(w, &cell);
            if (in_flight > 1 && round % 4 == 0) assert_int_equal(fa_frame_hold(w, &held), FA_OK); // retires in a begin
            fa_frame_result result;
            memset(&result, 0xee, sizeof result);
            assert_int_equal(fa_frame_end_summary(fa, &result), FA_OK);
            assert_int_equal(result.count, 0);
            assert_null(result.items);
            assert_int_equal(result.frame, round + 1);
            assert_int_equal(result.to_heap, 0);
            assert_int_equal(result.by_status[FA_PROMOTED], result.to_pool);
            assert_int_equal(result.by_status[FA_PROMOTION_DROPPED], result.discarded);
            assert_int_equal(result.discarded_bytes, result.discarded / 2 * (112 + MIB));
            discarded += result.discarded;
            to_pool += result.to_pool;
            if (held.bits != 0) assert_int_equal(fa_frame_drop(fa, held), FA_OK);
        }
        assert_true(to_pool >= 10 && discarded == 2 * to_pool);
        assert_int_equal(fa_cell_drop(w, &cell), FA_OK);
        assert_int_equal(fa_frame_end_summary(fa, NULL), FA_ERROR_INVALID);
        fa_frame_result result;
        assert_int_equal(fa_frame_end_summary(fa, &result), FA_ERROR_STATE);
        assert_int_equal(fa_frame_end_summary(NULL, &result), FA_ERROR_INVALID);
        destroy_quiet(fa, &to);
    }
}

static void each_reason_is_told(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    config.promotion_bytes_max = 10000;
    config.promotion_size_max = 4000;
    fa_system *fa = create(&config);
    fa_worker *w = fa_self(fa);
    fa_tag poor;
    assert_int_equal(fa_tag_find(fa, "poor", &poor), FA_OK);
    begin(fa);
    assert_non_null(retain(w, 4001, 16, FA_RETAIN_POOL, 0, 0, NULL)); // too large
    assert_non_null(retain(w, 4000, 16, FA_RETAIN_POOL, 1, 0, NULL));
    {
        FA_TAG(w, "poor");
        assert_non_null(retain(w, 1000, 16, FA_RETAIN_POOL, 2, 0, NULL)); // the budget, for pool …
        assert_non_null(retain(w, 1000, 16, FA_RETAIN_HEAP, 3, 0, NULL)); // … and heap
    }
    assert_non_null(retain(w, 4000, 16, FA_RETAIN_HEAP, 4, 0, NULL));
    assert_non_null(retain(w, 2001, 16, FA_RETAIN_HEAP, 5, 0, NULL)); // the limit on bytes, by one
    assert_non_null(retain(w, 2000, 16, FA_RETAIN_HEAP, 6, 0, NULL)); // exactly
    assert_non_null(retain(w, 1, 16, FA_RETAIN_POOL, 7, 0, NULL));
    assert_non_null(retain(w, 1, 16, FA_RETAIN_DISCARD, 8, 0, NULL));
    assert_int_equal(fa_budget_set(fa, poor, 0, 2100), FA_OK); // its frame memory alone
    fa_frame_result result = end_with_result(fa);
    static const fa_promotion_status wanted[] = {
        FA_PROMOTION_TOO_LARGE, FA_PROMOTED, FA_PROMOTION_BUDGET, FA_PROMOTION_BUDGET, FA_PROMOTED,
        FA_PROMOTION_LIMIT,     FA_PROMOTED, FA_PROMOTION_LIMIT,  FA_PROMOTION_DROPPED};
    assert_int_equal(result.count, 9);
    for (uint32_t i = 0; i < 9; i++) assert_int_equal(result.items[i].status, wanted[i]);
    assert_sums(&result);
    assert_int_equal(result.by_status[FA_PROMOTED], 3);
    assert_int_equal(result.by_status[FA_PROMOTION_BUDGET], 2);
    assert_int_equal(result.by_status[FA_PROMOTION_LIMIT], 2);
    assert_int_equal(result.by_status[FA_PROMOTION_TOO_LARGE], 1);
    assert_int_equal(result.failed_bytes, 4001 + 2000 + 2001 + 1);
    assert_true(fa_promotion_rate(&result) == 3.0 / 8.0);
    assert_int_equal(sink_count(&to, 302), 1);
    assert_int_equal(sink_count(&to, 904), 1);
    free_items(w, &result);
    for (int status = 0; status <= FA_PROMOTION_STATUSES; status++)
        for (int other = 0; other < status; other++)
            assert_string_not_equal(fa_promotion_text((fa_promotion_status)status),
                                    fa_promotion_text((fa_promotion_status)other));
    begin(fa);
    result = end_with_result(fa);
    assert_true(fa_promotion_rate(&result) == 1.0);
    assert_int_equal(fa_destroy(fa), FA_OK);
}

static void a_cell_that_cannot_retire_its_version_is_a_failure(const test_case *at)
{
    enum { CELLS = 200 };
    sink to;
    fa_config config = case_config(at, &to);
    config.attached_max = 0;
    config.memory_max = 16 * MIB;
    fa_system *fa = create(&config);
    fa_worker *w = fa_self(fa);
    static fa_cell cells[CELLS];
    memset(cells, 0, sizeof cells);
    for (uint64_t round = 0; round < 2; round++) {
        begin(fa);
        for (uint64_t i = 0; i < CELLS; i++) {
            note *made = retain(w, sizeof(note), 16, FA_RETAIN_POOL, i, 0, &cells[i]);
            assert_non_null(made);
            made->value = round;
        }
        void *first = NULL, *p;
        for (size_t size = MIB; round == 1 && size >= 32; size /= 2) // nothing is left for the list of retired versions
            while ((p = fa_heap_alloc(w, size, 0)) != NULL) *(void **)p = first, first = p;
        fa_frame_result result = end_with_result(fa);
        assert_int_equal(result.by_status[FA_PROMOTION_INTERNAL] > 0, round == 1);
        assert_int_equal(result.by_status[FA_PROMOTED] + result.by_status[FA_PROMOTION_INTERNAL], CELLS);
        for (uint64_t i = 0; i < CELLS; i++) { // where it failed the old version stays
            assert_int_equal(result.items[i].user, i);
            bool promoted = result.items[i].status == FA_PROMOTED;
            assert_int_equal(((note *)cells[i].pointer)->value, promoted ? round : 0);
        }
        while (first != NULL) {
            p = *(void **)first;
            fa_heap_free(w, first);
            first = p;
        }
    }
    assert_int_equal(sink_count(&to, 301), 1); // the heap above, not the promotion
    assert_int_equal(sink_count(&to, 904), 1);
    assert_int_equal(atomic_load(&to.total), 2);
    sink_reset(&to);
    for (uint64_t i = 0; i < CELLS; i++) assert_int_equal(fa_cell_drop(w, &cells[i]), FA_OK);
    destroy_quiet(fa, &to);
}

static const fa_retention *retention_of(const fa_retention *all, uint32_t count, const char *path)
{
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(all[i].path, path) == 0) return &all[i];
    return NULL;
}

static void retain_as_ai(fa_worker *w, void *arg)
{
    (void)arg;
    EXPECT(fa_frame_alloc(w, 1000) != NULL);
    fa_retain how = fa_retain_for(FA_REUSABLE);
    note *made = fa_frame_retained_new(w, note, &how);
    EXPECT(made != NULL && made->value == 0);
    FA_TAG(w, "deep");
    how = fa_retain_for(FA_PERSISTENT);
    how.type = "of my own";
    EXPECT(fa_frame_retained_new(w, note, &how) != NULL);
    how = fa_retain_for(FA_EPHEMERAL);
    EXPECT(fa_frame_retained_new(w, note, &how) != NULL);
}

static void assert_retentions_add_up(const fa_frame_result *result, const fa_retention *rows, uint32_t count)
{
    fa_retention sum = {0};
    for (uint32_t i = 0; i < count; i++) {
        sum.promoted += rows[i].promoted, sum.promoted_bytes += rows[i].promoted_bytes;
        sum.discarded += rows[i].discarded, sum.discarded_bytes += rows[i].discarded_bytes;
        sum.failed += rows[i].failed, sum.failed_bytes += rows[i].failed_bytes;
    }
    assert_int_equal(sum.promoted, result->to_pool + result->to_heap);
    assert_int_equal(sum.promoted_bytes, result->pool_bytes + result->heap_bytes);
    assert_int_equal(sum.discarded, result->discarded);
    assert_int_equal(sum.discarded_bytes, result->discarded_bytes);
    assert_int_equal(sum.failed, result->failed);
    assert_int_equal(sum.failed_bytes, result->failed_bytes);
}

static void tags_and_phases_are_kept_and_summed_up(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    fa_tag ai, deep;
    assert_int_equal(fa_tag_find(fa, "ai", &ai), FA_OK);
    assert_int_equal(fa_tag_find(fa, "ai::deep", &deep), FA_OK);
    for (int round = 0; round < 3; round++) {
        begin(fa);
        {
            FA_TAG(w, "ai");
            FA_PHASE(w, "think");
            for (int i = 0; i < 40; i++) assert_int_equal(fa_submit(w, retain_as_ai, NULL), FA_OK);
        }
        assert_non_null(retain(w, 500, 16, FA_RETAIN_POOL, 0, 0, NULL)); // nobody's
        fa_frame_result result = end_with_result(fa);
        assert_int_equal(result.count, 121);
        assert_sums(&result);
        for (uint32_t i = 0; i < result.count; i++) {
            const fa_promotion *item = &result.items[i];
            if (item->size == 500) {
                assert_int_equal(item->tag.id, 0);
                continue;
            }
            bool own = item->destination == FA_RETAIN_POOL;
            assert_int_equal(item->tag.id, own ? ai.id : deep.id);
            assert_string_equal(item->type, item->destination == FA_RETAIN_HEAP ? "of my own" : "note");
        }
        assert_retentions_add_up(&result, result.tags, result.tag_count);
        assert_retentions_add_up(&result, result.phases, result.phase_count);
        assert_int_equal(result.tag_count, 3);
        assert_int_equal(result.phase_count, 2);
        const fa_retention *of_ai = retention_of(result.tags, 3, "ai"), *none = retention_of(result.tags, 3, ""),
                           *of_deep = retention_of(result.tags, 3, "ai::deep"),
                           *think = retention_of(result.phases, 2, "think");
        assert_true(of_ai && of_deep && none && think);
        assert_int_equal(of_ai->frame_bytes, 40 * (1008 + 16));
        assert_int_equal(of_ai->promoted, 40);
        assert_int_equal(of_deep->promoted, 40);
        assert_int_equal(of_deep->discarded, 40);
        assert_int_equal(none->promoted_bytes, 500);
        assert_int_equal(think->frame_bytes, 40 * (1008 + 3 * 16));
        assert_int_equal(think->promoted, 80);
        fa_tag_stats stats;
        assert_int_equal(fa_tag_stats_read(fa, ai, &stats), FA_OK);
        assert_int_equal(stats.held[FA_TAG_POOL], 40 * 16);
        assert_int_equal(fa_tag_stats_read(fa, deep, &stats), FA_OK);
        assert_int_equal(stats.held[FA_TAG_HEAP], 40 * 16);
        free_items(w, &result);
        begin(fa);
        result = end_with_result(fa);
        assert_int_equal(result.tag_count + result.phase_count, 0);
        assert_int_equal(fa_tag_stats_read(fa, deep, &stats), FA_OK);
        assert_int_equal(stats.charged, 0);
    }
    // A whole span changes hands, and its tag pays for it.
    begin(fa);
    {
        FA_TAG(w, "ai");
        assert_non_null(retain(w, MIB, 16, FA_RETAIN_HEAP, 0, 0, NULL));
    }
    fa_frame_result result = end_with_result(fa);
    assert_int_equal(result.moved, 1);
    fa_tag_stats stats;
    assert_int_equal(fa_tag_stats_read(fa, ai, &stats), FA_OK);
    assert_int_equal(stats.held[FA_TAG_HEAP], MIB);
    free_items(w, &result);
    assert_int_equal(fa_tag_stats_read(fa, ai, &stats), FA_OK);
    assert_int_equal(stats.held[FA_TAG_HEAP], 0);
    assert_int_equal(fa_budget_set(fa, ai, 0, 3 * MIB / 2), FA_OK);
    begin(fa);
    {
        FA_TAG(w, "ai");
        assert_non_null(retain(w, MIB, 16, FA_RETAIN_HEAP, 0, 0, NULL));
    }
    result = end_with_result(fa);
    assert_int_equal(result.by_status[FA_PROMOTION_BUDGET], 1); // the frame still holds it while the heap takes over
    assert_int_equal(sink_count(&to, 302), 1);
    assert_int_equal(sink_count(&to, 904), 1);
    assert_int_equal(fa_destroy(fa), FA_OK);
}

/// One frame of `count` retained objects, the first of which go to the cells.
static void retain_many(fa_system *fa, uint64_t count, fa_cell *cells, uint64_t cell_count)
{
    begin(fa);
    for (uint64_t i = 0; i < count; i++)
        assert_non_null(retain(fa_self(fa), 20, 16, FA_RETAIN_POOL, i, 0, i < cell_count ? &cells[i] : NULL));
}

/// Room to promote to, and to sort in, but none for the list. A place that nobody learns of would never be freed.
static void what_cannot_be_listed_is_lost_unless_a_cell_has_it(const test_case *at)
{
    enum { COUNT = 300, CELLS = 4 };
    sink to;
    fa_config config = case_config(at, &to);
    config.attached_max = 0;
    config.memory_max = 8 * MIB;
    fa_system *fa = create(&config);
    fa_worker *w = fa_self(fa);
    fa_cell cells[CELLS] = {{NULL}};
    retain_many(fa, COUNT, cells, CELLS);
    end(fa); // nothing is listed, but sorted
    void *room[COUNT], *first = NULL, *p;
    for (int i = 0; i < COUNT; i++) assert_non_null(room[i] = fa_pool_alloc(w, 20));
    retain_many(fa, COUNT, cells, CELLS);
    for (size_t size = MIB; size >= 32; size /= 2)
        while ((p = fa_heap_alloc(w, size, 0)) != NULL) *(void **)p = first, first = p;
    forget_reports(&to, 301);
    for (int i = 0; i < COUNT; i++) fa_pool_free(w, room[i]);
    fa_frame_result result = end_with_result(fa);
    assert_reported(&to, 904, 1);
    assert_int_equal(result.count, 0);
    assert_int_equal(result.by_status[FA_PROMOTED], CELLS);
    assert_int_equal(result.by_status[FA_PROMOTION_MEMORY], COUNT - CELLS);
    for (int i = 0; i < CELLS; i++) assert_int_equal(fa_cell_drop(w, &cells[i]), FA_OK);
    for (; first != NULL; first = p) {
        p = *(void **)first;
        fa_heap_free(w, first);
    }
    destroy_quiet(fa, &to); // it would report what leaked
}

/// A frame that retired in a begin was promoted before anybody could say that nobody wants the list.
static void what_nobody_claims_is_discarded_by_tag_and_phase(const test_case *at)
{
    for (int labelled = 0; labelled < 2; labelled++) { // before the system's first tag, too
        sink to;
        fa_config config = case_config(at, &to);
        config.frames_in_flight = 2;
        fa_system *fa = create(&config);
        fa_worker *w = fa_self(fa);
        fa_cell cell = {NULL};
        fa_frame held;
        fa_retain to_scratch = {.to = FA_RETAIN_SCRATCH};
        assert_int_equal(fa_scratch_create(w, "kept", 0, &to_scratch.scratch), FA_OK);
        begin(fa);
        {
            fa_tag_scope tag = labelled ? fa_tag_begin(w, "ai") : (fa_tag_scope){0};
            fa_phase_scope phase = labelled ? fa_phase_scope_begin(w, "think") : (fa_phase_scope){0};
            assert_non_null(retain(w, 100, 16, FA_RETAIN_POOL, 0, 0, NULL));
            assert_non_null(retain(w, 200, 16, FA_RETAIN_HEAP, 0, 0, NULL));
            assert_non_null(retain(w, 300, 16, FA_RETAIN_HEAP, 0, 0, &cell));
            assert_non_null(retain(w, 400, 16, FA_RETAIN_DISCARD, 0, 0, NULL));
            assert_non_null(fa_frame_retained(w, 500, 16, &to_scratch));
            fa_phase_scope_end(&phase);
            fa_tag_end(&tag);
        }
        assert_int_equal(fa_frame_hold(w, &held), FA_OK);
        end(fa);
        begin(fa);
        end(fa);
        assert_int_equal(fa_frame_drop(fa, held), FA_OK);
        begin(fa); // the ring is full: the first frame retires here
        assert_non_null(cell.pointer);
        {
            FA_TAG(w, "other");
            assert_non_null(fa_frame_alloc(w, 16));
        }
        fa_frame_result result;
        assert_int_equal(fa_frame_end_summary(fa, &result), FA_OK);
        assert_int_equal(result.by_status[FA_PROMOTED], 1);
        assert_int_equal(result.discarded_bytes, 100 + 200 + 400 + 500);
        assert_int_equal(result.to_heap, 1);
        assert_int_equal(result.to_pool + result.pool_bytes + result.to_scratch + result.scratch_bytes, 0);
        assert_retentions_add_up(&result, result.tags, result.tag_count);
        assert_retentions_add_up(&result, result.phases, result.phase_count);
        const fa_retention *of_tag = retention_of(result.tags, result.tag_count, labelled ? "ai" : ""),
                           *of_phase = retention_of(result.phases, result.phase_count, labelled ? "think" : "");
        assert_true(of_tag && of_phase);
        assert_int_equal(of_tag->promoted, 1);
        assert_int_equal(of_tag->discarded, 4);
        assert_int_equal(of_phase->promoted_bytes, 300);
        assert_int_equal(of_phase->discarded_bytes, 100 + 200 + 400 + 500);
        assert_int_equal(fa_cell_drop(w, &cell), FA_OK);
        destroy_quiet(fa, &to);
    }
}

/// Without memory to put them in order all are lost, and counted.
static void retain_in_frame(fa_worker *w, uint64_t first)
{
    FA_TAG(w, "two");
    assert_non_null(retain(w, 896, 16, FA_RETAIN_POOL, first, 0, NULL));
    assert_non_null(retain(w, 112, 16, FA_RETAIN_HEAP, first + 1, 0, NULL)); // together more than a frame may promote
}

/// The result tells of both, oldest first; each has limits and a report of its own.
static void two_frames_that_retire_together(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    config.frames_in_flight = 2;
    config.promotion_bytes_max = 1000;
    fa_system *fa = create(&config);
    fa_worker *w = fa_self(fa);
    fa_frame held;
    begin(fa);
    retain_in_frame(w, 0);
    assert_int_equal(fa_frame_hold(w, &held), FA_OK);
    end(fa);
    begin(fa);
    retain_in_frame(w, 2);
    assert_int_equal(fa_frame_drop(fa, held), FA_OK);
    fa_frame_result result = end_with_result(fa);
    assert_int_equal(result.count, 4);
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(result.items[i].user, i);
        assert_int_equal(result.items[i].frame, result.frame - 1 + i / 2);
        assert_int_equal(result.items[i].status, i % 2 == 0 ? FA_PROMOTED : FA_PROMOTION_LIMIT);
    }
    assert_sums(&result);
    assert_reported(&to, 904, 2);
    assert_non_null(strstr(to.message, "1 of frame 2's"));
    const fa_retention *both = retention_of(result.tags, result.tag_count, "two");
    assert_non_null(both);
    assert_int_equal(both->promoted_bytes, 2 * 896);
    assert_int_equal(both->failed_bytes, 2 * 112);
    assert_int_equal(both->frame_bytes, 2 * (896 + 112));
    free_items(w, &result);
    destroy_quiet(fa, &to);
}

static void what_cannot_be_sorted_is_counted_as_lost(const test_case *at)
{
    enum { COUNT = 5000 };
    sink to;
    fa_config config = case_config(at, &to);
    config.attached_max = 0;
    config.memory_max = 8 * MIB;
    fa_system *fa = create(&config);
    fa_worker *w = fa_self(fa);
    begin(fa);
    {
        FA_TAG(w, "lost");
        for (uint64_t i = 0; i < COUNT; i++) assert_non_null(retain(w, 20, 16, FA_RETAIN_POOL, i, 0, NULL));
    }
    void *first = NULL, *p;
    for (size_t size = MIB; size >= 32; size /= 2)
        while ((p = fa_heap_alloc(w, size, 0)) != NULL) *(void **)p = first, first = p;
    forget_reports(&to, 301);
    fa_frame_result result = end_with_result(fa);
    assert_reported(&to, 904, 1);
    assert_int_equal(result.count, 0);
    assert_int_equal(result.by_status[FA_PROMOTION_MEMORY], COUNT);
    assert_int_equal(result.failed_bytes, COUNT * 20);
    assert_retentions_add_up(&result, result.tags, result.tag_count);
    assert_non_null(retention_of(result.tags, result.tag_count, "lost"));
    fa_tag tag;
    fa_tag_stats stats;
    assert_int_equal(fa_tag_find(fa, "lost", &tag), FA_OK);
    assert_int_equal(fa_tag_stats_read(fa, tag, &stats), FA_OK);
    assert_int_equal(stats.retained, COUNT);
    for (; first != NULL; first = p) {
        p = *(void **)first;
        fa_heap_free(w, first);
    }
    destroy_quiet(fa, &to);
}

static void abandon_in_job(fa_worker *w, void *arg)
{
    (void)arg;
    EXPECT(retain(w, 16, 16, FA_RETAIN_POOL, 1, 0, NULL) != NULL);
    EXPECT(retain(w, 16, 16, FA_RETAIN_POOL, 1, 0, NULL) != NULL);
    EXPECT(fa_retained_count(w) >= 2);
    EXPECT(fa_retained_abandon(w) == 2);
    EXPECT(fa_retained_abandon(w) == 0);
    EXPECT(retain(w, 16, 16, FA_RETAIN_POOL, 2, 0, NULL) != NULL);
}

static void pending_ones_are_counted_and_abandoned(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    assert_int_equal(fa_retained_count(NULL) + fa_retained_abandon(NULL), 0);
    assert_int_equal(fa_retained_count(w) + fa_retained_abandon(w), 0);
    begin(fa);
    for (int i = 0; i < 5; i++) assert_non_null(retain(w, 16, 16, FA_RETAIN_POOL, 1, 0, NULL));
    assert_int_equal(fa_retained_count(w), 5);
    assert_int_equal(fa_retained_abandon(w), 5);
    assert_int_equal(fa_retained_count(w), 0);
    assert_non_null(retain(w, 16, 16, FA_RETAIN_POOL, 3, 0, NULL));
    for (int i = 0; i < 30; i++) assert_int_equal(fa_submit(w, abandon_in_job, NULL), FA_OK);
    fa_frame_result result = end_with_result(fa);
    assert_int_equal(result.count, 31); // the others' are not touched
    for (uint32_t i = 0; i < result.count; i++) assert_true(result.items[i].user > 1);
    free_items(w, &result);
    destroy_quiet(fa, &to);
}

int main(int argc, char **argv)
{
    const test_entry entries[] = {
        EACH_OF(bytes_sizes_and_places, COUNTED("02"), "ny"),
        EACH_OF(objects_outlive_frames, "02", "ny"),
        EACH_OF(items_last_until_the_next_begin, "02", "ny"),
        EACH_OF(zeroed, "02", "ny"),
        EACH_OF(order_of_submission, "01248", "ny"),
        EACH_OF(order_across_the_pieces_of_a_loop, "0124", "ny"),
        EACH_OF(order_of_keys, "01248", "ny"),
        EACH_OF(limit_is_deterministic, "01248", "ny"),
        EACH_OF(order_is_depth_first, "01248", "ny"),
        EACH_OF(keys_come_first, "02", "ny"),
        EACH_OF(first_ones_win, COUNTED("02"), "ny"),
        EACH_OF(no_memory_at_the_destination, COUNTED("02"), "ny"),
        EACH_OF(refused, "02", "ny"),
        EACH_OF(published_through_cells, COUNTED("0124"), "ny"),
        EACH_OF(last_one_wins, COUNTED("02"), "ny"),
        EACH_OF(unclaimed_objects_are_leaks, COUNTED("02"), "ny"),
        EACH(frames_one_by_one),
        EACH_OF(a_plain_end_drops_what_nobody_would_find, "02", "ny"),
        EACH_OF(a_summary_alone_leaks_nothing, "02", "ny"),
        EACH_OF(each_reason_is_told, COUNTED("02"), "ny"),
        EACH_OF(a_cell_that_cannot_retire_its_version_is_a_failure, "0", "ny"),
        EACH_OF(tags_and_phases_are_kept_and_summed_up, COUNTED("0124"), "ny"),
        EACH_OF(two_frames_that_retire_together, COUNTED("02"), "ny"),
        EACH_OF(what_cannot_be_sorted_is_counted_as_lost, COUNTED("0"), "ny"),
        EACH_OF(what_cannot_be_listed_is_lost_unless_a_cell_has_it, "0", "ny"),
        EACH_OF(what_nobody_claims_is_discarded_by_tag_and_phase, COUNTED("02"), "ny"),
        EACH(pending_ones_are_counted_and_abandoned),
    };
    return RUN_MATRIX("promote", entries, argc, argv);
}
