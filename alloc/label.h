// SPDX-License-Identifier: MIT
//
// Labels: what allocations are attributed to. A label is a tag and a phase, each a node of a tree of names, packed into 16 bits that a
// lane carries and jobs inherit from their submitter.
//
//     label == tag << 8 | phase; 0 = neither
//
// Attribution costs nothing per allocation. A lane notes how far its frame arena and its magazines are when its label changes, and adds the
// difference to a ledger of its own when it changes again; the main lane adds up the ledgers when the frame retires.
//
// Budgets are charged before memory is handed out. A tag's account and those above it are shared by all lanes, so a lane charges in
// batches: a refill of a magazine, FAI_CREDIT_BYTES of frame memory or half of what the label used, at most a block and not beyond the one in
// use. What it charged and did not use it refunds when it changes its label or leaves the frame.
//
//     charged of a tag == Σ of its subtree over lanes: frame memory of frames alive + credit, pool objects out of slabs, heap objects,
//                         chunks of the other modules
//     charged <= hard, if hard != 0 and the budget was not lowered meanwhile
//
// Names are never removed: a node that was found stays valid, and is read without any order other than the one that found it.
#pragma once

#include "concurrent/order.h"

#include <framealloc/tag.h>

/// In builds without statistics there is only the root: what belongs to names is empty.
#define FAI_NAMES_MAX (FA_STATISTICS ? 256u : 1u)
#define FAI_NAME_WORDS ((FAI_NAMES_MAX + 63) / 64)
#define FAI_NAME_SLOTS 1024u
/// Frame memory that a lane charges ahead of need.
#define FAI_CREDIT_BYTES ((uint64_t)64 << 10)
#define FAI_CREDIT_BYTES_MAX ((uint64_t)2 << 20)

typedef enum fai_use {
    FAI_USE_FRAME,
    FAI_USE_POOL,
    FAI_USE_HEAP,
    FAI_USE_SCRATCH,
    FAI_USE_GROUP,
    FAI_USE_STREAM,
    FAI_USE_HANDLE,
    FAI_USE_JOB,
    FAI_USE_COUNT
} fai_use;

_Static_assert((int)FAI_USE_COUNT == FA_TAG_USES, "fa_tag_stats lists each use");

typedef struct fai_name {
    // immutable once it was found
    uint32_t parent;
    char path[FA_PATH_MAX + 1]; // of the root: empty
} fai_name;

/// A tree of names; node 0 is its root.
typedef struct fai_names {
    // shared
    FAI_ATOMIC(uint32_t) count;                    // of nodes claimed, the root not counted
    FAI_ATOMIC(uint32_t) slots[FAI_NAME_SLOTS];    // hash table of node numbers, 0 = free; open addressing
    FAI_ATOMIC(uint32_t) is_listed[FAI_NAMES_MAX]; // 1: the node is in the table
    fai_name nodes[FAI_NAMES_MAX];
} fai_names;

/// A tag's account.
typedef struct fai_account {
    // shared
    FAI_OWN_LINE FAI_ATOMIC(uint64_t) charged; // of the whole subtree
    FAI_ATOMIC(uint64_t) soft, hard;           // 0 = none
    FAI_ATOMIC(uint64_t) peak;
    FAI_ATOMIC(uint64_t) denied;
    FAI_ATOMIC(uint64_t) warned;             // crossings of `soft`
    FAI_ATOMIC(uint64_t) denied_frame;       // frame + 1 in which a denial was last reported
    FAI_ATOMIC(uint64_t) use[FAI_USE_COUNT]; // of the tag alone
    // written by the main lane at the boundary
    FAI_ATOMIC(uint64_t) bytes[FAI_USE_COUNT], allocs[FAI_USE_COUNT]; // of the last frame that retired
    FAI_ATOMIC(uint64_t) retained, retained_bytes;                    // likewise
    FAI_ATOMIC(uint64_t) total_bytes, total_allocs;                   // in frames since creation, all kinds
    uint32_t shown;                                                   // kinds of use whose figures above are not 0
} fai_account;

/// What a lane allocated under a tag or phase in one frame.
typedef struct fai_counts {
    uint64_t uses; // a bit for each kind that has anything
    uint64_t bytes[FAI_USE_COUNT];
    uint64_t allocs[FAI_USE_COUNT];    // of frame memory: only where each takes the slow path
    uint64_t retained, retained_bytes; // allocations of frame memory that were listed when the frame retired
    uint64_t promoted, promoted_bytes; // of them
    uint64_t replaced;                 // promotions that took the place of an earlier version in their cell
    uint64_t ns, entries;              // of phases: time between begin and end
} fai_counts;

typedef enum fai_by { FAI_BY_TAG, FAI_BY_PHASE } fai_by;

/// A lane's ledger of one frame slot. Owner: the lane while it is in the frame, the main lane once the frame's jobs are done.
typedef struct fai_ledger {
    uint64_t touched[2][FAI_NAME_WORDS]; // which of the counts below are not all zero
    fai_counts counts[2][FAI_NAMES_MAX];
} fai_ledger;

/// Names and accounts of a system. Mapped: pages that nobody uses cost nothing.
typedef struct fai_labels {
    fai_names tags;
    fai_names phases;
    fai_account accounts[FAI_NAMES_MAX]; // by tag
    // owner: the main lane
    fai_ledger last;  // all lanes' ledgers of the last frame that retired
    fai_ledger total; // of all frames, by phase alone
} fai_labels;

static inline uint32_t fai_label_make(uint32_t tag, uint32_t phase)
{
    return tag << 8 | phase;
}
static inline uint32_t fai_label_tag(uint32_t label)
{
    return label >> 8;
}
static inline uint32_t fai_label_phase(uint32_t label)
{
    return label & 0xff;
}

/// [any] The child of `parent` called `name`, made if there is none; FAI_INDEX_NONE: the tree is full, or the name is empty, holds "::"
/// or makes the path longer than FA_PATH_MAX.
uint32_t fai_names_child_any(fai_names *names, uint32_t parent, const char *name, size_t length);

/// [any] Charges at least `need` and at most `want` bytes to the tag and those above it; returns how many, 0 if a hard budget refuses
/// (*limit is the tag that does). *crossed is a tag whose soft budget this crossed, 0 if none.
uint64_t fai_account_charge_any(fai_labels *labels, uint32_t tag, fai_use use, uint64_t need, uint64_t want,
                                uint32_t *limit, uint32_t *crossed);
/// [any] Takes back what was charged.
void fai_account_refund_any(fai_labels *labels, uint32_t tag, fai_use use, uint64_t bytes);
