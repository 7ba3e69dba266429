"""Logs so small that they are cut all the time, and nodes that were away need snapshots."""

from nemesis import Fault, Nemesis

SMALL_LOGS = ("--segment-bytes", "64KiB", "--log-retain", "64KiB", "--log-max", "512KiB", "--memtable-bytes", "256KiB",
              "--snapshot-rate", "4MiB")


class SmallLogs(Nemesis):
    name = "small-logs"
    help = "for the whole test: snapshots and log cutting every few entries (together with kills it makes nodes fetch snapshots)"
    of = "logs"
    always = True

    @classmethod
    def prepare(cls, cluster):
        for node in cluster:
            node.flags += SMALL_LOGS

    def begin(self):
        return Fault(sorted(self.cluster.nodes), "logs of 64 to 512 KiB")
