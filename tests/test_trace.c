// SPDX-License-Identifier: MIT
//
// The trace file, read back with Jansson: it is JSON, its zones nest, its counts are those of the statistics, what is missing is said, and
// every way of failing is an answer.
#include "support.h"

#include <jansson.h>
#include <pthread.h>
#include <unistd.h>

// Written and read back ---------------------------------------------------------------------------------------------------

typedef struct paper {
    char *text;
    size_t size, room;
    size_t piece_max;
    int fail_after; // calls; -1: never
} paper;

static bool write_paper(const void *data, size_t size, void *context)
{
    paper *to = context;
    if (to->fail_after >= 0 && to->fail_after-- == 0) return false;
    if (size > to->piece_max) to->piece_max = size;
    while (to->size + size > to->room) {
        to->room = to->room == 0 ? 65536 : to->room * 2;
        to->text = realloc(to->text, to->room);
        EXPECT(to->text != NULL);
    }
    memcpy(to->text + to->size, data, size);
    to->size += size;
    return true;
}

static const char *text_of(const json_t *event, const char *key)
{
    const char *text = json_string_value(json_object_get(event, key));
    return text != NULL ? text : "";
}

enum { TRACKS = 256 };

typedef struct reading {
    json_t *root;
    uint64_t begins, ends, instants, jobs, loops, waits, parks, frames, promotions, drained, stolen;
    uint64_t counters, dropped_said, tracks_named;
    double last_heap;
} reading;

static uint64_t argument(const json_t *event, const char *key)
{
    return (uint64_t)json_integer_value(json_object_get(json_object_get(event, "args"), key));
}

static void read_begin(reading *in, const json_t *event)
{
    const char *category = text_of(event, "cat");
    in->begins++;
    in->jobs += strcmp(category, "job") == 0;
    in->loops += strcmp(category, "loop") == 0;
    in->waits += strcmp(category, "wait") == 0;
    in->parks += strcmp(category, "park") == 0;
    in->frames += strcmp(category, "frame") == 0;
    assert_true(strlen(text_of(event, "name")) > 0);
}

static void read_instant(reading *in, const json_t *event)
{
    const char *name = text_of(event, "name");
    in->instants++;
    assert_string_equal(text_of(event, "s"), "t");
    if (strcmp(name, "promotion") == 0) in->promotions++;
    if (strcmp(name, "remote drain") == 0) in->drained += argument(event, "objects");
    if (strcmp(name, "steal") == 0) in->stolen += argument(event, "jobs");
}

static void read_counter(reading *in, const json_t *event)
{
    in->counters++;
    if (strcmp(text_of(event, "name"), "events dropped") == 0) in->dropped_said = argument(event, "events");
    if (strcmp(text_of(event, "name"), "memory") == 0) in->last_heap = (double)argument(event, "heap");
}

/// Parses a whole file: every zone is ended, on its track, not before it began; times do not fall on a track.
static reading read_back(const char *text, size_t size)
{
    reading in = {0};
    json_error_t error;
    in.root = json_loadb(text, size, 0, &error);
    if (in.root == NULL) print_error("%s at line %d, byte %d\n", error.text, error.line, error.position);
    assert_non_null(in.root);
    int64_t depth[TRACKS] = {0};
    double last[TRACKS] = {0};
    size_t i;
    json_t *event;
    json_array_foreach(json_object_get(in.root, "traceEvents"), i, event)
    {
        const char *phase = text_of(event, "ph");
        json_int_t track = json_integer_value(json_object_get(event, "tid"));
        assert_true(track >= 0 && track < TRACKS);
        if (phase[0] == 'M') {
            in.tracks_named += strcmp(text_of(event, "name"), "thread_name") == 0;
            continue;
        }
        double at = json_real_value(json_object_get(event, "ts"));
        assert_true(at >= 0);
        if (phase[0] == 'B' || phase[0] == 'E') {
            assert_true(at >= last[track]);
            last[track] = at;
        }
        if (phase[0] == 'B') {
            depth[track]++;
            read_begin(&in, event);
        } else if (phase[0] == 'E') {
            assert_true(--depth[track] >= 0);
            in.ends++;
        } else if (phase[0] == 'i') {
            read_instant(&in, event);
        } else {
            assert_string_equal(phase, "C");
            read_counter(&in, event);
        }
    }
    for (int track = 0; track < TRACKS; track++) assert_int_equal(depth[track], 0);
    assert_int_equal(in.begins, in.ends);
    return in;
}

static uint64_t other_data(const reading *in, const char *key)
{
    return (uint64_t)json_integer_value(json_object_get(json_object_get(in->root, "otherData"), key));
}

static bool has_name(const reading *in, const char *name)
{
    size_t i;
    json_t *event;
    json_array_foreach(json_object_get(in->root, "traceEvents"), i,
                       event) if (strcmp(text_of(event, "name"), name) == 0) return true;
    return false;
}

// Work ------------------------------------------------------------------------------------------------------------------

static void count_items(fa_worker *w, uint64_t first, uint64_t last, void *arg)
{
    (void)w, (void)arg;
    for (volatile uint64_t i = first; i < last;) i = i + 1;
}

static void nest(fa_worker *w, void *arg)
{
    uint64_t depth = (uint64_t)(uintptr_t)arg;
    if (depth == 0) return;
    fa_counter counter = FA_COUNTER_INIT;
    for (int i = 0; i < 3; i++) EXPECT(fa_submit_counted(w, &counter, nest, (void *)(uintptr_t)(depth - 1)) == FA_OK);
    EXPECT(fa_wait(w, &counter) == FA_OK);
    EXPECT(fa_parallel_for(w, 0, 100, 10, count_items, NULL) == FA_OK);
}

static void *free_me; // by a worker

static void free_there(fa_worker *w, void *arg)
{
    (void)arg;
    if (w->index == 1) fa_pool_free(w, free_me);
}

static void run_frame(fa_system *fa)
{
    fa_worker *w = fa_self(fa);
    begin(fa);
    free_me = fa_pool_alloc(w, 64);
    assert_non_null(free_me);
    if (fa_worker_count(fa) > 0)
        everyone(fa, free_there, NULL);
    else
        fa_pool_free(w, free_me);
    fa_job job = {.fn = nest, .arg = (void *)(uintptr_t)2, .name = "nested \"work\" \\ \n\x01 \xff caf\xc3\xa9"};
    for (int i = 0; i < 3; i++) assert_int_equal(fa_submit_job(w, &job), FA_OK);
    fa_retain how = {.to = FA_RETAIN_HEAP};
    assert_non_null(fa_frame_retained(w, 1000, 16, &how));
    fa_frame_result result;
    assert_int_equal(fa_frame_end(fa, &result), FA_OK);
    fa_heap_free(w, result.items[0].to);
}

// Tests -----------------------------------------------------------------------------------------------------------------

static void counts_are_those_of_the_statistics(const test_case *at)
{
    enum { FRAMES = 10 };
    sink to;
    fa_system *fa = create_case(at, &to);
    paper file = {.fail_after = -1};
    run_frame(fa);
    fa_stats before = stats_of(fa);
    assert_int_equal(fa_trace_start_to(fa, write_paper, &file), FA_OK);
    for (int i = 0; i < FRAMES; i++) run_frame(fa);
    fa_stats after = stats_of(fa);
    fa_trace_result result;
    assert_int_equal(fa_trace_stop(fa, &result), FA_OK);
    assert_int_equal(result.bytes, file.size);
    assert_int_equal(result.dropped, 0);
    assert_true(file.piece_max <= 4096);
    reading in = read_back(file.text, file.size);
    assert_int_equal(in.frames, FRAMES);
    assert_int_equal(in.jobs, after.jobs - before.jobs);
    assert_int_equal(in.promotions, FRAMES);
    assert_int_equal(in.promotions, after.promoted - before.promoted);
    assert_int_equal(in.drained, after.remote_frees - before.remote_frees);
    assert_true(in.stolen >= after.steals - before.steals);
    assert_true(in.loops > 0 && in.waits > 0);
    assert_int_equal(in.counters, 2 * FRAMES);
    assert_true(in.last_heap >= 1000);
    assert_true(in.tracks_named >= 2);
    assert_int_equal(other_data(&in, "events"), result.events);
    assert_int_equal(other_data(&in, "events_dropped"), 0);
    assert_true(in.begins + in.ends + in.instants >= result.events);
    assert_true(has_name(&in, "nested \"work\" \\ \n\x01 \xef\xbf\xbd caf\xc3\xa9"));
    assert_true(has_name(&in, "frame 2"));
    json_decref(in.root);
    free(file.text);
    destroy_quiet(fa, &to);
}

static void a_file_holds_it_too_and_is_emptied_first(const test_case *at)
{
    char path[] = "/tmp/fa_trace_XXXXXX";
    int opened = mkstemp(path);
    assert_true(opened >= 0);
    assert_true(write(opened, "something longer", 16) == 16);
    close(opened);
    sink to;
    fa_system *fa = create_case(at, &to);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(fa_trace_start(fa, path), FA_OK);
        for (int i = 0; i < 3; i++) run_frame(fa);
        fa_trace_result result;
        assert_int_equal(fa_trace_stop(fa, &result), FA_OK);
        json_t *root = json_load_file(path, 0, NULL);
        assert_non_null(root);
        char *text = json_dumps(root, 0);
        reading in = read_back(text, strlen(text));
        assert_int_equal(in.frames, 3);
        json_decref(in.root);
        json_decref(root);
        free(text);
    }
    destroy_quiet(fa, &to);
    unlink(path);
}

static void destroy_completes_the_trace(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    paper file = {.fail_after = -1};
    assert_int_equal(fa_trace_start_to(fa, write_paper, &file), FA_OK);
    run_frame(fa);
    begin(fa);
    assert_int_equal(fa_submit(fa_self(fa), nest, (void *)(uintptr_t)1), FA_OK);
    destroy_quiet(fa, &to);
    reading in = read_back(file.text, file.size);
    assert_int_equal(in.frames, 2);
    assert_true(in.jobs > 4);
    json_decref(in.root);
    free(file.text);
}

static void start_and_stop_inside_a_frame(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    paper file = {.fail_after = -1};
    begin(fa);
    assert_int_equal(fa_submit(fa_self(fa), nest, (void *)(uintptr_t)3), FA_OK);
    assert_int_equal(fa_trace_start_to(fa, write_paper, &file), FA_OK);
    end(fa);
    begin(fa);
    assert_int_equal(fa_submit(fa_self(fa), nest, (void *)(uintptr_t)3), FA_OK);
    assert_int_equal(fa_trace_stop(fa, NULL), FA_OK);
    end(fa);
    reading in = read_back(file.text, file.size); // nothing hangs over either end
    assert_int_equal(in.frames, 1);
    json_decref(in.root);
    free(file.text);
    destroy_quiet(fa, &to);
}

static void what_is_dropped_is_said(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    config.event_capacity = 64;
    fa_system *fa = create(&config);
    paper file = {.fail_after = -1};
    assert_int_equal(fa_trace_start_to(fa, write_paper, &file), FA_OK);
    for (int frame = 0; frame < 3; frame++) {
        begin(fa);
        for (int i = 0; i < 1000; i++) assert_int_equal(fa_submit(fa_self(fa), nest, NULL), FA_OK);
        end(fa);
    }
    fa_trace_result result;
    assert_int_equal(fa_trace_stop(fa, &result), FA_OK);
    assert_true(result.dropped > 0);
    reading in = read_back(file.text, file.size);
    assert_int_equal(in.dropped_said, result.dropped);
    assert_int_equal(other_data(&in, "events_dropped"), result.dropped);
    assert_true(in.jobs < 3000 && in.jobs + result.dropped >= 3000);
    json_decref(in.root);
    free(file.text);
    destroy_quiet(fa, &to);
}

static void failures_to_write_are_answers(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    assert_int_equal(fa_trace_start(fa, "/nowhere/at/all"), FA_ERROR_IO);
    assert_int_equal(fa_trace_stop(fa, NULL), FA_ERROR_STATE);
    if (access("/dev/full", W_OK) == 0) {
        assert_int_equal(fa_trace_start(fa, "/dev/full"), FA_OK);
        for (int i = 0; i < 3; i++) run_frame(fa);
        assert_int_equal(fa_trace_stop(fa, NULL), FA_ERROR_IO);
    }
    for (int after = 0; after < 3; after++) {
        paper file = {.fail_after = after};
        assert_int_equal(fa_trace_start_to(fa, write_paper, &file), FA_OK);
        for (int i = 0; i < 5; i++) run_frame(fa);
        fa_trace_result result;
        assert_int_equal(fa_trace_stop(fa, &result), FA_ERROR_IO);
        assert_int_equal(result.bytes, file.size);
        assert_true(file.fail_after < 0); // not called again
        free(file.text);
    }
    destroy_quiet(fa, &to);
}

static void *try_elsewhere(void *arg)
{
    fa_status status = fa_trace_start(arg, "/dev/null");
    EXPECT(status == FA_ERROR_WRONG_THREAD);
    EXPECT(fa_trace_stop(arg, NULL) == FA_ERROR_WRONG_THREAD);
    return NULL;
}

static void try_in_job(fa_worker *w, void *arg)
{
    if (w->index != 0) return;
    fa_status status = fa_trace_start(arg, "/dev/null");
    EXPECT(status == FA_ERROR_STATE && fa_trace_stop(arg, NULL) == FA_ERROR_STATE);
}

static void bad_calls_change_nothing(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    paper file = {.fail_after = -1};
    assert_int_equal(fa_trace_start(NULL, "/dev/null"), FA_ERROR_INVALID);
    assert_int_equal(fa_trace_start(fa, NULL), FA_ERROR_INVALID);
    assert_int_equal(fa_trace_start_to(NULL, write_paper, &file), FA_ERROR_INVALID);
    assert_int_equal(fa_trace_start_to(fa, NULL, &file), FA_ERROR_INVALID);
    assert_int_equal(fa_trace_stop(NULL, NULL), FA_ERROR_INVALID);
    assert_int_equal(fa_trace_stop(fa, NULL), FA_ERROR_STATE);
    assert_int_equal(fa_trace_start_to(fa, write_paper, &file), FA_OK);
    assert_int_equal(fa_trace_start_to(fa, write_paper, &file), FA_ERROR_STATE);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, try_elsewhere, fa), 0);
    pthread_join(thread, NULL);
    begin(fa);
    for (int i = 0; i < 20; i++) assert_int_equal(fa_submit(fa_self(fa), try_in_job, fa), FA_OK);
    end(fa);
    assert_int_equal(fa_trace_stop(fa, NULL), FA_OK);
    reading in = read_back(file.text, file.size);
    assert_int_equal(in.jobs, 20);
    json_decref(in.root);
    free(file.text);
    destroy_quiet(fa, &to);
}

int main(int argc, char **argv)
{
    static const test_entry tests[] = {
        EACH_OF(counts_are_those_of_the_statistics, COUNTED("0124"), "ny"),
        EACH_OF(a_file_holds_it_too_and_is_emptied_first, "02", "n"),
        EACH(destroy_completes_the_trace),
        EACH(start_and_stop_inside_a_frame),
        EACH(what_is_dropped_is_said),
        EACH_OF(failures_to_write_are_answers, "02", "n"),
        EACH_OF(bad_calls_change_nothing, "02", "n"),
    };
    if (!FA_TRACE) return 0; // test_event looks at such a build
    return RUN_MATRIX("trace", tests, argc, argv);
}
