"""A handler over shared memory that the test plays itself, word by word of docs/shm.md: it can do everything right, or anything wrong.

As a program it attaches and then does nothing any more: `shm_peer.py DIR ROUTE [hold|fork]`. With `fork` a child keeps everything open.
"""

import collections
import json
import mmap
import os
import pathlib
import select
import signal
import socket
import struct
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "python"))

import wsbus  # noqa: E402

DEADLINE = float(os.environ.get("WSBUS_TEST_DEADLINE", "20"))
MAGIC = 0x0100005355425357
HELLO, WELCOME, REFUSED, READY = 1, 2, 3, 4
PARTS = 1  # the feature
HELLO_WORDS = struct.Struct("<QHHHHQQQ")
WELCOME_WORDS = struct.Struct("<QHHHHQQQQQQ160s")
READY_WORDS = struct.Struct("<QHHHH")
CONTROL, ALIGN = 4096, 64
HEAD, WAKE_AT, SPACE_AT, STATE, TAIL, BELL = 0x080, 0x100, 0x180, 0x200, 0x280, 0x300
PART, PART_LAST = 0x80000000, 0x40000000
PART_HEAD = struct.Struct("<II")
U64 = (1 << 64) - 1

Terms = collections.namedtuple("Terms", "magic kind major minor unused features ring_down ring_up key_down key_up link_id reason")


class Refused(Exception):
    """The gate said no; str() is the reason."""


def hello(magic=MAGIC, kind=HELLO, major_min=1, major_max=1, minor=0, features=PARTS, ring_down=0, ring_up=0):
    return HELLO_WORDS.pack(magic, kind, major_min, major_max, minor, features, ring_down, ring_up)


def ready(magic=MAGIC, kind=READY):
    return READY_WORDS.pack(magic, kind, 0, 0, 0)


def stamp(key, position):
    return (((position ^ key) * 0x9e3779b97f4a7c15) & U64) | 1


def size_of(length):
    return (length + 8 + ALIGN - 1) & ~(ALIGN - 1)


def connect(directory):
    """The socket, and not a word said."""
    door = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    door.settimeout(DEADLINE)
    door.connect("%s/shm" % directory)
    return door


def read_answer(door):
    """(terms, descriptors) of what the gate answers to HELLO; Refused."""
    data, fds, _, _ = socket.recv_fds(door, 4096, 8)
    if not data:
        raise Refused("the end, without a word")
    terms = Terms(*WELCOME_WORDS.unpack(data[:WELCOME_WORDS.size]))
    assert terms.magic == MAGIC
    if terms.kind == REFUSED:
        raise Refused(terms.reason.rstrip(b"\0").decode())
    assert terms.kind == WELCOME and len(fds) == 4
    return terms, fds


def make_record(type_name, conn=0, payload=b"", code=0, flags=0, seq=0, meta=None):
    """The record of a command; `meta` may be bytes, and then need not be JSON."""
    if isinstance(meta, bytes):
        header, payload, _ = wsbus.encode(type_name, conn, payload, code, flags | wsbus.META, seq)
        return wsbus.make_record(header, payload, meta)
    return wsbus.make_record(*wsbus.encode(type_name, conn, payload, code, flags, seq, meta))


class Peer:
    """Attached. `down` and `up` are the two regions, mapped; positions are ours."""

    def __init__(self, directory, ring=0, say_ready=True, hello_fds=()):
        self.door = connect(directory)
        if hello_fds:
            socket.send_fds(self.door, [hello(ring_down=ring, ring_up=ring)], list(hello_fds))
        else:
            self.door.send(hello(ring_down=ring, ring_up=ring))
        self.terms, fds = read_answer(self.door)
        self.down_fd, self.up_fd, self.bell, self.gate = fds
        self.down = mmap.mmap(self.down_fd, CONTROL + self.terms.ring_down, mmap.MAP_SHARED, mmap.PROT_READ)
        self.up = mmap.mmap(self.up_fd, CONTROL + self.terms.ring_up, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        self.at = self.tail = 0
        self.answers_pings = True
        self._parts = bytearray()
        self._events = collections.deque()
        if say_ready:
            self.door.send(ready())

    def close(self):
        self.door.close()
        for fd in {self.down_fd, self.up_fd, self.bell, self.gate}:
            os.close(fd)
        self.down.close()
        self.up.close()

    def is_put_out(self):
        """Until the gate has hung up."""
        return self.door.recv(100) == b""

    def has_hung_up(self):
        """Has the gate, by now?"""
        return bool(select.select([self.door], [], [], 0)[0]) and self.door.recv(1, socket.MSG_PEEK) == b""

    # --- memory

    def get(self, region, offset):
        return struct.unpack_from("<Q", region, offset)[0]

    def set(self, offset, value):
        """One of our own words."""
        struct.pack_into("<Q", self.up, offset, value & U64)

    def _span(self, position, count):
        """Where `count` bytes of our ring lie: one piece or two."""
        offset = position % self.terms.ring_up
        first = min(count, self.terms.ring_up - offset)
        return ((CONTROL + offset, first), (CONTROL, count - first))

    def poke(self, position, data):
        at = 0
        for offset, count in self._span(position, len(data)):
            self.up[offset:offset + count] = data[at:at + count]
            at += count

    def peek(self, position, count):
        offset = position % self.terms.ring_down
        first = self.down[CONTROL + offset:CONTROL + min(offset + count, self.terms.ring_down)]
        return first + self.down[CONTROL:CONTROL + count - len(first)]

    def ring(self):
        """Wake the gate."""
        os.eventfd_write(self.gate, 1)

    # --- writing

    def wait_room(self, need):
        end = time.monotonic() + DEADLINE
        while self.tail + need - self.get(self.down, HEAD) > self.terms.ring_up:
            self.set(SPACE_AT, self.tail + need - self.terms.ring_up - 1)
            self.wait_bell()
            if self.has_hung_up():
                raise BrokenPipeError("the gate has hung up")
            assert time.monotonic() < end, "the gate does not read"

    def put(self, body, length=None):
        """One record of the ring, of whatever bytes; `length` is what it claims to be, in front."""
        need = size_of(len(body))
        self.wait_room(need)
        if length is not None:
            body = struct.pack("<I", length) + body[4:]
        self.poke(self.tail + 8, body + b"\0" * (need - 8 - len(body)))
        self.poke(self.tail, struct.pack("<Q", stamp(self.terms.key_up, self.tail)))
        self.tail += need
        self.ring()

    def put_record(self, record):
        """A record of a batch, which stands alone; its padding is not counted in its length."""
        self.put(record[:struct.unpack_from("<I", record)[0]])

    def put_part(self, piece, is_last=False):
        self.put(PART_HEAD.pack(8 + len(piece), PART | (PART_LAST if is_last else 0)) + piece)

    def put_parts(self, record, piece=4096):
        for at in range(0, len(record), piece):
            self.put_part(record[at:at + piece], at + piece >= len(record))

    def say(self, type_name, conn=0, payload=b"", code=0, flags=0, seq=0, meta=None):
        record = make_record(type_name, conn, payload, code, flags, seq, meta)
        if size_of(len(record)) > self.terms.ring_up // 4:
            self.put_parts(record)
        else:
            self.put_record(record)

    def register(self, *routes, **more):
        self.say("hello", meta={"routes": routes, "name": "peer", "batch": True, **more})
        return self.hear("welcome")

    # --- reading

    def wait_bell(self, seconds=0.005):
        """Until it rings. A fence is missing in Python, so not for long."""
        if select.select([self.bell], [], [], seconds)[0]:
            os.read(self.bell, 4096)

    def _next_body(self):
        first, length = struct.unpack("<QI", self.peek(self.at, 12))
        if first != stamp(self.terms.key_down, self.at):
            return None
        body = self.peek(self.at + 8, length)
        self.at += size_of(length)
        return body

    def release(self):
        self.set(HEAD, self.at)
        self.ring()

    def _take(self, body):
        kind = struct.unpack_from("<I", body, 4)[0]
        if kind & PART:
            self._parts += body[8:]
            if not kind & PART_LAST:
                return
            body = bytes(self._parts)
            self._parts.clear()
        fields = wsbus.parse_header(body[8:40])
        meta_len, = struct.unpack_from("<I", body, 4)
        payload, meta = body[40:40 + fields[4]], body[40 + fields[4]:40 + fields[4] + meta_len]
        records = wsbus.parse_batch(payload) if fields[1] == wsbus.BATCH else [(fields, payload, meta)]
        self._events.extend(wsbus.Event(*record) for record in records)

    def read(self, deadline=DEADLINE, releases=True):
        """The next event; pings are answered on the way. None when there is none in that time."""
        end = time.monotonic() + deadline
        while True:
            while self._events:
                event = self._events.popleft()
                if event.type != "ping" or not self.answers_pings:
                    return event
                self.say("pong", payload=event.payload, seq=event.seq)
            body = self._next_body()
            if body is not None:
                self._take(body)
                if releases:
                    self.release()
            elif time.monotonic() >= end:
                return None
            else:
                self.set(WAKE_AT, self.at)
                self.wait_bell()

    def hear(self, *types):
        event = self.read()
        assert event is not None, "no event within %g s; waited for %s" % (DEADLINE, types)
        assert event.type in types, "%r instead of %s: %r" % (event, types, event.payload[:200])
        return event

    def echo(self, count):
        """Answer so many messages."""
        while count:
            event = self.hear("open", "data", "closed")
            if event.type == "data":
                self.say("send", event.conn, event.payload, event.code)
                self.say("ack", event.conn, seq=event.seq)
                count -= 1


def main(directory, route, what="hold"):
    peer = Peer(directory, ring=65536)
    peer.register(route, ack=True)
    if what == "fork":
        child = os.fork()
        if child == 0:
            signal.pause()
        print(json.dumps({"child": child}), flush=True)
    else:
        print(json.dumps({"pid": os.getpid()}), flush=True)
    signal.pause()


if __name__ == "__main__":
    main(*sys.argv[1:])
