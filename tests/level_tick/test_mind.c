// SPDX-License-Identifier: MIT
//
// Minds: trails, ends of trips as others notice them, digests that do not know about handles, compaction; and how leaders
// are found and lost.
#include "forge.h"

#include "examples/level_tick/lead.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define CROWD 3000u

static fa_system *fa;
static fa_worker *w;

static int set_up(void **state)
{
    (void)state;
    fa_config config = fa_config_default();
    config.worker_count = 0;
    if (fa_create(&config, &fa) != FA_OK) return 1;
    w = fa_self(fa);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    return fa_destroy(fa) == FA_OK ? 0 : 1;
}

static uint64_t live_objects(void)
{
    // Figures are exact at a boundary.
    assert_int_equal(fa_frame_begin(fa), FA_OK);
    assert_int_equal(fa_frame_end(fa, NULL), FA_OK);
    fa_handle_stats stats;
    assert_int_equal(fa_handle_stats_read(fa, &stats), FA_OK);
    return stats.live;
}

/// Frames until everything that was freed has gone home; a thread in the background finds out when it may.
static void settle(void)
{
    fa_stats stats;
    do {
        (void)live_objects();
        assert_int_equal(fa_stats_read(fa, &stats), FA_OK);
        (void)sched_yield();
    } while (stats.backlog > 0);
}

static fa_handle make_mind(uint32_t owner, uint32_t tick, uint8_t goal, uint32_t cells)
{
    fa_handle handle = mind_begin(w, owner, tick, goal);
    struct mind *mind = mind_at(w, handle);
    assert_non_null(mind);
    for (uint32_t i = 0; i < cells; i++) assert_true(mind_pass(w, mind, 1000 * owner + i));
    return handle;
}

// Minds -----------------------------------------------------------------------------------------------------------------

static void trails_hold_the_newest_cells(void **state)
{
    (void)state;
    fa_handle handle = mind_begin(w, 7, 1, 2);
    struct mind *mind = mind_at(w, handle);
    assert_null(mind_trail(w, mind));
    uint32_t count = 0;
    for (uint32_t passed = 1; passed <= 3 * TRAIL_MAX; passed++) {
        assert_true(mind_pass(w, mind, passed));
        count = count == TRAIL_MAX ? TRAIL_MAX / 2 + 1 : count + 1;
        assert_int_equal(mind->count, count);
        assert_int_equal(mind->last, passed);
        assert_true(mind->room >= count && mind->room <= TRAIL_MAX &&
                    (mind->room < 2 * count || count < TRAIL_FIRST || mind->room == TRAIL_MAX));
        const uint32_t *trail = mind_trail(w, mind);
        for (uint32_t i = 0; i < count; i++) assert_int_equal(trail[count - 1 - i], passed - i);
        assert_ptr_equal(mind_at(w, handle), mind); // only the trail became another object
    }
    assert_int_equal(mind_end(w, handle), FA_OK);
}

static void the_end_of_a_trip_is_noticed(void **state)
{
    (void)state;
    uint64_t before = live_objects();
    fa_handle leader = make_mind(1, 1, 0, 20);
    fa_handle bare = make_mind(2, 1, 0, 0);
    fa_handle follower = make_mind(3, 1, 0, 1);
    struct mind *mind = mind_at(w, follower);
    mind->leader = leader;
    assert_int_equal(live_objects(), before + 5); // trails that were outgrown are gone
    assert_int_equal(mind_end(w, leader), FA_OK);
    assert_null(mind_at(w, mind->leader));
    fa_handle next = make_mind(1, 2, 0, 20); // the same agent's next trip
    assert_null(mind_at(w, mind->leader));
    assert_int_equal(mind_end(w, leader), FA_ERROR_STALE);
    assert_int_equal(mind_end(w, next), FA_OK);
    assert_int_equal(mind_end(w, bare), FA_OK);
    assert_int_equal(mind_end(w, follower), FA_OK);
    assert_int_equal(mind_end(w, (fa_handle){0, 0}), FA_ERROR_STALE);
    assert_int_equal(live_objects(), before);
}

static uint64_t digest_of(fa_handle handle)
{
    return mind_digest(w, DIGEST_START, handle);
}

static void digests_are_of_contents_alone(void **state)
{
    (void)state;
    fa_handle leader = make_mind(5, 1, 3, 4);
    fa_handle other = make_mind(6, 1, 3, 4);
    fa_handle a = make_mind(9, 2, 3, 10);
    fa_handle b = make_mind(9, 2, 3, 10);
    assert_false(fa_handle_equal(a, b));
    struct mind *mind = mind_at(w, b);
    assert_int_equal(digest_of(a), digest_of(b));
    mind_at(w, a)->leader = mind->leader = leader;
    assert_int_equal(digest_of(a), digest_of(b));
    mind->leader = other;
    assert_int_not_equal(digest_of(a), digest_of(b));
    mind->leader = leader;
    mind->hurries = true;
    assert_int_not_equal(digest_of(a), digest_of(b));
    mind->hurries = false;
    mind->goal++;
    assert_int_not_equal(digest_of(a), digest_of(b));
    mind->goal--;
    mind->since++;
    assert_int_not_equal(digest_of(a), digest_of(b));
    mind->since--;
    assert_int_equal(digest_of(a), digest_of(b));
    assert_true(mind_pass(w, mind, 1));
    assert_int_not_equal(digest_of(a), digest_of(b));
    assert_true(mind_pass(w, mind_at(w, a), 2));
    assert_int_not_equal(digest_of(a), digest_of(b));
    uint64_t with_leader = digest_of(a);
    assert_int_equal(mind_end(w, leader), FA_OK);
    assert_int_not_equal(digest_of(a), with_leader);
    assert_int_not_equal(digest_of(a), digest_of((fa_handle){0, 0}));
    fa_handle rest[] = {other, a, b};
    for (int i = 0; i < 3; i++) assert_int_equal(mind_end(w, rest[i]), FA_OK);
}

static void compaction_moves_minds_and_changes_none(void **state)
{
    (void)state;
    static fa_handle minds[CROWD];
    static uint64_t digests[CROWD];
    static const struct mind *places[CROWD];
    for (uint32_t i = 0; i < CROWD; i++) minds[i] = make_mind(i, i, (uint8_t)(i % 24), i % 40);
    for (uint32_t i = 0; i < CROWD; i++) {
        if (i % 9 != 0) mind_at(w, minds[i])->leader = minds[i - i % 9];
        if (hash_below(hash_three(2, i, 0), 10) < 8) assert_int_equal(mind_end(w, minds[i]), FA_OK);
    }
    for (uint32_t i = 0; i < CROWD; i++) {
        digests[i] = digest_of(minds[i]);
        places[i] = mind_at(w, minds[i]);
    }
    uint64_t moves = 0;
    uint64_t blocks = 0;
    fa_handle_compaction done;
    settle();
    do {
        assert_int_equal(fa_handles_compact(fa, 4096, 32, &done), FA_OK);
        assert_true(done.moves <= 32 && done.bytes <= 4096);
        moves += done.moves;
        blocks += done.blocks;
    } while (done.more);
    assert_true(moves > 32 && blocks > 0);
    uint32_t moved = 0;
    for (uint32_t i = 0; i < CROWD; i++) {
        assert_int_equal(digest_of(minds[i]), digests[i]);
        moved += mind_at(w, minds[i]) != places[i];
    }
    assert_true(moved > 0);
    for (uint32_t i = 0; i < CROWD; i++) {
        if (places[i] != NULL) assert_int_equal(mind_end(w, minds[i]), FA_OK);
    }
}

// Leaders ---------------------------------------------------------------------------------------------------------------

/// A room with a pillar in its middle, and agents in it.
struct stage {
    struct level level;
    struct walls walls;
    struct grid grid;
    struct agent agents[3];
    fa_handle minds[3];
    struct world world;
};

static struct stage stage;

static void open_stage(void)
{
    struct failure failure;
    struct forge forge;
    struct wad wad;
    struct memory memory = forge_memory(FORGE_UNLIMITED);
    memset(&stage, 0, sizeof stage);
    forge_room(&forge);
    assert_true(wad_open(forge_write(&forge), &memory, &wad, &failure));
    assert_true(level_load(&wad, "MAP01", &memory, &stage.level, &failure));
    wad_close(&wad);
    forge_clean();
    assert_true(walls_build(&stage.level, &memory, &stage.walls, &failure));
    assert_true(grid_create(&stage.level, &stage.walls, &memory, &stage.grid, &failure));
    stage.world = (struct world){
        .level = &stage.level,
        .walls = &stage.walls,
        .grid = &stage.grid,
        .agent_count = 3,
        .tick = 8,
        .now = stage.agents,
        .minds = stage.minds,
    };
    assert_int_equal(fa_frame_begin(fa), FA_OK);
}

static void close_stage(void)
{
    assert_int_equal(fa_frame_end(fa, NULL), FA_OK);
    for (int i = 0; i < 3; i++) (void)mind_end(w, stage.minds[i]);
    forge_forget();
}

/// Agent i at a place, on a trip since some tick, with a path or without.
static struct mind *put(uint32_t i, int x, int y, uint32_t since, bool has_path)
{
    stage.agents[i] = (struct agent){.at = {FIX(x), FIX(y)}, .goal = 4, .version = has_path};
    stage.minds[i] = mind_begin(w, i, since, 4);
    assert_non_null(mind_at(w, stage.minds[i]));
    return mind_at(w, stage.minds[i]);
}

static void pass(struct mind *mind, int x, int y)
{
    assert_true(mind_pass(w, mind, grid_cell_at(&stage.grid, (struct point){FIX(x), FIX(y)})));
}

static struct lead_cost cost;

/// What agent i finds when it sees one other or nobody.
static struct sense look(uint32_t i, uint32_t other, bool sees)
{
    static uint32_t near[1];
    near[0] = other;
    struct sense sense = {.near = near, .count = 1, .seen = sees};
    cost = (struct lead_cost){0, 0, 0};
    assert_true(lead_find(w, &stage.world, i, &sense, &cost));
    return sense;
}

static bool leads(struct sense sense, uint32_t leader)
{
    return sense.lead != NULL && fa_handle_equal(sense.lead->leader, stage.minds[leader]);
}

static bool nobody_leads(struct sense sense)
{
    return sense.lead != NULL && fa_handle_is_none(sense.lead->leader);
}

static void the_longer_under_way_leads(void **state)
{
    (void)state;
    open_stage();
    (void)put(0, -100, 100, 5, true);
    struct mind *mind = put(1, -60, 100, 3, true);
    struct sense sense = look(0, 1, true);
    assert_true(leads(sense, 1));
    assert_false(sense.lead->walks); // it has a path
    assert_false(sense.lead->hurries);
    assert_int_equal(cost.led, 1);
    stage.world.tick = 7; // agent 1's turn
    assert_true(nobody_leads(look(1, 0, true)));
    stage.world.tick = 8;
    assert_true(nobody_leads(look(0, 1, false))); // not seen
    mind->goal = 5;
    assert_true(nobody_leads(look(0, 1, true))); // goes elsewhere
    mind->goal = 4;
    mind->since = 5;
    assert_true(nobody_leads(look(0, 1, true))); // of equals the lower number leads
    stage.world.tick = 7;
    assert_true(leads(look(1, 0, true), 0));
    stage.world.tick = 9;
    assert_null(look(1, 0, true).lead); // not its turn
    close_stage();
}

static void who_has_no_path_walks_after(void **state)
{
    (void)state;
    open_stage();
    stage.world.tick = 3; // nobody's turn
    (void)put(0, -200, 0, 5, false);
    struct mind *leader = put(1, -160, 0, 3, true);
    assert_false(look(0, 1, true).lead->walks); // no trail
    pass(leader, -150, 20);
    pass(leader, 0, 150);
    pass(leader, 200, 0); // behind the pillar
    struct sense sense = look(0, 1, true);
    assert_true(leads(sense, 1) && sense.lead->walks);
    uint32_t cell = grid_cell_at(&stage.grid, (struct point){FIX(0), FIX(150)});
    assert_int_equal(sense.lead->to.x, grid_centre(&stage.grid, cell).x);
    assert_int_equal(sense.lead->to.y, grid_centre(&stage.grid, cell).y);
    assert_int_equal(cost.rays, 2);
    stage.world.tick = 8;
    stage.agents[0].version = 1; // it has a path meanwhile
    sense = look(0, 1, true);
    assert_true(leads(sense, 1) && !sense.lead->walks);
    stage.agents[0].version = 0;
    stage.agents[1].version = 0; // it does not know the way either
    sense = look(0, 1, true);
    assert_true(leads(sense, 1) && !sense.lead->walks);
    close_stage();
}

static void leaders_are_kept_and_lost(void **state)
{
    (void)state;
    open_stage();
    struct mind *mind = put(0, -200, 200, 5, true);
    (void)put(1, -160, 200, 3, true);
    (void)put(2, -190, 200, 2, true);
    struct sense sense = look(0, 1, true);
    lead_take(&sense, mind);
    assert_true(fa_handle_equal(mind->leader, stage.minds[1]));
    assert_true(leads(look(0, 2, true), 1)); // although another is nearer
    stage.agents[1].at.x = FIX(-100);
    sense = look(0, 1, false); // also out of sight
    assert_true(leads(sense, 1) && sense.lead->hurries);
    lead_take(&sense, mind);
    assert_true(mind->hurries);
    stage.agents[1].at.x = FIX(60);
    assert_true(nobody_leads(look(0, 1, false))); // too far ahead
    stage.agents[1].at.x = FIX(-160);
    assert_int_equal(mind_end(w, stage.minds[1]), FA_OK); // it has arrived
    sense = look(0, 1, true);
    assert_true(nobody_leads(sense));
    assert_int_equal(cost.gone, 1);
    lead_take(&sense, mind);
    assert_true(fa_handle_is_none(mind->leader) && !mind->hurries);
    assert_true(leads(look(0, 2, true), 2)); // the next one
    assert_int_equal(cost.gone, 0);
    sense.lead = NULL; // it did not look
    mind->hurries = true;
    lead_take(&sense, mind);
    assert_true(mind->hurries);
    close_stage();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trails_hold_the_newest_cells),  cmocka_unit_test(the_end_of_a_trip_is_noticed),
        cmocka_unit_test(digests_are_of_contents_alone), cmocka_unit_test(compaction_moves_minds_and_changes_none),
        cmocka_unit_test(the_longer_under_way_leads),    cmocka_unit_test(who_has_no_path_walks_after),
        cmocka_unit_test(leaders_are_kept_and_lost),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
