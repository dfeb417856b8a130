// SPDX-License-Identifier: MIT
//
// See level.h. Each lump is read into fixed records by one loop; a lump whose size is no multiple of its record, or
// an index that points past its table, ends the load.
#include "level.h"

#include <string.h>
#include <strings.h>

/// Widest and highest level, map units: what 24.8 fixed point (fixed.h) and the engine's own block map can hold.
#define EXTENT_MAX 32767
#define TALLEST_DOOR 56 // a sector less open than this at the start, that a door line refers to, is a door

enum { THINGS, LINES, SIDES, VERTICES, SECTORS, LUMP_KINDS };

static const struct {
    const char *name;
    uint32_t record; // bytes
} kinds[LUMP_KINDS] = {
    [THINGS] = {"THINGS", 10},    [LINES] = {"LINEDEFS", 14},  [SIDES] = {"SIDEDEFS", 30},
    [VERTICES] = {"VERTEXES", 4}, [SECTORS] = {"SECTORS", 26},
};

static const char *const other_lumps[] = {"SEGS", "SSECTORS", "NODES", "REJECT", "BLOCKMAP", "BEHAVIOR", "SCRIPTS"};

static bool is_map_lump(const struct wad_lump *lump)
{
    for (size_t i = 0; i < LUMP_KINDS; i++) {
        if (wad_is_named(lump, kinds[i].name)) return true;
    }
    for (size_t i = 0; i < sizeof other_lumps / sizeof *other_lumps; i++) {
        if (wad_is_named(lump, other_lumps[i])) return true;
    }
    return false;
}

/// The lumps of one level; UINT32_MAX where one is missing.
struct map_lumps {
    uint32_t lump[LUMP_KINDS];
    const char *format;
};

static bool collect_lumps(const struct wad *wad, uint32_t marker, struct map_lumps *out)
{
    *out = (struct map_lumps){.format = NULL};
    for (size_t kind = 0; kind < LUMP_KINDS; kind++) out->lump[kind] = UINT32_MAX;
    uint32_t next = marker + 1;
    if (is_map_lump(&wad->lumps[marker]) || next >= wad->lump_count) return false;
    if (wad_is_named(&wad->lumps[next], "TEXTMAP")) {
        out->format = "UDMF";
        return true;
    }
    for (; next < wad->lump_count && is_map_lump(&wad->lumps[next]); next++) {
        if (wad_is_named(&wad->lumps[next], "BEHAVIOR")) out->format = "Hexen";
        for (size_t kind = 0; kind < LUMP_KINDS; kind++) {
            bool first = out->lump[kind] == UINT32_MAX;
            if (first && wad_is_named(&wad->lumps[next], kinds[kind].name)) out->lump[kind] = next;
        }
    }
    return next > marker + 1;
}

static uint32_t count_records(const struct wad *wad, const struct map_lumps *lumps, uint32_t kind)
{
    return lumps->lump[kind] == UINT32_MAX ? 0 : wad->lumps[lumps->lump[kind]].size / kinds[kind].record;
}

bool level_next(const struct wad *wad, uint32_t *position, struct level_entry *out)
{
    for (; *position < wad->lump_count; (*position)++) {
        struct map_lumps lumps;
        if (!collect_lumps(wad, *position, &lumps)) continue;
        *out = (struct level_entry){
            .marker = *position,
            .name = wad->lumps[*position].name,
            .format = lumps.format,
            .lines = count_records(wad, &lumps, LINES),
            .sectors = count_records(wad, &lumps, SECTORS),
            .things = count_records(wad, &lumps, THINGS),
        };
        (*position)++;
        return true;
    }
    return false;
}

static bool find_level(const struct wad *wad, const char *name, uint32_t *marker, struct failure *failure)
{
    bool found = false;
    struct level_entry entry;
    for (uint32_t position = 0; level_next(wad, &position, &entry);) {
        if (strcasecmp(entry.name, name) != 0) continue;
        *marker = entry.marker; // the last one counts, as in every port
        found = true;
    }
    if (!found) return fail(failure, "'%s' has no map called '%s'; --list-maps shows those it has", wad->path, name);
    return true;
}

/// What the readers of the lumps share.
struct loader {
    const struct wad *wad;
    const struct memory *memory;
    struct level *level;
    struct failure *failure;
    struct map_lumps lumps;
    uint16_t *side_sectors; // per side
    // names of pictures met so far, and a hash table of their numbers
    struct level_picture *pictures;
    uint16_t *numbers; // LEVEL_NONE: free
    uint32_t number_mask;
};

/// Reads one lump and says how many records it has: *count, at most `most`.
static bool read_records(const struct loader *load, uint32_t kind, uint32_t most, uint8_t **bytes, uint32_t *count)
{
    const char *map = load->level->name;
    const char *name = kinds[kind].name;
    uint32_t lump = load->lumps.lump[kind];
    if (lump == UINT32_MAX) return fail(load->failure, "map %s of '%s' has no %s lump", map, load->wad->path, name);
    uint32_t size = load->wad->lumps[lump].size;
    if (size % kinds[kind].record != 0) {
        return fail(load->failure, "map %s is damaged: its %s lump has %u bytes, no multiple of %u", map, name, size,
                    kinds[kind].record);
    }
    *count = size / kinds[kind].record;
    if (*count == 0 && kind != THINGS) return fail(load->failure, "map %s is damaged: its %s lump is empty", map, name);
    if (*count > most) {
        return fail(load->failure, "map %s is damaged: its %s lump has %u records, more than %u", map, name, *count,
                    most);
    }
    return wad_read(load->wad, lump, &load->memory->scratch, bytes, load->failure);
}

static bool no_memory(const struct loader *load)
{
    return fail(load->failure, "no memory for map %s", load->level->name);
}

static bool read_vertices(const struct loader *load)
{
    uint8_t *bytes = NULL;
    struct level *level = load->level;
    if (!read_records(load, VERTICES, UINT16_MAX + 1, &bytes, &level->vertex_count)) return false;
    level->vertices = memory_array(&load->memory->level, level->vertex_count, sizeof *level->vertices);
    for (uint32_t i = 0; level->vertices != NULL && i < level->vertex_count; i++) {
        const uint8_t *record = bytes + (size_t)i * kinds[VERTICES].record;
        level->vertices[i] = (struct level_vertex){wad_i16(record), wad_i16(record + 2)};
    }
    return level->vertices != NULL || no_memory(load);
}

// --- Pictures -------------------------------------------------------------------------------------------------------

/// As many names as there can be: one a sector, three a side.
static bool prepare_pictures(struct loader *load)
{
    size_t most = count_records(load->wad, &load->lumps, SECTORS) +
                  (size_t)3 * count_records(load->wad, &load->lumps, SIDES);
    if (most > LEVEL_NONE) most = LEVEL_NONE;
    load->number_mask = 1;
    while (load->number_mask < 2 * most) load->number_mask = load->number_mask << 1 | 1u;
    load->pictures = memory_array(&load->memory->scratch, most, sizeof *load->pictures);
    load->numbers = memory_array(&load->memory->scratch, (size_t)load->number_mask + 1, sizeof *load->numbers);
    if (load->pictures == NULL || load->numbers == NULL) return no_memory(load);
    memset(load->numbers, 0xff, ((size_t)load->number_mask + 1) * sizeof *load->numbers);
    return true;
}

static uint32_t hash_picture(const struct level_picture *picture)
{
    uint32_t hash = 2166136261u; // FNV-1a
    for (const char *c = picture->name; *c != '\0'; c++) hash = (hash ^ (uint8_t)*c) * 16777619u;
    return hash ^ hash >> 15;
}

/// The number of a picture that a record names; LEVEL_NONE for none, which is written as a dash.
static uint16_t find_picture(struct loader *load, const uint8_t name[8], bool flat)
{
    struct level_picture picture = {.flat = flat};
    wad_copy_name(picture.name, name);
    if (picture.name[0] == '\0' || strcmp(picture.name, "-") == 0) return LEVEL_NONE;
    uint32_t place = hash_picture(&picture) & load->number_mask;
    for (; load->numbers[place] != LEVEL_NONE; place = (place + 1) & load->number_mask) {
        const struct level_picture *known = &load->pictures[load->numbers[place]];
        if (known->flat == flat && strcmp(known->name, picture.name) == 0) return load->numbers[place];
    }
    if (load->level->picture_count == LEVEL_NONE) return LEVEL_NONE; // it is drawn plain
    uint16_t number = (uint16_t)load->level->picture_count++;
    load->pictures[number] = picture;
    load->numbers[place] = number;
    return number;
}

static bool keep_pictures(const struct loader *load)
{
    struct level *level = load->level;
    level->pictures = memory_array(&load->memory->level, level->picture_count, sizeof *level->pictures);
    if (level->pictures == NULL) return no_memory(load);
    memcpy(level->pictures, load->pictures, level->picture_count * sizeof *level->pictures);
    return true;
}

// --- Tables ---------------------------------------------------------------------------------------------------------

/// Nukage and slime pools, blood and lava are told apart by the first letters of the floor's picture.
static enum level_floor floor_of(const uint8_t picture[8])
{
    static const struct {
        const char *prefix;
        enum level_floor floor;
    } liquids[] = {
        {"NUKAGE", FLOOR_ACID}, {"SLIME0", FLOOR_ACID}, {"FWATER", FLOOR_WATER}, {"SWATER", FLOOR_WATER},
        {"BLOOD", FLOOR_LAVA},  {"LAVA", FLOOR_LAVA},   {"RROCK0", FLOOR_LAVA},
    };
    for (size_t i = 0; i < sizeof liquids / sizeof *liquids; i++) {
        if (strncasecmp((const char *)picture, liquids[i].prefix, strlen(liquids[i].prefix)) == 0)
            return liquids[i].floor;
    }
    return FLOOR_SOLID;
}

static bool read_sectors(struct loader *load)
{
    uint8_t *bytes = NULL;
    struct level *level = load->level;
    if (!read_records(load, SECTORS, LEVEL_NONE, &bytes, &level->sector_count)) return false;
    level->sectors = memory_array(&load->memory->level, level->sector_count, sizeof *level->sectors);
    for (uint32_t i = 0; level->sectors != NULL && i < level->sector_count; i++) {
        const uint8_t *record = bytes + (size_t)i * kinds[SECTORS].record;
        int16_t light = wad_i16(record + 20);
        level->sectors[i] = (struct level_sector){
            .floor_height = wad_i16(record),
            .ceiling_height = wad_i16(record + 2),
            .light = (int16_t)(light < 0     ? 0
                               : light > 255 ? 255
                                             : light),
            .tag = wad_u16(record + 24),
            .flat = find_picture(load, record + 4, true),
            .floor = (uint8_t)floor_of(record + 4),
            .door = LEVEL_NONE,
        };
    }
    return level->sectors != NULL || no_memory(load);
}

static bool read_sides(struct loader *load)
{
    uint8_t *bytes = NULL;
    struct level *level = load->level;
    if (!read_records(load, SIDES, LEVEL_NONE, &bytes, &level->side_count)) return false;
    load->side_sectors = memory_array(&load->memory->scratch, level->side_count, sizeof *load->side_sectors);
    level->sides = memory_array(&load->memory->level, level->side_count, sizeof *level->sides);
    bool good = (load->side_sectors != NULL && level->sides != NULL) || no_memory(load);
    for (uint32_t i = 0; good && i < level->side_count; i++) {
        const uint8_t *record = bytes + (size_t)i * kinds[SIDES].record;
        uint16_t sector = wad_u16(record + 28);
        load->side_sectors[i] = sector;
        level->sides[i] = (struct level_side){
            .x = wad_i16(record),
            .y = wad_i16(record + 2),
            .upper = find_picture(load, record + 4, false),
            .lower = find_picture(load, record + 12, false),
            .middle = find_picture(load, record + 20, false),
        };
        if (sector < level->sector_count) continue;
        good = fail(load->failure, "map %s is damaged: side %u refers to sector %u of %u", level->name, i, sector,
                    level->sector_count);
    }
    return good;
}

static bool check_index(const struct loader *load, uint32_t line, const char *what, uint32_t index, uint32_t count)
{
    if (index < count) return true;
    return fail(load->failure, "map %s is damaged: line %u refers to %s %u of %u", load->level->name, line, what, index,
                count);
}

static bool take_line(const struct loader *load, uint32_t number, const uint8_t *record, struct level_line *out)
{
    const struct level *level = load->level;
    uint16_t front = wad_u16(record + 10);
    uint16_t back = wad_u16(record + 12);
    *out = (struct level_line){
        .from = wad_u16(record),
        .to = wad_u16(record + 2),
        .flags = wad_u16(record + 4),
        .special = wad_u16(record + 6),
        .tag = wad_u16(record + 8),
        .back = LEVEL_NONE,
        .front_side = front,
        .back_side = back,
    };
    if (!check_index(load, number, "vertex", out->from, level->vertex_count)) return false;
    if (!check_index(load, number, "vertex", out->to, level->vertex_count)) return false;
    if (!check_index(load, number, "side", front, level->side_count)) return false;
    out->front = load->side_sectors[front];
    if (back == LEVEL_NONE) return true;
    if (!check_index(load, number, "side", back, level->side_count)) return false;
    out->back = load->side_sectors[back];
    return true;
}

static bool read_lines(const struct loader *load)
{
    uint8_t *bytes = NULL;
    struct level *level = load->level;
    if (!read_records(load, LINES, UINT16_MAX + 1, &bytes, &level->line_count)) return false;
    level->lines = memory_array(&load->memory->level, level->line_count, sizeof *level->lines);
    bool good = level->lines != NULL || no_memory(load);
    for (uint32_t i = 0; good && i < level->line_count; i++) {
        good = take_line(load, i, bytes + (size_t)i * kinds[LINES].record, &level->lines[i]);
    }
    return good;
}

static bool read_things(const struct loader *load)
{
    uint8_t *bytes = NULL;
    struct level *level = load->level;
    if (!read_records(load, THINGS, UINT16_MAX + 1, &bytes, &level->thing_count)) return false;
    level->things = memory_array(&load->memory->level, level->thing_count, sizeof *level->things);
    for (uint32_t i = 0; level->things != NULL && i < level->thing_count; i++) {
        const uint8_t *record = bytes + (size_t)i * kinds[THINGS].record;
        level->things[i] = (struct level_thing){wad_i16(record), wad_i16(record + 2), wad_u16(record + 4),
                                                wad_u16(record + 6)};
    }
    return level->things != NULL || no_memory(load);
}

static bool measure(const struct loader *load)
{
    struct level *level = load->level;
    level->left = level->bottom = INT16_MAX;
    level->right = level->top = INT16_MIN;
    for (uint32_t i = 0; i < 2 * level->line_count; i++) {
        const struct level_line *line = &level->lines[i / 2];
        struct level_vertex vertex = level->vertices[i % 2 == 0 ? line->from : line->to];
        if (vertex.x < level->left) level->left = vertex.x;
        if (vertex.x > level->right) level->right = vertex.x;
        if (vertex.y < level->bottom) level->bottom = vertex.y;
        if (vertex.y > level->top) level->top = vertex.y;
    }
    int width = level->right - level->left;
    int height = level->top - level->bottom;
    if (width <= EXTENT_MAX && height <= EXTENT_MAX) return true;
    return fail(load->failure, "map %s is %d by %d units, larger than %d", level->name, width, height, EXTENT_MAX);
}

/// Line specials that open a door, and those that lower or raise a platform, as the engine numbers them.
static bool special_in(uint16_t special, const uint8_t *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (list[i] == special) return true;
    }
    return false;
}

static bool is_door_special(uint16_t special)
{
    static const uint8_t specials[] = {1,   2,   3,   4,   16,  26,  27,  28,  29,  31,  32,  33,  34,  42,  46,
                                       50,  61,  63,  75,  76,  86,  90,  99,  103, 105, 106, 107, 108, 109, 110,
                                       111, 112, 113, 114, 115, 116, 117, 118, 133, 134, 135, 136, 137};
    return special_in(special, specials, sizeof specials);
}

static bool is_manual_door(uint16_t special)
{
    static const uint8_t specials[] = {1, 26, 27, 28, 31, 32, 33, 34, 117, 118};
    return special_in(special, specials, sizeof specials);
}

static bool is_lift_special(uint16_t special)
{
    static const uint8_t specials[] = {10, 14, 15, 18, 19,  20,  21,  22,  23,  36,  37,  38,  47,  53,  55,
                                       60, 62, 64, 65, 66,  67,  68,  70,  71,  82,  83,  84,  87,  88,  91,
                                       92, 93, 95, 98, 102, 119, 120, 121, 122, 123, 128, 129, 130, 131, 132};
    return special_in(special, specials, sizeof specials);
}

static void mark_door(struct level *level, struct level_sector *sector)
{
    int opening = sector->ceiling_height - sector->floor_height;
    if (opening >= TALLEST_DOOR || sector->door != LEVEL_NONE) return;
    sector->door = (uint16_t)level->door_count++;
}

/// Finds the sectors that move: what a line with a door or lift special refers to by tag or, for a door that opens
/// when it is pushed, by its back side.
static void mark_movers(struct level *level)
{
    for (uint32_t i = 0; i < level->line_count; i++) {
        const struct level_line *line = &level->lines[i];
        bool door = is_door_special(line->special);
        bool lift = is_lift_special(line->special);
        if (is_manual_door(line->special) && line->back != LEVEL_NONE) mark_door(level, &level->sectors[line->back]);
        if (line->tag == 0 || (!door && !lift)) continue;
        for (uint32_t s = 0; s < level->sector_count; s++) {
            struct level_sector *sector = &level->sectors[s];
            if (sector->tag != line->tag) continue;
            if (lift) sector->lift = true;
            if (door) mark_door(level, sector);
        }
    }
}

static bool read_level(struct loader *load)
{
    return prepare_pictures(load) && read_vertices(load) && read_sectors(load) && read_sides(load) &&
           read_lines(load) && read_things(load) && keep_pictures(load) && measure(load);
}

bool level_load(const struct wad *wad, const char *name, const struct memory *memory, struct level *out,
                struct failure *failure)
{
    *out = (struct level){.name = ""};
    uint32_t marker = 0;
    if (!find_level(wad, name, &marker, failure)) return false;
    memcpy(out->name, wad->lumps[marker].name, sizeof out->name);
    struct loader load = {.wad = wad, .memory = memory, .level = out, .failure = failure};
    (void)collect_lumps(wad, marker, &load.lumps);
    if (load.lumps.format != NULL) {
        return fail(failure, "map %s of '%s' is in %s format; only the classic format is read", out->name, wad->path,
                    load.lumps.format);
    }
    if (!read_level(&load)) return false;
    mark_movers(out);
    return true;
}
