"""Runs the libFuzzer programs of the preset `fuzz` and sums up what they found.

What they learn is kept under build/fuzz/corpus/, what they find under build/fuzz/findings/. Exit code 0: nothing found,
1: something was, 2: usage, 77: the programs are not built.
"""

import argparse
import os
import re
import subprocess
import sys
import time
from pathlib import Path

BUILD = Path(__file__).resolve().parents[2] / "build" / "fuzz"
NOT_BUILT = 77
PROGRESS_SECONDS = 10
PREFIX = "fuzz_"


class Target:
    """One program and its run."""

    def __init__(self, program):
        self.program = program
        self.name = program.name.removeprefix(PREFIX)
        self.corpus = BUILD / "corpus" / self.name
        self.log = BUILD / "findings" / f"{self.name}.log"
        self.process = None

    def start(self, seconds):
        self.corpus.mkdir(parents=True, exist_ok=True)
        subprocess.run([self.program, "--write-seeds", self.corpus], check=True)
        self.log.parent.mkdir(exist_ok=True)
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [self.program, f"-max_total_time={seconds}", "-max_len=16384", "-timeout=30", "-rss_limit_mb=2048",
                 "-print_final_stats=1", f"-artifact_prefix={self.log.parent}/{self.name}-", self.corpus],
                stdout=log, stderr=subprocess.STDOUT)

    def output(self):
        return self.log.read_text(errors="replace")

    def summary(self):
        output = self.output()
        inputs = re.findall(r"^#(\d+)", output, re.MULTILINE) or ["0"]
        coverage = re.findall(r"cov: (\d+) ft: \d+ corp: (\d+)", output) or [("0", "0")]
        return f"{self.name:14} {int(inputs[-1]):>12,} inputs, {coverage[-1][0]:>5} edges, corpus {coverage[-1][1]}"

    def finding(self):
        """What it found, if anything, and how to see it again."""
        if self.process.returncode == 0:
            return None
        output = self.output()
        artifact = re.search(r"Test unit written to (\S+)", output)
        again = f"again: {self.program} {artifact[1]}" if artifact else f"see {self.log}"
        cause = re.search(r"invariant broken: .*|SUMMARY: .*|ERROR: .*|runtime error: .*", output)
        return f"{self.name}: {cause[0] if cause else 'it ended with ' + str(self.process.returncode)}\n  {again}"


def run(targets, seconds):
    """As many at once as there are cores; all together take about `seconds`."""
    cores = os.cpu_count() or 1
    each = max(1, seconds * min(cores, len(targets)) // len(targets))
    waiting, running, spoke = list(targets), [], time.monotonic()
    while waiting or running:
        while waiting and len(running) < cores:
            running.append(waiting.pop(0))
            running[-1].start(each)
        time.sleep(0.1)
        for target in [target for target in running if target.process.poll() is not None]:
            running.remove(target)
            print(target.summary(), "- FOUND SOMETHING" if target.process.returncode else "", flush=True)
        if time.monotonic() - spoke > PROGRESS_SECONDS:
            spoke = time.monotonic()
            for target in running:
                print(target.summary(), "so far", flush=True)


def stop(targets):
    for target in targets:
        if target.process and target.process.poll() is None:
            target.process.terminate()
            target.process.wait()


def main():
    parser = argparse.ArgumentParser(prog="./run fuzz", description="libFuzzer on the targets of tests/fuzz.")
    parser.add_argument("--seconds", type=int, default=60, help="in all")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="all, if none is named")
    arguments = parser.parse_args()
    programs = sorted(path for path in (BUILD / "fuzz").glob(PREFIX + "*") if os.access(path, os.X_OK) and path.is_file())
    if not programs:
        print("skipped: the libFuzzer programs are not built; ./run fuzz builds them, and installs what they need")
        return NOT_BUILT
    known = [Target(program) for program in programs]
    unknown = set(arguments.targets) - {target.name for target in known}
    if unknown or arguments.seconds < 1:
        parser.error(f"no target {', '.join(unknown)}; there are: {', '.join(target.name for target in known)}"
                     if unknown else "--seconds takes 1 or more")
    chosen = [target for target in known if target.name in arguments.targets or not arguments.targets]
    try:
        run(chosen, arguments.seconds)
    except KeyboardInterrupt:
        stop(chosen)
        print("interrupted")
        return 130
    findings = [finding for target in chosen if (finding := target.finding())]
    print(*findings, f"{len(chosen)} targets, {len(findings)} findings", sep="\n")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
