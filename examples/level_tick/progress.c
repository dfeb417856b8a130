// SPDX-License-Identifier: MIT
//
// See progress.h. Writes with write(2): stdio would allocate a buffer in the middle of a tick.
#include "progress.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SECOND_NS UINT64_C(1000000000)

struct progress progress_begin(uint32_t ticks)
{
    return (struct progress){.ticks = ticks, .terminal = isatty(STDERR_FILENO) == 1};
}

static void put(const char *text)
{
    // A terminal that cannot be written to is no reason to stop.
    ssize_t written = write(STDERR_FILENO, text, strlen(text));
    (void)written;
}

void progress_show(struct progress *progress, uint32_t tick, uint64_t now_ns)
{
    if (!progress->terminal) return;
    if (progress->shown_ns == 0) progress->shown_ns = now_ns;
    uint64_t passed = now_ns - progress->shown_ns;
    if (passed < SECOND_NS) return;
    char line[96];
    uint64_t rate = (tick - progress->shown_ticks) * SECOND_NS / passed;
    (void)snprintf(line, sizeof line, "\r\033[Ktick %u of %u, %llu a second", tick, progress->ticks,
                   (unsigned long long)rate);
    put(line);
    progress->shown_ns = now_ns;
    progress->shown_ticks = tick;
    progress->written = true;
}

void progress_end(struct progress *progress)
{
    if (progress->written) put("\r\033[K");
    progress->written = false;
}
