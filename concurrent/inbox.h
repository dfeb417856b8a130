// SPDX-License-Identifier: MIT
//
// A mailbox with many senders and one receiver at a time: chains of entries are pushed by anybody, everything is taken
// at once. A Treiber stack from Concurrency Kit (ck_stack): push is lock-free, take is one swap. There is no ABA, because
// the taker never reads a link before it owns the chain, and nobody takes single entries.
//
//     invariant: an entry is reachable from exactly one of: its sender, the inbox, the taker's chain.
//
// Who may run together ("-" yes, "X" the caller must exclude):
//                 push_any   take_owner   is_empty_any
//   push_any         -           -             -
//   take_owner       -           X             -
//
// Order of a taken chain: last pushed first; entries of one push keep their order.
#pragma once

#include "concurrent/contention.h"
#include "concurrent/order.h"

#include <ck_stack.h>

#if defined(__aarch64__) && !defined(CK_MD_RMO)
#error "ck_md.h is for another architecture: all fences would vanish"
#endif

typedef ck_stack_entry_t fai_inbox_entry;

typedef struct fai_inbox {
    ck_stack_t stack;
} fai_inbox;

static inline void fai_inbox_init(fai_inbox *inbox)
{
    ck_stack_init(&inbox->stack);
}

/// [any] Pushes the chain first → … → last; the entries belong to the inbox from now on. Returns whether it was empty.
static inline bool fai_inbox_push_any(fai_inbox *inbox, fai_inbox_entry *first, fai_inbox_entry *last,
                                      fa_contention *contention)
{
    fai_inbox_entry *head = ck_pr_load_ptr(&inbox->stack.head);
    for (;;) {
        last->next = head;
        // [inbox.take] release: publishes the link, the chain, and all that the sender read or wrote in the objects it stands for.
        // Concurrency Kit 0.7.1 orders only stores before its own push on aarch64; a free must order loads as well.
        ck_pr_fence_release();
        fai_inbox_entry *found = NULL;
        if (ck_pr_cas_ptr_value(&inbox->stack.head, head, first, &found)) break;
        head = found;
        FAI_COUNT(contention, inbox_retries, 1);
    }
    FAI_COUNT(contention, inbox_posts, 1);
    return head == NULL;
}

/// [any] A glance without ordering; true may be out of date.
static inline bool fai_inbox_is_empty_any(const fai_inbox *inbox)
{
    return ck_pr_load_ptr(&inbox->stack.head) == NULL;
}

/// [owner] Takes everything; NULL if there was nothing. The caller may be a proxy that has claimed the owner's lane.
static inline fai_inbox_entry *fai_inbox_take_owner(fai_inbox *inbox)
{
    if (fai_inbox_is_empty_any(inbox)) return NULL;
    fai_inbox_entry *chain = ck_stack_batch_pop_upmc(&inbox->stack);
    // [inbox.take] acquire: the taker sees the chain and may reuse the objects; pairs with the fence in the push.
    ck_pr_fence_acquire();
    return chain;
}
