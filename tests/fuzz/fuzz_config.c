// SPDX-License-Identifier: MIT
//
// Configurations with any values in their fields. What system.h allows makes a system that works for a frame and is destroyed without a word;
// everything else is refused with one diagnostic, and nothing is made.
//
// The input is a list of field numbers and values; fields that it does not name are those of fa_config_minimal(). Values that are allowed but
// cost seconds (hundreds of threads, gigabytes touched ahead) are made small. With FUZZ_PLANTED=1 address ranges need not be whole blocks.
#include "fuzz.h"

#include <framealloc/framealloc.h>

#define MIB (UINT64_C(1) << 20)
#define BLOCK (2 * MIB)

struct field {
    size_t offset, size;
    uint64_t least, most;
    bool power_of_two;
};

#define FIELD(name, ...)                                                                                               \
    {                                                                                                                  \
        offsetof(fa_config, name), sizeof(((fa_config *)0)->name), __VA_ARGS__                                         \
    }

// As system.h says; sizes that depend on each other are compared in are_sizes_allowed().
static const struct field fields[] = {
    FIELD(worker_count, 0, FA_WORKERS_MAX, false),
    FIELD(attached_max, 0, FA_ATTACHED_MAX, false),
    FIELD(frames_in_flight, 1, FA_FRAMES_IN_FLIGHT_MAX, false),
    FIELD(deque_capacity, 16, 65536, true),
    FIELD(search_spin_us, 0, 1000000, false),
    FIELD(memory_max, 0, UINT64_MAX, false),
    FIELD(reserve_bytes, 64 * MIB, 1024 * 1024 * MIB, false),
    FIELD(frame_bytes_max, 0, UINT64_MAX, false),
    FIELD(prefault_bytes, 0, UINT64_MAX, false),
    FIELD(pool_classes, 1, FA_CLASSES_ALL, false),
    FIELD(retained_max, 0, 16777216, false),
    FIELD(handles_max, 0, 16777214, false),
    FIELD(groups_max, 0, 32768, false),
    FIELD(scratch_max, 0, 4096, false),
    FIELD(scratch_bytes, 16, UINT64_MAX, false),
    FIELD(promotion_bytes_max, 0, UINT64_MAX, false),
    FIELD(promotion_size_max, 0, UINT64_MAX, false),
    FIELD(drain_objects_max, 0, UINT32_MAX, false),
    FIELD(transfers_max, 0, 65535, false),
    FIELD(tick_late_ms, 0, 3600000, false),
    FIELD(backtraces, 0, 16, false),
    FIELD(backtrace_sites, 0, 65535, false),
    FIELD(quarantine, 0, 65536, false),
    FIELD(stream_bytes_max, 0, UINT64_MAX, false),
    FIELD(streams_max, 0, FA_STREAMS_MAX, false),
    FIELD(event_capacity, 64, 1048576, true),
    FIELD(history_length, 1, 65536, false),
    FIELD(pressure_percent, 0, 100, false),
    FIELD(large_bytes, 0, UINT64_MAX, false),
};

enum { FIELDS = sizeof fields / sizeof *fields };

static uint64_t value_of(const fa_config *config, const struct field *field)
{
    uint64_t value = 0;
    memcpy(&value, (const char *)config + field->offset, field->size); // little-endian, as all that the library runs on
    return value;
}

static bool are_fields_allowed(const fa_config *config)
{
    for (size_t i = 0; i < FIELDS; i++) {
        uint64_t value = value_of(config, &fields[i]);
        if (i == 0 && value == FA_WORKERS_AUTO) continue;
        if (value < fields[i].least || value > fields[i].most) return false;
        if (fields[i].power_of_two && (value & (value - 1)) != 0) return false;
    }
    return config->large_bytes == 0 || config->large_bytes >= 32768;
}

static bool are_sizes_allowed(const fa_config *config)
{
    uint64_t workers = config->worker_count, limit = config->memory_max != 0 ? config->memory_max : UINT64_MAX;
    if (workers == FA_WORKERS_AUTO) workers = 1; // see choose_fields()
    if (limit / BLOCK < workers + 1 + config->attached_max) return false;
    uint64_t most = config->reserve_bytes < limit ? config->reserve_bytes : limit;
    bool is_whole = config->reserve_bytes % BLOCK == 0 || fuzz_is_planted();
    if (!is_whole || config->prefault_bytes % BLOCK != 0) return false;
    return config->prefault_bytes <= most && config->frame_bytes_max <= most && config->stream_bytes_max <= most &&
           config->scratch_bytes <= config->reserve_bytes;
}

static void choose_fields(struct fuzz_bytes *bytes, fa_config *config)
{
    while (bytes->left > 0) {
        const struct field *field = &fields[fuzz_u8(bytes) % FIELDS];
        uint8_t way = fuzz_u8(bytes);
        uint64_t value = way % 4 == 0   ? fuzz_u64(bytes)
                         : way % 4 == 1 ? field->least + (uint64_t)(int64_t)(int8_t)fuzz_u8(bytes)
                         : way % 4 == 2 ? field->most + (uint64_t)(int64_t)(int8_t)fuzz_u8(bytes)
                                        : (uint64_t)fuzz_u8(bytes) << way / 4;
        memcpy((char *)config + field->offset, &value, field->size);
    }
    if (config->worker_count > 2 && config->worker_count <= FA_WORKERS_MAX) config->worker_count %= 3;
    // As many as there are CPUs: with a limit the answer would depend on the machine.
    if (config->worker_count == FA_WORKERS_AUTO && config->memory_max != 0) config->worker_count = 1;
    if (config->prefault_bytes <= config->reserve_bytes && config->prefault_bytes > 2 * BLOCK)
        config->prefault_bytes = config->prefault_bytes % (2 * BLOCK);
}

static uint32_t refusals; // FA907

static void take(const fa_diagnostic *diagnostic, void *context)
{
    (void)context;
    // Limits may be reached, by a frame of a few allocations too. Nothing else may be said.
    static const char *const limits[] = {"FA003", "FA301", "FA402", "FA904"};
    if (strcmp(diagnostic->code, "FA907") == 0) {
        refusals++;
        return;
    }
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        if (strcmp(diagnostic->code, limits[i]) == 0) return;
    fprintf(stderr, "%s: %s\n", diagnostic->code, diagnostic->message);
    fuzz_failed("a diagnostic that is expected", __FILE__, __LINE__);
}

static void *filled(void *p, size_t size)
{
    return p != NULL ? memset(p, 0xa5, size) : NULL;
}

static void job(fa_worker *w, void *arg)
{
    (void)filled(fa_frame_alloc(w, 100), 100);
    fa_pool_free(w, filled(fa_pool_alloc(w, 40), 40));
    *(bool *)arg = true;
}

static void use(fa_system *fa)
{
    fa_worker *w = fa_self(fa);
    FUZZ_CHECK(w != NULL);
    FUZZ_CHECK(fa_frame_begin(fa) == FA_OK);
    (void)filled(fa_frame_alloc(w, 1000), 1000);
    (void)filled(fa_scope_alloc(w, 1000), 1000);
    for (size_t size = 1; size < 200000; size *= 7) {
        void *pooled = filled(fa_pool_alloc(w, size), size);
        fa_heap_free(w, filled(fa_heap_alloc(w, size, 64), size));
        fa_pool_free(w, pooled);
    }
    fa_handle handle = fa_handle_alloc(w, 300, 16, NULL);
    if (!fa_handle_is_none(handle)) {
        (void)filled(fa_handle_resolve(w, handle), 300);
        FUZZ_CHECK(fa_handle_free(w, handle) == FA_OK);
    }
    fa_group group;
    if (fa_group_create(w, "fuzz", &group) == FA_OK) {
        (void)filled(fa_group_alloc(w, group, 5000, 32), 5000);
        FUZZ_CHECK(fa_group_free(w, group) == FA_OK);
    }
    fa_scratch scratch;
    if (fa_scratch_create(w, "fuzz", 0, &scratch) == FA_OK) (void)filled(fa_scratch_alloc(w, scratch, 16, 16), 16);
    fa_stream stream;
    if (fa_stream_reserve(w, 70000, FA_STREAM_LOW, NULL, &stream) == FA_OK)
        FUZZ_CHECK(fa_stream_free(w, stream) == FA_OK);
    (void)filled(fa_frame_retained(w, 24, 8, &(fa_retain){.to = FA_RETAIN_POOL}), 24); // dropped: nobody asks for it
    bool ran = false;
    fa_counter counter = FA_COUNTER_INIT;
    FUZZ_CHECK(fa_submit_counted(w, &counter, job, &ran) == FA_OK);
    FUZZ_CHECK(fa_wait(w, &counter) == FA_OK && ran);
    FUZZ_CHECK(fa_frame_end(fa, NULL) == FA_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_bytes bytes = {data, size < 256 ? size : 256};
    fa_config config = fa_config_minimal();
    config.report = take;
    uint8_t flags = fuzz_u8(&bytes);
    config.checked = flags & 1;
    config.huge_pages = flags & 2;
    config.pin_workers = flags & 4;
    config.frame_counts = flags & 8;
    config.strict = flags & 16 ? (fa_strict)(3 + flags % 16) : FA_STRICT_WARN;
    choose_fields(&bytes, &config);
    bool allowed = are_fields_allowed(&config) && are_sizes_allowed(&config) && config.strict == FA_STRICT_WARN;
    refusals = 0;
    fa_system *fa = (fa_system *)&bytes;
    fa_status status = fa_create(&config, &fa);
    FUZZ_CHECK((status == FA_ERROR_INVALID) == !allowed);
    FUZZ_CHECK(refusals == !allowed && (fa != NULL) == (status == FA_OK));
    if (status == FA_OK) {
        use(fa);
        FUZZ_CHECK(fa_destroy(fa) == FA_OK);
    } else if (allowed) {
        FUZZ_CHECK(status == FA_ERROR_MEMORY || status == FA_ERROR_THREAD);
    }
    return 0;
}
