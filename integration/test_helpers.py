"""The helpers in Python and Node beside a gate that the test plays: one that says what it likes, when it likes, and may be deaf."""

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading

import pytest
import wsbus
import zmq

from conftest import DEADLINE, PYTHON, ROOT, with_libwsbus
from raw import Raw

CONN, OTHER = 5, 6
CODES = {name: code for code, name in wsbus.EVENTS.items()}
COMMANDS = {code: name for name, code in wsbus.COMMANDS.items()}


class PlayedGate:
    """The gate's end of `handlers`, and what one handler says to it: records in their order."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="wsbus-")  # not pytest's: addresses of sockets are short
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.ROUTER)
        self.socket.sndhwm = self.socket.rcvhwm = 0
        self.socket.bind("ipc://%s/handlers" % self.dir)
        self.peer, self.heard, self.sizes = None, [], []

    def close(self):
        self.context.destroy(linger=0)
        shutil.rmtree(self.dir)

    def say(self, *records):
        """One batch."""
        data = b"".join(wsbus.make_record(*record) for record in records)
        self.socket.send_multipart([self.peer, wsbus.make_header(wsbus.BATCH, size=len(data)), data])

    def hear(self, name):
        """The next command of that name, (fields, payload, metadata); what stands in front of it is passed over."""
        while True:
            while self.heard:
                record = self.heard.pop(0)
                if COMMANDS[record[0][1]] == name:
                    return record
            assert self.socket.poll(DEADLINE * 1000), "no %s" % name
            self.peer, *parts = self.socket.recv_multipart()
            fields, payload, meta = wsbus.parse_parts(parts)
            self.sizes.append(sum(map(len, parts)))
            self.heard.extend(wsbus.parse_batch(payload) if fields[1] == wsbus.BATCH else [(fields, payload, meta)])

    def hear_acks(self):
        _, payload, _ = self.hear("ack")
        return dict(wsbus.PAIR.iter_unpack(payload))

    def hear_credit(self):
        return json.loads(self.hear("credit")[2])

    def welcome(self, id=1, *behind):
        """Answer HELLO."""
        self.hear("hello")
        self.say(event("welcome", meta={"epoch": "1", "id": id}), *behind)


def event(name, conn=0, seq=0, payload=b"", code=0, meta=None):
    """A record."""
    data = json.dumps(meta).encode() if meta else b""
    return wsbus.make_header(CODES[name], code, wsbus.META if data else 0, len(payload), conn, seq), payload, data


def data(seq, conn=CONN, payload=b"x"):
    return event("data", conn, seq, payload, wsbus.TEXT)


def opened(conn=CONN):
    return event("open", conn, 1, meta={"route": "echo"})


@pytest.fixture
def played():
    gate = PlayedGate()
    yield gate
    gate.close()


@pytest.fixture
def join(played):
    """join(…) is a Handler that has read its welcome."""
    handlers = []

    def start(**kwargs):
        handlers.append(wsbus.Handler(routes=["echo"], bus=played.dir, context=zmq.Context(), **kwargs))
        played.welcome()
        assert read(handlers[-1]).type == "welcome"
        return handlers[-1]

    yield start
    for handler in handlers:
        handler._socket.close(linger=0)
        handler._context.destroy(linger=0)


def read(handler):
    got = handler.read(DEADLINE * 1000)
    assert got is not None, "no event"
    return got


class Clock:
    """Time that passes when the test says so."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    monkeypatch.setattr(wsbus, "time", Clock())
    return wsbus.time


def deafen(handler, monkeypatch):
    """From now on no room is made for what the handler says; hearing it again is undo()."""
    monkeypatch.setattr(handler, "_send", lambda parts, wait_ms=None: False)
    return monkeypatch.undo


# --- Python


def test_python_leaves_out_what_is_of_a_registration_that_is_over(played, join):
    handler = join(credit=(4, 1000))
    played.say(opened(), data(2), data(3), event("error", code=5), data(4), event("welcome", meta={"epoch": "1", "id": 2}),
               opened(OTHER), data(2, OTHER), data(3, OTHER))
    told = [read(handler) for _ in range(4)]
    assert [(got.type, got.conn, got.seq) for got in told] == [
        ("welcome", 0, 0), ("open", OTHER, 1), ("data", OTHER, 2), ("data", OTHER, 3)]
    handler.flush()
    assert played.hear_credit() == {"messages": 2, "bytes": 2}, "of the new registration, and of that only"


def test_python_leaves_out_what_was_taken_away(played, join):
    handler = join(credit=(4, 1000))
    played.say(opened(), data(2), data(3), opened(OTHER), event("revoked", CONN), opened(), data(2))
    told = [read(handler) for _ in range(4)]
    assert [(got.type, got.conn) for got in told] == [("open", OTHER), ("revoked", CONN), ("open", CONN), ("data", CONN)]
    handler.flush()
    assert played.hear_credit() == {"messages": 3, "bytes": 3}, "what was left out was paid for, too"


def test_python_acknowledges_without_lagging_behind(played, join, clock):
    handler = join()
    played.say(opened(), data(2), data(3))
    for seq in (1, 2):
        assert read(handler).seq == seq
        clock.now += 1
    assert read(handler).seq == 3
    assert played.hear_acks() == {CONN: 1}
    assert played.hear_acks() == {CONN: 2}, "though the program is at 3 and has not asked for more"


def test_python_keeps_acknowledgement_and_credit_while_there_is_no_room(played, join, monkeypatch):
    handler = join(credit=(4, 1000))
    played.say(opened(), data(2), data(3))
    for _ in range(3):
        read(handler)
    handler.publish("x", all=True)
    undo = deafen(handler, monkeypatch)
    assert handler.read(0) is None
    undo()
    handler.publish("later", all=True)
    handler.flush()
    assert [played.hear("publish")[1] for _ in range(2)] == [b"x", b"later"], "in their order"
    assert played.hear_acks() == {CONN: 3}
    assert played.hear_credit() == {"messages": 2, "bytes": 2}
    assert handler.lost == 0


def test_python_waits_once_for_a_gate_that_takes_nothing(played, join, monkeypatch, clock):
    """Neither each read nor each command waits again, and a command does not go through all that waits."""
    handler = join()
    waits = []

    def send(_, wait_ms=None):
        waits.append(wait_ms)
        return False

    monkeypatch.setattr(handler, "_send", send)
    monkeypatch.setattr(wsbus, "BATCH_BYTES", 1000)
    for _ in range(100):
        handler.publish(bytes(100), all=True)
    assert waits == [None], "the first is waited for, and then no time has passed"
    for _ in range(2):
        assert handler.read(0) is None
    assert waits == [None, 0, 0]
    clock.now += 1
    handler.publish(bytes(100), all=True)
    handler.publish(bytes(100), all=True)
    assert waits == [None, 0, 0, 0]
    monkeypatch.undo()
    handler.flush()
    assert len([played.hear("publish") for _ in range(102)]) == 102
    handler.publish(b"last", all=True)
    handler.flush()
    assert played.hear("publish")[1] == b"last"
    assert handler._out_bytes == 0 and handler.lost == 0


def test_python_loses_only_what_its_memory_has_no_room_for(played, join, monkeypatch):
    handler = join()
    monkeypatch.setattr(wsbus, "WAITING_BYTES", 300 << 10)
    undo = deafen(handler, monkeypatch)
    for number in range(4):
        handler.publish(b"%d" % number + bytes(100 << 10), all=True)
    assert handler.lost == 2
    undo()
    handler.flush()
    assert [played.hear("publish")[1][:1] for _ in range(2)] == [b"0", b"1"]
    assert not [record for record in played.heard if record[0][1] in (65, 66)], "told once"


def test_python_bounds_outcomes_that_nobody_reads(played, join, monkeypatch):
    monkeypatch.setattr(wsbus, "REFUSED_EVENTS", 100)
    handler = join()
    played.say(opened(), event("revoked", CONN))
    assert read(handler).type == "revoked"
    for _ in range(1000):
        handler.send(CONN, "late", outcome=True)
        handler.flush()
    assert handler.stale == 1000
    assert [read(handler).outcome for _ in range(100)] == ["stale"] * 100
    assert handler.read(0) is None


class Interrupted(Exception):
    """As KeyboardInterrupt comes, or what another signal raises."""


def interrupt(*args, **kwargs):
    raise Interrupted


def test_python_keeps_what_was_commanded_when_waiting_is_interrupted(played, join, monkeypatch):
    handler = join()
    played.say(opened())
    read(handler)
    handler.send(CONN, "answer")
    with monkeypatch.context() as patched, pytest.raises(Interrupted):
        patched.setattr(handler._link, "poll", interrupt)
        handler._leave()
    handler.disconnect()
    assert played.hear("send")[1] == b"answer"
    assert played.hear("bye")


class Interrupting:
    """A socket, and methods that stand in for its own."""

    def __init__(self, socket, **methods):
        self._socket = socket
        self.__dict__.update(methods)

    def __getattr__(self, name):
        return getattr(self._socket, name)


def test_python_says_nothing_behind_half_a_message(played, join):
    handler = join()
    played.say(opened())
    read(handler)
    handler.send(CONN, "answer")
    real = handler._socket

    def half(parts, *flags):
        real.send(parts[0], zmq.SNDMORE)
        raise Interrupted

    handler._socket = Interrupting(real, send_multipart=half)
    with pytest.raises(Interrupted):
        handler.flush()
    handler._socket = real
    with pytest.raises(RuntimeError):
        handler.read(0)
    handler.disconnect()
    assert not played.socket.poll(100), "the gate hears that it hung up, and takes that for its end"


def test_python_acknowledges_nothing_behind_what_was_lost_on_its_way_in(played, join):
    handler = join()
    real = handler._socket

    def lose(*args):
        real.recv_multipart()
        raise Interrupted

    handler._socket = Interrupting(real, recv_multipart=lose)
    played.say(opened())
    with pytest.raises(Interrupted):
        read(handler)
    handler._socket = real
    with pytest.raises(RuntimeError):
        handler.read(0)


def test_python_hears_what_stands_behind_thousands_of_events(played, join, clock):
    handler = join()
    played.say(opened())
    read(handler)
    many = wsbus.INBOX_EVENTS
    played.say(*(data(2 + number) for number in range(many)))
    read(handler)
    played.say(event("ping", seq=77), event("revoked", CONN))
    assert handler._socket.poll(DEADLINE * 1000)
    handler.flush()
    assert played.hear("pong")[0][6] == 77
    handler.send(CONN, "late")
    assert handler.stale == 1
    assert read(handler).type == "revoked"


def test_python_counts_what_waits_as_it_is_dropped(played, join):
    handler = join()
    played.say(opened())
    read(handler)
    for _ in range(8):
        handler.send(CONN, b"x" * 10000)
    played.say(event("revoked", CONN))
    assert handler._socket.poll(DEADLINE * 1000)
    assert read(handler).type == "revoked"
    assert handler.stale == 8
    assert handler._out_bytes == 0


def test_python_cuts_what_has_waited_for_a_welcome(played, join):
    handler = join()
    handler._unsure = True
    for number in range(40):
        handler.publish(b"%d" % number + b" " * 100000, all=True)
    played.say(event("welcome", meta={"epoch": "1", "id": 2}))
    assert read(handler).type == "welcome"
    handler.flush()
    assert [int(played.hear("publish")[1]) for _ in range(40)] == list(range(40))
    assert max(played.sizes) <= wsbus.BATCH_BYTES + 100


UNREADABLE = {
    "deep": b'{"route":"echo","claims":' + b"[" * 5000 + b"]" * 5000 + b"}", "no JSON": b'{"route":', "not UTF-8": b'{"route":"\xff"}',
    "no object": b"[1]", "a long number": b'{"n":' + b"1" * 5000 + b"}",
}


def unreadable(meta, conn=CONN):
    return wsbus.make_header(CODES["open"], 0, wsbus.META, 0, conn, 1), b"", meta


@pytest.mark.parametrize("meta", UNREADABLE.values(), ids=UNREADABLE)
def test_metadata_that_cannot_be_read_ends_no_program(played, join, meta, capfd):
    handler = join()
    played.say(unreadable(meta), data(2))
    first, second = read(handler), read(handler)
    assert (first.type, first.conn, first.meta) == ("open", CONN, {})
    assert (second.type, second.payload) == ("data", b"x")
    assert meta == UNREADABLE["no object"] or "metadata that cannot be read" in capfd.readouterr().err


# --- Python: headers


HEADERS = [
    (None, {"content-type": "text/plain; charset=utf-8"}),
    ({"Content-Type": "text/html"}, {"Content-Type": "text/html"}),
    ({"content-type": "text/html"}, {"content-type": "text/html"}),
    ({"Set-Cookie": ["a=1", "b=2"], "CONTENT-TYPE": "x/y"}, {"Set-Cookie": ["a=1", "b=2"], "CONTENT-TYPE": "x/y"}),
    ([("Set-Cookie", "a=1"), ("set-cookie", "b=2"), ("SET-COOKIE", ["c=3"])],
     {"Set-Cookie": ["a=1", "b=2", "c=3"], "content-type": "text/plain; charset=utf-8"}),
]


@pytest.mark.parametrize("given, told", HEADERS)
def test_python_takes_names_of_headers_without_regard_to_case(played, join, given, told):
    handler = join()
    handler.respond(CONN, "text", headers=given)
    handler.reject(OTHER, headers=given)
    handler.flush()
    assert json.loads(played.hear("respond")[2])["headers"] == told
    without = {name: value for name, value in told.items() if given is not None and (name != "content-type" or "content-type" in given)}
    assert json.loads(played.hear("reject")[2])["headers"] == without


def test_python_takes_text_wherever_a_payload_is(played, join):
    handler = join()
    handler.reject(CONN, 401, "nö\n")
    handler.respond(OTHER, "a", more=True)
    handler.body(OTHER, "é", more=False)
    handler.flush()
    assert [played.hear(name)[1] for name in ("reject", "respond", "body")] == ["nö\n".encode(), b"a", "é".encode()]


def test_node_refuses_too_many_exceptions_at_the_call(gate, processes, tmp_path):
    script = tmp_path / "many.mjs"
    script.write_text("""import { Handler } from "%s";
const bus = new Handler({ routes: ["echo"], bus: "%s" });
for (const count of [65536, 65537]) {
  try {
    bus.publish("x", { route: "echo", except: Array.from({ length: count }, (_, i) => BigInt(i + 1)) });
    console.log(count, "taken");
  } catch (error) {
    console.log(count, error.name, error.message);
  }
}
process.exit(0);
""" % (ROOT / "node/wsbus.js", gate.dir))
    process = processes(["node", script])
    process.wait_line("65536 taken")
    process.wait_line("65537 RangeError publish: `except` has 65537 connections, and may have 65536")


def test_python_sends_to_very_many_in_several_commands(gate, take_seat):
    """As many as one command cannot name; each is answered for, under one number. What cannot be cut is an error at the call."""
    bus = take_seat(gate, ["echo"])
    with Raw(gate).upgrade() as client:
        conn = bus.hear("open").conn
        strangers = [conn + (n << 40) for n in range(1, 66000)]
        seq = bus.send([*strangers, conn], "to the last of them", outcome=True)
        bus.flush()
        assert client.read_message() == "to the last of them"
        outcomes = [bus.hear("outcome") for _ in range(66000)]
        assert {o.seq for o in outcomes} == {seq}
        assert sum(o.outcome == "written" for o in outcomes) == 1
        with pytest.raises(ValueError, match="publish: `but` has 65999 connections, and may have 65536"):
            bus.publish("x", route="echo", but=strangers)
        with pytest.raises(ValueError, match="tag: .* bytes of metadata are more than a command has, 4194304"):
            bus.tag(conn, "x" * (4 << 20))
        bus.publish("to all but very many", route="echo", but=strangers[:65536])
        bus.flush()
        assert client.read_message() == "to all but very many"
        bus.send(conn, "and it goes on")
        bus.flush()
        assert client.read_message() == "and it goes on"


def test_python_keeps_its_own_copy_of_a_payload(played, join):
    handler = join()
    payload = bytearray(b"first")
    handler.send(CONN, payload)
    payload[:] = b"other"
    handler.flush()
    assert played.hear("send")[1] == b"first"


@pytest.mark.parametrize("wrong", [5, None, {"a": 1}, ["a"]])
def test_python_refuses_what_is_no_payload_at_the_call(played, join, wrong):
    """And only that: what the program has said before and says afterwards arrives."""
    handler = join()
    handler.send(CONN, "before")
    for call in (handler.reject, handler.body, handler.send, handler.respond, handler.ping):
        with pytest.raises(TypeError, match="bytes or str, not %s" % type(wrong).__name__):
            call(CONN, **{"body" if call in (handler.reject, handler.respond) else "data" if call == handler.body else "payload": wrong})
    handler.send(CONN, "after")
    handler.flush()
    assert [played.hear("send")[1] for _ in range(2)] == [b"before", b"after"]


# --- Python: forks


def in_child(function):
    """What it raises in a forked child, by name; "nothing" otherwise."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        told = "nothing"
        try:
            function()
        except BaseException as error:
            told = type(error).__name__
        os.write(write_end, told.encode())
        os._exit(0)
    os.close(write_end)
    with open(read_end, "rb") as file:
        told = file.read().decode()
    os.waitpid(child, 0)
    return told


def test_python_handlers_are_no_childs(played, join):
    handler = join()
    played.say(opened())
    read(handler)
    calls = [lambda: handler.read(), lambda: handler.send(CONN, "x"), lambda: handler.publish("x", all=True), lambda: handler.ack(CONN, 1),
             lambda: handler.flush(), lambda: handler.fileno(), lambda: handler.working(), lambda: next(iter(handler))]
    assert [in_child(call) for call in calls] == ["ForkedError"] * len(calls)
    assert in_child(handler.disconnect) == "nothing"
    handler.send(CONN, "the parent's")
    handler.flush()
    assert played.hear("send")[1] == b"the parent's", "and none of the children's"


def test_a_forked_program_ends_without_its_parent_noticing(gate, processes):
    """The child leaves its `with` and all that Python does at the end of a program, and the parent goes on under its number."""
    program = processes([PYTHON, "-c", """
import os, sys, wsbus
with wsbus.Handler(["echo"], bus=sys.argv[1]) as bus, wsbus.Commander(bus=sys.argv[1]) as commands:
    if os.fork() == 0:
        for call in (bus.read, lambda: commands.publish("x", all=True)):
            try:
                call()
            except wsbus.ForkedError as error:
                print("child:", error, flush=True)
        sys.exit(0)
    os.wait()
    print("ended", flush=True)
    for event in bus:
        if event.type == "data":
            bus.send(event.conn, event.text)
""", gate.dir])
    program.wait_line("ended")
    assert len([line for line in program.lines if line.startswith("child: this ")]) == 2, program.output
    client = Raw(gate).upgrade()
    assert client.ask("still here") == "still here"
    assert [one["id"] for one in gate.wsctl("handlers")["handlers"]] == [1]


def test_a_forked_child_of_libwsbus_is_told_so(gate, processes):
    program = processes(with_libwsbus(PYTHON, "-c", """
import os, sys, wsbus_shm
with wsbus_shm.Handler(["echo"], bus=sys.argv[1]) as bus:
    if os.fork() == 0:
        for call in (bus.read, lambda: bus.send(5, "x"), bus.fileno):
            try:
                call()
            except wsbus_shm.ForkedError as error:
                print("child:", error, flush=True)
        sys.exit(0)
    os.wait()
    print("ended", flush=True)
    for event in bus:
        if event.type == "data":
            bus.send(event.conn, event.text)
""", gate.dir))
    program.wait_line("ended")
    assert len([line for line in program.lines if line.startswith("child: this Handler belongs to process %d" % program.pid)]) == 3, program.output
    gate.wait_handlers("echo", 1)  # its registration may still be under way
    client = Raw(gate).upgrade()
    assert client.ask("still here") == "still here"


# --- Python: the Commander


def test_a_commander_without_a_gate_is_an_error_in_time(tmp_path):
    for timeout in (0, 0.2):
        with wsbus.Commander(bus=str(tmp_path), timeout=timeout) as commands:
            with pytest.raises(wsbus.NoGateError, match="no gate at %s: no socket is there" % tmp_path):
                commands.publish("x", all=True)
                commands.publish("y", all=True)
    assert issubclass(wsbus.NoGateError, TimeoutError)


def test_a_commander_waits_for_its_gate_and_leaves_nothing_behind(make_gate, take_seat, tmp_path):
    directory = tmp_path / "run"
    directory.mkdir(mode=0o700)
    commands = wsbus.Commander(bus=str(directory), timeout=DEADLINE)
    sending = threading.Thread(target=lambda: [commands.publish("%d" % number, all=True) for number in range(100)])
    sending.start()
    gate = make_gate(directory)
    sending.join(DEADLINE)
    seat = take_seat(gate)
    client = Raw(gate).upgrade()
    seat.hear("open")
    for number in range(100, 200):
        commands.publish("%d" % number, all=True)
    commands.disconnect()
    commands.disconnect()
    told = [int(client.read_message())]
    while told[-1] != 199:
        told.append(int(client.read_message()))
    assert told[-100:] == list(range(100, 200)), "disconnect() lets all leave"
    with pytest.raises(RuntimeError, match="disconnected"):
        commands.publish("x", all=True)


def test_a_commander_is_not_held_up_by_a_gate_that_does_not_read(gate):
    with wsbus.Commander(bus=gate.dir, timeout=0.3) as commands:
        commands.publish("x", all=True)
        gate.signal(signal.SIGSTOP)
        with pytest.raises(wsbus.NoGateError, match="takes no commands"):
            for _ in range(10000):
                commands.publish(bytes(64 << 10), all=True)
    gate.signal(signal.SIGCONT)


# --- Node: small programs, which tell what becomes of them on their output


NODE = """
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
const [helper, bus, pipe, silenceMs] = %s; /* nothing of ours is silent for so long */
const { Handler } = await import(helper);
const { Dealer } = createRequire(helper)("zeromq");
const handler = new Handler({ bus, routes: ["echo"], silenceMs, credit: { messages: 4, bytes: 1000 } });
const tell = (...what) => console.log(what.join(" "));
const wait = () => readFileSync(pipe); /* and nothing else in this program goes on */
const { send, receive } = Dealer.prototype;
const replace = (name, value) => Object.defineProperty(Dealer.prototype, name, { value });
const fail = (code) => Promise.reject(Object.assign(new Error(code), { code }));
"""


class Program:
    """A Node program, and a pipe that it may wait at."""

    def __init__(self, process, pipe):
        self.process, self._pipe = process, pipe

    def tells(self, pattern):
        return self.process.wait_line(pattern)

    def go_on(self):
        with open(self._pipe, "w"):
            pass


@pytest.fixture
def node(played, processes):
    """node(text) runs a program with a Handler, which has its welcome on its way when this returns."""

    def start(text):
        pipe = os.path.join(played.dir, "pipe")
        os.mkfifo(pipe)
        source = NODE % json.dumps([str(ROOT / "node/wsbus.js"), played.dir, pipe, DEADLINE * 1000]) + text
        program = Program(processes(["node", "--input-type=module", "-e", source]), pipe)
        played.welcome()
        return program

    return start


TELL_ALL = """
for await (const event of handler) {
  tell(event.type, event.conn, event.seq);
  if (event.payload.toString() === "wait") wait();
}
"""


def test_node_leaves_out_what_is_of_a_registration_that_is_over(played, node):
    program = node(TELL_ALL)
    played.say(opened(), data(2), data(3), event("error", code=5), data(4), event("welcome", meta={"epoch": "1", "id": 2}),
               opened(OTHER), data(2, OTHER), data(3, OTHER), data(4, OTHER))
    program.tells("data 6 4")
    assert program.process.lines == ["welcome 0 0", "welcome 0 0", "open 6 1", "data 6 2", "data 6 3", "data 6 4"]
    assert played.hear_credit() == {"messages": 3, "bytes": 3}, "of the new registration, and of that only"


@pytest.mark.parametrize("meta", [UNREADABLE["no JSON"], UNREADABLE["no object"], UNREADABLE["not UTF-8"]], ids=["no JSON", "no object", "not UTF-8"])
def test_node_goes_on_behind_metadata_that_cannot_be_read(played, node, meta):
    program = node(TELL_ALL)
    played.say(unreadable(meta), data(2))
    program.tells("data 5 2")
    assert [line for line in program.process.lines if not line.startswith("wsbus:")] == ["welcome 0 0", "open 5 1", "data 5 2"]


def test_node_leaves_out_what_was_taken_away(played, node):
    program = node(TELL_ALL)
    played.say(opened(), data(2), data(3), opened(OTHER), event("revoked", CONN), opened(), data(2))
    program.tells("data 5 2")
    assert program.process.lines == ["welcome 0 0", "open 6 1", "revoked 5 0", "open 5 1", "data 5 2"]
    assert played.hear_credit() == {"messages": 3, "bytes": 3}, "what was left out was paid for, too"


def test_node_loses_nothing_when_the_loop_is_left(played, node):
    program = node("""
        for await (const event of handler) if (event.type === "data") break;
        tell("left");
        await new Promise(setImmediate);
        wait();
        for await (const event of handler) tell(event.type, event.seq);
    """)
    played.say(opened(), data(2), data(3), data(4))
    program.tells("left")
    assert played.hear_acks() == {CONN: 1}, "it is not done with the one in hand"
    program.go_on()
    program.tells("data 4")
    assert program.process.lines == ["left", "data 3", "data 4"]
    while played.hear_acks() != {CONN: 4}:
        pass


def test_node_lets_go_while_the_program_does_not_wait(played, node):
    program = node("""
        let now = 0;
        performance.now = () => now;
        for await (const event of handler) {
          if (event.type === "data") handler.send(event.conn, event.payload);
          if (event.seq === 4n) wait();
          now += 60;
        }
    """)
    played.say(opened(), data(2), data(3), data(4), data(5))
    assert played.hear("send")
    assert played.hear_acks()[CONN] >= 2, "though it is in the middle of the fourth"
    program.go_on()
    while played.hear_acks() != {CONN: 5}:
        pass


def test_node_cuts_what_one_turn_brings_about(played, node):
    node("""
        for await (const event of handler) {
          if (event.type === "data") for (let at = 0; at < 700; at++) handler.publish(`${at} `.padEnd(100000), { all: true });
        }
    """)
    played.say(opened(), data(2))
    heard = [int(played.hear("publish")[1]) for _ in range(660)]
    assert heard == list(range(660)), "64 MiB; what does not fit is lost"
    assert played.hear_acks() == {CONN: 2}, "and what the gate has to know is not"
    assert max(played.sizes) < 300 << 10


def test_node_bounds_what_waits_for_a_welcome(played, node):
    program = node("""
        let isSilent = false;
        replace("receive", function () {
          if (!isSilent) return receive.call(this);
          isSilent = false;
          return fail("EAGAIN");
        });
        for await (const event of handler) {
          if (event.type === "welcome") isSilent = true;
          if (event.type !== "data") continue;
          for (let turn = 0; turn < 4; turn++) {
            for (let at = 0; at < 40; at++) handler.publish(Buffer.alloc(1 << 20), { all: true });
            await new Promise(setImmediate);
          }
          tell("lost", handler.lost);
        }
    """)
    played.hear("hello")
    played.say(opened(), data(2))
    assert int(program.tells(r"lost (\d+)").group(1)) == 160 - 63


def test_node_keeps_acknowledgement_and_credit_while_there_is_no_room(played, node):
    program = node("""
        let isDeaf = false;
        replace("send", function (...parts) {
          if (!isDeaf) return send.apply(this, parts);
          tell("no room");
          return fail("EAGAIN");
        });
        for await (const event of handler) {
          if (event.type === "data") handler.send(event.conn, event.payload);
          isDeaf = event.type === "data";
          if (event.type === "writable") tell("lost", handler.lost);
        }
    """)
    played.say(opened(), data(2), data(3))
    program.tells("no room")
    played.say(event("writable", CONN), event("ping"))
    assert [played.hear("send")[0][5] for _ in range(2)] == [CONN] * 2
    assert played.hear_acks() == {CONN: 3}
    assert played.hear_credit() == {"messages": 2, "bytes": 2}
    program.tells("lost 0")


def test_node_tells_the_program_that_its_socket_is_broken(played, node):
    program = node("""
        let isBroken = false;
        replace("send", function (...parts) {
          if (!isBroken) return send.apply(this, parts);
          tell("broken");
          return fail("EIO");
        });
        try {
          for await (const event of handler) isBroken ||= event.type === "open";
        } catch (error) {
          tell("caught", error.code);
          isBroken = false;
          await handler.bye();
        }
    """)
    played.say(opened())
    program.tells("broken")
    played.say(event("ping"))
    program.tells("caught EIO")
    assert played.hear("bye")


def test_node_takes_names_of_headers_without_regard_to_case(played, node):
    program = node("""
handler.respond(5n, "x", { headers: { "Set-Cookie": ["a=1"], "set-cookie": "b=2", "X-A": "1" } });
handler.respond(6n, "x", { headers: [["Set-Cookie", "a=1"], ["SET-COOKIE", "b=2"]] });
for await (const event of handler) tell(event.type);
""")
    program.tells("welcome")
    assert json.loads(played.hear("respond")[2])["headers"] == {"Set-Cookie": ["a=1", "b=2"], "X-A": "1"}
    assert json.loads(played.hear("respond")[2])["headers"] == {"Set-Cookie": ["a=1", "b=2"]}


# --- lines of logs ---------------------------------------------------------------------------------------------------------


def test_what_is_not_printable_is_the_same_everywhere():
    table = re.search(r"ranges\[\] = \{(.*?)\n    \};", (ROOT / "libwsbus/base/printable.c").read_text(), re.S).group(1)
    ranges = [(int(first, 16), int(last, 16)) for first, last in re.findall(r"\{(0x[0-9a-f]+), (0x[0-9a-f]+)\}", table)]
    assert len(ranges) > 8
    edges = sorted({c + d for pair in ranges for c in pair for d in (-1, 0, 1) if c + d >= 0})
    ours = [any(first <= c <= last for first, last in ranges) for c in edges]
    assert [bool(wsbus.UNPRINTABLE.match(chr(c))) for c in edges] == ours
    pattern = re.search(r"const UNPRINTABLE = (/.*/)gu;", (ROOT / "node/wsbus.js").read_text()).group(1)
    program = "console.log(JSON.stringify(%s.map((c) => %su.test(String.fromCodePoint(c)))))" % (edges, pattern)
    assert json.loads(subprocess.run(["node", "-e", program], capture_output=True, text=True, check=True).stdout) == ours


def test_a_line_of_a_handlers_is_one_line(gate, take_seat, capsys):
    bus = take_seat(gate)
    bus.log("warn", "a\n<0>b\x1b[2J\u009b2J\u202ec")
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and said.endswith("warn: a <0>b [2J 2J c\n")


# --- what is not installed -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("program", ["import wsbus", "import wsbus_aio; wsbus_aio.Handler(routes=[\"echo\"])"])
def test_a_python_without_pyzmq_is_told_what_to_install(program):
    """-S leaves out the directories where it is."""
    done = subprocess.run([PYTHON, "-S", "-c", program], env={**os.environ, "PYTHONPATH": str(ROOT / "python")},
                          capture_output=True, text=True, timeout=DEADLINE)
    last = done.stderr.splitlines()[-1]
    assert done.returncode == 1 and all(word in last for word in ("pyzmq", "python3-zmq", "pip install", PYTHON)), done.stderr


def test_a_handler_in_node_is_called_as_its_file(tmp_path):
    """As one in C and Python is: `wsctl handlers` tells several of them apart."""
    program = tmp_path / "rooms.mjs"
    program.write_text("""
import { Handler } from %s;
new Handler({ bus: %s, routes: ["echo"], onTrouble: (line) => { console.log(line); process.exit(0); } });
""" % (json.dumps(str(ROOT / "node/wsbus.js")), json.dumps(str(tmp_path / "none"))))
    done = subprocess.run(["node", program], capture_output=True, text=True, timeout=DEADLINE)
    assert "handler 'rooms.mjs'" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("routes", [[], "echo", b"echo", ()], ids=repr)
def test_a_handler_has_routes(tmp_path, routes):
    """A str is an iterable of letters, and none of them the name that was meant."""
    with pytest.raises(ValueError, match="routes: a list of at least one name"):
        wsbus.Handler(routes, bus=str(tmp_path))
    done = subprocess.run(with_libwsbus(PYTHON, "-c", "import wsbus_shm\nwsbus_shm.Handler(%r, bus=%r)" % (routes, str(tmp_path))),
                          capture_output=True, text=True, timeout=DEADLINE)
    assert "ValueError: routes: a list of at least one name" in done.stderr


@pytest.mark.parametrize("routes", ["[]", '"echo"', "undefined"])
def test_a_handler_in_node_has_routes(tmp_path, routes):
    program = "import { Handler } from %s; new Handler({ bus: %s, routes: %s });" % (
        json.dumps(str(ROOT / "node/wsbus.js")), json.dumps(str(tmp_path)), routes)
    done = subprocess.run(["node", "--input-type=module", "-e", program], capture_output=True, text=True, timeout=DEADLINE)
    assert "TypeError: routes: an array of at least one name, not " in done.stderr
