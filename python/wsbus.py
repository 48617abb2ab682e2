"""The bus of wsbus for Python programs: one module, python3-zmq is all it needs.

    from wsbus import Handler

    with Handler(routes=["echo"]) as bus:
        for event in bus:
            if event.type == "data":
                bus.send(event.conn, event.payload, event.opcode)

The protocol is docs/protocol.md. Events and commands travel in batches, the gate's restart is noticed and answered by
a new HELLO (the program sees a "welcome" event with the new epoch), and a program that ends says BYE. One Handler belongs
to one thread.

By asking for the next event the program says that it is done with the one before: what it was not done with when it dies goes
to another handler, marked `redelivered`. The gate is told so behind the answers, and sends no more than `credit` ahead. A
connection that moved to another handler is not written to any more, from when the bus has said so and not only from when
the program has read it; what it still had to say is not read either. When the gate drains the handler, the iteration ends.

A signal that raises (Ctrl-C) may come in the middle of read() or of a command: do not go on with the Handler then, but end it. What
was not acknowledged goes to another handler.

A gate on another machine is "tcp://HOST:PORT". Then server_key is its public key, and key_file the file with our secret key,
which `wsgate --make-key` makes; without them WSBUS_SERVER_KEY and WSBUS_KEY_FILE of the environment are taken. With neither, nothing
is encrypted. docs/remote-handlers.md has more.

A Handler that finds no gate, may not enter, or names a route that the gate does not give it, says so on stderr: at once, after 10 s,
20 s, 40 s, and so on up to 5 minutes, and at once when the trouble becomes another one. on_trouble=FUNCTION gets these lines instead.
"""

import collections
import contextlib
import itertools
import json
import math
import os
import re
import select
import stat
import struct
import sys
import time

try:
    import zmq
except ModuleNotFoundError as missing:
    if missing.name != "zmq":
        raise
    raise ModuleNotFoundError(
        "wsbus needs the ZeroMQ binding pyzmq, and %s does not have it: install Debian's python3-zmq and run the handler with "
        "/usr/bin/python3, or run %s -m pip install pyzmq" % (sys.executable, sys.executable), name="zmq") from None

VERSION = 1
HEADER = struct.Struct("<BBBBIQQQ")
PREFIX = struct.Struct("<II")
PAIR = struct.Struct("<QQ")  # connection and seq, in ACK
TEXT, BINARY = 1, 2
META, MORE, REDELIVERED, WANT_OUTCOME, PENDING, PLAIN = 1, 2, 4, 8, 16, 32

EVENTS = {
    1: "welcome", 2: "open", 3: "data", 4: "closed", 5: "pong", 6: "request", 7: "body", 8: "aborted", 9: "outcome",
    10: "writable", 11: "revoked", 12: "ping", 13: "level", 14: "drain", 15: "error", 16: "members", 17: "joined",
    18: "left", 19: "dead-letter",
}
COMMANDS = {
    "hello": 64, "credit": 65, "ack": 66, "accept": 67, "reject": 68, "send": 69, "close": 70, "join": 71, "leave": 72,
    "publish": 73, "tag": 74, "respond": 75, "body": 76, "ping": 77, "pong": 78, "log": 79, "bye": 80,
    "list": 81, "working": 82,
}
BATCH = 127
OUTCOMES = ("written", "dropped", "gone", "stale", "too big", "refused", "invalid")
LEVELS = ("debug", "info", "wslog", "warn", "error")
PRIORITIES = {"debug": "<7>", "info": "<6>", "wslog": "<5>", "warn": "<4>", "error": "<3>"}
BATCH_BYTES = 256 << 10
HEARTBEAT_MS = 1000  # of ZeroMQ; over TCP the gate takes silence for death
CREDIT = (16384, 32 << 20)  # messages and bytes that the gate may send ahead
RETRY_MS = 100  # after the gate has not taken something
ACK_EVENTS, ACK_MS = 1024, 100  # acknowledged at least every so many, and by a slow program with the first after so long
INBOX_EVENTS = 4096  # taken ahead of a program that grants no credit, about
REFUSED_EVENTS = 65536  # outcomes of our own for a program that does not read, about
META_MAX = 4 << 20
TARGETS_A_COMMAND = 65536
WAITING_BYTES = 64 << 20  # of commands that the gate does not take, or that wait for its welcome
PAST_CONNS = 65536  # remembered of those that are others' now
PAID = frozenset(("data", "request", "body"))  # they cost credit
COUNTED = PAID | {"open", "aborted", "closed"}  # they have a seq of their connection
Z85 = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
KEY_FILE_BYTES = 1 << 20
REFUSED_MS = 5000  # until HELLO is said again to a gate that has refused it
HELLOS_MAX = 3  # without an answer: then it is told
LOCAL_RETRY_MS = 250  # at most between two looks for a gate on this host; each costs one connect()
TROUBLE_WHY, TROUBLE_ROUTES = 159, 8  # bytes of the gate's words, and routes, in a line about trouble
TROUBLE_FIRST_S, TROUBLE_LAST_S, TROUBLE_LEAST_S = 10, 300, 1
START_THERE = "start wsgate there, or name its runtime directory with WSBUS_DIR"
TROUBLES = {  # the words of libwsbus: tests/vectors/trouble.json
    "none": "registered with the gate at {where}",
    "up": "connected to the gate at {where}",
    "absent": "no gate at {where}: no socket is there; " + START_THERE,
    "denied": "no permission for the gate at {where}; run the handler as the gate's user or in its group, and see bus_mode of wsgate.conf",
    "deaf": "no gate at {where}: nobody listens there; {start}",
    "handshake": "the gate at {where} refuses the connection; look at its log, and set server_key and key_file if it wants keys",
    "key": "the gate at {where} refuses the connection; put our public key {key} on its list of keys, and compare server_key with the gate's",
    "refused": "the gate at {where} refuses the registration: {why}; correct the handler, or the gate's configuration",
    "mute": "the gate at {where} does not answer; look at its log",
}


# What may not leave to a terminal or a log: it moves the cursor, turns the text, or cannot be seen. The same list as the gate's.
UNPRINTABLE = re.compile("[\\x00-\\x1f\\x7f-\\x9f\\xad\\u061c\\u180e\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u206f\\ufeff\\ufff9-\\ufffb\\U000e0000-\\U000e0fff]")


def _say(level, text):
    """A line to stderr, one whatever is in it; the journal of systemd hears how grave it is: sd-daemon(3)."""
    text = UNPRINTABLE.sub(" ", text).encode(errors="replace").decode()
    print("%s%s" % (PRIORITIES[level] if _is_journal(sys.stderr) else "", text), file=sys.stderr, flush=True)


def _is_journal(stream):
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):  # closed, or no file at all
        return False
    return os.environ.get("JOURNAL_STREAM") == "%d:%d" % (found.st_dev, found.st_ino)


def _printable(data):
    """What may stand on a terminal and in a log of lines, of bytes that others have chosen."""
    return "".join(chr(byte) if 0x20 <= byte < 0x7f else "?" for byte in data)


def _cut(text, size):
    return text.encode(errors="replace")[:size]


class Trouble:
    """What keeps a handler from being registered, in one line, and when that line is due. It has no clock of its own."""

    def __init__(self, name, routes, endpoint, public_key=None, who=None):
        names = ", ".join("'%s'" % _printable(_cut(route, 64)) for route in routes[:TROUBLE_ROUTES])
        what = "no route" if not routes else ("routes " if len(routes) > 1 else "route ") + names
        self._who = who or "handler '%s' (%s%s)" % (_printable(_cut(name, 64)), what, ", ..." if len(routes) > TROUBLE_ROUTES else "")
        self._end_words = "up" if who else "none"
        self._is_local = endpoint.startswith("ipc://")
        self.where = os.path.dirname(endpoint[len("ipc://"):]) if self._is_local else endpoint
        self._key = public_key
        self._now = ("none", "")  # the trouble and the words about it
        self._is_told = False  # a line was due since the last registration
        self._told, self._again, self._interval = None, 0, 0

    def words(self, kind, why=""):
        words = TROUBLES["key" if kind == "handshake" and self._key else kind]
        start = START_THERE if self._is_local else "start wsgate there, or correct the address"
        return words.format(where=self.where, why=why, key=self._key, start=start)

    def line(self, kind, why=""):
        return "wsbus: %s: %s" % (self._who, self.words(kind, why))

    def note(self, kind, why, now):
        """What is wrong now, in seconds; the line when it is due, otherwise None."""
        why = _printable(_cut(why, TROUBLE_WHY))
        if kind == "none":
            return self._end(now)
        if (kind, why) != self._now:
            self._now, self._interval = (kind, why), 0
        is_early = self._told is not None and now - self._told < TROUBLE_LEAST_S
        if is_early or self._interval and now < self._again:
            return None
        self._interval = min(self._interval * 2 or TROUBLE_FIRST_S, TROUBLE_LAST_S)
        self._told, self._again, self._is_told = now, now + self._interval, True
        return self.line(kind, why)

    def _end(self, now):
        was_told, self._is_told, self._now, self._interval = self._is_told, False, ("none", ""), 0
        if not was_told:
            return None
        self._told = now
        return self.line(self._end_words)


def _tell(line, kind, on_trouble):
    if line and on_trouble is not None:
        on_trouble(line)
    elif line:
        _say("info" if kind == "none" else "warn", line)


class ForkedError(RuntimeError):
    """A Handler, Commander or Subscriber is used in a child of the process that made it: the connection is the parent's."""


class NoGateError(TimeoutError):
    """The gate has not taken a command in time; the text says what is wrong."""


class _Owned:
    """What belongs to the process that has made it. A child of that has the same descriptors, and would only take from its parent."""

    def __init__(self):
        self._pid = os.getpid()

    def _is_ours(self):
        return self._pid == os.getpid()

    def _check_process(self):
        if not self._is_ours():
            raise ForkedError("this %s belongs to process %d, and this is process %d: make another one behind fork()" % (
                type(self).__name__, self._pid, os.getpid()))


class ProtocolError(ValueError):
    """Bytes that are not an envelope."""


def _metadata(text):
    """The dict; an empty one of what Python cannot read: no message may end the program."""
    try:
        meta = json.loads(text) if text else {}
    except (ValueError, RecursionError) as error:
        print("wsbus: metadata that cannot be read: %s" % str(error)[:200], file=sys.stderr)
        meta = {}
    return meta if isinstance(meta, dict) else {}


class Event:
    """One event: type (a word), conn, opcode, seq, time_ns, flags, payload (bytes), meta (dict)."""

    __slots__ = ("type", "code", "flags", "conn", "seq", "time_ns", "payload", "meta")

    def __init__(self, head, payload, meta):
        self.type = EVENTS.get(head[1], str(head[1]))
        self.code, self.flags = head[2], head[3]
        self.conn, self.seq, self.time_ns = head[5], head[6], head[7]
        self.payload = payload
        self.meta = _metadata(meta)

    opcode = property(lambda self: self.code)
    text = property(lambda self: self.payload.decode())
    more = property(lambda self: bool(self.flags & MORE))
    pending = property(lambda self: bool(self.flags & PENDING))
    redelivered = property(lambda self: bool(self.flags & REDELIVERED))
    deliveries = property(lambda self: self.meta.get("deliveries", 2) if self.redelivered else 1)
    outcome = property(lambda self: OUTCOMES[self.code])
    members = property(lambda self: [int(conn, 16) for conn in self.meta.get("members", ())])

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


def parse_alone(data):
    """(fields, payload, metadata) of a message that came as one part; it may be a BATCH."""
    records = list(_parse_records(data, may_be_batch=True))
    if len(records) != 1:
        raise ProtocolError("%d records in one part" % len(records))
    return records[0]


def parse_batch(data):
    """Yield (fields, payload, metadata) for each record of a batch."""
    return _parse_records(data, may_be_batch=False)


def _parse_records(data, may_be_batch):
    at = 0
    while at < len(data):
        if len(data) - at < PREFIX.size + HEADER.size:
            raise ProtocolError("a record is cut short")
        size, meta_len = PREFIX.unpack_from(data, at)
        padded = (size + 7) & ~7
        if size < PREFIX.size + HEADER.size + meta_len or at + padded > len(data):
            raise ProtocolError("a record's lengths are not true")
        fields = parse_header(bytes(data[at + 8:at + 40]))
        if (fields[1] == BATCH and not may_be_batch) or fields[4] != size - 40 - meta_len or bool(fields[3] & META) != bool(meta_len):
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


def make_pairs(pairs):
    """The payload of ACK, of pairs of connection and seq."""
    return b"".join(PAIR.pack(conn, seq) for conn, seq in pairs)


def runtime_dir(wanted=None):
    """Where the gate's endpoints are: docs/protocol.md §1."""
    if wanted:
        return wanted
    named = os.environ.get("WSBUS_DIR") or os.environ.get("WSBUS_RUNTIME_DIR")  # a synonym
    if named:
        return named
    if os.access("/run/wsbus", os.X_OK):
        return "/run/wsbus"
    if os.environ.get("XDG_RUNTIME_DIR"):
        return os.path.join(os.environ["XDG_RUNTIME_DIR"], "wsbus")
    return "/tmp/wsbus-%d" % os.getuid()


def _trust_dir(directory):
    """Complain about a runtime directory that somebody else can have put there. One that is not there yet is made where everybody could."""
    parent, path = ("/" if directory.startswith("/") else "."), ""
    try:
        for name in filter(None, directory.split("/")):
            path = os.path.join(path or ("/" if directory.startswith("/") else ""), name)
            if os.stat(parent).st_mode & stat.S_IWOTH:
                with contextlib.suppress(OSError):
                    os.mkdir(path, 0o700)
                owner = os.lstat(path).st_uid
                if owner not in (0, os.geteuid()):
                    raise PermissionError("%s belongs to user %d, and everybody can make one in %s: name a directory that only root, or this "
                                          "user, can have made" % (path, owner, parent))
            parent = path
        mode = stat.S_IMODE(os.stat(parent).st_mode)
    except FileNotFoundError:
        return
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise PermissionError("runtime directory %s can be written by others than its owner (mode %04o)" % (directory, mode))


def is_key(word):
    """40 characters of Z85 that stand for 32 bytes."""
    if len(word) != 40 or any(c not in Z85 for c in word):
        return False
    fives = (word[at:at + 5] for at in range(0, 40, 5))
    return all(sum(Z85.index(c) * 85 ** (4 - i) for i, c in enumerate(five)) < 1 << 32 for five in fives)


def parse_key(text):
    """The one key of a key file; blank lines, and what follows a # in front of or behind the key, are not looked at."""
    key = None
    for number, line in enumerate(text.split(b"\n"), 1):
        word, *rest = line.split() or [b"#"]
        if word.startswith(b"#"):
            continue
        if not is_key(word) or rest and not rest[0].startswith(b"#"):
            raise ValueError("line %d: it does not begin with a key, 40 characters of Z85" % number)
        if key:
            raise ValueError("line %d: a second key; there can be one only" % number)
        key = word
    if not key:
        raise ValueError("there is no key in it")
    return key


def read_key(path):
    """The secret key of a file, which nobody else may be able to read."""
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:  # a pipe would make us wait
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise ValueError("%s: not a file" % path)
        if found.st_uid not in (os.geteuid(), 0):
            raise PermissionError("%s: it belongs to somebody else (uid %d)" % (path, found.st_uid))
        ours = found.st_uid == os.geteuid()  # one of root's may be its group's to read
        if found.st_mode & (0o077 if ours else 0o037):
            raise PermissionError("%s: others than its owner can %s it (mode %04o): chmod %s it" % (
                path, "read" if found.st_mode & 0o044 else "open", stat.S_IMODE(found.st_mode), "0600" if ours else "0640"))
        text = file.read(KEY_FILE_BYTES + 1)
    if len(text) > KEY_FILE_BYTES:
        raise ValueError("%s: larger than 1 MiB" % path)
    try:
        return parse_key(text)
    except ValueError as error:
        raise ValueError("%s: %s" % (path, error)) from None


def conn_hex(conn):
    return "%016x" % conn


def encode(type_name, conn=0, payload=b"", code=0, flags=0, seq=0, meta=None):
    """(header, payload, metadata) of a command."""
    data = json.dumps(meta, separators=(",", ":")).encode() if meta else b""
    if len(data) > META_MAX:  # the gate would drop the whole batch
        raise ValueError("%s: %d bytes of metadata are more than a command has, %d" % (type_name, len(data), META_MAX))
    flags |= META if data else 0
    return make_header(COMMANDS[type_name], code, flags, len(payload), conn, seq), payload, data


class Commands(_Owned):
    """What a program can tell the gate; how it travels is up to the class below."""

    def __init__(self):
        super().__init__()
        self._seq = 0

    def _put(self, record, conn=0, names_conns=False):
        raise NotImplementedError

    def _command(self, name, conn=0, payload=b"", code=0, outcome=False, flags=0, meta=None):
        payload = _octets(name, payload)
        self._seq += 1
        if outcome:
            flags |= WANT_OUTCOME
        names_conns = bool(conn) or bool(meta and "to" in meta)
        self._put(encode(name, conn, payload, code, flags, self._seq, meta), conn, names_conns)
        return self._seq

    def send(self, conn, payload, opcode=None, outcome=False, slow=None, key=None, plain=False):
        """Send a message to one connection, or to an iterable of them. str is text, bytes are binary.

        slow: "close", "drop-new", "drop-old" or "conflate" (of one key), for a client that does not read.
        plain: not compressed, whatever was agreed with the client."""
        payload, opcode = _message(payload, opcode)
        meta = _there(slow=slow, key=key)
        if isinstance(conn, int):
            return self._command("send", conn, payload, opcode, outcome, PLAIN if plain else 0, meta)
        conns, sent = [conn_hex(c) for c in conn], 0
        for at in range(0, max(len(conns), 1), TARGETS_A_COMMAND):
            self._seq -= at > 0  # outcomes tell the same number for all of them
            sent = self._command(
                "send", 0, payload, opcode, outcome, PLAIN if plain else 0, {"to": conns[at:at + TARGETS_A_COMMAND], **meta})
        return sent

    def publish(self, payload, group=None, route=None, but=(), opcode=None, outcome=False, user=None, tag=None, all=False,
                slow=None, key=None, plain=False):
        """Send a message to a group, a route, a user, to who has a tag, or to all; one of these. Not to those in `but`, 65,536 at most."""
        payload, opcode = _message(payload, opcode)
        meta = {**_audience(group=group, route=route, user=user, tag=tag, all=all or None), **_there(slow=slow, key=key)}
        if but:
            meta["except"] = [conn_hex(c) for c in but]
            if len(meta["except"]) > TARGETS_A_COMMAND:
                raise ValueError("publish: `but` has %d connections, and may have %d" % (len(meta["except"]), TARGETS_A_COMMAND))
        return self._command("publish", 0, payload, opcode, outcome, PLAIN if plain else 0, meta)

    def tag(self, conn, *tags, unset=(), user=None, outcome=False):
        """Mark a connection with tags, take others away, and say whose it is ("" is nobody's)."""
        meta = _there(set=list(tags) or None, unset=list(unset) or None, user=user)
        return self._command("tag", conn, outcome=outcome, meta=meta)

    def close(self, conn, code=1000, reason="", outcome=False):
        return self._command("close", conn, outcome=outcome, meta={"code": code, "reason": reason})

    def accept(self, conn, subprotocol=None, headers=None, groups=None, user=None, tags=None):
        headers = None if headers is None else _fields(headers)
        meta = _there(subprotocol=subprotocol, headers=headers, groups=groups, user=user, tags=tags)
        return self._command("accept", conn, meta=meta)

    def reject(self, conn, status=403, body=b"", headers=None):
        return self._command("reject", conn, body, meta={"status": status, "headers": _fields(headers)})

    def respond(self, conn, body=b"", status=200, headers=None, more=False, outcome=False):
        """Answer a request. With more=True go on with body().

        headers: a dict, or pairs; a list stands for several fields of one name. Names that differ in case are one name."""
        fields = _fields(headers)
        if isinstance(body, str):
            body = body.encode()
            if not any(name.lower() == "content-type" for name in fields):
                fields["content-type"] = "text/plain; charset=utf-8"
        return self._command("respond", conn, body, 0, outcome, MORE if more else 0, {"status": status, "headers": fields})

    def continue_(self, conn, outcome=False):
        """Ask for the body of a request with meta["expect_continue"], of a route with expect = handler: it comes as "body" events."""
        return self._command("respond", conn, outcome=outcome, meta={"status": 100})

    def body(self, conn, data, more=True, outcome=False, at=None):
        """More of a response. at: the byte of the body with which it begins, from the first one of respond() on. Such a part is refused
        while the client's queue is full, and so is all behind it; then "writable" comes, and meta["at"] is where to go on. Without
        it the exchange ends."""
        return self._command("body", conn, data, 0, outcome, MORE if more else 0, None if at is None else {"at": at})

    def join(self, conn, *groups, outcome=False):
        return self._command("join", conn, outcome=outcome, meta={"groups": list(groups)})

    def leave(self, conn, *groups, outcome=False):
        return self._command("leave", conn, outcome=outcome, meta={"groups": list(groups)})

    def ping(self, conn, payload=b""):
        return self._command("ping", conn, payload)


def _there(**fields):
    return {name: value for name, value in fields.items() if value is not None}


def _fields(headers):
    """One entry for each name, whatever its case, as it was written first; a list where there are several values."""
    names, fields = {}, {}
    for name, given in headers.items() if hasattr(headers, "items") else headers or ():
        values = list(given) if isinstance(given, (list, tuple)) else [given]
        fields.setdefault(names.setdefault(name.lower(), name), []).extend(values)
    return {name: values[0] if len(values) == 1 else values for name, values in fields.items()}


def _audience(**fields):
    meta = _there(**fields)
    if len(meta) != 1:
        raise ValueError("one of %s, please" % ", ".join(fields))
    return meta


def _size(record):
    """About what a command takes in a batch."""
    return len(record[1]) + len(record[2]) + 48


def _batches(records):
    """Cut where a batch is large; one that is larger by itself stays whole."""
    batch, size = [], 0
    for record in records:
        if batch and size + _size(record) > BATCH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(record)
        size += _size(record)
    if batch:
        yield batch


def _octets(command, payload):
    """Return the payload as bytes of its own, str as UTF-8. Raise TypeError for anything else here, where the program's mistake is:
    the batch that the command is put into belongs to other commands too."""
    if isinstance(payload, bytes):
        return payload
    if isinstance(payload, str):
        return payload.encode()
    if isinstance(payload, (bytearray, memoryview)):
        return bytes(payload)
    raise TypeError("%s: the payload is bytes or str, not %s" % (command, type(payload).__name__))


def _message(payload, opcode):
    if isinstance(payload, str):
        return payload.encode(), opcode or TEXT
    return payload, opcode or BINARY


def _kinds(kinds):
    kinds = [kinds] if isinstance(kinds, str) else list(kinds)
    if not kinds or not set(kinds) <= {"websocket", "http"}:
        raise ValueError("kinds: \"websocket\", \"http\" or both, not %r" % (kinds,))
    return kinds


class _Link:
    """What ZeroMQ tells of a socket's connection: whether it is there, and otherwise what is wrong."""

    EVENTS = (zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED | zmq.EVENT_CONNECT_RETRIED
              | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_AUTH)
    _numbers = itertools.count()

    def __init__(self, context, socket, endpoint):
        """To be made before the socket is connected."""
        self._path = endpoint[len("ipc://"):] if endpoint.startswith("ipc://") else None
        self._socket = socket
        self._monitor = context.socket(zmq.PAIR)
        self._monitor.linger = 0
        self._monitor.rcvhwm = 0  # ZeroMQ's thread would wait for room; it grows by some lines an attempt to connect
        address = "inproc://wsbus-%d-%d" % (id(socket), next(self._numbers))
        socket.monitor(address, self.EVENTS)
        self._monitor.connect(address)
        self.is_up, self._kind, self._is_retry_late = False, None, False
        self.has_news = False
        self._fd, self._pollers = None, {}

    def poll(self, wait_ms, flags=zmq.POLLIN):
        """Wait for the socket, or for news. True when it is the socket that is ready."""
        ready = dict(self._poller_of(flags).poll(wait_ms))
        self.has_news = self.has_news or self._monitor in ready
        return self._socket in ready

    def _poller_of(self, flags):
        if flags not in self._pollers:
            poller = self._pollers[flags] = zmq.Poller()
            poller.register(self._socket, flags)
            poller.register(self._monitor, zmq.POLLIN)
        return self._pollers[flags]

    def changes(self):
        """The changes of the link, in order: "up" and "down"."""
        self.has_news = False
        while self._monitor.poll(0):
            event = struct.unpack_from("=H", self._monitor.recv_multipart()[0])[0]
            if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                self.is_up, self._kind, self._is_retry_late = True, None, False
                yield "up"
            elif event == zmq.EVENT_DISCONNECTED:
                self.is_up, self._is_retry_late = False, True
                yield "down"
            elif event == zmq.EVENT_CONNECT_RETRIED:  # also told at the beginning of the pause behind a connection that has ended
                self._kind = self._kind if self._is_retry_late else "deaf"
                self._is_retry_late = False
            else:
                self._kind, self._is_retry_late = "handshake", True

    def trouble(self):
        """What is wrong; None as long as that is not known."""
        return self.look() if self._kind == "deaf" else self._kind

    def look(self):
        """ZeroMQ does not say why it cannot connect; a look at the socket does."""
        if self._path is None:
            return "deaf"
        if os.access(self._path, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
            return "deaf"
        try:
            os.stat(self._path)
        except (FileNotFoundError, NotADirectoryError):
            return "absent"
        except OSError:
            pass
        return "denied"

    def fileno(self):
        if self._fd is None:
            self._fd = select.epoll()
            for socket in (self._socket, self._monitor):
                self._fd.register(socket.getsockopt(zmq.FD), select.EPOLLIN)
        return self._fd.fileno()

    def close(self):
        if self._fd is not None:
            self._fd.close()
        self._socket.disable_monitor()  # first: libzmq leaks what it cannot tell a monitor any more
        self._monitor.close()


def _routes(routes):
    """A list of at least one name. A str has letters, which are no names of routes."""
    if isinstance(routes, (str, bytes)) or not (names := list(routes)):
        raise ValueError("routes: a list of at least one name, not %r" % (routes,))
    return names


class Handler(Commands):
    """A registered handler: iterate over it for events, call it for commands.

    ack=False: each message at most once, and no more of it. manual_ack: events are done with when ack() says so. credit: messages
    and bytes that the gate may send ahead; None: it does not count, and a program that is far behind hears late what the gate takes
    away. presence: "joined" and "left" events come. weight: how many connections, compared with
    other handlers. kinds: what the program serves on its routes, of "websocket" and "http"; None: both. Clients of the other kind go
    to other handlers, or are answered 426 or 404 at once where there are none. on_trouble: called with each line about a
    registration that does not come about, instead of stderr; in the middle of a call, so it must not use the Handler.
    """

    def __init__(self, routes, bus=None, name=None, silence_ms=3000, context=None, ack=True, manual_ack=False, credit=CREDIT,
                 presence=False, weight=1, server_key=None, key_file=None, kinds=None, on_trouble=None):
        super().__init__()
        self.routes, self.name = _routes(routes), name or os.path.basename(sys.argv[0]) or "python"
        self.epoch, self.id, self.level = None, None, "info"  # of the last welcome that was read
        self.lost = 0  # commands for which there was no room any more
        self.max_message = sys.maxsize  # bytes that the gate takes in one message or response; it says so in "welcome"
        self._is_deaf = False  # the gate did not take the last that we had to say
        self.stale = 0  # commands for connections that are others' now
        self._terms = {"ack": ack, "presence": presence, "weight": weight}
        if kinds is not None:
            self._terms["kinds"] = _kinds(kinds)
        self._acks, self._manual, self._credit = ack, manual_ack, credit
        self._silence_ms = silence_ms
        self._out, self._out_bytes = [], 0  # (record, connection, names connections)
        self._inbox = collections.deque()
        self._refused = []  # outcomes of our own, behind what they are about
        self._is_torn = False  # an exception left half a message behind
        self._given = None  # epoch and id of the last welcome that came, read or not
        self._forgotten = False  # the gate said that it does not know us
        self._unsure = False  # nobody knows: what is commanded waits for the welcome
        self._revoked = collections.Counter()  # connections that were taken away, which the program has not read yet
        self._conns, self._past = set(), {}  # the program's, and those that were
        self._held = None  # the event that the program has
        self._done = {}  # connection -> seq, not told yet
        self._done_events, self._flushed = 0, time.monotonic()  # since the last flush, and when that was
        self._taken_messages = self._taken_bytes = 0  # not granted again yet
        self._context = context or zmq.Context.instance()
        options = {zmq.LINGER: 1000, zmq.IMMEDIATE: 1}  # nothing waits for a gate that is not there: its ids would be stale
        if credit:  # credit bounds what may come, so no queue of ZeroMQ's must: a full one and a heartbeat do not get on
            options.update({zmq.RCVHWM: 0, zmq.HEARTBEAT_IVL: HEARTBEAT_MS, zmq.HEARTBEAT_TIMEOUT: 10 * HEARTBEAT_MS})
            self._terms["heartbeat_ms"] = HEARTBEAT_MS
        endpoint = _endpoint(bus, "handlers")
        keys = _keys(endpoint, server_key, key_file)  # before there is something to close
        self._socket = _socket(self._context, zmq.DEALER, endpoint, keys, options)
        self._link = _Link(self._context, self._socket, endpoint)
        self._on_trouble = on_trouble
        self._trouble = Trouble(self.name, self.routes, endpoint, keys[1].decode() if keys else None)
        self._hello_seq, self._hellos = None, 0  # of the last one, and how many have had no answer
        self._hello_at, self._is_hello_due = 0, False
        self._first_hello = 0  # to this connection
        self._refusal = None  # the gate's words about our HELLO
        self._heard = time.monotonic()
        self._socket.connect(endpoint)
        self._await_gate()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.disconnect()

    def __iter__(self):
        while True:
            event = self.read()
            if event is not None and event.type == "drain" and not event.more:
                return  # nothing is left to do
            if event is not None:
                yield event

    def read(self, timeout_ms=None):
        """The next event; None when there is none in time. Commands given since the last read leave first."""
        self._check_process()
        if self._is_torn:
            raise RuntimeError("an exception has interrupted this Handler: it can only be disconnected")
        self._finish()
        deadline = None if timeout_ms is None else time.monotonic() + timeout_ms / 1000
        while True:
            event = self._next()
            if event is not None:
                return event
            self.flush(self._patience())
            if self._inbox:
                continue
            if self._refused:  # nothing else may come
                self._inbox.extend(self._refused)
                self._refused.clear()
                continue
            self._take(self._wait_ms(deadline))
            self._ask_again_when_due()
            if deadline is not None and time.monotonic() >= deadline and not self._take() and not self._inbox:
                return None

    def ack(self, conn, seq):
        """With manual_ack: done with this event of the connection, and all before it. It is told when the rest leaves."""
        self._check_process()
        if self._given and not self._is_stale(conn):
            self._note(conn, seq)

    def list(self, group=None, route=None, user=None, tag=None, limit=1000):
        """Who is in a group, on a route, a user's, or has a tag: "members" events of the number that is returned."""
        return self._command("list", meta={**_audience(group=group, route=route, user=user, tag=tag), "limit": limit})

    def flush(self, wait_ms=None):
        """Let what was commanded leave now, and not at the next read. Waits for room, not for ever."""
        self._check_process()
        self._take()  # first: it may be about connections that were taken away meanwhile
        self._done_events, self._flushed = 0, time.monotonic()
        if not self._unsure:
            self._leave(wait_ms)

    def working(self):
        """Say that the program still works on its event: the gate's `ack_timeout` begins anew. Leaves at once."""
        self._command("working")
        self.flush(0)

    def log(self, level, text):
        """A line for the gate's log and for stderr, when the handler's level lets it pass."""
        if LEVELS.index(level) >= LEVELS.index(self.level):
            _say(level, "%s: %s" % (level, text))
            self._put(encode("log", payload=text.encode(), code=LEVELS.index(level)))

    def fileno(self):
        """For an event loop: edge-triggered, so read(0) until it says None."""
        self._check_process()
        return self._link.fileno()

    def disconnect(self):
        """Say BYE. The event that the program still has is not done with: another handler gets it. In a forked child: nothing."""
        if self._is_ours() and not self._socket.closed:
            self.flush(wait_ms=100)
            self._send([*encode("bye")[:2]], 100)
            self._link.close()
            self._socket.close()

    # --- out

    def _command(self, name, conn=0, payload=b"", code=0, outcome=False, flags=0, meta=None):
        self._check_process()
        payload = _octets(name, payload)
        if len(payload) > self.max_message and outcome:
            self._seq += 1
            self._tell_outcome(encode(name, conn, b"", code, flags | WANT_OUTCOME, self._seq, None), conn, "too big",
                               b'{"reason":"larger than max_message of every route"}')
            return self._seq
        if len(payload) > self.max_message:  # the gate would hang up
            raise ValueError("%s: %d bytes are more than this gate takes in one piece, %d (max_message of its routes)" % (
                name, len(payload), self.max_message))
        seq = super()._command(name, conn, payload, code, outcome, flags, meta)
        if name in ("respond", "body") and not flags & MORE:
            self._conns.discard(conn)  # the gate says nothing more about it
        return seq

    def _put(self, record, conn=0, names_conns=False):
        self._check_process()
        if names_conns and self._is_stale(conn):
            self._refuse(record, conn)
            return
        if self._out and self._out_bytes + _size(record) > WAITING_BYTES:  # alone, one may be as large as the gate takes it
            self._lose(record, conn)
            return
        self._out.append((record, conn, names_conns))
        self._out_bytes += _size(record)
        is_soon = self._is_deaf and (time.monotonic() - self._flushed) * 1000 < RETRY_MS
        if self._out_bytes >= BATCH_BYTES and not is_soon:  # to a gate that takes nothing not with every command
            self.flush(self._patience())

    def _patience(self):
        """For a gate that takes nothing we have waited once; now it is asked again from time to time."""
        return 0 if self._is_deaf else None

    def _is_stale(self, conn):
        """Is it about connections that belong to others, as far as the bus has told us?"""
        is_told = self.epoch is None or self._given == (self.epoch, self.id)
        return self._forgotten or not is_told or self._revoked[conn] > 0 or conn in self._past

    def _refuse(self, record, conn):
        self.stale += 1
        self._tell_outcome(record, conn, "stale", b'{"reason":"the connection is another handler\'s"}')

    def _lose(self, record, conn):
        """Nobody takes it, and memory has an end."""
        self.lost += 1
        self._tell_outcome(record, conn, "dropped", b'{"reason":"too much waits for the gate"}')

    def _tell_outcome(self, record, conn, outcome, meta):
        fields = parse_header(record[0])
        if fields[3] & WANT_OUTCOME and len(self._inbox) + len(self._refused) < REFUSED_EVENTS:
            head = (VERSION, 9, OUTCOMES.index(outcome), META, 0, conn, fields[6], 0)
            self._refused.append(Event(head, b"", meta))

    def _leave(self, wait_ms=None):
        """What was commanded leaves, and behind it what the gate is told about events: never in front of it. What finds no room
        stays: an event must not be acknowledged whose answer was thrown away."""
        wait_ms = wait_ms if self._out else 0
        records = (record for record, _, _ in list(self._out))  # much may wait, and only its beginning leave
        for batch in _batches(itertools.chain(records, self._news())):
            self._is_deaf = not self._send_batch(batch, wait_ms)
            if self._is_deaf:  # there is no gate, or it has not read for long
                return
            self._out_bytes -= sum(_size(record) for record, _, _ in self._out[:len(batch)])
            del self._out[:len(batch)]
        self._have_told()

    def _send_batch(self, batch, wait_ms):
        if len(batch) == 1:
            header, payload, meta = batch[0]
            return self._send([header, payload] + ([meta] if meta else []), wait_ms)
        data = b"".join(make_record(*record) for record in batch)
        return self._send([make_header(BATCH, size=len(data)), data], wait_ms)

    def _send(self, parts, wait_ms=None):
        if self._is_torn or not self._link.is_up:
            return False
        if not self._link.poll(self._silence_ms if wait_ms is None else wait_ms, zmq.POLLOUT):
            return False
        self._is_torn = True  # by a signal that raises in here, and then nothing can be said behind it
        self._socket.send_multipart(parts)
        self._is_torn = False
        return True

    def _hello(self):
        meta = {"routes": self.routes, "name": self.name, "batch": True, "records": True, "pid": os.getpid(), "language": "python",
                "level": self.level, **self._terms}
        if self._credit:
            meta["credit"] = {"messages": self._credit[0], "bytes": self._credit[1]}
        self._seq += 1
        self._hello_seq, self._hello_at, self._refusal = self._seq, time.monotonic(), None
        self._hellos += 1
        self._is_hello_due = not self._send([*encode("hello", seq=self._seq, meta=meta)])

    def _ask_again(self):
        if self._given and not self._forgotten and not self._unsure:
            self._leave(self._patience())  # in front of the HELLO: for whoever the gate takes us for until then
            self._unsure = True
        self._hello()

    def _ask_again_when_due(self):
        """A gate that has refused us may have changed its mind; one that is silent does not know us: it pings every second."""
        now = time.monotonic()
        if self._refusal is not None:
            is_due = (now - self._hello_at) * 1000 >= REFUSED_MS
        else:
            is_due = self._is_hello_due or (now - self._heard) * 1000 >= self._silence_ms
        if is_due:
            self._heard = now
        if is_due and self._link.is_up:
            self._ask_again()
            self._note_trouble()

    def _wait_ms(self, deadline):
        """Until the program wants to go on, or there is something to do for us."""
        now = time.monotonic()
        wait = self._silence_ms if deadline is None else min(self._silence_ms, max(0, (deadline - now) * 1000))
        if self._refusal is not None:
            wait = min(wait, max(0, REFUSED_MS - (now - self._hello_at) * 1000))
        return min(wait, RETRY_MS) if self._is_deaf or self._is_hello_due else wait

    # --- the gate

    def _await_gate(self):
        """Say HELLO to a gate that is there; one that is not is not waited for."""
        until = time.monotonic() + self._silence_ms / 1000
        while not self._link.is_up and self._link.trouble() is None and time.monotonic() < until:
            self._link.poll((until - time.monotonic()) * 1000)
            self._follow_link()

    def _follow_link(self):
        """Whoever is behind a new connection knows nobody yet: HELLO is said at once."""
        for change in self._link.changes():
            self._hellos, self._refusal, self._is_hello_due = 0, None, False
            if self._given is not None:
                self._forget()
                self._forgotten = True
            self._unsure, self._first_hello = False, self._seq + 1
            if change == "up":
                self._heard = time.monotonic()
                self._hello()
        self._note_trouble()

    def _note_trouble(self):
        """What is not decided yet, as while HELLO is under way, changes nothing."""
        kind, why = None, ""
        if not self._link.is_up:
            kind = self._link.trouble()
        elif self._given is not None and not self._forgotten and not self._unsure:
            kind = "none"
        elif self._refusal is not None:
            kind, why = "refused", self._refusal
        elif self._hellos > HELLOS_MAX:
            kind = "mute"
        _tell(kind and self._trouble.note(kind, why, time.monotonic()), kind, self._on_trouble)

    # --- in

    def _take(self, wait_ms=0):
        """Take what has arrived; True when something has."""
        taken = False
        while self._has_room() and self._link.poll(0 if taken else wait_ms):
            taken = True
            self._heard = time.monotonic()
            self._is_torn = True  # by a signal that raises in here: what it loses must not be acknowledged with what comes behind it
            events = self._decode(self._socket.recv_multipart())
            self._is_torn = False
            self._inbox.extend(event for event in events if self._look_at(event))
        if self._link.has_news and not self._is_torn:  # behind all that has come of the connection before
            self._follow_link()
        self._inbox.extend(self._refused)
        self._refused.clear()
        return taken

    def _has_room(self):
        return not self._is_torn and (self._credit or len(self._inbox) < INBOX_EVENTS)  # credit bounds it

    def _decode(self, parts):
        try:
            fields, payload, meta = parse_alone(parts[0]) if len(parts) == 1 else parse_parts(parts)
            records = parse_batch(payload) if fields[1] == BATCH else [(fields, payload, meta)]
            return [Event(*record) for record in records]
        except ValueError as error:  # no envelope, or metadata that is no JSON
            _say("warn", "wsbus: malformed message: %s" % error)
            return []

    def _look_at(self, event):
        """What is for this class and not for the program, as soon as it has come; True when the program has to see it."""
        if event.type == "ping":
            self._send([*encode("pong", payload=event.payload, seq=event.seq)[:2]], 0)
            return False
        if event.type == "level":
            self.level = LEVELS[event.code] if event.code < len(LEVELS) else self.level
        elif event.type == "welcome":
            if 0 < event.seq < self._first_hello:
                return False  # of the connection before
            given = event.meta.get("epoch"), event.meta.get("id")
            if self._given not in (None, given):
                self._forget()
            self._given, self._forgotten, self._unsure = given, False, False
            self._hellos, self._refusal, self._is_hello_due = 0, None, False
            self._note_trouble()
            self.max_message = event.meta.get("max_message", sys.maxsize)
        elif event.type == "error" and event.code == 5:
            if not self._forgotten:
                self._forget()
                self._forgotten = self._given is not None
                self._unsure = False
                self._hello()
            return False
        elif event.type == "error" and event.seq == self._hello_seq:
            self._hellos, self._refusal = 0, event.payload.decode(errors="replace")
            self._note_trouble()
        elif event.type == "revoked":
            self._revoked[event.conn] += 1
            self._done.pop(event.conn, None)
            self._drop(lambda conn, names_conns: conn == event.conn)
        return True

    def _forget(self):
        """The registration is over: what was to be said in it is about connections that others have now."""
        self._done.clear()
        self._held = None
        self._taken_messages = self._taken_bytes = 0
        self._drop(lambda conn, names_conns: names_conns)

    def _drop(self, is_stale):
        out, self._out = self._out, []
        for record, conn, names_conns in out:
            if is_stale(conn, names_conns):
                self._out_bytes -= _size(record)
                self._refuse(record, conn)
            else:
                self._out.append((record, conn, names_conns))

    def _next(self):
        """The next event that the program has to see."""
        while self._inbox:
            event = self._inbox.popleft()
            if event.type in PAID and self._is_current():
                self._taken_messages += 1
                self._taken_bytes += len(event.payload)
            if self._follow(event) and not self._is_over(event):
                if event.type in COUNTED and self._acks and not self._manual:
                    self._held = event
                return event
        return None

    def _is_over(self, event):
        """Nobody waits for what the program does about it: another handler has it."""
        return event.type in COUNTED and (not self._is_current() or self._revoked[event.conn] > 0)

    def _follow(self, event):
        """Keep account of what the program has been told. False: it need not be."""
        if event.type == "welcome":
            given = event.meta.get("epoch"), event.meta.get("id")
            if given == (self.epoch, self.id):
                return False  # a gate that is asked twice says it twice: no news, no id is gone
            self.epoch, self.id = given
            self._remember(self._conns)
            self._conns.clear()
        elif event.type in ("open", "request", "writable"):  # the last: also where the end of a response was refused
            self._conns.add(event.conn)
            self._past.pop(event.conn, None)
        elif event.type in ("closed", "aborted"):
            self._conns.discard(event.conn)
        elif event.type == "revoked":
            self._revoked[event.conn] -= 1
            if self._revoked[event.conn] <= 0:
                del self._revoked[event.conn]
            self._conns.discard(event.conn)
            self._remember([event.conn])
        return True

    def _remember(self, conns):
        self._past.update(dict.fromkeys(conns))
        for conn in list(itertools.islice(self._past, max(0, len(self._past) - PAST_CONNS))):
            del self._past[conn]

    # --- acknowledgement and credit

    def _is_current(self):
        """What the program has in its hands is of the registration that we have."""
        return self._given is not None and self._given == (self.epoch, self.id) and not self._forgotten

    def _finish(self):
        """The program is done with the event it has; and one that takes its time lets go and listens in between."""
        event, self._held = self._held, None
        if event is not None and self._is_current() and not self._revoked[event.conn]:
            self._note(event.conn, event.seq)
        if self._done_events >= ACK_EVENTS or (time.monotonic() - self._flushed) * 1000 >= ACK_MS:
            self.flush()

    def _note(self, conn, seq):
        self._done[conn] = max(seq, self._done.get(conn, 0))
        self._done_events += 1

    def _news(self):
        """What is done with, and more credit when half of it has been used."""
        news = []
        if self._done:
            news.append(encode("ack", payload=make_pairs(self._done.items())))
        if self._is_credit_due():
            news.append(encode("credit", meta={"messages": self._taken_messages, "bytes": self._taken_bytes}))
        return news

    def _have_told(self):
        self._done = {}
        if self._is_credit_due():
            self._taken_messages = self._taken_bytes = 0

    def _is_credit_due(self):
        messages, size = self._taken_messages, self._taken_bytes
        return bool(self._credit and messages) and (messages >= self._credit[0] // 2 or size >= self._credit[1] // 2)


class Subscriber(_Owned):
    """Copies of events, of routes that publish. `topics` are prefixes: "chat", "chat data", "" for all.

    A gate that is not there, or does not let it in, is told as by a Handler, while the program waits for the next event."""

    def __init__(self, topics=("",), bus=None, context=None, server_key=None, key_file=None, on_trouble=None):
        super().__init__()
        endpoint = _endpoint(bus, "events")
        keys = _keys(endpoint, server_key, key_file)
        context = context or zmq.Context.instance()
        self._socket = _socket(context, zmq.SUB, endpoint, keys)
        self._link = _Link(context, self._socket, endpoint)
        self._on_trouble = on_trouble
        self._trouble = Trouble("", (), endpoint, keys[1].decode() if keys else None, "a subscriber of events")
        for topic in topics:
            self._socket.setsockopt_string(zmq.SUBSCRIBE, topic)
        self._socket.connect(endpoint)

    def _wait(self):
        """For an event; as long as the socket's RCVTIMEO says."""
        while not self._link.poll(self._socket.rcvtimeo):
            if not self._link.has_news:
                return
            for _ in self._link.changes():
                pass
            kind = "none" if self._link.is_up else self._link.trouble()
            _tell(kind and self._trouble.note(kind, "", time.monotonic()), kind, self._on_trouble)

    def __iter__(self):
        while True:
            self._check_process()
            self._wait()
            parts = self._socket.recv_multipart()
            try:
                yield parts[0].decode(), Event(*parse_parts(parts[1:]))
            except ProtocolError as error:
                _say("warn", "wsbus: malformed message: %s" % error)


class Commander(Commands):
    """Commands without registration: for subscribers, cron jobs, web applications. Nothing comes back.

        with Commander() as commands:
            commands.publish("hello", group="all")

    A command waits for a gate that takes it, `timeout` seconds at most (None: for ever; 0: not at all), and is a NoGateError then.
    disconnect() gives as long to what is still on its way. One Commander belongs to one thread, and to the process that made it.
    """

    def __init__(self, bus=None, context=None, server_key=None, key_file=None, timeout=10.0):
        super().__init__()
        endpoint = _endpoint(bus, "commands")
        keys = _keys(endpoint, server_key, key_file)
        self._timeout = timeout
        self._own_context = zmq.Context() if context is None else None  # to wait for the end of what was sent
        # IMMEDIATE: nothing is taken for a gate that is not there, and thrown away later without a word
        self._socket = _socket(context or self._own_context, zmq.PUSH, endpoint, keys, {zmq.LINGER: 1000, zmq.IMMEDIATE: 1})
        self._link = _Link(context or self._own_context, self._socket, endpoint)
        self._trouble = Trouble("", (), endpoint, keys[1].decode() if keys else None)
        self._socket.connect(endpoint)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.disconnect()

    def disconnect(self):
        """Let what was commanded leave, no longer than `timeout`. Idempotent; in a forked child it does nothing."""
        if self._is_ours() and not self._socket.closed:
            self._link.close()
            self._socket.close(linger=-1 if self._timeout is None else math.ceil(self._timeout * 1000))
            if self._own_context is not None:
                self._own_context.term()

    def _put(self, record, conn=0, names_conns=False):
        self._check_process()
        if self._socket.closed:
            raise RuntimeError("this Commander is disconnected")
        header, payload, meta = record
        until = math.inf if self._timeout is None else time.monotonic() + self._timeout
        while not self._try([header, payload] + ([meta] if meta else []), until):
            if time.monotonic() >= until:
                raise NoGateError("the gate at %s takes no commands" % self._trouble.where if self._link.is_up
                                  else self._trouble.words(self._link.trouble() or self._link.look()))

    def _try(self, parts, until):
        is_ready = self._link.poll(max(0, min(until - time.monotonic(), 60)) * 1000, zmq.POLLOUT)
        for _ in self._link.changes() if self._link.has_news else ():
            pass
        if not is_ready:
            return False
        try:
            self._socket.send_multipart(parts, zmq.NOBLOCK)
        except zmq.Again:
            return False
        return True


def _endpoint(bus, name):
    """bus: a directory, ipc:///directory, a whole tcp:// endpoint, or None for the default directory."""
    if bus and bus.startswith("tcp://"):
        return bus
    if bus and bus.startswith("ipc://"):
        bus = bus[len("ipc://"):]
    directory = runtime_dir(bus)
    _trust_dir(directory)
    return "ipc://%s/%s" % (directory, name)


def _keys(endpoint, server_key, key_file):
    """The gate's public key, our own and our secret one; nothing when there are to be none."""
    if not endpoint.startswith("tcp://"):
        if server_key is not None or key_file is not None:
            raise ValueError("server_key and key_file are for addresses with tcp://")
        return ()
    server_key = os.environ.get("WSBUS_SERVER_KEY") or None if server_key is None else server_key
    key_file = os.environ.get("WSBUS_KEY_FILE") or None if key_file is None else key_file
    if server_key is None and key_file is None:
        return ()
    if server_key is None:
        raise ValueError("there is a key_file, but not the gate's public key: server_key or WSBUS_SERVER_KEY")
    if key_file is None:
        raise ValueError("there is the gate's server_key, but no key of our own: key_file or WSBUS_KEY_FILE")
    if not zmq.has("curve"):
        raise RuntimeError("this build of libzmq cannot do CURVE")
    server = server_key.encode() if isinstance(server_key, str) else server_key
    if not is_key(server):
        raise ValueError("the gate's public key is not 40 characters of Z85")
    secret = read_key(key_file)
    return server, zmq.curve_public(secret), secret


def _socket(context, kind, endpoint, keys, options=None):
    """One that is to be connected to the gate."""
    socket = context.socket(kind)
    is_local = endpoint.startswith("ipc://")
    # A gate that is away, or does not want us, is not asked all the time.
    socket.setsockopt(zmq.RECONNECT_IVL_MAX, LOCAL_RETRY_MS if is_local else 1000)
    for option, value in (options or {}).items():
        socket.setsockopt(option, value)
    if keys:
        socket.curve_serverkey, socket.curve_publickey, socket.curve_secretkey = keys
    socket.ipv6 = "[" in endpoint
    return socket
