// SPDX-License-Identifier: MIT
//
// What a checked system knows about each pool and heap object: a word outside the object, and the sites where objects were allocated.
//
//     record: frame number 32 bits | site 16 bits | state 16 bits
//     state:  0 never handed out · 1 … FA_CLASS_SIZE_MAX the size asked for: live · two values for live spans, whose size is in the
//             next word · freed
//
// A unit has FAI_UNIT_RECORDS words, by the number of the object in its slab; of a slab of several units the first unit's are used. A slab that
// was given back leaves its records until its units are taken; those of other units that hold no slab or span are 0. They are written by the
// lane that owns the slab, or by a proxy, and read by any.
//
// A site is a slot of an open-addressing table of fixed size: its key is the hash of its frames. Slots are only ever added, by one
// compare-and-swap. Site n is slot n - 1; 0 stands for all that found no room.
#pragma once

#include "alloc/slab.h"

#include <framealloc/debug.h>

typedef struct fai_site {
    FAI_ATOMIC(uint64_t) key;   // 0: free
    FAI_ATOMIC(uint32_t) depth; // 0: being written
    const void *frames[FA_BACKTRACE_MAX];
    // owner: the main lane, while it counts leaks
    uint64_t count, bytes, first, last;
} fai_site;

typedef struct fai_sites {
    // immutable after init
    fai_site *all; // NULL in unchecked systems
    uint32_t capacity;
    uint32_t depth; // frames recorded per site
    // owner: the main lane, while it counts leaks
    fai_site unknown; // site 0
} fai_sites;

struct fai_lane;
struct fai_memory;

/// False: no address space. Nothing to do for an unchecked system.
bool fai_sites_init(fai_sites *sites, const fa_config *config);
void fai_sites_exit(fai_sites *sites);

/// [owner] In checked systems, an object of `room` bytes is handed out to who asked for `size` from `caller`: verifies that nobody wrote
/// it while it was free, fills it, marks its end. `account` is FAI_KIND_POOL or FAI_KIND_HEAP.
void fai_record_taken(struct fai_lane *lane, void *p, size_t size, size_t room, fai_kind account, const void *caller);

/// [owner] A frame's span becomes a heap object as it is.
void fai_record_promoted(struct fai_lane *lane, void *p, size_t size, size_t room);

/// [any] In checked systems, whether p, the start of an object, is live.
bool fai_record_is_live(const struct fai_memory *memory, const void *p);

/// [any] In checked systems, whether it was handed out and freed since. False elsewhere.
bool fai_record_was_freed(const struct fai_memory *memory, const void *p);

/// [owner] In checked systems, before a live object of `room` bytes is freed and filled: verifies its end.
void fai_record_given(const struct fai_lane *lane, const void *p, size_t room);

/// [owner] Verifies that nobody wrote a freed object, and fills it again if somebody did.
void fai_record_verify_freed(const struct fai_lane *lane, void *p, size_t room);

/// [owner] The same of a slab that was given back, before others use its memory. No sink is called: it is in the middle of an allocation, perhaps
/// of the library itself. fai_lane_report_damage() tells later.
void fai_records_verify_former(fai_slabs *slabs, const fai_slab *slab);
void fai_records_report_written(struct fai_lane *lane);

/// [any] The object is used to its last byte from now on.
void fai_record_use_all(const struct fai_memory *memory, void *p, size_t room);

/// [main] All lanes idle: verifies all freed objects.
void fai_records_verify_all(struct fai_memory *memory);

/// [any] An address as text: symbol and offset if there is one, else file and offset.
void fai_site_print(const void *address, char *text, size_t size);

/// [main] How many live objects there are, and their bytes as asked for; false: none.
bool fai_leaks_sum(struct fai_memory *memory, uint64_t *count, uint64_t *bytes);
/// [main] The sites of live objects, see fa_leaks_read(), and as text for the first 16, a line a call.
uint32_t fai_leaks_collect(struct fai_memory *memory, fa_leak *out, uint32_t capacity);
void fai_leaks_print(struct fai_memory *memory, fa_leak_line_fn *write, void *context);
