// SPDX-License-Identifier: MIT
//
// Objects behind handles.
#include "api.h"

static struct handled *pick_handle(void)
{
    return &api.handles[take() % HANDLES];
}

void handle_alloc(void)
{
    struct handled *handled = pick_handle();
    size_t size = take_size(), align = take_align(4096);
    bool fixed = take() % 4 == 0;
    if (!fa_handle_is_none(handled->handle) || api.live_bytes + size > LIVE_MAX) return;
    fa_handle_options options = {.fixed = fixed};
    fa_handle handle = fa_handle_alloc(api.w, size, align, &options);
    FUZZ_CHECK(api.limited || !fa_handle_is_none(handle));
    if (fa_handle_is_none(handle)) return;
    *handled = (struct handled){.handle = handle, .size = size, .serial = ++api.serial, .fixed = fixed};
    api.live_bytes += size;
    void *at = fa_handle_resolve(api.w, handle);
    FUZZ_CHECK(at != NULL && (uintptr_t)at % (align > 0 ? align : 1) == 0);
    fill(at, size, handled->serial);
}

void handle_free(void)
{
    struct handled *handled = pick_handle();
    if (fa_handle_is_none(handled->handle)) {
        if (api.checked) permit(401);
        FUZZ_CHECK(fa_handle_resolve(api.w, api.stale) == NULL && fa_handle_free(api.w, api.stale) == FA_ERROR_STALE);
        return;
    }
    check_handle(handled);
    fa_status status = fa_handle_free(api.w, handled->handle);
    FUZZ_CHECK(status == (handled->pins > 0 ? FA_ERROR_BUSY : FA_OK) || (api.limited && status == FA_ERROR_MEMORY));
    if (status != FA_OK) return;
    api.stale = handled->handle;
    api.live_bytes -= handled->size;
    *handled = (struct handled){.size = 0};
}

void handle_pin(void)
{
    struct handled *handled = pick_handle();
    if (fa_handle_is_none(handled->handle)) return;
    if (take() & 1) {
        const void *at = fa_handle_pin(api.w, handled->handle);
        FUZZ_CHECK(at != NULL && (handled->pins == 0 || at == handled->pinned));
        handled->pinned = at;
        handled->pins++;
    } else {
        if (handled->pins == 0) permit(401);
        FUZZ_CHECK(fa_handle_unpin(api.w, handled->handle) == (handled->pins > 0 ? FA_OK : FA_ERROR_STATE));
        if (handled->pins > 0) handled->pins--;
    }
}

void handles_compact(void)
{
    uint32_t moves = take() < 128 ? UINT32_MAX : 1;
    fa_handle_compaction done;
    fa_status status = fa_handles_compact(api.fa, SIZE_MAX, moves, &done);
    if (api.in_frame) {
        FUZZ_CHECK(status == FA_ERROR_STATE);
        return;
    }
    FUZZ_CHECK(status == FA_OK || (api.limited && status == FA_ERROR_MEMORY));
    FUZZ_CHECK(done.moves <= moves);
    check_all();
}
