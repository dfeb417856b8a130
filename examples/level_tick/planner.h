// SPDX-License-Identifier: MIT
//
// Planners: what path searches keep from tick to tick.
//
// The n-th search of a tick is planner n's, so a planner has one search at a time, on whatever lane runs the job, and
// what a planner holds does not depend on how many lanes there are. Its nodes lie in a scratch pool of its own,
// "planner 0" and so on, and are used again as they lie: a node whose mark is not the search's own was not reached yet,
// so a search clears nothing. The pool is reset when a search needs more nodes than there are, and filled with twice
// as many.
#pragma once

#include <framealloc/framealloc.h>

#define PLANNER_COUNT 8u
/// Most nodes that a planner keeps: 768 KiB. A search that needs more has them in scope memory, cleared for it alone.
#define PLANNER_NODES_MAX 98304u
/// What the pools of all planners may take.
#define PLANNERS_BYTES_MAX (PLANNER_COUNT * (PLANNER_NODES_MAX * sizeof(struct node) + PLANNER_NODE_ALIGN))
#define PLANNER_NODE_ALIGN 64u

/// How a search is tried, one after the other; see search.c.
enum attempt { ATTEMPT_STRAIGHT, ATTEMPT_NEAR, ATTEMPT_WHOLE, ATTEMPTS };

/// What a search knows of one cell.
struct node {
    uint32_t cost; // from the start
    uint16_t mark; // of the search that wrote this; 0: of none
    uint8_t came;  // direction of the last step to the cell
    uint8_t done;  // taken from the open list
};

/// Nodes for one search: those that do not have the mark are unreached.
struct nodes {
    struct node *list; // NULL: no memory
    uint16_t mark;
};

/// Belongs to the job that runs the planner's search, between ticks to the main lane.
struct planner {
    fa_scratch pool;
    struct node *nodes; // in the pool, NULL before the first search
    uint32_t room;      // nodes there
    uint32_t room_max;
    uint16_t mark; // of the last search
    // counts
    uint64_t kept[ATTEMPTS];
    uint64_t rolled_back; // attempts
    uint64_t reused;      // nodes were there as an earlier search had left them
    uint64_t too_large;   // … were in scope memory
    uint64_t resets;      // of the pool
};

/// All planners together.
struct planner_totals {
    uint64_t kept[ATTEMPTS];
    uint64_t rolled_back;
    uint64_t reused;
    uint64_t too_large;
    uint64_t resets;
    uint64_t pool_bytes; // in use
    uint64_t pool_capacity;
};

/// Makes PLANNER_COUNT planners for levels of so many cells. On failure planners_destroy() is still to be called.
fa_status planners_create(fa_worker *w, uint32_t cells, struct planner *planners);
void planners_destroy(fa_worker *w, struct planner *planners);

/// [lane of the planner's search] Nodes for an attempt, unreached all; those of the attempt before are lost. In the pool
/// or in scope memory.
struct nodes planner_nodes(fa_worker *w, struct planner *planner, uint32_t count);

/// [main, between ticks]
struct planner_totals planners_sum(fa_worker *w, const struct planner *planners);
