// SPDX-License-Identifier: MIT
//
// Groups: what many lanes get from one, what a free does and when, ids, cleanups, limits, and what is refused.
#include "support.h"

static fa_group create_group(fa_worker *w, const char *name)
{
    fa_group group;
    assert_int_equal(fa_group_create(w, name, &group), FA_OK);
    assert_true(group.id != 0);
    return group;
}

static fa_group_info info_of(fa_worker *w, fa_group group)
{
    fa_group_info info;
    memset(&info, 0xee, sizeof info);
    assert_int_equal(fa_group_read(w, group, &info), FA_OK);
    return info;
}

/// Frames until nothing of any group is on its way home.
static fa_stats settle(fa_system *fa)
{
    fa_stats stats;
    double start = seconds_now();
    do {
        begin(fa);
        end(fa);
        stats = stats_of(fa);
    } while (stats.group_objects != 0 && seconds_now() - start < 20);
    begin(fa);
    end(fa);
    return stats_of(fa);
}

// Allocation ------------------------------------------------------------------------------------------------------------

static void names_sizes_and_counts(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    fa_group one = create_group(w, "one"), two = create_group(w, "one"); // names may repeat
    assert_true(one.id != two.id);
    assert_true(fa_group_exists(w, one) && fa_group_exists(w, two));
    assert_int_equal(info_of(w, one).objects, 0);
    assert_int_equal(info_of(w, one).bytes, 0);
    assert_non_null(fa_group_alloc(w, one, 100, 16));
    assert_non_null(fa_group_new(w, one, uint64_t));
    assert_non_null(fa_group_array(w, one, uint32_t, 12));
    assert_non_null(fa_group_alloc(w, two, 1, 0));
    fa_group_info info = info_of(w, one);
    assert_string_equal(info.name, "one");
    assert_int_equal(info.objects, 3);
    assert_int_equal(info.bytes, 112 + 16 + 48);
    assert_int_equal(info_of(w, two).bytes, 16);
    assert_int_equal(fa_group_free(w, one), FA_OK);
    assert_false(fa_group_exists(w, one));
    assert_true(fa_group_exists(w, two));
    char longest[FA_NAME_MAX + 2];
    memset(longest, 'x', sizeof longest);
    longest[FA_NAME_MAX] = '\0';
    fa_group third = create_group(w, longest);
    memset(longest, 'y', FA_NAME_MAX); // the name was copied
    assert_int_equal(info_of(w, third).name[FA_NAME_MAX - 1], 'x');
    assert_int_equal(strlen(info_of(w, third).name), FA_NAME_MAX);
    assert_int_equal(fa_group_free(w, two), FA_OK);
    assert_int_equal(fa_group_free(w, third), FA_OK);
    assert_int_equal(settle(fa).group_bytes, 0);
    destroy_quiet(fa, &to);
}

static void aligned_by_address(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    fa_group group = create_group(w, "aligned");
    static unsigned char *p[4 * 23];
    uint32_t n = 0;
    for (size_t align = 1; align <= 4 * MIB; align *= 2) {
        for (size_t i = 0; i < 4; i++, n++) {
            size_t size = 1 + i * 77 + n;
            p[n] = fa_group_alloc(w, group, size, align);
            assert_non_null(p[n]);
            assert_int_equal((uintptr_t)p[n] % align, 0);
            assert_int_equal((uintptr_t)p[n] % 16, 0);
            fill(p[n], size, n);
        }
    }
    for (uint32_t i = 0; i < n; i++) assert_true(is_filled(p[i], 1 + i % 4 * 77 + i, i));
    assert_int_equal(info_of(w, group).objects, n);
    assert_int_equal(fa_group_free(w, group), FA_OK);
    destroy_quiet(fa, &to);
}

static void any_size(const test_case *at)
{
    static const size_t sizes[] = {1,    15,       16,       17,       200,          249,       1000,    1025,
                                   4096, 16 * KIB, 33 * KIB, 64 * KIB, 64 * KIB + 1, 700 * KIB, 2 * MIB, 5 * MIB + 3};
    enum { SIZES = sizeof sizes / sizeof sizes[0] };
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    for (int round = 0; round < 3; round++) {
        fa_group group = create_group(w, "sizes");
        unsigned char *p[3 * SIZES];
        uint64_t bytes = 0;
        for (uint32_t i = 0; i < 3 * SIZES; i++) {
            p[i] = fa_group_alloc(w, group, sizes[i % SIZES], 0);
            assert_non_null(p[i]);
            fill(p[i], sizes[i % SIZES], i);
            bytes += (sizes[i % SIZES] + 15) / 16 * 16;
        }
        for (uint32_t i = 0; i < 3 * SIZES; i++) assert_true(is_filled(p[i], sizes[i % SIZES], i));
        assert_int_equal(info_of(w, group).bytes, bytes);
        assert_int_equal(fa_group_free(w, group), FA_OK);
    }
    assert_int_equal(settle(fa).group_bytes, 0);
    destroy_quiet(fa, &to);
}

/// A handful of small objects takes 1.4 KiB a group, not a unit of 64 KiB: 1000 groups fit into one block.
static void small_groups_are_small(const test_case *at)
{
    enum { GROUPS = 1000 };
    sink to;
    fa_config config = case_config(at, &to);
    config.attached_max = 0;
    config.memory_max = 2 * MIB;
    fa_system *fa = create(&config);
    fa_worker *w = fa_self(fa);
    static fa_group groups[GROUPS];
    for (uint32_t i = 0; i < GROUPS; i++) {
        groups[i] = create_group(w, "small");
        for (int j = 0; j < 3; j++) assert_non_null(fa_group_alloc(w, groups[i], 40, 8));
    }
    begin(fa);
    end(fa);
    fa_stats stats = stats_of(fa);
    assert_int_equal(stats.groups, GROUPS);
    assert_int_equal(stats.group_objects, 3 * GROUPS);
    assert_int_equal(stats.group_bytes, 3 * GROUPS * 48);
    assert_int_equal(stats.group_refused, 0);
    for (uint32_t i = 0; i < GROUPS; i++) assert_int_equal(fa_group_free(w, groups[i]), FA_OK);
    assert_int_equal(settle(fa).groups, 0);
    destroy_quiet(fa, &to);
}

// Many lanes ------------------------------------------------------------------------------------------------------------

typedef struct crowd {
    fa_group group;
    atomic_uint lanes;
    atomic_uint cleaned;
    uint32_t objects;
} crowd;

static size_t size_at(uint32_t lane, uint32_t i)
{
    return 1 + (lane * 31 + i * 17) % 700 + (i % 97 == 0 ? 30000 : 0);
}

typedef struct objects_seen {
    unsigned char *objects[4000];
} objects_seen;

static objects_seen seen_by[8];

static void allocate_and_check(fa_worker *w, void *arg)
{
    crowd *all = arg;
    uint32_t lane = atomic_fetch_add(&all->lanes, 1u);
    for (uint32_t i = 0; i < all->objects; i++) {
        size_t size = size_at(lane, i);
        unsigned char *p = fa_group_alloc(w, all->group, size, (size_t)1 << i % 8);
        EXPECT(p != NULL && (uintptr_t)p % ((size_t)1 << i % 8) == 0);
        if (p == NULL) return;
        fill(p, size, lane * 1000 + i);
        seen_by[lane].objects[i] = p;
    }
    for (uint32_t i = 0; i < all->objects; i++)
        EXPECT(is_filled(seen_by[lane].objects[i], size_at(lane, i), lane * 1000 + i));
}

static void all_lanes_allocate_from_one(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    uint64_t home = 0;
    for (int round = 0; round < 6; round++) {
        crowd all = {.group = create_group(w, "shared"), .objects = ROUNDS(2000)};
        begin(fa);
        everyone(fa, allocate_and_check, &all);
        end(fa);
        fa_group_info info = info_of(w, all.group);
        assert_int_equal(info.objects, (at->workers + 1) * all.objects);
        fa_stats stats = stats_of(fa);
        assert_int_equal(stats.group_objects, info.objects);
        assert_int_equal(stats.group_bytes, info.bytes);
        assert_int_equal(stats.groups, 1);
        for (uint32_t lane = 0; lane <= at->workers; lane++)
            for (uint32_t i = 0; i < all.objects; i++)
                assert_true(is_filled(seen_by[lane].objects[i], size_at(lane, i), lane * 1000 + i));
        assert_int_equal(fa_group_free(w, all.group), FA_OK);
        stats = settle(fa);
        assert_int_equal(stats.group_bytes, 0);
        assert_int_equal(stats.groups, 0);
        uint64_t used = stats.memory_bytes - stats.memory_free;
        if (round == 1) home = used;
        if (round > 1) assert_true(used <= home + (at->workers + 2) * 2 * MIB); // whoever ran what
    }
    destroy_quiet(fa, &to);
}

// Tags ------------------------------------------------------------------------------------------------------------------

/// Who allocates pays, until the group ends: exactly for large objects, with the rest of one window for small ones.
static void tags_pay_for_what_they_allocate(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    fa_tag art = tag_of(fa, "level::art"), sound = tag_of(fa, "level::sound"), level = tag_of(fa, "level");
    fa_group group = create_group(w, "tagged");
    for (uint32_t i = 0; i < 400; i++) {
        FA_TAG_AT(w, i % 2 == 0 ? art : sound);
        assert_non_null(fa_group_alloc(w, group, i % 2 == 0 ? 1000 : 48, 0));
        if (i == 50) {
            FA_TAG_AT(w, sound);
            assert_non_null(fa_group_alloc(w, group, 100 * KIB, 4096));
        }
    }
    fa_tag_stats of_art = tag_stats(fa, art), of_sound = tag_stats(fa, sound);
    uint64_t art_bytes = 200 * 1008, sound_bytes = 200 * 48 + 100 * KIB;
    assert_in_range(of_art.held[FA_TAG_GROUP], art_bytes, art_bytes + 64 * KIB);
    assert_in_range(of_sound.held[FA_TAG_GROUP], sound_bytes, sound_bytes + 64 * KIB);
    assert_int_equal(tag_stats(fa, level).charged, of_art.charged + of_sound.charged);
    assert_non_null(fa_group_alloc(w, group, 1000, 0)); // for nobody
    assert_int_equal(tag_stats(fa, art).held[FA_TAG_GROUP], of_art.held[FA_TAG_GROUP]);
    assert_int_equal(fa_group_free(w, group), FA_OK);
    settle(fa);
    assert_int_equal(tag_stats(fa, art).held[FA_TAG_GROUP], 0);
    assert_int_equal(tag_stats(fa, sound).held[FA_TAG_GROUP], 0);
    assert_int_equal(tag_stats(fa, level).charged, 0);
    destroy_quiet(fa, &to);
}

static void a_hard_budget_holds_to_the_byte(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    fa_tag tag = tag_of(fa, "tight");
    for (size_t size = 16; size <= 40000; size = size * 3 + 16) {
        assert_int_equal(fa_budget_set(fa, tag, 0, 50 * size), FA_OK);
        fa_group group = create_group(w, "tight");
        begin(fa);
        uint64_t got = 0;
        {
            FA_TAG_AT(w, tag);
            while (fa_group_alloc(w, group, size, 0) != NULL) got++;
        }
        assert_int_equal(got, 50); // equality is allowed
        assert_int_equal(tag_stats(fa, tag).charged, 50 * size);
        assert_reported(&to, 302, 1);
        assert_non_null(fa_group_alloc(w, group, size, 0)); // without the tag
        assert_int_equal(fa_group_free(w, group), FA_OK);
        end(fa);
        settle(fa);
        assert_int_equal(tag_stats(fa, tag).charged, 0);
    }
    destroy_quiet(fa, &to);
}

typedef struct tagged {
    fa_group group;
    fa_tag tag;
} tagged;

static void allocate_tagged(fa_worker *w, void *arg)
{
    tagged *all = arg;
    FA_TAG_AT(w, all->tag);
    for (uint32_t i = 0; i < 1000; i++) (void)fa_group_alloc(w, all->group, 16 + i % 500, 0);
    EXPECT(tag_stats(w->system, all->tag).charged <= MIB);
}

static void lanes_together_stay_within_a_budget(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    tagged all = {.tag = tag_of(fa, "together")};
    assert_int_equal(fa_budget_set(fa, all.tag, 0, MIB), FA_OK);
    for (int round = 0; round < 5; round++) {
        all.group = create_group(w, "together");
        begin(fa);
        for (int i = 0; i < 6; i++) everyone(fa, allocate_tagged, &all);
        end(fa);
        assert_true(tag_stats(fa, all.tag).peak <= MIB);
        assert_true(tag_stats(fa, all.tag).charged > MIB - 2048);
        assert_true(info_of(w, all.group).bytes <= MIB);
        assert_int_equal(fa_group_free(w, all.group), FA_OK);
        settle(fa);
        assert_int_equal(tag_stats(fa, all.tag).charged, 0);
    }
    assert_reported(&to, 302, sink_count(&to, 302));
    destroy_quiet(fa, &to);
}

typedef struct rash {
    fa_system *fa;
    fa_group group;
    uint32_t freed;
} rash;

static void free_when_warned(const fa_diagnostic *diagnostic, void *context)
{
    rash *all = context;
    if (strcmp(diagnostic->code, "FA303") != 0) return;
    all->freed += fa_group_free(fa_self(all->fa), all->group) == FA_OK;
    // What the allocation under way writes must not be this one's.
    unsigned char *p = fa_heap_alloc(fa_self(all->fa), 900, 16);
    fill(p, 900, 3);
    fa_heap_free(fa_self(all->fa), p);
}

/// A listener that hears of a budget in the middle of an allocation, and frees the group.
static void a_listener_may_free_the_group(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    rash all = {0};
    config.report = free_when_warned;
    config.report_context = &all;
    fa_system *fa = all.fa = create(&config);
    fa_worker *w = fa_self(fa);
    fa_tag tag = tag_of(fa, "watched");
    assert_int_equal(fa_budget_set(fa, tag, 5000, 0), FA_OK);
    for (uint32_t round = 1; round <= 5; round++) {
        all.group = create_group(w, "rash");
        {
            FA_TAG_AT(w, tag);
            for (uint32_t i = 0; i < 100 && all.freed < round; i++) {
                void *p = fa_group_alloc(w, all.group, 100, 0);
                if (p != NULL) fill(p, 100, i); // gone with the next boundary
            }
        }
        assert_int_equal(all.freed, round);
        assert_null(fa_group_alloc(w, all.group, 10, 0));
        assert_int_equal(settle(fa).group_bytes, 0);
        assert_int_equal(tag_stats(fa, tag).charged, 0);
    }
    assert_int_equal(fa_destroy(fa), FA_OK);
}

// The end ---------------------------------------------------------------------------------------------------------------

static void freed_ids_are_refused(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    fa_group gone = create_group(w, "gone");
    assert_non_null(fa_group_alloc(w, gone, 10, 0));
    assert_int_equal(fa_group_free(w, gone), FA_OK);
    fa_group next = create_group(w, "next"); // in the same place
    assert_true(next.id != gone.id);
    fa_group_info info;
    fa_group wrong[] = {gone, {0}, {UINT64_MAX}, {next.id + 1}, {next.id ^ UINT64_C(1) << 40}, {1}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_null(fa_group_alloc(w, wrong[i], 10, 0));
        assert_null(fa_group_alloc_array(w, wrong[i], 2, 10, 0));
        assert_int_equal(fa_group_free(w, wrong[i]), FA_ERROR_STALE);
        assert_reported(&to, 201, at->checked ? 3 : 0);
        assert_int_equal(fa_group_read(w, wrong[i], &info), FA_ERROR_STALE);
        assert_int_equal(info.objects, 0);
        assert_false(fa_group_exists(w, wrong[i]));
    }
    assert_int_equal(info_of(w, next).objects, 0);
    assert_int_equal(fa_group_free(w, next), FA_OK);
    destroy_quiet(fa, &to);
}

static void ids_are_not_used_again(const test_case *at)
{
    enum { IDS = 5000 };
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    uint64_t last = 0;
    for (uint32_t i = 0; i < IDS; i++) {
        fa_group group = create_group(w, "again");
        assert_true(group.id > last); // the serial is in the high bits
        last = group.id;
        assert_int_equal(fa_group_free(w, group), FA_OK);
    }
    destroy_quiet(fa, &to);
}

typedef struct order {
    uint32_t count;
    uint32_t seen[64];
} order;

typedef struct numbered {
    uint32_t number;
    uint32_t check;
} numbered;

static void note_order(fa_worker *w, void *object, void *context)
{
    order *to = context;
    const numbered *n = object;
    EXPECT(w != NULL && n->check == ~n->number);
    to->seen[to->count++] = n->number;
}

static void cleanups_run_newest_first(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    order seen = {0};
    fa_group group = create_group(w, "files"), other = create_group(w, "other");
    for (uint32_t i = 0; i < 40; i++) {
        numbered *n = fa_group_new_cleaned(w, group, numbered, note_order, &seen);
        assert_non_null(n);
        *n = (numbered){i, ~i};
        assert_non_null(fa_group_alloc(w, group, 100, 0)); // has none
    }
    numbered *big = fa_group_alloc_cleaned(w, other, 100000, 4096, note_order, &seen);
    assert_int_equal((uintptr_t)big % 4096, 0);
    *big = (numbered){99, ~UINT32_C(99)};
    assert_int_equal(info_of(w, group).objects, 80);
    assert_int_equal(info_of(w, group).bytes, 40 * (16 + 32 + 112));
    assert_int_equal(fa_group_free(w, group), FA_OK);
    assert_int_equal(seen.count, 40);
    for (uint32_t i = 0; i < 40; i++) assert_int_equal(seen.seen[i], 39 - i);
    assert_int_equal(fa_group_free(w, other), FA_OK);
    assert_int_equal(seen.count, 41);
    assert_int_equal(seen.seen[40], 99);
    destroy_quiet(fa, &to);
}

typedef struct lane_order {
    uint32_t last_lane;
    uint32_t last_number;
    uint32_t count;
    uint32_t wrong;
} lane_order;

typedef struct mark {
    uint32_t lane, number;
} mark;

static void note_lane_order(fa_worker *w, void *object, void *context)
{
    (void)w;
    lane_order *to = context;
    const mark *m = object;
    if (to->count++ > 0 && !(m->lane > to->last_lane || (m->lane == to->last_lane && m->number < to->last_number)))
        to->wrong++;
    to->last_lane = m->lane;
    to->last_number = m->number;
}

typedef struct registered {
    fa_group group;
    lane_order order;
} registered;

static void register_marks(fa_worker *w, void *arg)
{
    registered *all = arg;
    for (uint32_t i = 0; i < 500; i++) {
        mark *m = fa_group_new_cleaned(w, all->group, mark, note_lane_order, &all->order);
        EXPECT(m != NULL);
        if (m != NULL) *m = (mark){w->index, i};
    }
}

static void cleanups_go_lane_by_lane(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    registered all = {.group = create_group(fa_self(fa), "lanes")};
    begin(fa);
    everyone(fa, register_marks, &all);
    assert_int_equal(fa_group_free(fa_self(fa), all.group), FA_OK);
    assert_int_equal(all.order.count, 500 * (at->workers + 1));
    assert_int_equal(all.order.wrong, 0);
    end(fa);
    destroy_quiet(fa, &to);
}

typedef struct nested {
    fa_group own, inner;
    void *pool_object;
    int runs;
} nested;

static void use_the_library(fa_worker *w, void *object, void *context)
{
    (void)object;
    nested *all = context;
    all->runs++;
    EXPECT(!fa_group_exists(w, all->own));
    EXPECT(fa_group_alloc(w, all->own, 10, 0) == NULL);
    EXPECT(fa_group_free(w, all->own) == FA_ERROR_STALE);
    fa_pool_free(w, all->pool_object);
    if (fa_group_exists(w, all->inner)) EXPECT(fa_group_free(w, all->inner) == FA_OK);
    fa_group fresh;
    EXPECT(fa_group_create(w, "in a cleanup", &fresh) == FA_OK);
    EXPECT(fa_group_alloc(w, fresh, 10, 0) != NULL);
    EXPECT(fa_group_free(w, fresh) == FA_OK);
}

static void cleanups_may_use_the_library(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    nested all = {create_group(w, "outer"), create_group(w, "inner"), fa_pool_alloc(w, 64), 0};
    order inner = {0};
    numbered *n = fa_group_new_cleaned(w, all.inner, numbered, note_order, &inner);
    *n = (numbered){7, ~UINT32_C(7)};
    assert_non_null(fa_group_alloc_cleaned(w, all.own, 8, 8, use_the_library, &all));
    assert_int_equal(fa_group_free(w, all.own), FA_OK);
    assert_int_equal(all.runs, 1);
    assert_int_equal(inner.count, 1);
    assert_reported(&to, 201, at->checked ? 2 : 0);
    begin(fa);
    end(fa);
    assert_int_equal(stats_of(fa).pool_live, 0);
    destroy_quiet(fa, &to);
}

static void destroy_cleans_up_and_names_what_is_left(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    order seen = {0};
    fa_group group = create_group(w, "level seven");
    numbered *n = fa_group_new_cleaned(w, group, numbered, note_order, &seen);
    *n = (numbered){1, ~UINT32_C(1)};
    assert_int_equal(fa_destroy(fa), FA_OK);
    assert_int_equal(seen.count, 1);
    assert_non_null(strstr(to.message, "level seven"));
    assert_non_null(strstr(to.message, "1 objects"));
    assert_reported(&to, 910, 1);

    fa = create_case(at, &to);
    w = fa_self(fa);
    for (int i = 0; i < 20; i++) assert_non_null(fa_group_alloc(w, create_group(w, "many"), 10, 0));
    assert_int_equal(fa_destroy(fa), FA_OK);
    assert_non_null(strstr(to.message, "12 groups more"));
    assert_reported(&to, 910, 9);
}

static void free_the_context(fa_worker *w, void *object, void *context)
{
    (void)object;
    fa_pool_free(w, context);
}

static void drop_the_cell(fa_worker *w, void *object, void *context)
{
    (void)object;
    EXPECT(fa_cell_drop(w, context) == FA_OK);
}

/// What the cleanups of fa_destroy() free or retire was freed: only the group is reported.
static void destroy_frees_what_cleanups_free(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    static fa_cell cell;
    fa_group group = create_group(w, "owner");
    void *owned = fa_pool_alloc(w, 100), *retired = fa_pool_alloc(w, 100);
    assert_int_equal(fa_cell_publish(w, &cell, retired), FA_OK);
    assert_non_null(fa_group_alloc_cleaned(w, group, 10, 0, free_the_context, owned));
    assert_non_null(fa_group_alloc_cleaned(w, group, 10, 0, drop_the_cell, &cell));
    assert_int_equal(fa_destroy(fa), FA_OK);
    assert_reported(&to, 910, 1);
}

/// A job that uses a group while another lane frees it, and allocates from it meanwhile: nothing it writes to is anybody else's.
typedef struct race {
    fa_group group;
    uint32_t lanes;
    atomic_uint registered, cleaned, freed, arrived;
} race;

static void count_cleaned(fa_worker *w, void *object, void *context)
{
    (void)w, (void)object;
    atomic_fetch_add(&((race *)context)->cleaned, 1u);
}

/// Returns when all lanes have called it `times` times.
static void meet(race *all, uint32_t times)
{
    atomic_fetch_add(&all->arrived, 1u);
    while (atomic_load(&all->arrived) < times * all->lanes) sched_yield();
}

static void allocate_until_freed(fa_worker *w, void *arg)
{
    race *all = arg;
    unsigned char *mine[64];
    uint32_t n = 0, key = w->index;
    uint64_t made = 0;
    for (;; made++) {
        unsigned char *p = made % 3 == 0 ? fa_group_alloc_cleaned(w, all->group, 48, 16, count_cleaned, all)
                                         : fa_group_alloc(w, all->group, made % 50 == 1 ? 20000 : 48, 16);
        if (p == NULL) break;
        if (made % 3 == 0) atomic_fetch_add(&all->registered, 1u);
        fill(p, 48, key);
        if (n < 64) mine[n++] = p;
        if (made == 300 + w->index * 10 && w->index % 2 == 0 && fa_group_free(w, all->group) == FA_OK)
            atomic_fetch_add(&all->freed, 1u);
        if (made == 20000) break;
    }
    bool by_me = made == 301 + w->index * 10 && w->index % 2 == 0;
    meet(all, 1);
    void *other[50];
    for (int i = 0; i < 50; i++) {
        other[i] = fa_heap_alloc(w, 1000, 16);
        memset(other[i], 0xee, 1000);
    }
    meet(all, 2);
    // Others freed it, but this job has not ended: its objects are as it left them.
    for (uint32_t i = 0; !by_me && i < n; i++) EXPECT(is_filled(mine[i], 48, key));
    for (int i = 0; i < 50; i++) fa_heap_free(w, other[i]);
}

static void freed_while_others_allocate(const test_case *at)
{
    sink to;
    test_case unchecked = *at; // a refused id is reported there
    fa_config config = case_config(&unchecked, &to);
    fa_system *fa = create(&config);
    fa_worker *w = fa_self(fa);
    for (int round = 0; round < ROUNDS(60); round++) {
        race all = {.group = create_group(w, "raced"), .lanes = at->workers + 1};
        begin(fa);
        everyone(fa, allocate_until_freed, &all);
        assert_int_equal(atomic_load(&all.freed), 1);
        assert_false(fa_group_exists(w, all.group));
        assert_int_equal(atomic_load(&all.registered), atomic_load(&all.cleaned));
        end(fa);
    }
    fa_stats stats = settle(fa);
    assert_int_equal(stats.group_objects, 0);
    assert_int_equal(stats.group_bytes, 0);
    assert_int_equal(stats.groups, 0);
    if (at->checked) {
        assert_true(sink_count(&to, 201) > 0);
        assert_reported(&to, 201, sink_count(&to, 201));
    }
    destroy_quiet(fa, &to);
}

typedef struct churn {
    atomic_uint cleaned;
} churn;

static void count_churn(fa_worker *w, void *object, void *context)
{
    (void)w;
    EXPECT(is_filled(object, 32, 5));
    atomic_fetch_add(&((churn *)context)->cleaned, 1u);
}

static void create_and_free(fa_worker *w, void *arg)
{
    for (int i = 0; i < 300; i++) {
        fa_group group;
        EXPECT(fa_group_create(w, "churn", &group) == FA_OK);
        void *p = fa_group_alloc_cleaned(w, group, 32, 16, count_churn, arg);
        EXPECT(p != NULL);
        if (p != NULL) fill(p, 32, 5);
        EXPECT(fa_group_alloc(w, group, 1000, 64) != NULL);
        EXPECT(fa_group_exists(w, group));
        EXPECT(fa_group_free(w, group) == FA_OK);
        EXPECT(!fa_group_exists(w, group));
    }
}

static void all_lanes_create_and_free(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    for (int round = 0; round < ROUNDS(8); round++) {
        churn all = {0};
        begin(fa);
        everyone(fa, create_and_free, &all);
        end(fa);
        assert_int_equal(atomic_load(&all.cleaned), 300 * (at->workers + 1));
    }
    fa_stats stats = settle(fa);
    assert_int_equal(stats.groups, 0);
    assert_int_equal(stats.group_bytes, 0);
    destroy_quiet(fa, &to);
}

/// With no other lane at work the memory is there again at once, without a frame.
static void freed_at_once_when_alone(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    config.memory_max = 64 * MIB;
    config.reserve_bytes = 256 * MIB;
    config.attached_max = 1;
    fa_system *fa = create(&config);
    fa_worker *w = fa_self(fa);
    begin(fa); // workers that still start up come to rest
    end(fa);
    struct timespec rest = {0, 20000000};
    nanosleep(&rest, NULL);
    for (int round = 0; round < 20; round++) {
        fa_group level = create_group(w, "level");
        for (int i = 0; i < 6; i++) {
            void *p = fa_group_alloc(w, level, 4 * MIB, 0);
            assert_non_null(p);
            memset(p, round, 100);
        }
        assert_int_equal(fa_group_free(w, level), FA_OK);
    }
    destroy_quiet(fa, &to);
}

// Limits and misuse -----------------------------------------------------------------------------------------------------

static void a_full_registry_answers(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    config.groups_max = 3;
    fa_system *fa = create(&config);
    fa_worker *w = fa_self(fa);
    fa_group groups[3], none = {1};
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 3; i++) groups[i] = create_group(w, "full");
        assert_int_equal(fa_group_create(w, "one too many", &none), FA_ERROR_FULL);
        assert_int_equal(none.id, 0);
        for (int i = 0; i < 3; i++) assert_int_equal(fa_group_free(w, groups[i]), FA_OK);
    }
    destroy_quiet(fa, &to);
    config.groups_max = 0;
    fa = create(&config);
    assert_int_equal(fa_group_create(fa_self(fa), "none at all", &none), FA_ERROR_FULL);
    destroy_quiet(fa, &to);
    config.groups_max = 32769;
    assert_int_equal(fa_create(&config, &fa), FA_ERROR_INVALID);
    assert_non_null(strstr(to.message, "groups_max"));
    assert_reported(&to, 907, 1);
}

static void memory_max_holds(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    config.attached_max = 0;
    config.memory_max = 16 * MIB;
    config.reserve_bytes = 64 * MIB;
    fa_system *fa = create(&config);
    fa_worker *w = fa_self(fa);
    for (int round = 0; round < 3; round++) {
        fa_group group = create_group(w, "greedy");
        uint64_t got = 0;
        while (fa_group_alloc(w, group, 5000, 0) != NULL && got < 100000) got++;
        assert_true(got * 5000 > 8 * MIB && got * 5000 <= 16 * MIB);
        assert_null(fa_group_alloc(w, group, 20 * MIB, 0));
        assert_int_equal(info_of(w, group).objects, got);
        assert_reported(&to, 301, 1); // once a frame and lane
        assert_int_equal(fa_group_free(w, group), FA_OK);
        fa_stats stats = settle(fa);
        assert_int_equal(stats.group_refused, 2 * (round + 1));
        assert_true(stats.memory_peak <= 16 * MIB);
        assert_int_equal(stats.group_bytes, 0);
    }
    destroy_quiet(fa, &to);
}

static void bad_requests_are_answered(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    fa_group group = {77};
    char too_long[FA_NAME_MAX + 2];
    memset(too_long, 'x', sizeof too_long);
    too_long[FA_NAME_MAX + 1] = '\0';
    assert_int_equal(fa_group_create(NULL, "x", &group), FA_ERROR_INVALID);
    assert_int_equal(group.id, 0);
    assert_int_equal(fa_group_create(w, NULL, &group), FA_ERROR_INVALID);
    assert_int_equal(fa_group_create(w, "", &group), FA_ERROR_INVALID);
    assert_int_equal(fa_group_create(w, too_long, &group), FA_ERROR_INVALID);
    assert_int_equal(fa_group_create(w, "x", NULL), FA_ERROR_INVALID);
    group = create_group(w, "good");
    assert_null(fa_group_alloc(NULL, group, 10, 0));
    assert_null(fa_group_alloc_array(NULL, group, 10, 10, 0));
    assert_null(fa_group_alloc_cleaned(NULL, group, 10, 0, count_churn, NULL));
    assert_null(fa_group_alloc(w, group, 0, 16));
    assert_null(fa_group_alloc_array(w, group, 0, 16, 16));
    assert_quiet(&to);
    assert_null(fa_group_alloc(w, group, 10, 3));
    assert_null(fa_group_alloc(w, group, 10, SIZE_MAX));
    assert_null(fa_group_alloc_cleaned(w, group, 10, 0, NULL, NULL));
    assert_reported(&to, 903, 3);
    assert_null(fa_group_alloc(w, group, SIZE_MAX, 16));
    assert_null(fa_group_alloc(w, group, SIZE_MAX - 20, 16));
    assert_null(fa_group_alloc(w, group, 16, (size_t)1 << 63));
    assert_null(fa_group_alloc_cleaned(w, group, SIZE_MAX - 8, 16, count_churn, NULL));
    assert_reported(&to, 301, 1);                                         // once a frame and lane
    assert_null(fa_group_alloc_array(w, group, SIZE_MAX / 2 + 2, 2, 16)); // 2^64 + 2 bytes
    assert_reported(&to, 914, 1);
    assert_int_equal(info_of(w, group).objects, 0);
    assert_int_equal(fa_group_read(NULL, group, &(fa_group_info){0}), FA_ERROR_INVALID);
    assert_int_equal(fa_group_read(w, group, NULL), FA_ERROR_INVALID);
    assert_false(fa_group_exists(NULL, group));
    assert_int_equal(fa_group_free(NULL, group), FA_ERROR_INVALID);
    // No free by address.
    void *p = fa_group_alloc(w, group, 100, 0), *large = fa_group_alloc(w, group, 100000, 0);
    fa_pool_free(w, p);
    fa_heap_free(w, p);
    fa_heap_free(w, large);
    fa_free_any(fa, large);
    assert_reported(&to, 201, 4);
    assert_int_equal(fa_usable_size(fa, p), 0);
    assert_int_equal(fa_group_free(w, group), FA_OK);
    begin(fa);
    end(fa);
    assert_int_equal(stats_of(fa).group_refused, 4);
    destroy_quiet(fa, &to);
}

static void systems_do_not_share(const test_case *at)
{
    sink to, to_other;
    fa_system *fa = create_case(at, &to), *other = create_case(at, &to_other);
    fa_group group = create_group(fa_self(fa), "mine");
    (void)create_group(fa_self(other), "theirs");
    assert_non_null(fa_group_alloc(fa_self(fa), group, 1000, 0));
    begin(other);
    end(other);
    assert_int_equal(stats_of(other).group_bytes, 0);
    assert_int_equal(fa_destroy(other), FA_OK);
    assert_non_null(strstr(to_other.message, "theirs"));
    assert_reported(&to_other, 910, 1);
    assert_int_equal(info_of(fa_self(fa), group).objects, 1);
    assert_int_equal(fa_group_free(fa_self(fa), group), FA_OK);
    destroy_quiet(fa, &to);
}

int main(int argc, char **argv)
{
    static const test_entry entries[] = {
        EACH(names_sizes_and_counts),
        EACH_OF(aligned_by_address, "0", "ny"),
        EACH_OF(any_size, COUNTED("02"), "ny"),
        EACH_OF(small_groups_are_small, COUNTED("0"), "ny"),
        EACH_OF(all_lanes_allocate_from_one, COUNTED("0124"), "ny"),
        EACH_OF(tags_pay_for_what_they_allocate, COUNTED("02"), "ny"),
        EACH_OF(a_hard_budget_holds_to_the_byte, COUNTED("02"), "ny"),
        EACH_OF(lanes_together_stay_within_a_budget, COUNTED("0124"), "ny"),
        EACH_OF(a_listener_may_free_the_group, COUNTED("02"), "ny"),
        EACH(freed_ids_are_refused),
        EACH_OF(ids_are_not_used_again, "02", "ny"),
        EACH_OF(cleanups_run_newest_first, "02", "ny"),
        EACH(cleanups_go_lane_by_lane),
        EACH_OF(cleanups_may_use_the_library, COUNTED("02"), "ny"),
        EACH_OF(destroy_cleans_up_and_names_what_is_left, "02", "ny"),
        EACH_OF(destroy_frees_what_cleanups_free, "02", "ny"),
        EACH_OF(freed_while_others_allocate, COUNTED("0124"), "ny"),
        EACH_OF(all_lanes_create_and_free, COUNTED("0124"), "ny"),
        EACH_OF(freed_at_once_when_alone, "02", "ny"),
        EACH_OF(a_full_registry_answers, "02", "ny"),
        EACH_OF(memory_max_holds, COUNTED("02"), "ny"),
        EACH_OF(bad_requests_are_answered, COUNTED("02"), "ny"),
        EACH_OF(systems_do_not_share, COUNTED("02"), "ny"),
    };
    return RUN_MATRIX("group", entries, argc, argv);
}
