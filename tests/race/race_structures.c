// SPDX-License-Identifier: MIT
//
// The structures of concurrent/ and the deque by themselves: the second thread hands a payload on, the first takes it. Nothing but the structure
// orders the two accesses.
#include "tests/race/race.h"

#include "concurrent/inbox.h"
#include "concurrent/index_stack.h"
#include "concurrent/park.h"
#include "concurrent/rcu.h"
#include "jobs/deque.h"

static uint64_t payload;

static PLAIN void write_payload(void)
{
    payload = 1;
}

static PLAIN void read_payload(void)
{
    REQUIRE(payload == 1);
}

static PLAIN void reuse_payload(void)
{
    payload = 2;
}

// Mailbox ---------------------------------------------------------------------------------------------------------------

static fai_inbox inbox;
static fai_inbox_entry entry;

static void take_entry(void)
{
    while (fai_inbox_take_owner(&inbox) == NULL) sched_yield();
    read_payload();
}

static void push_entry(void)
{
    write_payload();
    (void)fai_inbox_push_any(&inbox, &entry, &entry, NULL);
}

// Index stack -----------------------------------------------------------------------------------------------------------

static fai_index_stack stack;
static FAI_ATOMIC(uint32_t) links[1];

static void pop_index(void)
{
    uint32_t retries = 0;
    while (fai_index_stack_pop_any(&stack, links, sizeof links[0], &retries) == FAI_INDEX_NONE) sched_yield();
    read_payload();
}

static void push_index(void)
{
    write_payload();
    (void)fai_index_stack_push_any(&stack, 0, &links[0]);
}

// Deque -----------------------------------------------------------------------------------------------------------------

enum { SLOTS = 8 };
static _Alignas(64) fai_job slots[2][SLOTS];
static fai_deque deque, thiefs;

static void nothing(fa_worker *w, void *arg)
{
    (void)w, (void)arg;
}

static void open_deques(void)
{
    fai_deque_init(&deque, slots[0], SLOTS);
    fai_deque_init(&thiefs, slots[1], SLOTS);
}

static void share_jobs(void)
{
    write_payload();
    for (int i = 0; i < 4; i++) {
        fai_job job = {.fn = nothing};
        fai_job_write(fai_deque_reserve_owner(&deque), &job);
        deque.head++;
    }
    fai_deque_publish_owner(&deque, 4);
}

static void steal_one(void)
{
    fai_job job;
    fai_want any = FAI_WANT_ANY;
    while (fai_deque_look_any(&deque) == 0) sched_yield();
    REQUIRE(fai_deque_steal_any(&deque, &any, &job) == FAI_STEAL_TAKEN);
    read_payload();
}

static void steal_many(void)
{
    fai_job job;
    while (fai_deque_look_any(&deque) == 0) sched_yield();
    REQUIRE(fai_deque_steal_many_any(&deque, &thiefs, 4, &job) == 2);
    read_payload();
}

// Parking ---------------------------------------------------------------------------------------------------------------

static fai_parker parker;

static void park(void)
{
    fai_park_owner(&parker);
    read_payload();
}

static void wake(void)
{
    write_payload();
    (void)fai_wake_any(&parker);
}

// Grace periods -----------------------------------------------------------------------------------------------------------

static fai_grace grace;

static FAI_ATOMIC(uint64_t *) published;

/// Waits for a grace period that begins after the second thread has read, and uses the memory again.
static void publish_and_wait(void)
{
    REQUIRE(fai_grace_open_owner(&grace));
    write_payload();
    fai_store_release(&published, &payload);
    wait_for(&used);
    fai_grace_start_owner(&grace);
    while (!fai_grace_is_done_any(&grace)) sched_yield();
    reuse_payload();
    raise_flag(&over);
    fai_grace_close_owner(&grace);
}

static PLAIN void read_published(void)
{
    const uint64_t *p;
    while ((p = fai_load_acquire(&published)) == NULL) sched_yield();
    REQUIRE(*p == 1);
}

static void pass_quiescent_states(void)
{
    while (!fai_load_relaxed(&over)) {
        fai_rcu_quiescent();
        sched_yield();
    }
}

static void read_until_quiescent(void)
{
    fai_rcu_register();
    fai_rcu_online();
    read_published();
    raise_flag(&used);
    pass_quiescent_states();
    fai_rcu_offline();
    fai_rcu_unregister();
}

/// Offline counts as quiescent.
static void read_until_offline(void)
{
    fai_rcu_register();
    fai_rcu_online();
    read_published();
    raise_flag(&used);
    fai_rcu_offline();
    wait_for(&over);
    fai_rcu_unregister();
}

const race races_of_structures[] = {
    {.name = "inbox", .first = take_entry, .second = push_entry},
    {.name = "index_stack", .first = pop_index, .second = push_index},
    {.name = "deque_steal", .begin = open_deques, .first = steal_one, .second = share_jobs},
    {.name = "deque_batch", .begin = open_deques, .first = steal_many, .second = share_jobs},
    {.name = "park", .first = park, .second = wake},
    {.name = "grace_quiescent", .first = publish_and_wait, .second = read_until_quiescent},
    {.name = "grace_offline", .first = publish_and_wait, .second = read_until_offline},
    {0},
};
