// SPDX-License-Identifier: MIT
//
// See mind.h.
#include "mind.h"

#include "fixed.h"

#include <assert.h>
#include <string.h>

fa_handle mind_begin(fa_worker *w, uint32_t owner, uint32_t tick, uint8_t goal)
{
    fa_handle handle = fa_handle_new(w, struct mind, NULL);
    struct mind *mind = mind_at(w, handle);
    if (mind != NULL) *mind = (struct mind){.owner = owner, .since = tick, .goal = goal};
    return handle;
}

fa_status mind_end(fa_worker *w, fa_handle handle)
{
    const struct mind *mind = mind_at(w, handle);
    if (mind == NULL) return FA_ERROR_STALE;
    fa_status status = mind->room == 0 ? FA_OK : fa_handle_free(w, mind->trail);
    return status == FA_OK ? fa_handle_free(w, handle) : status;
}

const uint32_t *mind_trail(const fa_worker *w, const struct mind *mind)
{
    return mind->count == 0 ? NULL : fa_handle_peek(w, mind->trail);
}

/// A trail of twice the room in another object; the old one dies.
static bool grow(fa_worker *w, struct mind *mind)
{
    uint32_t room = mind->room == 0 ? TRAIL_FIRST : 2 * mind->room;
    fa_handle larger = fa_handle_array(w, uint32_t, room, NULL);
    uint32_t *cells = fa_handle_peek(w, larger);
    if (cells == NULL) return false;
    if (mind->room > 0) {
        memcpy(cells, mind_trail(w, mind), mind->count * sizeof *cells);
        if (fa_handle_free(w, mind->trail) != FA_OK) {
            (void)fa_handle_free(w, larger);
            return false;
        }
    }
    mind->trail = larger;
    mind->room = room;
    return true;
}

bool mind_pass(fa_worker *w, struct mind *mind, uint32_t cell)
{
    if (mind->count == mind->room && mind->room < TRAIL_MAX && !grow(w, mind)) return false;
    uint32_t *cells = fa_handle_peek(w, mind->trail);
    assert(cells != NULL);
    if (mind->count == TRAIL_MAX) {
        memmove(cells, cells + TRAIL_MAX / 2, TRAIL_MAX / 2 * sizeof *cells);
        mind->count = TRAIL_MAX / 2;
    }
    cells[mind->count++] = cell;
    mind->last = cell;
    return true;
}

uint64_t mind_digest(const fa_worker *w, uint64_t digest, fa_handle handle)
{
    const struct mind *mind = mind_at(w, handle);
    if (mind == NULL) return digest_add(digest, 0);
    const struct mind *leader = mind_at(w, mind->leader);
    digest = digest_add(digest, 1 + (mind->owner | (uint64_t)mind->since << 32));
    digest = digest_add(digest, mind->goal | (uint64_t)mind->hurries << 8 | (uint64_t)mind->count << 32);
    digest = digest_add(digest, leader == NULL ? 0 : 1 + (leader->owner | (uint64_t)leader->since << 32));
    const uint32_t *cells = mind_trail(w, mind);
    for (uint32_t i = 0; i < mind->count; i++) digest = digest_add(digest, cells[i]);
    return digest;
}

uint64_t minds_bytes(uint32_t agents)
{
    return (uint64_t)agents * (sizeof(struct mind) + TRAIL_MAX * sizeof(uint32_t));
}
