// SPDX-License-Identifier: MIT
//
// Defects on purpose, one by name: a sanitizer build, or Memcheck, that does not report them proves nothing about the library.
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static int shared;

static void *write_shared(void *arg)
{
    for (int i = 0; i < 1000; i++) shared += *(int *)arg;
    return NULL;
}

static void race(void)
{
    int one = 1;
    pthread_t thread;
    if (pthread_create(&thread, NULL, write_shared, &one) != 0) return;
    write_shared(&one);
    pthread_join(thread, NULL);
}

static void overflow(void)
{
    volatile char *bytes = malloc(16);
    volatile int end = 16;
    if (bytes != NULL) bytes[end] = 1;
    free((void *)bytes);
}

static void leak(void)
{
    void *volatile bytes = malloc(16);
    bytes = NULL;
    (void)bytes;
}

static void undefined(void)
{
    volatile int most = INT_MAX;
    most = most + 1;
}

static void freed(void)
{
    volatile char *bytes = malloc(16);
    free((void *)bytes);
    if (bytes != NULL) (void)bytes[3];
}

static void uninitialised(void)
{
    volatile char *bytes = malloc(16);
    if (bytes != NULL && bytes[3] == 1) shared++;
    free((void *)bytes);
}

int main(int argc, char **argv)
{
    const char *defect = argc > 1 ? argv[1] : "";
    if (strcmp(defect, "race") == 0) race();
    if (strcmp(defect, "overflow") == 0) overflow();
    if (strcmp(defect, "leak") == 0) leak();
    if (strcmp(defect, "undefined") == 0) undefined();
    if (strcmp(defect, "freed") == 0) freed();
    if (strcmp(defect, "uninitialised") == 0) uninitialised();
    return 0;
}
