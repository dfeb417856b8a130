// SPDX-License-Identifier: MIT
//
// Row A7: what the end of a frame costs for each object that it promotes.
//
// Objects  `count` objects of one size are retained and written; fa_frame_end() alone is timed, with its result, and divided by their
//          number, so that what a frame end costs anyhow is in it. They go to the pool, to the heap, or to the pool and a cell each, which
//          holds the version of the frame before: that one is retired, and freed outside the timed region. Every promoted object is looked
//          at, then freed.
// memcpy   the same frames and objects, copied by a loop of memcpy() into pool objects that are there already: 40 ns are added to the time
//          of one, which makes it the bar.
// Moved    objects above 512 KiB have blocks of their own and are handed over without a copy: whether that takes longer for larger ones.
//          Before every frame end the same number of bytes is written, whatever the size, so that the caches are left alike.
#include "bench.hpp"

#include <functional>

namespace {

constexpr double allowance_ns = 40;

enum class to { pool, heap, cell };

/// What an object holds at its first and last word.
uint64_t mark_of(uint64_t round, uint64_t i) { return (round + 1) * 0x9e3779b97f4a7c15u ^ i; }

void mark(void *object, size_t size, uint64_t value)
{
    std::memcpy(object, &value, sizeof value);
    std::memcpy(static_cast<char *>(object) + size - sizeof value, &value, sizeof value);
}

bool is_marked(const void *object, size_t size, uint64_t value)
{
    return std::memcmp(object, &value, sizeof value) == 0 &&
           std::memcmp(static_cast<const char *>(object) + size - sizeof value, &value, sizeof value) == 0;
}

/// Passes frames until all that was retired has come home.
bool settle(bench::library &library)
{
    for (int i = 0; i < 10000; i++) {
        if (!library.check(fa_frame_begin(library.system())) || !library.check(fa_frame_end(library.system(), nullptr)))
            return false;
        if (library.stats().backlog == 0) return true;
        const timespec pause = {0, 1000000};
        nanosleep(&pause, nullptr);
    }
    return false;
}

/// Frames that promote `count` objects of `size` bytes.
class promotions {
public:
    /// `ahead`: bytes of memory that are there from the beginning.
    promotions(benchmark::State &state, to where, uint64_t count, size_t size, uint64_t ahead = 0)
        : library_(state, 0, [=](fa_config &config) { config.prefault_bytes = ahead; }), where_(where), count_(count),
          size_(size), cells_(where == to::cell ? count : 0)
    {
    }
    ~promotions()
    {
        for (fa_cell &cell : cells_) library_.check(fa_cell_drop(library_.main(), &cell));
    }
    explicit operator bool() const { return static_cast<bool>(library_); }

    /// The time of the end of a frame, 0 after an error.
    uint64_t frame()
    {
        round_++;
        if (!library_.check(fa_frame_begin(library_.system())) || !retain()) return 0;
        before_end_();
        fa_frame_result result = {};
        (void)bench::now_ns();
        uint64_t begin = bench::now_ns();
        fa_status status = fa_frame_end(library_.system(), &result);
        uint64_t elapsed = bench::now_ns() - begin;
        return library_.check(status) && take(result) ? elapsed : 0;
    }

    /// Calls this before every end of a frame.
    void before_end(std::function<void()> call) { before_end_ = std::move(call); }

    /// Objects of the last frame that were not copied.
    uint32_t moved() const { return moved_; }

private:
    bool retain()
    {
        fa_retain retain = fa_retain_for(where_ == to::heap ? FA_PERSISTENT : FA_REUSABLE);
        for (uint64_t i = 0; i < count_; i++) {
            retain.user = i;
            if (where_ == to::cell) retain.cell = &cells_[i];
            void *p = fa_frame_retained(library_.main(), size_, 16, &retain);
            if (!p) return false;
            mark(p, size_, mark_of(round_, i));
        }
        return true;
    }

    /// Looks at the promoted objects, and frees those that are not a cell's.
    bool take(const fa_frame_result &result)
    {
        if (result.count != count_ || result.by_status[FA_PROMOTED] != count_) return false;
        moved_ = result.moved;
        for (uint64_t i = 0; i < count_; i++) {
            const fa_promotion &item = result.items[i];
            if (item.user != i || !is_marked(item.to, size_, mark_of(round_, i))) return false;
            if (where_ == to::pool) fa_pool_free(library_.main(), item.to);
            if (where_ == to::heap) fa_heap_free(library_.main(), item.to);
        }
        return where_ != to::cell || settle(library_);
    }

    bench::library library_;
    const to where_;
    const uint64_t count_;
    const size_t size_;
    std::vector<fa_cell> cells_;
    uint64_t round_ = 0;
    uint32_t moved_ = 0;
    std::function<void()> before_end_ = [] {};
};

/// The same frames, with a loop of memcpy() before their end.
class copies {
public:
    copies(benchmark::State &state, uint64_t count, size_t size)
        : library_(state, 0), size_(size), from_(count), to_(count)
    {
        for (void *&object : to_) object = library_ ? fa_pool_alloc(library_.main(), size) : nullptr;
    }
    ~copies()
    {
        for (void *object : to_) fa_pool_free(library_.main(), object);
    }
    explicit operator bool() const { return static_cast<bool>(library_); }

    uint64_t frame()
    {
        round_++;
        if (!library_.check(fa_frame_begin(library_.system())) || !make()) return 0;
        (void)bench::now_ns();
        uint64_t begin = bench::now_ns();
        for (size_t i = 0; i < from_.size(); i++) std::memcpy(to_[i], from_[i], size_);
        bench::escape(to_.data());
        uint64_t elapsed = bench::now_ns() - begin;
        for (size_t i = 0; i < to_.size(); i++)
            if (!is_marked(to_[i], size_, mark_of(round_, i))) return 0;
        return library_.check(fa_frame_end(library_.system(), nullptr)) ? elapsed : 0;
    }

private:
    bool make()
    {
        for (size_t i = 0; i < from_.size(); i++) {
            from_[i] = fa_frame_alloc(library_.main(), size_);
            if (!from_[i] || !to_[i]) return false;
            std::memset(from_[i], 0, size_); // as retained memory is
            mark(from_[i], size_, mark_of(round_, i));
        }
        return true;
    }

    bench::library library_;
    const size_t size_;
    std::vector<void *> from_, to_;
    uint64_t round_ = 0;
};

/// Frames, timed; `object_ns` is the median of a frame divided by its objects, and what is added to that.
template <class Frames> void run_frames(benchmark::State &state, Frames &frames, uint64_t count, double more_ns)
{
    if (!frames) return;
    bool sound = true;
    for (int warm = 0; warm < 4 && sound; warm++) sound = frames.frame() != 0;
    std::vector<uint32_t> samples;
    samples.reserve(static_cast<size_t>(state.max_iterations));
    for (auto _ : state) {
        uint64_t elapsed = sound ? frames.frame() : 0;
        sound = elapsed != 0;
        if (!sound) {
            state.SkipWithError("an object was not promoted as it was");
            break;
        }
        samples.push_back(static_cast<uint32_t>(std::min<uint64_t>(elapsed, UINT32_MAX)));
        state.SetIterationTime(static_cast<double>(elapsed) * 1e-9);
    }
    state.counters["object_ns"] = bench::percentile(samples, 50) / static_cast<double>(count) + more_ns;
    state.counters["fast_ns"] = bench::faster_mean(samples);
}

void add_objects(size_t size, uint64_t count, int64_t frames)
{
    const std::string what = "/" + std::to_string(size) + "/" + std::to_string(count);
    auto add = [&](const char *name, to where, int64_t iterations) {
        bench::add_timed(std::string("A7/framealloc/") + name + what, [=](benchmark::State &state) {
            promotions made(state, where, count, size);
            run_frames(state, made, count, 0);
        })->Iterations(iterations);
    };
    add("pool", to::pool, frames);
    add("heap", to::heap, frames);
    add("cell", to::cell, std::min<int64_t>(frames, 10)); // each waits for a grace period
    bench::add_timed("A7/memcpy+40ns" + what, [=](benchmark::State &state) {
        copies made(state, count, size);
        run_frames(state, made, count, allowance_ns);
    })->Iterations(frames);
}

constexpr size_t mib = size_t{1} << 20;
constexpr uint64_t moved_count = 4;

/// The same with cold caches, whatever the size of the objects: more is read before every end of a frame than the caches hold.
class moves {
public:
    moves(benchmark::State &state, size_t size)
        : made_(state, to::heap, moved_count, size, 64 * mib), other_(48 * mib / sizeof(uint64_t), 1)
    {
        made_.before_end([this] {
            uint64_t sum = 0;
            for (size_t i = 0; i < other_.size(); i += 64 / sizeof(uint64_t)) sum += other_[i];
            benchmark::DoNotOptimize(sum);
        });
    }
    explicit operator bool() const { return static_cast<bool>(made_); }
    uint64_t frame()
    {
        uint64_t elapsed = made_.frame();
        return made_.moved() == moved_count ? elapsed : 0;
    }

private:
    promotions made_;
    std::vector<uint64_t> other_;
};

void add_moved(size_t size)
{
    bench::add_timed("A7/framealloc/moved/" + std::to_string(size / mib), [=](benchmark::State &state) {
        moves frames(state, size);
        run_frames(state, frames, moved_count, 0);
    })->Iterations(16);
}

} // namespace

int main(int argc, char **argv)
{
    add_objects(64, 10, 200);
    add_objects(64, 1000, 100);
    add_objects(64, 10000, 20);
    add_objects(1024, 1000, 50);
    add_objects(16384, 100, 60);
    add_moved(1 * mib);
    add_moved(3 * mib);
    add_moved(8 * mib);
    return bench::run(argc, argv);
}
