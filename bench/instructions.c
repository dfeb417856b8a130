// SPDX-License-Identifier: MIT
//
// What operations cost in instructions, read-modify-writes and system calls: figures that no load of the machine changes.
//
//     instructions         runs every operation and says what it is; `bench/run instructions` runs it under callgrind
//
// Each operation runs twice to warm up, then once with what matters between requests to callgrind: start() and stop(). Each stop() makes a
// dump that bears the operation's name and counts the calling thread alone; dumps of one name are added up. The counts are exact
// because everything happens in one order: without workers on one thread; where there is another, it waits for the main one, sleeps,
// or is kept busy by a job. Threads wait by looking: a system call would be counted.
#include <framealloc/framealloc.h>

#include <valgrind/callgrind.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define FRAME_OBJECTS 4096u
#define FRAME_JOBS 64u

typedef struct fixture {
    fa_system *fa;
    fa_worker *main;
    fa_tag tag;
    uint32_t asked, answered; // shared: how often the other thread was told to go on, and did
    // of the attached thread, where there is one
    pthread_t thread;
    fa_worker *other;
    void *objects[FRAME_OBJECTS];
    bool stop;
} fixture;

typedef struct operation {
    const char *name;
    const char *what;
    uint32_t count; // operations that one call of run() does between start() and stop()
    void (*run)(fixture *f, uint32_t count);
    uint32_t workers;
    bool threaded; // with an attached thread beside the main lane
} operation;

static const char *counted; // name of the operation, NULL while it warms up

static void start(void)
{
    if (counted == NULL) return;
    CALLGRIND_ZERO_STATS;
    CALLGRIND_TOGGLE_COLLECT;
}

static void stop(void)
{
    if (counted == NULL) return;
    CALLGRIND_TOGGLE_COLLECT;
    CALLGRIND_DUMP_STATS_AT(counted);
}

static void need(bool fact, const char *what)
{
    if (fact) return;
    fprintf(stderr, "instructions: %s\n", what);
    exit(1);
}

static void *escape(void *p)
{
    __asm__ __volatile__("" ::"r"(p) : "memory");
    return p;
}

/// The one side tells the other to go on, by a number that rises; the other waits for it.
static void tell(uint32_t *number) { __atomic_fetch_add(number, 1, __ATOMIC_RELEASE); }

static void await(const uint32_t *number, uint32_t value)
{
    while (__atomic_load_n(number, __ATOMIC_ACQUIRE) < value) continue;
}

static void begin(fixture *f) { need(fa_frame_begin(f->fa) == FA_OK, "fa_frame_begin() failed"); }

static void end(fixture *f) { need(fa_frame_end(f->fa, NULL) == FA_OK, "fa_frame_end() failed"); }

// Memory ----------------------------------------------------------------------------------------------------------------

static void frame_objects(fixture *f, uint32_t count, size_t size)
{
    for (uint32_t i = 0; i < count; i++) *(unsigned char *)escape(fa_frame_alloc(f->main, size)) = 1;
}

static void frame_alloc(fixture *f, uint32_t count)
{
    begin(f);
    start();
    for (uint32_t i = 0; i < count; i++) *(unsigned char *)escape(fa_frame_alloc(f->main, 64)) = 1;
    stop();
    end(f);
}

/// Large enough for the refills of the tag's credit to show.
static void frame_alloc_tagged(fixture *f, uint32_t count)
{
    begin(f);
    fa_tag_scope scope = fa_tag_begin_at(f->main, f->tag);
    start();
    for (uint32_t i = 0; i < count; i++) *(unsigned char *)escape(fa_frame_alloc(f->main, 256)) = 1;
    stop();
    fa_tag_end(&scope);
    end(f);
}

static void scope_pair(fixture *f, uint32_t count)
{
    begin(f);
    start();
    for (uint32_t i = 0; i < count; i++) {
        fa_scope scope = fa_scope_begin(f->main);
        *(unsigned char *)escape(fa_scope_alloc(f->main, 64)) = 1;
        fa_scope_end(&scope);
    }
    stop();
    end(f);
}

static void pool_pair(fixture *f, uint32_t count)
{
    start();
    for (uint32_t i = 0; i < count; i++) {
        unsigned char *p = escape(fa_pool_alloc(f->main, 64));
        *p = 1;
        fa_pool_free(f->main, p);
    }
    stop();
}

static void pool_many(fixture *f, uint32_t count)
{
    start();
    for (uint32_t i = 0; i < count; i++) f->objects[i] = fa_pool_alloc(f->main, 64);
    for (uint32_t i = 0; i < count; i++) fa_pool_free(f->main, f->objects[i]);
    stop();
}

static void heap_pair(fixture *f, uint32_t count)
{
    start();
    for (uint32_t i = 0; i < count; i++) fa_heap_free(f->main, escape(fa_heap_alloc(f->main, 200, 16)));
    stop();
}

static void handle_pair(fixture *f, uint32_t count)
{
    begin(f);
    start();
    for (uint32_t i = 0; i < count; i++)
        need(fa_handle_free(f->main, fa_handle_alloc(f->main, 64, 16, NULL)) == FA_OK, "a handle was refused");
    stop();
    end(f);
}

static void handle_resolve(fixture *f, uint32_t count)
{
    fa_handle handle = fa_handle_alloc(f->main, 64, 16, NULL);
    start();
    for (uint32_t i = 0; i < count; i++) (void)escape(fa_handle_resolve(f->main, handle));
    stop();
    need(fa_handle_free(f->main, handle) == FA_OK, "a handle was refused");
}

static void cell_read(fixture *f, uint32_t count)
{
    fa_cell cell = {0};
    begin(f);
    need(fa_cell_publish(f->main, &cell, fa_pool_alloc(f->main, 64)) == FA_OK, "a cell was refused");
    start();
    for (uint32_t i = 0; i < count; i++) (void)escape(fa_cell_read(f->main, &cell));
    stop();
    need(fa_cell_drop(f->main, &cell) == FA_OK, "a cell was refused");
    end(f);
}

static void promote(fixture *f, uint32_t count)
{
    const fa_retain retain = {.to = FA_RETAIN_POOL};
    fa_frame_result result;
    begin(f);
    start();
    for (uint32_t i = 0; i < count; i++) (void)escape(fa_frame_retained(f->main, 64, 16, &retain));
    need(fa_frame_end(f->fa, &result) == FA_OK && result.to_pool == count, "not all was promoted");
    stop();
    for (uint32_t i = 0; i < count; i++) fa_pool_free(f->main, result.items[i].to);
}

static void tag_pair(fixture *f, uint32_t count)
{
    begin(f);
    start();
    for (uint32_t i = 0; i < count; i++) {
        fa_tag_scope scope = fa_tag_begin_at(f->main, f->tag);
        fa_tag_end(&scope);
    }
    stop();
    end(f);
}

// Jobs ------------------------------------------------------------------------------------------------------------------

static void nothing(fa_worker *w, void *arg) { (void)w, (void)arg; }

static void nothing_in_range(fa_worker *w, uint64_t first, uint64_t last, void *arg)
{
    (void)w, (void)first, (void)last, (void)arg;
}

static void job(fixture *f, uint32_t count)
{
    begin(f);
    start();
    for (uint32_t i = 0; i < count; i++) need(fa_submit(f->main, nothing, NULL) == FA_OK, "a job was refused");
    end(f);
    stop();
}

/// Until the main thread says so.
static void keep_busy(fa_worker *w, void *arg)
{
    (void)w;
    fixture *f = arg;
    uint32_t asked = f->asked + 1;
    tell(&f->answered);
    await(&f->asked, asked);
}

static void begin_beside_busy_worker(fixture *f)
{
    begin(f);
    uint32_t answered = f->answered + 1;
    need(fa_submit(f->main, keep_busy, f) == FA_OK, "a job was refused");
    await(&f->answered, answered);
}

static void end_beside_busy_worker(fixture *f)
{
    tell(&f->asked);
    end(f);
}

static void job_waited(fixture *f, uint32_t count)
{
    fa_counter counter = FA_COUNTER_INIT;
    begin_beside_busy_worker(f);
    start();
    for (uint32_t i = 0; i < count; i++)
        need(fa_submit_counted(f->main, &counter, nothing, NULL) == FA_OK, "a job was refused");
    need(fa_wait(f->main, &counter) == FA_OK, "a wait was refused");
    stop();
    end_beside_busy_worker(f);
}

static void fork_join(fixture *f, uint32_t count)
{
    begin_beside_busy_worker(f);
    start();
    for (uint32_t i = 0; i < count; i++) {
        fa_task task;
        (void)fa_fork(f->main, &task, nothing, NULL);
        fa_join(f->main, &task);
    }
    stop();
    end_beside_busy_worker(f);
}

static void loop_of_one(fixture *f, uint32_t count)
{
    begin(f);
    start();
    for (uint32_t i = 0; i < count; i++)
        need(fa_parallel_for(f->main, 0, 1, 0, nothing_in_range, NULL) == FA_OK, "a loop was refused");
    stop();
    end(f);
}

// Frames ----------------------------------------------------------------------------------------------------------------

/// A worker that woke with the system has gone to sleep again. Few frames pass meanwhile: after many a boundary tidies up.
static void await_sleep(fixture *f)
{
    for (fa_stats stats = {0}; stats.parks < fa_worker_count(f->fa);) {
        const struct timespec a_while = {.tv_nsec = 1000000};
        nanosleep(&a_while, NULL);
        begin(f);
        end(f);
        need(fa_stats_read(f->fa, &stats) == FA_OK, "fa_stats_read() failed");
    }
}

static void empty_frame(fixture *f, uint32_t count)
{
    await_sleep(f);
    start();
    for (uint32_t i = 0; i < count; i++) {
        begin(f);
        end(f);
    }
    stop();
}

static void frame_end(fixture *f, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        begin(f);
        frame_objects(f, FRAME_OBJECTS, 64);
        start();
        end(f);
        stop();
    }
}

static void frame_of_jobs(fixture *f, uint32_t count)
{
    start();
    for (uint32_t i = 0; i < count; i++) {
        begin(f);
        for (uint32_t n = 0; n < FRAME_JOBS; n++) need(fa_submit(f->main, nothing, NULL) == FA_OK, "a job was refused");
        end(f);
    }
    stop();
}

/// The frame has pool objects, a tag and handles to look at.
static void busy_frame(fixture *f, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        begin(f);
        fa_tag_scope scope = fa_tag_begin_at(f->main, f->tag);
        frame_objects(f, 16, 64);
        fa_pool_free(f->main, escape(fa_pool_alloc(f->main, 64)));
        fa_tag_end(&scope);
        start();
        end(f);
        stop();
    }
}

// Two threads -----------------------------------------------------------------------------------------------------------

static void let_other_run(fixture *f)
{
    tell(&f->asked);
    await(&f->answered, f->asked);
}

static void *other_thread(void *arg)
{
    fixture *f = arg;
    need(fa_attach(f->fa, &f->other) == FA_OK, "fa_attach() failed");
    for (uint32_t asked = 1;; asked++) {
        await(&f->asked, asked);
        if (f->stop) break;
        start();
        for (uint32_t i = 0; i < FRAME_OBJECTS; i++) fa_pool_free(f->other, f->objects[i]);
        stop();
        need(fa_quiescent(f->other) == FA_OK, "fa_quiescent() failed");
        tell(&f->answered);
    }
    need(fa_detach(f->other) == FA_OK, "fa_detach() failed");
    return NULL;
}

/// Allocated on the main lane, freed by the other; what brings the frees home is the main lane's part.
static void remote_pair(fixture *f, uint32_t count)
{
    begin(f);
    start();
    for (uint32_t i = 0; i < count; i++) f->objects[i] = fa_pool_alloc(f->main, 64);
    stop();
    let_other_run(f);
    start();
    end(f);
    stop();
}

// All of them -----------------------------------------------------------------------------------------------------------

static const operation operations[] = {
    {"frame_alloc", "a frame allocation of 64 bytes", FRAME_OBJECTS, frame_alloc, 0, false},
    {"frame_alloc_tagged", "one of 256 bytes under a tag", FRAME_OBJECTS, frame_alloc_tagged, 0, false},
    {"scope_pair", "a scope with one allocation", 1000, scope_pair, 0, false},
    {"pool_pair", "a pool object of 64 bytes, allocated and freed", 4000, pool_pair, 0, false},
    {"pool_many", "the same, 4096 at a time", FRAME_OBJECTS, pool_many, 0, false},
    {"heap_pair", "a heap object of 200 bytes", 1000, heap_pair, 0, false},
    {"remote_pair", "a pool object freed on another lane", FRAME_OBJECTS, remote_pair, 0, true},
    {"handle_pair", "an object with a handle, allocated and freed", 64, handle_pair, 0, false},
    {"handle_resolve", "the address of a handle's object", 1000, handle_resolve, 0, false},
    {"cell_read", "a read of a cell", 1000, cell_read, 0, false},
    {"promote", "an object retained and promoted to the pool", 64, promote, 0, false},
    {"tag_pair", "a tag begun and ended", 1000, tag_pair, 0, false},
    {"job", "a job without workers, submitted and run", 1000, job, 0, false},
    {"job_waited", "a job beside a busy worker, submitted and waited for", 1000, job_waited, 1, false},
    {"fork_join", "a fork beside a busy worker, and its join", 1000, fork_join, 1, false},
    {"loop_of_one", "a parallel loop over one item", 1000, loop_of_one, 0, false},
    {"empty_frame", "a frame, begun and ended", 16, empty_frame, 0, false},
    {"empty_frame_worker", "the same with a worker asleep", 16, empty_frame, 1, false},
    {"frame_end", "the end of a frame of 4096 objects", 16, frame_end, 0, false},
    {"busy_frame_end", "the end of a frame that used tag and pool", 16, busy_frame, 0, false},
    {"frame_of_jobs", "a frame of 64 jobs", 16, frame_of_jobs, 0, false},
};

static void open_fixture(fixture *f, const operation *op)
{
    fa_config config = fa_config_default();
    config.worker_count = op->workers;
    config.checked = false;
    need(fa_create(&config, &f->fa) == FA_OK, "fa_create() failed");
    f->main = fa_self(f->fa);
    need(fa_tag_find(f->fa, "instructions", &f->tag) == FA_OK, "fa_tag_find() failed");
    f->asked = f->answered = 0;
    f->stop = false;
    if (op->threaded) need(pthread_create(&f->thread, NULL, other_thread, f) == 0, "no thread");
}

static void close_fixture(fixture *f, const operation *op)
{
    if (op->threaded) {
        f->stop = true;
        tell(&f->asked);
        pthread_join(f->thread, NULL);
    }
    need(fa_destroy(f->fa) == FA_OK, "fa_destroy() failed");
}

static void count_one(const operation *op)
{
    static fixture f;
    open_fixture(&f, op);
    for (int warm = 0; warm < 2; warm++) op->run(&f, op->count);
    counted = op->name;
    op->run(&f, op->count);
    counted = NULL;
    close_fixture(&f, op);
    printf("operation %s %u %s\n", op->name, op->count, op->what);
}

/// Counts of one compiler say nothing about another's.
static void print_build(void)
{
#if defined(__clang__)
    printf("build clang-%d", __clang_major__);
#else
    printf("build gcc-%d", __GNUC__);
#endif
#if defined(__x86_64__)
    printf(" x86_64");
#elif defined(__aarch64__)
    printf(" aarch64");
#endif
    printf(" %s\n", BENCH_BUILD_TYPE);
}

int main(void)
{
    print_build();
    for (size_t i = 0; i < sizeof operations / sizeof operations[0]; i++) count_one(&operations[i]);
    return 0;
}
