// SPDX-License-Identifier: MIT
//
// Statistics: a thread that is no lane reads them while the main lane publishes those of the next frame. It never gets half of one and half of
// another: every frame allocates one object, so the two counts are equal.
#include "tests/model/little_system.h"

#include <string.h>

extern const mc_model model_stats;

static fa_system *fa;

static void setup(void)
{
    fa = little_system(&model_stats, 0, NULL);
}

static void before(void)
{
}

static void thread(unsigned self)
{
    if (self != 0) {
        fa_stats stats;
        mc_dawdle(500);
        MC_ASSERT(fa_stats_read(fa, &stats) == FA_OK);
        MC_ASSERT(stats.pool_allocs == stats.frame && stats.pool_live == stats.frame);
        return;
    }
    for (int frame = 0; frame < 3; frame++) {
        MC_ASSERT(fa_frame_begin(fa) == FA_OK);
        MC_ASSERT(fa_pool_alloc(fa_self(fa), 64) != NULL);
        MC_ASSERT(fa_frame_end(fa, NULL) == FA_OK);
    }
}

const mc_model model_stats = {
    .name = "stats",
    .claim = "statistics that are read are those of one frame",
    .threads = 2,
    .large = true,
    .setup = setup,
    .before = before,
    .thread = thread,
};
