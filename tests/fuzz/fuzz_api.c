// SPDX-License-Identifier: MIT
//
// Sequences of calls against a model of what the library promises. The input is a list of operations and their arguments; the model knows
// every object that lives, what was written to it, and what may end it. There are no workers, so a run is a function of its input,
// but for the boundary at which a grace period is over.
//
// After each operation one object is looked at, at a frame's end all of them, and the counts of fa_stats are compared with the model's. A
// diagnostic that the operation does not permit fails the run. With FUZZ_PLANTED=1 the model forgets what rollbacks free, and must be found
// wrong.
#include "fuzz.h"

#include <framealloc/framealloc.h>

#define MIB ((size_t)1 << 20)

enum {
    OBJECTS = 96,
    HANDLES = 32,
    STREAMS = 16,
    NAMED = 4, // groups, scratch pools, cells
    MARKS = 8,
    STEPS = 400,
    STREAM_BUDGET = 1 << 20,
    LIVE_MAX = 16 << 20, // so much never fails in a system without limits
};

enum kind { NOTHING, FRAME, SCOPE, RETAINED, POOL, HEAP, IN_CELL, IN_GROUP, IN_SCRATCH };

struct object {
    enum kind kind;
    uint8_t owner; // number of its cell, group or scratch pool
    uint32_t serial;
    unsigned char *at;
    size_t size;
    fa_retain retain;
};

struct handled {
    fa_handle handle; // {0}: none
    size_t size;
    uint32_t serial, pins;
    const void *pinned;
    bool fixed;
};

struct streamed {
    fa_stream stream;
    fa_stream_state state; // NONE: none
    fa_stream_priority priority;
    size_t size;
    uint32_t serial, pins;
};

struct mark { // a checkpoint or a scope, in the order of taking
    bool is_scope;
    fa_checkpoint checkpoint;
    fa_scope scope;
    uint32_t serial; // objects from here on are younger
};

static struct {
    fa_system *fa;
    fa_worker *w;
    struct fuzz_bytes input;
    bool checked, limited, in_frame;
    bool planted;
    uint32_t serial, permitted[4], permitted_count;
    size_t live_bytes;
    struct object objects[OBJECTS];
    struct handled handles[HANDLES];
    fa_handle stale;
    struct streamed streams[STREAMS];
    struct mark marks[MARKS];
    uint32_t mark_count;
    fa_cell cells[NAMED];
    fa_group groups[NAMED];
    uint32_t group_objects[NAMED], cleanups[NAMED], cleaned;
    fa_scratch scratches[NAMED];
    uint64_t scratch_objects[NAMED];
    fa_stream_priority asking; // of the reserve that runs
} m;

// --- Diagnostics ------------------------------------------------------------------------------------------------------

/// For the rest of the operation.
static void permit(uint32_t code)
{
    FUZZ_CHECK(m.permitted_count < 4);
    m.permitted[m.permitted_count++] = code;
}

static void take_diagnostic(const fa_diagnostic *diagnostic, void *context)
{
    (void)context;
    uint32_t code = (uint32_t)strtoul(diagnostic->code + 2, NULL, 10);
    if (m.limited && (code == 3 || code == 301 || code == 904)) return;
    for (uint32_t i = 0; i < m.permitted_count; i++)
        if (m.permitted[i] == code) return;
    fprintf(stderr, "%s: %s\n", diagnostic->code, diagnostic->message);
    fuzz_failed("a diagnostic that the operation permits", __FILE__, __LINE__);
}

// --- Payload ----------------------------------------------------------------------------------------------------------

// Each object holds a part of it, from a place of its own: copied and compared in one piece, because every comparison that is written out
// is traced by the fuzzer.
enum { STARTS = 65521 };
static unsigned char pattern[STARTS + 256 * 4096];

static void make_pattern(void)
{
    uint64_t state = 0;
    for (size_t i = 0; i < sizeof pattern; i++) {
        state = state * UINT64_C(6364136223846793005) + 1442695040888963407;
        pattern[i] = (unsigned char)(state >> 56);
    }
}

static const unsigned char *pattern_of(uint32_t serial)
{
    return &pattern[(uint64_t)serial * 7919 % STARTS];
}

static void fill(void *p, size_t size, uint32_t serial)
{
    memcpy(p, pattern_of(serial), size);
}

static bool holds(const void *p, size_t size, uint32_t serial)
{
    return memcmp(p, pattern_of(serial), size) == 0;
}

static void check_object(const struct object *object)
{
    if (object->kind != NOTHING) FUZZ_CHECK(holds(object->at, object->size, object->serial));
}

static void check_handle(const struct handled *handled)
{
    if (fa_handle_is_none(handled->handle)) return;
    const void *at = fa_handle_resolve(m.w, handled->handle);
    FUZZ_CHECK(at != NULL && holds(at, handled->size, handled->serial));
    FUZZ_CHECK(handled->pins == 0 || at == handled->pinned);
}

static void check_stream(const struct streamed *streamed)
{
    FUZZ_CHECK(streamed->state == fa_stream_state_of(m.fa, streamed->stream));
    if (streamed->state != FA_STREAM_READY) return;
    size_t size = 0;
    const void *at = fa_stream_read(m.w, streamed->stream, &size);
    FUZZ_CHECK(at != NULL && size == streamed->size && holds(at, size, streamed->serial));
}

static void check_all(void)
{
    for (int i = 0; i < OBJECTS; i++) check_object(&m.objects[i]);
    for (int i = 0; i < HANDLES; i++) check_handle(&m.handles[i]);
    for (int i = 0; i < STREAMS; i++) check_stream(&m.streams[i]);
}

// --- Objects ----------------------------------------------------------------------------------------------------------

static uint8_t take(void)
{
    return fuzz_u8(&m.input);
}

static size_t take_size(void)
{
    size_t low = take(), scale = take() % 16;
    size_t size = scale < 10 ? 1 + low : scale < 13 ? 1 + low * 16 : scale < 15 ? 1 + low * 256 : 1 + low * 4096;
    return size;
}

static size_t take_align(size_t most)
{
    size_t align = (size_t)1 << take() % 14;
    return align <= most ? align : 0;
}

static struct object *free_place(void)
{
    for (int i = 0; i < OBJECTS; i++)
        if (m.objects[i].kind == NOTHING) return &m.objects[i];
    return NULL;
}

static struct object *pick(enum kind one, enum kind other)
{
    uint32_t first = take();
    for (uint32_t i = 0; i < OBJECTS; i++) {
        struct object *object = &m.objects[(first + i) % OBJECTS];
        if (object->kind == one || object->kind == other) return object;
    }
    return NULL;
}

/// One whose memory may not be looked at any more.
static void forget_gone(struct object *object)
{
    m.live_bytes -= object->size;
    object->kind = NOTHING;
}

static void forget(struct object *object)
{
    check_object(object);
    forget_gone(object);
}

/// What an allocation answered: NULL is an answer only in a system with limits.
static struct object *keep(enum kind kind, void *p, size_t size, size_t align)
{
    if (p == NULL) {
        FUZZ_CHECK(m.limited);
        return NULL;
    }
    FUZZ_CHECK((uintptr_t)p % (align > 16 ? align : 16) == 0);
    struct object *object = free_place();
    *object = (struct object){.kind = kind, .at = p, .size = size, .serial = ++m.serial};
    m.live_bytes += size;
    fill(p, size, object->serial);
    return object;
}

static bool has_room(size_t size)
{
    return free_place() != NULL && m.live_bytes + size <= LIVE_MAX;
}

// --- Frame and scope memory -------------------------------------------------------------------------------------------

static void alloc_frame(void)
{
    size_t size = take_size(), align = take_align(4096);
    if (!has_room(size)) return;
    if (!m.in_frame) {
        permit(1);
        FUZZ_CHECK(fa_frame_alloc_aligned(m.w, size, align) == NULL);
        return;
    }
    (void)keep(FRAME, fa_frame_alloc_aligned(m.w, size, align), size, align);
}

static void alloc_scope(void)
{
    size_t size = take_size(), align = take_align(4096);
    if (has_room(size)) (void)keep(SCOPE, fa_scope_alloc_aligned(m.w, size, align), size, align);
}

/// Objects of a kind that are younger than a serial number end.
static void end_younger(enum kind kind, uint32_t serial)
{
    for (int i = 0; i < OBJECTS; i++)
        if (m.objects[i].kind == kind && m.objects[i].serial > serial) forget(&m.objects[i]);
}

static void checkpoint_take(void)
{
    if (m.mark_count == MARKS) return;
    m.marks[m.mark_count++] = (struct mark){.checkpoint = fa_checkpoint_take(m.w), .serial = m.serial};
}

/// To the youngest checkpoint, or one of those before that no scope was begun after.
static void checkpoint_rollback(void)
{
    uint32_t back = take() % MARKS;
    if (m.mark_count == 0 || m.marks[m.mark_count - 1].is_scope) return;
    uint32_t at = m.mark_count - 1;
    while (back-- > 0 && at > 0 && !m.marks[at - 1].is_scope) at--;
    const struct mark *mark = &m.marks[at];
    for (int i = 0; i < OBJECTS; i++) check_object(&m.objects[i]);
    fa_status status = fa_checkpoint_rollback(m.w, mark->checkpoint);
    // Without memory to tell them apart, more checkpoints than those that were rolled back past may count as stale.
    FUZZ_CHECK(status == FA_OK || (m.limited && status == FA_ERROR_STALE));
    if (status != FA_OK) {
        m.mark_count = at;
        return;
    }
    for (int i = 0; i < OBJECTS && !m.planted; i++) {
        enum kind kind = m.objects[i].kind;
        bool rolls_back = kind == FRAME || kind == RETAINED || kind == SCOPE;
        if (rolls_back && m.objects[i].serial > mark->serial) forget_gone(&m.objects[i]);
    }
    // What was taken later is refused from now on, and changes nothing.
    if (at + 1 < m.mark_count)
        FUZZ_CHECK(fa_checkpoint_rollback(m.w, m.marks[m.mark_count - 1].checkpoint) == FA_ERROR_STALE);
    m.mark_count = at + (take() & 1); // it may be rolled back to again
}

static void scope_begin(void)
{
    if (m.mark_count == MARKS) return;
    m.marks[m.mark_count++] = (struct mark){.is_scope = true, .scope = fa_scope_begin(m.w), .serial = m.serial};
}

static void scope_end(void)
{
    uint32_t at = m.mark_count;
    while (at > 0 && !m.marks[at - 1].is_scope) at--;
    if (at == 0) return;
    end_younger(SCOPE, m.marks[at - 1].serial);
    fa_scope_end(&m.marks[at - 1].scope);
    m.mark_count = at - 1;
}

/// Ends all scopes, youngest first; checkpoints are forgotten, or tried if they are stale by now.
static void leave_marks(bool stale)
{
    while (m.mark_count > 0) {
        struct mark *mark = &m.marks[m.mark_count - 1];
        if (mark->is_scope) {
            scope_end();
            continue;
        }
        if (stale) FUZZ_CHECK(fa_checkpoint_rollback(m.w, mark->checkpoint) == FA_ERROR_STALE);
        m.mark_count--;
    }
}

static void alloc_retained(void)
{
    size_t size = take_size(), align = take_align(4096);
    uint8_t how = take();
    if (!m.in_frame || !has_room(size)) return;
    fa_retain retain = {.to = (fa_retain_to)(how % 3), .key = how >> 5, .type = "fuzzed"};
    uint8_t cell = how >> 2 & 7;
    if (cell < NAMED && retain.to != FA_RETAIN_DISCARD) retain.cell = &m.cells[cell];
    retain.user = m.serial + 1;
    void *p = fa_frame_retained(m.w, size, align, &retain);
    for (size_t i = 0; p != NULL && i < size; i++) FUZZ_CHECK(((unsigned char *)p)[i] == 0);
    struct object *object = keep(RETAINED, p, size, align);
    if (object == NULL) return;
    object->retain = retain;
    object->owner = cell;
}

static uint32_t count_of(enum kind kind)
{
    uint32_t count = 0;
    for (int i = 0; i < OBJECTS; i++) count += m.objects[i].kind == kind;
    return count;
}

static void retained_abandon(void)
{
    if (!m.in_frame || take() % 4 != 0) return;
    FUZZ_CHECK(fa_retained_count(m.w) == count_of(RETAINED));
    FUZZ_CHECK(fa_retained_abandon(m.w) == count_of(RETAINED));
    for (int i = 0; i < OBJECTS; i++)
        if (m.objects[i].kind == RETAINED) m.objects[i].kind = FRAME;
}

static struct object *find_retained(uint64_t user)
{
    for (int i = 0; i < OBJECTS; i++)
        if (m.objects[i].kind == RETAINED && m.objects[i].serial == user) return &m.objects[i];
    return NULL;
}

static void leave_cell(uint8_t cell)
{
    for (int i = 0; i < OBJECTS; i++)
        if (m.objects[i].kind == IN_CELL && m.objects[i].owner == cell) forget(&m.objects[i]);
}

/// One line of the result of a frame's end.
static void take_promotion(const fa_promotion *item)
{
    struct object *object = find_retained(item->user);
    FUZZ_CHECK(object != NULL && item->size == object->size && item->from == object->at);
    FUZZ_CHECK(item->destination == object->retain.to && item->cell == object->retain.cell);
    if (item->status != FA_PROMOTED) {
        FUZZ_CHECK(m.limited || item->status == FA_PROMOTION_DROPPED);
        FUZZ_CHECK(item->status != FA_PROMOTION_DROPPED || object->retain.to == FA_RETAIN_DISCARD);
        forget_gone(object);
        return;
    }
    FUZZ_CHECK(item->to != NULL && object->retain.to != FA_RETAIN_DISCARD);
    object->at = item->to;
    object->kind = object->retain.to == FA_RETAIN_POOL ? POOL : HEAP;
    if (object->retain.cell != NULL) {
        // Of several versions that one frame gives a cell, those that were replaced may be read until the next quiescent state.
        leave_cell(object->owner);
        object->kind = IN_CELL;
    }
}

/// There was no memory for the list: what has a cell may be there, which is then no longer the model's.
static void take_unlisted(void)
{
    for (int i = 0; i < OBJECTS; i++) {
        struct object *object = &m.objects[i];
        bool replaced = object->kind == IN_CELL && fa_cell_read(m.w, &m.cells[object->owner]) != object->at;
        if (object->kind == RETAINED || replaced) forget_gone(object);
    }
}

static void check_stats(void)
{
    fa_stats stats;
    FUZZ_CHECK(fa_stats_read(m.fa, &stats) == FA_OK);
    uint32_t handles = 0, streams = 0, groups = 0, scratches = 0;
    uint64_t group_objects = 0;
    for (int i = 0; i < HANDLES; i++) handles += !fa_handle_is_none(m.handles[i].handle);
    for (int i = 0; i < STREAMS; i++) streams += m.streams[i].state != FA_STREAM_NONE;
    for (int i = 0; i < NAMED; i++) {
        groups += m.groups[i].id != 0;
        scratches += m.scratches[i].id != 0;
        group_objects += m.group_objects[i];
    }
    FUZZ_CHECK(stats.handle_live == handles);
    FUZZ_CHECK(stats.streams == streams);
    FUZZ_CHECK(stats.groups == groups && stats.scratch_pools == scratches);
    FUZZ_CHECK(stats.group_objects == group_objects);
    FUZZ_CHECK(stats.retired == stats.reclaimed + stats.backlog);
    // What is retired lives until it is reclaimed, and may be an old copy of an object behind a handle, which is counted apart.
    uint64_t held = count_of(POOL) + count_of(HEAP) + count_of(IN_CELL), live = stats.pool_live + stats.heap_live;
    uint64_t unknown = m.limited ? NAMED : 0; // see take_unlisted()
    FUZZ_CHECK(live >= held && live <= held + stats.backlog + unknown);
    FUZZ_CHECK(stats.frames_alive == 0 && stats.jobs_inline == 0);
}

static void frame_begin(void)
{
    if (m.mark_count > 0 && take() % 4 != 0) return; // marks from outside frames are tried in one seldom
    FUZZ_CHECK(fa_frame_begin(m.fa) == (m.in_frame ? FA_ERROR_STATE : FA_OK));
    if (m.in_frame) return;
    m.in_frame = true;
    leave_marks(true); // what was taken outside the frame is not of this one
}

static void frame_end(void)
{
    if (!m.in_frame) {
        FUZZ_CHECK(fa_frame_end(m.fa, NULL) == FA_ERROR_STATE);
        return;
    }
    leave_marks(false);
    check_all();
    uint32_t retained = count_of(RETAINED);
    FUZZ_CHECK(fa_retained_count(m.w) == retained);
    fa_frame_result result;
    FUZZ_CHECK(fa_frame_end(m.fa, &result) == FA_OK);
    m.in_frame = false;
    FUZZ_CHECK(result.retired == 1 && (result.count == retained || (m.limited && result.count == 0)));
    for (int i = 0; i < OBJECTS; i++) {
        struct object *object = &m.objects[i];
        if (object->kind == FRAME || object->kind == SCOPE) forget_gone(object);
    }
    uint64_t before = 0;
    for (uint32_t i = 0; i < result.count; i++) {
        const struct object *object = find_retained(result.items[i].user);
        FUZZ_CHECK(object != NULL);
        uint64_t rank = object->retain.key << 32 | object->serial;
        FUZZ_CHECK(rank > before);
        before = rank;
        take_promotion(&result.items[i]);
    }
    if (result.count != retained) take_unlisted();
    FUZZ_CHECK(count_of(RETAINED) == 0);
    check_all();
    check_stats();
}

// --- Pool, heap and cells ---------------------------------------------------------------------------------------------

static void alloc_pool(void)
{
    size_t size = take_size(), align = take_align(4096);
    if (!has_room(size)) return;
    const struct object *object = keep(POOL, fa_pool_alloc_aligned(m.w, size, align), size, align);
    FUZZ_CHECK(object == NULL || fa_usable_size(m.fa, object->at) >= size);
}

static void alloc_heap(void)
{
    size_t size = take_size(), align = take_align(65536);
    if (!has_room(size)) return;
    const struct object *object = keep(HEAP, fa_heap_alloc(m.w, size, align), size, align);
    FUZZ_CHECK(object == NULL || fa_usable_size(m.fa, object->at) >= size);
}

static void alloc_batch(void)
{
    size_t count = take() % 16, size = 1 + take() % 128;
    void *out[16];
    if (!fa_pool_alloc_batch(m.w, count, size, 16, out)) {
        FUZZ_CHECK(m.limited);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        if (free_place() != NULL) {
            (void)keep(POOL, out[i], size, 16);
        } else {
            fa_pool_free_batch(m.w, count - i, out + i);
            break;
        }
    }
}

static void give_back(struct object *object, bool any)
{
    void (*give)(fa_worker *, void *) = object->kind == POOL ? fa_pool_free : fa_heap_free;
    forget(object);
    if (any)
        fa_free_any(m.fa, object->at);
    else
        give(m.w, object->at);
}

static void free_object(void)
{
    struct object *object = pick(POOL, HEAP);
    if (object != NULL) give_back(object, take() % 4 == 0);
}

static void realloc_object(void)
{
    struct object *object = pick(POOL, HEAP);
    size_t size = take_size();
    if (object == NULL || !has_room(size)) return;
    check_object(object);
    fa_allocator table = object->kind == POOL ? fa_allocator_pool(m.w) : fa_allocator_heap(m.w);
    unsigned char *moved = fa_realloc_with(&table, object->at, object->size, size, 16);
    if (moved == NULL) {
        FUZZ_CHECK(m.limited);
        return;
    }
    FUZZ_CHECK(holds(moved, size < object->size ? size : object->size, object->serial));
    m.live_bytes += size - object->size;
    object->at = moved;
    object->size = size;
    fill(moved, size, object->serial);
}

static void publish(void)
{
    struct object *object = pick(POOL, HEAP);
    uint8_t cell = take() % NAMED;
    if (object == NULL) return;
    fa_status status = fa_cell_publish(m.w, &m.cells[cell], object->at);
    FUZZ_CHECK(status == FA_OK || (m.limited && status == FA_ERROR_MEMORY));
    if (status != FA_OK) return;
    leave_cell(cell);
    object->kind = IN_CELL;
    object->owner = cell;
    FUZZ_CHECK(fa_cell_read(m.w, &m.cells[cell]) == object->at);
}

static void drop(void)
{
    uint8_t cell = take() % NAMED;
    fa_status status = fa_cell_drop(m.w, &m.cells[cell]);
    FUZZ_CHECK(status == FA_OK || (m.limited && status == FA_ERROR_MEMORY));
    if (status == FA_OK) leave_cell(cell);
}

static void retire(void)
{
    struct object *object = pick(POOL, HEAP);
    if (object == NULL) return;
    fa_status status = fa_retire(m.w, object->at);
    FUZZ_CHECK(status == FA_OK || (m.limited && status == FA_ERROR_MEMORY));
    if (status == FA_OK) forget(object); // what it holds may be read until the frame's end
}

// --- Groups and scratch pools -----------------------------------------------------------------------------------------

static void cleanup(fa_worker *w, void *object, void *context)
{
    FUZZ_CHECK(w == m.w && object != NULL && context == &m);
    m.cleaned++;
}

static void group_create(void)
{
    uint8_t at = take() % NAMED;
    if (m.groups[at].id != 0) return;
    fa_status status = fa_group_create(m.w, "fuzzed", &m.groups[at]);
    FUZZ_CHECK(status == FA_OK || (m.limited && status == FA_ERROR_MEMORY && m.groups[at].id == 0));
}

static void group_alloc(void)
{
    uint8_t at = take() % NAMED;
    size_t size = take_size(), align = take_align(65536);
    if (m.groups[at].id == 0 || !has_room(size)) return;
    bool cleaned = take() & 1;
    void *p = cleaned ? fa_group_alloc_cleaned(m.w, m.groups[at], size, align, cleanup, &m)
                      : fa_group_alloc(m.w, m.groups[at], size, align);
    struct object *object = keep(IN_GROUP, p, size, align);
    if (object == NULL) return;
    object->owner = at;
    m.group_objects[at]++;
    m.cleanups[at] += cleaned;
}

static void end_owned(enum kind kind, uint8_t owner)
{
    for (int i = 0; i < OBJECTS; i++)
        if (m.objects[i].kind == kind && m.objects[i].owner == owner) forget(&m.objects[i]);
}

static void end_group(uint8_t at)
{
    if (m.groups[at].id == 0) return;
    fa_group_info info;
    FUZZ_CHECK(fa_group_read(m.w, m.groups[at], &info) == FA_OK && info.objects == m.group_objects[at]);
    end_owned(IN_GROUP, at);
    m.cleaned = 0;
    FUZZ_CHECK(fa_group_free(m.w, m.groups[at]) == FA_OK && m.cleaned == m.cleanups[at]);
    m.group_objects[at] = m.cleanups[at] = 0;
    if (m.checked) permit(201);
    FUZZ_CHECK(fa_group_alloc(m.w, m.groups[at], 8, 8) == NULL && !fa_group_exists(m.w, m.groups[at]));
    FUZZ_CHECK(fa_group_free(m.w, m.groups[at]) == FA_ERROR_STALE);
    m.groups[at] = (fa_group){0};
}

static void group_free(void)
{
    end_group(take() % NAMED);
}

static void scratch_create(void)
{
    static const char *const names[NAMED] = {"one", "two", "three", "four"};
    uint8_t at = take() % NAMED;
    uint64_t capacity = 16 + (uint64_t)take() * 64;
    if (m.scratches[at].id != 0) return;
    fa_status status = fa_scratch_create(m.w, names[at], capacity, &m.scratches[at]);
    FUZZ_CHECK(status == FA_OK || (m.limited && status == FA_ERROR_MEMORY && m.scratches[at].id == 0));
}

static void scratch_alloc(void)
{
    uint8_t at = take() % NAMED;
    size_t size = 1 + take() * (size_t)(take() % 16);
    if (m.scratches[at].id == 0 || !has_room(size)) return;
    fa_scratch_info info;
    FUZZ_CHECK(fa_scratch_read(m.w, m.scratches[at], &info) == FA_OK && info.objects == m.scratch_objects[at]);
    bool fits = (size + 15) / 16 * 16 <= info.remaining;
    permit(3);
    void *p = fa_scratch_alloc(m.w, m.scratches[at], size, 16);
    FUZZ_CHECK((p != NULL) == fits || (m.limited && p == NULL));
    if (p == NULL) return;
    keep(IN_SCRATCH, p, size, 16)->owner = at;
    m.scratch_objects[at]++;
}

static void scratch_reset(void)
{
    uint8_t at = take() % NAMED;
    bool remove = take() & 1;
    if (m.scratches[at].id == 0) return;
    fa_status status = remove ? fa_scratch_remove(m.w, m.scratches[at]) : fa_scratch_reset(m.w, m.scratches[at]);
    FUZZ_CHECK(status == FA_OK || (m.limited && status == FA_ERROR_MEMORY));
    if (status != FA_OK) return;
    for (int i = 0; i < OBJECTS; i++) { // their memory is gone: not to be looked at
        if (m.objects[i].kind == IN_SCRATCH && m.objects[i].owner == at) forget_gone(&m.objects[i]);
    }
    m.scratch_objects[at] = 0;
    if (remove) m.scratches[at] = (fa_scratch){0};
}

// --- Handles ----------------------------------------------------------------------------------------------------------

static struct handled *pick_handle(void)
{
    return &m.handles[take() % HANDLES];
}

static void handle_alloc(void)
{
    struct handled *handled = pick_handle();
    size_t size = take_size(), align = take_align(4096);
    bool fixed = take() % 4 == 0;
    if (!fa_handle_is_none(handled->handle) || m.live_bytes + size > LIVE_MAX) return;
    fa_handle_options options = {.fixed = fixed};
    fa_handle handle = fa_handle_alloc(m.w, size, align, &options);
    FUZZ_CHECK(m.limited || !fa_handle_is_none(handle));
    if (fa_handle_is_none(handle)) return;
    *handled = (struct handled){.handle = handle, .size = size, .serial = ++m.serial, .fixed = fixed};
    m.live_bytes += size;
    void *at = fa_handle_resolve(m.w, handle);
    FUZZ_CHECK(at != NULL && (uintptr_t)at % (align > 0 ? align : 1) == 0);
    fill(at, size, handled->serial);
}

static void handle_free(void)
{
    struct handled *handled = pick_handle();
    if (fa_handle_is_none(handled->handle)) {
        if (m.checked) permit(401);
        FUZZ_CHECK(fa_handle_resolve(m.w, m.stale) == NULL && fa_handle_free(m.w, m.stale) == FA_ERROR_STALE);
        return;
    }
    check_handle(handled);
    fa_status status = fa_handle_free(m.w, handled->handle);
    FUZZ_CHECK(status == (handled->pins > 0 ? FA_ERROR_BUSY : FA_OK) || (m.limited && status == FA_ERROR_MEMORY));
    if (status != FA_OK) return;
    m.stale = handled->handle;
    m.live_bytes -= handled->size;
    *handled = (struct handled){.size = 0};
}

static void handle_pin(void)
{
    struct handled *handled = pick_handle();
    if (fa_handle_is_none(handled->handle)) return;
    if (take() & 1) {
        const void *at = fa_handle_pin(m.w, handled->handle);
        FUZZ_CHECK(at != NULL && (handled->pins == 0 || at == handled->pinned));
        handled->pinned = at;
        handled->pins++;
    } else {
        if (handled->pins == 0) permit(401);
        FUZZ_CHECK(fa_handle_unpin(m.w, handled->handle) == (handled->pins > 0 ? FA_OK : FA_ERROR_STATE));
        if (handled->pins > 0) handled->pins--;
    }
}

static void handles_compact(void)
{
    uint32_t moves = take() < 128 ? UINT32_MAX : 1;
    fa_handle_compaction done;
    fa_status status = fa_handles_compact(m.fa, SIZE_MAX, moves, &done);
    if (m.in_frame) {
        FUZZ_CHECK(status == FA_ERROR_STATE);
        return;
    }
    FUZZ_CHECK(status == FA_OK || (m.limited && status == FA_ERROR_MEMORY));
    FUZZ_CHECK(done.moves <= moves);
    check_all();
}

// --- Streams ----------------------------------------------------------------------------------------------------------

static void evicted(fa_worker *w, const fa_stream_eviction *eviction)
{
    struct streamed *streamed = eviction->user;
    FUZZ_CHECK(w == m.w && streamed->stream.bits == eviction->stream.bits && streamed->state == FA_STREAM_READY);
    FUZZ_CHECK(streamed->priority < m.asking && streamed->pins == 0 && streamed->size == eviction->size);
    FUZZ_CHECK(holds(eviction->data, eviction->size, streamed->serial));
    streamed->state = FA_STREAM_NONE;
}

static bool can_be_evicted(const struct streamed *streamed, fa_stream_priority below)
{
    return streamed->state == FA_STREAM_READY && streamed->pins == 0 && streamed->priority < below;
}

static void stream_reserve(void)
{
    struct streamed *streamed = &m.streams[take() % STREAMS];
    size_t size = take_size();
    fa_stream_priority priority = (fa_stream_priority)(take() % 4);
    if (streamed->state != FA_STREAM_NONE) return;
    size_t kept = 0;
    for (int i = 0; i < STREAMS; i++)
        if (m.streams[i].state != FA_STREAM_NONE && !can_be_evicted(&m.streams[i], priority)) kept += m.streams[i].size;
    bool fits = kept + size <= STREAM_BUDGET;
    m.asking = priority;
    permit(402);
    fa_stream_options options = {.name = "fuzzed", .user = streamed, .evict = evicted};
    fa_stream stream;
    fa_status status = fa_stream_reserve(m.w, size, priority, &options, &stream);
    FUZZ_CHECK(status == (fits ? FA_OK : FA_ERROR_FULL));
    if (!fits) return;
    *streamed = (struct streamed){stream, FA_STREAM_RESERVED, priority, size, ++m.serial, 0};
}

/// In two steps, or aborted after the first.
static void stream_load(void)
{
    struct streamed *streamed = &m.streams[take() % STREAMS];
    uint8_t how = take() % 4;
    if (streamed->state != FA_STREAM_RESERVED && streamed->state != FA_STREAM_LOADING) return;
    void *memory;
    fa_status status = fa_stream_load_begin(m.w, streamed->stream, &memory);
    FUZZ_CHECK(status == FA_OK || (m.limited && status == FA_ERROR_MEMORY));
    if (status != FA_OK) return;
    fill(memory, streamed->size, streamed->serial);
    streamed->state = FA_STREAM_LOADING;
    FUZZ_CHECK(fa_stream_progress(m.w, streamed->stream, streamed->size / 2) == FA_OK);
    if (how == 0) return;
    FUZZ_CHECK((how == 1 ? fa_stream_load_abort : fa_stream_load_end)(m.w, streamed->stream) == FA_OK);
    streamed->state = how == 1 ? FA_STREAM_RESERVED : FA_STREAM_READY;
}

static void stream_pin(void)
{
    struct streamed *streamed = &m.streams[take() % STREAMS];
    uint8_t how = take() % 4;
    if (streamed->state != FA_STREAM_READY) return;
    if (how == 0) {
        const void *data;
        FUZZ_CHECK(fa_stream_pin(m.w, streamed->stream, &data, NULL) == FA_OK);
        streamed->pins++;
    } else if (how == 1) {
        FUZZ_CHECK(fa_stream_unpin(m.w, streamed->stream) == (streamed->pins > 0 ? FA_OK : FA_ERROR_STATE));
        if (streamed->pins > 0) streamed->pins--;
    } else if (how == 2) {
        FUZZ_CHECK(fa_stream_touch(m.w, streamed->stream) == FA_OK);
    } else {
        streamed->priority = (fa_stream_priority)(take() % 4);
        FUZZ_CHECK(fa_stream_set_priority(m.w, streamed->stream, streamed->priority) == FA_OK);
    }
}

static void stream_free(void)
{
    struct streamed *streamed = &m.streams[take() % STREAMS];
    if (streamed->state == FA_STREAM_NONE || streamed->pins > 0) return;
    check_stream(streamed);
    FUZZ_CHECK(fa_stream_free(m.w, streamed->stream) == FA_OK);
    if (m.checked) permit(401);
    FUZZ_CHECK(fa_stream_free(m.w, streamed->stream) == FA_ERROR_STALE);
    streamed->state = FA_STREAM_NONE;
}

// --- Bad input --------------------------------------------------------------------------------------------------------

static void refuse_sizes(void)
{
    FUZZ_CHECK(fa_frame_alloc(m.w, 0) == NULL && fa_handle_is_none(fa_handle_alloc(m.w, 0, 16, NULL)));
    FUZZ_CHECK(fa_pool_alloc(m.w, 0) == NULL && fa_heap_alloc(m.w, 0, 16) == NULL && fa_scope_alloc(m.w, 0) == NULL);
    permit(914);
    FUZZ_CHECK(fa_pool_alloc_array(m.w, SIZE_MAX / 2, 3, 16) == NULL);
    permit(301);
    permit(3);
    FUZZ_CHECK(fa_heap_alloc(m.w, SIZE_MAX - take(), 16) == NULL && fa_scope_alloc(m.w, SIZE_MAX - take()) == NULL);
}

static void refuse_alignments(void)
{
    permit(903);
    if (!m.in_frame) permit(1);
    size_t align = 3 + (size_t)take() * 2;
    FUZZ_CHECK(fa_heap_alloc(m.w, 8, align) == NULL && fa_pool_alloc_aligned(m.w, 8, align) == NULL);
    FUZZ_CHECK(fa_frame_alloc_aligned(m.w, 8, align) == NULL && fa_scope_alloc_aligned(m.w, 8, align) == NULL);
    FUZZ_CHECK(fa_handle_is_none(fa_handle_alloc(m.w, 8, align, NULL)));
}

// --- The run ----------------------------------------------------------------------------------------------------------

static void (*const operations[])(void) = {
    alloc_frame, alloc_scope,    checkpoint_take,  checkpoint_rollback, scope_begin,
    scope_end,   alloc_retained, retained_abandon, frame_begin,         frame_end,
    alloc_pool,  alloc_heap,     alloc_batch,      free_object,         realloc_object,
    publish,     drop,           retire,           group_create,        group_alloc,
    group_free,  scratch_create, scratch_alloc,    scratch_reset,       handle_alloc,
    handle_free, handle_pin,     handles_compact,  stream_reserve,      stream_load,
    stream_pin,  stream_free,    refuse_sizes,     refuse_alignments,
};

static void begin(const uint8_t *data, size_t size)
{
    if (pattern[0] == pattern[1]) make_pattern();
    memset(&m, 0, sizeof m);
    m.input = (struct fuzz_bytes){data, size};
    const char *planted = getenv("FUZZ_PLANTED");
    m.planted = planted != NULL && *planted == '1';
    uint8_t flags = take();
    m.checked = flags & 1;
    m.limited = flags & 2;
    fa_config config = fa_config_minimal();
    config.checked = m.checked;
    config.attached_max = 0;
    config.reserve_bytes = 128 * MIB;
    config.handles_max = 256;
    config.event_capacity = 64;
    config.frame_bytes_max = 0;
    config.memory_max = m.limited ? 4 * MIB + (flags >> 6) * 2 * MIB : 0;
    config.stream_bytes_max = STREAM_BUDGET;
    config.quarantine = m.checked && (flags & 4) ? 64 : 0;
    config.frames_in_flight = flags & 8 ? 2 : 1;
    config.report = take_diagnostic;
    FUZZ_CHECK(fa_create(&config, &m.fa) == FA_OK);
    m.w = fa_self(m.fa);
}

/// Everything is given back: fa_destroy() would report what is left (FA910).
static void end(void)
{
    m.permitted_count = 0;
    if (m.in_frame) frame_end();
    leave_marks(false);
    for (int i = 0; i < OBJECTS; i++) {
        struct object *object = &m.objects[i];
        check_object(object);
        if (object->kind == POOL || object->kind == HEAP) give_back(object, false);
        if (object->kind == IN_CELL) object->kind = NOTHING;
    }
    for (uint8_t i = 0; i < NAMED; i++) {
        FUZZ_CHECK(fa_cell_drop(m.w, &m.cells[i]) == FA_OK || m.limited);
        m.permitted_count = 0;
        end_group(i);
    }
    for (int i = 0; i < HANDLES; i++) {
        struct handled *handled = &m.handles[i];
        for (; handled->pins > 0; handled->pins--) FUZZ_CHECK(fa_handle_unpin(m.w, handled->handle) == FA_OK);
        if (fa_handle_is_none(handled->handle)) continue;
        fa_status status = fa_handle_free(m.w, handled->handle);
        FUZZ_CHECK(status == FA_OK || (m.limited && status == FA_ERROR_MEMORY));
    }
    for (int i = 0; i < STREAMS; i++) {
        struct streamed *streamed = &m.streams[i];
        for (; streamed->pins > 0; streamed->pins--) FUZZ_CHECK(fa_stream_unpin(m.w, streamed->stream) == FA_OK);
        if (streamed->state != FA_STREAM_NONE) FUZZ_CHECK(fa_stream_free(m.w, streamed->stream) == FA_OK);
    }
    m.permitted_count = 0;
    if (m.limited) permit(910); // a cell or a handle could not be given back without memory
    FUZZ_CHECK(fa_destroy(m.fa) == FA_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    begin(data, size);
    for (uint32_t step = 0; step < STEPS && m.input.left > 0; step++) {
        m.permitted_count = 0;
        operations[take() % (sizeof operations / sizeof *operations)]();
        m.permitted_count = 0;
        check_object(&m.objects[step % OBJECTS]);
        check_handle(&m.handles[step % HANDLES]);
        check_stream(&m.streams[step % STREAMS]);
    }
    end();
    return 0;
}
