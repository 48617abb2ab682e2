"""The bus of wsbus for Python programs on the gate's host, through libwsbus and so over shared memory: no Python package is needed.

    from wsbus_shm import Handler

    with Handler(routes=["echo"]) as bus:
        for event in bus:
            if event.type == "data":
                bus.send(event.conn, event.payload, event.opcode)

It is used as the Handler of wsbus.py is, which speaks ZeroMQ by itself; what is not here (outcomes, tags, listings, pings,
subscribers) is there. The library is libwsbus.so.0, from where the system keeps its libraries, or the file that WSBUS_LIBRARY names.
Everything that wsbus/handler.h promises holds: events are acknowledged by asking for the next one, another handler gets what this
one was not done with, and a gate that restarts is found again.

One thread at a time reads; commands may come from every thread, also while another one reads. A signal that raises (Ctrl-C) may
come in the middle of read(): do not go on reading then, but end the Handler. What was not acknowledged goes to another one.
"""

import ctypes
import functools
import json
import math
import os
import sys
import threading
import time
from ctypes import POINTER, c_bool, c_char_p, c_int, c_size_t, c_uint, c_uint64, c_void_p, pointer

TEXT, BINARY = 1, 2
KINDS = {"websocket": 1, "http": 2}
LINKS = {"auto": 0, "zmq": 1, "shm": 2}
SLOW = {None: 0, "close": 1, "drop-new": 2, "drop-old": 3, "conflate": 4}
LEVELS = ("debug", "info", "wslog", "warn", "error")
TIMEOUT, GATE_GONE, SIGNAL, GONE, STALE = 1, 3, 5, 6, 7  # of enum wsb_reason
SLICE_MS = 250  # Python looks after its signals at least so often: one that comes just before the wait does not end it


class ForkedError(RuntimeError):
    """A Handler is used in a child of the process that made it: the connection is the parent's."""


class BusError(Exception):
    """A call that libwsbus refused: `reason` is its name of why ("too big", "full", …)."""

    def __init__(self, what, reason, why=""):
        super().__init__("%s: %s" % (what, "%s: %s" % (reason, why) if why else reason))
        self.reason = reason


# --- wsbus/handler.h, field by field


def _struct(name, /, **fields):
    return type(name, (ctypes.Structure,), {"_fields_": list(fields.items())})


def _sized(name, /, **fields):
    """One that begins with its size."""

    def __init__(self, *args, **kwargs):
        ctypes.Structure.__init__(self, ctypes.sizeof(self), *args, **kwargs)

    return type(name, (ctypes.Structure,), {"_fields_": [("size", c_size_t), *fields.items()], "__init__": __init__})


CHandler = _struct("wsb_handler", v=c_uint64)
CTold = ctypes.CFUNCTYPE(None, c_void_p, c_char_p)
COptions = _sized(
    "wsb_handler_options", routes=POINTER(c_char_p), route_count=c_size_t, name=c_char_p, wait_ms=c_uint, linger_ms=c_uint,
    out_limit=c_size_t, in_limit=c_size_t, level=c_int, credit_messages=c_uint, credit_bytes=c_size_t, manual_ack=c_bool,
    presence=c_bool, weight=c_uint, server_key=c_char_p, key_file=c_char_p, link=c_int, ring_size=c_size_t, kinds=c_uint,
    on_trouble=CTold, trouble_of=c_void_p)
CEvent = _sized(
    "wsb_event", handler=CHandler, token=c_uint64, type=c_int, opcode=c_int, reason=c_int, conn=c_uint64, seq=c_uint64, time_ns=c_uint64, more=c_bool,
    redelivered=c_bool, pending=c_bool, deliveries=c_uint, data=c_void_p, len=c_size_t, meta=c_void_p, meta_len=c_size_t)
CSendOptions = _sized("wsb_send_options", slow=c_int, key=c_char_p, ret_seq=POINTER(c_uint64), plain=c_bool)
CAudience = _sized(
    "wsb_audience", group=c_char_p, route=c_char_p, user=c_char_p, tag=c_char_p, all=c_bool, excepted=POINTER(c_uint64),
    except_count=c_size_t)  # "except" is a word of Python's
CField = _struct("wsb_field", name=c_char_p, value=c_char_p)
CAcceptOptions = _sized(
    "wsb_accept_options", subprotocol=c_char_p, headers=POINTER(CField), header_count=c_size_t, groups=POINTER(c_char_p),
    group_count=c_size_t, user=c_char_p, tags=POINTER(c_char_p), tag_count=c_size_t)
CResponse = _sized(
    "wsb_response", status=c_uint, headers=POINTER(CField), header_count=c_size_t, body=c_char_p, len=c_size_t, more=c_bool)
CPart = _sized(
    "wsb_part", data=c_char_p, len=c_size_t, last=c_bool, at=POINTER(c_uint64), ret_seq=POINTER(c_uint64))
STRUCTS = (CHandler, COptions, CEvent, CSendOptions, CAudience, CField, CAcceptOptions, CResponse, CPart)
FUNCTIONS = {  # name: what it returns, what it takes behind the handle
    "handler_close": (c_bool,), "readguarded_sized": (c_bool, POINTER(CEvent), c_int), "flush": (c_bool,), "handler_fd": (c_int,),
    "send": (c_bool, c_uint64, c_int, c_char_p, c_size_t, POINTER(CSendOptions)), "ack": (c_bool, c_uint64, c_uint64), "working": (c_bool,),
    "send_many": (c_bool, POINTER(c_uint64), c_size_t, c_int, c_char_p, c_size_t, POINTER(CSendOptions)),
    "publish": (c_bool, POINTER(CAudience), c_int, c_char_p, c_size_t, POINTER(CSendOptions)),
    "join": (c_bool, c_uint64, c_char_p), "leave": (c_bool, c_uint64, c_char_p), "close": (c_bool, c_uint64, c_uint, c_char_p),
    "accept": (c_bool, c_uint64, POINTER(CAcceptOptions)), "reject": (c_bool, c_uint64, c_uint, c_char_p),
    "respond": (c_bool, c_uint64, POINTER(CResponse)), "continue": (c_bool, c_uint64), "respond_part": (c_bool, c_uint64, POINTER(CPart)),
    "log": (c_bool, c_int, c_char_p), "reason": (c_int,),
}
WITHOUT_HANDLE = {
    "handler_open": (c_bool, c_char_p, POINTER(COptions), POINTER(CHandler)), "why": (c_char_p,), "reason_name": (c_char_p, c_int),
    "event_type_name": (c_char_p, c_int),
}


@functools.cache
def library():
    """libwsbus, with the types of what is called here. Its calls let other Python threads run."""
    name = os.environ.get("WSBUS_LIBRARY") or "libwsbus.so.0"
    try:
        found = ctypes.CDLL(name)
    except OSError as error:
        raise OSError("no libwsbus; WSBUS_LIBRARY can name it: %s" % error) from None
    for table, first in ((FUNCTIONS, [CHandler]), (WITHOUT_HANDLE, [])):
        for function, (result, *arguments) in table.items():
            bound = getattr(found, "wsb_" + function)
            bound.restype, bound.argtypes = result, first + arguments
    return found


# --- what goes in and comes out


def _metadata(text):
    """The dict; an empty one of what Python cannot read: no message may end the program."""
    try:
        meta = json.loads(text) if text else {}
    except (ValueError, RecursionError) as error:
        print("wsbus: metadata that cannot be read: %s" % str(error)[:200], file=sys.stderr)
        meta = {}
    return meta if isinstance(meta, dict) else {}


class Event:
    """One event, copied: it stays true as long as it is kept. `meta` is a dict."""

    __slots__ = ("type", "opcode", "conn", "seq", "time_ns", "more", "redelivered", "pending", "deliveries", "payload", "meta")

    def __init__(self, ev):
        self.type, self.opcode = _type_name(ev.type), ev.opcode
        self.conn, self.seq, self.time_ns = ev.conn, ev.seq, ev.time_ns
        self.more, self.redelivered, self.pending = ev.more, ev.redelivered, ev.pending
        self.deliveries = ev.deliveries
        self.payload = ctypes.string_at(ev.data, ev.len)
        self.meta = _metadata(ctypes.string_at(ev.meta, ev.meta_len) if ev.meta else b"")

    text = property(lambda self: self.payload.decode())

    def __repr__(self):
        return "<%s conn=%016x seq=%d %d bytes %s>" % (self.type, self.conn, self.seq, len(self.payload), self.meta)


@functools.cache
def _type_name(number):
    return library().wsb_event_type_name(number).decode()


def _text(text):
    """For C, where it ends at the first zero byte: so there must be none in it."""
    if text is None:
        return None
    data = text.encode() if isinstance(text, str) else os.fsencode(text)
    if b"\0" in data:
        raise ValueError("a zero byte in %r" % text)
    return data


def _array(kind, values):
    values = list(values or ())
    return (kind * len(values))(*values), len(values)


def _pairs(headers):
    """Of a dict, or of pairs; a list stands for several fields of one name."""
    given = headers.items() if hasattr(headers, "items") else headers or ()
    return [(name, value) for name, values in given for value in (values if isinstance(values, (list, tuple)) else [values])]


def _fields(headers):
    return _array(CField, [CField(_text(name), _text(value)) for name, value in _pairs(headers)])


def _octets(payload):
    """Return bytes, or str as UTF-8, as bytes. bytes() alone would make zeros of a number."""
    if isinstance(payload, (bytes, bytearray, memoryview)):
        return bytes(payload)
    if isinstance(payload, str):
        return payload.encode()
    raise TypeError("the payload is bytes or str, not %s" % type(payload).__name__)


def _message(payload, opcode):
    if isinstance(payload, str):
        return payload.encode(), opcode or TEXT
    return _octets(payload), opcode or BINARY


def _kinds(kinds):
    kinds = {kinds} if isinstance(kinds, str) else set(KINDS if kinds is None else kinds)
    if not kinds or not kinds <= KINDS.keys():
        raise ValueError("kinds: \"websocket\", \"http\" or both, not %r" % (kinds,))
    return sum(KINDS[kind] for kind in kinds)


class Handler:
    """A registered handler: iterate over it for events, call it for commands.

    A command says whether the bus took it. False is for what happens by itself: the client is gone, its connection is another
    handler's (counted in `stale`), or no gate is there (counted in `lost`). Everything else that libwsbus refuses is a BusError.

    link: "shm" and nothing else, "zmq", or "auto": shared memory where the gate offers it. manual_ack, presence, weight, ring_size
    and the keys for a gate at tcp:// are as in struct wsb_handler_options. kinds: what the program serves on its routes, of "websocket"
    and "http"; None: both. on_trouble: called with each line about a registration that does not come about, instead of stderr; in the middle
    of a call, so it must not end the Handler.
    """

    def __init__(self, routes, bus=None, name=None, link="auto", manual_ack=False, presence=False, weight=1, server_key=None,
                 key_file=None, ring_size=0, kinds=None, on_trouble=None):
        if isinstance(routes, (str, bytes)) or not (routes := list(routes)):
            raise ValueError("routes: a list of at least one name, not %r" % (routes,))
        self._pid = os.getpid()
        self._lib, self._h, self._ev, self._is_open = library(), CHandler(), CEvent(), False
        self._reading = threading.Lock()  # not free again after an exception: it may have torn an event out of our hands
        self.lost = self.stale = 0
        self._told = CTold(lambda _, line: on_trouble(line.decode())) if on_trouble else CTold()  # to be kept as long as the handle
        names, count = _array(c_char_p, map(_text, routes))
        options = COptions(
            routes=names, route_count=count, name=_text(name or os.path.basename(sys.argv[0]) or "python"), level=LEVELS.index("info"),
            manual_ack=manual_ack, presence=presence, weight=weight, server_key=_text(server_key), key_file=_text(key_file),
            link=LINKS[link], ring_size=ring_size, kinds=_kinds(kinds), on_trouble=self._told)
        if not self._lib.wsb_handler_open(_text(bus), options, self._h):
            raise BusError("open", self._reason_name(), self._lib.wsb_why().decode())
        self._is_open = True

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.disconnect()

    def __iter__(self):
        while True:
            event = self.read()
            if event.type == "drain" and not event.more:
                return  # nothing is left to do
            yield event

    def read(self, timeout_ms=None):
        """The next event; None when there is none in time. The one before is done with."""
        self._check_process()
        if not self._reading.acquire(blocking=False):
            raise RuntimeError("another thread reads, or an exception has interrupted a read: this Handler can only be disconnected")
        event = self._next(math.inf if timeout_ms is None else time.monotonic() + timeout_ms / 1000)
        self._reading.release()
        return event

    def _next(self, deadline):
        while True:
            wait = math.ceil(max(0, min(SLICE_MS, (deadline - time.monotonic()) * 1000)))
            if self._lib.wsb_readguarded_sized(self._h, self._ev, wait):
                return Event(self._ev)
            if self._lib.wsb_reason(self._h) not in (TIMEOUT, GATE_GONE, SIGNAL):
                raise BusError("read", self._reason_name())
            if time.monotonic() >= deadline:
                return None

    def send(self, conn, payload, opcode=None, slow=None, key=None, plain=False):
        """Send a message to one connection, or to an iterable of them. str is text, bytes are binary. plain: not compressed."""
        data, opcode = _message(payload, opcode)
        options = CSendOptions(slow=SLOW[slow], key=_text(key), plain=plain)
        if isinstance(conn, int):
            return self._call("send", conn, opcode, data, len(data), options)
        return self._call("send_many", *_array(c_uint64, conn), opcode, data, len(data), options)

    def publish(self, payload, group=None, route=None, but=(), opcode=None, user=None, tag=None, all=False, slow=None, key=None,
                plain=False):
        """Send a message to a group, a route, a user, to who has a tag, or to all; one of these. Not to those in `but`."""
        data, opcode = _message(payload, opcode)
        excepted, count = _array(c_uint64, but)
        to = CAudience(_text(group), _text(route), _text(user), _text(tag), all, excepted, count)
        options = CSendOptions(slow=SLOW[slow], key=_text(key), plain=plain)
        return self._call("publish", to, opcode, data, len(data), options)

    def close(self, conn, code=1000, reason=""):
        return self._call("close", conn, code, _text(reason))

    def join(self, conn, *groups):
        return all([self._call("join", conn, _text(group)) for group in groups])  # a list: each of them is told

    def leave(self, conn, *groups):
        return all([self._call("leave", conn, _text(group)) for group in groups])

    def accept(self, conn, subprotocol=None, headers=None, groups=None, user=None, tags=None):
        options = CAcceptOptions(
            _text(subprotocol), *_fields(headers), *_array(c_char_p, map(_text, groups or ())), _text(user),
            *_array(c_char_p, map(_text, tags or ())))
        return self._call("accept", conn, options)

    def reject(self, conn, status=403, body=""):
        return self._call("reject", conn, status, _text(body))

    def respond(self, conn, body=b"", status=200, headers=None, more=False):
        """Answer a request. With more=True go on with body(). Names of headers that differ in case are one name."""
        if isinstance(body, str):
            body, headers = body.encode(), _pairs(headers)
            if not any(name.lower() == "content-type" for name, _ in headers):
                headers.append(("content-type", "text/plain; charset=utf-8"))
        body = _octets(body)
        return self._call("respond", conn, CResponse(status, *_fields(headers), body, len(body), more))

    def continue_(self, conn):
        """Ask for the body of a request with meta["expect_continue"], of a route with expect = handler: it comes as "body" events."""
        return self._call("continue", conn)

    def body(self, conn, data, more=True, at=None):
        """More of a response. at: the byte of the body with which it begins, from the first one of respond() on. Such a part is refused
        while the client's queue is full, and so is all behind it; then "writable" comes, and meta["at"] is where to go on. Without
        it the exchange ends."""
        data = _octets(data)
        return self._call("respond_part", conn, CPart(data, len(data), not more, None if at is None else pointer(c_uint64(at))))

    def ack(self, conn, seq):
        """With manual_ack: done with this event of the connection, and all before it."""
        return self._call("ack", conn, seq)

    def working(self):
        """Say that the program still works on its event: the gate's `ack_timeout` begins anew. Leaves at once."""
        return self._call("working")

    def log(self, level, text):
        """A line for the gate's log and for stderr, when the handler's level lets it pass."""
        return self._call("log", LEVELS.index(level), b"%s", c_char_p(_text(text)))

    def flush(self):
        """Let what was commanded leave now, and not at the next read."""
        return self._call("flush")

    def fileno(self):
        """For an event loop: readable when read(0) has something to do."""
        self._check_process()
        return self._lib.wsb_handler_fd(self._h)

    def disconnect(self):
        """Say BYE. The event that the program still has is not done with: another handler gets it."""
        if self._is_open and self._pid == os.getpid():  # a forked child has no say in it
            self._is_open = False
            self._lib.wsb_handler_close(self._h)

    def _check_process(self):
        if self._pid != os.getpid():
            raise ForkedError("this Handler belongs to process %d, and this is process %d: make another one behind fork()" % (
                self._pid, os.getpid()))

    def _call(self, name, *arguments):
        self._check_process()
        if getattr(self._lib, "wsb_" + name)(self._h, *arguments):
            return True
        reason = self._lib.wsb_reason(self._h)
        if reason not in (GONE, STALE, GATE_GONE):
            raise BusError(name, self._reason_name())
        self.stale += reason == STALE
        self.lost += reason == GATE_GONE
        return False

    def _reason_name(self):
        return self._lib.wsb_reason_name(self._lib.wsb_reason(self._h)).decode()
