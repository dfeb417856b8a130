// SPDX-License-Identifier: MIT
//
// Bad input: every public function is called with NULL, 0, sizes that overflow, alignments that are none, ids that are stale or
// unknown, on the wrong thread and at the wrong moment. A call is a row: its name and an expression that is true when it was refused as its
// header says. After each table everything must be as before. test_misuse_lane.c asks who uses a lane,
// test_misuse_main.c who calls what is the main lane's, and when, test_misuse_input.c what is handed over; tools/check_misuse.py looks that no public
// function is missing.
#pragma once

#include "support.h"

#include <pthread.h>

FA_VECTOR(numbers, int);
FA_MAP(scores, uint32_t, int);

// The scene -------------------------------------------------------------------------------------------------------------

/// A system with one of everything, and the context that calls are made with.
typedef struct world {
    sink to;
    fa_system *fa;
    fa_worker *own;  // the main lane's
    fa_worker *w;    // what calls use
    fa_status wrong; // what they must answer
    unsigned char *pool, *heap;
    fa_handle handle, pinned;
    fa_group group;
    fa_scratch scratch;
    fa_stream reserved, loading, ready;
    fa_transfer ticket;
    void *sent;
    fa_cell cell;
    fa_checkpoint checkpoint;
    fa_scope scope;
    fa_tag tag;
    fa_storage storage;
    numbers vector;
    scores map;
    fa_counter counter;
    fa_task task;
    // places for results
    fa_config config;
    fa_system *fa_out;
    fa_worker *w_out;
    void *p;
    fa_frame frame;
    fa_group group_out;
    fa_scratch scratch_out;
    fa_stream stream_out;
    fa_transfer ticket_out;
    fa_storage storage_out;
    fa_tag tag_out;
    fa_listener listener;
    uint32_t count;
} world;

static inline void nothing(fa_worker *w, void *arg)
{
    (void)w;
    (void)arg;
}

static inline void no_range(fa_worker *w, uint64_t first, uint64_t last, void *arg)
{
    (void)w;
    (void)arg;
    EXPECT(first > last); // must not run
}

static inline void must_not_run(fa_worker *w, void *arg)
{
    (void)w;
    (void)arg;
    expect_failed("a refused job has run", __FILE__, __LINE__);
}

static inline int must_not_try(fa_worker *w, void *arg)
{
    must_not_run(w, arg);
    return 0;
}

static inline void drop_object(fa_worker *w, void *object, void *context)
{
    (void)w;
    (void)object;
    (void)context;
}

static inline fa_stream make_stream(world *at, size_t size)
{
    fa_stream stream;
    assert_int_equal(fa_stream_reserve(at->own, size, FA_STREAM_NORMAL, NULL, &stream), FA_OK);
    return stream;
}

static inline fa_stream load_stream(world *at, size_t size)
{
    fa_stream stream = make_stream(at, size);
    void *memory;
    assert_int_equal(fa_stream_load_begin(at->own, stream, &memory), FA_OK);
    fill(memory, size, 3);
    return stream;
}

static inline void open_world(world *at, const test_case *test)
{
    memset(at, 0, sizeof *at);
    fa_config config = case_config(test, &at->to);
    at->fa = create(&config);
    fa_worker *w = at->own = at->w = fa_self(at->fa);
    begin(at->fa);
    fill(at->pool = fa_pool_alloc(w, 100), 100, 1);
    fill(at->heap = fa_heap_alloc(w, 40000, 0), 40000, 2);
    at->handle = fa_handle_alloc(w, 64, 0, NULL);
    at->pinned = fa_handle_alloc(w, 64, 0, NULL);
    fill(fa_handle_pin(w, at->pinned), 64, 4);
    assert_int_equal(fa_group_create(w, "level", &at->group), FA_OK);
    assert_non_null(fa_group_alloc(w, at->group, 64, 16));
    assert_int_equal(fa_scratch_create(w, "paths", 4096, &at->scratch), FA_OK);
    assert_non_null(fa_scratch_alloc(w, at->scratch, 64, 16));
    at->reserved = make_stream(at, 1000);
    at->loading = load_stream(at, 2000);
    at->ready = load_stream(at, 3000);
    assert_int_equal(fa_stream_load_end(w, at->ready), FA_OK);
    at->sent = fa_pool_alloc(w, 100);
    assert_int_equal(fa_transfer_send(w, at->sent, &at->ticket), FA_OK);
    assert_int_equal(fa_cell_publish(w, &at->cell, fa_heap_alloc(w, 200, 0)), FA_OK);
    assert_int_equal(fa_tag_find(at->fa, "world", &at->tag), FA_OK);
    void *elements;
    assert_int_equal(fa_storage_take(w, FA_HOME_POOL, 8, 8, 8, &at->storage, &elements), FA_OK);
    assert_int_equal(numbers_init(w, &at->vector, FA_HOME_POOL, 8), FA_OK);
    assert_true(numbers_push(w, &at->vector, 7));
    assert_int_equal(scores_init(w, &at->map, FA_HOME_POOL, 8), FA_OK);
    assert_int_equal(scores_insert(w, &at->map, 1, 2, NULL), FA_MAP_ADDED);
    fa_retain keep = {.to = FA_RETAIN_POOL};
    assert_non_null(fa_frame_retained(w, 16, 16, &keep));
    at->checkpoint = fa_checkpoint_take(w);
    at->scope = fa_scope_begin(w);
    assert_non_null(fa_scope_alloc(w, 64));
    assert_int_equal(fa_fork(w, &at->task, nothing, NULL), FA_OK);
    assert_quiet(&at->to);
}

/// All is as open_world() left it, whatever was refused meanwhile.
static inline void assert_untouched(world *at)
{
    fa_worker *w = at->own;
    fa_group_info group;
    fa_scratch_info scratch;
    assert_quiet(&at->to);
    assert_true(is_filled(at->pool, 100, 1) && is_filled(at->heap, 40000, 2));
    assert_true(fa_handle_is_valid(w, at->handle) && fa_handle_is_valid(w, at->pinned));
    assert_true(is_filled(fa_handle_peek(w, at->pinned), 64, 4));
    assert_int_equal(fa_handle_unpin(w, at->pinned), FA_OK); // exactly one pin
    assert_non_null(fa_handle_pin(w, at->pinned));
    assert_int_equal(fa_group_read(w, at->group, &group), FA_OK);
    assert_int_equal(group.objects, 1);
    assert_int_equal(fa_scratch_read(w, at->scratch, &scratch), FA_OK);
    assert_int_equal(scratch.objects, 1);
    assert_int_equal(fa_scratch_list(w, NULL, 0), 1);
    assert_int_equal(fa_stream_state_of(at->fa, at->reserved), FA_STREAM_RESERVED);
    assert_int_equal(fa_stream_state_of(at->fa, at->loading), FA_STREAM_LOADING);
    assert_int_equal(fa_stream_loaded(at->fa, at->loading), 0);
    assert_int_equal(fa_stream_state_of(at->fa, at->ready), FA_STREAM_READY);
    assert_non_null(fa_cell_read(w, &at->cell));
    assert_int_equal(fa_tag_current(w).id, 0);
    assert_string_equal(fa_phase_current(w), "");
    assert_int_equal(fa_retained_count(w), 1);
    assert_true(numbers_count(&at->vector) == 1 && scores_count(&at->map) == 1);
    assert_true(fa_is_done(&at->counter));
    assert_true(fa_worker_count(at->fa) > 0 || !fa_is_done(&at->task.counter));
    assert_int_equal(fa_frame_number(at->fa), 1);
    assert_int_equal(fa_job_depth(w), 0);
}

static inline void close_world(world *at)
{
    fa_worker *w = at->own;
    assert_untouched(at);
    fa_join(w, &at->task);
    assert_true(fa_is_done(&at->task.counter));
    void *received;
    assert_int_equal(fa_transfer_receive(w, at->ticket, &received), FA_OK);
    assert_ptr_equal(received, at->sent);
    fa_pool_free(w, received);
    fa_scope_end(&at->scope);
    numbers_exit(w, &at->vector);
    scores_exit(w, &at->map);
    fa_storage_give(w, &at->storage);
    assert_int_equal(fa_stream_free(w, at->reserved), FA_OK);
    assert_int_equal(fa_stream_free(w, at->loading), FA_OK);
    assert_int_equal(fa_stream_free(w, at->ready), FA_OK);
    assert_int_equal(fa_cell_drop(w, &at->cell), FA_OK);
    assert_int_equal(fa_scratch_remove(w, at->scratch), FA_OK);
    assert_int_equal(fa_group_free(w, at->group), FA_OK);
    assert_int_equal(fa_handle_unpin(w, at->pinned), FA_OK);
    assert_int_equal(fa_handle_free(w, at->pinned), FA_OK);
    assert_int_equal(fa_handle_free(w, at->handle), FA_OK);
    fa_pool_free(w, at->pool);
    fa_heap_free(w, at->heap);
    assert_int_equal(fa_retained_abandon(w), 1);
    end(at->fa);
    destroy_quiet(at->fa, &at->to);
}

// Tables ----------------------------------------------------------------------------------------------------------------

/// True: refused as documented.
typedef bool call_fn(world *at);

typedef struct call {
    const char *name;
    call_fn *run;
} call;

#define CALL_FUNCTION(name, ...)                                                                                       \
    static bool call_##name(world *at)                                                                                 \
    {                                                                                                                  \
        return __VA_ARGS__;                                                                                            \
    }
#define CALL_ROW(name, ...) {#name, call_##name},

/// Runs all of a table; each call is refused, and reported once under `code` (0: not at all).
static inline void run_calls(world *at, const call *calls, size_t count, unsigned code)
{
    for (size_t i = 0; i < count; i++) {
        bool refused = calls[i].run(at);
        unsigned all = atomic_load(&at->to.total), wanted = code != 0;
        bool told = all == wanted && (code == 0 || sink_count(&at->to, code) == 1);
        if (!refused || !told)
            print_error("%s: %s, %u reports, last: %s\n", calls[i].name, refused ? "refused" : "NOT refused", all,
                        at->to.message);
        EXPECT(refused);
        EXPECT(told);
        sink_reset(&at->to);
    }
}

#define RUN_CALLS(at, calls, code) run_calls(at, calls, sizeof(calls) / sizeof((calls)[0]), code)

static inline fa_status ignored(fa_status status)
{
    return status;
}

#define INVALID(call) (ignored(call) == FA_ERROR_INVALID)

// Threads, and functions that must not be called -----------------------------------------------------------------------------

static inline bool write_nothing(const void *bytes, size_t size, void *context)
{
    (void)bytes;
    (void)size;
    (void)context;
    expect_failed("a refused call has written", __FILE__, __LINE__);
    return false;
}

static inline void tell_line(const char *line, void *context)
{
    (void)line;
    (void)context;
    expect_failed("a refused call has written", __FILE__, __LINE__);
}

static inline void hear(const fa_event *event, void *context)
{
    (void)event;
    (void)context;
}

static inline void run_thread(void *(*run)(void *), void *arg)
{
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, run, arg), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
}
