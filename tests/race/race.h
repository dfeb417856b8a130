// SPDX-License-Identifier: MIT
//
// Races on purpose, through the real library under ThreadSanitizer: each goes through one structure. Two threads meet by relaxed flags
// only, so that the structure's own edge is all that orders their plain accesses. With the edge the run is silent; with the operation
// relaxed (shim.h), or where the program breaks the structure's rules, ThreadSanitizer must report it. races.txt says which and where.
#pragma once

#include "concurrent/check.h"
#include "concurrent/order.h"

#include <framealloc/framealloc.h>

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct race {
    const char *name;
    void (*begin)(void);               // before there are two threads
    void (*first)(void);               // on the thread that the system belongs to
    void (*second)(void);              // on another, attached if there is a system
    void (*end)(void);                 // when both are done
    void (*adjust)(fa_config *config); // NULL: there is no system
} race;

/// What the scenario is played in.
typedef struct race_scene {
    fa_system *fa; // NULL for those of concurrent/
    fa_worker *w;  // the first thread's
    fa_worker *other;
} race_scene;
extern race_scene scene;

extern const race races_of_structures[], races_of_memory[], races_by_misuse[];

/// A flag that orders nothing.
typedef FAI_ATOMIC(uint32_t) flag;

static inline void raise_flag(flag *f)
{
    fai_store_relaxed(f, 1u);
}

static inline void wait_for(const flag *f)
{
    while (fai_load_relaxed(f) == 0) sched_yield();
}

/// What most scenarios go through, raised in this order.
extern flag ready, used, over;

/// What one thread leaves to the other, not 0, without an order: raises `ready`, and waits for it.
void pass_on(uint64_t bits);
uint64_t passed(void);
void pass_object(const void *p);
unsigned char *passed_object(void);
void pass_handle(fa_handle handle);
fa_handle passed_handle(void);

/// The first thread's: a system as it is by default, and its frames.
void plain(fa_config *config);
void begin_frame(void);
void end_frame(void);

/// The first thread's: frees of objects of SIZE come home when a magazine is empty; then `p` is had again, and used.
enum { SIZE = 32768 };
void have_again(unsigned char *p, void (*use)(unsigned char *));

/// The first thread's: a group, passed on, that ends when it is used.
void end_group(void);

/// The scenario cannot be played: no verdict about races.
#define REQUIRE(condition)                                                                                             \
    ((condition) ? (void)0 : (fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition), exit(2)))

/// A plain access that races; the name of the function is looked for in the report.
#define PLAIN __attribute__((noinline))
