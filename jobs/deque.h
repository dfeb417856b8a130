// SPDX-License-Identifier: MIT
//
// A lane's deque: a ring of jobs stored in line, 64 bytes each. The owner pushes and pops at the new end, thieves take
// at the old end. The newest jobs are private to the owner: pushing and popping there costs neither a fence nor a
// read-modify-write. The others are public, and all that there is to know about them stands in one word:
//
//     word = tag 31 bits | top 16 bits | count 17 bits
//
//     jobs [top, top + count)   public: whoever moves `top` up or `count` down by compare-and-swap has taken them
//     jobs [base, head)         private; base == top + count, which thieves do not change
//     head - top <= capacity <= 2^16; `top` in the word is the index modulo 2^16
//
// (Work stealing deques since Chase and Lev, SPAA 2005; private part and tasks in line after Lace, van Dijk and van de
// Pol 2014. One word for both ends instead of a word each costs the owner the same: a locked instruction where those
// need a full fence; and it lets a thief take many jobs at once, needs no fence to be right, and is one cache line to
// fight about instead of two.)
//
// Slots are written and read by relaxed atomic words. A thief copies slots first and uses the copies only if its
// compare-and-swap wins: then nobody took or put back a job in between. For that the owner changes the tag whenever it
// takes public jobs back; a thief would have to be stopped while exactly 2^31 such jobs (20 s at full speed), or a
// multiple, go by.
//
// Taking out of the middle leaves a hole: a job without function, which whoever gets it skips.
//
// Who may run together ("-" yes, "X" the caller must exclude; _owner: the lane's thread):
//             _owner   _any
//   _owner      X        -
//   _any        -        -
#pragma once

#include "concurrent/check.h"
#include "concurrent/contention.h"
#include "concurrent/order.h"

#include <framealloc/jobs.h>

#include <string.h>

/// How a job's fields are packed into `meta`: frame slot 4 | flags 4 | bits of the order key 8 | label 16 | run 32.
enum {
    FAI_JOB_COPIED = 1, // the argument is the address of `args`; otherwise it is args[0]
    FAI_JOB_NAMED = 2,  // args[2] is the name
    FAI_JOB_FORKED = 4, // by fa_fork(): counted for the frame by the lane that runs it, unless its own parent joins it
    FAI_JOB_STOLEN = 8, // taken from another lane
};

typedef struct fai_job {
    fa_job_fn *fn;       // NULL: a hole
    fa_counter *counter; // may be NULL
    uint64_t high, low;  // order key
    _Alignas(16) uint64_t args[3];
    uint64_t meta;
} fai_job;

_Static_assert(sizeof(fai_job) == 64, "a job is a cache line");
_Static_assert(sizeof((fai_job){0}.args) == FA_JOB_INLINE, "arguments that travel inside");

static inline uint64_t fai_job_meta(uint32_t slot, uint32_t bits, uint32_t flags, uint32_t label, uint32_t run)
{
    FA_ASSERT(slot < 16 && bits <= 64 && flags < 16 && label < 1u << 16);
    return slot | flags << 4 | bits << 8 | label << 16 | (uint64_t)run << 32;
}

static inline uint32_t fai_job_slot(const fai_job *job)
{
    return job->meta & 0xf;
}

static inline uint32_t fai_job_bits(const fai_job *job)
{
    return job->meta >> 8 & 0xff;
}

static inline uint32_t fai_job_flags(const fai_job *job)
{
    return job->meta >> 4 & 0xf;
}

static inline uint32_t fai_job_label(const fai_job *job)
{
    return job->meta >> 16 & 0xffff;
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

#define FAI_DEQUE_COUNT_BITS 17
#define FAI_DEQUE_TOP_BITS 16
#define FAI_DEQUE_TAG (UINT64_C(1) << (FAI_DEQUE_COUNT_BITS + FAI_DEQUE_TOP_BITS))

typedef struct fai_deque {
    // immutable after init
    fai_job *jobs;
    uint64_t mask; // capacity - 1
    // owner: indices never wrap
    int64_t head;
    int64_t base;
    int64_t top_seen; // a value that `top` had
    // shared
    FAI_OWN_LINE FAI_ATOMIC(uint64_t) word;
    FAI_OWN_LINE
    FAI_ATOMIC(uint32_t) wanted; // set by who found nothing public here; the owner clears it when it shares
} fai_deque;

typedef enum fai_steal { FAI_STEAL_EMPTY, FAI_STEAL_LOST, FAI_STEAL_OTHER, FAI_STEAL_TAKEN } fai_steal;

static inline void fai_deque_init(fai_deque *deque, fai_job *jobs, uint32_t capacity)
{
    FA_ASSERT((capacity & (capacity - 1)) == 0 && capacity <= UINT32_C(1) << FAI_DEQUE_TOP_BITS);
    FA_ASSERT((uintptr_t)jobs % sizeof(fai_job) == 0);
    memset(deque, 0, sizeof *deque);
    deque->jobs = jobs;
    deque->mask = capacity - 1;
}

static inline uint32_t fai_deque_count_of(uint64_t word)
{
    return word & ((UINT32_C(1) << FAI_DEQUE_COUNT_BITS) - 1);
}

static inline uint32_t fai_deque_top_of(uint64_t word)
{
    return word >> FAI_DEQUE_COUNT_BITS & ((UINT32_C(1) << FAI_DEQUE_TOP_BITS) - 1);
}

/// How often the owner has taken back public jobs, modulo 2^31: the tag, but for carries from `top`.
static inline uint32_t fai_deque_taken_back_of(uint64_t word)
{
    return (uint32_t)(word >> (FAI_DEQUE_COUNT_BITS + FAI_DEQUE_TOP_BITS));
}

/// The newer end of the public part modulo 2^16.
static inline uint16_t fai_deque_base_of(uint64_t word)
{
    return (uint16_t)(fai_deque_top_of(word) + fai_deque_count_of(word));
}

/// The word after the n oldest jobs were taken. `top` carries into the tag: the two are one number that only rises, by n here and by 2^16
/// when the owner takes back, so that a thief that was stopped does not mistake the ring's next round for the one it looked at.
static inline uint64_t fai_deque_without_oldest(uint64_t word, uint32_t n)
{
    FA_ASSERT(n <= fai_deque_count_of(word));
    return word + ((uint64_t)n << FAI_DEQUE_COUNT_BITS) - n;
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

/// The same for a job whose argument is args[0] alone: what the others were stays, and nobody looks at it.
static inline void fai_job_write_pointer(fai_job *slot, const fai_job *job)
{
    FA_ASSERT((fai_job_flags(job) & (FAI_JOB_COPIED | FAI_JOB_NAMED)) == 0);
    fai_store_relaxed(&slot->fn, job->fn);
    fai_store_relaxed(&slot->counter, job->counter);
    fai_store_relaxed(&slot->high, job->high);
    fai_store_relaxed(&slot->low, job->low);
    fai_store_relaxed(&slot->args[0], job->args[0]);
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

/// The same for one that was written by fai_job_write_pointer(); `job` has no other arguments.
static inline void fai_job_read_pointer(const fai_job *slot, fai_job *job)
{
    job->fn = fai_load_relaxed(&slot->fn);
    job->counter = fai_load_relaxed(&slot->counter);
    job->high = fai_load_relaxed(&slot->high);
    job->low = fai_load_relaxed(&slot->low);
    job->args[0] = fai_load_relaxed(&slot->args[0]);
    job->meta = fai_load_relaxed(&slot->meta);
}

static inline bool fai_job_matches(const fai_job *job, const fai_want *want)
{
    if (want->counter != NULL && job->counter != want->counter) return false;
    if (want->slot != FAI_SLOT_ANY && fai_job_slot(job) != want->slot) return false;
    return want->run == 0 || fai_job_run(job) == want->run;
}

// Owner: pushing ------------------------------------------------------------------------------------------------------

/// The index of the oldest job; thieves may be taking it.
static inline int64_t fai_deque_top_owner(const fai_deque *deque)
{
    return deque->base - fai_deque_count_of(fai_load_relaxed(&deque->word));
}

/// Whether there is a slot for the next push.
static inline bool fai_deque_has_room_owner(fai_deque *deque)
{
    if (FA_UNLIKELY(deque->head - deque->top_seen > (int64_t)deque->mask)) {
        // [deque.take] acquire: the thieves' reads of the slots that they took come before these are written again.
        deque->top_seen = deque->base - fai_deque_count_of(fai_load_acquire(&deque->word));
        if (deque->head - deque->top_seen > (int64_t)deque->mask) return false;
    }
    FA_ASSERT(deque->top_seen <= deque->base);
    return true;
}

/// That slot, NULL when the deque is full.
static inline fai_job *fai_deque_reserve_owner(fai_deque *deque)
{
    return fai_deque_has_room_owner(deque) ? fai_deque_at(deque, deque->head) : NULL;
}

/// Makes the n oldest private jobs public. A full fence on x86-64; elsewhere follow it up by
/// fai_fence_after_rmw_seq_cst() where it must be.
static inline void fai_deque_publish_owner(fai_deque *deque, int64_t n)
{
    FA_ASSERT(n >= 0 && deque->base + n <= deque->head);
    deque->base += n;
    // [deque.publish] release: the jobs, and all that their submitter did before.
    uint64_t before = fai_add_seq_cst(&deque->word, (uint64_t)n);
    FA_ASSERT(fai_deque_count_of(before) + (uint64_t)n <= deque->mask + 1);
    (void)before;
}

static inline int64_t fai_deque_private_owner(const fai_deque *deque)
{
    return deque->head - deque->base;
}

static inline bool fai_deque_is_wanted_owner(const fai_deque *deque)
{
    return fai_load_relaxed(&deque->wanted) != 0;
}

// Owner: popping ------------------------------------------------------------------------------------------------------

/// Makes the newest public jobs, from `index` on, private again; false if thieves have come that far.
static inline bool fai_deque_take_back_owner(fai_deque *deque, int64_t index)
{
    FA_ASSERT(index < deque->base);
    uint64_t n = (uint64_t)(deque->base - index), word = fai_load_relaxed(&deque->word);
    do {
        if (fai_deque_count_of(word) < n) return false;
    } while (!fai_cas_relaxed(&deque->word, &word, word + FAI_DEQUE_TAG - n));
    deque->base = index;
    FA_ASSERT(deque->head - deque->base <= (int64_t)deque->mask + 1);
    return true;
}

/// Pops the newest job into `out`; false when the deque is empty. Public jobs are taken back one at a time: a job that
/// others could run must not lie hidden behind a long one.
static inline bool fai_deque_pop_owner(fai_deque *deque, fai_job *out)
{
    if (deque->head == deque->base && !fai_deque_take_back_owner(deque, deque->base - 1)) return false;
    FA_ASSERT(deque->head > deque->base);
    *out = *fai_deque_at(deque, --deque->head);
    return true;
}

/// Gives up the holes at the old end, so that they take no room; returns the index of the oldest job.
static inline int64_t fai_deque_oldest_owner(fai_deque *deque)
{
    uint64_t word = fai_load_relaxed(&deque->word);
    for (uint32_t n; (n = fai_deque_count_of(word)) > 0;) {
        if (fai_deque_at(deque, deque->base - n)->fn != NULL) return deque->base - n;
        if (fai_cas_relaxed(&deque->word, &word, fai_deque_without_oldest(word, 1)))
            word = fai_deque_without_oldest(word, 1);
    }
    return deque->base;
}

/// Newest job with an index in [from, to) that is wanted, `from` - 1 if there is none.
static inline int64_t fai_deque_find_newest_owner(const fai_deque *deque, int64_t from, int64_t to,
                                                  const fai_want *want)
{
    for (int64_t i = to - 1; i >= from; i--) {
        const fai_job *job = fai_deque_at(deque, i);
        if (job->fn != NULL && fai_job_matches(job, want)) return i;
    }
    return from - 1;
}

/// Oldest such job, `to` if there is none.
static inline int64_t fai_deque_find_oldest_owner(const fai_deque *deque, int64_t from, int64_t to,
                                                  const fai_want *want)
{
    for (int64_t i = from; i < to; i++) {
        const fai_job *job = fai_deque_at(deque, i);
        if (job->fn != NULL && fai_job_matches(job, want)) return i;
    }
    return to;
}

/// Takes job `index` out, wherever it lies, leaving a hole; false if a thief has it. Public jobs above it become
/// private: the caller publishes them again.
static inline bool fai_deque_take_out_owner(fai_deque *deque, int64_t index, fai_job *out)
{
    FA_ASSERT(index < deque->head);
    if (index < deque->base) {
        uint64_t word = fai_load_relaxed(&deque->word);
        if (deque->base - fai_deque_count_of(word) == index &&
            index < deque->head - 1) { // the oldest: nothing needs to move
            *out = *fai_deque_at(deque, index);
            return fai_cas_relaxed(&deque->word, &word, fai_deque_without_oldest(word, 1));
        }
        if (!fai_deque_take_back_owner(deque, index)) return false;
    }
    fai_job *slot = fai_deque_at(deque, index);
    *out = *slot;
    if (index == deque->head - 1)
        deque->head--;
    else
        fai_store_relaxed(&slot->fn, NULL);
    return true;
}

// Thieves -------------------------------------------------------------------------------------------------------------

/// A glance: how many jobs are public.
static inline uint32_t fai_deque_look_any(const fai_deque *deque)
{
    return fai_deque_count_of(fai_load_relaxed(&deque->word));
}

/// Asks the owner to make work public.
static inline void fai_deque_want_any(fai_deque *deque)
{
    if (!fai_load_relaxed(&deque->wanted)) fai_store_relaxed(&deque->wanted, 1u);
}

/// How many jobs are older than the oldest one that seems to be wanted, -1 if none of the `limit` oldest is. Compares
/// values only: what it sees may be long gone.
static inline int32_t fai_deque_find_any(const fai_deque *deque, const fai_want *want, uint32_t limit)
{
    uint64_t word = fai_load_relaxed(&deque->word);
    uint32_t top = fai_deque_top_of(word), count = fai_deque_count_of(word);
    for (uint32_t i = 0; i < count && i < limit; i++) {
        const fai_job *slot = fai_deque_at(deque, top + i);
        fai_job seen = {.fn = fai_load_relaxed(&slot->fn),
                        .counter = fai_load_relaxed(&slot->counter),
                        .meta = fai_load_relaxed(&slot->meta)};
        if (seen.fn != NULL && fai_job_matches(&seen, want)) return (int32_t)i;
    }
    return -1;
}

/// Takes the oldest job if it is wanted. LOST says nothing about whether there is more; OTHER: it was not wanted.
static inline fai_steal fai_deque_steal_any(fai_deque *deque, const fai_want *want, fai_job *out)
{
    // [deque.publish] acquire: the jobs that it counts.
    uint64_t word = fai_load_acquire(&deque->word);
    if (fai_deque_count_of(word) == 0) return FAI_STEAL_EMPTY;
    fai_job_read(fai_deque_at(deque, fai_deque_top_of(word)), out);
    if (out->fn != NULL && !fai_job_matches(out, want)) return FAI_STEAL_OTHER;
    // [deque.take] release: the reads of the slot come before its reuse.
    return fai_cas_release(&deque->word, &word, fai_deque_without_oldest(word, 1)) ? FAI_STEAL_TAKEN : FAI_STEAL_LOST;
}

/// Takes half of the jobs, at most `limit`: the oldest into `out`, the others, newest first, to the private part of the
/// taker's deque, which is empty. A forked task, which its parent may soon want back, comes alone. Returns how many.
static inline uint32_t fai_deque_steal_many_any(fai_deque *deque, fai_deque *into, uint32_t limit, fai_job *out)
{
    // [deque.take] acquire: the thieves' reads of the taker's slots come before these are written again.
    uint64_t own = fai_load_acquire(&into->word);
    FA_ASSERT(into->head == into->base && fai_deque_count_of(own) == 0);
    (void)own;
    FA_ASSERT(limit >= 1 && limit <= into->mask);
    // [deque.publish] acquire: as above.
    uint64_t word = fai_load_acquire(&deque->word);
    uint32_t count = fai_deque_count_of(word), top = fai_deque_top_of(word);
    if (count == 0) return 0;
    uint32_t n = (count + 1) / 2 < limit ? (count + 1) / 2 : limit;
    fai_job_read(fai_deque_at(deque, top), out);
    if ((fai_job_flags(out) & FAI_JOB_FORKED) != 0) n = 1;
    for (uint32_t i = 1; i < n; i++) __builtin_prefetch(fai_deque_at(deque, top + i));
    for (uint32_t i = 1; i < n; i++) {
        fai_job job;
        fai_job_read(fai_deque_at(deque, top + i), &job);
        job.meta |= (uint64_t)FAI_JOB_STOLEN << 4;
        fai_job_write(fai_deque_at(into, into->head + (n - 1 - i)), &job);
    }
    // [deque.take] release: as above.
    if (!fai_cas_release(&deque->word, &word, fai_deque_without_oldest(word, n))) return 0;
    into->head += n - 1;
    return n;
}
