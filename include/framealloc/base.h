// SPDX-License-Identifier: MIT
//
// Export, version and status: what every other public header needs.
//
// Thread rules used throughout the public headers:
//   lane     any thread that has a context (fa_worker): a worker of the scheduler, the thread that created the
//            system (the main lane, which drives the tick), a thread between fa_attach() and fa_detach().
//   [own]    only the thread that the given fa_worker belongs to may call, and not while it is idle (fa_idle_begin()).
//   [main]   only the thread that called fa_create() may call; others are answered FA_ERROR_WRONG_THREAD.
//   [any]    any thread may call, attached or not.
//
// Bad input. A refused call changes nothing, whatever the reason. It answers its status, else NULL, 0, false or an empty value ({0}); what
// answers nothing does nothing. Beyond what each function says:
//   Wrong thread. Checked systems (fa_config.checked) look who calls an [own] function: on another's thread it is refused with diagnostic FA201
//     (FA_ERROR_WRONG_THREAD), on a lane that belongs to no thread with FA202 (likewise), on one that is idle with FA202 (FA_ERROR_STATE).
//     Others do not look, and such a call corrupts the lane. [main] functions look in every system; checked ones also report FA201.
//     fa_cell_read() and fa_handle_resolve(), _peek() and _is_valid(), which only read what all lanes share, never look.
//   Alignment. A power of two; 0, and all below 16, stand for 16. Another one, or one above 4096 in the pool, is refused with FA903.
//   Size. 0 bytes are refused without a diagnostic. Count times size is refused where it does not fit in size_t (FA914); a size that no system
//     could have is refused as any other that is too large (FA003, FA301).
//   NULL. A NULL fa_worker, fa_system or place for a result is answered FA_ERROR_INVALID where there is a status, else as above. The inlined
//     functions for frame, scope and pool memory, and fa_pool_free(), do not look at the fa_worker and fault.
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

/// An inlined function that allocates an object: in programs compiled without optimisation too, so that the site that checked systems record
/// (debug.h) is the line that calls it.
#define FA_INLINE static inline __attribute__((always_inline))

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
