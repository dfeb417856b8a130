// SPDX-License-Identifier: MIT
//
// Hash maps of fixed capacity: against a plain model, at the limit, with hashes as bad as they come, and on the wrong lane.
#include "support.h"

FA_MAP(numbers, uint64_t, uint64_t);

static uint64_t constant_hash(uint64_t const *key)
{
    (void)key;
    return 7;
}

static uint64_t last_hash(uint64_t const *key) // the last place of every table
{
    (void)key;
    return UINT64_MAX;
}

static bool same_number(uint64_t const *a, uint64_t const *b)
{
    return *a == *b;
}

static uint64_t hash_text(const char *const *key)
{
    return fa_hash_string(*key);
}

static bool same_text(const char *const *a, const char *const *b)
{
    return strcmp(*a, *b) == 0;
}

FA_MAP_BY(worst, uint64_t, uint64_t, constant_hash, same_number);
FA_MAP_BY(wrapping, uint64_t, uint64_t, last_hash, same_number);
FA_MAP_BY(words, const char *, int, hash_text, same_text);

static const fa_home homes[] = {FA_HOME_FRAME, FA_HOME_SCOPE, FA_HOME_POOL, FA_HOME_HEAP};
#define HOMES (sizeof homes / sizeof homes[0])

// The limit -------------------------------------------------------------------------------------------------------------

static void at_the_limit(fa_worker *w, void *arg)
{
    (void)arg;
    for (size_t h = 0; h < HOMES; h++) {
        for (size_t capacity = 1; capacity <= 1000; capacity = capacity * 3 / 2 + 1) {
            numbers m;
            numbers_entry old = {0, 0};
            EXPECT(numbers_init(w, &m, homes[h], capacity) == FA_OK);
            for (uint64_t i = 0; i < capacity; i++)
                EXPECT(numbers_insert(w, &m, i * 1024, i, &old) == FA_MAP_ADDED && numbers_count(&m) == i + 1);
            EXPECT(numbers_capacity(&m) == capacity);
            EXPECT(numbers_insert(w, &m, 1, 1, &old) == FA_MAP_FULL); // one more is refused …
            EXPECT(numbers_count(&m) == capacity && !numbers_contains(w, &m, 1) && old.value == 0);
            for (uint64_t i = 0; i < capacity; i++) { // … updates are not
                EXPECT(numbers_insert(w, &m, i * 1024, i + 5, &old) == FA_MAP_REPLACED);
                EXPECT(old.key == i * 1024 && old.value == i);
                EXPECT(*numbers_get(w, &m, i * 1024) == i + 5 && *numbers_read(&m, i * 1024) == i + 5);
            }
            EXPECT(numbers_get(w, &m, 1) == NULL && numbers_read(&m, 1) == NULL && !numbers_remove(w, &m, 1, &old));
            EXPECT(numbers_remove(w, &m, 0, &old) && old.value == 5);
            EXPECT(numbers_insert(w, &m, 1, 77, NULL) == FA_MAP_ADDED && *numbers_get(w, &m, 1) == 77);
            EXPECT(numbers_insert(w, &m, 0, 1, NULL) == FA_MAP_FULL);
            numbers_clear(w, &m);
            EXPECT(numbers_count(&m) == 0 && !numbers_contains(w, &m, 1));
            EXPECT(numbers_insert(w, &m, 3, 3, NULL) == FA_MAP_ADDED);
            numbers_exit(w, &m);
            EXPECT(numbers_capacity(&m) == 0 && numbers_insert(w, &m, 3, 3, NULL) == FA_MAP_FULL);
        }
    }
}

static void capacity_means_capacity(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    for (int round = 0; round < 3; round++) {
        begin(fa);
        everyone(fa, at_the_limit, NULL);
        end(fa);
        assert_int_equal(stats_of(fa).pool_live + stats_of(fa).heap_live, 0);
    }
    destroy_quiet(fa, &to);
}

static void empty_capacity_is_safe(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    begin(fa);
    for (size_t h = 0; h <= HOMES; h++) {
        numbers m = {0};
        numbers_entry old;
        if (h < HOMES) assert_int_equal(numbers_init(w, &m, homes[h], 0), FA_OK);
        assert_int_equal(numbers_insert(w, &m, 1, 1, &old), FA_MAP_FULL);
        assert_true(numbers_get(w, &m, 1) == NULL && numbers_read(&m, 1) == NULL && !numbers_contains(w, &m, 1));
        assert_true(!numbers_remove(w, &m, 1, &old) && numbers_at(w, &m, 0) == NULL && numbers_read_at(&m, 0) == NULL);
        numbers_clear(w, &m);
        numbers_exit(w, &m);
    }
    end(fa);
    destroy_quiet(fa, &to);
}

// Against a model -------------------------------------------------------------------------------------------------------

enum { KEYS = 96, CAPACITY = 64 };

/// The same operations on a map and on two arrays; `M` is the map's type.
#define MODEL(M)                                                                                                       \
    static void model_of_##M(fa_worker *w, rng *random, uint32_t steps)                                                \
    {                                                                                                                  \
        M m;                                                                                                           \
        bool has[KEYS] = {false};                                                                                      \
        uint64_t values[KEYS] = {0};                                                                                   \
        size_t count = 0;                                                                                              \
        assert_int_equal(M##_init(w, &m, FA_HOME_POOL, CAPACITY), FA_OK);                                              \
        for (uint32_t step = 0; step < steps; step++) {                                                                \
            uint64_t key = rng_below(random, KEYS), value = rng_next(random);                                          \
            M##_entry old = {KEYS, 0};                                                                                 \
            if (rng_below(random, 100) < 60) {                                                                         \
                fa_map_put wanted = has[key] ? FA_MAP_REPLACED : count == CAPACITY ? FA_MAP_FULL : FA_MAP_ADDED;       \
                assert_int_equal(M##_insert(w, &m, key, value, &old), wanted);                                         \
                assert_true(!has[key] || (old.key == key && old.value == values[key]));                                \
                count += wanted == FA_MAP_ADDED;                                                                       \
                if (wanted != FA_MAP_FULL) has[key] = true, values[key] = value;                                       \
            } else {                                                                                                   \
                assert_int_equal(M##_remove(w, &m, key, &old), has[key]);                                              \
                assert_true(!has[key] || (old.key == key && old.value == values[key]));                                \
                count -= has[key];                                                                                     \
                has[key] = false;                                                                                      \
            }                                                                                                          \
            assert_int_equal(M##_count(&m), count);                                                                    \
            for (uint64_t k = 0; k < KEYS; k++) {                                                                      \
                const uint64_t *found = M##_get(w, &m, k);                                                             \
                assert_true(has[k] ? found != NULL &&*found == values[k] : found == NULL);                             \
            }                                                                                                          \
        }                                                                                                              \
        M##_exit(w, &m);                                                                                               \
    }

MODEL(numbers)
MODEL(worst)
MODEL(wrapping)

static void it_does_what_a_model_does(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    rng random = {test_seed()};
    model_of_numbers(w, &random, 3000);
    model_of_worst(w, &random, 1000);
    model_of_wrapping(w, &random, 1000);
    destroy_quiet(fa, &to);
}

/// Removals leave nothing behind that later searches would have to pass.
static void churn_does_not_slow_it_down(const test_case *at)
{
    enum { LIVE = 1000 };
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    numbers m;
    assert_int_equal(numbers_init(w, &m, FA_HOME_HEAP, LIVE), FA_OK);
    for (uint64_t i = 0; i < 100000; i++) {
        if (i >= LIVE) assert_true(numbers_remove(w, &m, i - LIVE, NULL));
        assert_int_equal(numbers_insert(w, &m, i, i, NULL), FA_MAP_ADDED);
    }
    size_t used = 0, run = 0, longest = 0;
    for (size_t i = 0; i <= m.core.mask; i++) {
        run = m.core.places[i] != 0 ? run + 1 : 0;
        used += m.core.places[i] != 0;
        longest = run > longest ? run : longest;
    }
    assert_int_equal(used, LIVE);
    assert_true(longest < 100);
    for (uint64_t i = 99000; i < 100000; i++) assert_int_equal(*numbers_get(w, &m, i), i);
    numbers_exit(w, &m);
    destroy_quiet(fa, &to);
}

// Order, keys, destructors ----------------------------------------------------------------------------------------------

static void iteration_is_in_order_of_insertion(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    begin(fa);
    numbers m;
    assert_int_equal(numbers_init(w, &m, FA_HOME_FRAME, 100), FA_OK);
    for (uint64_t i = 0; i < 100; i++) assert_int_equal(numbers_insert(w, &m, i * 7919 % 101, i, NULL), FA_MAP_ADDED);
    assert_int_equal(numbers_insert(w, &m, 7919 % 101, 1000, NULL), FA_MAP_REPLACED); // keeps its place
    numbers_entry *entry;
    size_t n = 0;
    for (; (entry = numbers_at(w, &m, n)) != NULL; n++)
        assert_true(entry->key == n * 7919 % 101 && entry->value == (n == 1 ? 1000 : n));
    assert_int_equal(n, 100);
    assert_true(numbers_remove(w, &m, numbers_read_at(&m, 10)->key, NULL)); // the last takes its place
    assert_int_equal(numbers_read_at(&m, 10)->value, 99);
    assert_int_equal(numbers_read_at(&m, 98)->value, 98);
    assert_null(numbers_read_at(&m, 99));
    assert_true(numbers_remove(w, &m, numbers_read_at(&m, 98)->key, NULL));
    assert_int_equal(numbers_count(&m), 98);
    end(fa);
    destroy_quiet(fa, &to);
}

static void keys_by_callback(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    begin(fa);
    words m;
    char copy[] = "imp";
    assert_int_equal(words_init(w, &m, FA_HOME_SCOPE, 3), FA_OK);
    assert_int_equal(words_insert(w, &m, "imp", 1, NULL), FA_MAP_ADDED);
    assert_int_equal(words_insert(w, &m, "spectre", 2, NULL), FA_MAP_ADDED);
    assert_int_equal(words_insert(w, &m, copy, 3, NULL), FA_MAP_REPLACED);
    assert_int_equal(*words_get(w, &m, "imp"), 3);
    assert_ptr_equal(words_at(w, &m, 0)->key, copy); // key and value are replaced
    assert_null(words_get(w, &m, "im"));
    end(fa);
    destroy_quiet(fa, &to);
}

typedef struct drops {
    uint32_t count;
    uint64_t sum;
} drops;

static void drop_entry(numbers_entry *entry, void *context)
{
    drops *to = context;
    to->count++;
    to->sum += entry->value;
}

static void destructors_run_once_for_each(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    drops gone = {0};
    numbers_entry old;
    {
        FA_COLLECTION_AUTO(numbers) m = {0};
        assert_int_equal(numbers_init(w, &m, FA_HOME_POOL, 4), FA_OK);
        numbers_on_drop(&m, drop_entry, &gone);
        for (uint64_t i = 0; i < 4; i++) (void)numbers_insert(w, &m, i, (uint64_t)1 << 4 * i, NULL);
        assert_int_equal(numbers_insert(w, &m, 9, 9, NULL), FA_MAP_FULL); // refused: the caller's
        assert_int_equal(numbers_insert(w, &m, 0, 1, &old), FA_MAP_REPLACED);
        assert_true(numbers_remove(w, &m, 1, &old));
        assert_int_equal(gone.count, 0);
        assert_int_equal(numbers_insert(w, &m, 0, 2, NULL), FA_MAP_REPLACED);
        assert_true(gone.count == 1 && gone.sum == 1);
        assert_true(numbers_remove(w, &m, 2, NULL));
        assert_true(gone.count == 2 && gone.sum == 0x101);
        numbers_clear(w, &m);
        assert_true(gone.count == 4 && gone.sum == 0x1103);
        (void)numbers_insert(w, &m, 0, 0x10000, NULL);
    }
    assert_true(gone.count == 5 && gone.sum == 0x11103);
    begin(fa);
    end(fa);
    assert_int_equal(stats_of(fa).pool_live, 0);
    destroy_quiet(fa, &to);
}

// Hashes ----------------------------------------------------------------------------------------------------------------

static size_t longest_run(const numbers *m)
{
    size_t run = 0, longest = 0;
    for (size_t i = 0; i <= 2 * m->core.mask; i++) {
        run = m->core.places[i & m->core.mask] != 0 ? run + 1 : 0;
        longest = run > longest ? run : longest;
    }
    return longest;
}

/// Keys as programs have them: counted up, multiples of powers of two, addresses.
static void regular_keys_spread(const test_case *at)
{
    enum { COUNT = 10000 };
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    for (uint32_t shift = 0; shift < 64; shift += 3) {
        numbers m;
        assert_int_equal(numbers_init(w, &m, FA_HOME_HEAP, COUNT), FA_OK);
        for (uint64_t i = 0; i < COUNT; i++) (void)numbers_insert(w, &m, i << shift | i >> (64 - shift) % 64, i, NULL);
        assert_true(longest_run(&m) < 200); // random keys: about 60 at this load
        numbers_exit(w, &m);
    }
    assert_int_equal(fa_hash_u64(0), 0);
    assert_true(fa_hash_u64(1) == UINT64_C(0x5692161d100b05e5)); // of the published function
    assert_true(fa_hash_string("a") != fa_hash_string("b") && fa_hash_string("") != fa_hash_bytes("\0", 1));
    assert_true(fa_hash_bytes("12345678", 8) != fa_hash_bytes("12345678\0", 9));
    destroy_quiet(fa, &to);
}

// Refused ---------------------------------------------------------------------------------------------------------------

static void bad_arguments(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    numbers m;
    numbers_entry old;
    assert_int_equal(numbers_init(w, &m, FA_HOME_FRAME, 4), FA_ERROR_STATE);
    assert_reported(&to, 1, 1);
    assert_int_equal(numbers_insert(w, &m, 1, 1, NULL), FA_MAP_FULL);
    assert_int_equal(numbers_init(w, NULL, FA_HOME_POOL, 4), FA_ERROR_INVALID);
    assert_int_equal(numbers_init(NULL, &m, FA_HOME_POOL, 4), FA_ERROR_INVALID);
    assert_int_equal(numbers_init(w, &m, (fa_home)17, 4), FA_ERROR_INVALID);
    assert_quiet(&to);
    assert_int_equal(numbers_init(w, &m, FA_HOME_POOL, SIZE_MAX), FA_ERROR_INVALID);
    assert_int_equal(numbers_init(w, &m, FA_HOME_POOL, FA_CAPACITY_MAX + 1), FA_ERROR_INVALID);
    assert_reported(&to, 914, 2);
    assert_int_equal(numbers_init(w, &m, FA_HOME_HEAP, FA_CAPACITY_MAX), FA_ERROR_MEMORY);
    assert_reported(&to, 301, 1);
    assert_int_equal(numbers_insert(w, &m, 1, 1, NULL), FA_MAP_FULL);
    fa_map raw;
    assert_int_equal(fa_map_init(w, &raw, FA_HOME_POOL, 4, SIZE_MAX / 2, 8), FA_ERROR_INVALID);
    assert_int_equal(fa_map_init(w, &raw, FA_HOME_POOL, 4, SIZE_MAX, 8), FA_ERROR_INVALID);
    assert_reported(&to, 914, 2);
    assert_int_equal(fa_map_init(w, &raw, FA_HOME_POOL, 4, 0, 8), FA_ERROR_INVALID);
    assert_quiet(&to);
    assert_int_equal(fa_map_init(w, &raw, FA_HOME_POOL, 4, 8, 3), FA_ERROR_INVALID);
    assert_reported(&to, 903, 1);
    assert_int_equal(fa_map_init(w, NULL, FA_HOME_POOL, 4, 8, 8), FA_ERROR_INVALID);
    assert_int_equal(numbers_insert(w, NULL, 1, 1, NULL), FA_MAP_FULL);
    assert_true(numbers_get(w, NULL, 1) == NULL && numbers_read(NULL, 1) == NULL && !numbers_contains(w, NULL, 1));
    assert_true(!numbers_remove(w, NULL, 1, &old) && numbers_at(w, NULL, 0) == NULL && numbers_count(NULL) == 0);
    numbers_clear(w, NULL);
    numbers_exit(w, NULL);
    numbers_on_drop(NULL, drop_entry, NULL);
    destroy_quiet(fa, &to);
}

static void changed_key_is_found_out(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    numbers m;
    assert_int_equal(numbers_init(w, &m, FA_HOME_POOL, 8), FA_OK);
    for (uint64_t i = 0; i < 4; i++) (void)numbers_insert(w, &m, i, i, NULL);
    numbers_at(w, &m, 3)->key = 100; // what the comment forbids
    assert_false(numbers_remove(w, &m, 1, NULL));
    assert_int_equal(numbers_count(&m), 4);
    assert_false(numbers_contains(w, &m, 100) || numbers_contains(w, &m, 3));
    numbers_exit(w, &m);
    destroy_quiet(fa, &to);
}

static void misuse(fa_worker *w, void *arg)
{
    numbers *m = arg;
    if (w->index == 0) return;
    EXPECT(numbers_insert(w, m, 1, 2, NULL) == FA_MAP_FULL && numbers_get(w, m, 1) == NULL);
    EXPECT(!numbers_contains(w, m, 1) && !numbers_remove(w, m, 1, NULL) && numbers_at(w, m, 0) == NULL);
    numbers_clear(w, m);
    numbers_exit(w, m);
    EXPECT(*numbers_read(m, 1) == 1 && numbers_read_at(m, 0)->key == 1); // reading is allowed
}

static void another_lane_is_refused(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    for (size_t h = 0; h < HOMES; h++) {
        begin(fa);
        numbers m;
        assert_int_equal(numbers_init(w, &m, homes[h], 4), FA_OK);
        assert_int_equal(numbers_insert(w, &m, 1, 1, NULL), FA_MAP_ADDED);
        everyone(fa, misuse, &m);
        assert_reported(&to, 201, 7 * at->workers);
        assert_true(numbers_count(&m) == 1 && *numbers_get(w, &m, 1) == 1);
        numbers_exit(w, &m);
        end(fa);
    }
    destroy_quiet(fa, &to);
}

static void use_after_the_frame_is_diagnosed(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    begin(fa);
    numbers m;
    assert_int_equal(numbers_init(w, &m, FA_HOME_FRAME, 4), FA_OK);
    assert_int_equal(numbers_insert(w, &m, 1, 1, NULL), FA_MAP_ADDED);
    end(fa);
    begin(fa);
    assert_int_equal(numbers_insert(w, &m, 2, 2, NULL), FA_MAP_FULL);
    assert_null(numbers_get(w, &m, 1));
    assert_reported(&to, 2, 2);
    end(fa);
    destroy_quiet(fa, &to);
}

int main(int argc, char **argv)
{
    static const test_entry tests[] = {
        EACH_OF(capacity_means_capacity, COUNTED("0124"), "ny"),
        EACH_OF(empty_capacity_is_safe, "0", "ny"),
        EACH_OF(it_does_what_a_model_does, "0", "ny"),
        EACH_OF(churn_does_not_slow_it_down, "0", "ny"),
        EACH_OF(iteration_is_in_order_of_insertion, "0", "ny"),
        EACH_OF(keys_by_callback, "0", "ny"),
        EACH_OF(destructors_run_once_for_each, COUNTED("0"), "ny"),
        EACH_OF(regular_keys_spread, "0", "n"),
        EACH_OF(bad_arguments, "0", "ny"),
        EACH_OF(changed_key_is_found_out, "0", "ny"),
        EACH_OF(another_lane_is_refused, "124", "y"),
        EACH_OF(use_after_the_frame_is_diagnosed, "0", "y"),
    };
    return RUN_MATRIX("map", tests, argc, argv);
}
