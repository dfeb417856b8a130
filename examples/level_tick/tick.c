// SPDX-License-Identifier: MIT
//
// See tick.h. In steady state a tick takes all its memory from framealloc and calls the operating system for
// nothing: samples lie in an array made before the first tick, and progress is only shown on a terminal, once a second.
#include "tick.h"

#include "phases.h"
#include "progress.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <time.h>

#define NS_PER_SECOND UINT64_C(1000000000)
#define BLOCK_BYTES (UINT64_C(2) << 20)
/// How long the end may wait until everything dropped is reclaimed, and how long it pauses between two empty
/// frames. Grace periods are found over by a thread in the background, within some ten milliseconds.
#define DRAIN_NS (UINT64_C(10) * NS_PER_SECOND)
#define DRAIN_PAUSE_NS UINT64_C(1000000)
/// What a tick may move of minds.
#define COMPACT_BYTES (UINT64_C(8) << 10)
#define COMPACT_MOVES 64u

static uint64_t now_ns(void)
{
    struct timespec time;
    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * NS_PER_SECOND + (uint64_t)time.tv_nsec;
}

static bool refuse(struct failure *failure, const char *what, fa_status status)
{
    return fail(failure, "%s: %s", what, fa_status_text(status));
}

/// What a phase may hold, bytes: several times what the largest level takes with a million agents, so that only a leak gets there.
static const uint64_t budgets[PHASE_COUNT] = {
    [PHASE_LOAD] = UINT64_C(4) << 30,   [PHASE_STREAM] = UINT64_C(4) << 30, [PHASE_SENSE] = UINT64_C(1) << 30,
    [PHASE_PLAN] = UINT64_C(1) << 30,   [PHASE_MOVE] = UINT64_C(1) << 30,   [PHASE_EVENTS] = UINT64_C(1) << 30,
    [PHASE_RENDER] = UINT64_C(1) << 30,
};

static bool set_budgets(struct run *run, struct failure *failure)
{
    for (uint32_t phase = 0; phase < PHASE_COUNT; phase++) {
        fa_tag tag;
        fa_status status = fa_tag_find(run->fa, phase_names[phase], &tag);
        if (status == FA_OK) status = fa_budget_set(run->fa, tag, budgets[phase] / 4 * 3, budgets[phase]);
        if (status != FA_OK) return refuse(failure, "a budget cannot be set", status);
    }
    return true;
}

static uint64_t round_up(uint64_t bytes, uint64_t unit)
{
    return (bytes + unit - 1) / unit * unit;
}

static bool create_system(const struct options *options, struct run *run, struct failure *failure)
{
    fa_config config = fa_config_default();
    config.frames_in_flight = options->frames_in_flight;
    if (options->workers != OPTIONS_WORKERS_AUTO) config.worker_count = options->workers;
    config.attached_max = 0;
    config.stream_bytes_max = (uint64_t)options->art_budget << 10;
    // Touched before the first tick: for each lane a block in each frame in flight, and three for scopes, pool and
    // handles; four for the level; what planners and minds may come to need; the art, and as much again, because what was
    // evicted waits for its grace period.
    uint64_t lanes = (options->workers != OPTIONS_WORKERS_AUTO ? options->workers : (uint64_t)get_nprocs()) + 1;
    config.prefault_bytes = (lanes * (options->frames_in_flight + 3) + 4) * BLOCK_BYTES;
    config.prefault_bytes += round_up(PLANNERS_BYTES_MAX, BLOCK_BYTES);
    config.prefault_bytes += round_up(minds_bytes(options->agents), BLOCK_BYTES);
    config.prefault_bytes += round_up(2 * config.stream_bytes_max, BLOCK_BYTES);
    // A mind and its trail; each for a moment twice, and what lanes keep at hand.
    if (config.handles_max < 8 * options->agents) config.handles_max = 8 * options->agents;
    fa_status status = fa_create(&config, &run->fa);
    if (status != FA_OK) return refuse(failure, "framealloc cannot start", status);
    if (!set_budgets(run, failure)) return false;
    // A reserve that is refused is routine, and counted.
    (void)fa_suppress(run->fa, "FA402", true);
    run->w = fa_self(run->fa);
    run->workers = fa_worker_count(run->fa);
    run->frames_in_flight = options->frames_in_flight;
    return true;
}

static void *heap_zeroed(fa_worker *w, size_t count, size_t size)
{
    void *memory = fa_heap_alloc(w, count * size, 64);
    if (memory != NULL) memset(memory, 0, count * size);
    return memory;
}

static bool fill_run(const struct options *options, const char *wad_path, struct run *run, struct failure *failure)
{
    if (!load_level(run->w, wad_path, options->map, &run->place, failure)) return false;
    uint32_t things = run->place.level.thing_count;
    uint32_t agents = options->agents > things ? options->agents : things;
    if (!load_world(run->w, &run->place, agents, options->seed, &run->world, failure)) return false;
    uint64_t art_budget = (uint64_t)options->art_budget << 10;
    if (!load_stream(run->w, &run->place, art_budget, &run->stream, failure)) return false;
    run->samples = heap_zeroed(run->w, options->ticks, sizeof *run->samples);
    run->pictures = heap_zeroed(run->w, FA_FRAMES_IN_FLIGHT_MAX, sizeof *run->pictures);
    run->picture_names = heap_zeroed(run->w, FA_FRAMES_IN_FLIGHT_MAX, sizeof *run->picture_names);
    for (uint32_t i = 0; run->pictures != NULL && i < FA_FRAMES_IN_FLIGHT_MAX; i++) {
        run->pictures[i].output = OUTPUT_CLOSED;
    }
    if (run->samples != NULL && run->pictures != NULL && run->picture_names != NULL) return true;
    return fail(failure, "no memory for %u ticks", options->ticks);
}

static bool load(const struct options *options, const char *wad_path, struct run *run, struct failure *failure)
{
    FA_PHASE(run->w, phase_names[PHASE_LOAD]);
    FA_TAG(run->w, phase_names[PHASE_LOAD]);
    return fill_run(options, wad_path, run, failure);
}

bool run_begin(const struct options *options, const char *wad_path, struct run *run, struct failure *failure)
{
    if (!create_system(options, run, failure)) return false;
    fa_status status = fa_frame_begin(run->fa);
    if (status != FA_OK) return refuse(failure, "the first frame cannot begin", status);
    bool good = load(options, wad_path, run, failure);
    status = fa_frame_end(run->fa, NULL);
    if (good && status != FA_OK) return refuse(failure, "the first frame cannot end", status);
    return good;
}

/// FILE-000120.png for FILE.png.
static bool number_name(const char *path, uint32_t tick, char *out, size_t size)
{
    const char *dot = strrchr(path, '.');
    const char *slash = strrchr(path, '/');
    if (dot == NULL || (slash != NULL && dot < slash)) dot = path + strlen(path);
    int length = snprintf(out, size, "%.*s-%06u%s", (int)(dot - path), path, tick, dot);
    return length > 0 && (size_t)length < size;
}

/// A fault is found when the tick has ended. A drawing ranks textures as it needs them, so the camera does it anew.
static void render(struct run *run, struct render_target *target)
{
    (void)render_run(run->w, &run->world, &run->stream.gallery, target);
    run->stream.ranked = false;
}

static bool draw_numbered(const struct options *options, struct run *run, struct failure *failure)
{
    // The ring is as long as frames can be in flight: the slot's last picture is written.
    uint32_t slot = run->world.tick / options->png_every % FA_FRAMES_IN_FLIGHT_MAX;
    struct render_target *target = &run->pictures[slot];
    if (target->failure.text[0] != '\0') return fail(failure, "%s", target->failure.text);
    char *name = run->picture_names[slot];
    if (!number_name(options->png, run->world.tick, name, sizeof *run->picture_names)) {
        return fail(failure, "the name of a picture is too long");
    }
    *target = (struct render_target){.commit = true};
    if (!output_open(name, &target->output, failure)) return false;
    render(run, target);
    return true;
}

static bool is_numbered(const struct options *options, uint32_t tick)
{
    return options->png != NULL && options->png_every != 0 && tick % options->png_every == 0;
}

static bool is_last(const struct options *options, uint32_t tick)
{
    return options->png != NULL && tick == options->ticks;
}

static bool draw(const struct options *options, struct run *run, struct failure *failure)
{
    uint32_t tick = run->world.tick;
    FA_PHASE(run->w, phase_names[PHASE_RENDER]);
    FA_TAG(run->w, phase_names[PHASE_RENDER]);
    if (world_is_faulty(&run->world)) return true;
    if (is_numbered(options, tick) && !draw_numbered(options, run, failure)) return false;
    if (is_last(options, tick)) render(run, &run->picture);
    return true;
}

/// Every promotion must have gone where it was meant to.
static void check_promotions(struct run *run, const fa_frame_result *result)
{
    run->failed_promotions += result->failed;
    for (uint32_t i = 0; i < result->count; i++) {
        const fa_promotion *item = &result->items[i];
        bool good = item->status == FA_PROMOTED && item->destination == FA_RETAIN_POOL &&
                    item->user < run->world.paths.count && item->cell == &run->world.paths.cells[item->user];
        if (!good) tally(&run->world.tallies.corrupt, 1);
    }
}

static bool check_health(const struct run *run, struct failure *failure)
{
    const struct world *world = &run->world;
    uint64_t corrupt = __atomic_load_n(&world->tallies.corrupt, __ATOMIC_RELAXED);
    if (world_is_faulty(world)) return fail(failure, "tick %u failed: %s", world->tick, world->fault);
    if (run->failed_promotions > 0) return fail(failure, "tick %u failed: a path could not be promoted", world->tick);
    if (corrupt == 0) return true;
    return fail(failure, "tick %u failed: %llu paths or events were damaged", world->tick, (unsigned long long)corrupt);
}

/// Between ticks nobody has the address of a mind.
static fa_status compact(struct run *run)
{
    fa_handle_compaction done;
    fa_status status = fa_handles_compact(run->fa, COMPACT_BYTES, COMPACT_MOVES, &done);
    if (status != FA_OK) return status;
    run->compaction.moves += done.moves;
    run->compaction.bytes += done.bytes;
    run->compaction.blocks += done.blocks;
    run->compaction.unfinished += done.more;
    return FA_OK;
}

static bool run_tick(const struct options *options, struct run *run, struct failure *failure)
{
    fa_frame_result result;
    fa_status status = fa_frame_begin(run->fa);
    if (status != FA_OK) return refuse(failure, "a frame cannot begin", status);
    bool good = phases_run(run->w, &run->world, &run->stream) && draw(options, run, failure);
    status = fa_frame_end(run->fa, &result);
    if (status != FA_OK) return refuse(failure, "a frame cannot end", status);
    check_promotions(run, &result);
    if (!good && failure->text[0] != '\0') return false;
    if (!check_health(run, failure)) return false;
    status = compact(run);
    return status == FA_OK || refuse(failure, "minds cannot be moved together", status);
}

/// Sleeps until the next tick is due; meanwhile the main lane holds nobody up.
static bool pace(const struct run *run, uint64_t due, struct failure *failure)
{
    if (now_ns() >= due) return true;
    fa_status status = fa_idle_begin(run->w);
    if (status != FA_OK) return refuse(failure, "the main lane cannot pause", status);
    struct timespec until = {.tv_sec = (time_t)(due / NS_PER_SECOND), .tv_nsec = (long)(due % NS_PER_SECOND)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR && now_ns() < due) continue;
    status = fa_idle_end(run->w);
    return status == FA_OK || refuse(failure, "the main lane cannot go on", status);
}

bool run_ticks(const struct options *options, struct run *run, const volatile sig_atomic_t *stop,
               struct failure *failure)
{
    struct progress progress = progress_begin(options->ticks);
    uint64_t begin = now_ns();
    uint64_t due = begin;
    bool good = true;
    failure->text[0] = '\0';
    while (good && run->ticks < options->ticks && !*stop) {
        uint64_t from = now_ns();
        good = run_tick(options, run, failure);
        uint64_t to = now_ns();
        run->ticks++;
        // A picture takes as long as hundreds of ticks and says nothing about them.
        bool drawn = is_numbered(options, run->ticks) || is_last(options, run->ticks);
        if (!drawn) run->samples[run->sample_count++] = to - from;
        progress_show(&progress, run->ticks, to);
        if (options->hz == 0 || !good) continue;
        // A tick that took too long is not caught up with.
        due += NS_PER_SECOND / options->hz;
        if (due < to) due = to;
        good = pace(run, due, failure);
    }
    run->wall_ns = now_ns() - begin;
    progress_end(&progress);
    return good;
}

/// Ends the world, if there is one still, and the level with it.
static fa_status take_down(struct run *run)
{
    if (!fa_group_exists(run->w, run->place.group)) return FA_OK;
    fa_status status = world_drop(run->w, &run->world);
    load_free(run->w, &run->place);
    return status;
}

/// Ends everything that is kept for ticks to come, and the level with all that lies on it.
static fa_status let_go(struct run *run)
{
    fa_status status = fa_frame_begin(run->fa);
    if (status != FA_OK) return status;
    status = phases_let_go(run->w, &run->world);
    fa_status end = fa_frame_end(run->fa, NULL);
    gallery_clear(run->w, &run->stream.gallery);
    fa_status down = take_down(run);
    if (status == FA_OK) status = end;
    return status == FA_OK ? down : status;
}

static fa_status empty_frame(struct run *run)
{
    fa_frame_result result;
    fa_status status = fa_frame_begin(run->fa);
    if (status == FA_OK) status = fa_frame_end(run->fa, &result);
    if (status != FA_OK) return status;
    check_promotions(run, &result);
    status = fa_stats_read(run->fa, &run->stats);
    return status == FA_OK ? fa_handle_stats_read(run->fa, &run->handles) : status;
}

/// Runs as many empty frames as can be in flight: then every frame of a tick has retired.
static fa_status drain(struct run *run)
{
    fa_status status = FA_OK;
    for (uint32_t i = 0; status == FA_OK && i <= run->frames_in_flight; i++) status = empty_frame(run);
    return status;
}

/// Goes on until everything dropped has been reclaimed and the level's memory is home, or for too long.
static bool drain_backlog(struct run *run, struct failure *failure)
{
    uint64_t until = now_ns() + DRAIN_NS;
    while (run->stats.backlog + run->stats.group_objects > 0 && now_ns() < until) {
        if (!pace(run, now_ns() + DRAIN_PAUSE_NS, failure)) return false;
        fa_status status = empty_frame(run);
        if (status != FA_OK) return refuse(failure, "the last frames cannot end", status);
    }
    return true;
}

/// What each phase allocated in all frames, and what its tag still holds.
static fa_status read_phases(struct run *run)
{
    fa_phase_stats totals[PHASE_COUNT];
    uint32_t count;
    fa_status status = fa_phase_totals_read(run->fa, totals, PHASE_COUNT, &count);
    for (uint32_t phase = 0; status == FA_OK && phase < PHASE_COUNT; phase++) {
        for (uint32_t i = 0; i < count && i < PHASE_COUNT; i++)
            if (strcmp(totals[i].path, phase_names[phase]) == 0) run->phases[phase] = totals[i];
        fa_tag tag;
        status = fa_tag_find(run->fa, phase_names[phase], &tag);
        if (status == FA_OK) status = fa_tag_stats_read(run->fa, tag, &run->tags[phase]);
    }
    return status;
}

bool run_end(struct run *run, struct failure *failure)
{
    run->checksum = world_digest(run->w, &run->world);
    fa_status status = drain(run);
    if (status != FA_OK) return refuse(failure, "the last frames cannot end", status);
    status = read_phases(run);
    if (status == FA_OK) status = fa_snapshot_take(run->fa, &run->snapshot);
    if (status == FA_OK) status = fa_stream_stats_read(run->fa, &run->streams);
    if (status == FA_OK) status = fa_group_read(run->w, run->place.group, &run->level_group);
    if (status != FA_OK) return refuse(failure, "the phases cannot be read", status);
    run->planners = planners_sum(run->w, run->world.planners);
    fa_stats at_end = run->stats;
    fa_handle_stats handles_at_end = run->handles;
    status = let_go(run);
    if (status == FA_OK) status = drain(run);
    if (status != FA_OK) return refuse(failure, "the world cannot be taken down", status);
    if (!drain_backlog(run, failure)) return false;
    run->leaked = run->stats.pool_live + run->handles.live + run->stats.groups + run->stats.group_objects;
    run->stats = at_end;
    run->handles = handles_at_end;
    for (uint32_t i = 0; i < FA_FRAMES_IN_FLIGHT_MAX; i++) {
        if (run->pictures[i].failure.text[0] != '\0') return fail(failure, "%s", run->pictures[i].failure.text);
    }
    if (run->leaked > 0) return fail(failure, "%llu objects were never freed", (unsigned long long)run->leaked);
    return check_health(run, failure);
}

void run_destroy(struct run *run)
{
    if (run->fa != NULL) {
        for (uint32_t i = 0; run->pictures != NULL && i < FA_FRAMES_IN_FLIGHT_MAX; i++) {
            output_abandon(&run->pictures[i].output);
        }
        fa_heap_free(run->w, run->samples);
        fa_heap_free(run->w, run->pictures);
        fa_heap_free(run->w, run->picture_names);
        gallery_clear(run->w, &run->stream.gallery);
        (void)take_down(run);
        (void)fa_destroy(run->fa);
        run->fa = NULL;
    }
}
