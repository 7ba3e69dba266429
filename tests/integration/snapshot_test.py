"""Snapshots between real processes: a node that was away longer than the log reaches back, killed while it fetches and
installs, and logs that are cut while everything runs."""

import random
import time
import unittest

from cluster import wait_until
from support import OK, ClusterTest

# Logs of a few segments, looked at once a second, so that a few megabytes are enough to cut them.
SMALL_LOGS = ("--segment-bytes", "64KiB", "--log-retain", "128KiB", "--log-max", "1MiB")


def lines(first, count, size=200):
    """Records for `quorate import --format lines`."""
    return "".join(f"key{number:08d}\t{number:0{size}d}\n" for number in range(first, first + count)).encode()


class Snapshots(ClusterTest):
    flags = SMALL_LOGS + ("--snapshot-rate", "2MiB")

    def load(self, first, count):
        self.expect(OK, "import", "-", "--format", "lines", stdin=lines(first, count), timeout=120)

    def content(self, node_id):
        return self.expect(OK, "scan", "--read", "strong", ids=(node_id,), timeout=60)

    def wait_for_cut(self, beyond):
        """Until no node's log reaches back to this index."""
        running = self.cluster.running()
        wait_until(lambda: all((node.says("log_first_index") or 0) > beyond for node in running), 60,
                   lambda: f"the log is not cut beyond {beyond}: {[node.status() for node in running]}")

    def wait_caught_up(self, node):
        # A leader that has just been killed is still the one that the others name.
        commit = wait_until(lambda: (self.cluster.leader().status() or {}).get("commit"), 30, "no leader answers")

        def caught_up():
            self.cluster.check_alive()
            status = node.status()
            return status and status["applied"] >= commit and node.ready()
        wait_until(caught_up, 120, lambda: f"node {node.id} does not catch up: {node.status()}\n" + self.cluster.logs())

    def away(self, count):
        """A follower is killed, the others go on and cut their logs beyond what it has."""
        leader = self.cluster.leader()
        victim = next(node for node in self.cluster if node.id != leader.id)
        had = victim.status()["last_index"]
        victim.kill()
        self.load(random.randrange(10**7), count)
        self.wait_for_cut(had + 1)
        return victim

    def test_a_node_that_was_away_comes_back_by_snapshot(self):
        victim = self.away(8_000)
        victim.start()
        self.wait_caught_up(victim)
        self.assertIn("installed a snapshot", victim.log_text())
        self.assertEqual(self.content(victim.id), self.content(self.cluster.leader().id))

    def test_kill_9_at_any_moment_of_fetching_and_installing(self):
        seed = int(time.time())
        moments = random.Random(seed)
        victim = self.away(12_000)
        for _ in range(8):
            victim.start()
            time.sleep(moments.uniform(0.05, 1.2))
            victim.kill()
        victim.start()
        self.wait_caught_up(victim)
        self.assertEqual(self.content(victim.id), self.content(self.cluster.leader().id), f"seed {seed}")

    def test_all_nodes_killed_after_their_logs_were_cut(self):
        self.load(random.randrange(10**7), 5_000)
        before = self.content(self.cluster.leader().id)
        self.wait_for_cut(1)
        for node in self.cluster:
            node.kill()
        for node in self.cluster:
            node.start()
        self.cluster.wait_ready(60)
        for node in self.cluster:
            self.assertEqual(self.content(node.id), before, f"node {node.id}")

    def test_the_source_is_killed_while_it_is_fetched_from(self):
        victim = self.away(12_000)
        victim.start()
        wait_until(lambda: "snapshot" in (victim.status() or {}) or victim.ready(), 30, "nothing is fetched")
        source = self.cluster.leader()
        source.kill()
        source.start()
        self.wait_caught_up(victim)
        self.assertEqual(self.content(victim.id), self.content(self.cluster.leader().id))


if __name__ == "__main__":
    unittest.main(verbosity=2)
