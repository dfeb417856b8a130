// SPDX-License-Identifier: MIT
//
// A lane's deque: a ring of jobs stored in line, 64 bytes each. The owner pushes and pops at one end, thieves take at the other.
// The public part is the work-stealing deque of Chase and Lev (SPAA 2005) with the memory orders of Lê, Pop, Cohen and Zappa
// Nardelli (PPoPP 2013); above it lies a part that only the owner sees, as in Lace (van Dijk and van de Pol, 2014): pushing and popping
// there costs neither a fence nor a read-modify-write.
//
//     top <= base <= head <= top + capacity
//     [top, base)   public: thieves take the oldest with a compare-and-swap on `top`
//     [base, head)  private
//     bottom == base, except while the owner takes part of the public jobs back
//
// Taking back. The owner lowers `bottom` to b', passes a full fence and reads `top`. If top < b', the jobs [b', base) are its own: a thief
// could take one of them only after it saw top >= b', that is after the owner's look; by then its own fence comes after the
// owner's, so that it reads a `bottom` at or below its index. If top >= b' the owner puts `bottom` back, and what is left it takes like
// a thief. So slot i is rewritten only when top > i or bottom <= i since before top was i; a thief therefore copies a slot first and
// uses the copy only if its compare-and-swap wins. Slots are written and read by relaxed atomic words: a copy that loses may be torn.
//
// Taking out of the middle leaves a hole: a job without function, which whoever gets it skips.
//
// Indices are signed 64-bit and never wrap.
//
// Who may run together ("-" yes, "X" the caller must exclude; all _owner functions are the lane's thread):
//              _owner   steal_any   look_any, find_any, want_any
//   _owner        X         -                   -
//   steal_any     -         -                   -
#pragma once

#include "concurrent/check.h"
#include "concurrent/contention.h"
#include "concurrent/order.h"

#include <framealloc/jobs.h>

#include <string.h>

/// How a job's fields are packed into `meta`: frame slot 8 | bits of the order key 8 | flags 8 | unused 8 | run 32.
enum {
    FAI_JOB_COPIED = 1, // the argument is the address of `args`; otherwise it is args[0]
    FAI_JOB_NAMED = 2,  // args[2] is the name
    FAI_JOB_FORKED = 4, // by fa_fork(): its parent waits for it; counted for the frame by the lane that runs it, unless that is a join
    FAI_JOB_STOLEN = 8, // taken from another lane
};

typedef struct fai_job {
    fa_job_fn *fn;       // NULL: a hole
    fa_counter *counter; // may be NULL
    uint64_t high, low;  // order key
    uint64_t args[3];
    uint64_t meta;
} fai_job;

_Static_assert(sizeof(fai_job) == 64, "a job is a cache line");
_Static_assert(offsetof(fai_job, args) % 16 == 0, "copied arguments are 16-byte aligned");
_Static_assert(sizeof((fai_job){0}.args) == FA_JOB_INLINE, "arguments that travel inside");

static inline uint64_t fai_job_meta(uint32_t slot, uint32_t bits, uint32_t flags, uint32_t run)
{
    return slot | bits << 8 | flags << 16 | (uint64_t)run << 32;
}

static inline uint32_t fai_job_slot(const fai_job *job)
{
    return job->meta & 0xff;
}

static inline uint32_t fai_job_bits(const fai_job *job)
{
    return job->meta >> 8 & 0xff;
}

static inline uint32_t fai_job_flags(const fai_job *job)
{
    return job->meta >> 16 & 0xff;
}

static inline uint32_t fai_job_run(const fai_job *job)
{
    return (uint32_t)(job->meta >> 32);
}

static inline const char *fai_job_name(const fai_job *job)
{
    return (fai_job_flags(job) & FAI_JOB_NAMED) != 0 ? (const char *)(uintptr_t)job->args[2] : NULL;
}

/// Which jobs a lane may take: those of a counter, of a frame slot, submitted by a run; or any.
typedef struct fai_want {
    const fa_counter *counter; // NULL: any
    uint32_t slot;             // FAI_SLOT_ANY: any
    uint32_t run;              // 0: any
} fai_want;

#define FAI_SLOT_ANY UINT32_MAX
#define FAI_WANT_ANY ((fai_want){NULL, FAI_SLOT_ANY, 0})

typedef struct fai_deque {
    // immutable after init
    fai_job *jobs;
    uint64_t mask; // capacity - 1
    // owner
    int64_t head;
    int64_t base;
    int64_t top_seen; // a value that `top` had
    // shared: the owner writes, all read
    FAI_OWN_LINE FAI_ATOMIC(int64_t) bottom;
    FAI_ATOMIC(uint32_t) wanted; // set by who found nothing public here
    // shared: whoever takes the oldest job writes
    FAI_OWN_LINE FAI_ATOMIC(int64_t) top;
} fai_deque;

typedef enum fai_steal { FAI_STEAL_EMPTY, FAI_STEAL_LOST, FAI_STEAL_OTHER, FAI_STEAL_TAKEN } fai_steal;

static inline void fai_deque_init(fai_deque *deque, fai_job *jobs, uint32_t capacity)
{
    FA_ASSERT((capacity & (capacity - 1)) == 0);
    FA_ASSERT((uintptr_t)jobs % sizeof(fai_job) == 0);
    memset(deque, 0, sizeof *deque);
    deque->jobs = jobs;
    deque->mask = capacity - 1;
}

static inline fai_job *fai_deque_at(const fai_deque *deque, int64_t index)
{
    return &deque->jobs[(uint64_t)index & deque->mask];
}

static inline void fai_job_write(fai_job *slot, const fai_job *job)
{
    fai_store_relaxed(&slot->fn, job->fn);
    fai_store_relaxed(&slot->counter, job->counter);
    fai_store_relaxed(&slot->high, job->high);
    fai_store_relaxed(&slot->low, job->low);
    for (int i = 0; i < 3; i++) fai_store_relaxed(&slot->args[i], job->args[i]);
    fai_store_relaxed(&slot->meta, job->meta);
}

static inline void fai_job_read(const fai_job *slot, fai_job *job)
{
    job->fn = fai_load_relaxed(&slot->fn);
    job->counter = fai_load_relaxed(&slot->counter);
    job->high = fai_load_relaxed(&slot->high);
    job->low = fai_load_relaxed(&slot->low);
    for (int i = 0; i < 3; i++) job->args[i] = fai_load_relaxed(&slot->args[i]);
    job->meta = fai_load_relaxed(&slot->meta);
}

static inline bool fai_job_matches(const fai_job *job, const fai_want *want)
{
    if (want->counter != NULL && job->counter != want->counter) return false;
    if (want->slot != FAI_SLOT_ANY && fai_job_slot(job) != want->slot) return false;
    return want->run == 0 || fai_job_run(job) == want->run;
}

// Owner: pushing ------------------------------------------------------------------------------------------------------

/// The slot for the next push, NULL when the deque is full.
static inline fai_job *fai_deque_reserve_owner(fai_deque *deque)
{
    if (FA_UNLIKELY(deque->head - deque->top_seen > (int64_t)deque->mask)) {
        // [deque.take] acquire: the thieves' reads of the slots that they took come before these are written again.
        deque->top_seen = fai_load_acquire(&deque->top);
        if (deque->head - deque->top_seen > (int64_t)deque->mask) return NULL;
    }
    return fai_deque_at(deque, deque->head);
}

/// Makes everything public.
static inline void fai_deque_publish_owner(fai_deque *deque)
{
    FA_ASSERT(deque->base <= deque->head);
    deque->base = deque->head;
    // [deque.publish] release: the jobs, and all that their submitter did before.
    fai_store_release(&deque->bottom, deque->head);
    if (fai_load_relaxed(&deque->wanted)) fai_store_relaxed(&deque->wanted, 0u);
}

/// Somebody asked for work: makes the older half of the private part public. Returns whether there was any.
static inline bool fai_deque_share_owner(fai_deque *deque)
{
    int64_t n = deque->head - deque->base;
    if (n == 0) return false;
    deque->base += (n + 1) / 2;
    fai_store_relaxed(&deque->wanted, 0u);
    // [deque.publish] release: as above.
    fai_store_release(&deque->bottom, deque->base);
    return true;
}

static inline bool fai_deque_is_wanted_owner(const fai_deque *deque)
{
    return fai_load_relaxed(&deque->wanted) != 0;
}

// Owner: popping ------------------------------------------------------------------------------------------------------

/// Takes back the public jobs from `lower` on; false, and nothing changed, if thieves may have come that far.
static inline bool fai_deque_take_back_owner(fai_deque *deque, int64_t lower)
{
    FA_ASSERT(lower < deque->base);
    // [deque.publish] release: a thief that reads the lower value still sees the jobs below it.
    fai_store_release(&deque->bottom, lower);
    // [deque.fence] seq_cst: the owner's store of `bottom` before its load of `top`, against the thief's load of `top` before its load
    // of `bottom`.
    fai_fence_seq_cst();
    deque->top_seen = fai_load_relaxed(&deque->top);
    if (FA_LIKELY(deque->top_seen < lower)) {
        deque->base = lower;
        return true;
    }
    // [deque.publish] release: as above.
    fai_store_release(&deque->bottom, deque->base);
    return false;
}

/// Takes public job `index` as a thief would; false if it is not the oldest any more. `bottom` lies above it: no fence is needed.
static inline bool fai_deque_take_oldest_owner(fai_deque *deque, int64_t index, fai_job *out)
{
    FA_ASSERT(index < deque->base);
    *out = *fai_deque_at(deque, index);
    // [deque.take] acq_rel: decides between the owner and thieves.
    return fai_cas_seq_cst(&deque->top, &index, index + 1);
}

/// Pops the newest job into `out`; false when the deque is empty. Public jobs are taken back one at a time: a job that others could run must
/// not lie hidden behind a long one.
static inline bool fai_deque_pop_owner(fai_deque *deque, fai_job *out, fa_contention *contention)
{
    while (FA_UNLIKELY(deque->head == deque->base)) {
        int64_t top = fai_load_relaxed(&deque->top);
        if (deque->base <= top) return false;
        if (deque->base - top > 1 && fai_deque_take_back_owner(deque, deque->base - 1)) break;
        if (fai_deque_take_oldest_owner(deque, deque->base - 1, out)) return true;
        FAI_COUNT(contention, own_races, 1);
    }
    *out = *fai_deque_at(deque, --deque->head);
    return true;
}

/// Newest job with an index in [from, to) that is wanted, `from` - 1 if there is none.
static inline int64_t fai_deque_find_newest_owner(const fai_deque *deque, int64_t from, int64_t to, const fai_want *want)
{
    for (int64_t i = to - 1; i >= from; i--) {
        const fai_job *job = fai_deque_at(deque, i);
        if (job->fn != NULL && fai_job_matches(job, want)) return i;
    }
    return from - 1;
}

/// Oldest such job, `to` if there is none.
static inline int64_t fai_deque_find_oldest_owner(const fai_deque *deque, int64_t from, int64_t to, const fai_want *want)
{
    for (int64_t i = from; i < to; i++) {
        const fai_job *job = fai_deque_at(deque, i);
        if (job->fn != NULL && fai_job_matches(job, want)) return i;
    }
    return to;
}

/// Takes job `index` out, wherever it lies, leaving a hole; false if a thief has it. Jobs above it stay private: the caller publishes.
static inline bool fai_deque_take_out_owner(fai_deque *deque, int64_t index, fai_job *out)
{
    FA_ASSERT(index < deque->head);
    if (index < deque->base) {
        if (fai_load_relaxed(&deque->top) >= index || !fai_deque_take_back_owner(deque, index))
            return fai_deque_take_oldest_owner(deque, index, out);
    }
    fai_job *slot = fai_deque_at(deque, index);
    *out = *slot;
    if (index == deque->head - 1) deque->head--;
    else fai_store_relaxed(&slot->fn, NULL);
    return true;
}

// Thieves -------------------------------------------------------------------------------------------------------------

/// A glance: how many jobs are public, roughly.
static inline int64_t fai_deque_look_any(const fai_deque *deque)
{
    return fai_load_relaxed(&deque->bottom) - fai_load_relaxed(&deque->top);
}

/// Asks the owner to make work public.
static inline void fai_deque_want_any(fai_deque *deque)
{
    if (!fai_load_relaxed(&deque->wanted)) fai_store_relaxed(&deque->wanted, 1u);
}

/// How many jobs are older than the oldest one that seems to be wanted, -1 if none of the `limit` oldest is. Compares values only: what it
/// sees may be long gone.
static inline int64_t fai_deque_find_any(const fai_deque *deque, const fai_want *want, int64_t limit)
{
    int64_t top = fai_load_relaxed(&deque->top), bottom = fai_load_relaxed(&deque->bottom);
    if (bottom - top > limit) bottom = top + limit;
    for (int64_t i = top; i < bottom; i++) {
        const fai_job *slot = fai_deque_at(deque, i);
        fai_job seen = {.fn = fai_load_relaxed(&slot->fn),
                        .counter = fai_load_relaxed(&slot->counter),
                        .meta = fai_load_relaxed(&slot->meta)};
        if (seen.fn != NULL && fai_job_matches(&seen, want)) return i - top;
    }
    return -1;
}

/// Takes the oldest public job if it is wanted. LOST says nothing about whether there is more; OTHER: it was not wanted.
static inline fai_steal fai_deque_steal_any(fai_deque *deque, const fai_want *want, fai_job *out)
{
    // [deque.take] acquire: `top` is read before `bottom` and before the slot.
    int64_t top = fai_load_acquire(&deque->top);
    // [deque.fence] seq_cst: see fai_deque_take_back_owner().
    fai_fence_seq_cst();
    // [deque.publish] acquire: the jobs below it.
    int64_t bottom = fai_load_acquire(&deque->bottom);
    if (top >= bottom) return FAI_STEAL_EMPTY;
    fai_job_read(fai_deque_at(deque, top), out);
    if (out->fn != NULL && !fai_job_matches(out, want)) return FAI_STEAL_OTHER;
    // [deque.take] release: the reads of the slot come before its reuse. acquire: what earlier takers did.
    return fai_cas_seq_cst(&deque->top, &top, top + 1) ? FAI_STEAL_TAKEN : FAI_STEAL_LOST;
}
