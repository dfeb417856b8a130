// SPDX-License-Identifier: MIT
//
// Guards: objects that free themselves, checkpoints that roll back, and speculation, by every way out of a block and on every lane.
#include "support.h"

// Objects ---------------------------------------------------------------------------------------------------------------

typedef struct drops {
    uint32_t count;
    void *last;
    uint64_t value; // of what was dropped, read before it was freed
} drops;

static void note_drop(void *object, void *context)
{
    drops *to = context;
    to->count++;
    to->last = object;
    to->value = *(uint64_t *)object;
}

enum way { BY_END, BY_RETURN, BY_BREAK, BY_CONTINUE, BY_GOTO, WAYS };

/// One pool and one heap object, left by `out`.
static void leave_block(fa_worker *w, enum way out, drops *pool_drops, drops *heap_drops)
{
    for (int i = 0; i < 1; i++) {
        FA_POOL_AUTO(w, uint64_t, pool);
        FA_HEAP_AUTO(w, uint64_t, heap);
        FA_POOL_AUTO_ARRAY(w, uint64_t, 100, many);
        FA_HEAP_AUTO_ARRAY(w, uint64_t, 20000, big);
        EXPECT(pool != NULL && heap != NULL && many != NULL && big != NULL);
        *pool = 5; // cppcheck-suppress nullPointerRedundantCheck; the line above does not return when it is not so
        *heap = 6;
        many[99] = big[19999] = 1;
        fa_auto_on_drop(pool, note_drop, pool_drops);
        fa_auto_on_drop(heap, note_drop, heap_drops);
        if (out == BY_RETURN) return;
        if (out == BY_BREAK) break;
        if (out == BY_CONTINUE) continue;
        if (out == BY_GOTO) goto outside;
    }
outside:;
}

static void leave_by_all_ways(fa_worker *w, void *arg)
{
    (void)arg;
    for (enum way out = BY_END; out < WAYS; out++) {
        drops pool_drops = {0}, heap_drops = {0};
        leave_block(w, out, &pool_drops, &heap_drops);
        EXPECT(pool_drops.count == 1 && pool_drops.value == 5);
        EXPECT(heap_drops.count == 1 && heap_drops.value == 6);
    }
}

static void objects_go_by_every_way_out(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    for (int round = 0; round < 20; round++) {
        begin(fa);
        everyone(fa, leave_by_all_ways, NULL);
        end(fa);
        assert_int_equal(stats_of(fa).pool_live, 0);
        assert_int_equal(stats_of(fa).heap_live, 0);
        assert_int_equal(stats_of(fa).remote_frees, 0); // each on the lane that made it
    }
    destroy_quiet(fa, &to); // neither a leak nor a free to the wrong account
}

static uint64_t *keep(fa_worker *w, drops *seen)
{
    FA_POOL_AUTO(w, uint64_t, object);
    if (object == NULL) return NULL;
    *object = 9;
    fa_auto_on_drop(object, note_drop, seen);
    uint64_t *kept = fa_auto_release(object);
    EXPECT(kept == object && fa_auto_release(object) == NULL);
    return kept;
}

static void released_objects_stay(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    drops seen = {0};
    begin(fa);
    uint64_t *kept = keep(w, &seen);
    assert_non_null(kept);
    assert_int_equal(*kept, 9);
    assert_int_equal(seen.count, 0);
    end(fa);
    assert_int_equal(stats_of(fa).pool_live, 1);
    fa_pool_free(w, kept);
    destroy_quiet(fa, &to);
}

static void guards_without_object(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    drops seen = {0};
    {
        FA_POOL_AUTO(NULL, uint64_t, none);
        FA_HEAP_AUTO(NULL, uint64_t, nothing);
        FA_POOL_AUTO_ARRAY(w, uint64_t, 0, empty);
        FA_HEAP_AUTO_ARRAY(w, uint64_t, (size_t)1 << 40, huge);
        assert_true(none == NULL && nothing == NULL && empty == NULL && huge == NULL);
        fa_auto_on_drop(huge, note_drop, &seen);
        assert_null(fa_auto_release(none));
    }
    assert_int_equal(seen.count, 0);
    assert_reported(&to, 301, 1);
    {
        FA_POOL_AUTO_ARRAY(w, uint64_t, SIZE_MAX / 8 + 2, wraps);
        assert_null(wraps);
    }
    assert_reported(&to, 914, 1);
    fa_auto twice = fa_auto_pool(w, 1, 8, 8);
    fa_auto_end(&twice);
    fa_auto_end(&twice);
    fa_auto_end(NULL);
    destroy_quiet(fa, &to);
}

// Checkpoints -----------------------------------------------------------------------------------------------------------

static void work(fa_worker *w, size_t size)
{
    void *frame = fa_frame_alloc(w, size), *scope = fa_scope_alloc(w, size);
    EXPECT(frame != NULL && scope != NULL);
    fill(frame, size, 1);
    fill(scope, size, 2);
}

static void checkpoint_block(fa_worker *w, enum way out, bool commit)
{
    for (int i = 0; i < 1; i++) {
        FA_CHECKPOINT(w, guess);
        work(w, 1000);
        if (commit) fa_checkpoint_commit(&guess);
        if (out == BY_RETURN) return;
        if (out == BY_BREAK) break;
        if (out == BY_CONTINUE) continue;
        if (out == BY_GOTO) goto outside;
    }
outside:;
}

static void checkpoint_all_ways(fa_worker *w, void *arg)
{
    (void)arg;
    for (enum way out = BY_END; out < WAYS; out++) {
        unsigned char *before = fa_frame_alloc(w, 16);
        checkpoint_block(w, out, false);
        EXPECT(fa_frame_alloc(w, 16) == (void *)(before + 16));
        before = fa_frame_alloc(w, 16);
        checkpoint_block(w, out, true);
        EXPECT(fa_frame_alloc(w, 16) == (void *)(before + 16 + 1008));
    }
}

static void checkpoint_guards_roll_back_unless_committed(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    begin(fa);
    everyone(fa, checkpoint_all_ways, NULL);
    end(fa);
    // 15 pieces of 16 bytes and 5 kept ones a lane
    assert_int_equal(stats_of(fa).frame_bytes, (at->workers + 1) * (5 * 4 * 16 + 5 * 1008));
    destroy_quiet(fa, &to);
}

static void checkpoint_guards_nest(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    for (uint32_t commits = 0; commits < 4; commits++) {
        begin(fa);
        (void)fa_frame_alloc(w, 16);
        {
            FA_CHECKPOINT(w, outer);
            (void)fa_frame_alloc(w, 32);
            {
                FA_CHECKPOINT(w, inner);
                (void)fa_frame_alloc(w, 64);
                if (commits & 1) fa_checkpoint_commit(&inner);
            }
            (void)fa_frame_alloc(w, 128);
            if (commits & 2) fa_checkpoint_commit(&outer);
        }
        end(fa);
        uint64_t inner = commits & 1 ? 64 : 0;
        assert_int_equal(stats_of(fa).frame_bytes, 16 + (commits & 2 ? 32 + 128 + inner : 0));
    }
    destroy_quiet(fa, &to);
}

static void guards_of_the_past_do_nothing(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    begin(fa);
    {
        FA_CHECKPOINT(w, spans_frames);
        (void)fa_frame_alloc(w, 64);
        end(fa);
        begin(fa);
        (void)fa_frame_alloc(w, 128);
    }
    {
        FA_CHECKPOINT(w, outer);
        (void)fa_frame_alloc(w, 256);
        {
            FA_CHECKPOINT(w, inner);
            assert_int_equal(fa_checkpoint_rollback(w, outer.checkpoint), FA_OK);
            (void)fa_frame_alloc(w, 512); // after the rollback: the inner one must not touch it
            (void)inner;
        }
        fa_checkpoint_commit(&outer);
    }
    {
        FA_CHECKPOINT(NULL, none);
        fa_checkpoint_guard_end(NULL);
    }
    end(fa);
    assert_int_equal(stats_of(fa).frame_bytes, 128 + 512);
    destroy_quiet(fa, &to);
}

static void rollback_drops_what_was_retained(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    fa_retain retain = {.to = FA_RETAIN_POOL};
    begin(fa);
    retain.user = 1;
    assert_non_null(fa_frame_retained(w, 100, 16, &retain));
    {
        FA_CHECKPOINT(w, guess);
        retain.user = 2;
        assert_non_null(fa_frame_retained(w, 100, 16, &retain));
    }
    {
        FA_CHECKPOINT(w, guess);
        retain.user = 3;
        assert_non_null(fa_frame_retained(w, 100, 16, &retain));
        fa_checkpoint_commit(&guess);
    }
    fa_speculation result;
    FA_SPECULATE(w, result)
    {
        retain.user = 4;
        assert_non_null(fa_frame_retained(w, 100, 16, &retain));
    }
    fa_frame_result promoted;
    assert_int_equal(fa_frame_end(fa, &promoted), FA_OK);
    assert_int_equal(promoted.count, 2);
    assert_int_equal(promoted.items[0].user, 1);
    assert_int_equal(promoted.items[1].user, 3);
    for (uint32_t i = 0; i < 2; i++) fa_pool_free(w, promoted.items[i].to);
    destroy_quiet(fa, &to);
}

// Speculation -----------------------------------------------------------------------------------------------------------

typedef struct plan {
    int error;
    size_t size;
    struct plan *inner;
    fa_speculation inner_result;
} plan;

static int attempt(fa_worker *w, void *arg)
{
    plan *p = arg;
    work(w, p->size);
    if (p->inner != NULL) p->inner_result = fa_speculate(w, attempt, p->inner);
    return p->error;
}

static void speculate_job(fa_worker *w, void *arg)
{
    (void)arg;
    unsigned char *before = fa_frame_alloc(w, 16);
    plan p = {.error = 7, .size = 320};
    fa_speculation result = fa_speculate(w, attempt, &p);
    EXPECT(result.outcome == FA_OUTCOME_ROLLED_BACK && result.error == 7 && result.status == FA_OK);
    EXPECT(fa_frame_alloc(w, 16) == (void *)(before + 16));
    p.error = 0;
    result = fa_speculate(w, attempt, &p);
    EXPECT(result.outcome == FA_OUTCOME_KEPT && result.error == 0 && result.status == FA_OK);
    EXPECT(fa_frame_alloc(w, 16) == (void *)(before + 32 + 320));
}

static void speculation_keeps_or_rolls_back(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    begin(fa);
    everyone(fa, speculate_job, NULL);
    end(fa);
    assert_int_equal(stats_of(fa).frame_bytes, (at->workers + 1) * (48 + 320));
    destroy_quiet(fa, &to);
}

static void speculation_nests(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    for (int errors = 0; errors < 4; errors++) {
        plan inner = {.error = errors & 1, .size = 64}, outer = {.error = errors & 2, .size = 32, .inner = &inner};
        begin(fa);
        fa_speculation result = fa_speculate(w, attempt, &outer);
        end(fa);
        assert_int_equal(result.outcome, errors & 2 ? FA_OUTCOME_ROLLED_BACK : FA_OUTCOME_KEPT);
        assert_int_equal(outer.inner_result.outcome, errors & 1 ? FA_OUTCOME_ROLLED_BACK : FA_OUTCOME_KEPT);
        assert_int_equal(stats_of(fa).frame_bytes, errors & 2 ? 0 : 32 + (errors & 1 ? 0 : 64));
    }
    destroy_quiet(fa, &to);
}

static void block(fa_worker *w, enum way out, bool good, fa_speculation *result)
{
    FA_SPECULATE(w, *result)
    {
        work(w, 1000);
        if (good) fa_speculation_keep(result);
        if (out == BY_RETURN) return;
        if (out == BY_BREAK) break;
        if (out == BY_CONTINUE) continue;
        if (out == BY_GOTO) goto outside;
    }
outside:;
}

static void speculative_blocks(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    fa_speculation result;
    for (enum way out = BY_END; out < WAYS; out++) {
        begin(fa);
        block(w, out, false, &result);
        assert_int_equal(result.outcome, FA_OUTCOME_ROLLED_BACK);
        assert_int_equal(result.error, -1);
        assert_int_equal(result.status, FA_OK);
        block(w, out, true, &result);
        assert_int_equal(result.outcome, FA_OUTCOME_KEPT);
        assert_int_equal(result.error, 0);
        end(fa);
        assert_int_equal(stats_of(fa).frame_bytes, 1008);
    }
    begin(fa);
    FA_SPECULATE(w, result)
    {
        fa_speculation_keep(&result);
        result.error = 42; // thought better of it
    }
    assert_int_equal(result.outcome, FA_OUTCOME_ROLLED_BACK);
    assert_int_equal(result.error, 42);
    bool ran = false;
    FA_SPECULATE(NULL, result)
    {
        ran = true;
    }
    assert_false(ran);
    assert_int_equal(result.outcome, FA_OUTCOME_NOT_RUN);
    assert_int_equal(result.status, FA_ERROR_INVALID);
    end(fa);
    destroy_quiet(fa, &to);
}

static int end_the_frame(fa_worker *w, void *arg)
{
    fa_system *fa = arg;
    (void)w;
    EXPECT(fa_frame_end(fa, NULL) == FA_OK && fa_frame_begin(fa) == FA_OK);
    EXPECT(fa_frame_alloc(w, 64) != NULL);
    return 3;
}

static int roll_back_outer(fa_worker *w, void *arg)
{
    const fa_checkpoint *outer = arg;
    EXPECT(fa_checkpoint_rollback(w, *outer) == FA_OK);
    EXPECT(fa_frame_alloc(w, 128) != NULL);
    return 4;
}

static void refused_rollbacks_are_told(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    begin(fa);
    fa_speculation result = fa_speculate(w, end_the_frame, fa);
    assert_int_equal(result.outcome, FA_OUTCOME_REFUSED);
    assert_int_equal(result.status, FA_ERROR_STALE);
    assert_int_equal(result.error, 3);
    fa_checkpoint outer = fa_checkpoint_take(w);
    (void)fa_frame_alloc(w, 256);
    result = fa_speculate(w, roll_back_outer, &outer);
    assert_int_equal(result.outcome, FA_OUTCOME_REFUSED);
    assert_int_equal(result.status, FA_ERROR_STALE);
    assert_int_equal(result.error, 4);
    end(fa);
    assert_int_equal(stats_of(fa).frame_bytes, 64 + 128); // nothing that came after was freed
    result = fa_speculate(NULL, end_the_frame, fa);
    assert_int_equal(result.outcome, FA_OUTCOME_NOT_RUN);
    assert_int_equal(result.status, FA_ERROR_INVALID);
    result = fa_speculate(w, NULL, fa);
    assert_int_equal(result.outcome, FA_OUTCOME_NOT_RUN);
    destroy_quiet(fa, &to);
}

// While another lane works ----------------------------------------------------------------------------------------------

static void small_job(fa_worker *w, void *arg)
{
    uint64_t *sum = arg;
    uint64_t *p = fa_frame_array(w, uint64_t, 50);
    EXPECT(p != NULL);
    if (p == NULL) return;
    for (uint64_t i = 0; i < 50; i++) p[i] = i;
    for (uint64_t i = 0; i < 50; i++) *sum += p[i];
}

static void speculate_and_wait(fa_worker *w, void *arg)
{
    (void)arg;
    for (int round = 0; round < 50; round++) {
        uint64_t sums[4] = {0};
        fa_speculation result;
        FA_SPECULATE(w, result)
        {
            uint64_t *mine = fa_frame_new(w, uint64_t);
            FA_POOL_AUTO(w, uint64_t, object);
            EXPECT(mine != NULL && object != NULL);
            if (mine == NULL || object == NULL) break;
            *mine = *object = 77;
            fa_counter counter = FA_COUNTER_INIT;
            for (int i = 0; i < 4; i++) {
                fa_job job = {.fn = small_job, .arg = &sums[i], .counter = &counter};
                EXPECT(fa_submit_job(w, &job) == FA_OK);
            }
            EXPECT(fa_wait(w, &counter) == FA_OK);
            EXPECT(*mine == 77 && *object == 77);
            if (round % 2) fa_speculation_keep(&result);
        }
        EXPECT(result.outcome == (round % 2 ? FA_OUTCOME_KEPT : FA_OUTCOME_ROLLED_BACK));
        for (int i = 0; i < 4; i++) EXPECT(sums[i] == 1225);
    }
}

static void speculation_on_all_lanes_with_waits(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    for (int round = 0; round < ROUNDS(20); round++) {
        begin(fa);
        everyone(fa, speculate_and_wait, NULL);
        end(fa);
        assert_int_equal(stats_of(fa).pool_live, 0);
    }
    destroy_quiet(fa, &to);
}

int main(int argc, char **argv)
{
    static const test_entry tests[] = {
        EACH_OF(objects_go_by_every_way_out, COUNTED("0124"), "ny"),
        EACH_OF(released_objects_stay, COUNTED("0"), "ny"),
        EACH_OF(guards_without_object, "0", "ny"),
        EACH_OF(checkpoint_guards_roll_back_unless_committed, COUNTED("0124"), "ny"),
        EACH_OF(checkpoint_guards_nest, COUNTED("0"), "ny"),
        EACH_OF(guards_of_the_past_do_nothing, COUNTED("0"), "ny"),
        EACH_OF(rollback_drops_what_was_retained, "0", "ny"),
        EACH_OF(speculation_keeps_or_rolls_back, COUNTED("0124"), "ny"),
        EACH_OF(speculation_nests, COUNTED("0"), "ny"),
        EACH_OF(speculative_blocks, COUNTED("0"), "ny"),
        EACH_OF(refused_rollbacks_are_told, COUNTED("0"), "ny"),
        EACH_OF(speculation_on_all_lanes_with_waits, COUNTED("0124"), "ny"),
    };
    return RUN_MATRIX("guard", tests, argc, argv);
}
