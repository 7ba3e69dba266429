"""test-all: every workload under every set of nemeses, one test after the other."""

import dataclasses
import time

from harness import HarnessError, INTERRUPTED, plan as plans, test, worse

WORDS = {0: "valid", 1: "INVALID", 2: "unknown"}


def run_all(base, names, nemeses, out=None):
    """`base`: a Plan for what all have in common. Goes on after a test that failed; returns the worst exit code."""
    top = test.new_directory("all", out)
    table, code = [], 0
    for text in nemeses:
        for name in names:
            plan = dataclasses.replace(base, workload=name, nemeses=plans.parse_nemeses(text))
            begun = time.monotonic()
            test.say(f"\n== {name} under {text}")
            try:
                result, _ = test.run(plan, top / f"{name}-{text.replace(',', '+')}")
                said = WORDS[result]
            except HarnessError as error:
                result, said = error.code, f"not run: {error}"
                test.say(said)
            except KeyboardInterrupt:
                result, said = INTERRUPTED, "interrupted"
            table.append(f"  {name:<14} {text:<24} {said:<8} {time.monotonic() - begun:6.1f} s")
            code = worse(code, result)
            if result == INTERRUPTED:
                break
    test.say("\n" + "\n".join(table) + f"\n{top}")
    return code
