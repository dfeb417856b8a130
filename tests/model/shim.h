// SPDX-License-Identifier: MIT
//
// Comes first in every source that the model checker sees: atomic operations, fences and the system are the checker's. The sources
// themselves know nothing of it. See checker.h.
#pragma once

#include "tests/model/checker.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

#define MC_SITE(name, success, other)                                                                                  \
    __extension__({                                                                                                    \
        static mc_site mc_here = {.file = __FILE__,                                                                    \
                                  .function = __func__,                                                                \
                                  .what = name,                                                                        \
                                  .line = __LINE__,                                                                    \
                                  .order = success,                                                                    \
                                  .failure = other};                                                                   \
        &mc_here;                                                                                                      \
    })
#define MC_VALUE(v) ((uint64_t)(uintptr_t)(v))
#define MC_AS(p, call) ((__typeof__(*(p)))(uintptr_t)(call))

#define __atomic_load_n(p, order) MC_AS(p, mc_load(MC_SITE("load", order, -1), (p), sizeof *(p)))
#define __atomic_store_n(p, v, order) mc_store(MC_SITE("store", order, -1), (p), sizeof *(p), MC_VALUE(v))
#define __atomic_exchange_n(p, v, order)                                                                               \
    MC_AS(p, mc_exchange(MC_SITE("exchange", order, -1), (p), sizeof *(p), MC_VALUE(v)))
#define __atomic_fetch_add(p, v, order) MC_AS(p, mc_add(MC_SITE("add", order, -1), (p), sizeof *(p), MC_VALUE(v)))
#define __atomic_fetch_sub(p, v, order) MC_AS(p, mc_add(MC_SITE("sub", order, -1), (p), sizeof *(p), -MC_VALUE(v)))
#define __atomic_fetch_and(p, v, order) MC_AS(p, mc_and(MC_SITE("and", order, -1), (p), sizeof *(p), MC_VALUE(v)))
#define __atomic_fetch_or(p, v, order) MC_AS(p, mc_or(MC_SITE("or", order, -1), (p), sizeof *(p), MC_VALUE(v)))
#define __atomic_compare_exchange_n(p, expected, v, weak, order, failure)                                              \
    mc_cas(MC_SITE("cas", order, failure), (p), sizeof *(p), (expected), MC_VALUE(v))

// Fences are inline assembly there.
#include "concurrent/order.h"
#define fai_fence_seq_cst() mc_fence(MC_SITE("fence", __ATOMIC_SEQ_CST, -1))
// As on aarch64.
#define fai_fence_after_rmw_seq_cst() mc_fence(MC_SITE("fence", __ATOMIC_SEQ_CST, -1))
#define fai_pause() mc_pause()

#define clock_gettime mc_clock_gettime
#define syscall mc_syscall
#define memcpy mc_memcpy
#define memmove mc_memmove
#define memset mc_memset
#define memcmp mc_memcmp
#define strcmp mc_strcmp
#define strlen mc_strlen
#define strncpy mc_strncpy

// The checker has a copy of this section for each thread.
#define _Thread_local __attribute__((section("mc_thread_local")))
