// SPDX-License-Identifier: MIT
//
// Concurrency Kit as ThreadSanitizer sees it. This directory comes first on the include path of TSan builds only.
//
// Concurrency Kit's primitives are inline assembly, which the sanitizer cannot see; its port to compiler builtins uses
// plain volatile accesses, which the sanitizer takes for races. Here the few primitives that the project reaches are
// given as __atomic builtins. Fences carry no happens-before in the sanitizer's model, so loads acquire and stores
// release: what is checked is the hand-over of ownership, not Concurrency Kit's own choice of fences.
#ifndef FAI_TSAN_CK_PR_H
#define FAI_TSAN_CK_PR_H

#define CK_USE_CC_BUILTINS 1
#include_next <ck_pr.h>

#undef ck_pr_load_ptr
#define ck_pr_load_ptr(p) ((__typeof__(*(p)))__atomic_load_n((void *const *)(const void *)(p), __ATOMIC_ACQUIRE))
#undef ck_pr_store_ptr
#define ck_pr_store_ptr(p, v)                                                                                          \
    ((void)sizeof(*(p) = (v)), __atomic_store_n((void **)(void *)(p), CK_CC_DECONST_PTR(v), __ATOMIC_RELEASE))
#undef ck_pr_fas_ptr
#define ck_pr_fas_ptr(p, v) ((__typeof__(*(p)))__atomic_exchange_n((void **)(void *)(p), (void *)(v), __ATOMIC_ACQ_REL))
#undef ck_pr_cas_ptr_value
#define ck_pr_cas_ptr_value(p, compare, set, value) fai_tsan_cas_ptr_value((p), (compare), (set), (value))

static inline bool fai_tsan_cas_ptr_value(void *target, void *compare, void *set, void *value)
{
    void *expected = compare;
    bool swapped = __atomic_compare_exchange_n((void **)target, &expected, set, false, __ATOMIC_ACQ_REL,
                                               __ATOMIC_ACQUIRE);
    *(void **)value = expected;
    return swapped;
}

#endif
