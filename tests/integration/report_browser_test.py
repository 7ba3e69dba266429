"""The report in headless Chromium: that it draws, how fast, and that everything one can do with it works. Skipped without it."""

import json
import sys
import tempfile
import unittest
from pathlib import Path

import browser
from report import sample
from report.render import render

FRAME_MS = 100  # what feels immediate
FIRST_DRAWING_MS = 5000
HEADER = {"format": "quorate-history-1", "workload": "register", "seed": 42, "nodes": 3}
ATTACK = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"


@unittest.skipUnless(browser.find(), "SKIPPED: needs Chromium (apt-get install chromium)")
class BrowserTest(unittest.TestCase):
    seconds, rate = 20, 500

    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory(prefix="quorate-report-")
        cls.addClassCleanup(cls.directory.cleanup)
        cls.path = Path(cls.directory.name)
        files = sample.generate(cls.path, seconds=cls.seconds, rate=cls.rate, violation=True)
        cls.history = render(*files, cls.path / "report.html")
        cls.page = browser.Browser(1280, 1000)
        cls.addClassCleanup(cls.page.__exit__)

    def setUp(self):
        self.page.complaints.clear()
        self.page.requests.clear()
        self.page.size(1280, 1000)
        self.page.scheme("light")
        self.open()

    def tearDown(self):
        self.assertEqual(self.page.complaints, [])

    def open(self, hash_="", path=None):
        self.page.open(f"{(path or self.path / 'report.html').as_uri()}{hash_}")

    def text(self, selector):
        return self.page.run(f"document.querySelector({json.dumps(selector)}).innerText")

    def settle(self):
        self.page.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def box(self, selector):
        return self.page.run(f"(() => {{ const b = document.querySelector({json.dumps(selector)}).getBoundingClientRect(); "
                             f"return [b.left, b.top, b.width, b.height]; }})()")

    def pixels(self):
        """A fingerprint of what the timeline shows."""
        return self.page.run("document.getElementById('base').toDataURL().length + document.getElementById('base').toDataURL().slice(-4000)")

    def over_an_operation(self):
        """Moves the mouse along the lanes until an operation is under it; its place."""
        self.page.run("document.getElementById('tracks').scrollIntoView()")
        left, top, width, height = self.box("#tracks")
        for step in range(200):
            x, y = left + 120 + step * (width - 200) / 200, min(top + height * .5, 900)
            self.page.mouse("mouseMoved", x, y)
            if not self.page.run("document.getElementById('tip').hidden"):
                return x, y
        self.fail("no operation found under the mouse")


class Use(BrowserTest):
    def test_needs_no_network(self):
        self.assertEqual(self.page.requests, [(self.path / "report.html").as_uri()])

    def test_hover_shows_and_click_pins_the_operation(self):
        x, y = self.over_an_operation()
        self.assertRegex(self.text("#tip"), r"#\d+ ")
        self.assertRegex(self.text("#operation"), r"(?s)client \d+.*began")
        self.assertRegex(self.text("#panel"), r"(?s)At .* s.*Links.*node 1")
        self.page.click(x, y)
        pinned = self.text("#operation h3")
        self.assertIn("pinned", self.text("#operation"))
        self.page.mouse("mouseMoved", x + 40, y)
        self.assertEqual(self.text("#operation h3"), pinned)
        self.page.key("Escape")
        self.assertNotIn("pinned", self.page.run("document.getElementById('operation').innerText"))

    def test_a_violation_is_one_click_away(self):
        before = self.pixels()
        self.page.run("document.querySelector('[data-violation]').click()")
        self.settle()
        violation = json.loads((self.path / "results.json").read_text())["violations"][0]
        self.assertIn(violation["sentence"], self.text("#proof"))
        self.assertIn(f"#{violation['ops'][0]} bounded read", self.text("#operation"))
        self.assertIn("at most 118 ms old, proved by an anchor; measured:", self.text("#operation"))
        self.assertIn("Older than it claimed", self.text("#operation"))
        self.assertNotEqual(self.pixels(), before)
        self.assertGreater(self.page.run(
            "(() => { const c = document.getElementById('over'), d = new Uint32Array(c.getContext('2d').getImageData(0, 0, c.width, c.height).data.buffer);"
            "return d.filter((v) => v === 0xff0c41c2).length; })()"), 200, "no arrow in the colour of what is broken")
        self.page.run("document.querySelector('#proof button').click()")
        self.assertTrue(self.page.run("document.getElementById('proof').hidden"))

    def test_finds_operations_and_keys(self):
        find = lambda text: self.page.run(f"(() => {{ document.getElementById('search').value = {json.dumps(text)}; "
                                          "document.getElementById('find').requestSubmit(); })()")
        find("#812")
        self.assertTrue(self.text("#operation h3").startswith("#812 "))
        find("k3")
        wanted = sum(self.history.tables["key"].texts[key] == "k3" for key in self.history.ops["key"])
        self.assertEqual(self.text("#shown"), f"{wanted:,} of {self.history.total:,} operations")
        find("nothing-like-it")
        self.assertIn("no operation and no key", self.text("#shown"))
        self.page.run("document.getElementById('clear').click()")
        self.assertEqual(self.text("#shown"), f"{self.history.total:,} operations")

    def test_filters_agree_with_the_history(self):
        ops = self.history.ops
        for control, value, count in (("by-level", 1, sum(n == 1 for n in ops["level"])), ("by-type", 2, self.history.counts["info"]),
                                      ("by-lane", 3, ops["lane"].count(3)), ("by-level", 4, sum(n is None for n in ops["level"]))):
            self.page.run(f"(() => {{ document.getElementById('clear').click(); const s = document.getElementById('{control}'); "
                          f"s.value = {value}; s.dispatchEvent(new Event('change')); }})()")
            self.assertTrue(self.text("#shown").startswith(f"{count:,} of "), (control, value, self.text("#shown"), count))

    def test_keyboard_alone_is_enough(self):
        self.page.run("document.getElementById('tracks').focus()")
        before = self.pixels()
        for name in "++":
            self.page.key(name)
        self.settle()
        self.assertNotEqual(self.pixels(), before)
        self.page.key("n")
        first = self.text("#operation h3")
        self.page.key("n")
        self.assertNotEqual(self.text("#operation h3"), first)
        self.page.key("p")
        self.assertEqual(self.text("#operation h3"), first)
        self.page.key("ArrowDown")
        self.assertNotEqual(self.text("#operation h3"), first)
        self.page.key("v")
        self.assertFalse(self.page.run("document.getElementById('proof').hidden"))
        self.page.key("/")
        self.assertEqual(self.page.run("document.activeElement.id"), "search")

    def test_every_colouring_draws_another_picture(self):
        seen = set()
        for mode in ("level", "measured", "node", "outcome"):
            self.page.run(f"(() => {{ const s = document.getElementById('colour'); s.value = '{mode}'; s.dispatchEvent(new Event('change')); }})()")
            self.settle()
            seen.add(self.pixels())
        self.assertEqual(len(seen), 4)

    def test_light_dark_wide_and_on_paper(self):
        light = self.pixels()
        self.page.scheme("dark")
        self.settle()
        self.assertNotEqual(self.pixels(), light)
        for width in (1280, 2560):
            self.page.size(width, 1000)
            self.settle()
            self.assertLessEqual(self.page.run("document.documentElement.scrollWidth"), width)
            self.assertGreater(self.box("#tracks")[2], width * .55)
        printed = self.page.call("Page.printToPDF", printBackground=True)["data"]
        self.assertGreater(len(printed), 50_000)

    def test_histories_that_hold_almost_nothing(self):
        for name, lines in {"empty": [], "one": [HEADER, {"op": 1, "client": 0, "f": "write", "key": "k", "invoked": 5, "type": "info"}],
                            "faults": [HEADER, {"fault": "pause", "at": 5}, {"links": [[1, 2, "cut"]], "at": 5}],
                            "samples": [HEADER, {"sample": 1, "at": 5, "role": "down"}, {"sample": 77, "at": 6}]}.items():
            with self.subTest(name):
                history = self.path / f"{name}.jsonl"
                history.write_text("".join(json.dumps(line) + "\n" for line in lines))
                render(history, None, self.path / f"{name}.html")
                self.open(path=self.path / f"{name}.html")
                self.page.key("+")
                self.page.key("n")
                self.page.key("v")
                self.settle()
                self.assertTrue(self.page.run("document.getElementById('broken').hidden"), self.page.run("document.getElementById('broken').textContent"))

    def test_an_attack_is_shown_as_text(self):
        history = self.path / "attack.jsonl"
        op = {"op": 1, "client": 0, "f": "read", "key": ATTACK, "value": ATTACK, "result": ATTACK, "level": "bounded", "session": ATTACK,
              "invoked": 5, "returned": 9, "type": "ok", "certificate": {"index": 1, "basis": ATTACK, "incarnation": ATTACK}}
        lines = [{**HEADER, "workload": ATTACK}, op, {"fault": ATTACK, "at": 1, "detail": ATTACK}, {"sample": 1, "at": 1, "role": ATTACK}]
        history.write_text("".join(json.dumps(line) + "\n" for line in lines))
        results = self.path / "attack-results.json"
        results.write_text(json.dumps({"valid": False, "violations": [{"checker": ATTACK, "sentence": ATTACK, "ops": [1]}]}))
        render(history, results, self.path / "attack.html")
        self.open(path=self.path / "attack.html")
        self.page.run("document.querySelector('[data-violation]').click()")
        self.assertIn(ATTACK, self.text("#operation"))
        self.assertIn(ATTACK, self.text("#proof"))
        self.assertEqual(self.page.run("document.querySelectorAll('img').length"), 0)


class Speed(BrowserTest):
    rate, seconds = 1000, 60

    def test_fifty_thousand_operations_stay_responsive(self):
        best, moves = None, ("zoom", "pan", "hover")
        slowest = lambda result: max(result[name]["median"] for name in moves)
        for _ in range(4):  # a busy machine slows single runs; what the page needs is the best one
            self.open("#selftest")
            self.page.wait("document.getElementById('selftest')", 120)
            result = json.loads(self.page.run("document.getElementById('selftest').textContent"))
            best = result if best is None or slowest(result) < slowest(best) else best
            if slowest(best) < FRAME_MS / 2:
                break
        print(json.dumps(best), file=sys.stderr)
        self.assertGreaterEqual(best["operations"], 48_000)
        self.assertLess(best["firstDrawn"], FIRST_DRAWING_MS)
        for name in moves:
            self.assertLess(best[name]["median"], FRAME_MS, name)
        self.assertLess(best["filter"]["median"], 3 * FRAME_MS)
        self.assertGreaterEqual(best["hovered"], 48)
        self.assertTrue(best["inflatedByHandTheSame"])
        self.assertGreater(best["drawn"], 500, "the page is blank")


if __name__ == "__main__":
    unittest.main()
