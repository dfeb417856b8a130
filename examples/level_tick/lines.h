// SPDX-License-Identifier: MIT
//
// The level's lines from above: walls in the colours of their textures, doors, steps, and the shade that walls throw.
#pragma once

#include "scene.h"

/// Darkens the floor along walls.
void lines_shade(const struct scene *scene, struct tile *tile);

/// Draws the lines over it. False when there is no scope memory.
bool lines_draw(fa_worker *w, const struct scene *scene, struct tile *tile);

/// Pixels around a line that it may colour.
#define LINES_REACH 3.0f

/// The picture that a line is drawn with, and its side; LEVEL_NONE if it is drawn plain.
uint16_t lines_picture(const struct level *level, const struct level_line *line, uint16_t *side);
