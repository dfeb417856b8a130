// SPDX-License-Identifier: MIT
//
// Row A11: resolving a handle, against a plain dependent load, and whether a compaction keeps its budgets.
//
// Resolve. Both contenders walk the same objects in the same order: each object names the next one's handle, so that every load
// waits for the one before. What differs is only that one resolves the handle and the other takes the pointer out of an array. The cycle is
// shuffled (Sattolo), which defeats prefetching; 64 objects stay in the first cache, 65 536 do not.
//
// Compaction. Seven of eight objects are freed, then the rest is compacted under one budget a tick, until nothing is left to do.
// `of_budget` is the most that any call used of its budget; the time is that of a call.
#include "bench.hpp"

#include <memory>
#include <numeric>

namespace {

constexpr uint64_t reads_per_iteration = 65536;

struct node {
    fa_handle next;
    uint64_t next_index; // of the next pointer
    uint64_t value;      // goes into the checksum
    uint64_t fill[5];
};
static_assert(sizeof(node) == 64, "one cache line");

/// `count` nodes in a cycle. Both contenders read the same nodes, so that where they came to lie in memory favours neither.
class nodes {
public:
    nodes(benchmark::State &state, uint64_t count) : library(state, 0), handles(count), plain(count)
    {
        sound = library && make();
    }

    ~nodes()
    {
        library.serve(nullptr);
        if (!sound) return;
        for (fa_handle handle : handles) library.check(fa_handle_free(library.main(), handle));
    }

    bench::library library;
    std::vector<fa_handle> handles;
    std::vector<const void *> plain; // the same objects
    bool sound;

private:
    bool make()
    {
        const std::vector<uint64_t> next = bench::random_cycle(handles.size());
        for (fa_handle &handle : handles) {
            handle = fa_handle_new(library.main(), node, nullptr);
            if (fa_handle_is_none(handle)) return false;
        }
        for (uint64_t i = 0; i < handles.size(); i++) {
            node *made = fa_handle_get(library.main(), node, handles[i]);
            *made = node{handles[next[i]], next[i], i, {}};
            plain[i] = made;
        }
        return true;
    }
};

enum class by { handle, plain };

uint64_t walk_handles(const fa_worker *w, uint64_t reads, fa_handle &at)
{
    uint64_t sum = 0;
    for (uint64_t i = 0; i < reads; i++) {
        const node *current = fa_handle_get(w, node, at);
        sum += current->value;
        at = current->next;
    }
    return sum;
}

uint64_t walk_plain(const void *const *base, uint64_t reads, uint64_t &at)
{
    uint64_t sum = 0;
    for (uint64_t i = 0; i < reads; i++) {
        auto *current = static_cast<const node *>(base[at]);
        sum += current->value;
        at = current->next_index;
    }
    return sum;
}

void run_reads(benchmark::State &state, std::unique_ptr<nodes> &made, uint64_t count, by contender)
{
    if (!made) made = std::make_unique<nodes>(state, count);
    made->library.serve(&state);
    if (!made->sound) {
        state.SkipWithError("the objects were not made");
        return;
    }
    // A number of reads that is a whole number of cycles: every iteration has the same checksum.
    const uint64_t cycles = std::max<uint64_t>(reads_per_iteration / count, 1);
    const uint64_t expected = cycles * (count * (count - 1) / 2);
    const fa_worker *w = made->library.main();
    const void *const *base = made->plain.data();
    fa_handle by_handle = made->handles[0];
    uint64_t by_load = 0;
    bool sound = walk_handles(w, count, by_handle) == walk_plain(base, count, by_load); // both sides warm
    for (auto _ : state) {
        uint64_t sum = contender == by::handle ? walk_handles(w, cycles * count, by_handle)
                                               : walk_plain(base, cycles * count, by_load);
        sound = sound && sum == expected && by_load == 0 && fa_handle_equal(by_handle, made->handles[0]);
    }
    if (!sound) state.SkipWithError("wrong checksum");
    state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(cycles * count));
}

constexpr uint32_t crowd = 65536, moves_max = 256;
constexpr size_t bytes_max = moves_max * sizeof(node);

/// Passes frames until what was freed has come home.
bool settle(bench::library &library)
{
    for (int i = 0; i < 10000; i++) {
        if (!library.check(fa_frame_begin(library.system())) || !library.check(fa_frame_end(library.system(), nullptr)))
            return false;
        fa_stats stats;
        if (!library.check(fa_stats_read(library.system(), &stats))) return false;
        if (i > 2 && stats.backlog == 0) return true;
        const timespec pause = {0, 1000000};
        nanosleep(&pause, nullptr);
    }
    return false;
}

/// A table of which every eighth object is left.
bool make_sparse(bench::library &library, std::vector<fa_handle> &kept)
{
    kept.clear();
    std::vector<fa_handle> all(crowd);
    for (fa_handle &handle : all) {
        handle = fa_handle_new(library.main(), node, nullptr);
        if (fa_handle_is_none(handle)) return false;
    }
    for (uint32_t i = 0; i < crowd; i++) {
        if (i % 8 == 0)
            kept.push_back(all[i]);
        else if (!library.check(fa_handle_free(library.main(), all[i])))
            return false;
    }
    return settle(library);
}

uint64_t blocks_of(bench::library &library)
{
    fa_handle_stats stats = {};
    library.check(fa_handle_stats_read(library.system(), &stats));
    return stats.blocks;
}

void run_compaction(benchmark::State &state)
{
    bench::library library(state, 0);
    std::vector<fa_handle> kept;
    double used = 0;
    uint64_t before = 0, after = 0;
    fa_handle_compaction result = {};
    for (auto _ : state) {
        if (!result.more) {
            state.PauseTiming();
            for (fa_handle handle : kept) library.check(fa_handle_free(library.main(), handle));
            if (!settle(library) || !make_sparse(library, kept)) state.SkipWithError("no sparse table");
            before = blocks_of(library);
            state.ResumeTiming();
        }
        library.check(fa_handles_compact(library.system(), bytes_max, moves_max, &result));
        used = std::max({used, static_cast<double>(result.moves) / moves_max,
                         static_cast<double>(result.bytes) / static_cast<double>(bytes_max)});
        state.PauseTiming();
        if (!result.more && settle(library)) after = blocks_of(library);
        state.ResumeTiming();
    }
    if (after != 0 && after > before / 4) state.SkipWithError("blocks were not emptied");
    state.counters["of_budget"] = used;
    state.counters["blocks_before"] = static_cast<double>(before);
    state.counters["blocks_after"] = static_cast<double>(after);
    for (fa_handle handle : kept) library.check(fa_handle_free(library.main(), handle));
}

} // namespace

int main(int argc, char **argv)
{
    std::unique_ptr<nodes> few;
    std::unique_ptr<nodes> many;
    auto add = [](const char *name, std::unique_ptr<nodes> &made, uint64_t count, by contender) {
        bench::add(std::string("A11/") + name + "/" + std::to_string(count),
                   [&made, count, contender](benchmark::State &state) { run_reads(state, made, count, contender); });
    };
    add("framealloc", few, 64, by::handle);
    add("plain", few, 64, by::plain);
    add("framealloc", many, 65536, by::handle);
    add("plain", many, 65536, by::plain);
    bench::add("A11/framealloc/compact", run_compaction)->Iterations(100);
    return bench::run(argc, argv);
}
