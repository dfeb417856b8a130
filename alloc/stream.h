// SPDX-License-Identifier: MIT
//
// The table of streams. A stream is one atomic word with all that decides what may happen to it:
//
//     generation 32 | state 4 | priority 2 | count 26          count: pins, loader, or the plan that claims it
//
// and whoever wins the compare-and-swap out of a state does what belongs to that step, alone. The other fields are written before the
// word is RESERVED and stay; `memory` belongs to who holds the stream CHANGING.
//
//     reserved == sizes of all streams that are not evicted + parts that reserves hold (held)      <= budget, always
//
// Eviction without a lock (evict.c). A reserve takes what is free of the budget, then opens a plan, one word of its lane, and
// claims victims for it: READY, unpinned -> CLAIMED by that plan. A claimed stream still counts as ready: who wants to pin, free or change it
// breaks the plan and takes it back. The plan is carried out by one compare-and-swap, OPEN -> DONE, on its word; from there on
// all that it claims is lost to others at one and the same moment. So nothing is evicted for a plan that fails, and a
// reader never waits and never loses to a plan that is not sure to succeed.
//
// A stream that had memory goes through a grace period: [any] `retired`, then [main] `waiting`, then `unused`. So a lane that saw it
// READY may read its fields until its next quiescent state, as with cells.
#pragma once

#include "concurrent/index_stack.h"

#include <framealloc/stream.h>

#define FAI_STREAM_COUNT_BITS 26
#define FAI_STREAM_COUNT_MAX ((UINT32_C(1) << FAI_STREAM_COUNT_BITS) - 1)
#define FAI_STREAM_PLAN_BITS 18 // of a plan's number, in a count; the lane is above

typedef enum fai_stream_state {
    FAI_STREAM_GONE, // not used, or waiting for its grace period
    FAI_STREAM_RESERVED,
    FAI_STREAM_CHANGING,       // a lane begins, ends or aborts its load
    FAI_STREAM_LOADING,        // count: lane of the loader
    FAI_STREAM_READY,          // count: pins
    FAI_STREAM_CLAIMED,        // READY; count: plan
    FAI_STREAM_EVICTING,       // count: the plan that was carried out
    FAI_STREAM_FREED_PINNED,   // count: pins left
    FAI_STREAM_FREED_LOADING,  // the loader's next call ends it
    FAI_STREAM_FREED_CHANGING, // the lane that changes it ends it
} fai_stream_state;

typedef struct fai_stream {
    // shared
    FAI_OWN_LINE FAI_ATOMIC(uint64_t) word;
    FAI_ATOMIC(uint64_t) used;   // frame << 24 | place in the frame
    FAI_ATOMIC(uint64_t) loaded; // closed 1 | generation 22 | bytes 41
    FAI_ATOMIC(uint64_t) size;
    FAI_ATOMIC(void *) memory;
    FAI_ATOMIC(uint64_t) freed; // bit per generation, modulo 64: the program ended it, no eviction
    FAI_ATOMIC(uint32_t) link;  // of the stacks, or of `waiting`
    // immutable until gone
    uint32_t label; // that pays
    uint64_t age;
    size_t align;
    const char *name;
    void *user;
    fa_stream_evict_fn *evict;
} fai_stream;

typedef struct fai_streams {
    // immutable after init
    fai_stream *slots;
    uint32_t capacity;
    uint32_t tag; // of this system's handles
    uint64_t budget;
    // owner: the main lane
    uint32_t waiting; // list of streams whose grace period runs
    // shared
    FAI_OWN_LINE FAI_ATOMIC(uint64_t) reserved;
    FAI_ATOMIC(uint64_t) reserved_peak;
    FAI_ATOMIC(uint64_t) held;    // part of `reserved` that reserves took and may give back
    FAI_ATOMIC(uint64_t) ages;    // streams ever
    FAI_ATOMIC(uint32_t) touched; // slots from this number on were never used
    fai_index_stack unused;
    fai_index_stack retired;
    // shared: counters
    FAI_OWN_LINE FAI_ATOMIC(uint64_t) count[FA_STREAM_EVICTING + 1]; // by public state
    FAI_ATOMIC(uint64_t) bytes[FA_STREAM_EVICTING + 1];
    FAI_ATOMIC(uint64_t) loading_loaded;
    FAI_ATOMIC(uint64_t) leaving, leaving_bytes;
    FAI_ATOMIC(uint64_t) evictions, evicted_bytes;
    FAI_ATOMIC(uint64_t) refused;
} fai_streams;

struct fai_memory;
struct fai_lane;

/// False: no address space. The budget and capacity come from the configuration.
bool fai_streams_init(struct fai_memory *memory);
/// [main] Reports streams that were never freed. Their memory goes with the blocks.
void fai_streams_exit(struct fai_memory *memory);

/// [main] At a boundary with no grace period running: takes what was retired; false: nothing. And frees it when its grace period is over.
bool fai_streams_gather(struct fai_memory *memory);
void fai_streams_reclaim(struct fai_memory *memory);

// Between stream.c, load.c, pin.c and evict.c --------------------------------------------------------------------------

static inline uint64_t fai_stream_word(uint32_t generation, fai_stream_state state, uint32_t priority, uint32_t count)
{
    return (uint64_t)generation << 32 | (uint64_t)state << 28 | (uint64_t)priority << 26 | count;
}

static inline uint32_t fai_stream_generation(uint64_t word)
{
    return (uint32_t)(word >> 32);
}
static inline fai_stream_state fai_stream_state_in(uint64_t word)
{
    return (fai_stream_state)(word >> 28 & 15);
}
static inline uint32_t fai_stream_priority_in(uint64_t word)
{
    return word >> 26 & 3;
}
static inline uint32_t fai_stream_count_in(uint64_t word)
{
    return word & FAI_STREAM_COUNT_MAX;
}

/// The same stream in another state.
static inline uint64_t fai_stream_to(uint64_t word, fai_stream_state state, uint32_t count)
{
    return fai_stream_word(fai_stream_generation(word), state, fai_stream_priority_in(word), count);
}

/// The word of a stream that is gone: its handle is stale.
static inline uint64_t fai_stream_over(uint64_t word)
{
    return fai_stream_word(fai_stream_generation(word) + 1, FAI_STREAM_GONE, 0, 0);
}

static inline uint64_t fai_stream_load(const fai_stream *slot)
{
    // [stream.word] acquire: the stream as whoever moved it last left it.
    return fai_load_acquire(&slot->word);
}

/// True: the stream went from *word to `next`, by this lane's doing. False: *word is what it is now.
static inline bool fai_stream_step(fai_stream *slot, uint64_t *word, uint64_t next)
{
    // [stream.word] acq_rel: publishes what was done to the stream before, and sees what others did.
    return fai_cas_acq_rel(&slot->word, word, next);
}

/// A handle: generation 32 | tag of the system 12 | index 20.
#define FAI_STREAM_INDEX_BITS 20
static inline fa_stream fai_stream_handle(const fai_streams *streams, uint32_t generation, uint32_t index)
{
    return (fa_stream){(uint64_t)generation << 32 | (uint64_t)streams->tag << FAI_STREAM_INDEX_BITS | index};
}

/// Whether the handle is that of the stream with this word.
static inline bool fai_stream_is_current(fa_stream stream, uint64_t word)
{
    return stream.bits >> 32 == fai_stream_generation(word) && fai_stream_state_in(word) != FAI_STREAM_GONE;
}

/// [any] The slot of a handle, NULL if it can be none. Its generation is for the caller to compare.
fai_stream *fai_stream_slot_of(const fai_streams *streams, fa_stream stream);

/// [own] FA_OK: *slot and *word are those of a stream that is not gone.
fa_status fai_stream_find(const fa_worker *w, fa_stream stream, fai_stream **slot, uint64_t *word);

/// [own] A use that has its place in the frame: after all that this lane saw or did.
void fai_stream_note_use(struct fai_lane *lane, fai_stream *slot);

/// A new stream: nothing is loaded, and no load is open.
void fai_stream_begin_loaded(fai_stream *slot, uint64_t word);

/// [any] From here on progress changes nothing; what was loaded is no load's any more.
void fai_stream_close_loaded(fai_streams *streams, fai_stream *slot, uint64_t word, uint64_t bytes);

/// [own] Gives the stream's memory back; nobody can read it any more.
void fai_stream_give_memory(struct fai_lane *lane, fai_stream *slot);

/// [own] Takes `size` bytes of the budget. FA_OK: it has them; *plan, if not 0, is an eviction that now belongs to the caller, who must call
/// fai_streams_evict(). FA_ERROR_FULL, FA_ERROR_BUSY: nothing changed.
fa_status fai_streams_take(struct fai_lane *lane, uint64_t size, uint32_t priority, uint32_t *plan);

/// [any] What streams have of the budget, without what reserves only hold.
uint64_t fai_streams_reserved(const fai_streams *streams);

/// [own] Calls back and lets go of all streams of a plan that was carried out.
void fai_streams_evict(struct fai_lane *lane, uint32_t plan);

/// [own] For a stream that `word` says is CLAIMED: takes it back to READY unless its plan was carried out (false).
bool fai_stream_take_back(struct fai_lane *lane, fai_stream *slot, uint64_t word);

/// [any] The stream's word. *lost: it is CLAIMED by a plan that was carried out.
uint64_t fai_stream_look(const struct fai_memory *memory, const fai_stream *slot, bool *lost);

/// [own] What belongs to the step that made a stream gone: its accounts, its memory, its slot. `from`: the state it was counted in;
/// `in_budget`: its bytes are still counted there.
void fai_stream_finish(struct fai_lane *lane, fai_stream *slot, fa_stream_state from, bool in_budget);

/// [any] It is counted in another state.
void fai_stream_recount(fai_streams *streams, const fai_stream *slot, fa_stream_state from, fa_stream_state to);
