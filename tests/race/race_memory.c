// SPDX-License-Identifier: MIT
//
// Memory on its way between lanes: what one lane leaves in it, another finds.
#include "tests/race/race.h"

#include "alloc/lane.h"

#include <framealloc/events.h>
#include <framealloc/job_memory.h>
#include <framealloc/stream.h>
#include <framealloc/transfer.h>

#include <pthread.h>

enum { LARGE = 4 << 20, RING = 64 };

static PLAIN void write_object(unsigned char *p)
{
    p[64] = 1;
}

static PLAIN void reuse_object(unsigned char *p)
{
    p[64] = 2;
}

static PLAIN void read_object(const unsigned char *p)
{
    REQUIRE(p[64] == 1);
}

// Blocks of 2 MiB -----------------------------------------------------------------------------------------------------

static void give_blocks(void)
{
    unsigned char *p = fa_heap_alloc(scene.other, LARGE, 16);
    REQUIRE(p != NULL);
    write_object(p);
    fa_heap_free(scene.other, p);
    pass_object(p);
}

static void take_blocks(void)
{
    const unsigned char *before = passed_object();
    unsigned char *p = fa_heap_alloc(scene.w, LARGE, 16);
    REQUIRE(p == before);
    reuse_object(p);
    fa_heap_free(scene.w, p);
}

// Frees by other lanes ------------------------------------------------------------------------------------------------

static void provide(void)
{
    pass_object(fa_pool_alloc(scene.w, SIZE));
}

static void take_again(void)
{
    wait_for(&used);
    have_again(passed_object(), reuse_object);
}

static void use_and_free(void)
{
    unsigned char *p = passed_object();
    write_object(p);
    fa_pool_free(scene.other, p); // as large as a packet may stand for: it is posted at once
    raise_flag(&used);
}

/// Linked by its first word, not in a packet.
static void *use_without_lane(void *arg)
{
    unsigned char *p = passed_object();
    write_object(p);
    fa_free_any(scene.fa, p);
    raise_flag(&used);
    return arg;
}

static void start_thread_without_lane(void)
{
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, use_without_lane, NULL) == 0);
    REQUIRE(pthread_join(thread, NULL) == 0);
}

// A lane that changes hands -------------------------------------------------------------------------------------------

static void use_lane_and_rest(void)
{
    pass_object(fa_pool_alloc(scene.other, SIZE));
    REQUIRE(fa_idle_begin(scene.other) == FA_OK);
    raise_flag(&used);
    wait_for(&over);
    REQUIRE(fa_idle_end(scene.other) == FA_OK);
}

/// There is something to bring home for the idle lane: the boundary works on its behalf.
static void serve_lane(void)
{
    wait_for(&used);
    fa_pool_free(scene.w, passed_object());
    begin_frame();
    end_frame();
    raise_flag(&over);
}

// Cells ---------------------------------------------------------------------------------------------------------------

static fa_cell cell;

static void publish_version(void)
{
    unsigned char *p = fa_pool_alloc(scene.w, 128);
    REQUIRE(p != NULL);
    write_object(p);
    REQUIRE(fa_cell_publish(scene.w, &cell, p) == FA_OK);
}

static void read_version(void)
{
    const unsigned char *p;
    while ((p = fa_cell_read(scene.other, &cell)) == NULL) sched_yield();
    read_object(p);
}

// Handles -------------------------------------------------------------------------------------------------------------

static fa_handle handle;

static PLAIN void look_at_moved(const void *from, void *to, void *context)
{
    (void)to, (void)context;
    REQUIRE(((const unsigned char *)from)[64] <= 1);
}

static fa_handle make_handle(fa_worker *w)
{
    fa_handle_options options = {.on_relocate = look_at_moved};
    fa_handle made = fa_handle_alloc(w, 128, 16, &options);
    REQUIRE(!fa_handle_is_none(made));
    memset(fa_handle_resolve(w, made), 0, 128);
    return made;
}

static fa_handle kept[2];
static flag is_detached;

static void compact(void)
{
    for (int i = 0; i < 2; i++) kept[i] = make_handle(scene.w); // a fuller chunk to move to
    wait_for(&is_detached);
    fai_memory_trim_handles((fai_memory *)(void *)scene.fa); // the chunks are nobody's now
    raise_flag(&ready);
    wait_for(&used);
    fa_handle_compaction done;
    REQUIRE(fa_handles_compact(scene.fa, 1 << 20, 16, &done) == FA_OK);
    REQUIRE(done.moves == 1);
}

static void write_pinned(void)
{
    handle = make_handle(scene.other);
    REQUIRE(fa_detach(scene.other) == FA_OK);
    raise_flag(&is_detached);
    wait_for(&ready);
    REQUIRE(fa_attach(scene.fa, &scene.other) == FA_OK);
    unsigned char *p = fa_handle_pin(scene.other, handle);
    REQUIRE(p != NULL);
    write_object(p);
    REQUIRE(fa_handle_unpin(scene.other, handle) == FA_OK);
    raise_flag(&used);
}

static void free_handles(void)
{
    for (int i = 0; i < 2; i++) REQUIRE(fa_handle_free(scene.w, kept[i]) == FA_OK);
    REQUIRE(fa_handle_free(scene.w, handle) == FA_OK);
}

/// What the library knows of an object comes with its handle, however that travels.
static void give_handle(void)
{
    pass_handle(fa_handle_alloc(scene.w, 128, 16, NULL));
}

static void free_given_handle(void)
{
    REQUIRE(fa_handle_free(scene.other, passed_handle()) == FA_OK);
}

// Streams -------------------------------------------------------------------------------------------------------------

static void load_stream(void)
{
    fa_stream stream;
    void *memory;
    REQUIRE(fa_stream_reserve(scene.other, SIZE, FA_STREAM_NORMAL, NULL, &stream) == FA_OK);
    pass_on(stream.bits);
    REQUIRE(fa_stream_load_begin(scene.other, stream, &memory) == FA_OK);
    write_object(memory);
    REQUIRE(fa_stream_load_end(scene.other, stream) == FA_OK);
}

static fa_stream loaded_stream(void)
{
    fa_stream stream = {passed()};
    while (fa_stream_state_of(scene.fa, stream) != FA_STREAM_READY) sched_yield(); // all of it is loaded a moment earlier
    return stream;
}

static void pin_stream(void)
{
    const void *data;
    size_t size;
    fa_stream stream = loaded_stream();
    REQUIRE(fa_stream_pin(scene.w, stream, &data, &size) == FA_OK);
    read_object(data);
    REQUIRE(fa_stream_unpin(scene.w, stream) == FA_OK);
    REQUIRE(fa_stream_free(scene.w, stream) == FA_OK);
}

static void read_stream(void)
{
    size_t size;
    fa_stream stream = loaded_stream();
    read_object(fa_stream_read(scene.w, stream, &size));
    REQUIRE(fa_stream_free(scene.w, stream) == FA_OK);
}

static PLAIN void look_at_evicted(fa_worker *w, const fa_stream_eviction *eviction)
{
    (void)w;
    REQUIRE(((const unsigned char *)eviction->data)[64] == 1);
}

static void small_budget(fa_config *config)
{
    config->stream_bytes_max = LARGE;
}

static void fill_and_evict(void)
{
    static const fa_stream_options options = {.evict = look_at_evicted};
    fa_stream stream;
    void *memory;
    REQUIRE(fa_stream_reserve(scene.w, LARGE, FA_STREAM_LOW, &options, &stream) == FA_OK);
    REQUIRE(fa_stream_load_begin(scene.w, stream, &memory) == FA_OK);
    REQUIRE(fa_stream_load_end(scene.w, stream) == FA_OK);
    pass_on(stream.bits);
    wait_for(&used);
    REQUIRE(fa_stream_reserve(scene.w, LARGE, FA_STREAM_NORMAL, NULL, &stream) == FA_OK);
    REQUIRE(fa_stream_free(scene.w, stream) == FA_OK);
}

static void write_under_pin(void)
{
    const void *data;
    size_t size;
    fa_stream stream = {passed()};
    REQUIRE(fa_stream_pin(scene.other, stream, &data, &size) == FA_OK);
    write_object((unsigned char *)(uintptr_t)data); // so that the access conflicts with that of the callback
    REQUIRE(fa_stream_unpin(scene.other, stream) == FA_OK);
    raise_flag(&used);
}

// Groups --------------------------------------------------------------------------------------------------------------

static void clean_up(fa_worker *w, void *p, void *context)
{
    (void)w, (void)p, (void)context;
}

static void allocate_in_group(void)
{
    fa_group group = {passed()};
    REQUIRE(fa_group_alloc_cleaned(scene.other, group, 128, 16, clean_up, NULL) != NULL);
    raise_flag(&used);
}

// Transfer ------------------------------------------------------------------------------------------------------------

static void send_object(void)
{
    unsigned char *p = fa_pool_alloc(scene.w, 128);
    fa_transfer ticket;
    write_object(p);
    REQUIRE(fa_transfer_send(scene.w, p, &ticket) == FA_OK);
    pass_on(ticket.bits);
}

static void receive_object(void)
{
    void *p;
    fa_transfer ticket = {passed()};
    REQUIRE(fa_transfer_receive(scene.other, ticket, &p) == FA_OK);
    read_object(p);
    fa_pool_free(scene.other, p);
}

// Frames --------------------------------------------------------------------------------------------------------------

static void hold(fa_frame *frame)
{
    wait_for(&ready);
    REQUIRE(fa_frame_hold(scene.other, frame) == FA_OK);
}

static void drop(fa_frame frame)
{
    REQUIRE(fa_frame_drop(scene.fa, frame) == FA_OK);
    raise_flag(&used);
}

static void retire_frame(void)
{
    begin_frame();
    raise_flag(&ready);
    wait_for(&used);
    end_frame();
}

static void use_frame(void)
{
    fa_frame frame;
    hold(&frame);
    REQUIRE(fa_frame_alloc(scene.other, 128) != NULL);
    drop(frame);
}

static void retain_object(void)
{
    static const fa_retain how = {.to = FA_RETAIN_DISCARD};
    fa_frame frame;
    hold(&frame);
    REQUIRE(fa_frame_retained(scene.other, 128, 16, &how) != NULL);
    drop(frame);
}

// Jobs ----------------------------------------------------------------------------------------------------------------

static fa_counter counter = FA_COUNTER_INIT;

static void one_worker(fa_config *config)
{
    config->worker_count = 1;
}

static void run_once(fa_worker *w, void *arg)
{
    REQUIRE(w != scene.w);
    write_object(arg);
}

static void poll_counter(void)
{
    static unsigned char bytes[128];
    begin_frame();
    REQUIRE(fa_submit_counted(scene.w, &counter, run_once, bytes) == FA_OK);
    while (!fa_is_done(&counter)) sched_yield(); // no call into the library
    read_object(bytes);
    end_frame();
}

static void nothing(void)
{
}

static PLAIN void use_frame_in_job(fa_worker *w, void *arg)
{
    (void)arg;
    REQUIRE(w == scene.other && fa_frame_alloc(w, 128) != NULL);
}

static void submit_and_retire(void)
{
    begin_frame();
    REQUIRE(fa_submit_counted(scene.w, &counter, use_frame_in_job, NULL) == FA_OK);
    raise_flag(&ready);
    wait_for(&used);
    end_frame();
}

/// Runs the job while it waits for it, so that no worker's sleep comes in between, which orders as well.
static void help(void)
{
    wait_for(&ready);
    REQUIRE(fa_wait(scene.other, &counter) == FA_OK);
    raise_flag(&used);
}

static flag parent_allocated, child_allocated;

static void allocate_as_child(fa_worker *w, void *arg)
{
    fa_job_memory memory = {(uintptr_t)arg};
    wait_for(&parent_allocated);
    REQUIRE(fa_job_memory_alloc(w, memory, 128, 16) != NULL);
    raise_flag(&child_allocated);
}

/// Parent and child allocate at the same time on two lanes; whoever leaves last gives back what the other took.
static void allocate_as_parent(fa_worker *w, void *arg)
{
    (void)arg;
    fa_job_memory memory;
    REQUIRE(fa_job_memory_open(w, &memory) == FA_OK);
    REQUIRE(fa_submit(w, allocate_as_child, (void *)(uintptr_t)memory.id) == FA_OK);
    REQUIRE(fa_job_alloc(w, 128, 16) != NULL);
    raise_flag(&parent_allocated);
    wait_for(&child_allocated);
}

static void run_parent(void)
{
    begin_frame();
    REQUIRE(fa_submit(scene.w, allocate_as_parent, NULL) == FA_OK);
    end_frame();
}

// Events and names ----------------------------------------------------------------------------------------------------

static void hear(const fa_event *event, void *context)
{
    (void)event, (void)context;
}

static void deliver_events(void)
{
    fa_listener listener;
    REQUIRE(fa_listen(scene.fa, FA_EVENT_BIT(FA_EVENT_TAG_PUSH), hear, NULL, &listener) == FA_OK);
    raise_flag(&ready);
    wait_for(&used);
    begin_frame();
    end_frame();
}

static void record_one(void)
{
    fa_tag_scope scope = fa_tag_begin(scene.other, "record");
    fa_tag_end(&scope);
}

static void record_events(void)
{
    wait_for(&ready);
    record_one();
    raise_flag(&used);
}

/// Records in the places of those that were delivered.
static void record_again(void)
{
    wait_for(&ready);
    for (int i = 0; i < RING; i++) record_one();
    raise_flag(&used);
    wait_for(&over);
    record_one();
}

static void deliver_once(void)
{
    deliver_events();
    raise_flag(&over);
}

static void small_ring(fa_config *config)
{
    config->event_capacity = RING;
}

static void name_tag(void)
{
    fa_tag tag;
    REQUIRE(fa_tag_find(scene.fa, "name", &tag) == FA_OK);
    raise_flag(&ready);
}

static void find_tag(void)
{
    fa_tag tag;
    wait_for(&ready);
    REQUIRE(fa_tag_find(scene.fa, "name", &tag) == FA_OK);
}

static void go_through_tags(void)
{
    wait_for(&ready);
    const char *path = fa_tag_path(scene.fa, fa_tag_at(scene.fa, 0));
    REQUIRE(path != NULL && path[0] == 'n');
}

// Diagnostics ---------------------------------------------------------------------------------------------------------

static fa_collector collector;
static fa_collected collected[4];

static void open_collector(void)
{
    fa_collector_init(&collector, collected, 4);
}

static void collect(void)
{
    while (fa_collector_count(&collector, "FA001") == 0) sched_yield();
}

static void report(void)
{
    static const fa_diagnostic said = {.code = "FA001", .message = "said"};
    fa_collector_take(&said, &collector);
}

const race races_of_memory[] = {
    {.name = "blocks", .first = take_blocks, .second = give_blocks, .adjust = plain},
    {.name = "remote", .begin = provide, .first = take_again, .second = use_and_free, .adjust = plain},
    {.name = "foreign", .begin = provide, .first = take_again, .second = start_thread_without_lane, .adjust = plain},
    {.name = "lane", .first = serve_lane, .second = use_lane_and_rest, .adjust = plain},
    {.name = "cell", .first = publish_version, .second = read_version, .adjust = plain},
    {.name = "handle_pin", .first = compact, .second = write_pinned, .adjust = plain, .end = free_handles},
    {.name = "handle_place", .first = give_handle, .second = free_given_handle, .adjust = plain},
    {.name = "stream_pin", .first = pin_stream, .second = load_stream, .adjust = plain},
    {.name = "stream_read", .first = read_stream, .second = load_stream, .adjust = plain},
    {.name = "stream_evict", .first = fill_and_evict, .second = write_under_pin, .adjust = small_budget},
    {.name = "group", .first = end_group, .second = allocate_in_group, .adjust = plain},
    {.name = "transfer", .first = send_object, .second = receive_object, .adjust = plain},
    {.name = "frame", .first = retire_frame, .second = use_frame, .adjust = plain},
    {.name = "promoted", .first = retire_frame, .second = retain_object, .adjust = plain},
    {.name = "frame_jobs", .first = submit_and_retire, .second = help, .adjust = plain},
    {.name = "counter", .first = poll_counter, .second = nothing, .adjust = one_worker},
    {.name = "job_memory", .first = run_parent, .second = nothing, .adjust = one_worker},
    {.name = "events", .first = deliver_events, .second = record_events, .adjust = plain},
    {.name = "events_again", .first = deliver_once, .second = record_again, .adjust = small_ring},
    {.name = "names", .first = name_tag, .second = find_tag, .adjust = plain},
    {.name = "names_all", .first = name_tag, .second = go_through_tags, .adjust = plain},
    {.name = "collector", .begin = open_collector, .first = collect, .second = report},
    {0},
};
