#!/usr/bin/env python3
"""history.edn: the strong part of a history as Jepsen keeps it, two lines for each operation, for other people's checkers.

Weaker reads are left out, because those would take them for strong ones. Keys are independent
objects, as Jepsen names them: #jepsen.independent/tuple [key value].
"""

import json
import sys


def convert(source, target):
    """Streams; lines that are no operations, or damaged, are passed over."""
    events = []
    with open(source, "rb") as lines:
        for line in lines:
            try:
                op = json.loads(line)
            except ValueError:
                continue
            if not isinstance(op, dict) or "op" not in op or op.get("f") == "read" and op.get("level", "strong") != "strong":
                continue
            if op.get("on_unmet") == "serve":
                continue
            events.append((op["invoked"], 1, op["op"], _line(op, "invoke", op.get("value"), op["invoked"])))
            if "returned" in op:
                answer = op.get("result") if op["f"] == "read" else op.get("value")
                events.append((op["returned"], 0, op["op"], _line(op, op["type"], answer, op["returned"])))
    events.sort()
    with open(target, "w", encoding="utf-8") as out:
        for index, event in enumerate(events):
            out.write(f"{{:index {index}, {event[3]}}}\n")


def _line(op, kind, value, at):
    value = edn(value)
    if "key" in op:
        value = f"#jepsen.independent/tuple [{edn(op['key'])} {value}]"
    return f":type :{kind}, :process {op['client']}, :f :{op['f']}, :value {value}, :time {at * 1000}"


def edn(value):
    if value is None:
        return "nil"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "[" + " ".join(map(edn, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{edn(key)} {edn(item)}" for key, item in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False)


if __name__ == "__main__":
    convert(*sys.argv[1:3])
