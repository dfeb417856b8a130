// SPDX-License-Identifier: MIT
//
// Jobs: functions that run on some lane during the frame in which they were submitted.
//
// A job belongs to the frame of its submitter; the frame retires only when all its jobs are done. Every lane has a
// deque: its owner works at one end, idle lanes steal at the other. Nothing here allocates with malloc: arguments up to
// FA_JOB_INLINE bytes travel inside the job, larger ones in the submitter's frame memory.
//
// Waiting never runs unrelated work. fa_wait() runs, in this order: jobs of the awaited counter that nobody started
// (wherever they are queued), descendants of such a job taken from the worker that runs it, nothing: it then looks
// around for a short while and parks until the counter is zero.
//
// What [own], [main] and [any] mean, and what a wrong thread, NULL, size or alignment is answered: base.h. A refused call changes nothing.
#pragma once

#include <framealloc/worker.h>

/// Bytes of arguments that travel inside a job.
#define FA_JOB_INLINE 24u

/// A job. `w` is the context of the lane that runs it, `arg` what was submitted: the pointer itself, or the address of the
/// copied arguments, 16-byte aligned, valid until the job returns.
typedef void fa_job_fn(fa_worker *w, void *arg);

/// A piece [first, last) of a parallel loop.
typedef void fa_range_fn(fa_worker *w, uint64_t first, uint64_t last, void *arg);

/// Counts jobs that are not done. Owned by the caller, who must keep it until it is zero and every wait on it has returned.
/// Initialise with FA_COUNTER_INIT; do not copy while in use.
typedef struct fa_counter {
    uint64_t state;  // shared: jobs not done, and who waits
    uint32_t runner; // shared: a hint, the last run that took a job of this counter from another lane
    uint32_t system; // checked systems: which one counts
} fa_counter;

// clang-format off
#define FA_COUNTER_INIT {0, 0, 0}
// clang-format on

typedef enum fa_job_flags {
    FA_JOB_ANY = 0, // runs on any lane
    // Runs on the main lane only, in the order of arrival: inside fa_frame_end(), a wait of the main lane at depth 0, or
    // fa_run_main_jobs(). A wait of the main lane inside a job, joins and loops included, runs those of the awaited counter first, and
    // others only when it would sleep otherwise: one of them must not wait for what the job below it on the main lane has yet to do.
    FA_JOB_MAIN = 1 << 0,
} fa_job_flags;

typedef struct fa_job {
    fa_job_fn *fn;
    void *arg;           // passed through, or the bytes to copy if arg_size is not 0
    size_t arg_size;     // bytes copied from arg; 0 passes the pointer itself
    fa_counter *counter; // may be NULL
    const char *name;    // static storage; may be NULL; takes 8 of the bytes that travel inside
    uint32_t flags;      // fa_job_flags
} fa_job;

/// [own] Queues a job in the lane's current frame. When the lane's deque is full the job runs at once, inside this call, and is
/// counted (fa_stats.jobs_inline). With 0 workers jobs run in the order of submission when the main lane waits.
/// FA_ERROR_STATE: outside a frame (FA001); an attached thread must hold one. FA_ERROR_INVALID: NULL worker, job or function, unknown
/// flags, arguments of a size without an address. FA_ERROR_MEMORY: no frame memory for large arguments, or none to queue a job for the main
/// thread. In all these cases nothing was queued and the counter is unchanged.
FA_API fa_status fa_submit_job(fa_worker *w, const fa_job *job);

/// [own] Short forms: a job with a pointer; the same with a counter; one with `size` bytes of arguments copied. `counter` may be NULL. Errors as
/// fa_submit_job().
FA_API fa_status fa_submit(fa_worker *w, fa_job_fn *fn, void *arg);
FA_API fa_status fa_submit_counted(fa_worker *w, fa_counter *counter, fa_job_fn *fn, void *arg);
FA_API fa_status fa_submit_copy(fa_worker *w, fa_counter *counter, fa_job_fn *fn, const void *args, size_t size);

/// [own] `count` jobs fn(args[i]) with element size `size` (0: all get the same pointer `args`), published together: one look at
/// who sleeps instead of `count`. Errors as fa_submit_job(); either all are queued or run, or none.
FA_API fa_status fa_submit_many(fa_worker *w, fa_counter *counter, fa_job_fn *fn, const void *args, size_t size,
                                uint32_t count);

/// [own] Returns when the counter is zero; see the top of this file for what runs meanwhile. Everything that the counted jobs did is then visible
/// to the caller. Any number of lanes may wait on one counter, all of the system that its jobs are of: a lane of another one is not woken
/// (checked systems refuse it: FA201, FA_ERROR_INVALID, and likewise jobs of a second system on a counter that is not zero). FA_ERROR_INVALID:
/// NULL. FA_ERROR_STATE: the lane is idle, or between two jobs (a sink's wait). FA_ERROR_DEADLOCK: the counted job is the caller's own job or one
/// further down this lane's stack, so that the wait could never end (FA905 names both); in checked systems also when the cycle runs over other
/// lanes.
FA_API fa_status fa_wait(fa_worker *w, fa_counter *counter);

/// [any] Whether the counter, not NULL, is zero; if so, what its jobs did is visible. False: jobs are left.
static inline bool fa_is_done(const fa_counter *counter)
{
    // [counter.done] acquire: pairs with the release of the last job's completion.
    return (uint32_t)__atomic_load_n(&counter->state, __ATOMIC_ACQUIRE) == 0;
}

/// [own] Runs fn over [first, last) in pieces of at least `grain` (0: chosen by the library) and returns when all are done. The
/// caller takes part; others join as they are free. Pieces shrink towards the end (guided self-scheduling, Polychronopoulos and
/// Kuck 1987) and have no more items than should take 20 µs, by what the lane's last piece took, or `grain` if those take longer. Where
/// pieces begin and end depends on who helps and on time; results must not. Small loops without a grain run on the caller alone.
/// Errors as fa_submit_job(): then nothing was run; an empty range is FA_OK.
FA_API fa_status fa_parallel_for(fa_worker *w, uint64_t first, uint64_t last, uint64_t grain, fa_range_fn *fn,
                                 void *arg);

/// Structured fork and join, for recursion: between fork and join of a task the same job may fork and join others, like
/// brackets. A forked task is private to the lane until another asks for work; a join that finds it unstolen costs no atomic
/// read-modify-write. The task lives on the caller's stack until joined.
typedef struct fa_task {
    fa_counter counter;
} fa_task;

/// [own] Only inside a job or a frame of the main lane; the task must be joined before the job returns. FA_ERROR_STATE outside a frame (the task
/// then counts as done). FA_ERROR_INVALID: NULL worker, task or function. Checked systems report a job that ends with forks not joined (FA203):
/// those that nobody has taken run all the same, without their task. fa_frame_end(), fa_frame_drop() and fa_detach() with such a fork answer
/// FA_ERROR_STATE there (FA203). A join of a task that is {0} or joined already, or of NULL, does nothing.
FA_API fa_status fa_fork(fa_worker *w, fa_task *task, fa_job_fn *fn, void *arg);
FA_API void fa_join(fa_worker *w, fa_task *task);

/// [main] Runs queued main-thread jobs; returns how many. Refused with 0: NULL, on another thread, inside a job or a sink, while the lane is idle.
FA_API uint32_t fa_run_main_jobs(fa_system *fa);

/// [own] Name of the running job, NULL if none or unnamed; and its nesting depth on this lane, 0 outside jobs. NULL and 0 for a NULL worker.
FA_API const char *fa_job_name(const fa_worker *w);
FA_API uint32_t fa_job_depth(const fa_worker *w);
