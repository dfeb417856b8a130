// SPDX-License-Identifier: MIT
//
// A file that is written whole or not at all.
//
// Bytes go to a file beside the target, which takes the target's name when everything is written. So a wrong path
// is found before the run, and a run that fails leaves what was there before. Targets that are no plain files (a
// device, a pipe) are written directly.
#pragma once

#include "failure.h"

#include <stddef.h>

struct output {
    const char *path; // the caller's
    char *temporary;  // NULL: written directly
    int file;         // -1: not open
    bool failed;      // some write failed
    int error;        // … with this errno
};

#define OUTPUT_CLOSED ((struct output){.file = -1})

/// Opens the output; `path` must outlive it.
bool output_open(const char *path, struct output *out, struct failure *failure);

/// Appends. After a failure it does nothing more and answers false; output_commit() then says what happened.
bool output_write(struct output *output, const void *bytes, size_t size);

/// Closes the file and gives it its name.
bool output_commit(struct output *output, struct failure *failure);

/// Closes the file and removes it. Safe on an output that was committed or never opened.
void output_abandon(struct output *output);
