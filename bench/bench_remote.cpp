// SPDX-License-Identifier: MIT
//
// Rows A4 and A5: objects that one thread allocates and another frees.
//
// A4  a producer allocates 64-byte objects and writes them, a consumer reads and frees them; between them a ring of
//     batches, the same for every contender. The figure is the CPU time of both threads per object (pair_ns). Every
//     4096 objects ours has a tick: the producer, which is the main lane, ends a frame and begins the next; the
//     consumer, an attached lane, passes a quiescent state. The two threads are kept on two CPUs: a scheduler that
//     wakes one where the other runs would spare every allocator the way between caches. "none" passes the same
//     objects round without an allocator: what the harness costs.
//
// A5  the memory that such traffic needs, with 100 000 objects of 592 bytes alive, most of them replaced many times:
//       lane          the consumer is a lane
//       free_only     the consumer never attached and only frees
//       parked_owner  a lane allocates everything and sleeps while another frees it all and allocates as much
//     Bound: live bytes * 1.2 + the most bytes freed in one frame + two blocks of 2 MiB a lane. Ours is measured by
//     fa_stats.memory_bytes at every boundary, the peers by what the process grew. of_bound is the largest part of
//     the bound that was ever in use; grown_bytes is what the process grew, for all.
#include "bench.hpp"
#include "peers.hpp"
#include "ring.hpp"

#include <condition_variable>
#include <mutex>
#include <thread>

namespace {

constexpr uint64_t objects_per_tick = 4096;
constexpr uint64_t batches_per_tick = objects_per_tick / bench::ring::batch;

// ---- the two ends, for ours and for the peers --------------------------------------------------------------------

/// The main lane: allocates, and drives the ticks.
class main_lane {
public:
    explicit main_lane(bench::library &library) : library_(library), main_(library.main()) {}
    bool begin() { return library_.check(fa_frame_begin(library_.system())); }
    bool end() { return library_.check(fa_frame_end(library_.system(), nullptr)); }
    bool tick() { return end() && begin(); }
    void *alloc(size_t size) { return fa_pool_alloc(main_, size); }
    void free(void *p) { fa_pool_free(main_, p); }
    void before_sleep() { status_ = fa_idle_begin(main_); }
    void after_sleep()
    {
        if (status_ == FA_OK) status_ = fa_idle_end(main_);
        library_.check(status_);
    }

private:
    bench::library &library_;
    fa_worker *main_;
    fa_status status_ = FA_OK;
};

/// An attached thread that allocates or frees. Its errors are read by the main lane after the thread has ended.
class attached_lane {
public:
    explicit attached_lane(bench::library &library) { note(fa_attach(library.system(), &lane_)); }
    fa_status leave()
    {
        if (lane_) note(fa_detach(lane_));
        return status_;
    }
    void tick() { note(fa_quiescent(lane_)); }
    void *alloc(size_t size) { return fa_pool_alloc(lane_, size); }
    void free(void *p) { fa_pool_free(lane_, p); }
    void before_sleep()
    {
        if (lane_) note(fa_idle_begin(lane_));
    }
    void after_sleep()
    {
        if (lane_) note(fa_idle_end(lane_));
    }
    explicit operator bool() const { return lane_ != nullptr; }

private:
    void note(fa_status status)
    {
        if (status_ == FA_OK) status_ = status;
    }
    fa_worker *lane_ = nullptr;
    fa_status status_ = FA_OK;
};

/// A thread that the library has never seen.
class foreign_thread {
public:
    explicit foreign_thread(bench::library &library) : system_(library.system()) {}
    fa_status leave() { return FA_OK; }
    void tick() {}
    void free(void *p) { fa_free_any(system_, p); }
    void before_sleep() {}
    void after_sleep() {}
    explicit operator bool() const { return true; }

private:
    fa_system *system_;
};

/// Either end of a peer. The argument is only there to be ignored.
template <class Peer> class peer_end {
public:
    template <class Ignored> explicit peer_end(Ignored &) {}
    bool begin() { return true; }
    bool end() { return true; }
    bool tick() { return true; }
    fa_status leave() { return FA_OK; }
    void *alloc(size_t size) { return Peer::alloc(size); }
    void free(void *p) { Peer::free(p); }
    void before_sleep() {}
    void after_sleep() {}
    explicit operator bool() const { return true; }
};

/// No allocator: hands out the objects of a fixed array in turn; the ring is too short for one to be met twice.
struct peer_none {
    static constexpr const char *name = "none";
    static void *alloc(size_t size)
    {
        static std::vector<unsigned char> memory(objects * 64);
        static size_t next = 0;
        next = (next + 1) % objects;
        return size <= 64 ? &memory[next * 64] : nullptr;
    }
    static void free(void *) {}

private:
    static constexpr size_t objects = 32768;
};

/// In place of bench::library for the peers.
struct no_library {
    explicit no_library(benchmark::State &, uint32_t) {}
    explicit operator bool() const { return true; }
    bool check(fa_status status) { return status == FA_OK; }
};

// ---- A4 ----------------------------------------------------------------------------------------------------------

constexpr size_t object_bytes = 64;
constexpr size_t ring_batches = 64;
constexpr uint64_t warm_batches = 8 * ring_batches;

struct consumed {
    uint64_t sum = 0;     // of the numbers in the objects
    uint64_t objects = 0; // freed
    uint64_t cpu_ns = 0;  // from the end of the warm-up on
    fa_status status = FA_OK;
};

template <class Consumer, class Library> void consume(Library &library, bench::ring &ring, consumed &out)
{
    Consumer consumer(library);
    uint64_t begin = 0;
    uint64_t batches = 0;
    while (void **batch = ring.take(consumer)) {
        if (!consumer) { // it could not attach: empty the ring, the status tells
            ring.release();
            continue;
        }
        if (batches == warm_batches) begin = bench::thread_cpu_ns();
        for (size_t i = 0; i < bench::ring::batch; i++) {
            out.sum += *static_cast<uint64_t *>(batch[i]);
            consumer.free(batch[i]);
        }
        ring.release();
        batches++;
        if (batches % batches_per_tick == 0) consumer.tick();
    }
    out.cpu_ns = bench::thread_cpu_ns() - begin;
    out.objects = batches * bench::ring::batch;
    out.status = consumer.leave();
}

/// One batch of new objects numbered from `first`; false: an allocation failed (the batch is then not published).
template <class Producer> bool produce(Producer &producer, bench::ring &ring, uint64_t first)
{
    void **batch = ring.claim(producer);
    for (size_t i = 0; i < bench::ring::batch; i++) {
        void *p = producer.alloc(object_bytes);
        if (FA_UNLIKELY(!p)) return false;
        *static_cast<uint64_t *>(p) = first + i;
        batch[i] = p;
    }
    ring.publish();
    return true;
}

template <class Library, class Producer, class Consumer> void run_remote(benchmark::State &state)
{
    Library library(state, 0);
    if (!library) return;
    bench::ring ring(ring_batches);
    Producer producer(library);
    consumed result;
    if (!producer.begin()) return;
    std::thread thread([&] {
        bench::pinned apart(1);
        consume<Consumer>(library, ring, result);
    });
    bench::pinned apart(0);

    bool sound = true;
    uint64_t objects = 0;
    for (; sound && objects < warm_batches * bench::ring::batch; objects += bench::ring::batch) {
        sound = produce(producer, ring, objects);
        if ((objects / bench::ring::batch + 1) % batches_per_tick == 0) sound = sound && producer.tick();
    }
    uint64_t begin = bench::thread_cpu_ns();
    for (auto _ : state) {
        for (uint64_t i = 0; sound && i < batches_per_tick; i++, objects += bench::ring::batch)
            sound = produce(producer, ring, objects);
        if (FA_UNLIKELY(!sound || !producer.tick())) {
            state.SkipWithError("an allocation or a tick failed");
            sound = false;
            break;
        }
    }
    uint64_t producer_ns = bench::thread_cpu_ns() - begin;
    ring.close();
    thread.join();
    producer.end();

    if (!library.check(result.status)) state.SkipWithError("the consumer failed");
    if (sound && (result.objects != objects || result.sum != objects * (objects - 1) / 2))
        state.SkipWithError("wrong checksum: objects were lost or overlapped");
    double pairs = static_cast<double>(objects - warm_batches * bench::ring::batch);
    state.counters["producer_ns"] = static_cast<double>(producer_ns) / pairs;
    state.counters["consumer_ns"] = static_cast<double>(result.cpu_ns) / pairs;
    state.counters["pair_ns"] = static_cast<double>(producer_ns + result.cpu_ns) / pairs;
    state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(objects_per_tick));
}

// ---- A5 ----------------------------------------------------------------------------------------------------------

constexpr size_t resident_bytes = 592;    // size of an object
constexpr size_t resident_count = 100000; // alive at any time
constexpr size_t short_ring_batches = 16;
constexpr double block_bytes = 2.0 * 1024 * 1024;

/// Resident memory of the process, bytes.
uint64_t process_bytes()
{
    static const int file = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    char text[128] = {0};
    unsigned long long pages = 0;
    if (file < 0 || pread(file, text, sizeof text - 1, 0) <= 0 || std::sscanf(text, "%*u %llu", &pages) != 1) return 0;
    return pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

uint64_t memory_in_use(bench::library &library, uint64_t) { return library.stats().memory_bytes; }
uint64_t memory_in_use(no_library &, uint64_t before)
{
    uint64_t now = process_bytes();
    return now > before ? now - before : 0;
}

/// Samples memory at every boundary against a bound that is only known at the end.
class memory_meter {
public:
    /// `allocated` and `freed` count objects since the start; `before` is what the process held then.
    template <class Library> void sample(Library &library, uint64_t allocated, uint64_t freed, uint64_t before)
    {
        live_max_ = std::max(live_max_, allocated - freed);
        frame_frees_max_ = std::max(frame_frees_max_, freed - freed_before_);
        freed_before_ = freed;
        in_use_max_ = std::max(in_use_max_, memory_in_use(library, before));
        uint64_t now = process_bytes();
        grown_max_ = std::max(grown_max_, now > before ? now - before : 0);
    }

    void report(benchmark::State &state, double lanes) const
    {
        double live = static_cast<double>(live_max_ * resident_bytes);
        double frees = static_cast<double>(frame_frees_max_ * resident_bytes);
        double bound = live * 1.2 + frees + 2 * block_bytes * lanes;
        state.counters["live_bytes"] = live;
        state.counters["frame_frees_bytes"] = frees;
        state.counters["bound_bytes"] = bound;
        state.counters["peak_bytes"] = static_cast<double>(in_use_max_);
        state.counters["grown_bytes"] = static_cast<double>(grown_max_);
        state.counters["of_bound"] = static_cast<double>(in_use_max_) / bound;
    }

private:
    uint64_t live_max_ = 0;
    uint64_t frame_frees_max_ = 0;
    uint64_t freed_before_ = 0;
    uint64_t in_use_max_ = 0;
    uint64_t grown_max_ = 0;
};

/// An object carries its number at both ends, so that memory given out twice is noticed.
void stamp(void *p, uint64_t number)
{
    std::memset(p, 0x5a, resident_bytes);
    std::memcpy(p, &number, sizeof number);
    std::memcpy(static_cast<unsigned char *>(p) + resident_bytes - sizeof number, &number, sizeof number);
}

bool stamp_is_whole(const void *p)
{
    return std::memcmp(p, static_cast<const unsigned char *>(p) + resident_bytes - sizeof(uint64_t),
                       sizeof(uint64_t)) == 0;
}

struct drained {
    std::atomic<uint64_t> freed{0};
    std::atomic<bool> whole{true};
    fa_status status = FA_OK;
};

template <class Consumer, class Library> void drain(Library &library, bench::ring &ring, drained &out)
{
    Consumer consumer(library);
    while (void **batch = ring.take(consumer)) {
        if (!consumer) { // as in consume()
            ring.release();
            continue;
        }
        for (size_t i = 0; i < bench::ring::batch; i++) {
            if (!stamp_is_whole(batch[i])) out.whole.store(false);
            consumer.free(batch[i]);
        }
        ring.release();
        uint64_t freed = out.freed.fetch_add(bench::ring::batch) + bench::ring::batch;
        if (freed % objects_per_tick == 0) consumer.tick();
    }
    out.status = consumer.leave();
}

/// Keeps resident_count objects alive and replaces one at random at a time; the old one is freed by the consumer.
template <class Library, class Producer, class Consumer>
void replace_residents(benchmark::State &state, uint64_t replaced, double lanes)
{
    for (auto _ : state) {
        uint64_t before = process_bytes();
        Library library(state, 0);
        if (!library) return;
        bench::ring ring(short_ring_batches);
        Producer producer(library);
        drained result;
        memory_meter meter;
        std::vector<void *> residents(resident_count, nullptr);
        uint64_t allocated = 0;
        bool sound = producer.begin();
        std::thread thread([&] { drain<Consumer>(library, ring, result); });

        auto renew = [&](void **slot) {
            void *p = producer.alloc(resident_bytes);
            if (!p) return false;
            stamp(p, allocated);
            *slot = p;
            allocated++;
            if (allocated % objects_per_tick != 0) return true;
            meter.sample(library, allocated, result.freed.load(), before);
            return producer.tick();
        };
        for (size_t i = 0; sound && i < resident_count; i++) sound = renew(&residents[i]);
        uint64_t random = 88172645463325252u;
        for (uint64_t done = 0; sound && done < replaced; done += bench::ring::batch) {
            void **batch = ring.claim(producer);
            for (size_t i = 0; i < bench::ring::batch; i++) {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                void **slot = &residents[random % resident_count];
                batch[i] = *slot;
                sound = sound && renew(slot);
            }
            ring.publish();
        }
        ring.close();
        thread.join();
        for (void *p : residents) {
            if (!p) continue;
            sound = sound && stamp_is_whole(p);
            producer.free(p);
        }
        producer.end();
        if (!library.check(result.status) || !sound || !result.whole.load())
            state.SkipWithError("an allocation failed or memory was given out twice");
        meter.report(state, lanes);
    }
}

/// Hands a list of objects from a sleeping owner to the main thread and back: one runs, the other sleeps.
struct turn {
    std::mutex mutex;
    std::condition_variable condition;
    bool owner_runs = true;
    bool over = false;

    void give(bool to_owner)
    {
        std::lock_guard<std::mutex> lock(mutex);
        owner_runs = to_owner;
        condition.notify_all();
    }
    void await(bool owner)
    {
        std::unique_lock<std::mutex> lock(mutex);
        condition.wait(lock, [&] { return owner_runs == owner || over; });
    }
    void finish()
    {
        std::lock_guard<std::mutex> lock(mutex);
        over = true;
        condition.notify_all();
    }
};

/// The owner: fills the list, then sleeps until it is asked again.
template <class Owner, class Library>
void own(Library &library, turn &turns, std::vector<void *> &list, std::atomic<uint64_t> &allocated, fa_status &status)
{
    Owner owner(library);
    for (;;) {
        if (owner) owner.before_sleep();
        turns.await(true);
        if (owner) owner.after_sleep();
        if (turns.over) break;
        for (size_t i = 0; owner && i < resident_count; i++) {
            void *p = owner.alloc(resident_bytes);
            if (p) stamp(p, i);
            list[i] = p;
            allocated.fetch_add(1, std::memory_order_relaxed);
            if ((i + 1) % objects_per_tick == 0) owner.tick();
        }
        turns.give(false);
    }
    status = owner.leave();
}

template <class Library, class Main, class Owner> void park_owner(benchmark::State &state, int rounds)
{
    for (auto _ : state) {
        uint64_t before = process_bytes();
        Library library(state, 0);
        if (!library) return;
        Main main(library);
        memory_meter meter;
        turn turns;
        turns.owner_runs = false;
        std::vector<void *> theirs(resident_count, nullptr);
        std::vector<void *> ours(resident_count, nullptr);
        std::atomic<uint64_t> owner_allocated{0};
        fa_status owner_status = FA_OK;
        bool sound = true;
        std::thread thread([&] { own<Owner>(library, turns, theirs, owner_allocated, owner_status); });

        uint64_t main_allocated = 0;
        uint64_t freed = 0;
        auto sample = [&] { meter.sample(library, owner_allocated.load() + main_allocated, freed, before); };
        auto drop = [&](void *p) {
            sound = sound && p && stamp_is_whole(p);
            main.free(p);
            freed++;
        };
        for (int round = 0; round < rounds && sound; round++) {
            turns.give(true);
            turns.await(false);
            sound = main.begin();
            // The owner sleeps: its objects go one for one as main makes its own, a tick every 4096.
            for (size_t i = 0; sound && i < resident_count; i++) {
                drop(theirs[i]);
                ours[i] = main.alloc(resident_bytes);
                sound = sound && ours[i];
                if (!sound) break;
                stamp(ours[i], i);
                main_allocated++;
                if ((i + 1) % objects_per_tick == 0) {
                    sample();
                    sound = main.tick();
                }
            }
            sample();
            for (size_t i = 0; sound && i < resident_count; i++) {
                drop(ours[i]);
                if ((i + 1) % objects_per_tick == 0) {
                    sample();
                    sound = sound && main.tick();
                }
            }
            sound = main.end() && sound;
        }
        turns.finish();
        thread.join();
        if (!library.check(owner_status) || !sound)
            state.SkipWithError("an allocation failed or memory was given out twice");
        meter.report(state, 2);
    }
}

constexpr uint64_t replacements = 3000 * bench::ring::batch;
constexpr int park_rounds = 4;

template <class Peer> void add_peer()
{
    using end = peer_end<Peer>;
    const std::string name = Peer::name;
    bench::add("A4/" + name + "/64", run_remote<no_library, end, end>);
}

template <class Peer> void add_peer_memory()
{
    using end = peer_end<Peer>;
    const std::string name = Peer::name;
    auto replace = [](benchmark::State &state) { replace_residents<no_library, end, end>(state, replacements, 2); };
    auto park = [](benchmark::State &state) { park_owner<no_library, end, end>(state, park_rounds); };
    bench::add("A5/" + name + "/lane", replace)->Iterations(1);
    bench::add("A5/" + name + "/parked_owner", park)->Iterations(1);
}

} // namespace

int main(int argc, char **argv)
{
    using bench::library;
    bench::add("A4/framealloc/64", run_remote<library, main_lane, attached_lane>);
    add_peer<peer_none>();
    bench::add("A5/framealloc/lane", [](benchmark::State &state) {
        replace_residents<library, main_lane, attached_lane>(state, replacements, 2);
    })->Iterations(1);
    bench::add("A5/framealloc/free_only", [](benchmark::State &state) {
        replace_residents<library, main_lane, foreign_thread>(state, replacements, 1);
    })->Iterations(1);
    bench::add("A5/framealloc/parked_owner", [](benchmark::State &state) {
        park_owner<library, main_lane, attached_lane>(state, park_rounds);
    })->Iterations(1);
    bench::each_peer([](auto peer) {
        add_peer<decltype(peer)>();
        add_peer_memory<decltype(peer)>();
    });
    return bench::run(argc, argv);
}
