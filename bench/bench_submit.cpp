// SPDX-License-Identifier: MIT
//
// Rows J1 and J5: what it costs to hand out jobs and have them run, on two threads: the caller and one worker, for
// every contender.
//
// J1  10 000 empty jobs, submitted one by one and waited for. "many" hands them over in one call.
// J5  a frame of 64 small jobs: begin, submit one by one, wait, read the results. Three sizes of job: "tiny", where
//     handing out is all there is, "50ns" and "100ns", where both contenders have the same 3.2 and 6.4 µs of work to
//     spread and no contender can be faster than half of that. "serial" is a loop that calls the jobs.
#include "bench.hpp"
#include "crowd.hpp"

#ifdef FRAMEALLOC_BENCH_TBB
#include <tbb/global_control.h>
#include <tbb/task_arena.h>
#include <tbb/task_group.h>
#endif

namespace {

constexpr uint32_t empty_jobs = 10000;
constexpr uint32_t frame_jobs = 64;
constexpr uint32_t worker_threads = 1; // besides the caller

// ---- the contenders: run(count, job) hands out `count` jobs and returns when all have run -------------------------

void call_empty(fa_worker *, void *) { bench::tally()++; }
void call_small(fa_worker *, void *arg) { bench::run_small_job(*static_cast<bench::small_job *>(arg)); }

class frame_jobs_contender {
public:
    explicit frame_jobs_contender(benchmark::State &state)
        : library_(state, worker_threads, [](fa_config &config) { config.deque_capacity = 16384; })
    {
    }
    explicit operator bool() const { return static_cast<bool>(library_); }
    template <class Run> void enter(Run run) { run(); }

    bool run_empty(uint32_t count)
    {
        if (!begin()) return false;
        for (uint32_t i = 0; i < count; i++)
            if (FA_UNLIKELY(fa_submit(library_.main(), call_empty, nullptr) != FA_OK)) return false;
        return end();
    }

    bool run_small(bench::small_job *jobs, uint32_t count)
    {
        if (!begin()) return false;
        for (uint32_t i = 0; i < count; i++)
            if (FA_UNLIKELY(fa_submit(library_.main(), call_small, &jobs[i]) != FA_OK)) return false;
        return end();
    }

    /// Jobs that ran inside their submit were never handed out: the figure would be another one.
    bool finish(benchmark::State &state)
    {
        fa_stats stats = library_.stats();
        state.counters["jobs_inline"] = static_cast<double>(stats.jobs_inline);
        state.counters["steals"] = static_cast<double>(stats.steals);
        state.counters["parks"] = static_cast<double>(stats.parks);
        return stats.jobs_inline == 0;
    }

protected:
    bool begin() { return library_.check(fa_frame_begin(library_.system())); }
    bool end() { return library_.check(fa_frame_end(library_.system(), nullptr)); }
    bench::library library_;
};

class many_contender : public frame_jobs_contender {
public:
    using frame_jobs_contender::frame_jobs_contender;
    bool run_empty(uint32_t count)
    {
        if (!begin()) return false;
        if (!library_.check(fa_submit_many(library_.main(), nullptr, call_empty, nullptr, 0, count))) return false;
        return end();
    }
};

class serial_contender {
public:
    explicit serial_contender(benchmark::State &) {}
    explicit operator bool() const { return true; }
    template <class Run> void enter(Run run) { run(); }
    bool run_small(bench::small_job *jobs, uint32_t count)
    {
        for (uint32_t i = 0; i < count; i++) {
            bench::run_small_job(jobs[i]);
            bench::escape(&jobs[i]);
        }
        return true;
    }
    bool finish(benchmark::State &) { return true; }
};

#ifdef FRAMEALLOC_BENCH_TBB
class tbb_contender {
public:
    explicit tbb_contender(benchmark::State &) {}
    explicit operator bool() const { return true; }
    /// The whole run stays inside one arena: entering it is not part of the figure.
    template <class Run> void enter(Run run) { arena_.execute(run); }

    bool run_empty(uint32_t count)
    {
        tbb::task_group group;
        for (uint32_t i = 0; i < count; i++) group.run([] { bench::tally()++; });
        group.wait();
        return true;
    }

    bool run_small(bench::small_job *jobs, uint32_t count)
    {
        tbb::task_group group;
        for (uint32_t i = 0; i < count; i++) group.run([job = &jobs[i]] { bench::run_small_job(*job); });
        group.wait();
        return true;
    }
    bool finish(benchmark::State &) { return true; }

private:
    tbb::global_control threads_{tbb::global_control::max_allowed_parallelism, worker_threads + 1};
    tbb::task_arena arena_{worker_threads + 1};
};
#endif

// ---- the rows ----------------------------------------------------------------------------------------------------

template <class Contender> void run_empty_jobs(benchmark::State &state)
{
    Contender contender(state);
    if (!contender) return;
    contender.enter([&] {
        bool sound = true;
        for (int warm = 0; warm < 8; warm++) sound = sound && contender.run_empty(empty_jobs);
        uint64_t ran = bench::tally_sum();
        for (auto _ : state) {
            sound = sound && contender.run_empty(empty_jobs);
            ran += empty_jobs;
            if (FA_UNLIKELY(!sound || bench::tally_sum() != ran)) {
                state.SkipWithError("a job was refused, lost or run twice");
                sound = false;
                break;
            }
        }
        if (!contender.finish(state)) state.SkipWithError("jobs ran inside their submit");
    });
    state.SetItemsProcessed(state.iterations() * empty_jobs);
}

template <class Contender> void run_frame(benchmark::State &state, uint32_t steps)
{
    Contender contender(state);
    if (!contender) return;
    std::vector<bench::small_job> jobs(frame_jobs);
    std::vector<uint32_t> samples;
    samples.reserve(static_cast<size_t>(state.max_iterations));
    uint64_t expected = 0;
    for (uint32_t i = 0; i < frame_jobs; i++) {
        jobs[i] = {i, 0, steps};
        expected += bench::small_work(i, steps);
    }
    contender.enter([&] {
        bool sound = true;
        for (int warm = 0; warm < 64; warm++) sound = sound && contender.run_small(jobs.data(), frame_jobs);
        for (auto _ : state) {
            uint64_t begin = bench::now_ns();
            sound = sound && contender.run_small(jobs.data(), frame_jobs);
            uint64_t sum = 0;
            for (bench::small_job &job : jobs) {
                sum += job.result;
                job.result = 0;
            }
            samples.push_back(static_cast<uint32_t>(std::min<uint64_t>(bench::now_ns() - begin, UINT32_MAX)));
            if (FA_UNLIKELY(!sound || sum != expected)) {
                state.SkipWithError("wrong checksum: a job was refused or lost");
                sound = false;
                break;
            }
        }
        if (!contender.finish(state)) state.SkipWithError("jobs ran inside their submit");
    });
    bench::report_latency(state, samples);
    state.SetItemsProcessed(state.iterations() * frame_jobs);
}

template <class Contender> void add_frames(const std::string &name)
{
    struct size {
        const char *name;
        uint32_t steps;
    };
    for (size job : {size{"tiny", 2}, size{"50ns", 64}, size{"100ns", 128}})
        bench::add("J5/" + name + "/" + job.name,
                   [steps = job.steps](benchmark::State &state) { run_frame<Contender>(state, steps); });
}

} // namespace

int main(int argc, char **argv)
{
    bench::add("J1/framealloc", run_empty_jobs<frame_jobs_contender>);
    bench::add("J1/framealloc_many", run_empty_jobs<many_contender>);
    add_frames<frame_jobs_contender>("framealloc");
    add_frames<serial_contender>("serial");
#ifdef FRAMEALLOC_BENCH_TBB
    bench::add("J1/tbb", run_empty_jobs<tbb_contender>);
    add_frames<tbb_contender>("tbb");
#endif
    return bench::run(argc, argv);
}
