"""The Python helper that loads libwsbus: its structures are those of the header, and it does what its relative over ZeroMQ does."""

import ctypes
import signal
import subprocess
import threading
import urllib.request

import pytest
import wsbus_shm

from conftest import BUILD, DEADLINE, PYTHON, ROOT, eventually, is_sanitized, with_libwsbus
from raw import Raw, upgrade_request

LIBRARY = BUILD / "libwsbus" / "libwsbus.so.0"
ENUMERATORS = {
    "WSB_REASON_TIMEOUT": wsbus_shm.TIMEOUT, "WSB_REASON_GATE_GONE": wsbus_shm.GATE_GONE, "WSB_REASON_SIGNAL": wsbus_shm.SIGNAL,
    "WSB_REASON_GONE": wsbus_shm.GONE, "WSB_REASON_STALE": wsbus_shm.STALE,
    "WSB_TEXT": wsbus_shm.TEXT, "WSB_BINARY": wsbus_shm.BINARY,
    **{"WSB_KIND_" + name.upper(): number for name, number in wsbus_shm.KINDS.items()},
    **{"WSB_LINK_KIND_" + name.upper(): number for name, number in wsbus_shm.LINKS.items()},
    **{"WSB_SLOW_" + (name or "route").upper().replace("-", "_"): number for name, number in wsbus_shm.SLOW.items()},
    **{"WSB_LOG_" + name.upper(): number for number, name in enumerate(wsbus_shm.LEVELS)},
}
AS_WSBUS = "import runpy, sys, wsbus_shm; sys.modules['wsbus'] = wsbus_shm; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"


@pytest.fixture
def join(monkeypatch):
    """join(gate, …) registers a Handler in this process."""
    if is_sanitized(LIBRARY):
        pytest.skip("the sanitizer would have to be in this process from its beginning")
    monkeypatch.setenv("WSBUS_LIBRARY", str(LIBRARY))
    handlers = []

    def register(gate, routes=("echo",), **kwargs):
        handlers.append(wsbus_shm.Handler(routes, bus=gate.dir, **kwargs))
        hear(handlers[-1], "welcome")
        return handlers[-1]

    yield register
    for handler in handlers:
        handler.disconnect()


def hear(bus, type_):
    event = bus.read(DEADLINE * 1000)
    assert event is not None and event.type == type_, "%r instead of %s" % (event, type_)
    return event


def c_name(field):
    return {"excepted": "except"}.get(field, field)


def test_structures_and_numbers_are_those_of_the_header(tmp_path):
    """As C sees them. An initializer for every field of ours, in order: the compiler says when there is one more, or one less."""
    lines = ["#include <stddef.h>", "#include <wsbus/handler.h>"]
    for struct in wsbus_shm.STRUCTS:
        name = struct.__name__
        type_ = name if name == "wsb_handler" else "struct " + name
        zeros = ", ".join("{0}" if kind is wsbus_shm.CHandler else "0" for _, kind in struct._fields_)
        lines.append("extern %s a_%s; %s a_%s = {%s};" % (type_, name, type_, name, zeros))
        checks = ["sizeof(%s) == %d" % (type_, ctypes.sizeof(struct))]
        for field, kind in struct._fields_:
            place = getattr(struct, field)
            checks.append("offsetof(%s, %s) == %d" % (type_, c_name(field), place.offset))
            checks.append("sizeof a_%s.%s == %d" % (name, c_name(field), place.size))
        lines += ['_Static_assert(%s, "");' % check for check in checks]
    lines += ['_Static_assert(%s == %d, "");' % pair for pair in ENUMERATORS.items()]
    source = tmp_path / "layout.c"
    source.write_text("\n".join(lines) + "\n")
    command = ["cc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-I", ROOT / "libwsbus/include", "-c", source, "-o", tmp_path / "layout.o"]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_the_link_is_what_was_asked_for(gate, join):
    for link in ("auto", "shm", "zmq"):
        join(gate, name=link, link=link)
    links = {handler["name"]: handler["link"] for handler in gate.wsctl("handlers")["handlers"]}
    assert links == {"auto": "shm", "shm": "shm", "zmq": "zmq"}


def test_the_example_comes_over_shared_memory(gate, echo):
    echo(gate, "python-shm")
    assert [handler["link"] for handler in gate.wsctl("handlers")["handlers"]] == ["shm"]


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_order(gate, echo, sig):
    handler = echo(gate, "python-shm")
    handler.signal(sig)
    assert handler.process.wait(DEADLINE) == 0, handler.output
    eventually(lambda: gate.wsctl("handlers")["handlers"] == [], "it has said BYE")
    assert "Traceback" not in handler.output


def test_events_say_what_those_over_zeromq_say(gate, join, take_seat):
    """What one was not done with the other gets again: the same in every field."""
    bus = join(gate, manual_ack=True)
    client = Raw(gate).upgrade(path="/echo?who=me")
    client.say("tëxt\0")
    first = [hear(bus, "open"), hear(bus, "data")]
    seat = take_seat(gate)
    bus.disconnect()
    for ours, theirs in zip(first, [seat.hear("open"), seat.hear("data")]):
        for field in ("type", "conn", "seq", "time_ns", "opcode", "payload", "more", "pending"):
            assert getattr(ours, field) == getattr(theirs, field), field
        assert {**ours.meta, "deliveries": 2} == theirs.meta
        assert (ours.redelivered, theirs.redelivered) == (False, True)
    assert first[1].text == "tëxt\0" and first[0].meta["query"] == "who=me"


def test_an_event_that_an_exception_tore_away_is_anothers(gate, join, take_seat, monkeypatch, ctrl_c):
    bus = join(gate)
    client = Raw(gate).upgrade()
    hear(bus, "open")
    client.say("torn")
    with monkeypatch.context() as patch:
        patch.setattr(wsbus_shm, "Event", ctrl_c)
        with pytest.raises(KeyboardInterrupt):
            bus.read(DEADLINE * 1000)
    with pytest.raises(RuntimeError):
        bus.read(0)  # this would acknowledge it
    seat = take_seat(gate)
    bus.disconnect()
    assert seat.hear("open").redelivered
    event = seat.hear("data")
    assert (event.text, event.redelivered) == ("torn", True)


def test_messages_to_one_to_many_and_to_groups(gate, join):
    bus = join(gate)
    clients, conns = [], []
    for _ in range(3):
        clients.append(Raw(gate).upgrade())
        conns.append(hear(bus, "open").conn)
    assert bus.send(conns[0], "one") and bus.send(conns[1:], b"\0many")
    assert bus.join(conns[0], "a", "b") and bus.join(conns[1], "a") and bus.leave(conns[0], "b")
    assert bus.publish("group", group="a", but=[conns[0]]) and bus.publish("nobody", group="b")
    assert bus.publish("end", route="echo", slow="conflate", key="k")
    bus.flush()
    heard = [[client.read_message() for _ in range(count)] for client, count in zip(clients, (2, 3, 2))]
    assert heard == [["one", "end"], [b"\0many", "group", "end"], [b"\0many", "end"]]
    bus.close(conns[2], 4001, "why")
    bus.flush()
    assert clients[2].read_close() == (4001, "why")


def test_requests_are_answered_whole_and_in_parts(gate, join):
    """By a thread: calls into the library let others run."""
    bus = join(gate)

    def answer(answerer):
        thread = threading.Thread(target=lambda: answerer(hear(bus, "request").conn) and bus.flush())
        thread.start()
        with urllib.request.urlopen(gate.http("/echo"), timeout=DEADLINE) as response:
            heard = response.status, response.headers.get_all("x-n"), response.read()
        thread.join()
        return heard

    assert answer(lambda conn: bus.respond(conn, "whole", 201, {"x-n": ["1", "2"]})) == (201, ["1", "2"], b"whole")
    assert answer(lambda conn: bus.respond(conn, b"a\0", more=True) and bus.body(conn, b"b", more=False)) == (200, None, b"a\0b")


def test_what_is_refused_is_an_exception_and_what_happens_is_not(gate, join, take_seat):
    bus = join(gate)
    client = Raw(gate).upgrade()
    conn = hear(bus, "open").conn
    other = Raw(gate).upgrade()
    moved = hear(bus, "open").conn
    with pytest.raises(wsbus_shm.BusError) as caught:
        bus.send(conn, bytes(64 << 20))
    assert caught.value.reason == "too big"
    with pytest.raises(wsbus_shm.BusError) as caught:
        bus.send(conn, b"\xff", wsbus_shm.TEXT)
    assert "UTF-8" in str(caught.value)
    with pytest.raises(ValueError):
        bus.join(conn, "a\0b")
    client.reset()
    hear(bus, "closed")
    assert bus.send(conn, "late") is False and (bus.lost, bus.stale) == (0, 0)
    seat = take_seat(gate)
    gate.wsctl("move", "%016x" % moved, seat.id)
    assert hear(bus, "revoked").conn == moved
    assert bus.send(moved, "not ours") is False and (bus.lost, bus.stale) == (0, 1)
    assert other.is_quiet()
    gate.kill()
    eventually(lambda: not bus.publish("anybody?", all=True) and bus.lost, "no gate")
    assert bus.read(0) is None
    bus.disconnect()
    with pytest.raises(wsbus_shm.BusError) as caught:
        bus.flush()
    assert caught.value.reason == "misuse"
    with pytest.raises(wsbus_shm.BusError) as caught:
        wsbus_shm.Handler(["echo"], bus="nonsense")
    assert caught.value.reason == "address" and "nonsense" in str(caught.value)
    for kinds in ([], ["gopher"], "gopher"):
        with pytest.raises(ValueError):
            wsbus_shm.Handler(["echo"], bus=gate.dir, kinds=kinds)


def test_the_chat_runs_on_it_as_it_is(make_gate, processes):
    gate = make_gate(routes=["chat=/chat/{room}"])
    processes(with_libwsbus("PYTHONPATH=%s" % (ROOT / "python"), PYTHON, "-c", AS_WSBUS, ROOT / "examples/python/chat.py", "--bus", gate.dir))
    gate.wait_handlers("chat", 1)
    assert gate.wsctl("handlers")["handlers"][0]["link"] == "shm"
    alice, bob = Raw(gate).upgrade(path="/chat/one"), Raw(gate).upgrade(path="/chat/one")
    while "joined" not in bob.read_message():
        pass
    alice.say("hello ✓")
    while bob.read_message() != "hello ✓":
        pass
    bob.reset()
    while not alice.read_message().endswith(' left"}'):
        pass


def test_a_signal_that_does_not_raise_ends_no_read(gate, join):
    bus = join(gate)
    client = Raw(gate).upgrade()
    hear(bus, "open")
    before = signal.signal(signal.SIGUSR1, lambda *_: client.say("from the handler of the signal"))
    main = threading.get_ident()
    timer = threading.Timer(0.05, lambda: signal.pthread_kill(main, signal.SIGUSR1))  # most likely while it waits; right before too
    timer.start()
    try:
        assert hear(bus, "data").text == "from the handler of the signal"
    finally:
        timer.join()
        signal.signal(signal.SIGUSR1, before)


def test_pending_clients_are_let_in_and_sent_away(make_gate, join):
    gate = make_gate(routes=["echo=/echo,accept=handler"])
    bus = join(gate)
    with Raw(gate) as client:
        client.send(upgrade_request(extra=["Sec-WebSocket-Protocol: one, two"]))
        knock = hear(bus, "open")
        assert knock.pending
        bus.accept(knock.conn, "two", {"x-n": "1"}, groups=["g"], user="me", tags=["t", "u"])
        for kind, name in (("group", "g"), ("user", "me"), ("tag", "u")):
            bus.publish(name, **{kind: name})
        bus.flush()
        client.expect_101()
        assert (client.headers["sec-websocket-protocol"], client.headers["x-n"]) == ("two", "1")
        assert [client.read_message() for _ in range(3)] == ["g", "me", "u"]
    hear(bus, "closed")
    with Raw(gate) as client:
        client.send(upgrade_request())
        bus.reject(hear(bus, "open").conn, 451, "not you")
        bus.flush()
        assert client.read_response().status == 451
