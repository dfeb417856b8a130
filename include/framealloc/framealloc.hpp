// SPDX-License-Identifier: MIT
//
// framealloc for C++17: memory resources and allocators for standard containers, owning pointers, and guards. Header only, over the C interface.
//
// Whatever frees, does so through the lane of the thread that runs it: a pool or heap object may be destroyed on another lane than the one that
// made it, and on a thread that has none. Memory that is refused throws std::bad_alloc; nothing else here throws on its own account.
//
// What [own] means, and what a wrong thread, NULL, size or alignment is answered: base.h. Where a function of the C interface answers NULL, those here
// throw, with the same diagnostic; a NULL lane or system has no memory (std::bad_alloc, no diagnostic). A refused call changes nothing. The
// system must outlive what was allocated from it, but for frame and scope memory: giving that back looks at nothing.
//
// All of it is in namespace fa, so nothing at global scope can be called fa; local variables, parameters and members can.
//
// Exceptions must not leave a function that the library calls (a job, a cleanup, a sink, a listener): there is C in between. Declare jobs noexcept.
#pragma once

#include <framealloc/framealloc.h>

#include <cstddef>
#include <memory>
#include <memory_resource>
#include <new>
#include <type_traits>
#include <utility>

namespace fa {

namespace detail {

/// Whether objects of this home are freed one by one.
constexpr bool is_freed(fa_home home) noexcept
{
    return home == FA_HOME_POOL || home == FA_HOME_HEAP;
}

inline void *allocate(fa_worker *w, fa_home home, std::size_t size, std::size_t align) noexcept
{
    if (w == nullptr) return nullptr;
    if (size == 0) size = 1;
    switch (home) {
        case FA_HOME_FRAME: return fa_frame_alloc_aligned(w, size, align);
        case FA_HOME_SCOPE: return fa_scope_alloc_aligned(w, size, align);
        case FA_HOME_POOL: return fa_pool_alloc_aligned(w, size, align);
        case FA_HOME_HEAP: return fa_heap_alloc(w, size, align);
    }
    return nullptr;
}

inline void deallocate(fa_system *system, fa_worker *w, fa_home home, void *p) noexcept
{
    if (!is_freed(home)) return;
    if (w == nullptr)
        fa_free_any(system, p);
    else if (home == FA_HOME_POOL)
        fa_pool_free(w, p);
    else
        fa_heap_free(w, p);
}

} // namespace detail

/// [any] Where a resource or allocator takes its memory: a lane, for use on that lane only and without a look-up, or a system, for use on any lane
/// (each call finds the thread's lane). Converts from both. Not owned; must outlive what is allocated. NULL is a source without memory.
class source {
  public:
    source(fa_worker *w) noexcept : system_(w != nullptr ? w->system : nullptr), worker_(w)
    {
    }

    source(fa_system *system) noexcept : system_(system), worker_(nullptr)
    {
    }

    /// [any] The lane to use now; NULL on a thread that has none.
    fa_worker *worker() const noexcept
    {
        return worker_ != nullptr || system_ == nullptr ? worker_ : fa_self(system_);
    }

    /// [any] The system; NULL if made from NULL.
    fa_system *system() const noexcept
    {
        return system_;
    }

    /// [any] Whether memory taken through one may be given back through the other, and lives as long: for pool and heap the same system, for frame
    /// and scope memory the same lane too.
    bool goes_with(const source &other, fa_home home) const noexcept
    {
        return system_ == other.system_ && (detail::is_freed(home) || worker_ == other.worker_);
    }

  private:
    fa_system *system_;
    fa_worker *worker_;
};

/// [own] of a lane, [any] of a system. A std::pmr resource over one kind of memory. Frame and scope memory is never given back piece by piece: a
/// container that grows leaves its old buffers to the frame. Alignments: any power of two for frame, scope and heap, up to 4096 for the pool; else
/// std::bad_alloc (FA903). 0 bytes are given as 1. What deallocate() is told of size and alignment is not looked at; a pointer that is no such object
/// of the system is refused (FA201, FA002 for frame and scope memory), as by fa_pool_free().
template <fa_home Home> class resource final : public std::pmr::memory_resource {
  public:
    explicit resource(source from) noexcept : from_(from)
    {
    }

  private:
    void *do_allocate(std::size_t bytes, std::size_t align) override
    {
        void *p = detail::allocate(from_.worker(), Home, bytes, align);
        if (p == nullptr) throw std::bad_alloc();
        return p;
    }

    void do_deallocate(void *p, std::size_t, std::size_t) override
    {
        if (detail::is_freed(Home)) detail::deallocate(from_.system(), from_.worker(), Home, p);
    }

    bool do_is_equal(const std::pmr::memory_resource &other) const noexcept override
    {
        const auto *same = dynamic_cast<const resource *>(&other);
        return same != nullptr && from_.goes_with(same->from_, Home);
    }

    source from_;
};

using frame_resource = resource<FA_HOME_FRAME>;
using scope_resource = resource<FA_HOME_SCOPE>;
using pool_resource = resource<FA_HOME_POOL>;
using heap_resource = resource<FA_HOME_HEAP>;

/// A std::pmr resource over any allocator table (allocator.h), for groups and scratch pools: fa_allocator_group(), fa_allocator_scratch(), or one
/// of your own; whoever may call the table. 0 bytes are given as 1; std::bad_alloc where the table answers NULL, or has no function. The table's
/// context must outlive what is allocated.
class table_resource final : public std::pmr::memory_resource {
  public:
    explicit table_resource(const fa_allocator &table) noexcept : table_(table)
    {
    }

  private:
    void *do_allocate(std::size_t bytes, std::size_t align) override
    {
        void *p = fa_alloc_with(&table_, bytes != 0 ? bytes : 1, align);
        if (p == nullptr) throw std::bad_alloc();
        return p;
    }

    void do_deallocate(void *p, std::size_t bytes, std::size_t) override
    {
        fa_free_with(&table_, p, bytes);
    }

    bool do_is_equal(const std::pmr::memory_resource &other) const noexcept override
    {
        const auto *same = dynamic_cast<const table_resource *>(&other);
        return same != nullptr && same->table_.ctx == table_.ctx && same->table_.alloc == table_.alloc;
    }

    fa_allocator table_;
};

/// [any] A std::pmr resource over the memory of a job (job_memory.h), for that job and those that come from it, on whichever lane each runs. Nothing
/// is given back piece by piece: it goes when the job and all that it started are done, and what lies in it is neither used nor destroyed by anybody
/// else. std::bad_alloc as fa_job_memory_alloc() (FA004 outside jobs, FA201 in other jobs, in checked systems), and without a diagnostic on a
/// thread that has no lane and for a memory that is none. 0 bytes are given as 1.
class job_resource final : public std::pmr::memory_resource {
  public:
    /// [own] Of the running job, whose memory begins here if it has none. Where fa_job_memory_open() refuses, the resource has no memory.
    explicit job_resource(fa_worker *w) noexcept : system_(w != nullptr ? w->system : nullptr), memory_{}
    {
        (void)fa_job_memory_open(w, &memory_);
    }

    /// [any] Of a memory that was opened before, in a job that comes from its owner.
    job_resource(fa_system *system, fa_job_memory memory) noexcept : system_(system), memory_(memory)
    {
    }

    /// [any] The memory, {0} if there is none; for jobs that the owner starts from now on.
    fa_job_memory memory() const noexcept
    {
        return memory_;
    }

  private:
    void *do_allocate(std::size_t bytes, std::size_t align) override
    {
        fa_worker *w = memory_.id != 0 ? fa_self(system_) : nullptr;
        void *p = fa_job_memory_alloc(w, memory_, bytes != 0 ? bytes : 1, align);
        if (p == nullptr) throw std::bad_alloc();
        return p;
    }

    void do_deallocate(void *, std::size_t, std::size_t) override
    {
    }

    bool do_is_equal(const std::pmr::memory_resource &other) const noexcept override
    {
        const auto *same = dynamic_cast<const job_resource *>(&other);
        return same != nullptr && same->system_ == system_ && same->memory_.id == memory_.id;
    }

    fa_system *system_;
    fa_job_memory memory_;
};

/// [own] of a lane, [any] of a system. A standard allocator over one kind of memory, without virtual calls; sizes, alignments and refusals as
/// resource. Travels with its container on move and swap, not on copy assignment.
template <class T, fa_home Home = FA_HOME_FRAME> class allocator {
  public:
    using value_type = T;
    using propagate_on_container_move_assignment = std::true_type;
    using propagate_on_container_swap = std::true_type;
    using is_always_equal = std::false_type;
    template <class U> struct rebind {
        using other = allocator<U, Home>;
    };

    allocator(source from) noexcept : from_(from)
    {
    }

    allocator(fa_worker *w) noexcept : from_(w)
    {
    }

    allocator(fa_system *system) noexcept : from_(system)
    {
    }

    template <class U> allocator(const allocator<U, Home> &other) noexcept : from_(other.from())
    {
    }

    T *allocate(std::size_t n)
    {
        if (n > static_cast<std::size_t>(-1) / sizeof(T)) throw std::bad_alloc();
        void *p = detail::allocate(from_.worker(), Home, n * sizeof(T), alignof(T));
        if (p == nullptr) throw std::bad_alloc();
        return static_cast<T *>(p);
    }

    void deallocate(T *p, std::size_t) noexcept
    {
        if (detail::is_freed(Home)) detail::deallocate(from_.system(), from_.worker(), Home, p);
    }

    const source &from() const noexcept
    {
        return from_;
    }

    template <class U> bool operator==(const allocator<U, Home> &other) const noexcept
    {
        return from_.goes_with(other.from(), Home);
    }

    template <class U> bool operator!=(const allocator<U, Home> &other) const noexcept
    {
        return !(*this == other);
    }

  private:
    source from_;
};

template <class T> using frame_allocator = allocator<T, FA_HOME_FRAME>;
template <class T> using scope_allocator = allocator<T, FA_HOME_SCOPE>;
template <class T> using pool_allocator = allocator<T, FA_HOME_POOL>;
template <class T> using heap_allocator = allocator<T, FA_HOME_HEAP>;

// Owning pointers -------------------------------------------------------------------------------------------------------

/// [any] Destroys an object and gives its memory back, on whichever lane that happens. One that was made without a system destroys only.
template <fa_home Home> class deleter {
  public:
    deleter() noexcept = default;

    explicit deleter(fa_system *system) noexcept : system_(system)
    {
    }

    template <class T> void operator()(T *p) const noexcept
    {
        static_assert(!std::is_polymorphic<T>::value || std::has_virtual_destructor<T>::value ||
                          std::is_final<T>::value,
                      "an object of a derived class could not be destroyed");
        void *start = p;
        if constexpr (std::is_polymorphic<T>::value)
            start = dynamic_cast<void *>(p); // of the whole object, if T is a base of it
        p->~T();
        if (detail::is_freed(Home)) detail::deallocate(system_, fa_self(system_), Home, start);
    }

  private:
    fa_system *system_ = nullptr;
};

/// Sole ownership, as std::unique_ptr, which they are. A frame_ptr or scope_ptr runs the destructor only, and must go before its memory does.
template <class T> using frame_ptr = std::unique_ptr<T, deleter<FA_HOME_FRAME>>;
template <class T> using scope_ptr = std::unique_ptr<T, deleter<FA_HOME_SCOPE>>;
template <class T> using pool_ptr = std::unique_ptr<T, deleter<FA_HOME_POOL>>;
template <class T> using heap_ptr = std::unique_ptr<T, deleter<FA_HOME_HEAP>>;

/// [own] A new T, constructed from `arguments`. std::bad_alloc when its memory is refused, for a NULL lane too: nothing is constructed. If the constructor
/// throws, pool and heap memory is given back; frame and scope memory goes with its frame or scope.
template <class T, fa_home Home, class... Arguments>
std::unique_ptr<T, deleter<Home>> make(fa_worker *w, Arguments &&...arguments)
{
    void *p = detail::allocate(w, Home, sizeof(T), alignof(T));
    if (p == nullptr) throw std::bad_alloc();
    struct give_back {
        fa_worker *w;
        void *p;
        ~give_back()
        {
            if (p != nullptr) detail::deallocate(w->system, w, Home, p);
        }
    } guard{w, p};
    T *object = ::new (p) T(std::forward<Arguments>(arguments)...);
    guard.p = nullptr;
    return std::unique_ptr<T, deleter<Home>>(object, deleter<Home>(w->system));
}

/// [own] make() in each kind of memory.
template <class T, class... Arguments> frame_ptr<T> make_frame(fa_worker *w, Arguments &&...arguments)
{
    return make<T, FA_HOME_FRAME>(w, std::forward<Arguments>(arguments)...);
}

template <class T, class... Arguments> scope_ptr<T> make_scope(fa_worker *w, Arguments &&...arguments)
{
    return make<T, FA_HOME_SCOPE>(w, std::forward<Arguments>(arguments)...);
}

template <class T, class... Arguments> pool_ptr<T> make_pool(fa_worker *w, Arguments &&...arguments)
{
    return make<T, FA_HOME_POOL>(w, std::forward<Arguments>(arguments)...);
}

template <class T, class... Arguments> heap_ptr<T> make_heap(fa_worker *w, Arguments &&...arguments)
{
    return make<T, FA_HOME_HEAP>(w, std::forward<Arguments>(arguments)...);
}

// Guards ----------------------------------------------------------------------------------------------------------------

/// [own] FA_SCOPE: scope memory allocated since is freed at the end of the block. Of a NULL lane: nothing. Refused elsewhere (FA201, FA202 in checked
/// systems), its memory stays until the lane's own scope or job ends.
class scope {
  public:
    explicit scope(fa_worker *w) noexcept : scope_(fa_scope_begin(w))
    {
    }

    scope(const scope &) = delete;
    scope &operator=(const scope &) = delete;

    ~scope()
    {
        fa_scope_end(&scope_);
    }

  private:
    fa_scope scope_;
};

/// [own] FA_CHECKPOINT: rolled back at the end of the block, by exception too, unless committed. No destructor runs for what is rolled back:
/// let containers in that memory go first. Of a NULL lane: nothing. Refused elsewhere, as scope.
class checkpoint {
  public:
    explicit checkpoint(fa_worker *w) noexcept : guard_(fa_checkpoint_guard_begin(w))
    {
    }

    checkpoint(const checkpoint &) = delete;
    checkpoint &operator=(const checkpoint &) = delete;

    ~checkpoint()
    {
        fa_checkpoint_guard_end(&guard_);
    }

    void commit() noexcept
    {
        fa_checkpoint_commit(&guard_);
    }

  private:
    fa_checkpoint_guard guard_;
};

} // namespace fa
