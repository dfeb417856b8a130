// SPDX-License-Identifier: MIT
//
// jobs/deque.h: the owner pushes, publishes, pops and takes out while thieves steal one or many. Every job is run once, by a lane that sees
// what its submitter wrote. The rings are so small that slots are used again and again.
#include "tests/model/checker.h"

#include "jobs/deque.h"

enum { DEQUES = 3, SLOTS_MAX = 8, JOBS = 8 };

static struct {
    fai_deque deques[DEQUES];
    _Alignas(64) fai_job slots[DEQUES][SLOTS_MAX];
    uint64_t payload[JOBS]; // plain: the submitter's, then the runner's
    uint64_t ran[DEQUES];
    FAI_ATOMIC(uint32_t) over; // nothing will be pushed any more
} world;

static void nothing(fa_worker *w, void *arg)
{
    (void)w, (void)arg;
}

static void open_deques(uint32_t capacity)
{
    memset(&world, 0, sizeof world);
    for (int i = 0; i < DEQUES; i++) fai_deque_init(&world.deques[i], world.slots[i], capacity);
}

static bool push(unsigned self, uint64_t number, uint32_t flags)
{
    fai_deque *deque = &world.deques[self];
    fai_job *slot = fai_deque_reserve_owner(deque);
    if (slot == NULL) return false;
    MC_ASSERT(number < JOBS);
    world.payload[number] = 1;
    fai_job job = {.fn = nothing, .args = {number, (uintptr_t)slot}, .meta = fai_job_meta(0, 0, flags, 0, 0)};
    fai_job_write(slot, &job);
    deque->head++;
    return true;
}

static void publish(unsigned self)
{
    int64_t n = fai_deque_private_owner(&world.deques[self]);
    if (n > 0) fai_deque_publish_owner(&world.deques[self], n);
}

static void run(unsigned self, const fai_job *job)
{
    if (job->fn == NULL) return; // a hole
    MC_ASSERT(job->fn == nothing && job->args[0] < JOBS);
    MC_ASSERT(world.payload[job->args[0]] == 1);
    world.payload[job->args[0]] = 2;
    world.ran[self]++;
}

static bool pop(unsigned self)
{
    fai_job job;
    if (!fai_deque_pop_owner(&world.deques[self], &job)) return false;
    run(self, &job);
    return true;
}

/// The slot that a stolen job was read from may be written again only after that.
static void had_read(const fai_job *job)
{
    if (job->fn != NULL) mc_had_read((const void *)(uintptr_t)job->args[1], sizeof *job);
}

static void steal(unsigned self, unsigned victim)
{
    fai_job job;
    fai_want any = FAI_WANT_ANY;
    if (fai_deque_steal_any(&world.deques[victim], &any, &job) != FAI_STEAL_TAKEN) return;
    had_read(&job);
    run(self, &job);
}

/// Thieves that look once would mostly look too early; false: the owner is done.
static bool wait_for_jobs(unsigned victim)
{
    while (fai_deque_look_any(&world.deques[victim]) == 0) {
        if (fai_load_relaxed(&world.over)) return false;
        mc_pause();
    }
    return true;
}

static void all_ran(uint64_t pushed)
{
    uint64_t ran = 0;
    for (int i = 0; i < DEQUES; i++) {
        const fai_deque *deque = &world.deques[i];
        MC_ASSERT(deque->head == deque->base && fai_deque_look_any(deque) == 0);
        ran += world.ran[i];
    }
    MC_ASSERT(ran == pushed);
    for (uint64_t i = 0; i < pushed; i++) MC_ASSERT(world.payload[i] == 2);
}

// One at a time, on a ring of two ----------------------------------------------------------------------------------------

static void before_single(void)
{
    open_deques(2);
}

static void thread_single(void)
{
    unsigned self = mc_self();
    if (self != 0) {
        for (int i = 0; i < 3 && wait_for_jobs(0); i++) steal(self, 0);
        return;
    }
    for (uint64_t number = 0; number < 6; number++) {
        while (!push(0, number, 0)) MC_ASSERT(pop(0) || fai_deque_look_any(&world.deques[0]) == 0);
        if (number != 3) publish(0); // once there are private and public ones
        if (number == 1) (void)pop(0);
    }
    while (pop(0)) continue;
    fai_store_relaxed(&world.over, 1u);
}

static void after_single(void)
{
    all_ran(6);
}

const mc_model model_deque = {
    .name = "deque",
    .claim = "every job is run once and sees what its submitter wrote; slots are written again only when thieves have "
             "read them",
    .before = before_single,
    .threads = {thread_single, thread_single, thread_single},
    .after = after_single,
};

// Many at a time, out of the middle, and on from the thief's own deque ----------------------------------------------------------

static void before_many(void)
{
    open_deques(4);
}

static void take_out(unsigned self, int64_t below_head)
{
    fai_deque *deque = &world.deques[self];
    int64_t index = deque->head - below_head;
    if (index < fai_deque_top_owner(deque)) return; // a thief has it
    fai_job job;
    if (fai_deque_take_out_owner(deque, index, &job)) run(self, &job);
    publish(self);
}

static void thread_many(void)
{
    unsigned self = mc_self();
    if (self == 0) {
        for (uint64_t number = 0; number < 4; number++) (void)push(0, number, 0);
        publish(0);
        take_out(0, 2);
        (void)fai_deque_oldest_owner(&world.deques[0]);
        for (uint64_t number = 4; number < JOBS; number++) {
            mc_pause(); // thieves make room …
            while (!push(0, number, 0)) MC_ASSERT(pop(0) || fai_deque_look_any(&world.deques[0]) == 0);
            if (number % 2 == 1) publish(0);
        }
        while (pop(0)) continue;
        fai_store_relaxed(&world.over, 1u);
    } else if (self == 1) {
        for (int turn = 0; turn < 3 && wait_for_jobs(0); turn++) {
            fai_job job;
            uint32_t n = fai_deque_steal_many_any(&world.deques[0], &world.deques[1], 3, &job);
            if (n > 0) {
                had_read(&job);
                run(1, &job);
            }
            for (int64_t i = 1; i < n; i++) {
                fai_job *moved = fai_deque_at(&world.deques[1], world.deques[1].head - i);
                had_read(moved);
                fai_store_relaxed(&moved->args[1], (uintptr_t)moved); // where the next thief reads it
            }
            publish(1);
            while (pop(1)) continue;
        }
    } else {
        for (unsigned turn = 0; turn < 3 && wait_for_jobs(turn % 2); turn++) steal(2, turn % 2);
    }
}

static void after_many(void)
{
    all_ran(JOBS);
}

const mc_model model_deque_many = {
    .name = "deque_many",
    .claim = "the same when thieves take half, the owner takes out of the middle, and what was stolen is stolen again",
    .before = before_many,
    .threads = {thread_many, thread_many, thread_many},
    .after = after_many,
};

// Into slots that were just stolen from -------------------------------------------------------------------------------------

// Lane 2 steals all that lane 1 has, in slots 1 to 3 of four; then lane 1 takes half of deque 0, which nobody owns, into slots 0 and 1.
static void before_into(void)
{
    open_deques(4);
    fai_deque_init(&world.deques[0], world.slots[0], 8);
    for (uint64_t number = 0; number < 5; number++) (void)push(0, number, 0);
    publish(0);
    for (uint64_t number = 4; number < 8; number++) (void)push(1, number, 0);
    publish(1);
    world.payload[4] = 1; // again: the one pushed first on lane 1 is gone
    fai_store_relaxed(&world.deques[1].word, fai_deque_without_oldest(fai_load_relaxed(&world.deques[1].word), 1));
}

static void thread_into(void)
{
    if (mc_self() == 0) {
        while (fai_deque_look_any(&world.deques[1]) > 0) steal(2, 1);
        return;
    }
    while (fai_deque_look_any(&world.deques[1]) > 0) mc_pause();
    fai_job job;
    MC_ASSERT(fai_deque_steal_many_any(&world.deques[0], &world.deques[1], 3, &job) == 3);
    run(1, &job);
    while (pop(1)) continue;
}

static void after_into(void)
{
    MC_ASSERT(world.ran[2] == 3 && world.ran[1] == 3);
}

const mc_model model_deque_into = {
    .name = "deque_into",
    .claim = "what is stolen goes into slots of the own ring only when thieves have read these",
    .before = before_into,
    .threads = {thread_into, thread_into},
    .after = after_into,
};
