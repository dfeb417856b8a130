// SPDX-License-Identifier: MIT
//
// Time.
#pragma once

#include <stdint.h>
#include <time.h>

/// Nanoseconds of CLOCK_MONOTONIC, the clock of every deadline here.
static inline uint64_t fai_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}
