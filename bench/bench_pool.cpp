// SPDX-License-Identifier: MIT
//
// Rows A2 and A12: allocate and free one 64-byte object on the same lane, hot, its first word written. Ours crosses a frame
// boundary inside the timed region every 65 536 pairs. A12: the same under a
// tag with a budget and in a phase, against without them.
#include "bench.hpp"
#include "peers.hpp"

#include <cstddef>

namespace {

constexpr size_t pairs_per_frame = 65536;

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

} // namespace

int main(int argc, char **argv)
{
    bench::add("A2/framealloc/64", run_pool<pool_contender, 64>);
    bench::add("A12/pool/labelled/64", run_pool<labelled_contender, 64>);
    bench::add("A12/pool/plain/64", run_pool<pool_contender, 64>);
    bench::each_peer([](auto peer) {
        using peer_type = decltype(peer);
        bench::add(std::string("A2/") + peer_type::name + "/64", run_pool<peer_contender<peer_type>, 64>);
    });
    return bench::run(argc, argv);
}
