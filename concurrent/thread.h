// SPDX-License-Identifier: MIT
//
// Threads: start and join, names, CPUs.
#pragma once

#include "concurrent/order.h"

#include <pthread.h>

typedef void fai_thread_fn(void *context);

typedef struct fai_thread {
    pthread_t handle;
    fai_thread_fn *fn;
    void *context;
    char name[16];
    int32_t cpu; // pinned to, -1: not
} fai_thread;

/// Starts a thread that runs fn(context) with all signals blocked; `thread` must stay until joined. `cpu` is the position among the
/// CPUs that this process may use (modulo their number), or -1. False: the system refused.
bool fai_thread_start(fai_thread *thread, fai_thread_fn *fn, void *context, const char *name, int32_t cpu);
void fai_thread_join(fai_thread *thread);
/// Lets the thread end without being joined.
void fai_thread_detach(fai_thread *thread);

/// Has fn called when the calling thread ends, after the destructors of the application's own thread-specific data, until it is set to
/// NULL; one function a thread. Thread-local variables are still alive. False: the system refused.
bool fai_thread_at_exit(void (*fn)(void));

/// [any] Names the calling thread: the same in every call, and unlike that of any other thread that has not ended.
const void *fai_thread_self(void);

/// [own] Whether the calling thread is registered with liburcu-qsbr, online or not.
bool fai_thread_is_reader(void);

/// CPUs that this process may use, at least 1: its affinity mask.
uint32_t fai_cpu_count(void);
