// SPDX-License-Identifier: MIT
//
// See level_run.h. What main.c of the example does, in pieces.
#include "level_run.h"

#include "examples/level_tick/datadirs.h"
#include "examples/level_tick/tick.h"

#include <stdlib.h>

static struct options options;
static struct run run;
static struct failure failure;
static char *wad; // its path

const char *level_run_begin(uint32_t ticks_max, uint32_t hz)
{
    static char name[] = "level_run";
    static char *arguments[] = {name, NULL};
    run = (struct run){.picture = {.output = OUTPUT_CLOSED}};
    failure = (struct failure){.text = ""};
    if (!options_parse(1, arguments, &options, &failure)) return failure.text;
    options.ticks = ticks_max;
    options.hz = hz;
    options.workers = 1;
    wad = datadirs_find(options.wad);
    if (wad == NULL) return "freedoom2.wad is not installed";
    return run_begin(&options, wad, &run, &failure) ? NULL : failure.text;
}

const char *level_run_ticks(uint32_t ticks)
{
    static volatile sig_atomic_t stop;
    options.ticks = run.ticks + ticks;
    return run_ticks(&options, &run, &stop, &failure) ? NULL : failure.text;
}

const uint64_t *level_run_samples(uint32_t *count)
{
    *count = run.sample_count;
    return run.samples;
}

const char *level_run_end(uint64_t *checksum)
{
    bool ended = run.world.agent_count == 0 || run_end(&run, &failure);
    *checksum = run.checksum;
    run_destroy(&run);
    free(wad);
    wad = NULL;
    return ended ? NULL : failure.text;
}
