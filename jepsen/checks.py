"""What a run must satisfy, as pure functions over what its clients recorded. Each returns a list of violations, as text.

A register has one writer, which writes 1, 2, 3, ... one after the other and leaves the register for a new one as soon as an
outcome is unknown (that write may take effect at any later time). So a strong read must return at least the largest value
acknowledged before the read began, and at most the largest one attempted before it ended: no search is needed.
"""

import bisect
from collections import defaultdict
from dataclasses import dataclass


@dataclass
class Write:
    key: bytes
    value: int
    start: float
    end: float
    outcome: str  # ok | no (certainly not executed) | unknown


@dataclass
class Read:
    key: bytes
    value: int  # 0: the key was absent
    start: float
    end: float
    node: int


def strong_reads(writes, reads):
    by_key = defaultdict(list)
    for write in writes:
        if write.outcome != "no":
            by_key[write.key].append(write)
    violations = []
    for key, group in _grouped(reads).items():
        violations += _bounds(by_key[key], group) + _monotonic(group)
    return violations


def _grouped(reads):
    groups = defaultdict(list)
    for read in reads:
        groups[read.key].append(read)
    return groups


def _bounds(writes, reads):
    acknowledged = sorted((write.end, write.value) for write in writes if write.outcome == "ok")
    ends, starts = [end for end, _ in acknowledged], sorted(write.start for write in writes)
    values = sorted(write.value for write in writes)  # one writer: values rise with their starts
    violations = []
    for read in reads:
        before = bisect.bisect_left(ends, read.start)
        low = acknowledged[before - 1][1] if before else 0
        attempted = bisect.bisect_right(starts, read.end)
        high = values[attempted - 1] if attempted else 0
        if not low <= read.value <= high:
            violations.append(f"strong read of {read.key.decode()} through node {read.node} at {read.start:.3f} s gave "
                              f"{read.value}, not {low}..{high}")
    return violations


def _monotonic(reads):
    """A read that begins after another has ended must not be older."""
    by_end = sorted(reads, key=lambda read: read.end)
    violations, newest, at = [], None, 0
    for read in sorted(reads, key=lambda read: read.start):
        while at < len(by_end) and by_end[at].end < read.start:
            if newest is None or by_end[at].value > newest.value:
                newest = by_end[at]
            at += 1
        if newest is not None and read.value < newest.value:
            violations.append(f"strong read of {read.key.decode()} through node {read.node} at {read.start:.3f} s gave "
                              f"{read.value} after node {newest.node} had given {newest.value}")
    return violations


def read_back(acknowledged, observed, node):
    """Both map key -> value. Every acknowledged write must be there as it was written."""
    return [f"acknowledged write of {key.decode()} reads {_short(observed.get(key))} through node {node}, not {_short(value)}"
            for key, value in acknowledged.items() if observed.get(key) != value]


def _short(value):
    return repr(value) if value is None or len(value) <= 20 else f"{value[:20]!r}... ({len(value)} bytes)"


def failovers(seconds, limit):
    return [f"strong reads came back {taken:.2f} s after the leader was gone, limit {limit:g} s"
            for taken in seconds if taken > limit]
