// SPDX-License-Identifier: MIT
//
// The reader of WAD files and levels: whole files are read right, damaged ones end in one sentence that names the
// damage.
#include "forge.h"

#include "examples/level_tick/level.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct forge forge;

static int forget(void **state)
{
    (void)state;
    forge_forget();
    return 0;
}

static bool load(const char *path, const char *map, struct level *level, struct failure *failure)
{
    struct memory memory = forge_memory(FORGE_UNLIMITED);
    struct wad wad;
    failure->text[0] = '\0';
    if (!wad_open(path, &memory, &wad, failure)) return false;
    bool good = level_load(&wad, map, &memory, level, failure);
    wad_close(&wad);
    return good;
}

static void expect_refused(const char *map, const char *words)
{
    struct level level;
    struct failure failure;
    bool good = load(forge_write(&forge), map, &level, &failure);
    forge_clean();
    assert_false(good);
    if (strstr(failure.text, words) == NULL) fail_msg("'%s' does not say '%s'", failure.text, words);
    assert_null(strchr(failure.text, '\n'));
}

static void room_is_read(void **state)
{
    (void)state;
    forge_room(&forge);
    struct level level;
    struct failure failure;
    assert_true(load(forge_write(&forge), "map01", &level, &failure));
    forge_clean();
    assert_string_equal(level.name, "MAP01");
    assert_int_equal(level.vertex_count, 8);
    assert_int_equal(level.line_count, 8);
    assert_int_equal(level.sector_count, 1);
    assert_int_equal(level.thing_count, 2);
    assert_int_equal(level.left, -256);
    assert_int_equal(level.top, 256);
    assert_int_equal(level.lines[0].back, LEVEL_NONE);
    assert_int_equal(level.sectors[0].ceiling_height, 128);
    assert_int_equal(level.things[1].x, 128);
    assert_int_equal(level.things[1].type, 3004);
}

static void last_of_two_maps_counts(void **state)
{
    (void)state;
    forge_room(&forge);
    static const char *const names[] = {"MAP01", "THINGS", "LINEDEFS", "SIDEDEFS", "VERTEXES", "SECTORS"};
    for (size_t i = 0; i < 6; i++) {
        const struct forge_lump *old = &forge.lumps[i];
        struct forge_lump *copy = forge_add(&forge, names[i]);
        memcpy(copy->bytes, old->bytes, old->size);
        copy->size = i == 1 ? 10 : old->size;
    }
    struct level level;
    struct failure failure;
    assert_true(load(forge_write(&forge), "MAP01", &level, &failure));
    forge_clean();
    assert_int_equal(level.thing_count, 1);
}

static void no_things_are_fine(void **state)
{
    (void)state;
    forge_room(&forge);
    forge_find(&forge, "THINGS")->size = 0;
    struct level level;
    struct failure failure;
    assert_true(load(forge_write(&forge), "MAP01", &level, &failure));
    forge_clean();
    assert_int_equal(level.thing_count, 0);
}

static void header_is_checked(void **state)
{
    (void)state;
    forge_room(&forge);
    forge.magic = "WADS";
    expect_refused("MAP01", "not a WAD file");
    forge_room(&forge);
    forge.cut = 11;
    expect_refused("MAP01", "not a WAD file: it has 11 bytes");
    forge_room(&forge);
    forge.cut = 12;
    expect_refused("MAP01", "lies outside the file");
    static const int32_t counts[] = {-1, INT32_MIN, INT32_MAX, 100000};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        forge_room(&forge);
        forge.claimed_count = counts[i];
        expect_refused("MAP01", "damaged: its directory");
    }
    static const int32_t directories[] = {-1, INT32_MIN, INT32_MAX, 11, 1 << 20};
    for (size_t i = 0; i < sizeof directories / sizeof *directories; i++) {
        forge_room(&forge);
        forge.claimed_directory = directories[i];
        expect_refused("MAP01", "lies outside the file");
    }
}

static void empty_directory_is_refused(void **state)
{
    (void)state;
    forge_room(&forge);
    forge.lump_count = 0;
    expect_refused("MAP01", "0 lumps");
}

static void every_cut_is_noticed(void **state)
{
    (void)state;
    forge_room(&forge);
    size_t size = 12;
    for (uint32_t i = 0; i < forge.lump_count; i++) size += forge.lumps[i].size + 16;
    for (size_t cut = 1; cut < size; cut++) {
        forge.cut = cut;
        expect_refused("MAP01", "'");
    }
}

static void lying_lumps_are_refused(void **state)
{
    (void)state;
    static const int32_t offsets[] = {-1, INT32_MIN, INT32_MAX, 1 << 20};
    for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++) {
        forge_room(&forge);
        forge_find(&forge, "LINEDEFS")->claimed_offset = offsets[i];
        expect_refused("MAP01", "(LINEDEFS) lies outside the file");
    }
    static const int32_t sizes[] = {INT32_MAX, 1 << 20};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        forge_room(&forge);
        forge_find(&forge, "SECTORS")->claimed_size = sizes[i];
        expect_refused("MAP01", "(SECTORS) lies outside the file");
    }
    forge_room(&forge);
    forge_find(&forge, "SECTORS")->claimed_size = -26;
    expect_refused("MAP01", "(SECTORS) has the size -26");
}

static void missing_lumps_are_named(void **state)
{
    (void)state;
    static const char *const names[] = {"THINGS", "LINEDEFS", "SIDEDEFS", "VERTEXES", "SECTORS"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char words[64];
        forge_room(&forge);
        forge_remove(&forge, names[i]);
        (void)snprintf(words, sizeof words, "has no %s lump", names[i]);
        expect_refused("MAP01", words);
    }
}

static void empty_and_odd_lumps_are_refused(void **state)
{
    (void)state;
    static const char *const names[] = {"LINEDEFS", "SIDEDEFS", "VERTEXES", "SECTORS"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char words[64];
        forge_room(&forge);
        forge_find(&forge, names[i])->size = 0;
        (void)snprintf(words, sizeof words, "its %s lump is empty", names[i]);
        expect_refused("MAP01", words);
        forge_room(&forge);
        forge_find(&forge, names[i])->size--;
        expect_refused("MAP01", "no multiple of");
    }
}

static void indices_are_checked(void **state)
{
    (void)state;
    static const struct {
        const char *lump;
        size_t offset;
        int value;
        const char *words;
    } damages[] = {
        {"LINEDEFS", 0, 8, "line 0 refers to vertex 8 of 8"},
        {"LINEDEFS", 2, 0xffff, "line 0 refers to vertex 65535 of 8"},
        {"LINEDEFS", 14 + 10, 8, "line 1 refers to side 8 of 8"},
        {"LINEDEFS", 10, 0xffff, "line 0 refers to side 65535 of 8"},
        {"LINEDEFS", 12, 8, "line 0 refers to side 8 of 8"},
        {"SIDEDEFS", 30 + 28, 1, "side 1 refers to sector 1 of 1"},
        {"SIDEDEFS", 28, 0xffff, "side 0 refers to sector 65535 of 1"},
    };
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
        forge_room(&forge);
        forge_set16(forge_find(&forge, damages[i].lump), damages[i].offset, damages[i].value);
        expect_refused("MAP01", damages[i].words);
    }
}

static void unknown_maps_and_formats_are_refused(void **state)
{
    (void)state;
    forge_room(&forge);
    expect_refused("MAP02", "has no map called 'MAP02'");
    expect_refused("THINGS", "has no map called 'THINGS'");
    (void)forge_add(&forge, "BEHAVIOR");
    expect_refused("MAP01", "in Hexen format");
    forge_room(&forge);
    forge.lump_count = 1;
    (void)forge_add(&forge, "TEXTMAP");
    (void)forge_add(&forge, "ENDMAP");
    expect_refused("MAP01", "in UDMF format");
}

static void too_large_a_level_is_refused(void **state)
{
    (void)state;
    forge_room(&forge);
    forge_set16(forge_find(&forge, "VERTEXES"), 0, -32768);
    expect_refused("MAP01", "larger than 32767");
}

static void maps_are_listed(void **state)
{
    (void)state;
    forge_room(&forge);
    (void)forge_add(&forge, "DEMO1");
    (void)forge_add(&forge, "E1M1");
    (void)forge_add(&forge, "TEXTMAP");
    struct memory memory = forge_memory(FORGE_UNLIMITED);
    struct wad wad;
    struct failure failure;
    assert_true(wad_open(forge_write(&forge), &memory, &wad, &failure));
    struct level_entry entry;
    uint32_t position = 0;
    assert_true(level_next(&wad, &position, &entry));
    assert_string_equal(entry.name, "MAP01");
    assert_null(entry.format);
    assert_int_equal(entry.lines, 8);
    assert_true(level_next(&wad, &position, &entry));
    assert_string_equal(entry.name, "E1M1");
    assert_string_equal(entry.format, "UDMF");
    assert_false(level_next(&wad, &position, &entry));
    wad_close(&wad);
    forge_clean();
}

static void what_is_no_file_is_refused(void **state)
{
    (void)state;
    struct memory memory = forge_memory(FORGE_UNLIMITED);
    struct wad wad;
    struct failure failure;
    assert_false(wad_open("/nowhere/at/all.wad", &memory, &wad, &failure));
    assert_non_null(strstr(failure.text, "cannot open '/nowhere/at/all.wad'"));
    assert_false(wad_open("/", &memory, &wad, &failure));
    assert_non_null(strstr(failure.text, "is not a file"));
    wad_close(&wad);
}

static void names_are_made_printable(void **state)
{
    (void)state;
    forge_room(&forge);
    forge_add(&forge, "a\nb\x01\xff")->claimed_size = 1 << 20;
    expect_refused("MAP01", "(A?B?\?) lies outside");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(room_is_read, forget),
        cmocka_unit_test_teardown(last_of_two_maps_counts, forget),
        cmocka_unit_test_teardown(no_things_are_fine, forget),
        cmocka_unit_test_teardown(header_is_checked, forget),
        cmocka_unit_test_teardown(empty_directory_is_refused, forget),
        cmocka_unit_test_teardown(every_cut_is_noticed, forget),
        cmocka_unit_test_teardown(lying_lumps_are_refused, forget),
        cmocka_unit_test_teardown(missing_lumps_are_named, forget),
        cmocka_unit_test_teardown(empty_and_odd_lumps_are_refused, forget),
        cmocka_unit_test_teardown(indices_are_checked, forget),
        cmocka_unit_test_teardown(unknown_maps_and_formats_are_refused, forget),
        cmocka_unit_test_teardown(too_large_a_level_is_refused, forget),
        cmocka_unit_test_teardown(maps_are_listed, forget),
        cmocka_unit_test_teardown(what_is_no_file_is_refused, forget),
        cmocka_unit_test_teardown(names_are_made_printable, forget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
