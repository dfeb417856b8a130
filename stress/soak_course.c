// SPDX-License-Identifier: MIT
//
// See soak_course.h. The phases are those of examples/level_tick.
#include "soak_course.h"

#include "examples/level_tick/phases.h"

#include <inttypes.h>
#include <string.h>

/// A small crowd: a tick takes some ten microseconds.
#define AGENTS 48u
/// What a frame may move of minds and of other objects behind handles.
#define COMPACT_BYTES (UINT64_C(8) << 10)
#define COMPACT_MOVES 64u
/// How often the end looks whether the grace periods of all that was dropped are over, and how long it waits each time.
#define DRAIN_LOOKS 10000u
#define DRAIN_US 1000u

static void must(bool good, const struct failure *failure)
{
    if (!good) stress_fail("%s", failure->text);
}

static void load(struct course *course, const struct soak_level *level, uint64_t seed)
{
    struct failure failure = {.text = ""};
    must(load_level(course->w, level->path, level->map, &course->place, &failure), &failure);
    must(load_world(course->w, &course->place, AGENTS, seed, &course->world, &failure), &failure);
    must(load_stream(course->w, &course->place, level->art_budget, &course->stream, &failure), &failure);
}

void course_begin(struct course *course, const fa_config *config, const struct soak_level *level, uint64_t seed)
{
    *course = (struct course){.frames_in_flight = config->frames_in_flight};
    stress_must(fa_create(config, &course->fa));
    stress_must(fa_suppress(course->fa, "FA402", true)); // a reserve that is refused is routine
    course->w = fa_self(course->fa);
    course_frame_begin(course);
    load(course, level, seed);
    course_frame_end(course);
}

void course_frame_begin(struct course *course)
{
    stress_must(fa_frame_begin(course->fa));
}

void course_tick(struct course *course)
{
    const struct world *world = &course->world;
    (void)phases_run(course->w, &course->world, &course->stream);
    if (world_is_faulty(world)) stress_fail("tick %" PRIu32 ": %s", world->tick, world->fault);
    uint64_t corrupt = __atomic_load_n(&world->tallies.corrupt, __ATOMIC_RELAXED);
    if (corrupt > 0) stress_fail("tick %" PRIu32 ": %" PRIu64 " paths or events were damaged", world->tick, corrupt);
}

void course_frame_end(struct course *course)
{
    fa_frame_result result;
    stress_must(fa_frame_end(course->fa, &result));
    if (result.failed > 0)
        stress_fail("tick %" PRIu32 ": %" PRIu32 " promotions failed", course->world.tick, (uint32_t)result.failed);
    course->promotions += result.count;
    fa_handle_compaction done;
    stress_must(fa_handles_compact(course->fa, COMPACT_BYTES, COMPACT_MOVES, &done));
    course->moves += done.moves;
}

void course_settle(struct course *course)
{
    for (uint32_t i = 0; i <= course->frames_in_flight; i++) {
        course_frame_begin(course);
        course_frame_end(course);
    }
}

uint64_t course_digest(const struct course *course)
{
    return world_digest(course->w, &course->world);
}

static uint64_t left_over(const fa_stats *stats)
{
    return stats->pool_live + stats->heap_live + stats->handle_live + stats->groups + stats->group_objects +
           stats->streams + stats->stream_leaving_bytes + stats->scratch_pools + stats->backlog;
}

static void await_home(struct course *course)
{
    fa_stats stats;
    for (uint32_t i = 0; i < DRAIN_LOOKS; i++) {
        course_settle(course);
        stress_must(fa_stats_read(course->fa, &stats));
        if (left_over(&stats) == 0) return;
        stress_must(fa_idle_begin(course->w));
        stress_sleep_us(DRAIN_US);
        stress_must(fa_idle_end(course->w));
        stress_progress(0);
    }
    stress_fail("at the end there are still %" PRIu64 " pool and %" PRIu64 " heap objects, %" PRIu64
                " behind handles, %" PRIu64 " groups with %" PRIu64 " objects, %" PRIu64 " streams, %" PRIu64
                " retired versions",
                stats.pool_live, stats.heap_live, stats.handle_live, stats.groups, stats.group_objects, stats.streams,
                stats.backlog);
}

void course_end(struct course *course)
{
    course_settle(course);
    course_frame_begin(course);
    stress_must(phases_let_go(course->w, &course->world));
    course_frame_end(course);
    gallery_clear(course->w, &course->stream.gallery);
    stress_must(world_drop(course->w, &course->world));
    load_free(course->w, &course->place);
    await_home(course);
    stress_must(fa_destroy(course->fa));
}
