// SPDX-License-Identifier: MIT
//
// Row J7: how soon a job begins on a worker that has nothing to do. The caller has work of its own and does not wait:
// it reads the clock, hands out one job, and looks on until the job, which reads the clock first of all, has begun on the
// worker. A sample is the difference.
//
// parked  the worker sleeps, as the kernel says, since 100 µs at least. "futex" is a raw thread in the worker's place:
//         one word, FUTEX_WAIT there, a store and FUTEX_WAKE here, the same pause before. "pingpong" is half of a round
//         trip between two threads that both sleep, back to back.
// warm    the last job ended 1 to 10 µs ago, in the same frame. "spin" is a raw thread that does nothing but look at one
//         word.
#include "bench.hpp"

#include <linux/futex.h>
#include <sys/syscall.h>

#include <thread>

#ifdef FRAMEALLOC_BENCH_TBB
#include <tbb/global_control.h>
#include <tbb/task_arena.h>
#include <tbb/task_group.h>
#endif

namespace {

constexpr uint64_t parked_ns = 100000;
constexpr uint64_t asleep_ns_max = 2000000000;
constexpr uint32_t warm_jobs = 16; // in a frame
constexpr uint64_t warm_ns_min = 1000, warm_ns_span = 9000;

inline void pause()
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

/// What the job tells the caller.
struct alignas(128) mailbox {
    std::atomic<uint64_t> began{0}; // 0: it has not
    std::atomic<pid_t> thread{0};   // that ran it
    std::atomic<uint64_t> ran{0};
};

/// The job. Nothing comes before its reading of the clock.
void arrive(mailbox &box)
{
    uint64_t began = bench::now_ns();
    static thread_local const pid_t self = gettid();
    box.thread.store(self, std::memory_order_relaxed);
    box.ran.fetch_add(1, std::memory_order_relaxed);
    box.began.store(began, std::memory_order_release);
}

/// Looks on until the job has begun, and readies the box for the next.
uint64_t await(mailbox &box)
{
    uint64_t began;
    while ((began = box.began.load(std::memory_order_acquire)) == 0) pause();
    box.began.store(0, std::memory_order_relaxed);
    return began;
}

/// Whether a thread of this process sleeps.
class sleep_watch {
public:
    explicit sleep_watch(pid_t thread)
    {
        const std::string path = "/proc/self/task/" + std::to_string(thread) + "/stat";
        file_ = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    }
    ~sleep_watch()
    {
        if (file_ >= 0) close(file_);
    }
    sleep_watch(const sleep_watch &) = delete;
    sleep_watch &operator=(const sleep_watch &) = delete;

    /// Returns when it does; false if it does not come to rest.
    bool await() const
    {
        const uint64_t end = bench::now_ns() + asleep_ns_max;
        do {
            char text[128];
            ssize_t length = pread(file_, text, sizeof text - 1, 0);
            if (length <= 0) return false;
            text[length] = 0;
            const char *state = std::strrchr(text, ')'); // of the thread's name
            if (state && state[1] == ' ' && state[2] == 'S') return true;
        } while (bench::now_ns() < end);
        return false;
    }

private:
    int file_;
};

// ---- the contenders: send() hands out one job that calls arrive() -------------------------------------------------

void call_arrive(fa_worker *, void *box) { arrive(*static_cast<mailbox *>(box)); }

class frame_contender {
public:
    explicit frame_contender(benchmark::State &state) : library_(state, 1) {}
    explicit operator bool() const { return static_cast<bool>(library_); }
    template <class Run> void enter(Run run) { run(); }
    bool begin() { return library_.check(fa_frame_begin(library_.system())); }
    bool send(mailbox &box) { return FA_LIKELY(fa_submit(library_.main(), call_arrive, &box) == FA_OK); }
    bool end() { return library_.check(fa_frame_end(library_.system(), nullptr)); }
    void finish(benchmark::State &state)
    {
        fa_stats stats = library_.stats();
        state.counters["parks"] = static_cast<double>(stats.parks);
        state.counters["wakes"] = static_cast<double>(stats.wakes);
    }

private:
    bench::library library_;
};

/// One word and a thread that waits for it to change: what Wait and Wake make of that.
template <class Signal> class raw_contender {
public:
    explicit raw_contender(benchmark::State &) : thread_([this] { serve(); }) {}
    ~raw_contender()
    {
        box_ = nullptr;
        signal_.wake();
        thread_.join();
    }
    explicit operator bool() const { return true; }
    template <class Run> void enter(Run run) { run(); }
    bool begin() { return true; }
    bool send(mailbox &box)
    {
        box_ = &box;
        signal_.wake();
        return true;
    }
    bool end() { return true; }
    void finish(benchmark::State &) {}

private:
    void serve()
    {
        for (;;) {
            signal_.wait();
            if (!box_) return;
            arrive(*box_);
        }
    }

    Signal signal_;
    mailbox *box_ = nullptr; // passed on by the signal
    std::thread thread_;
};

class alignas(128) futex_signal {
public:
    void wake()
    {
        word_.store(1, std::memory_order_release);
        syscall(SYS_futex, &word_, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, nullptr, nullptr, 0);
    }
    void wait()
    {
        while (word_.load(std::memory_order_acquire) == 0)
            syscall(SYS_futex, &word_, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 0, nullptr, nullptr, 0);
        word_.store(0, std::memory_order_relaxed);
    }

private:
    std::atomic<uint32_t> word_{0};
};

class alignas(128) spin_signal {
public:
    void wake() { word_.store(1, std::memory_order_release); }
    void wait()
    {
        while (word_.load(std::memory_order_acquire) == 0) pause();
        word_.store(0, std::memory_order_relaxed);
    }

private:
    std::atomic<uint32_t> word_{0};
};

#ifdef FRAMEALLOC_BENCH_TBB
class tbb_contender {
public:
    explicit tbb_contender(benchmark::State &) {}
    explicit operator bool() const { return true; }
    /// The whole run stays inside one arena: entering it is not part of the figure.
    template <class Run> void enter(Run run) { arena_.execute(run); }
    bool begin() { return true; }
    bool send(mailbox &box)
    {
        group_.run([&box] { arrive(box); });
        return true;
    }
    bool end()
    {
        group_.wait();
        return true;
    }
    void finish(benchmark::State &) {}

private:
    tbb::global_control threads_{tbb::global_control::max_allowed_parallelism, 2};
    tbb::task_arena arena_{2};
    tbb::task_group group_;
};
#endif

// ---- the row -----------------------------------------------------------------------------------------------------

class samples {
public:
    explicit samples(int64_t count) { ns_.reserve(static_cast<size_t>(count)); }
    void add(uint64_t from, uint64_t to) { ns_.push_back(to < from ? 0 : clip(to - from)); }
    void report(benchmark::State &state) { bench::report_latency(state, ns_); }

private:
    static uint32_t clip(uint64_t ns) { return static_cast<uint32_t>(std::min<uint64_t>(ns, UINT32_MAX)); }
    std::vector<uint32_t> ns_;
};

/// One job, and when it began on the worker; 0 if it was refused.
template <class Contender> uint64_t hand_out(Contender &contender, mailbox &box)
{
    return contender.send(box) ? await(box) : 0;
}

/// The thread that runs the jobs while the caller looks on; 0 if none was had.
template <class Contender> pid_t find_worker(Contender &contender, mailbox &box)
{
    if (!contender.begin() || hand_out(contender, box) == 0 || !contender.end()) return 0;
    return box.thread.load() == gettid() ? 0 : box.thread.load();
}

template <class Contender> void run_parked(benchmark::State &state)
{
    Contender contender(state);
    if (!contender) return;
    mailbox box;
    samples latency(state.max_iterations);
    contender.enter([&] {
        pid_t worker = find_worker(contender, box);
        if (worker == 0) return state.SkipWithError("no worker ran the job");
        sleep_watch watch(worker);
        auto sample = [&](bool keep) {
            if (!contender.begin() || !watch.await()) return false;
            bench::work_until(bench::now_ns() + parked_ns);
            uint64_t sent = bench::now_ns(), began = hand_out(contender, box);
            if (keep) latency.add(sent, began);
            return began != 0 && contender.end() && box.thread.load() == worker;
        };
        bool sound = true;
        uint64_t expected = 1;
        for (int warm = 0; warm < 2; warm++, expected++) sound = sound && sample(false);
        for (auto _ : state) {
            sound = sound && sample(true) && box.ran.load() == ++expected;
            if (FA_LIKELY(sound)) continue;
            state.SkipWithError("the worker did not come to rest, or not exactly one job ran on it");
            break;
        }
    });
    contender.finish(state);
    latency.report(state);
}

template <class Contender> void run_warm(benchmark::State &state)
{
    Contender contender(state);
    if (!contender) return;
    mailbox box;
    samples latency(state.max_iterations * warm_jobs);
    contender.enter([&] {
        pid_t worker = find_worker(contender, box);
        if (worker == 0) return state.SkipWithError("no worker ran the job");
        uint64_t random = 88172645463325252u, expected = 1;
        auto frame = [&](bool keep) {
            // The first one of a frame finds a worker that may have gone to sleep.
            bool sound = contender.begin() && hand_out(contender, box) != 0;
            for (uint32_t i = 0; i < warm_jobs; i++) {
                random = random * 6364136223846793005u + 1442695040888963407u;
                uint64_t sent = bench::work_until(bench::now_ns() + warm_ns_min + (random >> 33) % warm_ns_span);
                uint64_t began = hand_out(contender, box);
                if (keep) latency.add(sent, began);
                sound = sound && began != 0 && box.thread.load() == worker;
            }
            expected += warm_jobs + 1;
            return sound && contender.end() && box.ran.load() == expected;
        };
        bool sound = frame(false);
        for (auto _ : state) {
            sound = sound && frame(true);
            if (FA_LIKELY(sound)) continue;
            state.SkipWithError("a job was refused, lost, run twice, or did not run on the worker");
            break;
        }
    });
    contender.finish(state);
    latency.report(state);
}

/// Two threads that wake each other and sleep in between: half of a round trip.
void run_pingpong(benchmark::State &state)
{
    futex_signal ping, pong;
    std::atomic<bool> over{false};
    std::thread other([&] {
        for (;;) {
            ping.wait();
            if (over.load()) return;
            pong.wake();
        }
    });
    samples latency(state.max_iterations);
    for (auto _ : state) {
        uint64_t sent = bench::now_ns();
        ping.wake();
        pong.wait();
        latency.add(0, (bench::now_ns() - sent) / 2);
    }
    over.store(true);
    ping.wake();
    other.join();
    latency.report(state);
}

} // namespace

int main(int argc, char **argv)
{
    bench::add("J7/framealloc/parked", run_parked<frame_contender>);
    bench::add("J7/framealloc/warm", run_warm<frame_contender>);
    bench::add("J7/futex/parked", run_parked<raw_contender<futex_signal>>);
    bench::add("J7/pingpong/parked", run_pingpong);
    bench::add("J7/spin/warm", run_warm<raw_contender<spin_signal>>);
#ifdef FRAMEALLOC_BENCH_TBB
    bench::add("J7/tbb/parked", run_parked<tbb_contender>);
    bench::add("J7/tbb/warm", run_warm<tbb_contender>);
#endif
    return bench::run(argc, argv);
}
