// SPDX-License-Identifier: MIT
//
// Sequences of calls against a model of what the library promises (api.h). The input is a list of operations and their arguments; the model knows
// every object that lives, what was written to it, and what may end it. There are no workers, and the one other thread runs only while it is handed
// the turn, so a run is a function of its input, but for the boundary at which a grace period is over.
//
// After each operation one object is looked at, at a frame's end all of them, and the counts of fa_stats are compared with the model's. A
// diagnostic that the operation does not permit fails the run. With FUZZ_PLANTED=1 the model forgets what rollbacks free, and must be found
// wrong.
#include "api.h"

// --- Bad input --------------------------------------------------------------------------------------------------------

static void refuse_sizes(void)
{
    FUZZ_CHECK(fa_frame_alloc(api.w, 0) == NULL && fa_handle_is_none(fa_handle_alloc(api.w, 0, 16, NULL)));
    FUZZ_CHECK(fa_pool_alloc(api.w, 0) == NULL && fa_heap_alloc(api.w, 0, 16) == NULL &&
               fa_scope_alloc(api.w, 0) == NULL);
    permit(914);
    FUZZ_CHECK(fa_pool_alloc_array(api.w, SIZE_MAX / 2, 3, 16) == NULL);
    permit(301);
    permit(3);
    FUZZ_CHECK(fa_heap_alloc(api.w, SIZE_MAX - take(), 16) == NULL && fa_scope_alloc(api.w, SIZE_MAX - take()) == NULL);
}

static void refuse_alignments(void)
{
    permit(903);
    if (!api.in_frame) permit(1);
    size_t align = 3 + (size_t)take() * 2;
    FUZZ_CHECK(fa_heap_alloc(api.w, 8, align) == NULL && fa_pool_alloc_aligned(api.w, 8, align) == NULL);
    FUZZ_CHECK(fa_frame_alloc_aligned(api.w, 8, align) == NULL && fa_scope_alloc_aligned(api.w, 8, align) == NULL);
    FUZZ_CHECK(fa_handle_is_none(fa_handle_alloc(api.w, 8, align, NULL)));
}

// --- The run ----------------------------------------------------------------------------------------------------------

static void (*const operations[])(void) = {
    alloc_frame, alloc_scope,    checkpoint_take,  checkpoint_rollback, scope_begin,
    scope_end,   alloc_retained, retained_abandon, frame_begin,         frame_end,
    alloc_pool,  alloc_heap,     alloc_batch,      free_object,         realloc_object,
    publish,     drop,           retire,           group_create,        group_alloc,
    group_free,  scratch_create, scratch_alloc,    scratch_reset,       handle_alloc,
    handle_free, handle_pin,     handles_compact,  stream_reserve,      stream_load,
    stream_pin,  stream_free,    refuse_sizes,     refuse_alignments,   frame_hold,
    frame_drop,  transfer_send,  transfer_receive, job_submit,          job_submit_many,
    job_wait,    job_fork,       job_loop,         job_run_main,        tag_begin,
    tag_end,     phase_begin,    phase_end,        budget_set,          lane_budget_set,
    vector_use,  map_use,        guest_attach,     guest_detach,        guest_use,
    guest_hold,
};

static fa_config configure(uint8_t flags)
{
    fa_config config = fa_config_minimal();
    config.checked = api.checked;
    config.attached_max = 1;
    config.reserve_bytes = 128 * MIB;
    config.deque_capacity = DEQUE;
    config.handles_max = 256;
    config.event_capacity = 64;
    config.frame_bytes_max = 0;
    config.memory_max = api.limited ? 4 * MIB + (flags >> 6) * 2 * MIB : 0;
    config.stream_bytes_max = STREAM_BUDGET;
    config.transfers_max = TRANSFERS;
    config.quarantine = api.checked && (flags & 4) ? 64 : 0;
    config.frames_in_flight = api.frame_slots;
    config.report = take_diagnostic;
    return config;
}

static void begin(const uint8_t *data, size_t size)
{
    make_pattern();
    memset(&api, 0, sizeof api);
    api.input = (struct fuzz_bytes){data, size};
    api.planted = fuzz_is_planted();
    uint8_t flags = take();
    api.checked = flags & 1;
    api.limited = flags & 2;
    api.frame_slots = 1 + (flags >> 3) % FRAMES;
    api.oldest = api.listed = api.early_before = 1;
    fa_config config = configure(flags);
    jobs_begin();
    tags_begin();
    FUZZ_CHECK(fa_create(&config, &api.fa) == FA_OK);
    api.w = fa_self(api.fa);
}

/// Frames end, and with them what was retained.
static void end_frames(void)
{
    for (int i = 1; i < FRAMES; i++) {
        if (api.holds[i].bits != 0) FUZZ_CHECK(fa_frame_drop(api.fa, api.holds[i]) == FA_OK);
        api.holds[i] = (fa_frame){0};
    }
    if (!api.in_frame && api.oldest <= api.newest) frame_begin();
    if (api.in_frame) frame_end();
    FUZZ_CHECK(api.oldest == api.newest + 1);
    leave_marks(false);
}

static void end_objects(void)
{
    for (int i = 0; i < OBJECTS; i++) {
        struct object *object = &api.objects[i];
        check_object(object);
        if (object->kind == IN_TRANSIT) {
            void *p;
            FUZZ_CHECK(fa_transfer_receive(api.w, object->ticket, &p) == FA_OK && p == object->at);
            object->kind = (enum kind)object->owner;
        }
        if (object->kind == POOL || object->kind == HEAP) give_back(object, false);
        if (object->kind == IN_CELL) object->kind = NOTHING;
    }
    for (int i = 0; i < NAMED; i++) {
        FUZZ_CHECK(fa_cell_drop(api.w, &api.cells[i]) == FA_OK || api.limited);
        api.permitted_count = 0;
        end_group((uint8_t)i);
    }
}

static void end_handles(void)
{
    for (int i = 0; i < HANDLES; i++) {
        struct handled *handled = &api.handles[i];
        for (; handled->pins > 0; handled->pins--) FUZZ_CHECK(fa_handle_unpin(api.w, handled->handle) == FA_OK);
        if (fa_handle_is_none(handled->handle)) continue;
        fa_status status = fa_handle_free(api.w, handled->handle);
        FUZZ_CHECK(status == FA_OK || (api.limited && status == FA_ERROR_MEMORY));
    }
}

static void end_streams(void)
{
    for (int i = 0; i < STREAMS; i++) {
        struct streamed *streamed = &api.streams[i];
        for (; streamed->pins > 0; streamed->pins--) FUZZ_CHECK(fa_stream_unpin(api.w, streamed->stream) == FA_OK);
        if (streamed->state != FA_STREAM_NONE) FUZZ_CHECK(fa_stream_free(api.w, streamed->stream) == FA_OK);
    }
}

/// Everything is given back: fa_destroy() would report what is left (FA910).
static void end(void)
{
    api.permitted_count = 0;
    api.input.left = 0;
    guest_end();
    end_frames();
    collections_end();
    end_objects();
    end_handles();
    end_streams();
    tags_end();
    api.permitted_count = 0;
    if (api.limited) permit(910); // a cell or a handle could not be given back without memory
    FUZZ_CHECK(fa_destroy(api.fa) == FA_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    begin(data, size);
    for (uint32_t step = 0; step < STEPS && api.input.left > 0; step++) {
        api.permitted_count = 0;
        operations[take() % (sizeof operations / sizeof *operations)]();
        api.permitted_count = 0;
        tags_check();
        check_object(&api.objects[step % OBJECTS]);
        check_handle(&api.handles[step % HANDLES]);
        check_stream(&api.streams[step % STREAMS]);
    }
    end();
    return 0;
}
