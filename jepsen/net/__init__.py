"""The network between the nodes under test, as something that can be broken: one interface, two back-ends.

    with Cluster(3, network="proxy") as cluster:        # or "namespaces"
        cluster.network.cut(1, 2)                       # what node 1 sends no longer reaches node 2
        cluster.network.slow(2, 3, ms=50, jitter=20)
        cluster.network.heal()

Every condition is of one *directed* pair of nodes. README.md says what each means in each back-end.
"""

import dataclasses
import itertools
import threading

CLIENTS = 0  # stands for all clients in a pair, where the back-end has them on the network


class NetworkError(Exception):
    """The network cannot be made, or cannot do what was asked; the message says why and what to do."""


class Unsupported(NetworkError):
    """This back-end has no such fault."""


@dataclasses.dataclass(frozen=True)
class Condition:
    """Of a directed pair. `kind` is what the history calls it (FORMAT.md)."""

    kind: str = "ok"  # ok | cut | blackhole | slow | lossy
    ms: float = 0
    jitter: float = 0
    share: float = 0      # of frames (proxy) or packets (namespaces) that are lost
    duplicate: float = 0  # proxy only, as are the next two
    reorder: float = 0
    bytes_per_second: int = 0


OK = Condition()


class Network:
    """What both back-ends share: the conditions, and who is told of changes. Thread-safe."""

    backend = ""
    kinds = ()  # the conditions it can make

    def __init__(self):
        self.nodes = []
        self.on_change = []  # each called with the history's form of state(), after every change
        self._conditions = {}
        self._lock = threading.RLock()

    # -- for faults --

    def set(self, conditions):
        """{(a, b): Condition}: these pairs change, all at once where the back-end can; others stay as they are."""
        with self._lock:
            for pair, condition in conditions.items():
                if pair not in self._conditions:
                    raise NetworkError(f"there is no link from {pair[0]} to {pair[1]}")
                if condition.kind not in (*self.kinds, "ok"):
                    raise Unsupported(f"the {self.backend} network has no '{condition.kind}' links")
            changed = {pair: condition for pair, condition in conditions.items() if self._conditions[pair] != condition}
            if not changed:
                return
            before = {pair: self._conditions[pair] for pair in changed}
            self._conditions.update(changed)
            try:
                self._apply(changed)
            except BaseException:
                # Nobody knows how much was done. heal() must not take a pair for healthy that may not be.
                self._conditions.update({pair: was for pair, was in before.items() if changed[pair] == OK})
                raise
            for told in self.on_change:
                told(self.links())

    def cut(self, a, b):
        """What a sends to b no longer arrives: a's connections to b are refused and closed. What b sends to a arrives."""
        self.set({(a, b): Condition("cut")})

    def blackhole(self, a, b):
        """Whatever goes from a to b vanishes, and nobody is told: connections stay open."""
        self.set({(a, b): Condition("blackhole")})

    def slow(self, a, b, ms, jitter=0):
        self.set({(a, b): Condition("slow", ms=ms, jitter=jitter)})

    def lossy(self, a, b, share, duplicate=0, reorder=0):
        self.set({(a, b): Condition("lossy", share=share, duplicate=duplicate, reorder=reorder)})

    def partition(self, *groups, condition=Condition("cut")):
        """No two nodes in different groups reach each other; a node in no group is left alone."""
        self.set({pair: condition for one, other in itertools.permutations(groups, 2) for pair in itertools.product(one, other)
                  if pair[0] != pair[1]})

    def heal(self):
        self.set({pair: OK for pair in self._conditions})

    def state(self):
        """{(a, b): Condition} of every directed pair."""
        with self._lock:
            return dict(self._conditions)

    def links(self):
        """state() as the history has it: [[1, 2, "cut"], ...]. Links to and from clients are not in it."""
        return [[a, b, condition.kind] for (a, b), condition in sorted(self.state().items()) if CLIENTS not in (a, b)]

    # -- for the supervisor --

    def attach(self, cluster):
        """Before the nodes start: sets where they are and how they reach each other."""
        self.nodes = list(cluster.nodes)
        self._conditions = {pair: OK for pair in itertools.permutations(self.nodes, 2)}
        try:
            self._build(cluster)
        except BaseException:
            self.stop()
            raise

    def stop(self):
        """Takes everything down. May be called more than once."""

    def _build(self, cluster):
        raise NotImplementedError

    def _apply(self, changed):
        raise NotImplementedError


def backends():
    """name -> why it cannot be used here, or None."""
    from net import namespaces, proxy  # pylint: disable=import-outside-toplevel
    return {"proxy": proxy.unavailable(), "namespaces": namespaces.unavailable()}


def make(name, seed=0, clients=False):
    """The network of that name, not attached yet. With `clients`, what clients send crosses it as well."""
    from net import namespaces, proxy  # pylint: disable=import-outside-toplevel
    kinds = {"proxy": proxy.ProxyNetwork, "namespaces": namespaces.NamespaceNetwork}
    if name not in kinds:
        raise NetworkError(f"there is no network '{name}'; there are {', '.join(kinds)}")
    if why := backends()[name]:
        raise NetworkError(why)
    return kinds[name](seed=seed, clients=clients)
