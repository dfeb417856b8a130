// SPDX-License-Identifier: MIT
//
// Jobs without workers: in the order of submission when the main lane waits, or at once where the deque is full. Each job that is queued is known
// with what its arguments hold, its tag and its counter; a job that ran twice, never, too early or with other arguments fails the run. What
// a job does in turn is in the byte that it was submitted with.
#include "api.h"

enum { ARGUMENT_MAX = 256, DEPTH_MAX = 4, TREE_MAX = 4 };

struct queued {
    bool waits, on_main;
    uint8_t counter; // NAMED: none
    uint8_t deed;
    uint32_t serial, tag, size; // size of the payload
    uint64_t order;
    fa_job_memory memory; // of the job that submitted it
    const unsigned char *lent;
    uint32_t lent_serial;
};

struct arguments {
    struct queued *job;
    uint32_t serial, size;
};

static struct queued jobs[JOBS];
static fa_counter counters[NAMED];
static uint32_t pending[NAMED]; // jobs of the counter that are not done
static uint64_t submitted, last_run;
static bool in_order, submitting; // jobs run in the order of submission now; a submit may run its job inline

void jobs_begin(void)
{
    memset(jobs, 0, sizeof jobs);
    memset(pending, 0, sizeof pending);
    memset(counters, 0, sizeof counters);
    submitted = last_run = 0;
    in_order = submitting = false;
}

static uint32_t count_waiting(void)
{
    uint32_t count = 0;
    for (int i = 0; i < JOBS; i++) count += jobs[i].waits;
    return count;
}

static struct queued *free_job(void)
{
    for (int i = 0; i < JOBS; i++)
        if (!jobs[i].waits) return &jobs[i];
    return NULL;
}

// --- What jobs do -----------------------------------------------------------------------------------------------------

static void run_job(fa_worker *w, void *arg);

/// A job is made known before it is submitted, because it may run inside the call.
static struct queued *make_job(uint8_t deed, uint8_t counter, bool on_main, uint32_t size)
{
    struct queued *job = free_job();
    if (job == NULL) return NULL;
    *job = (struct queued){.waits = true, .on_main = on_main, .counter = counter, .deed = deed, .size = size};
    job->serial = ++api.serial;
    job->tag = tag_now();
    job->order = ++submitted;
    api.frame_jobs = true;
    if (counter < NAMED) pending[counter]++;
    return job;
}

/// With its arguments copied: `size` bytes of payload behind the head.
static bool submit(fa_worker *w, struct queued *job, const char *name)
{
    struct {
        struct arguments head;
        unsigned char payload[ARGUMENT_MAX];
    } args = {.head = {job, job->serial, job->size}};
    memcpy(args.payload, pattern_of(job->serial), job->size);
    fa_job asked = {.fn = run_job,
                    .arg = &args,
                    .arg_size = sizeof args.head + job->size,
                    .counter = job->counter < NAMED ? &counters[job->counter] : NULL,
                    .name = name,
                    .flags = job->on_main ? FA_JOB_MAIN : FA_JOB_ANY};
    bool before = submitting;
    submitting = true;
    uint64_t order = job->order;
    fa_status status = fa_submit_job(w, &asked);
    submitting = before;
    FUZZ_CHECK(status == FA_OK || (api.limited && status == FA_ERROR_MEMORY));
    if (status == FA_OK) return true;
    FUZZ_CHECK(job->waits && job->order == order);
    job->waits = false;
    if (job->counter < NAMED) pending[job->counter]--;
    return false;
}

static void run_index(fa_worker *w, uint64_t first, uint64_t last, void *arg)
{
    (void)w;
    FUZZ_CHECK(first < last);
    unsigned char *seen = arg;
    for (uint64_t i = first; i < last; i++) FUZZ_CHECK(seen[i]++ == 0);
}

static void run_loop(fa_worker *w, uint64_t first, uint64_t count, uint64_t grain)
{
    unsigned char seen[1024] = {0};
    FUZZ_CHECK(fa_parallel_for(w, first, first + count, grain, run_index, seen) == FA_OK);
    for (uint64_t i = first; i < first + count; i++) FUZZ_CHECK(seen[i] == 1);
}

struct tree {
    uint32_t depth, leaves;
};

static void grow_tree(fa_worker *w, void *arg)
{
    struct tree *tree = arg;
    if (tree->depth == 0) {
        tree->leaves = 1;
        return;
    }
    struct tree left = {tree->depth - 1, 0}, right = left;
    fa_task task;
    FUZZ_CHECK(fa_fork(w, &task, grow_tree, &left) == FA_OK);
    grow_tree(w, &right);
    fa_join(w, &task);
    tree->leaves = left.leaves + right.leaves;
}

static void fork_tree(fa_worker *w, uint32_t depth)
{
    struct tree tree = {depth, 0};
    grow_tree(w, &tree);
    FUZZ_CHECK(tree.leaves == 1u << depth);
}

/// A child, which the job waits for or leaves behind; it reads what the job lends it in memory of its own, and allocates there.
static void start_child(fa_worker *w, uint8_t deed)
{
    struct queued *child = make_job((uint8_t)(deed >> 4), NAMED, false, 16);
    if (child == NULL) return;
    unsigned char *lent = deed & 8 ? fa_job_alloc(w, 100, 64) : NULL;
    if (lent != NULL) {
        FUZZ_CHECK((uintptr_t)lent % 64 == 0);
        fill(lent, 100, child->serial);
        child->lent = lent;
        child->lent_serial = child->serial;
        child->memory = fa_job_memory_current(w);
        FUZZ_CHECK(child->memory.id != 0);
    }
    (void)submit(w, child, NULL);
}

static void refuse_in_job(fa_worker *w)
{
    if (api.checked) permit(909);
    FUZZ_CHECK(fa_frame_begin(api.fa) == FA_ERROR_STATE && fa_frame_end(api.fa, NULL) == FA_ERROR_STATE);
    FUZZ_CHECK(fa_idle_begin(w) == FA_ERROR_STATE && fa_run_main_jobs(api.fa) == 0);
}

static void act(fa_worker *w, uint8_t deed)
{
    void *scope = fa_scope_alloc(w, 200);
    FUZZ_CHECK(scope != NULL || api.limited);
    if (scope != NULL) fill(scope, 200, ++api.serial);
    uint32_t serial = api.serial;
    switch (deed % 8) {
        case 1:
            if (has_room(300)) {
                struct object *object = admit(FRAME, fa_frame_alloc(w, 300), 300, 16);
                if (object != NULL) {
                    object->frame = api.newest;
                    object->apart = true;
                }
            }
            break;
        case 2:
            if (has_room(80)) (void)admit(POOL, fa_pool_alloc(w, 80), 80, 16);
            break;
        case 3:
        case 4: start_child(w, deed); break;
        case 5: fork_tree(w, 1 + deed / 8 % TREE_MAX); break;
        case 6: run_loop(w, deed / 8, deed, deed % 5); break;
        case 7: refuse_in_job(w); break;
        default: break;
    }
    if (scope != NULL) FUZZ_CHECK(holds(scope, 200, serial));
}

static void run_job(fa_worker *w, void *arg)
{
    struct arguments *args = arg;
    struct queued *job = args->job;
    FUZZ_CHECK((uintptr_t)arg % 16 == 0 && job >= jobs && job < jobs + JOBS);
    FUZZ_CHECK(job->waits && job->serial == args->serial && job->size == args->size);
    FUZZ_CHECK(holds(args + 1, args->size, args->serial));
    FUZZ_CHECK(w == fa_self(api.fa) && (!job->on_main || w == api.w));
    FUZZ_CHECK(fa_tag_current(w).id == job->tag && fa_job_depth(w) == api.depth + 1);
    if (in_order && api.depth == 0 && !submitting && !job->on_main) {
        FUZZ_CHECK(job->order > last_run);
        last_run = job->order;
    }
    struct queued copy = *job;
    job->waits = false;
    api.depth++;
    api.ran++;
    uint32_t tag = tags_switch(copy.tag);
    bool before = submitting;
    submitting = false;
    if (copy.lent != NULL) {
        FUZZ_CHECK(holds(copy.lent, 100, copy.lent_serial));
        void *more = fa_job_memory_alloc(w, copy.memory, 40, 16);
        FUZZ_CHECK(more != NULL || api.limited);
        if (more != NULL) fill(more, 40, copy.serial);
    }
    if (api.depth <= DEPTH_MAX) act(w, copy.deed);
    if (copy.lent != NULL) FUZZ_CHECK(holds(copy.lent, 100, copy.lent_serial));
    FUZZ_CHECK(holds(args + 1, args->size, args->serial));
    submitting = before;
    (void)tags_switch(tag);
    api.depth--;
    if (copy.counter < NAMED) {
        FUZZ_CHECK(pending[copy.counter] > 0 && !fa_is_done(&counters[copy.counter]));
        pending[copy.counter]--;
    }
}

// --- Operations -------------------------------------------------------------------------------------------------------

void job_submit(void)
{
    uint8_t how = take(), deed = take();
    uint32_t size = take();
    if (!api.in_frame) {
        permit(1);
        fa_counter counter = FA_COUNTER_INIT;
        FUZZ_CHECK(fa_submit_counted(api.w, &counter, run_job, NULL) == FA_ERROR_STATE && fa_is_done(&counter));
        return;
    }
    // What is to be run by the main lane alone may go without a counter; counted, it would wait for a wait.
    struct queued *job = make_job(deed, how % 8 < NAMED ? how % 8 : NAMED, how & 128, size);
    if (job != NULL) (void)submit(api.w, job, how & 64 ? "fuzzed" : NULL);
}

static uint32_t many_ran; // of those submitted together
static bool is_mixed;     // they ran in another order

static void run_plain(fa_worker *w, void *arg)
{
    FUZZ_CHECK(w == fa_self(api.fa));
    const uint64_t *value = arg;
    is_mixed |= *value != many_ran;
    many_ran++;
    api.ran++;
}

/// All of them run in the wait, in order unless there were too many for the deque.
void job_submit_many(void)
{
    uint64_t values[64];
    uint32_t count = take() % 64;
    if (!api.in_frame || count_waiting() > 0) return;
    for (uint32_t i = 0; i < count; i++) values[i] = i;
    fa_counter counter = FA_COUNTER_INIT;
    api.frame_jobs = true;
    many_ran = 0;
    is_mixed = false;
    fa_status status = fa_submit_many(api.w, &counter, run_plain, values, sizeof *values, count);
    FUZZ_CHECK(status == FA_OK || (api.limited && status == FA_ERROR_MEMORY));
    FUZZ_CHECK(fa_wait(api.w, &counter) == FA_OK && fa_is_done(&counter));
    FUZZ_CHECK(many_ran == (status == FA_OK ? count : 0));
    FUZZ_CHECK(count > DEQUE || !is_mixed);
}

void job_wait(void)
{
    uint8_t counter = take() % NAMED;
    FUZZ_CHECK(fa_is_done(&counters[counter]) == (pending[counter] == 0));
    FUZZ_CHECK(fa_wait(api.w, &counters[counter]) == FA_OK);
    FUZZ_CHECK(pending[counter] == 0 && fa_is_done(&counters[counter]));
}

void job_fork(void)
{
    uint32_t depth = 1 + take() % TREE_MAX;
    if (api.in_frame) {
        fork_tree(api.w, depth);
        return;
    }
    permit(1);
    struct tree tree = {1, 0};
    fa_task task;
    FUZZ_CHECK(fa_fork(api.w, &task, grow_tree, &tree) == FA_ERROR_STATE);
    fa_join(api.w, &task);
    FUZZ_CHECK(tree.leaves == 0);
}

void job_loop(void)
{
    uint64_t first = take(), count = take(), grain = take() % 32;
    if (api.in_frame) run_loop(api.w, first, count, grain);
}

void job_run_main(void)
{
    uint32_t waiting = 0;
    for (int i = 0; i < JOBS; i++) waiting += jobs[i].waits && jobs[i].on_main;
    uint32_t ran = fa_run_main_jobs(api.fa);
    FUZZ_CHECK(ran >= waiting);
    for (int i = 0; i < JOBS; i++) FUZZ_CHECK(!jobs[i].waits || !jobs[i].on_main);
}

void jobs_frame_ends(void)
{
    in_order = true;
    last_run = 0;
}

void jobs_frame_ended(void)
{
    in_order = false;
    FUZZ_CHECK(count_waiting() == 0);
    for (int i = 0; i < NAMED; i++) FUZZ_CHECK(pending[i] == 0 && fa_is_done(&counters[i]));
}
