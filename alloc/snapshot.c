// SPDX-License-Identifier: MIT
//
// Snapshots, their history, graphs of it, and their JSON. Everything here is the main lane's.
//
//     history: `count` snapshots, the newest at (next - 1) % capacity; each entry is the head of a fa_snapshot up to the lanes that the system has
#include "alloc/json.h"
#include "alloc/lane.h"
#include "alloc/store.h"
#include "concurrent/check.h"
#include "concurrent/clock.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

// Sections --------------------------------------------------------------------------------------------------------------

/// A kind of rows: what it is called, what its columns are, and who fills them in: up to `room` rows, returning how many there are.
typedef struct section {
    const char *name;
    const char *columns[FA_SNAPSHOT_COLUMNS];
    uint32_t (*fill)(const fai_memory *memory, fa_snapshot_row *rows, uint32_t room);
} section;

static uint32_t fill_frame_slots(const fai_memory *memory, fa_snapshot_row *rows, uint32_t room)
{
    uint32_t count = memory->config.frames_in_flight, alive = fai_load_relaxed(&memory->slots_alive);
    for (uint32_t slot = 0; slot < count && slot < room; slot++) {
        snprintf(rows[slot].name, sizeof rows[slot].name, "slot %u", slot);
        rows[slot].values[0] = 0;
        for (uint32_t lane = 0; lane < fai_memory_lanes_used(memory); lane++)
            rows[slot].values[0] += fai_memory_lane(memory, lane)->frames[slot].blocks;
        rows[slot].values[1] = alive >> slot & 1;
    }
    return count;
}

static void put_row_name(fa_snapshot_row *row, const char *name)
{
    snprintf(row->name, sizeof row->name, "%s", name);
}

static uint32_t fill_tags(const fai_memory *memory, fa_snapshot_row *rows, uint32_t room)
{
    const fa_system *fa = (const fa_system *)(const void *)memory;
    uint32_t count = 0;
    for (fa_tag tag; (tag = fa_tag_at(fa, count)).id != 0; count++) {
        fa_tag_stats stats;
        if (count >= room || fa_tag_stats_read(fa, tag, &stats) != FA_OK) continue;
        uint64_t held = 0;
        for (uint32_t use = 0; use < FA_TAG_USES; use++) held += stats.held[use];
        const uint64_t values[] = {held, stats.charged, stats.peak, stats.soft, stats.hard, stats.denied};
        put_row_name(&rows[count], stats.path);
        memcpy(rows[count].values, values, sizeof values);
    }
    return count;
}

static uint32_t fill_phases(const fai_memory *memory, fa_snapshot_row *rows, uint32_t room)
{
    fa_phase_stats stats[FA_SNAPSHOT_ROWS_MAX];
    uint32_t count = 0;
    if (fa_phase_stats_read((const fa_system *)(const void *)memory, stats, room, &count) != FA_OK) return 0;
    for (uint32_t i = 0; i < count && i < room; i++) {
        const fa_phase_stats *from = &stats[i];
        uint64_t allocs = from->pool_allocs + from->heap_allocs + from->group_allocs + from->scratch_allocs +
                          from->stream_allocs + from->handle_allocs + from->job_memory_allocs;
        const uint64_t values[] = {from->ns,         from->entries,    from->frame_bytes,
                                   from->pool_bytes, from->heap_bytes, allocs};
        put_row_name(&rows[i], from->path);
        memcpy(rows[i].values, values, sizeof values);
    }
    return count;
}

static uint32_t fill_streams(const fai_memory *memory, fa_snapshot_row *rows, uint32_t room)
{
    static const char *const states[] = {"reserved", "loading", "ready", "evicting", "leaving"};
    fa_stream_stats stats;
    if (fa_stream_stats_read((const fa_system *)(const void *)memory, &stats) != FA_OK) return 0;
    const uint64_t counts[] = {stats.reserved, stats.loading, stats.ready, stats.evicting, stats.leaving};
    if (stats.streams + stats.leaving == 0) return 0;
    for (uint32_t i = 0; i < 5 && i < room; i++) {
        put_row_name(&rows[i], states[i]);
        rows[i].values[0] = counts[i];
    }
    return 5;
}

static uint32_t fill_scratch(const fai_memory *memory, fa_snapshot_row *rows, uint32_t room)
{
    fa_scratch_info pools[FA_SNAPSHOT_ROWS_MAX];
    uint32_t count = fa_scratch_list(&fai_memory_lane(memory, 0)->hot, pools, room);
    for (uint32_t i = 0; i < count && i < room; i++) {
        put_row_name(&rows[i], pools[i].name);
        rows[i].values[0] = pools[i].capacity;
        rows[i].values[1] = pools[i].allocated;
        rows[i].values[2] = pools[i].objects;
    }
    return count;
}

_Static_assert(sizeof((fa_snapshot_row){0}.values) == FA_SNAPSHOT_COLUMNS * sizeof(uint64_t), "rows are full");

/// One line for each part of the library that has named things to show.
static const section sections[] = {
    {"frame_slots", {"blocks", "alive"}, fill_frame_slots},
    {"tags", {"held", "charged", "peak", "soft", "hard", "denied"}, fill_tags},
    {"phases", {"ns", "entries", "frame_bytes", "pool_bytes", "heap_bytes", "allocs"}, fill_phases},
    {"streams", {"count"}, fill_streams},
    {"scratch", {"capacity", "allocated", "objects"}, fill_scratch},
};

#define SECTION_COUNT (sizeof sections / sizeof sections[0])

static void fill_rows(const fai_memory *memory, fa_snapshot *out)
{
    memset(out->rows, 0, sizeof out->rows);
    out->row_count = out->rows_left_out = 0;
    for (uint32_t i = 0; i < SECTION_COUNT; i++) {
        fa_snapshot_row *rows = &out->rows[out->row_count];
        uint32_t room = FA_SNAPSHOT_ROWS_MAX - out->row_count, count = sections[i].fill(memory, rows, room);
        uint32_t filled = count < room ? count : room;
        for (uint32_t row = 0; row < filled; row++) rows[row].section = i;
        out->row_count += filled;
        out->rows_left_out += count - filled;
    }
}

// Taking ----------------------------------------------------------------------------------------------------------------

static void fill_classes(const fai_memory *memory, fa_snapshot *out)
{
    for (uint32_t i = 0; i < FA_CLASS_COUNT; i++) {
        fa_class_snapshot sum = {.size = fai_class_size(i)};
        for (uint32_t lane = 0; lane < fai_memory_lanes_used(memory); lane++) {
            const fai_class_stats *from = &fai_memory_lane(memory, lane)->published_classes[i];
            sum.live += fai_load_relaxed(&from->live);
            sum.at_hand += fai_load_relaxed(&from->at_hand);
            sum.slabs += (uint32_t)fai_load_relaxed(&from->slabs);
            sum.refills += fai_load_relaxed(&from->refills);
        }
        out->classes[i] = sum;
    }
}

void fai_snapshot_fill(fai_memory *memory, fa_snapshot *out)
{
    fai_memory_want(memory, FAI_WANT_CLASSES);
    out->version = FA_SNAPSHOT_VERSION;
    out->lane_count = memory->lane_count;
    out->time_ns = fai_now_ns();
    out->frame = fai_load_relaxed(&memory->frame_number);
    (void)fa_stats_read((const fa_system *)(const void *)memory, &out->stats);
    fill_classes(memory, out);
    fill_rows(memory, out);
    for (uint32_t lane = 0; lane < memory->lane_count; lane++)
        out->lanes[lane] = fai_memory_lane(memory, lane)->frame_used;
}

// History ---------------------------------------------------------------------------------------------------------------

typedef struct fai_history {
    uint32_t capacity;
    uint32_t count;
    uint64_t next;
    size_t stride; // bytes of an entry
    _Alignas(FA_ALIGN_DEFAULT) unsigned char entries[];
} fai_history;

fa_status fai_history_open(fai_memory *memory, uint32_t count)
{
    fai_history_close(memory);
    size_t stride = offsetof(fa_snapshot, lanes) + memory->lane_count * sizeof(fa_lane_snapshot);
    size_t bytes = sizeof(fai_history) + count * stride;
    fai_history *history = fai_store_take(fai_memory_lane(memory, 0), bytes, FA_ALIGN_DEFAULT);
    if (history == NULL) return FA_ERROR_MEMORY;
    memset(history, 0, bytes); // touches it: no frame end meets a page fault later
    history->capacity = count;
    history->stride = stride;
    memory->history = history;
    fai_memory_note_observers(memory);
    fai_memory_want(memory, FAI_WANT_CLASSES);
    return FA_OK;
}

void fai_history_close(fai_memory *memory)
{
    if (memory->history != NULL) fai_store_give_own(fai_memory_lane(memory, 0), memory->history);
    memory->history = NULL;
    fai_memory_note_observers(memory);
}

static fa_snapshot *entry_at(const fai_history *history, uint64_t number)
{
    return (fa_snapshot *)(void *)((unsigned char *)(uintptr_t)history->entries +
                                   number % history->capacity * history->stride);
}

void fai_history_keep(fai_memory *memory)
{
    fai_history *history = memory->history;
    if (history == NULL) return;
    fai_snapshot_fill(memory, entry_at(history, history->next++));
    if (history->count < history->capacity) history->count++;
}

uint32_t fai_history_size(const fai_memory *memory)
{
    return memory->history != NULL ? memory->history->count : 0;
}

bool fai_history_get(const fai_memory *memory, uint32_t age, fa_snapshot *out)
{
    const fai_history *history = memory->history;
    if (history == NULL || age >= history->count) return false;
    memcpy(out, entry_at(history, history->next - 1 - age), history->stride);
    return true;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

uint32_t fai_history_graph(const fai_memory *memory, fa_graph_point *points, uint32_t n)
{
    const fai_history *history = memory->history;
    uint64_t count = fai_history_size(memory);
    if (count < n) n = (uint32_t)count;
    for (uint32_t i = 0; i < n; i++) {
        fa_graph_point point = {0};
        for (uint64_t at = count * i / n; at < count * (i + 1) / n; at++) {
            const fa_snapshot *from = entry_at(history, history->next - count + at);
            uint64_t bytes = from->stats.frame_bytes + from->stats.pool_live_bytes + from->stats.heap_live_bytes;
            if (point.frame == 0 || bytes > point.bytes) point.frame = from->frame;
            point.bytes = larger(point.bytes, bytes);
            point.memory_bytes = larger(point.memory_bytes, from->stats.memory_bytes);
        }
        points[i] = point;
    }
    return n;
}

// JSON ------------------------------------------------------------------------------------------------------------------

static void open_member(fai_json *json, const char *key, char open)
{
    fai_json_line(json);
    fai_json_key(json, key);
    fai_json_open(json, open);
}

static void write_stats(fai_json *json, const fa_stats *stats)
{
#define PAIR(member) fai_json_pair(json, #member, stats->member)
    open_member(json, "global", '{');
    PAIR(frame);
    PAIR(memory_bytes);
    PAIR(memory_peak);
    PAIR(memory_free);
    PAIR(memory_refused);
    PAIR(frame_bytes);
    PAIR(frame_bytes_peak);
    PAIR(frame_blocks);
    PAIR(pool_live);
    PAIR(pool_live_bytes);
    PAIR(pool_live_bytes_peak);
    PAIR(pool_allocs);
    PAIR(pool_refills);
    PAIR(heap_live);
    PAIR(heap_live_bytes);
    PAIR(heap_live_bytes_peak);
    PAIR(heap_allocs);
    PAIR(remote_frees);
    PAIR(foreign_frees);
    PAIR(promoted);
    PAIR(promoted_bytes);
    PAIR(promotion_failed);
    PAIR(retired);
    PAIR(reclaimed);
    PAIR(backlog);
    PAIR(backlog_frames);
    PAIR(frames_alive);
    PAIR(frame_holds);
    PAIR(events_dropped);
    PAIR(handle_live);
    PAIR(handle_live_bytes);
    PAIR(handle_allocs);
    PAIR(streams);
    PAIR(stream_reserved_bytes);
    PAIR(stream_reserved_bytes_peak);
    PAIR(stream_loaded_bytes);
    PAIR(stream_leaving_bytes);
    PAIR(stream_evictions);
    PAIR(stream_refused);
    PAIR(groups);
    PAIR(group_objects);
    PAIR(group_bytes);
    PAIR(group_refused);
    PAIR(job_memories);
    PAIR(job_memory_bytes);
    PAIR(job_memory_refused);
    PAIR(scratch_pools);
    PAIR(scratch_capacity);
    PAIR(scratch_bytes);
    PAIR(scratch_refused);
    PAIR(frees_kept);
    fai_json_close(json, '}');
    open_member(json, "scheduler", '{');
    PAIR(jobs);
    PAIR(jobs_inline);
    PAIR(steals);
    PAIR(steal_tries);
    PAIR(parks);
    PAIR(wakes);
    PAIR(waits_parked);
    fai_json_close(json, '}');
#undef PAIR
}

static void write_lanes(fai_json *json, const fa_snapshot *snapshot)
{
    open_member(json, "lanes", '[');
    for (uint32_t i = 0; i < snapshot->lane_count; i++) {
        const fa_lane_snapshot *lane = &snapshot->lanes[i];
        if (lane->capacity == 0 && lane->peak == 0 && lane->jobs == 0) continue; // never used
        fai_json_line(json);
        fai_json_open(json, '{');
        fai_json_pair(json, "lane", i);
        fai_json_pair(json, "capacity", lane->capacity);
        fai_json_pair(json, "used", lane->used);
        fai_json_pair(json, "peak", lane->peak);
        fai_json_pair(json, "jobs", lane->jobs);
        fai_json_close(json, '}');
    }
    fai_json_close(json, ']');
}

static void write_classes(fai_json *json, const fa_snapshot *snapshot)
{
    open_member(json, "pools", '[');
    for (uint32_t i = 0; i < FA_CLASS_COUNT; i++) {
        const fa_class_snapshot *class = &snapshot->classes[i];
        if (class->slabs == 0 && class->refills == 0) continue; // never used
        fai_json_line(json);
        fai_json_open(json, '{');
        fai_json_pair(json, "size", class->size);
        fai_json_pair(json, "live", class->live);
        fai_json_pair(json, "at_hand", class->at_hand);
        fai_json_pair(json, "slabs", class->slabs);
        fai_json_pair(json, "refills", class->refills);
        fai_json_close(json, '}');
    }
    fai_json_close(json, ']');
}

static void write_row(fai_json *json, const fa_snapshot_row *row, const section *of)
{
    fai_json_line(json);
    fai_json_open(json, '{');
    fai_json_pair_text(json, "name", row->name);
    for (uint32_t i = 0; i < FA_SNAPSHOT_COLUMNS && of->columns[i] != NULL; i++)
        fai_json_pair(json, of->columns[i], row->values[i]);
    fai_json_close(json, '}');
}

static void write_sections(fai_json *json, const fa_snapshot *snapshot)
{
    for (uint32_t i = 0; i < SECTION_COUNT; i++) {
        open_member(json, sections[i].name, '[');
        for (uint32_t row = 0; row < snapshot->row_count; row++)
            if (snapshot->rows[row].section == i) write_row(json, &snapshot->rows[row], &sections[i]);
        fai_json_close(json, ']');
    }
    fai_json_pair(json, "rows_left_out", snapshot->rows_left_out);
}

/// Whether the counts and texts in it can be followed.
static bool is_sound(const fa_snapshot *snapshot)
{
    if (snapshot->version != FA_SNAPSHOT_VERSION || snapshot->lane_count > FA_LANES_MAX) return false;
    if (snapshot->row_count > FA_SNAPSHOT_ROWS_MAX) return false;
    for (uint32_t i = 0; i < snapshot->row_count; i++)
        if (memchr(snapshot->rows[i].name, '\0', FA_SNAPSHOT_NAME_MAX) == NULL) return false;
    return true;
}

fa_status fa_snapshot_write_json(const fa_snapshot *snapshot, fa_write_fn *write, void *context)
{
    if (snapshot == NULL || write == NULL || !is_sound(snapshot)) return FA_ERROR_INVALID;
    fai_json json;
    fai_json_init(&json, write, context);
    fai_json_open(&json, '{');
    fai_json_pair_text(&json, "format", "framealloc.snapshot");
    fai_json_pair(&json, "version", snapshot->version);
    fai_json_pair(&json, "time_ns", snapshot->time_ns);
    fai_json_pair(&json, "frame", snapshot->frame);
    write_stats(&json, &snapshot->stats);
    write_lanes(&json, snapshot);
    write_classes(&json, snapshot);
    write_sections(&json, snapshot);
    fai_json_close(&json, '}');
    fai_json_line(&json);
    return fai_json_flush(&json) ? FA_OK : FA_ERROR_IO;
}

static bool write_stream(const void *data, size_t size, void *context)
{
    return fwrite(data, 1, size, context) == size;
}

fa_status fa_snapshot_write_file(const fa_snapshot *snapshot, FILE *file)
{
    return file != NULL ? fa_snapshot_write_json(snapshot, write_stream, file) : FA_ERROR_INVALID;
}
