"""What a handler says it serves: clients of the other kind are answered at once, and no handler is asked in vain."""

import json
import textwrap

import pytest
import wsbus
import wsbus_shm
import zmq

from conftest import BUILD, PYTHON, ROOT, eventually, with_libwsbus
from raw import Raw, upgrade_request

GET = b"GET /echo HTTP/1.1\r\nHost: gate.test\r\n\r\n"

SAYS = {  # programs that serve one kind of /echo, in each language
    "c": lambda gate, kind: [
        BUILD / "examples" / {"websocket": "wsbus-echo", "http": "wsbus-http"}[kind], "--bus", gate.dir, "--route", "echo"],
    "python": lambda gate, kind: [PYTHON, "-c", in_python("wsbus", kind), gate.dir],
    "python-shm": lambda gate, kind: with_libwsbus(PYTHON, "-c", in_python("wsbus_shm", kind), gate.dir),
    "node": lambda gate, kind: ["node", "--input-type=module", "-e", in_node(kind), gate.dir],
}


def in_python(module, kind):
    return textwrap.dedent("""
        import sys
        sys.path.insert(0, %r)
        from %s import Handler
        with Handler(["echo"], bus=sys.argv[1], kinds=[%r]) as bus:
            for event in bus:
                if event.type == "request":
                    bus.respond(event.conn, "by http")
                elif event.type == "data":
                    bus.send(event.conn, event.payload, event.opcode)
        """) % (str(ROOT / "python"), module, kind)


def in_node(kind):
    return textwrap.dedent("""
        import { Handler } from %s;
        const bus = new Handler({ bus: process.argv[1], routes: ["echo"], kinds: [%s] });
        process.once("SIGTERM", () => bus.bye().then(() => process.exit(0)));
        for await (const event of bus) {
          if (event.type === "request") bus.respond(event.conn, "by http");
          else if (event.type === "data") bus.send(event.conn, event.payload, event.opcode);
        }
        """) % (json.dumps(str(ROOT / "node/wsbus.js")), json.dumps(kind))


def answer(gate, request):
    with Raw(gate) as client:
        return client.send(request).read_response()


def refused(gate, reason):
    return gate.wsctl("stats")["routes"]["echo"]["refused_by"][reason]


@pytest.mark.parametrize("language", SAYS)
def test_a_get_is_426_where_handlers_serve_websocket_only(gate, processes, language):
    processes(SAYS[language](gate, "websocket"))
    gate.wait_handlers("echo", 1)
    response = answer(gate, GET)
    assert response.status == 426 and response.headers["upgrade"] == "websocket"
    assert Raw(gate).upgrade().ask("still here") == "still here"
    assert gate.wsctl("handlers")["handlers"][0]["kinds"] == ["websocket"]
    assert refused(gate, "kind") == 1


@pytest.mark.parametrize("language", SAYS)
def test_a_handshake_is_404_where_handlers_serve_http_only(gate, processes, language):
    processes(SAYS[language](gate, "http"))
    gate.wait_handlers("echo", 1)
    assert answer(gate, upgrade_request("/echo")).status == 404
    assert answer(gate, GET).status == 200
    assert refused(gate, "kind") == 1


def test_the_raw_example_says_it(gate, echo):
    echo(gate, "raw")
    assert answer(gate, GET).status == 426


def test_two_programs_share_a_route_by_kind(gate, take_seat):
    pages, sockets = take_seat(gate, kinds=["http"]), take_seat(gate, kinds="websocket")
    with Raw(gate) as client, Raw(gate) as page:
        client.upgrade()
        page.send(GET)
        pages.respond(pages.hear("request").conn, "a page")
        pages.flush()
        assert page.read_response().body == b"a page"
        assert sockets.hear("open").meta["route"] == "echo"
        assert pages.hears_nothing(0)
    pages.stand_up()
    gate.wait_handlers("echo", 1)
    assert answer(gate, GET).status == 503  # it was served, and may be again


def test_a_handler_that_says_nothing_is_asked_about_both(gate, take_seat):
    seat = take_seat(gate)
    with Raw(gate) as page:
        page.send(GET)
        seat.respond(seat.hear("request").conn, "here")
        seat.flush()
        assert page.read_response().status == 200
    assert gate.wsctl("handlers")["handlers"][0]["kinds"] == ["websocket", "http"]


def test_what_is_no_kind_is_refused_where_it_is_said(make_gate):
    gate = make_gate(routes=["echo=/echo,kind=http"])
    for kinds in ([], ["gopher"], ["http", 1]):
        with pytest.raises(ValueError):
            wsbus.Handler(["echo"], bus=gate.dir, kinds=kinds, context=zmq.Context())
    with zmq.Context() as context, wsbus.Handler(["echo"], bus=gate.dir, kinds=["websocket"], context=context) as bus:
        event = eventually(lambda: bus.read(100), "the refusal")
        assert event.type == "error" and b"is for HTTP" in event.payload
