// SPDX-License-Identifier: MIT
//
// Waiting for a counter, for those parts of the library that must not give up.
#pragma once

#include "jobs/worker.h"

/// [own] fa_wait() that knows no errors: the caller's stack holds what the counted jobs use.
void fai_wait_for_own(fai_worker *w, fa_counter *counter);
