"""Wall clocks that jump, by libfaketime (Debian: faketime). Nodes time everything with CLOCK_BOOTTIME, which is left alone:
a wall clock that jumps must change nothing. To bend CLOCK_BOOTTIME itself needs a hook in the server, and there is none."""

import glob

from nemesis import Fault, Nemesis

LIBRARY = next(iter(sorted(glob.glob("/usr/lib/*/faketime/libfaketime.so.1"))), None)


class _Clock(Nemesis):
    of = "clock"

    @classmethod
    def unavailable(cls, cluster):
        return None if LIBRARY else "libfaketime is not installed: apt-get install faketime"

    @classmethod
    def prepare(cls, cluster):
        for node in cluster:
            offset(node).write_text("+0\n", encoding="ascii")
            node.environment |= {"LD_PRELOAD": LIBRARY, "FAKETIME_TIMESTAMP_FILE": str(offset(node)), "FAKETIME_NO_CACHE": "1",
                                 "FAKETIME_DONT_FAKE_MONOTONIC": "1"}

    def shift(self, node, seconds):
        """One write, in place: a reader sees the old line or the new one."""
        with open(offset(node), "r+b") as file:
            file.write(b"%+08d\n" % seconds)

    def begin(self):
        self.nodes = self.random.sample(list(self.cluster), self.random.randint(1, len(self.cluster.nodes)))
        return Fault([node.id for node in self.nodes], self.describe())

    def describe(self):
        raise NotImplementedError

    def end(self):
        for node in self.cluster:
            self.shift(node, 0)


def offset(node):
    return node.data_dir.parent / f"node{node.id}.clock"


class ClockJump(_Clock):
    name = "clock-jump"
    help = "the wall clock of some nodes jumps by up to a day, either way"

    def describe(self):
        seconds = self.random.choice((-86400, -600, -2, 2, 600, 86400))
        for node in self.nodes:
            self.shift(node, seconds)
        return f"wall clock {seconds:+d} s"


class ClockStrobe(_Clock):
    name = "clock-strobe"
    help = "the wall clock of some nodes jumps to and fro many times a second"

    def describe(self):
        return "wall clock to and fro by an hour"

    def step(self):
        for node in self.nodes:
            self.shift(node, self.random.choice((0, 3600)))
        return self.random.uniform(0.02, 0.2)
