// SPDX-License-Identifier: MIT
//
// Minds: what an agent knows on one trip, from the choice of a goal until it has arrived or given up. They come and go
// with trips and grow on the way, so they are objects behind handles: after each tick a compaction within a budget moves
// together what is left.
//
//   world.minds  -> struct mind        dies with the trip
//   mind.trail   -> the cells passed   grows twofold: another object then, and the old one dies
//   mind.leader  -> another's mind     whom it walks with (lead.h); names nothing once that one's trip is over
//
// Who may do what. In the sense phase everybody reads every mind; in the move phase an agent's job makes, writes and
// frees its own and reads no other. Minds move between ticks, when nobody has an address: so there is nothing to pin.
// Handles differ from run to run, as lanes take turns in another order; what minds hold does not, so a digest covers
// that alone.
#pragma once

#include <framealloc/framealloc.h>

/// Cells that a trail holds at first and at most; when that many are there, the older half is forgotten.
#define TRAIL_FIRST 8u
#define TRAIL_MAX 64u

struct mind {
    uint32_t owner; // agent
    uint32_t since; // tick in which the trip began
    uint8_t goal;   // slot
    bool hurries;   // it has fallen behind its leader
    uint32_t last;  // the newest cell of the trail
    uint32_t count; // of cells in the trail
    uint32_t room;
    fa_handle trail; // none before the first cell
    fa_handle leader;
};

/// A new mind without a trail; none when there is no memory.
fa_handle mind_begin(fa_worker *w, uint32_t owner, uint32_t tick, uint8_t goal);

/// Frees a mind and its trail. Other errors than FA_OK: the mind is not there, or there is no memory to record the free.
fa_status mind_end(fa_worker *w, fa_handle handle);

/// NULL when the trip is over or the handle names none.
static inline struct mind *mind_at(const fa_worker *w, fa_handle handle)
{
    return FA_CAST(struct mind *, fa_handle_peek(w, handle));
}

/// An order of minds: by the begin of the trip, of equals by number.
static inline bool mind_is_older(const struct mind *a, const struct mind *b)
{
    return a->since != b->since ? a->since < b->since : a->owner < b->owner;
}

/// [owner of the mind] Appends a cell to the trail; false, and nothing changes, when there is no memory.
bool mind_pass(fa_worker *w, struct mind *mind, uint32_t cell);

/// The cells of the trail, oldest first, mind->count of them; NULL when there are none.
const uint32_t *mind_trail(const fa_worker *w, const struct mind *mind);

/// Adds what the mind holds to a digest, and of its leader who it is.
uint64_t mind_digest(const fa_worker *w, uint64_t digest, fa_handle handle);

/// Bytes that the minds of so many agents may take.
uint64_t minds_bytes(uint32_t agents);
