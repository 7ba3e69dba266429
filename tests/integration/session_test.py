"""Exactly once, and keys that go with their session, against real processes: lost answers, leader changes, restarts, snapshots."""

import time
import unittest

from cluster import ClusterError, wait_until
from support import ClusterTest
from wire import (STRONG, Code, Connection, Lost, NotSent, close_session_command, in_session, increment_command,
                  keep_session_command, open_session_command, operation, put_command, transaction_command)

TTL = 60_000_000
NOT_NOW = {Code.NOT_LEADER, Code.NO_LEADER, Code.SHUTTING_DOWN, Code.SUPERSEDED, Code.DEADLINE, Code.OVERLOADED}


def write(cluster, command, timeout=20):
    """Sends the same command to whoever leads until it is answered: a session's command may be sent as often as one likes."""
    deadline = time.monotonic() + timeout
    last = None
    while time.monotonic() < deadline:
        try:
            with Connection(cluster.leader().address, timeout=3) as connection:
                last = connection.write(command, deadline_ms=1000)
            if last.code not in NOT_NOW:
                return last
        except (Lost, NotSent, ClusterError) as error:
            last = error
        time.sleep(0.05)
    raise ClusterError(f"no answer within {timeout} s: {last}")


def open_session(cluster, ttl_us=TTL):
    reply = write(cluster, open_session_command(ttl_us))
    assert reply.ok and reply.mod_index, reply
    return reply.mod_index


def read(cluster, key):
    with Connection(cluster.leader().address) as connection:
        reply = connection.get(key, STRONG, deadline_ms=5000)
    assert reply.ok, reply
    return reply.value if reply.found else None


class SessionTest(ClusterTest):
    def write(self, command):
        return write(self.cluster, command)

    def expect_once(self, command, key, value):
        """That it has been executed: the answer is the one of then, and nothing changes."""
        reply = self.write(command)
        self.assertTrue(reply.ok, reply)
        self.assertTrue(reply.repeated, reply)
        self.assertEqual(read(self.cluster, key), value)
        return reply


class ExactlyOnce(SessionTest):
    def test_a_command_sent_twice_is_executed_once(self):
        command = in_session(increment_command(b"twice", 5), open_session(self.cluster), 1)
        first = self.write(command)
        self.assertEqual((first.ok, first.repeated, first.number), (True, False, 5))
        again = self.expect_once(command, b"twice", b"5")
        self.assertEqual((again.number, again.mod_index), (5, first.mod_index))
        self.assertEqual(self.write(increment_command(b"twice", 5)).number, 10, "without a session: once more")

    def test_answers_lost_on_the_wire(self):
        session = open_session(self.cluster)
        for seq in range(1, 31):
            command = in_session(increment_command(b"lost"), session, seq, acked_below=seq)
            with Connection(self.cluster.leader().address) as connection:
                connection.send_write(command)
                # Half of the time it is given the time to be executed; else the connection is gone at once.
                time.sleep(0.01 * (seq % 2))
            self.assertTrue(self.write(command).ok)
        self.assertEqual(read(self.cluster, b"lost"), b"30")

    def test_across_leader_changes(self):
        session, sequence = open_session(self.cluster), 0
        for how in ("kill", "pause") * 2:
            leader = self.cluster.leader()
            sequence += 1
            command = in_session(increment_command(b"leaders"), session, sequence)
            with Connection(leader.address) as connection:
                connection.send_write(command)
                time.sleep(0.02 * (sequence % 2))
            getattr(leader, how)()
            self.cluster.wait_another_leader(leader)
            self.assertTrue(self.write(command).ok)
            self.expect_once(command, b"leaders", b"%d" % sequence)
            (leader.start if how == "kill" else leader.resume)()
            self.cluster.wait_ready()
            self.expect_once(command, b"leaders", b"%d" % sequence)

    def test_across_a_restart_of_all(self):
        command = in_session(increment_command(b"restart"), open_session(self.cluster), 1)
        first = self.write(command)
        for node in self.cluster:
            node.kill()
        for node in self.cluster:
            node.start()
        self.cluster.wait_ready()
        again = self.expect_once(command, b"restart", b"1")
        self.assertEqual(again.mod_index, first.mod_index)

    def test_pipelined_in_any_order(self):
        session = open_session(self.cluster)
        for seq in (2, 1, 3):
            self.assertFalse(self.write(in_session(increment_command(b"any"), session, seq)).repeated)
        self.expect_once(in_session(increment_command(b"any"), session, 1), b"any", b"3")

    def test_what_was_given_up_is_not_executed_late(self):
        session = open_session(self.cluster)
        self.assertTrue(self.write(in_session(increment_command(b"gone"), session, 5, acked_below=5)).ok)
        late = self.write(in_session(increment_command(b"gone"), session, 4, acked_below=4))
        self.assertEqual(late.code, Code.SESSION_SEQ_GONE)
        self.assertEqual(read(self.cluster, b"gone"), b"1")

    def test_ordered_writes_leave_no_gap(self):
        session = open_session(self.cluster)
        self.assertTrue(self.write(in_session(increment_command(b"order"), session, 1, ordered=True)).ok)
        refused = self.write(in_session(increment_command(b"order"), session, 3, ordered=True))
        self.assertEqual((refused.code, refused.have, refused.want), (Code.OUT_OF_ORDER, 1, 3))
        self.assertEqual(read(self.cluster, b"order"), b"1")

    def test_a_failed_command_is_remembered_as_failed(self):
        session = open_session(self.cluster)
        self.assertTrue(self.write(put_command(b"text", b"no number")).ok)
        command = in_session(increment_command(b"text"), session, 1)
        self.assertEqual(self.write(command).code, Code.NOT_A_NUMBER)
        self.assertTrue(self.write(put_command(b"text", b"1")).ok)
        again = self.write(command)
        self.assertEqual((again.code, again.repeated), (Code.NOT_A_NUMBER, True))
        self.assertEqual(read(self.cluster, b"text"), b"1")

    def test_a_transaction_is_executed_once(self):
        session = open_session(self.cluster)
        command = in_session(transaction_command([(b"txn/absent", 0)], [operation("increment", b"txn/a", 1),
                                                                        operation("increment", b"txn/b", -1)]), session, 1)
        for _ in range(3):
            self.assertTrue(self.write(command).ok)
        self.assertEqual((read(self.cluster, b"txn/a"), read(self.cluster, b"txn/b")), (b"1", b"-1"))


class ExactlyOnceAcrossSnapshots(SessionTest):
    flags = ("--segment-bytes", "64KiB", "--log-retain", "128KiB", "--log-max", "1MiB")

    def test_a_node_that_knows_the_session_from_a_snapshot_alone(self):
        away = next(node for node in self.cluster if node is not self.cluster.leader())
        away.kill()
        session = open_session(self.cluster)
        command = in_session(increment_command(b"snapshot"), session, 1)
        self.assertTrue(self.write(command).ok)
        lines = "".join(f"fill{n:06}\t{'x' * 400}\n" for n in range(8000)).encode()
        self.expect(0, "import", "--format", "lines", "-", stdin=lines, timeout=120)
        wait_until(lambda: all((node.says("log_first_index") or 0) > session for node in self.cluster.running()), 60,
                   "the log is not cut")
        away.start()
        self.cluster.wait_ready(90)
        self.assertIn("installed a snapshot", away.log_text())
        for _ in range(20):
            leader = self.cluster.leader()
            if leader is away:
                break
            leader.pause()
            try:
                self.cluster.wait_another_leader(leader)
            finally:
                leader.resume()
        self.assertIs(self.cluster.leader(), away, "it never came to lead")
        self.expect_once(command, b"snapshot", b"1")


class Expiry(SessionTest):
    def test_attached_keys_go_with_their_session_and_not_before(self):
        ttl = 2.0
        session = open_session(self.cluster, round(ttl * 1e6))
        self.assertTrue(self.write(in_session(put_command(b"attached", b"v", attach=True), session, 1)).ok)
        for _ in range(6):  # three times as long as it would have lived
            time.sleep(1)
            began = time.monotonic()
            self.assertTrue(self.write(keep_session_command(session)).ok)
        self.assertEqual(read(self.cluster, b"attached"), b"v")
        wait_until(lambda: read(self.cluster, b"attached") is None, ttl + 10, "it outlives its session")
        self.assertGreater(time.monotonic() - began, ttl - 0.05, "it went before its time")
        self.assertEqual(self.write(in_session(increment_command(b"x"), session, 2)).code, Code.SESSION_EXPIRED)
        self.assertEqual(self.write(keep_session_command(session)).code, Code.SESSION_EXPIRED)
        self.assertIsNone(read(self.cluster, b"x"))

    def test_closing_a_session_deletes_at_once(self):
        session = open_session(self.cluster)
        self.assertTrue(self.write(in_session(put_command(b"closed", b"v", attach=True), session, 1)).ok)
        self.assertTrue(self.write(close_session_command(session)).ok)
        self.assertIsNone(read(self.cluster, b"closed"))

    def test_a_key_written_by_another_meanwhile_stays(self):
        session = open_session(self.cluster)
        self.assertTrue(self.write(in_session(put_command(b"taken", b"v", attach=True), session, 1)).ok)
        self.assertTrue(self.write(put_command(b"taken", b"over")).ok)
        self.assertTrue(self.write(close_session_command(session)).ok)
        self.assertEqual(read(self.cluster, b"taken"), b"over")

    def test_a_session_lives_through_a_leader_change(self):
        """The clock stands still while nobody leads, and goes on with the next leader."""
        session = open_session(self.cluster, 3_000_000)
        leader = self.cluster.leader()
        leader.kill()
        self.cluster.wait_another_leader(leader)
        self.assertTrue(self.write(in_session(increment_command(b"lives"), session, 1)).ok)
        leader.start()
        self.cluster.wait_ready()

    def test_bad_sessions_are_refused(self):
        for ttl in (0, 999_999, 3_600_000_001, 2**63):
            self.assertEqual(self.write(open_session_command(ttl)).code, Code.INVALID, ttl)
        never = 2**60
        self.assertEqual(self.write(in_session(increment_command(b"x"), never, 1)).code, Code.SESSION_EXPIRED)
        self.assertEqual(self.write(put_command(b"x", b"v", attach=True)).code, Code.INVALID, "attached to no session")
        self.assertEqual(self.write(in_session(increment_command(b"x"), open_session(self.cluster), 0)).code, Code.INVALID)


if __name__ == "__main__":
    unittest.main(verbosity=2)
