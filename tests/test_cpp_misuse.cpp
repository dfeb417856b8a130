// SPDX-License-Identifier: MIT
//
// Bad input through the C++ header: no lane, another thread's, sizes and alignments that cannot be, what does not belong to the memory that it is
// given back to, constructors that throw, and memory that has ended. As in misuse.h: everything is refused as the header says, reported
// once or not at all, and afterwards all is as before. tools/check_misuse.py looks that nothing public is missing.
#include <framealloc/framealloc.hpp>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory_resource>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

std::atomic<int> failures{0};

void check(bool fact, const char *text, int line)
{
    if (!fact && failures++ < 20) std::fprintf(stderr, "test_cpp_misuse.cpp:%d: not so: %s\n", line, text);
}

#define CHECK(fact) check((fact), #fact, __LINE__)

/// What the compiler must not see: it would warn of it.
std::size_t hidden(std::size_t value)
{
    volatile std::size_t kept = value;
    return kept;
}

// The scene -------------------------------------------------------------------------------------------------------------

/// Codes that were reported, one after the other, as "FA201 FA903 ".
class reports {
  public:
    static void take(const fa_diagnostic *diagnostic, void *context)
    {
        auto *to = static_cast<reports *>(context);
        std::lock_guard<std::mutex> lock(to->mutex_);
        to->codes_ += std::string(diagnostic->code) + ' ';
    }

    /// What came since the last call.
    std::string since()
    {
        std::lock_guard<std::mutex> lock(mutex_);
        return std::exchange(codes_, {});
    }

  private:
    std::mutex mutex_;
    std::string codes_;
};

/// An open frame, one object of each kind, and a look at the end whether they are all there is and as they were.
class world {
  public:
    explicit world(std::uint32_t workers, bool checked_) : checked(checked_)
    {
        fa_config config = fa_config_default();
        config.worker_count = workers;
        config.checked = checked;
        config.reserve_bytes = std::uint64_t(1) << 30;
        config.report = reports::take;
        config.report_context = &told;
        CHECK(fa_create(&config, &system) == FA_OK);
        main = fa_self(system);
        CHECK(fa_frame_begin(system) == FA_OK);
        pool = fill(fa_pool_alloc(main, size));
        heap = fill(fa_heap_alloc(main, size, 16));
        frame = fill(fa_frame_alloc(main, size));
        scope = fill(fa_scope_alloc(main, size));
        CHECK(told.since().empty());
        before = fa_checkpoint_take(main);
    }

    world(const world &) = delete;
    world &operator=(const world &) = delete;

    ~world()
    {
        fa_checkpoint after = fa_checkpoint_take(main);
        CHECK(std::memcmp(&before.frame, &after.frame, sizeof before.frame) == 0);
        CHECK(std::memcmp(&before.scope, &after.scope, sizeof before.scope) == 0);
        for (unsigned char *p : {pool, heap, frame, scope}) CHECK(is_filled(p));
        fa_pool_free(main, pool);
        fa_heap_free(main, heap);
        CHECK(fa_frame_end(system, nullptr) == FA_OK);
        CHECK(fa_destroy(system) == FA_OK); // FA910 if anything is left
        CHECK(told.since().empty());
    }

    unsigned char *of(fa_home home) const
    {
        return home == FA_HOME_POOL ? pool : home == FA_HOME_HEAP ? heap : home == FA_HOME_SCOPE ? scope : frame;
    }

    static unsigned char *fill(void *p)
    {
        CHECK(p != nullptr);
        return p != nullptr ? static_cast<unsigned char *>(std::memset(p, 0x3a, size)) : nullptr;
    }

    static bool is_filled(const unsigned char *p)
    {
        for (std::size_t i = 0; i < size; i++)
            if (p[i] != 0x3a) return false;
        return true;
    }

    static constexpr std::size_t size = 96;
    bool checked;
    reports told;
    fa_system *system = nullptr;
    fa_worker *main = nullptr;
    unsigned char *pool, *heap, *frame, *scope;
    fa_checkpoint before{};
};

template <class Call> bool refuses(Call call)
{
    try {
        call();
    } catch (const std::bad_alloc &) {
        return true;
    }
    return false;
}

struct never_made {
    never_made()
    {
        check(false, "an object without memory was constructed", __LINE__);
    }
};

struct alignas(8192) too_wide {
    unsigned char bytes[8192];
    too_wide()
    {
        check(false, "an object without memory was constructed", __LINE__);
    }
};

struct counted {
    static int made, gone;
    explicit counted(int throws)
    {
        if (throws != 0) throw std::runtime_error("no");
        made++;
    }
    counted(const counted &) = delete;
    counted &operator=(const counted &) = delete;
    ~counted()
    {
        gone++;
    }
    unsigned char bytes[64] = {};
};
int counted::made, counted::gone;

/// Nothing can be had through them, and what was had elsewhere is not given back through them.
template <fa_home Home> void try_memory(const world &here, fa::source from)
{
    fa::resource<Home> memory(from);
    fa::allocator<int, Home> ints(from);
    CHECK(refuses([&] { (void)memory.allocate(16); }));
    CHECK(refuses([&] { (void)ints.allocate(4); }));
    CHECK(refuses([&] { (void)fa::make<never_made, Home>(from.worker()); }));
    memory.deallocate(here.of(Home), world::size);
    ints.deallocate(reinterpret_cast<int *>(here.of(Home)), world::size / sizeof(int));
}

// Nobody's memory -------------------------------------------------------------------------------------------------------

template <fa_home Home> void without_lane(world &here)
{
    for (fa::source from :
         {fa::source(static_cast<fa_worker *>(nullptr)), fa::source(static_cast<fa_system *>(nullptr))}) {
        CHECK(from.worker() == nullptr && from.system() == nullptr);
        CHECK(from.goes_with(from, Home));
        try_memory<Home>(here, from);
        fa::allocator<int, Home> ints(from);
        CHECK(ints.from().system() == nullptr);
    }
    // NULL is given back everywhere, and nothing happens. (std::pmr asks that it be not NULL.)
    fa::allocator<int, Home>(here.main).deallocate(nullptr, 4);
    fa::allocator<int, Home>(here.system).deallocate(nullptr, 4);
    CHECK(here.told.since().empty());
}

void null_is_refused(std::uint32_t workers, bool checked)
{
    world here(workers, checked);
    without_lane<FA_HOME_FRAME>(here);
    without_lane<FA_HOME_SCOPE>(here);
    without_lane<FA_HOME_POOL>(here);
    without_lane<FA_HOME_HEAP>(here);
    CHECK(refuses([] { (void)fa::make_frame<never_made>(nullptr); }));
    CHECK(refuses([] { (void)fa::make_scope<never_made>(nullptr); }));
    CHECK(refuses([] { (void)fa::make_pool<never_made>(nullptr); }));
    CHECK(refuses([] { (void)fa::make_heap<never_made>(nullptr); }));
    {
        fa::scope scope(nullptr);
        fa::checkpoint undone(nullptr), kept(nullptr);
        kept.commit();
    }
    fa::table_resource none(fa_allocator{}), pool_of_nobody(fa_allocator_pool(nullptr)),
        group_of_nobody(fa_allocator_group(nullptr));
    for (fa::table_resource *table : {&none, &pool_of_nobody, &group_of_nobody}) {
        CHECK(refuses([&] { (void)table->allocate(16); }));
        table->deallocate(here.pool, world::size);
    }
    CHECK(here.told.since().empty());
    { // A deleter that was told of no system destroys, and gives nothing back.
        void *memory = fa_pool_alloc(here.main, sizeof(counted));
        auto *object = ::new (memory) counted(0);
        int gone = counted::gone;
        fa::pool_ptr<counted>{object}.reset();
        CHECK(counted::gone == gone + 1);
        fa_pool_free(here.main, memory); // still there to be freed
    }
    CHECK(here.told.since().empty());
}

// Sizes and alignments --------------------------------------------------------------------------------------------------

template <fa_home Home> void with_sizes(world &here)
{
    constexpr std::size_t most = static_cast<std::size_t>(-1);
    fa::resource<Home> memory(here.main);
    for (std::size_t align : {std::size_t(3), std::size_t(24), std::size_t(4097), most, most / 2}) {
        CHECK(refuses([&] { (void)memory.allocate(16, align); }));
        CHECK(here.told.since() == "FA903 ");
    }
    for (std::size_t size : {most, most - 15, most - 4096, most / 2})
        for (std::size_t align : {std::size_t(1), std::size_t(64), std::size_t(4096)})
            CHECK(refuses([&] { (void)memory.allocate(size, align); }));
    CHECK(refuses([&] { (void)memory.allocate(16, hidden(most / 2 + 1)); }));
    (void)here.told.since(); // FA003 or FA301, once a frame and lane; of the last, in the pool, FA903
    fa::allocator<std::uint64_t, Home> numbers(here.main);
    for (std::size_t count : {most, most / 8 + 1, most / 8}) CHECK(refuses([&] { (void)numbers.allocate(count); }));
    (void)here.told.since();
    { // Nothing is something, and so is an alignment of 0.
        fa::scope inner(here.main);
        fa::checkpoint undone(here.main);
        void *a = memory.allocate(0), *b = memory.allocate(0, 1), *c = numbers.allocate(0);
        CHECK(a != nullptr && b != nullptr && c != nullptr && a != b && b != c);
        CHECK(reinterpret_cast<std::uintptr_t>(b) % 16 == 0);
        memory.deallocate(a, 0);
        memory.deallocate(b, 0, 1);
        numbers.deallocate(static_cast<std::uint64_t *>(c), 0);
    }
    CHECK(here.told.since().empty());
}

void sizes_and_alignments(bool checked)
{
    world here(0, checked);
    with_sizes<FA_HOME_FRAME>(here);
    with_sizes<FA_HOME_SCOPE>(here);
    with_sizes<FA_HOME_POOL>(here);
    with_sizes<FA_HOME_HEAP>(here);
    fa::pool_allocator<too_wide> wide(here.main);
    CHECK(refuses([&] { (void)wide.allocate(1); }));
    CHECK(here.told.since() == "FA903 ");
    CHECK(refuses([&] { (void)fa::make_pool<too_wide>(here.main); }));
    CHECK(here.told.since() == "FA903 ");
    fa::table_resource table(fa_allocator_pool(here.main));
    CHECK(refuses([&] { (void)table.allocate(16, hidden(24)); }));
    CHECK(here.told.since() == "FA903 ");
    std::pmr::vector<std::uint64_t> numbers(&table);
    CHECK(refuses([&] { numbers.reserve(numbers.max_size()); }));
    CHECK(numbers.empty());
    (void)here.told.since(); // FA301, once a frame and lane
}

// Another thread's lane, an idle one, nobody's ----------------------------------------------------------------------------

/// `used` must not be used on this thread: each call is reported once, and refused. `code` is "FA201 " or "FA202 ".
template <fa_home Home> void refused_memory(world &here, fa_worker *used, const std::string &code)
{
    const bool freed = Home == FA_HOME_POOL || Home == FA_HOME_HEAP;
    try_memory<Home>(here, used);
    CHECK(here.told.since() == code + code + code + (freed ? code + code : ""));
}

void refused_lane(world &here, fa_worker *used, const std::string &code)
{
    refused_memory<FA_HOME_FRAME>(here, used, code);
    refused_memory<FA_HOME_SCOPE>(here, used, code);
    refused_memory<FA_HOME_POOL>(here, used, code);
    refused_memory<FA_HOME_HEAP>(here, used, code);
    fa::table_resource table(fa_allocator_heap(used));
    CHECK(refuses([&] { (void)table.allocate(16); }));
    table.deallocate(here.heap, world::size);
    CHECK(here.told.since() == code + code);
    {
        fa::scope scope(used);
    }
    CHECK(here.told.since() == code);
    {
        fa::checkpoint checkpoint(used);
    }
    CHECK(here.told.since() == code + code); // at both ends
    {
        fa::checkpoint checkpoint(used);
        checkpoint.commit();
    }
    CHECK(here.told.since() == code);
}

void another_threads_lane(std::uint32_t workers)
{
    world here(workers, true);
    fa_worker *gone = nullptr;
    std::thread([&] {
        refused_lane(here, here.main, "FA201 ");
        CHECK(fa_attach(here.system, &gone) == FA_OK);
        refused_lane(here, here.main, "FA201 ");
        CHECK(fa_detach(gone) == FA_OK);
    }).join();
    refused_lane(here, gone, "FA202 ");
    CHECK(fa_idle_begin(here.main) == FA_OK);
    refused_lane(here, here.main, "FA202 ");
    CHECK(fa_idle_end(here.main) == FA_OK);
}

/// What begins here is not ended elsewhere: the guard is spent there, its memory stays.
void guards_end_where_they_began()
{
    world here(1, true);
    std::optional<fa::scope> scope(std::in_place, here.main);
    std::optional<fa::checkpoint> checkpoint(std::in_place, here.main);
    fa_checkpoint begun = fa_checkpoint_take(here.main);
    unsigned char *in_frame = world::fill(fa_frame_alloc(here.main, world::size));
    unsigned char *in_scope = world::fill(fa_scope_alloc(here.main, world::size));
    std::thread([&] {
        checkpoint.reset();
        CHECK(here.told.since() == "FA201 ");
        scope.reset();
        CHECK(here.told.since() == "FA201 ");
    }).join();
    CHECK(world::is_filled(in_frame) && world::is_filled(in_scope));
    CHECK(fa_checkpoint_rollback(here.main, begun) == FA_OK);
}

/// A system's memory on a thread without a lane cannot be had, and is given back all the same, in every system.
void threads_without_a_lane(std::uint32_t workers, bool checked)
{
    world here(workers, checked);
    fa::pool_resource pool{fa::source(here.system)};
    fa::heap_allocator<int> ints(here.system);
    void *a = pool.allocate(64);
    int *b = ints.allocate(16);
    auto c = fa::make_pool<counted>(here.main, 0);
    std::thread([&] {
        CHECK(fa::source(here.system).worker() == nullptr);
        CHECK(refuses([&] { (void)pool.allocate(16); }));
        CHECK(refuses([&] { (void)ints.allocate(1); }));
        pool.deallocate(a, 64);
        ints.deallocate(b, 16);
        c.reset();
    }).join();
    CHECK(here.told.since().empty()); // and ~world() that nothing is left
}

// What does not belong there ----------------------------------------------------------------------------------------------

void strangers(std::uint32_t workers, bool checked)
{
    world here(workers, checked);
    fa::pool_resource pool(here.main);
    fa::heap_resource heap(here.main);
    fa::pool_allocator<int> ints(here.system);
    // Sizes and alignments of what is given back are not looked at: an object knows its own.
    pool.deallocate(pool.allocate(100, 64), 7, 4096);
    heap.deallocate(heap.allocate(100000), 0, 1);
    ints.deallocate(ints.allocate(100), 1);
    CHECK(here.told.since().empty());
    alignas(16) int local[4] = {};
    pool.deallocate(local, sizeof local);
    CHECK(here.told.since() == "FA201 ");
    pool.deallocate(here.heap, world::size); // of the other kind
    CHECK(here.told.since() == "FA201 ");
    heap.deallocate(here.pool, world::size);
    CHECK(here.told.since() == "FA201 ");
    heap.deallocate(here.heap + 16, world::size - 16); // inside one
    CHECK(here.told.since() == "FA201 ");
    ints.deallocate(reinterpret_cast<int *>(here.frame), 1);
    CHECK(here.told.since() == "FA002 ");
    if (checked) {
        void *twice = pool.allocate(64);
        pool.deallocate(twice, 64);
        pool.deallocate(twice, 64);
        CHECK(here.told.since() == "FA201 ");
    }
    world other(0, checked);
    fa::pool_resource of_other(other.main);
    CHECK(!pool.is_equal(of_other) && pool != of_other);
    of_other.deallocate(here.pool, world::size);
    CHECK(other.told.since() == "FA201 ");
}

// Memory of jobs ----------------------------------------------------------------------------------------------------------

struct foreign {
    world *here;
    fa_job_memory memory; // of another job
};

void open_job(fa_worker *w, void *arg) noexcept
{
    auto *f = static_cast<foreign *>(arg);
    fa::job_resource memory(w);
    f->memory = memory.memory();
    CHECK(f->memory.id != 0);
    CHECK(refuses([&] { (void)memory.allocate(16, hidden(24)); }));
    CHECK(f->here->told.since() == "FA903 ");
    CHECK(memory.allocate(0) != memory.allocate(0, 1));
    int local = 0;
    memory.deallocate(&local, 7, 4096); // looks at nothing
    CHECK(!memory.is_equal(fa::job_resource(w->system, {})) && memory != fa::frame_resource(w));
    std::thread([&] { CHECK(refuses([&] { (void)memory.allocate(16); })); }).join(); // a thread without a lane
    CHECK(f->here->told.since().empty());
}

void use_job(fa_worker *w, void *arg) noexcept
{
    auto *f = static_cast<foreign *>(arg);
    fa::job_resource memory(w->system, f->memory);
    CHECK(refuses([&] { (void)memory.allocate(16); }));
    CHECK(f->here->told.since() == (f->here->checked ? "FA201 " : ""));
}

void memory_of_jobs(bool checked)
{
    world here(0, checked); // jobs run one after the other, on this thread
    fa::job_resource outside(here.main), of_nobody(nullptr), none(here.system, {}), nowhere(nullptr, {1});
    CHECK(here.told.since() == "FA004 ");
    for (fa::job_resource *memory : {&outside, &of_nobody, &none, &nowhere})
        CHECK(refuses([&] { (void)memory->allocate(16); }));
    CHECK(outside.memory().id == 0 && here.told.since().empty());
    foreign f = {&here, {}};
    fa_counter done = FA_COUNTER_INIT;
    for (fa_job_fn *job : {static_cast<fa_job_fn *>(open_job), static_cast<fa_job_fn *>(use_job)}) {
        CHECK(fa_submit_counted(here.main, &done, job, &f) == FA_OK);
        CHECK(fa_wait(here.main, &done) == FA_OK);
    }
    fa::job_resource ended(here.system, f.memory);
    CHECK(refuses([&] { (void)ended.allocate(16); })); // outside a job
    CHECK(here.told.since() == "FA004 ");
    if (checked) {
        std::thread([&] { CHECK(fa::job_resource(here.main).memory().id == 0); }).join();
        CHECK(here.told.since() == "FA201 ");
    }
}

// Exceptions --------------------------------------------------------------------------------------------------------------

template <fa_home Home> void with_throwing(world &here)
{
    bool thrown = false;
    try {
        (void)fa::make<counted, Home>(here.main, 1);
    } catch (const std::runtime_error &) {
        thrown = true;
    }
    CHECK(thrown);
}

void exceptions(std::uint32_t workers, bool checked)
{
    world here(workers, checked);
    int made = counted::made, gone = counted::gone;
    try {
        fa::scope scope(here.main); // they end in the reverse order, by the exception
        fa::checkpoint undone(here.main);
        with_throwing<FA_HOME_FRAME>(here); // its memory goes with the frame
        with_throwing<FA_HOME_SCOPE>(here);
        with_throwing<FA_HOME_POOL>(here); // is given back
        with_throwing<FA_HOME_HEAP>(here);
        auto in_scope = fa::make_scope<counted>(here.main, 0);
        auto in_frame = fa::make_frame<counted>(here.main, 0);
        auto in_heap = fa::make_heap<counted>(here.main, 0);
        fa::frame_resource frame(here.main);
        std::pmr::vector<std::uint64_t> numbers(1000, &frame);
        (void)numbers.at(1000);
        check(false, "an exception is on its way", __LINE__);
    } catch (const std::out_of_range &) {
    }
    CHECK(counted::made == made + 3 && counted::gone == gone + 3);
    CHECK(here.told.since().empty());
}

// Memory that has ended -----------------------------------------------------------------------------------------------------

/// Frame and scope memory is never given back piece by piece, so a container may outlive it, and the system, if its elements have no destructor.
void after_the_end(bool checked)
{
    std::optional<fa::frame_resource> frame;
    std::optional<fa::scope_resource> scope;
    std::optional<std::pmr::vector<int>> in_frame, in_scope;
    std::optional<std::vector<int, fa::frame_allocator<int>>> by_allocator;
    std::optional<std::vector<int, fa::scope_allocator<int>>> by_scope_allocator;
    {
        world here(0, checked);
        {
            fa::checkpoint undone(here.main); // for ~world(), which looks for what is left
            frame.emplace(here.main);
            scope.emplace(here.main);
            in_frame.emplace(100, 1, &*frame);
            in_scope.emplace(100, 1, &*scope);
            by_allocator.emplace(100, 1, fa::frame_allocator<int>(here.main));
            by_scope_allocator.emplace(100, 1, fa::scope_allocator<int>(here.main));
        }
    }
    in_frame.reset();
    in_scope.reset();
    by_allocator.reset();
    by_scope_allocator.reset();
    int anything = 0;
    frame->deallocate(&anything, sizeof anything); // looks at nothing
    scope->deallocate(&anything, sizeof anything);
}

} // namespace

int main()
{
    for (bool checked : {false, true}) {
        for (std::uint32_t workers : {0u, 2u}) {
            null_is_refused(workers, checked);
            threads_without_a_lane(workers, checked);
            strangers(workers, checked);
            exceptions(workers, checked);
        }
        sizes_and_alignments(checked);
        memory_of_jobs(checked);
        after_the_end(checked);
    }
    another_threads_lane(0);
    another_threads_lane(2);
    guards_end_where_they_began();
    std::printf("test_cpp_misuse: %d failures\n", failures.load());
    return failures == 0 ? 0 : 1;
}
