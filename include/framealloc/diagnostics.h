// SPDX-License-Identifier: MIT
//
// Diagnostics: what went wrong in the use of the library, or which limit was reached, with a code, where it happened and what to
// do. docs/troubleshooting.md has a section for each code.
//
// A diagnostic goes to the system's sink: that of the configuration at first, stderr if that is NULL, later whatever fa_sink_set()
// chose. Sinks run on the thread that noticed, at once; in strict mode the program then stops.
//
// A sink may call the library: it may allocate, free, read statistics, and submit and wait where the lane that reports could (not on a
// worker between two jobs). It may not begin, end or leave a frame, run main-thread jobs, attach, detach, announce a quiescent state, go idle or
// destroy the system: these are answered FA_ERROR_STATE (0 jobs are run). What is diagnosed while it runs, on the same thread and in the
// same system, goes to stderr and not to the sink again.
//
// What [own], [main] and [any] mean, and what a wrong thread, NULL, size or alignment is answered: base.h. A refused call changes nothing.
#pragma once

#include <framealloc/base.h>

typedef enum fa_severity {
    FA_SEVERITY_WARNING, // a limit was reached, or something was put right; the program may go on
    FA_SEVERITY_ERROR,   // the program misuses the library, or the library is wrong
} fa_severity;

/// All codes of the library: severity, what happened, what it means. FA0xx frames, FA1xx tick hooks, FA2xx threads and frees, FA3xx budgets,
/// FA4xx handles and streams, FA5xx behaviour (behavior.h), FA9xx the library itself. Texts of a single diagnostic say more.
#define FA_CODE_LIST(X)                                                                                                \
    X(FA001, FA_SEVERITY_ERROR, "used outside a frame",                                                                \
      "frame memory and jobs exist between the begin and the end of a frame only")                                     \
    X(FA002, FA_SEVERITY_ERROR, "frame memory escaped",                                                                \
      "frame or scope memory was handed to something that keeps or frees objects, or used after it went")              \
    X(FA003, FA_SEVERITY_WARNING, "frame memory exhausted",                                                            \
      "an allocation was refused because frame_bytes_max, memory_max or the address range is used up")                 \
    X(FA004, FA_SEVERITY_ERROR, "used outside a job", "job memory exists while a job runs on the lane only")           \
    X(FA101, FA_SEVERITY_ERROR, "tick hooks not installed",                                                            \
      "the engine's tick uses the library, but nothing tells it where a tick starts and ends")                         \
    X(FA102, FA_SEVERITY_WARNING, "tick hooks missed this frame",                                                      \
      "a tick passed without both of its hooks, so its frame was not begun or not ended")                              \
    X(FA201, FA_SEVERITY_ERROR, "invalid free or use",                                                                 \
      "an object was freed that is not live or not of this kind, or a lane was used on another's thread")              \
    X(FA202, FA_SEVERITY_ERROR, "lane used while it is nobody's",                                                      \
      "the context belongs to a thread that is not attached, not any more, or idle")                                   \
    X(FA203, FA_SEVERITY_ERROR, "fork not joined", "a job, a frame or a lane ended although a task was not joined")    \
    X(FA301, FA_SEVERITY_WARNING, "global memory limit reached",                                                       \
      "an allocation was refused because memory_max or the address range is used up")                                  \
    X(FA302, FA_SEVERITY_WARNING, "tag budget exceeded",                                                               \
      "an allocation was refused because it would exceed the hard budget of its tag")                                  \
    X(FA303, FA_SEVERITY_WARNING, "soft tag budget crossed",                                                           \
      "an allocation was allowed that brings its tag above the soft budget")                                           \
    X(FA304, FA_SEVERITY_WARNING, "lane budget exceeded",                                                              \
      "an allocation was refused because it would exceed the hard budget of its lane")                                 \
    X(FA305, FA_SEVERITY_WARNING, "soft lane budget crossed",                                                          \
      "an allocation was allowed that brings its lane above the soft budget")                                          \
    X(FA401, FA_SEVERITY_ERROR, "invalid handle", "the handle was freed, belongs to another system or never was one")  \
    X(FA402, FA_SEVERITY_WARNING, "stream budget exhausted",                                                           \
      "a reservation was refused: it does not fit, and what could be evicted would not make enough room")              \
    X(FA501, FA_SEVERITY_WARNING, "frame memory outlives its frame",                                                   \
      "frames are held, or overlap, for longer than the limit, and their memory with them")                            \
    X(FA502, FA_SEVERITY_WARNING, "frame memory is promoted too often",                                                \
      "much of what a tag allocates for the frame outlives it, at the cost of a copy")                                 \
    X(FA510, FA_SEVERITY_WARNING, "pool objects die in their frame",                                                   \
      "most of a tag's pool objects are freed before the frame that made them ends")                                   \
    X(FA520, FA_SEVERITY_WARNING, "promotions replace each other",                                                     \
      "a tag promotes frame after frame what replaces an earlier version in its cell")                                 \
    X(FA530, FA_SEVERITY_WARNING, "heap objects in every frame", "a tag allocates from the heap again and again")      \
    X(FA901, FA_SEVERITY_ERROR, "internal error",                                                                      \
      "the library's own data is not as it must be: overwritten by the program, or a bug of the library")              \
    X(FA903, FA_SEVERITY_ERROR, "impossible alignment or destination",                                                 \
      "an alignment is no power of two or beyond what the call can give, or a destination is unknown")                 \
    X(FA904, FA_SEVERITY_WARNING, "promotions lost",                                                                   \
      "retained objects were not promoted: a limit, a budget, their destination or the system refused")                \
    X(FA905, FA_SEVERITY_ERROR, "deadlock", "a wait could never end, because what it waits for waits for the waiter")  \
    X(FA906, FA_SEVERITY_WARNING, "frame held too long",                                                               \
      "the begin of a frame has waited for a second for a frame that is held")                                         \
    X(FA907, FA_SEVERITY_ERROR, "configuration refused", "a field is out of range or contradicts another")             \
    X(FA908, FA_SEVERITY_ERROR, "thread ended as a lane",                                                              \
      "a thread ended while attached, or the main thread before it destroyed its system")                              \
    X(FA909, FA_SEVERITY_ERROR, "destroyed while in use",                                                              \
      "a system cannot be destroyed while threads are attached to it, nor from inside a job, a sink or a listener")    \
    X(FA910, FA_SEVERITY_WARNING, "never freed", "pool or heap objects were live when the system was destroyed")       \
    X(FA911, FA_SEVERITY_WARNING, "unknown strict mode",                                                               \
      "the environment variable FRAMEALLOC_STRICT has a value that means nothing")                                     \
    X(FA912, FA_SEVERITY_ERROR, "no such tag",                                                                         \
      "a tag was begun that does not exist or cannot be made; the current one stays")                                  \
    X(FA913, FA_SEVERITY_WARNING, "tag or phase left open",                                                            \
      "a tag or phase was not ended where it should have been, or ended where none was begun")                         \
    X(FA914, FA_SEVERITY_ERROR, "a size that cannot be had", "count times size does not fit in size_t")

/// Which kind of lane a thread is.
typedef enum fa_lane_kind {
    FA_LANE_NONE,     // none: the thread has no lane in this system
    FA_LANE_MAIN,     // the thread that created the system
    FA_LANE_WORKER,   // a worker of the scheduler
    FA_LANE_ATTACHED, // between fa_attach() and fa_detach()
} fa_lane_kind;

/// One diagnostic. Texts are valid until the sink returns; code, note, help and job name of the library are static.
typedef struct fa_diagnostic {
    const char *code;       // "FA001" …, or the program's own
    fa_severity severity;   //
    const char *message;    // what happened
    const char *note;       // what it means; NULL: nothing to say
    const char *help;       // what to do; NULL likewise
    uint64_t frame;         // number of the frame that the lane is in, else of the open or last one; 0 before the first
    bool frame_open;        // that frame was begun and has not ended
    uint32_t lane;          // number of the thread's lane, UINT32_MAX when it has none
    fa_lane_kind lane_kind; //
    const char *lane_name;  // "main", "worker 2", "attached 5" or "no lane", never NULL
    const char *job;        // name of the running job, NULL if none or unnamed
    uint32_t job_depth;     // jobs on the lane's stack, 0 outside jobs
    const char *tag;        // path of the lane's tag, NULL if none
    const char *phase;      // path of the lane's phase, NULL if none
} fa_diagnostic;

/// Receives diagnostics. May be called from any lane at any time, several at once; see above for what it may call.
typedef void fa_diagnostic_fn(const fa_diagnostic *diagnostic, void *context);

// Codes --------------------------------------------------------------------------------------------------------------

typedef struct fa_code {
    const char *code;
    fa_severity severity;
    const char *title;
    const char *meaning;
} fa_code;

/// [any] All codes of the library in rising order; *count, unless NULL, is their number. Static storage.
FA_API const fa_code *fa_code_list(uint32_t *count);

/// [any] What is known about a code; NULL for NULL and for codes that the library does not have.
FA_API const fa_code *fa_code_find(const char *code);

/// [any] A sentence for a code, in static storage; never NULL, also for codes that the library does not have.
FA_API const char *fa_code_text(const char *code);

// Sinks --------------------------------------------------------------------------------------------------------------

/// [main] From now on diagnostics go to fn(…, context); NULL: to stderr, in the form of fa_diagnostic_format(). Calls of the sink before
/// may still run on other threads: its context must stay until fa_sink_is_quiet() says so. May be called from inside a sink.
/// FA_ERROR_INVALID: NULL system. FA_ERROR_WRONG_THREAD. FA_ERROR_BUSY: calls of the last three sinks have not returned; nothing changed.
FA_API FA_MUST_CHECK fa_status fa_sink_set(fa_system *fa, fa_diagnostic_fn *fn, void *context);

/// [any] Whether no call of a sink that was replaced is running: all contexts but the current one may be freed. False: one is.
/// True for NULL.
FA_API bool fa_sink_is_quiet(const fa_system *fa);

/// [any] The text of a diagnostic:
///
///     [framealloc][FA001] error: message
///       context: frame 12 (open), worker 2, job think, tag ai::path, phase update
///       note: …
///       help: …
///
/// `verbose` adds what the code means and how deep jobs are nested. Writes at most `size` bytes with the terminating 0, and answers how
/// many the whole text has without it, as snprintf does. 0 for NULL; `out` may be NULL if size is 0.
FA_API size_t fa_diagnostic_format(const fa_diagnostic *diagnostic, bool verbose, char *out, size_t size);

/// Most codes that can be suppressed one by one at a time, and the longest code.
#define FA_SUPPRESSED_MAX 32u
#define FA_CODE_LENGTH_MAX 15u

/// [main] Suppresses a code, the library's or the program's own, or with NULL everything; or takes it back. A suppressed diagnostic reaches no
/// sink and does not stop the program. The call that caused it answers as ever. The two are apart: taking back NULL leaves single codes suppressed.
/// FA_ERROR_INVALID: NULL system, or a code that is empty or longer than FA_CODE_LENGTH_MAX. FA_ERROR_WRONG_THREAD.
/// FA_ERROR_FULL: FA_SUPPRESSED_MAX codes are suppressed.
FA_API fa_status fa_suppress(fa_system *fa, const char *code, bool suppressed);

/// [main] Whether stderr gets the verbose form; not at first. FA_ERROR_INVALID: NULL. FA_ERROR_WRONG_THREAD.
FA_API fa_status fa_verbose_set(fa_system *fa, bool verbose);

// Collecting ---------------------------------------------------------------------------------------------------------

/// A diagnostic as collected: texts are cut to what fits.
typedef struct fa_collected {
    char code[FA_CODE_LENGTH_MAX + 1];
    fa_severity severity;
    uint32_t lane;
    uint64_t frame;
    fa_lane_kind lane_kind;
    uint32_t ready; // shared: 1 once the entry is written
    char job[48];   // empty if none
    char tag[64];
    char phase[64];
    char message[256];
    char note[512];
    char help[256];
} fa_collected;

/// A sink that keeps the first diagnostics it gets, in the order of arrival, and counts the others. Never waits, never allocates. Owned by
/// the caller, with its entries; both must stay as long as a sink's context must.
typedef struct fa_collector {
    fa_collected *items;
    uint32_t capacity;
    uint32_t reserved;
    uint64_t arrived; // shared
} fa_collector;

/// [any] Makes an empty collector of `capacity` entries; 0, or NULL entries, gives one that only counts. Nobody may use it meanwhile. Also
/// empties one. Nothing happens for a NULL collector.
FA_API void fa_collector_init(fa_collector *collector, fa_collected *items, uint32_t capacity);

/// [any] The sink: fa_sink_set(fa, fa_collector_take, &collector), or config.report and config.report_context. Nothing happens when
/// one of the two is NULL.
FA_API void fa_collector_take(const fa_diagnostic *diagnostic, void *collector);

/// [any] How many entries have that code; NULL counts all. Those being written this moment and those that were lost are not counted. 0 for
/// a NULL collector.
FA_API uint32_t fa_collector_count(const fa_collector *collector, const char *code);

/// [any] How many entries are errors; 0 for NULL.
FA_API uint32_t fa_collector_errors(const fa_collector *collector);

/// [any] The index-th entry with that code, NULL: of all; NULL if there are not so many, or no collector.
FA_API const fa_collected *fa_collector_get(const fa_collector *collector, const char *code, uint32_t index);

/// [any] How many found no room; 0 for NULL.
FA_API uint64_t fa_collector_lost(const fa_collector *collector);

// Strict mode --------------------------------------------------------------------------------------------------------

/// Which diagnostics stop the program by abort(), after they were delivered.
typedef enum fa_strict {
    FA_STRICT_WARN,            // none
    FA_STRICT_STOP_ON_ERROR,   // errors
    FA_STRICT_STOP_ON_WARNING, // all
} fa_strict;

/// [main] Changes the mode, for all lanes of the system. At first it is that of the configuration, unless the environment variable
/// FRAMEALLOC_STRICT chose one when the system was created: 0, warn or false; 1, error or true; 2, warning or all.
/// FA_ERROR_INVALID: NULL system, or no mode. FA_ERROR_WRONG_THREAD.
FA_API fa_status fa_strict_set(fa_system *fa, fa_strict mode);

/// [any] The mode; FA_STRICT_WARN for NULL.
FA_API fa_strict fa_strict_mode(const fa_system *fa);

typedef struct fa_strict_scope {
    fa_system *system; // NULL: nothing to restore
    fa_strict before;
} fa_strict_scope;

/// [main] What FA_STRICT_SCOPE expands to, for use by hand: begin and end pair up like brackets. Where fa_strict_set() would refuse, nothing
/// changes and the end restores nothing. An end that is refused (FA201 on another thread) may be made again by the main lane; NULL is allowed.
FA_API fa_strict_scope fa_strict_begin(fa_system *fa, fa_strict mode);
FA_API void fa_strict_end(fa_strict_scope *scope);

/// A declaration: the mode holds until the enclosing block is left, by any way out. The system must outlive the block.
#define FA_STRICT_SCOPE(fa, mode) FA_STRICT_SCOPE_NAMED(fa, mode, __LINE__)
#define FA_STRICT_SCOPE_NAMED(fa, mode, line) FA_STRICT_SCOPE_JOINED(fa, mode, line)
#define FA_STRICT_SCOPE_JOINED(fa, mode, line)                                                                         \
    fa_strict_scope fa_strict_scope_at_##line                                                                          \
        __attribute__((cleanup(fa_strict_end), unused)) = fa_strict_begin(fa, mode)

// Your own -----------------------------------------------------------------------------------------------------------

/// [own] Emits a diagnostic of the program, with a code of 1 to FA_CODE_LENGTH_MAX characters of its own ("FA" and digits are the
/// library's), which takes the way of all others: sink, suppression, strict mode. `note` and `help` may be NULL; the message is cut to 255
/// bytes. FA_ERROR_INVALID: NULL lane, code or format, no severity, or another code than these; checked systems also refuse
/// another thread's lane (FA_ERROR_WRONG_THREAD) and an idle one (FA_ERROR_STATE). Refused, nothing is emitted but what reports the refusal.
FA_API __attribute__((format(printf, 6, 7))) fa_status fa_diagnose(fa_worker *w, fa_severity severity, const char *code,
                                                                   const char *note, const char *help,
                                                                   const char *format, ...);

/// [any] As fa_diagnose(), from a thread that may have no lane. FA_ERROR_INVALID: NULL system, otherwise likewise.
FA_API __attribute__((format(printf, 6, 7))) fa_status fa_diagnose_any(fa_system *fa, fa_severity severity,
                                                                       const char *code, const char *note,
                                                                       const char *help, const char *format, ...);

/// Short forms, and one that emits an error unless a fact holds; its value is the fact.
#define FA_DIAGNOSE_ERROR(w, code, note, help, ...)                                                                    \
    fa_diagnose((w), FA_SEVERITY_ERROR, (code), (note), (help), __VA_ARGS__)
#define FA_DIAGNOSE_WARNING(w, code, note, help, ...)                                                                  \
    fa_diagnose((w), FA_SEVERITY_WARNING, (code), (note), (help), __VA_ARGS__)
#define FA_DIAGNOSE_UNLESS(w, fact, code, note, help, ...)                                                             \
    (FA_LIKELY(fact) ? true : (fa_diagnose((w), FA_SEVERITY_ERROR, (code), (note), (help), __VA_ARGS__), false))
