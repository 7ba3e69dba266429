"""One test: a cluster, faults, clients, and the history of it all."""

import contextlib
import signal
import sys
import threading
import time
from datetime import datetime
from pathlib import Path

import nemesis
import net
from cluster import Cluster, ClusterError
from harness import HarnessError, outcome, plan as plans
from harness.driver import Driver
from harness.recording import Recording, Sampler
from processes import BIN, ROOT

STORE = ROOT / "store"
START_TIMEOUT = 60


def say(text):
    print(text, flush=True)


def new_directory(title, out=None):
    """The test's own, new or empty."""
    if out is None:
        directory = STORE / f"{datetime.now():%Y%m%dT%H%M%S}-{title}"
        for number in range(2, 1000):
            if not directory.exists():
                break
            directory = directory.with_name(f"{directory.name.split('~')[0]}~{number}")
    else:
        directory = Path(out).resolve()
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if any(directory.iterdir()):
            raise HarnessError(f"{directory} is not empty: name a new directory")
    except OSError as error:
        raise HarnessError(f"cannot write to {directory}: {error.strerror}") from None
    if out is None:
        outcome.link_latest(directory)
    return directory


class Progress:
    """A line now and then: every second on a terminal, else every five."""

    KINDS = ("ok", "fail", "info")

    def __init__(self, seconds):
        self.seconds, self.every = seconds, 1 if sys.stdout.isatty() else 5
        self.pending = dict.fromkeys(self.KINDS, 0)
        self.slowest = 0
        self.runner = None

    def tell(self, report):
        for name in self.KINDS:
            self.pending[name] += report[name]
        self.slowest = max(self.slowest, report["slowest_us"])
        if report["at"] % self.every:
            return
        faults = ", ".join(self.runner.active) if self.runner else ""
        rates = ", ".join(f"{count} {name}" for name, count in self.pending.items())
        say(f"{report['at']:4} s  {rates}, slowest {self.slowest / 1000:.0f} ms{'; ' + faults if faults else ''}")
        self.pending, self.slowest = dict.fromkeys(self.KINDS, 0), 0


def run(plan, out=None, named=(), quiet=False):
    """Runs it and judges it; returns (exit code, directory). Ctrl-C or SIGTERM end it early and it is judged all the same."""
    plans.check(plan)
    directory = new_directory(plan.title, out)
    recording = Recording(directory / "history.jsonl")
    tell = (lambda text: None) if quiet else say
    try:
        rows, notes = _carry_out(plan, directory, recording, named, tell)
    except ClusterError as error:
        raise HarnessError(str(error)) from None
    except (net.NetworkError, nemesis.NemesisError) as error:
        raise HarnessError(str(error)) from None
    finally:
        recording.close()
    outcome.write_repro(directory, plan)
    return outcome.judge(directory, rows, notes, tell), directory


def _carry_out(plan, directory, recording, named, tell):
    cluster = Cluster(plan.nodes, network=net.make(plan.network, seed=plan.seed))
    try:
        for name, why in plans.leave_out(plan, cluster, named).items():
            tell(f"left out: {name}: {why}")
        nemesis.prepare(cluster, plan.nemeses)
    except BaseException:
        cluster.stop()
        raise
    for node in cluster:
        node.log_path = directory / f"node{node.id}.log"
        if plan.control:
            node.binary = BIN / "quorated-controls"
            node.flags += ["--control", plan.control]
    events = plan.events or nemesis.schedule(plan.nemeses, plan.seed, plan.seconds)
    tell(f"{plan.workload}, {plan.nodes} nodes, {plan.network}, seed {plan.seed}: {len(events)} faults in {plan.seconds:g} s")
    with cluster, interruptible():
        cluster.wait_ready(START_TIMEOUT)
        return _watch(plan, cluster, events, recording, tell)


def _watch(plan, cluster, events, recording, tell):
    progress = Progress(plan.seconds)
    header = {"nodes": plan.nodes, "backend": plan.network, "started_unix_us": time.time_ns() // 1000, "args": plan.arguments(),
              "faults": plan.nemeses, "read": plan.read}
    enter = cluster.network.switch.enter if plan.network == "namespaces" else ()
    recording.origin_us = time.monotonic_ns() // 1000
    driver = Driver(plan, cluster.endpoints(), recording.path, recording.origin_us, header, enter,
                    progress.tell if tell is say else lambda report: None)
    runner = nemesis.Runner(cluster, events, recording.emit, recording.now_us, lambda text: tell(f"      {text}"))
    progress.runner = runner
    interrupted, code = False, None
    try:
        driver.wait_ready()
        recording.emit({"links": cluster.network.links(), "at": 0})
        with Sampler(cluster, recording):
            try:
                with runner:  # heals on the way out
                    interrupted = not _wait(driver, plan)
            finally:
                code = driver.finish(3 * plan.timeout)
    finally:
        driver.kill()
    if not interrupted and code == 0:
        recording.emit({"end": recording.now_us()})
    return _findings(plan, cluster, runner, driver, code), ["interrupted: the test did not run to its end"] if interrupted else []


def _wait(driver, plan):
    """False: interrupted."""
    try:
        # Waiting without a limit would keep signals out.
        deadline = time.monotonic() + plan.seconds + 60
        while not driver.wait(0.5):
            if time.monotonic() > deadline:
                return True  # finish() does what can be done
        return True
    except KeyboardInterrupt:
        say("interrupted: healing, stopping the clients, then the checkers ...")
        return False


def _findings(plan, cluster, runner, driver, code):
    ended = runner.ended + [f"node {node.id} ended with code {node.process.poll()}" for node in cluster
                            if not node.running and not node.paused]
    rows = [outcome.row("nodes", not ended, "; ".join(ended) or "none ended by itself", plan.nodes)]
    if plan.nemeses or plan.events:
        rows.append(outcome.row("faults", "unknown" if runner.errors else True, "; ".join(runner.errors) or "all were made and undone",
                                len(runner.events)))
    if code != 0:
        rows.append(outcome.row("clients", "unknown", f"quorate-workload ended with {code}: {driver.complaint()}"))
    return rows


@contextlib.contextmanager
def interruptible():
    """SIGTERM and SIGHUP do what Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_):
        raise KeyboardInterrupt
    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
