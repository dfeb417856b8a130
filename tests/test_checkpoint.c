// SPDX-License-Identifier: MIT
//
// Checkpoints and scopes: what a rollback frees, what it must leave alone, and which checkpoints are refused.
#include "support.h"

// Rollback --------------------------------------------------------------------------------------------------------------

// Larger ones are runs of their own, whose addresses are nobody's business.
#define LARGEST_IN_BLOCK (512 * KIB)

static void nested(const test_case *at)
{
    static const size_t sizes[] = {16, 1000, 100000, 512 * KIB + 1, 3 * MIB};
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        begin(fa);
        unsigned char *keep = fa_frame_alloc(w, 64), *scope_keep = fa_scope_alloc(w, 64);
        fill(keep, 64, 1);
        fill(scope_keep, 64, 2);
        fa_checkpoint outer = fa_checkpoint_take(w);
        void *a = fa_frame_alloc(w, sizes[i]), *scope_a = fa_scope_alloc(w, sizes[i]);
        fill(a, sizes[i], 3);
        fa_checkpoint inner = fa_checkpoint_take(w);
        for (int round = 0; round < 5; round++) {
            void *b = fa_frame_alloc(w, sizes[i]), *scope_b = fa_scope_alloc(w, sizes[i]);
            for (int j = 0; j < 10; j++) assert_non_null(fa_frame_alloc(w, sizes[i]));
            assert_int_equal(fa_checkpoint_rollback(w, inner), FA_OK);
            void *again = fa_frame_alloc(w, sizes[i]), *scope_again = fa_scope_alloc(w, sizes[i]);
            assert_true(sizes[i] > LARGEST_IN_BLOCK || (again == b && scope_again == scope_b));
            assert_int_equal(fa_checkpoint_rollback(w, inner), FA_OK); // it stays valid itself
        }
        assert_true(is_filled(a, sizes[i], 3));
        assert_int_equal(fa_checkpoint_rollback(w, outer), FA_OK);
        assert_int_equal(fa_checkpoint_rollback(w, inner), FA_ERROR_STALE);
        void *again = fa_frame_alloc(w, sizes[i]), *scope_again = fa_scope_alloc(w, sizes[i]);
        assert_true(sizes[i] > LARGEST_IN_BLOCK || (again == a && scope_again == scope_a));
        assert_int_equal(fa_checkpoint_rollback(w, outer), FA_OK);
        assert_true(is_filled(keep, 64, 1) && is_filled(scope_keep, 64, 2));
        end(fa);
        assert_int_equal(stats_of(fa).frame_bytes, 64);
    }
    destroy_quiet(fa, &to);
}

/// The first checkpoint may be taken before anything was allocated, and after what it frees was a block of its own.
static void from_nothing(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    for (int round = 0; round < 5; round++) {
        begin(fa);
        fa_checkpoint empty = fa_checkpoint_take(w);
        for (int i = 0; i < 3000; i++) assert_non_null(fa_frame_alloc(w, 2000)); // 6 MB
        assert_int_equal(fa_checkpoint_rollback(w, empty), FA_OK);
        void *p = fa_frame_alloc(w, 16);
        assert_non_null(p);
        assert_int_equal(fa_checkpoint_rollback(w, empty), FA_OK);
        end(fa);
        assert_int_equal(stats_of(fa).frame_bytes, 0);
    }
    destroy_quiet(fa, &to);
}

static void roll_back_and_fill(fa_worker *w, void *arg)
{
    unsigned char *first = fa_frame_alloc(w, KIB);
    fa_checkpoint checkpoint = fa_checkpoint_take(w);
    EXPECT(fa_frame_alloc(w, 600 * KIB) != NULL); // a run of its own
    EXPECT(fa_checkpoint_rollback(w, checkpoint) == FA_OK);
    for (size_t i = 1; i < 900; i++) EXPECT(fa_frame_alloc(w, KIB) == first + i * KIB);
    checkpoint = fa_checkpoint_take(w);
    EXPECT(fa_frame_alloc_aligned(w, KIB, 256 * KIB) != NULL); // in a second block: the gap
    EXPECT(fa_checkpoint_rollback(w, checkpoint) == FA_OK);
    for (size_t i = 900; i < 1024; i++) EXPECT(fa_frame_alloc(w, KIB) == first + i * KIB);
    EXPECT(fa_frame_alloc(w, 1) == NULL);
    atomic_fetch_add((atomic_uint *)arg, 1u);
}

/// frame_bytes_max holds after a rollback as before, over the end of a block and over runs, and the block goes on where it was.
static void limits_outlast_it(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    config.frame_bytes_max = MIB;
    fa_system *fa = create(&config);
    for (unsigned frame = 1; frame <= 3; frame++) {
        atomic_uint filled = 0;
        begin(fa);
        everyone(fa, roll_back_and_fill, &filled);
        end(fa);
        assert_int_equal(atomic_load(&filled), at->workers + 1);
        assert_reported(&to, 3, at->workers + 1);
        if (FA_STATISTICS) assert_int_equal(stats_of(fa).frame_bytes, config.frame_bytes_max * (at->workers + 1));
    }
    destroy_quiet(fa, &to);
}

// Refused checkpoints -------------------------------------------------------------------------------------------------

/// What was abandoned does not come back with a checkpoint that knew it, nor does what was retained in its place stay.
static void abandoned_stay_abandoned(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    begin(fa);
    fa_retain retain = {.to = FA_RETAIN_POOL, .user = 1};
    assert_non_null(fa_frame_retained(w, 100, 16, &retain));
    fa_checkpoint checkpoint = fa_checkpoint_take(w);
    assert_int_equal(fa_retained_abandon(w), 1);
    assert_int_equal(fa_checkpoint_rollback(w, checkpoint), FA_OK);
    assert_int_equal(fa_retained_count(w), 0);
    assert_non_null(fa_frame_retained(w, 100, 16, &retain));
    assert_int_equal(fa_checkpoint_rollback(w, checkpoint), FA_OK);
    assert_int_equal(fa_retained_count(w), 0);
    fa_frame_result result;
    assert_int_equal(fa_frame_end(fa, &result), FA_OK);
    assert_int_equal(result.count, 0);
    destroy_quiet(fa, &to);
}

/// A rollback that finds no memory to note what it made stale notes it all the same.
static void stale_without_memory(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    config.attached_max = 0;
    config.memory_max = 2 * MIB;
    fa_system *fa = create(&config);
    fa_worker *w = fa_self(fa);
    fa_checkpoint first = fa_checkpoint_take(w);
    while (fa_scope_alloc(w, 4 * KIB) != NULL) {
    }
    fa_checkpoint second = fa_checkpoint_take(w);
    assert_int_equal(fa_checkpoint_rollback(w, first), FA_OK);
    while (fa_scope_alloc(w, 4 * KIB) != NULL) {
    }
    assert_int_equal(fa_checkpoint_rollback(w, second), FA_ERROR_STALE);
    assert_int_equal(fa_checkpoint_rollback(w, first), FA_OK);
    assert_int_equal(fa_destroy(fa), FA_OK);
}

static uint32_t fill_frame(fa_worker *w)
{
    uint32_t count = 0;
    while (fa_frame_alloc(w, 256 * KIB) != NULL) count++;
    return count;
}

typedef struct block_story {
    uint32_t room;
    void *other; // a heap object that fills a block
} block_story;

/// What a frame can have does not depend on scopes that are empty; those end all the same where they began, whatever became of their block.
static void lose_the_block(fa_worker *w, void *arg)
{
    block_story *story = arg;
    {
        FA_SCOPE(w);
        EXPECT(fa_scope_alloc(w, 1000) != NULL);
    }
    fa_checkpoint checkpoint = fa_checkpoint_take(w);
    void *p;
    {
        FA_SCOPE(w);
        EXPECT(fill_frame(w) == story->room);
        EXPECT(fa_checkpoint_rollback(w, checkpoint) == FA_OK);
        void *block = fa_heap_alloc(w, 2 * MIB - 64 * KIB, 0); // the one that the scope had, which gets another
        fa_heap_free(w, story->other);
        story->other = block;
        p = fa_scope_alloc(w, 1000);
        EXPECT(block != NULL && p != NULL);
    }
    EXPECT(fa_scope_alloc(w, 1000) == p);
    EXPECT(fa_checkpoint_rollback(w, checkpoint) == FA_OK);
    EXPECT(fa_scope_alloc(w, 1000) == p);
}

static void a_scope_gives_its_block_away(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    config.attached_max = 0;
    config.memory_max = 16 * MIB;
    fa_system *fa = create(&config);
    fa_worker *w = fa_self(fa);
    block_story story = {.other = fa_heap_alloc(w, 2 * MIB - 64 * KIB, 0)};
    begin(fa);
    story.room = fill_frame(w);
    assert_true(story.other != NULL && story.room > 0);
    end(fa);
    for (int round = 0; round < 4; round++) {
        begin(fa);
        for (int i = 0; i < 3 && round > 0; i++) assert_int_equal(fa_submit(w, lose_the_block, &story), FA_OK);
        if (round == 0) lose_the_block(w, &story);
        end(fa);
    }
    fa_heap_free(w, story.other);
    forget_reports(&to, 3);
    destroy_quiet(fa, &to);
}

static void rolled_back_past(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    begin(fa);
    fa_checkpoint first = fa_checkpoint_take(w);
    (void)fa_frame_alloc(w, 100);
    fa_checkpoint second = fa_checkpoint_take(w);
    (void)fa_frame_alloc(w, 100);
    assert_int_equal(fa_checkpoint_rollback(w, first), FA_OK);
    // Memory reaches beyond the second again, and other checkpoints were taken and rolled back to meanwhile.
    unsigned char *p = fa_frame_alloc(w, 4000);
    fill(p, 4000, 7);
    assert_int_equal(fa_checkpoint_rollback(w, second), FA_ERROR_STALE);
    fa_checkpoint third = fa_checkpoint_take(w);
    (void)fa_frame_alloc(w, 100);
    (void)fa_checkpoint_take(w);
    assert_int_equal(fa_checkpoint_rollback(w, third), FA_OK);
    assert_int_equal(fa_checkpoint_rollback(w, second), FA_ERROR_STALE);
    assert_true(is_filled(p, 4000, 7));
    assert_int_equal(fa_checkpoint_rollback(w, first), FA_OK);
    end(fa);
    destroy_quiet(fa, &to);
}

typedef struct pause_job {
    atomic_bool begun, over;
} pause_job;

static void pause_until_told(fa_worker *w, void *arg)
{
    (void)w;
    pause_job *pause = arg;
    atomic_store(&pause->begun, true);
    while (!atomic_load(&pause->over)) sched_yield();
}

static void allocate_some(fa_worker *w, void *arg)
{
    (void)arg;
    assert_non_null(fa_frame_alloc(w, 64));
}

/// A wait runs a job of the frame before, and what was rolled back past stays stale.
static void rolled_back_past_before_a_wait(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    config.frames_in_flight = 2;
    fa_system *fa = create(&config);
    fa_worker *w = fa_self(fa);
    begin(fa);
    static pause_job pause; // a test that fails leaves the worker in it
    pause = (pause_job){false, false};
    assert_int_equal(fa_submit(w, pause_until_told, &pause), FA_OK);
    while (!atomic_load(&pause.begun))
        sched_yield(); // the only worker is busy: what comes next waits for the main lane
    fa_counter counter = {0};
    assert_int_equal(fa_submit_counted(w, &counter, allocate_some, NULL), FA_OK);
    end(fa);
    begin(fa);
    fa_checkpoint first = fa_checkpoint_take(w);
    (void)fa_frame_alloc(w, 100);
    fa_checkpoint second = fa_checkpoint_take(w);
    (void)fa_frame_alloc(w, 100);
    assert_int_equal(fa_checkpoint_rollback(w, first), FA_OK);
    unsigned char *p = fa_frame_alloc(w, 4000);
    fill(p, 4000, 7);
    assert_int_equal(fa_wait(w, &counter), FA_OK);
    atomic_store(&pause.over, true);
    assert_int_equal(fa_checkpoint_rollback(w, second), FA_ERROR_STALE);
    assert_true(is_filled(p, 4000, 7));
    assert_int_equal(fa_checkpoint_rollback(w, first), FA_OK);
    end(fa);
    destroy_quiet(fa, &to);
}

/// As a search does that goes deeper and deeper: at every level a way that is given up, then one that is kept for now.
static void many_levels_unwind(const test_case *at)
{
    enum { LEVELS = 100 };
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    fa_checkpoint levels[LEVELS], given_up[LEVELS];
    unsigned char *memory[LEVELS];
    begin(fa);
    for (uint32_t i = 0; i < LEVELS; i++) {
        levels[i] = fa_checkpoint_take(w);
        memory[i] = fa_frame_alloc(w, 1000);
        fill(memory[i], 1000, i);
        fa_checkpoint way = fa_checkpoint_take(w);
        (void)fa_frame_alloc(w, 5000);
        given_up[i] = fa_checkpoint_take(w);
        (void)fa_frame_alloc(w, 5000);
        assert_int_equal(fa_checkpoint_rollback(w, way), FA_OK);
    }
    for (uint32_t i = LEVELS; i-- > 0;) {
        assert_true(is_filled(memory[i], 1000, i));
        assert_int_equal(fa_checkpoint_rollback(w, given_up[i]), FA_ERROR_STALE);
        assert_int_equal(fa_checkpoint_rollback(w, levels[i]), FA_OK);
        assert_ptr_equal(fa_frame_alloc(w, 16), memory[i]);
    }
    end(fa);
    destroy_quiet(fa, &to);
}

typedef struct shared_checkpoint {
    fa_checkpoint checkpoint;
    fa_checkpoint other;
    atomic_uint refused;
} shared_checkpoint;

static void try_rollback(fa_worker *w, void *arg)
{
    shared_checkpoint *shared = arg;
    unsigned char *p = fa_frame_alloc(w, 1000), *q = fa_scope_alloc(w, 1000);
    fill(p, 1000, 5);
    fill(q, 1000, 6);
    EXPECT(fa_checkpoint_rollback(w, shared->checkpoint) == FA_ERROR_STALE);
    EXPECT(is_filled(p, 1000, 5) && is_filled(q, 1000, 6));
    atomic_fetch_add(&shared->refused, 1u);
}

static void take_in_a_job(fa_worker *w, void *arg)
{
    (void)fa_frame_alloc(w, 100);
    ((shared_checkpoint *)arg)->other = fa_checkpoint_take(w);
    EXPECT(fa_checkpoint_rollback(w, ((shared_checkpoint *)arg)->other) == FA_OK);
}

static void of_another_job_lane_or_frame(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    shared_checkpoint shared = {0};
    begin(fa);
    (void)fa_frame_alloc(w, 100);
    assert_int_equal(fa_checkpoint_rollback(w, shared.checkpoint), FA_ERROR_STALE); // zeroed
    shared.checkpoint = fa_checkpoint_take(w);
    fa_counter counter = FA_COUNTER_INIT;
    for (int i = 0; i < 20; i++) assert_int_equal(fa_submit_counted(w, &counter, try_rollback, &shared), FA_OK);
    assert_int_equal(fa_wait(w, &counter), FA_OK);
    assert_int_equal(atomic_load(&shared.refused), 20);
    assert_int_equal(fa_submit_counted(w, &counter, take_in_a_job, &shared), FA_OK);
    assert_int_equal(fa_wait(w, &counter), FA_OK);
    shared_checkpoint of_job = {.checkpoint = shared.other};
    for (int i = 0; i < 20; i++) assert_int_equal(fa_submit_counted(w, &counter, try_rollback, &of_job), FA_OK);
    assert_int_equal(fa_wait(w, &counter), FA_OK);
    assert_int_equal(fa_checkpoint_rollback(w, shared.other), FA_ERROR_STALE);
    assert_int_equal(fa_checkpoint_rollback(w, shared.checkpoint), FA_OK);
    fa_checkpoint forged = fa_checkpoint_take(w);
    forged.taken += 1000; // never taken
    assert_int_equal(fa_checkpoint_rollback(w, forged), FA_ERROR_STALE);
    end(fa);
    begin(fa);
    (void)fa_frame_alloc(w, 1000);
    assert_int_equal(fa_checkpoint_rollback(w, shared.checkpoint), FA_ERROR_STALE);
    end(fa);
    assert_int_equal(fa_checkpoint_rollback(w, shared.checkpoint), FA_ERROR_STALE);
    assert_int_equal(stats_of(fa).frame_bytes, 1008);
    destroy_quiet(fa, &to);
}

// Random sequences against a model --------------------------------------------------------------------------------------

enum { MODEL_PIECES = 600, MODEL_CHECKPOINTS = 40 };

typedef struct model_piece {
    unsigned char *memory;
    uint32_t size;
    uint32_t key;
} model_piece;

typedef struct model {
    model_piece pieces[MODEL_PIECES]; // alive, oldest first
    uint32_t count;
    uint32_t keys;
    struct {
        fa_checkpoint checkpoint;
        uint32_t count; // pieces then alive
        bool live;
    } taken[MODEL_CHECKPOINTS]; // in a ring
    uint32_t takes;
} model;

static void model_check(const model *m)
{
    for (uint32_t i = 0; i < m->count; i++) EXPECT(is_filled(m->pieces[i].memory, m->pieces[i].size, m->pieces[i].key));
}

static void model_allocate(model *m, fa_worker *w, rng *from)
{
    if (m->count == MODEL_PIECES) return;
    model_piece *piece = &m->pieces[m->count++];
    uint32_t dice = rng_below(from, 100);
    uint32_t most = dice < 80 ? 400 : dice < 97 ? 100000 : 1500000;
    piece->size = 1 + rng_below(from, most);
    piece->key = ++m->keys;
    size_t align = (size_t)1 << rng_below(from, 12);
    piece->memory = rng_below(from, 3) == 0 ? fa_scope_alloc_aligned(w, piece->size, align)
                                            : fa_frame_alloc_aligned(w, piece->size, align);
    EXPECT(piece->memory != NULL && (uintptr_t)piece->memory % align == 0);
    fill(piece->memory, piece->size, piece->key);
}

static void model_rollback(model *m, fa_worker *w, uint32_t which)
{
    bool live = m->taken[which].live;
    EXPECT(fa_checkpoint_rollback(w, m->taken[which].checkpoint) == (live ? FA_OK : FA_ERROR_STALE));
    if (!live) return;
    fa_checkpoint now = fa_checkpoint_take(w), then = m->taken[which].checkpoint;
    EXPECT(now.frame.cursor == then.frame.cursor && now.frame.spans == then.frame.spans);
    EXPECT(now.scope.cursor == then.scope.cursor && now.scope.spans == then.scope.spans);
    m->count = m->taken[which].count;
    for (uint32_t i = 0; i < MODEL_CHECKPOINTS; i++)
        if (m->taken[i].checkpoint.taken > m->taken[which].checkpoint.taken) m->taken[i].live = false;
}

static void run_model(fa_worker *w, rng *from, uint32_t steps)
{
    model *m = calloc(1, sizeof *m);
    for (uint32_t step = 0; step < steps; step++) {
        uint32_t dice = rng_below(from, 100), slot = m->takes % MODEL_CHECKPOINTS;
        if (dice < 70) {
            model_allocate(m, w, from);
        } else if (dice < 88) {
            m->taken[slot].checkpoint = fa_checkpoint_take(w);
            m->taken[slot].count = m->count;
            m->taken[slot].live = true;
            m->takes++;
        } else if (m->takes >= MODEL_CHECKPOINTS) {
            // Mostly one of the latest, so that something stays.
            uint32_t back = rng_below(from, 4) == 0 ? rng_below(from, MODEL_CHECKPOINTS) : rng_below(from, 8);
            model_rollback(m, w, (m->takes - 1 - back) % MODEL_CHECKPOINTS);
        }
        if (step % 16 == 0) model_check(m);
    }
    model_check(m);
    free(m);
}

typedef struct model_call {
    uint64_t seed;
    atomic_uint calls;
} model_call;

static void run_model_job(fa_worker *w, void *arg)
{
    model_call *call = arg;
    rng from = {call->seed + atomic_fetch_add(&call->calls, 1u)};
    run_model(w, &from, ROUNDS(400));
}

static void random_sequences(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    rng from = {test_seed()};
    model_call call = {from.state + 1, 0};
    for (int frame = 0; frame < ROUNDS(8); frame++) {
        begin(fa);
        for (int i = 0; i < 6; i++) assert_int_equal(fa_submit(fa_self(fa), run_model_job, &call), FA_OK);
        run_model(fa_self(fa), &from, ROUNDS(1500));
        end(fa);
    }
    destroy_quiet(fa, &to);
}

// Retained allocations ----------------------------------------------------------------------------------------------------

static void retain(fa_worker *w, uint64_t user)
{
    fa_retain how = {.to = FA_RETAIN_DISCARD, .user = user};
    EXPECT(fa_frame_retained(w, 40, 8, &how) != NULL);
}

static void retain_some(fa_worker *w, void *arg)
{
    (void)arg;
    retain(w, 1);
    fa_checkpoint outer = fa_checkpoint_take(w);
    retain(w, 100);
    fa_checkpoint inner = fa_checkpoint_take(w);
    retain(w, 101);
    EXPECT(fa_checkpoint_rollback(w, inner) == FA_OK);
    retain(w, 102);
    EXPECT(fa_checkpoint_rollback(w, outer) == FA_OK);
    retain(w, 2);
    inner = fa_checkpoint_take(w);
    retain(w, 103);
    EXPECT(fa_checkpoint_rollback(w, inner) == FA_OK);
    retain(w, 3);
}

static void retained_go_with_it(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_frame_result result;
    for (int round = 0; round < 3; round++) {
        begin(fa);
        if (round == 0)
            retain_some(fa_self(fa), NULL);
        else
            assert_int_equal(fa_submit(fa_self(fa), retain_some, NULL), FA_OK);
        assert_int_equal(fa_frame_end(fa, &result), FA_OK);
        assert_int_equal(result.count, 3);
        for (uint32_t i = 0; i < 3; i++) assert_int_equal(result.items[i].user, i + 1);
    }
    destroy_quiet(fa, &to);
}

// Scopes ------------------------------------------------------------------------------------------------------------------

static void *leave_by_return(fa_worker *w, int *count)
{
    FA_SCOPE(w);
    (*count)++;
    return fa_scope_alloc(w, 1000);
}

static void ways_out(fa_worker *w, void *arg)
{
    (void)arg;
    int count = 0;
    unsigned char *first = fa_scope_alloc(w, 16), *frame_first = fa_frame_alloc(w, 16);
    void *next = first + 16;
    EXPECT(leave_by_return(w, &count) == next && leave_by_return(w, &count) == next && count == 2);
    for (int i = 0; i < 5; i++) {
        FA_SCOPE(w);
        EXPECT(fa_scope_alloc(w, 100) == next);
        if (i == 1) continue;
        EXPECT(fa_scope_alloc(w, 100) != NULL);
        if (i == 3) break;
    }
    {
        FA_SCOPE(w);
        EXPECT(fa_scope_alloc(w, 3 * MIB) != NULL && fa_scope_alloc(w, 300) == next);
        if (count == 2) goto out;
        EXPECT(false);
    }
out:
    EXPECT(fa_scope_alloc(w, 16) == next);
    for (int depth = 0; depth < 2; depth++) {
        FA_SCOPE(w);
        void *here = fa_scope_alloc(w, 5000);
        for (int i = 0; i < 2000; i++) {
            FA_SCOPE(w);
            EXPECT(fa_scope_alloc(w, 2000) == (void *)((unsigned char *)here + 5008));
            EXPECT(fa_frame_alloc(w, 16) != NULL); // not freed by scopes
        }
    }
    EXPECT((unsigned char *)fa_frame_alloc(w, 16) == frame_first + 16 * (1 + 4000));
    fa_scope by_hand = fa_scope_begin(w);
    void *p = fa_scope_alloc(w, 64);
    fa_scope_end(&by_hand);
    EXPECT(fa_scope_alloc(w, 64) == p);
}

static void scopes_end_on_every_way_out(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    for (int round = 0; round < 3; round++) {
        begin(fa);
        everyone(fa, ways_out, NULL);
        end(fa);
    }
    destroy_quiet(fa, &to);
}

typedef struct scope_starts {
    void *of_lane[256]; // where a job's scope memory begins; each lane touches its own
} scope_starts;

static void use_scope(fa_worker *w, void *arg)
{
    scope_starts *starts = arg;
    void *p = fa_scope_alloc(w, 100);
    EXPECT(p != NULL);
    if (starts->of_lane[w->index] == NULL) starts->of_lane[w->index] = p;
    EXPECT(starts->of_lane[w->index] == p);
    EXPECT(fa_scope_alloc(w, 50000) != NULL && fa_scope_alloc(w, 700 * KIB) != NULL);
}

static void jobs_free_their_scopes(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    scope_starts starts = {{NULL}};
    begin(fa);
    fa_counter counter = FA_COUNTER_INIT;
    for (int i = 0; i < 200; i++) assert_int_equal(fa_submit_counted(w, &counter, use_scope, &starts), FA_OK);
    assert_int_equal(fa_wait(w, &counter), FA_OK);
    void *mine = fa_scope_alloc(w, 16);
    if (at->workers == 0) assert_ptr_equal(mine, starts.of_lane[0]);
    end(fa);
    begin(fa); // the main lane's own went with the frame
    assert_ptr_equal(fa_scope_alloc(w, 16), mine);
    end(fa);
    destroy_quiet(fa, &to);
}

// Waiting -----------------------------------------------------------------------------------------------------------------

typedef struct inner_work {
    unsigned char *small, *large;
    uint64_t key;
    bool deeper;
} inner_work;

static void inner_job(fa_worker *w, void *arg)
{
    inner_work *work = arg;
    fa_checkpoint start = fa_checkpoint_take(w);
    (void)fa_frame_alloc(w, 30000);
    EXPECT(fa_checkpoint_rollback(w, start) == FA_OK);
    work->small = fa_frame_alloc(w, 2000);
    work->large = fa_frame_alloc(w, 600 * KIB);
    fill(work->small, 2000, work->key);
    fill(work->large, 600 * KIB, work->key + 1);
    (void)fa_scope_alloc(w, 10000);
    retain(w, work->key);
    if (work->deeper) {
        static inner_work deepest; // of one job at a time
        deepest = (inner_work){.key = 77};
        fa_counter counter = FA_COUNTER_INIT;
        EXPECT(fa_submit_counted(w, &counter, inner_job, &deepest) == FA_OK);
        EXPECT(fa_wait(w, &counter) == FA_OK);
        EXPECT(is_filled(deepest.small, 2000, 77));
    }
}

static void waiting_outer(fa_worker *w, void *arg)
{
    inner_work *inner = arg;
    unsigned char *kept = fa_frame_alloc(w, 1000), *scope_kept = fa_scope_alloc(w, 1000);
    fill(kept, 1000, 10);
    fill(scope_kept, 1000, 11);
    fa_checkpoint before = fa_checkpoint_take(w);
    unsigned char *dropped = fa_frame_alloc(w, 1000), *scope_dropped = fa_scope_alloc(w, 1000);
    fill(dropped, 1000, 12);
    fill(scope_dropped, 1000, 13);
    retain(w, 1000); // forgotten by the rollback below
    fa_counter counter = FA_COUNTER_INIT;
    for (int i = 0; i < 3; i++) EXPECT(fa_submit_counted(w, &counter, inner_job, &inner[i]) == FA_OK);
    EXPECT(fa_wait(w, &counter) == FA_OK);
    EXPECT(is_filled(dropped, 1000, 12) && is_filled(scope_dropped, 1000, 13));
    EXPECT(fa_scope_alloc(w, 16) == (void *)(scope_dropped + 1008)); // theirs is gone
    unsigned char *later = fa_frame_alloc(w, 1000);
    fill(later, 1000, 14);
    EXPECT(fa_checkpoint_rollback(w, before) == FA_OK);
    for (int i = 0; i < 200; i++) memset(fa_frame_alloc(w, 10000), 0xee, 10000);
    for (int i = 0; i < 3; i++) memset(fa_frame_alloc(w, 600 * KIB), 0xee, 600 * KIB);
    for (uint64_t i = 0; i < 3; i++) {
        EXPECT(is_filled(inner[i].small, 2000, inner[i].key));
        EXPECT(is_filled(inner[i].large, 600 * KIB, inner[i].key + 1));
    }
    EXPECT(is_filled(kept, 1000, 10) && is_filled(scope_kept, 1000, 11));
    retain(w, 1001);
}

static void run_waiting(const test_case *at, bool in_a_job)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    for (int round = 0; round < ROUNDS(8); round++) {
        inner_work inner[3] = {{.key = 20, .deeper = round % 2 == 1}, {.key = 30}, {.key = 40}};
        fa_frame_result result;
        begin(fa);
        if (in_a_job)
            assert_int_equal(fa_submit(fa_self(fa), waiting_outer, inner), FA_OK);
        else
            waiting_outer(fa_self(fa), inner);
        assert_int_equal(fa_frame_end(fa, &result), FA_OK);
        assert_int_equal(result.count, round % 2 == 1 ? 5 : 4);
        for (uint32_t i = 0; i < result.count; i++) assert_int_not_equal(result.items[i].user, 1000);
    }
    destroy_quiet(fa, &to);
}

static void inner_jobs_keep_their_memory(const test_case *at)
{
    run_waiting(at, true);
}

static void jobs_run_by_the_main_lane_keep_their_memory(const test_case *at)
{
    run_waiting(at, false);
}

typedef struct long_argument {
    unsigned char bytes[300];
    uint64_t key;
    atomic_uint *ran;
} long_argument;

static void check_argument(fa_worker *w, void *arg)
{
    const long_argument *argument = arg;
    (void)w;
    EXPECT(is_filled(argument->bytes, sizeof argument->bytes, argument->key));
    atomic_fetch_add(argument->ran, 1u);
}

static void submit_and_roll_back(fa_worker *w, void *arg)
{
    static const uint32_t flags[] = {FA_JOB_ANY, FA_JOB_MAIN};
    fa_checkpoint before = fa_checkpoint_take(w);
    long_argument arguments[2] = {{.ran = arg}, {.ran = arg}};
    for (int i = 0; i < 2; i++) {
        arguments[i].key = 40 + (uint64_t)i;
        fill(arguments[i].bytes, sizeof arguments[i].bytes, arguments[i].key);
        fa_job job = {.fn = check_argument, .arg = &arguments[i], .arg_size = sizeof arguments[i], .flags = flags[i]};
        EXPECT(fa_submit_job(w, &job) == FA_OK);
    }
    EXPECT(fa_submit_many(w, NULL, check_argument, arguments, sizeof arguments[0], 2) == FA_OK);
    EXPECT(fa_checkpoint_rollback(w, before) == FA_OK);
    for (int i = 0; i < 100; i++) memset(fa_frame_alloc(w, 100), 0xee, 100);
}

/// Arguments that were copied belong to the job, not to who submitted it.
static void queued_arguments_survive(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    for (int round = 0; round < 20; round++) {
        atomic_uint ran = 0;
        begin(fa);
        submit_and_roll_back(fa_self(fa), &ran);
        assert_int_equal(fa_submit(fa_self(fa), submit_and_roll_back, &ran), FA_OK);
        end(fa);
        assert_int_equal(atomic_load(&ran), 8);
    }
    destroy_quiet(fa, &to);
}

/// A scope that is left after its memory went with the frame frees what was allocated since, as far as it can tell, and nothing else.
static void scopes_around_a_reset(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    begin(fa);
    unsigned char *first = fa_scope_alloc(w, KIB);
    for (int i = 1; i < 2040; i++) assert_non_null(fa_scope_alloc(w, KIB));
    fa_scope scope = fa_scope_begin(w); // near the end of the block
    end(fa);
    for (size_t i = 0; i < 4; i++) assert_ptr_equal(fa_scope_alloc(w, 500 * KIB), first + i * 500 * KIB);
    assert_non_null(fa_scope_alloc(w, 500 * KIB)); // in a second block
    fa_scope_end(&scope);
    assert_ptr_equal(fa_scope_alloc(w, KIB), first + 2000 * KIB);

    scope = fa_scope_begin(w);
    begin(fa);
    end(fa);
    assert_null(fa_scope_alloc(w, SIZE_MAX / 2)); // gives back the block of the scope's begin
    unsigned char *other = fa_heap_alloc(w, 2 * MIB, 16);
    fill(other, 2 * MIB, 1);
    unsigned char *p = fa_scope_alloc(w, KIB);
    fa_scope_end(&scope);
    unsigned char *q = fa_scope_alloc(w, KIB);
    fill(p, KIB, 2);
    fill(q, KIB, 3);
    assert_true(is_filled(other, 2 * MIB, 1));
    fa_heap_free(w, other);
    assert_reported(&to, 3, 1);
    destroy_quiet(fa, &to);
}

int main(int argc, char **argv)
{
    const test_entry entries[] = {
        EACH_OF(nested, COUNTED("02"), "ny"),
        EACH_OF(from_nothing, COUNTED("02"), "ny"),
        EACH(limits_outlast_it),
        EACH_OF(rolled_back_past, "01", "ny"),
        EACH_OF(rolled_back_past_before_a_wait, "1", "ny"),
        EACH_OF(many_levels_unwind, "01", "ny"),
        EACH_OF(of_another_job_lane_or_frame, COUNTED("0124"), "ny"),
        EACH(random_sequences),
        EACH(retained_go_with_it),
        EACH_OF(abandoned_stay_abandoned, "01", "ny"),
        EACH_OF(a_scope_gives_its_block_away, "0", "ny"),
        EACH_OF(stale_without_memory, "0", "ny"),
        EACH(scopes_end_on_every_way_out),
        EACH(jobs_free_their_scopes),
        EACH(inner_jobs_keep_their_memory),
        EACH(jobs_run_by_the_main_lane_keep_their_memory),
        EACH(scopes_around_a_reset),
        EACH(queued_arguments_survive),
    };
    return RUN_MATRIX("checkpoint", entries, argc, argv);
}
