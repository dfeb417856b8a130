// SPDX-License-Identifier: MIT
//
// schedules: runs each scenario under many schedules, at several depths of PCT and uniformly, and prints a verdict for each. Exit status 1 if
// a schedule failed, or if none of a scenario with a planted bug did.
#include "platform.h"
#include "scenarios.h"

#include <argp.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEPS_MAX UINT64_C(2000000)
/// How many schedules tell how long one is.
#define MEASURED 8u

static const uint32_t depths[] = {2, 3, 4, 6, 0};
#define DEPTHS (sizeof depths / sizeof depths[0])

struct options {
    const char *scenario; // NULL: all
    uint64_t schedules;   // of each scenario, over all depths
    double seconds;       // for all scenarios together; 0: until the schedules have run
    uint64_t seed;
    bool one; // only that seed, at `depth`
    uint32_t depth;
    uint64_t length;
};

static const struct argp_option argp_options[] = {
    {"schedules", 'n', "N", 0, "Schedules of each scenario (10000)", 0},
    {"seconds", 't', "S", 0, "Instead, as many as fit into that time for all scenarios together", 0},
    {"scenario", 's', "NAME", 0, "Only that scenario", 0},
    {"seed", 'S', "N", 0, "First seed (1)", 0},
    {"replay", 'r', "SEED:DEPTH:LENGTH", 0, "One schedule, as a failure names it", 0},
    {"list", 'l', NULL, 0, "List the scenarios", 0},
    {0},
};

static bool read_number(const char *text, uint64_t *out)
{
    char *end;
    *out = strtoull(text, &end, 10);
    return *text >= '0' && *text <= '9' && *end == '\0';
}

static bool read_seconds(const char *text, double *out)
{
    char *end;
    *out = strtod(text, &end);
    return end != text && *end == '\0' && isfinite(*out) && *out > 0;
}

static error_t parse(int key, char *value, struct argp_state *state)
{
    struct options *o = state->input;
    switch (key) {
        case 'n':
            if (!read_number(value, &o->schedules)) argp_error(state, "'%s' is no number", value);
            return 0;
        case 't':
            if (!read_seconds(value, &o->seconds)) argp_error(state, "'%s' is no time", value);
            o->schedules = UINT64_MAX;
            return 0;
        case 'S':
            if (!read_number(value, &o->seed)) argp_error(state, "'%s' is no number", value);
            return 0;
        case 's': o->scenario = value; return 0;
        case 'r':
            o->one = sscanf(value, "%" SCNu64 ":%" SCNu32 ":%" SCNu64, &o->seed, &o->depth, &o->length) == 3;
            if (!o->one) argp_error(state, "'%s' is not SEED:DEPTH:LENGTH", value);
            return 0;
        case 'l':
            for (const scenario *s = scenarios; s->name != NULL; s++) printf("%-16s %s\n", s->name, s->what);
            exit(0);
        default: return ARGP_ERR_UNKNOWN;
    }
}

static const char *verdict_text(const schedule_result *result)
{
    switch (result->verdict) {
        case SCHEDULE_DEADLOCK: return "all sleep and nobody will wake them";
        case SCHEDULE_ENDLESS: return "does not end";
        case SCHEDULE_WRONG: return result->text;
        default: return "good";
    }
}

static schedule_result run_one(const scenario *s, uint64_t seed, uint32_t depth, uint64_t length)
{
    schedule_options o = {.seed = seed, .depth = depth, .length = length, .steps_max = STEPS_MAX};
    platform_reset();
    return schedule_run(&o, s->run, NULL);
}

static void report(const scenario *s, const schedule_result *r, uint64_t seed, uint32_t depth, uint64_t length)
{
    printf("%s: FAILED: %s\n    again: --scenario %s --replay %" PRIu64 ":%" PRIu32 ":%" PRIu64 " (step %" PRIu64 ")\n",
           s->name, verdict_text(r), s->name, seed, depth, length, r->steps);
}

/// The steps of a schedule of this scenario, about.
static uint64_t measure(const scenario *s, uint64_t seed)
{
    uint64_t steps = 0;
    for (uint64_t i = 0; i < MEASURED; i++) {
        schedule_result r = run_one(s, seed + i, 1, 1);
        if (r.verdict != SCHEDULE_GOOD) break; // a schedule below will say so
        steps = r.steps > steps ? r.steps : steps;
    }
    return steps > 0 ? steps : 1000;
}

struct tally {
    uint64_t schedules, steps, switches;
};

/// Until the schedules have run or, unless it is 0, until that time. False when the scenario has failed, which ends it: what it held is lost.
static bool run_scenario(const scenario *s, const struct options *o, double until, struct tally *t)
{
    uint64_t length = measure(s, o->seed);
    for (uint64_t i = 0; i < o->schedules && (until <= 0 || platform_seconds() < until); i++) {
        uint64_t seed = o->seed + i / DEPTHS;
        uint32_t depth = depths[i % DEPTHS];
        schedule_result r = run_one(s, seed, depth, length);
        t->schedules++;
        t->steps += r.steps;
        t->switches += r.switches;
        if (r.verdict == SCHEDULE_GOOD) continue;
        if (s->wrong)
            printf("%-16s planted bug found after %" PRIu64 " schedules: %s\n", s->name, t->schedules,
                   verdict_text(&r));
        else
            report(s, &r, seed, depth, length);
        return false;
    }
    return true;
}

static bool is_wanted(const scenario *s, const struct options *o)
{
    return o->scenario == NULL || strcmp(o->scenario, s->name) == 0;
}

/// When the scenario has to end that `s` is, so that those after it get as much; 0 when it need not.
static double end_of(const scenario *s, const struct options *o, double end_of_all)
{
    uint32_t left = 0;
    for (; s->name != NULL; s++) left += is_wanted(s, o);
    double now = platform_seconds();
    return o->seconds > 0 ? now + (end_of_all - now) / left : 0;
}

int main(int argc, char **argv)
{
    struct options o = {.schedules = 10000, .seed = 1};
    const struct argp argp = {argp_options, parse, NULL, "Runs the library under deterministic schedules.",
                              NULL,         NULL,  NULL};
    argp_parse(&argp, argc, argv, 0, NULL, &o);
    bool good = true, any = false;
    struct tally all = {0};
    uint32_t passed_count = 0, planted_found = 0;
    double end_of_all = platform_seconds() + o.seconds;
    for (const scenario *s = scenarios; s->name != NULL; s++) {
        if (!is_wanted(s, &o)) continue;
        any = true;
        if (o.one) {
            schedule_result r = run_one(s, o.seed, o.depth, o.length);
            printf("%s: %s after %" PRIu64 " steps\n", s->name, verdict_text(&r), r.steps);
            good = good && r.verdict == SCHEDULE_GOOD;
            continue;
        }
        struct tally t = {0};
        double begun = platform_seconds();
        bool passed = run_scenario(s, &o, end_of(s, &o, end_of_all), &t);
        all.schedules += t.schedules;
        all.steps += t.steps;
        passed_count += passed && !s->wrong;
        planted_found += !passed && s->wrong;
        if (passed == s->wrong) {
            good = false;
            if (s->wrong) printf("%s: the planted bug was NOT found in %" PRIu64 " schedules\n", s->name, t.schedules);
        }
        if (passed && !s->wrong)
            printf("%-16s %" PRIu64 " schedules, %.3g steps and %.3g switches each, %.1f s\n", s->name, t.schedules,
                   (double)t.steps / (double)t.schedules, (double)t.switches / (double)t.schedules,
                   platform_seconds() - begun);
        fflush(stdout);
    }
    if (!any) {
        fprintf(stderr, "schedules: no scenario '%s'; --list names them\n", o.scenario);
        return 2;
    }
    if (!o.one)
        printf("schedules: %" PRIu64 " schedules, %.3g steps, %" PRIu32 " scenarios without failure, %" PRIu32
               " planted bugs found%s\n",
               all.schedules, (double)all.steps, passed_count, planted_found, good ? "" : ", FAILED");
    return good ? 0 : 1;
}
