// SPDX-License-Identifier: MIT
//
// A crowd that comes and goes. Agents are named by handles, so that a leader may die or move in memory without anybody being told; each tick
// ends with a little compaction; a thread of the network layer edits an agent and pins it meanwhile.
#include <framealloc/framealloc.h>

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>

enum { ticks = 200, agents_max = 4000, moves_per_tick = 200, edits = 20000 };

typedef struct agent {
    uint32_t id;
    uint32_t edits;
    uint32_t steps;
    fa_handle leader; // may be dead
    float position[2];
    float velocity[2];
    float path[40]; // where it has been
} agent;

typedef struct world {
    fa_system *fa;
    fa_handle crowd[agents_max];
    uint32_t count;
    fa_handle hero; // edited from outside, never dies
    uint32_t wrong[agents_max];
} world;

static void advance(fa_worker *w, uint64_t first, uint64_t last, void *arg)
{
    world *all = arg;
    for (uint64_t i = first; i < last; i++) {
        // One frame is in flight, so no compaction runs while this job does: it may write without a pin.
        agent *self = fa_handle_get(w, agent, all->crowd[i]);
        all->wrong[i] += self == NULL;
        if (self == NULL) continue;
        const agent *leader = fa_handle_is_valid(w, self->leader) ? fa_handle_get(w, agent, self->leader) : NULL;
        const float *velocity = leader != NULL ? leader->velocity : self->velocity; // which nobody writes
        for (int axis = 0; axis < 2; axis++) {
            self->path[(self->steps * 2 + (uint32_t)axis) % 40] = self->position[axis];
            self->position[axis] += velocity[axis];
        }
        self->steps++;
    }
}

static void *edit_from_outside(void *arg)
{
    const world *all = arg;
    fa_worker *w;
    if (fa_attach(all->fa, &w) != FA_OK) return NULL;
    for (int i = 0; i < edits; i++) {
        FA_HANDLE_PINNED(w, all->hero, hero); // the main thread may compact at any moment
        agent *self = (agent *)hero.object;
        if (self != NULL) self->edits++;
        (void)fa_quiescent(w); // a pin is no reader: the address stays good
    }
    (void)fa_detach(w);
    return NULL;
}

static bool spawn(world *all, fa_worker *w)
{
    fa_handle born = fa_handle_new(w, agent, NULL);
    agent *self = fa_handle_get(w, agent, born);
    if (self == NULL) return false;
    fa_handle leader = all->count > 0 ? all->crowd[all->count / 2] : born;
    *self = (agent){.id = born.index, .leader = leader, .velocity = {1.0f, 0.5f}};
    all->crowd[all->count++] = born;
    return true;
}

// Waves: many are born, and most of them die in no particular order, which leaves memory sparse.
static bool come_and_go(world *all, fa_worker *w, uint32_t *random, int tick)
{
    bool grows = tick % 50 < 20;
    for (int i = 0; i < 150; i++) {
        *random = *random * 1664525u + 1013904223u;
        if (grows && all->count < agents_max) {
            if (!spawn(all, w)) return false;
        } else if (!grows && all->count > 100) {
            uint32_t victim = (uint32_t)((uint64_t)*random * all->count >> 32);
            if (fa_handle_free(w, all->crowd[victim]) != FA_OK) return false;
            all->crowd[victim] = all->crowd[--all->count];
        }
    }
    return true;
}

static bool run_tick(world *all, fa_worker *w, fa_handle_compaction *sum)
{
    fa_handle_compaction now;
    if (fa_frame_begin(all->fa) != FA_OK) return false;
    bool sound = fa_parallel_for(w, 0, all->count, 0, advance, all) == FA_OK;
    sound = fa_frame_end(all->fa, NULL) == FA_OK && sound;
    sound = fa_handles_compact(all->fa, SIZE_MAX, moves_per_tick, &now) == FA_OK && sound;
    const struct timespec rest = {0, 1000000}; // of the tick: what was freed comes home meanwhile
    (void)nanosleep(&rest, NULL);
    sum->moves += now.moves;
    sum->blocks += now.blocks;
    return sound && now.moves <= moves_per_tick;
}

static uint32_t count_wrong(const world *all, fa_worker *w)
{
    uint32_t wrong = 0;
    for (uint32_t i = 0; i < agents_max; i++) wrong += all->wrong[i];
    for (uint32_t i = 0; i < all->count; i++) {
        const agent *self = fa_handle_get(w, agent, all->crowd[i]);
        wrong += self == NULL || self->id != all->crowd[i].index; // what a name names is what it always named
    }
    return wrong;
}

int main(void)
{
    static world all;
    fa_config config = fa_config_default();
    if (fa_create(&config, &all.fa) != FA_OK) return 1;
    fa_worker *w = fa_self(all.fa);
    fa_handle_compaction sum = {0};
    uint32_t random = 1, hero_edits = 0;
    all.hero = fa_handle_new(w, agent, NULL);
    agent *hero = fa_handle_get(w, agent, all.hero);
    bool sound = hero != NULL;
    if (sound) *hero = (agent){.id = all.hero.index};
    pthread_t editor;
    bool edited = sound && pthread_create(&editor, NULL, edit_from_outside, &all) == 0;
    for (int tick = 0; tick < ticks && sound; tick++)
        sound = come_and_go(&all, w, &random, tick) && run_tick(&all, w, &sum);
    if (edited) (void)pthread_join(editor, NULL);
    uint32_t wrong = count_wrong(&all, w);
    hero = fa_handle_get(w, agent, all.hero);
    if (hero != NULL) hero_edits = hero->edits;
    for (uint32_t i = 0; i < all.count; i++) sound = fa_handle_free(w, all.crowd[i]) == FA_OK && sound;
    sound = fa_handle_free(w, all.hero) == FA_OK && sound;
    sound = fa_destroy(all.fa) == FA_OK && sound;
    printf("%" PRIu32 " moves emptied %" PRIu32 " blocks, %" PRIu32 " edits, %" PRIu32 " wrong\n", sum.moves,
           sum.blocks, hero_edits, wrong);
    return sound && edited && wrong == 0 && hero_edits == edits && sum.blocks > 0 ? 0 : 1;
}
