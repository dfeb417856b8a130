// SPDX-License-Identifier: MIT
//
// Labels on lanes: attribution by differences, charges ahead of need, and the public side of tags and budgets. See label.h.
#include "alloc/lane.h"
#include "alloc/store.h"
#include "concurrent/check.h"

#include <string.h>

// Handed to the inlined paths while a tag has no magazines: never holds anything, never takes anything, so never written.
static fa_magazine no_magazines[FA_CLASS_COUNT];

// Charges ---------------------------------------------------------------------------------------------------------------

static void report_denied(fai_lane *lane, uint32_t tag, uint64_t bytes)
{
    const fai_memory *memory = lane->memory;
    fai_account *account = &memory->labels->accounts[tag];
    lane->denials++;
    uint64_t now = fai_load_relaxed(&memory->frame_number) + 1, last = fai_load_relaxed(&account->denied_frame);
    (void)fai_add_relaxed(&account->denied, UINT64_C(1));
    fai_event(lane, FA_EVENT_BUDGET_EXCEEDED, memory->labels->tags.nodes[tag].path, fai_load_relaxed(&account->charged),
              fai_load_relaxed(&account->hard), bytes);
    if (last == now || !fai_cas_relaxed(&account->denied_frame, &last, now)) return;
    fai_report(memory, lane, "FA302", "nothing was allocated or charged; reported once a frame and tag",
               "free memory of this tag, or raise its budget with fa_budget_set()",
               "the budget of tag %s refuses %llu bytes: %llu of %llu are charged",
               memory->labels->tags.nodes[tag].path, (unsigned long long)bytes,
               (unsigned long long)fai_load_relaxed(&account->charged),
               (unsigned long long)fai_load_relaxed(&account->hard));
}

static void report_crossed(fai_lane *lane, uint32_t tag)
{
    const fai_memory *memory = lane->memory;
    fai_account *account = &memory->labels->accounts[tag];
    (void)fai_add_relaxed(&account->warned, UINT64_C(1));
    fai_event(lane, FA_EVENT_BUDGET_WARNING, memory->labels->tags.nodes[tag].path, fai_load_relaxed(&account->charged),
              fai_load_relaxed(&account->soft), 0);
    fai_report(memory, lane, "FA303", "it was allowed; reported each time the budget is crossed",
               "free memory of this tag before the hard budget refuses",
               "tag %s crossed its soft budget: %llu of %llu bytes", memory->labels->tags.nodes[tag].path,
               (unsigned long long)fai_load_relaxed(&account->charged),
               (unsigned long long)fai_load_relaxed(&account->soft));
}

uint64_t fai_label_charge_ahead(fai_lane *lane, uint32_t label, fai_use use, uint64_t need, uint64_t want)
{
    uint32_t tag = fai_label_tag(label), limit, crossed;
    if (tag == 0) return want;
    uint64_t granted = fai_account_charge_any(lane->memory->labels, tag, use, need, want, &limit, &crossed);
    if (granted == 0 && fai_lane_flush_tag(lane, tag)) // what its magazines hold is charged, too
        granted = fai_account_charge_any(lane->memory->labels, tag, use, need, need, &limit, &crossed);
    if (granted == 0) report_denied(lane, limit, need);
    if (granted > 0 && crossed != 0) report_crossed(lane, crossed);
    return granted;
}

bool fai_label_charge(fai_lane *lane, uint32_t label, fai_use use, uint64_t bytes)
{
    return fai_label_charge_ahead(lane, label, use, bytes, bytes) != 0;
}

void fai_label_refund(fai_lane *lane, uint32_t label, fai_use use, uint64_t bytes)
{
    uint32_t tag = fai_label_tag(label);
    if (tag != 0 && bytes > 0) fai_account_refund_any(lane->memory->labels, tag, use, bytes);
}

// Ledgers ---------------------------------------------------------------------------------------------------------------

static void add_counts(fai_counts *to, const fai_counts *counts)
{
    to->uses |= counts->uses;
    for (uint64_t uses = counts->uses; uses != 0; uses &= uses - 1) {
        uint32_t use = (uint32_t)__builtin_ctzll(uses);
        to->bytes[use] += counts->bytes[use];
        to->allocs[use] += counts->allocs[use];
    }
    to->ns += counts->ns;
    to->entries += counts->entries;
    if (FA_LIKELY(counts->retained == 0)) return;
    to->retained += counts->retained;
    to->retained_bytes += counts->retained_bytes;
    to->promoted += counts->promoted;
    to->promoted_bytes += counts->promoted_bytes;
    to->replaced += counts->replaced;
}

static fai_counts *counts_of(fai_ledger *ledger, fai_by by, uint32_t node)
{
    ledger->touched[by][node / 64] |= UINT64_C(1) << node % 64;
    return &ledger->counts[by][node];
}

static void enter(fai_ledger *ledger, fai_by by, uint32_t node, fai_use use, uint64_t bytes, uint64_t allocs)
{
    if (node == 0) return;
    fai_counts *counts = counts_of(ledger, by, node);
    counts->uses |= UINT64_C(1) << use;
    counts->bytes[use] += bytes;
    counts->allocs[use] += allocs;
}

void fai_ledger_add(fai_lane *lane, uint32_t label, fai_use use, uint64_t bytes, uint64_t allocs)
{
    if (lane->slot == FAI_NO_SLOT) return;
    fai_ledger *ledger = &lane->ledgers[lane->slot];
    enter(ledger, FAI_BY_TAG, fai_label_tag(label), use, bytes, allocs);
    enter(ledger, FAI_BY_PHASE, fai_label_phase(label), use, bytes, allocs);
}

void fai_ledger_add_phase(fai_lane *lane, uint32_t phase, uint64_t ns)
{
    FA_ASSERT(lane->slot != FAI_NO_SLOT && phase != 0);
    fai_counts *counts = counts_of(&lane->ledgers[lane->slot], FAI_BY_PHASE, phase);
    counts->ns += ns;
    counts->entries++;
}

void fai_ledger_add_retained(fai_memory *memory, uint32_t slot, const fa_promotion *item, bool replaced)
{
    fai_ledger *ledger = &fai_memory_lane(memory, 0)->ledgers[slot];
    const uint32_t nodes[] = {[FAI_BY_TAG] = fai_label_tag(item->label), [FAI_BY_PHASE] = fai_label_phase(item->label)};
    for (fai_by by = FAI_BY_TAG; by <= FAI_BY_PHASE; by++) {
        if (nodes[by] == 0) continue;
        fai_counts *counts = counts_of(ledger, by, nodes[by]);
        counts->retained++;
        counts->retained_bytes += item->size;
        counts->replaced += replaced;
        if (item->status != FA_PROMOTED) continue;
        counts->promoted++;
        counts->promoted_bytes += item->size;
    }
}

static uint64_t frame_bytes(fai_lane *lane)
{
    return lane->slot == FAI_NO_SLOT ? 0 : fai_arena_bytes(fai_lane_store_frame(lane));
}

/// What the magazines handed out since they were last counted: returns how many objects, adds up their bytes.
static uint64_t count_pool(fai_purse *purse, uint64_t *bytes)
{
    uint64_t allocs = 0;
    for (uint64_t classes = purse->classes; classes != 0; classes &= classes - 1) {
        uint32_t size_class = (uint32_t)__builtin_ctzll(classes);
        uint64_t now = purse->magazines[size_class].state >> 8, handed = now - purse->counted[size_class];
        purse->counted[size_class] = now;
        allocs += handed;
        *bytes += handed * fai_class_size(size_class);
    }
    return allocs;
}

void fai_lane_settle_label(fai_lane *lane)
{
    if (lane->label == 0) return;
    uint64_t now = frame_bytes(lane), used = now - lane->label_bytes, pool_bytes = 0;
    FA_ASSERT(now >= lane->label_bytes);
    if (fai_label_tag(lane->label) != 0) {
        FA_ASSERT(lane->credit >= used);
        lane->credit -= used;
    }
    lane->label_bytes = now;
    if (used > 0) fai_ledger_add(lane, lane->label, FAI_USE_FRAME, used, 0);
    fai_purse *purse = fai_lane_purse(lane, fai_label_tag(lane->label));
    uint64_t objects = purse != NULL ? count_pool(purse, &pool_bytes) : 0;
    if (objects > 0) fai_ledger_add(lane, lane->label, FAI_USE_POOL, pool_bytes, objects);
}

// Frame memory ----------------------------------------------------------------------------------------------------------

void fai_lane_suspend_label(fai_lane *lane)
{
    fai_lane_settle_label(lane);
    fai_label_refund(lane, lane->label, FAI_USE_FRAME, lane->credit);
    lane->credit = 0;
    lane->label_bytes = 0;
}

void fai_lane_resume_label(fai_lane *lane)
{
    FA_ASSERT(lane->credit == 0);
    lane->label_bytes = lane->label_start = frame_bytes(lane);
    fai_purse *purse = fai_lane_purse(lane, fai_label_tag(lane->label));
    uint64_t bytes = 0; // what others have to answer for
    if (purse != NULL) (void)count_pool(purse, &bytes);
}

/// Frame memory to charge ahead of need, `have` are left: more for who has used much since its label became current, so that the calls do
/// not add up; and not beyond the block, whose end is a call anyway.
static uint64_t ahead(const fai_lane *lane, uint64_t now, uint64_t have)
{
    uint64_t wanted = (now - lane->label_start) / 2;
    if (wanted < FAI_CREDIT_BYTES) wanted = FAI_CREDIT_BYTES;
    if (wanted > FAI_CREDIT_BYTES_MAX) wanted = FAI_CREDIT_BYTES_MAX;
    if (lane->slot == FAI_NO_SLOT) return wanted;
    const fai_arena *arena = &lane->frames[lane->slot].arena;
    uint64_t left = (uint64_t)(arena->end - arena->cursor);
    return left > have && wanted > left - have ? left - have : wanted;
}

bool fai_lane_reserve_frame(fai_lane *lane, uint64_t bytes)
{
    for (;;) { // again if a sink that was told of a budget used some of it
        uint64_t now = frame_bytes(lane), used = now - lane->label_bytes;
        FA_ASSERT(lane->credit >= used);
        uint64_t have = lane->credit - used;
        if (have >= bytes) return true;
        uint64_t need = bytes - have, want = ahead(lane, now, have);
        if (want < need) want = need;
        uint64_t granted = fai_label_charge_ahead(lane, lane->label, FAI_USE_FRAME, need, want);
        if (granted == 0) return false;
        lane->credit += granted;
    }
}

/// Takes bytes that a rollback freed out of the ledger.
static void take_back(fai_lane *lane, uint32_t label, uint64_t bytes)
{
    fai_ledger_add(lane, label, FAI_USE_FRAME, -bytes, 0);
    if (label == lane->label && fai_label_tag(label) != 0)
        lane->credit += bytes;
    else
        fai_label_refund(lane, label, FAI_USE_FRAME, bytes);
}

void fai_lane_unwind_label(fai_lane *lane, uint64_t before)
{
    uint64_t now = frame_bytes(lane), end = before, start = lane->label_start;
    uint32_t label = lane->label;
    for (;;) {
        uint64_t from = start > now ? start : now;
        if (end > from) take_back(lane, label, end - from);
        if (start <= now || lane->start_count == 0) break;
        end = start;
        start = lane->starts[--lane->start_count].bytes;
        label = lane->starts[lane->start_count].label;
    }
    if (label != lane->label && start < now) { // what is left of an earlier label stays on the list
        lane->starts[lane->start_count++] = (fai_label_start){start, label};
        start = now;
    }
    lane->label_start = start < now ? start : now; // what is left of the same label is the current one's again
    lane->label_bytes = now;
}

/// Remembers where the label that ends now began. Without memory for that nobody could say later whose bytes a rollback frees, so rollbacks
/// stop here: what was allocated so far stays until the frame retires.
static void note_start(fai_lane *lane)
{
    if (!lane->starts_wanted || lane->slot == FAI_NO_SLOT || frame_bytes(lane) == lane->label_start) return;
    void *starts = lane->starts;
    bool full = lane->start_count == lane->start_capacity;
    if (full && !fai_lane_grow(lane, &starts, lane->start_count, &lane->start_capacity, sizeof *lane->starts)) {
        fai_lane_keep_frame(lane);
        lane->start_count = 0;
        return;
    }
    lane->starts = starts;
    lane->starts[lane->start_count++] = (fai_label_start){lane->label_start, lane->label};
}

// Switching -------------------------------------------------------------------------------------------------------------

static void use_purse(fai_lane *lane, uint32_t tag)
{
    fai_purse *purse = fai_lane_purse(lane, tag);
    lane->hot.magazines = purse != NULL ? purse->magazines : no_magazines;
    lane->hot.pool_info = fai_info_make(lane->hot.index, tag, FAI_KIND_POOL, 0) >> 8;
}

fai_purse *fai_lane_make_purse(fai_lane *lane, uint32_t tag)
{
    FA_ASSERT(tag != 0 && fai_lane_purse(lane, tag) == NULL);
    fai_purse *purse = fai_store_take(lane, sizeof *purse, _Alignof(fai_purse));
    if (purse == NULL) return NULL;
    memset(purse, 0, sizeof *purse);
    fai_slabs_add_tag(&lane->slabs, tag, &purse->lists);
    lane->purses[lane->purse_count++] = (uint8_t)tag;
    for (uint32_t i = 0; i < FA_CLASS_COUNT; i++) purse->magazines[i].limit = lane->untagged.magazines[i].limit;
    if (fai_label_tag(lane->label) == tag) use_purse(lane, tag);
    return purse;
}

void fai_lane_switch_label(fai_lane *lane, uint32_t label)
{
    FA_ASSERT(label != lane->label && label < 1u << 16);
    if (!fai_load_relaxed(&lane->memory->labelled)) fai_store_relaxed(&lane->memory->labelled, 1u);
    note_start(lane);
    if (lane->label != 0) fai_lane_suspend_label(lane);
    lane->label = label;
    use_purse(lane, fai_label_tag(label));
    fai_lane_resume_label(lane);
    if (lane->slot != FAI_NO_SLOT) fai_lane_load_frame(lane);
}

void fai_lane_restore_label(fai_lane *lane, uint32_t before, uint32_t own)
{
    uint32_t left = lane->label;
    if (left != own) {
        while (lane->phase_depth > 0 && lane->phases[lane->phase_depth - 1].serial == fai_lane_serial(lane))
            (void)fa_phase_end(&lane->hot);
        const fai_labels *labels = lane->memory->labels;
        uint32_t tag = fai_label_tag(left), phase = fai_label_phase(left);
        bool tag_left = tag != fai_label_tag(own), phase_left = phase != fai_label_phase(own);
        fai_report(lane->memory, lane, "FA913", "it was ended for you", "end what a job begins before it returns",
                   "a job left a tag or phase open:%s%s%s%s", tag_left ? " tag " : "",
                   tag_left ? labels->tags.nodes[tag].path : "", phase_left ? " phase " : "",
                   phase_left ? labels->phases.nodes[phase].path : "");
    }
    // A worker thread keeps the label for the next job: most have the same.
    bool keep = lane->depth == 1 && lane->hot.index - 1 < lane->memory->config.worker_count;
    uint32_t label = keep ? own : before;
    if (label != lane->label) fai_lane_switch_label(lane, label);
}

// The boundary ----------------------------------------------------------------------------------------------------------

/// Adds the counts of a ledger to the sum.
static void sum_counts(fai_ledger *sum, const fai_ledger *ledger, fai_by by)
{
    for (uint32_t word = 0; word < FAI_NAME_WORDS; word++) {
        uint64_t touched = ledger->touched[by][word];
        sum->touched[by][word] |= touched;
        for (; touched != 0; touched &= touched - 1) {
            uint32_t node = word * 64 + (uint32_t)__builtin_ctzll(touched);
            add_counts(&sum->counts[by][node], &ledger->counts[by][node]);
        }
    }
}

static void clear_counts(fai_ledger *ledger, fai_by by)
{
    for (uint32_t word = 0; word < FAI_NAME_WORDS; word++) {
        for (uint64_t touched = ledger->touched[by][word]; touched != 0; touched &= touched - 1)
            ledger->counts[by][word * 64 + (uint32_t)__builtin_ctzll(touched)] = (fai_counts){0};
        ledger->touched[by][word] = 0;
    }
}

static void show_tag(fai_labels *labels, uint32_t tag)
{
    fai_account *account = &labels->accounts[tag];
    const fai_counts *last = &labels->last.counts[FAI_BY_TAG][tag];
    uint64_t bytes = fai_load_relaxed(&account->total_bytes), allocs = fai_load_relaxed(&account->total_allocs);
    for (uint64_t uses = last->uses | account->shown; uses != 0; uses &= uses - 1) {
        uint32_t use = (uint32_t)__builtin_ctzll(uses);
        fai_store_relaxed(&account->bytes[use], last->bytes[use]);
        fai_store_relaxed(&account->allocs[use], last->allocs[use]);
        bytes += last->bytes[use];
        if (use != FAI_USE_FRAME) allocs += last->allocs[use]; // those of frame memory are not always counted
    }
    account->shown = (uint32_t)last->uses;
    fai_store_relaxed(&account->retained, last->retained);
    fai_store_relaxed(&account->retained_bytes, last->retained_bytes);
    fai_store_relaxed(&account->total_bytes, bytes);
    fai_store_relaxed(&account->total_allocs, allocs);
}

static void settle_by(fai_memory *memory, uint32_t slot, fai_by by)
{
    fai_labels *labels = memory->labels;
    clear_counts(&labels->last, by);
    for (uint32_t i = 0; i < fai_memory_lanes_used(memory); i++) {
        fai_ledger *ledger = &fai_memory_lane(memory, i)->ledgers[slot];
        sum_counts(&labels->last, ledger, by);
        clear_counts(ledger, by);
    }
    if (by == FAI_BY_PHASE) sum_counts(&labels->total, &labels->last, by);
}

void fai_memory_settle_frame(fai_memory *memory, uint32_t slot)
{
    fai_labels *labels = memory->labels;
    uint64_t shown[FAI_NAME_WORDS]; // tags that had something to show in the frame before
    memcpy(shown, labels->last.touched[FAI_BY_TAG], sizeof shown);
    settle_by(memory, slot, FAI_BY_TAG);
    settle_by(memory, slot, FAI_BY_PHASE);
    for (uint32_t word = 0; word < FAI_NAME_WORDS; word++) {
        uint64_t touched = shown[word] | labels->last.touched[FAI_BY_TAG][word];
        for (; touched != 0; touched &= touched - 1) {
            uint32_t tag = word * 64 + (uint32_t)__builtin_ctzll(touched);
            show_tag(labels, tag);
            uint64_t bytes = labels->last.counts[FAI_BY_TAG][tag].bytes[FAI_USE_FRAME];
            if (bytes > 0) fai_account_refund_any(labels, tag, FAI_USE_FRAME, bytes);
        }
    }
    fai_memory_count_retentions(memory);
}

// Tags ------------------------------------------------------------------------------------------------------------------

static fai_labels *labels_of(const fa_system *fa)
{
    return ((const fai_memory *)(const void *)fa)->labels;
}

static bool is_node(const fai_names *names, uint32_t node)
{
    // [name.count] acquire: the node is complete.
    return node > 0 && node < FAI_NAMES_MAX && fai_load_acquire(&names->is_listed[node]) != 0;
}

/// Names between "::", none of them empty. Asked before the first of them is made.
static bool is_path(const char *path)
{
    if (strlen(path) > FA_PATH_MAX) return false;
    for (const char *name = path, *end;; name = end + 2) {
        end = strstr(name, "::");
        if (end == name || *name == '\0') return false;
        if (end == NULL) return true;
    }
}

fa_status fa_tag_find(fa_system *fa, const char *path, fa_tag *out)
{
    if (out == NULL) return FA_ERROR_INVALID;
    *out = (fa_tag){0};
    if (fa == NULL || path == NULL || !is_path(path)) return FA_ERROR_INVALID;
    fai_names *names = &labels_of(fa)->tags;
    uint32_t node = 0;
    for (const char *name = path;; name += 2) {
        const char *end = strstr(name, "::");
        size_t length = end != NULL ? (size_t)(end - name) : strlen(name);
        node = fai_names_child_any(names, node, name, length);
        if (node == FAI_INDEX_NONE) return FA_ERROR_FULL;
        if (end == NULL) break;
        name = end;
    }
    out->id = node;
    return FA_OK;
}

const char *fa_tag_path(const fa_system *fa, fa_tag tag)
{
    if (fa == NULL || (tag.id != 0 && !is_node(&labels_of(fa)->tags, tag.id))) return NULL;
    return labels_of(fa)->tags.nodes[tag.id].path;
}

fa_tag fa_tag_current(const fa_worker *w)
{
    const fai_lane *lane = (const fai_lane *)(const void *)w;
    return (fa_tag){w != NULL && fai_lane_may_use(lane) ? fai_label_tag(lane->label) : 0};
}

fa_tag fa_tag_at(const fa_system *fa, uint32_t n)
{
    if (fa == NULL) return (fa_tag){0};
    for (uint32_t node = 1; node < FAI_NAMES_MAX; node++)
        if (is_node(&labels_of(fa)->tags, node) && n-- == 0) return (fa_tag){node};
    return (fa_tag){0};
}

static void switch_tag(fai_lane *lane, uint32_t tag)
{
    uint32_t label = fai_label_make(tag, fai_label_phase(lane->label));
    if (label != lane->label) fai_lane_switch_label(lane, label);
}

static const char *path_of(const fai_lane *lane, uint32_t tag)
{
    return lane->memory->labels->tags.nodes[tag].path;
}

fa_tag_scope fa_tag_begin(fa_worker *w, const char *name)
{
    if (w == NULL || !fai_lane_may_use(fai_lane_of(w))) return (fa_tag_scope){0};
    fai_lane *lane = fai_lane_of(w);
    fa_tag_scope scope = {w, fai_label_tag(lane->label), fai_label_tag(lane->label)};
    uint32_t tag = name == NULL ? FAI_INDEX_NONE
                                : fai_names_child_any(&lane->memory->labels->tags, scope.before, name, strlen(name));
    if (tag == FAI_INDEX_NONE) {
        fai_report(
            lane->memory, lane, "FA912", "the current tag stays",
            "use at most 255 tags, with names that are not empty, hold no \"::\" and make paths of at most 119 bytes",
            "no tag %s", name != NULL ? name : "NULL");
        return scope;
    }
    scope.inside = tag;
    switch_tag(lane, tag);
    fai_event(lane, FA_EVENT_TAG_PUSH, path_of(lane, tag), 0, 0, 0);
    return scope;
}

fa_tag_scope fa_tag_begin_at(fa_worker *w, fa_tag tag)
{
    if (w == NULL || !fai_lane_may_use(fai_lane_of(w))) return (fa_tag_scope){0};
    fai_lane *lane = fai_lane_of(w);
    fa_tag_scope scope = {w, fai_label_tag(lane->label), fai_label_tag(lane->label)};
    if (tag.id != 0 && !is_node(&lane->memory->labels->tags, tag.id)) {
        fai_report(lane->memory, lane, "FA912", "the current tag stays",
                   "find tags with fa_tag_find() in the same system", "no tag with number %u", tag.id);
        return scope;
    }
    scope.inside = tag.id;
    switch_tag(lane, tag.id);
    fai_event(lane, FA_EVENT_TAG_PUSH, path_of(lane, tag.id), 0, 0, 0);
    return scope;
}

void fa_tag_end(fa_tag_scope *scope)
{
    if (scope == NULL || scope->worker == NULL) return;
    fai_lane *lane = fai_lane_of(scope->worker);
    if (!fai_lane_may_use(lane)) return;
    scope->worker = NULL;
    if (fai_label_tag(lane->label) != scope->inside)
        fai_report(lane->memory, lane, "FA913", "tags end in the reverse order of their beginning", "use FA_TAG",
                   "tag %s was left open", lane->memory->labels->tags.nodes[fai_label_tag(lane->label)].path);
    fai_event(lane, FA_EVENT_TAG_POP, path_of(lane, scope->inside), 0, 0, 0);
    switch_tag(lane, scope->before);
}

void fai_lane_close_tags(fai_lane *lane)
{
    FA_ASSERT(lane->slot == FAI_NO_SLOT && lane->phase_depth == 0);
    if (lane->label == 0) return;
    fai_report(lane->memory, lane, "FA913", "it was ended for you",
               "end tags before the thread detaches, or use FA_TAG", "tag %s was left open by a thread that detaches",
               path_of(lane, fai_label_tag(lane->label)));
    switch_tag(lane, 0);
}

// Budgets ---------------------------------------------------------------------------------------------------------------

fa_status fa_budget_set(fa_system *fa, fa_tag tag, uint64_t soft, uint64_t hard)
{
    if (fa == NULL || !is_node(&labels_of(fa)->tags, tag.id)) return FA_ERROR_INVALID;
    if (hard != 0 && soft > hard) return FA_ERROR_INVALID;
    fai_account *account = &labels_of(fa)->accounts[tag.id];
    fai_store_relaxed(&account->soft, soft);
    fai_store_relaxed(&account->hard, hard);
    return FA_OK;
}

fa_status fa_tag_stats_read(const fa_system *fa, fa_tag tag, fa_tag_stats *out)
{
    if (fa == NULL || out == NULL || !is_node(&labels_of(fa)->tags, tag.id)) return FA_ERROR_INVALID;
    const fai_memory *memory = (const fai_memory *)(const void *)fa;
    const fai_account *account = &memory->labels->accounts[tag.id];
    *out = (fa_tag_stats){
        .path = memory->labels->tags.nodes[tag.id].path,
        .charged = fai_load_relaxed(&account->charged),
        .peak = fai_load_relaxed(&account->peak),
        .soft = fai_load_relaxed(&account->soft),
        .hard = fai_load_relaxed(&account->hard),
        .denied = fai_load_relaxed(&account->denied),
        .warned = fai_load_relaxed(&account->warned),
        .retained = fai_load_relaxed(&account->retained),
        .retained_bytes = fai_load_relaxed(&account->retained_bytes),
        .total_bytes = fai_load_relaxed(&account->total_bytes),
        .total_allocs = fai_load_relaxed(&account->total_allocs),
    };
    for (uint32_t use = 0; use < FA_TAG_USES; use++) {
        out->held[use] = fai_load_relaxed(&account->use[use]);
        out->bytes[use] = fai_load_relaxed(&account->bytes[use]);
        out->allocs[use] = fai_load_relaxed(&account->allocs[use]);
    }
    uint64_t at_hand = 0;
    for (uint32_t i = 0; i < fai_memory_lanes_used(memory); i++)
        at_hand += fai_load_relaxed(&fai_memory_lane(memory, i)->at_hand[tag.id]);
    out->held[FA_TAG_POOL] -= at_hand < out->held[FA_TAG_POOL] ? at_hand : out->held[FA_TAG_POOL];
    return FA_OK;
}
