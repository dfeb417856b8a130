// SPDX-License-Identifier: MIT
//
// What the stress programs share: options, random numbers, payloads, the verdict, a watchdog, and the figures of
// contention against the number of workers.
//
// A program is a stress_program: one function that works until the time is up. It says that it gets on by
// stress_progress(), fails by stress_fail() (which does not return, from whichever thread), and leaves its figures in
// the stress_run. stress_main() does the rest: exit status 0 and `ok: N operations`, 1 and `FAILED: why`, 2 for bad options, 3 and `too short to be
// judged: why` when nothing was found and a check had not begun. With --planted a program puts in a bug that its own check must find.
#pragma once

#include <framealloc/framealloc.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// Slow, and the process has other memory than the program's: a sanitizer's, or an emulator's (CMake says so).
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || defined(STRESS_EMULATED)
#define STRESS_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define STRESS_SANITIZED 1
#endif
#endif
#ifndef STRESS_SANITIZED
#define STRESS_SANITIZED 0
#endif

#define STRESS_LINE 128 // bytes: neighbouring cache lines are fetched in pairs
#define STRESS_WORKERS_MAX FA_WORKERS_MAX
#define STRESS_LANES_MAX (1 + FA_WORKERS_MAX + FA_ATTACHED_MAX)
#define STRESS_FIGURES_MAX 32

#define STRESS_MIB (UINT64_C(1) << 20)
#define STRESS_SECOND_NS UINT64_C(1000000000)

// A run -----------------------------------------------------------------------------------------------------------------

struct stress_figure {
    const char *name;
    double value;
};

struct stress_run {
    // immutable during the run
    uint32_t workers; // asked for; 0: the program chooses
    uint64_t frames;  // ends after so many; UINT64_MAX: by time alone
    bool planted;     // with the bug that the program's check must find
    bool scaling;     // one of a series with different numbers of workers: their contention is compared
    uint64_t seed;
    double seconds;
    uint64_t deadline_ns; // by stress_now_ns()
    // owner: the main thread
    struct stress_figure figures[STRESS_FIGURES_MAX];
    uint32_t figure_count;
    uint32_t workers_used;    // 0: several numbers
    uint64_t operations;      // what figures per operation refer to
    const char *unjudged;     // which check has not begun after so few operations; NULL: all have
    fa_contention contention; // summed over the systems of the run
};

struct stress_program {
    const char *name;
    const char *doc;       // two sentences for --help
    const char *operation; // what is counted, plural
    void (*run)(struct stress_run *run);
    bool counts_frames;    // takes --frames
    const char *planted;   // what --planted puts in; NULL: nothing
    void (*explain)(void); // prints to stderr what the program was at, when it hangs; from the watchdog; may be NULL
};

int stress_main(int argc, char **argv, const struct stress_program *program);

static inline uint64_t stress_sanitized_times(uint64_t normal, uint64_t factor)
{
    return STRESS_SANITIZED ? normal * factor : normal;
}

uint64_t stress_now_ns(void);
void stress_sleep_us(uint32_t us);

static inline bool stress_time_is_up(const struct stress_run *run)
{
    return stress_now_ns() >= run->deadline_ns;
}

/// Adds to the run's figures; `name` is static.
void stress_figure(struct stress_run *run, const char *name, double value);

/// [main] Between frames, before a system is destroyed: adds its contention to the run's.
void stress_take_contention(struct stress_run *run, const fa_system *fa);

/// A configuration whose diagnostics are failures.
fa_config stress_config(uint32_t workers);

/// Ends the program with `FAILED: why` and status 1. Any thread; the first one wins.
__attribute__((noreturn, format(printf, 1, 2))) void stress_fail(const char *format, ...);

/// What the check says that finds what --planted puts in: then the program ends with `planted: found: why` and status 0. Otherwise it fails.
__attribute__((noreturn, format(printf, 1, 2))) void stress_found(const char *format, ...);

/// Fails unless the call answered FA_OK.
#define stress_must(call) stress_must_be_ok((call), #call)
void stress_must_be_ok(fa_status status, const char *call);

// Watchdog --------------------------------------------------------------------------------------------------------------

/// [main] The run got on, `operations` so far. Without this for a long while it counts as hanging.
void stress_progress(uint64_t operations);

/// [main] What it is about to do; static storage. For the diagnosis of a hang.
void stress_phase(const char *phase);

// Random numbers: splitmix64 (Steele, Lea and Flood, OOPSLA 2014), one stream per thread or job ------------------------------

struct stress_random {
    uint64_t state;
};

static inline uint64_t stress_mix(uint64_t x)
{
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

/// A stream of its own for every number under a seed.
static inline struct stress_random stress_stream(uint64_t seed, uint64_t number)
{
    return (struct stress_random){stress_mix(seed ^ stress_mix(number))};
}

static inline uint64_t stress_next(struct stress_random *random)
{
    uint64_t result = stress_mix(random->state);
    random->state += UINT64_C(0x9e3779b97f4a7c15);
    return result;
}

/// 0 to n - 1.
static inline uint32_t stress_below(struct stress_random *random, uint32_t n)
{
    return (uint32_t)((stress_next(random) >> 32) * n >> 32);
}

static inline uint32_t stress_between(struct stress_random *random, uint32_t least, uint32_t most)
{
    return least + stress_below(random, most - least + 1);
}

static inline bool stress_one_in(struct stress_random *random, uint32_t n)
{
    return stress_below(random, n) == 0;
}

// Payloads: bytes that follow from a key. Of large objects the ends and a word of each page are written and checked. --------

void stress_fill(void *p, size_t size, uint64_t key);

/// From now on the last byte of one in 4096 is wrong: what --planted puts into the storms, STRESS_SPOILED in words.
void stress_spoil_payloads(void);
#define STRESS_SPOILED "the last byte of one payload in 4096 is wrong"

/// Offset of the first word that is not as stress_fill() left it, -1 if all are.
ssize_t stress_check(const void *p, size_t size, uint64_t key);
