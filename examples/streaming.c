// SPDX-License-Identifier: MIT
//
// Texture streaming: a world of tiles with a texture each, eight times what the budget holds. A camera moves over it. In every tick
//
//     the main thread   asks for the textures near the camera, the nearest with the highest priority; what the camera left behind
//                       has the lowest and is evicted when there is no room
//     an I/O thread     loads what was asked for in steps, as a disk would deliver it
//     all workers       draw what is ready; a tile that is not gets a placeholder
//
// The program checks every texel that it draws, that the budget holds, and that the view is complete once the camera rests.
#include <framealloc/framealloc.h>

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    side = 20, // tiles
    tile_count = side * side,
    texture_bytes = 64 * 1024,
    budget_bytes = tile_count * texture_bytes / 8,
    load_steps = 4,
    view = 3, // tiles from the camera that are asked for
    ticks = 400,
    rest_ticks_max = 20000,
};

struct tile {
    fa_stream stream; // {0}: none. Owner: the main thread; jobs read it
    uint32_t number;
};

/// What the main thread asks the I/O thread for.
struct request {
    fa_stream stream;
    uint32_t number;
};

struct world {
    fa_system *fa;
    // owner: the main thread
    struct tile tiles[tile_count];
    int camera_x, camera_y;
    uint32_t evicted;
    struct tile *drawn[(2 * view + 1) * (2 * view + 1)]; // in this tick
    uint32_t draw_count;
    // shared
    struct request requests[1024]; // a ring: one writes, one reads
    atomic_uint asked, taken;
    atomic_bool stop;
    atomic_uint textures, placeholders, wrong;
};

static void pause_us(long us)
{
    nanosleep(&(struct timespec){0, us * 1000}, NULL);
}

static uint64_t texel(uint32_t number, size_t at)
{
    return (number + 1) * UINT64_C(0x9e3779b97f4a7c15) ^ at;
}

// The I/O thread --------------------------------------------------------------------------------------------------------

static void read_from_disk(uint64_t *texels, uint32_t number, size_t first, size_t last)
{
    for (size_t i = first; i < last; i++) texels[i] = texel(number, i);
    pause_us(20);
}

/// False: somebody freed the stream meanwhile.
static bool load(fa_worker *w, const struct request *request)
{
    const size_t texels = texture_bytes / sizeof(uint64_t);
    void *memory;
    if (fa_stream_load_begin(w, request->stream, &memory) != FA_OK) return false;
    for (size_t step = 0; step < load_steps; step++) {
        fa_idle_begin(w); // a disk is slow: nobody must wait for this thread meanwhile
        read_from_disk(memory, request->number, texels * step / load_steps, texels * (step + 1) / load_steps);
        fa_idle_end(w);
        if (fa_stream_progress(w, request->stream, texture_bytes * (step + 1) / load_steps) != FA_OK) return false;
    }
    return fa_stream_load_end(w, request->stream) == FA_OK;
}

static void *serve_requests(void *arg)
{
    struct world *world = arg;
    fa_worker *w;
    if (fa_attach(world->fa, &w) != FA_OK) return world;
    while (!atomic_load(&world->stop)) {
        unsigned taken = atomic_load(&world->taken);
        if (taken == atomic_load(&world->asked)) {
            fa_idle_begin(w);
            pause_us(50);
            fa_idle_end(w);
            continue;
        }
        struct request request = world->requests[taken % 1024];
        atomic_store(&world->taken, taken + 1);
        (void)load(w, &request);
        fa_quiescent(w);
    }
    return fa_detach(w) == FA_OK ? NULL : world;
}

// The main thread -------------------------------------------------------------------------------------------------------

static int distance(const struct world *world, uint32_t number)
{
    int x = abs((int)number % side - world->camera_x), y = abs((int)number / side - world->camera_y);
    return x > y ? x : y;
}

static fa_stream_priority priority_at(int distance)
{
    if (distance <= 1) return FA_STREAM_CRITICAL;
    if (distance <= 2) return FA_STREAM_HIGH;
    return distance <= view ? FA_STREAM_NORMAL : FA_STREAM_LOW;
}

static struct world *world_of;

/// Runs inside the reserve that needs the place.
static void forget(fa_worker *w, const fa_stream_eviction *eviction)
{
    (void)w;
    struct tile *tile = eviction->user;
    tile->stream = (fa_stream){0};
    world_of->evicted++;
}

static void ask_for(fa_worker *w, struct world *world, struct tile *tile)
{
    fa_stream_options options = {.name = "texture", .user = tile, .evict = forget};
    fa_stream_priority priority = priority_at(distance(world, tile->number));
    if (atomic_load(&world->asked) - atomic_load(&world->taken) == 1024) return;
    if (fa_stream_reserve(w, texture_bytes, priority, &options, &tile->stream) != FA_OK)
        return; // again in the next tick
    unsigned asked = atomic_load(&world->asked);
    world->requests[asked % 1024] = (struct request){tile->stream, tile->number};
    atomic_store(&world->asked, asked + 1);
}

/// Tells the library what matters now, and asks for what is missing, nearest first.
static void update_streams(fa_worker *w, struct world *world)
{
    for (uint32_t i = 0; i < tile_count; i++)
        if (world->tiles[i].stream.bits != 0)
            (void)fa_stream_set_priority(w, world->tiles[i].stream, priority_at(distance(world, i)));
    world->draw_count = 0;
    for (int ring = 0; ring <= view; ring++) {
        for (uint32_t i = 0; i < tile_count; i++) {
            if (distance(world, i) != ring) continue;
            if (world->tiles[i].stream.bits == 0) ask_for(w, world, &world->tiles[i]);
            world->drawn[world->draw_count++] = &world->tiles[i];
        }
    }
}

static void draw(fa_worker *w, uint64_t first, uint64_t last, void *arg)
{
    struct world *world = arg;
    for (uint64_t i = first; i < last; i++) {
        const struct tile *tile = world->drawn[i];
        size_t size;
        const uint64_t *texels = NULL; // stays until this job ends, evicted or not
        if (tile->stream.bits != 0) texels = fa_stream_read(w, tile->stream, &size); // else there was no room yet
        if (texels == NULL) {
            atomic_fetch_add(&world->placeholders, 1u);
            continue;
        }
        bool right = size == texture_bytes;
        for (size_t at = 0; right && at < size / sizeof *texels; at++) right = texels[at] == texel(tile->number, at);
        atomic_fetch_add(right ? &world->textures : &world->wrong, 1u);
    }
}

/// An upload that goes on over several ticks would keep its texture by a pin; this one is over at the end of the block.
static void upload(fa_worker *w, void *arg)
{
    struct world *world = arg;
    if (world->drawn[0]->stream.bits == 0) return;
    FA_STREAM_PINNED(w, world->drawn[0]->stream, texture);
    if (texture.data == NULL) return;
    const uint64_t *texels = texture.data;
    if (texels[texture.size / sizeof *texels - 1] != texel(world->drawn[0]->number, texture.size / sizeof *texels - 1))
        atomic_fetch_add(&world->wrong, 1u);
}

static fa_status run_tick(struct world *world)
{
    fa_worker *w = fa_self(world->fa);
    fa_status status = fa_frame_begin(world->fa);
    if (status != FA_OK) return status;
    update_streams(w, world);
    status = fa_submit(w, upload, world);
    if (status == FA_OK) status = fa_parallel_for(w, 0, world->draw_count, 1, draw, world);
    fa_status ended = fa_frame_end(world->fa, NULL);
    fa_stream_stats stats = {0};
    if (status == FA_OK) status = fa_stream_stats_read(world->fa, &stats);
    if (status == FA_OK && (stats.reserved_bytes > budget_bytes || stats.reserved_peak > budget_bytes)) {
        fprintf(stderr, "streaming: %" PRIu64 " bytes reserved of %d\n", stats.reserved_bytes, budget_bytes);
        return FA_ERROR_FULL;
    }
    return status != FA_OK ? status : ended;
}

/// Around the world, then a rest. Answers whether the last view was complete.
static bool run_ticks(struct world *world, fa_status *status)
{
    for (int tick = 0; tick < ticks && *status == FA_OK; tick++) {
        int step = tick * 4 * side / ticks; // along the four sides
        int along = step % side;
        world->camera_x = step < side ? along : step < 2 * side ? side - 1 : step < 3 * side ? side - 1 - along : 0;
        world->camera_y = step < side ? 0 : step < 2 * side ? along : step < 3 * side ? side - 1 : side - 1 - along;
        *status = run_tick(world);
        pause_us(200);
    }
    world->camera_x = world->camera_y = side / 2;
    for (int tick = 0; tick < rest_ticks_max && *status == FA_OK; tick++) {
        unsigned before = atomic_load(&world->placeholders);
        *status = run_tick(world);
        if (atomic_load(&world->placeholders) == before) return true;
        pause_us(200);
    }
    return false;
}

static void free_streams(struct world *world)
{
    for (uint32_t i = 0; i < tile_count; i++)
        if (world->tiles[i].stream.bits != 0) (void)fa_stream_free(fa_self(world->fa), world->tiles[i].stream);
}

static fa_status run(struct world *world)
{
    pthread_t thread;
    void *failed = NULL;
    if (pthread_create(&thread, NULL, serve_requests, world) != 0) return FA_ERROR_THREAD;
    fa_status status = FA_OK;
    bool complete = run_ticks(world, &status);
    atomic_store(&world->stop, true);
    pthread_join(thread, &failed);
    free_streams(world);
    fa_stream_stats stats = {0};
    if (status == FA_OK) status = fa_stream_stats_read(world->fa, &stats);
    printf("%d tiles, budget for %d: %u textures drawn, %u placeholders, %u evicted, most in use %.0f %%\n", tile_count,
           budget_bytes / texture_bytes, atomic_load(&world->textures), atomic_load(&world->placeholders),
           world->evicted, 100.0 * (double)stats.reserved_peak / budget_bytes);
    bool right = complete && failed == NULL && atomic_load(&world->wrong) == 0 && world->evicted > 0 &&
                 stats.evictions == world->evicted && stats.reserved_bytes == 0 && stats.streams == 0;
    return status == FA_OK && !right ? FA_ERROR_STATE : status;
}

/// A refused reserve is routine here, the next tick asks again; anything else is a mistake.
static void report(const fa_diagnostic *diagnostic, void *context)
{
    struct world *world = context;
    if (strcmp(diagnostic->code, "FA402") == 0) return;
    fprintf(stderr, "streaming: %s %s\n", diagnostic->code, diagnostic->message);
    atomic_fetch_add(&world->wrong, 1u);
}

int main(void)
{
    static struct world world;
    fa_config config = fa_config_default();
    config.stream_bytes_max = budget_bytes;
    config.report = report;
    config.report_context = &world;
    world_of = &world;
    for (uint32_t i = 0; i < tile_count; i++) world.tiles[i].number = i;
    fa_status status = fa_create(&config, &world.fa);
    if (status == FA_OK) status = run(&world);
    fa_status destroyed = fa_destroy(world.fa);
    if (status == FA_OK) status = destroyed;
    if (status == FA_OK && atomic_load(&world.wrong) == 0) return 0;
    fprintf(stderr, "streaming: %s, %u things wrong\n", fa_status_text(status), atomic_load(&world.wrong));
    return 1;
}
