// SPDX-License-Identifier: MIT
//
// Vectors of fixed capacity: what fits, what leaves and how, whose they are, and how long they may be used.
#include "support.h"

#include <pthread.h>

typedef struct agent {
    uint64_t id;
    float x, y;
} agent;

FA_VECTOR(numbers, uint64_t);
FA_VECTOR(agents, agent);
FA_VECTOR(texts, const char *);

static const fa_home homes[] = {FA_HOME_FRAME, FA_HOME_SCOPE, FA_HOME_POOL, FA_HOME_HEAP};
#define HOMES (sizeof homes / sizeof homes[0])

typedef struct drops {
    uint32_t count;
    uint64_t sum;
} drops;

static void drop_number(uint64_t *item, void *context)
{
    drops *to = context;
    to->count++;
    to->sum += *item;
}

static bool is_even(uint64_t const *item, void *arg)
{
    uint32_t *asked = arg;
    if (asked != NULL) ++*asked;
    return *item % 2 == 0;
}

// What fits -------------------------------------------------------------------------------------------------------------

/// All operations on one lane, in memory of each kind.
static void use_vectors(fa_worker *w, void *arg)
{
    (void)arg;
    for (size_t h = 0; h < HOMES; h++) {
        numbers v;
        EXPECT(numbers_init(w, &v, homes[h], 100) == FA_OK);
        EXPECT(numbers_count(&v) == 0 && numbers_capacity(&v) == 100 && numbers_room(&v) == 100);
        EXPECT(!numbers_pop(w, &v, NULL) && numbers_at(w, &v, 0) == NULL && numbers_read(&v, 0) == NULL);
        for (uint64_t i = 0; i < 100; i++) EXPECT(!numbers_is_full(&v) && numbers_push(w, &v, i * i));
        EXPECT(numbers_is_full(&v) && numbers_room(&v) == 0);
        EXPECT(!numbers_push(w, &v, 1) && numbers_count(&v) == 100); // full: fails and changes nothing
        uint64_t *item, next = 0;
        for (size_t i = 0; (item = numbers_at(w, &v, i)) != NULL; i++, next++) EXPECT(*item == next * next);
        EXPECT(next == 100 && numbers_at(w, &v, 100) == NULL && numbers_at(w, &v, SIZE_MAX) == NULL);
        *numbers_at(w, &v, 50) = 7;
        EXPECT(*numbers_read(&v, 50) == 7);
        uint64_t out = 0;
        EXPECT(numbers_pop(w, &v, &out) && out == 99 * 99 && numbers_count(&v) == 99);
        EXPECT(numbers_push(w, &v, 5) && *numbers_at(w, &v, 99) == 5);
        numbers_clear(w, &v);
        EXPECT(numbers_count(&v) == 0 && numbers_capacity(&v) == 100 && numbers_push(w, &v, 1));
        numbers_exit(w, &v);
        EXPECT(numbers_capacity(&v) == 0 && !numbers_push(w, &v, 1));
        numbers_exit(w, &v);
    }
}

static void capacity_means_capacity(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    for (int round = 0; round < 5; round++) {
        begin(fa);
        everyone(fa, use_vectors, NULL);
        end(fa);
        assert_int_equal(stats_of(fa).pool_live, 0);
        assert_int_equal(stats_of(fa).heap_live, 0);
    }
    destroy_quiet(fa, &to);
}

static void full_push_leaves_memory_alone(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    begin(fa);
    numbers v;
    assert_int_equal(numbers_init(w, &v, FA_HOME_FRAME, 4), FA_OK);
    uint64_t *after = fa_frame_array(w, uint64_t, 4); // right behind the vector
    for (int i = 0; i < 4; i++) after[i] = 1111;
    for (uint64_t i = 0; i < 20; i++) assert_int_equal(numbers_push(w, &v, i), i < 4);
    uint64_t more[] = {1, 2, 3};
    assert_int_equal(numbers_extend(w, &v, more, 3), 0);
    for (uint64_t i = 0; i < 4; i++) assert_true(after[i] == 1111 && *numbers_at(w, &v, i) == i);
    end(fa);
    destroy_quiet(fa, &to);
}

static void extend_stops_when_full(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    numbers v;
    uint64_t items[10] = {10, 11, 12, 13, 14, 15, 16, 17, 18, 19};
    assert_int_equal(numbers_init(w, &v, FA_HOME_POOL, 7), FA_OK);
    assert_int_equal(numbers_extend(w, &v, items, 4), 4);
    assert_int_equal(numbers_extend(w, &v, items + 4, 6), 3);
    assert_int_equal(numbers_extend(w, &v, items, 10), 0);
    assert_int_equal(numbers_extend(w, &v, NULL, 0), 0);
    for (uint64_t i = 0; i < 7; i++) assert_int_equal(*numbers_at(w, &v, i), 10 + i);
    numbers_exit(w, &v);
    destroy_quiet(fa, &to);
}

static void structs_and_pointers(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    begin(fa);
    agents crowd;
    assert_int_equal(agents_init(w, &crowd, FA_HOME_FRAME, 3), FA_OK);
    for (uint64_t i = 0; i < 3; i++) assert_true(agents_push(w, &crowd, (agent){.id = i, .x = 1.5f}));
    agents_at(w, &crowd, 1)->y = 2.5f;
    assert_true(agents_read(&crowd, 1)->id == 1 && agents_read(&crowd, 1)->y == 2.5f);
    texts words;
    assert_int_equal(texts_init(w, &words, FA_HOME_SCOPE, 2), FA_OK);
    assert_true(texts_push(w, &words, "first") && texts_push(w, &words, "second"));
    assert_string_equal(*texts_read(&words, 1), "second");
    end(fa);
    destroy_quiet(fa, &to);
}

// What leaves -----------------------------------------------------------------------------------------------------------

static void retain_if_keeps_the_order(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    numbers v;
    drops gone = {0};
    uint32_t asked = 0;
    assert_int_equal(numbers_init(w, &v, FA_HOME_HEAP, 101), FA_OK);
    numbers_on_drop(&v, drop_number, &gone);
    for (uint64_t i = 0; i <= 100; i++) assert_true(numbers_push(w, &v, i));
    assert_int_equal(numbers_retain_if(w, &v, is_even, &asked), 50);
    assert_int_equal(asked, 101);
    assert_int_equal(gone.count, 50);
    assert_int_equal(gone.sum, 2500);
    assert_int_equal(numbers_count(&v), 51);
    for (uint64_t i = 0; i < 51; i++) assert_int_equal(*numbers_at(w, &v, i), 2 * i);
    assert_int_equal(numbers_retain_if(w, &v, NULL, NULL), 0);
    assert_int_equal(numbers_count(&v), 51);
    numbers_exit(w, &v);
    assert_int_equal(gone.count, 101);
    destroy_quiet(fa, &to);
}

static void destructors_run_once_for_each(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    drops gone = {0};
    begin(fa);
    {
        FA_COLLECTION_AUTO(numbers) v = {0};
        assert_int_equal(numbers_init(w, &v, FA_HOME_POOL, 4), FA_OK);
        numbers_on_drop(&v, drop_number, &gone);
        for (uint64_t i = 1; i <= 1000; i *= 10) assert_true(numbers_push(w, &v, i));
        uint64_t out = 0;
        assert_true(numbers_pop(w, &v, &out)); // has a taker
        assert_true(out == 1000 && gone.count == 0);
        assert_true(numbers_pop(w, &v, NULL));
        assert_true(gone.count == 1 && gone.sum == 100);
        numbers_clear(w, &v);
        assert_true(gone.count == 3 && gone.sum == 111);
        assert_true(numbers_push(w, &v, 10000));
    }
    assert_true(gone.count == 4 && gone.sum == 10111); // left by itself
    {
        FA_COLLECTION_AUTO(numbers) never_made = {0};
        (void)never_made;
    }
    end(fa);
    assert_int_equal(stats_of(fa).pool_live, 0);
    destroy_quiet(fa, &to);
}

// Refused ---------------------------------------------------------------------------------------------------------------

static void empty_capacity_is_safe(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    begin(fa);
    for (size_t h = 0; h < HOMES; h++) {
        numbers v;
        uint64_t out;
        assert_int_equal(numbers_init(w, &v, homes[h], 0), FA_OK);
        assert_true(numbers_is_full(&v) && !numbers_push(w, &v, 1) && !numbers_pop(w, &v, &out));
        assert_true(numbers_at(w, &v, 0) == NULL && numbers_extend(w, &v, (uint64_t[]){1}, 1) == 0);
        assert_int_equal(numbers_retain_if(w, &v, is_even, NULL), 0);
        numbers_clear(w, &v);
        numbers_exit(w, &v);
    }
    numbers none = {0};
    assert_false(numbers_push(w, &none, 1));
    numbers_exit(w, &none);
    end(fa);
    destroy_quiet(fa, &to);
}

static void bad_arguments(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    numbers v;
    assert_int_equal(numbers_init(w, &v, FA_HOME_FRAME, 4), FA_ERROR_STATE); // outside a frame
    assert_reported(&to, 1, 1);
    assert_false(numbers_push(w, &v, 1));
    assert_int_equal(numbers_init(w, NULL, FA_HOME_POOL, 4), FA_ERROR_INVALID);
    assert_int_equal(numbers_init(NULL, &v, FA_HOME_POOL, 4), FA_ERROR_INVALID);
    assert_int_equal(numbers_init(w, &v, (fa_home)17, 4), FA_ERROR_INVALID);
    assert_quiet(&to);
    assert_int_equal(numbers_init(w, &v, FA_HOME_POOL, SIZE_MAX / 8 + 2), FA_ERROR_INVALID);
    assert_int_equal(numbers_init(w, &v, FA_HOME_POOL, FA_CAPACITY_MAX + 1), FA_ERROR_INVALID);
    assert_reported(&to, 914, 2);
    assert_int_equal(numbers_init(w, &v, FA_HOME_HEAP, FA_CAPACITY_MAX), FA_ERROR_MEMORY); // 8 GiB of 4
    assert_reported(&to, 301, 1);
    assert_true(numbers_capacity(&v) == 0 && !numbers_push(w, &v, 1));
    uint64_t out;
    assert_true(!numbers_push(w, NULL, 1) && !numbers_pop(w, NULL, &out) && numbers_at(w, NULL, 0) == NULL);
    assert_true(numbers_read(NULL, 0) == NULL && numbers_count(NULL) == 0 && numbers_capacity(NULL) == 0);
    assert_true(numbers_extend(w, NULL, &out, 1) == 0 && numbers_retain_if(w, NULL, is_even, NULL) == 0);
    numbers_clear(w, NULL);
    numbers_exit(w, NULL);
    numbers_on_drop(NULL, drop_number, NULL);
    fa_storage storage;
    void *elements;
    assert_int_equal(fa_storage_take(w, FA_HOME_POOL, 1, 0, 8, &storage, &elements), FA_ERROR_INVALID);
    assert_int_equal(fa_storage_take(w, FA_HOME_POOL, 1, 8, 8, NULL, &elements), FA_ERROR_INVALID);
    assert_int_equal(fa_storage_take(w, FA_HOME_POOL, 1, 8, 8, &storage, NULL), FA_ERROR_INVALID);
    assert_false(fa_storage_check(NULL, &storage) || fa_storage_check(w, NULL));
    fa_storage_give(w, NULL);
    fa_storage_give(NULL, &storage);
    destroy_quiet(fa, &to);
}

static void full_memory(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    config.frame_bytes_max = 4096;
    fa_system *fa = create(&config);
    fa_worker *w = fa_self(fa);
    begin(fa);
    numbers v;
    assert_int_equal(numbers_init(w, &v, FA_HOME_FRAME, 100000), FA_ERROR_MEMORY);
    assert_reported(&to, 3, 1);
    assert_false(numbers_push(w, &v, 1));
    assert_int_equal(numbers_init(w, &v, FA_HOME_FRAME, 100), FA_OK);
    end(fa);
    destroy_quiet(fa, &to);
}

// Whose, and how long ---------------------------------------------------------------------------------------------------

typedef struct shared_vector {
    numbers v;
    atomic_uint ready;
    bool checked;
} shared_vector;

static void misuse(fa_worker *w, void *arg)
{
    shared_vector *shared = arg;
    if (w->index == 0) return;
    uint64_t out = 5;
    EXPECT(!numbers_push(w, &shared->v, 1) && !numbers_pop(w, &shared->v, &out) &&
           numbers_at(w, &shared->v, 0) == NULL);
    EXPECT(numbers_extend(w, &shared->v, &out, 1) == 0 && numbers_retain_if(w, &shared->v, is_even, NULL) == 0);
    numbers_clear(w, &shared->v);
    numbers_exit(w, &shared->v);
    EXPECT(out == 5);
}

static void another_lane_is_refused(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    for (size_t h = 0; h < HOMES; h++) {
        begin(fa);
        shared_vector shared = {0};
        assert_int_equal(numbers_init(w, &shared.v, homes[h], 4), FA_OK);
        assert_true(numbers_push(w, &shared.v, 42) && numbers_push(w, &shared.v, 43));
        everyone(fa, misuse, &shared);
        assert_reported(&to, 201, 7 * at->workers);
        assert_int_equal(numbers_count(&shared.v), 2); // nothing happened
        assert_int_equal(*numbers_at(w, &shared.v, 1), 43);
        numbers_exit(w, &shared.v);
        end(fa);
    }
    assert_int_equal(stats_of(fa).pool_live + stats_of(fa).heap_live, 0);
    destroy_quiet(fa, &to);
}

typedef struct stolen {
    fa_worker *w;
    numbers *v;
} stolen;

static void *use_stolen(void *arg)
{
    stolen *s = arg;
    EXPECT(!numbers_push(s->w, s->v, 1) && numbers_at(s->w, s->v, 0) == NULL);
    return NULL;
}

/// The right lane's context, on the wrong thread.
static void a_borrowed_context_is_refused(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    numbers v;
    assert_int_equal(numbers_init(w, &v, FA_HOME_POOL, 4), FA_OK);
    assert_true(numbers_push(w, &v, 1));
    stolen s = {w, &v};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, use_stolen, &s), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_reported(&to, 201, 2);
    assert_int_equal(numbers_count(&v), 1);
    numbers_exit(w, &v);
    destroy_quiet(fa, &to);
}

static void read_all(fa_worker *w, void *arg)
{
    const numbers *v = arg;
    (void)w;
    uint64_t const *item;
    uint64_t sum = 0;
    for (size_t i = 0; (item = numbers_read(v, i)) != NULL; i++) sum += *item;
    EXPECT(sum == 4950 && numbers_count(v) == 100);
}

static void fill_one(fa_worker *w, void *arg)
{
    numbers *v = arg;
    EXPECT(numbers_init(w, v, FA_HOME_FRAME, 100) == FA_OK);
    for (uint64_t i = 0; i < 100; i++) EXPECT(numbers_push(w, v, i));
}

static void other_lanes_may_read(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    for (int round = 0; round < ROUNDS(50); round++) {
        begin(fa);
        numbers v; // filled on whichever lane, read on all
        fa_counter counter = FA_COUNTER_INIT;
        assert_int_equal(fa_submit_counted(w, &counter, fill_one, &v), FA_OK);
        assert_int_equal(fa_wait(w, &counter), FA_OK);
        everyone(fa, read_all, &v);
        end(fa);
    }
    destroy_quiet(fa, &to);
}

static void assert_ended(fa_worker *w, numbers *v, sink *to)
{
    size_t count = v->core.count;
    assert_false(numbers_push(w, v, 1));
    assert_reported(to, 2, 1);
    assert_null(numbers_at(w, v, 0));
    numbers_clear(w, v);
    assert_reported(to, 2, 2);
    assert_int_equal(v->core.count, count);
}

static void use_after_the_frame_is_diagnosed(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    drops gone = {0};
    for (int round = 0; round < 3; round++) {
        begin(fa);
        numbers v;
        assert_int_equal(numbers_init(w, &v, FA_HOME_FRAME, 64), FA_OK);
        numbers_on_drop(&v, drop_number, &gone);
        assert_true(numbers_push(w, &v, 1));
        end(fa);
        assert_ended(w, &v, &to); // between frames
        begin(fa);
        assert_ended(w, &v, &to);
        numbers again; // in the same place
        assert_int_equal(numbers_init(w, &again, FA_HOME_FRAME, 64), FA_OK);
        assert_ended(w, &v, &to);
        numbers_exit(w, &v);
        assert_reported(&to, 2, 1);
        assert_int_equal(gone.count, 0); // no destructor saw recycled memory
        assert_true(numbers_push(w, &again, 1));
        end(fa);
    }
    destroy_quiet(fa, &to);
}

static void use_after_a_rollback_is_diagnosed(const test_case *at)
{
    static const size_t capacities[] = {8, 1000, 200000};
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    for (size_t i = 0; i < 3; i++) {
        begin(fa);
        numbers before, after, other;
        assert_int_equal(numbers_init(w, &before, FA_HOME_FRAME, capacities[i]), FA_OK);
        fa_checkpoint checkpoint = fa_checkpoint_take(w);
        assert_int_equal(numbers_init(w, &after, FA_HOME_FRAME, capacities[i]), FA_OK);
        assert_true(numbers_push(w, &after, 1));
        assert_int_equal(fa_checkpoint_rollback(w, checkpoint), FA_OK);
        assert_ended(w, &after, &to);
        assert_int_equal(numbers_init(w, &other, FA_HOME_FRAME, capacities[i]), FA_OK); // the same memory
        assert_ended(w, &after, &to);
        void *filler = fa_frame_alloc(w, 100000);
        assert_non_null(filler);
        assert_ended(w, &after, &to);
        assert_true(numbers_push(w, &before, 1) && numbers_push(w, &other, 1));
        end(fa);
    }
    destroy_quiet(fa, &to);
}

/// The frame is alive, its lane has left it.
static void use_after_a_rollback_in_a_frame_that_is_held(const test_case *at)
{
    static const size_t capacities[] = {8, 200000};
    sink to;
    fa_config config = case_config(at, &to);
    config.frames_in_flight = 2;
    fa_system *fa = create(&config);
    fa_worker *w = fa_self(fa);
    for (size_t i = 0; i < 2; i++) {
        begin(fa);
        numbers before, after;
        assert_int_equal(numbers_init(w, &before, FA_HOME_FRAME, capacities[i]), FA_OK);
        fa_checkpoint checkpoint = fa_checkpoint_take(w);
        assert_int_equal(numbers_init(w, &after, FA_HOME_FRAME, capacities[i]), FA_OK);
        assert_int_equal(fa_checkpoint_rollback(w, checkpoint), FA_OK);
        fa_frame held;
        assert_int_equal(fa_frame_hold(w, &held), FA_OK);
        end(fa);
        assert_ended(w, &after, &to);
        assert_true(numbers_push(w, &before, 1));
        begin(fa);
        assert_ended(w, &after, &to);
        assert_true(numbers_push(w, &before, 2));
        assert_int_equal(fa_frame_drop(fa, held), FA_OK);
        end(fa);
        assert_ended(w, &before, &to);
    }
    destroy_quiet(fa, &to);
}

static void use_after_the_scope_is_diagnosed(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    numbers outer, inner, other;
    {
        FA_SCOPE(w);
        assert_int_equal(numbers_init(w, &outer, FA_HOME_SCOPE, 64), FA_OK);
        {
            FA_SCOPE(w);
            assert_int_equal(numbers_init(w, &inner, FA_HOME_SCOPE, 64), FA_OK);
            assert_true(numbers_push(w, &inner, 1));
        }
        assert_ended(w, &inner, &to);
        assert_int_equal(numbers_init(w, &other, FA_HOME_SCOPE, 64), FA_OK); // the same memory
        assert_ended(w, &inner, &to);
        assert_true(numbers_push(w, &outer, 1) && numbers_push(w, &other, 1));
    }
    assert_ended(w, &outer, &to);
    destroy_quiet(fa, &to);
}

static void copies_of_a_freed_vector_are_diagnosed(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    for (size_t h = 2; h < HOMES; h++) {
        for (size_t capacity = 10; capacity < 1000000; capacity *= 1000) {
            numbers v, copy;
            assert_int_equal(numbers_init(w, &v, homes[h], capacity), FA_OK);
            copy = v;
            numbers_exit(w, &v);
            assert_ended(w, &copy, &to);
            numbers_exit(w, &copy); // not freed twice
            assert_reported(&to, 2, 1);
        }
    }
    destroy_quiet(fa, &to);
}

static void several_frames_in_flight(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    config.frames_in_flight = 3;
    fa_system *fa = create(&config);
    fa_worker *w = fa_self(fa);
    for (int round = 0; round < 3; round++) {
        numbers v;
        begin(fa);
        assert_int_equal(numbers_init(w, &v, FA_HOME_FRAME, 8), FA_OK);
        fa_frame held;
        assert_int_equal(fa_frame_hold(w, &held), FA_OK);
        end(fa);
        begin(fa); // the frame before is held: its memory lives
        assert_true(numbers_push(w, &v, 1));
        assert_int_equal(fa_frame_drop(fa, held), FA_OK);
        end(fa);
        if (at->checked) assert_ended(w, &v, &to);
        for (int i = 0; i < 3; i++) {
            begin(fa);
            if (at->checked) assert_ended(w, &v, &to);
            end(fa);
        }
    }
    destroy_quiet(fa, &to);
}

int main(int argc, char **argv)
{
    static const test_entry tests[] = {
        EACH_OF(capacity_means_capacity, COUNTED("0124"), "ny"),
        EACH_OF(full_push_leaves_memory_alone, "0", "n"),
        EACH_OF(extend_stops_when_full, "0", "ny"),
        EACH_OF(structs_and_pointers, "0", "ny"),
        EACH_OF(retain_if_keeps_the_order, "0", "ny"),
        EACH_OF(destructors_run_once_for_each, COUNTED("0"), "ny"),
        EACH_OF(empty_capacity_is_safe, "0", "ny"),
        EACH_OF(bad_arguments, "0", "ny"),
        EACH_OF(full_memory, "0", "ny"),
        EACH_OF(another_lane_is_refused, COUNTED("124"), "y"),
        EACH_OF(a_borrowed_context_is_refused, "02", "y"),
        EACH(other_lanes_may_read),
        EACH_OF(use_after_the_frame_is_diagnosed, "02", "y"),
        EACH_OF(use_after_a_rollback_is_diagnosed, "0", "y"),
        EACH_OF(use_after_a_rollback_in_a_frame_that_is_held, "0", "y"),
        EACH_OF(use_after_the_scope_is_diagnosed, "0", "y"),
        EACH_OF(copies_of_a_freed_vector_are_diagnosed, "0", "y"),
        EACH_OF(several_frames_in_flight, "02", "ny"),
    };
    return RUN_MATRIX("vector", tests, argc, argv);
}
