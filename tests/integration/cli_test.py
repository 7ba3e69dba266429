"""The command line against three real nodes: every command, what it prints, and every exit code."""

import json
import signal
import subprocess
import time
import unittest

from cluster import BIN, free_ports, wait_until
from support import (CANNOT_CONNECT, COMPARE_FAILED, DEADLINE, NOT_FOUND, OK, OTHER, REFUSED, UNKNOWN, USAGE, ClusterTest)

STANZAS = b"""Package: alpha
Version: 1.0
Description: first
 with a continuation line

Package: beta
Version: 2.0

Package: gamma
Version: 3.0
"""


class Commands(ClusterTest):
    def test_put_get_delete(self):
        self.expect(OK, "put", "k1", "v1")
        self.assertEqual(self.expect(OK, "get", "k1").rstrip(b"\n"), b"v1")
        self.expect(OK, "del", "k1")
        self.expect(NOT_FOUND, "get", "k1")

    def test_the_value_is_alone_on_stdout_and_the_certificate_on_stderr(self):
        self.expect(OK, "put", "k2", "v2")
        code, out, err = self.quorate("-v", "get", "k2")
        self.assertEqual((code, out.rstrip(b"\n")), (OK, b"v2"))
        self.assertRegex(err.decode(), r"index \d+, term \d+, node \d")
        self.assertEqual(self.quorate("get", "k2")[2], b"")

    def test_binary_value_from_stdin_comes_back_unchanged(self):
        value = bytes(range(256)) * 100
        self.expect(OK, "put", "binary", "-", stdin=value)
        self.assertEqual(self.expect(OK, "get", "binary"), value)

    def test_json_reply(self):
        written = self.json("put", "k3", "v3")
        self.assertGreater(written["index"], 0)
        for node in self.cluster:
            reply = self.json("--node", node.id, "get", "k3", "--read", "strong")
            self.assertEqual((reply["key"], reply["value"], reply["node"], reply["level"]), ("k3", "v3", node.id, "strong"))
            self.assertGreaterEqual(reply["applied_index"], written["index"])
            self.assertEqual(reply["basis"], "read_index")

    def test_eventual_reads_say_what_they_know_of_their_age(self):
        self.expect(OK, "put", "k4", "v4")
        for node in self.cluster:
            wait_until(lambda node=node: self.quorate("--node", node.id, "get", "k4", "--read", "eventual")[0] == OK, 5,
                       "an eventual read never saw the write")
            reply = self.json("--node", node.id, "get", "k4", "--read", "eventual")
            self.assertIn(reply["basis"], ("anchor", "none"))
            if reply["basis"] == "anchor":
                self.assertGreaterEqual(reply["age_ms"], 0)

    def test_compare_and_set(self):
        index = self.json("put", "k5", "old")["index"]
        self.expect(COMPARE_FAILED, "cas", "k5", "--expect-index", index + 1, "new")
        self.assertEqual(self.expect(OK, "get", "k5").rstrip(b"\n"), b"old")
        self.expect(OK, "cas", "k5", "--expect-index", index, "new")
        self.assertEqual(self.expect(OK, "get", "k5").rstrip(b"\n"), b"new")

    def test_scan_in_key_order_and_count(self):
        for key in ("scan/c", "scan/a", "scan/b"):
            self.expect(OK, "put", key, key.upper())
        lines = self.expect(OK, "scan", "scan/").splitlines()
        self.assertEqual([line.split()[0] for line in lines], [b"scan/a", b"scan/b", b"scan/c"])
        self.assertIn(b"3", self.expect(OK, "scan", "scan/", "--count"))

    def test_scan_over_many_pages_is_complete(self):
        keys = [f"page/{n:05}" for n in range(3000)]
        lines = "".join(f"{key}\t{'x' * 100}\n" for key in keys).encode()
        self.expect(OK, "import", "--format", "lines", "-", stdin=lines)
        seen = [line.split()[0].decode() for line in self.expect(OK, "scan", "page/").splitlines()]
        self.assertEqual(seen, keys)

    def test_import_of_a_package_index(self):
        self.expect(OK, "import", "-", stdin=STANZAS)
        self.assertIn(b"with a continuation line", self.expect(OK, "get", "alpha"))
        self.assertIn(b"Version: 3.0", self.expect(OK, "get", "gamma"))

    def test_status(self):
        lines = self.expect(OK, "--json", "status").splitlines()
        states = [json.loads(line) for line in lines]
        self.assertEqual(sorted(state["id"] for state in states), [1, 2, 3])
        self.assertEqual([state["role"] for state in states].count("leader"), 1)
        self.assertTrue(all(state["reachable"] for state in states))
        self.assertEqual(len({state["leader"] for state in states}), 1)

    def test_bench(self):
        result = self.json("bench", "--workload", "put", "--clients", "4", "--connections", "2", "--duration", "1s",
                           "--keys", "100", timeout=60)
        self.assertEqual(result["workload"], "put")
        self.assertGreater(result["ops"], 0)
        self.assertLessEqual(result["p50_us"], result["p999_us"])

    def test_bench_intervals(self):
        lines = self.expect(OK, "--json", "bench", "--workload", "put", "--clients", "4", "--connections", "2", "--duration", "1s",
                            "--warmup", "0s", "--keys", "100", "--interval", "200ms", timeout=60).splitlines()
        *intervals, total = map(json.loads, lines)
        self.assertGreaterEqual(len(intervals), 2)
        self.assertEqual(sorted(one["at"] for one in intervals), [one["at"] for one in intervals])
        self.assertLessEqual(max(one["p99_us"] for one in intervals), total["max_us"])
        self.assertNotIn("at", total)

    def test_completion_and_help(self):
        self.assertIn(b"quorate", self.expect(OK, "completion", "bash"))
        for command in ("put", "get", "del", "cas", "scan", "import", "status", "snapshot", "backup", "bench"):
            self.assertIn(b"quorate", self.expect(OK, command, "--help"), command)


class Refusals(ClusterTest):
    def test_usage_errors(self):
        for arguments in (["frobnicate"], ["get"], ["put", "k"], ["get", "k", "--read", "sometimes"], ["--deadline", "soon",
                          "get", "k"], ["--no-such-flag"], ["cas", "k", "v"]):
            with self.subTest(arguments):
                self.error_of(USAGE, *arguments)

    def test_limits_are_named(self):
        self.assertRegex(self.error_of(USAGE, "put", "", "v"), "(?i)empty|key")
        self.assertIn("4096", self.error_of(USAGE, "put", "k" * 4097, "v"))
        self.assertIn("1048576", self.error_of(USAGE, "put", "big", "-", stdin=b"x" * ((1 << 20) + 1)))
        self.expect(OK, "put", "k" * 4096, "-", stdin=b"x" * (1 << 20))
        self.assertEqual(len(self.expect(OK, "get", "k" * 4096)), 1 << 20)

    def test_missing_key(self):
        self.assertEqual(self.error_of(NOT_FOUND, "get", "no such key").count("\n"), 1)

    def test_no_cluster_there(self):
        ports = free_ports(3)
        endpoints = ",".join(f"127.0.0.1:{port}" for port in ports)
        began = time.monotonic()
        done = subprocess.run([BIN / "quorate", "--endpoints", endpoints, "get", "k"], capture_output=True, timeout=20,
                              check=False)
        self.assertEqual(done.returncode, CANNOT_CONNECT, done.stderr)
        self.assertIn(str(ports[0]), done.stderr.decode())
        self.assertLess(time.monotonic() - began, 5)

    def test_a_server_that_never_answers(self):
        # A paused process takes connections (the kernel does) and says nothing: the deadline must end the call.
        node = self.cluster[1]
        node.pause()
        try:
            began = time.monotonic()
            self.error_of(DEADLINE, "--deadline", "1s", "get", "k", ids=(1,))
            self.error_of(DEADLINE, "--deadline", "1s", "put", "k", "v", ids=(1,))
            self.assertLess(time.monotonic() - began, 10)
        finally:
            node.resume()

    def test_something_else_behind_the_endpoint(self):
        done = subprocess.run([BIN / "quorate", "--endpoints", f"127.0.0.1:{self.cluster[1].http_port}", "get", "k"],
                              capture_output=True, timeout=20, check=False)
        self.assertEqual(done.returncode, OTHER, done.stderr)

    def test_another_cluster(self):
        self.assertIn("cluster", self.error_of(CANNOT_CONNECT, "--cluster-id", "77", "get", "k"))

    def test_interrupt(self):
        load = subprocess.Popen([BIN / "quorate", "--endpoints", self.cluster.endpoints(), "bench", "--workload", "put",
                                 "--clients", "2", "--duration", "60s"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        time.sleep(2)
        load.send_signal(signal.SIGINT)
        load.communicate(timeout=10)
        self.assertEqual(load.returncode, 130)


class WithoutQuorum(ClusterTest):
    def setUp(self):
        self.expect(OK, "put", "k", "v")
        self.leader = self.cluster.leader()
        self.followers = [node for node in self.cluster if node is not self.leader]

    def test_two_of_three_nodes_down(self):
        for node in self.followers:
            node.kill()
        began = time.monotonic()
        # The leader may take the write into its log before it notices: then nobody can know the outcome.
        self.assertIn(self.quorate("--deadline", "3s", "put", "k", "v2")[0], (REFUSED, DEADLINE, UNKNOWN))
        # Some seconds later it certainly is no leader any more, and says so.
        wait_until(lambda: self.quorate("--deadline", "1s", "put", "k", "v3")[0] in (REFUSED, DEADLINE), 10,
                   "a node without a quorum still takes writes")
        self.error_of(REFUSED, "--node", self.leader.id, "--deadline", "1s", "get", "k", "--read", "strong")
        self.assertEqual(self.quorate("status")[0], REFUSED)
        self.expect(OK, "--node", self.leader.id, "get", "k", "--read", "eventual")
        self.assertLess(time.monotonic() - began, 30)
        for node in self.followers:
            node.start()
        self.cluster.wait_ready()
        self.expect(OK, "put", "k", "v4")
        self.assertEqual(self.expect(OK, "get", "k").rstrip(b"\n"), b"v4")

    def test_a_write_that_the_leader_took_and_could_not_commit_is_unknown(self):
        for node in self.followers:
            node.pause()
        try:
            # Half an election timeout later it would know that it leads no more; until then it takes writes.
            self.assertIn("unknown", self.error_of(UNKNOWN, "--node", self.leader.id, "--deadline", "300ms", "put", "k", "v5"))
        finally:
            for node in self.followers:
                node.resume()
        wait_until(lambda: self.quorate("put", "k", "v6")[0] == OK, 10, "no writes after the followers came back")


if __name__ == "__main__":
    unittest.main(verbosity=2)
