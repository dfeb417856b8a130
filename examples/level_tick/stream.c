// SPDX-License-Identifier: MIT
//
// See stream.h.
#include "stream.h"

#define RING_MAX 2 // squares around the camera's that pictures are loaded for

bool stream_create(const struct art *art, const struct wad *wad, const struct sights *sights, uint64_t budget,
                   const struct memory *memory, struct stream *out, struct failure *failure)
{
    *out = (struct stream){.sights = sights};
    out->ranks = memory_array(&memory->level, art->count, sizeof *out->ranks);
    out->wanted = memory_array(&memory->level, art->count, sizeof *out->wanted);
    if (out->ranks == NULL || out->wanted == NULL) return fail(failure, "no memory for %u pictures", art->count);
    return gallery_create(art, wad, budget, memory, &out->gallery, failure);
}

/// A function of seed and tick alone, as all choices.
static struct sights_square place_camera(const struct sights *sights, const struct world *world)
{
    uint64_t hash = hash_three(world->seed, world->tick / CAMERA_TICKS, UINT64_MAX);
    return sights_at(sights, world->now[hash_below(hash, world->agent_count)].at);
}

static void rank_square(struct stream *stream, int32_t column, int32_t row, fa_stream_priority priority)
{
    const struct sights *sights = stream->sights;
    if (column < 0 || row < 0 || column >= (int32_t)sights->columns || row >= (int32_t)sights->rows) return;
    size_t square = (size_t)row * sights->columns + (size_t)column;
    for (uint32_t i = sights->first[square]; i < sights->first[square + 1]; i++) {
        uint8_t *rank = &stream->ranks[sights->pictures[i]];
        if (*rank < priority) *rank = (uint8_t)priority;
    }
}

static void rank_all(fa_worker *w, struct stream *stream)
{
    const uint32_t count = stream->gallery.art->count;
    for (uint32_t i = 0; i < count; i++) stream->ranks[i] = FA_STREAM_LOW;
    for (int32_t dy = -RING_MAX; dy <= RING_MAX; dy++) {
        for (int32_t dx = -RING_MAX; dx <= RING_MAX; dx++) {
            int32_t x = dx < 0 ? -dx : dx;
            int32_t y = dy < 0 ? -dy : dy;
            int32_t ring = x > y ? x : y;
            rank_square(stream, stream->camera.column + dx, stream->camera.row + dy,
                        (fa_stream_priority)(FA_STREAM_CRITICAL - ring));
        }
    }
    for (uint32_t i = 0; i < count; i++) gallery_rank(w, &stream->gallery, i, (fa_stream_priority)stream->ranks[i]);
}

static void list_wanted(struct stream *stream)
{
    stream->wanted_count = stream->next = 0;
    for (int rank = FA_STREAM_CRITICAL; rank > FA_STREAM_LOW; rank--) {
        for (uint32_t i = 0; i < stream->gallery.art->count; i++) {
            if (stream->ranks[i] != rank || gallery_has(&stream->gallery, i)) continue;
            stream->wanted[stream->wanted_count++] = (uint16_t)i;
        }
    }
}

/// What is refused now is asked for again when the camera has moved on: only then it may be another answer.
static void ask(fa_worker *w, struct stream *stream)
{
    while (gallery_is_free(&stream->gallery) && stream->next < stream->wanted_count) {
        uint16_t picture = stream->wanted[stream->next++];
        (void)!gallery_ask(w, &stream->gallery, picture, (fa_stream_priority)stream->ranks[picture]);
    }
}

bool stream_run(fa_worker *w, struct stream *stream, struct world *world)
{
    struct sights_square camera = place_camera(stream->sights, world);
    bool moved = camera.column != stream->camera.column || camera.row != stream->camera.row;
    if (moved || !stream->ranked) {
        stream->camera = camera;
        stream->ranked = true;
        rank_all(w, stream);
        list_wanted(stream);
    }
    ask(w, stream);
    if (gallery_step(w, &stream->gallery)) return true;
    world_fault(world, "a job that loads a picture could not be submitted");
    return false;
}
