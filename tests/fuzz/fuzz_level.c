// SPDX-License-Identifier: MIT
//
// The input is a WAD file. Whatever it holds, the reader of levels answers with a level that keeps what level.h and art.h promise, or with
// one sentence. The last byte, beyond the file's directory unless it is cut, says which allocation is refused, 0: none. With FUZZ_PLANTED=1 there
// is no lava.
#include "fuzz.h"

#include "examples/level_tick/art.h"

#include <sys/mman.h>
#include <unistd.h>

enum { PICTURE_BYTES_MAX = 1 << 20, BYTES_MAX = 64 << 20 };

// Whatever was allocated, each behind a link to the one before.
static struct allocation {
    _Alignas(16) struct allocation *before;
} * last_allocation;
static uint32_t refused; // number of the allocation that is, counted down
static size_t allocated;

static void *allocate(void *context, size_t size, size_t align)
{
    (void)context;
    FUZZ_CHECK(size > 0 && align <= 16);
    if (--refused == 0 || size > BYTES_MAX - allocated) return NULL;
    struct allocation *made = malloc(sizeof *made + size);
    if (made == NULL) return NULL;
    allocated += size;
    memset(made + 1, 0xcd, size);
    made->before = last_allocation;
    last_allocation = made;
    return made + 1;
}

static void forget(void)
{
    while (last_allocation != NULL) {
        struct allocation *before = last_allocation->before;
        free(last_allocation);
        last_allocation = before;
    }
    allocated = 0;
}

static bool is_sentence(const struct failure *failure)
{
    return failure->text[0] != '\0' && strchr(failure->text, '\n') == NULL;
}

static void check_lumps(const struct wad *wad, size_t size)
{
    for (uint32_t i = 0; i < wad->lump_count; i++) {
        const struct wad_lump *lump = &wad->lumps[i];
        FUZZ_CHECK(lump->size == 0 || (lump->offset <= size && lump->size <= size - lump->offset));
        FUZZ_CHECK(strlen(lump->name) <= 8);
        for (const char *c = lump->name; *c != '\0'; c++)
            FUZZ_CHECK(*c >= ' ' && *c <= '~' && !(*c >= 'a' && *c <= 'z'));
    }
    uint32_t position = 0, found = 0;
    for (struct level_entry entry; level_next(wad, &position, &entry); found++)
        FUZZ_CHECK(entry.marker < wad->lump_count);
    FUZZ_CHECK(found <= wad->lump_count);
}

static bool is_below(uint16_t index, uint32_t count)
{
    return index < count || index == LEVEL_NONE;
}

static void check_level(const struct level *level)
{
    for (uint32_t i = 0; i < level->line_count; i++) {
        const struct level_line *line = &level->lines[i];
        FUZZ_CHECK(line->from < level->vertex_count && line->to < level->vertex_count);
        FUZZ_CHECK(line->front < level->sector_count && is_below(line->back, level->sector_count));
        FUZZ_CHECK(line->front_side < level->side_count && is_below(line->back_side, level->side_count));
        FUZZ_CHECK((line->back == LEVEL_NONE) == (line->back_side == LEVEL_NONE));
        const struct level_vertex *from = &level->vertices[line->from];
        FUZZ_CHECK(from->x >= level->left && from->x <= level->right && from->y >= level->bottom &&
                   from->y <= level->top);
    }
    for (uint32_t i = 0; i < level->side_count; i++) {
        const struct level_side *side = &level->sides[i];
        FUZZ_CHECK(is_below(side->upper, level->picture_count) && is_below(side->lower, level->picture_count));
        FUZZ_CHECK(is_below(side->middle, level->picture_count));
    }
    enum level_floor most = fuzz_is_planted() ? FLOOR_LAVA - 1 : FLOOR_LAVA;
    for (uint32_t i = 0; i < level->sector_count; i++) {
        const struct level_sector *sector = &level->sectors[i];
        FUZZ_CHECK(is_below(sector->flat, level->picture_count) && sector->floor <= most);
        FUZZ_CHECK(sector->light >= 0 && sector->light <= 255 && is_below(sector->door, level->door_count));
    }
    for (uint32_t i = 0; i < level->picture_count; i++) FUZZ_CHECK(strlen(level->pictures[i].name) <= 8);
}

/// Into memory of exactly the picture's size.
static void draw(const struct art *art, const struct wad *wad, const struct art_picture *picture,
                 const fa_allocator *scratch)
{
    size_t bytes = art_bytes(picture);
    if (bytes == 0 || bytes > PICTURE_BYTES_MAX) return;
    struct texel *texels = fa_alloc_with(scratch, bytes, 0);
    if (texels == NULL) return;
    bool damaged = false;
    for (uint32_t part = 0; part < picture->count;) {
        uint32_t next = art_draw(art, wad, picture, part, 1024, scratch, texels, &damaged);
        FUZZ_CHECK(next > part && next <= picture->count);
        part = next;
    }
}

static void read_level(const struct wad *wad, const char *name, const struct memory *memory)
{
    struct failure failure = {.text = ""};
    struct level level;
    struct art art;
    if (!level_load(wad, name, memory, &level, &failure)) {
        FUZZ_CHECK(is_sentence(&failure));
        return;
    }
    check_level(&level);
    if (!art_build(wad, &level, memory, &art, &failure)) {
        FUZZ_CHECK(is_sentence(&failure));
        return;
    }
    FUZZ_CHECK(art.count == level.picture_count);
    for (uint32_t i = 0; i < art.count && allocated < BYTES_MAX / 2; i++)
        draw(&art, wad, &art.pictures[i], &memory->scratch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int file = -1;
    static char path[64];
    if (file < 0) {
        file = memfd_create("level", 0);
        FUZZ_CHECK(file >= 0);
        snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    }
    FUZZ_CHECK(ftruncate(file, (off_t)size) == 0);
    FUZZ_CHECK(size == 0 || pwrite(file, data, size, 0) == (ssize_t)size);
    refused = size > 0 ? data[size - 1] : 0;
    struct memory memory = {.level = {.alloc = allocate}, .scratch = {.alloc = allocate}};
    struct failure failure = {.text = ""};
    struct wad wad;
    if (wad_open(path, &memory, &wad, &failure)) {
        check_lumps(&wad, size);
        read_level(&wad, "MAP01", &memory);
        read_level(&wad, "E1M1", &memory);
    } else {
        FUZZ_CHECK(is_sentence(&failure));
    }
    wad_close(&wad);
    forget();
    return 0;
}
