// SPDX-License-Identifier: MIT
//
// A writer of JSON (RFC 8259): values go through a small buffer to the caller's function; commas and escapes are its business. After the first
// failed write nothing is written any more.
#pragma once

#include <framealloc/events.h>

#define FAI_JSON_DEPTH_MAX 16

typedef struct fai_json {
    fa_write_fn *write;
    void *context;
    uint64_t written; // bytes handed to `write`
    bool failed;
    uint32_t depth;
    bool filled[FAI_JSON_DEPTH_MAX]; // the array or object at that depth has a value
    bool keyed;                      // a key was written, its value comes next
    bool line;                       // a line break is wanted
    size_t used;
    char buffer[4096];
} fai_json;

void fai_json_init(fai_json *json, fa_write_fn *write, void *context);

/// Values. `open` is '{' or '['.
void fai_json_open(fai_json *json, char open);
void fai_json_close(fai_json *json, char close);
void fai_json_number(fai_json *json, uint64_t value);
/// A time in µs with three decimals, from ns.
void fai_json_time(fai_json *json, uint64_t ns);
/// Bytes that are not UTF-8 become U+FFFD. NULL is written as null.
void fai_json_string(fai_json *json, const char *text);

/// The key of the next value, in an object; plain text that needs no escapes.
void fai_json_key(fai_json *json, const char *key);

/// A line break before the next value, or at the end.
void fai_json_line(fai_json *json);

/// Hands the buffer over; false if anything could not be written.
bool fai_json_flush(fai_json *json);

static inline void fai_json_pair(fai_json *json, const char *key, uint64_t value)
{
    fai_json_key(json, key);
    fai_json_number(json, value);
}

static inline void fai_json_pair_text(fai_json *json, const char *key, const char *text)
{
    fai_json_key(json, key);
    fai_json_string(json, text);
}
