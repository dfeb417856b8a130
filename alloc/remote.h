// SPDX-License-Identifier: MIT
//
// Frees that travel home. A lane that frees another's object writes the address into a packet for its owner: no atomic, and the
// object itself is not touched. A full packet, or one that stands for 16 KiB, is posted to the owner's inbox with one compare-and-
// swap; all others when the lane runs out of work and at the frame boundary. The owner takes its inbox whole.
//
// Packets come from a depot shared by all lanes. When it is exhausted, and for threads that are no lane, the object itself is pushed
// on a second inbox of its owner, linked through its first word.
//
// An owner that needs an object takes its inbox whole, but opens packets one by one as magazines run empty: addresses go straight from
// packet to magazine, and no allocation pays for all that came home. The boundary opens the rest.
//
//     floating objects of an owner == those in others' outboxes + in its two inboxes + in its stash; zero after a boundary
#pragma once

#include "alloc/slab.h"
#include "concurrent/inbox.h"
#include "concurrent/index_stack.h"

// One less than a magazine holds, so that a packet fills an empty one.
#define FAI_PACKET_OBJECTS 61
#define FAI_PACKET_BYTES_MAX ((size_t)16 << 10)

typedef struct fai_packet {
    fai_inbox_entry entry;     // first: an inbox entry is a packet
    FAI_ATOMIC(uint32_t) link; // in the depot
    uint32_t count;
    void *objects[FAI_PACKET_OBJECTS];
    uint64_t bytes;
} fai_packet;

_Static_assert(sizeof(fai_packet) == 512, "a packet is half a KiB");

/// Free packets, shared by all lanes of a system.
typedef struct fai_depot {
    // immutable after init
    fai_packet *packets;
    uint32_t capacity;
    // shared
    FAI_OWN_LINE fai_index_stack free;
    FAI_ATOMIC(uint32_t) made; // packets ever used
} fai_depot;

/// Packets are touched so many at a time.
#define FAI_DEPOT_BATCH 64u

bool fai_depot_init(fai_depot *depot);
void fai_depot_exit(fai_depot *depot);

/// Where others' frees arrive.
typedef struct fai_mailbox {
    FAI_OWN_LINE fai_inbox packets;
    fai_inbox objects;
    FAI_ATOMIC(uint64_t) foreign_frees; // of threads that are no lane
} fai_mailbox;

/// What an owner has taken from its mailbox and not yet opened.
typedef struct fai_stash {
    fai_inbox_entry *packets;
    fai_inbox_entry *objects;
} fai_stash;

/// What one lane has gathered for the others.
typedef struct fai_outbox {
    // owner
    fai_packet **open; // per lane, NULL if none
    uint32_t *pending; // lanes with an open packet
    uint32_t pending_count;
    uint64_t held; // objects in open packets
} fai_outbox;
