// SPDX-License-Identifier: MIT
//
// Allocation sites in a program compiled without optimisation, as this one is: each line that allocates is one.
#include "support.h"

#define LINES 16

/// Two lines for each function and macro; large objects do not come out of slabs.
static void allocate(fa_worker *w, void **pool, void **heap)
{
    pool[0] = fa_pool_alloc(w, 100);
    pool[1] = fa_pool_alloc(w, 200 * KIB);
    pool[2] = fa_pool_alloc_aligned(w, 100, 16);
    pool[3] = fa_pool_alloc_aligned(w, 100, 64);
    pool[4] = fa_pool_alloc_array(w, 10, 10, 16);
    pool[5] = fa_pool_alloc_array(w, 10, 10, 64);
    pool[6] = fa_pool_alloc_zeroed(w, 10, 10, 16);
    pool[7] = fa_pool_alloc_zeroed(w, 10, 20 * KIB, 16);
    pool[8] = fa_pool_new(w, uint64_t);
    pool[9] = fa_pool_new(w, uint64_t);
    heap[0] = fa_heap_alloc(w, 100, 16);
    heap[1] = fa_heap_alloc(w, 200 * KIB, 16);
    heap[2] = fa_heap_alloc_array(w, 10, 10, 16);
    heap[3] = fa_heap_alloc_array(w, 10, 20 * KIB, 16);
    heap[4] = fa_heap_alloc_zeroed(w, 10, 10, 16);
    heap[5] = fa_heap_zeroed(w, uint64_t, 1);
}

/// Right behind allocate().
static void behind(void)
{
}

static void each_line_is_a_site(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    void *pool[10], *heap[6];
    fa_leak leaks[LINES + 1];
    uint32_t count = 0;
    allocate(w, pool, heap);
    assert_int_equal(fa_leaks_read(fa, leaks, LINES + 1, &count), FA_OK);
    assert_int_equal(count, LINES);
    for (uint32_t i = 0; i < LINES; i++) {
        uintptr_t site = (uintptr_t)leaks[i].frames[0];
        assert_true(leaks[i].count == 1 && leaks[i].depth == 1);
        assert_true(site > (uintptr_t)allocate && site < (uintptr_t)behind);
    }
    for (int i = 0; i < 10; i++) fa_pool_free(w, pool[i]);
    for (int i = 0; i < 6; i++) fa_heap_free(w, heap[i]);
    destroy_quiet(fa, &to);
}

int main(int argc, char **argv)
{
    static const test_entry entries[] = {
        EACH_OF(each_line_is_a_site, "02", "y"),
    };
    return RUN_MATRIX("site", entries, argc, argv);
}
