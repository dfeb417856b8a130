// SPDX-License-Identifier: MIT
//
// Tickets for objects: see transfer.h.
#include "alloc/transfer.h"

#include "alloc/lane.h"
#include "concurrent/check.h"

#include <string.h>

enum { SLOT_FREE, SLOT_WRITING, SLOT_SENT, SLOT_MASK = 3 };

#define GENERATION_SHIFT 2
#define TICKET_SHIFT 16
// 48 bits of a generation are in the ticket: at a million transfers a second through one slot they last 8 years.
#define GENERATION_MASK ((UINT64_C(1) << 48) - 1)

bool fai_transfers_init(fai_transfers *transfers, uint32_t capacity, uint32_t number)
{
    memset(transfers, 0, sizeof *transfers);
    transfers->base = (uint64_t)(number & 0xffff) << 32;
    if (capacity == 0) return true;
    void *p = fai_map(capacity * sizeof(fai_transfer_slot));
    if (p == NULL) return false;
    transfers->slots = p;
    transfers->capacity = capacity;
    return true;
}

void fai_transfers_exit(fai_transfers *transfers)
{
    fai_unmap(transfers->slots, transfers->capacity * sizeof(fai_transfer_slot));
}

/// The ticket is never {0}: it holds the slot's number + 1.
static fa_transfer make_ticket(const fai_transfers *transfers, uint32_t slot, uint64_t state)
{
    uint64_t generation = transfers->base + (state >> GENERATION_SHIFT);
    return (fa_transfer){(generation & GENERATION_MASK) << TICKET_SHIFT | (slot + 1)};
}

/// Whether such a ticket was ever given out, as far as the slot's state tells.
static bool was_given(const fai_transfers *transfers, fa_transfer ticket, uint64_t state)
{
    uint64_t generation = ((ticket.bits >> TICKET_SHIFT) - transfers->base) & GENERATION_MASK;
    uint64_t now = state >> GENERATION_SHIFT & GENERATION_MASK;
    return generation < now || (generation == now && (state & SLOT_MASK) != SLOT_FREE);
}

/// Losing a race for a ticket is no fault; a ticket that never was is.
static fa_status refuse_unknown(const fai_lane *lane, fa_transfer ticket)
{
    if (lane->checked)
        fai_report(lane->memory, lane, "FA401", "it never was one of this system",
                   "present tickets in the system whose fa_transfer_send() gave them", "ticket 0x%llx refused",
                   (unsigned long long)ticket.bits);
    return FA_ERROR_STALE;
}

/// Claims a free slot, looking from where the lane found one last; its number, or FAI_INDEX_NONE.
static uint32_t claim_slot(fai_lane *lane, fai_transfers *transfers, uint64_t *state)
{
    for (uint32_t i = 0; i < transfers->capacity; i++) {
        uint32_t slot = (lane->transfer_hint + i) % transfers->capacity;
        *state = fai_load_relaxed(&transfers->slots[slot].state);
        if ((*state & SLOT_MASK) != SLOT_FREE) continue;
        // [transfer.slot] acquire: the receiver before has read the object.
        if (!fai_cas_acquire(&transfers->slots[slot].state, state, *state | SLOT_WRITING)) continue;
        lane->transfer_hint = slot + 1;
        return slot;
    }
    return FAI_INDEX_NONE;
}

static bool is_object(const fai_lane *lane, const void *p)
{
    if (fai_memory_kind_of(lane->memory, p) == FAI_KIND_NONE) return false;
    if (fai_record_is_live(lane->memory, p)) return true;
    fai_report(lane->memory, lane, "FA201", "it is no live object of this system", "send an object before it is freed",
               "%p sent after it was freed", p);
    return false;
}

fa_status fa_transfer_send(fa_worker *w, void *p, fa_transfer *out)
{
    if (out != NULL) *out = (fa_transfer){0};
    if (w == NULL || p == NULL || out == NULL) return FA_ERROR_INVALID;
    fai_lane *lane = fai_lane_of(w);
    fa_status status = fai_lane_check(lane);
    if (status != FA_OK) return status;
    if (!is_object(lane, p)) return FA_ERROR_INVALID;
    fai_transfers *transfers = &lane->memory->transfers;
    uint64_t state;
    uint32_t slot = claim_slot(lane, transfers, &state);
    if (slot == FAI_INDEX_NONE) return FA_ERROR_FULL;
    FA_ASSERT(fai_load_relaxed(&transfers->slots[slot].object) == NULL);
    fai_store_relaxed(&transfers->slots[slot].object, p);
    // [transfer.send] release: the object's address, and all that was written to it.
    fai_store_release(&transfers->slots[slot].state, state | SLOT_SENT);
    *out = make_ticket(transfers, slot, state);
    return FA_OK;
}

/// A span of whole blocks is no part of any lane's block: a word makes it the receiver's.
static void adopt(fai_lane *lane, const void *p)
{
    const fai_blocks *blocks = &lane->memory->blocks;
    uint32_t unit = fai_unit_of(blocks, p), info = fai_load_relaxed(&blocks->unit_info[unit]);
    if (fai_info_kind(info) != FAI_KIND_SPAN || !fai_span_is_whole(&blocks->slabs[unit])) return;
    fai_lane_adopt_bytes(fai_memory_lane(lane->memory, fai_info_lane(info)), lane, blocks->slabs[unit].size);
    fai_store_relaxed(&blocks->unit_info[unit], fai_info_make(lane->hot.index, fai_info_tag(info), FAI_KIND_SPAN, 0));
}

fa_status fa_transfer_receive(fa_worker *w, fa_transfer ticket, void **out)
{
    if (out != NULL) *out = NULL;
    if (w == NULL || out == NULL) return FA_ERROR_INVALID;
    fai_lane *lane = fai_lane_of(w);
    fa_status status = fai_lane_check(lane);
    if (status != FA_OK) return status;
    fai_transfers *transfers = &lane->memory->transfers;
    uint32_t slot = (uint32_t)(ticket.bits & 0xffff) - 1; // of {0}: out of range
    if (slot >= transfers->capacity) return refuse_unknown(lane, ticket);
    fai_transfer_slot *at = &transfers->slots[slot];
    // [transfer.send] acquire: the object as its sender left it.
    uint64_t state = fai_load_acquire(&at->state);
    if ((state & SLOT_MASK) != SLOT_SENT || make_ticket(transfers, slot, state).bits != ticket.bits)
        return was_given(transfers, ticket, state) ? FA_ERROR_STALE : refuse_unknown(lane, ticket);
    void *p = fai_load_relaxed(&at->object);
    uint64_t taken = (state & ~(uint64_t)SLOT_MASK) | SLOT_WRITING;
    // Exactly one receiver moves the slot on; another's look at the object meanwhile goes for nothing.
    if (!fai_cas_relaxed(&at->state, &state, taken)) return FA_ERROR_STALE;
    fai_store_relaxed(&at->object, NULL);
    uint64_t next = ((state >> GENERATION_SHIFT) + 1) << GENERATION_SHIFT;
    // [transfer.slot] release: the slot is empty for the next sender.
    fai_store_release(&at->state, next | SLOT_FREE);
    FA_ASSERT(p != NULL);
    adopt(lane, p);
    *out = p;
    return FA_OK;
}
