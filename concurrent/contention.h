// SPDX-License-Identifier: MIT
//
// Counts of operations on lines that lanes share. Each lane owns one fa_contention (stats.h) and adds to it with plain
// stores; in builds without FA_CONTENTION the macros are empty and the counters stay zero.
//
//     FAI_COUNT(contention, inbox_posts, 1);
#pragma once

#include <framealloc/stats.h>

#if FA_CONTENTION
#define FAI_COUNT(c, field, n) ((void)((c)->field += (n)))
#define FAI_COUNT_MAX(c, field, n) ((void)((c)->field = (c)->field > (n) ? (c)->field : (n)))
#else
#define FAI_COUNT(c, field, n) ((void)(c), (void)sizeof((c)->field += (n)))
#define FAI_COUNT_MAX(c, field, n) ((void)(c), (void)sizeof((c)->field += (n)))
#endif
