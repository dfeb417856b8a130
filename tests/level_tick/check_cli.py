#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks level_tick's command line: good input is run, bad input ends in one sentence, exit status 2, nothing written.

usage: check_cli.py PROGRAM
"""
import json
import os
import struct
import subprocess
import sys
import tempfile
import unittest

import drawn_level

PROGRAM = None
PNG_BEGIN = b"\x89PNG\r\n\x1a\n"


class CommandLine(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.write("crypt.wad", drawn_level.crypt())

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, data):
        with open(self.path(name), "wb") as file:
            file.write(data)

    def run_program(self, *arguments, **variables):
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("DOOMWAD", "XDG_"))}
        environment.update(HOME=self.folder, **variables)
        return subprocess.run([PROGRAM, *arguments], cwd=self.folder, env=environment, capture_output=True, timeout=250)

    def run_crypt(self, *arguments, ticks=20):
        return self.run_program("--wad", "crypt.wad", "--map", "MAP01", "--agents", "60", "--ticks", str(ticks),
                                "--workers", "1", *arguments)

    def expect_good(self, result):
        self.assertEqual((result.returncode, result.stderr), (0, b""))
        return result.stdout.decode()

    def expect_refused(self, result, words):
        """One sentence that contains the words, status 2, and no file that was not there."""
        error = result.stderr.decode(errors="replace")
        self.assertEqual(result.returncode, 2, error)
        self.assertEqual(result.stdout, b"")
        self.assertRegex(error, r"\Alevel_tick: [^\n]+\n\Z")
        self.assertIn(words, error)
        self.assertNotIn("Try ", error)

    def expect_refused_untouched(self, words, *arguments, **variables):
        before = sorted(os.listdir(self.folder))
        self.expect_refused(self.run_program(*arguments, "--png", "new.png", "--json", "new.json", **variables), words)
        self.assertEqual(sorted(os.listdir(self.folder)), before)

    # --- good input -------------------------------------------------------------------------------------------------

    def test_summary(self):
        text = self.expect_good(self.run_crypt())
        for word in ("group      MAP01:", "freed at once", "ticks a second", "p50", "p99", "p99.9", "jobs", "stolen", "bytes", "sense", "plan", "move",
                     "events", "render", "pool", "freed by another lane", "promoted", "backlog", "peak",
                     "CPU seconds", "art        6 pictures", "6 missing", "loads", "evicted", "refused", "straight", "rolled back",
                     "pools", "resets", "minds", "compaction", "checksum"):
            self.assertIn(word, text)

    def test_check_prints_the_checksum_alone(self):
        alone = self.expect_good(self.run_crypt("--check"))
        self.assertRegex(alone, r"\A[0-9a-f]{16}\n\Z")
        self.assertIn("checksum   " + alone, self.expect_good(self.run_crypt()))

    def test_picture(self):
        self.expect_good(self.run_crypt("--png", "last.png", "--png-every", "8"))
        names = sorted(os.listdir(self.folder))
        self.assertEqual(names, ["crypt.wad", "last-000008.png", "last-000016.png", "last.png"])
        for name in names[1:]:
            with open(self.path(name), "rb") as file:
                data = file.read()
            self.assertTrue(data.startswith(PNG_BEGIN) and data.endswith(b"IEND\xaeB`\x82"), name)

    def test_json(self):
        result = self.run_crypt("--json", "report.json")
        if b"needs a build with Jansson" in result.stderr:
            self.expect_refused(result, "Jansson")
            self.skipTest("built without Jansson")
        text = self.expect_good(result)
        with open(self.path("report.json"), encoding="utf-8") as file:
            report = json.load(file)
        self.assertEqual(report["world"]["ticks"], 20)
        self.assertEqual(report["crowd"]["corrupt"], 0)
        self.assertIn(report["world"]["checksum"], text)
        self.assertEqual(report["group"]["name"], "MAP01")
        self.assertGreater(report["group"]["bytes"], 10000)
        self.assertGreater(report["library"]["jobs"], 0)
        planners = report["planners"]
        kept = sum(planners["kept_" + attempt] for attempt in ("straight", "near", "whole"))
        self.assertEqual(kept, report["crowd"]["path_searches"])
        self.assertEqual(planners["rolled_back"], planners["kept_near"] + 2 * planners["kept_whole"])
        self.assertGreater(planners["nodes_reused"], 0)
        self.assertGreater(planners["pool_bytes"], 0)
        self.assertLessEqual(planners["pool_bytes"], planners["pool_capacity_bytes"])
        self.assertGreater(report["phases"]["sense"]["frame_bytes"], 0)
        self.assertGreater(report["phases"]["move"]["pool_allocs"], 0)
        self.assertIn("version", report["snapshot"])

    def test_minds_come_and_go(self):
        result = self.run_program("--wad", "crypt.wad", "--map", "MAP01", "--agents", "3000", "--ticks", "200",
                                  "--workers", "2", "--json", "report.json")
        if b"needs a build with Jansson" in result.stderr:
            self.skipTest("built without Jansson")
        self.expect_good(result)
        with open(self.path("report.json"), encoding="utf-8") as file:
            minds = json.load(file)["minds"]
        self.assertGreater(minds["ended"], 0)
        self.assertLessEqual(minds["begun"] - minds["ended"], 3000)
        # Each mind has a trail, but for those that have just begun.
        self.assertGreater(minds["handles_live"], minds["begun"] - minds["ended"])
        self.assertLessEqual(minds["handles_live"], 2 * (minds["begun"] - minds["ended"]))
        self.assertGreater(minds["led"], 0)
        self.assertGreater(minds["leaders_gone"], 0)
        self.assertGreater(minds["blocks_emptied"], 0)
        self.assertGreater(minds["moved"], 0)
        self.assertLessEqual(minds["moved"], 200 * 64)
        self.assertLessEqual(minds["moved_bytes"], 200 * 8192)

    # --- art --------------------------------------------------------------------------------------------------------

    def draw(self, name, *arguments):
        """Draws hung.wad; the bytes of the picture and the report's section about its art."""
        result = self.run_program("--wad", "hung.wad", "--map", "MAP01", "--agents", "60", "--ticks", "200", "--png", name,
                                  "--json", "art.json", *arguments)
        if b"needs a build with Jansson" in result.stderr:
            self.skipTest("built without Jansson")
        self.expect_good(result)
        with open(self.path("art.json"), encoding="utf-8") as file:
            report = json.load(file)
        with open(self.path(name), "rb") as file:
            return file.read(), report["stream"], report["world"]["checksum"]

    def test_pictures_show_the_art(self):
        self.write("hung.wad", drawn_level.crypt(drawn_level.art()))
        picture, art, checksum = self.draw("hung.png", "--workers", "1")
        self.assertEqual((art["pictures"], art["missing"], art["damaged"], art["drawn_plain"]), (6, 0, 0, 0))
        # Five flats of 64 by 64 and a texture of 128 by 128, 4 bytes a texel, with their smaller copies.
        self.assertEqual(art["bytes"], 4 * (5 * 5461 + 21845))
        self.assertGreaterEqual(art["loads"], 6)
        self.assertEqual(art["evictions"], 0)
        for arguments in (("--workers", "0"), ("--workers", "3"), ("--workers", "2", "--frames-in-flight", "4")):
            self.assertEqual(self.draw("again.png", *arguments)[::2], (picture, checksum), arguments)
        self.write("hung.wad", drawn_level.crypt())
        plain, art, same = self.draw("plain.png", "--workers", "1")
        self.assertEqual((art["missing"], art["loads"], art["bytes"]), (6, 0, 0))
        self.assertNotEqual(picture, plain)
        self.assertEqual(checksum, same)

    def test_a_small_budget_evicts(self):
        self.write("hung.wad", drawn_level.crypt(drawn_level.art()))
        whole, _, checksum = self.draw("whole.png", "--workers", "2")
        # Enough for the texture and one flat: the picture is drawn in parts and looks the same where each part fits.
        picture, art, same = self.draw("small.png", "--workers", "2", "--art-budget", "132")
        self.assertGreater(art["evictions"], 0)
        self.assertLessEqual(art["peak_bytes"], 132 * 1024)
        self.assertEqual((picture, same), (self.draw("again.png", "--workers", "0", "--art-budget", "132")[0], checksum))
        if art["drawn_plain"] == 0:
            self.assertEqual(picture, whole)
        # Not even one picture fits.
        _, art, same = self.draw("tiny.png", "--workers", "2", "--art-budget", "1")
        self.assertEqual((art["loads"], art["peak_bytes"]), (0, 0))
        self.assertGreater(art["refused"], 0)
        self.assertGreater(art["drawn_plain"], 0)
        self.assertEqual(checksum, same)

    def test_damaged_art_is_no_reason_to_stop(self):
        whole = drawn_level.art()
        damages = {
            "STONE_L": whole["STONE_L"][:300],
            "PNAMES": whole["PNAMES"][:9],
            "TEXTURE1": whole["TEXTURE1"][:-5],
            "PLAYPAL": b"",
            "FLOOR0_1": whole["FLOOR0_1"][:4095],
            "F_END": None,
        }
        for lump, contents in damages.items():
            with self.subTest(lump=lump):
                others = {**whole, lump: contents}
                others = {name: data for name, data in others.items() if data is not None}
                self.write("hung.wad", drawn_level.crypt(others))
                _, art, _ = self.draw("damaged.png", "--workers", "1")
                self.assertEqual(art["damaged"] > 0, lump == "STONE_L")
                self.assertEqual(art["missing"], {"PNAMES": 1, "FLOOR0_1": 1, "F_END": 5}.get(lump, 0))

    def test_list_maps(self):
        text = self.expect_good(self.run_program("--wad", "crypt.wad", "--list-maps"))
        self.assertRegex(text, r"\AMAP01 +\d+ lines +\d+ sectors +12 things\n\Z")

    def test_help(self):
        text = self.expect_good(self.run_program("--help"))
        for option in ("wad", "map", "list-maps", "agents", "ticks", "hz", "workers", "frames-in-flight", "seed", "art-budget",
                       "png",
                       "json", "check"):
            self.assertIn("--" + option, text)

    def test_pacing(self):
        self.expect_good(self.run_crypt("--hz", "200"))

    def test_every_thing_is_an_agent(self):
        few = self.run_program("--wad", "crypt.wad", "--map", "MAP01", "--agents", "1", "--ticks", "2")
        self.assertIn(" 12 agents", self.expect_good(few))

    def test_level_is_found_where_ports_look(self):
        for folder in ("a", "share/games/doom", ".local/share/games/doom"):
            os.makedirs(self.path(folder))
            self.write(folder + "/found.wad", drawn_level.crypt())
            places = {
                "a": [{"DOOMWADDIR": self.path("a")}, {"DOOMWADPATH": "/nowhere::" + self.path("a")},
                      {"DOOMWADPATH": self.path("a/found.wad")}],
                "share/games/doom": [{"XDG_DATA_HOME": self.path("share")}, {"XDG_DATA_DIRS": self.path("share")}],
                ".local/share/games/doom": [{}],
            }[folder]
            for variables in places:
                self.expect_good(self.run_program("--wad", "found.wad", "--list-maps", **variables))
            os.remove(self.path(folder + "/found.wad"))

    # --- bad input --------------------------------------------------------------------------------------------------

    def test_options(self):
        for arguments, words in (
                (["--bogus"], "no option '--bogus'"),
                (["--bogus=3"], "no option '--bogus'"),
                (["-x"], "no option"),
                (["word"], "'word' is no option"),
                (["--ticks"], "--ticks needs a value"),
                (["--check=1"], "--check takes no value"),
                (["--ticks", "0"], "--ticks takes a number from 1"),
                (["--ticks", "-5"], "not '-5'"),
                (["--ticks", "ten"], "not 'ten'"),
                (["--ticks", "5x"], "not '5x'"),
                (["--ticks", ""], "not ''"),
                (["--ticks", "99999999999999999999999"], "--ticks takes"),
                (["--agents", "0"], "--agents takes"),
                (["--agents", "1e3"], "--agents takes"),
                (["--workers", "193"], "--workers takes a number from 0 to 192"),
                (["--frames-in-flight", "0"], "from 1 to 16"),
                (["--frames-in-flight", "17"], "from 1 to 16"),
                (["--hz", "1001"], "--hz takes"),
                (["--art-budget", "0"], "--art-budget takes a number from 1"),
                (["--art-budget", "1048577"], "--art-budget takes"),
                (["--seed", "18446744073709551616"], "--seed takes"),
                (["--seed", "0x10"], "--seed takes"),
                (["--map", ""], "--map takes a name"),
                (["--png-every", "3"], "--png-every needs --png"),
                (["--png", "same", "--json", "same"], "the same file"),
        ):
            with self.subTest(arguments=arguments):
                self.expect_refused(self.run_program(*arguments), words)

    def test_no_file(self):
        self.expect_refused_untouched("no 'nothing.wad'", "--wad", "nothing.wad")
        self.expect_refused_untouched("cannot open './nothing.wad'", "--wad", "./nothing.wad")
        self.expect_refused_untouched("is not a file", "--wad", "./")

    def test_not_a_wad(self):
        self.write("text.wad", b"This is a text and no level at all.\n")
        self.write("empty.wad", b"")
        self.expect_refused_untouched("not a WAD file", "--wad", "text.wad")
        self.expect_refused_untouched("not a WAD file", "--wad", "empty.wad")

    def test_unknown_map(self):
        self.expect_refused_untouched("no map called 'MAP99'", "--wad", "crypt.wad", "--map", "MAP99")

    def test_no_maps(self):
        self.write("none.wad", drawn_level.wad({"DEMO1": {}}))
        self.expect_refused_untouched("no map called", "--wad", "none.wad")
        self.expect_refused(self.run_program("--wad", "none.wad", "--list-maps"), "has no maps")

    def test_truncated(self):
        whole = drawn_level.crypt()
        for size in (4, 12, 100, len(whole) // 2, len(whole) - 1):
            self.write("cut.wad", whole[:size])
            self.expect_refused_untouched("cut.wad", "--wad", "cut.wad", "--map", "MAP01")

    def test_damaged_tables(self):
        parts = drawn_level.lumps(drawn_level.CRYPT)
        far = struct.pack("<H", 0xFFF0)
        damages = {
            "vertex": ("LINEDEFS", lambda data: far + data[2:]),
            "side": ("LINEDEFS", lambda data: data[:10] + far + data[12:]),
            "sector": ("SIDEDEFS", lambda data: data[:28] + far + data[30:]),
            "no multiple": ("SECTORS", lambda data: data[:-1]),
            "is empty": ("VERTEXES", lambda data: b""),
        }
        for words, (lump, damage) in damages.items():
            with self.subTest(words=words):
                self.write("bad.wad", drawn_level.wad({"MAP01": {**parts, lump: damage(parts[lump])}}))
                self.expect_refused_untouched(words, "--wad", "bad.wad", "--map", "MAP01")
        for lump in parts:
            with self.subTest(lump=lump):
                rest = {name: data for name, data in parts.items() if name != lump}
                self.write("bad.wad", drawn_level.wad({"MAP01": rest}))
                self.expect_refused_untouched("has no %s lump" % lump, "--wad", "bad.wad", "--map", "MAP01")

    def test_nowhere_to_walk(self):
        self.write("low.wad", drawn_level.wad({"MAP01": drawn_level.lumps("#####\n#___#\n#####")}))
        self.expect_refused_untouched("has no place to walk", "--wad", "low.wad", "--map", "MAP01")

    def test_outputs_that_cannot_be_written(self):
        os.mkdir(self.path("folder"))
        for name, words in (("nowhere/x", "No such file"), ("folder", "Is a directory"),
                            ("crypt.wad/x", "Not a directory")):
            for option in ("--png", "--json"):
                before = sorted(os.listdir(self.folder))
                result = self.run_crypt(option, name)
                if option == "--json" and b"Jansson" in result.stderr:
                    continue
                self.expect_refused(result, "cannot write '%s': %s" % (name, words))
                self.assertEqual(sorted(os.listdir(self.folder)), before)

    @unittest.skipUnless(os.path.exists("/dev/full"), "there is no /dev/full")
    def test_full_disk(self):
        self.expect_refused(self.run_crypt("--png", "/dev/full"), "cannot write '/dev/full': No space left")


if __name__ == "__main__":
    PROGRAM = os.path.abspath(sys.argv.pop(1))
    unittest.main()
