// SPDX-License-Identifier: MIT
//
// Reference cells and grace periods: the main lane replaces a cell's object frame by frame, a reader follows it, the reclaimer waits for
// quiescent states. An object is whole when it is read and stays so until the reader's next quiescent state, although its memory is used again.
#include "tests/model/little_flag.h"
#include "tests/model/little_system.h"

#include <string.h>

extern const mc_model model_cell;

enum { FRAMES = 4, READS = 2 };

static fa_system *fa;
static struct {
    fa_cell cell;
    little_flag reader_is_done;
} world;

static void setup(void)
{
    fa = little_system(&model_cell, 0, NULL);
}

static void before(void)
{
    memset(&world, 0, sizeof world);
}

static void check(const uint64_t *version)
{
    MC_ASSERT(version[0] != 0 && version[1] == ~version[0]);
}

static void reader(void)
{
    fa_worker *w;
    MC_ASSERT(fa_attach(fa, &w) == FA_OK);
    for (int i = 0; i < READS; i++) {
        const uint64_t *version = fa_cell_read(w, &world.cell);
        if (version != NULL) check(version);
        fai_pause();
        if (version != NULL) check(version);
        MC_ASSERT(fa_quiescent(w) == FA_OK);
    }
    MC_ASSERT(fa_detach(w) == FA_OK);
    little_raise(&world.reader_is_done);
}

static void main_lane(void)
{
    fa_worker *w = fa_self(fa);
    for (uint64_t frame = 1; frame <= FRAMES; frame++) {
        MC_ASSERT(fa_frame_begin(fa) == FA_OK);
        uint64_t *version = fa_pool_alloc(w, 64);
        MC_ASSERT(version != NULL);
        version[0] = frame;
        version[1] = ~frame;
        MC_ASSERT(fa_cell_publish(w, &world.cell, version) == FA_OK);
        MC_ASSERT(fa_frame_end(fa, NULL) == FA_OK);
        fai_pause();
    }
    little_wait_for(&world.reader_is_done);
    little_stop(fa, true);
}

static void thread(unsigned self)
{
    if (self == 0)
        main_lane();
    else if (self == 1)
        reader();
    else
        little_reclaimer();
}

const mc_model model_cell = {
    .name = "cell",
    .claim = "what was read from a cell stays whole until the reader's next quiescent state",
    .threads = 3,
    .large = true,
    .setup = setup,
    .before = before,
    .thread = thread,
};
