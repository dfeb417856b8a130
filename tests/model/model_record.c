// SPDX-License-Identifier: MIT
//
// Allocation sites of a checked system: two lanes allocate at the same place, so one of them enters the site while the other already has an object
// of it, writes past its end and is told where it was allocated.
#include "tests/model/little_system.h"

#include "concurrent/order.h"

#include <string.h>

extern const mc_model model_record;

static fa_system *fa;
static fa_worker *other;
static FAI_ATOMIC(uint32_t) told;

/// What is expected here: FA201 of the object.
static void hear(const fa_diagnostic *diagnostic, void *context)
{
    (void)context;
    if (strcmp(diagnostic->code, "FA201") != 0) mc_fail(diagnostic->message, diagnostic->code, 0);
    (void)fai_add_relaxed(&told, 1u);
}

static void adjust(fa_config *config)
{
    config->checked = true;
    config->report = hear;
}

static void before(void)
{
    told = 0;
    other = little_attach(fa);
}

/// The one place where both allocate.
__attribute__((noinline)) static unsigned char *allocate(fa_worker *w)
{
    unsigned char *p = fa_pool_alloc(w, 40);
    MC_ASSERT(p != NULL);
    return p;
}

static void damage(fa_worker *w)
{
    unsigned char *p = allocate(w);
    p[40] = 0;
    fa_pool_free(w, p);
}

static void thread(void)
{
    mc_dawdle(20);
    damage(mc_self() == 0 ? fa_self(fa) : other);
}

static void after(void)
{
    MC_ASSERT(told == 2);
}

const mc_model model_record = {
    .name = "record",
    .claim = "a site that two lanes enter is read when it is complete",
    .large = true,
    .system = &fa,
    .adjust = adjust,
    .before = before,
    .threads = {thread, thread},
    .after = after,
};
