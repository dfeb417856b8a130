// SPDX-License-Identifier: MIT
//
// The tick of examples/level_tick on a small level, frame after frame, with churn and faults beside it (soak_churn.h). Two things must hold to
// the end:
//
//     memory is flat   after a warm-up, the first percent but WARM_FRAMES at least, neither the memory that the system's blocks take nor what
//                      the kernel says is resident rises by more than a block a lane above its highest then; a run that goes on for less than
//                      JUDGED_FRAMES from there is too short
//     one world        every INTERVAL frames the checksum of the world is that of a course with 0 workers, a frame in flight and no churn,
//                      which runs beside it on another thread
//
// At the end everything must have been given back. Memory is looked at every LOOK frames, between two frames; in sanitized builds, whose own
// memory grows, only that of blocks.
#include "soak_churn.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/// Sanitized runs are 30 times slower, and look at blocks alone.
#define WARM_FRAMES (STRESS_SANITIZED ? 512u : 8192u)
#define JUDGED_FRAMES (WARM_FRAMES / 4)
/// In so many frames every kind of churn takes place.
#define CHURN_FRAMES 4096u
#define INTERVAL 64u
#define LOOK 16u
/// Of a lane: in each frame in flight, for scopes, pool, handles, groups, and what it keeps at hand.
#define LANE_BLOCKS 10u
#define LEVEL_BLOCKS 48u
#define BLOCK_BYTES (UINT64_C(2) << 20)
#define FRAMES_IN_FLIGHT 2u

/// Highest so far, bytes.
struct heights {
    uint64_t resident, blocks;
};

/// The course that is compared with, on a thread of its own.
struct reference {
    pthread_t thread;
    sem_t go, done;
    const struct soak_level *level;
    uint64_t seed;
    uint32_t frames; // of the next interval, 0: the end
    uint64_t digest; // after it
};

static int statm = -1; // descriptor

// Memory ------------------------------------------------------------------------------------------------------------------

static uint64_t resident_bytes(void)
{
    char text[128];
    ssize_t length = pread(statm, text, sizeof text - 1, 0);
    if (length <= 0) stress_fail("/proc/self/statm cannot be read: %s", strerror(errno));
    text[length] = '\0';
    const char *space = strchr(text, ' ');
    return space == NULL ? 0 : strtoull(space, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE);
}

static struct heights measure(const struct course *course)
{
    fa_stats stats;
    stress_must(fa_stats_read(course->fa, &stats));
    return (struct heights){.resident = resident_bytes(), .blocks = stats.memory_bytes - stats.memory_free};
}

static void raise_to(struct heights *to, struct heights now)
{
    if (now.resident > to->resident) to->resident = now.resident;
    if (now.blocks > to->blocks) to->blocks = now.blocks;
}

static double mib(uint64_t bytes)
{
    return (double)bytes / (double)STRESS_MIB;
}

// The reference -------------------------------------------------------------------------------------------------------------

static void await(sem_t *semaphore)
{
    while (sem_wait(semaphore) != 0 && errno == EINTR) continue;
}

static void *run_reference(void *context)
{
    struct reference *r = context;
    struct course course;
    fa_config config = stress_config(0);
    config.attached_max = 0;
    config.checked = false;
    config.stream_bytes_max = r->level->art_budget;
    course_begin(&course, &config, r->level, r->seed);
    for (await(&r->go); r->frames > 0; await(&r->go)) {
        for (uint32_t i = 0; i < r->frames; i++) {
            course_frame_begin(&course);
            course_tick(&course);
            course_frame_end(&course);
        }
        r->digest = course_digest(&course);
        (void)sem_post(&r->done);
    }
    course_end(&course);
    return NULL;
}

static void reference_begin(struct reference *r, const struct soak_level *level, uint64_t seed)
{
    *r = (struct reference){.level = level, .seed = seed};
    if (sem_init(&r->go, 0, 0) != 0 || sem_init(&r->done, 0, 0) != 0) stress_fail("no semaphore: %s", strerror(errno));
    int error = pthread_create(&r->thread, NULL, run_reference, r);
    if (error != 0) stress_fail("no thread for the reference: %s", strerror(error));
}

static void reference_go(struct reference *r, uint32_t frames)
{
    r->frames = frames;
    (void)sem_post(&r->go);
}

static void reference_end(struct reference *r)
{
    reference_go(r, 0);
    (void)pthread_join(r->thread, NULL);
    (void)sem_destroy(&r->go);
    (void)sem_destroy(&r->done);
}

// The run -----------------------------------------------------------------------------------------------------------------

static fa_config make_config(const struct stress_run *run, const struct soak_level *level)
{
    fa_config config = stress_config(run->workers != 0 ? run->workers : 2);
    uint64_t lanes = 1 + config.worker_count + CHURN_ATTACHED_MAX;
    config.attached_max = CHURN_ATTACHED_MAX;
    config.frames_in_flight = FRAMES_IN_FLIGHT;
    config.deque_capacity = 64; // full now and then
    config.memory_max = (lanes * LANE_BLOCKS + LEVEL_BLOCKS + CHURN_BLOCKS) * BLOCK_BYTES;
    config.stream_bytes_max = level->art_budget;
    config.checked = false; // the payloads are checked here, and what nobody writes to must not become resident
    return config;
}

static void run_frame(struct course *course)
{
    course_frame_begin(course);
    churn_submit();
    course_tick(course);
    churn_wait();
    course_frame_end(course);
    churn_between();
}

struct soak {
    struct stress_run *run;
    struct course course;
    struct reference reference;
    struct heights warm, peak;
    uint64_t compared;            // checksums
    uint64_t slack;               // bytes
    uint64_t frames, warm_frames; // warm_frames: 0, not yet
    uint64_t began_ns;
};

static void judge(const struct soak *soak, struct heights now)
{
    const struct heights *warm = &soak->warm;
    if (now.blocks > warm->blocks + soak->slack)
        stress_found("memory is not flat: %.1f MiB in blocks at frame %" PRIu64 ", %.1f when warm", mib(now.blocks),
                     soak->frames, mib(warm->blocks));
    if (!STRESS_SANITIZED && now.resident > warm->resident + soak->slack)
        stress_found("memory is not flat: %.1f MiB resident at frame %" PRIu64 ", %.1f when warm", mib(now.resident),
                     soak->frames, mib(warm->resident));
}

static bool is_warm(const struct soak *soak)
{
    if (soak->frames < WARM_FRAMES) return false;
    if (soak->run->frames != UINT64_MAX) return soak->frames >= soak->run->frames / 100;
    return stress_now_ns() - soak->began_ns >= (soak->run->deadline_ns - soak->began_ns) / 100;
}

static void look_at_memory(struct soak *soak)
{
    struct heights now = measure(&soak->course);
    if (soak->warm_frames == 0) {
        raise_to(&soak->warm, now);
        if (is_warm(soak)) soak->warm_frames = soak->frames;
    } else {
        raise_to(&soak->peak, now);
        judge(soak, now);
    }
}

static void run_interval(struct soak *soak, uint32_t frames)
{
    reference_go(&soak->reference, frames);
    for (uint32_t i = 0; i < frames; i++) {
        run_frame(&soak->course);
        if (++soak->frames % LOOK == 0) look_at_memory(soak);
        stress_progress(soak->frames);
    }
    await(&soak->reference.done);
    uint64_t digest = course_digest(&soak->course);
    soak->compared++;
    if (digest != soak->reference.digest)
        stress_fail("after frame %" PRIu64 " the world is %016" PRIx64 ", without workers %016" PRIx64, soak->frames,
                    digest, soak->reference.digest);
}

static void note_figures(const struct soak *soak, const struct churn_counts *churn, const fa_stats *stats)
{
    struct stress_run *run = soak->run;
    stress_figure(run, "warm after frames", (double)soak->warm_frames);
    stress_figure(run, "resident when warm, MiB", mib(soak->warm.resident));
    stress_figure(run, "resident at most, MiB", mib(soak->peak.resident));
    stress_figure(run, "may rise by, MiB", mib(soak->slack));
    stress_figure(run, "in blocks when warm, MiB", mib(soak->warm.blocks));
    stress_figure(run, "in blocks at most, MiB", mib(soak->peak.blocks));
    stress_figure(run, "checksums compared", (double)soak->compared);
    stress_figure(run, "objects traded", (double)churn->traded);
    stress_figure(run, "versions put into cells", (double)churn->cells);
    stress_figure(run, "promotions", (double)soak->course.promotions);
    stress_figure(run, "moves by compaction", (double)soak->course.moves);
    stress_figure(run, "streams evicted", (double)stats->stream_evictions);
    stress_figure(run, "groups freed", (double)churn->groups);
    stress_figure(run, "visits of threads", (double)churn->visits);
    stress_figure(run, "visits that parked", (double)churn->parked);
    stress_figure(run, "threads that ended", (double)churn->threads);
    stress_figure(run, "memory limit hit", (double)churn->limits);
    stress_figure(run, "requests refused", (double)stats->memory_refused);
    stress_figure(run, "system calls refused", (double)churn->refused);
}

static bool has_churned(const struct soak *soak, const struct churn_counts *churn, const fa_stats *stats)
{
    return churn->cells != 0 && churn->groups != 0 && churn->visits != 0 && churn->parked != 0 && churn->threads != 0 &&
           churn->limits != 0 && churn->refused != 0 && soak->course.promotions != 0 && soak->course.moves != 0 &&
           stats->stream_evictions != 0;
}

/// Why a run that found nothing shows nothing; NULL: it does show something.
static const char *why_unjudged(const struct soak *soak, const struct churn_counts *churn, const fa_stats *stats)
{
    bool churned = has_churned(soak, churn, stats);
    if (!churned && soak->frames >= CHURN_FRAMES)
        stress_fail("in %" PRIu64 " frames something never took place: limit %" PRIu64 ", refused calls %" PRIu64
                    ", evictions %" PRIu64 ", moves %" PRIu64 ", visits %" PRIu64 ", parked %" PRIu64,
                    soak->frames, churn->limits, churn->refused, stats->stream_evictions, soak->course.moves,
                    churn->visits, churn->parked);
    if (!churned) return "some kind of churn never took place";
    if (soak->warm_frames == 0) return "memory did not become warm";
    return soak->frames - soak->warm_frames < JUDGED_FRAMES ? "memory had been warm for a moment only" : NULL;
}

static void run(struct stress_run *run)
{
    static struct soak_level level;
    static struct soak soak;
    soak = (struct soak){.run = run, .began_ns = stress_now_ns()};
    if (level.map == NULL) soak_level_find(&level);
    if (statm < 0) statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    fa_config config = make_config(run, &level);
    stress_phase("loading");
    course_begin(&soak.course, &config, &level, run->seed);
    stress_must(fa_suppress(soak.course.fa, "FA301", true)); // refusals are looked at one by one
    stress_must(fa_suppress(soak.course.fa, "FA003", true)); // a full scratch pool is routine
    run->workers_used = fa_worker_count(soak.course.fa);
    soak.slack = (1 + config.worker_count + config.attached_max) * BLOCK_BYTES;
    reference_begin(&soak.reference, &level, run->seed);
    churn_begin(&soak.course, run->seed, run->planted);
    stress_phase("frames");
    while (soak.frames < run->frames && !stress_time_is_up(run)) {
        uint64_t left = run->frames - soak.frames;
        run_interval(&soak, left < INTERVAL ? (uint32_t)left : INTERVAL);
    }
    stress_phase("the end");
    fa_stats stats;
    stress_must(fa_stats_read(soak.course.fa, &stats));
    struct churn_counts churn;
    churn_end(&churn);
    stress_take_contention(run, soak.course.fa);
    course_end(&soak.course);
    reference_end(&soak.reference);
    run->operations = soak.frames;
    note_figures(&soak, &churn, &stats);
    run->unjudged = why_unjudged(&soak, &churn, &stats);
    printf("level: %s; %" PRIu64 " frames%s\n", level.origin, soak.frames,
           soak.frames < run->frames && run->frames != UINT64_MAX ? ", which is not all: the time was up" : "");
}

int main(int argc, char **argv)
{
    static const struct stress_program program = {
        .name = "stress_soak",
        .doc = "The level tick on a small level, with churn and faults beside it: memory stays flat, and the world is "
               "that of a run without workers.",
        .operation = "frames",
        .run = run,
        .counts_frames = true,
        .planted = "an object a frame is never freed",
    };
    return stress_main(argc, argv, &program);
}
