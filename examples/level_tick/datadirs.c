// SPDX-License-Identifier: MIT
//
// See datadirs.h. Runs once at start-up; running out of memory there reads as "not found".
#include "datadirs.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_file(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISREG(status.st_mode) && access(path, R_OK) == 0;
}

/// folder/below/name if that is a file.
static char *try_folder(const char *folder, size_t length, const char *below, const char *name)
{
    char *path = NULL;
    if (length == 0) return NULL;
    if (asprintf(&path, "%.*s%s/%s", (int)length, folder, below, name) < 0) return NULL;
    if (is_file(path)) return path;
    free(path);
    return NULL;
}

/// The entry itself, when it is a file of that name.
static char *try_itself(const char *entry, size_t length, const char *name)
{
    size_t tail = strlen(name);
    if (length <= tail || entry[length - tail - 1] != '/' || strncmp(entry + length - tail, name, tail) != 0)
        return NULL;
    char *path = strndup(entry, length);
    if (path != NULL && is_file(path)) return path;
    free(path);
    return NULL;
}

/// One folder, with each of the suffixes (ended by NULL).
static char *try_entry(const char *entry, size_t length, const char *const suffixes[], const char *name)
{
    char *found = try_itself(entry, length, name);
    for (size_t i = 0; found == NULL && suffixes[i] != NULL; i++) found = try_folder(entry, length, suffixes[i], name);
    return found;
}

static char *try_variable(const char *variable, const char *const suffixes[], const char *name)
{
    const char *entry = getenv(variable);
    return entry == NULL ? NULL : try_entry(entry, strlen(entry), suffixes, name);
}

static char *try_list(const char *list, const char *const suffixes[], const char *name)
{
    while (list != NULL && *list != '\0') {
        size_t length = strcspn(list, ":");
        char *found = try_entry(list, length, suffixes, name);
        if (found != NULL) return found;
        list += length;
        list += *list == ':';
    }
    return NULL;
}

char *datadirs_find(const char *name)
{
    static const char *const as_given[] = {"", NULL};
    static const char *const games[] = {"/games/doom", NULL};
    static const char *const home_games[] = {"/.local/share/games/doom", NULL};
    static const char *const both[] = {"/games/doom", "/doom", NULL};

    if (strchr(name, '/') != NULL || is_file(name)) return strdup(name);
    char *found = try_variable("DOOMWADDIR", as_given, name);
    if (found == NULL) found = try_list(getenv("DOOMWADPATH"), as_given, name);
    const char *data_home = getenv("XDG_DATA_HOME");
    bool has_data_home = data_home != NULL && *data_home != '\0';
    if (found == NULL && has_data_home) found = try_variable("XDG_DATA_HOME", games, name);
    if (found == NULL && !has_data_home) found = try_variable("HOME", home_games, name);
    if (found == NULL) found = try_list(getenv("XDG_DATA_DIRS"), both, name);
    if (found == NULL) found = try_list("/usr/local/share:/usr/share", both, name);
    return found;
}
