// SPDX-License-Identifier: MIT
//
// The sink of diagnostics is replaced while another lane reports. When all is quiet the sink before is in no call and in none to come: what it
// used may go.
#include "tests/model/little_flag.h"
#include "tests/model/little_system.h"

#include <string.h>

extern const mc_model model_sink;

typedef struct ear {
    uint64_t open; // plain
    FAI_ATOMIC(uint32_t) heard;
} ear;

static fa_system *fa;
static fa_worker *other;
static ear ears[3];

static void hear(const fa_diagnostic *diagnostic, void *context)
{
    ear *e = context;
    MC_ASSERT(strcmp(diagnostic->code, "X001") == 0);
    MC_ASSERT(e->open == 1);
    (void)fai_add_relaxed(&e->heard, 1u);
}

static void before(void)
{
    memset(ears, 0, sizeof ears);
    ears[0].open = 1;
    MC_ASSERT(fa_sink_set(fa, hear, &ears[0]) == FA_OK);
    other = little_attach(fa);
}

static void thread(void)
{
    if (mc_self() == 0) {
        mc_dawdle(150);
        ears[1].open = 1;
        MC_ASSERT(fa_sink_set(fa, hear, &ears[1]) == FA_OK);
        if (mc_choose(2) == 0) {
            while (!fa_sink_is_quiet(fa)) fai_pause();
            ears[0].open = 0;
        }
        ears[2].open = 1;
        MC_ASSERT(fa_sink_set(fa, hear, &ears[2]) == FA_OK); // in the place of the first, if nobody is there
        return;
    }
    for (int i = 0; i < 2; i++)
        MC_ASSERT(fa_diagnose(other, FA_SEVERITY_WARNING, "X001", NULL, NULL, "%d", i) == FA_OK);
}

static void after(void)
{
    MC_ASSERT(ears[0].heard + ears[1].heard + ears[2].heard == 2);
}

const mc_model model_sink = {
    .name = "sink",
    .claim = "a sink that was replaced is not called any more, and what the new one uses is seen",
    .large = true,
    .system = &fa,
    .before = before,
    .threads = {thread, thread},
    .after = after,
};
