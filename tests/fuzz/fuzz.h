// SPDX-License-Identifier: MIT
//
// What the fuzz targets share: a reader of the input's bytes, which never runs out, and a check that ends the program.
//
// A target is one file with LLVMFuzzerTestOneInput(). With libFuzzer (preset `fuzz`) it is searched for inputs that fail; in every other build
// replay.c runs the corpus and inputs at random. A run is a function of its input alone.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/// Ends the program unless a fact holds.
#define FUZZ_CHECK(fact) ((fact) ? (void)0 : fuzz_failed(#fact, __FILE__, __LINE__))

_Noreturn static inline void fuzz_failed(const char *fact, const char *file, int line)
{
    fprintf(stderr, "%s:%d: not so: %s\n", file, line, fact);
    abort();
}

/// FUZZ_PLANTED=1: the target's own idea of what is right is wrong on purpose, which must be found.
static inline bool fuzz_is_planted(void)
{
    const char *planted = getenv("FUZZ_PLANTED");
    return planted != NULL && *planted == '1';
}

/// The input that is not read yet; zeros behind its end.
struct fuzz_bytes {
    const uint8_t *at;
    size_t left;
};

static inline uint8_t fuzz_u8(struct fuzz_bytes *bytes)
{
    if (bytes->left == 0) return 0;
    bytes->left--;
    return *bytes->at++;
}

static inline uint64_t fuzz_u64(struct fuzz_bytes *bytes)
{
    uint64_t value = 0;
    for (int i = 0; i < 8; i++) value |= (uint64_t)fuzz_u8(bytes) << (8 * i);
    return value;
}
