// SPDX-License-Identifier: MIT
//
// Concurrency Kit for the model checker: its primitives are relaxed operations and the fences that the project asks for itself. Those
// inside its structures count for nothing, so that what is shown does not rest on them.
#ifndef FA_MODEL_CK_PR_H
#define FA_MODEL_CK_PR_H

#define CK_USE_CC_BUILTINS 1
#include_next <ck_pr.h>

#undef ck_pr_load_ptr
#define ck_pr_load_ptr(p) __atomic_load_n((p), __ATOMIC_RELAXED)
#undef ck_pr_store_ptr
#define ck_pr_store_ptr(p, v) __atomic_store_n((p), (v), __ATOMIC_RELAXED)
#undef ck_pr_fas_ptr
#define ck_pr_fas_ptr(p, v) __atomic_exchange_n((p), (v), __ATOMIC_RELAXED)
#undef ck_pr_cas_ptr_value
#define ck_pr_cas_ptr_value(p, compare, set, value)                                                                    \
    (*(value) = (compare), __atomic_compare_exchange_n((p), (value), (set), false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
#undef ck_pr_fence_load
#define ck_pr_fence_load() ((void)0)
#undef ck_pr_fence_store
#define ck_pr_fence_store() ((void)0)
#undef ck_pr_fence_release
#define ck_pr_fence_release() mc_fence(MC_SITE("fence", __ATOMIC_RELEASE, -1))
#undef ck_pr_fence_acquire
#define ck_pr_fence_acquire() mc_fence(MC_SITE("fence", __ATOMIC_ACQUIRE, -1))

#endif
