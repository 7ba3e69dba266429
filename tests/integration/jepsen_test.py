"""jepsen/run as a user has it: verdicts, a control that is caught, a mutated history, Ctrl-C, bad arguments."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import unittest
from pathlib import Path

import net
from cluster import wait_until
from processes import BIN, ROOT

RUN = ROOT / "jepsen" / "run"
PATIENCE = 120  # seconds; machines are busy


def jepsen(*arguments, timeout=PATIENCE):
    """(exit code, what it said)."""
    done = subprocess.run([sys.executable, RUN, *map(str, arguments)], capture_output=True, text=True, timeout=timeout, check=False)
    return done.returncode, done.stdout + done.stderr


def started_in(directory):
    """Processes of a test that writes there, by the command lines of its nodes and clients."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if str(directory) in command and "quorate" in command:
            found.append(command.replace("\0", " "))
    return found


class Jepsen(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.out = Path(directory.name) / "result"
        # Nodes have their data in a directory of the harness's own: here too, so that they can be told from others'.
        os.environ["TMPDIR"] = directory.name
        self.addCleanup(os.environ.pop, "TMPDIR")

    def partition_test(self, network):
        if why := net.backends()[network]:
            print(f"SKIPPED: {network}: {why}", flush=True)
            self.skipTest(f"{network}: {why}")
        code, said = jepsen("test", "-w", "register", "-n", "isolate-leader", "--time", 5, "--rate", 200, "--seed", 1,
                            "--network", network, "--out", self.out)
        self.assertEqual(code, 0, said)
        files = {file.name for file in self.out.iterdir()}
        self.assertLessEqual({"history.jsonl", "history.edn", "results.json", "report.html", "repro.sh", "node1.log"}, files)
        lines = [json.loads(line) for line in (self.out / "history.jsonl").read_text().splitlines()]
        self.assertEqual((lines[0]["backend"], lines[0]["seed"]), (network, 1))
        self.assertTrue(any(line.get("fault") == "isolate-leader" for line in lines))
        self.assertTrue(any("cut" in str(line.get("links")) for line in lines))
        self.assertTrue(any("sample" in line for line in lines) and any("end" in line for line in lines))
        self.assertEqual(started_in(self.out.parent), [])

    def test_a_partition_through_the_proxy_is_valid_and_a_changed_history_is_not(self):
        self.partition_test("proxy")
        history = (self.out / "history.jsonl").read_text().splitlines()
        at, read = next((i, op) for i, op in enumerate(map(json.loads, history)) if op.get("f") == "read"
                        and op.get("type") == "ok" and op["result"] and op.get("on_unmet") != "serve")
        mutated = self.out / "mutated.jsonl"
        history[at] = json.dumps({**read, "result": "v999999999"})
        mutated.write_text("\n".join(history) + "\n")
        self.assertEqual(jepsen("check", mutated)[0], 1)
        self.assertEqual(jepsen("check", self.out / "history.jsonl")[0], 0)
        mutated.write_text("\n".join(history)[:-20])
        code, said = jepsen("check", mutated)
        self.assertEqual((code, "mutated.jsonl" in said), (65, True), said)

    def test_a_partition_in_namespaces(self):
        self.partition_test("namespaces")

    def test_a_control_is_caught(self):
        code, said = jepsen("test", "-w", "lock-unfenced", "--time", 8, "--rate", 300, "--seed", 1, "--out", self.out)
        self.assertEqual(code, 1, said)
        self.assertIn("lock: use #", said)

    def start(self):
        running = subprocess.Popen([sys.executable, RUN, "test", "-w", "mixed", "-n", "halves,pause-one", "--time", "300",
                                    "--rate", "100", "--out", self.out], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.addCleanup(running.stdout.close)
        said = []
        threading.Thread(target=lambda: said.extend(running.stdout), daemon=True).start()
        history = self.out / "history.jsonl"
        wait_until(lambda: history.exists() and '"op"' in history.read_text(), PATIENCE, lambda: f"it does not begin: {said}")
        return running, said

    def test_ctrl_c_leaves_a_report_and_nothing_running(self):
        running, said = self.start()
        self.assertNotEqual(started_in(self.out.parent), [])
        running.send_signal(signal.SIGINT)
        code = running.wait(PATIENCE)
        self.assertIn(code, (0, 2), said)
        self.assertTrue((self.out / "report.html").exists())
        self.assertIn("interrupted", (self.out / "results.json").read_text())
        self.assertEqual(started_in(self.out.parent), [])

    def test_nothing_outlives_a_harness_that_is_killed(self):
        running, _ = self.start()
        running.kill()
        running.wait()
        wait_until(lambda: not started_in(self.out.parent), PATIENCE, lambda: f"left: {started_in(self.out.parent)}")

    def test_bad_arguments_are_refused_clearly(self):
        taken = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(taken.close)
        file = self.out.parent / "text"
        file.write_text("this is no history\n")
        for arguments, code, message in (
                (("test", "-w", "none-such"), 64, "there is no workload 'none-such'"),
                (("test", "-w", "register", "-n", "none-such"), 64, "there is no nemesis 'none-such'"),
                (("test", "-w", "register", "--network", "none-such"), 64, "there is no network 'none-such'"),
                (("test", "-w", "register", "-n", "halves", "--nodes", 2), 64, "--nodes 3"),
                (("test", "-w", "register", "--nodes", 99), 64, "not from 1 to 9"),
                (("test", "-w", "register", "--read", "soon", "--out", self.out / "a"), 69, "soon"),
                (("test", "-w", "register", "--out", self.out.parent), 69, "not empty"),
                (("test",), 64, "required"),
                (("demo", "none-such"), 64, "there is no demo"),
                (("check",), 64, "either histories or --corpus"),
                (("check", file), 65, "text"),
                (("check", file, "--model", "none-such"), 64, "unknown model"),
                (("check", self.out / "absent"), 66, "absent"),
                (("serve", self.out / "absent"), 69, "no directory"),
                (("serve", self.out.parent, "--port", taken.getsockname()[1]), 69, "in use")):
            with self.subTest(arguments):
                got, said = jepsen(*arguments)
                self.assertEqual((got, message in said, "Traceback" in said), (code, True, False), said)

    def test_a_node_that_does_not_start_is_named_with_its_log(self):
        broken = self.out.parent / "bin"
        broken.mkdir()
        for name in ("quorate-proxy", "quorate-workload", "quorate-check"):
            (broken / name).symlink_to(BIN / name)
        (broken / "quorated").write_text("#!/bin/sh\necho cannot start: out of luck >&2\nexit 1\n")
        (broken / "quorated").chmod(0o755)
        done = subprocess.run([sys.executable, RUN, "test", "-w", "register", "--out", self.out], capture_output=True, text=True,
                              timeout=PATIENCE, check=False, env={**os.environ, "QUORATE_BIN": str(broken)})
        self.assertEqual((done.returncode, "out of luck" in done.stderr, "Traceback" in done.stderr), (69, True, False), done.stderr)


if __name__ == "__main__":
    unittest.main()
