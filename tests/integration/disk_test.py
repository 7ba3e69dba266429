"""Disks that fill up, and bytes that change: real processes on small file systems of their own (needs root for the mounts)."""

import os
import pathlib
import shutil
import subprocess
import time
import unittest

from cluster import Cluster, wait_until
from support import NOT_FOUND, OK, REFUSED, ClusterTest

SMALL = ("--memtable-bytes", "4MiB", "--segment-bytes", "1MiB", "--log-retain", "4MiB", "--log-max", "8MiB", "--min-free-bytes", "8MiB")


def can_mount():
    if os.geteuid() != 0:
        return False
    probe = pathlib.Path("/tmp") / f"quorate-mount-{os.getpid()}"
    probe.mkdir()
    try:
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1M", "tmpfs", probe], capture_output=True, check=False)
        if done.returncode == 0:
            subprocess.run(["umount", probe], check=True)
        return done.returncode == 0
    finally:
        probe.rmdir()


@unittest.skipUnless(can_mount(), "SKIPPED: small file systems need root and mount()")
class FullDisks(unittest.TestCase):
    size = "96M"

    def setUp(self):
        self.cluster = Cluster(3, flags=SMALL)
        self.addCleanup(self.unmount)
        for node in self.cluster:
            node.data_dir.mkdir()
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={self.size}", "tmpfs", node.data_dir], check=True)
        self.cluster.__enter__()
        self.cluster.wait_ready()
        self.written = 0

    def unmount(self):
        for node in self.cluster:
            node.kill()
            subprocess.run(["umount", "-l", node.data_dir], check=False, stderr=subprocess.DEVNULL)
        self.cluster.stop()

    def fill(self, node, leave=1 << 20):
        """A stranger's file takes all but a little of the node's disk."""
        free = shutil.disk_usage(node.data_dir).free
        with open(node.data_dir / "filler", "wb") as filler:
            filler.write(b"x" * max(free - leave, 0))

    def empty(self, node):
        (node.data_dir / "filler").unlink()

    def put(self):
        """One write; its exit code and message. Acknowledged ones are counted."""
        code, _, err = self.cluster.quorate("put", f"key{self.written:06d}", "v" * 1000, "--deadline", "5s")
        if code == OK:
            self.written += 1
        return code, err.decode()

    def check_all_there(self):
        for node in self.cluster:
            code, out, err = self.cluster.quorate("scan", "--count", ids=(node.id,))
            self.assertEqual((code, int(out or -1)), (OK, self.written), err)

    def wait_full(self, node, full):
        wait_until(lambda: node.says("disk_full") == full, 20, lambda: f"{node.status()}\n{node.log_tail()}")

    def test_a_full_leader_hands_over_and_writes_go_on(self):
        self.assertEqual(self.put()[0], OK)
        leader = self.cluster.leader()
        self.fill(leader)
        self.wait_full(leader, True)
        wait_until(lambda: self.cluster.leader_id() not in (None, leader.id), 10, self.cluster.logs)
        for _ in range(20):
            self.assertEqual(self.put()[0], OK)
        self.empty(leader)
        self.wait_full(leader, False)
        self.cluster.wait_ready()
        self.check_all_there()
        self.assertIn("is full", leader.log_text())
        self.assertIn("has room again", leader.log_text())

    def test_without_a_quorum_of_disks_writes_are_refused_reads_go_on_and_it_recovers_by_itself(self):
        self.assertEqual(self.put()[0], OK)
        for node in self.cluster:
            self.fill(node)
            self.wait_full(node, True)
        begun = time.monotonic()
        code, message = wait_until(lambda: (lambda answer: answer[0] != OK and answer)(self.put()), 10, "writes go on")
        self.assertEqual(code, REFUSED, message)
        self.assertRegex(message, "disk|room|full")
        self.assertLess(time.monotonic() - begun, 10, "refused, not left waiting")
        self.assertEqual(self.cluster.quorate("get", "key000000", "--read", "strong")[0], OK)
        for node in self.cluster:
            self.empty(node)
        wait_until(lambda: self.put()[0] == OK, 20, self.cluster.logs)
        self.cluster.check_alive()
        self.cluster.wait_ready()
        self.check_all_there()

    def test_filled_up_by_its_own_writes(self):
        """Nobody else's file: the data itself outgrows the disk. No node may end, no acknowledged write be lost."""
        for _ in range(6):
            code, _, err = self.cluster.quorate("bench", "--workload", "put", "--value-size", "16384", "--keys", "100000",
                                                "--no-preload", "--clients", "32", "--duration", "4s", "--warmup", "0s",
                                                "--seed", str(time.monotonic_ns() % 10**6), timeout=60)
            if any(node.says("disk_full") for node in self.cluster):
                break
        else:
            self.skipTest(f"SKIPPED: the disks never filled up: {code} {err}")
        self.cluster.check_alive()
        for node in self.cluster:  # and a restart on the full disk works
            node.kill()
        for node in self.cluster:
            node.start()
        time.sleep(2)
        self.cluster.check_alive()
        for node in self.cluster:  # an operator makes room
            subprocess.run(["mount", "-o", "remount,size=512M", node.data_dir], check=True)
        self.cluster.wait_ready(60)
        wait_until(lambda: self.put()[0] == OK, 20, self.cluster.logs)
        counts = {int(self.cluster.quorate("scan", "--count", ids=(node.id,))[1]) for node in self.cluster}
        self.assertEqual(len(counts), 1, counts)

    def test_kill_9_on_full_disks(self):
        for node in self.cluster:
            self.fill(node, leave=300_000)
        for node in self.cluster:
            self.wait_full(node, True)
        for node in self.cluster:
            node.kill()
        for node in self.cluster:
            node.start()
        self.cluster.wait_ready(60)
        self.assertEqual(self.cluster.quorate("scan", "--count", "--read", "strong")[0], OK)


class Damage(ClusterTest):
    @classmethod
    def setUpClass(cls):
        pass  # a cluster for each test: damage lasts

    def setUp(self):
        self.cluster = Cluster(3)
        self.addCleanup(self.cluster.stop)
        self.cluster.__enter__()
        self.cluster.wait_ready()

    def restart_damaged(self, victim, path, offset):
        """Flips one bit of a stopped node's file and starts the node again."""
        victim.kill()
        with open(path, "r+b") as damaged:
            damaged.seek(offset)
            byte = damaged.read(1)
            damaged.seek(offset)
            damaged.write(bytes([byte[0] ^ 0x10]))
        victim.start()

    def test_a_flipped_bit_of_the_log_keeps_the_node_out(self):
        for number in range(50):
            self.expect(OK, "put", f"a{number}", "x" * 100)
        leader = self.cluster.leader()
        victim = next(node for node in self.cluster if node.id != leader.id)
        segment = sorted((victim.data_dir / "log").glob("*.log"))[0]
        self.restart_damaged(victim, segment, 1000)
        code = wait_until(lambda: victim.process.poll(), 20, "the node runs on a damaged log")
        self.assertNotEqual(code, 0)
        self.assertIn("damaged", victim.log_text())
        self.expect(OK, "put", "b", "others go on")
        # Repaired: it takes part again.
        self.restart_damaged(victim, segment, 1000)
        self.cluster.wait_ready()

    def test_a_flipped_bit_of_the_database_is_never_served(self):
        self.expect(OK, "import", "-", "--format", "lines",
                    stdin="".join(f"d{number:06d}\t{'y' * 200}\n" for number in range(5000)).encode())
        leader = self.cluster.leader()
        victim = next(node for node in self.cluster if node.id != leader.id)
        self.assertEqual(victim.terminate(), 0)  # flushes
        tables = sorted(victim.data_dir.glob("db-*/*.sst"), key=lambda path: path.stat().st_size)
        self.restart_damaged(victim, tables[-1], tables[-1].stat().st_size // 3)

        def noticed():
            if not victim.running:
                return True
            code, out, _ = self.quorate("scan", "d", "--read", "eventual", ids=(victim.id,))
            self.assertTrue(code != OK or set(line.split(b"\t")[1] for line in out.splitlines()) == {b"y" * 200}, "damage was served")
            return False
        wait_until(noticed, 30, "the damage is not noticed")
        victim.process.wait()
        self.assertRegex(victim.log_text(), "damage|checksum|orrupt")
        victim.start()
        self.assertNotEqual(wait_until(lambda: victim.process.poll(), 20, "a quarantined node starts again"), 0)
        self.expect(OK, "put", "c", "others go on")


if __name__ == "__main__":
    unittest.main(verbosity=2)
