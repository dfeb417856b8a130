// SPDX-License-Identifier: MIT
//
// Runs the models: the library's concurrent code under every order of threads and of memory that the search gets to; and, to show that
// this would find something, the same code with one ordered operation made weaker.
#include "tests/model/checker.h"
#include "tests/model/little_system.h"

#include <argp.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MODEL(name) extern const mc_model model_##name;
#include "tests/model/models.def"
#undef MODEL
#define MODEL(name) &model_##name,
static const mc_model *const models[] = {
#include "tests/model/models.def"
};
enum { MODEL_COUNT = sizeof models / sizeof *models };

static struct {
    uint64_t iterations, seed, mutant_iterations;
    unsigned bound, part, parts; // of the mutants
    double seconds, thorough;
    const char *survivors;
    bool list, sites, mutants, quiet, show;
    bool wanted[MODEL_COUNT];
} options = {.iterations = 100000, .seed = 1, .mutant_iterations = 6000, .part = 1, .parts = 1};

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

// Options ---------------------------------------------------------------------------------------------------------------

enum { MUTANTS = 256, SITES, LIST, SURVIVORS, PART, SHOW, THOROUGH };

static const struct argp_option accepted[] = {
    {"iterations", 'n', "N", 0, "random executions of each model (100000)", 0},
    {"seed", 's', "N", 0, "number of the first (1); a failure names its own", 0},
    {"bound", 'b', "N", 0, "then every execution with at most N preemptions (0: none)", 0},
    {"seconds", 't', "S", 0, "stop either search of a model after S seconds", 0},
    {"thorough", THOROUGH, "S", 0,
     "S seconds for each model: up to half for all executions with 2 preemptions, 3 if it is small, the rest at random",
     0},
    {"mutants", MUTANTS, "N", OPTION_ARG_OPTIONAL,
     "weaken each ordered operation: must fail within N executions (6000)", 0},
    {"survivors", SURVIVORS, "FILE", 0, "mutants that are known to pass, and why", 0},
    {"part", PART, "I/N", 0, "of the mutants only every N-th, from the I-th on", 0},
    {"sites", SITES, NULL, 0, "list the ordered operations that the models reach", 0},
    {"show", SHOW, NULL, 0, "show the first execution", 0},
    {"quiet", 'q', NULL, 0, "do not show the execution that fails", 0},
    {"list", LIST, NULL, 0, "list the models", 0},
    {NULL, 0, NULL, 0, NULL, 0},
};

static uint64_t number(const struct argp_state *state, const char *text)
{
    char *end;
    uint64_t value = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0') argp_error(state, "'%s' is no number", text);
    return value;
}

static double seconds(const struct argp_state *state, const char *text)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || !(value >= 0)) argp_error(state, "'%s' is no time", text);
    return value;
}

static void want(const struct argp_state *state, const char *name)
{
    for (unsigned i = 0; i < MODEL_COUNT; i++) {
        if (strcmp(models[i]->name, name) != 0) continue;
        options.wanted[i] = true;
        return;
    }
    argp_error(state, "no model '%s'", name);
}

static error_t take_option(int key, char *text, struct argp_state *state)
{
    switch (key) {
        case 'n': options.iterations = number(state, text); break;
        case 's': options.seed = number(state, text); break;
        case 'b': options.bound = (unsigned)number(state, text); break;
        case 't': options.seconds = seconds(state, text); break;
        case THOROUGH: options.thorough = seconds(state, text); break;
        case SHOW: options.show = true; break;
        case 'q': options.quiet = true; break;
        case SURVIVORS: options.survivors = text; break;
        case PART:
            if (sscanf(text, "%u/%u", &options.part, &options.parts) != 2 || options.part < 1 ||
                options.part > options.parts)
                argp_error(state, "'%s' is no part, such as 1/2", text);
            break;
        case SITES: options.sites = true; break;
        case LIST: options.list = true; break;
        case MUTANTS:
            options.mutants = true;
            if (text != NULL) options.mutant_iterations = number(state, text);
            break;
        case ARGP_KEY_ARG: want(state, text); break;
        case ARGP_KEY_NO_ARGS:
            for (unsigned i = 0; i < MODEL_COUNT; i++) options.wanted[i] = true;
            break;
        default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

// Models ------------------------------------------------------------------------------------------------------------------

static uint64_t executions;

/// Before each search.
static void prepare(unsigned model)
{
    if (models[model]->system != NULL) *models[model]->system = little_system(models[model]);
}

/// One search, of `limit` executions at most if it is at random. False: it fails.
static bool check(unsigned model, unsigned bound, uint64_t limit, double seconds_max)
{
    mc_run run = {.bound = bound,
                  .first = options.seed,
                  .executions = bound > 0 ? UINT64_MAX : limit,
                  .seconds = seconds_max,
                  .trace = options.show ? 1 : 0};
    double start = now();
    prepare(model);
    mc_check(models[model], &run);
    double seconds = now() - start;
    executions += run.done;
    char search[40];
    if (bound > 0)
        snprintf(search, sizeof search, "bound %u%s", bound, run.exhausted ? ", all" : "");
    else
        snprintf(search, sizeof search, "random from %" PRIu64, options.seed);
    printf("%-12s %-20s %10" PRIu64 " executions %7.1f s  %s\n", models[model]->name, search, run.done, seconds,
           run.failed ? "FAILED" : "passed");
    if (run.failed && bound == 0)
        printf("    execution %" PRIu64 ": %s\n    again: --seed %" PRIu64 " --iterations 1 %s\n",
               options.seed + run.done - 1, run.reason, options.seed + run.done - 1, models[model]->name);
    else if (run.failed)
        printf("    %s\n", run.reason);
    fflush(stdout);
    if (run.failed && !options.quiet) { // once more, to show it
        run.trace = run.done;
        run.executions = run.done;
        mc_check(models[model], &run);
    }
    return !run.failed;
}

/// Both searches with what the options say of each.
static bool check_briefly(unsigned model)
{
    bool right = options.iterations == 0 || check(model, 0, options.iterations, options.seconds);
    if (right && options.bound > 0 && !models[model]->large) right = check(model, options.bound, 0, options.seconds);
    return right;
}

/// Both searches within options.thorough seconds. What the first leaves because there are no more such executions is the second's.
static bool check_thoroughly(unsigned model)
{
    double until = now() + options.thorough;
    const mc_model *m = models[model];
    if (!m->takes_time && !check(model, m->large ? 2 : 3, 0, options.thorough / 2)) return false;
    double left = until - now();
    return left <= 0 || check(model, 0, UINT64_MAX / 2, left);
}

// Mutants -------------------------------------------------------------------------------------------------------------------

typedef struct mutant {
    mc_site site;
    const char *part;
    bool reached[MODEL_COUNT];
    bool listed; // as a survivor
} mutant;

static mutant mutants[2048];
static unsigned mutant_count;

/// What a mutant is called: where it is, without line numbers, which change.
static void name_of(const mutant *m, char *name, size_t size)
{
    unsigned before = 0;
    for (unsigned i = 0; i < mutant_count; i++) {
        const mutant *other = &mutants[i];
        before += other->site.line < m->site.line && strcmp(other->part, m->part) == 0 &&
                  strcmp(other->site.file, m->site.file) == 0 && strcmp(other->site.function, m->site.function) == 0 &&
                  strcmp(other->site.what, m->site.what) == 0;
    }
    char again[16] = "";
    if (before > 0) snprintf(again, sizeof again, "#%u", before + 1);
    snprintf(name, size, "%s %s %s%s %s", m->site.file, m->site.function, m->site.what, again, m->part);
}

static void add_mutant(const mc_site *site, const char *part, unsigned model)
{
    for (unsigned i = 0; i < mutant_count; i++) {
        mutant *m = &mutants[i];
        if (m->site.line != site->line || strcmp(m->site.file, site->file) != 0 ||
            strcmp(m->site.what, site->what) != 0 || strcmp(m->part, part) != 0)
            continue;
        m->reached[model] = true;
        return;
    }
    if (mutant_count == sizeof mutants / sizeof *mutants) return;
    mutants[mutant_count] = (mutant){.site = *site, .part = part};
    mutants[mutant_count++].reached[model] = true;
}

static int by_place(const void *a, const void *b)
{
    const mutant *one = a, *two = b;
    int files = strcmp(one->site.file, two->site.file);
    return files != 0 ? files : one->site.line - two->site.line;
}

/// Runs every model a little and finds out which operations it reaches.
static bool find_mutants(void)
{
    for (unsigned i = 0; i < MODEL_COUNT; i++) {
        if (!options.wanted[i]) continue;
        mc_run run = {.first = options.seed, .executions = 100};
        prepare(i);
        mc_forget();
        mc_check(models[i], &run);
        if (run.failed) {
            printf("%s fails as it is: %s\n", models[i]->name, run.reason);
            return false;
        }
        size_t count;
        const mc_site *const *sites = mc_sites(&count);
        for (size_t k = 0; k < count; k++) {
            const char *parts[4];
            if (strncmp(sites[k]->file, "tests/", 6) == 0) continue; // a model's own
            for (unsigned n = mc_parts(sites[k], parts); n > 0; n--) add_mutant(sites[k], parts[n - 1], i);
        }
    }
    qsort(mutants, mutant_count, sizeof *mutants, by_place);
    return true;
}

/// Lines "name: reason"; false: there is no such file.
static bool read_survivors(void)
{
    char line[512], name[256];
    FILE *file = options.survivors != NULL ? fopen(options.survivors, "r") : NULL;
    if (options.survivors != NULL && file == NULL) perror(options.survivors);
    if (file == NULL) return options.survivors == NULL;
    while (fgets(line, sizeof line, file) != NULL) {
        char *colon = strchr(line, ':');
        if (*line == '#' || colon == NULL) continue;
        *colon = '\0';
        for (unsigned i = 0; i < mutant_count; i++) {
            name_of(&mutants[i], name, sizeof name);
            if (strcmp(name, line) == 0) mutants[i].listed = true;
        }
    }
    (void)fclose(file);
    return true;
}

static bool try_mutant(const mutant *m, unsigned bound, uint64_t executions, unsigned *model, mc_run *run)
{
    for (unsigned i = 0; i < MODEL_COUNT; i++) {
        if (!m->reached[i] || (bound > 0 && models[i]->large)) continue;
        *run = (mc_run){.bound = bound, .first = options.seed, .executions = executions, .seconds = options.seconds};
        prepare(i);
        mc_check(models[i], run);
        *model = i;
        if (run->failed) return true;
    }
    return false;
}

/// Whether one of the models that reach it finds the mutant: at random, a little with each and then more, at last with two preemptions. One
/// that is listed gets a small try only.
static bool catch_mutant(const mutant *m, unsigned *model, mc_run *run)
{
    static const uint64_t tries[] = {20, 500, UINT64_MAX};
    bool caught = false;
    mc_weaken(&m->site, m->part);
    for (int i = 0; i < (m->listed ? 1 : 3) && !caught; i++)
        caught = try_mutant(m, 0, tries[i] < options.mutant_iterations ? tries[i] : options.mutant_iterations, model,
                            run);
    if (!caught && !m->listed) caught = try_mutant(m, 2, options.mutant_iterations, model, run);
    mc_restore();
    return caught;
}

static int check_mutants(void)
{
    if (!find_mutants() || !read_survivors()) return 1;
    unsigned caught = 0, listed = 0, wrong = 0;
    for (unsigned i = options.part - 1; i < mutant_count; i += options.parts) {
        char name[256];
        mc_run run;
        unsigned model = 0;
        const mutant *m = &mutants[i];
        bool found = catch_mutant(m, &model, &run);
        name_of(m, name, sizeof name);
        caught += found;
        listed += !found && m->listed;
        wrong += !found && !m->listed;
        if (found)
            printf("%s: caught by %s after %" PRIu64 ": %s%s\n", name, models[model]->name, run.done, run.reason,
                   m->listed ? " (although listed as a survivor)" : "");
        else
            printf("%s: %s (line %d)\n", name, m->listed ? "survived, as listed" : "SURVIVED", m->site.line);
        fflush(stdout);
    }
    printf("%u mutants: %u caught, %u survived as listed, %u survived\n", caught + listed + wrong, caught, listed,
           wrong);
    return wrong > 0 || mutant_count == 0;
}

static int list_sites(void)
{
    if (!find_mutants()) return 1;
    for (unsigned i = 0; i < mutant_count; i++) {
        char name[256];
        name_of(&mutants[i], name, sizeof name);
        printf("%s (line %d):", name, mutants[i].site.line);
        for (unsigned k = 0; k < MODEL_COUNT; k++)
            if (mutants[i].reached[k]) printf(" %s", models[k]->name);
        printf("\n");
    }
    return 0;
}

int main(int argc, char **argv)
{
    const struct argp parser = {accepted, take_option, "[MODEL…]", "Model checking of framealloc's lock-free code.",
                                NULL,     NULL,        NULL};
    argp_parse(&parser, argc, argv, 0, NULL, NULL);
    if (options.list) {
        for (unsigned i = 0; i < MODEL_COUNT; i++) printf("%-12s %s\n", models[i]->name, models[i]->claim);
        return 0;
    }
    if (options.sites) return list_sites();
    if (options.mutants) return check_mutants();
    unsigned failed = 0, ran = 0;
    for (unsigned i = 0; i < MODEL_COUNT; i++) {
        if (!options.wanted[i]) continue;
        ran++;
        failed += options.thorough > 0 ? !check_thoroughly(i) : !check_briefly(i);
    }
    printf("%u models, %u failed, %" PRIu64 " executions\n", ran, failed, executions);
    return failed > 0;
}
