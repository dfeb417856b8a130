// SPDX-License-Identifier: MIT
//
// See paths.h.
#include "paths.h"

#include <assert.h>
#include <string.h>

_Static_assert(sizeof(struct path) % 8 == 0, "digests go by words of 8 bytes");
_Static_assert(PATCH_BYTES % 8 == 0, "the steps of a part begin on a word");

static uint32_t part_bytes(uint32_t length)
{
    return PATCH_BYTES + ((length + 7u) & ~7u);
}

size_t path_bytes(uint32_t length, const struct path_view *previous)
{
    return sizeof(struct path) + part_bytes(length) + (previous == NULL ? 0 : part_bytes(previous->length));
}

static uint64_t digest_bytes(uint64_t digest, const void *bytes, size_t size)
{
    assert(size % 8 == 0);
    for (size_t i = 0; i < size; i += 8) {
        uint64_t word;
        memcpy(&word, (const uint8_t *)bytes + i, 8);
        digest = digest_add(digest, word);
    }
    return digest;
}

static uint64_t digest_head(const struct path *path)
{
    size_t from = offsetof(struct path, key);
    return digest_bytes(DIGEST_START, (const uint8_t *)path + from, sizeof *path - from);
}

static uint32_t fill_part(struct path *path, unsigned part, uint32_t offset, uint32_t version,
                          const struct path_view *view)
{
    path->parts[part] = (struct path_part){version, view->epoch, view->length, offset};
    memcpy(path->bytes + offset, view->patch, PATCH_BYTES);
    if (view->length > 0) memcpy(path->bytes + offset + PATCH_BYTES, view->steps, view->length);
    return offset + part_bytes(view->length);
}

void path_fill(struct path *path, uint32_t key, uint32_t version, const struct path_view *view,
               uint32_t previous_version, const struct path_view *previous)
{
    path->key = key;
    path->size = fill_part(path, 0, 0, version, view);
    if (previous != NULL) path->size = fill_part(path, 1, path->size, previous_version, previous);
    path->head = digest_head(path);
    path->seal = digest_bytes(path->head, path->bytes, path->size);
}

bool path_head_is_good(const struct path *path, uint32_t key)
{
    return path->key == key && path->head == digest_head(path);
}

bool path_is_good(const struct path *path, uint32_t key)
{
    // The head first: it says how many bytes there are.
    return path_head_is_good(path, key) && path->seal == digest_bytes(path->head, path->bytes, path->size);
}

bool path_find(const struct path *path, uint32_t version, struct path_view *out)
{
    for (unsigned i = 0; i < 2; i++) {
        const struct path_part *part = &path->parts[i];
        if (part->version != version || version == 0) continue;
        const uint8_t *bytes = path->bytes + part->offset;
        *out = (struct path_view){bytes, bytes + PATCH_BYTES, part->length, part->epoch};
        return true;
    }
    return false;
}
