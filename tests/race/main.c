// SPDX-License-Identifier: MIT
//
// race NAME: plays one scenario. See race.h.
#include "tests/race/race.h"

#include <pthread.h>

static flag attached, both_done;

static const race *find(const char *name)
{
    const race *const lists[] = {races_of_structures, races_of_memory, races_by_misuse};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        for (const race *one = lists[i]; one->name != NULL; one++)
            if (strcmp(one->name, name) == 0) return one;
    return NULL;
}

static void *second_thread(void *arg)
{
    const race *played = arg;
    if (scene.fa != NULL) REQUIRE(fa_attach(scene.fa, &scene.other) == FA_OK);
    raise_flag(&attached);
    played->second();
    wait_for(&both_done);
    if (scene.fa != NULL) REQUIRE(fa_detach(scene.other) == FA_OK);
    return NULL;
}

static void create_system(const race *played)
{
    fa_config config = fa_config_minimal();
    config.checked = false; // it would fill memory, and the report name the library instead of the scenario
    config.frame_bytes_max = 0;
    if (played->adjust != NULL) played->adjust(&config);
    REQUIRE(fa_create(&config, &scene.fa) == FA_OK);
    scene.w = fa_self(scene.fa);
}

int main(int argc, char **argv)
{
    const race *played = argc == 2 ? find(argv[1]) : NULL;
    REQUIRE(played != NULL);
    if (played->adjust != NULL) create_system(played);
    if (played->begin != NULL) played->begin();
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, second_thread, (void *)(uintptr_t)played) == 0);
    wait_for(&attached);
    played->first();
    raise_flag(&both_done);
    REQUIRE(pthread_join(thread, NULL) == 0);
    if (played->end != NULL) played->end();
    REQUIRE(fa_destroy(scene.fa) == FA_OK);
    return 0;
}
