// SPDX-License-Identifier: MIT
//
// Small programs over the public interface, each run under many schedules.
#pragma once

#include "scheduler.h"

typedef struct scenario {
    const char *name;
    const char *what; // a line for --list
    schedule_fn *run;
    bool wrong; // has a planted bug: some schedule must fail
} scenario;

/// Ends with an entry without a name.
extern const scenario scenarios[];
