// SPDX-License-Identifier: MIT
//
// A few frames as a trace file, to be opened at ui.perfetto.dev: `trace [FILE]`, trace.json by default. Reads it back and counts what must be in it.
#include <framealloc/framealloc.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { ticks = 20, agents = 24 };

static void think(fa_worker *w, void *arg)
{
    (void)arg;
    volatile uint64_t sum = 0;
    uint64_t *plan = fa_frame_array(w, uint64_t, 500);
    for (uint64_t i = 0; plan != NULL && i < 20000; i++) {
        plan[i % 500] = i;
        sum += plan[(i * 7) % 500];
    }
    (void)sum;
}

static void move(fa_worker *w, uint64_t first, uint64_t last, void *arg)
{
    float *positions = arg;
    (void)w;
    for (uint64_t i = first; i < last; i++)
        for (int step = 0; step < 40; step++) positions[i] += 0.01f * (float)step;
}

static fa_status run_tick(fa_system *fa)
{
    static float positions[10000];
    fa_worker *w = fa_self(fa);
    fa_status status = fa_frame_begin(fa);
    if (status != FA_OK) return status;
    {
        FA_PHASE(w, "think");
        fa_counter counter = FA_COUNTER_INIT;
        fa_job job = {.fn = think, .name = "think", .counter = &counter};
        for (int i = 0; i < agents && status == FA_OK; i++) status = fa_submit_job(w, &job);
        fa_status waited = fa_wait(w, &counter);
        if (status == FA_OK) status = waited;
    }
    {
        FA_PHASE(w, "move");
        if (status == FA_OK) status = fa_parallel_for(w, 0, 10000, 0, move, positions);
    }
    fa_status ended = fa_frame_end(fa, NULL);
    return status != FA_OK ? status : ended;
}

/// Lines of the file that hold `what`: the library writes an event a line.
static uint64_t count_lines(const char *path, const char *what)
{
    char line[1024];
    uint64_t count = 0;
    FILE *file = fopen(path, "r");
    if (file == NULL) return 0;
    while (fgets(line, sizeof line, file) != NULL) count += strstr(line, what) != NULL;
    fclose(file);
    return count;
}

static bool check(const char *path, const fa_trace_result *result)
{
    uint64_t begins = count_lines(path, "\"ph\":\"B\""), ends = count_lines(path, "\"ph\":\"E\"");
    uint64_t jobs = count_lines(path, "\"name\":\"think\",\"cat\":\"job\"");
    printf("%s: %" PRIu64 " events, %" PRIu64 " bytes; %" PRIu64 " zones, %" PRIu64 " jobs named think\n", path,
           result->events, result->bytes, begins, jobs);
    return begins == ends && jobs == ticks * agents && count_lines(path, "\"cat\":\"frame\"") == ticks &&
           count_lines(path, "\"name\":\"move\"") == ticks && result->dropped == 0;
}

int main(int argc, char **argv)
{
    const char *path = argc > 1 ? argv[1] : "trace.json";
    fa_config config = fa_config_default();
    fa_system *fa = NULL;
    fa_trace_result result = {0};
    fa_status status = fa_create(&config, &fa);
    if (status == FA_OK) status = fa_trace_start(fa, path);
    for (int tick = 0; tick < ticks && status == FA_OK; tick++) status = run_tick(fa);
    if (status == FA_OK) status = fa_trace_stop(fa, &result);
    fa_status destroyed = fa_destroy(fa);
    if (status == FA_ERROR_UNSUPPORTED) {
        puts("trace: this build of the library has no traces");
        return 0;
    }
    if (status == FA_OK) status = destroyed;
    if (status != FA_OK) {
        fprintf(stderr, "trace: %s\n", fa_status_text(status));
        return 1;
    }
    return check(path, &result) ? 0 : 1;
}
