// SPDX-License-Identifier: MIT
//
// See hanging.h.
#include "hanging.h"

#include "floors.h"
#include "lines.h"

#include <string.h>

struct hanging {
    struct scene *scene;
    struct gallery *gallery;
    hanging_draw *draw;
    uint32_t tiles;
    size_t words; // of a set of pictures
    // frame memory
    uint64_t *needs; // per tile, a set of pictures
    uint64_t *bytes; // per picture
    uint32_t *order; // tiles
    bool failed;     // shared: only ever set
};

static void need(uint64_t *set, uint16_t picture)
{
    if (picture != LEVEL_NONE) set[picture / 64] |= UINT64_C(1) << picture % 64;
}

/// A sector that a tile shows has a line there, or covers all of it and thus its middle.
static bool find_needs(fa_worker *w, const struct scene *scene, uint32_t number, uint64_t *set)
{
    const struct level *level = scene->world->level;
    const struct tile tile = scene_tile(scene, number);
    for (uint32_t i = 0; i < level->line_count; i++) {
        const struct level_line *line = &level->lines[i];
        if (!scene_touches(&tile, scene_vertex(scene, line->from), scene_vertex(scene, line->to), LINES_REACH))
            continue;
        uint16_t side;
        need(set, lines_picture(level, line, &side));
        need(set, level->sectors[line->front].flat);
        if (line->back != LEVEL_NONE) need(set, level->sectors[line->back].flat);
    }
    uint16_t middle;
    if (!floors_middle(w, scene, &tile, &middle)) return false;
    if (middle != GRID_VOID) need(set, level->sectors[middle].flat);
    return true;
}

static void find_all_needs(fa_worker *w, uint64_t first, uint64_t last, void *context)
{
    struct hanging *hanging = context;
    for (uint64_t i = first; i < last; i++) {
        if (find_needs(w, hanging->scene, (uint32_t)i, hanging->needs + i * hanging->words)) continue;
        __atomic_store_n(&hanging->failed, true, __ATOMIC_RELAXED); // read after the loop
    }
}

static void draw_tiles(fa_worker *w, uint64_t first, uint64_t last, void *context)
{
    struct hanging *hanging = context;
    for (uint64_t i = first; i < last; i++) {
        if (hanging->draw(w, hanging->scene, hanging->order[i])) continue;
        __atomic_store_n(&hanging->failed, true, __ATOMIC_RELAXED);
    }
}

/// Bytes of what a tile needs and the batch has not got.
static uint64_t missing_bytes(const struct hanging *hanging, uint32_t tile, const uint64_t *set)
{
    const uint64_t *needs = hanging->needs + tile * hanging->words;
    uint64_t sum = 0;
    for (size_t word = 0; word < hanging->words; word++) {
        for (uint64_t bits = needs[word] & ~set[word]; bits != 0; bits &= bits - 1)
            sum += hanging->bytes[word * 64 + (uint32_t)__builtin_ctzll(bits)];
    }
    return sum;
}

/// The place in the order, from `from` on, of the tile that adds least to the batch.
static uint32_t find_cheapest(const struct hanging *hanging, uint32_t from, const uint64_t *set, uint64_t *bytes)
{
    uint32_t best = from;
    *bytes = UINT64_MAX;
    for (uint32_t i = from; i<hanging->tiles && * bytes> 0; i++) {
        uint64_t more = missing_bytes(hanging, hanging->order[i], set);
        if (more >= *bytes) continue;
        best = i;
        *bytes = more;
    }
    return best;
}

/// Adds what fits beside what is there, in the order of the pictures' numbers.
static void take(const struct hanging *hanging, uint32_t tile, uint64_t *set, uint64_t *bytes)
{
    const uint64_t *needs = hanging->needs + tile * hanging->words;
    for (uint32_t i = 0; i < hanging->gallery->art->count; i++) {
        if (!gallery_in(needs, i) || gallery_in(set, i)) continue;
        if (*bytes + hanging->bytes[i] > hanging->gallery->budget) {
            hanging->gallery->tally.plain++;
            continue;
        }
        *bytes += hanging->bytes[i];
        set[i / 64] |= UINT64_C(1) << i % 64;
    }
}

/// Moves the tiles of the next batch to `from` in the order, fills their set and answers where they end: the first that is left,
/// whatever it needs, and then always the one that adds least, as long as it fits.
static uint32_t make_batch(const struct hanging *hanging, uint32_t from, uint64_t *set)
{
    uint64_t bytes = 0;
    uint64_t more;
    memset(set, 0, hanging->words * sizeof *set);
    take(hanging, hanging->order[from], set, &bytes);
    uint32_t last = from + 1;
    while (last < hanging->tiles) {
        uint32_t at = find_cheapest(hanging, last, set, &more);
        if (bytes + more > hanging->gallery->budget) break;
        uint32_t tile = hanging->order[at];
        take(hanging, tile, set, &bytes);
        hanging->order[at] = hanging->order[last];
        hanging->order[last++] = tile;
    }
    return last;
}

static bool allocate(fa_worker *w, struct hanging *hanging)
{
    const uint32_t pictures = hanging->gallery->art->count;
    hanging->needs = fa_frame_array(w, uint64_t, hanging->words * hanging->tiles);
    hanging->bytes = fa_frame_array(w, uint64_t, hanging->words * 64);
    hanging->order = fa_frame_array(w, uint32_t, hanging->tiles);
    hanging->scene->texels = fa_frame_array(w, const struct texel *, pictures + 1u);
    if (hanging->needs == NULL || hanging->bytes == NULL || hanging->order == NULL || hanging->scene->texels == NULL)
        return false;
    memset(hanging->needs, 0, hanging->words * hanging->tiles * sizeof *hanging->needs);
    for (uint32_t i = 0; i < hanging->tiles; i++) hanging->order[i] = i;
    for (uint32_t i = 0; i < pictures; i++) hanging->bytes[i] = art_bytes(&hanging->gallery->art->pictures[i]);
    return true;
}

bool hanging_run(fa_worker *w, struct scene *scene, struct gallery *gallery, uint32_t tiles, hanging_draw *draw)
{
    const size_t words = gallery->art->count / 64 + 1;
    struct hanging hanging = {.scene = scene, .gallery = gallery, .draw = draw, .tiles = tiles, .words = words};
    uint64_t *set = fa_frame_array(w, uint64_t, words);
    if (set == NULL || !allocate(w, &hanging)) return false;
    if (fa_parallel_for(w, 0, tiles, 1, find_all_needs, &hanging) != FA_OK || hanging.failed) return false;
    for (uint32_t first = 0, last; first < tiles; first = last) {
        last = make_batch(&hanging, first, set);
        bool good = gallery_show(w, gallery, set, scene->texels) &&
                    fa_parallel_for(w, first, last, 1, draw_tiles, &hanging) == FA_OK;
        gallery_hide(w, gallery, scene->texels);
        if (!good || hanging.failed) return false;
    }
    return true;
}
