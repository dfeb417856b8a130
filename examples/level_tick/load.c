// SPDX-License-Identifier: MIT
//
// See load.h.
#include "load.h"

#include <ctype.h>

/// A group called as the level, in upper case as in the file; no lump has a longer name than eight letters.
static bool open_group(fa_worker *w, const char *map, fa_group *out, struct failure *failure)
{
    char name[9] = "";
    for (size_t i = 0; i + 1 < sizeof name && map[i] != '\0'; i++) name[i] = (char)toupper((unsigned char)map[i]);
    fa_status status = fa_group_create(w, name, out);
    return status == FA_OK || fail(failure, "map %s has no place: %s", name, fa_status_text(status));
}

struct loading {
    struct grid *grid;
    bool no_memory; // shared: only ever set
};

static void find_sectors(fa_worker *w, uint64_t first, uint64_t last, void *context)
{
    struct loading *loading = context;
    FA_SCOPE(w);
    fa_allocator scratch = fa_allocator_scope(w);
    if (grid_find_sectors(loading->grid, &scratch, (uint32_t)first, (uint32_t)last)) return;
    __atomic_store_n(&loading->no_memory, true, __ATOMIC_RELAXED); // read after the loop
}

static void find_open(fa_worker *w, uint64_t first, uint64_t last, void *context)
{
    (void)w;
    const struct loading *loading = context;
    grid_find_open(loading->grid, (uint32_t)first, (uint32_t)last);
}

static void find_exits(fa_worker *w, uint64_t first, uint64_t last, void *context)
{
    (void)w;
    const struct loading *loading = context;
    grid_find_exits(loading->grid, (uint32_t)first, (uint32_t)last);
}

static bool fill_grid(fa_worker *w, struct grid *grid, struct failure *failure)
{
    static fa_range_fn *const passes[] = {find_sectors, find_open, find_exits};
    struct loading loading = {.grid = grid};
    for (size_t i = 0; i < sizeof passes / sizeof *passes; i++) {
        fa_status status = fa_parallel_for(w, 0, grid->rows, 4, passes[i], &loading);
        if (status != FA_OK) return fail(failure, "the grid cannot be built: %s", fa_status_text(status));
    }
    if (!loading.no_memory) return true;
    return fail(failure, "no memory for the grid of map %s", grid->level->name);
}

/// Memory of the level on this lane, inside a scope.
static struct memory memory_of(fa_group_source *source)
{
    return (struct memory){.level = fa_allocator_group(source), .scratch = fa_allocator_scope(source->worker)};
}

/// The art of a level, found out by a job of its own.
struct art_search {
    struct place *place;
    struct failure failure;
    fa_counter counter;
    bool good;
};

static void find_art(fa_worker *w, void *argument)
{
    FA_SCOPE(w);
    struct art_search *search = argument;
    struct place *place = search->place;
    fa_group_source source = {w, place->group};
    struct memory memory = memory_of(&source);
    search->good = art_build(&place->wad, &place->level, &memory, &place->art, &search->failure);
}

/// Each step needs those before it.
static bool find_ways(fa_worker *w, const struct memory *memory, struct place *place, struct failure *failure)
{
    return walls_build(&place->level, memory, &place->walls, failure) &&
           grid_create(&place->level, &place->walls, memory, &place->grid, failure) &&
           fill_grid(w, &place->grid, failure) && regions_build(&place->grid, memory, &place->regions, failure) &&
           sights_build(&place->grid, memory, &place->sights, failure);
}

static bool build_place(fa_worker *w, const struct memory *memory, struct place *place, struct failure *failure)
{
    struct art_search search = {.place = place, .failure = {.text = ""}, .counter = FA_COUNTER_INIT};
    fa_status status = fa_submit_counted(w, &search.counter, find_art, &search);
    if (status != FA_OK) return fail(failure, "the art cannot be found: %s", fa_status_text(status));
    bool good = find_ways(w, memory, place, failure);
    status = fa_wait(w, &search.counter);
    if (status != FA_OK) return fail(failure, "the art cannot be found: %s", fa_status_text(status));
    if (!good || search.good) return good;
    *failure = search.failure;
    return false;
}

bool load_level(fa_worker *w, const char *wad_path, const char *map, struct place *out, struct failure *failure)
{
    *out = (struct place){.wad = {.file = -1}};
    if (!open_group(w, map, &out->group, failure)) return false;
    FA_SCOPE(w);
    fa_group_source source = {w, out->group};
    struct memory memory = memory_of(&source);
    return wad_open(wad_path, &memory, &out->wad, failure) &&
           level_load(&out->wad, map, &memory, &out->level, failure) && build_place(w, &memory, out, failure);
}

bool load_world(fa_worker *w, const struct place *place, uint32_t agents, uint64_t seed, struct world *out,
                struct failure *failure)
{
    return world_create(w, place->group, &place->regions, &place->grid, agents, seed, out, failure);
}

bool load_stream(fa_worker *w, const struct place *place, uint64_t budget, struct stream *out, struct failure *failure)
{
    fa_group_source source = {w, place->group};
    struct memory memory = memory_of(&source);
    return stream_create(&place->art, &place->wad, &place->sights, budget, &memory, out, failure);
}

void load_free(fa_worker *w, struct place *place)
{
    wad_close(&place->wad);
    if (fa_group_exists(w, place->group)) (void)fa_group_free(w, place->group);
}
