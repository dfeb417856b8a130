// SPDX-License-Identifier: MIT
//
// Hunting a leak in a game: enemies that are spawned every wave and not all taken down again. A checked system tells at any boundary which
// call allocated what is still there; the same list comes with FA910 at the end. It also catches what else may be wrong with memory: here a
// name that is copied a byte too far, and a pointer that outlives its frame.
//
// The program is wrong on purpose and checks that each of its three defects is reported.
#include <framealloc/framealloc.h>

#include <stdio.h>
#include <string.h>

enum { WAVES = 6, ENEMIES = 50, LEAKED_PER_WAVE = 3 };

typedef struct enemy {
    float x, y;
    char *name;
} enemy;

typedef struct findings {
    unsigned overflows, stale, leaks;
    bool lists_sites;
} findings;

static void note(const fa_diagnostic *diagnostic, void *context)
{
    findings *found = context;
    if (strcmp(diagnostic->code, "FA201") == 0) {
        if (strstr(diagnostic->message, "written past its end") != NULL)
            found->overflows++;
        else
            found->stale++;
    } else if (strcmp(diagnostic->code, "FA910") == 0) {
        found->leaks++;
        found->lists_sites = strstr(diagnostic->note, " objects, ") != NULL;
    }
    printf("  [%s] %s: %s\n", diagnostic->code, diagnostic->message, diagnostic->note);
}

static void print_line(const char *line, void *context)
{
    (void)context;
    printf("    %s\n", line);
}

/// Defect 1: the terminating zero of a name of 20 letters has no room.
static char *copy_name(fa_worker *w, const char *name)
{
    size_t length = strlen(name);
    char *copy = fa_pool_array(w, char, length);
    if (copy != NULL) memcpy(copy, name, length == 20 ? length + 1 : length); // gcc sees through a constant
    return copy;
}

static enemy *spawn(fa_worker *w, uint32_t i)
{
    enemy *e = fa_pool_new(w, enemy);
    if (e == NULL) return NULL;
    *e = (enemy){(float)i, 0, copy_name(w, i == 7 ? "Baron of Hell, third" : "imp")};
    return e;
}

/// Defect 2: the last few of a wave are forgotten.
static void take_down(fa_worker *w, enemy *const *wave)
{
    for (uint32_t i = 0; i < ENEMIES; i++) {
        if (i < ENEMIES - LEAKED_PER_WAVE) fa_pool_free(w, wave[i]->name);
        if (i < ENEMIES - LEAKED_PER_WAVE) fa_pool_free(w, wave[i]);
    }
}

static bool play_wave(fa_system *fa, float **last_seen)
{
    fa_worker *w = fa_self(fa);
    enemy *wave[ENEMIES];
    if (fa_tick_begin(fa) != FA_OK) return false;
    for (uint32_t i = 0; i < ENEMIES; i++)
        if ((wave[i] = spawn(w, i)) == NULL) return false;
    *last_seen = fa_frame_array(w, float, ENEMIES);
    for (uint32_t i = 0; *last_seen != NULL && i < ENEMIES; i++) (*last_seen)[i] = wave[i]->x;
    take_down(w, wave);
    return fa_tick_end(fa, NULL) == FA_OK && *last_seen != NULL;
}

int main(void)
{
    findings found = {0};
    fa_config config = fa_config_default();
    config.checked = true;
    config.backtraces = 4;
    config.quarantine = 64;
    config.report = note;
    config.report_context = &found;
    fa_system *fa;
    if (fa_create(&config, &fa) != FA_OK) return 1;
    float *last_seen = NULL;
    bool good = true;
    for (int wave = 0; wave < WAVES && good; wave++) good = play_wave(fa, &last_seen);

    // Defect 3: frame memory is used after its frame. An assertion with fa_check() at the use finds it.
    good = good && fa_check(fa, last_seen, ENEMIES * sizeof *last_seen) == FA_ERROR_STALE;

    printf("still there:\n");
    good = good && fa_leaks_write(fa, print_line, NULL) == FA_OK;
    fa_leak worst;
    uint32_t sites = 0;
    good = good && fa_leaks_read(fa, &worst, 1, &sites) == FA_OK;
    good = good && sites == 2 && worst.count == WAVES * LEAKED_PER_WAVE && worst.bytes == worst.count * sizeof(enemy);
    good = fa_destroy(fa) == FA_OK && good;
    good = good && found.overflows == WAVES && found.stale == 1 && found.leaks == 1 && found.lists_sites;
    printf("%s\n", good ? "all three defects were found" : "a defect was missed");
    return good ? 0 : 1;
}
