"""Routes whose clients a handler of another route lets in: `gatekeeper = NAME`."""

import json
import subprocess
import threading

import pytest
import wsbus
import zmq

from conftest import BUILD, ROOT, eventually
from raw import Raw, frame, upgrade_request

DOOR = "door=,kind=gatekeeper"


def club(more=""):
    return "club=/club/{room},kind=websocket,gatekeeper=door" + ("," + more if more else "")


def stats_of(gate, route="club"):
    return gate.wsctl("stats")["routes"][route]


def refused(gate, reason, route="club"):
    return stats_of(gate, route)["refused_by"][reason]


@pytest.fixture
def guarded(make_gate):
    return make_gate(routes=[DOOR, club("subprotocols=a|b,join=room:{room},user=query:user"), "echo=/echo"])


@pytest.fixture
def both(guarded, take_seat):
    """(gate, gatekeeper, handler of the route)"""
    return guarded, take_seat(guarded, ["door"]), take_seat(guarded, ["club"])


def knock(client, path="/club/one", **kwargs):
    return client.send(upgrade_request(path, **kwargs))


# --- the usual way


def test_a_client_is_let_in_and_then_its_routes(both):
    gate, door, handler = both
    with Raw(gate) as client:
        knock(client, "/club/one?user=ann", extra=["Sec-WebSocket-Protocol: a, b", "Cookie: c=1"])
        asked = door.hear("open")
        assert (asked.pending, asked.seq, asked.redelivered) == (True, 1, False)
        assert (asked.meta["route"], asked.meta["gatekeeper"], asked.meta["params"]) == ("club", "door", {"room": "one"})
        assert (asked.meta["user"], asked.meta["subprotocol"], asked.meta["offered"]) == ("ann", "a", ["a", "b"])
        assert asked.meta["headers"]["cookie"] == "c=1" and "groups" not in asked.meta
        assert client.is_quiet(0.1), "no 101 before ACCEPT"
        row = gate.wsctl("list")["connections"][0]
        assert (row["route"], row["what"]) == ("club", "WebSocket(server, CONNECTING)")
        assert row["handler"] == door.welcome.meta["id"]
        client.send(frame(1, "early") + frame(2, b"bird"))

        door.accept(asked.conn, subprotocol="b", headers={"X-Seat": "7"}, user="Ann", groups=["vip"], tags=["gold"])
        door.flush()
        client.expect_101()
        assert (client.headers["sec-websocket-protocol"], client.headers["x-seat"]) == ("b", "7")
        assert door.hear("revoked").conn == asked.conn

        opened = handler.hear("open")
        assert (opened.conn, opened.pending, opened.seq, opened.redelivered) == (asked.conn, False, 1, False)
        assert "gatekeeper" not in opened.meta
        assert (opened.meta["user"], opened.meta["subprotocol"], opened.meta["tags"]) == ("Ann", "b", ["gold"])
        assert sorted(opened.meta["groups"]) == ["room:one", "vip"]
        assert [(e.seq, e.payload) for e in (handler.hear("data"), handler.hear("data"))] == [(2, b"early"), (3, b"bird")]
        handler.send(opened.conn, "hello")
        handler.flush()
        assert client.read_message() == "hello"
        row = gate.wsctl("list")["connections"][0]
        assert (row["route"], row["handler"], row["subprotocol"]) == ("club", handler.welcome.meta["id"], "b")
        assert gate.wsctl("show", "%016x" % opened.conn)["open"]["subprotocol"] == "b"
    closed = handler.hear("closed")
    assert (closed.conn, closed.seq) == (asked.conn, 4)
    assert door.hears_nothing(0.1)
    routes = {row["name"]: row for row in gate.wsctl("routes")["routes"]}
    assert (routes["club"]["accept"], routes["club"]["gatekeeper"], routes["club"]["opened"]) == ("gatekeeper", "door", 1)
    assert (routes["door"]["path"], routes["door"]["gatekeeper"], routes["door"]["opened"]) == ("", "", 0)
    assert (stats_of(gate)["asked"], stats_of(gate)["messages_in"]) == (1, 2)
    assert stats_of(gate, "door")["messages_in"] == 0


def test_nobody_comes_to_a_gatekeeper_by_a_path(both):
    gate, door, _ = both
    for path in ("/door", "/", "/club/one/two"):
        with Raw(gate) as client:
            assert knock(client, path).read_response().status == 404
    assert door.hears_nothing(0.1)


@pytest.mark.parametrize("language", ["c", "c-zmq", "python", "node"])
def test_handlers_of_the_route_need_to_know_nothing(guarded, take_seat, echo, language):
    door = take_seat(guarded, ["door"])
    echo(guarded, language, route="club")
    with Raw(guarded) as client:
        knock(client).send(frame(1, "first"))
        door.accept(door.hear("open").conn)
        door.flush()
        client.expect_101()
        client.send(frame(1, "second"))
        assert [client.read_message(), client.read_message()] == ["first", "second"]


DOOR_IN_NODE = """
import { Handler } from %s;
const bus = new Handler({ bus: %s, routes: ["door"], kinds: ["websocket"] });
for await (const event of bus) {
  if (event.type !== "open" || !event.pending) continue;
  const pass = new URLSearchParams(event.meta.query).get("pass");
  if (pass === "ok") bus.accept(event.conn, { user: "ann", groups: ["guests"], tags: ["t"], subprotocol: "b", headers: { "X-Door": "node" } });
  else if (pass === "wide") bus.accept(event.conn);
  else bus.reject(event.conn, "a pass, please\\n", { status: 401, headers: { "X-Door": "node" } });
}
"""


def test_a_gatekeeper_in_node(guarded, take_seat, processes):
    processes(["node", "--input-type=module", "-e", DOOR_IN_NODE % (json.dumps(str(ROOT / "node/wsbus.js")), json.dumps(str(guarded.dir)))])
    guarded.wait_handlers("door", 1)
    handler = take_seat(guarded, ["club"])
    with Raw(guarded) as client:
        knock(client)
        answer = client.read_response()
        assert (answer.status, answer.body, answer.headers["x-door"]) == (401, b"a pass, please\n", "node")
    with Raw(guarded) as client:
        knock(client, "/club/one?pass=ok", extra=["Sec-WebSocket-Protocol: a, b"])
        assert client.expect_101().headers["x-door"] == "node"
        opened = handler.hear("open")
        assert (opened.meta["user"], opened.meta["tags"], opened.meta["subprotocol"]) == ("ann", ["t"], "b")
        assert set(opened.meta["groups"]) == {"guests", "room:one"} and not opened.pending
    with Raw(guarded) as client:
        knock(client, "/club/one?pass=wide")
        client.expect_101()


def test_a_client_is_rejected(both):
    gate, door, handler = both
    with Raw(gate) as client:
        knock(client)
        asked = door.hear("open")
        door.reject(asked.conn, 402, b"pay first", headers={"X-Price": "9"})
        door.flush()
        answer = client.read_response()
        assert (answer.status, answer.body, answer.headers["x-price"]) == (402, b"pay first", "9")
    closed = door.hear("closed")
    assert (closed.conn, closed.seq, closed.meta["by"]) == (asked.conn, 2, "handler")
    assert handler.hears_nothing(0.1)
    assert refused(gate, "by_handler") == 1 and refused(gate, "by_handler", "door") == 0


def test_a_gatekeeper_may_serve_clients_too(make_gate, take_seat):
    gate = make_gate(routes=["echo=/echo", "club=/club/{room},kind=websocket,gatekeeper=echo"])
    handler = take_seat(gate, ["echo", "club"])
    with Raw(gate) as plain, Raw(gate) as client:
        plain.upgrade("/echo")
        assert handler.hear("open").meta["route"] == "echo"
        knock(client).send(frame(1, "x"))
        asked = handler.hear("open")
        assert (asked.pending, asked.meta["gatekeeper"]) == (True, "echo")
        handler.accept(asked.conn)
        handler.flush()
        client.expect_101()
        assert handler.hear("revoked").conn == asked.conn
        assert handler.hear("open").pending is False
        assert handler.hear("data").text == "x"
        handler.send(asked.conn, "mine again")
        handler.flush()
        assert client.read_message() == "mine again"


def test_many_at_once_on_all_workers(make_gate, take_seat):
    """Each client gets in once, says one thing, and is answered by a handler of its route."""
    gate = make_gate(routes=[DOOR, club()], args=["--workers", "2"])
    doors = [take_seat(gate, ["door"]) for _ in range(2)]
    handler = take_seat(gate, ["club"])
    stop = threading.Event()

    def keep(door):
        while not stop.is_set():
            event = door.read(50)
            if event and event.type == "open":
                number = int(event.meta["params"]["room"])
                if number % 4:
                    door.accept(event.conn, user="u%d" % number)
                else:
                    door.reject(event.conn, 403, b"not you")

    threads = [threading.Thread(target=keep, args=(door,)) for door in doors]
    for thread in threads:
        thread.start()
    try:
        clients = [Raw(gate) for _ in range(200)]
        for number, client in enumerate(clients):
            knock(client, "/club/%d" % number)
            if number % 4:
                client.send(frame(1, "say %d" % number))
        users = {}
        said = 0
        while said < 150:
            event = handler.hear("open", "data")
            if event.type == "open":
                assert event.conn not in users
                users[event.conn] = event.meta["user"]
            else:
                assert "say %s" % users[event.conn][1:] == event.text
                handler.send(event.conn, event.text)
                handler.flush()
                said += 1
        for number, client in enumerate(clients):
            if number % 4:
                client.expect_101()
                assert client.read_message() == "say %d" % number
            else:
                assert client.read_response().status == 403
            client.close()
        assert len(set(users.values())) == 150
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    eventually(lambda: gate.wsctl("status")["connections"] == 0, "no connection left")
    assert (stats_of(gate)["asked"], stats_of(gate)["opened"], refused(gate, "by_handler")) == (200, 150, 50)


# --- somebody is not there


def test_without_a_gatekeeper_503(guarded, take_seat):
    take_seat(guarded, ["club"])
    with Raw(guarded) as client:
        answer = knock(client).read_response()
        assert answer.status == 503 and b"gatekeeper" not in answer.body, "why is not the client's business"
    assert refused(guarded, "no_gatekeeper") == 1
    assert "no gatekeeper" in guarded.output


def test_a_gatekeeper_may_be_waited_for(make_gate, take_seat):
    gate = make_gate(routes=[DOOR + ",no_handler=wait,handler_wait=20s", club()])
    handler = take_seat(gate, ["club"])
    with Raw(gate) as client:
        knock(client)
        eventually(lambda: stats_of(gate)["asked"] == 1, "it to wait")
        door = take_seat(gate, ["door"])
        door.accept(door.hear("open").conn)
        door.flush()
        client.expect_101()
        handler.hear("open")


@pytest.mark.parametrize("behind", [b"", frame(1, b"said too early")], ids=["nothing", "a message"])
def test_who_hangs_up_before_the_decision_is_told_at_once(make_gate, take_seat, behind):
    """Whatever it has said behind its handshake; and nobody is kept busy by its end."""
    gate = make_gate(routes=["ask=/ask,accept=handler,accept_timeout=600s"])
    seat = take_seat(gate, ["ask"])
    client = Raw(gate)
    client.send(upgrade_request("/ask") + behind)
    asked = seat.hear("open")
    client.close()
    closed = seat.hear("closed")
    assert (closed.conn, closed.meta["reason"]) == (asked.conn, "the client went away")


def test_a_gatekeeper_that_does_not_decide_504(make_gate, take_seat):
    gate = make_gate(routes=[DOOR, club("accept_timeout=300ms")])
    door, handler = take_seat(gate, ["door"]), take_seat(gate, ["club"])
    with Raw(gate) as client:
        knock(client)
        asked = door.hear("open")
        assert client.read_response().status == 504
    closed = door.hear("closed")
    assert (closed.conn, closed.meta["reason"]) == (asked.conn, "accept timed out")
    assert handler.hears_nothing(0.1)
    assert refused(gate, "accept_timeout") == 1
    assert 'why="accept timed out"' in gate.output


def test_the_next_gatekeeper_is_asked_when_one_dies(both, take_seat):
    gate, door, handler = both
    with Raw(gate) as client:
        knock(client)
        asked = door.hear("open")
        second = take_seat(gate, ["door"])
        door.vanish()
        again = second.hear("open")
        assert (again.conn, again.pending, again.redelivered) == (asked.conn, True, True)
        second.accept(again.conn)
        second.flush()
        client.expect_101()
        assert handler.hear("open").redelivered is False


def test_when_the_last_gatekeeper_dies_503(both):
    gate, door, handler = both
    with Raw(gate) as client:
        knock(client)
        door.hear("open")
        door.vanish()
        assert client.read_response().status == 503
    assert handler.hears_nothing(0.1)
    assert refused(gate, "no_gatekeeper") == 1


def test_a_gatekeeper_that_dies_after_accept_takes_nobody_along(both):
    gate, door, handler = both
    with Raw(gate) as client:
        knock(client)
        door.accept(door.hear("open").conn)
        door.flush()
        client.expect_101()
        door.vanish()
        opened = handler.hear("open")
        eventually(lambda: len(gate.wsctl("handlers")["handlers"]) == 1, "the gate to notice")
        handler.send(opened.conn, "still here")
        handler.flush()
        assert client.read_message() == "still here"


def test_nobody_serves_who_was_accepted(make_gate, take_seat):
    """no_handler of the wanted route decides: refuse before the 101, close after it, wait."""
    gate = make_gate(routes=[
        DOOR, "a=/a,kind=websocket,gatekeeper=door", "b=/b,kind=websocket,gatekeeper=door,no_handler=close",
        "c=/c,kind=websocket,gatekeeper=door,no_handler=wait"])
    door = take_seat(gate, ["door"])
    seat = take_seat(gate, ["a", "b"])
    with Raw(gate) as a, Raw(gate) as b, Raw(gate) as c:
        asked = []
        for client, path in ((a, "/a"), (b, "/b"), (c, "/c")):
            knock(client, path)
            asked.append(door.hear("open"))
        seat.stand_up()
        eventually(lambda: len(gate.wsctl("handlers")["handlers"]) == 1, "nobody left")
        for event in asked:
            door._command("accept", event.conn, outcome=True)
        door.flush()
        assert a.read_response().status == 503
        b.expect_101()
        assert b.read_close()[0] == 1013
        c.expect_101()
        c.send(frame(1, "waits"))
        heard = [door.hear("outcome", "closed", "revoked") for _ in range(6)]
        assert [e.conn for e in heard if e.type == "closed"] == [asked[0].conn]
        assert sorted(e.conn for e in heard if e.type == "revoked") == sorted(e.conn for e in asked[1:])
        outcomes = {e.conn: e.outcome for e in heard if e.type == "outcome"}
        assert outcomes == {asked[0].conn: "refused", asked[1].conn: "written", asked[2].conn: "written"}
        late = take_seat(gate, ["c"])
        assert late.hear("open").conn == asked[2].conn
        assert late.hear("data").text == "waits"
    assert refused(gate, "no_handler", "a") == 1


def test_max_connections_are_those_who_are_in(make_gate, take_seat):
    gate = make_gate(routes=[DOOR, club("max_connections=1")])
    door, handler = take_seat(gate, ["door"]), take_seat(gate, ["club"])
    with Raw(gate) as first, Raw(gate) as second, Raw(gate) as third:
        knock(first, "/club/first"), knock(second, "/club/second")
        one, two = door.hear("open"), door.hear("open")
        door.accept(one.conn)
        door.flush()
        first_in, other = (first, second) if one.meta["params"]["room"] == "first" else (second, first)
        first_in.expect_101()
        door._command("accept", two.conn, outcome=True)
        door.flush()
        assert other.read_response().status == 503
        heard = [door.hear("revoked", "outcome") for _ in range(3)]
        assert [e.outcome for e in heard if e.type == "outcome"] == ["refused"]
        assert knock(third).read_response().status == 503
        assert handler.hear("open").conn == one.conn
        assert handler.hears_nothing(0.1)
    assert refused(gate, "connections") == 2


# --- who may say what


def test_after_accept_it_is_not_the_gatekeepers(both):
    gate, door, handler = both
    with Raw(gate) as client:
        knock(client)
        asked = door.hear("open")
        door.accept(asked.conn)
        door.send(asked.conn, "late", outcome=True)  # before it can know
        door.flush()
        client.expect_101()
        assert [door.hear("revoked", "outcome").type for _ in range(2)] == ["revoked", "outcome"]
        assert gate.wsctl("stats")["bus"]["stale"] == 1
        opened = handler.hear("open")
        handler.send(opened.conn, "from its own")
        handler.flush()
        assert client.read_message() == "from its own"
    handler.hear("closed")
    assert door.hears_nothing(0.1)


def test_a_client_that_leaves_before_it_is_let_in(both):
    gate, door, handler = both
    client = Raw(gate)
    knock(client)
    asked = door.hear("open")
    client.close()
    closed = door.hear("closed")
    assert (closed.conn, closed.seq, closed.meta["by"]) == (asked.conn, 2, "client")
    door._command("accept", asked.conn, outcome=True)
    assert door.hear("outcome").outcome == "gone"
    assert handler.hears_nothing(0.1)
    eventually(lambda: gate.wsctl("stats")["bus"]["pinned"] == 0, "nothing left of it")


def test_an_accept_that_is_not_valid(both):
    """The client gets 502, the gatekeeper is told by the outcome, the route hears nothing."""
    gate, door, handler = both
    with Raw(gate) as client:
        knock(client, extra=["Sec-WebSocket-Protocol: a"])
        asked = door.hear("open")
        door._command("accept", asked.conn, outcome=True, meta={"subprotocol": "b"})
        door.flush()
        assert client.read_response().status == 502
    assert {door.hear("outcome", "revoked").type, door.hear("outcome", "revoked").type} == {"outcome", "revoked"}
    assert handler.hears_nothing(0.1)
    eventually(lambda: gate.wsctl("stats")["bus"]["pinned"] == 0, "nothing left of it")


def test_credit_and_acknowledgement_of_a_gatekeeper(both):
    gate, door, _ = both
    clients = [Raw(gate) for _ in range(20)]
    for client in clients:
        knock(client)
    revoked = 0
    while revoked < len(clients):  # it is told of the first ones while the last ones come
        event = door.hear("open", "revoked")
        revoked += event.type == "revoked"
        if event.type == "open":
            door.accept(event.conn)
    for client in clients:
        client.expect_101()
    door.read(100)

    def is_even():
        row = next(r for r in gate.wsctl("handlers")["handlers"] if r["routes"] == ["door"])
        return (row["unacknowledged"], row["connections"], row["waiting"]) == (0, 0, 0)

    eventually(is_even, "the gatekeeper to owe nothing")
    row = next(r for r in gate.wsctl("handlers")["handlers"] if r["routes"] == ["door"])
    assert row["stale"] == 0
    for client in clients:
        client.close()


def test_drain_of_a_gatekeeper(both, take_seat):
    gate, door, handler = both
    with Raw(gate) as client:
        knock(client)
        asked = door.hear("open")
        gate.wsctl("handlers", "drain", str(door.welcome.meta["id"]))
        door.hear("drain")
        door.accept(asked.conn)
        door.flush()
        client.expect_101()
        assert handler.hear("open").conn == asked.conn
        kinds = [door.hear("revoked", "drain").type for _ in range(2)]
        assert sorted(kinds) == ["drain", "revoked"]


def test_drain_of_the_gate(both):
    gate, door, handler = both
    with Raw(gate) as client:
        knock(client)
        asked = door.hear("open")
        gate.wsctl("shutdown")
        eventually(lambda: gate.wsctl("status")["state"] == "draining", "the drain")
        door.accept(asked.conn)
        door.flush()
        client.expect_101()
        assert client.read_close()[0] == 1001


def test_a_route_that_only_publishes(make_gate, take_seat):
    """Subscribers get the events of those whom a gatekeeper let in, and of nobody else."""
    gate = make_gate(routes=[DOOR, club("deliver=publish")])
    door = take_seat(gate, ["door"])
    events = wsbus.Subscriber(["club open"], bus=gate.dir, context=zmq.Context())
    events._socket.rcvtimeo = 300

    def visit(name):
        """Subscriptions take a moment: an early visitor's copy may be missed."""
        with Raw(gate) as client:
            knock(client)
            door.accept(door.hear("open").conn, user=name)
            door.flush()
            client.expect_101()
            door.hear("revoked")
        try:
            return next(iter(events))
        except zmq.Again:
            return None

    topic, opened = eventually(lambda: visit("ann"), "a copy")
    assert topic == "club open"
    assert (opened.meta["user"], opened.pending, opened.seq) == ("ann", False, 1)


# --- configuration


@pytest.mark.parametrize("routes, says", [
    ([club()], "--route: route 'club': gatekeeper: there is no route 'door'"),
    (["a=/a,kind=websocket,gatekeeper=a"], "it is the route itself"),
    ([DOOR, "a=/a,gatekeeper=door"], "of kind = websocket"),
    (["door="], "path is missing"),
    (["door=/d,kind=gatekeeper"], "kind = gatekeeper has none"),
])
def test_configuration(routes, says):
    args = [arg for route in routes for arg in ("--route", route)]
    answer = subprocess.run([BUILD / "wsgate" / "wsgate", "-t", "--listen", "127.0.0.1:0", *args], capture_output=True, text=True, timeout=20)
    assert answer.returncode == 2 and says in answer.stderr, answer
