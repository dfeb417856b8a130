// SPDX-License-Identifier: MIT
//
// The pool for small objects and the heap for large ones: memory that lives until it is freed.
//
// Slabs belong to the lane that made them. A free on that lane is a few stores; a free on another lane costs no
// atomic either: it is gathered and posted home in batches, at the latest at the frame boundary. A thread that
// was never attached frees with fa_free_any(), one compare-and-swap.
//
// What [own], [main] and [any] mean, and what a wrong thread, NULL, size or alignment is answered: base.h. A refused call changes nothing.
#pragma once

#include <framealloc/worker.h>

/// [own] Slow paths of the functions below; not for direct use.
FA_API void *fa_pool_alloc_slow(fa_worker *w, size_t size, size_t align);
FA_API void fa_pool_free_slow(fa_worker *w, void *p);

/// [own] `size` bytes, uninitialised. Alignment: the largest power of two that divides the size rounded up to its class,
/// at least 16, at most 4096. Above FA_CLASS_SIZE_MAX the object comes from the heap's large spans and is still
/// freed with fa_pool_free(). NULL when a limit or the system refuses (FA301, once a frame and lane), the budget of the tag or lane (FA302, FA304),
/// or size is 0.
FA_INLINE void *fa_pool_alloc(fa_worker *w, size_t size)
{
    if (FA_UNLIKELY(size - 1 >= FA_CLASS_SIZE_MAX)) return fa_pool_alloc_slow(w, size, FA_ALIGN_DEFAULT);
    void *p;
    if (FA_LIKELY(fa_magazine_pop(&w->magazines[fa_class_of(size)], &p))) return p;
    return fa_pool_alloc_slow(w, size, FA_ALIGN_DEFAULT);
}

/// [own] As fa_pool_alloc() at a chosen alignment: a power of two up to 4096; 0 stands for 16. NULL also for another one (FA903).
FA_INLINE void *fa_pool_alloc_aligned(fa_worker *w, size_t size, size_t align)
{
    if (align <= FA_ALIGN_DEFAULT && (align & (align - 1)) == 0) return fa_pool_alloc(w, size);
    return fa_pool_alloc_slow(w, size, align);
}

/// [own] As fa_pool_alloc_aligned(): `count` elements of `size` bytes, uninitialised; NULL also when the product overflows (FA914).
FA_INLINE void *fa_pool_alloc_array(fa_worker *w, size_t count, size_t size, size_t align)
{
    size_t bytes;
    if (FA_UNLIKELY(__builtin_mul_overflow(count, size, &bytes))) return fa_refuse_array(w, count, size);
    return fa_pool_alloc_aligned(w, bytes, align);
}

/// [own] Frees what a pool function of the same system returned, on whichever lane. NULL is allowed. A pointer that is no
/// pool object is diagnosed where it is noticed (FA201; FA002 for frame and scope memory), and ignored.
static inline void fa_pool_free(fa_worker *w, void *p)
{
    uint64_t unit = (uint64_t)((uintptr_t)p - w->region_base) >> FA_UNIT_SHIFT;
    if (FA_LIKELY(unit < w->region_units)) {
        uint32_t info = __atomic_load_n(&w->unit_info[unit], __ATOMIC_RELAXED);
        if (FA_LIKELY(info >> 8 == w->pool_info && fa_magazine_push(&w->magazines[info & 0xff], p))) return;
    }
    fa_pool_free_slow(w, p);
}

/// [own] `n` objects of `size` bytes at `align` (up to 4096) into out[0 … n), all or none; each is freed on its own or with
/// fa_pool_free_batch(). n = 0 is granted and touches nothing. False: as fa_pool_alloc_array(), and when `w` or `out` is NULL; nothing is
/// allocated then, and what `out` holds is undefined.
FA_API bool fa_pool_alloc_batch(fa_worker *w, size_t n, size_t size, size_t align, void **out);

/// [own] As fa_pool_free() for each of `objects`, NULLs among them included; all or some may have been allocated on other lanes. Nothing
/// happens when `w` or `objects` is NULL.
FA_API void fa_pool_free_batch(fa_worker *w, size_t n, void *const *objects);

/// [own] Large or long-lived objects, uninitialised: `size` bytes at `align`, any power of two; 0 stands for 16. Up to 32 KiB from slabs
/// of their own, then in units of 64 KiB, above 2 MiB in blocks of 2 MiB. NULL: size 0; an alignment that is none (FA903); a limit, a budget or
/// the system refuses (diagnosed as in fa_pool_alloc()); NULL worker.
FA_API void *fa_heap_alloc(fa_worker *w, size_t size, size_t align);

/// [own] Frees what fa_heap_alloc() of the same system returned, on whichever lane. NULL is allowed, for the worker too (nothing
/// is freed then); wrong pointers as in fa_pool_free().
FA_API void fa_heap_free(fa_worker *w, void *p);

/// [any] Frees a pool or heap object from a thread that need not be attached. NULL is allowed, for the system too (nothing is
/// freed then); wrong pointers as in fa_pool_free().
FA_API void fa_free_any(fa_system *fa, void *p);

/// [any] Bytes that may be used at p, at least those asked for; 0 if p is no pool or heap object of this system, or NULL. Checked systems also
/// notice an object of the caller's own lane that was freed (FA201, 0).
FA_API size_t fa_usable_size(const fa_system *fa, const void *p);

/// [own] As fa_heap_alloc(): `count` elements of `size` bytes; NULL also when the product overflows (FA914).
FA_INLINE void *fa_heap_alloc_array(fa_worker *w, size_t count, size_t size, size_t align)
{
    size_t bytes;
    if (FA_UNLIKELY(__builtin_mul_overflow(count, size, &bytes))) return fa_refuse_array(w, count, size);
    return fa_heap_alloc(w, bytes, align);
}

/// [own] As fa_pool_alloc_array(), zeroed.
FA_INLINE void *fa_pool_alloc_zeroed(fa_worker *w, size_t count, size_t size, size_t align)
{
    return fa_zero(fa_pool_alloc_array(w, count, size, align), count, size);
}

/// [own] As fa_heap_alloc_array(), zeroed.
FA_INLINE void *fa_heap_alloc_zeroed(fa_worker *w, size_t count, size_t size, size_t align)
{
    return fa_zero(fa_heap_alloc_array(w, count, size, align), count, size);
}

#ifdef __cplusplus
#define FA_POOL_CAST(T, p) (static_cast<T>(p))
#define FA_POOL_ALIGNOF(T) alignof(T)
#else
#define FA_POOL_CAST(T, p) ((T)(p))
#define FA_POOL_ALIGNOF(T) _Alignof(T)
#endif

/// Typed forms: a T, or n of them, uninitialised or zeroed. NULL as their functions.
#define fa_pool_new(w, T) FA_POOL_CAST(T *, fa_pool_alloc_aligned((w), sizeof(T), FA_POOL_ALIGNOF(T)))
#define fa_pool_array(w, T, n) FA_POOL_CAST(T *, fa_pool_alloc_array((w), (n), sizeof(T), FA_POOL_ALIGNOF(T)))
#define fa_heap_new(w, T) FA_POOL_CAST(T *, fa_heap_alloc((w), sizeof(T), FA_POOL_ALIGNOF(T)))
#define fa_heap_array(w, T, n) FA_POOL_CAST(T *, fa_heap_alloc_array((w), (n), sizeof(T), FA_POOL_ALIGNOF(T)))
#define fa_pool_zeroed(w, T, n) FA_POOL_CAST(T *, fa_pool_alloc_zeroed((w), (n), sizeof(T), FA_POOL_ALIGNOF(T)))
#define fa_heap_zeroed(w, T, n) FA_POOL_CAST(T *, fa_heap_alloc_zeroed((w), (n), sizeof(T), FA_POOL_ALIGNOF(T)))
