// SPDX-License-Identifier: MIT
//
// Diagnostics on their way to the sink, and the texts of statuses.
#include "alloc/lane.h"

#include <stdarg.h>
#include <stdio.h>

static void report_to_stderr(const fa_diagnostic *diagnostic)
{
    char lane[32] = "no lane";
    if (diagnostic->lane != UINT32_MAX) snprintf(lane, sizeof lane, "lane %u", diagnostic->lane);
    fprintf(stderr, "[framealloc][%s] error: %s\n  note: %s (frame %llu, %s)\n  help: %s\n", diagnostic->code,
            diagnostic->message, diagnostic->note, (unsigned long long)diagnostic->frame, lane, diagnostic->help);
}

void fai_report(const fai_memory *memory, const fai_lane *lane, const char *code, const char *note, const char *help,
                const char *message, ...)
{
    char text[256];
    va_list arguments;
    va_start(arguments, message);
    vsnprintf(text, sizeof text, message, arguments);
    va_end(arguments);
    fa_diagnostic diagnostic = {
        .code = code,
        .message = text,
        .note = note,
        .help = help,
        .frame = fai_load_relaxed(&memory->frame_number),
        .lane = lane != NULL ? lane->hot.index : UINT32_MAX,
    };
    if (memory->config.report != NULL) memory->config.report(&diagnostic, memory->config.report_context);
    else report_to_stderr(&diagnostic);
}

const char *fa_status_text(fa_status status)
{
    switch (status) {
#define FA_STATUS_TEXT(name, text)                                                                                   \
    case name: return text;
        FA_STATUS_LIST(FA_STATUS_TEXT)
#undef FA_STATUS_TEXT
    }
    return "unknown status";
}
