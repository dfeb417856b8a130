// SPDX-License-Identifier: MIT
//
// Order keys: where a job stands in the order of submission, the same for any number of workers. A job's key is its
// parent's, extended by which of the parent's children it is; so sorting by key sorts as if everything had run depth
// first on one lane.
//
//     high   the path from the root in a prefix code that keeps order, cut off after 64 bits
//     low    a hash of the whole path, which decides between paths that agree in their first 64 bits
//
// Children count from 1, so that what a job does itself sorts before what its children do. A piece of a parallel loop
// is identified by its first item, in as many bits as the loop's length needs: pieces sort as their items do. Where the
// loop was cut must not show, so what the pieces do themselves sorts before what the children of all of them do: only
// the latter have the item in `high`, both have it in `low`.
//
// Owner-only: a key is written by the lane whose running job is the parent.
#pragma once

#include "alloc/lane.h"
#include "concurrent/check.h"

/// Hash of everything that happens on the main lane outside jobs; the same in every frame.
#define FAI_ORDER_ROOT UINT64_C(0x243f6a8885a308d3)

/// Hash of a parent's hash and a child's number: one full multiplication, both halves folded (as in wyhash, Wang Yi).
static inline uint64_t fai_order_mix(uint64_t parent, uint64_t child)
{
    __extension__ typedef unsigned __int128 wide;
    wide product = (wide)(parent ^ UINT64_C(0xa0761d6478bd642f)) * (child ^ UINT64_C(0xe7037ed1a0b428db));
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/// `code`: the extension, left-aligned; `length`: its bits.
static inline void fai_order_append(uint64_t *high, uint32_t *bits, uint64_t code, uint32_t length)
{
    FA_ASSERT(length >= 1 && length <= 64);
    if (*bits >= 64) return;
    *high |= code >> *bits;
    *bits = *bits + length < 64 ? *bits + length : 64;
}

/// Numbers from 128 on: a 1 per further byte, then a 0, then the number.
static inline void fai_order_append_long(uint64_t *high, uint32_t *bits, uint64_t number)
{
    FA_ASSERT(number >= 128 && number <= UINT32_MAX);
    if (number < UINT64_C(1) << 14)
        fai_order_append(high, bits, (UINT64_C(0x8000) | number) << 48, 16);
    else if (number < UINT64_C(1) << 21)
        fai_order_append(high, bits, (UINT64_C(0xc00000) | number) << 40, 24);
    else if (number < UINT64_C(1) << 28)
        fai_order_append(high, bits, (UINT64_C(0xe0000000) | number) << 32, 32);
    else
        fai_order_append(high, bits, UINT64_C(0xf0) << 56 | number << 24, 40);
}

/// The next child of `parent`; what is left to fill in of its key starts from zero. Always in line: it is a part of each submit and fork.
static inline __attribute__((always_inline)) void fai_order_child(fai_order *parent, uint64_t *high, uint64_t *low,
                                                                  uint32_t *bits)
{
    FA_ASSERT(parent != NULL && parent->bits <= 64);
    uint32_t number = ++parent->children;
    *high = parent->high;
    *bits = parent->bits;
    *low = fai_order_mix(parent->low, number);
    if (FA_LIKELY(number < 128))
        fai_order_append(high, bits, (uint64_t)number << 56, 8);
    else
        fai_order_append_long(high, bits, number);
}

/// Bits that tell `count` items apart.
static inline uint32_t fai_order_width(uint64_t count)
{
    return count > 1 ? 64 - (uint32_t)__builtin_clzll(count - 1) : 0;
}

/// The piece of `loop` (a key made by fai_order_child(), of `count` items) that starts at item `offset`. The hash keeps
/// the order of pieces too: exactly up to 2^48 items.
static inline fai_order fai_order_piece(const fai_order *loop, uint64_t offset, uint64_t count)
{
    FA_ASSERT(offset < count);
    fai_order piece = {.high = loop->high, .low = loop->low};
    uint32_t width = fai_order_width(count), bits = loop->bits, shift = width < 48 ? 0 : width - 48;
    if (width > 0) fai_order_append(&piece.high, &bits, offset << (64 - width), width);
    piece.bits = (uint16_t)bits;
    piece.piece = (uint16_t)(bits - loop->bits);
    uint64_t mask = (UINT64_C(1) << (width - shift)) - 1;
    piece.low = (loop->low & ~mask) | offset >> shift;
    return piece;
}

/// Root of the main lane, and of a thread that is attached: sorts after everything else.
static inline fai_order fai_order_root(uint32_t lane)
{
    FA_ASSERT(lane < 256);
    fai_order root = {.low = FAI_ORDER_ROOT};
    if (lane == 0) return root;
    root.high = (UINT64_C(0xff00) | lane) << 48;
    root.bits = 16;
    root.low = fai_order_mix(FAI_ORDER_ROOT, lane);
    return root;
}
