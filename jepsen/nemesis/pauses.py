"""Processes that stop for a while and do not know it: SIGSTOP."""

from nemesis import Fault, Nemesis


class _Pause(Nemesis):
    hold = (0.5, 4.0)

    def victims(self):
        raise NotImplementedError

    def begin(self):
        self.paused = self.victims()
        for node in self.paused:
            node.pause()
        return Fault([node.id for node in self.paused], f"SIGSTOP of node {', '.join(str(node.id) for node in self.paused)}")

    def end(self):
        for node in getattr(self, "paused", ()):
            node.resume()


class PauseOne(_Pause):
    name = "pause-one"
    help = "SIGSTOP of a node of the seed's choosing"

    def victims(self):
        return self.some(1)


class PauseLeader(_Pause):
    name = "pause-leader"
    help = "SIGSTOP of the leader; it goes on later, believing that it still leads"

    def victims(self):
        return [self.leader()]


class PauseMinority(_Pause):
    name = "pause-minority"
    help = "SIGSTOP of as many nodes as the cluster survives"

    def victims(self):
        return self.some(self.minority)
