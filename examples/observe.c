// SPDX-License-Identifier: MIT
//
// A memory overlay: a listener that collects what an engine would put on screen, a graph of the last frames as a panel would draw it, and
// the state as JSON for a tool.
#include <framealloc/framealloc.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { ticks = 120, columns = 40, rows = 8, spike_at = 70 };

/// What the overlay shows; events arrive on the main lane, so it needs no locks.
typedef struct overlay {
    uint64_t frames, jobs, steals, large;
    uint64_t largest;
    uint64_t phases, phase_ns;
} overlay;

static void collect(const fa_event *event, void *context)
{
    overlay *to = context;
    if (event->kind == FA_EVENT_FRAME_END) to->frames++;
    if (event->kind == FA_EVENT_JOB_END) to->jobs++;
    if (event->kind == FA_EVENT_STEAL) to->steals += event->a;
    if (event->kind == FA_EVENT_PHASE_END && strcmp(event->name, "simulate") == 0) {
        to->phases++;
        to->phase_ns += event->a;
    }
    if (event->kind == FA_EVENT_LARGE_ALLOCATION) {
        to->large++;
        if (event->a > to->largest) to->largest = event->a;
    }
}

static void simulate(fa_worker *w, void *arg)
{
    const uint32_t *tick = arg;
    size_t size = 2000 + *tick % 30 * 400;
    char *particles = fa_frame_alloc(w, size);
    if (particles != NULL) memset(particles, 1, size);
}

static fa_status run_tick(fa_system *fa, uint32_t tick)
{
    fa_worker *w = fa_self(fa);
    fa_status status = fa_frame_begin(fa);
    if (status != FA_OK) return status;
    {
        FA_PHASE(w, "simulate");
        for (int i = 0; i < 16 && status == FA_OK; i++) status = fa_submit(w, simulate, &tick);
    }
    if (tick == spike_at) // somebody loads a texture in the middle of a frame
        if (fa_frame_alloc(w, 3 << 20) == NULL) status = FA_ERROR_MEMORY;
    fa_status ended = fa_frame_end(fa, NULL);
    return status != FA_OK ? status : ended;
}

/// Draws the history; however long it is, its peaks are in the picture. Returns the largest point.
static uint64_t draw(fa_system *fa)
{
    fa_graph_point points[columns];
    uint32_t count = fa_memory_graph(fa, points, columns);
    uint64_t top = 1;
    for (uint32_t i = 0; i < count; i++)
        if (points[i].bytes > top) top = points[i].bytes;
    for (uint64_t row = rows; row > 0; row--) {
        for (uint32_t i = 0; i < count; i++) putchar(points[i].bytes * rows >= top * row - top / 2 ? '#' : ' ');
        putchar('\n');
    }
    printf("frames %" PRIu64 " to %" PRIu64 ", at most %" PRIu64 " bytes\n", count > 0 ? points[0].frame : 0,
           count > 0 ? points[count - 1].frame : 0, top);
    return top;
}

static fa_status observe(fa_system *fa, overlay *seen)
{
    static fa_snapshot snapshot; // too large for a stack
    fa_listener id;
    fa_status status = fa_listen(fa, FA_EVENT_ALL, collect, seen, &id);
    if (status == FA_OK) status = fa_history_enable(fa, 0);
    for (uint32_t tick = 0; tick < ticks && status == FA_OK; tick++) status = run_tick(fa, tick);
    if (status == FA_OK) status = fa_unlisten(fa, id);
    if (status == FA_OK) status = fa_snapshot_take(fa, &snapshot);
    if (status == FA_OK) status = fa_snapshot_write_file(&snapshot, stdout);
    return status;
}

int main(void)
{
    fa_config config = fa_config_default();
    fa_system *fa = NULL;
    overlay seen = {0};
    fa_status status = fa_create(&config, &fa);
    if (status == FA_OK) status = observe(fa, &seen);
    uint64_t top = status == FA_OK ? draw(fa) : 0;
    fa_status destroyed = fa_destroy(fa);
    if (status == FA_ERROR_UNSUPPORTED) {
        puts("observe: this build of the library has no events");
        return 0;
    }
    if (status == FA_OK) status = destroyed;
    if (status != FA_OK) {
        fprintf(stderr, "observe: %s\n", fa_status_text(status));
        return 1;
    }
    printf("%" PRIu64 " jobs in %" PRIu64 " frames, %" PRIu64 " stolen; %" PRIu64
           " large allocations, the largest %" PRIu64 "\n",
           seen.jobs, seen.frames, seen.steals, seen.large, seen.largest);
    bool right = seen.frames == ticks && seen.jobs == ticks * 16 && seen.large == 1 && seen.largest == 3 << 20;
    right = right && top >= 3 << 20 && seen.phases == ticks && seen.phase_ns > 0;
    return right ? 0 : 1;
}
