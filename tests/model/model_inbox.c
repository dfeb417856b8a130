// SPDX-License-Identifier: MIT
//
// inbox.h: senders push single entries and chains, the receiver takes them whole and uses the objects that they stand for.
#include "tests/model/checker.h"

#include "concurrent/inbox.h"

enum { SENDERS = 2, PER_SENDER = 3, OBJECTS = SENDERS * PER_SENDER };

typedef struct object {
    fai_inbox_entry entry; // first
    uint64_t payload;      // plain: the sender's, then the receiver's
} object;

static struct {
    fai_inbox inbox;
    object objects[OBJECTS];
    uint64_t received[OBJECTS];
    uint64_t read; // by a sender, of an object that it then sends
} world;

static void before(void)
{
    memset(&world, 0, sizeof world);
    fai_inbox_init(&world.inbox);
}

static void send(void)
{
    fa_contention contention = {0};
    object *mine = &world.objects[(mc_self() - 1) * PER_SENDER];
    for (int i = 0; i < PER_SENDER; i++) mine[i].payload = 1;
    mine[0].entry.next = &mine[1].entry;
    (void)fai_inbox_push_any(&world.inbox, &mine[0].entry, &mine[1].entry, &contention);
    // What a sender only read must be over as well when the receiver writes.
    MC_ASSERT(mine[2].payload == 1);
    (void)fai_inbox_push_any(&world.inbox, &mine[2].entry, &mine[2].entry, &contention);
}

static void receive(void)
{
    unsigned left = OBJECTS;
    while (left > 0) {
        fai_inbox_entry *chain = fai_inbox_take_owner(&world.inbox);
        if (chain == NULL) mc_pause();
        while (chain != NULL) {
            object *o = (object *)(void *)chain;
            chain = chain->next;
            size_t index = (size_t)(o - world.objects);
            MC_ASSERT(index < OBJECTS && o->payload == 1);
            o->payload = 2;
            o->entry.next = NULL; // the receiver may use all of it
            world.received[index]++;
            left--;
        }
    }
    MC_ASSERT(fai_inbox_is_empty_any(&world.inbox));
}

static void after(void)
{
    for (int i = 0; i < OBJECTS; i++) MC_ASSERT(world.received[i] == 1);
}

const mc_model model_inbox = {
    .name = "inbox",
    .claim = "every entry arrives once, and the receiver may reuse what it stands for",
    .before = before,
    .threads = {receive, send, send},
    .after = after,
};
