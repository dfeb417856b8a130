// SPDX-License-Identifier: MIT
//
// See failure.h.
#include "failure.h"

#include <stdarg.h>
#include <stdio.h>

bool fail(struct failure *failure, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(failure->text, sizeof failure->text, format, arguments);
    va_end(arguments);
    for (char *c = failure->text; *c != '\0'; c++) {
        // A file name or a lump name may hold anything; a line break would make two sentences of one.
        if ((unsigned char)*c < 0x20 || *c == 0x7f) *c = '?';
    }
    return false;
}
