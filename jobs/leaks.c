// SPDX-License-Identifier: MIT
//
// fa_leaks_read() and fa_leaks_write(): who may ask, and when. What they answer is made in alloc/records.c and alloc/leaks.c.
#include "jobs/attach.h"

static fa_status may_count(const fa_system *fa)
{
    fa_status status = fai_memory_check_main(&fa->memory);
    if (status != FA_OK) return status;
    const fai_worker *w = fai_system_worker(fa, 0);
    if (fa->open || w->context != NULL || w->lane.idle) return FA_ERROR_STATE;
    return fai_memory_has_records(&fa->memory) ? FA_OK : FA_ERROR_UNSUPPORTED;
}

fa_status fa_leaks_read(fa_system *fa, fa_leak *out, uint32_t capacity, uint32_t *count)
{
    if (count != NULL) *count = 0;
    if (fa == NULL || count == NULL || (out == NULL && capacity > 0)) return FA_ERROR_INVALID;
    fa_status status = may_count(fa);
    if (status == FA_OK) *count = fai_leaks_collect(&fa->memory, out, capacity);
    return status;
}

fa_status fa_leaks_write(fa_system *fa, fa_leak_line_fn *write, void *context)
{
    if (fa == NULL || write == NULL) return FA_ERROR_INVALID;
    fa_status status = may_count(fa);
    if (status == FA_OK) fai_leaks_print(&fa->memory, write, context);
    return status;
}
