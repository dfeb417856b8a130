// SPDX-License-Identifier: MIT
//
// A level that is loaded by one long job, a few regions at a time. A region's raw bytes are memory of the job that reads it: the jobs that decode
// its parts use them after that job has returned, and the last one to finish releases them. So the frame needs memory for the regions that are
// under way; with frame memory it would be for all of them.
#include <framealloc/framealloc.h>

#include <inttypes.h>
#include <stdio.h>

enum { regions = 200, together = 4, parts = 16, raw_bytes = 256 * 1024, part_bytes = raw_bytes / parts };

typedef struct level {
    fa_system *fa;
    fa_tag tag;
    uint32_t sums[regions][parts];
} level;

typedef struct part {
    level *of;
    const unsigned char *raw; // of the region, in the memory of the job that read it
    fa_counter *read;         // of the regions under way
    uint32_t region, index;
} part;

static unsigned char raw_byte(uint32_t region, size_t i)
{
    return (unsigned char)(region * 31 + i * 7);
}

static void decode_part(fa_worker *w, void *arg)
{
    const part *p = arg;
    uint32_t *table = fa_job_array(w, uint32_t, 256); // of this job alone: it starts no others
    if (table == NULL) return;
    for (uint32_t i = 0; i < 256; i++) table[i] = i * 2654435761u;
    uint32_t sum = 0;
    for (size_t i = 0; i < part_bytes; i++) sum = sum * 17 + table[p->raw[p->index * part_bytes + i]];
    p->of->sums[p->region][p->index] = sum;
}

// Reads a region and returns; its memory stays for the jobs that it started.
static void read_region(fa_worker *w, void *arg)
{
    const part *in = arg;
    unsigned char *raw = fa_job_array(w, unsigned char, raw_bytes);
    if (raw == NULL) return;
    for (size_t i = 0; i < raw_bytes; i++) raw[i] = raw_byte(in->region, i);
    for (uint32_t i = 0; i < parts; i++) {
        part p = {in->of, raw, in->read, in->region, i};
        (void)fa_submit_copy(w, in->read, decode_part, &p, sizeof p);
    }
}

static void load(fa_worker *w, void *arg)
{
    level *l = arg;
    for (uint32_t region = 0; region < regions; region += together) {
        fa_counter read = FA_COUNTER_INIT;
        for (uint32_t i = region; i < region + together; i++) {
            part p = {l, NULL, &read, i, 0};
            (void)fa_submit_copy(w, &read, read_region, &p, sizeof p);
        }
        (void)fa_wait(w, &read); // and for the parts, which are of the same counter
    }
}

static uint32_t expected(uint32_t region, uint32_t index)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < part_bytes; i++) sum = sum * 17 + raw_byte(region, index * part_bytes + i) * 2654435761u;
    return sum;
}

int main(void)
{
    fa_config config = fa_config_default();
    static level l;
    if (fa_create(&config, &l.fa) != FA_OK) return 1;
    fa_worker *w = fa_self(l.fa);
    bool right = fa_tag_find(l.fa, "level", &l.tag) == FA_OK && fa_frame_begin(l.fa) == FA_OK;
    {
        FA_TAG_AT(w, l.tag);
        right = right && fa_submit(w, load, &l) == FA_OK;
    }
    right = right && fa_frame_end(l.fa, NULL) == FA_OK;
    for (uint32_t region = 0; region < regions; region++)
        for (uint32_t i = 0; i < parts; i++) right = right && l.sums[region][i] == expected(region, i);
    fa_stats stats;
    fa_tag_stats of_tag;
    right = fa_stats_read(l.fa, &stats) == FA_OK && fa_tag_stats_read(l.fa, l.tag, &of_tag) == FA_OK && right;
    printf("%d regions of %d KiB; those under way never held more than %" PRIu64 " KiB, now they hold %" PRIu64 "\n",
           regions, raw_bytes / 1024, of_tag.peak / 1024, of_tag.held[FA_TAG_JOB]);
    right = right && of_tag.held[FA_TAG_JOB] == 0 && of_tag.peak < (uint64_t)regions * raw_bytes / 2 &&
            stats.job_memories == 0;
    right = fa_destroy(l.fa) == FA_OK && right;
    if (!right) fprintf(stderr, "job_tree: something is not as it should be\n");
    return right ? 0 : 1;
}
