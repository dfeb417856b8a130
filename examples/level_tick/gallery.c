// SPDX-License-Identifier: MIT
//
// See gallery.h.
#include "gallery.h"

#include <assert.h>

bool gallery_create(const struct art *art, const struct wad *wad, uint64_t budget, const struct memory *memory,
                    struct gallery *out, struct failure *failure)
{
    *out = (struct gallery){.art = art, .wad = wad, .budget = budget};
    out->assets = memory_array(&memory->level, art->count, sizeof *out->assets);
    return out->assets != NULL || fail(failure, "no memory for %u pictures", art->count);
}

bool gallery_has(const struct gallery *gallery, uint32_t picture)
{
    const struct asset *asset = &gallery->assets[picture];
    return asset->stream.bits != 0 || asset->stopped || gallery->art->pictures[picture].width == 0;
}

// --- Loading --------------------------------------------------------------------------------------------------------

/// Draws the next parts into the stream's memory. The asset is this job's.
static void load_some(fa_worker *w, struct asset *asset)
{
    FA_SCOPE(w);
    const struct gallery *gallery = asset->gallery;
    const struct art_picture *picture = &gallery->art->pictures[asset - gallery->assets];
    fa_allocator scratch = fa_allocator_scope(w);
    void *texels;
    asset->stopped = fa_stream_load_begin(w, asset->stream, &texels) != FA_OK;
    if (asset->stopped) return;
    asset->parts = art_draw(gallery->art, gallery->wad, picture, asset->parts, GALLERY_STEP_BYTES, &scratch, texels,
                            &asset->damaged);
    (void)fa_stream_progress(w, asset->stream, art_bytes(picture) / picture->count * asset->parts);
    if (asset->parts == picture->count) asset->stopped = fa_stream_load_end(w, asset->stream) != FA_OK;
}

static bool is_loaded(const struct asset *asset)
{
    return asset->parts == asset->gallery->art->pictures[asset - asset->gallery->assets].count;
}

static void load_job(fa_worker *w, void *argument)
{
    load_some(w, argument);
}

/// Runs inside the reserve that needs the place, on the main lane.
static void forget(fa_worker *w, const fa_stream_eviction *eviction)
{
    (void)w;
    struct asset *asset = eviction->user;
    asset->stream = (fa_stream){0};
}

/// Takes the place and the memory; from here on the asset is being loaded.
static fa_status begin_load(fa_worker *w, struct gallery *gallery, uint32_t picture, fa_stream_priority priority)
{
    struct asset *asset = &gallery->assets[picture];
    fa_stream_options options = {.name = "picture", .user = asset, .evict = forget};
    *asset = (struct asset){.gallery = gallery, .counter = FA_COUNTER_INIT, .priority = (uint8_t)priority};
    fa_status status = fa_stream_reserve(w, art_bytes(&gallery->art->pictures[picture]), priority, &options,
                                         &asset->stream);
    void *memory;
    if (status == FA_OK) status = fa_stream_load_begin(w, asset->stream, &memory);
    if (status == FA_OK) {
        asset->loading = true;
    } else if (asset->stream.bits != 0) {
        (void)fa_stream_free(w, asset->stream);
        asset->stream = (fa_stream){0};
    }
    return status;
}

/// Gives the place back.
static void give_up(fa_worker *w, struct asset *asset)
{
    (void)fa_stream_free(w, asset->stream);
    asset->stream = (fa_stream){0};
    asset->loading = false;
}

/// What becomes of a load of which no job is at work any more. True when it is over.
static bool settle(fa_worker *w, struct gallery *gallery, struct asset *asset)
{
    if (asset->stopped) {
        give_up(w, asset);
    } else if (is_loaded(asset)) {
        asset->loading = false;
        gallery->tally.loads++;
        if (asset->damaged) gallery->tally.damaged++;
    }
    return !asset->loading;
}

fa_status gallery_ask(fa_worker *w, struct gallery *gallery, uint32_t picture, fa_stream_priority priority)
{
    assert(gallery_is_free(gallery) && !gallery_has(gallery, picture));
    fa_status status = begin_load(w, gallery, picture, priority);
    if (status == FA_OK) gallery->loading[gallery->loading_count++] = picture;
    return status;
}

void gallery_rank(fa_worker *w, struct gallery *gallery, uint32_t picture, fa_stream_priority priority)
{
    struct asset *asset = &gallery->assets[picture];
    if (asset->stream.bits == 0) return;
    if (priority != FA_STREAM_LOW) (void)fa_stream_touch(w, asset->stream);
    if (asset->priority == priority) return;
    asset->priority = (uint8_t)priority;
    (void)fa_stream_set_priority(w, asset->stream, priority);
}

bool gallery_step(fa_worker *w, struct gallery *gallery)
{
    uint32_t kept = 0;
    bool good = true;
    for (uint32_t i = 0; i < gallery->loading_count; i++) {
        struct asset *asset = &gallery->assets[gallery->loading[i]];
        bool idle = fa_is_done(&asset->counter);
        if (idle && settle(w, gallery, asset)) continue;
        gallery->loading[kept++] = gallery->loading[i];
        fa_job job = {.fn = load_job, .arg = asset, .counter = &asset->counter, .name = "stream: load"};
        if (idle) good = fa_submit_job(w, &job) == FA_OK && good;
    }
    gallery->loading_count = kept;
    return good;
}

// --- Drawings -------------------------------------------------------------------------------------------------------

/// Waits for the steps under way, then keeps of the loads only those that are in the set. They go on in load_missing().
static bool stop_loads(fa_worker *w, struct gallery *gallery, const uint64_t *set)
{
    for (uint32_t i = 0; i < gallery->loading_count; i++) {
        struct asset *asset = &gallery->assets[gallery->loading[i]];
        if (fa_wait(w, &asset->counter) != FA_OK) return false;
        if (settle(w, gallery, asset) || gallery_in(set, gallery->loading[i])) continue;
        give_up(w, asset);
        gallery->tally.given_up++;
    }
    gallery->loading_count = 0;
    return true;
}

/// Pictures that are to be loaded as a whole.
struct missing {
    struct gallery *gallery;
    const uint16_t *list; // frame memory
    uint32_t count;
};

static void load_whole(fa_worker *w, uint64_t first, uint64_t last, void *context)
{
    const struct missing *missing = context;
    for (uint64_t i = first; i < last; i++) {
        struct asset *asset = &missing->gallery->assets[missing->list[i]];
        while (!asset->stopped && !is_loaded(asset)) load_some(w, asset);
    }
}

static bool load_missing(fa_worker *w, struct gallery *gallery, const uint64_t *set)
{
    uint16_t *list = fa_frame_array(w, uint16_t, gallery->art->count + 1u);
    if (list == NULL) return false;
    struct missing missing = {.gallery = gallery, .list = list};
    for (uint32_t picture = 0; picture < gallery->art->count; picture++) {
        if (!gallery_in(set, picture)) continue;
        bool begun = gallery_has(gallery, picture) ? gallery->assets[picture].loading
                                                   : begin_load(w, gallery, picture, FA_STREAM_CRITICAL) == FA_OK;
        if (begun) list[missing.count++] = (uint16_t)picture;
    }
    if (fa_parallel_for(w, 0, missing.count, 1, load_whole, &missing) != FA_OK) return false;
    for (uint32_t i = 0; i < missing.count; i++) (void)settle(w, gallery, &gallery->assets[list[i]]);
    return true;
}

bool gallery_show(fa_worker *w, struct gallery *gallery, const uint64_t *set, const struct texel **texels)
{
    if (!stop_loads(w, gallery, set)) return false;
    for (uint32_t picture = 0; picture < gallery->art->count; picture++)
        gallery_rank(w, gallery, picture, gallery_in(set, picture) ? FA_STREAM_CRITICAL : FA_STREAM_LOW);
    bool good = load_missing(w, gallery, set);
    for (uint32_t picture = 0; picture < gallery->art->count; picture++) {
        const void *data = NULL;
        struct asset *asset = &gallery->assets[picture];
        if (gallery_in(set, picture) && asset->stream.bits != 0) (void)!fa_stream_pin(w, asset->stream, &data, NULL);
        texels[picture] = data;
        if (data == NULL && gallery_in(set, picture) && gallery->art->pictures[picture].width != 0)
            gallery->tally.plain++;
    }
    return good;
}

void gallery_hide(fa_worker *w, struct gallery *gallery, const struct texel **texels)
{
    for (uint32_t picture = 0; picture < gallery->art->count; picture++) {
        if (texels[picture] == NULL) continue;
        (void)fa_stream_unpin(w, gallery->assets[picture].stream);
        gallery_rank(w, gallery, picture, FA_STREAM_LOW);
        texels[picture] = NULL;
    }
}

void gallery_clear(fa_worker *w, struct gallery *gallery)
{
    for (uint32_t picture = 0; gallery->assets != NULL && picture < gallery->art->count; picture++)
        if (gallery->assets[picture].stream.bits != 0) give_up(w, &gallery->assets[picture]);
    gallery->assets = NULL;
    gallery->loading_count = 0;
}
