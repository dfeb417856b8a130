// SPDX-License-Identifier: MIT
//
// Budgets of lanes: see lane_budget.h.
#include "alloc/lane_budget.h"

#include "alloc/lane.h"
#include "concurrent/check.h"

static const char *const names[FA_LANE_USES] = {"frame memory", "pool and heap objects"};

static uint64_t objects_held(const fai_lane *lane)
{
    int64_t held = lane->stats.pool_live_bytes + lane->stats.heap_live_bytes; // of the pool: spans only
    held += (int64_t)fai_load_relaxed(&lane->adopted);
    for (uint32_t i = 0; i < lane->purse_count; i++) {
        const fai_purse *purse = fai_lane_purse(lane, lane->purses[i]);
        for (uint64_t classes = purse->classes; classes != 0; classes &= classes - 1) {
            uint32_t size_class = (uint32_t)__builtin_ctzll(classes);
            held += purse->taken[size_class] * (int64_t)fai_class_size(size_class);
        }
    }
    return held > 0 ? (uint64_t)held : 0;
}

static uint64_t held_by(fai_lane *lane, fa_lane_use use)
{
    if (use == FA_LANE_USE_OBJECTS) return objects_held(lane);
    return lane->slot == FAI_NO_SLOT ? 0 : fai_arena_bytes(fai_lane_store_frame(lane));
}

static uint64_t room_below(uint64_t limit, uint64_t held)
{
    if (limit == 0) return UINT64_MAX;
    return limit > held ? limit - held : 0;
}

uint64_t fai_lane_budget_room(const fai_lane_budget *budget, uint64_t held)
{
    uint64_t soft = fai_load_relaxed(&budget->soft), room = room_below(fai_load_relaxed(&budget->hard), held);
    uint64_t quiet = held <= soft ? room_below(soft, held) : UINT64_MAX;
    return quiet < room ? quiet : room;
}

static void report_denied(fai_lane *lane, fa_lane_use use, uint64_t bytes)
{
    const fai_memory *memory = lane->memory;
    fai_lane_budget *budget = &lane->budgets[use];
    uint64_t now = fai_load_relaxed(&memory->frame_number) + 1;
    lane->denials++;
    fai_store_relaxed(&budget->denied, fai_load_relaxed(&budget->denied) + 1);
    if (fai_load_relaxed(&budget->denied_frame) == now) return;
    fai_store_relaxed(&budget->denied_frame, now);
    fai_report(memory, lane, "FA304", "nothing was allocated; reported once a frame, lane and kind of memory",
               "free memory of this lane, or raise its budget with fa_lane_budget_set()",
               "the budget of lane %u for %s refuses %llu bytes: %llu of %llu are held", (unsigned)lane->hot.index,
               names[use], (unsigned long long)bytes, (unsigned long long)fai_load_relaxed(&budget->held),
               (unsigned long long)fai_load_relaxed(&budget->hard));
}

/// Looks at what the lane holds; how much that is.
static uint64_t look(fai_lane *lane, fa_lane_use use)
{
    fai_lane_budget *budget = &lane->budgets[use];
    uint64_t held = held_by(lane, use);
    fai_store_relaxed(&budget->held, held);
    if (held > fai_load_relaxed(&budget->peak)) fai_store_relaxed(&budget->peak, held);
    if (held <= fai_load_relaxed(&budget->soft)) fai_store_relaxed(&budget->above, UINT64_C(0));
    return held;
}

/// Gives all that magazines hold, which counts, back to the slabs; whether there was anything.
static bool flush_magazines(fai_lane *lane)
{
    bool any = false;
    for (uint32_t i = 0; i < lane->purse_count; i++) any = fai_lane_flush_tag(lane, lane->purses[i]) || any;
    return any;
}

uint64_t fai_lane_grant_slow(fai_lane *lane, fa_lane_use use, uint64_t need, uint64_t want)
{
    const fai_lane_budget *budget = &lane->budgets[use];
    uint64_t room = room_below(fai_load_relaxed(&budget->hard), look(lane, use));
    if (room < need && use == FA_LANE_USE_OBJECTS && flush_magazines(lane)) {
        room = room_below(fai_load_relaxed(&budget->hard), look(lane, use));
        want = need;
    }
    if (room < need) {
        report_denied(lane, use, need);
        return 0;
    }
    uint64_t quiet = fai_lane_budget_room(budget, fai_load_relaxed(&budget->held));
    if (want > quiet) want = quiet > need ? quiet : need; // not above `soft` for what nobody has asked for yet
    return want;
}

void fai_lane_note_slow(fai_lane *lane, fa_lane_use use)
{
    fai_lane_budget *budget = &lane->budgets[use];
    uint64_t held = look(lane, use), soft = fai_load_relaxed(&budget->soft);
    if (soft == 0 || held <= soft || fai_load_relaxed(&budget->above) != 0) return;
    fai_store_relaxed(&budget->above, UINT64_C(1));
    fai_store_relaxed(&budget->warned, fai_load_relaxed(&budget->warned) + 1);
    fai_report(lane->memory, lane, "FA305", "it was allowed; reported each time the budget is crossed",
               "free memory of this lane before the hard budget refuses",
               "lane %u crossed its soft budget for %s: %llu of %llu bytes", (unsigned)lane->hot.index, names[use],
               (unsigned long long)held, (unsigned long long)soft);
}

// What users call ---------------------------------------------------------------------------------------------------------

static fai_lane_budget *find(const fa_system *fa, uint32_t lane, fa_lane_use use)
{
    const fai_memory *memory = (const fai_memory *)(const void *)fa;
    if (fa == NULL || lane >= memory->lane_count || (unsigned)use >= FA_LANE_USES) return NULL;
    return &fai_memory_lane(memory, lane)->budgets[use];
}

fa_status fa_lane_budget_set(fa_system *fa, uint32_t lane, fa_lane_use use, uint64_t soft, uint64_t hard)
{
    fai_lane_budget *budget = find(fa, lane, use);
    if (budget == NULL || (hard != 0 && soft > hard)) return FA_ERROR_INVALID;
    fai_store_relaxed(&budget->soft, soft);
    fai_store_relaxed(&budget->hard, hard);
    return FA_OK;
}

fa_status fa_lane_budget_read(const fa_system *fa, uint32_t lane, fa_lane_use use, fa_lane_budget *out)
{
    const fai_lane_budget *budget = find(fa, lane, use);
    if (budget == NULL || out == NULL) return FA_ERROR_INVALID;
    *out = (fa_lane_budget){
        .held = fai_load_relaxed(&budget->held),
        .peak = fai_load_relaxed(&budget->peak),
        .soft = fai_load_relaxed(&budget->soft),
        .hard = fai_load_relaxed(&budget->hard),
        .denied = fai_load_relaxed(&budget->denied),
        .warned = fai_load_relaxed(&budget->warned),
    };
    return FA_OK;
}
