// SPDX-License-Identifier: MIT
//
// Putting one thread to sleep and waking it: one futex word per lane, with a token so that a wake-up that comes first is
// not lost (the parker of Rust's standard library, and of many before it).
//
//     word: EMPTY, TOKEN (a wake-up is waiting), SLEEPING
//
// The word decides nothing but sleep. Who must be woken, and the re-check between "I announce" and "I sleep", belong
// to the caller; a wake-up may be spurious.
//
//             park_owner   wake_any
//   park_owner     X          -
//   wake_any       -          -
#pragma once

#include "concurrent/order.h"

typedef struct fai_parker {
    FAI_ATOMIC(uint32_t) word;
} fai_parker;

/// [owner] Returns when woken; at once if a token waits. What the waker did before is visible.
void fai_park_owner(fai_parker *parker);

/// [owner] As fai_park_owner(), but gives up after `ns` nanoseconds; returns whether it was woken.
bool fai_park_for_owner(fai_parker *parker, uint64_t ns);

/// [any] Wakes the owner, or leaves a token for its next park. Returns whether it slept (and a system call was made). Touches
/// nothing but the word, which must stay mapped.
bool fai_wake_any(fai_parker *parker);
