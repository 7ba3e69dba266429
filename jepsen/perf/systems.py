"""What is measured: a Quorate cluster, an etcd cluster beside it, and this machine itself, each with the same few calls."""

import json
import os
import pathlib
import re
import resource
import shutil
import subprocess
import tempfile
import time

from cluster import BIN, DIE_WITH_PARENT, Cluster, ClusterError, free_ports, process_usage, wait_until

WARMUP_SHARE = 0.2  # of the measured time, before it


def run(command):
    """stdout of a command that ends well, and the CPU seconds it used itself."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(DIE_WITH_PARENT + [str(word) for word in command], capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0 or not done.stdout.strip():
        raise ClusterError(f"{' '.join(map(str, command))} ended with code {done.returncode}:\n{done.stderr}{done.stdout}")
    return done.stdout, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def figures(text):
    """{"ops/s": 1.0, ...} of "ops/s=1.0 ..."."""
    return {name: float(value) for name, value in re.findall(r"(\S+)=([0-9.]+)", text)}


class Usage:
    """CPU and memory of the processes of a system, all together."""

    def __init__(self, pids):
        self.pids = pids

    def cpu(self):
        return sum(process_usage(pid)[0] for pid in self.pids)

    def idle(self, seconds=10):
        """CPU per node in percent of a core, and resident MiB of the largest node, while nothing is asked of them."""
        time.sleep(1)
        before = self.cpu()
        time.sleep(seconds)
        return {"cpu_percent": 100 * (self.cpu() - before) / seconds / len(self.pids),
                "resident_mib": max(process_usage(pid)[1] for pid in self.pids) / (1 << 20)}


class Quorate:
    """A throw-away cluster of three nodes, ready."""

    name = "quorate"

    def __init__(self, options, flags=()):
        self.options = options
        self.cluster = Cluster(3, directory=options.dir, flags=flags)

    def __enter__(self):
        self.cluster.__enter__()
        try:
            self.cluster.wait_ready()
        except BaseException:
            self.cluster.stop()
            raise
        return self

    def __exit__(self, *_):
        self.cluster.stop()
        os.sync()  # or what is measured next waits for the disk to forget gigabytes

    @property
    def usage(self):
        return Usage([node.process.pid for node in self.cluster.running()])

    def command(self, kind, clients, connections, seconds, *, keys=None, value_size=None, warmup=0, flags=(), endpoints=None):
        workload, *read = kind.split()
        return [BIN / "quorate", "--endpoints", endpoints or self.cluster.endpoints(), "--json", "bench", "--workload", workload,
                "--clients", clients, "--connections", connections, "--value-size", value_size or self.options.value_size,
                "--keys", keys or self.options.keys, "--duration", f"{seconds}s", "--warmup", f"{warmup}s",
                *(["--read", *read] if read else []), *flags]

    def preload(self, keys=None, value_size=None):
        """Returns the keys written each second."""
        began = time.monotonic()
        run(self.command("get", 1, 1, 0.1, keys=keys, value_size=value_size, flags=["--preload"]))
        return (keys or self.options.keys) / (time.monotonic() - began)

    def load(self, kind, clients, connections, seconds, keys=None):
        """kind: "put", "get strong", "get eventual", "ycsb-a" and so on."""
        warmup = seconds * WARMUP_SHARE
        before = self.usage.cpu()
        out, client_cpu = run(self.command(kind, clients, connections, seconds, keys=keys, warmup=warmup, flags=["--no-preload"]))
        server_cpu = self.usage.cpu() - before
        self.cluster.check_alive()
        result = json.loads(out)
        if result["not_found"]:
            raise ClusterError(f"{kind}: {result['not_found']} keys were not found: they were not all loaded")
        return add_cpu({name: result[name] for name in ("ops_per_sec", "p50_us", "p99_us", "p999_us", "errors")}, server_cpu,
                       client_cpu, seconds + warmup)


class Etcd:
    """Three nodes with etcd's default settings, but for a larger quota."""

    name = "etcd"
    MODES = {"put": "put", "get strong": "get", "get eventual": "sget"}

    def __init__(self, options):
        self.options = options
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="quorate-etcd-", dir=options.dir))
        self.ports = free_ports(6)
        self.processes = []

    def __enter__(self):
        urls = [f"http://127.0.0.1:{port}" for port in self.ports]
        members = ",".join(f"n{i}={urls[2 * i + 1]}" for i in range(3))
        try:
            for i in range(3):
                self._start(i, members, *urls[2 * i:2 * i + 2])
            wait_until(self._works, 30, "etcd takes no writes", interval=0.2)
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start(self, i, members, client, peer):
        flags = {"name": f"n{i}", "data-dir": self.directory / f"n{i}", "listen-client-urls": client,
                 "advertise-client-urls": client, "listen-peer-urls": peer, "initial-advertise-peer-urls": peer,
                 "initial-cluster": members, "quota-backend-bytes": 8 << 30, "log-level": "error"}
        with open(self.directory / f"n{i}.log", "wb") as log:
            self.processes.append(subprocess.Popen([*DIE_WITH_PARENT, "etcd", *(f"--{k}={v}" for k, v in flags.items())],
                                                   stdout=log, stderr=log))

    def __exit__(self, *_):
        for process in self.processes:
            process.kill()
            process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)
        os.sync()

    def _works(self):
        try:
            return self.load("put", 1, 1, 0.2)["ops_per_sec"] > 0
        except ClusterError:
            return False

    @property
    def usage(self):
        return Usage([process.pid for process in self.processes])

    def preload(self):
        """By random puts, enough that hardly a key is missing."""
        self.load("put", 256, 8, max(2, self.options.keys / 2000))

    def load(self, kind, clients, connections, seconds):
        endpoints = ",".join(f"127.0.0.1:{port}" for port in self.ports[::2])
        before = self.usage.cpu()
        out, client_cpu = run([self.options.etcd_load.resolve(), endpoints, self.MODES[kind], clients, seconds,
                               self.options.value_size, self.options.keys, connections])
        got = figures(out)
        return add_cpu({"ops_per_sec": got["ops/s"], "p50_us": got["p50us"], "p99_us": got["p99us"], "p999_us": got["p999us"],
                        "errors": int(got["errors"])}, self.usage.cpu() - before, client_cpu, seconds * (1 + WARMUP_SHARE))


def add_cpu(result, server_cpu, client_cpu, seconds):
    """CPU time for each operation, the warm-up's taken as many as the rate says."""
    operations = max(1, result["ops_per_sec"] * seconds)
    return result | {"server_cpu_us": 1e6 * server_cpu / operations, "client_cpu_us": 1e6 * client_cpu / operations}


def why_no_etcd(options):
    if shutil.which("etcd") is None:
        return "etcd is not installed (Debian: etcd-server)"
    if options.etcd_load is None or not options.etcd_load.is_file():
        return "--etcd-load must name a load generator (see --help)"
    return None


class Machine:
    """What this machine can do at best."""

    def __init__(self, options):
        self.options = options

    def limits(self):
        return json.loads(run([BIN / "quorate-limits", "--json", "--dir", self.options.dir])[0])

    def replicate(self, in_flight, connections):
        """Durable writes held by two of three processes; None without a program for it."""
        if self.options.replicate_limit is None:
            return None
        with tempfile.TemporaryDirectory(prefix="quorate-limit-", dir=self.options.dir) as directory:
            got = figures(run([self.options.replicate_limit.resolve(), directory, connections, in_flight, 2,
                               self.options.value_size + 44, 64])[0])
        return {"ops_per_sec": got["ops/s"], "p50_us": got["p50us"], "p99_us": got["p99us"]}
