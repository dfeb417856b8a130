// SPDX-License-Identifier: MIT
//
// Payloads: word i of an object is key + i * STEP, the bytes behind the last whole word repeat the key's lowest.
#include "stress.h"

#include <string.h>

#define STEP UINT64_C(0x9e3779b97f4a7c15)
#define WHOLE_WORDS 512 // up to here every word is visited
#define END_WORDS 32    // beyond, so many at both ends
#define STRIDE 512      // and between them a word in 4 KiB

#define SPOILED_OF 4096

static atomic_bool spoils;
static atomic_uint filled;

void stress_spoil_payloads(void)
{
    atomic_store(&spoils, true);
}

/// Whether this one is to be wrong.
static bool is_spoiled(void)
{
    if (!atomic_load_explicit(&spoils, memory_order_relaxed)) return false;
    return atomic_fetch_add_explicit(&filled, 1, memory_order_relaxed) % SPOILED_OF == SPOILED_OF - 1;
}

static size_t next_word(size_t word, size_t words)
{
    if (words <= WHOLE_WORDS || word + 1 < END_WORDS || word + 1 + END_WORDS >= words) return word + 1;
    size_t next = word + 1 == END_WORDS ? END_WORDS : word + STRIDE;
    return next + END_WORDS < words ? next : words - END_WORDS;
}

void stress_fill(void *p, size_t size, uint64_t key)
{
    unsigned char *bytes = p;
    size_t words = size / sizeof(uint64_t);
    for (size_t word = 0; word < words; word = next_word(word, words)) {
        uint64_t value = key + word * STEP;
        memcpy(bytes + word * sizeof value, &value, sizeof value);
    }
    memset(bytes + words * sizeof(uint64_t), (int)(key & 0xff), size % sizeof(uint64_t));
    if (size > 0 && is_spoiled()) bytes[size - 1] ^= 1;
}

ssize_t stress_check(const void *p, size_t size, uint64_t key)
{
    const unsigned char *bytes = p;
    size_t words = size / sizeof(uint64_t);
    for (size_t word = 0; word < words; word = next_word(word, words)) {
        uint64_t value;
        memcpy(&value, bytes + word * sizeof value, sizeof value);
        if (value != key + word * STEP) return (ssize_t)(word * sizeof value);
    }
    for (size_t i = words * sizeof(uint64_t); i < size; i++)
        if (bytes[i] != (key & 0xff)) return (ssize_t)i;
    return -1;
}
