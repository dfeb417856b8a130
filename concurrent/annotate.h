// SPDX-License-Identifier: MIT
//
// What sanitizers must be told, because they cannot see it: memory that nobody may touch (AddressSanitizer), and
// the ordering that liburcu gives without instrumented atomics (ThreadSanitizer). Empty in other builds.
#pragma once

#if defined(__has_feature)
#define FAI_HAS_FEATURE(x) __has_feature(x)
#else
#define FAI_HAS_FEATURE(x) 0
#endif

#if defined(__SANITIZE_ADDRESS__) || FAI_HAS_FEATURE(address_sanitizer)
#include <sanitizer/asan_interface.h>
#define FAI_ASAN 1
#define fai_forbid(p, size) __asan_poison_memory_region((p), (size))
#define fai_allow(p, size) __asan_unpoison_memory_region((p), (size))
#define fai_is_forbidden(p, size) (__asan_region_is_poisoned((p), (size)) != NULL)
#else
#define FAI_ASAN 0
#define fai_forbid(p, size) ((void)(p), (void)(size))
#define fai_allow(p, size) ((void)(p), (void)(size))
#define fai_is_forbidden(p, size) ((void)(p), (void)(size), false)
#endif

/// A function whose plain accesses ThreadSanitizer does not see: it says why that does no harm.
#define FAI_UNSEEN_BY_TSAN __attribute__((no_sanitize("thread"), noinline))

#if defined(__SANITIZE_THREAD__) || FAI_HAS_FEATURE(thread_sanitizer)
#include <sanitizer/tsan_interface.h>
#define FAI_TSAN 1
#define fai_tell_release(p) __tsan_release(p)
#define fai_tell_acquire(p) __tsan_acquire(p)
#else
#define FAI_TSAN 0
#define fai_tell_release(p) ((void)(p))
#define fai_tell_acquire(p) ((void)(p))
#endif
