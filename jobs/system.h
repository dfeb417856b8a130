// SPDX-License-Identifier: MIT
//
// A system: the memory, its lanes, and what they share as a scheduler.
//
//     lanes: 0 the main lane, 1 … worker_count the workers, then attached_max slots for attached threads
#pragma once

#include "alloc/lane.h"
#include "concurrent/inbox.h"
#include "jobs/deque.h"
#include "jobs/hooks.h"
#include "jobs/sleepers.h"

struct fai_main_job;

/// State of a frame slot in one word: number 40 bits | ended 1 | alive 1 | holds 22.
#define FAI_FRAME_HOLDS ((UINT64_C(1) << 22) - 1)
#define FAI_FRAME_ALIVE (UINT64_C(1) << 22)
#define FAI_FRAME_OPEN (UINT64_C(1) << 23)
#define FAI_FRAME_SHIFT 24

struct fa_system {
    fai_memory memory; // first: a fa_system is a fai_memory
    // immutable after init
    uint32_t worker_count;
    uint32_t lane_count;
    uint32_t frame_slots; // frames in flight
    bool checked;
    uint64_t spin_ns; // how long a lane looks for work before it parks
    fai_job *rings;   // of all lanes' deques
    // shared: hardly ever written, so that a lane that looks for work keeps this line
    FAI_ATOMIC(uint32_t) lane_end; // lanes ever used
    FAI_ATOMIC(uint32_t) stopping;
    // owner: the main lane, which writes them once a frame
    FAI_OWN_LINE uint64_t oldest; // first frame that has not retired
    uint64_t newest;              // last frame that was begun
    bool open;
    fa_frame_result gathered;        // promotions since the last begin
    struct fai_main_job *main_first; // main-thread jobs taken from the inbox, oldest first
    struct fai_main_job *main_last;
    // shared: written once a frame
    FAI_ATOMIC(uint32_t) awaited_slot; // frame slot that the parked main lane waits for, FAI_NO_SLOT if none
    FAI_ATOMIC(uint64_t) frame_numbers[FA_FRAMES_IN_FLIGHT_MAX];
    fai_hooks hooks;
    // shared: holds
    FAI_OWN_LINE FAI_ATOMIC(uint64_t) frames[FA_FRAMES_IN_FLIGHT_MAX];
    // shared: main-thread jobs
    FAI_OWN_LINE fai_inbox main_inbox;
    fai_sleepers sleepers;
};
