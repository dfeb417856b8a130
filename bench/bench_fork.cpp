// SPDX-License-Identifier: MIT
//
// Rows J2 and J3: fork and join in recursions, on two threads: the caller and one worker, for every contender
// (fork.hpp). The recursions are templates over the lane they run on, so that all contenders run the same text; none is
// inlined into itself. A run is one call of the recursion from its root, ours begins and ends a frame around it. Its
// result is compared with the known one after every run.
//
// J2  fib: fib(27), 635 621 calls of which half fork one and call one; no cutoff.
//
// J3  queens: in how many ways 12 queens can stand: a task for every safe square of the next row, no cutoff. A board is
//         masks of attacked squares, so that there is little work in a node beside handing out.
//     skynet: a tree of a million leaves, ten children a node, the sum of the leaves' numbers; a task for each node and
//         each leaf.
//     uts: unbalanced tree search (Olivier et al., LCPC 2006), a binomial tree like its T3: the root has many
//         children, every other node eight or none, as its hash says. Subtrees differ beyond prediction, most nodes are
//         leaves. Nodes and leaves are counted and the height is found; a task for each node. The hash is a mixer of 64
//         bits instead of SHA-1: with less work in a node more of the time is the scheduler's.
//     cilksort: sorting of 32-bit numbers as in the Cilk examples: the quarters of a range are sorted at the same time,
//         then merged two and two into the spare memory, then those two back. A merge halves the longer side, finds
//         where the shorter one has that value, and merges lower and upper halves at the same time. Below a cutoff both
//         are serial: std::sort, std::merge.
#include "fork.hpp"

#include <memory>

namespace {

// ---- fib -----------------------------------------------------------------------------------------------------------

template <class Lane> [[gnu::noinline]] uint64_t fib(Lane lane, uint32_t n)
{
    asm volatile("" : "+r"(n)); // otherwise plain calls with equal arguments become one
    if (n < 2) return n;
    uint64_t left = 0, right = 0;
    lane.both([&left, n](auto here) { left = fib(here, n - 1); }, [&right, n](auto here) { right = fib(here, n - 2); });
    return left + right;
}

class fib_work {
public:
    void prepare() { result_ = 0; }
    template <class Lane> void operator()(Lane lane) { result_ = fib(lane, n_); }
    bool is_right() const { return result_ == (n_ == 27 ? 196418 : 987); }

private:
    const uint32_t n_ = bench::is_smoke() ? 16 : 27;
    uint64_t result_ = 0;
};

// ---- queens --------------------------------------------------------------------------------------------------------

constexpr uint32_t queens_max = 12;

/// Bit i of each is the i-th column.
struct board {
    uint32_t all;               // columns that there are
    uint32_t down, left, right; // squares of the next row that queens above attack, along columns and both diagonals
};

template <class Lane> uint64_t place_queens(Lane lane, board b);

struct placement {
    board b;
    uint64_t found;
    template <class Lane> void operator()(Lane lane) { found = place_queens(lane, b); }
};

constexpr uint64_t solution = uint64_t{1} << 32;

/// Boards in the lower half of the sum, solutions in the upper.
template <class Lane> [[gnu::noinline]] uint64_t place_queens(Lane lane, board b)
{
    if (b.down == b.all) return 1 + solution;
    placement next[queens_max];
    uint32_t count = 0;
    for (uint32_t safe = ~(b.down | b.left | b.right) & b.all; safe != 0; safe &= safe - 1) {
        const uint32_t queen = safe & -safe;
        next[count++] = {{b.all, b.down | queen, (b.left | queen) << 1, (b.right | queen) >> 1}, 0};
    }
    lane.template each<queens_max>(next, count);
    uint64_t found = 1;
    for (uint32_t i = 0; i < count; i++) found += next[i].found;
    return found;
}

class queens_work {
public:
    void prepare() { result_ = 0; }
    template <class Lane> void operator()(Lane lane) { result_ = place_queens(lane, {(1u << queens_) - 1, 0, 0, 0}); }
    bool is_right() const { return result_ == (queens_ == 12 ? 14200 * solution + 856189 : 92 * solution + 2057); }

private:
    const uint32_t queens_ = bench::is_smoke() ? 8 : queens_max;
    uint64_t result_ = 0;
};

// ---- skynet --------------------------------------------------------------------------------------------------------

constexpr uint32_t skynet_children = 10;

template <class Lane> uint64_t skynet(Lane lane, uint64_t first, uint64_t leaves);

struct skynet_node {
    uint64_t first, leaves, sum;
    template <class Lane> void operator()(Lane lane) { sum = skynet(lane, first, leaves); }
};

template <class Lane> [[gnu::noinline]] uint64_t skynet(Lane lane, uint64_t first, uint64_t leaves)
{
    if (leaves == 1) return first;
    skynet_node children[skynet_children];
    const uint64_t each = leaves / skynet_children;
    for (uint32_t i = 0; i < skynet_children; i++) children[i] = {first + i * each, each, 0};
    lane.template each<skynet_children>(children, skynet_children);
    uint64_t sum = 0;
    for (const skynet_node &child : children) sum += child.sum;
    return sum;
}

class skynet_work {
public:
    void prepare() { result_ = 0; }
    template <class Lane> void operator()(Lane lane) { result_ = skynet(lane, 0, leaves_); }
    bool is_right() const { return result_ == leaves_ * (leaves_ - 1) / 2; }

private:
    const uint64_t leaves_ = bench::is_smoke() ? 1000 : 1000000;
    uint64_t result_ = 0;
};

// ---- unbalanced tree search ----------------------------------------------------------------------------------------

constexpr uint32_t uts_root_children = 2000, uts_children = 8;
constexpr uint64_t uts_seed = 1;
// Of 2^64, for 0.992 children a node: with one or more the tree has no end.
constexpr uint64_t uts_has_children = static_cast<uint64_t>(0.124 * 18446744073709551616.0);

/// The state of a child: a bijection of 64 bits whose output bits depend on all input bits.
uint64_t uts_child(uint64_t state, uint32_t number)
{
    uint64_t x = state + (number + 1) * 0x9e3779b97f4a7c15u;
    for (int i = 0; i < 2; i++) x = (x ^ x >> 32) * 0xd6e8feb86659fd93u;
    return x ^ x >> 32;
}

struct uts_tree {
    uint64_t nodes, leaves;
    uint32_t height;
};

template <uint32_t Max, class Lane> uts_tree uts_search(Lane lane, uint64_t state, uint32_t count);

struct uts_node {
    uint64_t state;
    uts_tree below;
    template <class Lane> void operator()(Lane lane)
    {
        below = uts_search<uts_children>(lane, state, state < uts_has_children ? uts_children : 0);
    }
};

template <uint32_t Max, class Lane> [[gnu::noinline]] uts_tree uts_search(Lane lane, uint64_t state, uint32_t count)
{
    if (count == 0) return {1, 1, 0};
    uts_node children[Max];
    for (uint32_t i = 0; i < count; i++) children[i] = {uts_child(state, i), {}};
    lane.template each<Max>(children, count);
    uts_tree all = {1, 0, 0};
    for (uint32_t i = 0; i < count; i++) {
        all.nodes += children[i].below.nodes;
        all.leaves += children[i].below.leaves;
        all.height = std::max(all.height, children[i].below.height + 1);
    }
    return all;
}

class uts_work {
public:
    void prepare() { result_ = {}; }
    template <class Lane> void operator()(Lane lane)
    {
        result_ = uts_search<uts_root_children>(lane, uts_seed, root_children_);
    }
    bool is_right() const
    {
        const uts_tree known = root_children_ == uts_root_children ? uts_tree{755217, 661064, 338}
                                                                   : uts_tree{693, 613, 27};
        return result_.nodes == known.nodes && result_.leaves == known.leaves && result_.height == known.height;
    }

private:
    const uint32_t root_children_ = bench::is_smoke() ? 60 : uts_root_children;
    uts_tree result_ = {};
};

// ---- cilksort ------------------------------------------------------------------------------------------------------

using number = uint32_t;

constexpr size_t sort_cutoff = 2048; // numbers

/// Merges the sorted [a, a_end) and [b, b_end) to `out`.
template <class Lane>
void merge_halves(Lane lane, const number *a, const number *a_end, const number *b, const number *b_end, number *out)
{
    if (static_cast<size_t>((a_end - a) + (b_end - b)) <= sort_cutoff) {
        std::merge(a, a_end, b, b_end, out);
        return;
    }
    if (a_end - a < b_end - b) {
        std::swap(a, b);
        std::swap(a_end, b_end);
    }
    const number *a_middle = a + (a_end - a) / 2;
    const number *b_middle = std::lower_bound(b, b_end, *a_middle);
    number *out_middle = out + (a_middle - a) + (b_middle - b);
    lane.both([=](auto here) { merge_halves(here, a, a_middle, b, b_middle, out); },
              [=](auto here) { merge_halves(here, a_middle, a_end, b_middle, b_end, out_middle); });
}

template <class Lane> void sort_quarters(Lane lane, number *data, number *spare, size_t count);

struct sort_task {
    number *data, *spare;
    size_t count;
    template <class Lane> void operator()(Lane lane) { sort_quarters(lane, data, spare, count); }
};

/// Sorts `data`; `spare` is as large.
template <class Lane> void sort_quarters(Lane lane, number *data, number *spare, size_t count)
{
    if (count <= sort_cutoff) {
        std::sort(data, data + count);
        return;
    }
    const size_t quarter = count / 4, half = 2 * quarter;
    sort_task parts[4];
    for (size_t i = 0; i < 4; i++)
        parts[i] = {data + i * quarter, spare + i * quarter, i < 3 ? quarter : count - 3 * quarter};
    lane.template each<4>(parts, 4);
    lane.both([=](auto here) { merge_halves(here, data, data + quarter, data + quarter, data + half, spare); },
              [=](auto here) {
                  merge_halves(here, data + half, data + half + quarter, data + half + quarter, data + count,
                               spare + half);
              });
    merge_halves(lane, spare, spare + half, spare + half, spare + count, data);
}

class sort_work {
public:
    sort_work() : given_(bench::is_smoke() ? 1 << 14 : 1 << 18), data_(given_), spare_(given_)
    {
        uint64_t random = 88172645463325252u;
        for (number &each : given_) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            each = static_cast<number>(random >> 32);
        }
        sorted_ = given_;
        std::sort(sorted_.begin(), sorted_.end());
    }
    void prepare() { data_ = given_; }
    template <class Lane> void operator()(Lane lane) { sort_quarters(lane, data_.data(), spare_.data(), data_.size()); }
    bool is_right() const { return data_ == sorted_; }

private:
    std::vector<number> given_, data_, spare_, sorted_;
};

// ---- the rows ------------------------------------------------------------------------------------------------------

template <class Contender, class Work> void run_work(benchmark::State &state)
{
    auto work = std::make_unique<Work>();
    Contender contender(state);
    if (!contender) return;
    contender.enter([&] {
        bool sound = true;
        auto run = [&] { sound = sound && contender.run([&](auto lane) { (*work)(lane); }); };
        auto is_sound = [&] {
            sound = sound && work->is_right();
            work->prepare();
            if (!sound) state.SkipWithError("wrong result: a task was refused, lost or run twice");
            return sound;
        };
        work->prepare();
        run();
        (void)is_sound();
        for (auto _ : state) {
            run();
            state.PauseTiming();
            if (!is_sound()) break;
            state.ResumeTiming();
        }
        if (!contender.finish(state)) state.SkipWithError("tasks ran inside their fork");
    });
}

template <class Work> void add_work(const std::string &row, const std::string &end)
{
    bench::each_forks([&](auto tag) {
        using contender = typename decltype(tag)::type;
        bench::add(row + "/" + contender::name + end, run_work<contender, Work>);
    });
}

} // namespace

int main(int argc, char **argv)
{
    add_work<fib_work>("J2", "");
    add_work<queens_work>("J3", "/queens");
    add_work<skynet_work>("J3", "/skynet");
    add_work<uts_work>("J3", "/uts");
    add_work<sort_work>("J3", "/cilksort");
    return bench::run(argc, argv);
}
