"""Nodes that do not reach each other."""

from nemesis import Fault, Nemesis
from net import Condition

CUT = Condition("cut")


class _Partition(Nemesis):
    of = "network"
    needs = ("cut",)

    def end(self):
        self.network.heal()

    def shuffled(self):
        ids = list(self.cluster.nodes)
        return self.random.sample(ids, len(ids))


class IsolateLeader(_Partition):
    name = "isolate-leader"
    help = "the leader is cut from all others"
    condition = CUT

    def begin(self):
        leader = self.leader().id
        others = [node for node in self.cluster.nodes if node != leader]
        self.network.partition([leader], others, condition=self.condition)
        return Fault([leader], f"node {leader} cut from {text(others)}")


class BlackholeLeader(IsolateLeader):
    name = "blackhole-leader"
    help = "as isolate-leader, but connections stay open and what is sent vanishes"
    needs = ("blackhole",)
    condition = Condition("blackhole")


class Halves(_Partition):
    name = "halves"
    help = "a majority and a minority, chosen by the seed"

    def begin(self):
        ids = self.shuffled()
        few, many = ids[:self.minority], ids[self.minority:]
        self.network.partition(few, many)
        return Fault(few, f"{text(few)} cut from {text(many)}")


class Bridge(_Partition):
    name = "bridge"
    help = "two halves that only one node, the bridge, reaches both of"

    def begin(self):
        bridge, *ids = self.shuffled()
        one, other = ids[:len(ids) // 2], ids[len(ids) // 2:]
        self.network.partition(one, other)
        return Fault([bridge], f"node {bridge} alone reaches both {text(one)} and {text(other)}")


class MajoritiesRing(_Partition):
    name = "majorities-ring"
    help = "every node reaches a majority, no two the same (of three nodes: a bridge)"

    def begin(self):
        ring = self.shuffled()
        size = len(ring)
        reach = max(1, -(-(size // 2) // 2))  # neighbours on each side: with the node itself, a majority
        cut = {(a, b): CUT for i, a in enumerate(ring) for j, b in enumerate(ring)
               if a != b and min((i - j) % size, (j - i) % size) > reach}
        if size == 3:
            cut = {(ring[0], ring[2]): CUT, (ring[2], ring[0]): CUT}
        self.network.set(cut)
        return Fault(ring, f"ring {text(ring)}: each reaches its neighbours only")


class OneWay(_Partition):
    name = "one-way"
    help = "messages pass in one direction only: out of a node, into it, or over a single link"

    def begin(self):
        node = self.leader().id
        others = [other for other in self.cluster.nodes if other != node]
        kind = self.random.choice(("out of", "into", "link"))
        if kind == "out of":
            cut = [(node, other) for other in others]
        elif kind == "into":
            cut = [(other, node) for other in others]
        else:
            cut = [self.random.choice([(node, others[0]), (others[0], node)])]
        self.network.set({pair: CUT for pair in cut})
        return Fault([node], "messages no longer pass " + ", ".join(f"{a} -> {b}" for a, b in cut))


class Swizzle(_Partition):
    name = "swizzle"
    help = "nodes are isolated one after the other, then healed one after the other in another order"
    hold = (3.0, 6.0)

    def begin(self):
        self.cut = self.shuffled()[:max(2, len(self.cluster.nodes) // 2)]
        self.back = self.random.sample(self.cut, len(self.cut))
        self.moves = [*(("cut", node) for node in self.cut), *(("back", node) for node in self.back)]
        self.isolated = set()
        return Fault(sorted(self.cut), f"isolates {text(self.cut)} in turn, heals {text(self.back)} in turn")

    def step(self):
        if not self.moves:
            return None
        what, node = self.moves.pop(0)
        self.isolated.symmetric_difference_update({node})
        assert (what == "cut") == (node in self.isolated)
        everyone = self.network.state()
        self.network.set({(a, b): CUT if {a, b} & self.isolated else Condition() for a, b in everyone if 0 not in (a, b)})
        return self.seconds / (2 * len(self.cut) + 0.5)


def text(ids):
    return ", ".join(map(str, ids))
