// SPDX-License-Identifier: MIT
//
// A game loop without an engine around it: a tick begins, systems run as jobs on all workers and scribble into frame memory, one end
// frees it everywhere. The hooks are called through plain callbacks, as an engine would that knows only `void (void *)`.
//
// Checks itself: every tick takes the same frame memory, on every lane, however long it runs; and results do not depend on who ran what.
#include <framealloc/framealloc.h>

#include <stdio.h>
#include <string.h>

enum { TICKS = 200, WARM = 20, GROUPS = 64, PER_GROUP = 256, BODIES = GROUPS * PER_GROUP };

typedef struct body {
    float x, speed;
} body;

typedef struct contact {
    uint32_t a, b;
} contact;

typedef struct world {
    body bodies[BODIES];
    contact *contacts[GROUPS]; // of this tick, in the frame memory of whichever lane found them
    uint32_t contact_count[GROUPS];
    uint64_t contacts_seen;
} world;

/// What an engine knows of us: two callbacks and what to pass them.
typedef struct engine_hooks {
    void (*tick_start)(void *context);
    void (*tick_end)(void *context);
    void *context;
} engine_hooks;

static world all;

// Systems -------------------------------------------------------------------------------------------------------------

static void move_bodies(fa_worker *w, uint64_t first, uint64_t last, void *arg)
{
    (void)w;
    world *at = arg;
    for (uint64_t i = first; i < last; i++) {
        body *b = &at->bodies[i];
        b->x += b->speed;
        if (b->x < 0 || b->x > 100) b->speed = -b->speed;
    }
}

/// Contacts of neighbours within a group. The list is made for the worst case and never freed: it goes with the tick.
static void find_contacts(fa_worker *w, uint64_t first, uint64_t last, void *arg)
{
    world *at = arg;
    for (uint64_t group = first; group < last; group++) {
        contact *list = fa_frame_array(w, contact, PER_GROUP);
        at->contacts[group] = list;
        at->contact_count[group] = 0;
        if (list == NULL) continue;
        uint32_t base = (uint32_t)group * PER_GROUP;
        for (uint32_t i = base; i + 1 < base + PER_GROUP; i++) {
            float apart = at->bodies[i].x - at->bodies[i + 1].x;
            if (apart * apart < 1) list[at->contact_count[group]++] = (contact){i, i + 1};
        }
    }
}

/// Reads what other lanes allocated this tick: allowed until the tick ends.
static bool resolve_contacts(world *at)
{
    for (uint32_t group = 0; group < GROUPS; group++) {
        if (at->contacts[group] == NULL) return false;
        for (uint32_t i = 0; i < at->contact_count[group]; i++) {
            const contact *c = &at->contacts[group][i];
            body *a = &at->bodies[c->a], *b = &at->bodies[c->b];
            float speed = a->speed;
            a->speed = b->speed;
            b->speed = speed;
        }
        at->contacts_seen += at->contact_count[group];
        at->contacts[group] = NULL; // gone with the tick
    }
    return true;
}

// The loop ------------------------------------------------------------------------------------------------------------

static bool run_tick(const engine_hooks *hooks, fa_worker *w)
{
    hooks->tick_start(hooks->context);
    bool good = fa_parallel_for(w, 0, BODIES, 0, move_bodies, &all) == FA_OK &&
                fa_parallel_for(w, 0, GROUPS, 1, find_contacts, &all) == FA_OK && resolve_contacts(&all);
    hooks->tick_end(hooks->context);
    return good;
}

static void make_world(void)
{
    memset(&all, 0, sizeof all);
    for (uint32_t i = 0; i < BODIES; i++)
        all.bodies[i] = (body){(float)(i * 7919u % 1000) / 10, (float)(i * 104729u % 200) / 100 - 1};
}

static bool run(uint32_t workers, uint64_t *contacts)
{
    fa_config config = fa_config_default();
    config.worker_count = workers;
    config.tick_hooks = true;
    fa_system *fa;
    if (fa_create(&config, &fa) != FA_OK) return false;
    make_world();
    const engine_hooks hooks = {fa_tick_on_begin, fa_tick_on_end, fa};
    bool good = true;
    uint64_t warm_memory = 0;
    for (uint32_t tick = 0; tick < TICKS && good; tick++) {
        good = run_tick(&hooks, fa_self(fa));
        fa_stats stats;
        if (fa_stats_read(fa, &stats) != FA_OK || stats.frame != tick + 1) good = false;
        // All lists of all lanes, and nothing of a tick before.
        uint64_t least = (uint64_t)GROUPS * PER_GROUP * sizeof(contact);
        if (stats.frame_bytes < least || stats.frame_bytes > 2 * least) good = false;
        if (tick == WARM) warm_memory = stats.memory_bytes;
        // A lane may take its first group late, one block each; what grows without end is more than that.
        if (tick > WARM && stats.memory_bytes > warm_memory + (workers + 1) * (UINT64_C(2) << 20)) good = false;
    }
    *contacts = all.contacts_seen;
    return fa_destroy(fa) == FA_OK && good;
}

int main(void)
{
    uint64_t alone, together;
    if (!run(0, &alone) || !run(3, &together)) {
        fprintf(stderr, "game_loop: a tick went wrong\n");
        return 1;
    }
    printf("%d ticks, %llu contacts\n", TICKS, (unsigned long long)alone);
    return alone == together && alone > 0 ? 0 : 1;
}
