// SPDX-License-Identifier: MIT
//
// A system from creation to destruction.
#include "jobs/system.h"

#include "jobs/attach.h"
#include "jobs/observe.h"
#include "jobs/tick.h"
#include "jobs/worker.h"

#include <stdio.h>
#include <stdlib.h>

_Static_assert(sizeof(fai_worker) % FAI_CACHE_LINE == 0, "lanes lie in an array");
_Static_assert(FA_WORKERS_MAX + FA_ATTACHED_MAX + 1 <= 255, "a lane fits into 8 bits");

/// Memory for the rings of all lanes' deques. They are touched by their lanes.
static fai_job *make_rings(uint32_t lane_count, uint32_t capacity)
{
    return aligned_alloc(FAI_CACHE_LINE, (size_t)lane_count * capacity * sizeof(fai_job));
}

static void init_worker(fa_system *fa, uint32_t lane)
{
    fai_worker *w = fai_system_worker(fa, lane);
    uint32_t capacity = fa->memory.config.deque_capacity;
    FA_ASSERT(w->lane.hot.index == lane && w->lane.hot.system == fa);
    fai_deque_init(&w->deque, fa->rings + (size_t)lane * capacity, capacity);
    w->random = fai_order_mix(FAI_ORDER_ROOT, lane) | 1; // never zero
    w->last_victim = 0;                                  // most work is submitted by the main lane
}

static fa_status init(fa_system *fa, const fa_config *config)
{
    fa->worker_count = config->worker_count;
    fa->lane_count = 1 + config->worker_count + config->attached_max;
    fa->lane_end = 1 + config->worker_count;
    fa->frame_slots = config->frames_in_flight;
    fa->checked = config->checked;
    fa->hooks.late_ns = (uint64_t)config->tick_late_ms * 1000000;
    // With more lanes than CPUs a lane that spins takes the time of one that works.
    bool crowded = 1 + config->worker_count > fai_cpu_count();
    fa->spin_ns = crowded ? 0 : (uint64_t)config->search_spin_us * 1000;
    FA_ASSERT(fa->frame_slots >= 1 && fa->frame_slots <= FA_FRAMES_IN_FLIGHT_MAX);
    FA_ASSERT(fa->lane_count <= FAI_LANE_WORDS * 64);
    fa->oldest = 1;
    fa->awaited_slot = FAI_NO_SLOT;
    fa->sleepers.words = (fa->lane_count + 63) / 64;
    fai_inbox_init(&fa->main_inbox);
    fa->rings = make_rings(fa->lane_count, config->deque_capacity);
    if (fa->rings == NULL) return FA_ERROR_MEMORY;
    fa_status status = fai_memory_init(&fa->memory, config, fa->lane_count, sizeof(fai_worker));
    if (status != FA_OK) free(fa->rings);
    return status;
}

static void stop_workers(fa_system *fa, uint32_t count)
{
    fai_store_relaxed(&fa->stopping, 1u); // who sleeps sees it by being woken; it tells of nothing else
    for (uint32_t lane = 1; lane <= count; lane++) (void)fai_wake_any(&fai_system_worker(fa, lane)->parker);
    for (uint32_t lane = 1; lane <= count; lane++) fai_thread_join(&fai_system_worker(fa, lane)->thread);
}

/// Starts the workers; on failure none runs.
static bool start_workers(fa_system *fa)
{
    for (uint32_t lane = 1; lane <= fa->worker_count; lane++) {
        fai_worker *w = fai_system_worker(fa, lane);
        char name[24]; // fai_thread_start() cuts it to what a thread may have
        snprintf(name, sizeof name, "fa-worker-%u", lane);
        int32_t cpu = fa->memory.config.pin_workers ? (int32_t)lane : -1; // the main lane is thought to be on the first
        if (fai_thread_start(&w->thread, fai_worker_main, w, name, cpu)) continue;
        stop_workers(fa, lane - 1);
        return false;
    }
    return true;
}

static void enter_main(fa_system *fa)
{
    fai_worker *w = fai_system_worker(fa, 0);
    fai_self_add(w);
    fai_rcu_register();
    fai_worker_touch(w);
    fai_worker_claim(w);
    FA_ASSERT(fai_worker_is_main(w) && fai_self(fa) == w);
}

static void release(fa_system *fa)
{
    fai_self_remove(fai_system_worker(fa, 0));
    fai_memory_exit(&fa->memory); // the lanes are gone with it
    fai_rcu_unregister();
    free(fa->rings);
    free(fa);
}

static const char *job_name(const fai_lane *lane)
{
    const fai_worker *w = fai_worker_of_const(&lane->hot);
    return w->context != NULL ? w->context->name : NULL;
}

fa_status fa_create(const fa_config *config, fa_system **out)
{
    if (out == NULL) return FA_ERROR_INVALID;
    *out = NULL;
    if (config == NULL) return FA_ERROR_INVALID;
    fa_config resolved;
    fa_status status = fai_config_check(config, &resolved);
    if (status != FA_OK) return status;
    fa_system *fa = aligned_alloc(_Alignof(fa_system), sizeof(fa_system));
    if (fa == NULL) return FA_ERROR_MEMORY;
    memset(fa, 0, sizeof *fa);
    status = init(fa, &resolved);
    if (status != FA_OK) {
        free(fa);
        return status;
    }
    fa->memory.job_name = job_name;
    for (uint32_t lane = 0; lane < fa->lane_count; lane++) init_worker(fa, lane);
    enter_main(fa);
    if (!fai_self_watch() || !start_workers(fa)) {
        release(fa);
        return FA_ERROR_THREAD;
    }
    *out = fa;
    return FA_OK;
}

/// The first lane that a thread is attached as, 0 if there is none.
static uint32_t first_attached(const fa_system *fa)
{
    for (uint32_t lane = 1 + fa->worker_count; lane < fa->lane_count; lane++) {
        // [attach.slot] acquire: the lane as its thread left it.
        if (fai_load_acquire(&fai_system_worker(fa, lane)->attached) != 0) return lane;
    }
    return 0;
}

static fa_status refuse_destroy(const fai_worker *w, uint32_t lane)
{
    fai_report(&fai_worker_system(w)->memory, &w->lane, "FA909", "the system lives on, unchanged",
               "call fa_detach() on every thread that called fa_attach(), then fa_destroy() again",
               "fa_destroy() refused: a thread is still attached as lane %u", (unsigned)lane);
    return FA_ERROR_BUSY;
}

static fa_status refuse_moment(const fa_system *fa)
{
    fai_report(&fa->memory, NULL, "FA909", "the system lives on, unchanged",
               "call it from the program's own loop, after fa_frame_end()",
               "fa_destroy() refused: it was called from a job, a sink or a listener");
    return FA_ERROR_STATE;
}

fa_status fa_destroy(fa_system *fa)
{
    if (fa == NULL) return FA_OK;
    if (fai_is_reporting(&fa->memory)) return refuse_moment(fa);
    fa_status status = fai_memory_check_main(&fa->memory);
    if (status != FA_OK) return status;
    fai_worker *w = fai_system_worker(fa, 0);
    if (w->context != NULL || fai_observe_delivers(fa)) return refuse_moment(fa);
    uint32_t attached = first_attached(fa);
    if (attached != 0) return refuse_destroy(w, attached);
    if (w->lane.idle) (void)fa_idle_end(&w->lane.hot);
    bool open = fa->open;
    fai_frames_finish(fa);
    stop_workers(fa, fa->worker_count);
    fai_observe_finish(fa, open);
    release(fa);
    return FA_OK;
}

uint32_t fa_worker_count(const fa_system *fa)
{
    return fa != NULL ? fa->worker_count : 0;
}

const char *fa_job_name(const fa_worker *worker)
{
    const fai_lane *lane = (const fai_lane *)(const void *)worker;
    return worker != NULL && fai_lane_may_use(lane) ? job_name(lane) : NULL;
}

uint32_t fa_job_depth(const fa_worker *worker)
{
    const fai_lane *lane = (const fai_lane *)(const void *)worker;
    return worker != NULL && fai_lane_may_use(lane) ? lane->depth : 0;
}
