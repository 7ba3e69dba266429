#!/usr/bin/env python3
"""Measures a throw-away three-node cluster, row by row, against what it must reach.

Rows, by name: puts strong eventual one thousand (closed loops that are compared with etcd's), puts64 one-get ycsb-a ycsb-b
ycsb-c (only shown), idle, restart (1 M keys), catchup (1 GB), soak (--minutes), scale (5 M keys).

Clients and servers share the machine, and absolute figures drift: the load rows alternate between the systems, and a ratio is
the median of the runs' own ratios. "us/op" is the CPU time of all servers, or of the client, divided by the operations.
"""

import argparse
import json
import pathlib
import sys

from cluster import ROOT, ClusterError
from perf import load_rows
from perf.state_rows import STATE_ROWS
from perf.systems import Machine, why_no_etcd
from perf.verdict import number, print_verdicts

LOAD_NAMES = [row.name for row in load_rows.all_rows()]
STATE_NAMES = [row.name for row in STATE_ROWS]
DEFAULT_ROWS = ["puts", "strong", "eventual", "one", "thousand", "idle"]


def row_names(text):
    if text == "all":
        return LOAD_NAMES + STATE_NAMES
    names = text.split(",")
    for name in names:
        if name not in LOAD_NAMES + STATE_NAMES:
            raise argparse.ArgumentTypeError(f"no row is called '{name}'; there are {', '.join(LOAD_NAMES + STATE_NAMES)}, all")
    return names


def parse_arguments(arguments):
    parser = argparse.ArgumentParser(prog="./run bench", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=row_names, default=DEFAULT_ROWS, metavar="NAME,...",
                        help=f"which, or 'all'; default {','.join(DEFAULT_ROWS)}")
    parser.add_argument("--runs", type=int, default=3, help="of each load row, interleaved; default %(default)s")
    parser.add_argument("--seconds", type=float, default=8, help="for each load; default %(default)s, after a fifth more to warm up")
    parser.add_argument("--quick", action="store_true", help="one run, 2 s and 10,000 keys for each load")
    parser.add_argument("--keys", type=int, default=100_000)
    parser.add_argument("--value-size", type=int, default=256)
    parser.add_argument("--minutes", type=float, default=30, help="of the soak; default %(default)s")
    parser.add_argument("--catchup-rate", type=int, default=5000, metavar="N",
                        help="puts a second while a node catches up; default %(default)s")
    parser.add_argument("--dir", default=ROOT / "build", type=pathlib.Path,
                        help="where the nodes keep their data while this runs: it should lie on a disk, not in memory; default: "
                             "build")
    parser.add_argument("--peers", choices=["etcd"], help="measure this too, in turn with Quorate, if it is installed")
    parser.add_argument("--etcd-load", type=pathlib.Path, metavar="PROGRAM",
                        help="a load generator for etcd, called as PROGRAM ENDPOINTS put|get|sget CLIENTS SECONDS VALUE_BYTES "
                             "KEYS CONNECTIONS, that warms up for a fifth of SECONDS more and prints one line with ops/s= "
                             "p50us= p99us= p999us= errors=")
    parser.add_argument("--replicate-limit", type=pathlib.Path, metavar="PROGRAM",
                        help="measures durable writes held by two of three processes, without consensus or state machine; called "
                             "as PROGRAM DIR CONNECTIONS IN_FLIGHT SECONDS REQUEST_BYTES REPLY_BYTES, prints ops/s= p50us= p99us=")
    parser.add_argument("--json", action="store_true", help="one object on stdout instead of the tables")
    options = parser.parse_args(arguments)
    if options.quick:
        options.runs, options.seconds, options.keys = 1, 2, 10_000
    for program in (options.etcd_load, options.replicate_limit):
        if program is not None and not program.is_file():
            parser.error(f"{program}: no such program")
    return options


def progress(text):
    print(text, file=sys.stderr, flush=True)


def print_limits(limits):
    print(f"{'this machine':14} {'per second':>11} {'p50 us':>8} {'p99 us':>8}")
    for name, figures in limits.items():
        print(f"{name:14} {number(figures['per_sec']):>11} {number(figures['p50_us']):>8} {number(figures['p99_us']):>8}")
    print()


def print_report(options, limits, loads, states, verdicts, skipped):
    print_limits(limits)
    if loads:
        print(f"{options.keys:,} keys, values of {options.value_size} bytes, median of {options.runs} runs of {options.seconds:g} s:")
        load_rows.print_table(loads)
        print()
    for state in states:
        for line in state.report:
            print(f"{state.name}: {line}")
    if states:
        print()
    if verdicts:
        print_verdicts(verdicts)
    if skipped:
        print(f"SKIPPED etcd: {skipped}")


def main(arguments):
    """1 if something that must be reached was missed."""
    options = parse_arguments(arguments)
    skipped = why_no_etcd(options) if options.peers else None
    with_etcd = bool(options.peers) and skipped is None
    limits = Machine(options).limits()
    loads = [row for row in load_rows.all_rows() if row.name in options.rows]
    states = [row(options, progress) for row in STATE_ROWS if row.name in options.rows]
    if loads:
        load_rows.measure(loads, options, with_etcd, progress)
    for state in states:
        state.measure(with_etcd)
    verdicts = [one for row in loads for one in load_rows.verdicts(row)] + [one for state in states for one in state.verdicts()]
    if options.json:
        print(json.dumps({"limits": limits, "load": {row.name: row.results for row in loads},
                          "state": {state.name: state.figures for state in states},
                          "verdicts": [one.as_json() for one in verdicts], "skipped": skipped}))
    else:
        print_report(options, limits, loads, states, verdicts, skipped)
    return 1 if any(one.missed for one in verdicts) else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except ClusterError as error:
        sys.exit(f"bench: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
