// SPDX-License-Identifier: MIT
//
// Waits that can never end: see deadlock.h.
#include "jobs/deadlock.h"

static const char *printable(const char *name)
{
    return name != NULL ? name : "(unnamed)";
}

static void report(const fai_worker *w, const char *waiting, const char *waited_for, uint32_t lanes)
{
    fai_report(&fai_worker_system(w)->memory, &w->lane, "FA905",
               "the wait returns FA_ERROR_DEADLOCK instead of hanging",
               "let the job end and submit the rest as another job, or wait for less",
               lanes == 0 ? "job %s waits for the counter of job %s, which lies below it on the stack of its lane"
                          : "job %s waits for the counter of job %s, which waits for it over other lanes",
               printable(waiting), printable(waited_for));
}

bool fai_deadlock_on_stack(const fai_worker *w, const fa_counter *counter)
{
    for (const fai_context *context = w->context; context != NULL; context = context->below) {
        if (context->counter != counter) continue;
        report(w, w->context->name, context->name, 0);
        return true;
    }
    return false;
}

void fai_deadlock_show(fai_worker *w, const fa_counter *counter)
{
    uint32_t count = 0;
    // [deadlock.show] seq_cst: the wait before is over ahead of what this one shows: whoever reads of both finds that the serial has changed.
    fai_fence_seq_cst();
    for (const fai_context *context = w->context; context != NULL && count < FAI_STACK_SHOWN;
         context = context->below) {
        fai_store_relaxed(&w->shown[count].counter, context->counter);
        fai_store_relaxed(&w->shown[count].name, context->name);
        count++;
    }
    fai_store_relaxed(&w->shown_count, count);
    fai_store_relaxed(&w->waiting_for, counter);
    // [deadlock.show] release: what is shown.
    fai_store_release(&w->wait_serial, w->wait_serial + 1);
    FA_ASSERT(w->wait_serial % 2 == 1);
}

void fai_deadlock_hide(fai_worker *w)
{
    fai_store_relaxed(&w->wait_serial, w->wait_serial + 1);
    FA_ASSERT(w->wait_serial % 2 == 0);
}

/// A walk along waits: lanes on the way, with the serials that they had.
typedef struct walk {
    uint32_t count;
    uint32_t lanes[FAI_LANE_WORDS * 64];
    uint32_t serials[FAI_LANE_WORDS * 64];
    uint64_t seen[FAI_LANE_WORDS];
} walk;

/// Entry of a waiting lane's stack that belongs to the counter, -1 if there is none.
static int32_t find_shown(const fai_worker *w, const fa_counter *counter)
{
    uint32_t count = fai_load_relaxed(&w->shown_count);
    for (uint32_t i = 0; i < count && i < FAI_STACK_SHOWN; i++)
        if (fai_load_relaxed(&w->shown[i].counter) == counter) return (int32_t)i;
    return -1;
}

/// The next unseen lane that waits with a job of the counter on its stack, NULL if there is none.
static fai_worker *step(const fa_system *fa, walk *way, const fa_counter *counter, int32_t *entry)
{
    uint32_t end = fai_load_relaxed(&fa->lane_end);
    for (uint32_t lane = 0; lane < end; lane++) {
        fai_worker *other = fai_system_worker(fa, lane);
        if ((way->seen[lane / 64] >> (lane % 64) & 1) != 0) continue;
        // [deadlock.show] acquire: what the lane shows.
        uint32_t serial = fai_load_acquire(&other->wait_serial);
        if (serial % 2 == 0 || (*entry = find_shown(other, counter)) < 0) continue;
        way->seen[lane / 64] |= UINT64_C(1) << (lane % 64);
        way->lanes[way->count] = lane;
        way->serials[way->count++] = serial;
        return other;
    }
    return NULL;
}

static bool still_stands(const fa_system *fa, const walk *way)
{
    // [deadlock.show] seq_cst: everything was read before the serials are read again.
    fai_fence_seq_cst();
    for (uint32_t i = 0; i < way->count; i++)
        if (fai_load_relaxed(&fai_system_worker(fa, way->lanes[i])->wait_serial) != way->serials[i]) return false;
    return true;
}

const char *fai_deadlock_over_lanes(const fai_worker *w, const fa_counter *counter)
{
    const fa_system *fa = fai_worker_system(w);
    walk way = {0};
    const fa_counter *at[FAI_LANE_WORDS * 64 + 1] = {counter};
    const char *first = NULL;
    for (uint32_t depth = 0;;) { // depth first over lanes; at[depth] is what the last lane of the way waits for
        int32_t entry;
        const fai_worker *other = step(fa, &way, at[depth], &entry);
        if (other == NULL) {
            if (depth == 0) return NULL;
            depth--;
            continue;
        }
        if (depth == 0) first = fai_load_relaxed(&other->shown[entry].name);
        if (other == w) break;
        at[++depth] = fai_load_relaxed(&other->waiting_for);
    }
    // Lanes of dead ends are among those that are looked at again: at worst a circle is found one park later.
    return still_stands(fa, &way) ? printable(first) : NULL;
}

void fai_deadlock_report(const fai_worker *w, const char *waited_for)
{
    report(w, w->context->name, waited_for, 1);
}
