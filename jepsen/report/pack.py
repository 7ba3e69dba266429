"""Columns of whole numbers as one small text for the page.

Each column is stored as value + 1 (0: absent) in the narrowest type that holds it; a column that only rises is stored as its
differences. Bytes of equal weight lie together (all lowest bytes, then all second ones, ..), which deflates far better.
page/unpack.js is the other side.
"""

import base64
import sys
import zlib
from array import array

TYPES = ((1 << 8, "B", 1), (1 << 16, "H", 2), (1 << 32, "I", 4))


def pack(tables, level=6):
    """`tables`: {name: {column: list}}. Returns (description, text): what is where, and the bytes, deflated, in base64."""
    description, pieces = {}, []
    for name, columns in tables.items():
        described = []
        rows = len(next(iter(columns.values()), ()))
        for column, values in columns.items():
            stored = _column(column, values)
            if stored:
                described.append(stored[0])
                pieces.append(stored[1])
        description[name] = {"rows": rows, "columns": described}
    return description, base64.b64encode(zlib.compress(b"".join(pieces), level)).decode()


def _column(name, values):
    """({name, bytes each, delta}, bytes), or None if every value is absent."""
    shifted = [0 if value is None else value + 1 for value in values]
    if not any(shifted):
        return None
    delta = len(shifted) > 1 and all(a <= b for a, b in zip(shifted, shifted[1:]))
    if delta:
        shifted = [shifted[0], *(b - a for a, b in zip(shifted, shifted[1:]))]
    largest = max(shifted)
    code, width = next(((code, width) for limit, code, width in TYPES if largest < limit), ("Q", 8))
    numbers = array(code, shifted)
    if sys.byteorder == "big":
        numbers.byteswap()
    raw = numbers.tobytes()
    planes = b"".join(raw[plane::width] for plane in range(width))
    return {"name": name, "bytes": width, "delta": delta}, planes
