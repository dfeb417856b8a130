// SPDX-License-Identifier: MIT
//
// The collector of diagnostics: two threads report, more than it has room for, and a third looks at what there is. An entry that is seen is whole.
#include "tests/model/checker.h"

#include <framealloc/diagnostics.h>

#include <string.h>

extern const mc_model model_collector;

enum { CAPACITY = 3, EACH = 2 };

static fa_collector collector;
static fa_collected items[CAPACITY];

static void before(void)
{
    memset(items, 0, sizeof items);
    fa_collector_init(&collector, items, CAPACITY);
}

static void report(void)
{
    unsigned self = mc_self();
    for (uint64_t i = 0; i < EACH; i++) {
        fa_diagnostic diagnostic = {.code = "X001", .frame = self * 10 + i, .lane = self, .message = "m"};
        fa_collector_take(&diagnostic, &collector);
    }
}

static void check(const fa_collected *item)
{
    MC_ASSERT(item->lane == 1 || item->lane == 2);
    MC_ASSERT(item->frame == item->lane * UINT64_C(10) || item->frame == item->lane * UINT64_C(10) + 1);
}

static void look(void)
{
    uint32_t count = fa_collector_count(&collector, NULL);
    MC_ASSERT(count <= CAPACITY);
    for (uint32_t i = 0; i < count; i++) {
        const fa_collected *item = fa_collector_get(&collector, NULL, i);
        MC_ASSERT(item != NULL); // none goes away
        check(item);
    }
    MC_ASSERT(fa_collector_errors(&collector) == 0);
}

static void after(void)
{
    MC_ASSERT(fa_collector_count(&collector, "X001") == CAPACITY);
    MC_ASSERT(fa_collector_lost(&collector) == 2 * EACH - CAPACITY);
    for (uint32_t i = 0; i < CAPACITY; i++) check(&items[i]);
}

const mc_model model_collector = {
    .name = "collector",
    .claim = "an entry that is seen is whole; what has no room is counted",
    .before = before,
    .threads = {look, report, report},
    .after = after,
};
