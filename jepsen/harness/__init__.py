"""What `jepsen/run` does. Where to look:

    command_line.py  commands, options, help
    plan.py          what a test is asked to do, and whether this machine can do it
    test.py          one test: cluster, faults, clients, history
    driver.py        the clients (quorate-workload)
    recording.py     what the harness itself adds to the history: faults, links, samples of the nodes
    outcome.py       after a test: checkers, report, EDN, repro.sh, exit code
    edn.py           history.edn
    suite.py         test-all
    controls.py      servers with known bugs, which must be caught
    demos.py         half a minute each

The cluster, networks, nemeses, checkers and the report are beside this folder; jepsen/README.md is the guide.
"""

VALID, INVALID, UNKNOWN = 0, 1, 2
USAGE, UNAVAILABLE, BUG, INTERRUPTED = 64, 69, 70, 130


class HarnessError(Exception):
    """The test cannot be run, or not be judged; the message says why and what to do."""

    def __init__(self, message, code=UNAVAILABLE):
        super().__init__(message)
        self.code = code


def worse(a, b):
    """Of two exit codes: what could not be run outweighs what is wrong, and that what is not known."""
    if max(a, b) >= USAGE:
        return max(a, b)
    return INVALID if INVALID in (a, b) else max(a, b)
