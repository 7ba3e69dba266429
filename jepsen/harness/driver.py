"""The clients: quorate-workload, a process that ends with this one."""

import json
import signal
import subprocess
import threading

from harness import HarnessError
from processes import BIN, DIE_WITH_PARENT, spawn

PATIENCE = 60  # seconds, for what should take moments


class Driver:
    """`enter`: what to put before the command, to run it in the network's namespace. `tell(dict)` gets its reports, from a
    thread of its own."""

    def __init__(self, plan, endpoints, history, origin_us, header, enter=(), tell=lambda report: None):
        command = [BIN / "quorate-workload", "--workload", plan.workload, "--endpoints", endpoints, "--nodes", plan.nodes,
                   "--read", plan.read, "--time", plan.seconds, "--rate", plan.rate, "--clients", plan.clients,
                   "--timeout", plan.timeout, "--seed", plan.seed, "--history", history, "--origin-us", origin_us,
                   "--header", json.dumps(header)]
        self.process = spawn([*enter, *DIE_WITH_PARENT, *map(str, command)], stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.tell, self.said = tell, []
        self.ready, self.over = threading.Event(), threading.Event()
        self._errors = threading.Thread(target=self._complaints, name="driver-errors", daemon=True)
        self._errors.start()
        threading.Thread(target=self._listen, name="driver", daemon=True).start()

    def _listen(self):
        for line in self.process.stdout:
            report = json.loads(line)
            if "ready" in report:
                self.ready.set()
            else:
                self.tell(report)
        self.process.wait()
        self._errors.join()
        self.over.set()
        self.ready.set()

    def _complaints(self):
        self.said += list(self.process.stderr)

    def wait_ready(self):
        self.ready.wait(PATIENCE)
        if self.over.is_set() or not self.ready.is_set():
            self.kill()
            raise HarnessError(f"the clients did not begin: {self.complaint() or f'nothing happened for {PATIENCE} s'}")

    def complaint(self):
        return "".join(self.said).strip()

    def wait(self, seconds):
        """Until it has ended; False: not in that time."""
        return self.over.wait(seconds)

    def finish(self, timeout):
        """Asks it to end, and waits: operations under way are awaited and written. Returns its exit code, None if it had to be
        killed."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        if not self.over.wait(timeout + PATIENCE):
            self.kill()
            return None
        return self.process.returncode

    def kill(self):
        self.process.kill()
        self.process.wait()
