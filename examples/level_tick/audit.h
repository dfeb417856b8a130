// SPDX-License-Identifier: MIT
//
// A job of each tick that nobody waits for: it reads paths from their cells and verifies every byte of them.
//
// It runs beside the move phase and, with several frames in flight, beside later ticks: while paths are dropped and
// replaced. What it finds damaged is tallied as corrupt.
#pragma once

#include "world.h"

bool audit_submit(fa_worker *w, struct world *world);
