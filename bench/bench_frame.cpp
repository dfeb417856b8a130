// SPDX-License-Identifier: MIT
//
// Rows A1, A6 and A12: frame memory.
//
// A1  65 536 allocations of one size a frame, the first byte of each written, frame begin and end included; against a
//     bump arena in this file with the same blocks, the same rounding and the same cadence of resets.
// A12 the same with a tag, its budget and a phase, against without them.
// A6  the time of fa_frame_end() alone, after 10^2 to 10^6 allocations of 64 bytes that nobody retained. In the
//     "touched" series every object was written, so that up to 64 MB went through the caches before; in the
//     "untouched" series none was: what differs between the two is cache misses, what grows in both is work.
#include "bench.hpp"

#include <sys/mman.h>

#include <memory>

namespace {

constexpr size_t block_bytes = size_t{2} << 20;
constexpr size_t allocations_per_frame = 65536;

/// The least that an arena can be: a cursor, an end, blocks that survive a reset.
class bump {
public:
    ~bump()
    {
        for (unsigned char *block : blocks_) munmap(block, block_bytes);
    }

    void *alloc(size_t size)
    {
        unsigned char *p = cursor_;
        if (FA_UNLIKELY(size > static_cast<size_t>(end_ - p))) return refill(size);
        cursor_ = p + ((size + 15) & ~size_t{15});
        return p;
    }

    void reset()
    {
        used_ = 0;
        cursor_ = end_ = nullptr;
    }

private:
    __attribute__((noinline)) void *refill(size_t size)
    {
        if (size > block_bytes) return nullptr;
        if (used_ == blocks_.size()) {
            unsigned char *block = map_block();
            if (!block) return nullptr;
            blocks_.push_back(block);
        }
        cursor_ = blocks_[used_++];
        end_ = cursor_ + block_bytes;
        return alloc(size);
    }

    /// A block aligned to its size and asked for as a huge page, as the library's are.
    static unsigned char *map_block()
    {
        void *range = mmap(nullptr, 2 * block_bytes, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (range == MAP_FAILED) return nullptr;
        auto *base = static_cast<unsigned char *>(range);
        size_t before = (block_bytes - reinterpret_cast<uintptr_t>(base) % block_bytes) % block_bytes;
        if (before != 0) munmap(base, before);
        munmap(base + before + block_bytes, block_bytes - before);
        madvise(base + before, block_bytes, MADV_HUGEPAGE);
        return base + before;
    }

    unsigned char *cursor_ = nullptr;
    unsigned char *end_ = nullptr;
    size_t used_ = 0;
    std::vector<unsigned char *> blocks_;
};

/// What the timed loop holds: a pointer to state that lives in memory.
struct bump_source {
    bump *arena;
    void *alloc(size_t size) const { return arena->alloc(size); }
};

struct lane_source {
    fa_worker *w;
    void *alloc(size_t size) const { return fa_frame_alloc(w, size); }
};

/// The contenders through one face.
class bump_arena {
public:
    explicit bump_arena(benchmark::State &) : arena_(std::make_unique<bump>()) { bench::escape(arena_.get()); }
    bool begin() { return true; }
    bump_source source() const { return {arena_.get()}; }
    bool end()
    {
        arena_->reset();
        return true;
    }
    explicit operator bool() const { return true; }

private:
    std::unique_ptr<bump> arena_;
};

class frame_arena {
public:
    explicit frame_arena(benchmark::State &state) : library_(state, 0), main_(library_.main()) {}
    bool begin() { return library_.check(fa_frame_begin(library_.system())); }
    lane_source source() const { return {main_}; }
    bool end() { return library_.check(fa_frame_end(library_.system(), nullptr)); }
    explicit operator bool() const { return main_ != nullptr; }

private:
    bench::library library_;
    fa_worker *main_;
};

/// The same under a tag with a budget, in a phase.
class labelled_arena {
public:
    explicit labelled_arena(benchmark::State &state) : library_(state, 0), main_(library_.main()) {}
    bool begin()
    {
        return library_.check(fa_frame_begin(library_.system())) && labels_.begin(library_.system(), main_);
    }
    lane_source source() const { return {main_}; }
    bool end() { return labels_.end() && library_.check(fa_frame_end(library_.system(), nullptr)); }
    explicit operator bool() const { return main_ != nullptr; }

private:
    bench::library library_;
    fa_worker *main_;
    bench::labels labels_;
};

/// One function for a frame with labels and without: a copy of its own could lie better or worse by up to 24 %.
template <class Source, size_t Size> [[gnu::noinline]] bool allocate_all(Source source)
{
    for (size_t i = 0; i < allocations_per_frame; i++) {
        auto *p = static_cast<unsigned char *>(source.alloc(Size));
        if (FA_UNLIKELY(!p)) return false;
        *p = static_cast<unsigned char>(i);
        bench::escape(p);
    }
    return true;
}

template <class Arena, size_t Size> bool allocate_frame(Arena &arena)
{
    return arena.begin() && allocate_all<decltype(arena.source()), Size>(arena.source()) && arena.end();
}

/// One frame before and one after the timed ones is filled and read back; the first also brings the memory in.
template <class Arena> bool frame_is_sound(Arena &arena, size_t size)
{
    std::vector<void *> kept;
    if (!arena.begin()) return false;
    bool sound = bench::memory_is_sound(
        allocations_per_frame, size, [&](size_t bytes) { return arena.source().alloc(bytes); }, kept);
    return arena.end() && sound;
}

template <class Arena, size_t Size> void run_arena(benchmark::State &state)
{
    Arena arena(state);
    if (!arena) return;
    bool sound = frame_is_sound(arena, Size);
    if (!sound) state.SkipWithError("memory is not sound before the run");
    for (auto _ : state) {
        if (FA_UNLIKELY(!(allocate_frame<Arena, Size>(arena)))) {
            sound = false;
            state.SkipWithError("an allocation failed");
            break;
        }
    }
    if (sound && !frame_is_sound(arena, Size)) state.SkipWithError("memory is not sound after the run");
    state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(allocations_per_frame));
}

template <size_t Size> void add_size()
{
    const std::string size = std::to_string(Size);
    bench::add("A1/framealloc/" + size, run_arena<frame_arena, Size>);
    bench::add("A1/bump/" + size, run_arena<bump_arena, Size>);
    bench::add("A12/frame/labelled/" + size, run_arena<labelled_arena, Size>);
    bench::add("A12/frame/plain/" + size, run_arena<frame_arena, Size>);
}

/// Allocates `count` objects; returns the end of the frame in nanoseconds, or 0 after an error.
uint64_t time_frame_end(bench::library &library, uint64_t count, bool touch)
{
    fa_worker *main = library.main();
    if (!library.check(fa_frame_begin(library.system()))) return 0;
    for (uint64_t i = 0; i < count; i++) {
        auto *p = static_cast<unsigned char *>(fa_frame_alloc(main, 64));
        if (FA_UNLIKELY(!p)) {
            library.check(FA_ERROR_MEMORY);
            return 0;
        }
        if (touch) *p = static_cast<unsigned char>(i);
        bench::escape(p);
    }
    (void)bench::now_ns(); // the clock's own lines are not the frame end's to wait for
    uint64_t begin = bench::now_ns();
    fa_status status = fa_frame_end(library.system(), nullptr);
    uint64_t end = bench::now_ns();
    return library.check(status) ? end - begin : 0;
}

void run_frame_end(benchmark::State &state, uint32_t workers, uint64_t count, bool touch)
{
    bench::library library(state, workers);
    if (!library) return;
    // Each boundary provides the pages of one block more, until all that the frame takes have theirs: 31 blocks of 10^6 objects.
    for (int warm = 0; warm < 64; warm++)
        if (time_frame_end(library, count, true) == 0) return;
    std::vector<uint32_t> samples;
    samples.reserve(static_cast<size_t>(state.max_iterations));
    for (auto _ : state) {
        uint64_t elapsed = time_frame_end(library, count, touch);
        if (elapsed == 0) break;
        samples.push_back(static_cast<uint32_t>(std::min<uint64_t>(elapsed, UINT32_MAX)));
        state.SetIterationTime(static_cast<double>(elapsed) * 1e-9);
    }
    bench::report_latency(state, samples);
}

/// The least that a frame end with workers can do: one full fence, after the same writes. It waits until they have
/// left the store buffer, which is the writer's cost, whoever pays it.
void run_fence(benchmark::State &state, uint64_t count)
{
    bump arena;
    std::vector<uint32_t> samples;
    samples.reserve(static_cast<size_t>(state.max_iterations));
    for (auto _ : state) {
        for (uint64_t i = 0; i < count; i++) {
            auto *p = static_cast<unsigned char *>(arena.alloc(64));
            if (FA_UNLIKELY(!p)) std::abort();
            *p = static_cast<unsigned char>(i);
            bench::escape(p);
        }
        (void)bench::now_ns();
        uint64_t begin = bench::now_ns();
        std::atomic_thread_fence(std::memory_order_seq_cst);
        uint64_t elapsed = bench::now_ns() - begin;
        arena.reset();
        samples.push_back(static_cast<uint32_t>(std::min<uint64_t>(elapsed, UINT32_MAX)));
        state.SetIterationTime(static_cast<double>(elapsed) * 1e-9);
    }
    bench::report_latency(state, samples);
}

/// What the two readings of the clock cost that enclose every sample of A6.
void run_clock(benchmark::State &state)
{
    std::vector<uint32_t> samples;
    samples.reserve(static_cast<size_t>(state.max_iterations));
    for (auto _ : state) {
        uint64_t begin = bench::now_ns();
        uint64_t end = bench::now_ns();
        samples.push_back(static_cast<uint32_t>(end - begin));
        state.SetIterationTime(static_cast<double>(end - begin) * 1e-9);
    }
    bench::report_latency(state, samples);
}

void add_frame_end()
{
    for (uint64_t count = 100; count <= 1000000; count *= 10) {
        // Some 2 * 10^7 allocations a repetition, at least 100 samples.
        auto samples = static_cast<int64_t>(std::min<uint64_t>(std::max<uint64_t>(20000000 / count, 100), 5000));
        const std::string size = "/" + std::to_string(count);
        auto add = [&](const std::string &name, uint32_t workers, bool touch) {
            bench::add_timed(name + size, [=](benchmark::State &state) {
                run_frame_end(state, workers, count, touch);
            })->Iterations(samples);
        };
        add("A6/framealloc/workers:0/touched", 0, true);
        add("A6/framealloc/workers:0/untouched", 0, false);
        add("A6/framealloc/workers:1/touched", 1, true);
        add("A6/framealloc/workers:1/untouched", 1, false);
        bench::add_timed("A6/fence" + size, [=](benchmark::State &state) {
            run_fence(state, count);
        })->Iterations(samples);
    }
    bench::add_timed("A6/clock", run_clock)->Iterations(5000);
}

} // namespace

int main(int argc, char **argv)
{
    add_size<16>();
    add_size<64>();
    add_size<256>();
    add_frame_end();
    return bench::run(argc, argv);
}
