// SPDX-License-Identifier: MIT
//
// Hash maps of fixed capacity, in frame, scope, pool or heap memory. Capacity means capacity: exactly that many keys fit, updating one of them
// works when the map is full, and one more is refused and changes nothing.
//
//     FA_MAP(sightings, uint32_t, sighting);              // a type `sightings` from uint32_t to `sighting`, and its functions
//
//     sightings seen;
//     if (sightings_init(w, &seen, FA_HOME_FRAME, 256) != FA_OK) return;
//     if (sightings_insert(w, &seen, id, where, NULL) == FA_MAP_FULL) forgotten++;
//     const sighting *last = sightings_get(w, &seen, id);
//
// Entries lie side by side in the order of insertion, and a table of places, at most three quarters full, finds them: linear probing, with
// deletion by moving later places back (Knuth, The Art of Computer Programming 3, 6.4, algorithm R), so that no history of removals makes it slower.
// Iteration is over the entries; a removal moves the last entry into the gap. The order depends on the calls alone, not on addresses or hashes.
//
// Rules of lanes and lifetimes: storage.h.
//
// What [own], [main] and [any] mean, and what a wrong thread, NULL, size or alignment is answered: base.h. A refused call changes nothing.
#pragma once

#include <framealloc/storage.h>

/// What all maps are made of. {0} is an empty map of capacity 0.
typedef struct fa_map {
    uint64_t *places; // hash << 32 | number of the entry + 1; 0 is empty
    void *entries;
    size_t count; // <= capacity
    size_t capacity;
    size_t mask; // places - 1; a power of two less one
    fa_storage storage;
} fa_map;

typedef enum fa_map_put {
    FA_MAP_FULL,     // refused: nothing changed, key and value are the caller's
    FA_MAP_ADDED,    // a new entry
    FA_MAP_REPLACED, // the entry of an equal key is replaced, key and value
} fa_map_put;

// Hashes ----------------------------------------------------------------------------------------------------------------

/// [any] Mixes 64 bits so that each depends on all: the finalizer of SplitMix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number
/// Generators", OOPSLA 2014) with the constants of D. Stafford's variant 13. A bijection.
static inline uint64_t fa_hash_u64(uint64_t x)
{
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

/// [any] The hash of `size` bytes: words of 8 folded by fa_hash_u64(), and the size. The same in every run; it does not resist an adversary who
/// chooses keys.
static inline uint64_t fa_hash_bytes(const void *bytes, size_t size)
{
    const unsigned char *p = FA_CAST(const unsigned char *, bytes);
    uint64_t hash = size, word = 0;
    for (; size >= sizeof word; size -= sizeof word, p += sizeof word) {
        memcpy(&word, p, sizeof word);
        hash = fa_hash_u64(hash ^ word) + UINT64_C(0x9e3779b97f4a7c15);
    }
    word = 0;
    if (size > 0) memcpy(&word, p, size);
    return fa_hash_u64(hash ^ word);
}

/// [any] The hash of a string that ends with 0.
static inline uint64_t fa_hash_string(const char *text)
{
    return fa_hash_bytes(text, strlen(text));
}

// The table -------------------------------------------------------------------------------------------------------------

/// No entry.
#define FA_MAP_NONE SIZE_MAX

/// [own] Memory for the entries and their table, in one piece. As fa_storage_take(); *map is {0} when it fails.
FA_API FA_MUST_CHECK fa_status fa_map_init(fa_worker *w, fa_map *map, fa_home home, size_t capacity, size_t entry_size,
                                           size_t align);

/// [own] Enters the entry map->count, which must not be in the table, and counts it; the map is not full.
FA_API void fa_map_link(fa_map *map, uint64_t hash);

/// [own] Takes `entry` out of the table; the last one gets its number (the caller moves it) and the count falls. Both hashes as when they were
/// entered. False: an entry is not where its hash says, because the hash function changed its mind or the key was changed; nothing changes.
FA_API bool fa_map_unlink(fa_map *map, size_t entry, uint64_t hash, uint64_t hash_of_last);

/// [own] Empties the table.
FA_API void fa_map_reset(fa_map *map);

/// The next entry with this hash from *place on, FA_MAP_NONE if there is none; *place begins as the hash.
static inline size_t fa_map_probe(const fa_map *map, uint64_t hash, size_t *place)
{
    if (map->capacity == 0) return FA_MAP_NONE;
    for (size_t at = *place & map->mask;; at = (at + 1) & map->mask) {
        uint64_t found = map->places[at];
        if (found == 0) return FA_MAP_NONE;
        if (found >> 32 != (hash & UINT32_MAX)) continue;
        *place = at + 1;
        return (size_t)(found & UINT32_MAX) - 1;
    }
}

// clang-format off
/// Defines the type `name`, a map from K to V with entries `name_entry {K key; V value;}`, and these functions; at file scope, K and V being any
/// complete types that assignment copies.
///
/// Keys are hashed and compared by their bytes, which is right for integers, pointers and structs without padding; for others (strings,
/// floats, structs with padding) use FA_MAP_BY(name, K, V, hash, equal) with `uint64_t hash(const K *)` and `bool equal(const K *, const K *)`:
/// equal keys have equal hashes, and the same in every call.
///
///     fa_status name_init(w, m, home, capacity)    [own] empty, with room for `capacity` keys; 0 is allowed. Errors: fa_storage_take();
///                                                  *m is {0} then. What *m was before is not looked at.
///     void name_on_drop(m, fn, context)            fn(name_entry *, void *context) is called for entries that leave without a taker
///     void name_exit(w, m)                         [own] drops all entries, gives pool and heap memory back; *m is {0} then
///     fa_map_put name_insert(w, m, key, value, old)  [own] an entry that is replaced goes to *old (is dropped if old is NULL)
///     V *name_get(w, m, key)                       [own] valid until an entry is removed; NULL: no such key
///     bool name_contains(w, m, key)                [own]
///     bool name_remove(w, m, key, old)             [own] the entry goes to *old (is dropped if old is NULL); false: no such key
///     name_entry *name_at(w, m, i)                 [own] the i-th entry, for iteration; NULL beyond the last. Its key must not be changed
///     void name_clear(w, m)                        [own] drops all
///     size_t name_count(m), name_capacity(m)
///     const V *name_read(m, key)                   [any lane, see storage.h] as name_get()
///     const name_entry *name_read_at(m, i)         [any lane, see storage.h] as name_at()
///     void name_cleanup(m)                         name_exit() on the lane that initialised it, for FA_COLLECTION_AUTO (vector.h)
///
/// Calls that are refused (checked systems) answer FA_MAP_FULL, NULL or false and change nothing, as they do for a NULL `m`; a NULL `w` is
/// refused in checked systems and not looked at in others.
#define FA_MAP(name, K, V)                                                                                             \
    FA_COLLECTION_FN uint64_t name##_hash_bytes_(K const *key)                                                         \
    {                                                                                                                  \
        return fa_hash_bytes(key, sizeof *key);                                                                        \
    }                                                                                                                  \
    FA_COLLECTION_FN bool name##_equal_bytes_(K const *a, K const *b)                                                  \
    {                                                                                                                  \
        return memcmp(a, b, sizeof *a) == 0;                                                                           \
    }                                                                                                                  \
    FA_MAP_BY(name, K, V, name##_hash_bytes_, name##_equal_bytes_)

#define FA_MAP_BY(name, K, V, hash_key, equal_keys)                                                                    \
    typedef struct name##_entry {                                                                                      \
        K key;                                                                                                         \
        V value;                                                                                                       \
    } name##_entry;                                                                                                    \
    typedef struct name {                                                                                              \
        fa_map core;                                                                                                   \
        void (*drop)(name##_entry *entry, void *context);                                                              \
        void *context;                                                                                                 \
    } name;                                                                                                            \
    FA_COLLECTION_FN FA_MUST_CHECK fa_status name##_init(fa_worker *w, name *m, fa_home home, size_t capacity)         \
        FA_NEEDS_LANE(w);                                                                                              \
    FA_COLLECTION_FN FA_MUST_CHECK fa_status name##_init(fa_worker *w, name *m, fa_home home, size_t capacity)         \
    {                                                                                                                  \
        if (m == NULL) return FA_ERROR_INVALID;                                                                        \
        m->drop = NULL;                                                                                                \
        m->context = NULL;                                                                                             \
        return fa_map_init(w, &m->core, home, capacity, sizeof(name##_entry), FA_ALIGNOF(name##_entry));               \
    }                                                                                                                  \
    FA_COLLECTION_FN bool name##_may_use_(fa_worker *w, const name *m)                                                 \
    {                                                                                                                  \
        return m != NULL && fa_storage_may_use(w, &m->core.storage);                                                   \
    }                                                                                                                  \
    FA_COLLECTION_FN name##_entry *name##_entries_(const name *m)                                                      \
    {                                                                                                                  \
        return FA_CAST(name##_entry *, m->core.entries);                                                               \
    }                                                                                                                  \
    FA_COLLECTION_FN size_t name##_count(const name *m)                                                                \
    {                                                                                                                  \
        return m != NULL ? m->core.count : 0;                                                                          \
    }                                                                                                                  \
    FA_COLLECTION_FN size_t name##_capacity(const name *m)                                                             \
    {                                                                                                                  \
        return m != NULL ? m->core.capacity : 0;                                                                       \
    }                                                                                                                  \
    FA_COLLECTION_FN void name##_on_drop(name *m, void (*fn)(name##_entry *entry, void *context), void *context)       \
    {                                                                                                                  \
        if (m == NULL) return;                                                                                         \
        m->drop = fn;                                                                                                  \
        m->context = context;                                                                                          \
    }                                                                                                                  \
    FA_COLLECTION_FN size_t name##_find_(const name *m, K const *key, uint64_t hash)                                   \
    {                                                                                                                  \
        size_t place = (size_t)hash, i;                                                                                \
        while ((i = fa_map_probe(&m->core, hash, &place)) != FA_MAP_NONE)                                              \
            if (equal_keys(&name##_entries_(m)[i].key, key)) break;                                                    \
        return i;                                                                                                      \
    }                                                                                                                  \
    FA_COLLECTION_FN V const *name##_read(const name *m, K key)                                                        \
    {                                                                                                                  \
        size_t i = m != NULL ? name##_find_(m, &key, hash_key(&key)) : FA_MAP_NONE;                                    \
        return i != FA_MAP_NONE ? &name##_entries_(m)[i].value : NULL;                                                 \
    }                                                                                                                  \
    FA_COLLECTION_FN const name##_entry *name##_read_at(const name *m, size_t i)                                       \
    {                                                                                                                  \
        return i < name##_count(m) ? name##_entries_(m) + i : NULL;                                                    \
    }                                                                                                                  \
    FA_COLLECTION_FN void name##_leave_(name *m, name##_entry *entry, name##_entry *old)                               \
    {                                                                                                                  \
        if (old != NULL)                                                                                               \
            *old = *entry;                                                                                             \
        else if (m->drop != NULL)                                                                                      \
            m->drop(entry, m->context);                                                                                \
    }                                                                                                                  \
    FA_COLLECTION_FN fa_map_put name##_insert(fa_worker *w, name *m, K key, V value, name##_entry *old)                \
        FA_NEEDS_LANE(w);                                                                                              \
    FA_COLLECTION_FN fa_map_put name##_insert(fa_worker *w, name *m, K key, V value, name##_entry *old)                \
    {                                                                                                                  \
        if (!name##_may_use_(w, m)) return FA_MAP_FULL;                                                                \
        uint64_t hash = hash_key(&key);                                                                                \
        size_t i = name##_find_(m, &key, hash);                                                                        \
        if (i == FA_MAP_NONE && m->core.count == m->core.capacity) return FA_MAP_FULL;                                 \
        name##_entry *entry = name##_entries_(m) + (i != FA_MAP_NONE ? i : m->core.count);                             \
        if (i != FA_MAP_NONE) name##_leave_(m, entry, old);                                                            \
        entry->key = key;                                                                                              \
        entry->value = value;                                                                                          \
        if (i == FA_MAP_NONE) fa_map_link(&m->core, hash);                                                             \
        return i != FA_MAP_NONE ? FA_MAP_REPLACED : FA_MAP_ADDED;                                                      \
    }                                                                                                                  \
    FA_COLLECTION_FN V *name##_get(fa_worker *w, name *m, K key) FA_NEEDS_LANE(w);                                     \
    FA_COLLECTION_FN V *name##_get(fa_worker *w, name *m, K key)                                                       \
    {                                                                                                                  \
        size_t i = name##_may_use_(w, m) ? name##_find_(m, &key, hash_key(&key)) : FA_MAP_NONE;                        \
        return i != FA_MAP_NONE ? &name##_entries_(m)[i].value : NULL;                                                 \
    }                                                                                                                  \
    FA_COLLECTION_FN bool name##_contains(fa_worker *w, name *m, K key) FA_NEEDS_LANE(w);                              \
    FA_COLLECTION_FN bool name##_contains(fa_worker *w, name *m, K key)                                                \
    {                                                                                                                  \
        return name##_get(w, m, key) != NULL;                                                                          \
    }                                                                                                                  \
    FA_COLLECTION_FN bool name##_remove(fa_worker *w, name *m, K key, name##_entry *old) FA_NEEDS_LANE(w);             \
    FA_COLLECTION_FN bool name##_remove(fa_worker *w, name *m, K key, name##_entry *old)                               \
    {                                                                                                                  \
        if (!name##_may_use_(w, m)) return false;                                                                      \
        uint64_t hash = hash_key(&key);                                                                                \
        size_t i = name##_find_(m, &key, hash);                                                                        \
        if (i == FA_MAP_NONE) return false;                                                                            \
        name##_entry *entries = name##_entries_(m), gone = entries[i];                                                 \
        if (!fa_map_unlink(&m->core, i, hash, hash_key(&entries[m->core.count - 1].key))) return false;                \
        if (i != m->core.count) entries[i] = entries[m->core.count];                                                   \
        name##_leave_(m, &gone, old);                                                                                  \
        return true;                                                                                                   \
    }                                                                                                                  \
    FA_COLLECTION_FN name##_entry *name##_at(fa_worker *w, name *m, size_t i) FA_NEEDS_LANE(w);                        \
    FA_COLLECTION_FN name##_entry *name##_at(fa_worker *w, name *m, size_t i)                                          \
    {                                                                                                                  \
        return name##_may_use_(w, m) && i < m->core.count ? name##_entries_(m) + i : NULL;                             \
    }                                                                                                                  \
    FA_COLLECTION_FN void name##_clear(fa_worker *w, name *m) FA_NEEDS_LANE(w);                                        \
    FA_COLLECTION_FN void name##_clear(fa_worker *w, name *m)                                                          \
    {                                                                                                                  \
        if (!name##_may_use_(w, m)) return;                                                                            \
        size_t count = m->core.count;                                                                                  \
        fa_map_reset(&m->core);                                                                                        \
        for (size_t i = 0; i < count; i++) name##_leave_(m, name##_entries_(m) + i, NULL);                             \
    }                                                                                                                  \
    FA_COLLECTION_FN void name##_exit(fa_worker *w, name *m) FA_NEEDS_LANE(w);                                         \
    FA_COLLECTION_FN void name##_exit(fa_worker *w, name *m)                                                           \
    {                                                                                                                  \
        if (!name##_may_use_(w, m)) return;                                                                            \
        name##_clear(w, m);                                                                                            \
        fa_storage_give(w, &m->core.storage);                                                                          \
        m->core.entries = m->core.places = NULL;                                                                       \
        m->core.capacity = m->core.mask = 0;                                                                           \
        name##_on_drop(m, NULL, NULL);                                                                                 \
    }                                                                                                                  \
    FA_COLLECTION_FN void name##_cleanup(name *m)                                                                      \
    {                                                                                                                  \
        fa_worker *w = m->core.storage.owner;                                                                          \
        fa_lane_assume(w);                                                                                             \
        if (w != NULL) name##_exit(w, m);                                                                              \
    }                                                                                                                  \
    typedef struct name name##_is_a_map_ /* takes the semicolon */
// clang-format on
