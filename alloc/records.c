// SPDX-License-Identifier: MIT
//
// Records of objects in checked systems: see records.h.
#include "alloc/records.h"

#include "alloc/lane.h"
#include "concurrent/annotate.h"
#include "concurrent/check.h"

#include <execinfo.h>
#include <string.h>

#define ALLOCATED_BYTE 0xcd
#define FREED_BYTE 0xdd
#define CANARY_BYTE 0xfd

// An overflow begins where the object ends: more than this is not watched behind large objects.
#define CANARY_MAX 256u
// A free on its way home may link the object through its first word (fa_free_any).
#define LINK_BYTES sizeof(void *)

#define STATE_MASK UINT64_C(0xffff)
#define STATE_POOL_SPAN UINT64_C(0x8001)
#define STATE_HEAP_SPAN UINT64_C(0x8002)
#define STATE_FREED UINT64_C(0xfffe)
#define SITE_SHIFT 16
#define FRAME_SHIFT 32

// What fa_check() looks at where there is no record.
#define FILL_LOOKED_AT 16u

// Slots of the site table that are tried before a site counts as unknown.
#define PROBES 32u
// Frames of this file and its callers that may lie between backtrace() and the caller.
#define FRAMES_ABOVE 8

_Static_assert(FA_CLASS_SIZE_MAX < STATE_POOL_SPAN, "a size asked for is no other state");

static bool is_live_state(uint64_t record)
{
    uint64_t state = record & STATE_MASK;
    return state >= 1 && state <= STATE_HEAP_SPAN;
}

// Sites ---------------------------------------------------------------------------------------------------------------

bool fai_sites_init(fai_sites *sites, const fa_config *config)
{
    memset(sites, 0, sizeof *sites);
    if (!config->checked || config->backtrace_sites == 0) return true;
    void *p = fai_map(config->backtrace_sites * sizeof(fai_site));
    if (p == NULL) return false;
    sites->all = p;
    sites->capacity = config->backtrace_sites;
    sites->depth = config->backtraces;
    void *first[1];
    if (sites->depth > 0) (void)backtrace(first, 1); // loads what it needs now, and not in a tick
    return true;
}

void fai_sites_exit(fai_sites *sites)
{
    fai_unmap(sites->all, sites->capacity * sizeof(fai_site));
}

/// The frames from `caller` outwards; at least the caller itself.
static uint32_t walk(const fai_sites *sites, const void *caller, const void *frames[FA_BACKTRACE_MAX])
{
    void *found[FA_BACKTRACE_MAX + FRAMES_ABOVE];
    frames[0] = caller;
    if (sites->depth <= 1) return 1;
    int count = backtrace(found, FA_BACKTRACE_MAX + FRAMES_ABOVE), from = 0;
    while (from < count && found[from] != caller) from++;
    uint32_t depth = 1;
    for (int i = from + 1; i < count && depth < sites->depth; i++) frames[depth++] = found[i];
    return depth;
}

static uint64_t hash_frames(const void *const *frames, uint32_t depth)
{
    uint64_t hash = depth;
    for (uint32_t i = 0; i < depth; i++) {
        hash = (hash ^ (uint64_t)(uintptr_t)frames[i]) * UINT64_C(0x9e3779b97f4a7c15);
        hash ^= hash >> 29;
    }
    return hash | 1;
}

/// How many frames of the site may be read; 0 while another lane writes them.
static uint32_t site_depth(const fai_site *site)
{
    // [site.frames] acquire: the frames.
    return fai_load_acquire(&site->depth);
}

/// The site's number, 0 when the table has no room for it. Two sites of one hash would count as one: with 65535 sites about once in 10^9 programs.
static uint32_t site_of(fai_sites *sites, const void *caller)
{
    if (sites->all == NULL) return 0;
    const void *frames[FA_BACKTRACE_MAX];
    uint32_t depth = walk(sites, caller, frames);
    uint64_t key = hash_frames(frames, depth);
    for (uint32_t i = 0; i < PROBES && i < sites->capacity; i++) {
        uint32_t slot = (uint32_t)((key >> 16) + i) % sites->capacity;
        fai_site *site = &sites->all[slot];
        uint64_t found = fai_load_relaxed(&site->key);
        if (found == 0 && fai_cas_relaxed(&site->key, &found, key)) {
            memcpy(site->frames, frames, depth * sizeof frames[0]);
            // [site.frames] release: whoever reads the depth sees the frames.
            fai_store_release(&site->depth, depth);
            return slot + 1;
        }
        if (found == key) return slot + 1;
    }
    return 0;
}

// Records -------------------------------------------------------------------------------------------------------------

static FAI_ATOMIC(uint64_t) *records_of(const fai_blocks *blocks, uint32_t unit)
{
    return blocks->records + (size_t)unit * FAI_UNIT_RECORDS;
}

/// The record of an object, whose start or inside p is.
static FAI_ATOMIC(uint64_t) *record_of(const fai_blocks *blocks, const void *p)
{
    const fai_slab *slab = fai_slab_of(blocks, p);
    FAI_ATOMIC(uint64_t) *records = records_of(blocks, slab->head);
    if (!fai_kind_is_slab(slab->kind)) return records;
    size_t offset = (size_t)((const unsigned char *)p - fai_unit_start(blocks, slab->head));
    FA_ASSERT(offset / slab->object_size < FAI_UNIT_RECORDS);
    return records + offset / slab->object_size;
}

static size_t asked_for(const FAI_ATOMIC(uint64_t) *record)
{
    uint64_t state = fai_load_relaxed(record) & STATE_MASK;
    return state <= FA_CLASS_SIZE_MAX ? (size_t)state : (size_t)fai_load_relaxed(record + 1);
}

static bool has_records(const fai_memory *memory)
{
    return memory->blocks.records != NULL;
}

static void write_record(fai_lane *lane, const void *p, size_t size, fai_kind account, uint32_t site)
{
    FAI_ATOMIC(uint64_t) *record = record_of(&lane->memory->blocks, p);
    uint64_t state = size;
    if (fai_slab_of(&lane->memory->blocks, p)->kind == FAI_KIND_SPAN) {
        state = account == FAI_KIND_POOL ? STATE_POOL_SPAN : STATE_HEAP_SPAN;
        fai_store_relaxed(record + 1, (uint64_t)size);
    }
    FA_ASSERT(is_live_state(state));
    uint64_t frame = fai_load_relaxed(&lane->memory->frame_number);
    fai_store_relaxed(record, frame << FRAME_SHIFT | (uint64_t)site << SITE_SHIFT | state);
}

/// Where the canary of an object lies: from the end of what was asked for.
static unsigned char *canary_of(void *p, size_t size, size_t room, size_t *length)
{
    size_t from = size > LINK_BYTES ? size : LINK_BYTES;
    *length = from < room ? room - from : 0;
    if (*length > CANARY_MAX) *length = CANARY_MAX;
    return (unsigned char *)p + from;
}

static size_t matching(const unsigned char *bytes, size_t size, unsigned char byte)
{
    if (size == 0) return 0;
    if (bytes[0] == byte && memcmp(bytes, bytes + 1, size - 1) == 0) return size; // each is as the one before
    size_t n = 0;
    while (n < size && bytes[n] == byte) n++;
    return n;
}

static void report_damage(const fai_lane *lane, const void *p, uint64_t record, const char *what, const char *help,
                          size_t offset)
{
    const fai_sites *sites = &lane->memory->sites;
    uint32_t site = record >> SITE_SHIFT & 0xffff;
    char place[96] = "an unknown site";
    if (site != 0 && site_depth(&sites->all[site - 1]) > 0)
        fai_site_print(sites->all[site - 1].frames[0], place, sizeof place);
    fai_report(lane->memory, lane, "FA201", "it shows only now; the write happened earlier", help,
               "object %p %s, at byte %zu; allocated in frame %llu at %s", p, what, offset,
               (unsigned long long)(record >> FRAME_SHIFT), place);
}

/// How many bytes of a freed object nobody wrote; whoever hears of it finds it filled again.
static size_t mend_freed(void *p, size_t room)
{
    fai_allow(p, room);
    size_t intact = matching(p, room, FREED_BYTE);
    if (intact < room) memset(p, FREED_BYTE, room);
    fai_forbid(p, room);
    return intact;
}

static void report_written(const fai_lane *lane, const void *p, uint64_t record, size_t offset)
{
    report_damage(lane, p, record, "was written after it was freed",
                  "look for a pointer that outlived the object; AddressSanitizer names the write itself", offset);
}

void fai_record_verify_freed(const fai_lane *lane, void *p, size_t room)
{
    size_t intact = mend_freed(p, room);
    if (intact < room) report_written(lane, p, fai_load_relaxed(record_of(&lane->memory->blocks, p)), intact);
}

void fai_records_verify_former(fai_slabs *slabs, const fai_slab *slab)
{
    const FAI_ATOMIC(uint64_t) *records = records_of(slabs->blocks, slab->head);
    for (uint32_t i = 0; i < slab->capacity; i++) {
        uint64_t record = fai_load_relaxed(&records[i]);
        if ((record & STATE_MASK) != STATE_FREED) continue;
        void *p = fai_unit_start(slabs->blocks, slab->head) + (size_t)i * slab->object_size;
        size_t intact = mend_freed(p, slab->object_size);
        if (intact == slab->object_size) continue;
        if (slabs->written_count < FAI_WRITTEN_KEPT)
            slabs->written[slabs->written_count] = (fai_written){p, record, intact};
        slabs->written_count++;
    }
}

void fai_records_report_written(fai_lane *lane)
{
    fai_written written[FAI_WRITTEN_KEPT]; // a sink may come upon more
    uint32_t count = lane->slabs.written_count, kept = count < FAI_WRITTEN_KEPT ? count : FAI_WRITTEN_KEPT;
    memcpy(written, lane->slabs.written, kept * sizeof written[0]);
    lane->slabs.written_count = 0;
    for (uint32_t i = 0; i < kept; i++) report_written(lane, written[i].object, written[i].record, written[i].offset);
    if (count > kept)
        fai_report(lane->memory, lane, "FA201", "their memory was taken for something else at once",
                   "look for a pointer that outlived its object; AddressSanitizer names the write itself",
                   "%u more objects were written after they were freed", count - kept);
}

static void write_canary(void *p, size_t size, size_t room)
{
    size_t length;
    unsigned char *canary = canary_of(p, size, room, &length);
    fai_allow(canary, length);
    memset(canary, CANARY_BYTE, length);
    fai_forbid(canary, length);
}

void fai_record_taken(fai_lane *lane, void *p, size_t size, size_t room, fai_kind account, const void *caller)
{
    FA_ASSERT(has_records(lane->memory) && size > 0 && size <= room);
    const fai_slab *slab = fai_slab_of(&lane->memory->blocks, p);
    const FAI_ATOMIC(uint64_t) *record = record_of(&lane->memory->blocks, p);
    FA_ASSERT(slab->kind == FAI_KIND_SPAN || !is_live_state(fai_load_relaxed(record)));
    if (fai_kind_is_slab(slab->kind) && (fai_load_relaxed(record) & STATE_MASK) == STATE_FREED)
        fai_record_verify_freed(lane, p, room);
    fai_allow(p, size);
    memset(p, ALLOCATED_BYTE, size);
    write_canary(p, size, room);
    write_record(lane, p, size, account, site_of(&lane->memory->sites, caller));
}

void fai_record_promoted(fai_lane *lane, void *p, size_t size, size_t room)
{
    if (!has_records(lane->memory)) return;
    write_canary(p, size, room);
    write_record(lane, p, size, FAI_KIND_HEAP, 0);
}

bool fai_record_is_live(const fai_memory *memory, const void *p)
{
    return !has_records(memory) || is_live_state(fai_load_relaxed(record_of(&memory->blocks, p)));
}

bool fai_record_was_freed(const fai_memory *memory, const void *p)
{
    return has_records(memory) && (fai_load_relaxed(record_of(&memory->blocks, p)) & STATE_MASK) == STATE_FREED;
}

void fai_record_given(const fai_lane *lane, const void *p, size_t room)
{
    if (!has_records(lane->memory)) return;
    FAI_ATOMIC(uint64_t) *record = record_of(&lane->memory->blocks, p);
    uint64_t before = fai_load_relaxed(record);
    FA_ASSERT(is_live_state(before));
    size_t length, size = asked_for(record);
    unsigned char *canary = canary_of((void *)(uintptr_t)p, size, room, &length);
    fai_allow(canary, length);
    size_t intact = matching(canary, length, CANARY_BYTE);
    if (intact < length)
        report_damage(lane, p, before, "was written past its end", "look for an index or a size that is too large",
                      (size_t)(canary - (const unsigned char *)p) + intact);
    fai_store_relaxed(record, (before & ~STATE_MASK) | STATE_FREED);
}

void fai_record_use_all(const fai_memory *memory, void *p, size_t room)
{
    fai_allow(p, room);
    if (!has_records(memory)) return;
    FAI_ATOMIC(uint64_t) *record = record_of(&memory->blocks, p);
    uint64_t before = fai_load_relaxed(record), state = before & STATE_MASK;
    if (!is_live_state(before)) return;
    if (state > FA_CLASS_SIZE_MAX)
        fai_store_relaxed(record + 1, (uint64_t)room);
    else
        fai_store_relaxed(record, (before & ~STATE_MASK) | room);
}

// All records -----------------------------------------------------------------------------------------------------------

/// Units that may ever have been used.
static uint32_t unit_end(const fai_blocks *blocks)
{
    uint64_t end = (uint64_t)fai_load_relaxed(&blocks->words) * 64 * FAI_BLOCK_UNITS;
    uint64_t all = (uint64_t)blocks->count * FAI_BLOCK_UNITS;
    return (uint32_t)(end < all ? end : all);
}

/// How many records of the unit may be in use. Of a slab of several units only the first unit's are; the others' are 0.
static uint32_t record_count(uint32_t info)
{
    fai_kind kind = fai_info_kind(info);
    if (kind == FAI_KIND_SPAN) return 1;
    return kind == FAI_KIND_POOL || kind == FAI_KIND_HEAP ? fai_class_capacity(fai_info_class(info)) : 0;
}

static void verify_unit(const fai_lane *lane, uint32_t unit, uint32_t size_class)
{
    const fai_blocks *blocks = &lane->memory->blocks;
    const FAI_ATOMIC(uint64_t) *records = records_of(blocks, unit);
    uint32_t size = fai_class_size(size_class);
    for (uint32_t i = 0; i < fai_class_capacity(size_class); i++)
        if ((fai_load_relaxed(&records[i]) & STATE_MASK) == STATE_FREED)
            fai_record_verify_freed(lane, fai_unit_start(blocks, unit) + (size_t)i * size, size);
}

void fai_records_verify_all(fai_memory *memory)
{
    if (!has_records(memory)) return;
    for (uint32_t unit = 0; unit < unit_end(&memory->blocks); unit++) {
        uint32_t info = fai_load_relaxed(&memory->blocks.unit_info[unit]);
        const fai_slab *slab = &memory->blocks.slabs[unit];
        if (fai_info_kind(info) == FAI_KIND_POOL || fai_info_kind(info) == FAI_KIND_HEAP)
            verify_unit(fai_memory_lane(memory, 0), unit, fai_info_class(info));
        else if (slab->former)
            verify_unit(fai_memory_lane(memory, 0), unit, slab->size_class);
    }
}

static void count_object(fai_memory *memory, const FAI_ATOMIC(uint64_t) *record)
{
    uint64_t value = fai_load_relaxed(record);
    if (!is_live_state(value)) return;
    uint32_t number = value >> SITE_SHIFT & 0xffff;
    fai_site *site = number != 0 ? &memory->sites.all[number - 1] : &memory->sites.unknown;
    uint64_t frame = value >> FRAME_SHIFT;
    if (site->count == 0 || frame < site->first) site->first = frame;
    if (site->count == 0 || frame > site->last) site->last = frame;
    site->count++;
    site->bytes += asked_for(record);
}

static bool goes_before(const fai_site *site, const fa_leak *leak)
{
    return site->bytes != leak->bytes ? site->bytes > leak->bytes : site->count > leak->count;
}

/// Puts a site where it belongs among the first `capacity`; *count are there.
static void insert_leak(const fai_site *site, fa_leak *out, uint32_t capacity, uint32_t *count)
{
    uint32_t at = *count < capacity ? *count : capacity;
    while (at > 0 && goes_before(site, &out[at - 1])) at--;
    if (at == capacity) return;
    uint32_t moved = (*count < capacity ? *count : capacity - 1) - at;
    memmove(&out[at + 1], &out[at], moved * sizeof *out);
    if (*count < capacity) ++*count;
    uint32_t depth = site_depth(site);
    out[at] = (fa_leak){.count = site->count,
                        .bytes = site->bytes,
                        .first_frame = site->first,
                        .last_frame = site->last,
                        .depth = depth};
    memcpy(out[at].frames, site->frames, depth * sizeof site->frames[0]);
}

uint32_t fai_leaks_collect(fai_memory *memory, fa_leak *out, uint32_t capacity)
{
    fai_sites *sites = &memory->sites;
    FA_ASSERT(has_records(memory));
    for (uint32_t i = 0; i <= sites->capacity; i++) {
        fai_site *site = i < sites->capacity ? &sites->all[i] : &sites->unknown;
        if (site->count != 0) site->count = site->bytes = 0;
    }
    for (uint32_t unit = 0; unit < unit_end(&memory->blocks); unit++) {
        uint32_t info = fai_load_relaxed(&memory->blocks.unit_info[unit]), count = record_count(info);
        for (uint32_t i = 0; i < count; i++) count_object(memory, records_of(&memory->blocks, unit) + i);
    }
    uint32_t found = 0, kept = 0;
    for (uint32_t i = 0; i <= sites->capacity; i++) {
        const fai_site *site = i < sites->capacity ? &sites->all[i] : &sites->unknown;
        if (site->count == 0) continue;
        found++;
        insert_leak(site, out, capacity, &kept);
    }
    return found;
}

bool fai_leaks_sum(fai_memory *memory, uint64_t *count, uint64_t *bytes)
{
    const fai_sites *sites = &memory->sites;
    if (fai_leaks_collect(memory, NULL, 0) == 0) return false;
    for (uint32_t i = 0; i <= sites->capacity; i++) {
        const fai_site *site = i < sites->capacity ? &sites->all[i] : &sites->unknown;
        *count += site->count;
        *bytes += site->bytes;
    }
    return true;
}

// Pointers before use -------------------------------------------------------------------------------------------------

bool fa_is_poisoned(const void *p, size_t size)
{
    if (p == NULL || size == 0) return false;
    // AddressSanitizer wants no writable pointer but says so.
    if (fai_is_forbidden((void *)(uintptr_t)p, size)) return true;
    return matching(p, size, FREED_BYTE) == size;
}

static fa_status report_stale(const fai_memory *memory, const void *p, const char *what)
{
    fai_report(memory, NULL, "FA201", "found by fa_check()", "look for a pointer that outlived its memory", "%p %s", p,
               what);
    return FA_ERROR_STALE;
}

/// Memory without records is judged by its first bytes.
static fa_status check_fill(const fai_memory *memory, const void *p, size_t size)
{
    if (!fa_is_poisoned(p, size < FILL_LOOKED_AT ? size : FILL_LOOKED_AT)) return FA_OK;
    return report_stale(memory, p, "is memory that was freed, reset or rolled back");
}

static fa_status check_object(const fai_memory *memory, const unsigned char *p, size_t size)
{
    const fai_blocks *blocks = &memory->blocks;
    const fai_slab *slab = fai_slab_of(blocks, p);
    const FAI_ATOMIC(uint64_t) *record = record_of(blocks, p);
    const unsigned char *start = fai_unit_start(blocks, slab->head);
    if (fai_kind_is_slab(slab->kind)) start += (size_t)(p - start) / slab->object_size * slab->object_size;
    if (!is_live_state(fai_load_relaxed(record))) return report_stale(memory, p, "is in an object that was freed");
    size_t asked = asked_for(record), offset = (size_t)(p - start);
    if (offset <= asked && size <= asked - offset) return FA_OK;
    fai_report(memory, NULL, "FA201", "found by fa_check()", "look for an index or a size that is too large",
               "%zu bytes at %p leave their object of %zu bytes at %p", size, (const void *)p, asked,
               (const void *)start);
    return FA_ERROR_INVALID;
}

fa_status fa_check(fa_system *fa, const void *p, size_t size)
{
    const fai_memory *memory = (const fai_memory *)(void *)fa;
    if (fa == NULL || p == NULL || size == 0) return FA_ERROR_INVALID;
    if (!has_records(memory)) return FA_ERROR_UNSUPPORTED;
    const fai_blocks *blocks = &memory->blocks;
    if (!fai_blocks_contain(blocks, p) || size > blocks->bytes - ((uintptr_t)p - (uintptr_t)blocks->base))
        return FA_ERROR_INVALID;
    switch (fai_info_kind(fai_load_relaxed(&blocks->unit_info[fai_unit_of(blocks, p)]))) {
        case FAI_KIND_POOL:
        case FAI_KIND_HEAP: return check_object(memory, p, size);
        case FAI_KIND_SPAN:
            if (fai_slab_of(blocks, p)->account == FAI_KIND_STORE) return FA_ERROR_INVALID;
            return check_object(memory, p, size);
        case FAI_KIND_STORE: return FA_ERROR_INVALID;
        case FAI_KIND_ARENA:
        case FAI_KIND_FRAME:
        case FAI_KIND_NONE: break;
    }
    return check_fill(memory, p, size);
}
