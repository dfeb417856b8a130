// SPDX-License-Identifier: MIT
//
// The waist between memory and jobs: a lane is all that one thread owns (arenas, slabs, outbox, retained and retired
// lists), the memory is all lanes of a system. The scheduler derives its own lane and system from these by embedding them as first
// members, and sees nothing else of alloc/.
//
// Who owns a lane. `state` says who may touch the owner sections:
//
//     IDLE     nobody; its thread is asleep or looking for work
//     RUNNING  its thread
//     PROXY    the main lane, servicing it at a frame boundary
//
//     IDLE -> RUNNING by its thread, IDLE -> PROXY by the main lane: compare-and-swap with acquire
//     RUNNING -> IDLE, PROXY -> IDLE: store with release
//
// A lane that is IDLE has an empty outbox and no frame window loaded. The main lane is RUNNING except between fa_idle_begin() and
// fa_idle_end(); attached threads likewise from attach to detach.
//
// A frame's arenas need no claim: a lane stores its window back (fai_lane_leave_frame()) before it publishes that its jobs of the frame
// are done, so whoever has seen all of a frame's jobs done owns all arenas of its slot.
#pragma once

#include "alloc/arena.h"
#include "alloc/diagnose.h"
#include "alloc/event.h"
#include "alloc/handle.h"
#include "alloc/job_memory.h"
#include "alloc/label.h"
#include "alloc/lane_budget.h"
#include "alloc/records.h"
#include "alloc/remote.h"
#include "alloc/shared_arena.h"
#include "alloc/stream.h"
#include "alloc/transfer.h"
#include "concurrent/check.h"
#include "concurrent/layout.h"
#include "concurrent/rcu.h"

#include <framealloc/framealloc.h>

#include <stddef.h>

#define FAI_NO_SLOT UINT32_MAX

enum { FAI_LANE_IDLE, FAI_LANE_RUNNING, FAI_LANE_PROXY };

/// Where a job stands in the order of submission: `high` is the path of its ancestors in an order-preserving prefix code, cut off
/// after 64 bits; `low` a hash of the whole path. (high, low) is the same for any number of workers.
typedef struct fai_order {
    uint64_t high;
    uint64_t low;
    uint16_t bits;     // of `high` in use
    uint16_t piece;    // the last so many of them tell the pieces of a loop apart
    uint32_t children; // jobs submitted so far
    uint32_t retained; // allocations retained so far
    uint64_t serial;   // of the job on its lane, 0 outside jobs
} fai_order;

/// Retentions by tag and phase since fa_frame_begin(), and those of them that are listed in a result.
typedef struct fai_retentions {
    uint64_t touched[2][FAI_NAME_WORDS];
    fa_retention of[2][FAI_NAMES_MAX];
    fa_retention listed[2][FAI_NAMES_MAX];
} fai_retentions;

/// One retained allocation.
typedef struct fai_retained {
    void *object;
    size_t size;
    size_t align;
    fa_retain retain;
    uint64_t high, low; // of the job's order
    uint64_t serial;    // of the job on its lane
    uint32_t sequence;  // within the job
    uint32_t label;
    uint32_t number; // within the lane's frame, rising along the list
} fai_retained;

typedef struct fai_retained_list {
    fai_retained *items;
    uint32_t count;
    uint32_t capacity;
    uint32_t made; // number given last
} fai_retained_list;

/// Records that every list of retired versions has room for from the beginning: so that memory can be freed when none is left.
#define FAI_RETIRED_FIRST 64u

/// Versions waiting for their grace period.
typedef struct fai_retired_list {
    void **objects;
    uint32_t count;
    uint32_t capacity;
} fai_retired_list;

/// Counters of a lane, as published for the main lane to merge.
typedef struct fai_lane_stats {
    int64_t pool_live, pool_live_bytes;
    uint64_t pool_allocs, pool_refills;
    int64_t heap_live, heap_live_bytes;
    uint64_t heap_allocs;
    int64_t handle_live, handle_live_bytes, handle_fixed, handle_pinned;
    uint64_t handle_allocs;
    uint64_t remote_frees, foreign_frees;
    uint64_t frees_kept;
    uint64_t retired;
    // of shared arenas, which many programs do not use: published by lanes that ever did, see fai_lane_arena_stats()
    int64_t group_objects, group_bytes, scratch_bytes;
    uint64_t group_refused, scratch_refused;
    int64_t job_memories, job_bytes;
    uint64_t job_refused;
} fai_lane_stats;

/// Adds to one of them, in builds that have statistics.
#define FAI_TALLY(lane, field, n) (FA_STATISTICS ? (void)((lane)->stats.field += (n)) : (void)0)

/// Elements of an array that statistics alone need.
#define FAI_STATISTICAL(count) (FA_STATISTICS ? (count) : 1)

/// What a lane keeps of one tag: magazines and slabs. Made when the tag first needs one.
typedef struct fai_purse {
    fai_slab_lists lists; // first: the lane finds its purses in fai_slabs.tagged
    fa_magazine magazines[FA_CLASS_COUNT];
    int64_t taken[FAI_STATISTICAL(FA_CLASS_COUNT)];    // objects out of the slabs
    uint64_t counted[FAI_STATISTICAL(FA_CLASS_COUNT)]; // handed out by the magazine when the label was last settled
    uint64_t classes;                                  // bit per class ever used
    uint64_t made_before;                              // objects made before behaviour was watched
} fai_purse;

/// An open phase.
typedef struct fai_open_phase {
    uint32_t before; // phase
    uint64_t serial; // of the job that began it
    uint64_t since_ns;
    fai_zone zone;
} fai_open_phase;

/// Where in the frame arena a label began, for rollbacks past the change.
typedef struct fai_label_start {
    uint64_t bytes;
    uint32_t label;
} fai_label_start;

/// What is published of a pool class when somebody takes snapshots.
typedef struct fai_class_stats {
    uint64_t live, at_hand, slabs, refills;
} fai_class_stats;

/// What is published of a tag's pool objects while behaviour is watched.
typedef struct fai_tag_pool {
    uint64_t tag, made, live;
} fai_tag_pool;

/// Checkpoints that a rollback made stale: those taken after number `after`, up to number `upto`.
typedef struct fai_stale {
    uint64_t after, upto;
} fai_stale;

/// What a lane has of the frame in one slot.
typedef struct fai_lane_frame {
    FAI_OWN_LINE fai_arena arena;
    fai_retained_list retained;
    uint64_t blocks; // main lane: their part in the capacity that snapshots show
} fai_lane_frame;

_Static_assert(sizeof(fai_lane_frame) == FAI_CACHE_LINE, "neighbours in flight are apart, each is in one place");

struct fai_memory;
struct fai_job_mark;

typedef struct fai_lane {
    fa_worker hot; // first: a fa_worker is a lane
    // immutable after init
    struct fai_memory *memory;
    // owner: the lane's thread, or its proxy. What begin and end of a frame look at comes first, see layout.h
    uint32_t slot;                // frame slot whose window is loaded, FAI_NO_SLOT if none
    uint32_t gate;                // the same for who need not look at more, see fai_lane_gate()
    uint64_t frame_number;        // of that frame
    fai_order *order;             // of the running job
    uint64_t serial_last;         // of jobs on this lane
    FAI_ATOMIC(uint32_t) watched; // shared: kinds of events and hooks that somebody wants; the main lane writes
    uint32_t depth;               // nesting level of jobs, 0 outside
    uint32_t heirs;               // of them, jobs that have memory of their own or an ancestor's
    uint32_t in_arena;            // depth of allocations from shared arenas that may call a sink
    bool arenas_used;             // so the last part of `stats` is published, too
    bool changed;                 // something that statistics show may have changed since they were published
    bool exact;                   // every allocation takes the slow path: checked or instrumented
    bool counts_frame;            // every allocation of frame memory does, to be counted
    bool checked;                 // the system is
    bool idle;                    // between fa_idle_begin() and fa_idle_end()
    bool pool_used;               // some purse has objects
    bool scope_used;              // scope memory was taken since it was last seen empty
    bool keeps_frees;             // stats.frees_kept is not 0
    bool starts_wanted;           // see `starts`
    uint32_t label;               // current; worker threads keep a job's until another has another
    uint32_t start_count;
    uint32_t phase_depth;
    fai_outbox outbox;
    fai_stash stash;
    fai_retired_list retired;
    fai_lane_frame frames[FA_FRAMES_IN_FLIGHT_MAX]; // by slot
    fai_arena scope;
    uint64_t checkpoints;       // number of the last one taken …
    uint64_t checkpoints_first; // … and what the first counts from
    uint64_t storages;          // of collections, stamped so far
    uint64_t job_memories;      // made so far
    fai_stale *stale;           // which checkpoints were rolled back past, rising
    uint32_t stale_count;
    uint32_t stale_capacity;
    fai_stale stale_first;   // where they begin: one range needs no memory
    uint64_t label_bytes;    // of the frame's arena when the label was last settled
    uint64_t label_start;    // of the frame's arena when it became current
    uint64_t denials;        // by budgets, since creation
    uint64_t credit;         // frame memory that the tag was charged for, from label_bytes on
    fai_label_start *starts; // labels before the current one, while a checkpoint may go back to them
    uint32_t start_capacity;
    fai_open_phase phases[FAI_STATISTICAL(FA_PHASE_DEPTH)];
    fai_ledger *ledgers; // one per frame slot
    uint64_t refills[FAI_STATISTICAL(FA_CLASS_COUNT)];
    fai_slabs slabs;
    fai_handle_lane handles;
    void **quarantine; // ring of objects freed last, checked systems only
    uint32_t quarantine_next;
    uint32_t quarantined;
    uint32_t transfer_hint;                    // slot to look at first
    void *retired_first[2][FAI_RETIRED_FIRST]; // where `retired` and `offered` begin
    fai_lane_stats stats;
    uint32_t purse_count;
    uint8_t purses[FAI_NAMES_MAX];         // tags that have a purse, 0 first
    fai_slab_lists *tagged[FAI_NAMES_MAX]; // the purses by tag, NULL where there is none
    fai_purse untagged;
    uint64_t exhausted_frame; // frame in which FA003 was last reported
    uint64_t refused_frame;   // and FA301
    uint32_t damage_seen;     // slabs.damaged when FA901 was last reported
    uint64_t stream_clock;    // last use of a stream that this lane noted
    fa_contention contention;
    // shared
    FAI_OWN_LINE fai_retired_list offered;       // versions this lane hands over while it keeps running
    fai_lane_stats published;                    // each field: relaxed, written by whoever services
    FAI_ATOMIC(uint64_t) at_hand[FAI_NAMES_MAX]; // by tag: bytes in magazines; relaxed, likewise
    fai_class_stats published_classes[FAI_STATISTICAL(FA_CLASS_COUNT)]; // likewise, while it is wanted
    FAI_ATOMIC(uint64_t) tags_published; // likewise: whose watch << 32 | length of the next, whose entries go by purse
    fai_tag_pool tag_pools[FAI_NAMES_MAX];
    FAI_ATOMIC(fai_event_ring *) ring;   // made by the main lane, stays until the end
    FAI_ATOMIC(uint64_t) events_dropped; // written by the lane's thread
    FAI_ATOMIC(uint64_t) stream_plan;    // see evict.c
    // and what the boundary looks at, last: a scheduler's part follows
    fai_mailbox mailbox;
    FAI_ATOMIC(uint32_t) state;
    FAI_ATOMIC(uint32_t) service_due;   // 1: a boundary found the lane running and asks it to service itself
    FAI_ATOMIC(uint32_t) attention;     // 1: the lane went idle with retired versions or an unopened stash
    FAI_ATOMIC(uint32_t) claims;        // by the lane's thread, wraps
    FAI_ATOMIC(const void *) thread;    // whose lane this is, as of fai_thread_self(); NULL: nobody's
    uint64_t uses_seen;                 // main lane: `claims`, or what it did itself, at the last boundary
    uint32_t quiet;                     // main lane: boundaries since it changed
    FAI_ATOMIC(uint32_t) offered_ready; // 1: `offered` belongs to the main lane
    FAI_ATOMIC(uint64_t) publications;  // of the counters below
    uint64_t publications_seen;         // main lane: at the last boundary
    fa_lane_snapshot frame_used;        // main lane: what snapshots say, as of the last frame that retired
    fai_lane_budget budgets[FA_LANE_USES];
    FAI_ATOMIC(uint64_t)
    adopted; // bytes of spans that became this lane's less those that became another's, modulo 2^64
} fai_lane;

_Static_assert(offsetof(fai_lane, frames) == 2 * FAI_CACHE_LINE, "what a frame end looks at takes six lines");

/// Tick hooks: nobody spoke of them, they were declared, they were called.
enum { FAI_HOOKS_NONE, FAI_HOOKS_DECLARED, FAI_HOOKS_CALLED };

struct fai_history;
struct fai_behavior;

/// Words of fa_stats that change with every frame; they come first in it. And the others.
#define FAI_STATS_FIRST (offsetof(fa_stats, pool_live) / sizeof(uint64_t))
#define FAI_STATS_REST (sizeof(fa_stats) / sizeof(uint64_t) - FAI_STATS_FIRST)

/// All memory of a system; first member of fa_system.
typedef struct fai_memory {
    // immutable after init
    fa_config config;
    uint32_t
        number; // of the system in this process, from 1: ids begin at different values in each, so that another's are told apart
    uint32_t lane_count;
    size_t lane_bytes;
    unsigned char *lanes;
    unsigned char *outboxes; // arrays of the lanes' outboxes
    fai_labels *labels;
    fai_ledger *ledgers; // of all lanes
    fai_retentions *retentions;
    fai_depot depot;
    const char *(*job_name)(const fai_lane *lane); // of the running job; set by the scheduler before any can run
    fai_diagnostics diagnostics;
    fai_handles handles;
    fai_sites sites;
    fai_transfers transfers;
    fai_arena_registry arenas; // see there who owns what
    // owner: the main lane
    fai_grace grace;
    void *retired_first[2][FAI_RETIRED_FIRST]; // where these two begin
    uint64_t gathered_frame;                   // frame at whose boundary the oldest was gathered
    uint64_t waiting_frame;
    uint64_t retired, reclaimed;
    fa_promotion *items; // of the last result
    uint32_t item_capacity;
    fai_retained **sorted; // work space of the promotion
    uint32_t sorted_capacity;
    fai_streams streams; // see stream.h for what is shared
    fai_events events;
    struct fai_history *history; // NULL: none is kept
    // From here on what begin and end of a frame look at, see layout.h
    fai_blocks blocks; // its end
    // owner: the main lane
    FAI_OWN_LINE fai_retired_list gathered; // versions that wait for a grace period to begin
    fai_retired_list waiting;               // versions whose grace period runs
    uint64_t refused_seen;                  // blocks.refused at the last boundary
    bool observed;                          // there is a history, a profiler's frame hook, or somebody wants events
    bool stats_due;                         // what no lane publishes has changed since it was merged
    struct fai_behavior *behavior;          // NULL: not watched
    fa_stats merged;                        // being built; the scheduler fills in its part before a boundary
    // shared: double buffers, see stats.c
    FAI_OWN_LINE FAI_ATOMIC(uint64_t) stats_rest[2][FAI_STATS_REST];
    FAI_OWN_LINE FAI_ATOMIC(uint64_t) stats_first[2][FAI_STATS_FIRST];
    FAI_ATOMIC(uint64_t) stats_version;
    FAI_OWN_LINE FAI_ATOMIC(uint64_t) frame_number; // open or last frame
    FAI_ATOMIC(uint32_t)
    slots_alive; // bit per frame slot that has not retired; the arenas of others belong to their lanes
    FAI_ATOMIC(uint32_t)
    lanes_used; // lanes from this number on were never claimed, and the boundary need not look at them
    FAI_ATOMIC(uint32_t) labelled;   // 1: some lane has had a label
    FAI_ATOMIC(uint32_t) drain_all;  // 1: memory was refused, boundaries take everything home
    FAI_ATOMIC(uint32_t) hooks;      // FAI_HOOKS_…, written by the main lane
    FAI_ATOMIC(uint32_t) frame_open; // slot of the open frame, FAI_NO_SLOT if none
    FAI_ATOMIC(uint32_t) wanted;     // what lanes publish too: FAI_WANT_…
    FAI_ATOMIC(uint32_t)
    grace_runs; // 1: a grace period was asked for, for what waits, of streams and of shared arenas; lanes hurry then
    FAI_ATOMIC(uint32_t) watch; // number of the last watch of behaviour
    FAI_ATOMIC(uint32_t)
    loose_counters; // 1: streams, shared arenas or rings of events: no lane publishes what they count
} fai_memory;

// Life --------------------------------------------------------------------------------------------------------------

/// FA_OK, or a refused configuration; fills in FA_WORKERS_AUTO.
fa_status fai_config_check(const fa_config *config, fa_config *resolved);

/// Lanes are `lane_bytes` each (a multiple of FAI_CACHE_LINE), zeroed, and begin with a fai_lane; all start IDLE. `config` is resolved.
fa_status fai_memory_init(fai_memory *memory, const fa_config *config, uint32_t lane_count, size_t lane_bytes);

/// [main] Reports what was never freed, releases everything. No other thread uses the memory; all frames have retired.
void fai_memory_exit(fai_memory *memory);

static inline fai_lane *fai_memory_lane(const fai_memory *memory, uint32_t index)
{
    return (fai_lane *)(void *)(memory->lanes + index * memory->lane_bytes);
}

/// [main] How many lanes the boundary looks at.
static inline uint32_t fai_memory_lanes_used(const fai_memory *memory)
{
    return fai_load_relaxed(&memory->lanes_used);
}

static inline fai_lane *fai_lane_of(fa_worker *w)
{
    return (fai_lane *)(void *)w;
}

// Accounts ----------------------------------------------------------------------------------------------------------
//
// Labels, ledgers, budgets and statistics. A build without statistics has none of it: uncounted.h says what is true then.

#if FA_STATISTICS
/// [owner] Makes another label current.
void fai_lane_switch_label(fai_lane *lane, uint32_t label);
/// [owner thread] Back to the label `before` the job, whose `own` it was, and a report of what the job left open.
void fai_lane_restore_label(fai_lane *lane, uint32_t before, uint32_t own);
/// [owner thread] Ends the phases that were begun outside jobs and are still open, and reports them.
void fai_lane_close_phases(fai_lane *lane);
/// [owner thread] The same of tags, when the thread gives its lane up: the next one must not begin under them.
void fai_lane_close_tags(fai_lane *lane);

/// [owner] Charges `bytes` to the label's tag; all or nothing. False: a hard budget refuses, which was reported and counted.
bool fai_label_charge(fai_lane *lane, uint32_t label, fai_use use, uint64_t bytes);
/// [owner] The same for at least `need` bytes, at most `want`; how many.
uint64_t fai_label_charge_ahead(fai_lane *lane, uint32_t label, fai_use use, uint64_t need, uint64_t want);
/// [owner] Takes back what was charged, on any lane.
void fai_label_refund(fai_lane *lane, uint32_t label, fai_use use, uint64_t bytes);

/// [owner] A purse for a tag that has none; NULL: no memory.
fai_purse *fai_lane_make_purse(fai_lane *lane, uint32_t tag);

/// [owner] Enters what was allocated under a label into the ledger of the lane's frame, if it is in one.
void fai_ledger_add(fai_lane *lane, uint32_t label, fai_use use, uint64_t bytes, uint64_t allocs);
/// [owner] A phase of the lane's frame ended.
void fai_ledger_add_phase(fai_lane *lane, uint32_t phase, uint64_t ns);
/// [main] An allocation was still retained when its frame retired.
void fai_ledger_add_retained(fai_memory *memory, uint32_t slot, const fa_promotion *item, bool replaced);

/// [main] While behaviour is watched: a frame's ledgers were settled; a boundary is over, everything else included.
void fai_behavior_add_frame(fai_memory *memory, uint64_t number);
void fai_behavior_look(fai_memory *memory);

/// [owner] Adds up what was allocated under the label since it became current or was last settled.
void fai_lane_settle_label(fai_lane *lane);
/// [owner] The lane enters or leaves its frame.
void fai_lane_resume_label(fai_lane *lane);
void fai_lane_suspend_label(fai_lane *lane);
/// [owner] Provides for `bytes` more of frame memory; false: the budget refuses.
bool fai_lane_reserve_frame(fai_lane *lane, uint64_t bytes);
/// [owner] The frame's arena was rewound; it had `before` bytes, all settled.
void fai_lane_unwind_label(fai_lane *lane, uint64_t before);
/// [main] Adds up the ledgers of a frame that retires and refunds its memory.
void fai_memory_settle_frame(fai_memory *memory, uint32_t slot);

/// [owner] The lane's counters, for the main lane to merge.
void fai_lane_publish(fai_lane *lane);
/// [any] What all lanes published.
fai_lane_stats fai_memory_sum(const fai_memory *memory);
/// [main] Merges what all lanes published and lets everybody read it.
void fai_memory_publish(fai_memory *memory);
#else
#include "alloc/uncounted.h"
#endif

/// [owner] The lane's current label; none in builds without statistics.
static inline uint32_t fai_lane_label(const fai_lane *lane)
{
    return FA_STATISTICS ? lane->label : 0;
}

/// [owner] Something was allocated under the lane's label: all but frame memory's bytes and objects from magazines, whose numbers are found as
/// differences.
static inline void fai_lane_count(fai_lane *lane, fai_use use, uint64_t bytes)
{
    if (FA_UNLIKELY(fai_lane_label(lane) != 0)) fai_ledger_add(lane, lane->label, use, bytes, 1);
}
// Whose lane ---------------------------------------------------------------------------------------------------------

/// [own] The lane is the calling thread's from now on, and nobody's.
void fai_lane_adopt(fai_lane *lane);
void fai_lane_abandon(fai_lane *lane);

/// [any] The calling thread's lane, NULL if it has none. Looks at all lanes: for where it does not matter what that costs.
fai_lane *fai_lane_self(const fai_memory *memory);

/// [any] Whether it is the calling thread's; reports if not (FA201, or FA202 for nobody's).
bool fai_lane_check_thread(const fai_lane *lane);

/// [any] Slow part of fai_lane_check().
fa_status fai_lane_look(const fai_lane *lane);

/// [any] Asked first by every public function of a lane: FA_OK, or what it answers after this has reported why. FA_ERROR_WRONG_THREAD: the
/// calling thread's it is not. FA_ERROR_STATE: it is, but idle (FA202). Only checked systems look.
static inline fa_status fai_lane_check(const fai_lane *lane)
{
    return FA_LIKELY(!lane->checked) ? FA_OK : fai_lane_look(lane);
}

/// [any] The same for functions that answer no status.
static inline bool fai_lane_may_use(const fai_lane *lane)
{
    return fai_lane_check(lane) == FA_OK;
}

/// [any] Asked first by every [main] function: FA_OK on the thread that created the system, else FA_ERROR_WRONG_THREAD. All systems look, checked
/// ones report (FA201).
fa_status fai_memory_check_main(const fai_memory *memory);

// Ownership ---------------------------------------------------------------------------------------------------------

/// [owner thread] Whether the lane is now RUNNING; false while a proxy services it (a few µs at most).
bool fai_lane_claim(fai_lane *lane);

/// [owner thread] Posts what the lane holds for others, services it if that is due, stores its frame window, and lets go of it (IDLE).
/// Publish completions of jobs after this call, not before.
void fai_lane_yield(fai_lane *lane);

/// [owner thread] At depth 0, RUNNING: services the lane if a boundary asked for it. Costs a load otherwise.
void fai_lane_service_if_due(fai_lane *lane);

// Frames and jobs ---------------------------------------------------------------------------------------------------

/// [owner thread] Stores the window of the frame that the lane is in, if any.
void fai_lane_leave_frame(fai_lane *lane);

/// Slow part of fai_lane_enter_frame().
void fai_lane_switch_frame(fai_lane *lane, uint32_t slot, uint64_t number);

/// [owner thread] From here on the lane allocates from the frame in `slot`.
static inline void fai_lane_enter_frame(fai_lane *lane, uint32_t slot, uint64_t number)
{
    if (lane->slot != slot || lane->frame_number != number) fai_lane_switch_frame(lane, slot, number);
}

/// [owner thread] Which checkpoints were rolled back past need not be known any more: none that was taken so far is valid in what comes now. Not
/// so in a frame that a wait outside jobs enters, to run a job of it, and comes back from.
static inline void fai_lane_forget_stale(fai_lane *lane)
{
    lane->stale_count = 0;
}

/// What a job must find as it was when it ends.
typedef struct fai_job_mark {
    fa_arena_mark scope;
    fa_arena_mark frame;
    fai_order *order;
    uint32_t own;           // the job's label, and FAI_MARK_…
    fai_job_memory *memory; // the job's nearest, if it has FAI_MARK_MEMORY
    uint32_t label;         // before the job; apart from `own`, or compilers put both together to store them at once
} fai_job_mark;

#define FAI_MARK_LABEL 0xffffu
#define FAI_MARK_MEMORY 0x10000u     // the job has memory …
#define FAI_MARK_OWN_MEMORY 0x20000u // … of its own
#define FAI_MARK_SWITCHED 0x40000u   // the job's label is not the one before

/// [owner thread] What `gate` is to be: the slot, or FAI_NO_SLOT when who starts a job has to look at more: always in checked systems, and while
/// a job on the lane's stack has memory.
static inline uint32_t fai_lane_gate(const fai_lane *lane)
{
    return lane->checked || lane->heirs > 0 ? FAI_NO_SLOT : lane->slot;
}

/// [owner thread] Of the running job on this lane, 0 outside jobs.
static inline uint64_t fai_lane_serial(const fai_lane *lane)
{
    return lane->order != NULL ? lane->order->serial : 0;
}

static inline fa_arena_mark fai_lane_scope_mark(const fai_lane *lane)
{
    return (fa_arena_mark){lane->hot.scope_cursor, lane->scope.ordinal, lane->scope.span_count};
}

/// The lane is in a frame.
static inline fa_arena_mark fai_lane_mark_in_frame(const fai_lane *lane)
{
    FA_ASSERT(lane->slot != FAI_NO_SLOT);
    const fai_arena *arena = &lane->frames[lane->slot].arena;
    return (fa_arena_mark){lane->hot.frame_cursor, arena->ordinal, arena->span_count};
}

static inline fa_arena_mark fai_lane_frame_mark(const fai_lane *lane)
{
    return lane->slot != FAI_NO_SLOT ? fai_lane_mark_in_frame(lane) : (fa_arena_mark){NULL, 0, 0};
}

/// Without a branch: each job's end asks twice.
static inline bool fai_mark_is(fa_arena_mark a, fa_arena_mark b)
{
    uint64_t cursors = (uintptr_t)a.cursor ^ (uintptr_t)b.cursor;
    uint64_t rest = ((uint64_t)a.spans << 32 | a.block) ^ ((uint64_t)b.spans << 32 | b.block);
    return (cursors | rest) == 0;
}

/// [owner thread] What the lane allocated in its frame so far belongs to queued jobs or jobs that ended: a rollback to an earlier checkpoint
/// leaves it.
static inline void fai_lane_keep_frame(fai_lane *lane)
{
    lane->frames[lane->slot].arena.floor = fai_lane_mark_in_frame(lane);
}

/// Frees scope memory back to the mark; a mark ahead does nothing.
void fai_lane_rewind_scope(fai_lane *lane, fa_arena_mark mark);

/// [owner thread] Frees all scope memory, outside jobs. Scopes and checkpoints that are left over do no harm: see fai_arena_rewind().
void fai_lane_reset_scope(fai_lane *lane);

/// [owner thread] From here on `memory`, of which the running job is a user already, is the job's nearest; it drops it when it ends. `mark`
/// is the job's.
void fai_lane_use_memory(fai_lane *lane, fai_job_mark *mark, fai_job_memory *memory, bool own);

/// [owner thread] Slow part of fai_lane_end_job(): drops the job's memory and restores the label.
void fai_lane_end_job_slow(fai_lane *lane, const fai_job_mark *mark);

/// [owner thread] Around every job, properly nested and in the job's frame; `order` must live until the end.
static inline void fai_lane_begin_job(fai_lane *lane, fai_order *order, uint32_t label, fai_job_mark *mark)
{
    mark->scope = fai_lane_scope_mark(lane);
    mark->frame = fai_lane_mark_in_frame(lane);
    mark->order = lane->order;
    mark->label = fai_lane_label(lane);
    mark->own = label;
    if (FA_STATISTICS && FA_UNLIKELY(label != lane->label)) {
        mark->own |= FAI_MARK_SWITCHED;
        fai_lane_switch_label(lane, label);
    }
    lane->order = order;
    order->serial = ++lane->serial_last;
    lane->depth++;
}

static inline void fai_lane_end_job(fai_lane *lane, const fai_job_mark *mark)
{
    // A job with memory, or another label than was before, has more than a label in `own`, so that it costs the others nothing.
    if (FA_UNLIKELY(fai_lane_label(lane) != mark->own)) fai_lane_end_job_slow(lane, mark);
    if (!fai_mark_is(mark->scope, fai_lane_scope_mark(lane))) fai_lane_rewind_scope(lane, mark->scope);
    lane->depth--;
    // What this job allocated outlives it: a checkpoint of who waits below, a job or the main lane, must not free it.
    if (!fai_mark_is(mark->frame, fai_lane_mark_in_frame(lane))) fai_lane_keep_frame(lane);
    lane->order = mark->order;
}

/// [main] Before the first use of a slot for a new frame.
void fai_memory_open_frame(fai_memory *memory, uint32_t slot, uint64_t number);

/// [main] The frame in `slot` is over on all lanes (jobs done, not held): promotes what it retained into `result` (added up over calls; items
/// are appended) and recycles its memory on all lanes. `result` may be NULL.
void fai_memory_retire_frame(fai_memory *memory, uint32_t slot, uint64_t number, fa_frame_result *result, bool listed);

/// [main] Frees the promoted objects of a result that have no cell, and takes the list away: the caller will not see it.
void fai_memory_drop_unclaimed(fai_memory *memory, fa_frame_result *result);

/// [main] Lists the frames' retentions by tag and phase in the result; and forgets them before the next.
void fai_memory_list_retentions(fai_memory *memory, fa_frame_result *result);
void fai_memory_clear_retentions(fai_memory *memory);

/// [main] The boundary itself, after the frames that could retire have: brings frees home on every lane that can be claimed and asks
/// the others, reclaims versions whose grace period is over and starts the next one, maintains the blocks, publishes statistics.
void fai_memory_boundary(fai_memory *memory);

/// [main] Asks for the lines of it that the end of a frame touches, see layout.h.
static inline void fai_memory_fetch(const fai_memory *memory)
{
    const fai_lane *main_lane = fai_memory_lane(memory, 0);
    fai_fetch_line(&memory->blocks.resident_count);
    fai_fetch(&memory->gathered, (const uint64_t *)(const void *)&memory->merged + FAI_STATS_FIRST);
    fai_fetch(&memory->stats_first, &memory->stats_version + 1);
    fai_fetch_line(&memory->frame_number);
    fai_fetch(main_lane, &main_lane->frames[1]);
    fai_fetch_line(&main_lane->mailbox);
    fai_fetch(&main_lane->state, &main_lane->budgets[FA_LANE_USE_FRAME] + 1);
}

/// [main] Takes from all lanes that nobody runs, and from the main lane, the chunks that handles' objects are allocated from.
void fai_memory_trim_handles(fai_memory *memory);

// Inside alloc/ ------------------------------------------------------------------------------------------------------

/// [own] Frees an object on its owner or sends it home. `account`: FAI_KIND_POOL, FAI_KIND_HEAP, or FAI_KIND_NONE for either. False and a
/// diagnostic if it is no such object.
bool fai_lane_free(fai_lane *lane, void *p, fai_kind account);

/// [owner] The lane's purse of a tag, NULL if it never had one.
static inline fai_purse *fai_lane_purse(const fai_lane *lane, uint32_t tag)
{
    return (fai_purse *)(void *)lane->slabs.tagged[tag];
}

/// [owner] At least `need` and at most `want` bytes more of what the lane's budget allows; 0: refused, which was reported and counted.
static inline uint64_t fai_lane_grant(fai_lane *lane, fa_lane_use use, uint64_t need, uint64_t want)
{
    if (!FA_STATISTICS || FA_LIKELY(!fai_lane_budget_is_set(&lane->budgets[use]))) return want;
    return fai_lane_grant_slow(lane, use, need, want);
}

/// [owner] After something was allocated: has the budget's peak and soft limit looked at.
static inline void fai_lane_note(fai_lane *lane, fa_lane_use use)
{
    if (FA_STATISTICS && FA_UNLIKELY(fai_lane_budget_is_set(&lane->budgets[use]))) fai_lane_note_slow(lane, use);
}

/// [any] A span that one lane's statistics count now lies with another.
static inline void fai_lane_adopt_bytes(fai_lane *from, fai_lane *to, uint64_t bytes)
{
    if (!FA_STATISTICS) return;
    (void)fai_sub_relaxed(&from->adopted, bytes);
    (void)fai_add_relaxed(&to->adopted, bytes);
}

/// [main] Adds the frame that was settled to the retentions.
void fai_memory_count_retentions(fai_memory *memory);

/// [owner] Frees an object of this lane; `info` is its unit's.
void fai_lane_free_own(fai_lane *lane, void *p, uint32_t info);

/// [owner] Gives back what the lane keeps for later: full magazines, empty slabs, blocks of arenas. When a limit refused, or the lane has been
/// idle for long.
void fai_lane_trim(fai_lane *lane);

/// [owner] Returns what the magazines of a tag hold to their slabs; whether there was anything.
bool fai_lane_flush_tag(fai_lane *lane, uint32_t tag);
/// [owner] Gives a freed and filled object back to its slab, in checked systems after others were; and all that wait for that.
void fai_quarantine_put(fai_lane *lane, void *p);
void fai_quarantine_empty(fai_lane *lane);

static inline bool fai_memory_has_records(const fai_memory *memory)
{
    return memory->blocks.records != NULL;
}

/// [any] Whether p is a whole pool or heap object of this system, and which it is.
fai_kind fai_memory_kind_of(const fai_memory *memory, const void *p);

/// [own] The same for an object that is to be kept: in a checked system also that it is not free, as far as this lane knows, and a refusal
/// (FAI_KIND_NONE) is reported. NULL is refused silently.
fai_kind fai_lane_kind_of(const fai_lane *lane, const void *p);

/// [own] What an alignment that a caller passed stands for: 0, and all below, for FA_ALIGN_DEFAULT. False, and FA903: it is no power of two, or
/// above `most`.
bool fai_lane_align(const fai_lane *lane, size_t *align, size_t most);
#define FAI_POOL_ALIGN_MAX 4096u

/// [own] Says that a limit on all memory refused `size` bytes (FA301), once per frame and lane.
void fai_lane_report_refused(fai_lane *lane, size_t size);

/// [own] Says that the lane's slabs were found damaged since the last call (FA901). Everything is as other calls expect it.
void fai_lane_report_damage(fai_lane *lane);

/// [owner] Memory for the library's own lists: doubles an array of `size`-byte elements, keeping `count` of them. False: refused, nothing changed.
bool fai_lane_grow(fai_lane *lane, void **array, uint32_t count, uint32_t *capacity, size_t size);

/// [owner] Gathers a free for another lane, or posts it directly if no packet is to be had.
void fai_outbox_add(fai_lane *lane, uint32_t owner, void *p, size_t bytes);
void fai_outbox_post_all(fai_lane *lane);
/// [owner] Takes home all that others freed, or only until the magazine has something.
void fai_mailbox_drain(fai_lane *lane);
/// [owner] At a boundary: the same up to config.drain_objects_max; whether some are left.
bool fai_mailbox_drain_bounded(fai_lane *lane);
void fai_mailbox_refill(fai_lane *lane, const fa_magazine *magazine);
static inline bool fai_mailbox_is_empty(const fai_mailbox *mailbox)
{
    return fai_inbox_is_empty_any(&mailbox->packets) && fai_inbox_is_empty_any(&mailbox->objects);
}
/// [any] A free by a thread that is no lane.
void fai_mailbox_post_foreign(fai_memory *memory, uint32_t owner, void *p);

/// [owner] The lane's counters of shared arenas, to be changed.
static inline fai_lane_stats *fai_lane_arena_stats(fai_lane *lane)
{
    lane->changed = lane->arenas_used = true;
    if (!fai_load_relaxed(&lane->memory->arenas.used)) fai_store_relaxed(&lane->memory->arenas.used, 1u);
    return &lane->stats;
}

/// [any] Something was made whose counters statistics show and no lane publishes.
static inline void fai_memory_note_loose_counters(fai_memory *memory)
{
    if (fai_load_relaxed(&memory->loose_counters) == 0) fai_store_relaxed(&memory->loose_counters, 1u);
}

/// [owner] The lane's arena of its frame, with the window stored back, and the other way round.
fai_arena *fai_lane_store_frame(fai_lane *lane);
void fai_lane_load_frame(fai_lane *lane);

/// [own] Grows the newest allocation where it is; false: it is not the newest, or there is no room in its block.
bool fai_lane_extend_frame(fai_lane *lane, void *p, size_t old_size, size_t new_size);
bool fai_lane_extend_scope(fai_lane *lane, void *p, size_t old_size, size_t new_size);

/// [own] realloc and free of a table over memory whose pieces nobody gives back and that has no top of its own: another lane may have
/// allocated behind a piece.
void *fai_table_realloc(const fa_allocator *a, void *p, size_t old_size, size_t new_size, size_t align);
void fai_table_keep(void *ctx, void *p, size_t size);

/// [main] Promotes what the frame retained.
void fai_memory_promote(fai_memory *memory, uint32_t slot, uint64_t number, fa_frame_result *result, bool listed);
/// [own] Forgets what the current job retained in this frame after number `after`.
void fai_lane_forget_retained(fai_lane *lane, uint32_t after);

/// [owner] Makes room for one more record. False: no memory.
bool fai_lane_reserve_retired(fai_lane *lane);
/// [owner] Records an unlinked version: a pool or heap object, or what a handle named. False: no memory.
bool fai_lane_retire(fai_lane *lane, void *object);
/// [owner] Makes the lane's retired versions available to the main lane.
void fai_lane_offer_retired(fai_lane *lane);
/// [main] Frees versions whose grace period is over. Then collects what lanes retired, and starts the next grace period.
void fai_memory_reclaim(fai_memory *memory);
void fai_memory_gather(fai_memory *memory, fai_lane *lane);
void fai_memory_start_grace(fai_memory *memory);
/// [main] At shutdown, all lanes idle: waits for the grace period and frees every retired version.
void fai_memory_reclaim_all(fai_memory *memory);

// Events, see event.h ------------------------------------------------------------------------------------------------

/// [own] Whether somebody wants one of these events or hooks: all that an event costs when nobody does.
static inline bool fai_lane_watches(const fai_lane *lane, uint64_t bits)
{
    return FA_TRACE && (fai_load_relaxed(&lane->watched) & (uint32_t)bits) != 0;
}

/// Slow parts of the functions below.
void fai_event_record(fai_lane *lane, fa_event_kind kind, const char *name, uint64_t a, uint64_t b, uint64_t c);
void fai_event_record_own(fai_lane *lane, fa_event_kind kind, const char *name, uint64_t a, uint64_t b, uint64_t c);

/// [owner] Records that something happened. `name` is static or NULL; see events.h for the numbers.
static inline void fai_event(fai_lane *lane, fa_event_kind kind, const char *name, uint64_t a, uint64_t b, uint64_t c)
{
    if (FA_UNLIKELY(fai_lane_watches(lane, FA_EVENT_BIT(kind)))) fai_event_record(lane, kind, name, a, b, c);
}

/// [lane's thread] The same, also while it does not own its lane.
static inline void fai_event_own(fai_lane *lane, fa_event_kind kind, uint64_t a, uint64_t b)
{
    if (FA_UNLIKELY(fai_lane_watches(lane, FA_EVENT_BIT(kind)))) fai_event_record_own(lane, kind, NULL, a, b, 0);
}

/// [owner] Records a large allocation; `memory_name` is static.
static inline void fai_lane_note_large(fai_lane *lane, const char *memory_name, size_t size)
{
    uint64_t large = lane->memory->config.large_bytes;
    if (FA_UNLIKELY(size > large && large != 0)) fai_event(lane, FA_EVENT_LARGE_ALLOCATION, memory_name, size, 0, 0);
}

/// Hooks of a profiler for an object of pool or heap. Slow part of the second.
void fai_memory_tell_free(const fai_memory *memory, uint32_t lane, fai_kind kind, const void *p);
void fai_memory_tell_alloc(const fai_memory *memory, uint32_t lane, fai_kind kind, const void *p, size_t size);
static inline void fai_lane_tell_alloc(const fai_lane *lane, fai_kind kind, const void *p, size_t size)
{
    if (FA_UNLIKELY(fai_lane_watches(lane, FAI_WATCH_MEMORY)))
        fai_memory_tell_alloc(lane->memory, lane->hot.index, kind, p, size);
}

/// Slow parts of the functions below.
fai_zone fai_zone_begin_watched(fai_lane *lane, fa_event_kind kind, const char *name, uint64_t a, uint64_t b);
void fai_zone_end_watched(fai_lane *lane, const fai_zone *zone, const char *name, uint64_t a, uint64_t b);

/// The bits of lane->watched that ask for a zone; `kind` is its …_BEGIN, the next kind its end.
#define FAI_WATCH_ZONE(kind) (FA_EVENT_BIT(kind) | FA_EVENT_BIT((kind) + 1) | FAI_WATCH_ZONES)

/// [lane's thread] Around a job, a wait and the like, nested like brackets.
static inline fai_zone fai_zone_begin(fai_lane *lane, fa_event_kind kind, const char *name, uint64_t a, uint64_t b)
{
    if (FA_LIKELY(!fai_lane_watches(lane, FAI_WATCH_ZONE(kind)))) return (fai_zone){0};
    return fai_zone_begin_watched(lane, kind, name, a, b);
}

static inline void fai_zone_end(fai_lane *lane, const fai_zone *zone, const char *name, uint64_t a, uint64_t b)
{
    if (FA_UNLIKELY(zone->kind != 0)) fai_zone_end_watched(lane, zone, name, a, b);
}

/// [main] Gives lanes below `lane_end` that have none a ring; false: no memory.
bool fai_events_make_rings(fai_memory *memory, uint32_t lane_end);
/// [main] Tells all lanes what listeners, trace and profiler want.
void fai_events_update(fai_memory *memory);
/// [main] Notes whether anything of this kind is on.
void fai_memory_note_observers(fai_memory *memory);
/// [main] Delivers an event that is in no ring; then those in the rings, at most as many as events.h says.
void fai_events_deliver(fai_memory *memory, fa_event_kind kind, uint64_t a, uint64_t b);
void fai_events_drain(fai_memory *memory, uint64_t limit);
#define FAI_EVENTS_PER_BOUNDARY 65536u
/// [main] Raises the events that a boundary finds out: pressure and refusals.
void fai_events_look_at_memory(fai_memory *memory);
uint64_t fai_events_dropped(const fai_memory *memory);

/// [main] See events.h and trace.h; the caller has checked thread and moment, and made rings.
fa_status fai_events_listen(fai_memory *memory, uint64_t mask, fa_event_fn *fn, void *context, fa_listener *out);
fa_status fai_events_unlisten(fai_memory *memory, fa_listener listener);
fa_status fai_trace_open(fai_memory *memory, const char *path, fa_write_fn *write, void *context);
fa_status fai_trace_close(fai_memory *memory, fa_trace_result *result);
/// [main] Inside: an event for the trace, and the counters of a frame end.
void fai_trace_event(fai_memory *memory, const fa_event *event);

/// [main] See snapshot.h. And: keeps a snapshot if there is a history.
void fai_snapshot_fill(fai_memory *memory, fa_snapshot *out);
fa_status fai_history_open(fai_memory *memory, uint32_t count);
void fai_history_close(fai_memory *memory);
void fai_history_keep(fai_memory *memory);
uint32_t fai_history_size(const fai_memory *memory);
bool fai_history_get(const fai_memory *memory, uint32_t age, fa_snapshot *out);
uint32_t fai_history_graph(const fai_memory *memory, fa_graph_point *points, uint32_t n);
/// [main] Has every idle lane publish its counters, and from now on these details, too. Until it is unwanted.
enum { FAI_WANT_CLASSES = 1, FAI_WANT_TAG_POOLS = 2 };
void fai_memory_want(fai_memory *memory, uint32_t details);
void fai_memory_unwant(fai_memory *memory, uint32_t details);

// Diagnostics -------------------------------------------------------------------------------------------------------

/// [any] Reports: the code is of FA_CODE_LIST, which gives its severity. `lane` is the calling thread's or one that it services; NULL: found out.
/// printf-like message; note and help are static. The sink may call the library on this lane, so everything must be as other calls expect it.
__attribute__((format(printf, 6, 7))) void fai_report(const fai_memory *memory, const fai_lane *lane, const char *code,
                                                      const char *note, const char *help, const char *message, ...);

/// [own] Something that needs a frame was asked for outside one: FA001, or FA101 when declared tick hooks never came.
void fai_report_outside(const fai_lane *lane, const char *what);
