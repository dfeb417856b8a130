// SPDX-License-Identifier: MIT
//
// The model checker: Relacy's scheduler and memory model under the operations of checker.h.
//
// An atomic object is a cell: Relacy knows the order of its last writes and which of them a thread may read, the cell has their values.
// Memory itself holds the newest value, for its owner's plain reads. Beside Relacy's clocks, which sequentially consistent fences join, the
// checker keeps its own, which they do not (see checker.h): these decide what is a race.
//
//     clocks[t][u]: what thread t knows of thread u; an access of u at time x happens before t's now <=> x <= clocks[t][u]
#include "tests/model/internal.h"

#include <chrono>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <relacy/relacy.hpp>

#undef $

namespace {

const unsigned THREADS = MC_THREADS_MAX;
const unsigned DEPTH = rl::atomic_history_size;

struct clocks {
    uint32_t at[THREADS];

    void join(const clocks &other)
    {
        for (unsigned i = 0; i < THREADS; i++)
            if (other.at[i] > at[i]) at[i] = other.at[i];
    }
};

// Tables by address, emptied at once by a new epoch ----------------------------------------------------------------------

template <typename entry, unsigned bits> class table {
  public:
    /// The entry of an address, NULL if there is none and `make` is false.
    entry *find(uintptr_t address, bool make)
    {
        for (uint64_t at = address * 0x9e3779b97f4a7c15u >> (64 - bits);; at++) {
            entry &e = entries[at & ((1u << bits) - 1)];
            if (e.epoch != epoch) {
                if (!make) return nullptr;
                if (++count > (1u << bits) / 2) {
                    fprintf(stderr, "model: too many objects in one execution\n");
                    abort();
                }
                used[count - 1] = &e;
                memset((void *)&e, 0, sizeof e);
                e.epoch = epoch;
                e.address = address;
                return &e;
            }
            if (e.address == address) return &e;
        }
    }

    void clear()
    {
        epoch++;
        count = 0;
    }

    unsigned count = 0;
    entry *used[(1u << bits) / 2];

  private:
    uint64_t epoch = 1;
    entry entries[1u << bits];
};

struct cell {
    uintptr_t address;
    uint64_t epoch;
    size_t size;
    rl::atomic_data *data;
    unsigned newest, writer;
    bool plainly; // written by a plain store that is not in the history yet
    struct {
        uint64_t value;
        clocks known; // to who acquires it
    } history[DEPTH];
};

/// Four bytes of memory, or one of four that are not always accessed together: when each thread last accessed them in which way.
struct shadow {
    uintptr_t address;
    uint64_t epoch;
    bool split; // the bytes have shadows of their own
    clocks read, written, atomic_read, atomic_written;
};

table<cell, 14> cells;
table<shadow, 16> shadows;
cell *plainly[64];
unsigned plainly_count;

struct {
    const mc_model *model;
    mc_run *run;
    bool running; // the threads, and not before() or after()
    bool tracing;
    unsigned acting;            // whom before() plays
    unsigned slowness[THREADS]; // how often a thread stands back at each operation, in a search at random
    double deadline;
    clocks known[THREADS], acquired[THREADS], released[THREADS]; // by the threads; by fences
    clocks boxes[mc::BOXES * THREADS];
    // thread-local variables
    unsigned local_owner;
    void (*init_cell)(rl::atomic_data *data, unsigned index);
} now;

// Threads' copies of the thread-local section -------------------------------------------------------------------------------

const size_t LOCAL_MAX = 4096;
char locals[THREADS][LOCAL_MAX];

using mc::local_size;

unsigned self()
{
    return rl::ctx().threadx_->index_;
}

void use_locals_of(unsigned thread)
{
    if (now.local_owner == thread) return;
    memcpy(locals[now.local_owner], __start_mc_thread_local, local_size());
    memcpy(__start_mc_thread_local, locals[thread], local_size());
    now.local_owner = thread;
}

// Words ---------------------------------------------------------------------------------------------------------------------

rl::debug_info info_of(const mc_site *site)
{
    return rl::debug_info(site->function, site->file, (unsigned)site->line);
}

const rl::debug_info nowhere("", "", 0);

uint64_t memory_get(const volatile void *p, size_t size)
{
    uint64_t value = 0;
    memcpy(&value, (const void *)p, size);
    return value;
}

void memory_set(volatile void *p, size_t size, uint64_t value)
{
    memcpy((void *)p, &value, size);
}

uint64_t cut(uint64_t value, size_t size)
{
    return size == 8 ? value : value & ((uint64_t(1) << (8 * size)) - 1);
}

__attribute__((noreturn)) void fail(const char *what, rl::test_result_e kind = rl::test_result_user_assert_failed)
{
    snprintf(now.run->reason, sizeof now.run->reason, "%s", what);
    if (now.tracing) fprintf(stderr, "    %u: FAILS: %s\n", self(), what);
    now.running = false;
    rl::ctx().fail_test(what, kind, nowhere);
    abort(); // does not come back
}

void trace(const mc_site *site, const volatile void *p, const char *format, ...) __attribute__((format(printf, 3, 4)));
void trace(const mc_site *site, const volatile void *p, const char *format, ...)
{
    if (!now.tracing) return;
    char text[160];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    fprintf(stderr, "    %u: %s:%d %s(): %s %p %s\n", self(), site->file, site->line, site->function, site->what,
            (const void *)p, text);
}

// Sites ---------------------------------------------------------------------------------------------------------------------

mc_site *all_sites;
const mc_site *weakened;
const char *weakened_part;

bool same_place(const mc_site *a, const mc_site *b)
{
    return a->line == b->line && strcmp(a->file, b->file) == 0 && strcmp(a->what, b->what) == 0;
}

void apply(mc_site *site)
{
    site->now = site->order;
    site->failure_now = site->failure;
    if (weakened == nullptr || !same_place(site, weakened)) return;
    const char *part = weakened_part;
    if (strcmp(part, "failure") == 0)
        site->failure_now = __ATOMIC_RELAXED;
    else if (strcmp(part, "seq_cst") == 0)
        site->now = __ATOMIC_ACQ_REL;
    else if (strcmp(part, "acquire") == 0 && site->order == __ATOMIC_ACQ_REL)
        site->now = __ATOMIC_RELEASE;
    else if (strcmp(part, "release") == 0 && site->order == __ATOMIC_ACQ_REL)
        site->now = __ATOMIC_ACQUIRE;
    else
        site->now = __ATOMIC_RELAXED;
}

/// Compilers and their caches write paths in several ways.
const char *from_root(const char *file)
{
    while (strncmp(file, "./", 2) == 0 || strncmp(file, "../", 3) == 0) file = strchr(file, '/') + 1;
    return file;
}

void reach(mc_site *site)
{
    if (site->reached) return;
    if (site->next == nullptr) {
        site->file = from_root(site->file);
        site->next = all_sites != nullptr ? all_sites : site; // the last one names itself
        all_sites = site;
        apply(site);
    }
    site->reached = true;
}

mc_site *next_of(mc_site *site)
{
    return site->next == site ? nullptr : site->next;
}

bool acquires(int order)
{
    return order == __ATOMIC_ACQUIRE || order == __ATOMIC_ACQ_REL || order == __ATOMIC_SEQ_CST;
}

bool releases(int order)
{
    return order == __ATOMIC_RELEASE || order == __ATOMIC_ACQ_REL || order == __ATOMIC_SEQ_CST;
}

// Races ---------------------------------------------------------------------------------------------------------------------

enum touch { PLAIN_READ, PLAIN_WRITE, ATOMIC_READ, ATOMIC_WRITE };

bool after(const clocks &those, unsigned thread)
{
    for (unsigned i = 0; i < THREADS; i++)
        if (those.at[i] > now.known[thread].at[i]) return false;
    return true;
}

shadow *shadow_of_byte(uintptr_t p)
{
    return shadows.find(p | uintptr_t(1) << 63, true);
}

void split(shadow *s)
{
    for (unsigned i = 0; i < 4; i++) {
        shadow *byte = shadow_of_byte(s->address + i);
        byte->read = s->read;
        byte->written = s->written;
        byte->atomic_read = s->atomic_read;
        byte->atomic_written = s->atomic_written;
    }
    s->split = true;
}

template <typename function> void each_shadow(uintptr_t p, size_t size, function &&f)
{
    for (uintptr_t at = p & ~uintptr_t(3); at < p + size; at += 4) {
        shadow *s = shadows.find(at, true);
        bool whole = at >= p && at + 4 <= p + size;
        if (!whole && !s->split) split(s);
        if (!s->split) {
            f(s);
            continue;
        }
        for (uintptr_t byte = at < p ? p : at; byte < at + 4 && byte < p + size; byte++) f(shadow_of_byte(byte));
    }
}

void note(touch how, uintptr_t p, size_t size, const void *pc, const mc_site *site)
{
    static const char *const words[] = {"plain read", "plain write", "atomic read", "atomic write"};
    unsigned me = self();
    each_shadow(p, size, [=](shadow *s) {
        const char *other = nullptr;
        if (!after(s->written, me)) other = words[PLAIN_WRITE];
        if (how != ATOMIC_READ && how != ATOMIC_WRITE && !after(s->atomic_written, me)) other = words[ATOMIC_WRITE];
        if (how == PLAIN_WRITE || how == ATOMIC_WRITE)
            if (!after(s->read, me)) other = words[PLAIN_READ];
        if (how == PLAIN_WRITE && !after(s->atomic_read, me)) other = words[ATOMIC_READ];
        if (other != nullptr) {
            char text[120];
            if (site != nullptr)
                snprintf(text, sizeof text, "data race: %s at %s:%d, %s", words[how], site->file, site->line, other);
            else
                snprintf(text, sizeof text, "data race: %s of %p at pc %p, %s", words[how], (void *)p, pc, other);
            fail(text, rl::test_result_data_race);
        }
        clocks &mine = how == PLAIN_READ    ? s->read
                       : how == PLAIN_WRITE ? s->written
                       : how == ATOMIC_READ ? s->atomic_read
                                            : s->atomic_written;
        mine.at[me] = now.known[me].at[me];
    });
}

// Cells ---------------------------------------------------------------------------------------------------------------------

/// A write by this thread that became the cell's newest, number `index` of its history.
void note_write(cell *c, unsigned index, uint64_t value, bool release, bool keeps)
{
    unsigned me = self();
    clocks known = release ? now.known[me] : now.released[me];
    if (keeps || c->writer == me) known.join(c->history[c->newest].known); // a release sequence goes on
    c->history[index].value = value;
    c->history[index].known = known;
    c->newest = index;
    c->writer = me;
    memory_set((void *)c->address, c->size, value);
    now.known[me].at[me]++;
}

void note_read(const cell *c, unsigned index, bool acquire)
{
    (acquire ? now.known : now.acquired)[self()].join(c->history[index].known);
}

/// What this thread has stored plainly into atomic objects is a relaxed store of its own.
void settle()
{
    for (unsigned i = 0; i < plainly_count; i++) {
        cell *c = plainly[i];
        uint64_t value = memory_get((void *)c->address, c->size);
        c->plainly = false;
        note_write(c, rl::ctx().threadx_->atomic_store_relaxed(c->data), value, false, false);
    }
    plainly_count = 0;
}

/// To be called where other threads may come between. Threads that are equally fast seldom find another at a standstill for long.
void let_others()
{
    settle();
    for (unsigned i = now.slowness[self()]; i > 0; i--) rl::ctx().sched();
    rl::ctx().sched();
    use_locals_of(self());
}

cell *cell_of(mc_site *site, const volatile void *p, size_t size)
{
    cell *c = cells.find((uintptr_t)p, true);
    if (c->data == nullptr) {
        c->size = size;
        c->data = rl::ctx().atomic_ctor(nullptr);
        unsigned index = rl::ctx().threadx_->atomic_init(c->data);
        now.init_cell(c->data, index);
        c->newest = index;
        c->writer = THREADS;
        c->history[index].value = memory_get(p, size);
    }
    if (c->size != size) {
        trace(site, p, "is of another size");
        fail("an atomic object of two sizes");
    }
    return c;
}

cell *enter(mc_site *site, const volatile void *p, size_t size)
{
    reach(site);
    let_others();
    return cell_of(site, p, size);
}

// Relacy's operation for an order.
unsigned do_load(cell *c, int order)
{
    rl::thread_info_base &t = *rl::ctx().threadx_;
    if (order == __ATOMIC_SEQ_CST) return t.atomic_load_seq_cst(c->data);
    return acquires(order) ? t.atomic_load_acquire(c->data) : t.atomic_load_relaxed(c->data);
}

unsigned do_store(cell *c, int order)
{
    rl::thread_info_base &t = *rl::ctx().threadx_;
    if (order == __ATOMIC_SEQ_CST) return t.atomic_store_seq_cst(c->data);
    return releases(order) ? t.atomic_store_release(c->data) : t.atomic_store_relaxed(c->data);
}

unsigned do_rmw(cell *c, int order)
{
    rl::thread_info_base &t = *rl::ctx().threadx_;
    bool aba;
    switch (order) {
        case __ATOMIC_RELAXED: return t.atomic_rmw_relaxed(c->data, aba);
        case __ATOMIC_ACQUIRE: return t.atomic_rmw_acquire(c->data, aba);
        case __ATOMIC_RELEASE: return t.atomic_rmw_release(c->data, aba);
        case __ATOMIC_ACQ_REL: return t.atomic_rmw_acq_rel(c->data, aba);
        default: return t.atomic_rmw_seq_cst(c->data, aba);
    }
}

/// A failed compare-and-swap: it reads the newest value.
void do_load_newest(cell *c, int order)
{
    rl::thread_info_base &t = *rl::ctx().threadx_;
    (void)(acquires(order) ? t.atomic_load_acquire_rmw(c->data) : t.atomic_load_relaxed_rmw(c->data));
}

template <typename operation> uint64_t modify(mc_site *site, volatile void *p, size_t size, operation &&f)
{
    if (!now.running) {
        uint64_t before = memory_get(p, size);
        memory_set(p, size, f(before));
        return before;
    }
    cell *c = enter(site, p, size);
    note(ATOMIC_WRITE, (uintptr_t)p, size, nullptr, site);
    uint64_t before = c->history[c->newest].value, value = cut(f(before), size);
    trace(site, p, "%llx -> %llx", (unsigned long long)before, (unsigned long long)value);
    note_read(c, c->newest, acquires(site->now));
    unsigned index = do_rmw(c, site->now);
    note_write(c, index, value, releases(site->now), true);
    return before;
}

// Relacy's suites ---------------------------------------------------------------------------------------------------------------

double seconds_now()
{
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

template <unsigned threads> struct suite : rl::test_suite<suite<threads>, threads> {
    static void init_cell(rl::atomic_data *data, unsigned index)
    {
        auto *impl = static_cast<rl::atomic_data_impl<suite::params::thread_count> *>(data);
        for (unsigned i = 0; i < threads; i++) impl->history_[index].first_seen_order_[i] = (rl::timestamp_t)-1;
    }

    void before()
    {
        now.running = false;
        now.acting = 0;
        cells.clear();
        shadows.clear();
        plainly_count = 0;
        memset(now.known, 0, sizeof now.known);
        memset(now.acquired, 0, sizeof now.acquired);
        memset(now.released, 0, sizeof now.released);
        memset(now.boxes, 0, sizeof now.boxes);
        for (unsigned i = 0; i < THREADS; i++) now.known[i].at[i] = 1;
        if (local_size() > LOCAL_MAX) abort();
        memset(locals, 0, sizeof locals);
        memset(__start_mc_thread_local, 0, local_size());
        now.local_owner = 0;
        now.init_cell = init_cell;
        now.run->done++;
        now.tracing = now.run->done == now.run->trace;
        bool over = now.run->done > now.run->executions && now.run->bound > 0; // Relacy does not count there
        if (!over && now.deadline > 0 && now.run->done % 64 == 0) over = seconds_now() > now.deadline;
        if (over) {
            now.run->done--;
            rl::ctx().rl_until("enough", nowhere);
        }
        mc::reset_system(now.model);
        for (unsigned &slowness : now.slowness) slowness = choose_slowness();
        if (now.model->before != nullptr) now.model->before();
    }

    static unsigned choose_slowness()
    {
        static const unsigned often[] = {0, 0, 0, 1, 3, 10, 30};
        return rl::ctx().is_random_sched() ? often[rl::ctx().rand(7, rl::sched_type_user)] : 0;
    }

    void thread(unsigned index)
    {
        now.running = true;
        use_locals_of(index);
        now.model->threads[index]();
        settle();
    }

    void after()
    {
        now.running = false;
        now.acting = 0;
        if (now.model->after != nullptr) now.model->after();
        for (unsigned i = 0; i < cells.count; i++)
            if (cells.used[i]->data != nullptr) rl::ctx().atomic_dtor(cells.used[i]->data);
    }
};

template <unsigned threads> bool simulate(rl::test_params &params)
{
    return rl::simulate<suite<threads>>(params);
}

} // namespace

// For system.cpp ----------------------------------------------------------------------------------------------------------------

namespace mc {

bool running()
{
    return now.running;
}

bool tracing()
{
    return now.tracing;
}

void let_others()
{
    ::let_others();
}

void fence()
{
    settle();
    rl::ctx().atomic_thread_fence_seq_cst();
    use_locals_of(self());
}

woken park(bool timed, bool may_wake_by_itself)
{
    settle();
    rl::unpark_reason reason = rl::ctx().park_current_thread(timed, may_wake_by_itself, false, nowhere);
    use_locals_of(self());
    if (reason == rl::unpark_reason_timeout) return woken::by_time;
    return reason == rl::unpark_reason_normal ? woken::by_other : woken::by_itself;
}

void unpark(unsigned thread)
{
    rl::ctx().unpark_thread((rl::thread_id_t)thread, false, nowhere);
}

bool at_random()
{
    return rl::ctx().is_random_sched();
}

uint32_t newest(const void *word)
{
    const cell *c = cells.find((uintptr_t)word, false);
    return (uint32_t)(c != nullptr ? c->history[c->newest].value : memory_get(word, 4));
}

void hand_over(unsigned from, unsigned box)
{
    now.boxes[box].join(now.known[from]);
    now.known[from].at[from]++;
}

void take_over(unsigned box, unsigned to)
{
    now.known[to].join(now.boxes[box]);
}

void fail(const char *what)
{
    ::fail(what);
}

} // namespace mc

extern "C" {

// Operations --------------------------------------------------------------------------------------------------------------------

uint64_t mc_load(mc_site *site, const volatile void *p, size_t size)
{
    if (!now.running) return memory_get(p, size);
    cell *c = enter(site, p, size);
    note(ATOMIC_READ, (uintptr_t)p, size, nullptr, site);
    unsigned index = do_load(c, site->now);
    note_read(c, index, acquires(site->now));
    uint64_t value = c->history[index].value;
    trace(site, p, "= %llx%s", (unsigned long long)value, index == c->newest ? "" : " (not the newest)");
    return value;
}

void mc_store(mc_site *site, volatile void *p, size_t size, uint64_t value)
{
    value = cut(value, size);
    if (!now.running) return memory_set(p, size, value);
    cell *c = enter(site, p, size);
    note(ATOMIC_WRITE, (uintptr_t)p, size, nullptr, site);
    trace(site, p, "%llx -> %llx", (unsigned long long)c->history[c->newest].value, (unsigned long long)value);
    unsigned index = do_store(c, site->now);
    note_write(c, index, value, releases(site->now), false);
}

uint64_t mc_exchange(mc_site *site, volatile void *p, size_t size, uint64_t value)
{
    return modify(site, p, size, [=](uint64_t) { return value; });
}

uint64_t mc_add(mc_site *site, volatile void *p, size_t size, uint64_t value)
{
    return modify(site, p, size, [=](uint64_t before) { return before + value; });
}

uint64_t mc_and(mc_site *site, volatile void *p, size_t size, uint64_t value)
{
    return modify(site, p, size, [=](uint64_t before) { return before & value; });
}

uint64_t mc_or(mc_site *site, volatile void *p, size_t size, uint64_t value)
{
    return modify(site, p, size, [=](uint64_t before) { return before | value; });
}

bool mc_cas(mc_site *site, volatile void *p, size_t size, void *expected, uint64_t value)
{
    uint64_t wanted = memory_get(expected, size);
    value = cut(value, size);
    if (!now.running) {
        uint64_t before = memory_get(p, size);
        memory_set(before == wanted ? p : expected, size, before == wanted ? value : before);
        return before == wanted;
    }
    cell *c = enter(site, p, size);
    uint64_t before = c->history[c->newest].value;
    bool swapped = before == wanted;
    note(swapped ? ATOMIC_WRITE : ATOMIC_READ, (uintptr_t)p, size, nullptr, site);
    trace(site, p, "%llx -> %llx, %s", (unsigned long long)wanted, (unsigned long long)value,
          swapped ? "swapped" : "found another");
    if (swapped) {
        note_read(c, c->newest, acquires(site->now));
        unsigned index = do_rmw(c, site->now);
        note_write(c, index, value, releases(site->now), true);
    } else {
        note_read(c, c->newest, acquires(site->failure_now));
        do_load_newest(c, site->failure_now);
        memory_set(expected, size, before);
    }
    return swapped;
}

void mc_fence(mc_site *site)
{
    reach(site);
    if (!now.running || site->now == __ATOMIC_RELAXED) return;
    settle();
    trace(site, nullptr, " ");
    unsigned me = self();
    switch (site->now) {
        case __ATOMIC_ACQUIRE:
            rl::ctx().atomic_thread_fence_acquire();
            now.known[me].join(now.acquired[me]);
            break;
        case __ATOMIC_RELEASE:
            rl::ctx().atomic_thread_fence_release();
            now.released[me] = now.known[me];
            now.known[me].at[me]++;
            break;
        default: rl::ctx().atomic_thread_fence_seq_cst(); use_locals_of(self());
    }
}

void mc_pause(void)
{
    if (!now.running) return;
    settle();
    rl::ctx().yield(1, nowhere);
    use_locals_of(self());
}

// Plain accesses: ThreadSanitizer's callbacks ----------------------------------------------------------------------------------------

static void plain(touch how, const volatile void *p, size_t size, const void *pc)
{
    if (!now.running || (p >= __start_mc_thread_local && p < __stop_mc_thread_local)) return;
    note(how, (uintptr_t)p, size, pc, nullptr);
    if (how != PLAIN_WRITE) return;
    for (uintptr_t at = (uintptr_t)p & ~uintptr_t(3); at < (uintptr_t)p + size; at += 4) {
        cell *c = cells.find(at, false);
        if (c == nullptr || c->plainly) continue;
        if (plainly_count == sizeof plainly / sizeof *plainly) settle();
        c->plainly = true;
        plainly[plainly_count++] = c;
    }
}

} // extern "C"

void mc::plain_read(const void *p, size_t size, const void *pc)
{
    plain(PLAIN_READ, p, size, pc);
}

void mc::plain_write(void *p, size_t size, const void *pc)
{
    plain(PLAIN_WRITE, p, size, pc);
}

extern "C" {

#define ACCESS(name, how, size)                                                                                        \
    void __tsan_##name(void *p)                                                                                        \
    {                                                                                                                  \
        plain(how, p, size, __builtin_return_address(0));                                                              \
    }
#define ACCESSES(size)                                                                                                 \
    ACCESS(read##size, PLAIN_READ, size)                                                                               \
    ACCESS(write##size, PLAIN_WRITE, size)                                                                             \
    ACCESS(unaligned_read##size, PLAIN_READ, size)                                                                     \
    ACCESS(unaligned_write##size, PLAIN_WRITE, size)
ACCESSES(1)
ACCESSES(2)
ACCESSES(4)
ACCESSES(8)
ACCESSES(16)

void __tsan_read_range(void *p, size_t size)
{
    plain(PLAIN_READ, p, size, __builtin_return_address(0));
}

void __tsan_write_range(void *p, size_t size)
{
    plain(PLAIN_WRITE, p, size, __builtin_return_address(0));
}

void __tsan_init(void)
{
}
void __tsan_func_entry(void *)
{
}
void __tsan_func_exit(void)
{
}
// What the library tells ThreadSanitizer of liburcu, the checker knows itself.
void __tsan_acquire(void *)
{
}
void __tsan_release(void *)
{
}

// For models ------------------------------------------------------------------------------------------------------------------------

void mc_fail(const char *what, const char *file, int line)
{
    if (now.run == nullptr) {
        fprintf(stderr, "model: %s:%d: %s\n", file, line, what);
        abort();
    }
    char text[120];
    snprintf(text, sizeof text, "%s:%d: not so: %s", from_root(file), line, what);
    fail(text);
}

void fai_assert_failed(const char *fact, const char *file, int line)
{
    mc_fail(fact, file, line);
}

void mc_had_read(const void *p, size_t size)
{
    unsigned me = self();
    each_shadow((uintptr_t)p, size, [=](shadow *s) { s->read.at[me] = s->atomic_read.at[me]; });
}

void mc_had_written(const void *p, size_t size)
{
    unsigned me = self();
    each_shadow((uintptr_t)p, size, [=](shadow *s) { s->written.at[me] = now.known[me].at[me] - 1; });
}

unsigned mc_choose(unsigned n)
{
    return n > 1 ? rl::ctx().rand(n, rl::sched_type_user) : 0;
}

void mc_dawdle(unsigned n)
{
    for (unsigned i = mc_choose(n); i > 0; i--) let_others();
}

unsigned mc_self(void)
{
    return now.running ? self() : now.acting;
}

void mc_act_as(unsigned thread)
{
    now.acting = thread;
    use_locals_of(thread);
}

// Running them ------------------------------------------------------------------------------------------------------------------------

void mc_weaken(const mc_site *site, const char *part)
{
    weakened = site;
    weakened_part = part;
    for (mc_site *s = all_sites; s != nullptr; s = next_of(s)) apply(s);
}

void mc_restore(void)
{
    mc_weaken(nullptr, "");
}

void mc_forget(void)
{
    for (mc_site *s = all_sites; s != nullptr; s = next_of(s)) s->reached = false;
}

static int compare_sites(const void *a, const void *b)
{
    const mc_site *one = *(const mc_site *const *)a, *two = *(const mc_site *const *)b;
    int files = strcmp(one->file, two->file);
    if (files != 0) return files;
    return one->line != two->line ? one->line - two->line : strcmp(one->what, two->what);
}

const mc_site *const *mc_sites(size_t *count)
{
    static const mc_site *sites[4096];
    size_t n = 0;
    for (mc_site *s = all_sites; s != nullptr && n < 4096; s = next_of(s))
        if (s->reached) sites[n++] = s;
    qsort(sites, n, sizeof *sites, compare_sites);
    *count = 0;
    for (size_t i = 0; i < n; i++)
        if (i == 0 || !same_place(sites[i], sites[*count - 1])) sites[(*count)++] = sites[i];
    return sites;
}

unsigned mc_parts(const mc_site *site, const char *parts[4])
{
    unsigned n = 0;
    if (strcmp(site->what, "fence") == 0) {
        parts[n++] = "fence";
        return n;
    }
    if (site->order == __ATOMIC_SEQ_CST) {
        parts[n++] = "seq_cst";
        parts[n++] = "all";
    } else {
        if (acquires(site->order)) parts[n++] = "acquire";
        if (releases(site->order)) parts[n++] = "release";
    }
    if (site->failure > __ATOMIC_RELAXED) parts[n++] = "failure";
    return n;
}

void mc_check(const mc_model *model, mc_run *run)
{
    rl::test_params params;
    std::ostringstream silent, first;
    first << run->first << " ";
    params.output_stream = params.progress_stream = &silent;
    params.search_type = run->bound > 0 ? rl::sched_bound : rl::sched_random;
    params.context_bound = run->bound;
    params.iteration_count = run->first + run->executions - 1;
    params.execution_depth_limit = 1000000; // with slow threads
    params.output_history = true;           // only says that there shall be no second run
    if (run->bound == 0) params.initial_state = first.str();
    now.model = model;
    now.run = run;
    now.deadline = run->seconds > 0 ? seconds_now() + run->seconds : 0;
    run->done = 0;
    run->failed = run->exhausted = false;
    run->reason[0] = '\0';
    unsigned threads = 0;
    while (threads < THREADS && model->threads[threads] != nullptr) threads++;
    switch (threads) {
        case 2: (void)simulate<2>(params); break;
        case 3: (void)simulate<3>(params); break;
        case 4: (void)simulate<4>(params); break;
        default: abort();
    }
    now.running = false;
    run->failed = params.test_result != rl::test_result_success &&
                  params.test_result != rl::test_result_until_condition_hit;
    run->exhausted = run->bound > 0 && params.test_result == rl::test_result_success;
    if (run->failed && run->reason[0] == '\0')
        snprintf(run->reason, sizeof run->reason, "%s", rl::test_result_str(params.test_result));
    now.run = nullptr;
}

} // extern "C"
