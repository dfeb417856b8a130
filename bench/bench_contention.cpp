// SPDX-License-Identifier: MIT
//
// What lanes cost each other: operations on shared cache lines per operation of the user, for 1 to 64 workers. Linked
// with a build of the library that counts them (FA_CONTENTION), so its times mean nothing; bench/run contention
// prints the table and says what grows.
//
//   J1  10 000 empty jobs a frame; an operation is a job
//   J5  64 jobs of 100 ns a frame; an operation is a job
//   A4  every lane allocates 256 objects a frame and frees what another lane allocated the frame before; an operation
//       is an object. Each frame has one job a lane, which waits (50 ms at most) until all have begun, so that each
//       runs on a lane of its own.
#include "bench.hpp"
#include "crowd.hpp"

#include <sched.h>

#include <atomic>

namespace {

/// Counts per operation, from the difference of two readings.
class traffic {
public:
    explicit traffic(bench::library &library) : library_(library) { read(before_); }

    void report(benchmark::State &state, uint64_t operations, uint64_t frames)
    {
        fa_contention now = {};
        read(now);
        fa_stats stats = library_.stats();
        auto per = [&](const char *name, uint64_t fa_contention::*field) {
            state.counters[name] = static_cast<double>(now.*field - before_.*field) / static_cast<double>(operations);
            return now.*field - before_.*field;
        };
        uint64_t posts = per("inbox_posts", &fa_contention::inbox_posts);
        uint64_t posted = per("inbox_posted", &fa_contention::inbox_posted);
        uint64_t drains = per("inbox_drains", &fa_contention::inbox_drains);
        uint64_t drained = per("inbox_drained", &fa_contention::inbox_drained);
        uint64_t writes = posts + drains;
        writes += per("inbox_retries", &fa_contention::inbox_retries);
        writes += per("block_takes", &fa_contention::block_takes);
        writes += per("block_gives", &fa_contention::block_gives);
        writes += per("block_retries", &fa_contention::block_retries);
        writes += per("packet_moves", &fa_contention::packet_moves);
        writes += per("packet_retries", &fa_contention::packet_retries);
        writes += per("steals", &fa_contention::steals);
        writes += per("steal_retries", &fa_contention::steal_retries);
        writes += per("own_races", &fa_contention::own_races);
        writes += per("publishes", &fa_contention::publishes);
        writes += per("counter_updates", &fa_contention::counter_updates);
        writes += per("lane_claims", &fa_contention::lane_claims);
        writes += per("parks", &fa_contention::parks);
        writes += per("wakes", &fa_contention::wakes);
        writes += per("idle_updates", &fa_contention::idle_updates);
        writes += per("chunk_claims", &fa_contention::chunk_claims);
        per("steal_tries", &fa_contention::steal_tries); // reads, until one succeeds
        state.counters["shared_writes"] = static_cast<double>(writes) / static_cast<double>(operations);
        state.counters["post_size"] = mean(posted, posts);
        state.counters["drain_size"] = mean(drained, drains);
        state.counters["drain_max"] = static_cast<double>(now.inbox_drain_max);
        state.counters["operations"] = static_cast<double>(operations);
        state.counters["frames"] = static_cast<double>(frames);
        state.counters["jobs_inline"] = static_cast<double>(stats.jobs_inline);
    }

private:
    static double mean(uint64_t sum, uint64_t count)
    {
        return count == 0 ? 0 : static_cast<double>(sum) / static_cast<double>(count);
    }
    void read(fa_contention &out) { library_.check(fa_contention_read(library_.system(), &out)); }

    bench::library &library_;
    fa_contention before_ = {};
};

void wide_deque(fa_config &config) { config.deque_capacity = 16384; }

/// Runs `frame` once to warm up and then for every iteration; `frame` submits and returns how many operations that
/// is.
template <class Frame> void run_frames(benchmark::State &state, bench::library &library, Frame frame)
{
    auto run_one = [&]() -> uint64_t {
        if (!library.check(fa_frame_begin(library.system()))) return 0;
        uint64_t operations = frame();
        if (!library.check(fa_frame_end(library.system(), nullptr))) return 0;
        if (operations == 0) library.check(FA_ERROR_STATE);
        return operations;
    };
    for (int warm = 0; warm < 4; warm++)
        if (run_one() == 0) return;
    traffic counts(library);
    uint64_t operations = 0;
    uint64_t frames = 0;
    for (auto _ : state) {
        uint64_t added = run_one();
        if (added == 0) break;
        operations += added;
        frames++;
    }
    if (operations != 0) counts.report(state, operations, frames);
}

// ---- J1 and J5 ---------------------------------------------------------------------------------------------------

void call_empty(fa_worker *, void *) { bench::tally()++; }
void call_small(fa_worker *, void *arg) { bench::run_small_job(*static_cast<bench::small_job *>(arg)); }

void run_empty_jobs(benchmark::State &state, uint32_t workers)
{
    constexpr uint32_t jobs = 10000;
    bench::library library(state, workers, wide_deque);
    if (!library) return;
    uint64_t ran = bench::tally_sum();
    uint64_t submitted = 0;
    run_frames(state, library, [&]() -> uint64_t {
        for (uint32_t i = 0; i < jobs; i++)
            if (fa_submit(library.main(), call_empty, nullptr) != FA_OK) return 0;
        submitted += jobs;
        return jobs;
    });
    if (bench::tally_sum() - ran != submitted) state.SkipWithError("a job was lost or run twice");
}

void run_small_jobs(benchmark::State &state, uint32_t workers)
{
    constexpr uint32_t count = 64;
    bench::library library(state, workers, wide_deque);
    if (!library) return;
    std::vector<bench::small_job> jobs(count);
    for (uint32_t i = 0; i < count; i++) jobs[i] = {i, 0, 128};
    run_frames(state, library, [&]() -> uint64_t {
        for (bench::small_job &job : jobs)
            if (fa_submit(library.main(), call_small, &job) != FA_OK) return 0;
        return count;
    });
    for (bench::small_job &job : jobs)
        if (job.result != bench::small_work(job.seed, job.steps)) state.SkipWithError("a job was lost");
}

// ---- A4 ----------------------------------------------------------------------------------------------------------

constexpr uint32_t objects_per_lane = 256;
constexpr uint64_t gather_ns_max = 50000000;

/// What the lanes hand on from frame to frame: the job of seat s frees what seat s + 1 allocated in the frame before.
struct exchange {
    explicit exchange(uint32_t seats) : seat_count(seats), objects{lists(seats), lists(seats)} {}
    static std::vector<std::vector<void *>> lists(uint32_t seats)
    {
        return std::vector<std::vector<void *>>(seats, std::vector<void *>(objects_per_lane, nullptr));
    }

    const uint32_t seat_count;
    std::vector<std::vector<void *>> objects[2]; // this frame's and the last one's
    uint32_t current = 0;
    std::atomic<uint32_t> begun{0};
    std::atomic<bool> gave_up{false}; // one job of this frame was late: the others need not wait
    std::atomic<uint64_t> late{0};    // frames whose jobs did not all begin in time
    std::atomic<uint64_t> failed{0};  // allocations
};

struct seat {
    exchange *shared;
    uint32_t index;
};

void gather(exchange &shared)
{
    shared.begun.fetch_add(1);
    uint64_t end = bench::now_ns() + gather_ns_max;
    while (shared.begun.load() < shared.seat_count && !shared.gave_up.load()) {
        if (bench::now_ns() > end) {
            shared.gave_up.store(true);
            shared.late.fetch_add(1);
        }
        sched_yield();
    }
}

void trade(fa_worker *w, void *arg)
{
    auto &self = *static_cast<seat *>(arg);
    exchange &shared = *self.shared;
    gather(shared);
    std::vector<void *> &mine = shared.objects[shared.current][self.index];
    std::vector<void *> &theirs = shared.objects[shared.current ^ 1u][(self.index + 1) % shared.seat_count];
    for (uint32_t i = 0; i < objects_per_lane; i++) {
        mine[i] = fa_pool_alloc(w, 64);
        if (mine[i])
            *static_cast<uint64_t *>(mine[i]) = i;
        else
            shared.failed.fetch_add(1);
        fa_pool_free(w, theirs[i]);
        theirs[i] = nullptr;
    }
}

void run_trade(benchmark::State &state, uint32_t workers)
{
    bench::library library(state, workers);
    if (!library) return;
    exchange shared(workers + 1);
    std::vector<seat> seats;
    for (uint32_t i = 0; i <= workers; i++) seats.push_back({&shared, i});
    run_frames(state, library, [&]() -> uint64_t {
        shared.current ^= 1u;
        shared.begun.store(0);
        shared.gave_up.store(false);
        for (seat &each : seats)
            if (fa_submit(library.main(), trade, &each) != FA_OK) return 0;
        return static_cast<uint64_t>(seats.size()) * objects_per_lane;
    });
    for (auto &frame : shared.objects)
        for (auto &list : frame)
            for (void *p : list) fa_pool_free(library.main(), p);
    if (shared.failed.load() != 0) state.SkipWithError("an allocation failed");
    state.counters["late"] = static_cast<double>(shared.late.load());
}

} // namespace

int main(int argc, char **argv)
{
    for (uint32_t workers : {1u, 2u, 4u, 8u, 16u, 32u, 64u}) {
        const std::string suffix = "/workers:" + std::to_string(workers);
        auto with = [workers](void (*body)(benchmark::State &, uint32_t)) {
            return [workers, body](benchmark::State &state) { body(state, workers); };
        };
        bench::add("contention/J1" + suffix, with(run_empty_jobs))->Iterations(200);
        bench::add("contention/J5" + suffix, with(run_small_jobs))->Iterations(2000);
        bench::add("contention/A4" + suffix, with(run_trade))->Iterations(200);
    }
    return bench::run(argc, argv);
}
