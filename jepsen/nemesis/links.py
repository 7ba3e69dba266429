"""Links that work badly."""

from nemesis import Fault, Nemesis
from net import Condition


class _Links(Nemesis):
    of = "network"

    def end(self):
        self.network.heal()

    def pairs(self):
        """Of nodes, not of clients."""
        return [pair for pair in sorted(self.network.state()) if 0 not in pair]

    def about_a_node(self):
        """Every link, or those of one node."""
        if self.random.random() < 0.5:
            return self.pairs(), sorted(self.cluster.nodes), "every link"
        node = self.leader().id
        return [pair for pair in self.pairs() if node in pair], [node], f"every link of node {node}"


class Flaky(_Links):
    name = "flaky"
    help = "links break and come back many times a second"
    needs = ("cut",)

    def begin(self):
        return Fault(sorted(self.cluster.nodes), "each directed link is cut for a quarter of the time, in short pieces")

    def step(self):
        self.network.set({pair: Condition("cut" if self.random.random() < 0.25 else "ok") for pair in self.pairs()})
        return self.random.uniform(0.05, 0.3)


class Slow(_Links):
    name = "slow"
    help = "messages take tens or hundreds of milliseconds longer"
    needs = ("slow",)

    def begin(self):
        pairs, nodes, which = self.about_a_node()
        ms = self.random.choice((10, 40, 120, 300))
        self.network.set({pair: Condition("slow", ms=ms, jitter=ms / 2) for pair in pairs})
        return Fault(nodes, f"{which}: {ms} to {ms * 3 // 2} ms later")


class Lossy(_Links):
    name = "lossy"
    help = "messages are lost, and with the proxy also doubled and overtaken by later ones"
    needs = ("lossy",)

    def begin(self):
        pairs, nodes, which = self.about_a_node()
        share = self.random.choice((0.02, 0.1, 0.25))
        self.network.set({pair: Condition("lossy", share=share, duplicate=share, reorder=share) for pair in pairs})
        more = ", as many doubled and reordered" if self.network.backend == "proxy" else " of packets; TCP sends them again"
        return Fault(nodes, f"{which}: {share:.0%} lost{more}")
