// SPDX-License-Identifier: MIT
//
// Fork and join as contenders: who runs a recursion that was written once. Each is a pair
//
//   a lane        what the recursion passes on, by value:
//                   both(left, right)        calls left(lane) and right(lane), maybe at the same time
//                   each<Max>(tasks, count)  calls tasks[i](lane) for all i < count <= Max, likewise
//                 Both return when everything that they called has returned. What is called gets the lane it runs on.
//   a contender   owns the threads, outside the timed region: run(work) calls work(lane)
//
// All have two threads: the caller and one worker.
#pragma once

#include "bench.hpp"

#ifdef FRAMEALLOC_BENCH_TBB
#include <tbb/global_control.h>
#include <tbb/parallel_for.h>
#include <tbb/parallel_invoke.h>
#include <tbb/task_arena.h>
#include <tbb/task_group.h>
#endif

namespace bench {

constexpr uint32_t fork_workers = 1; // besides the caller

// ---- nobody: the recursion as plain calls --------------------------------------------------------------------------

struct serial_lane {
    template <class Left, class Right> void both(const Left &left, const Right &right) const
    {
        left(*this);
        right(*this);
    }

    template <uint32_t Max, class Task> void each(Task *tasks, uint32_t count) const
    {
        for (uint32_t i = 0; i < count; i++) tasks[i](*this);
    }
};

class serial_forks {
public:
    static constexpr const char *name = "serial";
    explicit serial_forks(benchmark::State &) {}
    explicit operator bool() const { return true; }
    template <class Run> void enter(const Run &run) { run(); }
    template <class Work> bool run(const Work &work)
    {
        work(serial_lane());
        return true;
    }
    bool finish(benchmark::State &) { return true; }
};

// ---- framealloc: a run is a frame ----------------------------------------------------------------------------------

class frame_lane {
public:
    explicit frame_lane(fa_worker *w) : w_(w) {}

    template <class Left, class Right> void both(const Left &left, const Right &right) const
    {
        fa_task task;
        fork(task, left);
        right(*this);
        fa_join(w_, &task);
    }

    template <uint32_t Max, class Task> void each(Task *tasks, uint32_t count) const
    {
        if (count == 0) return;
        fa_task forked[Max];
        for (uint32_t i = 1; i < count; i++) fork(forked[i], tasks[i]);
        tasks[0](*this);
        for (uint32_t i = count; i-- > 1;) fa_join(w_, &forked[i]);
    }

private:
    /// A fork that is refused counts as done: its work is missing, and the result wrong.
    template <class Task> void fork(fa_task &task, const Task &work) const
    {
        (void)fa_fork(w_, &task, call<Task>, const_cast<Task *>(&work));
    }

    template <class Task> static void call(fa_worker *w, void *work) { (*static_cast<Task *>(work))(frame_lane(w)); }

    fa_worker *w_;
};

class frame_forks {
public:
    static constexpr const char *name = "framealloc";
    explicit frame_forks(benchmark::State &state)
        : library_(state, fork_workers, [](fa_config &config) { config.deque_capacity = 16384; })
    {
    }
    explicit operator bool() const { return static_cast<bool>(library_); }
    template <class Run> void enter(const Run &run) { run(); }

    template <class Work> bool run(const Work &work)
    {
        if (!library_.check(fa_frame_begin(library_.system()))) return false;
        work(frame_lane(library_.main()));
        return library_.check(fa_frame_end(library_.system(), nullptr));
    }

    /// Tasks that ran inside their fork were never handed out: the figure would be another one.
    bool finish(benchmark::State &state)
    {
        fa_stats stats = library_.stats();
        state.counters["jobs_inline"] = static_cast<double>(stats.jobs_inline);
        state.counters["steals"] = static_cast<double>(stats.steals);
        state.counters["parks"] = static_cast<double>(stats.parks);
        return stats.jobs_inline == 0;
    }

private:
    library library_;
};

#ifdef FRAMEALLOC_BENCH_TBB

// ---- TBB, in three ways --------------------------------------------------------------------------------------------

/// Its algorithms as they are called without further thought.
struct tbb_lane {
    template <class Left, class Right> void both(const Left &left, const Right &right) const
    {
        tbb::parallel_invoke([&] { left(*this); }, [&] { right(*this); });
    }

    template <uint32_t Max, class Task> void each(Task *tasks, uint32_t count) const
    {
        tbb::parallel_for(0u, count, [&](uint32_t i) { tasks[i](*this); });
    }
};

/// The same with what makes them cheaper: one context for the whole run instead of one a call, and ranges cut down to
/// single tasks at once.
class tbb_context_lane {
public:
    explicit tbb_context_lane(tbb::task_group_context &context) : context_(&context) {}

    template <class Left, class Right> void both(const Left &left, const Right &right) const
    {
        tbb::parallel_invoke([&] { left(*this); }, [&] { right(*this); }, *context_);
    }

    template <uint32_t Max, class Task> void each(Task *tasks, uint32_t count) const
    {
        tbb::parallel_for(
            0u, count, [&](uint32_t i) { tasks[i](*this); }, tbb::simple_partitioner(), *context_);
    }

private:
    tbb::task_group_context *context_;
};

/// A group a call; the caller runs one of the tasks itself.
struct tbb_group_lane {
    template <class Left, class Right> void both(const Left &left, const Right &right) const
    {
        tbb::task_group group;
        group.run([&] { left(*this); });
        right(*this);
        group.wait();
    }

    template <uint32_t Max, class Task> void each(Task *tasks, uint32_t count) const
    {
        if (count == 0) return;
        tbb::task_group group;
        for (uint32_t i = 1; i < count; i++) group.run([task = &tasks[i], lane = *this] { (*task)(lane); });
        tasks[0](*this);
        group.wait();
    }
};

class tbb_threads {
public:
    explicit operator bool() const { return true; }
    /// All runs stay inside one arena: entering it is not part of the figure.
    template <class Run> void enter(const Run &run) { arena_.execute(run); }
    bool finish(benchmark::State &) { return true; }

private:
    tbb::global_control threads_{tbb::global_control::max_allowed_parallelism, fork_workers + 1};
    tbb::task_arena arena_{fork_workers + 1};
};

class tbb_forks : public tbb_threads {
public:
    static constexpr const char *name = "tbb";
    explicit tbb_forks(benchmark::State &) {}
    template <class Work> bool run(const Work &work)
    {
        work(tbb_lane());
        return true;
    }
};

class tbb_context_forks : public tbb_threads {
public:
    static constexpr const char *name = "tbb_context";
    explicit tbb_context_forks(benchmark::State &) {}
    template <class Work> bool run(const Work &work)
    {
        tbb::task_group_context context;
        work(tbb_context_lane(context));
        return true;
    }
};

class tbb_group_forks : public tbb_threads {
public:
    static constexpr const char *name = "tbb_group";
    explicit tbb_group_forks(benchmark::State &) {}
    template <class Work> bool run(const Work &work)
    {
        work(tbb_group_lane());
        return true;
    }
};

#endif

/// Calls visit(contender type in a tag) for every contender of this build.
template <class Contender> struct contender_tag {
    using type = Contender;
};

template <class Visit> void each_forks(const Visit &visit)
{
    visit(contender_tag<serial_forks>());
    visit(contender_tag<frame_forks>());
#ifdef FRAMEALLOC_BENCH_TBB
    visit(contender_tag<tbb_forks>());
    visit(contender_tag<tbb_context_forks>());
    visit(contender_tag<tbb_group_forks>());
#endif
}

} // namespace bench
