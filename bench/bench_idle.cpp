// SPDX-License-Identifier: MIT
//
// Row J8: what a program pays that has little to do, in CPU seconds of the whole process per second. A loop of 60 ticks a
// second: 0, 10 or 100 jobs of 100 ns, waited for, their results read; then the main thread sleeps until the next tick is
// due. As many threads work as there are CPUs, the main thread among them: what all contenders do by default. Their threads
// exist and have worked before the figure is taken. "none" is the loop without jobs and without any scheduler.
#include "bench.hpp"
#include "crowd.hpp"
#include "pacer.hpp"

#ifdef FRAMEALLOC_BENCH_TBB
#include <tbb/task_group.h>
#endif

namespace {

constexpr uint32_t jobs_max = 100;
constexpr uint32_t job_steps = 128; // 100 ns

// ---- the contenders: run(count, jobs) is the work of a tick; rest(pace) the time to the next ------------------------

class none_contender {
public:
    explicit none_contender(benchmark::State &) {}
    explicit operator bool() const { return true; }
    bool run(bench::small_job *jobs, uint32_t count)
    {
        for (uint32_t i = 0; i < count; i++) bench::run_small_job(jobs[i]); // the warm-up; a figure has count = 0
        return true;
    }
    bool rest(bench::pacer &pace)
    {
        pace.await();
        return true;
    }
    void finish(benchmark::State &) {}
};

void call_small(fa_worker *, void *arg) { bench::run_small_job(*static_cast<bench::small_job *>(arg)); }

class frame_contender {
public:
    explicit frame_contender(benchmark::State &state) : library_(state, FA_WORKERS_AUTO) {}
    explicit operator bool() const { return static_cast<bool>(library_); }
    bool run(bench::small_job *jobs, uint32_t count)
    {
        if (!library_.check(fa_frame_begin(library_.system()))) return false;
        for (uint32_t i = 0; i < count; i++)
            if (!library_.check(fa_submit(library_.main(), call_small, &jobs[i]))) return false;
        return library_.check(fa_frame_end(library_.system(), nullptr));
    }
    bool rest(bench::pacer &pace)
    {
        if (!library_.check(fa_idle_begin(library_.main()))) return false;
        pace.await();
        return library_.check(fa_idle_end(library_.main()));
    }
    void finish(benchmark::State &state)
    {
        fa_stats stats = library_.stats();
        state.counters["workers"] = fa_worker_count(library_.system());
        state.counters["parks"] = static_cast<double>(stats.parks);
        state.counters["wakes"] = static_cast<double>(stats.wakes);
    }

private:
    bench::library library_;
};

#ifdef FRAMEALLOC_BENCH_TBB
class tbb_contender {
public:
    explicit tbb_contender(benchmark::State &) {}
    explicit operator bool() const { return true; }
    bool run(bench::small_job *jobs, uint32_t count)
    {
        tbb::task_group group;
        for (uint32_t i = 0; i < count; i++) group.run([job = &jobs[i]] { bench::run_small_job(*job); });
        group.wait();
        return true;
    }
    bool rest(bench::pacer &pace)
    {
        pace.await();
        return true;
    }
    void finish(benchmark::State &) {}
};
#endif

// ---- the row -----------------------------------------------------------------------------------------------------

class crowd {
public:
    crowd() : jobs_(jobs_max)
    {
        for (uint32_t i = 0; i < jobs_max; i++) jobs_[i] = {i, 0, job_steps};
    }
    bench::small_job *jobs() { return jobs_.data(); }

    /// Whether the first `count` jobs ran; forgets that they did.
    bool is_done(uint32_t count)
    {
        bool sound = true;
        for (uint32_t i = 0; i < count; i++) {
            sound = sound && jobs_[i].result == expected_[i];
            jobs_[i].result = 0;
        }
        return sound;
    }

private:
    static std::vector<uint64_t> results()
    {
        std::vector<uint64_t> all;
        for (uint32_t i = 0; i < jobs_max; i++) all.push_back(bench::small_work(i, job_steps));
        return all;
    }
    std::vector<bench::small_job> jobs_;
    const std::vector<uint64_t> expected_ = results();
};

template <class Contender> void run_ticks(benchmark::State &state, uint32_t count)
{
    Contender contender(state);
    if (!contender) return;
    crowd all;
    bench::pacer pace;
    auto tick = [&](uint32_t jobs) {
        return contender.run(all.jobs(), jobs) && all.is_done(jobs) && contender.rest(pace);
    };
    bool sound = tick(jobs_max) && tick(jobs_max);
    const uint64_t began = bench::now_ns(), cpu_began = bench::process_cpu_ns(), late = pace.late();
    for (auto _ : state) {
        sound = sound && tick(count);
        if (FA_LIKELY(sound)) continue;
        state.SkipWithError("a job was refused or lost");
        break;
    }
    const uint64_t cpu = bench::process_cpu_ns() - cpu_began, wall = bench::now_ns() - began;
    state.counters["cpu_percent"] = 100.0 * static_cast<double>(cpu) / static_cast<double>(wall);
    state.counters["late"] = static_cast<double>(pace.late() - late);
    contender.finish(state);
}

template <class Contender> void add_ticks(const std::string &name, std::initializer_list<uint32_t> counts)
{
    for (uint32_t count : counts)
        bench::add("J8/" + name + "/" + std::to_string(count),
                   [count](benchmark::State &state) { run_ticks<Contender>(state, count); });
}

} // namespace

int main(int argc, char **argv)
{
    add_ticks<none_contender>("none", {0});
    add_ticks<frame_contender>("framealloc", {0, 10, 100});
#ifdef FRAMEALLOC_BENCH_TBB
    add_ticks<tbb_contender>("tbb", {0, 10, 100});
#endif
    return bench::run(argc, argv);
}
