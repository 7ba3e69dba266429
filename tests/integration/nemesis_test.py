"""Every nemesis on a real cluster: it does what it says, tells the history, heals; and the schedule follows the seed alone."""

import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from datetime import datetime, timezone

import nemesis
from cluster import ROOT, Cluster, wait_until
from nemesis import REGISTRY, Event, NemesisError, Runner, schedule
from nemesis.logs import SMALL_LOGS
from processes import start_of
from support import OK

PATIENCE = 30  # seconds, for what happens at once on a machine with nothing else to do


def state_of(node):
    return pathlib.Path(f"/proc/{node.process.pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0]


class EveryNemesis(unittest.TestCase):
    """One cluster for all; each test waits until it is ready again."""

    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster(3, network="proxy")
        cls.addClassCleanup(cls.cluster.stop)
        cls.reasons = nemesis.unavailable(cls.cluster, list(REGISTRY))
        nemesis.prepare(cls.cluster, [name for name in REGISTRY if name not in cls.reasons])
        cls.cluster.__enter__()
        cls.cluster.wait_ready()

    def setUp(self):
        self.cluster.wait_ready()
        self.pids = {node.id: node.process.pid for node in self.cluster}
        self.network = self.cluster.network

    def begin(self, name, seed=7, seconds=1.0):
        if name in self.reasons:
            self.skipTest(f"SKIPPED: {self.reasons[name]}")
        self.nemesis = REGISTRY[name]()
        self.addCleanup(self.heal)
        self.fault = self.nemesis.start(self.cluster, self.network, random.Random(seed), seconds)
        self.assertTrue(self.fault.detail)
        self.nodes = [self.cluster[node] for node in self.fault.nodes]
        return self.fault

    def begin_on_leader(self, name):
        """Checks that it took the leader, which may change at any moment on a busy machine: then once more."""
        for _ in range(5):
            leader = self.cluster.leader().id
            if self.begin(name).nodes == [leader]:
                return leader
            self.heal()
        return self.fail(f"{name} never takes the leader")

    def heal(self):
        self.nemesis.stop()
        self.cluster.wait_ready()
        self.assertEqual({kind for *_, kind in self.network.links()}, {"ok"})

    def links(self, kind="cut"):
        return {(a, b) for a, b, now in self.network.links() if now == kind}

    def puts_work(self):
        wait_until(lambda: self.cluster.quorate("put", "k", "v", "--deadline", "1s")[0] == OK, PATIENCE, self.cluster.logs)

    def other_leader(self, old):
        wait_until(lambda: self.cluster.leader_id() not in (None, old), PATIENCE, self.cluster.logs)

    # -- links --

    def test_isolate_leader(self):
        leader = self.begin_on_leader("isolate-leader")
        self.assertEqual(self.links(), {pair for pair in self.network.state() if leader in pair})
        self.other_leader(leader)

    def test_blackhole_leader(self):
        leader = self.begin_on_leader("blackhole-leader")
        self.assertEqual(self.links("blackhole"), {pair for pair in self.network.state() if leader in pair})
        self.other_leader(leader)

    def test_halves(self):
        few = set(self.begin("halves").nodes)
        self.assertEqual(self.links(), {(a, b) for a, b in self.network.state() if (a in few) != (b in few)})
        self.puts_work()

    def test_bridge(self):
        bridge = self.begin("bridge").nodes[0]
        self.assertEqual(self.links(), {pair for pair in self.network.state() if bridge not in pair})
        self.puts_work()

    def test_majorities_ring(self):
        self.begin("majorities-ring")
        self.assertEqual(len(self.links()), 2)
        self.puts_work()

    def test_one_way(self):
        self.begin("one-way")
        cut = self.links()
        self.assertTrue(cut and not any((b, a) in cut for a, b in cut), cut)

    def test_swizzle(self):
        self.begin("swizzle")
        seen = []
        while self.nemesis.step() is not None:
            seen.append(len(self.links()))
        self.assertEqual(seen, [4, 6, 4, 0], "one node, two, one again, none")

    def test_flaky(self):
        self.begin("flaky")
        seen = set()
        for _ in range(8):
            self.assertTrue(0 < self.nemesis.step() < 1)
            seen.add(frozenset(self.links()))
        self.assertGreater(len(seen), 3)

    def test_slow(self):
        self.begin("slow")
        self.assertTrue(self.links("slow"))
        begun = time.monotonic()
        self.puts_work()
        self.assertGreater(time.monotonic() - begun, 0.02, self.fault.detail)

    def test_lossy(self):
        self.begin("lossy")
        def lost():
            self.cluster.quorate("put", "k", "v")
            return all(sum(link["forward"][what] for link in self.network.counters().values())
                       for what in ("dropped", "duplicated", "reordered"))
        wait_until(lost, PATIENCE, self.network.counters)
        self.puts_work()

    # -- processes --

    def test_kills(self):
        for name, count in (("kill-one", 1), ("kill-leader", 1), ("kill-minority", 1), ("kill-all", 3)):
            with self.subTest(name):
                (self.begin_on_leader if name == "kill-leader" else self.begin)(name)
                self.assertEqual(len(self.nodes), count)
                self.assertFalse(any(node.running for node in self.nodes))
                self.heal()

    def test_pauses(self):
        for name in ("pause-one", "pause-leader", "pause-minority"):
            with self.subTest(name):
                (self.begin_on_leader if name == "pause-leader" else self.begin)(name)
                for node in self.nodes:
                    wait_until(lambda node=node: state_of(node) == "T", PATIENCE, "it runs")
                if name == "pause-leader":
                    self.other_leader(self.fault.nodes[0])
                self.heal()
                self.assertEqual([node.process.pid for node in self.cluster], list(self.pids.values()))

    def test_rolling_restart(self):
        self.begin("rolling-restart")
        deadline = time.monotonic() + PATIENCE
        while self.nemesis.step() is not None:
            self.assertLessEqual(sum(not node.running for node in self.cluster), 1)
            self.assertLess(time.monotonic(), deadline, self.cluster.logs())
            time.sleep(0.02)
        self.assertFalse(set(self.pids.values()) & {node.process.pid for node in self.cluster})

    def test_transfer(self):
        leader = self.begin_on_leader("transfer")
        self.other_leader(leader)

    # -- clocks, disks, logs --

    def test_clock_jump(self):
        for seed in range(50):
            self.begin("clock-jump", seed)
            jump = int(re.search(r"[+-]\d+", self.fault.detail)[0])
            if abs(jump) >= 600:
                break
            self.nemesis.stop()
        node = self.nodes[0]
        self.network.reset(node.id, node.id % 3 + 1)  # it logs that

        def off():
            stamp = datetime.fromisoformat(node.log_text().splitlines()[-1].split()[0].rstrip("Z"))
            return (stamp.replace(tzinfo=timezone.utc) - datetime.now(timezone.utc)).total_seconds()
        wait_until(lambda: abs(off() - jump) < 30, PATIENCE, lambda: f"{jump}\n{node.log_tail()}")
        self.puts_work()

    def test_clock_strobe(self):
        self.begin("clock-strobe")
        for _ in range(10):
            self.assertTrue(0 < self.nemesis.step() < 1)
        self.puts_work()

    def test_disk_full(self):
        self.begin("disk-full")
        for node in self.nodes:
            wait_until(lambda node=node: node.says("disk_full"), PATIENCE, node.log_tail)
        self.heal()
        for node in self.nodes:
            wait_until(lambda node=node: node.says("disk_full") is False, PATIENCE, node.log_tail)

    def test_disk_stuck_and_slow(self):
        for name in ("disk-stuck", "disk-slow"):
            self.begin(name)
            written = threading.Event()

            def write(node=self.nodes[0], written=written):
                (node.files / "marker").write_text("x", encoding="ascii")
                written.set()
            thread = threading.Thread(target=write, daemon=True)
            thread.start()
            self.assertFalse(written.wait(0.2), "a frozen disk takes a write")
            if name == "disk-slow":
                deadline = time.monotonic() + PATIENCE
                while not written.is_set():
                    self.assertLess(time.monotonic(), deadline, "a slow disk takes none")
                    time.sleep(self.nemesis.step())
            self.heal()
            self.assertTrue(written.wait(PATIENCE))
            thread.join()

    def test_disk_eio(self):
        self.begin("disk-eio")
        node = self.nodes[0]
        for _ in range(3):
            self.puts_work()
        wait_until(lambda: not node.running, PATIENCE, node.log_tail)

    def test_power_loss(self):
        if "power-loss" in self.reasons:
            self.skipTest(f"SKIPPED: {self.reasons['power-loss']}")
        for node in self.cluster:
            (node.files / "mark").write_text("synced", encoding="ascii")
        os.sync()
        self.puts_work()
        for node in self.cluster:
            (node.files / "unsynced").write_bytes(b"x" * 100_000)
        self.begin("power-loss")
        self.assertFalse(any(node.running for node in self.nodes))
        self.heal()
        for node in self.nodes:
            self.assertEqual((node.files / "mark").read_text(encoding="ascii"), "synced")
            lost = node.files / "unsynced"
            self.assertFalse(lost.exists() and lost.stat().st_size, "what was not synced is there")
        self.assertEqual(self.cluster.quorate("get", "k")[1], b"v", "what was acknowledged is gone")

    def test_small_logs(self):
        self.begin("small-logs")
        self.assertIn("--log-max", self.cluster[1].command())

    def test_the_runner_mixes_them_and_tells_the_history(self):
        lines = []
        names = ["isolate-leader", "kill-one", "pause-leader", "flaky", "small-logs"]
        events = schedule(names, 3, 4)
        with Runner(self.cluster, events, emit=lines.append) as runner:
            runner.wait()
        self.cluster.wait_ready()
        self.assertEqual((runner.errors, runner.ended), ([], []))
        faults = sorted((line for line in lines if "fault" in line), key=lambda line: line["id"])
        self.assertEqual(sorted(line["fault"] for line in faults), sorted(event.name for event in events))
        for line, event in zip(faults, events):
            self.assertEqual(line["fault"], event.name)
            self.assertTrue(line["nodes"] and line["detail"] and line["at"] < line["until"], line)
            self.assertTrue(event.at <= line["at"] / 1e6 < event.at + PATIENCE, (line, event))
        links = [line for line in lines if "links" in line]
        self.assertIn("cut", {kind for line in links for *_, kind in line["links"]})
        self.assertEqual({kind for *_, kind in links[-1]["links"]}, {"ok"})

    def test_a_runner_that_is_left_early_heals(self):
        lines = []
        with self.assertRaises(KeyboardInterrupt):
            with Runner(self.cluster, [Event(0, 60, "isolate-leader", "1"), Event(0, 60, "kill-one", "2"),
                                       Event(30, 60, "kill-all", "3")], emit=lines.append) as runner:
                wait_until(lambda: len(runner.active) == 2 and any(not node.running for node in self.cluster), PATIENCE, "no faults")
                signal.raise_signal(signal.SIGINT)
        self.assertEqual({kind for *_, kind in self.network.links()}, {"ok"})
        self.assertTrue(all(node.running for node in self.cluster))
        self.assertEqual({line["fault"] for line in lines if "fault" in line}, {"isolate-leader", "kill-one"})
        self.cluster.wait_ready()

    def test_a_node_that_ended_by_itself_is_reported(self):
        with Runner(self.cluster, [Event(0, 60, "small-logs", "1")]) as runner:
            self.cluster[2].kill()
        self.assertEqual(runner.errors, [])
        self.assertEqual(runner.ended, ["node 2 had ended by itself, with code -9; it is started again"])
        self.cluster.wait_ready()

    def test_a_nemesis_that_fails_half_way_is_reported_and_undone(self):
        class Broken(REGISTRY["kill-one"]):
            def begin(self):
                super().begin()
                raise OSError("half-way")
        REGISTRY["broken"] = Broken
        self.addCleanup(REGISTRY.pop, "broken")
        lines = []
        with Runner(self.cluster, [Event(0, 5, "broken", "1")], emit=lines.append) as runner:
            runner.wait()
        self.assertEqual((runner.errors, runner.ended), (["broken did not begin: half-way"], []))
        self.assertIn("half-way", lines[0]["detail"])
        self.assertTrue(all(node.running for node in self.cluster))
        self.cluster.wait_ready()


class Schedules(unittest.TestCase):
    names = nemesis.parse("mix,pause-one,clock-jump")

    def test_the_same_seed_gives_the_same_schedule(self):
        self.assertEqual(schedule(self.names, 1, 60), schedule(self.names, 1, 60))
        self.assertNotEqual(schedule(self.names, 1, 60), schedule(self.names, 2, 60))

    def test_faults_of_a_kind_do_not_overlap_and_the_tail_is_quiet(self):
        for seed in range(50):
            for seconds in (3, PATIENCE, 60, 600):
                events = schedule(self.names, seed, seconds)
                last = {}
                for event in events:
                    if REGISTRY[event.name].always:
                        continue
                    kind = REGISTRY[event.name].of
                    self.assertGreater(event.at, last.get(kind, 0))
                    self.assertGreater(event.until, event.at)
                    self.assertLessEqual(event.until, seconds - min(5, seconds / 5))
                    last[kind] = event.until
        self.assertEqual({event.name for event in schedule(self.names, 1, 60)}, set(self.names), "each has its turn")

    def test_the_same_seed_chooses_the_same_victims(self):
        class Ids:
            nodes = dict.fromkeys(range(1, 6))
            def __iter__(self):
                return iter(self.nodes)
        chosen = []
        for _ in range(2):
            it = REGISTRY["kill-minority"]()
            it.cluster, it.random = Ids(), random.Random("5/node/0")
            chosen.append(it.victims())
        self.assertEqual(chosen[0], chosen[1])
        self.assertEqual(len(chosen[0]), 2)

    def test_unknown_names_list_the_known_ones(self):
        with self.assertRaisesRegex(NemesisError, "no nemesis 'kil'; there are .*kill-one.*groups of them: .*partitions"):
            nemesis.parse("kil")
        self.assertEqual(nemesis.parse("kill-one,kill,none"), ["kill-one", "kill-leader", "kill-minority", "kill-all"])

    def test_every_nemesis_says_what_it_is(self):
        for name, kind in REGISTRY.items():
            self.assertTrue(kind.help and kind.name == name and kind.of in ("network", "node", "clock", "logs"), name)
        for group in nemesis.GROUPS.values():
            self.assertLessEqual(set(group), set(REGISTRY))

    def test_what_cannot_work_here_is_refused_with_the_reason(self):
        cluster = Cluster(3)
        self.addCleanup(cluster.stop)
        with self.assertRaisesRegex(NemesisError, "halves: it needs a cluster with network="):
            nemesis.prepare(cluster, ["halves", "kill-one"])


HARNESS = """
import sys, time
import nemesis
from cluster import Cluster
from nemesis.logs import SMALL_LOGS
cluster = Cluster(3, SMALL_LOGS, network=sys.argv[1])  # small files: a quick first boot
names = ["disk-stuck", "isolate-leader"]
names = [name for name in names if name not in nemesis.unavailable(cluster, names)]
nemesis.prepare(cluster, names)
with cluster:
    cluster.wait_ready()
    with nemesis.Runner(cluster, [nemesis.Event(0, 60, name, "1") for name in names]) as runner:
        while len(runner.active) < len(names) or (cluster.network.links()[0][2] == "ok" and cluster.network.links()[5][2] == "ok"):
            time.sleep(0.01)
        time.sleep(0.2)
        print("broken", cluster.directory, flush=True)
        time.sleep(60)
"""


def descendants(pid):
    found = []
    for thread in os.listdir(f"/proc/{pid}/task"):
        for child in pathlib.Path(f"/proc/{pid}/task/{thread}/children").read_text(encoding="ascii").split():
            found += [int(child), *descendants(int(child))]
    return found


class Leftovers(unittest.TestCase):
    """kill -9 of the harness, with the network cut and a disk frozen."""

    def check(self, backend, number, ends):
        directory = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self.addCleanup(directory.cleanup)
        environment = {**os.environ, "TMPDIR": directory.name, "PYTHONPATH": str(ROOT / "jepsen")}
        harness = subprocess.Popen([sys.executable, "-c", HARNESS, backend], stdout=subprocess.PIPE, env=environment, text=True)
        self.addCleanup(harness.stdout.close)
        self.addCleanup(harness.kill)
        said = harness.stdout.readline()
        self.assertTrue(said.startswith("broken"), said)
        children = descendants(harness.pid)
        self.assertGreaterEqual(len(children), 4)
        interfaces = os.listdir("/sys/class/net")
        harness.send_signal(number)
        harness.wait()
        wait_until(lambda: not any(map(start_of, children)), PATIENCE, lambda: f"still there: {[pid for pid in children if start_of(pid)]}")
        self.assertEqual(os.listdir("/sys/class/net"), interfaces)
        wait_until(lambda: directory.name not in loops(), PATIENCE, loops)
        self.assertEqual(len(list(pathlib.Path(directory.name).glob("quorate-*"))), int(not ends))
        if ends:
            return
        with Cluster(3, SMALL_LOGS, directory=directory.name, network=backend) as cluster:  # the next run starts clean
            self.assertEqual(list(pathlib.Path(directory.name).glob("quorate-*")), [cluster.directory])
            cluster.wait_ready()

    def test_killed_behind_the_proxy(self):
        self.check("proxy", signal.SIGKILL, False)

    def test_killed_in_namespaces(self):
        from net import namespaces
        if why := namespaces.unavailable():
            self.skipTest(f"SKIPPED: {why}")
        self.check("namespaces", signal.SIGKILL, False)

    def test_interrupted(self):
        self.check("proxy", signal.SIGINT, True)


def loops():
    """The files behind this machine's loop devices."""
    return "\n".join(path.read_text(encoding="utf-8") for path in pathlib.Path("/sys/block").glob("loop*/loop/backing_file"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
