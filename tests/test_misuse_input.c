// SPDX-License-Identifier: MIT
//
// Bad input, see misuse.h: what is handed over. NULL, sizes and alignments that cannot be, ids that name nothing or are another system's.
#include "misuse.h"

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

int main(int argc, char **argv)
{
    static const test_entry entries[] = {
        EACH_OF(another_systems_ids, COUNTED("0"), "ny"),  EACH_OF(null_is_refused, COUNTED("0"), "ny"),
        EACH_OF(sizes_and_alignments, COUNTED("0"), "ny"), EACH_OF(arrays_that_overflow, COUNTED("0"), "ny"),
        EACH_OF(unknown_ids, COUNTED("0"), "ny"),
    };
    return RUN_MATRIX("misuse_input", entries, argc, argv);
}
