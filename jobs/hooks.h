// SPDX-License-Identifier: MIT
//
// The state of the tick hooks (include/framealloc/tick.h). Whether a tick is open is the frame's own state, fa_system.open; kept here is
// only what tells that hooks are missing or late.
//
//     silence: from `called_ns` to now; reported once, by whoever moves `reported_ns` to its start
#pragma once

#include "concurrent/order.h"

typedef struct fai_hooks {
    // immutable after init
    uint64_t late_ns; // fa_config.tick_late_ms, 0: nobody looks
    // shared: relaxed
    FAI_ATOMIC(uint64_t) called_ns;   // when the last hook was called, 0 before the first
    FAI_ATOMIC(uint64_t) reported_ns; // `called_ns` of the silence that was reported last
} fai_hooks;
