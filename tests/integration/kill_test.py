"""A few rounds of kill -9 under load (jepsen/kill_rounds.py), and the controls that its checks must report."""

import os
import signal
import subprocess
import sys
import tempfile
import unittest

import kill_rounds
from cluster import ROOT, wait_until


def execute(*arguments):
    return kill_rounds.execute(kill_rounds.parse_arguments([*arguments, "--seconds", "0.7"]), print)


class KillRounds(unittest.TestCase):
    def test_no_acknowledged_write_lost_and_no_wrong_read(self):
        result = execute("--rounds", "8", "--limit", "5")  # other tests share the machine: patience, not a promise
        print({name: value for name, value in result.items() if name != "violations"})
        self.assertEqual(result["violations"], [])
        self.assertGreater(result["acknowledged"], 200)
        self.assertGreater(result["strong_reads"], 100)
        self.assertEqual(len(result["failover_seconds"]), 4)

    def test_the_same_with_logs_that_are_cut_and_snapshots(self):
        result = execute("--rounds", "3", "--kinds", "install,all,install", "--small-logs", "--limit", "5")
        print({name: value for name, value in result.items() if name != "violations"})
        self.assertEqual(result["violations"], [])
        self.assertGreater(result["acknowledged"], 200)

    def test_control_lost_write_is_reported(self):
        result = execute("--rounds", "1", "--limit", "5", "--control", "lose-write")
        self.assertEqual({text.split(" of ")[0] for text in result["violations"]}, {"acknowledged write"})
        self.assertEqual(len(result["violations"]), 3, "through each node")

    def test_control_stale_read_is_reported(self):
        result = execute("--rounds", "1", "--limit", "5", "--control", "stale-read")
        self.assertTrue(result["violations"] and all("strong read of" in text for text in result["violations"]))

    def test_control_slow_failover_is_reported(self):
        result = execute("--rounds", "1", "--kinds", "leader", "--limit", "2", "--control", "slow-failover")
        self.assertTrue(any("after the leader was gone" in text for text in result["violations"]), result)


class Supervisor(unittest.TestCase):
    def test_nothing_is_left_running_when_the_harness_is_killed(self):
        directory = tempfile.TemporaryDirectory()  # a killed harness cannot remove its own
        self.addCleanup(directory.cleanup)
        harness = subprocess.Popen([sys.executable, ROOT / "jepsen" / "kill_rounds.py", "--rounds", "50"],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                   env={**os.environ, "TMPDIR": directory.name})
        self.addCleanup(harness.kill)
        nodes = wait_until(lambda: len(children(harness.pid)) == 3 and children(harness.pid), 20, "the harness starts no nodes")
        harness.send_signal(signal.SIGKILL)
        harness.wait()
        wait_until(lambda: not any(map(running, nodes)), 5, f"still running: {nodes}")


def running(pid):
    """A dead process that its new parent has not reaped, as some containers' first process never does, is not running."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def children(pid):
    out = []
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/children", encoding="ascii") as listing:
            out += map(int, listing.read().split())
    return out


if __name__ == "__main__":
    unittest.main(verbosity=2)
