// SPDX-License-Identifier: MIT
//
// All of framealloc.
#pragma once

#include <framealloc/base.h>
#include <framealloc/events.h>
#include <framealloc/frame.h>
#include <framealloc/jobs.h>
#include <framealloc/pool.h>
#include <framealloc/promote.h>
#include <framealloc/snapshot.h>
#include <framealloc/stats.h>
#include <framealloc/system.h>
#include <framealloc/tag.h>
#include <framealloc/trace.h>
#include <framealloc/worker.h>
