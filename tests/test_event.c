// SPDX-License-Identifier: MIT
//
// Events: every kind comes from its real cause, to the listeners that want it, in order, nested, counted when dropped; and listeners may
// do what they like meanwhile.
#include "support.h"

#include <pthread.h>

#define BIT(kind) FA_EVENT_BIT(FA_EVENT_##kind)

// A listener that keeps what it hears ----------------------------------------------------------------------------------

enum { KEPT = 1 << 18 };

typedef struct ear {
    fa_event *events;
    uint32_t count;
    uint32_t of[FA_EVENT_KINDS];
    fa_listener id;
} ear;

static void hear(const fa_event *event, void *context)
{
    ear *to = context;
    EXPECT(event->kind < FA_EVENT_KINDS);
    to->of[event->kind]++;
    if (to->count < KEPT) to->events[to->count] = *event;
    to->count++;
}

static void listen(ear *to, fa_system *fa, uint64_t mask)
{
    *to = (ear){.events = malloc(KEPT * sizeof(fa_event))};
    assert_non_null(to->events);
    assert_int_equal(fa_listen(fa, mask, hear, to, &to->id), FA_OK);
}

static void forget(ear *to)
{
    to->count = 0;
    memset(to->of, 0, sizeof to->of);
}

static const fa_event *find(const ear *in, fa_event_kind kind)
{
    for (uint32_t i = 0; i < in->count && i < KEPT; i++)
        if (in->events[i].kind == kind) return &in->events[i];
    return NULL;
}

static bool is_begin(uint32_t kind)
{
    return kind == FA_EVENT_JOB_BEGIN || kind == FA_EVENT_LOOP_BEGIN || kind == FA_EVENT_WAIT_BEGIN ||
           kind == FA_EVENT_PARK_BEGIN || kind == FA_EVENT_PHASE_BEGIN;
}

static bool is_end(uint32_t kind)
{
    return kind != 0 && is_begin(kind - 1);
}

/// Zones nest on each lane, each end has the kind of its begin; returns how many are still open.
static uint32_t assert_nested(const ear *in)
{
    static uint32_t stack[FA_LANES_MAX][64];
    uint32_t depth[FA_LANES_MAX] = {0}, open = 0;
    for (uint32_t i = 0; i < in->count; i++) {
        const fa_event *event = &in->events[i];
        uint32_t *top = &depth[event->lane];
        if (is_begin(event->kind)) {
            assert_true(*top < 64);
            stack[event->lane][(*top)++] = event->kind;
        } else if (is_end(event->kind)) {
            assert_true(*top > 0);
            assert_int_equal(stack[event->lane][--*top] + 1, event->kind);
        }
    }
    for (uint32_t lane = 0; lane < FA_LANES_MAX; lane++) open += depth[lane];
    return open;
}

// Frames ----------------------------------------------------------------------------------------------------------------

typedef struct edge {
    fa_system *fa;
    uint32_t begins, ends;
    uint64_t bytes;
} edge;

static void see_edge(const fa_event *event, void *context)
{
    edge *to = context;
    EXPECT(event->lane == 0 && event->frame == fa_frame_number(to->fa) && event->a == event->frame);
    if (event->kind == FA_EVENT_FRAME_BEGIN) {
        to->begins++;
        EXPECT(fa_frame_alloc(fa_self(to->fa), 64) != NULL); // the frame is open
    } else {
        fa_stats stats;
        EXPECT(event->kind == FA_EVENT_FRAME_END);
        EXPECT(fa_stats_read(to->fa, &stats) == FA_OK && stats.frame == event->a && stats.frame_bytes == event->b);
        to->ends++;
        to->bytes = event->b;
    }
}

static void frame_edges_are_told_at_once(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    edge seen = {.fa = fa};
    fa_listener id;
    assert_int_equal(fa_listen(fa, BIT(FRAME_BEGIN) | BIT(FRAME_END), see_edge, &seen, &id), FA_OK);
    for (uint32_t i = 1; i <= 10; i++) {
        begin(fa);
        assert_int_equal(seen.begins, i);
        assert_int_equal(seen.ends, i - 1);
        assert_non_null(fa_frame_alloc(fa_self(fa), 1000));
        end(fa);
        assert_int_equal(seen.ends, i);
        assert_true(seen.bytes >= 1064);
    }
    destroy_quiet(fa, &to);
}

static void destroy_ends_an_open_frame_for_listeners_too(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    ear all;
    listen(&all, fa, FA_EVENT_ALL);
    begin(fa);
    destroy_quiet(fa, &to);
    assert_int_equal(all.of[FA_EVENT_FRAME_BEGIN], 1);
    assert_int_equal(all.of[FA_EVENT_FRAME_END], 1);
    free(all.events);
}

// Each kind from its cause ----------------------------------------------------------------------------------------------

static void nothing(fa_worker *w, void *arg)
{
    (void)w, (void)arg;
}

static void count_items(fa_worker *w, uint64_t first, uint64_t last, void *arg)
{
    (void)w;
    atomic_fetch_add((atomic_ullong *)arg, last - first);
}

static void jobs_loops_and_waits(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    ear all;
    begin(fa);
    end(fa);
    uint64_t before = stats_of(fa).jobs;
    listen(&all, fa, FA_EVENT_ALL);
    begin(fa);
    fa_counter counter = FA_COUNTER_INIT;
    fa_job job = {.fn = nothing, .name = "named", .counter = &counter};
    for (int i = 0; i < 100; i++) assert_int_equal(fa_submit_job(w, &job), FA_OK);
    assert_int_equal(fa_submit(w, nothing, NULL), FA_OK);
    atomic_ullong items = 0;
    assert_int_equal(fa_wait(w, &counter), FA_OK);
    assert_int_equal(fa_parallel_for(w, 5, 1005, 10, count_items, &items), FA_OK);
    assert_int_equal(atomic_load(&items), 1000);
    fa_task task;
    assert_int_equal(fa_fork(w, &task, nothing, NULL), FA_OK);
    fa_join(w, &task);
    end(fa);
    uint64_t jobs = stats_of(fa).jobs - before;
    assert_true(jobs >= 102);
    assert_int_equal(all.of[FA_EVENT_JOB_BEGIN], jobs);
    assert_int_equal(all.of[FA_EVENT_JOB_END], jobs);
    assert_true(all.of[FA_EVENT_LOOP_BEGIN] > 0);
    assert_int_equal(all.of[FA_EVENT_WAIT_BEGIN], all.of[FA_EVENT_WAIT_END]);
    if (at->workers == 0) assert_int_equal(all.of[FA_EVENT_WAIT_BEGIN], 1);
    (void)assert_nested(&all);
    uint32_t named = 0;
    uint64_t looped = 0;
    for (uint32_t i = 0; i < all.count; i++) {
        const fa_event *event = &all.events[i];
        assert_int_equal(event->frame, 2);
        if (event->kind == FA_EVENT_JOB_BEGIN && event->name != NULL) {
            assert_string_equal(event->name, "named");
            assert_int_equal(event->a, (uintptr_t)nothing);
            named++;
        }
        if (event->kind == FA_EVENT_LOOP_BEGIN) looped += event->b - event->a;
    }
    assert_int_equal(named, 100);
    assert_int_equal(looped, 1000);
    destroy_quiet(fa, &to);
    free(all.events);
}

static void events_come_in_the_order_of_their_times(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    ear all;
    listen(&all, fa, FA_EVENT_ALL & ~(BIT(FRAME_BEGIN) | BIT(FRAME_END)));
    for (int frame = 0; frame < 20; frame++) {
        begin(fa);
        everyone(fa, nothing, NULL);
        forget(&all);
        end(fa);
        for (uint32_t i = 1; i < all.count; i++) {
            const fa_event *a = &all.events[i - 1], *b = &all.events[i];
            assert_true(a->time_ns < b->time_ns || (a->time_ns == b->time_ns && a->lane <= b->lane));
        }
    }
    destroy_quiet(fa, &to);
    free(all.events);
}

typedef struct trade {
    void *objects[200];
} trade;

static void free_all(fa_worker *w, void *arg)
{
    trade *from = arg;
    if (w->index == 0) return;
    for (int i = 0; i < 200; i++) {
        void *p = __atomic_exchange_n(&from->objects[i], NULL, __ATOMIC_RELAXED);
        fa_pool_free(w, p);
    }
}

static void steals_parks_and_frees_by_others(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    ear all;
    listen(&all, fa, FA_EVENT_ALL);
    uint64_t steals = stats_of(fa).steals, frees = 0;
    for (int frame = 0; frame < 20; frame++) {
        begin(fa);
        trade goods;
        for (int i = 0; i < 200; i++) assert_non_null(goods.objects[i] = fa_pool_alloc(w, 48));
        everyone(fa, free_all, &goods);
        end(fa);
        // The workers go to sleep, so that waking them is seen.
        struct timespec pause = {.tv_nsec = 3000000};
        if (frame % 5 == 0) nanosleep(&pause, NULL);
    }
    steals = stats_of(fa).steals - steals;
    uint64_t stolen = 0, slept = 0;
    for (uint32_t i = 0; i < all.count; i++) {
        if (all.events[i].kind == FA_EVENT_STEAL) {
            stolen += all.events[i].a;
            assert_true(all.events[i].b <= at->workers && all.events[i].b != all.events[i].lane);
        }
        if (all.events[i].kind == FA_EVENT_REMOTE_DRAIN) frees += all.events[i].a;
        if (all.events[i].kind == FA_EVENT_POOL_REFILL) assert_int_equal(all.events[i].b, 48);
        if (all.events[i].kind == FA_EVENT_PARK_BEGIN) slept += all.events[i].lane > 0;
        if (all.events[i].kind == FA_EVENT_WAKE) assert_true(all.events[i].a <= at->workers);
    }
    // A thief may have recorded its steal before or after the look at it; a drain at the last boundary is told with it.
    assert_true(stolen <= stats_of(fa).steals && stolen > 0 && steals > 0);
    assert_int_equal(frees, 20 * 200);
    assert_int_equal(frees, stats_of(fa).remote_frees);
    assert_int_equal(all.of[FA_EVENT_POOL_REFILL], stats_of(fa).pool_refills);
    assert_true(slept > 0); // workers, not only the main lane
    assert_true(all.of[FA_EVENT_PARK_BEGIN] > 0 && all.of[FA_EVENT_PARK_END] > 0 && all.of[FA_EVENT_WAKE] > 0);
    assert_int_equal(stats_of(fa).events_dropped, 0);
    (void)assert_nested(&all);
    destroy_quiet(fa, &to);
    free(all.events);
}

static void allocate_there(fa_worker *w, void *arg)
{
    trade *to = arg;
    if (w->index != 0) to[w->index].objects[0] = fa_pool_alloc(w, 48);
}

/// The boundary brings frees home for lanes that sleep, while they may be recording that they do.
static void what_is_done_for_a_sleeping_lane_bears_its_number(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    ear all;
    listen(&all, fa, FA_EVENT_ALL);
    uint64_t of[8] = {0};
    enum { FRAMES = 100 };
    for (int frame = 0; frame < FRAMES; frame++) {
        static trade goods[8];
        begin(fa);
        everyone(fa, allocate_there, goods);
        for (uint32_t lane = 1; lane <= at->workers; lane++) fa_pool_free(w, goods[lane].objects[0]);
        end(fa);
    }
    begin(fa);
    end(fa);
    assert_int_equal(fa_destroy(fa), FA_OK);
    assert_quiet(&to);
    for (uint32_t i = 0; i < all.count; i++)
        if (all.events[i].kind == FA_EVENT_REMOTE_DRAIN) of[all.events[i].lane] += all.events[i].a;
    assert_int_equal(of[0], 0);
    for (uint32_t lane = 1; lane <= at->workers; lane++) assert_int_equal(of[lane], FRAMES);
    (void)assert_nested(&all);
    free(all.events);
}

static void large_allocations_of_every_memory(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    config.large_bytes = 100000;
    fa_system *fa = create(&config);
    fa_worker *w = fa_self(fa);
    ear all;
    listen(&all, fa, BIT(LARGE_ALLOCATION));
    begin(fa);
    for (int i = 0; i < 50; i++) assert_non_null(fa_frame_alloc(w, 100000)); // not above
    assert_non_null(fa_frame_alloc(w, 100001));
    assert_non_null(fa_frame_alloc(w, 64));
    assert_non_null(fa_frame_alloc(w, 300000));          // would fit into what the block has left
    for (size_t size = 100005; size <= 100006; size++) { // the first of a block, then of one that is opened again
        FA_SCOPE(w);
        assert_non_null(fa_scope_alloc(w, size));
    }
    for (int i = 0; i < 3; i++) { // a scope's end leaves no more room than there was
        {
            FA_SCOPE(w);
            assert_non_null(fa_scope_alloc(w, 90000));
        }
        if (i == 1) assert_non_null(fa_scope_alloc(w, 16));
    }
    assert_non_null(fa_scope_alloc(w, 100002));
    {
        FA_SCOPE(w);
        for (int i = 0; i < 20; i++) assert_non_null(fa_scope_alloc(w, 95000)); // as far as the block's end
    }
    assert_non_null(fa_scope_alloc(w, 100007));
    void *pool = fa_pool_alloc(w, 100003), *heap = fa_heap_alloc(w, 100004, 0);
    assert_non_null(pool);
    assert_non_null(heap);
    fa_pool_free(w, pool);
    fa_heap_free(w, heap);
    assert_int_equal(all.count, 0); // told at the boundary
    end(fa);
    static const struct {
        const char *name;
        uint64_t size;
    } wanted[] = {{"frame", 100001}, {"frame", 300000}, {"scope", 100005}, {"scope", 100006},
                  {"scope", 100002}, {"scope", 100007}, {"pool", 100003},  {"heap", 100004}};
    assert_int_equal(all.count, 8);
    for (int i = 0; i < 8; i++) {
        assert_string_equal(all.events[i].name, wanted[i].name);
        assert_int_equal(all.events[i].a, wanted[i].size);
    }
    destroy_quiet(fa, &to);
    free(all.events);
}

static void pressure_once_a_crossing_and_refusals(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    config.attached_max = 0;
    config.memory_max = 32 * MIB;
    config.event_capacity = 64;
    config.pressure_percent = 50;
    fa_system *fa = create(&config);
    fa_worker *w = fa_self(fa);
    ear all;
    listen(&all, fa, BIT(MEMORY_PRESSURE) | BIT(MEMORY_REFUSED));
    for (int round = 1; round <= 2; round++) {
        begin(fa);
        end(fa);
        assert_int_equal(all.of[FA_EVENT_MEMORY_PRESSURE], round - 1);
        void *p = fa_heap_alloc(w, 18 * MIB, 0);
        assert_non_null(p);
        for (int i = 0; i < 3; i++) {
            begin(fa);
            end(fa);
        }
        assert_int_equal(all.of[FA_EVENT_MEMORY_PRESSURE], round);
        fa_heap_free(w, p);
    }
    const fa_event *event = find(&all, FA_EVENT_MEMORY_PRESSURE);
    assert_non_null(event);
    assert_true(event->a >= 18 * MIB && event->a <= event->b);
    assert_int_equal(event->b, 32 * MIB);
    assert_int_equal(all.of[FA_EVENT_MEMORY_REFUSED], 0);
    uint64_t refused = stats_of(fa).memory_refused;
    assert_null(fa_heap_alloc(w, 40 * MIB, 0));
    begin(fa);
    end(fa);
    assert_int_equal(all.of[FA_EVENT_MEMORY_REFUSED], 1);
    assert_int_equal(find(&all, FA_EVENT_MEMORY_REFUSED)->a, stats_of(fa).memory_refused - refused);
    assert_reported(&to, 301, 1);
    destroy_quiet(fa, &to);
    free(all.events);
}

static void promotions_and_their_failure(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    config.retained_max = 3;
    fa_system *fa = create(&config);
    fa_worker *w = fa_self(fa);
    ear all;
    listen(&all, fa, BIT(PROMOTION) | BIT(PROMOTION_FAILED));
    begin(fa);
    static const fa_retain_to where[] = {FA_RETAIN_POOL, FA_RETAIN_HEAP, FA_RETAIN_DISCARD, FA_RETAIN_POOL};
    for (uint64_t i = 0; i < 4; i++) {
        fa_retain how = {.to = where[i], .user = i + 70, .key = i};
        assert_non_null(fa_frame_retained(w, 100 + i, 16, &how));
    }
    fa_frame_result result;
    assert_int_equal(fa_frame_end(fa, &result), FA_OK);
    assert_int_equal(all.count, 3);
    assert_int_equal(all.events[0].kind, FA_EVENT_PROMOTION);
    assert_string_equal(all.events[0].name, "pool");
    assert_int_equal(all.events[0].a, 100);
    assert_int_equal(all.events[0].b, 70);
    assert_string_equal(all.events[1].name, "heap");
    assert_int_equal(all.events[2].kind, FA_EVENT_PROMOTION_FAILED);
    assert_int_equal(all.events[2].a, 103);
    assert_reported(&to, 904, 1);
    fa_pool_free(w, result.items[0].to);
    fa_heap_free(w, result.items[1].to);
    fa_retain how = {.to = FA_RETAIN_SCRATCH};
    assert_int_equal(fa_scratch_create(w, "kept", 0, &how.scratch), FA_OK);
    begin(fa);
    assert_non_null(fa_frame_retained(w, 50, 16, &how));
    assert_int_equal(fa_frame_end(fa, &result), FA_OK);
    assert_int_equal(all.count, 4);
    assert_int_equal(all.events[3].kind, FA_EVENT_PROMOTION);
    assert_string_equal(all.events[3].name, "scratch");
    destroy_quiet(fa, &to);
    free(all.events);
}

static void phased(fa_worker *w, void *arg)
{
    (void)arg;
    FA_TAG(w, "ai");
    FA_PHASE(w, "plan");
    fa_phase_scope inner = fa_phase_scope_begin(w, "path");
    fa_phase_scope_end(&inner);
}

static void phases_and_tags(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    ear all;
    listen(&all, fa, FA_EVENT_ALL);
    begin(fa);
    for (int i = 0; i < 50; i++) assert_int_equal(fa_submit(fa_self(fa), phased, NULL), FA_OK);
    end(fa);
    assert_int_equal(all.of[FA_EVENT_PHASE_BEGIN], 100);
    assert_int_equal(all.of[FA_EVENT_PHASE_END], 100);
    assert_int_equal(all.of[FA_EVENT_TAG_PUSH], 50);
    assert_int_equal(all.of[FA_EVENT_TAG_POP], 50);
    uint32_t paths = 0;
    for (uint32_t i = 0; i < all.count; i++) {
        const fa_event *event = &all.events[i];
        if (event->kind == FA_EVENT_TAG_PUSH) assert_string_equal(event->name, "ai");
        if (event->kind == FA_EVENT_PHASE_END) paths += strcmp(event->name, "plan::path") == 0;
    }
    assert_int_equal(paths, 50);
    (void)assert_nested(&all);
    destroy_quiet(fa, &to);
    free(all.events);
}

static void leave_open(fa_worker *w, void *arg)
{
    (void)arg;
    EXPECT(fa_phase_begin(w, "a") == FA_OK && fa_phase_begin(w, "b") == FA_OK);
    fa_counter counter = FA_COUNTER_INIT;
    EXPECT(fa_submit_counted(w, &counter, phased, NULL) == FA_OK);
    EXPECT(fa_wait(w, &counter) == FA_OK);
}

static void phases_left_open_end_before_their_job(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    ear all;
    listen(&all, fa, FA_EVENT_ALL);
    begin(fa);
    for (int i = 0; i < 10; i++) assert_int_equal(fa_submit(fa_self(fa), leave_open, NULL), FA_OK);
    end(fa);
    assert_reported(&to, 913, 10);
    assert_int_equal(all.of[FA_EVENT_PHASE_BEGIN], 40);
    assert_int_equal(all.of[FA_EVENT_PHASE_END], 40);
    (void)assert_nested(&all);
    destroy_quiet(fa, &to);
    free(all.events);
}

static void budgets_crossed_and_exceeded(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    fa_tag tag;
    assert_int_equal(fa_tag_find(fa, "audio", &tag), FA_OK);
    assert_int_equal(fa_budget_set(fa, tag, 200000, 400000), FA_OK);
    ear all;
    listen(&all, fa, BIT(BUDGET_WARNING) | BIT(BUDGET_EXCEEDED));
    begin(fa);
    fa_tag_scope scope = fa_tag_begin_at(w, tag);
    void *p = fa_heap_alloc(w, 300000, 16);
    assert_non_null(p);
    for (int i = 0; i < 3; i++) assert_null(fa_heap_alloc(w, 300000, 16));
    fa_tag_end(&scope);
    end(fa);
    assert_int_equal(sink_count(&to, 303), 1);
    assert_int_equal(sink_count(&to, 302), 1);
    atomic_store(&to.total, 0u);
    assert_int_equal(all.of[FA_EVENT_BUDGET_WARNING], 1);
    assert_int_equal(all.of[FA_EVENT_BUDGET_EXCEEDED], 3); // each refusal, though FA302 comes once a frame
    const fa_event *warning = find(&all, FA_EVENT_BUDGET_WARNING), *denied = find(&all, FA_EVENT_BUDGET_EXCEEDED);
    assert_string_equal(warning->name, "audio");
    assert_true(warning->a >= 300000 && warning->b == 200000);
    assert_string_equal(denied->name, "audio");
    assert_true(denied->a >= 300000 && denied->b == 400000 && denied->c >= 300000);
    fa_heap_free(w, p);
    destroy_quiet(fa, &to);
    free(all.events);
}

static void names_of_kinds(const test_case *at)
{
    (void)at;
    assert_string_equal(fa_event_name(FA_EVENT_FRAME_BEGIN), "frame begin");
    assert_string_equal(fa_event_name(FA_EVENT_HANDLE_COMPACT), "handle compact");
    assert_string_equal(fa_event_name(FA_EVENT_KINDS), "unknown");
    assert_string_equal(fa_event_name(UINT32_MAX), "unknown");
    assert_true(sizeof(fa_event) <= 64);
}

// Listeners -------------------------------------------------------------------------------------------------------------

static void *try_elsewhere(void *arg)
{
    fa_system *fa = arg;
    fa_listener id;
    EXPECT(fa_listen(fa, FA_EVENT_ALL, hear, NULL, &id) == FA_ERROR_WRONG_THREAD);
    EXPECT(fa_unlisten(fa, (fa_listener){0}) == FA_ERROR_WRONG_THREAD);
    return NULL;
}

static void try_in_job(fa_worker *w, void *arg)
{
    fa_system *fa = arg;
    fa_listener id;
    fa_status status = fa_listen(fa, FA_EVENT_ALL, hear, NULL, &id);
    EXPECT(status == (w->index == 0 ? FA_ERROR_STATE : FA_ERROR_WRONG_THREAD) && id.bits == 0);
}

static void bad_calls_change_nothing(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    ear unused = {0};
    fa_listener id = {7};
    assert_int_equal(fa_listen(NULL, FA_EVENT_ALL, hear, &unused, &id), FA_ERROR_INVALID);
    assert_int_equal(id.bits, 0);
    assert_int_equal(fa_listen(fa, 0, hear, &unused, &id), FA_ERROR_INVALID);
    assert_int_equal(fa_listen(fa, FA_EVENT_BIT(FA_EVENT_KINDS), hear, &unused, &id), FA_ERROR_INVALID);
    assert_int_equal(fa_listen(fa, FA_EVENT_ALL, NULL, &unused, &id), FA_ERROR_INVALID);
    fa_status status = fa_listen(fa, FA_EVENT_ALL, hear, &unused, NULL);
    assert_int_equal(status, FA_ERROR_INVALID);
    assert_int_equal(fa_unlisten(NULL, id), FA_ERROR_INVALID);
    assert_int_equal(fa_unlisten(fa, (fa_listener){0}), FA_ERROR_STALE);
    assert_int_equal(fa_unlisten(fa, (fa_listener){UINT64_MAX}), FA_ERROR_STALE);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, try_elsewhere, fa), 0);
    pthread_join(thread, NULL);
    begin(fa);
    for (int i = 0; i < 20; i++) assert_int_equal(fa_submit(fa_self(fa), try_in_job, fa), FA_OK);
    end(fa);
    fa_listener ids[FA_LISTENERS_MAX];
    for (uint32_t i = 0; i < FA_LISTENERS_MAX; i++)
        assert_int_equal(fa_listen(fa, BIT(STREAM_EVICT), hear, &unused, &ids[i]), FA_OK);
    assert_int_equal(fa_listen(fa, BIT(STREAM_EVICT), hear, &unused, &id), FA_ERROR_FULL);
    assert_int_equal(fa_unlisten(fa, ids[3]), FA_OK);
    assert_int_equal(fa_unlisten(fa, ids[3]), FA_ERROR_STALE);
    assert_int_equal(fa_listen(fa, BIT(STREAM_EVICT), hear, &unused, &id), FA_OK);
    assert_int_equal(fa_unlisten(fa, ids[3]), FA_ERROR_STALE); // its place was reused, its name was not
    assert_int_equal(fa_unlisten(fa, id), FA_OK);
    assert_int_equal(unused.count, 0);
    destroy_quiet(fa, &to);
}

static void only_what_the_mask_says_until_unlistened(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    ear jobs, frames;
    listen(&jobs, fa, BIT(JOB_END));
    listen(&frames, fa, BIT(FRAME_END));
    for (int i = 0; i < 4; i++) {
        begin(fa);
        for (int job = 0; job < 10; job++) assert_int_equal(fa_submit(fa_self(fa), nothing, NULL), FA_OK);
        end(fa);
        if (i == 1) assert_int_equal(fa_unlisten(fa, jobs.id), FA_OK);
    }
    assert_int_equal(jobs.count, 20);
    assert_int_equal(jobs.of[FA_EVENT_JOB_END], 20);
    assert_int_equal(frames.count, 4);
    destroy_quiet(fa, &to);
    free(jobs.events);
    free(frames.events);
}

static void streams_evicted_and_handles_moved(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    config.stream_bytes_max = 100000;
    fa_system *fa = create(&config);
    fa_worker *w = fa_self(fa);
    ear all;
    listen(&all, fa, BIT(STREAM_EVICT) | BIT(HANDLE_COMPACT));
    begin(fa);
    fa_stream old, new;
    void *memory;
    fa_stream_options named = {.name = "rock"};
    assert_int_equal(fa_stream_reserve(w, 60000, FA_STREAM_LOW, &named, &old), FA_OK);
    assert_int_equal(fa_stream_load_begin(w, old, &memory), FA_OK);
    assert_int_equal(fa_stream_load_end(w, old), FA_OK);
    assert_int_equal(fa_stream_reserve(w, 60000, FA_STREAM_HIGH, NULL, &new), FA_OK);
    enum { HANDLES = 4000 };
    static fa_handle handles[HANDLES];
    for (int i = 0; i < HANDLES; i++) handles[i] = fa_handle_alloc(w, 200, 16, NULL);
    for (int i = 0; i < HANDLES; i++)
        if (i % 16 != 0) assert_int_equal(fa_handle_free(w, handles[i]), FA_OK);
    end(fa);
    fa_handle_compaction result;
    double start = seconds_now(); // what was freed is there to be moved away from after a grace period
    while (all.of[FA_EVENT_HANDLE_COMPACT] == 0 && seconds_now() - start < 20) {
        assert_int_equal(fa_handles_compact(fa, SIZE_MAX, UINT32_MAX, &result), FA_OK);
        begin(fa);
        end(fa);
    }
    const fa_event *evicted = find(&all, FA_EVENT_STREAM_EVICT), *moved = find(&all, FA_EVENT_HANDLE_COMPACT);
    assert_true(evicted != NULL && moved != NULL);
    assert_string_equal(evicted->name, "rock");
    assert_int_equal(evicted->a, 60000);
    assert_int_equal(moved->a, result.moves);
    assert_int_equal(moved->b, result.bytes);
    for (int i = 0; i < HANDLES; i += 16) assert_int_equal(fa_handle_free(w, handles[i]), FA_OK);
    assert_int_equal(fa_stream_free(w, new), FA_OK);
    destroy_quiet(fa, &to);
    free(all.events);
}

static void systems_do_not_hear_each_other(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to), *other = create_case(at, &to);
    ear all;
    listen(&all, fa, FA_EVENT_ALL & ~(BIT(PARK_BEGIN) | BIT(PARK_END) | BIT(WAKE) | BIT(STEAL)));
    begin(other);
    assert_int_equal(fa_submit(fa_self(other), nothing, NULL), FA_OK);
    end(other);
    begin(fa);
    end(fa);
    assert_int_equal(all.count, 2);
    destroy_quiet(other, &to);
    destroy_quiet(fa, &to);
    free(all.events);
}

static bool refuse_write(const void *data, size_t size, void *context)
{
    (void)data, (void)size, (void)context;
    return false;
}

/// A listener that uses the library and changes who listens.
typedef struct meddler {
    fa_system *fa;
    fa_listener self, other, late;
    uint32_t calls, other_calls, late_calls, refills;
} meddler;

static void count_other(const fa_event *event, void *context)
{
    (void)event;
    ((meddler *)context)->other_calls++;
}

static void count_late(const fa_event *event, void *context)
{
    (void)event;
    ((meddler *)context)->late_calls++;
}

static void meddle(const fa_event *event, void *context)
{
    meddler *m = context;
    fa_worker *w = fa_self(m->fa);
    static fa_snapshot snapshot;
    if (event->kind == FA_EVENT_POOL_REFILL) m->refills++;
    if (event->kind != FA_EVENT_FRAME_END) return;
    m->calls++;
    EXPECT(fa_frame_begin(m->fa) == FA_ERROR_STATE);
    EXPECT(fa_frame_try_begin(m->fa) == FA_ERROR_STATE);
    EXPECT(fa_frame_end(m->fa, NULL) == FA_ERROR_STATE);
    EXPECT(fa_destroy(m->fa) == FA_ERROR_STATE);
    fa_status status = fa_trace_start_to(m->fa, refuse_write, NULL);
    EXPECT(status == FA_ERROR_STATE && fa_trace_stop(m->fa, NULL) == FA_ERROR_STATE);
    EXPECT(fa_snapshot_take(m->fa, &snapshot) == FA_OK && snapshot.frame == event->a);
    void *p = fa_pool_alloc(w, 1000), *q = fa_heap_alloc(w, 100000, 0); // a refill
    EXPECT(p != NULL && q != NULL);
    fa_pool_free(w, p);
    fa_heap_free(w, q);
    if (m->calls == 1) {
        EXPECT(fa_unlisten(m->fa, m->other) == FA_OK); // it stands behind this one and is not called any more
        EXPECT(fa_listen(m->fa, BIT(FRAME_END), count_late, m, &m->late) == FA_OK);
    }
    if (m->calls == 3) EXPECT(fa_unlisten(m->fa, m->self) == FA_OK);
}

static void a_listener_may_call_the_library(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    meddler m = {.fa = fa};
    assert_int_equal(fa_listen(fa, BIT(FRAME_END) | BIT(POOL_REFILL), meddle, &m, &m.self), FA_OK);
    assert_int_equal(fa_listen(fa, BIT(FRAME_END), count_other, &m, &m.other), FA_OK);
    begin(fa);
    end(fa);
    assert_int_equal(m.calls, 1);
    assert_int_equal(m.other_calls, 0);
    assert_int_equal(m.late_calls, 0); // from the next event on
    assert_int_equal(m.refills, 0);    // what it causes is told with the next boundary
    begin(fa);
    end(fa);
    assert_int_equal(m.calls, 2);
    assert_int_equal(m.late_calls, 1);
    assert_true(m.refills >= 1);
    for (int i = 0; i < 3; i++) {
        begin(fa);
        end(fa);
    }
    assert_int_equal(m.calls, 3);
    assert_int_equal(m.late_calls, 4);
    assert_reported(&to, 909, 3);
    destroy_quiet(fa, &to);
}

static void work_at_begin(const fa_event *event, void *context)
{
    meddler *m = context;
    fa_worker *w = fa_self(m->fa);
    fa_counter counter = FA_COUNTER_INIT;
    atomic_ullong items = 0;
    (void)event;
    EXPECT(fa_frame_end(m->fa, NULL) == FA_ERROR_STATE && fa_destroy(m->fa) == FA_ERROR_STATE);
    for (int i = 0; i < 10; i++) EXPECT(fa_submit_counted(w, &counter, nothing, NULL) == FA_OK);
    EXPECT(fa_wait(w, &counter) == FA_OK);
    EXPECT(fa_parallel_for(w, 0, 100, 1, count_items, &items) == FA_OK);
    EXPECT(atomic_load(&items) == 100);
    m->calls++;
}

static void a_listener_may_run_jobs_at_frame_begin(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    meddler m = {.fa = fa};
    assert_int_equal(fa_listen(fa, BIT(FRAME_BEGIN), work_at_begin, &m, &m.self), FA_OK);
    for (int i = 0; i < 10; i++) {
        begin(fa);
        end(fa);
    }
    assert_int_equal(m.calls, 10);
    assert_true(stats_of(fa).jobs >= 100);
    assert_reported(&to, 909, 10);
    destroy_quiet(fa, &to);
}

// Limits ----------------------------------------------------------------------------------------------------------------

static void nothing_is_taken_before_somebody_listens(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    config.event_capacity = 1u << 16; // 4 MiB a lane
    fa_system *fa = create(&config);
    for (int i = 0; i < 5; i++) {
        begin(fa);
        assert_int_equal(fa_submit(fa_self(fa), nothing, NULL), FA_OK);
        end(fa);
    }
    assert_true(stats_of(fa).memory_bytes < 4 * MIB * (at->workers + 1));
    ear all;
    listen(&all, fa, BIT(FRAME_END));
    begin(fa);
    end(fa);
    assert_true(stats_of(fa).memory_bytes >= 4 * MIB * (at->workers + 1));
    destroy_quiet(fa, &to);
    free(all.events);
}

static void a_refused_ring_is_an_answer(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    config.attached_max = 0;
    config.memory_max = 16 * MIB;
    config.event_capacity = 1u << 20; // 64 MiB
    fa_system *fa = create(&config);
    fa_listener id;
    assert_int_equal(fa_listen(fa, FA_EVENT_ALL, hear, NULL, &id), FA_ERROR_MEMORY);
    assert_int_equal(fa_trace_start_to(fa, refuse_write, NULL), FA_ERROR_MEMORY);
    begin(fa);
    assert_non_null(fa_frame_alloc(fa_self(fa), 1000));
    end(fa);
    destroy_quiet(fa, &to);
}

static void a_full_ring_drops_counts_and_keeps_zones_whole(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    config.event_capacity = 64;
    fa_system *fa = create(&config);
    ear all;
    listen(&all, fa, FA_EVENT_ALL);
    begin(fa);
    uint64_t before = stats_of(fa).jobs;
    for (int i = 0; i < 2000; i++) assert_int_equal(fa_submit(fa_self(fa), nothing, NULL), FA_OK);
    end(fa);
    uint64_t jobs = stats_of(fa).jobs - before;
    begin(fa);
    end(fa); // publishes the count
    uint64_t dropped = stats_of(fa).events_dropped;
    assert_int_equal(jobs, 2000);
    assert_true(dropped > 0);
    assert_int_equal(all.of[FA_EVENT_JOB_BEGIN], all.of[FA_EVENT_JOB_END]);
    assert_true(all.of[FA_EVENT_JOB_BEGIN] < jobs);
    assert_true(all.of[FA_EVENT_JOB_BEGIN] + dropped >= jobs); // a dropped zone counts once: its end was never tried
    (void)assert_nested(&all);
    assert_int_equal(all.of[FA_EVENT_FRAME_END], 2);
    destroy_quiet(fa, &to);
    free(all.events);
}

static void one_frame_end_delivers_a_bounded_number(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    config.event_capacity = 1u << 17;
    config.deque_capacity = 65536;
    fa_system *fa = create(&config);
    ear all;
    listen(&all, fa, BIT(JOB_BEGIN) | BIT(JOB_END));
    begin(fa);
    for (int i = 0; i < 40000; i++) assert_int_equal(fa_submit(fa_self(fa), nothing, NULL), FA_OK);
    end(fa);
    assert_int_equal(all.count, 65536);
    begin(fa);
    end(fa);
    assert_int_equal(all.count, 80000);
    assert_int_equal(assert_nested(&all), 0);
    destroy_quiet(fa, &to);
    free(all.events);
}

// Together --------------------------------------------------------------------------------------------------------------

static void nest(fa_worker *w, void *arg)
{
    uint64_t depth = (uint64_t)(uintptr_t)arg;
    if (depth == 0) return;
    fa_counter counter = FA_COUNTER_INIT;
    for (int i = 0; i < 3; i++) EXPECT(fa_submit_counted(w, &counter, nest, (void *)(uintptr_t)(depth - 1)) == FA_OK);
    EXPECT(fa_wait(w, &counter) == FA_OK);
    void *p = fa_pool_alloc(w, 200);
    fa_pool_free(w, p);
}

static void all_lanes_record_while_some_is_read(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    config.frames_in_flight = 3;
    fa_system *fa = create(&config);
    ear all;
    listen(&all, fa, FA_EVENT_ALL);
    for (int frame = 0; frame < ROUNDS(40); frame++) {
        begin(fa);
        for (int i = 0; i < 4; i++) assert_int_equal(fa_submit(fa_self(fa), nest, (void *)(uintptr_t)4), FA_OK);
        end(fa);
    }
    assert_true(all.of[FA_EVENT_JOB_BEGIN] > 0);
    assert_int_equal(fa_destroy(fa), FA_OK); // delivers the rest
    assert_quiet(&to);
    uint32_t jobs = (uint32_t)ROUNDS(40) * 4 * (1 + 3 + 9 + 27 + 81);
    if (all.count <= KEPT) (void)assert_nested(&all);
    assert_int_equal(all.of[FA_EVENT_JOB_BEGIN], jobs);
    assert_int_equal(all.of[FA_EVENT_JOB_END], jobs);
    free(all.events);
}

typedef struct guest {
    fa_system *fa;
    atomic_int step;
} guest;

static void *visit(void *arg)
{
    guest *g = arg;
    fa_worker *w = NULL;
    fa_status status = fa_attach(g->fa, &w);
    EXPECT(status == FA_OK);
    atomic_store(&g->step, 1);
    while (atomic_load(&g->step) != 2) sched_yield();
    void *p = fa_pool_alloc(w, 300); // a refill on its lane
    EXPECT(p != NULL);
    fa_pool_free(w, p);
    EXPECT(fa_detach(w) == FA_OK);
    return NULL;
}

static void attached_threads_are_recorded_from_the_next_boundary(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    ear all;
    listen(&all, fa, BIT(POOL_REFILL));
    guest g = {.fa = fa};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, visit, &g), 0);
    while (atomic_load(&g.step) != 1) sched_yield();
    begin(fa);
    end(fa);
    atomic_store(&g.step, 2);
    pthread_join(thread, NULL);
    begin(fa);
    end(fa);
    assert_int_equal(all.count, 1);
    assert_int_equal(all.events[0].lane, at->workers + 1);
    destroy_quiet(fa, &to);
    free(all.events);
}

// A build without -------------------------------------------------------------------------------------------------------

static void without_trace_everything_is_unsupported(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    fa_system *fa = create(&config);
    fa_listener id;
    assert_int_equal(fa_listen(fa, FA_EVENT_ALL, hear, NULL, &id), FA_ERROR_UNSUPPORTED);
    assert_int_equal(fa_unlisten(fa, id), FA_ERROR_UNSUPPORTED);
    assert_int_equal(fa_trace_start(fa, "/dev/null"), FA_ERROR_UNSUPPORTED);
    assert_int_equal(fa_trace_start_to(fa, refuse_write, NULL), FA_ERROR_UNSUPPORTED);
    assert_int_equal(fa_trace_stop(fa, NULL), FA_ERROR_UNSUPPORTED);
    begin(fa);
    assert_int_equal(fa_submit(fa_self(fa), nothing, NULL), FA_OK);
    end(fa);
    fa_profiler profiler = {0};
    config.profiler = &profiler;
    fa_system *refused;
    assert_int_equal(fa_create(&config, &refused), FA_ERROR_INVALID);
    assert_reported(&to, 907, 1);
    destroy_quiet(fa, &to);
}

int main(int argc, char **argv)
{
    static const test_entry tests[] = {
        EACH_OF(frame_edges_are_told_at_once, COUNTED("0124"), "ny"),
        EACH_OF(destroy_ends_an_open_frame_for_listeners_too, "02", "n"),
        EACH_OF(jobs_loops_and_waits, COUNTED("0124"), "ny"),
        EACH(events_come_in_the_order_of_their_times),
        EACH_OF(steals_parks_and_frees_by_others, COUNTED("124"), "ny"),
        EACH_OF(what_is_done_for_a_sleeping_lane_bears_its_number, "124", "ny"),
        EACH_OF(large_allocations_of_every_memory, "02", "ny"),
        EACH_OF(pressure_once_a_crossing_and_refusals, COUNTED("02"), "ny"),
        EACH_OF(promotions_and_their_failure, "02", "ny"),
        EACH_OF(phases_and_tags, COUNTED("0124"), "ny"),
        EACH_OF(phases_left_open_end_before_their_job, COUNTED("0124"), "ny"),
        EACH_OF(budgets_crossed_and_exceeded, COUNTED("02"), "ny"),
        EACH_OF(names_of_kinds, "0", "n"),
        EACH_OF(bad_calls_change_nothing, "02", "n"),
        EACH(only_what_the_mask_says_until_unlistened),
        EACH_OF(streams_evicted_and_handles_moved, "02", "ny"),
        EACH_OF(systems_do_not_hear_each_other, "02", "n"),
        EACH_OF(a_listener_may_call_the_library, COUNTED("0124"), "ny"),
        EACH_OF(a_listener_may_run_jobs_at_frame_begin, COUNTED("0124"), "ny"),
        EACH_OF(nothing_is_taken_before_somebody_listens, COUNTED("02"), "n"),
        EACH_OF(a_refused_ring_is_an_answer, "02", "n"),
        EACH_OF(a_full_ring_drops_counts_and_keeps_zones_whole, COUNTED("0124"), "ny"),
        EACH_OF(one_frame_end_delivers_a_bounded_number, "0", "n"),
        EACH(all_lanes_record_while_some_is_read),
        EACH_OF(attached_threads_are_recorded_from_the_next_boundary, "02", "ny"),
    };
    static const test_entry without[] = {
        EACH_OF(without_trace_everything_is_unsupported, "02", "n"),
        EACH_OF(names_of_kinds, "0", "n"),
    };
    return FA_TRACE ? RUN_MATRIX("event", tests, argc, argv) : RUN_MATRIX("event", without, argc, argv);
}
