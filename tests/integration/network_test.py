"""What each fault of a link does, measured with plain sockets: through quorate-proxy, and in network namespaces (root)."""

import random
import signal
import socket
import subprocess
import sys
import threading
import time
import types
import unittest

import net
import wire
from cluster import free_ports, wait_until
from net import Condition, NetworkError, Unsupported, namespaces
from net.proxy import Proxy
from processes import BIN, start_of


PATIENCE = 20  # seconds, for what must happen at once; machines are busy


class Sink:
    """A server that keeps what arrives, one string for all connections, and answers each piece with `answer`."""

    def __init__(self, listener=None, answer=b""):
        self.listener = listener or socket.create_server(("127.0.0.1", 0))
        self.answer, self.data, self.open = answer, b"", 0
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def port(self):
        return self.listener.getsockname()[1]

    def _serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._keep, args=(connection,), daemon=True).start()

    def _keep(self, connection):
        self.open += 1
        try:
            while piece := connection.recv(1 << 20):
                self.data += piece
                if self.answer:
                    connection.sendall(self.answer)
        except OSError:
            pass
        self.open -= 1
        connection.close()

    def close(self):
        if self.listener.fileno() >= 0:
            self.listener.shutdown(socket.SHUT_RDWR)
            self.listener.close()


def frame(number, size=100, kind=33):
    """As client/proto/frame.h says; the number is the request id."""
    return wire.frame(kind, number, b"", bytes(size))


def closed(connection):
    """Reset as well: it may not have been accepted yet."""
    try:
        return connection.recv(10) == b""
    except ConnectionResetError:
        return True


def numbers(stream):
    """The request ids of a stream of whole frames; anything else is an error."""
    found = []
    while stream:
        length, version, _, _, number, header = wire.FRAME.unpack_from(stream)
        assert (version, header) == (1, 0) and len(stream) >= 4 + length, stream[:40]
        found.append(number)
        stream = stream[4 + length:]
    return found


class ProxyLinks(unittest.TestCase):
    def setUp(self):
        self.sink = Sink(answer=b"")
        self.addCleanup(self.sink.close)
        self.proxy = Proxy()
        self.addCleanup(self.proxy.close)
        self.open("x")

    def open(self, name, seed=1):
        host, port = self.proxy.open({name: f"127.0.0.1:{self.sink.port}"}, seed)[name].split(":")
        self.address = (host, int(port))

    def set(self, name="x", **faults):
        self.proxy.ask("set", links={name: faults})

    def dial(self):
        connection = socket.create_connection(self.address, timeout=PATIENCE)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.addCleanup(connection.close)
        return connection

    def arrives(self, data):
        wait_until(lambda: self.sink.data == data, PATIENCE, lambda: f"got {self.sink.data[:80]!r}", interval=0.001)

    def test_a_healthy_link_passes_everything_both_ways_and_the_close(self):
        self.sink.answer = b"yes"
        with self.dial() as connection:
            connection.sendall(b"hello")
            self.assertEqual(connection.recv(10), b"yes")
        wait_until(lambda: self.sink.open == 0, PATIENCE, "the target does not see the close")
        wait_until(lambda: self.proxy.ask("counters")["x"]["open"] == 0, PATIENCE, "the connection is kept")
        self.assertEqual(self.proxy.ask("counters")["x"]["forward"]["bytes"], 5)

    def test_megabytes_with_backpressure(self):
        data = random.Random(1).randbytes(12 << 20)
        self.dial().sendall(data)
        self.arrives(data)

    def test_refuse_closes_refuses_and_comes_back_at_the_same_port(self):
        connection = self.dial()
        connection.sendall(b"hello")
        self.arrives(b"hello")
        for _ in range(3):
            self.set(refuse=True)
            with self.assertRaises(ConnectionRefusedError):
                self.dial()
            self.assertTrue(closed(connection))
            self.set()
            connection = self.dial()
        connection.sendall(b"again")
        self.arrives(b"helloagain")

    def test_one_way_what_is_sent_vanishes_and_answers_pass(self):
        self.sink.answer = b"answer"
        connection = self.dial()
        connection.sendall(b"first")
        self.assertEqual(connection.recv(10), b"answer")
        self.set(backward={"flow": "vanish"})
        connection.sendall(b"second")
        self.arrives(b"firstsecond")
        self.vanishes("backward", len(b"answer"))
        connection.settimeout(0.1)
        with self.assertRaises(TimeoutError):
            connection.recv(10)
        connection.settimeout(PATIENCE)
        self.set(forward={"flow": "vanish"})
        connection.sendall(b"third")
        self.vanishes("forward", len(b"third"))
        self.set()
        connection.sendall(b"fourth")
        self.arrives(b"firstsecondfourth")
        self.assertEqual(connection.recv(10), b"answer", "open all the time")

    def vanishes(self, direction, size):
        wait_until(lambda: self.proxy.ask("counters")["x"][direction]["vanished_bytes"] == size, PATIENCE, "it does not vanish")

    def test_a_close_does_not_pass_a_blackhole(self):
        connection = self.dial()
        connection.sendall(b"hello")
        self.arrives(b"hello")
        self.set(forward={"flow": "vanish"}, backward={"flow": "vanish"})
        connection.close()
        time.sleep(0.2)
        self.assertEqual(self.sink.open, 1)
        self.set()
        wait_until(lambda: self.sink.open == 0, PATIENCE, "the close is lost for ever")

    def test_stall_holds_and_delivers_later(self):
        connection = self.dial()
        self.set(forward={"flow": "stall"})
        connection.sendall(b"hello")
        time.sleep(0.2)
        self.assertEqual(self.sink.data, b"")
        self.set()
        self.arrives(b"hello")

    def test_delay_and_jitter(self):
        connection = self.dial()
        self.set(forward={"delay_us": 100_000, "jitter_us": 50_000})
        sent = b""
        for piece in (b"alpha", b"bravo", b"delta"):
            sent += piece
            begun = time.monotonic()
            connection.sendall(piece)
            self.arrives(sent)
            self.assertTrue(0.1 <= time.monotonic() - begun < 5)
        connection.sendall(b"1" * 50 + b"2" * 50)
        self.arrives(sent + b"1" * 50 + b"2" * 50)

    def test_bandwidth(self):
        connection = self.dial()
        self.set(forward={"bytes_per_second": 1_000_000})
        begun = time.monotonic()
        threading.Thread(target=connection.sendall, args=(bytes(300_000),), daemon=True).start()
        self.arrives(bytes(300_000))
        self.assertTrue(0.29 <= time.monotonic() - begun < 10)

    def test_reset(self):
        connection = self.dial()
        connection.sendall(b"hello")
        self.arrives(b"hello")
        self.proxy.ask("reset", links=["x"])
        with self.assertRaises(ConnectionResetError):
            connection.recv(10)
        self.dial().sendall(b"again")
        self.arrives(b"helloagain")

    def test_an_unreachable_target_is_a_reset(self):
        self.sink.close()
        with self.assertRaises(ConnectionResetError):
            self.dial().recv(10)

    def wait_closed(self, name):
        def over():
            counters = self.proxy.ask("counters")[name]
            return counters["accepted"] > 0 and counters["open"] == 0
        wait_until(over, PATIENCE, "frames stay behind")

    def frames(self, name, seed, **chances):
        self.sink.data = b""
        self.open(name, seed)
        self.set(name, forward=chances)
        connection = self.dial()
        connection.sendall(frame(0, kind=32) + b"".join(frame(number) for number in range(1, 400)))
        connection.shutdown(socket.SHUT_WR)
        self.wait_closed(name)
        return numbers(self.sink.data), self.proxy.ask("counters")[name]["forward"]

    def test_frames_are_dropped_whole_by_the_seed(self):
        got, counters = self.frames("drop", 1, drop=0.3)
        self.assertEqual(got, sorted(set(got)))
        self.assertEqual(len(got) + counters["dropped"], 400)
        self.assertTrue(80 < counters["dropped"] < 160, counters)
        self.assertEqual(got[0], 0, "greetings are exempt")
        other = Proxy()  # a link of the same name and seed, elsewhere
        self.addCleanup(other.close)
        self.proxy, first = other, got
        self.assertEqual(self.frames("drop", 1, drop=0.3)[0], first)
        self.assertNotEqual(self.frames("drop2", 2, drop=0.3)[0], first)

    def test_frames_are_doubled_and_reordered_whole(self):
        got, counters = self.frames("double", 1, duplicate=0.2, reorder=0.2)
        self.assertEqual(sorted(set(got)), list(range(400)), "none is lost")
        self.assertEqual(len(got) - 400, counters["duplicated"])
        self.assertTrue(40 < counters["duplicated"] < 120 and 40 < counters["reordered"] < 120, counters)
        self.assertNotEqual(got, sorted(got))

    def test_faults_that_come_and_go_never_break_a_stream(self):
        chance, self.sink.data = random.Random(5), b""
        connection, sent = self.dial(), 0
        stream = b"".join(frame(number, chance.choice((0, 10, 1000, 70_000))) for number in range(500))
        while sent < len(stream):
            self.set(forward=chance.choice(({}, {"drop": 0.5}, {"reorder": 0.5, "duplicate": 0.3, "reorder_by_us": 3000},
                                            {"flow": "vanish"}, {"flow": "stall"}, {"delay_us": 5000})))
            piece = stream[sent:sent + chance.choice((1, 3, 19, 4000, 300_000))]
            connection.sendall(piece)
            sent += len(piece)
        self.set()
        connection.shutdown(socket.SHUT_WR)
        self.wait_closed("x")
        got = numbers(self.sink.data)
        self.assertGreater(len(set(got)), 20)
        self.assertLess(len(set(got)), 500)

    def test_wrong_commands_say_what_is_wrong_and_change_nothing(self):
        used = f"127.0.0.1:{self.sink.port}"
        wrong = [("in use", lambda: self.proxy.open({"y": (used, used)})),
                 ("two links 'x'", lambda: self.proxy.open({"x": used})),
                 ("in use", lambda: self.proxy.open({"a": used, "y": (used, used)})),
                 ("not ADDRESS:PORT", lambda: self.proxy.open({"y": "localhost"})),
                 ("not ADDRESS:PORT", lambda: self.proxy.open({"y": ("127.0.0.1:70000", used)})),
                 ("no link 'z'", lambda: self.proxy.ask("set", links={"x": {"refuse": True}, "z": {}})),
                 ("unknown key 'dealy_us'", lambda: self.set(forward={"dealy_us": 1})),
                 ("flow must be", lambda: self.set(forward={"flow": "slow"})),
                 ("from 0 to 1", lambda: self.set(forward={"drop": 2})),
                 ("from 0 to 600000000", lambda: self.set(forward={"delay_us": -1})),
                 ("do must be", lambda: self.proxy.ask("jump"))]
        for message, act in wrong:
            with self.assertRaisesRegex(NetworkError, message):
                act()
        self.dial().sendall(b"hello")
        self.arrives(b"hello")

    def test_it_ends_with_whoever_started_it(self):
        harness = subprocess.Popen([sys.executable, "-c", "import sys, time; from net.proxy import Proxy; p = Proxy()\n"
                                    "print(p.process.pid, flush=True); time.sleep(60)"], stdout=subprocess.PIPE)
        pid = int(harness.stdout.readline())
        harness.send_signal(signal.SIGKILL)
        harness.wait()
        harness.stdout.close()
        wait_until(lambda: start_of(pid) is None, PATIENCE, "the proxy outlives its harness")

    def test_usage(self):
        done = subprocess.run([BIN / "quorate-proxy", "--port"], capture_output=True, check=False)
        self.assertEqual((done.returncode, b"--help" in done.stderr), (2, True))
        self.assertIn(b"stdin", subprocess.run([BIN / "quorate-proxy", "--help"], capture_output=True, check=True).stdout)


class StandIn:
    """Of a Cluster, what a network asks of it."""

    def __init__(self, nodes):
        self.nodes = {node.id: node for node in nodes}

    def __iter__(self):
        return iter(self.nodes.values())


@unittest.skipIf(namespaces.unavailable(), f"SKIPPED: {namespaces.unavailable()}")
class NamespaceLinks(unittest.TestCase):
    def setUp(self):
        self.network = net.make("namespaces")
        self.addCleanup(self.network.stop)
        ports = free_ports(6)
        self.nodes = [types.SimpleNamespace(id=i + 1, peer_port=ports[i], client_port=ports[i + 3]) for i in range(3)]
        self.network.attach(StandIn(self.nodes))
        self.sinks = {node.id: Sink(self.inside(node.id, lambda node=node: socket.create_server((node.host, node.peer_port))))
                      for node in self.nodes}

    def inside(self, node_id, make):
        """make() as a thread of that namespace: a socket stays where it was made."""
        result = []

        def work():
            with open(f"/proc/{self.network.namespaces[node_id].pid}/ns/net", "rb") as namespace:
                namespaces.move_to(namespace.fileno())
            try:
                result.append(make())
            except OSError as error:
                result.append(error)
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        if isinstance(result[0], OSError):
            raise result[0]
        return result[0]

    def dial(self, a, b, timeout=PATIENCE):
        target = self.nodes[b - 1]
        connection = self.inside(a, lambda: socket.create_connection((target.host, target.peer_port), timeout=timeout))
        self.addCleanup(connection.close)
        return connection

    def test_cut_refuses_one_direction_only(self):
        connection = self.dial(1, 2)
        self.network.cut(1, 2)
        with self.assertRaises(ConnectionRefusedError):
            self.dial(1, 2)
        with self.assertRaises(ConnectionError):
            for _ in range(200):
                connection.sendall(b"hello")
                time.sleep(0.02)
        self.dial(2, 1).sendall(b"still here")
        wait_until(lambda: self.sinks[1].data == b"still here", PATIENCE, "the other direction is cut as well")
        self.dial(1, 3)
        self.network.heal()
        self.dial(1, 2)

    def test_blackhole_keeps_connections_and_tells_nobody(self):
        connection = self.dial(1, 2)
        self.network.blackhole(1, 2)
        connection.sendall(b"late")
        with self.assertRaises(TimeoutError):
            self.dial(1, 2, timeout=0.3)
        self.assertEqual((self.sinks[2].data, self.sinks[2].open), (b"", 1))
        self.network.heal()
        wait_until(lambda: self.sinks[2].data == b"late", PATIENCE, "TCP does not send it again")

    def test_lossy_loses_its_share_of_packets(self):
        receiver = self.inside(2, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        sender = self.inside(1, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        self.addCleanup(receiver.close)
        self.addCleanup(sender.close)
        receiver.bind((self.nodes[1].host, 9000))
        receiver.settimeout(PATIENCE)
        self.network.lossy(1, 2, share=0.3)
        arrived = 0
        for _ in range(500):
            try:
                sender.sendto(b"x", (self.nodes[1].host, 9000))
            except PermissionError:
                continue  # how the kernel says that a rule dropped it
            arrived += receiver.recv(10) == b"x"
        self.assertTrue(300 < arrived < 400, arrived)

    def test_what_it_cannot_do_it_says(self):
        with self.assertRaisesRegex(Unsupported, "no 'slow' links"):
            self.network.slow(1, 2, 50)
        with self.assertRaisesRegex(NetworkError, "no link from 1 to 9"):
            self.network.cut(1, 9)

    def test_nothing_is_done_outside_and_nothing_is_left(self):
        self.assertNotIn("bridge", [name for _, name in self.at_home(socket.if_nameindex)])
        pids = [namespace.pid for namespace in (self.network.switch, *self.network.namespaces.values())]
        self.network.stop()
        self.assertEqual([start_of(pid) for pid in pids], [None] * 4)
        self.assertNotIn("bridge", [name for _, name in socket.if_nameindex()])

    def at_home(self, ask):
        """From the namespace that the harness came from."""
        there = self.network.home
        self.assertIsNotNone(there)
        result = []

        def work():
            namespaces.move_to(there)
            result.append(ask())
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        return result[0]


class Interface(unittest.TestCase):
    def test_unknown_back_ends_are_refused(self):
        with self.assertRaisesRegex(NetworkError, "no network 'udp'; there are proxy, namespaces"):
            net.make("udp")

    def test_a_fault_that_cannot_be_made_or_undone_is_not_taken_for_healed(self):
        network, fails = net.Network(), []

        def apply(changed):
            if fails:
                raise NetworkError(f"cannot change {sorted(changed)}")
        network.kinds, network._apply = ("cut",), apply  # pylint: disable=protected-access
        network._conditions = {(1, 2): net.OK, (2, 1): net.OK}  # pylint: disable=protected-access
        for act in (lambda: network.cut(1, 2), network.heal):
            fails.append(True)
            with self.assertRaises(NetworkError):
                act()
            self.assertEqual(network.state()[1, 2].kind, "cut")
        fails.clear()
        network.heal()
        self.assertEqual(network.state()[1, 2], net.OK)

    def test_partition_cuts_between_groups_only_and_tells_the_history(self):
        network, told = net.Network(), []
        network.kinds, network._apply = ("cut",), lambda changed: None  # pylint: disable=protected-access
        network._conditions = {(a, b): net.OK for a in (1, 2, 3) for b in (1, 2, 3) if a != b}  # pylint: disable=protected-access
        network.on_change.append(told.append)
        network.partition([1], [2, 3])
        cut = sorted((a, b) for (a, b), condition in network.state().items() if condition == Condition("cut"))
        self.assertEqual(cut, [(1, 2), (1, 3), (2, 1), (3, 1)])
        self.assertIn([2, 3, "ok"], told[-1])
        self.assertIn([1, 3, "cut"], told[-1])
        network.heal()
        network.heal()
        self.assertEqual((len(told), {kind for *_, kind in told[-1]}), (2, {"ok"}))


if __name__ == "__main__":
    unittest.main(verbosity=2)
