"""Operators move things about: draining, weights, moving, publishing; and what presence and names tell handlers."""

import asyncio

import pytest
import websockets
from conftest import eventually, run_async


def handlers(gate):
    return {handler["id"]: handler for handler in gate.wsctl("handlers")["handlers"]}


@pytest.fixture
def take(take_seat):
    def sit(gate, **kwargs):
        seat = take_seat(gate, **kwargs)
        seat.number = int(seat.welcome.meta["id"])
        return seat

    return sit


def test_a_drained_handler_ends_and_nothing_is_lost(make_gate, echo):
    """Real handlers, one after the other, while clients send: a rolling restart."""
    gate = make_gate()
    running = [echo(gate, language) for language in ("c", "python", "node")]
    clients, messages = 30, 60

    async def one(number):
        async with websockets.connect(gate.url(), max_size=None) as ws:
            for i in range(messages):
                text = "%d %d" % (number, i)
                await ws.send(text)
                assert await ws.recv() == text
                await asyncio.sleep(0.01)

    async def roll():
        loop = asyncio.get_running_loop()
        for language, process in zip(("c", "python", "node"), list(running)):
            ids = [i for i, h in handlers(gate).items() if h["pid"] == process.pid]
            await loop.run_in_executor(None, echo, gate, language)
            await loop.run_in_executor(None, lambda: gate.wsctl("handlers", "drain", ids[0], "--wait"))
            await loop.run_in_executor(None, process.process.wait, 20)
            assert process.process.returncode == 0, process.output

    async def everybody():
        await asyncio.gather(roll(), *(one(number) for number in range(clients)))

    run_async(everybody())
    route = eventually(lambda: (r := gate.wsctl("stats")["routes"]["echo"])["retained_messages"] == 0 and r, "all acknowledged")
    assert route["messages_in"] == route["delivered"] == clients * messages
    assert sum(route["in_dropped"].values()) == 0
    assert route["redelivered"] == 0, "a drain sends nothing twice"


def test_a_connection_moves_and_its_former_owner_is_refused(make_gate, take):
    gate = make_gate()
    first = take(gate)

    async def talk():
        async with websockets.connect(gate.url()) as ws:
            await ws.send("one")
            opened, data = first.hear("open"), first.hear("data")
            second = take(gate)
            moving = gate.wsctl("move", "%016x" % opened.conn, second.number)
            assert moving == {}
            await ws.send("two")
            assert first.hear("revoked").conn == opened.conn  # asking for it acknowledges "one"
            again, two = second.hear("open"), second.hear("data")
            assert (again.conn, again.redelivered, two.payload, two.redelivered, two.seq) == (opened.conn, True, b"two", False, 3)
            second.send(two.conn, "second")
            second.flush()
            assert await ws.recv() == "second"
            assert gate.wsctl("show", "%016x" % opened.conn)["handler"] == second.number
            assert data.payload == b"one"
        second.hear("closed")  # asking for it acknowledges what came before
        second.flush()
        eventually(lambda: handlers(gate)[second.number]["delivered"] == 1, "it is acknowledged")

    run_async(talk())


def test_moving_where_it_cannot_is_refused(make_gate, take):
    gate = make_gate(routes=["echo=/echo", "other=/other"])
    seat, stranger = take(gate), take(gate, routes=["other"])

    async def talk():
        async with websockets.connect(gate.url()):
            conn = seat.hear("open").conn
            error = gate.wsctl("move", "%016x" % conn, stranger.number, status=1)["error"]
            assert "echo" in error["message"]
            assert gate.wsctl("move", "%016x" % conn, seat.number, status=1)
            assert gate.wsctl("move", "%016x" % conn, 99, status=1)
            assert gate.wsctl("move", "%016x" % (conn ^ 1), seat.number, status=1)

    run_async(talk())


def test_weights_share_new_connections(make_gate, take):
    gate = make_gate()
    light, heavy = take(gate), take(gate)
    assert gate.wsctl("handlers", "weight", heavy.number, 3)["weight"] == 3
    gate.wsctl("handlers", "weight", heavy.number, 0, status=2)

    async def talk():
        sockets = [await websockets.connect(gate.url()) for _ in range(40)]
        eventually(lambda: sum(h["connections"] for h in handlers(gate).values()) == 40, "40 connections")
        now = handlers(gate)
        assert (now[light.number]["connections"], now[heavy.number]["connections"]) == (10, 30)
        for ws in sockets:
            await ws.close()

    run_async(talk())


def test_one_user_stays_on_one_handler(make_gate, take, tmp_path):
    config = tmp_path / "gate.conf"
    config.write_text('route echo { path = /echo pin = hash pin_key = "query:user" }\n')
    gate = make_gate(args=["--config", config], routes=[])
    seats = [take(gate), take(gate), take(gate)]

    async def talk():
        urls = [gate.url("/echo?user=u%d" % (i % 20)) for i in range(60)]
        sockets = [await websockets.connect(url) for url in urls]
        eventually(lambda: len(gate.wsctl("list")["connections"]) == 60, "60 connections")
        rows = gate.wsctl("list")["connections"]
        by_user = {}
        for row in rows:
            by_user.setdefault(row["target"], set()).add(row["handler"])
        assert all(len(of) == 1 for of in by_user.values()), by_user
        assert len({next(iter(of)) for of in by_user.values()}) == 3, "20 users on 3 handlers"
        before = {target: next(iter(of)) for target, of in by_user.items()}
        gone = seats.pop()
        gone.stand_up()
        eventually(lambda: all(row["handler"] not in (0, gone.number) for row in gate.wsctl("list")["connections"]), "all moved")
        after = {row["target"]: row["handler"] for row in gate.wsctl("list")["connections"]}
        for target, handler in before.items():
            assert handler == gone.number or after[target] == handler, "only those of the one that went may move"
        for ws in sockets:
            await ws.close()

    run_async(talk())


def test_groups_users_and_tags_by_configuration_and_by_command(make_gate, take, tmp_path):
    config = tmp_path / "gate.conf"
    config.write_text('route chat { path = "/chat/{room}" join = {"room:{room}", "all"} user = "query:u" }\n')
    gate = make_gate(args=["--config", config], routes=[])
    seat = take(gate, routes=["chat"], presence=True)

    async def talk():
        async with websockets.connect(gate.url("/chat/1?u=ann")) as ann, websockets.connect(gate.url("/chat/2?u=bob")) as bob:
            events = [seat.hear("joined", "open") for _ in range(6)]
            opened = {e.meta["user"]: e for e in events if e.type == "open"}
            joined = [(e.meta["group"], e.meta["count"], e.meta["user"]) for e in events if e.type == "joined"]
            assert sorted(opened["ann"].meta["groups"]) == ["all", "room:1"]
            assert ("all", 2, "bob") in joined or ("all", 2, "ann") in joined
            seat.tag(opened["ann"].conn, "vip")
            seat.flush()
            eventually(lambda: gate.wsctl("groups", "--tags")["groups"] == [{"name": "vip", "count": 1}], "the tag")
            assert gate.wsctl("groups", "--users")["total"] == 2
            assert gate.wsctl("groups", "room:1")["groups"][0]["members"] == ["%016x" % opened["ann"].conn]
            assert gate.wsctl("publish", "--tag", "vip", "-t", "to the vip")["targets"] == 1
            assert await ann.recv() == "to the vip"
            assert gate.wsctl("publish", "--user", "bob", "-t", "to bob")["targets"] == 1
            assert await bob.recv() == "to bob"
            assert gate.wsctl("publish", "--group", "all", "-t", "not ann", "--except", "%016x" % opened["ann"].conn)["targets"] == 1
            assert await bob.recv() == "not ann"
            seat.publish("from the handler", group="room:1")
            seat.flush()
            assert await ann.recv() == "from the handler"
            await bob.close()
            left = [seat.hear("left", "closed", "outcome") for _ in range(3)]
            assert sorted(e.meta["group"] for e in left if e.type == "left") == ["all", "room:2"]
            shown = gate.wsctl("show", "%016x" % opened["ann"].conn)
            assert (shown["user"], shown["tags"]) == ("ann", ["vip"])
            assert gate.wsctl("publish", "--group", "room:2", "-t", "x", status=1)["error"]

    run_async(talk())


def test_waiting_for_a_handler(make_gate, take, tmp_path):
    config = tmp_path / "gate.conf"
    config.write_text("route echo { path = /echo no_handler = wait handler_wait = 60s }\n"
                      "route brief { path = /brief no_handler = wait handler_wait = 100ms }\n")
    gate = make_gate(args=["--config", config], routes=[])

    async def talk():
        async with websockets.connect(gate.url()) as ws:
            await ws.send("early")
            eventually(lambda: gate.wsctl("stats")["routes"]["echo"]["retained_messages"] == 1, "it waits")
            eventually(lambda: gate.wsctl("stats")["routes"]["echo"]["retained_age_ms"] > 0, "and how long")
            seat = take(gate)
            assert seat.hear("open").redelivered is False
            event = seat.hear("data")
            assert (event.payload, event.redelivered) == (b"early", False)
        async with websockets.connect(gate.url("/brief")) as ws:
            await ws.send("lost")
            with pytest.raises(websockets.ConnectionClosed) as closed:
                await ws.recv()
            assert closed.value.code == 1013
        route = eventually(lambda: (r := gate.wsctl("stats")["routes"]["brief"])["in_dropped"]["no_handler"] == 1 and r, "the drop")
        assert route["messages_in"] == route["delivered"] + sum(route["in_dropped"].values())

    run_async(talk())
