// SPDX-License-Identifier: MIT
//
// Bad input, see misuse.h: what is the main lane's, on other threads, in a job and in a sink; and forks that are left.
#include "misuse.h"

// The main lane's calls -----------------------------------------------------------------------------------------------------

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
        EACH_OF(main_calls_of_others, COUNTED("02"), "ny"),
        EACH_OF(forks_left_by_a_job, "02", "y"),
        EACH_OF(forks_left_by_a_frame, "02", "y"),
        EACH_OF(main_calls_in_a_job, COUNTED("02"), "ny"),
        EACH_OF(hooks_in_a_sink, "02", "ny"),
    };
    return RUN_MATRIX("misuse_main", entries, argc, argv);
}
