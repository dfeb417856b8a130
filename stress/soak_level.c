// SPDX-License-Identifier: MIT
//
// See soak_level.h. The drawn level has a character for each square of SQUARE units: '#' nothing, '.' floor, ':' a step higher, '~' water,
// 'D' a door. Every square of wall has one of TEXTURES textures, each a picture of its own.
#include "soak_level.h"

#include "examples/level_tick/datadirs.h"
#include "stress.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define SQUARE 64
#define TEXTURES 8
#define TEXTURE_WIDTH 64
#define TEXTURE_HEIGHT 128
#define KINDS 3 // of floors, which are sectors 0 to 2; doors follow
#define NONE 0xffffu
#define DOOR_SPECIAL 1 // opens when it is pushed: the back side of its lines

static const char *const drawing[] = {
    "##############################", "#.......D.........#..........#", "#.......#.........#..::::....#",
    "#..~~...#.........D..::::....#", "#..~~...#....::...#..::::....#", "#.......#....::...#..........#",
    "###D#######################D##", "#.......#.........#..........#", "#..##...#..~~~....D....##....#",
    "#..##...D..~~~....#....##....#", "#.......#.........#..........#", "#####D#######D###########D####",
    "#............................#", "#..::::..#....#....#...~~~~..#", "#..::::..#....#....#...~~~~..#",
    "#............................#", "##############################",
};
enum { ROWS = sizeof drawing / sizeof *drawing, COLUMNS = 30, LUMPS_MAX = 32 };

static const struct kind {
    char shown;
    int16_t floor;
    const char *flat;
} kinds[KINDS] = {{'.', 0, "FLOOR0_1"}, {':', 16, "FLOOR0_3"}, {'~', -8, "FWATER1"}};

struct lump {
    char name[9];
    FILE *file;
    char *bytes;
    size_t size;
};

static struct lump lumps[LUMPS_MAX];
static uint32_t lump_count;

static FILE *begin_lump(const char *name)
{
    struct lump *lump = &lumps[lump_count++];
    *lump = (struct lump){.size = 0};
    (void)snprintf(lump->name, sizeof lump->name, "%.8s", name);
    lump->file = open_memstream(&lump->bytes, &lump->size);
    if (lump->file == NULL) stress_fail("no memory for a level");
    return lump->file;
}

static void put16(FILE *file, uint32_t value)
{
    (void)fputc((int)(value & 0xff), file);
    (void)fputc((int)(value >> 8 & 0xff), file);
}

static void put32(FILE *file, uint32_t value)
{
    put16(file, value & 0xffff);
    put16(file, value >> 16);
}

static void put_name(FILE *file, const char *name)
{
    for (size_t i = 0; i < 8; i++) (void)fputc(i < strlen(name) ? name[i] : '\0', file);
}

static void put_number(FILE *file, const char *stem, uint32_t number)
{
    char name[16];
    (void)snprintf(name, sizeof name, "%s%u", stem, number);
    put_name(file, name);
}

// The level ---------------------------------------------------------------------------------------------------------------

static char square_at(int x, int y)
{
    if (x < 0 || y < 0 || x >= COLUMNS || y >= ROWS) return '#';
    return drawing[ROWS - 1 - y][x];
}

/// Every door is a sector of its own.
static uint32_t door_number(int x, int y)
{
    uint32_t number = 0;
    for (int i = 0; i < y * COLUMNS + x; i++) number += square_at(i % COLUMNS, i / COLUMNS) == 'D';
    return number;
}

static uint32_t sector_at(int x, int y)
{
    char shown = square_at(x, y);
    if (shown == 'D') return KINDS + door_number(x, y);
    for (uint32_t i = 0; i < KINDS; i++)
        if (kinds[i].shown == shown) return i;
    return NONE;
}

static void put_sector(FILE *file, int floor, int ceiling, const char *flat)
{
    put16(file, (uint16_t)floor);
    put16(file, (uint16_t)ceiling);
    put_name(file, flat);
    put_name(file, "CEIL1_1");
    put16(file, 160); // light
    put32(file, 0);
}

struct drafts {
    FILE *lines, *sides;
    uint32_t side_count;
};

static uint32_t put_side(struct drafts *d, uint32_t sector, uint32_t texture)
{
    put32(d->sides, 0);
    put_number(d->sides, "WALL", texture);
    put_number(d->sides, "WALL", texture);
    put_number(d->sides, "WALL", (texture + 1) % TEXTURES);
    put16(d->sides, sector);
    return d->side_count++;
}

struct edge {
    int ax, ay, bx, by;   // from a to b …
    int front_x, front_y; // … with this square to its right
    int back_x, back_y;
};

static void put_line(struct drafts *d, struct edge e)
{
    uint32_t front = sector_at(e.front_x, e.front_y), back = sector_at(e.back_x, e.back_y);
    if (front == back) return;
    // What is not there, and a door, is behind.
    if (front == NONE || (front >= KINDS && back != NONE)) {
        put_line(d, (struct edge){e.bx, e.by, e.ax, e.ay, e.back_x, e.back_y, e.front_x, e.front_y});
        return;
    }
    uint32_t texture = (uint32_t)(e.ax / 2 + e.ay) % TEXTURES;
    put16(d->lines, (uint32_t)(e.ay * (COLUMNS + 1) + e.ax));
    put16(d->lines, (uint32_t)(e.by * (COLUMNS + 1) + e.bx));
    put16(d->lines, back == NONE ? 1 : 4);
    put16(d->lines, back != NONE && back >= KINDS ? DOOR_SPECIAL : 0);
    put16(d->lines, 0);
    put16(d->lines, put_side(d, front, texture));
    put16(d->lines, back == NONE ? NONE : put_side(d, back, texture));
}

static void draw_lines(void)
{
    struct drafts d = {.lines = begin_lump("LINEDEFS")};
    d.sides = begin_lump("SIDEDEFS");
    for (int y = 0; y <= ROWS; y++) {
        for (int x = 0; x <= COLUMNS; x++) {
            put_line(&d, (struct edge){x, y, x, y + 1, x, y, x - 1, y});
            put_line(&d, (struct edge){x + 1, y, x, y, x, y, x, y - 1});
        }
    }
}

static void draw_map(const char *name)
{
    (void)begin_lump(name);
    FILE *things = begin_lump("THINGS");
    for (int y = 1; y < ROWS; y += 4) {
        for (int x = 2; x < COLUMNS; x += 6) {
            put16(things, (uint32_t)(x * SQUARE + SQUARE / 2));
            put16(things, (uint32_t)(y * SQUARE + SQUARE / 2));
            put16(things, 0);
            put16(things, 3004);
            put16(things, 7);
        }
    }
    draw_lines();
    FILE *vertices = begin_lump("VERTEXES");
    for (uint32_t i = 0; i < (ROWS + 1) * (COLUMNS + 1); i++) {
        put16(vertices, i % (COLUMNS + 1) * SQUARE);
        put16(vertices, i / (COLUMNS + 1) * SQUARE);
    }
    FILE *sectors = begin_lump("SECTORS");
    for (uint32_t i = 0; i < KINDS; i++) put_sector(sectors, kinds[i].floor, 128, kinds[i].flat);
    for (uint32_t i = door_number(0, ROWS); i > 0; i--) put_sector(sectors, 0, 0, "FLAT23");
}

// Its art -----------------------------------------------------------------------------------------------------------------

/// One post a column.
static void draw_patch(uint32_t number)
{
    char name[16];
    (void)snprintf(name, sizeof name, "PATCH%u", number);
    FILE *file = begin_lump(name);
    put16(file, TEXTURE_WIDTH);
    put16(file, TEXTURE_HEIGHT);
    put32(file, 0);
    for (uint32_t x = 0; x < TEXTURE_WIDTH; x++) put32(file, 8 + 4 * TEXTURE_WIDTH + x * (TEXTURE_HEIGHT + 5));
    for (uint32_t x = 0; x < TEXTURE_WIDTH; x++) {
        (void)fputc(0, file);
        (void)fputc(TEXTURE_HEIGHT, file);
        for (uint32_t y = 0; y < TEXTURE_HEIGHT + 2; y++) (void)fputc((int)(x * y + number) % 256, file);
        (void)fputc(255, file);
    }
}

static void draw_art(void)
{
    FILE *palette = begin_lump("PLAYPAL");
    for (int i = 0; i < 3 * 256; i++) (void)fputc(i % 256, palette);
    FILE *names = begin_lump("PNAMES");
    put32(names, TEXTURES);
    for (uint32_t i = 0; i < TEXTURES; i++) put_number(names, "PATCH", i);
    FILE *textures = begin_lump("TEXTURE1");
    put32(textures, TEXTURES);
    for (uint32_t i = 0; i < TEXTURES; i++) put32(textures, 4 + 4 * TEXTURES + i * 32);
    for (uint32_t i = 0; i < TEXTURES; i++) {
        put_number(textures, "WALL", i);
        put32(textures, 0);
        put16(textures, TEXTURE_WIDTH);
        put16(textures, TEXTURE_HEIGHT);
        put32(textures, 0);
        put16(textures, 1);
        put32(textures, 0); // its patch, at (0, 0)
        put16(textures, i);
        put32(textures, 0);
    }
    for (uint32_t i = 0; i < TEXTURES; i++) draw_patch(i);
    (void)begin_lump("F_START");
    for (uint32_t i = 0; i < KINDS; i++) {
        FILE *flat = begin_lump(kinds[i].flat);
        for (uint32_t texel = 0; texel < 64 * 64; texel++) (void)fputc((int)(texel % 64 + 40 * i) % 256, flat);
    }
    (void)begin_lump("F_END");
}

// The file ----------------------------------------------------------------------------------------------------------------

/// Closes the lumps and writes the file; false: it could not be written.
static bool write_wad(FILE *file)
{
    uint32_t offset = 12;
    bool good = true;
    for (uint32_t i = 0; i < lump_count; i++) good = fclose(lumps[i].file) == 0 && good;
    for (uint32_t i = 0; i < lump_count; i++) offset += (uint32_t)lumps[i].size;
    (void)fwrite("PWAD", 1, 4, file);
    put32(file, lump_count);
    put32(file, offset);
    for (uint32_t i = 0; i < lump_count; i++) (void)fwrite(lumps[i].bytes, 1, lumps[i].size, file);
    offset = 12;
    for (uint32_t i = 0; i < lump_count; i++) {
        put32(file, offset);
        put32(file, (uint32_t)lumps[i].size);
        put_name(file, lumps[i].name);
        offset += (uint32_t)lumps[i].size;
        free(lumps[i].bytes);
    }
    lump_count = 0;
    return fflush(file) == 0 && ferror(file) == 0 && good;
}

static void draw_level(struct soak_level *out)
{
    int descriptor = memfd_create("soak.wad", MFD_CLOEXEC);
    FILE *file = descriptor >= 0 ? fdopen(descriptor, "wb")
                                 : NULL; // never closed: its path leads through the descriptor
    if (file == NULL) stress_fail("no file in memory: %s", strerror(errno));
    draw_map("MAP01");
    draw_art();
    if (!write_wad(file)) stress_fail("the level cannot be written: %s", strerror(errno));
    (void)snprintf(out->path, sizeof out->path, "/proc/self/fd/%d", descriptor);
}

void soak_level_find(struct soak_level *out)
{
    *out = (struct soak_level){.map = "MAP01", .origin = "freedoom2.wad", .art_budget = UINT64_C(768) << 10};
    char *path = datadirs_find("freedoom2.wad");
    if (path != NULL && strlen(path) < sizeof out->path) {
        (void)snprintf(out->path, sizeof out->path, "%s", path);
    } else {
        out->origin = "a drawn level";
        out->art_budget = UINT64_C(128) << 10;
        draw_level(out);
    }
    free(path);
}
