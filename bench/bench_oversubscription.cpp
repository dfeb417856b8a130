// SPDX-License-Identifier: MIT
//
// Row J10: what more workers than CPUs cost. One tick of small jobs, the same for every number of workers:
//
//     begin
//     64 jobs of 100 ns, submitted one by one and waited for
//     8 jobs that each submit 8 of 100 ns and wait for them
//     a parallel loop over 20 000 items of 1 ns
//     end
//
// x1, x4, x16   as many workers as this process may use CPUs, four and sixteen times as many
// one_cpu_N     the main thread and N workers, all on one CPU; with no worker everything runs on the main thread
// serial        the same work by plain calls on one thread
#include "bench.hpp"
#include "crowd.hpp"

#include <optional>

namespace {

constexpr uint32_t small_count = 64;
constexpr uint32_t parent_count = 8;
constexpr uint32_t child_count = 8;
constexpr uint32_t job_steps = 128; // 100 ns
constexpr uint64_t item_count = 20000;

// ---- the work of a tick -------------------------------------------------------------------------------------------

struct parent_job {
    bench::small_job children[child_count];
    fa_counter counter;
    bool refused;
};

class tick_work {
public:
    tick_work() : small_(small_count), parents_(parent_count)
    {
        uint64_t seed = 0;
        each([&](bench::small_job &job) {
            job = {seed, 0, job_steps};
            expected_ += bench::small_work(seed++, job_steps);
        });
        for (parent_job &parent : parents_) {
            parent.counter = FA_COUNTER_INIT;
            parent.refused = false;
        }
        items_expected_ = sum_of(0, item_count);
    }

    std::vector<bench::small_job> &small() { return small_; }
    std::vector<parent_job> &parents() { return parents_; }

    static void run_piece(uint64_t first, uint64_t last) { bench::tally() += sum_of(first, last); }
    uint64_t items_expected() const { return items_expected_; }

    /// Whether every job has run since the last call.
    bool collect()
    {
        uint64_t sum = 0;
        each([&](bench::small_job &job) {
            sum += job.result;
            job.result = 0;
        });
        bool refused = false;
        for (parent_job &parent : parents_) refused |= parent.refused;
        return sum == expected_ && !refused;
    }

private:
    [[gnu::noinline]] static uint64_t sum_of(uint64_t first, uint64_t last)
    {
        return bench::sum_of_items(first, last, [](uint64_t) { return 1u; });
    }

    template <class Visit> void each(Visit visit)
    {
        for (bench::small_job &job : small_) visit(job);
        for (parent_job &parent : parents_)
            for (bench::small_job &job : parent.children) visit(job);
    }

    std::vector<bench::small_job> small_;
    std::vector<parent_job> parents_;
    uint64_t expected_ = 0;
    uint64_t items_expected_ = 0;
};

// ---- the contenders -----------------------------------------------------------------------------------------------

void call_small(fa_worker *, void *arg) { bench::run_small_job(*static_cast<bench::small_job *>(arg)); }

void call_parent(fa_worker *w, void *arg)
{
    auto *self = static_cast<parent_job *>(arg);
    for (bench::small_job &child : self->children)
        if (fa_submit_counted(w, &self->counter, call_small, &child) != FA_OK) self->refused = true;
    if (fa_wait(w, &self->counter) != FA_OK) self->refused = true;
}

void call_piece(fa_worker *, uint64_t first, uint64_t last, void *) { tick_work::run_piece(first, last); }

class frame_contender {
public:
    frame_contender(benchmark::State &state, uint32_t workers) : library_(state, workers) {}
    explicit operator bool() const { return static_cast<bool>(library_); }

    bool run(tick_work &work)
    {
        if (!library_.check(fa_frame_begin(library_.system()))) return false;
        if (!run_jobs(work)) return false;
        if (!library_.check(fa_parallel_for(library_.main(), 0, item_count, 0, call_piece, nullptr))) return false;
        return library_.check(fa_frame_end(library_.system(), nullptr));
    }

    void finish(benchmark::State &state)
    {
        fa_stats stats = library_.stats();
        state.counters["jobs_inline"] = static_cast<double>(stats.jobs_inline);
        state.counters["steals"] = static_cast<double>(stats.steals);
        state.counters["parks"] = static_cast<double>(stats.parks);
        state.counters["wakes"] = static_cast<double>(stats.wakes);
    }

private:
    bool run_jobs(tick_work &work)
    {
        fa_counter counter = FA_COUNTER_INIT;
        for (bench::small_job &job : work.small())
            if (!library_.check(fa_submit_counted(library_.main(), &counter, call_small, &job))) return false;
        if (!library_.check(fa_wait(library_.main(), &counter))) return false;
        for (parent_job &job : work.parents())
            if (!library_.check(fa_submit_counted(library_.main(), &counter, call_parent, &job))) return false;
        return library_.check(fa_wait(library_.main(), &counter));
    }

    bench::library library_;
};

class serial_contender {
public:
    serial_contender(benchmark::State &, uint32_t) {}
    explicit operator bool() const { return true; }
    bool run(tick_work &work)
    {
        for (bench::small_job &job : work.small()) run_one(job);
        for (parent_job &parent : work.parents())
            for (bench::small_job &job : parent.children) run_one(job);
        tick_work::run_piece(0, item_count);
        return true;
    }
    void finish(benchmark::State &) {}

private:
    static void run_one(bench::small_job &job)
    {
        bench::run_small_job(job);
        bench::escape(&job);
    }
};

// ---- the row ------------------------------------------------------------------------------------------------------

int cpu_count()
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 0;
}

template <class Contender> void run_ticks(benchmark::State &state, uint32_t workers, bool one_cpu)
{
    std::optional<bench::pinned> pin;
    if (one_cpu) pin.emplace(0); // threads inherit it
    if (one_cpu && cpu_count() != 1) {
        state.SkipWithError("this thread cannot be kept on one CPU");
        return;
    }
    tick_work work;
    Contender contender(state, workers);
    if (!contender) return;
    bool sound = true;
    for (int warm = 0; warm < 32; warm++) sound = sound && contender.run(work) && work.collect();
    const uint64_t before = bench::tally_sum();
    std::vector<uint32_t> samples;
    samples.reserve(static_cast<size_t>(state.max_iterations));
    for (auto _ : state) {
        uint64_t begin = bench::now_ns();
        sound = sound && contender.run(work) && work.collect();
        samples.push_back(static_cast<uint32_t>(std::min<uint64_t>(bench::now_ns() - begin, UINT32_MAX)));
    }
    if (!sound || bench::tally_sum() - before != samples.size() * work.items_expected())
        state.SkipWithError("wrong checksum: a job or an item was refused, lost or run twice");
    contender.finish(state);
    bench::report_latency(state, samples);
    state.SetItemsProcessed(state.iterations());
}

template <class Contender> void add_ticks(const std::string &name, uint32_t workers, bool one_cpu)
{
    bench::add("J10/" + name, [=](benchmark::State &state) { run_ticks<Contender>(state, workers, one_cpu); });
}

} // namespace

int main(int argc, char **argv)
{
    for (uint32_t times : {1u, 4u, 16u}) {
        uint32_t workers = std::min(times * static_cast<uint32_t>(cpu_count()), FA_WORKERS_MAX);
        add_ticks<frame_contender>("x" + std::to_string(times), workers, false);
    }
    for (uint32_t workers : {0u, 1u, 4u})
        add_ticks<frame_contender>("one_cpu_" + std::to_string(workers), workers, true);
    add_ticks<serial_contender>("serial", 0, false);
    return bench::run(argc, argv);
}
