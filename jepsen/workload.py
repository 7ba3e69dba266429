"""Load that remembers what it was told: writers and strong readers, each a thread with a connection of its own."""

import random
import threading
import time

from checks import Read, Write
from wire import NOT_EXECUTED, Connection, Lost, NotSent, put_command

REGISTER_LIFE = 500  # writes to one register before the next one is begun


class Client(threading.Thread):
    """Repeats step() until told to stop. An exception ends the run: it is kept and raised by stop()."""

    def __init__(self, cluster, seed):
        super().__init__(daemon=True)
        self.cluster, self.random = cluster, random.Random(seed)
        self.connection = None
        self.connected_to = 0
        self.failure = None
        self.stopping = threading.Event()

    def run(self):
        try:
            while not self.stopping.is_set():
                self.step()
        except Exception as error:  # pylint: disable=broad-except
            self.failure = error
        finally:
            self.disconnect()

    def step(self):
        raise NotImplementedError

    def stop(self):
        self.stopping.set()
        self.join(timeout=10)
        if self.failure:
            raise self.failure
        if self.is_alive():
            raise RuntimeError("a client thread hangs: some request has no reply and no end")

    def connect(self, node_id):
        """False, after a moment, if the node does not take connections."""
        if self.connection and self.connected_to == node_id:
            return True
        self.disconnect()
        try:
            self.connection = Connection(self.cluster[node_id].address, timeout=3.0)
            self.connected_to = node_id
            return True
        except NotSent:
            self.stopping.wait(0.02)
            return False

    def disconnect(self):
        if self.connection:
            self.connection.close()
            self.connection = None


class Writer(Client):
    """Alternates between a register of its own (checks.py) and keys that are written once."""

    def __init__(self, cluster, number, seed):
        super().__init__(cluster, seed)
        self.number = number
        self.node_id = self.random.choice(list(cluster.nodes))
        self.writes = []        # to registers
        self.acknowledged = {}  # written once: key -> value
        self.unknown = self.refused = 0
        self.generation = self.count = self.life = 0

    @property
    def register(self):
        return b"register/%d/%d" % (self.number, self.generation)

    def step(self):
        if not self.connect(self.node_id):
            self.node_id = self.random.choice(list(self.cluster.nodes))
            return
        self.count += 1
        if self.count % 2:
            self.write_register()
        else:
            key = b"once/%d/%d" % (self.number, self.count)
            value = b"%d of %d " % (self.count, self.number) * self.random.randint(1, 40)
            if self.put(key, value) == "ok":
                self.acknowledged[key] = value

    def write_register(self):
        start = time.monotonic()
        outcome = self.put(self.register, b"%d" % self.count)
        self.writes.append(Write(self.register, self.count, start, time.monotonic(), outcome))
        self.life += 1
        if outcome == "unknown" or self.life == REGISTER_LIFE:
            self.generation, self.life = self.generation + 1, 0

    def put(self, key, value):
        try:
            reply = self.connection.write(put_command(key, value), deadline_ms=1000)
        except Lost:
            self.unknown += 1
            self.disconnect()
            return "unknown"
        if reply.ok:
            return "ok"
        self.node_id = reply.leader_hint or self.random.choice(list(self.cluster.nodes))
        if reply.code in NOT_EXECUTED:
            self.refused += 1
            self.stopping.wait(0.02)
            return "no"
        self.unknown += 1
        return "unknown"


class Reader(Client):
    """Strong reads of the writers' registers, all through one node."""

    def __init__(self, cluster, node_id, writers, seed):
        super().__init__(cluster, seed)
        self.node_id, self.writers = node_id, writers
        self.reads = []
        self.refused = 0

    def step(self):
        if not self.connect(self.node_id):
            return
        key = self.random.choice(self.writers).register
        start = time.monotonic()
        try:
            reply = self.connection.get(key, "strong", deadline_ms=200)
        except Lost:
            self.disconnect()
            return
        if reply.ok:
            value = int(reply.value) if reply.found else 0
            self.reads.append(Read(key, value, start, time.monotonic(), self.node_id))
        else:
            self.refused += 1
        self.stopping.wait(0.004)


class Crew:
    """Writers and readers that start and stop together."""

    writers, readers = (), ()

    def __enter__(self):
        for client in self.writers + self.readers:
            client.start()
        return self

    def __exit__(self, kind, *_):
        for client in self.writers + self.readers:
            client.stopping.set()
        if kind is None:
            self.stop()

    def stop(self):
        for client in self.writers + self.readers:
            client.stop()

    @property
    def reads(self):
        return [read for reader in self.readers for read in reader.reads]


class Load(Crew):
    """`writers` writers, and one strong reader for each node."""

    def __init__(self, cluster, writers, seed):
        self.writers = [Writer(cluster, n, f"{seed}/writer/{n}") for n in range(writers)]
        self.readers = [Reader(cluster, node.id, self.writers, f"{seed}/reader/{node.id}") for node in cluster]

    def acknowledged_count(self):
        """Also while the writers are at work."""
        return sum(len(writer.acknowledged) for writer in self.writers)

    @property
    def acknowledged(self):
        return {key: value for writer in self.writers for key, value in writer.acknowledged.items()}

    @property
    def register_writes(self):
        return [write for writer in self.writers for write in writer.writes]

    def first_read_after(self, instant):
        """When the first strong read that began after `instant` was answered, or None."""
        ends = [read.end for reader in self.readers for read in reader.reads[-200:] if read.start > instant]
        return min(ends, default=None)
