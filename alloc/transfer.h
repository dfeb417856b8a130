// SPDX-License-Identifier: MIT
//
// Objects on their way from lane to lane: a table of fixed size, a word of state and an object per slot.
//
//     state: generation << 2 | free, being written, sent
//     ticket: (base of the system + generation) << 16 | slot + 1, of a slot that is sent
//
// free -> being written: by a sender, compare-and-swap. being written -> sent: by that sender, store with release. sent -> free with the next
// generation: by the one receiver whose compare-and-swap succeeds; it has read the object before, and may believe what it read
// exactly if it succeeds.
#pragma once

#include "concurrent/order.h"

#include <framealloc/transfer.h>

typedef struct fai_transfer_slot {
    FAI_ATOMIC(uint64_t) state;
    FAI_ATOMIC(void *) object;
} fai_transfer_slot;

typedef struct fai_transfers {
    // immutable after init
    fai_transfer_slot *slots;
    uint32_t capacity;
    uint64_t base; // of the generations in this system's tickets
} fai_transfers;

/// False: no address space.
bool fai_transfers_init(fai_transfers *transfers, uint32_t capacity, uint32_t number);
void fai_transfers_exit(fai_transfers *transfers);
