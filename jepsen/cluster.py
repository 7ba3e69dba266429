"""Supervises a throw-away cluster of real `quorated` processes: free ports, a temporary directory, nothing left behind.

    with Cluster(size=3) as cluster:
        cluster.wait_ready()
        cluster.leader().kill()

Nodes die with this process, however it ends (processes.py). With `network=` the links between them can be broken (net/).
"""

import http.client
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import net
from processes import BIN, DIE_WITH_PARENT, ROOT, spawn, start_of  # some of them for those who import this module

OWNER = "harness"  # a file that names the process a cluster's directory belongs to


class ClusterError(Exception):
    """The cluster did not do what a step needs; the message says which node and shows its log."""


def free_ports(count):
    """Ports that nobody listens on, from outside the range that the kernel gives to outgoing connections: a node that is down
    for a while finds its port free again."""
    first, last = map(int, pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split())
    ports = [port for port in range(10_000, 65_536) if not first <= port <= last] or range(10_000, 65_536)
    held = {}
    choose = random.SystemRandom().choice  # a seed that several harnesses share must not decide
    try:
        while len(held) < count:
            port = choose(ports)
            try:
                held.setdefault(port, socket.create_server(("127.0.0.1", port)))
            except OSError:
                continue  # somebody's
        return list(held)
    finally:
        for one in held.values():
            one.close()


def process_usage(pid):
    """(CPU seconds so far, resident bytes) of a process."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    cpu = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return cpu, int(fields[21]) * os.sysconf("SC_PAGE_SIZE")


def wait_until(condition, timeout, what, interval=0.02):
    """Returns the first true value of condition(); raises ClusterError naming `what` after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise ClusterError(f"after {timeout:g} s: {what() if callable(what) else what}")
        time.sleep(interval)


def remove_leftovers(parent):
    """Directories of clusters whose harness was killed before it could remove them. Processes, links, namespaces and mounts
    need no such care: the kernel ends them with the harness."""
    for owner in pathlib.Path(parent).glob(f"quorate-*/{OWNER}"):
        try:
            pid, started = owner.read_text(encoding="ascii").split()
            if start_of(int(pid)) != int(started):
                shutil.rmtree(owner.parent, ignore_errors=True)
        except (OSError, ValueError):
            continue  # somebody else's, or being removed


class Node:
    def __init__(self, node_id, directory, ports, members, flags):
        self.id = node_id
        self.client_port, self.peer_port, self.http_port = ports
        self.data_dir = directory / f"node{node_id}"
        self.log_path = directory / f"node{node_id}.log"
        self.members = members
        self.flags = list(flags)
        self.environment = {}   # on top of this process's own
        self.binary = BIN / "quorated"
        self.host = "127.0.0.1"
        self.namespace = None   # processes.Namespace to run in
        self.routes = {}        # member id -> "host:port" to dial instead of its address
        self.reached_at = None  # "host:port" where clients find it, if not where it listens
        self.process = None
        self.paused = False

    @property
    def endpoint(self):
        return self.reached_at or f"{self.host}:{self.client_port}"

    @property
    def address(self):
        host, port = self.endpoint.rsplit(":", 1)
        return (host, int(port))

    @property
    def files(self):
        """Its data directory as this process sees it."""
        return self.namespace.root / self.data_dir.relative_to("/") if self.namespace else self.data_dir

    @property
    def running(self):
        return self.process is not None and self.process.poll() is None

    def command(self, *extra):
        routes = ",".join(f"{member}={address}" for member, address in self.routes.items())
        return [str(self.binary), "--id", str(self.id), "--cluster", self.members,
                "--data-dir", str(self.data_dir), "--client-addr", f"{self.host}:{self.client_port}",
                "--http-addr", f"{self.host}:{self.http_port}", *(["--peer-route", routes] if routes else []),
                *(["--advertise-client-addr", self.reached_at] if self.reached_at else []), *self.flags, *extra]

    def start(self, bootstrap=False):
        assert not self.running, f"node {self.id} runs already"
        with open(self.log_path, "ab") as log:
            # The parent's death is set last: entering a namespace forgets it.
            command = ((self.namespace.enter if self.namespace else []) + DIE_WITH_PARENT
                       + self.command(*(["--bootstrap"] if bootstrap else [])))
            self.process = spawn(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                 env={**os.environ, **self.environment})
        self.paused = False

    def signal(self, number):
        if self.running:
            self.process.send_signal(number)

    def kill(self):
        """SIGKILL, and waits for the end, so that the ports and the LOCK are free afterwards."""
        self.signal(signal.SIGKILL)
        if self.process is not None:
            self.process.wait()

    def pause(self):
        self.signal(signal.SIGSTOP)
        self.paused = self.running

    def resume(self):
        self.signal(signal.SIGCONT)
        self.paused = False

    def terminate(self, timeout=15):
        """SIGTERM; returns the exit code. Raises ClusterError if the node is still there after `timeout` seconds."""
        self.signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise ClusterError(f"node {self.id} did not stop within {timeout} s of SIGTERM\n{self.log_tail()}") from None

    def http(self, path, timeout=2, method="GET"):
        """(status code, body text); (0, reason) if there is no answer."""
        connection = http.client.HTTPConnection(self.host, self.http_port, timeout=timeout)
        try:
            connection.request(method, path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        except (OSError, http.client.HTTPException) as error:
            return 0, str(error)
        finally:
            connection.close()

    def status(self):
        """The object of /status, or None."""
        code, body = self.http("/status", timeout=1)
        return json.loads(body) if code == 200 else None

    def says(self, field):
        """That field of /status, or None while the node does not answer: for conditions that are waited for."""
        return (self.status() or {}).get(field)

    def ready(self):
        return self.http("/readyz", timeout=1)[0] == 200

    def log_text(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def log_tail(self, lines=15):
        return "\n".join(f"  node {self.id} | {line}" for line in self.log_text().splitlines()[-lines:])

    def usage(self):
        return process_usage(self.process.pid)


class Cluster:
    """`flags` go to every node. With keep=True the directory stays, for looking at. `network`: a net.Network or the name of
    a back-end; None: nodes reach each other directly."""

    def __init__(self, size=3, flags=(), keep=False, directory=None, network=None):
        self.keep = keep
        remove_leftovers(directory or tempfile.gettempdir())
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="quorate-", dir=directory))
        if not keep:
            (self.directory / OWNER).write_text(f"{os.getpid()} {start_of(os.getpid())}\n", encoding="ascii")
        ports = free_ports(3 * size)
        self.nodes = {i + 1: Node(i + 1, self.directory, ports[3 * i:3 * i + 3], "", flags) for i in range(size)}
        self.at_stop = []  # called, last first, before the nodes are killed
        self.network = None
        try:
            self.network = net.make(network) if isinstance(network, str) else network
            if self.network:
                self.network.attach(self)
        except BaseException:
            self.stop()
            raise
        members = ",".join(f"{node.id}={node.host}:{node.peer_port}" for node in self)
        for node in self:
            node.members = members

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        try:
            for node in self.nodes.values():
                node.start(bootstrap=True)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    def __iter__(self):
        return iter(self.nodes.values())

    def __getitem__(self, node_id):
        return self.nodes[node_id]

    def stop(self):
        try:
            while self.at_stop:
                self.at_stop.pop()()
        finally:
            for node in self:
                node.kill()
            if self.network:
                self.network.stop()
        if self.keep:
            print(f"kept: {self.directory}", file=sys.stderr)
        else:
            shutil.rmtree(self.directory, ignore_errors=True)

    def running(self):
        return [node for node in self if node.running]

    def check_alive(self):
        """No node may end unless it was told to."""
        for node in self:
            if node.process is not None and node.process.poll() not in (None, -signal.SIGKILL, 0):
                raise ClusterError(f"node {node.id} ended with code {node.process.poll()}\n{node.log_tail()}")

    def leader_id(self):
        """The leader that a majority names in the highest term seen, or None."""
        states = [state for state in (node.status() for node in self.running() if not node.paused) if state]
        if not states:
            return None
        term = max(state["term"] for state in states)
        named = [state["leader"] for state in states if state["term"] == term and state["leader"]]
        return named[0] if len(named) > len(self.nodes) // 2 else None

    def leader(self, timeout=15):
        """The leading node, once a majority agrees on one."""
        return self.nodes[wait_until(self.leader_id, timeout, lambda: "no leader\n" + self.logs())]

    def wait_another_leader(self, than, timeout=15):
        """The node that leads instead of `than` (a node), once a majority agrees on it."""
        def another():
            leader = self.leader_id()
            return leader if leader and leader != than.id else None
        return self.nodes[wait_until(another, timeout, lambda: f"no leader instead of {than.id}\n" + self.logs())]

    def wait_ready(self, timeout=30):
        for node in self:
            def state(node=node):
                self.check_alive()
                return node.ready()
            wait_until(state, timeout, lambda node=node: f"node {node.id} is not ready: {node.http('/readyz')}\n" + self.logs())

    def logs(self):
        return "\n".join(node.log_tail() for node in self)

    def endpoints(self, *ids):
        return ",".join(self.nodes[i].endpoint for i in (ids or self.nodes))

    def quorate(self, *arguments, stdin=b"", timeout=30, ids=(), env=None):
        """Runs the command line against this cluster; (exit code, stdout, stderr) with the outputs as bytes."""
        done = subprocess.run([str(BIN / "quorate"), "--endpoints", self.endpoints(*ids), *map(str, arguments)],
                              input=stdin, capture_output=True, timeout=timeout, env=env, check=False)
        return done.returncode, done.stdout, done.stderr
