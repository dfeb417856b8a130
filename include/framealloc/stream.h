// SPDX-License-Identifier: MIT
//
// Streams: large assets that are loaded in steps, read when they are ready, and evicted when more important ones need
// their place in a budget.
//
//     RESERVED ──load_begin──▶ LOADING ──load_end──▶ READY ──────▶ EVICTING ──▶ gone
//        ▲                        │                    │   evicted, or freed while pinned
//        └──────load_abort────────┘                    └──free──▶ gone
//
// fa_stream_reserve() counts a stream against the budget (fa_config.stream_bytes_max) and takes no memory yet; the first
// fa_stream_load_begin() takes it. A reserve that finds no room evicts streams that are ready, not pinned and of strictly
// lower priority: lowest priority first, then least recently used, then oldest. It plans first: one that cannot succeed evicts
// nothing. A stream that is pinned, or that somebody pins before the plan is carried out, stays.
//
// Memory of an evicted or freed stream stays readable until every lane has passed a quiescent state (promote.h) and is given
// back at a later frame boundary; until then it is out of the budget and counted as `leaving`.
//
// "Used" is: its load ended, it was pinned or touched, each with its place in the frame, or it was read (fa_stream_read), which
// counts once a frame, so that the order does not depend on which worker reads first. What several lanes pin or touch in one frame is in
// order for each of them.
//
// What [own], [main] and [any] mean, and what a wrong thread, NULL, size or alignment is answered: base.h. A refused call changes nothing.
#pragma once

#include <framealloc/worker.h>

/// A stream, by number and generation. {0} is none. A call with one that the program freed, or that never was one of this system, is reported in
/// checked systems (FA401); of one that was evicted nothing is said. A number is used again, with another generation; never a generation.
typedef struct fa_stream {
    uint64_t bits;
} fa_stream;

typedef enum fa_stream_priority {
    FA_STREAM_LOW,      // first to go
    FA_STREAM_NORMAL,   // goes for high and critical
    FA_STREAM_HIGH,     // goes for critical only
    FA_STREAM_CRITICAL, // is never evicted
} fa_stream_priority;

typedef enum fa_stream_state {
    FA_STREAM_NONE,     // never was, or is gone
    FA_STREAM_RESERVED, // counted, no memory
    FA_STREAM_LOADING,  // has memory that a loader writes
    FA_STREAM_READY,    // may be pinned and read
    FA_STREAM_EVICTING, // on its way out: its callback runs, or it was freed while pinned or loading
} fa_stream_state;

/// A stream that is being evicted, for its callback.
typedef struct fa_stream_eviction {
    fa_stream stream; // EVICTING; gone when the callback returns
    const char *name;
    void *user;
    const void *data; // may still be read, as what fa_stream_read() gave
    size_t size;
    fa_stream_priority priority;
} fa_stream_eviction;

/// Called before the memory of an evicted stream goes, on the lane whose reserve evicts it, inside that call, in the order of
/// eviction. No lock is held: it may use the library, streams too. The bytes are the new stream's already.
typedef void fa_stream_evict_fn(fa_worker *w, const fa_stream_eviction *eviction);

typedef struct fa_stream_options {
    const char *name;          // static storage, or NULL
    void *user;                // handed to `evict`
    fa_stream_evict_fn *evict; // may be NULL; not called for streams that are freed
    size_t align;              // of the memory, bytes: any power of two; 0 stands for 16
} fa_stream_options;

/// [own] Counts `size` bytes against the budget and makes a stream, RESERVED, in *out. Evicts if it must. Costs one compare-and-swap when there
/// is room, else a look at all streams. `options` may be NULL. On failure *out is {0} and nothing was evicted. FA_ERROR_INVALID: NULL, size 0, no
/// such priority, or an alignment that is none (FA903). FA_ERROR_FULL: the budget has no room that this priority may make, or streams_max are in
/// use (FA402, when refusals are a power of two), or the hard budget of the lane's tag, which pays until the stream is gone, refuses (FA302),
/// also if an eviction would have made room there. FA_ERROR_BUSY: other lanes that are reserving hold what this one would need, and may give it
/// back: try again.
FA_API FA_MUST_CHECK fa_status fa_stream_reserve(fa_worker *w, size_t size, fa_stream_priority priority,
                                                 const fa_stream_options *options, fa_stream *out);

/// [own] RESERVED: takes the memory (uninitialised; not zeroed) and begins to load. LOADING: gives the same memory again, for the next step. The
/// memory is the loader's until fa_stream_load_end(), fa_stream_load_abort() or a load call that answers FA_ERROR_STALE, over jobs, frames and
/// fa_idle_begin(). One lane drives a load at a time; the load belongs to the lane that called this last. FA_ERROR_MEMORY: memory_max or the
/// system refuses; still RESERVED. (Memory of evicted streams comes back at a later frame boundary.) FA_ERROR_STATE: ready already.
/// FA_ERROR_BUSY: another lane begins, ends or aborts the load this moment. FA_ERROR_STALE: gone, or freed by another lane meanwhile; its memory
/// is no longer the loader's. FA_ERROR_INVALID: NULL, or never was a stream. *memory is NULL on failure.
FA_API FA_MUST_CHECK fa_status fa_stream_load_begin(fa_worker *w, fa_stream stream, void **memory);

/// [own] `bytes` of it are loaded now: absolute, cut at the size, never backwards. FA_ERROR_STATE: not loading.
/// FA_ERROR_BUSY, FA_ERROR_STALE, FA_ERROR_INVALID as fa_stream_load_begin().
FA_API fa_status fa_stream_progress(fa_worker *w, fa_stream stream, size_t bytes);

/// [own] All is loaded: READY. Whoever pins or reads it sees what the loader wrote before this call. Errors as fa_stream_progress().
FA_API fa_status fa_stream_load_end(fa_worker *w, fa_stream stream);

/// [own] Gives the memory back at once, so nobody may write any more: RESERVED again. Errors as fa_stream_progress().
FA_API fa_status fa_stream_load_abort(fa_worker *w, fa_stream stream);

/// [own] Keeps a ready stream where it is until fa_stream_unpin(), over jobs and frames; pins nest, and count for all lanes together.
/// `data` and `size` may be NULL. FA_ERROR_STATE: not ready yet. FA_ERROR_STALE: gone, or freed. FA_ERROR_FULL: 2^26 - 1 pins.
/// FA_ERROR_INVALID: NULL, or never was a stream. *data is NULL on failure.
FA_API FA_MUST_CHECK fa_status fa_stream_pin(fa_worker *w, fa_stream stream, const void **data, size_t *size);

/// [own] Takes one pin off, on whichever lane. The last one of a stream that was freed meanwhile lets it go. FA_ERROR_STATE: not pinned.
/// FA_ERROR_STALE: gone. FA_ERROR_INVALID: NULL, or never was a stream.
FA_API fa_status fa_stream_unpin(fa_worker *w, fa_stream stream);

/// [own] A short read without a pin: one load, no counter. The data stays valid until the current job ends (main lane
/// outside jobs: until fa_frame_end() or fa_idle_begin(); attached thread: until fa_quiescent(), fa_idle_begin() or fa_detach()), although it may
/// be evicted meanwhile. NULL: not ready, gone, never was a stream, or a NULL worker. `size` (bytes) may be NULL; it is not touched then.
FA_API const void *fa_stream_read(fa_worker *w, fa_stream stream, size_t *size);

/// [own] Counts as a use if it is ready, else nothing happens (FA_OK). FA_ERROR_STALE: gone, or freed. FA_ERROR_INVALID: NULL, or never was a stream.
FA_API fa_status fa_stream_touch(fa_worker *w, fa_stream stream);

/// [own] From here on it has that priority. FA_ERROR_INVALID: NULL, no such priority, or never was a stream. FA_ERROR_STALE: gone, freed or being
/// evicted.
FA_API fa_status fa_stream_set_priority(fa_worker *w, fa_stream stream, fa_stream_priority priority);

/// [own] Ends a stream in any state; its handle is stale from here on. Its bytes leave the budget at once, with two exceptions:
/// pinned, they leave with the last unpin; being loaded by another lane, with that loader's next load call, which answers
/// FA_ERROR_STALE. FA_ERROR_STALE: gone, freed or being evicted. FA_ERROR_INVALID: NULL, or never was a stream.
FA_API fa_status fa_stream_free(fa_worker *w, fa_stream stream);

/// [any] Where it stands at this moment; FA_STREAM_NONE also for NULL.
FA_API fa_stream_state fa_stream_state_of(const fa_system *fa, fa_stream stream);

/// [any] Bytes loaded so far; 0 when it is gone, and for NULL.
FA_API size_t fa_stream_loaded(const fa_system *fa, fa_stream stream);

/// A stream pinned for a block, by FA_STREAM_PINNED. `data` is NULL when it could not be pinned, and `status` says why.
typedef struct fa_stream_pinned {
    fa_worker *worker;
    fa_stream stream;
    const void *data;
    size_t size;
    fa_status status;
} fa_stream_pinned;

/// [own] What FA_STREAM_PINNED expands to, for use by hand: begin and end pair up. Begin is fa_stream_pin(): `data` is NULL when it is refused, and
/// there is nothing to end; the end is fa_stream_unpin(), once. NULL is allowed. An end that is refused keeps its pin.
FA_API fa_stream_pinned fa_stream_pinned_begin(fa_worker *w, fa_stream stream);
FA_API void fa_stream_pinned_end(fa_stream_pinned *pinned);

/// A declaration of `name`: the stream is pinned until the enclosing block is left, by any way out.
///
///     FA_STREAM_PINNED(w, stream, texture);
///     if (texture.data != NULL) upload(texture.data, texture.size);
#define FA_STREAM_PINNED(w, stream, name)                                                                              \
    fa_stream_pinned name __attribute__((cleanup(fa_stream_pinned_end), unused)) = fa_stream_pinned_begin(w, stream)

/// Streams at this moment. Each figure is exact by itself; together they are when nobody uses streams meanwhile.
typedef struct fa_stream_stats {
    uint64_t budget;         // bytes
    uint64_t reserved_bytes; // counted against it now; never more than it
    uint64_t reserved_peak;
    uint64_t loaded_bytes;   // in streams that are ready, and loaded so far of those that are being loaded
    uint64_t loading_bytes;  // sizes of streams that are being loaded
    uint64_t loading_loaded; // of them, loaded so far
    uint64_t leaving_bytes;  // evicted or freed, waiting for their grace period; out of the budget
    uint64_t streams;        // that are not gone
    uint64_t reserved;       // of them, in each state
    uint64_t loading;
    uint64_t ready;
    uint64_t evicting;
    uint64_t leaving;   // streams that leaving_bytes were
    uint64_t evictions; // since creation
    uint64_t evicted_bytes;
    uint64_t refused;       // reserves answered FA_ERROR_FULL
    double utilisation;     // percent of the budget that is reserved
    double loading_percent; // loading_loaded of loading_bytes; 100 when nothing is being loaded
} fa_stream_stats;

/// [any] FA_ERROR_INVALID: NULL.
FA_API fa_status fa_stream_stats_read(const fa_system *fa, fa_stream_stats *out);
