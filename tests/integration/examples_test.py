"""The programs of examples/ against a cluster, and exactly once over the death of leaders."""

import os
import pathlib
import subprocess
import threading
import time
import unittest

from support import ClusterTest

BIN = pathlib.Path(os.environ["QUORATE_BIN"])


class Examples(ClusterTest):
    def example(self, name, *arguments, timeout=60):
        result = subprocess.run([BIN / f"example_{name}", self.cluster.endpoints(), *arguments], capture_output=True, text=True,
                                timeout=timeout)
        said = result.stdout + result.stderr
        if result.returncode != 0 and "UNSUPPORTED" in said:
            self.skipTest(f"this server cannot do that: {said}")
        self.assertEqual(result.returncode, 0, said)
        return result.stdout

    def test_hello_reads_its_write_at_every_level(self):
        out = self.example("hello")
        self.assertRegex(out, r"strong  : world, index \d+, node \d, at most 0 us old \(read_index\)")
        self.assertRegex(out, r"eventual: world")

    def test_a_token_goes_to_another_process(self):
        out = self.example("sessions_across_processes")
        self.assertRegex(out, r"writer: index \d+, token q1-[0-9a-f-]+")
        self.assertRegex(out, r"reader: 3 apples, from node \d")

    def test_an_sla_says_which_step_was_met(self):
        out = self.example("sla", "strong@5s > eventual")
        self.assertIn("by step 1: strong", out)
        self.assertRegex(out, r"asked 127\.0\.0\.1:\d+ at \d+ us")

    def test_a_holder_of_the_past_is_refused(self):
        out = self.example("lock_with_fencing")
        self.assertIn("write while held: done", out)
        self.assertIn("write after release: refused", out)

    def test_increments_are_executed_once_while_leaders_die(self):
        out = self.example("coroutine_pipeline")
        self.assertIn("1000 increments, 0 failed, counter 1000", out)
        done = threading.Event()
        runs, failures = [], []

        def increment():
            try:
                while not done.is_set():
                    runs.append(self.example("coroutine_pipeline", timeout=120))
            except Exception as error:
                failures.append(error)

        worker = threading.Thread(target=increment)
        worker.start()
        for _ in range(4):
            time.sleep(1)
            node = self.cluster.leader()
            node.kill()
            time.sleep(1)
            node.start()
            self.cluster.wait_ready()
        done.set()
        worker.join()
        print(f"{len(runs)} runs of 1000 increments")
        self.assertEqual(failures, [])
        self.assertGreater(len(runs), 1)
        for out in runs:
            self.assertIn("1000 increments, 0 failed, counter 1000", out)


if __name__ == "__main__":
    unittest.main()
