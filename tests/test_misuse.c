// SPDX-License-Identifier: MIT
//
// Bad input: every public function is called with NULL, 0, sizes that overflow, alignments that are none, ids that are stale or
// unknown, on the wrong thread and at the wrong moment. A call is a row: its name and an expression that is true when it was refused as its
// header says. After each table everything must be as before. tools/check_misuse.py looks that no public function is missing.
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

static void nothing(fa_worker *w, void *arg)
{
    (void)w;
    (void)arg;
}

static void no_range(fa_worker *w, uint64_t first, uint64_t last, void *arg)
{
    (void)w;
    (void)arg;
    EXPECT(first > last); // must not run
}

static void must_not_run(fa_worker *w, void *arg)
{
    (void)w;
    (void)arg;
    expect_failed("a refused job has run", __FILE__, __LINE__);
}

static int must_not_try(fa_worker *w, void *arg)
{
    must_not_run(w, arg);
    return 0;
}

static void drop_object(fa_worker *w, void *object, void *context)
{
    (void)w;
    (void)object;
    (void)context;
}

static fa_stream make_stream(world *at, size_t size)
{
    fa_stream stream;
    assert_int_equal(fa_stream_reserve(at->own, size, FA_STREAM_NORMAL, NULL, &stream), FA_OK);
    return stream;
}

static fa_stream load_stream(world *at, size_t size)
{
    fa_stream stream = make_stream(at, size);
    void *memory;
    assert_int_equal(fa_stream_load_begin(at->own, stream, &memory), FA_OK);
    fill(memory, size, 3);
    return stream;
}

static void open_world(world *at, const test_case *test)
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
static void assert_untouched(world *at)
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

static void close_world(world *at)
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
static void run_calls(world *at, const call *calls, size_t count, unsigned code)
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

// Calls that leave something to end, or answer nothing --------------------------------------------------------------------

static bool free_of_pool(world *at, void (*give)(fa_worker *, void *))
{
    give(at->w, at->pool);
    return true; // assert_untouched() sees whether it went
}

static void pool_free_inlined(fa_worker *w, void *p)
{
    fa_pool_free(w, p);
}

static bool free_batch(world *at)
{
    void *object = at->pool;
    fa_pool_free_batch(at->w, 1, &object);
    return true;
}

static bool heap_free(world *at)
{
    fa_heap_free(at->w, at->heap);
    return true;
}

static bool join(world *at)
{
    fa_join(at->w, &at->task);
    return fa_worker_count(at->fa) > 0 || !fa_is_done(&at->task.counter); // a worker may have taken the task
}

static bool fork_task(world *at)
{
    fa_task task;
    return fa_fork(at->w, &task, must_not_run, NULL) == at->wrong && fa_is_done(&task.counter);
}

static bool submit_job(world *at)
{
    fa_job job = {.fn = must_not_run, .counter = &at->counter};
    return fa_submit_job(at->w, &job) == at->wrong;
}

static bool submit_main(world *at)
{
    fa_job job = {.fn = must_not_run, .counter = &at->counter, .flags = FA_JOB_MAIN};
    return fa_submit_job(at->w, &job) == at->wrong;
}

static bool hold(world *at)
{
    fa_frame frame = {7};
    return fa_frame_hold(at->w, &frame) == at->wrong && frame.bits == 0;
}

static bool end_scope(world *at)
{
    fa_scope scope = {at->w, at->scope.mark};
    fa_scope_end(&scope);
    return true;
}

static bool frame_batch(world *at)
{
    void *out[2] = {at, at};
    return !fa_frame_alloc_batch(at->w, 2, 16, 16, out) && out[0] == at;
}

static bool pool_batch(world *at)
{
    void *out[2];
    return !fa_pool_alloc_batch(at->w, 2, 16, 16, out);
}

static bool unpin_pinned(world *at)
{
    fa_handle_pinned pinned = {at->w, at->pinned, at};
    fa_handle_pinned_end(&pinned);
    return pinned.object == at; // still to be taken off
}

static bool create_group(world *at)
{
    fa_group group = {1};
    return fa_group_create(at->w, "other", &group) == at->wrong && group.id == 0;
}

static bool read_group(world *at)
{
    fa_group_info info;
    return fa_group_read(at->w, at->group, &info) == at->wrong && info.objects == 0;
}

static bool open_job_memory(world *at)
{
    fa_job_memory memory = {1};
    return fa_job_memory_open(at->w, &memory) == at->wrong && memory.id == 0;
}

static bool read_job_memory(world *at)
{
    fa_job_memory_info info;
    return fa_job_memory_read(at->w, (fa_job_memory){1}, &info) == at->wrong && info.objects == 0;
}

static bool create_scratch(world *at)
{
    fa_scratch pool = {1};
    return fa_scratch_create(at->w, "other", 0, &pool) == at->wrong && pool.id == 0;
}

static bool read_scratch(world *at)
{
    fa_scratch_info info;
    return fa_scratch_read(at->w, at->scratch, &info) == at->wrong && info.capacity == 0;
}

static bool reserve_stream(world *at)
{
    fa_stream stream = {1};
    return fa_stream_reserve(at->w, 100, FA_STREAM_LOW, NULL, &stream) == at->wrong && stream.bits == 0;
}

static bool load_begin(world *at, fa_stream stream)
{
    void *memory = at;
    return fa_stream_load_begin(at->w, stream, &memory) == at->wrong && memory == NULL;
}

static bool pin_stream(world *at)
{
    const void *data = at;
    return fa_stream_pin(at->w, at->ready, &data, NULL) == at->wrong && data == NULL;
}

static bool stream_pinned(world *at)
{
    fa_stream_pinned pinned = fa_stream_pinned_begin(at->w, at->ready);
    bool refused = pinned.status == at->wrong && pinned.data == NULL;
    fa_stream_pinned_end(&pinned); // nothing to end
    return refused;
}

static bool end_stream_pinned(world *at)
{
    fa_stream_pinned pinned = {at->w, at->ready, at, 1, FA_OK};
    fa_stream_pinned_end(&pinned);
    return pinned.data == at && pinned.status == FA_OK;
}

static bool send(world *at)
{
    fa_transfer ticket = {1};
    return fa_transfer_send(at->w, at->pool, &ticket) == at->wrong && ticket.bits == 0;
}

static bool receive(world *at)
{
    void *p = at;
    return fa_transfer_receive(at->w, at->ticket, &p) == at->wrong && p == NULL;
}

static void *retained(world *at, bool typed)
{
    fa_retain retain = {.to = FA_RETAIN_HEAP};
    return typed ? fa_frame_retained_typed(at->w, 16, 16, &retain, "int") : fa_frame_retained(at->w, 16, 16, &retain);
}

static bool take_storage(world *at)
{
    fa_storage storage;
    void *elements = at;
    return fa_storage_take(at->w, FA_HOME_HEAP, 4, 4, 4, &storage, &elements) == at->wrong && elements == NULL &&
           storage.owner == NULL;
}

static bool give_storage(world *at)
{
    fa_storage storage = at->storage;
    fa_storage_give(at->w, &storage);
    return storage.memory != NULL;
}

static bool init_map(world *at)
{
    fa_map map;
    return fa_map_init(at->w, &map, FA_HOME_POOL, 4, 8, 8) == at->wrong && map.capacity == 0;
}

static bool end_tag(world *at)
{
    fa_tag_scope scope = {at->w, 0, at->tag.id};
    fa_tag_end(&scope);
    return scope.worker == at->w; // still to be ended
}

static bool end_phase(world *at)
{
    fa_phase_scope scope = {at->w};
    fa_phase_scope_end(&scope);
    return scope.worker == at->w;
}

static void must_not_drop(void *object, void *context)
{
    (void)object;
    (void)context;
    expect_failed("a refused end has dropped its object", __FILE__, __LINE__);
}

static bool end_auto(world *at)
{
    fa_auto guard = {.worker = at->w, .object = at->heap, .give = fa_heap_free, .drop = must_not_drop};
    fa_auto_end(&guard);
    return guard.object == at->heap;
}

static bool end_checkpoint_guard(world *at)
{
    fa_checkpoint_guard guard = {.worker = at->w, .checkpoint = at->checkpoint};
    fa_checkpoint_guard_end(&guard);
    return !guard.committed;
}

static bool speculate(world *at)
{
    fa_speculation result = fa_speculate(at->w, must_not_try, NULL);
    return result.outcome == FA_OUTCOME_NOT_RUN && result.status == at->wrong;
}

static bool attempt(world *at)
{
    fa_speculation result;
    fa_attempt one = fa_attempt_begin(at->w, &result);
    while (fa_attempt_once(&one)) expect_failed("a refused attempt was entered", __FILE__, __LINE__);
    fa_attempt_end(&one);
    return result.outcome == FA_OUTCOME_NOT_RUN && result.status == at->wrong;
}

static bool end_attempt(world *at)
{
    fa_speculation result = {FA_OUTCOME_NOT_RUN, -1, FA_OK};
    fa_attempt one = {.guard = {.worker = at->w, .checkpoint = at->checkpoint}, .result = &result, .entered = true};
    fa_attempt_end(&one);
    return result.outcome == FA_OUTCOME_REFUSED && result.status == at->wrong;
}

static bool table_alloc(fa_allocator table)
{
    return fa_alloc_with(&table, 16, 16) == NULL;
}

static bool table_realloc(world *at)
{
    fa_allocator table = fa_allocator_heap(at->w);
    return fa_realloc_with(&table, at->heap, 40000, 80000, 16) == NULL;
}

static bool table_free(world *at)
{
    fa_allocator table = fa_allocator_pool(at->w);
    fa_free_with(&table, at->pool, 100);
    return true;
}

static bool group_table(world *at)
{
    fa_group_source source = {at->w, at->group};
    return table_alloc(fa_allocator_group(&source));
}

static bool scratch_table(world *at)
{
    fa_scratch_source source = {at->w, at->scratch};
    return table_alloc(fa_allocator_scratch(&source));
}

static bool job_table(world *at)
{
    fa_job_source source = {at->w, {1}};
    return table_alloc(fa_allocator_job(&source));
}

// Wrong thread ------------------------------------------------------------------------------------------------------------

/// Calls that need the lane: refused on another thread, on a lane that is nobody's, and while it is idle.
#define LANE_CALLS(X)                                                                                                  \
    X(frame_alloc, fa_frame_alloc(at->w, 16) == NULL)                                                                  \
    X(frame_alloc_slow, fa_frame_alloc_slow(at->w, 16, 16) == NULL)                                                    \
    X(frame_alloc_aligned, fa_frame_alloc_aligned(at->w, 16, 64) == NULL)                                              \
    X(frame_alloc_array, fa_frame_alloc_array(at->w, 2, 16, 16) == NULL)                                               \
    X(frame_alloc_zeroed, fa_frame_alloc_zeroed(at->w, 2, 16, 16) == NULL)                                             \
    X(frame_alloc_batch, frame_batch(at))                                                                              \
    X(frame_alloc_none, fa_frame_alloc_array(at->w, SIZE_MAX, 16, 16) == NULL)                                         \
    X(frame_hold, hold(at))                                                                                            \
    X(scope_alloc, fa_scope_alloc(at->w, 16) == NULL)                                                                  \
    X(scope_alloc_slow, fa_scope_alloc_slow(at->w, 16, 16) == NULL)                                                    \
    X(scope_alloc_aligned, fa_scope_alloc_aligned(at->w, 16, 64) == NULL)                                              \
    X(scope_alloc_array, fa_scope_alloc_array(at->w, 2, 16, 16) == NULL)                                               \
    X(scope_alloc_zeroed, fa_scope_alloc_zeroed(at->w, 2, 16, 16) == NULL)                                             \
    X(scope_begin, fa_scope_begin(at->w).worker == NULL)                                                               \
    X(scope_end, end_scope(at))                                                                                        \
    X(checkpoint_take, fa_checkpoint_take(at->w).lane == UINT32_MAX)                                                   \
    X(checkpoint_rollback, fa_checkpoint_rollback(at->w, at->checkpoint) == at->wrong)                                 \
    X(pool_alloc, fa_pool_alloc(at->w, 16) == NULL)                                                                    \
    X(pool_alloc_slow, fa_pool_alloc_slow(at->w, 16, 16) == NULL)                                                      \
    X(pool_alloc_aligned, fa_pool_alloc_aligned(at->w, 16, 64) == NULL)                                                \
    X(pool_alloc_large, fa_pool_alloc(at->w, 100000) == NULL)                                                          \
    X(pool_alloc_array, fa_pool_alloc_array(at->w, 2, 16, 16) == NULL)                                                 \
    X(pool_alloc_zeroed, fa_pool_alloc_zeroed(at->w, 2, 16, 16) == NULL)                                               \
    X(pool_alloc_batch, pool_batch(at))                                                                                \
    X(pool_free, free_of_pool(at, pool_free_inlined))                                                                  \
    X(pool_free_slow, free_of_pool(at, fa_pool_free_slow))                                                             \
    X(pool_free_batch, free_batch(at))                                                                                 \
    X(heap_alloc, fa_heap_alloc(at->w, 16, 16) == NULL)                                                                \
    X(heap_alloc_array, fa_heap_alloc_array(at->w, 2, 16, 16) == NULL)                                                 \
    X(heap_alloc_zeroed, fa_heap_alloc_zeroed(at->w, 2, 16, 16) == NULL)                                               \
    X(heap_free, heap_free(at))                                                                                        \
    X(refuse_array, fa_refuse_array(at->w, SIZE_MAX, 2) == NULL)                                                       \
    X(handle_alloc, fa_handle_is_none(fa_handle_alloc(at->w, 16, 16, NULL)))                                           \
    X(handle_alloc_array, fa_handle_is_none(fa_handle_alloc_array(at->w, 2, 16, 16, NULL)))                            \
    X(handle_free, fa_handle_free(at->w, at->handle) == at->wrong)                                                     \
    X(handle_refuse, fa_handle_refuse(at->w, at->handle) == NULL)                                                      \
    X(handle_pin, fa_handle_pin(at->w, at->handle) == NULL)                                                            \
    X(handle_unpin, fa_handle_unpin(at->w, at->pinned) == at->wrong)                                                   \
    X(handle_pinned_begin, fa_handle_pinned_begin(at->w, at->handle).object == NULL)                                   \
    X(handle_pinned_end, unpin_pinned(at))                                                                             \
    X(group_create, create_group(at))                                                                                  \
    X(group_alloc, fa_group_alloc(at->w, at->group, 16, 16) == NULL)                                                   \
    X(group_alloc_array, fa_group_alloc_array(at->w, at->group, 2, 16, 16) == NULL)                                    \
    X(group_alloc_cleaned, fa_group_alloc_cleaned(at->w, at->group, 16, 16, drop_object, NULL) == NULL)                \
    X(group_free, fa_group_free(at->w, at->group) == at->wrong)                                                        \
    X(group_read, read_group(at))                                                                                      \
    X(group_exists, !fa_group_exists(at->w, at->group))                                                                \
    X(job_alloc, fa_job_alloc(at->w, 16, 16) == NULL)                                                                  \
    X(job_alloc_array, fa_job_alloc_array(at->w, 2, 16, 16) == NULL)                                                   \
    X(job_memory_open, open_job_memory(at))                                                                            \
    X(job_memory_current, fa_job_memory_current(at->w).id == 0)                                                        \
    X(job_memory_alloc, fa_job_memory_alloc(at->w, (fa_job_memory){1}, 16, 16) == NULL)                                \
    X(job_memory_alloc_array, fa_job_memory_alloc_array(at->w, (fa_job_memory){1}, 2, 16, 16) == NULL)                 \
    X(job_memory_read, read_job_memory(at))                                                                            \
    X(scratch_create, create_scratch(at))                                                                              \
    X(scratch_find, fa_scratch_find(at->w, "paths").id == 0)                                                           \
    X(scratch_alloc, fa_scratch_alloc(at->w, at->scratch, 16, 16) == NULL)                                             \
    X(scratch_alloc_array, fa_scratch_alloc_array(at->w, at->scratch, 2, 16, 16) == NULL)                              \
    X(scratch_reset, fa_scratch_reset(at->w, at->scratch) == at->wrong)                                                \
    X(scratch_reset_all, fa_scratch_reset_all(at->w) == at->wrong)                                                     \
    X(scratch_remove, fa_scratch_remove(at->w, at->scratch) == at->wrong)                                              \
    X(scratch_read, read_scratch(at))                                                                                  \
    X(scratch_list, fa_scratch_list(at->w, NULL, 0) == 0)                                                              \
    X(stream_reserve, reserve_stream(at))                                                                              \
    X(stream_load_begin, load_begin(at, at->reserved))                                                                 \
    X(stream_load_again, load_begin(at, at->loading))                                                                  \
    X(stream_progress, fa_stream_progress(at->w, at->loading, 100) == at->wrong)                                       \
    X(stream_load_end, fa_stream_load_end(at->w, at->loading) == at->wrong)                                            \
    X(stream_load_abort, fa_stream_load_abort(at->w, at->loading) == at->wrong)                                        \
    X(stream_pin, pin_stream(at))                                                                                      \
    X(stream_unpin, fa_stream_unpin(at->w, at->ready) == at->wrong)                                                    \
    X(stream_read, fa_stream_read(at->w, at->ready, NULL) == NULL)                                                     \
    X(stream_touch, fa_stream_touch(at->w, at->ready) == at->wrong)                                                    \
    X(stream_set_priority, fa_stream_set_priority(at->w, at->ready, FA_STREAM_LOW) == at->wrong)                       \
    X(stream_free, fa_stream_free(at->w, at->ready) == at->wrong)                                                      \
    X(stream_pinned_begin, stream_pinned(at))                                                                          \
    X(stream_pinned_end, end_stream_pinned(at))                                                                        \
    X(transfer_send, send(at))                                                                                         \
    X(transfer_receive, receive(at))                                                                                   \
    X(cell_publish, fa_cell_publish(at->w, &at->cell, at->pool) == at->wrong)                                          \
    X(cell_drop, fa_cell_drop(at->w, &at->cell) == at->wrong)                                                          \
    X(retire, fa_retire(at->w, at->pool) == at->wrong)                                                                 \
    X(frame_retained, retained(at, false) == NULL)                                                                     \
    X(frame_retained_typed, retained(at, true) == NULL)                                                                \
    X(retained_count, fa_retained_count(at->w) == 0)                                                                   \
    X(retained_abandon, fa_retained_abandon(at->w) == 0)                                                               \
    X(storage_take, take_storage(at))                                                                                  \
    X(storage_give, give_storage(at))                                                                                  \
    X(storage_check, !fa_storage_check(at->w, &at->storage))                                                           \
    X(storage_may_use, !fa_storage_may_use(at->w, &at->storage))                                                       \
    X(vector_push, !numbers_push(at->w, &at->vector, 3))                                                               \
    X(map_init, init_map(at))                                                                                          \
    X(map_insert, scores_insert(at->w, &at->map, 5, 5, NULL) == FA_MAP_FULL)                                           \
    X(tag_current, fa_tag_current(at->w).id == 0)                                                                      \
    X(tag_begin, fa_tag_begin(at->w, "stolen").worker == NULL)                                                         \
    X(tag_begin_at, fa_tag_begin_at(at->w, at->tag).worker == NULL)                                                    \
    X(tag_end, end_tag(at))                                                                                            \
    X(phase_begin, fa_phase_begin(at->w, "stolen") == at->wrong)                                                       \
    X(phase_end, fa_phase_end(at->w) == at->wrong)                                                                     \
    X(phase_current, fa_phase_current(at->w)[0] == '\0')                                                               \
    X(phase_scope_begin, fa_phase_scope_begin(at->w, "stolen").worker == NULL)                                         \
    X(phase_scope_end, end_phase(at))                                                                                  \
    X(submit_job, submit_job(at))                                                                                      \
    X(submit_job_main, submit_main(at))                                                                                \
    X(submit, fa_submit(at->w, must_not_run, NULL) == at->wrong)                                                       \
    X(submit_counted, fa_submit_counted(at->w, &at->counter, must_not_run, NULL) == at->wrong)                         \
    X(submit_copy, fa_submit_copy(at->w, &at->counter, must_not_run, at, sizeof *at) == at->wrong)                     \
    X(submit_many, fa_submit_many(at->w, &at->counter, must_not_run, NULL, 0, 4) == at->wrong)                         \
    X(wait, fa_wait(at->w, &at->counter) == at->wrong)                                                                 \
    X(parallel_for, fa_parallel_for(at->w, 0, 4, 1, no_range, NULL) == at->wrong)                                      \
    X(fork, fork_task(at))                                                                                             \
    X(join, join(at))                                                                                                  \
    X(job_name, fa_job_name(at->w) == NULL)                                                                            \
    X(job_depth, fa_job_depth(at->w) == 0)                                                                             \
    X(diagnose, fa_diagnose(at->w, FA_SEVERITY_ERROR, "GAME1", NULL, NULL, "never seen") == at->wrong)                 \
    X(auto_pool, fa_auto_pool(at->w, 1, 16, 16).object == NULL)                                                        \
    X(auto_heap, fa_auto_heap(at->w, 1, 16, 16).object == NULL)                                                        \
    X(auto_end, end_auto(at))                                                                                          \
    X(checkpoint_guard_begin, fa_checkpoint_guard_begin(at->w).checkpoint.lane == UINT32_MAX)                          \
    X(checkpoint_guard_end, end_checkpoint_guard(at))                                                                  \
    X(speculate, speculate(at))                                                                                        \
    X(attempt_begin, attempt(at))                                                                                      \
    X(attempt_end, end_attempt(at))                                                                                    \
    X(allocator_frame, table_alloc(fa_allocator_frame(at->w)))                                                         \
    X(allocator_scope, table_alloc(fa_allocator_scope(at->w)))                                                         \
    X(allocator_pool, table_alloc(fa_allocator_pool(at->w)))                                                           \
    X(allocator_heap, table_alloc(fa_allocator_heap(at->w)))                                                           \
    X(allocator_group, group_table(at))                                                                                \
    X(allocator_scratch, scratch_table(at))                                                                            \
    X(allocator_job, job_table(at))                                                                                    \
    X(realloc_with, table_realloc(at))                                                                                 \
    X(free_with, table_free(at))

LANE_CALLS(CALL_FUNCTION)
static const call lane_calls[] = {LANE_CALLS(CALL_ROW)};

/// Calls that end or begin the lane's own time, which look in unchecked systems as well.
#define THREAD_CALLS(X)                                                                                                \
    X(detach, fa_detach(at->w) != FA_OK)                                                                               \
    X(quiescent, fa_quiescent(at->w) == at->wrong)                                                                     \
    X(idle_begin, fa_idle_begin(at->w) == at->wrong)                                                                   \
    X(idle_end, fa_idle_end(at->w) == at->wrong)

THREAD_CALLS(CALL_FUNCTION)
static const call thread_calls[] = {THREAD_CALLS(CALL_ROW)};

static void run_lane_calls(world *at, unsigned code)
{
    RUN_CALLS(at, lane_calls, code);
    // A context that is no attached thread's cannot detach, whoever asks: that is no question of the thread.
    size_t first = at->w->index == 0;
    run_calls(at, thread_calls + first, sizeof thread_calls / sizeof thread_calls[0] - first, code);
}

static void *call_without_lane(void *arg)
{
    run_lane_calls(arg, 201);
    return NULL;
}

static void *call_attached(void *arg)
{
    world *at = arg;
    fa_worker *w;
    EXPECT(fa_attach(at->fa, &w) == FA_OK);
    run_lane_calls(at, 201);
    EXPECT(fa_detach(w) == FA_OK);
    return NULL;
}

static void call_in_job(fa_worker *w, void *arg)
{
    if (w->index != 0) run_lane_calls(arg, 201);
}

static void run_thread(void *(*run)(void *), void *arg)
{
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, run, arg), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

static void another_threads_lane(const test_case *test)
{
    world at;
    open_world(&at, test);
    at.wrong = FA_ERROR_WRONG_THREAD;
    run_thread(call_without_lane, &at);
    assert_untouched(&at);
    run_thread(call_attached, &at);
    close_world(&at);
}

/// A job on a worker thread uses the main lane's context.
static void another_threads_lane_in_a_job(const test_case *test)
{
    world at;
    open_world(&at, test);
    at.wrong = FA_ERROR_WRONG_THREAD;
    everyone(at.fa, call_in_job, &at);
    close_world(&at);
}

typedef struct visitor {
    world *at;
    fa_worker *w;
} visitor;

static void *attach_and_go(void *arg)
{
    visitor *v = arg;
    EXPECT(fa_attach(v->at->fa, &v->w) == FA_OK);
    EXPECT(fa_detach(v->w) == FA_OK);
    return NULL;
}

static void a_lane_of_nobody(const test_case *test)
{
    world at;
    open_world(&at, test);
    visitor v = {&at, NULL};
    run_thread(attach_and_go, &v);
    at.w = v.w;
    at.wrong = FA_ERROR_WRONG_THREAD;
    run_lane_calls(&at, 202);
    close_world(&at);
}

// Idle ------------------------------------------------------------------------------------------------------------------

static void an_idle_main_lane(const test_case *test)
{
    world at;
    open_world(&at, test);
    assert_int_equal(fa_idle_begin(at.own), FA_OK);
    at.wrong = FA_ERROR_STATE;
    RUN_CALLS(&at, lane_calls, 202);
    assert_int_equal(fa_idle_begin(at.own), FA_ERROR_STATE);
    assert_int_equal(fa_quiescent(at.own), FA_ERROR_STATE);
    assert_int_equal(fa_run_main_jobs(at.fa), 0);
    assert_reported(&at.to, 202, 1);
    assert_int_equal(fa_idle_end(at.own), FA_OK);
    close_world(&at);
}

static void *call_while_idle(void *arg)
{
    world *at = arg;
    EXPECT(fa_attach(at->fa, &at->w) == FA_OK);
    fa_frame frame;
    EXPECT(fa_frame_hold(at->w, &frame) == FA_OK);
    EXPECT(fa_idle_begin(at->w) == FA_OK);
    RUN_CALLS(at, lane_calls, 202);
    EXPECT(fa_frame_drop(at->fa, frame) == FA_ERROR_STATE);
    EXPECT(fa_detach(at->w) == FA_ERROR_STATE);
    EXPECT(fa_idle_end(at->w) == FA_OK);
    EXPECT(fa_frame_drop(at->fa, frame) == FA_OK);
    EXPECT(fa_detach(at->w) == FA_OK);
    return NULL;
}

static void an_idle_attached_thread(const test_case *test)
{
    world at;
    open_world(&at, test);
    at.wrong = FA_ERROR_STATE;
    run_thread(call_while_idle, &at);
    close_world(&at);
}

/// What unchecked systems say of idle lanes: these look always.
static void idle_is_looked_for_where_it_costs_nothing(const test_case *test)
{
    sink to;
    fa_system *fa = create_case(test, &to);
    fa_worker *w = fa_self(fa);
    fa_counter counter = FA_COUNTER_INIT;
    begin(fa);
    assert_int_equal(fa_submit_counted(w, &counter, nothing, NULL), FA_OK);
    assert_int_equal(fa_idle_begin(w), FA_OK);
    if (!fa_is_done(&counter)) assert_int_equal(fa_wait(w, &counter), FA_ERROR_STATE);
    assert_int_equal(fa_frame_end(fa, NULL), FA_ERROR_STATE);
    assert_int_equal(fa_run_main_jobs(fa), 0);
    assert_int_equal(fa_idle_end(w), FA_OK);
    end(fa);
    forget_reports(&to, 202);
    destroy_quiet(fa, &to);
}

// The main lane's calls -----------------------------------------------------------------------------------------------------

static bool write_nothing(const void *bytes, size_t size, void *context)
{
    (void)bytes;
    (void)size;
    (void)context;
    expect_failed("a refused call has written", __FILE__, __LINE__);
    return false;
}

static void tell_line(const char *line, void *context)
{
    (void)line;
    (void)context;
    expect_failed("a refused call has written", __FILE__, __LINE__);
}

static void hear(const fa_event *event, void *context)
{
    (void)event;
    (void)context;
}

static bool read_leaks(world *at)
{
    uint32_t count = 7;
    return fa_leaks_read(at->fa, NULL, 0, &count) == at->wrong && count == 0;
}

static bool begin_strict(world *at)
{
    fa_strict_scope scope = fa_strict_begin(at->fa, FA_STRICT_STOP_ON_WARNING);
    bool refused = scope.system == NULL && fa_strict_mode(at->fa) == FA_STRICT_WARN;
    fa_strict_end(&scope); // nothing to end
    return refused;
}

static bool end_strict(world *at)
{
    fa_strict_scope scope = {at->fa, FA_STRICT_STOP_ON_ERROR};
    fa_strict_end(&scope);
    return fa_strict_mode(at->fa) == FA_STRICT_WARN && scope.system == at->fa;
}

static bool set_sink(world *at)
{
    fa_status status = fa_sink_set(at->fa, NULL, NULL);
    return status == at->wrong;
}

static bool read_phases(world *at, bool totals)
{
    uint32_t count = 7;
    return (totals ? fa_phase_totals_read : fa_phase_stats_read)(at->fa, NULL, 0, &count) == at->wrong && count == 0;
}

static bool end_frame(world *at, bool summary)
{
    fa_frame_result result;
    return (summary ? fa_frame_end_summary : fa_frame_end)(at->fa, &result) == at->wrong;
}

static bool read_contention(world *at)
{
    fa_contention contention;
    return fa_contention_read(at->fa, &contention) == at->wrong;
}

static bool take_snapshot(world *at, bool of_history)
{
    static _Thread_local fa_snapshot snapshot;
    return (of_history ? fa_history_read(at->fa, 0, &snapshot) : fa_snapshot_take(at->fa, &snapshot)) == at->wrong;
}

static bool enable_history(world *at)
{
    fa_status status = fa_history_enable(at->fa, 10);
    return status == at->wrong;
}

static bool draw_graph(world *at)
{
    fa_graph_point point;
    return fa_memory_graph(at->fa, &point, 1) == 0;
}

static bool compact(world *at)
{
    fa_handle_compaction result = {.moves = 1};
    return fa_handles_compact(at->fa, SIZE_MAX, UINT32_MAX, &result) == at->wrong && result.moves == 0;
}

static bool watch_behavior(world *at)
{
    fa_status status = fa_behavior_watch(at->fa, NULL);
    return status == at->wrong;
}

static bool read_behavior(world *at)
{
    fa_behavior behavior;
    return fa_behavior_read(at->fa, at->tag, &behavior) == at->wrong && behavior.heap_objects == 0;
}

/// Calls that only the thread may make that created the system.
#define MAIN_CALLS(X)                                                                                                  \
    X(frame_begin, fa_frame_begin(at->fa) == at->wrong)                                                                \
    X(frame_try_begin, fa_frame_try_begin(at->fa) == at->wrong)                                                        \
    X(frame_end, end_frame(at, false))                                                                                 \
    X(frame_end_summary, end_frame(at, true))                                                                          \
    X(handles_compact, compact(at))                                                                                    \
    X(destroy, fa_destroy(at->fa) == at->wrong)                                                                        \
    X(run_main_jobs, fa_run_main_jobs(at->fa) == 0)                                                                    \
    X(sink_set, set_sink(at))                                                                                          \
    X(suppress, fa_suppress(at->fa, NULL, true) == at->wrong)                                                          \
    X(verbose_set, fa_verbose_set(at->fa, true) == at->wrong)                                                          \
    X(strict_set, fa_strict_set(at->fa, FA_STRICT_STOP_ON_WARNING) == at->wrong)                                       \
    X(strict_begin, begin_strict(at))                                                                                  \
    X(strict_end, end_strict(at))                                                                                      \
    X(phase_stats_read, read_phases(at, false))                                                                        \
    X(phase_totals_read, read_phases(at, true))                                                                        \
    X(contention_read, read_contention(at))                                                                            \
    X(leaks_read, read_leaks(at))                                                                                      \
    X(leaks_write, fa_leaks_write(at->fa, tell_line, NULL) == at->wrong)                                               \
    X(snapshot_take, take_snapshot(at, false))                                                                         \
    X(history_enable, enable_history(at))                                                                              \
    X(history_disable, fa_history_disable(at->fa) == at->wrong)                                                        \
    X(history_count, fa_history_count(at->fa) == 0)                                                                    \
    X(history_read, take_snapshot(at, true))                                                                           \
    X(memory_graph, draw_graph(at))                                                                                    \
    X(behavior_watch, watch_behavior(at))                                                                              \
    X(behavior_reset, fa_behavior_reset(at->fa) == at->wrong)                                                          \
    X(behavior_unwatch, fa_behavior_unwatch(at->fa) == at->wrong)                                                      \
    X(behavior_read, read_behavior(at))                                                                                \
    X(tick_install, fa_tick_install(at->fa) == at->wrong)

MAIN_CALLS(CALL_FUNCTION)
static const call main_calls[] = {MAIN_CALLS(CALL_ROW)};

static bool listen_to(world *at)
{
    fa_listener listener = {1};
    fa_status status = fa_listen(at->fa, FA_EVENT_BIT(FA_EVENT_FRAME_END), hear, NULL, &listener);
    return status == at->wrong && listener.bits == 0;
}

static bool start_trace(world *at, bool to)
{
    fa_status status = to ? fa_trace_start_to(at->fa, write_nothing, NULL) : fa_trace_start(at->fa, "misuse.json");
    return status == at->wrong;
}

/// Those that builds without FA_TRACE answer FA_ERROR_UNSUPPORTED.
#define EVENT_CALLS(X)                                                                                                 \
    X(listen, listen_to(at))                                                                                           \
    X(unlisten, fa_unlisten(at->fa, (fa_listener){1}) == at->wrong)                                                    \
    X(trace_start, start_trace(at, false))                                                                             \
    X(trace_start_to, start_trace(at, true))                                                                           \
    X(trace_stop, fa_trace_stop(at->fa, NULL) == at->wrong)

EVENT_CALLS(CALL_FUNCTION)
static const call event_calls[] = {EVENT_CALLS(CALL_ROW)};

static bool on_begin(world *at)
{
    fa_tick_on_begin(at->fa);
    return true;
}

static bool on_end(world *at)
{
    fa_tick_on_end(at->fa);
    return true;
}

/// Hooks report on their own account (FA102), in every system.
#define HOOK_CALLS(X)                                                                                                  \
    X(tick_begin, fa_tick_begin(at->fa) == at->wrong)                                                                  \
    X(tick_end, fa_tick_end(at->fa, NULL) == at->wrong)                                                                \
    X(tick_on_begin, on_begin(at))                                                                                     \
    X(tick_on_end, on_end(at))

HOOK_CALLS(CALL_FUNCTION)
static const call hook_calls[] = {HOOK_CALLS(CALL_ROW)};

static void run_main_calls(world *at, bool checked)
{
    RUN_CALLS(at, main_calls, checked ? 201 : 0);
    if (FA_TRACE) RUN_CALLS(at, event_calls, checked ? 201 : 0);
    RUN_CALLS(at, hook_calls, 102);
}

static void *make_main_calls(void *arg)
{
    world *at = arg;
    bool checked = at->own->region_units == 0; // as inlined code sees it
    run_main_calls(at, checked);
    fa_worker *w;
    EXPECT(fa_attach(at->fa, &w) == FA_OK);
    run_main_calls(at, checked);
    EXPECT(fa_detach(w) == FA_OK);
    return NULL;
}

static void main_calls_of_others(const test_case *test)
{
    world at;
    open_world(&at, test);
    at.wrong = FA_ERROR_WRONG_THREAD;
    run_thread(make_main_calls, &at);
    close_world(&at);
}

// Another system's ------------------------------------------------------------------------------------------------------------

static void use_foreign_counter(world *at, world *other)
{
    fa_counter counter = FA_COUNTER_INIT;
    assert_int_equal(fa_submit_counted(at->own, &counter, nothing, NULL), FA_OK);
    if (!fa_is_done(&counter)) { // without workers it waits for its own main lane
        assert_int_equal(fa_wait(other->own, &counter), FA_ERROR_INVALID);
        assert_int_equal(fa_submit_counted(other->own, &counter, must_not_run, NULL), FA_ERROR_INVALID);
        assert_int_equal(fa_submit_many(other->own, &counter, must_not_run, NULL, 0, 3), FA_ERROR_INVALID);
        assert_reported(&other->to, 201, 3);
    }
    fa_join(other->own, &at->task);
    assert_false(fa_is_done(&at->task.counter));
    assert_reported(&other->to, 201, 1);
    assert_int_equal(fa_wait(at->own, &counter), FA_OK);
    assert_int_equal(fa_submit_counted(other->own, &counter, nothing, NULL), FA_OK); // zero: anybody's
    assert_int_equal(fa_wait(other->own, &counter), FA_OK);
}

/// Ids of one system, used in another that has the same things in the same places.
static void another_systems_ids(const test_case *test)
{
    world at, other;
    open_world(&at, test);
    open_world(&other, test);
    fa_worker *w = other.own;
    fa_group_info group;
    fa_scratch_info scratch;
    const void *data;
    void *p;
    fa_handle handles[] = {at.handle, at.pinned};
    for (size_t i = 0; i < 2; i++) {
        assert_false(fa_handle_is_valid(w, handles[i]));
        assert_null(fa_handle_resolve(w, handles[i]));
        assert_null(fa_handle_pin(w, handles[i]));
        assert_int_equal(fa_handle_unpin(w, handles[i]), FA_ERROR_STALE);
        assert_int_equal(fa_handle_free(w, handles[i]), FA_ERROR_STALE);
        assert_reported(&other.to, 401, test->checked ? 4 : 0);
    }
    assert_null(fa_group_alloc(w, at.group, 16, 16));
    assert_int_equal(fa_group_free(w, at.group), FA_ERROR_STALE);
    assert_null(fa_scratch_alloc(w, at.scratch, 16, 16));
    assert_int_equal(fa_scratch_reset(w, at.scratch), FA_ERROR_STALE);
    assert_int_equal(fa_scratch_remove(w, at.scratch), FA_ERROR_STALE);
    assert_reported(&other.to, 201, test->checked ? 5 : 0);
    assert_int_equal(fa_group_read(w, at.group, &group), FA_ERROR_STALE);
    assert_int_equal(fa_scratch_read(w, at.scratch, &scratch), FA_ERROR_STALE);
    fa_stream streams[] = {at.reserved, at.loading, at.ready};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(fa_stream_load_begin(w, streams[i], &p), FA_ERROR_INVALID);
        assert_int_equal(fa_stream_load_abort(w, streams[i]), FA_ERROR_INVALID);
        assert_int_equal(fa_stream_pin(w, streams[i], &data, NULL), FA_ERROR_INVALID);
        assert_int_equal(fa_stream_free(w, streams[i]), FA_ERROR_INVALID);
        assert_reported(&other.to, 401, test->checked ? 4 : 0);
        assert_int_equal(fa_stream_state_of(other.fa, streams[i]), FA_STREAM_NONE);
    }
    assert_int_equal(fa_transfer_receive(w, at.ticket, &p), FA_ERROR_STALE);
    assert_reported(&other.to, 401, test->checked ? 1 : 0);
    assert_int_equal(fa_cell_publish(w, &at.cell, NULL), FA_ERROR_INVALID);
    assert_int_equal(fa_cell_drop(w, &at.cell), FA_ERROR_INVALID);
    assert_int_equal(fa_cell_publish(w, &at.cell, other.pool), FA_ERROR_INVALID);
    assert_reported(&other.to, 201, test->checked ? 3 : 0);
    assert_int_equal(fa_checkpoint_rollback(w, at.checkpoint), FA_ERROR_STALE);
    assert_quiet(&other.to);
    if (test->checked) use_foreign_counter(&at, &other);
    close_world(&other);
    close_world(&at);
}

// Forks that are not joined -----------------------------------------------------------------------------------------------------

typedef struct forgetful {
    fa_task tasks[3]; // here, so that a lane that has taken one writes where it may
    atomic_uint ran;
    uint32_t joins;
} forgetful;

static void count_run(fa_worker *w, void *arg)
{
    (void)w;
    atomic_fetch_add((atomic_uint *)arg, 1u);
}

static void fork_and_forget(fa_worker *w, void *arg)
{
    forgetful *f = arg;
    for (int i = 0; i < 3; i++) EXPECT(fa_fork(w, &f->tasks[i], count_run, &f->ran) == FA_OK);
    for (uint32_t i = 0; i < f->joins; i++) fa_join(w, &f->tasks[2 - i]);
}

static void forks_left_by_a_job(const test_case *test)
{
    for (uint32_t joins = 0; joins <= 3; joins++) {
        sink to;
        fa_system *fa = create_case(test, &to);
        forgetful f = {.joins = joins};
        begin(fa);
        assert_int_equal(fa_submit(fa_self(fa), fork_and_forget, &f), FA_OK);
        end(fa);
        assert_int_equal(atomic_load(&f.ran), 3); // nothing is lost
        assert_reported(&to, 203, joins < 3);
        destroy_quiet(fa, &to);
    }
}

static void forks_left_by_a_frame(const test_case *test)
{
    sink to;
    fa_system *fa = create_case(test, &to);
    forgetful f = {.joins = 2};
    begin(fa);
    fork_and_forget(fa_self(fa), &f);
    assert_int_equal(fa_frame_end(fa, NULL), FA_ERROR_STATE);
    assert_reported(&to, 203, 1);
    fa_join(fa_self(fa), &f.tasks[0]);
    fa_join(fa_self(fa), &f.tasks[0]); // again: nothing
    end(fa);
    assert_int_equal(atomic_load(&f.ran), 3);
    destroy_quiet(fa, &to);
}

// NULL ------------------------------------------------------------------------------------------------------------------------

static bool null_alloc(fa_allocator table)
{
    return fa_alloc_with(&table, 16, 16) == NULL && fa_realloc_with(&table, NULL, 0, 16, 16) == NULL;
}

static bool end_nulls(void)
{
    fa_handle_pinned handle = {NULL, {0, 0}, NULL};
    fa_handle_pinned_end(&handle);
    fa_stream_pinned_end(NULL);
    fa_checkpoint_guard_end(&(fa_checkpoint_guard){0});
    fa_scope_end(NULL);
    fa_scope_end(&(fa_scope){0});
    fa_tag_end(NULL);
    fa_phase_scope_end(NULL);
    fa_auto_end(NULL);
    fa_checkpoint_guard_end(NULL);
    fa_strict_end(NULL);
    fa_free_any(NULL, NULL);
    fa_storage_give(NULL, NULL);
    fa_join(NULL, NULL);
    fa_heap_free(NULL, NULL);
    fa_pool_free_batch(NULL, 1, NULL);
    fa_free_with(NULL, NULL, 0);
    fa_tick_on_begin(NULL);
    fa_tick_on_end(NULL);
    fa_collector_init(NULL, NULL, 0);
    fa_collector_take(NULL, NULL);
    return true;
}

static fa_status ignored(fa_status status)
{
    return status;
}

#define INVALID(call) (ignored(call) == FA_ERROR_INVALID)

/// A budget that is set stays as it is when another is refused, and so does what a refused look was to fill.
static bool refuse_lane_budgets(world *at)
{
    fa_lane_budget budget = {.hard = 7}, now;
    bool refused = INVALID(fa_lane_budget_set(NULL, 0, FA_LANE_USE_FRAME, 0, 0)) &&
                   INVALID(fa_lane_budget_read(NULL, 0, FA_LANE_USE_FRAME, &budget)) &&
                   INVALID(fa_lane_budget_read(at->fa, 0, FA_LANE_USE_FRAME, NULL));
    uint32_t past_the_last = 1 + fa_worker_count(at->fa) + fa_config_default().attached_max;
    for (uint32_t use = 0; use < FA_LANE_USES; use++) {
        fa_lane_use kind = (fa_lane_use)use;
        refused = refused && fa_lane_budget_set(at->fa, 0, kind, MIB, 64 * MIB) == FA_OK;
        static const uint32_t lanes[] = {9999, UINT32_MAX};
        for (size_t i = 0; i < 3; i++) {
            uint32_t lane = i < 2 ? lanes[i] : past_the_last;
            refused = refused && INVALID(fa_lane_budget_set(at->fa, lane, kind, 0, 1)) &&
                      INVALID(fa_lane_budget_read(at->fa, lane, kind, &budget));
        }
        refused = refused && INVALID(fa_lane_budget_set(at->fa, 0, kind, 2, 1)) &&
                  INVALID(fa_lane_budget_set(at->fa, 0, kind, UINT64_MAX, 1)) &&
                  fa_lane_budget_read(at->fa, 0, kind, &now) == FA_OK && now.soft == MIB && now.hard == 64 * MIB &&
                  now.denied == 0 && now.warned == 0 && fa_lane_budget_set(at->fa, 0, kind, 0, 0) == FA_OK;
    }
    fa_lane_use none = (fa_lane_use)FA_LANE_USES, negative = (fa_lane_use)UINT32_MAX;
    return refused && INVALID(fa_lane_budget_set(at->fa, 0, none, 0, 1)) &&
           INVALID(fa_lane_budget_set(at->fa, 0, negative, 0, 1)) &&
           INVALID(fa_lane_budget_read(at->fa, 0, none, &budget)) &&
           INVALID(fa_lane_budget_read(at->fa, 0, negative, &budget)) && budget.hard == 7;
}

static bool refuse_budgets(world *at)
{
    fa_tag_stats stats = {.hard = 7}, now;
    return fa_budget_set(at->fa, at->tag, MIB, 64 * MIB) == FA_OK && INVALID(fa_budget_set(at->fa, at->tag, 2, 1)) &&
           INVALID(fa_budget_set(at->fa, at->tag, UINT64_MAX, 1)) &&
           INVALID(fa_budget_set(at->fa, (fa_tag){0}, 0, 1)) &&
           INVALID(fa_tag_stats_read(at->fa, (fa_tag){UINT32_MAX}, &stats)) && stats.hard == 7 &&
           fa_tag_stats_read(at->fa, at->tag, &now) == FA_OK && now.soft == MIB && now.hard == 64 * MIB &&
           fa_budget_set(at->fa, at->tag, 0, 0) == FA_OK;
}

/// What is documented to refuse NULL, with NULL in the place of the lane or system, or of the result.
#define NULL_CALLS(X)                                                                                                  \
    X(ends, end_nulls())                                                                                               \
    X(create, INVALID(fa_create(NULL, &at->fa_out)) && at->fa_out == NULL)                                             \
    X(create_out, INVALID(fa_create(&at->config, NULL)))                                                               \
    X(destroy, fa_destroy(NULL) == FA_OK)                                                                              \
    X(self, fa_self(NULL) == NULL)                                                                                     \
    X(attach, INVALID(fa_attach(NULL, &at->w_out)) && INVALID(fa_attach(at->fa, NULL)))                                \
    X(detach, INVALID(fa_detach(NULL)))                                                                                \
    X(quiescent, INVALID(fa_quiescent(NULL)))                                                                          \
    X(idle, INVALID(fa_idle_begin(NULL)) && INVALID(fa_idle_end(NULL)))                                                \
    X(worker_count, fa_worker_count(NULL) == 0)                                                                        \
    X(status_text, fa_status_text((fa_status)999) != NULL)                                                             \
    X(frames, INVALID(fa_frame_begin(NULL)) && INVALID(fa_frame_try_begin(NULL)) &&                                    \
                  INVALID(fa_frame_end(NULL, NULL)) && INVALID(fa_frame_end_summary(NULL, NULL)) &&                    \
                  INVALID(fa_frame_end_summary(at->fa, NULL)))                                                         \
    X(frame_number, fa_frame_number(NULL) == 0)                                                                        \
    X(frame_hold, INVALID(fa_frame_hold(NULL, &at->frame)) && INVALID(fa_frame_hold(at->own, NULL)))                   \
    X(frame_drop, INVALID(fa_frame_drop(NULL, (fa_frame){1})))                                                         \
    X(frame_batch, !fa_frame_alloc_batch(NULL, 1, 1, 1, &at->p) && !fa_frame_alloc_batch(at->own, 1, 1, 1, NULL))      \
    X(checkpoint,                                                                                                      \
      fa_checkpoint_take(NULL).lane == UINT32_MAX && INVALID(fa_checkpoint_rollback(NULL, at->checkpoint)))            \
    X(scope, fa_scope_begin(NULL).worker == NULL)                                                                      \
    X(refuse_array, fa_refuse_array(NULL, 1, 1) == NULL)                                                               \
    X(pool_batch, !fa_pool_alloc_batch(NULL, 1, 1, 1, &at->p) && !fa_pool_alloc_batch(at->own, 1, 1, 1, NULL))         \
    X(heap, fa_heap_alloc(NULL, 16, 16) == NULL)                                                                       \
    X(usable_size, fa_usable_size(NULL, at->pool) == 0 && fa_usable_size(at->fa, NULL) == 0)                           \
    X(handles, fa_handle_is_none(fa_handle_alloc(NULL, 16, 16, NULL)) && INVALID(fa_handle_free(NULL, at->handle)) &&  \
                   fa_handle_peek(NULL, at->handle) == NULL && fa_handle_resolve(NULL, at->handle) == NULL &&          \
                   !fa_handle_is_valid(NULL, at->handle) && fa_handle_refuse(NULL, at->handle) == NULL &&              \
                   fa_handle_pin(NULL, at->handle) == NULL && INVALID(fa_handle_unpin(NULL, at->handle)))              \
    X(handles_of_system, INVALID(fa_handles_compact(NULL, 1, 1, NULL)) && INVALID(fa_handle_stats_read(NULL, NULL)) && \
                             INVALID(fa_handle_stats_read(at->fa, NULL)))                                              \
    X(groups, INVALID(fa_group_create(NULL, "x", &at->group_out)) &&                                                   \
                  INVALID(fa_group_create(at->own, NULL, &at->group_out)) &&                                           \
                  INVALID(fa_group_create(at->own, "", &at->group_out)) &&                                             \
                  INVALID(fa_group_create(at->own, "x", NULL)) && fa_group_alloc(NULL, at->group, 1, 1) == NULL &&     \
                  fa_group_alloc_array(NULL, at->group, 1, 1, 1) == NULL &&                                            \
                  fa_group_alloc_cleaned(NULL, at->group, 1, 1, drop_object, NULL) == NULL &&                          \
                  INVALID(fa_group_free(NULL, at->group)) && INVALID(fa_group_read(NULL, at->group, NULL)) &&          \
                  INVALID(fa_group_read(at->own, at->group, NULL)) && !fa_group_exists(NULL, at->group))               \
    X(scratch, INVALID(fa_scratch_create(NULL, "x", 0, &at->scratch_out)) &&                                           \
                   INVALID(fa_scratch_create(at->own, NULL, 0, &at->scratch_out)) &&                                   \
                   INVALID(fa_scratch_create(at->own, "x", 0, NULL)) && fa_scratch_find(NULL, "x").id == 0 &&          \
                   fa_scratch_find(at->own, NULL).id == 0 && fa_scratch_alloc(NULL, at->scratch, 1, 1) == NULL &&      \
                   fa_scratch_alloc_array(NULL, at->scratch, 1, 1, 1) == NULL &&                                       \
                   INVALID(fa_scratch_reset(NULL, at->scratch)) && INVALID(fa_scratch_reset_all(NULL)) &&              \
                   INVALID(fa_scratch_remove(NULL, at->scratch)) &&                                                    \
                   INVALID(fa_scratch_read(NULL, at->scratch, NULL)) &&                                                \
                   INVALID(fa_scratch_read(at->own, at->scratch, NULL)) && fa_scratch_list(NULL, NULL, 0) == 0)        \
    X(streams,                                                                                                         \
      INVALID(fa_stream_reserve(NULL, 1, FA_STREAM_LOW, NULL, &at->stream_out)) &&                                     \
          INVALID(fa_stream_reserve(at->own, 1, FA_STREAM_LOW, NULL, NULL)) &&                                         \
          INVALID(fa_stream_load_begin(NULL, at->reserved, &at->p)) &&                                                 \
          INVALID(fa_stream_load_begin(at->own, at->reserved, NULL)) &&                                                \
          INVALID(fa_stream_progress(NULL, at->loading, 1)) && INVALID(fa_stream_load_end(NULL, at->loading)) &&       \
          INVALID(fa_stream_load_abort(NULL, at->loading)) && INVALID(fa_stream_pin(NULL, at->ready, NULL, NULL)) &&   \
          INVALID(fa_stream_unpin(NULL, at->ready)) && fa_stream_read(NULL, at->ready, NULL) == NULL &&                \
          INVALID(fa_stream_touch(NULL, at->ready)) &&                                                                 \
          INVALID(fa_stream_set_priority(NULL, at->ready, FA_STREAM_LOW)) &&                                           \
          INVALID(fa_stream_free(NULL, at->ready)) && fa_stream_state_of(NULL, at->ready) == FA_STREAM_NONE &&         \
          fa_stream_loaded(NULL, at->loading) == 0 && fa_stream_pinned_begin(NULL, at->ready).data == NULL &&          \
          INVALID(fa_stream_stats_read(NULL, NULL)) && INVALID(fa_stream_stats_read(at->fa, NULL)))                    \
    X(transfers, INVALID(fa_transfer_send(NULL, at->pool, &at->ticket_out)) &&                                         \
                     INVALID(fa_transfer_send(at->own, NULL, &at->ticket_out)) &&                                      \
                     INVALID(fa_transfer_send(at->own, at->pool, NULL)) &&                                             \
                     INVALID(fa_transfer_receive(NULL, at->ticket, &at->p)) &&                                         \
                     INVALID(fa_transfer_receive(at->own, at->ticket, NULL)))                                          \
    X(cells, INVALID(fa_cell_publish(NULL, &at->cell, NULL)) && INVALID(fa_cell_publish(at->own, NULL, NULL)) &&       \
                 INVALID(fa_cell_drop(NULL, &at->cell)) && INVALID(fa_cell_drop(at->own, NULL)) &&                     \
                 INVALID(fa_retire(NULL, at->pool)) && INVALID(fa_retire(at->own, NULL)))                              \
    X(retained,                                                                                                        \
      fa_frame_retained(NULL, 1, 1, NULL) == NULL && fa_retained_count(NULL) == 0 && fa_retained_abandon(NULL) == 0)   \
    X(texts, fa_promotion_text((fa_promotion_status)999) != NULL && fa_code_text(NULL) != NULL &&                      \
                 fa_code_find(NULL) == NULL && fa_code_list(NULL) != NULL && fa_event_name(999) != NULL)               \
    X(storage, INVALID(fa_storage_take(NULL, FA_HOME_POOL, 1, 1, 1, &at->storage_out, &at->p)) &&                      \
                   INVALID(fa_storage_take(at->own, FA_HOME_POOL, 1, 1, 1, NULL, &at->p)) &&                           \
                   INVALID(fa_storage_take(at->own, FA_HOME_POOL, 1, 1, 1, &at->storage_out, NULL)) &&                 \
                   !fa_storage_check(NULL, &at->storage) && !fa_storage_check(at->own, NULL))                          \
    X(map, INVALID(fa_map_init(at->own, NULL, FA_HOME_POOL, 1, 1, 1)))                                                 \
    X(tags, INVALID(fa_tag_find(NULL, "x", &at->tag_out)) && INVALID(fa_tag_find(at->fa, NULL, &at->tag_out)) &&       \
                INVALID(fa_tag_find(at->fa, "x", NULL)) && INVALID(fa_tag_find(at->fa, "", &at->tag_out)) &&           \
                INVALID(fa_tag_find(at->fa, "half::", &at->tag_out)) &&                                                \
                INVALID(fa_tag_find(at->fa, "half::::made", &at->tag_out)) && fa_tag_at(at->fa, 1).id == 0 &&          \
                fa_tag_current(NULL).id == 0 && fa_tag_at(NULL, 0).id == 0 &&                                          \
                fa_tag_begin(NULL, "x").worker == NULL && fa_tag_begin_at(NULL, at->tag).worker == NULL &&             \
                INVALID(fa_budget_set(NULL, at->tag, 0, 0)) && INVALID(fa_tag_stats_read(NULL, at->tag, NULL)) &&      \
                INVALID(fa_tag_stats_read(at->fa, at->tag, NULL)) && fa_tag_path(NULL, at->tag) == NULL)               \
    X(behavior, INVALID(fa_behavior_watch(NULL, NULL)) && INVALID(fa_behavior_reset(NULL)) &&                          \
                    INVALID(fa_behavior_unwatch(NULL)) && INVALID(fa_behavior_read(NULL, at->tag, NULL)) &&            \
                    INVALID(fa_behavior_read(at->fa, at->tag, NULL)) &&                                                \
                    INVALID(fa_behavior_watch(at->fa, &(fa_behavior_limits){.frames = 0})))                            \
    X(lane_budgets, refuse_lane_budgets(at))                                                                           \
    X(budgets, refuse_budgets(at))                                                                                     \
    X(phases, INVALID(fa_phase_begin(NULL, "x")) && INVALID(fa_phase_begin(at->own, NULL)) &&                          \
                  INVALID(fa_phase_end(NULL)) && fa_phase_current(NULL)[0] == '\0' &&                                  \
                  fa_phase_scope_begin(NULL, "x").worker == NULL &&                                                    \
                  (at->count = 7, INVALID(fa_phase_stats_read(at->fa, NULL, 1, &at->count))) && at->count == 0 &&      \
                  INVALID(fa_phase_totals_read(at->fa, NULL, 0, NULL)))                                                \
    X(jobs, INVALID(fa_submit(NULL, nothing, NULL)) && INVALID(fa_submit(at->own, NULL, NULL)) &&                      \
                INVALID(fa_submit_job(NULL, NULL)) && INVALID(fa_submit_job(at->own, NULL)) &&                         \
                INVALID(fa_submit_counted(at->own, NULL, NULL, NULL)) &&                                               \
                INVALID(fa_submit_copy(at->own, NULL, nothing, NULL, 8)) &&                                            \
                INVALID(fa_submit_many(at->own, NULL, nothing, NULL, 8, 2)) && INVALID(fa_wait(NULL, &at->counter)) && \
                INVALID(fa_wait(at->own, NULL)) && INVALID(fa_parallel_for(at->own, 0, 1, 1, NULL, NULL)) &&           \
                INVALID(fa_fork(NULL, &at->task, nothing, NULL)) && INVALID(fa_fork(at->own, NULL, nothing, NULL)) &&  \
                fa_run_main_jobs(NULL) == 0 && fa_job_name(NULL) == NULL && fa_job_depth(NULL) == 0)                   \
    X(sinks, INVALID(fa_sink_set(NULL, NULL, NULL)) && fa_sink_is_quiet(NULL) &&                                       \
                 fa_diagnostic_format(NULL, false, NULL, 0) == 0 && INVALID(fa_suppress(NULL, NULL, true)) &&          \
                 INVALID(fa_verbose_set(NULL, true)) && INVALID(fa_strict_set(NULL, FA_STRICT_WARN)) &&                \
                 fa_strict_mode(NULL) == FA_STRICT_WARN && fa_strict_begin(NULL, FA_STRICT_WARN).system == NULL &&     \
                 INVALID(fa_diagnose(NULL, FA_SEVERITY_ERROR, "G", NULL, NULL, "x")) &&                                \
                 INVALID(fa_diagnose_any(NULL, FA_SEVERITY_ERROR, "G", NULL, NULL, "x")))                              \
    X(collectors, fa_collector_count(NULL, NULL) == 0 && fa_collector_errors(NULL) == 0 &&                             \
                      fa_collector_get(NULL, NULL, 0) == NULL && fa_collector_lost(NULL) == 0)                         \
    X(debug, !fa_is_poisoned(NULL, 1) && !fa_is_poisoned(at->pool, 0) && INVALID(fa_check(NULL, at->pool, 1)) &&       \
                 INVALID(fa_check(at->fa, NULL, 1)) && INVALID(fa_check(at->fa, at->pool, 0)) &&                       \
                 INVALID(fa_leaks_read(NULL, NULL, 0, &at->count)) &&                                                  \
                 (at->count = 7, INVALID(fa_leaks_read(at->fa, NULL, 1, &at->count))) && at->count == 0 &&             \
                 INVALID(fa_leaks_write(NULL, tell_line, NULL)) && INVALID(fa_leaks_write(at->fa, NULL, NULL)))        \
    X(stats, INVALID(fa_stats_read(NULL, NULL)) && INVALID(fa_stats_read(at->fa, NULL)) &&                             \
                 INVALID(fa_contention_read(NULL, NULL)) && INVALID(fa_contention_read(at->fa, NULL)))                 \
    X(snapshots, INVALID(fa_snapshot_take(NULL, NULL)) && INVALID(fa_snapshot_take(at->fa, NULL)) &&                   \
                     INVALID(fa_history_enable(NULL, 1)) && INVALID(fa_history_enable(at->fa, 65537)) &&               \
                     INVALID(fa_history_disable(NULL)) && fa_history_count(NULL) == 0 &&                               \
                     INVALID(fa_history_read(NULL, 0, NULL)) && INVALID(fa_history_read(at->fa, 0, NULL)) &&           \
                     fa_memory_graph(NULL, NULL, 1) == 0 && fa_memory_graph(at->fa, NULL, 1) == 0 &&                   \
                     INVALID(fa_snapshot_write_json(NULL, write_nothing, NULL)) &&                                     \
                     INVALID(fa_snapshot_write_file(NULL, NULL)))                                                      \
    X(ticks, INVALID(fa_tick_install(NULL)) && INVALID(fa_tick_begin(NULL)) && INVALID(fa_tick_end(NULL, NULL)) &&     \
                 INVALID(fa_tick_check(NULL)))                                                                         \
    X(events, INVALID(fa_listen(NULL, 1, hear, NULL, &at->listener)) &&                                                \
                  INVALID(fa_listen(at->fa, 0, hear, NULL, &at->listener)) &&                                          \
                  INVALID(fa_listen(at->fa, 1, NULL, NULL, &at->listener)) &&                                          \
                  INVALID(fa_listen(at->fa, 1, hear, NULL, NULL)) && INVALID(fa_unlisten(NULL, at->listener)) &&       \
                  INVALID(fa_trace_start(NULL, "x")) && INVALID(fa_trace_start(at->fa, NULL)) &&                       \
                  INVALID(fa_trace_start_to(at->fa, NULL, NULL)) && INVALID(fa_trace_stop(NULL, NULL)))                \
    X(guards, fa_auto_pool(NULL, 1, 1, 1).object == NULL && fa_auto_heap(NULL, 1, 1, 1).object == NULL &&              \
                  fa_checkpoint_guard_begin(NULL).committed &&                                                         \
                  fa_speculate(NULL, must_not_try, NULL).outcome == FA_OUTCOME_NOT_RUN &&                              \
                  fa_speculate(at->own, NULL, NULL).outcome == FA_OUTCOME_NOT_RUN)                                     \
    X(tables, null_alloc(fa_allocator_frame(NULL)) && null_alloc(fa_allocator_scope(NULL)) &&                          \
                  null_alloc(fa_allocator_pool(NULL)) && null_alloc(fa_allocator_heap(NULL)) &&                        \
                  null_alloc(fa_allocator_group(NULL)) && null_alloc(fa_allocator_scratch(NULL)) &&                    \
                  null_alloc(fa_allocator_job(NULL)) && fa_alloc_with(NULL, 1, 1) == NULL &&                           \
                  fa_realloc_with(NULL, NULL, 0, 1, 1) == NULL)

#define NULL_FUNCTION(name, ...)                                                                                       \
    static bool null_##name(world *at)                                                                                 \
    {                                                                                                                  \
        (void)at;                                                                                                      \
        return __VA_ARGS__;                                                                                            \
    }
#define NULL_ROW(name, ...) {#name, null_##name},

NULL_CALLS(NULL_FUNCTION)
static const call null_calls[] = {NULL_CALLS(NULL_ROW)};

static void null_is_refused(const test_case *test)
{
    world at;
    open_world(&at, test);
    at.config = fa_config_default();
    RUN_CALLS(&at, null_calls, 0);
    close_world(&at);
}

// Sizes and alignments --------------------------------------------------------------------------------------------------------

typedef void *alloc_fn(world *at, size_t size, size_t align);

typedef struct allocating {
    const char *name;
    alloc_fn *alloc;
    size_t align_max;
} allocating;

static void *from_frame(world *at, size_t size, size_t align)
{
    return fa_frame_alloc_aligned(at->own, size, align);
}

static void *from_scope(world *at, size_t size, size_t align)
{
    return fa_scope_alloc_aligned(at->own, size, align);
}

static void *from_pool(world *at, size_t size, size_t align)
{
    return fa_pool_alloc_aligned(at->own, size, align);
}

static void *from_heap(world *at, size_t size, size_t align)
{
    return fa_heap_alloc(at->own, size, align);
}

static void *from_group(world *at, size_t size, size_t align)
{
    return fa_group_alloc(at->own, at->group, size, align);
}

static void *from_scratch(world *at, size_t size, size_t align)
{
    return fa_scratch_alloc(at->own, at->scratch, size, align);
}

static void *from_handles(world *at, size_t size, size_t align)
{
    fa_handle handle = fa_handle_alloc(at->own, size, align, NULL);
    return fa_handle_peek(at->own, handle);
}

static void *from_retained(world *at, size_t size, size_t align)
{
    fa_retain keep = {.to = FA_RETAIN_DISCARD};
    return fa_frame_retained(at->own, size, align, &keep);
}

static void *from_storage(world *at, size_t size, size_t align)
{
    fa_storage storage;
    void *elements = NULL;
    (void)ignored(fa_storage_take(at->own, FA_HOME_SCOPE, 1, size, align, &storage, &elements));
    return elements;
}

static const allocating memories[] = {
    {"frame", from_frame, SIZE_MAX},     {"scope", from_scope, SIZE_MAX},       {"pool", from_pool, 4096},
    {"heap", from_heap, SIZE_MAX},       {"group", from_group, SIZE_MAX},       {"scratch", from_scratch, SIZE_MAX},
    {"handles", from_handles, SIZE_MAX}, {"retained", from_retained, SIZE_MAX}, {"storage", from_storage, SIZE_MAX},
};

/// One rule for all memories; what is left behind goes with the system.
static void sizes_and_alignments(const test_case *test)
{
    static const size_t good[] = {0, 1, 2, 8, 16, 32, 64};
    static const size_t bad[] = {3, 5, 6, 7, 12, 24, 48, 4097, SIZE_MAX / 2, SIZE_MAX / 2 + 2, SIZE_MAX};
    static const size_t huge[] = {SIZE_MAX, SIZE_MAX - 1, SIZE_MAX - 15, SIZE_MAX - 16, SIZE_MAX - 4096, SIZE_MAX / 2};
    for (size_t m = 0; m < sizeof memories / sizeof memories[0]; m++) {
        world at;
        open_world(&at, test);
        const allocating *memory = &memories[m];
        for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
            EXPECT(memory->alloc(&at, 16, bad[i]) == NULL);
            assert_reported(&at.to, 903, 1);
        }
        if (memory->align_max < SIZE_MAX) {
            EXPECT(memory->alloc(&at, 16, memory->align_max * 2) == NULL);
            assert_reported(&at.to, 903, 1);
        }
        EXPECT(memory->alloc(&at, 0, 16) == NULL);
        EXPECT(memory->alloc(&at, 0, 0) == NULL);
        assert_quiet(&at.to);
        assert_untouched(&at);
        fa_checkpoint before = fa_checkpoint_take(at.own);
        for (size_t i = 0; i < sizeof huge / sizeof huge[0]; i++)
            for (size_t align = 1; align <= 4096; align *= 64) EXPECT(memory->alloc(&at, huge[i], align) == NULL);
        if (memory->align_max == SIZE_MAX) EXPECT(memory->alloc(&at, 16, SIZE_MAX / 2 + 1) == NULL);
        sink_reset(&at.to); // FA003 or FA301, once a frame and lane
        assert_untouched(&at);
        fa_checkpoint after = fa_checkpoint_take(at.own);
        assert_memory_equal(&before.frame, &after.frame, sizeof before.frame);
        assert_memory_equal(&before.scope, &after.scope, sizeof before.scope);
        for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
            void *p = memory->alloc(&at, 24, good[i]);
            EXPECT(p != NULL && (uintptr_t)p % (good[i] > 16 ? good[i] : 16) == 0);
        }
        assert_quiet(&at.to);
        at.to.writing = (atomic_flag)ATOMIC_FLAG_INIT;
        assert_int_equal(fa_sink_set(at.fa, ignore_report, NULL), FA_OK); // FA910, and the fork that is left
        fa_join(at.own, &at.task);
        end(at.fa);
        assert_int_equal(fa_destroy(at.fa), FA_OK);
    }
}

static void arrays_that_overflow(const test_case *test)
{
    world at;
    open_world(&at, test);
    fa_worker *w = at.own;
    void *out[1];
    static const size_t counts[] = {SIZE_MAX, SIZE_MAX / 2, SIZE_MAX / 16 + 2};
    for (size_t i = 0; i < 3; i++) {
        size_t n = counts[i], size = 17;
        EXPECT(fa_frame_alloc_array(w, n, size, 16) == NULL && fa_frame_alloc_zeroed(w, n, size, 16) == NULL);
        EXPECT(fa_scope_alloc_array(w, n, size, 16) == NULL && fa_scope_alloc_zeroed(w, n, size, 16) == NULL);
        EXPECT(fa_pool_alloc_array(w, n, size, 16) == NULL && fa_pool_alloc_zeroed(w, n, size, 16) == NULL);
        EXPECT(fa_heap_alloc_array(w, n, size, 16) == NULL && fa_heap_alloc_zeroed(w, n, size, 16) == NULL);
        EXPECT(fa_group_alloc_array(w, at.group, n, size, 16) == NULL);
        EXPECT(fa_scratch_alloc_array(w, at.scratch, n, size, 16) == NULL);
        EXPECT(fa_handle_is_none(fa_handle_alloc_array(w, n, size, 16, NULL)));
        EXPECT(fa_auto_pool(w, n, size, 16).object == NULL && fa_auto_heap(w, n, size, 16).object == NULL);
        EXPECT(!fa_frame_alloc_batch(w, n, size, 16, out) && !fa_pool_alloc_batch(w, n, size, 16, out));
        assert_reported(&at.to, 914, 15);
    }
    close_world(&at);
}

// Ids that name nothing -------------------------------------------------------------------------------------------------------

static void unknown_ids(const test_case *test)
{
    world at;
    open_world(&at, test);
    fa_worker *w = at.own;
    void *p;
    static const uint64_t bits[] = {0, 1, UINT32_MAX, (uint64_t)1 << 32, (uint64_t)1 << 63, UINT64_MAX};
    for (size_t i = 0; i < sizeof bits / sizeof bits[0]; i++) {
        fa_handle handle = {(uint32_t)bits[i], (uint32_t)(bits[i] >> 32)};
        EXPECT(fa_handle_resolve(w, handle) == NULL && fa_handle_pin(w, handle) == NULL);
        EXPECT(fa_handle_free(w, handle) == FA_ERROR_STALE && fa_handle_unpin(w, handle) == FA_ERROR_STALE);
        EXPECT(fa_stream_free(w, (fa_stream){bits[i]}) == FA_ERROR_INVALID);
        EXPECT(fa_transfer_receive(w, (fa_transfer){bits[i]}, &p) == FA_ERROR_STALE);
        assert_reported(&at.to, 401, test->checked ? 6 : 0);
        EXPECT(fa_group_free(w, (fa_group){bits[i]}) == FA_ERROR_STALE && !fa_group_exists(w, (fa_group){bits[i]}));
        EXPECT(fa_scratch_remove(w, (fa_scratch){bits[i]}) == FA_ERROR_STALE);
        assert_reported(&at.to, 201, test->checked ? 2 : 0);
        EXPECT(fa_frame_drop(at.fa, (fa_frame){bits[i] << 8}) == FA_ERROR_STALE);
        if (FA_TRACE) EXPECT(fa_unlisten(at.fa, (fa_listener){bits[i]}) == FA_ERROR_STALE);
        fa_tag tag = {(uint32_t)bits[i] | 1u << 20};
        EXPECT(fa_budget_set(at.fa, tag, 0, 0) == FA_ERROR_INVALID && fa_tag_path(at.fa, tag) == NULL);
        fa_checkpoint checkpoint = at.checkpoint;
        checkpoint.taken = bits[i];
        EXPECT(fa_checkpoint_rollback(w, checkpoint) == FA_ERROR_STALE);
        assert_quiet(&at.to);
    }
    close_world(&at);
}

// Moments -----------------------------------------------------------------------------------------------------------------------

/// What only the main lane may do, outside jobs: done in a job on it.
static void call_main_in_a_job(fa_worker *w, void *arg)
{
    world *at = arg;
    EXPECT(w->index == 0);
    at->wrong = FA_ERROR_STATE;
    EXPECT(fa_frame_begin(at->fa) == FA_ERROR_STATE && fa_frame_try_begin(at->fa) == FA_ERROR_STATE);
    EXPECT(end_frame(at, false) && end_frame(at, true) && compact(at));
    EXPECT(fa_run_main_jobs(at->fa) == 0 && fa_quiescent(w) == FA_ERROR_STATE && fa_idle_begin(w) == FA_ERROR_STATE);
    EXPECT(ignored(fa_leaks_read(at->fa, NULL, 0, &at->count)) == FA_ERROR_STATE);
    if (FA_TRACE) EXPECT(listen_to(at) && start_trace(at, true) && fa_trace_stop(at->fa, NULL) == FA_ERROR_STATE);
    EXPECT(atomic_load(&at->to.total) == 0);
    EXPECT(fa_destroy(at->fa) == FA_ERROR_STATE);
    EXPECT(sink_count(&at->to, 909) == 1);
    EXPECT(fa_tick_begin(at->fa) == FA_ERROR_STATE && fa_tick_end(at->fa, NULL) == FA_ERROR_STATE);
    EXPECT(sink_count(&at->to, 102) == 2);
    sink_reset(&at->to);
}

static void main_calls_in_a_job(const test_case *test)
{
    world at;
    open_world(&at, test);
    fa_counter counter = FA_COUNTER_INIT;
    fa_job job = {.fn = call_main_in_a_job, .arg = &at, .counter = &counter, .flags = FA_JOB_MAIN};
    fa_join(at.own, &at.task);
    assert_int_equal(fa_submit_job(at.own, &job), FA_OK);
    assert_int_equal(fa_wait(at.own, &counter), FA_OK);
    assert_int_equal(fa_fork(at.own, &at.task, nothing, NULL), FA_OK);
    close_world(&at);
}

typedef struct ticking {
    fa_system *fa;
    uint32_t calls;
} ticking;

static void tick_in_a_sink(const fa_diagnostic *diagnostic, void *context)
{
    ticking *t = context;
    if (strcmp(diagnostic->code, "GAME1") != 0) return;
    t->calls++;
    EXPECT(fa_tick_begin(t->fa) == FA_ERROR_STATE);
    EXPECT(fa_tick_end(t->fa, NULL) == FA_ERROR_STATE);
    EXPECT(fa_destroy(t->fa) == FA_ERROR_STATE);
}

/// They ran into an assertion.
static void hooks_in_a_sink(const test_case *test)
{
    sink to;
    fa_system *fa = create_case(test, &to);
    ticking t = {fa, 0};
    assert_int_equal(fa_sink_set(fa, tick_in_a_sink, &t), FA_OK);
    for (int open = 0; open < 2; open++) {
        if (open) begin(fa);
        fa_status status = FA_DIAGNOSE_ERROR(fa_self(fa), "GAME1", NULL, NULL, "tick");
        assert_int_equal(status, FA_OK);
        if (open) end(fa);
    }
    assert_int_equal(t.calls, 2);
    assert_int_equal(fa_frame_number(fa), 1);
    assert_int_equal(fa_destroy(fa), FA_OK);
}

int main(int argc, char **argv)
{
    static const test_entry entries[] = {
        EACH_OF(another_threads_lane, COUNTED("02"), "y"),
        EACH_OF(another_threads_lane_in_a_job, COUNTED("1"), "y"),
        EACH_OF(a_lane_of_nobody, COUNTED("02"), "y"),
        EACH_OF(an_idle_main_lane, COUNTED("02"), "y"),
        EACH_OF(an_idle_attached_thread, COUNTED("02"), "y"),
        EACH_OF(idle_is_looked_for_where_it_costs_nothing, "02", "ny"),
        EACH_OF(main_calls_of_others, COUNTED("02"), "ny"),
        EACH_OF(another_systems_ids, COUNTED("0"), "ny"),
        EACH_OF(forks_left_by_a_job, "02", "y"),
        EACH_OF(forks_left_by_a_frame, "02", "y"),
        EACH_OF(null_is_refused, COUNTED("0"), "ny"),
        EACH_OF(sizes_and_alignments, COUNTED("0"), "ny"),
        EACH_OF(arrays_that_overflow, COUNTED("0"), "ny"),
        EACH_OF(unknown_ids, COUNTED("0"), "ny"),
        EACH_OF(main_calls_in_a_job, COUNTED("02"), "ny"),
        EACH_OF(hooks_in_a_sink, "02", "ny"),
    };
    return RUN_MATRIX("misuse", entries, argc, argv);
}
