// SPDX-License-Identifier: MIT
//
// Streams.
#include "api.h"

static void evicted(fa_worker *w, const fa_stream_eviction *eviction)
{
    struct streamed *streamed = eviction->user;
    FUZZ_CHECK(w == api.w && streamed->stream.bits == eviction->stream.bits && streamed->state == FA_STREAM_READY);
    FUZZ_CHECK(streamed->priority < api.asking && streamed->pins == 0 && streamed->size == eviction->size);
    FUZZ_CHECK(holds(eviction->data, eviction->size, streamed->serial));
    streamed->state = FA_STREAM_NONE;
}

static bool can_be_evicted(const struct streamed *streamed, fa_stream_priority below)
{
    return streamed->state == FA_STREAM_READY && streamed->pins == 0 && streamed->priority < below;
}

void stream_reserve(void)
{
    struct streamed *streamed = &api.streams[take() % STREAMS];
    size_t size = take_size();
    fa_stream_priority priority = (fa_stream_priority)(take() % 4);
    if (streamed->state != FA_STREAM_NONE) return;
    size_t kept = 0;
    for (int i = 0; i < STREAMS; i++)
        if (api.streams[i].state != FA_STREAM_NONE && !can_be_evicted(&api.streams[i], priority))
            kept += api.streams[i].size;
    bool fits = kept + size <= STREAM_BUDGET;
    api.asking = priority;
    permit(402);
    fa_stream_options options = {.name = "fuzzed", .user = streamed, .evict = evicted};
    fa_stream stream;
    fa_status status = fa_stream_reserve(api.w, size, priority, &options, &stream);
    bool refused = api.limited &&
                   (status == FA_ERROR_MEMORY || status == FA_ERROR_FULL); // by memory, or a tag's budget
    FUZZ_CHECK(status == (fits ? FA_OK : FA_ERROR_FULL) || refused);
    if (status != FA_OK) return;
    *streamed = (struct streamed){stream, FA_STREAM_RESERVED, priority, size, ++api.serial, 0};
}

/// In two steps, or aborted after the first.
void stream_load(void)
{
    struct streamed *streamed = &api.streams[take() % STREAMS];
    uint8_t how = take() % 4;
    if (streamed->state != FA_STREAM_RESERVED && streamed->state != FA_STREAM_LOADING) return;
    void *memory;
    fa_status status = fa_stream_load_begin(api.w, streamed->stream, &memory);
    FUZZ_CHECK(status == FA_OK || (api.limited && status == FA_ERROR_MEMORY));
    if (status != FA_OK) return;
    fill(memory, streamed->size, streamed->serial);
    streamed->state = FA_STREAM_LOADING;
    FUZZ_CHECK(fa_stream_progress(api.w, streamed->stream, streamed->size / 2) == FA_OK);
    if (how == 0) return;
    FUZZ_CHECK((how == 1 ? fa_stream_load_abort : fa_stream_load_end)(api.w, streamed->stream) == FA_OK);
    streamed->state = how == 1 ? FA_STREAM_RESERVED : FA_STREAM_READY;
}

void stream_pin(void)
{
    struct streamed *streamed = &api.streams[take() % STREAMS];
    uint8_t how = take() % 4;
    if (streamed->state != FA_STREAM_READY) return;
    if (how == 0) {
        const void *data;
        FUZZ_CHECK(fa_stream_pin(api.w, streamed->stream, &data, NULL) == FA_OK);
        streamed->pins++;
    } else if (how == 1) {
        FUZZ_CHECK(fa_stream_unpin(api.w, streamed->stream) == (streamed->pins > 0 ? FA_OK : FA_ERROR_STATE));
        if (streamed->pins > 0) streamed->pins--;
    } else if (how == 2) {
        FUZZ_CHECK(fa_stream_touch(api.w, streamed->stream) == FA_OK);
    } else {
        streamed->priority = (fa_stream_priority)(take() % 4);
        FUZZ_CHECK(fa_stream_set_priority(api.w, streamed->stream, streamed->priority) == FA_OK);
    }
}

void stream_free(void)
{
    struct streamed *streamed = &api.streams[take() % STREAMS];
    if (streamed->state == FA_STREAM_NONE || streamed->pins > 0) return;
    check_stream(streamed);
    FUZZ_CHECK(fa_stream_free(api.w, streamed->stream) == FA_OK);
    if (api.checked) permit(401);
    FUZZ_CHECK(fa_stream_free(api.w, streamed->stream) == FA_ERROR_STALE);
    streamed->state = FA_STREAM_NONE;
}
