// SPDX-License-Identifier: MIT
//
// The event stream as a file: Chrome trace events in JSON, which Perfetto (ui.perfetto.dev), chrome://tracing and Speedscope open.
//
// Jobs, pieces of loops, waits, sleep and phases are zones of their lane's track, steals, drains, promotions and the like are instants on it;
// frames have a track of their own, memory and jobs are counters. Every fa_frame_end() writes what the lanes recorded, at most 65536 events a call.
// Between start and stop nothing is allocated; the file grows by about 100 bytes an event.
//
// What [own], [main] and [any] mean, and what a wrong thread, NULL, size or alignment is answered: base.h. A refused call changes nothing.
#pragma once

#include <framealloc/events.h>

typedef struct fa_trace_result {
    uint64_t events;  // written: zones count twice, counters and names not at all
    uint64_t dropped; // that found their lane's ring full; the file says so too ("events dropped")
    uint64_t bytes;
} fa_trace_result;

/// [main] Starts to write a trace to a file, which is created or emptied, or through `write`, which is called on the main lane in pieces of up to
/// 4 KiB. Takes the lanes' rings as fa_listen() does. FA_ERROR_INVALID: NULL (context may be). FA_ERROR_STATE: a trace runs already, or called
/// inside a job or listener. FA_ERROR_IO: the file cannot be opened. FA_ERROR_MEMORY, FA_ERROR_WRONG_THREAD, FA_ERROR_UNSUPPORTED. Then nothing
/// runs.
FA_API FA_MUST_CHECK fa_status fa_trace_start(fa_system *fa, const char *path);
FA_API FA_MUST_CHECK fa_status fa_trace_start_to(fa_system *fa, fa_write_fn *write, void *context);

/// [main] Writes what is left, ends zones that are open, completes and closes the file. `result` may be NULL. fa_destroy() does it otherwise.
/// FA_ERROR_IO: something could not be written; the trace has ended all the same. FA_ERROR_STATE: no trace runs, or inside a job or listener.
/// FA_ERROR_INVALID: NULL. FA_ERROR_WRONG_THREAD, FA_ERROR_UNSUPPORTED.
FA_API fa_status fa_trace_stop(fa_system *fa, fa_trace_result *result);
