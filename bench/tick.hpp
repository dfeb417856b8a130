// SPDX-License-Identifier: MIT
//
// The synthetic tick of row M3, the same code for every contender: 130 jobs in 12 stages, a stage begins when the one
// before is done; and a long job in the background, which runs over many ticks.
//
// A job
//   reads     the frame memory of a job of the stage before, and two promoted objects,
//   takes     8 blocks that end with the job (scope), 3 that end with the tick (frame), 32 objects that live on,
//   frees     the 32 objects of the job 37 before it, of an earlier stage or of the tick before: often on another thread,
//   promotes  an object into a cell, one job in thirteen.
// It writes every cache line of what it takes. What the long job takes and frees is the same kind of thing.
//
// A contender lends its memory as a Lane: scope(size), frame(size), make(size), drop(pointer), read(cell), promote(cell).
//
// Checksums. Objects carry values that depend on the job and on the tick's number modulo 4, and every job adds what it reads to
// what it hands on, so that the sum of a tick is one of four that find_expected() finds out: memory that is reused too early, a job that is
// lost, or runs before its stage, changes it. Promoted objects carry a check of their own, since contenders may differ by a tick or
// more in which version is the current one. A null result is a fault.
#pragma once

#include "crowd.hpp"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>
#include <thread>

namespace bench {

constexpr std::array<uint32_t, 12> tick_stages = {1, 8, 16, 4, 24, 12, 1, 16, 32, 8, 6, 2}; // jobs
constexpr uint32_t tick_jobs = 130;
constexpr uint32_t tick_cells = 10;
constexpr uint32_t tick_period = 4;                  // ticks until values repeat
constexpr uint32_t tick_settled = 64;                // ticks before all is as it will stay
constexpr uint32_t tick_free_lag = 37;               // more than any stage has jobs
constexpr uint32_t tick_narrow = 6;                  // a stage with one job: what may run beside it goes out before
constexpr uint32_t job_objects = 32, job_scopes = 8; // a job's objects, and its blocks of scope memory

constexpr uint32_t long_slices = 64, long_ring = 64, slice_objects = 16, slice_steps = 8192;

/// The first job of each stage, and their number.
constexpr std::array<uint32_t, tick_stages.size() + 1> make_stage_first()
{
    std::array<uint32_t, tick_stages.size() + 1> first{};
    for (size_t i = 0; i < tick_stages.size(); i++) first[i + 1] = first[i] + tick_stages[i];
    return first;
}
constexpr auto stage_first = make_stage_first();
static_assert(stage_first.back() == tick_jobs, "130 jobs");
static_assert(tick_stages[tick_narrow] == 1, "a narrow stage");

/// Of each job the one of the stage before that it reads from; the first has none.
constexpr std::array<uint32_t, tick_jobs> make_job_before()
{
    std::array<uint32_t, tick_jobs> before{};
    for (size_t i = 1; i < tick_stages.size(); i++)
        for (uint32_t n = 0; n < tick_stages[i]; n++)
            before[stage_first[i] + n] = stage_first[i - 1] + n % tick_stages[i - 1];
    return before;
}
constexpr auto job_before = make_job_before();

/// An object of 48 to 384 bytes.
struct object {
    object *next;
    uint64_t value;
};

/// What is promoted.
struct version {
    uint64_t number, cell;
    uint64_t body[21];
    uint64_t check;
};
static_assert(sizeof(version) == 192, "three cache lines");

struct world {
    struct alignas(128) place {
        object *made = nullptr;     // by the job, until the one that frees them
        uint64_t *result = nullptr; // in frame memory
        uint64_t value = 0;
    };

    std::array<place, tick_jobs> places;
    uint64_t number = 0; // of the tick; written between ticks
    uint32_t steps = 0;  // of arithmetic in each job, beside the memory
    alignas(128) std::atomic<uint32_t> faults{0};

    void fault() { faults.fetch_add(1, std::memory_order_relaxed); }
};

inline uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 31) * 0x9e3779b97f4a7c15u;
    return x ^ x >> 29;
}

/// Writes every line of a block; returns what sum_block() does.
inline uint64_t fill_block(void *block, size_t size, uint64_t x)
{
    auto *words = static_cast<uint64_t *>(block);
    uint64_t sum = 0;
    for (size_t i = 0; i < size / 8; i += 4) sum += words[i] = x + i;
    return sum;
}

inline uint64_t sum_block(const void *block, size_t size)
{
    auto *words = static_cast<const uint64_t *>(block);
    uint64_t sum = 0;
    for (size_t i = 0; i < size / 8; i += 4) sum += words[i];
    return sum;
}

template <class Lane> object *make_object(Lane &lane, uint64_t value, object *next)
{
    size_t size = 48 + value % 8 * 48;
    void *memory = lane.make(size);
    if (!memory) return nullptr;
    fill_block(memory, size, value);
    return new (memory) object{next, value};
}

/// Frees a list; returns the sum of its values.
template <class Lane> uint64_t drop_objects(Lane &lane, object *first)
{
    uint64_t sum = 0;
    while (first) {
        object *next = first->next;
        sum += first->value;
        lane.drop(first);
        first = next;
    }
    return sum;
}

template <class Lane> uint64_t use_scope(Lane &lane, world &world, uint64_t x)
{
    void *blocks[job_scopes];
    for (uint32_t i = 0; i < job_scopes; i++) {
        blocks[i] = lane.scope((i + 1) * 128);
        if (!blocks[i]) {
            world.fault();
            return 0;
        }
        fill_block(blocks[i], (i + 1) * 128, x + i);
    }
    uint64_t sum = 0;
    for (uint32_t i = 0; i < job_scopes; i++) sum += sum_block(blocks[i], (i + 1) * 128);
    return sum;
}

constexpr size_t result_bytes = 128;

/// The job's blocks of the tick: a result, which a job of the next stage reads, and two more.
template <class Lane> uint64_t *use_frame(Lane &lane, world &world, uint64_t x)
{
    void *result = lane.frame(result_bytes);
    void *list = lane.frame(64 + x % 4 * 64);
    void *table = lane.frame(320);
    if (!result || !list || !table) {
        world.fault();
        return nullptr;
    }
    fill_block(list, 64 + x % 4 * 64, x);
    fill_block(table, 320, x);
    fill_block(result, result_bytes, x + sum_block(list, 64) + sum_block(table, 320));
    return static_cast<uint64_t *>(result);
}

inline void fill_version(version &made, uint64_t number, uint64_t cell)
{
    made.number = number;
    made.cell = cell;
    fill_block(made.body, sizeof made.body - 8, number + cell);
    made.check = mix(number * tick_cells + cell);
}

template <class Lane> void read_promoted(Lane &lane, world &world, uint64_t cell)
{
    const version *read = lane.read(static_cast<uint32_t>(cell));
    if (!read && world.number < tick_settled) return;
    if (!read || read->cell != cell || read->number >= world.number || read->body[0] != read->number + cell ||
        read->check != mix(read->number * tick_cells + cell))
        world.fault();
}

template <class Lane> void run_tick_job(Lane &lane, world &world, uint32_t job)
{
    world::place &place = world.places[job];
    const uint64_t seed = mix(job * tick_period + world.number % tick_period + 1);
    uint64_t x = seed;
    if (job > 0) {
        const uint64_t *before = world.places[job_before[job]].result;
        if (!before) return; // counted by whoever had no memory
        x += sum_block(before, result_bytes);
    }
    x += use_scope(lane, world, x);

    world::place &freed = world.places[(job + tick_jobs - tick_free_lag) % tick_jobs];
    x += drop_objects(lane, freed.made);
    freed.made = nullptr;
    object *made = nullptr;
    for (uint64_t i = 0; i < job_objects; i++) {
        object *next = make_object(lane, mix(seed + i), made);
        if (!next) return world.fault();
        made = next;
    }
    place.made = made;

    read_promoted(lane, world, job % tick_cells);
    read_promoted(lane, world, (job + 3) % tick_cells);
    x = small_work(x, world.steps);
    place.result = use_frame(lane, world, x);
    place.value = x;
    if (job % 13 != 0) return;
    version *kept = lane.promote(job / 13);
    if (!kept) return world.fault();
    fill_version(*kept, world.number, job / 13);
}

/// The sum of the tick that has just run.
inline uint64_t tick_sum(const world &world)
{
    uint64_t sum = 0;
    for (const world::place &place : world.places) sum += place.value;
    return sum;
}

/// The long job: what it is at between two slices.
struct long_job {
    uint64_t x = 0;
    uint32_t slice = 0;
    uint64_t finished = 0; // how often it was brought to its end
    uint64_t on_main = 0;  // of these, by the thread that runs the ticks
    uint64_t result = 0;   // of the last time
    std::thread::id main = std::this_thread::get_id();
    std::array<object *, long_ring> ring{};
};

template <class Lane> void run_slice(Lane &lane, world &world, long_job &job)
{
    for (uint32_t i = 0; i < slice_objects; i++) {
        object *&held = job.ring[(job.slice * slice_objects + i) % long_ring];
        job.x += drop_objects(lane, held);
        held = make_object(lane, mix(job.x + i), nullptr);
        if (!held) world.fault();
    }
    job.x += use_scope(lane, world, job.x);
    job.x = small_work(job.x, slice_steps);
    if (++job.slice < long_slices) return;
    for (object *&held : job.ring) {
        job.x += drop_objects(lane, held);
        held = nullptr;
    }
    job.result = job.x;
    job.x = job.slice = 0;
    job.finished++;
    if (job.main == std::this_thread::get_id()) job.on_main++;
}

/// What all contenders must come to.
struct expectation {
    std::array<uint64_t, tick_period> sums;
    uint64_t long_result;
};

} // namespace bench
