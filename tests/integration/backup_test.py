"""Backups: a running cluster is written to a file, and another one, empty, begins with it."""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

from cluster import Cluster, wait_until
from support import OK, OTHER, USAGE, ClusterTest

RECORDS = 2_000


def records(first=0, count=RECORDS):
    """For `quorate import --format lines`."""
    return "".join(f"key{number:06d}\t{number:0100d}\n" for number in range(first, first + count)).encode()


def content(cluster, node_id):
    """Every key with its value and the index of its last write, as this node alone knows them."""
    code, out, err = cluster.quorate("--json", "--node", node_id, "scan", "--read", "strong", timeout=60)
    assert code == OK, err
    items = [json.loads(line) for line in out.splitlines()]
    return [(item["key"], item["value"], item["index"]) for item in items]


def start_restored(cluster, backups, wait=True):
    """First boot of every node from a backup, {node: file}."""
    for node in cluster:
        node.flags += ["--restore", str(backups[node.id])]
        node.start(bootstrap=True)
        node.flags = node.flags[:-2]
    if wait:
        cluster.wait_ready(60)


def expect_end(test, node, text):
    """The node must refuse to run, and say why."""
    code = wait_until(lambda: None if node.running else (node.process.poll(),), 20, f"node {node.id} runs\n{node.log_tail()}")
    test.assertNotEqual(code[0], 0)
    test.assertRegex(node.log_tail(), text)


class Backups(ClusterTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.directory = pathlib.Path(tempfile.mkdtemp(prefix="quorate-backup-"))
        cls.addClassCleanup(shutil.rmtree, cls.directory, ignore_errors=True)
        code, _, err = cls.cluster.quorate("import", "-", "--format", "lines", stdin=records(), timeout=60)
        assert code == OK, err
        cls.file = cls.directory / "first"
        cls.made = cls.backup(cls.file)
        cls.before = content(cls.cluster, 1)

    @classmethod
    def backup(cls, file, *arguments):
        code, out, err = cls.cluster.quorate("--json", "backup", file, *arguments, timeout=60)
        assert code == OK, err
        return json.loads(out)

    def other_cluster(self):
        """Not started yet; with the members' addresses of its own, as another machine room would have."""
        other = Cluster(3)
        self.addCleanup(other.stop)
        return other

    def test_it_says_what_it_holds(self):
        self.assertEqual(self.made["bytes"], self.file.stat().st_size)
        status = self.cluster.leader().status()
        self.assertEqual(f"{self.made['incarnation']:016x}", status["incarnation"])
        self.assertGreaterEqual(self.made["index"], max(index for _, _, index in self.before))
        self.assertEqual([path.name for path in self.directory.glob("first*")], ["first"])

    def test_restored_on_three_nodes_everything_is_there_in_a_new_incarnation(self):
        other = self.other_cluster()
        start_restored(other, dict.fromkeys((1, 2, 3), self.file))
        for node in other:
            self.assertEqual(content(other, node.id), self.before)
            status = node.status()
            self.assertNotEqual(status["incarnation"], f"{self.made['incarnation']:016x}")
            self.assertGreater(status["commit"], self.made["index"], "indexes go on behind the backup's")
        # It is a cluster like any other: it takes writes, and its nodes come back.
        self.assertEqual(other.quorate("put", "new", "value")[0], OK)
        for node in other:
            node.kill()
        for node in other:
            node.start()
        other.wait_ready(60)
        self.assertEqual(other.quorate("get", "new")[1].rstrip(), b"value")
        self.assertEqual(other.quorate("get", "key000007")[1].rstrip(), b"7".zfill(100))

    def test_each_node_can_be_backed_up(self):
        for node in self.cluster:
            made = self.backup(self.directory / f"of-{node.id}", "--node", node.id)
            self.assertEqual(made["node"], node.id)

    def test_snapshots_on_demand(self):
        taken = [json.loads(line) for line in self.expect(OK, "--json", "snapshot").splitlines()]
        self.assertEqual([one["node"] for one in taken], [1, 2, 3])
        self.assertTrue(all(one["bytes"] > 0 and one["index"] >= self.made["index"] for one in taken), taken)
        for node in self.cluster:
            status = node.status()
            self.assertGreaterEqual(status["snapshots_taken"], 1)
            wait_until(lambda node=node: (node.says("flushed_index") or 0) >= self.made["index"], 10, "it is not flushed")
            self.assertIn("quorate_snapshots_taken_total", node.http("/metrics")[1])

    def test_an_existing_file_is_not_replaced(self):
        before = self.file.read_bytes()
        self.assertIn("--force", self.error_of(USAGE, "backup", self.file))
        self.assertEqual(self.file.read_bytes(), before)

    def test_a_directory_in_use_is_left_alone(self):
        node = self.cluster[3]
        node.terminate()
        before = {path: path.stat().st_size for path in node.data_dir.rglob("*") if path.is_file()}
        node.flags += ["--restore", str(self.file)]
        node.start(bootstrap=True)
        node.flags = node.flags[:-2]
        expect_end(self, node, "already holds")
        after = {path: path.stat().st_size for path in node.data_dir.rglob("*") if path.is_file()}
        self.assertEqual(set(after), set(before))
        node.start()
        self.cluster.wait_ready()

    def test_damaged_and_foreign_files_are_refused_and_nothing_is_made(self):
        whole = self.file.read_bytes()
        middle = bytearray(whole)
        middle[len(whole) // 2] ^= 1
        bad = {"damaged": bytes(middle), "cut short|should have": whole[:-1], "not a backup": b"something else\n" * 100,
               "does not know": whole.replace(b"quorate backup 1\n", b"quorate backup 9\n", 1)}
        other = self.other_cluster()
        node = other[1]
        for text, data in bad.items():
            file = self.directory / "bad"
            file.write_bytes(data)
            node.flags += ["--restore", str(file)]
            node.start(bootstrap=True)
            node.flags = node.flags[:-2]
            expect_end(self, node, text)
            self.assertFalse((node.data_dir / "IDENTITY").exists(), text)
        # And the whole one is taken where those were refused.
        start_restored(other, dict.fromkeys((1, 2, 3), self.file))

    def test_a_node_restored_from_another_backup_is_kept_out(self):
        self.expect(OK, "put", "later", "value")
        second = self.directory / "second"
        self.backup(second)
        other = self.other_cluster()
        start_restored(other, {1: self.file, 2: self.file, 3: second}, wait=False)
        stranger = other[3]
        wait_until(lambda: any("backup" in line and "refused" in line for node in other for line in node.log_text().splitlines()),
                   20, lambda: f"nobody says that the node is a stranger\n{other.logs()}")
        wait_until(lambda: other[1].says("leader") in (1, 2), 20, other.logs)
        self.assertFalse(stranger.ready())
        self.assertFalse(other[1].ready(), "the cluster is not complete")

    def test_a_target_that_fills_up(self):
        if os.geteuid() != 0:
            self.skipTest("SKIPPED: small file systems need root and mount()")
        target = self.directory / "small"
        target.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", target], check=True)
        try:
            message = self.error_of(OTHER, "backup", target / "file")
            self.assertRegex(message, r"full.* needs \d+ bytes")
            self.assertEqual(list(target.iterdir()), [])
        finally:
            subprocess.run(["umount", target], check=True)


if __name__ == "__main__":
    unittest.main(verbosity=2)
