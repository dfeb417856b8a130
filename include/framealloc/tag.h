// SPDX-License-Identifier: MIT
//
// Tags and phases: who memory is for, and when it is allocated; and budgets of tags.
//
// A tag is a path of names, `render::shadows`; a phase likewise. Each lane has a current tag and a current phase, jobs inherit those of
// their submitter. Every allocation is attributed to them: frame and pool memory without any cost per allocation, the lane only notes
// the difference when they change. Pool and heap objects, memory of jobs, groups, scratch pools, streams and handles belong to the tag that they
// were allocated under until they are freed, whoever frees them; promoted objects keep the tag of the frame allocation.
//
// In a build with the CMake option FA_STATISTICS off there are no tags and phases: fa_tag_find(), fa_budget_set(), fa_lane_budget_set(),
// fa_phase_begin(), fa_phase_end() and what reads statistics answer FA_ERROR_UNSUPPORTED (and zeroes), scopes are empty and report nothing,
// the current tag is {0}, the current phase "". No header depends on the option.
//
// What [own], [main] and [any] mean, and what a wrong thread, NULL, size or alignment is answered: base.h. A refused call changes nothing.
#pragma once

#include <framealloc/frame.h>

/// Most tags, and most phases, of a system; and the longest path of names in bytes.
#define FA_TAGS_MAX 255u
#define FA_PHASES_MAX 255u
#define FA_PATH_MAX 119u
/// Phases that one lane may have open at a time.
#define FA_PHASE_DEPTH 16u

/// A tag of a system. {0} is none; others stay valid as long as the system.
typedef struct fa_tag {
    uint32_t id;
} fa_tag;

/// [any] The tag of a path such as "render" or "render::shadows", made if it does not exist, with those above it and no budget. FA_ERROR_INVALID:
/// NULL, an empty name, a path longer than FA_PATH_MAX. FA_ERROR_FULL: FA_TAGS_MAX tags exist; those above it that found room stay. *out is {0} then.
FA_API FA_MUST_CHECK fa_status fa_tag_find(fa_system *fa, const char *path, fa_tag *out);

/// [any] A tag's path, in memory of the system; "" for {0}, NULL for what is no tag.
FA_API const char *fa_tag_path(const fa_system *fa, fa_tag tag);

/// [own] The lane's current tag; {0} if it has none, and for NULL.
FA_API fa_tag fa_tag_current(const fa_worker *w);

/// [any] The n-th tag in the order of their making, from 0; {0} when there are not so many, and for NULL.
FA_API fa_tag fa_tag_at(const fa_system *fa, uint32_t n);

/// A tag on a lane between begin and end; they pair up like brackets.
typedef struct fa_tag_scope {
    fa_worker *worker; // NULL: nothing to end
    uint32_t before;
    uint32_t inside;
} fa_tag_scope;

/// [own] Makes the child `name` of the current tag current. When it cannot be had (see fa_tag_find()) the current tag stays, FA912 says so, and
/// the scope's end changes nothing. Refused, for a NULL worker too: {0}, nothing to end.
FA_API fa_tag_scope fa_tag_begin(fa_worker *w, const char *name);

/// [own] The same with a tag that was found before, whatever the current one; {0} allocates for nobody. No tag of this system: FA912, as
/// fa_tag_begin().
FA_API fa_tag_scope fa_tag_begin_at(fa_worker *w, fa_tag tag);

/// [own] Back to the tag before. FA913: another tag was left open meanwhile; the tag before is current all the same. On another thread
/// than the scope's: FA201 in checked systems, and nothing happens, so that the scope may still be ended where it began; in others it must not be.
/// NULL is allowed.
FA_API void fa_tag_end(fa_tag_scope *scope);

/// A declaration, one a line: the tag is current until the enclosing block is left, by any way out. The block must not outlive the system.
#define FA_TAG(w, name) FA_TAG_NAMED(fa_tag_begin((w), (name)), __LINE__)
#define FA_TAG_AT(w, tag) FA_TAG_NAMED(fa_tag_begin_at((w), (tag)), __LINE__)
#define FA_TAG_NAMED(begin, line) FA_TAG_JOINED(begin, line)
#define FA_TAG_JOINED(begin, line) fa_tag_scope fa_tag_at_##line __attribute__((cleanup(fa_tag_end), unused)) = begin

// Budgets -----------------------------------------------------------------------------------------------------------------

/// [any] Limits what a tag and those below it may hold, bytes; 0 = no limit. What they hold counts as reserved: frame memory until
/// its frame retires, pool and heap objects by their class or span. Beyond `hard` allocations are refused (NULL, FA302 once a frame and tag,
/// fa_tag_stats.denied) and nothing is charged; exactly `hard` is allowed. Crossing `soft` is reported each time (FA303) and allowed.
/// Lanes charge ahead, at most FA_BUDGET_AHEAD bytes a lane beside what they use, so with several lanes a refusal may come that much
/// early, never late. A budget below what is held refuses until enough was freed.
/// FA_ERROR_INVALID: NULL, {0}, no tag of this system, or hard != 0 and soft > hard; the budget is then as it was.
FA_API fa_status fa_budget_set(fa_system *fa, fa_tag tag, uint64_t soft, uint64_t hard);
#define FA_BUDGET_AHEAD ((uint64_t)3 << 20)

/// Kinds of use in fa_tag_stats.held.
typedef enum fa_tag_use {
    FA_TAG_FRAME,
    FA_TAG_POOL,
    FA_TAG_HEAP,
    FA_TAG_SCRATCH,
    FA_TAG_GROUP,
    FA_TAG_STREAM,
    FA_TAG_HANDLE,
    FA_TAG_JOB,
    FA_TAG_USES
} fa_tag_use;

/// What a tag holds. Bytes as reserved; exact between frames when no attached thread is at work.
typedef struct fa_tag_stats {
    const char *path;
    uint64_t held[FA_TAG_USES]; // now, by the tag alone; frame memory of frames that are alive
    uint64_t charged;           // now, with all tags below and what lanes hold ahead: what budgets look at
    uint64_t peak;              // of `charged`
    uint64_t soft, hard;
    uint64_t denied; // allocations that this tag's budget refused
    uint64_t warned; // crossings of `soft`
    // in the last frame that retired, by the tag alone; see fa_phase_stats for what counts
    uint64_t bytes[FA_TAG_USES], allocs[FA_TAG_USES];
    uint64_t retained_bytes, retained; // of the frame memory, still to be promoted or discarded when the frame retired
    uint64_t total_bytes;              // of all kinds, in all frames that retired since creation
    uint64_t total_allocs;             // those of frame memory not counted
} fa_tag_stats;

/// [any] What the tag holds now and used in the last frame. FA_ERROR_INVALID: NULL, or no tag of this system; *out is not touched then.
FA_API fa_status fa_tag_stats_read(const fa_system *fa, fa_tag tag, fa_tag_stats *out);

/// Kinds of memory that a lane may have budgets for.
typedef enum fa_lane_use {
    FA_LANE_USE_FRAME, // frame memory of the frame that the lane is in
    FA_LANE_USE_OBJECTS, // pool and heap objects that belong to the lane, those at hand in magazines included, in bytes as reserved
    FA_LANE_USES
} fa_lane_use;

/// [any] Limits what lane number `lane` (fa_worker.index; 0 is the main lane) may hold, bytes; 0 = no limit. Beyond `hard` allocations of the
/// lane are refused (NULL, FA304 once a frame and kind, fa_lane_budget.denied), exactly `hard` is allowed; crossing `soft` is reported each time
/// (FA305) and allowed. Tags do not matter, and memory that lanes share (of jobs, groups, scratch pools, streams, handles) does not count. Exact:
/// no lane charges ahead. A lane that is in a frame meanwhile takes note of it when it next needs a window (frame memory: 2 MiB at most) or
/// objects for a magazine (62 of a class at most). Objects count with the lane that made them until they are freed and have come home; those in
/// blocks of their own with who received them (transfer.h). A budget below what is held refuses until enough was freed. FA_ERROR_INVALID: NULL,
/// no such lane or kind, hard != 0 and soft > hard; the budget is then as it was.
FA_API fa_status fa_lane_budget_set(fa_system *fa, uint32_t lane, fa_lane_use use, uint64_t soft, uint64_t hard);

/// What a lane holds, as it saw itself at its last allocation from beyond windows and magazines, or end of a frame, while it had a budget.
typedef struct fa_lane_budget {
    uint64_t held;
    uint64_t peak; // of it
    uint64_t soft, hard;
    uint64_t denied; // allocations that the budget refused
    uint64_t warned; // crossings of `soft`
} fa_lane_budget;

/// [any] The lane's budget of that kind. FA_ERROR_INVALID: NULL, no such lane or kind; *out is not touched then.
FA_API fa_status fa_lane_budget_read(const fa_system *fa, uint32_t lane, fa_lane_use use, fa_lane_budget *out);

// Phases ------------------------------------------------------------------------------------------------------------------

/// [own] Begins a phase inside the current one, until fa_phase_end(), at the latest the end of the job or, outside jobs, of the frame (FA913
/// reports one that was left open). FA_ERROR_STATE: outside a frame (FA001). FA_ERROR_INVALID: NULL, or a name as in fa_tag_find().
/// FA_ERROR_FULL: FA_PHASES_MAX phases exist or FA_PHASE_DEPTH are open on this lane. Where it fails there is nothing to end.
FA_API fa_status fa_phase_begin(fa_worker *w, const char *name);

/// [own] Ends the innermost phase that this lane began in the current job. FA_ERROR_STATE: there is none (FA913). FA_ERROR_INVALID: NULL.
FA_API fa_status fa_phase_end(fa_worker *w);

/// [own] Path of the current phase, inherited or begun here, in memory of the system; "" if there is none, and for NULL; never NULL.
FA_API const char *fa_phase_current(const fa_worker *w);

typedef struct fa_phase_scope {
    fa_worker *worker; // NULL: nothing to end
} fa_phase_scope;

/// [own] What FA_PHASE expands to. Where fa_phase_begin() refuses, begin gives {0}: nothing to end. An end that is refused (another thread's or an
/// idle lane, in checked systems) leaves the scope as it was; NULL is allowed.
FA_API fa_phase_scope fa_phase_scope_begin(fa_worker *w, const char *name);
FA_API void fa_phase_scope_end(fa_phase_scope *scope);

/// A declaration: the phase lasts until the enclosing block is left, by any way out.
#define FA_PHASE(w, name) FA_PHASE_NAMED(w, name, __LINE__)
#define FA_PHASE_NAMED(w, name, line) FA_PHASE_JOINED(w, name, line)
#define FA_PHASE_JOINED(w, name, line)                                                                                 \
    fa_phase_scope fa_phase_at_##line                                                                                  \
        __attribute__((cleanup(fa_phase_scope_end), unused)) = fa_phase_scope_begin((w), (name))

/// One phase, all lanes together; innermost attribution. Of pool, heap, groups, scratch pools, memory of jobs, streams and handles: what
/// was allocated in the phase, whatever became of it, in bytes as reserved (streams and objects of groups, scratch pools and jobs as asked
/// for, with padding). Of frame memory: the bytes that were not rolled back. What boundaries allocate for promotions belongs to no
/// phase. All exact.
typedef struct fa_phase_stats {
    const char *path;
    uint64_t ns;      // between begin and end, summed over `entries`
    uint64_t entries; // times it was begun
    uint64_t frame_bytes;
    uint64_t
        frame_allocs; // calls that allocated, rolled back or not, copied arguments of jobs among them. Counted in checked systems and with
    // fa_config.frame_counts; else 0: inlined code that only moves a cursor does not count
    uint64_t retained_bytes,
        retained; // of the frame memory, as asked for: what was listed, or would have been, when the frame retired
    uint64_t pool_bytes, pool_allocs;
    uint64_t heap_bytes, heap_allocs;
    uint64_t group_bytes, group_allocs;
    uint64_t scratch_bytes, scratch_allocs;
    uint64_t stream_bytes, stream_allocs; // reserved
    uint64_t handle_bytes, handle_allocs;
    uint64_t job_memory_bytes, job_memory_allocs;
} fa_phase_stats;

/// [main] The phases of the last frame that retired, in the order in which they were first begun since creation. Writes at most `max`;
/// *count is how many there are, 0 when it fails. FA_ERROR_INVALID: NULL (`out` may be NULL if max is 0). FA_ERROR_WRONG_THREAD.
FA_API fa_status fa_phase_stats_read(const fa_system *fa, fa_phase_stats *out, uint32_t max, uint32_t *count);

/// [main] As fa_phase_stats_read(), for all frames that retired since creation.
FA_API fa_status fa_phase_totals_read(const fa_system *fa, fa_phase_stats *out, uint32_t max, uint32_t *count);
