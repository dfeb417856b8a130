// SPDX-License-Identifier: MIT
//
// How tags use memory: each pattern is found, figures are exact or the bounds that they say, each crossing is told once.
#include "support.h"

#include <pthread.h>

enum { WINDOW = 5 };

static fa_behavior_limits short_windows(void)
{
    fa_behavior_limits limits = fa_behavior_strict();
    limits.frames = WINDOW;
    return limits;
}

static fa_system *watched(const test_case *at, sink *to)
{
    fa_system *fa = create_case(at, to);
    fa_behavior_limits limits = short_windows();
    assert_int_equal(fa_behavior_watch(fa, &limits), FA_OK);
    begin(fa); // the first boundary notes where pools stand
    end(fa);
    return fa;
}

static fa_behavior behavior_of(fa_system *fa, const char *path)
{
    fa_behavior found;
    assert_int_equal(fa_behavior_read(fa, tag_of(fa, path), &found), FA_OK);
    return found;
}

static bool is_near(double a, double b)
{
    return a - b < 1e-9 && b - a < 1e-9;
}

// Patterns --------------------------------------------------------------------------------------------------------------

static void make_temporaries(fa_worker *w, void *arg)
{
    (void)arg;
    FA_TAG(w, "temporary");
    void *objects[100];
    for (int i = 0; i < 100; i++) EXPECT((objects[i] = fa_pool_alloc(w, 48)) != NULL);
    for (int i = 0; i < 100; i++) fa_pool_free(w, objects[i]);
}

static void pool_objects_that_die_in_their_frame(const test_case *at)
{
    sink to;
    fa_system *fa = watched(at, &to);
    fa_worker *w = fa_self(fa);
    void *kept[3 * WINDOW][10];
    uint64_t n = at->workers + 1;
    for (int frame = 0; frame < 3 * WINDOW; frame++) {
        begin(fa);
        everyone(fa, make_temporaries, NULL);
        {
            FA_TAG(w, "kept");
            for (int i = 0; i < 10; i++) kept[frame][i] = fa_pool_alloc(w, 48);
        }
        end(fa);
        if (frame + 2 < WINDOW) assert_int_equal(behavior_of(fa, "temporary").frames, 0); // no window is complete
    }
    assert_reported(&to, 510, 1); // once, though three windows were above
    assert_non_null(strstr(to.message, "temporary"));
    fa_behavior temporary = behavior_of(fa, "temporary"), keeps = behavior_of(fa, "kept");
    assert_int_equal(temporary.frames, WINDOW);
    assert_int_equal(temporary.pool_objects, WINDOW * 100 * n);
    assert_int_equal(temporary.pool_same_frame_least, WINDOW * 100 * n);
    assert_int_equal(temporary.pool_same_frame_most, WINDOW * 100 * n);
    assert_int_equal(temporary.above, 1u << FA_BEHAVIOR_POOL_SAME_FRAME);
    assert_int_equal(temporary.samples[FA_BEHAVIOR_POOL_SAME_FRAME], WINDOW * 100 * n);
    assert_int_equal(keeps.pool_objects, WINDOW * 10);
    assert_int_equal(keeps.pool_same_frame_most + keeps.above, 0);
    for (int frame = 0; frame < 3 * WINDOW; frame++)
        for (int i = 0; i < 10; i++) fa_pool_free(w, kept[frame][i]);
    destroy_quiet(fa, &to);
}

typedef struct moved {
    void *objects[64];
    uint32_t count;
} moved;

static void free_moved(fa_worker *w, void *arg)
{
    const moved *all = arg;
    for (uint32_t i = 0; i < all->count; i++) fa_pool_free(w, all->objects[i]);
}

/// Objects of many frames, freed by whichever lane: what is true lies between the bounds, and the bounds are those of the figures.
static void bounds_hold(const test_case *at)
{
    enum { MOST = 4000 };
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_behavior_limits limits = short_windows();
    for (uint32_t kind = 0; kind < FA_BEHAVIOR_KINDS; kind++) limits.most[kind] = -1; // nothing is told
    assert_int_equal(fa_behavior_watch(fa, &limits), FA_OK);
    begin(fa);
    end(fa);
    fa_worker *w = fa_self(fa);
    rng random = {test_seed()};
    static void *live[MOST];
    static int born[MOST];
    uint32_t count = 0;
    for (int window = 0; window < ROUNDS(20); window++) {
        uint64_t made = 0, same = 0, least = 0, most = 0;
        for (int i = window == 0 ? 1 : 0; i < WINDOW; i++) { // the frame above is of the first
            int frame = window * WINDOW + i;
            uint64_t before = count, made_now = rng_below(&random, 60), freed = 0;
            static moved moves[64];
            begin(fa);
            {
                FA_TAG(w, "mixed");
                for (uint64_t n = 0; n < made_now; n++, count++) {
                    assert_non_null(live[count] = fa_pool_alloc(w, 16 + rng_below(&random, 2000)));
                    born[count] = frame;
                }
            }
            for (uint32_t m = 0; m < 10; m++) {
                for (moves[m].count = 0; moves[m].count < 8 && count > 0 && rng_below(&random, 3) != 0; freed++) {
                    uint32_t at_random = rng_below(&random, 4) != 0 ? count - 1 : rng_below(&random, count);
                    same += born[at_random] == frame;
                    moves[m].objects[moves[m].count++] = live[at_random];
                    live[at_random] = live[--count];
                    born[at_random] = born[count];
                }
                assert_int_equal(fa_submit(w, free_moved, &moves[m]), FA_OK);
            }
            end(fa);
            uint64_t certain = freed > before ? freed - before : 0;
            made += made_now;
            least += certain < made_now ? certain : made_now;
            most += freed < made_now ? freed : made_now;
        }
        fa_behavior found = behavior_of(fa, "mixed");
        assert_int_equal(found.pool_objects, made);
        assert_int_equal(found.pool_same_frame_least, least);
        assert_int_equal(found.pool_same_frame_most, most);
        assert_true(least <= same && same <= most);
    }
    while (count > 0) fa_pool_free(w, live[--count]);
    destroy_quiet(fa, &to);
}

static void promote_again(fa_worker *w, void *arg)
{
    fa_cell *cells = arg;
    {
        FA_TAG(w, "churn");
        fa_retain to_cell = {FA_RETAIN_POOL, &cells[w->index], 0, 0, NULL, {0}};
        EXPECT(fa_frame_alloc(w, 960) != NULL);
        EXPECT(fa_frame_retained(w, 64, 16, &to_cell) != NULL);
    }
    FA_TAG(w, "survivor");
    fa_retain dropped = {FA_RETAIN_DISCARD, NULL, 0, 0, NULL, {0}},
              kept = {FA_RETAIN_HEAP, &cells[8 + w->index], 0, 0, NULL, {0}};
    EXPECT(fa_frame_retained(w, 256, 16, &dropped) != NULL);
    EXPECT(fa_frame_retained(w, 768, 16, &kept) != NULL);
}

static void promotions_that_replace_each_other_and_survive(const test_case *at)
{
    sink to;
    fa_system *fa = watched(at, &to);
    fa_cell cells[16] = {{NULL}};
    uint64_t n = at->workers + 1;
    for (int frame = 1; frame < 2 * WINDOW; frame++) {
        begin(fa);
        everyone(fa, promote_again, cells);
        end(fa);
        if (frame != WINDOW - 1) continue;
        fa_behavior first = behavior_of(fa, "churn"); // one frame was empty, one replaced nothing
        assert_int_equal(first.promoted, (WINDOW - 1) * n);
        assert_int_equal(first.replaced, (WINDOW - 2) * n);
        assert_true(is_near(first.value[FA_BEHAVIOR_CHURN], (double)((WINDOW - 2) * n) / WINDOW));
    }
    assert_int_equal(sink_count(&to, 520), 2);
    assert_int_equal(sink_count(&to, 502), 1);
    assert_int_equal(atomic_load(&to.total), 3);
    sink_reset(&to);
    fa_behavior churn = behavior_of(fa, "churn"), survivor = behavior_of(fa, "survivor");
    assert_int_equal(churn.replaced, WINDOW * n);
    assert_int_equal(churn.frame_bytes, WINDOW * n * 1024);
    assert_int_equal(churn.promoted_bytes, WINDOW * n * 64);
    assert_int_equal(churn.above, 1u << FA_BEHAVIOR_CHURN);
    assert_true(is_near(survivor.value[FA_BEHAVIOR_SURVIVAL], 0.75));
    assert_int_equal(survivor.samples[FA_BEHAVIOR_SURVIVAL], WINDOW);
    assert_int_equal(survivor.above, 1u << FA_BEHAVIOR_CHURN | 1u << FA_BEHAVIOR_SURVIVAL);
    for (int i = 0; i < 16; i++) assert_int_equal(fa_cell_drop(fa_self(fa), &cells[i]), FA_OK);
    destroy_quiet(fa, &to);
}

static void use_heap(fa_worker *w, void *arg)
{
    const int *count = arg;
    FA_TAG(w, "strings");
    for (int i = 0; i < *count; i++) fa_heap_free(w, fa_heap_alloc(w, 200, 16));
}

static void heap_objects_in_every_frame_each_crossing_once(const test_case *at)
{
    sink to;
    fa_system *fa = watched(at, &to);
    static const int counts[] = {4, 4, 0, 4}; // in the windows
    uint64_t n = at->workers + 1;
    for (int frame = 1; frame < 4 * WINDOW; frame++) {
        int count = counts[frame / WINDOW];
        begin(fa);
        everyone(fa, use_heap, &count);
        end(fa);
        if (frame % WINDOW != WINDOW - 1) continue;
        int window = frame / WINDOW;
        uint64_t frames = window == 0 ? WINDOW - 1 : WINDOW;
        fa_behavior strings = behavior_of(fa, "strings");
        assert_int_equal(strings.heap_objects, frames * n * (uint64_t)count);
        assert_true(is_near(strings.value[FA_BEHAVIOR_HEAP], (double)(frames * n * (uint64_t)count) / WINDOW));
        assert_int_equal(strings.above, count > 0 ? 1u << FA_BEHAVIOR_HEAP : 0);
        assert_reported(&to, 530, window == 0 || window == 3 ? 1 : 0);
    }
    destroy_quiet(fa, &to);
}

static void frame_memory_that_is_held(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    config.frames_in_flight = 4;
    fa_system *fa = create(&config);
    fa_worker *w = fa_self(fa);
    fa_behavior_limits limits = short_windows();
    assert_int_equal(fa_behavior_watch(fa, &limits), FA_OK);
    fa_frame held[20];
    for (int frame = 0; frame < 20; frame++) {
        begin(fa);
        {
            FA_TAG(w, "render");
            assert_non_null(fa_frame_alloc(w, 1000 + (size_t)frame * 100));
        }
        assert_int_equal(fa_frame_hold(w, &held[frame]), FA_OK);
        end(fa);
        if (frame >= 2)
            assert_int_equal(fa_frame_drop(fa, held[frame - 2]), FA_OK); // retires with the next frame's end
    }
    assert_reported(&to, 501, 1);
    fa_behavior render = behavior_of(fa, "render");
    assert_true(is_near(render.value[FA_BEHAVIOR_FRAME_AGE], 3));
    assert_int_equal(render.samples[FA_BEHAVIOR_FRAME_AGE], WINDOW);
    assert_int_equal(fa_frame_drop(fa, held[18]), FA_OK);
    assert_int_equal(fa_frame_drop(fa, held[19]), FA_OK);
    destroy_quiet(fa, &to);
}

// Limits and switching --------------------------------------------------------------------------------------------------

static void few_samples_are_not_judged(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_behavior_limits limits = short_windows();
    for (uint32_t samples = 10; samples <= 11; samples++) {
        limits.samples_min = samples;
        assert_int_equal(fa_behavior_watch(fa, &limits), FA_OK); // forgets what was before
        begin(fa);
        end(fa);
        for (int frame = 1; frame < WINDOW; frame++) {
            int count = frame == 1 ? 10 : 0;
            begin(fa);
            use_heap(fa_self(fa), &count);
            end(fa);
        }
        assert_int_equal(behavior_of(fa, "strings").heap_objects, 10);
        assert_reported(&to, 530, samples == 10 ? 1 : 0);
    }
    destroy_quiet(fa, &to);
}

static void what_was_before_is_not_counted(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    begin(fa);
    everyone(fa, make_temporaries, NULL);
    end(fa);
    fa_behavior_limits limits = short_windows();
    assert_int_equal(fa_behavior_watch(fa, &limits), FA_OK);
    for (int frame = 0; frame < WINDOW; frame++) {
        begin(fa);
        end(fa);
    }
    assert_int_equal(behavior_of(fa, "temporary").frames, WINDOW);
    assert_int_equal(behavior_of(fa, "temporary").pool_objects, 0);
    destroy_quiet(fa, &to);
}

typedef struct ender {
    fa_system *fa;
    int calls;
} ender;

static void end_it_from_the_sink(const fa_diagnostic *diagnostic, void *context)
{
    ender *to = context;
    to->calls++;
    EXPECT(strcmp(diagnostic->code, "FA530") == 0);
    EXPECT(fa_behavior_unwatch(to->fa) == FA_OK);
    EXPECT(fa_behavior_watch(to->fa, NULL) == FA_OK); // perhaps at the same place
}

static void a_sink_may_end_it(const test_case *at)
{
    sink to;
    fa_system *fa = watched(at, &to);
    ender by = {fa, 0};
    assert_int_equal(fa_sink_set(fa, end_it_from_the_sink, &by), FA_OK);
    fa_worker *w = fa_self(fa);
    for (int frame = 1; frame < 2 * WINDOW; frame++) {
        begin(fa);
        for (int i = 0; i < 10; i++) {
            FA_TAG(w, i % 2 == 0 ? "even" : "odd");
            fa_heap_free(w, fa_heap_alloc(w, 100, 16));
        }
        end(fa);
    }
    assert_int_equal(by.calls, 1); // of two tags
    assert_int_equal(behavior_of(fa, "odd").frames, 0);
    assert_int_equal(fa_destroy(fa), FA_OK);
}

static void call_on_a_worker(fa_worker *w, void *arg)
{
    fa_behavior found;
    if (w->index == 0) return;
    EXPECT(fa_behavior_watch(w->system, NULL) == FA_ERROR_WRONG_THREAD);
    EXPECT(fa_behavior_reset(w->system) == FA_ERROR_WRONG_THREAD);
    EXPECT(fa_behavior_unwatch(w->system) == FA_ERROR_WRONG_THREAD);
    EXPECT(fa_behavior_read(w->system, *(fa_tag *)arg, &found) == FA_ERROR_WRONG_THREAD);
}

static void switching(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_tag tag = tag_of(fa, "strings");
    fa_behavior found;
    int count = 4;
    assert_int_equal(fa_behavior_read(fa, tag, &found), FA_ERROR_STATE);
    assert_int_equal(fa_behavior_reset(fa), FA_ERROR_STATE);
    assert_int_equal(fa_behavior_unwatch(fa), FA_OK);
    const fa_behavior_limits presets[] = {fa_behavior_strict(), fa_behavior_default(), fa_behavior_relaxed()};
    for (int i = 0; i < 3; i++) assert_int_equal(fa_behavior_watch(fa, &presets[i]), FA_OK);
    for (int kind = 0; kind < FA_BEHAVIOR_KINDS; kind++)
        for (int i = 0; i < 2; i++) assert_true(presets[i].most[kind] < presets[i + 1].most[kind]);
    fa_behavior_limits limits = short_windows();
    limits.frames = 0;
    assert_int_equal(fa_behavior_watch(fa, &limits), FA_ERROR_INVALID);
    limits.frames = 65537;
    assert_int_equal(fa_behavior_watch(fa, &limits), FA_ERROR_INVALID);
    limits = short_windows();
    limits.most[2] = limits.most[2] * 0 / 0.0;
    assert_int_equal(fa_behavior_watch(fa, &limits), FA_ERROR_INVALID);
    limits = short_windows();
    assert_int_equal(fa_behavior_watch(NULL, &limits), FA_ERROR_INVALID);
    assert_int_equal(fa_behavior_watch(fa, &limits), FA_OK);
    assert_int_equal(fa_behavior_read(fa, tag, NULL), FA_ERROR_INVALID);
    assert_int_equal(fa_behavior_read(NULL, tag, &found), FA_ERROR_INVALID);
    assert_int_equal(fa_behavior_read(fa, (fa_tag){0}, &found), FA_ERROR_INVALID);
    assert_int_equal(fa_behavior_read(fa, (fa_tag){99}, &found), FA_ERROR_INVALID);
    for (int frame = 0; frame < WINDOW - 1; frame++) {
        begin(fa);
        everyone(fa, use_heap, &count);
        end(fa);
    }
    assert_int_equal(fa_behavior_reset(fa), FA_OK);
    for (int frame = 0; frame < WINDOW - 1; frame++) { // begins anew: no window is complete
        begin(fa);
        everyone(fa, use_heap, &count);
        everyone(fa, call_on_a_worker, &tag);
        end(fa);
    }
    forget_reports(&to, 201); // of the calls on workers, in checked systems
    assert_quiet(&to);
    assert_int_equal(behavior_of(fa, "strings").frames, 0);
    assert_int_equal(fa_behavior_unwatch(fa), FA_OK);
    for (int frame = 0; frame < 2 * WINDOW; frame++) {
        begin(fa);
        everyone(fa, use_heap, &count);
        end(fa);
    }
    assert_int_equal(fa_behavior_read(fa, tag, &found), FA_ERROR_STATE);
    destroy_quiet(fa, &to);
}

static void no_memory_to_watch_with(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    config.attached_max = 0;
    config.memory_max = 4 * MIB;
    fa_system *fa = create(&config);
    fa_worker *w = fa_self(fa);
    void *first = NULL, *p;
    for (size_t size = MIB; size >= 64; size /= 2)
        while ((p = fa_heap_alloc(w, size, 0)) != NULL) *(void **)p = first, first = p;
    forget_reports(&to, 301);
    assert_int_equal(fa_behavior_watch(fa, NULL), FA_ERROR_MEMORY);
    assert_int_equal(fa_behavior_reset(fa), FA_ERROR_STATE);
    for (; first != NULL; first = p) {
        p = *(void **)first;
        fa_heap_free(w, first);
    }
    assert_int_equal(fa_behavior_watch(fa, NULL), FA_OK);
    destroy_quiet(fa, &to);
}

typedef struct visitor {
    fa_system *fa;
    atomic_uint step; // odd: the visitor's turn
} visitor;

static void *visit(void *arg)
{
    visitor *v = arg;
    fa_worker *w;
    EXPECT(fa_attach(v->fa, &w) == FA_OK);
    make_temporaries(w, NULL);
    for (unsigned step = 0; step < 6; step += 2) {
        atomic_store(&v->step, step + 1);
        while (atomic_load(&v->step) != step + 2) sched_yield();
        EXPECT(fa_idle_begin(w) == FA_OK && fa_idle_end(w) == FA_OK); // publishes
        if (step < 4) make_temporaries(w, NULL);                      // not yet seen when it is watched anew
    }
    atomic_store(&v->step, 7u);
    EXPECT(fa_detach(w) == FA_OK);
    return NULL;
}

/// A lane at work when the watch begins says what it has only later: what it made before is not of the watch.
static void what_others_made_before_is_not_counted(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    const fa_behavior_limits limits = {1, 1, {-1, -1, 0.5, -1, -1}};
    visitor v = {.fa = fa};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, visit, &v), 0);
    for (unsigned step = 0; step < 6; step += 2) {
        while (atomic_load(&v.step) != step + 1) sched_yield();
        assert_int_equal(fa_behavior_watch(fa, &limits), FA_OK);
        begin(fa);
        end(fa);
        atomic_store(&v.step, step + 2);
        while (atomic_load(&v.step) != step + 3) sched_yield();
        begin(fa);
        end(fa);
        assert_int_equal(behavior_of(fa, "temporary").pool_objects, 0);
        assert_int_equal(fa_behavior_unwatch(fa), FA_OK);
    }
    pthread_join(thread, NULL);
    destroy_quiet(fa, &to);
}

static void *visit_late(void *arg)
{
    visitor *v = arg;
    fa_worker *w;
    EXPECT(fa_attach(v->fa, &w) == FA_OK);
    make_temporaries(w, NULL);
    EXPECT(fa_detach(w) == FA_OK);
    return NULL;
}

/// A lane that nobody had used when the watch began owes nothing to the time before, so its first objects count.
static void what_newcomers_make_is_counted(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    const fa_behavior_limits limits = {2, 1, {-1, -1, -1, -1, -1}};
    assert_int_equal(fa_behavior_watch(fa, &limits), FA_OK);
    begin(fa);
    end(fa); // says where pools stand
    begin(fa);
    visitor v = {.fa = fa};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, visit_late, &v), 0);
    pthread_join(thread, NULL);
    end(fa);
    assert_int_equal(behavior_of(fa, "temporary").pool_objects, 100);
    destroy_quiet(fa, &to);
}

static void without_statistics_it_is_unsupported(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_behavior found;
    assert_int_equal(fa_behavior_watch(fa, NULL), FA_ERROR_UNSUPPORTED);
    assert_int_equal(fa_behavior_reset(fa), FA_ERROR_UNSUPPORTED);
    assert_int_equal(fa_behavior_unwatch(fa), FA_ERROR_UNSUPPORTED);
    assert_int_equal(fa_behavior_read(fa, (fa_tag){1}, &found), FA_ERROR_UNSUPPORTED);
    assert_int_equal(found.frames, 0);
    destroy_quiet(fa, &to);
}

int main(int argc, char **argv)
{
    static const test_entry without[] = {
        EACH_OF(without_statistics_it_is_unsupported, "0", "n"),
    };
    if (!FA_STATISTICS) return RUN_MATRIX("behavior", without, argc, argv);
    const test_entry entries[] = {
        EACH(pool_objects_that_die_in_their_frame),
        EACH(bounds_hold),
        EACH(promotions_that_replace_each_other_and_survive),
        EACH(heap_objects_in_every_frame_each_crossing_once),
        EACH_OF(frame_memory_that_is_held, "02", "ny"),
        EACH_OF(few_samples_are_not_judged, "02", "ny"),
        EACH(what_was_before_is_not_counted),
        EACH_OF(what_others_made_before_is_not_counted, "02", "ny"),
        EACH_OF(what_newcomers_make_is_counted, "02", "ny"),
        EACH_OF(a_sink_may_end_it, "02", "ny"),
        EACH(switching),
        EACH_OF(no_memory_to_watch_with, "0", "ny"),
    };
    return RUN_MATRIX("behavior", entries, argc, argv);
}
