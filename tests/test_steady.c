// SPDX-License-Identifier: MIT
//
// After a warm-up a tick makes no call of malloc, no system call for memory and no page fault, on any thread of the process.
//
// The executable defines malloc and its relatives and the wrappers of the system calls itself, so that the library, liburcu and libc's own
// callers of them all come through here; calls are counted while a window is open. Page faults are those of the whole process (getrusage), and
// not judged where an emulator has its own among them. What else could fault in the window is touched before: all lanes' stacks, this program's
// data, and the pages that a lane's share of the work may reach (the warm-up lets every lane do a whole tick's work alone, because who does how
// much in a tick is up to the thieves).
#include "support.h"

#include <dlfcn.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

// Interposers -----------------------------------------------------------------------------------------------------------

#define CALLS(X)                                                                                                       \
    X(malloc) X(calloc) X(realloc) X(free) X(memalign) X(mmap) X(munmap) X(mremap) X(madvise) X(mprotect) X(brk) X(raw)

typedef enum call {
#define CALL(name) CALL_##name,
    CALLS(CALL)
#undef CALL
        CALL_COUNT
} call;

static const char *const call_names[] = {
#define CALL(name) #name,
    CALLS(CALL)
#undef CALL
};

static atomic_bool window_is_open;
static atomic_uint calls[CALL_COUNT];

static void note(call which)
{
    if (atomic_load_explicit(&window_is_open, memory_order_relaxed)) atomic_fetch_add(&calls[which], 1u);
}

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *p, size_t size);
void *__libc_memalign(size_t align, size_t size);
void __libc_free(void *p);
void *memalign(size_t align, size_t size);

void *malloc(size_t size)
{
    note(CALL_malloc);
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    note(CALL_calloc);
    return __libc_calloc(count, size);
}

void *realloc(void *p, size_t size)
{
    note(CALL_realloc);
    return __libc_realloc(p, size);
}

void free(void *p)
{
    note(CALL_free);
    __libc_free(p);
}

void *memalign(size_t align, size_t size)
{
    note(CALL_memalign);
    return __libc_memalign(align, size);
}

void *aligned_alloc(size_t align, size_t size)
{
    note(CALL_memalign);
    return __libc_memalign(align, size);
}

int posix_memalign(void **out, size_t align, size_t size)
{
    note(CALL_memalign);
    *out = __libc_memalign(align, size);
    return *out != NULL ? 0 : 12; // ENOMEM
}

static void find_next(const char *name, void *function_pointer)
{
    void *found = dlsym(RTLD_NEXT, name);
    memcpy(function_pointer, &found, sizeof found);
}

#define NEXT(result, name, ...)                                                                                        \
    static result (*next)(__VA_ARGS__);                                                                                \
    if (next == NULL) find_next(name, &next)

void *mmap(void *address, size_t length, int protection, int flags, int file, off_t offset)
{
    NEXT(void *, "mmap", void *, size_t, int, int, int, off_t);
    note(CALL_mmap);
    return next(address, length, protection, flags, file, offset);
}

int munmap(void *address, size_t length)
{
    NEXT(int, "munmap", void *, size_t);
    note(CALL_munmap);
    return next(address, length);
}

int madvise(void *address, size_t length, int advice)
{
    NEXT(int, "madvise", void *, size_t, int);
    note(CALL_madvise);
    return next(address, length, advice);
}

int mprotect(void *address, size_t length, int protection)
{
    NEXT(int, "mprotect", void *, size_t, int);
    note(CALL_mprotect);
    return next(address, length, protection);
}

int brk(void *end)
{
    NEXT(int, "brk", void *);
    note(CALL_brk);
    return next(end);
}

void *sbrk(intptr_t more)
{
    NEXT(void *, "sbrk", intptr_t);
    note(CALL_brk);
    return next(more);
}

long syscall(long number, ...)
{
    NEXT(long, "syscall", long, ...);
    va_list arguments;
    long a[6];
    va_start(arguments, number);
    for (int i = 0; i < 6; i++) a[i] = va_arg(arguments, long);
    va_end(arguments);
    switch (number) {
        case SYS_mmap:
        case SYS_munmap:
        case SYS_mremap:
        case SYS_madvise:
        case SYS_mprotect:
        case SYS_brk: note(CALL_raw);
    }
    return next(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

static void open_window(void)
{
    for (int i = 0; i < CALL_COUNT; i++) atomic_store(&calls[i], 0u);
    atomic_store(&window_is_open, true);
}

/// Calls seen since it was opened.
static unsigned close_window(void)
{
    unsigned sum = 0;
    atomic_store(&window_is_open, false);
    for (int i = 0; i < CALL_COUNT; i++) sum += atomic_load(&calls[i]);
    return sum;
}

static long faults_now(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_minflt + usage.ru_majflt;
}

/// The counters do count; otherwise all below would prove nothing.
static void counters_count(const test_case *at)
{
    (void)at;
    void *volatile p;
    open_window();
    p = malloc(100);
    p = realloc(p, 200);
    free(p);
    p = calloc(3, 5);
    free(p);
    p = aligned_alloc(64, 128);
    free(p);
    long before = faults_now();
    p = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(p, 1, 65536);
    assert_true(faults_now() > before);
    assert_int_equal(mprotect(p, 65536, PROT_READ), 0);
    assert_int_equal(madvise(p, 65536, MADV_DONTNEED), 0);
    assert_int_equal(munmap(p, 65536), 0);
    (void)sbrk(0);
    assert_int_equal(syscall(SYS_brk, 0L) != -1, 1);
    close_window();
    static const unsigned wanted[CALL_COUNT] = {1, 1, 1, 3, 1, 1, 1, 0, 1, 1, 1, 1};
    for (int i = 0; i < CALL_COUNT; i++) assert_int_equal(atomic_load(&calls[i]), wanted[i]);
    // Those of the library too, which is linked with this program.
    sink to;
    test_case none = {0, false};
    open_window();
    fa_system *fa = create_case(&none, &to);
    close_window();
    assert_true(atomic_load(&calls[CALL_mmap]) > 0 && atomic_load(&calls[CALL_memalign]) > 0);
    destroy_quiet(fa, &to);
}

// The workload ----------------------------------------------------------------------------------------------------------

enum { TEAMS = 16, TEAM_OBJECTS = 100, CELLS = 24, LANES_MOST = 16, BACKLOG_MOST = 640 };

typedef struct world {
    void *objects[TEAMS][TEAM_OBJECTS]; // a team's are handled by one job a tick, on whichever lane
    void *large[TEAMS];
    fa_cell cells[CELLS];
    atomic_uint sum;
    atomic_uint main_jobs;
    uint32_t tick;
    void *hoard[LANES_MOST][TEAMS * TEAM_OBJECTS];
} world;

static world all;

static size_t object_size(uint32_t team, uint32_t i)
{
    return 16 + (team * 7 + i * 13) % 60 * 16;
}

static void leaf(fa_worker *w, void *arg)
{
    (void)w;
    atomic_fetch_add(&all.sum, *(uint32_t *)arg & 3);
}

static void on_main(fa_worker *w, void *arg)
{
    (void)arg;
    EXPECT(w->index == 0);
    atomic_fetch_add(&all.main_jobs, 1u);
}

static void use_frame(fa_worker *w, uint32_t team)
{
    for (uint32_t i = 0; i < 60; i++) {
        size_t size = 16 + (team * 31 + i * 17 + all.tick) % 900;
        memset(fa_frame_alloc(w, size), 1, size);
    }
    fa_checkpoint before = fa_checkpoint_take(w);
    memset(fa_frame_alloc(w, 20000), 2, 20000);
    memset(fa_scope_alloc(w, 10000), 3, 10000);
    EXPECT(fa_checkpoint_rollback(w, before) == FA_OK);
    FA_SCOPE(w);
    memset(fa_scope_alloc(w, 30000), 4, 30000);
}

static void use_pool(fa_worker *w, uint32_t team)
{
    for (uint32_t i = all.tick % 3; i < TEAM_OBJECTS; i += 3) { // mostly of other lanes
        fa_pool_free(w, all.objects[team][i]);
        all.objects[team][i] = fa_pool_alloc(w, object_size(team, i));
        EXPECT(all.objects[team][i] != NULL);
        *(uint32_t *)all.objects[team][i] = i;
    }
    fa_heap_free(w, all.large[team]);
    all.large[team] = fa_heap_alloc(w, 40000, 64);
    EXPECT(all.large[team] != NULL);
    memset(all.large[team], 5, 40000);
}

static void use_cells(fa_worker *w, uint32_t team)
{
    for (int i = 0; i < CELLS; i++) {
        const uint32_t *p = fa_cell_read(w, &all.cells[i]);
        EXPECT(p == NULL || *p <= all.tick);
    }
    fa_retain how = {.to = team % 2 == 0 ? FA_RETAIN_POOL : FA_RETAIN_HEAP, .cell = &all.cells[team]};
    uint32_t *p = fa_frame_retained(w, 300, 16, &how);
    EXPECT(p != NULL);
    *p = all.tick;
    p = fa_pool_alloc(w, 200);
    EXPECT(p != NULL);
    *p = all.tick;
    EXPECT(fa_cell_publish(w, &all.cells[TEAMS + team % (CELLS - TEAMS)], p) == FA_OK);
}

static void use_jobs(fa_worker *w, uint32_t team)
{
    fa_counter counter = FA_COUNTER_INIT;
    uint32_t numbers[20] = {team};
    for (int i = 0; i < 10; i++)
        EXPECT(fa_submit_copy(w, &counter, leaf, numbers, i % 2 == 0 ? 8 : sizeof numbers) == FA_OK);
    EXPECT(fa_wait(w, &counter) == FA_OK);
    fa_task task;
    EXPECT(fa_fork(w, &task, leaf, numbers) == FA_OK);
    fa_join(w, &task);
    fa_job job = {.fn = on_main, .flags = FA_JOB_MAIN};
    if (team == 3) EXPECT(fa_submit_job(w, &job) == FA_OK);
}

static void team_job(fa_worker *w, void *arg)
{
    uint32_t team = *(uint32_t *)arg;
    FA_PHASE(w, "work");
    {
        FA_TAG(w, team % 2 == 0 ? "even" : "odd");
        use_frame(w, team);
        use_pool(w, team);
    }
    use_cells(w, team);
    use_jobs(w, team);
}

static void range(fa_worker *w, uint64_t first, uint64_t last, void *arg)
{
    (void)arg;
    for (uint64_t i = first; i < last; i++) memset(fa_frame_alloc(w, 100), 6, 100);
}

static void tick(fa_system *fa)
{
    fa_worker *w = fa_self(fa);
    fa_frame_result result;
    all.tick++;
    EXPECT(fa_frame_begin(fa) == FA_OK);
    memset(fa_frame_alloc(w, 600 * KIB), 7, 600 * KIB);
    for (uint32_t team = 0; team < TEAMS; team++)
        EXPECT(fa_submit_copy(w, NULL, team_job, &team, sizeof team) == FA_OK);
    EXPECT(fa_parallel_for(w, 0, 200, 10, range, NULL) == FA_OK);
    EXPECT(fa_frame_end(fa, &result) == FA_OK);
}

/// Grace periods end by another thread's doing, in milliseconds, and these ticks take microseconds: where it falls behind they wait for it,
/// as ticks at 60 Hz would, so that what is not reclaimed stays within what the warm-up has seen.
static void paced_tick(fa_system *fa)
{
    fa_stats stats;
    tick(fa);
    for (uint32_t waits = 0; fa_stats_read(fa, &stats) == FA_OK && stats.backlog > BACKLOG_MOST; waits++) {
        struct timespec millisecond = {0, 1000000};
        EXPECT(nanosleep(&millisecond, NULL) == 0);
        EXPECT(waits < 10000);
        tick(fa);
    }
}

/// What a lane would need if it did everything in a tick, and owned everything.
static void reach_far_as(fa_worker *w, const char *tag)
{
    FA_PHASE(w, "work");
    fa_tag_scope scope = tag != NULL ? fa_tag_begin(w, tag) : (fa_tag_scope){0};
    volatile unsigned char stack[192 * 1024];
    for (size_t i = 0; i < sizeof stack; i += 512) stack[i] = 1;
    void **hoard = all.hoard[w->index];
    for (uint32_t round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < TEAMS * TEAM_OBJECTS; i++) {
            size_t size = object_size(i / TEAM_OBJECTS, i % TEAM_OBJECTS);
            hoard[i] = fa_pool_alloc(w, size);
            memset(hoard[i], 1, size);
        }
        for (uint32_t i = 0; i < TEAMS * TEAM_OBJECTS; i++) fa_pool_free(w, hoard[i]);
    }
    for (uint32_t i = 0; i < 2 * TEAMS; i++) memset(hoard[i] = fa_heap_alloc(w, 40000, 64), 1, 40000);
    for (uint32_t i = 0; i < 2 * TEAMS; i++) fa_heap_free(w, hoard[i]);
    memset(fa_frame_alloc(w, 600 * KIB), 1, 600 * KIB);
    for (uint32_t i = 0; i < 25; i++) memset(fa_frame_alloc(w, 100000), 1, 100000);
    for (uint32_t i = 0; i < 8; i++) memset(fa_scope_alloc(w, 100000), 1, 100000);
    for (uint32_t i = 0; i < 2 * TEAMS; i++) { // as many promotions as there are in a tick, and versions waiting
        fa_retain how = {.to = FA_RETAIN_DISCARD};
        EXPECT(fa_frame_retained(w, 300, 16, &how) != NULL);
    }
    for (uint32_t i = 0; i < 200; i++) EXPECT(fa_retire(w, fa_pool_alloc(w, 200)) == FA_OK);
    fa_tag_end(&scope);
}

static void reach_far(fa_worker *w, void *arg)
{
    (void)arg;
    reach_far_as(w, NULL);
    reach_far_as(w, "even");
    reach_far_as(w, "odd");
}

static void start(fa_system *fa)
{
    fa_worker *w = fa_self(fa);
    memset(&all, 0, sizeof all);
    for (int round = 0; round < 4; round++) {
        begin(fa);
        everyone(fa, reach_far, NULL);
        end(fa);
    }
    begin(fa);
    for (uint32_t team = 0; team < TEAMS; team++) {
        for (uint32_t i = 0; i < TEAM_OBJECTS; i++) all.objects[team][i] = fa_pool_alloc(w, object_size(team, i));
        all.large[team] = fa_heap_alloc(w, 40000, 64);
    }
    end(fa);
}

static void stop(fa_system *fa)
{
    fa_worker *w = fa_self(fa);
    begin(fa);
    for (uint32_t team = 0; team < TEAMS; team++) {
        for (uint32_t i = 0; i < TEAM_OBJECTS; i++) fa_pool_free(w, all.objects[team][i]);
        fa_heap_free(w, all.large[team]);
    }
    for (int i = 0; i < CELLS; i++) EXPECT(fa_cell_drop(w, &all.cells[i]) == FA_OK);
    end(fa);
}

/// Ends a window: no calls, no page faults. (In checked systems each object has a record, in memory that comes when it is first used.)
static void assert_nothing_taken(const test_case *at, long faults_before)
{
    unsigned seen = close_window();
    long faults = faults_now() - faults_before;
    for (int i = 0; seen > 0 && i < CALL_COUNT; i++)
        if (atomic_load(&calls[i]) > 0) print_error("%u calls of %s\n", atomic_load(&calls[i]), call_names[i]);
    if (faults != 0) print_error("%ld page faults\n", faults);
    assert_int_equal(seen, 0);
    if (WITH_QEMU) return; // the faults are those of who plays the processor
    if (WITH_MEMCHECK) return;
    assert_true(at->checked ? faults < 50 : faults == 0);
}

static uint64_t heard, traced;

static void hear(const fa_event *event, void *context)
{
    (void)event, (void)context;
    heard++;
}

static bool write_nowhere(const void *data, size_t size, void *context)
{
    (void)data, (void)context;
    traced += size;
    return true;
}

/// Everything that can be observed is.
static void observe(fa_system *fa)
{
    fa_listener id;
    assert_int_equal(fa_listen(fa, FA_EVENT_ALL, hear, NULL, &id), FA_OK);
    assert_int_equal(fa_trace_start_to(fa, write_nowhere, NULL), FA_OK);
    assert_int_equal(fa_history_enable(fa, 300), FA_OK);
    heard = traced = 0;
}

static void measure(const test_case *at, bool observed)
{
    enum { WARM_UP = 120, MEASURED = 200 };
    sink to;
    fa_config config = case_config(at, &to);
    fa_system *fa = create(&config);
    if (observed) observe(fa);
    start(fa);
    for (int i = 0; i < WARM_UP; i++) paced_tick(fa);
    fa_stats before = stats_of(fa);
    long faults = faults_now();
    open_window();
    for (int i = 0; i < MEASURED; i++) paced_tick(fa);
    assert_nothing_taken(at, faults);
    fa_stats after = stats_of(fa);
    // It was work of all kinds.
    assert_true(after.jobs - before.jobs > MEASURED * TEAMS * 10);
    assert_true(after.promoted - before.promoted >= MEASURED * TEAMS);
    assert_true(after.pool_allocs - before.pool_allocs >= MEASURED * TEAMS * (TEAM_OBJECTS / 3));
    assert_true(after.memory_bytes < before.memory_bytes + MIB); // no block; packets of frees are counted too
    if (at->workers > 0) assert_true(after.remote_frees > before.remote_frees);
    assert_int_equal(atomic_load(&all.main_jobs), all.tick);
    if (observed) assert_true(heard > MEASURED * TEAMS && traced > heard && fa_history_count(fa) == 300);
    assert_true(all.tick >= WARM_UP + MEASURED);
    while (stats_of(fa).reclaimed <= before.reclaimed) tick(fa); // a grace period takes its time, not a number of ticks
    stop(fa);
    destroy_quiet(fa, &to);
}

static void a_tick_takes_nothing_from_the_system(const test_case *at)
{
    measure(at, false);
}

static void nor_does_one_that_is_observed(const test_case *at)
{
    if (FA_TRACE) measure(at, true);
}

/// A thread that is attached, comes once a frame, and is away at every boundary.
typedef struct guest {
    fa_system *fa;
    sem_t come, gone;
    void *object;
    bool last;
} guest;

static void *visit(void *arg)
{
    enum { PIECES = 200, PIECE = 100000 }; // more blocks than the boundary keeps for nobody
    guest *g = arg;
    fa_worker *w;
    fa_frame frame;
    EXPECT(fa_attach(g->fa, &w) == FA_OK);
    while (!g->last) {
        EXPECT(fa_idle_begin(w) == FA_OK);
        sem_post(&g->gone);
        sem_wait(&g->come);
        EXPECT(fa_idle_end(w) == FA_OK);
        EXPECT(fa_frame_hold(w, &frame) == FA_OK);
        for (int i = 0; i < PIECES; i++) {
            unsigned char *p = fa_frame_alloc(w, PIECE);
            EXPECT(p != NULL);
            for (size_t at = 0; p != NULL && at < PIECE; at += 4096) p[at] = 1;
        }
        g->object = fa_pool_alloc(w, 64);
        EXPECT(fa_frame_drop(g->fa, frame) == FA_OK);
    }
    EXPECT(fa_detach(w) == FA_OK);
    sem_post(&g->gone);
    return NULL;
}

static void guests_that_are_away_at_boundaries(const test_case *at)
{
    // Long enough for whatever is not needed for 600 boundaries to go back to the system.
    enum { WARM_UP = 120, MEASURED = 1300 };
    sink to;
    guest g = {.fa = create_case(at, &to)};
    pthread_t handle;
    sem_init(&g.come, 0, 0);
    sem_init(&g.gone, 0, 0);
    assert_int_equal(pthread_create(&handle, NULL, visit, &g), 0);
    sem_wait(&g.gone);
    long faults = 0;
    for (int i = 0; i < WARM_UP + MEASURED; i++) {
        if (i == WARM_UP) {
            faults = faults_now();
            open_window();
        }
        begin(g.fa);
        g.last = i + 1 == WARM_UP + MEASURED;
        sem_post(&g.come);
        sem_wait(&g.gone);
        fa_pool_free(fa_self(g.fa), g.object); // comes home while the guest is away
        end(g.fa);
        if (i + 2 == WARM_UP + MEASURED) assert_nothing_taken(at, faults); // the thread ends in the last one
    }
    pthread_join(handle, NULL);
    destroy_quiet(g.fa, &to);
}

int main(int argc, char **argv)
{
    const test_entry entries[] = {
        EACH_OF(counters_count, "0", "n"),
        EACH_OF(a_tick_takes_nothing_from_the_system, COUNTED("0124"), "ny"),
        EACH_OF(nor_does_one_that_is_observed, COUNTED("0124"), "ny"),
        EACH_OF(guests_that_are_away_at_boundaries, "01", "n"),
    };
    return RUN_MATRIX("steady", entries, argc, argv);
}
