"""Commands and options of jepsen/run."""

import argparse
import os
import random
import sys

import nemesis
from cluster import ClusterError
from harness import BUG, HarnessError, INTERRUPTED, USAGE, plan as plans, suite, test
from processes import BIN
from report import serve

TOP = """Breaks a cluster in known ways, checks every reply against what its level promises, and shows it.

  jepsen/run test -w register -n partitions --time 30     one test
  jepsen/run test -w append -n kill,pause --network namespaces
  jepsen/run test-all --time 10                           every workload under every group of faults
  jepsen/run check store/latest/history.jsonl             the checkers again
  jepsen/run demo stale-read                              half a minute, in plain words
  jepsen/run controls                                     servers with known bugs, which must be caught
  jepsen/run serve                                        all reports, in a browser
  jepsen/run list                                         workloads, nemeses, controls

Exit: 0 valid, 1 invalid, 2 unknown, 64 wrong usage, 69 this machine cannot do it, 130 interrupted before there was
anything to judge. jepsen/README.md is the guide."""

TEST = """Starts nodes, clients and faults of its own, then checks and renders. Ctrl-C ends it early, heals, and still checks.

  jepsen/run test -w register -n isolate-leader,kill --nodes 5 --read strong,bounded:100ms,eventual --time 60 --rate 2000
  jepsen/run test -w bank -n mix --seed 7                 the same choices as any other run with seed 7
  jepsen/run test -w append -n power-loss                 (root) what was not synced is lost

The result goes to store/TIMESTAMP-NAME (and store/latest): report.html, history.jsonl, history.edn, results.json,
node logs, repro.sh."""


class Parser(argparse.ArgumentParser):
    """Exit 2 means "unknown" here."""

    def error(self, message):
        self.print_usage(sys.stderr)
        self.exit(USAGE, f"jepsen/run: {message}\n")


def number(kind, least, most):
    def parse(text):
        try:
            value = kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"'{text}' is not a number") from None
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text} is not from {least} to {most}")
        return value
    return parse


def common(parser, seconds=20):
    parser.add_argument("--nodes", type=number(int, 1, 9), default=3)
    parser.add_argument("--read", default=plans.LEVELS, metavar="LEVELS",
                        help=f"each read takes one of them; default {plans.LEVELS}; also bounded:1s,lag=10")
    parser.add_argument("--time", type=number(float, 1, 1e6), default=seconds, metavar="S", help=f"seconds, default {seconds}")
    parser.add_argument("--rate", type=number(float, 1, 1e6), default=500, metavar="R", help="operations a second, default 500")
    parser.add_argument("--clients", type=number(int, 1, 1000), default=20, help="each has one operation at a time; default 20")
    parser.add_argument("--timeout", type=number(float, 0.05, 600), default=1, metavar="S", help="of an operation, default 1")
    parser.add_argument("--seed", type=number(int, 0, 2**63 - 1), help="of all choices; default: a new one")
    parser.add_argument("--network", default="proxy", help="proxy (default) or namespaces (root): who breaks links")
    parser.add_argument("--control", default="", help="run servers with this known bug (see list)")
    parser.add_argument("--out", metavar="DIR", help="a new directory, instead of store/TIMESTAMP-NAME")


def parser_of_all():
    parser = Parser(prog="jepsen/run", description=TOP, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    add = lambda name, **rest: commands.add_parser(name, formatter_class=argparse.RawDescriptionHelpFormatter, **rest)

    one = add("test", help="one test", description=TEST)
    one.add_argument("-w", "--workload", required=True, help="see list")
    one.add_argument("-n", "--nemesis", default="none", help="names and groups, separated by commas; see list; default none")
    common(one)

    every = add("test-all", help="many tests", description="Every workload under every -n; a table at the end; the worst exit code.\n\n"
                "  jepsen/run test-all --time 10\n  jepsen/run test-all -w register,bank -n partitions -n kill,pause")
    every.add_argument("-w", "--workload", help="names, separated by commas; default: all but the control lock-unfenced")
    every.add_argument("-n", "--nemesis", action="append", help="a set of nemeses; give it several times; default: each group")
    common(every, seconds=15)

    check = add("check", help="check histories", description="Runs quorate-check: exit codes and formats as there "
                "(jepsen/check/README.md).\n\n  jepsen/run check other.edn --model register\n  jepsen/run check --corpus DIR")
    check.add_argument("files", nargs="*", metavar="FILE")
    check.add_argument("--model")
    check.add_argument("--corpus", metavar="DIR", help="all histories of a directory against its verdicts.txt")

    demo = add("demo", help="show one thing in half a minute")
    demo.add_argument("name", help="stale-read, last-contact, split-brain, slow-disk or clock-skew")
    demo.add_argument("--out", metavar="DIR")

    caught = add("controls", help="servers with known bugs, which must be caught")
    caught.add_argument("names", nargs="*", metavar="NAME", help="default: all")
    caught.add_argument("--limit", type=number(float, 10, 1e5), default=300, metavar="S", help="seconds for each, default 300")
    caught.add_argument("--seed", type=number(int, 0, 2**63 - 1), default=1)
    caught.add_argument("--out", metavar="DIR")

    shown = add("serve", help="all reports, in a browser", description="A web server on 127.0.0.1.")
    shown.add_argument("directory", nargs="?", default=test.STORE)
    shown.add_argument("--port", type=number(int, 0, 65535), default=8080, help="0: any free one")

    add("list", help="workloads, nemeses, controls")
    return parser


def plan_from(options, **more):
    seed = random.SystemRandom().randrange(1 << 32) if options.seed is None else options.seed
    return plans.Plan(nodes=options.nodes, read=options.read, seconds=options.time, rate=options.rate, clients=options.clients,
                      timeout=options.timeout, seed=seed, network=options.network, control=options.control, **more)


def do_test(options):
    named = [word.strip() for word in options.nemesis.split(",")]
    plan = plan_from(options, workload=options.workload, nemeses=plans.parse_nemeses(options.nemesis))
    return test.run(plan, options.out, named)[0]


def do_test_all(options):
    known = [name for name in plans.workloads() if name != "lock-unfenced"]
    names = options.workload.split(",") if options.workload else known
    for name in names:
        plans.check_workload(name)
    sets = options.nemesis or list(nemesis.GROUPS)
    for text in sets:
        plans.parse_nemeses(text)
    return suite.run_all(plan_from(options, workload=""), names, sets, options.out)


def do_check(options):
    plans.need_programs("quorate-check")
    if bool(options.files) == bool(options.corpus):
        raise HarnessError("name either histories or --corpus DIR", USAGE)
    command = [str(BIN / "quorate-check"), *options.files]
    command += ["--model", options.model] if options.model else []
    command += ["--corpus", options.corpus] if options.corpus else []
    sys.stdout.flush()
    os.execv(command[0], command)


def do_demo(options):
    from harness import demos  # pylint: disable=import-outside-toplevel
    return demos.run(options.name, options.out)


def do_controls(options):
    from harness import controls  # pylint: disable=import-outside-toplevel
    return controls.run(options.names, options.limit, options.seed, options.out)


def do_serve(options):
    if not os.path.isdir(options.directory):
        raise HarnessError(f"there is no directory {options.directory}: jepsen/run test makes it")
    try:
        serve.serve(options.directory, options.port)
    except OSError as error:
        raise HarnessError(f"port {options.port}: {error.strerror}; --port 0 takes any free one") from None
    return 0


def do_list(_):
    print("workloads")
    for name, entry in plans.workloads().items():
        print(f"  {name:<18} {entry['help']}")
    print("nemeses")
    for name, kind in nemesis.REGISTRY.items():
        print(f"  {name:<18} {kind.help}")
    print("groups of nemeses")
    for name, members in nemesis.GROUPS.items():
        print(f"  {name:<18} {' '.join(members)}")
    if (BIN / "quorated-controls").exists():
        print("controls (servers with a known bug)")
        for name, text in plans.controls().items():
            print(f"  {name:<18} {text}")
    return 0


def main(arguments=None):
    options = parser_of_all().parse_args(arguments)
    do = {"test": do_test, "test-all": do_test_all, "check": do_check, "demo": do_demo, "controls": do_controls,
          "serve": do_serve, "list": do_list}[options.command]
    try:
        return do(options)
    except HarnessError as error:
        print(f"jepsen/run: {error}", file=sys.stderr)
        return error.code
    except ClusterError as error:
        print(f"jepsen/run: {error}", file=sys.stderr)
        return BUG
    except BrokenPipeError:  # whoever read what we say has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BUG
    except KeyboardInterrupt:
        print("jepsen/run: interrupted; nothing is left running", file=sys.stderr)
        return INTERRUPTED
