// SPDX-License-Identifier: MIT
//
// Every code from its real trigger, what a diagnostic says about where it happened, sinks, suppression, strict mode, and sinks that call
// the library. What stops the program, or writes to stderr, runs in a child: this program again, with the name of the case.
#include "support.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

// Collecting ------------------------------------------------------------------------------------------------------------

enum { SEEN_MOST = 512 };

/// A system whose diagnostics are collected.
typedef struct scene {
    fa_system *fa;
    fa_worker *w; // main lane
    fa_config config;
    fa_collector seen;
    fa_collected items[SEEN_MOST];
} scene;

static void watch(scene *s, const test_case *at)
{
    sink unused;
    s->config = case_config(at, &unused);
    fa_collector_init(&s->seen, s->items, SEEN_MOST);
    s->config.report = fa_collector_take;
    s->config.report_context = &s->seen;
}

static void open_scene(scene *s)
{
    s->fa = create(&s->config);
    s->w = fa_self(s->fa);
}

static void open_case(scene *s, const test_case *at)
{
    watch(s, at);
    open_scene(s);
}

static void forget(scene *s)
{
    fa_collector_init(&s->seen, s->items, SEEN_MOST);
}

/// Since the last call, `count` diagnostics came, all with this code, the severity that the table gives and complete texts, the last with
/// `words` in its message.
static void assert_seen(scene *s, const char *code, uint32_t count, const char *words)
{
    const fa_code *known = fa_code_find(code);
    assert_non_null(known);
    if (fa_collector_count(&s->seen, code) != count || fa_collector_count(&s->seen, NULL) != count)
        for (uint32_t i = 0; i < fa_collector_count(&s->seen, NULL); i++)
            print_error("have %s: %s\n", fa_collector_get(&s->seen, NULL, i)->code,
                        fa_collector_get(&s->seen, NULL, i)->message);
    assert_int_equal(fa_collector_count(&s->seen, code), count);
    assert_int_equal(fa_collector_count(&s->seen, NULL), count);
    for (uint32_t i = 0; i < count; i++) {
        const fa_collected *item = fa_collector_get(&s->seen, code, i);
        assert_int_equal(item->severity, known->severity);
        assert_true(item->message[0] != '\0' && item->note[0] != '\0' && item->help[0] != '\0');
        if (i + 1 == count && words != NULL && strstr(item->message, words) == NULL)
            fail_msg("\"%s\" is not in \"%s\"", words, item->message);
    }
    forget(s);
}

static void assert_unseen(scene *s)
{
    assert_seen(s, "FA001", 0, NULL);
}

static void close_scene(scene *s)
{
    assert_int_equal(fa_destroy(s->fa), FA_OK);
    assert_unseen(s);
}

// The table -------------------------------------------------------------------------------------------------------------

static void table_of_codes(const test_case *at)
{
    (void)at;
    static const struct {
        const char *code;
        fa_severity severity;
        const char *title;
    } wanted[] = {
        {"FA001", FA_SEVERITY_ERROR, "used outside a frame"},
        {"FA002", FA_SEVERITY_ERROR, "frame memory escaped"},
        {"FA003", FA_SEVERITY_WARNING, "frame memory exhausted"},
        {"FA004", FA_SEVERITY_ERROR, "used outside a job"},
        {"FA101", FA_SEVERITY_ERROR, "tick hooks not installed"},
        {"FA102", FA_SEVERITY_WARNING, "tick hooks missed this frame"},
        {"FA201", FA_SEVERITY_ERROR, "invalid free or use"},
        {"FA202", FA_SEVERITY_ERROR, "lane used while it is nobody's"},
        {"FA203", FA_SEVERITY_ERROR, "fork not joined"},
        {"FA301", FA_SEVERITY_WARNING, "global memory limit reached"},
        {"FA302", FA_SEVERITY_WARNING, "tag budget exceeded"},
        {"FA303", FA_SEVERITY_WARNING, "soft tag budget crossed"},
        {"FA304", FA_SEVERITY_WARNING, "lane budget exceeded"},
        {"FA305", FA_SEVERITY_WARNING, "soft lane budget crossed"},
        {"FA401", FA_SEVERITY_ERROR, "invalid handle"},
        {"FA402", FA_SEVERITY_WARNING, "stream budget exhausted"},
        {"FA501", FA_SEVERITY_WARNING, "frame memory outlives its frame"},
        {"FA502", FA_SEVERITY_WARNING, "frame memory is promoted too often"},
        {"FA510", FA_SEVERITY_WARNING, "pool objects die in their frame"},
        {"FA520", FA_SEVERITY_WARNING, "promotions replace each other"},
        {"FA530", FA_SEVERITY_WARNING, "heap objects in every frame"},
        {"FA901", FA_SEVERITY_ERROR, "internal error"},
        {"FA903", FA_SEVERITY_ERROR, "impossible alignment or destination"},
        {"FA904", FA_SEVERITY_WARNING, "promotions lost"},
        {"FA905", FA_SEVERITY_ERROR, "deadlock"},
        {"FA906", FA_SEVERITY_WARNING, "frame held too long"},
        {"FA907", FA_SEVERITY_ERROR, "configuration refused"},
        {"FA908", FA_SEVERITY_ERROR, "thread ended as a lane"},
        {"FA909", FA_SEVERITY_ERROR, "destroyed while in use"},
        {"FA910", FA_SEVERITY_WARNING, "never freed"},
        {"FA911", FA_SEVERITY_WARNING, "unknown strict mode"},
        {"FA912", FA_SEVERITY_ERROR, "no such tag"},
        {"FA913", FA_SEVERITY_WARNING, "tag or phase left open"},
        {"FA914", FA_SEVERITY_ERROR, "a size that cannot be had"},
    };
    uint32_t count = 0;
    const fa_code *codes = fa_code_list(&count);
    assert_ptr_equal(fa_code_list(NULL), codes);
    assert_true(count >= sizeof wanted / sizeof wanted[0]);
    for (uint32_t i = 1; i < count; i++) assert_true(strcmp(codes[i - 1].code, codes[i].code) < 0);
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        const fa_code *code = fa_code_find(wanted[i].code);
        assert_non_null(code);
        assert_string_equal(code->code, wanted[i].code);
        assert_int_equal(code->severity, wanted[i].severity);
        assert_string_equal(code->title, wanted[i].title);
        assert_string_equal(fa_code_text(wanted[i].code), code->meaning);
        assert_true(strlen(code->meaning) > 20);
    }
    assert_null(fa_code_find(NULL));
    assert_null(fa_code_find(""));
    assert_null(fa_code_find("FA999"));
    assert_null(fa_code_find("GAME001"));
    assert_non_null(fa_code_text(NULL));
    assert_string_equal(fa_code_text("FA999"), fa_code_text(NULL));
}

// Triggers --------------------------------------------------------------------------------------------------------------

static void nothing(fa_worker *w, void *arg)
{
    (void)w, (void)arg;
}

static void nothing_much(fa_worker *w, uint64_t first, uint64_t last, void *arg)
{
    (void)w, (void)first, (void)last, (void)arg;
}

static void fa001_outside_a_frame(const test_case *at)
{
    scene s;
    open_case(&s, at);
    fa_counter counter = FA_COUNTER_INIT;
    fa_task task;
    const fa_retain keep = {.to = FA_RETAIN_HEAP};
    char args[100] = "";
    for (int frame = 0; frame < 2; frame++) {
        assert_null(fa_frame_alloc(s.w, 16));
        assert_seen(&s, "FA001", 1, "frame allocation outside a frame");
        assert_null(fa_frame_retained(s.w, 16, 16, &keep));
        assert_seen(&s, "FA001", 1, "frame allocation outside a frame");
        assert_int_equal(fa_submit(s.w, nothing, NULL), FA_ERROR_STATE);
        assert_int_equal(fa_submit_counted(s.w, &counter, nothing, NULL), FA_ERROR_STATE);
        assert_int_equal(fa_submit_copy(s.w, &counter, nothing, args, sizeof args), FA_ERROR_STATE);
        assert_int_equal(fa_submit_many(s.w, &counter, nothing, args, 10, 10), FA_ERROR_STATE);
        assert_int_equal(fa_parallel_for(s.w, 0, 10, 1, nothing_much, NULL), FA_ERROR_STATE);
        assert_int_equal(fa_fork(s.w, &task, nothing, NULL), FA_ERROR_STATE);
        assert_seen(&s, "FA001", 6, "job submitted outside a frame");
        fa_join(s.w, &task); // counts as done
        assert_true(fa_is_done(&counter));
        begin(s.fa);
        end(s.fa);
    }
    close_scene(&s);
}

static void fa002_frame_memory_escaped(const test_case *at)
{
    scene s;
    open_case(&s, at);
    fa_cell cell = {NULL};
    begin(s.fa);
    fa_scope scope = fa_scope_begin(s.w);
    void *escaped[] = {fa_frame_alloc(s.w, 100), fa_frame_alloc(s.w, MIB), fa_scope_alloc(s.w, 100),
                       fa_scope_alloc(s.w, 100000), fa_frame_alloc_aligned(s.w, 64, 4096)};
    for (size_t i = 0; i < sizeof escaped / sizeof escaped[0]; i++) {
        fill(escaped[i], 64, i);
        fa_pool_free(s.w, escaped[i]);
        assert_seen(&s, "FA002", 1, "frame or scope memory");
        fa_heap_free(s.w, escaped[i]);
        assert_seen(&s, "FA002", 1, "frame or scope memory");
        fa_free_any(s.fa, escaped[i]);
        assert_seen(&s, "FA002", 1, "frame or scope memory");
        assert_int_equal(fa_cell_publish(s.w, &cell, escaped[i]), FA_ERROR_INVALID);
        assert_int_equal(fa_retire(s.w, escaped[i]), FA_ERROR_INVALID);
        assert_seen(&s, "FA002", at->checked ? 2 : 0, "frame or scope memory");
        assert_true(is_filled(escaped[i], 64, i));
    }
    assert_null(fa_cell_read(s.w, &cell));
    fa_scope_end(&scope);
    end(s.fa);
    // The block serves objects later: they are nobody's escape.
    for (int i = 0; i < 100; i++) fa_pool_free(s.w, fa_pool_alloc(s.w, 32768));
    int local = 0;
    fa_pool_free(s.w, &local);
    assert_seen(&s, "FA201", 1, "invalid free");
    close_scene(&s);
}

/// Blocks that arenas give back are no frame memory any more.
static void fa002_not_for_former_frame_memory(const test_case *at)
{
    scene s;
    watch(&s, at);
    s.config.memory_max = 32 * MIB;
    s.config.attached_max = 0;
    open_scene(&s);
    begin(s.fa);
    unsigned char *former[9];
    for (int i = 0; i < 9; i++) {
        former[i] = fa_frame_alloc(s.w, 256 * KIB);
        for (int j = 0; j < 7; j++) assert_non_null(fa_frame_alloc(s.w, 256 * KIB)); // a block each
    }
    fa_heap_free(s.w, former[5]);
    assert_seen(&s, "FA002", 1, NULL);
    end(s.fa);
    unsigned char *object = fa_heap_alloc(s.w, 24 * MIB, 16); // only with the blocks that the arena kept
    assert_non_null(object);
    for (size_t inside = 2 * MIB; inside < 24 * MIB; inside += 2 * MIB) {
        fa_heap_free(s.w, object + inside);
        assert_seen(&s, "FA201", 1, "invalid free");
    }
    fa_heap_free(s.w, object);
    close_scene(&s);
}

static void exhaust(fa_worker *w, void *arg)
{
    (void)arg;
    for (int i = 0; i < 300; i++) (void)fa_frame_alloc(w, 4096);
}

static void fa003_frame_memory_exhausted(const test_case *at)
{
    scene s;
    watch(&s, at);
    s.config.frame_bytes_max = 64 * KIB;
    open_scene(&s);
    for (int frame = 0; frame < 3; frame++) {
        begin(s.fa);
        everyone(s.fa, exhaust, NULL);
        end(s.fa);
        assert_seen(&s, "FA003", at->workers + 1, "exhausted by an allocation of 4096 bytes");
    }
    close_scene(&s);
}

static void fa201_invalid_free(const test_case *at)
{
    scene s;
    open_case(&s, at);
    int local = 0;
    unsigned char *object = fa_pool_alloc(s.w, 100);
    fa_pool_free(s.w, &local);
    assert_seen(&s, "FA201", 1, "invalid free of");
    fa_heap_free(s.w, object);
    assert_seen(&s, "FA201", 1, "invalid free of");
    fa_free_any(s.fa, object + 1);
    assert_seen(&s, "FA201", 1, "invalid free of");
    fa_pool_free(s.w, object);
    if (at->checked) {
        fa_pool_free(s.w, object);
        assert_seen(&s, "FA201", 1, "invalid free of");
    }
    close_scene(&s);
}

static void fa201_freed_object_kept(const test_case *at)
{
    scene s;
    open_case(&s, at);
    fa_cell cell = {NULL};
    begin(s.fa);
    for (int heap = 0; heap < 2; heap++) {
        void *live = heap ? fa_heap_alloc(s.w, 100, 16) : fa_pool_alloc(s.w, 100); // keeps the slab
        void *object = heap ? fa_heap_alloc(s.w, 100, 16) : fa_pool_alloc(s.w, 100);
        assert_true(fa_usable_size(s.fa, object) >= 100);
        heap ? fa_heap_free(s.w, object) : fa_pool_free(s.w, object);
        assert_int_equal(fa_usable_size(s.fa, object), 0);
        assert_seen(&s, "FA201", 1, "no live object");
        assert_int_equal(fa_cell_publish(s.w, &cell, object), FA_ERROR_INVALID);
        assert_seen(&s, "FA201", 1, "no live object");
        assert_int_equal(fa_retire(s.w, object), FA_ERROR_INVALID);
        assert_seen(&s, "FA201", 1, "no live object");
        assert_null(fa_cell_read(s.w, &cell));
        heap ? fa_heap_free(s.w, live) : fa_pool_free(s.w, live);
    }
    end(s.fa);
    assert_int_equal(stats_of(s.fa).retired, 0);
    close_scene(&s);
}

static void fa301_global_limit(const test_case *at)
{
    scene s;
    watch(&s, at);
    s.config.memory_max = 32 * MIB;
    s.config.attached_max = 0;
    open_scene(&s);
    for (int frame = 0; frame < 3; frame++) {
        begin(s.fa);
        for (int i = 0; i < 20; i++) assert_null(fa_heap_alloc(s.w, 64 * MIB, 16));
        for (int i = 0; i < 20; i++) assert_null(fa_pool_alloc(s.w, 33 * MIB)); // not one for each call
        end(s.fa);
        assert_seen(&s, "FA301", 1, "67108864 bytes refused by memory_max of 33554432 bytes");
    }
    void **list = NULL, **object; // what is taken piece by piece
    begin(s.fa);
    while ((object = fa_pool_alloc(s.w, 8192)) != NULL) {
        *object = list;
        list = (void **)object;
    }
    assert_seen(&s, "FA301", 1, "8192 bytes refused by memory_max");
    assert_null(fa_heap_alloc(s.w, 32768, 16));
    assert_unseen(&s);
    while ((object = list) != NULL) {
        list = *object;
        fa_pool_free(s.w, object);
    }
    end(s.fa);
    close_scene(&s);
}

static void refuse_here(fa_worker *w, void *arg)
{
    (void)arg;
    for (int i = 0; i < 50; i++) EXPECT(fa_heap_alloc(w, 64 * MIB, 16) == NULL);
}

static void fa301_once_a_lane(const test_case *at)
{
    scene s;
    watch(&s, at);
    s.config.memory_max = 32 * MIB;
    s.config.attached_max = 0;
    open_scene(&s);
    begin(s.fa);
    everyone(s.fa, refuse_here, NULL);
    end(s.fa);
    assert_seen(&s, "FA301", at->workers + 1, "refused by memory_max");
    close_scene(&s);
}

/// Only builds in which the inline path does not use the window first.
static void fa901_context_overwritten(const test_case *at)
{
    scene s;
    open_case(&s, at);
    begin(s.fa);
    unsigned char *before = fa_frame_alloc(s.w, 64);
    fill(before, 64, 1);
    s.w->frame_cursor -= 64; // what a stray write may do: the next object would lie on this one
    unsigned char *after = fa_frame_alloc(s.w, 100000);
    assert_seen(&s, "FA901", 1, "lane 0 was overwritten");
    assert_non_null(after);
    fill(after, 100000, 2);
    assert_true(is_filled(before, 64, 1));
    s.w->frame_end = s.w->frame_cursor + 64; // nothing allocates: noticed when the lane leaves the frame
    end(s.fa);
    assert_seen(&s, "FA901", 1, "overwritten");
    s.w->scope_cursor = s.w->scope_end = (unsigned char *)&s;
    unsigned char *scope = fa_scope_alloc(s.w, 64);
    assert_seen(&s, "FA901", 1, "overwritten");
    assert_true(scope != NULL && scope != (unsigned char *)&s);
    begin(s.fa);
    assert_non_null(fa_frame_alloc(s.w, 64));
    end(s.fa);
    close_scene(&s);
}

static void fa903_impossible_requests(const test_case *at)
{
    static const size_t bad[] = {3, 24, 48, SIZE_MAX};
    scene s;
    open_case(&s, at);
    begin(s.fa);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_null(fa_frame_alloc_aligned(s.w, 64, bad[i]));
        assert_null(fa_scope_alloc_aligned(s.w, 64, bad[i]));
        assert_null(fa_pool_alloc_aligned(s.w, 64, bad[i]));
        assert_seen(&s, "FA903", 3, "alignment");
        assert_null(fa_heap_alloc(s.w, 64, bad[i]));
        assert_seen(&s, "FA903", 1, "alignment");
    }
    assert_null(fa_pool_alloc_aligned(s.w, 64, 8192));
    assert_seen(&s, "FA903", 1, "alignment 8192 refused");
    assert_null(fa_frame_retained(s.w, 64, 16, &(fa_retain){.to = (fa_retain_to)77}));
    assert_null(fa_frame_retained(s.w, 64, 16, NULL));
    assert_seen(&s, "FA903", 2, "retained allocation refused");
    // Size 0 is refused silently everywhere.
    assert_null(fa_pool_alloc_aligned(s.w, 0, 3));
    assert_null(fa_heap_alloc(s.w, 0, 3));
    end(s.fa);
    close_scene(&s);
}

static void fa904_promotions_lost(const test_case *at)
{
    scene s;
    watch(&s, at);
    s.config.retained_max = 2;
    open_scene(&s);
    begin(s.fa);
    for (int i = 0; i < 5; i++) assert_non_null(fa_frame_retained(s.w, 64, 16, &(fa_retain){.to = FA_RETAIN_POOL}));
    fa_frame_result result;
    assert_int_equal(fa_frame_end(s.fa, &result), FA_OK);
    assert_seen(&s, "FA904", 1, "3 of frame 1's retained objects were lost");
    for (uint32_t i = 0; i < result.count; i++)
        if (result.items[i].to != NULL) fa_pool_free(s.w, result.items[i].to);
    close_scene(&s);
}

typedef struct knot {
    fa_counter counter;
    fa_system *fa;
    fa_status status;
} knot;

static void wait_for_myself(fa_worker *w, void *arg)
{
    knot *k = arg;
    k->status = fa_wait(w, &k->counter);
}

static void fa905_deadlock(const test_case *at)
{
    scene s;
    open_case(&s, at);
    knot k = {.counter = FA_COUNTER_INIT};
    begin(s.fa);
    fa_job job = {.fn = wait_for_myself, .arg = &k, .counter = &k.counter, .name = "snake"};
    assert_int_equal(fa_submit_job(s.w, &job), FA_OK);
    end(s.fa);
    assert_int_equal(k.status, FA_ERROR_DEADLOCK);
    assert_string_equal(fa_collector_get(&s.seen, "FA905", 0)->job, "snake");
    assert_seen(&s, "FA905", 1, "job snake waits for the counter of job snake");
    close_scene(&s);
}

static void *drop_later(void *arg)
{
    const struct timespec pause = {1, 300000000};
    knot *k = arg;
    fa_worker *w;
    EXPECT(fa_attach(k->fa, &w) == FA_OK);
    fa_frame frame;
    EXPECT(fa_frame_hold(w, &frame) == FA_OK);
    __atomic_store_n(&k->status, FA_ERROR_BUSY, __ATOMIC_SEQ_CST);
    nanosleep(&pause, NULL);
    EXPECT(fa_frame_drop(k->fa, frame) == FA_OK);
    EXPECT(fa_detach(w) == FA_OK);
    return NULL;
}

static void fa906_held_frame(const test_case *at)
{
    scene s;
    watch(&s, at);
    s.config.frames_in_flight = 2;
    open_scene(&s);
    knot k = {.counter = FA_COUNTER_INIT, .fa = s.fa};
    pthread_t holder;
    begin(s.fa);
    assert_int_equal(pthread_create(&holder, NULL, drop_later, &k), 0);
    while (__atomic_load_n(&k.status, __ATOMIC_SEQ_CST) != FA_ERROR_BUSY) sched_yield();
    end(s.fa);
    begin(s.fa);
    end(s.fa);
    begin(s.fa); // waits for frame 1
    end(s.fa);
    pthread_join(holder, NULL);
    assert_seen(&s, "FA906", 1, "has waited 1 s for frame 1, which is held 1 times");
    close_scene(&s);
}

static void fa907_configuration(const test_case *at)
{
    scene s;
    watch(&s, at);
    s.config.frames_in_flight = 99;
    fa_system *fa;
    assert_int_equal(fa_create(&s.config, &fa), FA_ERROR_INVALID);
    assert_seen(&s, "FA907", 1, "frames_in_flight is 1 to 16");
}

static void *attach_and_leave(void *arg)
{
    fa_worker *w;
    EXPECT(fa_attach(arg, &w) == FA_OK);
    return NULL;
}

static void fa908_thread_ended(const test_case *at)
{
    scene s;
    open_case(&s, at);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, attach_and_leave, s.fa), 0);
    pthread_join(thread, NULL);
    assert_int_equal(fa_collector_get(&s.seen, NULL, 0)->lane_kind, FA_LANE_ATTACHED);
    assert_seen(&s, "FA908", 1, "a thread ended while it was lane");
    close_scene(&s);
}

typedef struct visitor {
    fa_system *fa;
    fa_worker *w;
    atomic_uint stage;
} visitor;

static void reach(visitor *v, unsigned stage)
{
    atomic_store(&v->stage, stage);
}

static void await(visitor *v, unsigned stage)
{
    while (atomic_load(&v->stage) < stage) sched_yield();
}

/// Attached in stages 1 to 2.
static void *visit(void *arg)
{
    visitor *v = arg;
    EXPECT(fa_attach(v->fa, &v->w) == FA_OK);
    reach(v, 1);
    await(v, 2);
    EXPECT(fa_detach(v->w) == FA_OK);
    reach(v, 3);
    return NULL;
}

static void fa909_still_attached(const test_case *at)
{
    scene s;
    open_case(&s, at);
    visitor v = {.fa = s.fa};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, visit, &v), 0);
    await(&v, 1);
    assert_int_equal(fa_destroy(s.fa), FA_ERROR_BUSY);
    char words[64];
    snprintf(words, sizeof words, "still attached as lane %u", (unsigned)v.w->index);
    assert_seen(&s, "FA909", 1, words);
    reach(&v, 2);
    pthread_join(thread, NULL);
    close_scene(&s);
}

static void fa910_never_freed(const test_case *at)
{
    scene s;
    open_case(&s, at);
    assert_non_null(fa_pool_alloc(s.w, 100));
    assert_non_null(fa_heap_alloc(s.w, MIB, 16));
    assert_int_equal(fa_destroy(s.fa), FA_OK);
    assert_int_equal(fa_collector_get(&s.seen, NULL, 0)->lane_kind, FA_LANE_MAIN);
    assert_seen(&s, "FA910", 1, "never freed: 1 pool objects (112 bytes), 1 heap objects (1048576 bytes)");
}

static void fa911_unknown_strict_mode(const test_case *at)
{
    scene s;
    watch(&s, at);
    s.config.strict = FA_STRICT_STOP_ON_ERROR;
    assert_int_equal(setenv("FRAMEALLOC_STRICT", "perhaps", 1), 0);
    open_scene(&s);
    assert_int_equal(unsetenv("FRAMEALLOC_STRICT"), 0);
    assert_int_equal(fa_strict_mode(s.fa), FA_STRICT_STOP_ON_ERROR); // ignored
    assert_seen(&s, "FA911", 1, "FRAMEALLOC_STRICT is \"perhaps\"");
    close_scene(&s);
}

// The wrong thread ------------------------------------------------------------------------------------------------------

/// Calls everything that only the lane's own thread may call; returns how many diagnostics that must give.
static uint32_t use_lane(fa_worker *w, fa_task *task, fa_scope *scope, fa_checkpoint checkpoint, void *object)
{
    fa_counter counter = FA_COUNTER_INIT;
    fa_cell cell = {NULL};
    fa_frame frame;
    fa_job job = {.fn = nothing};
    const fa_retain keep = {.to = FA_RETAIN_HEAP};
    EXPECT(fa_frame_alloc(w, 16) == NULL);
    EXPECT(fa_frame_alloc_aligned(w, 16, 256) == NULL);
    EXPECT(fa_scope_alloc(w, 16) == NULL);
    EXPECT(fa_frame_retained(w, 16, 16, &keep) == NULL);
    EXPECT(fa_pool_alloc(w, 16) == NULL);
    EXPECT(fa_pool_alloc(w, 100000) == NULL);
    EXPECT(fa_heap_alloc(w, 16, 16) == NULL);
    fa_pool_free(w, object);
    fa_heap_free(w, object);
    EXPECT(fa_cell_publish(w, &cell, object) == FA_ERROR_WRONG_THREAD);
    EXPECT(fa_cell_drop(w, &cell) == FA_ERROR_WRONG_THREAD);
    EXPECT(fa_retire(w, object) == FA_ERROR_WRONG_THREAD);
    EXPECT(fa_checkpoint_take(w).lane == UINT32_MAX);
    EXPECT(fa_checkpoint_rollback(w, checkpoint) == FA_ERROR_WRONG_THREAD);
    EXPECT(fa_scope_begin(w).worker == NULL);
    fa_scope_end(scope);
    EXPECT(fa_submit(w, nothing, NULL) == FA_ERROR_WRONG_THREAD);
    EXPECT(fa_submit_job(w, &job) == FA_ERROR_WRONG_THREAD);
    EXPECT(fa_submit_counted(w, &counter, nothing, NULL) == FA_ERROR_WRONG_THREAD);
    EXPECT(fa_submit_copy(w, &counter, nothing, &job, sizeof job) == FA_ERROR_WRONG_THREAD);
    EXPECT(fa_submit_many(w, &counter, nothing, NULL, 0, 4) == FA_ERROR_WRONG_THREAD);
    EXPECT(fa_parallel_for(w, 0, 4, 1, nothing_much, NULL) == FA_ERROR_WRONG_THREAD);
    EXPECT(fa_fork(w, task, nothing, NULL) == FA_ERROR_WRONG_THREAD);
    fa_join(w, task);
    EXPECT(fa_wait(w, &counter) == FA_ERROR_WRONG_THREAD);
    EXPECT(fa_frame_hold(w, &frame) == FA_ERROR_WRONG_THREAD);
    EXPECT(fa_quiescent(w) == FA_ERROR_WRONG_THREAD);
    EXPECT(fa_idle_begin(w) == FA_ERROR_WRONG_THREAD);
    EXPECT(fa_idle_end(w) == FA_ERROR_WRONG_THREAD);
    EXPECT(fa_diagnose(w, FA_SEVERITY_ERROR, "GAME1", NULL, NULL, "never seen") == FA_ERROR_WRONG_THREAD);
    EXPECT(fa_tag_begin(w, "stolen").worker == NULL);
    EXPECT(fa_tag_begin_at(w, (fa_tag){0}).worker == NULL);
    fa_tag_scope tag = {w, 0, 0};
    fa_tag_end(&tag);
    EXPECT(fa_phase_begin(w, "stolen") == FA_ERROR_WRONG_THREAD);
    EXPECT(fa_phase_end(w) == FA_ERROR_WRONG_THREAD);
    EXPECT(fa_is_done(&counter));
    return 35;
}

typedef struct theft {
    fa_worker *w;
    void *object;
    uint32_t calls;
    bool attach;
    fa_system *fa;
} theft;

static void *use_stolen(void *arg)
{
    theft *t = arg;
    fa_worker *own = NULL;
    fa_task task;
    fa_scope scope = {t->w, {NULL, 0, 0}};
    fa_checkpoint checkpoint = {.lane = 0};
    if (t->attach) EXPECT(fa_attach(t->fa, &own) == FA_OK);
    t->calls = use_lane(t->w, &task, &scope, checkpoint, t->object);
    if (own != NULL) EXPECT(fa_detach(own) == FA_OK);
    return NULL;
}

static void fa201_wrong_thread(const test_case *at)
{
    scene s;
    open_case(&s, at);
    begin(s.fa);
    unsigned char *object = fa_pool_alloc(s.w, 100);
    fill(object, 100, 5);
    for (int attach = 0; attach < 2; attach++) {
        theft t = {.w = s.w, .object = object, .attach = attach != 0, .fa = s.fa};
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, use_stolen, &t), 0);
        pthread_join(thread, NULL);
        const fa_collected *last = fa_collector_get(&s.seen, NULL, t.calls - 1);
        assert_non_null(last);
        assert_int_equal(last->lane_kind, attach ? FA_LANE_ATTACHED : FA_LANE_NONE);
        char words[64] = "lane 0 was used on a thread that has no lane";
        if (attach) snprintf(words, sizeof words, "lane 0 was used on the thread of lane %u", at->workers + 1);
        assert_seen(&s, "FA201", t.calls, words);
    }
    assert_true(is_filled(object, 100, 5)); // nothing was done
    fa_pool_free(s.w, object);
    fa_worker *foreign = fa_self(s.fa);
    assert_ptr_equal(foreign, s.w);
    end(s.fa);
    assert_int_equal(stats_of(s.fa).jobs, 0);
    close_scene(&s);
}

/// A job that uses another lane's context, and its own afterwards.
static void use_both(fa_worker *w, void *arg)
{
    fa_worker *main_lane = arg;
    if (w->index == 0) return;
    EXPECT(fa_pool_alloc(main_lane, 100) == NULL);
    void *p = fa_pool_alloc(w, 100);
    EXPECT(p != NULL);
    fa_pool_free(w, p);
}

static void fa201_names_both_lanes(const test_case *at)
{
    scene s;
    open_case(&s, at);
    begin(s.fa);
    everyone(s.fa, use_both, s.w);
    end(s.fa);
    for (uint32_t i = 0; i < at->workers; i++) {
        const fa_collected *item = fa_collector_get(&s.seen, "FA201", i);
        char words[64];
        snprintf(words, sizeof words, "lane 0 was used on the thread of lane %u", (unsigned)item->lane);
        assert_string_equal(item->message, words);
        assert_int_equal(item->lane_kind, FA_LANE_WORKER);
    }
    assert_seen(&s, "FA201", at->workers, "lane 0 was used");
    close_scene(&s);
}

static void fa202_lane_of_nobody(const test_case *at)
{
    scene s;
    open_case(&s, at);
    visitor v = {.fa = s.fa};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, visit, &v), 0);
    await(&v, 1);
    reach(&v, 2);
    pthread_join(thread, NULL);
    begin(s.fa);
    fa_task task;
    fa_scope scope = {v.w, {NULL, 0, 0}};
    void *object = fa_pool_alloc(s.w, 100);
    uint32_t calls = use_lane(v.w, &task, &scope, (fa_checkpoint){.lane = v.w->index}, object);
    EXPECT(fa_detach(v.w) == FA_ERROR_WRONG_THREAD);
    fa_pool_free(s.w, object);
    end(s.fa);
    assert_int_equal(fa_collector_get(&s.seen, NULL, 0)->lane_kind, FA_LANE_MAIN);
    assert_seen(&s, "FA202", calls + 1, "which belongs to no thread, was used on the thread of lane 0");
    close_scene(&s);
}

static void *ask_for_self(void *arg)
{
    EXPECT(fa_self(arg) == NULL);
    return NULL;
}

static void asking_for_no_lane_is_no_fault(const test_case *at)
{
    scene s;
    open_case(&s, at);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, ask_for_self, s.fa), 0);
    pthread_join(thread, NULL);
    close_scene(&s);
}

// Context ---------------------------------------------------------------------------------------------------------------

/// Keeps the context of the last diagnostic per lane; lane UINT32_MAX is the last entry.
typedef struct context_sink {
    fa_diagnostic last[64];
    char names[64][32];
    char jobs[64][32];
    atomic_uint count;
} context_sink;

static void keep_context(const fa_diagnostic *d, void *context)
{
    context_sink *to = context;
    uint32_t at = d->lane == UINT32_MAX ? 63 : d->lane;
    to->last[at] = *d;
    snprintf(to->names[at], sizeof to->names[at], "%s", d->lane_name);
    snprintf(to->jobs[at], sizeof to->jobs[at], "%s", d->job != NULL ? d->job : "-");
    atomic_fetch_add(&to->count, 1u);
}

static void complain(fa_worker *w, void *arg)
{
    (void)arg;
    EXPECT(fa_diagnose(w, FA_SEVERITY_WARNING, "GAME1", NULL, NULL, "here") == FA_OK);
}

static void complain_below(fa_worker *w, void *arg)
{
    fa_counter counter = FA_COUNTER_INIT;
    fa_job job = {.fn = complain, .arg = arg, .counter = &counter, .name = "inner"};
    EXPECT(fa_submit_job(w, &job) == FA_OK);
    EXPECT(fa_wait(w, &counter) == FA_OK);
}

static void *complain_elsewhere(void *arg)
{
    EXPECT(fa_diagnose_any(arg, FA_SEVERITY_ERROR, "GAME2", "n", "h", "from %s", "afar") == FA_OK);
    return NULL;
}

static void *complain_attached(void *arg)
{
    fa_worker *w;
    EXPECT(fa_attach(arg, &w) == FA_OK);
    complain(w, NULL);
    EXPECT(fa_diagnose_any(arg, FA_SEVERITY_WARNING, "GAME1", NULL, NULL, "found out") == FA_OK);
    EXPECT(fa_detach(w) == FA_OK);
    return NULL;
}

static void run_thread(void *(*fn)(void *), void *arg)
{
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, fn, arg), 0);
    pthread_join(thread, NULL);
}

static void context_is_true(const test_case *at)
{
    static context_sink to;
    memset(&to, 0, sizeof to);
    sink unused;
    fa_config config = case_config(at, &unused);
    config.report = keep_context;
    config.report_context = &to;
    fa_system *fa = create(&config);
    fa_worker *w = fa_self(fa);
    complain(w, NULL);
    const fa_diagnostic *d = &to.last[0];
    assert_int_equal(d->frame, 0);
    assert_false(d->frame_open);
    assert_int_equal(d->lane_kind, FA_LANE_MAIN);
    assert_string_equal(to.names[0], "main");
    assert_null(d->job);
    assert_int_equal(d->job_depth, 0);
    for (uint64_t frame = 1; frame <= 3; frame++) {
        begin(fa);
        complain(w, NULL);
        assert_int_equal(d->frame, frame);
        assert_true(d->frame_open);
        run_thread(complain_attached, fa);
        uint32_t attached = at->workers + 1;
        char name[32];
        snprintf(name, sizeof name, "attached %u", attached);
        assert_string_equal(to.names[attached], name);
        assert_int_equal(to.last[attached].lane_kind, FA_LANE_ATTACHED);
        assert_int_equal(to.last[attached].frame, frame);
        assert_true(to.last[attached].frame_open);
        run_thread(complain_elsewhere, fa);
        assert_string_equal(to.names[63], "no lane");
        assert_int_equal(to.last[63].lane_kind, FA_LANE_NONE);
        assert_int_equal(to.last[63].frame, frame);
        everyone(fa, complain, NULL);
        for (uint32_t lane = 1; lane <= at->workers; lane++) {
            snprintf(name, sizeof name, "worker %u", lane);
            assert_string_equal(to.names[lane], name);
            assert_int_equal(to.last[lane].lane_kind, FA_LANE_WORKER);
            assert_int_equal(to.last[lane].frame, frame);
            assert_true(to.last[lane].frame_open);
            assert_true(to.last[lane].job_depth >= 1);
        }
        end(fa);
        complain(w, NULL);
        assert_int_equal(d->frame, frame);
        assert_false(d->frame_open);
        assert_string_equal(to.jobs[0], "-");
    }
    assert_int_equal(fa_destroy(fa), FA_OK);
}

static void context_names_jobs(const test_case *at)
{
    scene s;
    open_case(&s, at);
    for (int i = 0; i < 20; i++) {
        begin(s.fa);
        fa_job outer = {.fn = i % 2 == 0 ? complain : complain_below, .name = "outer"}, unnamed = {.fn = complain};
        assert_int_equal(fa_submit_job(s.w, &outer), FA_OK);
        end(s.fa);
        const fa_collected *item = fa_collector_get(&s.seen, "GAME1", 0);
        assert_string_equal(item->job, i % 2 == 0 ? "outer" : "inner");
        begin(s.fa);
        assert_int_equal(fa_submit_job(s.w, &unnamed), FA_OK);
        end(s.fa);
        assert_string_equal(fa_collector_get(&s.seen, "GAME1", 1)->job, "");
        assert_int_equal(fa_collector_count(&s.seen, NULL), 2);
        forget(&s);
    }
    close_scene(&s);
}

static void complain_labelled(fa_worker *w, void *arg)
{
    FA_TAG(w, "paths");
    FA_PHASE(w, "plan");
    complain(w, arg);
}

static void context_names_tag_and_phase(const test_case *at)
{
    scene s;
    open_case(&s, at);
    for (int i = 0; i < 20; i++) {
        begin(s.fa);
        {
            FA_TAG(s.w, "ai");
            FA_PHASE(s.w, "update");
            assert_int_equal(fa_submit(s.w, complain_labelled, NULL), FA_OK);
        }
        end(s.fa);
        const fa_collected *item = fa_collector_get(&s.seen, "GAME1", 0);
        assert_string_equal(item->tag, "ai::paths"); // the job's, on whichever lane
        assert_string_equal(item->phase, "update::plan");
        complain(s.w, NULL);
        assert_string_equal(fa_collector_get(&s.seen, "GAME1", 1)->tag, "");
        assert_string_equal(fa_collector_get(&s.seen, "GAME1", 1)->phase, "");
        forget(&s);
    }
    close_scene(&s);
}

// Sinks -----------------------------------------------------------------------------------------------------------------

static void sinks_are_replaced(const test_case *at)
{
    scene s;
    open_case(&s, at);
    sink other;
    (void)case_config(at, &other);
    assert_null(fa_frame_alloc(s.w, 16));
    assert_seen(&s, "FA001", 1, NULL);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(fa_sink_set(s.fa, sink_take, &other), FA_OK);
        assert_true(fa_sink_is_quiet(s.fa));
        assert_null(fa_frame_alloc(s.w, 16));
        assert_reported(&other, 1, 1);
        assert_unseen(&s);
        assert_int_equal(fa_sink_set(s.fa, fa_collector_take, &s.seen), FA_OK);
        assert_null(fa_frame_alloc(s.w, 16));
        assert_seen(&s, "FA001", 1, NULL);
        assert_quiet(&other);
    }
    fa_status status = fa_sink_set(NULL, sink_take, &other);
    assert_int_equal(status, FA_ERROR_INVALID);
    assert_true(fa_sink_is_quiet(NULL));
    close_scene(&s);
}

static void *set_elsewhere(void *arg)
{
    fa_system *fa = arg;
    EXPECT(fa_sink_set(fa, NULL, NULL) == FA_ERROR_WRONG_THREAD);
    EXPECT(fa_suppress(fa, NULL, true) == FA_ERROR_WRONG_THREAD);
    EXPECT(fa_suppress(fa, "FA001", true) == FA_ERROR_WRONG_THREAD);
    EXPECT(fa_verbose_set(fa, true) == FA_ERROR_WRONG_THREAD);
    EXPECT(fa_strict_set(fa, FA_STRICT_STOP_ON_ERROR) == FA_ERROR_WRONG_THREAD);
    {
        FA_STRICT_SCOPE(fa, FA_STRICT_STOP_ON_WARNING);
        EXPECT(fa_strict_mode(fa) == FA_STRICT_WARN);
    }
    return NULL;
}

static void set_in_job(fa_worker *w, void *arg)
{
    if (w->index != 0) (void)set_elsewhere(arg);
}

static void settings_belong_to_the_main_lane(const test_case *at)
{
    scene s;
    open_case(&s, at);
    run_thread(set_elsewhere, s.fa);
    begin(s.fa);
    everyone(s.fa, set_in_job, s.fa);
    end(s.fa);
    if (at->checked)
        assert_seen(&s, "FA201", 6 * (1 + at->workers), "a function of the main lane was called on");
    else
        assert_unseen(&s);
    assert_null(fa_frame_alloc(s.w, 16));
    assert_seen(&s, "FA001", 1, NULL); // nothing was changed
    assert_int_equal(fa_suppress(NULL, "FA001", true), FA_ERROR_INVALID);
    assert_int_equal(fa_verbose_set(NULL, true), FA_ERROR_INVALID);
    assert_int_equal(fa_strict_set(NULL, FA_STRICT_WARN), FA_ERROR_INVALID);
    assert_int_equal(fa_strict_set(s.fa, (fa_strict)3), FA_ERROR_INVALID);
    assert_int_equal(fa_strict_mode(NULL), FA_STRICT_WARN);
    fa_strict_end(NULL);
    close_scene(&s);
}

/// A sink that stays inside until it is let go.
typedef struct gate_sink {
    atomic_uint inside, open;
} gate_sink;

static void pass_gate(const fa_diagnostic *d, void *context)
{
    (void)d;
    gate_sink *gate = context;
    atomic_fetch_add(&gate->inside, 1u);
    while (atomic_load(&gate->open) == 0) sched_yield();
}

static void a_call_in_flight_keeps_its_sink(const test_case *at)
{
    scene s;
    open_case(&s, at);
    gate_sink gates[3] = {0};
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) {
        assert_int_equal(fa_sink_set(s.fa, pass_gate, &gates[i]), FA_OK);
        assert_int_equal(pthread_create(&threads[i], NULL, complain_elsewhere, s.fa), 0);
        while (atomic_load(&gates[i].inside) == 0) sched_yield();
    }
    assert_int_equal(fa_sink_set(s.fa, fa_collector_take, &s.seen), FA_OK);
    assert_false(fa_sink_is_quiet(s.fa));
    assert_int_equal(fa_sink_set(s.fa, pass_gate, &gates[0]),
                     FA_ERROR_BUSY); // three are in use, the fourth is the current one
    complain(s.w, NULL);
    assert_int_equal(fa_collector_count(&s.seen, "GAME1"), 1);
    for (int i = 0; i < 3; i++) {
        assert_false(fa_sink_is_quiet(s.fa));
        atomic_store(&gates[i].open, 1u);
        pthread_join(threads[i], NULL);
    }
    assert_true(fa_sink_is_quiet(s.fa));
    assert_int_equal(fa_sink_set(s.fa, fa_collector_take, &s.seen), FA_OK);
    forget(&s);
    close_scene(&s);
}

/// What a sink's context looks like while it may be used.
typedef struct live_context {
    uint64_t pattern, again;
    atomic_uint calls;
} live_context;

static void check_context(const fa_diagnostic *d, void *context)
{
    (void)d;
    live_context *live = context;
    EXPECT(live->pattern == UINT64_C(0x5afe5afe5afe5afe));
    sched_yield();
    EXPECT(live->pattern == live->again);
    atomic_fetch_add(&live->calls, 1u);
}

typedef struct hammering {
    fa_system *fa;
    atomic_uint stop, calls;
} hammering;

static void *hammer(void *arg)
{
    hammering *h = arg;
    while (atomic_load(&h->stop) == 0) {
        EXPECT(fa_diagnose_any(h->fa, FA_SEVERITY_WARNING, "GAME1", NULL, NULL, "%d", 1) == FA_OK);
        atomic_fetch_add(&h->calls, 1u);
    }
    return NULL;
}

/// Contexts are destroyed as soon as the library says that they may be; no call is lost, none comes late.
static void sinks_are_replaced_under_fire(const test_case *at)
{
    scene s;
    open_case(&s, at);
    hammering h = {.fa = s.fa};
    pthread_t threads[3];
    uint64_t calls = 0;
    live_context *live = NULL;
    for (int round = 0; round < ROUNDS(2000); round++) {
        live_context *next = calloc(1, sizeof *next);
        next->pattern = next->again = UINT64_C(0x5afe5afe5afe5afe);
        assert_int_equal(fa_sink_set(s.fa, check_context, next), FA_OK);
        for (int i = 0; i < 3 && round == 0; i++) assert_int_equal(pthread_create(&threads[i], NULL, hammer, &h), 0);
        while (!fa_sink_is_quiet(s.fa)) sched_yield();
        if (live != NULL) {
            calls += atomic_load(&live->calls);
            memset(live, 0xdd, sizeof *live);
            free(live);
        }
        live = next;
        while (round % 100 == 0 && atomic_load(&live->calls) == 0) sched_yield();
    }
    atomic_store(&h.stop, 1u);
    for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
    calls += atomic_load(&live->calls);
    assert_int_equal(calls, atomic_load(&h.calls));
    assert_int_equal(fa_sink_set(s.fa, fa_collector_take, &s.seen), FA_OK);
    assert_true(fa_sink_is_quiet(s.fa));
    free(live);
    close_scene(&s);
}

// Collecting ------------------------------------------------------------------------------------------------------------

static void collector_counts_what_does_not_fit(const test_case *at)
{
    (void)at;
    fa_collected items[3];
    fa_collector c;
    fa_diagnostic d = {.code = "FA001", .severity = FA_SEVERITY_ERROR, .message = "m", .lane = 7, .frame = 9};
    fa_collector_init(&c, items, 3);
    assert_int_equal(fa_collector_count(&c, NULL), 0);
    assert_null(fa_collector_get(&c, NULL, 0));
    for (int i = 0; i < 5; i++) {
        d.code = i % 2 == 0 ? "FA001" : "FA003";
        d.severity = i % 2 == 0 ? FA_SEVERITY_ERROR : FA_SEVERITY_WARNING;
        fa_collector_take(&d, &c);
    }
    assert_int_equal(fa_collector_count(&c, NULL), 3);
    assert_int_equal(fa_collector_count(&c, "FA001"), 2);
    assert_int_equal(fa_collector_count(&c, "FA003"), 1);
    assert_int_equal(fa_collector_count(&c, "FA"), 0);
    assert_int_equal(fa_collector_errors(&c), 2);
    assert_int_equal(fa_collector_lost(&c), 2);
    assert_ptr_equal(fa_collector_get(&c, "FA001", 1), &items[2]);
    assert_ptr_equal(fa_collector_get(&c, "FA003", 0), &items[1]);
    assert_null(fa_collector_get(&c, "FA003", 1));
    assert_null(fa_collector_get(&c, NULL, 3));
    assert_int_equal(items[0].lane, 7);
    assert_int_equal(items[0].frame, 9);
    assert_string_equal(items[0].job, "");
    fa_collector_init(&c, items, 3);
    assert_int_equal(fa_collector_count(&c, NULL) + fa_collector_lost(&c), 0);
    // One that only counts.
    fa_collector_init(&c, NULL, 3);
    fa_collector_take(&d, &c);
    assert_int_equal(fa_collector_lost(&c), 1);
    assert_int_equal(fa_collector_count(&c, NULL), 0);
    // Bad input.
    fa_collector_init(NULL, items, 3);
    fa_collector_take(NULL, &c);
    fa_collector_take(&d, NULL);
    assert_int_equal(fa_collector_lost(&c), 1);
    assert_int_equal(fa_collector_lost(NULL), 0);
    assert_int_equal(fa_collector_count(NULL, NULL), 0);
    assert_int_equal(fa_collector_errors(NULL), 0);
    assert_null(fa_collector_get(NULL, NULL, 0));
}

static void collector_cuts_long_texts(const test_case *at)
{
    (void)at;
    fa_collected item;
    fa_collector c;
    char text[1000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    fa_collector_init(&c, &item, 1);
    fa_collector_take(&(fa_diagnostic){.code = text, .message = text, .job = text, .tag = text, .phase = text}, &c);
    assert_int_equal(strlen(item.code), sizeof item.code - 1);
    assert_int_equal(strlen(item.message), sizeof item.message - 1);
    assert_int_equal(strlen(item.job), sizeof item.job - 1);
    assert_int_equal(strlen(item.tag), sizeof item.tag - 1);
    assert_int_equal(strlen(item.phase), sizeof item.phase - 1);
}

enum { HAMMERED = 200 };

static void complain_often(fa_worker *w, void *arg)
{
    (void)arg;
    for (int i = 0; i < HAMMERED; i++)
        EXPECT(fa_diagnose(w, FA_SEVERITY_WARNING, "GAME1", NULL, NULL, "%u %d %u", (unsigned)w->index, i,
                           (unsigned)w->index * 1000 + (unsigned)i) == FA_OK);
}

/// Several lanes at once, while the main lane looks: every entry that shows is whole, and none counts twice.
static void collector_under_fire(const test_case *at)
{
    scene s;
    open_case(&s, at);
    begin(s.fa);
    everyone(s.fa, complain_often, NULL);
    end(s.fa);
    uint32_t all = (at->workers + 1) * HAMMERED, kept = all < SEEN_MOST ? all : SEEN_MOST;
    assert_int_equal(fa_collector_count(&s.seen, "GAME1"), kept);
    assert_int_equal(fa_collector_lost(&s.seen), all - kept);
    static bool have[8][HAMMERED];
    memset(have, 0, sizeof have);
    for (uint32_t i = 0; i < kept; i++) {
        const fa_collected *item = fa_collector_get(&s.seen, NULL, i);
        unsigned lane, at_call, check;
        assert_int_equal(sscanf(item->message, "%u %u %u", &lane, &at_call, &check), 3);
        assert_int_equal(check, lane * 1000 + at_call);
        assert_int_equal(item->lane, lane);
        assert_true(lane < 8 && at_call < HAMMERED && !have[lane][at_call]);
        have[lane][at_call] = true;
    }
    forget(&s);
    close_scene(&s);
}

// Suppressing -----------------------------------------------------------------------------------------------------------

static void suppressed_codes_are_silent(const test_case *at)
{
    scene s;
    open_case(&s, at);
    int local = 0;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(fa_suppress(s.fa, "FA001", true), FA_OK);
        assert_int_equal(fa_suppress(s.fa, "FA001", true), FA_OK); // counts once
        assert_null(fa_frame_alloc(s.w, 16));                      // the answer is the same
        assert_unseen(&s);
        fa_pool_free(s.w, &local);
        assert_seen(&s, "FA201", 1, NULL);
        assert_int_equal(fa_suppress(s.fa, "FA001", false), FA_OK);
        assert_null(fa_frame_alloc(s.w, 16));
        assert_seen(&s, "FA001", 1, NULL);
    }
    assert_int_equal(fa_suppress(s.fa, NULL, true), FA_OK);
    assert_int_equal(fa_suppress(s.fa, "FA201", true), FA_OK);
    assert_null(fa_frame_alloc(s.w, 16));
    fa_pool_free(s.w, &local);
    complain(s.w, NULL);
    assert_unseen(&s);
    assert_int_equal(fa_suppress(s.fa, NULL, false), FA_OK);
    fa_pool_free(s.w, &local); // still suppressed for itself
    assert_unseen(&s);
    assert_int_equal(fa_suppress(s.fa, "FA201", false), FA_OK);
    assert_int_equal(fa_suppress(s.fa, "GAME1", true), FA_OK);
    complain(s.w, NULL);
    assert_unseen(&s);
    assert_int_equal(fa_diagnose(s.w, FA_SEVERITY_ERROR, "GAME2", NULL, NULL, "other"), FA_OK);
    assert_int_equal(fa_collector_count(&s.seen, "GAME2"), 1);
    forget(&s);
    close_scene(&s);
}

static void suppression_is_bounded(const test_case *at)
{
    scene s;
    open_case(&s, at);
    char code[32];
    for (unsigned i = 0; i < FA_SUPPRESSED_MAX; i++) {
        snprintf(code, sizeof code, "GAME%u", i);
        assert_int_equal(fa_suppress(s.fa, code, true), FA_OK);
    }
    assert_int_equal(fa_suppress(s.fa, "FA001", true), FA_ERROR_FULL);
    assert_int_equal(fa_suppress(s.fa, "GAME5", true), FA_OK); // it is already
    assert_null(fa_frame_alloc(s.w, 16));
    assert_seen(&s, "FA001", 1, NULL);
    complain(s.w, NULL); // GAME1
    assert_unseen(&s);
    assert_int_equal(fa_suppress(s.fa, "GAME1", false), FA_OK);
    assert_int_equal(fa_suppress(s.fa, "FA001", true), FA_OK);
    assert_null(fa_frame_alloc(s.w, 16));
    assert_unseen(&s);
    assert_int_equal(fa_suppress(s.fa, "", true), FA_ERROR_INVALID);
    assert_int_equal(fa_suppress(s.fa, "A CODE OF SIXTEE", true), FA_ERROR_INVALID);
    assert_int_equal(fa_suppress(s.fa, "never suppresse", false), FA_OK);
    close_scene(&s);
}

// One's own -------------------------------------------------------------------------------------------------------------

static void own_codes(const test_case *at)
{
    scene s;
    open_case(&s, at);
    assert_int_equal(fa_diagnose(s.w, FA_SEVERITY_ERROR, "GAME001", "a note", "some help", "%s %d", "level", 7), FA_OK);
    const fa_collected *item = fa_collector_get(&s.seen, "GAME001", 0);
    assert_string_equal(item->message, "level 7");
    assert_string_equal(item->note, "a note");
    assert_string_equal(item->help, "some help");
    assert_int_equal(item->severity, FA_SEVERITY_ERROR);
    assert_int_equal(FA_DIAGNOSE_WARNING(s.w, "GAME002", NULL, NULL, "w %d", 1), FA_OK);
    assert_int_equal(fa_collector_get(&s.seen, "GAME002", 0)->severity, FA_SEVERITY_WARNING);
    assert_int_equal(FA_DIAGNOSE_ERROR(s.w, "GAME003", NULL, NULL, "e"), FA_OK);
    assert_int_equal(fa_collector_get(&s.seen, "GAME003", 0)->severity, FA_SEVERITY_ERROR);
    assert_string_equal(fa_collector_get(&s.seen, "GAME003", 0)->note, "");
    assert_true(FA_DIAGNOSE_UNLESS(s.w, 1 + 1 == 2, "GAME004", NULL, NULL, "never"));
    assert_false(FA_DIAGNOSE_UNLESS(s.w, 1 + 1 == 3, "GAME004", NULL, NULL, "sum %d", 3));
    assert_int_equal(fa_collector_count(&s.seen, "GAME004"), 1);
    assert_int_equal(fa_diagnose_any(s.fa, FA_SEVERITY_ERROR, "123456789012345", NULL, NULL, "longest"), FA_OK);
    assert_int_equal(fa_collector_count(&s.seen, "123456789012345"), 1);
    assert_int_equal(fa_collector_get(&s.seen, "123456789012345", 0)->lane, 0); // this thread's, found out
    assert_int_equal(fa_diagnose(s.w, FA_SEVERITY_ERROR, "FALL1", NULL, NULL, "no code of the library"), FA_OK);
    assert_int_equal(fa_collector_count(&s.seen, NULL), 6);
    char text[1000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    assert_int_equal(fa_diagnose(s.w, FA_SEVERITY_ERROR, "GAME005", NULL, NULL, "%s", text), FA_OK);
    assert_int_equal(strlen(fa_collector_get(&s.seen, "GAME005", 0)->message), 255);
    forget(&s);
    const char *bad[] = {NULL, "", "FA001", "FA999", "1234567890123456"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(fa_diagnose(s.w, FA_SEVERITY_ERROR, bad[i], NULL, NULL, "x"), FA_ERROR_INVALID);
        assert_int_equal(fa_diagnose_any(s.fa, FA_SEVERITY_ERROR, bad[i], NULL, NULL, "x"), FA_ERROR_INVALID);
    }
    assert_int_equal(fa_diagnose(NULL, FA_SEVERITY_ERROR, "GAME1", NULL, NULL, "x"), FA_ERROR_INVALID);
    assert_int_equal(fa_diagnose_any(NULL, FA_SEVERITY_ERROR, "GAME1", NULL, NULL, "x"), FA_ERROR_INVALID);
    assert_int_equal(fa_diagnose(s.w, (fa_severity)2, "GAME1", NULL, NULL, "x"), FA_ERROR_INVALID);
    const char *no_format = NULL;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-security"
    assert_int_equal(fa_diagnose(s.w, FA_SEVERITY_ERROR, "GAME1", NULL, NULL, no_format), FA_ERROR_INVALID);
#pragma GCC diagnostic pop
    close_scene(&s);
}

static void texts(const test_case *at)
{
    (void)at;
    static const char full[] = "[framealloc][FA003] warning: message\n"
                               "  context: frame 12 (open), worker 2, job think, tag ai::path, phase update\n"
                               "  note: a note\n"
                               "  help: some help\n";
    fa_diagnostic d = {.code = "FA003",
                       .severity = FA_SEVERITY_WARNING,
                       .message = "message",
                       .note = "a note",
                       .help = "some help",
                       .frame = 12,
                       .frame_open = true,
                       .lane = 2,
                       .lane_kind = FA_LANE_WORKER,
                       .lane_name = "worker 2",
                       .job = "think",
                       .job_depth = 3,
                       .tag = "ai::path",
                       .phase = "update"};
    char out[1024];
    assert_int_equal(fa_diagnostic_format(&d, false, out, sizeof out), strlen(full));
    assert_string_equal(out, full);
    size_t verbose = fa_diagnostic_format(&d, true, out, sizeof out);
    assert_true(verbose > strlen(full) && verbose == strlen(out));
    assert_non_null(strstr(out, "job think, job depth 3, tag"));
    assert_non_null(strstr(out, fa_code_text("FA003")));
    for (size_t size = 0; size < sizeof full + 5; size++) { // cut anywhere, never written beyond
        memset(out, '#', sizeof out);
        assert_int_equal(fa_diagnostic_format(&d, false, out, size), strlen(full));
        size_t kept = size == 0 ? 0 : size - 1 < strlen(full) ? size - 1 : strlen(full);
        assert_memory_equal(out, full, kept);
        if (size > 0) assert_int_equal(out[kept], '\0');
        assert_int_equal(out[size > kept + 1 ? size : size > 0 ? kept + 1 : 0], '#');
    }
    assert_int_equal(fa_diagnostic_format(&d, false, NULL, 0), strlen(full));
    assert_int_equal(fa_diagnostic_format(NULL, false, out, sizeof out), 0);
    d = (fa_diagnostic){.code = "GAME1", .severity = FA_SEVERITY_ERROR, .message = "m", .lane_name = "no lane"};
    (void)fa_diagnostic_format(&d, true, out, sizeof out);
    assert_string_equal(out, "[framealloc][GAME1] error: m\n  context: before the first frame, no lane\n");
}

// Sinks that call the library -------------------------------------------------------------------------------------------

typedef struct busy_sink {
    fa_system *fa;
    fa_worker *main_lane;
    atomic_uint calls, jobs;
    bool raise; // what is diagnosed again
    void *kept; // 1000 bytes of frame memory that the last call on the main lane allocated
} busy_sink;

static void count_job(fa_worker *w, void *arg)
{
    (void)w;
    atomic_fetch_add((atomic_uint *)arg, 1u);
}

static void refuse_boundaries(busy_sink *to, fa_worker *w)
{
    fa_worker *out;
    EXPECT(fa_destroy(to->fa) == FA_ERROR_STATE);
    EXPECT(fa_attach(to->fa, &out) == FA_ERROR_STATE);
    if (w == NULL) return;
    EXPECT(fa_quiescent(w) == FA_ERROR_STATE);
    EXPECT(fa_idle_begin(w) == FA_ERROR_STATE);
    EXPECT(fa_idle_end(w) == FA_ERROR_STATE);
    EXPECT(fa_detach(w) == (w->index > fa_worker_count(to->fa) ? FA_ERROR_STATE : FA_ERROR_INVALID));
    if (w != to->main_lane) return;
    EXPECT(fa_frame_begin(to->fa) == FA_ERROR_STATE);
    EXPECT(fa_frame_try_begin(to->fa) == FA_ERROR_STATE);
    EXPECT(fa_frame_end(to->fa, NULL) == FA_ERROR_STATE);
    EXPECT(fa_run_main_jobs(to->fa) == 0);
}

static void use_everything(const fa_diagnostic *d, void *context)
{
    busy_sink *to = context;
    fa_worker *w = fa_self(to->fa);
    atomic_fetch_add(&to->calls, 1u);
    refuse_boundaries(to, w);
    if (w == NULL) return;
    fa_stats stats;
    EXPECT(fa_stats_read(to->fa, &stats) == FA_OK);
    void *small = fa_pool_alloc(w, 100), *large = fa_heap_alloc(w, 50000, 64);
    EXPECT(small != NULL && large != NULL);
    fill(small, 100, 1);
    fill(large, 50000, 2);
    {
        FA_SCOPE(w);
        void *scope = fa_scope_alloc(w, 1000);
        EXPECT(scope != NULL);
        fill(scope, 1000, 3);
    }
    if (d->frame_open && (fa_job_depth(w) > 0 || w == to->main_lane)) {
        fa_counter counter = FA_COUNTER_INIT;
        void *frame = fa_frame_alloc(w, 1000);
        EXPECT(frame != NULL);
        fill(frame, 1000, 4);
        for (int i = 0; i < 5; i++) EXPECT(fa_submit_counted(w, &counter, count_job, &to->jobs) == FA_OK);
        EXPECT(fa_wait(w, &counter) == FA_OK);
        EXPECT(is_filled(frame, 1000, 4));
        if (w == to->main_lane) to->kept = frame;
    }
    EXPECT(is_filled(small, 100, 1) && is_filled(large, 50000, 2));
    fa_pool_free(w, small);
    fa_heap_free(w, large);
    if (to->raise) { // to stderr, not to this sink again
        EXPECT(fa_pool_alloc_aligned(w, 8, 3) == NULL);
        EXPECT(fa_diagnose(w, FA_SEVERITY_WARNING, "GAME9", NULL, NULL, "nested") == FA_OK);
    }
}

static void misuse(fa_worker *w, void *arg)
{
    (void)arg;
    int local = 0;
    fa_pool_free(w, &local);
    EXPECT(fa_pool_alloc_aligned(w, 8, 3) == NULL);
    EXPECT(fa_frame_alloc_aligned(w, 8, 3) == NULL);
    EXPECT(fa_heap_alloc(w, (size_t)1 << 50, 16) == NULL);
    EXPECT(fa_diagnose(w, FA_SEVERITY_WARNING, "GAME1", NULL, NULL, "x") == FA_OK);
}

static void *misuse_attached(void *arg)
{
    fa_worker *w;
    EXPECT(fa_attach(arg, &w) == FA_OK);
    misuse(w, NULL);
    EXPECT(fa_detach(w) == FA_OK);
    return NULL;
}

static void sinks_may_call_the_library(const test_case *at)
{
    static busy_sink to;
    memset(&to, 0, sizeof to);
    sink unused;
    fa_config config = case_config(at, &unused);
    fa_system *fa = create(&config);
    to.fa = fa;
    to.main_lane = fa_self(fa);
    assert_int_equal(fa_sink_set(fa, use_everything, &to), FA_OK);
    for (int frame = 0; frame < 3; frame++) {
        misuse(to.main_lane, NULL);
        begin(fa);
        everyone(fa, misuse, NULL);
        fa_counter own = FA_COUNTER_INIT;
        knot k = {.counter = FA_COUNTER_INIT};
        fa_job job = {.fn = wait_for_myself, .arg = &k, .counter = &k.counter};
        assert_int_equal(fa_submit_job(to.main_lane, &job), FA_OK);
        assert_int_equal(fa_wait(to.main_lane, &k.counter), FA_OK); // FA905 inside
        assert_true(fa_is_done(&own));
        run_thread(misuse_attached, fa);
        end(fa);
    }
    // Each frame: 5 by each lane and the attached thread, one FA905, and 5 by the main lane before it, one of them FA301, whose frame is
    // the one before.
    assert_int_equal(atomic_load(&to.calls), 3 * (5 * (at->workers + 1) + 5 + 1) + 3 * 5 - 2);
    assert_true(atomic_load(&to.jobs) >= 3 * 5 * (at->workers + 1));
    fa_stats stats = stats_of(fa);
    assert_int_equal(stats.pool_live + stats.heap_live, 0);
    assert_int_equal(fa_destroy(fa), FA_OK);
}

/// The report of a limit comes when the lane's window is as other calls expect it: what the sink allocates overlaps nothing.
static void a_sink_allocates_where_memory_ran_out(const test_case *at)
{
    static busy_sink to;
    memset(&to, 0, sizeof to);
    sink unused;
    fa_config config = case_config(at, &unused);
    config.frame_bytes_max = 64 * KIB;
    fa_system *fa = create(&config);
    to.fa = fa;
    to.main_lane = fa_self(fa);
    assert_int_equal(fa_sink_set(fa, use_everything, &to), FA_OK);
    for (int frame = 0; frame < 3; frame++) {
        begin(fa);
        unsigned char *p[41];
        uint32_t count = 0;
        for (; count < 40; count++) {
            p[count] = fa_frame_alloc(to.main_lane, count < 20 ? 3000 : 60000);
            if (p[count] == NULL) break;
            fill(p[count], count < 20 ? 3000 : 60000, count);
        }
        assert_int_equal(count, 20);
        p[count] = fa_frame_alloc(to.main_lane, 3000);
        assert_non_null(p[count]);
        fill(p[count], 3000, count);
        assert_true(is_filled(to.kept, 1000, 4));
        for (uint32_t i = 0; i <= count; i++) assert_true(is_filled(p[i], 3000, i));
        end(fa);
    }
    assert_int_equal(atomic_load(&to.calls), 3);
    assert_int_equal(fa_destroy(fa), FA_OK);
}

typedef struct hungry_sink {
    fa_system *fa;
    void *objects[64];
    uint32_t count, calls;
} hungry_sink;

/// Takes more of what just ran out, frame memory and objects, in sizes that others use too.
static void take_more(const fa_diagnostic *d, void *context)
{
    (void)d;
    hungry_sink *to = context;
    fa_worker *w = fa_self(to->fa);
    to->calls++;
    for (int i = 0; i < 4; i++) {
        void *frame = fa_frame_alloc(w, 3000);
        if (frame != NULL) fill(frame, 3000, 200 + to->calls);
        void *p = fa_pool_alloc(w, 64);
        if (p == NULL || to->count == 64) continue;
        fill(p, 64, 1000 + to->count);
        to->objects[to->count++] = p;
    }
}

/// A sink that is told of a budget allocates under the same tag: what it got is its own, and accounts come out even.
static void a_sink_allocates_under_the_budget(const test_case *at)
{
    static hungry_sink to;
    memset(&to, 0, sizeof to);
    sink unused;
    fa_config config = case_config(at, &unused);
    config.report = take_more;
    config.report_context = &to;
    fa_system *fa = to.fa = create(&config);
    fa_worker *w = fa_self(fa);
    fa_tag tag;
    fa_tag_stats stats;
    assert_int_equal(fa_tag_find(fa, "ai", &tag), FA_OK);
    for (int frame = 0; frame < 6; frame++) {
        assert_int_equal(fa_budget_set(fa, tag, 40 * KIB, frame % 2 == 0 ? 0 : 60 * KIB), FA_OK);
        unsigned char *memory[60];
        void *objects[600] = {NULL};
        to.count = 0;
        uint32_t calls = to.calls;
        begin(fa);
        {
            FA_TAG_AT(w, tag);
            for (uint32_t i = 0; i < 60; i++) {
                memory[i] = fa_frame_alloc(w, 1000);
                if (memory[i] != NULL) fill(memory[i], 1000, i);
                for (uint32_t j = i * 10; j < i * 10 + 10; j++)
                    if ((objects[j] = fa_pool_alloc(w, 64)) != NULL) fill(objects[j], 64, j);
            }
            assert_true(to.calls > calls);
        }
        for (uint32_t i = 0; i < 60; i++) assert_true(memory[i] == NULL || is_filled(memory[i], 1000, i));
        for (uint32_t i = 0; i < 600; i++) {
            assert_true(objects[i] == NULL || is_filled(objects[i], 64, i));
            fa_pool_free(w, objects[i]);
        }
        for (uint32_t i = 0; i < to.count; i++) {
            assert_true(is_filled(to.objects[i], 64, 1000 + i));
            fa_pool_free(w, to.objects[i]);
        }
        end(fa);
        assert_int_equal(fa_tag_stats_read(fa, tag, &stats), FA_OK);
        assert_int_equal(stats.held[FA_TAG_POOL] + stats.held[FA_TAG_FRAME], 0);
        assert_int_equal(stats_of(fa).pool_live, 0);
    }
    assert_int_equal(fa_destroy(fa), FA_OK);
}

static void take_a_little(const fa_diagnostic *d, void *context)
{
    fa_system **fa = context;
    if (strcmp(d->code, "FA303") == 0) EXPECT(fa_frame_alloc(fa_self(*fa), 48) != NULL);
}

/// What the sink takes is not there any more for who was just granted it: the hard budget is never exceeded.
static void a_sink_takes_what_was_reserved(const test_case *at)
{
    static fa_system *fa;
    sink unused;
    fa_config config = case_config(at, &unused);
    config.report = take_a_little;
    config.report_context = &fa;
    fa = create(&config);
    fa_worker *w = fa_self(fa);
    fa_tag tag;
    fa_tag_stats stats;
    assert_int_equal(fa_tag_find(fa, "ai", &tag), FA_OK);
    assert_int_equal(fa_budget_set(fa, tag, 1000, 1536), FA_OK);
    for (int frame = 0; frame < 3; frame++) {
        begin(fa);
        {
            FA_TAG_AT(w, tag);
            assert_non_null(fa_frame_alloc(w, 512));
            assert_null(fa_frame_alloc(w, 1024)); // crosses the soft budget; then 976 bytes are left
            assert_non_null(fa_frame_alloc(w, 976));
            assert_null(fa_frame_alloc(w, 1));
        }
        assert_int_equal(fa_tag_stats_read(fa, tag, &stats), FA_OK);
        assert_int_equal(stats.charged, 1536);
        end(fa);
    }
    assert_int_equal(fa_destroy(fa), FA_OK);
}

static void leave_open(fa_worker *w, void *arg)
{
    (void)arg;
    EXPECT(fa_phase_begin(w, "left open") == FA_OK);
}

/// FA913 comes while the job that left something open still counts as running.
static void a_sink_works_at_the_end_of_a_job(const test_case *at)
{
    static busy_sink to;
    memset(&to, 0, sizeof to);
    sink unused;
    fa_config config = case_config(at, &unused);
    fa_system *fa = create(&config);
    to.fa = fa;
    to.main_lane = fa_self(fa);
    assert_int_equal(fa_sink_set(fa, use_everything, &to), FA_OK);
    begin(fa);
    everyone(fa, complain, NULL);
    for (int i = 0; i < 20; i++) assert_int_equal(fa_submit(to.main_lane, leave_open, NULL), FA_OK);
    assert_int_equal(fa_phase_begin(to.main_lane, "left open, too"), FA_OK);
    end(fa);
    assert_int_equal(atomic_load(&to.calls), at->workers + 1 + 20 + 1);
    assert_int_equal(fa_destroy(fa), FA_OK);
}

static void replace_itself(const fa_diagnostic *d, void *context)
{
    (void)d;
    scene *s = context;
    EXPECT(fa_sink_set(s->fa, fa_collector_take, &s->seen) == FA_OK);
    EXPECT(!fa_sink_is_quiet(s->fa)); // this call
}

static void a_sink_replaces_itself(const test_case *at)
{
    scene s;
    open_case(&s, at);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(fa_sink_set(s.fa, replace_itself, &s), FA_OK);
        complain(s.w, NULL);
        assert_unseen(&s);
        assert_true(fa_sink_is_quiet(s.fa));
        complain(s.w, NULL);
        assert_int_equal(fa_collector_count(&s.seen, "GAME1"), 1);
        forget(&s);
    }
    close_scene(&s);
}

/// A sink of one system that misuses another: each has its own.
static void misuse_other(const fa_diagnostic *d, void *context)
{
    (void)d;
    EXPECT(fa_pool_alloc_aligned(context, 8, 3) == NULL);
}

static void sinks_of_two_systems(const test_case *at)
{
    scene s;
    open_case(&s, at);
    sink unused;
    fa_config config = case_config(at, &unused);
    config.report = misuse_other;
    config.report_context = s.w;
    fa_system *other = create(&config);
    complain(fa_self(other), NULL);
    assert_seen(&s, "FA903", 1, NULL);
    assert_int_equal(fa_destroy(other), FA_OK);
    close_scene(&s);
}

// Children --------------------------------------------------------------------------------------------------------------

static const test_case child_at = {1, true};

static fa_system *child_system(fa_strict strict)
{
    fa_config config = fa_config_default();
    config.worker_count = child_at.workers;
    config.checked = true;
    config.reserve_bytes = (uint64_t)1 << 30;
    config.strict = strict;
    config.frame_bytes_max = 4096;
    fa_system *fa = NULL;
    if (fa_create(&config, &fa) != FA_OK) _exit(99);
    return fa;
}

static void child_error(fa_system *fa)
{
    (void)fa_frame_alloc(fa_self(fa), 64);
}

/// FA003
static void child_warning(fa_system *fa)
{
    if (fa_frame_begin(fa) != FA_OK) _exit(98);
    (void)fa_frame_alloc(fa_self(fa), 5000);
    if (fa_frame_end(fa, NULL) != FA_OK) _exit(98);
}

static void child_ends(fa_system *fa)
{
    _exit(fa_destroy(fa) == FA_OK ? 7 : 97);
}

static void child_warn(void)
{
    fa_system *fa = child_system(FA_STRICT_WARN);
    child_warning(fa);
    child_error(fa);
    child_ends(fa);
}

static void child_stop_on_error(void)
{
    fa_system *fa = child_system(FA_STRICT_STOP_ON_ERROR);
    child_warning(fa);
    fputs("after the warning\n", stderr);
    child_error(fa);
    child_ends(fa);
}

static void child_stop_on_warning(void)
{
    fa_system *fa = child_system(FA_STRICT_STOP_ON_WARNING);
    child_warning(fa);
    child_ends(fa);
}

static void child_error_stops_on_warning_too(void)
{
    fa_system *fa = child_system(FA_STRICT_STOP_ON_WARNING);
    child_error(fa);
    child_ends(fa);
}

static void child_call(void)
{
    fa_system *fa = child_system(FA_STRICT_WARN);
    if (fa_strict_set(fa, FA_STRICT_STOP_ON_ERROR) != FA_OK) _exit(96);
    if (fa_strict_set(fa, FA_STRICT_WARN) != FA_OK) _exit(96);
    child_error(fa);
    fputs("after the error\n", stderr);
    if (fa_strict_set(fa, FA_STRICT_STOP_ON_ERROR) != FA_OK) _exit(96);
    child_error(fa);
    child_ends(fa);
}

static void leave_scope_early(fa_system *fa, int how)
{
    for (int i = 0; i < 2; i++) {
        FA_STRICT_SCOPE(fa, FA_STRICT_STOP_ON_ERROR);
        if (fa_strict_mode(fa) != FA_STRICT_STOP_ON_ERROR) _exit(95);
        {
            FA_STRICT_SCOPE(fa, FA_STRICT_STOP_ON_WARNING);
            if (fa_strict_mode(fa) != FA_STRICT_STOP_ON_WARNING) _exit(95);
            if (how == 0) return;
            if (how == 1) break;
            if (how == 2) continue;
        }
        if (fa_strict_mode(fa) != FA_STRICT_STOP_ON_ERROR) _exit(95);
    }
}

static void child_scope_restores(void)
{
    fa_system *fa = child_system(FA_STRICT_WARN);
    for (int how = 0; how < 4; how++) {
        leave_scope_early(fa, how);
        if (fa_strict_mode(fa) != FA_STRICT_WARN) _exit(94);
        child_error(fa);
        child_warning(fa);
    }
    child_ends(fa);
}

static void child_scope_stops(void)
{
    fa_system *fa = child_system(FA_STRICT_WARN);
    FA_STRICT_SCOPE(fa, FA_STRICT_STOP_ON_ERROR);
    child_warning(fa);
    fputs("after the warning\n", stderr);
    child_error(fa);
    child_ends(fa);
}

/// Its exit status is the mode.
static void child_environment(void)
{
    fa_system *fa = child_system(FA_STRICT_STOP_ON_ERROR);
    _exit(10 + (int)fa_strict_mode(fa));
}

static void child_default(void)
{
    fa_system *fa = child_system(FA_STRICT_WARN);
    child_error(fa);
    child_ends(fa);
}

/// More than goes to stderr in one piece.
static void child_long(void)
{
    static char note[5000];
    memset(note, 'n', sizeof note - 1);
    fa_system *fa = child_system(FA_STRICT_WARN);
    (void)FA_DIAGNOSE_WARNING(fa_self(fa), "GAME1", note, NULL, "mine");
    child_ends(fa);
}

static void child_suppressed(void)
{
    fa_system *fa = child_system(FA_STRICT_STOP_ON_WARNING);
    if (fa_suppress(fa, "FA003", true) != FA_OK) _exit(93);
    child_warning(fa);
    if (fa_suppress(fa, NULL, true) != FA_OK) _exit(93);
    child_error(fa);
    child_ends(fa);
}

static void child_configuration(void)
{
    fa_config config = fa_config_default();
    config.strict = FA_STRICT_STOP_ON_ERROR;
    config.frames_in_flight = 0;
    fa_system *fa;
    if (fa_create(&config, &fa) != FA_OK) _exit(92);
    _exit(91);
}

static void child_own_warning(void)
{
    fa_system *fa = child_system(FA_STRICT_STOP_ON_WARNING);
    (void)FA_DIAGNOSE_WARNING(fa_self(fa), "GAME1", NULL, NULL, "mine");
    child_ends(fa);
}

static void tell(const fa_diagnostic *d, void *context)
{
    (void)d;
    fputs(context, stderr);
}

static void child_sink_first(void)
{
    fa_system *fa = child_system(FA_STRICT_STOP_ON_ERROR);
    static char words[] = "delivered\n";
    if (fa_sink_set(fa, tell, words) != FA_OK) _exit(90);
    child_error(fa);
    child_ends(fa);
}

static void misuse_again(const fa_diagnostic *d, void *context)
{
    (void)d;
    fputs("in the sink\n", stderr);
    child_error(context);
}

/// A sink that does again what it is told of.
static void child_nested(void)
{
    fa_system *fa = child_system(FA_STRICT_WARN);
    if (fa_sink_set(fa, misuse_again, fa) != FA_OK) _exit(90);
    child_error(fa);
    child_error(fa);
    if (fa_sink_set(fa, NULL, NULL) != FA_OK) _exit(90);
    child_ends(fa);
}

static void child_verbose(void)
{
    fa_system *fa = child_system(FA_STRICT_WARN);
    if (fa_verbose_set(fa, true) != FA_OK) _exit(89);
    child_error(fa);
    child_ends(fa);
}

static const struct child_case {
    const char *name;
    void (*run)(void);
} child_cases[] = {{"warn", child_warn},
                   {"stop_on_error", child_stop_on_error},
                   {"stop_on_warning", child_stop_on_warning},
                   {"error_too", child_error_stops_on_warning_too},
                   {"call", child_call},
                   {"scope_restores", child_scope_restores},
                   {"scope_stops", child_scope_stops},
                   {"environment", child_environment},
                   {"default", child_default},
                   {"long", child_long},
                   {"suppressed", child_suppressed},
                   {"configuration", child_configuration},
                   {"own_warning", child_own_warning},
                   {"sink_first", child_sink_first},
                   {"nested", child_nested},
                   {"verbose", child_verbose}};

static char child_text[8192];

/// Runs a case in a new process; its exit status, or minus the signal that ended it. What it wrote to stderr is in child_text.
static int run_child(const char *name, const char *strict)
{
    if (WITH_QEMU) skip();
    int ends[2];
    char self[4096]; // the program itself, also where another one runs it, as Valgrind does
    ssize_t self_length = readlink("/proc/self/exe", self, sizeof self - 1);
    assert_true(self_length > 0);
    self[self_length] = '\0';
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork(); // and exec: nothing else is allowed in a process that had threads
    assert_true(child >= 0);
    if (child == 0) {
        (void)dup2(ends[1], STDERR_FILENO);
        (void)close(ends[0]);
        (void)close(ends[1]);
        if (strict != NULL)
            (void)setenv("FRAMEALLOC_STRICT", strict, 1);
        else
            (void)unsetenv("FRAMEALLOC_STRICT");
        (void)execl(self, "test_diagnostics", "--child", name, (char *)NULL);
        _exit(127);
    }
    (void)close(ends[1]);
    size_t length = 0;
    ssize_t got;
    while ((got = read(ends[0], child_text + length, sizeof child_text - 1 - length)) > 0) length += (size_t)got;
    child_text[length] = '\0';
    (void)close(ends[0]);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void assert_child(const char *name, const char *strict, int wanted)
{
    int status = run_child(name, strict);
    if (status != wanted) print_error("%s: wanted %d, got %d\n%s", name, wanted, status, child_text);
    assert_int_equal(status, wanted);
}

static void assert_told(const char *words, bool told)
{
    if ((strstr(child_text, words) != NULL) != told)
        print_error("\"%s\" %s in:\n%s", words, told ? "is not" : "is", child_text);
    assert_int_equal(strstr(child_text, words) != NULL, told);
}

static void strict_mode_by_configuration(const test_case *at)
{
    (void)at;
    assert_child("warn", NULL, 7);
    assert_told("[FA003] warning:", true);
    assert_told("[FA001] error:", true);
    assert_told("Strict mode:", false);
    assert_child("stop_on_error", NULL, -SIGABRT);
    assert_told("[FA003] warning:", true);
    assert_told("after the warning", true);
    assert_told("\nStrict mode: FA001 is an error, which stops the program\n", true);
    assert_child("stop_on_warning", NULL, -SIGABRT);
    assert_told("\nStrict mode: FA003 is a warning, which stops the program\n", true);
    assert_child("error_too", NULL, -SIGABRT);
    assert_told("Strict mode: FA001 is an error", true);
    assert_child("own_warning", NULL, -SIGABRT);
    assert_told("[GAME1] warning: mine", true);
    assert_told("Strict mode: GAME1 is a warning", true);
    assert_child("configuration", NULL, -SIGABRT);
    assert_told("[FA907] error:", true);
}

static void strict_mode_by_call_and_scope(const test_case *at)
{
    (void)at;
    assert_child("call", NULL, -SIGABRT);
    assert_told("after the error", true);
    assert_child("scope_restores", NULL, 7);
    assert_told("Strict mode:", false);
    assert_child("scope_stops", NULL, -SIGABRT);
    assert_told("after the warning", true);
    assert_told("Strict mode: FA001", true);
}

static void strict_mode_by_environment(const test_case *at)
{
    (void)at;
    static const struct {
        const char *value;
        int mode;
    } known[] = {{NULL, 1},   {"0", 0},  {"warn", 0}, {"false", 0},   {"1", 1}, {"error", 1},
                 {"true", 1}, {"2", 2},  {"all", 2},  {"warning", 2}, {"3", 1}, {"", 1},
                 {"WARN", 1}, {" 1", 1}, {"1 ", 1},   {"yes", 1}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        assert_child("environment", known[i].value, 10 + known[i].mode);
        assert_told("[FA911] warning: FRAMEALLOC_STRICT is", i >= 10);
    }
    assert_child("warn", "2", -SIGABRT);
    assert_told("Strict mode: FA003", true);
    assert_child("stop_on_error", "0", 7); // it overrules the configuration
    assert_told("Strict mode:", false);
    assert_child("configuration", "0", 92);
    assert_told("[FA907]", true);
}

static void suppressed_diagnostics_stop_nothing(const test_case *at)
{
    (void)at;
    assert_child("suppressed", NULL, 7);
    assert_string_equal(child_text, "");
}

static void sinks_hear_before_the_program_stops(const test_case *at)
{
    (void)at;
    assert_child("sink_first", NULL, -SIGABRT);
    assert_string_equal(child_text, "delivered\nStrict mode: FA001 is an error, which stops the program\n");
}

#define FA001_TEXT                                                                                                     \
    "[framealloc][FA001] error: frame allocation outside a frame\n"                                                    \
    "  context: before the first frame, main\n"                                                                        \
    "  note: jobs and frame memory belong to a frame, from fa_frame_begin() to fa_frame_end()\n"                       \
    "  help: begin a frame; an attached thread calls fa_frame_hold()\n"

static void default_sink_writes_to_stderr(const test_case *at)
{
    (void)at;
    assert_child("default", NULL, 7);
    assert_string_equal(child_text, FA001_TEXT);
    assert_child("verbose", NULL, 7);
    assert_told(FA001_TEXT, true);
    assert_told("used outside a frame: frame memory and jobs exist", true);
    assert_child("long", NULL, 7);
    assert_told("[GAME1] warning: mine", true);
    assert_string_equal(child_text + strlen(child_text) - 3, "nn\n"); // what does not fit is left out
}

static void a_sink_that_misuses_ends(const test_case *at)
{
    (void)at;
    assert_child("nested", NULL, 7);
    assert_string_equal(child_text, "in the sink\n" FA001_TEXT "in the sink\n" FA001_TEXT);
}

int main(int argc, char **argv)
{
    for (size_t i = 0; argc == 3 && i < sizeof child_cases / sizeof child_cases[0]; i++)
        if (strcmp(argv[1], "--child") == 0 && strcmp(argv[2], child_cases[i].name) == 0) child_cases[i].run();
    (void)unsetenv("FRAMEALLOC_STRICT");
    const test_entry entries[] = {
        EACH_OF(table_of_codes, "0", "n"),
        EACH(fa001_outside_a_frame),
        EACH_OF(fa002_frame_memory_escaped, "02", "ny"),
        EACH_OF(fa002_not_for_former_frame_memory, "0", "ny"),
        EACH(fa003_frame_memory_exhausted),
        EACH_OF(fa201_invalid_free, "02", "ny"),
        EACH_OF(fa201_freed_object_kept, COUNTED("02"), "y"),
        EACH_OF(fa201_wrong_thread, COUNTED("024"), "y"),
        EACH_OF(fa201_names_both_lanes, "0124", "y"),
        EACH_OF(fa202_lane_of_nobody, COUNTED("02"), "y"),
        EACH_OF(asking_for_no_lane_is_no_fault, "02", "ny"),
        EACH_OF(fa301_global_limit, "02", "ny"),
        EACH(fa301_once_a_lane),
        EACH_OF(fa901_context_overwritten, "02", "y"),
        EACH_OF(fa903_impossible_requests, "0", "ny"),
        EACH_OF(fa904_promotions_lost, "02", "ny"),
        EACH(fa905_deadlock),
        EACH_OF(fa906_held_frame, "02", "n"),
        EACH_OF(fa907_configuration, "0", "n"),
        EACH_OF(fa908_thread_ended, "02", "ny"),
        EACH_OF(fa909_still_attached, "02", "ny"),
        EACH_OF(fa910_never_freed, COUNTED("02"), "ny"),
        EACH_OF(fa911_unknown_strict_mode, "0", "n"),
        EACH(context_is_true),
        EACH(context_names_jobs),
        EACH_OF(context_names_tag_and_phase, COUNTED("0124"), "ny"),
        EACH_OF(sinks_are_replaced, "02", "ny"),
        EACH(settings_belong_to_the_main_lane),
        EACH_OF(a_call_in_flight_keeps_its_sink, "02", "n"),
        EACH_OF(sinks_are_replaced_under_fire, "02", "n"),
        EACH_OF(collector_counts_what_does_not_fit, "0", "n"),
        EACH_OF(collector_cuts_long_texts, "0", "n"),
        EACH(collector_under_fire),
        EACH_OF(suppressed_codes_are_silent, "02", "ny"),
        EACH_OF(suppression_is_bounded, "0", "n"),
        EACH_OF(own_codes, "02", "ny"),
        EACH_OF(texts, "0", "n"),
        EACH_OF(sinks_may_call_the_library, COUNTED("0124"), "ny"),
        EACH_OF(a_sink_allocates_where_memory_ran_out, COUNTED("02"), "ny"),
        EACH_OF(a_sink_allocates_under_the_budget, COUNTED("02"), "ny"),
        EACH_OF(a_sink_takes_what_was_reserved, COUNTED("02"), "ny"),
        EACH_OF(a_sink_works_at_the_end_of_a_job, COUNTED("0124"), "ny"),
        EACH_OF(a_sink_replaces_itself, "02", "ny"),
        EACH_OF(sinks_of_two_systems, "02", "ny"),
        EACH_OF(strict_mode_by_configuration, "0", "n"),
        EACH_OF(strict_mode_by_call_and_scope, "0", "n"),
        EACH_OF(strict_mode_by_environment, "0", "n"),
        EACH_OF(suppressed_diagnostics_stop_nothing, "0", "n"),
        EACH_OF(sinks_hear_before_the_program_stops, "0", "n"),
        EACH_OF(default_sink_writes_to_stderr, "0", "n"),
        EACH_OF(a_sink_that_misuses_ends, "0", "n"),
    };
    return RUN_MATRIX("diagnostics", entries, argc, argv);
}
