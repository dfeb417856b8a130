// SPDX-License-Identifier: MIT
//
// Arrays and batches: typed forms, sizes that overflow, zeroed memory, many objects in one call, all or nothing.
#include "support.h"

// Typed forms -----------------------------------------------------------------------------------------------------------

typedef struct wide {
    _Alignas(64) unsigned char bytes[192];
} wide;

/// The same worker: what frame or scope give next is not aligned to 64 by chance.
static fa_worker *odd(fa_worker *w)
{
    assert_non_null(fa_frame_alloc(w, 16));
    assert_non_null(fa_scope_alloc(w, 16));
    return w;
}

static void typed_forms_fit_their_type(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    begin(fa);
    wide *p[] = {
        fa_frame_new(odd(w), wide), fa_frame_array(odd(w), wide, 7), fa_frame_zeroed(odd(w), wide, 7),
        fa_scope_new(odd(w), wide), fa_scope_array(odd(w), wide, 7), fa_scope_zeroed(odd(w), wide, 7),
        fa_pool_new(odd(w), wide),  fa_pool_array(odd(w), wide, 7),  fa_pool_zeroed(odd(w), wide, 7),
        fa_heap_new(odd(w), wide),  fa_heap_array(odd(w), wide, 7),  fa_heap_zeroed(odd(w), wide, 7),
    };
    for (size_t i = 0; i < 12; i++) {
        assert_non_null(p[i]);
        assert_int_equal((uintptr_t)p[i] % 64, 0);
        fill(p[i], (i % 3 == 0 ? 1 : 7) * sizeof(wide), i);
    }
    for (size_t i = 0; i < 12; i++) assert_true(is_filled(p[i], (i % 3 == 0 ? 1 : 7) * sizeof(wide), i));
    for (size_t i = 6; i < 9; i++) fa_pool_free(w, p[i]);
    for (size_t i = 9; i < 12; i++) fa_heap_free(w, p[i]);
    end(fa);
    destroy_quiet(fa, &to);
}

static bool is_zero(const void *p, size_t size)
{
    const unsigned char *bytes = p;
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != 0) return false;
    return true;
}

static void zeroed_memory_is_zero(const test_case *at)
{
    enum { COUNT = 300 };
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    for (int round = 0; round < 3; round++) { // used memory comes again
        begin(fa);
        uint64_t *frame = fa_frame_zeroed(w, uint64_t, COUNT), *scope = fa_scope_zeroed(w, uint64_t, COUNT);
        uint64_t *pool = fa_pool_zeroed(w, uint64_t, COUNT), *heap = fa_heap_zeroed(w, uint64_t, COUNT);
        uint64_t *all[] = {frame, scope, pool, heap};
        for (size_t i = 0; i < 4; i++) {
            assert_true(all[i] != NULL && is_zero(all[i], COUNT * sizeof(uint64_t)));
            memset(all[i], 0xff, COUNT * sizeof(uint64_t));
        }
        fa_pool_free(w, pool);
        fa_heap_free(w, heap);
        end(fa);
    }
    destroy_quiet(fa, &to);
}

static void overflow_is_null_and_reported(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    begin(fa);
    const size_t wraps = SIZE_MAX / sizeof(wide) + 2; // the product is small again
    assert_null(fa_frame_array(w, wide, wraps));
    assert_reported(&to, 914, 1);
    assert_null(fa_scope_array(w, wide, wraps));
    assert_reported(&to, 914, 1);
    assert_null(fa_pool_array(w, wide, wraps));
    assert_reported(&to, 914, 1);
    assert_null(fa_heap_array(w, wide, wraps));
    assert_reported(&to, 914, 1);
    assert_null(fa_frame_zeroed(w, wide, wraps));
    assert_null(fa_scope_zeroed(w, wide, wraps));
    assert_null(fa_pool_zeroed(w, wide, wraps));
    assert_null(fa_heap_zeroed(w, wide, wraps));
    assert_reported(&to, 914, 4);
    void *out[1] = {&to};
    assert_false(fa_frame_alloc_batch(w, wraps, sizeof(wide), 64, out));
    assert_false(fa_frame_alloc_batch(w, 2, SIZE_MAX - 3, 16, out)); // rounding up overflows
    assert_reported(&to, 914, 2);
    assert_ptr_equal(out[0], &to);
    assert_null(fa_frame_array(w, wide, 0));
    assert_null(fa_pool_array(w, wide, 0));
    assert_null(fa_heap_array(w, wide, 0));
    assert_null(fa_refuse_array(NULL, 1, 1));
    end(fa);
    destroy_quiet(fa, &to);
}

// Batches ---------------------------------------------------------------------------------------------------------------

static void frame_batch(const test_case *at)
{
    enum { MOST = 3000 };
    static const size_t sizes[] = {1, 16, 24, 100, 4096}, aligns[] = {1, 16, 64, 4096};
    static void *p[MOST];
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    for (size_t i = 0; i < 5; i++) {
        for (size_t j = 0; j < 4; j++) {
            begin(fa);
            for (size_t n = 1; n <= MOST; n = n * 7 + 3) {
                assert_true(fa_frame_alloc_batch(w, n, sizes[i], aligns[j], p));
                for (size_t k = 0; k < n; k++) {
                    assert_int_equal((uintptr_t)p[k] % aligns[j], 0);
                    fill(p[k], sizes[i], k);
                }
                for (size_t k = 0; k < n; k++) assert_true(is_filled(p[k], sizes[i], k));
            }
            end(fa);
        }
    }
    destroy_quiet(fa, &to);
}

static void pool_batch(const test_case *at)
{
    enum { MOST = 5000 };
    static const size_t sizes[] = {1, 16, 48, 100, 1000, 8192, 32768, 40000};
    static void *p[MOST];
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    for (size_t i = 0; i < 8; i++) {
        for (size_t align = 1; align <= 4096; align *= 16) {
            size_t n = sizes[i] > 5000 ? 60 : MOST;
            uint64_t allocs = stats_of(fa).pool_allocs;
            begin(fa);
            void *single = fa_pool_alloc_aligned(w, sizes[i], align);
            fill(single, sizes[i], 7777);
            assert_true(fa_pool_alloc_batch(w, n, sizes[i], align, p));
            for (size_t k = 0; k < n; k++) {
                assert_int_equal((uintptr_t)p[k] % align, 0);
                fill(p[k], sizes[i], k);
            }
            end(fa);
            assert_int_equal(stats_of(fa).pool_live, n + 1);
            assert_int_equal(stats_of(fa).pool_allocs - allocs, n + 1);
            for (size_t k = 0; k < n; k++) assert_true(is_filled(p[k], sizes[i], k));
            assert_true(is_filled(single, sizes[i], 7777));
            void *first = p[0];
            p[0] = p[n - 1]; // an order of its own, and a NULL among them
            p[n - 1] = first;
            fa_pool_free(w, p[n / 2]);
            p[n / 2] = NULL;
            begin(fa);
            fa_pool_free_batch(w, n, p);
            fa_pool_free(w, single);
            end(fa);
            assert_int_equal(stats_of(fa).pool_live, 0);
        }
    }
    destroy_quiet(fa, &to);
}

static void pool_batch_is_all_or_nothing(const test_case *at)
{
    enum { MOST = 200000 };
    static void *p[MOST];
    static const size_t sizes[] = {1024, 20000, 200000};
    sink to;
    fa_config config = case_config(at, &to);
    config.memory_max = 32 * MIB;
    config.attached_max = 0;
    fa_system *fa = create(&config);
    fa_worker *w = fa_self(fa);
    for (size_t i = 0; i < 3; i++) {
        void *before = fa_pool_alloc(w, sizes[i]);
        begin(fa);
        end(fa);
        uint64_t allocs = stats_of(fa).pool_allocs;
        assert_false(fa_pool_alloc_batch(w, MOST, sizes[i], 16, p));
        assert_reported(&to, 301, 1);
        begin(fa);
        end(fa);
        assert_int_equal(stats_of(fa).pool_live, 1);
        assert_int_equal(stats_of(fa).pool_allocs, allocs);
        assert_true(fa_pool_alloc_batch(w, 10 * MIB / sizes[i], sizes[i], 16, p)); // what it took is there again
        fa_pool_free_batch(w, 10 * MIB / sizes[i], p);
        fa_pool_free(w, before);
    }
    begin(fa);
    end(fa);
    assert_int_equal(stats_of(fa).pool_live, 0);
    destroy_quiet(fa, &to);
}

/// Under a budget a batch that does not fit whole is refused whole, and nothing stays charged.
static void batches_obey_budgets(const test_case *at)
{
    enum { COUNT = 1000, SIZE = 64 };
    static void *p[COUNT];
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    fa_tag tag;
    fa_tag_stats stats;
    assert_int_equal(fa_tag_find(fa, "crowd", &tag), FA_OK);
    assert_int_equal(fa_budget_set(fa, tag, 0, COUNT * SIZE), FA_OK);
    begin(fa);
    {
        FA_TAG(w, "crowd");
        assert_true(fa_pool_alloc_batch(w, COUNT / 2, SIZE, 16, p));
        assert_false(fa_pool_alloc_batch(w, COUNT / 2 + 1, SIZE, 16, p + COUNT / 2));
        assert_reported(&to, 302, 1);
        assert_true(fa_pool_alloc_batch(w, COUNT / 2, SIZE, 16, p + COUNT / 2)); // equality is allowed
        for (size_t i = 0; i < COUNT; i++) fill(p[i], SIZE, i);
        for (size_t i = 0; i < COUNT; i++) assert_true(is_filled(p[i], SIZE, i));
        fa_pool_free_batch(w, COUNT / 2, p);
    }
    fa_pool_free_batch(w, COUNT / 2, p + COUNT / 2); // under another tag
    end(fa);
    assert_int_equal(fa_tag_stats_read(fa, tag, &stats), FA_OK);
    assert_int_equal(stats.held[FA_TAG_POOL], 0);
    assert_int_equal(stats_of(fa).pool_live, 0);
    destroy_quiet(fa, &to);
}

static void refused_batches(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    void *out[4] = {&to, &to, &to, &to};
    assert_false(fa_frame_alloc_batch(w, 4, 16, 16, out)); // outside a frame
    assert_reported(&to, 1, 1);
    begin(fa);
    assert_false(fa_frame_alloc_batch(NULL, 4, 16, 16, out));
    assert_false(fa_frame_alloc_batch(w, 4, 16, 16, NULL));
    assert_false(fa_frame_alloc_batch(w, 4, 0, 16, out));
    assert_true(fa_frame_alloc_batch(w, 0, 16, 16, out));
    assert_quiet(&to);
    assert_true(fa_frame_alloc_batch(w, 4, 16, 0, out));
    for (size_t i = 0; i < 4; i++) out[i] = &to;
    assert_false(fa_frame_alloc_batch(w, 4, 16, 24, out));
    assert_reported(&to, 903, 1);
    assert_false(fa_pool_alloc_batch(w, SIZE_MAX, 16, 16, out)); // a negative count: nothing is written
    assert_false(fa_pool_alloc_batch(w, SIZE_MAX / 4, 1, 1, out));
    assert_reported(&to, 914, 2);
    assert_false(fa_pool_alloc_batch(NULL, 4, 16, 16, out));
    assert_false(fa_pool_alloc_batch(w, 4, 16, 16, NULL));
    assert_false(fa_pool_alloc_batch(w, 4, 0, 16, out));
    assert_quiet(&to);
    assert_false(fa_pool_alloc_batch(w, 4, 16, 3, out));
    assert_false(fa_pool_alloc_batch(w, 4, 16, 8192, out));
    assert_reported(&to, 903, 2);
    assert_true(fa_pool_alloc_batch(w, 0, 16, 16, out));
    for (size_t i = 0; i < 4; i++) assert_ptr_equal(out[i], &to);
    assert_false(fa_pool_alloc_batch(w, 4, SIZE_MAX, 16, out));
    assert_reported(&to, 914, 1);
    fa_pool_free_batch(NULL, 4, out);
    fa_pool_free_batch(w, 4, NULL);
    fa_pool_free_batch(w, 0, out);
    void *none[2] = {NULL, NULL};
    fa_pool_free_batch(w, 2, none);
    assert_quiet(&to);
    out[0] = fa_pool_alloc(w, 100);
    out[1] = &to; // a stranger among them: reported, the others are freed
    out[2] = fa_pool_alloc(w, 100);
    fa_pool_free_batch(w, 3, out);
    assert_reported(&to, 201, 1);
    if (at->checked) {
        fa_pool_free_batch(w, 1, out);
        assert_reported(&to, 201, 1);
    }
    end(fa);
    assert_int_equal(stats_of(fa).pool_live, 0);
    destroy_quiet(fa, &to);
}

// Several lanes -----------------------------------------------------------------------------------------------------------

typedef struct exchange {
    void *lists[8][256]; // what a lane allocated, for its neighbour to free
    atomic_uint next;
} exchange;

static void allocate_list(fa_worker *w, void *arg)
{
    exchange *all = arg;
    uint32_t mine = atomic_fetch_add(&all->next, 1u);
    EXPECT(fa_pool_alloc_batch(w, 256, 72, 8, all->lists[mine]));
    for (size_t i = 0; i < 256; i++) fill(all->lists[mine][i], 72, mine * 1000 + i);
    void *frame[64];
    EXPECT(fa_frame_alloc_batch(w, 64, 40, 8, frame));
    for (size_t i = 0; i < 64; i++) fill(frame[i], 40, i + mine);
    for (size_t i = 0; i < 64; i++) EXPECT(is_filled(frame[i], 40, i + mine));
}

static void free_list(fa_worker *w, void *arg)
{
    exchange *all = arg;
    uint32_t mine = atomic_fetch_add(&all->next, 1u);
    for (size_t i = 0; i < 256; i++) EXPECT(is_filled(all->lists[mine][i], 72, mine * 1000 + i));
    fa_pool_free_batch(w, 256, all->lists[mine]);
}

static void batches_by_all_lanes(const test_case *at)
{
    static exchange all;
    sink to;
    fa_system *fa = create_case(at, &to);
    for (int round = 0; round < ROUNDS(100); round++) {
        begin(fa);
        atomic_store(&all.next, 0u);
        everyone(fa, allocate_list, &all);
        atomic_store(&all.next, 0u);
        everyone(fa, free_list, &all);
        end(fa);
        assert_int_equal(stats_of(fa).pool_live, 0);
    }
    destroy_quiet(fa, &to);
}

int main(int argc, char **argv)
{
    static const test_entry tests[] = {
        EACH_OF(typed_forms_fit_their_type, "0", "ny"),
        EACH_OF(zeroed_memory_is_zero, "0", "ny"),
        EACH_OF(overflow_is_null_and_reported, "0", "ny"),
        EACH_OF(frame_batch, "0", "ny"),
        EACH_OF(pool_batch, COUNTED("0"), "ny"),
        EACH_OF(pool_batch_is_all_or_nothing, COUNTED("0"), "ny"),
        EACH_OF(batches_obey_budgets, COUNTED("0"), "ny"),
        EACH_OF(refused_batches, COUNTED("0"), "ny"),
        EACH_OF(batches_by_all_lanes, COUNTED("0124"), "ny"),
    };
    return RUN_MATRIX("array", tests, argc, argv);
}
