// SPDX-License-Identifier: MIT
//
// Between checker.cpp, which knows Relacy and memory, and system.cpp, which plays the operating system and liburcu.
#pragma once

#include "tests/model/checker.h"

extern "C" char __start_mc_thread_local[] __attribute__((weak));
extern "C" char __stop_mc_thread_local[] __attribute__((weak));

namespace mc {

/// Thread-local variables lie in one section; the calling thread's are there, the others' are put aside.
inline size_t local_size()
{
    return (size_t)(__stop_mc_thread_local - __start_mc_thread_local);
}

/// The threads are running: not before() or after().
bool running();
bool tracing();

/// Other threads may come between here.
void let_others();
/// A full fence, for what is seen; no happens-before edge.
void fence();
/// Blocks the calling thread; what woke it.
enum class woken { by_other, by_time, by_itself };
woken park(bool timed, bool may_wake_by_itself);
void unpark(unsigned thread);
/// Whether the search is at random: then threads may wake by themselves.
bool at_random();
/// The newest value of four bytes, as the kernel sees them.
uint32_t newest(const void *word);

/// What `from` has done until now happens before what `to` does from now on; the first half, and the second later.
void hand_over(unsigned from, unsigned box);
void take_over(unsigned box, unsigned to);
const unsigned BOX_READERS = 0, BOX_THREADS = 1, BOXES = 2; // one for each thread

[[noreturn]] void fail(const char *what);

void plain_read(const void *p, size_t size, const void *pc);
void plain_write(void *p, size_t size, const void *pc);

/// system.cpp: before each execution.
void reset_system(const mc_model *model);

} // namespace mc
