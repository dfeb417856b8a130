// SPDX-License-Identifier: MIT
//
// Phases: the part of a lane's label that says when. See label.h.
#include "alloc/lane.h"
#include "concurrent/check.h"
#include "concurrent/clock.h"

#include <string.h>

static const fai_names *names_of(const fai_lane *lane)
{
    return &lane->memory->labels->phases;
}

static const char *path_of(const fai_lane *lane)
{
    return names_of(lane)->nodes[fai_label_phase(lane->label)].path;
}

fa_status fa_phase_begin(fa_worker *w, const char *name)
{
    if (w == NULL || name == NULL || name[0] == '\0' || strstr(name, "::") != NULL) return FA_ERROR_INVALID;
    fai_lane *lane = fai_lane_of(w);
    fa_status usable = fai_lane_check(lane);
    if (usable != FA_OK) return usable;
    if (lane->slot == FAI_NO_SLOT) {
        fai_report(lane->memory, lane, "FA001", "a phase is a part of a frame", "begin a frame first",
                   "phase %s begun outside a frame", name);
        return FA_ERROR_STATE;
    }
    uint32_t before = fai_label_phase(lane->label);
    if (strlen(names_of(lane)->nodes[before].path) + 2 + strlen(name) > FA_PATH_MAX) return FA_ERROR_INVALID;
    if (lane->phase_depth == FA_PHASE_DEPTH) return FA_ERROR_FULL;
    uint32_t phase = fai_names_child_any(&lane->memory->labels->phases, before, name, strlen(name));
    if (phase == FAI_INDEX_NONE) return FA_ERROR_FULL;
    fai_lane_switch_label(lane, fai_label_make(fai_label_tag(lane->label), phase));
    fai_zone zone = fai_zone_begin(lane, FA_EVENT_PHASE_BEGIN, names_of(lane)->nodes[phase].path, 0, 0);
    lane->phases[lane->phase_depth++] = (fai_open_phase){before, fai_lane_serial(lane), fai_now_ns(), zone};
    return FA_OK;
}

fa_status fa_phase_end(fa_worker *w)
{
    if (w == NULL) return FA_ERROR_INVALID;
    fai_lane *lane = fai_lane_of(w);
    fa_status usable = fai_lane_check(lane);
    if (usable != FA_OK) return usable;
    const fai_open_phase *open = lane->phase_depth > 0 ? &lane->phases[lane->phase_depth - 1] : NULL;
    if (open == NULL || open->serial != fai_lane_serial(lane)) {
        fai_report(lane->memory, lane, "FA913", "nothing was ended", "end a phase where it was begun, or use FA_PHASE",
                   "fa_phase_end() without a phase that this lane began in the current job");
        return FA_ERROR_STATE;
    }
    uint32_t phase = fai_label_phase(lane->label);
    uint64_t ns = fai_now_ns() - open->since_ns;
    fai_ledger_add_phase(lane, phase, ns);
    fai_zone_end(lane, &open->zone, names_of(lane)->nodes[phase].path, ns, 0);
    lane->phase_depth--;
    fai_lane_switch_label(lane, fai_label_make(fai_label_tag(lane->label), open->before));
    return FA_OK;
}

void fai_lane_close_phases(fai_lane *lane)
{
    while (lane->phase_depth > 0 && lane->phases[lane->phase_depth - 1].serial == fai_lane_serial(lane)) {
        fai_report(lane->memory, lane, "FA913", "it was ended for you", "end phases before the frame, or use FA_PHASE",
                   "phase %s was left open at the end of the frame", path_of(lane));
        (void)fa_phase_end(&lane->hot);
    }
}

const char *fa_phase_current(const fa_worker *w)
{
    const fai_lane *lane = (const fai_lane *)(const void *)w;
    return w != NULL && fai_lane_may_use(lane) ? path_of(lane) : "";
}

fa_phase_scope fa_phase_scope_begin(fa_worker *w, const char *name)
{
    return (fa_phase_scope){fa_phase_begin(w, name) == FA_OK ? w : NULL};
}

void fa_phase_scope_end(fa_phase_scope *scope)
{
    if (scope == NULL || scope->worker == NULL || !fai_lane_may_use(fai_lane_of(scope->worker))) return;
    (void)fa_phase_end(scope->worker);
    scope->worker = NULL;
}

static fa_status list_phases(const fai_ledger *ledger, const fai_name *names, fa_phase_stats *out, uint32_t max,
                             uint32_t *count)
{
    for (uint32_t phase = 1; phase < FAI_NAMES_MAX; phase++) {
        if ((ledger->touched[FAI_BY_PHASE][phase / 64] >> phase % 64 & 1) == 0) continue;
        const fai_counts *counts = &ledger->counts[FAI_BY_PHASE][phase];
        if ((*count)++ >= max) continue;
        *out++ = (fa_phase_stats){
            .path = names[phase].path,
            .ns = counts->ns,
            .entries = counts->entries,
            .frame_bytes = counts->bytes[FAI_USE_FRAME],
            .frame_allocs = counts->allocs[FAI_USE_FRAME],
            .retained_bytes = counts->retained_bytes,
            .retained = counts->retained,
            .pool_bytes = counts->bytes[FAI_USE_POOL],
            .pool_allocs = counts->allocs[FAI_USE_POOL],
            .heap_bytes = counts->bytes[FAI_USE_HEAP],
            .heap_allocs = counts->allocs[FAI_USE_HEAP],
            .group_bytes = counts->bytes[FAI_USE_GROUP],
            .group_allocs = counts->allocs[FAI_USE_GROUP],
            .scratch_bytes = counts->bytes[FAI_USE_SCRATCH],
            .scratch_allocs = counts->allocs[FAI_USE_SCRATCH],
            .stream_bytes = counts->bytes[FAI_USE_STREAM],
            .stream_allocs = counts->allocs[FAI_USE_STREAM],
            .handle_bytes = counts->bytes[FAI_USE_HANDLE],
            .handle_allocs = counts->allocs[FAI_USE_HANDLE],
            .job_memory_bytes = counts->bytes[FAI_USE_JOB],
            .job_memory_allocs = counts->allocs[FAI_USE_JOB],
        };
    }
    return FA_OK;
}

fa_status fa_phase_stats_read(const fa_system *fa, fa_phase_stats *out, uint32_t max, uint32_t *count)
{
    if (count != NULL) *count = 0;
    if (fa == NULL || count == NULL || (out == NULL && max > 0)) return FA_ERROR_INVALID;
    fa_status status = fai_memory_check_main((const fai_memory *)(const void *)fa);
    if (status != FA_OK) return status;
    const fai_labels *labels = ((const fai_memory *)(const void *)fa)->labels;
    return list_phases(&labels->last, labels->phases.nodes, out, max, count);
}

fa_status fa_phase_totals_read(const fa_system *fa, fa_phase_stats *out, uint32_t max, uint32_t *count)
{
    if (count != NULL) *count = 0;
    if (fa == NULL || count == NULL || (out == NULL && max > 0)) return FA_ERROR_INVALID;
    fa_status status = fai_memory_check_main((const fai_memory *)(const void *)fa);
    if (status != FA_OK) return status;
    const fai_labels *labels = ((const fai_memory *)(const void *)fa)->labels;
    return list_phases(&labels->total, labels->phases.nodes, out, max, count);
}
