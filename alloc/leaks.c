// SPDX-License-Identifier: MIT
//
// Allocation sites and leaks as text; see records.h. Nothing here calls malloc.
#include "alloc/records.h"

#include "alloc/lane.h"
#include "concurrent/check.h"

#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define LINES_MAX 16u

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

void fai_site_print(const void *address, char *text, size_t size)
{
    Dl_info info;
    uintptr_t at = (uintptr_t)address;
    if (dladdr(address, &info) == 0 || info.dli_fname == NULL)
        snprintf(text, size, "%p", address);
    else if (info.dli_sname != NULL)
        snprintf(text, size, "%s+0x%lx (%s)", info.dli_sname, (unsigned long)(at - (uintptr_t)info.dli_saddr),
                 last_part(info.dli_fname));
    else // for addr2line -e
        snprintf(text, size, "%s+0x%lx", last_part(info.dli_fname), (unsigned long)(at - (uintptr_t)info.dli_fbase));
}

__attribute__((format(printf, 3, 4))) static void append(char *line, size_t size, const char *format, ...)
{
    size_t length = strlen(line);
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(line + length, size - length, format, arguments);
    va_end(arguments);
}

static void print_leak(const fa_leak *leak, char *line, size_t size)
{
    line[0] = '\0';
    append(line, size, "%llu object%s, %llu bytes, frame %llu", (unsigned long long)leak->count,
           leak->count == 1 ? "" : "s", (unsigned long long)leak->bytes, (unsigned long long)leak->first_frame);
    if (leak->last_frame != leak->first_frame) append(line, size, " to %llu", (unsigned long long)leak->last_frame);
    for (uint32_t i = 0; i < leak->depth; i++) {
        char place[128];
        fai_site_print(leak->frames[i], place, sizeof place);
        append(line, size, "%s%s", i == 0 ? ", at " : " < ", place);
    }
    if (leak->depth == 0) append(line, size, ", at sites that found no room in backtrace_sites");
}

void fai_leaks_print(fai_memory *memory, fa_leak_line_fn *write, void *context)
{
    fa_leak leaks[LINES_MAX];
    char line[1024];
    uint32_t sites = fai_leaks_collect(memory, leaks, LINES_MAX);
    for (uint32_t i = 0; i < sites && i < LINES_MAX; i++) {
        print_leak(&leaks[i], line, sizeof line);
        write(line, context);
    }
    if (sites <= LINES_MAX) return;
    snprintf(line, sizeof line, "and %u more sites", sites - LINES_MAX);
    write(line, context);
}
