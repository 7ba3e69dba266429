"""What replies claim of their own freshness, under pauses, partitions, kills and wrong clocks: every reply of every test goes
through the audit of jepsen/freshness.py. QUORATE_LONG=1 pauses for longer and changes leaders a hundred times."""

import copy
import os
import random
import tempfile
import threading
import time
import unittest

import freshness
from cluster import wait_until
from freshness import Read
from levels import LevelLoad, key_of
from nemesis.clocks import LIBRARY
from support import ClusterTest
from wire import EVENTUAL, STRONG, Code, Connection, Freshness, Token, bounded, put_command, session

LONG = bool(os.environ.get("QUORATE_LONG"))
LEADER_CHANGES = int(os.environ.get("QUORATE_LEADER_CHANGES", 100 if LONG else 12))
ELECTION_TIMEOUT = 1.0  # the largest that is drawn
MARGIN = 1.0            # for a machine that does other things, too


def ask(node, level, key=b"k", deadline_ms=2000):
    """One read, as the audit wants it."""
    with Connection(node.address, timeout=10) as connection:
        start = time.monotonic()
        reply = connection.get(key, level, deadline_ms)
        return Read(key, node.id, start, time.monotonic(), level, reply)


class FreshnessTest(ClusterTest):
    def audit(self, load, *more):
        violations = freshness.audit(load.writes, [*load.reads, *more])
        self.assertEqual(violations[:10], [], f"{len(violations)} violations")
        print(f"  {len(load.writes)} writes, {len(load.reads)} reads: {freshness.shares(load.reads)}")

    def follower(self):
        leader = self.cluster.leader()
        return next(node for node in self.cluster if node is not leader)


class Healthy(FreshnessTest):
    def test_bounds_are_served_by_every_node_itself(self):
        """A node that always refuses would pass every audit."""
        for node in self.cluster:
            reads = [ask(node, bounded(0.5, on_unmet="refuse")) for _ in range(30)]
            self.assertEqual({read.reply.code for read in reads}, {Code.OK}, [read.reply.message for read in reads])
            self.assertEqual({read.reply.certificate.basis for read in reads}, {"anchor"})
            self.assertFalse(any(read.reply.certificate.via_leader for read in reads))

    def test_every_level_under_load_tells_the_truth_and_a_lie_is_found(self):
        with LevelLoad(self.cluster, seed=time.time()) as load:
            time.sleep(3)
        self.audit(load)
        shares = freshness.shares(load.reads)
        self.assertEqual(set(shares), {"strong", "bounded", "session", "eventual"})
        for level, counts in shares.items():
            served = sum(count for outcome, count in counts.items() if outcome.islower())
            self.assertGreater(served, 0.9 * sum(counts.values()), (level, counts))
        # The control: one age, changed to less than what has passed since the first write that the reply missed.
        reads, acknowledged = copy.deepcopy(load.reads), freshness.Acknowledged(load.writes)
        lie = next(read for read in reads if read.reply.ok and read.reply.certificate.age_us
                   and (missed := acknowledged.before(read.start)) and missed.index > read.reply.certificate.applied_index)
        lie.reply.certificate.age_us = 0
        self.assertRegex(freshness.audit(load.writes, reads)[0], "claimed to be at most 0.000 s old .* and missed index")

    def test_multi_get_is_one_state(self):
        """Of two keys that are written in turn, the second is never seen ahead of the first, nor behind by more than one."""
        stop = threading.Event()

        def write():
            with Connection(self.cluster.leader().address) as connection:
                count = 0
                while not stop.is_set():
                    count += 1
                    for key in (b"pair/a", b"pair/b"):
                        connection.put(key, b"%d" % count)
        thread = threading.Thread(target=write)
        thread.start()
        try:
            for node in self.cluster:
                with Connection(node.address) as connection:
                    for _ in range(100):
                        reply, items = connection.multi_get([b"pair/a", b"pair/b"], EVENTUAL)
                        self.assertTrue(reply.ok, reply.message)
                        a, b = (int(items.get(key, (b"0", 0))[0]) for key in (b"pair/a", b"pair/b"))
                        self.assertIn(a - b, (0, 1), f"node {node.id} at index {reply.certificate.applied_index}")
        finally:
            stop.set()
            thread.join()

    def test_bounds_below_what_can_be_served_are_refused_with_the_numbers(self):
        read = ask(self.follower(), bounded(0.000001, on_unmet="refuse"))
        self.assertEqual(read.reply.code, Code.STALE)
        self.assertGreater(read.reply.age_us, 1)
        self.assertTrue(read.reply.message)
        self.assertTrue(ask(self.follower(), bounded(0.000001)).reply.ok, "waiting, the leader confirms it")

    def test_bad_levels_are_invalid_and_say_what_is_wrong(self):
        for level in (Freshness(max_age_us=86_400_000_001), Freshness(max_age_us=2**63), Freshness(max_lag=3),
                      Freshness(max_age_us=0, max_lag=3)):
            read = ask(self.cluster[1], level)
            self.assertEqual(read.reply.code, Code.INVALID, level)
            self.assertTrue(read.reply.message)

    def test_tokens_of_other_histories_and_of_the_future(self):
        with Connection(self.follower().address) as connection:
            seen = connection.token(connection.get(b"k", STRONG))
            other = Token(seen.cluster_id, seen.incarnation ^ 1, seen.term, seen.index)
            self.assertEqual(connection.get(b"k", session(other)).code, Code.DIVERGED)
            foreign = Token(seen.cluster_id ^ 1, seen.incarnation, seen.term, seen.index)
            self.assertIn(connection.get(b"k", session(foreign)).code, (Code.DIVERGED, Code.WRONG_CLUSTER))
            future = Token(seen.cluster_id, seen.incarnation, seen.term, seen.index + 10**6)
            began = time.monotonic()
            read = Read(b"k", 0, began, 0, session(future), connection.get(b"k", session(future), deadline_ms=2000))
            self.assertEqual(read.reply.code, Code.FUTURE_TOKEN, read.reply.message)
            self.assertLess(time.monotonic() - began, 1.5)
            self.assertEqual(freshness.refusals([], [read]), [])

    def test_refusals_are_explained_too(self):
        for level in (Freshness(max_age_us=1, on_unmet="refuse", explain=True), Freshness(max_age_us=500_000, explain=True)):
            self.assertTrue(ask(self.follower(), level).reply.explained)


class Paused(FreshnessTest):
    def test_a_follower_that_slept_under_writes_tells_the_truth_when_it_wakes(self):
        """Its sockets are full of old heartbeats, and one of our own requests, when it goes on."""
        pause, bound = (10, 5) if LONG else (3, 1)
        node = self.follower()
        with LevelLoad(self.cluster, seed=time.time()) as load, Connection(node.address, timeout=20) as connection:
            time.sleep(0.5)
            node.pause()
            time.sleep(pause)
            level, first = bounded(bound, on_unmet="refuse"), {}

            def read():
                first["start"] = time.monotonic()
                first["reply"] = connection.get(key_of(0, 0), level, deadline_ms=5000)
                first["end"] = time.monotonic()
            thread = threading.Thread(target=read)
            thread.start()
            time.sleep(0.2)  # the request lies in the node's socket now
            node.resume()
            resumed = time.monotonic()
            thread.join()
            time.sleep(1)
        reply = first["reply"]
        self.assertEqual(reply.code, Code.STALE, f"{reply.certificate} {reply.message}")
        self.assertGreater(reply.age_us, bound * 1e6)
        self.audit(load, Read(key_of(0, 0), node.id, first["start"], first["end"], level, reply))
        served = [read for read in load.reads if read.node == node.id and read.start > resumed and read.reply.ok]
        self.assertGreater(len(served), 20, "it serves again")

    def test_a_leader_that_slept_is_deposed_and_claims_nothing_false(self):
        leader = self.cluster.leader()
        with LevelLoad(self.cluster, seed=time.time()) as load:
            time.sleep(0.5)
            leader.pause()
            self.cluster.wait_another_leader(leader)
            time.sleep(1)
            leader.resume()
            time.sleep(1)
        self.audit(load)


class CutOff(FreshnessTest):
    """Of three nodes, the leader alone goes on."""

    def setUp(self):
        self.cluster.wait_ready()
        with Connection(self.cluster.leader().address) as connection:
            self.assertTrue(connection.put(b"k", b"v").ok)
        self.leader = self.cluster.leader()
        self.others = [node for node in self.cluster if node is not self.leader]
        wait_until(lambda: ask(self.leader, bounded(0.5, on_unmet="refuse")).reply.ok, 10, "no bounded read before the cut")
        for node in self.others:
            node.pause()
        self.cut = time.monotonic()

    def tearDown(self):
        for node in self.others:
            node.resume()
        self.cluster.wait_ready()

    def test_strong_reads_are_refused_within_an_election_timeout(self):
        read = ask(self.leader, STRONG, deadline_ms=10_000)
        self.assertIn(read.reply.code, (Code.NO_QUORUM, Code.NO_LEADER, Code.LEADER_CHANGED, Code.NOT_LEADER))
        self.assertLess(read.end - read.start, ELECTION_TIMEOUT + MARGIN)
        time.sleep(0.5)
        again = ask(self.leader, STRONG, deadline_ms=10_000)
        self.assertFalse(again.reply.ok)
        self.assertLess(again.end - again.start, ELECTION_TIMEOUT + MARGIN)

    def test_no_read_outlives_its_deadline(self):
        read = ask(self.leader, STRONG, deadline_ms=100)
        self.assertFalse(read.reply.ok)
        self.assertLess(read.end - read.start, 0.1 + MARGIN / 2)

    def test_bounded_reads_are_refused_after_their_bound_and_eventual_ones_go_on(self):
        reads = []
        while time.monotonic() - self.cut < 2.5:
            reads += [ask(self.leader, bounded(1, on_unmet="refuse"), deadline_ms=200), ask(self.leader, EVENTUAL)]
            time.sleep(0.02)
        for read in reads:
            since = read.start - self.cut
            if read.level is EVENTUAL:
                self.assertTrue(read.reply.ok, read.reply.message)
                self.assertEqual(read.reply.value, b"v")
            elif since > 1.05:
                self.assertEqual(read.reply.code, Code.STALE, f"{since:.3f} s after the cut: {read.reply}")
            elif since < 0.5:
                self.assertTrue(read.reply.ok, read.reply.message)
            age = read.reply.certificate.age_us if read.reply.ok else read.reply.age_us
            # What was confirmed last was confirmed before the cut, or by what was on its way.
            self.assertGreater(age / 1e6, since - 0.15, f"{read} {read.reply}")
        self.assertTrue(any(not read.reply.ok for read in reads))
        self.assertEqual(freshness.audit([], reads), [])


class Restarts(FreshnessTest):
    """Memtables so large that nothing is flushed: after kill -9 a database is far behind what its node has served."""

    def test_no_node_serves_behind_its_own_past(self):
        seed = int(time.time())
        chance = random.Random(seed)
        with LevelLoad(self.cluster, seed=seed, levels=(EVENTUAL, "session", bounded(0.5), STRONG)) as load:
            for _ in range(20 if LONG else 5):
                time.sleep(0.7)
                victims = chance.choice([[chance.choice(list(self.cluster))], list(self.cluster)])
                for node in victims:
                    node.kill()
                for node in victims:
                    node.start()
                self.cluster.wait_ready()
        print(f"  seed {seed}")
        self.audit(load)
        for node in self.cluster:
            self.assertTrue(ask(node, EVENTUAL).reply.ok, "caught up, it serves again")

    def test_a_token_survives_leader_changes(self):
        tokens = []
        for change in range(LEADER_CHANGES):
            leader = self.cluster.leader()
            with Connection(leader.address) as connection:
                reply = connection.write(put_command(b"token", b"%d" % change), deadline_ms=5000)
            self.assertTrue(reply.ok, reply.message)
            tokens.append(connection.token(reply))
            pause = change % 2
            (leader.pause if pause else leader.kill)()
            self.cluster.wait_another_leader(leader)
            for node in self.cluster:
                if node is leader:
                    continue
                for token, least in ((tokens[0], 0), (tokens[-1], change)):
                    read = ask(node, session(token), b"token", deadline_ms=5000)
                    self.assertTrue(read.reply.ok, f"change {change}, node {node.id}: {read.reply}")
                    self.assertGreaterEqual(int(read.reply.value), least)
                    self.assertEqual(freshness.promises([read]), [])
            (leader.resume if pause else leader.start)()
            self.cluster.wait_ready()
        for node in self.cluster:
            for token in (tokens[0], tokens[-1]):
                self.assertTrue(ask(node, session(token), b"token").reply.ok)


@unittest.skipUnless(LIBRARY, "no libfaketime here (Debian package faketime)")
class WallClock(FreshnessTest):
    """One node's wall clock moves by an hour, either way, under load. Its CLOCK_BOOTTIME is not touched."""

    def test_nothing_changes(self):
        node = self.follower()
        with tempfile.NamedTemporaryFile("w", suffix=".offset") as offset:
            def wall_clock(text):
                offset.seek(0)
                offset.truncate()
                offset.write(text)
                offset.flush()
            wall_clock("+0")
            node.kill()
            node.environment = {"LD_PRELOAD": LIBRARY, "FAKETIME_TIMESTAMP_FILE": offset.name, "FAKETIME_NO_CACHE": "1",
                        "FAKETIME_DONT_FAKE_MONOTONIC": "1", "FAKETIME_DONT_RESET": "1"}
            node.start()
            self.cluster.wait_ready()
            term = node.status()["term"]
            with LevelLoad(self.cluster, seed=time.time()) as load:
                for text in ("+3600", "-3600", "+0"):
                    wall_clock(text)
                    time.sleep(1)
            self.audit(load)
            self.assertEqual(node.status()["term"], term, "no election")
            refused = [read for read in load.reads if read.node == node.id and not read.reply.ok]
            self.assertLess(len(refused), 0.1 * sum(read.node == node.id for read in load.reads), refused[:3])
            wall_clock("+3600")
            self.assertRegex(self.moved_hour(node), "moved", "the control: the node does see another time of day")
        node.kill()
        node.environment = {}
        node.start()
        self.cluster.wait_ready()

    @staticmethod
    def moved_hour(node):
        """Its log's newest line bears a time of day that is not ours."""
        node.signal(0)
        with Connection(node.address):
            pass
        ours = time.strftime("%H:", time.gmtime()), time.strftime("%H:", time.localtime())
        node.terminate()
        last = node.log_text().splitlines()[-1]
        return "moved" if not any(hour in last[:24] for hour in ours) else last


if __name__ == "__main__":
    unittest.main(verbosity=2)
