// SPDX-License-Identifier: MIT
//
// See render.h. Each tile looks through all lines, paths and agents for those that touch it: a picture is drawn
// rarely and the loops are short beside the pixels.
#include "render.h"

#include "plan.h"
#include "view.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SAMPLES 2 // per pixel and axis, for the edges of floors
#define SHADOW_RADIUS 9.0f

/// A path that somebody follows: where it lies in the picture, and how strongly it glows.
struct trace {
    uint32_t key;
    uint32_t version;
    uint32_t followers;
    struct spot low;
    struct spot high;
};

struct scene {
    struct world *world;
    struct view view;
    struct image *image;
    struct trace *traces; // frame memory
    uint32_t trace_count;
    uint32_t tile_columns;
};

static struct spot line_end(const struct scene *scene, uint16_t vertex)
{
    struct level_vertex v = scene->world->level->vertices[vertex];
    return view_units(&scene->view, v.x, v.y);
}

/// Whether something between two corners may touch the tile.
static bool touches(const struct tile *tile, struct spot a, struct spot b, float reach)
{
    return fmaxf(a.x, b.x) + reach >= (float)tile->left &&
           fminf(a.x, b.x) - reach <= (float)(tile->left + tile->width) &&
           fmaxf(a.y, b.y) + reach >= (float)tile->top && fminf(a.y, b.y) - reach <= (float)(tile->top + tile->height);
}

// --- Floors ---------------------------------------------------------------------------------------------------------

struct crossing {
    float x; // pixels
    uint16_t sector;
};

static int compare_crossings(const void *a, const void *b)
{
    const struct crossing *first = a;
    const struct crossing *second = b;
    return (first->x > second->x) - (first->x < second->x);
}

/// Lines that cross some row of the tile, wherever in the row: the nearest to the left of the tile says what it
/// begins with.
static uint32_t collect_lines(const struct scene *scene, const struct tile *tile, uint32_t *out)
{
    const struct level *level = scene->world->level;
    uint32_t count = 0;
    for (uint32_t i = 0; i < level->line_count; i++) {
        float y1 = line_end(scene, level->lines[i].from).y;
        float y2 = line_end(scene, level->lines[i].to).y;
        if (fmaxf(y1, y2) < (float)tile->top || fminf(y1, y2) > (float)(tile->top + tile->height)) continue;
        if (out != NULL) out[count] = i;
        count++;
    }
    return count;
}

static uint32_t cross_row(const struct scene *scene, const uint32_t *lines, uint32_t count, float y,
                          struct crossing *out)
{
    const struct level *level = scene->world->level;
    uint32_t crossings = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct level_line *line = &level->lines[lines[i]];
        struct spot a = line_end(scene, line->from);
        struct spot b = line_end(scene, line->to);
        if ((a.y < y) == (b.y < y)) continue;
        // y grows downwards here: a line that goes north goes up the picture, with its front to the right.
        uint16_t right = b.y < a.y ? line->front : line->back;
        out[crossings++] = (struct crossing){a.x + (b.x - a.x) * (y - a.y) / (b.y - a.y), right};
    }
    qsort(out, crossings, sizeof *out, compare_crossings);
    return crossings;
}

static void draw_floor_row(const struct scene *scene, struct tile *tile, int32_t row, const struct crossing *crossings,
                           uint32_t count)
{
    uint32_t next = 0;
    uint16_t sector = GRID_VOID;
    struct colour colour = view_sector(&scene->view, sector);
    const float share = 1.0f / (SAMPLES * SAMPLES);
    for (int32_t sample = 0; sample < tile->width * SAMPLES; sample++) {
        float x = (float)tile->left + ((float)sample + 0.5f) / SAMPLES;
        uint32_t before = next;
        while (next < count && crossings[next].x <= x) sector = crossings[next++].sector;
        if (next != before) colour = view_sector(&scene->view, sector);
        struct colour *pixel = &tile->rgb[row * TILE_SIZE + sample / SAMPLES];
        *pixel = (struct colour){pixel->r + colour.r * share, pixel->g + colour.g * share, pixel->b + colour.b * share};
    }
}

static bool draw_floors(fa_worker *w, const struct scene *scene, struct tile *tile)
{
    FA_SCOPE(w);
    uint32_t count = collect_lines(scene, tile, NULL);
    uint32_t *lines = fa_scope_array(w, uint32_t, count + 1u);
    struct crossing *crossings = fa_scope_array(w, struct crossing, count + 1u);
    if (lines == NULL || crossings == NULL) return false;
    (void)collect_lines(scene, tile, lines);
    for (int32_t sample = 0; sample < tile->height * SAMPLES; sample++) {
        float y = (float)tile->top + ((float)sample + 0.5f) / SAMPLES;
        uint32_t found = cross_row(scene, lines, count, y, crossings);
        draw_floor_row(scene, tile, sample / SAMPLES, crossings, found);
    }
    return true;
}

// --- Lines ----------------------------------------------------------------------------------------------------------

struct pen {
    struct colour colour;
    float width;
    float alpha;
};

static bool is_solid(const struct level *level, const struct level_line *line)
{
    if (line->back == LEVEL_NONE) return true;
    const struct level_sector *a = &level->sectors[line->front];
    const struct level_sector *b = &level->sectors[line->back];
    if (a->door != LEVEL_NONE || b->door != LEVEL_NONE) return false;
    int floor = a->floor_height > b->floor_height ? a->floor_height : b->floor_height;
    int ceiling = a->ceiling_height < b->ceiling_height ? a->ceiling_height : b->ceiling_height;
    return ceiling <= floor;
}

static struct pen choose_pen(const struct world *world, const struct level_line *line)
{
    const struct level *level = world->level;
    if (line->back == LEVEL_NONE) return (struct pen){{0.86f, 0.84f, 0.78f}, 1.3f, 0.95f};
    const struct level_sector *a = &level->sectors[line->front];
    const struct level_sector *b = &level->sectors[line->back];
    uint16_t door = a->door != LEVEL_NONE ? a->door : b->door;
    if (door != LEVEL_NONE && a->door != b->door) {
        bool closed = world->closed[door] != 0;
        return (struct pen){closed ? (struct colour){1, 0.45f, 0.2f} : (struct colour){0.95f, 0.75f, 0.3f}, 1.6f,
                            0.95f};
    }
    int step = abs(a->floor_height - b->floor_height);
    if (is_solid(level, line)) return (struct pen){{0.78f, 0.76f, 0.70f}, 1.1f, 0.85f};
    if (step > LEVEL_STEP_MAX) return (struct pen){{0.78f, 0.72f, 0.60f}, 1.0f, 0.50f};
    if (step > 0) return (struct pen){{0.75f, 0.75f, 0.75f}, 0.8f, 0.16f};
    return (struct pen){{0.6f, 0.6f, 0.65f}, 0.8f, 0.06f};
}

static void shade_walls(const struct scene *scene, struct tile *tile)
{
    const struct level *level = scene->world->level;
    for (uint32_t i = 0; i < level->line_count; i++) {
        const struct level_line *line = &level->lines[i];
        struct spot a = line_end(scene, line->from);
        struct spot b = line_end(scene, line->to);
        if (!touches(tile, a, b, SHADOW_RADIUS) || !is_solid(level, line)) continue;
        tile_shade(tile, a, b, SHADOW_RADIUS, 0.55f);
    }
}

/// Faint lines first, so that walls lie over steps where they meet.
static void draw_lines(const struct scene *scene, struct tile *tile)
{
    const struct level *level = scene->world->level;
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; i < level->line_count; i++) {
            const struct level_line *line = &level->lines[i];
            struct spot a = line_end(scene, line->from);
            struct spot b = line_end(scene, line->to);
            if (!touches(tile, a, b, 3)) continue;
            struct pen pen = choose_pen(scene->world, line);
            if ((pen.alpha > 0.7f) == (pass == 1)) tile_segment(tile, a, b, pen.width, pen.colour, pen.alpha);
        }
    }
}

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
    if (touches(glowing->tile, a, b, 3)) tile_glow(glowing->tile, a, b, 1.8f, glowing->colour);
}

static void draw_paths(const fa_worker *w, const struct scene *scene, struct tile *tile)
{
    for (uint32_t i = 0; i < scene->trace_count; i++) {
        const struct trace *trace = &scene->traces[i];
        if (!touches(tile, trace->low, trace->high, 3)) continue;
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
        if (!touches(tile, at, at, 14)) continue;
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
        if (!touches(tile, at, at, radius + 2)) continue;
        tile_disc(tile, at, radius + 0.8f, (struct colour){0.03f, 0.03f, 0.05f}, 0.75f);
        tile_disc(tile, at, radius, view_agent(agent->state), 1);
    }
}

// --- Tiles ----------------------------------------------------------------------------------------------------------

static bool draw_tile(fa_worker *w, struct scene *scene, uint32_t number)
{
    FA_SCOPE(w);
    const size_t pixels = TILE_SIZE * TILE_SIZE;
    struct tile tile = {
        .left = (int32_t)(number % scene->tile_columns * TILE_SIZE),
        .top = (int32_t)(number / scene->tile_columns * TILE_SIZE),
        .width = TILE_SIZE,
        .height = TILE_SIZE,
        .rgb = fa_scope_array(w, struct colour, pixels),
        .glow = fa_scope_array(w, struct colour, pixels),
        .shade = fa_scope_array(w, float, pixels),
    };
    if (tile.rgb == NULL || tile.glow == NULL || tile.shade == NULL) return false;
    memset(tile.rgb, 0, pixels * sizeof *tile.rgb);
    memset(tile.glow, 0, pixels * sizeof *tile.glow);
    memset(tile.shade, 0, pixels * sizeof *tile.shade);
    int32_t width = (int32_t)scene->image->width - tile.left;
    int32_t height = (int32_t)scene->image->height - tile.top;
    if (tile.width > width) tile.width = width;
    if (tile.height > height) tile.height = height;
    if (!draw_floors(w, scene, &tile)) return false;
    shade_walls(scene, &tile);
    draw_paths(w, scene, &tile);
    tile_settle(&tile);
    draw_lines(scene, &tile);
    draw_goals(scene, &tile);
    draw_agents(scene, &tile);
    tile_finish(&tile, scene->image->pixels, scene->image->width * 3);
    return true;
}

static void draw_tiles(fa_worker *w, uint64_t first, uint64_t last, void *context)
{
    struct scene *scene = context;
    for (uint64_t i = first; i < last; i++) {
        if (!draw_tile(w, scene, (uint32_t)i)) world_fault(scene->world, "no scope memory for a tile of the picture");
    }
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

bool render_run(fa_worker *w, struct world *world, struct render_target *target)
{
    struct scene scene = {.world = world, .view = view_of(world, RENDER_SIZE), .image = &target->image};
    target->image = (struct image){.width = scene.view.width, .height = scene.view.height};
    size_t bytes = (size_t)target->image.width * target->image.height * 3;
    target->image.pixels = fa_frame_array(w, uint8_t, bytes);
    if (target->image.pixels == NULL || !find_traces(w, &scene)) {
        world_fault(world, "no frame memory for the picture");
        return false;
    }
    scene.tile_columns = (target->image.width + TILE_SIZE - 1) / TILE_SIZE;
    uint32_t tile_rows = (target->image.height + TILE_SIZE - 1) / TILE_SIZE;
    if (fa_parallel_for(w, 0, (uint64_t)scene.tile_columns * tile_rows, 1, draw_tiles, &scene) != FA_OK) {
        world_fault(world, "the picture could not be drawn");
    }
    return !world_is_faulty(world) && submit_writing(w, world, target);
}
