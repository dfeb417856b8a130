// SPDX-License-Identifier: MIT
//
// Statistics on their way out: each lane publishes its counters when it goes idle or is serviced, the main lane merges them at the
// boundary into one of two buffers and then says which. A reader copies the buffer of the version it saw and keeps the copy if the version
// has not moved since; so nobody waits for a main lane that is stopped in the middle of writing.
//
// What changes with every frame comes first in fa_stats. The rest mostly stays as it is, and then is neither merged nor written again: the
// two parts of a version lie in buffers that are chosen apart.
//
//     version == number of publications << 1 | buffer of the rest; the first part lies in buffer number % 2
#include "alloc/lane.h"
#include "concurrent/check.h"

#define STATS_WORDS (sizeof(fa_stats) / sizeof(uint64_t))
#define LANE_WORDS (sizeof(fai_lane_stats) / sizeof(uint64_t))
#define LANE_WORDS_PLAIN (offsetof(fai_lane_stats, group_objects) / sizeof(uint64_t)) // without those of shared arenas

_Static_assert(sizeof(fa_stats) % sizeof(uint64_t) == 0, "fa_stats is copied in words");
_Static_assert(sizeof(fai_lane_stats) % sizeof(uint64_t) == 0, "fai_lane_stats is copied in words");

/// Adds the objects of one tag to the lane's; returns the bytes in magazines.
static uint64_t add_purse(const fai_purse *purse, fai_lane_stats *now)
{
    uint64_t at_hand = 0;
    for (uint64_t classes = purse->classes; classes != 0; classes &= classes - 1) {
        uint32_t size_class = (uint32_t)__builtin_ctzll(classes), size = fai_class_size(size_class);
        const fa_magazine *magazine = &purse->magazines[size_class];
        uint32_t count = fa_magazine_count(magazine);
        int64_t live = purse->taken[size_class] - (int64_t)count;
        now->pool_live += live;
        now->pool_live_bytes += live * (int64_t)size;
        now->pool_allocs += magazine->state >> 8;
        at_hand += (uint64_t)count * size;
    }
    return at_hand;
}

static void publish_class(fai_lane *lane, uint32_t size_class)
{
    fai_class_stats now = {.slabs = lane->slabs.pool_slabs[size_class], .refills = lane->refills[size_class]};
    for (uint32_t i = 0; i < lane->purse_count; i++) {
        const fai_purse *purse = fai_lane_purse(lane, lane->purses[i]);
        uint32_t count = fa_magazine_count(&purse->magazines[size_class]);
        now.at_hand += count;
        now.live += (uint64_t)(purse->taken[size_class] - (int64_t)count);
    }
    fai_class_stats *to = &lane->published_classes[size_class];
    fai_store_relaxed(&to->live, now.live);
    fai_store_relaxed(&to->at_hand, now.at_hand);
    fai_store_relaxed(&to->slabs, now.slabs);
    fai_store_relaxed(&to->refills, now.refills);
}

/// What a lane made before it first published for this watch does not count: it may have been at work when that began.
static void publish_tag_pools(fai_lane *lane)
{
    uint64_t watch = fai_load_relaxed(&lane->memory->watch);
    bool first = fai_load_relaxed(&lane->tags_published) >> 32 != watch;
    for (uint32_t i = 1; i < lane->purse_count; i++) {
        fai_lane_stats of_tag = {0};
        fai_purse *purse = fai_lane_purse(lane, lane->purses[i]);
        (void)add_purse(purse, &of_tag);
        if (first) purse->made_before = of_tag.pool_allocs;
        fai_tag_pool *to = &lane->tag_pools[i - 1];
        fai_store_relaxed(&to->tag, (uint64_t)lane->purses[i]);
        fai_store_relaxed(&to->live, (uint64_t)of_tag.pool_live);
        // [behavior.made] release: who sees that objects were made sees those that live: others it would take for freed.
        fai_store_release(&to->made, of_tag.pool_allocs - purse->made_before);
    }
    // [behavior.tags] release: the entries.
    fai_store_release(&lane->tags_published, watch << 32 | (lane->purse_count - 1));
}

void fai_lane_publish(fai_lane *lane)
{
    fai_lane_stats now = lane->stats;
    (void)add_purse(&lane->untagged, &now);
    for (uint32_t i = 1; i < lane->purse_count; i++) {
        uint32_t tag = lane->purses[i];
        fai_store_relaxed(&lane->at_hand[tag], add_purse(fai_lane_purse(lane, tag), &now));
    }
    uint32_t wanted = fai_load_relaxed(&lane->memory->wanted);
    if ((wanted & FAI_WANT_CLASSES) != 0)
        for (uint32_t i = 0; i < FA_CLASS_COUNT; i++) publish_class(lane, i);
    if ((wanted & FAI_WANT_TAG_POOLS) != 0) publish_tag_pools(lane);
    now.foreign_frees = fai_load_relaxed(&lane->mailbox.foreign_frees);
    lane->changed = false;
    const uint64_t *from = (const uint64_t *)(const void *)&now;
    uint64_t *to = (uint64_t *)(void *)&lane->published;
    size_t words = lane->arenas_used ? LANE_WORDS : LANE_WORDS_PLAIN;
    for (size_t i = 0; i < words; i++) fai_store_relaxed(&to[i], from[i]);
    // [stats.lane] release: the main lane, which sees that the lane has published, sees what.
    fai_store_release(&lane->publications, fai_load_relaxed(&lane->publications) + 1);
}

fai_lane_stats fai_memory_sum(const fai_memory *memory)
{
    fai_lane_stats sum = {0};
    uint64_t *words = (uint64_t *)(void *)&sum;
    size_t count = fai_load_relaxed(&memory->arenas.used) != 0 ? LANE_WORDS : LANE_WORDS_PLAIN;
    for (uint32_t lane = 0; lane < fai_memory_lanes_used(memory); lane++) {
        const uint64_t *from = (const uint64_t *)(const void *)&fai_memory_lane(memory, lane)->published;
        for (size_t i = 0; i < count; i++) words[i] += fai_load_relaxed(&from[i]);
    }
    return sum;
}

static uint64_t not_negative(int64_t value)
{
    return value > 0 ? (uint64_t)value : 0;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static void merge_blocks(fai_memory *memory, fa_stats *merged)
{
    const fai_blocks *blocks = &memory->blocks;
    merged->memory_bytes = (uint64_t)fai_blocks_resident(blocks) << FAI_BLOCK_SHIFT;
    merged->memory_peak = (uint64_t)fai_load_relaxed(&blocks->resident_peak) << FAI_BLOCK_SHIFT;
    merged->memory_free = (uint64_t)blocks->spare << FAI_BLOCK_SHIFT;
    merged->memory_refused = fai_load_relaxed(&blocks->refused);
}

static void merge_reclaim(fai_memory *memory, fa_stats *merged)
{
    merged->reclaimed = memory->reclaimed;
    merged->backlog = merged->retired - merged->reclaimed;
    uint64_t oldest = memory->waiting.count > 0    ? memory->waiting_frame
                      : memory->gathered.count > 0 ? memory->gathered_frame
                                                   : 0;
    merged->backlog_frames = oldest != 0 ? fai_load_relaxed(&memory->frame_number) - oldest : 0;
}

static void merge_streams(const fai_memory *memory, fa_stats *merged)
{
    fa_stream_stats streams = {0};
    (void)fa_stream_stats_read((const fa_system *)(const void *)memory, &streams);
    merged->streams = streams.streams;
    merged->stream_reserved_bytes = streams.reserved_bytes;
    merged->stream_reserved_bytes_peak = streams.reserved_peak;
    merged->stream_loaded_bytes = streams.loaded_bytes;
    merged->stream_leaving_bytes = streams.leaving_bytes;
    merged->stream_evictions = streams.evictions;
    merged->stream_refused = streams.refused;
}

/// All but the first part.
FAI_APART static void merge_rest(fai_memory *memory)
{
    fa_stats *merged = &memory->merged;
    fai_lane_stats sum = fai_memory_sum(memory);
    merged->pool_live = not_negative(sum.pool_live);
    merged->pool_live_bytes = not_negative(sum.pool_live_bytes);
    merged->pool_live_bytes_peak = larger(merged->pool_live_bytes_peak, merged->pool_live_bytes);
    merged->pool_allocs = sum.pool_allocs;
    merged->pool_refills = sum.pool_refills;
    merged->heap_live = not_negative(sum.heap_live);
    merged->heap_live_bytes = not_negative(sum.heap_live_bytes);
    merged->heap_live_bytes_peak = larger(merged->heap_live_bytes_peak, merged->heap_live_bytes);
    merged->heap_allocs = sum.heap_allocs;
    merged->handle_live = not_negative(sum.handle_live);
    merged->handle_live_bytes = not_negative(sum.handle_live_bytes);
    merged->handle_allocs = sum.handle_allocs;
    merged->groups = fai_load_relaxed(&memory->arenas.groups);
    merged->group_objects = not_negative(sum.group_objects);
    merged->group_bytes = not_negative(sum.group_bytes);
    merged->group_refused = sum.group_refused;
    merged->scratch_pools = fai_load_relaxed(&memory->arenas.pools);
    merged->scratch_capacity = fai_load_relaxed(&memory->arenas.pool_capacity);
    merged->scratch_bytes = not_negative(sum.scratch_bytes);
    merged->scratch_refused = sum.scratch_refused;
    merged->job_memories = not_negative(sum.job_memories);
    merged->job_memory_bytes = not_negative(sum.job_bytes);
    merged->job_memory_refused = sum.job_refused;
    merged->remote_frees = sum.remote_frees;
    merged->foreign_frees = sum.foreign_frees;
    merged->frees_kept = sum.frees_kept;
    merged->retired = sum.retired;
    merge_blocks(memory, merged);
    merge_streams(memory, merged);
    merge_reclaim(memory, merged);
    merged->events_dropped = memory->events.rings > 0 ? fai_events_dropped(memory) : 0;
}

/// Whether some lane has published since this was last asked.
FAI_FRAME_END static bool have_published(fai_memory *memory)
{
    bool any = false;
    for (uint32_t i = 0; i < fai_memory_lanes_used(memory); i++) {
        fai_lane *lane = fai_memory_lane(memory, i);
        // [stats.lane] acquire: what the lane published before.
        uint64_t now = fai_load_acquire(&lane->publications);
        any |= now != lane->publications_seen;
        lane->publications_seen = now;
    }
    return any;
}

/// Whether what merge_rest() looks at may have changed since it last did.
FAI_FRAME_END static bool rest_is_due(fai_memory *memory)
{
    bool due = memory->stats_due | have_published(memory);
    memory->stats_due = false;
    // The age of the backlog changes by itself; others change streams, arenas and events without a word to the boundary.
    return due || memory->waiting.count + memory->gathered.count > 0 || fai_load_relaxed(&memory->loose_counters) != 0;
}

static inline void write_words(FAI_ATOMIC(uint64_t) *to, const uint64_t *from, size_t count)
{
    // [stats.word] release: a reader that sees a word of this version also sees that the one before is no longer the last.
    for (size_t i = 0; i < count; i++) fai_store_release(&to[i], from[i]);
}

FAI_FRAME_END void fai_memory_publish(fai_memory *memory)
{
    const uint64_t *merged = (const uint64_t *)(const void *)&memory->merged;
    uint64_t version = fai_load_relaxed(&memory->stats_version) + 2;
    if (rest_is_due(memory)) {
        version ^= 1;
        merge_rest(memory);
        write_words(memory->stats_rest[version & 1], merged + FAI_STATS_FIRST, FAI_STATS_REST);
    }
    write_words(memory->stats_first[version >> 1 & 1], merged, FAI_STATS_FIRST);
    // [stats.version] release: publishes the buffers.
    fai_store_release(&memory->stats_version, version);
}

static void read_words(uint64_t *to, const FAI_ATOMIC(uint64_t) *from, size_t count)
{
    // [stats.word] acquire: keeps the look at the version after the copy.
    for (size_t i = 0; i < count; i++) to[i] = fai_load_acquire(&from[i]);
}

fa_status fa_stats_read(const fa_system *fa, fa_stats *out)
{
    const fai_memory *memory = (const fai_memory *)(const void *)fa;
    if (fa == NULL || out == NULL) return FA_ERROR_INVALID;
    uint64_t *to = (uint64_t *)(void *)out;
    for (;;) {
        // [stats.version] acquire: the buffers of this version are complete.
        uint64_t version = fai_load_acquire(&memory->stats_version);
        read_words(to, memory->stats_first[version >> 1 & 1], FAI_STATS_FIRST);
        read_words(to + FAI_STATS_FIRST, memory->stats_rest[version & 1], FAI_STATS_REST);
        // A part is written again only after the next version was published with its other buffer.
        if (fai_load_relaxed(&memory->stats_version) == version) return FA_OK;
    }
}

fa_status fa_handle_stats_read(const fa_system *fa, fa_handle_stats *out)
{
    if (fa == NULL || out == NULL) return FA_ERROR_INVALID;
    const fai_memory *memory = (const fai_memory *)(const void *)fa;
    const fai_handles *handles = &memory->handles;
    fai_lane_stats sum = fai_memory_sum(memory);
    uint64_t made = fai_load_relaxed(&handles->made), worn = fai_load_relaxed(&handles->worn);
    uint64_t live = sum.handle_live > 0 ? (uint64_t)sum.handle_live : 0;
    *out = (fa_handle_stats){
        .live = live,
        .live_bytes = sum.handle_live_bytes > 0 ? (uint64_t)sum.handle_live_bytes : 0,
        .allocs = sum.handle_allocs,
        .fixed = sum.handle_fixed > 0 ? (uint64_t)sum.handle_fixed : 0,
        .pinned = sum.handle_pinned > 0 ? (uint64_t)sum.handle_pinned : 0,
        .relocated = fai_load_relaxed(&handles->relocated),
        .relocated_bytes = fai_load_relaxed(&handles->relocated_bytes),
        .slots = made,
        .slots_free = made > live + worn ? made - live - worn : 0,
        .slots_worn = worn,
        .blocks = fai_load_relaxed(&handles->chunk_count),
        .refused = fai_load_relaxed(&handles->refused),
    };
    return FA_OK;
}
