"""Processes that end: kill -9, and restarts in good order."""

import signal

from nemesis import Fault, Nemesis


class _Kill(Nemesis):
    def victims(self):
        raise NotImplementedError

    def begin(self):
        self.killed = self.victims()
        for node in self.killed:
            node.signal(signal.SIGKILL)  # all at once; then wait for each
        for node in self.killed:
            node.kill()
        return Fault([node.id for node in self.killed], f"kill -9 of node {', '.join(str(node.id) for node in self.killed)}")

    def end(self):
        for node in getattr(self, "killed", ()):
            if not node.running:
                node.start()


class KillOne(_Kill):
    name = "kill-one"
    help = "kill -9 of a node of the seed's choosing"

    def victims(self):
        return self.some(1)


class KillLeader(_Kill):
    name = "kill-leader"
    help = "kill -9 of the leader"

    def victims(self):
        return [self.leader()]


class KillMinority(_Kill):
    name = "kill-minority"
    help = "kill -9 of as many nodes as the cluster survives"

    def victims(self):
        return self.some(self.minority)


class KillAll(_Kill):
    name = "kill-all"
    help = "kill -9 of all nodes at once"
    hold = (0.2, 2.0)

    def victims(self):
        return list(self.cluster)


class RollingRestart(Nemesis):
    name = "rolling-restart"
    help = "SIGTERM of one node after the other, each started again and waited for before the next"
    hold = (3.0, 8.0)

    def begin(self):
        self.waiting = self.random.sample(list(self.cluster), len(self.cluster.nodes))
        self.down = self.coming = None
        return Fault(sorted(self.cluster.nodes), f"restarts nodes {', '.join(str(node.id) for node in self.waiting)} in turn")

    def step(self):
        """Never waits: other faults go on meanwhile."""
        if self.down and not self.down.running:
            self.down.start()
            self.down, self.coming = None, self.down
        elif self.coming and self.coming.ready():
            self.coming = None
        elif not self.down and not self.coming:
            if not self.waiting:
                return None
            self.down = self.waiting.pop(0)
            self.down.signal(signal.SIGTERM)
        return 0.05

    def end(self):
        if getattr(self, "down", None):
            self.down.kill()
            self.down.start()


class Transfer(Nemesis):
    name = "transfer"
    help = "the leader hands over: SIGTERM, after which it leads no more, and a start (no other way to ask from outside yet)"
    hold = (0.5, 2.0)

    def begin(self):
        self.old = self.leader()
        self.old.signal(signal.SIGTERM)
        return Fault([self.old.id], f"node {self.old.id} hands leadership over and ends")

    def end(self):
        if hasattr(self, "old"):
            self.old.kill()  # where it is not done yet
            self.old.start()
