// SPDX-License-Identifier: MIT
//
// A ring of batches of pointers between one producer and one consumer: the same for every contender of the
// remote-free rows, and cheap beside what they measure.
//
//   head <= tail <= head + batches; batches [head, tail) belong to the consumer, the others to the producer.
//
// Waiting sleeps, so that a thread's CPU time is work alone, and it sleeps long: a consumer that found nothing wakes
// when half the ring is full, a producer that found no room when half is empty. They never sleep together, for the
// first needs less than half to be full and the second all of it.
//
//              claim/publish   take/release
//   claim/publish    one thread      -
//   take/release     -               one thread
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

namespace bench {

class ring {
public:
    static constexpr size_t batch = 256; // pointers

    explicit ring(size_t batches) : batches_(batches), slots_(batches * batch) {}

    /// Producer: room for one batch, waiting for it between before() and after().
    template <class Hook> void **claim(Hook &hook)
    {
        uint64_t tail = tail_.load(std::memory_order_relaxed);
        if (tail - head_.load(std::memory_order_acquire) == batches_)
            sleep(producer_sleeps_, hook, [&] { return tail - head_.load() <= batches_ / 2; });
        return &slots_[(tail % batches_) * batch];
    }

    /// Producer: hands the claimed batch over.
    void publish()
    {
        uint64_t tail = tail_.load(std::memory_order_relaxed) + 1;
        tail_.store(tail); // sequentially consistent: either this thread sees the sleeper or the sleeper sees the batch
        if (consumer_sleeps_.load() && tail - head_.load() >= batches_ / 2) wake();
    }

    /// Producer: no more batches.
    void close()
    {
        closed_.store(true);
        wake();
    }

    /// Consumer: the oldest batch; nullptr when the ring is closed and empty.
    template <class Hook> void **take(Hook &hook)
    {
        uint64_t head = head_.load(std::memory_order_relaxed);
        if (tail_.load(std::memory_order_acquire) == head)
            sleep(consumer_sleeps_, hook, [&] { return closed_.load() || tail_.load() - head >= batches_ / 2; });
        if (tail_.load(std::memory_order_acquire) == head) return nullptr;
        return &slots_[(head % batches_) * batch];
    }

    /// Consumer: gives the batch back.
    void release()
    {
        uint64_t head = head_.load(std::memory_order_relaxed) + 1;
        head_.store(head); // as in publish()
        if (producer_sleeps_.load() && tail_.load() - head <= batches_ / 2) wake();
    }

private:
    template <class Hook, class Ready> void sleep(std::atomic<bool> &flag, Hook &hook, Ready ready)
    {
        hook.before_sleep();
        {
            std::unique_lock<std::mutex> lock(mutex_);
            flag.store(true);
            condition_.wait(lock, ready);
            flag.store(false);
        }
        hook.after_sleep();
    }

    void wake()
    {
        std::lock_guard<std::mutex> lock(mutex_);
        condition_.notify_all();
    }

    const uint64_t batches_;
    std::vector<void *> slots_;
    alignas(128) std::atomic<uint64_t> tail_{0}; // written by the producer
    alignas(128) std::atomic<uint64_t> head_{0}; // written by the consumer
    alignas(128) std::atomic<bool> producer_sleeps_{false};
    std::atomic<bool> consumer_sleeps_{false};
    std::atomic<bool> closed_{false};
    std::mutex mutex_;
    std::condition_variable condition_;
};

} // namespace bench
