// SPDX-License-Identifier: MIT
//
// Rows M1 and M2: the tick of examples/level_tick on its largest map, MAP12 of freedoom2.wad with 4096 agents, one worker beside the main thread.
// Built twice from the same objects: bench_level with the library, bench_level_peer with level_peer.cpp in its place (TBB and mimalloc).
//
// M1  ticks as fast as they go, 20 in an iteration, always the same 100: the world's checksum after them must be the same for both.
// M2  one tick in an iteration, 60 a second. `tail` is its p99.9 over its p50, `peak_mib` the most memory that the process had.
#include "bench.hpp"
#include "level_run.h"

#include <fstream>

namespace {

constexpr uint32_t warm_ticks = 20;
constexpr uint32_t group_ticks = 20, groups = 5;
constexpr uint32_t paced_hz = 60, paced_warm_ticks = 30;

/// A run, from loading the level until all is taken down. What goes wrong makes the benchmark an error.
class level {
public:
    level(benchmark::State &state, uint32_t ticks_max, uint32_t hz) : state_(state)
    {
        check(level_run_begin(ticks_max, hz));
    }
    ~level() { finish(); }
    level(const level &) = delete;
    level &operator=(const level &) = delete;

    bool run(uint32_t ticks) { return good_ && check(level_run_ticks(ticks)); }
    uint64_t finish()
    {
        if (!finished_) check(level_run_end(&checksum_));
        finished_ = true;
        return checksum_;
    }

private:
    bool check(const char *why)
    {
        if (!why) return true;
        if (good_) state_.SkipWithError(why);
        return good_ = false;
    }

    benchmark::State &state_;
    bool good_ = true, finished_ = false;
    uint64_t checksum_ = 0;
};

void run_fast(benchmark::State &state)
{
    level level(state, warm_ticks + group_ticks * groups, 0);
    level.run(warm_ticks);
    for (auto _ : state)
        if (!level.run(group_ticks)) break;
    state.counters["checksum"] = static_cast<double>(level.finish() &
                                                     0xffffffffffff); // as much of it as a double holds
}

double peak_mib()
{
    std::ifstream status("/proc/self/status");
    for (std::string word; status >> word;)
        if (word == "VmHWM:" && status >> word) return std::stod(word) / 1024;
    return 0;
}

void run_paced(benchmark::State &state)
{
    level level(state, paced_warm_ticks + static_cast<uint32_t>(state.max_iterations), paced_hz);
    level.run(paced_warm_ticks);
    for (auto _ : state)
        if (!level.run(1)) break;
    uint32_t count = 0;
    const uint64_t *ticks = level_run_samples(&count);
    std::vector<uint32_t> samples;
    for (uint32_t i = paced_warm_ticks; i < count; i++)
        samples.push_back(static_cast<uint32_t>(std::min<uint64_t>(ticks[i], UINT32_MAX)));
    if (samples.empty()) return;
    const double p50 = bench::percentile(samples, 50);
    state.counters["p50_ns"] = p50;
    state.counters["p99_ns"] = bench::percentile(samples, 99);
    state.counters["tail"] = bench::percentile(samples, 99.9) / p50;
    state.counters["peak_mib"] = peak_mib();
}

} // namespace

int main(int argc, char **argv)
{
    bench::add("M1/" LEVEL_CONTENDER, run_fast)->Iterations(groups);
    bench::add("M2/" LEVEL_CONTENDER, run_paced);
    return bench::run(argc, argv);
}
