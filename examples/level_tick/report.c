// SPDX-License-Identifier: MIT
//
// See report.h.
#include "report.h"

#include "events.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static int compare_samples(const void *a, const void *b)
{
    uint64_t first = *(const uint64_t *)a;
    uint64_t second = *(const uint64_t *)b;
    return (first > second) - (first < second);
}

/// Nearest rank: the smallest sample that at least `share` of all do not exceed.
static double percentile_ms(const uint64_t *sorted, uint32_t count, uint32_t per_mille)
{
    uint64_t rank = ((uint64_t)count * per_mille + 999) / 1000;
    return count == 0 ? 0 : (double)sorted[rank > 0 ? rank - 1 : 0] / 1e6;
}

static double cpu_seconds(void)
{
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) != 0) return 0;
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static uint64_t resident_peak(void)
{
    FILE *status = fopen("/proc/self/status", "r");
    if (status == NULL) return 0;
    char line[256];
    uint64_t kib = 0;
    while (fgets(line, sizeof line, status) != NULL) {
        if (strncmp(line, "VmHWM:", 6) == 0) kib = strtoull(line + 6, NULL, 10);
    }
    (void)fclose(status);
    return kib * 1024;
}

struct report report_make(const struct options *options, struct run *run)
{
    struct report report = {.run = run, .options = options, .seconds = (double)run->wall_ns / 1e9};
    qsort(run->samples, run->sample_count, sizeof *run->samples, compare_samples);
    report.ticks_per_second = report.seconds > 0 ? run->ticks / report.seconds : 0;
    report.p50_ms = percentile_ms(run->samples, run->sample_count, 500);
    report.p99_ms = percentile_ms(run->samples, run->sample_count, 990);
    report.p999_ms = percentile_ms(run->samples, run->sample_count, 999);
    report.longest_ms = percentile_ms(run->samples, run->sample_count, 1000);
    report.cpu_seconds = cpu_seconds();
    report.resident_peak = resident_peak();
    for (uint32_t phase = 0; phase < PHASE_COUNT; phase++) {
        const fa_phase_stats *stats = &run->phases[phase];
        uint64_t sum = stats->frame_bytes + stats->pool_bytes + stats->heap_bytes;
        bool each_tick = phase != PHASE_LOAD && phase != PHASE_RENDER;
        report.phase_bytes[phase] = each_tick && run->ticks > 0 ? sum / run->ticks : sum;
    }
    return report;
}

// --- Text -----------------------------------------------------------------------------------------------------------

/// A number of bytes in the largest unit that it fills.
static const char *bytes_text(uint64_t bytes, char out[32])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB"};
    double value = (double)bytes;
    size_t unit = 0;
    for (; value >= 1024 && unit + 1 < sizeof units / sizeof *units; unit++) value /= 1024;
    (void)snprintf(out, 32, unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
    return out;
}

static void print_world(const struct report *report)
{
    const struct world *world = &report->run->world;
    const struct level *level = world->level;
    printf("level      %s: %u lines, %u sectors, %u things, %u doors; %u cells to walk in %u areas\n", level->name,
           level->line_count, level->sector_count, level->thing_count, level->door_count, world->regions->open_count,
           world->regions->area_count);
    printf("run        %u agents, %u ticks, seed %" PRIu64 ", %u workers, %u frame%s in flight\n", world->agent_count,
           report->run->ticks, world->seed, report->run->workers, report->run->frames_in_flight,
           report->run->frames_in_flight == 1 ? "" : "s");
    const fa_group_info *group = &report->run->level_group;
    char text[32];
    printf("group      %s: %" PRIu64 " objects of the level, %s, freed at once\n", group->name, group->objects,
           bytes_text(group->bytes, text));
}

static void print_speed(const struct report *report)
{
    printf("speed      %.1f ticks a second, %.2f CPU seconds\n", report->ticks_per_second, report->cpu_seconds);
    printf("tick       p50 %.2f ms, p99 %.2f ms, p99.9 %.2f ms, longest %.2f ms\n", report->p50_ms, report->p99_ms,
           report->p999_ms, report->longest_ms);
}

static void print_phases(const struct report *report)
{
    char text[32];
    printf("bytes      ");
    for (uint32_t phase = PHASE_SENSE; phase <= PHASE_EVENTS; phase++) {
        printf("%s%s %s", phase == PHASE_SENSE ? "" : ", ", phase_names[phase],
               bytes_text(report->phase_bytes[phase], text));
    }
    printf(" a tick; load %s", bytes_text(report->phase_bytes[PHASE_LOAD], text));
    printf(", render %s\n", bytes_text(report->phase_bytes[PHASE_RENDER], text));
}

static void print_library(const struct report *report)
{
    const fa_stats *stats = &report->run->stats;
    char peak[32];
    char resident[32];
    printf("jobs       %" PRIu64 " run, %" PRIu64 " stolen, %" PRIu64 " run at submit; %" PRIu64 " parks, %" PRIu64
           " wakes\n",
           stats->jobs, stats->steals, stats->jobs_inline, stats->parks, stats->wakes);
    printf("pool       %" PRIu64 " allocations, %" PRIu64 " freed by another lane, %" PRIu64 " live\n",
           stats->pool_allocs, stats->remote_frees, stats->pool_live);
    // Retired are paths that were replaced or dropped, minds and trails that ended, and the old copies of moved ones.
    printf("promotion  %" PRIu64 " paths promoted; %" PRIu64 " objects retired, %" PRIu64 " reclaimed, backlog %" PRIu64
           "\n",
           stats->promoted, stats->retired, stats->reclaimed, stats->backlog);
    printf("memory     peak %s in blocks, %s resident\n", bytes_text(stats->memory_peak, peak),
           report->resident_peak == 0 ? "unknown" : bytes_text(report->resident_peak, resident));
}

static void print_crowd(const struct report *report)
{
    const struct tallies *tallies = &report->run->world.tallies;
    printf("paths      %" PRIu64 " searched, %" PRIu64 " read, %" PRIu64 " verified to the last byte, %" PRIu64
           " dropped, %u live\n",
           tallies->path_searches, tallies->path_reads, tallies->audits, tallies->path_drops,
           report->run->world.paths.live);
    printf("events    ");
    for (uint32_t kind = 0; kind < EVENT_KINDS; kind++) {
        printf("%s %" PRIu64 " %s", kind == 0 ? "" : ",", tallies->events[kind], event_names[kind]);
    }
    printf("; %" PRIu64 " rays\n", tallies->rays);
}

static void print_planners(const struct report *report)
{
    const struct planner_totals *sum = &report->run->planners;
    char used[32];
    char capacity[32];
    printf("attempts   %" PRIu64 " straight, %" PRIu64 " near, %" PRIu64 " on the whole level; %" PRIu64
           " rolled back\n",
           sum->kept[ATTEMPT_STRAIGHT], sum->kept[ATTEMPT_NEAR], sum->kept[ATTEMPT_WHOLE], sum->rolled_back);
    printf("planners   %u pools, %s of %s in use; nodes reused %" PRIu64 " times, too many %" PRIu64 " times; %" PRIu64
           " resets\n",
           PLANNER_COUNT, bytes_text(sum->pool_bytes, used), bytes_text(sum->pool_capacity, capacity), sum->reused,
           sum->too_large, sum->resets);
}

static void print_minds(const struct report *report)
{
    const struct tallies *tallies = &report->run->world.tallies;
    const fa_handle_stats *handles = &report->run->handles;
    const struct compaction *compaction = &report->run->compaction;
    char live[32];
    char moved[32];
    printf("minds      %" PRIu64 " begun, %" PRIu64 " ended; %" PRIu64 " objects live in %s; led %" PRIu64
           " times, %" PRIu64 " leaders gone\n",
           tallies->minds_begun, tallies->minds_ended, handles->live, bytes_text(handles->live_bytes, live),
           tallies->led, tallies->leaders_gone);
    printf("compaction %" PRIu64 " moves of %s emptied %" PRIu64 " blocks of %" PRIu64 " that are left; %" PRIu64
           " ticks used up their budget\n",
           compaction->moves, bytes_text(compaction->bytes, moved), compaction->blocks, handles->blocks,
           compaction->unfinished);
}

static void print_stream(const struct report *report)
{
    const struct run *run = report->run;
    const struct gallery_tally *tally = &run->stream.gallery.tally;
    char art[32];
    char budget[32];
    char peak[32];
    printf("art        %u pictures, %s, %u missing; %s budget, %s at most\n", run->place.art.count,
           bytes_text(run->place.art.bytes, art), run->place.art.missing, bytes_text(run->streams.budget, budget),
           bytes_text(run->streams.reserved_peak, peak));
    printf("stream     %" PRIu64 " loads, %" PRIu64 " evicted, %" PRIu64 " refused, %" PRIu64 " given up, %" PRIu64
           " damaged; %" PRIu64 " drawn plain\n",
           tally->loads, run->streams.evictions, run->streams.refused, tally->given_up, tally->damaged, tally->plain);
}

void report_print(const struct report *report)
{
    print_world(report);
    print_speed(report);
    print_library(report);
    print_crowd(report);
    print_planners(report);
    print_minds(report);
    print_phases(report);
    print_stream(report);
    printf("checksum   %016" PRIx64 "\n", report->run->checksum);
}

// --- JSON -----------------------------------------------------------------------------------------------------------

#ifdef LEVEL_TICK_JANSSON

#include <jansson.h>

bool report_has_json(void)
{
    return true;
}

static json_int_t integer(uint64_t value)
{
    return value > INT64_MAX ? INT64_MAX : (json_int_t)value;
}

static json_t *world_json(const struct report *report)
{
    const struct world *world = &report->run->world;
    char checksum[20];
    (void)snprintf(checksum, sizeof checksum, "%016" PRIx64, report->run->checksum);
    return json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s}", "map", world->level->name, "lines",
                     integer(world->level->line_count), "sectors", integer(world->level->sector_count), "things",
                     integer(world->level->thing_count), "agents", integer(world->agent_count), "ticks",
                     integer(report->run->ticks), "seed", integer(world->seed), "workers",
                     integer(report->run->workers), "frames_in_flight", integer(report->run->frames_in_flight),
                     "checksum", checksum);
}

static json_t *tick_json(const struct report *report)
{
    return json_pack("{s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "seconds", report->seconds, "ticks_per_second",
                     report->ticks_per_second, "cpu_seconds", report->cpu_seconds, "tick_p50_ms", report->p50_ms,
                     "tick_p99_ms", report->p99_ms, "tick_p999_ms", report->p999_ms, "tick_longest_ms",
                     report->longest_ms);
}

static json_t *library_json(const struct report *report)
{
    const fa_stats *stats = &report->run->stats;
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "jobs",
                     integer(stats->jobs), "jobs_inline", integer(stats->jobs_inline), "steals", integer(stats->steals),
                     "parks", integer(stats->parks), "wakes", integer(stats->wakes), "pool_allocs",
                     integer(stats->pool_allocs), "pool_live", integer(stats->pool_live), "remote_frees",
                     integer(stats->remote_frees), "promoted", integer(stats->promoted), "promoted_bytes",
                     integer(stats->promoted_bytes), "retired", integer(stats->retired), "reclaimed",
                     integer(stats->reclaimed), "backlog", integer(stats->backlog), "memory_peak_bytes",
                     integer(stats->memory_peak), "resident_peak_bytes", integer(report->resident_peak));
}

/// What lived as long as the level.
static json_t *group_json(const struct report *report)
{
    const fa_group_info *group = &report->run->level_group;
    return json_pack("{s:s, s:I, s:I}", "name", group->name, "objects", integer(group->objects), "bytes",
                     integer(group->bytes));
}

static json_t *stream_json(const struct report *report)
{
    const struct run *run = report->run;
    const struct gallery_tally *tally = &run->stream.gallery.tally;
    return json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "pictures", integer(run->place.art.count), "missing",
        integer(run->place.art.missing), "bytes", integer(run->place.art.bytes), "budget", integer(run->streams.budget),
        "peak_bytes", integer(run->streams.reserved_peak), "loads", integer(tally->loads), "evictions",
        integer(run->streams.evictions), "refused", integer(run->streams.refused), "given_up", integer(tally->given_up),
        "damaged", integer(tally->damaged), "drawn_plain", integer(tally->plain));
}

/// What was allocated in each phase over the whole run, its time on the main lane, and what its tag held at most.
static json_t *phases_json(const struct report *report)
{
    json_t *phases = json_object();
    for (uint32_t phase = 0; phase < PHASE_COUNT; phase++) {
        const fa_phase_stats *stats = &report->run->phases[phase];
        const fa_tag_stats *tag = &report->run->tags[phase];
        json_t *of_phase = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "frame_bytes", integer(stats->frame_bytes),
                                     "pool_bytes", integer(stats->pool_bytes), "pool_allocs",
                                     integer(stats->pool_allocs), "heap_bytes", integer(stats->heap_bytes), "ns",
                                     integer(stats->ns), "budget", integer(tag->hard), "peak_bytes",
                                     integer(tag->peak));
        (void)json_object_set_new(phases, phase_names[phase], of_phase);
    }
    return phases;
}

static json_t *crowd_json(const struct report *report)
{
    const struct tallies *tallies = &report->run->world.tallies;
    json_t *crowd = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "path_searches", integer(tallies->path_searches),
                              "path_reads", integer(tallies->path_reads), "paths_verified", integer(tallies->audits),
                              "path_drops", integer(tallies->path_drops), "corrupt", integer(tallies->corrupt), "rays",
                              integer(tallies->rays));
    for (uint32_t kind = 0; kind < EVENT_KINDS; kind++) {
        (void)json_object_set_new(crowd, event_names[kind], json_integer(integer(tallies->events[kind])));
    }
    return crowd;
}

static json_t *minds_json(const struct report *report)
{
    const struct tallies *tallies = &report->run->world.tallies;
    const fa_handle_stats *handles = &report->run->handles;
    const struct compaction *compaction = &report->run->compaction;
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "begun",
                     integer(tallies->minds_begun), "ended", integer(tallies->minds_ended), "led",
                     integer(tallies->led), "leaders_gone", integer(tallies->leaders_gone), "handles_live",
                     integer(handles->live), "handle_bytes", integer(handles->live_bytes), "handle_allocs",
                     integer(handles->allocs), "handle_blocks", integer(handles->blocks), "moved",
                     integer(compaction->moves), "moved_bytes", integer(compaction->bytes), "blocks_emptied",
                     integer(compaction->blocks), "budget_ended", integer(compaction->unfinished));
}

static json_t *planners_json(const struct report *report)
{
    const struct planner_totals *sum = &report->run->planners;
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "pools", integer(PLANNER_COUNT),
                     "kept_straight", integer(sum->kept[ATTEMPT_STRAIGHT]), "kept_near",
                     integer(sum->kept[ATTEMPT_NEAR]), "kept_whole", integer(sum->kept[ATTEMPT_WHOLE]), "rolled_back",
                     integer(sum->rolled_back), "nodes_reused", integer(sum->reused), "nodes_too_many",
                     integer(sum->too_large), "pool_resets", integer(sum->resets), "pool_bytes",
                     integer(sum->pool_bytes), "pool_capacity_bytes", integer(sum->pool_capacity));
}

struct text {
    char *bytes;
    size_t size;
};

static bool append(const void *data, size_t size, void *context)
{
    struct text *text = context;
    char *bytes = realloc(text->bytes, text->size + size + 1);
    if (bytes == NULL) return false;
    memcpy(bytes + text->size, data, size);
    text->bytes = bytes;
    text->size += size;
    return true;
}

/// The library's own snapshot, as it writes it; NULL when there is no memory.
static json_t *snapshot_json(const struct report *report)
{
    struct text text = {NULL, 0};
    json_t *snapshot = NULL;
    if (fa_snapshot_write_json(&report->run->snapshot, append, &text) == FA_OK)
        snapshot = json_loadb(text.bytes, text.size, 0, NULL);
    free(text.bytes);
    return snapshot;
}

bool report_write_json(const struct report *report, struct output *output, struct failure *failure)
{
    json_t *root = json_object();
    // json_object_set_new() fails when any of its arguments is NULL, and frees the others.
    bool good = json_object_set_new(root, "world", world_json(report)) == 0 &&
                json_object_set_new(root, "time", tick_json(report)) == 0 &&
                json_object_set_new(root, "library", library_json(report)) == 0 &&
                json_object_set_new(root, "group", group_json(report)) == 0 &&
                json_object_set_new(root, "stream", stream_json(report)) == 0 &&
                json_object_set_new(root, "crowd", crowd_json(report)) == 0 &&
                json_object_set_new(root, "planners", planners_json(report)) == 0 &&
                json_object_set_new(root, "minds", minds_json(report)) == 0 &&
                json_object_set_new(root, "phases", phases_json(report)) == 0 &&
                json_object_set_new(root, "snapshot", snapshot_json(report)) == 0;
    char *text = good ? json_dumps(root, JSON_INDENT(2)) : NULL;
    json_decref(root);
    if (text == NULL) return fail(failure, "no memory for the JSON report");
    (void)(output_write(output, text, strlen(text)) && output_write(output, "\n", 1)); // output_commit() says why not
    free(text);
    return true;
}

#else

bool report_has_json(void)
{
    return false;
}

bool report_write_json(const struct report *report, struct output *output, struct failure *failure)
{
    (void)report;
    (void)output;
    return fail(failure, "this build writes no JSON");
}

#endif
