"""Reads history.jsonl (see FORMAT.md) into columns, and results.json into plain data.

Both come from a test that may have been killed half-way, and hold keys and values from anywhere: what cannot be understood is
skipped, counted and reported in `problems`; nothing here raises for what a file says, only for a file that cannot be read.
"""

import json
from array import array
from dataclasses import dataclass, field

MAX_OPS = 300_000  # drawn; a longer history is thinned evenly, and the page says so
MAX_TEXT = 240  # characters of a value, a detail
MAX_LINE = 4 << 20  # bytes
MAX_SIDE_EVENTS = 400_000  # samples; a tenth of a second each, three nodes: four hours
MAX_LANES = 400
MAX_NODES = 64
MAX_COUNT = 1 << 53  # what JavaScript can hold exactly

LEVELS = ("strong", "bounded", "session", "eventual")
TYPES = ("ok", "fail", "info")
LINK_STATES = ("ok", "cut", "slow", "lossy", "blackhole")

OP_COUNTS = ("client", "returned", "revision", "max_age_us", "max_lag", "min_index", "node", "seq", "attempts")
CERTIFICATE_COUNTS = ("node", "term", "index", "entry_term", "age_us", "lag", "fresh_index", "waited_us")
SAMPLE_COUNTS = ("term", "leader", "commit", "applied", "age_us")


class Table:
    """Texts by number, in order of first use."""

    def __init__(self, texts=()):
        self.texts = list(texts)
        self.numbers = {text: number for number, text in enumerate(self.texts)}

    def number(self, text):
        """The number of a text; None stays None."""
        if text is None:
            return None
        got = self.numbers.get(text)
        if got is None:
            got = self.numbers[text] = len(self.texts)
            self.texts.append(text)
        return got


def op_columns():
    names = ["op", "invoked", "f", "type", "level", "key", "value", "result", "on_unmet", "session", "error", "code", *OP_COUNTS]
    certificate = ["c_incarnation", "c_basis", "c_via_leader", *("c_" + name for name in CERTIFICATE_COUNTS)]
    return {name: [] for name in names + certificate}


@dataclass
class History:
    header: dict = field(default_factory=dict)
    ops: dict = field(default_factory=op_columns)  # columns of equal length, by `invoked`; None: absent
    samples: dict = field(default_factory=lambda: {name: [] for name in ("node", "at", "role", *SAMPLE_COUNTS)})
    faults: list = field(default_factory=list)
    links: list = field(default_factory=list)  # [at, [[from, to, number in LINK_STATES], ..]]
    tables: dict = field(default_factory=lambda: {
        "f": Table(("read", "write")), "type": Table(TYPES), "level": Table(LEVELS), "key": Table(), "on_unmet": Table(),
        "c_basis": Table(), "code": Table(), "role": Table(), "text": Table()})
    problems: list = field(default_factory=list)  # the first few, as text
    problem_count: int = 0
    counts: dict = field(default_factory=lambda: dict.fromkeys(TYPES, 0))  # of all operations, drawn or not
    shown: tuple = field(default_factory=lambda: (array("d"), array("d")))  # (index, returned) of every answer that shows one
    stride: int = 1  # one operation in so many is drawn
    end: int = 0
    finished: bool = False
    lanes: int = 0

    @property
    def total(self):
        return sum(self.counts.values())

    def problem(self, line, text):
        self.problem_count += 1
        if len(self.problems) < 5:
            self.problems.append(f"line {line}: {text}")


def read_history(path, keep=(), max_ops=MAX_OPS):
    """`keep`: numbers of operations that thinning must not drop. Raises OSError only."""
    history, reader = History(), None
    with open(path, "rb") as file:
        reader = _Reader(history, frozenset(keep), max_ops)
        for number, line in enumerate(_lines(file), 1):
            reader.take(number, line)
    _order(history)
    _assign_lanes(history)
    history.faults.sort(key=lambda fault: fault["at"])
    history.links.sort(key=lambda change: change[0])
    if not history.header:
        history.problem(1, "no header: workload, seed and network are not known")
    return history


def read_results(path):
    """The checker's results as a dictionary, and a problem or None. A missing file is a problem, not an error."""
    try:
        with open(path, "rb") as file:
            results = json.load(file)
    except FileNotFoundError:
        return {}, "no results.json: the checkers have not run, so nothing is known about the verdict"
    except (OSError, ValueError, RecursionError) as error:
        return {}, f"results.json cannot be read ({shorten(str(error))}), so nothing is known about the verdict"
    if not isinstance(results, dict):
        return {}, "results.json is not an object, so nothing is known about the verdict"
    return results, None


def _lines(file):
    """Lines of at most MAX_LINE bytes; what is longer comes as pieces, which are then no JSON."""
    while line := file.readline(MAX_LINE):
        yield line


def count(value):
    """A whole number from 0 that JavaScript can hold, else None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < MAX_COUNT:
        return None
    return int(value)


def shorten(text, limit=MAX_TEXT):
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text):,} characters)"


def as_text(value):
    """A value of any kind, short; strings without quotes are the rule, so JSON text is used for the rest."""
    if isinstance(value, str):
        return shorten(value)
    return shorten(json.dumps(value, ensure_ascii=False))


class _Reader:
    """Sorts lines into the history."""

    def __init__(self, history, keep, max_ops):
        self.history, self.keep, self.max_ops = history, keep, max_ops
        self.kinds = (("op", self.operation), ("sample", self.sample), ("fault", self.fault), ("links", self.links),
                      ("format", self.header), ("end", self.end))

    def take(self, number, line):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            if line.strip():
                self.history.problem(number, "not JSON (cut off?)" if not line.endswith(b"\n") else "not JSON")
            return
        if not isinstance(row, dict):
            return self.history.problem(number, "not an object")
        for name, handle in self.kinds:
            if name in row:
                wrong = handle(row)
                return self.history.problem(number, wrong) if wrong else None
        return None  # of a later version: ignored

    def header(self, row):
        if row["format"] != "quorate-history-1":
            return f"unknown format {shorten(str(row['format']), 40)}"
        self.history.header = row
        return None

    def end(self, row):
        at = count(row["end"])
        if at is None:
            return "no valid `end`"
        self.history.end, self.history.finished = max(self.history.end, at), True
        return None

    def operation(self, row):
        number, invoked, client = count(row["op"]), count(row.get("invoked")), count(row.get("client"))
        kind = row.get("type")
        if number is None or invoked is None or client is None or kind not in TYPES:
            return "an operation without valid `op`, `client`, `invoked` or `type`"
        returned = count(row.get("returned"))
        if returned is None and kind != "info" or returned is not None and returned < invoked:
            return f"operation {number} is `{kind}` without a valid `returned`"
        history = self.history
        history.counts[kind] += 1
        history.end = max(history.end, invoked, returned or 0)
        index = _shown_index(row) if kind == "ok" else None
        if index:
            history.shown[0].append(index)
            history.shown[1].append(returned)
        if history.stride == 1 or number % history.stride == 0 or number in self.keep:
            self.append(row, number, invoked)
            if len(history.ops["op"]) >= 2 * self.max_ops:
                self.thin()
        return None

    def append(self, row, number, invoked):
        ops, tables = self.history.ops, self.history.tables
        text = tables["text"].number
        ops["op"].append(number)
        ops["invoked"].append(invoked)
        for name in ("f", "type", "level", "key", "on_unmet"):
            value = row.get(name)
            ops[name].append(None if value is None else tables[name].number(as_text(value)))
        ops["value"].append(text(as_text(row["value"])) if "value" in row else None)
        ops["result"].append(text(as_text(row["result"])) if "result" in row else None)
        ops["session"].append(text(as_text(row["session"])) if row.get("session") is not None else None)
        for name in OP_COUNTS:
            value = row.get(name)
            ops[name].append(value if value is None else count(value))
        self.append_error(row.get("error"))
        self.append_certificate(row.get("certificate"))

    def append_error(self, error):
        ops, tables = self.history.ops, self.history.tables
        if not isinstance(error, dict):
            ops["error"].append(None)
            ops["code"].append(None)
            return
        ops["code"].append(tables["code"].number(as_text(error.get("code", "?"))))
        kept = [error.get(name) for name in ("class", "detail", "have", "want", "age_us", "because")]
        ops["error"].append(tables["text"].number(json.dumps(
            [value if value is None or count(value) is not None else as_text(value) for value in kept])))

    def append_certificate(self, certificate):
        ops, tables = self.history.ops, self.history.tables
        given = certificate if isinstance(certificate, dict) else {}
        for name in CERTIFICATE_COUNTS:
            value = given.get(name)
            ops["c_" + name].append(value if value is None else count(value))
        incarnation, basis, via = given.get("incarnation"), given.get("basis"), given.get("via_leader")
        ops["c_incarnation"].append(None if incarnation is None else tables["text"].number(as_text(incarnation)))
        ops["c_basis"].append(None if basis is None else tables["c_basis"].number(as_text(basis)))
        ops["c_via_leader"].append(None if via is None else int(bool(via)))

    def thin(self):
        history = self.history
        history.stride *= 2
        kept = [i for i, number in enumerate(history.ops["op"]) if number % history.stride == 0 or number in self.keep]
        for name, column in history.ops.items():
            history.ops[name] = [column[i] for i in kept]

    def sample(self, row):
        node, at = count(row["sample"]), count(row.get("at"))
        if node is None or at is None:
            return "a sample without valid `sample` (the node) or `at`"
        samples = self.history.samples
        if len(samples["at"]) >= MAX_SIDE_EVENTS:
            return "too many samples; this one is not drawn"
        self.history.end = max(self.history.end, at)
        samples["node"].append(node)
        samples["at"].append(at)
        samples["role"].append(self.history.tables["role"].number(as_text(row.get("role", "unknown"))))
        for name in SAMPLE_COUNTS:
            samples[name].append(count(row.get(name)))
        return None

    def fault(self, row):
        at, until = count(row.get("at")), count(row.get("until"))
        if at is None:
            return "a fault without a valid `at`"
        nodes = row.get("nodes")
        nodes = [n for n in map(count, nodes) if n is not None] if isinstance(nodes, list) else []
        self.history.end = max(self.history.end, at, until or 0)
        self.history.faults.append({"fault": as_text(row["fault"]), "at": at, "until": until, "nodes": nodes,
                                    "detail": as_text(row.get("detail", ""))})
        return None

    def links(self, row):
        at, changes, states = count(row.get("at")), row["links"], []
        if at is None or not isinstance(changes, list):
            return "links without a valid `at` or list"
        for change in changes:
            if not (isinstance(change, list) and len(change) == 3 and count(change[0]) and count(change[1]) and
                    change[2] in LINK_STATES):
                return f"not a link: {as_text(change)}"
            states.append([int(change[0]), int(change[1]), LINK_STATES.index(change[2])])
        self.history.end = max(self.history.end, at)
        self.history.links.append([at, states])
        return None


def _shown_index(row):
    """The index that an answer proves to exist: the applied one of a read, the write's own of a write."""
    certificate = row.get("certificate")
    index = count(certificate.get("index")) if isinstance(certificate, dict) else None
    return index if index is not None or row.get("f") == "read" else count(row.get("revision"))


def _order(history):
    for columns, by in ((history.ops, "invoked"), (history.samples, "at")):
        order = sorted(range(len(columns[by])), key=columns[by].__getitem__)
        for name, column in columns.items():
            columns[name] = [column[i] for i in order]


def _assign_lanes(history):
    """A client whose operation ended as `info` goes on under a new number: one lane for all its numbers, as far as one can see.

    A new number takes over the lane that has been free for longest. With thinning that is only a guess, and harmless.
    """
    ops = history.ops
    last = {}  # client -> position of its last operation
    for i, client in enumerate(ops["client"]):
        last[client] = i
    info, lane_of, free, lanes = TYPES.index("info"), {}, [], 0
    column = []
    for i, client in enumerate(ops["client"]):
        lane = lane_of.get(client)
        if lane is None:
            ready = next((f for f in free if f[0] <= ops["invoked"][i]), None)
            if ready:
                free.remove(ready)
                lane = ready[1]
            else:
                lane, lanes = lanes % MAX_LANES, lanes + 1
            lane_of[client] = lane
        column.append(lane)
        if last[client] == i and ops["type"][i] == info:
            returned = ops["returned"][i]
            free.append((ops["invoked"][i] if returned is None else returned, lane))
    ops["lane"], history.lanes = column, min(lanes, MAX_LANES)
