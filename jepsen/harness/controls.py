"""Servers with a known bug (quorated-controls), tested from outside until the checkers catch them."""

import json
import time

from harness import HarnessError, INVALID, UNAVAILABLE, UNKNOWN, USAGE, VALID, plan as plans, test

# What brings each bug out.
RECIPES = {
    "unconfirmed-read": {"workload": "register", "nemeses": "pause-leader,isolate-leader", "read": "strong"},
    "last-contact": {"workload": "register", "nemeses": "pause-leader,pause-one,isolate-leader", "read": "bounded:50ms,strong"},
    "ack-before-sync": {"workload": "append", "nemeses": "power-loss", "read": "strong", "rate": 3000, "clients": 60},
    "no-dedupe": {"workload": "append", "nemeses": "isolate-leader,kill-leader", "read": "strong"},
    "wrong-error-class": {"workload": "append", "nemeses": "isolate-leader,blackhole-leader,kill-leader", "read": "strong"},
    "lock-unfenced": {"workload": "lock-unfenced", "nemeses": "none", "read": "strong"},  # a workload, with the real server
}
ROUND = 15  # seconds


def run(names=(), limit=300, seed=1, out=None):
    """Returns VALID if each was caught; UNAVAILABLE if some cannot be tried here; INVALID if one was not caught."""
    known = plans.controls()
    for name in names:
        if name not in RECIPES:
            raise HarnessError(f"there is no control '{name}'; there are {', '.join(RECIPES)}", USAGE)
    top = test.new_directory("controls", out)
    table, code = [], VALID
    for name in names or RECIPES:
        found = hunt(name, limit, seed, top)
        code = max(code, {"caught": VALID, "missed": INVALID, "skipped": UNKNOWN}[found[0]], key=(VALID, UNKNOWN, INVALID).index)
        table.append(f"  {name:<18} {found[0]:<8} {found[1]}")
        test.say(f"{name} ({known.get(name, 'nobody checks the token')}): {found[0]}: {found[1]}")
    test.say("\n" + "\n".join(table) + f"\n{top}")
    return UNAVAILABLE if code == UNKNOWN else code


def hunt(name, limit, seed, top):
    """("caught" | "missed" | "skipped", in words)."""
    recipe, begun, tested = RECIPES[name], time.monotonic(), 0
    for number in range(1000):
        plan = plans.Plan(recipe["workload"], plans.parse_nemeses(recipe["nemeses"]), read=recipe["read"], seconds=ROUND,
                          rate=recipe.get("rate", 600), clients=recipe.get("clients", 20), seed=seed + number, control="" if name == recipe["workload"] else name)
        try:
            code, directory = test.run(plan, top / f"{name}-{seed + number}", plan.nemeses, quiet=True)
        except HarnessError as error:
            return ("skipped", str(error)) if error.code == UNAVAILABLE else ("missed", str(error))
        tested += ROUND
        took = time.monotonic() - begun
        if code == INVALID:
            return "caught", f"after {tested} s of test, {took:.0f} s in all, seed {plan.seed}: {first_violation(directory)}"
        if took > limit:
            return "missed", f"not in {took:.0f} s"
    return "missed", "not in 1000 rounds"


def first_violation(directory):
    results = json.loads((directory / "results.json").read_text(encoding="utf-8"))
    if results["violations"]:
        return f"{results['violations'][0]['checker']}: {results['violations'][0]['sentence']}"
    return "; ".join(row["detail"] for row in results["checkers"] if row["valid"] is False)
