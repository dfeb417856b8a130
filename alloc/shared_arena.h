// SPDX-License-Identifier: MIT
//
// Arenas that many lanes allocate from at once: groups, scratch pools and memory of jobs. Each lane bumps a window of its own, cut from
// chunks that it takes from its own store, so an allocation is a few loads and plain stores; a lock or a shared counter is not touched.
//
//     slot -> fai_shared_arena     one life of a group or pool: from creation to free, or from one reset to the next
//     arena -> shares -> chunks    one share a lane that ever allocated from it; share and chunks belong to that lane
//     lane -> windows[slot]        the lane's share of the arena whose epoch stands there
//
//     reserved == bytes of the chunks of all shares, less what windows gave back <= capacity
//     bytes handed out + what is left in the shares' windows == reserved == charged to tags
//
// A window is charged to the tag that opened it. An allocation under another tag gets a chunk of its own, until that tag had as much as
// is left in the window; then it gets a window and the rest goes back, so that no more is wasted than was used.
//
// The end of a life of a group or pool (job_memory.h tells that of a job's memory). Whoever takes the arena out of its slot (one compare-and-swap) has it alone: it closes the lists, so that a
// lane that is in the middle of an allocation either has finished or is refused, and runs the cleanups. The memory goes at
// once if no other lane runs, else after a grace period (cell.c): a lane that found the arena before it was unlinked writes to memory that
// still is the arena's.
//
//                 find/alloc   open   unlink
//   find/alloc        -          -      -
//   open              -          -      -
//   unlink            -          -      -
#pragma once

#include "alloc/label.h"
#include "concurrent/index_stack.h"
#include "concurrent/order.h"

#include <framealloc/group.h>
#include <framealloc/scratch.h>

struct fai_lane;
struct fai_memory;

/// At the end of its own memory, so that what is before it may have any alignment.
typedef struct fai_arena_chunk {
    struct fai_arena_chunk *next;
    unsigned char *base;
    uint64_t payload; // bytes from base to here
    uint32_t unused;  // of them, what a window gave back
    uint32_t tag;     // that was charged for the others
} fai_arena_chunk;

/// Behind its object.
typedef struct fai_cleanup {
    struct fai_cleanup *next;
    fa_group_cleanup_fn *fn;
    void *object;
    void *context;
} fai_cleanup;

/// What one lane has of an arena.
typedef struct fai_share {
    // immutable once listed
    struct fai_share *next;
    uint32_t lane;
    // owner: that lane, later whoever releases the arena
    uint32_t growth; // bytes of the next chunk, a power of two
    unsigned char *cursor;
    unsigned char *end;
    fai_arena_chunk *window; // the chunk they are in, NULL before the first
    fai_arena_chunk *chunks;
    uint32_t other_tag;   // another than the window's that allocates meanwhile
    uint64_t other_bytes; // what it had
    // owner writes, relaxed; others read
    FAI_ATOMIC(uint64_t) objects;
    FAI_ATOMIC(uint64_t) bytes;
    // shared: newest first, closed by who unlinked the arena
    FAI_ATOMIC(fai_cleanup *) cleanups;
} fai_share;

typedef struct fai_shared_arena {
    // immutable
    uint64_t id;       // handle: serial << 16 | slot + 1
    uint64_t epoch;    // differs from life to life; an id keeps its pool over resets
    uint64_t capacity; // bytes, 0: none
    uint32_t slot;     // of memory of jobs: none
    fai_use use;
    char name[FA_NAME_MAX + 1];
    // owner: who unlinked it
    fai_share *closed_shares;
    struct fai_shared_arena *next;
    // shared
    FAI_OWN_LINE FAI_ATOMIC(uint64_t) reserved;
    FAI_ATOMIC(fai_share *) shares;
    FAI_ATOMIC(uint32_t) full; // that it is full was reported
} fai_shared_arena;

typedef struct fai_arena_slot {
    FAI_ATOMIC(fai_shared_arena *) arena;
    FAI_ATOMIC(char *) name; // of a scratch pool: bound to the slot for good by the first creation under it
    FAI_ATOMIC(uint32_t) link;
} fai_arena_slot;

typedef struct fai_arena_window {
    uint64_t epoch; // 0: none yet
    fai_share *share;
} fai_arena_window;

/// All shared arenas of a system: scratch pools in the first slots, groups in the others.
typedef struct fai_arena_registry {
    // immutable after init
    fai_arena_slot *slots;
    fai_arena_window *windows; // slot_count for each lane
    uint32_t slot_count;
    uint32_t scratch_count;
    // owner: the main lane
    fai_shared_arena *waiting; // their grace period runs
    // shared
    FAI_OWN_LINE FAI_ATOMIC(uint64_t) serial;
    FAI_ATOMIC(fai_shared_arena *) closed; // unlinked, to be released after a grace period
    fai_index_stack free;                  // group slots that were used before
    FAI_ATOMIC(uint32_t) made;             // group slots ever used
    FAI_ATOMIC(uint32_t) groups;
    FAI_ATOMIC(uint32_t) pools;
    FAI_ATOMIC(uint32_t) used; // 1: some lane has used an arena
    FAI_ATOMIC(uint64_t) pool_capacity;
} fai_arena_registry;

typedef enum fai_arena_kind { FAI_ARENA_SCRATCH, FAI_ARENA_GROUP } fai_arena_kind;

typedef enum fai_arena_answer {
    FAI_ARENA_DONE,
    FAI_ARENA_GONE,    // no such arena, or it ended meanwhile
    FAI_ARENA_FULL,    // its capacity is used up
    FAI_ARENA_DENIED,  // by the hard budget of the lane's tag, which was reported
    FAI_ARENA_REFUSED, // by the limit or the system
} fai_arena_answer;

/// False: no address range to be had. The configuration is set, and lane_count.
bool fai_arenas_init(struct fai_memory *memory);
/// [main] All lanes idle for good: runs the cleanups of what is left, names it, and releases everything.
void fai_arenas_end(struct fai_memory *memory);
void fai_arenas_unmap(struct fai_memory *memory);

/// [own] The live arena of a handle, NULL if there is none. Valid until the job ends.
fai_shared_arena *fai_arena_find(const struct fai_memory *memory, uint64_t id, fai_arena_kind kind);

/// [own] A new arena, in no slot yet; NULL when refused. id 0: a new one.
fai_shared_arena *fai_arena_make(struct fai_lane *lane, uint32_t slot, uint64_t id, const char *name,
                                 uint64_t capacity);
/// [own] Gives back one that was never in a slot.
void fai_arena_unmake(struct fai_lane *lane, fai_shared_arena *arena);

/// [own] Puts `arena` in the place of `old`, either may be NULL. False: another was there. The caller then ends `old`.
bool fai_arena_swap(struct fai_memory *memory, uint32_t slot, fai_shared_arena *old, fai_shared_arena *arena);
/// [own] Runs the cleanups of an arena that this lane took out of its slot, and sees to its release.
void fai_arena_end(struct fai_lane *lane, fai_shared_arena *arena);

/// [own] `size` bytes at `align`, both valid; `cleanup` (with fn, context) may be NULL. NULL: `answer` says why; it was counted and reported.
void *fai_arena_alloc_shared(struct fai_lane *lane, fai_shared_arena *arena, size_t size, size_t align,
                             const fai_cleanup *cleanup, fai_arena_answer *answer);

/// [own] The same from a scratch pool.
void *fai_scratch_take(struct fai_lane *lane, fa_scratch pool, size_t size, size_t align, fai_arena_answer *answer);

/// [own] What was handed out so far, over all lanes, and what is left in this lane's window.
void fai_arena_sum(const struct fai_lane *lane, const fai_shared_arena *arena, uint64_t *objects, uint64_t *bytes,
                   uint64_t *own_window);

/// [own] Whether size and alignment (see fai_lane_align()) are acceptable. And whether a name is.
bool fai_arena_request_is_valid(const struct fai_lane *lane, size_t size, size_t *align);
bool fai_arena_name_is_valid(const char *name);

// Between shared_arena.c, share.c and job_memory.c ----------------------------------------------------------------------

/// [own] From the store; if it refuses, once more with what the lane can give back.
void *fai_arena_take(struct fai_lane *lane, size_t size, size_t align);

/// [own] Adds to the lane's statistics of what was handed out.
void fai_arena_count(struct fai_lane *lane, const fai_shared_arena *arena, int64_t objects, int64_t bytes);

/// [own] Gives back an arena whose shares are closed and that nobody is inside of any more.
void fai_arena_release(struct fai_lane *lane, fai_shared_arena *arena);

/// [own] Closes the lists of an arena that this lane took out of its slot: all that they hold, nothing more is listed.
fai_share *fai_arena_close_shares(fai_shared_arena *arena);
fai_cleanup *fai_share_close_cleanups(fai_share *share);

// At the boundary -------------------------------------------------------------------------------------------------------

/// [main] Releases what has had its grace period; whether any still waits; begins to wait for what was unlinked since.
void fai_arenas_release_waiting(struct fai_memory *memory);
bool fai_arenas_gather(struct fai_memory *memory);
