// SPDX-License-Identifier: MIT
//
// See crowd.h.
#include "crowd.h"

#include <string.h>

struct build {
    struct world *world;
    uint32_t (*counts)[CROWD_BUCKETS]; // per slice: members, then the next free position
};

static uint64_t slice_begin(const struct world *world, uint64_t slice)
{
    return world->agent_count * slice / CROWD_SLICES;
}

static uint32_t bucket_of(const struct world *world, uint64_t agent)
{
    return crowd_bucket(crowd_bin(world, world->now[agent].at));
}

static void count_slices(fa_worker *w, uint64_t first, uint64_t last, void *context)
{
    (void)w;
    const struct build *build = context;
    for (uint64_t slice = first; slice < last; slice++) {
        uint32_t *counts = build->counts[slice];
        memset(counts, 0, sizeof *build->counts);
        uint64_t end = slice_begin(build->world, slice + 1);
        for (uint64_t i = slice_begin(build->world, slice); i < end; i++) counts[bucket_of(build->world, i)]++;
    }
}

static void sum_slices(const struct build *build)
{
    struct crowd *crowd = build->world->crowd;
    uint32_t sum = 0;
    for (uint32_t bucket = 0; bucket < CROWD_BUCKETS; bucket++) {
        crowd->first[bucket] = sum;
        for (uint32_t slice = 0; slice < CROWD_SLICES; slice++) {
            uint32_t count = build->counts[slice][bucket];
            build->counts[slice][bucket] = sum;
            sum += count;
        }
    }
    crowd->first[CROWD_BUCKETS] = sum;
}

static void place_slices(fa_worker *w, uint64_t first, uint64_t last, void *context)
{
    (void)w;
    const struct build *build = context;
    const struct world *world = build->world;
    for (uint64_t slice = first; slice < last; slice++) {
        uint32_t *next = build->counts[slice];
        uint64_t end = slice_begin(world, slice + 1);
        for (uint64_t i = slice_begin(world, slice); i < end; i++) {
            struct point at = world->now[i].at;
            uint32_t bin = crowd_bin(world, at);
            world->crowd->members[next[crowd_bucket(bin)]++] = (struct crowd_member){(uint32_t)i, bin, at};
        }
    }
}

bool crowd_build(fa_worker *w, struct world *world)
{
    struct build build = {.world = world};
    build.counts = fa_frame_alloc_array(w, CROWD_SLICES, sizeof *build.counts, FA_ALIGN_DEFAULT);
    world->crowd = fa_frame_new(w, struct crowd);
    if (world->crowd != NULL) world->crowd->members = fa_frame_array(w, struct crowd_member, world->agent_count);
    if (build.counts == NULL || world->crowd == NULL || world->crowd->members == NULL) {
        world_fault(world, "no frame memory for the spatial hash");
        return false;
    }
    if (fa_parallel_for(w, 0, CROWD_SLICES, 1, count_slices, &build) != FA_OK) {
        world_fault(world, "the spatial hash could not be counted");
        return false;
    }
    sum_slices(&build);
    if (fa_parallel_for(w, 0, CROWD_SLICES, 1, place_slices, &build) == FA_OK) return true;
    world_fault(world, "the spatial hash could not be filled");
    return false;
}

void crowd_around(const struct world *world, struct point at, int32_t radius, crowd_visitor *visit, void *context)
{
    const struct crowd *crowd = world->crowd;
    int64_t limit = (int64_t)radius * radius;
    // Beyond the left and lower rim there are no bins; beyond the others bins are empty.
    struct point corner = {at.x - radius, at.y - radius};
    if (corner.x < world->grid->left) corner.x = world->grid->left;
    if (corner.y < world->grid->bottom) corner.y = world->grid->bottom;
    uint32_t low = crowd_bin(world, corner);
    uint32_t high = crowd_bin(world, (struct point){at.x + radius, at.y + radius});
    for (uint32_t row = low & 0xffffu; row <= (high & 0xffffu); row++) {
        for (uint32_t column = low >> 16; column <= high >> 16; column++) {
            uint32_t bin = column << 16 | row;
            uint32_t bucket = crowd_bucket(bin);
            for (uint32_t i = crowd->first[bucket]; i < crowd->first[bucket + 1]; i++) {
                const struct crowd_member *member = &crowd->members[i];
                if (member->bin != bin) continue;
                int64_t square = point_square(point_minus(member->at, at));
                if (square < limit) visit(member, square, context);
            }
        }
    }
}
