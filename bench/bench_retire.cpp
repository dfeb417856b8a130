// SPDX-License-Identifier: MIT
//
// Row A9: from the moment that a version in a reference cell is replaced until its memory can be used again, in ticks at 60 Hz, and what that
// costs the main thread.
//
// In every tick a worker reads the cell, holds the version while the main thread replaces it, finds it whole afterwards, and reads the new
// one. Four ticks that replace alternate with four that do not.
//
// light  that is all a tick does
// busy   both threads work for 14 ms of every tick, in jobs of 1 ms that read the cell
// quiet  a single replacement after 0.45 s without any
//
// reuse_ms is the longest time that a version took, reuse_p50_ms the median, frames the most ends of frames that it took. Ours is back when
// an allocation after the end of a frame is given its memory. "call_rcu" is liburcu's, same flavour, with its default helper thread: there a
// version is back when the callback, which frees it, has come.
//
// cost_ns is the main thread's time in begin, the replacement and end. The median of ticks that replace a version and take home what was
// replaced before, less the median of ticks that free such an object at once. In "quiet": the tick that replaces and the one after
// it, less two ticks before. The worker is done before the end of the frame is timed.
#include "bench.hpp"
#include "pacer.hpp"

#include <urcu/urcu-qsbr.h>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>

namespace {

constexpr uint64_t run_of_ticks = 4; // with replacements, then as many without
constexpr uint64_t job_ns = 1000000, busy_ns = 14 * job_ns;
constexpr uint64_t quiet_ns = 450000000;
constexpr int ticks_until_home = 120;
constexpr size_t allocations_until_found = 1024; // most find it at once

struct version {
    rcu_head head; // of call_rcu
    void *owner;
    uint64_t serial;
    uint64_t words[120]; // all are the serial
};

void fill(version *made, uint64_t serial)
{
    made->serial = serial;
    std::fill(std::begin(made->words), std::end(made->words), serial);
}

/// Whether all of a version is what its publisher wrote.
bool is_whole(const version *read, uint64_t serial)
{
    return read->serial == serial &&
           std::all_of(std::begin(read->words), std::end(read->words), [=](uint64_t word) { return word == serial; });
}

/// What the main thread and the reader of a tick tell each other.
struct handshake {
    uint64_t serial;      // of the version that the reader is to find
    uint64_t next_serial; // and after `replaced`
    std::atomic<bool> holds{false};
    std::atomic<bool> replaced{false};
    std::atomic<bool> broken{false};

    static void await(const std::atomic<bool> &flag)
    {
        while (!flag.load(std::memory_order_acquire)) sched_yield();
    }
};

/// The reader's part of a tick.
template <class Read> void hold_and_read(handshake &with, Read read)
{
    const version *held = read();
    bool whole = is_whole(held, with.serial);
    with.holds.store(true, std::memory_order_release);
    handshake::await(with.replaced);
    whole = whole && is_whole(held, with.serial) && is_whole(read(), with.next_serial);
    if (!whole) with.broken.store(true);
}

/// Work with a look at the cell at its beginning and end.
template <class Read> void work_and_read(handshake &with, Read read)
{
    bool whole = is_whole(read(), with.next_serial);
    bench::work_until(bench::now_ns() + job_ns);
    if (!whole || !is_whole(read(), with.next_serial)) with.broken.store(true);
}

/// A version that was replaced.
struct replaced {
    const version *old;
    uint64_t serial;
    uint64_t at_ns;
    uint64_t tick;
};

// ---- the contenders ---------------------------------------------------------------------------------------------------

class framealloc_contender {
public:
    framealloc_contender(benchmark::State &state, bool busy) : library_(state, 1), busy_(busy) {}
    ~framealloc_contender()
    {
        if (*this) library_.check(fa_cell_drop(library_.main(), &cell_));
    }
    explicit operator bool() const { return static_cast<bool>(library_); }

    bool begin() { return library_.check(fa_frame_begin(library_.system())); }

    bool start_reader(handshake &with)
    {
        with_ = &with;
        return library_.check(fa_submit_counted(library_.main(), &counter_, read_job, this));
    }

    version *make() { return static_cast<version *>(fa_pool_alloc(library_.main(), sizeof(version))); }
    void discard(version *made) { fa_pool_free(library_.main(), made); }
    bool replace(version *, version *made) { return library_.check(fa_cell_publish(library_.main(), &cell_, made)); }
    void publish_first(version *made) { library_.check(fa_cell_publish(library_.main(), &cell_, made)); }

    bool finish_reader()
    {
        bool sound = library_.check(fa_wait(library_.main(), &counter_));
        for (uint64_t done = 0; busy_ && sound && done < busy_ns; done += job_ns)
            for (int lane = 0; lane < 2; lane++)
                sound = sound && library_.check(fa_submit(library_.main(), work_job, this));
        return sound;
    }

    bool end() { return library_.check(fa_frame_end(library_.system(), nullptr)); }

    /// Calls home(version, time) for those whose memory allocations are given again: as many as the library says it has reclaimed.
    template <class Home> bool collect(std::vector<replaced> &out, Home home)
    {
        uint64_t now = bench::now_ns();
        uint64_t reclaimed = library_.stats().reclaimed;
        std::vector<version *> taken;
        while (home_ < reclaimed && taken.size() < allocations_until_found) {
            taken.push_back(make());
            auto at = std::find_if(out.begin(), out.end(), [&](const replaced &r) { return r.old == taken.back(); });
            if (at == out.end()) continue;
            home(*at, now);
            out.erase(at);
            home_++;
        }
        for (auto p = taken.rbegin(); p != taken.rend(); ++p) fa_pool_free(library_.main(), *p);
        return home_ == reclaimed;
    }

    bool all_home(uint64_t count) { return library_.stats().retired == count && home_ == count; }

private:
    static void read_job(fa_worker *w, void *arg)
    {
        auto *self = static_cast<framealloc_contender *>(arg);
        hold_and_read(*self->with_, [=] { return static_cast<const version *>(fa_cell_read(w, &self->cell_)); });
    }
    static void work_job(fa_worker *w, void *arg)
    {
        auto *self = static_cast<framealloc_contender *>(arg);
        work_and_read(*self->with_, [=] { return static_cast<const version *>(fa_cell_read(w, &self->cell_)); });
    }

    bench::library library_;
    const bool busy_;
    fa_cell cell_ = {nullptr};
    fa_counter counter_ = FA_COUNTER_INIT;
    uint64_t home_ = 0; // versions
    handshake *with_ = nullptr;
};

/// The same by hand: a thread that reads, registered as the main thread is, each offline while it sleeps. (ThreadSanitizer does not see what
/// orders a callback.)
class rcu_contender {
public:
    rcu_contender(benchmark::State &, bool busy) : busy_(busy)
    {
        urcu_qsbr_register_thread();
        urcu_qsbr_thread_offline();
        reader_ = std::thread([this] { read(); });
    }
    ~rcu_contender()
    {
        tell_reader(nullptr, true);
        reader_.join();
        urcu_qsbr_barrier();
        std::free(current_.load());
        urcu_qsbr_unregister_thread();
    }
    explicit operator bool() const { return true; }

    bool begin()
    {
        urcu_qsbr_thread_online();
        return true;
    }
    bool start_reader(handshake &with)
    {
        of_tick_ = &with;
        tell_reader(&with, false);
        return true;
    }
    version *make() { return static_cast<version *>(std::malloc(sizeof(version))); }
    void discard(version *made) { std::free(made); }
    void publish_first(version *made) { current_.store(made); }
    bool replace(version *old, version *made)
    {
        old->owner = this;
        current_.store(made, std::memory_order_release);
        urcu_qsbr_call_rcu(&old->head, came);
        return true;
    }
    bool finish_reader()
    {
        if (busy_) work(*of_tick_);
        std::unique_lock<std::mutex> lock(mutex_);
        condition_.wait(lock, [this] { return !with_; });
        return true;
    }
    bool end()
    {
        urcu_qsbr_thread_offline();
        return true;
    }
    template <class Home> bool collect(std::vector<replaced> &out, Home home)
    {
        std::lock_guard<std::mutex> lock(arrived_mutex_);
        for (const auto &[serial, at_ns] : arrived_) {
            auto at = std::find_if(out.begin(), out.end(), [is = serial](const replaced &r) { return r.serial == is; });
            if (at == out.end()) return false;
            home(*at, at_ns);
            out.erase(at);
        }
        arrived_.clear();
        return true;
    }
    bool all_home(uint64_t) { return true; }

private:
    void tell_reader(handshake *with, bool stop)
    {
        std::lock_guard<std::mutex> lock(mutex_);
        with_ = with;
        stop_ = stop;
        condition_.notify_all();
    }

    void work(handshake &with)
    {
        for (uint64_t done = 0; done < busy_ns; done += job_ns) {
            work_and_read(with, [this] { return current_.load(std::memory_order_acquire); });
            urcu_qsbr_quiescent_state();
        }
    }

    void read()
    {
        urcu_qsbr_register_thread();
        urcu_qsbr_thread_offline();
        std::unique_lock<std::mutex> lock(mutex_);
        for (;;) {
            condition_.wait(lock, [this] { return with_ || stop_; });
            if (stop_) break;
            handshake &with = *with_;
            lock.unlock();
            urcu_qsbr_thread_online();
            hold_and_read(with, [this] { return current_.load(std::memory_order_acquire); });
            urcu_qsbr_quiescent_state();
            if (busy_) work(with);
            urcu_qsbr_thread_offline();
            lock.lock();
            with_ = nullptr;
            condition_.notify_all();
        }
        urcu_qsbr_unregister_thread();
    }

    /// The callback, on the helper thread.
    static void came(rcu_head *head)
    {
        auto *old = reinterpret_cast<version *>(head);
        auto *self = static_cast<rcu_contender *>(old->owner);
        uint64_t serial = old->serial;
        std::free(old);
        uint64_t now = bench::now_ns();
        std::lock_guard<std::mutex> lock(self->arrived_mutex_);
        self->arrived_.emplace_back(serial, now);
    }

    const bool busy_;
    std::atomic<version *> current_{nullptr};
    std::mutex mutex_;
    std::condition_variable condition_;
    handshake *of_tick_ = nullptr; // the main thread's
    handshake *with_ = nullptr;    // the reader's task; nullptr: done
    bool stop_ = false;
    std::mutex arrived_mutex_;
    std::vector<std::pair<uint64_t, uint64_t>> arrived_; // serial and time
    std::thread reader_;
};

// ---- ticks ------------------------------------------------------------------------------------------------------------

template <class Contender> class ticks {
public:
    ticks(benchmark::State &state, bool busy) : contender_(state, busy)
    {
        if (contender_) current_ = contender_.make();
        if (!current_) return;
        fill(current_, serial_);
        contender_.publish_first(current_);
        sound_ = true;
    }

    bool is_sound() const { return sound_; }

    /// One tick, in which an object is made that replaces the current version or is freed at once. Returns the main thread's time in the calls.
    uint64_t tick(bool replace)
    {
        version *made = sound_ ? contender_.make() : nullptr;
        sound_ = made != nullptr;
        if (!sound_) return 0;
        fill(made, serial_ + 1);
        handshake with;
        with.serial = serial_;
        with.next_serial = serial_ + replace;
        tick_++;
        uint64_t begun = bench::now_ns();
        sound_ = contender_.begin();
        uint64_t spent = bench::now_ns() - begun;
        if (!sound_ || !(sound_ = contender_.start_reader(with))) return 0;
        handshake::await(with.holds);
        begun = bench::now_ns();
        if (replace)
            sound_ = contender_.replace(current_, made);
        else
            contender_.discard(made);
        spent += bench::now_ns() - begun;
        if (replace) note(begun, made);
        with.replaced.store(true, std::memory_order_release);
        sound_ = contender_.finish_reader() && sound_;
        begun = bench::now_ns();
        sound_ = contender_.end() && sound_;
        spent += bench::now_ns() - begun;
        sound_ = sound_ && contender_.collect(out_, [this](const replaced &old, uint64_t at_ns) { home(old, at_ns); });
        sound_ = sound_ && !with.broken.load();
        return spent;
    }

    /// Ticks without replacement until all is home.
    void settle(bench::pacer &pace)
    {
        for (int i = 0; sound_ && !out_.empty(); i++) {
            pace.await();
            (void)tick(false);
            if (i == ticks_until_home) sound_ = false;
        }
        sound_ = sound_ && contender_.all_home(serial_ - 1);
    }

    void forget()
    {
        times_us_.clear();
        frames_ = 0;
    }

    void report(benchmark::State &state)
    {
        if (!sound_) state.SkipWithError("a version was not whole, or did not come home");
        state.counters["reuse_ms"] = bench::percentile(times_us_, 100) / 1000;
        state.counters["reuse_p50_ms"] = bench::percentile(times_us_, 50) / 1000;
        state.counters["frames"] = static_cast<double>(frames_);
    }

private:
    void note(uint64_t at_ns, version *made)
    {
        out_.push_back({current_, serial_, at_ns, tick_});
        current_ = made;
        serial_++;
    }

    void home(const replaced &old, uint64_t at_ns)
    {
        times_us_.push_back(static_cast<uint32_t>((at_ns - old.at_ns) / 1000));
        frames_ = std::max(frames_, tick_ - old.tick + 1);
    }

    Contender contender_;
    version *current_ = nullptr;
    uint64_t serial_ = 1;
    uint64_t tick_ = 0;
    bool sound_ = false;
    std::vector<replaced> out_;
    std::vector<uint32_t> times_us_;
    uint64_t frames_ = 0;
};

double median(std::vector<uint32_t> &samples) { return bench::percentile(samples, 50); }

uint32_t clamp(uint64_t ns) { return static_cast<uint32_t>(std::min<uint64_t>(ns, UINT32_MAX)); }

template <class Contender> void run_ticks(benchmark::State &state, bool busy)
{
    ticks<Contender> made(state, busy);
    bench::pacer pace;
    for (uint64_t warm = 0; warm < 2 * run_of_ticks; warm++) (void)made.tick(warm < run_of_ticks);
    made.settle(pace);
    made.forget();
    std::vector<uint32_t> with, without;
    uint64_t at = 0;
    for (auto _ : state) {
        pace.await();
        const bool replace = at / run_of_ticks % 2 == 0, steady = at % run_of_ticks > 0;
        at++;
        uint64_t spent = made.tick(replace);
        if (steady)
            (replace ? with : without).push_back(clamp(spent)); // the first takes home what others replaced, or nothing
        state.SetIterationTime(bench::tick_ns * 1e-9);
    }
    made.settle(pace);
    made.report(state);
    state.counters["late"] = static_cast<double>(pace.late());
    if (busy) return; // the end of the frame waits for the jobs
    state.counters["cost_ns"] = median(with) - median(without);
    state.counters["with_ns"] = median(with);
    state.counters["without_ns"] = median(without);
}

template <class Contender> void run_quiet(benchmark::State &state)
{
    ticks<Contender> made(state, false);
    std::vector<double> costs;
    for (auto _ : state) {
        const timespec pause = {0, static_cast<long>(quiet_ns)};
        nanosleep(&pause, nullptr);
        bench::pacer pace;
        double cost = 0;
        for (int i = 0; i < 5; i++) {
            auto spent = static_cast<double>(made.tick(i == 3));
            if (i > 0) cost += i < 3 ? -spent : spent; // 1 and 2: nothing; 3: replaces; 4: takes home
            pace.await();
        }
        costs.push_back(cost);
        made.settle(pace);
        state.SetIterationTime((quiet_ns + 5 * bench::tick_ns) * 1e-9);
    }
    made.report(state);
    std::sort(costs.begin(), costs.end());
    state.counters["cost_ns"] = costs[costs.size() / 2];
}

} // namespace

int main(int argc, char **argv)
{
    for (bool busy : {false, true}) {
        const std::string name = busy ? "/busy" : "/light";
        bench::add_timed("A9/framealloc" + name,
                         [=](benchmark::State &state) { run_ticks<framealloc_contender>(state, busy); });
        bench::add_timed("A9/call_rcu" + name, [=](benchmark::State &state) { run_ticks<rcu_contender>(state, busy); });
    }
    bench::add_timed("A9/framealloc/quiet", run_quiet<framealloc_contender>);
    return bench::run(argc, argv);
}
