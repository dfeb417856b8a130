// SPDX-License-Identifier: MIT
//
// Row A8: reading a promoted object through its cell, against a plain dependent load. Both contenders walk the same
// objects in the same order: each object names the next cell, so that every load waits for the one before. What
// differs is only that one loads with fa_cell_read() from the cells and the other from an array of pointers. The
// cycle is shuffled (Sattolo), which defeats prefetching; 64 objects stay in the first cache, 65 536 do not.
#include "bench.hpp"

#include <memory>
#include <numeric>

namespace {

constexpr uint64_t reads_per_iteration = 65536;

struct node {
    uint64_t next;  // index of the next cell
    uint64_t value; // goes into the checksum
    uint64_t fill[6];
};
static_assert(sizeof(node) == 64, "one cache line");

/// `count` nodes, retained in one frame and promoted into cells at its end. Both contenders read the same nodes, so
/// that where they came to lie in memory favours neither.
class promoted {
public:
    promoted(benchmark::State &state, uint64_t count) : library(state, 0), cells(count, fa_cell{nullptr}), plain(count)
    {
        sound = library && promote() && begin();
        for (size_t i = 0; sound && i < count; i++) plain[i] = fa_cell_read(library.main(), &cells[i]);
        sound = sound && end();
    }

    ~promoted()
    {
        library.serve(nullptr);
        if (!sound) return;
        begin();
        for (fa_cell &cell : cells) library.check(fa_cell_drop(library.main(), &cell));
        end();
    }

    /// Cells are read inside a frame.
    bool begin() { return library.check(fa_frame_begin(library.system())); }
    bool end() { return library.check(fa_frame_end(library.system(), nullptr)); }

    bench::library library;
    std::vector<fa_cell> cells;
    std::vector<const void *> plain; // the same pointers
    bool sound;

private:
    bool promote()
    {
        const std::vector<uint64_t> next = bench::random_cycle(cells.size());
        if (!library.check(fa_frame_begin(library.system()))) return false;
        for (uint64_t i = 0; i < cells.size(); i++) {
            fa_retain retain = fa_retain_for(FA_REUSABLE);
            retain.cell = &cells[i];
            retain.user = i;
            auto *made = static_cast<node *>(fa_frame_retained(library.main(), sizeof(node), alignof(node), &retain));
            if (!made) return false;
            made->next = next[i];
            made->value = i;
        }
        fa_frame_result result = {};
        return library.check(fa_frame_end(library.system(), &result)) && result.to_pool == cells.size();
    }
};

/// Follows the cycle for `reads` steps from cell `at`; returns the sum of the values and leaves `at` at the next
/// cell.
template <class Read> uint64_t walk(uint64_t reads, uint64_t &at, Read read)
{
    uint64_t sum = 0;
    for (uint64_t i = 0; i < reads; i++) {
        const node *current = read(at);
        sum += current->value;
        at = current->next;
    }
    return sum;
}

enum class by { cell, plain };

void run_reads(benchmark::State &state, std::unique_ptr<promoted> &nodes, uint64_t count, by contender)
{
    if (!nodes) nodes = std::make_unique<promoted>(state, count);
    nodes->library.serve(&state);
    if (!nodes->sound) {
        state.SkipWithError("the objects were not promoted");
        return;
    }
    // By value: the base addresses stay in registers on both sides.
    auto by_cell = [main = nodes->library.main(), base = nodes->cells.data()](uint64_t i) {
        return static_cast<const node *>(fa_cell_read(main, &base[i]));
    };
    auto by_load = [base = nodes->plain.data()](uint64_t i) { return static_cast<const node *>(base[i]); };

    // A number of reads that is a whole number of cycles: every iteration has the same checksum.
    const uint64_t cycles = std::max<uint64_t>(reads_per_iteration / count, 1);
    const uint64_t expected = cycles * (count * (count - 1) / 2);
    uint64_t at = 0;
    bool sound = nodes->begin() && walk(count, at, by_cell) == walk(count, at, by_load); // both sides warm
    for (auto _ : state) {
        uint64_t sum = contender == by::cell ? walk(cycles * count, at, by_cell) : walk(cycles * count, at, by_load);
        sound = sound && sum == expected && at == 0;
    }
    if (!nodes->end() || !sound) state.SkipWithError("wrong checksum");
    state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(cycles * count));
}

} // namespace

int main(int argc, char **argv)
{
    std::unique_ptr<promoted> few;
    std::unique_ptr<promoted> many;
    auto add = [](const char *name, std::unique_ptr<promoted> &nodes, uint64_t count, by contender) {
        bench::add(std::string("A8/") + name + "/" + std::to_string(count),
                   [&nodes, count, contender](benchmark::State &state) { run_reads(state, nodes, count, contender); });
    };
    add("framealloc", few, 64, by::cell);
    add("plain", few, 64, by::plain);
    add("framealloc", many, 65536, by::cell);
    add("plain", many, 65536, by::plain);
    return bench::run(argc, argv);
}
