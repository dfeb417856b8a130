// SPDX-License-Identifier: MIT
//
// What checked systems (fa_config.checked) know about their memory, for a debugger, an assertion or the end of a level.
//
// A checked system keeps a record of every pool and heap object: what was asked for, where (an allocation site: one return address, or a
// backtrace of fa_config.backtraces frames) and in which frame. It fills memory that is handed out with 0xcd and memory that is freed, reset
// or rolled back with 0xdd, writes 0xfd into what an object's size class leaves over behind it, and reports as FA201:
//
//     at a free            bytes behind the object were written
//     at a reuse, when an object leaves quarantine, and at fa_destroy()
//                          a freed object was written, since it came home if another lane or fa_free_any() freed it; of memory that is used
//                          otherwise by then, at the lane's next pool or heap allocation
//     at a free            the object is free already, or none
//     at an allocation     an object behind a handle was written after its grace period; as FA002: frame or scope memory after it ended
//
// An object that fills its size class has nothing behind it: an overflow of one is seen when its neighbour is free, or by AddressSanitizer.
// Unchecked systems keep none of this and pay nothing for it.
//
// What [own], [main] and [any] mean, and what a wrong thread, NULL, size or alignment is answered: base.h. A refused call changes nothing.
#pragma once

#include <framealloc/base.h>

/// Most frames of a backtrace.
#define FA_BACKTRACE_MAX 16u

/// Objects allocated at one site and not freed.
typedef struct fa_leak {
    uint64_t count; // objects
    uint64_t bytes; // asked for
    uint64_t
        first_frame; // number of the frame in or after which the oldest and the newest were allocated; 0 before the first frame
    uint64_t last_frame;
    uint32_t depth; // of `frames`; 0: allocated when backtrace_sites different sites were known already
    const void *frames[FA_BACKTRACE_MAX]; // return addresses, innermost first; 0 to depth - 1
} fa_leak;

/// Receives a report line by line, without line ends; the text lives until the call returns.
typedef void fa_leak_line_fn(const char *line, void *context);

/// [any] Whether all `size` bytes at p carry the pattern of freed memory, or AddressSanitizer would refuse them. False for NULL or 0 bytes.
/// The memory must be mapped; any memory of a living system is.
FA_API bool fa_is_poisoned(const void *p, size_t size);

/// [any] Checks a pointer before use, p to p + size. FA_OK: memory of this system that is in use, as far as can be told: pool and
/// heap objects by their record, other memory (frame, scope, what lies deeper than 64 KiB in a large object) by its first 16 bytes.
/// FA_ERROR_STALE: freed, reset or rolled back, reported as FA201. FA_ERROR_INVALID: the range leaves its object (reported as FA201), p is
/// no memory of this system, NULL or size 0 (not reported). FA_ERROR_UNSUPPORTED: the system is unchecked.
/// Memory that was freed and is in use again looks like any other; fa_config.quarantine puts that off.
FA_API fa_status fa_check(fa_system *fa, const void *p, size_t size);

/// [main] Between frames: the sites of live pool and heap objects, most bytes first; the first `capacity` of them into out, how many there are in
/// all into *count. Objects that attached threads or jobs of overlapping frames allocate or free at this moment may or may not be counted. out
/// may be NULL if capacity is 0. *count is 0 when it fails. FA_ERROR_STATE: a frame is open. FA_ERROR_INVALID: NULL. FA_ERROR_UNSUPPORTED: the
/// system is unchecked. FA_ERROR_WRONG_THREAD.
FA_API fa_status fa_leaks_read(fa_system *fa, fa_leak *out, uint32_t capacity, uint32_t *count);

/// [main] The same as text, for the 16 sites with most bytes: what fa_destroy() adds to FA910. Writes nothing when nothing is live, or when
/// it is refused. Errors as fa_leaks_read().
FA_API fa_status fa_leaks_write(fa_system *fa, fa_leak_line_fn *write, void *context);
