// SPDX-License-Identifier: MIT
#include "scheduler.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#define STACK_BYTES (512u << 10)
#define STEP_NS 20u
/// Of so many decisions one lets time leap although somebody can run.
#define LEAP_ONE_IN 64u
#define DEPTH_MAX 16u

enum fiber_state { FIBER_FREE, FIBER_READY, FIBER_ASLEEP, FIBER_DONE };

typedef struct fiber {
    enum fiber_state state;
    bool entered;
    bool timed_out;
    int64_t priority;
    const void *place;
    uint64_t deadline_ns;
    schedule_fn *fn;
    void *context;
    jmp_buf at;
    ucontext_t entry;
    char *stack; // kept from run to run
} fiber;

static struct {
    schedule_options options;
    schedule_result result;
    fiber fibers[SCHEDULE_FIBERS_MAX];
    uint32_t count;
    uint32_t current;
    int64_t lowest;
    uint64_t change[DEPTH_MAX]; // steps, PCT
    uint64_t random;
    uint64_t now_ns;
    jmp_buf out;
    bool on;
} run;

static void (*on_switch)(uint32_t from, uint32_t to);

void schedule_on_switch(void (*fn)(uint32_t from, uint32_t to))
{
    on_switch = fn;
}

static char join_places[SCHEDULE_FIBERS_MAX];

static uint64_t random_next(void)
{
    uint64_t x = run.random; // xorshift64 (Marsaglia 2003)
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return run.random = x;
}

uint32_t schedule_random(uint32_t n)
{
    return (uint32_t)((random_next() >> 32) * n >> 32);
}

bool schedule_is_on(void)
{
    return run.on;
}

uint32_t schedule_self(void)
{
    return run.current;
}

uint64_t schedule_now_ns(void)
{
    return run.now_ns;
}

__attribute__((noreturn)) static void end(schedule_verdict verdict)
{
    run.result.verdict = verdict;
    longjmp(run.out, 1);
}

void schedule_fail(const char *text, ...)
{
    va_list arguments;
    va_start(arguments, text);
    (void)vsnprintf(run.result.text, sizeof run.result.text, text, arguments);
    va_end(arguments);
    if (!run.on) {
        fprintf(stderr, "outside a schedule: %s\n", run.result.text);
        abort();
    }
    end(SCHEDULE_WRONG);
}

// Who goes on ----------------------------------------------------------------------------------------------------------

static uint32_t pick_ready(void)
{
    uint32_t best = SCHEDULE_FIBERS_MAX, ready = 0;
    for (uint32_t i = 0; i < run.count; i++) {
        const fiber *f = &run.fibers[i];
        if (f->state != FIBER_READY) continue;
        ready++;
        bool better = run.options.depth == 0 ? schedule_random(ready) == 0
                                             : best == SCHEDULE_FIBERS_MAX || f->priority > run.fibers[best].priority;
        if (better) best = i;
    }
    return best;
}

/// The sleeper with the earliest deadline, if there is one, is ready from now on.
static bool leap(void)
{
    uint32_t first = SCHEDULE_FIBERS_MAX;
    for (uint32_t i = 0; i < run.count; i++) {
        const fiber *f = &run.fibers[i];
        if (f->state != FIBER_ASLEEP || f->deadline_ns == SCHEDULE_FOREVER) continue;
        if (first == SCHEDULE_FIBERS_MAX || f->deadline_ns < run.fibers[first].deadline_ns) first = i;
    }
    if (first == SCHEDULE_FIBERS_MAX) return false;
    fiber *f = &run.fibers[first];
    if (run.now_ns < f->deadline_ns) run.now_ns = f->deadline_ns;
    f->state = FIBER_READY;
    f->timed_out = true;
    return true;
}

static uint32_t pick(void)
{
    if (schedule_random(LEAP_ONE_IN) == 0) (void)leap();
    uint32_t next = pick_ready();
    if (next == SCHEDULE_FIBERS_MAX && leap()) next = pick_ready();
    return next;
}

static void switch_to(uint32_t next)
{
    if (next == run.current && run.fibers[next].entered) return;
    fiber *from = &run.fibers[run.current], *to = &run.fibers[next];
    run.result.switches++;
    if (on_switch != NULL) on_switch(run.current, next);
    if (_setjmp(from->at) != 0) return;
    run.current = next;
    if (to->entered) _longjmp(to->at, 1);
    to->entered = true;
    setcontext(&to->entry);
}

/// The current fiber goes on when it is its turn again.
static void reschedule(void)
{
    uint32_t next = pick();
    if (next == SCHEDULE_FIBERS_MAX) end(SCHEDULE_DEADLOCK);
    switch_to(next);
}

static void step(void)
{
    run.now_ns += STEP_NS;
    if (++run.result.steps > run.options.steps_max) end(SCHEDULE_ENDLESS);
}

void schedule_point(void)
{
    if (!run.on) return;
    step();
    for (uint32_t i = 0; i + 1 < run.options.depth; i++) {
        if (run.change[i] == run.result.steps) run.fibers[run.current].priority = --run.lowest;
    }
    reschedule();
}

void schedule_yield(void)
{
    if (!run.on) return;
    step();
    run.fibers[run.current].priority = --run.lowest;
    reschedule();
}

bool schedule_sleep(const void *place, uint64_t deadline_ns)
{
    fiber *self = &run.fibers[run.current];
    step();
    self->place = place;
    self->deadline_ns = deadline_ns;
    self->timed_out = false;
    self->state = FIBER_ASLEEP;
    reschedule();
    return !self->timed_out;
}

uint32_t schedule_wake(const void *place, uint32_t n)
{
    uint32_t woken = 0;
    for (uint32_t i = 0; i < run.count && woken < n; i++) {
        fiber *f = &run.fibers[i];
        if (f->state != FIBER_ASLEEP || f->place != place) continue;
        f->state = FIBER_READY;
        woken++;
    }
    return woken;
}

// Fibers -----------------------------------------------------------------------------------------------------------------

static void fiber_main(void)
{
    fiber *self = &run.fibers[run.current];
    self->fn(self->context);
    self->state = FIBER_DONE;
    (void)schedule_wake(&join_places[run.current], SCHEDULE_FIBERS_MAX);
    uint32_t next = pick();
    if (next != SCHEDULE_FIBERS_MAX) switch_to(next);
    bool all = true;
    for (uint32_t i = 0; i < run.count; i++) all = all && run.fibers[i].state == FIBER_DONE;
    end(all ? SCHEDULE_GOOD : SCHEDULE_DEADLOCK);
}

uint32_t schedule_spawn(schedule_fn *fn, void *context)
{
    if (run.count == SCHEDULE_FIBERS_MAX) schedule_fail("more than %u fibers", SCHEDULE_FIBERS_MAX);
    uint32_t number = run.count;
    fiber *f = &run.fibers[number];
    if (f->stack == NULL) {
        f->stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (f->stack == MAP_FAILED || mprotect(f->stack, 4096, PROT_NONE) != 0) abort();
    }
    *f = (fiber){.state = FIBER_READY, .fn = fn, .context = context, .stack = f->stack};
    // Somewhere among the others; two alike are told apart by their number.
    f->priority = 1 + (int64_t)schedule_random(1u << 20);
    (void)getcontext(&f->entry);
    f->entry.uc_stack.ss_sp = f->stack;
    f->entry.uc_stack.ss_size = STACK_BYTES;
    f->entry.uc_link = NULL;
    makecontext(&f->entry, fiber_main, 0);
    run.count++;
    return number;
}

void schedule_join(uint32_t number)
{
    while (run.fibers[number].state != FIBER_DONE) (void)schedule_sleep(&join_places[number], SCHEDULE_FOREVER);
    schedule_point();
}

schedule_result schedule_run(const schedule_options *options, schedule_fn *fn, void *context)
{
    run.options = *options;
    run.result = (schedule_result){0};
    run.count = run.current = 0;
    run.lowest = 0;
    run.now_ns = UINT64_C(1000000000);
    run.random = options->seed * UINT64_C(0x9E3779B97F4A7C15) + 1;
    for (int i = 0; i < 4; i++) (void)random_next();
    if (run.options.depth > DEPTH_MAX) run.options.depth = DEPTH_MAX;
    for (uint32_t i = 0; i + 1 < run.options.depth; i++) {
        run.change[i] = 1 + random_next() % (options->length > 0 ? options->length : 1);
    }
    (void)schedule_spawn(fn, context);
    if (setjmp(run.out) == 0) {
        run.on = true;
        run.fibers[0].entered = true;
        setcontext(&run.fibers[0].entry);
    }
    run.on = false;
    return run.result;
}
