#!/usr/bin/env python3
"""Measures a throw-away three-node cluster on this machine, beside the machine's own limits from the same run.

Clients and servers share the machine. Absolute figures drift from run to run and from machine to machine: compare within
one table. "CPU/op" is the CPU time of all servers together divided by the operations.
"""

import argparse
import json
import pathlib
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field

from cluster import BIN, DIE_WITH_PARENT, ROOT, Cluster, ClusterError, free_ports, process_usage, wait_until


@dataclass
class Workload:
    name: str
    clients: int
    connections: int
    flags: list = field(default_factory=list)
    etcd: str = ""  # the mode of etcd's load generator that does the same


WORKLOADS = [
    Workload("put", 1, 1, etcd="put"),
    Workload("put", 64, 8, etcd="put"),
    Workload("put", 256, 8, etcd="put"),
    Workload("get", 1, 1, ["--read", "strong"], etcd="get"),
    Workload("get", 64, 8, ["--read", "strong"], etcd="get"),
    Workload("get", 64, 8, ["--read", "eventual"], etcd="sget"),
    Workload("ycsb-a", 64, 8),
    Workload("ycsb-b", 64, 8),
    Workload("ycsb-c", 64, 8),
]


def parse_arguments(arguments):
    parser = argparse.ArgumentParser(prog="./run bench", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="2 s and 10,000 keys for each workload")
    parser.add_argument("--seconds", type=float, default=8, help="for each workload; default %(default)s")
    parser.add_argument("--keys", type=int, default=100_000)
    parser.add_argument("--value-size", type=int, default=256)
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--only", help="a regular expression: workloads whose name and clients, as in 'put 64', match it")
    parser.add_argument("--dir", default=ROOT / "build", type=pathlib.Path,
                        help="where the nodes keep their data while this runs: it should lie on a disk, not in memory; default: "
                             "build")
    parser.add_argument("--peers", choices=["etcd"], help="measure this too, in the same run, if it is installed")
    parser.add_argument("--etcd-load", type=pathlib.Path, metavar="PROGRAM",
                        help="a load generator for etcd, called as PROGRAM ENDPOINTS put|get|sget CLIENTS SECONDS VALUE_BYTES "
                             "KEYS CONNECTIONS, that warms up for a fifth of SECONDS more and prints one line with ops/s= "
                             "p50us= p99us= p999us= errors=")
    parser.add_argument("--json", action="store_true", help="one object on stdout instead of the table")
    options = parser.parse_args(arguments)
    if options.quick:
        options.seconds, options.keys = 2, 10_000
    return options


def progress(text):
    print(text, file=sys.stderr, flush=True)


def run_json(command):
    """The last JSON object that the command prints, and the CPU seconds it used itself."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(DIE_WITH_PARENT + [str(word) for word in command], capture_output=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if not done.stdout.strip():
        raise ClusterError(f"{' '.join(map(str, command))} ended with code {done.returncode}:\n{done.stderr.decode()}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return json.loads(done.stdout.strip().splitlines()[-1]), cpu


class Servers:
    """What the processes of a cluster have used."""

    def __init__(self, pids):
        self.pids = pids

    def cpu(self):
        return sum(process_usage(pid)[0] for pid in self.pids)

    def resident_mib(self):
        return [round(process_usage(pid)[1] / (1 << 20), 1) for pid in self.pids]

    def idle_cpu_percent(self, seconds):
        """Of one core, each."""
        before = self.cpu()
        time.sleep(seconds)
        return round(100 * (self.cpu() - before) / seconds / len(self.pids), 2)


def measure(workload, options, endpoints, servers):
    began = servers.cpu()
    result, client_cpu = run_json([
        BIN / "quorate", "--endpoints", endpoints, "--json", "bench", "--workload", workload.name, "--clients", workload.clients,
        "--connections", workload.connections, "--value-size", options.value_size, "--keys", options.keys,
        "--duration", f"{options.seconds}s", "--warmup", "0s", "--no-preload", *workload.flags])
    return finish_row(result, workload, "quorate", servers.cpu() - began, client_cpu, result["ops"])


def finish_row(result, workload, system, server_cpu, client_cpu, operations):
    row = {"system": system, "workload": workload.name, "clients": workload.clients, "connections": workload.connections,
           "read": workload.flags[1] if workload.flags else "",
           "server_cpu_us_per_op": round(1e6 * server_cpu / operations, 1) if operations else None,
           "client_cpu_us_per_op": round(1e6 * client_cpu / operations, 1) if operations else None}
    for name in ("ops_per_sec", "p50_us", "p90_us", "p99_us", "p999_us", "errors"):
        row[name] = result.get(name)
    return row


def chosen(options):
    return [workload for workload in WORKLOADS
            if not options.only or re.search(options.only, f"{workload.name} {workload.clients}")]


def preload(options, cluster):
    progress(f"loading {options.keys} keys of {options.value_size} bytes")
    run_json([BIN / "quorate", "--endpoints", cluster.endpoints(), "--json", "bench", "--workload", "get", "--preload",
              "--clients", 8, "--connections", 2, "--value-size", options.value_size, "--keys", options.keys,
              "--duration", "1s", "--warmup", "0s"])


def bench_quorate(options):
    with Cluster(options.nodes, directory=options.dir) as cluster:
        cluster.wait_ready()
        servers = Servers([node.process.pid for node in cluster])
        time.sleep(1)
        fresh = {"idle_cpu_percent_per_node": servers.idle_cpu_percent(5), "resident_mib": servers.resident_mib()}
        preload(options, cluster)
        rows = []
        for workload in chosen(options):
            progress(f"quorate: {workload.name} {' '.join(workload.flags)} {workload.clients} clients")
            rows.append(measure(workload, options, cluster.endpoints(), servers))
            cluster.check_alive()
        time.sleep(1)
        loaded = {"idle_cpu_percent_per_node": servers.idle_cpu_percent(5), "resident_mib": servers.resident_mib()}
    return rows, {"quorate, empty": fresh, "quorate, after the load": loaded}


# ---- etcd, if it is there ----

def why_no_etcd(options):
    if shutil.which("etcd") is None:
        return "etcd is not installed (Debian: etcd-server)"
    if options.etcd_load is None or not options.etcd_load.is_file():
        return "--etcd-load must name a load generator (see --help)"
    return None


class Etcd:
    """Three nodes with etcd's default settings, but for a larger quota."""

    def __init__(self, directory):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="quorate-etcd-", dir=directory))
        self.ports = free_ports(6)
        self.processes = []

    def __enter__(self):
        urls = [f"http://127.0.0.1:{port}" for port in self.ports]
        members = ",".join(f"n{i}={urls[2 * i + 1]}" for i in range(3))
        for i in range(3):
            client, peer = urls[2 * i:2 * i + 2]
            flags = {"name": f"n{i}", "data-dir": self.directory / f"n{i}", "listen-client-urls": client,
                     "advertise-client-urls": client, "listen-peer-urls": peer, "initial-advertise-peer-urls": peer,
                     "initial-cluster": members, "quota-backend-bytes": 8 << 30, "log-level": "error"}
            with open(self.directory / f"n{i}.log", "wb") as log:
                self.processes.append(subprocess.Popen([*DIE_WITH_PARENT, "etcd", *(f"--{k}={v}" for k, v in flags.items())],
                                                       stdout=log, stderr=log))
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.kill()
            process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    @property
    def endpoints(self):
        return ",".join(f"127.0.0.1:{port}" for port in self.ports[::2])

    def load(self, program, mode, clients, seconds, options, connections):
        out = subprocess.run([program.resolve(), self.endpoints, mode, str(clients), str(seconds), str(options.value_size),
                              str(options.keys), str(connections)], capture_output=True, text=True, check=True).stdout
        figures = {name: float(value) for name, value in re.findall(r"(\S+)=([0-9.]+)", out)}
        return {"ops_per_sec": figures["ops/s"], "p50_us": figures["p50us"], "p99_us": figures["p99us"],
                "p999_us": figures["p999us"], "errors": int(figures["errors"])}

    def wait_ready(self, program, options):
        def works():
            try:
                return self.load(program, "put", 1, 0.2, options, 1)["ops_per_sec"] > 0
            except subprocess.CalledProcessError:
                return False
        wait_until(works, 30, "etcd takes no writes", interval=0.2)


def bench_etcd(options):
    rows = []
    with Etcd(options.dir) as etcd:
        etcd.wait_ready(options.etcd_load, options)
        servers = Servers([process.pid for process in etcd.processes])
        idle = {"idle_cpu_percent_per_node": servers.idle_cpu_percent(5), "resident_mib": servers.resident_mib()}
        progress("etcd: loading keys")
        etcd.load(options.etcd_load, "put", 256, max(5, options.keys / 5000), options, 8)
        for workload in (workload for workload in chosen(options) if workload.etcd):
            progress(f"etcd: {workload.etcd} {workload.clients} clients")
            began = servers.cpu()
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            result = etcd.load(options.etcd_load, workload.etcd, workload.clients, options.seconds, options, workload.connections)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            client_cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            operations = result["ops_per_sec"] * options.seconds * 1.2  # it warms up for a fifth more
            rows.append(finish_row(result, workload, "etcd", servers.cpu() - began, client_cpu, operations))
        loaded = {"idle_cpu_percent_per_node": servers.idle_cpu_percent(5), "resident_mib": servers.resident_mib()}
    return rows, {"etcd, empty": idle, "etcd, after the load": loaded}


# ---- The report ----

def number(value):
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def print_rows(rows):
    print(f"{'system':8} {'workload':14} {'clients':>7} {'conns':>5} {'ops/s':>9} {'p50 us':>8} {'p90 us':>8} {'p99 us':>8} "
          f"{'p99.9 us':>9} {'errors':>6} {'server CPU/op':>14} {'client CPU/op':>14}")
    for row in rows:
        name = row["workload"] + (f" {row['read']}" if row["read"] else "")
        errors = row["errors"] if not isinstance(row["errors"], dict) else sum(row["errors"].values())
        print(f"{row['system']:8} {name:14} {row['clients']:>7} {row['connections']:>5} {number(row['ops_per_sec']):>9} "
              f"{number(row['p50_us']):>8} {number(row['p90_us']):>8} {number(row['p99_us']):>8} {number(row['p999_us']):>9} "
              f"{errors:>6} {number(row['server_cpu_us_per_op']):>11} us {number(row['client_cpu_us_per_op']):>11} us")


def print_limits(limits):
    print(f"{'this machine, same run':28} {'per second':>11} {'p50 us':>8} {'p99 us':>8}")
    for name, figures in limits.items():
        print(f"{name:28} {number(figures['per_sec']):>11} {number(figures['p50_us']):>8} {number(figures['p99_us']):>8}")
    print()


def main(arguments):
    options = parse_arguments(arguments)
    progress("measuring this machine's limits")
    limits, _ = run_json([BIN / "quorate-limits", "--json", "--dir", options.dir])
    rows, idle = bench_quorate(options)
    skipped = None
    if options.peers:
        skipped = why_no_etcd(options)
        if skipped is None:
            more_rows, more_idle = bench_etcd(options)
            rows, idle = rows + more_rows, idle | more_idle
    if options.json:
        print(json.dumps({"limits": limits, "rows": rows, "idle": idle, "skipped": skipped}))
        return
    print_limits(limits)
    print(f"{options.nodes} nodes, {options.keys:,} keys, values of {options.value_size} bytes, {options.seconds:g} s each:")
    print_rows(rows)
    print()
    for name, figures in idle.items():
        print(f"{name}: idle {figures['idle_cpu_percent_per_node']} % of a core per node, resident MiB {figures['resident_mib']}")
    if skipped:
        print(f"SKIPPED etcd: {skipped}")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except ClusterError as error:
        sys.exit(f"bench: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
