// SPDX-License-Identifier: MIT
//
// Paths that outlive their frame: found in jobs, promoted to the pool at the frame's end, and read through cells by jobs of later frames
// while they are replaced.
#include <framealloc/framealloc.h>

#include <inttypes.h>
#include <stdio.h>

enum { ticks = 20, agents = 64, steps = 16, replan_every = 4 };

typedef struct path {
    uint64_t agent;
    uint64_t made;
    uint64_t step[steps];
} path;

typedef struct agent {
    fa_cell path; // the current version; readers hold it until their job ends
    uint64_t walked;
} agent;

static agent crowd[agents];
static fa_system *fa;

static bool plan(fa_worker *w, uint64_t i)
{
    fa_retain how = fa_retain_for(FA_REUSABLE); // to the pool
    how.cell = &crowd[i].path;
    how.user = i;
    path *found = fa_frame_retained_new(w, path, &how); // zeroed frame memory
    if (found == NULL) return false;
    found->agent = i;
    found->made = fa_frame_number(fa);
    for (uint64_t s = 0; s < steps; s++) found->step[s] = i * 1000 + s;
    return true;
}

static void act(fa_worker *w, uint64_t first, uint64_t last, void *arg)
{
    (void)arg;
    uint64_t now = fa_frame_number(fa);
    for (uint64_t i = first; i < last; i++) {
        const path *current = fa_cell_read(w, &crowd[i].path);
        if (current != NULL && current->agent == i) crowd[i].walked += current->step[now % steps] - i * 1000;
        if (now % replan_every == 1) (void)plan(w, i);
    }
}

static fa_status run_tick(uint32_t *promoted)
{
    fa_status status = fa_frame_begin(fa);
    if (status != FA_OK) return status;
    status = fa_parallel_for(fa_self(fa), 0, agents, 1, act, NULL);
    fa_frame_result result;
    fa_status ended = fa_frame_end(fa, &result);
    if (ended == FA_OK) *promoted += result.to_pool;
    for (uint32_t i = 0; ended == FA_OK && i < result.count; i++) // in the order of agents, whoever ran what
        if (result.items[i].status != FA_PROMOTED)
            fprintf(stderr, "lost: %s\n", fa_promotion_text(result.items[i].status));
    return status != FA_OK ? status : ended;
}

int main(void)
{
    fa_config config = fa_config_default();
    fa_status status = fa_create(&config, &fa);
    uint32_t promoted = 0;
    for (int tick = 0; tick < ticks && status == FA_OK; tick++) status = run_tick(&promoted);
    uint64_t walked = 0;
    for (int i = 0; i < agents; i++) walked += crowd[i].walked;
    for (int i = 0; i < agents && status == FA_OK; i++) status = fa_cell_drop(fa_self(fa), &crowd[i].path);
    fa_status destroyed = fa_destroy(fa);
    if (status == FA_OK) status = destroyed;
    if (status != FA_OK) {
        fprintf(stderr, "promotion: %s\n", fa_status_text(status));
        return 1;
    }
    uint64_t wanted = 0; // from the second frame on each agent has a path
    for (uint64_t frame = 2; frame <= ticks; frame++) wanted += agents * (frame % steps);
    printf("%u paths promoted, walked %" PRIu64 " of %" PRIu64 "\n", promoted, walked, wanted);
    return promoted == agents * (ticks / replan_every) && walked == wanted ? 0 : 1;
}
