// SPDX-License-Identifier: MIT
//
// Events: what agents do that others can hear. Short-lived objects of the pool.
//
//   tick t      the lane that moves agent i allocates its event: world->born[i]
//   tick t + 1  the events phase, on any lane, lets everybody near hear it and moves it from world->taken[i] to
//               a list in frame memory; jobs that nobody waits for free the list, on any lane, while later ticks
//               may already run
//
// So most events die on another lane than they were born on. Each carries a seal, verified when it is consumed.
#pragma once

#include "world.h"

enum event_kind {
    EVENT_STEP,    // somebody walks by
    EVENT_BUMP,    // … into a wall
    EVENT_ARRIVAL, // … has reached its goal
    EVENT_SHOUT,   // … is frightened
    EVENT_KINDS,
};
extern const char *const event_names[EVENT_KINDS];

struct event {
    uint64_t seal;
    uint32_t source; // agent
    uint32_t tick;
    struct point at;
    uint32_t kind;
};

/// [move phase, lane that moves the agent] Makes the event of agent `source`; false after a fault.
bool event_emit(fa_worker *w, struct world *world, uint32_t source, enum event_kind kind, struct point at);

/// Consumes the events of the tick before. False after a fault.
bool events_run(fa_worker *w, struct world *world);

/// [main lane, after the last tick] Frees the events that no tick will consume.
void events_drop(fa_worker *w, struct world *world);
