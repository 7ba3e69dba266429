"""What a node says of itself: metrics, health, status, logs."""

import json
import re
import unittest

import wire
from cluster import wait_until
from support import OK, ClusterTest
from wire import Connection

NAME = re.compile(r"[a-z][a-z0-9_]*")
SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)')


def parse_metrics(text):
    """(name -> type, name -> help, [(name, labels, value)]). Raises on a line that is none of these."""
    types, helps, samples = {}, {}, []
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            types[name] = kind
        elif line.startswith("# HELP "):
            _, _, name, words = line.split(" ", 3)
            helps[name] = words
        elif line:
            match = SAMPLE.fullmatch(line)
            if not match:
                raise ValueError(f"not a sample: {line}")
            labels = dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', match[2] or ""))
            samples.append((match[1], labels, float(match[3])))
    return types, helps, samples


def family(name, types):
    for suffix in ("_bucket", "_sum", "_count"):
        if name.endswith(suffix) and types.get(name.removesuffix(suffix)) == "histogram":
            return name.removesuffix(suffix)
    return name


class Metrics(ClusterTest):
    def metrics(self, node):
        code, text = node.http("/metrics")
        self.assertEqual(code, 200)
        return parse_metrics(text)

    def test_names_help_types_and_histograms(self):
        self.expect(OK, "put", "k", "v")
        self.expect(OK, "get", "k")
        for node in self.cluster:
            types, helps, samples = self.metrics(node)
            for name, _, _ in samples:
                self.assertIn(family(name, types), types)
                self.assertIn(family(name, types), helps)
                self.assertRegex(name, NAME)
            for name, kind in types.items():
                self.assertTrue(name.startswith(("quorate_", "process_")), name)
                self.assertEqual(kind == "counter", name.endswith("_total"), f"{name} is a {kind}")
                self.assertNotRegex(name, r"_(ms|us|millis|micros|kb|mb)(_|$)", "base units only")
            self.check_histograms(types, samples)

    def check_histograms(self, types, samples):
        for name in (name for name, kind in types.items() if kind == "histogram"):
            series = {}
            for sample, labels, value in samples:
                if sample == f"{name}_bucket":
                    bound = float(labels.pop("le"))
                    series.setdefault(tuple(sorted(labels.items())), []).append((bound, value))
            counts = {tuple(sorted(labels.items())): value for sample, labels, value in samples if sample == f"{name}_count"}
            for labels, buckets in series.items():
                bounds, values = [bound for bound, _ in buckets], [value for _, value in buckets]
                self.assertEqual(bounds, sorted(bounds), name)
                self.assertEqual(values, sorted(values), f"{name} buckets must be cumulative")
                self.assertEqual(bounds[-1], float("inf"), name)
                self.assertEqual(values[-1], counts[labels], name)

    def total(self, samples, name, **labels):
        return sum(value for sample, have, value in samples
                   if sample == name and all(have.get(key) == want for key, want in labels.items()))

    def test_what_the_issue_of_a_slow_cluster_needs(self):
        leader = self.cluster.leader()
        before = self.metrics(leader)[2]
        with Connection(leader.address) as connection:
            for n in range(50):
                self.assertTrue(connection.put(b"m%d" % n, b"v").ok)
                self.assertTrue(connection.get(b"m%d" % n).ok)
        after = self.metrics(leader)[2]
        count = "quorate_request_duration_seconds_count"
        self.assertEqual(self.total(after, count, operation="put") - self.total(before, count, operation="put"), 50)
        self.assertEqual(self.total(after, count, operation="get", level="strong")
                         - self.total(before, count, operation="get", level="strong"), 50)
        self.assertGreaterEqual(self.total(after, "quorate_commit_index") - self.total(before, "quorate_commit_index"), 50)
        self.assertGreater(self.total(after, "quorate_log_sync_duration_seconds_count"), 0)
        self.assertEqual(self.total(after, "quorate_role", role="leader"), 1)
        self.assertGreater(self.total(after, "quorate_term"), 0)
        peers = {labels["peer"] for name, labels, _ in after if name == "quorate_peer_lag_entries"}
        self.assertEqual(peers, {str(node.id) for node in self.cluster if node is not leader})

    def test_refusals_are_counted_by_reason(self):
        follower = next(node for node in self.cluster if node is not self.cluster.leader())
        with Connection(follower.address) as connection:
            self.assertFalse(connection.put(b"k", b"v").ok)
        samples = self.metrics(follower)[2]
        self.assertGreater(self.total(samples, "quorate_refusals_total", reason="NOT_LEADER"), 0)


class Http(ClusterTest):
    def test_health_ready_status(self):
        for node in self.cluster:
            self.assertEqual(node.http("/healthz")[0], 200)
            self.assertEqual(node.http("/readyz")[0], 200)
            state = node.status()
            self.assertEqual(state["id"], node.id)
            self.assertIn(state["role"], ("leader", "follower"))

    def test_a_node_without_a_quorum_is_healthy_but_not_ready(self):
        leader = self.cluster.leader()
        others = [node for node in self.cluster if node is not leader]
        for node in others:
            node.kill()
        try:
            wait_until(lambda: leader.http("/readyz")[0] == 503, 15, "still ready without a quorum")
            self.assertTrue(leader.http("/readyz")[1].strip(), "not ready must say why")
            self.assertEqual(leader.http("/healthz")[0], 200)
        finally:
            for node in others:
                node.start()
            self.cluster.wait_ready()

    def test_unknown_paths_and_methods(self):
        code, body = self.cluster[1].http("/no/such/path")
        self.assertEqual(code, 404)
        self.assertIn("/metrics", body)
        self.assertEqual(self.cluster[1].http("/metrics", method="DELETE")[0], 405)


class JsonLogs(ClusterTest):
    flags = ("--log-format", "json", "--log-level", "debug")

    @staticmethod
    def whole_lines(node):
        """A thread of its own writes the log: it lags a little, and the last line may be half there."""
        return node.log_text().split("\n")[:-1]

    def test_a_request_can_be_found_by_the_name_its_client_gave_it(self):
        name = b'order "17"\n'
        with Connection(self.cluster[1].address) as connection:
            connection.call_many([(wire.GET, wire.encode((1, wire.encode((1, 1000), (2, name))), (2, wire.STRONG.encode())),
                                   b"k")])

        def lines_with_the_name():
            records = map(json.loads, self.whole_lines(self.cluster[1]))
            return [record for record in records if record.get("request_id") == name.decode()]

        found = wait_until(lines_with_the_name, 10, "no line carries the request's id")
        self.assertTrue(all("term" in record and record["node"] == 1 for record in found))

    def test_every_line_parses_and_names_its_node_and_term(self):
        self.expect(OK, "put", 'quotes " and \\ and \n and \x01', "v")
        with Connection(self.cluster[1].address) as connection:
            connection.put(b'a "key"', b"v")
        leader = self.cluster.leader()
        leader.kill()
        self.expect(OK, "put", "after", "failover")
        for node in self.cluster:
            lines = self.whole_lines(node)
            self.assertGreater(len(lines), 3)
            for line in lines:
                record = json.loads(line)
                self.assertEqual(record["node"], node.id, line)
                self.assertIn("term", record, line)
        leader.start()
        self.cluster.wait_ready()


if __name__ == "__main__":
    unittest.main(verbosity=2)
