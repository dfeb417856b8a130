// SPDX-License-Identifier: MIT
//
// A lock-free stack of small numbers, such as free packets. A Treiber stack over an array of links that is never
// unmapped, so that reading the link of an element that another lane just popped is harmless. The head packs the
// element's number + 1 (24 bits) and a tag (40 bits) that grows with every push and pop against ABA: a lane would have to
// sleep through 2^40 operations between its load and its compare-and-swap. A single-width word works the same on every
// architecture and under ThreadSanitizer; ck_stack's double-width pop needs 16-byte alignment, and libatomic there.
//
//     invariant: head names an element, whose link names the next, …; an element is in at most one stack.
//
// Who may run together ("-" yes):
//              push_any   pop_any
//   push_any      -          -
//   pop_any       -          -
#pragma once

#include "concurrent/order.h"

#define FAI_INDEX_BITS 24
#define FAI_INDEX_MAX ((UINT32_C(1) << FAI_INDEX_BITS) - 2)

typedef struct fai_index_stack {
    FAI_ATOMIC(uint64_t) head; // tag << 24 | (index + 1); 0 in the low bits = empty
} fai_index_stack;

static inline uint32_t fai_index_stack_top(uint64_t head)
{
    return (uint32_t)(head & ((UINT64_C(1) << FAI_INDEX_BITS) - 1)) - 1; // empty gives FAI_INDEX_NONE
}

static inline uint64_t fai_index_stack_head(uint64_t old, uint32_t index)
{
    uint64_t tag = (old >> FAI_INDEX_BITS) + 1;
    return tag << FAI_INDEX_BITS | (uint64_t)(index + 1); // FAI_INDEX_NONE + 1 wraps to 0
}

/// [any] Pushes element `index`, whose link is given. Returns the number of retries.
static inline uint32_t fai_index_stack_push_any(fai_index_stack *stack, uint32_t index, FAI_ATOMIC(uint32_t) *link)
{
    uint32_t retries = 0;
    uint64_t head = fai_load_relaxed(&stack->head);
    for (;; retries++) {
        fai_store_relaxed(link, fai_index_stack_top(head));
        // [index_stack.pop] release: publishes the link and what the last user left in the element.
        if (fai_cas_release(&stack->head, &head, fai_index_stack_head(head, index))) return retries;
    }
}

/// [any] Pops an element, FAI_INDEX_NONE if there is none. The link of element i lies i * stride bytes after the first's.
static inline uint32_t fai_index_stack_pop_any(fai_index_stack *stack, FAI_ATOMIC(uint32_t) *links, size_t stride,
                                               uint32_t *retries)
{
    // [index_stack.pop] acquire: the popper sees the link and the element; pairs with the push.
    uint64_t head = fai_load_acquire(&stack->head);
    for (;; ++*retries) {
        uint32_t index = fai_index_stack_top(head);
        if (index == FAI_INDEX_NONE) return FAI_INDEX_NONE;
        uint32_t next = fai_load_relaxed((FAI_ATOMIC(uint32_t) *)((char *)links + index * stride));
        // [index_stack.pop] acq_rel: keeps the push before visible to the next popper; on failure re-reads as above.
        if (fai_cas_acq_rel(&stack->head, &head, fai_index_stack_head(head, next))) return index;
    }
}
