// SPDX-License-Identifier: MIT
//
// Where WAD files are looked for: the places that Doom ports agree on, in their order.
//
//   as given, DOOMWADDIR, DOOMWADPATH (a list with colons), XDG_DATA_HOME/games/doom (else ~/.local/share/games/doom),
//   then games/doom and doom below each folder of XDG_DATA_DIRS, below /usr/local/share and below /usr/share.
#pragma once

/// The path of a readable file called `name`, to be freed with free(); NULL when there is none. A name with a slash is
/// taken as it stands. As ports do, an entry of DOOMWADDIR or DOOMWADPATH may also be the file itself.
char *datadirs_find(const char *name);
