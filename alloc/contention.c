// SPDX-License-Identifier: MIT
//
// Traffic on lines that lanes share, summed over them.
#include "alloc/lane.h"

fa_status fa_contention_read(const fa_system *fa, fa_contention *out)
{
    const fai_memory *memory = (const fai_memory *)(const void *)fa;
    if (fa == NULL || out == NULL) return FA_ERROR_INVALID;
    *out = (fa_contention){0};
    fa_status status = fai_memory_check_main(memory);
    if (status != FA_OK) return status;
    if (!FA_CONTENTION) return FA_ERROR_UNSUPPORTED;
    uint64_t *sum = (uint64_t *)(void *)out;
    for (uint32_t lane = 0; lane < fai_memory_lanes_used(memory); lane++) {
        const fa_contention *counts = &fai_memory_lane(memory, lane)->contention;
        const uint64_t *words = (const uint64_t *)(const void *)counts;
        uint64_t max = fai_load_relaxed(&counts->inbox_drain_max),
                 drain_max = out->inbox_drain_max > max ? out->inbox_drain_max : max;
        for (size_t i = 0; i < sizeof *out / sizeof(uint64_t); i++) sum[i] += fai_load_relaxed(&words[i]);
        out->inbox_drain_max = drain_max;
    }
    return FA_OK;
}
