// SPDX-License-Identifier: MIT
//
// The watchdog: shows progress on a terminal once a second, and ends a run that has stopped getting on with a diagnosis.
#pragma once

#include "stress.h"

/// Starts watching; `explain` as in stress_program.
void watch_begin(const struct stress_program *program, double seconds);

/// Stops, and wipes the line of progress away.
void watch_end(void);

/// Wipes the line of progress away, so that others can write.
void watch_clear(void);
