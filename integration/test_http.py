"""HTTP through the gate: requests to a handler and back, and what the gate says by itself when there is no good request, or no answer."""

import contextlib
import random
import signal
import socket
import ssl
import subprocess
import threading
import time

import pytest

from conftest import BOTH_WIRES, BUILD, DEADLINE, eventually
from raw import Raw, upgrade_request

pytestmark = BOTH_WIRES

MIB = 1 << 20
SIZES = [0, 1, 65535, 65536, 65537, MIB, 10 * MIB]


def get(path="/web", method="GET", headers=(), body=""):
    return "\r\n".join(["%s %s HTTP/1.1" % (method, path), "Host: gate.test", *headers, "", body])


@pytest.fixture
def web(make_gate):
    return make_gate(routes=["web=/web/{rest*},kind=http,max_body=20MiB", "ws=/ws,kind=websocket"])


class Worker(threading.Thread):
    """A handler in a thread of its own, which answers each request by a function of (event, body)."""

    def __init__(self, bus, answer):
        super().__init__(daemon=True)
        self.bus, self.answer, self.failure, self.ending = bus, answer, None, False
        self.start()

    def run(self):
        bodies = {}
        try:
            while not self.ending:
                event = self.bus.read(50)
                if event is None:
                    continue
                if event.type == "request":
                    bodies[event.conn] = (event, [event.payload])
                elif event.type == "body":
                    bodies[event.conn][1].append(event.payload)
                if event.type in ("request", "body") and not event.more:
                    request, parts = bodies.pop(event.conn)
                    self.answer(self.bus, request, b"".join(parts))
        except Exception as failure:  # shown by the test that it belongs to
            self.failure = failure

    def end(self):
        self.ending = True
        self.join()
        assert self.failure is None, self.failure


@pytest.fixture
def serve(take_seat):
    """serve(gate, answer) answers requests in the background."""
    workers = []

    def start(gate, answer, routes=("web",)):
        workers.append(Worker(take_seat(gate, routes), answer))
        return workers[-1].bus

    yield start
    for worker in workers:
        worker.end()


def echo_back(bus, request, body):
    bus.respond(request.conn, body, 200, {"content-type": "application/octet-stream", "x-method": request.meta["method"]})


@pytest.mark.parametrize("size", SIZES)
def test_bodies_both_ways(web, serve, size):
    serve(web, echo_back)
    body = random.Random(size).randbytes(size)
    client = web.http_client()
    for method in ("POST", "PUT"):
        client.request(method, "/web/x", body)
        answer = client.getresponse()
        assert (answer.status, answer.headers["x-method"]) == (200, method)
        assert answer.read() == body
    client.request("POST", "/web/x", iter([body[:size // 2], body[size // 2:]] if size else []), encode_chunked=True,
                   headers={"Transfer-Encoding": "chunked"})
    assert client.getresponse().read() == body


def test_what_a_request_tells(web, take_seat):
    bus = take_seat(web, ["web"])
    with Raw(web) as client:
        client.send(get("/web/a%20b/c?q=1&r=%2F", "PATCH", ["Content-Length: 2", "Cookie: a=b", "X-Y: 1", "x-y: 2"], "{}"))
        request = bus.hear("request")
        port = client.socket.getsockname()[1]
        meta = request.meta
        assert (request.payload, request.seq, request.more) == (b"{}", 1, False)
        assert {k: meta[k] for k in ("route", "method", "version", "target", "path", "query", "host", "scheme", "peer", "params")} == {
            "route": "web", "method": "PATCH", "version": "1.1", "target": "/web/a%20b/c?q=1&r=%2F", "path": "/web/a b/c",
            "query": "q=1&r=%2F", "host": "gate.test", "scheme": "https" if web.tls else "http", "peer": "127.0.0.1:%d" % port, "params": {"rest": "a b/c"}}
        assert meta["headers"]["x-y"] == "1, 2"
        seq = bus.respond(request.conn, "made", 201, {"Location": "/web/7", "Set-Cookie": ["a=1", "b=2"]}, outcome=True)
        assert (bus.hear("outcome").seq, bus.hears_nothing()) == (seq, True)
        answer = client.read_response()
        assert (answer.status, answer.body, answer.headers["location"], answer.headers["set-cookie"]) == (201, b"made", "/web/7", "a=1, b=2")
        assert answer.headers["date"].endswith(" GMT")


def test_head_has_the_head_only(web, serve):
    serve(web, lambda bus, request, body: bus.respond(request.conn, "12345"))
    with Raw(web) as client:
        client.send(get("/web/", "HEAD") + get("/web/"))
        first = client.read_response("HEAD")
        assert (first.status, first.headers["content-length"]) == (200, "5")
        assert client.read_response().body == b"12345"


def test_pipelined_requests_are_answered_in_order(web, serve):
    serve(web, lambda bus, request, body: bus.respond(request.conn, request.meta["path"] + ":" + body.decode()))
    with Raw(web) as client:
        client.send("".join(get("/web/%d" % i, "POST", ["Content-Length: %d" % (i % 7)], "b" * (i % 7)) for i in range(200)))
        for i in range(200):
            assert client.read_response().body.decode() == "/web/%d:%s" % (i, "b" * (i % 7))


def test_each_request_has_an_id_of_its_own(web, serve):
    seen = []

    def answer(bus, request, body):
        seen.append(request.conn)
        for conn in seen[:-1]:
            bus.respond(conn, "to somebody else")  # what was answered already takes no more
        bus.respond(request.conn, "%d" % len(seen))

    serve(web, answer)
    with Raw(web) as client:
        assert [client.send(get("/web/")).read_response().body for _ in range(5)] == [b"1", b"2", b"3", b"4", b"5"]
    assert len(set(seen)) == 5


@pytest.mark.parametrize("version, header, stays", [
    ("1.1", "X: y", True), ("1.1", "Connection: close", False), ("1.0", "X: y", False), ("1.0", "Connection: keep-alive", True)])
def test_keep_alive(web, serve, version, header, stays):
    serve(web, echo_back)
    request = "POST /web/ HTTP/%s\r\nHost: x\r\nContent-Length: 1\r\n%s\r\n\r\nz" % (version, header)
    with Raw(web) as client:
        answer = client.send(request).read_response()
        assert answer.body == b"z"
        if stays:
            assert answer.headers.get("connection", "keep-alive") == "keep-alive"
            assert client.send(request).read_response().body == b"z"
        else:
            assert answer.headers["connection"] == "close"
            client.expect_end()


def test_expect_100_continue(web, take_seat):
    bus = take_seat(web, ["web"])
    with Raw(web) as client:
        client.send(get("/web/", "POST", ["Content-Length: 5", "Expect: 100-continue"]))
        assert client.read_head()[0] == 100
        client.send("12345")
        request = bus.hear("request")
        assert request.payload == b"12345"
        bus.respond(request.conn, "thanks")
        bus.flush()
        assert client.read_response().body == b"thanks"


def test_expect_100_continue_is_not_said_to_what_is_refused(web, take_seat):
    take_seat(web, ["web"])
    with Raw(web) as client:
        client.send(get("/web/", "POST", ["Content-Length: %d" % (21 * MIB), "Expect: 100-continue"]))
        assert client.read_head()[0] == 413


def test_curl_agrees(web, serve, tmp_path):
    serve(web, echo_back)
    (tmp_path / "body").write_bytes(random.Random(1).randbytes(3 * MIB))
    for extra in ([], ["-H", "Transfer-Encoding: chunked"], ["--http1.0"]):
        run = subprocess.run([*web.curl, "-o", tmp_path / "answer", "-w", "%{http_code}", *extra, "--data-binary",
                              "@%s" % (tmp_path / "body"), web.http("/web/upload")], capture_output=True, text=True)
        assert (run.returncode, run.stdout) == (0, "200"), run.stderr
        assert (tmp_path / "answer").read_bytes() == (tmp_path / "body").read_bytes()


# --- what is refused

REFUSALS = {
    "no route": (404, get("/nowhere")),
    "WebSocket only": (426, get("/ws")),
    "TRACE": (405, get("/web/", "TRACE")),
    "CONNECT": (405, "CONNECT gate.test:80 HTTP/1.1\r\nHost: gate.test:80\r\n\r\n"),
    "a method nobody knows": (501, get("/web/", "BREW")),
    "garbage": (400, "\x16\x03\x01\x02\x00\x01\r\n\r\n"),
    "no Host": (400, "GET /web/ HTTP/1.1\r\n\r\n"),
    "two Hosts": (400, get("/web/", headers=["Host: other"])),
    "HTTP/2": (505, "GET /web/ HTTP/2.0\r\nHost: x\r\n\r\n"),
    "HTTP/3.7": (505, "GET /web/ HTTP/3.7\r\nHost: x\r\n\r\n"),
    "bare LF smuggled": (400, "GET /web/ HTTP/1.1\r\nHost: x\r\nA: b\nContent-Length: 5\r\n\r\n"),
    "two lengths": (400, get("/web/", "POST", ["Content-Length: 1", "Content-Length: 2"], "x")),
    "length and chunked": (400, get("/web/", "POST", ["Content-Length: 3", "Transfer-Encoding: chunked"], "0\r\n\r\n")),
    "negative length": (400, get("/web/", "POST", ["Content-Length: -1"])),
    "length with a sign": (400, get("/web/", "POST", ["Content-Length: +1"], "x")),
    "huge length": (400, get("/web/", "POST", ["Content-Length: 99999999999999999999"])),
    "chunked is not last": (400, get("/web/", "POST", ["Transfer-Encoding: chunked, gzip"])),
    "unknown coding": (501, get("/web/", "POST", ["Transfer-Encoding: gzip, chunked"], "0\r\n\r\n")),
    "bad chunk size": (400, get("/web/", "POST", ["Transfer-Encoding: chunked"], "xyz\r\n")),
    "body over the limit": (413, get("/web/", "POST", ["Content-Length: %d" % (20 * MIB + 1)])),
    "head over the limit": (431, get("/web/", headers=["X: " + "x" * 17000])),
    "too many fields": (431, get("/web/", headers=["X%d: y" % i for i in range(150)])),
    "long target": (414, get("/web/" + "x" * 20000)),
    "unknown expectation": (417, get("/web/", "POST", ["Content-Length: 1", "Expect: miracles"], "x")),
    "user information": (400, "GET http://me@gate.test/web/ HTTP/1.1\r\nHost: gate.test\r\n\r\n"),
    "NUL in a field": (400, get("/web/", headers=["X: a\0b"])),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refusal(web, take_seat, name):
    status, request = REFUSALS[name]
    bus = take_seat(web, ["web"])
    with Raw(web) as client:
        answer = client.send(request).read_response()
        assert answer.status == status, answer
        assert ("allow" in answer.headers) == (status == 405)
        if answer.headers.get("connection") == "close":
            client.expect_end()
    assert bus.hears_nothing(0.1)


def test_a_chunked_body_over_the_limit(make_gate, take_seat):
    gate = make_gate(routes=["web=/web/{rest*},max_body=10"])
    bus = take_seat(gate, ["web"])
    with Raw(gate) as client:
        client.send(get("/web/", "POST", ["Transfer-Encoding: chunked"], "8\r\n12345678\r\n8\r\n"))
        client.send("12345678\r\n0\r\n\r\n")
        assert client.read_response().status == 413
    assert bus.hears_nothing()


def test_a_405_of_a_handler_does_not_allow_what_it_refuses(web, serve):
    serve(web, lambda bus, request, body: bus.respond(request.conn, "no", 405))
    with Raw(web) as client:
        for method in ("DELETE", "GET", "PATCH"):
            answer = client.send(get("/web/", method)).read_response()
            assert answer.status == 405 and method not in answer.headers["allow"].split(", ")


@pytest.mark.parametrize("ending, status", [("20000\r\n" + "x" * (1 << 17) + "\r\n", 413), ("nonsense\r\n", 400)], ids=["long", "malformed"])
def test_a_long_body_that_goes_wrong_is_answered(make_gate, take_seat, ending, status):
    """Its handler has the beginning already, and is told; the client is not only cut off."""
    gate = make_gate(routes=["web=/web/{rest*},max_body=200KiB"])
    bus = take_seat(gate, ["web"])
    with Raw(gate) as client:
        client.send(get("/web/", "POST", ["Transfer-Encoding: chunked"], "20000\r\n" + "x" * (1 << 17) + "\r\n"))
        bus.hear("request")
        client.send(ending)
        answer = client.read_response()
        assert (answer.status, answer.headers["connection"]) == (status, "close")
        client.expect_end()
    while (event := bus.hear("body", "aborted")).type == "body":
        pass
    assert gate.wsctl("stats")["routes"]["web"]["refused_by"]["body_size" if status == 413 else "malformed"] == 1


def test_an_absolute_target_is_its_path(web, serve):
    serve(web, lambda bus, request, body: bus.respond(request.conn, request.meta["path"]))
    with Raw(web) as client:
        assert client.send("GET http://gate.test/web/x HTTP/1.1\r\nHost: gate.test\r\n\r\n").read_response().body == b"/web/x"


@pytest.mark.parametrize("version", ["HTTP/1.2", "HTTP/1.9"])
def test_a_later_minor_version_is_ours(web, serve, version):
    """RFC 9110 §2.5: it is read as 1.1, and so is what follows on the connection."""
    serve(web, echo_back)
    with Raw(web) as client:
        client.send("POST /web/ %s\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" % version)
        assert client.read_response().body == b"abc"
        assert client.send(get("/web/")).read_response().status == 200


def end_saying(client):
    """End our direction, as `nc -N` does; the other one stays open."""
    if isinstance(client.socket, ssl.SSLSocket):
        client.socket.settimeout(0)  # close_notify, without waiting for the gate's
        with contextlib.suppress(ssl.SSLWantReadError):
            client.socket.unwrap()
        client.socket.settimeout(DEADLINE)
    else:
        client.socket.shutdown(socket.SHUT_WR)


def test_a_half_closed_client_gets_its_answers(web, take_seat):
    """Of one request that its handler takes its time with, and of another one behind it."""
    bus = take_seat(web, ["web"])
    with Raw(web) as client:
        client.send(get("/web/1") + get("/web/2", "POST", ["Content-Length: 2"], "hi"))
        first = bus.hear("request")
        end_saying(client)
        assert bus.hears_nothing()
        bus.respond(first.conn, b"answer 1")
        bus.flush()
        assert client.read_response().body == b"answer 1"
        second = bus.hear("request")
        assert second.payload == b"hi"
        bus.respond(second.conn, b"answer 2")
        bus.flush()
        assert client.read_response().body == b"answer 2"
        client.expect_end()
    eventually(lambda: web.wsctl("stats")["gate"]["connections"] == 0, "the connection's end")


def test_a_client_that_is_reset_is_gone(web, take_seat):
    bus = take_seat(web, ["web"])
    client = Raw(web).send(get("/web/"))
    request = bus.hear("request")
    client.reset()
    assert bus.hear("aborted").conn == request.conn


def test_a_route_may_take_a_half_closed_client_for_gone(make_gate, take_seat):
    gate = make_gate(routes=["web=/web/{rest*},half_close=abort"])
    bus = take_seat(gate, ["web"])
    with Raw(gate) as client:
        client.send(get("/web/"))
        request = bus.hear("request")
        client.socket.shutdown(socket.SHUT_WR)
        assert bus.hear("aborted").conn == request.conn


def test_a_client_that_has_closed_is_gone_when_something_is_sent(web, take_seat):
    bus = take_seat(web, ["web"])
    client = Raw(web).send(get("/web/"))
    conn = bus.hear("request").conn
    client.close()
    bus.respond(conn, b"x" * 1000, more=True)
    aborted = None
    while not aborted:
        bus.body(conn, b"x" * 1000, more=True)
        bus.flush()
        aborted = bus.read(20)
        assert aborted is None or (aborted.type, aborted.conn) == ("aborted", conn)


# --- time, and handlers that fail


def test_a_head_that_does_not_come(make_gate):
    gate = make_gate(args=["--head-timeout", "300ms", "--keepalive-timeout", "200ms"])
    with Raw(gate) as slow, Raw(gate) as silent:
        begun = time.monotonic()
        slow.send("GET / HT")
        assert slow.read_response().status == 408
        assert time.monotonic() - begun >= 0.28
        slow.expect_end()
        silent.expect_end()  # it never began: there is nothing to answer


def test_a_body_that_does_not_come(make_gate, take_seat):
    gate = make_gate(routes=["web=/web/{rest*}"], args=["--head-timeout", "300ms"])
    bus = take_seat(gate, ["web"])
    with Raw(gate) as client:
        client.send(get("/web/", "POST", ["Content-Length: 100"], "only this"))
        assert client.read_response().status == 408
        client.expect_end()
    with Raw(gate) as client:  # the same after the handler has heard of it
        client.send(get("/web/", "POST", ["Content-Length: 200000"], "x" * 70000))
        request = bus.hear("request")
        assert request.more
        assert client.read_response().status == 408
        while (event := bus.hear("body", "aborted")).type == "body":
            pass
        assert (event.conn, event.meta["reason"]) == (request.conn, "request timed out")


def test_idle_connections_end(make_gate, serve):
    gate = make_gate(routes=["web=/web/{rest*}"], args=["--keepalive-timeout", "200ms"])
    serve(gate, echo_back)
    with Raw(gate) as client:
        assert client.send(get("/web/")).read_response().status == 200
        client.expect_end()


def test_without_a_handler_503(web, take_seat):
    with Raw(web) as client:
        assert client.send(get("/web/")).read_response().status == 503
        bus = take_seat(web, ["web"])
        client.send(get("/web/"))  # on the same connection
        bus.respond(bus.hear("request").conn, "now")
        bus.flush()
        assert client.read_response().body == b"now"


def test_no_response_504(make_gate, take_seat):
    gate = make_gate(routes=["web=/web/{rest*},request_timeout=300ms"])
    bus = take_seat(gate, ["web"])
    with Raw(gate) as client:
        client.send(get("/web/"))
        request = bus.hear("request")
        assert client.read_response().status == 504
        assert bus.hear("aborted").conn == request.conn
        bus.respond(request.conn, "too late", outcome=True)
        assert bus.hear("outcome").outcome in ("gone", "refused")
        client.send(get("/web/"))
        bus.respond(bus.hear("request").conn, "in time")
        bus.flush()
        assert client.read_response().body == b"in time"


EVENTS = {"content-type": "text/event-stream; charset=utf-8"}


def begin_stream(gate, take_seat, client, headers, body):
    bus = take_seat(gate, ["web"])
    client.send(get("/web/", headers=["Last-Event-ID: 41"]))
    request = bus.hear("request")
    assert request.meta["headers"]["last-event-id"] == "41"
    bus.respond(request.conn, body, 200, headers, more=True)
    bus.flush()
    assert client.read_head()[0] == 200
    return bus, request.conn


def test_a_stream_of_events_is_kept_alive(make_gate, take_seat):
    gate = make_gate(routes=["web=/web/{rest*},request_timeout=50ms,sse_keepalive=20ms"])
    with Raw(gate) as client:
        bus, conn = begin_stream(gate, take_seat, client, EVENTS, "data: 1\n\n")
        client.read_until(b"2\r\n:\n\r\n" * 5)  # longer than request_timeout
        bus.body(conn, b"data: 2\n\n", more=False)
        bus.flush()
        assert client.read_until(b"0\r\n\r\n").count(b"9\r\ndata: 2\n\n\r\n") == 1
        client.send(get("/web/"))
        bus.respond(bus.hear("request").conn, "the connection goes on")
        bus.flush()
        assert client.read_response().body == b"the connection goes on"


def test_a_comment_never_breaks_a_line(make_gate, take_seat):
    gate = make_gate(routes=["web=/web/{rest*},sse_keepalive=20ms"])
    with Raw(gate) as client, Raw(gate) as other:
        bus, conn = begin_stream(gate, take_seat, client, EVENTS, "data: begun")
        other.send(get("/web/"))  # a second stream tells us that time has passed
        second = bus.hear("request").conn
        bus.respond(second, "data: 1\n\n", 200, EVENTS, more=True)
        bus.flush()
        other.read_until(b"2\r\n:\n\r\n" * 5)
        bus.body(conn, b" and ended\n\n", more=False)
        bus.flush()
        assert client.read_until(b"0\r\n\r\n") == b"b\r\ndata: begun\r\nc\r\n and ended\n\n\r\n0\r\n\r\n"


def test_who_leaves_a_stream_of_events_is_told_of(make_gate, take_seat):
    gate = make_gate(routes=["web=/web/{rest*},sse_keepalive=20ms"])
    with Raw(gate) as client:
        bus, conn = begin_stream(gate, take_seat, client, EVENTS, "data: 1\n\n")
    assert bus.hear("aborted").conn == conn


def test_a_stream_of_events_ends_in_good_order_with_the_gate(make_gate, take_seat):
    gate = make_gate(routes=["web=/web/{rest*}"], args=["--drain-timeout", "60s"])
    with Raw(gate) as client:
        bus, conn = begin_stream(gate, take_seat, client, EVENTS, "data: 1\n\n")
        gate.process.send_signal(signal.SIGTERM)
        assert client.read_to_end() == b"9\r\ndata: 1\n\n\r\n0\r\n\r\n"
        event = bus.hear("aborted")
        assert (event.conn, event.meta["reason"]) == (conn, "the gate is shutting down")


def test_outcomes_pace_a_long_response(make_gate, take_seat):
    """A client that reads nothing for a while gets all of a response that is larger than its queue."""
    gate = make_gate(routes=["web=/web/{rest*},max_queue=256KiB"])
    part, parts = bytes(64 << 10), 256
    with Raw(gate, receive_buffer=4096) as client:
        bus, conn = begin_stream(gate, take_seat, client, {}, "")
        reader, under_way, sent = None, set(), 0
        while sent < parts or under_way:
            while sent < parts and len(under_way) < 3:
                sent += 1
                under_way.add(bus.body(conn, part, more=sent < parts, outcome=True))
            bus.flush()
            event = bus.read(200) if reader is None else bus.hear("outcome")
            if event is None:
                reader = threading.Thread(target=client.read, args=(parts * len(part),), daemon=True)
                reader.start()
                continue
            assert event.outcome == "written"
            under_way.remove(event.seq)
        assert reader, "the client was to be slow"
        reader.join()


@pytest.mark.parametrize("headers", [{"content-type": "text/plain"}, {"content-type": "text/event-streams"}])
def test_a_silent_stream_is_cut_off(make_gate, take_seat, headers):
    gate = make_gate(routes=["web=/web/{rest*},stream_timeout=100ms,sse_keepalive=10ms"])
    with Raw(gate) as client:
        bus, conn = begin_stream(gate, take_seat, client, headers, "begun")
        assert bus.hear("aborted").conn == conn
        assert client.read_to_end() == b"5\r\nbegun\r\n"


def test_a_handler_that_dies_502(web, take_seat):
    bus = take_seat(web, ["web"])
    with Raw(web) as waiting, Raw(web) as repeatable, Raw(web) as streaming:
        waiting.send(get("/web/1", method="POST"))
        bus.hear("request")
        repeatable.send(get("/web/3"))
        bus.hear("request")
        streaming.send(get("/web/2"))
        bus.respond(bus.hear("request").conn, "begun", more=True)
        bus.flush()
        assert streaming.read_head()[0] == 200
        bus.stand_up()
        assert waiting.read_response().status == 502
        assert repeatable.read_response().status == 503, "it could go to another handler, and there is none"
        assert not streaming.read_to_end().endswith(b"0\r\n\r\n"), "half a response must not look whole"


@pytest.mark.parametrize("status, headers", [(99, {}), (199, {}), (700, {}), (200, {"x\r\ny": "z"}), (200, {"X": "a\r\nSet-Cookie: b"}), (200, {"X": "\0"})])
def test_a_response_that_cannot_be_sent_502(web, take_seat, status, headers):
    bus = take_seat(web, ["web"])
    with Raw(web) as client:
        client.send(get("/web/"))
        request = bus.hear("request")
        bus.respond(request.conn, "x", status, headers, outcome=True)
        complaint = bus.hear("outcome", "error")
        if complaint.type == "error":  # the metadata were refused as a whole; it may try again
            assert complaint.code == 3
            bus.respond(request.conn, "sorry", 500)
            bus.flush()
            assert client.read_response().status == 500
        else:
            assert complaint.outcome == "invalid"
            answer = client.read_response()
            assert answer.status == 502
            assert "set-cookie" not in answer.headers


def test_a_client_that_leaves_is_told_as_aborted(make_gate, take_seat):
    web = make_gate(routes=["web=/web/{rest*},half_close=abort"])
    bus = take_seat(web, ["web"])
    for leave in ("close", "reset"):
        client = Raw(web)
        client.send(get("/web/"))
        request = bus.hear("request")
        getattr(client, leave)()
        aborted = bus.hear("aborted")
        assert (aborted.conn, aborted.seq, aborted.meta["reason"]) == (request.conn, 2, "the client went away")
        bus.respond(request.conn, "hello?", outcome=True)
        assert bus.hear("outcome").outcome == "gone"
    client = Raw(web)  # and in the middle of its body
    client.send(get("/web/", "POST", ["Content-Length: 200000"], "x" * 100000))
    request = bus.hear("request")
    client.close()
    while (event := bus.hear("body", "aborted")).type == "body":
        assert event.more
    assert event.conn == request.conn


# --- responses in parts


def test_a_response_in_parts(web, take_seat):
    bus = take_seat(web, ["web"])
    with Raw(web) as client:
        for turn in range(2):
            client.send(get("/web/"))
            conn = bus.hear("request").conn
            bus.respond(conn, "first ", more=True)
            bus.flush()
            status, headers = client.read_head()
            assert (status, headers["transfer-encoding"]) == (200, "chunked")
            assert client.read_until(b"\r\n") == b"6\r\n"
            assert client.read(8) == b"first \r\n"  # at once, not when all is there
            bus.body(conn, b"second")
            bus.body(conn, b"")
            bus.body(conn, b" last", more=False)
            bus.body(conn, b"after the end", outcome=True)
            assert bus.hear("outcome").outcome in ("gone", "refused", "stale")
            assert client.read_until(b"0\r\n\r\n") == b"6\r\nsecond\r\n5\r\n last\r\n0\r\n\r\n"


def test_parts_for_http_1_0_end_with_the_connection(web, take_seat):
    bus = take_seat(web, ["web"])
    with Raw(web) as client:
        client.send("GET /web/ HTTP/1.0\r\n\r\n")
        conn = bus.hear("request").conn
        bus.respond(conn, "a", more=True)
        bus.body(conn, b"b", more=False)
        bus.flush()
        answer = client.read_response()
        assert ("transfer-encoding" in answer.headers, answer.body) == (False, b"ab")


def test_a_body_before_a_response_is_refused(web, take_seat):
    bus = take_seat(web, ["web"])
    with Raw(web) as client:
        client.send(get("/web/"))
        conn = bus.hear("request").conn
        bus.body(conn, b"x", outcome=True)
        assert bus.hear("outcome").outcome == "refused"
        bus.respond(conn, "one")
        bus.respond(conn, "two", outcome=True)
        assert bus.hear("outcome").outcome in ("gone", "refused", "stale")
        assert client.read_response().body == b"one"
        assert client.is_quiet()


def test_the_example_in_c(make_gate, processes):
    text = subprocess.run([BUILD / "examples" / "wsbus-http", "--help"], capture_output=True, text=True).stdout
    route = text.split("otherwise", 1)[1].split("\n")[0].strip()
    gate = make_gate(routes=["%s=/hello" % route])
    processes([BUILD / "examples" / "wsbus-http", "--bus", gate.dir])
    gate.wait_handlers(route, 1)
    with Raw(gate) as client:
        answer = client.send(get("/hello")).read_response()
        assert answer.status == 200 and answer.body


@pytest.mark.parametrize("byte", [b"\x80", b"\xad"])
@pytest.mark.parametrize("upgrade", [False, True])
def test_a_head_that_no_handler_can_be_told_is_refused(make_gate, take_seat, byte, upgrade):
    """Written as JSON it is six times as long, and more than metadata may be; others are not in its way."""
    gate = make_gate(routes=["web=/web"], args=["--max-head", "1MiB", "--workers", "1"])
    bus = take_seat(gate, ["web"])
    with Raw(gate) as client, Raw(gate) as other:
        large = b"X-Large: " + byte * 1000000
        client.send(upgrade_request("/web", extra=["X"]).replace(b"X\r\n\r\n", large + b"\r\n\r\n") if upgrade
                    else b"GET /web HTTP/1.1\r\nHost: h\r\n" + large + b"\r\n\r\n")
        other.send(get("/web"))
        bus.respond(bus.hear("request").conn, "here")
        bus.flush()
        assert other.read_response().body == b"here"
        assert client.read_response().status == 431
    assert gate.process.poll() is None


@pytest.mark.parametrize("byte", [b"a", b'"', b"\xff"])
def test_the_largest_head_reaches_its_handler(make_gate, take_seat, byte):
    """Its metadata repeats all of it, escaped; and others are not in its way."""
    gate = make_gate(routes=["web=/web/{page}"], args=["--max-head", "1MiB"])
    bus = take_seat(gate, ["web"])
    with Raw(gate) as client, Raw(gate) as other:
        client.send(b"GET /web/large HTTP/1.1\r\nHost: h\r\nX-Large: " + byte * 1000000 + b"\r\n\r\n")
        other.send(get("/web/small"))
        requests = {request.meta["path"]: request for request in (bus.hear("request"), bus.hear("request"))}
        assert len(requests["/web/large"].meta["headers"]["x-large"]) == 1000000
        for request in requests.values():
            bus.respond(request.conn, "here")
        bus.flush()
        assert client.read_response().body == other.read_response().body == b"here"
