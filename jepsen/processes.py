"""Processes that end with this one, however it ends; and namespaces that do.

The kernel ties such a process to the *thread* that started it. Here that is always one thread that lives as long as the
interpreter, so that any thread may start one.
"""

import concurrent.futures
import os
import pathlib
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BIN = pathlib.Path(os.environ.get("QUORATE_BIN", ROOT / "build" / "release" / "bin"))
# The kernel says nothing of a parent that ended before it was asked to: look once more, behind the request.
DIE_WITH_PARENT = ["setpriv", "--pdeathsig", "KILL", "--",
                   "sh", "-c", '[ "$PPID" = "$0" ] && exec "$@"', str(os.getpid())]

_starter = concurrent.futures.ThreadPoolExecutor(max_workers=1, thread_name_prefix="starter")


def spawn(command, **options):
    """subprocess.Popen from the thread that stays. A Ctrl-C is for the harness alone: it decides who ends when."""
    options.setdefault("start_new_session", True)
    return _starter.submit(subprocess.Popen, command, **options).result()


def start_of(pid):
    """When that process began, in the kernel's ticks; None if it does not run. With the pid, names it for ever."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else int(fields[19])


class Namespace:
    """Linux namespaces that a sleeping process holds: they, their interfaces and their mounts go away with it, and it goes
    away with this process. Nothing is named outside them, so a crash leaves nothing behind. Needs root."""

    def __init__(self, *kinds):
        """`kinds`: "net", "mount"."""
        self.kinds = kinds
        flags = [f"--{kind}" for kind in kinds] + (["--propagation", "private"] if "mount" in kinds else [])
        self.holder = spawn(["unshare", *flags, *DIE_WITH_PARENT, "sleep", "infinity"],
                            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._wait_made()

    def _wait_made(self):
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if pathlib.Path(f"/proc/{self.pid}/comm").read_text(encoding="ascii").strip() == "sleep":
                return
            if self.holder.poll() is not None:
                break
            time.sleep(0.002)
        self.close()
        raise OSError(f"cannot make {' and '.join(self.kinds)} namespaces; that needs root (in a container: CAP_SYS_ADMIN)")

    @property
    def pid(self):
        return self.holder.pid

    @property
    def enter(self):
        """What to put before a command that is to run inside."""
        return ["nsenter", f"--target={self.pid}", *(f"--{kind}" for kind in self.kinds), "--"]

    @property
    def root(self):
        """The file system as seen inside, for root outside."""
        return pathlib.Path(f"/proc/{self.pid}/root")

    def run(self, *command, stdin=None, check=True):
        done = subprocess.run([*self.enter, *map(str, command)], input=stdin, capture_output=True, text=True, check=False, timeout=30)
        if check and done.returncode != 0:
            raise OSError(f"{' '.join(map(str, command))}: {(done.stderr or done.stdout).strip()}")
        return done

    def close(self):
        self.holder.kill()
        self.holder.wait()
