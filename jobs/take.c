// SPDX-License-Identifier: MIT
//
// Where jobs come from: see take.h.
#include "jobs/take.h"

#include "concurrent/clock.h"
#include "jobs/counter.h"
#include "jobs/wake.h"

// A thief costs its victim cache misses: one now, and one for every slot that it read when the slot is used again,
// about 0.1 µs each. So tiny jobs are better left alone: 64 of 15 ns each take 2 µs on one lane, and took 20 µs with a
// thief that snatched one after the other. A thief looks twice at a deque, LOOK_NS apart. If its owner has not moved in
// between it is busy with something large, or away: worth it. If it has, it is worth it when the rest would take the
// owner WORTH_NS at that pace and a job takes JOB_NS or more: at the owner's pace when it is popping; as far as the
// thief knows from the last ones when the owner is pushing. When it does not know it takes a few to find out. Looks that
// find the same deque not worth it come ever later: each one makes the owner's next job wait for the line.
#define LOOK_NS 300u
#define LOOK_BUSY_NS 500u
#define LOOK_BUSY_MAX_NS 4000u
#define WORTH_NS 3000u
#define JOB_NS 150u
#define STALE_NS 50000u
#define SAMPLE 4u
// Jobs that a thief takes at a time at most; each is one cache miss, but they overlap.
#define STEAL_MAX 32u

bool fai_take_newest(fai_worker *w, fai_job *out)
{
    while (fai_deque_pop_owner(&w->deque, out))
        if (FA_LIKELY(out->fn != NULL)) return true;
    return false;
}

fai_steal fai_take_oldest_of(fai_worker *w, fai_worker *victim, const fai_want *want, fai_job *out)
{
    FA_ASSERT(w != victim);
    FA_ASSERT(w->claimed);
    for (;;) {
        fai_steal result = fai_deque_steal_any(&victim->deque, want, out);
        fai_count(&w->stats.steal_tries, 1);
        FAI_COUNT(&w->lane.contention, steal_tries, 1);
        if (result == FAI_STEAL_LOST) FAI_COUNT(&w->lane.contention, steal_retries, 1);
        if (result != FAI_STEAL_TAKEN) return result;
        if (out->fn == NULL) continue;
        out->meta |= (uint64_t)FAI_JOB_STOLEN << 4;
        fai_count(&w->stats.steals, 1);
        FAI_COUNT(&w->lane.contention, steals, 1);
        fai_event_own(&w->lane, FA_EVENT_STEAL, 1, victim->lane.hot.index);
        return result;
    }
}

static uint64_t next_random(fai_worker *w)
{
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    return w->random;
}

/// Claims the lane for a job in hand, and not earlier: a lane that runs has work in a frame, so that no boundary finds
/// one that it can neither service nor wait for. Only a proxy can be in the way: then the job waits in the own deque,
/// where every lane can take it.
static bool claim_for(fai_worker *w, const fai_job *job)
{
    if (!w->claimed) w->claimed = fai_lane_claim(&w->lane);
    if (w->claimed) return true;
    fai_job *slot = fai_deque_reserve_owner(&w->deque);
    FA_ASSERT(slot != NULL); // it has just been empty, or this was the newest
    fai_job_write(slot, job);
    w->deque.head++;
    fai_publish_all(w);
    return false;
}

/// What the last two looks at a deque that has jobs say: how many of them it pays to take.
static uint32_t worth(fai_worker *w, uint32_t lane, uint64_t word)
{
    fai_watch *watch = &w->watch;
    uint64_t now = fai_now_ns(), count = fai_deque_count_of(word), elapsed = now - watch->at_ns;
    int64_t moved = (int16_t)(fai_deque_base_of(word) - fai_deque_base_of(watch->word));
    int64_t popped = fai_deque_taken_back_of(word) - fai_deque_taken_back_of(watch->word), pushed = moved + popped;
    bool known = watch->again_ns != 0 && watch->lane == lane && elapsed < STALE_NS;
    watch->lane = lane;
    watch->word = word;
    watch->at_ns = now;
    watch->again_ns = now + LOOK_NS;
    if (!known) return 0;
    if (popped <= 0 && pushed <= 0) return STEAL_MAX;
    uint64_t pace = elapsed / (uint64_t)(popped + (pushed > 0 ? pushed : 0));
    if (count * pace < WORTH_NS) return 0;
    if (popped > pushed) return pace >= JOB_NS ? STEAL_MAX : 0;
    if (now - watch->taken_ns >= STALE_NS) return SAMPLE;
    return watch->job_ns >= JOB_NS ? STEAL_MAX : 0;
}

/// Looks at a deque that has jobs: how many of them to take. Says also when to look again if that is none.
static uint32_t look(fai_worker *w, uint32_t lane, uint64_t word)
{
    fai_watch *watch = &w->watch;
    uint64_t longer = watch->lane == lane ? 2 * watch->busy_ns : 0;
    uint32_t limit = worth(w, lane, word);
    if (limit > 0 || longer < LOOK_BUSY_NS) longer = LOOK_BUSY_NS;
    watch->busy_ns = longer < LOOK_BUSY_MAX_NS ? longer : LOOK_BUSY_MAX_NS;
    return limit;
}

static uint32_t steal_many(fai_worker *w, fai_worker *victim, uint32_t limit, fai_job *out)
{
    FA_ASSERT(w->context == NULL || fai_worker_is_main(w));
    if (limit > w->deque.mask / 2) limit = (uint32_t)(w->deque.mask / 2);
    uint32_t n = fai_deque_steal_many_any(&victim->deque, &w->deque, limit, out);
    fai_count(&w->stats.steal_tries, 1);
    FAI_COUNT(&w->lane.contention, steal_tries, 1);
    if (n == 0) {
        FAI_COUNT(&w->lane.contention, steal_retries, 1);
        return 0;
    }
    fai_count(&w->stats.steals, n);
    FAI_COUNT(&w->lane.contention, steals, 1);
    fai_event_own(&w->lane, FA_EVENT_STEAL, n, victim->lane.hot.index);
    out->meta |= (uint64_t)FAI_JOB_STOLEN << 4;
    FA_ASSERT(fai_deque_private_owner(&w->deque) == (int64_t)n - 1);
    fai_publish_all(w); // what was out of sight for a moment
    w->watch.taken = n;
    w->watch.taken_ns = fai_now_ns();
    return n;
}

/// Tries one lane: whether it had jobs, and whether it was worth a try.
static bool try_victim(fai_worker *w, uint32_t lane, fai_job *out, bool *seen)
{
    fai_worker *victim = fai_system_worker(fai_worker_system(w), lane);
    uint64_t word = fai_load_relaxed(&victim->deque.word);
    if (fai_deque_count_of(word) == 0) {
        fai_deque_want_any(&victim->deque);
        if (w->watch.lane == lane) w->watch.busy_ns = 0;
        return false;
    }
    *seen = true;
    uint32_t limit = look(w, lane, word);
    if (limit == 0 || steal_many(w, victim, limit, out) == 0) return false;
    w->last_victim = lane;
    return (out->fn != NULL || fai_take_newest(w, out)) && claim_for(w, out);
}

/// The jobs that the thief last took are done: what one took.
static void account_taken(fai_watch *watch, uint64_t now)
{
    if (watch->taken == 0) return;
    watch->job_ns = (now - watch->taken_ns) / watch->taken;
    watch->taken_ns = now;
    watch->taken = 0;
}

bool fai_take_stolen(fai_worker *w, fai_job *out, bool *seen)
{
    uint32_t end = fai_worker_lane_end(w), self = w->lane.hot.index, watched = self;
    fai_watch *watch = &w->watch;
    uint64_t again_ns = 0;
    if (FA_UNLIKELY(w->deque.base > fai_deque_top_owner(&w->deque)) && fai_take_newest(w, out)) { // see claim_for()
        *seen = true;
        return claim_for(w, out);
    }
    if (watch->again_ns != 0) {
        uint64_t now = fai_now_ns();
        account_taken(watch, now);
        if (now < watch->again_ns) {
            *seen = true;
            return false;
        }
        watched = watch->lane;
        if (try_victim(w, watched, out, seen)) return true;
        if (*seen) again_ns = watch->at_ns + watch->busy_ns;
        watch->again_ns = 0; // what others have counts as not seen yet
    }
    FA_ASSERT(end > 0 && self < end);
    uint32_t lane = w->last_victim < end ? w->last_victim : 0;
    for (uint32_t n = 0; n < end; n++, lane = lane + 1 < end ? lane + 1 : 0) {
        if (lane == self || lane == watched) continue;
        if (try_victim(w, lane, out, seen)) return true;
        if (watch->again_ns != 0) return false;
    }
    watch->again_ns = again_ns; // nobody else has any
    w->last_victim = (uint32_t)(next_random(w) % end);
    return false;
}

/// The index of a wanted job in the own deque, -1 if there is none.
static int64_t find_own(fai_worker *w, const fai_want *want, int64_t *cursor)
{
    fai_deque *deque = &w->deque;
    int64_t top = fai_deque_oldest_owner(deque), head = deque->head;
    int64_t middle = *cursor < top || *cursor > head ? -1 : *cursor; // the last series of looks ended here
    if (fai_worker_system(w)->worker_count == 0) {
        int64_t from = middle < 0 ? top : middle;
        int64_t found = fai_deque_find_oldest_owner(deque, from, head, want);
        if (found == head && from > top) {
            found = fai_deque_find_oldest_owner(deque, top, from, want);
            if (found == from) found = head;
        }
        return *cursor = found == head ? -1 : found;
    }
    int64_t to = middle < 0 ? head : middle;
    int64_t found = fai_deque_find_newest_owner(deque, top, to, want);
    if (found < top && to < head) {
        found = fai_deque_find_newest_owner(deque, to, head, want);
        if (found < to) found = -1;
    }
    return *cursor = found < top ? -1 : found;
}

bool fai_take_own(fai_worker *w, const fai_want *want, int64_t *cursor, fai_job *out)
{
    for (;;) {
        int64_t index = find_own(w, want, cursor);
        if (index < 0) return false;
        if (fai_deque_take_out_owner(&w->deque, index, out)) break;
        FAI_COUNT(&w->lane.contention, own_races, 1);
    }
    fai_publish_all(w);
    return true;
}

/// A job that lay above a wanted one: queued here instead, or run if there is no room.
static void adopt(fai_worker *w, fai_job *job)
{
    fai_job *slot = fai_deque_reserve_owner(&w->deque);
    if (slot == NULL) {
        fai_worker_run_nested(w, job);
        fai_counter_flush(w);
        return;
    }
    fai_job_write(slot, job);
    w->deque.head++;
    fai_publish_all(w);
}

/// Takes jobs from the victim until a wanted one comes, `above` + 1 at most.
static bool dig(fai_worker *w, fai_worker *victim, const fai_want *want, int32_t above, fai_job *out)
{
    for (int32_t left = above + 1; left > 0; left--) {
        fai_steal result = fai_take_oldest_of(w, victim, left > 1 ? &FAI_WANT_ANY : want, out);
        if (result == FAI_STEAL_LOST) continue; // somebody else took one
        if (result != FAI_STEAL_TAKEN) return false;
        if (fai_job_matches(out, want)) return true;
        adopt(w, out);
    }
    return false;
}

bool fai_take_others(fai_worker *w, const fai_want *want, uint32_t limit, fai_job *out)
{
    uint32_t end = fai_worker_lane_end(w);
    for (uint32_t n = 0; n < end; n++) {
        fai_worker *victim = fai_system_worker(fai_worker_system(w), n);
        if (victim == w || fai_deque_look_any(&victim->deque) == 0) continue;
        int32_t above = fai_deque_find_any(&victim->deque, want, limit);
        if (above >= 0 && dig(w, victim, want, above, out)) return true;
    }
    return false;
}

bool fai_take_sees(const fai_worker *w, const fai_want *want)
{
    uint32_t end = fai_worker_lane_end(w);
    for (uint32_t n = 0; n < end; n++) {
        fai_worker *victim = fai_system_worker(fai_worker_system(w), n);
        if (victim == w) continue;
        if (fai_deque_find_any(&victim->deque, want, UINT32_MAX) >= 0) return true;
    }
    return false;
}
