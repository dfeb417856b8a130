// SPDX-License-Identifier: MIT
//
// liburcu-qsbr, with what ThreadSanitizer must be told: all that a reader did before a quiescent state happens before the end of a grace
// period that began earlier. Quiescent states, online and offline are inlined where CMake defines _LGPL_SOURCE: a call into liburcu touches ten
// more lines, each found by the one before, which is half of a frame end whose lines are in no cache. Their header says of each of them that it is
// meant to be used so from code that is not under the LGPL.
#include "concurrent/rcu.h"

#include "concurrent/annotate.h"
#include "concurrent/check.h"
#include "concurrent/layout.h"
#include "concurrent/park.h"
#include "concurrent/thread.h"

#include <stdlib.h>
#include <string.h>
#include <urcu/urcu-qsbr.h>

// How often the reclaimer looks for a request, and how often it finds none before it sleeps: versions come home within a frame at 60 Hz,
// and a program that retires nothing pays nothing after 0.4 s.
#define POLL_NS 4000000u
#define POLLS_BEFORE_SLEEP 100u

static _Thread_local struct {
    uint32_t registrations;
    uint32_t online;
    bool foreign;    // the application had registered this thread itself …
    bool was_online; // … and was online before the library was
} reader;

static char tsan_token; // one for all readers: joins what each released

void fai_rcu_register(void)
{
    if (reader.registrations++ > 0) return;
    reader.foreign = fai_thread_is_reader();
    if (reader.foreign) return;
    urcu_qsbr_register_thread();
    urcu_qsbr_thread_offline();
}

void fai_rcu_unregister(void)
{
    FA_ASSERT(reader.registrations > 0);
    if (--reader.registrations > 0) return;
    FA_ASSERT(reader.online == 0);
    if (!reader.foreign) urcu_qsbr_unregister_thread();
}

FAI_FRAME_BEGIN void fai_rcu_online(void)
{
    FA_ASSERT(reader.registrations > 0);
    if (reader.online++ > 0) return;
    reader.was_online = urcu_qsbr_read_ongoing() != 0;
    if (!reader.was_online) urcu_qsbr_thread_online();
}

FAI_FRAME_END void fai_rcu_offline(void)
{
    FA_ASSERT(reader.online > 0);
    if (--reader.online > 0) return;
    fai_tell_release(&tsan_token);
    if (!reader.was_online) urcu_qsbr_thread_offline();
}

FAI_FRAME_END void fai_rcu_fetch(void)
{
    fai_fetch_line(&reader);
#ifdef _LGPL_SOURCE
    fai_fetch_line(&URCU_TLS(urcu_qsbr_reader).ctr);
    fai_fetch_line(&URCU_TLS(urcu_qsbr_reader).waiting); // in a line of its own
#endif
}

void fai_rcu_quiescent(void)
{
    FA_ASSERT(reader.online > 0);
    if (reader.online > 1 || reader.was_online) return; // another system, or the application, may hold pointers
    fai_tell_release(&tsan_token);
    urcu_qsbr_quiescent_state();
}

// The reclaimer ---------------------------------------------------------------------------------------------------------

typedef struct fai_reclaimer {
    fai_thread thread;
    FAI_OWN_LINE FAI_ATOMIC(uint64_t) wanted; // written by the owner of the grace periods
    FAI_ATOMIC(uint32_t) stopping;
    FAI_OWN_LINE FAI_ATOMIC(uint64_t) done; // written by the thread
    FAI_ATOMIC(uint32_t) asleep;
    fai_parker parker;
    FAI_ATOMIC(uint32_t) left; // of owner and thread, when neither waits for the other; the second frees
} fai_reclaimer;

/// The owner and the thread both leave once; whoever is second frees.
static void leave(fai_reclaimer *reclaimer)
{
    // [grace.leave] acq_rel: the first's last accesses come before the second's free.
    if (fai_add_acq_rel(&reclaimer->left, 1u) == 1) free(reclaimer);
}

static void sleep_until_wanted(fai_reclaimer *reclaimer)
{
    fai_store_relaxed(&reclaimer->asleep, 1u);
    // [grace.sleep] seq_cst: `asleep` before the look at `wanted`; the owner stores and looks the other way round, so one sees the other.
    fai_fence_seq_cst();
    bool wanted = fai_load_relaxed(&reclaimer->wanted) != fai_load_relaxed(&reclaimer->done);
    if (!wanted && !fai_load_relaxed(&reclaimer->stopping)) fai_park_owner(&reclaimer->parker);
    fai_store_relaxed(&reclaimer->asleep, 0u);
}

static void reclaimer_main(void *context)
{
    fai_reclaimer *reclaimer = context;
    for (uint32_t polls = POLLS_BEFORE_SLEEP;;) {
        // [grace.wanted] acquire: what was unlinked before the request stays unlinked for the readers that are waited for.
        uint64_t wanted = fai_load_acquire(&reclaimer->wanted);
        if (wanted != fai_load_relaxed(&reclaimer->done)) {
            urcu_qsbr_synchronize_rcu();
            fai_tell_acquire(&tsan_token);
            // [grace.done] release: what readers did before their quiescent states happens before the free.
            fai_store_release(&reclaimer->done, wanted);
            polls = 0;
        } else if (fai_load_relaxed(&reclaimer->stopping)) {
            leave(reclaimer);
            return;
        } else if (++polls < POLLS_BEFORE_SLEEP) {
            (void)fai_park_for_owner(&reclaimer->parker, POLL_NS);
        } else {
            sleep_until_wanted(reclaimer);
            polls = 0;
        }
    }
}

bool fai_grace_open_owner(fai_grace *grace)
{
    fai_reclaimer *reclaimer = aligned_alloc(FAI_CACHE_LINE, sizeof *reclaimer);
    if (reclaimer == NULL) return false;
    memset(reclaimer, 0, sizeof *reclaimer);
    if (!fai_thread_start(&reclaimer->thread, reclaimer_main, reclaimer, "fa-reclaim", -1)) {
        free(reclaimer);
        return false;
    }
    grace->reclaimer = reclaimer;
    return true;
}

void fai_grace_start_owner(fai_grace *grace)
{
    FA_ASSERT(fai_grace_is_done_any(grace));
    fai_reclaimer *reclaimer = grace->reclaimer;
    // [grace.wanted] release: orders the unlinking before the grace period.
    fai_store_release(&reclaimer->wanted, ++grace->started);
    // [grace.sleep] seq_cst: `wanted` before the look at `asleep`; see sleep_until_wanted().
    fai_fence_seq_cst();
    if (fai_load_relaxed(&reclaimer->asleep)) (void)fai_wake_any(&reclaimer->parker);
}

bool fai_grace_is_done_any(const fai_grace *grace)
{
    // [grace.done] acquire: pairs with the store of the reclaimer.
    return fai_load_acquire(&grace->reclaimer->done) == grace->started;
}

void fai_grace_close_owner(fai_grace *grace)
{
    fai_reclaimer *reclaimer = grace->reclaimer;
    if (reclaimer == NULL) return;
    grace->reclaimer = NULL;
    bool wait = reader.online == 0;
    if (!wait) fai_thread_detach(&reclaimer->thread);
    fai_store_relaxed(&reclaimer->stopping, 1u);
    (void)fai_wake_any(&reclaimer->parker);
    if (wait) fai_thread_join(&reclaimer->thread);
    leave(reclaimer);
}
