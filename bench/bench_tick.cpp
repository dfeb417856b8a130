// SPDX-License-Identifier: MIT
//
// Row M3: a synthetic tick (tick.hpp), back to back, on two threads: the caller and one worker, for every contender. What is compared is the p99
// of a tick's time: from the begin of its frame to the end, all 12 stages and what ends with the tick included.
//
// The long job runs in one of two ways. "slices": a slice a tick, handed out ahead of a stage of one job, with no stage
// waiting for it; it must be done when the tick ends. "whole": as one job, which takes some ten ticks and keeps one of the two threads for
// that long; one is begun every 64 ticks, and must be done 64 ticks later.
//
// The contenders
//   framealloc  a job each, handed out by stages; scope and frame memory; objects of the pool; retained allocations, promoted into cells.
//               Slices are jobs of the frame; a whole long job is one of its frame, too, with 16 frames in flight.
//   tbb         a task each in a task_group, or the iterations of a parallel_for ("tbb_for"); a linear allocator a thread for scratch
//               (linear.hpp); objects from mimalloc; a pointer a cell, swapped at the end of the tick, the version before freed two ticks later.
//               The long job runs in an arena of low priority, or ("_beside") in the ticks' own arena.
//   serial      the peers' memory, and a loop that calls the jobs.
#include "bench.hpp"
#include "linear.hpp"
#include "peers.hpp"
#include "tick.hpp"

#include <memory>

#if defined(FRAMEALLOC_BENCH_TBB) && defined(FRAMEALLOC_BENCH_MIMALLOC)
#define WITH_TBB
#include <tbb/blocked_range.h>
#include <tbb/global_control.h>
#include <tbb/parallel_for.h>
#include <tbb/task_arena.h>
#include <tbb/task_group.h>
#endif

namespace {

constexpr uint32_t worker_threads = 1; // besides the caller
constexpr uint32_t long_every = 64;    // ticks between two beginnings of the long job
static_assert(bench::long_slices == long_every, "a slice a tick");
constexpr uint32_t warm_ticks = 4 * long_every;

enum class background { slices, whole };

// ---- framealloc ----------------------------------------------------------------------------------------------------

struct lane_memory {
    fa_worker *w;
    fa_cell *cells;

    void *scope(size_t size) { return fa_scope_alloc(w, size); }
    void *frame(size_t size) { return fa_frame_alloc(w, size); }
    void *make(size_t size) { return fa_pool_alloc(w, size); }
    void drop(void *p) { fa_pool_free(w, p); }
    const bench::version *read(uint32_t cell)
    {
        return static_cast<const bench::version *>(fa_cell_read(w, &cells[cell]));
    }
    bench::version *promote(uint32_t cell)
    {
        fa_retain retain = fa_retain_for(FA_REUSABLE);
        retain.cell = &cells[cell];
        return static_cast<bench::version *>(
            fa_frame_retained(w, sizeof(bench::version), alignof(bench::version), &retain));
    }
};

class frame_contender {
public:
    frame_contender(benchmark::State &state, bench::world &world, bench::long_job &long_job, background how)
        : world_(world), long_job_(long_job), library_(state, worker_threads, [how](fa_config &config) {
              config.frames_in_flight = how == background::whole ? 16 : 1;
          })
    {
        for (uint32_t i = 0; i < bench::tick_jobs; i++) jobs_[i] = {this, i};
    }
    explicit operator bool() const { return static_cast<bool>(library_); }
    template <class Run> void enter(Run run) { run(); }

    bool begin() { return library_.check(fa_frame_begin(library_.system())); }
    bool run_stage(uint32_t first, uint32_t count)
    {
        return library_.check(fa_submit_many(library_.main(), &stage_, run_job, &jobs_[first], sizeof(job), count)) &&
               library_.check(fa_wait(library_.main(), &stage_));
    }
    bool end()
    {
        fa_frame_result result;
        if (!library_.check(fa_frame_end(library_.system(), &result))) return false;
        promoted_ += result.to_pool;
        return result.failed == 0;
    }

    bool begin_slice() { return library_.check(fa_submit(library_.main(), run_slice, this)); }
    bool end_slice() { return true; } // the frame has waited for it
    bool begin_long() { return library_.check(fa_submit_counted(library_.main(), &whole_, run_whole, this)); }
    bool end_long() { return library_.check(fa_wait(library_.main(), &whole_)); }

    /// Gives everything back. Every tick has promoted what it retained.
    bool finish(benchmark::State &state)
    {
        bool sound = begin() && end() && begin(); // the frames that a long job held up retire first
        lane_memory lane = memory(library_.main());
        for (auto &place : world_.places) bench::drop_objects(lane, place.made);
        for (bench::object *held : long_job_.ring) bench::drop_objects(lane, held);
        for (fa_cell &cell : cells_) sound = library_.check(fa_cell_drop(library_.main(), &cell)) && sound;
        sound = end() && begin() && end() && sound;
        fa_stats stats = library_.stats();
        state.counters["jobs_inline"] = static_cast<double>(stats.jobs_inline);
        state.counters["steals"] = static_cast<double>(stats.steals);
        state.counters["parks"] = static_cast<double>(stats.parks);
        return sound && stats.jobs_inline == 0 && promoted_ == world_.number * bench::tick_cells;
    }

private:
    struct job {
        frame_contender *self;
        uint64_t index;
    };

    lane_memory memory(fa_worker *w) { return {w, cells_}; }
    static void run_job(fa_worker *w, void *arg)
    {
        auto [self, index] = *static_cast<const job *>(arg);
        lane_memory lane = self->memory(w);
        bench::run_tick_job(lane, self->world_, static_cast<uint32_t>(index));
    }
    static void run_slice(fa_worker *w, void *arg)
    {
        auto *self = static_cast<frame_contender *>(arg);
        lane_memory lane = self->memory(w);
        bench::run_slice(lane, self->world_, self->long_job_);
    }
    static void run_whole(fa_worker *w, void *arg)
    {
        for (uint32_t i = 0; i < bench::long_slices; i++) {
            FA_SCOPE(w);
            run_slice(w, arg);
        }
    }

    bench::world &world_;
    bench::long_job &long_job_;
    bench::library library_;
    job jobs_[bench::tick_jobs];
    uint64_t promoted_ = 0;
    alignas(128) fa_cell cells_[bench::tick_cells] = {};
    alignas(128) fa_counter stage_ = FA_COUNTER_INIT;
    alignas(128) fa_counter whole_ = FA_COUNTER_INIT;
};

// ---- the peers' memory ---------------------------------------------------------------------------------------------

#ifdef FRAMEALLOC_BENCH_MIMALLOC
using objects = bench::peer_mimalloc;
#else
using objects = bench::peer_malloc;
#endif

/// Cells of versions. What is promoted during a tick becomes current at its end; the version before goes two ticks later, when no job can
/// read it any more.
class promotions {
public:
    const bench::version *read(uint32_t cell) const { return cells_[cell].load(std::memory_order_acquire); }
    bench::version *promote(uint32_t cell)
    {
        return pending_[cell] = static_cast<bench::version *>(objects::alloc(sizeof(bench::version)));
    }
    void publish(uint64_t tick)
    {
        auto &oldest = replaced_[tick % 2];
        for (uint32_t i = 0; i < bench::tick_cells; i++) {
            objects::free(oldest[i]);
            oldest[i] = cells_[i].exchange(pending_[i], std::memory_order_acq_rel);
            pending_[i] = nullptr;
        }
    }
    ~promotions()
    {
        for (uint64_t tick = 0; tick < 3; tick++) publish(tick);
    }

private:
    alignas(128) std::atomic<bench::version *> cells_[bench::tick_cells] = {};
    alignas(128) bench::version *pending_[bench::tick_cells] = {}; // each by the job that promotes into the cell
    bench::version *replaced_[2][bench::tick_cells] = {};
};

/// A job's view of its thread's memory; its scope ends with it.
class thread_memory {
public:
    explicit thread_memory(promotions &promotions)
        : scratch_(bench::thread_scratch::mine()), mark_(scratch_.scope.mark()), promotions_(promotions)
    {
    }
    ~thread_memory() { scratch_.scope.rewind(mark_); }
    thread_memory(const thread_memory &) = delete;
    thread_memory &operator=(const thread_memory &) = delete;

    void *scope(size_t size) { return scratch_.scope.alloc(size); }
    void *frame(size_t size) { return scratch_.frame.alloc(size); }
    void *make(size_t size) { return objects::alloc(size); }
    void drop(void *p) { objects::free(p); }
    const bench::version *read(uint32_t cell) { return promotions_.read(cell); }
    bench::version *promote(uint32_t cell) { return promotions_.promote(cell); }

private:
    bench::thread_scratch &scratch_;
    unsigned char *mark_;
    promotions &promotions_;
};

/// What all contenders with the peers' memory have in common.
class peer {
public:
    peer(bench::world &world, bench::long_job &long_job) : world_(world), long_job_(long_job) {}
    explicit operator bool() const { return true; }
    bool begin() { return true; }
    bool end()
    {
        promotions_.publish(world_.number);
        bench::thread_scratch::reset_frames();
        return true;
    }
    void give_back()
    {
        thread_memory lane(promotions_);
        for (auto &place : world_.places) bench::drop_objects(lane, place.made);
        for (bench::object *held : long_job_.ring) bench::drop_objects(lane, held);
    }
    bool finish(benchmark::State &)
    {
        give_back();
        return true;
    }

protected:
    void run_job(uint32_t index)
    {
        thread_memory lane(promotions_);
        bench::run_tick_job(lane, world_, index);
    }
    void run_slice()
    {
        thread_memory lane(promotions_);
        bench::run_slice(lane, world_, long_job_);
    }
    void run_whole()
    {
        for (uint32_t i = 0; i < bench::long_slices; i++) run_slice();
    }

private:
    bench::world &world_;
    bench::long_job &long_job_;
    promotions promotions_;
};

class serial_contender : public peer {
public:
    using peer::peer;
    serial_contender(benchmark::State &, bench::world &world, bench::long_job &long_job, background)
        : peer(world, long_job)
    {
    }
    template <class Run> void enter(Run run) { run(); }
    bool run_stage(uint32_t first, uint32_t count)
    {
        for (uint32_t i = first; i < first + count; i++) run_job(i);
        return true;
    }
    bool begin_slice()
    {
        run_slice();
        return true;
    }
    bool end_slice() { return true; }
    bool begin_long()
    {
        run_whole();
        return true;
    }
    bool end_long() { return true; }
};

#ifdef WITH_TBB
enum class spread { group, loop };
enum class where { low_priority, beside };

template <spread Spread, where Where> class tbb_contender : public peer {
public:
    tbb_contender(benchmark::State &, bench::world &world, bench::long_job &long_job, background)
        : peer(world, long_job)
    {
    }
    /// The whole run stays inside one arena: entering it is not part of the figure.
    template <class Run> void enter(Run run) { arena_.execute(run); }

    bool run_stage(uint32_t first, uint32_t count)
    {
        if constexpr (Spread == spread::loop) {
            tbb::parallel_for(tbb::blocked_range<uint32_t>(first, first + count, 1),
                              [this](const tbb::blocked_range<uint32_t> &range) {
                                  for (uint32_t i = range.begin(); i < range.end(); i++) run_job(i);
                              });
        } else {
            for (uint32_t i = first; i < first + count; i++) stage_.run([this, i] { run_job(i); });
            stage_.wait();
        }
        return true;
    }
    bool begin_slice()
    {
        hand_out([this] { run_slice(); });
        return true;
    }
    bool end_slice() { return await(); }
    bool begin_long()
    {
        hand_out([this] { run_whole(); });
        return true;
    }
    bool end_long() { return await(); }

private:
    template <class Run> void hand_out(Run run)
    {
        done_.store(false, std::memory_order_relaxed);
        auto body = [this, run] {
            run();
            done_.store(true, std::memory_order_release);
        };
        if constexpr (Where == where::beside)
            background_.run(body);
        else
            low_.enqueue(background_.defer(body));
    }
    bool await()
    {
        if constexpr (Where == where::beside)
            background_.wait();
        else if (!done_.load(std::memory_order_acquire))
            low_.execute([this] { background_.wait(); });
        return true;
    }

    tbb::global_control threads_{tbb::global_control::max_allowed_parallelism, worker_threads + 1};
    tbb::task_arena arena_{worker_threads + 1};
    tbb::task_arena low_{worker_threads + 1, 1, tbb::task_arena::priority::low};
    tbb::task_group stage_;
    tbb::task_group background_;
    alignas(128) std::atomic<bool> done_{true};
};
#endif

// ---- the row -------------------------------------------------------------------------------------------------------

/// A contender's ticks, and whether all that they came to was right.
template <class Contender> class run {
public:
    run(Contender &contender, bench::world &world, bench::long_job &long_job, background how,
        const bench::expectation &expected)
        : contender_(contender), world_(world), long_job_(long_job), how_(how), expected_(expected)
    {
    }

    bool tick()
    {
        world_.number++;
        if (!contender_.begin()) return false;
        if (how_ == background::whole && world_.number % long_every == 0 && !(end_long() && contender_.begin_long()))
            return false;
        for (uint32_t stage = 0; stage < bench::tick_stages.size(); stage++) {
            if (how_ == background::slices && stage == bench::tick_narrow && !contender_.begin_slice()) return false;
            if (!contender_.run_stage(bench::stage_first[stage], bench::tick_stages[stage])) return false;
        }
        if (how_ == background::slices && !contender_.end_slice()) return false;
        return contender_.end();
    }

    bool is_sound() const
    {
        return bench::tick_sum(world_) == expected_.sums[world_.number % bench::tick_period] &&
               world_.faults.load(std::memory_order_relaxed) == 0;
    }

    /// Ends the long job; all that were begun must have come to the same.
    bool finish()
    {
        if (how_ == background::whole && !end_long()) return false;
        return long_job_.finished == world_.number / long_every && (long_job_.finished == 0 || is_long_right());
    }

private:
    bool end_long() { return contender_.end_long() && (long_job_.finished == 0 || is_long_right()); }
    bool is_long_right() const { return long_job_.result == expected_.long_result; }

    Contender &contender_;
    bench::world &world_;
    bench::long_job &long_job_;
    background how_;
    const bench::expectation &expected_;
};

/// What ticks add up to, found out by a loop that calls the jobs.
bench::expectation find_expected(uint32_t steps)
{
    auto world = std::make_unique<bench::world>();
    bench::long_job long_job;
    bench::expectation found = {};
    world->steps = steps;
    serial_contender serial(*world, long_job);
    run<serial_contender> ticks(serial, *world, long_job, background::slices, found);
    for (uint32_t i = 0; i < long_every; i++) {
        ticks.tick();
        found.sums[world->number % bench::tick_period] = bench::tick_sum(*world);
    }
    found.long_result = long_job.result;
    serial.give_back();
    return found;
}

template <class Contender> void run_ticks(benchmark::State &state, background how, uint32_t steps)
{
    auto world = std::make_unique<bench::world>();
    bench::long_job long_job;
    world->steps = steps;
    const bench::expectation expected = find_expected(steps);
    Contender contender(state, *world, long_job, how);
    if (!contender) return;
    std::vector<uint32_t> samples;
    samples.reserve(static_cast<size_t>(state.max_iterations));
    contender.enter([&] {
        run<Contender> ticks(contender, *world, long_job, how, expected);
        bool sound = true;
        for (uint32_t i = 0; i < warm_ticks; i++) sound = sound && ticks.tick();
        sound = sound && ticks.is_sound();
        for (auto _ : state) {
            uint64_t begin = bench::now_ns();
            sound = sound && ticks.tick();
            samples.push_back(static_cast<uint32_t>(std::min<uint64_t>(bench::now_ns() - begin, UINT32_MAX)));
            if (FA_UNLIKELY(!sound || !ticks.is_sound())) {
                state.SkipWithError("a job was refused or lost, or memory was reused too early");
                sound = false;
                break;
            }
        }
        sound = sound && ticks.finish();
        if (!contender.finish(state) || !sound) state.SkipWithError("a long job, a promotion or memory went wrong");
    });
    bench::report_latency(state, samples);
    // Of the long jobs, or their last slices, those that held up the ticks' own thread.
    if (long_job.finished > 0)
        state.counters["long_on_main"] = static_cast<double>(long_job.on_main) / static_cast<double>(long_job.finished);
}

/// A tick of what the jobs do with memory, or with 2.5 µs of arithmetic more in each.
template <class Contender> void add_ticks(const std::string &name, const std::string &part, background how)
{
    const uint32_t steps = part == "2.5us" ? 2560 : 0;
    bench::add("M3/" + name + "/" + part, [=](benchmark::State &state) { run_ticks<Contender>(state, how, steps); });
}

template <class Contender> void add_all(const std::string &name)
{
    add_ticks<Contender>(name, "slices", background::slices);
    add_ticks<Contender>(name, "whole", background::whole);
    add_ticks<Contender>(name, "2.5us", background::slices);
}

} // namespace

int main(int argc, char **argv)
{
    add_all<frame_contender>("framealloc");
    add_all<serial_contender>("serial");
#ifdef WITH_TBB
    add_all<tbb_contender<spread::group, where::low_priority>>("tbb");
    add_all<tbb_contender<spread::loop, where::low_priority>>("tbb_for");
    // Not a whole long job: a wait for a stage might take it up, and then last as long.
    add_ticks<tbb_contender<spread::group, where::beside>>("tbb_beside", "slices", background::slices);
    add_ticks<tbb_contender<spread::loop, where::beside>>("tbb_for_beside", "slices", background::slices);
#endif
    return bench::run(argc, argv);
}
