// SPDX-License-Identifier: MIT
//
// See wad.h. Sizes and offsets are signed in the file and are checked as int64_t, so that no sum of two can overflow.
#include "wad.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEADER_BYTES 12
#define ENTRY_BYTES 16

static bool read_at(const struct wad *wad, void *to, size_t size, int64_t offset, struct failure *failure)
{
    uint8_t *next = to;
    while (size > 0) {
        ssize_t got = pread(wad->file, next, size, (off_t)offset);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return fail(failure, "cannot read '%s': %s", wad->path, strerror(errno));
        if (got == 0) return fail(failure, "'%s' ended while it was read", wad->path);
        next += got;
        size -= (size_t)got;
        offset += got;
    }
    return true;
}

static bool open_file(struct wad *wad, int64_t *size, struct failure *failure)
{
    // O_NONBLOCK: opening a FIFO by mistake must not hang before fstat() can refuse it.
    wad->file = open(wad->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (wad->file < 0) return fail(failure, "cannot open '%s': %s", wad->path, strerror(errno));
    struct stat status;
    if (fstat(wad->file, &status) != 0) return fail(failure, "cannot read '%s': %s", wad->path, strerror(errno));
    if (!S_ISREG(status.st_mode)) return fail(failure, "'%s' is not a file", wad->path);
    *size = status.st_size;
    return true;
}

void wad_copy_name(char to[9], const uint8_t from[8])
{
    size_t length = 0;
    while (length < 8 && from[length] != 0) {
        to[length] = isprint(from[length]) ? (char)toupper(from[length]) : '?';
        length++;
    }
    to[length] = '\0';
}

static bool take_entry(const struct wad *wad, const uint8_t *entry, int64_t file_size, uint32_t number,
                       struct wad_lump *lump, struct failure *failure)
{
    int32_t offset = wad_i32(entry);
    int32_t size = wad_i32(entry + 4);
    wad_copy_name(lump->name, entry + 8);
    if (size < 0) {
        return fail(failure, "'%s' is damaged: lump %u (%s) has the size %d", wad->path, number, lump->name, size);
    }
    // Markers are empty and often carry an offset of no meaning.
    if (size == 0) offset = 0;
    if (offset < 0 || (int64_t)offset + size > file_size) {
        return fail(failure, "'%s' is damaged: lump %u (%s) lies outside the file", wad->path, number, lump->name);
    }
    lump->offset = (uint32_t)offset;
    lump->size = (uint32_t)size;
    return true;
}

static bool read_directory(struct wad *wad, const struct memory *memory, int64_t offset, int64_t file_size,
                           struct failure *failure)
{
    size_t bytes = (size_t)wad->lump_count * ENTRY_BYTES;
    uint8_t *entries = fa_alloc_with(&memory->scratch, bytes, 0);
    wad->lumps = memory_array(&memory->level, wad->lump_count, sizeof *wad->lumps);
    bool good = entries != NULL && wad->lumps != NULL;
    if (!good) (void)fail(failure, "no memory for the directory of '%s'", wad->path);
    good = good && read_at(wad, entries, bytes, offset, failure);
    for (uint32_t i = 0; good && i < wad->lump_count; i++) {
        good = take_entry(wad, entries + (size_t)i * ENTRY_BYTES, file_size, i, &wad->lumps[i], failure);
    }
    return good;
}

static bool read_wad(struct wad *wad, const struct memory *memory, struct failure *failure)
{
    int64_t size = 0;
    uint8_t header[HEADER_BYTES];
    if (!open_file(wad, &size, failure)) return false;
    if (size < HEADER_BYTES)
        return fail(failure, "'%s' is not a WAD file: it has %lld bytes", wad->path, (long long)size);
    if (!read_at(wad, header, sizeof header, 0, failure)) return false;
    if (memcmp(header, "IWAD", 4) != 0 && memcmp(header, "PWAD", 4) != 0) {
        return fail(failure, "'%s' is not a WAD file: it does not begin with IWAD or PWAD", wad->path);
    }
    int32_t count = wad_i32(header + 4);
    int32_t offset = wad_i32(header + 8);
    if (count <= 0) return fail(failure, "'%s' is damaged: its directory has %d lumps", wad->path, count);
    if (offset < HEADER_BYTES || offset + (int64_t)count * ENTRY_BYTES > size) {
        return fail(failure, "'%s' is damaged: its directory of %d lumps at %d lies outside the file", wad->path, count,
                    offset);
    }
    wad->lump_count = (uint32_t)count;
    return read_directory(wad, memory, offset, size, failure);
}

bool wad_open(const char *path, const struct memory *memory, struct wad *out, struct failure *failure)
{
    *out = (struct wad){.path = path, .file = -1};
    if (read_wad(out, memory, failure)) return true;
    wad_close(out);
    return false;
}

void wad_close(struct wad *wad)
{
    if (wad->path != NULL && wad->file >= 0) (void)close(wad->file);
    wad->path = NULL;
    wad->file = -1;
}

bool wad_read(const struct wad *wad, uint32_t lump, const fa_allocator *to, uint8_t **out, struct failure *failure)
{
    const struct wad_lump *entry = &wad->lumps[lump];
    uint8_t *bytes = fa_alloc_with(to, entry->size > 0 ? entry->size : 1, 0);
    if (bytes == NULL) return fail(failure, "no memory for lump %s of '%s'", entry->name, wad->path);
    *out = bytes;
    return read_at(wad, bytes, entry->size, entry->offset, failure);
}

bool wad_is_named(const struct wad_lump *lump, const char *name)
{
    return strcasecmp(lump->name, name) == 0;
}
