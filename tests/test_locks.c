// SPDX-License-Identifier: MIT
//
// No lock on any path that runs between creation and destruction: no lane calls a function of pthread's that may block, and none enters the
// kernel's futex call within an allocation, a free, a read, a publication, a submission, a fork or a wait for its own jobs.
//
// The executable defines those functions itself and counts calls by threads that are lanes (a thread-local flag, set in a job on every
// lane): the helper thread that waits for grace periods locks inside liburcu and is on nobody's way. Parking is the one use of futexes:
// there are no more calls than lanes parked and were woken.
#include "support.h"

#include <dlfcn.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

// Interposers -----------------------------------------------------------------------------------------------------------

static _Thread_local bool is_lane; // from its first job on
static _Thread_local bool is_hot;  // between its calls of hot_begin() and hot_end()

static atomic_uint locks;                                  // by lanes
static atomic_uint futex_waits, futex_wakes, futex_others; // by lanes
static atomic_uint hot_futexes;

static void find_next(const char *name, void *function_pointer)
{
    void *found = dlsym(RTLD_NEXT, name);
    memcpy(function_pointer, &found, sizeof found);
}

#define NEXT(result, name, ...)                                                                                        \
    static result (*next)(__VA_ARGS__);                                                                                \
    if (next == NULL) find_next(name, &next)

#define LOCK(name, type)                                                                                               \
    int name(type *object)                                                                                             \
    {                                                                                                                  \
        NEXT(int, #name, type *);                                                                                      \
        if (is_lane) atomic_fetch_add(&locks, 1u);                                                                     \
        return next(object);                                                                                           \
    }

LOCK(pthread_mutex_lock, pthread_mutex_t)
LOCK(pthread_mutex_trylock, pthread_mutex_t)
LOCK(pthread_cond_signal, pthread_cond_t)
LOCK(pthread_cond_broadcast, pthread_cond_t)
LOCK(pthread_rwlock_rdlock, pthread_rwlock_t)
LOCK(pthread_rwlock_wrlock, pthread_rwlock_t)
LOCK(pthread_rwlock_tryrdlock, pthread_rwlock_t)
LOCK(pthread_rwlock_trywrlock, pthread_rwlock_t)
LOCK(pthread_barrier_wait, pthread_barrier_t)

int pthread_spin_lock(pthread_spinlock_t *object)
{
    NEXT(int, "pthread_spin_lock", pthread_spinlock_t *);
    if (is_lane) atomic_fetch_add(&locks, 1u);
    return next(object);
}

int pthread_mutex_timedlock(pthread_mutex_t *restrict object, const struct timespec *restrict until)
{
    NEXT(int, "pthread_mutex_timedlock", pthread_mutex_t *, const struct timespec *);
    if (is_lane) atomic_fetch_add(&locks, 1u);
    return next(object, until);
}

int pthread_cond_wait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex)
{
    NEXT(int, "pthread_cond_wait", pthread_cond_t *, pthread_mutex_t *);
    if (is_lane) atomic_fetch_add(&locks, 1u);
    return next(condition, mutex);
}

int pthread_cond_timedwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict until)
{
    NEXT(int, "pthread_cond_timedwait", pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
    if (is_lane) atomic_fetch_add(&locks, 1u);
    return next(condition, mutex, until);
}

static void note_futex(long operation)
{
    if (is_hot) atomic_fetch_add(&hot_futexes, 1u);
    if (!is_lane) return;
    switch (operation & FUTEX_CMD_MASK) {
        case FUTEX_WAIT:
        case FUTEX_WAIT_BITSET: atomic_fetch_add(&futex_waits, 1u); break;
        case FUTEX_WAKE:
        case FUTEX_WAKE_BITSET: atomic_fetch_add(&futex_wakes, 1u); break;
        default: atomic_fetch_add(&futex_others, 1u);
    }
}

long syscall(long number, ...)
{
    NEXT(long, "syscall", long, ...);
    va_list arguments;
    long a[6];
    va_start(arguments, number);
    for (int i = 0; i < 6; i++) a[i] = va_arg(arguments, long);
    va_end(arguments);
    if (number == SYS_futex) note_futex(a[1]);
    return next(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

static void reset_counts(void)
{
    atomic_store(&locks, 0u);
    atomic_store(&futex_waits, 0u);
    atomic_store(&futex_wakes, 0u);
    atomic_store(&futex_others, 0u);
    atomic_store(&hot_futexes, 0u);
}

static void become_lane(fa_worker *w, void *arg)
{
    (void)w;
    (void)arg;
    is_lane = true;
}

/// All lanes are flagged; call it once the workers run, and after every creation.
static void flag_lanes(fa_system *fa)
{
    begin(fa);
    everyone(fa, become_lane, NULL);
    end(fa);
    reset_counts();
}

static void counters_count(const test_case *at)
{
    (void)at;
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
    reset_counts();
    is_lane = is_hot = true;
    pthread_mutex_lock(&mutex);
    pthread_cond_signal(&condition);
    pthread_mutex_unlock(&mutex);
    uint32_t word = 0;
    syscall(SYS_futex, &word, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 1, (void *)NULL, (void *)NULL, 0);
    syscall(SYS_futex, &word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, (void *)NULL, (void *)NULL, 0);
    is_lane = is_hot = false;
    pthread_mutex_lock(&mutex);
    pthread_mutex_unlock(&mutex);
    assert_int_equal(atomic_load(&locks), 2);
    assert_int_equal(atomic_load(&futex_waits), 1);
    assert_int_equal(atomic_load(&futex_wakes), 1);
    assert_int_equal(atomic_load(&hot_futexes), 2);
    // liburcu's too: a thread that registers as a reader takes its lock.
    test_case one = {1, false};
    sink to;
    reset_counts();
    is_lane = true;
    fa_system *fa = create_case(&one, &to);
    assert_true(atomic_load(&locks) > 0);
    is_lane = false;
    destroy_quiet(fa, &to);
}

// Hot loops -------------------------------------------------------------------------------------------------------------

enum { OBJECTS = 500, HOT_CELLS = 8, LANES_MOST = 16 };

typedef struct hot_world {
    uint32_t lanes;
    void *objects[LANES_MOST][OBJECTS];
    fa_cell cells[HOT_CELLS];
    fa_group group; // all lanes allocate from them
    fa_scratch pool;
    atomic_uint done; // lanes that have ended their loops
    atomic_uint ran;
} hot_world;

static hot_world hot;

static void tiny(fa_worker *w, void *arg)
{
    (void)w;
    (void)arg;
    atomic_fetch_add_explicit(&hot.ran, 1u, memory_order_relaxed);
}

static void tiny_range(fa_worker *w, uint64_t first, uint64_t last, void *arg)
{
    (void)arg;
    for (uint64_t i = first; i < last; i++) EXPECT(fa_frame_alloc(w, 16) != NULL);
}

static void hot_memory(fa_worker *w)
{
    void **theirs = hot.objects[(w->index + 1) % hot.lanes];
    FA_SCOPE(w);
    for (uint32_t i = 0; i < OBJECTS; i++) { // a neighbour's of the frame before
        fa_pool_free(w, theirs[i]);
        theirs[i] = NULL;
    }
    for (uint32_t i = 0; i < 20000; i++) {
        fa_checkpoint before = fa_checkpoint_take(w);
        EXPECT(fa_frame_alloc(w, 16 + i % 3000) != NULL);
        EXPECT(fa_scope_alloc(w, 16 + i % 3000) != NULL);
        if (i % 2 == 0) EXPECT(fa_checkpoint_rollback(w, before) == FA_OK);
        void *p = fa_pool_alloc(w, 16 + i % 2000), *q = fa_heap_alloc(w, 16 + i % 100000, 16);
        EXPECT(p != NULL && q != NULL);
        fa_pool_free(w, p);
        fa_heap_free(w, q);
    }
}

static void hot_arenas(fa_worker *w)
{
    for (uint32_t i = 0; i < 3000; i++) {
        EXPECT(fa_group_alloc(w, hot.group, 16 + i % 500, (size_t)1 << i % 8) != NULL);
        EXPECT(fa_scratch_alloc(w, hot.pool, 16 + i % 300, 0) != NULL);
        if (i % 100 != 0) continue;
        fa_group own;
        EXPECT(fa_group_create(w, "own", &own) == FA_OK);
        EXPECT(fa_group_alloc(w, own, 5000, 0) != NULL);
        EXPECT(fa_group_free(w, own) == FA_OK);
        EXPECT(fa_scratch_find(w, "hot").id == hot.pool.id);
        EXPECT(fa_scratch_reset(w, hot.pool) == FA_OK);
    }
}

static void hot_cells(fa_worker *w)
{
    for (uint32_t i = 0; i < 2000; i++) {
        fa_cell *cell = &hot.cells[i % HOT_CELLS];
        const uint32_t *seen = fa_cell_read(w, cell);
        EXPECT(seen == NULL || *seen < 2000);
        uint32_t *p = fa_pool_alloc(w, 64);
        EXPECT(p != NULL);
        *p = i;
        EXPECT(fa_cell_publish(w, cell, p) == FA_OK);
        EXPECT(fa_retire(w, fa_pool_alloc(w, 32)) == FA_OK);
        fa_retain how = {.to = FA_RETAIN_DISCARD};
        EXPECT(fa_frame_retained(w, 40, 16, &how) != NULL);
    }
}

static void hot_jobs(fa_worker *w)
{
    for (uint32_t i = 0; i < 300; i++) {
        fa_counter counter = FA_COUNTER_INIT;
        uint64_t words[10] = {i};
        EXPECT(fa_submit_counted(w, &counter, tiny, NULL) == FA_OK);
        EXPECT(fa_submit_copy(w, &counter, tiny, words, sizeof words) == FA_OK);
        EXPECT(fa_submit_many(w, &counter, tiny, words, 8, 10) == FA_OK);
        EXPECT(fa_wait(w, &counter) == FA_OK); // of its own, which it runs itself: all others are busy here
        for (int j = 0; j < 10; j++) {
            fa_task task;
            EXPECT(fa_fork(w, &task, tiny, NULL) == FA_OK);
            fa_join(w, &task);
        }
        EXPECT(fa_submit(w, tiny, NULL) == FA_OK); // stays queued
    }
    EXPECT(fa_parallel_for(w, 0, 1000, 2000, tiny_range, NULL) == FA_OK);
}

static void hot_loops(fa_worker *w, void *arg)
{
    (void)arg;
    is_lane = true;
    is_hot = true;
    hot_memory(w);
    hot_arenas(w);
    hot_cells(w);
    hot_jobs(w);
    is_hot = false;
    // Nobody goes away while others are hot: who ran out of work would have to be woken.
    atomic_fetch_add(&hot.done, 1u);
    while (atomic_load(&hot.done) < hot.lanes) sched_yield();
    for (uint32_t i = 0; i < OBJECTS; i++) hot.objects[w->index][i] = fa_pool_alloc(w, 16 + i % 900);
}

static void no_futex_in_hot_loops(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    memset(&hot, 0, sizeof hot);
    hot.lanes = at->workers + 1;
    assert_int_equal(fa_group_create(fa_self(fa), "hot", &hot.group), FA_OK);
    assert_int_equal(fa_scratch_create(fa_self(fa), "hot", 64 * MIB, &hot.pool), FA_OK);
    flag_lanes(fa);
    for (int frame = 0; frame < 5; frame++) {
        atomic_store(&hot.done, 0u);
        begin(fa);
        everyone(fa, hot_loops, NULL);
        end(fa);
    }
    assert_int_equal(atomic_load(&hot_futexes), 0);
    assert_int_equal(atomic_load(&locks), 0);
    begin(fa);
    assert_int_equal(fa_group_free(fa_self(fa), hot.group), FA_OK);
    for (uint32_t lane = 0; lane < hot.lanes; lane++)
        for (uint32_t i = 0; i < OBJECTS; i++) fa_pool_free(fa_self(fa), hot.objects[lane][i]);
    for (int i = 0; i < HOT_CELLS; i++) assert_int_equal(fa_cell_drop(fa_self(fa), &hot.cells[i]), FA_OK);
    end(fa);
    assert_int_equal(atomic_load(&locks), 0);
    is_lane = false;
    destroy_quiet(fa, &to);
}

// Everything else -------------------------------------------------------------------------------------------------------

static void spread(fa_worker *w, void *arg)
{
    uint32_t depth = *(uint32_t *)arg;
    fa_counter counter = FA_COUNTER_INIT;
    void *p = fa_pool_alloc(w, 100);
    EXPECT(p != NULL);
    if (depth > 0) {
        uint32_t below = depth - 1;
        for (int i = 0; i < 4; i++) EXPECT(fa_submit_copy(w, &counter, spread, &below, sizeof below) == FA_OK);
        EXPECT(fa_wait(w, &counter) == FA_OK);
        EXPECT(fa_parallel_for(w, 0, 200, 5, tiny_range, NULL) == FA_OK);
    }
    fa_pool_free(w, p);
}

/// Stealing, sleeping and waking, ends of frames: no lock, and the kernel only to park and to wake.
static void futexes_only_park_and_wake(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    flag_lanes(fa);
    begin(fa);
    end(fa);
    reset_counts();
    for (int frame = 0; frame < 150; frame++) {
        begin(fa);
        for (int i = 0; i < 6; i++) {
            uint32_t depth = 3;
            assert_int_equal(fa_submit_copy(w, NULL, spread, &depth, sizeof depth), FA_OK);
        }
        end(fa);
    }
    // A lane counts before it sleeps or wakes: what was called by now is in the figures that are read after.
    unsigned waits = atomic_load(&futex_waits), wakes = atomic_load(&futex_wakes);
    begin(fa);
    end(fa);
    fa_stats stats = stats_of(fa);
    assert_int_equal(atomic_load(&locks), 0);
    assert_int_equal(atomic_load(&futex_others), 0);
    assert_true(waits <= stats.parks + 8); // a lane may be woken for nothing, and sleep again
    assert_true(wakes <= stats.wakes);
    if (at->workers == 0) assert_int_equal(waits + wakes, 0);
    if (at->workers > 0) assert_true(stats.steals > 0);
    is_lane = false;
    destroy_quiet(fa, &to);
}

int main(int argc, char **argv)
{
    const test_entry entries[] = {
        EACH_OF(counters_count, "0", "n"),
        EACH(no_futex_in_hot_loops),
        EACH_OF(futexes_only_park_and_wake, COUNTED("0124"), "ny"),
    };
    return RUN_MATRIX("locks", entries, argc, argv);
}
