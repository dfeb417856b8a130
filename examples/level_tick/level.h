// SPDX-License-Identifier: MIT
//
// A level as its file describes it: corners, lines, the sectors on both sides of each line, things, the names of the
// pictures on floors and walls.
//
// Invariant: after level_load() every index is in range: lines[i].from and .to < vertex_count, .front <
// sector_count, .back < sector_count or LEVEL_NONE, sides < side_count in the same way, pictures < picture_count or
// LEVEL_NONE. Coordinates are map units; y grows to the north.
//
// Only the classic format is read (a marker such as MAP01 or E1M1, then THINGS, LINEDEFS, SIDEDEFS, VERTEXES,
// SECTORS among its lumps). Hexen's format (a BEHAVIOR lump) and UDMF (TEXTMAP) are refused by name.
#pragma once

#include "failure.h"
#include "wad.h"

#define LEVEL_NONE UINT16_MAX

/// Line flag: nobody walks through, though there is an opening.
#define LEVEL_LINE_BLOCKS 0x0001u

struct level_vertex {
    int16_t x;
    int16_t y;
};

struct level_line {
    uint16_t from; // vertices; the front side lies to the right of from → to
    uint16_t to;
    uint16_t flags;
    uint16_t special; // what happens when somebody uses or crosses the line
    uint16_t tag;     // … to the sectors that carry the same tag
    uint16_t front;   // sectors
    uint16_t back;    // LEVEL_NONE: one-sided, a wall
    uint16_t front_side;
    uint16_t back_side; // LEVEL_NONE where `back` is
};

/// What one side of a line looks like: pictures over the opening, under it, and in it.
struct level_side {
    int16_t x; // texels that the pictures are shifted by, to the left and upwards
    int16_t y;
    uint16_t upper;
    uint16_t lower;
    uint16_t middle;
};

/// A picture by name. Floors and walls have names of their own.
struct level_picture {
    char name[9];
    bool flat; // lies on floors
};

/// What lies on a sector's floor, from the name of its picture.
enum level_floor {
    FLOOR_SOLID,
    FLOOR_WATER,
    FLOOR_ACID,
    FLOOR_LAVA,
};

struct level_sector {
    int16_t floor_height;
    int16_t ceiling_height;
    int16_t light; // 0 to 255
    uint16_t tag;
    uint16_t flat; // picture of the floor
    uint8_t floor; // level_floor
    bool lift;     // some line moves its floor: any step onto it counts as walkable
    uint16_t door; // number of the door that it is, LEVEL_NONE if it is none
};

struct level_thing {
    int16_t x;
    int16_t y;
    uint16_t angle; // degrees, 0 = east, against the clock
    uint16_t type;
};

struct level {
    char name[9];
    uint32_t vertex_count;
    uint32_t line_count;
    uint32_t sector_count;
    uint32_t thing_count;
    uint32_t side_count;
    uint32_t picture_count;
    uint32_t door_count;
    struct level_vertex *vertices;
    struct level_line *lines;
    struct level_sector *sectors;
    struct level_thing *things;
    struct level_side *sides;
    struct level_picture *pictures;
    // Bounds of the vertices that lines use.
    int16_t left;
    int16_t right;
    int16_t bottom;
    int16_t top;
};

/// Loads the level with this name.
bool level_load(const struct wad *wad, const char *name, const struct memory *memory, struct level *out,
                struct failure *failure);

/// Finds the levels of a file: the next marker at or after lump *position, false when there are no more. The counts
/// come from the sizes of the lumps, which are not looked into; a level of another format has `format` set to its name.
struct level_entry {
    uint32_t marker;
    const char *name;
    const char *format; // NULL: the classic one
    uint32_t lines;
    uint32_t sectors;
    uint32_t things;
};

bool level_next(const struct wad *wad, uint32_t *position, struct level_entry *out);
