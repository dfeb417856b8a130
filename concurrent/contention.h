// SPDX-License-Identifier: MIT
//
// Counts of operations on lines that lanes share. Each lane owns one fa_contention (stats.h) and adds to it with plain loads and
// stores (relaxed, since the main lane reads them meanwhile); in builds without FA_CONTENTION the macros are empty and the counters stay zero.
//
//     FAI_COUNT(contention, inbox_posts, 1);
#pragma once

#include "concurrent/order.h"

#include <framealloc/stats.h>

#if FA_CONTENTION
#define FAI_COUNT(c, field, n) fai_store_relaxed(&(c)->field, fai_load_relaxed(&(c)->field) + (n))
#define FAI_COUNT_MAX(c, field, n)                                                                                     \
    do {                                                                                                               \
        if (fai_load_relaxed(&(c)->field) < (n)) fai_store_relaxed(&(c)->field, (n));                                  \
    } while (0)
#else
#define FAI_COUNT(c, field, n) ((void)(c), (void)sizeof((c)->field += (n)))
#define FAI_COUNT_MAX(c, field, n) ((void)(c), (void)sizeof((c)->field += (n)))
#endif
