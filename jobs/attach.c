// SPDX-License-Identifier: MIT
//
// Threads that come and go: attach and detach, quiescent states and idle times, and which lanes a thread is.
#include "jobs/attach.h"

#include "jobs/tick.h"

// Looks at a lane that a proxy services before sleeping a while: a service takes a few µs, unless the main lane is
// preempted in it.
#define CLAIM_ROUNDS 1000
#define CLAIM_SLEEP_NS 50000u

// The thread's lanes --------------------------------------------------------------------------------------------------

static _Thread_local fai_worker *selves;

void fai_self_add(fai_worker *w)
{
    FA_ASSERT(fai_self(w->lane.hot.system) == NULL);
    fai_lane_adopt(&w->lane);
    w->next_self = selves;
    selves = w;
}

void fai_self_remove(fai_worker *w)
{
    fai_worker **link = &selves;
    while (*link != NULL && *link != w) link = &(*link)->next_self;
    FA_ASSERT(*link == w);
    if (*link == w) *link = w->next_self;
    fai_lane_abandon(&w->lane);
    if (selves == NULL) (void)fai_thread_at_exit(NULL);
}

fai_worker *fai_self(const fa_system *fa)
{
    fai_worker *w = selves;
    while (w != NULL && w->lane.hot.system != fa) w = w->next_self;
    return w;
}

fa_worker *fa_self(fa_system *fa)
{
    fai_worker *w = fa != NULL ? fai_self(fa) : NULL;
    return w != NULL ? &w->lane.hot : NULL;
}

// Lanes ---------------------------------------------------------------------------------------------------------------

void fai_worker_claim(fai_worker *w)
{
    FA_ASSERT(!w->claimed);
    for (uint32_t round = 1; !(w->claimed = fai_lane_claim(&w->lane)); round++) {
        if (round % CLAIM_ROUNDS == 0)
            (void)fai_park_for_owner(&w->parker, CLAIM_SLEEP_NS);
        else
            fai_pause();
    }
}

void fai_worker_touch(fai_worker *w)
{
    if (w->touched) return;
    w->touched = true;
    for (uint64_t i = 0; i <= w->deque.mask; i++) fai_store_relaxed(&w->deque.jobs[i].fn, NULL);
}

/// The lowest free slot for an attached thread, NULL if all are taken.
static fai_worker *take_slot(fa_system *fa)
{
    for (uint32_t lane = 1 + fa->worker_count; lane < fa->lane_count; lane++) {
        fai_worker *w = fai_system_worker(fa, lane);
        uint32_t is_free = 0;
        // [attach.slot] acquire: the lane as the thread before left it.
        if (fai_load_relaxed(&w->attached) != 0 || !fai_cas_acquire(&w->attached, &is_free, 1u)) continue;
        uint32_t end = fai_load_relaxed(&fa->lane_end);
        while (end <= lane && !fai_cas_relaxed(&fa->lane_end, &end, lane + 1)) {
        }
        return w;
    }
    return NULL;
}

/// The thread is no reader any more, so that others' grace periods end; its lane stays as it is.
static void vanish(fai_worker *w)
{
    if (w->online) fai_rcu_offline();
    w->online = false;
    fai_rcu_unregister();
    fai_self_remove(w);
}

/// A thread ends as a lane: an attached one is detached if that can be.
static void abandon(fai_worker *w)
{
    fa_system *fa = fai_worker_system(w);
    bool can_detach = fai_worker_is_attached(w) && w->context == NULL && w->deque.head == w->deque.base &&
                      w->forks == 0;
    w->context = NULL; // lies on a stack that has been left
    fai_report(&fa->memory, &w->lane, "FA908",
               can_detach ? "the lane was detached for it"
                          : "its system is of no use any more: it was the main thread, or in a job or fork",
               "call fa_detach(), on the main thread fa_destroy(), before the thread returns",
               "a thread ended while it was lane %u", (unsigned)w->lane.hot.index);
    if (!can_detach) {
        vanish(w);
        return;
    }
    if (w->lane.idle) (void)fa_idle_end(&w->lane.hot);
    if (w->held != 0) (void)fa_frame_drop(fa, (fa_frame){w->held});
    fa_status status = fa_detach(&w->lane.hot);
    FA_ASSERT(status == FA_OK);
    (void)status;
}

static void thread_ends(void)
{
    while (selves != NULL) abandon(selves);
}

bool fai_self_watch(void)
{
    return fai_thread_at_exit(thread_ends);
}

fa_status fa_attach(fa_system *fa, fa_worker **out)
{
    if (fa == NULL || out == NULL) return FA_ERROR_INVALID;
    *out = NULL;
    if (fai_self(fa) != NULL || fai_is_reporting(&fa->memory)) return FA_ERROR_STATE;
    if (!fai_self_watch()) return FA_ERROR_THREAD;
    fai_worker *w = take_slot(fa);
    if (w == NULL) {
        if (selves == NULL) (void)fai_thread_at_exit(NULL);
        return FA_ERROR_FULL;
    }
    FA_ASSERT(w->context == NULL && w->held == 0 && !w->claimed);
    FA_ASSERT(w->deque.head == w->deque.base);
    fai_self_add(w);
    fai_worker_touch(w);
    fai_rcu_register();
    fai_rcu_online();
    w->online = true;
    fai_worker_claim(w);
    *out = &w->lane.hot;
    return FA_OK;
}

/// Always looks; only checked systems report.
static bool is_own(const fai_worker *w)
{
    return (!w->lane.checked || fai_lane_check_thread(&w->lane)) && fai_self(w->lane.hot.system) == w;
}

/// Outside jobs nothing else ends the scope memory of an attached thread.
static void reset_scope(fai_worker *w)
{
    if (w->lane.scope_used) fai_lane_reset_scope(&w->lane);
}

/// Stores what the lane holds for others and lets go of it; the frame that the thread holds stays held.
static void let_go(fai_worker *w)
{
    FA_ASSERT(w->claimed && w->context == NULL);
    uint32_t slot = w->lane.slot;
    fai_lane_yield(&w->lane);
    w->claimed = false;
    fai_worker_publish_finished(w, slot);
}

static void take_hold(fai_worker *w)
{
    fai_worker_claim(w);
    if (w->held != 0) fai_frame_reenter(w);
}

fa_status fa_detach(fa_worker *worker)
{
    if (worker == NULL) return FA_ERROR_INVALID;
    fai_worker *w = fai_worker_of(worker);
    if (!fai_worker_is_attached(w)) return FA_ERROR_INVALID;
    if (!is_own(w)) return FA_ERROR_WRONG_THREAD;
    if (fai_is_reporting(w->lane.memory) || w->context != NULL || w->held != 0 || w->lane.idle) return FA_ERROR_STATE;
    if (fai_forks_are_left(w) || w->deque.head != w->deque.base) return FA_ERROR_STATE; // a fork was not joined
    FA_ASSERT(w->gathered_count == 0 && w->lane.slot == FAI_NO_SLOT);
    fai_lane_close_tags(&w->lane);
    reset_scope(w);
    let_go(w);
    w->online = false;
    fai_rcu_offline();
    fai_rcu_unregister();
    fai_self_remove(w);
    // [attach.slot] release: hands the lane to the next thread, or to fa_destroy().
    fai_store_release(&w->attached, 0u);
    return FA_OK;
}

fa_status fa_quiescent(fa_worker *worker)
{
    if (worker == NULL) return FA_ERROR_INVALID;
    fai_worker *w = fai_worker_of(worker);
    if (!is_own(w)) return FA_ERROR_WRONG_THREAD;
    if (fai_is_reporting(w->lane.memory) || w->context != NULL || w->lane.idle) return FA_ERROR_STATE;
    if (w->online) fai_rcu_quiescent();
    if (!fai_worker_is_attached(w)) return FA_OK; // the main lane is serviced at the boundary
    reset_scope(w);
    let_go(w);
    take_hold(w);
    return FA_OK;
}

fa_status fa_idle_begin(fa_worker *worker)
{
    if (worker == NULL) return FA_ERROR_INVALID;
    fai_worker *w = fai_worker_of(worker);
    if (!is_own(w)) return FA_ERROR_WRONG_THREAD;
    if (fai_is_reporting(w->lane.memory) || w->context != NULL || w->lane.idle) return FA_ERROR_STATE;
    w->lane.idle = true;
    if (fai_worker_is_attached(w)) let_go(w);
    if (w->online) fai_rcu_offline();
    return FA_OK;
}

fa_status fa_idle_end(fa_worker *worker)
{
    if (worker == NULL) return FA_ERROR_INVALID;
    fai_worker *w = fai_worker_of(worker);
    if (!is_own(w)) return FA_ERROR_WRONG_THREAD;
    if (fai_is_reporting(w->lane.memory) || !w->lane.idle) return FA_ERROR_STATE;
    if (w->online) fai_rcu_online();
    if (fai_worker_is_attached(w)) take_hold(w);
    w->lane.idle = false;
    return FA_OK;
}
