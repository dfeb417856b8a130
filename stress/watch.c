// SPDX-License-Identifier: MIT
//
// See watch.h. A thread of its own looks ten times a second whether `beats` has moved. When it has not for STALL_NS, every
// thread of the process prints where it is (a signal each), then the process ends.
#include "watch.h"

#include <dirent.h>
#include <errno.h>
#include <execinfo.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LOOK_US 100000u
#define STALL_NS (10 * STRESS_SECOND_NS)
#define BACKTRACE_MAX 32

static struct {
    // immutable while watching
    const struct stress_program *program;
    double seconds;
    bool terminal;
    // owner: the watchdog
    pthread_t thread;
    uint64_t began_ns, shown_ns, shown_operations;
    // shared
    atomic_uint_fast64_t beats, operations;
    atomic_bool stopping, written;
    _Atomic(const char *) phase;
    atomic_uint printed; // backtraces so far
} watch;

void stress_progress(uint64_t operations)
{
    atomic_store_explicit(&watch.operations, operations, memory_order_relaxed);
    atomic_fetch_add_explicit(&watch.beats, 1, memory_order_relaxed);
}

void stress_phase(const char *phase)
{
    atomic_store_explicit(&watch.phase, phase, memory_order_relaxed);
}

static void put(const char *text)
{
    // A terminal that cannot be written to is no reason to stop.
    ssize_t written = write(STDERR_FILENO, text, strlen(text));
    (void)written;
}

void watch_clear(void)
{
    if (atomic_exchange(&watch.written, false)) put("\r\033[K");
}

static void show(uint64_t now)
{
    uint64_t operations = atomic_load_explicit(&watch.operations, memory_order_relaxed);
    uint64_t done = operations >= watch.shown_operations ? operations - watch.shown_operations : operations;
    char line[160];
    (void)snprintf(line, sizeof line, "\r\033[K%.0f s of %.0f: %.3g %s a second, %.3g in all",
                   (double)(now - watch.began_ns) / 1e9, watch.seconds,
                   (double)done * 1e9 / (double)(now - watch.shown_ns), watch.program->operation, (double)operations);
    put(line);
    atomic_store(&watch.written, true);
    watch.shown_ns = now;
    watch.shown_operations = operations;
}

static void print_backtrace(int signal_number)
{
    (void)signal_number;
    int saved = errno;
    void *frames[BACKTRACE_MAX];
    backtrace_symbols_fd(frames, backtrace(frames, BACKTRACE_MAX), STDERR_FILENO);
    atomic_fetch_add(&watch.printed, 1);
    errno = saved;
}

/// One line of a thread's directory in /proc, without its end.
static void read_proc(pid_t thread, const char *name, char *text, size_t size)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/self/task/%ld/%s", (long)thread, name);
    text[0] = '\0';
    FILE *file = fopen(path, "re");
    if (file == NULL) return;
    if (fgets(text, (int)size, file) == NULL) text[0] = '\0';
    text[strcspn(text, "\n")] = '\0';
    (void)fclose(file);
}

/// Asks a thread where it is, and waits a moment until it has said so. The library's own threads take no signals: of
/// them the kernel says whether they sleep.
static void ask_thread(pid_t thread)
{
    char line[256], name[32], call[32], status[160];
    read_proc(thread, "comm", name, sizeof name);
    read_proc(thread, "wchan", call, sizeof call);
    read_proc(thread, "stat", status, sizeof status);
    const char *state = strrchr(status, ')');
    (void)snprintf(line, sizeof line, "  thread %ld %s, state %.1s, in %s\n", (long)thread, name,
                   state != NULL && state[1] != '\0' ? state + 2 : "?", call);
    put(line);
    unsigned before = atomic_load(&watch.printed);
    if (syscall(SYS_tgkill, (long)getpid(), (long)thread, (long)SIGPROF) != 0) return;
    for (int i = 0; i < 200 && atomic_load(&watch.printed) == before; i++) stress_sleep_us(1000);
}

static void ask_all_threads(void)
{
    struct sigaction action = {.sa_handler = print_backtrace, .sa_flags = SA_RESTART};
    DIR *tasks = opendir("/proc/self/task");
    if (tasks == NULL || sigaction(SIGPROF, &action, NULL) != 0) {
        if (tasks != NULL) (void)closedir(tasks);
        return;
    }
    pid_t self = (pid_t)syscall(SYS_gettid);
    for (struct dirent *task; (task = readdir(tasks)) != NULL;) {
        pid_t thread = (pid_t)strtol(task->d_name, NULL, 10);
        if (thread > 0 && thread != self) ask_thread(thread);
    }
    (void)closedir(tasks);
}

__attribute__((noreturn)) static void give_up(uint64_t stalled_ns)
{
    const char *phase = atomic_load(&watch.phase);
    watch_clear();
    (void)fprintf(stderr, "hang: nothing got on for %.1f s, in %s, after %" PRIu64 " %s; the threads are at\n",
                  (double)stalled_ns / 1e9, phase != NULL ? phase : "start-up",
                  (uint64_t)atomic_load(&watch.operations), watch.program->operation);
    ask_all_threads();
    if (watch.program->explain != NULL) watch.program->explain();
    stress_fail("hang in %s", phase != NULL ? phase : "start-up");
}

static void *look_after(void *unused)
{
    (void)unused;
    uint64_t beats = 0, since = stress_now_ns(), looked = since;
    while (!atomic_load(&watch.stopping)) {
        stress_sleep_us(LOOK_US);
        uint64_t now = stress_now_ns(), moved = atomic_load(&watch.beats);
        // A machine that was asleep, or this process stopped, is no hang.
        bool absent = now - looked > STRESS_SECOND_NS;
        looked = now;
        if (moved != beats || absent) since = now;
        beats = moved;
        if (now - since > stress_sanitized_times(STALL_NS, 6)) give_up(now - since);
        if (watch.terminal && now - watch.shown_ns >= STRESS_SECOND_NS) show(now);
    }
    return NULL;
}

void watch_begin(const struct stress_program *program, double seconds)
{
    void *warm[1];
    (void)backtrace(warm, 1); // loads the unwinder now, not in a signal handler
    watch.program = program;
    watch.seconds = seconds;
    watch.terminal = isatty(STDERR_FILENO) == 1;
    watch.began_ns = watch.shown_ns = stress_now_ns();
    watch.shown_operations = 0;
    atomic_store(&watch.operations, 0);
    atomic_store(&watch.stopping, false);
    int error = pthread_create(&watch.thread, NULL, look_after, NULL);
    if (error != 0) stress_fail("no thread for the watchdog: %s", strerror(error));
}

void watch_end(void)
{
    atomic_store(&watch.stopping, true);
    (void)pthread_join(watch.thread, NULL);
    watch_clear();
}
