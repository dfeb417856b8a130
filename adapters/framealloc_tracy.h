// SPDX-License-Identifier: MIT
//
// framealloc under the Tracy profiler: jobs, pieces of loops, waits, sleep and phases as zones, frame marks, memory events of pool and heap,
// plots of what is in use.
//
//     config.profiler = fa_tracy_profiler();
//
// Compile tracy.c into the program beside Tracy's client, with TRACY_ENABLE, or link the target framealloc_tracy, which exists where CMake
// finds Tracy. With memory events every allocation of pool and heap takes the library's slow path.
#pragma once

#include <framealloc/events.h>

/// [any] Hooks for fa_config.profiler that tell Tracy everything; in static storage.
FA_EXTERN_C const fa_profiler *fa_tracy_profiler(void);

/// [any] The same without memory events: allocation stays as fast as it is.
FA_EXTERN_C const fa_profiler *fa_tracy_profiler_zones(void);
