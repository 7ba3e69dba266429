"""What a test is asked to do, and whether this machine can do it."""

import json
import subprocess
from dataclasses import dataclass, field

import nemesis
import net
from harness import HarnessError, USAGE
from processes import BIN

PROGRAMS = ("quorated", "quorate-proxy", "quorate-workload", "quorate-check")
LEVELS = "strong,bounded:200ms,session,eventual"


@dataclass
class Plan:
    workload: str
    nemeses: list = field(default_factory=list)  # names, no groups
    nodes: int = 3
    read: str = LEVELS
    seconds: float = 20
    rate: float = 500
    clients: int = 20
    timeout: float = 1
    seed: int = 1
    network: str = "proxy"
    control: str = ""                            # a known bug to run with
    events: list = field(default_factory=list)   # instead of those that the seed would choose

    def arguments(self):
        """The command that runs the same again."""
        words = ["test", "-w", self.workload, "-n", ",".join(self.nemeses) or "none", "--nodes", self.nodes, "--read", self.read,
                 "--time", f"{self.seconds:g}", "--rate", f"{self.rate:g}", "--clients", self.clients, "--timeout",
                 f"{self.timeout:g}", "--seed", self.seed, "--network", self.network]
        return [*map(str, words), *(["--control", self.control] if self.control else [])]

    @property
    def title(self):
        faults = "+".join(self.nemeses) or "no-faults"
        if len(faults) > 40:
            faults = f"{len(self.nemeses)}-nemeses"
        return "-".join(filter(None, (self.workload, faults, self.control)))


def workloads():
    """name -> what it says of itself."""
    need_programs("quorate-workload")
    listed = subprocess.run([BIN / "quorate-workload", "--list"], capture_output=True, text=True, check=True)
    return {entry["name"]: entry for entry in map(json.loads, listed.stdout.splitlines())}


def controls():
    """name -> what the bug is, of quorated-controls."""
    need_programs("quorated-controls")
    listed = subprocess.run([BIN / "quorated-controls", "--list"], capture_output=True, text=True, check=True)
    return dict(line.split("\t", 1) for line in listed.stdout.splitlines())


def need_programs(*names):
    missing = [name for name in names if not (BIN / name).exists()]
    if missing:
        raise HarnessError(f"{', '.join(missing)} not built in {BIN}: ./run build does it")


def check_workload(name):
    known = workloads()
    if name not in known:
        raise HarnessError(f"there is no workload '{name}'; there are {', '.join(known)}", USAGE)


def check_control(name):
    known = controls()
    if name not in known:
        raise HarnessError(f"there is no control '{name}'; there are {', '.join(known)}", USAGE)


def check_network(name):
    reasons = net.backends()
    if name not in reasons:
        raise HarnessError(f"there is no network '{name}'; there are {', '.join(reasons)}", USAGE)
    if reasons[name]:
        other = ", ".join(known for known, why in reasons.items() if not why)
        raise HarnessError(f"the network '{name}' cannot be used here: {reasons[name]}"
                           + (f" (what can: --network {other})" if other else ""))


def parse_nemeses(text):
    try:
        return nemesis.parse(text)
    except nemesis.NemesisError as error:
        raise HarnessError(str(error), USAGE) from None


def check(plan):
    """Everything that can be known before anything is started."""
    need_programs(*PROGRAMS)
    check_workload(plan.workload)
    check_network(plan.network)
    if plan.control:
        check_control(plan.control)
    few = [name for name in plan.nemeses if nemesis.REGISTRY[name].of == "network"]
    if few and plan.nodes < 3:
        raise HarnessError(f"{', '.join(few)}: a network of {plan.nodes} nodes has nothing to cut; take --nodes 3 or more", USAGE)


def leave_out(plan, cluster, named):
    """Nemeses that this machine or network cannot do: those from groups are skipped, one that was `named` is an error. Returns
    {nemesis: why it is skipped}."""
    reasons = nemesis.unavailable(cluster, plan.nemeses)
    if wanted := [name for name in reasons if name in named]:
        raise HarnessError("; ".join(f"{name}: {reasons[name]}" for name in wanted))
    plan.nemeses = [name for name in plan.nemeses if name not in reasons]
    return reasons
