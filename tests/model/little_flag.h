// SPDX-License-Identifier: MIT
//
// A signal between the threads of a model: what was done before it was raised is seen by who waited for it. The models' own hand-overs go
// through it, so that everything else that they need is the library's.
#pragma once

#include "concurrent/order.h"

typedef FAI_ATOMIC(uint32_t) little_flag;

static inline void little_raise(little_flag *flag)
{
    fai_store_release(flag, 1u);
}

static inline void little_wait_for(const little_flag *flag)
{
    while (fai_load_acquire(flag) == 0) fai_pause();
}
