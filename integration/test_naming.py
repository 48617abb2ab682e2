"""What requests are called and which trace they belong to, from a proxy through the gate to the handler, the client and the log."""

import re
import subprocess

import pytest

from raw import Raw, upgrade_request
from test_gatekeeping import configured

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
OWN = re.compile(r"[0-9a-f]{32}")


def get(path="/echo", *headers):
    return "\r\n".join(["GET %s HTTP/1.1" % path, "Host: gate.test", *headers, "", ""]).encode()


def test_a_request_is_found_again_by_its_id(make_gate, take_seat):
    gate = make_gate()
    bus = take_seat(gate)
    run = subprocess.Popen([*gate.curl, "-i", "-H", "X-Request-Id: mine", gate.http("/echo")], stdout=subprocess.PIPE, text=True)
    request = bus.hear("request")
    bus.respond(request.conn, "here", 200, {"X-Request-Id": "of the handler"})
    bus.flush()
    answer = run.communicate(timeout=20)[0]
    ids = re.findall(r"(?im)^x-request-id: (.*?)\r?$", answer)
    assert len(ids) == 1 and OWN.fullmatch(ids[0]) and request.meta["request_id"] == ids[0]
    gate.wait_line("msg=request .*request_id=" + ids[0])


def test_every_answer_has_an_id_and_no_two_the_same(make_gate, echo):
    gate = make_gate(args=["--workers", "2"])
    ids = []
    for request in (get("/nowhere"), get("/echo"), b"rubbish\r\n\r\n", upgrade_request(without=["Sec-WebSocket-Key"])):
        with Raw(gate) as client:
            answer = client.send(request).read_response()
            ids.append(answer.headers["x-request-id"])
            assert answer.status >= 400
        gate.wait_line("msg=refused .*status=%d.* request_id=%s" % (answer.status, ids[-1]))
    echo(gate)
    for _ in range(20):
        with Raw(gate).upgrade() as client:
            ids.append(client.headers["x-request-id"])
            assert client.ask("x") == "x"
    assert all(OWN.fullmatch(one) for one in ids) and len(set(ids)) == len(ids)


def test_a_trusted_proxy_names_requests(make_gate, tmp_path, take_seat):
    gate = configured(make_gate, tmp_path, 'trusted_proxies = {"127.0.0.2"}\n')
    bus = take_seat(gate)
    for source, given, is_taken in (("127.0.0.2", "abc-123", True), ("127.0.0.3", "abc-123", False), ("127.0.0.2", "a b", False)):
        with Raw(gate, source=source).upgrade(extra=["X-Request-Id: " + given]) as client:
            opened = bus.hear("open")
            assert (opened.meta["request_id"] == given, client.headers["x-request-id"]) == (is_taken, opened.meta["request_id"])
        bus.hear("closed")


def test_ids_can_be_switched_off(make_gate, take_seat):
    gate = make_gate(args=["--request-id", "off"])
    bus = take_seat(gate)
    with Raw(gate).upgrade() as client:
        assert "request_id" not in bus.hear("open").meta and "x-request-id" not in client.headers
    bus.hear("closed")
    with Raw(gate) as client:
        assert "x-request-id" not in client.send(get("/nowhere")).read_response().headers


@pytest.mark.parametrize("trace", ["pass", "make"])
def test_traces(make_gate, take_seat, trace):
    gate = make_gate(args=["--trace", trace])
    bus = take_seat(gate)

    def heard(*headers):
        with Raw(gate) as client:
            client.send(get("/echo", *headers))
            request = bus.hear("request")
            bus.respond(request.conn, "")
            bus.flush()
            assert client.read_response().status == 200
            return {name: value for name, value in request.meta["headers"].items() if name.startswith("trace")}

    assert heard("Traceparent: " + TRACE, "Tracestate: a=1", "Tracestate: b=2") == {"traceparent": TRACE, "tracestate": "a=1, b=2"}
    nothing, rubbish = heard("Tracestate: a=1"), heard("Traceparent: 00-0", "Tracestate: a=1")
    if trace == "pass":
        assert (nothing, rubbish) == ({"tracestate": "a=1"}, {"traceparent": "00-0", "tracestate": "a=1"})
        return
    for one in (nothing, rubbish):
        assert list(one) == ["traceparent"] and re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-01", one["traceparent"])
    assert nothing != rubbish
