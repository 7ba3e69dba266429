"""The client protocol, spoken directly.

A second implementation of client/proto, small and without connections shared between threads, so that the harness does not
rest on the client library it helps to test. One Connection is for one thread.
"""

import enum
import socket
import struct
from dataclasses import dataclass, field

VERSION = 1
HELLO, WRITE, GET, SCAN, STATUS = 1, 2, 3, 4, 5
FLAG_REPLY = 1
FRAME = struct.Struct("<IBBHQI")  # length, version, type, flags, request id, header length
MAX_KEY_BYTES = 4 << 10
MAX_VALUE_BYTES = 1 << 20

BASIS = {0: "none", 1: "read_index", 2: "lease", 3: "anchor", 4: "commit"}


class Code(enum.IntEnum):
    OK = 0
    NOT_LEADER = 1
    NO_LEADER = 2
    OVERLOADED = 3
    SHUTTING_DOWN = 4
    SUPERSEDED = 5
    NO_QUORUM = 20
    NOT_CAUGHT_UP = 21
    STALE = 22
    LEADER_CHANGED = 23
    FUTURE_TOKEN = 24
    DIVERGED = 25
    CLOCK_JUMP = 26
    DEADLINE = 40
    COMPARE_FAILED = 60
    INVALID = 61
    TOO_LARGE = 62
    PROTOCOL = 63
    WRONG_CLUSTER = 64
    UNSUPPORTED = 65
    CURSOR_EXPIRED = 66
    TOO_MANY = 67
    INTERNAL = 68


# A write that was answered with anything else may still take effect.
NOT_EXECUTED = {Code.NOT_LEADER, Code.NO_LEADER, Code.OVERLOADED, Code.SHUTTING_DOWN, Code.SUPERSEDED,
                Code.COMPARE_FAILED, Code.INVALID, Code.TOO_LARGE, Code.PROTOCOL, Code.WRONG_CLUSTER, Code.UNSUPPORTED,
                Code.TOO_MANY}


class NotSent(Exception):
    """No byte of the request left this process: it was certainly not executed."""


class Lost(Exception):
    """The connection failed after the request was sent: the outcome is unknown."""


# ---- Protobuf, as much as the contract needs ----

def varint(number):
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def encode(*fields):
    """Each field is (number, value): an int becomes a varint, bytes a length-delimited field, None is left out."""
    out = bytearray()
    for number, value in fields:
        if value is None:
            continue
        if isinstance(value, int):
            out += varint(number << 3) + varint(value)
        else:
            out += varint(number << 3 | 2) + varint(len(value)) + value
    return bytes(out)


def fixed64(number, value):
    return varint(number << 3 | 1) + struct.pack("<Q", value)


def read_varint(data, at):
    shift = result = 0
    while True:
        byte = data[at]
        at += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, at
        shift += 7


def decode(data):
    """Field number -> list of values, in order. Nested messages stay bytes."""
    fields, at = {}, 0
    while at < len(data):
        tag, at = read_varint(data, at)
        kind = tag & 7
        if kind == 0:
            value, at = read_varint(data, at)
        elif kind == 1:
            value, at = struct.unpack_from("<Q", data, at)[0], at + 8
        elif kind == 2:
            size, at = read_varint(data, at)
            value, at = data[at:at + size], at + size
        elif kind == 5:
            value, at = struct.unpack_from("<I", data, at)[0], at + 4
        else:
            raise ValueError(f"wire type {kind}")
        fields.setdefault(tag >> 3, []).append(value)
    return fields


def first(fields, number, default=0):
    return fields[number][-1] if number in fields else default


# ---- Frames and replies ----

def frame(kind, request_id, header, body=b"", flags=0):
    length = FRAME.size - 4 + len(header) + len(body)
    return FRAME.pack(length, VERSION, kind, flags, request_id, len(header)) + header + body


def hello_frame(cluster_id=0, protocol=VERSION):
    return frame(HELLO, 0, encode((1, protocol)) + fixed64(2, cluster_id) + encode((3, b"jepsen")))


def put_command(key, value):
    return encode((1, encode((1, key), (2, value))))


def delete_command(key):
    return encode((2, encode((1, key))))


def compare_command(key, value, mod_index):
    return encode((3, encode((1, key), (2, value), (3, mod_index))))


def freshness(level):
    if level == "strong":
        return encode((1, 0))
    if level == "eventual":
        return b""
    raise ValueError(level)


@dataclass
class Certificate:
    node: int = 0
    term: int = 0
    applied_index: int = 0
    age_us: int | None = None
    basis: str = "none"
    waited_us: int = 0


@dataclass
class Reply:
    code: Code = Code.OK
    message: str = ""
    leader_hint: int = 0
    found: bool = False
    mod_index: int = 0
    value: bytes = b""
    certificate: Certificate = field(default_factory=Certificate)

    @property
    def ok(self):
        return self.code == Code.OK


def parse_error(data):
    fields = decode(data)
    hint = decode(first(fields, 3, b""))
    return Code(first(fields, 1)), first(fields, 2, b"").decode(errors="replace"), first(hint, 1)


def parse_certificate(data):
    fields = decode(data)
    return Certificate(node=first(fields, 1), term=first(fields, 2), applied_index=first(fields, 3),
                       age_us=first(fields, 5, None), basis=BASIS[first(fields, 6)], waited_us=first(fields, 8))


def parse_reply(header, body):
    fields = decode(header)
    reply = Reply(mod_index=first(fields, 3), found=bool(first(fields, 4)), value=body)
    if 1 in fields:
        reply.code, reply.message, reply.leader_hint = parse_error(fields[1][-1])
    if 2 in fields:
        reply.certificate = parse_certificate(fields[2][-1])
    return reply


class Connection:
    """Connects and says Hello. Raises NotSent if that fails; refusal then holds the server's Reply, if it gave one."""

    def __init__(self, address, timeout=2.0, cluster_id=0):
        self.buffer = bytearray()
        self.next_id = 1
        try:
            self.socket = socket.create_connection(address, timeout=timeout)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.socket.sendall(hello_frame(cluster_id))
            _, header, _ = self._read_frame()
        except (OSError, Lost) as error:
            self.close()
            raise NotSent(f"{address[0]}:{address[1]}: {error}") from error
        fields = decode(header)
        self.node_id = first(fields, 5)
        self.cluster_id = first(fields, 3)
        if 1 in fields:
            code, message, _ = parse_error(fields[1][-1])
            self.close()
            raise NotSent(f"{code.name}: {message}")

    def close(self):
        if hasattr(self, "socket"):
            self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _read(self, count):
        while len(self.buffer) < count:
            try:
                data = self.socket.recv(1 << 16)
            except OSError as error:
                raise Lost(str(error) or type(error).__name__) from error
            if not data:
                raise Lost("the server closed the connection")
            self.buffer += data
        out = bytes(self.buffer[:count])
        del self.buffer[:count]
        return out

    def _read_frame(self):
        length, _, _, _, request_id, header_length = FRAME.unpack(self._read(FRAME.size))
        rest = self._read(length - (FRAME.size - 4))
        return request_id, rest[:header_length], rest[header_length:]

    def _send(self, requests):
        """requests: (type, header, body) each. Returns their ids. Any failure may have sent some of it."""
        data, ids = bytearray(), []
        for kind, header, body in requests:
            ids.append(self.next_id)
            data += frame(kind, self.next_id, header, body)
            self.next_id += 1
        try:
            self.socket.sendall(data)
        except OSError as error:
            raise Lost(str(error)) from error
        return ids

    def call_many(self, requests):
        """Pipelines the requests; their replies in the same order. Raises Lost if any is missing."""
        ids = self._send(requests)
        replies = {}
        while len(replies) < len(ids):
            request_id, header, body = self._read_frame()
            replies[request_id] = parse_reply(header, body)
        return [replies[request_id] for request_id in ids]

    def write(self, command, deadline_ms=1000):
        return self.call_many([(WRITE, encode((1, deadline_ms)), command)])[0]

    def put(self, key, value, deadline_ms=1000):
        return self.write(put_command(key, value), deadline_ms)

    def get(self, key, level="strong", deadline_ms=1000):
        return self.get_many([key], level, deadline_ms)[0]

    def get_many(self, keys, level="strong", deadline_ms=1000):
        header = encode((1, encode((1, deadline_ms))), (2, freshness(level)))
        return self.call_many([(GET, header, key) for key in keys])
