// SPDX-License-Identifier: MIT
//
// The part of a lane's context that inlined fast paths touch: two bump windows and the magazines of the pool.
// It is laid out in the open so that an allocation is a few plain loads and stores in the caller; nothing here is
// for users to read or write.
//
// Invariants
//   frame_cursor <= frame_end, both 16-byte aligned; the free part of the lane's current frame block lies between.
//   scope_cursor <= scope_end, likewise for scope memory.
//   Both windows are empty (cursor == end) when the lane has none, and always in instrumented builds: the inline
//   path then falls through to the library, which is how sanitizers and checks see every allocation without a
//   single #if here.
//   fa_magazine_count(m) <= m->limit <= FA_MAGAZINE_SLOTS; slots[0..count) are free objects of the magazine's class
//   from slabs that this lane owns.
//
// What [own], [main] and [any] mean, and what a wrong thread, NULL, size or alignment is answered: base.h. A refused call changes nothing.
#pragma once

#include <framealloc/base.h>

#include <string.h>

/// Size classes of the pool: 16 to 128 bytes in steps of 16, then four per doubling up to 32 KiB.
#define FA_CLASS_COUNT 40
#define FA_CLASS_SIZE_MAX 32768u
/// A set with every class, one bit each.
#define FA_CLASSES_ALL ((UINT64_C(1) << FA_CLASS_COUNT) - 1)
/// Free objects that a lane keeps at hand per class; a magazine is then 512 bytes.
#define FA_MAGAZINE_SLOTS 62
/// Alignment of every allocation that asks for no other, bytes.
#define FA_ALIGN_DEFAULT 16u
/// log2 of a unit: memory is owned, and a pointer's owner found, in steps of 64 KiB.
#define FA_UNIT_SHIFT 16

typedef struct fa_magazine {
    uint64_t state; // objects handed out since the system was created << 8 | free objects at hand
    uint64_t limit;
    void *slots[FA_MAGAZINE_SLOTS];
} fa_magazine;

struct FA_CAPABILITY fa_worker {
    // owner: the lane's thread
    unsigned char *frame_cursor;
    unsigned char *frame_end;
    unsigned char *scope_cursor;
    unsigned char *scope_end;
    // immutable after attach
    uintptr_t region_base;     // first byte of the system's address range
    uint64_t region_units;     // its length in units
    const uint32_t *unit_info; // per unit: lane << 24 | tag << 16 | kind << 8 | class; read with a relaxed atomic load
    uint32_t index;            // lane number; 0 is the main lane, workers follow, then attached threads
    fa_system *system;
    struct fa_handle_slot *handle_slots; // see handle.h
    uintptr_t handle_base;               // what places of handles count from
    uint32_t handle_count;               // slots in the table
    // owner: the lane's thread
    uint32_t pool_info;     // unit_info >> 8 of this lane's pool slabs under its current tag
    fa_magazine *magazines; // FA_CLASS_COUNT of them, of that tag
};

/// [own] Reports an array whose size does not fit in size_t (FA914); returns NULL. For the inlined functions that find out.
FA_API void *fa_refuse_array(fa_worker *w, size_t count, size_t size);

/// Zeroes `count` elements of `size` bytes that were just allocated at p; NULL stays NULL.
static inline void *fa_zero(void *p, size_t count, size_t size)
{
    return p != NULL ? memset(p, 0, count * size) : NULL;
}

/// [own] Free objects at hand.
static inline uint32_t fa_magazine_count(const fa_magazine *magazine)
{
    return magazine->state & 0xff;
}

/// [own] Takes an object out of the magazine; false when it is empty. One store keeps both counts.
static inline bool fa_magazine_pop(fa_magazine *magazine, void **out)
{
    uint64_t state = magazine->state;
    uint32_t count = state & 0xff;
    if (FA_UNLIKELY(count == 0)) return false;
    magazine->state = state + 0xff;
    *out = magazine->slots[count - 1];
    return true;
}

/// [own] Puts an object into the magazine; false when it is full.
static inline bool fa_magazine_push(fa_magazine *magazine, void *p)
{
    uint64_t state = magazine->state;
    uint32_t count = state & 0xff;
    if (FA_UNLIKELY(count >= magazine->limit)) return false;
    magazine->slots[count] = p;
    magazine->state = state + 1;
    return true;
}

/// [own] The class that serves `size` bytes; size must be 1 to FA_CLASS_SIZE_MAX. A constant size folds away.
static inline uint32_t fa_class_of(size_t size)
{
    if (size <= 128) return (uint32_t)((size + 15) / 16) - 1;
    uint32_t top = 63u - (uint32_t)__builtin_clzll((unsigned long long)(size - 1)); // 2^top <= size - 1
    return 8 + (top - 7) * 4 + (uint32_t)(((size - 1) >> (top - 2)) & 3);
}
