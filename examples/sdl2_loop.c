// SPDX-License-Identifier: MIT
//
// framealloc in an SDL2 game loop: window, events, a fixed step, and drawing what jobs left in frame memory.
//
//     events -> fa_tick_begin -> steps (jobs) -> batches (jobs, frame memory of every worker) -> draw -> fa_tick_end -> present
//
// Presenting may wait for the display and SDL_Delay() does wait: both happen between fa_idle_begin() and fa_idle_end(), so that the main
// lane holds nobody up meanwhile. With --ticks it runs so many ticks of one step each and checks what was simulated and drawn; under
// SDL_VIDEODRIVER=dummy it needs no display.
#include <framealloc/framealloc.h>

#include <SDL.h>
#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH = 960, HEIGHT = 540, BATCH = 256, STEP_MS = 16, STEPS_MAX = 5, SPARKS_MAX = 1 << 20 };

typedef struct spark {
    int32_t x, y, dx, dy; // in 1/256 of a pixel
} spark;

/// What a job leaves for the renderer, in the frame memory of the lane that ran it.
typedef struct batch {
    uint32_t count;
    SDL_FRect rects[BATCH];
} batch;

typedef struct game {
    fa_system *fa;
    fa_worker *main_lane;
    SDL_Window *window;
    SDL_Renderer *renderer;
    spark *sparks;
    uint32_t spark_count;
    uint32_t ticks; // 0: until the window is closed
    uint32_t workers;
    uint64_t steps; // simulated so far
    uint64_t drawn; // rectangles, in all ticks
    bool paused;
} game;

// Simulation ----------------------------------------------------------------------------------------------------------

static uint32_t hash(uint32_t x)
{
    x = (x ^ x >> 16) * 0x7feb352du;
    x = (x ^ x >> 15) * 0x846ca68bu;
    return x ^ x >> 16;
}

static spark first_spark(uint32_t i)
{
    uint32_t a = hash(i + 1), b = hash(a);
    return (spark){(int32_t)(a % (WIDTH * 256)), (int32_t)(b % (HEIGHT * 256)), (int32_t)(a >> 8 & 0x3ff) - 512,
                   (int32_t)(b >> 8 & 0x3ff) - 512};
}

static void bounce(int32_t *at, int32_t *by, int32_t limit)
{
    *at += *by;
    if (*at >= 0 && *at < limit) return;
    *by = -*by;
    *at = *at < 0 ? -*at : 2 * limit - 2 - *at;
}

static void move_spark(spark *s)
{
    bounce(&s->x, &s->dx, WIDTH * 256);
    bounce(&s->y, &s->dy, HEIGHT * 256);
}

static void move_sparks(fa_worker *w, uint64_t first, uint64_t last, void *arg)
{
    (void)w;
    spark *sparks = arg;
    for (uint64_t i = first; i < last; i++) move_spark(&sparks[i]);
}

// Drawing -------------------------------------------------------------------------------------------------------------

typedef struct batch_job {
    const game *game;
    batch **out; // in frame memory too
    uint32_t first;
} batch_job;

static void make_batch(fa_worker *w, void *arg)
{
    const batch_job *job = arg;
    batch *made = fa_frame_new(w, batch);
    if (made == NULL) return; // *out stays NULL, and the check at the end tells
    uint32_t left = job->game->spark_count - job->first;
    made->count = left < BATCH ? left : BATCH;
    for (uint32_t i = 0; i < made->count; i++) {
        const spark *s = &job->game->sparks[job->first + i];
        made->rects[i] = (SDL_FRect){(float)s->x / 256, (float)s->y / 256, 2, 2};
    }
    *job->out = made;
}

/// Every worker fills batches in its own frame memory; the main lane reads them all before the tick ends.
static bool draw(game *g)
{
    fa_worker *w = g->main_lane;
    uint32_t count = (g->spark_count + BATCH - 1) / BATCH;
    batch **batches = fa_frame_array(w, batch *, count);
    batch_job *jobs = fa_frame_array(w, batch_job, count);
    if (batches == NULL || jobs == NULL) return false;
    for (uint32_t i = 0; i < count; i++) {
        batches[i] = NULL;
        jobs[i] = (batch_job){g, &batches[i], i * BATCH};
    }
    fa_counter made = FA_COUNTER_INIT;
    if (fa_submit_many(w, &made, make_batch, jobs, sizeof *jobs, count) != FA_OK) return false;
    if (fa_wait(w, &made) != FA_OK) return false;
    SDL_SetRenderDrawColor(g->renderer, 12, 14, 24, 255);
    SDL_RenderClear(g->renderer);
    SDL_SetRenderDrawColor(g->renderer, 255, 190, 80, 255);
    for (uint32_t i = 0; i < count; i++) {
        if (batches[i] == NULL) return false;
        if (SDL_RenderFillRectsF(g->renderer, batches[i]->rects, (int)batches[i]->count) != 0) return false;
        g->drawn += batches[i]->count;
    }
    return true;
}

// The loop ------------------------------------------------------------------------------------------------------------

static bool handle_events(game *g)
{
    SDL_Event event;
    while (SDL_PollEvent(&event)) {
        if (event.type == SDL_QUIT) return false;
        if (event.type != SDL_KEYDOWN) continue;
        if (event.key.keysym.sym == SDLK_ESCAPE) return false;
        if (event.key.keysym.sym == SDLK_SPACE) g->paused = !g->paused;
    }
    return true;
}

static bool run_tick(game *g, uint32_t steps)
{
    bool good = fa_tick_begin(g->fa) == FA_OK;
    for (uint32_t i = 0; i < steps && good && !g->paused; i++, g->steps++)
        good = fa_parallel_for(g->main_lane, 0, g->spark_count, 0, move_sparks, g->sparks) == FA_OK;
    good = good && draw(g);
    return fa_tick_end(g->fa, NULL) == FA_OK && good; // the batches of all workers are gone
}

/// Shows the picture and waits for the time of the next: the library is not used in between.
static bool present(game *g, uint32_t wait_ms)
{
    if (fa_idle_begin(g->main_lane) != FA_OK) return false;
    SDL_RenderPresent(g->renderer);
    if (wait_ms > 0) SDL_Delay(wait_ms);
    return fa_idle_end(g->main_lane) == FA_OK;
}

static bool run_interactive(game *g)
{
    uint64_t last = SDL_GetTicks64(), behind = 0;
    while (handle_events(g)) {
        uint64_t now = SDL_GetTicks64();
        behind += now - last;
        last = now;
        uint32_t steps = (uint32_t)(behind / STEP_MS);
        behind %= STEP_MS;
        if (steps > STEPS_MAX) steps = STEPS_MAX; // a breakpoint or a dragged window is not caught up with
        if (!run_tick(g, steps) || !present(g, steps == 0 ? 1 : 0)) return false;
    }
    return true;
}

static bool run_ticks(game *g)
{
    for (uint32_t tick = 0; tick < g->ticks && handle_events(g); tick++)
        if (!run_tick(g, 1) || !present(g, 0)) return false;
    return g->steps == g->ticks || g->paused;
}

/// One spark after the other, without jobs: the same positions must come out.
static bool check(const game *g)
{
    if (g->drawn != (uint64_t)g->ticks * g->spark_count) {
        fprintf(stderr, "sdl2_loop: %llu rectangles drawn\n", (unsigned long long)g->drawn);
        return false;
    }
    for (uint32_t i = 0; i < g->spark_count; i++) {
        spark s = first_spark(i);
        for (uint64_t step = 0; step < g->steps; step++) move_spark(&s);
        if (memcmp(&s, &g->sparks[i], sizeof s) == 0) continue;
        fprintf(stderr, "sdl2_loop: spark %u is at the wrong place\n", i);
        return false;
    }
    return true;
}

// Start and end -------------------------------------------------------------------------------------------------------

static bool open_window(game *g)
{
    if (SDL_Init(SDL_INIT_VIDEO) != 0) return false;
    g->window = SDL_CreateWindow("framealloc", SDL_WINDOWPOS_UNDEFINED, SDL_WINDOWPOS_UNDEFINED, WIDTH, HEIGHT, 0);
    if (g->window == NULL) return false;
    g->renderer = SDL_CreateRenderer(g->window, -1, SDL_RENDERER_PRESENTVSYNC);
    if (g->renderer == NULL) g->renderer = SDL_CreateRenderer(g->window, -1, SDL_RENDERER_SOFTWARE);
    return g->renderer != NULL;
}

static bool make_sparks(game *g)
{
    g->sparks = (spark *)fa_heap_alloc(g->main_lane, g->spark_count * sizeof(spark), 64);
    for (uint32_t i = 0; g->sparks != NULL && i < g->spark_count; i++) g->sparks[i] = first_spark(i);
    return g->sparks != NULL;
}

static bool run(game *g)
{
    fa_config config = fa_config_default();
    config.worker_count = g->workers;
    config.tick_hooks = true; // FA101 if the hooks below were ever lost
    if (fa_create(&config, &g->fa) != FA_OK) return false;
    g->main_lane = fa_self(g->fa);
    bool good = make_sparks(g) && (g->ticks > 0 ? run_ticks(g) && check(g) : run_interactive(g));
    fa_heap_free(g->main_lane, g->sparks);
    return fa_destroy(g->fa) == FA_OK && good;
}

static const struct argp_option accepted[] = {
    {"ticks", 't', "N", 0, "Run N ticks of one step each, check them and exit (0: until the window is closed)", 0},
    {"sparks", 's', "N", 0, "Sparks, 1 to 1048576 (20000)", 0},
    {"workers", 'w', "N", 0, "Worker threads, 0 to 192 (one less than processors)", 0},
    {NULL, 0, NULL, 0, NULL, 0},
};

static error_t parse_option(int key, char *text, struct argp_state *state)
{
    game *g = state->input;
    char *end = NULL;
    unsigned long value = text != NULL ? strtoul(text, &end, 10) : 0;
    if (text != NULL && (end == text || *end != '\0' || *text == '-' || value > UINT32_MAX))
        argp_error(state, "'%s' is no number", text);
    switch (key) {
        case 't': g->ticks = (uint32_t)value; return 0;
        case 's':
            if (value < 1 || value > SPARKS_MAX) argp_error(state, "sparks are 1 to %d", SPARKS_MAX);
            g->spark_count = (uint32_t)value;
            return 0;
        case 'w':
            if (value > FA_WORKERS_MAX) argp_error(state, "workers are 0 to %u", FA_WORKERS_MAX);
            g->workers = (uint32_t)value;
            return 0;
        default: return ARGP_ERR_UNKNOWN;
    }
}

int main(int argc, char **argv)
{
    static const struct argp parser = {
        accepted, parse_option, NULL, "Sparks that jobs move and SDL2 draws. Space pauses, Escape ends.",
        NULL,     NULL,         NULL};
    game g = {.spark_count = 20000, .workers = FA_WORKERS_AUTO};
    if (argp_parse(&parser, argc, argv, 0, NULL, &g) != 0) return 2;
    bool good = open_window(&g);
    if (!good) fprintf(stderr, "sdl2_loop: %s\n", SDL_GetError());
    good = good && run(&g);
    if (g.renderer != NULL) SDL_DestroyRenderer(g.renderer);
    if (g.window != NULL) SDL_DestroyWindow(g.window);
    SDL_Quit();
    if (good && g.ticks > 0)
        printf("%u ticks, %llu rectangles from frame memory\n", g.ticks, (unsigned long long)g.drawn);
    return good ? 0 : 1;
}
