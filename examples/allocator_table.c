// SPDX-License-Identifier: MIT
//
// Code that knows nothing of framealloc but a table of functions: a text buffer that grows. The same code logs into frame memory, keeps a
// name in the pool, and reads a script in scope memory.
#include <framealloc/framealloc.h>

#include <stdio.h>

// Somebody's text buffer ------------------------------------------------------------------------------------------------

typedef struct text {
    const fa_allocator *memory;
    char *chars;
    size_t length, capacity;
} text;

static bool append(text *t, const char *more)
{
    size_t extra = strlen(more), needed = t->length + extra + 1;
    if (needed > t->capacity) {
        size_t capacity = needed > 2 * t->capacity ? needed : 2 * t->capacity;
        char *chars = fa_realloc_with(t->memory, t->chars, t->capacity, capacity, 1);
        if (chars == NULL) return false; // what is there stays
        t->chars = chars;
        t->capacity = capacity;
    }
    memcpy(t->chars + t->length, more, extra + 1);
    t->length += extra;
    return true;
}

static void end_text(text *t)
{
    fa_free_with(t->memory, t->chars, t->capacity);
    *t = (text){.memory = t->memory};
}

// The engine ------------------------------------------------------------------------------------------------------------

typedef struct world {
    text name; // lives as long as the level
    bool right[64];
} world;

static void think(fa_worker *w, uint64_t first, uint64_t last, void *arg)
{
    world *here = arg;
    fa_allocator frame = fa_allocator_frame(w), scope = fa_allocator_scope(w);
    for (uint64_t i = first; i < last; i++) {
        FA_SCOPE(w);
        text log = {.memory = &frame}, script = {.memory = &scope};
        bool right = true;
        for (int j = 0; j < 100; j++) right &= append(&log, "step ");
        const char *top = log.chars;
        for (int j = 0; j < 100; j++) right &= append(&log, "more "); // at the arena's top: grows where it is
        right &= log.chars == top && append(&script, "wait; turn; walk") && append(&script, "; shoot");
        here->right[i] = right && log.length == 1000 && strcmp(script.chars, "wait; turn; walk; shoot") == 0;
        end_text(&script);
        end_text(&log); // costs nothing: the frame frees it
    }
}

int main(void)
{
    fa_config config = fa_config_default();
    fa_system *fa = NULL;
    if (fa_create(&config, &fa) != FA_OK) return 1;
    fa_worker *w = fa_self(fa);
    fa_allocator pool = fa_allocator_pool(w);
    world here = {.name = {.memory = &pool}};
    bool right = append(&here.name, "MAP12");
    for (int tick = 0; tick < 5 && right; tick++) {
        right = fa_frame_begin(fa) == FA_OK && append(&here.name, ", The Factory") &&
                fa_parallel_for(w, 0, 64, 4, think, &here) == FA_OK && fa_frame_end(fa, NULL) == FA_OK;
        for (int i = 0; i < 64; i++) right &= here.right[i];
    }
    right &= here.name.length == 5 + 5 * 13;
    end_text(&here.name);
    printf("%s\n", right ? "one buffer, three memories" : "wrong");
    return fa_destroy(fa) == FA_OK && right ? 0 : 1;
}
