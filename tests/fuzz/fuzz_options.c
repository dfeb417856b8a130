// SPDX-License-Identifier: MIT
//
// Command lines of the level tick: lines of the input are its arguments. Whatever they are, the answer is options within their limits, or one
// sentence. With FUZZ_PLANTED=1 nobody asks for help.
#include "fuzz.h"

#include "examples/level_tick/options.h"

enum { ARGUMENTS_MAX = 16, TEXT_MAX = 512 };

static void check_options(const struct options *options)
{
    FUZZ_CHECK(options->wad != NULL && *options->wad != '\0' && options->map != NULL && *options->map != '\0');
    FUZZ_CHECK((options->png == NULL || *options->png != '\0') && (options->json == NULL || *options->json != '\0'));
    FUZZ_CHECK(options->agents >= 1 && options->agents <= 1000000 && options->ticks >= 1 && options->ticks <= 10000000);
    FUZZ_CHECK(options->hz <= 1000 && (options->workers <= 192 || options->workers == OPTIONS_WORKERS_AUTO));
    FUZZ_CHECK(options->frames_in_flight >= 1 && options->frames_in_flight <= 16);
    FUZZ_CHECK(options->art_budget <= 1 << 20 && options->png_every <= 10000000);
    FUZZ_CHECK(!options->help || !fuzz_is_planted());
    if (options->help) return;
    FUZZ_CHECK(options->png_every == 0 || options->png != NULL);
    FUZZ_CHECK(options->png == NULL || options->json == NULL || strcmp(options->png, options->json) != 0);
}

static void check_sentence(const char *text)
{
    FUZZ_CHECK(*text != '\0');
    for (; *text != '\0'; text++) FUZZ_CHECK((unsigned char)*text >= ' ' && *text != 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static FILE *nowhere; // for --help
    if (nowhere == NULL) nowhere = fopen("/dev/null", "w");
    FUZZ_CHECK(nowhere != NULL);
    char text[TEXT_MAX + 1] = "", program[] = "level_tick";
    memcpy(text, data, size < TEXT_MAX ? size : TEXT_MAX);
    char *arguments[ARGUMENTS_MAX + 2] = {program};
    int count = 1;
    for (char *rest = text, *argument; count <= ARGUMENTS_MAX && rest != NULL && *rest != '\0';) {
        argument = strsep(&rest, "\n");
        arguments[count++] = argument;
    }
    struct options options;
    struct failure failure = {.text = ""};
    FILE *before = stdout;
    stdout = nowhere;
    bool good = options_parse(count, arguments, &options, &failure);
    stdout = before;
    if (good)
        check_options(&options);
    else
        check_sentence(failure.text);
    return 0;
}
