// SPDX-License-Identifier: MIT
//
// How tags use memory: windows of frames, gathered from the ledgers of frames that retire and from what lanes publish of their purses. See
// framealloc/behavior.h. Owner: the main lane.
//
//     freed in a boundary's time      == made - (live after - live before)
//     of them made in that time, too  >= freed - live before, <= made, <= freed
#include "alloc/lane.h"
#include "alloc/store.h"
#include "concurrent/check.h"

#include <string.h>

/// A tag's sums in the window that runs.
typedef struct window {
    fa_behavior sum;
    double age_bytes; // frame memory × frames that it outlived its own
    uint64_t frames;  // with frame memory
} window;

typedef struct fai_behavior {
    fa_behavior_limits limits;
    uint32_t frames; // retired in the window that runs
    bool settled;    // `made` and `live` are those of the last boundary
    window windows[FAI_NAMES_MAX];
    fa_behavior reports[FAI_NAMES_MAX];
    uint64_t made[FAI_NAMES_MAX], live[FAI_NAMES_MAX]; // pool objects, as of the last boundary
} fai_behavior;

fa_behavior_limits fa_behavior_default(void)
{
    return (fa_behavior_limits){60, 10, {8, 0.5, 0.8, 0.5, 100.0 / 60}};
}

fa_behavior_limits fa_behavior_strict(void)
{
    return (fa_behavior_limits){10, 3, {2, 0.25, 0.5, 0.1, 0.5}};
}

fa_behavior_limits fa_behavior_relaxed(void)
{
    return (fa_behavior_limits){300, 100, {12, 0.8, 0.95, 2, 20}};
}

// Gathering -------------------------------------------------------------------------------------------------------------

void fai_behavior_add_frame(fai_memory *memory, uint64_t number)
{
    fai_behavior *behavior = memory->behavior;
    const fai_ledger *last = &memory->labels->last;
    double age = (double)(fai_load_relaxed(&memory->frame_number) - number);
    behavior->frames++;
    for (uint32_t word = 0; word < FAI_NAME_WORDS; word++) {
        for (uint64_t touched = last->touched[FAI_BY_TAG][word]; touched != 0; touched &= touched - 1) {
            uint32_t tag = word * 64 + (uint32_t)__builtin_ctzll(touched);
            const fai_counts *counts = &last->counts[FAI_BY_TAG][tag];
            window *to = &behavior->windows[tag];
            to->sum.frame_bytes += counts->bytes[FAI_USE_FRAME];
            to->sum.promoted_bytes += counts->promoted_bytes;
            to->sum.promoted += counts->promoted;
            to->sum.replaced += counts->replaced;
            to->sum.heap_objects += counts->allocs[FAI_USE_HEAP];
            to->age_bytes += age * (double)counts->bytes[FAI_USE_FRAME];
            to->frames += counts->bytes[FAI_USE_FRAME] > 0;
        }
    }
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/// What became of pool objects since the boundary before.
static void add_pool(fai_behavior *behavior, uint32_t tag, uint64_t made, uint64_t live)
{
    uint64_t new_ones = made - behavior->made[tag], before = behavior->live[tag];
    uint64_t had = before + new_ones, freed = had > live ? had - live : 0;
    behavior->made[tag] = made;
    behavior->live[tag] = live;
    if (!behavior->settled || new_ones == 0) return;
    fa_behavior *sum = &behavior->windows[tag].sum;
    sum->pool_objects += new_ones;
    sum->pool_same_frame_most += least(freed, new_ones);
    sum->pool_same_frame_least += least(freed > before ? freed - before : 0, new_ones);
}

static void look_at_pools(fai_memory *memory)
{
    fai_behavior *behavior = memory->behavior;
    uint64_t made[FAI_NAMES_MAX], live[FAI_NAMES_MAX], seen[FAI_NAME_WORDS] = {0}; // the first two of tags in the third
    for (uint32_t i = 0; i < fai_memory_lanes_used(memory); i++) {
        const fai_lane *lane = fai_memory_lane(memory, i);
        // [behavior.tags] acquire: the entries as they were published.
        uint64_t published = fai_load_acquire(&lane->tags_published);
        if (published >> 32 != fai_load_relaxed(&memory->watch)) continue; // nothing since this watch began
        for (uint32_t n = 0; n < (uint32_t)published; n++) {
            const fai_tag_pool *from = &lane->tag_pools[n];
            uint32_t tag = (uint32_t)fai_load_relaxed(&from->tag);
            bool first = (seen[tag / 64] >> tag % 64 & 1) == 0;
            // [behavior.made] acquire: those that live, see publish_tag_pools().
            made[tag] = (first ? 0 : made[tag]) + fai_load_acquire(&from->made);
            live[tag] = (first ? 0 : live[tag]) + fai_load_relaxed(&from->live);
            seen[tag / 64] |= UINT64_C(1) << tag % 64;
        }
    }
    for (uint32_t word = 0; word < FAI_NAME_WORDS; word++)
        for (; seen[word] != 0; seen[word] &= seen[word] - 1) {
            uint32_t tag = word * 64 + (uint32_t)__builtin_ctzll(seen[word]);
            add_pool(behavior, tag, made[tag], live[tag]);
        }
    behavior->settled = true;
}

// Judging ---------------------------------------------------------------------------------------------------------------

static double share(uint64_t part, uint64_t of)
{
    return of > 0 ? (double)part / (double)of : 0;
}

static uint32_t samples_of(uint64_t count)
{
    return count < UINT32_MAX ? (uint32_t)count : UINT32_MAX;
}

static void evaluate(const window *from, uint32_t frames, fa_behavior *out)
{
    *out = from->sum;
    out->frames = frames;
    const uint64_t samples[] = {from->frames, from->frames, out->pool_objects, out->promoted, out->heap_objects};
    const double values[] = {out->frame_bytes > 0 ? from->age_bytes / (double)out->frame_bytes : 0,
                             share(out->promoted_bytes, out->frame_bytes),
                             share(out->pool_same_frame_least, out->pool_objects), share(out->replaced, frames),
                             share(out->heap_objects, frames)};
    for (uint32_t kind = 0; kind < FA_BEHAVIOR_KINDS; kind++) {
        out->value[kind] = values[kind];
        out->samples[kind] = samples_of(samples[kind]);
    }
}

static void report(const fai_memory *memory, uint32_t tag, fa_behavior_kind kind, double value)
{
    static const struct {
        const char *code, *note, *help, *what;
    } texts[FA_BEHAVIOR_KINDS] = {
        {"FA501", "frames that are held keep the frame memory of all lanes",
         "drop holds earlier, or allocate what is to last from the pool",
         "frames by which frame memory outlives its own"},
        {"FA502", "each promotion is a copy at the frame's end",
         "allocate what is going to last from the pool or heap at once", "share of frame memory that is promoted"},
        {"FA510", "frame and scope memory cost less and need no free",
         "allocate it with fa_frame_alloc() or fa_scope_alloc()", "share of pool objects freed in their frame"},
        {"FA520", "each promotion replaced what an earlier one had published",
         "publish less often, or keep one object and change it", "promotions a frame that replace a version"},
        {"FA530", "the heap is the slowest memory there is here",
         "allocate from the pool or frame memory, or keep what is used again", "heap objects made a frame"},
    };
    const fai_behavior *behavior = memory->behavior;
    fai_report(memory, fai_memory_lane(memory, 0), texts[kind].code, texts[kind].note, texts[kind].help,
               "tag %s: %s: %.4g, above %.4g in %u frames", memory->labels->tags.nodes[tag].path, texts[kind].what,
               value, behavior->limits.most[kind], behavior->reports[tag].frames);
}

/// Values that are above their limit.
static uint32_t above(const fa_behavior_limits *limits, const fa_behavior *of)
{
    uint32_t bits = 0;
    for (uint32_t kind = 0; kind < FA_BEHAVIOR_KINDS; kind++)
        if (of->samples[kind] >= limits->samples_min && limits->most[kind] >= 0 && of->value[kind] > limits->most[kind])
            bits |= 1u << kind;
    return bits;
}

static void end_window(fai_memory *memory)
{
    fai_behavior *behavior = memory->behavior;
    uint32_t news[FAI_NAMES_MAX], frames = behavior->frames; // what was not above its limit in the window before
    for (uint32_t tag = 1; tag < FAI_NAMES_MAX; tag++) {
        fa_behavior *of = &behavior->reports[tag];
        uint32_t before = of->above;
        evaluate(&behavior->windows[tag], frames, of);
        of->above = above(&behavior->limits, of);
        news[tag] = of->above & ~before;
    }
    memset(behavior->windows, 0, sizeof behavior->windows);
    behavior->frames = 0;
    // Last: a sink may read, reset or end all this.
    for (uint32_t tag = 1; tag < FAI_NAMES_MAX; tag++)
        for (; news[tag] != 0; news[tag] &= news[tag] - 1) {
            uint32_t kind = (uint32_t)__builtin_ctz(news[tag]);
            if (memory->behavior != behavior || (behavior->reports[tag].above >> kind & 1) == 0) return;
            report(memory, tag, (fa_behavior_kind)kind, behavior->reports[tag].value[kind]);
        }
}

void fai_behavior_look(fai_memory *memory)
{
    look_at_pools(memory);
    if (memory->behavior->frames >= memory->behavior->limits.frames) end_window(memory);
}

// Switching -------------------------------------------------------------------------------------------------------------

static fai_memory *memory_of(fa_system *fa)
{
    return (fai_memory *)(void *)fa;
}

/// A new window; the next boundary only notes where pools stand.
static void restart(fai_behavior *behavior)
{
    fa_behavior_limits limits = behavior->limits;
    memset(behavior, 0, sizeof *behavior);
    behavior->limits = limits;
}

static bool limits_are_valid(const fa_behavior_limits *limits)
{
    if (limits->frames == 0 || limits->frames > 65536) return false;
    for (uint32_t kind = 0; kind < FA_BEHAVIOR_KINDS; kind++)
        if (limits->most[kind] != limits->most[kind]) return false;
    return true;
}

fa_status fa_behavior_watch(fa_system *fa, const fa_behavior_limits *limits)
{
    if (fa == NULL || (limits != NULL && !limits_are_valid(limits))) return FA_ERROR_INVALID;
    fai_memory *memory = memory_of(fa);
    fa_status status = fai_memory_check_main(memory);
    if (status != FA_OK) return status;
    if (memory->behavior == NULL) {
        fai_behavior *made = fai_store_take(fai_memory_lane(memory, 0), sizeof *made, _Alignof(fai_behavior));
        if (made == NULL) return FA_ERROR_MEMORY;
        memory->behavior = made;
        fai_store_relaxed(&memory->watch, fai_load_relaxed(&memory->watch) + 1);
    }
    memory->behavior->limits = limits != NULL ? *limits : fa_behavior_default();
    restart(memory->behavior);
    fai_memory_want(memory, FAI_WANT_TAG_POOLS);
    return FA_OK;
}

/// Main lane, and something is watched.
static fa_status check(fa_system *fa)
{
    if (fa == NULL) return FA_ERROR_INVALID;
    fa_status status = fai_memory_check_main(memory_of(fa));
    if (status != FA_OK) return status;
    return memory_of(fa)->behavior != NULL ? FA_OK : FA_ERROR_STATE;
}

fa_status fa_behavior_reset(fa_system *fa)
{
    fa_status status = check(fa);
    if (status == FA_OK) restart(memory_of(fa)->behavior);
    return status;
}

fa_status fa_behavior_unwatch(fa_system *fa)
{
    fa_status status = check(fa);
    if (status != FA_OK) return status == FA_ERROR_STATE ? FA_OK : status;
    fai_memory_unwant(memory_of(fa), FAI_WANT_TAG_POOLS);
    fai_store_give_own(fai_memory_lane(memory_of(fa), 0), memory_of(fa)->behavior);
    memory_of(fa)->behavior = NULL;
    return FA_OK;
}

fa_status fa_behavior_read(fa_system *fa, fa_tag tag, fa_behavior *out)
{
    if (out == NULL) return FA_ERROR_INVALID;
    *out = (fa_behavior){0};
    fa_status status = check(fa);
    if (status != FA_OK) return status;
    if (tag.id == 0 || fa_tag_path(fa, tag) == NULL) return FA_ERROR_INVALID;
    *out = memory_of(fa)->behavior->reports[tag.id];
    return FA_OK;
}
