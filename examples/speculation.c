// SPDX-License-Identifier: MIT
//
// A path search that may fail: each agent tries the short way, then the long one, and what the failed attempt allocated is gone. A pool
// object that goes along on success frees itself on every other way out.
#include <framealloc/framealloc.h>

#include <stdio.h>

enum { agents = 200, ticks = 10 };

typedef struct route {
    uint32_t agent, length;
    uint32_t *steps; // frame memory
} route;

typedef struct search {
    uint32_t agent, limit;
    route *found;
} search;

// Needs more steps than it is allowed for every third agent; its scratch would be wasted then.
static int find_route(fa_worker *w, void *arg)
{
    search *s = arg;
    uint32_t wanted = s->agent % 3 == 0 ? 400 : 50;
    uint32_t *open = fa_frame_array(w, uint32_t, 4096); // an open list that a success keeps for the debug view
    uint32_t *steps = fa_frame_array(w, uint32_t, wanted);
    if (open == NULL || steps == NULL) return 2;
    for (uint32_t i = 0; i < wanted; i++) steps[i] = s->agent + i;
    if (wanted > s->limit) return 1;
    s->found->steps = steps;
    s->found->length = wanted;
    return 0;
}

static route *plan(fa_worker *w, uint32_t agent)
{
    FA_POOL_AUTO(w, route, r); // freed on every return but the last
    if (r == NULL) return NULL;
    r->agent = agent;
    search s = {agent, 100, r};
    fa_speculation result = fa_speculate(w, find_route, &s);
    if (result.outcome == FA_OUTCOME_KEPT) return fa_auto_release(r);
    if (result.error != 1 || agent % 2 == 0) return NULL; // it gives up
    FA_SPECULATE(w, result)
    {
        s.limit = 1000;
        if (find_route(w, &s) != 0) break;
        fa_speculation_keep(&result);
    }
    return result.outcome == FA_OUTCOME_KEPT ? fa_auto_release(r) : NULL;
}

static void plan_all(fa_worker *w, uint64_t first, uint64_t last, void *arg)
{
    route **routes = arg;
    for (uint64_t i = first; i < last; i++) routes[i] = plan(w, (uint32_t)i);
}

static bool check(fa_worker *w, route **routes)
{
    bool right = true;
    for (uint32_t i = 0; i < agents; i++) {
        bool gave_up = i % 6 == 0;
        right &= (routes[i] == NULL) == gave_up;
        if (routes[i] == NULL) continue;
        right &= routes[i]->agent == i && routes[i]->length == (i % 3 == 0 ? 400 : 50);
        for (uint32_t j = 0; j < routes[i]->length; j++) right &= routes[i]->steps[j] == i + j;
        fa_pool_free(w, routes[i]);
    }
    return right;
}

int main(void)
{
    fa_config config = fa_config_default();
    fa_system *fa = NULL;
    if (fa_create(&config, &fa) != FA_OK) return 1;
    fa_worker *w = fa_self(fa);
    bool right = true;
    fa_stats stats = {0};
    for (int i = 0; i < ticks && right; i++) {
        route *routes[agents];
        right = fa_frame_begin(fa) == FA_OK && fa_parallel_for(w, 0, agents, 8, plan_all, routes) == FA_OK;
        right = right && check(w, routes);
        right &= fa_frame_end(fa, NULL) == FA_OK && fa_stats_read(fa, &stats) == FA_OK && stats.pool_live == 0;
    }
    // 167 routes and their open lists; an attempt that failed would have added 18 KB.
    printf("%u agents, %llu bytes of frame memory\n", (unsigned)agents, (unsigned long long)stats.frame_bytes);
    right &= stats.frame_bytes < 166 * 18000u + 200000;
    return fa_destroy(fa) == FA_OK && right ? 0 : 1;
}
