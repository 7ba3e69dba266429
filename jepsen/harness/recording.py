"""What the harness adds to the history beside the clients' operations: faults, links, and what the nodes say of themselves."""

import json
import os
import threading
import time


class Recording:
    """Appends lines to history.jsonl, whole ones at once, as quorate-workload does to the same file. Thread-safe."""

    def __init__(self, path):
        self.path = path
        self.origin_us = time.monotonic_ns() // 1000
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)

    def now_us(self):
        return time.monotonic_ns() // 1000 - self.origin_us

    def emit(self, line):
        os.write(self._file, json.dumps(line, separators=(",", ":")).encode() + b"\n")

    def close(self):
        os.close(self._file)


class Sampler:
    """Asks every node how it is, several times a second, each from a thread of its own: one that hangs holds up no other."""

    EVERY = 0.1  # seconds
    FIELDS = ("role", "term", "leader", "commit", "applied", "age_us")

    def __init__(self, cluster, recording):
        self.cluster, self.recording = cluster, recording
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._watch, args=(node,), name=f"sampler-{node.id}", daemon=True)
                         for node in cluster]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _watch(self, node):
        while not self._stopping.wait(self.EVERY):
            at = self.recording.now_us()
            try:
                says = self._state(node)
            except (OSError, ValueError):  # it ended, or was stopped, half-way through its answer
                continue
            if says:
                self.recording.emit({"sample": node.id, "at": at, **says})

    def _state(self, node):
        if node.paused:
            return {"role": "paused"}
        if not node.running:
            return {"role": "down"}
        status = node.status()
        return status and {name: status[name] for name in self.FIELDS if status.get(name) is not None}
