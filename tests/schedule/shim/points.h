// SPDX-License-Identifier: MIT
//
// A scheduling point before each atomic operation. The compiler includes this first in all that runs under schedules, so that
// concurrent/order.h, the inline functions of the public headers and the shim of Concurrency Kit need to know nothing of it.
// (A macro's own name is not expanded again inside it.)
#pragma once

void schedule_point(void);

#define __atomic_load_n(...) (schedule_point(), __atomic_load_n(__VA_ARGS__))
#define __atomic_store_n(...) (schedule_point(), __atomic_store_n(__VA_ARGS__))
#define __atomic_exchange_n(...) (schedule_point(), __atomic_exchange_n(__VA_ARGS__))
#define __atomic_compare_exchange_n(...) (schedule_point(), __atomic_compare_exchange_n(__VA_ARGS__))
#define __atomic_fetch_add(...) (schedule_point(), __atomic_fetch_add(__VA_ARGS__))
#define __atomic_fetch_sub(...) (schedule_point(), __atomic_fetch_sub(__VA_ARGS__))
#define __atomic_fetch_or(...) (schedule_point(), __atomic_fetch_or(__VA_ARGS__))
#define __atomic_fetch_and(...) (schedule_point(), __atomic_fetch_and(__VA_ARGS__))

// Fibers share a thread: these variables lie side by side, and are exchanged when another fiber goes on (platform.c). Zero at first.
#define _Thread_local __attribute__((section("fiber_local")))
