// SPDX-License-Identifier: MIT
//
// The work of the job rows, the same code for every contender: an empty job, which only counts that it ran, small jobs
// with a result of their own that is checked after the wait, and the items of loops.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstdlib>

namespace bench {

constexpr uint32_t tally_threads_max = 4096; // that ever ran a job in this process

struct alignas(128) tally_slot {
    uint64_t count = 0; // owner: one thread; read by others after they waited for its jobs
};

inline tally_slot tally_slots[tally_threads_max];
inline std::atomic<uint32_t> tally_used{0};

/// This thread's count of empty jobs.
inline uint64_t &tally()
{
    static thread_local uint64_t *mine = nullptr;
    if (__builtin_expect(!mine, 0)) {
        uint32_t slot = tally_used.fetch_add(1);
        if (slot >= tally_threads_max) std::abort();
        mine = &tally_slots[slot].count;
    }
    return *mine;
}

/// Empty jobs that ran, on all threads. Exact after a wait for them.
inline uint64_t tally_sum()
{
    uint64_t sum = 0;
    uint32_t used = tally_used.load();
    for (uint32_t i = 0; i < used; i++) sum += tally_slots[i].count;
    return sum;
}

/// A small job: a chain of dependent multiply-adds, four cycles a step.
struct alignas(128) small_job {
    uint64_t seed;
    uint64_t result;
    uint32_t steps;
};

inline uint64_t small_work(uint64_t x, uint32_t steps)
{
    for (uint32_t i = 0; i < steps; i++) x = x * 6364136223846793005u + 1442695040888963407u;
    return x;
}

inline void run_small_job(small_job &job) { job.result = small_work(job.seed, job.steps); }

/// The sum of what the items [first, last) come to, `steps_of(i)` steps each. An item waits for the one before it: what
/// it takes is latency, which neither vector instructions nor a formula for the sum nor the loop's place in memory change.
template <class Steps> uint64_t sum_of_items(uint64_t first, uint64_t last, Steps steps_of)
{
    uint64_t sum = 0;
    uint64_t result = 0;
    uint64_t nothing = 0;
    asm volatile("" : "+r"(nothing)); // the compiler must not know that it waits in vain
    for (uint64_t i = first; i < last; i++) {
        result = small_work(i + (result & nothing), steps_of(i));
        sum += result;
    }
    return sum;
}

} // namespace bench
