// SPDX-License-Identifier: MIT
//
// See stress.h: the command line, the runs and the verdict.
#include "stress.h"

#include "report.h"
#include "watch.h"

#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SECONDS_DEFAULT 10.0
#define SCALE_SECONDS_DEFAULT 1.0
#define SECONDS_MAX 1e6
#define STATUS_BAD_OPTIONS 2
#define STATUS_UNJUDGED 3

static const uint32_t scale_workers[] = {1, 2, 4, 8, 16, 32, 64};
#define SCALE_COUNT (sizeof scale_workers / sizeof scale_workers[0])

struct options {
    double seconds; // 0: not given
    uint32_t threads;
    uint64_t seed, frames; // 0: not given
    const char *json;
    bool scale, planted, help;
};

static struct {
    const struct stress_program *program;
    struct options options;
    struct stress_run runs[SCALE_COUNT];
    uint32_t run_count; // done
    atomic_flag failed;
} session = {.failed = ATOMIC_FLAG_INIT};

// Services ----------------------------------------------------------------------------------------------------------------

uint64_t stress_now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * STRESS_SECOND_NS + (uint64_t)now.tv_nsec;
}

void stress_sleep_us(uint32_t us)
{
    struct timespec time = {.tv_sec = us / 1000000, .tv_nsec = (long)(us % 1000000) * 1000};
    (void)nanosleep(&time, NULL);
}

void stress_figure(struct stress_run *run, const char *name, double value)
{
    if (run->figure_count == STRESS_FIGURES_MAX) stress_fail("more than %d figures", STRESS_FIGURES_MAX);
    run->figures[run->figure_count++] = (struct stress_figure){name, value};
}

void stress_take_contention(struct stress_run *run, const fa_system *fa)
{
    fa_contention now;
    stress_must(fa_contention_read(fa, &now));
    uint64_t most = run->contention.inbox_drain_max > now.inbox_drain_max ? run->contention.inbox_drain_max
                                                                          : now.inbox_drain_max;
    const unsigned char *from = (const unsigned char *)&now;
    unsigned char *to = (unsigned char *)&run->contention;
    for (size_t at = 0; at < sizeof now; at += sizeof(uint64_t)) {
        uint64_t add, sum;
        memcpy(&add, from + at, sizeof add);
        memcpy(&sum, to + at, sizeof sum);
        sum += add;
        memcpy(to + at, &sum, sizeof sum);
    }
    run->contention.inbox_drain_max = most;
}

static void fail_by_diagnostic(const fa_diagnostic *diagnostic, void *context)
{
    (void)context;
    stress_fail("the library reports %s: %s (%s), frame %" PRIu64 ", lane %" PRId64, diagnostic->code,
                diagnostic->message, diagnostic->note, diagnostic->frame,
                diagnostic->lane == UINT32_MAX ? INT64_C(-1) : (int64_t)diagnostic->lane);
}

fa_config stress_config(uint32_t workers)
{
    fa_config config = fa_config_default();
    config.worker_count = workers;
    config.report = fail_by_diagnostic;
    return config;
}

/// Other threads are at work: nothing is taken down. Nor does ThreadSanitizer get to report those that have ended and that nobody joins now, which
/// it does in _exit().
__attribute__((noreturn)) static void leave(int status)
{
    for (;;) (void)syscall(SYS_exit_group, status);
}

/// The first thread that gets here ends the program; others wait for that.
__attribute__((noreturn)) static void conclude(const char *why, bool found)
{
    if (atomic_flag_test_and_set(&session.failed))
        for (;;) (void)pause(); // another thread is at it
    watch_clear();
    if (found) {
        printf("planted: found: %s\n", why);
        (void)fflush(stdout);
        leave(EXIT_SUCCESS);
    }
    printf("FAILED: %s\n", why);
    printf("seed %" PRIu64 "\n", session.options.seed);
    (void)fflush(stdout);
    if (session.options.json != NULL)
        (void)report_json(session.options.json, session.program, session.options.seed, "FAILED", why, session.runs,
                          session.run_count);
    leave(EXIT_FAILURE);
}

#define WHY_MAX 1024

void stress_fail(const char *format, ...)
{
    char why[WHY_MAX];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(why, sizeof why, format, arguments);
    va_end(arguments);
    conclude(why, false);
}

void stress_found(const char *format, ...)
{
    char why[WHY_MAX];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(why, sizeof why, format, arguments);
    va_end(arguments);
    conclude(why, session.options.planted);
}

void stress_must_be_ok(fa_status status, const char *call)
{
    if (status != FA_OK) stress_fail("%s answered: %s", call, fa_status_text(status));
}

// Options -----------------------------------------------------------------------------------------------------------------

enum { KEY_SECONDS = 256, KEY_THREADS, KEY_SEED, KEY_JSON, KEY_SCALE, KEY_FRAMES, KEY_PLANTED, KEY_HELP };

static const struct argp_option accepted[] = {
    {"seconds", KEY_SECONDS, "S", 0, "How long to run (10); with --scale, each number of workers (1)", 0},
    {"threads", KEY_THREADS, "N", 0, "Workers beside the main thread, 1 to 192; 0: chosen by the program (0)", 0},
    {"seed", KEY_SEED, "N", 0, "Start of all random numbers; 0: from the clock (0)", 0},
    {"json", KEY_JSON, "FILE", 0, "Write verdict and figures as JSON", 0},
    {"scale", KEY_SCALE, NULL, 0, "Compare contention for 1, 2, 4, 8, 16, 32 and 64 workers", 0},
    {"frames", KEY_FRAMES, "N", 0, "End after so many frames, however long they take unless --seconds is there, too",
     0},
    {"planted", KEY_PLANTED, NULL, 0, "Put in a bug, which must be found", 0},
    {"help", KEY_HELP, NULL, 0, "Print this and exit", 0},
    {NULL, 0, NULL, 0, NULL, 0},
};

struct parsing {
    struct options *options;
    char why[256]; // empty: nothing wrong so far
};

__attribute__((format(printf, 2, 3))) static error_t refuse(struct parsing *parsing, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (parsing->why[0] == '\0') (void)vsnprintf(parsing->why, sizeof parsing->why, format, arguments);
    va_end(arguments);
    return EINVAL;
}

static bool read_whole(const char *text, uint64_t *out)
{
    if (*text == '\0' || strspn(text, "0123456789") != strlen(text)) return false;
    errno = 0;
    *out = strtoull(text, NULL, 10);
    return errno == 0;
}

static error_t take_seconds(struct parsing *parsing, const char *text)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || !isfinite(value) || value <= 0 || value > SECONDS_MAX)
        return refuse(parsing, "--seconds takes a number above 0 and up to %.0f, not '%s'", SECONDS_MAX, text);
    parsing->options->seconds = value;
    return 0;
}

static error_t take_option(int key, char *text, struct argp_state *state)
{
    struct parsing *parsing = state->input;
    struct options *options = parsing->options;
    uint64_t value;
    switch (key) {
        case KEY_SECONDS: return take_seconds(parsing, text);
        case KEY_THREADS:
            if (!read_whole(text, &value) || value > STRESS_WORKERS_MAX)
                return refuse(parsing, "--threads takes a number from 0 to %u, not '%s'", STRESS_WORKERS_MAX, text);
            options->threads = (uint32_t)value;
            return 0;
        case KEY_SEED:
            if (!read_whole(text, &value))
                return refuse(parsing, "--seed takes a number from 0 to %" PRIu64 ", not '%s'", UINT64_MAX, text);
            options->seed = value;
            return 0;
        case KEY_JSON:
            if (*text == '\0') return refuse(parsing, "--json takes the name of a file");
            if (!report_has_json())
                return refuse(parsing, "--json needs a build with Jansson (Debian: libjansson-dev)");
            options->json = text;
            return 0;
        case KEY_SCALE: options->scale = true; return 0;
        case KEY_FRAMES:
            if (!read_whole(text, &value) || value == 0)
                return refuse(parsing, "--frames takes a number from 1 to %" PRIu64 ", not '%s'", UINT64_MAX, text);
            options->frames = value;
            return 0;
        case KEY_PLANTED: options->planted = true; return 0;
        case KEY_HELP: options->help = true; return 0;
        case ARGP_KEY_ARG: return refuse(parsing, "'%s' is no option; --help lists those there are", text);
        case ARGP_KEY_ERROR:
            (void)refuse(parsing, "option '%s' is unknown or lacks its value; --help lists those there are",
                         state->next > 0 && state->next <= state->argc ? state->argv[state->next - 1] : "");
            return 0;
        default: return ARGP_ERR_UNKNOWN;
    }
}

/// False: the program ends with `*status`.
static bool parse(int argc, char **argv, const struct stress_program *program, struct options *options, int *status)
{
    const struct argp parser = {.options = accepted, .parser = take_option, .doc = program->doc};
    struct parsing parsing = {.options = options};
    error_t error = argp_parse(&parser, argc, argv, ARGP_NO_ERRS | ARGP_NO_HELP | ARGP_NO_EXIT, NULL, &parsing);
    if (error == 0 && parsing.why[0] == '\0' && options->scale && options->threads != 0)
        (void)refuse(&parsing, "--scale chooses the numbers of workers itself: leave --threads out");
    if (error == 0 && options->frames != 0 && !program->counts_frames) (void)refuse(&parsing, "it counts no frames");
    if (error == 0 && options->planted && program->planted == NULL) (void)refuse(&parsing, "it has no bug to put in");
    if (error != 0 || parsing.why[0] != '\0') {
        (void)fprintf(stderr, "%s: %s\n", program->name, parsing.why[0] != '\0' ? parsing.why : strerror(error));
        *status = STATUS_BAD_OPTIONS;
        return false;
    }
    if (options->help) {
        argp_help(&parser, stdout, ARGP_HELP_SHORT_USAGE | ARGP_HELP_LONG | ARGP_HELP_DOC, argv[0]);
        *status = EXIT_SUCCESS;
        return false;
    }
    if (options->seconds <= 0)
        options->seconds = options->frames != 0 ? SECONDS_MAX
                           : options->scale     ? SCALE_SECONDS_DEFAULT
                                                : SECONDS_DEFAULT;
    if (options->frames == 0) options->frames = UINT64_MAX;
    if (options->seed == 0) {
        struct timespec now;
        (void)clock_gettime(CLOCK_REALTIME, &now);
        options->seed = stress_mix((uint64_t)now.tv_sec ^ (uint64_t)now.tv_nsec << 32 ^ (uint64_t)getpid() << 16) >> 16;
    }
    return true;
}

/// A file that cannot be written is refused before the run, not after it.
static bool json_is_writable(const char *path)
{
    FILE *file = fopen(path, "a");
    if (file == NULL) return false;
    (void)fclose(file);
    return true;
}

// Runs --------------------------------------------------------------------------------------------------------------------

/// The last line of a run in which nothing was found.
static int conclude_well(const char *unjudged)
{
    uint64_t operations = 0;
    for (uint32_t i = 0; i < session.run_count; i++) operations += session.runs[i].operations;
    if (session.options.planted) {
        printf("planted: NOT found: %s\n", session.program->planted);
        return EXIT_FAILURE;
    }
    if (unjudged != NULL) {
        printf("too short to be judged: %" PRIu64 " %s; %s\n", operations, session.program->operation, unjudged);
        return STATUS_UNJUDGED;
    }
    printf("ok: %" PRIu64 " %s\n", operations, session.program->operation);
    return EXIT_SUCCESS;
}

static void run_once(uint32_t workers)
{
    const struct options *options = &session.options;
    struct stress_run *run = &session.runs[session.run_count];
    *run = (struct stress_run){.workers = workers,
                               .workers_used = workers,
                               .frames = options->frames,
                               .planted = options->planted,
                               .seed = options->seed,
                               .scaling = options->scale};
    run->seconds = options->seconds;
    uint64_t began = stress_now_ns();
    run->deadline_ns = began + (uint64_t)(options->seconds * 1e9);
    watch_begin(session.program, options->seconds);
    session.program->run(run);
    watch_end();
    run->seconds = (double)(stress_now_ns() - began) / 1e9;
    session.run_count++;
}

int stress_main(int argc, char **argv, const struct stress_program *program)
{
    int status;
    session.program = program;
    if (!parse(argc, argv, program, &session.options, &status)) return status;
    const struct options *options = &session.options;
    if (options->json != NULL && !json_is_writable(options->json)) {
        (void)fprintf(stderr, "%s: cannot write %s: %s\n", program->name, options->json, strerror(errno));
        return STATUS_BAD_OPTIONS;
    }
    printf("%s seed %" PRIu64 "\n", program->name, options->seed);
    (void)fflush(stdout);
    if (options->scale) {
        for (size_t i = 0; i < SCALE_COUNT; i++) run_once(scale_workers[i]);
        uint32_t growing = report_scale(program, session.runs, session.run_count);
        if (growing > 0) printf("%" PRIu32 " figures grow with the number of workers\n", growing);
    } else {
        run_once(options->threads);
        report_run(program, &session.runs[0]);
    }
    const char *unjudged = NULL;
    for (uint32_t i = 0; i < session.run_count && unjudged == NULL; i++) unjudged = session.runs[i].unjudged;
    if (options->json != NULL &&
        !report_json(options->json, program, options->seed, unjudged == NULL ? "ok" : "too short to be judged",
                     unjudged, session.runs, session.run_count)) {
        (void)fprintf(stderr, "%s: cannot write %s\n", program->name, options->json);
        return STATUS_BAD_OPTIONS;
    }
    return conclude_well(unjudged);
}
