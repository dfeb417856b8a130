// SPDX-License-Identifier: MIT
//
// The primitives of Concurrency Kit that the library reaches, as atomic operations that points.h sees; they are inline assembly
// otherwise.
#ifndef FAI_SCHEDULE_CK_PR_H
#define FAI_SCHEDULE_CK_PR_H

#define CK_USE_CC_BUILTINS 1
#pragma GCC system_header // #include_next is an extension
#include_next <ck_pr.h>

#undef ck_pr_load_ptr
#define ck_pr_load_ptr(p) ((__typeof__(*(p)))__atomic_load_n((void *const *)(const void *)(p), __ATOMIC_RELAXED))
#undef ck_pr_store_ptr
#define ck_pr_store_ptr(p, v)                                                                                          \
    ((void)sizeof(*(p) = (v)), __atomic_store_n((void **)(void *)(p), CK_CC_DECONST_PTR(v), __ATOMIC_RELAXED))
#undef ck_pr_fas_ptr
#define ck_pr_fas_ptr(p, v) ((__typeof__(*(p)))__atomic_exchange_n((void **)(void *)(p), (void *)(v), __ATOMIC_RELAXED))
#undef ck_pr_cas_ptr_value
#define ck_pr_cas_ptr_value(p, compare, set, value) fai_schedule_cas_ptr_value((p), (compare), (set), (value))

static inline bool fai_schedule_cas_ptr_value(void *target, void *compare, void *set, void *value)
{
    void *expected = compare;
    bool swapped = __atomic_compare_exchange_n((void **)target, &expected, set, false, __ATOMIC_RELAXED,
                                               __ATOMIC_RELAXED);
    *(void **)value = expected;
    return swapped;
}

#endif
