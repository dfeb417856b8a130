// SPDX-License-Identifier: MIT
//
// Where code lies. When a frame ends, its work has pushed everything else out of the caches: what begin and end of a frame execute then costs
// a cache miss for each line and a walk of the page table for each page. So those functions lie side by side, what they seldom
// need lies elsewhere, and fa_frame_end() fetches the lines that it is about to use all at once.
#pragma once

#include "concurrent/order.h"

#define FAI_FETCH_BYTES 64 // of a line, as far as fetching goes

/// A function that the end of every frame runs, or its begin.
#define FAI_FRAME_END __attribute__((section("fai_frame_end")))
#define FAI_FRAME_BEGIN __attribute__((section("fai_frame_begin")))

/// Beside FAI_FRAME_END, on the functions that fetch: their lines up to there are waited for one after the other, so each begins with a whole one.
/// The section then begins at the start of a line, too.
#define FAI_FIRST_LINE __attribute__((aligned(FAI_FETCH_BYTES)))

/// A part of one that they seldom need, or that takes long anyway; with FAI_FRAME_END: one copy is enough for all callers.
#define FAI_APART __attribute__((noinline))

/// Asks for the line of an address, which the caller will need soon.
static inline void fai_fetch_line(const void *line)
{
    __builtin_prefetch(line);
    __asm__ __volatile__(""); // else a function that only fetches has no effect, and calls of it go
}

/// The same for the lines of [from, to); `from` is at the start of one.
static inline void fai_fetch(const void *from, const void *to)
{
    for (const char *line = from; line < (const char *)to; line += FAI_FETCH_BYTES) fai_fetch_line(line);
}

/// The same by loads whose values nobody waits for: of more than some sixty prefetches under way a processor drops many, and a dropped line of code is
/// waited for later.
static inline void fai_load(const char *line, const char *to)
{
#pragma GCC unroll 4
    for (; line < to; line += FAI_FETCH_BYTES) (void)*(const volatile char *)line;
}

// The linker names the ends of a section whose name could be C's.
extern const char __start_fai_frame_end[] __attribute__((visibility("hidden")));
extern const char __stop_fai_frame_end[] __attribute__((visibility("hidden")));

/// Asks for the code of FAI_FRAME_END.
static inline void fai_fetch_frame_end(void)
{
    fai_load(__start_fai_frame_end, __stop_fai_frame_end);
}
