"""Each example does what its README line says, alone and beside its relatives in other languages."""

import asyncio
import contextlib
import json
import urllib.request

import websockets
import wsbus
import zmq

from conftest import BUILD, DEADLINE, PYTHON, ROOT, eventually, run_async


def client(gate, path):
    return websockets.connect(gate.url(path), compression=None, open_timeout=20)


async def next_of(socket, condition):
    """The next message that fulfils the condition; others are passed over."""
    while True:
        message = json.loads(await asyncio.wait_for(socket.recv(), 20))
        if condition(message):
            return message


def said(name, text):
    return json.dumps({"from": name, "text": text})


def test_fanout_brings_what_is_published_to_all_subscribers(make_gate, processes):
    gate = make_gate(routes=["pub=/pub", "sub=/sub"])
    processes([BUILD / "examples/wsbus-fanout", "--bus", gate.dir])
    gate.wait_handlers("pub", 1)
    gate.wait_handlers("sub", 1)

    async def talk():
        async with contextlib.AsyncExitStack() as stack:
            subscribers = [await stack.enter_async_context(client(gate, "/sub")) for _ in range(20)]
            publisher = await stack.enter_async_context(client(gate, "/pub"))
            # a subscriber counts from its OPEN on: wait until the gate has told the handler of all of them
            await asyncio.get_running_loop().run_in_executor(
                None, eventually, lambda: sum(row["what"].endswith("CONNECTED)") for row in gate.wsctl("list")["connections"]) == 21)
            await publisher.send("news")
            await publisher.send(b"\x00\x01")
            for subscriber in subscribers:
                assert await asyncio.wait_for(subscriber.recv(), 20) == "news"
                assert await asyncio.wait_for(subscriber.recv(), 20) == b"\x00\x01"

    run_async(talk())


def test_chat_in_c_and_python_share_the_rooms(make_gate, processes):
    gate = make_gate(routes=["chat=/chat/{room}"])
    processes([BUILD / "examples/wsbus-chat", "--bus", gate.dir])
    gate.wait_handlers("chat", 1)
    processes([PYTHON, ROOT / "examples/python/chat.py", "--bus", gate.dir])
    gate.wait_handlers("chat", 2)

    async def talk():
        async with client(gate, "/chat/one") as alice:
            await next_of(alice, lambda m: m["from"] == "*" and m["text"].endswith("joined"))
            async with client(gate, "/chat/one") as bob, client(gate, "/chat/two") as eve:
                await next_of(alice, lambda m: m["from"] == "*" and m["text"].endswith("joined"))
                await next_of(bob, lambda m: m["from"] == "*")
                await next_of(eve, lambda m: m["from"] == "*")
                handlers = {row["handler"] for row in gate.wsctl("list")["connections"]}
                assert len(handlers) == 2, "both handlers have connections: %s" % handlers
                await alice.send(said("alice", "hello ✓"))
                assert await next_of(bob, lambda m: m["from"] == "alice") == {"from": "alice", "text": "hello ✓"}
                assert await next_of(alice, lambda m: m["from"] == "alice") == {"from": "alice", "text": "hello ✓"}
                await bob.send(said("bob", "hello alice"))
                await next_of(alice, lambda m: m == {"from": "bob", "text": "hello alice"})
                await eve.send(said("eve", "alone"))
                heard = await next_of(eve, lambda m: m["from"] != "*")
                assert heard["from"] == "eve", "nothing of the other room: %s" % heard
            await next_of(alice, lambda m: m["from"] == "*" and m["text"].endswith("left"))

    run_async(talk())


def test_chat_refuses_what_is_not_a_message(make_gate, processes):
    for command in ([BUILD / "examples/wsbus-chat"], [PYTHON, ROOT / "examples/python/chat.py"]):
        gate = make_gate(routes=["chat=/chat/{room}"])
        processes(command + ["--bus", gate.dir])
        gate.wait_handlers("chat", 1)

        async def talk():
            for bad, code in ((said("x", "y" * 5000), 1009), (b"\x00", 1003)):
                async with client(gate, "/chat/one") as socket:
                    await socket.send(bad)
                    with contextlib.suppress(websockets.ConnectionClosed):
                        while True:
                            await asyncio.wait_for(socket.recv(), 20)
                    assert socket.close_code == code

        run_async(talk())


def test_drawing_is_moved_from_both_sides(make_gate, processes):
    gate = make_gate(routes=["drawing=/drawing"])
    processes([PYTHON, ROOT / "examples/python/drawing.py", "--bus", gate.dir])
    gate.wait_handlers("drawing", 1)

    async def talk():
        async with client(gate, "/drawing") as one, client(gate, "/drawing") as two:
            await next_of(two, lambda m: m["id"] == "sun")
            await one.send(json.dumps({"id": "sun", "x": 9999, "y": 12}))
            moved = await next_of(two, lambda m: m["id"] == "sun")
            assert moved == {"id": "sun", "x": 800, "y": 12.0}, "inside the picture"
            first = await next_of(one, lambda m: m["id"] == "moon")
            await next_of(one, lambda m: m["id"] == "moon" and (m["x"], m["y"]) != (first["x"], first["y"]))
            await one.send("rubbish")
            await one.send(json.dumps({"id": "sun", "x": float("nan"), "y": 1}))
            await next_of(one, lambda m: m["id"] == "planet")  # it goes on

    run_async(talk())


def test_relay_joins_clients_with_a_server_elsewhere(make_gate, processes, echo):
    """Here the server is another gate, which goes away for a while."""
    other = make_gate()
    echo(other)
    gate = make_gate(routes=["relay=/relay"])
    relay = processes([BUILD / "examples/wsbus-relay", "--bus", gate.dir], env={"RELAY_SERVER": other.url()})
    gate.wait_handlers("relay", 1)
    relay.wait_line("connected")

    async def talk():
        async with client(gate, "/relay") as first, client(gate, "/relay") as second:
            await asyncio.get_running_loop().run_in_executor(
                None, eventually, lambda: sum(row["what"].endswith("CONNECTED)") for row in gate.wsctl("list")["connections"]) == 2)
            await first.send("there and back")
            for one in (first, second):
                assert await asyncio.wait_for(one.recv(), 20) == "there and back"
            await second.send(b"\x00\xff")
            for one in (first, second):
                assert await asyncio.wait_for(one.recv(), 20) == b"\x00\xff"

    run_async(talk())
    other.wsctl("close", "--all", "--yes")
    eventually(lambda: sum("connected" in line for line in relay.lines) == 2, "the relay is back")
    run_async(talk())
    assert relay.stop() == 0


def test_http_answers_get_and_post(make_gate, processes):
    gate = make_gate(routes=["hello=/hello/{name*},kind=http"])
    processes([BUILD / "examples/wsbus-http", "--bus", gate.dir, "--route", "hello"])
    gate.wait_handlers("hello", 1)
    with urllib.request.urlopen(gate.http("/hello/")) as response:
        assert response.status == 200 and response.read()
    with urllib.request.urlopen(gate.http("/hello/x"), data=b"my body") as response:
        assert response.read() == b"my body"


def test_subscriber_hears_events_and_answers_through_commands(make_gate, processes):
    gate = make_gate(routes=["feed=/feed,deliver=publish"])
    subscriber = processes([PYTHON, "-u", ROOT / "examples/python/subscriber.py", "--bus", gate.dir])

    async def talk():
        while True:  # a subscription takes a moment to arrive, and what was before it is lost by nature
            async with client(gate, "/feed") as socket:
                await socket.send("time?")
                with contextlib.suppress(asyncio.TimeoutError):
                    assert len(await asyncio.wait_for(socket.recv(), 1)) == len("12:34:56")
                    return

    run_async(talk())
    subscriber.wait_line("feed open")
    subscriber.wait_line("feed data")
    subscriber.wait_line("feed closed")


def test_a_welcome_that_is_said_twice_is_told_once(tmp_path):
    """A handler that hears "say HELLO" for each of many commands says it as often; its connections stay what they are."""
    with zmq.Context() as context, context.socket(zmq.ROUTER) as gate:
        gate.bind("ipc://%s/handlers" % tmp_path)
        with wsbus.Handler(["echo"], bus=str(tmp_path), context=context) as bus:
            peer = gate.recv_multipart()[0]

            def say(type_, **meta):
                data = json.dumps(meta).encode()
                gate.send_multipart([peer, wsbus.make_header(type_, flags=wsbus.META if meta else 0), b""] + ([data] if meta else []))

            for id_ in (1, 1, 2):
                say(1, epoch="5", id=id_)
            say(2, route="echo")
            told = [bus.read(DEADLINE * 1000) for _ in range(3)]
            assert [(e.type, e.meta.get("id")) for e in told] == [("welcome", 1), ("welcome", 2), ("open", None)]


def test_the_door_lets_in_who_has_a_pass(make_gate, processes, tmp_path, take_seat):
    gate = make_gate(routes=["door=,kind=gatekeeper", "club=/club,kind=websocket,gatekeeper=door"])
    passes = tmp_path / "passes"
    passes.write_text("# a list\nsesame ann staff night\nopen bob\n")
    processes([PYTHON, ROOT / "examples/python/door.py", "--bus", gate.dir, passes])
    gate.wait_handlers("door", 1)
    club = take_seat(gate, ["club"])

    async def refused(path, **kwargs):
        try:
            await websockets.connect(gate.url(path), compression=None, open_timeout=20, **kwargs)
        except websockets.exceptions.InvalidStatusCode as err:
            return err.status_code
        return None

    async def talk():
        assert await refused("/club") == 401
        assert await refused("/club?pass=wrong") == 401
        assert await refused("/club", extra_headers={"Cookie": "pass=\"; x=\u00ff"}) == 401
        async with client(gate, "/club?x=1&pass=sesame"):
            opened = club.hear("open")
            assert (opened.pending, opened.meta["user"], sorted(opened.meta["tags"])) == (False, "ann", ["night", "staff"])
            async with websockets.connect(gate.url("/club"), compression=None, extra_headers={"Cookie": "a=b; pass=open"}):
                assert club.hear("open").meta["user"] == "bob"
        passes.write_text("")
        assert await refused("/club?pass=sesame") == 401

    run_async(talk())
