// SPDX-License-Identifier: MIT
//
// What happens beside the ticks of the soak: objects of all kinds are made on one lane and freed on another, cells replaced and
// promoted into, groups freed, a scratch pool reset; threads attach, allocate, park with their objects given away, detach and end; the memory
// limit is hit and released; and the operating system refuses calls to other systems of the process. All payloads are checked.
//
// What is alive is bounded by the tables here, so that memory must stay flat. Nothing may be refused but while the limit is being hit.
#pragma once

#include "soak_course.h"

struct churn_counts {
    uint64_t traded;  // objects that one lane made and, mostly, another freed
    uint64_t cells;   // versions put into cells
    uint64_t groups;  // freed
    uint64_t visits;  // of attached threads, from attach to detach
    uint64_t parked;  // visits in which the lane parked while others freed its objects
    uint64_t threads; // that ended
    uint64_t limits;  // times that the memory limit was hit
    uint64_t refused; // calls that the operating system refused to other systems
};

/// Attached threads that churn_begin() needs room for, blocks (2 MiB) that its objects need at most.
#define CHURN_ATTACHED_MAX 8u
#define CHURN_BLOCKS 48u

/// [main lane] `planted`: a small object a frame is forgotten.
void churn_begin(struct course *course, uint64_t seed, bool planted);

/// [main lane] Submits this frame's jobs; waits for them. Both inside the frame.
void churn_submit(void);
void churn_wait(void);

/// [main lane, between frames] Wakes visitors, frees groups, now and then hits the limit.
void churn_between(void);

/// [main lane, between frames] Ends the visitors and gives back all that lives.
void churn_end(struct churn_counts *out);
