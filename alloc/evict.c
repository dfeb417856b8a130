// SPDX-License-Identifier: MIT
//
// The budget of streams and who must go when it is short: see stream.h for plans. A plan is one word of the lane that makes it:
//
//     number << 2 | status          OPEN -> DONE by its lane, OPEN -> BROKEN by whoever takes a claimed stream back
//
// Only the lane itself opens the next one, when no stream is claimed for the last. A claimed stream is changed by nobody but its
// lane while the plan is OPEN or DONE; so all claims of a plan that became DONE still stood at that moment.
#include "alloc/lane.h"
#include "concurrent/check.h"

#include <string.h>

// Streams that a look at the table brings back; for more victims it looks again.
#define BATCH 32u
// Times that a reserve plans anew, because others hold what it needs or took a victim back, before it answers FA_ERROR_BUSY.
#define ROUNDS 8u

enum { PLAN_OPEN = 1, PLAN_BROKEN, PLAN_DONE };

typedef enum verdict { CARRIED_OUT, NO_ROOM, AGAIN } verdict;

typedef struct candidate {
    fai_stream *slot;
    uint64_t word, used, size;
} candidate;

/// The first streams of a kind, in the order in which they go.
typedef struct batch {
    candidate items[BATCH];
    uint32_t count;
    uint64_t bytes;   // of all of the kind, not only of `items`
    uint64_t claimed; // by others' plans, of lower priority
} batch;

static bool goes_before(const candidate *a, const candidate *b)
{
    uint32_t x = fai_stream_priority_in(a->word), y = fai_stream_priority_in(b->word);
    if (x != y) return x < y;
    if (a->used != b->used) return a->used < b->used;
    return a->slot->age < b->slot->age;
}

static void batch_add(batch *to, const candidate *one)
{
    to->bytes += one->size;
    uint32_t at = to->count;
    while (at > 0 && goes_before(one, &to->items[at - 1])) at--;
    if (at == BATCH) return;
    uint32_t last = to->count < BATCH ? to->count++ : BATCH - 1;
    memmove(&to->items[at + 1], &to->items[at], (last - at) * sizeof *one);
    to->items[at] = *one;
}

static uint32_t slots_touched(const fai_streams *streams)
{
    uint32_t touched = fai_load_relaxed(&streams->touched);
    FA_ASSERT(touched <= streams->capacity);
    return touched;
}

/// Ready, unpinned streams below a priority. What they are does not change while this lane looks: no grace period ends.
static void find_victims(const fai_streams *streams, uint32_t priority, uint32_t plan, batch *found)
{
    found->count = 0;
    found->bytes = found->claimed = 0;
    for (uint32_t i = 0, end = slots_touched(streams); i < end; i++) {
        fai_stream *slot = &streams->slots[i];
        uint64_t word = fai_stream_load(slot);
        fai_stream_state state = fai_stream_state_in(word);
        if ((state != FAI_STREAM_READY && state != FAI_STREAM_CLAIMED) || fai_stream_priority_in(word) >= priority)
            continue;
        uint32_t count = fai_stream_count_in(word);
        candidate one = {slot, word, fai_load_relaxed(&slot->used), fai_load_relaxed(&slot->size)};
        if (state == FAI_STREAM_READY && count == 0)
            batch_add(found, &one);
        else if (state == FAI_STREAM_CLAIMED && count != plan)
            found->claimed += one.size;
    }
}

/// Streams of a plan that was carried out.
static void find_evicted(const fai_streams *streams, uint32_t plan, batch *found)
{
    found->count = 0;
    found->bytes = found->claimed = 0;
    for (uint32_t i = 0, end = slots_touched(streams); i < end; i++) {
        fai_stream *slot = &streams->slots[i];
        uint64_t word = fai_stream_load(slot);
        if (fai_stream_state_in(word) != FAI_STREAM_EVICTING || fai_stream_count_in(word) != plan) continue;
        candidate one = {slot, word, fai_load_relaxed(&slot->used), fai_load_relaxed(&slot->size)};
        batch_add(found, &one);
    }
}

// Plans -----------------------------------------------------------------------------------------------------------------

static uint32_t plan_id(const fai_lane *lane, uint64_t number)
{
    return (lane->hot.index + 1) << FAI_STREAM_PLAN_BITS |
           (uint32_t)(number & ((UINT64_C(1) << FAI_STREAM_PLAN_BITS) - 1));
}

bool fai_stream_take_back(fai_lane *lane, fai_stream *slot, uint64_t word)
{
    FA_ASSERT(fai_stream_state_in(word) == FAI_STREAM_CLAIMED);
    uint32_t id = fai_stream_count_in(word);
    fai_lane *planner = fai_memory_lane(lane->memory, (id >> FAI_STREAM_PLAN_BITS) - 1);
    // [stream.plan] acquire: the plan as its lane, or who broke it, left it.
    uint64_t plan = fai_load_acquire(&planner->stream_plan);
    if (plan_id(planner, plan >> 2) != id) return true; // that one is over: the stream has moved on
    uint64_t broken = (plan & ~UINT64_C(3)) | PLAN_BROKEN;
    // [stream.plan] acq_rel: broken before the stream is taken; on failure it is done, broken or over.
    if ((plan & 3) == PLAN_OPEN && !fai_cas_acq_rel(&planner->stream_plan, &plan, broken)) {
        if (plan_id(planner, plan >> 2) != id) return true;
    }
    if ((plan & 3) == PLAN_DONE) return false;
    (void)fai_stream_step(slot, &word, fai_stream_to(word, FAI_STREAM_READY, 0));
    return true;
}

uint64_t fai_stream_look(const fai_memory *memory, const fai_stream *slot, bool *lost)
{
    for (;;) {
        uint64_t word = fai_stream_load(slot);
        *lost = false;
        if (fai_stream_state_in(word) != FAI_STREAM_CLAIMED) return word;
        uint32_t id = fai_stream_count_in(word);
        const fai_lane *planner = fai_memory_lane(memory, (id >> FAI_STREAM_PLAN_BITS) - 1);
        // [stream.plan] acquire: the plan as its lane, or who broke it, left it; of a later one, that the stream has moved on.
        uint64_t plan = fai_load_acquire(&planner->stream_plan);
        if (plan_id(planner, plan >> 2) != id) continue; // it may have been carried out: the word says more by now
        *lost = (plan & 3) == PLAN_DONE;
        return word;
    }
}

static uint32_t plan_open(fai_lane *lane)
{
    uint64_t number = (fai_load_relaxed(&lane->stream_plan) >> 2) + 1;
    // [stream.plan] release: follows everything that the plan before did.
    fai_store_release(&lane->stream_plan, number << 2 | PLAN_OPEN);
    return plan_id(lane, number);
}

static bool plan_stands(const fai_lane *lane)
{
    return (fai_load_relaxed(&lane->stream_plan) & 3) == PLAN_OPEN;
}

static bool plan_carry_out(fai_lane *lane)
{
    uint64_t plan = fai_load_relaxed(&lane->stream_plan);
    uint64_t done = (plan & ~UINT64_C(3)) | PLAN_DONE;
    // [stream.plan] release: after all claims; whoever sees one of them finds the plan done.
    return (plan & 3) == PLAN_OPEN && fai_cas_release(&lane->stream_plan, &plan, done);
}

/// Moves what the plan still claims on to `state`. Returns the sum of the sizes.
static uint64_t move_claimed(fai_streams *streams, uint32_t plan, fai_stream_state state)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0, end = slots_touched(streams); i < end; i++) {
        fai_stream *slot = &streams->slots[i];
        uint64_t word = fai_stream_load(slot);
        if (fai_stream_state_in(word) != FAI_STREAM_CLAIMED || fai_stream_count_in(word) != plan) continue;
        uint32_t count = state == FAI_STREAM_EVICTING ? plan : 0;
        if (!fai_stream_step(slot, &word, fai_stream_to(word, state, count))) continue;
        if (state == FAI_STREAM_EVICTING) fai_stream_recount(streams, slot, FA_STREAM_READY, FA_STREAM_EVICTING);
        bytes += fai_load_relaxed(&slot->size);
    }
    return bytes;
}

/// Why a plan falls `missing` bytes short: there is no such room, or others hold some that they may give back.
static verdict judge(const fai_streams *streams, uint64_t missing, uint64_t claimed, uint64_t held_here)
{
    if (claimed >= missing) return AGAIN;
    missing -= claimed;
    // [stream.held] acquire: a part that is seen taken here is seen held below, or given back by the time of the second look.
    uint64_t before = fai_load_acquire(&streams->reserved);
    // [stream.held] acquire: a part that is not held any more is not seen in the second look.
    uint64_t held = fai_load_acquire(&streams->held) - held_here;
    uint64_t after = fai_load_relaxed(&streams->reserved);
    uint64_t room = streams->budget - (before < after ? before : after);
    return held + room >= missing ? AGAIN : NO_ROOM;
}

/// Evicts `need` bytes of streams below the priority, all or nothing. `held` bytes of the budget are in this lane's hands.
static verdict plan_and_carry_out(fai_lane *lane, uint64_t need, uint32_t priority, uint64_t held, uint32_t *plan)
{
    fai_streams *streams = &lane->memory->streams;
    uint32_t id = plan_open(lane);
    uint64_t claimed = 0;
    verdict is = AGAIN;
    while (claimed < need && plan_stands(lane)) {
        batch found;
        find_victims(streams, priority, id, &found);
        if (found.bytes < need - claimed) {
            is = judge(streams, need - claimed - found.bytes, found.claimed, held);
            break;
        }
        for (uint32_t i = 0; i < found.count && claimed < need; i++) {
            candidate *victim = &found.items[i];
            uint64_t to = fai_stream_to(victim->word, FAI_STREAM_CLAIMED, id);
            if (fai_stream_step(victim->slot, &victim->word, to)) claimed += victim->size;
        }
    }
    if (claimed < need || !plan_carry_out(lane)) {
        (void)move_claimed(streams, id, FAI_STREAM_READY);
        return is;
    }
    uint64_t evicted = move_claimed(streams, id, FAI_STREAM_EVICTING);
    FA_ASSERT(evicted == claimed);
    (void)evicted;
    // The victims' place is this reserve's; what they had beyond its need is free.
    (void)fai_sub_relaxed(&streams->reserved, claimed - need);
    *plan = id;
    return CARRIED_OUT;
}

// The budget ------------------------------------------------------------------------------------------------------------

uint64_t fai_streams_reserved(const fai_streams *streams)
{
    uint64_t reserved = fai_load_relaxed(&streams->reserved), held = fai_load_relaxed(&streams->held);
    return reserved > held ? reserved - held : 0;
}

static void note_peak(fai_streams *streams)
{
    uint64_t reserved = fai_streams_reserved(streams);
    uint64_t peak = fai_load_relaxed(&streams->reserved_peak);
    while (reserved > peak && !fai_cas_relaxed(&streams->reserved_peak, &peak, reserved)) continue;
}

/// Takes what is free, at most `size`; less than that is also added to `held`, before others can miss it.
static uint64_t take_free(fai_streams *streams, uint64_t size)
{
    uint64_t reserved = fai_load_relaxed(&streams->reserved);
    for (;;) {
        FA_ASSERT(reserved <= streams->budget);
        uint64_t room = streams->budget - reserved, part = room < size ? room : size;
        if (part == 0) return 0;
        if (part < size) (void)fai_add_relaxed(&streams->held, part);
        // [stream.held] release: whoever sees this part taken sees it held.
        if (fai_cas_release(&streams->reserved, &reserved, reserved + part)) return part;
        if (part < size) (void)fai_sub_relaxed(&streams->held, part);
    }
}

static void pause_for(uint32_t turns)
{
    for (uint32_t i = 0; i < turns; i++) fai_pause();
}

fa_status fai_streams_take(fai_lane *lane, uint64_t size, uint32_t priority, uint32_t *plan)
{
    fai_streams *streams = &lane->memory->streams;
    FA_ASSERT(size > 0 && size <= streams->budget);
    *plan = 0;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        uint64_t part = take_free(streams, size);
        if (part == size) {
            note_peak(streams);
            return FA_OK;
        }
        verdict is = plan_and_carry_out(lane, size - part, priority, part, plan);
        if (is != CARRIED_OUT) (void)fai_sub_relaxed(&streams->reserved, part);
        // [stream.held] release: given back to `reserved` before it is held no more.
        (void)fai_sub_release(&streams->held, part);
        if (is == CARRIED_OUT) {
            note_peak(streams);
            return FA_OK;
        }
        if (is == NO_ROOM) return FA_ERROR_FULL;
        pause_for((lane->hot.index + 1) << round); // lanes that stand in each other's way do not come back together
    }
    return FA_ERROR_BUSY;
}

void fai_streams_evict(fai_lane *lane, uint32_t plan)
{
    fai_streams *streams = &lane->memory->streams;
    batch found;
    for (find_evicted(streams, plan, &found); found.count > 0; find_evicted(streams, plan, &found)) {
        for (uint32_t i = 0; i < found.count; i++) {
            fai_stream *slot = found.items[i].slot;
            uint64_t word = found.items[i].word;
            uint32_t index = (uint32_t)(slot - streams->slots);
            fa_stream_eviction eviction = {
                .stream = fai_stream_handle(streams, fai_stream_generation(word), index),
                .name = slot->name,
                .user = slot->user,
                .data = fai_load_relaxed(&slot->memory),
                .size = found.items[i].size,
                .priority = (fa_stream_priority)fai_stream_priority_in(word),
            };
            if (slot->evict != NULL) slot->evict(&lane->hot, &eviction);
            fai_event(lane, FA_EVENT_STREAM_EVICT, slot->name, eviction.size, eviction.stream.bits, 0);
            (void)fai_add_relaxed(&streams->evictions, 1u);
            (void)fai_add_relaxed(&streams->evicted_bytes, eviction.size);
            bool gone = fai_stream_step(slot, &word, fai_stream_over(word));
            FA_ASSERT(gone); // nobody but this lane moves it any more
            if (gone) fai_stream_finish(lane, slot, FA_STREAM_EVICTING, false);
        }
    }
}
