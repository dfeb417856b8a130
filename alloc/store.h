// SPDX-License-Identifier: MIT
//
// The library's own memory: what lists, groups, scratch pools, handles and streams are cut from. Taken on a lane, given back on any;
// users cannot free it by address.
#pragma once

#include "alloc/lane.h"

/// [owner] `size` bytes, uninitialised, at `align` (a power of two, any): up to 32 KiB at 4096 from slabs, then in units of 64 KiB, above
/// 2 MiB in blocks. NULL: the limit or the system refuses.
void *fai_store_take(fai_lane *lane, size_t size, size_t align);

/// [owner] Gives it back, on whichever lane; it travels home like any other free.
void fai_store_give(fai_lane *lane, void *p);

/// [owner] The same for memory that this lane took itself.
void fai_store_give_own(fai_lane *lane, void *p);

/// [any] Whether p lies in the first unit of what a store gave out; p is in the address range.
bool fai_store_has(const fai_memory *memory, const void *p);

/// [any] Bytes that may be used at p, at least those asked for; p was taken and not given back.
size_t fai_store_size(const fai_memory *memory, const void *p);

/// Bytes that fai_store_size() will answer for memory of this size and alignment; `size` is no more than the address range.
size_t fai_store_room(size_t size, size_t align);
