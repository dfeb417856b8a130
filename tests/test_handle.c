// SPDX-License-Identifier: MIT
//
// Handles: names that are never mistaken, pins, compaction that leaves fewer blocks, and old copies that live a grace period.
#include "alloc/handle.h"
#include "support.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

enum { AGENT = 96, MANY = 6000 };

/// The slot itself, to put it into states that take 2^32 frees or an unlucky moment.
static fa_handle_slot *slot_of(fa_system *fa, fa_handle handle)
{
    return &fa_self(fa)->handle_slots[handle.index];
}

static fa_handle_stats handle_stats(const fa_system *fa)
{
    fa_handle_stats stats;
    assert_int_equal(fa_handle_stats_read(fa, &stats), FA_OK);
    return stats;
}

/// Ends so many frames that every grace period that has begun is over.
static void pass_grace(fa_system *fa)
{
    for (int i = 0; i < 2000; i++) {
        begin(fa);
        end(fa);
        if (i >= 2 && stats_of(fa).backlog == 0) return;
        struct timespec pause = {0, 1000000};
        nanosleep(&pause, NULL);
    }
    fail_msg("what was retired does not come home");
}

static fa_handle filled(fa_worker *w, size_t size, uint64_t key, const fa_handle_options *options)
{
    fa_handle handle = fa_handle_alloc(w, size, 0, options);
    void *p = fa_handle_peek(w, handle);
    EXPECT(p != NULL);
    if (p != NULL) fill(p, size, key);
    return handle;
}

static void expect_filled(fa_worker *w, fa_handle handle, size_t size, uint64_t key)
{
    const void *p = fa_handle_resolve(w, handle);
    EXPECT(p != NULL && is_filled(p, size, key));
}

// Names -----------------------------------------------------------------------------------------------------------------

static void a_handle_names_its_object_until_it_is_freed(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    fa_handle handle = fa_handle_new(w, uint64_t, NULL);
    assert_false(fa_handle_is_none(handle));
    assert_true(fa_handle_is_valid(w, handle));
    *fa_handle_get(w, uint64_t, handle) = 42;
    assert_int_equal(*fa_handle_get(w, uint64_t, handle), 42);
    assert_quiet(&to);
    assert_int_equal(fa_handle_free(w, handle), FA_OK);
    assert_false(fa_handle_is_valid(w, handle));
    assert_quiet(&to); // asking is no offence
    assert_null(fa_handle_resolve(w, handle));
    assert_reported(&to, 401, at->checked ? 1 : 0);
    destroy_quiet(fa, &to);
}

static void a_slot_used_again_has_another_generation(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    fa_handle first = filled(w, 32, 1, NULL);
    assert_int_equal(fa_handle_free(w, first), FA_OK);
    fa_handle second = filled(w, 32, 2, NULL);
    assert_int_equal(second.index, first.index);
    assert_int_not_equal(second.generation, first.generation);
    assert_false(fa_handle_equal(first, second));
    assert_false(fa_handle_is_valid(w, first));
    assert_true(fa_handle_is_valid(w, second));
    assert_int_equal(fa_handle_free(w, second), FA_OK);
    destroy_quiet(fa, &to);
}

static void handles_that_name_nothing_are_refused_and_change_nothing(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    fa_handle live = filled(w, 64, 7, NULL);
    const fa_handle bad[] = {{0, 0},          {live.index, live.generation + 1},   {live.index, 0}, {live.index + 1, 1},
                             {UINT32_MAX, 1}, {fa_config_default().handles_max, 0}};
    assert_true(fa_handle_is_none(bad[0]));
    unsigned per = at->checked ? 1 : 0;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(fa_handle_is_valid(w, bad[i]));
        assert_quiet(&to);
        assert_null(fa_handle_resolve(w, bad[i]));
        assert_reported(&to, 401, per);
        assert_null(fa_handle_pin(w, bad[i]));
        assert_reported(&to, 401, per);
        assert_int_equal(fa_handle_unpin(w, bad[i]), FA_ERROR_STALE);
        assert_reported(&to, 401, per);
        assert_int_equal(fa_handle_free(w, bad[i]), FA_ERROR_STALE);
        assert_reported(&to, 401, per);
    }
    expect_filled(w, live, 64, 7);
    assert_int_equal(fa_handle_free(w, live), FA_OK);
    assert_int_equal(fa_handle_free(w, live), FA_ERROR_STALE); // freed twice
    assert_reported(&to, 401, per);
    begin(fa);
    end(fa);
    assert_int_equal(handle_stats(fa).live, 0);
    destroy_quiet(fa, &to);
}

static void bad_arguments_are_answered(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    fa_handle some = filled(w, 16, 1, NULL);
    fa_handle_compaction result;
    assert_true(fa_handle_is_none(fa_handle_alloc(NULL, 16, 16, NULL)));
    assert_true(fa_handle_is_none(fa_handle_alloc(w, 0, 16, NULL)));
    assert_true(fa_handle_is_none(fa_handle_alloc(w, 16, 24, NULL)));
    assert_true(fa_handle_is_none(fa_handle_alloc(w, 16, 3, NULL)));
    assert_reported(&to, 903, 2);
    assert_true(fa_handle_is_none(fa_handle_alloc(w, SIZE_MAX, 16, NULL)));
    assert_true(fa_handle_is_none(fa_handle_alloc(w, 16, (size_t)1 << 63, NULL)));
    assert_reported(&to, 301, 1); // once a frame and lane
    assert_true(fa_handle_is_none(fa_handle_alloc_array(w, SIZE_MAX / 8, 16, 16, NULL)));
    assert_reported(&to, 914, 1);
    assert_true(fa_handle_is_none(fa_handle_array(w, uint64_t, 0, NULL)));
    assert_null(fa_handle_resolve(NULL, some));
    assert_null(fa_handle_pin(NULL, some));
    assert_false(fa_handle_is_valid(NULL, some));
    assert_int_equal(fa_handle_unpin(NULL, some), FA_ERROR_INVALID);
    assert_int_equal(fa_handle_free(NULL, some), FA_ERROR_INVALID);
    assert_int_equal(fa_handles_compact(NULL, SIZE_MAX, UINT32_MAX, &result), FA_ERROR_INVALID);
    assert_int_equal(fa_handle_stats_read(NULL, &(fa_handle_stats){0}), FA_ERROR_INVALID);
    assert_int_equal(fa_handle_stats_read(fa, NULL), FA_ERROR_INVALID);
    assert_int_equal(fa_handles_compact(fa, SIZE_MAX, UINT32_MAX, NULL), FA_OK);
    expect_filled(w, some, 16, 1);
    assert_int_equal(fa_handle_free(w, some), FA_OK);
    destroy_quiet(fa, &to);
}

static void any_size_at_any_alignment(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    const size_t sizes[] = {1, 16, 17, 33, 100, 1000, 4097, 8192, 8193, 40000, 100000, 3 * MIB};
    enum { SIZES = sizeof sizes / sizeof sizes[0], ALIGNS = 19 };
    static fa_handle made[SIZES][ALIGNS];
    for (size_t s = 0; s < SIZES; s++) {
        for (size_t a = 0; a < ALIGNS; a++) {
            made[s][a] = fa_handle_alloc(w, sizes[s], (size_t)1 << a, NULL);
            void *p = fa_handle_resolve(w, made[s][a]);
            assert_non_null(p);
            assert_int_equal((uintptr_t)p & (((size_t)1 << a) - 1), 0);
            assert_int_equal((uintptr_t)p & 15, 0);
            fill(p, sizes[s], s * ALIGNS + a);
        }
    }
    assert_int_equal(fa_handles_compact(fa, SIZE_MAX, UINT32_MAX, NULL), FA_OK);
    for (size_t s = 0; s < SIZES; s++) {
        for (size_t a = 0; a < ALIGNS; a++) {
            expect_filled(w, made[s][a], sizes[s], s * ALIGNS + a);
            assert_int_equal((uintptr_t)fa_handle_resolve(w, made[s][a]) & (((size_t)1 << a) - 1), 0);
            assert_int_equal(fa_handle_free(w, made[s][a]), FA_OK);
        }
    }
    pass_grace(fa);
    assert_int_equal(handle_stats(fa).blocks, 0); // with the last object went the last block, with no compaction
    destroy_quiet(fa, &to);
}

static void alignment_survives_moves(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    static fa_handle made[600];
    for (uint32_t i = 0; i < 600; i++) {
        made[i] = fa_handle_alloc(w, 600, 512, NULL);
        fill(fa_handle_resolve(w, made[i]), 600, i);
    }
    for (uint32_t i = 0; i < 600; i++)
        if (i % 8 != 0) assert_int_equal(fa_handle_free(w, made[i]), FA_OK);
    pass_grace(fa);
    fa_handle_compaction result;
    assert_int_equal(fa_handles_compact(fa, SIZE_MAX, UINT32_MAX, &result), FA_OK);
    assert_true(result.moves > 0);
    for (uint32_t i = 0; i < 600; i += 8) {
        expect_filled(w, made[i], 600, i);
        assert_int_equal((uintptr_t)fa_handle_resolve(w, made[i]) % 512, 0);
        assert_int_equal(fa_handle_free(w, made[i]), FA_OK);
    }
    destroy_quiet(fa, &to);
}

static void a_full_table_refuses_until_something_is_freed(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    config.handles_max = 100;
    fa_system *fa = create(&config);
    fa_worker *w = fa_self(fa);
    fa_handle made[100];
    for (uint32_t i = 0; i < 100; i++) made[i] = filled(w, 48, i, NULL);
    assert_true(fa_handle_is_none(fa_handle_alloc(w, 48, 0, NULL)));
    assert_reported(&to, 301, 1);
    assert_true(fa_handle_is_none(fa_handle_alloc(w, 48, 0, NULL))); // once a frame and lane
    assert_quiet(&to);
    assert_int_equal(handle_stats(fa).refused, 2);
    for (uint32_t i = 0; i < 100; i++) expect_filled(w, made[i], 48, i);
    assert_int_equal(fa_handle_free(w, made[50]), FA_OK);
    made[50] = filled(w, 48, 50, NULL);
    for (uint32_t i = 0; i < 100; i++) assert_int_equal(fa_handle_free(w, made[i]), FA_OK);
    destroy_quiet(fa, &to);
}

static void no_handles_configured_is_no_handles(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    config.handles_max = 0;
    fa_system *fa = create(&config);
    assert_true(fa_handle_is_none(fa_handle_alloc(fa_self(fa), 48, 0, NULL)));
    assert_reported(&to, 301, 1);
    assert_null(fa_handle_resolve(fa_self(fa), (fa_handle){0, 0}));
    assert_reported(&to, 401, at->checked ? 1 : 0);
    assert_int_equal(fa_handles_compact(fa, SIZE_MAX, UINT32_MAX, NULL), FA_OK);
    destroy_quiet(fa, &to);
}

static void a_slot_whose_generations_are_used_up_is_never_used_again(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    fa_handle first = filled(w, 32, 1, NULL);
    slot_of(fa, first)->generation = UINT32_MAX; // after 2^32 - 2 frees
    fa_handle last = {first.index, UINT32_MAX};
    expect_filled(w, last, 32, 1);
    assert_int_equal(fa_handle_free(w, last), FA_OK);
    assert_false(fa_handle_is_valid(w, last));
    assert_false(fa_handle_is_valid(w, (fa_handle){first.index, 0}));
    assert_int_equal(handle_stats(fa).slots_worn, 1);
    fa_handle next[200];
    for (uint32_t i = 0; i < 200; i++) {
        next[i] = filled(w, 32, i, NULL);
        assert_int_not_equal(next[i].index, first.index);
    }
    for (uint32_t i = 0; i < 200; i++) assert_int_equal(fa_handle_free(w, next[i]), FA_OK);
    destroy_quiet(fa, &to);
}

static void a_memory_limit_refuses_and_loses_nothing(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    config.attached_max = 0;
    config.memory_max = (1 + at->workers + 2) * 2 * MIB;
    fa_system *fa = create(&config);
    fa_worker *w = fa_self(fa);
    static fa_handle made[20000];
    for (int round = 0; round < 2; round++) {
        uint32_t count = 0;
        while (count < 20000) {
            made[count] = fa_handle_alloc(w, 4000, 0, NULL);
            if (fa_handle_is_none(made[count])) break;
            fill(fa_handle_resolve(w, made[count]), 4000, count);
            count++;
        }
        assert_in_range(count, 500, 19999);
        assert_reported(&to, 301, 1);
        for (uint32_t i = 0; i < count; i++) expect_filled(w, made[i], 4000, i);
        for (uint32_t i = 0; i < count;) {
            fa_status status = fa_handle_free(w, made[i]);
            if (status == FA_OK)
                i++;
            else
                assert_int_equal(status, FA_ERROR_MEMORY); // nothing changed; the boundary makes room
            if (status != FA_OK) pass_grace(fa);
        }
        pass_grace(fa);
        assert_int_equal(handle_stats(fa).live, 0);
        assert_int_equal(handle_stats(fa).blocks, 0);
    }
    destroy_quiet(fa, &to);
}

static void what_was_never_freed_is_reported(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    (void)filled(fa_self(fa), 100, 1, NULL);
    (void)filled(fa_self(fa), 100000, 2, NULL);
    assert_non_null(fa_handle_pin(fa_self(fa), filled(fa_self(fa), 50, 3, NULL)));
    assert_int_equal(fa_destroy(fa), FA_OK);
    assert_non_null(strstr(to.message, "3 handles (131248 bytes)"));
    assert_reported(&to, 910, 1);
}

static uint64_t held_by(const fa_system *fa, fa_tag tag)
{
    fa_tag_stats stats;
    assert_int_equal(fa_tag_stats_read(fa, tag, &stats), FA_OK);
    assert_int_equal(stats.charged, stats.held[FA_TAG_HANDLE]);
    return stats.charged;
}

static void free_one(fa_worker *w, void *arg)
{
    fa_handle *handle = arg;
    EXPECT(fa_handle_free(w, *handle) == FA_OK);
}

static void objects_are_charged_to_their_tag_and_refunded(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    fa_tag tag;
    assert_int_equal(fa_tag_find(fa, "crowd", &tag), FA_OK);
    assert_int_equal(fa_budget_set(fa, tag, 0, 10 * 128 + 65536), FA_OK);
    fa_handle small[10], large;
    {
        FA_TAG_AT(w, tag);
        for (uint32_t i = 0; i < 10; i++) small[i] = filled(w, 128, i, NULL);
        assert_true(fa_handle_is_none(fa_handle_alloc(w, 65537, 0, NULL)));
        assert_reported(&to, 302, 1);
        large = filled(w, 65536, 99, NULL);
        assert_true(fa_handle_is_none(fa_handle_alloc(w, 1, 0, NULL)));
    }
    assert_int_equal(held_by(fa, tag), 10 * 128 + 65536);
    assert_int_equal(fa_handle_free(w, large), FA_OK);
    assert_int_equal(held_by(fa, tag), 10 * 128);
    begin(fa);
    for (uint32_t i = 0; i < 10; i++)
        assert_int_equal(fa_submit(w, free_one, &small[i]), FA_OK); // elsewhere, for nobody
    end(fa);
    assert_int_equal(held_by(fa, tag), 0);
    pass_grace(fa);
    assert_int_equal(handle_stats(fa).live, 0);
    assert_int_equal(fa_handles_compact(fa, SIZE_MAX, UINT32_MAX, NULL), FA_OK);
    assert_int_equal(handle_stats(fa).blocks, 0); // what was refused left nothing behind
    destroy_quiet(fa, &to);
}

// Pins ------------------------------------------------------------------------------------------------------------------

static void pins_nest_and_hold(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    fa_handle handle = filled(w, 64, 5, NULL);
    void *p = fa_handle_resolve(w, handle);
    assert_ptr_equal(fa_handle_pin(w, handle), p);
    {
        FA_HANDLE_PINNED(w, handle, inner);
        assert_ptr_equal(inner.object, p);
        begin(fa);
        end(fa);
        assert_int_equal(handle_stats(fa).pinned, 1); // objects, not pins
    }
    assert_int_equal(fa_handle_free(w, handle), FA_ERROR_BUSY); // the outer pin is still there
    expect_filled(w, handle, 64, 5);
    assert_int_equal(fa_handle_unpin(w, handle), FA_OK);
    assert_quiet(&to);
    assert_int_equal(fa_handle_unpin(w, handle), FA_ERROR_STATE);
    assert_reported(&to, 401, 1);
    begin(fa);
    end(fa);
    assert_int_equal(handle_stats(fa).pinned, 0);
    expect_filled(w, handle, 64, 5);
    {
        fa_handle none = {0, 0};
        FA_HANDLE_PINNED(w, none, nothing);
        assert_null(nothing.object);
        assert_reported(&to, 401, at->checked ? 1 : 0);
    }
    assert_quiet(&to); // nothing was pinned, nothing is unpinned
    assert_int_equal(fa_handle_free(w, handle), FA_OK);
    destroy_quiet(fa, &to);
}

static void one_pin_too_many_is_refused(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    fa_handle handle = filled(w, 64, 5, NULL);
    slot_of(fa, handle)->place += FA_HANDLE_PINS_MAX - 1;
    assert_non_null(fa_handle_pin(w, handle));
    assert_quiet(&to);
    assert_null(fa_handle_pin(w, handle));
    assert_reported(&to, 401, 1);
    expect_filled(w, handle, 64, 5);
    slot_of(fa, handle)->place -= FA_HANDLE_PINS_MAX;
    assert_int_equal(fa_handle_free(w, handle), FA_OK);
    assert_int_equal(fa_destroy(fa), FA_OK);
}

static void a_pin_cancels_a_move_that_has_begun(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    fa_handle handle = filled(w, 64, 5, NULL);
    uint64_t *place = &slot_of(fa, handle)->place;
    uint64_t before = *place;
    *place |= FAI_PLACE_MOVING; // the mover has claimed it and copies
    expect_filled(w, handle, 64, 5);
    assert_ptr_equal(fa_handle_pin(w, handle), fa_handle_resolve(w, handle));
    assert_int_equal(*place, before + 1);
    assert_int_equal(fa_handle_unpin(w, handle), FA_OK);
    assert_int_equal(*place, before); // not what the mover left: its last step fails
    *place |= FAI_PLACE_MOVING;
    assert_int_equal(fa_handle_free(w, handle), FA_OK);
    assert_int_equal(*place, 0);
    destroy_quiet(fa, &to);
}

static struct {
    fa_worker *w;
    fa_handle handle; // whose object lies in the page
    void *page;
    size_t page_bytes;
    void *pinned; // what the pin gave
} guarded;

/// The mover reads the object that it copies: here the page fault of that read.
static void pin_it(int signal)
{
    (void)signal;
    if (guarded.page == NULL) abort(); // a fault of another kind
    (void)mprotect(guarded.page, guarded.page_bytes, PROT_READ | PROT_WRITE);
    guarded.page = NULL;
    guarded.pinned = fa_handle_pin(guarded.w, guarded.handle);
}

static void a_pin_in_the_middle_of_a_copy_holds(const test_case *at)
{
    enum { SIZE = 8192, CHUNK = 64 * KIB / SIZE, COUNT = 2 * CHUNK, VICTIM = CHUNK };
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    fa_handle made[COUNT];
    for (uint32_t i = 0; i < COUNT; i++) {
        made[i] = fa_handle_alloc(w, SIZE, 4096, NULL);
        fill(fa_handle_resolve(w, made[i]), SIZE, i);
    }
    for (uint32_t i = 2; i < COUNT; i++) // two stay in the first chunk, one in the second, which is therefore emptied
        if (i != VICTIM) assert_int_equal(fa_handle_free(w, made[i]), FA_OK);
    pass_grace(fa);
    unsigned char *p = fa_handle_resolve(w, made[VICTIM]);
    size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    guarded.w = w;
    guarded.handle = made[VICTIM];
    guarded.pinned = NULL;
    guarded.page_bytes = page_bytes;
    guarded.page = p - (uintptr_t)p % page_bytes;
    struct sigaction fault = {.sa_handler = pin_it}, before;
    assert_int_equal(sigaction(SIGSEGV, &fault, &before), 0);
    assert_int_equal(mprotect(guarded.page, page_bytes, PROT_NONE), 0);
    fa_handle_compaction result;
    assert_int_equal(fa_handles_compact(fa, SIZE_MAX, UINT32_MAX, &result), FA_OK);
    assert_int_equal(sigaction(SIGSEGV, &before, NULL), 0);
    assert_null(guarded.page); // it was read
    assert_ptr_equal(guarded.pinned, p);
    assert_ptr_equal(fa_handle_resolve(w, made[VICTIM]), p);
    assert_int_equal(result.moves, 0);
    assert_int_equal(result.pinned, 1);
    expect_filled(w, made[VICTIM], SIZE, VICTIM);
    assert_int_equal(fa_handle_unpin(w, made[VICTIM]), FA_OK);
    assert_int_equal(fa_handles_compact(fa, SIZE_MAX, UINT32_MAX, &result), FA_OK);
    assert_int_equal(result.moves, 1);
    expect_filled(w, made[VICTIM], SIZE, VICTIM);
    for (uint32_t i = 0; i < COUNT; i++)
        if (i < 2 || i == VICTIM) assert_int_equal(fa_handle_free(w, made[i]), FA_OK);
    destroy_quiet(fa, &to);
}

// Compaction ------------------------------------------------------------------------------------------------------------

/// MANY objects of which every `keep`-th stays; the handles of the others are zero. Their frees have come home.
static fa_handle *make_sparse(fa_system *fa, size_t size, uint32_t keep, const fa_handle_options *options)
{
    fa_worker *w = fa_self(fa);
    fa_handle *made = calloc(MANY, sizeof *made);
    assert_non_null(made);
    for (uint32_t i = 0; i < MANY; i++) made[i] = filled(w, size, i, options);
    for (uint32_t i = 0; i < MANY; i++) {
        if (i % keep == 0) continue;
        assert_int_equal(fa_handle_free(w, made[i]), FA_OK);
        made[i] = (fa_handle){0, 0};
    }
    pass_grace(fa);
    return made;
}

static void free_sparse(fa_system *fa, fa_handle *made)
{
    for (uint32_t i = 0; i < MANY; i++)
        if (!fa_handle_is_none(made[i])) assert_int_equal(fa_handle_free(fa_self(fa), made[i]), FA_OK);
    free(made);
    pass_grace(fa);
    assert_int_equal(fa_handles_compact(fa, SIZE_MAX, UINT32_MAX, NULL), FA_OK); // takes back what lanes allocate from
    assert_int_equal(handle_stats(fa).live, 0);
    assert_int_equal(handle_stats(fa).blocks, 0);
}

static void compaction_leaves_fewer_blocks(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_handle *made = make_sparse(fa, AGENT, 8, NULL);
    uint64_t before = handle_stats(fa).blocks, live = handle_stats(fa).live;
    uint64_t needed = (live + 64 * KIB / AGENT - 1) / (64 * KIB / AGENT);
    assert_int_equal(live, MANY / 8);
    assert_true(before >= 8);
    fa_handle_compaction result;
    assert_int_equal(fa_handles_compact(fa, SIZE_MAX, UINT32_MAX, &result), FA_OK);
    assert_int_equal(result.blocks, before - needed);
    assert_in_range(result.moves, 1, live - 1);
    assert_int_equal(result.bytes, (uint64_t)result.moves * AGENT);
    assert_false(result.more);
    pass_grace(fa);
    fa_handle_stats after = handle_stats(fa);
    assert_int_equal(after.blocks, needed);
    assert_int_equal(after.live, live);
    assert_int_equal(after.relocated, result.moves);
    assert_int_equal(after.relocated_bytes, result.bytes);
    for (uint32_t i = 0; i < MANY; i += 8) expect_filled(fa_self(fa), made[i], AGENT, i);
    assert_int_equal(fa_handles_compact(fa, SIZE_MAX, UINT32_MAX, &result), FA_OK);
    assert_int_equal(result.moves, 0); // nothing to gain, nothing moved
    free_sparse(fa, made);
    destroy_quiet(fa, &to);
}

static void dense_objects_stay_where_they_are(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_handle *made = make_sparse(fa, AGENT, 1, NULL);
    fa_handle_compaction result;
    assert_int_equal(fa_handles_compact(fa, SIZE_MAX, UINT32_MAX, &result), FA_OK);
    assert_int_equal(result.moves, 0);
    assert_int_equal(result.blocks, 0);
    free_sparse(fa, made);
    destroy_quiet(fa, &to);
}

/// Chunks that hold more than the others have room for: to move some of it would free nothing.
static void what_cannot_be_emptied_is_left_alone(const test_case *at)
{
    enum { CHUNK = 64 * KIB / 1024, COUNT = 3 * CHUNK };
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    fa_handle made[COUNT];
    for (uint32_t i = 0; i < COUNT; i++) made[i] = filled(w, 1024, i, NULL);
    for (uint32_t i = 0; i < COUNT; i += 4) assert_int_equal(fa_handle_free(w, made[i]), FA_OK);
    pass_grace(fa);
    fa_handle_compaction result;
    assert_int_equal(fa_handles_compact(fa, SIZE_MAX, UINT32_MAX, &result), FA_OK);
    assert_int_equal(result.moves + result.blocks, 0);
    for (uint32_t i = 0; i < COUNT; i++) {
        if (i % 4 == 0) continue;
        expect_filled(w, made[i], 1024, i);
        assert_int_equal(fa_handle_free(w, made[i]), FA_OK);
    }
    destroy_quiet(fa, &to);
}

static void compaction_keeps_its_budgets_and_goes_on(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_handle *made = make_sparse(fa, AGENT, 8, NULL);
    uint64_t before = handle_stats(fa).blocks, live = handle_stats(fa).live;
    fa_handle_compaction result;
    assert_int_equal(fa_handles_compact(fa, 0, UINT32_MAX, &result), FA_OK);
    assert_int_equal(result.moves, 0);
    assert_int_equal(fa_handles_compact(fa, SIZE_MAX, 0, &result), FA_OK);
    assert_int_equal(result.moves, 0);
    assert_int_equal(fa_handles_compact(fa, AGENT - 1, UINT32_MAX, &result), FA_OK); // not even one
    assert_int_equal(result.moves, 0);
    assert_true(result.more);
    uint32_t calls = 0, moves = 0, blocks = 0;
    do {
        bool by_bytes = calls++ % 2 == 0;
        size_t bytes = by_bytes ? 10 * AGENT + 5 : SIZE_MAX;
        assert_int_equal(fa_handles_compact(fa, bytes, by_bytes ? UINT32_MAX : 7, &result), FA_OK);
        assert_true(result.moves <= (by_bytes ? 10u : 7u) && result.bytes <= bytes);
        assert_true(result.moves > 0 || !result.more);
        moves += result.moves;
        blocks += result.blocks;
        assert_true(calls < 1000);
    } while (result.more);
    assert_true(calls > 10 && moves < live);
    pass_grace(fa);
    assert_int_equal(handle_stats(fa).blocks, before - blocks);
    assert_int_equal(handle_stats(fa).blocks, (live + 64 * KIB / AGENT - 1) / (64 * KIB / AGENT));
    for (uint32_t i = 0; i < MANY; i += 8) expect_filled(fa_self(fa), made[i], AGENT, i);
    free_sparse(fa, made);
    destroy_quiet(fa, &to);
}

static void pinned_objects_stay_and_move_when_unpinned(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    fa_handle *made = make_sparse(fa, AGENT, 8, NULL);
    static void *address[MANY];
    for (uint32_t i = 0; i < MANY; i += 8) address[i] = fa_handle_pin(w, made[i]);
    fa_handle_compaction result;
    assert_int_equal(fa_handles_compact(fa, SIZE_MAX, UINT32_MAX, &result), FA_OK);
    assert_int_equal(result.moves, 0);
    assert_true(result.pinned > 0);
    for (uint32_t i = 0; i < MANY; i += 8) assert_ptr_equal(fa_handle_resolve(w, made[i]), address[i]);
    for (uint32_t i = 0; i < MANY; i += 16) assert_int_equal(fa_handle_unpin(w, made[i]), FA_OK);
    for (int round = 0; round < 3; round++) {
        assert_int_equal(fa_handles_compact(fa, SIZE_MAX, UINT32_MAX, &result), FA_OK);
        for (uint32_t i = 8; i < MANY; i += 16) assert_ptr_equal(fa_handle_resolve(w, made[i]), address[i]);
        pass_grace(fa);
    }
    for (uint32_t i = 8; i < MANY; i += 16) assert_int_equal(fa_handle_unpin(w, made[i]), FA_OK);
    assert_int_equal(fa_handles_compact(fa, SIZE_MAX, UINT32_MAX, &result), FA_OK);
    assert_true(result.moves > 0);
    for (uint32_t i = 0; i < MANY; i += 8) expect_filled(w, made[i], AGENT, i);
    free_sparse(fa, made);
    destroy_quiet(fa, &to);
}

static void fixed_objects_stay_pinned_or_not(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    const fa_handle_options fixed = {.fixed = true};
    fa_handle *made = make_sparse(fa, AGENT, 8, &fixed);
    static void *address[MANY];
    assert_int_equal(handle_stats(fa).fixed, MANY / 8);
    for (uint32_t i = 0; i < MANY; i += 8) {
        address[i] = fa_handle_pin(w, made[i]);
        assert_int_equal(fa_handle_unpin(w, made[i]), FA_OK); // does not make it relocatable
    }
    fa_handle_compaction result;
    assert_int_equal(fa_handles_compact(fa, SIZE_MAX, UINT32_MAX, &result), FA_OK);
    assert_int_equal(result.moves, 0);
    for (uint32_t i = 0; i < MANY; i += 8) {
        assert_ptr_equal(fa_handle_resolve(w, made[i]), address[i]);
        expect_filled(w, made[i], AGENT, i);
    }
    free_sparse(fa, made);
    destroy_quiet(fa, &to);
}

static void fixed_objects_do_not_hinder_the_others(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    const fa_handle_options fixed = {.fixed = true};
    fa_handle stay[20];
    for (uint32_t i = 0; i < 10; i++) stay[i] = filled(w, AGENT, i, &fixed);
    fa_handle *made = make_sparse(fa, AGENT, 8, NULL);
    for (uint32_t i = 10; i < 20; i++) stay[i] = filled(w, AGENT, i, &fixed);
    fa_handle_compaction result;
    assert_int_equal(fa_handles_compact(fa, SIZE_MAX, UINT32_MAX, &result), FA_OK);
    pass_grace(fa);
    assert_int_equal(handle_stats(fa).blocks, 1 + 2); // one of the fixed, two of the others
    for (uint32_t i = 0; i < 20; i++) {
        expect_filled(w, stay[i], AGENT, i);
        assert_int_equal(fa_handle_free(w, stay[i]), FA_OK);
    }
    free_sparse(fa, made);
    destroy_quiet(fa, &to);
}

static void compact_in_job(fa_worker *w, void *arg)
{
    atomic_uint *elsewhere = arg;
    fa_handle_compaction result = {.moves = 1};
    EXPECT(fa_handles_compact(w->system, SIZE_MAX, UINT32_MAX, &result) ==
           (w->index == 0 ? FA_ERROR_STATE : FA_ERROR_WRONG_THREAD));
    EXPECT(result.moves == 0);
    if (w->index != 0) atomic_fetch_add(elsewhere, 1u);
}

static void compaction_is_for_the_main_lane_between_frames(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    begin(fa);
    assert_int_equal(fa_handles_compact(fa, SIZE_MAX, UINT32_MAX, NULL), FA_ERROR_STATE);
    atomic_uint elsewhere = 0;
    for (int i = 0; i < 8; i++) assert_int_equal(fa_submit(fa_self(fa), compact_in_job, &elsewhere), FA_OK);
    end(fa);
    assert_reported(&to, 201, at->checked ? atomic_load(&elsewhere) : 0);
    assert_int_equal(fa_idle_begin(fa_self(fa)), FA_OK);
    assert_int_equal(fa_handles_compact(fa, SIZE_MAX, UINT32_MAX, NULL), FA_ERROR_STATE);
    assert_int_equal(fa_idle_end(fa_self(fa)), FA_OK);
    assert_int_equal(fa_handles_compact(fa, SIZE_MAX, UINT32_MAX, NULL), FA_OK);
    assert_true(sink_count(&to, 201) <= (at->checked && at->workers > 0 ? 8 : 0)); // those that a worker ran
    forget_reports(&to, 201);
    destroy_quiet(fa, &to);
}

// on_relocate -------------------------------------------------------------------------------------------------------------

typedef struct told {
    fa_system *fa;
    fa_handle handle; // of the object, also its key
    const void *at;   // where it is, as far as its owner knows
    uint32_t calls;
} told;

static fa_handle from_callback[MANY];
static uint32_t from_callback_count;

static void on_relocate(const void *from, void *to, void *context)
{
    told *owner = context;
    fa_worker *w = fa_self(owner->fa);
    EXPECT(from == owner->at && to != from);
    EXPECT(fa_handle_resolve(w, owner->handle) == to);
    EXPECT(is_filled(from, AGENT, owner->handle.index) && is_filled(to, AGENT, owner->handle.index));
    EXPECT(fa_handle_pin(w, owner->handle) == to);
    EXPECT(fa_handle_unpin(w, owner->handle) == FA_OK);
    EXPECT(fa_handles_compact(owner->fa, SIZE_MAX, UINT32_MAX, NULL) == FA_ERROR_STATE);
    if (from_callback_count < MANY && owner->calls == 0)
        from_callback[from_callback_count++] = filled(w, AGENT, 1234, NULL);
    if (owner->handle.index % 5 == 0) {
        EXPECT(fa_handle_free(w, owner->handle) == FA_OK);
        owner->handle = (fa_handle){0, 0};
    }
    owner->at = to;
    owner->calls++;
}

static void on_relocate_tells_and_may_use_handles(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    static told owners[MANY];
    memset(owners, 0, sizeof owners);
    from_callback_count = 0;
    for (uint32_t i = 0; i < MANY; i++) {
        fa_handle_options options = {.on_relocate = on_relocate, .context = &owners[i]};
        owners[i] = (told){fa, fa_handle_alloc(w, AGENT, 0, &options), NULL, 0};
        void *p = fa_handle_resolve(w, owners[i].handle);
        owners[i].at = p;
        fill(p, AGENT, owners[i].handle.index);
    }
    for (uint32_t i = 0; i < MANY; i++)
        if (i % 6 != 0) assert_int_equal(fa_handle_free(w, owners[i].handle), FA_OK);
    pass_grace(fa);
    fa_handle_compaction result;
    assert_int_equal(fa_handles_compact(fa, SIZE_MAX, UINT32_MAX, &result), FA_OK);
    uint32_t calls = 0;
    for (uint32_t i = 0; i < MANY; i += 6) {
        calls += owners[i].calls;
        if (fa_handle_is_none(owners[i].handle)) continue;
        assert_ptr_equal(fa_handle_resolve(w, owners[i].handle), owners[i].at);
        expect_filled(w, owners[i].handle, AGENT, owners[i].handle.index);
        assert_int_equal(fa_handle_free(w, owners[i].handle), FA_OK);
    }
    assert_true(result.moves > 0);
    assert_int_equal(calls, result.moves);
    for (uint32_t i = 0; i < from_callback_count; i++) {
        expect_filled(w, from_callback[i], AGENT, 1234);
        assert_int_equal(fa_handle_free(w, from_callback[i]), FA_OK);
    }
    destroy_quiet(fa, &to);
}

// Grace periods -----------------------------------------------------------------------------------------------------------

typedef struct reading {
    fa_handle *handles;
    atomic_uint resolved; // readers that have all their addresses
    atomic_bool moved, done;
    uint32_t keep;
} reading;

static void read_old_copies(fa_worker *w, void *arg)
{
    reading *r = arg;
    static _Thread_local const void *address[MANY];
    for (uint32_t i = 0; i < MANY; i += r->keep) address[i] = fa_handle_resolve(w, r->handles[i]);
    atomic_fetch_add(&r->resolved, 1u);
    while (!atomic_load(&r->done)) {
        for (uint32_t i = 0; i < MANY; i += r->keep) EXPECT(is_filled(address[i], AGENT, i));
        sched_yield();
    }
    if (!atomic_load(&r->moved)) return;
    uint32_t moved = 0;
    for (uint32_t i = 0; i < MANY; i += r->keep) moved += fa_handle_peek(w, r->handles[i]) != address[i];
    EXPECT(moved > 0);
}

/// Frames pass while the reader stays where it is: nothing it has resolved may be used again.
static void move_and_free_under(fa_system *fa, reading *r)
{
    while (atomic_load(&r->resolved) == 0) sched_yield();
    fa_handle_compaction result;
    assert_int_equal(fa_handles_compact(fa, SIZE_MAX, UINT32_MAX, &result), FA_OK);
    assert_true(result.moves > 0 && result.blocks > 0);
    atomic_store(&r->moved, true);
    for (uint32_t i = 0; i < MANY; i += 2 * r->keep) { // moved or not: freed under the reader as well
        assert_int_equal(fa_handle_free(fa_self(fa), r->handles[i]), FA_OK);
        r->handles[i] = (fa_handle){0, 0};
    }
}

static void churn(fa_system *fa)
{
    fa_worker *w = fa_self(fa);
    for (int i = 0; i < 200; i++) {
        fa_handle fresh = filled(w, AGENT, 77, NULL);
        assert_int_equal(fa_handle_free(w, fresh), FA_OK);
    }
}

static void old_copies_live_while_a_job_may_read_them(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    config.frames_in_flight = 8;
    fa_system *fa = create(&config);
    fa_handle *made = make_sparse(fa, AGENT, 8, NULL);
    static reading r;
    memset(&r, 0, sizeof r);
    r.handles = malloc(MANY * sizeof *made);
    memcpy(r.handles, made, MANY * sizeof *made);
    fa_handle *readers = r.handles;
    r.keep = 8;
    begin(fa);
    assert_int_equal(fa_submit(fa_self(fa), read_old_copies, &r), FA_OK);
    end(fa);
    reading mine = {.handles = made, .keep = 8};
    atomic_store(&mine.resolved, 1u);
    while (atomic_load(&r.resolved) == 0) sched_yield();
    move_and_free_under(fa, &mine);
    atomic_store(&r.moved, true);
    for (int frame = 0; frame < 6; frame++) {
        begin(fa);
        end(fa);
        churn(fa);
        struct timespec pause = {0, 5000000};
        nanosleep(&pause, NULL);
    }
    atomic_store(&r.done, true);
    for (int frame = 0; frame < 10; frame++) {
        begin(fa);
        end(fa);
    }
    free_sparse(fa, made);
    free(readers);
    destroy_quiet(fa, &to);
}

typedef struct attached_reading {
    fa_system *fa;
    reading r;
    pthread_t thread;
} attached_reading;

static void *attached_reader(void *arg)
{
    attached_reading *a = arg;
    fa_worker *w;
    EXPECT(fa_attach(a->fa, &w) == FA_OK);
    read_old_copies(w, &a->r);
    EXPECT(fa_detach(w) == FA_OK);
    return NULL;
}

static void old_copies_live_while_an_attached_thread_may_read_them(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_handle *made = make_sparse(fa, AGENT, 8, NULL);
    static attached_reading a;
    memset(&a, 0, sizeof a);
    a.fa = fa;
    a.r.handles = malloc(MANY * sizeof *made);
    memcpy(a.r.handles, made, MANY * sizeof *made);
    a.r.keep = 8;
    assert_int_equal(pthread_create(&a.thread, NULL, attached_reader, &a), 0);
    reading mine = {.handles = made, .keep = 8};
    atomic_store(&mine.resolved, 1u);
    while (atomic_load(&a.r.resolved) == 0) sched_yield();
    move_and_free_under(fa, &mine);
    atomic_store(&a.r.moved, true);
    for (int frame = 0; frame < 20; frame++) {
        begin(fa);
        end(fa);
        churn(fa);
        struct timespec pause = {0, 2000000};
        nanosleep(&pause, NULL);
    }
    atomic_store(&a.r.done, true);
    pthread_join(a.thread, NULL);
    free_sparse(fa, made);
    free(a.r.handles);
    destroy_quiet(fa, &to);
}

// All lanes at once -------------------------------------------------------------------------------------------------------

enum { SHARED = 256, OWN = 64, WORDS = 12, GUESTS = 2 };

typedef struct storm {
    fa_system *fa;
    _Atomic(uint64_t) shared[SHARED]; // handles that any lane reads, replaces and frees; 0 none
    atomic_uint round;
    atomic_bool stop;
    atomic_ulong done;
    uint64_t seed;
} storm;

/// An object is WORDS words that follow from the first.
static void put_words(uint64_t *object, uint64_t key)
{
    for (uint64_t i = 0; i < WORDS; i++) object[i] = key + i * UINT64_C(0x9e3779b97f4a7c15);
}

static void expect_words(const uint64_t *object, const uint64_t *key)
{
    uint64_t first = object[0];
    for (uint64_t i = 0; i < WORDS; i++) EXPECT(object[i] == first + i * UINT64_C(0x9e3779b97f4a7c15));
    if (key != NULL) EXPECT(first == *key);
}

static uint64_t bits_of(fa_handle handle)
{
    return (uint64_t)handle.generation << 32 | handle.index;
}

static fa_handle handle_of(uint64_t bits)
{
    return (fa_handle){(uint32_t)bits, (uint32_t)(bits >> 32)};
}

static uint64_t make_words(fa_worker *w, uint64_t key)
{
    fa_handle handle = fa_handle_array(w, uint64_t, WORDS, NULL);
    uint64_t *object = fa_handle_pin(w, handle); // a compaction may run now
    EXPECT(object != NULL);
    if (object == NULL) return 0;
    put_words(object, key);
    EXPECT(fa_handle_unpin(w, handle) == FA_OK);
    return bits_of(handle);
}

static void free_bits_of(fa_worker *w, uint64_t bits)
{
    if (bits != 0) EXPECT(fa_handle_free(w, handle_of(bits)) == FA_OK);
}

static void storm_shared(fa_worker *w, storm *s, rng *random)
{
    _Atomic(uint64_t) *at = &s->shared[rng_below(random, SHARED)];
    if (rng_below(random, 4) == 0) {
        free_bits_of(w, atomic_exchange(at, rng_below(random, 3) == 0 ? 0 : make_words(w, rng_next(random))));
        return;
    }
    uint64_t bits = atomic_load(at);
    const uint64_t *object = bits != 0 ? fa_handle_peek(w, handle_of(bits)) : NULL;
    if (object == NULL) return; // freed meanwhile
    expect_words(object, NULL);
    if (rng_below(random, 8) == 0) sched_yield();
    expect_words(object, NULL); // also if it was moved or freed since
}

static void storm_own(fa_worker *w, rng *random, uint64_t *bits, uint64_t *key)
{
    if (*bits == 0) {
        *key = rng_next(random);
        *bits = make_words(w, *key);
        return;
    }
    expect_words(fa_handle_resolve(w, handle_of(*bits)), key);
    switch (rng_below(random, 3)) {
        case 0:
            free_bits_of(w, *bits);
            *bits = 0;
            return;
        default: {
            FA_HANDLE_PINNED(w, handle_of(*bits), pinned);
            *key = rng_next(random);
            put_words(pinned.object, *key);
            return;
        }
    }
}

/// The lane's own objects live from call to call of this function only.
static void storm_steps(fa_worker *w, storm *s, uint64_t stream, uint32_t steps)
{
    rng random = {s->seed ^ stream * UINT64_C(0xd1342543de82ef95)};
    uint64_t bits[OWN] = {0}, keys[OWN];
    for (uint32_t i = 0; i < steps; i++) {
        uint32_t own = rng_below(&random, OWN);
        storm_own(w, &random, &bits[own], &keys[own]);
        storm_shared(w, s, &random);
    }
    for (uint32_t i = 0; i < OWN; i++) {
        if (bits[i] == 0) continue;
        expect_words(fa_handle_resolve(w, handle_of(bits[i])), &keys[i]);
        free_bits_of(w, bits[i]);
    }
    atomic_fetch_add(&s->done, steps);
}

static void storm_job(fa_worker *w, void *arg)
{
    storm *s = arg;
    storm_steps(w, s, atomic_fetch_add(&s->round, 1u), 600);
}

static void *storm_guest(void *arg)
{
    storm *s = arg;
    fa_worker *w;
    EXPECT(fa_attach(s->fa, &w) == FA_OK);
    while (!atomic_load(&s->stop)) {
        storm_steps(w, s, atomic_fetch_add(&s->round, 1u), 200);
        EXPECT(fa_quiescent(w) == FA_OK);
    }
    EXPECT(fa_detach(w) == FA_OK);
    return NULL;
}

static void storm_of_all_lanes_while_the_main_lane_compacts(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    config.frames_in_flight = 3;
    fa_system *fa = create(&config);
    static storm s;
    memset(&s, 0, sizeof s);
    s.fa = fa;
    s.seed = test_seed();
    pthread_t guests[GUESTS];
    for (int i = 0; i < GUESTS; i++) assert_int_equal(pthread_create(&guests[i], NULL, storm_guest, &s), 0);
    rng random = {s.seed};
    uint64_t moves = 0;
    for (int frame = 0; frame < ROUNDS(300); frame++) {
        begin(fa);
        for (uint32_t i = 0; i < at->workers + 1; i++) assert_int_equal(fa_submit(fa_self(fa), storm_job, &s), FA_OK);
        end(fa); // jobs may go on
        fa_handle_compaction result;
        bool all = rng_below(&random, 2) == 0;
        assert_int_equal(fa_handles_compact(fa, all ? SIZE_MAX : 5000, all ? UINT32_MAX : 40, &result), FA_OK);
        assert_true(all || (result.moves <= 40 && result.bytes <= 5000));
        moves += result.moves;
        // What stays makes for sparse blocks.
        for (int i = 0; i < 200; i++)
            free_bits_of(fa_self(fa), atomic_exchange(&s.shared[rng_below(&random, SHARED)],
                                                      make_words(fa_self(fa), rng_next(&random))));
    }
    atomic_store(&s.stop, true);
    for (int i = 0; i < GUESTS; i++) pthread_join(guests[i], NULL);
    for (int frame = 0; frame < 4; frame++) {
        begin(fa);
        end(fa);
    }
    print_message("%lu steps, %llu moves\n", atomic_load(&s.done), (unsigned long long)moves);
    for (uint32_t i = 0; i < SHARED; i++) free_bits_of(fa_self(fa), atomic_exchange(&s.shared[i], 0));
    pass_grace(fa);
    assert_int_equal(fa_handles_compact(fa, SIZE_MAX, UINT32_MAX, NULL), FA_OK); // takes back what lanes allocate from
    pass_grace(fa);
    fa_handle_stats stats = handle_stats(fa);
    assert_int_equal(stats.live, 0);
    assert_int_equal(stats.live_bytes, 0);
    assert_int_equal(stats.pinned, 0);
    assert_int_equal(stats.blocks, 0);
    assert_int_equal(stats.slots_free, stats.slots);
    if (at->workers > 0 && ROUNDS(4) == 4) assert_true(moves > 0); // fewer rounds may find nothing sparse enough
    destroy_quiet(fa, &to);
}

enum { EDITED = 8, BIG = 8192 };

/// Objects that a thread writes under pins all the time. Whoever takes a handle out of the table may use it.
typedef struct editing {
    fa_system *fa;
    _Atomic(uint64_t) handles[EDITED];
    uint64_t counts[EDITED]; // what the object at hand must hold at both ends; of who has its handle
    atomic_bool stop;
} editing;

static fa_handle take_edited(editing *e, uint32_t i)
{
    uint64_t bits;
    while ((bits = atomic_exchange(&e->handles[i], 0)) == 0) sched_yield();
    return handle_of(bits);
}

static void *edit_all_the_time(void *arg)
{
    editing *e = arg;
    fa_worker *w;
    EXPECT(fa_attach(e->fa, &w) == FA_OK);
    for (uint32_t i = 0; !atomic_load(&e->stop); i = (i + 1) % EDITED) {
        uint64_t bits = atomic_exchange(&e->handles[i], 0);
        if (bits != 0) {
            FA_HANDLE_PINNED(w, handle_of(bits), object);
            uint64_t *words = object.object;
            EXPECT(words[0] == e->counts[i] && words[BIG / 8 - 1] == e->counts[i]);
            words[0] = words[BIG / 8 - 1] = ++e->counts[i];
        }
        if (bits != 0) atomic_store(&e->handles[i], bits);
        if (i == 0) EXPECT(fa_quiescent(w) == FA_OK);
        if (WITH_MEMCHECK && i == 0)
            sched_yield(); // it ends a thread's turn after so many steps: for ever in the same edit, if it so happens
    }
    EXPECT(fa_detach(w) == FA_OK);
    return NULL;
}

/// One object in each of EDITED blocks: the others of the block are freed again.
static void put_edited(fa_system *fa, editing *e)
{
    fa_worker *w = fa_self(fa);
    fa_handle made[EDITED][EDITED];
    for (uint32_t i = 0; i < EDITED * EDITED; i++) {
        made[i / EDITED][i % EDITED] = fa_handle_alloc(w, BIG, 0, NULL);
        uint64_t *words = fa_handle_resolve(w, made[i / EDITED][i % EDITED]);
        EXPECT(words != NULL);
        if (words != NULL) words[0] = words[BIG / 8 - 1] = e->counts[i / EDITED];
    }
    for (uint32_t i = 0; i < EDITED; i++) {
        atomic_store(&e->handles[i], bits_of(made[i][0]));
        for (uint32_t j = 1; j < EDITED; j++) EXPECT(fa_handle_free(w, made[i][j]) == FA_OK);
    }
    pass_grace(fa);
}

static void no_write_under_a_pin_is_lost_in_a_move(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    static editing e;
    memset(&e, 0, sizeof e);
    e.fa = fa;
    pthread_t editor;
    assert_int_equal(pthread_create(&editor, NULL, edit_all_the_time, &e), 0);
    uint64_t moves = 0, met = 0;
    double give_up = seconds_now() + 10; // it takes luck to find one unpinned
    for (int round = 0; round < ROUNDS(60) || (moves == 0 && seconds_now() < give_up); round++) {
        put_edited(fa, &e);
        for (int i = 0; i < 20; i++) {
            fa_handle_compaction result;
            assert_int_equal(fa_handles_compact(fa, SIZE_MAX, 1, &result), FA_OK);
            moves += result.moves;
            met += result.pinned;
        }
        for (uint32_t i = 0; i < EDITED; i++) {
            fa_handle handle = take_edited(&e, i);
            const uint64_t *words = fa_handle_resolve(fa_self(fa), handle);
            assert_true(words[0] == e.counts[i] && words[BIG / 8 - 1] == e.counts[i]);
            assert_int_equal(fa_handle_free(fa_self(fa), handle), FA_OK);
        }
    }
    atomic_store(&e.stop, true);
    pthread_join(editor, NULL);
    print_message("%llu moves, %llu met a pin\n", (unsigned long long)moves, (unsigned long long)met);
    if (at->workers > 0 && ROUNDS(4) == 4) assert_true(moves > 0);
    pass_grace(fa);
    destroy_quiet(fa, &to);
}

typedef struct relay {
    fa_handle handles[4096];
    atomic_uint freed;
} relay;

static void free_relayed(fa_worker *w, uint64_t first, uint64_t last, void *arg)
{
    relay *r = arg;
    for (uint64_t i = first; i < last; i++) {
        expect_filled(w, r->handles[i], 40, i);
        EXPECT(fa_handle_free(w, r->handles[i]) == FA_OK);
        atomic_fetch_add(&r->freed, 1u);
    }
}

static void slots_and_memory_freed_elsewhere_are_used_again(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    static relay r;
    uint64_t slots = 0, blocks = 0;
    for (int round = 0; round < 30; round++) {
        atomic_store(&r.freed, 0u);
        for (uint32_t i = 0; i < 4096; i++) r.handles[i] = filled(fa_self(fa), 40, i, NULL);
        begin(fa);
        assert_int_equal(fa_parallel_for(fa_self(fa), 0, 4096, 16, free_relayed, &r), FA_OK);
        end(fa);
        assert_int_equal(atomic_load(&r.freed), 4096);
        pass_grace(fa);
        fa_handle_stats stats = handle_stats(fa);
        assert_int_equal(stats.live, 0);
        if (round == 4) slots = stats.slots, blocks = stats.blocks;
    }
    fa_handle_stats stats = handle_stats(fa);
    assert_int_equal(stats.allocs, 30 * 4096);
    assert_true(stats.slots <= slots + 128 * (at->workers + 1) && stats.slots < 2 * 4096 + 128 * (at->workers + 1));
    assert_true(stats.blocks <= blocks + 1);
    destroy_quiet(fa, &to);
}

enum { TAKEN_IN_SINK = 100 };

typedef struct greedy {
    fa_system *fa;
    fa_handle handles[TAKEN_IN_SINK];
    uint32_t count, told;
} greedy;

/// Takes handles that nobody refuses when it hears that a budget did.
static void take_handles(const fa_diagnostic *d, void *context)
{
    greedy *g = context;
    EXPECT(strcmp(d->code, "FA302") == 0);
    g->told++;
    fa_worker *w = fa_self(g->fa);
    fa_tag_scope scope = fa_tag_begin_at(w, (fa_tag){0});
    for (; g->count < TAKEN_IN_SINK; g->count++) g->handles[g->count] = filled(w, 64, g->count + 1, NULL);
    fa_tag_end(&scope);
}

static void a_sink_takes_handles_while_one_is_refused(const test_case *at)
{
    greedy g = {0};
    fa_config config = fa_config_default();
    config.worker_count = at->workers;
    config.checked = at->checked;
    config.report = take_handles;
    config.report_context = &g;
    assert_int_equal(fa_create(&config, &g.fa), FA_OK);
    fa_worker *w = fa_self(g.fa);
    fa_tag tag;
    assert_int_equal(fa_tag_find(g.fa, "small", &tag), FA_OK);
    assert_int_equal(fa_budget_set(g.fa, tag, 0, 32), FA_OK);
    fa_handle before[60], after[1000];
    for (uint32_t i = 0; i < 60; i++) before[i] = filled(w, 64, 1000 + i, NULL);
    fa_tag_scope scope = fa_tag_begin_at(w, tag);
    assert_true(fa_handle_is_none(fa_handle_alloc(w, 64, 0, NULL)));
    fa_tag_end(&scope);
    assert_int_equal(g.told, 1);
    assert_int_equal(g.count, TAKEN_IN_SINK);
    for (uint32_t i = 0; i < 1000; i++) after[i] = filled(w, 64, 2000 + i, NULL); // none of them where another is
    for (uint32_t i = 0; i < 60; i++) expect_filled(w, before[i], 64, 1000 + i);
    for (uint32_t i = 0; i < g.count; i++) expect_filled(w, g.handles[i], 64, i + 1);
    for (uint32_t i = 0; i < 60; i++) assert_int_equal(fa_handle_free(w, before[i]), FA_OK);
    for (uint32_t i = 0; i < g.count; i++) assert_int_equal(fa_handle_free(w, g.handles[i]), FA_OK);
    for (uint32_t i = 0; i < 1000; i++) assert_int_equal(fa_handle_free(w, after[i]), FA_OK);
    fa_tag_stats stats;
    assert_int_equal(fa_tag_stats_read(g.fa, tag, &stats), FA_OK);
    assert_int_equal(stats.charged, 0);
    assert_int_equal(fa_destroy(g.fa), FA_OK);
}

/// Pages of all tables of handles that are in memory: the slots come first.
static size_t resident_pages(const test_case *at, uint64_t prefault)
{
    sink to;
    fa_config config = case_config(at, &to);
    config.prefault_bytes = prefault;
    config.reserve_bytes = 256 * MIB;
    config.handles_max = 4096;
    fa_system *fa = create(&config);
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t units = config.reserve_bytes / FAI_UNIT_BYTES, resident = 0;
    size_t bytes = config.handles_max * (sizeof(fa_handle_slot) + sizeof(fai_handle_info)) + units * sizeof(fai_chunk) +
                   FAI_HANDLE_KINDS * units / 8;
    for (size_t done = 0; done < bytes; done += page) {
        unsigned char in = 0;
        assert_int_equal(mincore((char *)fa_self(fa)->handle_slots + done, 1, &in), 0);
        resident += in & 1;
    }
    assert_int_equal(fa_destroy(fa), FA_OK);
    return resident;
}

static void a_prefault_takes_what_describes_handles_along(const test_case *at)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), half = 128 * MIB;
    size_t of_chunks = half / FAI_UNIT_BYTES * sizeof(fai_chunk) / page;
    size_t of_sets = FAI_HANDLE_KINDS * (half / FAI_UNIT_BYTES / 8) / page;
    size_t with = resident_pages(at, half), without = resident_pages(at, 0);
    assert_true(with >= without + of_chunks + of_sets);
    assert_true(with < without + 2 * (of_chunks + of_sets)); // and nothing of the other half
}

static const test_entry entries[] = {
    EACH_OF(a_prefault_takes_what_describes_handles_along, "0", "ny"),
    EACH_OF(a_sink_takes_handles_while_one_is_refused, COUNTED("02"), "ny"),
    EACH_OF(a_handle_names_its_object_until_it_is_freed, "01", "ny"),
    EACH_OF(a_slot_used_again_has_another_generation, "01", "ny"),
    EACH_OF(handles_that_name_nothing_are_refused_and_change_nothing, COUNTED("01"), "ny"),
    EACH_OF(bad_arguments_are_answered, COUNTED("0"), "ny"),
    EACH_OF(any_size_at_any_alignment, COUNTED("01"), "ny"),
    EACH_OF(alignment_survives_moves, COUNTED("0"), "ny"),
    EACH_OF(a_full_table_refuses_until_something_is_freed, COUNTED("01"), "ny"),
    EACH_OF(no_handles_configured_is_no_handles, "0", "ny"),
    EACH_OF(a_slot_whose_generations_are_used_up_is_never_used_again, COUNTED("0"), "ny"),
    EACH_OF(a_memory_limit_refuses_and_loses_nothing, COUNTED("01"), "ny"),
    EACH_OF(what_was_never_freed_is_reported, COUNTED("01"), "ny"),
    EACH_OF(objects_are_charged_to_their_tag_and_refunded, COUNTED("02"), "ny"),
    EACH_OF(pins_nest_and_hold, COUNTED("01"), "ny"),
    EACH_OF(one_pin_too_many_is_refused, "0", "ny"),
    EACH_OF(a_pin_cancels_a_move_that_has_begun, "0", "ny"),
    EACH_OF(a_pin_in_the_middle_of_a_copy_holds, "0", "ny"),
    EACH_OF(compaction_leaves_fewer_blocks, COUNTED("0124"), "ny"),
    EACH_OF(dense_objects_stay_where_they_are, COUNTED("02"), "ny"),
    EACH_OF(what_cannot_be_emptied_is_left_alone, "02", "ny"),
    EACH_OF(compaction_keeps_its_budgets_and_goes_on, COUNTED("02"), "ny"),
    EACH_OF(pinned_objects_stay_and_move_when_unpinned, COUNTED("02"), "ny"),
    EACH_OF(fixed_objects_stay_pinned_or_not, COUNTED("02"), "ny"),
    EACH_OF(fixed_objects_do_not_hinder_the_others, COUNTED("0"), "ny"),
    EACH(compaction_is_for_the_main_lane_between_frames),
    EACH_OF(on_relocate_tells_and_may_use_handles, COUNTED("02"), "ny"),
    EACH_OF(old_copies_live_while_a_job_may_read_them, COUNTED("124"), "ny"),
    EACH_OF(old_copies_live_while_an_attached_thread_may_read_them, COUNTED("02"), "ny"),
    EACH_OF(storm_of_all_lanes_while_the_main_lane_compacts, COUNTED("0124"), "ny"),
    EACH_OF(no_write_under_a_pin_is_lost_in_a_move, COUNTED("02"), "ny"),
    EACH_OF(slots_and_memory_freed_elsewhere_are_used_again, COUNTED("0124"), "ny"),
};

int main(int argc, char **argv)
{
    return RUN_MATRIX("handle", entries, argc, argv);
}
