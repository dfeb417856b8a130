// SPDX-License-Identifier: MIT
//
// Programs that break a rule of the public interface. No edge of the library may hide that: an annotation or an order that says too much would.
#include "tests/race/race.h"

#include <framealloc/handle.h>
#include <framealloc/stream.h>
#include <framealloc/transfer.h>

static PLAIN void write_late(unsigned char *p)
{
    p[64] = 1;
}

static PLAIN void read_late(const unsigned char *p)
{
    REQUIRE(p[64] != 77);
}

static PLAIN void use_properly(unsigned char *p)
{
    p[64] = 2;
}

static void frame(void)
{
    begin_frame();
    end_frame();
    sched_yield();
}

/// Frames until the grace period is over and the pool gives the memory out again.
static void use_memory_again(unsigned char *old)
{
    for (unsigned char *p = NULL; p != old;) {
        frame();
        p = fa_pool_alloc(scene.w, SIZE);
        REQUIRE(p != NULL);
        if (p == old) use_properly(p);
        fa_pool_free(scene.w, p);
    }
}

/// A pointer kept over a quiescent state: the last one passed before the other thread's grace period ends.
static void keep_too_long(unsigned char *p)
{
    raise_flag(&used);
    REQUIRE(fa_idle_begin(scene.other) == FA_OK);
    wait_for(&over);
    read_late(p);
    REQUIRE(fa_idle_end(scene.other) == FA_OK);
}

// Cells -----------------------------------------------------------------------------------------------------------------

static fa_cell cell;

static void replace_version(void)
{
    unsigned char *p = fa_pool_alloc(scene.w, SIZE);
    REQUIRE(fa_cell_publish(scene.w, &cell, p) == FA_OK);
    raise_flag(&ready);
    wait_for(&used);
    REQUIRE(fa_cell_drop(scene.w, &cell) == FA_OK);
    use_memory_again(p);
    raise_flag(&over);
}

static void keep_version(void)
{
    wait_for(&ready);
    keep_too_long(fa_cell_read(scene.other, &cell));
}

// Objects ---------------------------------------------------------------------------------------------------------------

static void take_again(void)
{
    unsigned char *p = fa_pool_alloc(scene.w, SIZE);
    pass_object(p);
    wait_for(&used);
    have_again(p, use_properly);
}

static void write_freed(void)
{
    unsigned char *p = passed_object();
    fa_pool_free(scene.other, p);
    write_late(p);
    raise_flag(&used);
}

static void write_sent(void)
{
    unsigned char *p = fa_pool_alloc(scene.w, 128);
    fa_transfer ticket;
    REQUIRE(fa_transfer_send(scene.w, p, &ticket) == FA_OK);
    pass_on(ticket.bits);
    write_late(p);
}

static void use_received(void)
{
    void *p;
    REQUIRE(fa_transfer_receive(scene.other, (fa_transfer){passed()}, &p) == FA_OK);
    use_properly(p);
    fa_pool_free(scene.other, p);
}

// Frame memory ----------------------------------------------------------------------------------------------------------

static void use_next_frame(void)
{
    begin_frame();
    void *p = fa_frame_alloc(scene.w, 128);
    pass_object(p);
    end_frame();
    begin_frame();
    REQUIRE(fa_frame_alloc(scene.w, 128) == p);
    use_properly(p);
    raise_flag(&over);
    wait_for(&used);
    end_frame();
}

static void write_last_frame(void)
{
    unsigned char *p = passed_object();
    wait_for(&over); // no matter when: nothing orders it
    write_late(p);
    raise_flag(&used);
}

// Handles ---------------------------------------------------------------------------------------------------------------

/// Of 32 KiB: it has memory of its own, which the heap gives out again.
static void free_handle(void)
{
    fa_handle handle = fa_handle_alloc(scene.w, SIZE, 16, NULL);
    unsigned char *p = fa_handle_resolve(scene.w, handle);
    REQUIRE(p != NULL);
    pass_handle(handle);
    wait_for(&used);
    REQUIRE(fa_handle_free(scene.w, handle) == FA_OK);
    for (unsigned char *again = NULL; again != p;) {
        frame();
        handle = fa_handle_alloc(scene.w, SIZE, 16, NULL);
        again = fa_handle_resolve(scene.w, handle);
        REQUIRE(again != NULL);
        if (again == p) use_properly(again);
        REQUIRE(fa_handle_free(scene.w, handle) == FA_OK);
    }
    raise_flag(&over);
}

static void keep_resolved(void)
{
    keep_too_long(fa_handle_resolve(scene.other, passed_handle()));
}

// Streams ---------------------------------------------------------------------------------------------------------------

static void *loaded(fa_stream *stream)
{
    void *memory;
    REQUIRE(fa_stream_reserve(scene.w, SIZE, FA_STREAM_NORMAL, NULL, stream) == FA_OK);
    REQUIRE(fa_stream_load_begin(scene.w, *stream, &memory) == FA_OK);
    REQUIRE(fa_stream_load_end(scene.w, *stream) == FA_OK);
    return memory;
}

static void free_stream(void)
{
    fa_stream stream;
    void *p = loaded(&stream);
    pass_on(stream.bits);
    wait_for(&used);
    REQUIRE(fa_stream_free(scene.w, stream) == FA_OK);
    for (void *again = NULL; again != p;) {
        frame();
        again = loaded(&stream);
        if (again == p) use_properly(again);
        REQUIRE(fa_stream_free(scene.w, stream) == FA_OK);
    }
    raise_flag(&over);
}

static void keep_read(void)
{
    size_t size;
    const void *p = fa_stream_read(scene.other, (fa_stream){passed()}, &size);
    keep_too_long((unsigned char *)(uintptr_t)p);
}

// Groups ----------------------------------------------------------------------------------------------------------------

static PLAIN void clean_up(fa_worker *w, void *p, void *context)
{
    (void)w, (void)context;
    use_properly(p);
}

/// The group's end is the program's to order with the last use of its objects.
static void write_in_group(void)
{
    fa_group group = {passed()};
    unsigned char *p = fa_group_alloc_cleaned(scene.other, group, 128, 16, clean_up, NULL);
    REQUIRE(p != NULL);
    write_late(p);
    raise_flag(&used);
}

const race races_by_misuse[] = {
    {.name = "cell_kept", .first = replace_version, .second = keep_version, .adjust = plain},
    {.name = "freed_written", .first = take_again, .second = write_freed, .adjust = plain},
    {.name = "sent_written", .first = write_sent, .second = use_received, .adjust = plain},
    {.name = "frame_late", .first = use_next_frame, .second = write_last_frame, .adjust = plain},
    {.name = "handle_kept", .first = free_handle, .second = keep_resolved, .adjust = plain},
    {.name = "stream_kept", .first = free_stream, .second = keep_read, .adjust = plain},
    {.name = "group_ended", .first = end_group, .second = write_in_group, .adjust = plain},
    {0},
};
