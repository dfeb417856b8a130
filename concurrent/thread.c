// SPDX-License-Identifier: MIT
//
// Threads on Linux.
#include "concurrent/thread.h"

#include "concurrent/check.h"
#include "concurrent/layout.h"

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <urcu/static/urcu-qsbr.h> // for the layout of a reader alone: what is called is called in the library

static void pin(int32_t position)
{
    cpu_set_t usable;
    if (sched_getaffinity(0, sizeof usable, &usable) != 0) return;
    int count = CPU_COUNT(&usable);
    if (count <= 0) return;
    int left = position % count;
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &usable) || left-- > 0) continue;
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        (void)pthread_setaffinity_np(pthread_self(), sizeof one, &one); // a wish: refusal changes nothing but speed
        return;
    }
}

static void *thread_main(void *context)
{
    fai_thread *thread = context;
    (void)pthread_setname_np(pthread_self(), thread->name);
    if (thread->cpu >= 0) pin(thread->cpu);
    thread->fn(thread->context);
    return NULL;
}

bool fai_thread_start(fai_thread *thread, fai_thread_fn *fn, void *context, const char *name, int32_t cpu)
{
    thread->fn = fn;
    thread->context = context;
    thread->cpu = cpu;
    snprintf(thread->name, sizeof thread->name, "%s", name);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&thread->handle, NULL, thread_main, thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error == 0;
}

void fai_thread_join(fai_thread *thread)
{
    int error = pthread_join(thread->handle, NULL);
    FA_ASSERT(error == 0);
    (void)error;
}

void fai_thread_detach(fai_thread *thread)
{
    int error = pthread_detach(thread->handle);
    FA_ASSERT(error == 0);
    (void)error;
}

static pthread_once_t exit_once = PTHREAD_ONCE_INIT;
static pthread_key_t exit_key;
static bool exit_key_made;

static _Thread_local bool others_first;

/// Destructors run in rounds: in the first one those of the application may still do what `fn` would do for it.
static void call_exit(void *fn)
{
    if (!others_first) {
        others_first = true;
        (void)pthread_setspecific(exit_key, fn);
        return;
    }
    ((void (*)(void))(uintptr_t)fn)();
}

static void make_exit_key(void)
{
    exit_key_made = pthread_key_create(&exit_key, call_exit) == 0;
}

bool fai_thread_at_exit(void (*fn)(void))
{
    (void)pthread_once(&exit_once, make_exit_key);
    return exit_key_made && pthread_setspecific(exit_key, (void *)(uintptr_t)fn) == 0;
}

FAI_FRAME_END const void *fai_thread_self(void)
{
    static _Thread_local char here;
    return &here;
}

bool fai_thread_is_reader(void)
{
    // liburcu has no function that tells: a thread that is registered may be offline. The layout is part of its ABI.
    return URCU_TLS(urcu_qsbr_reader).registered != 0;
}

uint32_t fai_cpu_count(void)
{
    cpu_set_t usable;
    if (sched_getaffinity(0, sizeof usable, &usable) != 0) return 1;
    int count = CPU_COUNT(&usable);
    return count > 0 ? (uint32_t)count : 1;
}

#if FA_ASSERTIONS
void fai_assert_failed(const char *fact, const char *file, int line)
{
    fprintf(stderr, "[framealloc] assertion failed: %s (%s:%d)\n", fact, file, line);
    abort();
}
#endif
