// SPDX-License-Identifier: MIT
//
// A sink that keeps diagnostics in the caller's array.
//
//     entries reserved == min(arrived, capacity); an entry may be read once it is ready
#include "concurrent/order.h"

#include <framealloc/diagnostics.h>

#include <stdio.h>
#include <string.h>

void fa_collector_init(fa_collector *collector, fa_collected *items, uint32_t capacity)
{
    if (collector == NULL) return;
    *collector = (fa_collector){.items = items, .capacity = items != NULL ? capacity : 0};
    for (uint32_t i = 0; items != NULL && i < capacity; i++) items[i].ready = 0;
}

static void copy(char *to, size_t size, const char *from)
{
    snprintf(to, size, "%s", from != NULL ? from : "");
}

void fa_collector_take(const fa_diagnostic *diagnostic, void *context)
{
    fa_collector *collector = context;
    if (collector == NULL || diagnostic == NULL) return;
    uint64_t at = fai_add_relaxed(&collector->arrived, UINT64_C(1));
    if (at >= collector->capacity) return;
    fa_collected *item = &collector->items[at];
    copy(item->code, sizeof item->code, diagnostic->code);
    item->severity = diagnostic->severity;
    item->lane = diagnostic->lane;
    item->frame = diagnostic->frame;
    item->lane_kind = diagnostic->lane_kind;
    copy(item->job, sizeof item->job, diagnostic->job);
    copy(item->tag, sizeof item->tag, diagnostic->tag);
    copy(item->phase, sizeof item->phase, diagnostic->phase);
    copy(item->message, sizeof item->message, diagnostic->message);
    copy(item->note, sizeof item->note, diagnostic->note);
    copy(item->help, sizeof item->help, diagnostic->help);
    // [collector.ready] release: the entry.
    fai_store_release(&item->ready, 1u);
}

/// The index-th of all places; NULL if it is empty or being written.
static const fa_collected *ready_item(const fa_collector *collector, uint32_t index)
{
    const fa_collected *item = &collector->items[index];
    // [collector.ready] acquire: the entry as it was written.
    return fai_load_acquire(&item->ready) != 0 ? item : NULL;
}

const fa_collected *fa_collector_get(const fa_collector *collector, const char *code, uint32_t index)
{
    for (uint32_t i = 0; collector != NULL && i < collector->capacity; i++) {
        const fa_collected *item = ready_item(collector, i);
        if (item == NULL || (code != NULL && strcmp(item->code, code) != 0)) continue;
        if (index-- == 0) return item;
    }
    return NULL;
}

uint32_t fa_collector_count(const fa_collector *collector, const char *code)
{
    uint32_t count = 0;
    for (uint32_t i = 0; collector != NULL && i < collector->capacity; i++) {
        const fa_collected *item = ready_item(collector, i);
        if (item != NULL && (code == NULL || strcmp(item->code, code) == 0)) count++;
    }
    return count;
}

uint32_t fa_collector_errors(const fa_collector *collector)
{
    uint32_t count = 0;
    for (uint32_t i = 0; collector != NULL && i < collector->capacity; i++) {
        const fa_collected *item = ready_item(collector, i);
        if (item != NULL && item->severity == FA_SEVERITY_ERROR) count++;
    }
    return count;
}

uint64_t fa_collector_lost(const fa_collector *collector)
{
    if (collector == NULL) return 0;
    uint64_t arrived = fai_load_relaxed(&collector->arrived);
    return arrived > collector->capacity ? arrived - collector->capacity : 0;
}
