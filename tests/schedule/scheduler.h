// SPDX-License-Identifier: MIT
//
// Deterministic schedules: threads are fibers on one OS thread, of which one runs at a time; at every scheduling point (each atomic
// operation of the library, see shim/) a strategy decides who goes on. A schedule is a function of the program, the strategy and the seed, so
// that one that fails can be repeated.
//
//     PCT       each fiber has a priority, the highest runs; at depth - 1 random steps the running one falls behind all others. Finds a bug that
//               needs `depth` ordering constraints with probability >= 1 / (n * k^(depth-1)) (Burckhardt et al., "A Randomized Scheduler with
//               Probabilistic Guarantees of Finding Bugs", ASPLOS 2010)
//     uniform   depth 0: any fiber that can run, each with the same probability
//
// What a spinning fiber waits for happens elsewhere, so schedule_yield() puts it behind the others. Time is virtual: it moves with the
// steps, and leaps to the next deadline when nobody can run before; now and then it leaps although others can.
//
// Memory is sequentially consistent here: what weaker orderings do is for the models to find.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define SCHEDULE_FIBERS_MAX 16u
#define SCHEDULE_FOREVER UINT64_MAX

typedef void schedule_fn(void *context);

typedef struct schedule_options {
    uint64_t seed;
    uint64_t length;    // steps that change points are spread over (PCT)
    uint64_t steps_max; // more than that is an endless schedule
    uint32_t depth;     // 0: uniform
} schedule_options;

typedef enum schedule_verdict {
    SCHEDULE_GOOD,     // all fibers have ended
    SCHEDULE_DEADLOCK, // all that are left sleep, and nobody will wake them
    SCHEDULE_ENDLESS,  // steps_max reached
    SCHEDULE_WRONG,    // schedule_fail()
} schedule_verdict;

typedef struct schedule_result {
    schedule_verdict verdict;
    uint64_t steps;
    uint64_t switches;
    char text[240]; // of schedule_fail()
} schedule_result;

/// Runs fn(context) as the first fiber, and all that it spawns, to the end. After a verdict other than GOOD whatever the fibers held is
/// lost, and a further run is of use only when they shared nothing with it.
schedule_result schedule_run(const schedule_options *options, schedule_fn *fn, void *context);

/// Called whenever one fiber stops and another goes on.
void schedule_on_switch(void (*fn)(uint32_t from, uint32_t to));

/// Whether a schedule is running; all that follows is for its fibers only.
bool schedule_is_on(void);

/// Somebody else may go on from here.
void schedule_point(void);
/// The caller can do nothing until another has done something.
void schedule_yield(void);

/// A new fiber; its number.
uint32_t schedule_spawn(schedule_fn *fn, void *context);
/// Returns when it has ended.
void schedule_join(uint32_t number);
uint32_t schedule_self(void);

/// Sleeps until schedule_wake() of the same place, or until the virtual time `deadline_ns`; false when that came first.
bool schedule_sleep(const void *place, uint64_t deadline_ns);
/// Wakes at most n fibers that sleep there; how many.
uint32_t schedule_wake(const void *place, uint32_t n);

/// Virtual time, ns.
uint64_t schedule_now_ns(void);

/// A number below n from the schedule's own generator: what a scenario does may depend on the seed.
uint32_t schedule_random(uint32_t n);

/// Ends the schedule: something is wrong.
__attribute__((noreturn, format(printf, 1, 2))) void schedule_fail(const char *text, ...);

#define SCHEDULE_CHECK(fact) ((fact) ? (void)0 : schedule_fail("%s:%d: not true: %s", __FILE__, __LINE__, #fact))
