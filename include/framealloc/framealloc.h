// SPDX-License-Identifier: MIT
//
// All of framealloc.
#pragma once

#include <framealloc/allocator.h>
#include <framealloc/base.h>
#include <framealloc/behavior.h>
#include <framealloc/debug.h>
#include <framealloc/diagnostics.h>
#include <framealloc/events.h>
#include <framealloc/frame.h>
#include <framealloc/group.h>
#include <framealloc/guard.h>
#include <framealloc/handle.h>
#include <framealloc/job_memory.h>
#include <framealloc/jobs.h>
#include <framealloc/map.h>
#include <framealloc/pool.h>
#include <framealloc/promote.h>
#include <framealloc/scratch.h>
#include <framealloc/snapshot.h>
#include <framealloc/stats.h>
#include <framealloc/storage.h>
#include <framealloc/stream.h>
#include <framealloc/system.h>
#include <framealloc/tag.h>
#include <framealloc/tick.h>
#include <framealloc/trace.h>
#include <framealloc/transfer.h>
#include <framealloc/vector.h>
#include <framealloc/worker.h>
