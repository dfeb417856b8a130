// SPDX-License-Identifier: MIT
//
// Tick hooks: frames for engines that call us. See include/framealloc/tick.h for what is tolerated and how.
#include "jobs/hooks.h"

#include "concurrent/clock.h"
#include "jobs/attach.h"
#include "jobs/observe.h"
#include "jobs/tick.h"

#include <framealloc/tick.h>

#include <stdio.h>

static void report_missed(const fa_system *fa, const fai_worker *w, const char *note, const char *what)
{
    fai_report(&fa->memory, w != NULL ? &w->lane : NULL, "FA102", note,
               "call fa_tick_begin() where a tick starts and fa_tick_end() on every way out of it, on the thread that "
               "created the system",
               "%s", what);
}

// Silence -------------------------------------------------------------------------------------------------------------

static bool has_unfinished_jobs(const fa_system *fa)
{
    for (uint32_t slot = 0; slot < fa->frame_slots; slot++)
        if (!fai_frame_jobs_done(fa, slot)) return true;
    return false;
}

/// Whether no hook came for too long while there was something to do.
static bool is_late(const fa_system *fa, uint64_t *since)
{
    *since = fai_load_relaxed(&fa->hooks.called_ns);
    if (*since == 0) return false; // FA101 speaks of hooks that never came
    uint64_t now = fai_now_ns();
    return now > *since && now - *since > fa->hooks.late_ns && has_unfinished_jobs(fa);
}

static void report_late(fa_system *fa, const fai_worker *w, uint64_t since)
{
    uint64_t reported = fai_load_relaxed(&fa->hooks.reported_ns);
    if (reported == since || !fai_cas_relaxed(&fa->hooks.reported_ns, &reported, since)) return;
    char text[96];
    snprintf(text, sizeof text, "no tick hook for %llu ms while jobs were waiting",
             (unsigned long long)((fai_now_ns() - since) / 1000000));
    report_missed(fa, w, "tick_late_ms passed; the jobs are kept and run when the next hook comes", text);
}

fa_status fa_tick_check(fa_system *fa)
{
    if (fa == NULL) return FA_ERROR_INVALID;
    if (fa->hooks.late_ns == 0) return FA_ERROR_UNSUPPORTED;
    uint64_t since;
    if (!is_late(fa, &since)) return FA_OK;
    report_late(fa, fai_self(fa), since);
    return FA_ERROR_BUSY;
}

static void note_call(fa_system *fa, const fai_worker *w)
{
    if (fa->hooks.late_ns == 0) return;
    uint64_t since;
    if (is_late(fa, &since)) report_late(fa, w, since);
}

/// The silence begins when the hook returns: it may have waited for jobs itself.
static void note_return(fa_system *fa)
{
    if (fa->hooks.late_ns != 0) fai_store_relaxed(&fa->hooks.called_ns, fai_now_ns());
}

// Hooks ---------------------------------------------------------------------------------------------------------------

/// Whether this thread may drive a tick now; an idle time that was not ended is.
static fa_status enter_hook(fa_system *fa, const char *name)
{
    fai_worker *w = fai_self(fa);
    char text[96];
    if (w == NULL || !fai_worker_is_main(w)) {
        snprintf(text, sizeof text, "%s on a thread that does not drive the tick", name);
        report_missed(fa, w, "nothing was begun or ended", text);
        return FA_ERROR_WRONG_THREAD;
    }
    if (w->context != NULL || fai_is_reporting(&fa->memory) || fai_observe_delivers(fa)) {
        snprintf(text, sizeof text, "%s inside a job, a sink or a listener", name);
        report_missed(fa, w, "nothing was begun or ended", text);
        return FA_ERROR_STATE;
    }
    if (w->lane.idle) {
        snprintf(text, sizeof text, "%s between fa_idle_begin() and fa_idle_end()", name);
        report_missed(fa, w, "fa_idle_end() was called for you", text);
        fa_status status = fa_idle_end(&w->lane.hot);
        FA_ASSERT(status == FA_OK);
        if (status != FA_OK) return status;
    }
    note_call(fa, w);
    return FA_OK;
}

fa_status fa_tick_install(fa_system *fa)
{
    if (fa == NULL) return FA_ERROR_INVALID;
    fa_status status = fai_memory_check_main(&fa->memory);
    if (status != FA_OK) return status;
    if (fai_load_relaxed(&fa->memory.hooks) == FAI_HOOKS_NONE)
        fai_store_relaxed(&fa->memory.hooks, (uint32_t)FAI_HOOKS_DECLARED);
    return FA_OK;
}

fa_status fa_tick_begin(fa_system *fa)
{
    if (fa == NULL) return FA_ERROR_INVALID;
    fa_status status = enter_hook(fa, "fa_tick_begin()");
    if (status != FA_OK) return status;
    fai_store_relaxed(&fa->memory.hooks, (uint32_t)FAI_HOOKS_CALLED);
    if (fa->open) {
        status = fa_frame_end(fa, NULL);
        FA_ASSERT(fa->open == (status != FA_OK));
        if (status != FA_OK) { // a fork was not joined: the tick stays open
            note_return(fa);
            return status;
        }
        report_missed(fa, fai_system_worker(fa, 0),
                      "the tick before was ended for you, its jobs and its promotions to cells included",
                      "fa_tick_begin() while a tick is open: its end was missed");
    }
    status = fa_frame_begin(fa);
    FA_ASSERT(status == FA_OK);
    note_return(fa);
    return status;
}

fa_status fa_tick_end(fa_system *fa, struct fa_frame_result *result)
{
    if (result != NULL) *result = (fa_frame_result){0};
    if (fa == NULL) return FA_ERROR_INVALID;
    fa_status status = enter_hook(fa, "fa_tick_end()");
    if (status != FA_OK) return status;
    if (fa->open) {
        status = fa_frame_end(fa, result);
    } else {
        report_missed(fa, fai_system_worker(fa, 0), "there was nothing to end",
                      "fa_tick_end() while no tick is open: its begin was missed");
        status = FA_ERROR_STATE;
    }
    note_return(fa);
    return status;
}

void fa_tick_on_begin(void *fa)
{
    (void)fa_tick_begin(fa);
}

void fa_tick_on_end(void *fa)
{
    (void)fa_tick_end(fa, NULL);
}
