// SPDX-License-Identifier: MIT
//
// Code that must not compile, one piece per value of WRONG; with 0 it must. Wrong element types are constraint violations in any compiler; the wrong
// lane is found by Clang's thread-safety analysis.
#include <framealloc/framealloc.h>

typedef struct agent {
    float x, y;
} agent;
typedef struct door {
    int key;
} door;

FA_VECTOR(agents, agent);
FA_VECTOR(doors, door);
FA_VECTOR(pointers, agent *);
FA_MAP(agent_by_id, uint32_t, agent);

typedef struct shared {
    fa_worker *other; // another lane's context, kept by mistake
    agents list;
} shared;

FA_JOB(job);
static void job(fa_worker *w, void *arg)
{
    shared *s = arg;
    agent a = {1, 2};
    door d = {3};
    agents crowd;
    if (agents_init(w, &crowd, FA_HOME_FRAME, 4) != FA_OK) return;
    (void)agents_push(w, &crowd, a);
    (void)agents_read(&s->list, 0); // reading needs no lane
    (void)d;
#if WRONG == 1
    (void)agents_push(w, &crowd, d);
#elif WRONG == 2
    (void)doors_push(w, &crowd, d);
#elif WRONG == 3
    pointers p = {0};
    (void)pointers_push(w, &p, &d);
#elif WRONG == 4
    agent_by_id m = {0};
    (void)agent_by_id_insert(w, &m, 1, d, NULL);
#elif WRONG == 5
    agents_read(&crowd, 0)->x = 1;
#elif WRONG == 6
    agents_init(w, &crowd, FA_HOME_POOL, 4);
#elif WRONG == 7
    door *of_agents = agents_at(w, &crowd, 0);
    (void)of_agents;
#elif WRONG == 8
    (void)agents_push(s->other, &s->list, a); // another lane's context
#elif WRONG == 9
    agent_by_id m = {0};
    (void)agent_by_id_remove(s->other, &m, 1, NULL);
#endif
}

static void helper(fa_worker *w, agents *crowd)
{
#if WRONG != 10
    fa_lane_assume(w);
#endif
    agents_clear(w, crowd); // a function that does not say that it is on w's lane
}

int main(void)
{
    shared s = {0};
    helper(NULL, &s.list);
    return fa_submit(NULL, job, &s) == FA_OK;
}
