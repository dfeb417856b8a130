// SPDX-License-Identifier: MIT
//
// Why something cannot be done, as one sentence for the person who asked for it.
//
// Whatever reads input takes a `failure *`, writes the sentence there and answers false. Only main() prints, so that
// exactly one sentence reaches stderr however deep the problem was found.
#pragma once

#include <stdbool.h>

struct failure {
    char text[768];
};

/// Writes the sentence and answers false, for `return fail(...)`. Control characters that came from input are replaced.
bool fail(struct failure *failure, const char *format, ...) __attribute__((format(printf, 2, 3)));
