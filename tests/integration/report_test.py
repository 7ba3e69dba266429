"""The report: what it says, that it survives any history, that nothing from a history becomes part of the page's code."""

import base64
import http.client
import json
import re
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import zlib
from html.parser import HTMLParser
from pathlib import Path

from report import sample, serve, staleness, words
from report.history import read_history, read_results
from report.render import render

HEADER = {"format": "quorate-history-1", "workload": "register", "seed": 42, "nodes": 3, "backend": "proxy",
          "args": ["test", "-w", "register"]}
WRITE = {"op": 0, "client": 0, "f": "write", "key": "k", "value": "v0", "invoked": 1000, "returned": 2000, "type": "ok", "revision": 5}
READ = {"op": 1, "client": 1, "f": "read", "key": "k", "invoked": 500_000, "returned": 500_400, "type": "ok", "result": None,
        "level": "bounded", "max_age_us": 200_000, "node": 3,
        "certificate": {"node": 3, "term": 7, "index": 4, "age_us": 118_000, "basis": "anchor"}}
ATTACK = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'&{{META}}<!--"


class Page(HTMLParser):
    """Elements and the texts of scripts of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.scripts, self.words = [], [], {}, []
        self.inside = None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]
        self.inside = dict(attrs).get("id", "code") if tag == "script" else "style" if tag == "style" else None

    def handle_endtag(self, tag):
        if tag in ("script", "style"):
            self.inside = None

    def handle_data(self, data):
        if self.inside is None:
            self.words.append(data)
        else:
            self.scripts[self.inside] = self.scripts.get(self.inside, "") + data

    @property
    def meta(self):
        return json.loads(self.scripts["meta"])

    def columns(self, table="ops"):
        """The packed numbers, by the rules of pack.py: so the test is a second reader of the format."""
        raw, at, found = zlib.decompress(base64.b64decode(self.scripts["packed"])), 0, {}
        for name, layout in self.meta["layout"].items():
            rows = layout["rows"]
            for column in layout["columns"]:
                width = column["bytes"]
                planes = [raw[at + p * rows:at + (p + 1) * rows] for p in range(width)]
                values = [sum(byte << 8 * p for p, byte in enumerate(row)) for row in zip(*planes)]
                if column["delta"]:
                    values = [sum(values[:i + 1]) for i in range(rows)]
                at += rows * width
                if name == table:
                    found[column["name"]] = [value - 1 for value in values]
        return found


class ReportTest(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory(prefix="quorate-report-")
        self.addCleanup(self.directory.cleanup)
        self.path = Path(self.directory.name)

    def write(self, lines, results=None, raw=b""):
        history = self.path / "history.jsonl"
        history.write_bytes(b"".join(json.dumps(line).encode() + b"\n" for line in lines) + raw)
        target = self.path / "results.json"
        if results is None:
            target.unlink(missing_ok=True)
        else:
            target.write_text(results if isinstance(results, str) else json.dumps(results))
        return history, target

    def page(self, lines, results=None, raw=b"", **options):
        out = self.path / "report.html"
        render(*self.write(lines, results, raw), out, **options)
        self.assertFalse(list(self.path.glob("*.partial")))
        return Page(out.read_text(encoding="utf-8"))

    def said(self, page):
        return " ".join(" ".join(page.words).split())


class Contents(ReportTest):
    def test_says_what_ran_and_how_it_ended(self):
        page = self.page([HEADER, WRITE, READ, {"end": 600_000}], {"valid": True, "checkers": [
            {"name": "bounded", "valid": True, "checked": 81234, "took_ms": 12, "detail": "fine"}]})
        said = self.said(page)
        for words_ in ("Valid", "2 operations by 2 clients on 3 nodes in 600 ms", "Nothing was broken on purpose",
                       "Every promise was kept", "within their bound of 200 ms", "81,234 checked", "proxy",
                       "jepsen/run test -w register --seed 42", "What consistency means here"):
            self.assertIn(words_, said)

    def test_praises_no_level_that_was_not_checked(self):
        said = self.said(self.page([HEADER, WRITE, READ], {"valid": True, "checkers": [{"name": "strong", "valid": True}]}))
        self.assertNotIn("within their bound", said)

    def test_says_so_if_a_claim_is_false_that_the_checkers_passed(self):
        said = lambda read, lag: self.said(self.page([HEADER, WRITE, {**read, "certificate": {**read["certificate"], "lag": lag}}], {"valid": True}))
        self.assertIn("1 read measured older here than the certificate claims", said(READ, 0))
        self.assertNotIn("measured older here", said(READ, 3))
        self.assertNotIn("measured older here", said({**READ, "invoked": 100_000}, 0))

    def test_an_invalid_run_lists_its_violations(self):
        sentence = "read #1 on node 3 missed write #0, acknowledged 0.50 s before it began; it claimed at most 0.12 s"
        page = self.page([HEADER, WRITE, READ], {"valid": False, "violations": [
            {"checker": "bounded", "sentence": sentence, "ops": [1, 0], "at": 500_000, "key": "k"}]})
        self.assertIn(sentence, self.said(page))
        self.assertIn("1 promise was broken", self.said(page))
        self.assertIn("did not run to its end", self.said(page))
        self.assertEqual(page.meta["violations"][0]["ops"], [1, 0])
        self.assertIn("data-violation", page.attributes)

    def test_counts_violations_that_are_not_listed_and_shows_availability_and_notes(self):
        said = self.said(self.page([HEADER, WRITE], {"valid": False, "checkers": [{"name": "strong", "valid": False, "violations": 1234}],
                                                     "violations": [{"checker": "strong", "sentence": "s", "ops": [0]}], "notes": ["a note"],
                                                     "availability": [{"fault": "pause", "at": 5_000_000, "served_after_us": None, "judgement": "too late"}]}))
        for expected in ("1,234 promises were broken (strong ×1,234)", "1,233 more are in results.json", "a note", "too late"):
            self.assertIn(expected, said)

    def test_the_columns_hold_what_the_history_says(self):
        page = self.page([HEADER, READ, WRITE])
        columns, tables = page.columns(), page.meta["tables"]
        self.assertEqual(columns["op"], [0, 1])  # by the time they began
        self.assertEqual(columns["invoked"], [1000, 500_000])
        self.assertEqual(columns["c_age_us"], [-1, 118_000])
        self.assertEqual(columns["measured"], [-1, 498_000])
        self.assertEqual([tables["f"][n] for n in columns["f"]], ["write", "read"])
        self.assertEqual(tables["text"][columns["value"][0]], "v0")

    def test_one_file_that_needs_nothing_else(self):
        self.page([HEADER, WRITE])
        text = (self.path / "report.html").read_text()
        self.assertNotRegex(text, r"(?i)\b(src|href)=[\"']?(https?:|//)")
        self.assertNotRegex(text, r"@import|url\(")
        self.assertIn("default-src 'none'", text)

    def test_more_operations_than_a_page_draws_are_thinned_but_not_the_proof(self):
        lines = [HEADER, *({**WRITE, "op": i, "invoked": i * 10, "returned": i * 10 + 5} for i in range(1000))]
        page = self.page(lines, {"valid": False, "violations": [{"ops": [777, 13]}]}, max_ops=100)
        drawn = page.columns()["op"]
        self.assertLess(len(drawn), 203)
        self.assertTrue({777, 13} <= set(drawn))
        self.assertIn("1,000 operations are more than a page can draw", self.said(page))

    def test_a_client_that_goes_on_under_a_new_number_keeps_its_lane(self):
        lost = {**WRITE, "op": 1, "invoked": 3000, "returned": 9000, "type": "info"}
        after = {**WRITE, "op": 2, "client": 10, "invoked": 9500, "returned": 9600}
        page = self.page([HEADER, WRITE, lost, after, {**WRITE, "op": 3, "client": 1, "invoked": 1500, "returned": 9900}])
        lanes = dict(zip(page.columns()["op"], page.columns()["lane"]))
        self.assertEqual((lanes[0], lanes[1], lanes[2], lanes[3]), (0, 0, 0, 1))


class Damage(ReportTest):
    def test_empty_history(self):
        page = self.page([])
        self.assertIn("No operations were recorded", self.said(page))
        self.assertIn("Unknown", self.said(page))

    def test_one_operation(self):
        self.assertIn("1 operation by 1 client", self.said(self.page([HEADER, WRITE])))

    def test_only_faults(self):
        page = self.page([HEADER, {"fault": "isolate-leader", "id": 1, "at": 5, "nodes": [2]}, {"links": [[1, 2, "cut"]], "at": 5}])
        self.assertIn("1 fault: isolate-leader", self.said(page))
        self.assertEqual(page.meta["links"], [[5, [[1, 2, 1]]]])

    def test_missing_results_make_the_verdict_unknown(self):
        self.assertIn("the checkers have not run", self.said(self.page([HEADER, WRITE])).lower())

    def test_damaged_results_make_the_verdict_unknown(self):
        for results in ("", "{", "[]", "[" * 100_000, '{"valid": 1, "checkers": 3, "violations": {"a": 1}, "staleness": []}',
                        '{"checkers": [1, null, {}], "violations": [1, null, {}, {"ops": 5, "at": "x"}, {"ops": [true, -1, "y"]}]}'):
            with self.subTest(results[:40]):
                self.assertIn("Unknown", self.said(self.page([HEADER, WRITE, READ], results)))

    def test_a_history_cut_anywhere_is_read_as_far_as_it_goes(self):
        whole = b"".join(json.dumps(line).encode() + b"\n" for line in (HEADER, WRITE, READ))
        for length in range(0, len(whole), 7):
            read = read_history(self.write([], raw=whole[:length])[0])
            self.assertEqual(read.total, sum(map(_is_operation, whole[:length].split(b"\n"))), whole[:length][-40:])
        self.assertIn("line 3", self.said(self.page([HEADER, WRITE], raw=b'{"op": 2, "cli')))

    def test_lines_of_any_shape_are_counted_and_skipped(self):
        bad = [b"\xff\xfe", b"[]", b"3", b'{"op":-1}', b'{"op":1e400,"client":0}', b'{"op":true}', b"[" * 50_000, b'{"links":[[1,2]],"at":0}',
               b'{"links":[[0,2,"ok"]],"at":0}', b'{"sample":"x","at":1}', b'{"fault":"x"}', b'{"end":"never"}', b'{"format":"other"}',
               b'{"op":9,"client":0,"f":"read","invoked":5,"returned":4,"type":"ok"}', b'{"op":9,"client":0,"invoked":5,"type":"ok"}']
        page = self.page([HEADER, WRITE], raw=b"\n".join(bad) + b"\n")
        self.assertIn(f"{len(bad)} lines of the history could not be used", self.said(page))
        self.assertEqual(page.columns()["op"], [0])

    def test_fields_of_wrong_types_do_no_harm(self):
        wrong = {"f": [1], "key": {"a": 1}, "value": [1, 2], "result": {"x": [1]}, "level": 7, "node": "three", "max_age_us": -1,
                 "session": 5, "error": {"code": [1], "have": "x", "detail": {}}, "certificate": {"index": "x", "age_us": 1e300, "basis": []}}
        page = self.page([HEADER, {**READ, **wrong}, {**READ, "op": 2, "certificate": 5, "error": 5}])
        self.assertEqual(page.columns()["op"], [1, 2])

    def test_headers_of_wrong_types_do_no_harm(self):
        for value in (None, -1, 1e300, "x", [1], {"a": 1}, True):
            header = dict.fromkeys(("workload", "seed", "nodes", "backend", "args", "started_unix_us"), value)
            with self.subTest(value):
                self.page([{**header, "format": "quorate-history-1"}, WRITE])

    def test_no_history_is_an_error_with_a_name(self):
        with self.assertRaises(FileNotFoundError):
            render(self.path / "none", None, self.path / "report.html")
        ran = subprocess.run([sys.executable, Path(sample.__file__).with_name("render.py"), self.path / "none"],
                             capture_output=True, text=True, check=False)
        self.assertEqual((ran.returncode, "none: No such file" in ran.stderr, "Traceback" in ran.stderr), (1, True, False), ran.stderr)


def _is_operation(line):
    try:
        return "op" in json.loads(line)
    except ValueError:
        return False


class Escaping(ReportTest):
    def attacked(self):
        hostile = lambda row: {name: ATTACK if isinstance(value, str) and name not in ("format", "type", "f") else value
                               for name, value in row.items()}
        lines = [{**hostile(HEADER), "args": [ATTACK]}, hostile(WRITE), {**hostile(READ), "f": ATTACK},
                 {**READ, "op": 2, "type": "fail", "error": {"code": ATTACK, "detail": ATTACK, "because": ATTACK}, "certificate": {
                     "basis": ATTACK, "incarnation": ATTACK}}, {"fault": ATTACK, "at": 1, "detail": ATTACK},
                 {"sample": 1, "at": 1, "role": ATTACK}]
        results = {"valid": False, "checkers": [{"name": ATTACK, "valid": ATTACK, "detail": ATTACK}], "violations": [
            {"checker": ATTACK, "sentence": ATTACK, "ops": [1], "key": ATTACK}], "staleness": {ATTACK: {}, "bounded": {"promised_us": [ATTACK]}}}
        return lines, results

    def test_nothing_of_a_history_becomes_markup(self):
        page = self.page(*self.attacked())
        self.assertEqual(page.tags.count("script"), 3)
        self.assertNotIn("img", page.tags)
        self.assertFalse([name for name in page.attributes if name.startswith("on")])
        self.assertIn(ATTACK, page.meta["tables"]["key"])  # whole, and harmless
        self.assertIn(ATTACK, page.scripts["meta"].encode().decode("unicode_escape"))

    def test_nothing_of_a_history_is_taken_for_a_place_of_the_template(self):
        page = self.page(*self.attacked())
        self.assertIn("{{META}}", " ".join(page.words))

    def test_a_template_without_escaping_would_be_caught(self):
        """The control: the same test fails on a page into which the attack was put as it is."""
        self.page(*self.attacked())
        text = (self.path / "report.html").read_text().replace("</h2>", f"</h2>{ATTACK}", 1)
        self.assertIn("img", Page(text).tags)

    def test_lone_surrogates_are_written(self):
        self.page([HEADER], raw=b'{"op":1,"client":0,"f":"write","key":"\\ud800","value":"\\udfff","invoked":1,"type":"info"}\n'
                  b'{"fault":"\\ud800","at":1}\n')


class Staleness(ReportTest):
    def test_measured_is_the_time_since_the_first_write_that_was_missed(self):
        late = {**WRITE, "op": 5, "revision": 9, "returned": 400_000}
        read = lambda op, index: {**READ, "op": op, "certificate": {"index": index, "age_us": 0}}
        history = read_history(self.write([HEADER, WRITE, late, read(6, 4), read(7, 5), read(8, 9)])[0])
        ages = dict(zip(history.ops["op"], staleness.measure(history)))
        self.assertEqual((ages[6], ages[7], ages[8]), (498_000, 100_000, 0))

    def test_what_another_read_showed_counts_as_well(self):
        other = {**READ, "op": 9, "invoked": 100_000, "returned": 200_000, "certificate": {"index": 8}}
        history = read_history(self.write([HEADER, other, READ])[0])
        self.assertEqual(dict(zip(history.ops["op"], staleness.measure(history))), {9: 0, 1: 300_000})

    def test_a_write_acknowledged_after_the_read_began_does_not_count(self):
        history = read_history(self.write([HEADER, {**WRITE, "returned": 600_000}, READ])[0])
        self.assertEqual(staleness.measure(history), [None, 0])

    def test_quantiles_and_bins(self):
        self.assertEqual([staleness.quantile(list(range(1, 101)), share) for share in (.5, .99, 1)], [50, 99, 100])
        self.assertIsNone(staleness.quantile([], .5))
        shares = staleness.histogram([0, 50, 150, 10 ** 9])
        self.assertEqual((len(shares), sum(shares), shares[0], shares[-1]), (staleness.BINS, 1, .5, .25))

    def test_the_checkers_figures_count_where_the_history_does_not_tell(self):
        history, results = self.write([HEADER, READ], {"staleness": {"bounded": {"promised_us": [7], "measured_us": [3, 1]}}})
        read = read_history(history)
        figures = staleness.by_level(read, [None], read_results(results)[0])["bounded"]
        self.assertEqual((figures["promised"], figures["measured"]), ([118_000], [1, 3]))
        read.stride = 2  # thinned: the checker has seen more
        self.assertEqual(staleness.by_level(read, [9], read_results(results)[0])["bounded"]["promised"], [7])

    def test_durations(self):
        self.assertEqual([words.duration(us) for us in (0, 999, 1000, 118_000, 1_930_000, None)], ["0 µs", "999 µs", "1 ms", "118 ms", "1.93 s", "–"])


class Speed(ReportTest):
    def test_a_minute_of_two_thousand_operations_a_second_renders_within_seconds(self):
        history, results = sample.generate(self.path, seconds=60, rate=2300, clients=24, violation=True)
        begin, used = time.monotonic(), time.process_time()
        read = render(history, results, self.path / "report.html")
        used = time.process_time() - used
        print(f"{read.total:,} operations: {time.monotonic() - begin:.1f} s, {used:.1f} s of them CPU; "
              f"{(self.path / 'report.html').stat().st_size / 1e6:.1f} MB")
        self.assertGreater(read.total, 100_000)
        self.assertLess(used, 12)


class Sample(ReportTest):
    def test_the_same_seed_gives_the_same_bytes(self):
        texts = {sample.generate(self.path / str(i), seed=3, seconds=2)[0].read_bytes() for i in range(2)}
        self.assertEqual(len(texts), 1)

    def test_its_claims_are_true_unless_a_violation_is_asked_for(self):
        for violation in (False, True):
            history, _ = sample.generate(self.path / str(violation), seconds=20, violation=violation)
            read = read_history(history)
            lies = sum(real > claim for real, claim in zip(staleness.measure(read), read.ops["c_age_us"]) if None not in (real, claim))
            self.assertEqual(lies, int(violation))


class Serve(ReportTest):
    def setUp(self):
        super().setUp()
        sample.generate(self.path / "deep" / "run-1", seconds=1, rate=100)
        (self.path / "deep" / "run-1" / "report.html").write_text("the report")
        bad = self.path / "run <b>2"
        bad.mkdir()
        (bad / "history.jsonl").write_text(json.dumps({**HEADER, "workload": ATTACK}) + "\n")
        (self.path / "secret").write_text("secret")
        self.server = serve.server(self.path)
        thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)

    def get(self, path, host=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.server.server_port, timeout=10)
        connection.request("GET", path, headers={"Host": host} if host else {})
        reply = connection.getresponse()
        body = reply.read().decode(errors="replace")
        connection.close()
        return reply.status, body

    def test_lists_the_runs(self):
        status, body = self.get("/")
        page = Page(body)
        said = self.said(page)
        self.assertEqual(status, 200)
        for expected in ("✓ valid", "? unknown", "not checked", "register", "2026-09-21", "deep/run-1", "run <b>2", "history.jsonl"):
            self.assertIn(expected, said)
        self.assertNotIn("img", page.tags)
        for address in re.findall(r'href="(/[^"]*)"', body):
            self.assertEqual(self.get(address)[0], 200, address)

    def test_serves_nothing_else(self):
        for path in ("/secret", "/../etc/passwd", "/deep/run-1/../../secret", "/deep/run-1/%2e%2e/%2e%2e/secret", "/%00", "/deep", "/deep/run-1/none"):
            self.assertEqual(self.get(path)[0], 404, path)
        (self.path / "deep" / "run-1" / "link.txt").symlink_to("/etc/passwd")
        self.assertEqual(self.get("/deep/run-1/link.txt")[0], 404)

    def test_only_for_this_machine(self):
        self.assertEqual(self.server.server_address[0], "127.0.0.1")
        self.assertEqual(self.get("/", host="evil.example:80")[0], 403)

    def test_a_directory_without_runs(self):
        with tempfile.TemporaryDirectory() as empty:
            self.assertIn("No runs yet", serve.index(empty))


if __name__ == "__main__":
    unittest.main()
