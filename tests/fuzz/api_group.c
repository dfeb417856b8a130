// SPDX-License-Identifier: MIT
//
// Groups and scratch pools.
#include "api.h"

static void cleanup(fa_worker *w, void *object, void *context)
{
    FUZZ_CHECK(w == api.w && object != NULL && context == &api);
    api.cleaned++;
}

void group_create(void)
{
    uint8_t at = take() % NAMED;
    if (api.groups[at].id != 0) return;
    fa_status status = fa_group_create(api.w, "fuzzed", &api.groups[at]);
    FUZZ_CHECK(status == FA_OK || (api.limited && status == FA_ERROR_MEMORY && api.groups[at].id == 0));
}

void group_alloc(void)
{
    uint8_t at = take() % NAMED;
    size_t size = take_size(), align = take_align(65536);
    if (api.groups[at].id == 0 || !has_room(size)) return;
    bool cleaned = take() & 1;
    void *p = cleaned ? fa_group_alloc_cleaned(api.w, api.groups[at], size, align, cleanup, &api)
                      : fa_group_alloc(api.w, api.groups[at], size, align);
    struct object *object = admit(IN_GROUP, p, size, align);
    if (object == NULL) return;
    object->owner = at;
    api.group_objects[at]++;
    api.cleanups[at] += cleaned;
}

static void end_owned(enum kind kind, uint8_t owner)
{
    for (int i = 0; i < OBJECTS; i++)
        if (api.objects[i].kind == kind && api.objects[i].owner == owner) forget(&api.objects[i]);
}

void end_group(uint8_t at)
{
    if (api.groups[at].id == 0) return;
    fa_group_info info;
    FUZZ_CHECK(fa_group_read(api.w, api.groups[at], &info) == FA_OK && info.objects == api.group_objects[at]);
    end_owned(IN_GROUP, at);
    api.cleaned = 0;
    FUZZ_CHECK(fa_group_free(api.w, api.groups[at]) == FA_OK && api.cleaned == api.cleanups[at]);
    api.group_objects[at] = api.cleanups[at] = 0;
    api.group_leaves |= guest_is_there();
    if (api.checked) permit(201);
    FUZZ_CHECK(fa_group_alloc(api.w, api.groups[at], 8, 8) == NULL && !fa_group_exists(api.w, api.groups[at]));
    FUZZ_CHECK(fa_group_free(api.w, api.groups[at]) == FA_ERROR_STALE);
    api.groups[at] = (fa_group){0};
}

void group_free(void)
{
    end_group(take() % NAMED);
}

void scratch_create(void)
{
    static const char *const names[NAMED] = {"one", "two", "three", "four"};
    uint8_t at = take() % NAMED;
    uint64_t capacity = 16 + (uint64_t)take() * 64;
    if (api.scratches[at].id != 0) return;
    fa_status status = fa_scratch_create(api.w, names[at], capacity, &api.scratches[at]);
    FUZZ_CHECK(status == FA_OK || (api.limited && status == FA_ERROR_MEMORY && api.scratches[at].id == 0));
}

void scratch_alloc(void)
{
    uint8_t at = take() % NAMED;
    size_t size = 1 + take() * (size_t)(take() % 16);
    if (api.scratches[at].id == 0 || !has_room(size)) return;
    fa_scratch_info info;
    FUZZ_CHECK(fa_scratch_read(api.w, api.scratches[at], &info) == FA_OK && info.objects == api.scratch_objects[at]);
    bool fits = (size + 15) / 16 * 16 <= info.remaining;
    permit(3);
    void *p = fa_scratch_alloc(api.w, api.scratches[at], size, 16);
    FUZZ_CHECK((p != NULL) == fits || (api.limited && p == NULL));
    if (p == NULL) return;
    admit(IN_SCRATCH, p, size, 16)->owner = at;
    api.scratch_objects[at]++;
}

void scratch_reset(void)
{
    uint8_t at = take() % NAMED;
    bool remove = take() & 1;
    if (api.scratches[at].id == 0) return;
    fa_status status = remove ? fa_scratch_remove(api.w, api.scratches[at])
                              : fa_scratch_reset(api.w, api.scratches[at]);
    FUZZ_CHECK(status == FA_OK || (api.limited && status == FA_ERROR_MEMORY));
    if (status != FA_OK) return;
    for (int i = 0; i < OBJECTS; i++) { // their memory is gone: not to be looked at
        if (api.objects[i].kind == IN_SCRATCH && api.objects[i].owner == at) forget_gone(&api.objects[i]);
    }
    api.scratch_objects[at] = 0;
    if (remove) api.scratches[at] = (fa_scratch){0};
}
