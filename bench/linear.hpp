// SPDX-License-Identifier: MIT
//
// The scratch memory of an engine that has no allocator for it: a linear allocator a thread, found by a thread-local pointer, of a
// fixed capacity in huge pages. All inlined; a mark and a rewind are a load and a store.
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

namespace bench {

class linear {
public:
    static constexpr size_t capacity = size_t{2} << 20;

    linear()
    {
        void *range = mmap(nullptr, 2 * capacity, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (range == MAP_FAILED) return; // every allocation fails
        range_ = static_cast<unsigned char *>(range);
        base_ = range_ + (capacity - reinterpret_cast<uintptr_t>(range_) % capacity) % capacity;
        madvise(base_, capacity, MADV_HUGEPAGE);
        cursor_ = base_;
        end_ = base_ + capacity;
    }
    ~linear()
    {
        if (range_) munmap(range_, 2 * capacity);
    }
    linear(const linear &) = delete;
    linear &operator=(const linear &) = delete;

    void *alloc(size_t size)
    {
        unsigned char *p = cursor_;
        if (__builtin_expect(size > static_cast<size_t>(end_ - p), 0)) return nullptr;
        cursor_ = p + ((size + 15) & ~size_t{15});
        return p;
    }
    unsigned char *mark() const { return cursor_; }
    void rewind(unsigned char *mark) { cursor_ = mark; }
    void reset() { cursor_ = base_; }

private:
    unsigned char *cursor_ = nullptr;
    unsigned char *end_ = nullptr;
    unsigned char *base_ = nullptr;
    unsigned char *range_ = nullptr;
};

/// The linear allocators of a thread: for what ends with the job, and for what ends with the tick.
class alignas(128) thread_scratch {
public:
    linear scope;
    linear frame;

    static thread_scratch &mine()
    {
        static thread_local thread_scratch *mine = nullptr;
        if (__builtin_expect(!mine, 0)) mine = enrol();
        return *mine;
    }

    /// At the end of a tick, when none of its jobs runs.
    static void reset_frames()
    {
        std::lock_guard<std::mutex> lock(registry().mutex); // a thread that runs a long job may begin or end
        for (thread_scratch *each : registry().all) each->frame.reset();
    }

private:
    struct book {
        std::mutex mutex;
        std::vector<thread_scratch *> all;
    };

    /// Outlives every thread.
    static book &registry()
    {
        static book *const one = new book;
        return *one;
    }

    struct membership;
    static thread_scratch *enrol();
};

/// From a thread's first use until it ends.
struct thread_scratch::membership {
    thread_scratch scratch;
    membership()
    {
        std::lock_guard<std::mutex> lock(registry().mutex);
        registry().all.push_back(&scratch);
    }
    ~membership()
    {
        std::lock_guard<std::mutex> lock(registry().mutex);
        auto &all = registry().all;
        all.erase(std::find(all.begin(), all.end(), &scratch));
    }
};

__attribute__((noinline)) inline thread_scratch *thread_scratch::enrol()
{
    static thread_local membership mine;
    return &mine.scratch;
}

} // namespace bench
