// SPDX-License-Identifier: MIT
//
// Observation: the public calls, which are the main lane's, and the frame's edges. See observe.h.
#include "jobs/observe.h"

#include "jobs/attach.h"

/// FA_OK if this is the main lane, outside jobs.
static fa_status check_main(const fa_system *fa)
{
    fa_status status = fai_memory_check_main(&fa->memory);
    if (status != FA_OK) return status;
    return fai_system_worker(fa, 0)->context != NULL ? FA_ERROR_STATE : FA_OK;
}

static fa_status check_trace(const fa_system *fa)
{
    fa_status status = check_main(fa);
    return status == FA_OK && fai_observe_delivers(fa) ? FA_ERROR_STATE : status;
}

static bool make_rings(fa_system *fa)
{
    return fai_events_make_rings(&fa->memory, fai_load_relaxed(&fa->lane_end));
}

// Listeners -------------------------------------------------------------------------------------------------------------

fa_status fa_listen(fa_system *fa, uint64_t mask, fa_event_fn *fn, void *context, fa_listener *out)
{
    if (out != NULL) *out = (fa_listener){0};
    if (fa == NULL || fn == NULL || out == NULL || mask == 0 || (mask & ~FA_EVENT_ALL) != 0) return FA_ERROR_INVALID;
    if (!FA_TRACE) return FA_ERROR_UNSUPPORTED;
    fa_status status = check_main(fa);
    if (status != FA_OK) return status;
    if (!make_rings(fa)) return FA_ERROR_MEMORY;
    return fai_events_listen(&fa->memory, mask, fn, context, out);
}

fa_status fa_unlisten(fa_system *fa, fa_listener listener)
{
    if (fa == NULL) return FA_ERROR_INVALID;
    if (!FA_TRACE) return FA_ERROR_UNSUPPORTED;
    fa_status status = check_main(fa);
    return status == FA_OK ? fai_events_unlisten(&fa->memory, listener) : status;
}

// Trace -----------------------------------------------------------------------------------------------------------------

static fa_status start(fa_system *fa, const char *path, fa_write_fn *write, void *context)
{
    if (fa == NULL || (path == NULL && write == NULL)) return FA_ERROR_INVALID;
    if (!FA_TRACE) return FA_ERROR_UNSUPPORTED;
    fa_status status = check_trace(fa);
    if (status == FA_OK && fa->memory.events.trace != NULL) status = FA_ERROR_STATE;
    if (status == FA_OK && !make_rings(fa)) status = FA_ERROR_MEMORY;
    return status == FA_OK ? fai_trace_open(&fa->memory, path, write, context) : status;
}

fa_status fa_trace_start(fa_system *fa, const char *path)
{
    return start(fa, path, NULL, NULL);
}

fa_status fa_trace_start_to(fa_system *fa, fa_write_fn *write, void *context)
{
    return start(fa, NULL, write, context);
}

fa_status fa_trace_stop(fa_system *fa, fa_trace_result *result)
{
    if (fa == NULL) return FA_ERROR_INVALID;
    if (!FA_TRACE) return FA_ERROR_UNSUPPORTED;
    fa_status status = check_trace(fa);
    if (status == FA_OK && fa->memory.events.trace == NULL) status = FA_ERROR_STATE;
    if (status != FA_OK) return status;
    fai_events_drain(&fa->memory, UINT64_MAX);
    return fai_trace_close(&fa->memory, result);
}

// Snapshots -------------------------------------------------------------------------------------------------------------

static bool is_main(const fa_system *fa)
{
    return fai_memory_check_main(&fa->memory) == FA_OK;
}

fa_status fa_snapshot_take(fa_system *fa, fa_snapshot *out)
{
    if (fa == NULL || out == NULL) return FA_ERROR_INVALID;
    if (!FA_STATISTICS) return FA_ERROR_UNSUPPORTED;
    if (!is_main(fa)) return FA_ERROR_WRONG_THREAD;
    fai_snapshot_fill(&fa->memory, out);
    return FA_OK;
}

fa_status fa_history_enable(fa_system *fa, uint32_t count)
{
    if (fa == NULL || count > 65536) return FA_ERROR_INVALID;
    if (!FA_STATISTICS) return FA_ERROR_UNSUPPORTED;
    if (!is_main(fa)) return FA_ERROR_WRONG_THREAD;
    return fai_history_open(&fa->memory, count != 0 ? count : fa->memory.config.history_length);
}

fa_status fa_history_disable(fa_system *fa)
{
    if (fa == NULL) return FA_ERROR_INVALID;
    if (!FA_STATISTICS) return FA_ERROR_UNSUPPORTED;
    if (!is_main(fa)) return FA_ERROR_WRONG_THREAD;
    fai_history_close(&fa->memory);
    return FA_OK;
}

uint32_t fa_history_count(fa_system *fa)
{
    return FA_STATISTICS && fa != NULL && is_main(fa) ? fai_history_size(&fa->memory) : 0;
}

fa_status fa_history_read(fa_system *fa, uint32_t age, fa_snapshot *out)
{
    if (fa == NULL || out == NULL) return FA_ERROR_INVALID;
    if (!FA_STATISTICS) return FA_ERROR_UNSUPPORTED;
    if (!is_main(fa)) return FA_ERROR_WRONG_THREAD;
    return fai_history_get(&fa->memory, age, out) ? FA_OK : FA_ERROR_STALE;
}

uint32_t fa_memory_graph(fa_system *fa, fa_graph_point *points, uint32_t n)
{
    if (!FA_STATISTICS || fa == NULL || points == NULL || !is_main(fa)) return 0;
    return fai_history_graph(&fa->memory, points, n);
}

// The frame's edges -----------------------------------------------------------------------------------------------------

void fai_observe_begin(fa_system *fa)
{
    if (fa->memory.events.wanted != 0) fai_events_deliver(&fa->memory, FA_EVENT_FRAME_BEGIN, fa->newest, 0);
}

void fai_observe_end(fa_system *fa)
{
    fai_memory *memory = &fa->memory;
    const fa_profiler *profiler = &memory->events.profiler;
    if (FA_STATISTICS) fai_history_keep(memory);
    if (FA_TRACE && memory->events.wanted != 0) {
        // For threads that attached since; without memory for it theirs stay unrecorded, and counted.
        (void)make_rings(fa);
        fai_events_look_at_memory(memory);
        fai_events_drain(memory, FAI_EVENTS_PER_BOUNDARY);
        fai_events_deliver(memory, FA_EVENT_FRAME_END, fa->newest, memory->merged.frame_bytes);
    }
    if (FA_TRACE && profiler->frame != NULL) profiler->frame(profiler->context, fa->newest, &memory->merged);
}

void fai_observe_finish(fa_system *fa, bool frame_ended)
{
    fai_events *events = &fa->memory.events;
    if (!FA_TRACE || events->rings == 0) return;
    fai_events_drain(&fa->memory, UINT64_MAX);
    if (frame_ended) fai_events_deliver(&fa->memory, FA_EVENT_FRAME_END, fa->newest, fa->memory.merged.frame_bytes);
    if (events->trace != NULL) (void)fai_trace_close(&fa->memory, NULL);
}
