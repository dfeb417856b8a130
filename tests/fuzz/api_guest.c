// SPDX-License-Identifier: MIT
//
// A second thread, attached to the system: the guest. It runs only while the main thread hands it the turn and waits, so that a run stays a
// function of its input; but it allocates on its own lane, frees what others made, holds frames, and is a reader that a grace period waits for.
#include "api.h"

#include <pthread.h>
#include <semaphore.h>

static struct {
    bool runs; // the thread, until the process ends
    sem_t go, done;
    void (*turn)(void);
    fa_worker *w; // NULL: not attached
    bool idle;
    bool settled;            // nothing is on its way to or from its lane
    bool is_owed;            // the main lane has something for it, and hands it over at the boundary
    bool unsettled_for_long; // it may have at any time
    uint8_t how;
} g = {.settled = true};

static void *guest_main(void *unused)
{
    (void)unused;
    for (;;) {
        while (sem_wait(&g.go) != 0) continue;
        g.turn();
        FUZZ_CHECK(sem_post(&g.done) == 0);
    }
    return NULL;
}

/// Hands the guest the turn.
static void hand_over(void (*turn)(void))
{
    if (!g.runs) {
        pthread_t thread;
        FUZZ_CHECK(sem_init(&g.go, 0, 0) == 0 && sem_init(&g.done, 0, 0) == 0);
        FUZZ_CHECK(pthread_create(&thread, NULL, guest_main, NULL) == 0 && pthread_detach(thread) == 0);
        g.runs = true;
    }
    g.turn = turn;
    FUZZ_CHECK(sem_post(&g.go) == 0);
    while (sem_wait(&g.done) != 0) continue;
}

void guest_meets(const struct object *object, bool later)
{
    if (!object->apart) return;
    g.settled = false;
    g.is_owed = true;
    g.unsettled_for_long |= later;
}

bool guest_is_there(void)
{
    return g.w != NULL;
}

bool guest_is_settled(void)
{
    return g.w == NULL || g.settled; // the boundary looks after lanes that nobody is on
}

void guest_boundary(bool nothing_waits)
{
    g.is_owed = false;
    if (g.w != NULL) return;
    g.unsettled_for_long &= !nothing_waits;
    g.settled = !g.unsettled_for_long;
}

static bool is_holding(void)
{
    return api.holds[0].bits != 0;
}

// --- Turns ------------------------------------------------------------------------------------------------------------

static void attach(void)
{
    fa_worker *w = NULL;
    fa_status status = fa_attach(api.fa, &w);
    FUZZ_CHECK(status == (g.w == NULL ? FA_OK : FA_ERROR_STATE));
    if (status == FA_OK) g.w = w;
    FUZZ_CHECK(fa_self(api.fa) == g.w && g.w != api.w && g.w->index == 1);
}

static void detach(void)
{
    fa_status status = fa_detach(g.w);
    FUZZ_CHECK(status == (is_holding() || g.idle ? FA_ERROR_STATE : FA_OK));
    if (status != FA_OK) return;
    FUZZ_CHECK(fa_self(api.fa) == NULL);
    g.w = NULL;
}

static void allocate(void)
{
    size_t size = take_size();
    if (!has_room(size)) return;
    bool pool = g.how & 64;
    struct object *object = pool ? admit(POOL, fa_pool_alloc(g.w, size), size, 16)
                                 : admit(HEAP, fa_heap_alloc(g.w, size, 64), size, 64);
    if (object != NULL) object->apart = true;
    g.settled = false;
}

static void release(void)
{
    struct object *object = pick(POOL, HEAP);
    if (object == NULL) return;
    enum kind kind = object->kind;
    forget(object);
    (kind == POOL ? fa_pool_free : fa_heap_free)(g.w, object->at);
    g.settled = false;
}

static void read_cells(void)
{
    for (int i = 0; i < OBJECTS; i++) {
        const struct object *object = &api.objects[i];
        if (object->kind != IN_CELL || api.early_before > api.listed) continue;
        FUZZ_CHECK(fa_cell_read(g.w, &api.cells[object->owner]) == object->at);
        check_object(object);
    }
}

static void receive(void)
{
    struct object *object = pick(IN_TRANSIT, IN_TRANSIT);
    if (object == NULL) return;
    void *p = NULL;
    FUZZ_CHECK(fa_transfer_receive(g.w, object->ticket, &p) == FA_OK && p == object->at);
    object->kind = (enum kind)object->owner;
    object->apart = true;
    check_object(object);
    g.settled = false;
}

static void pass(void)
{
    FUZZ_CHECK(fa_quiescent(g.w) == FA_OK);
    g.settled = !g.unsettled_for_long && !g.is_owed;
}

static void idle(void)
{
    FUZZ_CHECK((g.idle ? fa_idle_end : fa_idle_begin)(g.w) == FA_OK);
    g.idle = !g.idle;
}

static void hold(void)
{
    bool may = api.in_frame && !is_holding();
    fa_frame taken;
    FUZZ_CHECK(fa_frame_hold(g.w, &taken) == (may ? FA_OK : FA_ERROR_STATE));
    if (may) api.holds[0] = taken;
}

static void drop_hold(void)
{
    FUZZ_CHECK(fa_frame_drop(api.fa, api.holds[0]) == FA_OK);
    api.holds[0] = (fa_frame){0};
}

static void allocate_frame(void)
{
    size_t size = take_size();
    if (!has_room(size)) return;
    struct object *object = admit(FRAME, fa_frame_alloc(g.w, size), size, 16);
    if (object == NULL) return;
    object->frame = api.holds[0].bits >> 8;
    object->apart = true;
}

static void set_flag(fa_worker *w, void *arg)
{
    FUZZ_CHECK(w == g.w && fa_self(api.fa) == w);
    api.ran++;
    *(bool *)arg = true;
}

static void submit(void)
{
    bool ran = false;
    fa_counter counter = FA_COUNTER_INIT;
    FUZZ_CHECK(fa_submit_counted(g.w, &counter, set_flag, &ran) == FA_OK);
    FUZZ_CHECK(fa_wait(g.w, &counter) == FA_OK && ran);
}

// --- Operations -------------------------------------------------------------------------------------------------------

void guest_attach(void)
{
    if (g.idle) return;
    hand_over(attach);
}

void guest_detach(void)
{
    if (g.w != NULL) hand_over(detach);
}

void guest_use(void)
{
    static void (*const turns[])(void) = {allocate, release, read_cells, receive, pass, idle, allocate, release};
    g.how = take();
    if (g.w == NULL || (g.idle && turns[g.how % 8] != idle)) return;
    hand_over(turns[g.how % 8]);
}

void guest_hold(void)
{
    static void (*const turns[])(void) = {allocate_frame, submit, drop_hold, hold};
    g.how = take();
    if (g.w == NULL || g.idle) return;
    if (is_holding() && g.how & 32) { // its hold is its own
        if (api.checked) permit(201);
        FUZZ_CHECK(fa_frame_drop(api.fa, api.holds[0]) == FA_ERROR_WRONG_THREAD);
    }
    hand_over(is_holding() ? turns[g.how % 4] : hold);
}

void guest_end(void)
{
    if (g.idle) hand_over(idle);
    if (is_holding()) hand_over(drop_hold);
    if (g.w != NULL) hand_over(detach);
    g.settled = true; // for the next run
    g.unsettled_for_long = g.is_owed = false;
}
