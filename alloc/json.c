// SPDX-License-Identifier: MIT
//
// The writer of JSON: see json.h.
#include "alloc/json.h"

#include "concurrent/check.h"

#include <string.h>

void fai_json_init(fai_json *json, fa_write_fn *write, void *context)
{
    *json = (fai_json){.write = write, .context = context};
}

bool fai_json_flush(fai_json *json)
{
    if (json->used > 0 && !json->failed) {
        json->failed = !json->write(json->buffer, json->used, json->context);
        if (!json->failed) json->written += json->used;
    }
    json->used = 0;
    return !json->failed;
}

static void put(fai_json *json, const char *bytes, size_t size)
{
    FA_ASSERT(size <= sizeof json->buffer);
    if (size > sizeof json->buffer - json->used) (void)fai_json_flush(json);
    memcpy(json->buffer + json->used, bytes, size);
    json->used += size;
}

static void begin_value(fai_json *json)
{
    if (!json->keyed && json->filled[json->depth]) put(json, ",", 1);
    if (json->line) put(json, "\n", 1);
    json->keyed = json->line = false;
    json->filled[json->depth] = true;
}

void fai_json_line(fai_json *json)
{
    if (json->depth == 0)
        put(json, "\n", 1);
    else
        json->line = true;
}

void fai_json_open(fai_json *json, char open)
{
    FA_ASSERT(open == '{' || open == '[');
    FA_ASSERT(json->depth + 1 < FAI_JSON_DEPTH_MAX);
    begin_value(json);
    put(json, &open, 1);
    json->filled[++json->depth] = false;
}

void fai_json_close(fai_json *json, char close)
{
    FA_ASSERT(json->depth > 0 && !json->keyed);
    json->depth--;
    put(json, &close, 1);
}

/// Decimal digits of value, at least `least`.
static void put_digits(fai_json *json, uint64_t value, uint32_t least)
{
    char digits[20];
    uint32_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0 || sizeof digits - at < least);
    put(json, digits + at, sizeof digits - at);
}

void fai_json_number(fai_json *json, uint64_t value)
{
    begin_value(json);
    put_digits(json, value, 1);
}

void fai_json_time(fai_json *json, uint64_t ns)
{
    begin_value(json);
    put_digits(json, ns / 1000, 1);
    put(json, ".", 1);
    put_digits(json, ns % 1000, 3);
}

/// Length of the UTF-8 sequence at `s`, 0 if it is none: overlong forms, surrogates and values above U+10FFFF are none (Unicode 15, table 3-7).
static size_t utf8_length(const unsigned char *s)
{
    if (s[0] < 0x80) return 1;
    size_t length = s[0] >= 0xc2 && s[0] <= 0xdf ? 2 : (s[0] & 0xf0) == 0xe0 ? 3 : s[0] >= 0xf0 && s[0] <= 0xf4 ? 4 : 0;
    for (size_t i = 1; i < length; i++) // stops at the end of the text: 0 continues nothing
        if ((s[i] & 0xc0) != 0x80) return 0;
    if (s[0] == 0xe0 && s[1] < 0xa0) return 0;
    if (s[0] == 0xed && s[1] > 0x9f) return 0;
    if (s[0] == 0xf0 && s[1] < 0x90) return 0;
    if (s[0] == 0xf4 && s[1] > 0x8f) return 0;
    return length;
}

static void put_escaped(fai_json *json, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";
    static const char short_forms[] = "\"\"\\\\\bb\ff\nn\rr\tt";
    for (const char *pair = short_forms; *pair != '\0'; pair += 2) {
        if ((unsigned char)pair[0] != c) continue;
        put(json, (char[]){'\\', pair[1]}, 2);
        return;
    }
    put(json, (char[]){'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]}, 6);
}

void fai_json_string(fai_json *json, const char *text)
{
    begin_value(json);
    if (text == NULL) {
        put(json, "null", 4);
        return;
    }
    put(json, "\"", 1);
    const unsigned char *s = (const unsigned char *)text;
    while (*s != 0) {
        size_t length = utf8_length(s);
        if (length == 0)
            put(json, "\xef\xbf\xbd", 3);
        else if (*s < 0x20 || *s == '"' || *s == '\\' || *s == 0x7f)
            put_escaped(json, *s);
        else
            put(json, (const char *)s, length);
        s += length > 0 ? length : 1;
    }
    put(json, "\"", 1);
}

void fai_json_key(fai_json *json, const char *key)
{
    FA_ASSERT(!json->keyed);
    begin_value(json);
    put(json, "\"", 1);
    put(json, key, strlen(key));
    put(json, "\":", 2);
    json->keyed = true;
}
