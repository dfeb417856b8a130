// SPDX-License-Identifier: MIT
//
// Handing assets from the jobs that make them to the main lane that keeps them. A worker decodes an asset into heap memory and sends it; the ticket
// travels in the arguments of a main-thread job, which receives it into the cache. The asset has blocks of its own, so it belongs to the main lane
// from then on: evicting it there is an ordinary local free.
//
// Each ticket is presented twice, as a retried message would: one of the two gets the asset. With a bounded drain the small objects that
// workers free for the main lane come home a few at a time, and none is lost.
#include <framealloc/framealloc.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { TICKS = 40, CACHE = 4, REQUESTS = 200 };
#define ASSET_BYTES ((size_t)3 << 20)

typedef struct asset {
    uint32_t id;
    uint32_t checksum;
    unsigned char data[ASSET_BYTES - 8];
} asset;

typedef struct loader {
    asset *cache[CACHE];
    uint32_t received, late, damaged;
} loader;

typedef struct delivery {
    loader *to;
    fa_transfer ticket;
} delivery;

typedef struct order {
    loader *to;
    uint32_t id;
    char **requests; // small objects of the main lane, freed by whoever answers them
} order;

static uint32_t sum_of(const asset *a)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < sizeof a->data; i += 4096) sum = sum * 31 + a->data[i];
    return sum;
}

static void deliver(fa_worker *w, void *arg)
{
    const delivery *message = arg;
    void *got;
    if (fa_transfer_receive(w, message->ticket, &got) != FA_OK) {
        message->to->late++;
        return;
    }
    asset *a = got;
    if (sum_of(a) != a->checksum) message->to->damaged++;
    asset **place = &message->to->cache[a->id % CACHE];
    fa_heap_free(w, *place); // made by some worker, the main lane's since it was received
    *place = a;
    message->to->received++;
}

static void decode(fa_worker *w, void *arg)
{
    const order *from = arg;
    asset *a = fa_heap_new(w, asset);
    if (a == NULL) return;
    a->id = from->id;
    memset(a->data, (int)(from->id & 0xff), sizeof a->data);
    a->checksum = sum_of(a);
    delivery message = {from->to, {0}};
    if (fa_transfer_send(w, a, &message.ticket) != FA_OK) {
        fa_heap_free(w, a);
        return;
    }
    const fa_job job = {.fn = deliver, .arg = &message, .arg_size = sizeof message, .flags = FA_JOB_MAIN};
    for (int twice = 0; twice < 2; twice++)
        if (fa_submit_job(w, &job) != FA_OK) return;
    for (int i = 0; i < REQUESTS; i++) fa_pool_free(w, from->requests[i]);
}

static bool run_tick(fa_system *fa, loader *to, uint32_t id)
{
    fa_worker *w = fa_self(fa);
    if (fa_frame_begin(fa) != FA_OK) return false;
    order o = {to, id, fa_frame_array(w, char *, REQUESTS)};
    bool good = o.requests != NULL;
    for (int i = 0; i < REQUESTS && good; i++) good = (o.requests[i] = fa_pool_array(w, char, 40)) != NULL;
    if (good) good = fa_submit_copy(w, NULL, decode, &o, sizeof o) == FA_OK;
    return fa_frame_end(fa, NULL) == FA_OK && good;
}

int main(void)
{
    static loader to;
    fa_config config = fa_config_default();
    config.worker_count = 2;
    config.drain_objects_max = 61; // at most a packet a boundary, and at least a quarter of what waits
    fa_system *fa;
    if (fa_create(&config, &fa) != FA_OK) return 1;
    bool good = true;
    uint64_t kept = 0;
    fa_stats stats = {0};
    for (uint32_t tick = 0; tick < TICKS && good; tick++) {
        good = run_tick(fa, &to, tick) && fa_stats_read(fa, &stats) == FA_OK;
        if (stats.frees_kept > kept) kept = stats.frees_kept;
    }
    good = good && to.received == TICKS && to.late == TICKS && to.damaged == 0 && kept <= 4 * REQUESTS;
    good = good && stats.heap_live == CACHE;
    for (int i = 0; i < CACHE; i++) fa_heap_free(fa_self(fa), to.cache[i]);
    for (int i = 0; i < 30 && good; i++) good = fa_frame_begin(fa) == FA_OK && fa_frame_end(fa, NULL) == FA_OK;
    good = good && fa_stats_read(fa, &stats) == FA_OK && stats.frees_kept == 0 && stats.pool_live == 0 &&
           stats.heap_live == 0;
    if (fa_destroy(fa) != FA_OK || !good) {
        fprintf(stderr, "handover: an asset was lost, damaged or delivered twice\n");
        return 1;
    }
    printf("%" PRIu32 " assets received once each, at most %" PRIu64 " frees kept\n", to.received, kept);
    return 0;
}
