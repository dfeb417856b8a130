// SPDX-License-Identifier: MIT
//
// See load.h.
#include "load.h"

bool load_level(const char *wad_path, const char *map, struct place *out, struct failure *failure)
{
    *out = (struct place){.level = {.name = ""}};
    struct wad wad;
    if (!wad_open(wad_path, &wad, failure)) return false;
    bool good = level_load(&wad, map, &out->level, failure) && walls_build(&out->level, &out->walls, failure) &&
                grid_create(&out->level, &out->walls, &out->grid, failure);
    wad_close(&wad);
    if (!good) load_free(out);
    return good;
}

void load_free(struct place *place)
{
    regions_free(&place->regions);
    grid_free(&place->grid);
    walls_free(&place->walls);
    level_free(&place->level);
}

struct loading {
    struct grid *grid;
    bool no_memory; // shared: only ever set
};

static void find_sectors(fa_worker *w, uint64_t first, uint64_t last, void *context)
{
    (void)w;
    struct loading *loading = context;
    if (grid_find_sectors(loading->grid, (uint32_t)first, (uint32_t)last)) return;
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

bool load_world(fa_worker *w, struct place *place, uint32_t agents, uint64_t seed, struct world *out,
                struct failure *failure)
{
    return fill_grid(w, &place->grid, failure) && regions_build(&place->grid, &place->regions, failure) &&
           world_create(w, &place->regions, &place->grid, agents, seed, out, failure);
}
