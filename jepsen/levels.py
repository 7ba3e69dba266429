"""Load for the audit of freshness.py: writers that remember their indexes, and readers that ask one node at every level."""

import time
from collections import deque

from freshness import Read, Write
from wire import EVENTUAL, NOT_EXECUTED, STRONG, Freshness, Lost, bounded, put_command
from workload import Client, Crew

KEYS = 16


def key_of(writer, number):
    return b"level/%d/%d" % (writer, number)


class LevelWriter(Client):
    """Writes keys of its own, so that nobody else's write comes in between."""

    def __init__(self, cluster, number, seed, pace):
        super().__init__(cluster, seed)
        self.number, self.pace = number, pace
        self.node_id = self.random.choice(list(cluster.nodes))
        self.writes = []
        self.unknown = 0
        self.count = 0

    def step(self):
        if not self.connect(self.node_id):
            self.node_id = self.random.choice(list(self.cluster.nodes))
            return
        self.count += 1
        key, value = key_of(self.number, self.random.randrange(KEYS)), b"%d" % self.count
        start = time.monotonic()
        try:
            reply = self.connection.write(put_command(key, value), deadline_ms=1000)
        except Lost:
            self.unknown += 1
            self.disconnect()
            self.node_id = self.random.choice(list(self.cluster.nodes))
            return
        if reply.ok:
            self.writes.append(Write(key, value, start, time.monotonic(), reply.mod_index))
            self.stopping.wait(self.pace)
            return
        self.unknown += reply.code not in NOT_EXECUTED
        self.node_id = reply.leader_hint or self.random.choice(list(self.cluster.nodes))
        self.stopping.wait(0.02)


class LevelReader(Client):
    """All through one node, each at a level drawn from `levels`; "session" stands for what some writer has seen last."""

    def __init__(self, cluster, node_id, load, seed, levels, pace):
        super().__init__(cluster, seed)
        self.node_id, self.load, self.levels, self.pace = node_id, load, levels, pace
        self.reads = []
        self.tokens = deque(maxlen=20)

    def level(self):
        level = self.random.choice(self.levels)
        if level != "session":
            return level
        return Freshness(token=self.random.choice(self.tokens)) if self.tokens else EVENTUAL

    def step(self):
        if not self.connect(self.node_id):
            return
        level, key = self.level(), key_of(self.random.randrange(len(self.load.writers)), self.random.randrange(KEYS))
        start = time.monotonic()
        try:
            reply = self.connection.get(key, level, deadline_ms=500)
        except Lost:
            self.disconnect()
            return
        self.reads.append(Read(key, self.node_id, start, time.monotonic(), level, reply))
        if reply.ok and reply.certificate.entry_term:
            for reader in self.load.readers:
                reader.tokens.append(self.connection.token(reply))
        self.stopping.wait(self.pace)


LEVELS = (STRONG, EVENTUAL, "session", bounded(0.1), bounded(0.1, on_unmet="refuse"), bounded(0.5), bounded(0.05, lag=5),
          bounded(0.02, on_unmet="serve"), bounded(2, on_unmet="refuse"))


class LevelLoad(Crew):
    """A reader for each node, and some writers; `pace` is what each waits between operations, in seconds."""

    def __init__(self, cluster, writers=2, seed=1, levels=LEVELS, pace=0.003):
        self.writers = [LevelWriter(cluster, n, f"{seed}/writer/{n}", pace) for n in range(writers)]
        self.readers = [LevelReader(cluster, node.id, self, f"{seed}/reader/{node.id}", levels, pace) for node in cluster]

    @property
    def writes(self):
        return [write for writer in self.writers for write in writer.writes]
