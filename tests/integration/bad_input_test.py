"""Garbage, half frames, huge lengths and silent connections at every port, while a client works undisturbed."""

import random
import resource
import socket
import struct
import threading
import time
import unittest

import wire
from cluster import wait_until
from support import ClusterTest
from wire import Code, Connection, NotSent

CONNECTIONS = 1000


MOVED = (Code.NOT_LEADER, Code.NO_LEADER, Code.LEADER_CHANGED, Code.NO_QUORUM, Code.SUPERSEDED)


class Bystander(threading.Thread):
    """A client at work meanwhile: nothing may fail or take long for it, but for an election that a busy machine brings."""

    def __init__(self, cluster):
        super().__init__(daemon=True)
        self.cluster, self.stopping, self.slowest, self.count, self.failure = cluster, threading.Event(), 0.0, 0, None
        self.elections = 0

    def run(self):
        try:
            while not self.stopping.is_set():
                with Connection(self.cluster.leader().address, timeout=10) as connection:
                    self.work(connection)
        except Exception as error:  # pylint: disable=broad-except
            self.failure = error

    def work(self, connection):
        """Until it is to stop, or its node no longer leads."""
        while not self.stopping.wait(0.002):
            began = time.monotonic()
            written = connection.put(b"bystander", b"%d" % self.count, deadline_ms=5000)
            reply = connection.get(b"bystander", deadline_ms=5000)
            if written.code in MOVED or reply.code in MOVED:
                self.elections += 1
                return
            self.slowest = max(self.slowest, time.monotonic() - began)
            if not written.ok or not reply.ok or reply.value != b"%d" % self.count:
                raise AssertionError(f"{written} then {reply}")
            self.count += 1

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.join()


def throw(port, data, linger=0.0, read=False):
    """Sends `data`, perhaps waits, and returns what came back ('' if the peer closed or said nothing)."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as peer:
        try:
            peer.sendall(data)
            if read:
                return peer.recv(65536)
            time.sleep(linger)
        except (ConnectionError, TimeoutError):
            pass
    return b""


def closed_within(peer, seconds):
    """True if the server closes the connection (a last reply may precede it)."""
    peer.settimeout(seconds)
    try:
        while peer.recv(65536):
            pass
        return True
    except ConnectionError:
        return True
    except TimeoutError:
        return False


class BadInput(ClusterTest):
    def setUp(self):
        self.random = random.Random(self.id())
        self.leader = self.cluster.leader()
        self.bystander = Bystander(self.cluster)
        self.bystander.__enter__()

    def tearDown(self):
        count = self.bystander.count
        wait_until(lambda: self.bystander.count > count + 1 or self.bystander.failure, 10, "the bystander is stuck")
        self.bystander.__exit__()
        self.assertIsNone(self.bystander.failure)
        self.assertLess(self.bystander.elections, 3)
        # An election would take at least half a second; a busy machine gets some patience.
        self.assertLess(self.bystander.slowest, 3.0)
        self.cluster.check_alive()
        self.assertEqual(len(self.cluster.running()), 3)

    def ports(self):
        return (self.leader.client_port, self.leader.peer_port, self.leader.http_port)

    def test_random_bytes_at_every_port(self):
        for _ in range(100):
            for port in self.ports():
                throw(port, self.random.randbytes(self.random.choice((1, 3, 20, 300, 5000))))

    def test_random_bytes_after_a_good_hello(self):
        for _ in range(100):
            throw(self.leader.client_port, wire.hello_frame() + self.random.randbytes(self.random.randint(1, 2000)))

    def test_mutated_frames(self):
        good = wire.frame(wire.WRITE, 1, wire.encode((1, 500)), wire.put_command(b"mutated", b"value"))
        for _ in range(300):
            data = bytearray(good)
            for _ in range(self.random.randint(1, 3)):
                data[self.random.randrange(4, len(data))] = self.random.randrange(256)
            throw(self.leader.client_port, wire.hello_frame() + bytes(data))

    def test_half_frames(self):
        whole = wire.hello_frame() + wire.frame(wire.GET, 1, b"", b"key")
        for port in self.ports():
            for cut in range(1, len(whole)):
                throw(port, whole[:cut])

    def test_huge_lengths_are_refused_at_once(self):
        for length in (0xFFFFFFFF, 0x7FFFFFFF, 64 << 20, 9 << 20, 0, 1):
            for port in (self.leader.client_port, self.leader.peer_port):
                with self.subTest(length=length, port=port), socket.create_connection(("127.0.0.1", port), timeout=5) as peer:
                    peer.sendall(struct.pack("<IBBHQI", length, wire.VERSION, wire.HELLO, 0, 1, 4))
                    self.assertTrue(closed_within(peer, 10))

    def test_unknown_types_and_versions(self):
        for data in (wire.frame(99, 1, b""), wire.frame(wire.HELLO, 1, b"", flags=0xFFFF), wire.hello_frame(protocol=77)):
            with self.subTest(data), socket.create_connection(self.leader.address, timeout=5) as peer:
                peer.sendall(data)
                self.assertTrue(closed_within(peer, 10))
        with Connection(self.leader.address) as connection:
            self.assertIn(connection.call_many([(99, b"", b"")])[0].code, (Code.UNSUPPORTED, Code.PROTOCOL))

    def test_a_request_before_hello(self):
        with socket.create_connection(self.leader.address, timeout=5) as peer:
            peer.sendall(wire.frame(wire.GET, 1, b"", b"key"))
            self.assertTrue(closed_within(peer, 10))

    def test_a_wrong_cluster_id(self):
        with self.assertRaises(NotSent) as caught:
            Connection(self.leader.address, cluster_id=12345)
        self.assertIn("WRONG_CLUSTER", str(caught.exception))

    def test_limits_are_enforced_by_the_server_too(self):
        with Connection(self.leader.address) as connection:
            cases = ((wire.put_command(b"", b"v"), Code.INVALID), (wire.put_command(b"k" * 4097, b"v"), Code.TOO_LARGE),
                     (wire.put_command(b"k", b"v" * ((1 << 20) + 1)), Code.TOO_LARGE), (b"", Code.UNSUPPORTED),
                     (b"\xff" * 50, Code.INVALID))
            for command, code in cases:
                with self.subTest(command[:20]):
                    reply = connection.write(command)
                    self.assertEqual(reply.code, code, reply)
                    self.assertTrue(reply.message)
            self.assertEqual(connection.get(b"k" * 4097).code, Code.TOO_LARGE)
            self.assertEqual(connection.get(b"").code, Code.INVALID)
            self.assertTrue(connection.put(b"k", b"fine").ok)

    def test_silent_connections_are_closed_and_idle_ones_stay(self):
        with socket.create_connection(self.leader.address, timeout=5) as silent, Connection(self.leader.address) as idle:
            self.assertTrue(closed_within(silent, 30))
            self.assertTrue(idle.get(b"anything").ok)

    def test_a_thousand_idle_connections(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        before = self.leader.usage()[1]
        idle = [Connection(self.leader.address, timeout=10) for _ in range(CONNECTIONS)]
        try:
            count = self.bystander.count
            time.sleep(2)
            self.assertGreater(self.bystander.count, count)
            grown = (self.leader.usage()[1] - before) / CONNECTIONS
            self.assertLess(grown, 64 << 10, "bytes per idle connection")
            self.assertTrue(all(idle[n].get(b"bystander").ok for n in range(0, CONNECTIONS, 97)))
        finally:
            for connection in idle:
                connection.close()

    def test_a_client_that_never_reads(self):
        with Connection(self.leader.address) as connection:
            self.assertTrue(connection.put(b"large", b"x" * (1 << 20)).ok)
        with socket.create_connection(self.leader.address, timeout=5) as peer:
            peer.sendall(wire.hello_frame())
            before = self.leader.usage()[1]
            header = wire.encode((1, wire.encode((1, 2000))), (2, wire.freshness("strong")))
            peer.settimeout(1)
            try:
                for n in range(2000):
                    peer.sendall(wire.frame(wire.GET, n, header, b"large"))
            except (TimeoutError, ConnectionError):
                pass
            time.sleep(2)
            self.assertLess(self.leader.usage()[1] - before, 256 << 20, "bytes held for a client that does not read")


if __name__ == "__main__":
    unittest.main(verbosity=2)
