// SPDX-License-Identifier: MIT
//
// An engine in C++: standard containers in frame memory inside jobs, a world in pool memory that all lanes use, components that own
// themselves, and a list that one job makes for the jobs that it starts.
#include <framealloc/framealloc.hpp>

#include <atomic>
#include <cstdio>
#include <memory_resource>
#include <string>
#include <unordered_map>
#include <vector>

namespace {

constexpr int ticks = 20;
constexpr std::uint64_t actors = 500;

struct sprite {
    explicit sprite(const char *name_, std::pmr::memory_resource *memory) : name(name_, memory)
    {
    }
    std::pmr::string name;
    int frame = 0;
};

struct world {
    explicit world(fa_system *fa) : memory(fa::source(fa)), sprites(&memory), seen(&memory)
    {
        seen.resize(actors);
    }
    fa::pool_resource memory; // of the system: any lane may use it
    std::pmr::vector<fa::pool_ptr<sprite>> sprites;
    std::pmr::vector<std::uint64_t> seen;
};

// Scratch containers that nobody frees piece by piece. Their destructors run, their memory goes with the frame.
std::uint64_t look(fa_worker *w, std::uint64_t actor)
{
    fa::frame_resource frame(w);
    std::pmr::vector<std::uint64_t> near(&frame);
    std::pmr::unordered_map<std::uint64_t, std::pmr::string> notes(&frame);
    for (std::uint64_t i = 0; i < 32; i++) near.push_back(actor + i);
    for (std::uint64_t other : near) notes.emplace(other % 8, "a note of some length about somebody");
    return near.size() + notes.size();
}

void think(fa_worker *w, std::uint64_t first, std::uint64_t last, void *arg)
{
    auto *here = static_cast<world *>(arg);
    for (std::uint64_t i = first; i < last; i++) {
        here->seen[i] += look(w, i);
        here->sprites[i]->frame++;
        if (i % 10 == 0) // replaced on whichever lane runs this
            here->sprites[i] = fa::make_pool<sprite>(w, "an imp with a name too long for the string itself",
                                                     &here->memory);
    }
}

// A part of a roll: the numbers of actors, in the memory of the job that called it.
struct roll {
    const world *here;
    fa_job_memory memory;
    const std::uint64_t *actors;
    std::size_t count;
    std::atomic<std::size_t> *letters;
};

void answer(fa_worker *w, void *arg) noexcept
{
    const auto *r = static_cast<const roll *>(arg);
    fa::job_resource memory(w->system, r->memory); // on whichever lane this runs
    std::pmr::string all(&memory);
    for (std::size_t i = 0; i < r->count; i++) all += r->here->sprites[r->actors[i]]->name;
    *r->letters += all.size();
}

// Returns before they answer: the memory stays until the last of them has, and is then released, long before the frame ends.
void call_roll(fa_worker *w, void *arg) noexcept
{
    roll r = *static_cast<const roll *>(arg);
    fa::job_resource memory(w);
    r.memory = memory.memory();
    auto *list = static_cast<std::uint64_t *>(memory.allocate(actors * sizeof(std::uint64_t), alignof(std::uint64_t)));
    for (std::uint64_t i = 0; i < actors; i++) list[i] = actors - 1 - i;
    r.count = actors / 10;
    for (r.actors = list; r.actors < list + actors; r.actors += r.count)
        if (fa_submit_copy(w, nullptr, answer, &r, sizeof r) != FA_OK) return;
}

// Letters in all names, as the actors count them.
std::size_t count_letters(fa_system *fa, const world &here)
{
    std::atomic<std::size_t> letters{0};
    roll r = {&here, {}, nullptr, 0, &letters};
    bool done = fa_frame_begin(fa) == FA_OK && fa_submit_copy(fa_self(fa), nullptr, call_roll, &r, sizeof r) == FA_OK;
    return fa_frame_end(fa, nullptr) == FA_OK && done ? letters.load() : 0;
}

bool run(fa_system *fa)
{
    fa_worker *w = fa_self(fa);
    world here(fa);
    for (std::uint64_t i = 0; i < actors; i++) here.sprites.push_back(fa::make_pool<sprite>(w, "zombie", &here.memory));
    for (int tick = 0; tick < ticks; tick++) {
        if (fa_frame_begin(fa) != FA_OK) return false;
        bool done = fa_parallel_for(w, 0, actors, 0, think, &here) == FA_OK;
        if (fa_frame_end(fa, nullptr) != FA_OK || !done) return false;
    }
    std::size_t letters = 0;
    for (const auto &each : here.sprites) letters += each->name.size();
    bool right = count_letters(fa, here) == letters;
    for (std::uint64_t i = 0; i < actors; i++) {
        right &= here.seen[i] == ticks * 40;
        right &= here.sprites[i]->frame == (i % 10 == 0 ? 0 : ticks);
        right &= (here.sprites[i]->name == "zombie") == (i % 10 != 0);
    }
    return right;
}

} // namespace

int main()
{
    fa_config config = fa_config_default();
    fa_system *fa = nullptr;
    if (fa_create(&config, &fa) != FA_OK) return 1;
    bool right = run(fa);
    fa_stats stats{};
    right = fa_frame_begin(fa) == FA_OK && fa_frame_end(fa, nullptr) == FA_OK && fa_stats_read(fa, &stats) == FA_OK &&
            stats.pool_live == 0 && right;
    std::printf("%d ticks of %d actors: %s\n", ticks, static_cast<int>(actors), right ? "right" : "wrong");
    return fa_destroy(fa) == FA_OK && right ? 0 : 1;
}
