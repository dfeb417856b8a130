// SPDX-License-Identifier: MIT
//
// Tags, budgets and phases: who pays for what, on all lanes, whoever frees it; what a budget refuses; what a phase lists.
#include "support.h"

#include <pthread.h>

static uint64_t held(const fa_system *fa, fa_tag tag)
{
    fa_tag_stats stats = tag_stats(fa, tag);
    uint64_t sum = 0;
    for (uint32_t use = 0; use < FA_TAG_USES; use++) sum += stats.held[use];
    return sum;
}

// Names -----------------------------------------------------------------------------------------------------------------

static void names_are_paths(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    fa_tag shadows = tag_of(fa, "render::shadows"), render = tag_of(fa, "render");
    assert_int_not_equal(shadows.id, render.id);
    assert_int_equal(tag_of(fa, "render::shadows").id, shadows.id);
    assert_string_equal(fa_tag_path(fa, shadows), "render::shadows");
    assert_string_equal(fa_tag_path(fa, (fa_tag){0}), "");
    {
        FA_TAG(w, "render");
        assert_int_equal(fa_tag_current(w).id, render.id);
        {
            FA_TAG(w, "shadows");
            assert_int_equal(fa_tag_current(w).id, shadows.id);
        }
        assert_int_equal(fa_tag_current(w).id, render.id);
        FA_TAG_AT(w, shadows);
        assert_int_equal(fa_tag_current(w).id, shadows.id);
    }
    assert_int_equal(fa_tag_current(w).id, 0);
    bool seen_render = false, seen_shadows = false;
    for (uint32_t n = 0; fa_tag_at(fa, n).id != 0; n++) {
        seen_render |= fa_tag_at(fa, n).id == render.id;
        seen_shadows |= fa_tag_at(fa, n).id == shadows.id;
    }
    assert_true(seen_render && seen_shadows);
    assert_int_equal(fa_tag_at(fa, 2).id, 0);
    destroy_quiet(fa, &to);
}

static void two_systems_share_no_tags(const test_case *at)
{
    sink to, to_other;
    fa_system *fa = create_case(at, &to), *other = create_case(at, &to_other);
    fa_tag tag = tag_of(fa, "mine");
    fa_tag_scope scope = fa_tag_begin(fa_self(fa), "mine");
    assert_int_equal(fa_tag_current(fa_self(other)).id, 0);
    assert_null(fa_tag_path(other, tag));
    void *p = fa_pool_alloc(fa_self(other), 100);
    assert_int_equal(held(fa, tag), 0);
    fa_pool_free(fa_self(other), p);
    fa_tag_end(&scope);
    destroy_quiet(other, &to_other);
    destroy_quiet(fa, &to);
}

static int leave_by(fa_worker *w, int way)
{
    for (int i = 0; i < 2; i++) {
        FA_TAG(w, "inner");
        EXPECT(strcmp(fa_tag_path(w->system, fa_tag_current(w)), "inner") == 0);
        if (way == 0) return 0;
        if (way == 1) break;
        if (way == 2) continue;
        if (way == 3) goto out;
    }
out:
    return 1;
}

static void scopes_end_on_every_way_out(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    for (int way = 0; way < 4; way++) {
        (void)leave_by(fa_self(fa), way);
        assert_int_equal(fa_tag_current(fa_self(fa)).id, 0);
    }
    fa_tag_scope first = fa_tag_begin(fa_self(fa), "first");
    fa_tag_end(&first);
    fa_tag_scope second = fa_tag_begin(fa_self(fa), "second");
    fa_tag_end(&first); // has ended, and ends nothing
    assert_int_equal(fa_tag_current(fa_self(fa)).id, tag_of(fa, "second").id);
    fa_tag_end(&second);
    destroy_quiet(fa, &to);
}

static void names_that_are_none(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    fa_tag tag = {7};
    char longest[FA_PATH_MAX + 2];
    memset(longest, 'x', sizeof longest);
    longest[FA_PATH_MAX + 1] = '\0';
    static const char *const wrong[] = {"", "::", "a::", "::a", "a::::b", NULL};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        tag.id = 7;
        assert_int_equal(fa_tag_find(fa, wrong[i], &tag), FA_ERROR_INVALID);
        assert_int_equal(tag.id, 0);
    }
    assert_int_equal(fa_tag_find(fa, longest, &tag), FA_ERROR_INVALID);
    longest[FA_PATH_MAX] = '\0';
    assert_int_equal(fa_tag_find(fa, longest, &tag), FA_OK);
    fa_tag none = {7};
    assert_int_equal(fa_tag_find(NULL, "a", &none), FA_ERROR_INVALID);
    assert_int_equal(none.id, 0);
    assert_int_equal(fa_tag_find(fa, "a", NULL), FA_ERROR_INVALID);
    assert_null(fa_tag_path(NULL, tag));
    assert_null(fa_tag_path(fa, (fa_tag){200}));
    assert_null(fa_tag_path(fa, (fa_tag){UINT32_MAX}));
    assert_int_equal(fa_tag_at(NULL, 0).id, 0);
    assert_int_equal(fa_tag_current(NULL).id, 0);
    assert_quiet(&to);
    static const char *const no_names[] = {"", "a::b", NULL};
    for (size_t i = 0; i < sizeof no_names / sizeof no_names[0]; i++) {
        fa_tag_scope scope = fa_tag_begin(w, no_names[i]);
        assert_int_equal(fa_tag_current(w).id, 0);
        assert_reported(&to, 912, 1);
        fa_tag_end(&scope);
        fa_tag_end(&scope);
        assert_quiet(&to);
    }
    fa_tag_scope scope = fa_tag_begin_at(w, (fa_tag){200});
    assert_reported(&to, 912, 1);
    fa_tag_end(&scope);
    scope = fa_tag_begin(NULL, "a");
    fa_tag_end(&scope);
    fa_tag_end(NULL);
    fa_tag_stats stats;
    assert_int_equal(fa_tag_stats_read(fa, (fa_tag){0}, &stats), FA_ERROR_INVALID);
    assert_int_equal(fa_tag_stats_read(fa, (fa_tag){UINT32_MAX}, &stats), FA_ERROR_INVALID);
    assert_int_equal(fa_tag_stats_read(fa, tag, NULL), FA_ERROR_INVALID);
    assert_int_equal(fa_tag_stats_read(NULL, tag, &stats), FA_ERROR_INVALID);
    assert_int_equal(fa_budget_set(fa, (fa_tag){0}, 0, 1), FA_ERROR_INVALID);
    assert_int_equal(fa_budget_set(fa, (fa_tag){99}, 0, 1), FA_ERROR_INVALID);
    assert_int_equal(fa_budget_set(NULL, tag, 0, 1), FA_ERROR_INVALID);
    assert_int_equal(fa_budget_set(fa, tag, 2, 1), FA_ERROR_INVALID);
    assert_int_equal(tag_stats(fa, tag).hard, 0);
    destroy_quiet(fa, &to);
}

static void a_full_table_is_an_answer(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    char name[16];
    fa_tag tag;
    for (uint32_t i = 0; i < FA_TAGS_MAX; i++) {
        snprintf(name, sizeof name, "t%u", i);
        tag_of(fa, name);
    }
    assert_int_equal(fa_tag_find(fa, "more", &tag), FA_ERROR_FULL);
    assert_int_equal(tag_of(fa, "t254").id, FA_TAGS_MAX);
    fa_tag_scope outer = fa_tag_begin(w, "t3");
    fa_tag before = fa_tag_current(w);
    fa_tag_scope scope = fa_tag_begin(w, "more");
    assert_int_equal(fa_tag_current(w).id, before.id);
    assert_reported(&to, 912, 1);
    fa_tag_end(&scope);
    assert_int_equal(fa_tag_current(w).id, before.id);
    fa_tag_end(&outer);
    destroy_quiet(fa, &to);
}

static void find_same_names(fa_worker *w, void *arg)
{
    _Atomic uint32_t(*ids)[64] = arg;
    for (uint32_t i = 0; i < 64; i++) {
        char path[32];
        fa_tag tag;
        snprintf(path, sizeof path, "race::%u", i);
        EXPECT(fa_tag_find(w->system, path, &tag) == FA_OK);
        uint32_t none = 0;
        if (!atomic_compare_exchange_strong(&(*ids)[i], &none, tag.id)) EXPECT(none == tag.id);
        EXPECT(strcmp(fa_tag_path(w->system, tag), path) == 0);
    }
}

static void lanes_that_race_for_a_name_get_one_tag(const test_case *at)
{
    for (int round = 0; round < ROUNDS(20); round++) {
        sink to;
        fa_system *fa = create_case(at, &to);
        static _Atomic uint32_t ids[64];
        for (uint32_t i = 0; i < 64; i++) atomic_store(&ids[i], 0u);
        begin(fa);
        everyone(fa, find_same_names, &ids);
        end(fa);
        for (uint32_t i = 0; i < 64; i++)
            for (uint32_t j = 0; j < i; j++) assert_int_not_equal(ids[i], ids[j]);
        destroy_quiet(fa, &to);
    }
}

// Attribution -----------------------------------------------------------------------------------------------------------

static void each_kind_is_attributed(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    fa_tag ai = tag_of(fa, "ai");
    begin(fa);
    void *small, *large, *heap, *span;
    assert_non_null(fa_frame_alloc(w, 1000)); // not the tag's
    {
        FA_TAG(w, "ai");
        assert_non_null(fa_frame_alloc(w, 1000));
        assert_non_null(fa_frame_alloc_aligned(w, 600 * KIB, 16)); // a span
        small = fa_pool_alloc(w, 100);
        large = fa_pool_alloc(w, 100 * KIB);
        heap = fa_heap_alloc(w, 5000, 0);
        span = fa_heap_alloc(w, 3 * MIB, 0);
    }
    void *other = fa_pool_alloc(w, 100), *freed = fa_pool_alloc(w, 112);
    assert_true(small && large && heap && span && other && freed);
    {
        FA_TAG(w, "ai");
        fa_pool_free(w, freed); // nobody's, whoever frees it
    }
    end(fa);
    fa_tag_stats stats = tag_stats(fa, ai);
    assert_string_equal(stats.path, "ai");
    assert_int_equal(stats.bytes[FA_TAG_FRAME], 1008 + 640 * KIB);
    assert_int_equal(stats.held[FA_TAG_FRAME], 0);
    assert_int_equal(stats.held[FA_TAG_POOL], 112 + 128 * KIB);
    assert_int_equal(stats.held[FA_TAG_HEAP], 5 * KIB + 4 * MIB);
    assert_int_equal(stats.total_allocs, 4);
    assert_int_equal(stats.total_bytes, 1008 + 640 * KIB + 112 + 128 * KIB + 5 * KIB + 4 * MIB);
    assert_true(stats.charged >= held(fa, ai) && stats.peak >= stats.charged);
    fa_pool_free(w, small);
    fa_pool_free(w, large);
    fa_heap_free(w, heap);
    fa_heap_free(w, span);
    begin(fa);
    end(fa);
    assert_int_equal(held(fa, ai), 0);
    assert_int_equal(tag_stats(fa, ai).bytes[FA_TAG_FRAME], 0);
    fa_pool_free(w, other);
    destroy_quiet(fa, &to);
}

enum { TAGGED_JOBS = 200 };

typedef struct tagged_job {
    void *kept[TAGGED_JOBS];
    const char *wanted;
} tagged_job;

static void allocate_tagged(fa_worker *w, void *arg)
{
    struct {
        tagged_job *all;
        uint32_t i;
    } *job = arg;
    EXPECT(strcmp(fa_tag_path(w->system, fa_tag_current(w)), job->all->wanted) == 0);
    EXPECT(fa_frame_alloc(w, 160) != NULL);
    job->all->kept[job->i] = fa_pool_alloc(w, 64);
    EXPECT(job->all->kept[job->i] != NULL);
    FA_TAG(w, "deep");
    EXPECT(fa_frame_alloc(w, 32) != NULL);
}

static void submit_tagged(fa_worker *w, tagged_job *all)
{
    for (uint32_t i = 0; i < TAGGED_JOBS; i++) {
        struct {
            tagged_job *all;
            uint32_t i;
        } job = {all, i};
        assert_int_equal(fa_submit_copy(w, NULL, allocate_tagged, &job, sizeof job), FA_OK);
    }
}

static void jobs_inherit_the_tag_of_their_submitter(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    fa_tag ai = tag_of(fa, "ai"), deep = tag_of(fa, "ai::deep"), sound = tag_of(fa, "sound");
    for (int round = 0; round < 20; round++) {
        tagged_job for_ai = {.wanted = "ai"}, for_sound = {.wanted = "sound"};
        begin(fa);
        {
            FA_TAG(w, "ai");
            submit_tagged(w, &for_ai);
        }
        {
            FA_TAG(w, "sound");
            submit_tagged(w, &for_sound);
        }
        end(fa);
        assert_int_equal(tag_stats(fa, ai).bytes[FA_TAG_FRAME], TAGGED_JOBS * 160);
        assert_int_equal(tag_stats(fa, deep).bytes[FA_TAG_FRAME], TAGGED_JOBS * 32);
        assert_int_equal(tag_stats(fa, sound).bytes[FA_TAG_FRAME], TAGGED_JOBS * 160);
        assert_int_equal(tag_stats(fa, ai).held[FA_TAG_POOL], TAGGED_JOBS * 64);
        assert_int_equal(tag_stats(fa, deep).held[FA_TAG_POOL], 0);
        assert_int_equal(tag_stats(fa, sound).held[FA_TAG_POOL], TAGGED_JOBS * 64);
        // Freed by the main lane, outside any tag, wherever they were allocated.
        for (uint32_t i = 0; i < TAGGED_JOBS; i++) {
            fa_pool_free(w, for_ai.kept[i]);
            fa_pool_free(w, for_sound.kept[i]);
        }
        begin(fa);
        end(fa);
        assert_int_equal(held(fa, ai), 0);
        assert_int_equal(held(fa, sound), 0);
    }
    assert_int_equal(fa_tag_current(w).id, 0);
    destroy_quiet(fa, &to);
}

static void tagged_fork(fa_worker *w, void *arg)
{
    (void)arg;
    EXPECT(strcmp(fa_tag_path(w->system, fa_tag_current(w)), "forks") == 0);
    EXPECT(fa_frame_alloc(w, 48) != NULL);
}

static void tagged_range(fa_worker *w, uint64_t first, uint64_t last, void *arg)
{
    (void)arg;
    EXPECT(strcmp(fa_tag_path(w->system, fa_tag_current(w)), "forks") == 0);
    for (uint64_t i = first; i < last; i++) {
        EXPECT(fa_frame_alloc(w, 16) != NULL);
        for (volatile int spin = 0; spin < 500; spin++) continue; // work for other lanes, too
    }
}

static void forks_and_loops_inherit_too(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    fa_tag forks = tag_of(fa, "forks");
    for (int round = 0; round < 10; round++) {
        begin(fa);
        {
            FA_TAG(w, "forks");
            fa_task tasks[30];
            for (int i = 0; i < 30; i++) assert_int_equal(fa_fork(w, &tasks[i], tagged_fork, NULL), FA_OK);
            for (int i = 30; i-- > 0;) fa_join(w, &tasks[i]);
            assert_int_equal(fa_parallel_for(w, 0, 5000, 7, tagged_range, NULL), FA_OK);
        }
        end(fa);
        assert_int_equal(tag_stats(fa, forks).bytes[FA_TAG_FRAME], 30 * 48 + 5000 * 16);
    }
    destroy_quiet(fa, &to);
}

static void leave_open(fa_worker *w, void *arg)
{
    (void)arg;
    (void)fa_tag_begin(w, "left");
    EXPECT(fa_phase_begin(w, "left") == FA_OK);
    EXPECT(strcmp(fa_phase_current(w), "left") == 0);
}

static void leave_phase_open(fa_worker *w, void *arg)
{
    (void)arg;
    EXPECT(fa_phase_begin(w, "alone") == FA_OK);
}

static void what_a_job_leaves_open_is_ended_and_reported(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    begin(fa);
    for (int i = 0; i < 100; i++) assert_int_equal(fa_submit(fa_self(fa), leave_open, NULL), FA_OK);
    end(fa);
    assert_reported(&to, 913, 100);
    assert_non_null(strstr(to.message, "open: tag left phase left"));
    assert_int_equal(fa_tag_current(fa_self(fa)).id, 0);
    begin(fa);
    assert_int_equal(fa_submit(fa_self(fa), leave_phase_open, NULL), FA_OK);
    end(fa);
    assert_reported(&to, 913, 1);
    assert_non_null(strstr(to.message, "open: phase alone"));
    destroy_quiet(fa, &to);
}

static void a_rollback_gives_back(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    fa_tag a = tag_of(fa, "a"), b = tag_of(fa, "b");
    for (int round = 0; round < 3; round++) {
        begin(fa);
        {
            FA_TAG(w, "a");
            fa_frame_alloc(w, 160);
            fa_checkpoint checkpoint = fa_checkpoint_take(w);
            fa_frame_alloc(w, 320);
            {
                FA_TAG_AT(w, b);
                fa_frame_alloc(w, 480);
                fa_checkpoint inner = fa_checkpoint_take(w);
                fa_frame_alloc(w, 64);
                assert_int_equal(fa_checkpoint_rollback(w, inner), FA_OK);
            }
            fa_frame_alloc(w, 16);
            assert_int_equal(tag_stats(fa, b).held[FA_TAG_FRAME], 480);
            if (round > 0) {
                assert_int_equal(fa_checkpoint_rollback(w, checkpoint), FA_OK);
                assert_int_equal(tag_stats(fa, b).held[FA_TAG_FRAME], 0);
                fa_frame_alloc(w, 32);
            }
        }
        end(fa);
        assert_int_equal(tag_stats(fa, a).bytes[FA_TAG_FRAME], round == 0 ? 160 + 320 + 16 : 160 + 32);
        assert_int_equal(tag_stats(fa, b).bytes[FA_TAG_FRAME], round == 0 ? 480 : 0);
        assert_int_equal(held(fa, a), 0);
        assert_int_equal(held(fa, b), 0);
    }
    destroy_quiet(fa, &to);
}

/// A rollback to the first of two stretches of the same tag: the tag began where it did, and the next rollback knows.
static void a_rollback_into_a_tag_leaves_its_beginning(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    fa_tag outer = tag_of(fa, "outer"), twice = tag_of(fa, "twice"), between = tag_of(fa, "between");
    begin(fa);
    {
        FA_TAG_AT(w, outer);
        assert_non_null(fa_frame_alloc(w, 32));
        fa_checkpoint before = fa_checkpoint_take(w);
        assert_non_null(fa_frame_alloc(w, 48));
        {
            FA_TAG_AT(w, twice);
            assert_non_null(fa_frame_alloc(w, 1024));
            fa_checkpoint inside = fa_checkpoint_take(w);
            assert_non_null(fa_frame_alloc(w, 1024));
            {
                FA_TAG_AT(w, between);
                assert_non_null(fa_frame_alloc(w, 512));
            }
            assert_non_null(fa_frame_alloc(w, 1024));
            assert_int_equal(fa_checkpoint_rollback(w, inside), FA_OK);
        }
        assert_int_equal(tag_stats(fa, twice).charged, 1024);
        assert_int_equal(fa_checkpoint_rollback(w, before), FA_OK);
        assert_int_equal(tag_stats(fa, twice).charged, 0);
        assert_int_equal(tag_stats(fa, between).charged, 0);
    }
    assert_int_equal(tag_stats(fa, outer).charged, 32);
    end(fa);
    assert_int_equal(tag_stats(fa, outer).bytes[FA_TAG_FRAME], 32);
    assert_int_equal(tag_stats(fa, twice).bytes[FA_TAG_FRAME], 0);
    assert_int_equal(tag_stats(fa, between).bytes[FA_TAG_FRAME], 0);
    destroy_quiet(fa, &to);
}

typedef struct leaver {
    fa_system *fa;
    fa_tag outer, first, second;
    bool idle;
} leaver;

/// Leaves its frame between a checkpoint and the rollback, which frees what came after that.
static void *leave_and_roll_back(void *arg)
{
    const leaver *l = arg;
    fa_worker *w;
    fa_frame frame;
    EXPECT(fa_attach(l->fa, &w) == FA_OK);
    EXPECT(fa_frame_hold(w, &frame) == FA_OK);
    {
        FA_TAG_AT(w, l->outer);
        for (uint32_t i = 0; i < 3; i++) {
            fa_checkpoint before = fa_checkpoint_take(w);
            EXPECT(fa_frame_alloc(w, 4096) != NULL);
            EXPECT((l->idle ? fa_idle_begin(w) : fa_quiescent(w)) == FA_OK);
            if (l->idle) EXPECT(fa_idle_end(w) == FA_OK);
            {
                FA_TAG_AT(w, l->first);
                EXPECT(fa_frame_alloc(w, 1024) != NULL);
                FA_TAG_AT(w, l->second);
                EXPECT(fa_frame_alloc(w, 512) != NULL);
            }
            EXPECT(fa_frame_alloc(w, 256) != NULL);
            EXPECT(fa_checkpoint_rollback(w, before) == FA_OK);
        }
    }
    EXPECT(fa_frame_drop(l->fa, frame) == FA_OK);
    EXPECT(fa_detach(w) == FA_OK);
    return NULL;
}

static void a_rollback_ends_where_the_frame_was_left(const test_case *at)
{
    for (int idle = 0; idle < 2; idle++) {
        sink to;
        fa_system *fa = create_case(at, &to);
        leaver l = {fa, tag_of(fa, "outer"), tag_of(fa, "first"), tag_of(fa, "second"), idle != 0};
        begin(fa);
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, leave_and_roll_back, &l), 0);
        pthread_join(thread, NULL);
        assert_int_equal(tag_stats(fa, l.outer).charged, 3 * 4096); // what is not freed is what is charged
        assert_int_equal(tag_stats(fa, l.first).charged, 0);
        assert_int_equal(tag_stats(fa, l.second).charged, 0);
        end(fa);
        assert_int_equal(stats_of(fa).frame_bytes, 3 * 4096);
        assert_int_equal(tag_stats(fa, l.outer).bytes[FA_TAG_FRAME], 3 * 4096);
        assert_int_equal(held(fa, l.outer), 0);
        destroy_quiet(fa, &to);
    }
}

// Budgets ---------------------------------------------------------------------------------------------------------------

static void equality_is_allowed_and_more_is_not(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    fa_tag tag = tag_of(fa, "small");
    assert_int_equal(fa_budget_set(fa, tag, 0, 1024), FA_OK);
    fa_tag_scope scope = fa_tag_begin_at(w, tag);
    void *objects[16];
    begin(fa);
    for (int i = 0; i < 16; i++) assert_non_null(objects[i] = fa_pool_alloc(w, 64));
    assert_quiet(&to);
    assert_null(fa_pool_alloc(w, 64));
    assert_reported(&to, 302, 1);
    assert_null(fa_pool_alloc(w, 16)); // once a frame
    assert_null(fa_heap_alloc(w, 16, 0));
    assert_null(fa_heap_alloc(w, 100 * KIB, 0));
    assert_null(fa_pool_alloc(w, 100 * KIB));
    assert_null(fa_frame_alloc(w, 16));
    assert_null(fa_frame_alloc(w, 3 * MIB));
    assert_quiet(&to);
    assert_int_equal(tag_stats(fa, tag).denied, 7);
    assert_int_equal(tag_stats(fa, tag).charged, 1024);
    fa_pool_free(w, objects[0]);
    assert_non_null(objects[0] = fa_pool_alloc(w, 64)); // the same, or as much of another size:
    fa_pool_free(w, objects[0]);
    fa_pool_free(w, objects[1]);
    assert_non_null(objects[0] = fa_pool_alloc(w, 128));
    end(fa);
    assert_int_equal(held(fa, tag), 1024);
    begin(fa);
    assert_null(fa_pool_alloc(w, 64));
    assert_reported(&to, 302, 1); // a new frame
    end(fa);
    fa_pool_free(w, objects[0]);
    for (int i = 2; i < 16; i++) fa_pool_free(w, objects[i]);
    begin(fa);
    assert_non_null(fa_frame_alloc(w, 1024)); // of what magazines hold, and what frees brought
    end(fa);
    assert_int_equal(held(fa, tag), 0);
    assert_int_equal(fa_budget_set(fa, tag, 0, 1000), FA_OK); // which is no multiple of what is allocated
    begin(fa);
    for (int i = 0; i < 15; i++) assert_non_null(objects[i] = fa_pool_alloc(w, 64));
    assert_null(fa_pool_alloc(w, 64));
    assert_reported(&to, 302, 1);
    assert_int_equal(tag_stats(fa, tag).charged, 15 * 64);
    for (int i = 0; i < 15; i++) fa_pool_free(w, objects[i]);
    end(fa);
    assert_int_equal(held(fa, tag), 0);
    fa_tag_end(&scope);
    destroy_quiet(fa, &to);
}

static void frame_memory_has_exact_budgets(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    fa_tag tag = tag_of(fa, "frame");
    assert_int_equal(fa_budget_set(fa, tag, 0, 200 * KIB), FA_OK);
    for (int round = 0; round < 3; round++) {
        begin(fa);
        {
            FA_TAG_AT(w, tag);
            for (size_t i = 0; i < 200; i++) {
                unsigned char *p = fa_frame_alloc(w, KIB);
                assert_non_null(p);
                memset(p, 1, KIB);
            }
            assert_int_equal(tag_stats(fa, tag).charged, 200 * KIB);
            assert_null(fa_frame_alloc(w, 1));
        }
        assert_non_null(fa_frame_alloc(w, MIB)); // others are not held up
        end(fa);
        assert_reported(&to, 302, 1);
        assert_int_equal(tag_stats(fa, tag).charged, 0);
        assert_int_equal(tag_stats(fa, tag).peak, 200 * KIB);
    }
    destroy_quiet(fa, &to);
}

static void a_soft_budget_warns_once_a_crossing(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    fa_tag tag = tag_of(fa, "soft");
    assert_int_equal(fa_budget_set(fa, tag, 1024, 4096), FA_OK);
    fa_tag_scope scope = fa_tag_begin_at(w, tag);
    void *objects[64];
    for (int round = 0; round < 3; round++) {
        int n = 0;
        for (; n < 16; n++) assert_non_null(objects[n] = fa_heap_alloc(w, 64, 0));
        assert_quiet(&to); // exactly 1024
        for (; n < 40; n++) assert_non_null(objects[n] = fa_heap_alloc(w, 64, 0));
        assert_reported(&to, 303, 1);
        while (n > 0) fa_heap_free(w, objects[--n]);
        assert_int_equal(tag_stats(fa, tag).charged, 0);
        assert_int_equal(tag_stats(fa, tag).warned, round + 1);
    }
    assert_quiet(&to);
    begin(fa);
    for (int i = 0; i < 64; i++) assert_non_null(fa_frame_alloc(w, 16)); // charged ahead, but not across the line
    assert_quiet(&to);
    assert_non_null(fa_frame_alloc(w, 16));
    assert_reported(&to, 303, 1);
    end(fa);
    fa_tag_end(&scope);
    destroy_quiet(fa, &to);
}

typedef struct crossing {
    fa_system *fa;
    uint32_t calls;
} crossing;

static void allocate_and_free(const fa_diagnostic *diagnostic, void *context)
{
    crossing *c = context;
    EXPECT(strcmp(diagnostic->code, "FA303") == 0);
    c->calls++;
    fa_pool_free(fa_self(c->fa), fa_pool_alloc(fa_self(c->fa), 64));
}

/// A refill that crosses a soft budget has a sink called, which may refill the same magazine: its objects stay its own.
static void a_sink_may_use_the_magazine_that_is_filled(const test_case *at)
{
    enum { COUNT = 200 };
    sink unused;
    fa_config config = case_config(at, &unused);
    crossing c = {.calls = 0};
    config.report = allocate_and_free;
    config.report_context = &c;
    fa_system *fa = c.fa = create(&config);
    fa_worker *w = fa_self(fa);
    fa_tag tag = tag_of(fa, "crossing");
    assert_int_equal(fa_budget_set(fa, tag, 32, 0), FA_OK);
    {
        FA_TAG_AT(w, tag);
        unsigned char *objects[COUNT];
        for (uint32_t i = 0; i < COUNT; i++) {
            assert_non_null(objects[i] = fa_pool_alloc(w, 64));
            fill(objects[i], 64, i);
        }
        for (uint32_t i = 0; i < COUNT; i++) {
            assert_true(is_filled(objects[i], 64, i));
            fa_pool_free(w, objects[i]);
        }
    }
    assert_int_equal(c.calls, 1);
    begin(fa);
    end(fa);
    assert_int_equal(held(fa, tag), 0);
    assert_int_equal(stats_of(fa).pool_live, 0);
    assert_int_equal(fa_destroy(fa), FA_OK);
}

typedef struct eater {
    fa_system *fa;
    uint32_t calls, allocs;
} eater;

/// A sink that uses the window of frame memory when it hears of a double free.
static void eat_window(const fa_diagnostic *diagnostic, void *context)
{
    eater *e = context;
    if (strcmp(diagnostic->code, "FA201") != 0) return;
    e->calls++;
    for (uint32_t i = 0; i < 1000 && fa_frame_alloc(fa_self(e->fa), 64) != NULL; i++) e->allocs++;
}

/// Memory is short, so the lane is trimmed, finds an earlier double free and tells a sink, which allocates from what was charged for the caller.
static void a_sink_may_use_what_a_trim_was_to_find(const test_case *at)
{
    sink unused;
    fa_config config = case_config(at, &unused);
    eater e = {.calls = 0};
    config.report = eat_window;
    config.report_context = &e;
    config.attached_max = 0;
    config.memory_max = 6 * MIB; // a block for the pool, one for the frame, one to come
    fa_system *fa = e.fa = create(&config);
    fa_worker *w = fa_self(fa);
    fa_tag tag = tag_of(fa, "short");
    void *p = fa_pool_alloc(w, 16);
    assert_non_null(p);
    begin(fa);
    for (uint32_t i = 0; i < 1748; i++) assert_non_null(fa_frame_alloc(w, KIB)); // 300 KiB are left
    void *last = fa_heap_alloc(w, 2040 * KIB, 0);
    assert_non_null(last);
    fa_pool_free(w, p);
    fa_pool_free(w, p);
    uint32_t untagged = e.allocs; // with AddressSanitizer frees are looked at at once
    assert_int_equal(untagged, WITH_ASAN ? 1000 : 0);
    {
        FA_TAG_AT(w, tag);
        void *large = fa_frame_alloc(w, 400 * KIB);
        assert_non_null(large);
    }
    assert_int_equal(e.calls, 1);
    assert_int_equal(e.allocs, 1000);
    uint64_t used = (uint64_t)(e.allocs - untagged) * 64 + 400 * KIB;
    assert_in_range(tag_stats(fa, tag).held[FA_TAG_FRAME], used, used + 300 * KIB); // the rest of a block counts
    fa_heap_free(w, last);
    end(fa);
    assert_int_equal(held(fa, tag), 0);
    assert_int_equal(fa_destroy(fa), FA_OK);
}

static void budgets_cover_what_is_below(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    fa_tag top = tag_of(fa, "top"), low = tag_of(fa, "top::low");
    assert_int_equal(fa_budget_set(fa, top, 0, 8 * KIB), FA_OK);
    assert_int_equal(fa_budget_set(fa, low, 0, 4 * KIB), FA_OK);
    fa_tag_scope scope = fa_tag_begin(w, "top");
    void *own = fa_heap_alloc(w, 5 * KIB, 0), *below;
    {
        FA_TAG(w, "low");
        assert_null(fa_heap_alloc(w, 4 * KIB, 0)); // refused by top
        assert_reported(&to, 302, 1);
        assert_non_null(strstr(to.message, "tag top refuses"));
        assert_int_equal(tag_stats(fa, low).charged, 0);
        assert_non_null(below = fa_heap_alloc(w, 3 * KIB, 0));
    }
    assert_int_equal(tag_stats(fa, top).charged, 8 * KIB);
    assert_int_equal(held(fa, top), 5 * KIB);
    assert_int_equal(held(fa, low), 3 * KIB);
    assert_int_equal(tag_stats(fa, top).denied, 1);
    fa_heap_free(w, own);
    {
        FA_TAG(w, "low");
        assert_null(fa_heap_alloc(w, 2 * KIB, 0)); // refused by low
    }
    assert_reported(&to, 302, 1);
    assert_int_equal(fa_budget_set(fa, low, 0, 0), FA_OK);
    {
        FA_TAG(w, "low");
        assert_non_null(own = fa_heap_alloc(w, 2 * KIB, 0));
    }
    fa_heap_free(w, own);
    fa_heap_free(w, below);
    assert_int_equal(tag_stats(fa, top).charged, 0);
    fa_tag_end(&scope);
    destroy_quiet(fa, &to);
}

typedef struct grabber {
    fa_tag tag;
    atomic_uint taken;
    void *objects[4096];
    uint64_t hard;
} grabber;

static void grab(fa_worker *w, void *arg)
{
    grabber *all = arg;
    FA_TAG_AT(w, all->tag);
    for (;;) {
        void *p = fa_pool_alloc(w, 256);
        if (p == NULL) break;
        memset(p, 1, 256);
        uint32_t n = atomic_fetch_add(&all->taken, 1u);
        EXPECT(n < 4096);
        if (n >= 4096) break;
        all->objects[n] = p;
        EXPECT(tag_stats(w->system, all->tag).charged <= all->hard);
    }
    for (uint32_t n = 0; fa_frame_alloc(w, 1000) != NULL; n++) {
        EXPECT(tag_stats(w->system, all->tag).charged <= all->hard);
        EXPECT(n < 4096);
        if (n >= 4096) break;
    }
}

static void lanes_together_never_exceed_a_hard_budget(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    static grabber all;
    all.tag = tag_of(fa, "greedy");
    all.hard = 256 * 1024;
    assert_int_equal(fa_budget_set(fa, all.tag, 0, all.hard), FA_OK);
    for (int round = 0; round < ROUNDS(8); round++) {
        atomic_store(&all.taken, 0u);
        begin(fa);
        everyone(fa, grab, &all);
        end(fa);
        assert_true(sink_count(&to, 302) > 0);
        assert_reported(&to, 302, sink_count(&to, 302));
        assert_int_equal(tag_stats(fa, all.tag).peak <= all.hard, 1);
        // A refusal comes early by what other lanes hold ahead, not by more.
        uint64_t ahead = (uint64_t)(at->workers + 1) * 64 * 256 + 64 * KIB;
        assert_true((uint64_t)all.taken * 256 + ahead >= all.hard);
        for (uint32_t i = 0; i < all.taken; i++) fa_pool_free(fa_self(fa), all.objects[i]);
        begin(fa);
        end(fa);
        assert_int_equal(held(fa, all.tag), 0);
    }
    destroy_quiet(fa, &to);
}

// Phases ----------------------------------------------------------------------------------------------------------------

static const fa_phase_stats *phase_of(const fa_phase_stats *all, uint32_t count, const char *path)
{
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(all[i].path, path) == 0) return &all[i];
    return NULL;
}

static void allocate_in_phase(fa_worker *w, void *arg)
{
    EXPECT(strcmp(fa_phase_current(w), arg) == 0);
    EXPECT(fa_frame_alloc(w, 128) != NULL);
    void *p = fa_pool_alloc(w, 40);
    EXPECT(p != NULL);
    fa_pool_free(w, p);
}

static void phases_list_what_was_allocated_in_them(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    fa_phase_stats all[8];
    uint32_t count;
    for (int round = 0; round < 10; round++) {
        begin(fa);
        assert_string_equal(fa_phase_current(w), "");
        fa_pool_free(w, fa_pool_alloc(w, 24)); // in none
        assert_int_equal(fa_phase_begin(w, "update"), FA_OK);
        assert_string_equal(fa_phase_current(w), "update");
        fa_frame_alloc(w, 16);
        {
            FA_PHASE(w, "physics");
            assert_string_equal(fa_phase_current(w), "update::physics");
            for (int i = 0; i < 50; i++)
                assert_int_equal(fa_submit(w, allocate_in_phase, (void *)(uintptr_t) "update::physics"), FA_OK);
            void *p = fa_heap_alloc(w, 700 * KIB, 0);
            fa_heap_free(w, p);
            struct timespec nap = {0, 2000000};
            nanosleep(&nap, NULL);
        }
        {
            FA_TAG(w, "tagged"); // tags do not hide phases
            fa_frame_alloc(w, 32);
        }
        assert_int_equal(fa_phase_end(w), FA_OK);
        fa_frame_alloc(w, 64);
        for (int i = 0; i < 2; i++) {
            FA_PHASE(w, "render");
        }
        end(fa);
        assert_int_equal(fa_phase_stats_read(fa, all, 8, &count), FA_OK);
        assert_int_equal(count, 3);
        const fa_phase_stats *update = phase_of(all, count, "update"), *render = phase_of(all, count, "render"),
                             *physics = phase_of(all, count, "update::physics");
        assert_true(update && render && physics);
        assert_int_equal(update->frame_bytes, 16 + 32);
        assert_int_equal(update->pool_allocs, 0);
        assert_int_equal(update->entries, 1);
        assert_true(update->ns >= physics->ns && physics->ns >= 2000000);
        assert_int_equal(physics->frame_bytes, 50 * 128);
        assert_int_equal(physics->pool_allocs, 50);
        assert_int_equal(physics->pool_bytes, 50 * 48);
        assert_int_equal(physics->heap_allocs, 1);
        assert_int_equal(physics->heap_bytes, 704 * KIB);
        assert_int_equal(render->entries, 2);
        assert_int_equal(render->frame_bytes, 0);
    }
    begin(fa);
    end(fa);
    assert_int_equal(fa_phase_stats_read(fa, all, 8, &count), FA_OK);
    assert_int_equal(count, 0); // of the last frame only
    assert_int_equal(fa_phase_totals_read(fa, all, 1, &count), FA_OK);
    assert_int_equal(count, 3);
    assert_string_equal(all[0].path, "update");
    assert_int_equal(all[0].frame_bytes, 10 * (16 + 32));
    assert_int_equal(fa_phase_totals_read(fa, NULL, 1, &count), FA_ERROR_INVALID);
    destroy_quiet(fa, &to);
}

typedef struct makers {
    fa_group group;
    fa_scratch scratch;
    atomic_uint lanes; // that made something
} makers;

/// Some of every kind, in numbers that all differ.
static void make_job_memory(fa_worker *w, uint64_t first, uint64_t last, void *arg)
{
    (void)arg;
    for (uint64_t i = first; i < last; i++) EXPECT(fa_job_alloc(w, 30, 16) != NULL);
}

static void make_of_every_kind(fa_worker *w, void *arg)
{
    makers *all = arg;
    const fa_retain dies = {FA_RETAIN_DISCARD, NULL, 0, 0, NULL, {0}};
    void *objects[20];
    FA_TAG(w, "maker");
    FA_PHASE(w, "make");
    atomic_fetch_add(&all->lanes, 1u);
    for (int i = 0; i < 10; i++) EXPECT(fa_frame_alloc(w, 100) != NULL);
    fa_checkpoint here = fa_checkpoint_take(w);
    EXPECT(fa_frame_alloc(w, 1000) != NULL);
    EXPECT(fa_checkpoint_rollback(w, here) == FA_OK);
    for (int i = 0; i < 3; i++) EXPECT(fa_frame_retained(w, 50, 8, &dies) != NULL);
    EXPECT(fa_retained_abandon(w) == 3);
    for (int i = 0; i < 2; i++) EXPECT(fa_frame_retained(w, 50, 8, &dies) != NULL);
    for (int i = 0; i < 20; i++) objects[i] = fa_pool_alloc(w, 60);
    for (int i = 0; i < 20; i++) fa_pool_free(w, objects[i]);
    fa_pool_free(w, fa_pool_alloc(w, 100 * KIB));
    for (int i = 0; i < 4; i++) fa_heap_free(w, fa_heap_alloc(w, 64 * KIB, 0));
    for (int i = 0; i < 5; i++) EXPECT(fa_group_alloc(w, all->group, 30, 16) != NULL);
    for (int i = 0; i < 6; i++) EXPECT(fa_scratch_alloc(w, all->scratch, 40, 16) != NULL);
    EXPECT(fa_parallel_for(w, 0, 3, 1, make_job_memory, NULL) == FA_OK);
    for (int i = 0; i < 7; i++) {
        fa_stream stream;
        EXPECT(fa_stream_reserve(w, 5000, FA_STREAM_NORMAL, NULL, &stream) == FA_OK);
        EXPECT(fa_stream_free(w, stream) == FA_OK);
        fa_handle handle = fa_handle_alloc(w, 256, 16, NULL);
        EXPECT(fa_handle_free(w, handle) == FA_OK);
    }
}

static void all_is_counted_under_tag_and_phase(const test_case *at)
{
    for (int counted = 0; counted < 2; counted++) {
        sink to;
        fa_config config = case_config(at, &to);
        config.frame_counts = counted;
        fa_system *fa = create(&config);
        fa_worker *w = fa_self(fa);
        makers all = {.lanes = 0};
        assert_int_equal(fa_scratch_create(w, "made", 0, &all.scratch), FA_OK);
        for (uint32_t round = 1; round <= 3; round++) {
            begin(fa);
            assert_int_equal(fa_group_create(w, "made", &all.group), FA_OK);
            everyone(fa, make_of_every_kind, &all);
            assert_int_equal(fa_group_free(w, all.group), FA_OK);
            end(fa);
            fa_phase_stats phase;
            uint32_t count, n = at->workers + 1, calls = at->checked || counted || WITH_ASAN ? n * 16 : 0;
            assert_int_equal(atomic_load(&all.lanes), n * round);
            assert_int_equal(fa_phase_stats_read(fa, &phase, 1, &count), FA_OK);
            assert_int_equal(count, 1);
            assert_int_equal(phase.frame_bytes, n * (10 * 112 + 5 * 64));
            assert_int_equal(phase.frame_allocs, calls);
            assert_int_equal(phase.retained, n * 2);
            assert_int_equal(phase.retained_bytes, n * 2 * 50);
            assert_int_equal(phase.pool_allocs, n * 21);
            assert_int_equal(phase.pool_bytes, n * (20 * 64 + 128 * KIB));
            assert_int_equal(phase.heap_allocs, n * 4);
            assert_int_equal(phase.heap_bytes, n * 4 * 64 * KIB);
            assert_int_equal(phase.group_allocs, n * 5);
            assert_int_equal(phase.group_bytes, n * 5 * 32);
            assert_int_equal(phase.scratch_allocs, n * 6);
            assert_int_equal(phase.scratch_bytes, n * 6 * 48);
            assert_int_equal(phase.stream_allocs, n * 7);
            assert_int_equal(phase.stream_bytes, n * 7 * 5000);
            assert_int_equal(phase.handle_allocs, n * 7);
            assert_int_equal(phase.handle_bytes, n * 7 * 256);
            assert_int_equal(phase.job_memory_allocs, n * 3);
            assert_int_equal(phase.job_memory_bytes, n * 3 * 32);
            fa_tag_stats tag = tag_stats(fa, tag_of(fa, "maker"));
            const uint64_t allocs[FA_TAG_USES] = {calls, n * 21, n * 4, n * 6, n * 5, n * 7, n * 7, n * 3};
            uint64_t total = 0;
            for (uint32_t use = 0; use < FA_TAG_USES; use++) {
                assert_int_equal(tag.allocs[use], allocs[use]);
                if (use != FA_TAG_FRAME) total += allocs[use];
            }
            assert_int_equal(tag.total_allocs, total * round);
            assert_int_equal(tag.bytes[FA_TAG_POOL], phase.pool_bytes);
            assert_int_equal(tag.bytes[FA_TAG_HANDLE], phase.handle_bytes);
            assert_int_equal(tag.retained, n * 2);
            assert_int_equal(tag.retained_bytes, n * 2 * 50);
        }
        begin(fa);
        end(fa);
        fa_tag_stats tag = tag_stats(fa, tag_of(fa, "maker"));
        assert_int_equal(tag.allocs[FA_TAG_POOL] + tag.bytes[FA_TAG_POOL] + tag.retained, 0); // of the last frame only
        destroy_quiet(fa, &to);
    }
}

/// A batch that a budget cuts short hands nothing out, and nothing was allocated.
static void a_refused_batch_is_not_counted(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    fa_tag tag = tag_of(fa, "batch");
    void *objects[64];
    begin(fa);
    {
        FA_TAG_AT(w, tag);
        assert_int_equal(fa_budget_set(fa, tag, 0, 256 * KIB), FA_OK);
        assert_false(fa_pool_alloc_batch(w, 64, 16 * KIB, 16, objects));
        assert_false(fa_pool_alloc_batch(w, 6, 60 * KIB, 16, objects));
        forget_reports(&to, 302);
        assert_true(fa_pool_alloc_batch(w, 2, 60 * KIB, 16, objects));
        fa_pool_free_batch(w, 2, objects);
    }
    end(fa);
    assert_int_equal(tag_stats(fa, tag).allocs[FA_TAG_POOL], 2);
    assert_int_equal(tag_stats(fa, tag).bytes[FA_TAG_POOL], 128 * KIB);
    destroy_quiet(fa, &to);
}

/// Takes all memory that is left, down to what the library itself would need.
static void *take_all_memory(fa_worker *w, sink *to)
{
    static const size_t sizes[] = {64 * KIB, 32 * KIB, 4 * KIB, KIB};
    void *first = NULL;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (void **p; (p = fa_heap_alloc(w, sizes[i], 0)) != NULL; first = p) *p = first;
    forget_reports(to, 301);
    return first;
}

static void give_all_memory(fa_worker *w, void *first)
{
    while (first != NULL) {
        void *next = *(void **)first;
        fa_heap_free(w, first);
        first = next;
    }
}

/// Where a tag began is kept in memory that may not be there: then less is freed, and nobody pays for it.
static void a_rollback_without_memory_stays_exact(const test_case *at)
{
    for (uint32_t noted = 0; noted <= 128;
         noted += 64) { // changes of the tag while there is memory; the list holds 64, then 128
        sink to;
        fa_config config = case_config(at, &to);
        config.attached_max = 0;
        config.memory_max = 4 * MIB;
        fa_system *fa = create(&config);
        fa_worker *w = fa_self(fa);
        fa_tag a = tag_of(fa, "a"), b = tag_of(fa, "b");
        begin(fa);
        assert_non_null(fa_frame_alloc(w, 16));
        fa_checkpoint start = fa_checkpoint_take(w);
        for (uint32_t i = 0; i < noted; i++) {
            assert_non_null(fa_frame_alloc(w, 16));
            FA_TAG_AT(w, i % 2 == 0 ? a : b);
        }
        void *all = take_all_memory(w, &to);
        uint64_t before = 16 + noted * 16;
        {
            FA_TAG_AT(w, a);
            assert_non_null(fa_frame_alloc(w, 160));
            FA_TAG_AT(w, b);
            assert_non_null(fa_frame_alloc(w, 320));
            assert_int_equal(fa_checkpoint_rollback(w, start), FA_OK);
            assert_non_null(fa_frame_alloc(w, 48));
        }
        give_all_memory(w, all);
        end(fa);
        uint64_t of_a = tag_stats(fa, a).bytes[FA_TAG_FRAME], of_b = tag_stats(fa, b).bytes[FA_TAG_FRAME];
        assert_int_equal(of_b, 48);
        assert_int_equal(of_a, 160);
        assert_int_equal(stats_of(fa).frame_bytes, before + of_a + of_b);
        assert_int_equal(tag_stats(fa, a).charged + tag_stats(fa, b).charged, 0);
        destroy_quiet(fa, &to);
    }
}

static void end_what_is_not_its_own(fa_worker *w, void *arg)
{
    (void)arg;
    EXPECT(fa_phase_end(w) == FA_ERROR_STATE);
}

static void phases_that_do_not_pair_up(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    assert_int_equal(fa_phase_begin(w, "outside"), FA_ERROR_STATE);
    assert_reported(&to, 1, 1);
    assert_int_equal(fa_phase_end(w), FA_ERROR_STATE);
    assert_reported(&to, 913, 1);
    begin(fa);
    assert_int_equal(fa_phase_begin(w, "a"), FA_OK);
    assert_int_equal(fa_phase_begin(w, "b"), FA_OK);
    end(fa);
    assert_reported(&to, 913, 2);
    begin(fa);
    assert_string_equal(fa_phase_current(w), "");
    assert_int_equal(fa_phase_begin(w, "x"), FA_OK);
    fa_counter counter = FA_COUNTER_INIT;
    assert_int_equal(fa_submit_counted(w, &counter, end_what_is_not_its_own, NULL), FA_OK);
    assert_int_equal(fa_wait(w, &counter), FA_OK);
    assert_reported(&to, 913, 1);
    assert_string_equal(fa_phase_current(w), "x");
    assert_int_equal(fa_phase_end(w), FA_OK);
    for (uint32_t i = 0; i < FA_PHASE_DEPTH; i++) assert_int_equal(fa_phase_begin(w, "x"), FA_OK);
    assert_int_equal(fa_phase_begin(w, "x"), FA_ERROR_FULL);
    for (uint32_t i = 0; i < FA_PHASE_DEPTH; i++) assert_int_equal(fa_phase_end(w), FA_OK);
    assert_int_equal(fa_phase_begin(NULL, "x"), FA_ERROR_INVALID);
    assert_int_equal(fa_phase_begin(w, NULL), FA_ERROR_INVALID);
    assert_int_equal(fa_phase_begin(w, ""), FA_ERROR_INVALID);
    assert_int_equal(fa_phase_begin(w, "a::b"), FA_ERROR_INVALID);
    assert_int_equal(fa_phase_end(NULL), FA_ERROR_INVALID);
    fa_phase_scope_end(NULL);
    uint32_t count;
    assert_int_equal(fa_phase_stats_read(NULL, NULL, 0, &count), FA_ERROR_INVALID);
    assert_int_equal(fa_phase_stats_read(fa, NULL, 1, &count), FA_ERROR_INVALID);
    assert_int_equal(fa_phase_stats_read(fa, NULL, 0, NULL), FA_ERROR_INVALID);
    assert_string_equal(fa_phase_current(NULL), "");
    {
        fa_tag_scope outer = fa_tag_begin(w, "outer");
        (void)fa_tag_begin(w, "inner");
        assert_quiet(&to);
        fa_tag_end(&outer);
        assert_reported(&to, 913, 1);
        assert_int_equal(fa_tag_current(w).id, 0);
    }
    end(fa);
    assert_int_equal(fa_phase_stats_read(fa, NULL, 0, &count), FA_OK);
    assert_int_equal(count, FA_PHASE_DEPTH);
    destroy_quiet(fa, &to);
}

static void overlapping_frames_keep_their_own_accounts(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    config.frames_in_flight = 3;
    fa_system *fa = create(&config);
    fa_worker *w = fa_self(fa);
    fa_tag tag = tag_of(fa, "flight");
    fa_tag_scope scope = fa_tag_begin(w, "flight");
    fa_frame frames[2];
    for (int i = 0; i < 2; i++) {
        begin(fa);
        fa_frame_alloc(w, i == 0 ? 4096 : 1024);
        assert_int_equal(fa_frame_hold(w, &frames[i]), FA_OK);
        end(fa);
    }
    assert_int_equal(tag_stats(fa, tag).held[FA_TAG_FRAME], 4096 + 1024);
    assert_int_equal(tag_stats(fa, tag).charged, 4096 + 1024);
    assert_int_equal(fa_frame_drop(fa, frames[0]), FA_OK);
    begin(fa);
    end(fa); // the first one retires, the second does not
    assert_int_equal(tag_stats(fa, tag).bytes[FA_TAG_FRAME], 4096);
    assert_int_equal(tag_stats(fa, tag).charged, 1024);
    assert_int_equal(fa_frame_drop(fa, frames[1]), FA_OK);
    begin(fa);
    end(fa);
    begin(fa);
    end(fa);
    assert_int_equal(tag_stats(fa, tag).charged, 0);
    fa_tag_end(&scope);
    destroy_quiet(fa, &to);
}

static void system_limits_refund_what_was_charged(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    config.attached_max = 0;
    config.memory_max = (at->workers + 1) * 2 * MIB;
    fa_system *fa = create(&config);
    fa_worker *w = fa_self(fa);
    fa_tag tag = tag_of(fa, "limit");
    fa_tag_scope scope = fa_tag_begin(w, "limit");
    assert_null(fa_heap_alloc(w, 64 * MIB, 0));
    assert_null(fa_pool_alloc(w, 64 * MIB));
    assert_null(fa_heap_alloc(w, SIZE_MAX, 0));
    assert_int_equal(tag_stats(fa, tag).charged, 0);
    void *first = NULL;
    uint32_t count = 0;
    for (void **p; (p = fa_pool_alloc(w, 4096)) != NULL; count++) {
        *p = first;
        first = p;
    }
    assert_true(count > 100);
    void *batch[64];
    assert_false(fa_pool_alloc_batch(w, 64, 4096, 16, batch));
    assert_null(fa_heap_alloc(w, 4096, 0));
    assert_true(fa_handle_is_none(fa_handle_alloc(w, MIB, 16, NULL)));
    begin(fa);
    end(fa);
    assert_int_equal(held(fa, tag), (uint64_t)count * 4096);
    while (first != NULL) {
        void *next = *(void **)first;
        fa_pool_free(w, first);
        first = next;
    }
    begin(fa);
    end(fa);
    assert_int_equal(held(fa, tag), 0);
    fa_tag_end(&scope);
    assert_int_equal(fa_destroy(fa), FA_OK);
}

static void *leave_a_tag_open(void *arg)
{
    fa_worker *w;
    EXPECT(fa_attach(arg, &w) == FA_OK);
    EXPECT(fa_tag_current(w).id == 0);
    (void)fa_tag_begin(w, "loader");
    EXPECT(fa_detach(w) == FA_OK);
    return NULL;
}

/// A thread that attaches begins under no tag, whatever the one before it on the lane left open.
static void tags_end_with_the_thread(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    for (unsigned round = 0; round < 3; round++) {
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, leave_a_tag_open, fa), 0);
        pthread_join(thread, NULL);
        assert_reported(&to, 913, 1);
    }
    destroy_quiet(fa, &to);
}

// A build without -------------------------------------------------------------------------------------------------------

static void without_statistics_answers_are_defined(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    fa_system *fa = create(&config);
    fa_worker *w = fa_self(fa);
    fa_tag tag = {7};
    assert_int_equal(fa_tag_find(fa, "a", &tag), FA_ERROR_UNSUPPORTED);
    assert_int_equal(tag.id, 0);
    assert_string_equal(fa_tag_path(fa, tag), "");
    assert_null(fa_tag_path(fa, (fa_tag){1}));
    assert_int_equal(fa_tag_at(fa, 0).id, 0);
    assert_int_equal(fa_budget_set(fa, tag, 0, 1), FA_ERROR_UNSUPPORTED);
    assert_int_equal(fa_lane_budget_set(fa, 0, FA_LANE_USE_FRAME, 0, 1), FA_ERROR_UNSUPPORTED);
    static fa_tag_stats of_tag;
    static fa_stats stats;
    static fa_handle_stats of_handles;
    memset(&of_tag, 1, sizeof of_tag), memset(&stats, 1, sizeof stats), memset(&of_handles, 1, sizeof of_handles);
    begin(fa);
    for (int i = 0; i < 2; i++) {
        FA_TAG(w, "a");
        FA_TAG_AT(w, tag);
        FA_PHASE(w, "b");
        assert_int_equal(fa_tag_current(w).id, 0);
        assert_string_equal(fa_phase_current(w), "");
        assert_non_null(fa_frame_alloc(w, 100));
        fa_checkpoint here = fa_checkpoint_take(w);
        assert_non_null(fa_frame_alloc(w, MIB));
        assert_int_equal(fa_checkpoint_rollback(w, here), FA_OK);
    }
    assert_int_equal(fa_phase_begin(w, "b"), FA_ERROR_UNSUPPORTED);
    assert_int_equal(fa_phase_end(w), FA_ERROR_UNSUPPORTED);
    fa_frame_result result;
    assert_int_equal(fa_frame_end(fa, &result), FA_OK);
    assert_int_equal(result.tag_count + result.phase_count, 0);
    uint32_t count = 7;
    assert_int_equal(fa_phase_stats_read(fa, NULL, 0, &count), FA_ERROR_UNSUPPORTED);
    assert_int_equal(count, 0);
    assert_int_equal(fa_phase_totals_read(fa, NULL, 0, &count), FA_ERROR_UNSUPPORTED);
    assert_int_equal(fa_tag_stats_read(fa, tag, &of_tag), FA_ERROR_UNSUPPORTED);
    assert_int_equal(fa_stats_read(fa, &stats), FA_ERROR_UNSUPPORTED);
    assert_int_equal(fa_handle_stats_read(fa, &of_handles), FA_ERROR_UNSUPPORTED);
    assert_int_equal(of_tag.charged + stats.frame_bytes + of_handles.live, 0);
    static fa_snapshot snapshot;
    assert_int_equal(fa_snapshot_take(fa, &snapshot), FA_ERROR_UNSUPPORTED);
    assert_int_equal(fa_history_enable(fa, 3), FA_ERROR_UNSUPPORTED);
    assert_int_equal(fa_history_disable(fa), FA_ERROR_UNSUPPORTED);
    assert_int_equal(fa_history_read(fa, 0, &snapshot), FA_ERROR_UNSUPPORTED);
    assert_int_equal(fa_history_count(fa) + fa_memory_graph(fa, NULL, 0), 0);
    assert_int_equal(fa_snapshot_write_file(&snapshot, stderr), FA_ERROR_UNSUPPORTED);
    config.frame_counts = true;
    fa_system *refused;
    assert_int_equal(fa_create(&config, &refused), FA_ERROR_INVALID);
    assert_reported(&to, 907, 1);
    assert_non_null(fa_pool_alloc(w, 100));
    assert_non_null(fa_heap_alloc(w, 100 * KIB, 0));
    assert_int_equal(fa_destroy(fa), FA_OK);
    assert_reported(&to, 910, at->checked ? 1 : 0); // records know, figures do not
    if (at->checked) assert_non_null(strstr(to.message, "2 pool and heap objects (102500 bytes)"));
}

int main(int argc, char **argv)
{
    static const test_entry without[] = {
        EACH_OF(without_statistics_answers_are_defined, "02", "ny"),
    };
    if (!FA_STATISTICS) return RUN_MATRIX("tag", without, argc, argv);
    const test_entry entries[] = {
        EACH_OF(names_are_paths, "02", "ny"),
        EACH_OF(two_systems_share_no_tags, "02", "ny"),
        EACH_OF(scopes_end_on_every_way_out, "0", "ny"),
        EACH_OF(names_that_are_none, "0", "ny"),
        EACH_OF(a_full_table_is_an_answer, "0", "n"),
        EACH_OF(lanes_that_race_for_a_name_get_one_tag, "14", "n"),
        EACH(each_kind_is_attributed),
        EACH(jobs_inherit_the_tag_of_their_submitter),
        EACH(forks_and_loops_inherit_too),
        EACH(what_a_job_leaves_open_is_ended_and_reported),
        EACH_OF(a_rollback_gives_back, "02", "ny"),
        EACH_OF(a_rollback_into_a_tag_leaves_its_beginning, "02", "ny"),
        EACH_OF(a_rollback_ends_where_the_frame_was_left, "02", "ny"),
        EACH_OF(equality_is_allowed_and_more_is_not, "02", "ny"),
        EACH_OF(frame_memory_has_exact_budgets, "02", "ny"),
        EACH_OF(a_soft_budget_warns_once_a_crossing, "02", "ny"),
        EACH_OF(a_sink_may_use_the_magazine_that_is_filled, "02", "ny"),
        EACH_OF(a_sink_may_use_what_a_trim_was_to_find, "02", "n"),
        EACH_OF(budgets_cover_what_is_below, "02", "ny"),
        EACH(lanes_together_never_exceed_a_hard_budget),
        EACH(phases_list_what_was_allocated_in_them),
        EACH(all_is_counted_under_tag_and_phase),
        EACH_OF(a_refused_batch_is_not_counted, "0", "ny"),
        EACH_OF(a_rollback_without_memory_stays_exact, "0", "ny"),
        EACH_OF(phases_that_do_not_pair_up, "02", "ny"),
        EACH_OF(tags_end_with_the_thread, "02", "ny"),
        EACH_OF(overlapping_frames_keep_their_own_accounts, "02", "ny"),
        EACH_OF(system_limits_refund_what_was_charged, "02", "ny"),
    };
    return RUN_MATRIX("tag", entries, argc, argv);
}
