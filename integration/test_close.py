"""The end of a connection: who closes, with which code, what the handler is told, and what happens when the other side does not answer."""

import time

import pytest
import websockets

from conftest import BOTH_WIRES, eventually, run_async
from raw import CLOSE, Raw, close_frame, frame

pytestmark = BOTH_WIRES


def connect(gate, bus, **kwargs):
    client = Raw(gate, **kwargs).upgrade()
    return client, bus.hear("open").conn


@pytest.mark.parametrize("code, reason, told", [
    (1000, "", 1000), (1000, "bye €", 1000), (1001, "tab closed", 1001), (3999, "", 3999), (4321, "mine", 4321), (None, "", 1005)])
def test_the_client_closes(gate, take_seat, code, reason, told):
    bus = take_seat(gate)
    client, conn = connect(gate, bus)
    client.send(close_frame(code, reason))
    assert client.read_close() == (code, "")
    client.expect_end()
    closed = bus.hear("closed")
    assert closed.conn == conn
    assert (closed.meta["by"], closed.meta["code"], closed.meta["reason"], closed.meta["clean"]) == ("client", told, reason, True)


@pytest.mark.parametrize("code, reason", [(1000, ""), (1000, "done"), (1011, "out of cheese"), (1012, ""), (3000, "x"), (4999, "é" * 61)])
def test_the_handler_closes(gate, take_seat, code, reason):
    bus = take_seat(gate)
    client, conn = connect(gate, bus)
    seq = bus.close(conn, code, reason, outcome=True)
    outcome = bus.hear("outcome")
    assert (outcome.conn, outcome.seq, outcome.outcome) == (conn, seq, "written")
    assert client.read_close() == (code, reason)
    client.send(close_frame(code))
    closed = bus.hear("closed")
    assert (closed.meta["by"], closed.meta["code"], closed.meta["reason"], closed.meta["clean"]) == ("handler", code, reason, True)
    client.expect_end()


@pytest.mark.parametrize("code", [1004, 1005, 1006, 1015, 1016, 2999, 5000])
def test_the_handler_may_not_send_every_code(gate, take_seat, code):
    bus = take_seat(gate)
    client, conn = connect(gate, bus)
    seq = bus.close(conn, code)
    error = bus.hear("error")
    assert (error.seq, error.code) == (seq, 3)
    bus.send(conn, "still open")
    bus.flush()
    assert client.read_message() == "still open"


def test_a_reason_that_is_too_long_is_cut_between_characters(gate, take_seat):
    bus = take_seat(gate)
    client, conn = connect(gate, bus)
    bus.close(conn, 1000, "€" * 60)
    bus.flush()
    assert client.read_close() == (1000, "€" * 41)  # 123 bytes


def test_what_was_said_before_closing_arrives_first(gate, take_seat):
    bus = take_seat(gate)
    client, conn = connect(gate, bus)
    for i in range(100):
        bus.send(conn, "%d" % i)
    bus.close(conn)
    bus.send(conn, "too late", outcome=True)
    assert bus.hear("outcome").outcome == "gone"
    assert [client.read_message() for _ in range(100)] == ["%d" % i for i in range(100)]
    assert client.read_close() == (1000, "")


def test_both_close_at_once(gate, take_seat):
    bus = take_seat(gate)
    client, conn = connect(gate, bus)
    bus.close(conn, 1000)
    client.send(close_frame(1001))
    bus.flush()
    assert client.read_frame().opcode == CLOSE
    client.expect_end()
    assert bus.hear("closed").meta["clean"]
    assert bus.hears_nothing()


@pytest.mark.parametrize("ending", ["close", "reset"])
def test_an_abrupt_end(gate, take_seat, ending):
    bus = take_seat(gate)
    client, conn = connect(gate, bus)
    client.say("last words")
    assert bus.hear("data").text == "last words"
    getattr(client, ending)()
    closed = bus.hear("closed")
    assert (closed.conn, closed.seq) == (conn, 3)
    assert (closed.meta["by"], closed.meta["code"], closed.meta["clean"]) == ("network", 1006, False)
    bus.send(conn, "hello?", outcome=True)
    assert bus.hear("outcome").outcome == "gone"
    eventually(lambda: gate.wsctl("status")["connections"] == 0, "no connection")


def test_an_end_in_the_middle_of_a_frame(gate, take_seat):
    bus = take_seat(gate)
    client, conn = connect(gate, bus)
    client.send(frame(1, "x" * 1000)[:500])
    client.reset()
    closed = bus.hear("closed")
    assert (closed.conn, closed.seq, closed.meta["code"], closed.meta["messages_in"]) == (conn, 2, 1006, 0)


def test_what_closed_counts(gate, take_seat):
    bus = take_seat(gate)
    client, conn = connect(gate, bus)
    client.say("12345").say(b"123")
    assert [bus.hear("data").seq for _ in range(2)] == [2, 3]
    bus.send(conn, "1234567")
    bus.flush()
    assert client.read_message() == "1234567"
    client.send(close_frame(1000))
    closed = bus.hear("closed")
    counted = {name: closed.meta[name] for name in ("messages_in", "bytes_in", "messages_out", "bytes_out")}
    assert counted == {"messages_in": 2, "bytes_in": 8, "messages_out": 1, "bytes_out": 7}
    assert 0 <= closed.meta["age_ms"] < 60000
    assert closed.seq == 4


def test_a_client_that_does_not_answer_a_close(make_gate, take_seat):
    gate = make_gate(args=["--close-timeout", "300ms"])
    bus = take_seat(gate)
    client, conn = connect(gate, bus)
    begun = time.monotonic()
    bus.close(conn, 1000, "go")
    bus.flush()
    assert client.read_close() == (1000, "go")
    client.say("I am still talking")
    closed = bus.hear("closed")
    assert time.monotonic() - begun >= 0.29
    assert (closed.meta["by"], closed.meta["code"], closed.meta["clean"]) == ("handler", 1000, False)
    client.expect_end()


def test_a_client_that_answers_and_stays_is_cut_off(gate, take_seat):
    bus = take_seat(gate)
    client, _ = connect(gate, bus)
    client.send(close_frame(1000))
    client.read_close()
    client.expect_end()  # the gate's side of the connection
    begun = time.monotonic()
    eventually(lambda: gate.wsctl("status")["connections"] == 0, "it is cut off")
    assert time.monotonic() - begun < 6, "2 s, not the whole time of a closing handshake"
    client.close()


def test_the_admin_closes(gate, take_seat):
    bus = take_seat(gate)
    client, conn = connect(gate, bus)
    gate.wsctl("close", "%016x" % conn, "--code", "1008", "--reason", "policy")
    assert client.read_close() == (1008, "policy")
    client.send(close_frame(1008))
    closed = bus.hear("closed")
    assert (closed.meta["by"], closed.meta["code"]) == ("admin", 1008)
    client.close()


def test_python_websockets_agrees(gate, echo):
    echo(gate)

    async def talk():
        async with websockets.connect(gate.url(), ssl=gate.tls, compression=None) as client:
            await client.send("x")
            assert await client.recv() == "x"
            await client.close(4001, "enough")
        assert client.close_code == 4001

    run_async(talk())
