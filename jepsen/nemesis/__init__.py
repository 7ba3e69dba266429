"""What breaks a cluster while clients use it.

    names = nemesis.parse("isolate-leader,kill")
    events = nemesis.schedule(names, seed=42, seconds=60)
    cluster = Cluster(3, network="proxy")
    nemesis.prepare(cluster, names)                      # before the nodes start
    with cluster, nemesis.Runner(cluster, events, emit=history.write, now_us=clock):
        ...                                              # the clients' work; the exit heals everything

A nemesis is a class in a file of this folder; being there registers it. README.md says how to write the next one.
"""

import importlib
import pathlib
from dataclasses import dataclass, field


class NemesisError(Exception):
    """An unknown name, or a nemesis that cannot do its work here; the message says why."""


@dataclass
class Fault:
    """What start() did, for the history."""

    nodes: list = field(default_factory=list)
    detail: str = ""


class Nemesis:
    """One occurrence of a fault. `of` says what it takes hold of: two faults of the same kind never overlap."""

    name = ""
    help = ""
    of = "node"        # network | node | clock | logs
    needs = ()         # conditions that the network must be able to make
    hold = (1.0, 4.0)  # seconds that it lasts, at the usual pace
    always = False     # lasts for the whole test

    def __init__(self):
        self.cluster = self.network = self.random = None
        self.seconds = 0.0  # how long it will last

    @classmethod
    def unavailable(cls, cluster):
        """Why it cannot do its work on this cluster, or None. Before the nodes start."""
        if cls.of != "network":
            return None
        if cluster.network is None:
            return "it needs a cluster with network="
        missing = set(cls.needs) - set(cluster.network.kinds)
        return f"the {cluster.network.backend} network has no {', '.join(sorted(missing))} links" if missing else None

    @classmethod
    def prepare(cls, cluster):
        """Flags, environment or disks that it needs. Once, before the nodes start."""

    def begin(self):
        """Does it; returns the Fault. self.cluster, .network, .random and .seconds are set."""
        raise NotImplementedError

    def step(self):
        """For faults that move: does the next thing, returns after how many seconds to be called again (None: never)."""
        return None

    def end(self):
        """Undoes it, also when begin() or step() failed half-way."""

    # The registry and the runner use these two.

    def start(self, cluster, network, random, seconds=0.0):
        self.cluster, self.network, self.random, self.seconds = cluster, network, random, seconds
        return self.begin()

    def stop(self):
        if self.cluster is not None:
            self.end()

    # For subclasses.

    def leader(self):
        """The leader; where none is known within a moment, any node that runs."""
        from cluster import ClusterError  # pylint: disable=import-outside-toplevel
        try:
            return self.cluster.leader(timeout=2)
        except ClusterError:
            return self.random.choice(self.cluster.running() or list(self.cluster))

    def some(self, count):
        """That many nodes, of the seed's choosing."""
        return self.random.sample(list(self.cluster), count)

    @property
    def minority(self):
        return max(1, (len(self.cluster.nodes) - 1) // 2)


def _load():
    """name -> class, of every nemesis in this folder."""
    found = {}
    for path in sorted(pathlib.Path(__file__).parent.glob("[!_]*.py")):
        module = importlib.import_module(f"{__name__}.{path.stem}")
        for thing in vars(module).values():
            if isinstance(thing, type) and issubclass(thing, Nemesis) and thing.name:
                assert found.setdefault(thing.name, thing) is thing, f"two nemeses are called {thing.name}"
    return found


GROUPS = {
    "partitions": ("isolate-leader", "halves", "majorities-ring", "bridge", "one-way", "swizzle"),
    "links": ("flaky", "slow", "lossy", "blackhole-leader"),
    "kill": ("kill-one", "kill-leader", "kill-minority", "kill-all"),
    "pause": ("pause-one", "pause-leader", "pause-minority"),
    "disk": ("disk-full", "disk-stuck", "disk-slow", "disk-eio", "power-loss"),
    "mix": ("isolate-leader", "halves", "bridge", "one-way", "flaky", "lossy", "swizzle", "kill-one", "kill-leader", "kill-all",
            "pause-leader", "rolling-restart", "small-logs"),
}


def parse(text):
    """Names from "isolate-leader,kill": each a nemesis or a group; "none" is none. Raises NemesisError for unknown ones."""
    names = []
    for word in filter(None, (word.strip() for word in text.split(","))):
        if word == "none":
            continue
        if word not in REGISTRY and word not in GROUPS:
            raise NemesisError(f"there is no nemesis '{word}'; there are {', '.join(REGISTRY)}; and groups of them: "
                               f"{', '.join(GROUPS)}")
        names += [name for name in GROUPS.get(word, (word,)) if name not in names]
    return names


def unavailable(cluster, names):
    """{name: why} of those that cannot do their work on this cluster."""
    reasons = {name: REGISTRY[name].unavailable(cluster) for name in names}
    return {name: why for name, why in reasons.items() if why}


def prepare(cluster, names):
    """Before the nodes start. Raises NemesisError if one of them cannot do its work here: leave out what unavailable() names."""
    if reasons := unavailable(cluster, names):
        raise NemesisError("; ".join(f"{name}: {why}" for name, why in reasons.items()))
    for name in names:
        REGISTRY[name].prepare(cluster)


REGISTRY = {}  # filled below: the modules need the names above
from nemesis._schedule import Event, schedule  # noqa: E402,F401  pylint: disable=wrong-import-position
from nemesis._runner import Runner             # noqa: E402,F401  pylint: disable=wrong-import-position
REGISTRY.update(_load())
