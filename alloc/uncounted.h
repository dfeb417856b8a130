// SPDX-License-Identifier: MIT
//
// Builds without statistics (FA_STATISTICS off): no labels, no ledgers, no budgets, no counters. Nothing is charged, so nothing is refused; every
// lane's label is 0. Part of lane.h.
#pragma once

static inline void fai_lane_switch_label(fai_lane *lane, uint32_t label)
{
    (void)lane, (void)label;
    FA_ASSERT(label == 0);
}
static inline void fai_lane_restore_label(fai_lane *lane, uint32_t before, uint32_t own)
{
    (void)lane, (void)before, (void)own;
}
static inline void fai_lane_close_phases(fai_lane *lane)
{
    (void)lane;
}
static inline void fai_lane_close_tags(fai_lane *lane)
{
    (void)lane;
}
static inline bool fai_label_charge(fai_lane *lane, uint32_t label, fai_use use, uint64_t bytes)
{
    (void)lane, (void)label, (void)use, (void)bytes;
    return true;
}
static inline uint64_t fai_label_charge_ahead(fai_lane *lane, uint32_t label, fai_use use, uint64_t need, uint64_t want)
{
    (void)lane, (void)label, (void)use, (void)need;
    return want;
}
static inline void fai_label_refund(fai_lane *lane, uint32_t label, fai_use use, uint64_t bytes)
{
    (void)lane, (void)label, (void)use, (void)bytes;
}
static inline fai_purse *fai_lane_make_purse(fai_lane *lane, uint32_t tag)
{
    (void)lane, (void)tag;
    return NULL; // tag 0 has one
}
static inline void fai_ledger_add(fai_lane *lane, uint32_t label, fai_use use, uint64_t bytes, uint64_t allocs)
{
    (void)lane, (void)label, (void)use, (void)bytes, (void)allocs;
}
static inline void fai_ledger_add_retained(fai_memory *memory, uint32_t slot, const fa_promotion *item, bool replaced)
{
    (void)memory, (void)slot, (void)item, (void)replaced;
}
static inline void fai_lane_settle_label(fai_lane *lane)
{
    (void)lane;
}
static inline void fai_lane_resume_label(fai_lane *lane)
{
    (void)lane;
}
static inline void fai_lane_suspend_label(fai_lane *lane)
{
    (void)lane;
}
static inline bool fai_lane_reserve_frame(fai_lane *lane, uint64_t bytes)
{
    (void)lane, (void)bytes;
    return true;
}
static inline void fai_lane_unwind_label(fai_lane *lane, uint64_t before)
{
    (void)lane, (void)before;
}
static inline void fai_memory_settle_frame(fai_memory *memory, uint32_t slot)
{
    (void)memory, (void)slot;
}
static inline void fai_behavior_add_frame(fai_memory *memory, uint64_t number)
{
    (void)memory, (void)number;
}
static inline void fai_behavior_look(fai_memory *memory)
{
    (void)memory;
}
static inline void fai_lane_publish(fai_lane *lane)
{
    lane->changed = false;
}
static inline void fai_memory_publish(fai_memory *memory)
{
    (void)memory;
}
