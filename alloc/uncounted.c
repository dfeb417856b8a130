// SPDX-License-Identifier: MIT
//
// What the functions of tag.h, stats.h and snapshot.h answer in a build without statistics (FA_STATISTICS off): that they are not supported, and
// figures of zero. Arguments are not looked at but for where an answer goes. See uncounted.h.
#include "alloc/lane.h"

#include <string.h>

/// Zeroes *out if there is one.
static fa_status nothing(void *out, size_t size)
{
    if (out != NULL) memset(out, 0, size);
    return FA_ERROR_UNSUPPORTED;
}

// Tags and budgets ------------------------------------------------------------------------------------------------------

fa_status fa_tag_find(fa_system *fa, const char *path, fa_tag *out)
{
    (void)fa, (void)path;
    return nothing(out, sizeof *out);
}

const char *fa_tag_path(const fa_system *fa, fa_tag tag)
{
    return fa != NULL && tag.id == 0 ? "" : NULL;
}

fa_tag fa_tag_current(const fa_worker *w)
{
    (void)w;
    return (fa_tag){0};
}

fa_tag fa_tag_at(const fa_system *fa, uint32_t n)
{
    (void)fa, (void)n;
    return (fa_tag){0};
}

fa_tag_scope fa_tag_begin(fa_worker *w, const char *name)
{
    (void)w, (void)name;
    return (fa_tag_scope){NULL, 0, 0};
}

fa_tag_scope fa_tag_begin_at(fa_worker *w, fa_tag tag)
{
    (void)w, (void)tag;
    return (fa_tag_scope){NULL, 0, 0};
}

void fa_tag_end(fa_tag_scope *scope)
{
    (void)scope;
}

fa_status fa_budget_set(fa_system *fa, fa_tag tag, uint64_t soft, uint64_t hard)
{
    (void)fa, (void)tag, (void)soft, (void)hard;
    return FA_ERROR_UNSUPPORTED;
}

fa_status fa_tag_stats_read(const fa_system *fa, fa_tag tag, fa_tag_stats *out)
{
    (void)fa, (void)tag;
    return nothing(out, sizeof *out);
}

fa_status fa_lane_budget_set(fa_system *fa, uint32_t lane, fa_lane_use use, uint64_t soft, uint64_t hard)
{
    (void)fa, (void)lane, (void)use, (void)soft, (void)hard;
    return FA_ERROR_UNSUPPORTED;
}

fa_status fa_lane_budget_read(const fa_system *fa, uint32_t lane, fa_lane_use use, fa_lane_budget *out)
{
    (void)fa, (void)lane, (void)use;
    return nothing(out, sizeof *out);
}

/// Named by code that is not there; no lane has a budget.
uint64_t fai_lane_budget_room(const fai_lane_budget *budget, uint64_t held)
{
    (void)budget, (void)held;
    return UINT64_MAX;
}

// Phases ----------------------------------------------------------------------------------------------------------------

fa_status fa_phase_begin(fa_worker *w, const char *name)
{
    (void)w, (void)name;
    return FA_ERROR_UNSUPPORTED;
}

fa_status fa_phase_end(fa_worker *w)
{
    (void)w;
    return FA_ERROR_UNSUPPORTED;
}

const char *fa_phase_current(const fa_worker *w)
{
    (void)w;
    return "";
}

fa_phase_scope fa_phase_scope_begin(fa_worker *w, const char *name)
{
    (void)w, (void)name;
    return (fa_phase_scope){NULL};
}

void fa_phase_scope_end(fa_phase_scope *scope)
{
    (void)scope;
}

fa_status fa_phase_stats_read(const fa_system *fa, fa_phase_stats *out, uint32_t max, uint32_t *count)
{
    (void)fa, (void)out, (void)max;
    return nothing(count, sizeof *count);
}

fa_status fa_phase_totals_read(const fa_system *fa, fa_phase_stats *out, uint32_t max, uint32_t *count)
{
    (void)fa, (void)out, (void)max;
    return nothing(count, sizeof *count);
}

// Behaviour -------------------------------------------------------------------------------------------------------------

fa_behavior_limits fa_behavior_default(void)
{
    return (fa_behavior_limits){0};
}

fa_behavior_limits fa_behavior_strict(void)
{
    return (fa_behavior_limits){0};
}

fa_behavior_limits fa_behavior_relaxed(void)
{
    return (fa_behavior_limits){0};
}

fa_status fa_behavior_watch(fa_system *fa, const fa_behavior_limits *limits)
{
    (void)fa, (void)limits;
    return FA_ERROR_UNSUPPORTED;
}

fa_status fa_behavior_reset(fa_system *fa)
{
    (void)fa;
    return FA_ERROR_UNSUPPORTED;
}

fa_status fa_behavior_unwatch(fa_system *fa)
{
    (void)fa;
    return FA_ERROR_UNSUPPORTED;
}

fa_status fa_behavior_read(fa_system *fa, fa_tag tag, fa_behavior *out)
{
    (void)fa, (void)tag;
    return nothing(out, sizeof *out);
}

// Statistics and snapshots ----------------------------------------------------------------------------------------------

fa_status fa_stats_read(const fa_system *fa, fa_stats *out)
{
    (void)fa;
    return nothing(out, sizeof *out);
}

fa_status fa_handle_stats_read(const fa_system *fa, fa_handle_stats *out)
{
    (void)fa;
    return nothing(out, sizeof *out);
}

fa_status fa_snapshot_write_json(const fa_snapshot *snapshot, fa_write_fn *write, void *context)
{
    (void)snapshot, (void)write, (void)context;
    return FA_ERROR_UNSUPPORTED;
}

fa_status fa_snapshot_write_file(const fa_snapshot *snapshot, FILE *file)
{
    (void)snapshot, (void)file;
    return FA_ERROR_UNSUPPORTED;
}
