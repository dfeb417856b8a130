// SPDX-License-Identifier: MIT
//
// Atomic operations with the order in the name, full fences, and the cache line.
//
// Every use of an ordered operation carries a tag comment that names its event: `// [noun.event] release: …` on one
// side, `// [noun.event] acquire: …` on the other; tools/check_orders.py checks that both exist. Relaxed
// operations need none.
//
// A field that threads share is declared FAI_ATOMIC(T) and touched through this header only.
#pragma once

#include <framealloc/base.h>

#define FAI_ATOMIC(T) T

/// The number of nothing, where blocks, units, packets and lanes are numbered.
#define FAI_INDEX_NONE UINT32_MAX

/// Two lines: adjacent-line prefetchers pull them in pairs.
#define FAI_CACHE_LINE 128
#define FAI_OWN_LINE _Alignas(FAI_CACHE_LINE)

#define fai_load_relaxed(p) __atomic_load_n((p), __ATOMIC_RELAXED)
#define fai_load_acquire(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define fai_store_relaxed(p, v) __atomic_store_n((p), (v), __ATOMIC_RELAXED)
#define fai_store_release(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define fai_exchange_acquire(p, v) __atomic_exchange_n((p), (v), __ATOMIC_ACQUIRE)
#define fai_exchange_release(p, v) __atomic_exchange_n((p), (v), __ATOMIC_RELEASE)
#define fai_exchange_acq_rel(p, v) __atomic_exchange_n((p), (v), __ATOMIC_ACQ_REL)
#define fai_add_relaxed(p, v) __atomic_fetch_add((p), (v), __ATOMIC_RELAXED)
#define fai_add_acquire(p, v) __atomic_fetch_add((p), (v), __ATOMIC_ACQUIRE)
#define fai_add_seq_cst(p, v) __atomic_fetch_add((p), (v), __ATOMIC_SEQ_CST)
#define fai_add_acq_rel(p, v) __atomic_fetch_add((p), (v), __ATOMIC_ACQ_REL)
#define fai_sub_relaxed(p, v) __atomic_fetch_sub((p), (v), __ATOMIC_RELAXED)
#define fai_sub_acquire(p, v) __atomic_fetch_sub((p), (v), __ATOMIC_ACQUIRE)
#define fai_sub_release(p, v) __atomic_fetch_sub((p), (v), __ATOMIC_RELEASE)
#define fai_sub_acq_rel(p, v) __atomic_fetch_sub((p), (v), __ATOMIC_ACQ_REL)
#define fai_or_relaxed(p, v) __atomic_fetch_or((p), (v), __ATOMIC_RELAXED)
#define fai_or_acquire(p, v) __atomic_fetch_or((p), (v), __ATOMIC_ACQUIRE)
#define fai_or_release(p, v) __atomic_fetch_or((p), (v), __ATOMIC_RELEASE)
#define fai_or_acq_rel(p, v) __atomic_fetch_or((p), (v), __ATOMIC_ACQ_REL)
#define fai_or_seq_cst(p, v) __atomic_fetch_or((p), (v), __ATOMIC_SEQ_CST)
#define fai_and_relaxed(p, v) __atomic_fetch_and((p), (v), __ATOMIC_RELAXED)
#define fai_and_acquire(p, v) __atomic_fetch_and((p), (v), __ATOMIC_ACQUIRE)
#define fai_and_release(p, v) __atomic_fetch_and((p), (v), __ATOMIC_RELEASE)
#define fai_and_acq_rel(p, v) __atomic_fetch_and((p), (v), __ATOMIC_ACQ_REL)

// Compare and swap: true on success; on failure *expected holds the value found, read relaxed (or acquire where named).
#define fai_cas_relaxed(p, expected, v)                                                                                \
    __atomic_compare_exchange_n((p), (expected), (v), false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)
#define fai_cas_acquire(p, expected, v)                                                                                \
    __atomic_compare_exchange_n((p), (expected), (v), false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)
#define fai_cas_release(p, expected, v)                                                                                \
    __atomic_compare_exchange_n((p), (expected), (v), false, __ATOMIC_RELEASE, __ATOMIC_RELAXED)
#define fai_cas_acq_rel(p, expected, v)                                                                                \
    __atomic_compare_exchange_n((p), (expected), (v), false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)
#define fai_cas_seq_cst(p, expected, v)                                                                                \
    __atomic_compare_exchange_n((p), (expected), (v), false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)

/// Sequentially consistent fence: orders stores before it with loads after it. Written out because clang 14 emits
/// mfence for the builtin (22 ns against 5 ns for a locked instruction), and because gcc refuses the builtin under
/// ThreadSanitizer, which does not model fences; every happens-before edge of this library is carried by an ordered
/// operation, fences only decide who sees what first.
static inline void fai_fence_seq_cst(void)
{
#if defined(__x86_64__)
    __asm__ __volatile__("lock; orl $0, (%%rsp)" ::: "memory", "cc");
#elif defined(__aarch64__)
    __asm__ __volatile__("dmb ish" ::: "memory");
#else
#error "framealloc: unsupported architecture"
#endif
}

/// The same right after an atomic read-modify-write, which on x86-64 is a full fence already. On aarch64 later loads may pass one.
static inline void fai_fence_after_rmw_seq_cst(void)
{
#if defined(__x86_64__)
    __asm__ __volatile__("" ::: "memory");
#else
    fai_fence_seq_cst();
#endif
}

/// Tells the CPU that this is a spin loop.
static inline void fai_pause(void)
{
#if defined(__x86_64__)
    __asm__ __volatile__("pause" ::: "memory");
#elif defined(__aarch64__)
    __asm__ __volatile__("isb" ::: "memory");
#endif
}
