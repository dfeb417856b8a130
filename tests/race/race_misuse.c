// SPDX-License-Identifier: MIT
//
// Programs that break a rule of the public interface. No edge of the library may hide that: an annotation or an order that says too much would.
#include "tests/race/race.h"

#include <framealloc/handle.h>
#include <framealloc/stream.h>
#include <framealloc/transfer.h>

enum { SIZE = 32768, TRIES = 4096 };

static flag ready, used, over;
static FAI_ATOMIC(unsigned char *) object;

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

static void plain(fa_config *config)
{
    (void)config;
}

static void frame(void)
{
    REQUIRE(fa_frame_begin(scene.fa) == FA_OK);
    REQUIRE(fa_frame_end(scene.fa, NULL) == FA_OK);
    sched_yield();
}

static void pass_on(void *p)
{
    REQUIRE(p != NULL);
    fai_store_relaxed(&object, p);
    raise_flag(&ready);
}

static unsigned char *passed(void)
{
    wait_for(&ready);
    return fai_load_relaxed(&object);
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
    static unsigned char *others[TRIES];
    unsigned char *p = fa_pool_alloc(scene.w, SIZE);
    pass_on(p);
    wait_for(&used);
    int count = 0;
    do {
        REQUIRE(count < TRIES);
        others[count] = fa_pool_alloc(scene.w, SIZE);
        REQUIRE(others[count] != NULL);
    } while (others[count++] != p);
    use_properly(p);
    while (count > 0) fa_pool_free(scene.w, others[--count]);
}

static void write_freed(void)
{
    unsigned char *p = passed();
    fa_pool_free(scene.other, p);
    write_late(p);
    raise_flag(&used);
}

static FAI_ATOMIC(uint64_t) ticket_bits;

static void write_sent(void)
{
    unsigned char *p = fa_pool_alloc(scene.w, 128);
    fa_transfer ticket;
    REQUIRE(fa_transfer_send(scene.w, p, &ticket) == FA_OK);
    fai_store_relaxed(&ticket_bits, ticket.bits);
    raise_flag(&ready);
    write_late(p);
}

static void use_received(void)
{
    void *p;
    wait_for(&ready);
    REQUIRE(fa_transfer_receive(scene.other, (fa_transfer){fai_load_relaxed(&ticket_bits)}, &p) == FA_OK);
    use_properly(p);
    fa_pool_free(scene.other, p);
}

// Frame memory ----------------------------------------------------------------------------------------------------------

static void use_next_frame(void)
{
    REQUIRE(fa_frame_begin(scene.fa) == FA_OK);
    void *p = fa_frame_alloc(scene.w, 128);
    pass_on(p);
    REQUIRE(fa_frame_end(scene.fa, NULL) == FA_OK);
    REQUIRE(fa_frame_begin(scene.fa) == FA_OK);
    REQUIRE(fa_frame_alloc(scene.w, 128) == p);
    use_properly(p);
    raise_flag(&over);
    wait_for(&used);
    REQUIRE(fa_frame_end(scene.fa, NULL) == FA_OK);
}

static void write_last_frame(void)
{
    unsigned char *p = passed();
    wait_for(&over); // no matter when: nothing orders it
    write_late(p);
    raise_flag(&used);
}

// Handles ---------------------------------------------------------------------------------------------------------------

static FAI_ATOMIC(uint64_t) handle_bits;

/// Of 32 KiB: it has memory of its own, which the heap gives out again.
static void free_handle(void)
{
    fa_handle handle = fa_handle_alloc(scene.w, SIZE, 16, NULL);
    unsigned char *p = fa_handle_resolve(scene.w, handle);
    REQUIRE(p != NULL);
    fai_store_relaxed(&handle_bits, (uint64_t)handle.generation << 32 | handle.index);
    raise_flag(&ready);
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
    wait_for(&ready);
    uint64_t bits = fai_load_relaxed(&handle_bits);
    keep_too_long(fa_handle_resolve(scene.other, (fa_handle){(uint32_t)bits, (uint32_t)(bits >> 32)}));
}

// Streams ---------------------------------------------------------------------------------------------------------------

static FAI_ATOMIC(uint64_t) stream_bits;

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
    fai_store_relaxed(&stream_bits, stream.bits);
    raise_flag(&ready);
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
    wait_for(&ready);
    const void *p = fa_stream_read(scene.other, (fa_stream){fai_load_relaxed(&stream_bits)}, &size);
    keep_too_long((unsigned char *)(uintptr_t)p);
}

// Groups ----------------------------------------------------------------------------------------------------------------

static FAI_ATOMIC(uint64_t) group_id;

static PLAIN void clean_up(fa_worker *w, void *p, void *context)
{
    (void)w, (void)context;
    use_properly(p);
}

static void end_group(void)
{
    fa_group group;
    REQUIRE(fa_group_create(scene.w, "race", &group) == FA_OK);
    fai_store_relaxed(&group_id, group.id);
    raise_flag(&ready);
    wait_for(&used);
    REQUIRE(fa_group_free(scene.w, group) == FA_OK);
}

/// The group's end is the program's to order with the last use of its objects.
static void write_in_group(void)
{
    wait_for(&ready);
    fa_group group = {fai_load_relaxed(&group_id)};
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
