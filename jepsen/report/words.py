"""The verdict in words, for people who see a report for the first time."""

import shlex
from collections import Counter

from report.history import LEVELS, as_text, count
from report.staleness import quantile

VERDICTS = {True: "valid", False: "invalid"}  # anything else: unknown

MEANINGS = (  # level, what it promises, in a sentence
    ("strong", "the state with every write that was acknowledged before the read began, by anyone: as if there were one machine."),
    ("bounded", "the state with every write that was acknowledged longer ago than the bound: late, but never later than you allowed."),
    ("session", "the state with everything that this session has written and seen so far: your own world never goes back."),
    ("eventual", "some earlier state of the whole store, and never behind what this node has shown before: fast, and of unknown age."),
)


def verdict_of(results):
    valid = results.get("valid")
    return VERDICTS[valid] if isinstance(valid, bool) else "unknown"


def duration(us):
    """Short, with a unit that suits it."""
    if us is None:
        return "–"
    for limit, unit, name in ((1_000, 1, "µs"), (1_000_000, 1_000, "ms"), (float("inf"), 1_000_000, "s")):
        if us < limit:
            value = us / unit
            return f"{value:.0f} {name}" if value >= 100 or unit == 1 else f"{value:.3g} {name}"
    return "–"


def number(n):
    return f"{n:,}"


def plural(n, noun):
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def node_count(history):
    """How many nodes the test had; 0: not known."""
    given = history.header.get("nodes")
    if isinstance(given, int) and not isinstance(given, bool) and 0 < given <= 1000:
        return given
    seen = {n for n in (*history.samples["node"], *history.ops["node"]) if n}
    seen.update(n for _, states in history.links for link in states for n in link[:2])
    return len(seen)


def paragraph(history, results, staleness, problem):
    """Sentences: what ran, what was done to it, what was promised and kept."""
    said = [_what_ran(history), _faults(history)]
    verdict = verdict_of(results)
    if verdict == "valid":
        said.append(_kept(staleness, results))
    elif verdict == "invalid":
        said.append(f"{_broken(results)} The smallest proofs are listed below.")
    elif problem:
        said.append(problem[0].upper() + problem[1:] + ".")
    else:
        said.append("The checkers could not decide: nothing wrong was found, and nothing is proven.")
    said.append(_not_done(history))
    if not history.finished and (history.total or history.faults):
        said.append("The test did not run to its end: what is here was recorded before it stopped.")
    return " ".join(sentence for sentence in said if sentence)


def _what_ran(history):
    if not history.total:
        return "No operations were recorded."
    who = plural(history.lanes, "client")
    nodes = node_count(history)
    where = f" on {plural(nodes, 'node')}" if nodes else ""
    return f"{plural(history.total, 'operation')} by {who}{where} in {duration(history.end)}."


def _faults(history):
    if not history.faults:
        return "Nothing was broken on purpose."
    kinds = Counter(fault["fault"] for fault in history.faults)
    named = [name if n == 1 else f"{name} ×{n}" for name, n in kinds.most_common(8)]
    if len(kinds) > 8:
        named.append(f"{len(kinds) - 8} other kinds")
    return f"Meanwhile {plural(len(history.faults), 'fault')}: {', '.join(named)}."


def _kept(staleness, results):
    """Only what a checker with the level's name has found: a level that nobody checked is not praised."""
    rows = results.get("checkers")
    names = " ".join(as_text(row.get("name", "")) for row in rows if isinstance(row, dict)) if isinstance(rows, list) else ""
    staleness = {level: row for level, row in staleness.items() if level in names}
    kept = []
    if "strong" in staleness:
        kept.append("strong reads missed no acknowledged write")
    if "bounded" in staleness:
        row = staleness["bounded"]
        worst, bounds = quantile(row["measured"], 1), row["bounds"]
        asked = f" of {duration(bounds[-1])}" if len(bounds) == 1 else "s"
        kept.append(f"bounded reads stayed within their bound{asked}"
                    + (f" (the oldest was {duration(worst)} old)" if worst is not None else ""))
    if "session" in staleness:
        kept.append("sessions never went back")
    if "eventual" in staleness:
        worst = quantile(staleness["eventual"]["measured"], 1)
        kept.append("eventual reads showed states that existed" + (f", up to {duration(worst)} old" if worst else ""))
    return f"Every promise was kept: {', '.join(kept)}." if kept else "Every check passed."


def _broken(results):
    names = Counter()
    for row in results.get("violations") if isinstance(results.get("violations"), list) else ():
        names[as_text(row.get("checker", "?")) if isinstance(row, dict) else "?"] += 1
    for row in results.get("checkers") if isinstance(results.get("checkers"), list) else ():
        if isinstance(row, dict) and count(row.get("violations")):  # more than are listed
            names[as_text(row.get("name", "?"))] = count(row["violations"])
    total = sum(names.values())
    if not total:
        return "A promise was broken."
    what = ", ".join(f"{name} ×{n:,}" if n > 1 else name for name, n in names.most_common(6))
    return f"{plural(total, 'promise')} {'was' if total == 1 else 'were'} broken ({what})."


def _not_done(history):
    fail, info = history.counts["fail"], history.counts["info"]
    if not fail and not info:
        return "Every operation was answered." if history.total else ""
    parts = []
    if fail:
        parts.append(f"{number(fail)} {'was' if fail == 1 else 'were'} refused or failed for certain")
    if info:
        parts.append(f"{number(info)} {'has' if info == 1 else 'have'} an unknown outcome")
    return f"Of the operations, {' and '.join(parts)}."


def repro(history):
    """The command that runs the same seed again, or None."""
    args = history.header.get("args")
    if not isinstance(args, list) or not args:
        return None
    args = [as_text(a) for a in args]
    if "--seed" not in args and history.header.get("seed") is not None:
        args += ["--seed", as_text(history.header["seed"])]
    return shlex.join(["jepsen/run", *args])


def levels_used(staleness):
    return [level for level in LEVELS if level in staleness]
