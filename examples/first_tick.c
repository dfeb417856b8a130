// SPDX-License-Identifier: MIT
//
// The smallest program with a tick: jobs that use frame memory, and a loop over all workers.
#include <framealloc/framealloc.h>

#include <inttypes.h>
#include <stdio.h>

enum { ticks = 10, jobs = 4, item_count = 10000 };

static uint64_t items[item_count];

// Builds a list that nobody frees: frame memory goes with the frame. Answers through `arg`, which belongs to one job.
static void sum_list(fa_worker *w, void *arg)
{
    uint64_t *sum = arg;
    uint64_t *list = fa_frame_array(w, uint64_t, 100);
    if (list == NULL) return;
    for (uint64_t i = 0; i < 100; i++) list[i] = i;
    for (uint64_t i = 0; i < 100; i++) *sum += list[i];
}

static void advance_items(fa_worker *w, uint64_t first, uint64_t last, void *arg)
{
    (void)w;
    const uint64_t *step = arg;
    for (uint64_t i = first; i < last; i++) items[i] += *step;
}

static fa_status run_tick(fa_system *fa, uint64_t sums[jobs])
{
    fa_worker *w = fa_self(fa);
    fa_status status = fa_frame_begin(fa);
    if (status != FA_OK) return status;
    for (int i = 0; i < jobs && status == FA_OK; i++) status = fa_submit(w, sum_list, &sums[i]);
    uint64_t step = 2;
    if (status == FA_OK) status = fa_parallel_for(w, 0, item_count, 0, advance_items, &step);
    fa_status ended = fa_frame_end(fa, NULL); // waits for the jobs, then recycles their memory
    return status != FA_OK ? status : ended;
}

int main(void)
{
    fa_config config = fa_config_default();
    fa_system *fa = NULL;
    fa_status status = fa_create(&config, &fa);
    uint64_t sums[jobs] = {0};
    for (int tick = 0; tick < ticks && status == FA_OK; tick++) status = run_tick(fa, sums);
    uint64_t total = 0;
    for (int i = 0; i < jobs; i++) total += sums[i];
    for (int i = 0; i < item_count; i++) total += items[i];
    fa_status destroyed = fa_destroy(fa);
    if (status == FA_OK) status = destroyed;
    if (status != FA_OK) {
        fprintf(stderr, "first_tick: %s\n", fa_status_text(status));
        return 1;
    }
    printf("%d ticks, total %" PRIu64 "\n", ticks, total);
    return total == ticks * (jobs * UINT64_C(4950) + item_count * UINT64_C(2)) ? 0 : 1;
}
