// SPDX-License-Identifier: MIT
//
// Streams: their table, their accounts, and the way of their memory. See stream.h for who may do what; load.c loads them, pin.c
// reads them, evict.c makes room.
#include "alloc/lane.h"
#include "alloc/store.h"
#include "concurrent/annotate.h"
#include "concurrent/check.h"

#include <string.h>

#define FREED_BYTE 0xdd

_Static_assert(sizeof(fai_stream) == FAI_CACHE_LINE, "a stream has its line, and no more");
_Static_assert(FA_STREAMS_MAX <= FAI_INDEX_MAX, "streams are numbered in index stacks");

// Life of the table -----------------------------------------------------------------------------------------------------

bool fai_streams_init(fai_memory *memory)
{
    fai_streams *streams = &memory->streams;
    streams->budget = memory->config.stream_bytes_max;
    streams->capacity = memory->config.streams_max;
    streams->tag = memory->number & ((UINT32_C(1) << (32 - FAI_STREAM_INDEX_BITS)) - 1);
    streams->waiting = FAI_INDEX_NONE;
    if (streams->capacity == 0) return true;
    void *p = fai_map(streams->capacity * sizeof(fai_stream));
    if (p == NULL) return false;
    streams->slots = p;
    return true;
}

static uint64_t counter(const FAI_ATOMIC(uint64_t) *count)
{
    int64_t value = (int64_t)fai_load_relaxed(count); // steps are counted after they were taken, by several lanes
    return value > 0 ? (uint64_t)value : 0;
}

static uint64_t live_streams(const fai_streams *streams)
{
    uint64_t sum = 0;
    for (uint32_t state = FA_STREAM_RESERVED; state <= FA_STREAM_EVICTING; state++)
        sum += counter(&streams->count[state]);
    return sum;
}

void fai_streams_exit(fai_memory *memory)
{
    fai_streams *streams = &memory->streams;
    uint64_t left = live_streams(streams);
    if (left > 0)
        fai_report(memory, fai_memory_lane(memory, 0), "FA910", "they are released with the system",
                   "end loads, unpin and fa_stream_free() streams before fa_destroy()",
                   "never freed: %llu streams (%llu bytes of the budget)", (unsigned long long)left,
                   (unsigned long long)fai_streams_reserved(streams));
    fai_unmap(streams->slots, streams->capacity * sizeof(fai_stream));
    streams->slots = NULL;
}

// Slots -----------------------------------------------------------------------------------------------------------------

/// A slot that was never used, FAI_INDEX_NONE if there is none.
static uint32_t touch_slot(fai_streams *streams)
{
    uint32_t index = fai_load_relaxed(&streams->touched);
    while (index < streams->capacity)
        if (fai_cas_relaxed(&streams->touched, &index, index + 1)) return index;
    return FAI_INDEX_NONE;
}

static fai_stream *take_slot(fai_streams *streams)
{
    uint32_t retries = 0, index = FAI_INDEX_NONE;
    if (streams->capacity > 0)
        index = fai_index_stack_pop_any(&streams->unused, &streams->slots[0].link, sizeof(fai_stream), &retries);
    if (index == FAI_INDEX_NONE) index = touch_slot(streams);
    return index != FAI_INDEX_NONE ? &streams->slots[index] : NULL;
}

static uint32_t index_of(const fai_streams *streams, const fai_stream *slot)
{
    return (uint32_t)(slot - streams->slots);
}

static void give_slot(fai_streams *streams, fai_stream *slot)
{
    uint32_t generation = fai_stream_generation(fai_load_relaxed(&slot->word));
    if (generation == 0 && slot->age != 0) return; // used up; of a slot that was never reserved it begins with 1
    (void)fai_index_stack_push_any(&streams->unused, index_of(streams, slot), &slot->link);
}

fai_stream *fai_stream_slot_of(const fai_streams *streams, fa_stream stream)
{
    uint32_t low = (uint32_t)stream.bits, index = low & ((UINT32_C(1) << FAI_STREAM_INDEX_BITS) - 1);
    if (stream.bits >> 32 == 0 || low >> FAI_STREAM_INDEX_BITS != streams->tag ||
        index >= fai_load_relaxed(&streams->touched))
        return NULL;
    return &streams->slots[index];
}

/// Whether the program freed the stream of a stale handle. Unknown, and no, when the slot was used more than 63 times since.
static bool was_freed(const fai_stream *slot, fa_stream stream, uint64_t word)
{
    uint32_t generation = (uint32_t)(stream.bits >> 32), since = fai_stream_generation(word) - generation;
    return since < 64 && (fai_load_relaxed(&slot->freed) >> generation % 64 & 1) != 0;
}

/// Eviction makes handles stale without anybody's fault: of those nothing is said.
static void report_handle(const fai_lane *lane, fa_stream stream, const char *why)
{
    if (!lane->checked) return;
    fai_report(lane->memory, lane, "FA401", why,
               "drop handles when their stream is freed, or ask fa_stream_state_of() first", "stream 0x%llx refused",
               (unsigned long long)stream.bits);
}

fa_status fai_stream_find(const fa_worker *w, fa_stream stream, fai_stream **slot, uint64_t *word)
{
    if (w == NULL) return FA_ERROR_INVALID;
    const fai_lane *lane = (const fai_lane *)(const void *)w;
    fa_status status = fai_lane_check(lane);
    if (status != FA_OK) return status;
    *slot = fai_stream_slot_of(&lane->memory->streams, stream);
    if (*slot == NULL) {
        report_handle(lane, stream, "it never was one of this system");
        return FA_ERROR_INVALID;
    }
    *word = fai_stream_load(*slot);
    if (FA_LIKELY(fai_stream_is_current(stream, *word))) return FA_OK;
    if (was_freed(*slot, stream, *word)) report_handle(lane, stream, "it was freed");
    return FA_ERROR_STALE;
}

// Accounts --------------------------------------------------------------------------------------------------------------

void fai_stream_recount(fai_streams *streams, const fai_stream *slot, fa_stream_state from, fa_stream_state to)
{
    uint64_t size = fai_load_relaxed(&slot->size);
    if (from == to) return;
    if (from != FA_STREAM_NONE) {
        (void)fai_sub_relaxed(&streams->count[from], 1u);
        (void)fai_sub_relaxed(&streams->bytes[from], size);
    }
    if (to != FA_STREAM_NONE) {
        (void)fai_add_relaxed(&streams->count[to], 1u);
        (void)fai_add_relaxed(&streams->bytes[to], size);
    }
}

// The end of a stream ---------------------------------------------------------------------------------------------------

void fai_stream_finish(fai_lane *lane, fai_stream *slot, fa_stream_state from, bool in_budget)
{
    fai_streams *streams = &lane->memory->streams;
    uint64_t size = fai_load_relaxed(&slot->size);
    fai_stream_close_loaded(streams, slot, fai_load_relaxed(&slot->word), 0);
    fai_stream_recount(streams, slot, from, FA_STREAM_NONE);
    fai_label_refund(lane, slot->label, FAI_USE_STREAM, size);
    if (in_budget) {
        uint64_t before = fai_sub_relaxed(&streams->reserved, size);
        FA_ASSERT(before >= size);
        (void)before;
    }
    if (fai_load_relaxed(&slot->memory) == NULL) {
        give_slot(streams, slot);
        return;
    }
    (void)fai_add_relaxed(&streams->leaving, 1u);
    (void)fai_add_relaxed(&streams->leaving_bytes, size);
    (void)fai_index_stack_push_any(&streams->retired, index_of(streams, slot), &slot->link);
}

bool fai_streams_gather(fai_memory *memory)
{
    fai_streams *streams = &memory->streams;
    uint32_t retries = 0;
    FA_ASSERT(streams->waiting == FAI_INDEX_NONE);
    if (streams->capacity == 0) return false;
    for (;;) {
        uint32_t index = fai_index_stack_pop_any(&streams->retired, &streams->slots[0].link, sizeof(fai_stream),
                                                 &retries);
        if (index == FAI_INDEX_NONE) return streams->waiting != FAI_INDEX_NONE;
        fai_store_relaxed(&streams->slots[index].link, streams->waiting);
        streams->waiting = index;
    }
}

void fai_stream_give_memory(fai_lane *lane, fai_stream *slot)
{
    void *p = fai_load_relaxed(&slot->memory);
    FA_ASSERT(p != NULL);
    if (lane->memory->config.checked) memset(p, FREED_BYTE, fai_load_relaxed(&slot->size));
    fai_store_relaxed(&slot->memory, NULL);
    fai_store_give(lane, p);
}

void fai_streams_reclaim(fai_memory *memory)
{
    fai_streams *streams = &memory->streams;
    fai_lane *main_lane = fai_memory_lane(memory, 0);
    while (streams->waiting != FAI_INDEX_NONE) {
        fai_stream *slot = &streams->slots[streams->waiting];
        streams->waiting = fai_load_relaxed(&slot->link);
        FA_ASSERT(fai_stream_state_in(fai_load_relaxed(&slot->word)) == FAI_STREAM_GONE);
        (void)fai_sub_relaxed(&streams->leaving, 1u);
        (void)fai_sub_relaxed(&streams->leaving_bytes, fai_load_relaxed(&slot->size));
        fai_stream_give_memory(main_lane, slot);
        give_slot(streams, slot);
    }
}

// Reserve ---------------------------------------------------------------------------------------------------------------

/// Refusals may be routine, every tick: they are reported when their number is a power of two.
static fa_status refuse(fai_lane *lane, uint64_t size, const char *what)
{
    uint64_t count = fai_add_relaxed(&lane->memory->streams.refused, 1u) + 1;
    if ((count & (count - 1)) != 0) return FA_ERROR_FULL;
    fai_report(lane->memory, lane, "FA402",
               "nothing was evicted; most refusals are only counted (fa_stream_stats.refused)",
               "raise fa_config.stream_bytes_max or streams_max, free streams, or reserve with a higher priority",
               "a stream of %llu bytes is refused, refusal %llu so far: %s", (unsigned long long)size,
               (unsigned long long)count, what);
    return FA_ERROR_FULL;
}

static bool is_priority(fa_stream_priority priority)
{
    return (uint32_t)priority <= FA_STREAM_CRITICAL;
}

/// Charges the tag that the stream is for, then the budget: the tag must not refuse when others were evicted already.
static fa_status pay(fai_lane *lane, fai_stream *slot, uint64_t size, uint32_t priority, uint32_t *plan)
{
    slot->label = fai_lane_label(lane);
    if (!fai_label_charge(lane, slot->label, FAI_USE_STREAM, size)) return FA_ERROR_FULL;
    fa_status status = fai_streams_take(lane, size, priority, plan);
    if (status == FA_OK) return FA_OK;
    fai_label_refund(lane, slot->label, FAI_USE_STREAM, size);
    return status == FA_ERROR_FULL ? refuse(lane, size, "the budget has no room that it may make") : status;
}

static void publish(fai_lane *lane, fai_stream *slot, uint64_t size, uint32_t priority,
                    const fa_stream_options *options)
{
    static const fa_stream_options none = {NULL, NULL, NULL, 0};
    fai_streams *streams = &lane->memory->streams;
    if (options == NULL) options = &none;
    uint32_t generation = fai_stream_generation(fai_load_relaxed(&slot->word));
    if (generation == 0) generation = 1;
    uint64_t word = fai_stream_word(generation, FAI_STREAM_RESERVED, priority, 0);
    FA_ASSERT(fai_load_relaxed(&slot->memory) == NULL);
    fai_store_relaxed(&slot->size, size);
    fai_store_relaxed(&slot->used, 0u);
    (void)fai_and_relaxed(&slot->freed, ~(UINT64_C(1) << generation % 64));
    fai_stream_begin_loaded(slot, word);
    slot->age = fai_add_relaxed(&streams->ages, 1u) + 1;
    slot->align = options->align > FA_ALIGN_DEFAULT ? options->align : FA_ALIGN_DEFAULT;
    slot->name = options->name;
    slot->user = options->user;
    slot->evict = options->evict;
    fai_stream_recount(streams, slot, FA_STREAM_NONE, FA_STREAM_RESERVED);
    // [stream.word] release: publishes what the stream is.
    fai_store_release(&slot->word, word);
}

fa_status fa_stream_reserve(fa_worker *w, size_t size, fa_stream_priority priority, const fa_stream_options *options,
                            fa_stream *out)
{
    if (out == NULL) return FA_ERROR_INVALID;
    out->bits = 0;
    if (w == NULL || size == 0 || !is_priority(priority)) return FA_ERROR_INVALID;
    fai_lane *lane = fai_lane_of(w);
    fa_status status = fai_lane_check(lane);
    if (status != FA_OK) return status;
    size_t align = options != NULL ? options->align : 0;
    if (!fai_lane_align(lane, &align, SIZE_MAX)) return FA_ERROR_INVALID;
    fai_streams *streams = &lane->memory->streams;
    fai_memory_note_loose_counters(lane->memory);
    if (size > streams->budget) return refuse(lane, size, "the whole budget is smaller");
    fai_stream *slot = take_slot(streams);
    if (slot == NULL) return refuse(lane, size, "streams_max are in use or waiting for their grace period");
    uint32_t plan;
    status = pay(lane, slot, size, priority, &plan);
    if (status != FA_OK) {
        give_slot(streams, slot);
        return status;
    }
    publish(lane, slot, size, priority, options);
    fai_lane_count(lane, FAI_USE_STREAM, size);
    *out = fai_stream_handle(streams, fai_stream_generation(fai_load_relaxed(&slot->word)), index_of(streams, slot));
    if (plan != 0) fai_streams_evict(lane, plan);
    return FA_OK;
}

// Change and free -------------------------------------------------------------------------------------------------------

fa_status fa_stream_set_priority(fa_worker *w, fa_stream stream, fa_stream_priority priority)
{
    fai_stream *slot;
    uint64_t word;
    if (!is_priority(priority)) return FA_ERROR_INVALID;
    fa_status status = fai_stream_find(w, stream, &slot, &word);
    if (status != FA_OK) return status;
    while (fai_stream_is_current(stream, word)) {
        fai_stream_state state = fai_stream_state_in(word);
        if (state >= FAI_STREAM_EVICTING) return FA_ERROR_STALE;
        if (state == FAI_STREAM_CLAIMED) {
            if (!fai_stream_take_back(fai_lane_of(w), slot, word)) return FA_ERROR_STALE;
            word = fai_stream_load(slot);
            continue;
        }
        uint64_t to = fai_stream_word(fai_stream_generation(word), state, priority, fai_stream_count_in(word));
        if (fai_stream_step(slot, &word, to)) return FA_OK;
    }
    return FA_ERROR_STALE;
}

typedef struct fate {
    uint64_t to;
    fa_stream_state from, counted; // FA_STREAM_NONE: gone at once
    bool recount;
} fate;

/// What becomes of a stream in a state that is freed by `lane`; to == 0: it is going already.
static fate fate_of(const fai_lane *lane, uint64_t word)
{
    uint64_t over = fai_stream_over(word);
    uint32_t count = fai_stream_count_in(word);
    switch (fai_stream_state_in(word)) {
        case FAI_STREAM_RESERVED: return (fate){over, FA_STREAM_RESERVED, FA_STREAM_NONE, true};
        case FAI_STREAM_LOADING:
            if (count == lane->hot.index) return (fate){over, FA_STREAM_LOADING, FA_STREAM_NONE, true};
            return (fate){fai_stream_to(word, FAI_STREAM_FREED_LOADING, 0), FA_STREAM_LOADING, FA_STREAM_EVICTING,
                          true};
        case FAI_STREAM_CHANGING: // counted by the lane that changes it
            return (fate){fai_stream_to(word, FAI_STREAM_FREED_CHANGING, 0), FA_STREAM_NONE, FA_STREAM_EVICTING, false};
        case FAI_STREAM_READY:
            if (count == 0) return (fate){over, FA_STREAM_READY, FA_STREAM_NONE, true};
            return (fate){fai_stream_to(word, FAI_STREAM_FREED_PINNED, count), FA_STREAM_READY, FA_STREAM_EVICTING,
                          true};
        default: return (fate){0, FA_STREAM_NONE, FA_STREAM_NONE, false};
    }
}

fa_status fa_stream_free(fa_worker *w, fa_stream stream)
{
    fai_stream *slot;
    uint64_t word;
    fa_status status = fai_stream_find(w, stream, &slot, &word);
    if (status != FA_OK) return status;
    fai_lane *lane = fai_lane_of(w);
    while (fai_stream_is_current(stream, word)) {
        if (fai_stream_state_in(word) == FAI_STREAM_CLAIMED) {
            if (!fai_stream_take_back(lane, slot, word)) return FA_ERROR_STALE;
            word = fai_stream_load(slot);
            continue;
        }
        fate is = fate_of(lane, word);
        if (is.to == 0) return FA_ERROR_STALE;
        if (!fai_stream_step(slot, &word, is.to)) continue;
        (void)fai_or_relaxed(&slot->freed, UINT64_C(1) << (stream.bits >> 32) % 64);
        if (is.counted == FA_STREAM_NONE)
            fai_stream_finish(lane, slot, is.from, true);
        else if (is.recount)
            fai_stream_recount(&lane->memory->streams, slot, is.from, is.counted);
        return FA_OK;
    }
    return FA_ERROR_STALE;
}

// Looking on ------------------------------------------------------------------------------------------------------------

fa_stream_state fa_stream_state_of(const fa_system *fa, fa_stream stream)
{
    if (fa == NULL) return FA_STREAM_NONE;
    const fai_memory *memory = (const fai_memory *)(const void *)fa;
    const fai_stream *slot = fai_stream_slot_of(&memory->streams, stream);
    if (slot == NULL) return FA_STREAM_NONE;
    bool lost;
    uint64_t word = fai_stream_look(memory, slot, &lost);
    if (!fai_stream_is_current(stream, word)) return FA_STREAM_NONE;
    switch (fai_stream_state_in(word)) {
        case FAI_STREAM_RESERVED: return FA_STREAM_RESERVED;
        case FAI_STREAM_CHANGING:
        case FAI_STREAM_LOADING: return FA_STREAM_LOADING;
        case FAI_STREAM_READY: return FA_STREAM_READY;
        case FAI_STREAM_CLAIMED: return lost ? FA_STREAM_EVICTING : FA_STREAM_READY;
        default: return FA_STREAM_EVICTING;
    }
}

fa_status fa_stream_stats_read(const fa_system *fa, fa_stream_stats *out)
{
    if (fa == NULL || out == NULL) return FA_ERROR_INVALID;
    const fai_streams *streams = &((const fai_memory *)(const void *)fa)->streams;
    *out = (fa_stream_stats){
        .budget = streams->budget,
        .reserved_bytes = fai_streams_reserved(streams),
        .reserved_peak = fai_load_relaxed(&streams->reserved_peak),
        .loading_bytes = counter(&streams->bytes[FA_STREAM_LOADING]),
        .loading_loaded = counter(&streams->loading_loaded),
        .leaving_bytes = counter(&streams->leaving_bytes),
        .streams = live_streams(streams),
        .reserved = counter(&streams->count[FA_STREAM_RESERVED]),
        .loading = counter(&streams->count[FA_STREAM_LOADING]),
        .ready = counter(&streams->count[FA_STREAM_READY]),
        .evicting = counter(&streams->count[FA_STREAM_EVICTING]),
        .leaving = counter(&streams->leaving),
        .evictions = fai_load_relaxed(&streams->evictions),
        .evicted_bytes = fai_load_relaxed(&streams->evicted_bytes),
        .refused = fai_load_relaxed(&streams->refused),
    };
    out->loaded_bytes = out->loading_loaded + counter(&streams->bytes[FA_STREAM_READY]);
    out->utilisation = out->budget > 0 ? 100.0 * (double)out->reserved_bytes / (double)out->budget : 0.0;
    bool loading = out->loading_bytes > 0;
    out->loading_percent = loading ? 100.0 * (double)out->loading_loaded / (double)out->loading_bytes : 100.0;
    return FA_OK;
}
