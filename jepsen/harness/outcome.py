"""After a test: the checkers, the report, EDN, repro.sh, and what all of it comes to."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

from harness import HarnessError, INVALID, UNKNOWN, VALID
from processes import BIN, ROOT
from report.render import render

CODES = {True: VALID, False: INVALID}


def judge(directory, rows=(), notes=(), say=print, options=()):
    """Checks history.jsonl there, writes results.json, report.html and history.edn beside it; returns the exit code. `rows`:
    checkers' rows of the harness's own."""
    directory = Path(directory)
    history, results = directory / "history.jsonl", directory / "results.json"
    converting = subprocess.Popen([sys.executable, Path(__file__).with_name("edn.py"), history, directory / "history.edn"])
    try:
        checked = subprocess.run([BIN / "quorate-check", "--results", results, *options, history],
                                 capture_output=True, text=True, check=False)
        if checked.returncode not in (VALID, INVALID, UNKNOWN):
            raise HarnessError(f"the history was not judged: {checked.stderr.strip()}", checked.returncode)
        verdict = amend(results, rows, notes)
        say(shown(checked.stdout, rows))
        render(history, results, directory / "report.html")
    finally:
        converting.wait()
    say(f"{'VALID' if verdict == VALID else 'INVALID' if verdict == INVALID else 'UNKNOWN'}: {directory / 'report.html'}")
    return verdict


def shown(summary, rows):
    """The checker's table without its histograms, and our own rows."""
    lines = [line for line in summary.splitlines()[1:] if "<=" not in line and "per bucket" not in line]
    return "\n".join(lines + [f"  {row['name']:<16} {str(row['valid']):<8} {row['detail']}" for row in rows])


def amend(path, rows, notes):
    """What the harness saw counts as much as what the checkers found. Returns the exit code of all together."""
    results = json.loads(path.read_text(encoding="utf-8"))
    results["checkers"] += [{**row, "by": "harness"} for row in rows]
    results["notes"] = [*results.get("notes", []), *notes]
    verdicts = [results["valid"], *(row["valid"] for row in rows)]
    results["valid"] = False if False in verdicts else "unknown" if "unknown" in verdicts else True
    path.write_text(json.dumps(results) + "\n", encoding="utf-8")
    return CODES.get(results["valid"], UNKNOWN)


def row(name, valid, detail, checked=1):
    return {"name": name, "valid": valid, "checked": checked, "took_ms": 0, "detail": detail}


def write_repro(directory, plan):
    script = Path(directory) / "repro.sh"
    script.write_text("#!/bin/sh\n# The same test again: same seed, same choices of clients and faults. Who leads, and when, is the"
                      f" cluster's own choice.\nexec {shlex.quote(str(ROOT / 'jepsen' / 'run'))} {shlex.join(plan.arguments())}"
                      ' "$@"\n', encoding="utf-8")
    script.chmod(0o755)


def link_latest(directory):
    link = directory.parent / "latest"
    partial = directory.parent / f".latest.{os.getpid()}"
    partial.unlink(missing_ok=True)
    partial.symlink_to(directory.name)
    os.replace(partial, link)
