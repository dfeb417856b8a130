// SPDX-License-Identifier: MIT
//
// For models of the whole library: a system that was created once and is the same at the start of every execution. Thread 0 is the main lane,
// thread n runs worker n; the reclaimer is the library's thread number 0.
#pragma once

#include "tests/model/checker.h"

#include <framealloc/framealloc.h>

/// [before a search] The model's system: as small as can be, with its `workers`, adjusted by its `adjust`. Made when it is first asked for.
fa_system *little_system(const mc_model *model);

/// [before] Attaches thread 1, which runs by itself from there on.
fa_worker *little_attach(fa_system *fa);

/// What a thread n > 0 does that is worker n, and what one does that is the reclaimer.
void little_worker(void);
void little_reclaimer(void);

/// [main] All is done: the workers and the reclaimer, if `reclaimer` runs, end. Returns when they have.
void little_stop(fa_system *fa, bool reclaimer);
