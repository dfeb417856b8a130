// SPDX-License-Identifier: MIT
//
// Where those who read and build a level take memory from.
//
// Two lifetimes: what is part of the level goes with it, all at once; what only helps to build it goes when the caller is
// done. Neither is freed piece by piece, so a loader that fails half-way has nothing to clean up. The program hands in a
// group and the lane's scopes, the tests lists of their own.
#pragma once

#include <framealloc/allocator.h>

#include <string.h>

struct memory {
    fa_allocator level;
    fa_allocator scratch;
};

/// Zeroed; an array of no elements has a place, too. NULL when the memory refuses.
static inline void *memory_array(const fa_allocator *from, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) return NULL;
    void *memory = fa_alloc_with(from, bytes > 0 ? bytes : 1, 0);
    return memory != NULL ? memset(memory, 0, bytes) : NULL;
}
