// SPDX-License-Identifier: MIT
//
// What concurrent/order.h writes as inline assembly, which points.h cannot reach. Fences order nothing here: one fiber runs at a time.
#ifndef FAI_SCHEDULE_ORDER_H
#define FAI_SCHEDULE_ORDER_H

#pragma GCC system_header // #include_next is an extension
#include_next <concurrent/order.h>

void schedule_yield(void);

#define fai_fence_seq_cst() schedule_point()
#define fai_fence_after_rmw_seq_cst() schedule_point()
#define fai_pause() schedule_yield()

#endif
