"""The bus of wsbus for Python programs: one module, python3-zmq is all it needs.

    from wsbus import Handler

    with Handler(routes=["echo"]) as bus:
        for event in bus:
            if event.type == "data":
                bus.send(event.conn, event.payload, event.opcode)

The protocol is docs/protocol.md. Events and commands travel in batches, the gate's restart is noticed and answered by
a new HELLO (the program sees a "welcome" event with the new epoch), and a program that ends says BYE. One Handler belongs
to one thread.
"""

import json
import os
import stat
import struct
import sys
import time

import zmq

VERSION = 1
HEADER = struct.Struct("<BBBBIQQQ")
PREFIX = struct.Struct("<II")
TEXT, BINARY = 1, 2
META, MORE, REDELIVERED, WANT_OUTCOME, PENDING = 1, 2, 4, 8, 16

EVENTS = {
    1: "welcome", 2: "open", 3: "data", 4: "closed", 5: "pong", 6: "request", 7: "body", 8: "aborted", 9: "outcome",
    10: "writable", 11: "revoked", 12: "ping", 13: "level", 14: "drain", 15: "error",
}
COMMANDS = {
    "hello": 64, "credit": 65, "ack": 66, "accept": 67, "reject": 68, "send": 69, "close": 70, "join": 71, "leave": 72,
    "publish": 73, "tag": 74, "respond": 75, "body": 76, "ping": 77, "pong": 78, "log": 79, "bye": 80,
}
BATCH = 127
OUTCOMES = ("written", "dropped", "gone", "stale", "too big", "refused", "invalid")
LEVELS = ("debug", "info", "wslog", "warn", "error")
BATCH_BYTES = 256 << 10


class ProtocolError(ValueError):
    """Bytes that are not an envelope."""


class Event:
    """One event: type (a word), conn, opcode, seq, time_ns, flags, payload (bytes), meta (dict)."""

    __slots__ = ("type", "code", "flags", "conn", "seq", "time_ns", "payload", "meta")

    def __init__(self, head, payload, meta):
        self.type = EVENTS.get(head[1], str(head[1]))
        self.code, self.flags = head[2], head[3]
        self.conn, self.seq, self.time_ns = head[5], head[6], head[7]
        self.payload = payload
        self.meta = json.loads(meta) if meta else {}

    opcode = property(lambda self: self.code)
    text = property(lambda self: self.payload.decode())
    more = property(lambda self: bool(self.flags & MORE))
    pending = property(lambda self: bool(self.flags & PENDING))
    redelivered = property(lambda self: bool(self.flags & REDELIVERED))
    outcome = property(lambda self: OUTCOMES[self.code])

    def __repr__(self):
        return "<%s conn=%016x seq=%d %d bytes %s>" % (self.type, self.conn, self.seq, len(self.payload), self.meta)


def parse_header(head):
    """The eight fields of a header; ProtocolError when it is not one."""
    if len(head) != HEADER.size:
        raise ProtocolError("a header has 32 bytes, not %d" % len(head))
    fields = HEADER.unpack(head)
    if fields[0] != VERSION:
        raise ProtocolError("version %d" % fields[0])
    return fields


def parse_parts(parts):
    """(fields, payload, metadata) of one message's parts."""
    if len(parts) not in (2, 3):
        raise ProtocolError("%d parts" % len(parts))
    fields = parse_header(parts[0])
    meta = parts[2] if len(parts) == 3 else b""
    if fields[4] != len(parts[1]) or bool(fields[3] & META) != (len(parts) == 3):
        raise ProtocolError("lengths or flags that are not true")
    if len(parts) == 3 and not meta:
        raise ProtocolError("empty metadata")
    return fields, parts[1], meta


def parse_batch(data):
    """Yield (fields, payload, metadata) for each record of a batch."""
    at = 0
    while at < len(data):
        if len(data) - at < PREFIX.size + HEADER.size:
            raise ProtocolError("a record is cut short")
        size, meta_len = PREFIX.unpack_from(data, at)
        padded = (size + 7) & ~7
        if size < PREFIX.size + HEADER.size + meta_len or at + padded > len(data):
            raise ProtocolError("a record's lengths are not true")
        fields = parse_header(bytes(data[at + 8:at + 40]))
        if fields[1] == BATCH or fields[4] != size - 40 - meta_len or bool(fields[3] & META) != bool(meta_len):
            raise ProtocolError("a record's header is not true")
        if any(data[at + size:at + padded]):
            raise ProtocolError("padding that is not zero")
        start = at + 40
        yield fields, bytes(data[start:start + fields[4]]), bytes(data[start + fields[4]:at + size])
        at += padded


def make_header(type_, code=0, flags=0, size=0, conn=0, seq=0, time_ns=0):
    return HEADER.pack(VERSION, type_, code, flags, size, conn, seq, time_ns)


def make_record(header, payload=b"", meta=b""):
    """One record of a batch, padded."""
    size = PREFIX.size + HEADER.size + len(payload) + len(meta)
    return b"".join((PREFIX.pack(size, len(meta)), header, payload, meta, b"\0" * (-size % 8)))


def runtime_dir(wanted=None):
    """Where the gate's endpoints are: docs/protocol.md §1."""
    if wanted:
        return wanted
    if os.environ.get("WSBUS_DIR"):
        return os.environ["WSBUS_DIR"]
    if os.access("/run/wsbus", os.X_OK):
        return "/run/wsbus"
    if os.environ.get("XDG_RUNTIME_DIR"):
        return os.path.join(os.environ["XDG_RUNTIME_DIR"], "wsbus")
    last = "/tmp/wsbus-%d" % os.getuid()
    try:
        found = os.lstat(last)
    except FileNotFoundError:
        return last
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():  # everybody can make one: this could be a trap
        raise PermissionError("%s is not a directory of our own" % last)
    return last


def conn_hex(conn):
    return "%016x" % conn


def encode(type_name, conn=0, payload=b"", code=0, flags=0, seq=0, meta=None):
    """(header, payload, metadata) of a command."""
    data = json.dumps(meta, separators=(",", ":")).encode() if meta else b""
    flags |= META if data else 0
    return make_header(COMMANDS[type_name], code, flags, len(payload), conn, seq), payload, data


class Commands:
    """What a program can tell the gate; how it travels is up to the class below."""

    def __init__(self):
        self._seq = 0

    def _put(self, *args, **kwargs):
        raise NotImplementedError

    def _command(self, name, conn=0, payload=b"", code=0, outcome=False, flags=0, meta=None):
        self._seq += 1
        if outcome:
            flags |= WANT_OUTCOME
        self._put(*encode(name, conn, payload, code, flags, self._seq, meta))
        return self._seq

    def send(self, conn, payload, opcode=None, outcome=False):
        """Send a message to one connection, or to an iterable of them. str is text, bytes are binary."""
        payload, opcode = _message(payload, opcode)
        if isinstance(conn, int):
            return self._command("send", conn, payload, opcode, outcome)
        return self._command("send", 0, payload, opcode, outcome, meta={"to": [conn_hex(c) for c in conn]})

    def publish(self, payload, group=None, route=None, but=(), opcode=None, outcome=False):
        """Send a message to all of a group, or of a route, except those in `but`."""
        payload, opcode = _message(payload, opcode)
        meta = {"group": group} if group is not None else {"route": route}
        if but:
            meta["except"] = [conn_hex(c) for c in but]
        return self._command("publish", 0, payload, opcode, outcome, meta=meta)

    def close(self, conn, code=1000, reason="", outcome=False):
        return self._command("close", conn, outcome=outcome, meta={"code": code, "reason": reason})

    def accept(self, conn, subprotocol=None, headers=None, groups=None):
        meta = {"subprotocol": subprotocol, "headers": headers, "groups": groups}
        return self._command("accept", conn, meta={k: v for k, v in meta.items() if v is not None})

    def reject(self, conn, status=403, body=b"", headers=None):
        return self._command("reject", conn, body, meta={"status": status, "headers": headers or {}})

    def respond(self, conn, body=b"", status=200, headers=None, more=False, outcome=False):
        """Answer a request. With more=True go on with body()."""
        if isinstance(body, str):
            body = body.encode()
            headers = {"content-type": "text/plain; charset=utf-8", **(headers or {})}
        return self._command("respond", conn, body, 0, outcome, MORE if more else 0, {"status": status, "headers": headers or {}})

    def body(self, conn, data, more=True, outcome=False):
        return self._command("body", conn, data, 0, outcome, MORE if more else 0)

    def join(self, conn, *groups, outcome=False):
        return self._command("join", conn, outcome=outcome, meta={"groups": list(groups)})

    def leave(self, conn, *groups, outcome=False):
        return self._command("leave", conn, outcome=outcome, meta={"groups": list(groups)})

    def ping(self, conn, payload=b""):
        return self._command("ping", conn, payload)


def _message(payload, opcode):
    if isinstance(payload, str):
        return payload.encode(), opcode or TEXT
    return payload, opcode or BINARY


class Handler(Commands):
    """A registered handler: iterate over it for events, call it for commands."""

    def __init__(self, routes, bus=None, name=None, silence_ms=3000, context=None):
        super().__init__()
        self.routes, self.name = list(routes), name or os.path.basename(sys.argv[0]) or "python"
        self.epoch, self.id, self.level = None, None, "info"
        self.lost = 0  # commands that could not leave
        self._silence_ms = silence_ms
        self._out, self._out_bytes, self._events = [], 0, iter(())
        self._context = context or zmq.Context.instance()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.LINGER, 1000)
        self._socket.setsockopt(zmq.IMMEDIATE, 1)  # nothing waits for a gate that is not there: its ids would be stale
        self._socket.connect(_endpoint(bus, "handlers"))
        self._heard = time.monotonic()
        self._hello()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.disconnect()

    def __iter__(self):
        while True:
            event = self.read()
            if event is not None:
                yield event

    def read(self, timeout_ms=None):
        """The next event; None when there is none in time. Commands given since the last read leave first."""
        deadline = None if timeout_ms is None else time.monotonic() + timeout_ms / 1000
        while True:
            for event in self._events:
                if self._is_for_program(event):
                    return event
            self.flush()
            wait = self._silence_ms if deadline is None else min(self._silence_ms, max(0, (deadline - time.monotonic()) * 1000))
            if self._socket.poll(wait):
                self._heard = time.monotonic()
                self._events = self._decode(self._socket.recv_multipart())
            elif (time.monotonic() - self._heard) * 1000 >= self._silence_ms:
                self._heard = time.monotonic()
                self._hello()  # the gate pings every second: it has been restarted
            if deadline is not None and time.monotonic() >= deadline and not self._socket.poll(0):
                for event in self._events:
                    if self._is_for_program(event):
                        return event
                return None

    def flush(self, wait_ms=None):
        """Let what was commanded leave now, and not at the next read. Waits for room, not for ever."""
        if len(self._out) == 1:
            header, payload, meta = self._out[0]
            self._send([header, payload] + ([meta] if meta else []), wait_ms)
        elif self._out:
            data = b"".join(make_record(*parts) for parts in self._out)
            self._send([make_header(BATCH, size=len(data)), data], wait_ms)
        self._out, self._out_bytes = [], 0

    def log(self, level, text):
        """A line for the gate's log and for stderr, when the handler's level lets it pass."""
        if LEVELS.index(level) >= LEVELS.index(self.level):
            print("%s: %s" % (level, text), file=sys.stderr, flush=True)
            self._put(*encode("log", payload=text.encode(), code=LEVELS.index(level)))

    def fileno(self):
        """For an event loop: edge-triggered, so read(0) until it says None."""
        return self._socket.getsockopt(zmq.FD)

    def disconnect(self):
        if not self._socket.closed:
            self._put(*encode("bye"))
            self.flush(wait_ms=100)
            self._socket.close()

    def _send(self, parts, wait_ms):
        if self._socket.poll(self._silence_ms if wait_ms is None else wait_ms, zmq.POLLOUT):
            self._socket.send_multipart(parts)
        else:
            self.lost += len(self._out) or 1  # there is no gate, or it has not read for long

    def _put(self, header, payload, meta):
        self._out.append((header, payload, meta))
        self._out_bytes += len(payload) + len(meta) + 48
        if self._out_bytes >= BATCH_BYTES:
            self.flush()

    def _hello(self):
        meta = {"routes": self.routes, "name": self.name, "batch": True, "pid": os.getpid(), "language": "python", "level": self.level}
        self._put(*encode("hello", meta=meta))
        self.flush()

    def _decode(self, parts):
        try:
            fields, payload, meta = parse_parts(parts)
            records = parse_batch(payload) if fields[1] == BATCH else [(fields, payload, meta)]
            return iter([Event(*record) for record in records])
        except ValueError as error:  # no envelope, or metadata that is no JSON
            print("wsbus: malformed message: %s" % error, file=sys.stderr)
            return iter(())

    def _is_for_program(self, event):
        if event.type == "ping":
            self._put(*encode("pong", payload=event.payload, seq=event.seq))
            return False
        if event.type == "level":
            self.level = LEVELS[event.code] if event.code < len(LEVELS) else self.level
        elif event.type == "welcome":
            known, self.epoch, self.id = (self.epoch, self.id), event.meta.get("epoch"), event.meta.get("id")
            return known != (self.epoch, self.id)  # a gate that is asked twice says it twice: no news, no id is gone
        elif event.type == "error" and event.code == 5:
            self._hello()
            return False
        return True


class Subscriber:
    """Copies of events, of routes that publish. `topics` are prefixes: "chat", "chat data", "" for all."""

    def __init__(self, topics=("",), bus=None, context=None):
        self._socket = (context or zmq.Context.instance()).socket(zmq.SUB)
        for topic in topics:
            self._socket.setsockopt_string(zmq.SUBSCRIBE, topic)
        self._socket.connect(_endpoint(bus, "events"))

    def __iter__(self):
        while True:
            parts = self._socket.recv_multipart()
            try:
                yield parts[0].decode(), Event(*parse_parts(parts[1:]))
            except ProtocolError as error:
                print("wsbus: malformed message: %s" % error, file=sys.stderr)


class Commander(Commands):
    """Commands without registration: for subscribers, cron jobs, web applications. Nothing comes back."""

    def __init__(self, bus=None, context=None):
        super().__init__()
        self._socket = (context or zmq.Context.instance()).socket(zmq.PUSH)
        self._socket.setsockopt(zmq.LINGER, 1000)
        self._socket.connect(_endpoint(bus, "commands"))

    def _put(self, header, payload, meta):
        self._socket.send_multipart([header, payload] + ([meta] if meta else []))


def _endpoint(bus, name):
    """bus: a directory, ipc:///directory, a whole tcp:// endpoint, or None for the default directory."""
    if bus and bus.startswith("tcp://"):
        return bus
    if bus and bus.startswith("ipc://"):
        bus = bus[len("ipc://"):]
    return "ipc://%s/%s" % (runtime_dir(bus), name)
