// SPDX-License-Identifier: MIT
//
// Allocation from shared arenas: a lane's share of one, the window that it bumps, and the chunks that it takes. See shared_arena.h.
#include "alloc/shared_arena.h"

#include "alloc/lane.h"
#include "alloc/store.h"
#include "concurrent/annotate.h"
#include "concurrent/check.h"

#include <string.h>

#define GROWTH_FIRST 1024u
#define GROWTH_MAX 65536u
// A window takes at most this part of what a pool has left, so that little of it is out of other lanes' reach.
#define WINDOW_PART 64u
#define WINDOW_MIN 256u
// An object gets a chunk of its own if it is larger than this part of a window: what is left of a window then is never more than that.
#define WINDOW_OBJECTS 4u
#define ALLOCATED_BYTE 0xcd

_Static_assert(sizeof(fai_arena_chunk) % FA_ALIGN_DEFAULT == 0, "a chunk's end lies behind 16-byte steps");
_Static_assert(sizeof(fai_cleanup) % FA_ALIGN_DEFAULT == 0, "objects stay aligned");

// The head of a list that takes no more.
static fai_share closed_shares;
static fai_cleanup closed_cleanups;

// Shares ----------------------------------------------------------------------------------------------------------------

void *fai_arena_take(fai_lane *lane, size_t size, size_t align)
{
    void *p = fai_store_take(lane, size, align);
    if (p != NULL) return p;
    lane->in_arena++; // a sink that hears of a double free may end the arena that this is for
    fai_mailbox_drain(lane);
    fai_lane_trim(lane);
    lane->in_arena--;
    return fai_store_take(lane, size, align);
}

/// Lists a new share of this lane; false if the arena was closed meanwhile.
static bool list_share(fai_shared_arena *arena, fai_share *share)
{
    fai_share *head = fai_load_relaxed(&arena->shares);
    do {
        if (head == &closed_shares) return false;
        share->next = head;
        // [arena.share] release: whoever walks the list sees the share.
    } while (!fai_cas_release(&arena->shares, &head, share));
    return true;
}

static fai_arena_window *window_of(const fai_lane *lane, const fai_shared_arena *arena)
{
    const fai_arena_registry *registry = &lane->memory->arenas;
    return &registry->windows[(size_t)lane->hot.index * registry->slot_count + arena->slot];
}

/// This lane's share of the arena, NULL if it has none. Few lanes allocate from the memory of one job: what they have is searched.
static fai_share *find_share(const fai_lane *lane, const fai_shared_arena *arena)
{
    if (arena->use != FAI_USE_JOB) {
        const fai_arena_window *window = window_of(lane, arena);
        return FA_LIKELY(window->epoch == arena->epoch) ? window->share : NULL;
    }
    // [arena.share] acquire: the shares as they were listed.
    fai_share *share = fai_load_acquire(&arena->shares);
    while (share != NULL && share->lane != lane->hot.index) share = share->next;
    return share;
}

/// The same, made if there is none.
static fai_share *share_of(fai_lane *lane, fai_shared_arena *arena, fai_arena_answer *answer)
{
    fai_share *found = find_share(lane, arena);
    if (FA_LIKELY(found != NULL)) return found;
    fai_share *share = fai_arena_take(lane, sizeof *share, FA_ALIGN_DEFAULT);
    *answer = FAI_ARENA_REFUSED;
    if (share == NULL) return NULL;
    memset(share, 0, sizeof *share);
    share->lane = lane->hot.index;
    share->growth = GROWTH_FIRST;
    if (!list_share(arena, share)) {
        fai_store_give_own(lane, share);
        *answer = FAI_ARENA_GONE;
        return NULL;
    }
    if (arena->use != FAI_USE_JOB) *window_of(lane, arena) = (fai_arena_window){arena->epoch, share};
    return share;
}

static uint64_t window_left(const fai_share *share)
{
    return (uint64_t)(share->end - share->cursor);
}

/// Between `need` and `want` bytes of the capacity, as many as are left; 0 if `need` are not.
static uint64_t reserve(fai_shared_arena *arena, uint64_t need, uint64_t want)
{
    FA_ASSERT(need <= want && need > 0);
    if (arena->capacity == 0) return want;
    uint64_t reserved = fai_load_relaxed(&arena->reserved), got;
    do {
        uint64_t left = arena->capacity - reserved;
        FA_ASSERT(reserved <= arena->capacity);
        if (left < need) return 0;
        got = left < want ? left : want;
    } while (!fai_cas_relaxed(&arena->reserved, &reserved, reserved + got));
    return got;
}

static void unreserve(fai_shared_arena *arena, uint64_t bytes)
{
    if (arena->capacity != 0 && bytes > 0) (void)fai_sub_relaxed(&arena->reserved, bytes);
}

/// What is left of the lane's window goes back.
static void close_window(fai_lane *lane, fai_shared_arena *arena, fai_share *share)
{
    uint64_t left = window_left(share);
    if (left == 0) return;
    unreserve(arena, left);
    fai_label_refund(lane, fai_label_make(share->window->tag, 0), arena->use, left);
    share->window->unused = (uint32_t)left;
    share->end = share->cursor;
}

/// What the arena's capacity and the budgets of the lane's tag have left at this moment.
static uint64_t room(const fai_lane *lane, const fai_shared_arena *arena)
{
    const fai_labels *labels = lane->memory->labels;
    uint64_t least = arena->capacity != 0 ? arena->capacity - fai_load_relaxed(&arena->reserved) : UINT64_MAX;
    for (uint32_t tag = fai_label_tag(fai_lane_label(lane)); tag != 0; tag = labels->tags.nodes[tag].parent) {
        uint64_t hard = fai_load_relaxed(&labels->accounts[tag].hard);
        uint64_t charged = fai_load_relaxed(&labels->accounts[tag].charged);
        uint64_t left = hard > charged ? hard - charged : 0;
        if (hard != 0 && left < least) least = left;
    }
    return least;
}

/// The one place where an arena is charged: between `need` and `want` bytes of its capacity and of the tag's budget; 0 and the reason if not
/// even `need` can be had. If that alone makes it possible, what is left of the lane's window goes back first.
static uint64_t obtain(fai_lane *lane, fai_shared_arena *arena, fai_share *share, uint64_t need, uint64_t want,
                       fai_arena_answer *answer)
{
    uint64_t left = room(lane, arena);
    if (left < need && left + window_left(share) >= need) close_window(lane, arena, share);
    uint64_t got = reserve(arena, need, want);
    *answer = FAI_ARENA_FULL;
    if (got == 0) return 0;
    lane->in_arena++; // a sink that hears of the budget may end this arena
    uint64_t granted = fai_label_charge_ahead(lane, fai_lane_label(lane), arena->use, need, got);
    lane->in_arena--;
    uint64_t kept = granted & ~(uint64_t)(FA_ALIGN_DEFAULT - 1);
    fai_label_refund(lane, fai_lane_label(lane), arena->use, granted - kept);
    unreserve(arena, got - kept);
    *answer = FAI_ARENA_DENIED;
    return kept;
}

static void give_back(fai_lane *lane, fai_shared_arena *arena, uint64_t bytes)
{
    unreserve(arena, bytes);
    fai_label_refund(lane, fai_lane_label(lane), arena->use, bytes);
}

/// Bytes of the window that the lane should have next.
static uint64_t next_window(const fai_shared_arena *arena, const fai_share *share)
{
    uint64_t bytes = share->growth;
    if (arena->capacity != 0) {
        uint64_t most = (arena->capacity - fai_load_relaxed(&arena->reserved)) / WINDOW_PART;
        while (bytes > most && bytes > WINDOW_MIN) bytes /= 2;
    }
    return bytes - sizeof(fai_arena_chunk);
}

/// A chunk of `payload` bytes at `align`, which were obtained; if the store refuses they go back.
static fai_arena_chunk *take_chunk(fai_lane *lane, fai_shared_arena *arena, fai_share *share, uint64_t payload,
                                   size_t align)
{
    FA_ASSERT(payload % FA_ALIGN_DEFAULT == 0 && align >= FA_ALIGN_DEFAULT);
    unsigned char *base = fai_arena_take(lane, payload + sizeof(fai_arena_chunk), align);
    if (base == NULL) {
        give_back(lane, arena, payload);
        return NULL;
    }
    fai_arena_chunk *chunk = (fai_arena_chunk *)(void *)(base + payload);
    *chunk = (fai_arena_chunk){
        .next = share->chunks, .base = base, .payload = payload, .tag = fai_label_tag(fai_lane_label(lane))};
    share->chunks = chunk;
    if (share->growth < GROWTH_MAX) share->growth *= 2;
    if (lane->exact) fai_forbid(base, payload);
    return chunk;
}

/// A new window of at least `need` bytes.
static bool open_window(fai_lane *lane, fai_shared_arena *arena, fai_share *share, uint64_t need, uint64_t want,
                        fai_arena_answer *answer)
{
    uint64_t got = obtain(lane, arena, share, need, want, answer);
    if (got == 0) return false;
    *answer = FAI_ARENA_REFUSED;
    fai_arena_chunk *chunk = take_chunk(lane, arena, share, got, FA_ALIGN_DEFAULT);
    if (chunk == NULL) return false;
    close_window(lane, arena, share);
    share->window = chunk;
    share->cursor = chunk->base;
    share->end = chunk->base + got;
    share->other_tag = chunk->tag;
    return true;
}

/// A chunk for one object: no padding, and the window stays.
static unsigned char *alloc_alone(fai_lane *lane, fai_shared_arena *arena, fai_share *share, uint64_t size,
                                  size_t align, fai_arena_answer *answer)
{
    if (obtain(lane, arena, share, size, size, answer) == 0) return NULL;
    fai_arena_chunk *chunk = take_chunk(lane, arena, share, size, align);
    *answer = chunk != NULL ? FAI_ARENA_DONE : FAI_ARENA_REFUSED;
    return chunk != NULL ? chunk->base : NULL;
}

/// Whether the lane's tag may use the window, or may replace it.
static bool is_strange(const fai_lane *lane, const fai_share *share)
{
    return share->window != NULL && share->window->tag != fai_label_tag(fai_lane_label(lane));
}

static bool may_replace(const fai_lane *lane, fai_share *share, uint64_t bytes)
{
    if (!is_strange(lane, share)) return true;
    uint32_t tag = fai_label_tag(fai_lane_label(lane));
    if (share->other_tag != tag) share->other_bytes = 0;
    share->other_tag = tag;
    share->other_bytes += bytes;
    return share->other_bytes > window_left(share);
}

/// The next aligned place in the window, NULL if the object does not fit there.
static unsigned char *fit(const fai_share *share, uint64_t size, size_t align)
{
    uintptr_t cursor = (uintptr_t)share->cursor;
    uint64_t padding = ((cursor + (align - 1)) & ~(uintptr_t)(align - 1)) - cursor, left = window_left(share);
    return padding <= left && size <= left - padding ? share->cursor + padding : NULL;
}

void fai_arena_count(fai_lane *lane, const fai_shared_arena *arena, int64_t objects, int64_t bytes)
{
    if (!FA_STATISTICS) return;
    fai_lane_stats *stats = fai_lane_arena_stats(lane);
    switch (arena->use) {
        case FAI_USE_GROUP:
            stats->group_objects += objects;
            stats->group_bytes += bytes;
            break;
        case FAI_USE_JOB: stats->job_bytes += bytes; break;
        default: stats->scratch_bytes += bytes;
    }
}

static void count(fai_lane *lane, const fai_shared_arena *arena, fai_share *share, uint64_t bytes)
{
    fai_store_relaxed(&share->objects, fai_load_relaxed(&share->objects) + 1);
    fai_store_relaxed(&share->bytes, fai_load_relaxed(&share->bytes) + bytes);
    fai_lane_count(lane, arena->use, bytes);
    fai_arena_count(lane, arena, 1, (int64_t)bytes);
}

/// The object needs a new chunk: a window, or one of its own.
static unsigned char *alloc_in_chunk(fai_lane *lane, fai_shared_arena *arena, fai_share *share, uint64_t size,
                                     size_t align, fai_arena_answer *answer)
{
    uint64_t need = size + align - FA_ALIGN_DEFAULT, want = next_window(arena, share); // with padding
    bool small = need >= size && need <= want / WINDOW_OBJECTS;
    if (small && may_replace(lane, share, size)) {
        if (open_window(lane, arena, share, need, want, answer)) return fit(share, size, align);
        if (*answer == FAI_ARENA_DENIED && need == size) return NULL;
    }
    return alloc_alone(lane, arena, share, size, align, answer);
}

/// `size` is a multiple of 16, `align` at least that.
static unsigned char *alloc_bytes(fai_lane *lane, fai_shared_arena *arena, fai_share *share, uint64_t size,
                                  size_t align, fai_arena_answer *answer)
{
    unsigned char *p = FA_LIKELY(!is_strange(lane, share)) ? fit(share, size, align) : NULL;
    *answer = FAI_ARENA_DONE;
    if (FA_UNLIKELY(p == NULL)) p = alloc_in_chunk(lane, arena, share, size, align, answer);
    if (p == NULL) return NULL;
    *answer = FAI_ARENA_DONE;
    bool in_window = p >= share->cursor && p < share->end;
    count(lane, arena, share, in_window ? (uint64_t)(p - share->cursor) + size : size);
    if (in_window) share->cursor = p + size;
    return p;
}

/// False: the arena was closed meanwhile, and its cleanups have run.
static bool list_cleanup(fai_share *share, fai_cleanup *cleanup)
{
    fai_cleanup *head = fai_load_relaxed(&share->cleanups);
    do {
        if (head == &closed_cleanups) return false;
        cleanup->next = head;
        // [arena.cleanup] release: whoever runs it sees it.
    } while (!fai_cas_release(&share->cleanups, &head, cleanup));
    return true;
}

static void count_refused(fai_lane *lane, const fai_shared_arena *arena)
{
    fai_lane_stats *stats = fai_lane_arena_stats(lane);
    switch (arena->use) {
        case FAI_USE_GROUP: stats->group_refused++; break;
        case FAI_USE_JOB: stats->job_refused++; break;
        default: stats->scratch_refused++;
    }
}

static void note_refused(fai_lane *lane, fai_shared_arena *arena, size_t size, fai_arena_answer answer)
{
    if (answer == FAI_ARENA_GONE) return;
    if (FA_STATISTICS) count_refused(lane, arena);
    // A report is last: the sink may end the arena.
    if (answer == FAI_ARENA_REFUSED) {
        fai_lane_report_refused(lane, size);
        return;
    }
    if (answer != FAI_ARENA_FULL || fai_load_relaxed(&arena->full) != 0) return;
    uint32_t before = 0;
    if (!fai_cas_relaxed(&arena->full, &before, 1u)) return;
    fai_report(lane->memory, lane, "FA003", "its capacity is used up; reported once between resets",
               "create the pool with more capacity, or reset it earlier",
               "scratch pool \"%s\" exhausted by an allocation of %zu bytes", arena->name, size);
}

void *fai_arena_alloc_shared(fai_lane *lane, fai_shared_arena *arena, size_t size, size_t align,
                             const fai_cleanup *cleanup, fai_arena_answer *answer)
{
    size_t extra = cleanup != NULL ? sizeof *cleanup : 0;
    size_t rounded = (size + FA_ALIGN_DEFAULT - 1) & ~(size_t)(FA_ALIGN_DEFAULT - 1);
    if (align < FA_ALIGN_DEFAULT) align = FA_ALIGN_DEFAULT;
    unsigned char *p = NULL;
    if (size > lane->memory->blocks.bytes || align > lane->memory->blocks.bytes) {
        *answer = arena->capacity != 0 ? FAI_ARENA_FULL : FAI_ARENA_REFUSED;
    } else {
        fai_share *share = share_of(lane, arena, answer);
        if (share != NULL) p = alloc_bytes(lane, arena, share, rounded + extra, align, answer);
        if (p != NULL) fai_allow(p, size);
        if (p != NULL && cleanup != NULL) {
            fai_cleanup *listed = (fai_cleanup *)(void *)(p + rounded);
            fai_allow(listed, sizeof *listed);
            *listed = (fai_cleanup){NULL, cleanup->fn, p, cleanup->context};
            if (!list_cleanup(share, listed)) {
                *answer = FAI_ARENA_GONE;
                return NULL;
            }
        }
    }
    if (p != NULL && lane->memory->config.checked) memset(p, ALLOCATED_BYTE, size);
    if (p == NULL) note_refused(lane, arena, size, *answer);
    return p;
}

void fai_arena_sum(const fai_lane *lane, const fai_shared_arena *arena, uint64_t *objects, uint64_t *bytes,
                   uint64_t *own_window)
{
    *objects = *bytes = *own_window = 0;
    // [arena.share] acquire: the shares as they were listed.
    const fai_share *share = fai_load_acquire(&arena->shares);
    if (share == &closed_shares) return;
    for (; share != NULL; share = share->next) {
        *objects += fai_load_relaxed(&share->objects);
        *bytes += fai_load_relaxed(&share->bytes);
        if (share->lane == lane->hot.index) *own_window = window_left(share);
    }
}

fai_share *fai_arena_close_shares(fai_shared_arena *arena)
{
    // [arena.share] acquire: the shares as they were listed. What comes later is refused.
    fai_share *shares = fai_exchange_acquire(&arena->shares, &closed_shares);
    FA_ASSERT(shares != &closed_shares);
    return shares;
}

fai_cleanup *fai_share_close_cleanups(fai_share *share)
{
    // [arena.cleanup] acquire: the records as they were listed. What comes later is refused.
    fai_cleanup *cleanups = fai_exchange_acquire(&share->cleanups, &closed_cleanups);
    FA_ASSERT(cleanups != &closed_cleanups);
    return cleanups;
}
