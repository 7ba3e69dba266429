#!/usr/bin/env python3
"""A local web server over a directory of runs: one page lists them, with verdict, workload, date, and links to their files.

A run is a directory with history.jsonl. Only 127.0.0.1 is served, only files of runs, and nothing is ever written.
"""

import argparse
import html
import http.server
import json
import sys
import urllib.parse
from datetime import datetime, timezone
from pathlib import Path

if not __package__:  # run as a file
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from report import words  # pylint: disable=wrong-import-position
from report.history import as_text, count, read_results  # pylint: disable=wrong-import-position
from report.parts import GLYPHS  # pylint: disable=wrong-import-position

DEPTH = 3  # directories below the given one in which runs are looked for
MAX_RUNS = 2000
MAX_HEADER = 64 << 10
TYPES = {".html": "text/html; charset=utf-8", ".json": "application/json", ".jsonl": "text/plain; charset=utf-8",
         ".edn": "text/plain; charset=utf-8", ".log": "text/plain; charset=utf-8", ".sh": "text/plain; charset=utf-8",
         ".txt": "text/plain; charset=utf-8"}  # others are offered for download
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
STYLE = """
:root { --paper: #fafaf8; --ink: #1b2330; --soft: #5b6675; --line: #e2e5ea; --good: #08785a; --bad: #c2410c; --unsure: #8a6100; --link: #0b6bb0; color-scheme: light dark; }
@media (prefers-color-scheme: dark) { :root { --paper: #0e1217; --ink: #e7ebf1; --soft: #96a1b0; --line: #29313b; --good: #3fc79c; --bad: #ff8552; --unsure: #e6bb4e; --link: #66b2f0; } }
body { margin: 0 auto; padding: 32px clamp(16px, 4vw, 64px); max-width: 1400px; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, "Segoe UI", "Liberation Sans", sans-serif; font-variant-numeric: tabular-nums; }
h1 { font-size: 28px; letter-spacing: -.02em; margin: 0 0 4px; } p { color: var(--soft); margin: 0 0 20px; overflow-wrap: anywhere; } a { color: var(--link); }
table { width: 100%; border-collapse: collapse; } th { text-align: left; font-weight: 500; color: var(--soft); font-size: 13px; } th, td { padding: 9px 18px 9px 0; border-bottom: 1px solid var(--line); vertical-align: top; overflow-wrap: anywhere; }
.valid { color: var(--good); } .invalid { color: var(--bad); } .unknown { color: var(--unsure); } td:first-child { font-weight: 600; white-space: nowrap; } small { color: var(--soft); } .files a { margin-right: 12px; white-space: nowrap; }
"""


def find_runs(root):
    """Directories with a history, the newest first."""
    found, level = [], [Path(root)]
    for _ in range(DEPTH + 1):
        below = []
        for directory in level:
            if (directory / "history.jsonl").is_file():
                found.append(directory)
            try:
                below += [entry for entry in directory.iterdir() if entry.is_dir() and not entry.is_symlink()]
            except OSError:
                continue  # not ours to read
        level = below
    return sorted(found, key=lambda run: (run / "history.jsonl").stat().st_mtime, reverse=True)[:MAX_RUNS]


def header_of(run):
    try:
        with open(run / "history.jsonl", "rb") as file:
            header = json.loads(file.readline(MAX_HEADER))
    except (OSError, ValueError, RecursionError):
        return {}
    return header if isinstance(header, dict) else {}


def index(root):
    """The page that lists the runs."""
    rows = "".join(_row(Path(root), run) for run in find_runs(root))
    table = (f'<table><thead><tr><th scope="col">verdict</th><th scope="col">run</th><th scope="col">workload</th>'
             f'<th scope="col">seed</th><th scope="col">network</th><th scope="col">date</th><th scope="col">files</th></tr></thead>'
             f'<tbody>{rows}</tbody></table>' if rows else "<p>No runs yet: <code>jepsen/run test</code> makes one.</p>")
    return (f'<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
            f'<link rel="icon" href="data:,"><title>Runs – Quorate</title><style>{STYLE}</style></head><body><h1>Runs</h1>'
            f'<p>{html.escape(str(root))}</p>{table}</body></html>')


def _row(root, run):
    header, (results, problem) = header_of(run), read_results(run / "results.json")
    kind, place = words.verdict_of(results), run.relative_to(root)
    name = html.escape(str(place) if str(place) != "." else run.resolve().name)
    link = lambda file: urllib.parse.quote("/" + str(place / file))
    files = "".join(f'<a href="{link(file.name)}">{html.escape(file.name)}</a>' for file in files_of(run) if file.name != "report.html")
    shown = f'<a href="{link("report.html")}">{name}</a>' if (run / "report.html").is_file() else name
    violations = results.get("violations")
    broken = words.plural(len(violations), "broken promise") if isinstance(violations, list) and violations else ""
    detail = f"<br><small>{html.escape(broken or ('not checked' if problem else ''))}</small>" if broken or problem else ""
    cells = [html.escape(as_text(header[key])) if header.get(key) is not None else "–" for key in ("workload", "seed", "backend")]
    return (f'<tr><td class="{kind}">{GLYPHS[kind]} {kind}{detail}</td><td>{shown}</td>' + "".join(f"<td>{cell}</td>" for cell in cells)
            + f'<td>{_date(header, run)}</td><td class="files">{files}</td></tr>')


def _date(header, run):
    started = count(header.get("started_unix_us"))
    seconds = started / 1e6 if started is not None and started < 4e15 else (run / "history.jsonl").stat().st_mtime
    return f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%d %H:%M} UTC"


def files_of(run):
    """Files of a run that may be fetched."""
    try:
        return sorted(entry for entry in run.iterdir() if entry.is_file() and not entry.name.startswith("."))[:100]
    except OSError:
        return []


def file_for(root, path):
    """The file that an address names, or None: it must lie in the directory of a run, whatever the address says."""
    name = urllib.parse.unquote(path).lstrip("/")
    if "\0" in name:
        return None
    root = Path(root).resolve()
    file = (root / name).resolve()
    inside = file.is_relative_to(root) and (file.parent / "history.jsonl").is_file()
    return file if inside and file.is_file() and not file.name.startswith(".") else None


class Handler(http.server.BaseHTTPRequestHandler):
    root = Path(".")
    timeout = 30

    def do_GET(self):  # pylint: disable=invalid-name
        # A page elsewhere may point a name of its own at 127.0.0.1 and read what is here: only our own names are answered.
        if self.headers.get("Host", "").rsplit(":", 1)[0] not in ("127.0.0.1", "localhost"):
            return self.answer(403, b"only for 127.0.0.1\n")
        path = urllib.parse.urlsplit(self.path).path
        if path == "/":
            return self.answer(200, index(self.root).encode(errors="replace"), "text/html; charset=utf-8", POLICY)
        file = file_for(self.root, path)
        if file is None:
            return self.answer(404, b"no such file of a run\n")
        return self.send(file)

    def answer(self, status, body, kind="text/plain; charset=utf-8", policy="default-src 'none'"):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", policy)
        self.end_headers()
        self.wfile.write(body)

    def send(self, file):
        try:
            with open(file, "rb") as source:
                length = file.stat().st_size
                self.send_response(200)
                self.send_header("Content-Type", TYPES.get(file.suffix, "application/octet-stream"))
                self.send_header("Content-Length", str(length))
                self.send_header("X-Content-Type-Options", "nosniff")
                self.end_headers()
                while length > 0 and (piece := source.read(min(1 << 20, length))):  # a run may still be growing
                    self.wfile.write(piece)
                    length -= len(piece)
        except OSError:
            self.close_connection = True

    def log_message(self, *_):
        pass


def server(root, port=0):
    """A server on 127.0.0.1, not yet running; port 0: any free one. Raises OSError if the port is in use."""
    return http.server.ThreadingHTTPServer(("127.0.0.1", port), type("RunsHandler", (Handler,), {"root": Path(root)}))


def serve(root, port=8080):
    """Serves until interrupted."""
    with server(root, port) as running:
        print(f"http://127.0.0.1:{running.server_port}/  (Ctrl-C ends)", flush=True)
        try:
            running.serve_forever()
        except KeyboardInterrupt:
            pass


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--port", type=int, default=8080, help="0: any free one")
    options = parser.parse_args()
    if not options.directory.is_dir():
        sys.exit(f"serve: {options.directory} is not a directory")
    try:
        serve(options.directory, options.port)
    except (OSError, OverflowError) as error:
        sys.exit(f"serve: port {options.port}: {error}")


if __name__ == "__main__":
    main()
