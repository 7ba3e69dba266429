"""The client protocol, spoken directly.

A second implementation of client/proto, small and without connections shared between threads, so that the harness does not
rest on the client library it helps to test. One Connection is for one thread.
"""

import enum
import socket
import struct
from dataclasses import dataclass, field

VERSION = 1
HELLO, WRITE, GET, SCAN, STATUS, MULTI_GET = 1, 2, 3, 4, 5, 8
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
    DISK_FULL = 6
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
    SNAPSHOT_GONE = 69
    NOT_A_NUMBER = 70
    OUT_OF_RANGE = 71
    VALUE_TOO_LARGE = 72
    SESSION_EXPIRED = 80
    SESSION_SEQ_GONE = 81
    OUT_OF_ORDER = 82


# A write that was answered with anything else may still take effect. Of this attempt alone: what is sent again under the same
# session and number may have been executed by an earlier one.
NOT_EXECUTED = {Code.NOT_LEADER, Code.NO_LEADER, Code.OVERLOADED, Code.SHUTTING_DOWN, Code.SUPERSEDED, Code.DISK_FULL,
                Code.COMPARE_FAILED, Code.INVALID, Code.TOO_LARGE, Code.PROTOCOL, Code.WRONG_CLUSTER, Code.UNSUPPORTED,
                Code.TOO_MANY, Code.NOT_A_NUMBER, Code.OUT_OF_RANGE, Code.VALUE_TOO_LARGE, Code.SESSION_EXPIRED,
                Code.SESSION_SEQ_GONE, Code.OUT_OF_ORDER}


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


def zigzag(number):
    return number << 1 if number >= 0 else (-number << 1) - 1


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


# ---- Frames ----

def frame(kind, request_id, header, body=b"", flags=0):
    length = FRAME.size - 4 + len(header) + len(body)
    return FRAME.pack(length, VERSION, kind, flags, request_id, len(header)) + header + body


def hello_frame(cluster_id=0, protocol=VERSION):
    return frame(HELLO, 0, encode((1, protocol)) + fixed64(2, cluster_id) + encode((3, b"jepsen")))


# ---- Commands ----

def put_command(key, value, attach=False, return_previous=False):
    return encode((1, _put(key, value, attach, return_previous)))


def _put(key, value, attach=False, return_previous=False):
    return encode((1, key), (2, value), (3, int(return_previous) or None), (4, int(attach) or None))


def delete_command(key):
    return encode((2, encode((1, key))))


def compare_command(key, value, mod_index, attach=False):
    """mod_index 0: the key must be absent."""
    return encode((3, encode((1, key), (2, value), (3, mod_index), (5, int(attach) or None))))


def increment_command(key, by=1):
    return encode((4, encode((1, key), (2, zigzag(by)))))


def append_command(key, value):
    return encode((5, encode((1, key), (2, value))))


def transaction_command(compare=(), then=(), otherwise=()):
    """compare: (key, mod_index) pairs that must be equal. The others: operations, made by operation()."""
    return encode((6, encode(*((1, encode((1, key), (3, index))) for key, index in compare),
                             *((2, one) for one in then), *((3, one) for one in otherwise))))


def operation(kind, key, value=b""):
    number = {"put": 1, "delete": 2, "increment": 3, "append": 4, "get": 5}[kind]
    body = {"put": lambda: encode((1, key), (2, value)), "delete": lambda: encode((1, key)),
            "increment": lambda: encode((1, key), (2, zigzag(value))), "append": lambda: encode((1, key), (2, value)),
            "get": lambda: key}[kind]()
    return encode((number, body))


def delete_range_command(begin, end, max_keys):
    return encode((7, encode((1, begin), (2, end), (3, max_keys))))


def open_session_command(ttl_us):
    return encode((8, encode((1, ttl_us))))


def keep_session_command(session):
    return encode((9, encode((1, session))))


def close_session_command(session):
    return encode((10, encode((1, session))))


def in_session(command, session, seq, acked_below=0, ordered=False):
    """The same command, to be executed once under that number."""
    return command + encode((14, encode((1, session), (2, seq), (3, acked_below), (4, int(ordered) or None))))


# ---- Freshness ----

@dataclass(frozen=True)
class Token:
    cluster_id: int = 0
    incarnation: int = 0
    term: int = 0
    index: int = 0

    def encode(self):
        return fixed64(1, self.cluster_id) + fixed64(2, self.incarnation) + encode((3, self.term), (4, self.index))


ON_UNMET = {"wait": 0, "refuse": 1, "serve": 2}


@dataclass(frozen=True)
class Freshness:
    """What a read asks for; nothing set: an eventual read."""
    max_age_us: int | None = None
    max_lag: int | None = None
    token: Token | None = None
    on_unmet: str = "wait"
    explain: bool = False

    def encode(self):
        return encode((1, self.max_age_us), (2, self.max_lag), (3, self.token.encode() if self.token else None),
                      (4, ON_UNMET[self.on_unmet]), (5, int(self.explain)))

    @property
    def name(self):
        if self.max_age_us == 0:
            return "strong"
        if self.max_age_us is not None:
            return "bounded"
        return "session" if self.token else "eventual"


STRONG, EVENTUAL = Freshness(max_age_us=0), Freshness()


def bounded(seconds, lag=None, on_unmet="wait"):
    return Freshness(round(seconds * 1e6), lag, on_unmet=on_unmet)


def session(token, on_unmet="wait"):
    return Freshness(token=token, on_unmet=on_unmet)


def as_freshness(level):
    return {"strong": STRONG, "eventual": EVENTUAL}[level] if isinstance(level, str) else level


# ---- Replies ----

@dataclass
class Certificate:
    node: int = 0
    term: int = 0
    applied_index: int = 0
    age_us: int | None = None
    basis: str = "none"
    waited_us: int = 0
    entry_term: int = 0
    fresh_index: int = 0
    via_leader: bool = False
    lag: int = 0
    incarnation: int = 0


@dataclass
class Reply:
    code: Code = Code.OK
    message: str = ""
    leader_hint: int = 0
    found: bool = False
    mod_index: int = 0
    value: bytes = b""
    certificate: Certificate = field(default_factory=Certificate)
    repeated: bool = False
    have: int = 0        # these four: of a refusal
    want: int = 0
    age_us: int = 0
    because: Code = Code.OK
    explained: bool = False

    @property
    def ok(self):
        return self.code == Code.OK

    @property
    def result(self):
        """The WriteResult of a write, as decode() gives it."""
        return decode(self.value)

    @property
    def number(self):
        """The sum, of an increment."""
        return int(first(self.result, 1, b""))


def parse_error(data):
    """A Reply with nothing but the refusal."""
    fields = decode(data)
    hint = decode(first(fields, 3, b""))
    return Reply(code=Code(first(fields, 1)), message=first(fields, 2, b"").decode(errors="replace"), leader_hint=first(hint, 1),
                 have=first(fields, 4), want=first(fields, 5), age_us=first(fields, 6), because=Code(first(fields, 7)))


def parse_certificate(data):
    fields = decode(data)
    return Certificate(node=first(fields, 1), term=first(fields, 2), applied_index=first(fields, 3),
                       age_us=first(fields, 5, None), basis=BASIS[first(fields, 6)], waited_us=first(fields, 8),
                       entry_term=first(fields, 4), fresh_index=first(fields, 7), via_leader=bool(first(fields, 9)),
                       lag=first(fields, 10), incarnation=first(fields, 11))


def parse_reply(header, body):
    fields = decode(header)
    reply = parse_error(fields[1][-1]) if 1 in fields else Reply()
    reply.mod_index, reply.found, reply.value = first(fields, 3), bool(first(fields, 4)), body
    reply.explained, reply.repeated = 5 in fields, bool(first(fields, 6))
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
        self.incarnation = first(fields, 4)
        if 1 in fields:
            refusal = parse_error(fields[1][-1])
            self.close()
            raise NotSent(f"{refusal.code.name}: {refusal.message}")

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
        """Each on its own; see multi_get."""
        header = encode((1, encode((1, deadline_ms))), (2, as_freshness(level).encode()))
        return self.call_many([(GET, header, key) for key in keys])

    def multi_get(self, keys, level="strong", deadline_ms=1000):
        """All at one index: the reply, and a dict of key -> (value, mod_index) of those that exist."""
        header = encode((1, encode((1, deadline_ms))), (2, as_freshness(level).encode()), *((3, key) for key in keys))
        reply = self.call_many([(MULTI_GET, header, b"")])[0]
        items = map(decode, decode(reply.value).get(1, [])) if reply.ok else ()
        return reply, {first(item, 1, b""): (first(item, 2, b""), first(item, 3)) for item in items}

    def send_write(self, command, deadline_ms=1000):
        """Sends it, and does not wait for an answer."""
        self._send([(WRITE, encode((1, deadline_ms)), command)])

    def token(self, reply):
        """What a client has seen that has got this reply."""
        seen = reply.certificate
        return Token(self.cluster_id, seen.incarnation, seen.entry_term, seen.applied_index)
