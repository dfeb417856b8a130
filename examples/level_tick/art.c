// SPDX-License-Identifier: MIT
//
// See art.h. A texture lump is an int32, how many there are, an int32 for each, where its description begins, and the
// descriptions: 8 bytes name, 4 of no meaning, int16 width and height, 4 of no meaning, int16 number of patches; then 10 bytes a
// patch: int16 x and y, int16 number in PNAMES, 4 of no meaning.
#include "art.h"

#include <string.h>
#include <strings.h>

#define TEXTURE_HEADER 22u
#define PATCH_RECORD 10u
#define PNAME_BYTES 8u
#define LUMP_NONE UINT32_MAX
#define LUMP_UNKNOWN (UINT32_MAX - 1) // nobody asked for the name yet
/// Larger patches are damaged ones: a patch as wide as a picture can be with columns of a whole post takes a third of it.
#define PATCH_BYTES_MAX (UINT32_C(4) << 20)

/// The last lump of that name in [first, last), as in every port; LUMP_NONE if there is none.
static uint32_t find_lump(const struct wad *wad, const char *name, uint32_t first, uint32_t last)
{
    for (uint32_t lump = last; lump-- > first;)
        if (strcmp(wad->lumps[lump].name, name) == 0) return lump;
    return LUMP_NONE;
}

/// A lump of the file; one that is not there is empty.
struct source {
    const uint8_t *bytes;
    size_t size;
};

struct builder {
    const struct wad *wad;
    const struct level *level;
    const struct memory *memory;
    struct art *art;
    struct failure *failure;
    struct source textures[2];
    struct source names;
    uint32_t *patches; // lump of each patch name, or LUMP_UNKNOWN
    uint32_t patch_count;
    uint32_t flats_first; // lumps that may be flats
    uint32_t flats_last;
    uint32_t part_count;
};

static bool no_memory(const struct builder *build)
{
    return fail(build->failure, "no memory for the art of map %s", build->level->name);
}

static bool read_source(const struct builder *build, const char *name, struct source *out)
{
    *out = (struct source){NULL, 0};
    uint32_t lump = find_lump(build->wad, name, 0, build->wad->lump_count);
    if (lump == LUMP_NONE) return true;
    uint8_t *bytes = NULL;
    if (!wad_read(build->wad, lump, &build->memory->scratch, &bytes, build->failure)) return false;
    *out = (struct source){bytes, build->wad->lumps[lump].size};
    return true;
}

static bool read_palette(const struct builder *build)
{
    struct source source;
    if (!read_source(build, "PLAYPAL", &source)) return false;
    bool there = source.size >= PALETTE_BYTES;
    for (size_t i = 0; i < 256; i++) {
        // Without colours pictures are grey.
        const uint8_t grey[3] = {(uint8_t)i, (uint8_t)i, (uint8_t)i};
        const uint8_t *colour = there ? source.bytes + 3 * i : grey;
        build->art->palette[i] = (struct texel){colour[0], colour[1], colour[2], 255};
    }
    return true;
}

static bool read_patch_names(struct builder *build)
{
    if (!read_source(build, "PNAMES", &build->names)) return false;
    const struct source *names = &build->names;
    uint32_t count = names->size >= 4 ? (uint32_t)wad_i32(names->bytes) : 0;
    uint32_t there = names->size >= 4 ? (uint32_t)((names->size - 4) / PNAME_BYTES) : 0;
    build->patch_count = count < there ? count : there; // a negative count is a large one
    build->patches = memory_array(&build->memory->scratch, build->patch_count, sizeof *build->patches);
    if (build->patches == NULL) return no_memory(build);
    for (uint32_t i = 0; i < build->patch_count; i++) build->patches[i] = LUMP_UNKNOWN;
    return true;
}

/// The lump of a patch, looked for once.
static uint32_t find_patch(struct builder *build, uint32_t patch)
{
    if (patch >= build->patch_count) return LUMP_NONE;
    if (build->patches[patch] == LUMP_UNKNOWN) {
        char name[9];
        wad_copy_name(name, build->names.bytes + 4 + (size_t)PNAME_BYTES * patch);
        build->patches[patch] = find_lump(build->wad, name, 0, build->wad->lump_count);
    }
    return build->patches[patch];
}

static void find_flats(struct builder *build)
{
    static const char *const begins[] = {"F_START", "FF_START"};
    static const char *const ends[] = {"F_END", "FF_END"};
    build->flats_first = build->flats_last = 0;
    for (size_t i = 0; i < 2 && build->flats_last == 0; i++) {
        uint32_t begin = find_lump(build->wad, begins[i], 0, build->wad->lump_count);
        if (begin == LUMP_NONE) continue;
        // What opens by one name is often closed by the other.
        for (size_t end = 0; end < 2 && build->flats_last == 0; end++) {
            uint32_t last = find_lump(build->wad, ends[end], begin, build->wad->lump_count);
            if (last != LUMP_NONE) build->flats_first = begin + 1, build->flats_last = last;
        }
    }
}

static void describe_flat(struct builder *build, const char *name, struct art_picture *out)
{
    uint32_t lump = find_lump(build->wad, name, build->flats_first, build->flats_last);
    if (lump == LUMP_NONE || build->wad->lumps[lump].size < FLAT_BYTES) return;
    *out = (struct art_picture){FLAT_SIDE, FLAT_SIDE, build->part_count, 1, true};
    if (build->art->parts != NULL) build->art->parts[build->part_count] = (struct art_part){lump, 0, 0};
    build->part_count++;
}

/// The description of a texture: the first one of that name, as in every port. Its header lies inside the lump.
static const uint8_t *find_texture(const struct source *source, const char *name)
{
    if (source->size < 4) return NULL;
    int64_t count = wad_i32(source->bytes);
    for (int64_t i = 0; i < count && 4 + 4 * (i + 1) <= (int64_t)source->size; i++) {
        int64_t at = wad_i32(source->bytes + 4 + 4 * i);
        if (at < 0 || at + TEXTURE_HEADER > (int64_t)source->size) continue;
        if (strncasecmp((const char *)source->bytes + at, name, 8) == 0) return source->bytes + at;
    }
    return NULL;
}

/// Enters the patches that are there; a texture of which none is, is missing.
static void describe_parts(struct builder *build, const struct source *source, const uint8_t *at,
                           struct art_picture *out)
{
    int count = wad_i16(at + 20);
    for (int i = 0; i < count; i++) {
        const uint8_t *record = at + TEXTURE_HEADER + (size_t)i * PATCH_RECORD;
        if (source->bytes + source->size - record < (ptrdiff_t)PATCH_RECORD) return;
        struct art_part part = {find_patch(build, wad_u16(record + 4)), wad_i16(record), wad_i16(record + 2)};
        if (part.lump == LUMP_NONE) continue;
        if (build->art->parts != NULL) build->art->parts[build->part_count] = part;
        build->part_count++;
        out->count++;
    }
}

static void describe_texture(struct builder *build, const char *name, struct art_picture *out)
{
    for (size_t i = 0; i < 2; i++) {
        const struct source *source = &build->textures[i];
        const uint8_t *at = find_texture(source, name);
        if (at == NULL) continue;
        int width = wad_i16(at + 12);
        int height = wad_i16(at + 14);
        if (width <= 0 || height <= 0 || width > (int)TEXELS_SIDE_MAX || height > (int)TEXELS_SIDE_MAX) return;
        *out = (struct art_picture){.first = build->part_count};
        describe_parts(build, source, at, out);
        if (out->count == 0) return;
        out->width = (uint32_t)width;
        out->height = (uint32_t)height;
        return;
    }
}

/// Describes all pictures; counts their parts only as long as there is no table for them.
static void describe_all(struct builder *build)
{
    build->part_count = 0;
    for (uint32_t i = 0; i < build->level->picture_count; i++) {
        const struct level_picture *picture = &build->level->pictures[i];
        build->art->pictures[i] = (struct art_picture){.width = 0};
        if (picture->flat) {
            describe_flat(build, picture->name, &build->art->pictures[i]);
        } else {
            describe_texture(build, picture->name, &build->art->pictures[i]);
        }
    }
}

static void sum_up(struct art *art)
{
    for (uint32_t i = 0; i < art->count; i++) {
        art->bytes += art_bytes(&art->pictures[i]);
        if (art->pictures[i].width == 0) art->missing++;
    }
}

bool art_build(const struct wad *wad, const struct level *level, const struct memory *memory, struct art *out,
               struct failure *failure)
{
    *out = (struct art){.count = level->picture_count};
    struct builder build = {.wad = wad, .level = level, .memory = memory, .art = out, .failure = failure};
    if (!read_palette(&build) || !read_patch_names(&build) || !read_source(&build, "TEXTURE1", &build.textures[0]) ||
        !read_source(&build, "TEXTURE2", &build.textures[1]))
        return false;
    find_flats(&build);
    out->pictures = memory_array(&memory->level, out->count, sizeof *out->pictures);
    if (out->pictures == NULL) return no_memory(&build);
    describe_all(&build);
    out->parts = memory_array(&memory->level, build.part_count, sizeof *out->parts);
    if (out->parts == NULL) return no_memory(&build);
    describe_all(&build);
    sum_up(out);
    return true;
}

/// False when the lump cannot be read or is none of what the picture is made of.
static bool draw_part(const struct art *art, const struct wad *wad, const struct art_picture *picture,
                      const struct art_part *part, const fa_allocator *scratch, struct texel *texels)
{
    struct failure unsaid; // pictures are no reason to stop
    uint8_t *bytes = NULL;
    size_t size = wad->lumps[part->lump].size;
    if (size > PATCH_BYTES_MAX || !wad_read(wad, part->lump, scratch, &bytes, &unsaid)) return false;
    if (!picture->flat) {
        return texels_put_patch(texels, picture->width, picture->height, bytes, size, part->x, part->y, art->palette);
    }
    texels_put_flat(texels, bytes, art->palette);
    return true;
}

uint32_t art_draw(const struct art *art, const struct wad *wad, const struct art_picture *picture, uint32_t from,
                  uint32_t step, const fa_allocator *scratch, struct texel *texels, bool *damaged)
{
    if (from == 0) memset(texels, 0, art_bytes(picture));
    uint64_t read = 0;
    for (; from < picture->count && read < step; from++) {
        const struct art_part *part = &art->parts[picture->first + from];
        if (!draw_part(art, wad, picture, part, scratch, texels)) *damaged = true;
        read += wad->lumps[part->lump].size;
    }
    if (from == picture->count) texels_shrink(texels, picture->width, picture->height);
    return from;
}
