"""quorate-inspect on the directory of a real node: running, killed, stopped, damaged."""

import json
import shutil
import subprocess
import unittest

from cluster import BIN
from support import OK, ClusterTest

DAMAGED, USAGE = 1, 2
BINARY_VALUE = bytes([0, 10, 27, 255])


def run(*arguments):
    done = subprocess.run([BIN / "quorate-inspect", *map(str, arguments)], capture_output=True, timeout=60, check=False)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def contents(directory):
    """Every file below the directory, with its bytes: what must not change."""
    return {path.relative_to(directory): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


class Inspect(ClusterTest):
    size = 1

    def setUp(self):
        self.node = self.cluster[1]
        if not self.node.running:
            self.node.start()
            self.cluster.wait_ready()

    def inspect(self, code, *arguments):
        got, out, err = run("--json", *arguments)
        self.assertEqual(got, code, err + out[:2000])
        return json.loads(out)

    def write_some(self):
        self.expect(OK, "put", "colour", "green")
        self.expect(OK, "put", "binary", "-", stdin=BINARY_VALUE)
        self.expect(OK, "put", "long", "x" * 1000)
        return self.json("del", "colour")["index"]

    def test_a_running_node(self):
        last = self.write_some()
        report = self.inspect(OK, "log", self.node.data_dir)
        self.assertIn(str(self.node.process.pid), report["in_use"])
        self.assertEqual(report["identity"]["node"], 1)
        self.assertGreaterEqual(report["log"]["last"], last)
        self.assertEqual(report["log"]["configuration"]["voters"], [1])
        self.assertIn("open", report["tail"]["state"])
        self.assertLessEqual(self.inspect(OK, "snapshot", self.node.data_dir, "--verify")["database"]["position"]["index"], last)

    def test_entries(self):
        last = self.write_some()
        self.node.kill()
        entries = self.inspect(OK, "log", self.node.data_dir, "--entries", f"{last - 3}..{last}")["entries"]
        self.assertEqual([entry["index"] for entry in entries], list(range(last - 3, last + 1)))
        self.assertEqual([(entry["command"], entry["key"]) for entry in entries],
                         [("put", "colour"), ("put", "binary"), ("put", "long"), ("delete", "colour")])
        self.assertEqual(entries[1]["value"], "\\x00\\n\\x1b\\xff")
        self.assertEqual(entries[2]["value_bytes"], 1000)
        self.assertLess(len(entries[2]["value"]), 100)
        limited = self.inspect(OK, "log", self.node.data_dir, "--entries", "--limit", "1")
        self.assertEqual(len(limited["entries"]), 1)
        self.assertEqual(limited["entries_not_listed"], limited["log"]["entries"] - 1)
        self.assertNotIn("entries", self.inspect(OK, "log", self.node.data_dir))

    def test_a_stopped_node_is_clean_and_is_left_as_it_is(self):
        self.write_some()
        self.node.terminate()
        before = contents(self.node.data_dir)
        report = self.inspect(OK, "log", self.node.data_dir, "--entries")
        self.assertFalse(report["in_use"])
        self.assertIn("clean", report["tail"]["state"])
        snapshot = self.inspect(OK, "snapshot", self.node.data_dir, "--verify")
        self.assertEqual(snapshot["database"]["verified"], "every checksum matches")
        self.assertLessEqual(snapshot["database"]["position"]["index"], report["log"]["last"])
        self.inspect(OK, "identity", self.node.data_dir)
        self.assertEqual(contents(self.node.data_dir), before)

    def test_text_says_the_same(self):
        self.write_some()
        code, out, _ = run("log", self.node.data_dir, "--entries")
        self.assertEqual(code, OK)
        for words in ("00000001.log", "hard state", "colour", "\\x00\\n\\x1b\\xff"):
            self.assertIn(words, out)
        self.assertNotIn("\x1b", out)

    def copy(self):
        self.write_some()
        self.node.terminate()
        copy = self.cluster.directory / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.node.data_dir, copy)
        return copy

    def test_a_damaged_log_is_read_up_to_the_damage(self):
        copy = self.copy()
        whole = self.inspect(OK, "log", copy, "--entries")
        middle = whole["entries"][len(whole["entries"]) // 2]
        with open(copy / "log" / middle["segment"], "r+b") as file:
            file.seek(middle["offset"] + 30)
            byte = file.read(1)
            file.seek(middle["offset"] + 30)
            file.write(bytes([byte[0] ^ 1]))
        report = self.inspect(DAMAGED, "log", copy)
        self.assertEqual(report["log"]["last"], middle["index"] - 1)
        self.assertEqual(report["tail"]["end"], {"segment": middle["segment"], "offset": middle["offset"]})
        self.assertIn(f"offset {middle['offset']}", report["damage"][0]["where"])

    def test_damaged_small_files(self):
        copy = self.copy()
        (copy / "IDENTITY").write_bytes(b"scribble")
        (copy / "CURRENT").unlink()
        report = self.inspect(DAMAGED, "log", copy)
        self.assertEqual([damage["where"] for damage in report["damage"]], [f"{copy}/IDENTITY", f"{copy}/CURRENT"])
        self.assertGreater(report["log"]["last"], 0)

    def test_a_damaged_table(self):
        copy = self.copy()
        tables = [path for path in copy.glob("db-*/*.sst") if path.stat().st_size > 0]
        self.assertTrue(tables, "a stopped node has flushed nothing")
        data = bytearray(tables[0].read_bytes())
        data[10] ^= 1
        tables[0].write_bytes(data)
        report = self.inspect(DAMAGED, "snapshot", copy, "--verify")
        self.assertIn("db-", report["damage"][0]["where"])

    def test_usage(self):
        for arguments in ([], ["log"], ["frobnicate", "."], ["log", "/nowhere"], ["log", self.cluster.directory],
                          ["snapshot", self.cluster.directory], ["backup", __file__], ["identity", "/nowhere"],
                          ["log", self.node.data_dir, "--entries", "some"]):
            with self.subTest(arguments):
                code, _, err = run(*arguments)
                self.assertEqual(code, USAGE, err)
                self.assertTrue(err.strip())

    def test_help_has_examples(self):
        for command in ("log", "snapshot", "backup", "identity"):
            code, out, _ = run(command, "--help")
            self.assertEqual(code, OK)
            self.assertIn("quorate-inspect " + command, out.replace("--json ", ""))


if __name__ == "__main__":
    unittest.main(verbosity=2)
