// SPDX-License-Identifier: MIT
//
// The pool and the heap: classes and alignments by address, reuse, wrong frees, frees by other lanes and threads, and accounting that is
// exact at every boundary.
#include "support.h"

#include <pthread.h>

static const bool exact_build = WITH_ASAN; // every allocation takes the checked path

// Sizes and alignments --------------------------------------------------------------------------------------------------

static size_t natural_alignment(size_t bytes)
{
    size_t align = bytes & -bytes;
    return align > 4096 ? 4096 : align;
}

static void classes(const test_case *at)
{
    enum { EACH_SIZE = 3 };
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    unsigned char *p[EACH_SIZE];
    uint32_t different = 0;
    size_t last = 0;
    for (size_t size = 1; size <= FA_CLASS_SIZE_MAX; size += size < 600 ? 1 : 97) {
        size_t usable = 0;
        for (int i = 0; i < EACH_SIZE; i++) {
            p[i] = fa_pool_alloc(w, size);
            assert_non_null(p[i]);
            usable = fa_usable_size(fa, p[i]);
            assert_true(usable >= size && usable >= 16 && usable <= size + size / 4 + 16);
            assert_int_equal((uintptr_t)p[i] % natural_alignment(usable), 0);
            fill(p[i], size, size + (size_t)i);
        }
        different += usable != last;
        last = usable;
        for (int i = 0; i < EACH_SIZE; i++) {
            assert_true(is_filled(p[i], size, size + (size_t)i));
            fa_pool_free(w, p[i]);
        }
    }
    assert_int_equal(different, FA_CLASS_COUNT);
    begin(fa);
    end(fa);
    assert_int_equal(stats_of(fa).pool_live, 0);
    destroy_quiet(fa, &to);
}

static void alignments(const test_case *at)
{
    static const size_t sizes[] = {1, 8, 16, 24, 100, 160, 500, 1000, 4000, 4096, 5000, 10000, 32768, 40000, MIB};
    static const size_t bad[] = {3, 24, 4097, 8192, 65536, SIZE_MAX};
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        for (size_t align = 1; align <= 4096; align *= 2) {
            void *p[5];
            for (int j = 0; j < 5; j++) {
                p[j] = fa_pool_alloc_aligned(w, sizes[i], align);
                assert_non_null(p[j]);
                assert_int_equal((uintptr_t)p[j] % align, 0);
                assert_true(fa_usable_size(fa, p[j]) >= sizes[i]);
                fill(p[j], sizes[i], (uint64_t)j);
            }
            for (int j = 0; j < 5; j++) {
                assert_true(is_filled(p[j], sizes[i], (uint64_t)j));
                fa_pool_free(w, p[j]);
            }
        }
        for (size_t j = 0; j < sizeof bad / sizeof bad[0]; j++) assert_null(fa_pool_alloc_aligned(w, sizes[i], bad[j]));
    }
    begin(fa);
    end(fa);
    assert_int_equal(stats_of(fa).pool_live, 0);
    assert_reported(&to, 903, 90);
    destroy_quiet(fa, &to);
}

/// A table of four classes, as in small systems: sizes between them are rounded up, larger ones come from spans.
static void class_tables_change_classes(const test_case *at)
{
    static const size_t used[] = {32, 128, 512, 2048};
    sink to;
    fa_config config = case_config(at, &to);
    config.pool_classes = 0;
    for (size_t i = 0; i < 4; i++) config.pool_classes |= UINT64_C(1) << fa_class_of(used[i]);
    fa_system *fa = create(&config);
    fa_worker *w = fa_self(fa);
    for (int round = 0; round < 3; round++) {
        void *objects[300];
        size_t bytes = 0;
        for (size_t i = 0; i < 300; i++) {
            size_t size = 1 + i * 9, wanted = 64 * KIB;
            for (size_t c = 4; c-- > 0 && size <= used[c];) wanted = used[c];
            objects[i] = fa_pool_alloc(w, size);
            assert_non_null(objects[i]);
            assert_int_equal(fa_usable_size(fa, objects[i]), wanted);
            fill(objects[i], size, i);
            bytes += wanted;
        }
        begin(fa);
        end(fa);
        assert_int_equal(stats_of(fa).pool_live, 300);
        assert_int_equal(stats_of(fa).pool_live_bytes, bytes);
        for (size_t i = 0; i < 300; i++) {
            assert_true(is_filled(objects[i], 1 + i * 9, i));
            fa_pool_free(w, objects[i]);
        }
        void *aligned = fa_pool_alloc_aligned(w, 40, 64), *p[5];
        assert_int_equal((uintptr_t)aligned % 64, 0);
        assert_int_equal(fa_usable_size(fa, aligned), 128);
        fa_pool_free(w, aligned);
        assert_true(fa_pool_alloc_batch(w, 5, 200, 16, p));
        assert_int_equal(fa_usable_size(fa, p[4]), 512);
        fa_pool_free_batch(w, 5, p);
        begin(fa);
        end(fa);
        assert_int_equal(stats_of(fa).pool_live + stats_of(fa).pool_live_bytes, 0);
    }
    destroy_quiet(fa, &to);
}

static void large_objects(const test_case *at)
{
    static const size_t sizes[] = {32769, 65536, 65537, 200000, MIB, 2 * MIB, 2 * MIB + 1, 9 * MIB};
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    for (int round = 0; round < 3; round++) {
        void *p[8];
        uint64_t bytes = 0;
        begin(fa);
        for (size_t i = 0; i < 8; i++) {
            p[i] = fa_pool_alloc(w, sizes[i]);
            assert_non_null(p[i]);
            bytes += fa_usable_size(fa, p[i]);
            fill(p[i], sizes[i], i);
        }
        end(fa);
        assert_int_equal(stats_of(fa).pool_live, 8);
        assert_int_equal(stats_of(fa).pool_live_bytes, bytes);
        for (size_t i = 0; i < 8; i++) {
            assert_true(is_filled(p[i], sizes[i], i));
            fa_pool_free(w, p[i]);
        }
    }
    destroy_quiet(fa, &to);
}

static void heap_objects(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    for (size_t align = 16; align <= 4 * MIB; align *= 4) {
        void *p[40];
        size_t sizes[40], count = 0;
        uint64_t bytes = 0;
        for (size_t size = 1; size <= 64 * MIB; size = size * 2 + (size < 100 ? 1 : size / 5), count++) {
            sizes[count] = size;
            p[count] = fa_heap_alloc(w, size, align);
            assert_non_null(p[count]);
            assert_int_equal((uintptr_t)p[count] % align, 0);
            assert_true(fa_usable_size(fa, p[count]) >= size);
            bytes += fa_usable_size(fa, p[count]);
            fill(p[count], size, count);
        }
        begin(fa);
        end(fa);
        assert_int_equal(stats_of(fa).heap_live, count);
        assert_int_equal(stats_of(fa).heap_live_bytes, bytes);
        for (size_t i = 0; i < count; i++) {
            assert_true(is_filled(p[i], sizes[i], i));
            fa_heap_free(w, p[i]);
        }
    }
    void *exact = fa_heap_alloc(w, 64 * MIB, 4 * MIB);
    assert_true(exact != NULL && (uintptr_t)exact % (4 * MIB) == 0);
    fa_heap_free(w, exact);
    void *any = fa_heap_alloc(w, 100, 0);
    assert_true(any != NULL && (uintptr_t)any % 16 == 0);
    fa_heap_free(w, any);
    begin(fa);
    end(fa);
    assert_int_equal(stats_of(fa).heap_live, 0);
    assert_int_equal(stats_of(fa).heap_live_bytes, 0);
    assert_true(stats_of(fa).heap_live_bytes_peak >= 64 * MIB);
    destroy_quiet(fa, &to);
}

static void refused(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    fa_pool_free(w, NULL);
    fa_heap_free(w, NULL);
    fa_free_any(fa, NULL);
    assert_null(fa_pool_alloc(w, 0));
    assert_null(fa_heap_alloc(w, 0, 16));
    assert_null(fa_pool_alloc_array(w, 0, 8, 8));
    for (size_t below = 0; below < 40; below++) {
        assert_null(fa_pool_alloc(w, SIZE_MAX - below));
        assert_null(fa_pool_alloc_aligned(w, SIZE_MAX - below, 64));
        assert_null(fa_heap_alloc(w, SIZE_MAX - below, 16));
        assert_null(fa_heap_alloc(w, SIZE_MAX - below, 4 * MIB));
    }
    assert_reported(&to, 301, 1); // once per frame and lane
    assert_null(fa_pool_alloc_array(w, SIZE_MAX / 2, 3, 8));
    assert_null(fa_pool_alloc_array(w, SIZE_MAX / 16 + 2, 16, 16)); // the product wraps to 16
    assert_reported(&to, 914, 2);
    assert_null(fa_heap_alloc(w, 100, 3));
    assert_null(fa_heap_alloc(w, 100, SIZE_MAX));
    assert_reported(&to, 903, 2);
    assert_null(fa_heap_alloc(w, 100, SIZE_MAX / 2 + 1));
    assert_null(fa_heap_alloc(w, (size_t)5 << 30, 16)); // more than is reserved
    assert_non_null(fa_pool_new(w, int));
    fa_system *other = fa; // one leak, reported below
    assert_int_equal(fa_destroy(other), FA_OK);
    assert_reported(&to, 910, 1);
}

static void usable_size_of_strangers(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    int local = 0;
    char *foreign = malloc(100), *p = fa_pool_alloc(w, 100), *big = fa_heap_alloc(w, 3 * MIB, 16);
    begin(fa);
    assert_int_equal(fa_usable_size(fa, NULL), 0);
    assert_int_equal(fa_usable_size(fa, &local), 0);
    assert_int_equal(fa_usable_size(fa, foreign), 0);
    assert_int_equal(fa_usable_size(fa, (void *)(uintptr_t)fa_usable_size), 0);
    assert_int_equal(fa_usable_size(fa, (void *)UINTPTR_MAX), 0);
    assert_int_equal(fa_usable_size(fa, fa_frame_alloc(w, 100)), 0);
    assert_int_equal(fa_usable_size(fa, fa_frame_alloc(w, MIB)), 0);
    assert_int_equal(fa_usable_size(fa, fa_scope_alloc(w, 100)), 0);
    for (size_t inside = 1; inside < 100; inside++) assert_int_equal(fa_usable_size(fa, p + inside), 0);
    assert_int_equal(fa_usable_size(fa, big + 64 * KIB), 0);
    assert_int_equal(fa_usable_size(fa, big + 2 * MIB), 0);
    assert_int_equal(fa_usable_size(fa, p), 112);
    assert_int_equal(fa_usable_size(fa, big), 4 * MIB);
    end(fa);
    free(foreign);
    fa_pool_free(w, p);
    fa_heap_free(w, big);
    assert_int_equal(fa_usable_size(fa, big), 0);
    destroy_quiet(fa, &to);
}

// Reuse -----------------------------------------------------------------------------------------------------------------

static void use_last_first(fa_worker *w, void *arg)
{
    (void)arg;
    static const size_t sizes[] = {16, 24, 100, 1000, 8000, 32768};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        void *a = fa_pool_alloc(w, sizes[i]);
        for (int round = 0; round < 100; round++) {
            fa_pool_free(w, a);
            EXPECT(fa_pool_alloc(w, sizes[i]) == a);
        }
        void *b = fa_pool_alloc(w, sizes[i]);
        fa_pool_free(w, a);
        fa_pool_free(w, b);
        EXPECT(fa_pool_alloc(w, sizes[i]) == b);
        EXPECT(fa_pool_alloc(w, sizes[i]) == a);
        fa_pool_free(w, a);
        fa_pool_free(w, b);
    }
}

static void last_freed_is_first_used(const test_case *at)
{
    if (exact_build) return; // memory is reused as late as possible
    sink to;
    fa_system *fa = create_case(at, &to);
    begin(fa);
    everyone(fa, use_last_first, NULL);
    end(fa);
    assert_int_equal(stats_of(fa).pool_live, 0);
    destroy_quiet(fa, &to);
}

static void memory_is_used_again(const test_case *at)
{
    enum { COUNT = 20000 };
    sink to;
    fa_config config = case_config(at, &to);
    config.memory_max = 16 * MIB; // less than the classes would need side by side
    config.attached_max = 4;
    fa_system *fa = create(&config);
    fa_worker *w = fa_self(fa);
    static void *p[COUNT];
    for (int round = 0; round < 12; round++) {
        size_t size = (size_t)16 << round % 6; // slabs change their class
        begin(fa);
        for (int i = 0; i < COUNT; i++) {
            p[i] = fa_pool_alloc(w, size);
            assert_non_null(p[i]);
            fill(p[i], size, (uint64_t)i);
        }
        for (int i = 0; i < COUNT; i++) assert_true(is_filled(p[i], size, (uint64_t)i));
        for (int i = 0; i < COUNT; i++) fa_pool_free(w, p[(i * 7919) % COUNT]); // COUNT and 7919 have no common divisor
        end(fa);
        assert_int_equal(stats_of(fa).pool_live, 0);
    }
    assert_true(stats_of(fa).memory_peak <= config.memory_max);
    destroy_quiet(fa, &to);
}

static void limit_and_recovery(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    config.memory_max = 24 * MIB;
    config.attached_max = 0;
    fa_system *fa = create(&config);
    fa_worker *w = fa_self(fa);
    static void *p[4096];
    static const size_t sizes[] = {8192, 20000, 100000, 3 * MIB, 8192};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        size_t count = 0;
        while (count < 4096 && (p[count] = fa_pool_alloc(w, sizes[i])) != NULL) count++;
        assert_true(count < 4096 && count * sizes[i] >= 12 * MIB);
        void *q = fa_heap_alloc(w, 4 * MIB, 16);
        if (q != NULL) fa_heap_free(w, q);
        assert_reported(&to, 301, 1);
        begin(fa);
        end(fa);
        assert_true(stats_of(fa).memory_peak <= config.memory_max);
        assert_true(stats_of(fa).memory_refused > 0);
        while (count > 0) fa_pool_free(w, p[--count]);
    }
    destroy_quiet(fa, &to);
}

// Wrong frees -----------------------------------------------------------------------------------------------------------

static void wrong_pointers(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    unsigned char *pool = fa_pool_alloc(w, 100), *heap = fa_heap_alloc(w, 100, 16);
    unsigned char *pool_span = fa_pool_alloc(w, MIB), *heap_span = fa_heap_alloc(w, 3 * MIB, 16),
                  *foreign = malloc(100);
    fill(pool, 100, 1);
    fill(heap, 100, 2);
    fill(pool_span, MIB, 3);
    fill(heap_span, 3 * MIB, 4);
    begin(fa);
    unsigned char *frame = fa_frame_alloc(w, 100), *frame_span = fa_frame_alloc(w, MIB);
    fill(frame, 100, 5);
    void *not_pool[] = {heap, heap_span, foreign, frame, frame_span, pool_span + 64 * KIB, pool_span + 16};
    void *not_heap[] = {pool, pool_span, foreign, frame, frame_span, heap + 1, heap + 16, heap_span + 2 * MIB};
    void *neither[] = {foreign, frame, frame_span, pool_span + 64 * KIB, heap_span + 2 * MIB};
    for (size_t i = 0; i < sizeof not_pool / sizeof not_pool[0]; i++) {
        fa_pool_free(w, not_pool[i]);
        bool escaped = not_pool[i] == frame || not_pool[i] == frame_span;
        assert_reported(&to, escaped ? 2 : 201, 1);
    }
    for (size_t i = 0; i < sizeof not_heap / sizeof not_heap[0]; i++) {
        fa_heap_free(w, not_heap[i]);
        bool escaped = not_heap[i] == frame || not_heap[i] == frame_span;
        assert_reported(&to, escaped ? 2 : 201, 1);
    }
    for (size_t i = 0; i < sizeof neither / sizeof neither[0]; i++) {
        fa_free_any(fa, neither[i]);
        bool escaped = neither[i] == frame || neither[i] == frame_span;
        assert_reported(&to, escaped ? 2 : 201, 1);
    }
    assert_true(is_filled(pool, 100, 1) && is_filled(heap, 100, 2) && is_filled(frame, 100, 5));
    assert_true(is_filled(pool_span, MIB, 3) && is_filled(heap_span, 3 * MIB, 4));
    end(fa);
    assert_int_equal(stats_of(fa).pool_live, 2);
    assert_int_equal(stats_of(fa).heap_live, 2);
    fa_pool_free(w, pool);
    fa_pool_free(w, pool_span);
    fa_heap_free(w, heap);
    fa_heap_free(w, heap_span);
    free(foreign);
    destroy_quiet(fa, &to);
}

/// One FA201, of p, that says `words`.
static void assert_told(sink *to, const void *p, const char *words)
{
    char wanted[160];
    snprintf(wanted, sizeof wanted, "invalid free of %p, which %s", p, words);
    assert_string_equal(to->message, wanted);
    assert_reported(to, 201, 1);
}

/// Of small objects unchecked systems tell what the slab knows: whether it is free, not whether who has it asked for it.
static void bad_frees_say_what_is_known(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to), *other = create_case(at, &(sink){0});
    fa_worker *w = fa_self(fa);
    unsigned char *pool = fa_pool_alloc(w, 100), *heap = fa_heap_alloc(w, 100, 16), *kept = fa_heap_alloc(w, 100, 16),
                  *pool_span = fa_pool_alloc(w, MIB), *heap_span = fa_heap_alloc(w, 3 * MIB, 16),
                  *foreign = fa_pool_alloc(fa_self(other), 100);
    int local = 0;
    const char *live = at->checked ? "points 8 bytes into a live object" : "points 8 bytes into an object";
    fa_pool_free(w, &local);
    assert_told(&to, &local, "is no memory of this system");
    fa_free_any(fa, foreign);
    assert_told(&to, foreign, "is no memory of this system");
    fa_pool_free(w, heap);
    assert_told(&to, heap, "is a heap object: fa_heap_free() frees it");
    fa_pool_free(w, heap_span);
    assert_told(&to, heap_span, "is a heap object: fa_heap_free() frees it");
    fa_heap_free(w, pool);
    assert_told(&to, pool, "is a pool object: fa_pool_free() frees it");
    fa_heap_free(w, pool_span);
    assert_told(&to, pool_span, "is a pool object: fa_pool_free() frees it");
    fa_heap_free(w, heap + 8);
    assert_told(&to, heap + 8, live);
    fa_free_any(fa, pool + 8);
    assert_told(&to, pool + 8, live);
    fa_pool_free(w, pool_span + 8);
    assert_told(&to, pool_span + 8, "points 8 bytes into a live object");
    fa_heap_free(w, heap_span + 2 * MIB);
    assert_told(&to, heap_span + 2 * MIB, "points 2097152 bytes into a live object");
    fa_free_any(fa, heap_span + 2 * MIB); // whoever has no lane does not look around
    assert_told(&to, heap_span + 2 * MIB, "is the start of no live object");
    unsigned char *rest = kept - (uintptr_t)kept % (64 * KIB) + 64 * KIB - 8; // of a slab, where no further object fits
    fa_heap_free(w, heap);
    fa_heap_free(w, heap);
    assert_told(&to, heap, at->checked ? "was freed already" : "is free already");
    fa_heap_free(w, heap + 8);
    assert_told(&to, heap + 8, at->checked ? "points 8 bytes into an object that was freed already" : live);
    fa_heap_free(w, heap_span);
    fa_heap_free(w, heap_span);
    assert_told(&to, heap_span, "was freed already");
    fa_heap_free(w, heap_span + 8);
    assert_told(&to, heap_span + 8, "lies in memory that was freed already");
    fa_pool_free(w, pool);
    if (at->checked) { // elsewhere it is noticed when the magazine is flushed
        fa_pool_free(w, pool);
        assert_told(&to, pool, "was freed already");
        fa_pool_free(w, pool + 112);
        assert_told(&to, pool + 112, "is free already");
        fa_free_any(fa, pool_span);
        fa_pool_free(w, pool_span);
        assert_told(&to, pool_span, "was freed already");
    } else {
        fa_pool_free(w, pool_span);
    }
    fa_heap_free(w, rest);
    assert_told(&to, rest, "is the start of no live object");
    fa_heap_free(w, kept);
    fa_pool_free(fa_self(other), foreign);
    assert_int_equal(fa_destroy(other), FA_OK);
    destroy_quiet(fa, &to);
}

static void what_the_library_keeps_is_not_freed_by_address(const test_case *at)
{
    static const char kept[] = "belongs to a handle, group, stream, job or scratch pool, or to the library";
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    static const size_t sizes[] = {100, 200 * KIB, 3 * MIB};
    for (size_t i = 0; i < 3; i++) {
        fa_handle handle = fa_handle_alloc(w, sizes[i], 16, NULL);
        unsigned char *p = fa_handle_resolve(w, handle);
        assert_non_null(p);
        fa_heap_free(w, p);
        assert_told(&to, p, kept);
        if (i > 0) fa_pool_free(w, p + 128 * KIB);
        if (i > 0) assert_told(&to, p + 128 * KIB, kept);
        assert_int_equal(fa_handle_free(w, handle), FA_OK);
    }
    destroy_quiet(fa, &to);
}

/// What only checked builds promise: every second free is noticed, wherever it happens, and does no damage.
static void free_it(fa_worker *w, void *arg)
{
    fa_pool_free(w, arg);
}

static void freed_twice(const test_case *at)
{
    static const size_t sizes[] = {16, 100, 4096, 32768};
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        unsigned char *victim = fa_pool_alloc(w, sizes[i]), *near = fa_pool_alloc(w, sizes[i]);
        fill(near, sizes[i], 9);
        for (int inside = 1; inside < 16; inside++) {
            fa_pool_free(w, victim + inside);
            assert_reported(&to, 201, 1);
        }
        fa_pool_free(w, victim);
        assert_quiet(&to);
        fa_pool_free(w, victim);
        assert_reported(&to, 201, 1);
        // By jobs, on whichever lane: noticed at the latest at the boundary.
        victim = fa_pool_alloc(w, sizes[i]);
        for (int frame = 0; frame < 3; frame++) {
            begin(fa);
            assert_int_equal(fa_submit(w, free_it, victim), FA_OK);
            end(fa);
            if (frame == 0)
                assert_quiet(&to);
            else
                assert_reported(&to, 201, 1);
            assert_int_equal(stats_of(fa).pool_live, 1);
        }
        assert_true(is_filled(near, sizes[i], 9));
        fa_pool_free(w, near);
        // Nothing is handed out twice.
        void *p[200];
        for (int j = 0; j < 200; j++) {
            p[j] = fa_pool_alloc(w, sizes[i]);
            fill(p[j], sizes[i], (uint64_t)j);
        }
        for (int j = 0; j < 200; j++) {
            assert_true(is_filled(p[j], sizes[i], (uint64_t)j));
            fa_pool_free(w, p[j]);
        }
    }
    void *large = fa_pool_alloc(w, MIB), *heap = fa_heap_alloc(w, 100, 16);
    fa_pool_free(w, large);
    fa_pool_free(w, large);
    fa_heap_free(w, heap);
    fa_heap_free(w, heap);
    assert_reported(&to, 201, 2);
    begin(fa);
    end(fa);
    assert_int_equal(stats_of(fa).pool_live, 0);
    assert_int_equal(stats_of(fa).heap_live, 0);
    destroy_quiet(fa, &to);
}

/// The same through fa_free_any(), which knows nothing of the owner's lists.
static void freed_wrongly_from_anywhere(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    unsigned char *p[4];
    for (int i = 0; i < 4; i++) {
        p[i] = fa_pool_alloc(w, 160);
        fill(p[i], 160, (uint64_t)i);
    }
    begin(fa);
    fa_pool_free(w, p[0]);
    fa_free_any(fa, p[0]);
    fa_free_any(fa, p[1] + 16);
    fa_free_any(fa, p[1] + 1);
    end(fa);
    assert_reported(&to, 201, 3);
    assert_true(is_filled(p[1], 160, 1) && is_filled(p[2], 160, 2) && is_filled(p[3], 160, 3));
    assert_int_equal(stats_of(fa).pool_live, 3);
    begin(fa);
    fa_free_any(fa, p[2]);
    fa_free_any(fa, p[2]); // on its way home
    assert_reported(&to, 201, 1);
    end(fa);
    begin(fa);
    fa_free_any(fa, p[2]);
    end(fa);
    assert_reported(&to, 201, 1);
    fa_pool_free(w, p[1]);
    fa_pool_free(w, p[3]);
    destroy_quiet(fa, &to);
}

// Random traffic --------------------------------------------------------------------------------------------------------

enum { SLOTS = 4096, SLOT_GROUPS = 32, GROUP = SLOTS / SLOT_GROUPS };

typedef struct slot {
    void *object;
    size_t size;
    uint64_t key;
    bool heap;
} slot;

typedef struct traffic {
    slot slots[SLOTS];
    uint64_t seed;
    uint64_t round;
    atomic_ullong pool_live, pool_bytes, heap_live, heap_bytes;
} traffic;

typedef struct traffic_share {
    traffic *all;
    uint32_t group;
} traffic_share;

static void toggle(fa_worker *w, traffic *all, slot *at, rng *from)
{
    if (at->object != NULL) {
        size_t usable = fa_usable_size(w->system, at->object);
        EXPECT(is_filled(at->object, at->size, at->key));
        atomic_fetch_sub(at->heap ? &all->heap_live : &all->pool_live, 1u);
        atomic_fetch_sub(at->heap ? &all->heap_bytes : &all->pool_bytes, usable);
        if (at->heap)
            fa_heap_free(w, at->object);
        else
            fa_pool_free(w, at->object);
        at->object = NULL;
        return;
    }
    uint32_t dice = rng_below(from, 1000);
    at->size = 1 + rng_below(from, dice < 800 ? 300 : dice < 980 ? 9000 : dice < 996 ? 33000 : 300000);
    at->key = rng_next(from);
    at->heap = rng_below(from, 8) == 0;
    at->object = at->heap ? fa_heap_alloc(w, at->size, (size_t)16 << rng_below(from, 6)) : fa_pool_alloc(w, at->size);
    EXPECT(at->object != NULL);
    if (at->object == NULL) return;
    fill(at->object, at->size, at->key);
    atomic_fetch_add(at->heap ? &all->heap_live : &all->pool_live, 1u);
    atomic_fetch_add(at->heap ? &all->heap_bytes : &all->pool_bytes, fa_usable_size(w->system, at->object));
}

static void traffic_job(fa_worker *w, void *arg)
{
    const traffic_share *share = arg;
    traffic *all = share->all;
    rng from = {all->seed + all->round * SLOT_GROUPS + share->group};
    for (int i = 0; i < GROUP; i++) toggle(w, all, &all->slots[share->group * GROUP + rng_below(&from, GROUP)], &from);
}

static void assert_accounts(const fa_system *fa, traffic *all)
{
    fa_stats stats = stats_of(fa);
    assert_int_equal(stats.pool_live, atomic_load(&all->pool_live));
    assert_int_equal(stats.pool_live_bytes, atomic_load(&all->pool_bytes));
    assert_int_equal(stats.heap_live, atomic_load(&all->heap_live));
    assert_int_equal(stats.heap_live_bytes, atomic_load(&all->heap_bytes));
    assert_true(stats.pool_allocs >= stats.pool_live && stats.heap_allocs >= stats.heap_live);
    assert_true(stats.pool_live_bytes_peak >= stats.pool_live_bytes);
}

static void free_slots(fa_worker *w, traffic *all)
{
    rng from = {0};
    for (int i = 0; i < SLOTS; i++)
        if (all->slots[i].object != NULL) toggle(w, all, &all->slots[i], &from);
}

static void traffic_is_accounted_exactly(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    static traffic all;
    memset(&all, 0, sizeof all);
    all.seed = test_seed();
    for (all.round = 0; all.round < (uint64_t)ROUNDS(60); all.round++) {
        begin(fa);
        for (uint32_t group = 0; group < SLOT_GROUPS; group++) {
            traffic_share share = {&all, group};
            assert_int_equal(fa_submit_copy(fa_self(fa), NULL, traffic_job, &share, sizeof share), FA_OK);
        }
        end(fa);
        assert_accounts(fa, &all);
    }
    free_slots(fa_self(fa), &all);
    begin(fa);
    end(fa);
    assert_int_equal(stats_of(fa).pool_live, 0);
    assert_int_equal(stats_of(fa).heap_live, 0);
    destroy_quiet(fa, &to);
}

// Frees by others -------------------------------------------------------------------------------------------------------

enum { LOAD = 2000 };

typedef struct loads {
    void *of_lane[16][LOAD];
    uint32_t shift; // whose load a lane frees
    uint32_t lanes;
} loads;

static void make_load(fa_worker *w, void *arg)
{
    loads *all = arg;
    for (uint32_t i = 0; i < LOAD; i++) {
        size_t size = 16 + i % 50 * 8;
        all->of_lane[w->index][i] = fa_pool_alloc(w, size);
        EXPECT(all->of_lane[w->index][i] != NULL);
        fill(all->of_lane[w->index][i], size, i);
    }
}

static void free_load(fa_worker *w, void *arg)
{
    loads *all = arg;
    uint32_t owner = (w->index + all->shift) % all->lanes;
    for (uint32_t i = 0; i < LOAD; i++) {
        EXPECT(is_filled(all->of_lane[owner][i], 16 + i % 50 * 8, i));
        fa_pool_free(w, all->of_lane[owner][i]);
    }
}

static void frees_come_home_by_the_boundary(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    static loads all;
    all.lanes = at->workers + 1;
    uint64_t early = 0, remote = 0;
    for (int frame = 0; frame < ROUNDS(at->workers > 4 ? 12 : 24); frame++) {
        all.shift = (uint32_t)frame % all.lanes;
        begin(fa);
        everyone(fa, make_load, &all);
        end(fa);
        assert_int_equal(stats_of(fa).pool_live, LOAD * all.lanes);
        begin(fa);
        everyone(fa, free_load, &all);
        end(fa);
        fa_stats stats = stats_of(fa);
        remote += all.shift != 0 ? LOAD * all.lanes : 0;
        assert_int_equal(stats.pool_live, 0);
        assert_int_equal(stats.pool_live_bytes, 0);
        assert_int_equal(stats.remote_frees, remote);
        if (frame == 3) early = stats.memory_bytes;
        if (frame > 3) assert_true(stats.memory_bytes <= early + 2 * MIB * all.lanes);
    }
    destroy_quiet(fa, &to);
}

/// Workers that own the memory never run again: the boundary brings their memory home for them.
static void idle_owners_do_not_sit_on_memory(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    static loads all;
    all.lanes = at->workers + 1;
    begin(fa);
    everyone(fa, make_load, &all);
    end(fa);
    uint64_t live = LOAD * all.lanes;
    for (uint32_t i = 0; i < LOAD; i += 100) {
        begin(fa);
        for (uint32_t lane = 0; lane < all.lanes; lane++, live -= 100)
            for (uint32_t j = i; j < i + 100; j++) fa_pool_free(w, all.of_lane[lane][j]);
        end(fa);
        assert_int_equal(stats_of(fa).pool_live, live);
    }
    assert_int_equal(live, 0);
    destroy_quiet(fa, &to);
}

typedef struct free_thread {
    fa_system *fa;
    loads *all;
    atomic_uint lanes_ready; // lanes whose load may be freed
    uint32_t lanes;
} free_thread;

static void *free_from_outside(void *arg)
{
    free_thread *thread = arg;
    EXPECT(fa_self(thread->fa) == NULL);
    for (uint32_t lane = 0; lane < thread->lanes; lane++) {
        while (atomic_load(&thread->lanes_ready) <= lane) sched_yield();
        for (uint32_t i = 0; i < LOAD; i++) {
            EXPECT(is_filled(thread->all->of_lane[lane][i], 16 + i % 50 * 8, i));
            fa_free_any(thread->fa, thread->all->of_lane[lane][i]);
        }
    }
    return NULL;
}

static void unattached_threads_free(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    static loads all;
    all.lanes = at->workers + 1;
    for (int round = 1; round <= ROUNDS(8); round++) {
        free_thread thread = {fa, &all, 0, all.lanes};
        pthread_t handle;
        begin(fa);
        everyone(fa, make_load, &all);
        end(fa);
        assert_int_equal(pthread_create(&handle, NULL, free_from_outside, &thread), 0);
        for (uint32_t lane = 0; lane < all.lanes; lane++) { // boundaries meanwhile
            atomic_store(&thread.lanes_ready, lane + 1);
            begin(fa);
            end(fa);
        }
        pthread_join(handle, NULL);
        begin(fa);
        end(fa);
        assert_int_equal(stats_of(fa).pool_live, 0);
        assert_int_equal(stats_of(fa).foreign_frees, LOAD * all.lanes * (unsigned)round);
    }
    destroy_quiet(fa, &to);
}

typedef struct visitor {
    fa_system *fa;
    void *given[LOAD]; // by the main lane, the visitor frees them
    void *made[LOAD];  // by the visitor, the main lane frees them
} visitor;

static void *visit(void *arg)
{
    visitor *visit = arg;
    fa_worker *w;
    EXPECT(fa_attach(visit->fa, &w) == FA_OK);
    EXPECT(fa_self(visit->fa) == w);
    for (uint32_t i = 0; i < LOAD; i++) {
        visit->made[i] = i % 2 == 0 ? fa_pool_alloc(w, 16 + i) : fa_heap_alloc(w, 16 + i, 16);
        EXPECT(is_filled(visit->given[i], 64, i));
        fa_pool_free(w, visit->given[i]);
        fill(visit->made[i], 16 + i, i);
        void *own = fa_pool_alloc(w, 1 + i * 10);
        fa_pool_free(w, own);
    }
    EXPECT(fa_detach(w) == FA_OK);
    EXPECT(fa_self(visit->fa) == NULL);
    return NULL;
}

static void departed_threads_leave_nothing(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    config.attached_max = 3;
    fa_system *fa = create(&config);
    fa_worker *w = fa_self(fa);
    static visitor visitors[3];
    for (int round = 0; round < ROUNDS(24); round++) {
        int count = 1 + round % 3;
        pthread_t handles[3];
        for (int i = 0; i < count; i++) {
            visitors[i].fa = fa;
            for (uint32_t j = 0; j < LOAD; j++) fill(visitors[i].given[j] = fa_pool_alloc(w, 64), 64, j);
            assert_int_equal(pthread_create(&handles[i], NULL, visit, &visitors[i]), 0);
        }
        for (int i = 0; i < count; i++) pthread_join(handles[i], NULL);
        begin(fa);
        end(fa);
        assert_int_equal(stats_of(fa).pool_live, LOAD / 2 * (unsigned)count);
        assert_int_equal(stats_of(fa).heap_live, LOAD / 2 * (unsigned)count);
        for (int i = 0; i < count; i++) {
            for (uint32_t j = 0; j < LOAD; j++) {
                assert_true(is_filled(visitors[i].made[j], 16 + j, j));
                if (j % 2 == 0)
                    fa_pool_free(w, visitors[i].made[j]);
                else
                    fa_heap_free(w, visitors[i].made[j]);
            }
        }
        begin(fa);
        end(fa);
        assert_int_equal(stats_of(fa).pool_live, 0);
        assert_int_equal(stats_of(fa).heap_live, 0);
        // Where a visitor's memory stayed behind it would be 3 MiB a visit, of which there are 48.
        assert_true(stats_of(fa).memory_bytes <= 40 * MIB);
    }
    destroy_quiet(fa, &to);
}

static void *leave_caches(void *arg)
{
    enum { OBJECTS = 100 };
    fa_system *fa = arg;
    fa_worker *w;
    void *p[OBJECTS];
    EXPECT(fa_attach(fa, &w) == FA_OK);
    for (size_t size = 16; size <= FA_CLASS_SIZE_MAX; size += size / 4) {
        EXPECT(fa_pool_alloc_batch(w, OBJECTS, size, 16, p));
        fa_pool_free_batch(w, OBJECTS, p);
    }
    {
        FA_SCOPE(w);
        for (int i = 0; i < 5; i++) EXPECT(fa_scope_alloc(w, 400 * KIB) != NULL);
    }
    EXPECT(fa_detach(w) == FA_OK);
    return NULL;
}

static uint64_t bytes_in_use(const fa_system *fa)
{
    fa_stats stats = stats_of(fa);
    return stats.memory_bytes - stats.memory_free;
}

/// What a thread kept at hand for itself is the system's again, although nobody takes its lane after it.
static void a_departed_threads_cache_goes_home(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    config.attached_max = 1;
    fa_system *fa = create(&config);
    pthread_t handle;
    begin(fa);
    end(fa);
    uint64_t before = bytes_in_use(fa);
    assert_int_equal(pthread_create(&handle, NULL, leave_caches, fa), 0);
    pthread_join(handle, NULL);
    begin(fa);
    end(fa);
    assert_int_equal(stats_of(fa).pool_live, 0);
    assert_true(bytes_in_use(fa) >
                before); // slabs of all classes, unless the system is checked; blocks of scope memory
    for (int frame = 0; frame < 125; frame++) {
        begin(fa);
        end(fa);
    }
    assert_int_equal(bytes_in_use(fa), before);
    destroy_quiet(fa, &to);
}

// Leaks -----------------------------------------------------------------------------------------------------------------

static void leak_here(fa_worker *w, void *arg)
{
    (void)arg;
    (void)fa_pool_alloc(w, 100); // 112 bytes
    (void)fa_pool_alloc(w, 16);
    (void)fa_heap_alloc(w, 1000, 16); // 1024 bytes
    (void)fa_pool_alloc(w, 100000);   // 128 KiB
    void *p = fa_pool_alloc(w, 500);
    fa_pool_free(w, p);
}

static void leaks_are_reported(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    begin(fa);
    everyone(fa, leak_here, NULL);
    end(fa);
    unsigned lanes = at->workers + 1;
    assert_int_equal(stats_of(fa).pool_live, 3 * lanes);
    assert_int_equal(fa_destroy(fa), FA_OK);
    char wanted[200];
    snprintf(wanted, sizeof wanted, "never freed: %u pool objects (%u bytes), %u heap objects (%u bytes)", 3 * lanes,
             (112 + 16 + 131072) * lanes, lanes, 1024 * lanes);
    assert_string_equal(to.message, wanted);
    assert_reported(&to, 910, 1);
}

typedef struct filler {
    fa_system *fa;
    atomic_bool ready, stop;
    unsigned short_of;
} filler;

static unsigned fill_up(fa_worker *w)
{
    void *blocks[64];
    unsigned n = 0;
    while (n < 64 && (blocks[n] = fa_heap_alloc(w, 2 * MIB, 16)) != NULL) n++;
    for (unsigned i = 0; i < n; i++) fa_heap_free(w, blocks[i]);
    return n;
}

static void *fill_again_and_again(void *arg)
{
    filler *f = arg;
    fa_worker *w;
    EXPECT(fa_attach(f->fa, &w) == FA_OK);
    unsigned all = fill_up(w);
    EXPECT(all > 0);
    atomic_store(&f->ready, true);
    while (!atomic_load(&f->stop)) f->short_of += fill_up(w) < all;
    EXPECT(fa_detach(w) == FA_OK);
    return NULL;
}

/// A lane that alone uses memory gets all that the limit allows, whatever the boundary does with free blocks meanwhile.
static void boundaries_take_nothing_from_a_limit(const test_case *at)
{
    for (int round = 0; round < 20; round++) {
        sink to;
        fa_config config = case_config(at, &to);
        config.reserve_bytes = 64 * MIB;
        config.memory_max = 32 * MIB;
        config.attached_max = 1;
        config.huge_pages = false;
        filler f = {.fa = create(&config)};
        pthread_t handle;
        assert_int_equal(pthread_create(&handle, NULL, fill_again_and_again, &f), 0);
        while (!atomic_load(&f.ready)) sched_yield();
        for (int frame = 0; frame < 20; frame++) {
            begin(f.fa);
            end(f.fa);
        }
        atomic_store(&f.stop, true);
        pthread_join(handle, NULL);
        assert_int_equal(f.short_of, 0);
        assert_int_equal(fa_destroy(f.fa), FA_OK);
    }
}

// Spans that others freed -----------------------------------------------------------------------------------------------

typedef struct freeing {
    fa_system *fa;
    void *p;
} freeing;

static void *free_span(void *arg)
{
    freeing *f = arg;
    fa_free_any(f->fa, f->p);
    return NULL;
}

/// What waits in the lane's mailbox must not make a budget refuse, in one frame and for each function that gives spans.
static void spans_on_their_way_home_do_not_count(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    enum { SPAN = 512 * KIB };
    fa_tag tag;
    assert_int_equal(fa_tag_find(fa, "mesh", &tag), FA_OK);
    assert_int_equal(fa_budget_set(fa, tag, 0, SPAN), FA_OK);
    begin(fa);
    {
        FA_TAG_AT(w, tag);
        void *p = fa_pool_alloc(w, SPAN);
        for (int i = 0; i < 6; i++) {
            assert_non_null(p);
            freeing f = {fa, p};
            pthread_t thread;
            assert_int_equal(pthread_create(&thread, NULL, free_span, &f), 0);
            pthread_join(thread, NULL);
            if (i % 3 == 0) p = fa_heap_alloc(w, SPAN, 0);
            if (i % 3 == 1) p = fa_pool_alloc(w, SPAN);
            if (i % 3 == 2) assert_true(fa_pool_alloc_batch(w, 1, SPAN, 0, &p));
        }
        fa_pool_free(w, p);
    }
    end(fa);
    destroy_quiet(fa, &to);
}

int main(int argc, char **argv)
{
    const test_entry entries[] = {
        EACH_OF(classes, COUNTED("01"), "ny"),
        EACH_OF(class_tables_change_classes, COUNTED("02"), "ny"),
        EACH_OF(spans_on_their_way_home_do_not_count, COUNTED("0"), "ny"),
        EACH_OF(alignments, COUNTED("01"), "ny"),
        EACH_OF(large_objects, COUNTED("02"), "ny"),
        EACH_OF(heap_objects, COUNTED("02"), "ny"),
        EACH_OF(refused, COUNTED("02"), "ny"),
        EACH_OF(usable_size_of_strangers, "02", "ny"),
        EACH_OF(last_freed_is_first_used, COUNTED("0124"), "n"),
        EACH_OF(memory_is_used_again, COUNTED("02"), "ny"),
        EACH_OF(limit_and_recovery, COUNTED("02"), "ny"),
        EACH_OF(wrong_pointers, COUNTED("02"), "ny"),
        EACH_OF(bad_frees_say_what_is_known, "0124", "ny"),
        EACH_OF(what_the_library_keeps_is_not_freed_by_address, "02", "ny"),
        EACH_OF(freed_twice, COUNTED("0124"), "y"),
        EACH_OF(freed_wrongly_from_anywhere, COUNTED("02"), "y"),
        EACH_OF(traffic_is_accounted_exactly, COUNTED("01248"), "ny"),
        EACH_OF(frees_come_home_by_the_boundary, COUNTED("01248"), "ny"),
        EACH_OF(idle_owners_do_not_sit_on_memory, COUNTED("0124"), "ny"),
        EACH_OF(unattached_threads_free, COUNTED("0124"), "ny"),
        EACH_OF(departed_threads_leave_nothing, COUNTED("0124"), "ny"),
        EACH_OF(a_departed_threads_cache_goes_home, COUNTED("0124"), "ny"),
        EACH_OF(leaks_are_reported, COUNTED("0124"), "ny"),
        EACH_OF(boundaries_take_nothing_from_a_limit, "01", "n"),
    };
    return RUN_MATRIX("pool", entries, argc, argv);
}
