// SPDX-License-Identifier: MIT
//
// Lanes and the memory they form: creation, ownership, service, and the frame boundary.
#include "alloc/lane.h"

#include "alloc/store.h"
#include "concurrent/annotate.h"
#include "concurrent/check.h"
#include "concurrent/thread.h"

#include <stdio.h>
#include <string.h>

// What a magazine may hold at most, bytes: bounds the floating memory of a lane that uses all classes by about 1 MiB.
#define MAGAZINE_BYTES 32768u

// Boundaries after which a lane that nobody uses gives back what it keeps: 2 s at 60 Hz.
#define QUIET_BOUNDARIES 120u

// Life ------------------------------------------------------------------------------------------------------------------

static size_t outbox_bytes(uint32_t lane_count)
{
    size_t bytes = lane_count * (sizeof(fai_packet *) + sizeof(uint32_t));
    return (bytes + FAI_CACHE_LINE - 1) & ~(size_t)(FAI_CACHE_LINE - 1);
}

static void init_magazines(fai_lane *lane)
{
    for (uint32_t i = 0; i < FA_CLASS_COUNT; i++) {
        uint32_t limit = MAGAZINE_BYTES / fai_class_size(i);
        if (limit > FA_MAGAZINE_SLOTS) limit = FA_MAGAZINE_SLOTS;
        if (limit < 2) limit = 2;
        lane->untagged.magazines[i].limit = lane->exact ? 0 : limit;
    }
}

static void init_lane(fai_memory *memory, uint32_t index)
{
    fai_lane *lane = fai_memory_lane(memory, index);
    lane->memory = memory;
    lane->hot.region_base = (uintptr_t)memory->blocks.base;
    // Without a range every free takes the slow path, which looks at who calls.
    lane->hot.region_units = memory->config.checked ? 0 : memory->blocks.bytes >> FA_UNIT_SHIFT;
    lane->hot.unit_info = memory->blocks.unit_info;
    lane->hot.pool_info = fai_info_make(index, 0, FAI_KIND_POOL, 0) >> 8;
    lane->hot.magazines = lane->untagged.magazines;
    lane->hot.index = index;
    lane->hot.system = (fa_system *)(void *)memory;
    lane->exact = memory->config.checked || FAI_ASAN || (memory->events.hooks & FAI_WATCH_MEMORY) != 0;
    lane->counts_frame = lane->exact || memory->config.frame_counts;
    lane->checked = memory->config.checked;
    lane->watched = (uint32_t)memory->events.hooks;
    lane->slot = lane->gate = FAI_NO_SLOT;
    lane->checkpoints = lane->checkpoints_first = (uint64_t)memory->number << 32;
    lane->exhausted_frame = lane->refused_frame = UINT64_MAX;
    for (uint32_t slot = 0; slot < FA_FRAMES_IN_FLIGHT_MAX; slot++) fai_arena_init(&lane->frames[slot].arena);
    fai_arena_init(&lane->scope);
    fai_slabs_init(&lane->slabs, &memory->blocks, &lane->contention, index, lane->tagged);
    fai_slabs_add_tag(&lane->slabs, 0, &lane->untagged.lists);
    lane->purses[lane->purse_count++] = 0;
    if (FA_STATISTICS) lane->ledgers = memory->ledgers + (size_t)index * memory->config.frames_in_flight;
    lane->slabs.verify = lane->checked;
    fai_handle_lane_init(lane);
    init_magazines(lane);
    lane->stale = &lane->stale_first;
    lane->stale_capacity = 1;
    lane->retired = (fai_retired_list){lane->retired_first[0], 0, FAI_RETIRED_FIRST};
    lane->offered = (fai_retired_list){lane->retired_first[1], 0, FAI_RETIRED_FIRST};
    unsigned char *outbox = memory->outboxes + index * outbox_bytes(memory->lane_count);
    lane->outbox.open = (fai_packet **)(void *)outbox;
    lane->outbox.pending = (uint32_t *)(void *)(outbox + memory->lane_count * sizeof(fai_packet *));
    fai_inbox_init(&lane->mailbox.packets);
    fai_inbox_init(&lane->mailbox.objects);
    lane->state = FAI_LANE_IDLE;
}

static void init_hooks(fai_memory *memory)
{
    if (memory->config.checked) memory->events.hooks |= FAI_WATCH_FORKS;
    if (memory->config.profiler == NULL) return;
    const fa_profiler *profiler = &memory->events.profiler;
    memory->events.profiler = *memory->config.profiler;
    memory->config.profiler = NULL; // the user's may go
    if (profiler->zone_begin != NULL || profiler->zone_end != NULL) memory->events.hooks |= FAI_WATCH_ZONES;
    if (profiler->alloc != NULL || profiler->free != NULL) memory->events.hooks |= FAI_WATCH_MEMORY;
}

static size_t ledger_bytes(const fai_memory *memory)
{
    return (size_t)memory->lane_count * memory->config.frames_in_flight * sizeof(fai_ledger);
}

static bool map_accounts(fai_memory *memory)
{
    if (!FA_STATISTICS) return true;
    memory->ledgers = fai_map(ledger_bytes(memory));
    memory->labels = fai_map(sizeof *memory->labels);
    memory->retentions = fai_map(sizeof *memory->retentions);
    return memory->ledgers != NULL && memory->labels != NULL && memory->retentions != NULL;
}

static void unmap_lanes(fai_memory *memory)
{
    fai_unmap(memory->lanes, memory->lane_count * memory->lane_bytes);
    fai_unmap(memory->outboxes, memory->lane_count * outbox_bytes(memory->lane_count));
    fai_unmap(memory->ledgers, ledger_bytes(memory));
    fai_unmap(memory->labels, sizeof *memory->labels);
    fai_unmap(memory->retentions, sizeof *memory->retentions);
}

static void release(fai_memory *memory)
{
    fai_streams_exit(memory);
    fai_blocks_exit(&memory->blocks);
    fai_depot_exit(&memory->depot);
    fai_handles_exit(&memory->handles);
    fai_sites_exit(&memory->sites);
    fai_transfers_exit(&memory->transfers);
    fai_arenas_unmap(memory);
    unmap_lanes(memory);
}

fa_status fai_memory_init(fai_memory *memory, const fa_config *config, uint32_t lane_count, size_t lane_bytes)
{
    FA_ASSERT(lane_bytes >= sizeof(fai_lane) && lane_bytes % FAI_CACHE_LINE == 0);
    memset(memory, 0, sizeof *memory);
    memory->config = *config;
    fai_diagnostics_init(&memory->diagnostics, config);
    static FAI_ATOMIC(uint32_t) systems;
    do memory->number = fai_add_relaxed(&systems, 1u) + 1;
    while (memory->number == 0);
    memory->lane_count = lane_count;
    memory->lane_bytes = lane_bytes;
    memory->frame_open = FAI_NO_SLOT;
    memory->gathered = (fai_retired_list){memory->retired_first[0], 0, FAI_RETIRED_FIRST};
    memory->waiting = (fai_retired_list){memory->retired_first[1], 0, FAI_RETIRED_FIRST};
    memory->hooks = config->tick_hooks ? FAI_HOOKS_DECLARED : FAI_HOOKS_NONE;
    uint32_t prefault = (uint32_t)(config->prefault_bytes >> FAI_BLOCK_SHIFT);
    if (!fai_blocks_init(&memory->blocks, config)) return FA_ERROR_MEMORY;
    memory->lanes = fai_map(lane_count * lane_bytes);
    memory->outboxes = fai_map(lane_count * outbox_bytes(lane_count));
    if (!memory->lanes || !memory->outboxes || !map_accounts(memory) || !fai_depot_init(&memory->depot) ||
        !fai_sites_init(&memory->sites, config) ||
        !fai_transfers_init(&memory->transfers, config->transfers_max, memory->number) || !fai_streams_init(memory) ||
        !fai_arenas_init(memory) ||
        !fai_handles_init(&memory->handles, &memory->blocks, config->handles_max, lane_count, memory->number) ||
        !fai_blocks_prefault(&memory->blocks, prefault)) {
        release(memory);
        return FA_ERROR_MEMORY;
    }
    fai_handles_prefault(&memory->handles, prefault);
    if (!fai_grace_open_owner(&memory->grace)) {
        release(memory);
        return FA_ERROR_THREAD;
    }
    init_hooks(memory);
    fai_memory_note_observers(memory);
    for (uint32_t i = 0; i < lane_count; i++) init_lane(memory, i);
    return FA_OK;
}

typedef struct leak_note {
    char text[4096];
    size_t length;
} leak_note;

static void add_leak_line(const char *line, void *context)
{
    leak_note *note = context;
    size_t size = sizeof note->text, left = size - note->length;
    int written = snprintf(note->text + note->length, left, "\n        %s", line);
    note->length = written >= 0 && (size_t)written < left ? note->length + (size_t)written : size - 1;
}

/// Without statistics only checked systems know.
static void report_records(fai_memory *memory)
{
    uint64_t count = 0, bytes = 0;
    if (!fai_memory_has_records(memory) || !fai_leaks_sum(memory, &count, &bytes)) return;
    leak_note note = {.text = "they are released with the system"};
    note.length = strlen(note.text);
    fai_leaks_print(memory, add_leak_line, &note);
    fai_report(memory, fai_memory_lane(memory, 0), "FA910", note.text,
               "free pool and heap objects, and drop cells, before fa_destroy()",
               "never freed: %llu pool and heap objects (%llu bytes)", (unsigned long long)count,
               (unsigned long long)bytes);
}

static void report_leaks(fai_memory *memory)
{
    if (!FA_STATISTICS) {
        report_records(memory);
        return;
    }
    const fa_stats *stats = &memory->merged;
    if (stats->pool_live != 0 || stats->heap_live != 0) {
        leak_note note = {.text = "they are released with the system"};
        note.length = strlen(note.text);
        if (fai_memory_has_records(memory)) fai_leaks_print(memory, add_leak_line, &note);
        fai_report(memory, fai_memory_lane(memory, 0), "FA910", note.text,
                   "free pool and heap objects, and drop cells, before fa_destroy()",
                   "never freed: %llu pool objects (%llu bytes), %llu heap objects (%llu bytes)",
                   (unsigned long long)stats->pool_live, (unsigned long long)stats->pool_live_bytes,
                   (unsigned long long)stats->heap_live, (unsigned long long)stats->heap_live_bytes);
    }
    if (stats->handle_live != 0)
        fai_report(memory, fai_memory_lane(memory, 0), "FA910", "their objects are released with the system",
                   "call fa_handle_free() before fa_destroy()", "never freed: %llu handles (%llu bytes)",
                   (unsigned long long)stats->handle_live, (unsigned long long)stats->handle_live_bytes);
}

void fai_memory_exit(fai_memory *memory)
{
    fai_lane *main_lane = fai_memory_lane(memory, 0);
    fai_lane_adopt(main_lane); // the cleanups of groups run on it, and may retire what the next line frees
    fai_arenas_end(memory);
    fai_lane_abandon(main_lane);
    fai_memory_reclaim_all(memory);
    for (uint32_t i = 0; i < memory->lane_count; i++) fai_outbox_post_all(fai_memory_lane(memory, i));
    for (uint32_t i = 0; i < memory->lane_count; i++) {
        fai_mailbox_drain(fai_memory_lane(memory, i));
        fai_quarantine_empty(fai_memory_lane(memory, i));
        fai_lane_report_damage(fai_memory_lane(memory, i));
        fai_lane_publish(fai_memory_lane(memory, i));
    }
    fai_records_verify_all(memory);
    fai_memory_publish(memory);
    report_leaks(memory);
    release(memory);
}

void fai_lane_report_refused(fai_lane *lane, size_t size)
{
    const fai_memory *memory = lane->memory;
    uint64_t frame = fai_load_relaxed(&memory->frame_number);
    if (lane->refused_frame == frame) return;
    lane->refused_frame = frame;
    bool limited = memory->blocks.limit < memory->blocks.count;
    fai_report(memory, lane, "FA301", "the allocation gives NULL; reported once per frame and lane",
               limited ? "raise memory_max, or free more" : "raise reserve_bytes, or free more",
               "%zu bytes refused by %s of %llu bytes", size, limited ? "memory_max" : "the address range",
               (unsigned long long)(limited ? memory->config.memory_max : memory->blocks.bytes));
}

void fai_lane_report_damage(fai_lane *lane)
{
    if (FA_UNLIKELY(lane->slabs.written_count != 0)) fai_records_report_written(lane);
    if (FA_LIKELY(lane->slabs.damaged == lane->damage_seen)) return;
    lane->damage_seen = lane->slabs.damaged;
    fai_report(lane->memory, lane, "FA901",
               "a slab's map of free objects does not agree with their number: it is set aside",
               "look for wild writes in the program; if there are none, this is a bug of the library",
               "damaged slab found on lane %u", (unsigned)lane->hot.index);
}

bool fai_lane_grow(fai_lane *lane, void **array, uint32_t count, uint32_t *capacity, size_t size)
{
    uint32_t wanted = *capacity < 64 ? 64 : *capacity * 2;
    void *p = fai_store_take(lane, wanted * size, FA_ALIGN_DEFAULT);
    if (p == NULL) return false;
    if (count > 0) memcpy(p, *array, count * size);
    if (fai_blocks_contain(&lane->memory->blocks, *array)) fai_store_give_own(lane, *array);
    *array = p;
    *capacity = wanted;
    return true;
}

// Ownership -------------------------------------------------------------------------------------------------------------

void fai_lane_adopt(fai_lane *lane)
{
    FA_ASSERT(fai_load_relaxed(&lane->thread) == NULL);
    fai_store_relaxed(&lane->thread, fai_thread_self());
}

void fai_lane_abandon(fai_lane *lane)
{
    FA_ASSERT(fai_load_relaxed(&lane->thread) == fai_thread_self());
    fai_store_relaxed(&lane->thread, NULL);
}

fai_lane *fai_lane_self(const fai_memory *memory)
{
    const void *self = fai_thread_self();
    for (uint32_t i = 0; i < memory->lane_count; i++) {
        fai_lane *lane = fai_memory_lane(memory, i);
        if (fai_load_relaxed(&lane->thread) == self) return lane;
    }
    return NULL;
}

#define THREAD_NAME_BYTES 40

/// Says which thread calls; `self` is its lane.
static const char *name_thread(const fai_lane *self, char *name)
{
    if (self == NULL) return "a thread that has no lane";
    snprintf(name, THREAD_NAME_BYTES, "the thread of lane %u", (unsigned)self->hot.index);
    return name;
}

__attribute__((noinline, cold)) static void report_thread(const fai_lane *lane, const void *owner)
{
    const fai_lane *self = fai_lane_self(lane->memory);
    unsigned used = lane->hot.index;
    char name[THREAD_NAME_BYTES];
    const char *from = name_thread(self, name);
    if (owner == NULL)
        fai_report(lane->memory, self, "FA202", "its thread has not attached yet, or has detached: the call is refused",
                   "use the context between fa_attach() and fa_detach() only",
                   "lane %u, which belongs to no thread, was used on %s", used, from);
    else
        fai_report(lane->memory, self, "FA201", "a context is for its own thread only: the call is refused",
                   "use the context that the job was handed, or that fa_self() gives", "lane %u was used on %s", used,
                   from);
}

bool fai_lane_check_thread(const fai_lane *lane)
{
    const void *owner = fai_load_relaxed(&lane->thread);
    if (FA_LIKELY(owner == fai_thread_self())) return true;
    report_thread(lane, owner);
    return false;
}

fa_status fai_lane_look(const fai_lane *lane)
{
    if (!fai_lane_check_thread(lane)) return FA_ERROR_WRONG_THREAD;
    if (FA_LIKELY(!lane->idle)) return FA_OK;
    fai_report(lane->memory, lane, "FA202",
               "between fa_idle_begin() and fa_idle_end() it is nobody's: the call is refused",
               "call fa_idle_end() first", "lane %u was used while it is idle", (unsigned)lane->hot.index);
    return FA_ERROR_STATE;
}

__attribute__((noinline, cold)) static fa_status refuse_thread(const fai_memory *memory)
{
    const fai_lane *self = fai_lane_self(memory);
    char name[THREAD_NAME_BYTES];
    if (memory->config.checked)
        fai_report(memory, self, "FA201", "only the thread that created the system may call it: the call is refused",
                   "call it there; jobs hand work to that thread with FA_JOB_MAIN",
                   "a function of the main lane was called on %s", name_thread(self, name));
    return FA_ERROR_WRONG_THREAD;
}

FAI_FRAME_END fa_status fai_memory_check_main(const fai_memory *memory)
{
    if (FA_LIKELY(fai_load_relaxed(&fai_memory_lane(memory, 0)->thread) == fai_thread_self())) return FA_OK;
    return refuse_thread(memory);
}

static bool claim(fai_lane *lane, uint32_t as, fa_contention *contention)
{
    uint32_t expected = FAI_LANE_IDLE;
    FAI_COUNT(contention, lane_claims, 1);
    // [lane.claim] acquire: sees the lane as its last owner left it.
    return fai_cas_acquire(&lane->state, &expected, as);
}

static void let_go(fai_lane *lane)
{
    // [lane.claim] release: hands the lane over to whoever claims it next.
    fai_store_release(&lane->state, (uint32_t)FAI_LANE_IDLE);
}

/// Makes the boundary look at the lane from now on; before the first claim there is nothing to see.
static void note_used(fai_lane *lane)
{
    uint32_t used = fai_load_relaxed(&lane->memory->lanes_used);
    while (lane->hot.index >= used && !fai_cas_relaxed(&lane->memory->lanes_used, &used, lane->hot.index + 1)) continue;
}

bool fai_lane_claim(fai_lane *lane)
{
    if (fai_load_relaxed(&lane->state) != FAI_LANE_IDLE) return false;
    note_used(lane);
    if (!claim(lane, FAI_LANE_RUNNING, &lane->contention)) return false;
    // [arena.unlink] seq_cst: the claim before any look at an arena; pairs with the fence of who unlinks one and then looks for lanes.
    fai_fence_after_rmw_seq_cst();
    fai_store_relaxed(&lane->claims, fai_load_relaxed(&lane->claims) + 1);
    return true;
}

static void service(fai_lane *lane)
{
    fai_store_relaxed(&lane->service_due, 0u);
    bool kept = fai_mailbox_drain_bounded(lane);
    if (kept) fai_store_relaxed(&lane->attention, 1u);
    fai_lane_publish(lane);
}

void fai_lane_yield(fai_lane *lane)
{
    FA_ASSERT(fai_load_relaxed(&lane->state) == FAI_LANE_RUNNING);
    FA_ASSERT(lane->depth == 0);
    fai_lane_leave_frame(lane);
    if (lane->outbox.pending_count > 0) fai_outbox_post_all(lane);
    if (fai_load_relaxed(&lane->service_due))
        service(lane);
    else if (lane->changed || lane->pool_used)
        fai_lane_publish(lane);
    bool unopened = lane->stash.packets != NULL || lane->stash.objects != NULL;
    if (lane->retired.count > 0 || unopened) fai_store_relaxed(&lane->attention, 1u);
    let_go(lane);
}

void fai_lane_service_if_due(fai_lane *lane)
{
    FA_ASSERT(lane->depth == 0);
    if (FA_LIKELY(!fai_load_relaxed(&lane->service_due))) return;
    fai_outbox_post_all(lane);
    fai_lane_offer_retired(lane);
    service(lane);
}

// The boundary ----------------------------------------------------------------------------------------------------------

FAI_FRAME_BEGIN void fai_memory_open_frame(fai_memory *memory, uint32_t slot, uint64_t number)
{
    FA_ASSERT(slot < memory->config.frames_in_flight);
    fai_store_relaxed(&memory->slots_alive, fai_load_relaxed(&memory->slots_alive) | UINT32_C(1) << slot);
    fai_store_relaxed(&memory->frame_number, number);
    fai_store_relaxed(&memory->frame_open, slot);
}

/// Frees the spans of an arena that was reset, but not those that were promoted as they are.
FAI_APART static void free_spans(fai_memory *memory, uint32_t unit)
{
    fai_lane *main_lane = fai_memory_lane(memory, 0);
    fai_blocks *blocks = &memory->blocks;
    while (unit != FAI_INDEX_NONE) {
        const fai_slab *span = &blocks->slabs[unit];
        uint32_t next = span->next, info = fai_load_relaxed(&blocks->unit_info[unit]);
        if (span->kind == FAI_KIND_FRAME) {
            void *p = fai_unit_start(blocks, unit);
            if (fai_info_lane(info) == 0)
                fai_lane_free_own(main_lane, p, info);
            else
                fai_outbox_add(main_lane, fai_info_lane(info), p, span->size);
        }
        unit = next;
    }
}

/// What snapshots say of a lane's frame memory.
FAI_FRAME_END static void note_lane(fai_memory *memory, fai_lane *lane, uint32_t slot, uint64_t used)
{
    lane->frame_used.used = used;
    if (used > lane->frame_used.peak) lane->frame_used.peak = used;
    uint64_t more = lane->frames[slot].arena.length - lane->frames[slot].blocks; // or less, as a number that wraps
    if (more == 0) return;
    lane->frame_used.capacity += more << FAI_BLOCK_SHIFT;
    lane->frames[slot].blocks = lane->frames[slot].arena.length;
    memory->merged.frame_blocks += more;
}

FAI_FRAME_END static void note_frame(fai_memory *memory, uint64_t number, uint64_t bytes)
{
    memory->merged.frame = number;
    memory->merged.frame_bytes = bytes;
    if (bytes > memory->merged.frame_bytes_peak) memory->merged.frame_bytes_peak = bytes;
}

/// Recycles what a lane has of the frame; how many bytes that were, as far as anybody counts.
FAI_FRAME_END static uint64_t recycle(fai_memory *memory, fai_lane *lane, uint32_t slot)
{
    FA_ASSERT(lane->hot.index == 0 || memory->config.frames_in_flight > 1 || lane->slot != slot);
    fai_arena *arena = &lane->frames[slot].arena;
    uint64_t used = FA_STATISTICS ? fai_arena_bytes(arena) : 0;
    uint32_t spans = fai_arena_reset(arena, &memory->blocks, &fai_memory_lane(memory, 0)->contention, lane->checked);
    if (FA_UNLIKELY(spans != FAI_INDEX_NONE)) free_spans(memory, spans);
    if (FA_STATISTICS) note_lane(memory, lane, slot, used);
    return used;
}

FAI_FRAME_END void fai_memory_retire_frame(fai_memory *memory, uint32_t slot, uint64_t number, fa_frame_result *result,
                                           bool listed)
{
    fai_lane *main_lane = fai_memory_lane(memory, 0);
    if (main_lane->slot == slot) fai_lane_leave_frame(main_lane);
    uint32_t lanes = fai_memory_lanes_used(memory), retained = 0;
    for (uint32_t i = 0; i < lanes; i++) retained += fai_memory_lane(memory, i)->frames[slot].retained.count;
    if (retained > 0) fai_memory_promote(memory, slot, number, result, listed);
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < lanes; i++) bytes += recycle(memory, fai_memory_lane(memory, i), slot);
    // [frame.slot] release: gives the slot's arenas, reset, back to their lanes.
    fai_store_release(&memory->slots_alive, fai_load_relaxed(&memory->slots_alive) & ~(UINT32_C(1) << slot));
    if (FA_STATISTICS && fai_load_relaxed(&memory->labelled)) fai_memory_settle_frame(memory, slot);
    if (FA_STATISTICS && FA_UNLIKELY(memory->behavior != NULL)) fai_behavior_add_frame(memory, number);
    if (FA_STATISTICS) note_frame(memory, number, bytes);
}

void fai_memory_unwant(fai_memory *memory, uint32_t details)
{
    fai_store_relaxed(&memory->wanted, fai_load_relaxed(&memory->wanted) & ~details);
}

void fai_memory_want(fai_memory *memory, uint32_t details)
{
    uint32_t before = fai_load_relaxed(&memory->wanted);
    if ((before & details) == details) return;
    fai_store_relaxed(&memory->wanted, before | details);
    fai_lane_publish(fai_memory_lane(memory, 0));
    // All lanes: what one first used later makes is made after this.
    for (uint32_t i = 1; i < memory->lane_count; i++) {
        fai_lane *lane = fai_memory_lane(memory, i);
        if (!claim(lane, FAI_LANE_PROXY, &fai_memory_lane(memory, 0)->contention)) {
            fai_store_relaxed(&lane->service_due, 1u);
            continue;
        }
        fai_lane_publish(lane);
        let_go(lane);
    }
}

/// True once, when nobody has used the lane for QUIET_BOUNDARIES; `uses` rises with every use.
FAI_FRAME_END static bool is_quiet(fai_lane *lane, uint64_t uses, bool busy)
{
    if (busy || uses != lane->uses_seen) {
        lane->uses_seen = uses;
        lane->quiet = 0;
        return false;
    }
    return lane->quiet <= QUIET_BOUNDARIES && ++lane->quiet == QUIET_BOUNDARIES;
}

/// What is due on a lane that is idle; one that runs is asked to do it itself.
FAI_APART static void service_claimed(fai_memory *memory, fai_lane *lane, bool trim)
{
    if (!claim(lane, FAI_LANE_PROXY, &fai_memory_lane(memory, 0)->contention)) {
        fai_store_relaxed(&lane->service_due, 1u);
        return;
    }
    FA_ASSERT(lane->outbox.pending_count == 0);
    fai_store_relaxed(&lane->attention, 0u);
    fai_memory_gather(memory, lane);
    if (lane->retired.count > 0) fai_store_relaxed(&lane->attention, 1u);
    service(lane);
    if (trim) { // what came home since, too
        fai_lane_trim(lane);
        fai_lane_publish(lane); // fewer slabs and objects at hand
    }
    let_go(lane);
}

/// Brings home what was freed for a lane.
FAI_FRAME_END static void service_other(fai_memory *memory, fai_lane *lane)
{
    bool wanted = !fai_mailbox_is_empty(&lane->mailbox) || fai_load_relaxed(&lane->attention) != 0;
    bool running = fai_load_relaxed(&lane->state) == FAI_LANE_RUNNING;
    bool away = lane->hot.index > memory->config.worker_count; // an attached thread's; mail alone does not make it busy
    bool trim = is_quiet(lane, fai_load_relaxed(&lane->claims), running || (wanted && !away));
    if (wanted || running || trim) service_claimed(memory, lane, trim || (away && lane->quiet >= QUIET_BOUNDARIES));
}

/// The main lane is always claimed: whether it changed anything says whether it has become quiet.
FAI_FRAME_END static void trim_main(fai_lane *main_lane)
{
    if (is_quiet(main_lane, 0, main_lane->changed)) fai_lane_trim(main_lane);
}

void fai_memory_trim_handles(fai_memory *memory)
{
    fai_lane *main_lane = fai_memory_lane(memory, 0);
    fai_handle_lane_trim(main_lane);
    for (uint32_t i = 1; i < fai_memory_lanes_used(memory); i++) {
        fai_lane *lane = fai_memory_lane(memory, i);
        if (fai_load_relaxed(&lane->state) != FAI_LANE_IDLE) continue;
        if (!claim(lane, FAI_LANE_PROXY, &main_lane->contention)) continue;
        fai_handle_lane_trim(lane);
        let_go(lane);
    }
}

FAI_APART void fai_lane_reset_scope(fai_lane *lane)
{
    FA_ASSERT(lane->depth == 0);
    fa_arena_mark empty = {NULL, 0, 0};
    lane->scope_used = false;
    if (!fai_mark_is(fai_lane_scope_mark(lane), empty)) fai_lane_rewind_scope(lane, empty);
}

/// A limit that refused memory makes this boundary take everything home.
FAI_FRAME_END static void note_refusals(fai_memory *memory)
{
    uint64_t refused = fai_load_relaxed(&memory->blocks.refused);
    uint32_t drain_all = refused != memory->refused_seen;
    if (drain_all != fai_load_relaxed(&memory->drain_all)) fai_store_relaxed(&memory->drain_all, drain_all);
    memory->refused_seen = refused;
}

/// What the main lane brings home of its own.
FAI_FRAME_END static void service_main(fai_memory *memory, fai_lane *main_lane)
{
    bool mail = !fai_mailbox_is_empty(&main_lane->mailbox) || main_lane->stash.packets || main_lane->stash.objects;
    if (mail || main_lane->keeps_frees) (void)fai_mailbox_drain_bounded(main_lane);
    if (main_lane->retired.count > 0) fai_memory_gather(memory, main_lane);
    trim_main(main_lane);
}

FAI_FRAME_END void fai_memory_boundary(fai_memory *memory)
{
    fai_lane *main_lane = fai_memory_lane(memory, 0);
    fai_store_relaxed(&memory->frame_open, FAI_NO_SLOT);
    if (main_lane->scope_used && main_lane->depth == 0) fai_lane_reset_scope(main_lane);
    note_refusals(memory);
    fai_memory_reclaim(memory);
    if (main_lane->outbox.pending_count > 0) fai_outbox_post_all(main_lane);
    for (uint32_t i = 1; i < fai_memory_lanes_used(memory); i++) service_other(memory, fai_memory_lane(memory, i));
    service_main(memory, main_lane);
    fai_memory_start_grace(memory);
    memory->stats_due |= fai_blocks_maintain(&memory->blocks);
    // Magazines say nothing when they give or take; a checked system's objects pass through the quarantine.
    if (main_lane->changed || main_lane->pool_used || main_lane->exact) fai_lane_publish(main_lane);
    fai_memory_publish(memory);
    if (FA_STATISTICS && FA_UNLIKELY(memory->behavior != NULL)) fai_behavior_look(memory);
}
