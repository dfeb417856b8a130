// SPDX-License-Identifier: MIT
//
// What rows M1 and M2 compare with: the functions of the public headers that examples/level_tick calls, made of TBB and mimalloc, as an
// engine would that has these two. The example's own objects are linked with this file in place of the library.
//
//   jobs        tasks of a tbb::task_group: one for each counter, one for what only the frame waits for. Loops: tbb::parallel_for.
//   frame and   a linear allocator a thread, in huge pages. Cursor and end are those of the lane's context, so that the headers' inlined
//   scope       functions allocate from it without a call.
//   pool, heap  mimalloc.
//   promotion   allocated by mimalloc where it is retained, published at the frame's end without a copy; what was replaced or dropped is
//               freed two frames later.
//   handles     a slot each with a generation, resolved by the headers' inlined function; slots free at hand by thread. Objects stay where
//               they are.
//   streams     mimalloc, a list under a mutex: some calls a tick.
//   groups      linear memory in pieces of 64 KiB, under a mutex: only loading allocates from them.
//   nothing     tags, phases, budgets, statistics: who does without the library does without them.
//
// Not for others: frames do not overlap, only the main thread submits counted jobs and waits, alignments are at most 16 except where the
// example asks for more.
#include <framealloc/framealloc.h>

#include <mimalloc.h>
#include <sys/mman.h>
#include <tbb/blocked_range.h>
#include <tbb/global_control.h>
#include <tbb/parallel_for.h>
#include <tbb/task_group.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace {

constexpr size_t range_bytes = size_t{1} << 30; // of addresses, for what a thread allocates in a frame
constexpr size_t piece_bytes = size_t{64} << 10;
constexpr uint32_t counters_max = 255; // with jobs in one frame
constexpr uint32_t slots_ahead = 64;   // of handles, taken by a thread at a time
constexpr uint64_t place_reach = uint64_t{1} << 40;

unsigned char *round_up(unsigned char *p, size_t align)
{
    return p + (align - reinterpret_cast<uintptr_t>(p) % align) % align;
}

/// A range of addresses, memory where it is touched.
class range {
public:
    range()
        : mapped_(
              mmap(nullptr, range_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0))
    {
        if (mapped_ == MAP_FAILED) return;
        madvise(mapped_, range_bytes, MADV_HUGEPAGE);
        begin = round_up(static_cast<unsigned char *>(mapped_), size_t{2} << 20);
        end = static_cast<unsigned char *>(mapped_) + range_bytes;
    }
    ~range()
    {
        if (mapped_ != MAP_FAILED) munmap(mapped_, range_bytes);
    }
    range(const range &) = delete;
    range &operator=(const range &) = delete;

    unsigned char *begin = nullptr;
    unsigned char *end = nullptr;

private:
    void *mapped_;
};

fa_magazine no_magazines[FA_CLASS_COUNT]; // empty all: the headers' inlined functions go on to mimalloc

/// A thread's context.
struct lane : fa_worker {
    explicit lane(fa_system *of) : fa_worker{}
    {
        system = of;
        magazines = no_magazines;
        scope_cursor = scopes.begin;
        scope_end = scopes.end;
        reset();
    }
    void reset()
    {
        frame_cursor = frames.begin;
        frame_end = frames.end;
    }
    ~lane()
    {
        for (auto &list : dropped)
            for (void *object : list) mi_free(object);
    }

    range frames, scopes;
    std::vector<fa_promotion> retained;
    std::vector<void *> dropped[3]; // by frame
    std::vector<uint32_t> slots;    // free ones of handles
};

/// Linear memory in pieces.
struct group {
    std::mutex mutex;
    std::vector<void *> pieces;
    unsigned char *cursor = nullptr;
    unsigned char *end = nullptr;
    fa_group_info info = {};
    bool live = true;

    void *alloc(size_t size, size_t align)
    {
        std::lock_guard<std::mutex> lock(mutex);
        align = std::max<size_t>(align, 16);
        info.objects++;
        info.bytes += size;
        if (size > piece_bytes / 4) {
            pieces.push_back(mi_malloc_aligned(size, align));
            return pieces.back();
        }
        unsigned char *p = cursor ? round_up(cursor, align) : nullptr;
        if (!p || p > end || size > static_cast<size_t>(end - p)) {
            pieces.push_back(mi_malloc(piece_bytes));
            if (!pieces.back()) return nullptr;
            cursor = static_cast<unsigned char *>(pieces.back());
            end = cursor + piece_bytes;
            p = round_up(cursor, align);
        }
        cursor = p + size;
        return p;
    }
    void clear()
    {
        for (void *piece : pieces) mi_free(piece);
        pieces.clear();
        cursor = end = nullptr;
    }
    ~group() { clear(); }
};

struct scratch {
    std::string name;
    uint64_t capacity, used = 0;
    bool live = true;
    std::vector<void *> arrays;
    void clear()
    {
        for (void *array : arrays) mi_free(array);
        arrays.clear();
        used = 0;
    }
    ~scratch() { clear(); }
};

struct stream {
    uint32_t generation = 1;
    fa_stream_state state = FA_STREAM_NONE;
    fa_stream_priority priority = FA_STREAM_LOW;
    uint32_t pins = 0;
    uint64_t used = 0, made = 0;
    size_t size = 0, loaded = 0;
    void *data = nullptr;
    fa_stream_options options = {};
};

/// A job's function and what it gets.
struct call {
    fa_job_fn *fn;
    bool inside; // the argument lies in `bytes`
    union {
        void *pointer;
        alignas(16) unsigned char bytes[FA_JOB_INLINE];
    };
};

} // namespace

struct fa_system {
    explicit fa_system(const fa_config &asked)
        : config(asked), threads(tbb::global_control::max_allowed_parallelism, asked.worker_count + 1)
    {
    }
    ~fa_system()
    {
        for (stream &each : streams) mi_free(each.data);
        if (slots) munmap(slots, handles_bytes());
    }
    size_t handles_bytes() const { return config.handles_max * sizeof(fa_handle_slot); }

    fa_config config;
    tbb::global_control threads;
    uint64_t serial = 0;
    std::mutex mutex;                         // of the lists of lanes, groups and scratch pools
    std::vector<std::unique_ptr<lane>> lanes; // the main thread's first
    std::vector<std::unique_ptr<group>> groups;
    std::vector<std::unique_ptr<scratch>> scratches;

    uint64_t frame = 0;
    tbb::task_group frame_jobs;
    std::vector<std::unique_ptr<tbb::task_group>> counted; // the first `counted_used` have jobs in this frame
    uint32_t counted_used = 0;
    std::vector<fa_promotion> promoted;

    fa_handle_slot *slots = nullptr;
    uintptr_t handle_base = 0;
    std::atomic<uint32_t> slots_used{1};

    std::mutex streams_mutex;
    std::vector<stream> streams;
    std::vector<uint32_t> streams_free;
    uint64_t stream_bytes = 0, stream_clock = 0;
};

namespace {

std::atomic<fa_system *> current{nullptr};
std::atomic<uint64_t> systems{0};

lane *enrol(fa_system *fa)
{
    auto made = std::make_unique<lane>(fa);
    made->handle_slots = fa->slots;
    made->handle_base = fa->handle_base;
    made->handle_count = fa->config.handles_max;
    std::lock_guard<std::mutex> lock(fa->mutex);
    made->index = static_cast<uint32_t>(fa->lanes.size());
    fa->lanes.push_back(std::move(made));
    return fa->lanes.back().get();
}

lane *lane_of(fa_worker *w) { return static_cast<lane *>(w); }

/// The calling thread's.
lane *self()
{
    static thread_local lane *mine = nullptr;
    static thread_local uint64_t serial = 0;
    fa_system *fa = current.load(std::memory_order_relaxed);
    if (FA_UNLIKELY(serial != fa->serial)) {
        mine = enrol(fa);
        serial = fa->serial;
    }
    return mine;
}

/// Runs a job's function; its scope memory ends with it.
template <class Run> void run_job(Run run)
{
    lane *w = self();
    unsigned char *mark = w->scope_cursor;
    run(w);
    w->scope_cursor = mark;
}

bool make_call(fa_worker *w, fa_job_fn *fn, const void *arg, size_t size, call *out)
{
    out->fn = fn;
    out->inside = size > 0 && size <= FA_JOB_INLINE;
    out->pointer = const_cast<void *>(arg);
    if (out->inside) std::memcpy(out->bytes, arg, size);
    if (size <= FA_JOB_INLINE) return true;
    out->pointer = fa_frame_alloc(w, size);
    return out->pointer && std::memcpy(out->pointer, arg, size);
}

void start(tbb::task_group &group, const call &made, fa_counter *counter)
{
    group.run([made, counter] {
        run_job([&](fa_worker *w) {
            alignas(16) unsigned char bytes[FA_JOB_INLINE];
            if (made.inside) std::memcpy(bytes, made.bytes, sizeof bytes);
            made.fn(w, made.inside ? bytes : made.pointer);
        });
        if (counter) __atomic_fetch_sub(&counter->state, 1, __ATOMIC_RELEASE);
    });
}

/// The task group of a counter in this frame; nullptr: there are too many.
tbb::task_group *group_of(fa_system *fa, fa_counter *counter)
{
    const auto frame = static_cast<uint32_t>(fa->frame & 0xffffff);
    if (counter->runner != 0 && counter->runner >> 8 == frame) return fa->counted[counter->runner & 0xff].get();
    if (fa->counted_used == counters_max) return nullptr;
    if (fa->counted_used == fa->counted.size()) fa->counted.push_back(std::make_unique<tbb::task_group>());
    counter->runner = frame << 8 | fa->counted_used;
    return fa->counted[fa->counted_used++].get();
}

fa_status submit(fa_worker *w, fa_counter *counter, fa_job_fn *fn, const void *arg, size_t size)
{
    fa_system *fa = w->system;
    call made;
    if (!make_call(w, fn, arg, size, &made)) return FA_ERROR_MEMORY;
    if (!counter) {
        start(fa->frame_jobs, made, nullptr);
        return FA_OK;
    }
    if (w->index != 0) return FA_ERROR_UNSUPPORTED;
    tbb::task_group *group = group_of(fa, counter);
    if (!group) return FA_ERROR_FULL;
    __atomic_fetch_add(&counter->state, 1, __ATOMIC_RELAXED);
    start(*group, made, counter);
    return FA_OK;
}

void drop_version(lane *w, void *object)
{
    if (object) w->dropped[w->system->frame % 3].push_back(object);
}

void *bump(unsigned char *&cursor, unsigned char *end, size_t size, size_t align)
{
    unsigned char *p = round_up(cursor, std::max<size_t>(align, 16));
    if (size == 0 || p > end || size > static_cast<size_t>(end - p)) return nullptr;
    cursor = p + ((size + 15) & ~size_t{15});
    return p;
}

group *find_group(fa_worker *w, fa_group id)
{
    auto &all = w->system->groups;
    return id.id == 0 || id.id > all.size() || !all[id.id - 1]->live ? nullptr : all[id.id - 1].get();
}

scratch *find_scratch(fa_worker *w, fa_scratch id)
{
    auto &all = w->system->scratches;
    return id.id == 0 || id.id > all.size() || !all[id.id - 1]->live ? nullptr : all[id.id - 1].get();
}

} // namespace

// ---- the system ----------------------------------------------------------------------------------------------------

fa_config fa_config_default(void)
{
    fa_config config = {};
    config.worker_count = FA_WORKERS_AUTO;
    config.frames_in_flight = 1;
    config.handles_max = 1048576;
    config.stream_bytes_max = uint64_t{256} << 20;
    return config;
}

fa_status fa_create(const fa_config *config, fa_system **out)
{
    fa_config asked = *config;
    *out = nullptr;
    if (asked.frames_in_flight != 1) return FA_ERROR_UNSUPPORTED;
    if (asked.worker_count == FA_WORKERS_AUTO)
        asked.worker_count = std::max(std::thread::hardware_concurrency(), 2u) - 1;
    auto fa = std::make_unique<fa_system>(asked);
    void *slots = mmap(nullptr, fa->handles_bytes(), PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (slots == MAP_FAILED) return FA_ERROR_MEMORY;
    fa->slots = static_cast<fa_handle_slot *>(slots);
    void *probe = mi_malloc(64);
    auto address = reinterpret_cast<uintptr_t>(probe) & ~uintptr_t{15};
    fa->handle_base = address > place_reach ? address - place_reach : 0; // as far below as above
    mi_free(probe);
    fa->serial = ++systems;
    current = fa.get();
    (void)self();
    *out = fa.release();
    return FA_OK;
}

fa_status fa_destroy(fa_system *fa)
{
    delete fa;
    current = nullptr;
    return FA_OK;
}

fa_worker *fa_self(fa_system *) { return self(); }
uint32_t fa_worker_count(const fa_system *fa) { return fa->config.worker_count; }
fa_status fa_idle_begin(fa_worker *) { return FA_OK; }
fa_status fa_idle_end(fa_worker *) { return FA_OK; }

const char *fa_status_text(fa_status status)
{
    switch (status) {
#define TEXT(name, text)                                                                                               \
    case name: return text;
        FA_STATUS_LIST(TEXT)
#undef TEXT
    }
    return "no status";
}

// ---- jobs ----------------------------------------------------------------------------------------------------------

fa_status fa_submit_job(fa_worker *w, const fa_job *job)
{
    if (job->flags != FA_JOB_ANY) return FA_ERROR_UNSUPPORTED;
    return submit(w, job->counter, job->fn, job->arg, job->arg_size);
}

fa_status fa_submit_counted(fa_worker *w, fa_counter *counter, fa_job_fn *fn, void *arg)
{
    return submit(w, counter, fn, arg, 0);
}

fa_status fa_submit_many(fa_worker *w, fa_counter *counter, fa_job_fn *fn, const void *args, size_t size,
                         uint32_t count)
{
    fa_status status = FA_OK;
    for (uint32_t i = 0; i < count && status == FA_OK; i++)
        status = submit(w, counter, fn, static_cast<const unsigned char *>(args) + i * size, size);
    return status;
}

fa_status fa_wait(fa_worker *w, fa_counter *counter)
{
    if (fa_is_done(counter)) return FA_OK;
    if (w->index != 0) return FA_ERROR_UNSUPPORTED;
    group_of(w->system, counter)->wait();
    return FA_OK;
}

fa_status fa_parallel_for(fa_worker *, uint64_t first, uint64_t last, uint64_t grain, fa_range_fn *fn, void *arg)
{
    tbb::parallel_for(tbb::blocked_range<uint64_t>(first, std::max(first, last), std::max<uint64_t>(grain, 1)),
                      [=](const tbb::blocked_range<uint64_t> &piece) {
                          run_job([&](fa_worker *w) { fn(w, piece.begin(), piece.end(), arg); });
                      });
    return FA_OK;
}

// ---- frames, scopes, promotion -------------------------------------------------------------------------------------

fa_status fa_frame_begin(fa_system *fa)
{
    fa->frame++;
    return FA_OK;
}

fa_status fa_frame_end(fa_system *fa, fa_frame_result *result)
{
    for (uint32_t i = 0; i < fa->counted_used; i++) fa->counted[i]->wait();
    fa->frame_jobs.wait();
    fa->counted_used = 0;
    fa->promoted.clear();
    lane *main = fa->lanes[0].get();
    for (auto &each : fa->lanes) {
        for (fa_promotion &item : each->retained) {
            drop_version(main, __atomic_exchange_n(&item.cell->pointer, item.to, __ATOMIC_ACQ_REL));
            fa->promoted.push_back(item);
        }
        each->retained.clear();
        each->reset();
    }
    for (auto &each : fa->lanes) {
        auto &old = each->dropped[(fa->frame + 1) % 3];
        for (void *object : old) mi_free(object);
        old.clear();
    }
    if (!result) return FA_OK;
    *result = fa_frame_result{};
    result->frame = fa->frame;
    result->retired = 1;
    result->count = result->to_pool = static_cast<uint32_t>(fa->promoted.size());
    result->items = fa->promoted.data();
    return FA_OK;
}

void *fa_frame_alloc_slow(fa_worker *w, size_t size, size_t align)
{
    return bump(w->frame_cursor, w->frame_end, size, align);
}
void *fa_scope_alloc_slow(fa_worker *w, size_t size, size_t align)
{
    return bump(w->scope_cursor, w->scope_end, size, align);
}
void *fa_refuse_array(fa_worker *, size_t, size_t) { return nullptr; }

fa_scope fa_scope_begin(fa_worker *w) { return {w, {w->scope_cursor, 0, 0}}; }
void fa_scope_end(fa_scope *scope)
{
    if (scope->worker) scope->worker->scope_cursor = scope->mark.cursor;
}

fa_speculation fa_speculate(fa_worker *w, fa_attempt_fn *attempt, void *arg)
{
    unsigned char *frame = w->frame_cursor, *scope = w->scope_cursor;
    fa_speculation result = {FA_OUTCOME_KEPT, attempt(w, arg), FA_OK};
    if (result.error == 0) return result;
    result.outcome = FA_OUTCOME_ROLLED_BACK;
    w->frame_cursor = frame;
    w->scope_cursor = scope;
    return result;
}

void *fa_frame_retained(fa_worker *w, size_t size, size_t, const fa_retain *retain)
{
    void *object = mi_zalloc(size);
    if (!object || retain->to != FA_RETAIN_POOL || !retain->cell) return nullptr;
    fa_promotion item = {};
    item.from = item.to = object;
    item.size = size;
    item.user = retain->user;
    item.frame = w->system->frame;
    item.cell = retain->cell;
    item.type = retain->type;
    item.destination = FA_RETAIN_POOL;
    item.status = FA_PROMOTED;
    lane_of(w)->retained.push_back(item);
    return object;
}

fa_status fa_cell_drop(fa_worker *w, fa_cell *cell)
{
    drop_version(lane_of(w), __atomic_exchange_n(&cell->pointer, nullptr, __ATOMIC_ACQ_REL));
    return FA_OK;
}

// ---- objects -------------------------------------------------------------------------------------------------------

void *fa_pool_alloc_slow(fa_worker *, size_t size, size_t) { return mi_malloc(size); }
void fa_pool_free_slow(fa_worker *, void *p) { mi_free(p); }
void *fa_heap_alloc(fa_worker *, size_t size, size_t align)
{
    return mi_malloc_aligned(size, std::max<size_t>(align, 16));
}
void fa_heap_free(fa_worker *, void *p) { mi_free(p); }

fa_handle fa_handle_alloc(fa_worker *w, size_t size, size_t, const fa_handle_options *)
{
    lane *mine = lane_of(w);
    fa_system *fa = w->system;
    if (mine->slots.empty()) {
        uint32_t first = fa->slots_used.fetch_add(slots_ahead);
        if (first + slots_ahead > w->handle_count) return {0, 0};
        for (uint32_t i = slots_ahead; i-- > 0;) mine->slots.push_back(first + i);
    }
    void *object = mi_malloc(size);
    uint64_t distance = reinterpret_cast<uintptr_t>(object) - w->handle_base;
    if (!object || distance >= 2 * place_reach) return {0, 0};
    uint32_t index = mine->slots.back();
    mine->slots.pop_back();
    fa_handle_slot *slot = &fa->slots[index];
    uint32_t generation = slot->generation + 1;
    __atomic_store_n(&slot->generation, generation, __ATOMIC_RELAXED);
    __atomic_store_n(&slot->place, distance / 16 << FA_HANDLE_PLACE_SHIFT, __ATOMIC_RELEASE);
    return {index, generation};
}

fa_status fa_handle_free(fa_worker *w, fa_handle handle)
{
    void *object = fa_handle_peek(w, handle);
    if (!object) return FA_ERROR_STALE;
    __atomic_store_n(&w->handle_slots[handle.index].place, 0, __ATOMIC_RELEASE);
    lane_of(w)->slots.push_back(handle.index);
    mi_free(object);
    return FA_OK;
}

fa_status fa_handles_compact(fa_system *, size_t, uint32_t, fa_handle_compaction *result)
{
    *result = fa_handle_compaction{};
    return FA_OK;
}

// ---- groups, scratch pools, allocator tables -----------------------------------------------------------------------

fa_status fa_group_create(fa_worker *w, const char *name, fa_group *out)
{
    std::lock_guard<std::mutex> lock(w->system->mutex);
    w->system->groups.push_back(std::make_unique<group>());
    std::strncpy(w->system->groups.back()->info.name, name, FA_NAME_MAX);
    *out = {w->system->groups.size()};
    return FA_OK;
}

bool fa_group_exists(fa_worker *w, fa_group id) { return w && find_group(w, id); }

fa_status fa_group_read(fa_worker *w, fa_group id, fa_group_info *out)
{
    group *found = find_group(w, id);
    *out = found ? found->info : fa_group_info{};
    return found ? FA_OK : FA_ERROR_STALE;
}

fa_status fa_group_free(fa_worker *w, fa_group id)
{
    group *found = find_group(w, id);
    if (!found) return FA_ERROR_STALE;
    found->clear();
    found->live = false;
    return FA_OK;
}

fa_status fa_scratch_create(fa_worker *w, const char *name, uint64_t capacity, fa_scratch *out)
{
    std::lock_guard<std::mutex> lock(w->system->mutex);
    w->system->scratches.push_back(std::make_unique<scratch>());
    w->system->scratches.back()->name = name;
    w->system->scratches.back()->capacity = capacity;
    *out = {w->system->scratches.size()};
    return FA_OK;
}

void *fa_scratch_alloc_array(fa_worker *w, fa_scratch id, size_t count, size_t size, size_t align)
{
    scratch *found = find_scratch(w, id);
    if (!found || found->used + count * size > found->capacity) return nullptr;
    void *array = mi_malloc_aligned(count * size, std::max<size_t>(align, 16));
    if (array) found->arrays.push_back(array);
    found->used += count * size;
    return array;
}

fa_status fa_scratch_reset(fa_worker *w, fa_scratch id)
{
    scratch *found = find_scratch(w, id);
    if (!found) return FA_ERROR_STALE;
    found->clear();
    return FA_OK;
}

fa_status fa_scratch_remove(fa_worker *w, fa_scratch id)
{
    scratch *found = find_scratch(w, id);
    if (!found) return FA_ERROR_STALE;
    found->clear();
    found->live = false;
    return FA_OK;
}

fa_status fa_scratch_read(fa_worker *w, fa_scratch id, fa_scratch_info *out)
{
    scratch *found = find_scratch(w, id);
    *out = fa_scratch_info{};
    if (!found) return FA_ERROR_STALE;
    out->pool = id;
    out->capacity = found->capacity;
    out->allocated = found->used;
    return FA_OK;
}

namespace {

void *group_alloc(void *ctx, size_t size, size_t align)
{
    auto *source = static_cast<fa_group_source *>(ctx);
    group *found = find_group(source->worker, source->group);
    return found && size > 0 ? found->alloc(size, align) : nullptr;
}

void *scope_alloc(void *ctx, size_t size, size_t align)
{
    return fa_scope_alloc_aligned(static_cast<fa_worker *>(ctx), size, align);
}

/// Linear memory grows elsewhere.
template <void *(*Alloc)(void *, size_t, size_t)>
void *move(void *ctx, void *p, size_t old_size, size_t new_size, size_t align)
{
    void *moved = Alloc(ctx, new_size, align);
    return moved && p ? std::memcpy(moved, p, std::min(old_size, new_size)) : moved;
}

void keep(void *, void *, size_t) {}

} // namespace

fa_allocator fa_allocator_group(fa_group_source *source) { return {group_alloc, move<group_alloc>, keep, source}; }
fa_allocator fa_allocator_scope(fa_worker *w) { return {scope_alloc, move<scope_alloc>, keep, w}; }

// ---- streams -------------------------------------------------------------------------------------------------------

namespace {

stream *find_stream(fa_system *fa, fa_stream id)
{
    uint64_t index = id.bits & UINT32_MAX;
    if (index == 0 || index > fa->streams.size()) return nullptr;
    stream *found = &fa->streams[index - 1];
    return found->generation == id.bits >> 32 && found->state != FA_STREAM_NONE ? found : nullptr;
}

/// Out of the budget; what it had in memory.
void *end_stream(fa_system *fa, stream *ended)
{
    fa->stream_bytes -= ended->size;
    void *data = ended->data;
    ended->data = nullptr;
    ended->state = FA_STREAM_NONE;
    ended->generation++;
    fa->streams_free.push_back(static_cast<uint32_t>(ended - fa->streams.data()));
    return data;
}

/// Those that make room for `size` bytes at that priority; false: there are not enough.
bool plan(fa_system *fa, size_t size, fa_stream_priority priority, std::vector<stream *> &out)
{
    const uint64_t budget = fa->config.stream_bytes_max;
    if (fa->stream_bytes + size <= budget) return true;
    for (stream &each : fa->streams)
        if (each.state == FA_STREAM_READY && each.pins == 0 && each.priority < priority) out.push_back(&each);
    std::sort(out.begin(), out.end(), [](const stream *a, const stream *b) {
        if (a->priority != b->priority) return a->priority < b->priority;
        return a->used != b->used ? a->used < b->used : a->made < b->made;
    });
    uint64_t held = fa->stream_bytes;
    size_t count = 0;
    while (count < out.size() && held + size > budget) held -= out[count++]->size;
    out.resize(count);
    return held + size <= budget;
}

} // namespace

fa_status fa_stream_reserve(fa_worker *w, size_t size, fa_stream_priority priority, const fa_stream_options *options,
                            fa_stream *out)
{
    fa_system *fa = w->system;
    std::vector<stream *> planned;
    std::vector<std::pair<fa_stream_options, fa_stream_eviction>> evicted;
    *out = {0};
    std::unique_lock<std::mutex> lock(fa->streams_mutex);
    if (!plan(fa, size, priority, planned)) return FA_ERROR_FULL;
    for (stream *each : planned) {
        uint64_t index = static_cast<uint64_t>(each - fa->streams.data()) + 1;
        fa_stream_eviction eviction = {{uint64_t{each->generation} << 32 | index},
                                       each->options.name,
                                       each->options.user,
                                       nullptr,
                                       each->size,
                                       each->priority};
        fa_stream_options of = each->options;
        eviction.data = end_stream(fa, each);
        evicted.emplace_back(of, eviction);
    }
    if (fa->streams_free.empty()) {
        fa->streams.emplace_back();
        fa->streams_free.push_back(static_cast<uint32_t>(fa->streams.size() - 1));
    }
    uint32_t index = fa->streams_free.back();
    fa->streams_free.pop_back();
    stream &made = fa->streams[index];
    uint32_t generation = made.generation;
    made = stream{};
    made.generation = generation;
    made.state = FA_STREAM_RESERVED;
    made.priority = priority;
    made.size = size;
    made.options = *options;
    made.made = ++fa->stream_clock;
    fa->stream_bytes += size;
    *out = {uint64_t{generation} << 32 | (index + 1)};
    lock.unlock();
    for (auto &[of, eviction] : evicted) {
        if (of.evict) of.evict(w, &eviction);
        mi_free(const_cast<void *>(eviction.data));
    }
    return FA_OK;
}

fa_status fa_stream_load_begin(fa_worker *w, fa_stream id, void **memory)
{
    std::lock_guard<std::mutex> lock(w->system->streams_mutex);
    stream *found = find_stream(w->system, id);
    *memory = nullptr;
    if (!found) return FA_ERROR_STALE;
    if (found->state == FA_STREAM_READY) return FA_ERROR_STATE;
    if (!found->data) found->data = mi_malloc_aligned(found->size, std::max<size_t>(found->options.align, 16));
    if (!found->data) return FA_ERROR_MEMORY;
    found->state = FA_STREAM_LOADING;
    *memory = found->data;
    return FA_OK;
}

fa_status fa_stream_progress(fa_worker *w, fa_stream id, size_t bytes)
{
    std::lock_guard<std::mutex> lock(w->system->streams_mutex);
    stream *found = find_stream(w->system, id);
    if (!found) return FA_ERROR_STALE;
    found->loaded = std::max(found->loaded, std::min(bytes, found->size));
    return FA_OK;
}

fa_status fa_stream_load_end(fa_worker *w, fa_stream id)
{
    std::lock_guard<std::mutex> lock(w->system->streams_mutex);
    stream *found = find_stream(w->system, id);
    if (!found) return FA_ERROR_STALE;
    found->state = FA_STREAM_READY;
    found->used = ++w->system->stream_clock;
    return FA_OK;
}

fa_status fa_stream_pin(fa_worker *w, fa_stream id, const void **data, size_t *size)
{
    std::lock_guard<std::mutex> lock(w->system->streams_mutex);
    stream *found = find_stream(w->system, id);
    if (!found) return FA_ERROR_STALE;
    if (found->state != FA_STREAM_READY) return FA_ERROR_STATE;
    found->pins++;
    if (data) *data = found->data;
    if (size) *size = found->size;
    return FA_OK;
}

fa_status fa_stream_unpin(fa_worker *w, fa_stream id)
{
    std::lock_guard<std::mutex> lock(w->system->streams_mutex);
    stream *found = find_stream(w->system, id);
    if (!found || found->pins == 0) return FA_ERROR_STALE;
    found->pins--;
    return FA_OK;
}

fa_status fa_stream_touch(fa_worker *w, fa_stream id)
{
    std::lock_guard<std::mutex> lock(w->system->streams_mutex);
    stream *found = find_stream(w->system, id);
    if (!found) return FA_ERROR_STALE;
    if (found->state == FA_STREAM_READY) found->used = ++w->system->stream_clock;
    return FA_OK;
}

fa_status fa_stream_set_priority(fa_worker *w, fa_stream id, fa_stream_priority priority)
{
    std::lock_guard<std::mutex> lock(w->system->streams_mutex);
    stream *found = find_stream(w->system, id);
    if (!found) return FA_ERROR_STALE;
    found->priority = priority;
    return FA_OK;
}

fa_status fa_stream_free(fa_worker *w, fa_stream id)
{
    std::unique_lock<std::mutex> lock(w->system->streams_mutex);
    stream *found = find_stream(w->system, id);
    if (!found) return FA_ERROR_STALE;
    void *data = end_stream(w->system, found);
    lock.unlock();
    mi_free(data);
    return FA_OK;
}

// ---- what the example asks for and a program without the library has not -------------------------------------------

fa_status fa_tag_find(fa_system *, const char *, fa_tag *out)
{
    *out = {0};
    return FA_OK;
}
fa_tag_scope fa_tag_begin(fa_worker *, const char *) { return {}; }
void fa_tag_end(fa_tag_scope *) {}
fa_phase_scope fa_phase_scope_begin(fa_worker *, const char *) { return {}; }
void fa_phase_scope_end(fa_phase_scope *) {}
fa_status fa_budget_set(fa_system *, fa_tag, uint64_t, uint64_t) { return FA_OK; }
fa_status fa_suppress(fa_system *, const char *, bool) { return FA_OK; }

template <class Figures> static fa_status none(Figures *out)
{
    *out = Figures{};
    return FA_OK;
}
fa_status fa_tag_stats_read(const fa_system *, fa_tag, fa_tag_stats *out) { return none(out); }
fa_status fa_stats_read(const fa_system *, fa_stats *out) { return none(out); }
fa_status fa_handle_stats_read(const fa_system *, fa_handle_stats *out) { return none(out); }
fa_status fa_stream_stats_read(const fa_system *, fa_stream_stats *out) { return none(out); }
fa_status fa_snapshot_take(fa_system *, fa_snapshot *out) { return none(out); }
fa_status fa_phase_totals_read(const fa_system *, fa_phase_stats *, uint32_t, uint32_t *count)
{
    *count = 0;
    return FA_OK;
}
