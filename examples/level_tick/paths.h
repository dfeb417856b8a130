// SPDX-License-Identifier: MIT
//
// The table of shared paths: for each area and goal one reference cell that holds the path from that area to that goal.
//
// A path is planned in tick t by a job that retains it in the frame's memory. When the frame retires it is promoted
// to the pool and published in its cell. With several frames in flight that happens at some time between the end of
// tick t and the begin of tick t + FA_FRAMES_IN_FLIGHT_MAX, so a reader may find the old object or the new one.
// Both give it the same answer:
//
//   every object carries the path planned last and the one before it, each with the tick of its planning (its
//   version), and which version counts in a tick is decided by the entry alone, as path_active():
//     before planned + PATH_DELAY  the previous version: the old object's newer part or the new object's older part
//     from then on                 the planned version: the new object is there, its frame has retired
//
// Entries are written by the main lane between phases. Cells are read by any lane at any time and replaced or
// dropped under the readers' feet; framealloc keeps what they read until they are done with it.
#pragma once

#include "regions.h"

#include <framealloc/framealloc.h>

#define GOAL_COUNT 24u
#define PATH_DELAY FA_FRAMES_IN_FLIGHT_MAX
#define PATH_KEY_NONE UINT32_MAX
#define PATH_JOINING UINT32_MAX
#define PATH_STEPS_MAX 4096u
/// Most paths at one time. A path takes 1 to 3 KiB, so this bounds the table to a few MiB.
#define PATHS_MAX 1536u

/// Directions inside the area of departure, one for each cell of its square, two to a byte.
#define PATCH_BYTES (AREA_CELLS * AREA_CELLS / 2u)
enum { PATCH_ON_PATH = 8, PATCH_OUTSIDE = 15 };

struct path_part {
    uint32_t version; // tick in which it was planned, 0: none
    uint32_t epoch;   // of its goal then
    uint32_t length;  // steps
    uint32_t offset;  // in path.bytes: the patch, then one direction for each step from the area's anchor on
};

struct path {
    uint64_t seal; // digest of everything from `head` on
    uint64_t head; // digest of everything from `key` to `bytes`
    uint32_t key;
    uint32_t size;             // of path.bytes, a multiple of 8
    struct path_part parts[2]; // newest first
    uint8_t bytes[];
};

struct path_entry {
    uint32_t planned; // version planned last, 0: none
    uint32_t planned_epoch;
    uint32_t previous; // the version before it
    uint32_t previous_epoch;
    uint32_t used; // tick in which somebody followed or asked for it last
};

struct path_table {
    uint32_t count;
    uint32_t live; // entries with a planned version
    struct path_entry *entries;
    fa_cell *cells; // shared
};

/// One version of a path, as its readers see it.
struct path_view {
    const uint8_t *patch;
    const uint8_t *steps;
    uint32_t length;
    uint32_t epoch;
};

/// The version that counts in this tick, 0 if none, and its goal's epoch.
static inline uint32_t path_active(const struct path_entry *entry, uint32_t tick, uint32_t *epoch)
{
    bool arrived = entry->planned != 0 && tick >= entry->planned + PATH_DELAY;
    *epoch = arrived ? entry->planned_epoch : entry->previous_epoch;
    return arrived ? entry->planned : entry->previous;
}

/// Whether a new version is on its way, so that no other may be planned.
static inline bool path_pending(const struct path_entry *entry, uint32_t tick)
{
    return entry->planned != 0 && tick < entry->planned + PATH_DELAY;
}

/// Bytes that a path object with these parts takes.
size_t path_bytes(uint32_t length, const struct path_view *previous);

/// Fills a zeroed object of path_bytes(): the newer part from view, the older from `previous` unless that is NULL.
void path_fill(struct path *path, uint32_t key, uint32_t version, const struct path_view *view,
               uint32_t previous_version, const struct path_view *previous);

/// Whether the path is what its writer sealed: the head only, or every byte.
bool path_head_is_good(const struct path *path, uint32_t key);
bool path_is_good(const struct path *path, uint32_t key);

/// The given version of a path; false when it has none such.
bool path_find(const struct path *path, uint32_t version, struct path_view *out);

static inline unsigned path_patch(const struct path_view *view, uint32_t index)
{
    return (unsigned)(view->patch[index / 2] >> (index % 2 * 4)) & 15u;
}
