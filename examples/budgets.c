// SPDX-License-Identifier: MIT
//
// Who uses how much: tags over jobs, a budget that refuses, and the phases of a tick. The main lane, which has its engine to run as well, gets a
// budget of its own for frame memory.
#include <framealloc/framealloc.h>

#include <inttypes.h>
#include <stdio.h>

enum { ticks = 5, agents = 200, decals_wanted = 5000, decal_bytes = 64 };

typedef struct decal {
    struct decal *next;
    char pixels[decal_bytes - sizeof(void *)];
} decal;

// Runs under the tag and in the phase in which it was submitted, on whichever worker.
static void think(fa_worker *w, void *arg)
{
    (void)arg;
    FA_TAG(w, "paths"); // "ai::paths" from here to the end of the block
    (void)fa_frame_alloc(w, 480);
}

// Decals live for many frames, as many as the budget of "render::decals" allows.
static decal *add_decals(fa_worker *w, decal *all, int *count)
{
    FA_TAG(w, "render");
    FA_TAG(w, "decals");
    for (int i = 0; i < decals_wanted; i++) {
        decal *made = fa_pool_new(w, decal);
        if (made == NULL) break; // reported once a frame (FA302), and counted
        made->next = all;
        all = made;
        (*count)++;
    }
    return all;
}

static fa_status run_tick(fa_system *fa, decal **decals, int *count)
{
    fa_worker *w = fa_self(fa);
    fa_status status = fa_frame_begin(fa);
    if (status != FA_OK) return status;
    {
        FA_PHASE(w, "think");
        FA_TAG(w, "ai");
        for (int i = 0; i < agents && status == FA_OK; i++) status = fa_submit(w, think, NULL);
    }
    {
        FA_PHASE(w, "decorate");
        *decals = add_decals(w, *decals, count);
    }
    fa_status ended = fa_frame_end(fa, NULL);
    return status != FA_OK ? status : ended;
}

// The main lane may use 32 KiB of a frame, whoever for; a first warning comes at half of it.
static bool use_up_main_lane(fa_system *fa)
{
    if (fa_lane_budget_set(fa, 0, FA_LANE_USE_FRAME, 16 * 1024, 32 * 1024) != FA_OK) return false;
    uint32_t got = 0;
    if (fa_frame_begin(fa) != FA_OK) return false;
    while (fa_frame_alloc(fa_self(fa), 256) != NULL) got++;
    fa_lane_budget budget;
    if (fa_frame_end(fa, NULL) != FA_OK) return false;
    if (fa_lane_budget_read(fa, 0, FA_LANE_USE_FRAME, &budget) != FA_OK) return false;
    printf("main lane: %" PRIu32 " allocations, %" PRIu64 " of %" PRIu64 " bytes, %" PRIu64 " warning, %" PRIu64
           " denied\n",
           got, budget.peak, budget.hard, budget.warned, budget.denied);
    return got == 128 && budget.peak == budget.hard && budget.warned == 1 && budget.denied == 1;
}

static void print_phases(const fa_system *fa)
{
    fa_phase_stats phases[8];
    uint32_t count = 0;
    if (fa_phase_stats_read(fa, phases, 8, &count) != FA_OK) return;
    for (uint32_t i = 0; i < count; i++)
        printf("phase %-10s %6" PRIu64 " bytes of frame memory, %4" PRIu64 " pool objects\n", phases[i].path,
               phases[i].frame_bytes, phases[i].pool_allocs);
}

static void count_report(const fa_diagnostic *diagnostic, void *context)
{
    (void)diagnostic;
    (*(int *)context)++; // only the main lane reports here
}

int main(void)
{
    int reports = 0, count = 0;
    fa_config config = fa_config_default();
    config.report = count_report;
    config.report_context = &reports;
    fa_system *fa = NULL;
    fa_status status = fa_create(&config, &fa);
    fa_tag paths = {0}, decals_tag = {0};
    if (status == FA_OK) status = fa_tag_find(fa, "ai::paths", &paths);
    if (status == FA_OK) status = fa_tag_find(fa, "render::decals", &decals_tag);
    if (status == FA_OK) status = fa_budget_set(fa, decals_tag, 0, 64 * 1000);
    decal *decals = NULL;
    for (int tick = 0; tick < ticks && status == FA_OK; tick++) status = run_tick(fa, &decals, &count);
    fa_tag_stats of_paths = {0}, of_decals = {0};
    if (status == FA_OK) status = fa_tag_stats_read(fa, paths, &of_paths);
    if (status == FA_OK) status = fa_tag_stats_read(fa, decals_tag, &of_decals);
    if (status == FA_OK) print_phases(fa);
    if (status == FA_OK && !use_up_main_lane(fa)) status = FA_ERROR_STATE;
    while (decals != NULL) {
        decal *next = decals->next;
        fa_pool_free(fa_self(fa), decals);
        decals = next;
    }
    fa_status destroyed = fa_destroy(fa);
    if (status == FA_OK) status = destroyed;
    if (status != FA_OK) {
        fprintf(stderr, "budgets: %s\n", fa_status_text(status));
        return 1;
    }
    printf("ai::paths: %" PRIu64 " bytes a frame; %d decals, %" PRIu64 " bytes, %" PRIu64 " refused, %d reports\n",
           of_paths.bytes[FA_TAG_FRAME], count, of_decals.held[FA_TAG_POOL], of_decals.denied, reports);
    bool right = of_paths.bytes[FA_TAG_FRAME] == agents * 480 && count == 1000 &&
                 of_decals.held[FA_TAG_POOL] == 64000 && of_decals.denied == ticks && reports == ticks + 2;
    return right ? 0 : 1;
}
