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

/// `config` may be NULL: the caller's cannot be trusted.
static void deliver(const fa_config *config, const fa_diagnostic *diagnostic)
{
    if (config != NULL && config->report != NULL)
        config->report(diagnostic, config->report_context);
    else
        report_to_stderr(diagnostic);
}

void fai_config_report(const fa_config *config, const char *rule)
{
    char text[256];
    snprintf(text, sizeof text, "fa_create() refused its configuration: %s", rule);
    deliver(config, &(fa_diagnostic){.code = "FA907",
                                     .message = text,
                                     .note = "there is no system, and nothing is left behind",
                                     .help = "start from fa_config_default() and change what must differ",
                                     .lane = UINT32_MAX});
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
    deliver(&memory->config, &diagnostic);
}

void fai_report_outside(const fai_lane *lane, const char *what)
{
    if (fai_load_relaxed(&lane->memory->hooks) == FAI_HOOKS_DECLARED)
        fai_report(lane->memory, lane, "FA101",
                   "tick hooks were declared, but fa_tick_begin() was never called: there is no frame",
                   "register fa_tick_begin() and fa_tick_end(), or their void (void *) forms, with the engine's loop",
                   "%s outside a frame, and tick hooks are not installed", what);
    else
        fai_report(lane->memory, lane, "FA001",
                   "jobs and frame memory belong to a frame, from fa_frame_begin() to fa_frame_end()",
                   "begin a frame; an attached thread calls fa_frame_hold()", "%s outside a frame", what);
}

const char *fa_status_text(fa_status status)
{
    switch (status) {
#define FA_STATUS_TEXT(name, text)                                                                                     \
    case name: return text;
        FA_STATUS_LIST(FA_STATUS_TEXT)
#undef FA_STATUS_TEXT
    }
    return "unknown status";
}
