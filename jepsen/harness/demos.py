"""Half a minute each: one fault, and in plain words what it showed."""

import bisect
import json
import statistics

from harness import HarnessError, USAGE, plan as plans, test
from nemesis import Event

FAULT = (5.0, 13.0)
SECONDS = 18


class Seen:
    """A history, as a demo looks at it."""

    def __init__(self, directory):
        self.ops, self.faults, self.samples = [], [], []
        with open(directory / "history.jsonl", encoding="utf-8") as lines:
            for line in map(json.loads, lines):
                for name, rows in (("op", self.ops), ("fault", self.faults), ("sample", self.samples)):
                    if name in line:
                        rows.append(line)
        shown = sorted((op["returned"], op.get("revision", 0) if op["f"] != "read" else op["certificate"]["index"])
                       for op in self.ops if op["type"] == "ok")
        self.times, self.indices, largest = [], [], 0
        for at, index in shown:
            if index > largest:
                largest = index
                self.times.append(at)
                self.indices.append(index)

    @property
    def fault(self):
        """The node at the centre of the first fault, when it began and ended (us)."""
        first = self.faults[0]
        return first["nodes"][0], first["at"], first["until"]

    def staleness(self, read):
        """For how long something newer had been shown when it began, in us."""
        newer = bisect.bisect_right(self.indices, read["certificate"]["index"])
        return max(0, read["invoked"] - self.times[newer]) if newer < len(self.times) else 0

    def reads(self, level=None, node=None, begin=0, end=1 << 60):
        return [op for op in self.ops if op["f"] == "read" and level in (None, op["level"]) and node in (None, op.get("node"))
                and begin <= op["invoked"] < end and op.get("on_unmet") != "serve"]


def table(seen, node, begin, end):
    lines = [f"  {'level':<10} {'served':>7} {'refused':>8}   stalest answer   why refused"]
    for level in ("strong", "bounded", "session", "eventual"):
        reads = seen.reads(level, node, begin, end)
        served = [op for op in reads if op["type"] == "ok"]
        refused = [op["error"]["code"] for op in reads if op["type"] != "ok"]
        stalest = f"{max(map(seen.staleness, served)) / 1e6:.2f} s" if served else "-"
        lines.append(f"  {level:<10} {len(served):>7} {len(refused):>8}   {stalest:<16} {', '.join(sorted(set(refused)))}")
    return lines


def one(name, out, nemesis, explain):
    """A test with a single fault, then `explain(Seen)` gives the lines to print."""
    plan = plans.Plan("register", [nemesis], rate=400, seconds=SECONDS, seed=1, events=[Event(*FAULT, nemesis, f"demo/{name}")])
    code, seen, directory = _watch(name, out, plan, suffix="")
    _tell(explain(seen), directory)
    return code


def _watch(name, out, plan, suffix):
    directory = f"{out}{suffix}" if out else test.STORE / f"demo-{name}{suffix}"
    if not out:
        _remove(directory)
    code, directory = test.run(plan, directory, plan.nemeses, quiet=True)
    return code, Seen(directory), directory


def _tell(lines, directory):
    test.say("\n".join(lines) + f"\n  {directory / 'report.html'}\n")


def _remove(directory):
    """A demo's own last result, and nothing else."""
    for path in directory.glob("*") if directory.is_dir() else ():
        path.unlink()


def stale_read(out):
    def explain(seen):
        node, begin, end = seen.fault
        return [f"Node {node}, the leader, was cut from the others for {(end - begin) / 1e6:.0f} s. Reads through it, from 0.5 s on:",
                *table(seen, node, begin + 500_000, end - 1_500_000),  # later ones wait until it is over
                "Strong reads were refused, for no majority confirmed them. Bounded ones were refused as soon as 200 ms could not be",
                "proved. Session reads gave what their client had seen, or refused; eventual ones were late, and said so."]
    return one("stale-read", out, "isolate-leader", explain)


def last_contact(out):
    def explain(seen):
        lies = [(seen.staleness(op), op) for op in seen.reads("bounded") if op["type"] == "ok"
                and seen.staleness(op) > op["max_age_us"]]
        if not lies:
            return 0, ["  No bounded read was older than the 50 ms that it promised."]
        worst, op = max(lies, key=lambda lie: lie[0])
        return len(lies), [f"  {len(lies)} bounded reads were older than the 50 ms that they promised; the worst, read #{op['op']} on node",
                f"  {op['certificate']['node']}, claimed {op['certificate'].get('age_us', 0) / 1000:.0f} ms and was {worst / 1e6:.2f} s old."]
    def attempt(control, seed):
        plan = plans.Plan("register", ["pause-leader", "pause-one", "isolate-leader"], read="bounded:50ms,strong", rate=600,
                          seconds=14, control=control, seed=seed)
        code, seen, directory = _watch("last-contact", out, plan, f"-{control or 'anchors'}-{seed}")
        lies, lines = explain(seen)
        _tell(lines, directory)
        return lies, code

    test.say("Judged by the time since the leader was last heard, as others do; nodes are stopped (SIGSTOP) and cut off meanwhile:")
    for seed in (1, 2, 3):  # it does not lie in every run
        if attempt("last-contact", seed)[0]:
            break
    test.say("The same faults, with anchors, as quorated does it:")
    _, code = attempt("", seed)
    test.say("A process that was stopped reads old messages when it goes on: it has just heard its leader, and is seconds late.")
    return code


def split_brain(out):
    def explain(seen):
        node, begin, end = seen.fault
        led = {}
        for sample in seen.samples:
            if sample["role"] == "leader" and begin <= sample["at"] < end:
                led.setdefault((sample["sample"], sample["term"]), []).append(sample["at"])
        lines = [f"Node {node} led and was cut from the others for {(end - begin) / 1e6:.0f} s."]
        lines += [f"  node {who} said that it leads in term {term} from {times[0] / 1e6:.1f} s to {times[-1] / 1e6:.1f} s"
                  for (who, term), times in sorted(led.items(), key=lambda item: item[1][0])]
        strong = [op for op in seen.reads("strong", begin=begin, end=end) if op["type"] == "ok"
                  and op["returned"] < end]  # others waited until it was over
        written = [op for op in seen.ops if op["f"] != "read" and op["type"] == "ok" and begin <= op["invoked"] < end]
        by = lambda rows, inside: sum((op["certificate"]["node"] == node) == inside for op in rows)
        late = [op for op in strong if op["invoked"] > begin + 500_000]
        lines += [f"  strong reads answered by node {node}: {by(late, True)}, by the others: {by(late, False)} (from 0.5 s on)",
                  f"  writes acknowledged by node {node}: {by(written, True)}, by the others: {by(written, False)}",
                  "Two may think that they lead; only one can commit, and only one can confirm a read."]
        return lines
    return one("split-brain", out, "isolate-leader", explain)


def _latency(seen, begin, end):
    took = sorted(op["returned"] - op["invoked"] for op in seen.ops if op["f"] != "read" and op["type"] == "ok"
                  and begin <= op["invoked"] < end)
    return f"{len(took)} writes, half within {statistics.median(took) / 1000:.1f} ms, the slowest {took[-1] / 1000:.0f} ms" if took else "no write"


def slow_disk(out):
    def explain(seen):
        node, begin, end = seen.fault
        leaders = {sample["term"] for sample in seen.samples if sample["role"] == "leader"}
        return [f"The disk of node {node} took writes for moments only, for {(end - begin) / 1e6:.0f} s.",
                f"  before: {_latency(seen, 0, begin)}", f"  during: {_latency(seen, begin, end)}",
                f"  after:  {_latency(seen, end, 1 << 60)}", f"  terms with a leader: {len(leaders)}",
                "Slow is not wrong: what was acknowledged is on the disks of a majority."]
    return one("slow-disk", out, "disk-slow", explain)


def clock_skew(out):
    def explain(seen):
        fault = seen.faults[0]
        during = seen.reads("bounded", begin=fault["at"], end=fault["until"])
        late = [op for op in during if op["type"] == "ok" and seen.staleness(op) > op["max_age_us"]]
        return [f"{fault['detail']} on nodes {fault['nodes']} for {(fault['until'] - fault['at']) / 1e6:.0f} s.",
                f"  bounded reads meanwhile: {len(during)}, older than promised: {len(late)}",
                f"  leaders in all: {len({s['term'] for s in seen.samples if s['role'] == 'leader'})} terms",
                "Ages are differences on a node's own clock of boot time: the wall clock is for its log only."]
    return one("clock-skew", out, "clock-jump", explain)


DEMOS = {"stale-read": stale_read, "last-contact": last_contact, "split-brain": split_brain, "slow-disk": slow_disk,
         "clock-skew": clock_skew}


def run(name, out=None):
    if name not in DEMOS:
        raise HarnessError(f"there is no demo '{name}'; there are {', '.join(DEMOS)}", USAGE)
    return DEMOS[name](out)
