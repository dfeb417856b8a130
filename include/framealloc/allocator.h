// SPDX-License-Identifier: MIT
//
// Allocator tables: frame, scope, pool, heap, group and scratch memory, and that of jobs, for code that is written against a table of functions
// (parsers, scripting languages, containers). The same four functions serve tables of one's own. C++ has fa::resource in framealloc.hpp.
//
// What [own], [main] and [any] mean, and what a wrong thread, NULL, size or alignment is answered: base.h. A refused call changes nothing.
#pragma once

#include <framealloc/group.h>
#include <framealloc/job_memory.h>
#include <framealloc/pool.h>
#include <framealloc/scratch.h>

/// How to allocate. `ctx` goes to every call. All sizes are bytes; alignments as everywhere (base.h).
///
///     alloc    NULL: refused, as by the memory's own function, or size is 0
///     realloc  Memory of new_size bytes that begins with the first min(old_size, new_size) of p; p itself is freed if it moved. NULL: refused,
///              and p is as it was, or new_size is 0, and p is freed. p may be NULL (old_size is not looked at then): as alloc.
///     free     p may be NULL. The size is that asked for last.
typedef struct fa_allocator {
    void *(*alloc)(void *ctx, size_t size, size_t align);
    void *(*realloc)(void *ctx, void *p, size_t old_size, size_t new_size, size_t align);
    void (*free)(void *ctx, void *p, size_t size);
    void *ctx;
} fa_allocator;

/// [own] Tables over the lane's memory, for use on this lane only. Frame and scope memory: free does nothing (it goes with the frame or scope);
/// realloc grows in place at the arena's top, shrinks in place always, and otherwise moves. Pool and heap memory (up to the alignments of
/// fa_pool_alloc_aligned() and fa_heap_alloc()): realloc stays in place while the object is large enough and not twice as large as needed,
/// old_size only bounds what is copied, and a p that is no such object is refused (FA201). A NULL worker makes a table that refuses everything.
FA_API fa_allocator fa_allocator_frame(fa_worker *w);
FA_API fa_allocator fa_allocator_scope(fa_worker *w);
FA_API fa_allocator fa_allocator_pool(fa_worker *w);
FA_API fa_allocator fa_allocator_heap(fa_worker *w);

/// Who allocates, and from what: the context of the tables below, which must outlive them. One for each lane.
typedef struct fa_group_source {
    fa_worker *worker;
    fa_group group;
} fa_group_source;

typedef struct fa_scratch_source {
    fa_worker *worker;
    fa_scratch pool;
} fa_scratch_source;

typedef struct fa_job_source {
    fa_worker *worker;
    fa_job_memory memory; // as fa_job_memory_open() or fa_job_memory_current() gave it
} fa_job_source;

/// [own] Tables over a group, a scratch pool or a job's memory: free does nothing (it goes with the group, with the next reset, when the job and all
/// that it started are done), realloc shrinks in place and otherwise moves. A NULL source makes a table that refuses everything; what has ended
/// refuses as its own functions do, and so does a job's memory in a job that does not come from it (FA201 in checked systems).
FA_API fa_allocator fa_allocator_group(fa_group_source *source);
FA_API fa_allocator fa_allocator_scratch(fa_scratch_source *source);
FA_API fa_allocator fa_allocator_job(fa_job_source *source);

/// [own] The table's alloc: `size` bytes at `align`. NULL: refused, size 0, a NULL table or one without the function.
static inline void *fa_alloc_with(const fa_allocator *a, size_t size, size_t align)
{
    return a != NULL && a->alloc != NULL ? a->alloc(a->ctx, size, align) : NULL;
}

/// [own] The table's realloc, see fa_allocator. NULL: refused, new_size 0, a NULL table or one without the function (p is as it was). `align` as
/// in fa_alloc_with().
static inline void *fa_realloc_with(const fa_allocator *a, void *p, size_t old_size, size_t new_size, size_t align)
{
    return a != NULL && a->realloc != NULL ? a->realloc(a->ctx, p, old_size, new_size, align) : NULL;
}

/// [own] The table's free. p may be NULL; nothing happens with a NULL table or one without the function.
static inline void fa_free_with(const fa_allocator *a, void *p, size_t size)
{
    if (a != NULL && a->free != NULL) a->free(a->ctx, p, size);
}
