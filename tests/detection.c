// SPDX-License-Identifier: MIT
//
// Which misuse is found at which level of hardening: each is committed in a process of its own, at each level, and what came of it is compared
// with the table below. Finding less fails the test, and so does finding more: then the table, and docs/proof.md, say so.
//
//     detection                     all, as a table; exit status 1 if one is not as expected
//     detection NAME                that one, with what it says on stderr
//     detection --list              their names
//     detection --markdown          what is expected, as docs/proof.md has it
//     detection --documented FILE   whether it has it
#include <framealloc/framealloc.h>
#include <framealloc/group.h>
#include <framealloc/handle.h>
#include <framealloc/stream.h>
#include <framealloc/transfer.h>

#include <argp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__has_feature)
#define HAS_FEATURE(x) __has_feature(x)
#else
#define HAS_FEATURE(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || HAS_FEATURE(address_sanitizer)
#define WITH_ASAN 1
#else
#define WITH_ASAN 0
#endif

enum { SANITIZER_EXIT = 99, HANG_SECONDS = 120 };

/// The environment may change all of it but the exit status by which a report is known.
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "exitcode=99";
}

// Levels ----------------------------------------------------------------------------------------------------------------

typedef enum level { UNCHECKED, CHECKED, QUARANTINE, ASAN, ASAN_CHECKED, LEVELS } level;

static const char *const level_names[LEVELS] = {"unchecked", "checked", "checked, quarantine", "AddressSanitizer",
                                                "AddressSanitizer, checked"};

static bool is_of_this_build(level at)
{
    return (at >= ASAN) == WITH_ASAN;
}

// What a process finds out ----------------------------------------------------------------------------------------------

typedef struct scene {
    fa_config config;
    fa_system *fa;
    fa_worker *w;
} scene;

static enum { SETTING_UP, AT_THE_CALL, LATER, AT_THE_END } moment;
static int found_by; // pipe to the parent

static void found(const char *what)
{
    static const char *const when[] = {" too early", "", ", later", ", at the end"};
    char line[64];
    int length = snprintf(line, sizeof line, "%s%s\n", what, when[moment]);
    if (write(found_by, line, (size_t)length) != length) _exit(2);
}

static void report(const fa_diagnostic *diagnostic, void *context)
{
    (void)context;
    found(diagnostic->code);
    fprintf(stderr, "%s: %s\n", diagnostic->code, diagnostic->message);
}

#define REQUIRE(condition)                                                                                             \
    ((condition) ? (void)0 : (fprintf(stderr, "detection.c:%d: %s\n", __LINE__, #condition), _exit(2)))

/// The call that is the misuse answered that it did nothing.
static void refused_if(bool condition)
{
    if (condition) found("refused");
}

__attribute__((noinline)) static void write_byte(void *p, ptrdiff_t offset)
{
    ((volatile unsigned char *)p)[offset] ^= 0xff;
}

/// Reading is found when it is stopped, or when what is read is plainly no data.
__attribute__((noinline)) static void read_byte(const void *p, ptrdiff_t offset)
{
    if (((const volatile unsigned char *)p)[offset] == 0xdd) found("reads 0xdd");
}

static void *pool(const scene *at, size_t size)
{
    void *p = fa_pool_alloc(at->w, size);
    REQUIRE(p != NULL);
    memset(p, 1, size);
    return p;
}

/// Runs fn(w, p) on another lane, or with no lane.
typedef struct elsewhere {
    fa_system *fa;
    void (*fn)(fa_system *fa, fa_worker *w, void *p);
    void *p;
    bool attach;
} elsewhere;

static void *run_elsewhere(void *arg)
{
    const elsewhere *call = arg;
    fa_worker *w = NULL;
    if (call->attach) REQUIRE(fa_attach(call->fa, &w) == FA_OK);
    call->fn(call->fa, w, call->p);
    if (call->attach) REQUIRE(fa_detach(w) == FA_OK);
    return NULL;
}

static void on_thread(const scene *at, bool attach, void (*fn)(fa_system *fa, fa_worker *w, void *p), void *p)
{
    elsewhere call = {at->fa, fn, p, attach};
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, run_elsewhere, &call) == 0);
    REQUIRE(pthread_join(thread, NULL) == 0);
}

static void begin(const scene *at)
{
    REQUIRE(fa_frame_begin(at->fa) == FA_OK);
}

static void end(const scene *at)
{
    REQUIRE(fa_frame_end(at->fa, NULL) == FA_OK);
}

/// What a program goes on doing: allocating and freeing what it will find in place of what was misused.
static void go_on(const scene *at)
{
    enum { N = 300, HANDLES = 1200 }; // more than a chunk has
    static void *objects[N];
    static fa_handle handles[HANDLES];
    moment = LATER;
    for (int round = 0; round < 3; round++) {
        begin(at);
        if (fa_frame_alloc(at->w, 64) == NULL) found("FA003");
        for (int i = 0; i < N; i++) objects[i] = fa_pool_alloc(at->w, 64);
        for (int i = 0; i < N; i++) fa_pool_free(at->w, objects[i]);
        end(at);
    }
    for (int i = 0; i < HANDLES; i++) handles[i] = fa_handle_alloc(at->w, 64, 16, NULL);
    for (int i = 0; i < HANDLES; i++) REQUIRE(fa_handle_free(at->w, handles[i]) == FA_OK);
}

// Frees -----------------------------------------------------------------------------------------------------------------

static void double_free_local(const scene *at)
{
    void *p = pool(at, 64);
    fa_pool_free(at->w, p);
    moment = AT_THE_CALL;
    fa_pool_free(at->w, p);
}

static void free_once(fa_system *fa, fa_worker *w, void *p)
{
    (void)fa;
    fa_pool_free(w, p);
}

static void free_twice(fa_system *fa, fa_worker *w, void *p)
{
    free_once(fa, w, p);
    free_once(fa, w, p);
}

static void free_twice_without_lane(fa_system *fa, fa_worker *w, void *p)
{
    (void)w;
    fa_free_any(fa, p);
    fa_free_any(fa, p);
}

static void double_free_remote(const scene *at)
{
    void *p = pool(at, 64);
    moment = AT_THE_CALL;
    on_thread(at, true, free_twice, p);
}

static void double_free_both(const scene *at)
{
    void *p = pool(at, 64);
    fa_pool_free(at->w, p);
    moment = AT_THE_CALL;
    on_thread(at, true, free_once, p);
}

static void double_free_unattached(const scene *at)
{
    void *p = pool(at, 64);
    moment = AT_THE_CALL;
    on_thread(at, false, free_twice_without_lane, p);
}

static void double_free_span(const scene *at)
{
    void *p = fa_heap_alloc(at->w, 100000, 16);
    fa_heap_free(at->w, p);
    moment = AT_THE_CALL;
    fa_heap_free(at->w, p);
}

static void double_free_handle(const scene *at)
{
    fa_handle handle = fa_handle_alloc(at->w, 64, 16, NULL);
    REQUIRE(fa_handle_free(at->w, handle) == FA_OK);
    moment = AT_THE_CALL;
    refused_if(fa_handle_free(at->w, handle) != FA_OK);
}

static void free_interior(const scene *at)
{
    unsigned char *p = pool(at, 64);
    moment = AT_THE_CALL;
    fa_pool_free(at->w, p + 16);
    moment = LATER;
    fa_pool_free(at->w, p);
}

static void free_foreign(const scene *at)
{
    void *p = malloc(64);
    moment = AT_THE_CALL;
    fa_pool_free(at->w, p);
    free(p);
}

static void free_stack(const scene *at)
{
    unsigned char bytes[64] = {0};
    moment = AT_THE_CALL;
    fa_pool_free(at->w, bytes);
}

static void free_with_other_function(const scene *at)
{
    void *p = pool(at, 64);
    moment = AT_THE_CALL;
    fa_heap_free(at->w, p);
    moment = LATER;
    fa_pool_free(at->w, p);
}

static void free_frame_memory(const scene *at)
{
    begin(at);
    void *p = fa_frame_alloc(at->w, 64);
    moment = AT_THE_CALL;
    fa_pool_free(at->w, p);
    moment = LATER;
    end(at);
}

// Use after free --------------------------------------------------------------------------------------------------------

static void write_after_free(const scene *at)
{
    void *p = pool(at, 64);
    fa_pool_free(at->w, p);
    moment = AT_THE_CALL;
    write_byte(p, 24);
}

static void write_after_slab(const scene *at)
{
    void *p = pool(at, 20000); // the only one of its slab
    fa_pool_free(at->w, p);
    moment = AT_THE_CALL;
    write_byte(p, 24);
}

static void write_before_home(const scene *at)
{
    void *p = pool(at, 64);
    on_thread(at, true, free_once, p);
    moment = AT_THE_CALL;
    write_byte(p, 24);
}

static void read_after_free(const scene *at)
{
    void *p = pool(at, 64);
    fa_pool_free(at->w, p);
    moment = AT_THE_CALL;
    read_byte(p, 24);
}

static void write_first_word(const scene *at)
{
    void *p = pool(at, 64);
    fa_pool_free(at->w, p);
    moment = AT_THE_CALL;
    write_byte(p, 3);
}

static void write_after_reuse(const scene *at)
{
    void *p = pool(at, 64);
    fa_pool_free(at->w, p);
    void *next = pool(at, 64);
    moment = AT_THE_CALL;
    write_byte(p, 24);
    moment = LATER;
    fa_pool_free(at->w, next);
}

static void write_after_handle_free(const scene *at)
{
    fa_handle keeps_chunk = fa_handle_alloc(at->w, 64, 16, NULL), handle = fa_handle_alloc(at->w, 64, 16, NULL);
    void *p = fa_handle_resolve(at->w, handle);
    REQUIRE(fa_handle_free(at->w, handle) == FA_OK);
    fa_stats stats;
    do { // until the grace period is over
        begin(at);
        end(at);
        REQUIRE(sched_yield() == 0 && fa_stats_read(at->fa, &stats) == FA_OK);
    } while (stats.backlog > 0);
    moment = AT_THE_CALL;
    write_byte(p, 24);
    go_on(at);
    REQUIRE(fa_handle_free(at->w, keeps_chunk) == FA_OK);
}

// Frame and scope memory ------------------------------------------------------------------------------------------------

static void *frame_memory_over(const scene *at)
{
    begin(at);
    void *p = fa_frame_alloc(at->w, 64);
    memset(p, 1, 64);
    end(at);
    moment = AT_THE_CALL;
    return p;
}

static void write_after_frame(const scene *at)
{
    write_byte(frame_memory_over(at), 24);
}

static void read_after_frame(const scene *at)
{
    read_byte(frame_memory_over(at), 24);
}

static void read_after_rollback(const scene *at)
{
    begin(at);
    fa_checkpoint checkpoint = fa_checkpoint_take(at->w);
    void *p = fa_frame_alloc(at->w, 64);
    memset(p, 1, 64);
    REQUIRE(fa_checkpoint_rollback(at->w, checkpoint) == FA_OK);
    moment = AT_THE_CALL;
    read_byte(p, 24);
    moment = LATER;
    end(at);
}

static void read_after_scope(const scene *at)
{
    unsigned char *p;
    begin(at);
    {
        FA_SCOPE(at->w);
        p = fa_scope_alloc(at->w, 64);
        memset(p, 1, 64);
    }
    moment = AT_THE_CALL;
    read_byte(p, 24);
    moment = LATER;
    end(at);
}

static void publish_frame_memory(const scene *at)
{
    static fa_cell cell;
    begin(at);
    void *p = fa_frame_alloc(at->w, 64);
    moment = AT_THE_CALL;
    fa_status status = fa_cell_publish(at->w, &cell, p);
    refused_if(status != FA_OK);
    moment = LATER;
    end(at);
}

static void allocate_outside_frame(const scene *at)
{
    moment = AT_THE_CALL;
    refused_if(fa_frame_alloc(at->w, 64) == NULL);
}

// Names that are stale --------------------------------------------------------------------------------------------------

static void stale_checkpoint(const scene *at)
{
    begin(at);
    fa_checkpoint outer = fa_checkpoint_take(at->w);
    REQUIRE(fa_frame_alloc(at->w, 64) != NULL);
    fa_checkpoint inner = fa_checkpoint_take(at->w);
    REQUIRE(fa_checkpoint_rollback(at->w, outer) == FA_OK);
    moment = AT_THE_CALL;
    refused_if(fa_checkpoint_rollback(at->w, inner) != FA_OK);
    moment = LATER;
    end(at);
}

static void checkpoint_of_last_frame(const scene *at)
{
    begin(at);
    fa_checkpoint checkpoint = fa_checkpoint_take(at->w);
    end(at);
    begin(at);
    moment = AT_THE_CALL;
    refused_if(fa_checkpoint_rollback(at->w, checkpoint) != FA_OK);
    moment = LATER;
    end(at);
}

static void stale_handle(const scene *at)
{
    fa_handle handle = fa_handle_alloc(at->w, 64, 16, NULL);
    REQUIRE(fa_handle_free(at->w, handle) == FA_OK);
    moment = AT_THE_CALL;
    refused_if(fa_handle_resolve(at->w, handle) == NULL);
}

static void stale_group(const scene *at)
{
    fa_group group;
    REQUIRE(fa_group_create(at->w, "stale", &group) == FA_OK);
    REQUIRE(fa_group_free(at->w, group) == FA_OK);
    moment = AT_THE_CALL;
    refused_if(fa_group_alloc(at->w, group, 64, 16) == NULL);
}

static void stale_stream(const scene *at)
{
    fa_stream stream;
    const void *data;
    size_t size;
    REQUIRE(fa_stream_reserve(at->w, 64, FA_STREAM_NORMAL, NULL, &stream) == FA_OK);
    REQUIRE(fa_stream_free(at->w, stream) == FA_OK);
    moment = AT_THE_CALL;
    refused_if(fa_stream_pin(at->w, stream, &data, &size) != FA_OK);
}

static void stale_ticket(const scene *at)
{
    void *p = pool(at, 64);
    fa_transfer ticket;
    REQUIRE(fa_transfer_send(at->w, p, &ticket) == FA_OK);
    REQUIRE(fa_transfer_receive(at->w, ticket, &p) == FA_OK);
    moment = AT_THE_CALL;
    void *again;
    refused_if(fa_transfer_receive(at->w, ticket, &again) != FA_OK);
    moment = LATER;
    fa_pool_free(at->w, p);
}

// Out of bounds ---------------------------------------------------------------------------------------------------------

/// Writes at `offset` of the middle one of three objects, all live, and frees them.
static void write_outside(const scene *at, size_t size, ptrdiff_t offset)
{
    void *objects[3];
    for (int i = 0; i < 3; i++) objects[i] = pool(at, size);
    moment = AT_THE_CALL;
    write_byte(objects[1], offset);
    moment = LATER;
    for (int i = 0; i < 3; i++) fa_pool_free(at->w, objects[i]);
}

static void overflow_by_one(const scene *at)
{
    write_outside(at, 100, 100);
}

static void overflow_of_full_class(const scene *at)
{
    write_outside(at, 64, 64);
}

static void underflow_by_one(const scene *at)
{
    write_outside(at, 64, -1);
}

static void underflow_into_slack(const scene *at)
{
    write_outside(at, 100, -1);
}

static void overflow_into_free(const scene *at)
{
    enum { N = 64 };
    unsigned char *objects[N], *after = NULL;
    for (int i = 0; i < N; i++) objects[i] = pool(at, 64);
    for (int i = 0; i < N && after == NULL; i++)
        for (int j = 0; j < N; j++)
            if (objects[j] == objects[0] + 64) after = objects[j];
    REQUIRE(after != NULL);
    fa_pool_free(at->w, after);
    moment = AT_THE_CALL;
    write_byte(objects[0], 64);
    moment = LATER;
    for (int i = 0; i < N; i++)
        if (objects[i] != after) fa_pool_free(at->w, objects[i]);
}

static void overflow_in_frame(const scene *at)
{
    begin(at);
    void *p = fa_frame_alloc(at->w, 60);
    moment = AT_THE_CALL;
    write_byte(p, 60);
    moment = LATER;
    end(at);
}

static void overflow_of_span(const scene *at)
{
    void *p = fa_heap_alloc(at->w, 100000, 16);
    REQUIRE(p != NULL);
    moment = AT_THE_CALL;
    write_byte(p, 100000);
    moment = LATER;
    fa_heap_free(at->w, p);
}

// Wrong system, wrong thread, leaks -------------------------------------------------------------------------------------

static void free_in_other_system(const scene *at)
{
    fa_system *other;
    REQUIRE(fa_create(&at->config, &other) == FA_OK);
    void *p = pool(at, 64);
    moment = AT_THE_CALL;
    fa_pool_free(fa_self(other), p);
    moment = LATER;
    fa_pool_free(at->w, p);
    REQUIRE(fa_destroy(other) == FA_OK);
}

static void resolve_in_other_system(const scene *at)
{
    fa_system *other;
    REQUIRE(fa_create(&at->config, &other) == FA_OK);
    fa_handle handle = fa_handle_alloc(at->w, 64, 16, NULL);
    moment = AT_THE_CALL;
    refused_if(fa_handle_resolve(fa_self(other), handle) == NULL);
    moment = LATER;
    REQUIRE(fa_handle_free(at->w, handle) == FA_OK);
    REQUIRE(fa_destroy(other) == FA_OK);
}

static void use_lane_of_other(fa_system *fa, fa_worker *w, void *p)
{
    (void)w;
    void *got = fa_pool_alloc(p, 64);
    if (got != NULL) fa_free_any(fa, got);
}

static void wrong_thread(const scene *at)
{
    moment = AT_THE_CALL;
    on_thread(at, true, use_lane_of_other, at->w);
}

static void frame_on_wrong_thread_body(fa_system *fa, fa_worker *w, void *p)
{
    (void)w, (void)p;
    refused_if(fa_frame_begin(fa) != FA_OK);
}

static void frame_on_wrong_thread(const scene *at)
{
    moment = AT_THE_CALL;
    on_thread(at, true, frame_on_wrong_thread_body, NULL);
}

static void keep_lane(fa_system *fa, fa_worker *w, void *p)
{
    (void)fa;
    *(fa_worker **)p = w;
}

static void lane_after_detach(const scene *at)
{
    fa_worker *w = NULL;
    on_thread(at, true, keep_lane, &w);
    moment = AT_THE_CALL;
    void *p = fa_pool_alloc(w, 64);
    moment = LATER;
    if (p != NULL) fa_free_any(at->fa, p);
}

static void leak(const scene *at)
{
    (void)pool(at, 64);
    moment = AT_THE_CALL;
}

static void leak_group(const scene *at)
{
    fa_group group;
    REQUIRE(fa_group_create(at->w, "leaked", &group) == FA_OK);
    moment = AT_THE_CALL;
}

// The table -------------------------------------------------------------------------------------------------------------

typedef struct misuse {
    const char *name, *what;
    void (*commit)(const scene *at);
    const char *expected[LEVELS]; // "-": not found
} misuse;

static const misuse table[] = {
#include "detection.def"
};

enum { MISUSES = sizeof table / sizeof table[0] };

// One process -----------------------------------------------------------------------------------------------------------

static void play(const misuse *one, level at)
{
    scene world = {.config = fa_config_minimal()};
    world.config.checked = at == CHECKED || at == QUARANTINE || at == ASAN_CHECKED;
    world.config.quarantine = at == QUARANTINE ? 64 : 0;
    world.config.report = report;
    REQUIRE(fa_create(&world.config, &world.fa) == FA_OK);
    world.w = fa_self(world.fa);
    if (one->commit != NULL) one->commit(&world);
    go_on(&world);
    moment = AT_THE_END;
    REQUIRE(fa_destroy(world.fa) == FA_OK);
}

/// What came of it: the first that was found, or how the process ended.
static void observe(const misuse *one, level at, bool aloud, char *out, size_t size)
{
    int ends[2];
    fflush(NULL);
    if (pipe(ends) != 0) exit(2);
    pid_t child = fork();
    if (child == 0) {
        alarm(HANG_SECONDS);
        close(ends[0]);
        found_by = ends[1];
        if (!aloud && freopen("/dev/null", "w", stderr) == NULL) _exit(2);
        play(one, at);
        _exit(0);
    }
    close(ends[1]);
    char text[4096] = "";
    size_t length = 0;
    for (ssize_t got; length < sizeof text - 1 && (got = read(ends[0], text + length, sizeof text - 1 - length)) > 0;)
        length += (size_t)got;
    text[length] = '\0';
    close(ends[0]);
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child) exit(2);
    if (aloud) printf("%s", text);
    text[strcspn(text, "\n")] = '\0';
    if (WIFEXITED(status) && WEXITSTATUS(status) == SANITIZER_EXIT)
        snprintf(out, size, "%s", text[0] != '\0' ? text : "report");
    else if (WIFSIGNALED(status))
        snprintf(out, size, "signal %d%s%s", WTERMSIG(status), text[0] != '\0' ? " after " : "", text);
    else if (status != 0)
        snprintf(out, size, "exit status %d%s%s", WEXITSTATUS(status), text[0] != '\0' ? " after " : "", text);
    else
        snprintf(out, size, "%s", text[0] != '\0' ? text : "-");
}

// All of them -----------------------------------------------------------------------------------------------------------

static void markdown(FILE *to)
{
    fprintf(to, "| misuse |");
    for (int at = 0; at < LEVELS; at++) fprintf(to, " %s |", level_names[at]);
    fprintf(to, "\n|---|---|---|---|---|---|\n");
    for (int i = 0; i < MISUSES; i++) {
        fprintf(to, "| %s |", table[i].what);
        for (int at = 0; at < LEVELS; at++) fprintf(to, " %s |", table[i].expected[at]);
        fprintf(to, "\n");
    }
}

static int documented(const char *path)
{
    char *wanted = NULL;
    size_t wanted_size = 0, size;
    FILE *memory = open_memstream(&wanted, &wanted_size);
    markdown(memory);
    fclose(memory);
    static char text[1 << 20];
    FILE *file = fopen(path, "r");
    size = file != NULL ? fread(text, 1, sizeof text - 1, file) : 0;
    if (file != NULL) fclose(file);
    text[size] = '\0';
    bool has = strstr(text, wanted) != NULL;
    printf("%s %s the table of `detection --markdown`\n", path, has ? "has" : "has not");
    free(wanted);
    return has ? 0 : 1;
}

static int play_all(const char *only)
{
    int played = 0, caught = 0, wrong = 0;
    for (int i = 0; i < MISUSES; i++) {
        if (only != NULL && strcmp(only, table[i].name) != 0) continue;
        for (level at = 0; at < LEVELS; at++) {
            if (!is_of_this_build(at)) continue;
            char is[128];
            observe(&table[i], at, only != NULL, is, sizeof is);
            bool right = strcmp(is, table[i].expected[at]) == 0;
            printf("%-26s %-26s %-24s%s%s\n", table[i].name, level_names[at], is, right ? "" : " EXPECTED ",
                   right ? "" : table[i].expected[at]);
            played++;
            caught += strcmp(is, "-") != 0;
            wrong += !right;
        }
    }
    printf("%d misuses played, %d found, %d not as expected\n", played, caught, wrong);
    return played == 0 || wrong > 0;
}

// Command line ----------------------------------------------------------------------------------------------------------

struct options {
    const char *only, *file;
    bool list, markdown;
};

static const struct argp_option argp_options[] = {{"list", 'l', NULL, 0, "The names", 0},
                                                  {"markdown", 'm', NULL, 0, "The table, as docs/proof.md has it", 0},
                                                  {"documented", 'd', "FILE", 0, "Whether FILE has that table", 0},
                                                  {0}};

static bool is_misuse(const char *name)
{
    for (int i = 0; i < MISUSES; i++) {
        if (strcmp(name, table[i].name) == 0) return true;
    }
    return false;
}

static error_t parse(int key, char *value, struct argp_state *state)
{
    struct options *o = state->input;
    switch (key) {
        case 'l': o->list = true; return 0;
        case 'm': o->markdown = true; return 0;
        case 'd': o->file = value; return 0;
        case ARGP_KEY_ARG:
            if (o->only != NULL) argp_error(state, "one misuse, or all; not '%s' as well", value);
            if (!is_misuse(value)) argp_error(state, "no misuse is called '%s'; --list names them", value);
            o->only = value;
            return 0;
        default: return ARGP_ERR_UNKNOWN;
    }
}

int main(int argc, char **argv)
{
    const struct argp argp = {argp_options, parse, "[NAME]", "Which misuse is found at which level of hardening.",
                              NULL,         NULL,  NULL};
    struct options o = {0};
    argp_parse(&argp, argc, argv, 0, NULL, &o);
    if (o.list) {
        for (int i = 0; i < MISUSES; i++) printf("%-26s %s\n", table[i].name, table[i].what);
        return 0;
    }
    if (o.markdown) return markdown(stdout), 0;
    return o.file != NULL ? documented(o.file) : play_all(o.only);
}
