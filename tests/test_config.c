// SPDX-License-Identifier: MIT
//
// Configuration, creation and destruction: what is refused leaves nothing behind, systems share nothing, and every failure of mmap
// and thread creation is an answer. The linker puts the wrappers below between the library and the system (CMakeLists.txt).
#include "support.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

// Between the library and the system ------------------------------------------------------------------------------------

static int fail_mmap_at = -1; // the call with this number fails, counted from 0; -1: none
static int fail_thread_at = -1;
static atomic_llong mapped; // bytes that the library has mapped now
static atomic_int threads;  // that it has started and not joined

void *__real_mmap(void *address, size_t length, int protection, int flags, int file, off_t offset);
void *__wrap_mmap(void *address, size_t length, int protection, int flags, int file, off_t offset);
int __real_munmap(void *address, size_t length);
int __wrap_munmap(void *address, size_t length);
int __real_pthread_create(pthread_t *out, const pthread_attr_t *attributes, void *(*fn)(void *), void *arg);
int __wrap_pthread_create(pthread_t *out, const pthread_attr_t *attributes, void *(*fn)(void *), void *arg);
int __real_pthread_join(pthread_t thread, void **result);
int __wrap_pthread_join(pthread_t thread, void **result);

void *__wrap_mmap(void *address, size_t length, int protection, int flags, int file, off_t offset)
{
    if (fail_mmap_at >= 0 && fail_mmap_at-- == 0) return MAP_FAILED;
    void *p = __real_mmap(address, length, protection, flags, file, offset);
    if (p != MAP_FAILED) atomic_fetch_add(&mapped, (long long)length);
    return p;
}

int __wrap_munmap(void *address, size_t length)
{
    int result = __real_munmap(address, length);
    if (result == 0) atomic_fetch_sub(&mapped, (long long)length);
    return result;
}

int __wrap_pthread_create(pthread_t *out, const pthread_attr_t *attributes, void *(*fn)(void *), void *arg)
{
    if (fail_thread_at >= 0 && fail_thread_at-- == 0) return EAGAIN;
    int error = __real_pthread_create(out, attributes, fn, arg);
    if (error == 0) atomic_fetch_add(&threads, 1);
    return error;
}

int __wrap_pthread_join(pthread_t thread, void **result)
{
    int error = __real_pthread_join(thread, result);
    if (error == 0) atomic_fetch_sub(&threads, 1);
    return error;
}

// What the library has ------------------------------------------------------------------------------------------------

typedef struct footprint {
    int threads;
    long long mapped;
} footprint;

static footprint footprint_now(void)
{
    return (footprint){atomic_load(&threads), atomic_load(&mapped)};
}

static void assert_nothing_left(footprint before)
{
    assert_int_equal(atomic_load(&mapped), before.mapped);
    assert_int_equal(atomic_load(&threads), before.threads);
}

/// The system's own view, so that the counters above are known to count: threads of the process.
static int thread_count(void)
{
    int count = 0;
    DIR *tasks = opendir("/proc/self/task");
    assert_non_null(tasks);
    for (const struct dirent *task = readdir(tasks); task != NULL; task = readdir(tasks))
        count += task->d_name[0] != '.';
    closedir(tasks);
    return count;
}

// Values ----------------------------------------------------------------------------------------------------------------

static void defaults(const test_case *at)
{
    (void)at;
    fa_config config = fa_config_default();
    assert_int_equal(config.cookie, FA_CONFIG_COOKIE);
    assert_int_equal(config.worker_count, FA_WORKERS_AUTO);
    assert_int_equal(config.attached_max, 16);
    assert_int_equal(config.frames_in_flight, 1);
    assert_int_equal(config.deque_capacity, 4096);
    assert_int_equal(config.search_spin_us, 20);
    assert_int_equal(config.memory_max, 0);
    assert_int_equal(config.reserve_bytes, (uint64_t)64 << 30);
    assert_int_equal(config.frame_bytes_max, 0);
    assert_int_equal(config.prefault_bytes, 0);
    assert_int_equal(config.retained_max, 65536);
    assert_int_equal(config.handles_max, 1u << 20);
    assert_true(config.huge_pages);
    assert_false(config.pin_workers);
    assert_int_equal(config.checked, FA_ASSERTIONS);
    assert_null((void *)(uintptr_t)config.report);
}

static void automatic_workers(const test_case *at)
{
    (void)at;
    cpu_set_t usable;
    assert_int_equal(sched_getaffinity(0, sizeof usable, &usable), 0);
    uint32_t cpus = (uint32_t)CPU_COUNT(&usable);
    fa_config config = fa_config_default();
    footprint before = footprint_now();
    fa_system *fa = create(&config);
    assert_int_equal(fa_worker_count(fa), cpus > 2 ? cpus - 1 : 1);
    assert_int_equal(atomic_load(&threads), before.threads + (int)fa_worker_count(fa) + 1); // the reclaimer
    assert_true(thread_count() > (int)fa_worker_count(fa) + 1);
    assert_true(atomic_load(&mapped) > before.mapped);
    begin(fa);
    end(fa);
    assert_int_equal(fa_destroy(fa), FA_OK);
}

static void not_a_configuration(const test_case *at)
{
    sink to;
    fa_config good = case_config(at, &to), bad;
    footprint before = footprint_now();
    fa_system *out;
    memset(&bad, 0, sizeof bad);
    out = (fa_system *)(uintptr_t)16;
    assert_int_equal(fa_create(&bad, &out), FA_ERROR_CONFIG);
    assert_null(out);
    for (uint32_t bit = 0; bit < 32; bit++) {
        bad = good;
        bad.cookie ^= 1u << bit;
        out = (fa_system *)(uintptr_t)16;
        assert_int_equal(fa_create(&bad, &out), FA_ERROR_CONFIG);
        assert_null(out);
    }
    out = (fa_system *)(uintptr_t)16;
    assert_int_equal(fa_create(NULL, &out), FA_ERROR_INVALID);
    assert_null(out);
    // Through a variable: the compiler would warn that the answer is not used otherwise.
    fa_status status = fa_create(&good, NULL);
    assert_int_equal(status, FA_ERROR_INVALID);
    assert_int_equal(fa_destroy(NULL), FA_OK);
    assert_nothing_left(before);
    assert_quiet(&to);
}

#define BLOCK (2 * MIB)

/// The diagnostic names the field that `what` sets.
static void assert_refused(const fa_config *config, const char *what)
{
    sink *to = config->report_context;
    char field[32] = "";
    assert_int_equal(sscanf(what, "config.%31[a-z_]", field), 1);
    fa_system *out = (fa_system *)(uintptr_t)16;
    fa_status status = fa_create(config, &out);
    if (status != FA_ERROR_INVALID) print_error("%s: %s\n", what, fa_status_text(status));
    assert_int_equal(status, FA_ERROR_INVALID);
    assert_null(out);
    assert_non_null(strstr(to->message, field));
    assert_reported(to, 907, 1);
}

static void out_of_range(const test_case *at)
{
    sink to;
    fa_config good = case_config(at, &to);
    footprint before = footprint_now();
    uint64_t lanes = good.worker_count + 1 + good.attached_max;
#define REFUSED(change)                                                                                                \
    do {                                                                                                               \
        fa_config config = good;                                                                                       \
        change;                                                                                                        \
        assert_refused(&config, #change);                                                                              \
    } while (0)
    REFUSED(config.worker_count = FA_WORKERS_MAX + 1);
    REFUSED(config.attached_max = FA_ATTACHED_MAX + 1);
    REFUSED(config.frames_in_flight = 0);
    REFUSED(config.frames_in_flight = FA_FRAMES_IN_FLIGHT_MAX + 1);
    REFUSED(config.deque_capacity = 0);
    REFUSED(config.deque_capacity = 8);
    REFUSED(config.deque_capacity = 100);
    REFUSED(config.deque_capacity = 131072);
    REFUSED(config.reserve_bytes = 0);
    REFUSED(config.reserve_bytes = 62 * MIB);
    REFUSED(config.reserve_bytes = 64 * MIB + 1);
    REFUSED(config.reserve_bytes = (uint64_t)2 << 40);
    REFUSED(config.reserve_bytes = UINT64_MAX);
    REFUSED(config.memory_max = 1);
    REFUSED(config.memory_max = (lanes - 1) * BLOCK);
    REFUSED(config.prefault_bytes = 4096);
    REFUSED(config.prefault_bytes = config.reserve_bytes + BLOCK);
    REFUSED(config.retained_max = (1u << 24) + 1);
    REFUSED(config.pool_classes = 0);
    REFUSED(config.pool_classes = FA_CLASSES_ALL + 1);
    REFUSED(config.strict = (fa_strict)3);
    REFUSED(config.handles_max = (1u << 24) - 1);
    REFUSED(config.event_capacity = 0);
    REFUSED(config.event_capacity = 32);
    REFUSED(config.event_capacity = 100);
    REFUSED(config.event_capacity = 1u << 21);
    REFUSED(config.history_length = 0);
    REFUSED(config.history_length = 65537);
    REFUSED(config.pressure_percent = 101);
    REFUSED(config.large_bytes = 32767);
    good.memory_max = lanes * BLOCK;
    REFUSED(config.prefault_bytes = config.memory_max + BLOCK);
    REFUSED(config.frame_bytes_max = config.memory_max + 1);
#undef REFUSED
    assert_nothing_left(before);
    assert_quiet(&to);
}

/// The ends of all ranges are accepted and do work.
static void edges_of_ranges(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    config.attached_max = at->checked ? 0 : FA_ATTACHED_MAX;
    config.frames_in_flight = FA_FRAMES_IN_FLIGHT_MAX;
    config.deque_capacity = at->checked ? 16 : 65536;
    config.reserve_bytes = 64 * MIB;
    config.retained_max = at->checked ? 0 : 1u << 24;
    config.handles_max = at->checked ? 0 : (1u << 24) - 2;
    config.prefault_bytes = 4 * MIB;
    config.huge_pages = false;
    config.pin_workers = true;
    if (at->checked) config.memory_max = (config.worker_count + 1) * BLOCK;
    if (config.memory_max != 0 && config.memory_max < 4 * MIB) config.memory_max = 4 * MIB;
    fa_system *fa = create(&config);
    assert_int_equal(fa_worker_count(fa), at->workers);
    for (int i = 0; i < 40; i++) {
        begin(fa);
        assert_non_null(fa_frame_alloc(fa_self(fa), 100));
        end(fa);
    }
    fa_stats stats = stats_of(fa);
    assert_true(stats.memory_bytes >= 4 * MIB);
    assert_true(config.memory_max == 0 || stats.memory_peak <= config.memory_max);
    assert_null(fa_heap_alloc(fa_self(fa), 64 * MIB + 1, 16)); // more than the range
    assert_reported(&to, 301, 1);
    fa_worker *other;
    assert_int_equal(fa_attach(fa, &other), FA_ERROR_STATE);
    destroy_quiet(fa, &to);
}

/// Bytes of frame memory in pieces of `size` before the limit refuses, at most `most`.
static size_t frame_room(fa_worker *w, size_t size, size_t most)
{
    size_t bytes = 0;
    while (bytes < most && fa_frame_alloc(w, size) != NULL) bytes += size;
    return bytes;
}

static void frame_limits_are_exact(const test_case *at)
{
    static const size_t limits[] = {4 * KIB, 64 * KIB, 1 * MIB, 5 * MIB};
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        sink to;
        fa_config config = case_config(at, &to);
        config.frame_bytes_max = limits[i];
        fa_system *fa = create(&config);
        for (unsigned frame = 1; frame <= 3; frame++) {
            begin(fa);
            assert_int_equal(frame_room(fa_self(fa), 16, 16 * MIB), limits[i]);
            assert_null(fa_frame_alloc(fa_self(fa), 1));
            end(fa);
            assert_reported(&to, 3, 1);
        }
        destroy_quiet(fa, &to);
    }
}

static void add_one(fa_worker *w, void *arg)
{
    (void)w;
    atomic_fetch_add((atomic_uint *)arg, 1u);
}

static void presets(const test_case *at)
{
    sink to;
    fa_config config = fa_config_minimal(), sunk = case_config(at, &to);
    config.report = sunk.report;
    config.report_context = sunk.report_context;
    fa_system *fa = create(&config);
    assert_int_equal(fa_worker_count(fa), 0);
    begin(fa);
    assert_int_equal(frame_room(fa_self(fa), 16, 16 * MIB), 1 * MIB);
    end(fa);
    assert_reported(&to, 3, 1);
    destroy_quiet(fa, &to);

    config = fa_config_high_performance();
    config.report = sunk.report;
    config.report_context = sunk.report_context;
    fa = create(&config);
    assert_true(fa_worker_count(fa) >= 1);
    begin(fa);
    end(fa);
    assert_true(stats_of(fa).memory_peak >= 64 * MIB); // before anything was allocated
    begin(fa);
    assert_int_equal(frame_room(fa_self(fa), 128, 96 * MIB), 96 * MIB);
    atomic_uint ran = 0;
    for (int i = 0; i < 10000; i++) assert_int_equal(fa_submit(fa_self(fa), add_one, &ran), FA_OK);
    end(fa);
    assert_int_equal(atomic_load(&ran), 10000);
    assert_int_equal(stats_of(fa).jobs_inline, 0);
    destroy_quiet(fa, &to);
}

static void prefault_is_memory(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    config.prefault_bytes = 16 * MIB;
    config.huge_pages = false;
    struct rusage before, after;
    fa_system *fa = create(&config);
    begin(fa);
    end(fa);
    fa_stats stats = stats_of(fa);
    assert_true(stats.memory_bytes >= 16 * MIB && stats.memory_bytes < 32 * MIB);
    begin(fa);
    getrusage(RUSAGE_SELF, &before);
    for (int i = 0; i < 80; i++) memset(fa_frame_alloc(fa_self(fa), 128 * KIB), 1, 128 * KIB);
    getrusage(RUSAGE_SELF, &after);
    // 10 MiB are 2560 pages of 4 KiB.
    // NOLINTNEXTLINE(misc-redundant-expression): both are numbers
    if (!WITH_ASAN && !WITH_TSAN && !WITH_QEMU && !WITH_MEMCHECK) assert_true(after.ru_minflt - before.ru_minflt < 256);
    end(fa);
    destroy_quiet(fa, &to);
}

// Many systems ----------------------------------------------------------------------------------------------------------

static void two_systems_share_nothing(const test_case *at)
{
    sink sinks[2];
    fa_system *fa[2];
    fa_worker *w[2];
    void *objects[2], *frame_memory[2];
    atomic_uint ran[2] = {0, 0};
    for (int i = 0; i < 2; i++) {
        fa[i] = create_case(at, &sinks[i]);
        w[i] = fa_self(fa[i]);
        assert_non_null(w[i]);
    }
    assert_ptr_not_equal(w[0], w[1]);
    for (int i = 0; i < 2; i++) assert_ptr_equal(fa_self(fa[i]), w[i]); // a context in each, on one thread
    begin(fa[0]);
    end(fa[0]);
    begin(fa[0]); // frame 2 of the first, frame 1 of the second, both open
    begin(fa[1]);
    assert_int_equal(fa_frame_number(fa[0]), 2);
    assert_int_equal(fa_frame_number(fa[1]), 1);
    for (int i = 0; i < 2; i++) {
        objects[i] = fa_pool_alloc(w[i], 100);
        frame_memory[i] = fa_frame_alloc(w[i], 1000);
        fill(objects[i], 100, (uint64_t)i);
        fill(frame_memory[i], 1000, (uint64_t)i + 2);
        for (int j = 0; j < 100; j++) assert_int_equal(fa_submit(w[i], add_one, &ran[i]), FA_OK);
    }
    assert_int_equal(fa_usable_size(fa[1], objects[0]), 0);
    assert_int_equal(fa_usable_size(fa[0], objects[1]), 0);
    fa_pool_free(w[1], objects[0]);
    fa_heap_free(w[1], objects[0]);
    fa_free_any(fa[1], objects[0]);
    assert_reported(&sinks[1], 201, 3);
    assert_quiet(&sinks[0]);
    fa_cell cell = {NULL};
    assert_int_equal(fa_cell_publish(w[1], &cell, objects[0]), FA_ERROR_INVALID);
    assert_reported(&sinks[1], 201, at->checked ? 1 : 0);
    end(fa[1]);
    assert_int_equal(atomic_load(&ran[1]), 100);
    assert_int_equal(stats_of(fa[1]).pool_live, 1);
    fa_pool_free(w[1], objects[1]);
    destroy_quiet(fa[1], &sinks[1]);
    assert_true(is_filled(objects[0], 100, 0));
    assert_true(is_filled(frame_memory[0], 1000, 2));
    end(fa[0]);
    assert_int_equal(atomic_load(&ran[0]), 100);
    assert_int_equal(stats_of(fa[0]).pool_live, 1);
    fa_pool_free(w[0], objects[0]);
    destroy_quiet(fa[0], &sinks[0]);
}

/// A job of one system drives a whole other system; meanwhile it is still that job, and its lane's memory is at hand.
static void in_and_out(fa_worker *w, void *arg)
{
    fa_system **inner = arg;
    test_case at = {1, true};
    sink to;
    fa_config config = case_config(&at, &to);
    EXPECT(fa_create(&config, inner) == FA_OK);
    EXPECT(fa_frame_begin(*inner) == FA_OK);
    atomic_uint ran = 0;
    for (int i = 0; i < 50; i++) EXPECT(fa_submit(fa_self(*inner), add_one, &ran) == FA_OK);
    EXPECT(fa_frame_end(*inner, NULL) == FA_OK);
    EXPECT(atomic_load(&ran) == 50);
    EXPECT(fa_self(*inner) != NULL && fa_self(*inner) != w);
    EXPECT(fa_self(w->system) == w && fa_frame_alloc(w, 100) != NULL);
    EXPECT(fa_destroy(*inner) == FA_OK);
    EXPECT(atomic_load(&to.total) == 0);
}

static void a_system_inside_a_job(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to), *inner = NULL;
    begin(fa);
    fa_counter counter = FA_COUNTER_INIT;
    assert_int_equal(fa_submit_counted(fa_self(fa), &counter, in_and_out, &inner), FA_OK);
    assert_int_equal(fa_wait(fa_self(fa), &counter), FA_OK);
    end(fa);
    destroy_quiet(fa, &to);
}

static void many_at_once(const test_case *at)
{
    enum { SYSTEMS = 8 };
    sink sinks[SYSTEMS];
    fa_system *fa[SYSTEMS];
    atomic_uint ran = 0;
    footprint before = footprint_now();
    for (int i = 0; i < SYSTEMS; i++) {
        fa_config config = case_config(at, &sinks[i]);
        config.reserve_bytes = (uint64_t)1 << 30; // all of them have room where addresses are few
        fa[i] = create(&config);
    }
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < SYSTEMS; i++) {
            begin(fa[i]);
            for (int j = 0; j < 10; j++) assert_int_equal(fa_submit(fa_self(fa[i]), add_one, &ran), FA_OK);
        }
        for (int i = SYSTEMS; i-- > 0;) end(fa[i]);
    }
    assert_int_equal(atomic_load(&ran), SYSTEMS * 5 * 10);
    for (int i = 0; i < SYSTEMS; i += 2) destroy_quiet(fa[i], &sinks[i]);
    for (int i = 1; i < SYSTEMS; i += 2) {
        begin(fa[i]);
        end(fa[i]);
        destroy_quiet(fa[i], &sinks[i]);
    }
    assert_nothing_left(before);
}

static void create_and_destroy(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    footprint before = footprint_now();
    int rounds = ROUNDS(200);
    for (int i = 0; i < rounds; i++) {
        config.reserve_bytes = i % 2 == 0 ? 64 * MIB : (uint64_t)64 << 30;
        fa_system *fa = create(&config);
        if (i % 4 == 1) begin(fa); // an open frame is ended by destroy
        if (i % 4 == 2) {
            begin(fa);
            assert_non_null(fa_frame_alloc(fa_self(fa), 10));
            end(fa);
        }
        destroy_quiet(fa, &to);
    }
    assert_nothing_left(before);
}

// Refusals by the system ------------------------------------------------------------------------------------------------

static void failing_calls(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    config.reserve_bytes = 64 * MIB; // no smaller one to fall back to
    footprint before = footprint_now();
    int failed = 0;
    for (int call = 0;; call++) {
        assert_true(call < 100);
        fail_mmap_at = call;
        fa_system *fa = (fa_system *)(uintptr_t)16;
        fa_status status = fa_create(&config, &fa);
        bool reached = fail_mmap_at < 0;
        fail_mmap_at = -1;
        if (!reached) {
            assert_int_equal(status, FA_OK);
            assert_int_equal(fa_destroy(fa), FA_OK);
            break;
        }
        if (status == FA_OK) { // something that can do with less
            begin(fa);
            end(fa);
            assert_int_equal(fa_destroy(fa), FA_OK);
        } else {
            assert_int_equal(status, FA_ERROR_MEMORY);
            assert_null(fa);
            failed++;
        }
        assert_nothing_left(before);
    }
    assert_true(failed >= 3);
    for (uint32_t thread = 0; thread <= at->workers; thread++) { // the workers and the reclaimer
        fail_thread_at = (int)thread;
        fa_system *fa = (fa_system *)(uintptr_t)16;
        assert_int_equal(fa_create(&config, &fa), FA_ERROR_THREAD);
        assert_int_equal(fail_thread_at, -1);
        assert_null(fa);
        assert_nothing_left(before);
    }
    assert_quiet(&to);
}

static void smaller_reservation(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    config.reserve_bytes = 128 * MIB;
    fail_mmap_at = 0;
    fa_system *fa = create(&config);
    assert_int_equal(fail_mmap_at, -1);
    begin(fa);
    assert_non_null(fa_frame_alloc(fa_self(fa), MIB));
    end(fa);
    void *p = fa_heap_alloc(fa_self(fa), 40 * MIB, 16);
    assert_non_null(p);
    assert_null(fa_heap_alloc(fa_self(fa), 40 * MIB, 16)); // 128 MiB would have room
    assert_reported(&to, 301, 1);
    fa_heap_free(fa_self(fa), p);
    destroy_quiet(fa, &to);
}

static size_t address_space(void)
{
    unsigned long pages = 0;
    FILE *statm = fopen("/proc/self/statm", "r");
    if (statm == NULL || fscanf(statm, "%lu", &pages) != 1) return 0;
    fclose(statm);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

/// In a child with `extra` bytes of address space: its exit status is the status of fa_create(), or 100 if what it gave does not work.
static int try_with(const fa_config *config, size_t extra)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        alarm(20);
        size_t have = address_space();
        struct rlimit limit = {have + extra, have + extra};
        if (have == 0 || setrlimit(RLIMIT_AS, &limit) != 0) _exit(101);
        fa_system *fa = (fa_system *)(uintptr_t)16;
        fa_status status = fa_create(config, &fa);
        if (status != FA_OK) _exit(fa == NULL ? (int)status : 102);
        atomic_uint ran = 0;
        bool good = fa_frame_begin(fa) == FA_OK;
        good = good && fa_submit(fa_self(fa), add_one, &ran) == FA_OK;
        void *p = fa_pool_alloc(fa_self(fa), 64);
        good = good && fa_frame_end(fa, NULL) == FA_OK && atomic_load(&ran) == 1 && p != NULL;
        fa_pool_free(fa_self(fa), p);
        good = good && fa_destroy(fa) == FA_OK;
        _exit(good ? 0 : 100);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void address_space_limit(const test_case *at)
{
    if (WITH_ASAN || WITH_TSAN || WITH_QEMU || WITH_MEMCHECK) skip(); // they need address space of their own
    sink to;
    fa_config config = case_config(at, &to);
    config.reserve_bytes = (uint64_t)64 << 30;
    for (size_t extra = 4 * MIB; extra <= (size_t)32 << 30; extra *= 2) {
        int status = try_with(&config, extra);
        if (status != FA_OK && status != FA_ERROR_MEMORY && status != FA_ERROR_THREAD)
            print_error("with %zu MiB: %d\n", extra >> 20, status);
        assert_true(status == FA_OK || status == FA_ERROR_MEMORY || status == FA_ERROR_THREAD);
        if (extra <= 32 * MIB) assert_int_equal(status, FA_ERROR_MEMORY);
        if (extra >= (size_t)4 << 30) assert_int_equal(status, FA_OK);
    }
}

static void texts(const test_case *at)
{
    (void)at;
    for (int i = 0; i <= FA_ERROR_UNSUPPORTED; i++) {
        const char *text = fa_status_text((fa_status)i);
        assert_true(text != NULL && text[0] != '\0');
        for (int j = 0; j < i; j++) assert_string_not_equal(text, fa_status_text((fa_status)j));
    }
    assert_non_null(fa_status_text((fa_status)1000));
}

int main(int argc, char **argv)
{
    const test_entry entries[] = {
        EACH_OF(defaults, "0", "n"),
        EACH_OF(automatic_workers, "0", "n"),
        EACH_OF(not_a_configuration, "04", "n"),
        EACH_OF(out_of_range, "04", "n"),
        EACH_OF(edges_of_ranges, COUNTED("0124"), "ny"),
        EACH(frame_limits_are_exact),
        EACH_OF(presets, COUNTED("0"), "n"),
        EACH_OF(prefault_is_memory, COUNTED("02"), "n"),
        EACH_OF(two_systems_share_nothing, COUNTED("0124"), "ny"),
        EACH(a_system_inside_a_job),
        EACH_OF(many_at_once, "024", "n"),
        EACH_OF(create_and_destroy, "0124", "n"),
        EACH_OF(failing_calls, "014", "n"),
        EACH_OF(smaller_reservation, "02", "n"),
        EACH_OF(address_space_limit, "04", "n"),
        EACH_OF(texts, "0", "n"),
    };
    return RUN_MATRIX("config", entries, argc, argv);
}
