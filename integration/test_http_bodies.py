"""Bodies of requests: who asks for one, how long it may take, and what it may cost."""

import signal
import subprocess
import threading

import pytest

from conftest import BOTH_WIRES, BUILD, eventually
from raw import Raw
from test_http import get

pytestmark = BOTH_WIRES

MIB = 1 << 20


@pytest.fixture
def asked(make_gate):
    return make_gate(routes=["web=/web/{rest*},kind=http,expect=handler,request_timeout=2s"])


def expecting(size, path="/web/"):
    return get(path, "POST", ["Content-Length: %d" % size, "Expect: 100-continue"])


def body_of(bus, conn):
    """What comes of it, up to its end."""
    parts = []
    while True:
        event = bus.hear("body")
        assert event.conn == conn
        parts.append(event.payload)
        if not event.more:
            return b"".join(parts)


def test_the_handler_asks_for_the_body(asked, take_seat):
    bus = take_seat(asked, ["web"])
    with Raw(asked) as client:
        for turn in range(2):  # the connection goes on
            client.send(expecting(5))
            request = bus.hear("request")
            assert (request.payload, request.more, request.meta["expect_continue"]) == (b"", True, True)
            assert turn or client.is_quiet()
            seq = bus.continue_(request.conn, outcome=True)
            bus.flush()
            assert client.read_head()[0] == 100
            outcome = bus.hear("outcome")
            assert (outcome.seq, outcome.outcome) == (seq, "written")
            bus.continue_(request.conn, outcome=True)
            assert bus.hear("outcome").meta["reason"] == "100 Continue was said already"
            client.send("12345")
            assert body_of(bus, request.conn) == b"12345"
            bus.respond(request.conn, "thanks")
            bus.flush()
            assert client.read_response().body == b"thanks"
    assert asked.wsctl("stats")["routes"]["web"]["continued"] == 2


def test_the_handler_does_not_want_the_body(asked, take_seat):
    bus = take_seat(asked, ["web"])
    with Raw(asked) as client:
        client.send(expecting(5))
        request = bus.hear("request")
        bus.respond(request.conn, "no", 403)
        bus.flush()
        answer = client.read_response()
        assert (answer.status, answer.body, answer.headers["connection"]) == (403, b"no", "close")
        client.expect_end()
    assert bus.hear("aborted").conn == request.conn


def test_a_client_that_does_not_wait_is_heard(asked, take_seat):
    bus = take_seat(asked, ["web"])
    with Raw(asked) as client:
        client.send(expecting(5) + "12345")
        request = bus.hear("request")
        assert body_of(bus, request.conn) == b"12345"
        bus.continue_(request.conn, outcome=True)
        assert bus.hear("outcome").outcome == "written"
        bus.respond(request.conn, "thanks")
        bus.flush()
        assert client.read_response().body == b"thanks", "and no 100 before it"


def test_100_is_refused_where_it_is_not_expected(asked, take_seat):
    bus = take_seat(asked, ["web"])
    for request, why in [(get("/web/"), "the request does not expect 100 Continue of its handler"),
                         (expecting(1).replace("HTTP/1.1", "HTTP/1.0") + "x", "HTTP/1.0 has no 100 Continue")]:
        with Raw(asked) as client:
            client.send(request)
            conn = bus.hear("request").conn
            bus.continue_(conn, outcome=True)
            outcome = bus.hear("outcome")
            assert (outcome.outcome, outcome.meta["reason"]) == ("refused", why)
            bus.respond(conn, "here")
            bus.flush()
            assert client.read_response().body == b"here"


def test_a_handler_that_says_neither_is_504(make_gate, take_seat):
    gate = make_gate(routes=["web=/web/{rest*},expect=handler,request_timeout=100ms"])
    bus = take_seat(gate, ["web"])
    with Raw(gate) as client:
        client.send(expecting(5))
        request = bus.hear("request")
        assert client.read_response().status == 504
        client.expect_end()
    assert bus.hear("aborted").conn == request.conn


def test_curl_waits_for_the_handler(asked, take_seat, tmp_path):
    bus = take_seat(asked, ["web"])
    (tmp_path / "body").write_bytes(b"b" * (2 * MIB))
    command = [*asked.curl, "-v", "--expect100-timeout", "30", "-H", "Expect: 100-continue", "-w", "%{http_code} %{size_upload}", "-o", tmp_path / "answer",
               "--data-binary", "@%s" % (tmp_path / "body"), asked.http("/web/")]
    for wanted in (True, False):
        curl = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        request = bus.hear("request")
        if wanted:
            bus.continue_(request.conn)
            assert len(body_of(bus, request.conn)) == 2 * MIB
        bus.respond(request.conn, "done", 201 if wanted else 403)
        bus.flush()
        out, err = curl.communicate(timeout=30)
        assert (out, curl.returncode) == ("201 %d" % (2 * MIB) if wanted else "403 0", 0), err
        if not wanted:
            assert bus.hear("aborted").conn == request.conn


# --- time


def trickle(client, until):
    """A byte now and then, for as long as the gate says nothing."""
    client.socket.settimeout(0.02)
    while True:
        try:
            return until(client)
        except TimeoutError:
            client.send("x")


@pytest.mark.parametrize("size", [1000, 200000])
def test_a_body_that_drips_is_408(make_gate, take_seat, size):
    gate = make_gate(routes=["web=/web/{rest*},body_timeout=300ms"])
    bus = take_seat(gate, ["web"])
    with Raw(gate) as client:
        client.send(get("/web/", "POST", ["Content-Length: %d" % size], "x" * min(size // 2, 70000)))
        status, headers = trickle(client, Raw.read_head)
        assert (status, headers["connection"]) == (408, "close")
    if size > 70000:  # the handler has heard of it
        conn = bus.hear("request").conn
        while (event := bus.hear("body", "aborted")).type == "body":
            pass
        assert (event.conn, event.meta["reason"]) == (conn, "request timed out")
    assert gate.wsctl("stats")["routes"]["web"]["refused_by"]["body_timeout"] == 1
    gate.wait_line("refused.*status=408.*the request's body did not come in time")


def test_a_body_that_drips_into_a_response_is_cut_off(make_gate, take_seat):
    gate = make_gate(routes=["web=/web/{rest*},body_timeout=300ms,stream_timeout=0"])
    bus = take_seat(gate, ["web"])
    with Raw(gate) as client:
        client.send(get("/web/", "POST", ["Content-Length: 200000"], "x" * 70000))
        conn = bus.hear("request").conn
        bus.respond(conn, "begun", more=True)
        bus.flush()
        assert client.read_head()[0] == 200
        try:
            trickle(client, lambda client: client.read(1000))
        except (AssertionError, OSError):
            pass
        while (event := bus.hear("body", "aborted")).type == "body":
            pass
        assert (event.conn, event.meta["reason"]) == (conn, "the request's body did not come in time")


def test_a_large_body_may_take_its_time_where_the_route_says_so(make_gate, take_seat):
    gate = make_gate(routes=["web=/web/{rest*},body_timeout=0"], args=["--head-timeout", "10s"])
    bus = take_seat(gate, ["web"])
    with Raw(gate) as client:
        client.send(get("/web/", "POST", ["Content-Length: 20"]))
        for _ in range(20):
            assert client.is_quiet(0.03)
            client.send("x")
        bus.respond(bus.hear("request").conn, "thanks")
        bus.flush()
        assert client.read_response().body == b"thanks"


# --- a handler that does not keep up


def post(gate, size, done):
    """A client in a thread: the response to a body of that size, or how it came to none."""

    def run():
        with Raw(gate) as client:
            client.socket.settimeout(120)
            try:
                client.send(get("/web/", "POST", ["Content-Length: %d" % size]))
                for at in range(0, size, MIB):
                    client.send(bytes([at // MIB % 256]) * min(MIB, size - at))
                done.append(client.read_response())
            except (OSError, AssertionError) as failure:
                done.append(failure)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def is_paused(gate, for_ms=0):
    return any(c["paused"] and c["idle_ms"] >= for_ms for c in gate.wsctl("list")["connections"])


def take_body(bus, request, size):
    """The rest of it, each part as it was sent."""
    total, wrong = len(request.payload), 0
    more = True
    while more:
        event = bus.hear("body")
        wrong += event.payload[:1] not in (b"", bytes([total // MIB % 256]))
        total, more = total + len(event.payload), event.more
    assert (total, wrong) == (size, 0)


def test_a_body_waits_for_its_handler(make_gate, take_seat):
    """128 MiB for one who reads nothing: the client waits, and the gate holds little of it."""
    gate = make_gate(routes=["web=/web/{rest*},max_body=128MiB"], args=["--workers", "2"])
    bus = take_seat(gate, ["web"], credit=(64, MIB))
    before, done, size = gate.memory_kib(), [], 128 * MIB
    thread = post(gate, size, done)
    request = bus.hear("request")
    eventually(lambda: is_paused(gate), "a client that is not read")
    gate.assert_grew_less(before, 32)  # a worker may have 16 under way to the hub, and the hub as much to a handler
    take_body(bus, request, size)
    gate.assert_grew_less(before, 48)
    bus.respond(request.conn, "all")
    bus.flush()
    thread.join(60)
    assert done[0].body == b"all"


def test_time_that_the_gate_does_not_read_is_not_the_clients(make_gate, take_seat):
    gate = make_gate(routes=["web=/web/{rest*},max_body=64MiB,body_timeout=1500ms"], args=["--head-timeout", "1500ms"])
    bus = take_seat(gate, ["web"], credit=(64, MIB))
    done, size = [], 16 * MIB  # more than all that lies between hold
    thread = post(gate, size, done)
    request = bus.hear("request")
    eventually(lambda: is_paused(gate, 2000), "a client that has not been read for longer than its body may take")
    take_body(bus, request, size)
    bus.respond(request.conn, "all")
    bus.flush()
    thread.join(60)
    assert done[0].body == b"all"


@pytest.mark.parametrize("link", ["auto", "zmq"])
def test_a_body_for_a_handler_that_is_stopped(make_gate, processes, link):
    """It is found out and given up; until then the gate holds little of the body."""
    gate = make_gate(routes=["web=/web/{rest*},max_body=128MiB"])
    before = gate.memory_kib()
    handler = processes([BUILD / "examples" / "wsbus-http", "--bus", gate.dir, "--route", "web"], env={"WSBUS_LINK": link} if link == "zmq" else None)
    gate.wait_handlers("web", 1)
    handler.signal(signal.SIGSTOP)
    done = []
    thread = post(gate, 128 * MIB, done)
    try:
        eventually(lambda: done or is_paused(gate), "a client that is not read")
        gate.assert_grew_less(before, 48)
        eventually(lambda: done, "the end of a request whose handler is gone")
        gate.assert_grew_less(before, 48)
    finally:
        handler.signal(signal.SIGCONT)
    thread.join(60)
    assert not isinstance(done[0], tuple) or done[0].status in (502, 503)
