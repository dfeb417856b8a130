// SPDX-License-Identifier: MIT
//
// The art of a level: what is whole is drawn texel by texel as the file says; what is missing or damaged is drawn in part or
// not at all, and never beyond its memory.
#include "forge.h"

#include "examples/level_tick/art.h"
#include "examples/level_tick/fixed.h"
#include "examples/level_tick/sights.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct forge forge;
static struct wad wad = {.file = -1};
static struct level level;
static struct art art;
static struct memory memory;

static int hang(void **state)
{
    (void)state;
    forge_hung_room(&forge);
    return 0;
}

static int forget(void **state)
{
    (void)state;
    wad_close(&wad);
    forge_clean();
    forge_forget();
    return 0;
}

static void read_art(void)
{
    struct failure failure = {.text = ""};
    wad_close(&wad);
    forge_clean();
    memory = forge_memory(FORGE_UNLIMITED);
    if (!wad_open(forge_write(&forge), &memory, &wad, &failure) ||
        !level_load(&wad, "MAP01", &memory, &level, &failure) || !art_build(&wad, &level, &memory, &art, &failure))
        fail_msg("%s", failure.text);
}

static const struct art_picture *find(const char *name)
{
    for (uint32_t i = 0; i < art.count; i++)
        if (strcmp(level.pictures[i].name, name) == 0) return &art.pictures[i];
    fail_msg("no picture %s", name);
    return NULL;
}

/// Draws it in steps of one byte, so of one part, into memory of exactly its size.
static const struct texel *draw(const struct art_picture *picture, bool *damaged)
{
    struct texel *texels = fa_alloc_with(&memory.scratch, art_bytes(picture), 0);
    *damaged = false;
    for (uint32_t part = 0; part < picture->count;)
        part = art_draw(&art, &wad, picture, part, 1, &memory.scratch, texels, damaged);
    return texels;
}

static void expect_texel(struct texel texel, int n)
{
    assert_int_equal(texel.r, n);
    assert_int_equal(texel.g, (uint8_t)(2 * n));
    assert_int_equal(texel.b, 255 - n);
    assert_int_equal(texel.a, 255);
}

// --- What is whole --------------------------------------------------------------------------------------------------

static void pictures_are_found(void **state)
{
    (void)state;
    read_art();
    assert_int_equal(level.picture_count, 2);
    assert_int_equal(art.missing, 0);
    assert_int_equal(level.sectors[0].flat, 0);
    assert_int_equal(level.sides[0].middle, 1);
    assert_int_equal(level.sides[0].upper, LEVEL_NONE);
    const struct art_picture *bricks = find("BRICKS");
    assert_int_equal(bricks->width, 24);
    assert_int_equal(bricks->height, 16);
    assert_int_equal(bricks->count, 2);
    assert_true(find("FLOOR0_1")->flat);
    // 64² + 32² + … + 1, and 24 × 16 + 12 × 8 + 6 × 4 + 3 × 2 + 1
    assert_int_equal(art.bytes, (5461 + 384 + 96 + 24 + 6 + 1) * sizeof(struct texel));
}

static void texels_are_as_in_the_file(void **state)
{
    (void)state;
    read_art();
    bool damaged;
    const struct texel *flat = draw(find("FLOOR0_1"), &damaged);
    assert_false(damaged);
    for (int i = 0; i < 64 * 64; i++) expect_texel(flat[i], 30 + i % 2);
    const struct texel *bricks = draw(find("BRICKS"), &damaged);
    assert_false(damaged);
    for (int y = 0; y < 16; y++) {
        for (int x = 0; x < 24; x++) {
            struct texel texel = bricks[y * 24 + x];
            if (x >= 16 && (y < 4 || y >= 12)) {
                assert_int_equal(texel.a, 0);
            } else {
                expect_texel(texel, x < 16 ? 10 : 20);
            }
        }
    }
}

static void smaller_copies_are_means(void **state)
{
    (void)state;
    read_art();
    bool damaged;
    const struct texel *bricks = draw(find("BRICKS"), &damaged);
    struct texels_level half = texels_level(24, 16, 1);
    assert_int_equal(half.width, 12);
    assert_int_equal(half.height, 8);
    assert_int_equal(half.first, 384);
    expect_texel(bricks[half.first + 7], 10);
    assert_int_equal(bricks[half.first + 8].a, 0);
    expect_texel(bricks[half.first + 2 * 12 + 8], 20);
    // Holes have no colour: a mean of four rows of RIGHT of which two are holes is of its colour, and half there.
    struct texels_level eighth = texels_level(24, 16, 3);
    struct texel mixed = bricks[eighth.first + 2];
    assert_int_equal(mixed.r, 20);
    assert_in_range(mixed.a, 126, 128);
    // One texel is the smallest, whatever is asked for.
    assert_int_equal(texels_level(24, 16, 40).first, texels_count(24, 16) - 1);
    assert_int_equal(texels_count(1, 1), 1);
    assert_int_equal(texels_count(5, 3), 15 + 2 + 1);
    assert_int_equal(texels_count(1, 4), 4 + 2 + 1);
}

static void sights_list_what_is_there(void **state)
{
    (void)state;
    // The western wall is of one picture, the eastern of another, the rest of none.
    struct forge_lump *sides = forge_find(&forge, "SIDEDEFS");
    for (size_t side = 0; side < sides->size / 30; side++)
        memcpy(sides->bytes + side * 30 + 20, side == 0 ? "WEST\0\0\0" : side == 2 ? "EAST\0\0\0" : "-\0\0\0\0\0\0", 8);
    read_art();
    assert_int_equal(level.picture_count, 3);
    struct failure failure;
    struct walls walls;
    struct grid grid;
    struct sights sights;
    assert_true(walls_build(&level, &memory, &walls, &failure));
    assert_true(grid_create(&level, &walls, &memory, &grid, &failure));
    assert_true(grid_find_sectors(&grid, &memory.scratch, 0, grid.rows));
    assert_true(sights_build(&grid, &memory, &sights, &failure));
    for (int side = 0; side < 2; side++) {
        struct sights_square square = sights_at(&sights, (struct point){FIX(side == 0 ? -200 : 200), 0});
        uint32_t number = (uint32_t)square.row * sights.columns + (uint32_t)square.column;
        assert_int_equal(sights.first[number + 1] - sights.first[number], 2);
        assert_int_equal(sights.pictures[sights.first[number]], 0); // the floor
        assert_int_equal(sights.pictures[sights.first[number] + 1], 1 + side);
    }
    // No square lists a picture twice, and none beyond the table.
    for (uint32_t i = 0; i < sights.columns * sights.rows; i++) {
        for (uint32_t at = sights.first[i]; at < sights.first[i + 1]; at++) {
            assert_true(sights.pictures[at] < level.picture_count);
            assert_true(at == sights.first[i] || sights.pictures[at - 1] < sights.pictures[at]);
        }
    }
    assert_false(sights_build(&grid, &(struct memory){{0}, {0}}, &sights, &failure));
}

// --- What is missing ------------------------------------------------------------------------------------------------

static void a_file_without_art_is_a_level_without_pictures(void **state)
{
    (void)state;
    forge_room(&forge);
    read_art();
    assert_int_equal(art.count, 1);
    assert_int_equal(art.missing, 1);
    assert_int_equal(art.bytes, 0);
    assert_int_equal(art_bytes(&art.pictures[0]), 0);
}

static void missing_lumps_leave_pictures_out(void **state)
{
    (void)state;
    static const struct {
        const char *lump;
        const char *picture;
    } cases[] = {{"PNAMES", "BRICKS"},
                 {"TEXTURE1", "BRICKS"},
                 {"F_START", "FLOOR0_1"},
                 {"FLOOR0_1", "FLOOR0_1"},
                 {"F_END", "FLOOR0_1"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        forge_hung_room(&forge);
        forge_remove(&forge, cases[i].lump);
        read_art();
        assert_int_equal(art.missing, 1);
        assert_int_equal(find(cases[i].picture)->width, 0);
    }
    forge_hung_room(&forge);
    forge_remove(&forge, "PLAYPAL");
    read_art();
    bool damaged;
    assert_int_equal(draw(find("FLOOR0_1"), &damaged)[1].g, 31); // grey
}

static void a_missing_patch_leaves_the_others(void **state)
{
    (void)state;
    forge_remove(&forge, "LEFT");
    read_art();
    assert_int_equal(art.missing, 0);
    assert_int_equal(find("BRICKS")->count, 1);
    bool damaged;
    const struct texel *bricks = draw(find("BRICKS"), &damaged);
    assert_int_equal(bricks[5 * 24].a, 0);
    expect_texel(bricks[5 * 24 + 16], 20);
}

static void unknown_names_are_missing(void **state)
{
    (void)state;
    memcpy(forge_find(&forge, "SIDEDEFS")->bytes + 20, "NOSUCH\0", 8);
    memcpy(forge_find(&forge, "SECTORS")->bytes + 4, "\x01\xff", 3);
    read_art();
    assert_int_equal(art.count, 3); // one side is of another texture, and the room has another floor
    assert_int_equal(art.missing, 2);
}

static void floors_and_walls_have_names_of_their_own(void **state)
{
    (void)state;
    memcpy(forge_find(&forge, "SIDEDEFS")->bytes + 20, "FLOOR0_1", 8);
    read_art();
    assert_int_equal(art.count, 3);
    assert_int_equal(art.missing, 1); // there is no texture of that name
    assert_int_equal(level.sides[0].middle, 1);
    assert_int_equal(level.sectors[0].flat, 0);
}

static void refused_memory_is_said(void **state)
{
    (void)state;
    read_art();
    struct failure failure = {.text = ""};
    uint32_t refused = 0;
    for (;; refused++) {
        struct memory scarce = forge_memory(refused);
        if (art_build(&wad, &level, &scarce, &art, &failure)) break;
        if (strncmp(failure.text, "no memory", 9) != 0) fail_msg("allocation %u: '%s'", refused, failure.text);
    }
    assert_int_equal(refused, 6); // palette, names, their lumps, TEXTURE1, pictures, parts
}

// --- What is damaged ------------------------------------------------------------------------------------------------

static void lying_tables_leave_pictures_out(void **state)
{
    (void)state;
    static const struct {
        const char *lump;
        size_t offset;
        int value;
        uint32_t parts; // of BRICKS that are left
    } cases[] = {
        {"TEXTURE1", 0, 0, 0},       {"TEXTURE1", 2, 0x8000, 0},  {"TEXTURE1", 4, 0xffff, 0},
        {"TEXTURE1", 6, 0xffff, 0},  {"TEXTURE1", 6, 0x8000, 0},  {"TEXTURE1", 20, 0, 0},
        {"TEXTURE1", 20, 0xffff, 0}, {"TEXTURE1", 22, 0x7fff, 0}, {"TEXTURE1", 22, 0x8000, 0},
        {"TEXTURE1", 28, 0, 0},      {"TEXTURE1", 28, 0xffff, 0}, {"TEXTURE1", 28, 0x7fff, 2},
        {"TEXTURE1", 0, 0x7fff, 2},  {"TEXTURE1", 2, 0x7fff, 2},  {"TEXTURE1", 34, 3, 1},
        {"TEXTURE1", 34, 0xffff, 1}, {"TEXTURE1", 34, 1, 1},      {"PNAMES", 0, 0, 0},
        {"PNAMES", 0, 2, 1},         {"PNAMES", 2, 0xffff, 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        forge_hung_room(&forge);
        forge_set16(forge_find(&forge, cases[i].lump), cases[i].offset, cases[i].value);
        read_art();
        const struct art_picture *bricks = find("BRICKS");
        if ((bricks->width != 0 ? bricks->count : 0) != cases[i].parts) {
            fail_msg("%s with %d at %zu: %u parts, not %u", cases[i].lump, cases[i].value, cases[i].offset,
                     bricks->count, cases[i].parts);
        }
        bool damaged;
        if (bricks->width != 0) (void)draw(bricks, &damaged);
    }
}

/// Every table ends after every byte once: what is described wholly is drawn, nothing behind the end is read.
static void every_cut_is_survived(void **state)
{
    (void)state;
    static const char *const lumps[] = {"TEXTURE1", "PNAMES", "PLAYPAL", "FLOOR0_1"};
    for (size_t i = 0; i < sizeof lumps / sizeof *lumps; i++) {
        forge_hung_room(&forge);
        size_t whole = forge_find(&forge, lumps[i])->size;
        for (size_t size = 0; size<whole; size += whole> 1000 ? 61 : 1) {
            forge_find(&forge, lumps[i])->size = size;
            read_art();
            bool damaged;
            for (uint32_t picture = 0; picture < art.count; picture++)
                if (art.pictures[picture].width != 0) (void)draw(&art.pictures[picture], &damaged);
            assert_int_equal(art.missing > 0, i != 2 && !(i == 0 && size >= 40) && !(i == 1 && size >= 12));
            forge_forget();
        }
    }
}

static void every_cut_of_a_patch_is_noticed(void **state)
{
    (void)state;
    size_t whole = forge_find(&forge, "RIGHT")->size;
    for (size_t size = 0; size < whole; size++) {
        forge_find(&forge, "RIGHT")->size = size;
        read_art();
        bool damaged;
        const struct texel *bricks = draw(find("BRICKS"), &damaged);
        assert_true(damaged);
        expect_texel(bricks[0], 10); // the other patch
        forge_forget();
    }
}

/// Draws a patch into the middle of memory of which the rest must stay as it is.
static bool draw_guarded(const uint8_t *lump, size_t size, int x, int y)
{
    enum { width = 24, height = 16, guard = 64 };
    static const struct texel palette[256];
    struct texel *texels = malloc((width * height + 2 * guard) * sizeof *texels);
    uint8_t *copy = malloc(size > 0 ? size : 1);
    assert_non_null(texels);
    assert_non_null(copy);
    memcpy(copy, lump, size); // exactly its size, for tools that watch
    memset(texels, 0x5a, (width * height + 2 * guard) * sizeof *texels);
    bool whole = texels_put_patch(texels + guard, width, height, copy, size, x, y, palette);
    for (int i = 0; i < guard; i++) {
        assert_int_equal(texels[i].r, 0x5a);
        assert_int_equal(texels[guard + width * height + i].r, 0x5a);
    }
    free(copy);
    free(texels);
    return whole;
}

static void patches_stay_inside_the_picture(void **state)
{
    (void)state;
    struct forge_lump *patch = forge_find(&forge, "LEFT");
    static const int places[] = {-32768, -17, -16, -15, -1, 0, 9, 15, 16, 23, 24, 32767};
    for (size_t x = 0; x < sizeof places / sizeof *places; x++)
        for (size_t y = 0; y < sizeof places / sizeof *places; y++)
            assert_true(draw_guarded(patch->bytes, patch->size, places[x], places[y]));
}

static void lying_patches_are_noticed(void **state)
{
    (void)state;
    static const struct {
        size_t offset;
        int value;
    } damages[] = {
        {0, 0x8000},
        {0, 0},
        {0, 0x7fff}, // width
        {8, 0xffff},
        {10, 0xffff},
        {10, 0x7fff},                               // where column 0 begins
        {8 + 4 * 15, 8 + 4 * 16 + 16 * 21 - 1 + 1}, // … column 15: at the end
        {8 + 4 * 16 + 15 * 21, 0xff00},             // a post of 255 texels
    };
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
        forge_hung_room(&forge);
        struct forge_lump *patch = forge_find(&forge, "LEFT");
        forge_set16(patch, damages[i].offset, damages[i].value);
        if (draw_guarded(patch->bytes, patch->size, 0, 0)) fail_msg("damage %zu was not noticed", i);
    }
}

/// A column whose posts never end is given up, however large the lump is.
static void endless_columns_end(void **state)
{
    (void)state;
    static uint8_t lump[12 + (4u << 16)];
    lump[0] = 1;
    lump[8] = 12;
    lump[sizeof lump - 4] = 255; // an end after 65 535 posts of no texels
    assert_false(draw_guarded(lump, sizeof lump, 0, 0));
}

/// Rows of tall patches count on from the post before.
static void tall_columns_go_on(void **state)
{
    (void)state;
    static const struct texel palette[256] = {{0, 0, 0, 0}, {1, 0, 0, 255}, {2, 0, 0, 255}, {3, 0, 0, 255}};
    static const uint8_t lump[] = {1,   0, 0, 2, 0, 0,   0, 0, 12, 0, 0,  0, // header, one column
                                   250, 1, 0, 1, 0, 254, 1, 0, 2,  0, 60, 1, 0, 3, 0, 255};
    struct texel texels[400];
    memset(texels, 0, sizeof texels);
    assert_true(texels_put_patch(texels, 1, 400, lump, sizeof lump, 0, 0, palette));
    for (int row = 0; row < 400; row++)
        assert_int_equal(texels[row].r, row == 250 ? 1 : row == 254 ? 2 : row == 314 ? 3 : 0);
}

/// Whatever bytes there are: nothing outside is read or written.
static void random_patches_are_survived(void **state)
{
    (void)state;
    const struct forge_lump *patch = forge_find(&forge, "LEFT");
    for (uint64_t seed = 1; seed <= 20000; seed++) {
        static struct forge_lump bad;
        bad = *patch;
        uint64_t changes = 1 + hash_three(seed, 0, 0) % 8;
        for (uint64_t i = 1; i <= changes; i++)
            bad.bytes[hash_three(seed, i, 1) % bad.size] = (uint8_t)hash_three(seed, i, 2);
        (void)draw_guarded(bad.bytes, hash_three(seed, 0, 3) % (bad.size + 1), (int)(seed % 40) - 20,
                           (int)(seed % 37) - 18);
    }
}

int main(void)
{
#define ART_TEST(name) cmocka_unit_test_setup_teardown(name, hang, forget)
    const struct CMUnitTest tests[] = {
        ART_TEST(pictures_are_found),
        ART_TEST(texels_are_as_in_the_file),
        ART_TEST(smaller_copies_are_means),
        ART_TEST(sights_list_what_is_there),
        ART_TEST(a_file_without_art_is_a_level_without_pictures),
        ART_TEST(missing_lumps_leave_pictures_out),
        ART_TEST(a_missing_patch_leaves_the_others),
        ART_TEST(unknown_names_are_missing),
        ART_TEST(floors_and_walls_have_names_of_their_own),
        ART_TEST(refused_memory_is_said),
        ART_TEST(lying_tables_leave_pictures_out),
        ART_TEST(every_cut_is_survived),
        ART_TEST(every_cut_of_a_patch_is_noticed),
        ART_TEST(patches_stay_inside_the_picture),
        ART_TEST(lying_patches_are_noticed),
        ART_TEST(endless_columns_end),
        ART_TEST(tall_columns_go_on),
        ART_TEST(random_patches_are_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
