// SPDX-License-Identifier: MIT
//
// The end of a system with work in it: a frame is open, jobs are queued that submit others, a version is retired and a group lives. All jobs have run
// when fa_destroy() returns, no thread uses the system any more, and an attached thread that has detached has left it, too.
#include "tests/model/little_flag.h"
#include "tests/model/little_system.h"

#include "jobs/system.h"
#include "jobs/worker.h"

#include <string.h>

extern const mc_model model_destroy;

enum { JOBS = 2 };

static fa_system *fa;
static struct {
    uint64_t ran[2 * JOBS]; // plain
    fa_cell cell;
    uint64_t cleaned;
    little_flag guest_is_in;
} world;

/// That a group was left is said, see FA910; and that a thread is attached still, FA909.
static void hear(const fa_diagnostic *diagnostic, void *context)
{
    (void)context;
    if (strcmp(diagnostic->code, "FA910") != 0 && strcmp(diagnostic->code, "FA909") != 0)
        mc_fail(diagnostic->message, diagnostic->code, 0);
}

static void adjust(fa_config *config)
{
    config->report = hear;
}

static void before(void)
{
    memset(&world, 0, sizeof world);
}

static void child(fa_worker *w, void *arg)
{
    (void)w;
    world.ran[(uintptr_t)arg]++;
}

static void parent(fa_worker *w, void *arg)
{
    uintptr_t number = (uintptr_t)arg;
    world.ran[number]++;
    uint64_t *version = fa_pool_alloc(w, 64);
    MC_ASSERT(version != NULL);
    *version = number;
    if (number == 0) MC_ASSERT(fa_cell_publish(w, &world.cell, version) == FA_OK);
    MC_ASSERT(fa_submit(w, child, (void *)(number + JOBS)) == FA_OK);
}

static void clean(fa_worker *w, void *object, void *context)
{
    (void)w;
    (void)object;
    (void)context;
    world.cleaned++;
}

static void main_lane(void)
{
    fa_worker *w = fa_self(fa);
    fai_worker *lanes = fai_system_worker(fa, 1); // the worker's, and the guest's
    fa_group group;
    MC_ASSERT(fa_frame_begin(fa) == FA_OK);
    MC_ASSERT(fa_group_create(w, "left", &group) == FA_OK);
    MC_ASSERT(fa_group_alloc_cleaned(w, group, 64, 16, clean, NULL) != NULL);
    uint64_t *version = fa_pool_alloc(w, 64);
    MC_ASSERT(version != NULL && fa_cell_publish(w, &world.cell, version) == FA_OK);
    for (uintptr_t i = 0; i < JOBS; i++) MC_ASSERT(fa_submit(w, parent, (void *)i) == FA_OK);
    little_wait_for(&world.guest_is_in);
    fa_status status;
    while ((status = fa_destroy(fa)) == FA_ERROR_BUSY) fai_pause();
    MC_ASSERT(status == FA_OK);
    for (int i = 0; i < 2 * JOBS; i++) MC_ASSERT(world.ran[i] == 1);
    MC_ASSERT(world.cleaned == 1);
    memset(lanes, 0, 2 * sizeof *lanes); // their memory is somebody else's now
}

static void guest(void)
{
    fa_worker *w;
    MC_ASSERT(fa_attach(fa, &w) == FA_OK);
    little_raise(&world.guest_is_in);
    uint64_t *p = fa_pool_alloc(w, 64);
    MC_ASSERT(p != NULL);
    *p = 1;
    fa_pool_free(w, p);
    MC_ASSERT(fa_detach(w) == FA_OK);
}

const mc_model model_destroy = {
    .name = "destroy",
    .claim = "a system that is destroyed with work in it runs that first, and nobody uses it afterwards",
    .large = true,
    .system = &fa,
    .workers = 1,
    .adjust = adjust,
    .before = before,
    .threads = {main_lane, little_worker, guest, little_reclaimer},
};
