// SPDX-License-Identifier: MIT
//
// Which operations are relaxed in this run: RACE_WEAK holds words of the form file:first-last (lines) or file:function. Compiled without
// instrumentation, so that asking is no event.
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PLACES_MAX 64

static struct place {
    char file[128], function[64];
    int first, last;
} places[PLACES_MAX];
static int place_count;

bool race_is_weak(const char *file, const char *function, int line);

__attribute__((constructor)) static void read_places(void)
{
    const char *text = getenv("RACE_WEAK");
    for (int used = 0; text != NULL; text += used) {
        char word[192];
        if (sscanf(text, " %191s%n", word, &used) != 1) return;
        struct place *place = &places[place_count++];
        if (place_count == PLACES_MAX ||
            (sscanf(word, "%127[^:]:%d-%d", place->file, &place->first, &place->last) != 3 &&
             sscanf(word, "%127[^:]:%63s", place->file, place->function) != 2)) {
            fprintf(stderr, "RACE_WEAK: what is '%s'?\n", word);
            exit(2);
        }
    }
}

/// Compilers may be given paths from elsewhere.
static bool is_file(const char *path, const char *file)
{
    size_t length = strlen(path), tail = strlen(file);
    return length >= tail && strcmp(path + length - tail, file) == 0 &&
           (length == tail || path[length - tail - 1] == '/');
}

bool race_is_weak(const char *file, const char *function, int line)
{
    for (const struct place *place = places; place < places + place_count; place++) {
        if (!is_file(file, place->file)) continue;
        if (place->function[0] != '\0' ? strcmp(place->function, function) == 0
                                       : line >= place->first && line <= place->last)
            return true;
    }
    return false;
}
