// SPDX-License-Identifier: MIT
//
// Assertions: one fact each, on in Debug and RelWithDebInfo builds.
#pragma once

#if FA_ASSERTIONS
__attribute__((noreturn, visibility("hidden"))) void fai_assert_failed(const char *fact, const char *file, int line);
#define FA_ASSERT(fact) ((fact) ? (void)0 : fai_assert_failed(#fact, __FILE__, __LINE__))
#else
#define FA_ASSERT(fact) ((void)sizeof(fact))
#endif
