// SPDX-License-Identifier: MIT
//
// Tracy: the library's live hooks on Tracy's C interface. Only its documented macros are used, which have been the same since 0.9; what they expand
// to has not. Zones of one thread are begun and ended on it, as Tracy wants it.
#include "framealloc_tracy.h"

#include <tracy/TracyC.h>

#include <stdio.h>
#include <string.h>

_Static_assert(sizeof(TracyCZoneCtx) <= sizeof(uint64_t), "a zone travels as a token");

static void name_thread(uint32_t lane)
{
    static _Thread_local bool named;
    if (named) return;
    named = true;
    char name[32];
    snprintf(name, sizeof name, "fa lane %u", (unsigned)lane);
    TracyCSetThreadName(name);
}

static uint64_t keep(TracyCZoneCtx zone, const char *name)
{
    uint64_t token = 0;
    if (name != NULL) {
        TracyCZoneName(zone, name, strlen(name));
    }
    memcpy(&token, &zone, sizeof zone);
    return token;
}

/// A zone whose place in the source is its kind, coloured by it.
#define BEGIN(kind, color)                                                                                             \
    {                                                                                                                  \
        TracyCZoneNC(zone, kind, color, 1);                                                                            \
        return keep(zone, name);                                                                                       \
    }

static uint64_t zone_begin(void *context, uint32_t lane, fa_event_kind kind, const char *name)
{
    (void)context;
    name_thread(lane);
    if (kind == FA_EVENT_JOB_BEGIN) BEGIN("job", 0x4080c0)
    if (kind == FA_EVENT_LOOP_BEGIN) BEGIN("loop", 0x40a080)
    if (kind == FA_EVENT_PHASE_BEGIN) BEGIN("phase", 0xc08040)
    if (kind == FA_EVENT_WAIT_BEGIN) BEGIN("wait", 0x806080)
    BEGIN("sleep", 0x404040)
}

static void zone_end(void *context, uint32_t lane, fa_event_kind kind, uint64_t token)
{
    TracyCZoneCtx zone;
    (void)context, (void)lane, (void)kind;
    memcpy(&zone, &token, sizeof zone);
    TracyCZoneEnd(zone);
}

static void frame(void *context, uint64_t number, const fa_stats *stats)
{
    (void)context, (void)number;
    TracyCFrameMark;
    TracyCPlot("framealloc: frame bytes", (double)stats->frame_bytes);
    TracyCPlot("framealloc: pool bytes", (double)stats->pool_live_bytes);
    TracyCPlot("framealloc: heap bytes", (double)stats->heap_live_bytes);
    TracyCPlot("framealloc: memory", (double)stats->memory_bytes);
}

// Tracy tells memory pools apart by the address of their names.
static const char *const pool_names[] = {
    [FA_PROFILED_POOL] = "framealloc pool", [FA_PROFILED_HEAP] = "framealloc heap"};

static void note_alloc(void *context, uint32_t lane, fa_profiled kind, const void *p, size_t size)
{
    (void)context, (void)lane;
    TracyCAllocN(p, size, pool_names[kind]);
}

static void note_free(void *context, uint32_t lane, fa_profiled kind, const void *p)
{
    (void)context, (void)lane;
    TracyCFreeN(p, pool_names[kind]);
}

const fa_profiler *fa_tracy_profiler(void)
{
    static const fa_profiler profiler = {NULL, zone_begin, zone_end, frame, note_alloc, note_free};
    return &profiler;
}

const fa_profiler *fa_tracy_profiler_zones(void)
{
    static const fa_profiler profiler = {NULL, zone_begin, zone_end, frame, NULL, NULL};
    return &profiler;
}
