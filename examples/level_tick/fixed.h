// SPDX-License-Identifier: MIT
//
// Numbers of the simulated world: 24.8 fixed point, integer square root, hashes.
//
// Everything that the simulation decides is computed here in integers, so that the world's checksum is the same for
// every compiler, optimisation level and sanitizer. A level spans at most 2^15 map units, so that a coordinate needs 24
// bits, a difference 25 and a product of two differences 50: no product below can overflow an int64_t.
#pragma once

#include <stdint.h>

#define FIX_SHIFT 8
#define FIX_ONE (1 << FIX_SHIFT)
/// Map units as fixed point.
#define FIX(units) ((int32_t)(units)*FIX_ONE)

/// A place or a vector in fixed point.
struct point {
    int32_t x;
    int32_t y;
};

static inline struct point point_minus(struct point a, struct point b)
{
    return (struct point){a.x - b.x, a.y - b.y};
}

/// Twice the signed area of the triangle 0, a, b: positive when b lies to the left of a.
static inline int64_t point_cross(struct point a, struct point b)
{
    return (int64_t)a.x * b.y - (int64_t)a.y * b.x;
}

static inline int64_t point_square(struct point a)
{
    return (int64_t)a.x * a.x + (int64_t)a.y * a.y;
}

/// The largest r with r * r <= n. Bit by bit from the highest even position: about one step per result bit.
static inline uint32_t fix_sqrt(uint64_t n)
{
    if (n == 0) return 0;
    uint64_t bit = (uint64_t)1 << ((63u - (unsigned)__builtin_clzll(n)) & ~1u);
    uint64_t root = 0;
    while (bit != 0) {
        if (n >= root + bit) {
            n -= root + bit;
            root = (root >> 1) + bit;
        } else {
            root >>= 1;
        }
        bit >>= 2;
    }
    return (uint32_t)root;
}

static inline int32_t fix_length(struct point a)
{
    return (int32_t)fix_sqrt((uint64_t)point_square(a));
}

/// `a` shortened to at most `length`.
static inline struct point point_limit(struct point a, int32_t length)
{
    int64_t square = point_square(a);
    if (square <= (int64_t)length * length) return a;
    int64_t now = (int64_t)fix_sqrt((uint64_t)square);
    // NOLINTNEXTLINE(clang-analyzer-core.DivideZero): the square is at least 1, and so is its root
    return (struct point){(int32_t)((int64_t)a.x * length / now), (int32_t)((int64_t)a.y * length / now)};
}

/// A well mixed function of its argument (the finaliser of splitmix64, Steele et al. 2014): the world's only "random".
static inline uint64_t hash_u64(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static inline uint64_t hash_three(uint64_t a, uint64_t b, uint64_t c)
{
    return hash_u64(hash_u64(hash_u64(a) ^ b) ^ c);
}

/// 0 to limit - 1, evenly; limit > 0.
static inline uint32_t hash_below(uint64_t hash, uint32_t limit)
{
    return (uint32_t)(((hash >> 32) * limit) >> 32);
}

/// A running checksum: start with DIGEST_START, feed words in order. FNV-1a's shape on 64-bit words, with a shift
/// so that high bits reach low ones.
#define DIGEST_START 0xcbf29ce484222325u

static inline uint64_t digest_add(uint64_t digest, uint64_t word)
{
    digest = (digest ^ word) * 0x100000001b3u;
    return digest ^ (digest >> 29);
}
