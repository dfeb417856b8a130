// SPDX-License-Identifier: MIT
//
// Access to streams that are READY: pins, reads, and what counts as a use. See stream.h for the states, evict.c for who takes a stream away.
#include "alloc/lane.h"
#include "concurrent/check.h"

#define FRAME_SHIFT 24 // of fai_stream.used: places in a frame are below

// Use --------------------------------------------------------------------------------------------------------------------

void fai_stream_note_use(fai_lane *lane, fai_stream *slot)
{
    uint64_t now = fai_load_relaxed(&lane->memory->frame_number) << FRAME_SHIFT;
    uint64_t last = fai_load_relaxed(&slot->used);
    if (last > now) now = last;
    if (lane->stream_clock > now) now = lane->stream_clock;
    lane->stream_clock = now + 1;
    fai_store_relaxed(&slot->used, now + 1);
}

/// Once a frame, without a place in it.
static void note_read(const fai_lane *lane, fai_stream *slot)
{
    uint64_t now = fai_load_relaxed(&lane->memory->frame_number) << FRAME_SHIFT;
    if (fai_load_relaxed(&slot->used) < now) fai_store_relaxed(&slot->used, now);
}

// Access ----------------------------------------------------------------------------------------------------------------

fa_status fa_stream_pin(fa_worker *w, fa_stream stream, const void **data, size_t *size)
{
    fai_stream *slot;
    uint64_t word;
    if (data != NULL) *data = NULL;
    fa_status status = fai_stream_find(w, stream, &slot, &word);
    if (status != FA_OK) return status;
    fai_lane *lane = fai_lane_of(w);
    while (fai_stream_is_current(stream, word)) {
        fai_stream_state state = fai_stream_state_in(word);
        if (state == FAI_STREAM_CLAIMED) {
            if (!fai_stream_take_back(lane, slot, word)) return FA_ERROR_STALE;
            word = fai_stream_load(slot);
            continue;
        }
        if (state == FAI_STREAM_RESERVED || state == FAI_STREAM_CHANGING || state == FAI_STREAM_LOADING)
            return FA_ERROR_STATE;
        if (state != FAI_STREAM_READY) return FA_ERROR_STALE;
        if (fai_stream_count_in(word) == FAI_STREAM_COUNT_MAX) return FA_ERROR_FULL;
        if (!fai_stream_step(slot, &word, word + 1)) continue;
        fai_stream_note_use(lane, slot);
        if (data != NULL) *data = fai_load_relaxed(&slot->memory);
        if (size != NULL) *size = fai_load_relaxed(&slot->size);
        return FA_OK;
    }
    return FA_ERROR_STALE;
}

fa_status fa_stream_unpin(fa_worker *w, fa_stream stream)
{
    fai_stream *slot;
    uint64_t word;
    fa_status status = fai_stream_find(w, stream, &slot, &word);
    if (status != FA_OK) return status;
    while (fai_stream_is_current(stream, word)) {
        fai_stream_state state = fai_stream_state_in(word);
        bool pinned = state == FAI_STREAM_READY || state == FAI_STREAM_FREED_PINNED;
        if (!pinned || fai_stream_count_in(word) == 0) return FA_ERROR_STATE;
        bool last = state == FAI_STREAM_FREED_PINNED && fai_stream_count_in(word) == 1;
        if (!fai_stream_step(slot, &word, last ? fai_stream_over(word) : word - 1)) continue;
        if (last) fai_stream_finish(fai_lane_of(w), slot, FA_STREAM_EVICTING, true);
        return FA_OK;
    }
    return FA_ERROR_STALE;
}

const void *fa_stream_read(fa_worker *w, fa_stream stream, size_t *size)
{
    fai_stream *slot;
    uint64_t word;
    if (fai_stream_find(w, stream, &slot, &word) != FA_OK) return NULL;
    bool lost;
    word = fai_stream_look(fai_lane_of(w)->memory, slot, &lost);
    fai_stream_state state = fai_stream_state_in(word);
    if (lost || !fai_stream_is_current(stream, word) || (state != FAI_STREAM_READY && state != FAI_STREAM_CLAIMED))
        return NULL;
    note_read(fai_lane_of(w), slot);
    if (size != NULL) *size = fai_load_relaxed(&slot->size);
    return fai_load_relaxed(&slot->memory);
}

fa_stream_pinned fa_stream_pinned_begin(fa_worker *w, fa_stream stream)
{
    fa_stream_pinned pinned = {.worker = w, .stream = stream};
    pinned.status = fa_stream_pin(w, stream, &pinned.data, &pinned.size);
    return pinned;
}

void fa_stream_pinned_end(fa_stream_pinned *pinned)
{
    if (pinned == NULL || pinned->status != FA_OK) return;
    if (fa_stream_unpin(pinned->worker, pinned->stream) != FA_OK) return;
    pinned->status = FA_ERROR_STATE; // not pinned
    pinned->data = NULL;
}

fa_status fa_stream_touch(fa_worker *w, fa_stream stream)
{
    fai_stream *slot;
    uint64_t word;
    fa_status status = fai_stream_find(w, stream, &slot, &word);
    if (status != FA_OK) return status;
    if (fai_stream_state_in(word) == FAI_STREAM_READY || fai_stream_state_in(word) == FAI_STREAM_CLAIMED)
        fai_stream_note_use(fai_lane_of(w), slot);
    return FA_OK;
}
