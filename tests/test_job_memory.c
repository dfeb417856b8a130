// SPDX-License-Identifier: MIT
//
// Memory of jobs: who keeps it alive and until when, what children inherit on every way of being started, what is refused.
#include "support.h"

#include <pthread.h>

/// What memory of jobs holds under the tag at this moment, whatever frame it is.
static uint64_t held(const fa_system *fa, fa_tag tag)
{
    fa_tag_stats stats = {0};
    EXPECT(fa_tag_stats_read(fa, tag, &stats) == FA_OK);
    return stats.held[FA_TAG_JOB];
}

static void assert_all_gone(fa_system *fa, fa_tag tag)
{
    assert_int_equal(held(fa, tag), 0);
    begin(fa);
    end(fa);
    assert_int_equal(stats_of(fa).job_memories, 0);
    assert_int_equal(stats_of(fa).job_memory_bytes, 0);
}

/// A job that runs until the main lane has run `jobs`, and tells when it is about to return.
typedef struct shared {
    fa_system *fa;
    fa_tag tag;
    fa_counter counter;
    fa_job_memory memory;
    uint64_t *numbers;
    atomic_uint go, done, ran;
    uint64_t most;
} shared;

// Lifetime --------------------------------------------------------------------------------------------------------------

enum { NUMBERS = 2000, CHILDREN = 40, GRANDCHILDREN = 5 };

typedef struct part {
    shared *of;
    uint64_t *numbers;
    uint32_t index;
} part;

static void check_numbers(fa_worker *w, void *arg)
{
    part *p = arg;
    EXPECT(fa_job_memory_current(w).id == p->of->memory.id);
    for (uint32_t i = p->index; i < NUMBERS; i += CHILDREN) EXPECT(p->numbers[i] == i + CHILDREN);
    atomic_fetch_add(&p->of->ran, 1u);
}

static void write_numbers(fa_worker *w, void *arg)
{
    const part *p = arg;
    for (uint32_t i = p->index; i < NUMBERS; i += CHILDREN) p->numbers[i] += CHILDREN;
    for (uint32_t i = 0; i < GRANDCHILDREN; i++) EXPECT(fa_submit_copy(w, NULL, check_numbers, p, sizeof *p) == FA_OK);
    atomic_fetch_add(&p->of->ran, 1u);
}

static void start_children(fa_worker *w, void *arg)
{
    shared *s = arg;
    s->numbers = fa_job_array(w, uint64_t, NUMBERS);
    s->memory = fa_job_memory_current(w);
    for (uint32_t i = 0; i < NUMBERS; i++) s->numbers[i] = i;
    for (uint32_t i = 0; i < CHILDREN; i++) {
        part p = {s, s->numbers, i};
        EXPECT(fa_submit_copy(w, NULL, write_numbers, &p, sizeof p) == FA_OK);
    }
}

static void children_use_it_after_the_job(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    shared s = {.fa = fa, .tag = tag_of(fa, "tree")};
    for (int round = 0; round < 5; round++) {
        s.ran = 0;
        begin(fa);
        {
            FA_TAG_AT(fa_self(fa), s.tag);
            assert_int_equal(fa_submit(fa_self(fa), start_children, &s), FA_OK);
        }
        end(fa);
        assert_int_equal(s.ran, CHILDREN * (1 + GRANDCHILDREN));
        assert_all_gone(fa, s.tag);
    }
    destroy_quiet(fa, &to);
}

static void again_until_told(fa_worker *w, void *arg)
{
    shared *s = arg;
    EXPECT(is_filled(s->numbers, 1000, 7));
    EXPECT(fa_job_memory_current(w).id == s->memory.id);
    if (atomic_load(&s->go))
        atomic_store(&s->done, 1u);
    else
        EXPECT(fa_submit(w, again_until_told, s) == FA_OK);
}

static void leave_one_behind(fa_worker *w, void *arg)
{
    shared *s = arg;
    s->numbers = fa_job_alloc(w, 1000, 0);
    s->memory = fa_job_memory_current(w);
    fill(s->numbers, 1000, 7);
    EXPECT(fa_submit(w, again_until_told, s) == FA_OK);
}

static void the_last_descendant_releases_it(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    shared s = {.fa = fa, .tag = tag_of(fa, "tree")};
    begin(fa);
    {
        FA_TAG_AT(w, s.tag);
        assert_int_equal(fa_submit_counted(w, &s.counter, leave_one_behind, &s), FA_OK);
        assert_int_equal(fa_wait(w, &s.counter), FA_OK); // the job has returned, its line of descendants goes on
    }
    uint64_t meanwhile = held(fa, s.tag);
    assert_int_equal(atomic_load(&s.done), 0);
    atomic_store(&s.go, 1u); // ahead of what may fail: else nothing would ever end
    end(fa);
    assert_true(meanwhile >= 1000);
    assert_int_equal(s.done, 1);
    assert_all_gone(fa, s.tag);
    destroy_quiet(fa, &to);
}

enum { WAVES = 300, WAVE = 8, WAVE_BYTES = 100 * 1024 };

static void use_some(fa_worker *w, void *arg)
{
    shared *s = arg;
    void *p = fa_job_alloc(w, WAVE_BYTES, 64);
    EXPECT(p != NULL && (uintptr_t)p % 64 == 0);
    if (p != NULL) fill(p, WAVE_BYTES, 3);
    atomic_fetch_add(&s->ran, 1u);
}

static void run_waves(fa_worker *w, void *arg)
{
    shared *s = arg;
    EXPECT(fa_job_new(w, uint64_t) != NULL); // so that each wave is an heir of it
    uint64_t before = held(s->fa, s->tag);
    for (int wave = 0; wave < WAVES; wave++) {
        fa_counter counter = FA_COUNTER_INIT;
        for (int i = 0; i < WAVE; i++) EXPECT(fa_submit_counted(w, &counter, use_some, s) == FA_OK);
        EXPECT(fa_wait(w, &counter) == FA_OK);
        uint64_t now = held(s->fa, s->tag);
        if (now - before > s->most) s->most = now - before;
    }
}

static void waves_do_not_pile_up(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    shared s = {.fa = fa, .tag = tag_of(fa, "waves")};
    begin(fa);
    {
        FA_TAG_AT(w, s.tag);
        assert_int_equal(fa_submit(w, run_waves, &s), FA_OK);
    }
    end(fa);
    assert_int_equal(s.ran, WAVES * WAVE);
    assert_int_equal(s.most, 0); // a counted job's memory is gone when its counter says that it is done
    assert_all_gone(fa, s.tag);
    assert_in_range(stats_of(fa).memory_peak, 1, 48 * MIB); // all waves together use 240 MB
    destroy_quiet(fa, &to);
}

enum { TURNS = 400, TURN_BYTES = 100 * 1024 };

static void end_on_main(fa_worker *w, void *arg)
{
    EXPECT(w->index == 0 && is_filled(arg, TURN_BYTES, 4));
}

static void leave_to_main(fa_worker *w, uint64_t first, uint64_t last, void *arg)
{
    (void)first;
    (void)last;
    void *p = fa_job_alloc(w, TURN_BYTES, 16); // of the piece
    EXPECT(p != NULL);
    if (p == NULL) return;
    fill(p, TURN_BYTES, 4);
    fa_job on_main = {.fn = end_on_main, .arg = p, .flags = FA_JOB_MAIN, .counter = arg};
    EXPECT(fa_submit_job(w, &on_main) == FA_OK);
}

static void take_turns(fa_worker *w, void *arg)
{
    atomic_store(&((shared *)arg)->go, 1u);
    for (int i = 0; i < TURNS; i++) {
        fa_counter counter = FA_COUNTER_INIT;
        EXPECT(fa_parallel_for(w, 0, 1, 1, leave_to_main, &counter) == FA_OK);
        EXPECT(fa_wait(w, &counter) == FA_OK);
    }
}

static void what_others_release_comes_home_meanwhile(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    shared s = {.fa = fa};
    begin(fa);
    assert_int_equal(fa_submit(fa_self(fa), take_turns, &s), FA_OK);
    while (at->workers > 0 && !atomic_load(&s.go)) sched_yield(); // a worker has it
    end(fa);
    assert_all_gone(fa, tag_of(fa, "none"));
    assert_in_range(stats_of(fa).memory_peak, 1, 24 * MIB); // all turns together use 40 MB
    destroy_quiet(fa, &to);
}

enum { SWARMS = 100, SWARM = 2000 };

static void do_nothing(fa_worker *w, void *arg)
{
    (void)w;
    (void)arg;
}

static void run_swarms(fa_worker *w, void *arg)
{
    (void)arg;
    EXPECT(fa_job_new(w, uint64_t) != NULL);
    for (int swarm = 0; swarm < ROUNDS(SWARMS); swarm++) {
        fa_counter counter = FA_COUNTER_INIT;
        for (int i = 0; i < SWARM / 2; i++) EXPECT(fa_submit_counted(w, &counter, do_nothing, NULL) == FA_OK);
        EXPECT(fa_submit_many(w, &counter, do_nothing, NULL, 0, SWARM / 2) == FA_OK);
        EXPECT(fa_wait(w, &counter) == FA_OK);
    }
}

static void heirs_leave_nothing(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    begin(fa);
    assert_int_equal(fa_submit(fa_self(fa), run_swarms, NULL), FA_OK);
    end(fa);
    assert_all_gone(fa, tag_of(fa, "none"));
    assert_in_range(stats_of(fa).memory_peak, 1, 9 * MIB); // their records alone would be 12.8 MB
    destroy_quiet(fa, &to);
}

// Whose it is -------------------------------------------------------------------------------------------------------------

typedef struct family {
    fa_job_memory grandparent, parent, sibling;
    uint64_t *of_grandparent;
    bool checked;
} family;

static void youngest(fa_worker *w, void *arg)
{
    family *f = arg;
    EXPECT(fa_job_memory_current(w).id == f->parent.id);
    uint64_t *p = fa_job_memory_alloc_array(w, f->grandparent, 4, sizeof *p, 0);
    EXPECT(p != NULL);
    if (p != NULL) memset(p, 0, 4 * sizeof *p);
    EXPECT(fa_job_memory_alloc(w, f->parent, 16, 16) != NULL);
    EXPECT(fa_job_memory_alloc(w, f->sibling, 16, 16) == NULL); // lives or not: it is none of an ancestor's
    fa_job_memory own;
    EXPECT(fa_job_memory_open(w, &own) == FA_OK && own.id != f->parent.id && own.id != f->grandparent.id);
    EXPECT(fa_job_memory_current(w).id == own.id);
    EXPECT(fa_job_alloc(w, 100, 0) != NULL && fa_job_alloc(w, 100, 0) != NULL);
    fa_job_memory_info info;
    EXPECT(fa_job_memory_read(w, own, &info) == FA_OK && info.objects == 2 && info.bytes == 224);
    EXPECT(fa_job_memory_read(w, f->grandparent, &info) == FA_OK && info.objects == 2 && info.bytes == 48);
    EXPECT(fa_job_memory_read(w, f->sibling, &info) == FA_ERROR_STALE && info.objects == 0);
    fa_job_memory again;
    EXPECT(fa_job_memory_open(w, &again) == FA_OK && again.id == own.id);
    (*f->of_grandparent)++;
}

static void eldest(fa_worker *w, void *arg)
{
    EXPECT(fa_job_memory_open(w, &((family *)arg)->sibling) == FA_OK);
}

static void middle(fa_worker *w, void *arg)
{
    family *f = arg;
    fa_counter counter = FA_COUNTER_INIT;
    EXPECT(fa_job_memory_current(w).id == f->grandparent.id);
    EXPECT(fa_job_memory_open(w, &f->parent) == FA_OK && f->parent.id != f->grandparent.id);
    EXPECT(fa_submit_counted(w, &counter, youngest, f) == FA_OK);
    EXPECT(fa_wait(w, &counter) == FA_OK);
    EXPECT(*f->of_grandparent == 2);
}

static void oldest(fa_worker *w, void *arg)
{
    family *f = arg;
    EXPECT(fa_job_memory_current(w).id == 0);
    EXPECT(fa_job_memory_open(w, &f->grandparent) == FA_OK);
    f->of_grandparent = fa_job_new(w, uint64_t);
    *f->of_grandparent = 1;
    fa_counter counter = FA_COUNTER_INIT;
    EXPECT(fa_submit_counted(w, &counter, eldest, f) == FA_OK);
    EXPECT(fa_wait(w, &counter) == FA_OK);
    EXPECT(fa_submit_counted(w, &counter, middle, f) == FA_OK);
    EXPECT(fa_wait(w, &counter) == FA_OK);
    EXPECT(fa_job_memory_current(w).id == f->grandparent.id);
}

static void a_stranger(fa_worker *w, void *arg)
{
    family *f = arg;
    EXPECT(fa_job_memory_current(w).id == 0);
    EXPECT(fa_job_memory_alloc(w, f->grandparent, 16, 16) == NULL);
    EXPECT(fa_job_memory_alloc(w, (fa_job_memory){0}, 16, 16) == NULL);
}

static void own_memory_and_ancestors(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    family f = {.checked = at->checked};
    begin(fa);
    assert_int_equal(fa_submit(fa_self(fa), oldest, &f), FA_OK);
    end(fa);
    assert_reported(&to, 201, at->checked ? 1 : 0);
    begin(fa);
    assert_int_equal(fa_submit(fa_self(fa), a_stranger, &f), FA_OK);
    end(fa);
    assert_reported(&to, 201, at->checked ? 2 : 0);
    assert_all_gone(fa, tag_of(fa, "none"));
    destroy_quiet(fa, &to);
}

typedef struct helping {
    shared *s;
    fa_counter strangers, inner;
} helping;

static void strangers_child(fa_worker *w, void *arg)
{
    shared *s = arg;
    EXPECT(fa_job_memory_current(w).id == 0);
    atomic_fetch_add(&s->ran, 1u);
}

static void stranger_inside(fa_worker *w, void *arg)
{
    helping *h = arg;
    EXPECT(fa_job_memory_current(w).id == 0);
    fa_task task;
    EXPECT(fa_submit(w, strangers_child, h->s) == FA_OK);
    EXPECT(fa_fork(w, &task, strangers_child, h->s) == FA_OK);
    fa_join(w, &task);
    EXPECT(fa_job_alloc(w, 64, 0) != NULL); // its own, gone with it
    fa_job_memory_info info;
    EXPECT(fa_job_memory_read(w, fa_job_memory_current(w), &info) == FA_OK && info.objects == 1);
}

static void heir_after_help(fa_worker *w, void *arg)
{
    const shared *s = arg;
    EXPECT(fa_job_memory_current(w).id == s->memory.id);
    EXPECT(is_filled(s->numbers, 5000, 9));
}

static void wait_for_strangers(fa_worker *w, void *arg)
{
    helping *h = arg;
    h->s->numbers = fa_job_alloc(w, 5000, 0);
    h->s->memory = fa_job_memory_current(w);
    fill(h->s->numbers, 5000, 9);
    EXPECT(fa_wait(w, &h->strangers) == FA_OK);
    EXPECT(fa_job_memory_current(w).id == h->s->memory.id);
    for (int i = 0; i < 10; i++) EXPECT(fa_submit(w, heir_after_help, h->s) == FA_OK);
}

static void who_helps_hands_nothing_on(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    shared s = {.fa = fa};
    for (int round = 0; round < 20; round++) {
        helping h = {&s, FA_COUNTER_INIT, FA_COUNTER_INIT};
        s.ran = 0;
        begin(fa);
        for (int i = 0; i < 20; i++) assert_int_equal(fa_submit_counted(w, &h.strangers, stranger_inside, &h), FA_OK);
        assert_int_equal(fa_submit_counted(w, &h.inner, wait_for_strangers, &h), FA_OK);
        assert_int_equal(fa_wait(w, &h.inner), FA_OK);
        assert_int_equal(fa_wait(w, &h.strangers), FA_OK);
        end(fa);
        assert_int_equal(s.ran, 40);
    }
    assert_all_gone(fa, tag_of(fa, "none"));
    destroy_quiet(fa, &to);
}

// Waits that reach into another frame leave it and come back: the memory is still the job's.
typedef struct two_frames {
    shared s;
    fa_counter later;
    atomic_uint submitted;
} two_frames;

static void of_the_next_frame(fa_worker *w, void *arg)
{
    shared *s = arg;
    EXPECT(fa_job_memory_current(w).id == 0);
    atomic_fetch_add(&s->ran, 1u);
}

static void heir_of_the_first(fa_worker *w, void *arg)
{
    two_frames *t = arg;
    EXPECT(fa_job_memory_current(w).id == t->s.memory.id && is_filled(t->s.numbers, 3000, 5));
    atomic_fetch_add(&t->s.ran, 1u);
}

static void of_the_first_frame(fa_worker *w, void *arg)
{
    two_frames *t = arg;
    t->s.numbers = fa_job_alloc(w, 3000, 0);
    t->s.memory = fa_job_memory_current(w);
    fill(t->s.numbers, 3000, 5);
    while (!atomic_load(&t->submitted)) sched_yield(); // a worker's job: the main lane goes on
    EXPECT(fa_wait(w, &t->later) == FA_OK);
    for (int i = 0; i < 4; i++) EXPECT(fa_submit(w, heir_of_the_first, t) == FA_OK);
}

static void frames_overlap(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    config.frames_in_flight = 3;
    fa_system *fa = create(&config);
    fa_worker *w = fa_self(fa);
    for (int round = 0; round < ROUNDS(40); round++) {
        two_frames t = {.s = {.fa = fa}, .later = FA_COUNTER_INIT};
        begin(fa);
        assert_int_equal(fa_submit(w, of_the_first_frame, &t), FA_OK);
        end(fa);
        begin(fa);
        for (int i = 0; i < 8; i++) assert_int_equal(fa_submit_counted(w, &t.later, of_the_next_frame, &t.s), FA_OK);
        atomic_store(&t.submitted, 1u);
        end(fa);
        double start = seconds_now();
        while (atomic_load(&t.s.ran) < 12 && seconds_now() - start < 20) {
            begin(fa);
            end(fa);
        }
        assert_int_equal(t.s.ran, 12);
    }
    for (int i = 0; i < 4; i++) {
        begin(fa);
        end(fa);
    }
    assert_int_equal(stats_of(fa).frames_alive, 0);
    assert_all_gone(fa, tag_of(fa, "none"));
    destroy_quiet(fa, &to);
}

// Every way to start a job ------------------------------------------------------------------------------------------------

typedef struct args48 {
    shared *s;
    uint64_t value[5];
} args48;

static void expect_heir(fa_worker *w, shared *s)
{
    EXPECT(fa_job_memory_current(w).id == s->memory.id);
    EXPECT(is_filled(s->numbers, 4000, 1));
    atomic_fetch_add(&s->ran, 1u);
}

static void plain_child(fa_worker *w, void *arg)
{
    expect_heir(w, arg);
    EXPECT(fa_job_name(w) == NULL);
}

static void copied_child(fa_worker *w, void *arg)
{
    const args48 *a = arg; // its first 24 bytes
    EXPECT((uintptr_t)arg % 16 == 0 && a->value[0] == 11 && a->value[1] == 22);
    expect_heir(w, a->s);
}

static void large_child(fa_worker *w, void *arg)
{
    const args48 *a = arg;
    EXPECT((uintptr_t)arg % 16 == 0 && a->value[0] == 11 && a->value[4] == 55);
    expect_heir(w, a->s);
}

static void named_child(fa_worker *w, void *arg)
{
    const args48 *a = arg; // its first 16 bytes
    EXPECT(fa_job_name(w) != NULL && strcmp(fa_job_name(w), "named") == 0);
    EXPECT(a->value[0] == 11);
    expect_heir(w, a->s);
}

static void main_child(fa_worker *w, void *arg)
{
    EXPECT(w->index == 0);
    expect_heir(w, arg);
}

static void loop_child(fa_worker *w, void *arg)
{
    expect_heir(w, arg);
}

static void loop_piece(fa_worker *w, uint64_t first, uint64_t last, void *arg)
{
    shared *s = arg;
    EXPECT(fa_job_memory_current(w).id == s->memory.id);
    for (uint64_t i = first; i < last; i++) {
        EXPECT(fa_submit(w, loop_child, s) == FA_OK); // outlives its piece
        EXPECT(fa_job_memory_alloc(w, s->memory, 40, 8) != NULL);
    }
    EXPECT(fa_job_alloc(w, 64, 64) != NULL); // goes with the piece
    EXPECT(fa_job_memory_current(w).id != s->memory.id);
}

static void forked_child(fa_worker *w, void *arg)
{
    expect_heir(w, arg);
    EXPECT(fa_submit(w, loop_child, arg) == FA_OK);
}

static void start_in_every_way(fa_worker *w, void *arg)
{
    shared *s = arg;
    fa_counter counter = FA_COUNTER_INIT;
    s->numbers = fa_job_alloc(w, 4000, 16);
    s->memory = fa_job_memory_current(w);
    fill(s->numbers, 4000, 1);
    args48 a[3];
    for (int i = 0; i < 3; i++) a[i] = (args48){s, {11, 22, 33, 44, 55}};
    fa_job named = {.fn = named_child, .arg = a, .arg_size = 16, .name = "named", .counter = &counter};
    fa_job on_main = {.fn = main_child, .arg = s, .flags = FA_JOB_MAIN};
    fa_task one, two;
    EXPECT(fa_submit(w, plain_child, s) == FA_OK);                                    // 1
    EXPECT(fa_submit_counted(w, &counter, plain_child, s) == FA_OK);                  // 1
    EXPECT(fa_submit_copy(w, &counter, copied_child, a, 24) == FA_OK);                // 1
    EXPECT(fa_submit_copy(w, NULL, large_child, a, sizeof a[0]) == FA_OK);            // 1
    EXPECT(fa_submit_many(w, &counter, large_child, a, sizeof a[0], 3) == FA_OK);     // 3
    EXPECT(fa_submit_many(w, NULL, plain_child, s, 0, 7) == FA_OK);                   // 7
    EXPECT(fa_submit_job(w, &named) == FA_OK && fa_submit_job(w, &on_main) == FA_OK); // 2
    EXPECT(fa_fork(w, &one, forked_child, s) == FA_OK);                               // 2
    EXPECT(fa_fork(w, &two, forked_child, s) == FA_OK);                               // 2
    fa_join(w, &two);
    fa_join(w, &one);
    EXPECT(fa_parallel_for(w, 0, 30, 1, loop_piece, s) == FA_OK); // 30
    EXPECT(fa_parallel_for(w, 0, 10, 0, loop_piece, s) == FA_OK); // 10
    EXPECT(fa_wait(w, &counter) == FA_OK);
}

enum { STARTED = 60 };

static void every_way_inherits(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    shared s = {.fa = fa, .tag = tag_of(fa, "tree")};
    for (int round = 0; round < 20; round++) {
        s.ran = 0;
        begin(fa);
        {
            FA_TAG_AT(fa_self(fa), s.tag);
            assert_int_equal(fa_submit(fa_self(fa), start_in_every_way, &s), FA_OK);
        }
        end(fa);
        assert_int_equal(s.ran, STARTED);
        assert_all_gone(fa, s.tag);
    }
    destroy_quiet(fa, &to);
}

static void full_deques_run_heirs_at_once(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    config.deque_capacity = 16;
    fa_system *fa = create(&config);
    shared s = {.fa = fa, .tag = tag_of(fa, "tree")};
    uint64_t inlined = 0;
    for (int round = 0; round < 10; round++) {
        s.ran = 0;
        begin(fa);
        {
            FA_TAG_AT(fa_self(fa), s.tag);
            assert_int_equal(fa_submit(fa_self(fa), start_in_every_way, &s), FA_OK);
        }
        end(fa);
        assert_int_equal(s.ran, STARTED);
        assert_all_gone(fa, s.tag);
        inlined = stats_of(fa).jobs_inline;
    }
    if (at->workers == 0) assert_true(inlined > 0);
    destroy_quiet(fa, &to);
}

static void destroy_runs_what_is_queued(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    shared s = {.fa = fa};
    begin(fa);
    assert_int_equal(fa_submit(fa_self(fa), start_in_every_way, &s), FA_OK);
    destroy_quiet(fa, &to); // the frame is open
    assert_int_equal(s.ran, STARTED);
}

typedef struct attached {
    fa_system *fa;
    shared *s;
    atomic_uint holds, attached_done;
} attached;

static void *attached_thread(void *arg)
{
    attached *a = arg;
    fa_worker *w;
    fa_frame frame;
    EXPECT(fa_attach(a->fa, &w) == FA_OK);
    EXPECT(fa_frame_hold(w, &frame) == FA_OK);
    atomic_store(&a->holds, 1u);
    fa_counter counter = FA_COUNTER_INIT;
    EXPECT(fa_submit_counted(w, &counter, start_in_every_way, a->s) == FA_OK);
    // Main-thread jobs are among the children, but not of this counter.
    EXPECT(fa_wait(w, &counter) == FA_OK);
    EXPECT(fa_frame_drop(a->fa, frame) == FA_OK);
    EXPECT(fa_detach(w) == FA_OK);
    atomic_store(&a->attached_done, 1u);
    return NULL;
}

static void attached_threads_too(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    shared s = {.fa = fa};
    attached a = {.fa = fa, .s = &s};
    begin(fa);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, attached_thread, &a), 0);
    while (!atomic_load(&a.holds)) sched_yield();
    while (!atomic_load(&a.attached_done)) (void)fa_run_main_jobs(fa);
    end(fa);
    pthread_join(thread, NULL);
    assert_int_equal(s.ran, STARTED);
    assert_all_gone(fa, tag_of(fa, "none"));
    destroy_quiet(fa, &to);
}

static void told_by_name(const fa_event *event, void *context)
{
    atomic_uint *seen = context;
    if (event->a == (uint64_t)(uintptr_t)plain_child) atomic_fetch_add(seen, 1u);
}

static void traces_show_the_function_of_heirs(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    shared s = {.fa = fa};
    atomic_uint seen = 0;
    fa_listener listener;
    fa_status status = fa_listen(fa, FA_EVENT_BIT(FA_EVENT_JOB_BEGIN), told_by_name, &seen, &listener);
    if (status == FA_OK) {
        begin(fa);
        assert_int_equal(fa_submit(fa_self(fa), start_in_every_way, &s), FA_OK);
        end(fa);
        begin(fa);
        end(fa);
        assert_int_equal(seen, 9);
        assert_int_equal(fa_unlisten(fa, listener), FA_OK);
    } else
        assert_int_equal(status, FA_ERROR_UNSUPPORTED);
    destroy_quiet(fa, &to);
}

// Sinks --------------------------------------------------------------------------------------------------------------------

typedef struct early {
    fa_system *fa;
    shared *s;
    void *object;
    uint32_t lane; // that is about to allocate, UINT32_MAX: none
    atomic_uint heard;
    uint64_t *numbers;
} early;

static void allocate_when_told(const fa_diagnostic *diagnostic, void *context)
{
    early *e = context;
    fa_worker *w = fa_self(e->fa);
    EXPECT(strcmp(diagnostic->code, "FA201") == 0);
    if (w == NULL || w->index != e->lane) return;
    e->numbers = fa_job_array(w, uint64_t, 100);
    EXPECT(e->numbers != NULL);
    fill(e->numbers, 100 * sizeof(uint64_t), 3);
    atomic_fetch_add(&e->heard, 1u);
}

static void *free_twice(void *arg)
{
    const early *e = arg;
    fa_worker *w;
    EXPECT(fa_attach(e->fa, &w) == FA_OK);
    fa_heap_free(w, e->object);
    fa_heap_free(w, e->object);
    EXPECT(fa_detach(w) == FA_OK);
    return NULL;
}

static void allocate_after_a_sink(fa_worker *w, void *arg)
{
    early *e = arg;
    fa_job_memory_info info;
    e->object = fa_heap_alloc(w, 100, 16);
    pthread_t thread;
    EXPECT(pthread_create(&thread, NULL, free_twice, e) == 0);
    EXPECT(pthread_join(thread, NULL) == 0);
    e->lane = w->index;
    void *p = fa_job_alloc(w, 1000, 16); // brings home, and hears of it
    e->lane = UINT32_MAX;
    EXPECT(p != NULL && e->heard == 1);
    EXPECT(fa_job_memory_read(w, fa_job_memory_current(w), &info) == FA_OK && info.objects == 2);
    EXPECT(is_filled(e->numbers, 100 * sizeof(uint64_t), 3));
    EXPECT(fa_job_memory_alloc(w, e->s->memory, 100, 16) != NULL); // that of the job which this comes from
}

static void start_early(fa_worker *w, void *arg)
{
    early *e = arg;
    uint64_t *numbers = fa_job_array(w, uint64_t, 100);
    fill(numbers, 100 * sizeof(uint64_t), 7);
    e->s->memory = fa_job_memory_current(w);
    fa_counter counter = FA_COUNTER_INIT;
    EXPECT(fa_submit_counted(w, &counter, allocate_after_a_sink, e) == FA_OK);
    EXPECT(fa_wait(w, &counter) == FA_OK);
    EXPECT(is_filled(numbers, 100 * sizeof(uint64_t), 7));
    fa_job_memory_info info;
    EXPECT(fa_job_memory_read(w, e->s->memory, &info) == FA_OK && info.objects == 2);
}

static void a_sink_may_be_first(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    shared s = {.go = 0};
    early e = {.s = &s, .lane = UINT32_MAX};
    config.report = allocate_when_told;
    config.report_context = &e;
    fa_system *fa = e.fa = s.fa = create(&config);
    s.tag = tag_of(fa, "tree");
    for (int round = 0; round < 3; round++) {
        e.heard = 0;
        begin(fa);
        {
            FA_TAG_AT(fa_self(fa), s.tag);
            assert_int_equal(fa_submit(fa_self(fa), start_early, &e), FA_OK);
        }
        end(fa);
        assert_int_equal(e.heard, 1);
        assert_all_gone(fa, s.tag);
    }
    assert_int_equal(fa_destroy(fa), FA_OK);
}

// Labels and limits -------------------------------------------------------------------------------------------------------

static void child_under_another_tag(fa_worker *w, void *arg)
{
    shared *s = arg;
    FA_TAG(w, "other");
    EXPECT(fa_job_memory_alloc(w, s->memory, 10000, 16) != NULL);
}

static void leave_a_phase_open(fa_worker *w, void *arg)
{
    shared *s = arg;
    EXPECT(fa_job_alloc(w, 20000, 16) != NULL);
    s->memory = fa_job_memory_current(w);
    fa_counter counter = FA_COUNTER_INIT;
    EXPECT(fa_submit_counted(w, &counter, child_under_another_tag, s) == FA_OK);
    EXPECT(fa_wait(w, &counter) == FA_OK);
    uint64_t mine = held(s->fa, s->tag), others = held(s->fa, (fa_tag){s->most != 0 ? (uint32_t)s->most : 1});
    EXPECT(mine >= 20000 && mine < 20000 + 70000);
    EXPECT(others >= 10000 && others < 10000 + 70000);
    EXPECT(fa_phase_begin(w, "left open") == FA_OK);
}

static void the_tag_of_who_allocates_is_charged(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    shared s = {.fa = fa, .tag = tag_of(fa, "tree")};
    fa_tag other = tag_of(fa, "tree::other");
    s.most = other.id;
    begin(fa);
    {
        FA_TAG_AT(w, s.tag);
        assert_int_equal(fa_submit(w, leave_a_phase_open, &s), FA_OK);
    }
    end(fa);
    assert_reported(&to, 913, 1); // and all the same
    assert_int_equal(held(fa, other), 0);
    assert_all_gone(fa, s.tag);
    destroy_quiet(fa, &to);
}

static void use_up_the_budget(fa_worker *w, void *arg)
{
    shared *s = arg;
    uint64_t got = 0;
    while (got < MIB && fa_job_alloc(w, 1000, 16) != NULL) got += 1008;
    s->most = got;
}

static void a_budget_refuses(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    shared s = {.fa = fa, .tag = tag_of(fa, "tight")};
    assert_int_equal(fa_budget_set(fa, s.tag, 0, 100 * 1008), FA_OK);
    for (int round = 0; round < 3; round++) {
        begin(fa);
        {
            FA_TAG_AT(w, s.tag);
            assert_int_equal(fa_submit(w, use_up_the_budget, &s), FA_OK);
        }
        end(fa);
        assert_int_equal(s.most, 100 * 1008); // to the last byte, and as much again in the next frame
        assert_reported(&to, 302, 1);
    }
    fa_tag_stats stats;
    assert_int_equal(fa_tag_stats_read(fa, s.tag, &stats), FA_OK);
    assert_int_equal(stats.denied, 3);
    assert_int_equal(stats_of(fa).job_memory_refused, 3);
    destroy_quiet(fa, &to);
}

static void count_run(fa_worker *w, void *arg)
{
    shared *s = arg;
    EXPECT(fa_job_memory_current(w).id == s->memory.id);
    atomic_fetch_add(&s->ran, 1u);
}

static void count_run_and_go_on(fa_worker *w, void *arg)
{
    count_run(w, arg);
    EXPECT(fa_submit(w, count_run, arg) == FA_OK);
}

static void refuse_a_main_job(fa_worker *w, shared *s)
{
    fa_counter counter = FA_COUNTER_INIT;
    fa_job job = {.fn = count_run, .arg = s, .flags = FA_JOB_MAIN, .counter = &counter};
    EXPECT(fa_submit_job(w, &job) == FA_ERROR_MEMORY && fa_is_done(&counter));
}

static void use_up_everything(fa_worker *w, void *arg)
{
    shared *s = arg;
    EXPECT(fa_job_memory_open(w, &s->memory) == FA_OK);
    while (fa_frame_alloc(w, 16) != NULL) continue;
    refuse_a_main_job(w, s); // there is room for its record, but not for it
    // Down to the smallest chunk: not even a record of 64 bytes is to be had then.
    for (size_t size = MIB; size >= 16; size /= 2)
        while (fa_job_alloc(w, size, 16) != NULL) continue;
    uint64_t taken = 0;
    void *rest[4096]; // of the class of records and others
    while (taken < 4096 && (rest[taken] = fa_heap_alloc(w, 16 + 16 * (taken % 64), 16)) != NULL) taken++;
    refuse_a_main_job(w, s);
    fa_task task;
    for (int i = 0; i < 2000; i++) EXPECT(fa_submit(w, count_run_and_go_on, s) == FA_OK);
    EXPECT(fa_fork(w, &task, count_run_and_go_on, s) == FA_OK);
    fa_join(w, &task);
    while (taken > 0) fa_heap_free(w, rest[--taken]);
}

static void without_memory_heirs_run_at_once(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    config.memory_max = (uint64_t)16 << 20;
    config.attached_max = 0;
    fa_system *fa = create(&config);
    fa_worker *w = fa_self(fa);
    shared s = {.fa = fa};
    begin(fa);
    assert_int_equal(fa_submit(w, use_up_everything, &s), FA_OK);
    end(fa);
    assert_int_equal(s.ran, 2 * 2001);
    assert_true(stats_of(fa).jobs_inline > 0);
    assert_true(stats_of(fa).job_memory_refused > 0);
    assert_true(sink_count(&to, 301) > 0);
    assert_true(sink_count(&to, 3) > 0);
    forget_reports(&to, 301);
    forget_reports(&to, 3);
    assert_all_gone(fa, tag_of(fa, "none"));
    destroy_quiet(fa, &to);
}

// Misuse ------------------------------------------------------------------------------------------------------------------

static void ask_for_the_impossible(fa_worker *w, void *arg)
{
    (void)arg;
    EXPECT(fa_job_alloc(w, 0, 16) == NULL);
    EXPECT(fa_job_alloc(w, 16, 24) == NULL);                   // FA903
    EXPECT(fa_job_memory_current(w).id == 0);                  // nothing was begun for them
    EXPECT(fa_job_alloc_array(w, SIZE_MAX / 2, 4, 0) == NULL); // FA914
    EXPECT(fa_job_alloc(w, SIZE_MAX, 16) == NULL);             // FA301
    EXPECT(fa_job_memory_open(w, NULL) == FA_ERROR_INVALID);
    fa_job_memory memory;
    EXPECT(fa_job_memory_open(w, &memory) == FA_OK);
    EXPECT(fa_job_memory_alloc(w, memory, 0, 16) == NULL);
    EXPECT(fa_job_memory_alloc(w, memory, 16, 3) == NULL); // FA903
    EXPECT(fa_job_memory_read(w, memory, NULL) == FA_ERROR_INVALID);
    fa_job_memory_info info;
    EXPECT(fa_job_memory_read(NULL, memory, &info) == FA_ERROR_INVALID);
    EXPECT(fa_job_memory_read(w, memory, &info) == FA_OK && info.objects == 0);
    void *p = fa_job_alloc(w, 1, 4 * MIB); // any alignment
    EXPECT(p != NULL && (uintptr_t)p % (4 * MIB) == 0);
}

static void what_is_refused(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    fa_job_memory memory = {77};
    assert_null(fa_job_alloc(NULL, 16, 16));
    assert_null(fa_job_memory_alloc(NULL, memory, 16, 16));
    assert_int_equal(fa_job_memory_open(NULL, &memory), FA_ERROR_INVALID);
    assert_int_equal(memory.id, 0);
    assert_int_equal(fa_job_memory_current(NULL).id, 0);
    assert_quiet(&to);
    for (int in_frame = 0; in_frame < 2; in_frame++) {
        if (in_frame) begin(fa);
        assert_null(fa_job_alloc(w, 16, 16));
        assert_null(fa_job_memory_alloc(w, memory, 16, 16));
        memory.id = 77;
        assert_int_equal(fa_job_memory_open(w, &memory), FA_ERROR_STATE);
        assert_int_equal(memory.id, 0);
        assert_int_equal(fa_job_memory_current(w).id, 0);
        assert_reported(&to, 4, 3);
        if (in_frame) end(fa);
    }
    begin(fa);
    assert_int_equal(fa_submit(w, ask_for_the_impossible, NULL), FA_OK);
    end(fa);
    assert_int_equal(sink_count(&to, 903), 2);
    assert_int_equal(sink_count(&to, 914), 1);
    assert_int_equal(sink_count(&to, 301), 1);
    forget_reports(&to, 903);
    forget_reports(&to, 914);
    forget_reports(&to, 301);
    assert_all_gone(fa, tag_of(fa, "none"));
    destroy_quiet(fa, &to);
}

static void *use_anothers_lane(void *arg)
{
    fa_worker *w = arg;
    fa_job_memory memory;
    EXPECT(fa_job_alloc(w, 16, 16) == NULL);
    EXPECT(fa_job_memory_open(w, &memory) == FA_ERROR_WRONG_THREAD && memory.id == 0);
    return NULL;
}

static void from_another_thread(fa_worker *w, void *arg)
{
    (void)arg;
    EXPECT(fa_job_alloc(w, 16, 16) != NULL);
    pthread_t thread;
    EXPECT(pthread_create(&thread, NULL, use_anothers_lane, w) == 0);
    pthread_join(thread, NULL);
}

static void the_wrong_thread_is_refused(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    begin(fa);
    assert_int_equal(fa_submit(fa_self(fa), from_another_thread, NULL), FA_OK);
    end(fa);
    assert_reported(&to, 201, 2);
    assert_all_gone(fa, tag_of(fa, "none"));
    destroy_quiet(fa, &to);
}

// At random ---------------------------------------------------------------------------------------------------------------

enum { DEPTH = 5 };

/// What a job of a random tree knows: the objects of those it comes from, each filled with a key of its own.
typedef struct branch {
    fa_system *fa;
    atomic_ulong *ran, *failed;
    uint64_t seed;
    uint32_t depth;
    fa_job_memory memory[DEPTH + 1];
    unsigned char *object[DEPTH + 1];
    uint32_t size[DEPTH + 1];
} branch;

static void check_ancestors(const branch *b)
{
    for (uint32_t i = 0; i < b->depth; i++) {
        if (b->object[i] == NULL || is_filled(b->object[i], b->size[i], (uintptr_t)b->object[i] >> 4)) continue;
        atomic_fetch_add(b->failed, 1u);
    }
}

static void grow(fa_worker *w, void *arg);

static void grow_piece(fa_worker *w, uint64_t first, uint64_t last, void *arg)
{
    for (uint64_t i = first; i < last; i++) {
        branch b = *(const branch *)arg;
        b.seed ^= i << 20;
        grow(w, &b);
    }
}

static void start_branch(fa_worker *w, rng *random, branch *b, fa_counter *counter)
{
    b->seed = rng_next(random);
    switch (rng_below(random, 4)) {
        case 0: EXPECT(fa_submit_copy(w, counter, grow, b, sizeof *b) == FA_OK); break;
        case 1: {
            fa_task task;
            EXPECT(fa_fork(w, &task, grow, b) == FA_OK);
            fa_join(w, &task);
            break;
        }
        case 2: EXPECT(fa_parallel_for(w, 0, 1 + rng_below(random, 3), 1, grow_piece, b) == FA_OK); break;
        default: EXPECT(fa_submit_copy(w, NULL, grow, b, sizeof *b) == FA_OK); break;
    }
}

static void grow(fa_worker *w, void *arg)
{
    branch b = *(const branch *)arg;
    rng random = {b.seed};
    uint32_t depth = b.depth++;
    check_ancestors(&b);
    b.object[depth] = NULL;
    b.memory[depth] = (fa_job_memory){0};
    uint32_t choice = rng_below(&random, 3), from = depth;
    b.size[depth] = 1 + rng_below(&random, rng_below(&random, 8) == 0 ? 20000 : 400);
    if (choice == 0) b.object[depth] = fa_job_alloc(w, b.size[depth], 0);
    if (choice == 0) b.memory[depth] = fa_job_memory_current(w);
    if (choice == 1 && depth > 0 && b.memory[from = rng_below(&random, depth)].id != 0)
        b.object[depth] = fa_job_memory_alloc(w, b.memory[from], b.size[depth], 32);
    EXPECT(b.object[depth] != NULL || (choice == 0 ? false : choice == 2 || from == depth || b.memory[from].id == 0));
    if (b.object[depth] != NULL) fill(b.object[depth], b.size[depth], (uintptr_t)b.object[depth] >> 4);
    fa_counter counter = FA_COUNTER_INIT;
    if (depth < DEPTH) {
        for (uint32_t n = rng_below(&random, 4); n > 0; n--) {
            start_branch(w, &random, &b, &counter);
            check_ancestors(&b);
        }
    }
    EXPECT(fa_wait(w, &counter) == FA_OK); // it lies on this stack; what was not counted goes on
    check_ancestors(&b);
    atomic_fetch_add(b.ran, 1u);
}

static void random_trees(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    config.frames_in_flight = 2;
    fa_system *fa = create(&config);
    fa_worker *w = fa_self(fa);
    rng random = {test_seed()};
    atomic_ulong ran = 0, failed = 0;
    fa_tag tag = tag_of(fa, "trees");
    for (int round = 0; round < ROUNDS(60); round++) {
        begin(fa);
        {
            FA_TAG_AT(w, tag);
            for (int i = 0; i < 8; i++) {
                branch b = {.fa = fa, .ran = &ran, .failed = &failed, .seed = rng_next(&random)};
                assert_int_equal(fa_submit_copy(w, NULL, grow, &b, sizeof b), FA_OK);
            }
        }
        end(fa);
    }
    for (int i = 0; i < 100 && stats_of(fa).frames_alive > 0; i++) {
        begin(fa);
        end(fa);
    }
    assert_true(ran > 480);
    assert_int_equal(failed, 0);
    begin(fa);
    end(fa);
    begin(fa);
    end(fa);
    assert_all_gone(fa, tag);
    destroy_quiet(fa, &to);
}

int main(int argc, char **argv)
{
    const test_entry tests[] = {
        EACH_OF(children_use_it_after_the_job, COUNTED("0124"), "ny"),
        EACH_OF(the_last_descendant_releases_it, COUNTED("0124"), "ny"),
        EACH_OF(waves_do_not_pile_up, COUNTED("0124"), "ny"),
        EACH_OF(what_others_release_comes_home_meanwhile, COUNTED("012"), "ny"),
        EACH_OF(heirs_leave_nothing, COUNTED("012"), "ny"),
        EACH_OF(own_memory_and_ancestors, COUNTED("0124"), "ny"),
        EACH_OF(who_helps_hands_nothing_on, COUNTED("0124"), "ny"),
        EACH_OF(frames_overlap, COUNTED("124"), "ny"),
        EACH_OF(every_way_inherits, COUNTED("0124"), "ny"),
        EACH_OF(full_deques_run_heirs_at_once, COUNTED("0124"), "ny"),
        EACH(destroy_runs_what_is_queued),
        EACH_OF(attached_threads_too, COUNTED("0124"), "ny"),
        EACH_OF(traces_show_the_function_of_heirs, "02", "ny"),
        EACH_OF(a_sink_may_be_first, COUNTED("012"), "ny"),
        EACH_OF(the_tag_of_who_allocates_is_charged, COUNTED("0124"), "ny"),
        EACH_OF(a_budget_refuses, COUNTED("02"), "ny"),
        EACH_OF(without_memory_heirs_run_at_once, COUNTED("02"), "ny"),
        EACH_OF(what_is_refused, COUNTED("02"), "ny"),
        EACH_OF(the_wrong_thread_is_refused, COUNTED("02"), "y"),
        EACH_OF(random_trees, COUNTED("0124"), "ny"),
    };
    return RUN_MATRIX("job_memory", tests, argc, argv);
}
