// SPDX-License-Identifier: MIT
//
// In which order a picture's tiles are drawn, given that their textures do not fit into memory all at once.
//
// Tiles are drawn in batches whose textures the budget of the gallery holds together; a batch grows by the tile that adds least
// to it. Before it is drawn its textures are there; what does not fit although a tile is alone is drawn plain. Both depend
// on level and budget alone, so a picture is the same for any number of workers.
#pragma once

#include "gallery.h"
#include "scene.h"

/// Draws one tile; scene->texels are those of its batch.
typedef bool hanging_draw(fa_worker *w, struct scene *scene, uint32_t tile);

/// Draws `tiles` tiles in parallel, inside the render phase. False when memory ran out or a job could not be submitted.
bool hanging_run(fa_worker *w, struct scene *scene, struct gallery *gallery, uint32_t tiles, hanging_draw *draw);
