// SPDX-License-Identifier: MIT
//
// faults: every point at which the system can refuse, one by one. A program that uses a bit of everything is run again and again; in run k the
// k-th call that can fail does (mmap, madvise, aligned_alloc, pthread_create, pthread_key_create, pthread_setspecific, open, write,
// sched_getaffinity), in a second series all calls from the k-th on, in a third the memory limit is every number of blocks there is, in a
// fourth the address space is limited. After each run: what was refused was an answer (a status, NULL), what was granted held what was
// written to it, the system could be destroyed, and every mapping, allocation and thread was given back.
//
// --planted: one mapping is kept back on purpose, which must be found.
#include <framealloc/framealloc.h>

#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

// Refusing -----------------------------------------------------------------------------------------------------------------

static atomic_bool armed;
static atomic_uint calls;       // that could fail, since armed
static atomic_uint fail_from;   // the first that fails, from 1; 0: none
static atomic_uint fail_number; // how many do
static atomic_uint failed;
static atomic_llong mappings, allocations, threads; // given out and not given back; since armed
static bool planted;

static bool refuses(void)
{
    if (!atomic_load(&armed)) return false;
    uint32_t call = atomic_fetch_add(&calls, 1u) + 1, from = atomic_load(&fail_from);
    if (from == 0 || call < from || call - from >= atomic_load(&fail_number)) return false;
    atomic_fetch_add(&failed, 1u);
    return true;
}

// The linker puts these between the library and the system (CMakeLists.txt).
#define WRAPPED(result, name, ...)                                                                                     \
    result __wrap_##name(__VA_ARGS__);                                                                                 \
    result __real_##name(__VA_ARGS__);                                                                                 \
    result __wrap_##name(__VA_ARGS__)

WRAPPED(void *, mmap, void *address, size_t size, int protection, int flags, int file, off_t offset)
{
    if (refuses()) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    void *p = __real_mmap(address, size, protection, flags, file, offset);
    if (p != MAP_FAILED && atomic_load(&armed)) atomic_fetch_add(&mappings, (long long)size);
    return p;
}

WRAPPED(int, munmap, void *address, size_t size)
{
    if (planted && atomic_exchange(&armed, false)) {
        planted = false;
        atomic_store(&armed, true);
        return 0;
    }
    if (atomic_load(&armed)) atomic_fetch_sub(&mappings, (long long)size);
    return __real_munmap(address, size);
}

WRAPPED(int, madvise, void *address, size_t size, int advice)
{
    if (refuses()) {
        errno = EAGAIN;
        return -1;
    }
    return __real_madvise(address, size, advice);
}

WRAPPED(void *, aligned_alloc, size_t align, size_t size)
{
    void *p = refuses() ? NULL : __real_aligned_alloc(align, size);
    if (p != NULL && atomic_load(&armed)) atomic_fetch_add(&allocations, 1);
    return p;
}

WRAPPED(void, free, void *p)
{
    if (p != NULL && atomic_load(&armed)) atomic_fetch_sub(&allocations, 1);
    __real_free(p);
}

WRAPPED(int, pthread_create, pthread_t *out, const pthread_attr_t *attributes, void *(*fn)(void *), void *arg)
{
    if (refuses()) return EAGAIN;
    int error = __real_pthread_create(out, attributes, fn, arg);
    if (error == 0 && atomic_load(&armed)) atomic_fetch_add(&threads, 1);
    return error;
}

WRAPPED(int, pthread_join, pthread_t thread, void **result)
{
    if (atomic_load(&armed)) atomic_fetch_sub(&threads, 1);
    return __real_pthread_join(thread, result);
}

WRAPPED(int, pthread_key_create, pthread_key_t *key, void (*destructor)(void *))
{
    return refuses() ? EAGAIN : __real_pthread_key_create(key, destructor);
}

WRAPPED(int, pthread_setspecific, pthread_key_t key, const void *value)
{
    return value != NULL && refuses() ? ENOMEM : __real_pthread_setspecific(key, value);
}

WRAPPED(int, sched_getaffinity, pid_t process, size_t size, cpu_set_t *set)
{
    if (!refuses()) return __real_sched_getaffinity(process, size, set);
    errno = EINVAL;
    return -1;
}

// A bit of everything --------------------------------------------------------------------------------------------------------

__attribute__((noreturn, format(printf, 1, 2))) static void give_up(const char *text, ...)
{
    va_list arguments;
    va_start(arguments, text);
    fprintf(stderr, "faults: call %u of %u failed: ", atomic_load(&fail_from), atomic_load(&calls));
    vfprintf(stderr, text, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    abort();
}

/// An answer that a refusal may have.
static bool is_granted(fa_status status, const char *what)
{
    switch (status) {
        case FA_OK: return true;
        case FA_ERROR_MEMORY:
        case FA_ERROR_THREAD:
        case FA_ERROR_FULL:
        case FA_ERROR_BUSY:
        case FA_ERROR_IO:
        case FA_ERROR_STALE: // of what could not be made
        case FA_ERROR_INVALID: return false;
        default: give_up("%s: %s", what, fa_status_text(status));
    }
}

static void check(bool fact, const char *what)
{
    if (!fact) give_up("not true: %s", what);
}

static void *filled(void *p, size_t size)
{
    if (p != NULL) memset(p, 0x6b, size);
    return p;
}

static void check_filled(const unsigned char *p, size_t size)
{
    for (size_t i = 0; p != NULL && i < size; i++) check(p[i] == 0x6b, "an object holds what was written");
}

struct program {
    fa_system *fa;
    fa_cell cell;
    fa_group group;
    fa_scratch scratch;
    fa_handle handles[8];
    fa_stream stream;
    void *shared[8]; // made by jobs, freed by others
};

static void job(fa_worker *w, void *arg)
{
    struct program *p = *(struct program **)arg;
    void *frame = filled(fa_frame_alloc(w, 3000), 3000), *span = filled(fa_frame_alloc(w, 700000), 700000);
    void *pool = filled(fa_pool_alloc(w, 200), 200), *heap = filled(fa_heap_alloc(w, 3 << 20, 64), 3 << 20);
    FA_SCOPE(w);
    void *scope = filled(fa_scope_alloc(w, 100000), 100000);
    FA_TAG(w, "job");
    void *tagged = filled(fa_pool_alloc(w, 64), 64), *grouped = filled(fa_group_alloc(w, p->group, 5000, 16), 5000);
    (void)filled(fa_scratch_alloc(w, p->scratch, 5000, 16), 5000);
    fa_retain retain = {.to = FA_RETAIN_POOL, .cell = &p->cell};
    (void)filled(fa_frame_retained(w, 300, 16, &retain), 300);
    check_filled(fa_cell_read(w, &p->cell), 300);
    for (int i = 0; i < 8; i++) {
        void *other = __atomic_exchange_n(&p->shared[i], filled(fa_pool_alloc(w, 1000), 1000), __ATOMIC_ACQ_REL);
        check_filled(other, 1000);
        fa_pool_free(w, other);
    }
    check_filled(frame, 3000);
    check_filled(span, 700000);
    check_filled(pool, 200);
    check_filled(heap, 3 << 20);
    check_filled(scope, 100000);
    check_filled(tagged, 64);
    check_filled(grouped, 5000);
    fa_pool_free(w, pool);
    fa_pool_free(w, tagged);
    fa_heap_free(w, heap);
}

static void use_handles(struct program *p, fa_worker *w)
{
    for (int i = 0; i < 8; i++) {
        check_filled(fa_handle_peek(w, p->handles[i]), 20000);
        if (!fa_handle_is_none(p->handles[i]) && i % 2 == 0) (void)fa_handle_free(w, p->handles[i]);
        if (fa_handle_is_none(p->handles[i]) || i % 2 == 0) {
            p->handles[i] = fa_handle_alloc(w, 20000, 16, NULL);
            (void)filled(fa_handle_peek(w, p->handles[i]), 20000);
        }
    }
    fa_handle_compaction done;
    (void)is_granted(fa_handles_compact(p->fa, SIZE_MAX, UINT32_MAX, &done), "compact");
    for (int i = 0; i < 8; i++) check_filled(fa_handle_peek(w, p->handles[i]), 20000);
}

static void use_stream(struct program *p, fa_worker *w)
{
    void *memory;
    if (!is_granted(fa_stream_reserve(w, 100000, FA_STREAM_LOW, NULL, &p->stream), "reserve")) return;
    if (is_granted(fa_stream_load_begin(w, p->stream, &memory), "load")) {
        (void)filled(memory, 100000);
        check(fa_stream_load_end(w, p->stream) == FA_OK, "a load ends");
        check_filled(fa_stream_read(w, p->stream, NULL), 100000);
    }
    check(fa_stream_free(w, p->stream) == FA_OK, "a stream is freed");
}

static void *guest(void *context)
{
    fa_worker *w;
    if (!is_granted(fa_attach(context, &w), "attach")) return NULL;
    fa_pool_free(w, filled(fa_pool_alloc(w, 500), 500));
    check(fa_detach(w) == FA_OK, "a thread detaches");
    return NULL;
}

static void on_event(const fa_event *event, void *context)
{
    (void)event;
    (void)context;
}

static void tick(struct program *p, fa_worker *w)
{
    if (!is_granted(fa_frame_begin(p->fa), "begin")) return;
    for (int i = 0; i < 20; i++) {
        struct program *arguments[25] = {p}; // too many to travel inside a job
        (void)is_granted(fa_submit_copy(w, NULL, job, arguments, i % 2 == 0 ? sizeof arguments : sizeof p), "submit");
    }
    check(fa_frame_end(p->fa, NULL) == FA_OK, "a frame ends");
}

static void use_system(struct program *p)
{
    fa_worker *w = fa_self(p->fa);
    fa_listener listener = {0};
    fa_tag tag;
    (void)is_granted(fa_tag_find(p->fa, "job", &tag), "tag");
    (void)is_granted(fa_group_create(w, "group", &p->group), "group");
    (void)is_granted(fa_scratch_create(w, "scratch", 64 << 10, &p->scratch), "scratch pool");
    (void)is_granted(fa_listen(p->fa, UINT64_MAX, on_event, NULL, &listener), "listen");
    (void)is_granted(fa_history_enable(p->fa, 4), "history");
    bool traced = is_granted(fa_trace_start(p->fa, "/dev/null"), "trace");
    for (int i = 0; i < 3; i++) {
        tick(p, w);
        use_handles(p, w);
        use_stream(p, w);
        pthread_t thread;
        atomic_store(&armed, false); // the program's own
        int error = pthread_create(&thread, NULL, guest, p->fa);
        atomic_store(&armed, true);
        check(error == 0, "the test has a thread");
        atomic_store(&armed, true);
        (void)__real_pthread_join(thread, NULL);
    }
    if (traced) (void)fa_trace_stop(p->fa, NULL);
    (void)fa_unlisten(p->fa, listener);
    for (int i = 0; i < 8; i++) {
        check_filled(p->shared[i], 1000);
        fa_pool_free(w, p->shared[i]);
        if (!fa_handle_is_none(p->handles[i])) check(fa_handle_free(w, p->handles[i]) == FA_OK, "a handle is freed");
    }
    (void)fa_group_free(w, p->group);
    (void)fa_scratch_remove(w, p->scratch);
    (void)fa_cell_drop(w, &p->cell);
}

static void ignore(const fa_diagnostic *diagnostic, void *context)
{
    (void)context;
    if (strcmp(diagnostic->code, "FA901") == 0) give_up("%s", diagnostic->message); // damage
}

/// One run; whether the system was made.
static bool run(uint64_t memory_max)
{
    fa_config config = fa_config_minimal();
    config.worker_count = 2;
    config.attached_max = 2;
    config.memory_max = memory_max;
    config.deque_capacity = 16;
    config.frame_bytes_max = 0;
    config.pin_workers = true;
    config.report = ignore;
    struct program p = {0};
    atomic_store(&mappings, 0);
    atomic_store(&allocations, 0);
    atomic_store(&threads, 0);
    atomic_store(&calls, 0);
    atomic_store(&armed, true);
    bool made = is_granted(fa_create(&config, &p.fa), "create");
    if (made) {
        use_system(&p);
        check(fa_destroy(p.fa) == FA_OK, "a system is destroyed");
    }
    atomic_store(&armed, false);
    check(atomic_load(&mappings) == 0, "all mappings are given back");
    check(atomic_load(&allocations) == 0, "all allocations are given back");
    check(atomic_load(&threads) == 0, "all threads are joined");
    return made;
}

// The series -------------------------------------------------------------------------------------------------------------------

/// Run after run until one gets by without reaching the call that was to fail; how many there were.
static uint32_t each_call(uint32_t number, uint32_t *refused_systems)
{
    for (uint32_t k = 1;; k++) {
        atomic_store(&fail_from, k);
        atomic_store(&fail_number, number);
        atomic_store(&failed, 0);
        if (!run(0)) ++*refused_systems;
        if (atomic_load(&failed) == 0) return k - 1;
    }
}

static uint32_t each_limit(void)
{
    atomic_store(&fail_from, 0);
    for (uint32_t blocks = 1;; blocks++) {
        (void)run((uint64_t)blocks << 21);
        if (blocks > 40) return blocks;
    }
}

/// In a process of its own: limits cannot be taken back.
static uint32_t each_address_space(void)
{
    uint32_t runs = 0;
    for (uint64_t mib = 16; mib <= 2048; mib += mib / 4, runs++) {
        fflush(NULL);
        pid_t child = fork();
        if (child == 0) {
            const struct rlimit limit = {mib << 20, mib << 20};
            if (setrlimit(RLIMIT_AS, &limit) != 0) _exit(3);
            (void)run(0);
            _exit(0);
        }
        int status;
        if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
            give_up("with %llu MiB of address space", (unsigned long long)mib);
    }
    return runs;
}

static const struct argp_option argp_options[] = {{"planted", 'p', NULL, 0, "Keep a mapping back: must be found", 0},
                                                  {0}};

static error_t parse(int key, char *value, struct argp_state *state)
{
    (void)value;
    (void)state;
    if (key != 'p') return ARGP_ERR_UNKNOWN;
    planted = true;
    return 0;
}

int main(int argc, char **argv)
{
    const struct argp argp = {argp_options, parse, NULL, "Every refusal of the system, one by one.", NULL, NULL, NULL};
    argp_parse(&argp, argc, argv, 0, NULL, NULL);
    if (planted) {
        fflush(NULL);
        pid_t child = fork();
        if (child == 0) {
            (void)run(0);
            _exit(0);
        }
        int status = 0;
        bool found = child > 0 && waitpid(child, &status, 0) == child && WIFSIGNALED(status);
        printf("faults: the mapping kept back was %sfound\n", found ? "" : "NOT ");
        return found ? 0 : 1;
    }
    uint32_t refused = 0, address_spaces = each_address_space(); // first: it forks
    uint32_t one = each_call(1, &refused), all = each_call(UINT32_MAX, &refused), limits = each_limit();
    printf(
        "faults: %u single failures, %u for good, %u memory limits, %u address spaces; %u systems refused, 0 wrong\n",
        one, all, limits, address_spaces, refused);
    return 0;
}
