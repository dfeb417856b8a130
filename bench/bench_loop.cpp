// SPDX-License-Identifier: MIT
//
// Row J4: parallel loops on two threads, the caller and one worker, against the loop that one thread runs alone, against
// what two threads can do at best, and against TBB. Nobody is told a grain.
//
//   1ns    every item takes about 1 ns
//   100ns  every item takes about 100 ns
//   ramp   item i of n takes i / n × 200 ns: the pairs i < j, for instance
//   front  the first tenth of the items takes 910 ns each, the others 10 ns each: a list with what is awake first
//
// ideal    two plain threads that each run half of the work (of the steps, not of the items) at the same time: two CPUs
//          may be hardware threads of one core
// static   tbb::static_partitioner, which halves the loop at once: right for even items alone, so it is shown there
//
// Each piece adds what its items come to to a count of its thread's; all counts together are compared with a serial run's.
#include "bench.hpp"
#include "crowd.hpp"

#include <map>
#include <thread>
#include <utility>

#ifdef FRAMEALLOC_BENCH_TBB
#include <tbb/blocked_range.h>
#include <tbb/global_control.h>
#include <tbb/parallel_for.h>
#include <tbb/partitioner.h>
#include <tbb/task_arena.h>
#endif

namespace {

constexpr uint32_t worker_threads = 1; // besides the caller
constexpr uint32_t mean_steps = 100;   // of an item that takes 100 ns
constexpr uint32_t loops_per_frame = 64;
constexpr uint64_t warm_items = 1000;

// ---- the work -----------------------------------------------------------------------------------------------------

enum class kind { one, hundred, ramp, front };

struct items {
    kind what;
    uint64_t count;
};

/// Steps of item i.
template <kind What> uint32_t steps_of(uint64_t i, uint64_t count)
{
    if constexpr (What == kind::one) return 1;
    if constexpr (What == kind::hundred) return mean_steps;
    if constexpr (What == kind::ramp) return static_cast<uint32_t>(2 * mean_steps * i / count);
    return i < count / 10 ? 91 * mean_steps / 10 : mean_steps / 10;
}

template <kind What> [[gnu::noinline]] uint64_t sum_of(uint64_t first, uint64_t last, uint64_t count)
{
    return bench::sum_of_items(first, last, [count](uint64_t i) { return steps_of<What>(i, count); });
}

uint64_t sum_of(items all, uint64_t first, uint64_t last)
{
    switch (all.what) {
        case kind::one: return sum_of<kind::one>(first, last, all.count);
        case kind::hundred: return sum_of<kind::hundred>(first, last, all.count);
        case kind::ramp: return sum_of<kind::ramp>(first, last, all.count);
        case kind::front: return sum_of<kind::front>(first, last, all.count);
    }
    std::abort();
}

/// What every contender runs for a piece.
void run_piece(items all, uint64_t first, uint64_t last) { bench::tally() += sum_of(all, first, last); }

/// Where half of the steps are done.
uint64_t half_of(items all)
{
    auto count = static_cast<double>(all.count);
    switch (all.what) {
        case kind::ramp: return static_cast<uint64_t>(count * 0.70710678);
        case kind::front: return static_cast<uint64_t>(count * 0.5 / 9.1);
        default: return all.count / 2;
    }
}

/// The sum of a serial run, once for each loop.
uint64_t expected_sum(items all)
{
    static std::map<std::pair<kind, uint64_t>, uint64_t> known;
    auto [found, added] = known.try_emplace({all.what, all.count}, 0);
    if (added) found->second = sum_of(all, 0, all.count);
    return found->second;
}

// ---- the contenders: run(all) returns when all items are done -----------------------------------------------------

class serial_contender {
public:
    explicit serial_contender(benchmark::State &) {}
    explicit operator bool() const { return true; }
    template <class Run> void enter(Run run) { run(); }
    bool run(items all)
    {
        run_piece(all, 0, all.count);
        return true;
    }
    void finish(benchmark::State &) {}
};

/// The other half is done by a thread that watches for it, so that no wake-up is in the figure.
class ideal_contender {
public:
    explicit ideal_contender(benchmark::State &) : helper_([this] { help(); }) {}
    ~ideal_contender()
    {
        stop_.store(true);
        helper_.join();
    }
    ideal_contender(const ideal_contender &) = delete;
    ideal_contender &operator=(const ideal_contender &) = delete;
    explicit operator bool() const { return true; }
    template <class Run> void enter(Run run) { run(); }

    bool run(items all)
    {
        all_ = all;
        uint64_t turn = asked_.load() + 1;
        asked_.store(turn);
        run_piece(all, 0, half_of(all));
        for (uint32_t looks = 1; done_.load() != turn; looks++) pause(looks);
        return true;
    }
    void finish(benchmark::State &) {}

private:
    static void pause(uint32_t looks)
    {
        if (looks % 4096 == 0) sched_yield(); // both may be on one CPU
    }

    void help()
    {
        uint64_t turn = 0;
        for (uint32_t looks = 1; !stop_.load(); looks++) {
            if (asked_.load() == turn) {
                pause(looks);
                continue;
            }
            run_piece(all_, half_of(all_), all_.count);
            done_.store(++turn);
        }
    }

    items all_ = {};
    alignas(128) std::atomic<uint64_t> asked_{0};
    alignas(128) std::atomic<uint64_t> done_{0};
    std::atomic<bool> stop_{false};
    std::thread helper_;
};

void call_piece(fa_worker *, uint64_t first, uint64_t last, void *arg)
{
    run_piece(*static_cast<const items *>(arg), first, last);
}

/// Loops of a tick: a frame stays open for 64 of them.
class frame_contender {
public:
    explicit frame_contender(benchmark::State &state) : library_(state, worker_threads)
    {
        if (library_) library_.check(fa_frame_begin(library_.system()));
    }
    explicit operator bool() const { return static_cast<bool>(library_); }
    template <class Run> void enter(Run run) { run(); }

    bool run(items all)
    {
        if (++loops_ % loops_per_frame == 0) {
            if (!library_.check(fa_frame_end(library_.system(), nullptr))) return false;
            if (!library_.check(fa_frame_begin(library_.system()))) return false;
        }
        return library_.check(fa_parallel_for(library_.main(), 0, all.count, 0, call_piece, &all));
    }

    void finish(benchmark::State &state)
    {
        library_.check(fa_frame_end(library_.system(), nullptr));
        fa_stats stats = library_.stats();
        state.counters["steals"] = static_cast<double>(stats.steals);
        state.counters["parks"] = static_cast<double>(stats.parks);
    }

private:
    bench::library library_;
    uint32_t loops_ = 0;
};

#ifdef FRAMEALLOC_BENCH_TBB
template <class Partitioner> class tbb_contender {
public:
    explicit tbb_contender(benchmark::State &) {}
    explicit operator bool() const { return true; }
    /// The whole run stays inside one arena: entering it is not part of the figure.
    template <class Run> void enter(Run run) { arena_.execute(run); }

    bool run(items all)
    {
        using range = tbb::blocked_range<uint64_t>;
        tbb::parallel_for(
            range(0, all.count), [all](const range &piece) { run_piece(all, piece.begin(), piece.end()); },
            Partitioner{});
        return true;
    }
    void finish(benchmark::State &) {}

private:
    tbb::global_control threads_{tbb::global_control::max_allowed_parallelism, worker_threads + 1};
    tbb::task_arena arena_{worker_threads + 1};
};
#endif

// ---- the row ------------------------------------------------------------------------------------------------------

template <class Contender> void run_loops(benchmark::State &state, items all)
{
    const uint64_t expected = expected_sum(all);
    Contender contender(state);
    if (!contender) return;
    contender.enter([&] {
        bool sound = true;
        for (int warm = 0; warm < 8; warm++) sound = sound && contender.run({all.what, warm_items});
        const uint64_t before = bench::tally_sum();
        uint64_t loops = 0;
        for (auto _ : state) {
            sound = sound && contender.run(all);
            loops++;
        }
        if (!sound || bench::tally_sum() - before != loops * expected)
            state.SkipWithError("wrong checksum: an item was lost or run twice");
        contender.finish(state);
    });
    state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(all.count));
}

template <class Contender> void add_loops(const std::string &name)
{
    struct size {
        const char *name;
        kind what;
        uint64_t count_max;
    };
    // 10^7 items of 100 ns would be a second a loop.
    for (size each : {size{"1ns", kind::one, 10000000}, size{"100ns", kind::hundred, 1000000},
                      size{"ramp", kind::ramp, 1000000}, size{"front", kind::front, 1000000}})
        for (uint64_t count = 1000; count <= each.count_max; count *= 10) {
            items all = {each.what, bench::is_smoke() ? std::min<uint64_t>(count, 10000) : count};
            bench::add("J4/" + name + "/" + each.name + "/" + std::to_string(count),
                       [all](benchmark::State &state) { run_loops<Contender>(state, all); });
        }
}

} // namespace

int main(int argc, char **argv)
{
    add_loops<frame_contender>("framealloc");
    add_loops<serial_contender>("serial");
    add_loops<ideal_contender>("ideal");
#ifdef FRAMEALLOC_BENCH_TBB
    add_loops<tbb_contender<tbb::auto_partitioner>>("tbb");
    add_loops<tbb_contender<tbb::static_partitioner>>("static");
#endif
    return bench::run(argc, argv);
}
