// SPDX-License-Identifier: MIT
//
// What codes, statuses and diagnostics say to people.
#include "concurrent/order.h"

#include <framealloc/diagnostics.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const fa_code codes[] = {
#define CODE_ENTRY(code, severity, title, meaning) {#code, severity, title, meaning},
    FA_CODE_LIST(CODE_ENTRY)
#undef CODE_ENTRY
};

#define CODE_COUNT (sizeof codes / sizeof codes[0])

const fa_code *fa_code_list(uint32_t *count)
{
    if (count != NULL) *count = (uint32_t)CODE_COUNT;
    return codes;
}

const fa_code *fa_code_find(const char *code)
{
    if (code == NULL) return NULL;
    for (size_t i = 0; i < CODE_COUNT; i++)
        if (strcmp(codes[i].code, code) == 0) return &codes[i];
    return NULL;
}

const char *fa_code_text(const char *code)
{
    const fa_code *found = fa_code_find(code);
    return found != NULL ? found->meaning : "no code of this library";
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

// Diagnostics ------------------------------------------------------------------------------------------------------------

/// A text that grows at its end; counts what did not fit.
typedef struct text {
    char *out;
    size_t size;
    size_t length;
} text;

__attribute__((format(printf, 2, 3))) static void append(text *to, const char *format, ...)
{
    size_t room = to->length < to->size ? to->size - to->length : 0;
    va_list arguments;
    va_start(arguments, format);
    int more = vsnprintf(room > 0 ? to->out + to->length : NULL, room, format, arguments);
    va_end(arguments);
    if (more > 0) to->length += (size_t)more;
}

static void append_context(text *to, const fa_diagnostic *diagnostic, bool verbose)
{
    if (diagnostic->frame == 0)
        append(to, "\n  context: before the first frame");
    else
        append(to, "\n  context: frame %llu (%s)", (unsigned long long)diagnostic->frame,
               diagnostic->frame_open ? "open" : "ended");
    append(to, ", %s", diagnostic->lane_name != NULL ? diagnostic->lane_name : "no lane");
    if (diagnostic->job != NULL) append(to, ", job %s", diagnostic->job);
    if (verbose && diagnostic->job_depth > 0) append(to, ", job depth %u", (unsigned)diagnostic->job_depth);
    if (diagnostic->tag != NULL) append(to, ", tag %s", diagnostic->tag);
    if (diagnostic->phase != NULL) append(to, ", phase %s", diagnostic->phase);
}

size_t fa_diagnostic_format(const fa_diagnostic *diagnostic, bool verbose, char *out, size_t size)
{
    if (diagnostic == NULL) return 0;
    text to = {out, out != NULL ? size : 0, 0};
    append(&to, "[framealloc][%s] %s: %s", diagnostic->code,
           diagnostic->severity == FA_SEVERITY_WARNING ? "warning" : "error", diagnostic->message);
    append_context(&to, diagnostic, verbose);
    if (diagnostic->note != NULL) append(&to, "\n  note: %s", diagnostic->note);
    if (diagnostic->help != NULL) append(&to, "\n  help: %s", diagnostic->help);
    const fa_code *known = verbose ? fa_code_find(diagnostic->code) : NULL;
    if (known != NULL) append(&to, "\n  %s: %s; see docs/troubleshooting.md", known->title, known->meaning);
    append(&to, "\n");
    return to.length;
}
