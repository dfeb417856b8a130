// SPDX-License-Identifier: MIT
//
// Which tags use the wrong kind of memory: temporaries from the pool, strings from the heap, results that are promoted every frame. Each is
// told once, and the report has the figures.
#include <framealloc/framealloc.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { ticks = 25, hits = 64 };

static fa_collected entries[16];
static fa_collector seen;

static void collide(fa_worker *w, void *arg)
{
    (void)arg;
    FA_TAG(w, "contacts"); // "physics::contacts"
    void *contact = fa_pool_alloc(w, 96);
    fa_pool_free(w, contact); // frame memory would do
}

static void name_entities(fa_worker *w, void *arg)
{
    (void)arg;
    FA_TAG(w, "names");
    for (int i = 0; i < 3; i++) fa_heap_free(w, fa_heap_alloc(w, 40, 16)); // the pool would be faster
}

static fa_status run_tick(fa_system *fa, fa_cell *path)
{
    fa_worker *w = fa_self(fa);
    fa_status status = fa_frame_begin(fa);
    if (status != FA_OK) return status;
    {
        FA_TAG(w, "physics");
        for (int i = 0; i < hits && status == FA_OK; i++) status = fa_submit(w, collide, NULL);
    }
    if (status == FA_OK) status = fa_submit(w, name_entities, NULL);
    {
        FA_TAG(w, "paths");
        fa_retain how = fa_retain_for(FA_REUSABLE);
        how.cell = path; // the same path, published again each tick
        if (fa_frame_retained(w, 512, 16, &how) == NULL) status = FA_ERROR_MEMORY;
    }
    fa_status ended = fa_frame_end(fa, NULL);
    return status != FA_OK ? status : ended;
}

static fa_status watch(fa_system *fa, fa_behavior *contacts)
{
    fa_cell path = {NULL};
    fa_tag tag = {0};
    fa_behavior_limits limits = fa_behavior_strict(); // windows of 10 frames
    fa_status status = fa_behavior_watch(fa, &limits);
    for (int tick = 0; tick < ticks && status == FA_OK; tick++) status = run_tick(fa, &path);
    if (status == FA_OK) status = fa_tag_find(fa, "physics::contacts", &tag);
    if (status == FA_OK) status = fa_behavior_read(fa, tag, contacts);
    fa_status dropped = fa_cell_drop(fa_self(fa), &path);
    return status != FA_OK ? status : dropped;
}

int main(void)
{
    fa_collector_init(&seen, entries, 16);
    fa_config config = fa_config_default();
    config.report = fa_collector_take;
    config.report_context = &seen;
    fa_system *fa = NULL;
    fa_behavior contacts = {0};
    fa_status status = fa_create(&config, &fa);
    if (status == FA_OK) status = watch(fa, &contacts);
    fa_status destroyed = fa_destroy(fa);
    if (status == FA_OK) status = destroyed;
    if (status != FA_OK) {
        fprintf(stderr, "behavior: %s\n", fa_status_text(status));
        return 1;
    }
    static const char *const codes[] = {"FA502", "FA510", "FA520", "FA530"};
    bool right = contacts.pool_objects == 10 * hits && contacts.pool_same_frame_least == contacts.pool_objects;
    for (int i = 0; i < 4; i++) {
        const fa_collected *told = fa_collector_get(&seen, codes[i], 0);
        if (told != NULL) printf("%s: %s\n", codes[i], told->message);
        right = right && fa_collector_count(&seen, codes[i]) == 1; // over its limit in both windows, told once
    }
    printf("physics::contacts: %" PRIu64 " pool objects in %u frames, %" PRIu64
           " of them gone before their frame's end\n",
           contacts.pool_objects, contacts.frames, contacts.pool_same_frame_least);
    return right ? 0 : 1;
}
