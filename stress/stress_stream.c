// SPDX-License-Identifier: MIT
//
// Streams under everything at once. A table of places, each with a stream or none, and
//
//     jobs      reserve, load at once or leave it to a loader, read and hold what they read over waits, pin over frames, change
//               priorities, and free whatever they come across
//     loaders   attached threads: load in steps, idle in between as if a disk worked, abort and begin again
//     victims   call back from the reserve that evicts them, and now and then reserve in turn
//
// All bytes of an asset follow from its key, and are checked by whoever reads, pins or evicts it, as long as it may. At every boundary the
// budget must hold; at the end of a round, when all is freed and drained, every account must be back at 0, and callbacks must have come as
// often as evictions are counted.
#include "stress.h"

#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#define PLACES 96
#define QUEUE 8
#define LOADERS 2
#define PINS 24 // kept over frames
#define JOBS_MAX 24
#define HELD 4
#define ROUND_NS (STRESS_SECOND_NS / 2)
#define DRAIN_NS (3 * STRESS_SECOND_NS)
#define STEPS 4
#define QUEUED_BYTES 20000u // of what is left to a loader, which so knows the size

/// What a stream's memory begins with.
struct asset {
    uint64_t key;
    uint64_t size; // of all
};

struct loader {
    pthread_t thread;
    struct stress_random random;
};

static struct {
    struct stress_run *run;
    fa_system *fa;
    // owner: the main thread
    struct stress_random random;
    uint64_t round, frames, leaving_most, evictions_total, refused_total, before;
    // shared
    _Atomic uint64_t places[PLACES]; // streams, as bits
    _Atomic uint64_t queue[QUEUE];   // for the loaders
    _Atomic uint64_t pins[PINS];     // pinned streams, a pin each
    struct loader loaders[LOADERS];
    atomic_bool stop;
    atomic_uint_fast64_t operations, reads, pinned, loaded, stepped, evicted, freed, busy;
} cinema;

static void count(atomic_uint_fast64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

// Assets ----------------------------------------------------------------------------------------------------------------

static void write_asset(void *memory, size_t size, uint64_t key)
{
    struct asset *asset = memory;
    *asset = (struct asset){key, size};
    stress_fill(asset + 1, size - sizeof *asset, key);
}

static void check_asset(const void *data, size_t size, const char *when)
{
    const struct asset *asset = data;
    if (asset->size != size) stress_fail("%s: an asset of %zu bytes says %" PRIu64, when, size, asset->size);
    ssize_t at = stress_check(asset + 1, size - sizeof *asset, asset->key);
    if (at >= 0) stress_found("%s: byte %zd of an asset of %zu bytes is wrong", when, at, size);
}

static void must_be(fa_status status, fa_status other, const char *call)
{
    if (status != FA_OK && status != other) stress_fail("%s: %s", call, fa_status_text(status));
}

// Reserve and load ------------------------------------------------------------------------------------------------------

static size_t draw_size(struct stress_random *random)
{
    uint32_t draw = stress_below(random, 100);
    if (draw < 60) return stress_between(random, 64, 4096);
    if (draw < 95) return stress_between(random, 4097, 70000);
    return stress_between(random, 70001, 400000);
}

static void on_evict(fa_worker *w, const fa_stream_eviction *eviction)
{
    check_asset(eviction->data, eviction->size, "in the callback of an eviction");
    if (eviction->priority == FA_STREAM_CRITICAL) stress_fail("a critical stream was evicted");
    if (fa_stream_state_of(cinema.fa, eviction->stream) != FA_STREAM_EVICTING)
        stress_fail("a stream whose callback runs is not being evicted");
    count(&cinema.evicted);
    struct stress_random random = stress_stream(eviction->stream.bits, eviction->size);
    if (!stress_one_in(&random, 16)) return;
    fa_stream stream;
    if (fa_stream_reserve(w, 64, FA_STREAM_CRITICAL, NULL, &stream) == FA_OK) stress_must(fa_stream_free(w, stream));
}

static void load_at_once(fa_worker *w, fa_stream stream, size_t size, uint64_t key)
{
    void *memory;
    fa_status status = fa_stream_load_begin(w, stream, &memory);
    must_be(status, FA_ERROR_STALE, "fa_stream_load_begin");
    if (status != FA_OK) return;
    write_asset(memory, size, key);
    status = fa_stream_load_end(w, stream);
    must_be(status, FA_ERROR_STALE, "fa_stream_load_end");
    if (status == FA_OK) count(&cinema.loaded);
}

static void free_stream(fa_worker *w, uint64_t bits)
{
    if (bits == 0) return;
    fa_status status = fa_stream_free(w, (fa_stream){bits});
    must_be(status, FA_ERROR_STALE, "fa_stream_free");
    if (status == FA_OK) count(&cinema.freed);
}

static void reserve(fa_worker *w, struct stress_random *random)
{
    fa_stream_options options = {.name = "asset", .evict = on_evict, .align = (size_t)16 << stress_below(random, 9)};
    bool queued = stress_one_in(random, 3);
    size_t size = queued ? QUEUED_BYTES : draw_size(random);
    fa_stream stream;
    uint32_t priority = stress_one_in(random, 32) ? FA_STREAM_CRITICAL : stress_below(random, FA_STREAM_CRITICAL);
    fa_status status = fa_stream_reserve(w, size, (fa_stream_priority)priority, &options, &stream);
    if (status == FA_ERROR_BUSY) count(&cinema.busy);
    if (status != FA_OK && status != FA_ERROR_FULL && status != FA_ERROR_BUSY)
        stress_fail("fa_stream_reserve: %s", fa_status_text(status));
    if (status != FA_OK) return;
    free_stream(w, atomic_exchange(&cinema.places[stress_below(random, PLACES)], stream.bits));
    uint64_t none = 0;
    if (!queued || !atomic_compare_exchange_strong(&cinema.queue[stress_below(random, QUEUE)], &none, stream.bits))
        load_at_once(w, stream, size, stress_next(random));
}

// Jobs ------------------------------------------------------------------------------------------------------------------

static fa_stream draw_stream(struct stress_random *random)
{
    return (fa_stream){atomic_load(&cinema.places[stress_below(random, PLACES)])};
}

/// Pins a stream for other jobs, frames later, to unpin.
static void pin(fa_worker *w, struct stress_random *random)
{
    fa_stream stream = draw_stream(random);
    const void *data;
    size_t size;
    if (fa_stream_pin(w, stream, &data, &size) == FA_OK) {
        check_asset(data, size, "pinned");
        count(&cinema.pinned);
    } else {
        stream.bits = 0;
    }
    uint64_t old = atomic_exchange(&cinema.pins[stress_below(random, PINS)], stream.bits);
    if (old == 0) return;
    stress_must(fa_stream_unpin(w, (fa_stream){old}));
}

struct hold {
    const void *data;
    size_t size;
};

static void small_job(fa_worker *w, void *arg)
{
    struct stress_random random = {*(uint64_t *)arg};
    if (stress_one_in(&random, 2)) reserve(w, &random);
}

static void play(fa_worker *w, void *arg)
{
    struct stress_random random = {*(uint64_t *)arg};
    struct hold holds[HELD];
    uint32_t held = 0;
    for (uint32_t i = 0; i < 24; i++) {
        uint32_t draw = stress_below(&random, 16);
        count(&cinema.operations);
        if (draw < 4) {
            reserve(w, &random);
        } else if (draw < 6) {
            pin(w, &random);
        } else if (draw == 6) {
            (void)fa_stream_touch(w, draw_stream(&random));
        } else if (draw == 7) {
            (void)fa_stream_set_priority(w, draw_stream(&random), (fa_stream_priority)stress_below(&random, 3));
        } else if (draw == 8) {
            free_stream(w, atomic_exchange(&cinema.places[stress_below(&random, PLACES)], 0));
        } else if (draw == 9) {
            uint64_t seed = stress_next(&random);
            fa_counter counter = FA_COUNTER_INIT;
            stress_must(fa_submit_copy(w, &counter, small_job, &seed, sizeof seed));
            stress_must(fa_wait(w, &counter));
        } else if (held < HELD) {
            size_t size;
            const void *data = fa_stream_read(w, draw_stream(&random), &size);
            if (data != NULL) holds[held++] = (struct hold){data, size};
        }
    }
    for (uint32_t i = 0; i < held; i++) {
        check_asset(holds[i].data, holds[i].size, "read, at the end of the job");
        count(&cinema.reads);
    }
}

// Loaders ---------------------------------------------------------------------------------------------------------------

static fa_status load_steps(fa_worker *w, struct stress_random *random, fa_stream stream)
{
    void *memory, *again;
    uint64_t key = stress_next(random);
    fa_status status = fa_stream_load_begin(w, stream, &memory);
    for (size_t step = 1; status == FA_OK && step <= STEPS; step++) {
        stress_must(fa_idle_begin(w));
        write_asset(memory, QUEUED_BYTES, key);
        if (stress_one_in(random, 8)) stress_sleep_us(stress_below(random, 300));
        check_asset(memory, QUEUED_BYTES, "while it is loaded");
        stress_must(fa_idle_end(w));
        status = fa_stream_progress(w, stream, QUEUED_BYTES / STEPS * step);
        if (status == FA_OK && stress_one_in(random, 16)) {
            status = fa_stream_load_abort(w, stream);
            step = 0;
        }
        if (status != FA_OK) break;
        status = fa_stream_load_begin(w, stream, &again); // the next step, or from the start
        if (status == FA_OK && step > 0 && again != memory) stress_fail("the memory of a load has moved");
        memory = again;
    }
    return status == FA_OK ? fa_stream_load_end(w, stream) : status;
}

static void *serve(void *arg)
{
    struct loader *loader = arg;
    fa_worker *w;
    stress_must(fa_attach(cinema.fa, &w));
    while (!atomic_load(&cinema.stop)) {
        fa_stream stream = {atomic_exchange(&cinema.queue[stress_below(&loader->random, QUEUE)], 0)};
        if (stream.bits != 0) {
            fa_status status = load_steps(w, &loader->random, stream);
            must_be(status, FA_ERROR_STALE, "a load in steps");
            if (status == FA_OK) count(&cinema.stepped);
        }
        stress_must(fa_quiescent(w));
        sched_yield();
    }
    stress_must(fa_detach(w));
    return NULL;
}

// Rounds ----------------------------------------------------------------------------------------------------------------

static void check_budget(void)
{
    fa_stream_stats stats;
    stress_must(fa_stream_stats_read(cinema.fa, &stats));
    if (stats.reserved_bytes > stats.budget || stats.reserved_peak > stats.budget)
        stress_fail("the budget of %" PRIu64 " bytes does not hold: %" PRIu64 " now, %" PRIu64 " at most", stats.budget,
                    stats.reserved_bytes, stats.reserved_peak);
    if (stats.leaving_bytes > cinema.leaving_most) cinema.leaving_most = stats.leaving_bytes;
}

static void run_frame(fa_worker *w)
{
    stress_phase("fa_frame_begin");
    stress_must(fa_frame_begin(cinema.fa));
    stress_phase("submitting");
    for (uint32_t i = stress_between(&cinema.random, 1, JOBS_MAX); i > 0; i--) {
        uint64_t seed = stress_next(&cinema.random);
        stress_must(fa_submit_copy(w, NULL, play, &seed, sizeof seed));
    }
    if (stress_one_in(&cinema.random, 4)) reserve(w, &cinema.random);
    check_budget();
    stress_phase("fa_frame_end");
    stress_must(fa_frame_end(cinema.fa, NULL));
    stress_phase("between frames");
    check_budget();
    cinema.frames++;
    cinema.run->operations = cinema.before + atomic_load(&cinema.operations);
    stress_progress(cinema.run->operations);
}

/// Frees everything and waits, frame by frame, until nothing is left.
static void drain(fa_worker *w)
{
    uint64_t since = stress_now_ns();
    fa_stream_stats stats;
    for (;;) {
        stress_must(fa_frame_begin(cinema.fa));
        stress_must(fa_frame_end(cinema.fa, NULL));
        for (uint32_t i = 0; i < PINS; i++) {
            uint64_t pinned = atomic_exchange(&cinema.pins[i], 0);
            if (pinned != 0) stress_must(fa_stream_unpin(w, (fa_stream){pinned}));
        }
        for (uint32_t i = 0; i < PLACES; i++) free_stream(w, atomic_exchange(&cinema.places[i], 0));
        for (uint32_t i = 0; i < QUEUE; i++) free_stream(w, atomic_exchange(&cinema.queue[i], 0));
        stress_must(fa_stream_stats_read(cinema.fa, &stats));
        fa_stats all;
        stress_must(fa_stats_read(cinema.fa, &all));
        if (stats.streams == 0 && stats.leaving == 0 && all.frames_alive == 0) break;
        if (stress_now_ns() - since > stress_sanitized_times(DRAIN_NS, 5))
            stress_fail("%" PRIu64 " streams are left and %" PRIu64 " on their way, long after the last was freed",
                        stats.streams, stats.leaving);
        stress_sleep_us(200);
    }
    if (stats.reserved_bytes + stats.loaded_bytes + stats.loading_bytes + stats.leaving_bytes != 0)
        stress_fail("at the end %" PRIu64 " bytes reserved, %" PRIu64 " loaded, %" PRIu64 " being loaded, %" PRIu64
                    " leaving",
                    stats.reserved_bytes, stats.loaded_bytes, stats.loading_bytes, stats.leaving_bytes);
    if (stats.evictions != atomic_load(&cinema.evicted))
        stress_fail("%" PRIu64 " evictions and %" PRIu64 " callbacks", stats.evictions,
                    (uint64_t)atomic_load(&cinema.evicted));
    cinema.evictions_total += stats.evictions;
    cinema.refused_total += stats.refused;
}

static fa_diagnostic_fn *fail_by_diagnostic;

static void report(const fa_diagnostic *diagnostic, void *context)
{
    // A budget that is full, and streams that another lane freed or has not reserved yet, are what this is about.
    if (strcmp(diagnostic->code, "FA402") == 0 || strcmp(diagnostic->code, "FA401") == 0) return;
    fail_by_diagnostic(diagnostic, context);
}

static fa_config draw_config(const struct stress_run *run)
{
    static const uint32_t workers[] = {0, 1, 2, 2, 3, 3, 4, 8};
    fa_config config = stress_config(run->workers != 0 ? run->workers : workers[stress_below(&cinema.random, 8)]);
    config.frames_in_flight = stress_one_in(&cinema.random, 2) ? 1 : stress_between(&cinema.random, 2, 4);
    config.stream_bytes_max = stress_between(&cinema.random, 500000, 3000000);
    config.streams_max = stress_one_in(&cinema.random, 4) ? 64 : 16384;
    fail_by_diagnostic = config.report;
    config.report = report;
    return config;
}

static void run_round(struct stress_run *run)
{
    fa_config config = draw_config(run);
    uint64_t until = stress_now_ns() + ROUND_NS;
    stress_phase("fa_create");
    stress_must(fa_create(&config, &cinema.fa));
    cinema.round++;
    cinema.before = run->operations;
    atomic_store(&cinema.operations, 0);
    atomic_store(&cinema.evicted, 0);
    atomic_store(&cinema.stop, false);
    for (uint32_t i = 0; i < LOADERS; i++) {
        cinema.loaders[i].random = stress_stream(stress_next(&cinema.random), i);
        int error = pthread_create(&cinema.loaders[i].thread, NULL, serve, &cinema.loaders[i]);
        if (error != 0) stress_fail("no thread: %s", strerror(error));
    }
    fa_worker *w = fa_self(cinema.fa);
    while (stress_now_ns() < until && !stress_time_is_up(run)) run_frame(w);
    atomic_store(&cinema.stop, true);
    for (uint32_t i = 0; i < LOADERS; i++) (void)pthread_join(cinema.loaders[i].thread, NULL);
    stress_phase("draining");
    drain(w);
    stress_take_contention(run, cinema.fa);
    stress_phase("fa_destroy");
    stress_must(fa_destroy(cinema.fa));
}

static void run_rounds(struct stress_run *run)
{
    if (run->planted) stress_spoil_payloads();
    memset(&cinema, 0, sizeof cinema);
    cinema.run = run;
    cinema.random = stress_stream(run->seed, 0);
    while (!stress_time_is_up(run)) run_round(run);
    stress_figure(run, "rounds", (double)cinema.round);
    stress_figure(run, "frames", (double)cinema.frames);
    stress_figure(run, "streams loaded at once", (double)atomic_load(&cinema.loaded));
    stress_figure(run, "streams loaded in steps", (double)atomic_load(&cinema.stepped));
    stress_figure(run, "evicted", (double)cinema.evictions_total);
    stress_figure(run, "freed", (double)atomic_load(&cinema.freed));
    stress_figure(run, "refused", (double)cinema.refused_total);
    stress_figure(run, "to be asked again (FA_ERROR_BUSY)", (double)atomic_load(&cinema.busy));
    stress_figure(run, "reads", (double)atomic_load(&cinema.reads));
    stress_figure(run, "pins", (double)atomic_load(&cinema.pinned));
    stress_figure(run, "waiting to go home at most, bytes", (double)cinema.leaving_most);
}

static void explain(void)
{
    fa_stream_stats stats;
    if (cinema.fa == NULL || fa_stream_stats_read(cinema.fa, &stats) != FA_OK) return;
    (void)fprintf(stderr,
                  "  round %" PRIu64 ", frame %" PRIu64 ": %" PRIu64 " reserved, %" PRIu64 " loading, %" PRIu64
                  " ready, %" PRIu64 " evicting, %" PRIu64 " leaving\n",
                  cinema.round, fa_frame_number(cinema.fa), stats.reserved, stats.loading, stats.ready, stats.evicting,
                  stats.leaving);
}

int main(int argc, char **argv)
{
    static const struct stress_program program = {
        .name = "stress_stream",
        .doc = "Reserves, loads, reads, pins, evicts and frees streams on workers, the main thread and attached loader "
               "threads at once. "
               "Checks every byte that is read, that the budget holds, and that every account comes back to 0.",
        .operation = "operations",
        .run = run_rounds,
        .planted = STRESS_SPOILED,
        .explain = explain,
    };
    return stress_main(argc, argv, &program);
}
