# SPDX-License-Identifier: MIT
"""Makes WAD files from drawings: one character for each square of 64 units.

    '#' nothing   '.' floor   ':' a step of 16 higher   '^' a ledge of 64 higher   '~' water   'D' a door   '_' too low
"""
import struct

SQUARE = 64
SECTORS = {  # floor, ceiling, picture of the floor, light
    ".": (0, 128, b"FLOOR0_1", 160),
    ":": (16, 128, b"FLOOR0_3", 192),
    "^": (64, 160, b"FLAT5_4", 208),
    "~": (-8, 128, b"FWATER1", 144),
    "D": (0, 0, b"FLAT23", 128),
    "_": (0, 32, b"FLAT5", 96),
}
DOOR_SPECIAL = 1  # opens when it is pushed: the back side of its lines

CRYPT = """
##############################
#.......D.........#..........#
#.......#.........#..::::....#
#..~~...#.........D..::::....#
#..~~...#....^^...#..::::....#
#.......#....^^...#..........#
###D#######################D##
#.......#.........#..........#
#..##...#..~~~....D....##....#
#..##...D..~~~....#....##....#
#.......#.........#..........#
#####D#######D###########D####
#............................#
#..::::..#....#....#...~~~~..#
#..::::..#....#....#...~~~~..#
#............................#
##############################
"""


def squares(drawing):
    found = {}
    for y, row in enumerate(reversed(drawing.strip().split("\n"))):
        for x, char in enumerate(row):
            if char != "#":
                found[x, y] = char
    return found


def lumps(drawing, things=()):
    """The lumps of a level as {name: bytes}."""
    inside = squares(drawing)
    vertices, lines, sides, sectors = {}, [], [], []
    numbers = {}
    for square, char in inside.items():
        # Every door is a sector of its own; of the rest one for each character.
        key = square if char == "D" else char
        if key not in numbers:
            numbers[key] = len(numbers)
            floor, ceiling, picture, light = SECTORS[char]
            sectors.append(struct.pack("<hh8s8shhh", floor, ceiling, picture, b"CEIL1_1", light, 0, 0))

    def sector(square):
        char = inside.get(square)
        return None if char is None else numbers[square if char == "D" else char]

    def vertex(x, y):
        return vertices.setdefault((x * SQUARE, y * SQUARE), len(vertices))

    def side(number):
        sides.append(struct.pack("<hh8s8s8sH", 0, 0, b"-", b"STONE", b"STONE", number))
        return len(sides) - 1

    def line(a, b, front, back):
        """A line from a to b with the square `front` to its right."""
        one, two = sector(front), sector(back)
        if one == two:
            return
        if one is None:
            a, b, one, two, front, back = b, a, two, one, back, front
        if inside.get(front) == "D" and two is not None:
            a, b, one, two, front, back = b, a, two, one, back, front  # a door is the back of its lines
        special = DOOR_SPECIAL if inside.get(back) == "D" else 0
        right = side(one)
        left = 0xFFFF if two is None else side(two)
        lines.append(struct.pack("<7H", vertex(*a), vertex(*b), 1 if two is None else 4, special, 0, right, left))

    around = {(x + dx, y + dy) for x, y in inside for dx in (-1, 0, 1) for dy in (-1, 0, 1)}
    for x, y in sorted(around):
        line((x, y), (x, y + 1), (x, y), (x - 1, y))  # its west edge, northwards
        line((x + 1, y), (x, y), (x, y), (x, y - 1))  # its south edge, westwards
    return {
        "THINGS": b"".join(struct.pack("<5H", x & 0xFFFF, y & 0xFFFF, 0, kind, 7) for x, y, kind in things),
        "LINEDEFS": b"".join(lines),
        "SIDEDEFS": b"".join(sides),
        "VERTEXES": b"".join(struct.pack("<hh", *place) for place in vertices),
        "SECTORS": b"".join(sectors),
    }


def patch(width, height, texel):
    """A picture of one post a column; texel(x, y) is a number of the palette."""
    columns = [bytes([0, height, 0] + [texel(x, y) for y in range(height)] + [0, 255]) for x in range(width)]
    begins = [8 + 4 * width + sum(map(len, columns[:x])) for x in range(width)]
    return struct.pack("<4h%dI" % width, width, height, 0, 0, *begins) + b"".join(columns)


def art():
    """The lumps that pictures are made of: the texture STONE, of two patches, and a flat for every kind of floor."""
    texture = struct.pack("<8siHHiH", b"STONE", 0, 128, 128, 0, 2)
    texture += b"".join(struct.pack("<hhHHH", x, 0, x // 64, 1, 0) for x in (0, 64))
    found = {
        "PLAYPAL": bytes(value for n in range(256) for value in (n, n // 2, 255 - n)),
        "PNAMES": struct.pack("<i8s8s", 2, b"STONE_L", b"STONE_R"),
        "TEXTURE1": struct.pack("<ii", 1, 8) + texture,
        "STONE_L": patch(64, 128, lambda x, y: (x * y) % 200),
        "STONE_R": patch(64, 128, lambda x, y: (x + y) % 200),
        "F_START": b"",
    }
    for number, (_, _, name, _) in enumerate(SECTORS.values()):
        found[name.decode()] = bytes((number * 40 + x % 8 + y % 8) for y in range(64) for x in range(64))
    return {**found, "F_END": b""}


def wad(maps, kind=b"PWAD", others=None):
    """A whole file from {map name: lumps} and lumps that belong to no map."""
    data, directory = b"", b""

    def add(name, contents):
        nonlocal data, directory
        directory += struct.pack("<ii8s", 12 + len(data), len(contents), name.encode())
        data += contents

    for name, parts in maps.items():
        add(name, b"")
        for part, contents in parts.items():
            add(part, contents)
    for name, contents in (others or {}).items():
        add(name, contents)
    return struct.pack("<4sii", kind, len(directory) // 16, 12 + len(data)) + data + directory


def crypt(others=None):
    """The level that checksums are compared on: rooms, doors, steps, ledges, water and a few things."""
    things = [(x * 640 + 96, y * 224 + 96, 3004) for x in range(3) for y in range(4)]
    return wad({"MAP01": lumps(CRYPT, things)}, others=others)
