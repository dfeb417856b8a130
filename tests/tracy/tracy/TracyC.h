// SPDX-License-Identifier: MIT
//
// Stands in for Tracy's header in tests: the macros that the adapter uses, recording instead of sending.
#pragma once

#include <stddef.h>
#include <stdint.h>

typedef struct record_zone {
    uint32_t id;
    int active;
} TracyCZoneCtx;

TracyCZoneCtx record_zone_begin(const char *kind, int active);
void record_zone_name(TracyCZoneCtx zone, const char *name, size_t size);
void record_zone_end(TracyCZoneCtx zone);
void record_alloc(const void *p, size_t size, const char *pool);
void record_free(const void *p, const char *pool);
void record_frame(void);
void record_plot(const char *name, double value);
void record_thread(const char *name);

#define TracyCZoneNC(zone, kind, color, active) TracyCZoneCtx zone = record_zone_begin(kind, active)
#define TracyCZoneName(zone, name, size) record_zone_name(zone, name, size)
#define TracyCZoneEnd(zone) record_zone_end(zone)
#define TracyCAllocN(p, size, pool) record_alloc(p, size, pool)
#define TracyCFreeN(p, pool) record_free(p, pool)
#define TracyCFrameMark record_frame()
#define TracyCPlot(name, value) record_plot(name, value)
#define TracyCSetThreadName(name) record_thread(name)
