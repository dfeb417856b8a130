// SPDX-License-Identifier: MIT
//
// The way home of frees by other lanes: packets, posts and drains.
#include "alloc/remote.h"

#include "alloc/lane.h"
#include "concurrent/annotate.h"
#include "concurrent/check.h"

#include <string.h>
#include <sys/mman.h>

// Packets that may be in use at one time: half a GiB of address space, enough for 64 million floating objects.
#define DEPOT_PACKETS (UINT32_C(1) << 20)

// A bounded drain takes at least one in so many of what waits: with F frees a frame no more than KEPT_PART * F ever wait.
#define KEPT_PART 4u

_Static_assert(DEPOT_PACKETS <= FAI_INDEX_MAX, "packets have numbers on an index stack");

/// Makes the page faults of a batch of packets happen together, the first at creation.
static void touch_batch(fai_depot *depot, uint32_t first)
{
    for (uint32_t i = first; i < first + FAI_DEPOT_BATCH && i < depot->capacity; i++)
        *(volatile uint32_t *)&depot->packets[i].count = 0;
}

bool fai_depot_init(fai_depot *depot)
{
    memset(depot, 0, sizeof *depot);
    for (uint32_t capacity = DEPOT_PACKETS; capacity >= 1024; capacity /= 2) {
        void *p = fai_map(capacity * sizeof(fai_packet));
        if (p == NULL) continue;
        depot->packets = p;
        depot->capacity = capacity;
        touch_batch(depot, 0);
        return true;
    }
    return false;
}

void fai_depot_exit(fai_depot *depot)
{
    fai_unmap(depot->packets, depot->capacity * sizeof(fai_packet));
}

static void populate_batch(fai_depot *depot, uint32_t first)
{
#ifdef MADV_POPULATE_WRITE
    (void)madvise(&depot->packets[first], FAI_DEPOT_BATCH * sizeof(fai_packet), MADV_POPULATE_WRITE);
#else
    (void)depot, (void)first;
#endif
}

static fai_packet *packet_take(fai_depot *depot, fa_contention *contention)
{
    uint32_t retries = 0;
    uint32_t index = fai_index_stack_pop_any(&depot->free, &depot->packets[0].link, sizeof(fai_packet), &retries);
    if (index == FAI_INDEX_NONE && fai_load_relaxed(&depot->made) < depot->capacity) {
        uint32_t made = fai_add_relaxed(&depot->made, 1u);
        if (made < depot->capacity) {
            index = made;
            // Packets of this batch beyond the first may be taken by others this moment: they are not written here.
            if (made % FAI_DEPOT_BATCH == 0 && made != 0) populate_batch(depot, made);
        } else
            (void)fai_sub_relaxed(&depot->made, 1u);
    }
    FAI_COUNT(contention, packet_moves, 1);
    FAI_COUNT(contention, packet_retries, retries);
    if (index == FAI_INDEX_NONE) return NULL;
    fai_packet *packet = &depot->packets[index];
    packet->count = 0;
    packet->bytes = 0;
    return packet;
}

static void packet_give(fai_depot *depot, fai_packet *packet, fa_contention *contention)
{
    uint32_t retries = fai_index_stack_push_any(&depot->free, (uint32_t)(packet - depot->packets), &packet->link);
    FAI_COUNT(contention, packet_moves, 1);
    FAI_COUNT(contention, packet_retries, retries);
    (void)retries;
}

/// The first word of a freed object, which links it; it may be longer than what the user asked for.
static fai_inbox_entry *link_of(void *p)
{
    fai_allow(p, sizeof(fai_inbox_entry));
    return p;
}

// Sending ---------------------------------------------------------------------------------------------------------------

static void post(fai_lane *lane, uint32_t owner)
{
    fai_packet *packet = lane->outbox.open[owner];
    FA_ASSERT(packet != NULL && packet->count > 0);
    lane->outbox.open[owner] = NULL;
    lane->outbox.held -= packet->count;
    FAI_COUNT(&lane->contention, inbox_posted, packet->count);
    fai_mailbox *mailbox = &fai_memory_lane(lane->memory, owner)->mailbox;
    (void)fai_inbox_push_any(&mailbox->packets, &packet->entry, &packet->entry, &lane->contention);
}

void fai_outbox_add(fai_lane *lane, uint32_t owner, void *p, size_t bytes)
{
    FA_ASSERT(owner != lane->hot.index && owner < lane->memory->lane_count);
    fai_outbox *outbox = &lane->outbox;
    lane->changed = true;
    FAI_TALLY(lane, remote_frees, 1);
    fai_packet *packet = outbox->open[owner];
    if (FA_UNLIKELY(packet == NULL)) {
        packet = packet_take(&lane->memory->depot, &lane->contention);
        if (packet == NULL) {
            fai_inbox_entry *entry = link_of(p);
            FAI_COUNT(&lane->contention, inbox_posted, 1);
            (void)fai_inbox_push_any(&fai_memory_lane(lane->memory, owner)->mailbox.objects, entry, entry,
                                     &lane->contention);
            return;
        }
        outbox->open[owner] = packet;
        outbox->pending[outbox->pending_count++] = owner;
    }
    packet->objects[packet->count++] = p;
    packet->bytes += bytes;
    outbox->held++;
    if (packet->count < FAI_PACKET_OBJECTS && packet->bytes < FAI_PACKET_BYTES_MAX) return;
    post(lane, owner);
    for (uint32_t i = 0; i < outbox->pending_count; i++) {
        if (outbox->pending[i] != owner) continue;
        outbox->pending[i] = outbox->pending[--outbox->pending_count];
        return;
    }
    FA_ASSERT(false);
}

void fai_outbox_post_all(fai_lane *lane)
{
    fai_outbox *outbox = &lane->outbox;
    while (outbox->pending_count > 0) post(lane, outbox->pending[--outbox->pending_count]);
    FA_ASSERT(outbox->held == 0);
}

void fai_mailbox_post_foreign(fai_memory *memory, uint32_t owner, void *p)
{
    fa_contention unlisted = {0}; // no lane to count it
    fai_mailbox *mailbox = &fai_memory_lane(memory, owner)->mailbox;
    (void)fai_add_relaxed(&mailbox->foreign_frees, UINT64_C(1));
    fai_inbox_entry *entry = link_of(p);
    (void)fai_inbox_push_any(&mailbox->objects, entry, entry, &unlisted);
}

// Receiving -------------------------------------------------------------------------------------------------------------

static inline void free_home(fai_lane *lane, void *p)
{
    fai_blocks *blocks = &lane->memory->blocks;
    uint32_t info = fai_load_relaxed(&blocks->unit_info[fai_unit_of(blocks, p)]);
    fa_magazine *magazines = lane->hot.magazines;
    if (FA_LIKELY(info >> 8 == lane->hot.pool_info && fa_magazine_push(&magazines[fai_info_class(info)], p))) return;
    fai_lane_free_own(lane, p, info);
}

/// Opens the next packet of the stash; how many objects were in it.
static uint32_t open_packet(fai_lane *lane)
{
    fai_packet *packet = (fai_packet *)(void *)lane->stash.packets;
    lane->stash.packets = packet->entry.next;
    uint32_t count = packet->count;
    for (uint32_t i = 0; i < count; i++) free_home(lane, packet->objects[i]);
    packet_give(&lane->memory->depot, packet, &lane->contention);
    return count;
}

static uint32_t open_object(fai_lane *lane)
{
    void *p = lane->stash.objects;
    lane->stash.objects = lane->stash.objects->next; // before the object is anybody else's
    fai_slab_unpost(&lane->memory->blocks, p);
    free_home(lane, p);
    return 1;
}

static void count_drain(fai_lane *lane, uint32_t drained)
{
    lane->changed = true;
    FAI_COUNT(&lane->contention, inbox_drained, drained);
    FAI_COUNT_MAX(&lane->contention, inbox_drain_max, drained);
    fai_event(lane, FA_EVENT_REMOTE_DRAIN, NULL, drained, 0, 0);
}

static void take(fai_lane *lane)
{
    if (fai_mailbox_is_empty(&lane->mailbox)) return;
    FAI_COUNT(&lane->contention, inbox_drains, 1);
    if (lane->stash.packets == NULL) lane->stash.packets = fai_inbox_take_owner(&lane->mailbox.packets);
    if (lane->stash.objects == NULL) lane->stash.objects = fai_inbox_take_owner(&lane->mailbox.objects);
}

void fai_mailbox_refill(fai_lane *lane, const fa_magazine *magazine)
{
    take(lane);
    uint32_t drained = 0;
    while (fa_magazine_count(magazine) == 0 && lane->stash.packets != NULL) drained += open_packet(lane);
    while (fa_magazine_count(magazine) == 0 && lane->stash.objects != NULL) drained += open_object(lane);
    if (drained > 0) count_drain(lane, drained);
}

void fai_mailbox_drain(fai_lane *lane)
{
    uint32_t drained = 0;
    for (;;) {
        while (lane->stash.packets != NULL) drained += open_packet(lane);
        while (lane->stash.objects != NULL) drained += open_object(lane);
        if (fai_mailbox_is_empty(&lane->mailbox)) break;
        take(lane);
    }
    if (drained > 0) count_drain(lane, drained);
}

/// Puts what arrived behind what is there; how many objects there are in all.
static uint64_t receive_packets(fai_lane *lane)
{
    fai_inbox_entry **end = &lane->stash.packets;
    uint64_t count = 0;
    for (int arrived = 0; arrived < 2; arrived++) {
        for (; *end != NULL; end = &(*end)->next) count += ((const fai_packet *)(const void *)*end)->count;
        if (arrived) break;
        *end = fai_inbox_take_owner(&lane->mailbox.packets);
        if (*end != NULL) FAI_COUNT(&lane->contention, inbox_drains, 1);
    }
    return count;
}

static uint64_t receive_objects(fai_lane *lane)
{
    fai_inbox_entry **end = &lane->stash.objects;
    uint64_t count = 0;
    for (int arrived = 0; arrived < 2; arrived++) {
        for (; *end != NULL; end = &(*end)->next) count++;
        if (arrived) break;
        *end = fai_inbox_take_owner(&lane->mailbox.objects);
    }
    return count;
}

bool fai_mailbox_drain_bounded(fai_lane *lane)
{
    uint64_t limit = lane->memory->config.drain_objects_max;
    if (FA_STATISTICS) lane->stats.frees_kept = 0;
    lane->keeps_frees = false;
    if (FA_LIKELY(limit == 0) || fai_load_relaxed(&lane->memory->drain_all) != 0) {
        fai_mailbox_drain(lane);
        return false;
    }
    uint64_t waiting = receive_packets(lane) + receive_objects(lane);
    if (limit < waiting / KEPT_PART) limit = waiting / KEPT_PART;
    uint32_t drained = 0;
    while (drained < limit && lane->stash.packets != NULL) drained += open_packet(lane);
    while (drained < limit && lane->stash.objects != NULL) drained += open_object(lane);
    if (drained > 0) count_drain(lane, drained);
    // A sink that heard of a double free may have received more meanwhile.
    lane->keeps_frees = drained < waiting;
    if (FA_STATISTICS) lane->stats.frees_kept = drained < waiting ? waiting - drained : 0;
    return lane->stash.packets != NULL || lane->stash.objects != NULL;
}
