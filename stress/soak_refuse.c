// SPDX-License-Identifier: MIT
//
// See soak_refuse.h.
#include "soak_refuse.h"

#include "stress.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static _Thread_local uint32_t calls_left; // until one is refused; 0: none is
static _Thread_local bool refused;

static bool refuses(void)
{
    if (calls_left == 0 || --calls_left > 0) return false;
    refused = true;
    return true;
}

#define WRAPPED(result, name, ...)                                                                                     \
    result __wrap_##name(__VA_ARGS__);                                                                                 \
    result __real_##name(__VA_ARGS__);                                                                                 \
    result __wrap_##name(__VA_ARGS__)

WRAPPED(void *, mmap, void *address, size_t size, int protection, int flags, int file, off_t offset)
{
    if (!refuses()) return __real_mmap(address, size, protection, flags, file, offset);
    errno = ENOMEM;
    return MAP_FAILED;
}

WRAPPED(int, madvise, void *address, size_t size, int advice)
{
    if (!refuses()) return __real_madvise(address, size, advice);
    errno = EAGAIN;
    return -1;
}

WRAPPED(void *, aligned_alloc, size_t align, size_t size)
{
    return refuses() ? NULL : __real_aligned_alloc(align, size);
}

WRAPPED(int, pthread_create, pthread_t *out, const pthread_attr_t *attributes, void *(*fn)(void *), void *arg)
{
    return refuses() ? EAGAIN : __real_pthread_create(out, attributes, fn, arg);
}

// A system ----------------------------------------------------------------------------------------------------------------

static void job(fa_worker *w, void *arg)
{
    (void)arg;
    void *object = fa_pool_alloc(w, 500), *frame = fa_frame_alloc(w, 5000);
    if (object != NULL) stress_fill(object, 500, 1);
    if (frame != NULL) stress_fill(frame, 5000, 2);
    if (object != NULL && stress_check(object, 500, 1) >= 0) stress_fail("an object lost what was written to it");
    if (frame != NULL && stress_check(frame, 5000, 2) >= 0) stress_fail("frame memory lost what was written to it");
    fa_pool_free(w, object);
}

/// A refusal is reported, or not; damage is damage.
static void look_for_damage(const fa_diagnostic *diagnostic, void *context)
{
    (void)context;
    if (strcmp(diagnostic->code, "FA901") == 0) stress_fail("damage after a refusal: %s", diagnostic->message);
}

static void use(fa_system *fa)
{
    fa_worker *w = fa_self(fa);
    fa_status status = fa_frame_begin(fa);
    if (status == FA_ERROR_MEMORY) return;
    stress_must(status);
    for (int i = 0; i < 8; i++) {
        status = fa_submit_copy(w, NULL, job, &i, sizeof i);
        if (status != FA_OK && status != FA_ERROR_MEMORY) stress_must(status);
    }
    stress_must(fa_frame_end(fa, NULL));
}

bool soak_refused_system(uint32_t k)
{
    fa_config config = fa_config_minimal();
    config.worker_count = 1;
    config.reserve_bytes = UINT64_C(64) << 20;
    config.report = look_for_damage;
    fa_system *fa;
    refused = false;
    calls_left = k;
    fa_status status = fa_create(&config, &fa);
    if (status == FA_OK) {
        use(fa);
        stress_must(fa_destroy(fa));
    } else if (status != FA_ERROR_MEMORY && status != FA_ERROR_THREAD) {
        stress_must(status);
    }
    calls_left = 0;
    return refused;
}
