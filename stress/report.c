// SPDX-License-Identifier: MIT
//
// See report.h. One table names the figures of contention; text, growth and JSON go through it.
#include "report.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

// A figure grows if it is, at the most workers, more than GROWTH times the most that it was with 2 to 8, and worth
// mentioning at all. (With one worker there is hardly anybody to contend with.)
#define GROWTH 1.5
#define MENTIONED 0.005
#define FEW_WORKERS_MIN 2u
#define FEW_WORKERS_MAX 8u

typedef enum measure {
    RETRIES,
    POSTS,
    POST_SIZE,
    DRAINS,
    DRAIN_SIZE,
    DRAIN_MAX,
    PACKETS,
    BLOCKS,
    STEAL_TRIES,
    STEALS,
    OWN_RACES,
    PUBLISHES,
    COUNTERS,
    LANE_CLAIMS,
    IDLE_UPDATES,
    CHUNKS,
    PARKS,
    WAKES,
    SHARED,
    MEASURES,
} measure;

static const struct {
    const char *name;
    bool per_operation;
} measures[MEASURES] = {
    [RETRIES] = {"CAS retries", true},
    [POSTS] = {"inbox posts", true},
    [POST_SIZE] = {"  objects a post", false},
    [DRAINS] = {"inbox drains", true},
    [DRAIN_SIZE] = {"  objects a drain", false},
    [DRAIN_MAX] = {"  objects at most", false},
    [PACKETS] = {"packets moved", true},
    [BLOCKS] = {"block claims", true},
    [STEAL_TRIES] = {"steals tried", true},
    [STEALS] = {"steals won", true},
    [OWN_RACES] = {"races for own last job", true},
    [PUBLISHES] = {"deque publications", true},
    [COUNTERS] = {"counter updates", true},
    [LANE_CLAIMS] = {"lane claims", true},
    [IDLE_UPDATES] = {"sleeper updates", true},
    [CHUNKS] = {"loop pieces claimed", true},
    [PARKS] = {"parks", true},
    [WAKES] = {"wakes", true},
    [SHARED] = {"shared read-modify-writes", true},
};

static double ratio(uint64_t part, uint64_t whole)
{
    return whole != 0 ? (double)part / (double)whole : 0;
}

static void evaluate(const struct stress_run *run, double values[MEASURES])
{
    const fa_contention *c = &run->contention;
    uint64_t n = run->operations;
    uint64_t retries = c->inbox_retries + c->block_retries + c->packet_retries + c->steal_retries;
    values[RETRIES] = ratio(retries, n);
    values[POSTS] = ratio(c->inbox_posts, n);
    values[POST_SIZE] = ratio(c->inbox_posted, c->inbox_posts);
    values[DRAINS] = ratio(c->inbox_drains, n);
    values[DRAIN_SIZE] = ratio(c->inbox_drained, c->inbox_drains);
    values[DRAIN_MAX] = (double)c->inbox_drain_max;
    values[PACKETS] = ratio(c->packet_moves, n);
    values[BLOCKS] = ratio(c->block_takes + c->block_gives, n);
    values[STEAL_TRIES] = ratio(c->steal_tries, n);
    values[STEALS] = ratio(c->steals, n);
    values[OWN_RACES] = ratio(c->own_races, n);
    values[PUBLISHES] = ratio(c->publishes, n);
    values[COUNTERS] = ratio(c->counter_updates, n);
    values[LANE_CLAIMS] = ratio(c->lane_claims, n);
    values[IDLE_UPDATES] = ratio(c->idle_updates, n);
    values[CHUNKS] = ratio(c->chunk_claims, n);
    values[PARKS] = ratio(c->parks, n);
    values[WAKES] = ratio(c->wakes, n);
    // Every successful or lost read-modify-write on a line that lanes share.
    values[SHARED] = ratio(retries + c->inbox_posts + c->inbox_drains + c->packet_moves + c->block_takes +
                               c->block_gives + c->steals + c->own_races + c->publishes + c->counter_updates +
                               c->lane_claims + c->idle_updates + c->chunk_claims,
                           n);
}

static void print_workers(const struct stress_run *run)
{
    if (run->workers_used != 0)
        printf("workers %" PRIu32, run->workers_used);
    else
        printf("workers vary");
}

void report_run(const struct stress_program *program, const struct stress_run *run)
{
    double values[MEASURES];
    print_workers(run);
    printf(", %.1f s, %" PRIu64 " %s\n", run->seconds, run->operations, program->operation);
    for (uint32_t i = 0; i < run->figure_count; i++)
        printf("  %-28s %14.12g\n", run->figures[i].name, run->figures[i].value);
    evaluate(run, values);
    printf("contention, for each of %" PRIu64 " %s\n", run->operations, program->operation);
    for (int i = 0; i < MEASURES; i++) printf("  %-28s %14.6g\n", measures[i].name, values[i]);
}

static bool grows(const double *values, const struct stress_run *runs, uint32_t count)
{
    double few = 0;
    if (count < 2 || runs[count - 1].workers_used <= FEW_WORKERS_MAX) return false;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t workers = runs[i].workers_used;
        if (workers >= FEW_WORKERS_MIN && workers <= FEW_WORKERS_MAX && values[i] > few) few = values[i];
    }
    return values[count - 1] > MENTIONED && values[count - 1] > GROWTH * few;
}

uint32_t report_scale(const struct stress_program *program, const struct stress_run *runs, uint32_t count)
{
    double values[16][MEASURES];
    uint32_t growing = 0;
    if (count > 16) count = 16;
    printf("contention, for each of the %s\n  %-26s", program->operation, "workers");
    for (uint32_t i = 0; i < count; i++) {
        evaluate(&runs[i], values[i]);
        printf(" %10" PRIu32, runs[i].workers_used);
    }
    printf("\n  %-26s", program->operation);
    for (uint32_t i = 0; i < count; i++) printf(" %10.4g", (double)runs[i].operations);
    printf("\n");
    for (int m = 0; m < MEASURES; m++) {
        double row[16];
        printf("  %-26s", measures[m].name);
        for (uint32_t i = 0; i < count; i++) printf(" %10.4g", row[i] = values[i][m]);
        bool flagged = measures[m].per_operation && grows(row, runs, count);
        printf("%s\n", flagged ? "  grows" : "");
        growing += flagged;
    }
    return growing;
}

#ifdef STRESS_JANSSON

#include <jansson.h>

bool report_has_json(void)
{
    return true;
}

static json_t *describe(const struct stress_run *run)
{
    double values[MEASURES];
    evaluate(run, values);
    json_t *figures = json_object(), *contention = json_object();
    for (uint32_t i = 0; i < run->figure_count; i++)
        (void)json_object_set_new(figures, run->figures[i].name, json_real(run->figures[i].value));
    for (int i = 0; i < MEASURES; i++)
        (void)json_object_set_new(contention, measures[i].name + strspn(measures[i].name, " "), json_real(values[i]));
    return json_pack("{s:I, s:f, s:I, s:o, s:o}", "workers", (json_int_t)run->workers_used, "seconds", run->seconds,
                     "operations", (json_int_t)run->operations, "figures", figures, "contention", contention);
}

bool report_json(const char *path, const struct stress_program *program, uint64_t seed, const char *verdict,
                 const char *why, const struct stress_run *runs, uint32_t count)
{
    char seed_text[24]; // JSON numbers end at 2^53 in many readers
    (void)snprintf(seed_text, sizeof seed_text, "%" PRIu64, seed);
    json_t *list = json_array();
    for (uint32_t i = 0; i < count; i++) (void)json_array_append_new(list, describe(&runs[i]));
    json_t *root = json_pack("{s:s, s:s, s:s, s:s, s:o}", "program", program->name, "seed", seed_text, "verdict",
                             verdict, "operation", program->operation, "runs", list);
    if (root != NULL && why != NULL) (void)json_object_set_new(root, "why", json_string(why));
    bool done = root != NULL && json_dump_file(root, path, JSON_INDENT(2)) == 0;
    json_decref(root);
    return done;
}

#else

bool report_has_json(void)
{
    return false;
}

bool report_json(const char *path, const struct stress_program *program, uint64_t seed, const char *verdict,
                 const char *why, const struct stress_run *runs, uint32_t count)
{
    (void)path, (void)program, (void)seed, (void)verdict, (void)why, (void)runs, (void)count;
    return false;
}

#endif
