// SPDX-License-Identifier: MIT
//
// Trees of names and accounts of tags: what all lanes share of labels. See label.h.
#include "alloc/label.h"

#include "concurrent/check.h"

#include <string.h>

#define CHARGE_MAX (UINT64_C(1) << 48)

_Static_assert((FAI_NAME_SLOTS & (FAI_NAME_SLOTS - 1)) == 0 && FAI_NAME_SLOTS >= 4 * FAI_NAMES_MAX,
               "probes of the hash table end soon");
_Static_assert(FA_TAGS_MAX == FAI_NAMES_MAX - 1 && FA_PHASES_MAX == FAI_NAMES_MAX - 1, "the root is no name");

// Names -----------------------------------------------------------------------------------------------------------------

/// FNV-1a (Fowler, Noll, Vo) over the path.
static uint32_t hash_of(const char *path)
{
    uint32_t hash = 2166136261u;
    for (; *path != '\0'; path++) hash = (hash ^ (unsigned char)*path) * 16777619u;
    return hash ^ hash >> 15;
}

static bool is_name(const char *name, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (name[i] == '\0' || (name[i] == ':' && i + 1 < length && name[i + 1] == ':')) return false;
    return length > 0;
}

/// The path of a child; false if it is too long.
static bool join(const fai_names *names, uint32_t parent, const char *name, size_t length, char *path)
{
    size_t before = strlen(names->nodes[parent].path), gap = before > 0 ? 2 : 0;
    if (before + gap + length > FA_PATH_MAX) return false;
    memcpy(path, names->nodes[parent].path, before);
    memcpy(path + before, "::", gap);
    memcpy(path + before + gap, name, length);
    path[before + gap + length] = '\0';
    return true;
}

/// A node of its own for the caller to fill; FAI_INDEX_NONE: all are used.
static uint32_t claim_node(fai_names *names)
{
    uint32_t count = fai_load_relaxed(&names->count);
    do {
        if (count == FAI_NAMES_MAX - 1) return FAI_INDEX_NONE;
        // [name.claim] acquire: what somebody wrote into the node and gave back.
    } while (!fai_cas_acquire(&names->count, &count, count + 1));
    return count + 1;
}

/// Gives a claimed node back, unless others were claimed since: then it is lost.
static void unclaim_node(fai_names *names, uint32_t node)
{
    uint32_t expected = node;
    // [name.claim] release: the node is the next one's to write.
    (void)fai_cas_release(&names->count, &expected, node - 1);
}

uint32_t fai_names_child_any(fai_names *names, uint32_t parent, const char *name, size_t length)
{
    char path[FA_PATH_MAX + 1];
    if (!is_name(name, length) || !join(names, parent, name, length, path)) return FAI_INDEX_NONE;
    uint32_t mine = FAI_INDEX_NONE, slot = hash_of(path) % FAI_NAME_SLOTS;
    for (;;) {
        // [name.list] acquire: the node as who listed it filled it in.
        uint32_t found = fai_load_acquire(&names->slots[slot]);
        if (found == 0) {
            if (mine == FAI_INDEX_NONE) mine = claim_node(names);
            if (mine == FAI_INDEX_NONE) return FAI_INDEX_NONE;
            names->nodes[mine].parent = parent;
            memcpy(names->nodes[mine].path, path, sizeof path);
            // [name.list] acq_rel: publishes the node; if another was first, sees that one.
            if (fai_cas_acq_rel(&names->slots[slot], &found, mine)) {
                // [name.count] release: for those who go through all nodes.
                fai_store_release(&names->is_listed[mine], 1u);
                return mine;
            }
        }
        if (strcmp(names->nodes[found].path, path) == 0) {
            if (mine != FAI_INDEX_NONE) unclaim_node(names, mine);
            // [name.count] release: who listed it may not have come to that yet, and the caller may hand the number on at once.
            if (!fai_load_relaxed(&names->is_listed[found])) fai_store_release(&names->is_listed[found], 1u);
            return found;
        }
        slot = (slot + 1) % FAI_NAME_SLOTS;
    }
}

// Accounts --------------------------------------------------------------------------------------------------------------

static uint64_t room_below(uint64_t limit, uint64_t charged)
{
    if (limit == 0) return UINT64_MAX;
    return limit > charged ? limit - charged : 0;
}

static void raise_peak(fai_account *account, uint64_t charged)
{
    uint64_t peak = fai_load_relaxed(&account->peak);
    while (charged > peak && !fai_cas_relaxed(&account->peak, &peak, charged)) continue;
}

/// Charges one account between `need` and `want`, not beyond its soft budget unless `need` does that.
static uint64_t charge_one(fai_account *account, uint64_t need, uint64_t want, bool *crossed)
{
    uint64_t soft = fai_load_relaxed(&account->soft), hard = fai_load_relaxed(&account->hard);
    uint64_t charged = fai_load_relaxed(&account->charged), granted;
    do {
        uint64_t room = room_below(hard, charged), quiet = room_below(soft, charged);
        if (need > room) return 0;
        granted = want < room ? want : room;
        if (need <= quiet && granted > quiet) granted = quiet;
    } while (!fai_cas_relaxed(&account->charged, &charged, charged + granted));
    *crossed = soft != 0 && charged <= soft && charged + granted > soft;
    raise_peak(account, charged + granted);
    return granted;
}

static void refund_upto(fai_labels *labels, uint32_t tag, uint32_t end, uint64_t bytes)
{
    for (; tag != end; tag = labels->tags.nodes[tag].parent) {
        uint64_t before = fai_sub_relaxed(&labels->accounts[tag].charged, bytes);
        FA_ASSERT(before >= bytes);
        (void)before;
    }
}

uint64_t fai_account_charge_any(fai_labels *labels, uint32_t tag, fai_use use, uint64_t need, uint64_t want,
                                uint32_t *limit, uint32_t *crossed)
{
    FA_ASSERT(tag != 0 && need > 0 && want >= need);
    *limit = tag;
    *crossed = 0;
    if (need > CHARGE_MAX) return 0;
    uint64_t granted = want < CHARGE_MAX ? want : CHARGE_MAX;
    for (uint32_t at = tag; at != 0; at = labels->tags.nodes[at].parent) {
        bool soft = false;
        uint64_t here = charge_one(&labels->accounts[at], need, granted, &soft);
        if (here < granted) refund_upto(labels, tag, at, granted - here);
        granted = here;
        *limit = at;
        if (granted == 0) return 0;
        if (soft) *crossed = at;
    }
    (void)fai_add_relaxed(&labels->accounts[tag].use[use], granted);
    return granted;
}

void fai_account_refund_any(fai_labels *labels, uint32_t tag, fai_use use, uint64_t bytes)
{
    FA_ASSERT(tag != 0);
    uint64_t before = fai_sub_relaxed(&labels->accounts[tag].use[use], bytes);
    FA_ASSERT(before >= bytes);
    (void)before;
    refund_upto(labels, tag, 0, bytes);
}
