// SPDX-License-Identifier: MIT
//
// Frames: begin, end, hold, drop, retire. See tick.h.
#include "jobs/tick.h"

#include "concurrent/clock.h"
#include "concurrent/layout.h"
#include "jobs/attach.h"
#include "jobs/counter.h"
#include "jobs/main_jobs.h"
#include "jobs/observe.h"
#include "jobs/take.h"
#include "jobs/wake.h"

// After this long a begin that waits for nothing but holds says so, once.
#define HELD_REPORT_NS UINT64_C(1000000000)
#define ROUNDS_PER_CLOCK 8

// State of a slot -----------------------------------------------------------------------------------------------------

static uint64_t number_of(uint64_t state)
{
    return state >> FAI_FRAME_SHIFT;
}

static bool is_held(const fa_system *fa, uint32_t slot)
{
    // [frame.state] acquire: what the last holder did, jobs that it submitted included.
    return (fai_load_acquire(&fa->frames[slot]) & FAI_FRAME_HOLDS) != 0;
}

FAI_FRAME_END FAI_APART bool fai_frame_jobs_done(const fa_system *fa, uint32_t slot)
{
    FA_ASSERT(slot < fa->frame_slots);
    uint64_t finished = 0, submitted = 0;
    for (uint32_t end = fai_load_relaxed(&fa->lane_end), lane = 0; lane < end; lane++) {
        // [frame.jobs] acquire: what the jobs did, and the submissions that led to them.
        finished += fai_load_acquire(&fai_system_worker(fa, lane)->tallies[slot].finished);
    }
    for (uint32_t end = fai_load_relaxed(&fa->lane_end), lane = 0; lane < end; lane++)
        submitted += fai_load_relaxed(&fai_system_worker(fa, lane)->tallies[slot].submitted);
    return finished == submitted;
}

/// Whether the frame may retire; the order of the looks matters, see tick.h.
static bool is_over(const fa_system *fa, uint64_t number)
{
    uint32_t slot = fai_frame_slot(fa, number);
    if (fa->open && number == fa->newest) return false;
    return !is_held(fa, slot) && fai_frame_jobs_done(fa, slot) && !is_held(fa, slot);
}

// Retiring ------------------------------------------------------------------------------------------------------------

FAI_FRAME_END static void retire(fa_system *fa, uint64_t number, fa_frame_result *result, bool listed)
{
    uint32_t slot = fai_frame_slot(fa, number);
    FA_ASSERT(number_of(fai_load_relaxed(&fa->frames[slot])) == number);
    FA_ASSERT(number == fa->oldest && (!fa->open || number < fa->newest));
    FA_ASSERT(fai_system_worker(fa, 0)->lane.slot != slot);
    fai_store_relaxed(&fa->frames[slot], number << FAI_FRAME_SHIFT); // not alive: drops are stale from here on
    fai_memory_retire_frame(&fa->memory, slot, number, result, listed);
    if (result != NULL) result->retired++;
    fa->oldest++;
}

FAI_APART static void retire_ready(fa_system *fa, fa_frame_result *result, bool listed)
{
    while (fa->oldest <= fa->newest && is_over(fa, fa->oldest)) retire(fa, fa->oldest, result, listed);
}

/// The scheduler's part of the statistics.
FAI_FRAME_END static void merge_stats(fa_system *fa)
{
    if (!FA_STATISTICS) return;
    uint64_t jobs = 0, inlined = 0, steals = 0, tries = 0, parks = 0, wakes = 0, waits = 0, holds = 0;
    for (uint32_t end = fai_load_relaxed(&fa->lane_end), lane = 0; lane < end; lane++) {
        fai_worker *w = fai_system_worker(fa, lane);
        const fai_job_stats *stats = &w->stats;
        jobs += w->lane.frame_used.jobs = fai_load_relaxed(&stats->jobs);
        inlined += fai_load_relaxed(&stats->jobs_inline);
        steals += fai_load_relaxed(&stats->steals);
        tries += fai_load_relaxed(&stats->steal_tries);
        parks += fai_load_relaxed(&stats->parks);
        wakes += fai_load_relaxed(&stats->wakes);
        waits += fai_load_relaxed(&stats->waits_parked);
    }
    for (uint64_t number = fa->oldest; number <= fa->newest; number++)
        holds += fai_load_relaxed(&fa->frames[fai_frame_slot(fa, number)]) & FAI_FRAME_HOLDS;
    fa_stats *merged = &fa->memory.merged;
    merged->jobs = jobs;
    merged->jobs_inline = inlined;
    merged->steals = steals;
    merged->steal_tries = tries;
    merged->parks = parks;
    merged->wakes = wakes;
    merged->waits_parked = waits;
    merged->frame_holds = (uint32_t)holds;
    merged->frames_alive = (uint32_t)(fa->newest + 1 - fa->oldest);
}

// Waiting for a frame -------------------------------------------------------------------------------------------------

/// What a wait for a frame is about.
typedef struct awaited {
    uint64_t number;
    bool until_over; // holds too, not only the jobs
    bool reported;
    int64_t cursor;
} awaited;

static bool is_reached(const fa_system *fa, const awaited *frame)
{
    if (frame->until_over) return is_over(fa, frame->number);
    return fai_frame_jobs_done(fa, fai_frame_slot(fa, frame->number));
}

/// A job of the frame. With one frame in flight that is any job.
static bool take_job(fai_worker *w, awaited *frame, uint32_t limit, fai_job *out)
{
    const fa_system *fa = fai_worker_system(w);
    if (fa->frame_slots == 1 && fa->worker_count > 0) {
        if (fai_take_newest(w, out)) return true;
        bool seen = false;
        return fai_take_stolen(w, out, &seen);
    }
    fai_want want = FAI_WANT_ANY;
    if (fa->frame_slots > 1) want.slot = fai_frame_slot(fa, frame->number);
    return fai_take_own(w, &want, &frame->cursor, out) || fai_take_others(w, &want, limit, out);
}

static void run_jobs(fai_worker *w, awaited *frame, uint32_t limit)
{
    const fa_system *fa = fai_worker_system(w);
    fai_job job;
    for (uint32_t jobs = 1;; jobs++) {
        if (fai_main_jobs_any(fa)) (void)fai_main_jobs_run(w, &FAI_WANT_ANY);
        if (!take_job(w, frame, limit, &job)) break;
        fai_worker_run(w, &job);
        fai_worker_pass(w, jobs);
    }
    fai_counter_flush(w);
    fai_worker_publish_finished(w, w->lane.slot); // ahead of leaving the frame: nobody but this lane retires it
}

static bool sees_job(const fai_worker *w, const awaited *frame)
{
    const fa_system *fa = fai_worker_system(w);
    fai_want want = FAI_WANT_ANY;
    if (fa->frame_slots > 1) want.slot = fai_frame_slot(fa, frame->number);
    return fai_main_jobs_any(fa) || fai_take_sees(w, &want);
}

/// Sleeps until woken. True: only holds have kept it waiting, for long.
static bool sleep_awaiting(fai_worker *w, awaited *frame)
{
    fa_system *fa = fai_worker_system(w);
    uint32_t slot = fai_frame_slot(fa, frame->number);
    fai_zone zone = fai_worker_park_begin(w);
    bool woken = true;
    fai_count(&w->stats.parks, 1);
    FAI_COUNT(&w->lane.contention, parks, 1);
    fai_rcu_offline();
    if (frame->until_over && !frame->reported && fai_frame_jobs_done(fa, slot))
        woken = fai_park_for_owner(&w->parker, HELD_REPORT_NS);
    else
        fai_park_owner(&w->parker);
    fai_rcu_online();
    fai_worker_park_end(w, &zone);
    return !woken && is_held(fa, slot);
}

static void report_held(const fai_worker *w, awaited *frame)
{
    const fa_system *fa = fai_worker_system(w);
    uint32_t slot = fai_frame_slot(fa, frame->number);
    frame->reported = true;
    fai_report(&fa->memory, &w->lane, "FA906", "the ring of frames in flight is full until the hold is dropped",
               "call fa_frame_drop(), or configure more frames_in_flight",
               "fa_frame_begin() has waited 1 s for frame %llu, which is held %u times",
               (unsigned long long)frame->number, (unsigned)(fai_load_relaxed(&fa->frames[slot]) & FAI_FRAME_HOLDS));
}

static void park(fai_worker *w, awaited *frame)
{
    fa_system *fa = fai_worker_system(w);
    FAI_COUNT(&w->lane.contention, idle_updates, 2);
    fai_store_relaxed(&fa->awaited_slot, fai_frame_slot(fa, frame->number));
    // The fence in it also orders the store above before the looks at the frame: [frame.await].
    fai_lane_set_add(&fa->sleepers.idle, 0);
    bool held = !is_reached(fa, frame) && !sees_job(w, frame) && sleep_awaiting(w, frame);
    fai_store_relaxed(&fa->awaited_slot, FAI_NO_SLOT);
    if (!fai_lane_set_remove(&fa->sleepers.idle, 0)) fai_search_end(w); // who woke it counted it as searching
    if (held) report_held(w, frame);                                    // now that a sink may use the lane
}

/// Runs the frame's jobs, and sleeps when others run the rest.
FAI_APART static void wait_longer(fai_worker *w, awaited *frame)
{
    const fa_system *fa = fai_worker_system(w);
    fai_rcu_quiescent(); // what was read outside jobs is not used any more; without a wait the boundary says so
    for (;;) {
        run_jobs(w, frame, UINT32_MAX);
        if (is_reached(fa, frame)) return;
        uint64_t deadline = fa->spin_ns > 0 ? fai_now_ns() + fa->spin_ns : 0;
        for (uint32_t round = 1; deadline != 0; round++) {
            fai_pause();
            run_jobs(w, frame, 1);
            if (is_reached(fa, frame)) return;
            if (round % ROUNDS_PER_CLOCK == 0 && fai_now_ns() >= deadline) break;
        }
        park(w, frame);
    }
}

FAI_APART static void wait_frame(fai_worker *w, uint64_t number, bool until_over)
{
    awaited frame = {.number = number, .until_over = until_over, .cursor = -1};
    if (!is_reached(fai_worker_system(w), &frame)) wait_longer(w, &frame);
}

FAI_FRAME_END static void wait_jobs(fai_worker *w, uint64_t number)
{
    const fa_system *fa = fai_worker_system(w);
    // Others may have done it all, or there was nothing to do.
    if (!fai_frame_jobs_done(fa, fai_frame_slot(fa, number))) wait_frame(w, number, false);
}

/// The main lane is in no frame any more.
FAI_FRAME_END static void leave(fai_worker *w)
{
    FA_ASSERT(w->context == NULL);
    fai_counter_flush(w);
    uint32_t slot = w->lane.slot;
    // A sink that hears of the lane's budget now comes too late to submit: nobody waits for jobs any more.
    w->lane.order = NULL;
    fai_lane_leave_frame(&w->lane);
    if (w->unpublished > 0) fai_worker_publish_finished(w, slot);
    FA_ASSERT(w->unpublished == 0);
}

// Begin and end -------------------------------------------------------------------------------------------------------

FAI_FRAME_BEGIN static void go_online(fai_worker *w)
{
    FA_ASSERT(!w->online);
    fai_rcu_online();
    w->online = true;
}

FAI_FRAME_END static void go_offline(fai_worker *w)
{
    FA_ASSERT(w->online);
    w->online = false;
    fai_rcu_offline();
}

FAI_APART static bool make_room(fai_worker *w, bool may_wait)
{
    fa_system *fa = fai_worker_system(w);
    if (may_wait) {
        wait_frame(w, fa->oldest, true);
    } else if (fa->worker_count == 0) { // else nobody would ever run what attached threads left
        awaited frame = {.number = fa->oldest, .cursor = -1};
        run_jobs(w, &frame, UINT32_MAX);
    } else {
        (void)fai_main_jobs_run(w, &FAI_WANT_ANY);
    }
    leave(w);
    retire_ready(fa, &fa->gathered, true);
    return fa->newest + 1 - fa->oldest < fa->frame_slots;
}

/// Makes the slot of the next frame free; false: it would have to wait for that.
static inline bool has_room(fai_worker *w, bool may_wait)
{
    const fa_system *fa = fai_worker_system(w);
    return FA_LIKELY(fa->newest + 1 - fa->oldest < fa->frame_slots) || make_room(w, may_wait);
}

FAI_FRAME_BEGIN static void open_frame(fai_worker *w)
{
    fa_system *fa = fai_worker_system(w);
    FA_ASSERT(fa->newest + 1 - fa->oldest < fa->frame_slots);
    uint64_t number = ++fa->newest;
    uint32_t slot = fai_frame_slot(fa, number);
    FA_ASSERT((fai_load_relaxed(&fa->frames[slot]) & (FAI_FRAME_ALIVE | FAI_FRAME_HOLDS)) == 0);
    FA_ASSERT(fai_frame_jobs_done(fa, slot));
    fai_memory_open_frame(&fa->memory, slot, number);
    fai_store_relaxed(&fa->frame_numbers[slot], number);
    // [frame.state] release: the slot is ready for whoever enters by a hold.
    fai_store_release(&fa->frames[slot], number << FAI_FRAME_SHIFT | FAI_FRAME_OPEN | FAI_FRAME_ALIVE);
    fa->open = true;
    fai_lane_forget_stale(&w->lane);
    fai_lane_enter_frame(&w->lane, slot, number);
    w->root = fai_order_root(0);
    w->lane.order = &w->root;
}

FAI_FRAME_BEGIN static fa_status begin(fa_system *fa, bool may_wait)
{
    if (fa == NULL) return FA_ERROR_INVALID;
    fa_status status = fai_memory_check_main(&fa->memory);
    if (status != FA_OK) return status;
    fai_worker *w = fai_system_worker(fa, 0);
    if (fa->open || w->context != NULL || w->lane.idle || fai_is_reporting(&fa->memory)) return FA_ERROR_STATE;
    if (FA_UNLIKELY(fa->memory.observed) && fai_observe_delivers(fa)) return FA_ERROR_STATE;
    go_online(w);
    fa->gathered = (fa_frame_result){0};
    if (fai_load_relaxed(&fa->memory.labelled)) fai_memory_clear_retentions(&fa->memory);
    if (!has_room(w, may_wait)) {
        go_offline(w);
        return FA_ERROR_BUSY;
    }
    open_frame(w);
    if (FA_UNLIKELY(fa->memory.observed)) fai_observe_begin(fa);
    return FA_OK;
}

FAI_FRAME_BEGIN fa_status fa_frame_begin(fa_system *fa)
{
    return begin(fa, true);
}

fa_status fa_frame_try_begin(fa_system *fa)
{
    return begin(fa, false);
}

/// The main lane's part of the newest frame is over. Whether the whole frame is; if not, that has to be looked at once more.
FAI_FRAME_END static bool close_frame(fai_worker *w)
{
    fa_system *fa = fai_worker_system(w);
    uint32_t slot = fai_frame_slot(fa, fa->newest);
    FA_ASSERT(fa->open && w->online);
    // [frame.state] acquire: nobody enters from here on; of who has, and left, the jobs are seen.
    bool held = (fai_and_acquire(&fa->frames[slot], ~FAI_FRAME_OPEN) & FAI_FRAME_HOLDS) != 0;
    bool wait = fa->frame_slots == 1 || fa->worker_count == 0;
    fa->open = false;
    if (w->lane.phase_depth > 0) fai_lane_close_phases(&w->lane);
    if (wait)
        wait_jobs(w, fa->newest);
    else if (fai_main_jobs_any(fa))
        (void)fai_main_jobs_run(w, &FAI_WANT_ANY);
    leave(w);
    return wait && !held && !is_held(fa, slot); // ended, holds, jobs, holds: in the order that tick.h asks for
}

FAI_FRAME_END static void pass_boundary(fai_worker *w)
{
    fa_system *fa = fai_worker_system(w);
    FA_ASSERT(w->online && !fa->open);
    merge_stats(fa);
    fai_memory_boundary(&fa->memory);
    go_offline(w);
}

/// Asks for the data that the end of a frame is about to touch, all at once: behind a frame that wrote much, each line would be waited for.
static inline void fetch_data(const fa_system *fa)
{
    fai_memory_fetch(&fa->memory);
    fai_fetch_line(&fa->worker_count);
    fai_fetch_line(&fa->oldest);
    fai_fetch_line((const char *)&fa->oldest + FAI_FETCH_BYTES);
    fai_fetch_line(&fa->frames);
    const fai_worker *w = fai_system_worker(fa, 0);
    fai_fetch(&w->context, &w->tallies[1]);
    fai_rcu_fetch();
}

FAI_FRAME_END FAI_APART FAI_FIRST_LINE static fa_status end(fa_system *fa, fa_frame_result *result, bool listed)
{
    if (fa == NULL) return FA_ERROR_INVALID;
    fetch_data(fa);
    fa_status status = fai_memory_check_main(&fa->memory);
    if (status != FA_OK) return status;
    fai_worker *w = fai_system_worker(fa, 0);
    if (!fa->open || w->context != NULL || w->lane.idle || fai_is_reporting(&fa->memory)) return FA_ERROR_STATE;
    if (FA_UNLIKELY(fa->memory.observed) && fai_observe_delivers(fa)) return FA_ERROR_STATE;
    if (FA_UNLIKELY(w->forks > 0) && fai_forks_are_left(w)) return FA_ERROR_STATE;
    bool over = close_frame(w);
    if (!listed && fa->gathered.count > 0) fai_memory_drop_unclaimed(&fa->memory, &fa->gathered);
    if (FA_LIKELY(over && fa->oldest == fa->newest))
        retire(fa, fa->newest, &fa->gathered, listed);
    else
        retire_ready(fa, &fa->gathered, listed);
    pass_boundary(w);
    if (FA_UNLIKELY(fa->memory.observed)) fai_observe_end(fa);
    if (result == NULL) return FA_OK;
    *result = fa->gathered;
    result->frame = fa->newest;
    if (fai_load_relaxed(&fa->memory.labelled)) fai_memory_list_retentions(&fa->memory, result);
    return FA_OK;
}

FAI_FRAME_END FAI_FIRST_LINE fa_status fa_frame_end(fa_system *fa, struct fa_frame_result *result)
{
    fai_fetch_frame_end(); // ahead of all else, so that little code is waited for until then
    return end(fa, result, result != NULL);
}

fa_status fa_frame_end_summary(fa_system *fa, fa_frame_result *result)
{
    fai_fetch_frame_end();
    return result != NULL ? end(fa, result, false) : FA_ERROR_INVALID;
}

fa_status fa_handles_compact(fa_system *fa, size_t max_bytes, uint32_t max_moves, fa_handle_compaction *result)
{
    if (result != NULL) *result = (fa_handle_compaction){0};
    if (fa == NULL) return FA_ERROR_INVALID;
    fa_status status = fai_memory_check_main(&fa->memory);
    if (status != FA_OK) return status;
    const fai_worker *w = fai_system_worker(fa, 0);
    if (fa->open || w->context != NULL || w->lane.idle) return FA_ERROR_STATE;
    return fai_handles_compact(&fa->memory, max_bytes, max_moves, result);
}

uint64_t fa_frame_number(const fa_system *fa)
{
    return fa != NULL ? fai_load_relaxed(&fa->memory.frame_number) : 0;
}

void fai_frames_finish(fa_system *fa)
{
    fai_worker *w = fai_system_worker(fa, 0);
    if (fa->open)
        (void)close_frame(w);
    else
        go_online(w);
    for (uint64_t number = fa->oldest; number <= fa->newest; number++) wait_frame(w, number, false);
    leave(w);
    while (fa->oldest <= fa->newest) retire(fa, fa->oldest, NULL, false);
    pass_boundary(w);
}

// Holds ---------------------------------------------------------------------------------------------------------------

/// A hold's name: the frame's number, and for an attached thread, which enters the frame by it, its lane + 1.
static fa_frame hold_name(uint64_t number, uint32_t owner)
{
    return (fa_frame){number << 8 | owner};
}

void fai_frame_reenter(fai_worker *w)
{
    uint64_t number = w->held >> 8;
    FA_ASSERT(w->held != 0 && w->context == NULL);
    fai_lane_enter_frame(&w->lane, fai_frame_slot(fai_worker_system(w), number), number);
}

/// An attached thread enters the open frame.
static fa_status hold_attached(fai_worker *w, fa_frame *out)
{
    fa_system *fa = fai_worker_system(w);
    if (w->held != 0) return FA_ERROR_STATE;
    uint64_t number, state;
    uint32_t slot;
    do {
        number = fa_frame_number(fa);
        slot = fai_frame_slot(fa, number);
        state = fai_load_relaxed(&fa->frames[slot]);
        if (number == 0 || number_of(state) != number || (state & FAI_FRAME_OPEN) == 0) {
            // That no frame is open this moment is nothing unusual for an attached thread; that none ever was is.
            if (fai_load_relaxed(&fa->memory.hooks) == FAI_HOOKS_DECLARED) fai_report_outside(&w->lane, "frame held");
            return FA_ERROR_STATE;
        }
        if ((state & FAI_FRAME_HOLDS) == FAI_FRAME_HOLDS) return FA_ERROR_FULL;
        // [frame.state] acquire: the slot as the main lane opened it.
    } while (!fai_cas_acquire(&fa->frames[slot], &state, state + 1));
    *out = hold_name(number, w->lane.hot.index + 1);
    w->held = out->bits;
    fai_lane_forget_stale(&w->lane);
    fai_lane_enter_frame(&w->lane, slot, number);
    w->root = fai_order_root(w->lane.hot.index);
    w->lane.order = &w->root;
    return FA_OK;
}

fa_status fa_frame_hold(fa_worker *worker, fa_frame *out)
{
    if (worker == NULL || out == NULL) return FA_ERROR_INVALID;
    *out = (fa_frame){0};
    fai_worker *w = fai_worker_of(worker);
    fa_status usable = fai_lane_check(&w->lane);
    if (usable != FA_OK) return usable;
    if (fai_worker_is_attached(w) && w->context == NULL) return hold_attached(w, out);
    if (w->lane.slot == FAI_NO_SLOT) return FA_ERROR_STATE;
    // The lane is in the frame: it can neither end nor be mistaken for another.
    fa_system *fa = fai_worker_system(w);
    uint64_t state = fai_load_relaxed(&fa->frames[w->lane.slot]);
    do {
        FA_ASSERT((state & FAI_FRAME_ALIVE) != 0);
        if ((state & FAI_FRAME_HOLDS) == FAI_FRAME_HOLDS) return FA_ERROR_FULL;
    } while (!fai_cas_relaxed(&fa->frames[w->lane.slot], &state, state + 1));
    *out = hold_name(w->lane.frame_number, 0);
    return FA_OK;
}

/// An attached thread leaves the frame that it holds.
static fa_status leave_held(const fa_system *fa, fa_frame frame, uint32_t owner)
{
    fai_worker *w = fai_self(fa);
    if (w == NULL || w->lane.hot.index != owner) {
        if (fa->checked && owner < fa->lane_count) (void)fai_lane_check_thread(&fai_system_worker(fa, owner)->lane);
        return FA_ERROR_WRONG_THREAD;
    }
    if (w->held != frame.bits) return FA_ERROR_STALE;
    if (w->context != NULL || w->lane.idle || fai_is_reporting(&fa->memory)) return FA_ERROR_STATE;
    if (fai_forks_are_left(w) || w->deque.head != w->deque.base) return FA_ERROR_STATE; // a fork was not joined
    fai_lane_close_phases(&w->lane);
    w->held = 0;
    w->lane.order = NULL;
    fai_worker_switch_frame(w, FAI_NO_SLOT, 0);
    return FA_OK;
}

fa_status fa_frame_drop(fa_system *fa, fa_frame frame)
{
    if (fa == NULL) return FA_ERROR_INVALID;
    uint64_t number = frame.bits >> 8;
    uint32_t owner = frame.bits & 0xff;
    if (number == 0) return FA_ERROR_STALE;
    if (owner != 0) {
        fa_status status = leave_held(fa, frame, owner - 1);
        if (status != FA_OK) return status;
    }
    uint32_t slot = fai_frame_slot(fa, number);
    uint64_t state = fai_load_relaxed(&fa->frames[slot]);
    do {
        if (number_of(state) != number || (state & FAI_FRAME_ALIVE) == 0 || (state & FAI_FRAME_HOLDS) == 0)
            return FA_ERROR_STALE;
        // [frame.state] release: what the holder did in the frame, or learned from others.
    } while (!fai_cas_release(&fa->frames[slot], &state, state - 1));
    // [frame.await] seq_cst: the hold is gone before the look at who waits for that.
    fai_fence_seq_cst();
    if (fai_load_relaxed(&fa->awaited_slot) == slot) (void)fai_wake_any(&fai_system_worker(fa, 0)->parker);
    return FA_OK;
}
