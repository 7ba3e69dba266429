"""The default: every directed link between two nodes goes through quorate-proxy (tools/proxy/). Needs no root."""

import json
import subprocess
import threading

from net import CLIENTS, OK, Network, NetworkError
from processes import BIN, DIE_WITH_PARENT, spawn


def unavailable():
    return None if (BIN / "quorate-proxy").exists() else f"{BIN / 'quorate-proxy'} is not built: ./run build"


class Proxy:
    """One process, and the conversation with it."""

    def __init__(self):
        self._lock = threading.Lock()
        self.process = spawn(DIE_WITH_PARENT + [str(BIN / "quorate-proxy")], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, do, **arguments):
        with self._lock:
            try:
                self.process.stdin.write(json.dumps({"do": do, **arguments}).encode() + b"\n")
                self.process.stdin.flush()
                line = self.process.stdout.readline()
            except (OSError, ValueError) as error:
                raise NetworkError(f"the proxy is gone: {error}") from None
        if not line:
            raise NetworkError(f"the proxy ended with code {self.process.wait()}")
        answer = json.loads(line)
        if not answer["ok"]:
            raise NetworkError(answer["error"])
        return answer.get("links")

    def open(self, links, seed=0):
        """{name: target} or {name: (listen, target)}, addresses as host:port; returns {name: address}."""
        pairs = {name: what if isinstance(what, tuple) else ("127.0.0.1:0", what) for name, what in links.items()}
        return self.ask("open", seed=seed,
                        links=[{"name": name, "listen": listen, "target": target} for name, (listen, target) in pairs.items()])

    def close(self):
        if self.process.stdin and not self.process.stdin.closed:
            try:
                self.process.stdin.close()
            except OSError:
                pass
        try:
            self.process.wait(2)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


def name(a, b):
    return f"{a}>{b}"


class ProxyNetwork(Network):
    backend = "proxy"
    kinds = ("cut", "blackhole", "slow", "lossy")

    def __init__(self, seed=0, clients=False):
        super().__init__()
        self.seed, self.clients = seed, clients
        self.proxy = None

    def _build(self, cluster):
        self.proxy = Proxy()
        if self.clients:
            self._conditions |= {pair: OK for node in self.nodes for pair in ((CLIENTS, node), (node, CLIENTS))}
        ports = {node.id: (node.peer_port, node.client_port) for node in cluster}
        targets = {name(a, b): f"127.0.0.1:{ports[b][a == CLIENTS]}" for a, b in self._conditions if b != CLIENTS}
        addresses = self.proxy.open(targets, self.seed)
        for node in cluster:
            node.routes = {other: addresses[name(node.id, other)] for other in self.nodes if other != node.id}
            if self.clients:
                node.reached_at = addresses[name(CLIENTS, node.id)]

    def _apply(self, changed):
        links = set()
        for a, b in changed:
            links |= {(a, b), (b, a)} - {(node, CLIENTS) for node in self.nodes}
        self.proxy.ask("set", links={name(*link): self._faults(*link) for link in links})

    def _faults(self, a, b):
        """Of the connections that a opens to b: they carry what a sends, and b's greeting (to clients: b's answers)."""
        there, back = self._conditions[a, b], self._conditions[b, a]
        faults = {"refuse": there.kind == "cut", "forward": direction(there)}
        if a == CLIENTS:
            faults["refuse"] |= back.kind == "cut"
            faults["backward"] = direction(back)
        elif back.kind in ("blackhole", "slow"):
            faults["backward"] = direction(back)
        return faults

    def reset(self, a, b):
        """Ends the connections that a has opened to b with RST. They may be opened again at once."""
        self.proxy.ask("reset", links=[name(a, b)])

    def counters(self):
        """What each link has seen: {"1>2": {...}}, as tools/proxy/faults.h names it."""
        return self.proxy.ask("counters")

    def stop(self):
        if self.proxy:
            self.proxy.close()


def direction(condition):
    return {"flow": "vanish" if condition.kind == "blackhole" else "pass",
            "delay_us": int(condition.ms * 1000), "jitter_us": int(condition.jitter * 1000),
            "bytes_per_second": int(condition.bytes_per_second),
            "drop": condition.share, "duplicate": condition.duplicate, "reorder": condition.reorder}
