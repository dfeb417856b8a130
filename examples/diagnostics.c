// SPDX-License-Identifier: MIT
//
// A game's debug overlay and its strict loader: diagnostics are collected and shown, the game adds one of its own, and while a level
// loads any error stops the program, so that a build machine finds it at the first occurrence.
#include <framealloc/framealloc.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { overlay_lines = 16, budget = 64 * 1024 };

static fa_collected lines[overlay_lines];
static fa_collector overlay;

/// A particle system that takes more frame memory than the game allows.
static void spawn_particles(fa_worker *w, void *arg)
{
    uint32_t *spawned = arg;
    while (*spawned < 100) {
        float *particles = fa_frame_array(w, float, 1024);
        if (particles == NULL) { // FA003 was reported, once in this frame; the game says what that means to it
            (void)FA_DIAGNOSE_WARNING(w, "GAME001", "the effect looks thinner", "lower the emitter's rate",
                                      "only %" PRIu32 " of 100 bursts fit", *spawned);
            return;
        }
        particles[0] = 0;
        ++*spawned;
    }
}

static fa_status run_tick(fa_system *fa, uint32_t *spawned)
{
    fa_worker *w = fa_self(fa);
    fa_status status = fa_frame_begin(fa);
    if (status != FA_OK) return status;
    const fa_job job = {.fn = spawn_particles, .arg = spawned, .name = "spawn_particles"};
    status = fa_submit_job(w, &job);
    fa_status ended = fa_frame_end(fa, NULL);
    return status != FA_OK ? status : ended;
}

/// Nothing may go wrong in here: an error stops the program. Warnings do not; what is known to be harmless is suppressed.
static bool load_level(fa_system *fa)
{
    FA_STRICT_SCOPE(fa, FA_STRICT_STOP_ON_ERROR);
    if (fa_strict_mode(fa) != FA_STRICT_STOP_ON_ERROR) return false;
    fa_worker *w = fa_self(fa);
    void *geometry = fa_heap_alloc(w, 1 << 20, 64);
    bool loaded = FA_DIAGNOSE_UNLESS(w, geometry != NULL, "GAME002", NULL, "free something", "no memory for the level");
    fa_heap_free(w, geometry);
    return loaded;
}

static void draw_overlay(void)
{
    for (uint32_t i = 0; i < fa_collector_count(&overlay, NULL); i++) {
        const fa_collected *line = fa_collector_get(&overlay, NULL, i);
        printf("%s %-7s frame %" PRIu64 ", lane %" PRIu32 ", %s: %s\n", line->code,
               line->severity == FA_SEVERITY_ERROR ? "error" : "warning", line->frame, line->lane,
               line->job[0] != '\0' ? line->job : "no job", line->message);
    }
    printf("%" PRIu64 " more\n", fa_collector_lost(&overlay));
}

static bool is_as_expected(uint32_t spawned)
{
    const fa_collected *limit = fa_collector_get(&overlay, "FA003", 0), *own = fa_collector_get(&overlay, "GAME001", 0);
    return spawned > 0 && spawned < 100 && fa_collector_count(&overlay, NULL) == 3 && limit != NULL && own != NULL &&
           fa_collector_count(&overlay, "FA001") == 1 && fa_collector_errors(&overlay) == 1 && limit->frame == 1 &&
           strcmp(limit->job, "spawn_particles") == 0 && strcmp(own->job, "spawn_particles") == 0;
}

int main(void)
{
    fa_config config = fa_config_default();
    config.frame_bytes_max = budget;
    fa_system *fa = NULL;
    if (fa_create(&config, &fa) != FA_OK) return 1;
    fa_collector_init(&overlay, lines, overlay_lines);
    fa_status status = fa_sink_set(fa, fa_collector_take, &overlay);
    if (status == FA_OK)
        status = fa_strict_set(fa, FA_STRICT_WARN); // whatever FRAMEALLOC_STRICT says: faults are shown here
    uint32_t spawned = 0;
    if (status == FA_OK) status = run_tick(fa, &spawned); // FA003 and GAME001, both warnings
    void *late = fa_frame_alloc(fa_self(fa), 64);         // FA001: the frame is over
    bool loaded = load_level(fa);                         // strict, and nothing to complain about
    bool restored = fa_strict_mode(fa) == FA_STRICT_WARN;
    draw_overlay();
    fa_status destroyed = fa_destroy(fa);
    bool right = status == FA_OK && destroyed == FA_OK && late == NULL && loaded && restored && is_as_expected(spawned);
    return right ? 0 : 1;
}
