// SPDX-License-Identifier: MIT
//
// A group per level: workers load rooms into it side by side, each room opens a "file" that a cleanup closes, and the change of
// level frees everything in one call. Afterwards the memory is where it was before.
#include <framealloc/framealloc.h>

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>

enum { levels = 4, rooms = 64, vertices_per_room = 500, props_per_room = 40 };

// Stands for what is not memory: descriptors, GPU buffers, sounds.
static atomic_int open_files;

typedef struct file {
    uint32_t room;
} file;

typedef struct prop {
    uint32_t kind;
    float at[3];
} prop;

typedef struct room {
    uint32_t number;
    float *vertices; // 64-byte aligned, for SIMD
    prop *props[props_per_room];
    file *data;
} room;

typedef struct level {
    fa_group memory;
    room *rooms;
    atomic_uint failed;
} level;

static void close_file(fa_worker *w, void *object, void *context)
{
    (void)w, (void)object;
    atomic_fetch_sub((atomic_int *)context, 1);
}

// Loads one room. Whatever lane runs it, all its memory belongs to the level.
static bool load_room(fa_worker *w, const level *into, uint32_t number)
{
    room *r = &into->rooms[number];
    r->number = number;
    r->data = fa_group_new_cleaned(w, into->memory, file, close_file, &open_files);
    if (r->data == NULL) return false;
    atomic_fetch_add(&open_files, 1);
    r->data->room = number;
    r->vertices = fa_group_alloc_array(w, into->memory, vertices_per_room, sizeof(float), 64);
    if (r->vertices == NULL) return false;
    for (uint32_t i = 0; i < vertices_per_room; i++) r->vertices[i] = (float)(number + i);
    for (uint32_t i = 0; i < props_per_room; i++) {
        r->props[i] = fa_group_new(w, into->memory, prop);
        if (r->props[i] == NULL) return false;
        *r->props[i] = (prop){.kind = number * 100 + i};
    }
    return true;
}

static void load_rooms(fa_worker *w, uint64_t first, uint64_t last, void *arg)
{
    level *into = arg;
    for (uint64_t i = first; i < last; i++)
        if (!load_room(w, into, (uint32_t)i)) atomic_fetch_add(&into->failed, 1u);
}

static bool is_right(const level *l)
{
    for (uint32_t i = 0; i < rooms; i++) {
        const room *r = &l->rooms[i];
        if (r->number != i || r->data->room != i || (uintptr_t)r->vertices % 64 != 0) return false;
        for (uint32_t v = 0; v < vertices_per_room; v++)
            if (r->vertices[v] != (float)(i + v)) return false;
        for (uint32_t p = 0; p < props_per_room; p++)
            if (r->props[p]->kind != i * 100 + p) return false;
    }
    return true;
}

// One level from loading to the next change; true if all went as it should.
static bool play(fa_system *fa, const char *name)
{
    fa_worker *w = fa_self(fa);
    level current = {0};
    if (fa_group_create(w, name, &current.memory) != FA_OK) return false;
    current.rooms = fa_group_array(w, current.memory, room, rooms);
    if (current.rooms == NULL || fa_frame_begin(fa) != FA_OK) return false;
    (void)fa_parallel_for(w, 0, rooms, 1, load_rooms, &current);
    if (fa_frame_end(fa, NULL) != FA_OK) return false;
    for (int tick = 0; tick < 5; tick++) { // the level lives as long as it is played
        if (fa_frame_begin(fa) != FA_OK || fa_frame_end(fa, NULL) != FA_OK) return false;
    }
    fa_group_info info;
    bool loaded = fa_group_read(w, current.memory, &info) == FA_OK && atomic_load(&current.failed) == 0 &&
                  info.objects == 1 + rooms * (2 + props_per_room) && atomic_load(&open_files) == rooms &&
                  is_right(&current);
    printf("%s: %" PRIu64 " objects, %" PRIu64 " bytes, %d files\n", info.name, info.objects, info.bytes,
           atomic_load(&open_files));
    return fa_group_free(w, current.memory) == FA_OK && loaded && atomic_load(&open_files) == 0 &&
           !fa_group_exists(w, current.memory);
}

// Memory of a group that other lanes took comes home at the boundaries that follow.
static bool is_home(fa_system *fa)
{
    fa_stats stats = {.group_objects = 1};
    for (int tick = 0; tick < 100000 && stats.group_objects != 0; tick++) {
        if (fa_frame_begin(fa) != FA_OK || fa_frame_end(fa, NULL) != FA_OK) return false;
        if (fa_stats_read(fa, &stats) != FA_OK) return false;
    }
    return stats.groups == 0 && stats.group_objects == 0 && stats.group_bytes == 0;
}

int main(void)
{
    fa_config config = fa_config_default();
    fa_system *fa = NULL;
    if (fa_create(&config, &fa) != FA_OK) return 1;
    bool right = true;
    for (int i = 0; i < levels && right; i++) {
        char name[FA_NAME_MAX + 1];
        snprintf(name, sizeof name, "level %d", i + 1);
        right = play(fa, name) && is_home(fa);
    }
    right = fa_destroy(fa) == FA_OK && right;
    if (!right) fprintf(stderr, "level_loading: something is not as it should be\n");
    return right ? 0 : 1;
}
