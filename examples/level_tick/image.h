// SPDX-License-Identifier: MIT
//
// A picture as a PNG file. libpng and zlib take their memory from the pool of the lane that writes.
#pragma once

#include "output.h"

#include <framealloc/framealloc.h>

struct image {
    uint32_t width;
    uint32_t height;
    uint8_t *pixels; // 3 bytes each, row by row from the top
};

/// Writes the picture into an open output; false when libpng could not, or when writing failed.
bool image_write(fa_worker *w, const struct image *image, struct output *output);
