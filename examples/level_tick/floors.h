// SPDX-License-Identifier: MIT
//
// Floors: row by row, the lines that cross it say which sector lies where, and its flat how that looks.
#pragma once

#include "scene.h"

/// Draws the floors of a tile. False when there is no scope memory.
bool floors_draw(fa_worker *w, const struct scene *scene, struct tile *tile);

/// The sector in the middle of a tile, GRID_VOID outside the level. False when there is no scope memory.
bool floors_middle(fa_worker *w, const struct scene *scene, const struct tile *tile, uint16_t *sector);
