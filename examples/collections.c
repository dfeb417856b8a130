// SPDX-License-Identifier: MIT
//
// Contacts of a crowd, collected in collections of fixed capacity that nobody frees: each job lists the neighbours of its part, counts by
// door in a map, and hands both over for the main lane to read in the same frame.
#include <framealloc/framealloc.h>

#include <stdio.h>

enum { ticks = 20, jobs = 8, agents_each = 64, doors = 6 };

typedef struct contact {
    uint32_t agent, door;
    float distance;
} contact;

FA_VECTOR(contacts, contact);
FA_MAP(crowd_at_door, uint32_t, uint32_t);

typedef struct part {
    uint32_t first;
    contacts near;
    crowd_at_door waiting;
    uint32_t lost;
    fa_status status;
} part;

static bool is_close(contact const *c, void *arg)
{
    const float *limit = arg;
    return c->distance < *limit;
}

// One part of the crowd. Capacity is capacity: what does not fit is counted, not grown for.
static void look_around(fa_worker *w, void *arg)
{
    part *p = arg;
    p->status = contacts_init(w, &p->near, FA_HOME_FRAME, 48);
    if (p->status == FA_OK) p->status = crowd_at_door_init(w, &p->waiting, FA_HOME_FRAME, doors);
    if (p->status != FA_OK) return;
    for (uint32_t i = 0; i < agents_each; i++) {
        contact c = {p->first + i, (p->first + i) % doors, (float)(i % 4)};
        if (!contacts_push(w, &p->near, c)) p->lost++;
        uint32_t *count = crowd_at_door_get(w, &p->waiting, c.door);
        if (count != NULL)
            ++*count;
        else if (crowd_at_door_insert(w, &p->waiting, c.door, 1, NULL) == FA_MAP_FULL)
            p->lost++;
    }
    float limit = 2;
    (void)contacts_retain_if(w, &p->near, is_close, &limit);
}

// The main lane reads what other lanes made, in the same frame, after waiting for them.
static bool read_part(const part *p, uint32_t at_door[doors])
{
    if (p->status != FA_OK || p->lost != agents_each - 48) return false;
    contact const *c;
    for (size_t i = 0; (c = contacts_read(&p->near, i)) != NULL; i++)
        if (c->distance >= 2 || (i > 0 && c->agent <= contacts_read(&p->near, i - 1)->agent)) return false;
    crowd_at_door_entry const *entry;
    for (size_t i = 0; (entry = crowd_at_door_read_at(&p->waiting, i)) != NULL; i++)
        at_door[entry->key] += entry->value;
    return contacts_count(&p->near) == 24 && crowd_at_door_count(&p->waiting) == doors;
}

static bool tick(fa_system *fa)
{
    fa_worker *w = fa_self(fa);
    part parts[jobs] = {{0}};
    uint32_t at_door[doors] = {0}, total = 0;
    fa_counter counter = FA_COUNTER_INIT;
    if (fa_frame_begin(fa) != FA_OK) return false;
    bool right = true;
    for (uint32_t i = 0; i < jobs; i++) {
        parts[i].first = i * agents_each;
        right &= fa_submit_counted(w, &counter, look_around, &parts[i]) == FA_OK;
    }
    right &= fa_wait(w, &counter) == FA_OK;
    for (uint32_t i = 0; i < jobs && right; i++) right = read_part(&parts[i], at_door);
    for (uint32_t i = 0; i < doors; i++) total += at_door[i];
    return fa_frame_end(fa, NULL) == FA_OK && right && total == jobs * agents_each;
}

int main(void)
{
    fa_config config = fa_config_default();
    fa_system *fa = NULL;
    if (fa_create(&config, &fa) != FA_OK) return 1;
    int good = 0;
    for (int i = 0; i < ticks; i++) good += tick(fa);
    bool destroyed = fa_destroy(fa) == FA_OK;
    printf("%d of %d ticks collected %d agents\n", good, ticks, jobs * agents_each);
    return good == ticks && destroyed ? 0 : 1;
}
