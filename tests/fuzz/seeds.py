#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes seeds of fuzz_level: small WAD files whose levels are read. usage: seeds.py FOLDER"""
import os
import struct
import sys


def name8(text):
    return text.encode().ljust(8, b"\0")


def shorts(*values):
    return struct.pack(f"<{len(values)}h", *values)


def wad(lumps, last=0, magic=b"PWAD"):
    data = b"".join(content for _, content in lumps)
    directory, offset = b"", 12
    for name, content in lumps:
        directory += struct.pack("<ii", offset, len(content)) + name8(name)
        offset += len(content)
    return struct.pack("<4sii", magic, len(lumps), 12 + len(data)) + data + directory + bytes([last])


def room(marker, texture="-", special=0):
    """A square of four walls, and a second sector behind the first of them."""
    corners = [(0, 0), (0, 64), (64, 64), (64, 0), (-64, 0), (-64, 64)]
    walls = [(1, 2), (2, 3), (3, 0), (4, 5), (5, 1), (0, 4)]
    lines = b"".join(shorts(a, b, 1, 0, 0, i, -1) for i, (a, b) in enumerate(walls))
    lines += shorts(0, 1, 4, special, 7, 6, 7)
    sectors = [0, 0, 0, 1, 1, 1, 0, 1]
    sides = b"".join(shorts(0, 0) + name8("-") + name8("-") + name8(texture) + shorts(s) for s in sectors)
    sector = [shorts(0, high) + name8(flat) + name8("CEIL") + shorts(160, 0, 7) for high, flat in ((128, "FLAT"), (0, "NUKAGE1"))]
    return [(marker, b""), ("THINGS", shorts(32, 32, 90, 1, 7)), ("LINEDEFS", lines), ("SIDEDEFS", sides),
            ("VERTEXES", b"".join(shorts(*c) for c in corners)), ("SECTORS", b"".join(sector))]


def patch(width, height):
    columns = [bytes([0, height, 0]) + bytes(range(height)) + b"\0\xff" for _ in range(width)]
    offsets, at = b"", 8 + 4 * width
    for column in columns:
        offsets += struct.pack("<i", at)
        at += len(column)
    return shorts(width, height, 0, 0) + offsets + b"".join(columns)


def art():
    texture = struct.pack("<ii", 1, 8) + name8("BRICKS") + shorts(0, 0, 8, 8, 0, 0, 2, 0, 0, 0, 0, 0, 4, 2, 1, 0, 0)
    names = struct.pack("<i", 2) + name8("LEFT") + name8("RIGHT")
    return [("PNAMES", names), ("TEXTURE1", texture), ("LEFT", patch(4, 4)), ("RIGHT", patch(2, 3)), ("P_END", b""),
            ("F_START", b""), ("FLAT", b""), ("F_END", b"")]


SEEDS = {
    "room": wad(room("MAP01")),
    "door": wad(room("E1M1", special=1), magic=b"IWAD"),
    "lift": wad(room("MAP01", special=62)),
    "art": wad(room("MAP01", "BRICKS") + art()),
    "colours": wad(room("MAP01", "BRICKS") + art() + [("PLAYPAL", bytes(768))]),
    "refused": wad(room("MAP01", "BRICKS") + art(), last=9),
    "hexen": wad(room("MAP01") + [("BEHAVIOR", b"ACS")]),
    "udmf": wad([("MAP01", b""), ("TEXTMAP", b"namespace"), ("ENDMAP", b"")]),
}

for seed, content in SEEDS.items():
    with open(os.path.join(sys.argv[1], seed), "wb") as file:
        file.write(content)
