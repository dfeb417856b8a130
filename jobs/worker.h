// SPDX-License-Identifier: MIT
//
// A worker: what the scheduler keeps for every lane (worker threads, the main lane, attached threads), and how a lane
// runs jobs. A worker thread runs what its deque holds, then what it can take from others (take.h); without work it
// looks around for a bounded time and parks (sleepers.h).
//
// A frame's jobs are counted without shared read-modify-writes: every lane counts, per frame slot, the jobs that it
// submitted and those that it finished; both only grow, over all frames that ever used the slot.
//
//     all jobs of a frame are done  <=>  Σ finished, read first, == Σ submitted, read afterwards
//
// Proof. Let F and S be the sets of jobs that the two sums stand for. A job in F was submitted before it was finished
// and before the sum was read, so it is in S; equal sums mean F = S. If some job were not in S, follow its submitters
// back to the first that is in S (the frame's own submitter is the reader, or holds the frame): it is in F, so it is
// finished, so all that it submitted happened before its lane published that, and is in S.
//
// A lane publishes `finished` only after it stored its frame window back (fai_lane_leave_frame()), so whoever sees the
// sums equal owns all memory of the frame. The main lane and threads that hold the frame may publish earlier: they
// themselves stand between the frame and its end.
#pragma once

#include "alloc/lane.h"
#include "concurrent/park.h"
#include "concurrent/rcu.h"
#include "concurrent/thread.h"
#include "jobs/deque.h"
#include "jobs/order_key.h"
#include "jobs/system.h"

#define FAI_JOBS_PER_QUIESCENT_STATE 16
#define FAI_STACK_SHOWN 64 // jobs of a lane's stack that the search for deadlocks sees

/// A running job; lives on the stack of the lane that runs it.
typedef struct fai_context {
    struct fai_context *below;
    const fa_counter *counter; // may be NULL
    const char *name;          // likewise
    fai_job_mark mark;
    fai_order order;
} fai_context;

/// Jobs of a frame slot, see above. The lane writes, all read.
typedef struct fai_tally {
    FAI_ATOMIC(uint64_t) submitted;
    FAI_ATOMIC(uint64_t) finished;
} fai_tally;

/// Part of fa_stats: the lane writes, the main lane reads.
typedef struct fai_job_stats {
    FAI_ATOMIC(uint64_t) jobs, jobs_inline, steals, steal_tries, parks, wakes, waits_parked;
} fai_job_stats;

/// For the search for deadlocks in checked builds: a job on the lane's stack, as of its last wait.
typedef struct fai_shown {
    FAI_ATOMIC(const fa_counter *) counter;
    FAI_ATOMIC(const char *) name;
} fai_shown;

/// What a thief knows about the jobs that it could take: its last look at a deque that had some, and the last ones it
/// took.
typedef struct fai_watch {
    uint32_t lane;
    uint64_t word; // of the deque
    uint64_t at_ns;
    uint64_t again_ns; // not to be looked at before; 0: no look counts
    uint64_t busy_ns;  // how long to leave it alone after its second look; 0: it was empty
    uint64_t job_ns;   // what a job took when it last took several …
    uint64_t taken_ns; // … then
    uint32_t taken;    // how many, 0 once they are accounted for
} fai_watch;

typedef struct fai_worker {
    fai_lane lane; // first: a fa_worker is a fai_lane is a fai_worker
    // owner: the lane's thread. What begin and end of a frame look at comes first, see layout.h
    fai_context *context; // innermost running job, NULL outside
    uint32_t run;         // of that job: its lane << 24 | nonce; 0 outside
    uint32_t nonce;
    uint64_t unpublished;    // jobs of the lane's current frame finished since `finished` was published
    fa_counter *gathered;    // completions of this counter …
    uint32_t gathered_count; // … not yet taken off it
    uint32_t last_victim;
    uint32_t forks; // checked systems: of the running job, not joined
    bool claimed;   // the lane is RUNNING
    bool online;    // main lane and attached threads: may read cells
    bool touched;   // its ring is mapped
    uint64_t held;  // frame that this attached thread holds, 0 if none
    fai_job_stats stats;
    fai_tally tallies[FA_FRAMES_IN_FLIGHT_MAX];
    fai_order root; // key of what happens outside jobs
    fai_watch watch;
    uint64_t random;
    struct fai_worker *next_self; // next lane of the same thread, see attach.c
    fai_thread thread;
    fai_deque deque;
    // shared: written rarely
    FAI_OWN_LINE fai_parker parker;
    FAI_ATOMIC(const fa_counter *) waiting_for; // valid while in the set of waiting lanes
    FAI_ATOMIC(uint32_t) attached;              // slot of an attached thread: 1 in use
    FAI_ATOMIC(uint32_t) wait_serial;           // odd while the wait below is shown
    FAI_ATOMIC(uint32_t) shown_count;
    fai_shown shown[FAI_STACK_SHOWN];
} fai_worker;

static inline fai_worker *fai_worker_of(fa_worker *w)
{
    return (fai_worker *)(void *)w;
}

static inline const fai_worker *fai_worker_of_const(const fa_worker *w)
{
    return (const fai_worker *)(const void *)w;
}

static inline void fai_bump(FAI_ATOMIC(uint64_t) *counter, uint64_t n)
{
    fai_store_relaxed(counter, fai_load_relaxed(counter) + n);
}

/// The same of statistics, which a build may leave out.
static inline void fai_count(FAI_ATOMIC(uint64_t) *counter, uint64_t n)
{
    if (FA_STATISTICS) fai_bump(counter, n);
}

/// [own] A new run: a job that starts at depth 0 or on another lane than it was submitted on.
static inline uint32_t fai_worker_fresh_run(fai_worker *w)
{
    FA_ASSERT(w->lane.hot.index < 256);
    uint32_t nonce = ++w->nonce & 0xffffff;
    return w->lane.hot.index << 24 | nonce;
}

/// [own] Sets up a running job; the lane is in the job's frame.
static inline void fai_context_begin(fai_worker *w, fai_context *context, const fai_job *job, const char *name)
{
    FA_ASSERT((w->context != NULL) == (w->lane.depth > 0));
    FA_ASSERT(w->lane.slot == fai_job_slot(job));
    context->below = w->context;
    context->counter = job->counter;
    context->name = name;
    context->order = (fai_order){.high = job->high, .low = job->low, .bits = (uint16_t)fai_job_bits(job)};
    w->context = context;
    fai_lane_begin_job(&w->lane, &context->order, fai_job_label(job), &context->mark);
}

static inline void fai_context_end(fai_worker *w, fai_context *context)
{
    FA_ASSERT(w->context == context);
    fai_lane_end_job(&w->lane, &context->mark);
    w->context = context->below;
}

/// [own] Whether forks of what runs now were not joined, which checked systems know and report (FA203).
bool fai_forks_are_left(const fai_worker *w);

/// [own] A job returned with forks not joined: those from `since` on in the deque that nobody has taken lose their tasks, which are gone.
void fai_forks_cut(fai_worker *w, int64_t since);

/// Slow part of fai_job_call(): tells those who watch.
void fai_job_call_watched(fai_worker *w, fa_job_fn *fn, void *arg);

/// [own] The running job's function itself. When nobody watches jobs, that costs a load and a branch.
static inline void fai_job_call(fai_worker *w, fa_job_fn *fn, void *arg)
{
    const uint64_t watched = FAI_WATCH_FORKS | (FA_TRACE ? FAI_WATCH_ZONE(FA_EVENT_JOB_BEGIN) : 0);
    if (FA_UNLIKELY((fai_load_relaxed(&w->lane.watched) & (uint32_t)watched) != 0))
        fai_job_call_watched(w, fn, arg);
    else
        fn(&w->lane.hot, arg);
}

static inline void *fai_job_argument(fai_job *job)
{
    return (fai_job_flags(job) & FAI_JOB_COPIED) != 0 ? (void *)job->args : (void *)(uintptr_t)job->args[0];
}

static inline fai_worker *fai_system_worker(const fa_system *fa, uint32_t lane)
{
    FA_ASSERT(lane < fa->lane_count);
    return (fai_worker *)(void *)fai_memory_lane(&fa->memory, lane);
}

static inline fa_system *fai_worker_system(const fai_worker *w)
{
    return w->lane.hot.system;
}

/// Lanes that may have jobs: those below this number.
static inline uint32_t fai_worker_lane_end(const fai_worker *w)
{
    return fai_load_relaxed(&fai_worker_system(w)->lane_end);
}

static inline bool fai_worker_is_main(const fai_worker *w)
{
    return w->lane.hot.index == 0;
}

static inline bool fai_worker_is_attached(const fai_worker *w)
{
    return w->lane.hot.index > fai_worker_system(w)->worker_count;
}

/// [own] Around the lane's sleep.
static inline fai_zone fai_worker_park_begin(fai_worker *w)
{
    return fai_zone_begin(&w->lane, FA_EVENT_PARK_BEGIN, NULL, 0, 0);
}

static inline void fai_worker_park_end(fai_worker *w, const fai_zone *zone)
{
    fai_zone_end(&w->lane, zone, NULL, 0, 0);
}

// Running -------------------------------------------------------------------------------------------------------------

/// [own] Moves the lane into the frame of `slot` (FAI_NO_SLOT: none), publishing what it finished in the one it leaves.
void fai_worker_switch_frame(fai_worker *w, uint32_t slot, uint64_t number);

/// [own] Publishes what the lane finished in the frame of `slot`, the last one it was in; see the rule above.
void fai_worker_publish_finished(fai_worker *w, uint32_t slot);

/// [own] The same for an attached thread that holds its frame and ran jobs while it waited: it may not come back here for long, and
/// fa_frame_end() waits for the jobs, not for the hold.
static inline void fai_worker_publish_holder(fai_worker *w)
{
    if (w->context == NULL && w->held != 0 && w->unpublished > 0 && w->lane.slot != FAI_NO_SLOT)
        fai_worker_publish_finished(w, w->lane.slot);
}

/// [own] Runs a job that was queued; afterwards the lane is still in the job's frame. The completion is gathered: flush
/// before anything that may take long.
void fai_worker_run(fai_worker *w, fai_job *job);

/// [own] The same, and returns to the frame that the lane is in.
void fai_worker_run_nested(fai_worker *w, fai_job *job);

/// [own] Runs a job that was never queued nor counted, as part of the running one.
void fai_worker_run_inline(fai_worker *w, fai_job *job);

/// [own] Between two jobs, outside all others, so that no pointer from a cell is held; `jobs`: how many have run in a row. A quiescent state costs a
/// few ns, so it is passed now and then; but always while versions wait for one, so that the next boundary finds it passed although a tick has few,
/// long jobs.
static inline void fai_worker_pass(fai_worker *w, uint32_t jobs)
{
    FA_ASSERT(w->context == NULL);
    if (jobs % FAI_JOBS_PER_QUIESCENT_STATE == 0 ||
        FA_UNLIKELY(fai_load_relaxed(&fai_worker_system(w)->memory.grace_runs) != 0))
        fai_rcu_quiescent();
}

/// Body of a worker thread.
void fai_worker_main(void *worker);
