// SPDX-License-Identifier: MIT
//
// All of framealloc.
#pragma once

#include <framealloc/allocator.h>
#include <framealloc/base.h>
#include <framealloc/frame.h>
#include <framealloc/guard.h>
#include <framealloc/jobs.h>
#include <framealloc/map.h>
#include <framealloc/pool.h>
#include <framealloc/promote.h>
#include <framealloc/stats.h>
#include <framealloc/storage.h>
#include <framealloc/system.h>
#include <framealloc/tag.h>
#include <framealloc/vector.h>
#include <framealloc/worker.h>
