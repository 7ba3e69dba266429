"""Closed loops of clients on Quorate and, in turn with it, on etcd: drift of the machine then hits both alike."""

import contextlib
import statistics
from dataclasses import dataclass, field

from perf.systems import Etcd, Machine, Quorate
from perf.verdict import Verdict, number

RATIO = "x"


@dataclass
class LoadRow:
    name: str
    kind: str
    clients: int
    connections: int
    # How many times etcd's (must, aim): operations a second; etcd's p99, p50 and CPU per operation over Quorate's.
    rate: tuple = ()
    p99: tuple = ()
    p50: tuple = ()
    cpu: tuple = ()
    # Of the machine's limit for replicated writes, (must, aim): the share of its rate, the multiple of its p50.
    limit_rate: tuple = ()
    limit_p50: tuple = ()
    results: dict = field(default_factory=dict)  # by system: one dict of figures for each run

    @property
    def writes_only(self):
        return self.kind == "put"


def all_rows():
    return [
        LoadRow("puts", "put", 256, 8, rate=(6, 12), p99=(6, 12), cpu=(6, 12), limit_rate=(None, 1 / 3)),
        LoadRow("strong", "get strong", 64, 8, rate=(8, 16), cpu=(8, 16)),
        LoadRow("eventual", "get eventual", 64, 8, rate=(10, 20)),
        LoadRow("one", "put", 1, 1, p50=(2, 2), limit_p50=(1.8, 1.3)),
        LoadRow("thousand", "put", 1000, 100, rate=(6, 12)),
        LoadRow("puts64", "put", 64, 8),
        LoadRow("one-get", "get strong", 1, 1),
        LoadRow("ycsb-a", "ycsb-a", 64, 8),
        LoadRow("ycsb-b", "ycsb-b", 64, 8),
        LoadRow("ycsb-c", "ycsb-c", 64, 8),
    ]


def measure(rows, options, with_etcd, progress):
    """Fills in the rows' results."""
    with contextlib.ExitStack() as stack:
        systems = [stack.enter_context(Quorate(options))]
        if with_etcd:
            systems.append(stack.enter_context(Etcd(options)))
        for system in systems:
            progress(f"{system.name}: loading {options.keys} keys")
            system.preload()
        machine = Machine(options)
        for run in range(options.runs):
            for row in rows:
                progress(f"run {run + 1} of {options.runs}: {row.name}")
                if row.limit_rate or row.limit_p50:
                    note(row, "limit", machine.replicate(row.clients, row.connections))
                for system in systems:
                    if system.name == "quorate" or row.kind in Etcd.MODES:
                        note(row, system.name, system.load(row.kind, row.clients, row.connections, options.seconds))


def note(row, system, figures):
    if figures is not None:
        row.results.setdefault(system, []).append(figures)


def median(row, system, figure):
    return statistics.median(run[figure] for run in row.results[system])


def ratio(row, over, under, figure):
    """The median over the runs of each run's own ratio."""
    if over not in row.results or under not in row.results:
        return None
    pairs = zip(row.results[over], row.results[under])
    return statistics.median(a[figure] / b[figure] for a, b in pairs if b[figure])


def verdicts(row):
    def judge(bounds, what, value, at_most=False):
        if bounds:
            found.append(Verdict(row.name, what, value, *bounds, at_most=at_most, unit=RATIO))
    found = []
    judge(row.rate, "operations a second, times etcd's", ratio(row, "quorate", "etcd", "ops_per_sec"))
    judge(row.p50, "p50: etcd's, times ours", ratio(row, "etcd", "quorate", "p50_us"))
    judge(row.p99, "p99: etcd's, times ours", ratio(row, "etcd", "quorate", "p99_us"))
    judge(row.cpu, "server CPU per operation: etcd's, times ours", ratio(row, "etcd", "quorate", "server_cpu_us"))
    judge(row.limit_rate, "operations a second, times replicate_limit's", ratio(row, "quorate", "limit", "ops_per_sec"))
    judge(row.limit_p50, "p50: ours, times replicate_limit's", ratio(row, "quorate", "limit", "p50_us"), at_most=True)
    return found


def print_table(rows):
    print(f"{'row':10} {'system':8} {'clients':>7} {'conns':>5} {'ops/s':>9} {'p50 us':>8} {'p99 us':>8} {'p99.9 us':>9} "
          f"{'errors':>6} {'server us/op':>12} {'client us/op':>12}")
    for row in rows:
        for system, runs in row.results.items():
            if system == "limit":
                figures = [median(row, system, name) for name in ("ops_per_sec", "p50_us", "p99_us")]
                rest = ["", "", "", ""]
            else:
                figures = [median(row, system, name) for name in ("ops_per_sec", "p50_us", "p99_us")]
                rest = [number(median(row, system, "p999_us")), str(sum(run["errors"] for run in runs)),
                        number(median(row, system, "server_cpu_us")), number(median(row, system, "client_cpu_us"))]
            print(f"{row.name:10} {system:8} {row.clients:>7} {row.connections:>5} {number(figures[0]):>9} "
                  f"{number(figures[1]):>8} {number(figures[2]):>8} {rest[0]:>9} {rest[1]:>6} {rest[2]:>12} {rest[3]:>12}")
