"""The opening handshake: who is refused and how, what handlers hear of a client, and who decides."""

import os
import socket
import threading

import pytest

from conftest import eventually
from raw import KEY, Raw, accept_of, frame, upgrade_request

REFUSALS = {
    "no such route": (404, dict(path="/nowhere")),
    "POST": (405, dict(method="POST")),
    "no Host": (400, dict(without=["Host"])),
    "two Hosts": (400, dict(extra=["Host: other.test"])),
    "Host with a space": (400, dict(host="gate test")),
    "no key": (400, dict(without=["Sec-WebSocket-Key"])),
    "key of 15 bytes": (400, dict(sec_websocket_key="MTIzNDU2Nzg5MDEyMzQ1")),
    "key not base64": (400, dict(sec_websocket_key="dGhlIHNhbXBsZSBub25jZ!==")),
    "two keys": (400, dict(extra=["Sec-WebSocket-Key: " + KEY])),
    "no version": (400, dict(without=["Sec-WebSocket-Version"])),
    "version 8": (426, dict(sec_websocket_version="8")),
    "version 13, 8": (426, dict(sec_websocket_version="13, 8")),
    "two versions": (400, dict(extra=["Sec-WebSocket-Version: 13"])),
    "two origins": (400, dict(extra=["Origin: http://a", "Origin: http://b"])),
    "a body": (400, dict(extra=["Content-Length: 4"])),
    "a chunked body": (400, dict(extra=["Transfer-Encoding: chunked"])),
    "subprotocol that is no token": (400, dict(extra=["Sec-WebSocket-Protocol: a b"])),
    "subprotocol twice": (400, dict(extra=["Sec-WebSocket-Protocol: a, b", "Sec-WebSocket-Protocol: a"])),
    "empty list of subprotocols": (400, dict(extra=["Sec-WebSocket-Protocol: ,"])),
    "dot segment": (400, dict(path="/x/../echo")),
    "encoded slash": (400, dict(path="/a%2fb")),
    "bad escape": (400, dict(path="/%zz")),
    "header without colon": (400, dict(extra=["what is this"])),
    "space before the colon": (400, dict(extra=["X-Odd : 1"])),
    "folded header": (400, dict(extra=["X-Odd: 1", " 2"])),
    "HTTP/2.0 in text": (505, dict(version="HTTP/2.0")),
    "too many headers": (431, dict(extra=["X-%d: 1" % i for i in range(200)])),
    "head too long": (431, dict(extra=["X-Long: " + "x" * 20000])),
    "target too long": (414, dict(path="/echo?" + "x" * 20000)),
}


@pytest.fixture
def chat(make_gate):
    return make_gate(routes=["echo=/echo", "chat=/chat/{room},subprotocols=chat.v2|chat.v1|my.server/json", "plain=/plain,kind=http"])


@pytest.mark.parametrize("name", REFUSALS)
def test_refusal(gate, take_seat, name):
    status, request = REFUSALS[name]
    bus = take_seat(gate)
    with Raw(gate) as client:
        answer = client.send(upgrade_request(**request)).read_response()
        assert answer.status == status, answer
        assert answer.body, "a refusal says why"
        if status == 405:
            assert answer.headers["allow"] == "GET"
        if status == 426 or name == "no version":
            assert answer.headers["sec-websocket-version"] == "13"
        if status == 426:
            assert answer.headers["upgrade"].lower() == "websocket"
            assert "upgrade" in answer.headers["connection"].lower()
    assert bus.hears_nothing()


def test_without_a_handler_it_is_503_and_with_one_101(gate, take_seat):
    with Raw(gate) as client:
        assert client.send(upgrade_request()).read_response().status == 503
    take_seat(gate)
    with Raw(gate) as client:
        client.upgrade()


def test_no_handler_close_tells_scripts_by_1013(make_gate):
    gate = make_gate(routes=["echo=/echo,no_handler=close"])
    with Raw(gate) as client:
        assert client.upgrade().read_close() == (1013, "no handler")


def test_kinds_of_routes(make_gate, take_seat):
    gate = make_gate(routes=["ws=/ws,kind=websocket", "http=/http,kind=http"])
    take_seat(gate, ["ws", "http"])
    with Raw(gate) as client:
        assert client.send(upgrade_request("/http")).read_response().status == 404
    for request in ("GET /ws HTTP/1.1\r\nHost: x\r\n\r\n",
                    upgrade_request("/ws", connection="keep-alive"),  # RFC 9110 §7.8: then Upgrade means nothing
                    upgrade_request("/ws", upgrade="h2c")):
        with Raw(gate) as client:
            answer = client.send(request).read_response()
            assert answer.status == 426
            assert answer.headers["upgrade"].lower() == "websocket"


@pytest.mark.parametrize("change", [dict(extra=["Content-Length: 0"]), dict(extra=["Content-Length: 00"]), dict(version="HTTP/1.2"),
                                    dict(path="http://other.test/echo"), dict(path="HTTPS://Gate.Test./echo")])
def test_what_the_standards_allow_in_a_handshake(gate, echo, change):
    echo(gate)
    with Raw(gate) as client:
        client.send(upgrade_request(change.pop("path", "/echo"), **change)).expect_101()
        assert client.ask("hello") == "hello"


@pytest.mark.parametrize("length", [256, 257, 4000])
def test_a_long_subprotocol_is_one_like_others(chat, take_seat, length):
    seat = take_seat(chat, ["chat"])
    with Raw(chat).upgrade("/chat/x", extra=["Sec-WebSocket-Protocol: chat.v1, " + "x" * length]) as client:
        assert client.headers["sec-websocket-protocol"] == "chat.v1"
        assert seat.hear("open").meta["offered"] == ["chat.v1", "x" * length]


@pytest.mark.parametrize("connection", ["Upgrade", "upgrade", "keep-alive, Upgrade", "Upgrade,keep-alive", "x ,\tUPGRADE"])
def test_connection_is_a_list_of_tokens(gate, take_seat, connection):
    take_seat(gate)
    with Raw(gate) as client:
        client.upgrade(connection=connection)


def test_the_key_is_answered(gate, take_seat):
    take_seat(gate)
    key = "AQIDBAUGBwgJCgsMDQ4PEA=="
    with Raw(gate) as client:
        status, headers = client.send(upgrade_request(sec_websocket_key=key)).read_head()
        assert status == 101
        assert headers["sec-websocket-accept"] == accept_of(key)
        assert headers["upgrade"].lower() == "websocket"
        assert headers["connection"].lower() == "upgrade"
        assert "sec-websocket-protocol" not in headers
        assert "sec-websocket-extensions" not in headers


@pytest.mark.parametrize("offered, chosen", [
    (["chat.v1"], "chat.v1"),
    (["chat.v1, chat.v2"], "chat.v1"),  # the client's order
    (["other, chat.v2"], "chat.v2"),
    (["other", "my.server/json, chat.v1"], "my.server/json"),
    (["other"], None),
    (["CHAT.V1"], None),
    ([], None),
])
def test_subprotocol(chat, take_seat, offered, chosen):
    bus = take_seat(chat, ["chat"])
    with Raw(chat) as client:
        client.upgrade("/chat/x", extra=["Sec-WebSocket-Protocol: " + names for names in offered])
        assert client.headers.get("sec-websocket-protocol") == chosen
        opened = bus.hear("open")
        assert opened.meta["subprotocol"] == (chosen or "")
        assert opened.meta["offered"] == [name.strip() for names in offered for name in names.split(",")]


def test_what_open_tells(chat, take_seat):
    bus = take_seat(chat, ["chat"])
    with Raw(chat) as client:
        client.upgrade("/chat/blue%20room?user=J%C3%B6rg&x", extra=[
            "Origin: https://page.test", "X-Twice: one", "x-twice: two", "X-Latin: caf\u00e9".encode("latin-1").decode("latin-1"),
            "Cookie: a=1; b=2"])
        opened = bus.hear("open")
        port = client.socket.getsockname()[1]
    meta = opened.meta
    assert (opened.seq, opened.pending, opened.redelivered) == (1, False, False)
    assert meta["route"] == "chat"
    assert meta["params"] == {"room": "blue room"}
    assert meta["target"] == "/chat/blue%20room?user=J%C3%B6rg&x"
    assert meta["path"] == "/chat/blue room"
    assert meta["query"] == "user=J%C3%B6rg&x"
    assert meta["host"] == "gate.test"
    assert meta["origin"] == "https://page.test"
    assert meta["scheme"] == "ws"
    assert meta["peer"] == "127.0.0.1:%d" % port
    assert meta["headers"]["x-twice"] == "one, two"
    assert meta["headers"]["cookie"] == "a=1; b=2"
    assert meta["headers"]["x-latin"].encode("latin-1") == "caf\u00e9".encode()  # bytes above 127 read as ISO 8859-1
    assert meta["headers"]["sec-websocket-key"] == KEY


def test_over_a_unix_socket_the_peer_is_a_user(make_gate, take_seat, tmp_path):
    gate = make_gate(listen=["127.0.0.1:0", "unix:%s/http.sock" % tmp_path])
    bus = take_seat(gate)
    with Raw("%s/http.sock" % tmp_path) as client:
        client.upgrade()
        assert bus.hear("open").meta["peer"] == "unix:%d" % os.getuid()


def test_bytes_behind_the_handshake_are_not_lost(gate, take_seat):
    bus = take_seat(gate)
    with Raw(gate) as client:
        client.send(upgrade_request() + frame(1, "first") + frame(2, b"second") + frame(9, b"?")).expect_101()
        opened = bus.hear("open")
        first, second = bus.hear("data"), bus.hear("data")
        assert (first.conn, first.seq, first.text) == (opened.conn, 2, "first")
        assert (second.conn, second.seq, second.payload, second.opcode) == (opened.conn, 3, b"second", 2)
        bus.send(opened.conn, "at once")
        bus.flush()
        got = client.read_frame()
        assert (got.opcode, got.payload) == (10, b"?")
        assert client.read_message() == "at once"


def test_a_head_byte_by_byte(gate, take_seat):
    take_seat(gate)
    with Raw(gate) as client:
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in upgrade_request():
            client.send(bytes([byte]))
        client.expect_101()


# --- routes where the handler decides


@pytest.fixture
def guarded(make_gate):
    return make_gate(routes=["door=/door,accept=handler,subprotocols=a|b,accept_timeout=400ms"])


def test_accept_by_the_handler(guarded, take_seat):
    bus = take_seat(guarded, ["door"])
    with Raw(guarded) as client:
        client.send(upgrade_request("/door", extra=["Sec-WebSocket-Protocol: a, b"]) + frame(1, "early"))
        knock = bus.hear("open")
        assert knock.pending
        assert client.is_quiet(0.1), "no 101 before ACCEPT"
        bus.accept(knock.conn, subprotocol="b", headers={"X-Seat": "7", "Connection": "close"}, groups=["inside"])
        bus.flush()
        client.expect_101()
        assert client.headers["sec-websocket-protocol"] == "b"
        assert client.headers["x-seat"] == "7"
        assert client.headers["connection"].lower() == "upgrade"  # that one is the gate's
        assert bus.hear("data").text == "early"
        bus.publish("welcome inside", group="inside")
        bus.flush()
        assert client.read_message() == "welcome inside"


def test_reject_by_the_handler(guarded, take_seat):
    bus = take_seat(guarded, ["door"])
    with Raw(guarded) as client:
        client.send(upgrade_request("/door"))
        knock = bus.hear("open")
        bus.reject(knock.conn, 401, b"who are you?", headers={"WWW-Authenticate": "Bearer"})
        bus.flush()
        answer = client.read_response()
        assert (answer.status, answer.body) == (401, b"who are you?")
        assert answer.headers["www-authenticate"] == "Bearer"
        closed = bus.hear("closed")
        assert (closed.conn, closed.meta["by"], closed.meta["code"]) == (knock.conn, "handler", 1006)
        assert closed.seq == 2
        client.expect_end()


def test_reject_without_a_status_is_403(guarded, take_seat):
    bus = take_seat(guarded, ["door"])
    with Raw(guarded) as client:
        client.send(upgrade_request("/door"))
        bus._command("reject", bus.hear("open").conn)
        bus.flush()
        assert client.read_response().status == 403


def test_a_handler_that_does_not_decide(guarded, take_seat):
    bus = take_seat(guarded, ["door"])
    with Raw(guarded) as client:
        client.send(upgrade_request("/door"))
        knock = bus.hear("open")
        assert client.read_response().status == 504
        closed = bus.hear("closed")
        assert (closed.meta["by"], closed.meta["reason"]) == ("gate", "accept timed out")
        bus._command("accept", knock.conn, outcome=True)
        assert bus.hear("outcome").outcome in ("gone", "refused")


def test_accept_of_what_was_not_offered_is_the_handlers_mistake(guarded, take_seat):
    bus = take_seat(guarded, ["door"])
    with Raw(guarded) as client:
        client.send(upgrade_request("/door", extra=["Sec-WebSocket-Protocol: a"]))
        knock = bus.hear("open")
        bus._command("accept", knock.conn, outcome=True, meta={"subprotocol": "b"})
        bus.flush()
        assert client.read_response().status == 502
        assert {bus.hear("outcome", "closed").type, bus.hear("outcome", "closed").type} == {"outcome", "closed"}


def test_header_injection_by_a_handler_is_refused(guarded, take_seat):
    bus = take_seat(guarded, ["door"])
    with Raw(guarded) as client:
        client.send(upgrade_request("/door"))
        knock = bus.hear("open")
        bus.accept(knock.conn, headers={"X-Evil": "1\r\nSet-Cookie: a=b"})
        bus.flush()
        status, headers = client.read_head()
        assert status == 502 and "set-cookie" not in headers


def test_a_client_that_leaves_before_it_is_accepted(make_gate, take_seat):
    gate = make_gate(routes=["door=/door,accept=handler"])
    bus = take_seat(gate, ["door"])
    client = Raw(gate)
    client.send(upgrade_request("/door"))
    knock = bus.hear("open")
    client.close()
    closed = bus.hear("closed")
    assert (closed.conn, closed.meta["by"], closed.meta["code"], closed.meta["clean"]) == (knock.conn, "client", 1006, False)
    bus._command("accept", knock.conn, outcome=True)
    assert bus.hear("outcome").outcome == "gone"


def test_many_handshakes_at_once(gate, take_seat):
    bus = take_seat(gate)
    clients = [Raw(gate) for _ in range(100)]
    threads = [threading.Thread(target=client.upgrade) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({bus.hear("open").conn for _ in clients}) == 100
    for client in clients:
        client.close()
    for _ in clients:
        assert bus.hear("closed").meta["by"] == "network"
    eventually(lambda: gate.wsctl("status")["connections"] == 0, "no connection left")
