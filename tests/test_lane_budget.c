// SPDX-License-Identifier: MIT
//
// Budgets of lanes: exact to the byte for frame memory and objects, of that lane alone, hard and soft, whatever goes from lane to lane.
#include "support.h"

#include <pthread.h>

static fa_lane_budget budget_of(const fa_system *fa, uint32_t lane, fa_lane_use use)
{
    fa_lane_budget budget;
    assert_int_equal(fa_lane_budget_read(fa, lane, use, &budget), FA_OK);
    return budget;
}

static void set(fa_system *fa, uint32_t lane, fa_lane_use use, uint64_t soft, uint64_t hard)
{
    assert_int_equal(fa_lane_budget_set(fa, lane, use, soft, hard), FA_OK);
}

static uint32_t frame_until_null(fa_worker *w, size_t size)
{
    uint32_t n = 0;
    while (fa_frame_alloc(w, size) != NULL) n++;
    return n;
}

static void frame_memory_is_exact(const test_case *at)
{
    static const size_t sizes[] = {16, 48, 1008, 4096, 65536};
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        uint64_t most = 3 * MIB / sizes[i]; // beyond a block; no part of one is left over
        for (uint64_t n = 1; n <= most; n = n * 7 + 1) {
            if (n * sizes[i] > 2 * MIB && 2 * MIB % sizes[i] != 0) continue;
            set(fa, 0, FA_LANE_USE_FRAME, 0, n * sizes[i]);
            for (int frame = 0; frame < 2; frame++) {
                begin(fa);
                assert_int_equal(frame_until_null(w, sizes[i]), n);
                assert_null(fa_frame_alloc(w, 16));
                end(fa);
                assert_reported(&to, 304, 1); // once a frame
                assert_int_equal(budget_of(fa, 0, FA_LANE_USE_FRAME).peak >= n * sizes[i], 1);
                assert_int_equal(budget_of(fa, 0, FA_LANE_USE_FRAME).held, n * sizes[i]);
            }
        }
    }
    set(fa, 0, FA_LANE_USE_FRAME, 0, 0);
    begin(fa);
    for (int i = 0; i < 5; i++) assert_non_null(fa_frame_alloc(w, MIB));
    end(fa);
    destroy_quiet(fa, &to);
}

static void soft_is_told_each_time(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    set(fa, 0, FA_LANE_USE_FRAME, 64 * 100, 64 * 200);
    for (unsigned frame = 1; frame <= 3; frame++) {
        begin(fa);
        for (int i = 0; i < 50; i++) assert_non_null(fa_frame_alloc(w, 64));
        fa_checkpoint here = fa_checkpoint_take(w);
        for (int time = 0; time < 2; time++) {
            for (int i = 0; i < 50; i++) assert_non_null(fa_frame_alloc(w, 64));
            assert_quiet(&to); // equal to the limit
            for (int i = 0; i < 60; i++) assert_non_null(fa_frame_alloc(w, 64));
            assert_reported(&to, 305, 1); // once a crossing
            assert_int_equal(fa_checkpoint_rollback(w, here), FA_OK);
        }
        assert_int_equal(frame_until_null(w, 64), 150);
        assert_int_equal(sink_count(&to, 305), 1);
        assert_int_equal(sink_count(&to, 304), 1);
        sink_reset(&to);
        end(fa);
        fa_lane_budget budget = budget_of(fa, 0, FA_LANE_USE_FRAME);
        assert_int_equal(budget.warned, 3 * frame);
        assert_int_equal(budget.denied, frame);
        assert_int_equal(budget.peak, 64 * 200);
        assert_int_equal(budget.held, 64 * 200);
    }
    destroy_quiet(fa, &to);
}

static void growth_in_place_counts(const test_case *at)
{
    enum { STEP = 1024, SOFT = 4 * STEP, LIMIT = 8 * STEP + 16 }; // growth asks for 16 bytes more than it needs
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    set(fa, 0, FA_LANE_USE_FRAME, SOFT, LIMIT);
    begin(fa);
    fa_allocator frame = fa_allocator_frame(w);
    size_t size = STEP;
    void *p = fa_alloc_with(&frame, size, 16), *grown;
    assert_non_null(p);
    while ((grown = fa_realloc_with(&frame, p, size, size + STEP, 16)) != NULL) {
        assert_ptr_equal(grown, p);
        size += STEP;
        assert_int_equal(sink_count(&to, 305), size > SOFT);
    }
    assert_int_equal(size, 8 * STEP);
    assert_int_equal(sink_count(&to, 304), 1);
    sink_reset(&to);
    end(fa);
    fa_lane_budget budget = budget_of(fa, 0, FA_LANE_USE_FRAME);
    assert_int_equal(budget.held, 8 * STEP);
    assert_int_equal(budget.peak, 8 * STEP);
    assert_int_equal(budget.warned, 1);
    destroy_quiet(fa, &to);
}

static uint32_t pool_until_null(fa_worker *w, size_t size, void **out, uint32_t most)
{
    uint32_t n = 0;
    while (n < most && (out[n] = fa_pool_alloc(w, size)) != NULL) n++;
    return n;
}

enum { MOST = 4000 };

static void objects_are_exact(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    static void *p[MOST];
    for (uint32_t n = 1; n < 3000; n = n * 3 + 1) {
        set(fa, 0, FA_LANE_USE_OBJECTS, 0, n * 64);
        assert_int_equal(pool_until_null(w, 64, p, MOST), n);
        assert_null(fa_heap_alloc(w, 16, 0));
        assert_null(fa_pool_alloc(w, 100000));
        assert_reported(&to, 304, 1);
        assert_int_equal(budget_of(fa, 0, FA_LANE_USE_OBJECTS).held, n * 64);
        fa_pool_free(w, p[n - 1]);
        p[n - 1] = fa_heap_alloc(w, 64, 0); // from another magazine's objects
        assert_non_null(p[n - 1]);
        fa_heap_free(w, p[n - 1]);
        for (uint32_t i = 0; i + 1 < n; i++) fa_pool_free(w, p[i]);
        // What was freed is at hand in magazines of another class, and gives way.
        uint32_t halves = pool_until_null(w, 32, p, MOST);
        assert_int_equal(halves, n * 2 < MOST ? n * 2 : MOST);
        for (uint32_t i = 0; i < halves; i++) fa_pool_free(w, p[i]);
        begin(fa);
        end(fa);
        sink_reset(&to);
    }
    set(fa, 0, FA_LANE_USE_OBJECTS, 0, 10 * 64);
    assert_false(fa_pool_alloc_batch(w, 11, 64, 16, p));
    assert_true(fa_pool_alloc_batch(w, 10, 64, 16, p));
    assert_int_equal(budget_of(fa, 0, FA_LANE_USE_OBJECTS).held, 640);
    fa_pool_free_batch(w, 10, p);
    {
        FA_TAG(w, "other");
        p[0] = fa_pool_alloc(w, 64);
        assert_non_null(p[0]);
        fa_pool_free(w, p[0]); // at hand for that tag alone, and gives way all the same
    }
    assert_int_equal(pool_until_null(w, 64, p, MOST), 10);
    fa_pool_free_batch(w, 10, p);
    set(fa, 0, FA_LANE_USE_OBJECTS, 0, 256 * KIB);
    p[0] = fa_heap_alloc(w, 128 * KIB, 0);
    p[1] = fa_pool_alloc(w, 128 * KIB);
    assert_true(p[0] != NULL && p[1] != NULL);
    assert_null(fa_pool_alloc(w, 16));
    fa_heap_free(w, p[0]);
    fa_pool_free(w, p[1]);
    sink_reset(&to);
    destroy_quiet(fa, &to);
}

static void objects_have_a_soft_limit(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    static void *p[MOST];
    set(fa, 0, FA_LANE_USE_OBJECTS, 100 * 64, 0);
    for (unsigned time = 1; time <= 3; time++) {
        for (int i = 0; i < 100; i++) p[i] = fa_pool_alloc(w, 64);
        assert_quiet(&to);
        for (int i = 100; i < 300; i++) p[i] = fa_pool_alloc(w, 64);
        assert_reported(&to, 305, 1);
        assert_int_equal(budget_of(fa, 0, FA_LANE_USE_OBJECTS).warned, time);
        for (int i = 0; i < 300; i++) fa_pool_free(w, p[i]);
    }
    assert_in_range(budget_of(fa, 0, FA_LANE_USE_OBJECTS).peak, 300 * 64, 300 * 64 + 62 * 64);
    static const size_t sizes[] = {101 * 64, 100 * KIB}; // of a class, and a span
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        p[0] = fa_heap_alloc(w, sizes[i], 0);
        assert_reported(&to, 305, 1);
        fa_heap_free(w, p[0]);
        p[0] = fa_pool_alloc(w, sizes[i]);
        assert_reported(&to, 305, 1);
        fa_pool_free(w, p[0]);
        set(fa, 0, FA_LANE_USE_OBJECTS, 200 * 64, 0); // the magazine keeps its objects
    }
    destroy_quiet(fa, &to);
}

// Several lanes -----------------------------------------------------------------------------------------------------------

typedef struct lanes {
    fa_system *fa;
    void *objects[8][MOST];
} lanes;

static uint32_t share_of(uint32_t lane)
{
    return 100 + 70 * lane;
}

static void use_up(fa_worker *w, void *arg)
{
    lanes *all = arg;
    uint32_t n = share_of(w->index);
    EXPECT(frame_until_null(w, 160) == n);
    EXPECT(pool_until_null(w, 48, all->objects[w->index], MOST) == 2 * n);
}

static void each_lane_has_its_own(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    static lanes all;
    all.fa = fa;
    uint32_t count = at->workers + 1;
    for (uint32_t lane = 0; lane < count; lane++) {
        set(fa, lane, FA_LANE_USE_FRAME, 0, share_of(lane) * 160);
        set(fa, lane, FA_LANE_USE_OBJECTS, 0, share_of(lane) * 96);
    }
    for (int round = 0; round < 5; round++) {
        begin(fa);
        everyone(fa, use_up, &all);
        end(fa);
        assert_reported(&to, 304, 2 * count);
        for (uint32_t lane = 0; lane < count; lane++) {
            fa_lane_budget budget = budget_of(fa, lane, FA_LANE_USE_OBJECTS);
            assert_int_equal(budget.held, share_of(lane) * 96);
            assert_int_equal(budget.peak, share_of(lane) * 96);
            assert_int_equal(budget.denied, round + 1);
            // Freed on the main lane: its owner has it again after the boundary.
            for (uint32_t i = 0; i < 2 * share_of(lane); i++) fa_pool_free(fa_self(fa), all.objects[lane][i]);
        }
        begin(fa);
        end(fa);
    }
    destroy_quiet(fa, &to);
}

typedef struct handed {
    fa_transfer ticket;
    void *span;
    uint32_t lane;
    bool right;
    atomic_uint taken;
} handed;

static void take_over(fa_worker *w, void *arg)
{
    handed *h = arg;
    if (w->index == 0 || atomic_exchange(&h->taken, 1u) != 0) return; // the first worker that comes does it
    h->lane = w->index;
    h->right = fa_transfer_receive(w, h->ticket, &h->span) == FA_OK;
    h->right = h->right && fa_heap_alloc(w, 64, 0) == NULL; // it holds 4 MiB now, which is more than it may
    fa_heap_free(w, h->span);
    void *p = fa_heap_alloc(w, 64, 0);
    h->right = h->right && p != NULL;
    fa_heap_free(w, p);
}

static void spans_count_with_who_has_them(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    for (uint32_t lane = 0; lane <= at->workers; lane++)
        set(fa, lane, FA_LANE_USE_OBJECTS, 0, lane == 0 ? 5 * MIB : MIB);
    for (int round = 0; round < 5; round++) {
        handed h = {.right = false};
        void *span = fa_heap_alloc(w, 4 * MIB, 0);
        assert_non_null(span);
        assert_null(fa_heap_alloc(w, 4 * MIB, 0));
        assert_int_equal(fa_transfer_send(w, span, &h.ticket), FA_OK);
        begin(fa);
        everyone(fa, take_over, &h);
        end(fa);
        assert_true(h.right);
        forget_reports(&to, 304);
        span = fa_heap_alloc(w, 4 * MIB, 0); // the main lane has none any more
        assert_non_null(span);
        fa_heap_free(w, span);
    }
    destroy_quiet(fa, &to);
}

static void retain_span(fa_worker *w, void *arg)
{
    handed *h = arg;
    if (w->index == 0 || atomic_exchange(&h->taken, 1u) != 0) return;
    fa_retain how = fa_retain_for(FA_PERSISTENT);
    h->lane = w->index;
    h->right = fa_frame_retained(w, 3 * MIB, 16, &how) != NULL;
}

static void try_after_promotion(fa_worker *w, void *arg)
{
    handed *h = arg;
    if (w->index != h->lane) return;
    void *p = fa_heap_alloc(w, 3 * MIB, 0);
    h->right = h->span != NULL ? p == NULL : p != NULL;
    if (p != NULL) fa_heap_free(w, p);
}

static void promoted_spans_count_with_their_lane(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    for (uint32_t lane = 0; lane <= at->workers; lane++) set(fa, lane, FA_LANE_USE_OBJECTS, 0, 5 * MIB);
    handed h = {.right = false};
    fa_frame_result result;
    begin(fa);
    everyone(fa, retain_span, &h);
    assert_int_equal(fa_frame_end(fa, &result), FA_OK);
    assert_true(h.right);
    assert_int_equal(result.count, 1);
    assert_int_equal(result.items[0].status, FA_PROMOTED);
    h.span = result.items[0].to;
    begin(fa);
    everyone(fa, try_after_promotion, &h);
    end(fa);
    assert_true(h.right);
    assert_reported(&to, 304, 1);
    fa_heap_free(fa_self(fa), h.span);
    h.span = NULL;
    begin(fa);
    end(fa);
    begin(fa);
    everyone(fa, try_after_promotion, &h);
    end(fa);
    assert_true(h.right);
    destroy_quiet(fa, &to);
}

static void tags_pay_nothing_for_what_a_lane_refuses(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    fa_tag tag;
    fa_tag_stats stats;
    assert_int_equal(fa_tag_find(fa, "tagged", &tag), FA_OK);
    set(fa, 0, FA_LANE_USE_OBJECTS, 0, 64 * 64);
    set(fa, 0, FA_LANE_USE_FRAME, 0, 64 * 64);
    static void *p[MOST];
    begin(fa);
    {
        FA_TAG_AT(w, tag);
        assert_int_equal(pool_until_null(w, 64, p, MOST), 64);
        assert_int_equal(frame_until_null(w, 64), 64);
        assert_reported(&to, 304, 2);
    }
    assert_int_equal(fa_tag_stats_read(fa, tag, &stats), FA_OK);
    assert_int_equal(stats.held[FA_TAG_POOL], 64 * 64);
    assert_int_equal(stats.charged, 2 * 64 * 64);
    assert_int_equal(stats.denied, 0);
    for (int i = 0; i < 64; i++) fa_pool_free(w, p[i]);
    end(fa);
    destroy_quiet(fa, &to);
}

// Sinks -----------------------------------------------------------------------------------------------------------------

typedef struct listener {
    fa_system *fa;
    const char *code;
    atomic_uint heard, ran;
    uint32_t refused; // submissions
    bool inside;
    void *object[2];
} listener;

static void run(fa_worker *w, void *arg)
{
    (void)w;
    listener *l = arg;
    atomic_fetch_add(&l->ran, 1u);
}

static void submit_when_told(const fa_diagnostic *diagnostic, void *context)
{
    listener *l = context;
    EXPECT(strcmp(diagnostic->code, l->code) == 0);
    atomic_fetch_add(&l->heard, 1u);
    fa_task task;
    l->refused += fa_submit(fa_self(l->fa), run, l) == FA_ERROR_STATE;
    l->refused += fa_fork(fa_self(l->fa), &task, run, l) == FA_ERROR_STATE;
}

static fa_system *create_with(const test_case *at, listener *l, fa_diagnostic_fn *fn)
{
    sink to;
    fa_config config = case_config(at, &to);
    config.report = fn;
    config.report_context = l;
    return l->fa = create(&config);
}

/// Uses a window of frame memory, and then has the lane's budget lowered.
static void use_and_lower(fa_system *fa, fa_worker *w)
{
    assert_non_null(fa_frame_alloc(w, 65536));
    set(fa, w->index, FA_LANE_USE_FRAME, 1000, 0);
}

static void *hold_and_drop(void *arg)
{
    const listener *l = arg;
    fa_worker *w;
    fa_frame frame;
    EXPECT(fa_attach(l->fa, &w) == FA_OK);
    EXPECT(fa_frame_hold(w, &frame) == FA_OK);
    EXPECT(fa_frame_alloc(w, 65536) != NULL);
    EXPECT(fa_lane_budget_set(l->fa, w->index, FA_LANE_USE_FRAME, 1000, 0) == FA_OK);
    EXPECT(fa_frame_drop(l->fa, frame) == FA_OK);
    EXPECT(fa_detach(w) == FA_OK);
    return NULL;
}

/// A lane that leaves its frame looks at its budget once more. Jobs that a sink submitted then would come after the wait for the frame's.
static void who_leaves_a_frame_starts_nothing(const test_case *at)
{
    listener l = {.code = "FA305"};
    fa_system *fa = create_with(at, &l, submit_when_told);
    begin(fa);
    use_and_lower(fa, fa_self(fa));
    end(fa);
    assert_int_equal(l.heard, 1);
    assert_int_equal(l.refused, 2);
    begin(fa);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, hold_and_drop, &l), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    end(fa);
    assert_int_equal(l.heard, 2);
    assert_int_equal(l.refused, 4);
    begin(fa);
    end(fa);
    assert_int_equal(fa_destroy(fa), FA_OK);
    assert_int_equal(l.ran, 0);
}

enum { HARD = 64 * 1024 };

/// Uses up what the lane may have while another allocation is under way.
static void allocate_when_told(const fa_diagnostic *diagnostic, void *context)
{
    listener *l = context;
    fa_worker *w = fa_self(l->fa);
    if (strcmp(diagnostic->code, l->code) != 0 || l->inside) return;
    l->inside = true;
    while (fa_pool_alloc(w, 1024) != NULL) continue;
    while (fa_frame_alloc(w, 1024) != NULL) continue;
    l->inside = false;
    atomic_fetch_add(&l->heard, 1u);
}

static void a_sink_counts_too(const test_case *at)
{
    for (int way = 0; way < 5; way++) {
        listener l = {.code = "FA303"};
        fa_system *fa = create_with(at, &l, allocate_when_told);
        fa_worker *w = fa_self(fa);
        fa_tag tag;
        void *p[40];
        assert_int_equal(fa_tag_find(fa, "tagged", &tag), FA_OK);
        assert_int_equal(fa_budget_set(fa, tag, 1, 0), FA_OK);
        set(fa, 0, FA_LANE_USE_OBJECTS, 0, HARD);
        set(fa, 0, FA_LANE_USE_FRAME, 0, HARD);
        begin(fa);
        {
            FA_TAG_AT(w, tag);
            switch (way) {
                case 0: (void)fa_pool_alloc(w, 512); break;
                case 1: (void)fa_heap_alloc(w, 512, 0); break;
                case 2: (void)fa_heap_alloc(w, HARD, 0); break;
                case 3: (void)fa_pool_alloc_batch(w, 40, 512, 0, p); break;
                default: (void)fa_frame_alloc(w, 512);
            }
        }
        end(fa);
        assert_int_equal(l.heard, 1);
        for (fa_lane_use use = 0; use < FA_LANE_USES; use++) {
            fa_lane_budget budget = budget_of(fa, 0, use);
            assert_true(budget.peak <= HARD);
            assert_true(budget.held <= HARD);
        }
        (void)fa_destroy(fa);
    }
}

static void what_is_refused(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    fa_system *fa = create(&config);
    fa_lane_budget budget;
    uint32_t count = 1 + config.worker_count + config.attached_max;
    set(fa, count - 1, FA_LANE_USE_FRAME, 0, 1);
    assert_int_equal(fa_lane_budget_set(fa, count, FA_LANE_USE_FRAME, 0, 1), FA_ERROR_INVALID);
    assert_int_equal(fa_lane_budget_read(fa, count, FA_LANE_USE_FRAME, &budget), FA_ERROR_INVALID);
    assert_int_equal(fa_lane_budget_set(NULL, 0, FA_LANE_USE_FRAME, 0, 1), FA_ERROR_INVALID);
    assert_int_equal(fa_lane_budget_set(fa, 100000, FA_LANE_USE_FRAME, 0, 1), FA_ERROR_INVALID);
    assert_int_equal(fa_lane_budget_set(fa, 0, FA_LANE_USES, 0, 1), FA_ERROR_INVALID);
    assert_int_equal(fa_lane_budget_set(fa, 0, FA_LANE_USE_FRAME, 2, 1), FA_ERROR_INVALID);
    assert_int_equal(fa_lane_budget_read(NULL, 0, FA_LANE_USE_FRAME, &budget), FA_ERROR_INVALID);
    assert_int_equal(fa_lane_budget_read(fa, 0, FA_LANE_USE_FRAME, NULL), FA_ERROR_INVALID);
    assert_int_equal(fa_lane_budget_read(fa, 100000, FA_LANE_USE_FRAME, &budget), FA_ERROR_INVALID);
    assert_int_equal(fa_lane_budget_read(fa, 0, FA_LANE_USES, &budget), FA_ERROR_INVALID);
    budget = budget_of(fa, 0, FA_LANE_USE_FRAME);
    assert_int_equal(budget.hard + budget.soft + budget.held + budget.denied, 0);
    set(fa, 0, FA_LANE_USE_FRAME, 5, 5);
    set(fa, 0, FA_LANE_USE_FRAME, 5, 0);
    budget = budget_of(fa, 0, FA_LANE_USE_FRAME);
    assert_true(budget.soft == 5 && budget.hard == 0);
    destroy_quiet(fa, &to);
}

int main(int argc, char **argv)
{
    if (!FA_STATISTICS) return 0; // test_tag looks at such a build
    const test_entry entries[] = {
        EACH_OF(frame_memory_is_exact, "02", "ny"),
        EACH_OF(soft_is_told_each_time, "02", "ny"),
        EACH_OF(growth_in_place_counts, "02", "ny"),
        EACH_OF(objects_are_exact, "02", "ny"),
        EACH_OF(objects_have_a_soft_limit, "02", "n"),
        EACH(each_lane_has_its_own),
        EACH_OF(spans_count_with_who_has_them, "124", "ny"),
        EACH_OF(promoted_spans_count_with_their_lane, "12", "ny"),
        EACH_OF(tags_pay_nothing_for_what_a_lane_refuses, "02", "ny"),
        EACH_OF(who_leaves_a_frame_starts_nothing, "02", "ny"),
        EACH_OF(a_sink_counts_too, "02", "ny"),
        EACH_OF(what_is_refused, "0", "ny"),
    };
    return RUN_MATRIX("lane_budget", entries, argc, argv);
}
