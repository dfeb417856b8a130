// SPDX-License-Identifier: MIT
//
// level_tick: a crowd on a level of a Doom-format WAD file, run tick by tick on framealloc.
//
// Exit status: 0, all is well; 1, the run broke; 2, the input is wrong: one sentence on stderr, nothing written.
// 128 + n, stopped by signal n after a whole tick.
//
// Where to read on, in the order things happen: load.h, tick.h, phases.h, stream.h, plan.h, search.h, planner.h, sense.h, mind.h,
// lead.h, move.h, events.h, render.h, report.h.
#include "datadirs.h"
#include "report.h"
#include "tick.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_BROKEN = 1, EXIT_INPUT = 2, EXIT_SIGNAL = 128 };

static volatile sig_atomic_t stopped_by; // signal

static void on_signal(int number)
{
    stopped_by = number;
}

static int complain(const struct failure *failure, int status)
{
    (void)fflush(stdout);
    (void)fprintf(stderr, "level_tick: %s\n", failure->text);
    return status;
}

static char *find_wad(const struct options *options, struct failure *failure)
{
    char *path = datadirs_find(options->wad);
    if (path == NULL) {
        (void)fail(failure,
                   "there is no '%s' here, in DOOMWADDIR, in DOOMWADPATH or in the game data folders: install Debian's "
                   "package freedoom or name a level file with --wad",
                   options->wad);
    }
    return path;
}

static int list_maps_with(fa_worker *w, const char *path)
{
    FA_SCOPE(w);
    struct failure failure;
    struct memory memory = {.level = fa_allocator_scope(w), .scratch = fa_allocator_scope(w)};
    struct wad wad;
    if (!wad_open(path, &memory, &wad, &failure)) return complain(&failure, EXIT_INPUT);
    uint32_t found = 0;
    struct level_entry entry;
    for (uint32_t position = 0; level_next(&wad, &position, &entry); found++) {
        if (entry.format != NULL) {
            printf("%-8s %s format, not read\n", entry.name, entry.format);
        } else {
            printf("%-8s %6u lines %5u sectors %5u things\n", entry.name, entry.lines, entry.sectors, entry.things);
        }
    }
    if (found == 0) (void)fail(&failure, "'%s' has no maps", path);
    wad_close(&wad);
    return found > 0 ? EXIT_SUCCESS : complain(&failure, EXIT_INPUT);
}

static int list_maps(const char *path)
{
    struct failure failure;
    fa_config config = fa_config_minimal();
    fa_system *fa;
    fa_status status = fa_create(&config, &fa);
    if (status != FA_OK) {
        (void)fail(&failure, "framealloc cannot start: %s", fa_status_text(status));
        return complain(&failure, EXIT_BROKEN);
    }
    int result = list_maps_with(fa_self(fa), path);
    (void)fa_destroy(fa);
    return result;
}

static bool open_outputs(const struct options *options, struct run *run, struct output *json, struct failure *failure)
{
    if (options->json != NULL && !report_has_json()) {
        return fail(failure, "--json needs a build with Jansson (Debian: libjansson-dev)");
    }
    return (options->png == NULL || output_open(options->png, &run->picture.output, failure)) &&
           (options->json == NULL || output_open(options->json, json, failure));
}

/// Gives both files their names. A run that was stopped has no last picture.
static bool commit_outputs(const struct options *options, struct run *run, struct output *json, struct failure *failure)
{
    if (run->ticks < options->ticks) output_abandon(&run->picture.output);
    if (run->picture.failure.text[0] != '\0') return fail(failure, "%s", run->picture.failure.text);
    return output_commit(&run->picture.output, failure) && output_commit(json, failure);
}

static int conclude(const struct options *options, struct run *run, struct output *json)
{
    struct failure failure = {.text = ""};
    struct report report = report_make(options, run);
    if (options->json != NULL && !report_write_json(&report, json, &failure)) return complain(&failure, EXIT_BROKEN);
    if (!commit_outputs(options, run, json, &failure)) return complain(&failure, EXIT_INPUT);
    if (options->check) {
        printf("%016llx\n", (unsigned long long)run->checksum);
    } else {
        report_print(&report);
        if (options->png != NULL && run->ticks == options->ticks) printf("picture    %s\n", options->png);
    }
    if (fflush(stdout) != 0 || ferror(stdout)) {
        (void)fail(&failure, "the summary cannot be written");
        return complain(&failure, EXIT_BROKEN);
    }
    return stopped_by != 0 ? EXIT_SIGNAL + stopped_by : EXIT_SUCCESS;
}

static int run_level(const struct options *options, const char *path, struct run *run, struct output *json)
{
    struct failure failure = {.text = ""};
    // In this order: a wrong level is found before a file is opened for writing.
    if (!run_begin(options, path, run, &failure)) {
        // Without a main lane the system did not start, which is no fault of the input.
        return complain(&failure, run->w == NULL ? EXIT_BROKEN : EXIT_INPUT);
    }
    if (!open_outputs(options, run, json, &failure)) return complain(&failure, EXIT_INPUT);
    bool good = run_ticks(options, run, &stopped_by, &failure);
    struct failure at_end = {.text = ""};
    bool ended = run_end(run, &at_end);
    if (!good) return complain(&failure, EXIT_BROKEN);
    if (!ended) return complain(&at_end, EXIT_BROKEN);
    return conclude(options, run, json);
}

static int run_wad(const struct options *options, const char *path)
{
    struct run run = {.picture = {.output = OUTPUT_CLOSED}};
    struct output json = OUTPUT_CLOSED;
    int status = run_level(options, path, &run, &json);
    // What was committed is out of reach of these.
    output_abandon(&run.picture.output);
    output_abandon(&json);
    run_destroy(&run);
    return status;
}

int main(int argc, char **argv)
{
    struct failure failure = {.text = ""};
    struct options options;
    if (!options_parse(argc, argv, &options, &failure)) return complain(&failure, EXIT_INPUT);
    if (options.help) return EXIT_SUCCESS;
    char *path = find_wad(&options, &failure);
    if (path == NULL) return complain(&failure, EXIT_INPUT);
    struct sigaction action = {.sa_handler = on_signal};
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    int status = options.list_maps ? list_maps(path) : run_wad(&options, path);
    free(path);
    return status;
}
