// SPDX-License-Identifier: MIT
//
// Names and tickets: two lanes enter the same tag, and others, at the same time, and mean the same; objects are handed over by tickets; who has a
// ticket too early is told that it is stale, and later gets the object.
#include "tests/model/little_flag.h"
#include "tests/model/little_system.h"

#include <string.h>

extern const mc_model model_names, model_transfer;

static fa_system *fa;
static fa_worker *other;
static struct {
    FAI_ATOMIC(uint64_t) tickets[3];
    fa_tag tags[2];
} world;

static void two_slots(fa_config *config)
{
    config->transfers_max = 2; // used again and again
}

static void before(void)
{
    memset(&world, 0, sizeof world);
    other = little_attach(fa);
}

/// Goes through all tags that there are.
static void look_at_all(void)
{
    for (uint32_t n = 0; n < 6; n++) {
        const char *path = fa_tag_path(fa, fa_tag_at(fa, n));
        MC_ASSERT(path == NULL || strlen(path) < 8);
    }
}

static void enter(fa_worker *w, unsigned self)
{
    if (mc_choose(2) == 0) look_at_all();
    fa_tag_scope own = fa_tag_begin(w, self == 0 ? "one" : "other");
    fa_tag_end(&own);
    fa_tag_scope both = fa_tag_begin(w, "both");
    world.tags[self] = fa_tag_current(w);
    MC_ASSERT(strcmp(fa_tag_path(fa, world.tags[self]), "both") == 0);
    uint64_t *p = fa_pool_alloc(w, 64);
    MC_ASSERT(p != NULL);
    *p = 1;
    fa_pool_free(w, p);
    fa_tag_end(&both);
    fa_tag_scope last = fa_tag_begin(w, self == 0 ? "three" : "four"); // perhaps in the place of who was second
    MC_ASSERT(strcmp(fa_tag_path(fa, fa_tag_current(w)), self == 0 ? "three" : "four") == 0);
    fa_tag_end(&last);
}

static void send(void)
{
    fa_worker *w = fa_self(fa);
    for (int i = 0; i < 3; i++) {
        uint64_t *p = fa_pool_alloc(w, 64);
        MC_ASSERT(p != NULL);
        *p = 3;
        fa_transfer ticket;
        while (fa_transfer_send(w, p, &ticket) != FA_OK) fai_pause(); // none is free
        fai_store_relaxed(&world.tickets[i], ticket.bits);
    }
}

static void receive(void)
{
    for (int i = 0; i < 3; i++) {
        fa_transfer ticket;
        while ((ticket.bits = fai_load_relaxed(&world.tickets[i])) == 0) fai_pause();
        void *object;
        while (fa_transfer_receive(other, ticket, &object) != FA_OK) fai_pause();
        MC_ASSERT(*(uint64_t *)object == 3);
        *(uint64_t *)object = 4;
        fa_pool_free(other, object);
        MC_ASSERT(fa_transfer_receive(other, ticket, &object) == FA_ERROR_STALE);
    }
}

static void thread_names(void)
{
    unsigned self = mc_self();
    mc_dawdle(60);
    if (self == 2) {
        look_at_all(); // no lane
        return;
    }
    enter(self == 0 ? fa_self(fa) : other, self);
}

static void after_names(void)
{
    MC_ASSERT(world.tags[0].id == world.tags[1].id);
}

const mc_model model_names = {
    .name = "names",
    .claim = "the same name is the same tag on all lanes",
    .large = true,
    .system = &fa,
    .before = before,
    .threads = {thread_names, thread_names, thread_names},
    .after = after_names,
};

const mc_model model_transfer = {
    .name = "transfer",
    .claim = "an object that travels is received once, as it was sent",
    .large = true,
    .system = &fa,
    .adjust = two_slots,
    .before = before,
    .threads = {send, receive},
};
