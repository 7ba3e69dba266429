#!/usr/bin/env python3
"""Rounds of kill -9 under load: no acknowledged write may be lost, no strong read may be wrong, and strong reads must be
back soon after the leader is gone.

Each round kills a random node, the leader, or all nodes at once, and starts them again; or it stops the leader with SIGSTOP
until another leads and then lets it go on, believing that it still does. With --small-logs the nodes keep so little log that
a node that was away needs a snapshot; the kind `install` then kills it a few times more while it fetches and installs one. At the end every acknowledged write is read back
with a strong read through each node. Exit code 0: all held. 1: violations, listed. With --control the run spoils something on
purpose, and exits 0 only if the checks report it:

  lose-write      deletes one acknowledged key behind the checker's back before reading back
  stale-read      sets one recorded read back to a value from before the last acknowledged one
  slow-failover   stops the surviving nodes for longer than the limit when the leader is killed
"""

import argparse
import itertools
import json
import random
import sys
import time

import checks
from cluster import Cluster, ClusterError, wait_until
from nemesis.logs import SMALL_LOGS
from wire import Connection, delete_command
from workload import Load

KINDS = {"leader": "kill -9 of the leader", "any": "kill -9 of a random node", "all": "kill -9 of all nodes",
         "pause": "SIGSTOP of the leader", "install": "kill -9 while a node comes back"}
CONTROLS = ("lose-write", "stale-read", "slow-failover")
BATCH = 200


def parse_arguments(arguments):
    parser = argparse.ArgumentParser(prog="./run jepsen kill_rounds", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--kinds", default="leader,any,all,pause", help="in turn, of " + ",".join(KINDS) + "; default %(default)s")
    parser.add_argument("--small-logs", action="store_true", help="cut logs all the time, so that snapshots are needed")
    parser.add_argument("--writers", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=1.5, help="of load before each fault and while it lasts")
    parser.add_argument("--limit", type=float, default=2.0, help="seconds until strong reads are back; default %(default)s")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--control", choices=CONTROLS)
    parser.add_argument("--keep", action="store_true", help="keep data and logs")
    parser.add_argument("--json", action="store_true", help="one object on stdout instead of text")
    options = parser.parse_args(arguments)
    options.kinds = options.kinds.split(",")
    if unknown := set(options.kinds) - set(KINDS):
        parser.error(f"--kinds takes {','.join(KINDS)}, not {','.join(unknown)}")
    return options


class Run:
    def __init__(self, options, cluster, load):
        self.options, self.cluster, self.load = options, cluster, load
        self.random = random.Random(options.seed)
        self.failovers = []  # seconds from a leader's end or pause to the next strong read

    def victims(self, kind):
        if kind == "all":
            return list(self.cluster)
        return [self.random.choice(list(self.cluster)) if kind in ("any", "install") else self.cluster.leader()]

    def round(self, kind):
        time.sleep(self.options.seconds)
        victims = self.victims(kind)
        held = [node for node in self.cluster if node not in victims] if self.options.control == "slow-failover" else []
        for node in held:
            node.pause()
        gone = time.monotonic()
        for node in victims:
            self.end(kind, node)
        if held:
            time.sleep(self.options.limit + 0.5)
            for node in held:
                node.resume()
        taken = self.time_to_read(gone) if kind in ("leader", "pause") else None
        time.sleep(self.options.seconds)
        for node in victims:
            if kind == "install":
                self.stumble(node)
            self.begin(kind, node)
        self.cluster.wait_ready(90 if self.options.small_logs else 30)
        return [node.id for node in victims], taken

    def stumble(self, node):
        """Starts it and kills it again, at moments of the seed's choosing."""
        for _ in range(4):
            node.start()
            time.sleep(self.random.uniform(0.02, 1.0))
            node.kill()

    @staticmethod
    def end(kind, node):
        if kind == "pause":
            node.pause()
        else:
            node.kill()

    @staticmethod
    def begin(kind, node):
        if kind == "pause":
            node.resume()
        else:
            node.start()

    def time_to_read(self, gone):
        answered = wait_until(lambda: self.load.first_read_after(gone), 30,
                              lambda: "no strong read since the leader is gone\n" + self.cluster.logs())
        self.failovers.append(answered - gone)
        return answered - gone


def read_all(node, keys):
    """key -> value (None if absent), strongly through `node`."""
    observed = {}
    with Connection(node.address, timeout=30) as connection:
        for at in range(0, len(keys), BATCH):
            batch = keys[at:at + BATCH]
            for key, reply in zip(batch, connection.get_many(batch, "strong", deadline_ms=20000)):
                if not reply.ok:
                    raise ClusterError(f"reading back {key!r} through node {node.id}: {reply.code.name}: {reply.message}")
                observed[key] = reply.value if reply.found else None
    return observed


def final_registers(load):
    """key -> the range its value must lie in, once every write has ended."""
    ranges = {}
    for write in load.register_writes:
        low, high = ranges.get(write.key, (0, 0))
        ranges[write.key] = (write.value if write.outcome == "ok" else low,
                             write.value if write.outcome != "no" else high)
    return ranges


def check_read_back(cluster, load):
    violations, acknowledged, registers = [], load.acknowledged, final_registers(load)
    for node in cluster:
        observed = read_all(node, [*acknowledged, *registers])
        violations += checks.read_back(acknowledged, observed, node.id)
        for key, (low, high) in registers.items():
            value = int(observed[key] or 0)
            if not low <= value <= high:
                violations.append(f"{key.decode()} reads {value} through node {node.id}, not {low}..{high}")
    return violations


def spoil(control, cluster, load):
    if control == "lose-write":
        with Connection(cluster.leader().address) as connection:
            reply = connection.write(delete_command(next(iter(load.acknowledged))))
            assert reply.ok and reply.found, reply
    if control == "stale-read":
        read = max(load.reads, key=lambda read: read.value)
        read.value = 0


def execute(options, say):
    with Cluster(options.nodes, flags=SMALL_LOGS if options.small_logs else (), keep=options.keep) as cluster:
        cluster.wait_ready()
        with Load(cluster, options.writers, options.seed) as load:
            run = Run(options, cluster, load)
            for number, kind in zip(range(1, options.rounds + 1), itertools.cycle(options.kinds)):
                victims, taken = run.round(kind)
                back = f", strong reads back after {taken:.2f} s" if taken is not None else ""
                say(f"round {number}: {KINDS[kind]}, {victims}{back}; {load.acknowledged_count()} keys so far")
        spoil(options.control, cluster, load)
        cluster.wait_ready()
        violations = (checks.failovers(run.failovers, options.limit)
                      + checks.strong_reads(load.register_writes, load.reads) + check_read_back(cluster, load))
        cluster.check_alive()
        installed = sum(node.log_text().count("installed a snapshot") for node in cluster)
    writes = load.register_writes
    return {"seed": options.seed, "rounds": options.rounds, "control": options.control,
            "snapshots_installed": installed,
            "acknowledged": len(load.acknowledged) + sum(write.outcome == "ok" for write in writes),
            "unknown": sum(writer.unknown for writer in load.writers),
            "not_executed": sum(writer.refused for writer in load.writers),
            "strong_reads": len(load.reads), "strong_reads_refused": sum(reader.refused for reader in load.readers),
            "failover_seconds": [round(taken, 3) for taken in run.failovers], "violations": violations}


def main(arguments):
    options = parse_arguments(arguments)
    result = execute(options, (lambda _: None) if options.json else print)
    caught = bool(result["violations"])
    if options.json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            if name != "violations":
                print(f"  {name.replace('_', ' ')}: {value}")
        for violation in result["violations"][:20]:
            print(f"  VIOLATION {violation}")
        print(f"{len(result['violations'])} violations" + (f" (control {options.control})" if options.control else ""))
    return int(caught != bool(options.control))


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except ClusterError as error:
        sys.exit(f"kill_rounds: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
