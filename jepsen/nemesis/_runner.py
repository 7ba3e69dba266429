"""Carries out a schedule beside the clients, tells the history, and heals whatever happens."""

import functools
import random
import threading
import time
from dataclasses import dataclass


@dataclass
class Active:
    event: object
    nemesis: object
    record: dict
    next_step: float = None  # seconds since the beginning


class Runner:
    """A thread of its own. `emit(dict)` gets the lines of FORMAT.md: a `fault` when it is over, `links` at every change of the
    network. `now_us()`: microseconds since the test began; absent: since start(). Both are called from that thread, and from
    whoever else changes the network.

    Used as a context manager: on the way out, also by Ctrl-C, it ends the faults that are under way and heals."""

    def __init__(self, cluster, events, emit=lambda line: None, now_us=None, say=lambda text: None):
        self.cluster, self.events, self.emit, self.say = cluster, list(events), emit, say
        self._now_us = now_us or (lambda: int((time.monotonic() - self._begun) * 1e6))
        self._begun = time.monotonic()
        self._stopping = threading.Event()
        self._active = []
        self._count = 0
        self._thread = None
        self.errors = []  # faults that could not be made or undone, as text
        self.ended = []   # nodes that ended by themselves, likewise

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        self._begun = time.monotonic()
        if self.cluster.network:
            self.cluster.network.on_change.append(self._tell_links)
        self._thread = threading.Thread(target=self._run, name="nemesis")
        self._thread.start()

    def stop(self):
        """Ends what is under way, heals, returns when that is done. May be called again."""
        self._stopping.set()
        if self._thread:
            self._thread.join()
            self._thread = None
            if self.cluster.network:
                self.cluster.network.on_change.remove(self._tell_links)

    def wait(self):
        """Until the last event is over and everything is healed."""
        self._thread.join()

    @property
    def active(self):
        """Names of the faults under way."""
        return [active.event.name for active in list(self._active)]

    def _tell_links(self, links):
        self.emit({"links": links, "at": self._now_us()})

    def _seconds(self):
        return time.monotonic() - self._begun

    def _run(self):
        pending = sorted(self.events, key=lambda event: event.at)[::-1]  # the next one last
        try:
            while (pending or self._active) and not self._stopping.is_set():
                now = self._seconds()
                for active in [active for active in self._active if active.event.until <= now]:
                    self._end(active)
                for active in self._active:
                    if active.next_step is not None and active.next_step <= now:
                        self._step(active)
                while pending and pending[-1].at <= now:
                    self._begin(pending.pop())
                moments = [active.event.until for active in self._active] + [event.at for event in pending[-1:]]
                moments += [active.next_step for active in self._active if active.next_step is not None]
                if moments:
                    self._stopping.wait(max(0.0, min(moments) - self._seconds()))
        finally:
            self._heal()

    def _begin(self, event):
        from nemesis import REGISTRY  # pylint: disable=import-outside-toplevel
        nemesis = REGISTRY[event.name]()
        self._count += 1
        record = {"fault": event.name, "id": self._count, "at": self._now_us()}
        active = Active(event, nemesis, record)
        self._active.append(active)
        try:
            fault = nemesis.start(self.cluster, self.cluster.network, random.Random(event.seed), event.until - event.at)
            record |= {"nodes": sorted(fault.nodes), "detail": fault.detail}
            self.say(f"{event.name}: {fault.detail}")
            active.next_step = self._seconds()
        except Exception as error:  # pylint: disable=broad-except
            self._failed(event, "did not begin", error)
            record |= {"nodes": [], "detail": f"did not begin: {error}"}
            self._end(active)

    def _step(self, active):
        try:
            again = active.nemesis.step()
        except Exception as error:  # pylint: disable=broad-except
            self._failed(active.event, "did not go on", error)
            again = None
        active.next_step = None if again is None else self._seconds() + again

    def _end(self, active):
        self._active.remove(active)
        try:
            active.nemesis.stop()
        except Exception as error:  # pylint: disable=broad-except
            self._failed(active.event, "did not end", error)
        self.emit({**active.record, "until": self._now_us()})

    def _failed(self, event, what, error):
        self.errors.append(f"{event.name} {what}: {error}")
        self.say(self.errors[-1])

    def _heal(self):
        """Whatever is left of any fault, in the order in which it matters: links, then processes."""
        for active in reversed(list(self._active)):
            self._end(active)
        for heal in [self._heal_network, *(functools.partial(self._heal_node, node) for node in self.cluster)]:
            try:
                heal()
            except Exception as error:  # pylint: disable=broad-except
                self.errors.append(f"healing failed: {error}")

    def _heal_network(self):
        if self.cluster.network:
            self.cluster.network.heal()

    def _heal_node(self, node):
        node.resume()
        if not node.running:
            code = node.process.poll() if node.process else None
            self.ended.append(f"node {node.id} had ended by itself, with code {code}; it is started again")
            node.start()
