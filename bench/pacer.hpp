// SPDX-License-Identifier: MIT
//
// 60 ticks a second, for the rows whose ticks are paced.
#pragma once

#include "bench.hpp"

#include <cerrno>

namespace bench {

constexpr uint64_t tick_ns = 1000000000 / 60;

/// Sleeps until ticks are due.
class pacer {
public:
    void await()
    {
        next_ += tick_ns;
        const timespec due = {static_cast<time_t>(next_ / 1000000000), static_cast<long>(next_ % 1000000000)};
        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, nullptr) == EINTR) {
        }
        const uint64_t now = now_ns();
        if (now < next_ + tick_ns) return;
        next_ = now; // a tick or more too late: there is nothing to catch up with
        late_++;
    }
    uint64_t late() const { return late_; }

private:
    uint64_t next_ = now_ns();
    uint64_t late_ = 0;
};

} // namespace bench
