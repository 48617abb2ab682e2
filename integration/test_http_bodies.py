"""Bodies of requests: who asks for one, how long it may take, and what it may cost."""

import subprocess

import pytest

from conftest import BOTH_WIRES, eventually
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
