// SPDX-License-Identifier: MIT
//
// Systems to which the operating system refuses a call: mmap, madvise, aligned_alloc or pthread_create, whichever comes k-th. The linker
// puts what refuses between the library and the system (CMakeLists.txt); it touches only calls of the thread that asked for it.
#pragma once

#include <stdbool.h>
#include <stdint.h>

/// Makes a system, uses it for a frame and destroys it; its k-th call that can be refused is. Fails the run if the answer is no answer. Returns
/// whether a call was refused: with a large k there are none so late.
bool soak_refused_system(uint32_t k);
