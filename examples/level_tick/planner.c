// SPDX-License-Identifier: MIT
//
// See planner.h.
#include "planner.h"

#include <stdio.h>
#include <string.h>

/// The fewest nodes worth a reset: a window of 128 by 64 cells.
#define NODES_LEAST 8192u

_Static_assert(sizeof(struct node) == 8, "a cell's neighbours in a row are in one cache line, or two");

static uint32_t nodes_max(uint32_t cells)
{
    return cells < PLANNER_NODES_MAX ? cells : PLANNER_NODES_MAX;
}

/// The nodes of one planner and what aligning them may cost.
static uint64_t pool_bytes(uint32_t cells)
{
    return (uint64_t)nodes_max(cells) * sizeof(struct node) + PLANNER_NODE_ALIGN;
}

fa_status planners_create(fa_worker *w, uint32_t cells, struct planner *planners)
{
    fa_status status = FA_OK;
    for (uint32_t i = 0; i < PLANNER_COUNT && status == FA_OK; i++) {
        char name[FA_NAME_MAX + 1];
        (void)snprintf(name, sizeof name, "planner %u", i);
        planners[i] = (struct planner){.room_max = nodes_max(cells)};
        status = fa_scratch_create(w, name, pool_bytes(cells), &planners[i].pool);
    }
    return status;
}

void planners_destroy(fa_worker *w, struct planner *planners)
{
    for (uint32_t i = 0; i < PLANNER_COUNT; i++) {
        if (planners[i].pool.id != 0) (void)fa_scratch_remove(w, planners[i].pool);
        planners[i] = (struct planner){.room = 0};
    }
}

/// Fills the pool with at least so many nodes, more than there were. False, and there are none, without memory.
static bool grow(fa_worker *w, struct planner *planner, uint32_t count)
{
    uint32_t room = planner->room > 0 ? planner->room : NODES_LEAST / 2;
    while (room < count) room *= 2;
    if (room > planner->room_max) room = planner->room_max;
    if (planner->nodes != NULL) {
        planner->nodes = NULL;
        planner->room = 0;
        planner->resets++;
        if (fa_scratch_reset(w, planner->pool) != FA_OK) return false;
    }
    planner->nodes = fa_scratch_alloc_array(w, planner->pool, room, sizeof(struct node), PLANNER_NODE_ALIGN);
    if (planner->nodes == NULL) return false;
    memset(planner->nodes, 0, room * sizeof(struct node));
    planner->room = room;
    planner->mark = 0;
    return true;
}

static struct nodes nodes_of_scope(fa_worker *w, uint32_t count)
{
    struct node *list = fa_scope_array(w, struct node, count);
    if (list != NULL) memset(list, 0, count * sizeof *list);
    return (struct nodes){list, 1};
}

struct nodes planner_nodes(fa_worker *w, struct planner *planner, uint32_t count)
{
    if (count > planner->room_max) {
        planner->too_large++;
        return nodes_of_scope(w, count);
    }
    if (count <= planner->room)
        planner->reused++;
    else if (!grow(w, planner, count))
        return nodes_of_scope(w, count);
    if (++planner->mark == 0) {
        // Once in 65 535 attempts the marks begin anew.
        memset(planner->nodes, 0, planner->room * sizeof *planner->nodes);
        planner->mark = 1;
    }
    return (struct nodes){planner->nodes, planner->mark};
}

struct planner_totals planners_sum(fa_worker *w, const struct planner *planners)
{
    struct planner_totals sum = {.rolled_back = 0};
    for (uint32_t i = 0; i < PLANNER_COUNT; i++) {
        const struct planner *planner = &planners[i];
        for (uint32_t attempt = 0; attempt < ATTEMPTS; attempt++) sum.kept[attempt] += planner->kept[attempt];
        sum.rolled_back += planner->rolled_back;
        sum.reused += planner->reused;
        sum.too_large += planner->too_large;
        sum.resets += planner->resets;
        fa_scratch_info info;
        if (fa_scratch_read(w, planner->pool, &info) != FA_OK) continue; // it was never made
        sum.pool_bytes += info.allocated;
        sum.pool_capacity += info.capacity;
    }
    return sum;
}
