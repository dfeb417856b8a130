// SPDX-License-Identifier: MIT
//
// Where code lies. When a frame ends, its work has pushed everything else out of the caches: what begin and end of a frame execute then costs
// a cache miss for each line and a walk of the page table for each page. So those functions lie side by side, what they seldom
// need lies elsewhere, and fa_frame_end() fetches the lines that it is about to use all at once.
#pragma once

#include "concurrent/order.h"

#define FAI_FETCH_BYTES 64 // of a line, as far as fetching goes

/// A function that begin and end of every frame run.
#define FAI_EACH_FRAME __attribute__((section("fai_each_frame")))

/// A part of one that they seldom need, or that takes long anyway.
#define FAI_APART __attribute__((noinline))

/// Asks for the lines of [from, to) that the caller will need soon.
static inline void fai_fetch(const void *from, const void *to)
{
    for (const char *line = from; line < (const char *)to; line += FAI_FETCH_BYTES) __builtin_prefetch(line);
}
