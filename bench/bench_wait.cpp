// SPDX-License-Identifier: MIT
//
// Row J9: the main thread waits for a job of 50 µs while there are jobs of 20 ms; one worker. A sample is how long the
// wait took, less the time in which the awaited job ran inside it: what a scheduler adds. Scenes, which differ in where
// that job is when the wait begins:
//
//     last    submitted by the main thread after four long ones
//     among   likewise, two long ones before it and two after it
//     busy    the worker runs a long job: nobody but the main thread can run the short one
//     taken   the worker runs it already; four long ones wait in the main thread's queue
//     deep    submitted by a long job on the worker, which goes on for its 20 ms, after four more long ones
//
// Long jobs that are still at it when the wait returned end early, so that a sample need not take 20 ms. Before a scene the
// main thread works for up to 100 µs: some find the worker asleep, others not.
//
// "tbb" is a task_group for the short job and one for the long ones, in one arena. "tbb_arenas" gives the long ones an
// arena of their own, of low priority: a waiting thread runs only what its own arena has.
#include "bench.hpp"

#ifdef FRAMEALLOC_BENCH_TBB
#include <tbb/global_control.h>
#include <tbb/task_arena.h>
#include <tbb/task_group.h>
#endif

namespace {

constexpr uint64_t short_ns = 50000;
constexpr uint64_t long_ns = 20000000;
constexpr uint64_t pause_ns_span = 100000;
constexpr uint32_t worker_threads = 1;
constexpr uint32_t tries_max =
    100; // until there is something to wait for, on a machine where the main thread is held up
constexpr uint32_t source_jobs = 4; // submitted by the long job of "deep"

/// What the jobs of a sample say, and what they are told. Atomic: written by one thread and looked at by another that does
/// not wait for the job.
struct alignas(128) scene {
    std::atomic<uint64_t> short_began{0}, short_ended{0}; // clock; 0: it has not
    std::atomic<uint32_t> short_ran{0}, long_began{0}, long_ran{0};
    std::atomic<bool> queued{false}; // "deep": all that the long job on the worker submits
    std::atomic<bool> refused{false};
    std::atomic<bool> over{false}; // the wait returned: long jobs may end
};

void work_short(scene &s)
{
    const uint64_t began = bench::now_ns();
    s.short_began.store(began);
    const uint64_t ended = bench::work_until(began + short_ns);
    s.short_ran.fetch_add(1);
    s.short_ended.store(ended);
}

void work_long(scene &s)
{
    const uint64_t end = bench::now_ns() + long_ns;
    s.long_began.fetch_add(1);
    while (bench::now_ns() < end && !s.over.load(std::memory_order_relaxed)) {
    }
    s.long_ran.fetch_add(1);
}

/// False: not within a second. TBB promises no worker for a task that nobody waits for, and one that misses it never comes.
template <class Flag> bool await(const std::atomic<Flag> &flag)
{
    const uint64_t limit = bench::now_ns() + 1000000000;
    while (!flag.load())
        if (bench::now_ns() > limit) return false;
    return true;
}

// ---- the contenders: `place` says who submits, the main thread or a job ---------------------------------------------

class frame_contender {
public:
    using place = fa_worker *;
    explicit frame_contender(benchmark::State &state) : library_(state, worker_threads) {}
    explicit operator bool() const { return static_cast<bool>(library_); }
    template <class Run> void enter(Run run) { run(); }
    place main() const { return library_.main(); }

    bool begin(scene &s)
    {
        scene_ = &s;
        return library_.check(fa_frame_begin(library_.system()));
    }
    bool submit_short(place w) { return fa_submit_counted(w, &counter_, call_short, scene_) == FA_OK; }
    bool submit_long(place w) { return fa_submit(w, call_long, scene_) == FA_OK; }
    /// A long job that submits others first.
    bool submit_source(place w) { return fa_submit(w, call_source, this) == FA_OK; }
    bool wait_short() { return fa_wait(library_.main(), &counter_) == FA_OK; }
    bool end() { return library_.check(fa_frame_end(library_.system(), nullptr)); }

private:
    static void call_short(fa_worker *, void *s) { work_short(*static_cast<scene *>(s)); }
    static void call_long(fa_worker *, void *s) { work_long(*static_cast<scene *>(s)); }
    static void call_source(fa_worker *w, void *self);

    bench::library library_;
    fa_counter counter_ = FA_COUNTER_INIT;
    scene *scene_ = nullptr;
};

/// The long job of "deep".
template <class Contender> void work_source(Contender &contender, typename Contender::place place, scene &s)
{
    bool sound = true;
    for (uint32_t i = 0; i < source_jobs; i++) sound = sound && contender.submit_long(place);
    s.refused.store(!sound || !contender.submit_short(place));
    s.queued.store(true);
    work_long(s);
}

void frame_contender::call_source(fa_worker *w, void *self)
{
    auto *contender = static_cast<frame_contender *>(self);
    work_source(*contender, w, *contender->scene_);
}

#ifdef FRAMEALLOC_BENCH_TBB
class tbb_contender {
public:
    enum class place { main, job };
    explicit tbb_contender(benchmark::State &) {}
    explicit operator bool() const { return true; }
    /// The whole run stays inside one arena: entering it is not part of the figure.
    template <class Run> void enter(Run run) { arena_.execute(run); }
    place main() const { return place::main; }

    bool begin(scene &s)
    {
        scene_ = &s;
        return true;
    }
    bool submit_short(place)
    {
        short_.run([s = scene_] { work_short(*s); });
        return true;
    }
    bool submit_long(place)
    {
        long_.run([s = scene_] { work_long(*s); });
        return true;
    }
    bool submit_source(place)
    {
        long_.run([this, s = scene_] { work_source(*this, place::job, *s); });
        return true;
    }
    bool wait_short()
    {
        short_.wait();
        return true;
    }
    bool end()
    {
        long_.wait();
        return true;
    }

private:
    tbb::global_control threads_{tbb::global_control::max_allowed_parallelism, worker_threads + 1};
    tbb::task_arena arena_{worker_threads + 1};
    tbb::task_group short_, long_;
    scene *scene_ = nullptr;
};

class tbb_arenas_contender {
public:
    enum class place { main, job };
    explicit tbb_arenas_contender(benchmark::State &) {}
    explicit operator bool() const { return true; }
    template <class Run> void enter(Run run) { arena_.execute(run); }
    place main() const { return place::main; }

    bool begin(scene &s)
    {
        scene_ = &s;
        return true;
    }
    /// Into the arena in which the main thread waits, whoever submits; for a job that is another one than its own.
    bool submit_short(place from)
    {
        auto job = [s = scene_] { work_short(*s); };
        if (from == place::main)
            short_.run(job);
        else
            arena_.enqueue(short_.defer(job));
        return true;
    }
    bool submit_long(place)
    {
        long_arena_.enqueue(long_.defer([s = scene_] { work_long(*s); }));
        return true;
    }
    bool submit_source(place)
    {
        long_arena_.enqueue(long_.defer([this, s = scene_] { work_source(*this, place::job, *s); }));
        return true;
    }
    bool wait_short()
    {
        short_.wait();
        return true;
    }
    bool end()
    {
        long_.wait();
        return true;
    }

private:
    tbb::global_control threads_{tbb::global_control::max_allowed_parallelism, worker_threads + 1};
    tbb::task_arena arena_{worker_threads + 1};
    tbb::task_arena long_arena_{worker_threads, 0, tbb::task_arena::priority::low};
    tbb::task_group short_, long_;
    scene *scene_ = nullptr;
};
#endif

// ---- the scenes: what happens before the wait; how many long jobs that makes ----------------------------------------

template <class Contender> bool submit_longs(Contender &c, uint32_t count)
{
    bool sound = true;
    for (uint32_t i = 0; i < count; i++) sound = sound && c.submit_long(c.main());
    return sound;
}

struct last {
    static constexpr const char *name = "last";
    static constexpr uint32_t longs = 4;
    template <class Contender> static bool set(Contender &c, scene &)
    {
        return submit_longs(c, longs) && c.submit_short(c.main());
    }
};

struct among {
    static constexpr const char *name = "among";
    static constexpr uint32_t longs = 4;
    template <class Contender> static bool set(Contender &c, scene &)
    {
        return submit_longs(c, longs / 2) && c.submit_short(c.main()) && submit_longs(c, longs / 2);
    }
};

struct busy {
    static constexpr const char *name = "busy";
    static constexpr uint32_t longs = worker_threads;
    template <class Contender> static bool set(Contender &c, scene &s)
    {
        return submit_longs(c, longs) && await(s.long_began) && c.submit_short(c.main());
    }
};

struct taken {
    static constexpr const char *name = "taken";
    static constexpr uint32_t longs = 4;
    template <class Contender> static bool set(Contender &c, scene &s)
    {
        return c.submit_short(c.main()) && await(s.short_began) && submit_longs(c, longs);
    }
};

struct deep {
    static constexpr const char *name = "deep";
    static constexpr uint32_t longs = source_jobs + 1;
    template <class Contender> static bool set(Contender &c, scene &s)
    {
        return c.submit_source(c.main()) && await(s.queued) && !s.refused.load();
    }
};

// ---- the row -----------------------------------------------------------------------------------------------------

/// One wait: what it took beyond the job, in nanoseconds.
constexpr uint64_t wait_unsound =
    UINT64_MAX; // a job was refused or not begun, not every job ran once, or the wait returned too early
constexpr uint64_t wait_missed = UINT64_MAX -
                                 1; // the job was done before the wait began: there was nothing to wait for
template <class Scene, class Contender> uint64_t time_wait(Contender &contender)
{
    scene s;
    if (!contender.begin(s)) return wait_unsound;
    if (!Scene::set(contender, s)) {
        s.over.store(true);
        (void)contender.wait_short();
        (void)contender.end();
        return wait_unsound;
    }
    const uint64_t began = bench::now_ns();
    const bool waited = contender.wait_short();
    const uint64_t ended = bench::now_ns();
    const uint64_t job_began = std::max(s.short_began.load(), began), job_ended = s.short_ended.load();
    s.over.store(true);
    if (!contender.end() || !waited || job_ended == 0) return wait_unsound;
    if (s.short_ran.load() != 1 || s.long_ran.load() != Scene::longs) return wait_unsound;
    return job_ended < job_began ? wait_missed : ended - began - (job_ended - job_began);
}

template <class Scene, class Contender> void run_scene(benchmark::State &state)
{
    Contender contender(state);
    if (!contender) return;
    std::vector<uint32_t> samples;
    samples.reserve(static_cast<size_t>(state.max_iterations));
    uint64_t missed = 0;
    contender.enter([&] {
        uint64_t random = 88172645463325252u;
        auto sample = [&] {
            uint64_t beyond = wait_missed;
            for (uint32_t tries = 0; tries < tries_max && beyond == wait_missed; tries++) {
                random = random * 6364136223846793005u + 1442695040888963407u;
                bench::work_until(bench::now_ns() + (random >> 33) % pause_ns_span);
                beyond = time_wait<Scene>(contender);
                missed += beyond == wait_missed;
            }
            return beyond;
        };
        bool sound = sample() != wait_unsound;
        for (auto _ : state) {
            const uint64_t beyond = sound ? sample() : wait_unsound;
            if (FA_UNLIKELY(beyond >= wait_missed)) {
                state.SkipWithError(beyond == wait_missed ? "the job was always done before the wait began"
                                                          : "a job was refused, not begun by the worker within a "
                                                            "second, lost or run twice, or the wait ended early");
                break;
            }
            samples.push_back(static_cast<uint32_t>(std::min<uint64_t>(beyond, UINT32_MAX)));
        }
    });
    bench::report_latency(state, samples);
    state.counters["worst_ns"] = bench::percentile(samples, 100);
    state.counters["missed"] = static_cast<double>(missed);
}

template <class Contender> void add_scenes(const std::string &name)
{
    auto add = [&](auto scene) {
        using set = decltype(scene);
        bench::add("J9/" + name + "/" + set::name, run_scene<set, Contender>);
    };
    add(last{});
    add(among{});
    add(busy{});
    add(taken{});
    add(deep{});
}

} // namespace

int main(int argc, char **argv)
{
    add_scenes<frame_contender>("framealloc");
#ifdef FRAMEALLOC_BENCH_TBB
    add_scenes<tbb_contender>("tbb");
    add_scenes<tbb_arenas_contender>("tbb_arenas");
#endif
    return bench::run(argc, argv);
}
