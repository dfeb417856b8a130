// SPDX-License-Identifier: MIT
//
// Runs a fuzz target without libFuzzer: first each file of the folders named, then inputs at random, every other one a file that was run
// before with some bytes changed.
//
//   fuzz_NOUN [--seed N] [--random COUNT] [FILE or FOLDER…]
//
// A failure names its input; one at random runs again by itself with --only NUMBER and the same seed and folders.
#include "fuzz.h"

#include <dirent.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

enum { INPUT_MAX = 1 << 16, FILES_MAX = 4096 };

struct input {
    uint8_t *bytes;
    size_t size;
};

static struct input files[FILES_MAX];
static uint32_t file_count;
static char running[512]; // the input that runs, for the report of a failure

static void name_input(int number)
{
    (void)number;
    static const char words[] = "fuzz: the input was ";
    if (write(STDERR_FILENO, words, sizeof words - 1) < 0 || write(STDERR_FILENO, running, strlen(running)) < 0)
        _exit(2);
    _exit(1);
}

_Noreturn static void stop(const char *what, const char *name)
{
    fprintf(stderr, "fuzz: %s '%s'\n", what, name);
    exit(2);
}

/// In memory of exactly its size, so that AddressSanitizer sees a read beyond it.
static void run(const uint8_t *bytes, size_t size)
{
    uint8_t *copy = malloc(size > 0 ? size : 1);
    if (copy == NULL) stop("no memory for", running);
    memcpy(copy, bytes, size);
    (void)LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

static void run_file(const char *path)
{
    static uint8_t bytes[INPUT_MAX];
    FILE *file = fopen(path, "rb");
    if (file == NULL) stop("cannot open", path);
    size_t size = fread(bytes, 1, sizeof bytes, file);
    (void)fclose(file);
    if (file_count == FILES_MAX) stop("too many files at", path);
    struct input *input = &files[file_count++];
    *input = (struct input){malloc(size > 0 ? size : 1), size};
    if (input->bytes == NULL) stop("no memory for", path);
    memcpy(input->bytes, bytes, size);
    snprintf(running, sizeof running, "the file %s\n", path);
    run(bytes, size);
}

static void run_path(const char *path)
{
    struct stat about;
    if (stat(path, &about) != 0) stop("no such file", path);
    if (!S_ISDIR(about.st_mode)) {
        run_file(path);
        return;
    }
    struct dirent **entries;
    int count = scandir(path, &entries, NULL, alphasort);
    if (count < 0) stop("cannot read", path);
    for (int i = 0; i < count; i++) {
        char name[4096];
        snprintf(name, sizeof name, "%s/%s", path, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.') run_file(name);
        free(entries[i]);
    }
    free(entries);
}

static uint64_t state;

static uint32_t draw(uint32_t below) // splitmix64
{
    uint64_t z = state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (uint32_t)((z ^ z >> 31) >> 32) % below;
}

static void run_random(uint64_t seed, uint64_t number)
{
    static uint8_t bytes[INPUT_MAX];
    state = seed << 32 ^ number;
    size_t size = 1 + draw(1024);
    const struct input *like = file_count > 0 && number % 2 == 1 ? &files[draw(file_count)] : NULL;
    if (like != NULL && like->size > 0) {
        size = like->size;
        memcpy(bytes, like->bytes, size);
        for (uint32_t change = 1 + draw(8); change > 0; change--) bytes[draw((uint32_t)size)] = (uint8_t)draw(256);
    } else {
        for (size_t i = 0; i < size; i++) bytes[i] = (uint8_t)draw(256);
    }
    snprintf(running, sizeof running, "random, --seed %llu --only %llu\n", (unsigned long long)seed,
             (unsigned long long)number);
    run(bytes, size);
}

static unsigned long long number_of(const char *text)
{
    char *end;
    unsigned long long value = strtoull(text, &end, 10);
    if (*text == '\0' || *end != '\0') stop("no number:", text);
    return value;
}

int main(int argc, char **argv)
{
    unsigned long long seed = 1, random = 0, only = UINT64_MAX;
    (void)signal(SIGABRT, name_input);
    for (int i = 1; i < argc; i++) {
        unsigned long long *number = strcmp(argv[i], "--seed") == 0     ? &seed
                                     : strcmp(argv[i], "--random") == 0 ? &random
                                     : strcmp(argv[i], "--only") == 0   ? &only
                                                                        : NULL;
        if (number == NULL) {
            run_path(argv[i]);
        } else {
            if (i + 1 == argc) stop("a number belongs behind", argv[i]);
            *number = number_of(argv[++i]);
        }
    }
    if (only != UINT64_MAX) {
        run_random(seed, only);
    } else {
        for (uint64_t i = 0; i < random; i++) run_random(seed, i);
    }
    printf("fuzz: %u files and %llu inputs at random (seed %llu) ran\n", file_count, random, seed);
    for (uint32_t i = 0; i < file_count; i++) free(files[i].bytes);
    return 0;
}
