// SPDX-License-Identifier: MIT
//
// Streams: reserved against a budget, loaded in steps, read when ready, evicted by priority and use; and that nobody ever reads what has
// gone, nothing is evicted in vain, and every account comes back to 0.
#include "alloc/stream.h"
#include "support.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>

enum { MANY = 200 };

static fa_config stream_config(const test_case *at, sink *to, uint64_t budget)
{
    fa_config config = case_config(at, to);
    config.stream_bytes_max = budget;
    config.streams_max = 1024;
    return config;
}

static fa_system *create_streams(const test_case *at, sink *to, uint64_t budget)
{
    fa_config config = stream_config(at, to, budget);
    return create(&config);
}

static fa_stream_stats streams_of(const fa_system *fa)
{
    fa_stream_stats stats;
    assert_int_equal(fa_stream_stats_read(fa, &stats), FA_OK);
    return stats;
}

static void write_payload(void *memory, size_t size, uint64_t key)
{
    fill(memory, size, key);
    memcpy(memory, &key, sizeof key);
}

static bool is_payload(const void *data, size_t size)
{
    const unsigned char *bytes = data;
    uint64_t key;
    memcpy(&key, data, sizeof key);
    for (size_t i = sizeof key; i < size; i++) {
        if (size > 8 * KIB && i == 4 * KIB) i = size - 4 * KIB;
        if (bytes[i] != (unsigned char)(key * 167 + 13)) return false;
    }
    return true;
}

static fa_stream reserve_with(fa_worker *w, size_t size, fa_stream_priority priority, const fa_stream_options *options)
{
    fa_stream stream;
    assert_int_equal(fa_stream_reserve(w, size, priority, options, &stream), FA_OK);
    assert_true(stream.bits != 0);
    return stream;
}

static fa_stream reserve(fa_worker *w, size_t size, fa_stream_priority priority)
{
    return reserve_with(w, size, priority, NULL);
}

static void load(fa_worker *w, fa_stream stream, size_t size, uint64_t key)
{
    void *memory;
    assert_int_equal(fa_stream_load_begin(w, stream, &memory), FA_OK);
    write_payload(memory, size, key);
    assert_int_equal(fa_stream_load_end(w, stream), FA_OK);
}

static fa_stream make_ready(fa_worker *w, size_t size, fa_stream_priority priority)
{
    fa_stream stream = reserve(w, size, priority);
    load(w, stream, size, stream.bits);
    return stream;
}

static void assert_refused(fa_worker *w, size_t size, fa_stream_priority priority, fa_status status)
{
    fa_stream stream = {1};
    assert_int_equal(fa_stream_reserve(w, size, priority, NULL, &stream), status);
    assert_int_equal(stream.bits, 0);
}

/// Frames until all memory of evicted and freed streams has gone home.
static void reclaim_all(fa_system *fa)
{
    for (double give_up = seconds_now() + 20; streams_of(fa).leaving > 0;) {
        assert_true(seconds_now() < give_up);
        begin(fa);
        end(fa);
        sched_yield();
    }
    assert_int_equal(streams_of(fa).leaving_bytes, 0);
}

/// Nothing is reserved, loaded or on its way, here and in the statistics of the boundary.
static void assert_no_streams(fa_system *fa)
{
    reclaim_all(fa);
    fa_stream_stats now = streams_of(fa);
    assert_int_equal(now.streams, 0);
    assert_int_equal(now.reserved_bytes, 0);
    assert_int_equal(now.loaded_bytes, 0);
    assert_int_equal(now.loading_bytes, 0);
    assert_int_equal(now.loading_loaded, 0);
    assert_int_equal(now.reserved + now.loading + now.ready + now.evicting, 0);
    assert_true(now.utilisation == 0.0 && now.loading_percent == 100.0);
    begin(fa);
    end(fa);
    fa_stats stats = stats_of(fa);
    assert_int_equal(stats.streams, 0);
    assert_int_equal(stats.stream_reserved_bytes, 0);
    assert_int_equal(stats.stream_loaded_bytes, 0);
    assert_int_equal(stats.stream_leaving_bytes, 0);
}

// States ----------------------------------------------------------------------------------------------------------------

static void from_reserve_to_gone(const test_case *at)
{
    sink to;
    fa_system *fa = create_streams(at, &to, MIB);
    fa_worker *w = fa_self(fa);
    const size_t size = 100000;
    size_t seen = 0;
    const void *data;
    void *memory, *again;
    fa_stream stream = reserve(w, size, FA_STREAM_NORMAL);
    assert_int_equal(fa_stream_state_of(fa, stream), FA_STREAM_RESERVED);
    assert_null(fa_stream_read(w, stream, &seen));
    assert_int_equal(fa_stream_pin(w, stream, &data, &seen), FA_ERROR_STATE);
    assert_null(data);
    assert_int_equal(fa_stream_progress(w, stream, 1), FA_ERROR_STATE);
    assert_int_equal(fa_stream_load_end(w, stream), FA_ERROR_STATE);
    assert_int_equal(fa_stream_load_abort(w, stream), FA_ERROR_STATE);
    assert_int_equal(streams_of(fa).reserved, 1);
    assert_int_equal(fa_stream_load_begin(w, stream, &memory), FA_OK);
    assert_non_null(memory);
    assert_int_equal((uintptr_t)memory % 16, 0);
    assert_int_equal(fa_stream_state_of(fa, stream), FA_STREAM_LOADING);
    assert_null(fa_stream_read(w, stream, NULL)); // nothing is read before it is ready
    assert_int_equal(fa_stream_pin(w, stream, &data, NULL), FA_ERROR_STATE);
    assert_int_equal(fa_stream_unpin(w, stream), FA_ERROR_STATE);
    write_payload(memory, size, 7);
    assert_int_equal(fa_stream_load_begin(w, stream, &again), FA_OK); // the next step
    assert_ptr_equal(again, memory);
    assert_int_equal(fa_stream_load_end(w, stream), FA_OK);
    assert_int_equal(fa_stream_state_of(fa, stream), FA_STREAM_READY);
    assert_int_equal(fa_stream_loaded(fa, stream), size);
    assert_ptr_equal(fa_stream_read(w, stream, &seen), memory);
    assert_int_equal(seen, size);
    seen = 0;
    assert_int_equal(fa_stream_pin(w, stream, &data, &seen), FA_OK);
    assert_ptr_equal(data, memory);
    assert_int_equal(seen, size);
    assert_true(is_payload(data, size));
    assert_int_equal(fa_stream_unpin(w, stream), FA_OK);
    assert_int_equal(fa_stream_unpin(w, stream), FA_ERROR_STATE);
    assert_int_equal(fa_stream_load_begin(w, stream, &again), FA_ERROR_STATE);
    assert_null(again);
    assert_int_equal(fa_stream_load_end(w, stream), FA_ERROR_STATE);
    assert_int_equal(fa_stream_progress(w, stream, 5), FA_ERROR_STATE);
    assert_int_equal(fa_stream_free(w, stream), FA_OK);
    assert_int_equal(fa_stream_state_of(fa, stream), FA_STREAM_NONE);
    assert_int_equal(streams_of(fa).leaving_bytes, size); // a reader may still be at it
    assert_no_streams(fa);
    destroy_quiet(fa, &to);
}

static void progress_is_absolute_and_clamped(const test_case *at)
{
    sink to;
    fa_system *fa = create_streams(at, &to, MIB);
    fa_worker *w = fa_self(fa);
    void *memory;
    fa_stream a = reserve(w, 1000, FA_STREAM_NORMAL), b = reserve(w, 3000, FA_STREAM_NORMAL);
    assert_true(streams_of(fa).loading_percent == 100.0); // nothing is being loaded
    assert_int_equal(fa_stream_load_begin(w, a, &memory), FA_OK);
    assert_true(streams_of(fa).loading_percent == 0.0);
    assert_int_equal(fa_stream_progress(w, a, 400), FA_OK);
    assert_int_equal(fa_stream_loaded(fa, a), 400);
    assert_int_equal(fa_stream_progress(w, a, 400), FA_OK); // absolute: not added
    assert_int_equal(fa_stream_loaded(fa, a), 400);
    assert_int_equal(fa_stream_progress(w, a, 100), FA_OK); // never backwards
    assert_int_equal(fa_stream_loaded(fa, a), 400);
    assert_true(streams_of(fa).loading_percent == 40.0);
    assert_int_equal(fa_stream_load_begin(w, b, &memory), FA_OK);
    fa_stream_stats stats = streams_of(fa);
    assert_int_equal(stats.loading, 2);
    assert_int_equal(stats.loading_bytes, 4000);
    assert_int_equal(stats.loading_loaded, 400);
    assert_true(stats.loading_percent == 10.0);
    assert_int_equal(fa_stream_progress(w, a, SIZE_MAX), FA_OK); // cut at the size
    assert_int_equal(fa_stream_loaded(fa, a), 1000);
    assert_int_equal(fa_stream_state_of(fa, a), FA_STREAM_LOADING); // all is there, but nobody said so
    assert_int_equal(fa_stream_load_end(w, a), FA_OK);
    stats = streams_of(fa);
    assert_int_equal(stats.loaded_bytes, 1000);
    assert_int_equal(stats.loading_loaded, 0);
    assert_int_equal(fa_stream_progress(w, b, 600), FA_OK);
    assert_int_equal(streams_of(fa).loaded_bytes, 1600);
    assert_true(streams_of(fa).loading_percent == 20.0);
    assert_int_equal(fa_stream_load_end(w, b), FA_OK); // without having reported all
    assert_int_equal(fa_stream_loaded(fa, b), 3000);
    assert_int_equal(streams_of(fa).loaded_bytes, 4000);
    assert_true(streams_of(fa).loading_percent == 100.0);
    assert_int_equal(fa_stream_free(w, a), FA_OK);
    assert_int_equal(fa_stream_free(w, b), FA_OK);
    assert_int_equal(fa_stream_loaded(fa, a), 0);
    assert_no_streams(fa);
    destroy_quiet(fa, &to);
}

static void bad_input_changes_nothing(const test_case *at)
{
    sink to;
    fa_system *fa = create_streams(at, &to, MIB);
    fa_worker *w = fa_self(fa);
    const void *data;
    void *memory;
    fa_stream stream;
    assert_int_equal(fa_stream_reserve(w, 16, FA_STREAM_LOW, NULL, NULL), FA_ERROR_INVALID);
    assert_refused(NULL, 16, FA_STREAM_LOW, FA_ERROR_INVALID);
    assert_refused(w, 0, FA_STREAM_LOW, FA_ERROR_INVALID);
    assert_refused(w, 16, (fa_stream_priority)4, FA_ERROR_INVALID);
    assert_refused(w, 16, (fa_stream_priority)-1, FA_ERROR_INVALID);
    for (size_t align = 3; align < 100; align += 3) {
        fa_stream_options options = {.align = align};
        if ((align & (align - 1)) == 0) continue;
        assert_int_equal(fa_stream_reserve(w, 16, FA_STREAM_LOW, &options, &stream), FA_ERROR_INVALID);
        assert_reported(&to, 903, 1);
    }
    fa_stream good = make_ready(w, 100, FA_STREAM_NORMAL);
    fa_stream never[] = {{0}, {1}, {good.bits & UINT32_MAX}, {good.bits + 1}, {good.bits + 5000}, {UINT64_MAX}};
    for (size_t i = 0; i < sizeof never / sizeof never[0]; i++) {
        assert_int_equal(fa_stream_load_begin(w, never[i], &memory), FA_ERROR_INVALID);
        assert_null(memory);
        assert_int_equal(fa_stream_progress(w, never[i], 1), FA_ERROR_INVALID);
        assert_int_equal(fa_stream_load_end(w, never[i]), FA_ERROR_INVALID);
        assert_int_equal(fa_stream_load_abort(w, never[i]), FA_ERROR_INVALID);
        assert_int_equal(fa_stream_pin(w, never[i], &data, NULL), FA_ERROR_INVALID);
        assert_int_equal(fa_stream_unpin(w, never[i]), FA_ERROR_INVALID);
        assert_int_equal(fa_stream_touch(w, never[i]), FA_ERROR_INVALID);
        assert_int_equal(fa_stream_set_priority(w, never[i], FA_STREAM_LOW), FA_ERROR_INVALID);
        assert_int_equal(fa_stream_free(w, never[i]), FA_ERROR_INVALID);
        assert_null(fa_stream_read(w, never[i], NULL));
        assert_reported(&to, 401, at->checked ? 10 : 0);
        assert_int_equal(fa_stream_state_of(fa, never[i]), FA_STREAM_NONE);
        assert_int_equal(fa_stream_loaded(fa, never[i]), 0);
    }
    assert_int_equal(fa_stream_load_begin(NULL, good, &memory), FA_ERROR_INVALID);
    assert_int_equal(fa_stream_load_begin(w, good, NULL), FA_ERROR_INVALID);
    assert_int_equal(fa_stream_progress(NULL, good, 1), FA_ERROR_INVALID);
    assert_int_equal(fa_stream_load_end(NULL, good), FA_ERROR_INVALID);
    assert_int_equal(fa_stream_load_abort(NULL, good), FA_ERROR_INVALID);
    assert_int_equal(fa_stream_pin(NULL, good, &data, NULL), FA_ERROR_INVALID);
    assert_int_equal(fa_stream_unpin(NULL, good), FA_ERROR_INVALID);
    assert_int_equal(fa_stream_touch(NULL, good), FA_ERROR_INVALID);
    assert_int_equal(fa_stream_set_priority(NULL, good, FA_STREAM_LOW), FA_ERROR_INVALID);
    assert_int_equal(fa_stream_set_priority(w, good, (fa_stream_priority)9), FA_ERROR_INVALID);
    assert_int_equal(fa_stream_free(NULL, good), FA_ERROR_INVALID);
    assert_null(fa_stream_read(NULL, good, NULL));
    assert_int_equal(fa_stream_state_of(NULL, good), FA_STREAM_NONE);
    assert_int_equal(fa_stream_loaded(NULL, good), 0);
    assert_int_equal(fa_stream_stats_read(NULL, &(fa_stream_stats){0}), FA_ERROR_INVALID);
    assert_int_equal(fa_stream_stats_read(fa, NULL), FA_ERROR_INVALID);
    fa_stream_pinned_end(NULL);
    assert_int_equal(fa_stream_state_of(fa, good), FA_STREAM_READY);
    assert_int_equal(streams_of(fa).reserved_bytes, 100);
    assert_int_equal(fa_stream_free(w, good), FA_OK);
    assert_no_streams(fa);
    destroy_quiet(fa, &to);
}

static void handles_are_never_reused_unnoticed(const test_case *at)
{
    sink to;
    fa_config config = stream_config(at, &to, MIB);
    config.streams_max = 1; // one slot, used again and again
    fa_system *fa = create(&config);
    fa_worker *w = fa_self(fa);
    fa_stream seen[50];
    const void *data;
    void *memory;
    for (uint32_t i = 0; i < 50; i++) {
        seen[i] = i % 2 == 0 ? make_ready(w, 64, FA_STREAM_LOW) : reserve(w, 64, FA_STREAM_LOW);
        for (uint32_t old = 0; old < i; old++) {
            assert_true(seen[old].bits != seen[i].bits);
            assert_int_equal(fa_stream_state_of(fa, seen[old]), FA_STREAM_NONE);
        }
        assert_int_equal(fa_stream_free(w, seen[i]), FA_OK);
        assert_int_equal(fa_stream_free(w, seen[i]), FA_ERROR_STALE);
        assert_int_equal(fa_stream_load_begin(w, seen[i], &memory), FA_ERROR_STALE);
        assert_int_equal(fa_stream_progress(w, seen[i], 1), FA_ERROR_STALE);
        assert_int_equal(fa_stream_load_end(w, seen[i]), FA_ERROR_STALE);
        assert_int_equal(fa_stream_load_abort(w, seen[i]), FA_ERROR_STALE);
        assert_int_equal(fa_stream_pin(w, seen[i], &data, NULL), FA_ERROR_STALE);
        assert_int_equal(fa_stream_unpin(w, seen[i]), FA_ERROR_STALE);
        assert_int_equal(fa_stream_touch(w, seen[i]), FA_ERROR_STALE);
        assert_int_equal(fa_stream_set_priority(w, seen[i], FA_STREAM_HIGH), FA_ERROR_STALE);
        assert_null(fa_stream_read(w, seen[i], NULL));
        assert_reported(&to, 401, at->checked ? 10 : 0); // freed, not evicted
        reclaim_all(fa);
    }
    destroy_quiet(fa, &to);
}

static void memory_is_aligned_as_asked(const test_case *at)
{
    sink to;
    fa_system *fa = create_streams(at, &to, 64 * MIB);
    fa_worker *w = fa_self(fa);
    for (size_t align = 1; align <= 4 * MIB; align *= 4) {
        fa_stream_options options = {.align = align};
        for (size_t size = 1; size < MIB; size = size * 9 + 5) {
            fa_stream stream = reserve_with(w, size, FA_STREAM_LOW, &options);
            void *memory;
            assert_int_equal(fa_stream_load_begin(w, stream, &memory), FA_OK);
            assert_int_equal((uintptr_t)memory % (align < 16 ? 16 : align), 0);
            memset(memory, 1, size);
            assert_int_equal(fa_stream_free(w, stream), FA_OK);
        }
    }
    assert_no_streams(fa);
    destroy_quiet(fa, &to);
}

static void an_aborted_load_can_be_begun_again(const test_case *at)
{
    sink to;
    fa_system *fa = create_streams(at, &to, MIB);
    fa_worker *w = fa_self(fa);
    fa_stream stream = reserve(w, 200000, FA_STREAM_NORMAL);
    for (int i = 0; i < 300; i++) {
        void *memory;
        assert_int_equal(fa_stream_load_begin(w, stream, &memory), FA_OK);
        assert_int_equal(fa_stream_loaded(fa, stream), 0);
        memset(memory, i, 200000);
        assert_int_equal(fa_stream_progress(w, stream, 150000), FA_OK);
        assert_int_equal(fa_stream_load_abort(w, stream), FA_OK);
        assert_int_equal(fa_stream_state_of(fa, stream), FA_STREAM_RESERVED);
        fa_stream_stats stats = streams_of(fa);
        assert_int_equal(stats.loaded_bytes, 0);
        assert_int_equal(stats.loading_bytes, 0);
        assert_int_equal(stats.leaving, 0); // given back at once
        assert_int_equal(stats.reserved_bytes, 200000);
        assert_int_equal(fa_stream_progress(w, stream, 1), FA_ERROR_STATE);
    }
    load(w, stream, 200000, 3);
    assert_true(is_payload(fa_stream_read(w, stream, NULL), 200000));
    begin(fa);
    end(fa);
    assert_true(stats_of(fa).memory_bytes < 16 * MIB);
    assert_int_equal(fa_stream_free(w, stream), FA_OK);
    assert_no_streams(fa);
    destroy_quiet(fa, &to);
}

typedef struct stepping {
    fa_system *fa;
    fa_stream stream;
    size_t size, done;
    void *memory;
    uint32_t lane; // whose turn it is
} stepping;

static void load_a_step(fa_worker *w, void *arg)
{
    enum { STEP = 1000 };
    stepping *load = arg;
    void *memory;
    if (w->index != load->lane) return;
    EXPECT(fa_stream_load_begin(w, load->stream, &memory) == FA_OK);
    EXPECT(load->memory == NULL || memory == load->memory);
    if (memory == NULL) return;
    load->memory = memory;
    for (size_t end = load->done + STEP; load->done < end && load->done < load->size; load->done++)
        ((unsigned char *)memory)[load->done] = (unsigned char)load->done;
    EXPECT(fa_stream_progress(w, load->stream, load->done) == FA_OK);
    if (load->done == load->size) EXPECT(fa_stream_load_end(w, load->stream) == FA_OK);
}

/// Each step on another lane, a frame later.
static void jobs_load_in_steps(const test_case *at)
{
    sink to;
    fa_system *fa = create_streams(at, &to, MIB);
    fa_worker *w = fa_self(fa);
    stepping load = {.fa = fa, .size = 20500, .stream = reserve(w, 20500, FA_STREAM_HIGH)};
    for (int frames = 0; load.done < load.size; frames++) {
        assert_true(frames < 30);
        assert_null(fa_stream_read(w, load.stream, NULL));
        load.lane = (uint32_t)frames % (at->workers + 1);
        fa_job job = {.fn = load_a_step, .arg = &load, .flags = FA_JOB_MAIN};
        begin(fa);
        if (load.lane == 0)
            assert_int_equal(fa_submit_job(w, &job), FA_OK);
        else
            everyone(fa, load_a_step, &load);
        end(fa);
        assert_int_equal(fa_stream_loaded(fa, load.stream), load.done);
    }
    FA_STREAM_PINNED(w, load.stream, all);
    assert_non_null(all.data);
    for (size_t i = 0; i < all.size; i++)
        if (((const unsigned char *)all.data)[i] != (unsigned char)i) fail();
    assert_int_equal(fa_stream_free(w, load.stream), FA_OK);
    fa_stream_pinned_end(&all); // by hand, before the system goes
    assert_no_streams(fa);
    destroy_quiet(fa, &to);
}

// The budget ------------------------------------------------------------------------------------------------------------

static void the_budget_is_kept(const test_case *at)
{
    sink to;
    fa_system *fa = create_streams(at, &to, 1024);
    fa_worker *w = fa_self(fa);
    begin(fa);
    fa_stream a = reserve(w, 512, FA_STREAM_LOW), b = reserve(w, 512, FA_STREAM_LOW); // equality is allowed
    assert_true(streams_of(fa).utilisation == 100.0);
    for (int i = 0; i < 10; i++) assert_refused(w, 1, FA_STREAM_CRITICAL, FA_ERROR_FULL); // neither is ready
    assert_reported(&to, 402, 4);                                                         // refusals 1, 2, 4 and 8
    assert_int_equal(streams_of(fa).refused, 10);
    end(fa);
    begin(fa);
    assert_refused(w, 1025, FA_STREAM_CRITICAL, FA_ERROR_FULL); // more than all of it
    assert_refused(w, SIZE_MAX, FA_STREAM_CRITICAL, FA_ERROR_FULL);
    assert_quiet(&to);
    end(fa);
    assert_int_equal(stats_of(fa).stream_refused, 12);
    assert_int_equal(stats_of(fa).stream_reserved_bytes, 1024);
    assert_int_equal(streams_of(fa).reserved_peak, 1024);
    assert_int_equal(fa_stream_free(w, a), FA_OK);
    assert_refused(w, 513, FA_STREAM_LOW, FA_ERROR_FULL);
    a = reserve(w, 512, FA_STREAM_LOW);
    assert_int_equal(fa_stream_free(w, a), FA_OK);
    assert_int_equal(fa_stream_free(w, b), FA_OK);
    assert_no_streams(fa);
    destroy_quiet(fa, &to);
}

static void the_default_budget(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    fa_system *fa = create(&config);
    assert_int_equal(streams_of(fa).budget, 256 * MIB);
    assert_int_equal(fa_destroy(fa), FA_OK);
    config.memory_max = 128 * MIB;
    fa = create(&config);
    assert_int_equal(streams_of(fa).budget, 32 * MIB);
    assert_int_equal(fa_destroy(fa), FA_OK);
    config.stream_bytes_max = 12345;
    fa = create(&config);
    assert_int_equal(streams_of(fa).budget, 12345);
    destroy_quiet(fa, &to);
    config.stream_bytes_max = config.memory_max + 1;
    assert_int_equal(fa_create(&config, &fa), FA_ERROR_INVALID);
    assert_reported(&to, 907, 1);
    config.memory_max = 0;
    config.stream_bytes_max = config.reserve_bytes + 1;
    assert_int_equal(fa_create(&config, &fa), FA_ERROR_INVALID);
    assert_reported(&to, 907, 1);
    config.stream_bytes_max = 0;
    config.streams_max = FA_STREAMS_MAX + 1;
    assert_int_equal(fa_create(&config, &fa), FA_ERROR_INVALID);
    assert_reported(&to, 907, 1);
}

static void the_number_of_streams_is_limited(const test_case *at)
{
    sink to;
    fa_config config = stream_config(at, &to, MIB);
    config.streams_max = 0;
    fa_system *fa = create(&config);
    assert_refused(fa_self(fa), 1, FA_STREAM_HIGH, FA_ERROR_FULL);
    assert_reported(&to, 402, 1);
    destroy_quiet(fa, &to);
    config.streams_max = 7;
    fa = create(&config);
    fa_worker *w = fa_self(fa);
    for (int round = 0; round < 5; round++) {
        fa_stream streams[7];
        begin(fa);
        for (int i = 0; i < 7; i++) streams[i] = make_ready(w, 100, FA_STREAM_LOW);
        assert_refused(w, 100, FA_STREAM_HIGH, FA_ERROR_FULL);
        assert_reported(&to, 402, round == 2 || round == 4 ? 0 : 1);
        assert_int_equal(streams_of(fa).reserved_bytes, 700);
        for (int i = 0; i < 7; i++) assert_int_equal(fa_stream_free(w, streams[i]), FA_OK);
        end(fa);
        reclaim_all(fa);
    }
    destroy_quiet(fa, &to);
}

/// Reserving takes no memory; loading asks for it, and a refusal leaves the stream as it was.
static void memory_max_refuses_a_load(const test_case *at)
{
    sink to;
    fa_config config = stream_config(at, &to, 0);
    config.attached_max = 0;
    config.memory_max = 16 * MIB;
    config.stream_bytes_max = 16 * MIB;
    fa_system *fa = create(&config);
    fa_worker *w = fa_self(fa);
    fa_stream big = reserve(w, 10 * MIB, FA_STREAM_LOW), late = reserve(w, 6 * MIB, FA_STREAM_LOW);
    void *memory, *heap = fa_heap_alloc(w, 5 * MIB, 0);
    assert_non_null(heap);
    load(w, big, 10 * MIB, 1);
    assert_int_equal(fa_stream_load_begin(w, late, &memory), FA_ERROR_MEMORY);
    assert_null(memory);
    assert_int_equal(fa_stream_state_of(fa, late), FA_STREAM_RESERVED);
    assert_int_equal(fa_stream_free(w, big), FA_OK);
    assert_int_equal(fa_stream_load_begin(w, late, &memory), FA_ERROR_MEMORY); // it comes back at a boundary
    reclaim_all(fa);
    load(w, late, 6 * MIB, 2);
    assert_true(is_payload(fa_stream_read(w, late, NULL), 6 * MIB));
    assert_int_equal(fa_stream_free(w, late), FA_OK);
    fa_heap_free(w, heap);
    assert_no_streams(fa);
    destroy_quiet(fa, &to);
}

/// A stream belongs to the tag that it was reserved under until it is gone, whoever ends it, and its budget refuses before anybody goes.
static void a_tag_pays_for_its_streams(const test_case *at)
{
    sink to;
    fa_system *fa = create_streams(at, &to, 1000);
    fa_worker *w = fa_self(fa);
    fa_tag tag;
    fa_tag_stats stats;
    assert_int_equal(fa_tag_find(fa, "textures", &tag), FA_OK);
    assert_int_equal(fa_budget_set(fa, tag, 0, 900), FA_OK);
    fa_stream nobodys = make_ready(w, 100, FA_STREAM_LOW), a, b;
    {
        FA_TAG_AT(w, tag);
        a = make_ready(w, 500, FA_STREAM_LOW);
        b = make_ready(w, 400, FA_STREAM_LOW); // equality is allowed
        assert_refused(w, 1, FA_STREAM_HIGH, FA_ERROR_FULL);
        assert_reported(&to, 302, 1);
        assert_int_equal(fa_tag_stats_read(fa, tag, &stats), FA_OK);
        assert_int_equal(stats.held[FA_TAG_STREAM], 900);
        assert_int_equal(stats.denied, 1);
    }
    assert_int_equal(streams_of(fa).evictions, 0);
    assert_true(fa_stream_state_of(fa, nobodys) == FA_STREAM_READY);
    fa_stream last = reserve(w, 600, FA_STREAM_HIGH); // evicts two, under no tag
    assert_int_equal(fa_tag_stats_read(fa, tag, &stats), FA_OK);
    assert_int_equal(stats.held[FA_TAG_STREAM], 400);
    assert_int_equal(fa_stream_free(w, b), FA_OK);
    assert_int_equal(fa_tag_stats_read(fa, tag, &stats), FA_OK);
    assert_int_equal(stats.held[FA_TAG_STREAM], 0);
    {
        FA_TAG_AT(w, tag); // what the stream budget refuses is not charged
        assert_refused(w, 700, FA_STREAM_LOW, FA_ERROR_FULL);
    }
    assert_reported(&to, 402, 1);
    assert_int_equal(fa_tag_stats_read(fa, tag, &stats), FA_OK);
    assert_int_equal(stats.charged, 0);
    assert_int_equal(fa_stream_state_of(fa, a), FA_STREAM_NONE);
    assert_int_equal(fa_stream_free(w, last), FA_OK);
    assert_no_streams(fa);
    destroy_quiet(fa, &to);
}

// Eviction --------------------------------------------------------------------------------------------------------------

static bool is_ready(fa_system *fa, fa_stream stream)
{
    return fa_stream_state_of(fa, stream) == FA_STREAM_READY;
}

static void free_all(fa_worker *w, const fa_stream *streams, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        fa_status status = fa_stream_free(w, streams[i]);
        assert_true(status == FA_OK || status == FA_ERROR_STALE);
    }
}

/// Two LOW of 512, a HIGH of 512: exactly one LOW goes, the older.
static void a_higher_priority_evicts_one(const test_case *at)
{
    sink to;
    fa_system *fa = create_streams(at, &to, 1024);
    fa_worker *w = fa_self(fa);
    fa_stream streams[3] = {make_ready(w, 512, FA_STREAM_LOW), make_ready(w, 512, FA_STREAM_LOW)};
    streams[2] = reserve(w, 512, FA_STREAM_HIGH);
    assert_int_equal(fa_stream_state_of(fa, streams[0]), FA_STREAM_NONE);
    assert_true(is_ready(fa, streams[1]));
    fa_stream_stats stats = streams_of(fa);
    assert_int_equal(stats.evictions, 1);
    assert_int_equal(stats.evicted_bytes, 512);
    assert_int_equal(stats.reserved_bytes, 1024);
    assert_int_equal(stats.loaded_bytes, 512);
    free_all(w, streams, 3);
    assert_no_streams(fa);
    assert_int_equal(stats_of(fa).stream_evictions, 1);
    destroy_quiet(fa, &to);
}

static void a_reserve_that_fails_evicts_nothing(const test_case *at)
{
    sink to;
    fa_system *fa = create_streams(at, &to, 1000);
    fa_worker *w = fa_self(fa);
    fa_stream streams[10];
    for (int i = 0; i < 9; i++) streams[i] = make_ready(w, 100, i < 5 ? FA_STREAM_LOW : FA_STREAM_HIGH);
    streams[9] = reserve(w, 50, FA_STREAM_LOW);
    assert_refused(w, 551, FA_STREAM_NORMAL, FA_ERROR_FULL); // 50 are free, 500 could go
    assert_refused(w, 551, FA_STREAM_HIGH, FA_ERROR_FULL);
    assert_refused(w, 951, FA_STREAM_CRITICAL, FA_ERROR_FULL);
    assert_refused(w, 1001, FA_STREAM_CRITICAL, FA_ERROR_FULL);
    assert_refused(w, 51, FA_STREAM_LOW, FA_ERROR_FULL);
    assert_reported(&to, 402, 3);
    for (int i = 0; i < 9; i++) assert_true(is_ready(fa, streams[i]));
    assert_int_equal(streams_of(fa).evictions, 0);
    assert_int_equal(streams_of(fa).reserved_bytes, 950);
    fa_stream last = reserve(w, 550, FA_STREAM_NORMAL); // and this one can
    for (int i = 0; i < 9; i++) assert_true(is_ready(fa, streams[i]) == (i >= 5));
    assert_int_equal(fa_stream_state_of(fa, streams[9]), FA_STREAM_RESERVED);
    assert_int_equal(streams_of(fa).reserved_bytes, 1000);
    assert_int_equal(fa_stream_free(w, last), FA_OK);
    free_all(w, streams, 10);
    assert_no_streams(fa);
    destroy_quiet(fa, &to);
}

static void critical_is_never_evicted(const test_case *at)
{
    sink to;
    fa_system *fa = create_streams(at, &to, 1000);
    fa_worker *w = fa_self(fa);
    fa_stream critical = make_ready(w, 600, FA_STREAM_CRITICAL), normal = make_ready(w, 400, FA_STREAM_NORMAL);
    assert_refused(w, 500, FA_STREAM_CRITICAL, FA_ERROR_FULL);
    assert_true(is_ready(fa, critical) && is_ready(fa, normal));
    assert_refused(w, 400, FA_STREAM_NORMAL, FA_ERROR_FULL); // strictly lower only
    assert_refused(w, 400, FA_STREAM_LOW, FA_ERROR_FULL);
    assert_true(is_ready(fa, normal));
    fa_stream high = reserve(w, 400, FA_STREAM_HIGH);
    assert_true(is_ready(fa, critical) && !is_ready(fa, normal));
    assert_reported(&to, 402, 2);
    free_all(w, (fa_stream[]){critical, high}, 2);
    assert_no_streams(fa);
    destroy_quiet(fa, &to);
}

static void a_changed_priority_counts(const test_case *at)
{
    sink to;
    fa_system *fa = create_streams(at, &to, 300);
    fa_worker *w = fa_self(fa);
    fa_stream streams[4] = {make_ready(w, 100, FA_STREAM_LOW), make_ready(w, 100, FA_STREAM_HIGH),
                            make_ready(w, 100, FA_STREAM_LOW)};
    assert_int_equal(fa_stream_set_priority(w, streams[0], FA_STREAM_CRITICAL), FA_OK);
    assert_int_equal(fa_stream_set_priority(w, streams[1], FA_STREAM_LOW), FA_OK);
    assert_int_equal(fa_stream_set_priority(w, streams[2], FA_STREAM_NORMAL), FA_OK);
    streams[3] = reserve(w, 100, FA_STREAM_HIGH);
    assert_true(is_ready(fa, streams[0]) && !is_ready(fa, streams[1]) && is_ready(fa, streams[2]));
    // Of a stream that is reserved, being loaded or pinned too.
    void *memory;
    assert_int_equal(fa_stream_set_priority(w, streams[3], FA_STREAM_NORMAL), FA_OK);
    assert_int_equal(fa_stream_load_begin(w, streams[3], &memory), FA_OK);
    assert_int_equal(fa_stream_set_priority(w, streams[3], FA_STREAM_HIGH), FA_OK);
    assert_int_equal(fa_stream_load_end(w, streams[3]), FA_OK);
    assert_int_equal(fa_stream_pin(w, streams[3], NULL, NULL), FA_OK);
    assert_int_equal(fa_stream_set_priority(w, streams[3], FA_STREAM_LOW), FA_OK);
    assert_int_equal(fa_stream_unpin(w, streams[3]), FA_OK);
    fa_stream last = reserve(w, 100, FA_STREAM_NORMAL);
    assert_true(!is_ready(fa, streams[3]) && is_ready(fa, streams[2]));
    free_all(w, streams, 3);
    free_all(w, &last, 1);
    assert_no_streams(fa);
    destroy_quiet(fa, &to);
}

typedef struct eviction_log {
    fa_system *fa;
    uint32_t count;
    uintptr_t users[MANY];
} eviction_log;

static eviction_log *eviction_log_of; // of the running test

static void log_eviction(fa_worker *w, const fa_stream_eviction *eviction)
{
    eviction_log *log = eviction_log_of;
    EXPECT(w->system == log->fa && log->count < MANY);
    EXPECT(fa_stream_state_of(log->fa, eviction->stream) == FA_STREAM_EVICTING);
    EXPECT(is_payload(eviction->data, eviction->size));
    EXPECT(strcmp(eviction->name, "texture") == 0);
    log->users[log->count++] = (uintptr_t)eviction->user;
}

static fa_stream make_logged(fa_worker *w, size_t size, fa_stream_priority priority, uintptr_t user)
{
    fa_stream_options options = {.name = "texture", .user = (void *)user, .evict = log_eviction};
    fa_stream stream = reserve_with(w, size, priority, &options);
    load(w, stream, size, user);
    return stream;
}

/// Priority first, then the least recently used; of those never used since, in the order of their loads.
static void eviction_goes_by_priority_and_use(const test_case *at)
{
    sink to;
    fa_system *fa = create_streams(at, &to, 800);
    fa_worker *w = fa_self(fa);
    eviction_log log = {.fa = fa};
    eviction_log_of = &log;
    fa_stream streams[8], last;
    for (uintptr_t i = 0; i < 8; i++)
        streams[i] = make_logged(w, 100, i == 2 || i == 5 ? FA_STREAM_NORMAL : FA_STREAM_LOW, i);
    begin(fa); // 1 to 7 are used in this frame, in another order
    assert_int_equal(fa_stream_touch(w, streams[7]), FA_OK);
    assert_int_equal(fa_stream_pin(w, streams[1], NULL, NULL), FA_OK);
    assert_int_equal(fa_stream_unpin(w, streams[1]), FA_OK);
    assert_int_equal(fa_stream_touch(w, streams[2]), FA_OK);
    assert_int_equal(fa_stream_touch(w, streams[4]), FA_OK);
    assert_int_equal(fa_stream_touch(w, streams[5]), FA_OK);
    assert_int_equal(fa_stream_touch(w, streams[7]), FA_OK);
    end(fa);
    begin(fa); // and then read: once a frame, no order within it
    for (int i = 0; i < 3; i++) assert_non_null(fa_stream_read(w, streams[6], NULL));
    assert_non_null(fa_stream_read(w, streams[3], NULL));
    end(fa);
    last = reserve(w, 800, FA_STREAM_HIGH);
    static const uintptr_t order[] = {0, 1, 4, 7, 3, 6, 2, 5};
    assert_int_equal(log.count, 8);
    for (int i = 0; i < 8; i++) assert_int_equal(log.users[i], order[i]);
    assert_int_equal(fa_stream_free(w, last), FA_OK);
    assert_no_streams(fa);
    destroy_quiet(fa, &to);
}

/// The same uses give the same evictions, also for more victims than are looked for at a time.
static void eviction_is_deterministic(const test_case *at)
{
    sink to;
    fa_system *fa = create_streams(at, &to, MANY * 100);
    fa_worker *w = fa_self(fa);
    uint64_t seed = test_seed();
    uintptr_t first[MANY];
    for (int round = 0; round < 3; round++) {
        rng from = {seed};
        eviction_log log = {.fa = fa};
        eviction_log_of = &log;
        fa_stream streams[MANY];
        for (uintptr_t i = 0; i < MANY; i++) streams[i] = make_logged(w, 100, FA_STREAM_LOW, i);
        for (int use = 0; use < 500; use++) {
            if (use % 50 == 0) begin(fa);
            uint32_t i = rng_below(&from, MANY);
            if (use % 3 == 0) assert_non_null(fa_stream_read(w, streams[i], NULL));
            if (use % 3 == 1) assert_int_equal(fa_stream_touch(w, streams[i]), FA_OK);
            if (use % 50 == 49) end(fa);
        }
        fa_stream few = reserve(w, 700, FA_STREAM_NORMAL); // 7 go, and then all the others
        assert_int_equal(log.count, 7);
        fa_stream all = reserve(w, (MANY - 7) * 100, FA_STREAM_NORMAL);
        assert_int_equal(log.count, MANY);
        if (round == 0) memcpy(first, log.users, sizeof first);
        assert_memory_equal(first, log.users, sizeof first);
        free_all(w, (fa_stream[]){few, all}, 2);
        assert_no_streams(fa);
    }
    destroy_quiet(fa, &to);
}

static void pinned_streams_stay(const test_case *at)
{
    sink to;
    fa_system *fa = create_streams(at, &to, 300);
    fa_worker *w = fa_self(fa);
    fa_stream a = make_ready(w, 100, FA_STREAM_LOW), b = make_ready(w, 100, FA_STREAM_LOW);
    fa_stream c = make_ready(w, 100, FA_STREAM_LOW), d;
    assert_int_equal(fa_stream_pin(w, a, NULL, NULL), FA_OK);
    assert_int_equal(fa_stream_pin(w, a, NULL, NULL), FA_OK); // nests
    assert_refused(w, 300, FA_STREAM_CRITICAL, FA_ERROR_FULL);
    assert_int_equal(fa_stream_unpin(w, a), FA_OK);
    assert_refused(w, 300, FA_STREAM_CRITICAL, FA_ERROR_FULL);
    assert_reported(&to, 402, 2);
    d = reserve(w, 100, FA_STREAM_HIGH); // a is the oldest, but pinned
    assert_true(is_ready(fa, a) && !is_ready(fa, b) && is_ready(fa, c));
    assert_int_equal(fa_stream_unpin(w, a), FA_OK);
    {
        FA_STREAM_PINNED(w, a, guard);
        assert_int_equal(guard.status, FA_OK);
        assert_int_equal(guard.size, 100);
        assert_true(is_payload(guard.data, guard.size));
        FA_STREAM_PINNED(w, b, gone);
        assert_int_equal(gone.status, FA_ERROR_STALE);
        assert_null(gone.data);
        FA_STREAM_PINNED(w, c, other);
        assert_refused(w, 100, FA_STREAM_CRITICAL, FA_ERROR_FULL);
    }
    assert_int_equal(fa_stream_pin(w, a, NULL, NULL), FA_OK);
    fa_stream_pinned guard = fa_stream_pinned_begin(w, a);
    fa_stream_pinned_end(&guard);
    assert_null(guard.data);
    fa_stream_pinned_end(&guard); // the second time: nothing
    assert_int_equal(fa_stream_unpin(w, a), FA_OK);
    fa_stream e = reserve(w, 200, FA_STREAM_CRITICAL); // the guards are gone
    assert_true(!is_ready(fa, a) && !is_ready(fa, c));
    free_all(w, (fa_stream[]){d, e}, 2);
    assert_no_streams(fa);
    destroy_quiet(fa, &to);
}

static void pins_have_a_limit(const test_case *at)
{
    const uint32_t most = (1u << 26) - 1;
    if (WITH_ASAN || WITH_TSAN || WITH_MEMCHECK) skip(); // takes a minute there
    sink to;
    fa_system *fa = create_streams(at, &to, 100);
    fa_worker *w = fa_self(fa);
    const void *data;
    fa_stream stream = make_ready(w, 100, FA_STREAM_LOW);
    for (uint32_t i = 0; i < most; i++)
        if (fa_stream_pin(w, stream, &data, NULL) != FA_OK) fail();
    assert_int_equal(fa_stream_pin(w, stream, &data, NULL), FA_ERROR_FULL);
    assert_null(data);
    assert_int_equal(fa_stream_free(w, stream), FA_OK);
    for (uint32_t i = 0; i < most; i++)
        if (fa_stream_state_of(fa, stream) != FA_STREAM_EVICTING || fa_stream_unpin(w, stream) != FA_OK) fail();
    assert_no_streams(fa);
    destroy_quiet(fa, &to);
}

typedef struct busy_callback {
    fa_system *fa;
    fa_stream other, made;
    uint32_t calls;
} busy_callback;

static void use_everything(fa_worker *w, const fa_stream_eviction *eviction)
{
    busy_callback *state = eviction->user;
    const void *data;
    void *memory, *p = fa_pool_alloc(w, 100), *q = fa_heap_alloc(w, 100000, 0);
    state->calls++;
    EXPECT(p != NULL && q != NULL);
    fa_pool_free(w, p);
    fa_heap_free(w, q);
    EXPECT(fa_stream_state_of(state->fa, eviction->stream) == FA_STREAM_EVICTING);
    EXPECT(fa_stream_pin(w, eviction->stream, &data, NULL) == FA_ERROR_STALE);
    EXPECT(fa_stream_read(w, eviction->stream, NULL) == NULL);
    EXPECT(fa_stream_free(w, eviction->stream) == FA_ERROR_STALE);
    EXPECT(fa_stream_load_begin(w, eviction->stream, &memory) == FA_ERROR_STALE);
    EXPECT(fa_stream_set_priority(w, eviction->stream, FA_STREAM_CRITICAL) == FA_ERROR_STALE);
    EXPECT(is_payload(eviction->data, eviction->size));
    if (state->calls > 1) return;
    EXPECT(fa_stream_free(w, state->other) == FA_OK);
    EXPECT(fa_stream_reserve(w, 150, FA_STREAM_HIGH, NULL, &state->made) == FA_OK); // evicts, and calls back, in turn
    EXPECT(state->calls == 2);
    EXPECT(is_payload(eviction->data, eviction->size));
}

static void a_callback_may_use_the_library(const test_case *at)
{
    sink to;
    fa_system *fa = create_streams(at, &to, 400);
    fa_worker *w = fa_self(fa);
    busy_callback state = {.fa = fa};
    fa_stream_options options = {.user = &state, .evict = use_everything};
    fa_stream first = reserve_with(w, 100, FA_STREAM_LOW, &options),
              second = reserve_with(w, 100, FA_STREAM_LOW, &options);
    load(w, first, 100, 1);
    load(w, second, 100, 2);
    state.other = make_ready(w, 100, FA_STREAM_HIGH);
    fa_stream filler = make_ready(w, 100, FA_STREAM_HIGH), last = reserve(w, 100, FA_STREAM_HIGH);
    assert_int_equal(state.calls, 2);
    assert_int_equal(fa_stream_state_of(fa, first), FA_STREAM_NONE);
    assert_int_equal(fa_stream_state_of(fa, second), FA_STREAM_NONE);
    assert_int_equal(fa_stream_state_of(fa, last), FA_STREAM_RESERVED); // the callback could not take its place
    assert_int_equal(streams_of(fa).reserved_bytes, 350);
    assert_int_equal(fa_stream_free(w, filler), FA_OK); // no callback: it is freed
    free_all(w, (fa_stream[]){last, state.made}, 2);
    assert_int_equal(state.calls, 2);
    assert_no_streams(fa);
    destroy_quiet(fa, &to);
}

// Freed in the middle ---------------------------------------------------------------------------------------------------

static void a_free_waits_for_pins(const test_case *at)
{
    sink to;
    fa_system *fa = create_streams(at, &to, 100);
    fa_worker *w = fa_self(fa);
    const void *data, *other;
    fa_stream stream = make_ready(w, 100, FA_STREAM_LOW);
    assert_int_equal(fa_stream_pin(w, stream, &data, NULL), FA_OK);
    assert_int_equal(fa_stream_pin(w, stream, NULL, NULL), FA_OK);
    assert_int_equal(fa_stream_free(w, stream), FA_OK);
    assert_int_equal(fa_stream_state_of(fa, stream), FA_STREAM_EVICTING);
    assert_int_equal(fa_stream_free(w, stream), FA_ERROR_STALE);
    assert_int_equal(fa_stream_pin(w, stream, &other, NULL), FA_ERROR_STALE);
    assert_null(fa_stream_read(w, stream, NULL));
    assert_int_equal(streams_of(fa).evicting, 1);
    for (int i = 0; i < 20; i++) { // over frames and grace periods
        begin(fa);
        end(fa);
    }
    assert_true(is_payload(data, 100));
    assert_refused(w, 1, FA_STREAM_CRITICAL, FA_ERROR_FULL); // its bytes are still in the budget
    assert_int_equal(fa_stream_unpin(w, stream), FA_OK);
    assert_int_equal(fa_stream_state_of(fa, stream), FA_STREAM_EVICTING);
    assert_int_equal(fa_stream_unpin(w, stream), FA_OK);
    assert_int_equal(fa_stream_state_of(fa, stream), FA_STREAM_NONE);
    assert_int_equal(fa_stream_unpin(w, stream), FA_ERROR_STALE);
    assert_int_equal(fa_stream_free(w, reserve(w, 100, FA_STREAM_LOW)), FA_OK);
    assert_no_streams(fa);
    assert_int_equal(sink_count(&to, 401), at->checked ? 1 : 0); // the unpin of what is gone
    forget_reports(&to, 401);
    assert_reported(&to, 402, 1);
    destroy_quiet(fa, &to);
}

typedef struct loader {
    fa_system *fa;
    fa_stream stream;
    size_t size;
    atomic_uint step;
} loader;

static void await_step(loader *with, unsigned step)
{
    while (atomic_load(&with->step) < step) sched_yield();
}

/// An I/O thread that is in the middle of a load, idle for the library, when its stream is freed.
static void *load_slowly(void *arg)
{
    loader *at = arg;
    fa_worker *w;
    void *memory, *again;
    EXPECT(fa_attach(at->fa, &w) == FA_OK);
    EXPECT(fa_stream_load_begin(w, at->stream, &memory) == FA_OK);
    EXPECT(fa_stream_progress(w, at->stream, 10) == FA_OK);
    EXPECT(fa_idle_begin(w) == FA_OK);
    atomic_store(&at->step, 1u);
    await_step(at, 2);
    write_payload(memory, at->size, 5);
    EXPECT(is_payload(memory, at->size));
    EXPECT(fa_idle_end(w) == FA_OK);
    atomic_store(&at->step, 3u);
    await_step(at, 4);
    EXPECT(fa_stream_progress(w, at->stream, 20) == FA_ERROR_STALE); // from here on it is nobody's
    EXPECT(fa_stream_load_begin(w, at->stream, &again) == FA_ERROR_STALE);
    EXPECT(fa_stream_load_end(w, at->stream) == FA_ERROR_STALE);
    EXPECT(fa_detach(w) == FA_OK);
    return NULL;
}

static void a_free_waits_for_a_loader(const test_case *at)
{
    sink to;
    fa_system *fa = create_streams(at, &to, 5000);
    fa_worker *w = fa_self(fa);
    loader slow = {.fa = fa, .size = 5000, .stream = reserve(w, 5000, FA_STREAM_LOW)};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, load_slowly, &slow), 0);
    await_step(&slow, 1);
    assert_int_equal(fa_stream_free(w, slow.stream), FA_OK);
    assert_int_equal(fa_stream_free(w, slow.stream), FA_ERROR_STALE);
    assert_int_equal(fa_stream_state_of(fa, slow.stream), FA_STREAM_EVICTING);
    for (int i = 0; i < 20; i++) {
        begin(fa);
        end(fa);
    }
    atomic_store(&slow.step, 2u);
    await_step(&slow, 3);
    assert_int_equal(streams_of(fa).reserved_bytes, 5000);
    assert_int_equal(streams_of(fa).evicting, 1);
    atomic_store(&slow.step, 4u);
    pthread_join(thread, NULL);
    assert_int_equal(streams_of(fa).reserved_bytes, 0);
    assert_no_streams(fa);
    forget_reports(&to, 401); // uses of what was freed meanwhile
    destroy_quiet(fa, &to);
}

static void a_loader_frees_its_own_at_once(const test_case *at)
{
    sink to;
    fa_system *fa = create_streams(at, &to, 5000);
    fa_worker *w = fa_self(fa);
    for (int i = 0; i < 20; i++) {
        void *memory;
        fa_stream stream = reserve(w, 5000, FA_STREAM_LOW);
        if (i % 2 == 0) assert_int_equal(fa_stream_load_begin(w, stream, &memory), FA_OK);
        if (i % 4 == 0) assert_int_equal(fa_stream_progress(w, stream, 1234), FA_OK);
        assert_int_equal(fa_stream_free(w, stream), FA_OK);
        assert_int_equal(fa_stream_state_of(fa, stream), FA_STREAM_NONE);
        assert_int_equal(streams_of(fa).reserved_bytes, 0);
        assert_int_equal(streams_of(fa).loaded_bytes, 0);
    }
    assert_no_streams(fa);
    destroy_quiet(fa, &to);
}

static void what_is_left_is_reported(const test_case *at)
{
    sink to;
    void *memory;
    for (int kind = 0; kind < 5; kind++) {
        fa_system *fa = create_streams(at, &to, 10000);
        fa_worker *w = fa_self(fa);
        fa_stream stream = reserve(w, 4321, FA_STREAM_LOW);
        if (kind == 1) assert_int_equal(fa_stream_load_begin(w, stream, &memory), FA_OK);
        if (kind >= 2) load(w, stream, 4321, 1);
        if (kind >= 3) assert_int_equal(fa_stream_pin(w, stream, NULL, NULL), FA_OK);
        if (kind == 4) assert_int_equal(fa_stream_free(w, stream), FA_OK);
        assert_int_equal(fa_destroy(fa), FA_OK);
        assert_non_null(strstr(to.message, "1 streams (4321 bytes"));
        assert_reported(&to, 910, 1);
    }
    fa_system *fa = create_streams(at, &to, 10000);
    assert_int_equal(fa_stream_free(fa_self(fa), make_ready(fa_self(fa), 10000, FA_STREAM_LOW)), FA_OK);
    destroy_quiet(fa, &to); // freed, though its memory is still on its way
}

// Readers ---------------------------------------------------------------------------------------------------------------

/// An attached thread reads without a pin; what it reads stays until it says that it is quiescent.
static void *read_slowly(void *arg)
{
    loader *at = arg;
    fa_worker *w;
    size_t size;
    EXPECT(fa_attach(at->fa, &w) == FA_OK);
    const void *data = fa_stream_read(w, at->stream, &size);
    EXPECT(data != NULL && size == at->size);
    atomic_store(&at->step, 1u);
    await_step(at, 2);
    EXPECT(is_payload(data, size));
    EXPECT(fa_stream_read(w, at->stream, &size) == NULL);
    EXPECT(fa_quiescent(w) == FA_OK);
    atomic_store(&at->step, 3u);
    while (atomic_load(&at->step) < 4) {
        EXPECT(fa_quiescent(w) == FA_OK);
        sched_yield();
    }
    EXPECT(fa_detach(w) == FA_OK);
    return NULL;
}

static void a_reader_keeps_what_it_read(const test_case *at)
{
    sink to;
    fa_system *fa = create_streams(at, &to, 100000);
    fa_worker *w = fa_self(fa);
    for (int round = 0; round < 4; round++) {
        loader reader = {.fa = fa, .size = 100000, .stream = make_ready(w, 100000, FA_STREAM_LOW)};
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, read_slowly, &reader), 0);
        await_step(&reader, 1);
        if (round % 2 == 0) assert_int_equal(fa_stream_free(w, reader.stream), FA_OK);
        fa_stream next = reserve(w, 100000, FA_STREAM_HIGH); // its place in the budget is free, or is made
        load(w, next, 100000, 77);
        for (int i = 0; i < 300; i++) {
            begin(fa);
            end(fa);
            assert_int_equal(streams_of(fa).leaving_bytes, 100000);
        }
        atomic_store(&reader.step, 2u);
        await_step(&reader, 3);
        reclaim_all(fa);
        atomic_store(&reader.step, 4u);
        pthread_join(thread, NULL);
        assert_int_equal(fa_stream_free(w, next), FA_OK);
        assert_no_streams(fa);
    }
    forget_reports(&to, 401); // uses of what was freed meanwhile
    destroy_quiet(fa, &to);
}

// All together ----------------------------------------------------------------------------------------------------------

enum { CONTEST_WON = 9000 };

typedef struct contest {
    fa_system *fa;
    size_t size;
    uint32_t tries; // of each lane
    atomic_uint won, lost;
} contest;

static void reserve_many(fa_worker *w, void *arg)
{
    contest *with = arg;
    for (uint32_t i = 0; i < with->tries; i++) {
        fa_stream stream;
        fa_status status = fa_stream_reserve(w, with->size, FA_STREAM_NORMAL, NULL, &stream);
        EXPECT(status == FA_OK || status == FA_ERROR_FULL);
        atomic_fetch_add(status == FA_OK ? &with->won : &with->lost, 1u);
        fa_stream_stats stats;
        EXPECT(fa_stream_stats_read(with->fa, &stats) == FA_OK && stats.reserved_bytes <= stats.budget);
    }
}

/// Nobody is evicted and nobody frees: exactly as many succeed as fit, whoever they are.
static void reservers_never_overshoot(const test_case *at)
{
    sink to;
    fa_config config = stream_config(at, &to, CONTEST_WON * 7 + 6);
    config.streams_max = CONTEST_WON + 100;
    fa_system *fa = create(&config);
    contest with = {.fa = fa, .size = 7, .tries = CONTEST_WON / (at->workers + 1) + 100};
    begin(fa);
    everyone(fa, reserve_many, &with);
    end(fa);
    assert_int_equal(atomic_load(&with.won), CONTEST_WON);
    assert_int_equal(atomic_load(&with.won) + atomic_load(&with.lost), with.tries * (at->workers + 1));
    assert_int_equal(streams_of(fa).reserved_bytes, CONTEST_WON * 7);
    assert_true(streams_of(fa).reserved_peak >= CONTEST_WON * 7 && streams_of(fa).reserved_peak <= CONTEST_WON * 7 + 6);
    if (at->workers == 0) assert_int_equal(streams_of(fa).reserved_peak, CONTEST_WON * 7);
    assert_true(sink_count(&to, 402) >= 1 && sink_count(&to, 402) <= 17);
    assert_int_equal(fa_destroy(fa), FA_OK);
    assert_int_equal(sink_count(&to, 910), 1);
}

static void reserve_and_free(fa_worker *w, void *arg)
{
    contest *with = arg;
    for (uint32_t i = 0; i < with->tries; i++) {
        fa_stream stream;
        EXPECT(fa_stream_reserve(w, with->size + i % 5, FA_STREAM_NORMAL, NULL, &stream) == FA_OK);
        EXPECT(fa_stream_free(w, stream) == FA_OK);
    }
}

/// No reservation and no return of one is lost, however many meet.
static void traffic_leaves_the_budget_exact(const test_case *at)
{
    sink to;
    fa_system *fa = create_streams(at, &to, MIB);
    contest with = {.fa = fa, .size = 100, .tries = (uint32_t)ROUNDS(200000)};
    begin(fa);
    everyone(fa, reserve_and_free, &with);
    end(fa);
    assert_int_equal(streams_of(fa).reserved_bytes, 0);
    assert_true(streams_of(fa).reserved_peak <= 104 * (at->workers + 1));
    assert_no_streams(fa);
    destroy_quiet(fa, &to);
}

typedef struct taking {
    fa_system *fa;
    atomic_uint won, full, busy, evicted;
} taking;

static taking *taking_of;

static void count_eviction(fa_worker *w, const fa_stream_eviction *eviction)
{
    (void)w;
    EXPECT(is_payload(eviction->data, eviction->size));
    atomic_fetch_add(&taking_of->evicted, 1u);
}

static void take_places(fa_worker *w, void *arg)
{
    taking *with = arg;
    for (int i = 0; i < 10; i++) {
        fa_stream stream;
        fa_status status;
        do {
            status = fa_stream_reserve(w, 1000, FA_STREAM_HIGH, NULL, &stream);
            if (status == FA_ERROR_BUSY) atomic_fetch_add(&with->busy, 1u);
        } while (status == FA_ERROR_BUSY);
        EXPECT(status == FA_OK || status == FA_ERROR_FULL);
        atomic_fetch_add(status == FA_OK ? &with->won : &with->full, 1u);
    }
}

/// All lanes evict at once: each victim goes once, as many reserves succeed as there is room, and no victim goes for one that fails.
static void evictors_share_the_victims(const test_case *at)
{
    enum { VICTIMS = 100 };
    sink to;
    for (int round = 0; round < ROUNDS(20); round++) {
        fa_system *fa = create_streams(at, &to, VICTIMS * 50 + 999); // room for 5 of 1000
        fa_worker *w = fa_self(fa);
        taking with = {.fa = fa};
        taking_of = &with;
        fa_stream_options options = {.evict = count_eviction};
        fa_stream victims[VICTIMS];
        for (int i = 0; i < VICTIMS; i++) {
            victims[i] = reserve_with(w, 50, FA_STREAM_LOW, &options);
            load(w, victims[i], 50, (uint64_t)i);
        }
        begin(fa);
        everyone(fa, take_places, &with);
        end(fa);
        assert_int_equal(atomic_load(&with.won), 5);
        // 5 * 1000 bytes from 999 free ones and victims of 50: 81 of them if one reserve had the free part whole.
        // While another holds the free part for a plan that then fails, a reserve takes 20 victims instead: never more.
        fa_stream_stats stats = streams_of(fa);
        assert_int_equal(stats.evictions, atomic_load(&with.evicted));
        assert_int_equal(stats.ready, VICTIMS - stats.evictions);
        assert_int_equal(stats.reserved_bytes, 5000 + 50 * stats.ready);
        assert_true(stats.reserved_peak <= stats.budget);
        assert_true(stats.evictions >= 81 && stats.evictions <= 5 * 20);
        assert_int_equal(fa_destroy(fa), FA_OK);
        assert_true(sink_count(&to, 402) <= 6 && sink_count(&to, 910) == 1);
    }
}

typedef struct pinner {
    fa_system *fa;
    fa_stream victims[8];
    atomic_bool stop;
    atomic_uint pinned, turn;
} pinner;

static void pin_or_evict(fa_worker *w, void *arg)
{
    pinner *with = arg;
    bool evicts = atomic_fetch_add(&with->turn, 1u) == 0;
    for (int i = 0; evicts && i < 2000; i++) { // needs all 8 at once
        fa_stream stream;
        fa_status status = fa_stream_reserve(w, 800, FA_STREAM_HIGH, NULL, &stream);
        EXPECT(status == FA_ERROR_FULL || status == FA_ERROR_BUSY);
    }
    if (evicts) atomic_store(&with->stop, true);
    for (uint32_t i = w->index; !atomic_load(&with->stop); i++) {
        FA_STREAM_PINNED(w, with->victims[i % 7], at); // nothing is ever refused: no plan can succeed
        EXPECT(at.status == FA_OK && is_payload(at.data, at.size));
        atomic_fetch_add(&with->pinned, 1u);
    }
}

/// One victim is pinned throughout, so no plan is carried out; and no reader of the others ever notices one.
static void a_plan_that_fails_is_not_seen(const test_case *at)
{
    sink to;
    fa_system *fa = create_streams(at, &to, 800);
    fa_worker *w = fa_self(fa);
    pinner with = {.fa = fa};
    for (int i = 0; i < 8; i++) with.victims[i] = make_ready(w, 100, FA_STREAM_LOW);
    assert_int_equal(fa_stream_pin(w, with.victims[7], NULL, NULL), FA_OK);
    begin(fa);
    everyone(fa, pin_or_evict, &with);
    end(fa);
    assert_int_equal(streams_of(fa).evictions, 0);
    assert_int_equal(streams_of(fa).ready, 8);
    assert_int_equal(streams_of(fa).reserved_bytes, 800);
    assert_int_equal(fa_stream_unpin(w, with.victims[7]), FA_OK);
    fa_stream last = reserve(w, 800, FA_STREAM_HIGH);
    assert_int_equal(streams_of(fa).evictions, 8);
    assert_int_equal(fa_stream_free(w, last), FA_OK);
    assert_no_streams(fa);
    assert_true(sink_count(&to, 402) <= 11);
    assert_int_equal(fa_destroy(fa), FA_OK);
}

/// Puts a stream into the state in which the lane's plan of this number has claimed it, for a moment that other lanes seldom meet. Returns the
/// word before.
static uint64_t claim(fa_worker *w, fa_stream stream, uint32_t number)
{
    fai_stream *slot;
    uint64_t word;
    assert_int_equal(fai_stream_find(w, stream, &slot, &word), FA_OK);
    assert_int_equal(fai_stream_state_in(word), FAI_STREAM_READY);
    uint32_t plan = (w->index + 1) << FAI_STREAM_PLAN_BITS | number;
    fai_store_relaxed(&slot->word, fai_stream_to(word, FAI_STREAM_CLAIMED, plan));
    return word;
}

static void unclaim(fa_worker *w, fa_stream stream, uint64_t before)
{
    fai_stream *slot;
    uint64_t word;
    assert_int_equal(fai_stream_find(w, stream, &slot, &word), FA_OK);
    fai_store_relaxed(&slot->word, before);
}

/// Who looks at a claimed stream finds it ready, and who wants it has it; from the moment when the plan is carried out nobody does.
static void what_a_plan_claims_stays_until_it_is_carried_out(const test_case *at)
{
    sink to;
    fa_system *fa = create_streams(at, &to, 100);
    fa_worker *w = fa_self(fa);
    const void *data;
    void *memory;
    fa_stream stream = make_ready(w, 100, FA_STREAM_LOW);
    assert_refused(w, 1, FA_STREAM_LOW, FA_ERROR_FULL); // the lane's plan 1, which stays open until it makes another
    claim(w, stream, 1);
    assert_int_equal(fa_stream_state_of(fa, stream), FA_STREAM_READY);
    assert_true(is_payload(fa_stream_read(w, stream, NULL), 100));
    assert_int_equal(fa_stream_touch(w, stream), FA_OK);
    assert_int_equal(fa_stream_load_begin(w, stream, &memory), FA_ERROR_STATE);
    assert_int_equal(fa_stream_pin(w, stream, &data, NULL), FA_OK);
    assert_true(is_payload(data, 100));
    assert_int_equal(fa_stream_unpin(w, stream), FA_OK);
    assert_refused(w, 1, FA_STREAM_LOW, FA_ERROR_FULL);
    claim(w, stream, 2);
    assert_int_equal(fa_stream_set_priority(w, stream, FA_STREAM_NORMAL), FA_OK);
    assert_refused(w, 1, FA_STREAM_LOW, FA_ERROR_FULL);
    claim(w, stream, 3);
    assert_int_equal(fa_stream_free(w, stream), FA_OK);
    assert_int_equal(fa_stream_state_of(fa, stream), FA_STREAM_NONE);
    assert_reported(&to, 402, 2); // refusals 1 and 2
    (void)make_ready(w, 100, FA_STREAM_LOW);
    stream = make_ready(w, 100, FA_STREAM_HIGH); // by plan 4, carried out
    uint64_t ready = claim(w, stream, 4);
    assert_int_equal(fa_stream_state_of(fa, stream), FA_STREAM_EVICTING);
    assert_null(fa_stream_read(w, stream, NULL));
    assert_int_equal(fa_stream_pin(w, stream, &data, NULL), FA_ERROR_STALE);
    assert_int_equal(fa_stream_set_priority(w, stream, FA_STREAM_LOW), FA_ERROR_STALE);
    assert_int_equal(fa_stream_free(w, stream), FA_ERROR_STALE);
    unclaim(w, stream, ready);
    assert_int_equal(fa_stream_free(w, stream), FA_OK);
    assert_no_streams(fa);
    destroy_quiet(fa, &to);
}

enum { RIVALS = 64 };

typedef struct rivalry {
    fa_system *fa;
    _Atomic(uint64_t) victims[RIVALS];
    atomic_bool stop;
    atomic_uint turn, pinned, refused, evicted, failed;
} rivalry;

/// Makes victims and tries to evict all of them at once, again and again.
static void evict_all_again(fa_worker *w, rivalry *in)
{
    for (int round = 0; round < ROUNDS(200) || atomic_load(&in->pinned) == 0; round++) {
        for (int i = 0; i < RIVALS; i++) {
            fa_stream stream;
            void *memory;
            EXPECT(fa_stream_reserve(w, 100, FA_STREAM_LOW, NULL, &stream) == FA_OK);
            EXPECT(fa_stream_load_begin(w, stream, &memory) == FA_OK);
            write_payload(memory, 100, stream.bits);
            EXPECT(fa_stream_load_end(w, stream) == FA_OK);
            atomic_store(&in->victims[i], stream.bits);
        }
        fa_stream all = {0};
        fa_status status = FA_ERROR_BUSY;
        for (int tries = 0; tries < 40 && status != FA_OK; tries++)
            status = fa_stream_reserve(w, RIVALS * 100, FA_STREAM_HIGH, NULL, &all);
        atomic_fetch_add(status == FA_OK ? &in->evicted : &in->failed, 1u);
        for (int i = 0; i < RIVALS; i++) {
            fa_stream old = {atomic_exchange(&in->victims[i], 0)};
            status = fa_stream_free(w, old);
            EXPECT(status == (all.bits != 0 ? FA_ERROR_STALE : FA_OK)); // all of them went, or none
        }
        if (all.bits != 0) EXPECT(fa_stream_free(w, all) == FA_OK);
        fa_stream_stats stats;
        do {
            EXPECT(fa_stream_stats_read(in->fa, &stats) == FA_OK);
        } while (stats.reserved_bytes != 0); // what others had pinned when it was freed
    }
    atomic_store(&in->stop, true);
}

static void pin_or_evict_all(fa_worker *w, void *arg)
{
    rivalry *in = arg;
    if (atomic_fetch_add(&in->turn, 1u) == 0) evict_all_again(w, in);
    rng from = {w->index};
    while (!atomic_load(&in->stop)) {
        fa_stream stream = {atomic_load(&in->victims[rng_below(&from, RIVALS)])};
        const void *data;
        fa_status status = stream.bits != 0 ? fa_stream_pin(w, stream, &data, NULL) : FA_ERROR_INVALID;
        if (status == FA_OK) {
            EXPECT(*(const uint64_t *)data == stream.bits && is_payload(data, 100));
            EXPECT(fa_stream_unpin(w, stream) == FA_OK);
            atomic_fetch_add(&in->pinned, 1u);
        } else if (status == FA_ERROR_STALE) { // and it does not come back
            fa_stream_state state = fa_stream_state_of(in->fa, stream);
            EXPECT(state == FA_STREAM_NONE || state == FA_STREAM_EVICTING);
            EXPECT(fa_stream_read(w, stream, NULL) == NULL);
            EXPECT(fa_stream_pin(w, stream, &data, NULL) == FA_ERROR_STALE);
            atomic_fetch_add(&in->refused, 1u);
        }
    }
}

/// A plan and a pin that meet: one of them wins, for good. All of a plan's victims go, or none.
static void a_plan_and_a_pin_exclude_each_other(const test_case *at)
{
    sink to;
    fa_config config = stream_config(at, &to, RIVALS * 100);
    config.streams_max = 65536; // none come back within a frame
    fa_system *fa = create(&config);
    rivalry in = {.fa = fa};
    begin(fa);
    everyone(fa, pin_or_evict_all, &in);
    end(fa);
    assert_int_equal(streams_of(fa).evictions, RIVALS * atomic_load(&in.evicted));
    assert_true(atomic_load(&in.pinned) > 0);
    assert_no_streams(fa);
    forget_reports(&to, 401); // uses of what was freed meanwhile
    assert_int_equal(sink_count(&to, 402), atomic_load(&to.total));
    assert_int_equal(fa_destroy(fa), FA_OK);
}

enum { PLACES = 48, QUEUE = 16, QUEUED_BYTES = 5000 };

typedef struct storm {
    fa_system *fa;
    uint64_t seed;
    _Atomic(uint64_t) places[PLACES]; // streams
    _Atomic(uint64_t) queue[QUEUE];   // for the loader
    atomic_uint loaded, in_steps, jobs, pinned, evicted;
    atomic_bool stop;
} storm;

static storm *storm_of;

static void count_storm_eviction(fa_worker *w, const fa_stream_eviction *eviction)
{
    EXPECT(w->system == storm_of->fa);
    EXPECT(eviction->priority != FA_STREAM_CRITICAL);
    EXPECT(is_payload(eviction->data, eviction->size));
    atomic_fetch_add(&storm_of->evicted, 1u);
}

static void load_now(fa_worker *w, storm *in, fa_stream stream, size_t size, uint64_t key)
{
    void *memory;
    fa_status status = fa_stream_load_begin(w, stream, &memory);
    EXPECT(status == FA_OK || status == FA_ERROR_STALE);
    if (status != FA_OK) return;
    write_payload(memory, size, key);
    status = fa_stream_load_end(w, stream);
    EXPECT(status == FA_OK || status == FA_ERROR_STALE);
    if (status == FA_OK) atomic_fetch_add(&in->loaded, 1u);
}

static void storm_reserve(fa_worker *w, storm *in, rng *from)
{
    fa_stream_options options = {.evict = count_storm_eviction};
    uint64_t key = rng_next(from), none = 0;
    bool queued = rng_below(from, 2) == 0; // for the loader, which knows the size of those
    size_t size = queued ? QUEUED_BYTES : 64 + key % 40000;
    fa_stream stream;
    fa_status status = fa_stream_reserve(w, size, (fa_stream_priority)rng_below(from, 3), &options, &stream);
    EXPECT(status == FA_OK || status == FA_ERROR_FULL || status == FA_ERROR_BUSY);
    if (status != FA_OK) return;
    fa_stream old = {atomic_exchange(&in->places[rng_below(from, PLACES)], stream.bits)};
    if (old.bits != 0) {
        status = fa_stream_free(w, old);
        EXPECT(status == FA_OK || status == FA_ERROR_STALE);
    }
    if (!queued || !atomic_compare_exchange_strong(&in->queue[key % QUEUE], &none, stream.bits))
        load_now(w, in, stream, size, key);
}

static void storm_job(fa_worker *w, void *arg)
{
    storm *in = arg;
    rng from = {in->seed + atomic_fetch_add(&in->jobs, 1u)};
    const void *held = NULL;
    size_t held_size = 0;
    for (int i = 0; i < 40; i++) {
        fa_stream stream = {atomic_load(&in->places[rng_below(&from, PLACES)])};
        switch (rng_below(&from, 10)) {
            case 0:
            case 1:
            case 2: storm_reserve(w, in, &from); break;
            case 3: {
                FA_STREAM_PINNED(w, stream, at);
                if (at.data == NULL) break;
                EXPECT(is_payload(at.data, at.size));
                sched_yield();
                EXPECT(is_payload(at.data, at.size));
                atomic_fetch_add(&in->pinned, 1u);
                break;
            }
            case 4: (void)fa_stream_touch(w, stream); break;
            case 5: (void)fa_stream_set_priority(w, stream, (fa_stream_priority)rng_below(&from, 3)); break;
            case 6: (void)fa_stream_free(w, stream); break;
            default: {
                size_t size;
                const void *data = fa_stream_read(w, stream, &size);
                if (data == NULL) break;
                EXPECT(is_payload(data, size));
                held = data;
                held_size = size;
                break;
            }
        }
        if (held != NULL) EXPECT(is_payload(held, held_size));
    }
    fa_stream_stats stats;
    EXPECT(fa_stream_stats_read(in->fa, &stats) == FA_OK);
    EXPECT(stats.reserved_bytes <= stats.budget && stats.reserved_peak <= stats.budget);
}

/// A step of the loader, idle meanwhile as if it waited for a disk: nobody else touches the memory.
static fa_status storm_step(fa_worker *w, fa_stream stream, void *memory, uint64_t step)
{
    EXPECT(fa_idle_begin(w) == FA_OK);
    write_payload(memory, QUEUED_BYTES, step);
    sched_yield();
    EXPECT(is_payload(memory, QUEUED_BYTES) && *(uint64_t *)memory == step);
    EXPECT(fa_idle_end(w) == FA_OK);
    return fa_stream_progress(w, stream, QUEUED_BYTES / 4 * step);
}

/// A game's I/O thread: takes streams from the queue and loads them in steps; some twice.
static void *storm_loader(void *arg)
{
    storm *in = arg;
    rng from = {in->seed};
    fa_worker *w;
    EXPECT(fa_attach(in->fa, &w) == FA_OK);
    while (!atomic_load(&in->stop)) {
        fa_stream stream = {atomic_exchange(&in->queue[rng_below(&from, QUEUE)], 0u)};
        void *memory;
        fa_status status = FA_ERROR_STALE;
        if (stream.bits != 0) status = fa_stream_load_begin(w, stream, &memory);
        for (uint64_t step = 1; status == FA_OK && step <= 4; step++) {
            status = storm_step(w, stream, memory, step);
            if (status != FA_OK || rng_below(&from, 8) != 0) continue;
            status = fa_stream_load_abort(w, stream);
            if (status == FA_OK) status = fa_stream_load_begin(w, stream, &memory);
            step = 0;
        }
        if (status == FA_OK) status = fa_stream_load_end(w, stream);
        EXPECT(status == FA_OK || status == FA_ERROR_STALE);
        if (status == FA_OK) atomic_fetch_add(&in->in_steps, 1u);
        EXPECT(fa_quiescent(w) == FA_OK);
        sched_yield();
    }
    EXPECT(fa_detach(w) == FA_OK);
    return NULL;
}

/// Each thing that the storm is about has happened.
static bool has_raged(storm *in)
{
    return atomic_load(&in->evicted) > 0 && atomic_load(&in->loaded) > 0 && atomic_load(&in->in_steps) > 0 &&
           atomic_load(&in->pinned) > 0;
}

static void a_storm_leaves_nothing(const test_case *at)
{
    sink to;
    fa_system *fa = create_streams(at, &to, 400000);
    fa_worker *w = fa_self(fa);
    storm in = {.fa = fa, .seed = test_seed()};
    storm_of = &in;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, storm_loader, &in), 0);
    double give_up = seconds_now() + 20; // on a busy machine the loader may hardly run
    for (int frame = 0; frame < ROUNDS(200) || (!has_raged(&in) && seconds_now() < give_up); frame++) {
        begin(fa);
        for (int i = 0; i < 8; i++) assert_int_equal(fa_submit(w, storm_job, &in), FA_OK);
        end(fa);
        assert_true(stats_of(fa).stream_reserved_bytes <= 400000);
    }
    atomic_store(&in.stop, true);
    pthread_join(thread, NULL);
    for (int i = 0; i < PLACES; i++) free_all(w, &(fa_stream){atomic_load(&in.places[i])}, in.places[i] != 0);
    for (int i = 0; i < QUEUE; i++) free_all(w, &(fa_stream){atomic_load(&in.queue[i])}, in.queue[i] != 0);
    assert_no_streams(fa);
    assert_int_equal(streams_of(fa).evictions, atomic_load(&in.evicted));
    assert_true(has_raged(&in));
    forget_reports(&to, 401); // uses of what was freed meanwhile
    assert_int_equal(sink_count(&to, 402), atomic_load(&to.total));
    assert_int_equal(fa_destroy(fa), FA_OK);
    assert_int_equal(sink_count(&to, 910), 0);
}

// Loaders that take over ------------------------------------------------------------------------------------------------

/// The other loader strikes at any instruction of this thread: from a signal handler, through a lane whose own thread sleeps.
typedef struct takeover {
    fa_system *fa;
    fa_stream stream;
    fa_worker *other;
    pthread_t victim;
    atomic_uint ready, handled;
} takeover;

enum { STRIKES = 4000 };

static takeover *in_takeover;

static void strike(int number)
{
    (void)number;
    int kept = errno;
    EXPECT(atomic_load(&in_takeover->ready) == 1); // also tells a handler what the thread knew
    fa_status status = fa_stream_load_abort(in_takeover->other, in_takeover->stream);
    EXPECT(status == FA_OK || status == FA_ERROR_BUSY || status == FA_ERROR_STATE);
    atomic_fetch_add(&in_takeover->handled, 1u);
    errno = kept;
}

static void *strike_often(void *arg)
{
    takeover *t = arg;
    EXPECT(fa_attach(t->fa, &t->other) == FA_OK);
    atomic_store(&t->ready, 1u);
    for (unsigned i = 0; i < STRIKES; i++) {
        EXPECT(pthread_kill(t->victim, SIGUSR1) == 0);
        while (atomic_load(&t->handled) == i) sched_yield();
    }
    EXPECT(fa_detach(t->other) == FA_OK);
    return NULL;
}

/// Whoever takes a load over while it is being given up has its memory, or is told that there is none.
static void taking_over_an_aborted_load(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    takeover t = {.fa = fa, .victim = pthread_self()};
    assert_int_equal(fa_stream_reserve(w, 100, FA_STREAM_NORMAL, NULL, &t.stream), FA_OK);
    in_takeover = &t;
    struct sigaction action = {.sa_handler = strike}, before;
    assert_int_equal(sigaction(SIGUSR1, &action, &before), 0);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, strike_often, &t), 0);
    while (atomic_load(&t.ready) == 0) sched_yield();
    while (atomic_load(&t.handled) < STRIKES) {
        void *memory = NULL;
        fa_status status = fa_stream_load_begin(w, t.stream, &memory);
        EXPECT((status == FA_OK) == (memory != NULL));
    }
    pthread_join(thread, NULL);
    assert_int_equal(sigaction(SIGUSR1, &before, NULL), 0);
    assert_int_equal(fa_stream_free(w, t.stream), FA_OK);
    destroy_quiet(fa, &to);
}

int main(int argc, char **argv)
{
    const test_entry entries[] = {
        EACH_OF(from_reserve_to_gone, COUNTED("02"), "ny"),
        EACH_OF(progress_is_absolute_and_clamped, COUNTED("02"), "ny"),
        EACH_OF(bad_input_changes_nothing, COUNTED("02"), "ny"),
        EACH_OF(handles_are_never_reused_unnoticed, "02", "n"),
        EACH_OF(memory_is_aligned_as_asked, COUNTED("02"), "ny"),
        EACH_OF(taking_over_an_aborted_load, "0", "n"),
        EACH_OF(an_aborted_load_can_be_begun_again, COUNTED("02"), "ny"),
        EACH_OF(jobs_load_in_steps, COUNTED("0124"), "ny"),
        EACH_OF(the_budget_is_kept, COUNTED("02"), "ny"),
        EACH_OF(the_default_budget, "0", "n"),
        EACH_OF(the_number_of_streams_is_limited, "02", "ny"),
        EACH_OF(memory_max_refuses_a_load, COUNTED("02"), "ny"),
        EACH_OF(a_tag_pays_for_its_streams, COUNTED("02"), "ny"),
        EACH_OF(a_higher_priority_evicts_one, COUNTED("02"), "ny"),
        EACH_OF(a_reserve_that_fails_evicts_nothing, COUNTED("02"), "ny"),
        EACH_OF(critical_is_never_evicted, COUNTED("02"), "ny"),
        EACH_OF(a_changed_priority_counts, COUNTED("02"), "ny"),
        EACH_OF(eviction_goes_by_priority_and_use, COUNTED("02"), "ny"),
        EACH_OF(eviction_is_deterministic, COUNTED("0124"), "ny"),
        EACH_OF(pinned_streams_stay, COUNTED("02"), "ny"),
        EACH_OF(pins_have_a_limit, COUNTED("0"), "n"),
        EACH_OF(a_callback_may_use_the_library, COUNTED("02"), "ny"),
        EACH_OF(a_free_waits_for_pins, COUNTED("02"), "ny"),
        EACH_OF(a_free_waits_for_a_loader, COUNTED("02"), "ny"),
        EACH_OF(a_loader_frees_its_own_at_once, COUNTED("02"), "ny"),
        EACH_OF(what_is_left_is_reported, "02", "ny"),
        EACH_OF(a_reader_keeps_what_it_read, COUNTED("02"), "ny"),
        EACH(reservers_never_overshoot),
        EACH_OF(traffic_leaves_the_budget_exact, COUNTED("0124"), "ny"),
        EACH(evictors_share_the_victims),
        EACH_OF(a_plan_that_fails_is_not_seen, COUNTED("124"), "ny"),
        EACH_OF(what_a_plan_claims_stays_until_it_is_carried_out, COUNTED("0"), "ny"),
        EACH_OF(a_plan_and_a_pin_exclude_each_other, COUNTED("124"), "ny"),
        EACH_OF(a_storm_leaves_nothing, COUNTED("0124"), "ny"),
    };
    return RUN_MATRIX("stream", entries, argc, argv);
}
