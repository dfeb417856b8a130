// SPDX-License-Identifier: MIT
//
// Bad input, see misuse.h: who uses a lane. Its functions on another thread, in a job on another lane, of nobody's lane, and while it is idle.
#include "misuse.h"

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

int main(int argc, char **argv)
{
    static const test_entry entries[] = {
        EACH_OF(another_threads_lane, COUNTED("02"), "y"),
        EACH_OF(another_threads_lane_in_a_job, COUNTED("1"), "y"),
        EACH_OF(a_lane_of_nobody, COUNTED("02"), "y"),
        EACH_OF(an_idle_main_lane, COUNTED("02"), "y"),
        EACH_OF(an_idle_attached_thread, COUNTED("02"), "y"),
        EACH_OF(idle_is_looked_for_where_it_costs_nothing, "02", "ny"),
    };
    return RUN_MATRIX("misuse_lane", entries, argc, argv);
}
