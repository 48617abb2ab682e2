"""Who is let in: networks, limits of an address, proxies and what they say, origins, subprotocols; and what one client may do once it is in."""

import signal
import struct
import time

import pytest

from conftest import eventually
from raw import CLOSE, PING, PONG, Raw, close_code, frame, upgrade_request

V2 = b"\r\n\r\n\0\r\nQUIT\n"


def configured(make_gate, tmp_path, text, **kwargs):
    """A gate with a configuration file besides its usual flags."""
    path = tmp_path / "wsgate.conf"
    path.write_text(text)
    return make_gate(args=["-c", path], **kwargs)


def refused(gate, route=None):
    """The refusals that are not zero, of the gate or of a route."""
    stats = gate.wsctl("stats")
    of = stats["gate"] if route is None else stats["routes"][route]
    return {reason: count for reason, count in of["refused_by"].items() if count}


def ended(gate, route):
    of = gate.wsctl("stats")["routes"][route]
    return {reason: count for reason, count in of["ended"].items() if count}


def is_cut_off(gate, **kwargs):
    with Raw(gate, **kwargs) as client:
        return client.read_to_end() == b""


def status_of(gate, request, before=b"", **kwargs):
    with Raw(gate, **kwargs) as client:
        client.send(before + request)
        return client.read_response().status


def get(path="/echo", *headers):
    return "\r\n".join(["GET %s HTTP/1.1" % path, "Host: gate.test", *headers, "", ""]).encode()


# --- networks -----------------------------------------------------------------------------------------------------------


def test_a_listener_has_its_rules(make_gate, tmp_path, echo):
    gate = configured(make_gate, tmp_path, 'listen "127.0.0.1:0" { allow = {"127.0.0.0/28", "unix"} deny = {"127.0.0.3"} }\n',
                      listen=())
    echo(gate)
    with Raw(gate, source="127.0.0.2").upgrade() as client:
        client.send(frame(1, "in"))
        assert client.read_message() == "in"
    assert is_cut_off(gate, source="127.0.0.3")
    assert is_cut_off(gate, source="127.0.0.16")
    assert refused(gate) == {"address": 2}
    gate.wait_line(r'msg=refused .*why=address .*peer=127\.0\.0\.3:')


def test_a_route_has_its_rules(make_gate, tmp_path, echo):
    gate = configured(make_gate, tmp_path, 'route "inner" { path = "/inner" deny = {"127.0.0.3"} }\n')
    echo(gate)
    echo(gate, route="inner")
    assert status_of(gate, upgrade_request("/inner"), source="127.0.0.3") == 403
    assert status_of(gate, get("/inner"), source="127.0.0.3") == 403
    assert status_of(gate, upgrade_request("/inner"), source="127.0.0.2") == 101
    assert status_of(gate, upgrade_request("/echo"), source="127.0.0.3") == 101
    assert refused(gate, "inner") == {"address": 2}


# --- limits of one address ------------------------------------------------------------------------------------------------


def test_an_address_has_so_many_connections(make_gate, echo):
    gate = make_gate(args=["--max-connections-per-address", "2", "--workers", "2"])
    echo(gate)
    first, second = Raw(gate, source="127.0.0.2").upgrade(), Raw(gate, source="127.0.0.2").upgrade()
    assert is_cut_off(gate, source="127.0.0.2")
    with Raw(gate, source="127.0.0.4").upgrade() as other:
        other.send(frame(1, "me"))
        assert other.read_message() == "me"
    assert refused(gate) == {"per_address": 1}
    first.close()
    eventually(lambda: not is_cut_off_now(gate, "127.0.0.2"), "room after one has gone")
    second.close()


def is_cut_off_now(gate, source):
    """Whether a handshake from there is not answered."""
    with Raw(gate, source=source) as client:
        try:
            return client.send(upgrade_request()).read_response().status != 101
        except (AssertionError, ConnectionError):
            return True


def test_one_too_many_is_told_when_it_shall_be(make_gate, echo):
    gate = make_gate(args=["--max-connections-per-address", "1", "--refuse", "503"])
    echo(gate)
    with Raw(gate, source="127.0.0.2").upgrade():
        assert status_of(gate, upgrade_request(), source="127.0.0.2") == 503
    assert refused(gate) == {"per_address": 1}


def test_an_address_comes_so_fast(make_gate, echo):
    gate = make_gate(args=["--accept-rate", "1", "--accept-burst", "3"])
    echo(gate)
    for _ in range(3):
        assert status_of(gate, get("/nowhere"), source="127.0.0.2") == 404
    assert is_cut_off(gate, source="127.0.0.2")
    assert status_of(gate, get("/nowhere"), source="127.0.0.4") == 404
    assert refused(gate)["rate"] == 1
    eventually(lambda: not is_cut_off_now(gate, "127.0.0.2"), "the next second")


def test_a_route_has_so_many_connections(make_gate, echo):
    gate = make_gate(routes=["echo=/echo,max_connections=1"])
    echo(gate)
    client = Raw(gate).upgrade()
    assert status_of(gate, upgrade_request()) == 503
    assert refused(gate, "echo") == {"connections": 1}
    client.close()
    eventually(lambda: status_of(gate, upgrade_request()) == 101, "room after it has gone")


# --- proxies ---------------------------------------------------------------------------------------------------------------


def behind(make_gate, tmp_path, more="", listener="", **kwargs):
    return configured(make_gate, tmp_path, 'trusted_proxies = {"127.0.0.0/28", "unix"}\n%s\nlisten "127.0.0.1:0" { %s }\n' % (
        more, listener), listen=(), **kwargs)


def test_x_forwarded_for(make_gate, tmp_path, take_seat):
    gate = behind(make_gate, tmp_path, "forwarded = x-forwarded-for")
    bus = take_seat(gate)
    with Raw(gate, source="127.0.0.2").upgrade(extra=["X-Forwarded-For: 6.6.6.6, 192.0.2.7:99, 127.0.0.9", "X-Forwarded-Proto: https",
                                                      "Forwarded: for=6.6.6.6"]):
        meta = bus.hear("open").meta
        assert (meta["peer"], meta["scheme"]) == ("192.0.2.7:99", "wss")
        assert meta["proxy"].startswith("127.0.0.2:")
        assert [row["peer"] for row in gate.wsctl("list")["connections"]] == ["192.0.2.7:99"]
    assert bus.hear("closed")


def shake_hands(gate, address):
    """(client, None), or (None, the refusal)."""
    client = Raw(gate).send(upgrade_request(extra=["X-Forwarded-For: " + address]))
    answer = client.read_response()
    if answer.status == 101:
        return client, None
    client.close()
    return None, answer


@pytest.mark.parametrize("of", ["gate", "route"])
def test_one_address_does_not_use_up_the_handshakes_of_others(make_gate, tmp_path, echo, of):
    limit = "handshake_rate = 1\nhandshake_burst = 40\n"
    more = "limits { %s }" % limit if of == "gate" else ""
    gate = behind(make_gate, tmp_path, 'forwarded = x-forwarded-for\nroute "echo" { path = "/echo"\n%s }\n%s' % (limit if of == "route" else "", more), routes=())
    echo(gate)
    clients = []
    for _ in range(40):  # it comes as often as it likes
        client, refusal = shake_hands(gate, "192.0.2.1")
        if refusal:
            break
        clients.append(client)
    assert refusal.status == 503 and int(refusal.headers["retry-after"]) >= 1
    for i in range(20):  # and what is kept for others is there
        client, refusal = shake_hands(gate, "198.51.100.%d" % i)
        assert client, refusal
        clients.append(client)
    assert refused(gate, "echo") == {"handshake_rate": 1}
    for client in clients:
        client.close()


# --- those who wait for a handler --------------------------------------------------------------------------------------


def waiting_room(make_gate, tmp_path, places):
    """Two workers, and nobody who would hear of a client."""
    return behind(make_gate, tmp_path, 'workers = 2\nforwarded = x-forwarded-for\n'
                  'route "echo" { path = "/echo"\nno_handler = wait\nhandler_wait = 5m\nmax_pending = %d }' % places, routes=())


def pending(gate):
    return gate.wsctl("stats")["routes"]["echo"]["pending"]


def knock_at_once(gate, addresses):
    """The gate finds all these handshakes at once."""
    before = gate.wsctl("status")["connections"]
    clients = [Raw(gate) for _ in addresses]
    eventually(lambda: gate.wsctl("status")["connections"] == before + len(clients), "all are accepted")
    gate.signal(signal.SIGSTOP)
    for client, address in zip(clients, addresses):
        client.send(upgrade_request(extra=["X-Forwarded-For: " + address]))
    gate.signal(signal.SIGCONT)
    return clients


def test_no_more_than_may_wait_are_let_in_at_once(make_gate, tmp_path):
    gate = waiting_room(make_gate, tmp_path, 20)
    most = 0
    for _ in range(3):
        clients = knock_at_once(gate, ["192.0.2.%d" % i for i in range(100)])
        answers = [client.read_response() for client in clients]
        assert [answer.status for answer in answers].count(101) == 20
        assert all(1 <= int(answer.headers["retry-after"]) <= 8 for answer in answers if answer.status == 503)
        eventually(lambda: pending(gate) == 20, "they wait")
        for client in clients:
            client.close()
        eventually(lambda: gate.wsctl("status")["connections"] == 0 and pending(gate) == 0, "every place was given back, and once")
        most += 80
    assert refused(gate, "echo") == {"pending": most}


def test_who_leaves_before_anybody_hears_gives_its_place_back(make_gate, tmp_path):
    gate = waiting_room(make_gate, tmp_path, 20)
    for _ in range(3):
        for client in knock_at_once(gate, ["192.0.2.%d" % i for i in range(40)]):
            client.close()
        eventually(lambda: gate.wsctl("status")["connections"] == 0 and pending(gate) == 0, "all of them gone")
    clients = knock_at_once(gate, ["192.0.2.%d" % i for i in range(21)])
    assert [client.read_response().status for client in clients].count(101) == 20
    for client in clients:
        client.close()


def test_one_address_does_not_hold_the_places_of_others(make_gate, tmp_path, echo):
    gate = waiting_room(make_gate, tmp_path, 20)
    greedy = knock_at_once(gate, ["192.0.2.1"] * 60)
    assert [client.read_response().status for client in greedy].count(101) == 10
    others = knock_at_once(gate, ["198.51.100.%d" % i for i in range(10)])
    assert [client.read_response().status for client in others] == [101] * 10
    assert refused(gate, "echo") == {"pending": 50}
    assert pending(gate) == 20
    echo(gate)  # a handler hears of all of them
    eventually(lambda: pending(gate) == 0, "nobody waits")
    for client in greedy + others:
        client.close()


def test_who_is_refused_by_the_rate_is_not_counted(make_gate, tmp_path, echo):
    gate = behind(make_gate, tmp_path, 'forwarded = x-forwarded-for\nroute "echo" { path = "/echo"\nhandshake_rate = 1\nhandshake_burst = 2 }\n'
                  "limits { connections_per_address = 1 }", routes=())
    echo(gate)
    first = [shake_hands(gate, "198.51.100.%d" % i)[0] for i in (1, 2)]
    assert all(first)
    with Raw(gate) as proxy:  # one connection, which brings one client after the other
        for i in range(2, 30):
            answer = proxy.send(upgrade_request(extra=["X-Forwarded-For: 192.0.2.%d" % (2 + i % 2)])).read_response()
            if answer.status == 101:
                break
            assert answer.status == 503
    counted = refused(gate, "echo")
    assert set(counted) == {"handshake_rate"} and counted["handshake_rate"] >= 2, counted
    for client in first:
        client.close()
    eventually(lambda: gate.wsctl("status")["connections"] == 0, "all of them gone, and the gate lives")
    eventually(lambda: shake_hands(gate, "192.0.2.2")[0], "room for who was refused")


def test_the_client_of_each_request(make_gate, tmp_path, take_seat):
    gate = behind(make_gate, tmp_path, "forwarded = forwarded")
    bus = take_seat(gate)
    with Raw(gate, source="127.0.0.2") as client:
        for header, peer in [("Forwarded: for=192.0.2.7;proto=https", "192.0.2.7:0"), ("Forwarded: for=\"[2001:db8::1]:4\"", "[2001:db8::1]:4"),
                             ("X-Forwarded-For: 192.0.2.7", "127.0.0.2:"), ("Forwarded: for=unknown", "unknown")]:
            client.send(get("/echo", header))
            request = bus.hear("request")
            assert request.meta["peer"].startswith(peer)
            assert ("proxy" in request.meta) == (peer != "127.0.0.2:")
            assert request.meta["scheme"] == ("https" if "https" in header else "http")
            bus.respond(request.conn, "ok")
            bus.flush()
            assert client.read_response().body == b"ok"


def test_a_stranger_is_not_believed(make_gate, tmp_path, take_seat):
    gate = behind(make_gate, tmp_path, "forwarded = x-forwarded-for")
    bus = take_seat(gate)
    with Raw(gate, source="127.0.0.99").upgrade(extra=["X-Forwarded-For: 192.0.2.7", "X-Forwarded-Proto: https"]):
        meta = bus.hear("open").meta
        assert meta["peer"].startswith("127.0.0.99:") and meta["scheme"] == "ws" and "proxy" not in meta
    assert bus.hear("closed")


def test_clients_behind_a_proxy_count_one_by_one(make_gate, tmp_path, echo):
    gate = behind(make_gate, tmp_path, 'forwarded = x-forwarded-for\nlimits { connections_per_address = 1 }\n'
                                       'route "far" { path = "/far" allow = {"192.0.2.0/24"} }')
    echo(gate)
    echo(gate, route="far")
    with Raw(gate, source="127.0.0.2").upgrade(extra=["X-Forwarded-For: 192.0.2.7"]):
        assert status_of(gate, upgrade_request(extra=["X-Forwarded-For: 192.0.2.7"]), source="127.0.0.2") == 503
        with Raw(gate, source="127.0.0.2").upgrade(extra=["X-Forwarded-For: 192.0.2.8"]):
            pass
    assert refused(gate, "echo") == {"per_address": 1}
    eventually(lambda: status_of(gate, upgrade_request(extra=["X-Forwarded-For: 192.0.2.7"]), source="127.0.0.2") == 101, "it has gone")
    assert status_of(gate, upgrade_request("/far", extra=["X-Forwarded-For: 198.51.100.1"]), source="127.0.0.2") == 403
    assert refused(gate, "far") == {"address": 1}


def test_a_client_behind_a_proxy_that_is_rejected_is_gone(make_gate, tmp_path, take_seat):
    gate = behind(make_gate, tmp_path, "forwarded = x-forwarded-for\nlimits { connections_per_address = 1 }",
                  routes=["echo=/echo,accept=handler"])
    bus = take_seat(gate)
    for _ in range(2):
        with Raw(gate, source="127.0.0.2") as client:
            client.send(upgrade_request(extra=["X-Forwarded-For: 192.0.2.7"]))
            bus.reject(bus.hear("open").conn, status=403)
            bus.flush()
            assert client.read_response().status == 403
            bus.hear("closed")
    eventually(lambda: gate.wsctl("stats")["gate"]["connections"] == 0, "both have gone")
    assert refused(gate) == {}


@pytest.mark.parametrize("line", ["Forwarded: ], for=192.0.2.7", 'Forwarded: for="x, for=192.0.2.7'])
def test_rubbish_gives_nobody_the_rights_of_a_proxy(make_gate, tmp_path, echo, line):
    gate = behind(make_gate, tmp_path, "forwarded = forwarded", routes=["echo=/echo"])
    echo(gate)
    assert status_of(gate, upgrade_request(extra=[line]), source="127.0.0.2") == 400
    assert status_of(gate, get("/echo", line), source="127.0.0.2") == 400
    assert status_of(gate, upgrade_request(extra=[line]), source="127.0.0.99") == 101  # nobody's word but his own


def v2(ip, port, command=0x21):
    return V2 + struct.pack(">BBH4s4sHH", command, 0x11, 12, bytes(map(int, ip.split("."))), bytes(4), port, 80)


@pytest.mark.parametrize("header, peer", [
    (b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 80\r\n", "192.0.2.7:4711"),
    (b"PROXY TCP6 2001:db8::7 2001:db8::1 4711 80\r\n", "[2001:db8::7]:4711"),
    (b"PROXY UNKNOWN\r\n", "unknown"),
    (v2("192.0.2.7", 4711), "192.0.2.7:4711"),
    (v2("192.0.2.7", 4711, command=0x20), "127.0.0.2:"),
    (V2 + b"\x21\x12\x00\x0c\xc0\x00\x02\x07" + bytes(4) + struct.pack(">HH", 4711, 80), "192.0.2.7:4711"),
    (V2 + b"\x21\x31\x00\xd8" + bytes(216), "unknown"),
    (V2 + b"\x21\x00\x00\x00", "unknown"),
], ids=["v1-tcp4", "v1-tcp6", "v1-unknown", "v2-tcp4", "v2-local", "v2-udp4", "v2-unix", "v2-unspecified"])
@pytest.mark.parametrize("cut", [None, 1, 11])
def test_proxy_protocol(make_gate, tmp_path, take_seat, header, peer, cut):
    gate = behind(make_gate, tmp_path, listener="proxy_protocol = yes")
    bus = take_seat(gate)
    with Raw(gate, source="127.0.0.2") as client:
        if cut:
            client.send(header[:cut])
            eventually(lambda: gate.wsctl("stats")["gate"]["connections"] == 1, "the gate has it")
        client.send(header[cut or 0:] + upgrade_request() + frame(1, "first"))
        assert client.read_response().status == 101
        assert bus.hear("open").meta["peer"].startswith(peer)
        assert bus.hear("data").payload == b"first"
    assert bus.hear("closed")


UNKNOWN = {
    "v1": b"PROXY UNKNOWN\r\n", "v2-unix": V2 + b"\x21\x31\x00\xd8" + bytes(216), "v2-udp6": V2 + b"\x21\x22\x00\x24" + b"\xff" * 36,
    "v2-unspecified": V2 + b"\x21\x00\x00\x00",
}


@pytest.mark.parametrize("header", UNKNOWN.values(), ids=UNKNOWN)
def test_a_client_that_a_proxy_does_not_know_is_no_proxy(make_gate, tmp_path, take_seat, header):
    """What such a client says of its address is not believed, and rules do not pass it over."""
    gate = behind(make_gate, tmp_path, 'forwarded = x-forwarded-for\n'
                                       'route "far" { path = "/far" allow = {"127.0.0.0/8", "192.0.2.0/24"} }\n'
                                       'route "near" { path = "/near" deny = {"192.0.2.9"} }\n'
                                       'route "open" { path = "/open" allow = {"192.0.2.9", "unknown"} }', "proxy_protocol = yes")
    seat = take_seat(gate, ["echo", "far", "near", "open"])
    for path in ("/echo", "/open"):
        with Raw(gate, source="127.0.0.2") as client:
            client.send(header + upgrade_request(path, extra=["X-Forwarded-For: 192.0.2.7", "X-Forwarded-Proto: https"]))
            assert client.read_response().status == 101
            meta = seat.hear("open").meta
            assert (meta["peer"], meta["scheme"]) == ("unknown", "ws") and "proxy" not in meta
        assert seat.hear("closed")
    for path in ("/far", "/near"):
        with Raw(gate, source="127.0.0.2") as client:
            client.send(header + upgrade_request(path, extra=["X-Forwarded-For: 192.0.2.7"]))
            assert client.read_response().status == 403
        assert refused(gate, path[1:]) == {"address": 1}


@pytest.mark.parametrize("header", UNKNOWN.values(), ids=UNKNOWN)
def test_a_listener_lets_in_only_whom_it_knows(make_gate, tmp_path, echo, header):
    gate = behind(make_gate, tmp_path, listener='proxy_protocol = yes allow = {"127.0.0.0/8"}')
    echo(gate)
    with Raw(gate, source="127.0.0.2") as client:
        assert client.send(header + upgrade_request()).read_to_end() == b""
    assert refused(gate) == {"address": 1}
    with Raw(gate, source="127.0.0.2") as client:  # the proxy itself, to see whether the gate lives
        assert client.send(v2("192.0.2.7", 4711, command=0x20) + upgrade_request()).read_response().status == 101


@pytest.mark.parametrize("header, name", [("x-forwarded-for", "X-Forwarded-For: unknown"), ("x-forwarded-for", "X-Forwarded-For: unix:"),
                                          ("forwarded", "Forwarded: for=_secret"), ("forwarded", "Forwarded: proto=https")])
def test_a_request_of_nobody_known_has_no_rights_of_its_proxy(make_gate, tmp_path, take_seat, header, name):
    gate = behind(make_gate, tmp_path, 'forwarded = %s\nlimits { connections_per_address = 1 }\n'
                                       'route "far" { path = "/far" allow = {"127.0.0.0/8"} }' % header)
    seat = take_seat(gate, ["echo", "far"])
    assert status_of(gate, get("/far", name), source="127.0.0.2") == 403
    assert status_of(gate, upgrade_request("/far", extra=[name]), source="127.0.0.2") == 403
    with Raw(gate, source="127.0.0.2").upgrade(extra=[name]):
        assert seat.hear("open").meta["peer"] == "unknown"
        assert status_of(gate, upgrade_request(extra=[name]), source="127.0.0.2") == 503  # they count as one address


@pytest.mark.parametrize("bytes_", [get(), b"PROXY TCP4 192.0.2.7\r\n", b"\x16\x03\x01\x02\x00", V2 + b"\x31", V2 + b"\x21\x13\x00\x00",
                                    V2 + b"\x21\x31\x00\x00"], ids=["http", "v1-cut", "tls", "v3", "v2-family", "v2-unix-cut"])
def test_what_is_no_proxy_header_is_cut_off(make_gate, tmp_path, bytes_):
    gate = behind(make_gate, tmp_path, listener="proxy_protocol = yes")
    with Raw(gate, source="127.0.0.2") as client:
        assert client.send(bytes_).read_to_end() == b""
    assert refused(gate) == {"proxy": 1}


def test_only_proxies_may_say_so(make_gate, tmp_path):
    gate = behind(make_gate, tmp_path, listener="proxy_protocol = yes")
    with Raw(gate, source="127.0.0.99") as client:
        assert client.read_to_end() == b""
    assert refused(gate) == {"address": 1}


def test_a_proxy_header_has_to_come_in_time(make_gate, tmp_path):
    gate = behind(make_gate, tmp_path, listener="proxy_protocol = yes", routes=())
    gate.stop()
    gate = configured(make_gate, tmp_path, 'trusted_proxies = {"127.0.0.0/8"}\nlisten "127.0.0.1:0" { proxy_protocol = yes }\n'
                                           'timeouts { head = 100ms }\n', listen=())
    with Raw(gate) as client:
        assert client.send(b"PROXY TCP4 ").read_to_end() == b""
    assert refused(gate) == {"proxy": 1}


def test_a_listener_judges_the_client_that_a_proxy_names(make_gate, tmp_path, echo):
    gate = behind(make_gate, tmp_path, "limits { connections_per_address = 1 }", 'proxy_protocol = yes deny = {"192.0.2.9"}')
    echo(gate)
    with Raw(gate, source="127.0.0.2") as client:
        assert client.send(v2("192.0.2.9", 1) + upgrade_request()).read_to_end() == b""
    with Raw(gate, source="127.0.0.2") as client:
        assert client.send(v2("192.0.2.7", 1) + upgrade_request()).read_response().status == 101
        with Raw(gate, source="127.0.0.2") as second:
            assert second.send(v2("192.0.2.7", 2) + upgrade_request()).read_to_end() == b""
    assert refused(gate) == {"address": 1, "per_address": 1}


# --- origins, subprotocols ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("origins, lines, status", [
    ("https://a.example|none", ["Origin: https://a.example"], 101),
    ("https://a.example|none", [], 101),
    ("https://a.example|none", ["Origin: https://b.example"], 403),
    ("https://a.example|none", ["Origin: https://a.example", "Origin: https://a.example"], 400),
    ("https://a.example|none", ["Origin:"], 403),
    ("https://a.example|none", ["Origin: null"], 403),
    ("same", ["Origin: http://gate.test"], 101),
    ("same", ["Origin: http://gate.test.evil.example"], 403),
    ("https://*.example", ["Origin: https://a.example"], 101),
    ("any", ["Origin: https://b.example"], 101),
])
def test_origins(make_gate, echo, origins, lines, status):
    gate = make_gate(routes=["echo=/echo,origins=" + origins])
    echo(gate)
    assert status_of(gate, upgrade_request(extra=lines)) == status
    assert refused(gate, "echo") == ({"origin": 1} if status == 403 else {})


def test_a_subprotocol_may_be_required(make_gate, echo):
    gate = make_gate(routes=["echo=/echo,subprotocols=v2|v1,require_subprotocol=yes"])
    echo(gate)
    assert status_of(gate, upgrade_request(extra=["Sec-WebSocket-Protocol: v1"])) == 101
    assert status_of(gate, upgrade_request(extra=["Sec-WebSocket-Protocol: v3"])) == 400
    assert status_of(gate, upgrade_request()) == 400
    assert refused(gate, "echo") == {"subprotocol": 2}


def test_refusals_do_not_tell_the_client_why(make_gate, echo):
    gate = make_gate(routes=["echo=/echo,origins=none"])
    echo(gate)
    with Raw(gate) as client:
        response = client.send(upgrade_request(extra=["Origin: https://b.example"])).read_response()
    assert response.status == 403 and b"origin" not in response.body.lower()
    gate.wait_line(r'msg=refused .*why="the origin is not allowed"')


# --- what a client may do ------------------------------------------------------------------------------------------------


def test_a_fast_client_is_not_read(make_gate, take_seat):
    gate = make_gate(routes=["echo=/echo,message_rate=20,message_burst=5"])
    bus = take_seat(gate)
    with Raw(gate).upgrade() as client:
        bus.hear("open")
        began = time.monotonic()
        client.send(b"".join(frame(1, str(i)) for i in range(25)))
        assert [bus.hear("data").payload for _ in range(25)] == [str(i).encode() for i in range(25)]
        assert time.monotonic() - began >= 0.9  # twenty of them at twenty a second: what the limit promises, whatever the machine
        stats = gate.wsctl("stats")["routes"]["echo"]
        assert stats["rate_pauses"] > 0
        client.send(frame(PING, "p"))
        assert client.read_frame().payload == b"p"
    bus.hear("closed")


@pytest.mark.parametrize("limit, frames", [("message_rate=2", [frame(1, "x")] * 9), ("byte_rate=1000", [frame(2, bytes(2000))] * 2),
                                           ("message_rate=2", [frame(PING, "x")] * 9), ("message_rate=2", [frame(PONG, "x")] * 9)])
def test_a_fast_client_may_be_closed(make_gate, take_seat, limit, frames):
    gate = make_gate(routes=["echo=/echo,over_rate=close," + limit])
    bus = take_seat(gate)
    with Raw(gate).upgrade() as client:
        bus.hear("open")
        client.send(b"".join(frames))
        code = client.read_close()[0]
        assert code == 1008
        client.send(frame(8, struct.pack(">H", 1008)))
    while True:
        event = bus.hear("data", "closed")
        if event.type == "closed":
            break
    assert (event.meta["by"], event.meta["code"], event.meta["clean"]) == ("gate", 1008, True)
    assert ended(gate, "echo") == {"rate": 1}


def test_an_idle_connection_ends(make_gate, take_seat):
    gate = make_gate(routes=["echo=/echo,idle_timeout=300ms,ping_interval=50ms"])
    bus = take_seat(gate)
    with Raw(gate).upgrade() as client:
        bus.hear("open")
        pongs = 0
        while (got := client.read_frame()).opcode == PING:
            client.send(frame(PONG, got.payload))
            pongs += 1
        assert pongs > 0  # which are no messages
        assert got.opcode == CLOSE and close_code(got.payload)[0] == 1001
        client.send(frame(8, struct.pack(">H", 1001)))
        closed = bus.hear("closed")
        assert (closed.meta["by"], closed.meta["reason"]) == ("gate", "idle")
    assert ended(gate, "echo") == {"idle": 1}


def test_who_is_talked_to_is_not_idle(make_gate, take_seat):
    gate = make_gate(routes=["echo=/echo,idle_timeout=500ms"])
    bus = take_seat(gate)
    with Raw(gate).upgrade() as client:
        conn = bus.hear("open").conn
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            bus.send(conn, "still there")
            bus.flush()
            assert client.read_message() == "still there"
    assert bus.hear("closed").meta["by"] in ("client", "network")


def test_a_lifetime_is_over_whatever_happens(make_gate, take_seat):
    gate = make_gate(routes=["echo=/echo,lifetime=300ms"])
    bus = take_seat(gate)
    with Raw(gate).upgrade() as client:
        bus.hear("open")
        assert client.read_close()[0] == 1001
        client.send(frame(8, struct.pack(">H", 1001)))
    assert bus.hear("closed").meta["reason"] == "lifetime is over"
    assert ended(gate, "echo") == {"lifetime": 1}


def test_a_client_that_does_not_answer_pings_is_gone(make_gate, take_seat):
    gate = make_gate(routes=["echo=/echo,ping_interval=50ms,ping_timeout=100ms", "quiet=/quiet"])
    bus = take_seat(gate, ["echo", "quiet"])
    with Raw(gate).upgrade("/quiet") as quiet:
        other = bus.hear("open").conn
        with Raw(gate).upgrade() as client:
            conn = bus.hear("open").conn
            assert client.read_frame().opcode == PING
            closed = bus.hear("closed")
            assert (closed.conn, closed.meta["by"], closed.meta["reason"]) == (conn, "network", "no answer to a ping")
        assert ended(gate, "echo") == {"ping": 1}
        bus.send(other, "you were not asked")
        bus.flush()
        assert quiet.read_message() == "you were not asked"
    bus.hear("closed")


# --- the configuration ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text, why", [
    ('listen "127.0.0.1:0" { proxy_protocol = yes }', "trusted_proxies is missing"),
    ('listen "127.0.0.1:0" {}\nforwarded = forwarded', "trusted_proxies is missing"),
    ('listen "127.0.0.1:0" { allow = {"10.0.0.1/8"} }', "write 10.0.0.0/8"),
    ('listen "127.0.0.1:0" {}\nroute r { path = / origins = {"example.org"} }', "is no origin"),
    ('listen "127.0.0.1:0" {}\nroute r { path = / require_subprotocol = yes }', "subprotocols is missing"),
    ('listen "127.0.0.1:0" {}\nroute r { path = / byte_burst = 1KiB }', "byte_rate is missing"),
])
def test_what_cannot_be_is_said(processes, tmp_path, text, why):
    from conftest import BUILD
    path = tmp_path / "wsgate.conf"
    path.write_text(text)
    check = processes([BUILD / "wsgate" / "wsgate", "-t", "-c", path])
    assert check.process.wait(20) != 0
    check.wait_line(why)
