// SPDX-License-Identifier: MIT
//
// The default configuration, and what makes one acceptable.
#include "alloc/lane.h"
#include "concurrent/thread.h"

#define RESERVE_DEFAULT ((uint64_t)64 << 30)
#define RESERVE_MIN ((uint64_t)64 << 20)
#define RESERVE_MAX ((uint64_t)1 << 40)
#define STREAM_BYTES_DEFAULT ((uint64_t)256 << 20)

fa_config fa_config_default(void)
{
    return (fa_config){
        .cookie = FA_CONFIG_COOKIE,
        .worker_count = FA_WORKERS_AUTO,
        .attached_max = 16,
        .frames_in_flight = 1,
        .deque_capacity = 4096,
        .search_spin_us = 20,
        .memory_max = 0,
        .reserve_bytes = RESERVE_DEFAULT,
        .frame_bytes_max = 0,
        .prefault_bytes = 0,
        .retained_max = 65536,
        .promotion_bytes_max = 0,
        .pool_classes = FA_CLASSES_ALL,
        .promotion_size_max = 0,
        .handles_max = 1u << 20,
        .backtraces = 0,
        .backtrace_sites = 4096,
        .quarantine = 0,
        .drain_objects_max = 0,
        .transfers_max = 1024,
        .tick_late_ms = 0,
        .tick_hooks = false,
        .stream_bytes_max = 0,
        .streams_max = 16384,
        .groups_max = 1024,
        .scratch_max = 64,
        .scratch_bytes = (uint64_t)1 << 20,
        .event_capacity = 16384,
        .history_length = 300,
        .pressure_percent = 90,
        .large_bytes = (uint64_t)1 << 20,
        .huge_pages = true,
        .pin_workers = false,
        .checked = FA_ASSERTIONS,
        .strict = FA_STRICT_WARN,
        .report = NULL,
        .report_context = NULL,
        .profiler = NULL,
    };
}

fa_config fa_config_minimal(void)
{
    fa_config config = fa_config_default();
    config.worker_count = 0;
    config.attached_max = 2;
    config.deque_capacity = 256;
    config.search_spin_us = 0;
    config.reserve_bytes = (uint64_t)1 << 30;
    config.frame_bytes_max = (uint64_t)1 << 20;
    config.retained_max = 1024;
    config.handles_max = 4096;
    config.streams_max = 1024;
    config.huge_pages = false;
    return config;
}

fa_config fa_config_high_performance(void)
{
    fa_config config = fa_config_default();
    config.deque_capacity = 16384;
    config.search_spin_us = 50;
    config.prefault_bytes = (uint64_t)64 << 20;
    config.retained_max = 1u << 20;
    config.streams_max = 65536;
    config.checked = false;
    return config;
}

static bool is_block_multiple(uint64_t bytes)
{
    return (bytes & (FAI_BLOCK_BYTES - 1)) == 0;
}

typedef struct rule {
    bool holds;
    const char *text;
} rule;

static const char *first_broken(const rule *rules, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!rules[i].holds) return rules[i].text;
    return NULL;
}

#define CHECK(...) first_broken((const rule[]){__VA_ARGS__}, sizeof((const rule[]){__VA_ARGS__}) / sizeof(rule))

static const char *check_counts(const fa_config *c)
{
    uint32_t capacity = c->deque_capacity;
    return CHECK(
        {c->worker_count <= FA_WORKERS_MAX, "worker_count is 0 to 192, or FA_WORKERS_AUTO"},
        {c->attached_max <= FA_ATTACHED_MAX, "attached_max is 0 to 62"},
        {c->frames_in_flight >= 1 && c->frames_in_flight <= FA_FRAMES_IN_FLIGHT_MAX, "frames_in_flight is 1 to 16"},
        {capacity >= 16 && capacity <= 65536 && (capacity & (capacity - 1)) == 0,
         "deque_capacity is a power of two, 16 to 65536"},
        {c->backtraces <= FA_BACKTRACE_MAX, "backtraces is 0 to 16"},
        {c->backtrace_sites <= 65535, "backtrace_sites is 0 to 65535"},
        {c->quarantine <= 65536, "quarantine is 0 to 65536"},
        {c->transfers_max <= 65535, "transfers_max is 0 to 65535"},
        {c->tick_late_ms <= 3600000, "tick_late_ms is 0 to 3600000"},
        {c->search_spin_us <= 1000000, "search_spin_us is 0 to 1000000"},
        {c->retained_max <= 1u << 24, "retained_max is 0 to 16777216"},
        {(uint32_t)c->strict <= FA_STRICT_STOP_ON_WARNING,
         "strict is FA_STRICT_WARN, FA_STRICT_STOP_ON_ERROR or FA_STRICT_STOP_ON_WARNING"},
        {c->handles_max <= FAI_HANDLES_MAX, "handles_max is 0 to 16777214"},
        {c->streams_max <= FA_STREAMS_MAX, "streams_max is 0 to 1048576"},
        {(c->pool_classes & ~FA_CLASSES_ALL) == 0 && c->pool_classes != 0,
         "pool_classes has one of its lowest 40 bits set, and no other"},
        {c->groups_max <= 32768, "groups_max is 0 to 32768"}, {c->scratch_max <= 4096, "scratch_max is 0 to 4096"});
}

static const char *check_sizes(const fa_config *c)
{
    uint64_t lanes = (uint64_t)c->worker_count + 1 + c->attached_max;
    uint64_t limit = c->memory_max != 0 ? c->memory_max : RESERVE_MAX;
    return CHECK(
        {c->reserve_bytes >= RESERVE_MIN && c->reserve_bytes <= RESERVE_MAX && is_block_multiple(c->reserve_bytes),
         "reserve_bytes is a multiple of 2 MiB, 64 MiB to 1 TiB"},
        {limit >= lanes * FAI_BLOCK_BYTES,
         "memory_max is 0, or at least 2 MiB for each lane: the main lane, worker_count and attached_max"},
        {is_block_multiple(c->prefault_bytes) && c->prefault_bytes <= c->reserve_bytes && c->prefault_bytes <= limit,
         "prefault_bytes is a multiple of 2 MiB, at most reserve_bytes and memory_max"},
        {c->frame_bytes_max <= c->reserve_bytes && c->frame_bytes_max <= limit,
         "frame_bytes_max is at most reserve_bytes and memory_max"},
        {c->stream_bytes_max <= c->reserve_bytes && c->stream_bytes_max <= limit,
         "stream_bytes_max is at most reserve_bytes and memory_max"},
        {c->scratch_bytes >= FA_ALIGN_DEFAULT && c->scratch_bytes <= c->reserve_bytes,
         "scratch_bytes is 16 to reserve_bytes"});
}

static const char *check_observation(const fa_config *c)
{
    uint32_t capacity = c->event_capacity;
    return CHECK({capacity >= 64 && capacity <= 1u << 20 && (capacity & (capacity - 1)) == 0,
                  "event_capacity is a power of two, 64 to 1048576"},
                 {c->history_length >= 1 && c->history_length <= 65536, "history_length is 1 to 65536"},
                 {c->pressure_percent <= 100, "pressure_percent is 0 to 100"},
                 {c->large_bytes == 0 || c->large_bytes >= FA_CLASS_SIZE_MAX, "large_bytes is 0, or at least 32768"},
                 {c->profiler == NULL || FA_TRACE, "profiler is NULL in a build without FA_TRACE"},
                 {!c->frame_counts || FA_STATISTICS, "frame_counts is false in a build without FA_STATISTICS"});
}

fa_status fai_config_check(const fa_config *config, fa_config *resolved)
{
    if (config->cookie != FA_CONFIG_COOKIE) {
        fai_config_report(NULL, "fa_config_default() of this version did not make it");
        return FA_ERROR_CONFIG;
    }
    *resolved = *config;
    if (resolved->worker_count == FA_WORKERS_AUTO) {
        uint32_t cpus = fai_cpu_count();
        resolved->worker_count = cpus > 2 ? cpus - 1 : 1;
        if (resolved->worker_count > FA_WORKERS_MAX) resolved->worker_count = FA_WORKERS_MAX;
    }
    const char *broken = check_counts(resolved);
    if (broken == NULL) broken = check_sizes(resolved);
    if (broken == NULL) broken = check_observation(resolved);
    if (broken == NULL) {
        if (resolved->stream_bytes_max == 0)
            resolved->stream_bytes_max = resolved->memory_max != 0 ? resolved->memory_max / 4 : STREAM_BYTES_DEFAULT;
        fai_config_read_strict(resolved);
        return FA_OK;
    }
    fai_config_report(resolved, broken);
    return FA_ERROR_INVALID;
}
