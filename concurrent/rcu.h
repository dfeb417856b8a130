// SPDX-License-Identifier: MIT
//
// Grace periods: liburcu's QSBR flavour behind a few functions. A registered thread that is online may hold pointers it
// read from shared cells; at a quiescent state, and while offline, it holds none.
//
// Several systems of this library may share a thread, and the application may use the same flavour itself: registration
// and online state nest per thread, and a quiescent state is announced only when a single system is inside, and the application was offline.
// What the application had set up stays as it was: registered, online or offline.
//
// Grace periods are waited for by a reclaimer thread of the system's own, nobody else ever waits.
// (liburcu 0.13 has no polling interface, and its call_rcu helper thread can be neither joined nor detached.) It looks for requests
// every POLL_NS while there are some now and then, so that asking is a store and a fence; after a quiet while it sleeps, and the next
// request wakes it.
//
//                       online/quiescent/offline   start_owner   is_done_any
//   online/…/offline              -                     -             -
//   start_owner                   -                     X             -
#pragma once

#include "concurrent/order.h"

struct fai_reclaimer;

/// One grace period at a time. Zero-initialised.
typedef struct fai_grace {
    // owner: the thread that starts it
    uint64_t started;
    struct fai_reclaimer *reclaimer; // NULL when closed
} fai_grace;

/// [own] Registers the calling thread, offline; pairs with fai_rcu_unregister().
void fai_rcu_register(void);
void fai_rcu_unregister(void);

/// [own] The calling thread may read shared cells from online to offline. Nest.
void fai_rcu_online(void);
void fai_rcu_offline(void);

/// [any] Asks for the code of what follows, see layout.h.
void fai_rcu_fetch(void);

/// [own] Between online and offline: no pointer read before is used afterwards.
void fai_rcu_quiescent(void);

/// [own] Starts the reclaimer, asleep; false: no thread to be had. Here and not with the first request, so that no frame pays for it.
bool fai_grace_open_owner(fai_grace *grace);

/// [own] Asks for a grace period that begins now; the one before must be done.
void fai_grace_start_owner(fai_grace *grace);

/// [any] Whether the last grace period that was started is over.
bool fai_grace_is_done_any(const fai_grace *grace);

/// [own] Stops the reclaimer; shutdown only, when no lane of the system reads any more, so that what it waits for no longer matters. Waits
/// for its thread unless the caller is a reader of another system: that would be waiting for itself, so the thread is left to end alone.
void fai_grace_close_owner(fai_grace *grace);
