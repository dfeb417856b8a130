// SPDX-License-Identifier: MIT
//
// Parking on Linux futexes.
#include "concurrent/park.h"

#include "concurrent/clock.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { EMPTY, TOKEN, SLEEPING };

static void futex_wait(uint32_t *word, const struct timespec *deadline)
{
    syscall(SYS_futex, word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, (uint32_t)SLEEPING, deadline, NULL,
            FUTEX_BITSET_MATCH_ANY);
}

static bool take_token(fai_parker *parker)
{
    uint32_t expected = TOKEN;
    // [park.wake] acquire: sees what the waker did; pairs with the exchange in fai_wake_any().
    return fai_cas_acquire(&parker->word, &expected, (uint32_t)EMPTY);
}

static bool park_until(fai_parker *parker, const struct timespec *deadline, uint64_t deadline_ns)
{
    if (take_token(parker)) return true;
    uint32_t expected = EMPTY;
    if (!fai_cas_relaxed(&parker->word, &expected, (uint32_t)SLEEPING)) return take_token(parker);
    for (;;) {
        futex_wait(&parker->word, deadline);
        if (take_token(parker)) return true;
        if (deadline == NULL || fai_now_ns() < deadline_ns) continue; // interrupted or spurious
        expected = SLEEPING;
        if (fai_cas_relaxed(&parker->word, &expected, (uint32_t)EMPTY)) return false;
        return take_token(parker);
    }
}

void fai_park_owner(fai_parker *parker)
{
    (void)park_until(parker, NULL, 0);
}

bool fai_park_for_owner(fai_parker *parker, uint64_t ns)
{
    uint64_t deadline_ns = fai_now_ns() + ns;
    struct timespec deadline = {(time_t)(deadline_ns / 1000000000u), (long)(deadline_ns % 1000000000u)};
    return park_until(parker, &deadline, deadline_ns);
}

bool fai_wake_any(fai_parker *parker)
{
    // [park.wake] release: publishes what the waker did before.
    if (fai_exchange_release(&parker->word, (uint32_t)TOKEN) != SLEEPING) return false;
    syscall(SYS_futex, &parker->word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, NULL, NULL, 0);
    return true;
}
