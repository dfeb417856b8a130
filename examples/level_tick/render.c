// SPDX-License-Identifier: MIT
//
// See render.h. Each tile looks through all lines, paths and agents for those that touch it: a picture is drawn
// rarely and the loops are short beside the pixels.
#include "render.h"

#include "floors.h"
#include "hanging.h"
#include "lines.h"
#include "plan.h"

#include <string.h>

/// A path that somebody follows: where it lies in the picture, and how strongly it glows.
struct trace {
    uint32_t key;
    uint32_t version;
    uint32_t followers;
    struct spot low;
    struct spot high;
};

// --- Paths ----------------------------------------------------------------------------------------------------------

/// Calls `visit` for each straight piece of a path.
typedef void piece_visitor(struct spot a, struct spot b, void *context);

static void walk_trace(const fa_worker *w, const struct scene *scene, const struct trace *trace, piece_visitor *visit,
                       void *context)
{
    const struct world *world = scene->world;
    struct path_view path;
    if (!plan_read(w, scene->world, trace->key, trace->version, false, &path)) return;
    uint32_t cell = world->regions->areas[trace->key / GOAL_COUNT].anchor;
    struct spot from = view_point(&scene->view, grid_centre(world->grid, cell));
    for (uint32_t i = 0; i < path.length; i++) {
        cell = grid_step(world->grid, cell, path.steps[i]);
        if (i + 1 < path.length && path.steps[i + 1] == path.steps[i]) continue;
        struct spot to = view_point(&scene->view, grid_centre(world->grid, cell));
        visit(from, to, context);
        from = to;
    }
}

static void widen_trace(struct spot a, struct spot b, void *context)
{
    struct trace *trace = context;
    trace->low = (struct spot){fminf(trace->low.x, fminf(a.x, b.x)), fminf(trace->low.y, fminf(a.y, b.y))};
    trace->high = (struct spot){fmaxf(trace->high.x, fmaxf(a.x, b.x)), fmaxf(trace->high.y, fmaxf(a.y, b.y))};
}

static void measure_traces(fa_worker *w, uint64_t first, uint64_t last, void *context)
{
    const struct scene *scene = context;
    for (uint64_t i = first; i < last; i++) {
        struct trace *trace = &scene->traces[i];
        trace->low = (struct spot){INFINITY, INFINITY};
        trace->high = (struct spot){-INFINITY, -INFINITY};
        walk_trace(w, scene, trace, widen_trace, trace);
    }
}

/// Lists the paths that count in this tick and have followers.
static bool find_traces(fa_worker *w, struct scene *scene)
{
    const struct world *world = scene->world;
    uint32_t *followers = fa_frame_array(w, uint32_t, world->paths.count);
    scene->traces = fa_frame_array(w, struct trace, world->paths.count);
    if (followers == NULL || scene->traces == NULL) return false;
    memset(followers, 0, world->paths.count * sizeof *followers);
    for (uint32_t i = 0; i < world->agent_count; i++) {
        const struct agent *agent = &world->now[i];
        if (agent->version != 0) followers[agent->key]++;
    }
    for (uint32_t key = 0; key < world->paths.count; key++) {
        uint32_t epoch;
        uint32_t version = path_active(&world->paths.entries[key], world->tick, &epoch);
        if (version == 0 || followers[key] == 0) continue;
        scene->traces[scene->trace_count++] = (struct trace){key, version, followers[key], {0, 0}, {0, 0}};
    }
    return fa_parallel_for(w, 0, scene->trace_count, 8, measure_traces, scene) == FA_OK;
}

struct glowing {
    struct tile *tile;
    struct colour colour;
};

static void glow_piece(struct spot a, struct spot b, void *context)
{
    const struct glowing *glowing = context;
    if (scene_touches(glowing->tile, a, b, 3)) tile_glow(glowing->tile, a, b, 1.8f, glowing->colour);
}

static void draw_paths(const fa_worker *w, const struct scene *scene, struct tile *tile)
{
    for (uint32_t i = 0; i < scene->trace_count; i++) {
        const struct trace *trace = &scene->traces[i];
        if (!scene_touches(tile, trace->low, trace->high, 3)) continue;
        float strength = 0.022f * sqrtf(fminf((float)trace->followers, 25));
        struct glowing glowing = {tile, colour_scale(view_goal(trace->key % GOAL_COUNT), strength)};
        walk_trace(w, scene, trace, glow_piece, &glowing);
    }
}

// --- Bodies ---------------------------------------------------------------------------------------------------------

static void draw_goals(const struct scene *scene, struct tile *tile)
{
    for (uint32_t slot = 0; slot < GOAL_COUNT; slot++) {
        struct spot at = view_point(&scene->view, scene->world->goals[slot].at);
        if (!scene_touches(tile, at, at, 14)) continue;
        tile_ring(tile, at, 9, 3.4f, (struct colour){0, 0, 0}, 0.6f);
        tile_ring(tile, at, 9, 1.8f, view_goal(slot), 1);
        tile_disc(tile, at, 2.2f, view_goal(slot), 1);
    }
}

static void draw_agents(const struct scene *scene, struct tile *tile)
{
    const struct world *world = scene->world;
    float radius = fminf(fmaxf(scene->view.scale * (float)BODY_RADIUS / FIX_ONE, 1.8f), 5);
    for (uint32_t i = 0; i < world->agent_count; i++) {
        const struct agent *agent = &world->now[i];
        struct spot at = view_point(&scene->view, agent->at);
        if (!scene_touches(tile, at, at, radius + 2)) continue;
        tile_disc(tile, at, radius + 0.8f, (struct colour){0.03f, 0.03f, 0.05f}, 0.75f);
        tile_disc(tile, at, radius, view_agent(agent->state), 1);
    }
}

// --- Tiles ----------------------------------------------------------------------------------------------------------

static bool draw_tile(fa_worker *w, struct scene *scene, uint32_t number)
{
    FA_SCOPE(w);
    const size_t pixels = TILE_SIZE * TILE_SIZE;
    struct tile tile = scene_tile(scene, number);
    tile.rgb = fa_scope_array(w, struct colour, pixels);
    tile.glow = fa_scope_array(w, struct colour, pixels);
    tile.shade = fa_scope_array(w, float, pixels);
    if (tile.rgb == NULL || tile.glow == NULL || tile.shade == NULL) return false;
    memset(tile.rgb, 0, pixels * sizeof *tile.rgb);
    memset(tile.glow, 0, pixels * sizeof *tile.glow);
    memset(tile.shade, 0, pixels * sizeof *tile.shade);
    if (!floors_draw(w, scene, &tile)) return false;
    lines_shade(scene, &tile);
    draw_paths(w, scene, &tile);
    tile_settle(&tile);
    if (!lines_draw(w, scene, &tile)) return false;
    draw_goals(scene, &tile);
    draw_agents(scene, &tile);
    tile_finish(&tile, scene->image->pixels, scene->image->width * 3);
    return true;
}

static void write_job(fa_worker *w, void *argument)
{
    struct render_target *target = argument;
    struct output *output = &target->output;
    if (!image_write(w, &target->image, output) && !output->failed) {
        (void)fail(&target->failure, "cannot write '%s': libpng gave up", output->path);
        output_abandon(output);
    } else if (target->commit || output->failed) {
        (void)output_commit(output, &target->failure);
    }
}

static bool submit_writing(fa_worker *w, struct world *world, struct render_target *target)
{
    fa_job job = {.fn = write_job, .arg = target, .name = "render: write", .flags = FA_JOB_MAIN};
    if (fa_submit_job(w, &job) == FA_OK) return true;
    world_fault(world, "the job that writes the picture could not be submitted");
    return false;
}

bool render_run(fa_worker *w, struct world *world, struct gallery *gallery, struct render_target *target)
{
    struct scene scene = {
        .world = world,
        .view = view_of(world, RENDER_SIZE),
        .image = &target->image,
        .art = gallery->art,
    };
    target->image = (struct image){.width = scene.view.width, .height = scene.view.height};
    size_t bytes = (size_t)target->image.width * target->image.height * 3;
    target->image.pixels = fa_frame_array(w, uint8_t, bytes);
    if (target->image.pixels == NULL || !find_traces(w, &scene)) {
        world_fault(world, "no frame memory for the picture");
        return false;
    }
    scene.tile_columns = (target->image.width + TILE_SIZE - 1) / TILE_SIZE;
    uint32_t tile_rows = (target->image.height + TILE_SIZE - 1) / TILE_SIZE;
    if (!hanging_run(w, &scene, gallery, scene.tile_columns * tile_rows, draw_tile))
        world_fault(world, "the picture could not be drawn");
    return !world_is_faulty(world) && submit_writing(w, world, target);
}
