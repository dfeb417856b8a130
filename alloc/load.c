// SPDX-License-Identifier: MIT
//
// Loads of streams: their memory is taken and written in steps, until they are READY or the load is given up. See stream.h for the states.
#include "alloc/lane.h"
#include "alloc/store.h"
#include "concurrent/check.h"

#include <string.h>

#define ALLOCATED_BYTE 0xcd

#define LOADED_CLOSED (UINT64_C(1) << 63)
#define LOADED_BITS 41
#define LOADED_GENERATIONS ((UINT32_C(1) << 22) - 1)

// What is loaded -------------------------------------------------------------------------------------------------------

static uint64_t loaded_make(uint64_t word, uint64_t bytes)
{
    return (uint64_t)(fai_stream_generation(word) & LOADED_GENERATIONS) << LOADED_BITS | bytes;
}

static uint64_t loaded_bytes(uint64_t loaded)
{
    return loaded & ((UINT64_C(1) << LOADED_BITS) - 1);
}

static void open_loaded(fai_stream *slot, uint64_t word)
{
    fai_store_relaxed(&slot->loaded, loaded_make(word, 0));
}

void fai_stream_begin_loaded(fai_stream *slot, uint64_t word)
{
    fai_store_relaxed(&slot->loaded, loaded_make(word, 0) | LOADED_CLOSED);
}

void fai_stream_close_loaded(fai_streams *streams, fai_stream *slot, uint64_t word, uint64_t bytes)
{
    uint64_t last = fai_load_relaxed(&slot->loaded);
    while (!fai_cas_relaxed(&slot->loaded, &last, loaded_make(word, bytes) | LOADED_CLOSED)) continue;
    if ((last & LOADED_CLOSED) == 0) (void)fai_sub_relaxed(&streams->loading_loaded, loaded_bytes(last));
}

size_t fa_stream_loaded(const fa_system *fa, fa_stream stream)
{
    if (fa == NULL) return 0;
    const fai_stream *slot = fai_stream_slot_of(&((const fai_memory *)(const void *)fa)->streams, stream);
    if (slot == NULL) return 0;
    uint64_t loaded = fai_load_relaxed(&slot->loaded) & ~LOADED_CLOSED;
    uint64_t word = fai_stream_load(slot);
    if (!fai_stream_is_current(stream, word) || loaded >> LOADED_BITS != loaded_make(word, 0) >> LOADED_BITS) return 0;
    return loaded_bytes(loaded);
}

// Load ------------------------------------------------------------------------------------------------------------------

/// Ends a stream that was freed while it was being loaded, unless another lane does.
static fa_status end_freed(fai_lane *lane, fai_stream *slot, uint64_t word)
{
    if (fai_stream_step(slot, &word, fai_stream_over(word))) fai_stream_finish(lane, slot, FA_STREAM_EVICTING, true);
    return FA_ERROR_STALE;
}

/// From CHANGING to its next state, or its end if it was freed meanwhile.
static fa_status settle(fai_lane *lane, fai_stream *slot, fa_stream_state from, fa_stream_state to)
{
    static const fai_stream_state states[] = {
        [FA_STREAM_RESERVED] = FAI_STREAM_RESERVED,
        [FA_STREAM_LOADING] = FAI_STREAM_LOADING,
        [FA_STREAM_READY] = FAI_STREAM_READY,
    };
    fai_streams *streams = &lane->memory->streams;
    uint64_t word = fai_stream_load(slot);
    while (fai_stream_state_in(word) == FAI_STREAM_CHANGING) {
        uint32_t count = to == FA_STREAM_LOADING ? lane->hot.index : 0;
        if (!fai_stream_step(slot, &word, fai_stream_to(word, states[to], count))) continue;
        fai_stream_recount(streams, slot, from, to);
        return FA_OK;
    }
    FA_ASSERT(fai_stream_state_in(word) == FAI_STREAM_FREED_CHANGING);
    while (!fai_stream_step(slot, &word, fai_stream_over(word))) continue;
    fai_stream_finish(lane, slot, from, true);
    return FA_ERROR_STALE;
}

static void *take_memory(fai_lane *lane, const fai_stream *slot)
{
    size_t size = fai_load_relaxed(&slot->size);
    if (!fai_mailbox_is_empty(&lane->mailbox)) fai_mailbox_drain(lane);
    void *p = fai_store_take(lane, size, slot->align);
    if (p == NULL) {
        fai_lane_trim(lane);
        p = fai_store_take(lane, size, slot->align);
    }
    if (p != NULL && lane->memory->config.checked) memset(p, ALLOCATED_BYTE, size);
    return p;
}

/// The stream is CHANGING by this lane, and was RESERVED.
static fa_status begin_load(fai_lane *lane, fai_stream *slot, uint64_t word, void **memory)
{
    void *p = take_memory(lane, slot);
    fai_store_relaxed(&slot->memory, p);
    if (p != NULL) open_loaded(slot, word);
    fa_status status = settle(lane, slot, FA_STREAM_RESERVED, p != NULL ? FA_STREAM_LOADING : FA_STREAM_RESERVED);
    if (status == FA_OK && p == NULL) return FA_ERROR_MEMORY;
    if (status == FA_OK) *memory = p;
    return status;
}

/// What a load call answers in a state that it cannot go on from; ends what waits for it.
static fa_status refuse_load(fai_lane *lane, fai_stream *slot, uint64_t word)
{
    switch (fai_stream_state_in(word)) {
        case FAI_STREAM_CHANGING: return FA_ERROR_BUSY;
        case FAI_STREAM_RESERVED:
        case FAI_STREAM_LOADING:
        case FAI_STREAM_READY:
        case FAI_STREAM_CLAIMED: return FA_ERROR_STATE;
        case FAI_STREAM_FREED_LOADING: return end_freed(lane, slot, word);
        case FAI_STREAM_GONE:
        case FAI_STREAM_EVICTING:
        case FAI_STREAM_FREED_PINNED:
        case FAI_STREAM_FREED_CHANGING: return FA_ERROR_STALE;
    }
    return FA_ERROR_STALE;
}

fa_status fa_stream_load_begin(fa_worker *w, fa_stream stream, void **memory)
{
    fai_stream *slot;
    uint64_t word;
    if (memory == NULL) return FA_ERROR_INVALID;
    *memory = NULL;
    fa_status status = fai_stream_find(w, stream, &slot, &word);
    if (status != FA_OK) return status;
    fai_lane *lane = fai_lane_of(w);
    for (; fai_stream_is_current(stream, word);) {
        fai_stream_state state = fai_stream_state_in(word);
        if (state == FAI_STREAM_RESERVED) {
            if (!fai_stream_step(slot, &word, fai_stream_to(word, FAI_STREAM_CHANGING, 0))) continue;
            return begin_load(lane, slot, word, memory);
        }
        if (state != FAI_STREAM_LOADING) return refuse_load(lane, slot, word);
        uint64_t own = fai_stream_to(word, FAI_STREAM_LOADING, lane->hot.index);
        if (!fai_stream_step(slot, &word, own)) continue;
        // The loader before may end or abort it even now. A second step finds it as the first left it, or not: only this lane leaves it so. Then
        // what was read in between is the load's memory, and whoever takes that away later comes after this lane.
        void *p = fai_load_relaxed(&slot->memory);
        word = own;
        if (!fai_stream_step(slot, &word, own)) continue;
        *memory = p;
        return FA_OK;
    }
    return FA_ERROR_STALE;
}

/// Takes a stream that is being loaded into this lane's hands (CHANGING).
static fa_status take_loading(fa_worker *w, fa_stream stream, fai_stream **slot, uint64_t *word)
{
    fa_status status = fai_stream_find(w, stream, slot, word);
    if (status != FA_OK) return status;
    while (fai_stream_is_current(stream, *word)) {
        if (fai_stream_state_in(*word) != FAI_STREAM_LOADING) return refuse_load(fai_lane_of(w), *slot, *word);
        if (fai_stream_step(*slot, word, fai_stream_to(*word, FAI_STREAM_CHANGING, 0))) return FA_OK;
    }
    return FA_ERROR_STALE;
}

fa_status fa_stream_load_end(fa_worker *w, fa_stream stream)
{
    fai_stream *slot;
    uint64_t word;
    fa_status status = take_loading(w, stream, &slot, &word);
    if (status != FA_OK) return status;
    fai_lane *lane = fai_lane_of(w);
    fai_stream_close_loaded(&lane->memory->streams, slot, word, fai_load_relaxed(&slot->size));
    fai_stream_note_use(lane, slot);
    return settle(lane, slot, FA_STREAM_LOADING, FA_STREAM_READY);
}

fa_status fa_stream_load_abort(fa_worker *w, fa_stream stream)
{
    fai_stream *slot;
    uint64_t word;
    fa_status status = take_loading(w, stream, &slot, &word);
    if (status != FA_OK) return status;
    fai_lane *lane = fai_lane_of(w);
    fai_stream_close_loaded(&lane->memory->streams, slot, word, 0);
    fai_stream_give_memory(lane, slot);
    return settle(lane, slot, FA_STREAM_LOADING, FA_STREAM_RESERVED);
}

fa_status fa_stream_progress(fa_worker *w, fa_stream stream, size_t bytes)
{
    fai_stream *slot;
    uint64_t word;
    fa_status status = fai_stream_find(w, stream, &slot, &word);
    if (status != FA_OK) return status;
    fai_lane *lane = fai_lane_of(w);
    if (fai_stream_state_in(word) != FAI_STREAM_LOADING) return refuse_load(lane, slot, word);
    uint64_t size = fai_load_relaxed(&slot->size), last = fai_load_relaxed(&slot->loaded);
    if (bytes > size) bytes = size;
    for (;;) {
        if (last >> LOADED_BITS != loaded_make(word, 0) >> LOADED_BITS) return FA_ERROR_STATE; // closed, or another's
        if (bytes <= loaded_bytes(last)) return FA_OK;
        if (!fai_cas_relaxed(&slot->loaded, &last, loaded_make(word, bytes))) continue;
        (void)fai_add_relaxed(&lane->memory->streams.loading_loaded, bytes - loaded_bytes(last));
        return FA_OK;
    }
}
