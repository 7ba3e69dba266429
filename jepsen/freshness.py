"""The audit of what replies claim about themselves, against what was acknowledged: pure functions over what clients recorded.
Each returns a list of violations, as sentences.

Times are of one clock, the clients' own (time.monotonic(), one machine). An acknowledged write was committed before its
acknowledgement came, so a reply that was asked for at t and claims "at most A old" must include every write that was
acknowledged before t - A: the node reads its clock later than t, so that this asks for less than the claim says, never more.
"""

import bisect
import itertools
from collections import defaultdict
from dataclasses import dataclass

from wire import Code, Freshness, Reply


@dataclass
class Write:
    key: bytes
    value: bytes | None  # None: a delete
    start: float
    end: float
    index: int  # 0: not acknowledged


@dataclass
class Read:
    key: bytes
    node: int  # that was asked
    start: float
    end: float
    level: Freshness
    reply: Reply

    def __str__(self):
        return f"{self.level.name} read of {self.key.decode(errors='replace')} through node {self.node} at {self.start:.3f} s"


def audit(writes, reads):
    """Everything below. Writes of unknown outcome may be among `writes`, or be left out."""
    answered = [read for read in reads if read.reply.ok]
    acknowledged = [write for write in writes if write.index]
    return (claims(acknowledged, answered) + promises(answered) + values(acknowledged, answered) + never_back(answered)
            + log_order(acknowledged) + refusals(acknowledged, [read for read in reads if not read.reply.ok]))


class Acknowledged:
    """Which write of the highest index was acknowledged before an instant."""

    def __init__(self, writes):
        by_end = sorted(writes, key=lambda write: write.end)
        self.ends = [write.end for write in by_end]
        self.highest = list(itertools.accumulate(by_end, lambda a, b: a if a.index > b.index else b))

    def before(self, instant):
        at = bisect.bisect_left(self.ends, instant)
        return self.highest[at - 1] if at else None


def claims(acknowledged, answered):
    """No claimed age is too small, for strong reads neither."""
    acknowledged, violations = Acknowledged(acknowledged), []
    for read in answered:
        seen = read.reply.certificate
        if seen.age_us is None:
            continue
        missed = acknowledged.before(read.start - seen.age_us / 1e6)
        if missed and seen.applied_index + seen.lag < missed.index:
            lag = f" but for {seen.lag} entries" if seen.lag else ""
            violations.append(f"{read} claimed to be at most {seen.age_us / 1e6:.3f} s old{lag} at index {seen.applied_index} "
                              f"({seen.basis}), and missed index {missed.index}, acknowledged {read.start - missed.end:.3f} s "
                              "before it began")
    return violations


def promises(answered):
    """Each answer is as fresh as was asked for, by its own account."""
    violations = []
    for read in answered:
        asked, seen = read.level, read.reply.certificate
        if asked.on_unmet == "serve":
            continue
        if asked.max_age_us is not None and (seen.age_us is None or seen.age_us > asked.max_age_us):
            violations.append(f"{read} asked for at most {asked.max_age_us} us, and was answered with {seen.age_us} us")
        if asked.max_age_us is not None and seen.lag > (asked.max_lag or 0):
            violations.append(f"{read} asked for a lag of at most {asked.max_lag or 0}, and was answered with {seen.lag}")
        if asked.token and seen.applied_index < asked.token.index:
            violations.append(f"{read} asked for index {asked.token.index}, and was answered with the state at "
                              f"{seen.applied_index}")
        if asked.max_age_us == 0 and seen.basis not in ("read_index", "lease"):
            violations.append(f"{read} was answered on the basis {seen.basis}")
    return violations


def values(acknowledged, answered):
    """What was read is the state at exactly applied_index, as far as the acknowledged writes tell."""
    by_key, violations = defaultdict(list), []
    for write in sorted(acknowledged, key=lambda write: write.index):
        by_key[write.key].append(write)
    indexes = {key: [write.index for write in group] for key, group in by_key.items()}
    for read in answered:
        reply, index = read.reply, read.reply.certificate.applied_index
        if reply.mod_index > index:
            violations.append(f"{read} gave the write at {reply.mod_index} as the state at {index}")
        group = by_key[read.key]
        at = bisect.bisect_right(indexes.get(read.key, []), index)
        last = group[at - 1] if at else None
        if last is None:
            continue
        if last.value is not None and reply.mod_index < last.index:
            violations.append(f"{read} gave the write at {reply.mod_index} as the state at {index}, which includes {last.index}")
        if reply.mod_index == last.index and reply.value != last.value:
            violations.append(f"{read} gave {reply.value[:40]!r} as of {last.index}, which wrote {last.value!r:.40}")
    return violations


def never_back(answered):
    """A node never serves behind what it served before, restarts included; nor in an older term of its own."""
    by_node, violations = defaultdict(list), []
    for read in answered:
        # Served anyway with nothing known: that alone may go back.
        if not (read.level.on_unmet == "serve" and read.reply.certificate.basis == "none"):
            by_node[read.reply.certificate.node, read.reply.certificate.incarnation].append(read)
    for (node, _), group in by_node.items():
        by_end, newest, at = sorted(group, key=lambda read: read.end), None, 0
        for read in sorted(group, key=lambda read: read.start):
            while at < len(by_end) and by_end[at].end < read.start:
                seen = by_end[at].reply.certificate
                newest = seen if newest is None or seen.applied_index > newest.applied_index else newest
                at += 1
            seen = read.reply.certificate
            if newest and seen.applied_index < newest.applied_index:
                violations.append(f"{read} gave the state at index {seen.applied_index}, and node {node} had given "
                                  f"{newest.applied_index} before")
    return violations


def log_order(acknowledged):
    """A write that began after another was acknowledged has the higher index; no two have the same."""
    order, violations = Acknowledged(acknowledged), []
    for write in acknowledged:
        before = order.before(write.start)
        if before and before.index > write.index:
            violations.append(f"the write of {write.key.decode(errors='replace')} at index {write.index} began after index "
                              f"{before.index} was acknowledged")
    by_index = sorted(write.index for write in acknowledged)
    return violations + [f"two writes were acknowledged with index {a}" for a, b in zip(by_index, by_index[1:]) if a == b]


def refusals(acknowledged, refused):
    """Each refusal's own numbers say why."""
    acknowledged, violations = Acknowledged(acknowledged), []
    for read in refused:
        reply, asked = read.reply, read.level
        numbers = f"with age {reply.age_us} us, have {reply.have}, want {reply.want}"
        if reply.code == Code.STALE:
            too_old = asked.max_age_us is not None and (not reply.want or reply.age_us > asked.max_age_us)
            if not too_old and reply.have + (asked.max_lag or 0) >= reply.want:
                violations.append(f"{read} was refused as too stale {numbers}, where {asked.max_age_us} us were asked for")
        if reply.code == Code.NOT_CAUGHT_UP and reply.have >= reply.want:
            violations.append(f"{read} was refused as not caught up {numbers}")
        if reply.code == Code.FUTURE_TOKEN:
            known = acknowledged.before(read.start)
            if reply.have >= asked.token.index or (known and known.index >= asked.token.index):
                violations.append(f"{read} was refused for a token of the future, index {asked.token.index}, {numbers}")
    return violations


def shares(reads):
    """level -> what became of its reads: each basis, or the refusal's code, with how often."""
    out = defaultdict(lambda: defaultdict(int))
    for read in reads:
        out[read.level.name][read.reply.certificate.basis if read.reply.ok else read.reply.code.name] += 1
    return {level: dict(counts) for level, counts in out.items()}
