"""RFC 6455 over a plain socket: what the gate takes, what it refuses with which code, and that it needs no handler for it."""

import signal

import pytest

from conftest import eventually
from raw import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Raw, close_frame, frame

EURO = "€".encode()

# What breaks a rule, and the code that it is closed with.
VIOLATIONS = {
    "§5.1 unmasked frame": (1002, frame(TEXT, "hi", masked=False)),
    "§5.1 unmasked ping": (1002, frame(PING, "hi", masked=False)),
    "§5.2 RSV1": (1002, frame(TEXT, "hi", rsv=4)),
    "§5.2 RSV2": (1002, frame(TEXT, "hi", rsv=2)),
    "§5.2 RSV3 on a ping": (1002, frame(PING, "hi", rsv=1)),
    "§5.2 opcode 3": (1002, frame(3, "hi")),
    "§5.2 opcode 7": (1002, frame(7)),
    "§5.2 opcode 11": (1002, frame(11)),
    "§5.2 opcode 15": (1002, frame(15, "hi")),
    "§5.2 16 bits for 5 bytes": (1002, frame(TEXT, "hello", length="16")),
    "§5.2 64 bits for 5 bytes": (1002, frame(TEXT, "hello", length="64")),
    "§5.2 highest bit of a length": (1002, frame(BINARY, b"", length=1 << 63)),
    "§5.4 continuation of nothing": (1002, frame(CONTINUATION, "hi")),
    "§5.4 a message inside another": (1002, frame(TEXT, "a", fin=False) + frame(TEXT, "b")),
    "§5.4 continuation of what was ended": (1002, frame(TEXT, "a", fin=False) + frame(CONTINUATION, "b") + frame(CONTINUATION, "c")),
    "§5.5 ping in fragments": (1002, frame(PING, "hi", fin=False)),
    "§5.5 close in fragments": (1002, close_frame(1000, fin=False)),
    "§5.5 ping of 126 bytes": (1002, frame(PING, b"x" * 126)),
    "§5.5 pong of 126 bytes": (1002, frame(PONG, b"x" * 126)),
    "§5.5 close of 126 bytes": (1002, close_frame(1000, "x" * 124)),
    "§5.5.1 close of one byte": (1002, frame(CLOSE, b"\x03")),
    "§8.1 text that is not UTF-8": (1007, frame(TEXT, b"\xff")),
    "§8.1 overlong": (1007, frame(TEXT, b"\xc0\xaf")),
    "§8.1 surrogate": (1007, frame(TEXT, b"\xed\xa0\x80")),
    "§8.1 beyond U+10FFFF": (1007, frame(TEXT, b"\xf4\x90\x80\x80")),
    "§8.1 ends in the middle of a character": (1007, frame(TEXT, EURO[:2])),
    "§8.1 over two fragments": (1007, frame(TEXT, EURO[:1], fin=False) + frame(CONTINUATION, b"x")),
    "§8.1 last fragment": (1007, frame(TEXT, EURO, fin=False) + frame(CONTINUATION, EURO[:1])),
    "§8.1 fails fast, before the message is whole": (1007, frame(TEXT, b"ok\xff", fin=False)),
    "§8.1 fails fast, within a frame": (1007, frame(TEXT, b"\xff" + b"x" * 70000)[:2000]),
    "§8.1 reason of a close": (1007, close_frame(1000, b"\xff")),
    "message over the limit": (1009, frame(BINARY, b"", length=(16 << 20) + 1)[:14]),
    "absurd length": (1009, frame(BINARY, b"", length=(1 << 63) - 1)),
}

CLOSE_CODES_TAKEN = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999]
CLOSE_CODES_REFUSED = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535]

ACCEPTED = {
    "empty text": (frame(TEXT), [""]),
    "empty binary": (frame(BINARY), [b""]),
    "another key": (frame(TEXT, "hi", key=b"\0\0\0\0"), ["hi"]),
    "NUL in text": (frame(TEXT, "a\0b"), ["a\0b"]),
    "16-bit length": (frame(BINARY, b"x" * 126), [b"x" * 126]),
    "64-bit length": (frame(BINARY, b"x" * 65536), [b"x" * 65536]),
    "fragments": (frame(TEXT, "a", fin=False) + frame(CONTINUATION, "b", fin=False) + frame(CONTINUATION, "c"), ["abc"]),
    "empty fragments": (frame(BINARY, b"", fin=False) + frame(CONTINUATION, b"", fin=False) + frame(CONTINUATION), [b""]),
    "a character over three fragments": (
        frame(TEXT, EURO[:1], fin=False) + frame(CONTINUATION, EURO[1:2], fin=False) + frame(CONTINUATION, EURO[2:]), ["€"]),
    "binary that is not UTF-8": (frame(BINARY, b"\xff\xfe"), [b"\xff\xfe"]),
    "last character there is": (frame(TEXT, "\U0010ffff\ufeff\ufffe"), ["\U0010ffff\ufeff\ufffe"]),
    "unsolicited pong": (frame(PONG, "who asked?") + frame(TEXT, "x"), ["x"]),
}


@pytest.fixture(scope="module", params=["ws", "wss", "deflate"])
def open_gate(request, tmp_path_factory, pki):
    """One gate with an echo handler for the whole table: no row may harm the next."""
    from conftest import HANDLERS, Gate, Process, assert_clean
    # Agreed on, and used by nobody: what is not compressed means what it always meant.
    routes = ["echo=/echo,compress=yes,compress_takeover=yes,compress_threshold=1GiB"] if request.param == "deflate" else ["echo=/echo"]
    gate = Gate(tmp_path_factory.mktemp("gate"), args=["--workers", "1"], routes=routes, pki=pki if request.param == "wss" else None)
    gate.extra = ["Sec-WebSocket-Extensions: permessage-deflate"] if request.param == "deflate" else []
    handler = Process(HANDLERS["c"](gate, "echo"))
    gate.wait_handlers("echo", 1)
    yield gate
    assert (gate.wsctl("stats")["routes"]["echo"]["compressed"] > 0) == (request.param == "deflate")
    for process in (handler, gate):
        assert process.stop() == 0
        assert_clean(process)


@pytest.mark.parametrize("name", VIOLATIONS)
def test_violation(open_gate, name):
    code, data = VIOLATIONS[name]
    with Raw(open_gate) as good, Raw(open_gate) as bad:
        good.upgrade()
        bad.upgrade().send(data)
        got = bad.read_frame()
        assert got.opcode == CLOSE, got
        assert int.from_bytes(got.payload[:2], "big") == code, got.payload
        bad.expect_end()
        assert good.ask("still here") == "still here"


@pytest.mark.parametrize("name", VIOLATIONS)
def test_violation_byte_by_byte(open_gate, name):
    code, data = VIOLATIONS[name]
    if len(data) > 3000:
        data = data[:3000]
    with Raw(open_gate) as bad:
        bad.upgrade()
        try:
            for byte in data:
                bad.send(bytes([byte]))
        except (BrokenPipeError, ConnectionResetError):
            pass  # it was refused before it was whole
        assert bad.read_close()[0] == code


@pytest.mark.parametrize("name", ACCEPTED)
def test_accepted(open_gate, name):
    data, answers = ACCEPTED[name]
    for pieces in ([data], [data[i:i + 1] for i in range(len(data))] if len(data) < 300 else [data[:7], data[7:]]):
        with Raw(open_gate) as client:
            client.upgrade()
            for piece in pieces:
                client.send(piece)
            for answer in answers:
                assert client.read_message() == answer


@pytest.mark.parametrize("code", CLOSE_CODES_TAKEN)
def test_close_code_is_echoed(open_gate, code):
    with Raw(open_gate) as client:
        client.upgrade().send(close_frame(code, "bye €"))
        got = client.read_frame()
        assert (got.opcode, got.payload[:2]) == (CLOSE, code.to_bytes(2, "big"))
        client.expect_end()


def test_close_without_code_is_answered_without_code(open_gate):
    with Raw(open_gate) as client:
        client.upgrade().send(close_frame())
        assert client.read_frame() == (True, 0, CLOSE, b"")
        client.expect_end()


@pytest.mark.parametrize("code", CLOSE_CODES_REFUSED)
def test_close_code_that_must_not_be_sent(open_gate, code):
    with Raw(open_gate) as client:
        client.upgrade().send(close_frame(code))
        assert client.read_close()[0] == 1002
        client.expect_end()


def test_nothing_after_a_close_frame_is_read(open_gate):
    with Raw(open_gate) as client:
        client.upgrade().send(close_frame(1000) + frame(TEXT, "too late") + frame(PING, "too late"))
        assert client.read_frame().opcode == CLOSE
        client.expect_end()


@pytest.mark.parametrize("payload", [b"", b"?", b"x" * 125, b"\xff\x00"])
def test_ping_is_answered_with_the_same(open_gate, payload):
    with Raw(open_gate) as client:
        client.upgrade().send(frame(PING, payload))
        assert client.read_frame() == (True, 0, PONG, payload)


def test_ping_between_fragments(open_gate):
    with Raw(open_gate) as client:
        client.upgrade().send(frame(TEXT, "a", fin=False) + frame(PING, "now?"))
        assert client.read_frame() == (True, 0, PONG, b"now?")
        client.send(frame(CONTINUATION, "b"))
        assert client.read_message() == "ab"


def test_limits_of_a_route(make_gate, echo):
    gate = make_gate(routes=["echo=/echo,max_message=1000,max_frame=400,max_fragments=4"])
    echo(gate)
    for data, code in [
        (frame(BINARY, b"x" * 401), 1009),
        (frame(BINARY, b"x" * 400, fin=False) * 1 + frame(CONTINUATION, b"x" * 400, fin=False) + frame(CONTINUATION, b"x" * 201), 1009),
        (frame(BINARY, b"", fin=False) + frame(CONTINUATION, b"", fin=False) * 4, 1009),
    ]:
        with Raw(gate) as client:
            client.upgrade().send(data)
            assert client.read_close()[0] == code
    with Raw(gate) as client:
        client.upgrade().send(frame(BINARY, b"x" * 400, fin=False) + frame(CONTINUATION, b"x" * 400, fin=False) +
                              frame(CONTINUATION, b"x" * 199, fin=False) + frame(CONTINUATION, b"x"))
        assert client.read_message() == b"x" * 1000


def test_pings_and_closes_need_no_handler(gate, echo):
    handlers = [echo(gate, "c"), echo(gate, "python")]
    clients = [Raw(gate).upgrade() for _ in range(6)]
    assert clients[0].ask("before") == "before"
    for handler in handlers:
        handler.signal(signal.SIGSTOP)
    for client in clients:
        client.say("into the void").send(frame(PING, "alive?"))
        assert client.read_frame() == (True, 0, PONG, b"alive?")
    for client in clients[:3]:
        client.send(close_frame(1000))
        assert client.read_close() == (1000, "")
        client.expect_end()
    for client in clients:
        client.close()
    for handler in handlers:
        handler.signal(signal.SIGCONT)
    eventually(lambda: gate.wsctl("status")["connections"] == 0, "all connections gone")


def test_the_gate_pings_idle_clients(make_gate, take_seat):
    gate = make_gate(args=["--ping-interval", "100ms", "--ping-timeout", "300ms"])
    bus = take_seat(gate)
    with Raw(gate) as lively, Raw(gate) as dead:
        lively.upgrade()
        conn = bus.hear("open").conn
        dead.upgrade()
        silent = bus.hear("open").conn
        for _ in range(8):  # far longer than the time-out
            got = lively.read_frame()
            assert got.opcode == PING
            lively.send(frame(PONG, got.payload))
        closed = bus.hear("closed")
        assert (closed.conn, closed.meta["by"], closed.meta["reason"]) == (silent, "network", "no answer to a ping")
        assert gate.wsctl("show", wsbus_id(conn))["id"] == wsbus_id(conn)


def wsbus_id(conn):
    return "%016x" % conn
