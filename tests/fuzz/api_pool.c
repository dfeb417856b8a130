// SPDX-License-Identifier: MIT
//
// Pool and heap objects, and cells.
#include "api.h"

void alloc_pool(void)
{
    size_t size = take_size(), align = take_align(4096);
    if (!has_room(size)) return;
    const struct object *object = admit(POOL, fa_pool_alloc_aligned(api.w, size, align), size, align);
    FUZZ_CHECK(object == NULL || fa_usable_size(api.fa, object->at) >= size);
}

void alloc_heap(void)
{
    size_t size = take_size(), align = take_align(65536);
    if (!has_room(size)) return;
    const struct object *object = admit(HEAP, fa_heap_alloc(api.w, size, align), size, align);
    FUZZ_CHECK(object == NULL || fa_usable_size(api.fa, object->at) >= size);
}

void alloc_batch(void)
{
    size_t count = take() % 16, size = 1 + take() % 128;
    void *out[16];
    if (!fa_pool_alloc_batch(api.w, count, size, 16, out)) {
        FUZZ_CHECK(api.limited);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        if (free_place() != NULL) {
            (void)admit(POOL, out[i], size, 16);
        } else {
            fa_pool_free_batch(api.w, count - i, out + i);
            break;
        }
    }
}

void give_back(struct object *object, bool any)
{
    void (*give)(fa_worker *, void *) = object->kind == POOL ? fa_pool_free : fa_heap_free;
    forget(object);
    guest_meets(object, false);
    if (any)
        fa_free_any(api.fa, object->at);
    else
        give(api.w, object->at);
}

void free_object(void)
{
    struct object *object = pick(POOL, HEAP);
    if (object != NULL) give_back(object, take() % 4 == 0);
}

void realloc_object(void)
{
    struct object *object = pick(POOL, HEAP);
    size_t size = take_size();
    if (object == NULL || !has_room(size)) return;
    check_object(object);
    fa_allocator table = object->kind == POOL ? fa_allocator_pool(api.w) : fa_allocator_heap(api.w);
    unsigned char *moved = fa_realloc_with(&table, object->at, object->size, size, 16);
    if (moved == NULL) {
        FUZZ_CHECK(api.limited);
        return;
    }
    FUZZ_CHECK(holds(moved, size < object->size ? size : object->size, object->serial));
    api.live_bytes += size - object->size;
    guest_meets(object, false);
    object->apart &= moved == object->at;
    object->at = moved;
    object->size = size;
    fill(moved, size, object->serial);
}

void publish(void)
{
    struct object *object = pick(POOL, HEAP);
    uint8_t cell = take() % NAMED;
    if (object == NULL) return;
    fa_status status = fa_cell_publish(api.w, &api.cells[cell], object->at);
    FUZZ_CHECK(status == FA_OK || (api.limited && status == FA_ERROR_MEMORY));
    if (status != FA_OK) return;
    leave_cell(cell, api.early_before == api.listed);
    guest_meets(object, true);
    object->kind = IN_CELL;
    object->owner = cell;
    FUZZ_CHECK(fa_cell_read(api.w, &api.cells[cell]) == object->at);
}

void drop(void)
{
    uint8_t cell = take() % NAMED;
    fa_status status = fa_cell_drop(api.w, &api.cells[cell]);
    FUZZ_CHECK(status == FA_OK || (api.limited && status == FA_ERROR_MEMORY));
    if (status == FA_OK) leave_cell(cell, api.early_before == api.listed);
}

void retire(void)
{
    struct object *object = pick(POOL, HEAP);
    if (object == NULL) return;
    fa_status status = fa_retire(api.w, object->at);
    FUZZ_CHECK(status == FA_OK || (api.limited && status == FA_ERROR_MEMORY));
    if (status != FA_OK) return;
    api.leaving_bytes += object->size;
    guest_meets(object, true);
    forget(object); // what it holds may be read until the frame's end
}

// --- Transfers --------------------------------------------------------------------------------------------------------

void transfer_send(void)
{
    struct object *object = pick(POOL, HEAP);
    if (object == NULL) return;
    fa_status status = fa_transfer_send(api.w, object->at, &object->ticket);
    FUZZ_CHECK(status == (count_of(IN_TRANSIT) < TRANSFERS ? FA_OK : FA_ERROR_FULL));
    if (status != FA_OK) return;
    object->owner = (uint8_t)object->kind;
    object->kind = IN_TRANSIT;
}

void transfer_receive(void)
{
    struct object *object = pick(IN_TRANSIT, IN_TRANSIT);
    void *p = &api;
    if (object == NULL) {
        if (api.checked) permit(401);
        FUZZ_CHECK(fa_transfer_receive(api.w, (fa_transfer){take()}, &p) == FA_ERROR_STALE && p == NULL);
        return;
    }
    FUZZ_CHECK(fa_transfer_receive(api.w, object->ticket, &p) == FA_OK && p == object->at);
    object->kind = (enum kind)object->owner;
    check_object(object);
    if (api.checked) permit(401);
    FUZZ_CHECK(fa_transfer_receive(api.w, object->ticket, &p) == FA_ERROR_STALE && p == NULL);
}
