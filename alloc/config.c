// SPDX-License-Identifier: MIT
//
// The default configuration, and what makes one acceptable.
#include "alloc/lane.h"
#include "concurrent/thread.h"

#define RESERVE_DEFAULT ((uint64_t)64 << 30)
#define RESERVE_MIN ((uint64_t)64 << 20)
#define RESERVE_MAX ((uint64_t)1 << 40)

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
        .huge_pages = true,
        .pin_workers = false,
        .checked = FA_ASSERTIONS,
        .report = NULL,
        .report_context = NULL,
    };
}

static bool is_block_multiple(uint64_t bytes)
{
    return (bytes & (FAI_BLOCK_BYTES - 1)) == 0;
}

static bool threads_fit(const fa_config *config)
{
    return config->worker_count <= FA_WORKERS_MAX && config->attached_max <= FA_ATTACHED_MAX &&
           config->frames_in_flight >= 1 && config->frames_in_flight <= FA_FRAMES_IN_FLIGHT_MAX &&
           config->deque_capacity >= 16 && config->deque_capacity <= 65536 &&
           (config->deque_capacity & (config->deque_capacity - 1)) == 0 && config->search_spin_us <= 1000000 &&
           config->retained_max <= 1u << 24;
}

static bool sizes_fit(const fa_config *config)
{
    uint64_t lanes = (uint64_t)config->worker_count + 1 + config->attached_max;
    uint64_t limit = config->memory_max != 0 ? config->memory_max : RESERVE_MAX;
    return config->reserve_bytes >= RESERVE_MIN && config->reserve_bytes <= RESERVE_MAX &&
           is_block_multiple(config->reserve_bytes) && limit >= lanes * FAI_BLOCK_BYTES &&
           is_block_multiple(config->prefault_bytes) && config->prefault_bytes <= config->reserve_bytes &&
           config->prefault_bytes <= limit && config->frame_bytes_max <= config->reserve_bytes &&
           config->frame_bytes_max <= limit;
}

fa_status fai_config_check(const fa_config *config, fa_config *resolved)
{
    if (config->cookie != FA_CONFIG_COOKIE) return FA_ERROR_CONFIG;
    *resolved = *config;
    if (resolved->worker_count == FA_WORKERS_AUTO) {
        uint32_t cpus = fai_cpu_count();
        resolved->worker_count = cpus > 2 ? cpus - 1 : 1;
        if (resolved->worker_count > FA_WORKERS_MAX) resolved->worker_count = FA_WORKERS_MAX;
    }
    return threads_fit(resolved) && sizes_fit(resolved) ? FA_OK : FA_ERROR_INVALID;
}
