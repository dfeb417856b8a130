// SPDX-License-Identifier: MIT
//
// A navigation cache in a scratch pool: routes that workers find are kept over frames until the cache is full or the world changes, then the
// pool is reset as a whole. Routes found in a frame get into the pool by promotion, so the search itself uses frame memory only.
#include <framealloc/framealloc.h>

#include <inttypes.h>
#include <stdio.h>

enum { places = 32, searches_per_tick = 24, ticks = 60, cache_bytes = 64 * 1024 };

typedef struct route {
    uint32_t from, to;
    uint32_t length;
    uint32_t steps[]; // `length` of them
} route;

typedef struct world {
    fa_scratch cache;
    const route *known[places][places];
    uint64_t tick, hits, searched, resets;
} world;

static size_t route_bytes(uint32_t length)
{
    return sizeof(route) + length * sizeof(uint32_t);
}

// From one place to the other, one step at a time: stands for a real search.
static void search(fa_worker *w, const world *in, uint32_t from, uint32_t to)
{
    uint32_t length = from < to ? to - from : from - to;
    fa_retain keep = {
        .to = FA_RETAIN_SCRATCH, .user = from * places + to, .key = from * places + to, .scratch = in->cache};
    route *r = fa_frame_retained(w, route_bytes(length), _Alignof(route), &keep);
    if (r == NULL) return;
    *r = (route){.from = from, .to = to, .length = length};
    for (uint32_t i = 0; i < length; i++) r->steps[i] = from < to ? from + i + 1 : from - i - 1;
}

// The places that are asked for change slowly, so most routes are known after a while.
static void ask(uint64_t tick, uint64_t i, uint32_t *from, uint32_t *to)
{
    *from = (uint32_t)(i * 7 + tick / 8) % places;
    *to = (uint32_t)(i * 5 + tick / 4) % places;
}

static void find_routes(fa_worker *w, uint64_t first, uint64_t last, void *arg)
{
    const world *in = arg;
    for (uint64_t i = first; i < last; i++) {
        uint32_t from, to;
        ask(in->tick, i, &from, &to);
        if (in->known[from][to] == NULL) search(w, in, from, to);
    }
}

static bool is_right(const route *r, uint32_t from, uint32_t to)
{
    if (r->from != from || r->to != to) return false;
    return r->length == 0 || r->steps[r->length - 1] == to;
}

// What was known is forgotten with the memory it lies in.
static bool forget(fa_worker *w, world *in)
{
    for (uint32_t i = 0; i < places * places; i++) in->known[i / places][i % places] = NULL;
    in->resets++;
    return fa_scratch_reset(w, in->cache) == FA_OK;
}

static bool run_tick(fa_system *fa, world *in)
{
    fa_worker *w = fa_self(fa);
    fa_frame_result found;
    if (fa_frame_begin(fa) != FA_OK) return false;
    (void)fa_parallel_for(w, 0, searches_per_tick, 1, find_routes, in);
    if (fa_frame_end(fa, &found) != FA_OK) return false;
    bool full = false;
    for (uint32_t i = 0; i < found.count; i++) {
        const fa_promotion *item = &found.items[i];
        uint32_t from = (uint32_t)item->user / places, to = (uint32_t)item->user % places;
        full = full || item->status == FA_PROMOTION_SCRATCH_FULL;
        if (item->status == FA_PROMOTED) in->known[from][to] = item->to;
    }
    in->searched += found.count;
    for (uint64_t i = 0; i < searches_per_tick; i++) {
        uint32_t from, to;
        ask(in->tick, i, &from, &to);
        const route *r = in->known[from][to];
        if (r == NULL && !full) return false;
        if (r != NULL && !is_right(r, from, to)) return false;
        in->hits += r != NULL;
    }
    bool world_changed = in->tick % 40 == 39;
    return full || world_changed ? forget(w, in) : true;
}

int main(void)
{
    fa_config config = fa_config_default();
    fa_system *fa = NULL;
    if (fa_create(&config, &fa) != FA_OK) return 1;
    fa_worker *w = fa_self(fa);
    static world in;
    bool right = fa_scratch_create(w, "navigation", cache_bytes, &in.cache) == FA_OK &&
                 fa_scratch_find(w, "navigation").id == in.cache.id;
    for (in.tick = 0; in.tick < ticks && right; in.tick++) right = run_tick(fa, &in);
    fa_scratch_info info;
    right = fa_scratch_read(w, in.cache, &info) == FA_OK && right;
    printf("%" PRIu64 " of %d routes known at once or after %" PRIu64 " searches, %" PRIu64 " resets, cache %" PRIu64
           " of %" PRIu64 " bytes\n",
           in.hits, ticks * searches_per_tick, in.searched, in.resets, info.allocated, info.capacity);
    right = right && in.hits == ticks * searches_per_tick && in.searched < in.hits && in.resets == 1 &&
            info.objects > 0;
    right = fa_scratch_remove(w, in.cache) == FA_OK && right;
    right = fa_destroy(fa) == FA_OK && right;
    if (!right) fprintf(stderr, "scratch: something is not as it should be\n");
    return right ? 0 : 1;
}
