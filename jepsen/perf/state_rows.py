"""What takes a state of some size or age: idling, restarting, catching up, going on for long, growing."""

import json
import statistics
import subprocess
import threading
import time

from cluster import DIE_WITH_PARENT, ClusterError, wait_until
from perf.systems import Etcd, Quorate, run
from perf.verdict import Verdict, number
from wire import Connection, Lost, NotSent

HUGE = 1e9  # of a ratio to nothing


class Row:
    """Each measures by itself; `report` has one line for each thing seen, `figures` the numbers behind it."""

    name = ""

    def __init__(self, options, progress):
        self.options = options
        self.progress = progress
        self.figures = {}
        self.report = []

    def say(self, text):
        self.report.append(text)
        self.progress(f"{self.name}: {text}")

    def measure(self, with_etcd):
        raise NotImplementedError

    def verdicts(self):
        raise NotImplementedError


class Idle(Row):
    """Three nodes that hold nothing and are asked nothing."""

    name = "idle"

    def measure(self, with_etcd):
        for system in [Quorate, *([Etcd] if with_etcd else [])]:
            with system(self.options) as running:
                self.figures[system.name] = figures = running.usage.idle()
                self.say(f"{system.name}: {figures['cpu_percent']:.2f} % of a core, {figures['resident_mib']:.1f} MiB a node")

    def verdicts(self):
        mine = self.figures["quorate"]
        return [Verdict(self.name, "CPU of a node, of one core", mine["cpu_percent"], 2, 1, at_most=True, unit=" %"),
                Verdict(self.name, "resident memory of a node", mine["resident_mib"], 40, 20, at_most=True, unit=" MiB")]


class Restart(Row):
    """Killed nodes start again over a million keys: until the first strong read is answered."""

    name = "restart"
    KEYS = 1_000_000

    def measure(self, with_etcd):
        with Quorate(self.options) as system:
            cluster = system.cluster
            system.preload(keys=self.KEYS)
            follower = next(node for node in cluster if node.id != cluster.leader_id())
            self.figures["one_s"] = self.restart([follower])
            self.say(f"one node: {self.figures['one_s']:.2f} s until it answers")
            cluster.wait_ready()
            self.figures["all_s"] = self.restart(list(cluster))
            self.say(f"all three: {self.figures['all_s']:.2f} s until one answers")

    @staticmethod
    def restart(nodes):
        for node in nodes:
            node.kill()
        began = time.monotonic()
        for node in nodes:
            node.start()
        wait_until(lambda: any(answers_strongly(node) for node in nodes), 60, "no strong read was answered", interval=0.005)
        return time.monotonic() - began

    def verdicts(self):
        return [Verdict(self.name, what, self.figures[name], 3, 1, at_most=True, unit=" s")
                for what, name in (("one node killed, to its first strong read", "one_s"),
                                   ("all nodes killed, to the first strong read", "all_s"))]


def answers_strongly(node):
    try:
        with Connection(node.address, timeout=1.0) as connection:
            reply = connection.get(b"user000000000000", deadline_ms=900)
            return reply.ok
    except (NotSent, Lost, OSError):
        return False


class Steady:
    """An open loop of puts for `seconds`, in the background; `intervals` has the figures of each second once it is over.

    A rate, so that a stalled server is asked no less: latency counts from when each request was due."""

    def __init__(self, system, rate, seconds, keys=None, node_ids=()):
        # More threads of their own than connections would be idle; the default limit in flight is a tenth of a second's worth.
        self.process = subprocess.Popen(
            [*DIE_WITH_PARENT, *map(str, system.command(
                "put", 1, 8, f"{seconds:g}", keys=keys, endpoints=system.cluster.endpoints(*node_ids),
                flags=["--rate", f"{rate:.0f}", "--interval", "1s", "--max-in-flight", max(10_000, int(2 * rate))]))],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.intervals = []
        self.total = None
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            figures = json.loads(line)
            if "at" in figures:
                self.intervals.append(figures | {"time": time.monotonic()})
            else:
                self.total = figures

    def stop(self):
        self.process.terminate()

    def wait(self):
        self.process.wait()
        self.reader.join()
        if self.total is None:
            raise ClusterError(f"the load ended with code {self.process.returncode}:\n{self.process.stderr.read()}")
        return self.intervals

    def between(self, begin, end):
        return [one for one in list(self.intervals) if begin + 1 <= one["time"] <= end]


def field(node, name):
    """Of its status; -1 if it does not answer."""
    status = node.status()
    return status[name] if status else -1


def applied(node):
    return field(node, "applied")


def wait_caught_up(cluster, node, timeout):
    """Until it has applied what was committed when this was called."""
    goal = max(applied(other) for other in cluster if other is not node)
    def state():
        cluster.check_alive()
        return applied(node) >= goal
    wait_until(state, timeout, lambda: f"node {node.id} has applied {applied(node)} of {goal}\n{node.log_tail()}", interval=0.05)


class Catchup(Row):
    """A node that was down since the beginning fetches 1 GB while the others go on serving."""

    name = "catchup"
    VALUE = 4096
    KEYS = 250_000
    BEFORE_S = 10

    def measure(self, with_etcd):
        with Quorate(self.options) as system:
            cluster = system.cluster
            node = next(node for node in cluster if node.id != cluster.leader_id())
            node.kill()
            system.preload(keys=self.KEYS, value_size=self.VALUE)
            others = [other.id for other in cluster if other is not node]
            load = Steady(system, self.options.catchup_rate, 600, keys=self.options.keys, node_ids=others)
            time.sleep(self.BEFORE_S + 2)
            began = time.monotonic()
            node.start()
            wait_caught_up(cluster, node, 300)
            ended = time.monotonic()
            time.sleep(1.2)  # the interval that is under way
            before = p99(load.between(began - self.BEFORE_S, began))
            during = p99(load.between(began, ended + 1))
            load.stop()
            load.wait()
            self.figures = {"seconds": ended - began, "p99_before_us": before, "p99_during_us": during,
                            "snapshots": field(node, "snapshots_installed")}
            self.say(f"{ended - began:.1f} s for {self.KEYS * self.VALUE / 1e9:.2g} GB, "
                     f"{self.figures['snapshots']} snapshots installed; p99 of puts at {self.options.catchup_rate:,} a second: "
                     f"{number(before)} us before, {number(during)} us meanwhile")

    def verdicts(self):
        ratio = self.figures["p99_during_us"] / self.figures["p99_before_us"]
        return [Verdict(self.name, "p99 of puts meanwhile, times that before", ratio, 2, 1.2, at_most=True, unit="x")]


def p99(intervals):
    """The median of the seconds' own."""
    if not intervals:
        raise ClusterError("no second of the load falls into the time in question")
    return statistics.median(one["p99_us"] for one in intervals)


class Soak(Row):
    """Long load at 70 % of what was measured just before, while a node falls behind the log again and again and is brought back."""

    name = "soak"
    SHARE = 0.7
    PROBE_S = 15

    def measure(self, with_etcd):
        with Quorate(self.options) as system:
            system.preload()
            best = system.load("put", 256, 8, self.PROBE_S)["ops_per_sec"]
            seconds = 60 * self.options.minutes
            self.progress(f"soak: {self.SHARE:.0%} of {best:,.0f} puts a second for {self.options.minutes:g} minutes")
            load = Steady(system, self.SHARE * best, seconds)
            snapshots = self.disturb(system.cluster, time.monotonic() + seconds)
            intervals = load.wait()[1:]  # the first second connects
            system.cluster.check_alive()
            self.summarize(system, best, load.total, intervals, snapshots)

    def disturb(self, cluster, end):
        """Stops a follower in each period until the log has been cut beyond it, and starts it again. Returns the snapshots that
        these took."""
        period = min(300, 60 * self.options.minutes / 2)
        snapshots = []
        while time.monotonic() + period <= end:
            next_begin = time.monotonic() + period
            time.sleep(period * 0.4)
            leader = cluster.leader()
            node = next(node for node in cluster if node is not leader)
            had = applied(node)
            node.terminate()
            wait_until(lambda: field(leader, "log_first_index") > had or time.monotonic() > next_begin - period * 0.3, period,
                       "no time passes", interval=0.5)
            node.start()
            wait_caught_up(cluster, node, period)
            snapshots.append(field(node, "snapshots_installed"))
            time.sleep(max(0, next_begin - time.monotonic()))
        return snapshots

    def summarize(self, system, best, total, intervals, snapshots):
        usual = statistics.median(one["p99_us"] for one in intervals)
        worst = max(intervals, key=lambda one: one["p99_us"] if one["ops_per_sec"] else HUGE)
        self.figures = {
            "measured_per_sec": best, "offered_per_sec": self.SHARE * best, "ops_per_sec": total["ops_per_sec"],
            "errors": total["errors"], "median_p99_us": usual, "worst_p99_us": worst["p99_us"] if worst["ops_per_sec"] else HUGE,
            "worst_at_s": worst["at"], "returns": len(snapshots), "snapshots": sum(snapshots),
            "log_cuts": max(field(node, "log_cuts") for node in system.cluster),
            "resident_mib": max(node.usage()[1] for node in system.cluster) / (1 << 20)}
        self.say(f"{total['ops_per_sec']:,.0f} puts a second, {total['errors']} errors; p99 of a second: median {number(usual)} us, "
                 f"worst {number(self.figures['worst_p99_us'])} us (after {worst['at']:.0f} s); a node came back "
                 f"{len(snapshots)} times, with {sum(snapshots)} snapshots; {self.figures['log_cuts']} log cuts; "
                 f"{self.figures['resident_mib']:.0f} MiB resident")

    def verdicts(self):
        return [Verdict(self.name, "p99 of the worst second, times the median's",
                        self.figures["worst_p99_us"] / self.figures["median_p99_us"], 10, 3, at_most=True, unit="x")]


class Scale(Row):
    """The same load over ten thousand keys and over five million."""

    name = "scale"
    FEW = 10_000
    MANY = 5_000_000

    def measure(self, with_etcd):
        for keys in (self.FEW, self.MANY):
            with Quorate(self.options) as system:
                rate = system.preload(keys=keys)
                self.figures[f"{keys}"] = figures = {
                    kind: [system.load(*load, self.options.seconds, keys=keys)["ops_per_sec"] for _ in range(self.options.runs)]
                    for kind, load in (("gets", ("get strong", 64, 8)), ("puts", ("put", 256, 8)))}
                self.say(f"{keys:,} keys, loaded at {rate:,.0f} a second: "
                         + ", ".join(f"{statistics.median(rates):,.0f} {kind} a second" for kind, rates in figures.items()))

    def kept(self, kind):
        few, many = (statistics.median(self.figures[f"{keys}"][kind]) for keys in (self.FEW, self.MANY))
        return 100 * many / few

    def verdicts(self):
        return [Verdict(self.name, f"{kind}: the rate kept with {self.MANY:,} keys", self.kept(kind), 60, 90, unit=" %")
                for kind in ("puts", "gets")]


STATE_ROWS = [Idle, Restart, Catchup, Soak, Scale]
