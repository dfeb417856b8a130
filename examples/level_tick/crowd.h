// SPDX-License-Identifier: MIT
//
// Who is where: a spatial hash of all agents, rebuilt every tick in frame memory.
//
// Space is cut into bins of 64 units; each bin hashes to one of CROWD_BUCKETS buckets. Invariant: bucket b holds
// the agents members[first[b]] to members[first[b + 1] - 1], in the order of their numbers, whatever lanes built
// it. Several bins may share a bucket, so a reader compares each member's own bin.
//
// Built as a counting sort in three steps: slices of agents count their buckets in parallel, one lane sums up, the
// slices put their agents in place in parallel.
#pragma once

#include "world.h"

#define CROWD_BIN_SHIFT (6 + FIX_SHIFT) // 64 units
#define CROWD_BUCKETS 4096u
#define CROWD_SLICES 8u

struct crowd_member {
    uint32_t agent;
    uint32_t bin; // column and row, 16 bits each
    struct point at;
};

struct crowd {
    uint32_t first[CROWD_BUCKETS + 1];
    struct crowd_member *members;
};

/// Builds world->crowd from world->now. False after a fault.
bool crowd_build(fa_worker *w, struct world *world);

static inline uint32_t crowd_bin(const struct world *world, struct point at)
{
    uint32_t column = (uint32_t)(at.x - world->grid->left) >> CROWD_BIN_SHIFT;
    uint32_t row = (uint32_t)(at.y - world->grid->bottom) >> CROWD_BIN_SHIFT;
    return column << 16 | row;
}

static inline uint32_t crowd_bucket(uint32_t bin)
{
    return bin * 0x9e3779b1u >> 20; // Fibonacci hashing to 12 bits
}
_Static_assert(CROWD_BUCKETS == 1u << 12, "crowd_bucket() gives 12 bits");

/// Calls `visit` for each agent less than `radius` from `at`, in an order that depends on the world alone.
typedef void crowd_visitor(const struct crowd_member *member, int64_t square, void *context);
void crowd_around(const struct world *world, struct point at, int32_t radius, crowd_visitor *visit, void *context);
