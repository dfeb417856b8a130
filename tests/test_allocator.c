// SPDX-License-Identifier: MIT
//
// Allocator tables over frame, scope, pool and heap memory: the same promises for all, growth in place where there is a top, and refusals
// that leave the old block alone.
#include "support.h"

typedef fa_allocator table_of(fa_worker *w);
static table_of *const tables[] = {fa_allocator_frame, fa_allocator_scope, fa_allocator_pool, fa_allocator_heap};
#define TABLES (sizeof tables / sizeof tables[0])
enum { FRAME, SCOPE, POOL, HEAP };

/// A string that grows, in memory of each kind.
static void grow_and_shrink(fa_worker *w, void *arg)
{
    (void)arg;
    for (size_t t = 0; t < TABLES; t++) {
        fa_allocator a = tables[t](w);
        for (size_t align = 0; align <= 256; align = align == 0 ? 8 : align * 4) {
            unsigned char *p = NULL;
            size_t size = 0;
            for (size_t wanted = 1; wanted < 300000; wanted = wanted * 3 / 2 + 1) {
                unsigned char *q = fa_realloc_with(&a, p, size, wanted, align);
                EXPECT(q != NULL);
                if (q == NULL) return;
                EXPECT(align == 0 || (uintptr_t)q % align == 0);
                for (size_t i = 0; i < size; i += 101) EXPECT(q[i] == (unsigned char)(i * 7));
                for (size_t i = 0; i < wanted; i++) q[i] = (unsigned char)(i * 7);
                p = q;
                size = wanted;
            }
            for (size_t wanted = size; wanted > 0; wanted = wanted * 2 / 5) {
                p = fa_realloc_with(&a, p, size, wanted, align);
                EXPECT(p != NULL);
                if (p == NULL) return;
                for (size_t i = 0; i < wanted; i += 101) EXPECT(p[i] == (unsigned char)(i * 7));
                size = wanted;
            }
            void *other = fa_alloc_with(&a, 100, align);
            EXPECT(other != NULL);
            fa_free_with(&a, other, 100);
            EXPECT(fa_realloc_with(&a, p, size, 0, align) == NULL); // freed
        }
    }
}

static void contents_and_alignment_are_kept(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    for (int round = 0; round < 3; round++) {
        begin(fa);
        everyone(fa, grow_and_shrink, NULL);
        end(fa);
        assert_int_equal(stats_of(fa).pool_live + stats_of(fa).heap_live, 0);
    }
    destroy_quiet(fa, &to);
}

static void the_top_grows_in_place(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    begin(fa);
    for (size_t t = FRAME; t <= SCOPE; t++) {
        fa_allocator a = tables[t](w);
        unsigned char *p = fa_alloc_with(&a, 10, 16), *q;
        fill(p, 10, 1);
        size_t size = 10;
        for (size_t wanted = 20; wanted < 200000; wanted += 1234) {
            q = fa_realloc_with(&a, p, size, wanted, 16);
            assert_ptr_equal(q, p);
            fill(q + size, wanted - size, 2);
            size = wanted;
        }
        assert_true(is_filled(p, 10, 1));
        void *next = fa_alloc_with(&a, 16, 16); // right behind: nothing was left over, nothing overlaps
        assert_ptr_equal(next, p + ((size + 15) & ~(size_t)15));
        q = fa_realloc_with(&a, p, size, size + 100, 16);
        assert_ptr_not_equal(q, p); // no longer at the top
        assert_true(is_filled(q, 10, 1));
        assert_ptr_equal(fa_realloc_with(&a, q, size + 100, 50, 16), q); // smaller: in place
        assert_ptr_equal(fa_realloc_with(&a, p, size, size, 16), p);
        assert_ptr_not_equal(fa_realloc_with(&a, next, 16, 16, 1 << 20), next); // an alignment it does not have
    }
    end(fa);
    destroy_quiet(fa, &to);
}

static void objects_stay_while_they_fit(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    for (size_t t = POOL; t <= HEAP; t++) {
        fa_allocator a = tables[t](w);
        unsigned char *p = fa_alloc_with(&a, 900, 16); // of 1024 bytes
        fill(p, 900, 1);
        size_t usable = fa_usable_size(fa, p);
        assert_ptr_equal(fa_realloc_with(&a, p, 900, usable, 16), p);
        assert_ptr_equal(fa_realloc_with(&a, p, usable, usable / 2 + 1, 16), p);
        unsigned char *q = fa_realloc_with(&a, p, usable / 2 + 1, 40, 16); // much smaller: gives memory back
        assert_ptr_not_equal(q, p);
        assert_true(fa_usable_size(fa, q) < 64 && is_filled(q, 40, 1));
        q = fa_realloc_with(&a, q, 40, 100000, 16);
        assert_true(is_filled(q, 40, 1));
        fa_free_with(&a, q, 100000);
        begin(fa);
        end(fa);
        assert_int_equal(stats_of(fa).pool_live + stats_of(fa).heap_live, 0);
    }
    destroy_quiet(fa, &to);
}

static void refused_growth_leaves_the_block(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    config.memory_max = 16 * MIB;
    config.frame_bytes_max = 64 * KIB;
    config.attached_max = 0;
    fa_system *fa = create(&config);
    fa_worker *w = fa_self(fa);
    begin(fa);
    for (size_t t = 0; t < TABLES; t++) {
        fa_allocator a = tables[t](w);
        unsigned char *p = fa_alloc_with(&a, 1000, 16);
        fill(p, 1000, t);
        assert_null(fa_realloc_with(&a, p, 1000, 64 * MIB, 16));
        assert_null(fa_realloc_with(&a, p, 1000, SIZE_MAX, 16));
        assert_null(fa_realloc_with(&a, p, 1000, SIZE_MAX - 15, 16));
        assert_true(is_filled(p, 1000, t));
        p = fa_realloc_with(&a, p, 1000, 2000, 16); // and it may still grow
        assert_true(p != NULL && is_filled(p, 1000, t));
        fa_free_with(&a, p, 2000);
    }
    assert_int_equal(sink_count(&to, 3), 1); // once per frame and lane, both
    assert_int_equal(sink_count(&to, 301), 1);
    assert_int_equal(atomic_load(&to.total), 2);
    atomic_store(&to.total, 0u);
    end(fa);
    assert_int_equal(stats_of(fa).pool_live + stats_of(fa).heap_live, 0);
    destroy_quiet(fa, &to);
}

static void growth_obeys_the_frame_limit(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    config.frame_bytes_max = 4096;
    fa_system *fa = create(&config);
    fa_worker *w = fa_self(fa);
    begin(fa);
    fa_allocator a = fa_allocator_frame(w);
    void *p = fa_alloc_with(&a, 1024, 16);
    assert_ptr_equal(fa_realloc_with(&a, p, 1024, 4096, 16), p);
    assert_null(fa_realloc_with(&a, p, 4096, 4097, 16));
    assert_reported(&to, 3, 1);
    end(fa);
    assert_int_equal(stats_of(fa).frame_bytes, 4096);
    destroy_quiet(fa, &to);
}

static void nothing_and_strangers(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    begin(fa);
    for (size_t t = 0; t < TABLES; t++) {
        fa_allocator a = tables[t](w), none = tables[t](NULL), empty = {0};
        fa_free_with(&a, NULL, 0);
        assert_null(fa_alloc_with(&a, 0, 16));
        assert_null(fa_realloc_with(&a, NULL, 100, 0, 16));
        void *p = fa_realloc_with(&a, NULL, 100, 10, 16); // as alloc: nothing is read
        assert_non_null(p);
        assert_null(fa_alloc_with(&none, 10, 16));
        assert_null(fa_realloc_with(&none, NULL, 0, 10, 16));
        assert_null(fa_realloc_with(&none, p, 10, 20, 16));
        fa_free_with(&none, p, 10);
        assert_null(fa_alloc_with(&empty, 10, 16));
        assert_null(fa_realloc_with(&empty, p, 10, 20, 16));
        fa_free_with(&empty, p, 10);
        fa_free_with(&a, p, 10);
        assert_null(fa_alloc_with(NULL, 10, 16));
        assert_null(fa_realloc_with(NULL, p, 10, 20, 16));
        fa_free_with(NULL, p, 10);
        assert_quiet(&to);
        assert_null(fa_alloc_with(&a, 10, 24));
        assert_reported(&to, 903, 1);
    }
    fa_allocator pool = fa_allocator_pool(w), heap = fa_allocator_heap(w);
    void *object = fa_heap_alloc(w, 100, 16);
    int local = 0;
    assert_null(fa_realloc_with(&pool, object, 100, 200, 16)); // of the heap
    assert_null(fa_realloc_with(&pool, &local, 4, 200, 16));
    assert_null(fa_realloc_with(&heap, (char *)object + 16, 4, 0, 16)); // inside one
    assert_reported(&to, 201, 3);
    assert_int_equal(fa_usable_size(fa, object), 112);
    fa_heap_free(w, object);
    end(fa);
    fa_allocator frame = fa_allocator_frame(w);
    assert_null(fa_alloc_with(&frame, 10, 16));
    assert_reported(&to, 1, 1);
    destroy_quiet(fa, &to);
}

static void rollback_undoes_growth(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    begin(fa);
    fa_allocator a = fa_allocator_frame(w);
    unsigned char *p = fa_alloc_with(&a, 100, 16);
    fill(p, 100, 1);
    fa_checkpoint checkpoint = fa_checkpoint_take(w);
    assert_ptr_equal(fa_realloc_with(&a, p, 100, 50, 16),
                     p); // shrinking does not move the top: the checkpoint stays good
    assert_ptr_equal(fa_realloc_with(&a, p, 100, 5000, 16), p);
    assert_int_equal(fa_checkpoint_rollback(w, checkpoint), FA_OK);
    assert_true(is_filled(p, 100, 1));
    assert_ptr_equal(fa_frame_alloc(w, 16), p + 112);
    end(fa);
    destroy_quiet(fa, &to);
}

// Groups and scratch pools ----------------------------------------------------------------------------------------------

typedef struct shared_arenas {
    fa_group group;
    fa_scratch pool;
} shared_arenas;

/// Seven allocations.
static void grow_where_nothing_is_freed(fa_allocator a, uint64_t key)
{
    unsigned char *p = fa_realloc_with(&a, NULL, 0, 10, 0);
    EXPECT(p != NULL && (uintptr_t)p % 16 == 0);
    if (p == NULL) return;
    fill(p, 10, key);
    for (size_t size = 10; size < 3000; size *= 3) {
        unsigned char *q = fa_realloc_with(&a, p, size, size * 3, 64);
        EXPECT(q != NULL && (uintptr_t)q % 64 == 0 && is_filled(q, 10, key));
        EXPECT(is_filled(p, 10, key)); // still there: free does nothing
        if (q != NULL) p = q;
    }
    EXPECT(fa_realloc_with(&a, p, 7290, 20, 64) == p); // smaller: in place
    EXPECT(fa_realloc_with(&a, p, 20, 0, 64) == NULL);
    fa_free_with(&a, p, 20);
    EXPECT(is_filled(p, 10, key));
    EXPECT(fa_alloc_with(&a, 0, 16) == NULL);
}

static void grow_in_shared_memory(fa_worker *w, void *arg)
{
    const shared_arenas *all = arg;
    fa_group_source group = {w, all->group};
    fa_scratch_source scratch = {w, all->pool};
    grow_where_nothing_is_freed(fa_allocator_group(&group), w->index);
    grow_where_nothing_is_freed(fa_allocator_scratch(&scratch), w->index);
}

static void groups_and_scratch_pools_have_tables(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    shared_arenas all;
    for (int round = 0; round < 3; round++) {
        begin(fa);
        assert_int_equal(fa_group_create(w, "table", &all.group), FA_OK);
        assert_int_equal(fa_scratch_create(w, "table", MIB, &all.pool), FA_OK);
        everyone(fa, grow_in_shared_memory, &all);
        end(fa);
        assert_true(stats_of(fa).group_bytes > 0 && stats_of(fa).scratch_bytes > 0);
        assert_int_equal(fa_group_free(w, all.group), FA_OK);
        assert_int_equal(fa_scratch_remove(w, all.pool), FA_OK);
    }
    fa_group_source gone = {w, all.group};
    fa_scratch_source removed = {w, all.pool}, none = {NULL, all.pool};
    fa_allocator a = fa_allocator_group(&gone), b = fa_allocator_scratch(&removed), c = fa_allocator_scratch(&none);
    assert_null(fa_alloc_with(&a, 16, 16));
    assert_null(fa_alloc_with(&b, 16, 16));
    forget_reports(&to, 201); // in checked systems
    assert_null(fa_alloc_with(&c, 16, 16));
    a = fa_allocator_group(NULL);
    b = fa_allocator_scratch(NULL);
    assert_null(fa_alloc_with(&a, 16, 16));
    assert_null(fa_realloc_with(&b, &to, 16, 32, 16));
    fa_free_with(&b, &to, 16);
    destroy_quiet(fa, &to);
}

// Memory of jobs --------------------------------------------------------------------------------------------------------

typedef struct job_table {
    fa_job_memory memory;
    fa_job_source source; // of the owner
    unsigned char *text;  // its first piece
    atomic_uint grown;
    bool is_heir;
} job_table;

static void grow_in_the_owners_memory(fa_worker *w, void *arg)
{
    job_table *of = *(job_table **)arg;
    fa_job_source source = {w, of->memory};
    fa_allocator a = fa_allocator_job(&source);
    fa_job_memory_info info;
    EXPECT(is_filled(of->text, 100, 3));
    if (of->is_heir) {
        grow_where_nothing_is_freed(a, atomic_fetch_add(&of->grown, 1u));
        EXPECT(fa_job_memory_read(w, of->memory, &info) == FA_OK);
    } else {
        EXPECT(fa_alloc_with(&a, 16, 16) == NULL);
    }
    EXPECT(fa_job_memory_current(w).id == (of->is_heir ? of->memory.id : 0)); // it has none of its own
}

static void own_a_table(fa_worker *w, void *arg)
{
    job_table *of = arg;
    EXPECT(fa_job_memory_open(w, &of->memory) == FA_OK);
    of->source = (fa_job_source){w, of->memory};
    fa_allocator a = fa_allocator_job(&of->source);
    of->text = fa_alloc_with(&a, 100, 16);
    EXPECT(of->text != NULL);
    if (of->text == NULL) return;
    fill(of->text, 100, 3);
    of->is_heir = true;
    fa_counter counter = FA_COUNTER_INIT;
    for (int i = 0; i < 20; i++)
        EXPECT(fa_submit_copy(w, &counter, grow_in_the_owners_memory, &arg, sizeof arg) == FA_OK);
    EXPECT(fa_wait(w, &counter) == FA_OK);
    fa_job_memory_info info;
    EXPECT(fa_job_memory_read(w, of->memory, &info) == FA_OK && info.objects == 1 + 20 * 7);
}

/// A job's memory as a table, in jobs that come from its owner, on whatever lanes; in others it refuses.
static void memory_of_jobs_has_a_table(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    job_table of = {0}, *pointer = &of;
    for (int round = 0; round < 3; round++) {
        begin(fa);
        assert_int_equal(fa_submit(w, own_a_table, &of), FA_OK);
        end(fa);
        assert_int_equal(stats_of(fa).job_memories, 0);
        assert_int_equal(atomic_exchange(&of.grown, 0u), 20);
    }
    unsigned char text[100];
    fill(of.text = text, 100, 3); // the owner's has ended
    of.is_heir = false;
    begin(fa);
    assert_int_equal(fa_submit_copy(w, NULL, grow_in_the_owners_memory, &pointer, sizeof pointer), FA_OK);
    end(fa);
    assert_reported(&to, 201, at->checked ? 1 : 0);
    of.source.worker = w; // any lane may have been the owner's
    fa_allocator a = fa_allocator_job(&of.source), none = fa_allocator_job(NULL);
    assert_null(fa_alloc_with(&a, 16, 16)); // outside a job
    assert_reported(&to, 4, 1);
    assert_null(fa_alloc_with(&none, 16, 16));
    assert_null(fa_realloc_with(&none, text, 16, 32, 16));
    fa_free_with(&none, text, 16);
    of.source.worker = NULL;
    assert_null(fa_alloc_with(&a, 16, 16));
    destroy_quiet(fa, &to);
}

typedef struct meddler {
    fa_system *fa;
    unsigned char *object;
} meddler;

static void take_frame_memory(const fa_diagnostic *d, void *context)
{
    meddler *m = context;
    EXPECT(strcmp(d->code, "FA302") == 0);
    m->object = fa_frame_alloc(fa_self(m->fa), 64);
    EXPECT(m->object != NULL);
    if (m->object != NULL) fill(m->object, 64, 7);
}

/// What a sink allocates while growth in place is refused stays its own.
static void a_sink_allocates_where_growth_is_refused(const test_case *at)
{
    meddler m = {0};
    sink to;
    fa_config config = case_config(at, &to);
    config.report = take_frame_memory;
    config.report_context = &m;
    m.fa = create(&config);
    fa_worker *w = fa_self(m.fa);
    fa_tag tag;
    assert_int_equal(fa_tag_find(m.fa, "small", &tag), FA_OK);
    assert_int_equal(fa_budget_set(m.fa, tag, 0, 4096), FA_OK);
    begin(m.fa);
    fa_tag_scope scope = fa_tag_begin_at(w, tag);
    fa_allocator a = fa_allocator_frame(w);
    void *p = a.alloc(a.ctx, 1024, 16);
    assert_non_null(p);
    assert_null(a.realloc(a.ctx, p, 1024, 8192, 16));
    assert_non_null(m.object);
    unsigned char *next = fa_frame_alloc(w, 64);
    assert_non_null(next);
    fill(next, 64, 8);
    assert_true(is_filled(m.object, 64, 7));
    fa_tag_end(&scope);
    end(m.fa);
    assert_int_equal(fa_destroy(m.fa), FA_OK);
}

int main(int argc, char **argv)
{
    static const test_entry tests[] = {
        EACH_OF(contents_and_alignment_are_kept, COUNTED("0124"), "ny"),
        EACH_OF(the_top_grows_in_place, "0", "ny"),
        EACH_OF(objects_stay_while_they_fit, COUNTED("0"), "ny"),
        EACH_OF(refused_growth_leaves_the_block, COUNTED("0"), "ny"),
        EACH_OF(growth_obeys_the_frame_limit, COUNTED("0"), "ny"),
        EACH_OF(a_sink_allocates_where_growth_is_refused, COUNTED("02"), "ny"),
        EACH_OF(nothing_and_strangers, "0", "ny"),
        EACH_OF(rollback_undoes_growth, "0", "ny"),
        EACH_OF(groups_and_scratch_pools_have_tables, COUNTED("0124"), "ny"),
        EACH_OF(memory_of_jobs_has_a_table, COUNTED("0124"), "ny"),
    };
    return RUN_MATRIX("allocator", tests, argc, argv);
}
