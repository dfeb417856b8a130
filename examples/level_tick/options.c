// SPDX-License-Identifier: MIT
//
// See options.h. argp parses and prints the help; what it would say about wrong arguments is replaced by one sentence.
#include "options.h"

#include <framealloc/framealloc.h>

#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/// So many that a tick of the default map takes some milliseconds on two processors.
#define AGENTS_DEFAULT "4096"
#define AGENTS_MAX 1000000u
#define TICKS_DEFAULT "600"
#define TICKS_MAX 10000000u
#define HZ_MAX 1000u
/// A quarter of what the pictures of the default map take, so that they come and go.
#define ART_BUDGET_DEFAULT "2048"
#define ART_BUDGET_MAX (1u << 20)

enum {
    KEY_WAD = 256,
    KEY_MAP,
    KEY_LIST_MAPS,
    KEY_AGENTS,
    KEY_TICKS,
    KEY_HZ,
    KEY_WORKERS,
    KEY_FRAMES,
    KEY_SEED,
    KEY_ART_BUDGET,
    KEY_PNG,
    KEY_PNG_EVERY,
    KEY_JSON,
    KEY_CHECK,
    KEY_HELP,
};

static const struct argp_option accepted[] = {
    {NULL, 0, NULL, 0, "Level:", 1},
    {"wad", KEY_WAD, "FILE", 0,
     "Level file, a path or a name that is looked for in DOOMWADDIR, DOOMWADPATH and the game data folders "
     "(freedoom2.wad)",
     1},
    {"map", KEY_MAP, "NAME", 0, "Map in that file (MAP12)", 1},
    {"list-maps", KEY_LIST_MAPS, NULL, 0, "List the maps of the file and exit", 1},
    {NULL, 0, NULL, 0, "World:", 2},
    {"agents", KEY_AGENTS, "N", 0, "Agents, the things of the map first (" AGENTS_DEFAULT ", at least all things)", 2},
    {"ticks", KEY_TICKS, "N", 0, "Ticks to run (" TICKS_DEFAULT ")", 2},
    {"seed", KEY_SEED, "N", 0, "Another crowd with other goals (1)", 2},
    {NULL, 0, NULL, 0, "Running:", 3},
    {"workers", KEY_WORKERS, "N", 0, "Worker threads beside the main one, 0 to 192 (one less than processors)", 3},
    {"frames-in-flight", KEY_FRAMES, "N", 0, "Frames that may overlap, 1 to 16 (1)", 3},
    {"art-budget", KEY_ART_BUDGET, "KIB", 0,
     "Memory for textures, of which those near the camera and those that a picture needs are loaded "
     "(" ART_BUDGET_DEFAULT ")",
     3},
    {"hz", KEY_HZ, "N", 0, "Ticks per second, 0 = as fast as it goes (0)", 3},
    {NULL, 0, NULL, 0, "Results:", 4},
    {"png", KEY_PNG, "FILE", 0, "Draw the last tick", 4},
    {"png-every", KEY_PNG_EVERY, "K", 0, "Draw every K-th tick too, its number added to the name", 4},
    {"json", KEY_JSON, "FILE", 0, "Write the summary as JSON", 4},
    {"check", KEY_CHECK, NULL, 0, "Print the checksum of the world alone", 4},
    {"help", KEY_HELP, NULL, 0, "Print this and exit", 5},
    {NULL, 0, NULL, 0, NULL, 0},
};

/// What the callbacks of argp share.
struct parsing {
    struct options *options;
    struct failure *failure;
    bool failed; // a sentence is there
};

static error_t refuse(struct parsing *parsing)
{
    parsing->failed = true;
    return EINVAL;
}

/// Digits only: strtoull() would take signs, blanks and hexadecimal.
static bool read_number(const char *text, uint64_t *out)
{
    if (*text == '\0' || strspn(text, "0123456789") != strlen(text)) return false;
    errno = 0;
    *out = strtoull(text, NULL, 10);
    return errno == 0;
}

static error_t take_number(struct parsing *parsing, const char *option, const char *text, uint32_t least, uint32_t most,
                           uint32_t *out)
{
    uint64_t value;
    if (read_number(text, &value) && value >= least && value <= most) {
        *out = (uint32_t)value;
        return 0;
    }
    (void)fail(parsing->failure, "--%s takes a number from %" PRIu32 " to %" PRIu32 ", not '%s'", option, least, most,
               text);
    return refuse(parsing);
}

static error_t take_seed(struct parsing *parsing, const char *text)
{
    if (read_number(text, &parsing->options->seed)) return 0;
    (void)fail(parsing->failure, "--seed takes a number from 0 to %" PRIu64 ", not '%s'", UINT64_MAX, text);
    return refuse(parsing);
}

static error_t take_text(struct parsing *parsing, const char *option, const char *text, const char **out)
{
    *out = text;
    if (*text != '\0') return 0;
    (void)fail(parsing->failure, "--%s takes a name, not an empty word", option);
    return refuse(parsing);
}

/// The argument that argp did not understand, said in one sentence.
static void explain(struct parsing *parsing, const struct argp_state *state)
{
    if (parsing->failed) return;
    parsing->failed = true;
    const char *word = state->next > 0 && state->next <= state->argc ? state->argv[state->next - 1] : "";
    size_t length = strcspn(word, "=");
    for (const struct argp_option *option = accepted; option->name != NULL || option->doc != NULL; option++) {
        if (option->name == NULL || length != strlen(option->name) + 2) continue;
        if (strncmp(word + 2, option->name, length - 2) != 0) continue;
        (void)fail(parsing->failure, option->arg != NULL ? "option --%s needs a value" : "option --%s takes no value",
                   option->name);
        return;
    }
    (void)fail(parsing->failure, "there is no option '%.*s'; --help lists those there are", (int)length, word);
}

static error_t take_option(int key, char *text, struct argp_state *state)
{
    struct parsing *parsing = state->input;
    struct options *options = parsing->options;
    switch (key) {
        case KEY_WAD: return take_text(parsing, "wad", text, &options->wad);
        case KEY_MAP: return take_text(parsing, "map", text, &options->map);
        case KEY_PNG: return take_text(parsing, "png", text, &options->png);
        case KEY_JSON: return take_text(parsing, "json", text, &options->json);
        case KEY_SEED: return take_seed(parsing, text);
        case KEY_AGENTS: return take_number(parsing, "agents", text, 1, AGENTS_MAX, &options->agents);
        case KEY_TICKS: return take_number(parsing, "ticks", text, 1, TICKS_MAX, &options->ticks);
        case KEY_ART_BUDGET: return take_number(parsing, "art-budget", text, 1, ART_BUDGET_MAX, &options->art_budget);
        case KEY_HZ: return take_number(parsing, "hz", text, 0, HZ_MAX, &options->hz);
        case KEY_WORKERS: return take_number(parsing, "workers", text, 0, FA_WORKERS_MAX, &options->workers);
        case KEY_FRAMES:
            return take_number(parsing, "frames-in-flight", text, 1, FA_FRAMES_IN_FLIGHT_MAX,
                               &options->frames_in_flight);
        case KEY_PNG_EVERY: return take_number(parsing, "png-every", text, 1, TICKS_MAX, &options->png_every);
        case KEY_LIST_MAPS: options->list_maps = true; return 0;
        case KEY_CHECK: options->check = true; return 0;
        case KEY_HELP: options->help = true; return 0;
        case ARGP_KEY_ARG:
            (void)fail(parsing->failure, "'%s' is no option; --help lists those there are", text);
            return refuse(parsing);
        case ARGP_KEY_ERROR: explain(parsing, state); return 0;
        default: return ARGP_ERR_UNKNOWN;
    }
}

static bool check_together(const struct options *options, struct failure *failure)
{
    if (options->png_every != 0 && options->png == NULL) return fail(failure, "--png-every needs --png");
    if (options->png != NULL && options->json != NULL && strcmp(options->png, options->json) == 0) {
        return fail(failure, "--png and --json name the same file '%s'", options->png);
    }
    return true;
}

bool options_parse(int argc, char **argv, struct options *out, struct failure *failure)
{
    static const struct argp parser = {
        .options = accepted,
        .parser = take_option,
        .doc = "Runs a crowd on a level of a Doom-format WAD file, tick by tick, and says how the ticks went."
               "\vThe checksum of the world depends on file, map, agents, ticks and seed alone: it is the same for any "
               "number of workers and of frames in flight.",
    };
    *out = (struct options){
        .wad = "freedoom2.wad",
        .map = "MAP12",
        .seed = 1,
        .agents = (uint32_t)strtoul(AGENTS_DEFAULT, NULL, 10),
        .ticks = (uint32_t)strtoul(TICKS_DEFAULT, NULL, 10),
        .workers = OPTIONS_WORKERS_AUTO,
        .art_budget = (uint32_t)strtoul(ART_BUDGET_DEFAULT, NULL, 10),
        .frames_in_flight = 1,
    };
    struct parsing parsing = {.options = out, .failure = failure};
    // argp's own --help would be silenced along with its messages about errors, so there is one among the options.
    unsigned flags = ARGP_NO_ERRS | ARGP_NO_HELP | ARGP_NO_EXIT;
    error_t error = argp_parse(&parser, argc, argv, flags, NULL, &parsing);
    if (error != 0 || parsing.failed) {
        if (!parsing.failed) (void)fail(failure, "the arguments cannot be read: %s", strerror(error));
        return false;
    }
    if (out->help) {
        argp_help(&parser, stdout, ARGP_HELP_SHORT_USAGE | ARGP_HELP_LONG | ARGP_HELP_DOC,
                  (char *)(uintptr_t) "level_tick");
        return true;
    }
    return check_together(out, failure);
}
