// SPDX-License-Identifier: MIT
//
// An engine in C++: standard containers in frame memory inside jobs, a world in pool memory that all lanes use, components that own
// themselves.
#include <framealloc/framealloc.hpp>

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
    bool right = true;
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
