// SPDX-License-Identifier: MIT
//
// See output.h.
#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool cannot_write(const char *path, int error, struct failure *failure)
{
    return fail(failure, "cannot write '%s': %s", path, strerror(error));
}

static bool open_beside(struct output *output, struct failure *failure)
{
    if (asprintf(&output->temporary, "%s.%ld.part", output->path, (long)getpid()) < 0) {
        output->temporary = NULL;
        return cannot_write(output->path, ENOMEM, failure);
    }
    output->file = open(output->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (output->file >= 0) return true;
    int error = errno;
    free(output->temporary);
    output->temporary = NULL;
    return cannot_write(output->path, error, failure);
}

bool output_open(const char *path, struct output *out, struct failure *failure)
{
    *out = (struct output){.path = path, .file = -1};
    struct stat status;
    if (stat(path, &status) != 0) {
        if (errno != ENOENT) return cannot_write(path, errno, failure);
        return open_beside(out, failure);
    }
    if (S_ISDIR(status.st_mode)) return cannot_write(path, EISDIR, failure);
    if (S_ISREG(status.st_mode)) {
        if (access(path, W_OK) != 0) return cannot_write(path, errno, failure);
        return open_beside(out, failure);
    }
    out->file = open(path, O_WRONLY | O_CLOEXEC);
    return out->file >= 0 || cannot_write(path, errno, failure);
}

bool output_write(struct output *output, const void *bytes, size_t size)
{
    const char *next = bytes;
    while (size > 0 && !output->failed) {
        ssize_t put = write(output->file, next, size);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) {
            output->failed = true;
            output->error = errno;
            break;
        }
        next += put;
        size -= (size_t)put;
    }
    return !output->failed;
}

bool output_commit(struct output *output, struct failure *failure)
{
    if (output->file < 0) return true;
    if (close(output->file) != 0 && !output->failed) {
        output->failed = true;
        output->error = errno;
    }
    output->file = -1;
    if (!output->failed && output->temporary != NULL && rename(output->temporary, output->path) != 0) {
        output->failed = true;
        output->error = errno;
    }
    if (!output->failed) {
        free(output->temporary);
        output->temporary = NULL;
        return true;
    }
    int error = output->error;
    output_abandon(output);
    return cannot_write(output->path, error, failure);
}

void output_abandon(struct output *output)
{
    if (output->file >= 0) (void)close(output->file);
    output->file = -1;
    if (output->temporary != NULL) (void)unlink(output->temporary);
    free(output->temporary);
    output->temporary = NULL;
}
