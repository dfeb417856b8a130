// SPDX-License-Identifier: MIT
//
// Export, version and status: what every other public header needs.
//
// Thread rules used throughout the public headers:
//   lane     any thread that has a context (fa_worker): a worker of the scheduler, the thread that created the
//            system (the main lane, which drives the tick), a thread between fa_attach() and fa_detach().
//   [own]    only the thread that the given fa_worker belongs to may call.
//   [main]   only the thread that called fa_create() may call; others are answered FA_ERROR_WRONG_THREAD.
//   [any]    any thread may call, attached or not.
// Checked systems look who calls an [own] function: on another's thread the call is refused with diagnostic FA201, on a lane that belongs to no
// thread with FA202; it gives NULL or FA_ERROR_WRONG_THREAD and does nothing. Others do not look, and such a call corrupts the lane.
// A NULL fa_worker is answered FA_ERROR_INVALID where there is a status; inlined allocation does not look and faults.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FA_VERSION_MAJOR 0
#define FA_VERSION_MINOR 1
#define FA_VERSION_PATCH 0
#define FA_VERSION_NUMBER (FA_VERSION_MAJOR * 10000 + FA_VERSION_MINOR * 100 + FA_VERSION_PATCH)

#ifdef __cplusplus
#define FA_EXTERN_C extern "C"
#else
#define FA_EXTERN_C
#endif

#define FA_API FA_EXTERN_C __attribute__((visibility("default")))
#define FA_MUST_CHECK __attribute__((warn_unused_result))

/// Clang's thread-safety analysis, for programs that define FA_THREAD_SAFETY before they include framealloc and compile with -Wthread-safety:
/// a lane is a capability that a function holds for the fa_worker it was handed. FA_NEEDS_LANE(w) marks functions that need it, among them all
/// that change a collection; calling one with another lane's context is then a warning. Jobs are declared with FA_JOB(name);
/// FA_HOLDS_LANE marks what grants it (fa_lane_assume()). Empty elsewhere.
#if defined(FA_THREAD_SAFETY) && defined(__clang__)
#define FA_CAPABILITY __attribute__((capability("lane")))
#define FA_NEEDS_LANE(w) __attribute__((requires_capability(w)))
#define FA_HOLDS_LANE(w) __attribute__((assert_capability(w)))
#else
#define FA_CAPABILITY
#define FA_NEEDS_LANE(w)
#define FA_HOLDS_LANE(w)
#endif

#define FA_LIKELY(x) __builtin_expect(!!(x), 1)
#define FA_UNLIKELY(x) __builtin_expect(!!(x), 0)

/// What a call that can fail in a correct program answers. One list gives the values and their texts.
#define FA_STATUS_LIST(X)                                                                                              \
    X(FA_OK, "success")                                                                                                \
    X(FA_ERROR_INVALID, "an argument is invalid")                                                                      \
    X(FA_ERROR_CONFIG, "the configuration was not made by fa_config_default() of this version")                        \
    X(FA_ERROR_MEMORY, "no memory: the system or the configured limit refused")                                        \
    X(FA_ERROR_THREAD, "a thread could not be started")                                                                \
    X(FA_ERROR_FULL, "a configured capacity is used up")                                                               \
    X(FA_ERROR_STATE, "not allowed at this moment")                                                                    \
    X(FA_ERROR_WRONG_THREAD, "not allowed on this thread")                                                             \
    X(FA_ERROR_STALE, "refers to something that has ended")                                                            \
    X(FA_ERROR_BUSY, "would have to wait")                                                                             \
    X(FA_ERROR_DEADLOCK, "the wait could never end")                                                                   \
    X(FA_ERROR_UNSUPPORTED, "not part of this build, or not switched on")                                              \
    X(FA_ERROR_IO, "a file could not be written")

typedef enum fa_status {
#define FA_STATUS_VALUE(name, text) name,
    FA_STATUS_LIST(FA_STATUS_VALUE)
#undef FA_STATUS_VALUE
} fa_status;

/// One system: a scheduler, its lanes and all memory that they hand out. Many may live in one process; they share
/// nothing.
typedef struct fa_system fa_system;

/// A lane's context; see worker.h. Belongs to the system, lives as long as it.
typedef struct fa_worker fa_worker;

/// [any] A sentence for a status, in static storage; never NULL, also for values that are no status.
FA_API const char *fa_status_text(fa_status status);
