// SPDX-License-Identifier: MIT
//
// The C++ header: standard containers over each memory, owning pointers that run destructors, guards, exceptions; on several lanes.
#include <framealloc/framealloc.hpp>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <memory_resource>
#include <stdexcept>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

namespace {

std::atomic<int> failures{0};
std::atomic<int> reports{0};

void check(bool fact, const char *text, int line)
{
    if (!fact && failures++ < 20) std::fprintf(stderr, "test_cpp.cpp:%d: not so: %s\n", line, text);
}

#define CHECK(fact) check((fact), #fact, __LINE__)

void count_report(const fa_diagnostic *diagnostic, void *)
{
    if (reports++ < 5) std::fprintf(stderr, "%s: %s\n", diagnostic->code, diagnostic->message);
}

/// A system for one test; nothing may leak, and `expected` diagnostics come.
class world {
  public:
    explicit world(uint32_t workers, bool checked, uint64_t frame_bytes_max = 0)
    {
        fa_config config = fa_config_default();
        config.worker_count = workers;
        config.checked = checked;
        config.reserve_bytes = std::uint64_t(1) << 30;
        config.frame_bytes_max = frame_bytes_max;
        config.report = count_report;
        reports = 0;
        CHECK(fa_create(&config, &system) == FA_OK);
        main = fa_self(system);
    }

    world(const world &) = delete;
    world &operator=(const world &) = delete;

    ~world()
    {
        CHECK(fa_destroy(system) == FA_OK);
        CHECK(reports == expected);
    }

    void tick(fa_job_fn *job, void *arg, int count)
    {
        CHECK(fa_frame_begin(system) == FA_OK);
        for (int i = 0; i < count; i++) CHECK(fa_submit(main, job, arg) == FA_OK);
        CHECK(fa_frame_end(system, nullptr) == FA_OK);
    }

    fa_stats stats() const
    {
        fa_stats stats;
        CHECK(fa_stats_read(system, &stats) == FA_OK);
        return stats;
    }

    fa_system *system = nullptr;
    fa_worker *main = nullptr;
    int expected = 0;
};

/// Counts its instances; in the middle of an object, so that a pointer to it is not the object's address.
struct counted {
    static std::atomic<int> live;
    counted()
    {
        ++live;
    }
    counted(const counted &) = delete;
    counted &operator=(const counted &) = delete;
    virtual ~counted()
    {
        --live;
    }
    virtual int value() const
    {
        return 1;
    }
};
std::atomic<int> counted::live{0};

struct other_base {
    virtual ~other_base() = default;
    std::uint64_t bytes[3] = {1, 2, 3};
};

struct imp final : other_base, counted {
    explicit imp(int health_, std::unique_ptr<int> held_) : health(health_), held(std::move(held_))
    {
    }
    int value() const override
    {
        return health + *held;
    }
    int health;
    std::unique_ptr<int> held; // a destructor that does not run leaks this
};

struct alignas(256) wide {
    unsigned char bytes[256];
};

struct thrower {
    explicit thrower(int)
    {
        throw std::runtime_error("no");
    }
};

// Containers ------------------------------------------------------------------------------------------------------------

template <class Resource> void use_containers(fa_worker *w)
{
    Resource memory(w);
    std::pmr::vector<std::uint64_t> numbers(&memory);
    for (std::uint64_t i = 0; i < 2000; i++) numbers.push_back(i * i);
    std::uint64_t wrong = 0;
    for (std::uint64_t i = 0; i < 2000; i++) wrong += numbers[i] != i * i;
    CHECK(wrong == 0);
    std::pmr::string text("a string that is longer than any small buffer", &memory);
    for (int i = 0; i < 200; i++) text += char('a' + i % 26);
    CHECK(text.size() == 245 && text.back() == 'a' + 199 % 26);
    std::pmr::unordered_map<int, std::pmr::string> map(&memory);
    for (int i = 0; i < 300; i++) map.emplace(i, "value of a length that needs memory " + std::to_string(i));
    CHECK(map.size() == 300 && map.at(123).substr(36) == "123");
    CHECK(map.at(7).get_allocator().resource() == &memory);
    for (int i = 0; i < 300; i += 2) map.erase(i);
    CHECK(map.size() == 150 && map.count(4) == 0 && map.count(5) == 1);
    std::pmr::vector<wide> aligned(5, &memory);
    CHECK(reinterpret_cast<std::uintptr_t>(aligned.data()) % 256 == 0);
    void *empty = memory.allocate(0);
    CHECK(empty != nullptr);
    memory.deallocate(empty, 0);
}

template <template <class> class Allocator> void use_allocator(fa_worker *w)
{
    std::vector<std::uint64_t, Allocator<std::uint64_t>> numbers{Allocator<std::uint64_t>(w)};
    for (std::uint64_t i = 0; i < 1000; i++) numbers.push_back(i);
    CHECK(numbers.size() == 1000 && numbers[999] == 999);
    using pair = std::pair<const int, int>;
    std::unordered_map<int, int, std::hash<int>, std::equal_to<int>, Allocator<pair>> map{Allocator<pair>(w)};
    for (int i = 0; i < 500; i++) map[i] = i * 3;
    CHECK(map.size() == 500 && map[77] == 231);
    auto moved = std::move(numbers); // steals: the allocator goes with it
    CHECK(moved.size() == 1000);
}

void containers_job(fa_worker *w, void *)
{
    use_containers<fa::frame_resource>(w);
    use_containers<fa::scope_resource>(w);
    use_containers<fa::pool_resource>(w);
    use_containers<fa::heap_resource>(w);
    use_allocator<fa::frame_allocator>(w);
    use_allocator<fa::scope_allocator>(w);
    use_allocator<fa::pool_allocator>(w);
    use_allocator<fa::heap_allocator>(w);
}

void containers(uint32_t workers, bool checked)
{
    world here(workers, checked);
    for (int tick = 0; tick < 3; tick++) {
        here.tick(containers_job, nullptr, 8);
        CHECK(here.stats().pool_live == 0 && here.stats().heap_live == 0);
    }
}

/// A container of the program, used by jobs on whichever lane, one after the other.
struct shared_list {
    explicit shared_list(fa_system *system) : memory(fa::source(system)), names(&memory)
    {
    }
    fa::pool_resource memory;
    std::pmr::vector<std::pmr::string> names;
};

void append_job(fa_worker *, void *arg)
{
    auto *list = static_cast<shared_list *>(arg);
    for (int i = 0; i < 50; i++) list->names.emplace_back("a name that is long enough for memory of its own");
}

void containers_of_the_system(uint32_t workers, bool checked)
{
    world here(workers, checked);
    {
        shared_list list(here.system);
        for (int tick = 0; tick < 20; tick++) here.tick(append_job, &list, 1);
        CHECK(list.names.size() == 1000);
        // On a thread that is no lane: frees, and cannot allocate.
        std::thread([&list] {
            bool refused = false;
            try {
                list.names.emplace_back("a name that is long enough for memory of its own");
            } catch (const std::bad_alloc &) {
                refused = true;
            }
            CHECK(refused);
            list.names.clear();
        }).join();
    }
    here.tick(containers_job, nullptr, 0);
    CHECK(here.stats().pool_live == 0);
}

void equality()
{
    world a(1, false), b(0, false);
    fa_worker *attached = nullptr; // a second lane of a
    std::thread([&] {
        CHECK(fa_attach(a.system, &attached) == FA_OK);
        fa::frame_resource frame(a.main), frame_again(a.main), frame_there(attached), frame_b(b.main);
        fa::pool_resource pool(a.main), pool_there(attached), pool_any{fa::source(a.system)}, pool_b(b.main);
        fa::heap_resource heap(a.main);
        CHECK(frame == frame_again && frame != frame_there && frame != frame_b);
        CHECK(pool == pool_there && pool == pool_any && pool != pool_b);
        CHECK(pool != heap && frame != pool && pool != *std::pmr::new_delete_resource());
        fa::pool_allocator<int> x(a.main), y(attached), z(b.main);
        fa::pool_allocator<double> other(x);
        CHECK(x == y && x != z && x == other);
        CHECK(fa::frame_allocator<int>(a.main) != fa::frame_allocator<int>(attached));
        CHECK(fa_detach(attached) == FA_OK);
    }).join();
}

// Owning pointers -------------------------------------------------------------------------------------------------------

void pointers_job(fa_worker *w, void *)
{
    {
        auto a = fa::make_frame<imp>(w, 1, std::make_unique<int>(10));
        auto b = fa::make_scope<imp>(w, 2, std::make_unique<int>(20));
        auto c = fa::make_pool<imp>(w, 3, std::make_unique<int>(30));
        auto d = fa::make_heap<imp>(w, 4, std::make_unique<int>(40));
        CHECK(a->value() == 11 && b->value() == 22 && c->value() == 33 && d->value() == 44);
        auto moved = std::move(c);
        CHECK(c == nullptr && moved->value() == 33);
        fa::pool_ptr<counted> base = std::move(moved); // not at the object's address
        CHECK(base->value() == 33);
        d.reset();
        CHECK(d == nullptr);
    }
    bool thrown = false;
    try {
        auto none = fa::make_pool<thrower>(w, 1);
    } catch (const std::runtime_error &) {
        thrown = true;
    }
    CHECK(thrown);
    auto aligned = fa::make_heap<wide>(w);
    CHECK(reinterpret_cast<std::uintptr_t>(aligned.get()) % 256 == 0);
}

void pointers(uint32_t workers, bool checked)
{
    world here(workers, checked);
    here.tick(pointers_job, nullptr, 50);
    CHECK(counted::live == 0);
    CHECK(here.stats().pool_live == 0 && here.stats().heap_live == 0);
}

struct hand_over {
    std::vector<fa::pool_ptr<imp>> pool;
    std::vector<fa::heap_ptr<imp>> heap;
};

void make_job(fa_worker *w, void *arg)
{
    auto *to = static_cast<hand_over *>(arg);
    for (int i = 0; i < 100; i++) {
        to->pool.push_back(fa::make_pool<imp>(w, i, std::make_unique<int>(1)));
        to->heap.push_back(fa::make_heap<imp>(w, i, std::make_unique<int>(1)));
    }
}

void drop_job(fa_worker *, void *arg)
{
    auto *from = static_cast<hand_over *>(arg);
    from->pool.resize(50);
    from->heap.resize(50);
}

void pointers_travel(uint32_t workers, bool checked)
{
    world here(workers, checked);
    for (int round = 0; round < 10; round++) {
        hand_over box;
        here.tick(make_job, &box, 1);
        here.tick(drop_job, &box, 1);
        CHECK(counted::live == 100);
        std::thread([&box] { box.pool.resize(10); }).join(); // no lane
        box = {};                                            // the main lane
        CHECK(counted::live == 0);
        here.tick(drop_job, &box, 0);
        CHECK(here.stats().pool_live == 0 && here.stats().heap_live == 0);
    }
}

// Guards and refusals ---------------------------------------------------------------------------------------------------

void guards(bool checked)
{
    world here(0, checked);
    CHECK(fa_frame_begin(here.system) == FA_OK);
    auto *before = static_cast<unsigned char *>(fa_frame_alloc(here.main, 16));
    {
        fa::checkpoint undone(here.main);
        CHECK(fa_frame_alloc(here.main, 1000) != nullptr);
    }
    CHECK(fa_frame_alloc(here.main, 16) == before + 16);
    {
        fa::checkpoint kept(here.main);
        CHECK(fa_frame_alloc(here.main, 16) != nullptr);
        kept.commit();
    }
    CHECK(fa_frame_alloc(here.main, 16) == before + 48);
    try {
        fa::checkpoint undone(here.main);
        CHECK(fa_frame_alloc(here.main, 16) != nullptr);
        throw std::runtime_error("out");
    } catch (const std::runtime_error &) {
    }
    CHECK(fa_frame_alloc(here.main, 16) == before + 64);
    void *first = nullptr;
    for (int i = 0; i < 2; i++) {
        fa::scope scope(here.main);
        void *p = fa_scope_alloc(here.main, 64);
        CHECK(p != nullptr && (first == nullptr || first == p));
        first = p;
    }
    CHECK(fa_frame_end(here.system, nullptr) == FA_OK);
}

template <class Call> bool throws_bad_alloc(Call call);

void tables(uint32_t workers, bool checked)
{
    world here(workers, checked);
    fa_group group;
    fa_scratch pool;
    CHECK(fa_group_create(here.main, "names", &group) == FA_OK);
    CHECK(fa_scratch_create(here.main, "names", 1 << 20, &pool) == FA_OK);
    fa_group_source from_group = {here.main, group};
    fa_scratch_source from_pool = {here.main, pool};
    fa::table_resource in_group(fa_allocator_group(&from_group)), in_pool(fa_allocator_scratch(&from_pool)),
        same(fa_allocator_group(&from_group)), nothing(fa_allocator{});
    for (std::pmr::memory_resource *resource :
         {static_cast<std::pmr::memory_resource *>(&in_group), static_cast<std::pmr::memory_resource *>(&in_pool)}) {
        std::pmr::vector<std::pmr::string> names(resource);
        for (int i = 0; i < 200; i++)
            names.emplace_back("a name that is too long to be kept inside " + std::to_string(i));
        for (int i = 0; i < 200; i++) CHECK(names[static_cast<std::size_t>(i)].back() == '0' + i % 10);
        CHECK(reinterpret_cast<std::uintptr_t>(resource->allocate(64, 256)) % 256 == 0);
    }
    CHECK(in_group.is_equal(same) && !in_group.is_equal(in_pool));
    CHECK(throws_bad_alloc([&] { (void)nothing.allocate(16); }));
    CHECK(fa_group_free(here.main, group) == FA_OK);
    CHECK(throws_bad_alloc([&] { (void)in_group.allocate(16); }));
    here.expected = checked ? 1 : 0; // FA201
    CHECK(fa_scratch_remove(here.main, pool) == FA_OK);
}

/// What the owner of a job's memory and the jobs that come from it know of each other.
struct notes {
    fa_system *system;
    fa_job_memory memory;
    std::pmr::vector<std::pmr::string> *of_owner;
    std::atomic<int> *right;
};

void note_job(fa_worker *w, void *arg)
{
    auto *n = static_cast<notes *>(arg);
    fa::job_resource memory(n->system, n->memory);
    std::pmr::vector<std::pmr::string> own(&memory);
    for (int i = 0; i < 50; i++) own.emplace_back("a note that is too long to be kept inside " + std::to_string(i));
    bool is_right = n->of_owner->size() == 2 && (*n->of_owner)[1].back() == '!';
    for (int i = 0; i < 50; i++) is_right = is_right && own[static_cast<std::size_t>(i)].back() == '0' + i % 10;
    is_right = is_right && reinterpret_cast<std::uintptr_t>(memory.allocate(64, 256)) % 256 == 0;
    is_right = is_right && fa_job_memory_current(w).id == n->memory.id; // nothing was allocated elsewhere
    *n->right += is_right;
}

void notes_job(fa_worker *w, void *arg)
{
    fa::job_resource memory(w), same(w);
    CHECK(memory.memory().id != 0 && memory == same);
    // It lies in the memory itself, and stays there for the jobs; they read what it holds.
    auto *names = std::pmr::polymorphic_allocator<std::pmr::vector<std::pmr::string>>(&memory).allocate(1);
    ::new (names) std::pmr::vector<std::pmr::string>(&memory);
    names->emplace_back("a name that is too long to be kept inside");
    names->emplace_back("another name that is too long to be kept inside!");
    notes n = {w->system, memory.memory(), names, static_cast<std::atomic<int> *>(arg)};
    for (int i = 0; i < 8; i++) CHECK(fa_submit_copy(w, nullptr, note_job, &n, sizeof n) == FA_OK);
} // returns; the memory stays for them

void memory_of_jobs(uint32_t workers, bool checked)
{
    world here(workers, checked);
    std::atomic<int> right{0};
    here.tick(notes_job, &right, 5);
    CHECK(right == 40);
    CHECK(here.stats().job_memories == 0);
}

template <class Call> bool throws_bad_alloc(Call call)
{
    try {
        call();
    } catch (const std::bad_alloc &) {
        return true;
    }
    return false;
}

void refusals(bool checked)
{
    world here(0, checked, 4096);
    fa::frame_resource frame(here.main);
    CHECK(throws_bad_alloc([&] { (void)frame.allocate(16); })); // outside a frame: FA001
    CHECK(fa_frame_begin(here.system) == FA_OK);
    CHECK(throws_bad_alloc([&] { (void)frame.allocate(8192); })); // FA003
    fa::pool_resource pool(here.main);
    CHECK(throws_bad_alloc([&] { (void)pool.allocate(16, 8192); })); // FA903
    fa::frame_allocator<std::uint64_t> numbers(here.main);
    CHECK(throws_bad_alloc([&] { (void)numbers.allocate(static_cast<std::size_t>(-1) / 8 + 2); }));
    CHECK(throws_bad_alloc([&] { (void)fa::make_pool<wide>(nullptr); }));
    fa::heap_resource nowhere(static_cast<fa_worker *>(nullptr));
    CHECK(throws_bad_alloc([&] { (void)nowhere.allocate(16); }));
    CHECK(fa_frame_end(here.system, nullptr) == FA_OK);
    here.expected = 3;
}

} // namespace

int main()
{
    for (bool checked : {false, true}) {
        for (uint32_t workers : {0u, 1u, 2u, 4u}) {
            containers(workers, checked);
            containers_of_the_system(workers, checked);
            pointers(workers, checked);
            pointers_travel(workers, checked);
            tables(workers, checked);
            memory_of_jobs(workers, checked);
        }
        guards(checked);
        refusals(checked);
    }
    equality();
    std::printf("test_cpp: %d failures\n", failures.load());
    return failures == 0 ? 0 : 1;
}
