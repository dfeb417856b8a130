// SPDX-License-Identifier: MIT
//
// The table of a map: see map.h. A place holds the lower half of its entry's hash, so that probing, and moving places back, looks at no key.
//
//     places in use == count <= capacity <= 3/4 of all places; so a probe always ends at an empty one
//     between the place where an entry's hash points and the place it is in, no place is empty
#include "concurrent/check.h"

#include <framealloc/map.h>

_Static_assert(FA_CAPACITY_MAX < UINT32_MAX, "the number of an entry fits in half a place");
_Static_assert(sizeof(size_t) == sizeof(uint64_t), "places are counted in 64 bits");

/// The smallest power of two with a quarter left over.
static size_t place_count(size_t capacity)
{
    size_t wanted = capacity + (capacity + 2) / 3 + 1, count = 4;
    while (count < wanted) count *= 2;
    return count;
}

static uint64_t place_of(uint64_t hash, size_t entry)
{
    FA_ASSERT(entry < FA_CAPACITY_MAX);
    return hash << 32 | (uint64_t)(entry + 1);
}

fa_status fa_map_init(fa_worker *w, fa_map *map, fa_home home, size_t capacity, size_t entry_size, size_t align)
{
    if (map == NULL) return FA_ERROR_INVALID;
    *map = (fa_map){0};
    if (entry_size == 0) return FA_ERROR_INVALID;
    size_t places = capacity > 0 && capacity <= FA_CAPACITY_MAX ? place_count(capacity) : 0;
    // Entries first, and then the places, as one array of `capacity` shares: overflow is checked once, there.
    size_t per_entry = places > 0 ? (places * sizeof(uint64_t) + capacity - 1) / capacity : 0, share;
    if (__builtin_add_overflow(entry_size, per_entry + sizeof(uint64_t), &share)) share = SIZE_MAX;
    void *entries;
    fa_status status = fa_storage_take(w, home, capacity, share, align, &map->storage, &entries);
    if (status != FA_OK || capacity == 0) return status;
    size_t entry_bytes = (capacity * entry_size + sizeof(uint64_t) - 1) & ~(sizeof(uint64_t) - 1);
    FA_ASSERT(entry_bytes + places * sizeof(uint64_t) <= capacity * share);
    map->entries = entries;
    map->places = (uint64_t *)(void *)((unsigned char *)entries + entry_bytes);
    map->capacity = capacity;
    map->mask = places - 1;
    fa_map_reset(map);
    return FA_OK;
}

void fa_map_reset(fa_map *map)
{
    map->count = 0;
    if (map->capacity > 0) memset(map->places, 0, (map->mask + 1) * sizeof *map->places);
}

void fa_map_link(fa_map *map, uint64_t hash)
{
    FA_ASSERT(map->count < map->capacity);
    size_t at = (size_t)hash & map->mask;
    while (map->places[at] != 0) at = (at + 1) & map->mask;
    map->places[at] = place_of(hash, map->count++);
}

/// Where the entry is; FA_MAP_NONE if it is not where its hash says.
static size_t locate(const fa_map *map, uint64_t hash, size_t entry)
{
    uint64_t wanted = place_of(hash, entry);
    size_t at = (size_t)hash & map->mask;
    for (; map->places[at] != 0; at = (at + 1) & map->mask)
        if (map->places[at] == wanted) return at;
    return FA_MAP_NONE;
}

/// Empties a place: what follows moves back unless it would pass the place that its hash points to.
static void remove_place(fa_map *map, size_t gap)
{
    for (size_t at = (gap + 1) & map->mask; map->places[at] != 0; at = (at + 1) & map->mask) {
        size_t home = (size_t)(map->places[at] >> 32) & map->mask;
        if (((at - home) & map->mask) < ((at - gap) & map->mask)) continue;
        map->places[gap] = map->places[at];
        gap = at;
    }
    map->places[gap] = 0;
}

bool fa_map_unlink(fa_map *map, size_t entry, uint64_t hash, uint64_t hash_of_last)
{
    FA_ASSERT(entry < map->count);
    size_t last = map->count - 1, place = locate(map, hash, entry), place_last = locate(map, hash_of_last, last);
    if (place == FA_MAP_NONE || place_last == FA_MAP_NONE) return false;
    if (last != entry) map->places[place_last] = place_of(hash_of_last, entry);
    map->count = last;
    remove_place(map, place);
    return true;
}
