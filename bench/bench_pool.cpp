// SPDX-License-Identifier: MIT
//
// Rows A2, A3 and A12: pool objects that one lane allocates and frees.
//
// A2  allocate and free one 64-byte object, hot, its first word written. Ours crosses a frame boundary inside the timed
//     region every 65 536 pairs.
// A3  10 000 objects of 64 or 256 bytes are allocated, the first word of each is written; then each is read and freed,
//     in the order of allocation or in a random one, the same for all. For ours that is a frame, its boundary included.
//     The sum of what was read is checked every time. The pointers lie in an array, the same for every contender.
// A12 A2 under a tag with a budget and in a phase, against without them.
#include "bench.hpp"
#include "peers.hpp"

#include <cstddef>

namespace {

constexpr size_t pairs_per_frame = 65536;
constexpr size_t burst = 10000;
constexpr int64_t bursts = 300; // in a repetition: the row has many contenders

/// What the timed loop holds: a lane, which users have in a register, or nothing.
struct lane_pool {
    fa_worker *w;
    void *alloc(size_t size) const { return fa_pool_alloc(w, size); }
    void free(void *p) const { fa_pool_free(w, p); }
};

template <class Peer> struct peer_pool {
    void *alloc(size_t size) const { return Peer::alloc(size); }
    void free(void *p) const { Peer::free(p); }
};

class pool_contender {
public:
    explicit pool_contender(benchmark::State &state) : library_(state, 0), main_(library_.main()) {}
    bool begin() { return library_.check(fa_frame_begin(library_.system())); }
    bool end() { return library_.check(fa_frame_end(library_.system(), nullptr)); }
    lane_pool pool() const { return {main_}; }
    explicit operator bool() const { return main_ != nullptr; }

private:
    bench::library library_;
    fa_worker *main_;
};

/// The same under a tag with a budget, in a phase.
class labelled_contender {
public:
    explicit labelled_contender(benchmark::State &state) : library_(state, 0), main_(library_.main()) {}
    bool begin()
    {
        return library_.check(fa_frame_begin(library_.system())) && labels_.begin(library_.system(), main_);
    }
    bool end() { return labels_.end() && library_.check(fa_frame_end(library_.system(), nullptr)); }
    lane_pool pool() const { return {main_}; }
    explicit operator bool() const { return main_ != nullptr; }

private:
    bench::library library_;
    fa_worker *main_;
    bench::labels labels_;
};

template <class Peer> class peer_contender {
public:
    explicit peer_contender(benchmark::State &) {}
    bool begin() { return true; }
    bool end() { return true; }
    peer_pool<Peer> pool() const { return {}; }
    explicit operator bool() const { return true; }
};

template <class Contender> bool memory_is_sound(Contender &contender, size_t size)
{
    std::vector<void *> kept;
    if (!contender.begin()) return false;
    bool sound = bench::memory_is_sound(
        10000, size, [&](size_t bytes) { return contender.pool().alloc(bytes); }, kept);
    for (void *p : kept) contender.pool().free(p);
    return contender.end() && sound;
}

/// One function with labels and without, so that none of the two lies better.
template <class Pool, size_t Size> [[gnu::noinline]] bool run_pairs(Pool pool)
{
    for (size_t i = 0; i < pairs_per_frame; i++) {
        void *p = pool.alloc(Size);
        if (FA_UNLIKELY(!p)) return false;
        *static_cast<uint64_t *>(p) = i;
        bench::escape(p);
        pool.free(p);
    }
    return true;
}

template <class Contender, size_t Size> bool run_frame(Contender &contender)
{
    return contender.begin() && run_pairs<decltype(contender.pool()), Size>(contender.pool()) && contender.end();
}

template <class Contender, size_t Size> void run_pool(benchmark::State &state)
{
    Contender contender(state);
    if (!contender) return;
    bool sound = memory_is_sound(contender, Size);
    if (!sound) state.SkipWithError("memory is not sound before the run");
    for (auto _ : state) {
        if (FA_UNLIKELY(!(run_frame<Contender, Size>(contender)))) {
            sound = false;
            state.SkipWithError("an allocation failed");
            break;
        }
    }
    if (sound && !memory_is_sound(contender, Size)) state.SkipWithError("memory is not sound after the run");
    state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(pairs_per_frame));
}

/// Where the objects of a burst are kept, and in which order they are freed.
struct burst_plan {
    std::vector<void *> objects = std::vector<void *>(burst);
    std::vector<uint64_t> order;
};

template <class Pool, size_t Size> [[gnu::noinline]] bool allocate_burst(Pool pool, void **objects)
{
    for (size_t i = 0; i < burst; i++) {
        void *p = pool.alloc(Size);
        if (FA_UNLIKELY(!p)) return false;
        *static_cast<uint64_t *>(p) = i;
        objects[i] = p;
    }
    return true;
}

template <class Pool> uint64_t read_and_free(Pool pool, void *p)
{
    uint64_t value = *static_cast<uint64_t *>(p);
    bench::escape(p);
    pool.free(p);
    return value;
}

/// The sum of what the objects held.
template <class Pool> [[gnu::noinline]] uint64_t free_in_order(Pool pool, void **objects)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < burst; i++) sum += read_and_free(pool, objects[i]);
    return sum;
}

template <class Pool> [[gnu::noinline]] uint64_t free_at_random(Pool pool, void **objects, const uint64_t *order)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < burst; i++) sum += read_and_free(pool, objects[order[i]]);
    return sum;
}

template <class Contender, size_t Size> bool run_burst(Contender &contender, burst_plan &plan)
{
    if (!contender.begin()) return false;
    auto pool = contender.pool();
    if (!allocate_burst<decltype(pool), Size>(pool, plan.objects.data())) return false;
    uint64_t sum = plan.order.empty() ? free_in_order(pool, plan.objects.data())
                                      : free_at_random(pool, plan.objects.data(), plan.order.data());
    return contender.end() && sum == uint64_t{burst} * (burst - 1) / 2;
}

template <class Contender, size_t Size> void run_bursts(benchmark::State &state, bool at_random)
{
    Contender contender(state);
    if (!contender) return;
    burst_plan plan;
    if (at_random) plan.order = bench::random_cycle(burst);
    bool sound = memory_is_sound(contender, Size);
    if (!sound) state.SkipWithError("memory is not sound before the run");
    for (auto _ : state) {
        if (FA_UNLIKELY(!(run_burst<Contender, Size>(contender, plan)))) {
            sound = false;
            state.SkipWithError("an allocation failed, or an object was overwritten");
            break;
        }
    }
    if (sound && !memory_is_sound(contender, Size)) state.SkipWithError("memory is not sound after the run");
    state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(burst));
}

template <class Contender, size_t Size> void add_bursts(const std::string &contender)
{
    const std::string name = "A3/" + contender + "/" + std::to_string(Size);
    bench::add(name, [](benchmark::State &state) { run_bursts<Contender, Size>(state, false); })->Iterations(bursts);
    bench::add(name + "/random", [](benchmark::State &state) {
        run_bursts<Contender, Size>(state, true);
    })->Iterations(bursts);
}

template <class Contender> void add_burst_sizes(const std::string &contender)
{
    add_bursts<Contender, 64>(contender);
    add_bursts<Contender, 256>(contender);
}

} // namespace

int main(int argc, char **argv)
{
    bench::add("A2/framealloc/64", run_pool<pool_contender, 64>);
    add_burst_sizes<pool_contender>("framealloc");
    bench::add("A12/pool/labelled/64", run_pool<labelled_contender, 64>);
    bench::add("A12/pool/plain/64", run_pool<pool_contender, 64>);
    bench::each_peer([](auto peer) {
        using peer_type = decltype(peer);
        bench::add(std::string("A2/") + peer_type::name + "/64", run_pool<peer_contender<peer_type>, 64>);
        add_burst_sizes<peer_contender<peer_type>>(peer_type::name);
    });
    return bench::run(argc, argv);
}
