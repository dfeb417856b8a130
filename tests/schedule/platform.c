// SPDX-License-Identifier: MIT
#include "platform.h"

#include "concurrent/check.h"
#include "concurrent/thread.h"
#include "scheduler.h"

#include <errno.h>
#include <linux/futex.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <urcu/urcu-qsbr.h>

typedef struct fiber_local {
    void (*at_exit)(void);
    bool registered; // with liburcu
    bool online;
    uint64_t seen;    // grace period, at the last quiescent state
    char values[256]; // of the thread-local variables, while another fiber runs
} fiber_local;

static fiber_local locals[SCHEDULE_FIBERS_MAX];
static uint64_t grace_period;
static char grace_place;

static fiber_local *local(void)
{
    return &locals[schedule_is_on() ? schedule_self() : 0];
}

// Thread-local variables: points.h puts them into a section, of which each fiber has its own contents -----------------------

extern char __start_fiber_local[], __stop_fiber_local[];

static void exchange_locals(uint32_t from, uint32_t to)
{
    // cppcheck-suppress comparePointers; the ends of one section
    size_t size = (size_t)(__stop_fiber_local - __start_fiber_local);
    memcpy(locals[from].values, __start_fiber_local, size);
    memcpy(__start_fiber_local, locals[to].values, size);
}

void platform_reset(void)
{
    // cppcheck-suppress comparePointers; the ends of one section
    size_t size = (size_t)(__stop_fiber_local - __start_fiber_local);
    if (size > sizeof locals[0].values) abort();
    memset(locals, 0, sizeof locals);
    memset(__start_fiber_local, 0, size);
    grace_period = 1;
    schedule_on_switch(exchange_locals);
}

// Threads: in place of concurrent/thread.c -------------------------------------------------------------------------------

static void thread_main(void *context)
{
    fai_thread *thread = context;
    thread->fn(thread->context);
    if (local()->at_exit != NULL) local()->at_exit();
}

bool fai_thread_start(fai_thread *thread, fai_thread_fn *fn, void *context, const char *name, int32_t cpu)
{
    (void)name;
    *thread = (fai_thread){.fn = fn, .context = context, .cpu = cpu};
    thread->handle = (pthread_t)schedule_spawn(thread_main, thread);
    schedule_point();
    return true;
}

void fai_thread_join(fai_thread *thread)
{
    schedule_join((uint32_t)thread->handle);
}

void fai_thread_detach(fai_thread *thread)
{
    (void)thread;
}

bool fai_thread_at_exit(void (*fn)(void))
{
    local()->at_exit = fn;
    return true;
}

const void *fai_thread_self(void)
{
    return local();
}

bool fai_thread_is_reader(void)
{
    return false;
}

uint32_t fai_cpu_count(void)
{
    return 64; // so that nobody takes the machine for a crowded one
}

void fai_assert_failed(const char *fact, const char *file, int line)
{
    schedule_fail("assertion failed: %s (%s:%d)", fact, file, line);
}

// Futexes and clocks: the linker sends the library's calls here ----------------------------------------------------------

long __wrap_syscall(long number, ...);
int __wrap_clock_gettime(clockid_t clock, struct timespec *out);
int __real_clock_gettime(clockid_t clock, struct timespec *out);
int __wrap_madvise(void *address, size_t size, int advice);
int __real_madvise(void *address, size_t size, int advice);

static long futex_wait(const uint32_t *word, uint32_t value, const struct timespec *deadline)
{
    schedule_point();
    errno = EAGAIN;
    if (__atomic_load_n(word, __ATOMIC_RELAXED) != value) return -1;
    uint64_t until = deadline == NULL ? SCHEDULE_FOREVER
                                      : (uint64_t)deadline->tv_sec * 1000000000u + (uint64_t)deadline->tv_nsec;
    if (schedule_sleep(word, until)) return 0;
    errno = ETIMEDOUT;
    return -1;
}

long __wrap_syscall(long number, ...)
{
    va_list arguments;
    va_start(arguments, number);
    const uint32_t *word = va_arg(arguments, const uint32_t *);
    int operation = va_arg(arguments, int) & FUTEX_CMD_MASK;
    uint32_t value = va_arg(arguments, uint32_t);
    const struct timespec *deadline = operation == FUTEX_WAIT_BITSET ? va_arg(arguments, const struct timespec *)
                                                                     : NULL;
    va_end(arguments);
    if (number != SYS_futex) abort();
    if (operation == FUTEX_WAIT_BITSET) return futex_wait(word, value, deadline);
    if (operation != FUTEX_WAKE) abort();
    schedule_point();
    return (long)schedule_wake(word, value);
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *out)
{
    (void)clock;
    uint64_t now = schedule_now_ns();
    *out = (struct timespec){(time_t)(now / 1000000000u), (long)(now % 1000000000u)};
    return 0;
}

double platform_seconds(void)
{
    struct timespec now;
    (void)__real_clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/// Memory that is asked for ahead comes when it is touched: whole blocks would take longer than the schedule.
int __wrap_madvise(void *address, size_t size, int advice)
{
    return advice == MADV_POPULATE_WRITE ? 0 : __real_madvise(address, size, advice);
}

// Grace periods: what liburcu's QSBR flavour promises, and no more ---------------------------------------------------------

void urcu_qsbr_register_thread(void)
{
    fiber_local *mine = local();
    if (mine->registered) schedule_fail("a thread is registered twice");
    mine->registered = mine->online = true;
    mine->seen = grace_period;
}

void urcu_qsbr_unregister_thread(void)
{
    fiber_local *mine = local();
    if (!mine->registered) schedule_fail("a thread that is not registered leaves");
    mine->registered = mine->online = false;
    (void)schedule_wake(&grace_place, SCHEDULE_FIBERS_MAX);
}

int urcu_qsbr_read_ongoing(void)
{
    return local()->online;
}

void urcu_qsbr_thread_online(void)
{
    schedule_point();
    local()->online = true;
    local()->seen = grace_period;
}

void urcu_qsbr_thread_offline(void)
{
    schedule_point();
    if (!local()->registered) schedule_fail("a thread that is not registered goes offline");
    local()->online = false;
    (void)schedule_wake(&grace_place, SCHEDULE_FIBERS_MAX);
}

void urcu_qsbr_quiescent_state(void)
{
    schedule_point();
    if (!local()->online) schedule_fail("a quiescent state of a reader that is offline");
    local()->seen = grace_period;
    (void)schedule_wake(&grace_place, SCHEDULE_FIBERS_MAX);
}

static bool all_have_seen(uint64_t period)
{
    for (uint32_t i = 0; i < SCHEDULE_FIBERS_MAX; i++) {
        if (locals[i].online && locals[i].seen < period) return false;
    }
    return true;
}

void urcu_qsbr_synchronize_rcu(void)
{
    schedule_point();
    if (local()->online) schedule_fail("a reader waits for a grace period");
    uint64_t period = ++grace_period;
    while (!all_have_seen(period)) (void)schedule_sleep(&grace_place, SCHEDULE_FOREVER);
}
