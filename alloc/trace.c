// SPDX-License-Identifier: MIT
//
// The trace file: events as Chrome trace events, written as they are delivered. Format: "Trace Event Format", Google 2016; one process, a
// track (tid) for each lane, one more for the frames.
//
//     every track: ends written <= begins written, and equal when the file is complete
#include "alloc/json.h"
#include "alloc/lane.h"
#include "alloc/store.h"
#include "concurrent/check.h"
#include "concurrent/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef struct fai_trace {
    fai_json json;
    int file;                         // -1: the user's function writes
    uint64_t start_ns;                // time 0 of the file
    uint64_t last_ns;                 // of the last event
    uint64_t events;                  // written
    uint64_t dropped;                 // before it started
    uint64_t dropped_say;             // that the file has told of
    uint32_t depth[FA_LANES_MAX + 1]; // open zones of each track
    bool named[FA_LANES_MAX + 1];     // the track's name was written
} fai_trace;

static bool write_file(const void *data, size_t size, void *context)
{
    const int *file = context;
    const char *bytes = data;
    while (size > 0) {
        ssize_t n = write(*file, bytes, size);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        bytes += n;
        size -= (size_t)n;
    }
    return true;
}

// Pieces of the file ----------------------------------------------------------------------------------------------------

static void open_event(fai_trace *trace, const char *phase, uint32_t track)
{
    fai_json_line(&trace->json);
    fai_json_open(&trace->json, '{');
    fai_json_pair_text(&trace->json, "ph", phase);
    fai_json_pair(&trace->json, "pid", 1);
    fai_json_pair(&trace->json, "tid", track);
}

static void put_time(fai_trace *trace, uint64_t time_ns)
{
    if (time_ns > trace->last_ns) trace->last_ns = time_ns;
    fai_json_key(&trace->json, "ts");
    fai_json_time(&trace->json, time_ns - trace->start_ns);
}

/// A metadata event: the name of the process or of a track.
static void put_name(fai_trace *trace, const char *what, uint32_t track, const char *name)
{
    open_event(trace, "M", track);
    fai_json_pair_text(&trace->json, "name", what);
    fai_json_key(&trace->json, "args");
    fai_json_open(&trace->json, '{');
    fai_json_pair_text(&trace->json, "name", name);
    fai_json_close(&trace->json, '}');
    fai_json_close(&trace->json, '}');
}

static void name_track(const fai_memory *memory, fai_trace *trace, uint32_t track)
{
    if (trace->named[track]) return;
    trace->named[track] = true;
    uint32_t workers = memory->config.worker_count;
    char name[32];
    if (track == memory->lane_count)
        snprintf(name, sizeof name, "frames");
    else if (track == 0)
        snprintf(name, sizeof name, "main lane");
    else
        snprintf(name, sizeof name, "%s %u", track <= workers ? "worker" : "attached thread", track);
    put_name(trace, "thread_name", track, name);
}

static void put_end(fai_trace *trace, uint32_t track, uint64_t time_ns)
{
    FA_ASSERT(trace->depth[track] > 0);
    trace->depth[track]--;
    open_event(trace, "E", track);
    put_time(trace, time_ns);
    fai_json_close(&trace->json, '}');
}

static void put_counter(fai_trace *trace, const char *name, const char *const *keys, const uint64_t *values)
{
    open_event(trace, "C", 0);
    put_time(trace, trace->last_ns);
    fai_json_pair_text(&trace->json, "name", name);
    fai_json_key(&trace->json, "args");
    fai_json_open(&trace->json, '{');
    for (uint32_t i = 0; keys[i] != NULL; i++) fai_json_pair(&trace->json, keys[i], values[i]);
    fai_json_close(&trace->json, '}');
    fai_json_close(&trace->json, '}');
}

static void put_counters(const fai_memory *memory, fai_trace *trace)
{
    const fa_stats *stats = &memory->merged;
    static const char *const memory_keys[] = {"frame", "pool", "heap", "unused", NULL};
    static const char *const job_keys[] = {"jobs", "steals", "parks", NULL};
    uint64_t live = stats->pool_live_bytes + stats->heap_live_bytes + stats->frame_bytes;
    uint64_t unused = stats->memory_bytes > live ? stats->memory_bytes - live : 0;
    put_counter(trace, "memory", memory_keys,
                (uint64_t[]){stats->frame_bytes, stats->pool_live_bytes, stats->heap_live_bytes, unused});
    put_counter(trace, "scheduler", job_keys, (uint64_t[]){stats->jobs, stats->steals, stats->parks});
}

// Events ----------------------------------------------------------------------------------------------------------------

typedef enum shape { INSTANT, BEGIN, END } shape;

/// How a kind is drawn, and what its numbers are called.
typedef struct look {
    shape shape;
    const char *category;
    const char *keys[3];
} look;

static look look_of(uint32_t kind)
{
    switch ((fa_event_kind)kind) {
        case FA_EVENT_FRAME_BEGIN: return (look){BEGIN, "frame", {NULL}};
        case FA_EVENT_JOB_BEGIN: return (look){BEGIN, "job", {"function", "depth"}};
        case FA_EVENT_LOOP_BEGIN: return (look){BEGIN, "loop", {"first", "last"}};
        case FA_EVENT_WAIT_BEGIN: return (look){BEGIN, "wait", {NULL}};
        case FA_EVENT_PARK_BEGIN: return (look){BEGIN, "park", {NULL}};
        case FA_EVENT_PHASE_BEGIN: return (look){BEGIN, "phase", {NULL}};
        case FA_EVENT_FRAME_END:
        case FA_EVENT_JOB_END:
        case FA_EVENT_LOOP_END:
        case FA_EVENT_WAIT_END:
        case FA_EVENT_PARK_END:
        case FA_EVENT_PHASE_END: return (look){END, NULL, {NULL}};
        case FA_EVENT_STEAL: return (look){INSTANT, "scheduler", {"jobs", "lane"}};
        case FA_EVENT_WAKE: return (look){INSTANT, "scheduler", {"lane"}};
        case FA_EVENT_LARGE_ALLOCATION: return (look){INSTANT, "memory", {"bytes"}};
        case FA_EVENT_MEMORY_PRESSURE: return (look){INSTANT, "memory", {"bytes", "limit"}};
        case FA_EVENT_MEMORY_REFUSED: return (look){INSTANT, "memory", {"requests", "limit"}};
        case FA_EVENT_POOL_REFILL: return (look){INSTANT, "memory", {"objects", "size"}};
        case FA_EVENT_REMOTE_DRAIN: return (look){INSTANT, "memory", {"objects"}};
        case FA_EVENT_BUDGET_WARNING: return (look){INSTANT, "memory", {"bytes", "limit"}};
        case FA_EVENT_BUDGET_EXCEEDED: return (look){INSTANT, "memory", {"bytes", "limit", "refused"}};
        case FA_EVENT_PROMOTION:
        case FA_EVENT_PROMOTION_FAILED: return (look){INSTANT, "promotion", {"bytes", "user"}};
        case FA_EVENT_TAG_PUSH:
        case FA_EVENT_TAG_POP: return (look){INSTANT, "tag", {NULL}};
        case FA_EVENT_STREAM_EVICT: return (look){INSTANT, "memory", {"bytes", "id"}};
        case FA_EVENT_HANDLE_COMPACT: return (look){INSTANT, "memory", {"objects", "bytes"}};
        case FA_EVENT_KINDS: break;
    }
    FA_ASSERT(false);
    return (look){INSTANT, "unknown", {NULL}};
}

static void put_event_name(fai_trace *trace, const fa_event *event, const look *drawn)
{
    char text[48];
    const char *name = event->name;
    if (event->kind == FA_EVENT_FRAME_BEGIN) {
        snprintf(text, sizeof text, "frame %llu", (unsigned long long)event->a);
        name = text;
    } else if (event->kind == FA_EVENT_JOB_BEGIN && name == NULL) {
        snprintf(text, sizeof text, "job 0x%llx", (unsigned long long)event->a);
        name = text;
    } else if (drawn->shape == INSTANT || name == NULL) {
        name = drawn->shape == BEGIN ? drawn->category : fa_event_name(event->kind);
    }
    fai_json_pair_text(&trace->json, "name", name);
    fai_json_pair_text(&trace->json, "cat", drawn->category);
    if (drawn->shape == INSTANT) fai_json_pair_text(&trace->json, "s", "t");
}

static void put_arguments(fai_trace *trace, const fa_event *event, const look *drawn)
{
    const uint64_t values[] = {event->a, event->b, event->c};
    fai_json_key(&trace->json, "args");
    fai_json_open(&trace->json, '{');
    fai_json_pair(&trace->json, "frame", event->frame);
    if (drawn->shape == INSTANT && event->name != NULL) fai_json_pair_text(&trace->json, "name", event->name);
    for (uint32_t i = 0; i < 3 && drawn->keys[i] != NULL; i++) fai_json_pair(&trace->json, drawn->keys[i], values[i]);
    fai_json_close(&trace->json, '}');
}

/// Says in the file that events are missing from here on backwards.
static void put_dropped(const fai_memory *memory, fai_trace *trace)
{
    uint64_t dropped = fai_events_dropped(memory) - trace->dropped;
    if (dropped == trace->dropped_say) return;
    static const char *const keys[] = {"events", NULL};
    put_counter(trace, "events dropped", keys, (uint64_t[]){dropped});
    trace->dropped_say = dropped;
}

void fai_trace_event(fai_memory *memory, const fa_event *event)
{
    fai_trace *trace = memory->events.trace;
    look drawn = look_of(event->kind);
    bool of_frame = event->kind == FA_EVENT_FRAME_BEGIN || event->kind == FA_EVENT_FRAME_END;
    uint32_t track = of_frame ? memory->lane_count : event->lane;
    // What happened before the trace began is not its business, nor is the end of a zone that began then.
    if (event->time_ns < trace->start_ns || (drawn.shape == END && trace->depth[track] == 0)) return;
    name_track(memory, trace, track);
    trace->events++;
    if (drawn.shape == END) {
        put_end(trace, track, event->time_ns);
        if (FA_STATISTICS && of_frame) put_counters(memory, trace);
        if (of_frame) put_dropped(memory, trace);
        return;
    }
    if (drawn.shape == BEGIN) trace->depth[track]++;
    open_event(trace, drawn.shape == BEGIN ? "B" : "i", track);
    put_time(trace, event->time_ns);
    put_event_name(trace, event, &drawn);
    put_arguments(trace, event, &drawn);
    fai_json_close(&trace->json, '}');
}

// Start and stop --------------------------------------------------------------------------------------------------------

static void put_head(fai_trace *trace)
{
    fai_json_open(&trace->json, '{');
    fai_json_pair_text(&trace->json, "displayTimeUnit", "ns");
    fai_json_key(&trace->json, "traceEvents");
    fai_json_open(&trace->json, '[');
    put_name(trace, "process_name", 0, "framealloc");
}

static void put_tail(fai_trace *trace)
{
    for (uint32_t track = 0; track <= FA_LANES_MAX; track++)
        while (trace->depth[track] > 0) put_end(trace, track, trace->last_ns);
    fai_json_close(&trace->json, ']');
    fai_json_key(&trace->json, "otherData");
    fai_json_open(&trace->json, '{');
    fai_json_pair(&trace->json, "events", trace->events);
    fai_json_pair(&trace->json, "events_dropped", trace->dropped_say);
    fai_json_close(&trace->json, '}');
    fai_json_close(&trace->json, '}');
    fai_json_line(&trace->json);
}

fa_status fai_trace_open(fai_memory *memory, const char *path, fa_write_fn *write, void *context)
{
    FA_ASSERT(memory->events.trace == NULL);
    FA_ASSERT((path == NULL) != (write == NULL));
    fai_lane *main_lane = fai_memory_lane(memory, 0);
    fai_trace *trace = fai_store_take(main_lane, sizeof *trace, FA_ALIGN_DEFAULT);
    if (trace == NULL) return FA_ERROR_MEMORY;
    memset(trace, 0, sizeof *trace);
    trace->file = -1;
    if (path != NULL) {
        trace->file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
        if (trace->file < 0) {
            fai_store_give_own(main_lane, trace);
            return FA_ERROR_IO;
        }
        write = write_file;
        context = &trace->file;
    }
    fai_json_init(&trace->json, write, context);
    trace->start_ns = trace->last_ns = fai_now_ns();
    trace->dropped = fai_events_dropped(memory);
    put_head(trace);
    memory->events.trace = trace;
    fai_events_update(memory);
    return FA_OK;
}

fa_status fai_trace_close(fai_memory *memory, fa_trace_result *result)
{
    fai_trace *trace = memory->events.trace;
    FA_ASSERT(trace != NULL);
    put_dropped(memory, trace);
    put_tail(trace);
    bool written = fai_json_flush(&trace->json);
    if (trace->file >= 0 && close(trace->file) != 0) written = false;
    if (result != NULL) *result = (fa_trace_result){trace->events, trace->dropped_say, trace->json.written};
    memory->events.trace = NULL;
    fai_store_give_own(fai_memory_lane(memory, 0), trace);
    fai_events_update(memory);
    return written ? FA_OK : FA_ERROR_IO;
}
