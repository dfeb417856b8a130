// SPDX-License-Identifier: MIT
//
// See forge.h.
#include "forge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char path[] = "/tmp/level_tick_forge_XXXXXX";

struct forge_lump *forge_add(struct forge *forge, const char *name)
{
    assert_true(forge->lump_count < FORGE_LUMPS_MAX);
    struct forge_lump *lump = &forge->lumps[forge->lump_count++];
    memset(lump, 0, sizeof *lump);
    lump->name = name;
    return lump;
}

struct forge_lump *forge_find(struct forge *forge, const char *name)
{
    for (uint32_t i = 0; i < forge->lump_count; i++) {
        if (strcmp(forge->lumps[i].name, name) == 0) return &forge->lumps[i];
    }
    fail_msg("no lump %s", name);
    return NULL;
}

void forge_remove(struct forge *forge, const char *name)
{
    struct forge_lump *lump = forge_find(forge, name);
    size_t behind = (size_t)(&forge->lumps[forge->lump_count] - lump - 1);
    memmove(lump, lump + 1, behind * sizeof *lump);
    forge->lump_count--;
}

void forge_set16(struct forge_lump *lump, size_t offset, int value)
{
    assert_true(offset + 2 <= FORGE_BYTES_MAX);
    lump->bytes[offset] = (uint8_t)(value & 0xff);
    lump->bytes[offset + 1] = (uint8_t)(value >> 8 & 0xff);
}

void forge_put16(struct forge_lump *lump, int value)
{
    forge_set16(lump, lump->size, value);
    lump->size += 2;
}

static void put_name(struct forge_lump *lump, const char *name)
{
    memset(lump->bytes + lump->size, 0, 8);
    memcpy(lump->bytes + lump->size, name, strlen(name));
    lump->size += 8;
}

/// Four one-sided lines between four new vertices; clockwise corners have the room inside.
static void put_square(struct forge *forge, int half, int clockwise)
{
    static const int corners[4][2] = {{-1, -1}, {-1, 1}, {1, 1}, {1, -1}};
    struct forge_lump *vertices = forge_find(forge, "VERTEXES");
    struct forge_lump *lines = forge_find(forge, "LINEDEFS");
    struct forge_lump *sides = forge_find(forge, "SIDEDEFS");
    int first = (int)(vertices->size / 4);
    for (int i = 0; i < 4; i++) {
        int corner = clockwise ? i : 3 - i;
        forge_put16(vertices, corners[corner][0] * half);
        forge_put16(vertices, corners[corner][1] * half);
        int line[7] = {first + i, first + (i + 1) % 4, 1, 0, 0, (int)(sides->size / 30), 0xffff};
        for (int n = 0; n < 7; n++) forge_put16(lines, line[n]);
        forge_put16(sides, 0);
        forge_put16(sides, 0);
        for (int n = 0; n < 3; n++) put_name(sides, "-");
        forge_put16(sides, 0);
    }
}

void forge_room(struct forge *forge)
{
    memset(forge, 0, sizeof *forge);
    forge->magic = "PWAD";
    static const char *const names[] = {"MAP01", "THINGS", "LINEDEFS", "SIDEDEFS", "VERTEXES", "SECTORS"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) (void)forge_add(forge, names[i]);
    put_square(forge, 256, 1);
    put_square(forge, 32, 0);
    struct forge_lump *sectors = forge_find(forge, "SECTORS");
    forge_put16(sectors, 0);
    forge_put16(sectors, 128);
    put_name(sectors, "FLOOR0_1");
    put_name(sectors, "CEIL1_1");
    forge_put16(sectors, 160);
    forge_put16(sectors, 0);
    forge_put16(sectors, 0);
    static const int things[2][5] = {{-128, -128, 90, 1, 7}, {128, 128, 180, 3004, 7}};
    for (int i = 0; i < 10; i++) forge_put16(forge_find(forge, "THINGS"), things[i / 5][i % 5]);
}

static void put32(struct forge_lump *lump, uint32_t value)
{
    forge_put16(lump, (int)(value & 0xffff));
    forge_put16(lump, (int)(value >> 16));
}

void forge_patch(struct forge_lump *lump, int width, int height, uint8_t texel)
{
    lump->size = 0;
    forge_put16(lump, width);
    forge_put16(lump, height);
    put32(lump, 0);
    int post = 5 + height;
    for (int i = 0; i < width; i++) put32(lump, (uint32_t)(8 + 4 * width + i * post));
    for (int i = 0; i < width; i++) {
        assert_true(lump->size + (size_t)post <= FORGE_BYTES_MAX);
        uint8_t *at = lump->bytes + lump->size;
        memset(at, texel, (size_t)post);
        at[0] = 0;
        at[1] = (uint8_t)height;
        at[post - 1] = 255;
        lump->size += (size_t)post;
    }
}

static void hang_texture(struct forge *forge)
{
    struct forge_lump *names = forge_add(forge, "PNAMES");
    put32(names, 3);
    put_name(names, "LEFT");
    put_name(names, "NOWHERE");
    put_name(names, "RIGHT");
    struct forge_lump *texture = forge_add(forge, "TEXTURE1");
    put32(texture, 1);
    put32(texture, 8);
    put_name(texture, "BRICKS");
    put32(texture, 0);
    forge_put16(texture, 24);
    forge_put16(texture, 16);
    put32(texture, 0);
    forge_put16(texture, 2);
    static const int patches[2][5] = {{0, 0, 0, 0, 0}, {16, 4, 2, 0, 0}};
    for (int i = 0; i < 10; i++) forge_put16(texture, patches[i / 5][i % 5]);
    forge_patch(forge_add(forge, "LEFT"), 16, 16, 10);
    forge_patch(forge_add(forge, "RIGHT"), 8, 8, 20);
}

void forge_hung_room(struct forge *forge)
{
    forge_room(forge);
    struct forge_lump *sides = forge_find(forge, "SIDEDEFS");
    for (size_t side = 0; side < sides->size / 30; side++) memcpy(sides->bytes + side * 30 + 20, "bricks\0", 8);
    struct forge_lump *palette = forge_add(forge, "PLAYPAL");
    palette->size = 768;
    for (int i = 0; i < 256; i++) {
        palette->bytes[3 * i] = (uint8_t)i;
        palette->bytes[3 * i + 1] = (uint8_t)(2 * i);
        palette->bytes[3 * i + 2] = (uint8_t)(255 - i);
    }
    hang_texture(forge);
    (void)forge_add(forge, "F_START");
    struct forge_lump *flat = forge_add(forge, "FLOOR0_1");
    flat->size = 4096;
    for (size_t i = 0; i < flat->size; i++) flat->bytes[i] = (uint8_t)(30 + i % 2);
    (void)forge_add(forge, "F_END");
}

static void write32(FILE *file, int64_t value)
{
    for (int i = 0; i < 4; i++) (void)fputc((int)((uint64_t)value >> (8 * i) & 0xff), file);
}

static void write_directory(FILE *file, const struct forge *forge)
{
    int64_t offset = 12;
    for (uint32_t i = 0; i < forge->lump_count; i++) {
        const struct forge_lump *lump = &forge->lumps[i];
        char name[8] = {0};
        memcpy(name, lump->name, strnlen(lump->name, 8));
        write32(file, lump->claimed_offset != 0 ? lump->claimed_offset : offset);
        write32(file, lump->claimed_size != 0 ? lump->claimed_size : (int64_t)lump->size);
        (void)fwrite(name, 1, sizeof name, file);
        offset += (int64_t)lump->size;
    }
}

const char *forge_write(const struct forge *forge)
{
    memset(path + strlen(path) - 6, 'X', 6);
    int descriptor = mkstemp(path);
    assert_true(descriptor >= 0);
    FILE *file = fdopen(descriptor, "wb");
    assert_non_null(file);
    int64_t data = 0;
    for (uint32_t i = 0; i < forge->lump_count; i++) data += (int64_t)forge->lumps[i].size;
    (void)fwrite(forge->magic, 1, 4, file);
    write32(file, forge->claimed_count != 0 ? forge->claimed_count : (int64_t)forge->lump_count);
    write32(file, forge->claimed_directory != 0 ? forge->claimed_directory : 12 + data);
    for (uint32_t i = 0; i < forge->lump_count; i++) {
        (void)fwrite(forge->lumps[i].bytes, 1, forge->lumps[i].size, file);
    }
    write_directory(file, forge);
    assert_int_equal(fclose(file), 0);
    if (forge->cut != 0) assert_int_equal(truncate(path, (off_t)forge->cut), 0);
    return path;
}

void forge_clean(void)
{
    (void)unlink(path);
}

/// Whatever was allocated, each behind a link to the one before.
static struct allocation {
    _Alignas(16) struct allocation *before;
} * last_allocation;
static uint32_t allocation_refused; // number of the one that is, counted down

static void *allocate(void *ctx, size_t size, size_t align)
{
    (void)ctx;
    assert_true(size > 0 && align <= _Alignof(struct allocation));
    if (allocation_refused-- == 0) return NULL;
    struct allocation *made = malloc(sizeof *made + size);
    assert_non_null(made);
    memset(made + 1, 0xcd, size); // groups and scopes do not zero either
    made->before = last_allocation;
    last_allocation = made;
    return made + 1;
}

struct memory forge_memory(uint32_t refused)
{
    allocation_refused = refused;
    return (struct memory){.level = {.alloc = allocate}, .scratch = {.alloc = allocate}};
}

void forge_forget(void)
{
    for (struct allocation *allocation = last_allocation; allocation != NULL;) {
        struct allocation *before = allocation->before;
        free(allocation);
        allocation = before;
    }
    last_allocation = NULL;
}
