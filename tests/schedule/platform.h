// SPDX-License-Identifier: MIT
//
// What the library takes for the operating system and liburcu while a schedule runs: threads are fibers, thread-local variables the
// fiber's, futexes and clocks the scheduler's, and grace periods are counted here.
#pragma once

/// Before each schedule: nothing of the one before is left.
void platform_reset(void);

/// Of a clock that the schedules do not stand still.
double platform_seconds(void);
