// SPDX-License-Identifier: MIT
//
// Handing an object from one lane to another: the sender gives up a pool or heap object for a ticket, whoever presents the ticket first gets
// the object, everybody else is told that it is gone. A ticket is a value: it travels in a job's arguments, a message, a queue.
//
//     sender                  ticket              receiver
//     owns p     -> send ->   owns p   -> receive ->  owns p, once
//
// A ticket that nobody presents keeps its object: it is live for all accounts, is listed among the leaks at fa_destroy() (FA910) and released
// with the system. The sender may take it back by presenting the ticket itself.
//
// Objects in blocks of their own (above 2 MiB, or aligned to it) change their owner: they belong to the receiver's lane afterwards, and freed there
// their blocks are at once free for all. Smaller ones stay in the slab or block of the lane that made them, of which they are a part, and travel
// home when they are freed, as any free does, without an atomic for each.
//
// What [own], [main] and [any] mean, and what a wrong thread, NULL, size or alignment is answered: base.h. A refused call changes nothing.
#pragma once

#include <framealloc/base.h>

/// A ticket. {0} is none.
typedef struct fa_transfer {
    uint64_t bits;
} fa_transfer;

/// [own] Gives up p, a live pool or heap object that the caller owns: until it is received nobody may use or free it. What was written to it
/// is visible to who receives it. FA_ERROR_FULL: transfers_max objects are on their way; p stays the caller's. FA_ERROR_INVALID: NULL, or p is no
/// such object (one that was freed is noticed in checked systems, and reported as FA201). *out is {0} when it fails, and p
/// the caller's as before.
FA_API FA_MUST_CHECK fa_status fa_transfer_send(fa_worker *w, void *p, fa_transfer *out);

/// [own] Receives the object: exactly one of all calls with this ticket gets it. FA_ERROR_STALE: it was received already, or never was a ticket
/// of this system (that alone is reported in checked systems, FA401). FA_ERROR_INVALID: NULL. *out is NULL when it fails.
FA_API FA_MUST_CHECK fa_status fa_transfer_receive(fa_worker *w, fa_transfer ticket, void **out);
