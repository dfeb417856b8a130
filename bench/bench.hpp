// SPDX-License-Identifier: MIT
//
// What every benchmark program shares: registration under a row's id, clocks, a system with its errors turned into
// failed benchmarks, the check of an allocator's memory, and the sample statistics of latency rows.
//
// Rules that this file enforces
//   A benchmark whose system reports any diagnostic, or whose memory or checksum is wrong, is an error, not a figure.
//   The name of the running benchmark is always on record (FRAMEALLOC_BENCH_PROGRESS), so that bench/run can name the
//   one that hung.
#pragma once

#include <framealloc/framealloc.h>

#include <benchmark/benchmark.h>

#include <dlfcn.h>
#include <fcntl.h>
#include <sched.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <string>
#include <vector>

namespace bench {

/// The compiler must assume that the memory at p is read and everything reachable changed: a written byte stays
/// written, an allocator's cursor stays in memory.
inline void escape(void *p) { asm volatile("" : : "r"(p) : "memory"); }

inline uint64_t clock_ns(clockid_t clock)
{
    timespec t;
    clock_gettime(clock, &t);
    return static_cast<uint64_t>(t.tv_sec) * 1000000000u + static_cast<uint64_t>(t.tv_nsec);
}

inline uint64_t now_ns() { return clock_ns(CLOCK_MONOTONIC); }
inline uint64_t thread_cpu_ns() { return clock_ns(CLOCK_THREAD_CPUTIME_ID); }
inline uint64_t process_cpu_ns() { return clock_ns(CLOCK_PROCESS_CPUTIME_ID); }

/// What a thread does that has work of its own until `end_ns`; returns the time.
inline uint64_t work_until(uint64_t end_ns)
{
    uint64_t now;
    while ((now = now_ns()) < end_ns) {
    }
    return now;
}

/// Keeps the calling thread on the n-th of the CPUs that it may use, if there are that many, until the end of the
/// scope.
class pinned {
public:
    explicit pinned(int n)
    {
        if (sched_getaffinity(0, sizeof before_, &before_) != 0) return;
        for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
            if (!CPU_ISSET(cpu, &before_) || n-- > 0) continue;
            cpu_set_t one;
            CPU_ZERO(&one);
            CPU_SET(cpu, &one);
            moved_ = sched_setaffinity(0, sizeof one, &one) == 0;
            return;
        }
    }
    ~pinned()
    {
        if (moved_) sched_setaffinity(0, sizeof before_, &before_);
    }
    pinned(const pinned &) = delete;
    pinned &operator=(const pinned &) = delete;

private:
    cpu_set_t before_;
    bool moved_ = false;
};

/// One cycle through all of 0 … count-1 in random order (Sattolo 1986).
inline std::vector<uint64_t> random_cycle(uint64_t count)
{
    std::vector<uint64_t> order(count);
    std::iota(order.begin(), order.end(), uint64_t{0});
    uint64_t random = 88172645463325252u;
    for (uint64_t i = count - 1; i > 0; i--) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        std::swap(order[i], order[random % i]);
    }
    return order;
}

/// Puts `name` on record as the benchmark that runs now: one fixed-size record at the start of the file.
inline void record_progress(const std::string &name)
{
    static const int file = [] {
        const char *path = std::getenv("FRAMEALLOC_BENCH_PROGRESS");
        return path ? open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644) : -1;
    }();
    if (file < 0) return;
    char record[128] = {0};
    std::snprintf(record, sizeof record, "%s\n", name.c_str());
    if (pwrite(file, record, sizeof record, 0) < 0) std::perror("FRAMEALLOC_BENCH_PROGRESS");
}

/// Whether bench/run only wants to see that everything runs: work that takes long by its size may be smaller then.
inline bool is_smoke() { return std::getenv("FRAMEALLOC_BENCH_SMOKE") != nullptr; }

/// Registers `body(state)`, whose time is what it reports itself by SetIterationTime().
template <class Body> benchmark::internal::Benchmark *add_timed(const std::string &name, Body body)
{
    auto *added = benchmark::RegisterBenchmark(name.c_str(), [name, body](benchmark::State &state) {
        record_progress(name);
        body(state);
    });
    return added->MeasureProcessCPUTime()->UseManualTime();
}

/// Registers `body(state)`. Wall time decides; the CPU seconds of the whole process stand beside it.
template <class Body> benchmark::internal::Benchmark *add(const std::string &name, Body body)
{
    auto *added = benchmark::RegisterBenchmark(name.c_str(), [name, body](benchmark::State &state) {
        record_progress(name);
        body(state);
    });
    return added->MeasureProcessCPUTime()->UseRealTime();
}

/// A system, created and destroyed outside the timed region; the calling thread is its main lane. Anything that it
/// reports makes the benchmark that it serves an error.
class library {
public:
    template <class Tune> library(benchmark::State &state, uint32_t workers, Tune tune) : state_(&state)
    {
        fa_config config = fa_config_default();
        config.worker_count = workers;
        config.report = &library::note;
        config.report_context = this;
        tune(config);
        check(fa_create(&config, &system_));
        if (system_) main_ = fa_self(system_);
    }
    library(benchmark::State &state, uint32_t workers) : library(state, workers, [](fa_config &) {}) {}
    library(const library &) = delete;
    library &operator=(const library &) = delete;

    ~library()
    {
        if (system_) check(fa_destroy(system_));
        if (reports_.load() != 0) fail(first_report_);
    }

    /// For a system that outlives a benchmark: whom it serves from now on, nullptr for nobody.
    void serve(benchmark::State *state) { state_ = state; }

    explicit operator bool() const { return main_ != nullptr; }
    fa_system *system() const { return system_; }
    fa_worker *main() const { return main_; }

    /// True if `status` is FA_OK; otherwise the benchmark fails with its text.
    bool check(fa_status status)
    {
        if (FA_LIKELY(status == FA_OK)) return true;
        fail(fa_status_text(status));
        return false;
    }

    fa_stats stats()
    {
        fa_stats stats = {};
        check(fa_stats_read(system_, &stats));
        return stats;
    }

private:
    void fail(const char *why)
    {
        if (!state_) {
            std::fprintf(stderr, "%s\n", why);
            std::exit(1);
        }
        if (!state_->error_occurred()) state_->SkipWithError(why);
    }

    static void note(const fa_diagnostic *diagnostic, void *context)
    {
        auto *self = static_cast<library *>(context);
        if (self->reports_.fetch_add(1) == 0)
            std::snprintf(self->first_report_, sizeof self->first_report_, "%s: %s", diagnostic->code,
                          diagnostic->message);
    }

    benchmark::State *state_;
    fa_system *system_ = nullptr;
    fa_worker *main_ = nullptr;
    std::atomic<uint32_t> reports_{0};
    char first_report_[256] = {0}; // written once, by the first report
};

/// Allocates `count` objects of `size` bytes, fills each with its own pattern, then looks whether all patterns are
/// intact. False: a null result or overlapping memory. `keep` receives the pointers.
template <class Alloc> bool memory_is_sound(size_t count, size_t size, Alloc alloc, std::vector<void *> &keep)
{
    keep.clear();
    for (size_t i = 0; i < count; i++) {
        void *p = alloc(size);
        if (!p) return false;
        std::memset(p, static_cast<int>(i * 37 + 11), size);
        keep.push_back(p);
    }
    std::vector<unsigned char> expected(size);
    for (size_t i = 0; i < count; i++) {
        std::memset(expected.data(), static_cast<int>(i * 37 + 11), size);
        if (std::memcmp(expected.data(), keep[i], size) != 0) return false;
    }
    return true;
}

/// Nearest-rank percentile, 0 < p <= 100; sorts the samples.
inline double percentile(std::vector<uint32_t> &samples, double p)
{
    if (samples.empty()) return 0;
    std::sort(samples.begin(), samples.end());
    auto rank = static_cast<size_t>(p / 100.0 * static_cast<double>(samples.size()) + 0.999999);
    return samples[std::min(std::max<size_t>(rank, 1), samples.size()) - 1];
}

/// Mean of the faster half: finer than a clock that ticks every 10 ns, and undisturbed while less than half of the samples are disturbed. Sorts
/// the samples.
inline double faster_mean(std::vector<uint32_t> &samples)
{
    const size_t count = samples.size() / 2;
    if (count == 0) return 0;
    std::sort(samples.begin(), samples.end());
    return std::accumulate(samples.begin(), samples.begin() + static_cast<std::ptrdiff_t>(count), 0.0) /
           static_cast<double>(count);
}

/// Adds the counters p50_ns, fast_ns (the mean of the faster half) and p99_ns.
inline void report_latency(benchmark::State &state, std::vector<uint32_t> &samples)
{
    state.counters["p50_ns"] = percentile(samples, 50);
    state.counters["fast_ns"] = faster_mean(samples);
    state.counters["p99_ns"] = percentile(samples, 99);
}

/// The file that malloc comes from in this process: tells whether a preloaded allocator is really there.
inline std::string malloc_origin()
{
    Dl_info info;
    void *symbol = dlsym(RTLD_DEFAULT, "malloc");
    return symbol && dladdr(symbol, &info) && info.dli_fname ? info.dli_fname : "unknown";
}

/// main() of every program, once its benchmarks are registered.
inline int run(int argc, char **argv)
{
    benchmark::AddCustomContext("malloc", malloc_origin());
    benchmark::AddCustomContext("framealloc_checked", fa_config_default().checked ? "true" : "false");
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
    return 0;
}

/// A phase and a tag with budgets that are never reached, around the work of a frame. Rows A12 time both.
class labels {
public:
    bool begin(fa_system *system, fa_worker *main)
    {
        fa_tag tag;
        if (fa_tag_find(system, "bench::tagged", &tag) != FA_OK) return false;
        if (fa_budget_set(system, tag, uint64_t{1} << 40, uint64_t{1} << 41) != FA_OK) return false;
        main_ = main;
        scope_ = fa_tag_begin_at(main, tag);
        return fa_phase_begin(main, "work") == FA_OK;
    }

    bool end()
    {
        bool ended = fa_phase_end(main_) == FA_OK;
        fa_tag_end(&scope_);
        return ended;
    }

private:
    fa_worker *main_ = nullptr;
    fa_tag_scope scope_ = {};
};

} // namespace bench
