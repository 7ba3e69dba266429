"""When each fault begins and ends: a pure function of names, seed and length."""

import random
from dataclasses import dataclass


@dataclass(frozen=True)
class Event:
    at: float     # seconds since the beginning
    until: float
    name: str
    seed: str     # of this occurrence's own choices


def schedule(names, seed, seconds, tail=None):
    """Events in the order in which they begin. Faults of the same kind (Nemesis.of) follow each other with quiet between
    them; those of different kinds overlap. Each name has its turn before any has a second one. The last `tail` seconds (a
    fifth, at most five) are free of faults. Short tests get short faults."""
    from nemesis import REGISTRY  # pylint: disable=import-outside-toplevel
    tail = min(5.0, seconds / 5) if tail is None else tail
    end = seconds - tail
    events = [Event(0.0, seconds, name, f"{seed}/{name}") for name in names if REGISTRY[name].always]
    kinds = {}
    for name in names:
        if not REGISTRY[name].always:
            kinds.setdefault(REGISTRY[name].of, []).append(name)
    for kind, members in sorted(kinds.items()):
        events += _lane(members, random.Random(f"{seed}/{kind}"), end, f"{seed}/{kind}")
    return sorted(events, key=lambda event: (event.at, event.name))


GAP = (0.7, 3.0)


def _lane(names, chance, end, seed):
    from nemesis import REGISTRY  # pylint: disable=import-outside-toplevel
    usual = sum(sum(REGISTRY[name].hold) / 2 + sum(GAP) / 2 for name in names)
    pace = max(0.2, min(1.0, end / (usual * 1.2)))
    events, at, turn = [], 0.0, []
    while True:
        if not turn:
            turn = chance.sample(sorted(names), len(names))
        name = turn.pop()
        at += pace * chance.uniform(*GAP)
        until = min(end, at + pace * chance.uniform(*REGISTRY[name].hold))
        if until - at < 0.2:
            return events
        events.append(Event(round(at, 3), round(until, 3), name, f"{seed}/{len(events)}"))
        at = until
