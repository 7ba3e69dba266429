"""How old each read was, measured from outside, beside what it promised.

A read of the state at index i was at least as old as the time since anyone was first *shown* an index above i, by an
acknowledged write or by another read: what has been shown was committed. The checker measures the same.
"""

import math
from bisect import bisect_left, bisect_right
from itertools import accumulate

from report.history import LEVELS, count

BINS_PER_DECADE = 6
FIRST_US = 100  # below: one bin
DECADES = 6  # 100 us .. 100 s
BINS = DECADES * BINS_PER_DECADE + 2


def measure(history):
    """The measured age of each drawn operation, in us; None: not a read, or no index to tell by."""
    ops = history.ops
    order = sorted(range(len(history.shown[0])), key=history.shown[0].__getitem__)
    indices = [history.shown[0][i] for i in order]
    earliest = list(accumulate((history.shown[1][i] for i in reversed(order)), min))[::-1]
    read, ok = 0, 0  # numbers of "read" and "ok" in their tables
    ages = []
    for f, kind, index, invoked in zip(ops["f"], ops["type"], ops["c_index"], ops["invoked"]):
        if f != read or kind != ok or index is None:
            ages.append(None)
            continue
        above = bisect_right(indices, index)
        seen = earliest[above] if above < len(indices) else invoked
        ages.append(max(0, int(invoked - seen)))
    return ages


def lies(history, measured):
    """How many reads were measured older than their certificates claim. One that may lack entries (lag) claims less: not counted."""
    ops, read = history.ops, 0
    return sum(f == read and real is not None and age is not None and real > age and not lag
               for f, real, age, lag in zip(ops["f"], measured, ops["c_age_us"], ops["c_lag"]))


def by_level(history, measured, results):
    """{level: {"promised": [us], "measured": [us], "bounds": [us], "reads": n}} of the levels read at.

    From the history if all of it is here; else from the checker, which has seen all but lists a sample.
    """
    found = {level: {"promised": [], "measured": [], "bounds": {}, "reads": 0} for level in LEVELS}
    ops = history.ops
    for level, kind, age, real, bound in zip(ops["level"], ops["type"], ops["c_age_us"], measured, ops["max_age_us"]):
        if level is None or level >= len(LEVELS):
            continue
        row = found[LEVELS[level]]
        row["reads"] += 1
        if bound:
            row["bounds"][bound] = row["bounds"].get(bound, 0) + 1
        if kind == 0:
            if age is not None:
                row["promised"].append(age)
            if real is not None:
                row["measured"].append(real)
    checked = results.get("staleness")
    for level, figures in checked.items() if isinstance(checked, dict) else ():
        if level in found and isinstance(figures, dict):
            for name in ("promised", "measured"):
                given = figures.get(name + "_us")
                given = [n for n in map(count, given) if n is not None] if isinstance(given, list) else []
                if given and (history.stride > 1 or not found[level][name]):
                    found[level][name] = given
    for row in found.values():
        row["promised"].sort()
        row["measured"].sort()
        row["bounds"] = sorted(sorted(row["bounds"], key=lambda b: -row["bounds"][b])[:3])
    return {level: row for level, row in found.items() if row["reads"] or row["measured"] or row["promised"]}


def quantile(ordered, share):
    """Of a sorted list; None if it is empty. Nearest rank, so that p99 is a value that occurred."""
    return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)] if ordered else None


def edges():
    """Upper edges of the histogram's bins, in us; the last one is open."""
    return [FIRST_US * 10 ** (i / BINS_PER_DECADE) for i in range(BINS - 1)]


def histogram(ordered):
    """Shares per bin of a sorted list."""
    cuts = [0, *(bisect_left(ordered, edge) for edge in edges()), len(ordered)]
    return [(b - a) / len(ordered) if ordered else 0 for a, b in zip(cuts, cuts[1:])]


def position(us):
    """Where a time lies on the histogram's axis, 0..1."""
    if us < FIRST_US:
        return 0.5 / BINS
    return min(1 + math.log10(us / FIRST_US) * BINS_PER_DECADE, BINS - .1) / BINS
