// SPDX-License-Identifier: MIT
//
// The model checker as C sees it. The library's own sources, and the models, are compiled as they are, with three things put in
// between (shim.h, include/ck_pr.h): every atomic operation and fence calls the checker, which is Relacy's model of C11 memory; every
// plain access calls it too, because the sources are compiled as for ThreadSanitizer, whose callbacks the checker has; and system
// calls, thread-local variables and liburcu are the checker's.
//
// What an execution may not do: fail an assertion of the library or of the model, race (a plain access that no happens-before edge
// separates from another thread's write), leave all threads asleep, or run on for ever. As under ThreadSanitizer a fence that is sequentially
// consistent separates nothing: it decides what is seen, hand-overs are carried by ordered operations.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MC_THREADS_MAX 4u

/// A place in the source with an atomic operation or a fence, and the order that is written there.
typedef struct mc_site {
    const char *file, *function, *what;
    int line;
    int order, failure; // __ATOMIC_…, or -1
    // the checker's
    int now, failure_now; // what holds in this run
    bool reached;
    struct mc_site *next;
} mc_site;

uint64_t mc_load(mc_site *site, const volatile void *p, size_t size);
void mc_store(mc_site *site, volatile void *p, size_t size, uint64_t value);
uint64_t mc_exchange(mc_site *site, volatile void *p, size_t size, uint64_t value);
uint64_t mc_add(mc_site *site, volatile void *p, size_t size, uint64_t value);
uint64_t mc_and(mc_site *site, volatile void *p, size_t size, uint64_t value);
uint64_t mc_or(mc_site *site, volatile void *p, size_t size, uint64_t value);
bool mc_cas(mc_site *site, volatile void *p, size_t size, void *expected, uint64_t value);
void mc_fence(mc_site *site);
/// Others must get on before this thread does.
void mc_pause(void);

struct timespec;
int mc_clock_gettime(int clock, struct timespec *now);
long mc_syscall(long number, ...);
void *mc_memcpy(void *to, const void *from, size_t size);
void *mc_memmove(void *to, const void *from, size_t size);
void *mc_memset(void *to, int byte, size_t size);
int mc_memcmp(const void *a, const void *b, size_t size);
int mc_strcmp(const char *a, const char *b);
size_t mc_strlen(const char *text);
char *mc_strncpy(char *to, const char *from, size_t size);

// For models ----------------------------------------------------------------------------------------------------------

struct fa_config;

/// What is NULL is not called.
typedef struct mc_model {
    const char *name, *claim;
    bool large;      // too much for a search of all executions
    bool takes_time; // goes on until time has passed for others, which that search would let come last: at random alone
    // Of the whole library, see little_system.h: where its system is put before a search, and what that is made with.
    struct fa_system **system;
    unsigned workers;
    void (*adjust)(struct fa_config *config);
    void (*before)(void);                  // each execution: alone
    void (*threads[MC_THREADS_MAX])(void); // what each does, from 0 on: two at least
    void (*after)(void);                   // alone; sees everything
} mc_model;

/// The execution is wrong.
__attribute__((noreturn)) void mc_fail(const char *what, const char *file, int line);
#define MC_ASSERT(fact) ((fact) ? (void)0 : mc_fail(#fact, __FILE__, __LINE__))

/// What this thread read atomically there has become its own by what it did last: who writes there, even atomically, must come after
/// those reads. (Relacy performs a load where it stands, so a write that is too early shows in no value.)
void mc_had_read(const void *p, size_t size);

/// What this thread wrote there unseen (FAI_UNSEEN_BY_TSAN) before its last atomic write.
void mc_had_written(const void *p, size_t size);

/// A choice among n; the search tries them all.
unsigned mc_choose(unsigned n);
/// Lets others go on for up to n operations: two threads whose contested parts lie at different depths would else seldom meet.
void mc_dawdle(unsigned n);
unsigned mc_self(void);
/// [before] Plays this thread from here on; 0 at first.
void mc_act_as(unsigned thread);

/// [before a search] Memory that every execution finds as it is left here, and threads that the library starts: what is asked for until
/// mc_world_close().
void mc_world_open(const mc_model *model);
void mc_world_close(void);

/// Runs the thread that the library started as its n-th.
void mc_run_library_thread(unsigned n);

// For the program that runs them ----------------------------------------------------------------------------------------

typedef struct mc_run {
    unsigned bound; // 0: random; otherwise all executions with so many preemptions at most
    uint64_t first, executions;
    double seconds; // 0: no limit
    uint64_t trace; // show this execution, the number in the search; 0: none
    // results
    bool failed, exhausted;
    uint64_t done;
    char reason[128];
} mc_run;

void mc_check(const mc_model *model, mc_run *run);

/// Makes one operation weaker from now on: `part` names what it loses ("acquire", "release", "seq_cst", "all", "failure", "fence").
void mc_weaken(const mc_site *site, const char *part);
void mc_restore(void);
/// The sites that were reached since mc_forget(), each once; and what they can lose.
const mc_site *const *mc_sites(size_t *count);
void mc_forget(void);
unsigned mc_parts(const mc_site *site, const char *parts[4]);

#ifdef __cplusplus
}
#endif
