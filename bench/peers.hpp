// SPDX-License-Identifier: MIT
//
// General-purpose allocators as contenders: each a type with a name, alloc and free. Those that are linked are called
// by their own names; `malloc` is the C library's, or whatever bench/run preloads over it (tcmalloc, jemalloc).
#pragma once

#include <cstddef>
#include <cstdlib>

#ifdef FRAMEALLOC_BENCH_MIMALLOC
#include <mimalloc.h>
#endif
#ifdef FRAMEALLOC_BENCH_TBB
#include <tbb/scalable_allocator.h>
#endif

namespace bench {

struct peer_malloc {
    static constexpr const char *name = "malloc";
    static void *alloc(size_t size) { return std::malloc(size); }
    static void free(void *p) { std::free(p); }
};

#ifdef FRAMEALLOC_BENCH_MIMALLOC
struct peer_mimalloc {
    static constexpr const char *name = "mimalloc";
    static void *alloc(size_t size) { return mi_malloc(size); }
    static void free(void *p) { mi_free(p); }
};
#endif

#ifdef FRAMEALLOC_BENCH_TBB
struct peer_tbb {
    static constexpr const char *name = "tbb";
    static void *alloc(size_t size) { return scalable_malloc(size); }
    static void free(void *p) { scalable_free(p); }
};
#endif

/// Calls visit(peer{}) for every peer of this build.
template <class Visit> void each_peer(Visit visit)
{
    visit(peer_malloc{});
#ifdef FRAMEALLOC_BENCH_MIMALLOC
    visit(peer_mimalloc{});
#endif
#ifdef FRAMEALLOC_BENCH_TBB
    visit(peer_tbb{});
#endif
}

} // namespace bench
