// SPDX-License-Identifier: MIT
//
// Tags and phases, whose paths the model knows, and budgets, which nothing gets beyond.
#include "api.h"

enum { DEPTH = 3 }; // so that there are never as many paths as a system may have

static const char *const names[TAGS] = {"sense", "think", "move", "draw"};

struct path {
    char text[FA_PATH_MAX + 1];
};

static fa_tag_scope scopes[DEPTH];
static struct path tags[DEPTH + 1], phases[DEPTH + 1]; // the first are empty
static uint32_t tag_depth, phase_depth, current;       // the latter by number

static struct {
    fa_tag tag;
    uint64_t most; // of what may be charged
} budgets[TAGS];

void tags_begin(void)
{
    memset(budgets, 0, sizeof budgets);
    tag_depth = phase_depth = current = 0;
}

uint32_t tags_switch(uint32_t id)
{
    uint32_t before = current;
    current = id;
    return before;
}

uint32_t tag_now(void)
{
    return current;
}

static struct path join(const struct path *parent, const char *name)
{
    struct path path;
    snprintf(path.text, sizeof path.text, "%.80s%s%s", parent->text, *parent->text != '\0' ? "::" : "", name);
    return path;
}

void tag_begin(void)
{
    uint8_t which = take();
    if (tag_depth == DEPTH) return;
    struct path *path = &tags[tag_depth + 1];
    if (which & 128) { // whatever the current one
        *path = (struct path){""};
        scopes[tag_depth] = fa_tag_begin_at(api.w, (fa_tag){0});
    } else {
        *path = join(&tags[tag_depth], names[which % TAGS]);
        scopes[tag_depth] = fa_tag_begin(api.w, names[which % TAGS]);
    }
    tag_depth++;
    fa_tag now = fa_tag_current(api.w);
    if (api.limited && now.id == current) *path = tags[tag_depth - 1]; // no memory for another
    FUZZ_CHECK(strcmp(fa_tag_path(api.fa, now), path->text) == 0);
    current = now.id;
}

void tag_end(void)
{
    if (tag_depth == 0) return;
    fa_tag_end(&scopes[--tag_depth]);
    current = fa_tag_current(api.w).id;
    FUZZ_CHECK(strcmp(fa_tag_path(api.fa, fa_tag_current(api.w)), tags[tag_depth].text) == 0);
}

void phase_begin(void)
{
    const char *name = names[take() % TAGS];
    if (!api.in_frame) {
        permit(1);
        FUZZ_CHECK(fa_phase_begin(api.w, name) == FA_ERROR_STATE);
        return;
    }
    if (phase_depth == DEPTH) return;
    fa_status status = fa_phase_begin(api.w, name);
    FUZZ_CHECK(status == FA_OK || (api.limited && status != FA_ERROR_STATE));
    if (status != FA_OK) return;
    phases[phase_depth + 1] = join(&phases[phase_depth], name);
    phase_depth++;
    FUZZ_CHECK(strcmp(fa_phase_current(api.w), phases[phase_depth].text) == 0);
}

void phase_end(void)
{
    if (phase_depth == 0) permit(913);
    FUZZ_CHECK(fa_phase_end(api.w) == (phase_depth > 0 ? FA_OK : FA_ERROR_STATE));
    if (phase_depth > 0) phase_depth--;
    FUZZ_CHECK(strcmp(fa_phase_current(api.w), phases[phase_depth].text) == 0);
}

void tags_frame_ends(void)
{
    if (phase_depth > 0) permit(913);
    phase_depth = 0;
}

// --- Budgets ----------------------------------------------------------------------------------------------------------

void budget_set(void)
{
    uint8_t which = take() % TAGS;
    uint64_t hard = (uint64_t)take() << 14, soft = (uint64_t)take() << 14;
    if (!api.limited) return;
    fa_tag tag;
    if (fa_tag_find(api.fa, names[which], &tag) != FA_OK) return;
    bool allowed = hard == 0 || soft <= hard;
    fa_status status = fa_budget_set(api.fa, tag, soft, hard);
    FUZZ_CHECK(status == (allowed ? FA_OK : FA_ERROR_INVALID) || (allowed && status == FA_ERROR_MEMORY));
    if (status != FA_OK) return;
    fa_tag_stats stats;
    FUZZ_CHECK(fa_tag_stats_read(api.fa, tag, &stats) == FA_OK && stats.soft == soft && stats.hard == hard);
    budgets[which].tag = tag;
    budgets[which].most = hard == 0 ? UINT64_MAX : hard > stats.charged ? hard : stats.charged;
}

void lane_budget_set(void)
{
    fa_lane_use use = (fa_lane_use)(take() % FA_LANE_USES);
    uint64_t hard = (uint64_t)take() << 14, soft = (uint64_t)take() << 14;
    if (!api.limited) return;
    bool allowed = hard == 0 || soft <= hard;
    fa_status status = fa_lane_budget_set(api.fa, 0, use, soft, hard);
    FUZZ_CHECK(status == (allowed ? FA_OK : FA_ERROR_INVALID) || (allowed && status == FA_ERROR_MEMORY));
    FUZZ_CHECK(fa_lane_budget_set(api.fa, 99, use, 0, 0) == FA_ERROR_INVALID);
    if (status != FA_OK) return;
    fa_lane_budget budget;
    FUZZ_CHECK(fa_lane_budget_read(api.fa, 0, use, &budget) == FA_OK && budget.soft == soft && budget.hard == hard);
}

void tags_check(void)
{
    for (uint32_t i = 0; i < TAGS; i++) {
        fa_tag_stats stats;
        if (budgets[i].tag.id == 0) continue;
        FUZZ_CHECK(fa_tag_stats_read(api.fa, budgets[i].tag, &stats) == FA_OK && stats.charged <= budgets[i].most);
    }
}

void tags_end(void)
{
    while (tag_depth > 0) tag_end();
}
