// SPDX-License-Identifier: MIT
//
// The model itself: diagnostics, what objects hold, and which there are.
#include "api.h"

struct model api;

static bool is_permitted(uint32_t code)
{
    for (uint32_t i = 0; i < api.permitted_count; i++)
        if (api.permitted[i] == code) return true;
    return false;
}

/// For the rest of the operation.
void permit(uint32_t code)
{
    if (is_permitted(code)) return; // a frame's end runs many jobs
    FUZZ_CHECK(api.permitted_count < sizeof api.permitted / sizeof *api.permitted);
    api.permitted[api.permitted_count++] = code;
}

void take_diagnostic(const fa_diagnostic *diagnostic, void *context)
{
    (void)context;
    uint32_t code = (uint32_t)strtoul(diagnostic->code + 2, NULL, 10);
    if (api.limited && (code == 3 || (code >= 301 && code <= 305) || code == 904 || code == 912)) return;
    if (is_permitted(code)) return;
    fprintf(stderr, "%s: %s\n", diagnostic->code, diagnostic->message);
    fuzz_failed("a diagnostic that the operation permits", __FILE__, __LINE__);
}

// Each object holds a part of it, from a place of its own: copied and compared in one piece, because every comparison that is written out
// is traced by the fuzzer.
enum { STARTS = 65521 };
static unsigned char pattern[STARTS + 256 * 4096];

void make_pattern(void)
{
    if (pattern[0] != pattern[1]) return; // it is there already
    uint64_t state = 0;
    for (size_t i = 0; i < sizeof pattern; i++) {
        state = state * UINT64_C(6364136223846793005) + 1442695040888963407;
        pattern[i] = (unsigned char)(state >> 56);
    }
}

const unsigned char *pattern_of(uint32_t serial)
{
    return &pattern[(uint64_t)serial * 7919 % STARTS];
}

void fill(void *p, size_t size, uint32_t serial)
{
    memcpy(p, pattern_of(serial), size);
}

bool holds(const void *p, size_t size, uint32_t serial)
{
    return memcmp(p, pattern_of(serial), size) == 0;
}

void check_object(const struct object *object)
{
    if (object->kind == NOTHING || object->kind == IN_TRANSIT) return;
    if (object->kind == RETAINED && object->frame < api.oldest) return;   // promoted, but not listed yet
    if (object->kind == IN_CELL && api.early_before > api.listed) return; // may have been replaced by those
    FUZZ_CHECK(holds(object->at, object->size, object->serial));
}

void check_handle(const struct handled *handled)
{
    if (fa_handle_is_none(handled->handle)) return;
    const void *at = fa_handle_resolve(api.w, handled->handle);
    FUZZ_CHECK(at != NULL && holds(at, handled->size, handled->serial));
    FUZZ_CHECK(handled->pins == 0 || at == handled->pinned);
}

void check_stream(const struct streamed *streamed)
{
    FUZZ_CHECK(streamed->state == fa_stream_state_of(api.fa, streamed->stream));
    if (streamed->state != FA_STREAM_READY) return;
    size_t size = 0;
    const void *at = fa_stream_read(api.w, streamed->stream, &size);
    FUZZ_CHECK(at != NULL && size == streamed->size && holds(at, size, streamed->serial));
}

void check_all(void)
{
    for (int i = 0; i < OBJECTS; i++) check_object(&api.objects[i]);
    for (int i = 0; i < HANDLES; i++) check_handle(&api.handles[i]);
    for (int i = 0; i < STREAMS; i++) check_stream(&api.streams[i]);
}

uint8_t take(void)
{
    return fuzz_u8(&api.input);
}

size_t take_size(void)
{
    size_t low = take(), scale = take() % 16;
    size_t size = scale < 10 ? 1 + low : scale < 13 ? 1 + low * 16 : scale < 15 ? 1 + low * 256 : 1 + low * 4096;
    return size;
}

size_t take_align(size_t most)
{
    size_t align = (size_t)1 << take() % 14;
    return align <= most ? align : 0;
}

struct object *free_place(void)
{
    for (int i = 0; i < OBJECTS; i++)
        if (api.objects[i].kind == NOTHING) return &api.objects[i];
    return NULL;
}

struct object *pick(enum kind one, enum kind other)
{
    uint32_t first = take();
    for (uint32_t i = 0; i < OBJECTS; i++) {
        struct object *object = &api.objects[(first + i) % OBJECTS];
        if (object->kind == one || object->kind == other) return object;
    }
    return NULL;
}

/// One whose memory may not be looked at any more.
void forget_gone(struct object *object)
{
    api.live_bytes -= object->size;
    object->kind = NOTHING;
}

void forget(struct object *object)
{
    check_object(object);
    forget_gone(object);
}

/// What an allocation answered: NULL is an answer only in a system with limits.
struct object *admit(enum kind kind, void *p, size_t size, size_t align)
{
    if (p == NULL) {
        FUZZ_CHECK(api.limited);
        return NULL;
    }
    FUZZ_CHECK((uintptr_t)p % (align > 16 ? align : 16) == 0);
    struct object *object = free_place();
    *object = (struct object){.kind = kind, .at = p, .size = size, .serial = ++api.serial};
    api.live_bytes += size;
    fill(p, size, object->serial);
    return object;
}

bool has_room(size_t size)
{
    return free_place() != NULL && api.live_bytes + api.leaving_bytes + size <= LIVE_MAX;
}

uint32_t count_of(enum kind kind)
{
    uint32_t count = 0;
    for (int i = 0; i < OBJECTS; i++) count += api.objects[i].kind == kind;
    return count;
}
