// SPDX-License-Identifier: MIT
//
// See little_system.h.
#include "tests/model/little_system.h"

#include "concurrent/rcu.h"
#include "jobs/system.h"
#include "jobs/worker.h"

#include <string.h>

enum { SYSTEMS_MAX = 64 };

/// Nothing that these models do is worth a diagnostic.
static void refuse(const fa_diagnostic *diagnostic, void *context)
{
    (void)context;
    if (strcmp(diagnostic->code, "FA906") == 0) return; // a frame is held, and virtual time went by
    mc_fail(diagnostic->message, diagnostic->code, 0);
}

static fa_system *create(const mc_model *model)
{
    fa_config config = fa_config_default();
    config.worker_count = model->workers;
    config.attached_max = 1;
    config.deque_capacity = 16;
    config.search_spin_us = 0;
    config.reserve_bytes = (uint64_t)64 << 20;
    config.handles_max = 256;
    config.groups_max = 4;
    config.scratch_max = 4;
    config.streams_max = 8;
    config.stream_bytes_max = (uint64_t)4 << 20;
    config.transfers_max = 4;
    config.huge_pages = false;
    config.checked = false;
    config.report = refuse;
    if (model->adjust != NULL) model->adjust(&config);
    fa_system *fa = NULL;
    mc_world_open(model);
    fa_status status = fa_create(&config, &fa);
    MC_ASSERT(status == FA_OK);
    mc_world_close();
    return fa;
}

fa_system *little_system(const mc_model *model)
{
    static struct {
        const mc_model *model;
        fa_system *fa;
    } made[SYSTEMS_MAX];
    unsigned i = 0;
    while (i < SYSTEMS_MAX && made[i].model != NULL && made[i].model != model) i++;
    MC_ASSERT(i < SYSTEMS_MAX);
    if (made[i].model == NULL) made[i].fa = create(model);
    made[i].model = model;
    return made[i].fa;
}

fa_worker *little_attach(fa_system *fa)
{
    fa_worker *w;
    mc_act_as(1);
    MC_ASSERT(fa_attach(fa, &w) == FA_OK);
    mc_act_as(0);
    return w;
}

void little_reclaimer(void)
{
    mc_run_library_thread(0);
}

void little_worker(void)
{
    mc_run_library_thread(mc_self());
}

void little_stop(fa_system *fa, bool reclaimer)
{
    fai_store_relaxed(&fa->stopping, 1u);
    for (uint32_t lane = 1; lane <= fa->worker_count; lane++) (void)fai_wake_any(&fai_system_worker(fa, lane)->parker);
    for (uint32_t lane = 1; lane <= fa->worker_count; lane++) fai_thread_join(&fai_system_worker(fa, lane)->thread);
    if (reclaimer) fai_grace_close_owner(&fa->memory.grace);
}
