// SPDX-License-Identifier: MIT
//
// Vectors of fixed capacity: an array and a count, in frame, scope, pool or heap memory. A push on a full vector fails and changes nothing; it
// never grows or moves, so pointers to elements stay valid until elements before them are removed.
//
//     FA_VECTOR(contacts, contact);                       // a type `contacts` of elements `contact`, and its functions
//
//     contacts found;
//     if (contacts_init(w, &found, FA_HOME_FRAME, 64) != FA_OK) return;
//     if (!contacts_push(w, &found, hit)) dropped++;
//     contact *c;
//     for (size_t i = 0; (c = contacts_at(w, &found, i)) != NULL; i++) resolve(c);
//
// An element is copied by assignment. What leaves the vector goes to the caller who asks for it, or to `drop` if there is one. Rules of lanes and
// lifetimes: storage.h. [own] is the lane that initialised the vector; calls that are refused (checked systems) change nothing.
//
// What [own], [main] and [any] mean, and what a wrong thread, NULL, size or alignment is answered: base.h. A refused call changes nothing.
#pragma once

#include <framealloc/storage.h>

/// What all vectors are made of. {0} is an empty vector of capacity 0.
typedef struct fa_vector {
    void *items;
    size_t count; // <= capacity
    size_t capacity;
    fa_storage storage;
} fa_vector;

// clang-format off
/// Defines the type `name`, a vector of T, and these functions; at file scope, T being any complete type that assignment copies.
///
///     fa_status name_init(w, v, home, capacity)    [own] empty, with room for `capacity` elements; 0 is allowed. Errors: fa_storage_take();
///                                                  *v is {0} then. What *v was before is not looked at.
///     void name_on_drop(v, fn, context)            fn(T *, void *context) is called for elements that leave without a taker; NULL: none
///     void name_exit(w, v)                         [own] drops all elements, gives pool and heap memory back; *v is {0} then
///     bool name_push(w, v, item)                   [own] false: full
///     bool name_pop(w, v, out)                     [own] takes the newest to *out (drops it if out is NULL); false: empty
///     T *name_at(w, v, i)                          [own] element i; NULL beyond the last
///     size_t name_extend(w, v, items, n)           [own] pushes items until full; how many. `items` may be NULL with n = 0, and not part of v
///     size_t name_retain_if(w, v, keep, arg)       [own] drops those that keep(const T *, void *arg) is false for; how many. Order stays.
///                                                  `keep` must not change the vector
///     void name_clear(w, v)                        [own] drops all
///     size_t name_count(v), name_capacity(v), name_room(v)
///     bool name_is_full(v)
///     const T *name_read(v, i)                     [any lane, see storage.h] element i; NULL beyond the last
///     void name_cleanup(v)                         name_exit() on the lane that initialised it, for FA_COLLECTION_AUTO
///
/// A NULL `v` is answered with false, NULL or 0; a NULL `w` is refused in checked systems and not looked at in others.
#define FA_VECTOR(name, T)                                                                                             \
    typedef struct name {                                                                                              \
        fa_vector core;                                                                                                \
        void (*drop)(T *item, void *context);                                                                          \
        void *context;                                                                                                 \
    } name;                                                                                                            \
    FA_COLLECTION_FN FA_MUST_CHECK fa_status name##_init(fa_worker *w, name *v, fa_home home, size_t capacity)         \
        FA_NEEDS_LANE(w);                                                                                              \
    FA_COLLECTION_FN FA_MUST_CHECK fa_status name##_init(fa_worker *w, name *v, fa_home home, size_t capacity)         \
    {                                                                                                                  \
        if (v == NULL) return FA_ERROR_INVALID;                                                                        \
        v->drop = NULL;                                                                                                \
        v->context = NULL;                                                                                             \
        v->core.count = 0;                                                                                             \
        fa_status status = fa_storage_take(w, home, capacity, sizeof(T), FA_ALIGNOF(T), &v->core.storage, &v->core.items); \
        v->core.capacity = status == FA_OK ? capacity : 0;                                                             \
        return status;                                                                                                 \
    }                                                                                                                  \
    FA_COLLECTION_FN bool name##_may_use_(fa_worker *w, const name *v)                                                 \
    {                                                                                                                  \
        return v != NULL && fa_storage_may_use(w, &v->core.storage);                                                   \
    }                                                                                                                  \
    FA_COLLECTION_FN T *name##_items_(const name *v)                                                                   \
    {                                                                                                                  \
        return FA_CAST(T *, v->core.items);                                                                            \
    }                                                                                                                  \
    FA_COLLECTION_FN size_t name##_count(const name *v)                                                                \
    {                                                                                                                  \
        return v != NULL ? v->core.count : 0;                                                                          \
    }                                                                                                                  \
    FA_COLLECTION_FN size_t name##_capacity(const name *v)                                                             \
    {                                                                                                                  \
        return v != NULL ? v->core.capacity : 0;                                                                       \
    }                                                                                                                  \
    FA_COLLECTION_FN size_t name##_room(const name *v)                                                                 \
    {                                                                                                                  \
        return name##_capacity(v) - name##_count(v);                                                                   \
    }                                                                                                                  \
    FA_COLLECTION_FN bool name##_is_full(const name *v)                                                                \
    {                                                                                                                  \
        return name##_room(v) == 0;                                                                                    \
    }                                                                                                                  \
    FA_COLLECTION_FN T const *name##_read(const name *v, size_t i)                                                     \
    {                                                                                                                  \
        return i < name##_count(v) ? name##_items_(v) + i : NULL;                                                      \
    }                                                                                                                  \
    FA_COLLECTION_FN void name##_on_drop(name *v, void (*fn)(T *item, void *context), void *context)                   \
    {                                                                                                                  \
        if (v == NULL) return;                                                                                         \
        v->drop = fn;                                                                                                  \
        v->context = context;                                                                                          \
    }                                                                                                                  \
    FA_COLLECTION_FN bool name##_push(fa_worker *w, name *v, T item) FA_NEEDS_LANE(w);                                 \
    FA_COLLECTION_FN bool name##_push(fa_worker *w, name *v, T item)                                                   \
    {                                                                                                                  \
        if (!name##_may_use_(w, v) || v->core.count == v->core.capacity) return false;                                 \
        name##_items_(v)[v->core.count++] = item;                                                                      \
        return true;                                                                                                   \
    }                                                                                                                  \
    FA_COLLECTION_FN bool name##_pop(fa_worker *w, name *v, T *out) FA_NEEDS_LANE(w);                                  \
    FA_COLLECTION_FN bool name##_pop(fa_worker *w, name *v, T *out)                                                    \
    {                                                                                                                  \
        if (!name##_may_use_(w, v) || v->core.count == 0) return false;                                                \
        T *item = name##_items_(v) + --v->core.count;                                                                  \
        if (out != NULL)                                                                                               \
            *out = *item;                                                                                              \
        else if (v->drop != NULL)                                                                                      \
            v->drop(item, v->context);                                                                                 \
        return true;                                                                                                   \
    }                                                                                                                  \
    FA_COLLECTION_FN T *name##_at(fa_worker *w, name *v, size_t i) FA_NEEDS_LANE(w);                                   \
    FA_COLLECTION_FN T *name##_at(fa_worker *w, name *v, size_t i)                                                     \
    {                                                                                                                  \
        return name##_may_use_(w, v) && i < v->core.count ? name##_items_(v) + i : NULL;                               \
    }                                                                                                                  \
    FA_COLLECTION_FN size_t name##_extend(fa_worker *w, name *v, T const *items, size_t n) FA_NEEDS_LANE(w);           \
    FA_COLLECTION_FN size_t name##_extend(fa_worker *w, name *v, T const *items, size_t n)                             \
    {                                                                                                                  \
        if (!name##_may_use_(w, v) || items == NULL) return 0;                                                         \
        size_t room = v->core.capacity - v->core.count, take = n < room ? n : room;                                    \
        for (size_t i = 0; i < take; i++) name##_items_(v)[v->core.count + i] = items[i];                              \
        v->core.count += take;                                                                                         \
        return take;                                                                                                   \
    }                                                                                                                  \
    FA_COLLECTION_FN size_t name##_retain_if(fa_worker *w, name *v, bool (*keep)(T const *item, void *arg), void *arg) \
        FA_NEEDS_LANE(w);                                                                                              \
    FA_COLLECTION_FN size_t name##_retain_if(fa_worker *w, name *v, bool (*keep)(T const *item, void *arg), void *arg) \
    {                                                                                                                  \
        if (!name##_may_use_(w, v) || keep == NULL) return 0;                                                          \
        T *items = name##_items_(v);                                                                                   \
        size_t kept = 0, count = v->core.count;                                                                        \
        for (size_t i = 0; i < count; i++) {                                                                           \
            if (keep(&items[i], arg)) {                                                                                \
                if (kept != i) items[kept] = items[i];                                                                 \
                kept++;                                                                                                \
            } else if (v->drop != NULL) {                                                                              \
                v->drop(&items[i], v->context);                                                                        \
            }                                                                                                          \
        }                                                                                                              \
        v->core.count = kept;                                                                                          \
        return count - kept;                                                                                           \
    }                                                                                                                  \
    FA_COLLECTION_FN void name##_clear(fa_worker *w, name *v) FA_NEEDS_LANE(w);                                        \
    FA_COLLECTION_FN void name##_clear(fa_worker *w, name *v)                                                          \
    {                                                                                                                  \
        if (!name##_may_use_(w, v)) return;                                                                            \
        while (v->core.count > 0) {                                                                                    \
            v->core.count--;                                                                                           \
            if (v->drop != NULL) v->drop(name##_items_(v) + v->core.count, v->context);                                \
        }                                                                                                              \
    }                                                                                                                  \
    FA_COLLECTION_FN void name##_exit(fa_worker *w, name *v) FA_NEEDS_LANE(w);                                         \
    FA_COLLECTION_FN void name##_exit(fa_worker *w, name *v)                                                           \
    {                                                                                                                  \
        if (!name##_may_use_(w, v)) return;                                                                            \
        name##_clear(w, v);                                                                                            \
        fa_storage_give(w, &v->core.storage);                                                                          \
        v->core.items = NULL;                                                                                          \
        v->core.capacity = 0;                                                                                          \
        name##_on_drop(v, NULL, NULL);                                                                                 \
    }                                                                                                                  \
    FA_COLLECTION_FN void name##_cleanup(name *v)                                                                      \
    {                                                                                                                  \
        fa_worker *w = v->core.storage.owner;                                                                          \
        fa_lane_assume(w);                                                                                             \
        if (w != NULL) name##_exit(w, v);                                                                              \
    }                                                                                                                  \
    typedef struct name name##_is_a_vector_ /* takes the semicolon */
// clang-format on

/// `FA_COLLECTION_AUTO(contacts) found = {0};`: exits by itself at the end of the block, by whichever way out.
#define FA_COLLECTION_AUTO(name) __attribute__((cleanup(name##_cleanup))) name
