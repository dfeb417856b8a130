// SPDX-License-Identifier: MIT
//
// Debug features of checked systems: each finds what it is for, and none speaks up in a clean run.
#include "support.h"

#include <pthread.h>

/// What a program with a defect does, and AddressSanitizer would stop.
__attribute__((noinline, no_sanitize("address"))) static void write_wrongly(void *p, size_t offset)
{
    ((volatile unsigned char *)p)[offset] = 0x5a;
}

__attribute__((noinline, no_sanitize("address"))) static unsigned char read_wrongly(const void *p, size_t offset)
{
    return ((const volatile unsigned char *)p)[offset];
}

/// Frees outside a tick reach their owner, on any lane, at the next boundary.
static void boundary(fa_system *fa)
{
    begin(fa);
    end(fa);
}

static void assert_stale(fa_system *fa, sink *to, const void *p, size_t size)
{
    assert_true(fa_is_poisoned(p, size));
    assert_int_equal(fa_check(fa, p, size), FA_ERROR_STALE);
    assert_reported(to, 201, 1);
}

// Poison ----------------------------------------------------------------------------------------------------------------

static void freed_objects_are_poisoned(const test_case *at)
{
    static const size_t sizes[] = {16, 100, 4096, 32768, 200000};
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        void *p[2] = {fa_pool_alloc(w, sizes[i]), fa_heap_alloc(w, sizes[i], 16)};
        for (int j = 0; j < 2; j++) {
            assert_non_null(p[j]);
            assert_false(fa_is_poisoned(p[j], sizes[i]));
            assert_int_equal(((unsigned char *)p[j])[sizes[i] - 1], 0xcd);
            assert_int_equal(fa_check(fa, p[j], sizes[i]), FA_OK);
        }
        fa_pool_free(w, p[0]);
        fa_heap_free(w, p[1]);
        for (int j = 0; j < 2; j++) assert_stale(fa, &to, p[j], sizes[i]);
    }
    destroy_quiet(fa, &to);
}

typedef struct found {
    void *objects[8];
    atomic_uint count;
} found;

static void allocate_frame(fa_worker *w, void *arg)
{
    found *all = arg;
    void *p = fa_frame_alloc(w, 1000);
    EXPECT(p != NULL && !fa_is_poisoned(p, 1000));
    EXPECT(fa_check(w->system, p, 1000) == FA_OK);
    all->objects[atomic_fetch_add(&all->count, 1u)] = p;
}

static void frame_memory_is_poisoned_on_every_worker(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    found all = {0};
    begin(fa);
    everyone(fa, allocate_frame, &all);
    void *span = fa_frame_alloc(fa_self(fa), MIB);
    assert_non_null(span);
    assert_int_equal(fa_check(fa, span, MIB), FA_OK);
    end(fa);
    assert_int_equal(atomic_load(&all.count), at->workers + 1);
    for (uint32_t i = 0; i <= at->workers; i++) assert_stale(fa, &to, all.objects[i], 1000);
    assert_stale(fa, &to, span, MIB);
    destroy_quiet(fa, &to);
}

static void rollback_and_scope_end_poison(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    begin(fa);
    unsigned char *kept = fa_frame_alloc(w, 100), *scoped = NULL;
    fill(kept, 100, 1);
    fa_checkpoint checkpoint = fa_checkpoint_take(w);
    void *undone = fa_frame_alloc(w, 3 * 64), *undone_span = fa_frame_alloc(w, 3 * MIB);
    assert_int_equal(fa_checkpoint_rollback(w, checkpoint), FA_OK);
    assert_stale(fa, &to, undone, 3 * 64);
    assert_stale(fa, &to, undone_span, 3 * MIB);
    assert_true(is_filled(kept, 100, 1));
    {
        FA_SCOPE(w);
        scoped = fa_scope_alloc(w, 500);
        assert_int_equal(fa_check(fa, scoped, 500), FA_OK);
    }
    assert_stale(fa, &to, scoped, 500);
    end(fa);
    destroy_quiet(fa, &to);
}

typedef struct job_memory {
    atomic_uintptr_t of[16];
    atomic_uint count;
} job_memory;

static void use_job_memory(fa_worker *w, void *arg)
{
    job_memory *all = arg;
    void *p = fa_scope_alloc(w, 200);
    EXPECT(p != NULL && fa_check(w->system, p, 200) == FA_OK);
    atomic_store(&all->of[atomic_fetch_add(&all->count, 1u)], (uintptr_t)p);
}

/// Scope memory is the job's: it ends when the job returns, though its frame goes on.
static void a_jobs_memory_is_poisoned_when_it_returns(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    job_memory all = {0};
    fa_counter counter = FA_COUNTER_INIT;
    begin(fa);
    for (int i = 0; i < 16; i++)
        assert_int_equal(fa_submit_counted(fa_self(fa), &counter, use_job_memory, &all), FA_OK);
    assert_int_equal(fa_wait(fa_self(fa), &counter), FA_OK);
    for (int i = 0; i < 16; i++) assert_stale(fa, &to, (void *)atomic_load(&all.of[i]), 200);
    end(fa);
    destroy_quiet(fa, &to);
}

static void only_what_was_used_is_filled(const test_case *at)
{
    if (WITH_ASAN) return; // beyond the used part nothing may be touched at all
    sink to;
    fa_system *fa = create_case(at, &to);
    begin(fa);
    unsigned char *p = fa_frame_alloc(fa_self(fa), 1000);
    size_t beyond = 4096;
    write_wrongly(p, beyond); // nobody's
    end(fa);
    assert_true(fa_is_poisoned(p, 1000));
    assert_int_equal(read_wrongly(p, beyond), 0x5a);
    destroy_quiet(fa, &to);
}

// Overflow --------------------------------------------------------------------------------------------------------------

static const size_t slack_sizes[] = {1, 7, 9, 15, 100, 161, 1000, 5000, 30000, 40000, 200000};
enum { SLACK_SIZES = sizeof slack_sizes / sizeof slack_sizes[0] };

static void overflow(fa_worker *w, void *arg)
{
    sink *to = arg;
    unsigned before = sink_count(to, 201);
    for (int heap = 0; heap < 2; heap++) {
        for (size_t i = 0; i < SLACK_SIZES; i++) {
            size_t size = slack_sizes[i], first = size > 8 ? size : 8; // a free on its way home may use the first word
            unsigned char *p = heap ? fa_heap_alloc(w, size, 16) : fa_pool_alloc(w, size);
            unsigned char *near = heap ? fa_heap_alloc(w, size, 16) : fa_pool_alloc(w, size);
            EXPECT(p != NULL && near != NULL);
            write_wrongly(p, first);
            if (heap) {
                fa_heap_free(w, p);
                fa_heap_free(w, near);
            } else {
                fa_pool_free(w, p);
                fa_pool_free(w, near);
            }
        }
    }
    if (w->index == 0 && fa_worker_count(w->system) == 0) EXPECT(sink_count(to, 201) == before + 2 * SLACK_SIZES);
}

static void an_overflow_is_found_at_the_free(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    begin(fa);
    everyone(fa, overflow, &to);
    end(fa);
    assert_reported(&to, 201, (at->workers + 1) * 2 * SLACK_SIZES);
    assert_non_null(strstr(to.message, "written past its end"));
    unsigned char *span = fa_heap_alloc(fa_self(fa), 70000, 16);
    assert_non_null(span);
    write_wrongly(span, 70000 + 255); // the last byte behind it that is looked at
    fa_heap_free(fa_self(fa), span);
    assert_reported(&to, 201, 1);
    destroy_quiet(fa, &to);
}

typedef struct cargo {
    void *objects[8];
} cargo;

static void load(fa_worker *w, void *arg)
{
    ((cargo *)arg)->objects[w->index] = fa_pool_alloc(w, 100);
    write_wrongly(((cargo *)arg)->objects[w->index], 100);
}

static void an_overflow_is_found_when_another_lane_frees(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    cargo all = {0};
    begin(fa);
    everyone(fa, load, &all);
    for (uint32_t i = 0; i <= at->workers; i++) fa_pool_free(fa_self(fa), all.objects[i]);
    end(fa);
    boundary(fa);
    assert_reported(&to, 201, at->workers + 1);
    char address[32];
    snprintf(address, sizeof address, "%p", all.objects[at->workers == 0 ? 0 : to.lane]);
    if (at->workers == 0) assert_non_null(strstr(to.message, address));
    destroy_quiet(fa, &to);
}

static void *free_anywhere(void *arg)
{
    void **objects = arg;
    for (int i = 1; i <= 20; i++) fa_free_any(objects[0], objects[i]);
    return NULL;
}

static void a_strangers_free_is_no_overflow(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    void *objects[21] = {fa};
    for (size_t i = 1; i <= 20; i++) objects[i] = fa_pool_alloc(fa_self(fa), i);
    pthread_t stranger;
    assert_int_equal(pthread_create(&stranger, NULL, free_anywhere, objects), 0);
    assert_int_equal(pthread_join(stranger, NULL), 0);
    boundary(fa);
    assert_int_equal(stats_of(fa).pool_live, 0);
    destroy_quiet(fa, &to);
}

typedef struct passed {
    atomic_uintptr_t object;
    uint32_t from;
    size_t size;
} passed;

static void provide(fa_worker *w, void *arg)
{
    passed *one = arg;
    if (w->index == one->from) atomic_store(&one->object, (uintptr_t)fa_pool_alloc(w, one->size));
}

/// The second free finds the object on its way home, links it, and is refused there: what is free carries no trace of it.
static void a_second_free_on_the_way_leaves_no_trace(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    static const size_t sizes[] = {16, 64, 32768, 200000};
    for (size_t i = 0; i < 2 * sizeof sizes / sizeof sizes[0]; i++) {
        passed one = {0, at->workers, sizes[i / 2]};
        begin(fa);
        everyone(fa, provide, &one);
        void *p = (void *)atomic_load(&one.object);
        assert_non_null(p);
        if (i % 2 == 0) fa_pool_free(fa_self(fa), p);
        fa_free_any(fa, p);
        if (i % 2 == 1) fa_pool_free(fa_self(fa), p);
        end(fa);
        boundary(fa);
        assert_reported(&to, 201, 1);
    }
    assert_int_equal(stats_of(fa).pool_live, 0);
    destroy_quiet(fa, &to);
}

static void who_asks_for_the_usable_size_may_use_it(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    for (size_t i = 0; i < SLACK_SIZES; i++) {
        void *p = fa_pool_alloc(w, slack_sizes[i]), *q = fa_heap_alloc(w, slack_sizes[i], 64);
        memset(p, 1, fa_usable_size(fa, p));
        memset(q, 1, fa_usable_size(fa, q));
        assert_int_equal(fa_check(fa, p, fa_usable_size(fa, p)), FA_OK);
        fa_pool_free(w, p);
        fa_heap_free(w, q);
    }
    destroy_quiet(fa, &to);
}

// Writes after the free -------------------------------------------------------------------------------------------------

static void a_write_after_free_is_found_at_the_reuse(const test_case *at)
{
    static const size_t sizes[] = {16, 100, 4000, 30000};
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        for (int heap = 0; heap < 2; heap++) {
            void *near = heap ? fa_heap_alloc(w, sizes[i], 16) : fa_pool_alloc(w, sizes[i]); // keeps the slab
            void *p = heap ? fa_heap_alloc(w, sizes[i], 16) : fa_pool_alloc(w, sizes[i]);
            heap ? fa_heap_free(w, p) : fa_pool_free(w, p);
            write_wrongly(p, sizes[i] / 2);
            assert_quiet(&to);
            void *again = heap ? fa_heap_alloc(w, sizes[i], 16) : fa_pool_alloc(w, sizes[i]);
            assert_ptr_equal(again, p); // nothing else is free in front of it
            assert_reported(&to, 201, 1);
            assert_non_null(strstr(to.message, "written after it was freed"));
            assert_int_equal(((unsigned char *)again)[sizes[i] / 2], 0xcd);
            heap ? fa_heap_free(w, again) : fa_pool_free(w, again);
            heap ? fa_heap_free(w, near) : fa_pool_free(w, near);
        }
    }
    destroy_quiet(fa, &to);
}

/// Objects whose slab is given back at the free, or in the midst of others that are: the same class comes back to the same memory.
static void a_write_into_a_former_slab_is_found(const test_case *at)
{
    static const size_t sizes[] = {16, 512, 1024, 1536, 2048, 8000, 10000, 30000, 32000};
    for (uint32_t quarantine = 0; quarantine <= 100; quarantine += 100)
        for (size_t i = 0; i < 2 * sizeof sizes / sizeof sizes[0]; i++) {
            sink to;
            fa_config config = case_config(at, &to);
            config.quarantine = quarantine;
            fa_system *fa = create(&config);
            fa_worker *w = fa_self(fa);
            size_t size = sizes[i / 2];
            bool heap = i % 2 != 0;
            void *p = heap ? fa_heap_alloc(w, size, 16) : fa_pool_alloc(w, size);
            heap ? fa_heap_free(w, p) : fa_pool_free(w, p);
            write_wrongly(p, size / 2);
            void *again = heap ? fa_heap_alloc(w, size, 16) : fa_pool_alloc(w, size);
            if (quarantine == 0) {
                assert_ptr_equal(again, p);
                assert_reported(&to, 201, 1);
            }
            heap ? fa_heap_free(w, again) : fa_pool_free(w, again);
            assert_int_equal(fa_destroy(fa), FA_OK);
            if (quarantine != 0) assert_reported(&to, 201, 1);
            assert_quiet(&to);
        }
}

enum { MANY = 2000, EACH_NTH = 100 };

/// However the memory is used next: by the same class, by another, by a frame, in one piece, or not at all.
static void writes_into_former_slabs_are_all_found(const test_case *at)
{
    static const size_t sizes[] = {64, 256, 1000, 2048, 8000};
    for (size_t i = 0; i < 5 * sizeof sizes / sizeof sizes[0]; i++) {
        static void *p[2 * MANY];
        sink to;
        fa_system *fa = create_case(at, &to);
        fa_worker *w = fa_self(fa);
        size_t size = sizes[i / 5];
        for (int j = 0; j < MANY; j++) assert_non_null(p[j] = fa_pool_alloc(w, size));
        for (int j = 0; j < MANY; j++) fa_pool_free(w, p[j]);
        for (int j = 0; j < MANY; j += EACH_NTH) write_wrongly(p[j], 0);
        assert_quiet(&to);
        begin(fa);
        switch (i % 5) {
            case 0:
                for (int j = 0; j < 2 * MANY; j++) p[j] = fa_pool_alloc(w, size); // more: slabs come back in any order
                assert_int_equal(sink_count(&to, 201), MANY / EACH_NTH);
                for (int j = 0; j < 2 * MANY; j++) fa_pool_free(w, p[j]);
                break;
            case 1: fa_heap_free(w, fa_heap_alloc(w, 20000, 16)); break;
            case 2: assert_non_null(fa_frame_alloc(w, MIB)); break;
            case 3: fa_heap_free(w, fa_heap_alloc(w, 4 * MIB, 16)); break;
            default: break;
        }
        end(fa);
        assert_int_equal(fa_destroy(fa), FA_OK);
        assert_reported(&to, 201, MANY / EACH_NTH);
        assert_quiet(&to);
    }
}

static void misuse_own(fa_worker *w, void *arg)
{
    (void)arg;
    void *p = fa_pool_alloc(w, 48);
    EXPECT(p != NULL);
    fa_pool_free(w, p);
    write_wrongly(p, 5);
}

static void a_write_after_free_is_found_at_destroy(const test_case *at)
{
    for (uint32_t quarantine = 0; quarantine <= 16; quarantine += 16) {
        sink to;
        fa_config config = case_config(at, &to);
        config.quarantine = quarantine;
        fa_system *fa = create(&config);
        begin(fa);
        everyone(fa, misuse_own, NULL);
        end(fa);
        assert_quiet(&to);
        assert_int_equal(fa_destroy(fa), FA_OK);
        assert_reported(&to, 201, at->workers + 1);
    }
}

/// The block keeps its pattern up to where it was ever used; what is new in it is not looked at.
static void frame_memory_written_after_its_end_is_found(const test_case *at)
{
    static const size_t sizes[] = {16, 1000, 200000};
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    begin(fa);
    end(fa);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        for (int turn = 0; turn < 3; turn++) { // frame, rollback, scope
            begin(fa);
            fa_checkpoint checkpoint = fa_checkpoint_take(w);
            fa_scope scope = fa_scope_begin(w);
            void *p = turn == 2 ? fa_scope_alloc(w, sizes[i]) : fa_frame_alloc(w, sizes[i]);
            memset(p, 1, sizes[i]);
            if (turn == 1) assert_int_equal(fa_checkpoint_rollback(w, checkpoint), FA_OK);
            fa_scope_end(&scope);
            if (turn == 0) {
                end(fa);
                begin(fa);
            }
            write_wrongly(p, sizes[i] - 1);
            assert_quiet(&to);
            void *again = turn == 2 ? fa_scope_alloc(w, sizes[i]) : fa_frame_alloc(w, sizes[i]);
            assert_ptr_equal(again, p);
            assert_reported(&to, 2, 1);
            assert_int_equal(read_wrongly(again, sizes[i] - 1), 0xcd);
            assert_non_null(fa_frame_alloc(w, 2 * sizes[i])); // beyond: used before, or not
            end(fa);
        }
    }
    destroy_quiet(fa, &to);
}

/// Growing in place hands out memory, too. What the object itself wrote before it shrank is no reason to complain.
static void memory_that_an_object_grows_into_is_looked_at(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    const fa_allocator tables[] = {fa_allocator_frame(w), fa_allocator_scope(w)};
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
        begin(fa);
        fa_scope scope = fa_scope_begin(w);
        unsigned char *p = fa_alloc_with(&tables[i], 1000, 16);
        memset(p, 1, 1000);
        fa_scope_end(&scope);
        end(fa);
        begin(fa);
        scope = fa_scope_begin(w);
        assert_ptr_equal(fa_alloc_with(&tables[i], 64, 16), p);
        memset(p, 1, 64);
        assert_ptr_equal(fa_realloc_with(&tables[i], p, 64, 51, 16), p);
        assert_ptr_equal(fa_realloc_with(&tables[i], p, 51, 300, 16), p);
        assert_int_equal(p[51], 0xcd);
        assert_quiet(&to);
        write_wrongly(p, 499);
        assert_ptr_equal(fa_realloc_with(&tables[i], p, 300, 500, 16), p);
        assert_reported(&to, 2, 1);
        assert_int_equal(read_wrongly(p, 499), 0xcd);
        fa_scope_end(&scope);
        end(fa);
    }
    destroy_quiet(fa, &to);
}

/// The chunk is kept by another object, and gives out all others before the one that came back.
static void an_object_written_behind_its_handle_is_found(const test_case *at)
{
    enum { MOST = 2048 };
    static fa_handle all[MOST];
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    fa_handle keeps = fa_handle_alloc(w, 64, 16, NULL), handle = fa_handle_alloc(w, 64, 16, NULL);
    unsigned char *p = fa_handle_resolve(w, handle);
    assert_int_equal(fa_handle_free(w, handle), FA_OK);
    while (stats_of(fa).backlog > 0 || !fa_is_poisoned(p, 64)) boundary(fa);
    write_wrongly(p, 63);
    int count = 0;
    for (void *got = NULL; got != p; count++) {
        assert_quiet(&to);
        assert_in_range(count, 0, MOST - 1);
        all[count] = fa_handle_alloc(w, 64, 16, NULL);
        got = fa_handle_peek(w, all[count]);
        assert_non_null(got);
    }
    assert_reported(&to, 201, 1);
    while (count > 0) assert_int_equal(fa_handle_free(w, all[--count]), FA_OK);
    assert_int_equal(fa_handle_free(w, keeps), FA_OK);
    destroy_quiet(fa, &to);
}

// Quarantine ------------------------------------------------------------------------------------------------------------

static void quarantine_delays_reuse(const test_case *at)
{
    enum { HELD = 32 };
    static const size_t sizes[] = {16, 100, 4000, 32768};
    sink to;
    fa_config config = case_config(at, &to);
    config.quarantine = HELD;
    fa_system *fa = create(&config);
    fa_worker *w = fa_self(fa);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        for (int heap = 0; heap < 2; heap++) {
            void *p = heap ? fa_heap_alloc(w, sizes[i], 16) : fa_pool_alloc(w, sizes[i]);
            heap ? fa_heap_free(w, p) : fa_pool_free(w, p);
            heap ? fa_heap_free(w, p) : fa_pool_free(w, p); // free already, though its slab does not know
            assert_reported(&to, 201, 1);
            void *others[HELD + 1];
            for (int j = 0; j <= HELD; j++) {
                others[j] = heap ? fa_heap_alloc(w, sizes[i], 16) : fa_pool_alloc(w, sizes[i]);
                assert_true(others[j] != NULL && others[j] != p);
            }
            write_wrongly(p, 3);
            for (int j = 0; j < HELD - 1; j++) heap ? fa_heap_free(w, others[j]) : fa_pool_free(w, others[j]);
            assert_quiet(&to);
            heap ? fa_heap_free(w, others[HELD - 1]) : fa_pool_free(w, others[HELD - 1]); // it leaves, and is looked at
            assert_reported(&to, 201, 1);
            heap ? fa_heap_free(w, others[HELD]) : fa_pool_free(w, others[HELD]);
        }
    }
    boundary(fa);
    assert_int_equal(stats_of(fa).pool_live, 0);
    assert_int_equal(stats_of(fa).pool_live_bytes, 0);
    assert_int_equal(stats_of(fa).heap_live, 0);
    assert_int_equal(stats_of(fa).heap_live_bytes, 0);
    destroy_quiet(fa, &to);
}

static void a_limit_empties_the_quarantine(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    config.quarantine = 65536;
    config.attached_max = 0;
    config.memory_max = 16 * MIB;
    fa_system *fa = create(&config);
    fa_worker *w = fa_self(fa);
    for (int round = 0; round < 4; round++) { // 8 MiB at a time, and never freed for good if quarantine held on
        static void *p[1024];
        for (int i = 0; i < 1024; i++) assert_non_null(p[i] = fa_pool_alloc(w, 8192));
        for (int i = 0; i < 1024; i++) fa_pool_free(w, p[i]);
        void *large = fa_heap_alloc(w, 6 * MIB, 16);
        assert_non_null(large);
        fa_heap_free(w, large);
    }
    destroy_quiet(fa, &to);
}

// Leaks -----------------------------------------------------------------------------------------------------------------

typedef struct told {
    unsigned codes[1000];
    char note[8192];
    char lines[20][1200];
    int count;
} told;

static void listen(const fa_diagnostic *diagnostic, void *context)
{
    told *all = context;
    all->codes[strtoul(diagnostic->code + 2, NULL, 10) % 1000]++;
    if (strcmp(diagnostic->code, "FA910") == 0) snprintf(all->note, sizeof all->note, "%s", diagnostic->note);
}

static void take_line(const char *line, void *context)
{
    told *all = context;
    if (all->count < 20) snprintf(all->lines[all->count], sizeof all->lines[0], "%s", line);
    all->count++;
}

#define KEEP_FRAME() __asm__ __volatile__("" ::: "memory") // no tail call

__attribute__((noinline)) static void *leak_small(fa_worker *w)
{
    void *p = fa_pool_alloc(w, 100);
    KEEP_FRAME();
    return p;
}

__attribute__((noinline)) static void *leak_heap(fa_worker *w)
{
    void *p = fa_heap_alloc(w, 5000, 16);
    KEEP_FRAME();
    return p;
}

__attribute__((noinline)) static void *leak_large(fa_worker *w)
{
    void *p = fa_heap_alloc(w, 3 * MIB, 16);
    KEEP_FRAME();
    return p;
}

static void leaks_are_listed_by_site(const test_case *at)
{
    static told all;
    memset(&all, 0, sizeof all);
    sink to;
    fa_config config = case_config(at, &to);
    config.report = listen;
    config.report_context = &all;
    fa_system *fa = create(&config);
    fa_worker *w = fa_self(fa);
    for (int i = 0; i < 10; i++) {
        begin(fa);
        (void)leak_small(w);
        if (i == 4) (void)leak_large(w);
        if (i % 2 == 0) (void)leak_heap(w);
        fa_pool_free(w, fa_pool_alloc(w, 3000));
        end(fa);
    }
    fa_leak leaks[8];
    uint32_t count = 77;
    assert_int_equal(fa_leaks_read(fa, leaks, 8, &count), FA_OK);
    assert_int_equal(count, 3);
    assert_int_equal(leaks[0].count, 1);
    assert_int_equal(leaks[0].bytes, 3 * MIB);
    assert_true(leaks[0].first_frame == 5 && leaks[0].last_frame == 5);
    assert_int_equal(leaks[1].count, 5);
    assert_int_equal(leaks[1].bytes, 5 * 5000);
    assert_true(leaks[1].first_frame == 1 && leaks[1].last_frame == 9);
    assert_int_equal(leaks[2].count, 10);
    assert_int_equal(leaks[2].bytes, 10 * 100);
    assert_true(leaks[2].first_frame == 1 && leaks[2].last_frame == 10);
    for (int i = 0; i < 3; i++) assert_int_equal(leaks[i].depth, 1);
    // The sites are inside the functions above.
    uintptr_t site = (uintptr_t)leaks[2].frames[0], function = (uintptr_t)leak_small;
    assert_true(site > function && site < function + 512);
    assert_int_equal(fa_leaks_read(fa, leaks, 1, &count), FA_OK); // the largest
    assert_int_equal(count, 3);
    assert_int_equal(leaks[0].bytes, 3 * MIB);
    assert_int_equal(fa_leaks_read(fa, NULL, 0, &count), FA_OK);
    assert_int_equal(count, 3);
    assert_int_equal(fa_leaks_write(fa, take_line, &all), FA_OK);
    assert_int_equal(all.count, 3);
    assert_non_null(strstr(all.lines[0], "1 object, 3145728 bytes, frame 5, at "));
    assert_non_null(strstr(all.lines[1], "5 objects, 25000 bytes, frame 1 to 9, at "));
    assert_non_null(strstr(all.lines[2], "10 objects, 1000 bytes, frame 1 to 10, at "));
    assert_int_equal(fa_destroy(fa), FA_OK);
    assert_int_equal(all.codes[910], 1);
    const char *at_note = all.note;
    for (int i = 0; i < 3; i++) {
        at_note = strstr(at_note, all.lines[i]);
        assert_non_null(at_note);
    }
}

static void leak_one(fa_worker *w, void *arg)
{
    atomic_uintptr_t *mine = arg;
    void *p = leak_small(w);
    EXPECT(p != NULL);
    atomic_store(&mine[w->index], (uintptr_t)p);
}

static void leaks_of_all_workers_count_and_go(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    atomic_uintptr_t mine[8] = {0};
    begin(fa);
    everyone(fa, leak_one, mine);
    end(fa);
    fa_leak leak;
    uint32_t count;
    assert_int_equal(fa_leaks_read(fa, &leak, 1, &count), FA_OK);
    assert_int_equal(count, 1);
    assert_int_equal(leak.count, at->workers + 1);
    for (uint32_t i = 0; i <= at->workers; i++) fa_pool_free(fa_self(fa), (void *)atomic_load(&mine[i]));
    boundary(fa);
    assert_int_equal(fa_leaks_read(fa, &leak, 1, &count), FA_OK);
    assert_int_equal(count, 0);
    told none = {0};
    assert_int_equal(fa_leaks_write(fa, take_line, &none), FA_OK);
    assert_int_equal(none.count, 0);
    destroy_quiet(fa, &to);
}

static void promoted_objects_are_leaks_too(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    begin(fa);
    fa_retain heap = {.to = FA_RETAIN_HEAP};
    assert_non_null(fa_frame_retained(w, 100, 16, &heap));
    assert_non_null(fa_frame_retained(w, 3 * MIB, 16, &heap)); // handed over as it is
    fa_frame_result result;
    assert_int_equal(fa_frame_end(fa, &result), FA_OK);
    assert_int_equal(result.moved, 1);
    fa_leak leaks[4];
    uint32_t count;
    assert_int_equal(fa_leaks_read(fa, leaks, 4, &count), FA_OK);
    assert_int_equal(count, 2);
    assert_int_equal(leaks[0].bytes, 3 * MIB);
    assert_int_equal(leaks[1].bytes, 100);
    for (uint32_t i = 0; i < result.count; i++) {
        assert_int_equal(fa_check(fa, result.items[i].to, result.items[i].size), FA_OK);
        fa_heap_free(w, result.items[i].to);
    }
    assert_int_equal(fa_leaks_read(fa, NULL, 0, &count), FA_OK);
    assert_int_equal(count, 0);
    destroy_quiet(fa, &to);
}

#define SITE(n)                                                                                                        \
    __attribute__((noinline)) static void *site_##n(fa_worker *w)                                                      \
    {                                                                                                                  \
        void *p = fa_pool_alloc(w, 16 + n);                                                                            \
        KEEP_FRAME();                                                                                                  \
        return p;                                                                                                      \
    }
SITE(0)
SITE(1)
SITE(2)
SITE(3)
SITE(4)
SITE(5)
SITE(6)
SITE(7)

static void sites_are_bounded(const test_case *at)
{
    static void *(*const sites[])(fa_worker *) = {site_0, site_1, site_2, site_3, site_4, site_5, site_6, site_7};
    for (uint32_t limit = 0; limit <= 64; limit = limit == 0 ? 3 : limit == 3 ? 64 : 65) {
        sink to;
        fa_config config = case_config(at, &to);
        config.backtrace_sites = limit;
        fa_system *fa = create(&config);
        void *p[16];
        for (int i = 0; i < 16; i++) p[i] = sites[i % 8](fa_self(fa));
        fa_leak leaks[16];
        uint32_t count, unknown = 0;
        uint64_t objects = 0, bytes = 0;
        assert_int_equal(fa_leaks_read(fa, leaks, 16, &count), FA_OK);
        assert_int_equal(count, limit == 64 ? 8 : limit + 1);
        for (uint32_t i = 0; i < count; i++) {
            objects += leaks[i].count;
            bytes += leaks[i].bytes;
            unknown += leaks[i].depth == 0;
        }
        assert_int_equal(objects, 16); // none is lost
        assert_int_equal(bytes, 2 * (8 * 16 + 28));
        assert_int_equal(unknown, limit == 64 ? 0 : 1);
        for (int i = 0; i < 16; i++) fa_pool_free(fa_self(fa), p[i]);
        destroy_quiet(fa, &to);
    }
}

__attribute__((noinline)) static void *outer_a(fa_worker *w)
{
    void *p = leak_small(w);
    KEEP_FRAME();
    return p;
}

__attribute__((noinline)) static void *outer_b(fa_worker *w)
{
    void *p = leak_small(w);
    KEEP_FRAME();
    return p;
}

static void backtraces_tell_callers_apart(const test_case *at)
{
    for (uint32_t depth = 0; depth <= 8; depth += 4) {
        sink to;
        fa_config config = case_config(at, &to);
        config.backtraces = depth;
        fa_system *fa = create(&config);
        void *p[4] = {outer_a(fa_self(fa)), outer_b(fa_self(fa)), outer_a(fa_self(fa)), outer_b(fa_self(fa))};
        fa_leak leaks[4];
        uint32_t count;
        assert_int_equal(fa_leaks_read(fa, leaks, 4, &count), FA_OK);
        // The calls above differ, so that each is a site of its own where their frames are kept too.
        assert_int_equal(count, depth == 0 ? 1 : 4);
        assert_true(leaks[0].depth >= 1 && leaks[0].depth <= (depth == 0 ? 1 : depth));
        if (depth > 0) {
            assert_int_equal(leaks[0].depth, depth > 4 ? leaks[0].depth : 4);
            assert_ptr_equal(leaks[0].frames[0], leaks[1].frames[0]);
            uintptr_t site = (uintptr_t)leaks[0].frames[1], a = (uintptr_t)outer_a, b = (uintptr_t)outer_b;
            assert_true((site > a && site < a + 512) || (site > b && site < b + 512));
        }
        for (int i = 0; i < 4; i++) fa_pool_free(fa_self(fa), p[i]);
        destroy_quiet(fa, &to);
    }
}

// fa_check() and bad input ------------------------------------------------------------------------------------------------

static void check_knows_objects(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    unsigned char *p = fa_pool_alloc(w, 100), *span = fa_heap_alloc(w, 70000, 16), *big = fa_pool_alloc(w, 20000);
    assert_int_equal(fa_check(fa, p, 100), FA_OK);
    assert_int_equal(fa_check(fa, p + 50, 50), FA_OK);
    assert_int_equal(fa_check(fa, p + 99, 1), FA_OK);
    assert_int_equal(fa_check(fa, big + 15000, 5000), FA_OK);
    assert_int_equal(fa_check(fa, span + 60000, 10000), FA_OK);
    assert_quiet(&to);
    assert_int_equal(fa_check(fa, p, 101), FA_ERROR_INVALID);
    assert_int_equal(fa_check(fa, p + 100, 1), FA_ERROR_INVALID);
    assert_int_equal(fa_check(fa, big + 15000, 5001), FA_ERROR_INVALID);
    assert_int_equal(fa_check(fa, span, 70001), FA_ERROR_INVALID);
    assert_reported(&to, 201, 4);
    int local = 0;
    assert_int_equal(fa_check(NULL, p, 1), FA_ERROR_INVALID);
    assert_int_equal(fa_check(fa, NULL, 1), FA_ERROR_INVALID);
    assert_int_equal(fa_check(fa, p, 0), FA_ERROR_INVALID);
    assert_int_equal(fa_check(fa, &local, sizeof local), FA_ERROR_INVALID);
    assert_int_equal(fa_check(fa, p, SIZE_MAX), FA_ERROR_INVALID);
    assert_int_equal(fa_check(fa, (void *)UINTPTR_MAX, 1), FA_ERROR_INVALID);
    assert_quiet(&to);
    fa_pool_free(w, p);
    fa_pool_free(w, big);
    fa_heap_free(w, span);
    assert_int_equal(fa_check(fa, p + 10, 10), FA_ERROR_STALE);
    assert_reported(&to, 201, 1);
    assert_false(fa_is_poisoned(NULL, 10));
    assert_false(fa_is_poisoned(&local, 0));
    assert_false(fa_is_poisoned(&local, sizeof local));
    destroy_quiet(fa, &to);
}

static void count_leaks(fa_worker *w, void *arg)
{
    uint32_t count = 5;
    fa_status wanted = w->index == 0 ? FA_ERROR_STATE : FA_ERROR_WRONG_THREAD;
    EXPECT(fa_leaks_read(w->system, NULL, 0, &count) == wanted && count == 0);
    EXPECT(fa_leaks_write(w->system, take_line, arg) == wanted);
}

static void refused(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    told none = {0};
    uint32_t count = 5;
    assert_int_equal(fa_leaks_read(NULL, NULL, 0, &count), FA_ERROR_INVALID);
    assert_int_equal(fa_leaks_read(fa, NULL, 0, NULL), FA_ERROR_INVALID);
    assert_int_equal(fa_leaks_read(fa, NULL, 1, &count), FA_ERROR_INVALID);
    assert_int_equal(fa_leaks_write(NULL, take_line, &none), FA_ERROR_INVALID);
    assert_int_equal(fa_leaks_write(fa, NULL, &none), FA_ERROR_INVALID);
    begin(fa);
    everyone(fa, count_leaks, &none);
    end(fa);
    assert_reported(&to, 201, at->checked ? 2 * at->workers : 0);
    assert_int_equal(none.count, 0);
    if (!at->checked) {
        void *p = fa_pool_alloc(fa_self(fa), 100);
        assert_int_equal(fa_check(fa, p, 100), FA_ERROR_UNSUPPORTED);
        assert_int_equal(fa_leaks_read(fa, NULL, 0, &count), FA_ERROR_UNSUPPORTED);
        assert_int_equal(fa_leaks_write(fa, take_line, &none), FA_ERROR_UNSUPPORTED);
        fa_pool_free(fa_self(fa), p);
    }
    destroy_quiet(fa, &to);
    for (int field = 0; field < 3; field++) {
        fa_config config = case_config(at, &to);
        if (field == 0) config.backtraces = 17;
        if (field == 1) config.backtrace_sites = 65536;
        if (field == 2) config.quarantine = 65537;
        fa = NULL;
        assert_int_equal(fa_create(&config, &fa), FA_ERROR_INVALID);
        assert_null(fa);
        assert_reported(&to, 907, 1);
    }
}

// Nothing to find -------------------------------------------------------------------------------------------------------

enum { SLOTS = 512 };

typedef struct traffic {
    void *slots[SLOTS];
    size_t sizes[SLOTS];
    bool heap[SLOTS];
    uint64_t seed;
    bool checked;
} traffic;

/// Every piece frees what some lane allocated last tick, and allocates anew.
static void exchange(fa_worker *w, uint64_t first, uint64_t last, void *arg)
{
    traffic *all = arg;
    rng from = {all->seed + first};
    for (uint64_t i = first; i < last; i++) {
        if (all->slots[i] != NULL) {
            EXPECT(is_filled(all->slots[i], all->sizes[i], i));
            EXPECT(!all->checked || fa_check(w->system, all->slots[i], all->sizes[i]) == FA_OK);
            if (all->heap[i])
                fa_heap_free(w, all->slots[i]);
            else
                fa_pool_free(w, all->slots[i]);
        }
        all->sizes[i] = 1 + rng_below(&from, rng_below(&from, 50) == 0 ? 70000 : 700);
        all->heap[i] = rng_below(&from, 4) == 0;
        all->slots[i] = all->heap[i] ? fa_heap_alloc(w, all->sizes[i], 16) : fa_pool_alloc(w, all->sizes[i]);
        EXPECT(all->slots[i] != NULL);
        if (all->slots[i] != NULL) fill(all->slots[i], all->sizes[i], i);
        unsigned char *p = fa_frame_alloc(w, all->sizes[i]);
        EXPECT(p != NULL);
        if (p != NULL) fill(p, all->sizes[i], i);
    }
}

static void a_clean_run_is_quiet(const test_case *at)
{
    static traffic all;
    memset(&all, 0, sizeof all);
    all.seed = test_seed();
    all.checked = at->checked;
    sink to;
    fa_config config = case_config(at, &to);
    config.quarantine = 64;
    config.backtraces = at->workers % 2 == 0 ? 6 : 0;
    fa_system *fa = create(&config);
    for (int tick = 0; tick < ROUNDS(80); tick++) {
        all.seed += SLOTS;
        begin(fa);
        assert_int_equal(fa_parallel_for(fa_self(fa), 0, SLOTS, 8, exchange, &all), FA_OK);
        end(fa);
        if (at->checked && tick % 16 == 0) {
            fa_leak leaks[4];
            uint32_t count;
            uint64_t objects = 0;
            assert_int_equal(fa_leaks_read(fa, leaks, 4, &count), FA_OK);
            for (uint32_t i = 0; i < count && i < 4; i++) objects += leaks[i].count;
            if (config.backtraces == 0) assert_int_equal(objects, SLOTS);
        }
    }
    for (uint32_t i = 0; i < SLOTS; i++) fa_free_any(fa, all.slots[i]);
    boundary(fa);
    assert_int_equal(stats_of(fa).pool_live, 0);
    assert_int_equal(stats_of(fa).heap_live, 0);
    destroy_quiet(fa, &to);
}

int main(int argc, char **argv)
{
    static const test_entry entries[] = {
        EACH_OF(freed_objects_are_poisoned, "02", "y"),
        EACH_OF(frame_memory_is_poisoned_on_every_worker, "0124", "y"),
        EACH_OF(rollback_and_scope_end_poison, "02", "y"),
        EACH_OF(a_jobs_memory_is_poisoned_when_it_returns, "0124", "y"),
        EACH_OF(only_what_was_used_is_filled, "0", "y"),
        EACH_OF(an_overflow_is_found_at_the_free, "0124", "y"),
        EACH_OF(an_overflow_is_found_when_another_lane_frees, "0124", "y"),
        EACH_OF(a_strangers_free_is_no_overflow, COUNTED("02"), "ny"),
        EACH_OF(a_second_free_on_the_way_leaves_no_trace, COUNTED("0124"), "y"),
        EACH_OF(who_asks_for_the_usable_size_may_use_it, "02", "y"),
        EACH_OF(a_write_after_free_is_found_at_the_reuse, "02", "y"),
        EACH_OF(a_write_into_a_former_slab_is_found, "02", "y"),
        EACH_OF(writes_into_former_slabs_are_all_found, "0124", "y"),
        EACH_OF(a_write_after_free_is_found_at_destroy, "0124", "y"),
        EACH_OF(frame_memory_written_after_its_end_is_found, "02", "y"),
        EACH_OF(memory_that_an_object_grows_into_is_looked_at, "02", "y"),
        EACH_OF(an_object_written_behind_its_handle_is_found, "02", "y"),
        EACH_OF(quarantine_delays_reuse, COUNTED("02"), "y"),
        EACH_OF(a_limit_empties_the_quarantine, "0", "ny"),
        EACH_OF(leaks_are_listed_by_site, COUNTED("02"), "y"),
        EACH_OF(leaks_of_all_workers_count_and_go, "0124", "y"),
        EACH_OF(promoted_objects_are_leaks_too, "02", "y"),
        EACH_OF(sites_are_bounded, COUNTED("0"), "y"),
        EACH_OF(backtraces_tell_callers_apart, COUNTED("0"), "y"),
        EACH_OF(check_knows_objects, "02", "y"),
        EACH_OF(refused, "02", "ny"),
        EACH_OF(a_clean_run_is_quiet, COUNTED("0124"), "ny"),
    };
    return RUN_MATRIX("debug", entries, argc, argv);
}
