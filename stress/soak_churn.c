// SPDX-License-Identifier: MIT
//
// See soak_churn.h. Tables of slots hold what is alive: who makes an object puts it into a slot at random and has what was there before, which
// is now its own, whoever made it. Visitors are threads of this program; each makes one visit for a token, and ends after VISITS.
#include "soak_churn.h"

#include "soak_refuse.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <semaphore.h>
#include <string.h>

#define SMALL_SLOTS 256u
#define LARGE_SLOTS 12u
#define HANDLE_SLOTS 128u
#define CELLS 32u
#define GROUPS 4u
#define VISITORS 2u
#define VISITS 16u
#define JOBS 3u        // of a frame
#define OPERATIONS 10u // of a job
#define SMALL_MAX 2000u
#define LARGE_MAX (200u << 10)
#define BACKLOG_MAX 4096u // retired versions; above, nothing is put into cells
// One frame in so many:
#define TOKEN_EVERY 3u
#define GROUP_EVERY 16u
#define LIMIT_EVERY 256u
#define REFUSED_EVERY 8u // visits
/// A visitor that has missed so many tokens is waited for: a crowded machine would else see few visits.
#define LATE_MAX 16u
#define REFUSALS_MAX 40u // calls that can be refused to a system, about
/// Most objects that hitting the limit takes.
#define HITS_MAX 16384u

struct object {
    uint64_t key;
    uint64_t size;
    uint64_t seal; // of the two
};

struct visitor {
    pthread_t thread;
    sem_t token;
    struct stress_random random;
    uint32_t late;     // tokens that it has missed; the main lane's
    atomic_bool busy;  // has a token
    atomic_bool ended; // may be joined
};

static struct {
    struct course *course;
    fa_system *fa;
    bool planted;
    // owner: the main lane
    struct stress_random random;
    fa_counter jobs;
    fa_group groups[GROUPS]; // read by this frame's jobs
    fa_scratch scratch;
    uint64_t groups_freed, limits, threads;
    void *hits[HITS_MAX];
    struct visitor visitors[VISITORS];
    // shared
    _Atomic(struct object *) small[SMALL_SLOTS], large[LARGE_SLOTS];
    atomic_uint_fast64_t handles[HANDLE_SLOTS];
    fa_cell cells[CELLS];
    atomic_uint limit;         // odd while it is being hit
    atomic_bool stop, may_put; // into cells
    atomic_uint_fast64_t traded, put, visits, parked, refused;
} churn;

static void count(atomic_uint_fast64_t *counter)
{
    (void)atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

// Objects -----------------------------------------------------------------------------------------------------------------

/// Whether NULL may be an answer to what began at `limit`.
static bool is_excused(unsigned limit)
{
    return limit % 2 != 0 || atomic_load(&churn.limit) != limit;
}

static void *granted(void *p, unsigned limit, const char *what)
{
    if (p == NULL && !is_excused(limit)) stress_fail("%s was refused, and the limit is far", what);
    return p;
}

static void fill(void *p, size_t size, uint64_t key)
{
    struct object *object = p;
    *object = (struct object){key, size, stress_mix(key ^ size)};
    stress_fill(object + 1, size - sizeof *object, key);
}

static void check(const void *p, const char *what)
{
    const struct object *object = p;
    if (object->seal != stress_mix(object->key ^ object->size)) stress_fail("%s lost its head", what);
    ssize_t at = stress_check(object + 1, object->size - sizeof *object, object->key);
    if (at >= 0) stress_fail("%s of %" PRIu64 " bytes is wrong at %zd", what, object->size, at);
}

static size_t draw_size(struct stress_random *random, uint32_t most)
{
    return sizeof(struct object) + stress_below(random, stress_one_in(random, 4) ? most : most / 8);
}

/// What may be NULL goes to its allocator, checked.
static void give_back(fa_worker *w, struct object *object, bool large)
{
    if (object == NULL) return;
    check(object, large ? "a large object" : "a small object");
    if (large)
        fa_heap_free(w, object);
    else
        fa_pool_free(w, object);
    count(&churn.traded);
}

static void trade(fa_worker *w, struct stress_random *random, bool large)
{
    unsigned limit = atomic_load(&churn.limit);
    size_t size = draw_size(random, large ? LARGE_MAX : SMALL_MAX);
    void *p = large ? fa_heap_alloc(w, size, 0) : fa_pool_alloc(w, size);
    if (granted(p, limit, large ? "a large object" : "a small object") == NULL) return;
    fill(p, size, stress_next(random));
    _Atomic(struct object *) *slot = large ? &churn.large[stress_below(random, LARGE_SLOTS)]
                                           : &churn.small[stress_below(random, SMALL_SLOTS)];
    give_back(w, atomic_exchange(slot, p), large);
}

static void put(fa_worker *w, struct stress_random *random)
{
    if (!atomic_load(&churn.may_put)) return;
    unsigned limit = atomic_load(&churn.limit);
    size_t size = draw_size(random, SMALL_MAX);
    void *p = granted(fa_pool_alloc(w, size), limit, "a version");
    if (p == NULL) return;
    fill(p, size, stress_next(random));
    fa_status status = fa_cell_publish(w, &churn.cells[stress_below(random, CELLS)], p);
    if (status == FA_ERROR_MEMORY && is_excused(limit)) {
        fa_pool_free(w, p);
        return;
    }
    stress_must(status);
    count(&churn.put);
}

/// A few versions, all held to the end.
static void read_cells(struct stress_random *random, const fa_worker *w)
{
    const void *held[4];
    for (int i = 0; i < 4; i++) held[i] = fa_cell_read(w, &churn.cells[stress_below(random, CELLS)]);
    for (int i = 3; i >= 0; i--)
        if (held[i] != NULL) check(held[i], "a version");
}

static void use_scope(fa_worker *w, struct stress_random *random)
{
    unsigned limit = atomic_load(&churn.limit);
    FA_SCOPE(w);
    size_t size = draw_size(random, LARGE_MAX / 4);
    void *p = granted(fa_scope_alloc(w, size), limit, "scope memory");
    if (p == NULL) return;
    fill(p, size, stress_next(random));
    trade(w, random, false);
    check(p, "scope memory");
}

static void use_scratch(fa_worker *w, struct stress_random *random)
{
    if (stress_one_in(random, 32)) stress_must(fa_scratch_reset(w, churn.scratch));
    (void)fa_scratch_alloc(w, churn.scratch, 16 + stress_below(random, 2000), 16); // NULL when it is full
}

/// What any lane may do at any time.
static void operate(fa_worker *w, struct stress_random *random)
{
    switch (stress_below(random, 8)) {
        case 0: put(w, random); break;
        case 1: read_cells(random, w); break;
        case 2: use_scope(w, random); break;
        case 3: use_scratch(w, random); break;
        case 4: trade(w, random, stress_one_in(random, 8)); break;
        default: trade(w, random, false); break;
    }
}

// Jobs: they run inside frames alone, when the limit is not being hit -------------------------------------------------------------

static uint64_t bits_of(fa_handle handle)
{
    uint64_t bits;
    _Static_assert(sizeof bits == sizeof handle, "a handle travels through a word");
    memcpy(&bits, &handle, sizeof bits);
    return bits;
}

static void free_handle(fa_worker *w, uint64_t bits)
{
    fa_handle handle;
    memcpy(&handle, &bits, sizeof handle);
    if (fa_handle_is_none(handle)) return;
    const void *p = fa_handle_pin(w, handle);
    if (p == NULL) stress_fail("a handle in use is stale");
    check(p, "an object behind a handle");
    stress_must(fa_handle_unpin(w, handle));
    stress_must(fa_handle_free(w, handle));
    count(&churn.traded);
}

static void trade_handle(fa_worker *w, struct stress_random *random)
{
    size_t size = draw_size(random, SMALL_MAX);
    fa_handle handle = fa_handle_alloc(w, size, 16, NULL);
    void *p = fa_handle_pin(w, handle);
    if (p == NULL) stress_fail("an object behind a handle was refused");
    fill(p, size, stress_next(random));
    stress_must(fa_handle_unpin(w, handle));
    free_handle(w, atomic_exchange(&churn.handles[stress_below(random, HANDLE_SLOTS)], bits_of(handle)));
}

static void retain(fa_worker *w, struct stress_random *random)
{
    if (!atomic_load(&churn.may_put)) return;
    size_t size = draw_size(random, SMALL_MAX);
    fa_retain how = {.to = stress_one_in(random, 2) ? FA_RETAIN_POOL : FA_RETAIN_HEAP,
                     .cell = &churn.cells[stress_below(random, CELLS)]};
    void *p = fa_frame_retained(w, size, 16, &how);
    if (p == NULL) stress_fail("retained memory was refused");
    fill(p, size, stress_next(random));
    count(&churn.put);
}

static void use_group(fa_worker *w, struct stress_random *random)
{
    size_t size = draw_size(random, SMALL_MAX);
    void *p = fa_group_alloc(w, churn.groups[stress_below(random, GROUPS)], size, 16);
    if (p == NULL) stress_fail("group memory was refused");
    fill(p, size, stress_next(random));
}

static void use_frame(fa_worker *w, struct stress_random *random)
{
    size_t size = draw_size(random, stress_one_in(random, 64) ? 700u << 10 : SMALL_MAX);
    void *p = fa_frame_alloc(w, size);
    if (p == NULL) stress_fail("frame memory was refused");
    fill(p, size, stress_next(random));
    operate(w, random);
    check(p, "frame memory");
}

static void nested_job(fa_worker *w, void *arg)
{
    struct stress_random random = {*(const uint64_t *)arg};
    trade(w, &random, false);
    use_frame(w, &random);
}

static void submit_nested(fa_worker *w, struct stress_random *random)
{
    fa_counter nested = FA_COUNTER_INIT;
    for (int i = 0; i < 2; i++) {
        uint64_t seed = stress_next(random);
        stress_must(fa_submit_copy(w, &nested, nested_job, &seed, sizeof seed));
    }
    stress_must(fa_wait(w, &nested));
}

static void churn_job(fa_worker *w, void *arg)
{
    struct stress_random random = {*(const uint64_t *)arg};
    for (uint32_t i = 0; i < OPERATIONS; i++) {
        switch (stress_below(&random, 8)) {
            case 0: trade_handle(w, &random); break;
            case 1: retain(w, &random); break;
            case 2: use_group(w, &random); break;
            case 3: use_frame(w, &random); break;
            default: operate(w, &random); break;
        }
    }
    if (stress_one_in(&random, 4)) submit_nested(w, &random);
}

void churn_submit(void)
{
    fa_worker *w = churn.course->w;
    churn.jobs = (fa_counter)FA_COUNTER_INIT;
    for (uint32_t i = 0; i < JOBS; i++) {
        uint64_t seed = stress_next(&churn.random);
        stress_must(fa_submit_copy(w, &churn.jobs, churn_job, &seed, sizeof seed));
    }
    if (!churn.planted) return;
    void *forgotten = fa_pool_alloc(w, 4000);
    if (forgotten != NULL) stress_fill(forgotten, 4000, 1);
}

void churn_wait(void)
{
    stress_must(fa_wait(churn.course->w, &churn.jobs));
}

// Visitors ----------------------------------------------------------------------------------------------------------------

static void await_token(struct visitor *v)
{
    while (sem_wait(&v->token) != 0 && errno == EINTR) continue;
}

/// The lane parks; meanwhile others free its objects, and boundaries take them home on its behalf.
static void park(struct visitor *v, fa_worker *w)
{
    stress_must(fa_idle_begin(w));
    atomic_store(&v->busy, false);
    await_token(v);
    stress_must(fa_idle_end(w));
    count(&churn.parked);
}

/// A frame that is open is kept from retiring while this lane allocates from it.
static void hold(fa_worker *w, struct stress_random *random)
{
    fa_frame frame;
    fa_status status = fa_frame_hold(w, &frame);
    if (status == FA_ERROR_STATE) return; // none is open
    stress_must(status);
    unsigned limit = atomic_load(&churn.limit);
    size_t size = draw_size(random, SMALL_MAX);
    void *p = granted(fa_frame_alloc(w, size), limit, "frame memory");
    if (p != NULL) {
        fill(p, size, stress_next(random));
        operate(w, random);
        check(p, "frame memory");
    }
    stress_must(fa_frame_drop(churn.fa, frame));
}

static void visit(struct visitor *v)
{
    fa_worker *w;
    unsigned limit = atomic_load(&churn.limit);
    fa_status status = fa_attach(churn.fa, &w);
    if (status == FA_ERROR_MEMORY && is_excused(limit)) return;
    stress_must(status);
    for (uint32_t i = stress_between(&v->random, 8, 32); i > 0; i--) operate(w, &v->random);
    if (stress_one_in(&v->random, 2)) hold(w, &v->random);
    if (stress_one_in(&v->random, 2)) {
        park(v, w);
        operate(w, &v->random);
    }
    stress_must(fa_quiescent(w));
    operate(w, &v->random);
    stress_must(fa_detach(w));
    count(&churn.visits);
}

static void *be_visitor(void *context)
{
    struct visitor *v = context;
    for (uint32_t i = 0; i < VISITS && !atomic_load(&churn.stop); i++) {
        await_token(v);
        visit(v);
        if (stress_one_in(&v->random, REFUSED_EVERY) &&
            soak_refused_system(stress_between(&v->random, 1, REFUSALS_MAX)))
            count(&churn.refused);
        if (i + 1 < VISITS) atomic_store(&v->busy, false);
    }
    atomic_store(&v->ended, true);
    return NULL;
}

static void start(struct visitor *v)
{
    atomic_store(&v->busy, false);
    atomic_store(&v->ended, false);
    int error = pthread_create(&v->thread, NULL, be_visitor, v);
    if (error != 0) stress_fail("no thread for a visitor: %s", strerror(error));
}

static void join(struct visitor *v)
{
    (void)pthread_join(v->thread, NULL);
    churn.threads++;
}

static void await_visitor(struct visitor *v)
{
    stress_must(fa_idle_begin(churn.course->w));
    while (atomic_load(&v->busy) && !atomic_load(&v->ended)) stress_sleep_us(100);
    stress_must(fa_idle_end(churn.course->w));
}

/// Gives the visitor a token unless it has one; one that has ended is replaced.
static void wake(struct visitor *v)
{
    if (atomic_load(&v->busy) && ++v->late >= LATE_MAX) await_visitor(v);
    if (atomic_load(&v->ended)) {
        join(v);
        start(v);
    }
    if (atomic_exchange(&v->busy, true)) return;
    v->late = 0;
    (void)sem_post(&v->token);
}

// Between frames ------------------------------------------------------------------------------------------------------------

static fa_group make_group(void)
{
    fa_group group;
    stress_must(fa_group_create(churn.course->w, "churn", &group));
    return group;
}

static void replace_group(void)
{
    fa_group *group = &churn.groups[stress_below(&churn.random, GROUPS)];
    stress_must(fa_group_free(churn.course->w, *group));
    *group = make_group();
    churn.groups_freed++;
}

/// Takes spans of one size until none is to be had. They are not written to: the limit is the library's, not the system's memory.
static uint32_t take_all(uint32_t taken, size_t size)
{
    fa_worker *w = churn.course->w;
    for (; taken < HITS_MAX; taken++) {
        churn.hits[taken] = fa_heap_alloc(w, size, 0);
        if (churn.hits[taken] == NULL) return taken;
    }
    stress_fail("the memory limit refuses nothing");
}

/// Between frames, with no job at work: the visitors alone see the limit, and have their answers.
static void hit_limit(void)
{
    static const size_t sizes[] = {16u << 20, 2u << 20, 1u << 20, 64u << 10, 3u << 10};
    course_settle(churn.course);
    (void)atomic_fetch_add(&churn.limit, 1);
    uint32_t taken = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) taken = take_all(taken, sizes[i]);
    fa_handle handle = fa_handle_alloc(churn.course->w, 1u << 20, 0, NULL);
    if (!fa_handle_is_none(handle)) stress_fail("a block was to be had behind a handle, but not from the heap");
    while (taken > 0) fa_heap_free(churn.course->w, churn.hits[--taken]);
    (void)atomic_fetch_add(&churn.limit, 1);
    churn.limits++;
}

static void look_at_backlog(void)
{
    fa_stats stats;
    stress_must(fa_stats_read(churn.fa, &stats));
    atomic_store(&churn.may_put, stats.backlog < BACKLOG_MAX);
}

void churn_between(void)
{
    look_at_backlog();
    for (uint32_t i = 0; i < VISITORS; i++)
        if (stress_one_in(&churn.random, TOKEN_EVERY)) wake(&churn.visitors[i]);
    if (stress_one_in(&churn.random, GROUP_EVERY)) replace_group();
    if (stress_one_in(&churn.random, LIMIT_EVERY)) hit_limit();
}

// From begin to end -----------------------------------------------------------------------------------------------------------

void churn_begin(struct course *course, uint64_t seed, bool planted)
{
    memset(&churn, 0, sizeof churn);
    churn.course = course;
    churn.fa = course->fa;
    churn.planted = planted;
    atomic_store(&churn.may_put, true);
    churn.random = stress_stream(seed, 0);
    stress_must(fa_scratch_create(course->w, "churn", 256u << 10, &churn.scratch));
    for (uint32_t i = 0; i < GROUPS; i++) churn.groups[i] = make_group();
    for (uint32_t i = 0; i < VISITORS; i++) {
        struct visitor *v = &churn.visitors[i];
        v->random = stress_stream(seed, 1 + i);
        if (sem_init(&v->token, 0, 0) != 0) stress_fail("no semaphore: %s", strerror(errno));
        start(v);
    }
}

/// A visitor waits for a token wherever it is: at the door, or parked.
static void send_home(struct visitor *v)
{
    while (!atomic_load(&v->ended)) {
        (void)sem_post(&v->token);
        stress_sleep_us(1000);
    }
    join(v);
    (void)sem_destroy(&v->token);
}

void churn_end(struct churn_counts *out)
{
    fa_worker *w = churn.course->w;
    atomic_store(&churn.stop, true);
    for (uint32_t i = 0; i < VISITORS; i++) send_home(&churn.visitors[i]);
    course_settle(churn.course);
    for (uint32_t i = 0; i < SMALL_SLOTS; i++) give_back(w, atomic_exchange(&churn.small[i], NULL), false);
    for (uint32_t i = 0; i < LARGE_SLOTS; i++) give_back(w, atomic_exchange(&churn.large[i], NULL), true);
    for (uint32_t i = 0; i < HANDLE_SLOTS; i++) free_handle(w, atomic_exchange(&churn.handles[i], 0));
    for (uint32_t i = 0; i < CELLS; i++) stress_must(fa_cell_drop(w, &churn.cells[i]));
    for (uint32_t i = 0; i < GROUPS; i++) stress_must(fa_group_free(w, churn.groups[i]));
    stress_must(fa_scratch_remove(w, churn.scratch));
    *out = (struct churn_counts){
        .traded = churn.traded,
        .cells = churn.put,
        .groups = churn.groups_freed,
        .visits = churn.visits,
        .parked = churn.parked,
        .threads = churn.threads,
        .limits = churn.limits,
        .refused = churn.refused,
    };
}
