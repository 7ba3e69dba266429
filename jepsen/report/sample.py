#!/usr/bin/env python3
"""Makes up a history of a cluster with leader changes, partitions and every read level, in the format of FORMAT.md.

A small model of a replicated log in virtual time: every write gets an index when it takes effect, every read sees a prefix.
So what the certificates claim is true, unless a violation is asked for. The same seed gives the same bytes.
"""

import argparse
import heapq
import itertools
import json
import random
from bisect import bisect_right
from pathlib import Path

LEVELS = ("strong", "bounded", "session", "eventual")
BOUND_US = 200_000
TIMEOUT_US = 1_000_000
INVOKE, EFFECT = 0, 1


class Cluster:
    """Who leads, who is reachable, and which prefix of the log each node has applied, as functions of time."""

    def __init__(self, nodes, length_us):
        at = lambda share: int(length_us * share)
        self.nodes = range(1, nodes + 1)
        self.isolated = (1, at(.20), at(.34))  # the leader of term 3
        self.stopped = (nodes, at(.46), at(.53))
        self.down = (2, at(.64), at(.71))  # the leader of term 4
        self.slow = (at(.80), at(.92))
        pause = min(900_000, at(.02))
        self.leaders = [(0, 1, 3), (at(.20) + pause, 2, 4), (at(.64) + pause, 3 if nodes > 2 else 1, 5)]
        self.vacant = [(at(.20), at(.20) + pause), (at(.64), at(.64) + pause)]
        self.commit_times, self.entry_terms = [], [0]
        self.floor = dict.fromkeys(self.nodes, 0)  # what reads of the node have shown: it never goes back
        self.progress = {}  # process -> the largest index that it was shown

    def leader(self, t):
        """(node, term) of the newest leader."""
        return next((node, term) for start, node, term in reversed(self.leaders) if t >= start)

    def has_leader(self, t):
        return not any(start <= t < end for start, end in self.vacant)

    def state(self, node, t):
        for name, (who, start, end) in (("isolated", self.isolated), ("paused", self.stopped), ("down", self.down)):
            if node == who and start <= t < end:
                return name, start
        return "fine", 0

    def applied(self, node, t):
        """The index that the node has applied, and the age that it can prove."""
        name, since = self.state(node, t)
        if name == "fine":
            round_us = 20_000 if not self.slow[0] <= t < self.slow[1] else 70_000
            age = 2_500 + (t + node * 17_000) % (2 * round_us)
            return bisect_right(self.commit_times, t - 2_000), age
        return bisect_right(self.commit_times, since - 2_000), t - since + 15_000


def operations(cluster, rng, length_us, rate, clients, keys):
    """Yields operations in the order in which they end."""
    think = max(clients * 1_000_000 / rate - 900, 10)
    numbers, processes = itertools.count(), list(range(clients))
    next_process, sequence = itertools.count(clients), itertools.count()
    registers = {f"k{i}": [] for i in range(keys)}  # (index, value)
    events = [(rng.uniform(0, think), next(sequence), INVOKE, c, None) for c in range(clients)]
    heapq.heapify(events)
    while events:
        t, _, kind, client, op = heapq.heappop(events)
        if kind == INVOKE:
            if t >= length_us:
                continue
            op = _invoke(cluster, rng, int(t), next(numbers), processes[client], keys)
            heapq.heappush(events, (t + op.pop("_half"), next(sequence), EFFECT, client, op))
            continue
        end = _effect(cluster, rng, int(t), op, registers[op["key"]])
        if op["type"] == "info":
            processes[client] = next(next_process)
        yield op
        heapq.heappush(events, (end + rng.expovariate(1 / think), next(sequence), INVOKE, client, None))


def _invoke(cluster, rng, t, number, process, keys):
    op = {"op": number, "client": process, "f": "read" if rng.random() < .7 else "write",
          "key": f"k{min(int(rng.expovariate(6 / keys)), keys - 1)}", "invoked": t, "attempts": 1}
    slow = 4 if cluster.slow[0] <= t < cluster.slow[1] else 1
    median = 900 * slow
    if op["f"] == "read":
        op["level"] = rng.choice(LEVELS)
        op["node"] = rng.choice(cluster.nodes)
        median = {"strong": 700, "bounded": 260, "session": 240, "eventual": 200}[op["level"]]
        median *= slow if op["level"] == "strong" else 1
        if op["level"] == "bounded":
            op.update(max_age_us=BOUND_US, on_unmet=rng.choice(("wait", "refuse")))
        if op["level"] == "session":
            op["min_index"] = cluster.progress.get(process, 0)
    else:
        op.update(value=f"v{number}", session=process + 1, seq=number)
    op["_half"] = rng.lognormvariate(0, .45) * median / 2
    return op


def _effect(cluster, rng, t, op, register):
    spent = t - op["invoked"]
    if op["f"] == "write":
        return _write(cluster, rng, t, op, register, spent)
    node = op["node"]
    name, since = cluster.state(node, t)
    index, age = cluster.applied(node, t)
    index, level = max(index, cluster.floor[node]), op["level"]
    if name in ("paused", "down"):
        code = "CANNOT_CONNECT" if name == "down" else "TIMEOUT"
        return _end(op, t + (300 if name == "down" else TIMEOUT_US), "fail" if name == "down" else "info",
                    error={"code": code, "class": "not_executed" if name == "down" else "unknown",
                           "detail": f"node {node} {'is not there' if name == 'down' else 'did not answer'}"})
    if name == "isolated" and level == "strong" or level == "strong" and not cluster.has_leader(t):
        return _end(op, t + rng.randrange(200_000, 300_000), "fail",
                    error={"code": "NO_QUORUM", "class": "not_executed", "age_us": t - since if since else 0,
                           "detail": f"node {node} has heard no majority", "because": "NO_QUORUM"})
    via_leader, waited = False, 0
    if level == "bounded" and age > BOUND_US:
        return _end(op, t + 150, "fail", error={"code": "STALE", "class": "not_executed", "have": age, "want": BOUND_US,
                                                "age_us": age, "detail": "older than the bound", "because": "NO_QUORUM"})
    if level == "session" and index < op["min_index"] and name == "fine":
        index, waited, spent = op["min_index"], 2_000, spent + 2_000
    if level == "session" and index < op["min_index"]:
        return _end(op, t + 180, "fail", error={"code": "NOT_CAUGHT_UP", "class": "not_executed", "have": index,
                                                "want": op["min_index"], "detail": "behind the session"})
    basis = "anchor"
    if level == "strong":
        index, age, basis, waited = len(cluster.commit_times), 0, "read_index", rng.randrange(300)
        via_leader = node != cluster.leader(t)[0]
    _show(cluster, op["client"], index)
    cluster.floor[node] = max(cluster.floor[node], index)
    seen = bisect_right(register, (index, "\x7f"))
    revision, value = register[seen - 1] if seen else (0, None)
    term = cluster.leader(t)[1] if name == "fine" else 3
    certificate = {"node": node, "term": term, "index": index, "entry_term": cluster.entry_terms[index], "incarnation": "9f03c41e",
                   "age_us": age, "lag": 0, "basis": basis, "fresh_index": index, "waited_us": waited, "via_leader": via_leader}
    return _end(op, t + spent, "ok", result=value, revision=revision, certificate=certificate)


def _write(cluster, rng, t, op, register, spent):
    node, term = cluster.leader(t)
    if not cluster.has_leader(t):
        if rng.random() < .35:
            return _end(op, t + TIMEOUT_US, "info",
                        error={"code": "DEADLINE", "class": "unknown", "detail": "sent to a leader that did not answer"})
        return _end(op, t + rng.randrange(20_000, 120_000), "fail",
                    error={"code": "NO_LEADER", "class": "not_executed", "detail": "no node leads"})
    cluster.commit_times.append(t)
    cluster.entry_terms.append(term)
    index = len(cluster.commit_times)
    register.append((index, op["value"]))
    _show(cluster, op["client"], index)
    return _end(op, t + spent, "ok", revision=index,
                certificate={"node": node, "term": term, "index": index, "entry_term": term, "via_leader": True})


def _show(cluster, process, index):
    cluster.progress[process] = max(index, cluster.progress.get(process, 0))


def _end(op, returned, outcome, **fields):
    op.update(type=outcome, returned=int(returned), **fields)
    return returned


def samples(cluster, length_us, every_us=100_000):
    for t in range(0, length_us, every_us):
        leader, term = cluster.leader(t)
        for node in cluster.nodes:
            name, _ = cluster.state(node, t)
            if name in ("down", "paused"):
                yield {"sample": node, "at": t + node, "role": name}
                continue
            applied, age = cluster.applied(node, t)
            role = "leader" if node == leader and cluster.has_leader(t) or name == "isolated" else "follower"
            if not cluster.has_leader(t) and name == "fine":
                role = "candidate" if node == cluster.leader(t + 1_000_000)[0] else "follower"
            commit = bisect_right(cluster.commit_times, t - 1_000)
            yield {"sample": node, "at": t + node, "role": role, "term": 3 if name == "isolated" else term,
                   "leader": node if name == "isolated" else leader, "applied": applied, "age_us": age,
                   "commit": applied if name == "isolated" else max(commit, applied)}


def faults_and_links(cluster):
    who, start, end = cluster.isolated
    others = [n for n in cluster.nodes if n != who]
    yield {"fault": "isolate-leader", "id": 1, "at": start, "until": end, "nodes": [who],
           "detail": f"node {who} cut from {', '.join(map(str, others))}"}
    yield {"fault": "pause", "id": 2, "at": cluster.stopped[1], "until": cluster.stopped[2], "nodes": [cluster.stopped[0]],
           "detail": f"SIGSTOP to node {cluster.stopped[0]}"}
    yield {"fault": "kill-leader", "id": 3, "at": cluster.down[1], "until": cluster.down[2], "nodes": [cluster.down[0]],
           "detail": f"kill -9 of node {cluster.down[0]}"}
    slow_start, slow_end = cluster.slow
    yield {"fault": "slow-links", "id": 4, "at": slow_start, "until": slow_end, "detail": "30 ms on every link"}
    middle = (slow_start + slow_end) // 2
    yield {"fault": "one-way", "id": 5, "at": middle, "until": slow_end, "nodes": [1], "detail": "node 1 hears node 2 no more"}
    pairs = list(itertools.permutations(cluster.nodes, 2))
    link = lambda at, state: {"at": at, "links": [[a, b, state(a, b)] for a, b in pairs]}
    yield link(0, lambda a, b: "ok")
    yield link(start, lambda a, b: "cut" if who in (a, b) else "ok")
    yield link(end, lambda a, b: "ok")
    yield link(slow_start, lambda a, b: "slow")
    yield link(middle, lambda a, b: "cut" if (a, b) == (2, 1) else "slow")
    yield link(slow_end, lambda a, b: "ok")


def break_promise(ops, cluster):
    """Turns one eventual read of the isolated node into a bounded one that lies. Returns the violation."""
    who, start, end = cluster.isolated
    acknowledged = {}
    for op in sorted((o for o in ops if o["type"] == "ok"), key=lambda o: (o["returned"], o["op"])):
        if op["f"] == "write":
            acknowledged.setdefault(op["key"], []).append(op)
    for op in ops:
        if not (op["type"] == "ok" and op.get("level") == "eventual" and op["node"] == who and
                start + (end - start) * .6 < op["invoked"] < end):
            continue
        missed = [w for w in acknowledged.get(op["key"], ()) if w["revision"] > op["certificate"]["index"] and
                  w["returned"] < op["invoked"] - 2 * BOUND_US]
        if not missed:
            continue
        write = missed[0]
        op.update(level="bounded", max_age_us=BOUND_US)
        op["certificate"].update(age_us=118_000)
        late = (op["invoked"] - write["returned"]) / 1e6
        return {"checker": "bounded", "ops": [op["op"], write["op"]], "at": op["invoked"], "key": op["key"],
                "sentence": f"read #{op['op']} on node {who} missed write #{write['op']}, acknowledged {late:.2f} s before it "
                            f"began; it claimed at most 0.12 s"}
    raise ValueError("no read of the isolated node missed a write; ask for a longer or busier history")


def generate(directory, seed=1, seconds=60, rate=1000, clients=12, nodes=3, keys=24, violation=False):
    """Writes history.jsonl and results.json into the directory. Returns both paths."""
    rng, length_us = random.Random(seed), int(seconds * 1_000_000)
    cluster = Cluster(nodes, length_us)
    ops = list(operations(cluster, rng, length_us, rate, clients, keys))
    violations = [break_promise(ops, cluster)] if violation else []
    header = {"format": "quorate-history-1", "workload": "register", "seed": seed, "nodes": nodes, "backend": "proxy",
              "started_unix_us": 1_790_000_000_000_000,
              "args": ["test", "-w", "register", "-n", "isolate-leader,pause,kill-leader,slow-links", "--nodes", str(nodes),
                       "--time", str(seconds), "--rate", str(rate), "--seed", str(seed)]}
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    lines = [header, *faults_and_links(cluster), *samples(cluster, length_us), *ops, {"end": length_us}]
    history, results = directory / "history.jsonl", directory / "results.json"
    with history.open("w") as out:
        out.writelines(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
    results.write_text(json.dumps(_results(ops, violations)))
    return history, results


def _results(ops, violations):
    broken = {v["checker"] for v in violations}
    counts = {level: sum(o.get("level") == level for o in ops) for level in LEVELS}
    checkers = [{"name": level, "valid": level not in broken, "checked": n, "took_ms": 4 + n // 4000}
                for level, n in counts.items()]
    checkers += [{"name": "exactly-once", "valid": True, "checked": sum(o["f"] == "write" for o in ops), "took_ms": 9},
                 {"name": "certificates", "valid": not violations, "checked": len(ops), "took_ms": 21},
                 {"name": "availability", "valid": True, "checked": 5, "took_ms": 2,
                  "detail": "strong reads answered again at most 1.12 s after each fault"}]
    served = [{"fault": "isolate-leader", "id": 1, "served_after_us": 1_120_000, "judgement": "in time"}]
    return {"valid": not violations, "checkers": checkers, "violations": violations, "availability": served}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--rate", type=float, default=1000, help="operations a second, all clients together")
    parser.add_argument("--clients", type=int, default=12)
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--violation", action="store_true", help="one bounded read lies")
    print(*generate(**vars(parser.parse_args())), sep="\n")


if __name__ == "__main__":
    main()
