// SPDX-License-Identifier: MIT
//
// See image.h.
#include "image.h"

#include <png.h>
#include <setjmp.h>

static png_voidp take_memory(png_structp png, png_alloc_size_t size)
{
    fa_worker *w = png_get_mem_ptr(png);
    return fa_pool_alloc(w, size);
}

static void give_memory(png_structp png, png_voidp memory)
{
    fa_worker *w = png_get_mem_ptr(png);
    fa_pool_free(w, memory);
}

static void write_bytes(png_structp png, png_bytep bytes, size_t size)
{
    if (!output_write(png_get_io_ptr(png), bytes, size)) png_error(png, "write");
}

static void flush_bytes(png_structp png)
{
    (void)png; // output_commit() closes the file
}

/// libpng's own would print; the caller says what happened.
static void on_error(png_structp png, png_const_charp text)
{
    (void)text;
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp text)
{
    (void)png;
    (void)text;
}

/// Everything that may leave by longjmp() is in here, and no variable is changed between setjmp() and there.
static bool write_rows(png_structp png, png_infop info, const struct image *image)
{
    if (setjmp(png_jmpbuf(png)) != 0) return false;
    png_set_IHDR(png, info, image->width, image->height, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_set_sRGB(png, info, PNG_sRGB_INTENT_PERCEPTUAL);
    png_write_info(png, info);
    for (uint32_t y = 0; y < image->height; y++) {
        png_write_row(png, image->pixels + (size_t)y * image->width * 3);
    }
    png_write_end(png, info);
    return true;
}

bool image_write(fa_worker *w, const struct image *image, struct output *output)
{
    png_structp png = png_create_write_struct_2(PNG_LIBPNG_VER_STRING, NULL, on_error, on_warning, w, take_memory,
                                                give_memory);
    if (png == NULL) return false;
    png_infop info = png_create_info_struct(png);
    bool good = info != NULL;
    if (good) {
        png_set_write_fn(png, output, write_bytes, flush_bytes);
        good = write_rows(png, info, image);
    }
    png_destroy_write_struct(&png, &info);
    return good && !output->failed;
}
