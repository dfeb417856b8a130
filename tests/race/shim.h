// SPDX-License-Identifier: MIT
//
// Comes first in every source of the races: each ordered operation asks whether it is to be relaxed in this run. The sources themselves
// know nothing of it. See run.py.
#pragma once

#include <stdbool.h>

/// Whether RACE_WEAK names this place.
bool race_is_weak(const char *file, const char *function, int line);

#define RACE_WEAK_HERE race_is_weak(__FILE__, __func__, __LINE__)

// The builtins are meant inside: a macro's own name is not expanded again. The orders must be constants to the sanitizer.
#define __atomic_load_n(p, order) (RACE_WEAK_HERE ? __atomic_load_n(p, __ATOMIC_RELAXED) : __atomic_load_n(p, order))
#define __atomic_store_n(p, v, order)                                                                                  \
    (RACE_WEAK_HERE ? __atomic_store_n(p, v, __ATOMIC_RELAXED) : __atomic_store_n(p, v, order))
#define __atomic_exchange_n(p, v, order)                                                                               \
    (RACE_WEAK_HERE ? __atomic_exchange_n(p, v, __ATOMIC_RELAXED) : __atomic_exchange_n(p, v, order))
#define __atomic_fetch_add(p, v, order)                                                                                \
    (RACE_WEAK_HERE ? __atomic_fetch_add(p, v, __ATOMIC_RELAXED) : __atomic_fetch_add(p, v, order))
#define __atomic_fetch_sub(p, v, order)                                                                                \
    (RACE_WEAK_HERE ? __atomic_fetch_sub(p, v, __ATOMIC_RELAXED) : __atomic_fetch_sub(p, v, order))
#define __atomic_fetch_and(p, v, order)                                                                                \
    (RACE_WEAK_HERE ? __atomic_fetch_and(p, v, __ATOMIC_RELAXED) : __atomic_fetch_and(p, v, order))
#define __atomic_fetch_or(p, v, order)                                                                                 \
    (RACE_WEAK_HERE ? __atomic_fetch_or(p, v, __ATOMIC_RELAXED) : __atomic_fetch_or(p, v, order))
#define __atomic_compare_exchange_n(p, expected, v, weak, order, failure)                                              \
    (RACE_WEAK_HERE ? __atomic_compare_exchange_n(p, expected, v, weak, __ATOMIC_RELAXED, __ATOMIC_RELAXED)            \
                    : __atomic_compare_exchange_n(p, expected, v, weak, order, failure))

// What the sanitizer is told about liburcu.
#include "concurrent/annotate.h"
#undef fai_tell_release
#define fai_tell_release(p) (RACE_WEAK_HERE ? (void)0 : __tsan_release(p))
#undef fai_tell_acquire
#define fai_tell_acquire(p) (RACE_WEAK_HERE ? (void)0 : __tsan_acquire(p))
