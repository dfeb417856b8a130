// SPDX-License-Identifier: MIT
//
// Objects handed from lane to lane: exactly one receiver, nothing lost, and what belongs to whom afterwards.
#include "support.h"

#include <pthread.h>

static fa_transfer send(fa_worker *w, void *p)
{
    fa_transfer ticket;
    EXPECT(p != NULL && fa_transfer_send(w, p, &ticket) == FA_OK);
    EXPECT(ticket.bits != 0);
    return ticket;
}

// One by one ------------------------------------------------------------------------------------------------------------

static const size_t sizes[] = {16, 100, 32768, 200000, 2 * MIB, 5 * MIB};
enum { SIZES = sizeof sizes / sizeof sizes[0] };

typedef struct parcel {
    fa_transfer tickets[2 * SIZES];
    atomic_uint received;
} parcel;

/// The first lane that looks gets each; it checks, and frees.
static void receive_all(fa_worker *w, void *arg)
{
    parcel *all = arg;
    for (size_t i = 0; i < 2 * SIZES; i++) {
        unsigned char *p;
        fa_status status = fa_transfer_receive(w, all->tickets[i], (void **)&p);
        EXPECT(status == FA_OK || (status == FA_ERROR_STALE && p == NULL));
        if (status != FA_OK) continue;
        atomic_fetch_add(&all->received, 1u);
        EXPECT(is_filled(p, sizes[i / 2], i));
        if (i % 2 == 0)
            fa_pool_free(w, p);
        else
            fa_heap_free(w, p);
    }
}

static void each_is_received_once(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    for (int round = 0; round < 20; round++) {
        parcel all = {0};
        begin(fa);
        for (size_t i = 0; i < 2 * SIZES; i++) {
            void *p = i % 2 == 0 ? fa_pool_alloc(w, sizes[i / 2]) : fa_heap_alloc(w, sizes[i / 2], 16);
            fill(p, sizes[i / 2], i);
            all.tickets[i] = send(w, p);
        }
        everyone(fa, receive_all, &all);
        assert_int_equal(atomic_load(&all.received), 2 * SIZES);
        void *p = fa;
        assert_int_equal(fa_transfer_receive(w, all.tickets[0], &p), FA_ERROR_STALE);
        assert_null(p);
        end(fa);
        begin(fa); // what a worker freed in the end's own wait is home now
        end(fa);
        assert_int_equal(stats_of(fa).pool_live, 0);
        assert_int_equal(stats_of(fa).pool_live_bytes, 0);
        assert_int_equal(stats_of(fa).heap_live, 0);
        assert_int_equal(stats_of(fa).heap_live_bytes, 0);
    }
    destroy_quiet(fa, &to);
}

typedef struct relay {
    fa_transfer ticket;
    uint32_t from, to;
    size_t size;
    uint64_t remote_before;
} relay;

static void relay_send(fa_worker *w, void *arg)
{
    relay *one = arg;
    if (w->index == one->from) one->ticket = send(w, fa_heap_alloc(w, one->size, 16));
}

static void relay_receive(fa_worker *w, void *arg)
{
    relay *one = arg;
    if (w->index != one->to) return;
    void *p;
    EXPECT(fa_transfer_receive(w, one->ticket, &p) == FA_OK);
    fa_heap_free(w, p);
}

/// A free on the owning lane is no remote free: what has blocks of its own changed its owner, other objects did not.
static void whole_blocks_change_their_owner(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    for (size_t i = 0; i < SIZES; i++) {
        relay one = {.from = at->workers, .to = 0, .size = sizes[i]};
        for (int way = 0; way < 2; way++) {
            uint64_t before = stats_of(fa).remote_frees;
            begin(fa);
            everyone(fa, relay_send, &one);
            everyone(fa, relay_receive, &one);
            end(fa);
            begin(fa);
            end(fa);
            assert_int_equal(stats_of(fa).remote_frees - before, sizes[i] > 2 * MIB ? 0 : 1);
            assert_int_equal(stats_of(fa).heap_live, 0);
            assert_int_equal(stats_of(fa).heap_live_bytes, 0);
            one.from = 0;
            one.to = at->workers;
        }
    }
    destroy_quiet(fa, &to);
}

static void nothing_is_lost_when_nobody_receives(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    fa_transfer back = send(w, fa_pool_alloc(w, 100));
    (void)send(w, fa_pool_alloc(w, 200));
    begin(fa);
    end(fa);
    assert_int_equal(stats_of(fa).pool_live, 2);
    void *p;
    assert_int_equal(fa_transfer_receive(w, back, &p), FA_OK); // the sender takes it back
    fa_pool_free(w, p);
    assert_int_equal(fa_destroy(fa), FA_OK);
    assert_reported(&to, 910, 1);
    assert_non_null(strstr(to.message, "1 pool objects"));
}

// Limits and bad input --------------------------------------------------------------------------------------------------

static void the_table_is_bounded(const test_case *at)
{
    enum { MOST = 5 };
    sink to;
    fa_config config = case_config(at, &to);
    config.transfers_max = MOST;
    fa_system *fa = create(&config);
    fa_worker *w = fa_self(fa);
    fa_transfer tickets[MOST], more;
    void *extra = fa_pool_alloc(w, 64), *p;
    fill(extra, 64, 1);
    for (int round = 0; round < 100; round++) {
        for (int i = 0; i < MOST; i++) tickets[i] = send(w, fa_pool_alloc(w, 32));
        memset(&more, 0xff, sizeof more);
        assert_int_equal(fa_transfer_send(w, extra, &more), FA_ERROR_FULL);
        assert_int_equal(more.bits, 0);
        assert_true(is_filled(extra, 64, 1)); // still ours
        for (int i = 0; i < MOST; i++) {
            assert_int_equal(fa_transfer_receive(w, tickets[(i + round) % MOST], &p), FA_OK);
            fa_pool_free(w, p);
        }
        for (int i = 0; i < MOST; i++) assert_int_equal(fa_transfer_receive(w, tickets[i], &p), FA_ERROR_STALE);
    }
    fa_pool_free(w, extra);
    destroy_quiet(fa, &to);
    config.transfers_max = 0;
    fa = create(&config);
    p = fa_pool_alloc(fa_self(fa), 10);
    assert_int_equal(fa_transfer_send(fa_self(fa), p, &more), FA_ERROR_FULL);
    fa_pool_free(fa_self(fa), p);
    destroy_quiet(fa, &to);
    config.transfers_max = 65536;
    fa = NULL;
    assert_int_equal(fa_create(&config, &fa), FA_ERROR_INVALID);
    assert_reported(&to, 907, 1);
}

static void an_old_ticket_never_fits_again(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    config.transfers_max = 1; // one slot, used again and again
    fa_system *fa = create(&config);
    fa_worker *w = fa_self(fa);
    fa_transfer old = {0};
    void *p = fa_pool_alloc(w, 64), *got;
    for (int round = 0; round < 1000; round++) {
        fa_transfer ticket = send(w, p);
        assert_true(ticket.bits != old.bits);
        assert_int_equal(fa_transfer_receive(w, old, &got), FA_ERROR_STALE);
        assert_int_equal(fa_transfer_receive(w, ticket, &got), FA_OK);
        assert_ptr_equal(got, p);
        old = ticket;
    }
    assert_int_equal(sink_count(&to, 401), at->checked ? 1 : 0); // {0}; the others are only late
    forget_reports(&to, 401);
    fa_pool_free(w, p);
    destroy_quiet(fa, &to);
}

static void refused(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    fa_transfer ticket;
    void *p = fa_pool_alloc(w, 100), *got;
    int local = 0;
    assert_int_equal(fa_transfer_send(NULL, p, &ticket), FA_ERROR_INVALID);
    assert_int_equal(fa_transfer_send(w, NULL, &ticket), FA_ERROR_INVALID);
    assert_int_equal(fa_transfer_send(w, p, NULL), FA_ERROR_INVALID);
    assert_int_equal(fa_transfer_send(w, &local, &ticket), FA_ERROR_INVALID);
    assert_int_equal(fa_transfer_send(w, (char *)p + 16, &ticket), FA_ERROR_INVALID);
    begin(fa);
    assert_int_equal(fa_transfer_send(w, fa_frame_alloc(w, 100), &ticket), FA_ERROR_INVALID);
    assert_int_equal(fa_transfer_send(w, fa_frame_alloc(w, MIB), &ticket), FA_ERROR_INVALID);
    assert_int_equal(ticket.bits, 0);
    end(fa);
    assert_int_equal(fa_transfer_receive(w, (fa_transfer){0}, &got), FA_ERROR_STALE);
    assert_int_equal(fa_transfer_receive(w, (fa_transfer){1}, &got), FA_ERROR_STALE);
    assert_int_equal(fa_transfer_receive(w, (fa_transfer){UINT64_MAX}, &got), FA_ERROR_STALE);
    assert_reported(&to, 401, at->checked ? 3 : 0);
    ticket = send(w, p);
    assert_int_equal(fa_transfer_receive(NULL, ticket, &got), FA_ERROR_INVALID);
    assert_null(got);
    assert_int_equal(fa_transfer_receive(w, ticket, NULL), FA_ERROR_INVALID);
    fa_transfer wrong = {ticket.bits + ((uint64_t)1 << 16)};
    assert_int_equal(fa_transfer_receive(w, wrong, &got), FA_ERROR_STALE);
    assert_reported(&to, 401, at->checked);
    fa_system *other = create_case(at, &to); // a ticket of one system is none of another
    assert_int_equal(fa_transfer_receive(fa_self(other), ticket, &got), FA_ERROR_STALE);
    assert_reported(&to, 401, at->checked);
    assert_int_equal(fa_transfer_send(fa_self(other), p, &wrong), FA_ERROR_INVALID);
    destroy_quiet(other, &to);
    assert_int_equal(fa_transfer_receive(w, ticket, &got), FA_OK);
    assert_ptr_equal(got, p);
    fa_pool_free(w, p);
    if (at->checked) {
        assert_quiet(&to);
        assert_int_equal(fa_transfer_send(w, p, &ticket), FA_ERROR_INVALID);
        assert_reported(&to, 201, 1);
    }
    destroy_quiet(fa, &to);
}

// All at once -----------------------------------------------------------------------------------------------------------

enum { BOARD = 64 };

typedef struct board {
    atomic_ullong tickets[BOARD]; // 0: none; anybody may copy one, so that several present the same
    atomic_ullong sent, received;
} board;

static void barter(fa_worker *w, uint64_t first, uint64_t last, void *arg)
{
    board *all = arg;
    rng from = {first * 7919 + 1};
    for (uint64_t i = first; i < last; i++) {
        atomic_ullong *place = &all->tickets[rng_below(&from, BOARD)];
        fa_transfer ticket = {atomic_load(place)};
        void *got;
        if (ticket.bits != 0 && fa_transfer_receive(w, ticket, &got) == FA_OK) {
            size_t size = *(size_t *)got;
            EXPECT(is_filled((size_t *)got + 1, size - sizeof(size_t), size));
            atomic_fetch_add(&all->received, 1u);
            fa_pool_free(w, got);
        }
        size_t size = 16 + 8 * rng_below(&from, 60);
        size_t *p = fa_pool_alloc(w, size);
        EXPECT(p != NULL);
        if (p == NULL) continue;
        *p = size;
        fill(p + 1, size - sizeof(size_t), size);
        if (fa_transfer_send(w, p, &ticket) == FA_OK) {
            atomic_fetch_add(&all->sent, 1u);
            fa_transfer before = {atomic_exchange(place, ticket.bits)};
            if (before.bits != 0 && fa_transfer_receive(w, before, &got) == FA_OK) {
                atomic_fetch_add(&all->received, 1u);
                fa_pool_free(w, got);
            }
        } else {
            fa_pool_free(w, p);
        }
    }
}

static void everybody_sends_and_receives(const test_case *at)
{
    static board all;
    memset(&all, 0, sizeof all);
    sink to;
    fa_config config = case_config(at, &to);
    config.transfers_max = BOARD + 8;
    fa_system *fa = create(&config);
    for (int tick = 0; tick < ROUNDS(20); tick++) {
        begin(fa);
        assert_int_equal(fa_parallel_for(fa_self(fa), 0, 4000, 50, barter, &all), FA_OK);
        end(fa);
    }
    for (int i = 0; i < BOARD; i++) {
        void *got;
        fa_transfer ticket = {atomic_load(&all.tickets[i])};
        if (fa_transfer_receive(fa_self(fa), ticket, &got) != FA_OK) continue;
        atomic_fetch_add(&all.received, 1u);
        fa_pool_free(fa_self(fa), got);
    }
    assert_int_equal(atomic_load(&all.sent), atomic_load(&all.received));
    assert_true(atomic_load(&all.sent) > 100);
    begin(fa);
    end(fa);
    assert_int_equal(stats_of(fa).pool_live, 0);
    destroy_quiet(fa, &to);
}

int main(int argc, char **argv)
{
    static const test_entry entries[] = {
        EACH_OF(each_is_received_once, COUNTED("0124"), "ny"),
        EACH_OF(whole_blocks_change_their_owner, COUNTED("124"), "ny"),
        EACH_OF(nothing_is_lost_when_nobody_receives, COUNTED("0124"), "ny"),
        EACH_OF(the_table_is_bounded, "02", "ny"),
        EACH_OF(an_old_ticket_never_fits_again, "02", "ny"),
        EACH_OF(refused, "02", "ny"),
        EACH_OF(everybody_sends_and_receives, COUNTED("0124"), "ny"),
    };
    return RUN_MATRIX("transfer", entries, argc, argv);
}
