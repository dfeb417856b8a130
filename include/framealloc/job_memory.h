// SPDX-License-Identifier: MIT
//
// Memory of a job: belongs to one job and ends when that job and all that it started are done. Between scope memory, which the job's return
// takes away from its children, and frame memory, which piles up until the frame retires.
//
// A job's memory begins with its first allocation, or with fa_job_memory_open(). From then on it lasts until the job has returned and every job
// that it submitted or forked since, and all that these started, are done, on whatever lanes, waited for or not; the last one
// to end releases it, at once. Jobs that it started earlier do not hold it: a job whose first children need it opens it first. All of
// them may read and write what lies in it, and allocate from it.
//
// A piece of a parallel loop is a job, too: what fa_job_alloc() gives it goes with the piece. What is to last longer it allocates from the memory
// of the job that runs the loop.
//
// Cost: nothing for jobs that come from none with memory. A job that is started by one with memory costs its submitter a small record more; when
// memory for that is refused, the job runs at once, inside the call, as when the deque is full; a job for the main thread is refused
// (FA_ERROR_MEMORY).
//
// What [own], [main] and [any] mean, and what a wrong thread, NULL, size or alignment is answered: base.h. A refused call changes nothing.
#pragma once

#include <framealloc/frame.h>

/// A job's memory. {0} is none. Ids are not used again.
typedef struct fa_job_memory {
    uint64_t id;
} fa_job_memory;

/// [own] The running job's memory, begun if it has none. FA_ERROR_INVALID: NULL. FA_ERROR_WRONG_THREAD: in checked systems (FA201). FA_ERROR_STATE:
/// outside a job (FA004). FA_ERROR_MEMORY: refused. *out is then {0}.
FA_API fa_status fa_job_memory_open(fa_worker *w, fa_job_memory *out);

/// [own] The nearest memory that the running job can allocate from: its own, else that of the nearest ancestor that had one when it started the
/// next in line. {0}: there is none, or no job runs, or w is NULL.
FA_API fa_job_memory fa_job_memory_current(const fa_worker *w);

/// [own] `size` bytes of the running job's memory, uninitialised, at `align`: any power of two, by address; 0 stands for 16. Charged to the
/// lane's tag. NULL: size 0; an alignment that is none (FA903); a limit or the system refuses (FA301, once a frame and lane;
/// fa_stats.job_memory_refused); the tag's budget (FA302); outside a job (FA004); NULL worker.
FA_API void *fa_job_alloc(fa_worker *w, size_t size, size_t align);

/// [own] As fa_job_alloc(), from a given memory: the running job's or that of an ancestor, on any lane. NULL also for any other, live or not
/// (FA201 in checked systems).
FA_API void *fa_job_memory_alloc(fa_worker *w, fa_job_memory memory, size_t size, size_t align);

/// [own] As fa_job_alloc(): `count` elements of `size` bytes; NULL also when the product overflows (FA914).
static inline void *fa_job_alloc_array(fa_worker *w, size_t count, size_t size, size_t align)
{
    size_t bytes;
    if (FA_UNLIKELY(__builtin_mul_overflow(count, size, &bytes))) return fa_refuse_array(w, count, size);
    return fa_job_alloc(w, bytes, align);
}

/// [own] As fa_job_memory_alloc(): `count` elements of `size` bytes; NULL also when the product overflows (FA914).
static inline void *fa_job_memory_alloc_array(fa_worker *w, fa_job_memory memory, size_t count, size_t size,
                                              size_t align)
{
    size_t bytes;
    if (FA_UNLIKELY(__builtin_mul_overflow(count, size, &bytes))) return fa_refuse_array(w, count, size);
    return fa_job_memory_alloc(w, memory, bytes, align);
}

typedef struct fa_job_memory_info {
    uint64_t objects; // allocated so far by all lanes
    uint64_t bytes;   // of them, rounded up to 16 each, with padding for alignment
} fa_job_memory_info;

/// [own] Exact when no other lane allocates meanwhile. FA_ERROR_STALE: not the running job's memory or an ancestor's (not
/// reported). FA_ERROR_INVALID: NULL. *out is then zero.
FA_API fa_status fa_job_memory_read(fa_worker *w, fa_job_memory memory, fa_job_memory_info *out);

/// Typed forms: a T, or n of them, uninitialised, of the running job's memory. NULL as their functions.
#define fa_job_new(w, T) FA_CAST(T *, fa_job_alloc((w), sizeof(T), FA_ALIGNOF(T)))
#define fa_job_array(w, T, n) FA_CAST(T *, fa_job_alloc_array((w), (n), sizeof(T), FA_ALIGNOF(T)))
