// SPDX-License-Identifier: MIT
//
// Handles: stable names of objects that may move. A handle is resolved when it is used and never resolves to another object than its own;
// fa_handles_compact() moves objects together, so that memory that became sparse goes back.
//
// How long an address is good. What fa_handle_resolve() answered stays readable until the lane's next quiescent state (the end of the job;
// on the main lane until fa_frame_end() or fa_idle_begin(); on an attached thread until fa_quiescent(), fa_idle_begin() or fa_detach()),
// also when the object is moved or freed meanwhile: old bytes live one grace period. It is the current address for as long as nothing
// moves the object: while it is pinned, while it is not relocatable, and while no fa_handles_compact() can run.
//
// Who may write. Whoever writes through an address that a compaction could make old pins the object first. That is: jobs of frames that
// overlap the next one (frames_in_flight above 1) and attached threads. The main lane, and jobs with one frame in flight, need no pin:
// compaction runs on the main lane between frames. Two lanes that use one object at once still agree among themselves who writes.
//
// A pin and a move of the same object. A slot keeps place, "moving" and the number of pins in one word, so each step is one
// compare-and-swap on it:
//
//     mover   unpinned -> moving;  copies;  moving -> new place: the move is done and published in one step
//     pin     n pins -> n + 1 pins, takes "moving" off
//     free    unpinned -> 0, also off "moving"
//
// A pin that meets a copy in progress cancels the move: the mover's second step fails, it gives the copy up, and the object stays where the
// pin found it. A pin after the second step finds the new place. Either way the pinned address is the only current one, and neither
// ever waits for the other. A word cannot come back to an earlier value under a lane that is between its load and its compare-and-swap:
// it would have to name the same memory again, which is not reused before that lane has passed a quiescent state.
//
// What [own], [main] and [any] mean, and what a wrong thread, NULL, size or alignment is answered: base.h. A refused call changes nothing.
#pragma once

#include <framealloc/worker.h>

/// Names an object. {0} is dangling: it never names any. Compare with fa_handle_equal(). One of another system is stale here, unless this one's slot
/// was used some 2^24 times.
typedef struct fa_handle {
    uint32_t index;
    uint32_t generation; // of the slot; never 0 in a handle that names an object, never used twice
} fa_handle;

/// Called on the main lane, inside fa_handles_compact(), after an object has moved: `to` is what the handle resolves to from now on, the
/// bytes at `from` stay readable for a grace period. No lock is held: it may resolve, pin, allocate and free, but not compact (FA_ERROR_STATE)
/// nor begin or end frames. Other lanes may see the object at `to` before it runs.
typedef void fa_relocate_fn(const void *from, void *to, void *context);

/// NULL and {0} mean: relocatable, nobody is told.
typedef struct fa_handle_options {
    bool fixed;                  // never moved
    fa_relocate_fn *on_relocate; // NULL: nobody is told
    void *context;               // passed to on_relocate
} fa_handle_options;

/// Place in memory, "moving" and pins of one object; see above. Nothing here is for users to read or write.
typedef struct fa_handle_slot {
    uint64_t place; // ((address - handle_base) / 16) << 27 | moving << 26 | pins; 0 while the slot is free
    uint32_t generation;
    uint32_t link;
} fa_handle_slot;

#define FA_HANDLE_PLACE_SHIFT 27
/// Most pins of one object at a time.
#define FA_HANDLE_PINS_MAX ((UINT32_C(1) << 26) - 1)

/// [any] Whether two handles name the same object; false if not. Two dangling ones are equal.
static inline bool fa_handle_equal(fa_handle a, fa_handle b)
{
    return a.index == b.index && a.generation == b.generation;
}

/// [any] Whether it is dangling, as {0} is; false also for one that is stale.
static inline bool fa_handle_is_none(fa_handle handle)
{
    return handle.generation == 0;
}

/// [own] An object of `size` bytes, uninitialised, at `align`: any power of two, 0 stands for 16, another is refused (FA903). Objects above 8 KiB
/// have memory of their own and never move: moving them would free nothing. Answers {0} when size is 0, handles_max slots are in use (FA301, once
/// a frame and lane; a lane keeps some free ones at hand), a limit or the system refuses the memory (FA301 likewise), or a hard budget of the tag
/// does (FA302); also for w == NULL. `options` may be NULL and is copied.
FA_API fa_handle fa_handle_alloc(fa_worker *w, size_t size, size_t align, const fa_handle_options *options);

/// [own] As fa_handle_alloc(): `count` elements of `size` bytes; {0} also when the product overflows (FA914).
static inline fa_handle fa_handle_alloc_array(fa_worker *w, size_t count, size_t size, size_t align,
                                              const fa_handle_options *options)
{
    size_t bytes;
    if (FA_UNLIKELY(__builtin_mul_overflow(count, size, &bytes))) {
        fa_handle none = {0, 0};
        (void)fa_refuse_array(w, count, size);
        return none;
    }
    return fa_handle_alloc(w, bytes, align, options);
}

/// [own] Frees the object, whichever lane allocated it. The handle is stale at once, everywhere; the memory is used again after a grace
/// period. FA_ERROR_STALE: it names no object, freed ones included (FA401 in checked systems). FA_ERROR_BUSY: it is pinned. FA_ERROR_MEMORY:
/// the free could not be recorded; the next frame boundary makes room. FA_ERROR_INVALID: w == NULL. Nothing changed in any of these.
FA_API fa_status fa_handle_free(fa_worker *w, fa_handle handle);

/// [own] Slow path of fa_handle_resolve(): says so in checked systems (FA401). Answers NULL.
FA_API void *fa_handle_refuse(const fa_worker *w, fa_handle handle);

/// [own] The object's address, NULL if the handle names none or w is NULL; reports nothing. Two loads that do not depend on each other.
static inline void *fa_handle_peek(const fa_worker *w, fa_handle handle)
{
    if (FA_UNLIKELY(w == NULL || handle.index >= w->handle_count)) return NULL;
    const fa_handle_slot *slot = &w->handle_slots[handle.index];
    // [handle.place] acquire: the object as its allocation or its move left it; and a place that is another object's comes with that
    // object's generation, which the load below therefore sees.
    uint64_t place = __atomic_load_n(&slot->place, __ATOMIC_ACQUIRE);
    uint32_t generation = __atomic_load_n(&slot->generation, __ATOMIC_RELAXED);
    if (FA_UNLIKELY(generation != handle.generation || place == 0)) return NULL;
    return (void *)(w->handle_base + (uintptr_t)(place >> FA_HANDLE_PLACE_SHIFT << 4));
}

/// [own] The object's address now; good for how long, and for what, is said above. No lock, no read-modify-write. NULL: the handle is dangling
/// or stale (FA401 in checked systems), or w is NULL.
static inline void *fa_handle_resolve(const fa_worker *w, fa_handle handle)
{
    void *p = fa_handle_peek(w, handle);
    return FA_LIKELY(p != NULL) ? p : fa_handle_refuse(w, handle);
}

/// [own] Whether the handle names an object; false also for a NULL worker. Reports nothing.
static inline bool fa_handle_is_valid(const fa_worker *w, fa_handle handle)
{
    return fa_handle_peek(w, handle) != NULL;
}

/// [own] Keeps the object where it is until the same number of fa_handle_unpin(), on any lane, and alive. Returns its address; NULL as
/// fa_handle_resolve(), and with FA_HANDLE_PINS_MAX pins (FA401). Never waits. Objects that never move are pinned the same way.
FA_API void *fa_handle_pin(fa_worker *w, fa_handle handle);

/// [own] Takes one pin off. FA_ERROR_STATE: there is none (FA401); nothing changed. FA_ERROR_STALE: it names no object
/// (FA401 in checked systems). FA_ERROR_INVALID: NULL worker.
FA_API fa_status fa_handle_unpin(fa_worker *w, fa_handle handle);

/// A pin that ends with its scope.
typedef struct fa_handle_pinned {
    fa_worker *w;
    fa_handle handle;
    void *object; // NULL: it could not be pinned
} fa_handle_pinned;

/// [own] What FA_HANDLE_PINNED expands to, for use by hand: fa_handle_pin(). NULL `object`: it was refused, for a NULL worker too.
static inline fa_handle_pinned fa_handle_pinned_begin(fa_worker *w, fa_handle handle)
{
    fa_handle_pinned pinned = {w, handle, fa_handle_pin(w, handle)};
    return pinned;
}

/// [own] Takes that pin off; nothing happens if there is none, or the second time. `pinned` must not be NULL. One that is refused keeps its pin.
static inline void fa_handle_pinned_end(fa_handle_pinned *pinned)
{
    if (pinned->object != NULL && fa_handle_unpin(pinned->w, pinned->handle) == FA_OK) pinned->object = NULL;
}

/// FA_HANDLE_PINNED(w, handle, agent); use agent.object, which is NULL if the handle is stale; the pin ends where `agent` goes out of scope,
/// on every way out of it but longjmp.
#define FA_HANDLE_PINNED(w, handle, name)                                                                              \
    __attribute__((cleanup(fa_handle_pinned_end))) fa_handle_pinned name = fa_handle_pinned_begin((w), (handle))

/// What one compaction did.
typedef struct fa_handle_compaction {
    uint32_t moves; // objects moved
    uint64_t bytes; // in them, as asked for
    uint32_t
        blocks; // of 64 KiB, emptied: they go back at the frame boundary that ends the grace period of what they held
    uint32_t pinned; // blocks left alone because something in them was pinned, or was pinned just then
    bool more;       // a budget ended it: the next call goes on
} fa_handle_compaction;

/// [main] Between frames: moves unpinned relocatable objects out of the emptiest blocks of their size into the fullest, so that there are fewer
/// blocks, and calls their on_relocate. Moves at most `max_moves` objects of together at most `max_bytes` (UINT32_MAX, SIZE_MAX: no limit) and
/// looks at no more than 256 blocks a size and 65 536 objects; 0 moves nothing. It begins only blocks that can be emptied, and the next call goes
/// on where a budget ended this one. Blocks that a running attached thread allocates from are left alone. `result` may be NULL. FA_ERROR_STATE: a
/// frame is open, or it is called from a job or from on_relocate. FA_ERROR_MEMORY: what has moved has moved, the rest found no memory to record
/// old copies. FA_ERROR_INVALID: NULL system. FA_ERROR_WRONG_THREAD. *result is zero when the call is refused.
FA_API fa_status fa_handles_compact(fa_system *fa, size_t max_bytes, uint32_t max_moves, fa_handle_compaction *result);

/// Lane counters as in fa_stats: exact at a frame boundary. Bytes are what the objects occupy.
typedef struct fa_handle_stats {
    uint64_t live; // objects
    uint64_t live_bytes;
    uint64_t allocs;    // since creation
    uint64_t fixed;     // live objects that options.fixed keeps in place
    uint64_t pinned;    // live objects with at least one pin
    uint64_t relocated; // moves since creation
    uint64_t relocated_bytes;
    uint64_t slots;      // ever used, of handles_max
    uint64_t slots_free; // of them, ready for use
    uint64_t slots_worn; // of them, retired because their generations are used up
    uint64_t blocks;     // of 64 KiB, that hold objects up to 8 KiB
    uint64_t refused;    // allocations refused because handles_max slots were in use
} fa_handle_stats;

/// [any] FA_ERROR_INVALID: NULL. FA_ERROR_UNSUPPORTED, and zeroes: a build without FA_STATISTICS.
FA_API fa_status fa_handle_stats_read(const fa_system *fa, fa_handle_stats *out);

#ifdef __cplusplus
#define FA_HANDLE_CAST(T, p) (static_cast<T>(p))
#define FA_HANDLE_ALIGNOF(T) alignof(T)
#else
#define FA_HANDLE_CAST(T, p) ((T)(p))
#define FA_HANDLE_ALIGNOF(T) _Alignof(T)
#endif

/// Typed forms: a handle to a T, or to n of them; its address as a T *.
#define fa_handle_new(w, T, options) fa_handle_alloc((w), sizeof(T), FA_HANDLE_ALIGNOF(T), (options))
#define fa_handle_array(w, T, n, options) fa_handle_alloc_array((w), (n), sizeof(T), FA_HANDLE_ALIGNOF(T), (options))
#define fa_handle_get(w, T, handle) FA_HANDLE_CAST(T *, fa_handle_resolve((w), (handle)))
