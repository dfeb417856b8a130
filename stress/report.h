// SPDX-License-Identifier: MIT
//
// What a run leaves behind: figures, contention per operation, their growth with the number of workers, all as text and
// as JSON.
#pragma once

#include "stress.h"

/// Whether report_json() can write: it needs Jansson.
bool report_has_json(void);

/// Figures and contention of one run.
void report_run(const struct stress_program *program, const struct stress_run *run);

/// Contention of `count` runs side by side; says what grows. Returns how many figures do.
uint32_t report_scale(const struct stress_program *program, const struct stress_run *runs, uint32_t count);

/// Writes verdict and reason (NULL: none), seed and what the runs left to a file. False: it could not be written.
bool report_json(const char *path, const struct stress_program *program, uint64_t seed, const char *verdict,
                 const char *why, const struct stress_run *runs, uint32_t count);
