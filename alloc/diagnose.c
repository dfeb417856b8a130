// SPDX-License-Identifier: MIT
//
// Diagnostics on their way to the sink, strict mode, and what users may set. See diagnose.h.
#include "alloc/diagnose.h"

#include "alloc/lane.h"
#include "concurrent/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MESSAGE_BYTES 256
#define TEXT_BYTES 2048

// Stderr ----------------------------------------------------------------------------------------------------------------

static void report_to_stderr(const fa_diagnostic *diagnostic, bool verbose)
{
    char out[TEXT_BYTES];
    if (fa_diagnostic_format(diagnostic, verbose, out, sizeof out) >= sizeof out) out[sizeof out - 2] = '\n';
    fputs(out, stderr); // in one piece: others may report at the same time
}

// Strict mode -----------------------------------------------------------------------------------------------------------

static void stop_if_strict(fa_strict strict, const fa_diagnostic *diagnostic)
{
    bool warning = diagnostic->severity == FA_SEVERITY_WARNING;
    if (strict == FA_STRICT_WARN || (warning && strict == FA_STRICT_STOP_ON_ERROR)) return;
    fprintf(stderr, "Strict mode: %s is %s, which stops the program\n", diagnostic->code,
            warning ? "a warning" : "an error");
    abort();
}

static const char *strict_in_environment(void)
{
    return getenv("FRAMEALLOC_STRICT");
}

/// False: unknown.
static bool parse_strict(const char *value, fa_strict *out)
{
    static const struct {
        const char *value;
        fa_strict strict;
    } known[] = {{"0", FA_STRICT_WARN},
                 {"warn", FA_STRICT_WARN},
                 {"false", FA_STRICT_WARN},
                 {"1", FA_STRICT_STOP_ON_ERROR},
                 {"error", FA_STRICT_STOP_ON_ERROR},
                 {"true", FA_STRICT_STOP_ON_ERROR},
                 {"2", FA_STRICT_STOP_ON_WARNING},
                 {"warning", FA_STRICT_STOP_ON_WARNING},
                 {"all", FA_STRICT_STOP_ON_WARNING}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(known[i].value, value) != 0) continue;
        *out = known[i].strict;
        return true;
    }
    return false;
}

// Before there is a system ----------------------------------------------------------------------------------------------

static void deliver_early(const fa_config *config, fa_strict strict, const char *code, const char *note,
                          const char *help, const char *message)
{
    fa_diagnostic diagnostic = {
        .code = code,
        .severity = fa_code_find(code)->severity,
        .message = message,
        .note = note,
        .help = help,
        .lane = UINT32_MAX,
        .lane_name = "no lane",
    };
    if (config != NULL && config->report != NULL)
        config->report(&diagnostic, config->report_context);
    else
        report_to_stderr(&diagnostic, false);
    stop_if_strict(strict, &diagnostic);
}

void fai_config_report(const fa_config *config, const char *rule)
{
    char message[MESSAGE_BYTES];
    snprintf(message, sizeof message, "fa_create() refused its configuration: %s", rule);
    const char *value = strict_in_environment();
    fa_strict strict = config != NULL ? config->strict : FA_STRICT_WARN;
    if ((uint32_t)strict > FA_STRICT_STOP_ON_WARNING) strict = FA_STRICT_WARN;
    if (value != NULL) (void)parse_strict(value, &strict);
    deliver_early(config, strict, "FA907", "there is no system, and nothing is left behind",
                  "start from fa_config_default() and change what must differ", message);
}

void fai_config_read_strict(fa_config *config)
{
    const char *value = strict_in_environment();
    if (value == NULL || parse_strict(value, &config->strict)) return;
    char message[MESSAGE_BYTES];
    snprintf(message, sizeof message, "FRAMEALLOC_STRICT is \"%.100s\", which is no strict mode", value);
    deliver_early(config, config->strict, "FA911", "it is ignored, and the configuration's mode holds",
                  "set it to 0, warn or false; 1, error or true; 2, warning or all", message);
}

// Delivery --------------------------------------------------------------------------------------------------------------

/// Sinks that the calling thread is in, innermost first.
typedef struct reporting {
    const fai_memory *memory;
    const struct reporting *outer;
} reporting;

static _Thread_local const reporting *innermost;

FAI_FRAME_END bool fai_is_reporting(const fai_memory *memory)
{
    for (const reporting *at = innermost; at != NULL; at = at->outer)
        if (at->memory == memory) return true;
    return false;
}

void fai_diagnostics_init(fai_diagnostics *diagnostics, const fa_config *config)
{
    FA_ASSERT((uint32_t)config->strict <= FA_STRICT_STOP_ON_WARNING);
    diagnostics->sinks[0].fn = config->report;
    diagnostics->sinks[0].context = config->report_context;
    diagnostics->strict = (uint32_t)config->strict;
}

/// Reporting changes nothing of the memory but who is in a sink.
static fai_diagnostics *diagnostics_of(const fai_memory *memory)
{
    return (fai_diagnostics *)(uintptr_t)&memory->diagnostics;
}

static fai_sink *enter_sink(fai_diagnostics *diagnostics)
{
    uint32_t current = fai_load_relaxed(&diagnostics->current);
    for (;;) {
        fai_sink *sink = &diagnostics->sinks[current];
        // [sink.enter] seq_cst: the caller is counted before it looks whether the sink is still the current one.
        (void)fai_add_seq_cst(&sink->callers, 1u);
        fai_fence_after_rmw_seq_cst();
        // [sink.set] acquire: function and context.
        uint32_t now = fai_load_acquire(&diagnostics->current);
        if (now == current) return sink;
        (void)fai_sub_relaxed(&sink->callers, 1u); // nothing of it was read
        current = now;
    }
}

static void leave_sink(fai_sink *sink)
{
    FA_ASSERT(fai_load_relaxed(&sink->callers) > 0);
    // [sink.leave] release: the call is over.
    (void)fai_sub_release(&sink->callers, 1u);
}

static uint64_t hash_of(const char *code)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325); // FNV-1a
    for (; *code != '\0'; code++) hash = (hash ^ (unsigned char)*code) * UINT64_C(0x100000001b3);
    return hash != 0 ? hash : 1;
}

static bool is_suppressed(const fai_diagnostics *diagnostics, const char *code)
{
    if (fai_load_relaxed(&diagnostics->silent) != 0) return true;
    uint64_t hash = hash_of(code);
    for (uint32_t i = 0; i < FA_SUPPRESSED_MAX; i++)
        if (fai_load_relaxed(&diagnostics->suppressed[i]) == hash) return true;
    return false;
}

static void call_sink(const fai_memory *memory, const fa_diagnostic *diagnostic)
{
    fai_diagnostics *diagnostics = diagnostics_of(memory);
    bool verbose = fai_load_relaxed(&diagnostics->verbose) != 0;
    if (fai_is_reporting(memory)) {
        report_to_stderr(diagnostic, verbose); // a sink that is told of its own faults might never end
        return;
    }
    fai_sink *sink = enter_sink(diagnostics);
    reporting here = {memory, innermost};
    innermost = &here;
    fai_lane *lane = fai_lane_self(memory);
    if (lane != NULL && lane->order == NULL)
        lane->gate = FAI_NO_SLOT; // between jobs: what it submitted would belong to none
    if (sink->fn != NULL)
        sink->fn(diagnostic, sink->context);
    else
        report_to_stderr(diagnostic, verbose);
    FA_ASSERT(innermost == &here);
    innermost = here.outer;
    if (lane != NULL) lane->gate = fai_lane_gate(lane);
    leave_sink(sink);
}

// Context ---------------------------------------------------------------------------------------------------------------

#define LANE_NAME_BYTES 24

static void describe_lane(const fai_memory *memory, const fai_lane *lane, fa_diagnostic *out, char *name)
{
    static const char *const kinds[] = {"no lane", "main", "worker", "attached"};
    out->lane = lane != NULL ? lane->hot.index : UINT32_MAX;
    out->lane_kind = lane == NULL                                     ? FA_LANE_NONE
                     : lane->hot.index == 0                           ? FA_LANE_MAIN
                     : lane->hot.index <= memory->config.worker_count ? FA_LANE_WORKER
                                                                      : FA_LANE_ATTACHED;
    if (out->lane_kind == FA_LANE_NONE || out->lane_kind == FA_LANE_MAIN)
        snprintf(name, LANE_NAME_BYTES, "%s", kinds[out->lane_kind]);
    else
        snprintf(name, LANE_NAME_BYTES, "%s %u", kinds[out->lane_kind], (unsigned)out->lane);
    out->lane_name = name;
}

static void describe_frame(const fai_memory *memory, const fai_lane *lane, fa_diagnostic *out)
{
    bool inside = lane != NULL && lane->slot != FAI_NO_SLOT;
    out->frame = inside ? lane->frame_number : fai_load_relaxed(&memory->frame_number);
    bool is_newest = out->frame == fai_load_relaxed(&memory->frame_number);
    out->frame_open = out->frame != 0 && is_newest && fai_load_relaxed(&memory->frame_open) != FAI_NO_SLOT;
}

/// Tag and phase of the lane. A worker between jobs keeps those of its last one: they are nobody's then.
static void describe_label(const fai_lane *lane, fa_diagnostic *out)
{
    const fai_labels *labels = lane->memory->labels;
    bool between_jobs = lane->depth == 0 && out->lane_kind == FA_LANE_WORKER;
    uint32_t tag = between_jobs ? 0 : fai_label_tag(fai_lane_label(lane)),
             phase = between_jobs ? 0 : fai_label_phase(fai_lane_label(lane));
    out->tag = tag != 0 ? labels->tags.nodes[tag].path : NULL;
    out->phase = phase != 0 ? labels->phases.nodes[phase].path : NULL;
}

/// `lane` is the calling thread's, or one that it services.
static void describe(const fai_memory *memory, const fai_lane *lane, fa_diagnostic *out, char *name)
{
    describe_lane(memory, lane, out, name);
    describe_frame(memory, lane, out);
    if (lane == NULL) return;
    out->job_depth = lane->depth;
    out->job = lane->depth > 0 && memory->job_name != NULL ? memory->job_name(lane) : NULL;
    describe_label(lane, out);
}

// Reporting -------------------------------------------------------------------------------------------------------------

__attribute__((format(printf, 4, 0))) static void
report(const fai_memory *memory, const fai_lane *lane, fa_diagnostic diagnostic, const char *format, va_list arguments)
{
    if (is_suppressed(&memory->diagnostics, diagnostic.code)) return;
    char message[MESSAGE_BYTES], name[LANE_NAME_BYTES];
    vsnprintf(message, sizeof message, format, arguments);
    diagnostic.message = message;
    describe(memory, lane != NULL ? lane : fai_lane_self(memory), &diagnostic, name);
    call_sink(memory, &diagnostic);
    stop_if_strict((fa_strict)fai_load_relaxed(&memory->diagnostics.strict), &diagnostic);
}

void fai_report(const fai_memory *memory, const fai_lane *lane, const char *code, const char *note, const char *help,
                const char *message, ...)
{
    const fa_code *known = fa_code_find(code);
    FA_ASSERT(known != NULL && note != NULL && help != NULL);
    fa_diagnostic diagnostic = {.code = code, .severity = known->severity, .note = note, .help = help};
    va_list arguments;
    va_start(arguments, message);
    report(memory, lane, diagnostic, message, arguments);
    va_end(arguments);
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

// What users call -------------------------------------------------------------------------------------------------------

static bool is_code(const char *code)
{
    return code != NULL && code[0] != '\0' && strlen(code) <= FA_CODE_LENGTH_MAX;
}

/// Whether the code is one that the library has or may come to have.
static bool is_reserved(const char *code)
{
    return code[0] == 'F' && code[1] == 'A' && code[2] >= '0' && code[2] <= '9';
}

static bool is_own_diagnostic(fa_severity severity, const char *code, const char *format)
{
    return is_code(code) && !is_reserved(code) && format != NULL && (uint32_t)severity <= FA_SEVERITY_ERROR;
}

fa_status fa_diagnose(fa_worker *w, fa_severity severity, const char *code, const char *note, const char *help,
                      const char *format, ...)
{
    if (w == NULL || !is_own_diagnostic(severity, code, format)) return FA_ERROR_INVALID;
    const fai_lane *lane = fai_lane_of(w);
    fa_status usable = fai_lane_check(lane);
    if (usable != FA_OK) return usable;
    fa_diagnostic diagnostic = {.code = code, .severity = severity, .note = note, .help = help};
    va_list arguments;
    va_start(arguments, format);
    report(lane->memory, lane, diagnostic, format, arguments);
    va_end(arguments);
    return FA_OK;
}

fa_status fa_diagnose_any(fa_system *fa, fa_severity severity, const char *code, const char *note, const char *help,
                          const char *format, ...)
{
    if (fa == NULL || !is_own_diagnostic(severity, code, format)) return FA_ERROR_INVALID;
    fa_diagnostic diagnostic = {.code = code, .severity = severity, .note = note, .help = help};
    va_list arguments;
    va_start(arguments, format);
    report((const fai_memory *)(const void *)fa, NULL, diagnostic, format, arguments);
    va_end(arguments);
    return FA_OK;
}

/// What all settings ask first.
static fa_status may_set(const fa_system *fa, fai_diagnostics **out)
{
    if (fa == NULL) return FA_ERROR_INVALID;
    const fai_memory *memory = (const fai_memory *)(const void *)fa;
    fa_status status = fai_memory_check_main(memory);
    if (status == FA_OK) *out = diagnostics_of(memory);
    return status;
}

fa_status fa_sink_set(fa_system *fa, fa_diagnostic_fn *fn, void *context)
{
    fai_diagnostics *diagnostics;
    fa_status status = may_set(fa, &diagnostics);
    if (status != FA_OK) return status;
    for (uint32_t i = 0; i < FAI_SINKS; i++) {
        fai_sink *sink = &diagnostics->sinks[i];
        if (i == fai_load_relaxed(&diagnostics->current)) continue;
        // [sink.leave] acquire: the last call of what was here is over. [sink.enter]: who comes now will see that it is not current.
        if (fai_load_acquire(&sink->callers) != 0) continue;
        sink->fn = fn;
        sink->context = context;
        // [sink.set] release: function and context.
        fai_store_release(&diagnostics->current, i);
        // [sink.enter] seq_cst: the new one is current before later looks at who calls the old one.
        fai_fence_seq_cst();
        return FA_OK;
    }
    return FA_ERROR_BUSY;
}

bool fa_sink_is_quiet(const fa_system *fa)
{
    if (fa == NULL) return true;
    const fai_diagnostics *diagnostics = &((const fai_memory *)(const void *)fa)->diagnostics;
    uint32_t current = fai_load_relaxed(&diagnostics->current);
    for (uint32_t i = 0; i < FAI_SINKS; i++) {
        // [sink.leave] acquire: the calls are over, with all that they did to their context.
        if (i != current && fai_load_acquire(&diagnostics->sinks[i].callers) != 0) return false;
    }
    return true;
}

/// The place of a suppressed code, or a free one (hash 0); FA_SUPPRESSED_MAX if there is none.
static uint32_t find_suppressed(const fai_diagnostics *diagnostics, uint64_t hash)
{
    uint32_t i = 0;
    while (i < FA_SUPPRESSED_MAX && fai_load_relaxed(&diagnostics->suppressed[i]) != hash) i++;
    return i;
}

fa_status fa_suppress(fa_system *fa, const char *code, bool suppressed)
{
    fai_diagnostics *diagnostics;
    if (fa == NULL || (code != NULL && !is_code(code))) return FA_ERROR_INVALID;
    fa_status status = may_set(fa, &diagnostics);
    if (status != FA_OK) return status;
    if (code == NULL) {
        fai_store_relaxed(&diagnostics->silent, (uint32_t)suppressed);
        return FA_OK;
    }
    uint64_t hash = hash_of(code);
    uint32_t at = find_suppressed(diagnostics, hash);
    if ((at < FA_SUPPRESSED_MAX) == suppressed) return FA_OK;
    if (suppressed && (at = find_suppressed(diagnostics, 0)) == FA_SUPPRESSED_MAX) return FA_ERROR_FULL;
    fai_store_relaxed(&diagnostics->suppressed[at], suppressed ? hash : 0);
    return FA_OK;
}

fa_status fa_verbose_set(fa_system *fa, bool verbose)
{
    fai_diagnostics *diagnostics;
    fa_status status = may_set(fa, &diagnostics);
    if (status == FA_OK) fai_store_relaxed(&diagnostics->verbose, (uint32_t)verbose);
    return status;
}

fa_status fa_strict_set(fa_system *fa, fa_strict mode)
{
    fai_diagnostics *diagnostics;
    if ((uint32_t)mode > FA_STRICT_STOP_ON_WARNING) return FA_ERROR_INVALID;
    fa_status status = may_set(fa, &diagnostics);
    if (status == FA_OK) fai_store_relaxed(&diagnostics->strict, (uint32_t)mode);
    return status;
}

fa_strict fa_strict_mode(const fa_system *fa)
{
    if (fa == NULL) return FA_STRICT_WARN;
    return (fa_strict)fai_load_relaxed(&((const fai_memory *)(const void *)fa)->diagnostics.strict);
}

fa_strict_scope fa_strict_begin(fa_system *fa, fa_strict mode)
{
    fa_strict_scope scope = {fa, fa_strict_mode(fa)};
    if (fa_strict_set(fa, mode) != FA_OK) scope.system = NULL;
    return scope;
}

void fa_strict_end(fa_strict_scope *scope)
{
    if (scope == NULL || scope->system == NULL) return;
    if (fa_strict_set(scope->system, scope->before) == FA_OK) scope->system = NULL;
}
