// SPDX-License-Identifier: MIT
//
// The model of fuzz_api: what lives, what was written to it, and what may end it. One file per noun has its operations, each of which reads its
// arguments from the input, makes calls, compares the answers with the model's, and keeps the model true.
#pragma once

#include "fuzz.h"

#include <framealloc/framealloc.h>

#define MIB ((size_t)1 << 20)

enum {
    OBJECTS = 96,
    HANDLES = 32,
    STREAMS = 16,
    NAMED = 4, // groups, scratch pools, cells, counters
    MARKS = 8,
    FRAMES = 4, // most in flight
    JOBS = 48,  // queued at a time
    TAGS = 4,   // open at a time, and names
    STEPS = 400,
    TRANSFERS = 8,
    DEQUE = 16,
    STREAM_BUDGET = 1 << 20,
    LIVE_MAX = 16 << 20, // so much never fails in a system without limits
};

enum kind { NOTHING, FRAME, SCOPE, RETAINED, POOL, HEAP, IN_CELL, IN_GROUP, IN_SCRATCH, IN_TRANSIT };

struct object {
    enum kind kind;
    uint8_t owner; // number of its cell, group or scratch pool; POOL or HEAP of what is in transit
    bool apart;    // made by a job, or by the guest: no rollback of the main lane's frees it
    uint32_t serial;
    uint64_t frame; // of FRAME and RETAINED
    unsigned char *at;
    size_t size;
    fa_retain retain;
    fa_transfer ticket;
};

struct handled {
    fa_handle handle; // {0}: none
    size_t size;
    uint32_t serial, pins;
    const void *pinned;
    bool fixed;
};

struct streamed {
    fa_stream stream;
    fa_stream_state state; // NONE: none
    fa_stream_priority priority;
    size_t size;
    uint32_t serial, pins;
};

struct mark { // a checkpoint or a scope, in the order of taking
    bool is_scope;
    fa_checkpoint checkpoint;
    fa_scope scope;
    uint32_t serial; // objects from here on are younger
};

struct model {
    fa_system *fa;
    fa_worker *w; // the main lane's
    struct fuzz_bytes input;
    bool checked, limited, in_frame; // limited: memory may be refused
    bool planted;
    uint32_t serial, permitted[16], permitted_count; // codes, each once
    size_t live_bytes, leaving_bytes;                // the latter of what readers may still read
    struct object objects[OBJECTS];
    struct handled handles[HANDLES];
    fa_handle stale;
    struct streamed streams[STREAMS];
    struct mark marks[MARKS];
    uint32_t mark_count;
    fa_cell cells[NAMED];
    fa_group groups[NAMED];
    uint32_t group_objects[NAMED], cleanups[NAMED], cleaned;
    bool group_leaves; // one was freed while the guest might have been reading it
    fa_scratch scratches[NAMED];
    uint64_t scratch_objects[NAMED];
    fa_stream_priority asking; // of the reserve that runs
    // frames: those from `oldest` to `newest` are alive
    uint32_t frame_slots;
    uint64_t oldest, newest;
    uint64_t listed,
        early_before;       // frames from `listed` to `early_before` were retired by a begin: listed at the next end
    fa_frame holds[FRAMES]; // {0}: none
    uint32_t depth;         // of jobs
    uint64_t ran;           // jobs
    bool frame_jobs;        // some were submitted in the newest frame
};

extern struct model api;

// api_model.c: for the rest of the operation a diagnostic is permitted; everything that lives is looked at.
void permit(uint32_t code);
void take_diagnostic(const fa_diagnostic *diagnostic, void *context);
void make_pattern(void);
const unsigned char *pattern_of(uint32_t serial);
void fill(void *p, size_t size, uint32_t serial);
bool holds(const void *p, size_t size, uint32_t serial);
void check_object(const struct object *object);
void check_handle(const struct handled *handled);
void check_stream(const struct streamed *streamed);
void check_all(void);
uint8_t take(void);
size_t take_size(void);
size_t take_align(size_t most);
bool has_room(size_t size);
struct object *free_place(void);
struct object *pick(enum kind one, enum kind other);
struct object *admit(enum kind kind, void *p, size_t size, size_t align);
void forget(struct object *object);
void forget_gone(struct object *object); // one whose memory may not be looked at any more
uint32_t count_of(enum kind kind);

// api_frame.c
void alloc_frame(void);
void alloc_scope(void);
void checkpoint_take(void);
void checkpoint_rollback(void);
void scope_begin(void);
void scope_end(void);
void alloc_retained(void);
void retained_abandon(void);
void frame_begin(void);
void frame_end(void);
void frame_hold(void);
void frame_drop(void);
void leave_marks(bool stale);
void leave_cell(uint8_t cell, bool look); // look: what is in it may still be looked at

// api_pool.c
void alloc_pool(void);
void alloc_heap(void);
void alloc_batch(void);
void free_object(void);
void realloc_object(void);
void publish(void);
void drop(void);
void retire(void);
void give_back(struct object *object, bool any);
void transfer_send(void);
void transfer_receive(void);

// api_group.c
void group_create(void);
void group_alloc(void);
void group_free(void);
void scratch_create(void);
void scratch_alloc(void);
void scratch_reset(void);
void end_group(uint8_t at);

// api_handle.c
void handle_alloc(void);
void handle_free(void);
void handle_pin(void);
void handles_compact(void);

// api_stream.c
void stream_reserve(void);
void stream_load(void);
void stream_pin(void);
void stream_free(void);

// api_job.c
void job_submit(void);
void job_submit_many(void);
void job_wait(void);
void job_fork(void);
void job_loop(void);
void job_run_main(void);
void jobs_begin(void);
void jobs_frame_ends(void); // everything queued is about to run
void jobs_frame_ended(void);

// api_tag.c
void tag_begin(void);
void tag_end(void);
void phase_begin(void);
void phase_end(void);
void budget_set(void);
void lane_budget_set(void);
void tags_begin(void);
void tags_frame_ends(void);
void tags_end(void);
void tags_check(void);
uint32_t tag_now(void);            // the current tag's id, of the job that runs
uint32_t tags_switch(uint32_t id); // a job begins or ends; returns the one before

// api_collection.c
void vector_use(void);
void map_use(void);
uint32_t collection_objects(void); // those in pool or heap memory
void collections_forget(fa_home home, uint32_t serial,
                        uint64_t frame); // whose memory is gone: younger than `serial`, of the frame
void collections_leave(uint32_t serial,
                       uint64_t frame); // likewise in frame memory, but it may be there still: not to be looked at
void collections_end(void);

// api_guest.c: a second thread, which runs while it is handed the turn
void guest_attach(void);
void guest_detach(void);
void guest_use(void);
void guest_hold(void);
void guest_end(void);
void guest_meets(const struct object *object,
                 bool later); // the main lane frees it, if it is of the guest's making, or will
bool guest_is_there(void);
void guest_boundary(bool nothing_waits); // nothing: of what readers may still read
bool guest_is_settled(void);             // nothing is on its way to or from its lane
