// SPDX-License-Identifier: MIT
//
// Parallel loops. One object on the caller's stack counts the items that are handed out; pieces are a share of what is
// left (guided self-scheduling, Polychronopoulos and Kuck 1987), but no more than should take 20 µs. Each lane goes by
// how long its last piece took, so that the dear items of a loop do not lie in one piece. The caller submits one ticket
// per lane that may help, as ordinary jobs of the loop's counter, and works itself; a ticket that runs works until
// nothing is left. Tickets that nobody took by then are taken back.
//
//     [first, first + next) handed out, each item to one piece; the loop returns when the counter is zero
//
// A loop without a grain measures: the caller runs a few items against the clock. When the rest is not worth waking
// anybody, the caller does it alone, in one piece.
//
// Where pieces begin must not show: order keys are those of the items (order_key.h), and the loop takes one child
// number of the caller's job whatever happens.
#include "jobs/counter.h"
#include "jobs/inherit.h"
#include "jobs/submit.h"
#include "jobs/wait.h"

#include "concurrent/clock.h"

// Work that the caller measures before it believes what it sees; three clock reads of 20 ns are 3 % of it. A rest of
// twice as much is not measured any more.
#define PROBE_NS 2000u
// A piece of these has at most so many times the items of the last one: a clock may be coarse, and what follows dearer.
#define PROBE_GROWTH 64u
// By the first item alone the next piece has at most such a part of what is left: it may be the one with nothing to do.
#define PROBE_FIRST 8u
// A loop with less left runs on the caller alone: waking a lane costs 2 µs of the caller and 5 to 50 µs until it works.
#define ALONE_NS 10000u
// A piece as small as this costs 2 % for its claim, a line that moves between lanes, and a reading of the clock.
#define PIECE_NS 5000u
// A piece has at most the items of so many such, 20 µs: half a per cent, and all lanes end within that if the pace is
// right.
#define PIECE_MOST 4u

typedef struct loop {
    // immutable while tickets are out
    fa_range_fn *fn;
    void *arg;
    uint64_t first, count;
    uint64_t grain; // a piece has at least as many items; 0: as take PIECE_NS
    uint32_t participants;
    const char *name; // of the caller's job
    fai_order order;
    // shared
    FAI_OWN_LINE fa_counter counter; // tickets
    FAI_OWN_LINE FAI_ATOMIC(uint64_t) next;
    FAI_ATOMIC(uint64_t) pace; // items that take PIECE_NS, by any lane's last piece: what one that joins begins with
} loop;

static void run_piece(fai_worker *w, const loop *l, uint64_t from, uint64_t to)
{
    FA_ASSERT(from < to && to <= l->count);
    fai_order order = fai_order_piece(&l->order, from, l->count);
    fai_job job = {.high = order.high, .low = order.low};
    job.meta = fai_job_meta(w->lane.slot, order.bits, 0, fai_lane_label(&w->lane), w->run);
    fai_context context;
    fai_context_begin(w, &context, &job, l->name);
    context.order.piece = order.piece;
    uint64_t first = l->first + from, last = l->first + to;
    fai_zone zone = fai_zone_begin(&w->lane, FA_EVENT_LOOP_BEGIN, l->name, first, last);
    l->fn(&w->lane.hot, first, last, l->arg);
    fai_zone_end(&w->lane, &zone, l->name, first, last);
    fai_context_end(w, &context);
}

/// How many items take `ns`, at least one, if one takes item_ns.
static uint64_t items_in(uint32_t ns, double item_ns)
{
    double items = ns / item_ns;
    if (items < 1) return 1;
    return items < 0x1p60 ? (uint64_t)items : UINT64_C(1) << 60;
}

static uint64_t piece_size(const loop *l, uint64_t left, uint64_t pace)
{
    FA_ASSERT(left > 0 && pace > 0);
    uint64_t least = l->grain != 0 ? l->grain : pace, size = left / (2 * l->participants);
    if (size / PIECE_MOST >= pace) size = pace * PIECE_MOST;
    if (size < least) size = least;
    return size < left ? size : left;
}

static bool claim_piece(fai_worker *w, loop *l, uint64_t pace, uint64_t *from, uint64_t *to)
{
    *from = fai_load_relaxed(&l->next);
    do {
        if (*from >= l->count) return false;
        *to = *from + piece_size(l, l->count - *from, pace);
        FAI_COUNT(&w->lane.contention, chunk_claims, 1);
    } while (!fai_cas_relaxed(&l->next, from, *to));
    return true;
}

static void work(fai_worker *w, loop *l)
{
    uint64_t pace = fai_load_relaxed(&l->pace), last = fai_now_ns(), from, to;
    while (claim_piece(w, l, pace, &from, &to)) {
        run_piece(w, l, from, to);
        if (to == l->count) return;
        uint64_t now = fai_now_ns();
        pace = items_in(PIECE_NS, (double)(now - last + 1) / (double)(to - from));
        fai_store_relaxed(&l->pace, pace);
        last = now;
    }
}

static void run_ticket(fa_worker *worker, void *arg)
{
    work(fai_worker_of(worker), arg);
}

/// Runs items until it is known that the rest is worth sharing, and sets the pace; false: it never was, all are done. An item costs what
/// it cost in the last piece, the largest: with the claim and the clock of small ones it would seem dear.
static bool measure(fai_worker *w, loop *l)
{
    uint64_t begun = fai_now_ns(), last = begun, done = 0, size = 1;
    for (;;) {
        run_piece(w, l, done, done + size);
        done += size;
        uint64_t left = l->count - done;
        if (left == 0) return false;
        uint64_t now = fai_now_ns();
        double item_ns = (double)(now - last + 1) / (double)size;
        bool known = now - begun >= PROBE_NS;
        if (known && left > items_in(ALONE_NS, item_ns)) {
            fai_store_relaxed(&l->pace, items_in(PIECE_NS, item_ns));
            fai_store_relaxed(&l->next, done);
            return true;
        }
        uint64_t next = items_in(PROBE_NS, item_ns);
        if (known || left / 2 <= next) next = left;
        if (done == 1 && next > left / PROBE_FIRST) next = left / PROBE_FIRST + 1;
        size = next / PROBE_GROWTH < size ? next : size * PROBE_GROWTH;
        last = now;
    }
}

/// Tickets for the pieces that are left but one; returns how many were queued.
static uint32_t submit_tickets(fai_worker *w, loop *l)
{
    uint64_t left = l->count - fai_load_relaxed(&l->next), helpers = (left - 1) / fai_load_relaxed(&l->pace);
    uint32_t workers = fai_worker_system(w)->worker_count;
    if (helpers > workers) helpers = workers;
    l->participants = (uint32_t)helpers + 1;
    fai_job ticket = {.fn = run_ticket, .counter = &l->counter, .high = l->order.high, .low = l->order.low};
    ticket.args[0] = (uintptr_t)l;
    ticket.args[2] = (uintptr_t)l->name;
    ticket.meta = fai_job_meta(w->lane.slot, l->order.bits, l->name != NULL ? FAI_JOB_NAMED : 0,
                               fai_lane_label(&w->lane), w->run);
    uint32_t queued = 0;
    while (queued < helpers && fai_submit_push(w, &ticket)) queued++;
    FA_ASSERT(l->participants >= 1);
    if (queued == 0) return 0;
    l->counter.state = queued;
    fai_submit_publish(w, &l->counter);
    return queued;
}

/// Takes back tickets that nobody took and that nothing covers.
static void take_back_tickets(fai_worker *w, loop *l, uint32_t queued)
{
    uint32_t taken = 0;
    while (taken < queued) {
        int64_t newest = w->deque.head - 1;
        fai_job job;
        if (newest < fai_deque_top_owner(&w->deque) || fai_deque_at(&w->deque, newest)->counter != &l->counter) break;
        if (!fai_deque_take_out_owner(&w->deque, newest, &job)) break;
        taken++;
    }
    FA_ASSERT(fai_load_relaxed(&l->next) >= l->count);
    w->unpublished += taken;
    if (taken == queued)
        l->counter.state = 0; // nobody else has ever seen it
    else if (taken > 0)
        fai_counter_complete(w, &l->counter, taken);
}

fa_status fa_parallel_for(fa_worker *worker, uint64_t first, uint64_t last, uint64_t grain, fa_range_fn *fn, void *arg)
{
    if (worker == NULL || fn == NULL) return FA_ERROR_INVALID;
    if (first >= last) return FA_OK;
    fai_worker *w = fai_worker_of(worker);
    fa_status status = fai_submit_gate(w, NULL);
    if (status != FA_OK) return status;
    loop l = {.fn = fn, .arg = arg, .first = first, .count = last - first, .grain = grain, .pace = grain};
    fai_heir_range range;
    if (FA_UNLIKELY(w->lane.gate == FAI_NO_SLOT)) fai_inherit_range(w, &range, &l.fn, &l.arg);
    l.name = fa_job_name(worker);
    uint32_t bits;
    fai_order_child(w->lane.order, &l.order.high, &l.order.low, &bits);
    l.order.bits = (uint16_t)bits;
    if (grain >= l.count || fai_worker_system(w)->worker_count == 0) {
        run_piece(w, &l, 0, l.count);
        return FA_OK;
    }
    if (grain == 0 && !measure(w, &l)) return FA_OK;
    uint32_t queued = submit_tickets(w, &l);
    work(w, &l);
    if (queued == 0) return FA_OK;
    take_back_tickets(w, &l, queued);
    if (!fa_is_done(&l.counter))
        fai_wait_for_own(w, &l.counter);
    else
        fai_worker_publish_holder(w);
    return FA_OK;
}
