// SPDX-License-Identifier: MIT
//
// What the code under the checker has for a system: memory that is the same at the start of every execution, a clock, futexes, threads and
// liburcu. All of it runs on one thread of the real system, so it is plain code between the calls of let_others().
#include "tests/model/internal.h"

#include <cerrno>
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

namespace {

const unsigned THREADS = MC_THREADS_MAX;

struct thread {
    void (*fn)(void *);
    void *context;
};

struct {
    uint64_t time_ns;
    const void *sleeps_on[THREADS];
    bool over[THREADS];          // library threads that have ended
    unsigned waits_for[THREADS]; // library thread + 1 that a thread joins
    struct {
        bool online, waits;
        uint32_t states; // quiescent ones
    } reader[THREADS];
} now;

// Worlds: memory that every execution finds as setup left it. Pages are read-only until they are first written; from then on they are
// put back before each execution.

const size_t PAGE = 4096;
const unsigned MAPPINGS_MAX = 1024, PAGES_MAX = 32768, WORLDS_MAX = 64, STARTED_MAX = 8;
const size_t HEAP = 16 << 20;

struct world {
    const mc_model *model;
    thread started[STARTED_MAX];
    unsigned started_count;
    char *heap, *heap_end;
    char *locals; // the main lane's
};

/// What the library got from aligned_alloc().
struct piece {
    char *p;
    size_t size;
};

struct mapping {
    unsigned world;
    char *p;
    size_t size;
};

struct page {
    unsigned world;
    char *p;
    char saved[PAGE];
};

world worlds[WORLDS_MAX];
unsigned world_count, open_world; // numbers begin with 1; 0: none
unsigned current;
mapping mappings[MAPPINGS_MAX];
unsigned mapping_count;
piece pieces[256];
unsigned piece_count;
page *pages;
unsigned page_count;

void on_write(int, siginfo_t *info, void *)
{
    char *p = (char *)((uintptr_t)info->si_addr & ~(PAGE - 1));
    for (unsigned i = 0; i < mapping_count; i++) {
        if (p < mappings[i].p || p >= mappings[i].p + mappings[i].size) continue;
        if (page_count == PAGES_MAX) break;
        pages[page_count].world = mappings[i].world;
        pages[page_count].p = p;
        memcpy(pages[page_count++].saved, p, PAGE);
        if (mprotect(p, PAGE, PROT_READ | PROT_WRITE) == 0) return;
    }
    signal(SIGSEGV, SIG_DFL);
}

void add_mapping(void *p, size_t size)
{
    if (mapping_count == MAPPINGS_MAX) abort();
    mappings[mapping_count++] = {open_world, (char *)p, size};
}

} // namespace

namespace mc {

void reset_system(const mc_model *model)
{
    memset(&now, 0, sizeof now);
    now.time_ns = 1000000000;
    current = 0;
    for (unsigned i = 1; i <= world_count; i++)
        if (worlds[i].model == model) current = i;
    if (current == 0) return;
    memcpy(__start_mc_thread_local, worlds[current].locals, local_size()); // thread 0 set it up
    for (unsigned i = 0; i < page_count; i++)
        if (pages[i].world == current) memcpy(pages[i].p, pages[i].saved, PAGE);
}

} // namespace mc

extern "C" {

void mc_world_open(const mc_model *model)
{
    if (++world_count == WORLDS_MAX) abort();
    open_world = world_count;
    worlds[open_world].model = model;
    void *heap = mmap(nullptr, HEAP, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (heap == MAP_FAILED) abort();
    worlds[open_world].heap = (char *)heap;
    worlds[open_world].heap_end = (char *)heap + HEAP;
    memset(__start_mc_thread_local, 0, mc::local_size());
}

void mc_world_close(void)
{
    if (pages == nullptr) pages = (page *)calloc(PAGES_MAX, sizeof *pages);
    struct sigaction action = {};
    action.sa_sigaction = on_write;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGSEGV, &action, nullptr);
    for (unsigned i = 0; i < mapping_count; i++)
        if (mappings[i].world == open_world) (void)mprotect(mappings[i].p, mappings[i].size, PROT_READ);
    worlds[open_world].locals = (char *)malloc(mc::local_size() + 1);
    memcpy(worlds[open_world].locals, __start_mc_thread_local, mc::local_size());
    open_world = 0;
}

// The linker sends the library's calls here (--wrap).

void *__real_mmap(void *p, size_t size, int protection, int flags, int file, off_t offset);
int __real_munmap(void *p, size_t size);
void *__real_aligned_alloc(size_t align, size_t size);
void __real_free(void *p);
int __real_madvise(void *p, size_t size, int advice);

void *__wrap_mmap(void *p, size_t size, int protection, int flags, int file, off_t offset)
{
    if (mc::running()) return MAP_FAILED; // a limit is an answer
    void *map = __real_mmap(p, size, protection, flags, file, offset);
    if (map != MAP_FAILED && open_world != 0) add_mapping(map, size);
    return map;
}

int __wrap_munmap(void *p, size_t size)
{
    if (mc::running()) return 0; // the next execution wants it back
    for (unsigned i = 0; i < mapping_count && open_world != 0; i++) {
        mapping &m = mappings[i];
        if (p == m.p) {
            m.p += size;
            m.size -= size;
        } else if (p > m.p && (char *)p + size == m.p + m.size) {
            m.size -= size;
        }
    }
    return __real_munmap(p, size);
}

int __wrap_madvise(void *p, size_t size, int advice)
{
    return open_world != 0 || mc::running() ? 0 : __real_madvise(p, size, advice);
}

void *__wrap_aligned_alloc(size_t align, size_t size)
{
    if (mc::running()) return nullptr;
    if (open_world == 0) return __real_aligned_alloc(align, size);
    world &w = worlds[open_world];
    char *p = (char *)(((uintptr_t)w.heap + align - 1) & ~(align - 1));
    if (p + size > w.heap_end || piece_count == sizeof pieces / sizeof *pieces) return nullptr;
    w.heap = p + size;
    pieces[piece_count++] = {p, size};
    return p;
}

/// Nobody may use it from here on.
void __wrap_free(void *p)
{
    for (unsigned i = 0; i < piece_count; i++) {
        if (pieces[i].p != p) continue;
        if (mc::running()) mc::plain_write(p, pieces[i].size, __builtin_return_address(0));
        return;
    }
    __real_free(p);
}

void *mc_memcpy(void *to, const void *from, size_t size)
{
    return mc_memmove(to, from, size);
}

void *mc_memmove(void *to, const void *from, size_t size)
{
    mc::plain_read(from, size, __builtin_return_address(0));
    mc::plain_write(to, size, __builtin_return_address(0));
    return memmove(to, from, size);
}

void *mc_memset(void *to, int byte, size_t size)
{
    mc::plain_write(to, size, __builtin_return_address(0));
    return memset(to, byte, size);
}

int mc_memcmp(const void *a, const void *b, size_t size)
{
    mc::plain_read(a, size, __builtin_return_address(0));
    mc::plain_read(b, size, __builtin_return_address(0));
    return memcmp(a, b, size);
}

int mc_strcmp(const char *a, const char *b)
{
    size_t size = 0;
    while (a[size] != '\0' && a[size] == b[size]) size++;
    return mc_memcmp(a, b, size + 1);
}

size_t mc_strlen(const char *text)
{
    mc::plain_read(text, strlen(text) + 1, __builtin_return_address(0));
    return strlen(text);
}

char *mc_strncpy(char *to, const char *from, size_t size)
{
    mc::plain_read(from, strnlen(from, size), __builtin_return_address(0));
    mc::plain_write(to, size, __builtin_return_address(0));
    return strncpy(to, from, size);
}

// Time and futexes ----------------------------------------------------------------------------------------------------------

int mc_clock_gettime(int, struct timespec *time)
{
    if (mc::running()) now.time_ns += 1000;
    time->tv_sec = (time_t)(now.time_ns / 1000000000);
    time->tv_nsec = (long)(now.time_ns % 1000000000);
    return 0;
}

static long futex_wait(const void *word, uint32_t value, const struct timespec *deadline)
{
    mc::let_others();
    if (mc::newest(word) != value) return -1;
    unsigned me = mc_self();
    now.sleeps_on[me] = word;
    if (mc::tracing()) fprintf(stderr, "    %u: sleeps on %p\n", me, word);
    mc::woken by = mc::park(deadline != nullptr, mc::at_random());
    now.sleeps_on[me] = nullptr;
    if (mc::tracing()) fprintf(stderr, "    %u: wakes up\n", me);
    if (by == mc::woken::by_time)
        now.time_ns = (uint64_t)deadline->tv_sec * 1000000000 + (uint64_t)deadline->tv_nsec + 1;
    return by == mc::woken::by_other ? 0 : -1;
}

static long futex_wake(const void *word, unsigned count)
{
    mc::let_others();
    long woken = 0;
    for (unsigned i = 0; i < THREADS && count > 0; i++) {
        if (now.sleeps_on[i] != word) continue;
        now.sleeps_on[i] = nullptr;
        mc::unpark(i);
        count--;
        woken++;
    }
    return woken;
}

long mc_syscall(long number, ...)
{
    va_list arguments;
    va_start(arguments, number);
    if (number != SYS_futex) mc::fail("a system call that the checker does not know");
    const void *word = va_arg(arguments, const void *);
    int operation = va_arg(arguments, int) & FUTEX_CMD_MASK;
    uint32_t value = va_arg(arguments, uint32_t);
    const struct timespec *deadline = va_arg(arguments, const struct timespec *);
    va_end(arguments);
    return operation == FUTEX_WAKE ? futex_wake(word, value) : futex_wait(word, value, deadline);
}

// Threads (concurrent/thread.h) ------------------------------------------------------------------------------------------------

struct fai_thread;

bool fai_thread_start(struct fai_thread *, void (*fn)(void *), void *context, const char *, int32_t)
{
    if (open_world == 0 || worlds[open_world].started_count == STARTED_MAX) return false;
    world &w = worlds[open_world];
    w.started[w.started_count++] = {fn, context};
    return true;
}

/// The contexts are in the world's memory and contain the fai_thread, so the n-th to be joined is found by its context.
void mc_run_library_thread(unsigned n)
{
    if (n >= worlds[current].started_count) mc::fail("the library has not started so many threads");
    worlds[current].started[n].fn(worlds[current].started[n].context);
    now.over[n] = true;
    mc::hand_over(mc_self(), mc::BOX_THREADS * THREADS + n);
    for (unsigned i = 0; i < THREADS; i++) {
        if (now.waits_for[i] != n + 1) continue;
        now.waits_for[i] = 0;
        mc::unpark(i);
    }
}

void fai_thread_join(struct fai_thread *thread)
{
    if (!mc::running()) return;
    const world &w = worlds[current];
    unsigned n = 0;
    // A worker, or the reclaimer, begins before its fai_thread and is the nearest such.
    for (unsigned i = 1; i < w.started_count; i++)
        if (w.started[i].context <= (void *)thread &&
            (w.started[n].context > (void *)thread || w.started[i].context > w.started[n].context))
            n = i;
    mc::let_others();
    if (!now.over[n]) {
        now.waits_for[mc_self()] = n + 1;
        (void)mc::park(false, false);
    }
    mc::take_over(mc::BOX_THREADS * THREADS + n, mc_self());
}

void fai_thread_detach(struct fai_thread *)
{
}

bool fai_thread_at_exit(void (*)(void))
{
    return true;
}

const void *fai_thread_self(void)
{
    static char names[THREADS];
    return &names[mc_self()];
}

bool fai_thread_is_reader(void)
{
    return false;
}

uint32_t fai_cpu_count(void)
{
    return THREADS;
}

// liburcu, QSBR ---------------------------------------------------------------------------------------------------------------------
//
// A grace period waits until each thread that was online has been through a quiescent state or offline. What such a reader did before happens
// before the end of the grace period; and fences on both sides let a reader that comes online later see what was unlinked.

static void pass(unsigned me)
{
    mc::hand_over(me, mc::BOX_READERS * THREADS + me);
    now.reader[me].states++;
    for (unsigned i = 0; i < THREADS; i++) {
        if (!now.reader[i].waits) continue;
        now.reader[i].waits = false;
        mc::unpark(i);
    }
}

void urcu_qsbr_register_thread(void)
{
    now.reader[mc_self()].online = true;
}

void urcu_qsbr_unregister_thread(void)
{
    now.reader[mc_self()].online = false;
    if (mc::running()) pass(mc_self());
}

void urcu_qsbr_thread_online(void)
{
    now.reader[mc_self()].online = true;
    if (mc::running()) mc::fence();
}

void urcu_qsbr_thread_offline(void)
{
    if (mc::running()) mc::fence();
    now.reader[mc_self()].online = false;
    if (mc::running()) pass(mc_self());
}

void urcu_qsbr_quiescent_state(void)
{
    if (!mc::running()) return;
    mc::fence();
    pass(mc_self());
    mc::fence();
}

int urcu_qsbr_read_ongoing(void)
{
    return 0; // nobody else registers
}

void urcu_qsbr_synchronize_rcu(void)
{
    unsigned me = mc_self();
    mc::fence();
    uint32_t states[THREADS];
    bool pending[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        states[i] = now.reader[i].states;
        pending[i] = i != me && now.reader[i].online;
    }
    for (unsigned i = 0; i < THREADS; i++) {
        while (pending[i] && now.reader[i].states == states[i]) {
            now.reader[me].waits = true;
            (void)mc::park(false, false);
        }
    }
    for (unsigned i = 0; i < THREADS; i++) mc::take_over(mc::BOX_READERS * THREADS + i, me);
    mc::fence();
}

} // extern "C"
