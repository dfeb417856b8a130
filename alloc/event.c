// SPDX-License-Identifier: MIT
//
// Events: recording, and delivery at the boundary. See event.h.
#include "alloc/event.h"

#include "alloc/lane.h"
#include "alloc/store.h"
#include "concurrent/check.h"
#include "concurrent/clock.h"

#include <string.h>

const char *fa_event_name(uint32_t kind)
{
    static const char *const names[] = {
#define FA_EVENT_TEXT(name, text) text,
        FA_EVENT_LIST(FA_EVENT_TEXT)
#undef FA_EVENT_TEXT
    };
    return kind < FA_EVENT_KINDS ? names[kind] : "unknown";
}

// Recording -------------------------------------------------------------------------------------------------------------

static uint64_t room(fai_event_ring *ring, uint64_t wanted)
{
    uint64_t head = fai_load_relaxed(&ring->head);
    if (ring->tail_seen + ring->capacity - head < wanted) {
        // [event.consume] acquire: the reader's reads of the records come before they are written again.
        ring->tail_seen = fai_load_acquire(&ring->tail);
    }
    return ring->tail_seen + ring->capacity - head;
}

static void drop(fai_lane *lane)
{
    fai_store_relaxed(&lane->events_dropped, fai_load_relaxed(&lane->events_dropped) + 1);
}

/// Writes one record into the ring of `by` if that leaves room for the ends of its open zones, and `more`.
static bool put(fai_lane *by, const fai_lane *about, uint64_t more, fa_event event)
{
    // [event.ring] acquire: the ring as the main lane made it.
    fai_event_ring *ring = fai_load_acquire(&by->ring);
    if (ring == NULL || room(ring, ring->open + more + 1) < ring->open + more + 1) {
        drop(by);
        return false;
    }
    uint64_t head = fai_load_relaxed(&ring->head);
    event.time_ns = fai_now_ns();
    event.frame = about->slot != FAI_NO_SLOT ? about->frame_number : fai_load_relaxed(&about->memory->frame_number);
    event.lane = about->hot.index;
    ring->events[head & (ring->capacity - 1)] = event;
    // [event.publish] release: the record.
    fai_store_release(&ring->head, head + 1);
    return true;
}

void fai_event_record_own(fai_lane *lane, fa_event_kind kind, const char *name, uint64_t a, uint64_t b, uint64_t c)
{
    (void)put(lane, lane, 0, (fa_event){.kind = kind, .name = name, .a = a, .b = b, .c = c});
}

void fai_event_record(fai_lane *lane, fa_event_kind kind, const char *name, uint64_t a, uint64_t b, uint64_t c)
{
    bool proxied = fai_load_relaxed(&lane->state) == FAI_LANE_PROXY;
    fai_lane *by = proxied ? fai_memory_lane(lane->memory, 0) : lane;
    (void)put(by, lane, 0, (fa_event){.kind = kind, .name = name, .a = a, .b = b, .c = c});
}

fai_zone fai_zone_begin_watched(fai_lane *lane, fa_event_kind kind, const char *name, uint64_t a, uint64_t b)
{
    fai_zone zone = {.kind = kind};
    const fa_profiler *profiler = &lane->memory->events.profiler;
    FA_ASSERT(kind != 0);
    uint64_t both = FA_EVENT_BIT(kind) | FA_EVENT_BIT(kind + 1);
    if (fai_lane_watches(lane, both) && put(lane, lane, 1, (fa_event){.kind = kind, .name = name, .a = a, .b = b})) {
        zone.recorded = true;
        fai_load_relaxed(&lane->ring)->open++;
    }
    if (fai_lane_watches(lane, FAI_WATCH_ZONES)) {
        zone.hooked = true;
        if (profiler->zone_begin != NULL)
            zone.token = profiler->zone_begin(profiler->context, lane->hot.index, kind, name);
    }
    return zone;
}

/// Ends the zones of phases that the current job leaves open, ahead of its own: the phases themselves end a moment later, and are reported.
static void end_phases_left_open(fai_lane *lane)
{
    for (uint32_t i = lane->phase_depth; i-- > 0 && lane->phases[i].serial == fai_lane_serial(lane);) {
        fai_open_phase *open = &lane->phases[i];
        fai_zone_end(lane, &open->zone, NULL, fai_now_ns() - open->since_ns, 0);
        open->zone = (fai_zone){0};
    }
}

void fai_zone_end_watched(fai_lane *lane, const fai_zone *zone, const char *name, uint64_t a, uint64_t b)
{
    const fa_profiler *profiler = &lane->memory->events.profiler;
    if (zone->kind == FA_EVENT_JOB_BEGIN || zone->kind == FA_EVENT_LOOP_BEGIN) end_phases_left_open(lane);
    if (zone->hooked && profiler->zone_end != NULL)
        profiler->zone_end(profiler->context, lane->hot.index, (fa_event_kind)zone->kind, zone->token);
    if (!zone->recorded) return;
    fai_event_ring *ring = fai_load_relaxed(&lane->ring);
    FA_ASSERT(ring != NULL && ring->open > 0);
    ring->open--;
    bool recorded = put(lane, lane, 0, (fa_event){.kind = zone->kind + 1, .name = name, .a = a, .b = b});
    FA_ASSERT(recorded); // its place was kept
    (void)recorded;
}

static fa_profiled profiled(fai_kind kind)
{
    FA_ASSERT(kind == FAI_KIND_POOL || kind == FAI_KIND_HEAP);
    return kind == FAI_KIND_POOL ? FA_PROFILED_POOL : FA_PROFILED_HEAP;
}

void fai_memory_tell_alloc(const fai_memory *memory, uint32_t lane, fai_kind kind, const void *p, size_t size)
{
    const fa_profiler *profiler = &memory->events.profiler;
    if (profiler->alloc != NULL) profiler->alloc(profiler->context, lane, profiled(kind), p, size);
}

void fai_memory_tell_free(const fai_memory *memory, uint32_t lane, fai_kind kind, const void *p)
{
    const fa_profiler *profiler = &memory->events.profiler;
    if (profiler->free != NULL && kind != FAI_KIND_NONE) profiler->free(profiler->context, lane, profiled(kind), p);
}

// Who wants what --------------------------------------------------------------------------------------------------------

bool fai_events_make_rings(fai_memory *memory, uint32_t lane_end)
{
    uint32_t capacity = memory->config.event_capacity;
    fai_memory_note_loose_counters(memory);
    size_t bytes = sizeof(fai_event_ring) + capacity * sizeof(fa_event);
    for (uint32_t *lane = &memory->events.rings; *lane < lane_end; ++*lane) {
        fai_event_ring *ring = fai_store_take(fai_memory_lane(memory, 0), bytes, FAI_CACHE_LINE);
        if (ring == NULL) return false;
        memset(ring, 0, bytes); // touches it: no lane meets a page fault later
        ring->capacity = capacity;
        // [event.ring] release: the empty ring.
        fai_store_release(&fai_memory_lane(memory, *lane)->ring, ring);
    }
    return true;
}

void fai_memory_note_observers(fai_memory *memory)
{
    const fai_events *events = &memory->events;
    memory->observed = FA_TRACE && (events->wanted != 0 || events->delivering || events->profiler.frame != NULL);
    memory->observed |= memory->history != NULL;
}

void fai_events_update(fai_memory *memory)
{
    fai_events *events = &memory->events;
    events->wanted = events->trace != NULL ? FA_EVENT_ALL : 0;
    for (uint32_t i = 0; i < FA_LISTENERS_MAX; i++)
        if (events->listeners[i].fn != NULL) events->wanted |= events->listeners[i].mask;
    fai_memory_note_observers(memory);
    for (uint32_t i = 0; i < memory->lane_count; i++)
        fai_store_relaxed(&fai_memory_lane(memory, i)->watched, (uint32_t)(events->wanted | events->hooks));
}

fa_status fai_events_listen(fai_memory *memory, uint64_t mask, fa_event_fn *fn, void *context, fa_listener *out)
{
    fai_events *events = &memory->events;
    FA_ASSERT(fn != NULL && mask != 0 && (mask & ~FA_EVENT_ALL) == 0);
    uint32_t i = 0;
    while (i < FA_LISTENERS_MAX && events->listeners[i].fn != NULL) i++;
    if (i == FA_LISTENERS_MAX) return FA_ERROR_FULL;
    uint32_t nonce = ++events->nonce;
    events->listeners[i] = (fai_listener){fn, context, mask, events->deliveries, nonce};
    *out = (fa_listener){(uint64_t)nonce << 32 | (i + 1)};
    fai_events_update(memory);
    return FA_OK;
}

fa_status fai_events_unlisten(fai_memory *memory, fa_listener listener)
{
    fai_events *events = &memory->events;
    uint32_t i = (uint32_t)listener.bits - 1, nonce = (uint32_t)(listener.bits >> 32);
    if (i >= FA_LISTENERS_MAX || events->listeners[i].fn == NULL || events->listeners[i].nonce != nonce)
        return FA_ERROR_STALE;
    events->listeners[i].fn = NULL;
    fai_events_update(memory);
    return FA_OK;
}

// Delivery --------------------------------------------------------------------------------------------------------------

static void deliver(fai_memory *memory, const fa_event *event)
{
    fai_events *events = &memory->events;
    uint64_t serial = events->deliveries++;
    if (events->trace != NULL) fai_trace_event(memory, event);
    FA_ASSERT(!events->delivering);
    events->delivering = true;
    for (uint32_t i = 0; i < FA_LISTENERS_MAX; i++) { // they may come and go meanwhile
        const fai_listener *listener = &events->listeners[i];
        if (listener->fn != NULL && (listener->mask & FA_EVENT_BIT(event->kind)) != 0 && listener->born <= serial)
            listener->fn(event, listener->context);
    }
    events->delivering = false;
    fai_memory_note_observers(memory);
}

void fai_events_deliver(fai_memory *memory, fa_event_kind kind, uint64_t a, uint64_t b)
{
    if ((memory->events.wanted & FA_EVENT_BIT(kind)) == 0) return;
    fa_event event = {.time_ns = fai_now_ns(), .frame = fai_load_relaxed(&memory->frame_number), .a = a, .b = b};
    event.kind = kind;
    deliver(memory, &event);
}

/// The unread part of a lane's ring, as it was when the drain began.
typedef struct source {
    fai_event_ring *ring;
    uint64_t at, end;
    uint32_t lane;
} source;

static const fa_event *event_at(const source *from)
{
    return &from->ring->events[from->at & (from->ring->capacity - 1)];
}

static bool goes_before(const source *a, const source *b)
{
    uint64_t x = event_at(a)->time_ns, y = event_at(b)->time_ns;
    return x != y ? x < y : a->lane < b->lane;
}

/// Restores the heap of sources below `i`: the earliest event is that of heap[0].
static void sift(source *heap, uint32_t count, uint32_t i)
{
    for (;;) {
        uint32_t first = i;
        for (uint32_t child = 2 * i + 1; child <= 2 * i + 2 && child < count; child++)
            if (goes_before(&heap[child], &heap[first])) first = child;
        if (first == i) return;
        source swapped = heap[i];
        heap[i] = heap[first];
        heap[first] = swapped;
        i = first;
    }
}

static uint32_t open_sources(const fai_memory *memory, source *heap)
{
    uint32_t count = 0;
    for (uint32_t lane = 0; lane < memory->events.rings; lane++) {
        fai_event_ring *ring = fai_load_relaxed(&fai_memory_lane(memory, lane)->ring);
        // [event.publish] acquire: the records before it.
        source from = {ring, fai_load_relaxed(&ring->tail), fai_load_acquire(&ring->head), lane};
        FA_ASSERT(from.end - from.at <= ring->capacity);
        if (from.at != from.end) heap[count++] = from;
    }
    for (uint32_t i = count / 2; i-- > 0;) sift(heap, count, i);
    return count;
}

void fai_events_drain(fai_memory *memory, uint64_t limit)
{
    source heap[FA_LANES_MAX];
    FA_ASSERT(memory->events.rings <= FA_LANES_MAX);
    uint32_t count = open_sources(memory, heap);
    for (; count > 0 && limit > 0; limit--) {
        fa_event event = *event_at(&heap[0]);
        // [event.consume] release: the read of the record comes before its reuse.
        fai_store_release(&heap[0].ring->tail, ++heap[0].at);
        if (heap[0].at == heap[0].end) heap[0] = heap[--count];
        sift(heap, count, 0);
        deliver(memory, &event);
    }
}

uint64_t fai_events_dropped(const fai_memory *memory)
{
    uint64_t dropped = 0;
    for (uint32_t lane = 0; lane < memory->lane_count; lane++)
        dropped += fai_load_relaxed(&fai_memory_lane(memory, lane)->events_dropped);
    return dropped;
}

void fai_events_look_at_memory(fai_memory *memory)
{
    const fai_blocks *blocks = &memory->blocks;
    fai_events *events = &memory->events;
    fai_lane *main_lane = fai_memory_lane(memory, 0);
    uint64_t limit = (uint64_t)blocks->limit << FAI_BLOCK_SHIFT, refused = fai_load_relaxed(&blocks->refused);
    uint32_t resident = fai_blocks_resident(blocks), percent = memory->config.pressure_percent;
    uint64_t used = resident > blocks->spare ? (uint64_t)(resident - blocks->spare) << FAI_BLOCK_SHIFT : 0;
    bool pressed = percent > 0 && used >= limit / 100 * percent;
    if (pressed && !events->pressed) fai_event(main_lane, FA_EVENT_MEMORY_PRESSURE, NULL, used, limit, 0);
    events->pressed = pressed;
    if (refused > events->refused_seen)
        fai_event(main_lane, FA_EVENT_MEMORY_REFUSED, NULL, refused - events->refused_seen, limit, 0);
    events->refused_seen = refused;
}
