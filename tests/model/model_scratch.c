// SPDX-License-Identifier: MIT
//
// Scratch pools: two lanes make one by the same name at the same time, and another each; both get the same pool, allocate from it, see its accounts, and
// each pool is found by its name.
#include "tests/model/little_system.h"

#include <string.h>

extern const mc_model model_scratch;

static fa_system *fa;
static fa_worker *lanes[2];
static fa_scratch same[2];

static void before(void)
{
    lanes[0] = fa_self(fa);
    lanes[1] = little_attach(fa);
    memset(same, 0, sizeof same);
}

static void use(fa_worker *w, fa_scratch pool, uint64_t value)
{
    uint64_t *p = fa_scratch_alloc(w, pool, 64, 16);
    MC_ASSERT(p != NULL);
    *p = value;
    fa_scratch_info info;
    MC_ASSERT(fa_scratch_read(w, pool, &info) == FA_OK);
    MC_ASSERT(info.objects >= 1 && info.objects <= 2);
    MC_ASSERT(*p == value);
}

static void thread(void)
{
    unsigned self = mc_self();
    fa_worker *w = lanes[self];
    const char *own = self == 0 ? "zero" : "one", *others = self == 0 ? "one" : "zero";
    fa_scratch pool;
    mc_dawdle(30);
    bool own_first = mc_choose(2) == 0;
    if (own_first) MC_ASSERT(fa_scratch_create(w, own, 0, &pool) == FA_OK);
    MC_ASSERT(fa_scratch_create(w, "both", 0, &same[self]) == FA_OK);
    use(w, same[self], self);
    MC_ASSERT(fa_scratch_find(w, "both").id == same[self].id);
    if (!own_first) MC_ASSERT(fa_scratch_create(w, own, 0, &pool) == FA_OK);
    use(w, pool, self);
    fa_scratch found = fa_scratch_find(w, others);
    MC_ASSERT(found.id != pool.id && found.id != same[self].id);
}

static void after(void)
{
    MC_ASSERT(same[0].id == same[1].id);
}

const mc_model model_scratch = {
    .name = "scratch",
    .claim = "the same name is the same scratch pool on all lanes",
    .large = true,
    .system = &fa,
    .before = before,
    .threads = {thread, thread},
    .after = after,
};
