// SPDX-License-Identifier: MIT
//
// Frame and scope memory, checkpoints, frames, what is retained.
#include "api.h"

void alloc_frame(void)
{
    size_t size = take_size(), align = take_align(4096);
    if (!has_room(size)) return;
    if (!api.in_frame) {
        permit(1);
        FUZZ_CHECK(fa_frame_alloc_aligned(api.w, size, align) == NULL);
        return;
    }
    struct object *object = admit(FRAME, fa_frame_alloc_aligned(api.w, size, align), size, align);
    if (object != NULL) object->frame = api.newest;
}

void alloc_scope(void)
{
    size_t size = take_size(), align = take_align(4096);
    if (has_room(size)) (void)admit(SCOPE, fa_scope_alloc_aligned(api.w, size, align), size, align);
}

/// Objects of a kind that are younger than a serial number end.
static void end_younger(enum kind kind, uint32_t serial)
{
    for (int i = 0; i < OBJECTS; i++)
        if (api.objects[i].kind == kind && api.objects[i].serial > serial) forget(&api.objects[i]);
}

void checkpoint_take(void)
{
    if (api.mark_count == MARKS) return;
    api.marks[api.mark_count++] = (struct mark){.checkpoint = fa_checkpoint_take(api.w), .serial = api.serial};
}

/// To the youngest checkpoint, or one of those before that no scope was begun after.
void checkpoint_rollback(void)
{
    uint32_t back = take() % MARKS;
    if (api.mark_count == 0 || api.marks[api.mark_count - 1].is_scope) return;
    uint32_t at = api.mark_count - 1;
    while (back-- > 0 && at > 0 && !api.marks[at - 1].is_scope) at--;
    const struct mark *mark = &api.marks[at];
    for (int i = 0; i < OBJECTS; i++) check_object(&api.objects[i]);
    fa_status status = fa_checkpoint_rollback(api.w, mark->checkpoint);
    // Without memory to tell them apart, more checkpoints than those that were rolled back past may count as stale.
    FUZZ_CHECK(status == FA_OK || (api.limited && status == FA_ERROR_STALE));
    if (status != FA_OK) {
        api.mark_count = at;
        return;
    }
    for (int i = 0; i < OBJECTS && !api.planted; i++) {
        enum kind kind = api.objects[i].kind;
        bool rolls_back = kind == FRAME || kind == RETAINED || kind == SCOPE;
        if (rolls_back && !api.objects[i].apart && api.objects[i].serial > mark->serial) forget_gone(&api.objects[i]);
    }
    // Below memory of jobs it stays, until the frame retires.
    if (api.frame_jobs)
        collections_leave(mark->serial, api.newest);
    else
        collections_forget(FA_HOME_FRAME, mark->serial, api.newest);
    collections_forget(FA_HOME_SCOPE, mark->serial, 0);
    // What was taken later is refused from now on, and changes nothing.
    if (at + 1 < api.mark_count)
        FUZZ_CHECK(fa_checkpoint_rollback(api.w, api.marks[api.mark_count - 1].checkpoint) == FA_ERROR_STALE);
    api.mark_count = at + (take() & 1); // it may be rolled back to again
}

void scope_begin(void)
{
    if (api.mark_count == MARKS) return;
    api.marks[api.mark_count++] = (struct mark){.is_scope = true, .scope = fa_scope_begin(api.w), .serial = api.serial};
}

void scope_end(void)
{
    uint32_t at = api.mark_count;
    while (at > 0 && !api.marks[at - 1].is_scope) at--;
    if (at == 0) return;
    end_younger(SCOPE, api.marks[at - 1].serial);
    collections_forget(FA_HOME_SCOPE, api.marks[at - 1].serial, 0);
    fa_scope_end(&api.marks[at - 1].scope);
    api.mark_count = at - 1;
}

/// Ends all scopes, youngest first; checkpoints are forgotten, or tried if they are stale by now.
void leave_marks(bool stale)
{
    while (api.mark_count > 0) {
        struct mark *mark = &api.marks[api.mark_count - 1];
        if (mark->is_scope) {
            scope_end();
            continue;
        }
        if (stale) FUZZ_CHECK(fa_checkpoint_rollback(api.w, mark->checkpoint) == FA_ERROR_STALE);
        api.mark_count--;
    }
}

void alloc_retained(void)
{
    size_t size = take_size(), align = take_align(4096);
    uint8_t how = take();
    if (!api.in_frame || !has_room(size)) return;
    fa_retain retain = {.to = (fa_retain_to)(how % 3), .key = how >> 5, .type = "fuzzed"};
    uint8_t cell = how >> 2 & 7;
    if (cell < NAMED && retain.to != FA_RETAIN_DISCARD) retain.cell = &api.cells[cell];
    retain.user = api.serial + 1;
    void *p = fa_frame_retained(api.w, size, align, &retain);
    for (size_t i = 0; p != NULL && i < size; i++) FUZZ_CHECK(((unsigned char *)p)[i] == 0);
    struct object *object = admit(RETAINED, p, size, align);
    if (object == NULL) return;
    object->retain = retain;
    object->owner = cell;
    object->frame = api.newest;
}

static uint32_t count_retained(uint64_t frame)
{
    uint32_t count = 0;
    for (int i = 0; i < OBJECTS; i++) count += api.objects[i].kind == RETAINED && api.objects[i].frame == frame;
    return count;
}

void retained_abandon(void)
{
    if (!api.in_frame || take() % 4 != 0) return;
    FUZZ_CHECK(fa_retained_count(api.w) == count_retained(api.newest));
    FUZZ_CHECK(fa_retained_abandon(api.w) == count_retained(api.newest));
    for (int i = 0; i < OBJECTS; i++)
        if (api.objects[i].kind == RETAINED && api.objects[i].frame == api.newest) api.objects[i].kind = FRAME;
}

static struct object *find_retained(uint64_t user)
{
    for (int i = 0; i < OBJECTS; i++)
        if (api.objects[i].kind == RETAINED && api.objects[i].serial == user) return &api.objects[i];
    return NULL;
}

void leave_cell(uint8_t cell, bool look)
{
    for (int i = 0; i < OBJECTS; i++) {
        struct object *object = &api.objects[i];
        if (object->kind != IN_CELL || object->owner != cell) continue;
        api.leaving_bytes += object->size;
        if (look) check_object(object);
        forget_gone(object);
    }
}

/// One line of the result of a frame's end.
static void take_promotion(const fa_promotion *item)
{
    struct object *object = find_retained(item->user);
    FUZZ_CHECK(object != NULL && item->size == object->size && item->from == object->at);
    FUZZ_CHECK(item->destination == object->retain.to && item->cell == object->retain.cell);
    if (item->status != FA_PROMOTED) {
        FUZZ_CHECK(api.limited || item->status == FA_PROMOTION_DROPPED);
        FUZZ_CHECK(item->status != FA_PROMOTION_DROPPED || object->retain.to == FA_RETAIN_DISCARD);
        forget_gone(object);
        return;
    }
    FUZZ_CHECK(item->to != NULL && object->retain.to != FA_RETAIN_DISCARD);
    object->at = item->to;
    object->kind = object->retain.to == FA_RETAIN_POOL ? POOL : HEAP;
    if (object->retain.cell == NULL) return;
    // What a begin promoted may have been replaced since, and those that it replaced are gone.
    bool early = object->frame < api.early_before;
    if (early && fa_cell_read(api.w, object->retain.cell) != item->to) {
        forget_gone(object);
        return;
    }
    // Of several versions that one frame gives a cell, those that were replaced may be read until the next quiescent state.
    leave_cell(object->owner, !early);
    object->kind = IN_CELL;
}

/// There was no memory for the list: what has a cell may be there, which is then no longer the model's.
static void take_unlisted(void)
{
    for (int i = 0; i < OBJECTS; i++) {
        struct object *object = &api.objects[i];
        bool replaced = object->kind == IN_CELL && fa_cell_read(api.w, &api.cells[object->owner]) != object->at;
        bool unlisted = object->kind == RETAINED && object->frame < api.oldest;
        if (unlisted || replaced) forget_gone(object);
    }
}

static void check_stats(void)
{
    fa_stats stats;
    FUZZ_CHECK(fa_stats_read(api.fa, &stats) == FA_OK);
    uint32_t handles = 0, streams = 0, groups = 0, scratches = 0;
    uint64_t group_objects = 0;
    for (int i = 0; i < HANDLES; i++) handles += !fa_handle_is_none(api.handles[i].handle);
    for (int i = 0; i < STREAMS; i++) streams += api.streams[i].state != FA_STREAM_NONE;
    for (int i = 0; i < NAMED; i++) {
        groups += api.groups[i].id != 0;
        scratches += api.scratches[i].id != 0;
        group_objects += api.group_objects[i];
    }
    FUZZ_CHECK(stats.handle_live == handles);
    FUZZ_CHECK(stats.streams == streams);
    FUZZ_CHECK(stats.groups == groups && stats.scratch_pools == scratches);
    FUZZ_CHECK(stats.group_objects == group_objects || (api.group_leaves && stats.group_objects > group_objects));
    if (stats.group_objects == group_objects) api.group_leaves = false;
    FUZZ_CHECK(stats.retired == stats.reclaimed + stats.backlog);
    // What is retired lives until it is reclaimed, and may be an old copy of an object behind a handle, which is counted apart.
    uint64_t held = count_of(POOL) + count_of(HEAP) + count_of(IN_CELL) + count_of(IN_TRANSIT) + collection_objects();
    uint64_t live = stats.pool_live + stats.heap_live;
    uint64_t unknown = api.limited ? NAMED : 0; // see take_unlisted()
    FUZZ_CHECK(!guest_is_settled() || (live >= held && live <= held + stats.backlog + unknown));
    uint32_t holds = 0;
    for (int i = 0; i < FRAMES; i++) holds += api.holds[i].bits != 0;
    FUZZ_CHECK(stats.frames_alive == api.newest + 1 - api.oldest && stats.frame_holds == holds);
    FUZZ_CHECK(stats.jobs >= api.ran && stats.job_memories == 0);
    if (stats.backlog == 0) api.leaving_bytes = 0;
    guest_boundary(stats.backlog == 0);
}

/// Frame that a hold keeps; 0 if none does. The number of a hold's frame is in its name.
static bool is_held(uint64_t frame)
{
    for (int i = 0; i < FRAMES; i++)
        if (api.holds[i].bits >> 8 == frame) return true;
    return false;
}

/// The frames that are over retire, the oldest first: what was in them is gone, but for what is retained.
static void retire_ready(void)
{
    for (; api.oldest <= api.newest && !(api.in_frame && api.oldest == api.newest) && !is_held(api.oldest);
         api.oldest++) {
        collections_forget(FA_HOME_FRAME, 0, api.oldest);
        for (int i = 0; i < OBJECTS; i++)
            if (api.objects[i].kind == FRAME && api.objects[i].frame == api.oldest) forget_gone(&api.objects[i]);
    }
}

static bool is_full(void)
{
    return api.newest + 1 - api.oldest == api.frame_slots;
}

void frame_begin(void)
{
    if (api.mark_count > 0 && take() % 4 != 0) return; // marks from outside frames are tried in one seldom
    if (api.in_frame) {
        FUZZ_CHECK(fa_frame_begin(api.fa) == FA_ERROR_STATE);
        return;
    }
    if (is_full()) {
        check_all(); // the last time for what the frames hold that retire now, and what their promotions replace
        retire_ready();
        api.early_before = api.oldest;
    }
    if (is_full()) { // a begin would wait for ever
        FUZZ_CHECK(fa_frame_try_begin(api.fa) == FA_ERROR_BUSY);
        return;
    }
    FUZZ_CHECK((take() & 1 ? fa_frame_begin : fa_frame_try_begin)(api.fa) == FA_OK);
    api.in_frame = true;
    api.newest++;
    api.frame_jobs = false;
    FUZZ_CHECK(fa_frame_number(api.fa) == api.newest);
    leave_marks(true); // what was taken outside the frame is not of this one
}

/// The promotions of all frames that retired since the last end, frame by frame, in order.
static void take_promotions(const fa_frame_result *result)
{
    uint64_t before = 0;
    for (uint32_t i = 0; i < result->count; i++) {
        const struct object *object = find_retained(result->items[i].user);
        FUZZ_CHECK(object != NULL && object->frame < api.oldest);
        uint64_t rank = object->frame << 40 | object->retain.key << 32 | object->serial;
        FUZZ_CHECK(rank > before);
        before = rank;
        take_promotion(&result->items[i]);
    }
}

void frame_end(void)
{
    if (!api.in_frame) {
        FUZZ_CHECK(fa_frame_end(api.fa, NULL) == FA_ERROR_STATE);
        return;
    }
    leave_marks(false);
    jobs_frame_ends();
    tags_frame_ends();
    check_all();
    FUZZ_CHECK(fa_retained_count(api.w) == count_retained(api.newest));
    fa_frame_result result;
    FUZZ_CHECK(fa_frame_end(api.fa, &result) == FA_OK);
    jobs_frame_ended();
    api.in_frame = false;
    uint64_t first = api.listed;
    retire_ready();
    uint32_t retained = 0;
    for (uint64_t frame = first; frame < api.oldest; frame++) retained += count_retained(frame);
    FUZZ_CHECK(result.retired == api.oldest - first &&
               (result.count == retained || (api.limited && result.count < retained)));
    for (int i = 0; i < OBJECTS; i++)
        if (api.objects[i].kind == SCOPE) forget_gone(&api.objects[i]);
    collections_forget(FA_HOME_SCOPE, 0, 0);
    take_promotions(&result);
    if (result.count != retained) take_unlisted();
    for (uint64_t frame = first; frame < api.oldest; frame++) FUZZ_CHECK(count_retained(frame) == 0);
    api.listed = api.early_before = api.oldest;
    check_all();
    check_stats();
}

void frame_hold(void)
{
    fa_frame *hold = &api.holds[1 + take() % (FRAMES - 1)]; // the first is the guest's
    if (hold->bits != 0) return;
    FUZZ_CHECK(fa_frame_hold(api.w, hold) == (api.in_frame ? FA_OK : FA_ERROR_STATE));
    FUZZ_CHECK(hold->bits >> 8 == (api.in_frame ? api.newest : 0));
}

void frame_drop(void)
{
    fa_frame *hold = &api.holds[1 + take() % (FRAMES - 1)];
    fa_frame dropped = *hold;
    *hold = (fa_frame){0};
    FUZZ_CHECK(fa_frame_drop(api.fa, dropped) == (dropped.bits != 0 ? FA_OK : FA_ERROR_STALE));
    if (dropped.bits != 0 && !is_held(dropped.bits >> 8)) FUZZ_CHECK(fa_frame_drop(api.fa, dropped) == FA_ERROR_STALE);
}
