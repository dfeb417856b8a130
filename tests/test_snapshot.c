// SPDX-License-Identifier: MIT
//
// Snapshots say what the statistics say, lane by lane and class by class; the history keeps the last ones (test_steady: without allocating);
// graphs keep peaks; the JSON is read back with Jansson, odd names included.
#include "support.h"

#include <jansson.h>
#include <pthread.h>

static fa_snapshot shot; // large

static void take(fa_system *fa)
{
    memset(&shot, 0xee, sizeof shot);
    assert_int_equal(fa_snapshot_take(fa, &shot), FA_OK);
}

static const fa_class_snapshot *class_of(size_t size)
{
    return &shot.classes[fa_class_of(size)];
}

// Reading JSON back -----------------------------------------------------------------------------------------------------

typedef struct paper {
    char text[1 << 17];
    size_t size;
    int fail_after; // -1: never
} paper;

static bool write_paper(const void *data, size_t size, void *context)
{
    paper *to = context;
    if (to->fail_after >= 0 && to->fail_after-- == 0) return false;
    assert_true(to->size + size < sizeof to->text && size <= 4096);
    memcpy(to->text + to->size, data, size);
    to->size += size;
    return true;
}

static json_t *read_back(const fa_snapshot *from)
{
    static paper file;
    file.size = 0;
    file.fail_after = -1;
    assert_int_equal(fa_snapshot_write_json(from, write_paper, &file), FA_OK);
    json_error_t error;
    json_t *root = json_loadb(file.text, file.size, JSON_REJECT_DUPLICATES, &error);
    if (root == NULL) print_error("%s at line %d, byte %d\n", error.text, error.line, error.position);
    assert_non_null(root);
    return root;
}

static uint64_t number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_integer(value)) print_error("no number %s\n", key);
    assert_true(json_is_integer(value));
    return (uint64_t)json_integer_value(value);
}

// Taking ----------------------------------------------------------------------------------------------------------------

static void allocate_here(fa_worker *w, void *arg)
{
    (void)arg;
    EXPECT(fa_frame_alloc(w, 10000 * (w->index + 1)) != NULL);
}

static void figures_are_those_of_the_lanes(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    take(fa);
    assert_int_equal(shot.frame, 0);
    for (int i = 0; i < 5; i++) {
        begin(fa);
        everyone(fa, allocate_here, NULL);
        end(fa);
    }
    begin(fa);
    end(fa);
    take(fa);
    fa_stats stats = stats_of(fa);
    assert_int_equal(shot.version, FA_SNAPSHOT_VERSION);
    assert_int_equal(shot.frame, 6);
    assert_memory_equal(&shot.stats, &stats, sizeof stats);
    uint64_t capacity = 0, jobs = 0;
    for (uint32_t lane = 0; lane < shot.lane_count; lane++) {
        capacity += shot.lanes[lane].capacity;
        jobs += shot.lanes[lane].jobs;
        assert_int_equal(shot.lanes[lane].used, 0);
        if (lane <= at->workers)
            assert_true(shot.lanes[lane].peak >= 10000 * (lane + 1) && shot.lanes[lane].peak < 10100 * (lane + 1));
        else
            assert_int_equal(shot.lanes[lane].peak, 0);
    }
    assert_int_equal(capacity, stats.frame_blocks * 2 * MIB);
    assert_int_equal(jobs, stats.jobs);
    begin(fa);
    assert_non_null(fa_frame_alloc(fa_self(fa), 5000));
    end(fa);
    take(fa);
    assert_int_equal(shot.lanes[0].used, shot.stats.frame_bytes);
    assert_true(shot.lanes[0].used >= 5000 && shot.lanes[0].used < 5100);
    assert_int_equal(shot.lane_count, at->workers + 1 + 16);
    destroy_quiet(fa, &to);
}

static void pool_here(fa_worker *w, void *arg)
{
    void **objects = arg;
    for (int i = 0; i < 100; i++) objects[w->index * 100 + (uint32_t)i] = fa_pool_alloc(w, 256);
}

static void classes_are_those_of_the_pool(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    void *objects[500] = {NULL};
    uint32_t lanes = at->workers + 1;
    begin(fa);
    everyone(fa, pool_here, objects); // before anybody takes snapshots
    end(fa);
    take(fa);
    assert_int_equal(class_of(256)->size, 256);
    assert_int_equal(class_of(256)->live, 100 * lanes);
    assert_true(class_of(256)->slabs >= lanes);
    assert_true(class_of(256)->refills >= lanes);
    if (!at->checked && !WITH_ASAN) assert_true(class_of(256)->at_hand > 0);
    void *other = fa_pool_alloc(w, 64);
    begin(fa);
    end(fa);
    take(fa);
    uint64_t live = 0, refills = 0, bytes = 0;
    for (uint32_t i = 0; i < FA_CLASS_COUNT; i++) {
        live += shot.classes[i].live;
        refills += shot.classes[i].refills;
        bytes += shot.classes[i].live * shot.classes[i].size;
    }
    assert_int_equal(class_of(64)->live, 1);
    assert_int_equal(live, shot.stats.pool_live);
    assert_int_equal(bytes, shot.stats.pool_live_bytes);
    assert_int_equal(refills, shot.stats.pool_refills);
    for (uint32_t i = 0; i < 100 * lanes; i++) fa_pool_free(w, objects[i]);
    fa_pool_free(w, other);
    begin(fa);
    end(fa);
    take(fa);
    assert_int_equal(class_of(256)->live, 0);
    assert_int_equal(shot.stats.pool_live, 0);
    for (int i = 0; i < 300; i++) { // idle lanes give back what they keep
        begin(fa);
        end(fa);
    }
    take(fa);
    assert_int_equal(class_of(256)->slabs, 0);
    assert_int_equal(class_of(256)->at_hand, 0);
    destroy_quiet(fa, &to);
}

static void rows_show_frame_slots(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    config.frames_in_flight = 3;
    fa_system *fa = create(&config);
    begin(fa);
    take(fa);
    assert_int_equal(shot.row_count, 3);
    assert_int_equal(shot.rows_left_out, 0);
    assert_string_equal(shot.rows[1].name, "slot 1");
    assert_int_equal(shot.rows[1].values[1], 1); // frame 1 is alive
    assert_int_equal(shot.rows[2].values[1], 0);
    end(fa);
    destroy_quiet(fa, &to);
}

static const fa_snapshot_row *row_of(const char *name)
{
    for (uint32_t i = 0; i < shot.row_count; i++)
        if (strcmp(shot.rows[i].name, name) == 0) return &shot.rows[i];
    fail_msg("no row %s", name);
    return NULL;
}

static void rows_show_tags_and_phases(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    fa_tag tag;
    assert_int_equal(fa_tag_find(fa, "render::shadows", &tag), FA_OK);
    assert_int_equal(fa_budget_set(fa, tag, 1000000, 2000000), FA_OK);
    begin(fa);
    void *p;
    {
        FA_TAG_AT(w, tag);
        FA_PHASE(w, "draw");
        p = fa_heap_alloc(w, 100000, 16);
        assert_non_null(p);
        assert_non_null(fa_frame_alloc(w, 5000));
    }
    end(fa);
    take(fa);
    fa_tag_stats stats;
    assert_int_equal(fa_tag_stats_read(fa, tag, &stats), FA_OK);
    const fa_snapshot_row *shadows = row_of("render::shadows"), *draw = row_of("draw");
    assert_int_equal(shadows->values[0], stats.held[FA_TAG_HEAP]);
    assert_true(shadows->values[0] >= 100000);
    assert_int_equal(shadows->values[1], stats.charged);
    assert_int_equal(shadows->values[3], 1000000);
    assert_int_equal(shadows->values[4], 2000000);
    assert_int_equal(draw->values[1], 1);
    assert_true(draw->values[2] >= 5000);
    assert_true(draw->values[4] >= 100000);
    assert_int_equal(draw->values[5], 1);
    (void)row_of("render");
    fa_heap_free(w, p);
    destroy_quiet(fa, &to);
}

static void rows_without_room_are_counted(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    for (int i = 0; i < 200; i++) {
        char name[64];
        fa_tag tag;
        snprintf(name, sizeof name, "tag-%03d-with-a-name-that-is-longer-than-a-row-holds", i);
        assert_int_equal(fa_tag_find(fa, name, &tag), FA_OK);
    }
    take(fa);
    assert_int_equal(shot.row_count, FA_SNAPSHOT_ROWS_MAX);
    assert_int_equal(shot.rows_left_out, 201 - FA_SNAPSHOT_ROWS_MAX);
    assert_int_equal(strlen(shot.rows[100].name), FA_SNAPSHOT_NAME_MAX - 1);
    json_t *root = read_back(&shot);
    assert_int_equal(json_array_size(json_object_get(root, "tags")), FA_SNAPSHOT_ROWS_MAX - 1);
    assert_int_equal(number(root, "rows_left_out"), 201 - FA_SNAPSHOT_ROWS_MAX);
    json_decref(root);
    destroy_quiet(fa, &to);
}

static const fa_snapshot_row *row_called(const char *name)
{
    for (uint32_t i = 0; i < shot.row_count; i++)
        if (strcmp(shot.rows[i].name, name) == 0) return &shot.rows[i];
    return NULL;
}

static void rows_show_streams_and_scratch_pools(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    fa_scratch pool;
    fa_stream first, second;
    fa_group group;
    assert_int_equal(fa_scratch_create(w, "navigation", 64 * KIB, &pool), FA_OK);
    assert_non_null(fa_scratch_alloc(w, pool, 1000, 16));
    assert_int_equal(fa_stream_reserve(w, 5000, FA_STREAM_NORMAL, NULL, &first), FA_OK);
    assert_int_equal(fa_stream_reserve(w, 7000, FA_STREAM_HIGH, NULL, &second), FA_OK);
    void *memory;
    assert_int_equal(fa_stream_load_begin(w, first, &memory), FA_OK);
    assert_int_equal(fa_group_create(w, "level", &group), FA_OK);
    assert_non_null(fa_group_alloc(w, group, 100, 16));
    fa_handle handle = fa_handle_alloc(w, 100, 16, NULL);
    begin(fa);
    end(fa);
    take(fa);
    const fa_snapshot_row *navigation = row_called("navigation"), *loading = row_called("loading"),
                          *reserved = row_called("reserved");
    assert_true(navigation && loading && reserved);
    assert_int_equal(navigation->values[0], 64 * KIB);
    assert_int_equal(navigation->values[1], 1008);
    assert_int_equal(loading->values[0], 1);
    assert_int_equal(reserved->values[0], 1);
    json_t *root = read_back(&shot);
    assert_int_equal(json_array_size(json_object_get(root, "scratch")), 1);
    assert_int_equal(json_array_size(json_object_get(root, "streams")), 5);
    const json_t *global = json_object_get(root, "global");
    assert_int_equal(number(global, "groups"), 1);
    assert_int_equal(number(global, "handle_live"), 1);
    assert_int_equal(number(global, "stream_reserved_bytes"), 12000);
    json_decref(root);
    assert_int_equal(fa_stream_free(w, first), FA_OK);
    assert_int_equal(fa_stream_free(w, second), FA_OK);
    assert_int_equal(fa_group_free(w, group), FA_OK);
    assert_int_equal(fa_handle_free(w, handle), FA_OK);
    assert_int_equal(fa_scratch_remove(w, pool), FA_OK);
    destroy_quiet(fa, &to);
}

// History ---------------------------------------------------------------------------------------------------------------

static void the_history_keeps_the_last_frames(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    assert_int_equal(fa_history_count(fa), 0);
    assert_int_equal(fa_history_read(fa, 0, &shot), FA_ERROR_STALE);
    assert_int_equal(fa_history_enable(fa, 7), FA_OK);
    for (uint32_t i = 1; i <= 20; i++) {
        begin(fa);
        assert_non_null(fa_frame_alloc(fa_self(fa), i * 16));
        end(fa);
        assert_int_equal(fa_history_count(fa), i < 7 ? i : 7);
        assert_int_equal(fa_history_read(fa, 0, &shot), FA_OK);
        assert_int_equal(shot.frame, i);
        assert_int_equal(shot.lanes[0].used, i * 16);
    }
    for (uint32_t age = 0; age < 7; age++) {
        memset(&shot, 0, sizeof shot);
        assert_int_equal(fa_history_read(fa, age, &shot), FA_OK);
        assert_int_equal(shot.frame, 20 - age);
        assert_int_equal(shot.stats.frame, 20 - age);
        assert_int_equal(shot.stats.frame_bytes, (20 - age) * 16);
    }
    assert_int_equal(fa_history_read(fa, 7, &shot), FA_ERROR_STALE);
    assert_int_equal(fa_history_read(fa, UINT32_MAX, &shot), FA_ERROR_STALE);
    assert_int_equal(fa_history_enable(fa, 3), FA_OK);
    assert_int_equal(fa_history_count(fa), 0);
    assert_int_equal(fa_history_disable(fa), FA_OK);
    assert_int_equal(fa_history_disable(fa), FA_OK);
    assert_int_equal(fa_history_read(fa, 0, &shot), FA_ERROR_STALE);
    destroy_quiet(fa, &to);
}

static void the_default_is_the_configured_length(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    assert_int_equal(config.history_length, 300);
    config.history_length = 5;
    fa_system *fa = create(&config);
    assert_int_equal(fa_history_enable(fa, 0), FA_OK);
    for (int i = 0; i < 9; i++) {
        begin(fa);
        end(fa);
    }
    assert_int_equal(fa_history_count(fa), 5);
    destroy_quiet(fa, &to);
}

static void memory_for_it_comes_and_goes(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    config.attached_max = 0;
    config.memory_max = 24 * MIB;
    fa_system *fa = create(&config);
    begin(fa);
    end(fa);
    uint64_t before = stats_of(fa).memory_bytes - stats_of(fa).memory_free;
    assert_int_equal(fa_history_enable(fa, 65536), FA_ERROR_MEMORY);
    for (int i = 0; i < 4; i++) assert_int_equal(fa_history_enable(fa, 700), FA_OK); // the one before goes first
    begin(fa);
    end(fa);
    assert_true(stats_of(fa).memory_bytes - stats_of(fa).memory_free >= before + 8 * MIB);
    assert_int_equal(fa_history_disable(fa), FA_OK);
    begin(fa);
    end(fa);
    assert_true(stats_of(fa).memory_bytes - stats_of(fa).memory_free <= before + 2 * MIB);
    destroy_quiet(fa, &to);
}

// Graphs ----------------------------------------------------------------------------------------------------------------

static void graphs_have_at_most_n_points_and_keep_peaks(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_graph_point points[64], guard = {.frame = 123456};
    assert_int_equal(fa_memory_graph(fa, points, 64), 0);
    assert_int_equal(fa_history_enable(fa, 50), FA_OK);
    for (uint64_t i = 1; i <= 60; i++) {
        begin(fa);
        assert_non_null(fa_frame_alloc(fa_self(fa), i == 37 ? 1000000 : 1600));
        end(fa);
    }
    for (uint32_t n = 0; n < 64; n++) {
        for (uint32_t i = 0; i < 64; i++) points[i] = guard;
        uint32_t written = fa_memory_graph(fa, points, n);
        assert_int_equal(written, n < 50 ? n : 50);
        uint64_t top = 0, last = 0;
        for (uint32_t i = 0; i < written; i++) {
            assert_true(points[i].frame > last && points[i].frame > 10 && points[i].frame <= 60);
            last = points[i].frame;
            if (points[i].bytes > top) top = points[i].bytes;
            assert_true(points[i].bytes >= 1600 && points[i].memory_bytes >= 2 * MIB);
            if (points[i].bytes >= 1000000) assert_int_equal(points[i].frame, 37);
        }
        if (n > 0) assert_true(top >= 1000000);
        for (uint32_t i = written; i < 64; i++) assert_int_equal(points[i].frame, guard.frame);
    }
    destroy_quiet(fa, &to);
}

// Bad calls -------------------------------------------------------------------------------------------------------------

static void *try_elsewhere(void *arg)
{
    static fa_snapshot unused;
    fa_graph_point point;
    EXPECT(fa_snapshot_take(arg, &unused) == FA_ERROR_WRONG_THREAD);
    fa_status status = fa_history_enable(arg, 10);
    EXPECT(status == FA_ERROR_WRONG_THREAD);
    EXPECT(fa_history_disable(arg) == FA_ERROR_WRONG_THREAD);
    EXPECT(fa_history_count(arg) == 0);
    EXPECT(fa_history_read(arg, 0, &unused) == FA_ERROR_WRONG_THREAD);
    EXPECT(fa_memory_graph(arg, &point, 1) == 0);
    return NULL;
}

static void bad_calls_change_nothing(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_graph_point point;
    assert_int_equal(fa_history_enable(fa, 10), FA_OK);
    begin(fa);
    end(fa);
    assert_int_equal(fa_snapshot_take(NULL, &shot), FA_ERROR_INVALID);
    assert_int_equal(fa_snapshot_take(fa, NULL), FA_ERROR_INVALID);
    assert_int_equal(fa_history_enable(NULL, 1), FA_ERROR_INVALID);
    assert_int_equal(fa_history_enable(fa, 65537), FA_ERROR_INVALID);
    assert_int_equal(fa_history_enable(fa, UINT32_MAX), FA_ERROR_INVALID);
    assert_int_equal(fa_history_disable(NULL), FA_ERROR_INVALID);
    assert_int_equal(fa_history_count(NULL), 0);
    assert_int_equal(fa_history_read(NULL, 0, &shot), FA_ERROR_INVALID);
    assert_int_equal(fa_history_read(fa, 0, NULL), FA_ERROR_INVALID);
    assert_int_equal(fa_memory_graph(NULL, &point, 1), 0);
    assert_int_equal(fa_memory_graph(fa, NULL, 1), 0);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, try_elsewhere, fa), 0);
    pthread_join(thread, NULL);
    assert_int_equal(fa_history_count(fa), 1);
    destroy_quiet(fa, &to);
}

static void *look_all_the_time(void *arg)
{
    fa_stats stats;
    for (int i = 0; i < ROUNDS(20000); i++) EXPECT(fa_stats_read(arg, &stats) == FA_OK);
    return NULL;
}

static void spread(fa_worker *w, uint64_t first, uint64_t last, void *arg)
{
    void **objects = arg;
    for (uint64_t i = first; i < last; i++) {
        fa_pool_free(w, objects[i]);
        objects[i] = fa_pool_alloc(w, 16 + i % 500);
        EXPECT(objects[i] != NULL);
    }
}

static void taken_while_lanes_work(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    config.frames_in_flight = 2;
    fa_system *fa = create(&config);
    static void *objects[1000];
    memset(objects, 0, sizeof objects);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, look_all_the_time, fa), 0);
    assert_int_equal(fa_history_enable(fa, 10), FA_OK);
    for (int i = 0; i < ROUNDS(100); i++) {
        begin(fa);
        assert_int_equal(fa_parallel_for(fa_self(fa), 0, 1000, 10, spread, objects), FA_OK);
        take(fa);
        end(fa);
    }
    pthread_join(thread, NULL);
    for (int i = 0; i < 1000; i++) fa_pool_free(fa_self(fa), objects[i]);
    destroy_quiet(fa, &to);
}

// JSON ------------------------------------------------------------------------------------------------------------------

/// Every row is an object of its section, with all columns and no other member.
static void assert_rows(const json_t *root)
{
    static const struct {
        const char *name;
        const char *columns[FA_SNAPSHOT_COLUMNS + 1];
    } sections[] = {
        {"frame_slots", {"blocks", "alive"}},
        {"tags", {"held", "charged", "peak", "soft", "hard", "denied"}},
        {"phases", {"ns", "entries", "frame_bytes", "pool_bytes", "heap_bytes", "allocs"}},
        {"streams", {"count"}},
        {"scratch", {"capacity", "allocated", "objects"}},
    };
    enum { SECTIONS = sizeof sections / sizeof sections[0] };
    size_t met[SECTIONS] = {0};
    for (uint32_t i = 0; i < shot.row_count; i++) {
        const fa_snapshot_row *row = &shot.rows[i];
        assert_true(row->section < SECTIONS);
        const char *const *columns = sections[row->section].columns;
        const json_t *all = json_object_get(root, sections[row->section].name);
        const json_t *written = json_array_get(all, met[row->section]++);
        assert_string_equal(json_string_value(json_object_get(written, "name")), row->name);
        size_t count = 0;
        for (; columns[count] != NULL; count++) assert_int_equal(number(written, columns[count]), row->values[count]);
        assert_int_equal(json_object_size(written), count + 1);
    }
    for (size_t i = 0; i < SECTIONS; i++) {
        assert_true(met[i] > 0);
        assert_int_equal(json_array_size(json_object_get(root, sections[i].name)), met[i]);
    }
}

static void json_says_what_the_snapshot_says(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    void *p = fa_pool_alloc(fa_self(fa), 100), *q = fa_heap_alloc(fa_self(fa), 100000, 0);
    fa_tag tag;
    fa_scratch pool;
    fa_stream stream;
    assert_int_equal(fa_tag_find(fa, "drawn", &tag), FA_OK);
    assert_int_equal(fa_budget_set(fa, tag, 1000, 2000), FA_OK);
    assert_int_equal(fa_scratch_create(fa_self(fa), "sketch", 4096, &pool), FA_OK);
    assert_int_equal(fa_stream_reserve(fa_self(fa), 100, FA_STREAM_LOW, NULL, &stream), FA_OK);
    for (int i = 0; i < 3; i++) {
        begin(fa);
        everyone(fa, allocate_here, NULL);
        {
            FA_PHASE(fa_self(fa), "late");
            assert_non_null(fa_frame_alloc(fa_self(fa), 100));
        }
        assert_non_null(fa_scratch_alloc(fa_self(fa), pool, 100, 0));
        end(fa);
    }
    take(fa);
    json_t *root = read_back(&shot);
    assert_string_equal(json_string_value(json_object_get(root, "format")), "framealloc.snapshot");
    assert_int_equal(number(root, "version"), FA_SNAPSHOT_VERSION);
    assert_int_equal(number(root, "frame"), 3);
    assert_int_equal(number(root, "time_ns"), shot.time_ns);
    const json_t *global = json_object_get(root, "global"), *scheduler = json_object_get(root, "scheduler");
    assert_int_equal(number(global, "memory_bytes"), shot.stats.memory_bytes);
    assert_int_equal(number(global, "frame_bytes"), shot.stats.frame_bytes);
    assert_int_equal(number(global, "pool_live"), 1);
    assert_int_equal(number(global, "heap_live_bytes"), shot.stats.heap_live_bytes);
    assert_int_equal(number(scheduler, "jobs"), shot.stats.jobs);
    assert_int_equal(number(scheduler, "waits_parked"), shot.stats.waits_parked);
    const json_t *lanes = json_object_get(root, "lanes"), *pools = json_object_get(root, "pools");
    assert_int_equal(json_array_size(lanes), at->workers + 1);
    for (size_t i = 0; i < json_array_size(lanes); i++) {
        const json_t *lane = json_array_get(lanes, i);
        assert_int_equal(number(lane, "lane"), i);
        assert_int_equal(number(lane, "peak"), shot.lanes[i].peak);
        assert_int_equal(number(lane, "capacity"), shot.lanes[i].capacity);
        assert_int_equal(number(lane, "jobs"), shot.lanes[i].jobs);
    }
    assert_int_equal(json_array_size(pools), 1);
    assert_int_equal(number(json_array_get(pools, 0), "size"), 112);
    assert_int_equal(number(json_array_get(pools, 0), "live"), 1);
    assert_int_equal(number(json_array_get(pools, 0), "slabs"), 1);
    assert_rows(root);
    json_decref(root);
    assert_int_equal(fa_stream_free(fa_self(fa), stream), FA_OK);
    fa_pool_free(fa_self(fa), p);
    fa_heap_free(fa_self(fa), q);
    destroy_quiet(fa, &to);
}

static void odd_names_come_back(const test_case *at)
{
    static const struct {
        const char *given, *wanted;
    } names[] = {
        {"plain", "plain"},
        {"", ""},
        {"say \"hi\"", "say \"hi\""},
        {"back\\slash\\", "back\\slash\\"},
        {"line\nfeed\r\ttab", "line\nfeed\r\ttab"},
        {"\b\f\x01\x1f\x7f", "\b\f\x01\x1f\x7f"},
        {"caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x8e\xae", "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x8e\xae"},
        {"lone \xff", "lone \xef\xbf\xbd"},
        {"cut \xe2\x82", "cut \xef\xbf\xbd\xef\xbf\xbd"},
        {"long \xc0\x80", "long \xef\xbf\xbd\xef\xbf\xbd"},
        {"half \xed\xa0\x80", "half \xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
        {"far \xf4\x90\x80\x80", "far \xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
        {"over \xf0\x80\x80\xaf", "over \xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
        {"</script>", "</script>"},
    };
    enum { NAMES = sizeof names / sizeof names[0] };
    (void)at;
    memset(&shot, 0, sizeof shot);
    shot.version = FA_SNAPSHOT_VERSION;
    shot.row_count = NAMES;
    for (int i = 0; i < NAMES; i++) snprintf(shot.rows[i].name, sizeof shot.rows[i].name, "%s", names[i].given);
    shot.stats.jobs = INT64_MAX;
    json_t *root = read_back(&shot);
    assert_int_equal(number(json_object_get(root, "scheduler"), "jobs"), INT64_MAX);
    const json_t *rows = json_object_get(root, "frame_slots");
    assert_int_equal(json_array_size(rows), NAMES);
    for (size_t i = 0; i < NAMES; i++)
        assert_string_equal(json_string_value(json_object_get(json_array_get(rows, i), "name")), names[i].wanted);
    json_decref(root);
}

static void json_refuses_what_is_no_snapshot(const test_case *at)
{
    static paper file;
    (void)at;
    memset(&shot, 0, sizeof shot);
    assert_int_equal(fa_snapshot_write_json(&shot, write_paper, &file), FA_ERROR_INVALID); // no version
    shot.version = FA_SNAPSHOT_VERSION;
    assert_int_equal(fa_snapshot_write_json(NULL, write_paper, &file), FA_ERROR_INVALID);
    assert_int_equal(fa_snapshot_write_json(&shot, NULL, &file), FA_ERROR_INVALID);
    assert_int_equal(fa_snapshot_write_file(&shot, NULL), FA_ERROR_INVALID);
    shot.lane_count = FA_LANES_MAX + 1;
    assert_int_equal(fa_snapshot_write_json(&shot, write_paper, &file), FA_ERROR_INVALID);
    shot.lane_count = 0;
    shot.row_count = FA_SNAPSHOT_ROWS_MAX + 1;
    assert_int_equal(fa_snapshot_write_json(&shot, write_paper, &file), FA_ERROR_INVALID);
    shot.row_count = 1;
    memset(shot.rows[0].name, 'x', FA_SNAPSHOT_NAME_MAX);
    assert_int_equal(fa_snapshot_write_json(&shot, write_paper, &file), FA_ERROR_INVALID);
    shot.row_count = 0;
    assert_int_equal(file.size, 0);
    file.fail_after = 0;
    assert_int_equal(fa_snapshot_write_json(&shot, write_paper, &file), FA_ERROR_IO);
    assert_int_equal(file.size, 0);
    FILE *closed = fopen("/dev/null", "r");
    assert_non_null(closed);
    assert_int_equal(fa_snapshot_write_file(&shot, closed), FA_ERROR_IO);
    fclose(closed);
    FILE *stream = tmpfile();
    assert_non_null(stream);
    assert_int_equal(fa_snapshot_write_file(&shot, stream), FA_OK);
    rewind(stream);
    json_t *root = json_loadf(stream, 0, NULL);
    assert_non_null(root);
    json_decref(root);
    fclose(stream);
}

int main(int argc, char **argv)
{
    if (!FA_STATISTICS) return 0; // test_tag looks at such a build
    static const test_entry tests[] = {
        EACH(figures_are_those_of_the_lanes),
        EACH(classes_are_those_of_the_pool),
        EACH_OF(rows_show_frame_slots, "2", "n"),
        EACH_OF(rows_show_streams_and_scratch_pools, "02", "ny"),
        EACH_OF(rows_show_tags_and_phases, "02", "ny"),
        EACH_OF(rows_without_room_are_counted, "0", "n"),
        EACH(the_history_keeps_the_last_frames),
        EACH_OF(the_default_is_the_configured_length, "02", "n"),
        EACH_OF(memory_for_it_comes_and_goes, "02", "n"),
        EACH_OF(graphs_have_at_most_n_points_and_keep_peaks, "02", "ny"),
        EACH_OF(bad_calls_change_nothing, "02", "n"),
        EACH(taken_while_lanes_work),
        EACH(json_says_what_the_snapshot_says),
        EACH_OF(odd_names_come_back, "0", "n"),
        EACH_OF(json_refuses_what_is_no_snapshot, "0", "n"),
    };
    return RUN_MATRIX("snapshot", tests, argc, argv);
}
