"""The second opinion: each node in a network namespace of its own, joined by veth pairs and a bridge, broken by iptables.

Everything is in namespaces that this run made: the bridge and the clients' end too, which is why the harness moves into that
one (its threads started before do not) for as long as the network stands. The kernel removes all of it with this process.
"""

import ctypes
import os
import shutil

from net import CLIENTS, OK, Network, NetworkError
from processes import Namespace

SUBNET = "10.213.77"
CLONE_NEWNET = 0x40000000


def address(node_id):
    return f"{SUBNET}.{node_id + 10}"


def unavailable():
    if os.geteuid() != 0:
        return "network namespaces need root"
    if missing := [tool for tool in ("ip", "iptables-restore", "nsenter", "unshare") if not shutil.which(tool)]:
        return f"network namespaces need {', '.join(missing)}: apt-get install iptables iproute2 util-linux"
    try:
        probe = Namespace("net")
    except OSError as error:
        return str(error)
    try:
        probe.run("iptables-restore", stdin=table(["-p tcp --dport 1 -j REJECT --reject-with tcp-reset",
                                                   "-m statistic --mode random --probability 0.5 -j DROP"]))
    except OSError as error:
        return f"iptables does not do here what is needed: {error}"
    finally:
        probe.close()
    return None


def table(rules):
    """The whole filter table for iptables-restore: what it does not mention is gone afterwards, at once."""
    return "\n".join(["*filter", ":OUTPUT ACCEPT", *(f"-A OUTPUT {rule}" for rule in rules), "COMMIT", ""])


def move_to(descriptor):
    """This thread, and those it starts from now on, into that network namespace."""
    if ctypes.CDLL(None, use_errno=True).setns(descriptor, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "cannot move into a network namespace")


class NamespaceNetwork(Network):
    backend = "namespaces"
    kinds = ("cut", "blackhole", "lossy")

    def __init__(self, seed=0, clients=False):
        super().__init__()
        del seed, clients  # the kernel's chances cannot be seeded; clients are on the network anyway
        self.switch = None
        self.namespaces = {}
        self.peer_ports = {}
        self.client_ports = {}
        self.home = None

    def _build(self, cluster):
        self._conditions |= {pair: OK for node in self.nodes for pair in ((CLIENTS, node), (node, CLIENTS))}
        self.switch = Namespace("net")
        self._ip(f"link add bridge type bridge\nlink set bridge up\nlink set lo up\naddress add {address(CLIENTS)}/24 dev bridge")
        for node in cluster:
            here = self.namespaces[node.id] = Namespace("net", "mount")
            self._ip(f"link add port{node.id} type veth peer name eth0 netns {here.pid}\n"
                     f"link set port{node.id} master bridge\nlink set port{node.id} up")
            here.run("ip", "-batch", "-", stdin=f"link set lo up\naddress add {address(node.id)}/24 dev eth0\nlink set eth0 up\n")
            node.host, node.namespace = address(node.id), here
            self.peer_ports[node.id], self.client_ports[node.id] = node.peer_port, node.client_port
        self.home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        with open(f"/proc/{self.switch.pid}/ns/net", "rb") as there:
            move_to(there.fileno())

    def _ip(self, lines):
        self.switch.run("ip", "-batch", "-", stdin=lines + "\n")

    def _apply(self, changed):
        for node in {a for a, _ in changed}:
            rules = [rule for (a, b), condition in sorted(self._conditions.items()) if a == node for rule in self._rules(a, b, condition)]
            where = self.switch if node == CLIENTS else self.namespaces[node]
            try:
                where.run("iptables-restore", "--wait", stdin=table(rules))
            except OSError as error:
                raise NetworkError(str(error)) from None

    def _rules(self, a, b, condition):
        """Clients' links are about their port only: the harness asks nodes how they are over the same wire."""
        if condition == OK:
            return []
        if CLIENTS in (a, b):
            port = f"-p tcp --sport {self.client_ports[a]}" if b == CLIENTS else f"-p tcp --dport {self.client_ports[b]}"
        else:
            port = ""
        to = f"-d {address(b)} {port}"
        if condition.kind == "cut":
            # Of the connections that a opened: what b sends on its own still arrives.
            own = port or f"-p tcp --dport {self.peer_ports[b]}"
            return [f"-d {address(b)} {own} -j REJECT --reject-with tcp-reset"]
        if condition.kind == "blackhole":
            return [f"{to} -j DROP"]
        return [f"{to} -m statistic --mode random --probability {condition.share:.6f} -j DROP"]

    def stop(self):
        if self.home is not None:
            move_to(self.home)
            os.close(self.home)
            self.home = None
        for namespace in (*self.namespaces.values(), self.switch):
            if namespace:
                namespace.close()
        self.namespaces, self.switch = {}, None
