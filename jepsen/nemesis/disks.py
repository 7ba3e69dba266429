"""Disks that fill up, stall, fail, or lose what was not synced. Each node gets a small ext4 file system of its own on a loop
device, in a mount namespace of its own that goes away with the harness; that needs root.

What can be done from outside, and is: no room (ENOSPC), writes that wait (freezing), writes that fail (EIO), and a power loss:
what the node has not synced is gone, what it has synced is there (the file system is shut down without a flush, as xfstests
does it). What cannot: torn or reordered sectors, an error of one chosen call, a lie about a sync. The simulator does those.
"""

import errno
import fcntl
import functools
import os
import pathlib
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import types

from cluster import ClusterError
from nemesis import Fault, Nemesis
from processes import Namespace, spawn

SIZE = 640 << 20
SHUTDOWN = 0x8004587D  # FS_IOC_SHUTDOWN, of 32 bits
NO_FLUSH = 2


class Disk:
    def __init__(self, node, size=SIZE):
        self.node = node
        self.image = node.data_dir.parent / f"node{node.id}.disk"
        with open(self.image, "wb") as image:
            image.truncate(size)
        subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", self.image], check=True, capture_output=True)
        node.data_dir.mkdir(exist_ok=True)
        self.mount()

    def mount(self):
        self.node.namespace.run("mount", "-o", "loop,noatime", self.image, self.node.data_dir)

    def unmount(self):
        self.node.namespace.run("umount", self.node.data_dir)

    @property
    def filler(self):
        return self.node.files / "filler"

    def fill(self, leave):
        free = shutil.disk_usage(self.node.files).free
        with open(self.filler, "wb") as filler:
            while free > leave:
                try:
                    os.posix_fallocate(filler.fileno(), os.fstat(filler.fileno()).st_size, max(4096, free - leave))
                    return
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    free -= 1 << 20  # the node has taken some meanwhile

    def empty(self):
        self.filler.unlink(missing_ok=True)

    def shut_down(self):
        """From now on every access fails, and what was not synced never reaches the disk."""
        directory = os.open(self.node.files, os.O_RDONLY)
        try:
            fcntl.ioctl(directory, SHUTDOWN, struct.pack("I", NO_FLUSH))
        finally:
            os.close(directory)

    def replace(self):
        """After shut_down(), with the node gone: the disk as it is after a power loss."""
        self.unmount()
        self.mount()


class Freezer:
    """The process that freezes and thaws (_freezer.py): should the harness be killed, it thaws all, or the nodes could not die."""

    def __init__(self):
        self._lock = threading.Lock()
        self._process = spawn([sys.executable, str(pathlib.Path(__file__).with_name("_freezer.py"))],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)

    def ask(self, what, directory):
        with self._lock:
            self._process.stdin.write(f"{what} {directory}\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline().strip()
        if answer != "ok":
            raise ClusterError(f"cannot {what} {directory}: {answer or 'the freezer is gone'}")

    def close(self):
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


@functools.cache
def _cannot_mount():
    """Root in a container may lack the right, or the loop devices."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix="quorate-disk-"))
    namespace = None
    try:
        namespace = Namespace("mount")
        probe = types.SimpleNamespace(id=0, data_dir=directory / "disk", namespace=namespace)
        Disk(probe, 4 << 20).unmount()
    except (OSError, subprocess.CalledProcessError) as error:
        return f"disks of their own need the right to mount loop devices: {error}"
    finally:
        if namespace:
            namespace.close()
        shutil.rmtree(directory, ignore_errors=True)
    return None


class _DiskNemesis(Nemesis):
    @classmethod
    def unavailable(cls, cluster):
        if os.geteuid() != 0:
            return "disks of their own need root"
        if missing := [tool for tool in ("mkfs.ext4", "mount", "nsenter", "unshare") if not shutil.which(tool)]:
            return f"disks of their own need {', '.join(missing)}"
        return _cannot_mount()

    @classmethod
    def prepare(cls, cluster):
        if hasattr(cluster, "freezer"):
            return
        cluster.freezer = Freezer()
        cluster.at_stop.append(cluster.freezer.close)
        for node in cluster:
            if node.namespace is None:
                node.namespace = Namespace("mount")
                cluster.at_stop.append(node.namespace.close)
            node.disk = Disk(node)

    def victims(self):
        """The leader, any node, as many as are survived, or all."""
        kind = self.random.choice(("leader", "one", "minority", "all"))
        nodes = {"leader": lambda: [self.leader()], "one": lambda: self.some(1), "minority": lambda: self.some(self.minority),
                 "all": lambda: list(self.cluster)}[kind]()
        self.nodes = nodes
        return nodes, ", ".join(str(node.id) for node in nodes)

    nodes = ()

    def start_again(self):
        """On what the disk holds."""
        for node in self.nodes:
            node.kill()
            node.disk.replace()
            node.start()


class DiskFull(_DiskNemesis):
    name = "disk-full"
    help = "a stranger's file takes the disk, all but a megabyte or all but a page"
    hold = (2.0, 5.0)

    def begin(self):
        nodes, who = self.victims()
        leave = self.random.choice((1 << 20, 4096))
        for node in nodes:
            node.disk.fill(leave)
        return Fault([node.id for node in nodes], f"disk of node {who} full but for {leave >> 10} KiB")

    def end(self):
        for node in self.nodes:
            node.disk.empty()


class DiskStuck(_DiskNemesis):
    name = "disk-stuck"
    help = "writes and syncs of a node wait until the fault is over"

    def begin(self):
        self.nodes = [self.leader()] if self.random.random() < 0.5 else self.some(1)
        for node in self.nodes:
            self.cluster.freezer.ask("freeze", node.files)
        who = ", ".join(str(node.id) for node in self.nodes)
        return Fault([node.id for node in self.nodes], f"disk of node {who} takes no writes")

    def end(self):
        for node in self.nodes:
            self.cluster.freezer.ask("thaw", node.files)


class DiskSlow(DiskStuck):
    name = "disk-slow"
    help = "a node's disk takes writes for a few milliseconds only, between pauses of 20 to 300 ms"
    frozen = True

    def step(self):
        self.frozen = not self.frozen
        for node in self.nodes:
            self.cluster.freezer.ask("freeze" if self.frozen else "thaw", node.files)
        return self.random.uniform(0.02, 0.3) if self.frozen else self.random.uniform(0.002, 0.01)

    def begin(self):
        fault = super().begin()
        fault.detail = fault.detail.replace("takes no writes", "takes writes between pauses of 20 to 300 ms")
        return fault


class DiskEio(_DiskNemesis):
    name = "disk-eio"
    help = "every access to a node's disk fails with EIO: it must end; later it starts on what was synced"

    def begin(self):
        self.nodes = self.some(1)
        node = self.nodes[0]
        node.disk.shut_down()
        return Fault([node.id], f"disk of node {node.id} fails with EIO")

    def end(self):
        self.start_again()


class PowerLoss(_DiskNemesis):
    name = "power-loss"
    help = "kill -9 of the leader, one, a minority or all, and what they had not synced is gone from their disks"

    def begin(self):
        nodes, who = self.victims()
        for node in nodes:
            node.signal(signal.SIGKILL)
        for node in nodes:
            node.disk.shut_down()
            node.kill()
        return Fault([node.id for node in nodes], f"power loss of node {who}: killed, unsynced writes lost")

    def end(self):
        self.start_again()

