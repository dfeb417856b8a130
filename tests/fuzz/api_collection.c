// SPDX-License-Identifier: MIT
//
// Vectors and maps beside plain arrays that hold the same. In checked systems those whose memory has ended are refused.
#include "api.h"

FA_VECTOR(numbers, uint32_t);
FA_MAP(places, uint32_t, uint32_t);

enum { VECTORS = 3, MAPS = 3, CAPACITY = 48, KEYS = 64 };

struct home {
    bool lives, gone; // gone: its memory, and it was not noticed yet
    bool given;       // back to pool or heap when it exits
    fa_home where;
    uint32_t serial;
    uint64_t frame;
};

static struct {
    struct home home;
    numbers vector;
    uint32_t items[CAPACITY], count, capacity;
} vectors[VECTORS];

static struct {
    struct home home;
    places map;
    uint32_t keys[CAPACITY], values[CAPACITY], count, capacity;
} maps[MAPS];

static bool make_home(struct home *home, uint8_t where)
{
    *home = (struct home){.where = (fa_home)(where % 4), .serial = ++api.serial, .frame = api.newest};
    return api.in_frame || home->where != FA_HOME_FRAME;
}

static void settle(struct home *home, fa_status status, uint32_t capacity)
{
    FUZZ_CHECK(status == FA_OK || (api.limited && status == FA_ERROR_MEMORY));
    home->lives = status == FA_OK;
    home->given = home->lives && home->where >= FA_HOME_POOL &&
                  (capacity > 0 || api.checked); // those have a stamp in any case
}

/// Whether to go on: what has lost its memory is refused, and forgotten.
static bool is_there(struct home *home)
{
    if (!home->gone) return true;
    if (api.checked) permit(2);
    *home = (struct home){.lives = false};
    return false;
}

static void forget_home(struct home *home, fa_home where, uint32_t serial, uint64_t frame)
{
    bool of_frame = where == FA_HOME_SCOPE || home->frame == frame;
    if (home->lives && home->where == where && home->serial > serial && of_frame) home->gone = true;
}

void collections_forget(fa_home home, uint32_t serial, uint64_t frame)
{
    for (int i = 0; i < VECTORS; i++) forget_home(&vectors[i].home, home, serial, frame);
    for (int i = 0; i < MAPS; i++) forget_home(&maps[i].home, home, serial, frame);
}

void collections_leave(uint32_t serial, uint64_t frame)
{
    collections_forget(FA_HOME_FRAME, serial, frame);
    for (int i = 0; i < VECTORS; i++)
        if (vectors[i].home.gone && vectors[i].home.frame == frame) vectors[i].home = (struct home){.lives = false};
    for (int i = 0; i < MAPS; i++)
        if (maps[i].home.gone && maps[i].home.frame == frame) maps[i].home = (struct home){.lives = false};
}

uint32_t collection_objects(void)
{
    uint32_t count = 0;
    for (int i = 0; i < VECTORS; i++) count += vectors[i].home.given;
    for (int i = 0; i < MAPS; i++) count += maps[i].home.given;
    return count;
}

// --- Vectors ----------------------------------------------------------------------------------------------------------

static bool is_even(uint32_t const *item, void *arg)
{
    (void)arg;
    return *item % 2 == 0;
}

static void vector_change(int at, uint8_t how, uint32_t value)
{
    numbers *v = &vectors[at].vector;
    uint32_t *items = vectors[at].items, *count = &vectors[at].count, room = vectors[at].capacity - *count;
    if (how == 0) {
        FUZZ_CHECK(numbers_push(api.w, v, value) == (room > 0));
        if (room > 0) items[(*count)++] = value;
    } else if (how == 1) {
        uint32_t last = 0;
        FUZZ_CHECK(numbers_pop(api.w, v, &last) == (*count > 0));
        if (*count > 0) FUZZ_CHECK(last == items[--*count]);
    } else if (how == 2) {
        uint32_t more[5] = {value, value + 1, value + 2, value + 3, value + 4}, taken = room < 5 ? room : 5;
        FUZZ_CHECK(numbers_extend(api.w, v, more, 5) == taken);
        memcpy(items + *count, more, taken * sizeof *more);
        *count += taken;
    } else if (how == 3) {
        uint32_t kept = 0, before = *count;
        for (uint32_t i = 0; i < before; i++)
            if (is_even(&items[i], NULL)) items[kept++] = items[i];
        FUZZ_CHECK(numbers_retain_if(api.w, v, is_even, NULL) == before - kept);
        *count = kept;
    } else if (how == 4) {
        numbers_clear(api.w, v);
        *count = 0;
    }
}

void vector_use(void)
{
    int at = take() % VECTORS;
    uint8_t how = take();
    uint32_t value = take();
    struct home *home = &vectors[at].home;
    numbers *v = &vectors[at].vector;
    if (!home->lives) {
        uint32_t capacity = value % (CAPACITY + 1);
        if (!make_home(home, how)) return;
        settle(home, numbers_init(api.w, v, home->where, capacity), capacity);
        vectors[at].count = 0;
        vectors[at].capacity = capacity;
        return;
    }
    if (!is_there(home)) {
        FUZZ_CHECK(!api.checked || vectors[at].capacity == 0 || !numbers_push(api.w, v, 1));
        return;
    }
    vector_change(at, how % 6, value);
    FUZZ_CHECK(numbers_count(v) == vectors[at].count && numbers_capacity(v) == vectors[at].capacity);
    for (uint32_t i = 0; i < vectors[at].count; i++) FUZZ_CHECK(*numbers_at(api.w, v, i) == vectors[at].items[i]);
    FUZZ_CHECK(numbers_at(api.w, v, vectors[at].count) == NULL);
    if (how % 6 != 5) return;
    numbers_exit(api.w, v);
    *home = (struct home){.lives = false};
}

// --- Maps -------------------------------------------------------------------------------------------------------------

static uint32_t find_key(int at, uint32_t key)
{
    uint32_t i = 0;
    while (i < maps[at].count && maps[at].keys[i] != key) i++;
    return i;
}

static void map_put(int at, uint32_t key, uint32_t value)
{
    uint32_t i = find_key(at, key), count = maps[at].count;
    fa_map_put expected = i < count ? FA_MAP_REPLACED : count < maps[at].capacity ? FA_MAP_ADDED : FA_MAP_FULL;
    places_entry old = {0};
    FUZZ_CHECK(places_insert(api.w, &maps[at].map, key, value, &old) == expected);
    if (expected == FA_MAP_FULL) return;
    if (expected == FA_MAP_REPLACED) FUZZ_CHECK(old.value == maps[at].values[i]);
    maps[at].keys[i] = key;
    maps[at].values[i] = value;
    maps[at].count += expected == FA_MAP_ADDED;
}

/// The last entry moves into the gap.
static void map_remove(int at, uint32_t key)
{
    uint32_t i = find_key(at, key);
    bool there = i < maps[at].count;
    FUZZ_CHECK(places_remove(api.w, &maps[at].map, key, NULL) == there);
    if (!there) return;
    uint32_t last = --maps[at].count;
    maps[at].keys[i] = maps[at].keys[last];
    maps[at].values[i] = maps[at].values[last];
}

static void map_check(int at)
{
    const places *map = &maps[at].map;
    FUZZ_CHECK(places_count(map) == maps[at].count && places_capacity(map) == maps[at].capacity);
    for (uint32_t i = 0; i < maps[at].count; i++) {
        const places_entry *entry = places_at(api.w, &maps[at].map, i);
        FUZZ_CHECK(entry->key == maps[at].keys[i] && entry->value == maps[at].values[i]);
        FUZZ_CHECK(places_read(map, entry->key) == &entry->value);
    }
}

void map_use(void)
{
    int at = take() % MAPS;
    uint8_t how = take(), key = take() % KEYS;
    struct home *home = &maps[at].home;
    if (!home->lives) {
        uint32_t capacity = key % (CAPACITY + 1);
        if (!make_home(home, how)) return;
        settle(home, places_init(api.w, &maps[at].map, home->where, capacity), capacity);
        maps[at].count = 0;
        maps[at].capacity = capacity;
        return;
    }
    if (!is_there(home)) {
        FUZZ_CHECK(!api.checked || maps[at].capacity == 0 ||
                   places_insert(api.w, &maps[at].map, 1, 1, NULL) == FA_MAP_FULL);
        return;
    }
    if (how % 8 < 4) {
        map_put(at, key, ++api.serial);
    } else if (how % 8 < 6) {
        map_remove(at, key);
    } else if (how == 6) {
        places_clear(api.w, &maps[at].map);
        maps[at].count = 0;
    }
    FUZZ_CHECK(places_contains(api.w, &maps[at].map, key) == (find_key(at, key) < maps[at].count));
    map_check(at);
    if (how != 7) return;
    places_exit(api.w, &maps[at].map);
    *home = (struct home){.lives = false};
}

void collections_end(void)
{
    for (int i = 0; i < VECTORS; i++) {
        if (vectors[i].home.lives && !vectors[i].home.gone) numbers_exit(api.w, &vectors[i].vector);
        vectors[i].home = (struct home){.lives = false};
    }
    for (int i = 0; i < MAPS; i++) {
        if (maps[i].home.lives && !maps[i].home.gone) places_exit(api.w, &maps[i].map);
        maps[i].home = (struct home){.lives = false};
    }
}
