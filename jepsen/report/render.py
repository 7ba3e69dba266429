#!/usr/bin/env python3
"""Renders a test's history and results as one HTML file that needs no network and no server."""

import argparse
import base64
import hashlib
import html
import json
import os
import re
import sys
from pathlib import Path

if not __package__:  # run as a file
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from report import parts, staleness, words  # pylint: disable=wrong-import-position
from report.history import LINK_STATES, MAX_NODES, MAX_OPS, as_text, read_history, read_results  # pylint: disable=wrong-import-position
from report.pack import pack  # pylint: disable=wrong-import-position

PAGE = Path(__file__).resolve().parent / "page"
# In this order in one scope: each uses only what stands before it, and main.js starts.
SCRIPTS = ("unpack.js", "format.js", "store.js", "theme.js", "canvas.js", "lanes.js", "nodes.js", "charts.js", "proof.js",
           "panel.js", "view.js", "input.js", "selftest.js", "main.js")


def render(history_path, results_path, out_path, max_ops=MAX_OPS):
    """Writes the report, whole or not at all. Raises OSError if a file cannot be read or written; a missing or damaged
    results file only makes the verdict unknown. Returns the history that was read."""
    results, problem = read_results(results_path) if results_path else ({}, "no checker has run")
    violations = parts.violations_of(results)
    history = read_history(history_path, {op for row in violations for op in row["ops"]}, max_ops)
    history.ops["measured"] = staleness.measure(history)
    figures = staleness.by_level(history, history.ops["measured"], results)
    page = _assemble(history, results, violations, figures, problem)
    partial = Path(f"{out_path}.partial")
    partial.write_text(page, encoding="utf-8", errors="replace")
    os.replace(partial, out_path)
    return history


def _assemble(history, results, violations, figures, problem):
    style = (PAGE / "page.css").read_text(encoding="utf-8")
    script = "(() => {\n'use strict';\n" + "".join((PAGE / name).read_text(encoding="utf-8") for name in SCRIPTS) + "})();"
    layout, packed = pack({"ops": history.ops, "samples": history.samples})
    fields = {
        "TITLE": html.escape(_title(history, results)),
        "POLICY": f"default-src 'none'; img-src data:; script-src '{_sha256(script)}'; style-src '{_sha256(style)}'",
        "STYLE": style,
        "VERDICT": parts.verdict(history, results, figures, problem),
        "FACTS": parts.facts(history),
        "NOTES": parts.notes(history, results),
        "CHECKERS": parts.checkers(results),
        "VIOLATIONS": parts.violations(violations, parts.total_violations(results, violations)),
        "STALENESS": parts.staleness(figures),
        "AVAILABILITY": parts.availability(results),
        "MEANINGS": parts.meanings(),
        "META": embed(_meta(history, violations, layout)),
        "PACKED": packed,
        "SCRIPT": script,
    }
    template = (PAGE / "page.html").read_text(encoding="utf-8")
    return re.sub(r"\{\{([A-Z]+)\}\}", lambda found: fields[found[1]], template)


def embed(value):
    """JSON that may stand in a script element, whatever texts it holds."""
    packed = json.dumps(value, separators=(",", ":"))
    return packed.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _meta(history, violations, layout):
    return {
        "layout": layout,
        "tables": {name: table.texts for name, table in history.tables.items()},
        "linkStates": LINK_STATES,
        "links": history.links,
        "faults": history.faults,
        "violations": violations,
        "nodes": min(words.node_count(history), MAX_NODES),
        "lanes": history.lanes,
        "stride": history.stride,
        "end": history.end,
    }


def _title(history, results):
    workload = history.header.get("workload")
    return f"{words.verdict_of(results).capitalize()}: {as_text(workload) if workload is not None else 'test'} – Quorate"


def _sha256(content):
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("history", type=Path, help="history.jsonl, or a directory with history.jsonl and results.json")
    parser.add_argument("results", type=Path, nargs="?", help="default: results.json beside the history")
    parser.add_argument("-o", "--out", type=Path, help="default: report.html beside the history")
    options = parser.parse_args()
    history = options.history / "history.jsonl" if options.history.is_dir() else options.history
    results = options.results or history.with_name("results.json")
    out = options.out or history.with_name("report.html")
    try:
        read = render(history, results, out)
    except OSError as error:
        sys.exit(f"report: {error.filename or history}: {error.strerror or error}")
    if read.problem_count:
        print(f"report: {read.problem_count} lines could not be used: {'; '.join(read.problems)}", file=sys.stderr)
    print(out)


if __name__ == "__main__":
    main()
