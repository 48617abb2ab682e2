"""The gate as a client: servers that it dials, what handlers see of them, and what becomes of a server that goes away, refuses or lies."""

import asyncio
import contextlib
import random
import socket
import ssl
import subprocess
import threading

import pytest
from conftest import BUILD, DEADLINE, eventually, run_async
from raw import close_frame, frame
from test_connect import good_101, raw_server, websockets_server
from websockets.client import connect
from websockets.exceptions import ConnectionClosed

SIZES = [0, 1, 125, 126, 127, 65535, 65536, 1 << 20, 16 << 20]
LATER = "retry_min = 1h retry_max = 1h"  # once, for as long as a test lasts


@pytest.fixture
def dialing(make_gate, tmp_path):
    """dialing("url = …", …) is a gate with one dial for each text, of the names d1, d2, …; its route is `up`."""

    def make(*dials, route="", extra="", **kwargs):
        config = tmp_path / "wsgate.conf"
        lines = [extra, 'route up { path = "/up" %s }' % route]
        lines += ['dial d%d { %s %s }' % (at, text, "" if "route" in text else "route = up") for at, text in enumerate(dials, 1)]
        config.write_text("\n".join(lines) + "\n")
        return make_gate(args=["--config", config], **kwargs)

    return make


def dial(gate, name="d1"):
    return next((row for row in gate.wsctl("dial", "list")["dials"] if row["name"] == name), None)


def wait_state(gate, state, name="d1"):
    return eventually(lambda: (row := dial(gate, name)) and row["state"] == state and row, "%s is %s" % (name, state))


def failed(gate):
    return {reason: count for reason, count in gate.wsctl("stats")["gate"]["dial_failed"].items() if count}


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def server_context(pair):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair)
    return context


# --- it works


@pytest.mark.parametrize("tls", [False, True], ids=["ws", "wss"])
@pytest.mark.parametrize("compression", ["deflate", None])
def test_messages_of_every_size_both_ways(dialing, take_seat, pki, tls, compression):
    chance = random.Random(11)
    data = [chance.randbytes(size) if chance.random() < 0.5 else bytes([65 + size % 26]) * size for size in SIZES]
    heard = []

    async def talk(ws, *_):
        for payload in data:
            cuts = sorted(chance.randrange(len(payload) + 1) for _ in range(chance.randrange(4)))
            await ws.send([payload[a:b] for a, b in zip([0] + cuts, cuts + [len(payload)])])
        async for message in ws:
            heard.append(message)

    with websockets_server(talk, ssl=server_context(pki.local) if tls else None, compression=compression, subprotocols=["v1"]) as port:
        gate = dialing('url = "%s://localhost:%d/feed/7?x=1" subprotocols = {v2, v1} headers = {"X-Key: k"} user = me groups = {g}%s %s' % (
            "wss" if tls else "ws", port, ' ca = "%s"' % pki.ca.file if tls else "", LATER),
            route="compress = %s compress_takeover = on max_queue = 64MiB" % ("on" if compression else "off"))
        seat = take_seat(gate, ["up"])
        opened = seat.hear("open")
        meta = opened.meta
        assert meta["dialed"] == {"name": "d1", "url": "%s://localhost:%d/feed/7?x=1" % ("wss" if tls else "ws", port)}
        assert (meta["path"], meta["query"], meta["subprotocol"], meta["user"], meta["groups"]) == ("/feed/7", "x=1", "v1", "me", ["g"])
        assert ("permessage-deflate" in meta["extensions"]) == bool(compression)
        assert (meta["scheme"], meta.get("tls", {}).get("version")) == (("wss", "TLSv1.3") if tls else ("ws", None))
        assert meta["headers"]["sec-websocket-protocol"] == "v1"
        for payload in data:
            assert seat.hear("data").payload == payload
            seat.send(opened.conn, payload, 2)
        seat.publish(b"to the group", group="g", opcode=1)
        seat.flush()
        eventually(lambda: len(heard) == len(data) + 1, "all have come back")
        assert heard == data + ["to the group"]
        row = wait_state(gate, "open")
        assert (int(row["conn"], 16), row["attempts"], row["opened"]) == (opened.conn, 1, 1)
        listed = gate.wsctl("list")["connections"]
        assert [c["what"] if "what" in c else c["connection"] for c in listed] == ["WebSocket(client, CONNECTED)"]


def test_what_the_server_is_asked(dialing, take_seat):
    with raw_server(good_101) as (port, heard):
        gate = dialing('url = "ws://127.0.0.1:%d/a?b=c" headers = {"X-One: 1", "Authorization: Bearer t"} origin = "https://o" %s' % (port, LATER),
                       route="compress = on compress_takeover = on compress_window = 11")
        take_seat(gate, ["up"]).hear("open")
        request = bytes(heard).split(b"\r\n\r\n")[0].decode().split("\r\n")
        gate.wsctl("dial", "stop", "d1")
        wait_state(gate, "stopped")
    assert request[0] == "GET /a?b=c HTTP/1.1"
    for line in ("Host: 127.0.0.1:%d" % port, "X-One: 1", "Authorization: Bearer t", "Origin: https://o"):
        assert line in request
    assert [line for line in request if line.startswith("Sec-WebSocket-Extensions")] == [
        "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=11; client_max_window_bits"]


def test_frames_are_masked_with_new_keys_and_not_shared(dialing, take_seat):
    """One publish to a client of ours and to a server that we dialed: only the server's frames are masked."""

    def then(connection, heard):
        while len(heard.split(b"\r\n\r\n", 1)[1]) < 20 * (6 + 4):
            heard.extend(connection.recv(65536))

    with raw_server(good_101, then=then) as (port, heard):
        gate = dialing('url = "ws://127.0.0.1:%d/" groups = {all} %s' % (port, LATER), route='join = {all}')
        seat = take_seat(gate, ["up"])
        seat.hear("open")

        async def client():
            async with connect(gate.url("/up")) as ws:
                await asyncio.to_thread(seat.hear, "open")
                for _ in range(20):
                    seat.publish(b"same", group="all", opcode=1)
                seat.flush()
                return [await ws.recv() for _ in range(20)]

        assert run_async(client()) == ["same"] * 20
        eventually(lambda: len(heard.split(b"\r\n\r\n", 1)[1]) >= 200, "the server has all")
        frames = bytes(heard.split(b"\r\n\r\n", 1)[1])
        gate.wsctl("dial", "stop", "d1")
    rows = [frames[at:at + 10] for at in range(0, 200, 10)]
    assert all(row[:2] == b"\x81\x84" for row in rows)
    assert {bytes(a ^ b for a, b in zip(row[6:], row[2:6])) for row in rows} == {b"same"}
    assert len({row[2:6] for row in rows}) == 20


def test_frames_that_come_with_the_101(dialing, take_seat):
    with raw_server(good_101, frame(1, "first", masked=False) + frame(9, "p", masked=False)) as (port, heard):
        gate = dialing('url = "ws://127.0.0.1:%d/" %s' % (port, LATER))
        seat = take_seat(gate, ["up"])
        seat.hear("open")
        assert seat.hear("data").payload == b"first"
        eventually(lambda: len(heard.split(b"\r\n\r\n", 1)[1]) == 7, "a masked pong")
        assert heard.split(b"\r\n\r\n", 1)[1][:2] == b"\x8a\x81"
        gate.wsctl("dial", "stop", "d1")
        assert seat.hear("closed").meta["by"] == "admin"


def test_client_certificates(dialing, take_seat, pki):
    context = server_context(pki.local)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(pki.clients.file)
    who = []

    async def talk(ws, *_):
        who.append(ws.transport.get_extra_info("peercert")["subject"])
        await ws.wait_closed()

    mine, key = pki.alice
    with websockets_server(talk, ssl=context) as port:
        gate = dialing('url = "wss://localhost:%d/" ca = "%s" certificate = "%s" key = "%s" %s' % (port, pki.ca.file, mine, key, LATER))
        meta = take_seat(gate, ["up"]).hear("open").meta
        assert meta["tls"]["server"]["fingerprint"]
        eventually(lambda: who, "the server knows who it is")


@pytest.mark.parametrize("language", ["c", "c-zmq"])
def test_from_gate_to_gate(make_gate, dialing, echo, take_seat, language):
    """A client of one gate talks with a handler of another: through a handler that carries what comes to the one to the other."""
    far = make_gate()
    echo(far, language)
    near = dialing('url = "%s" groups = {far} %s' % (far.url(), LATER), route="join = {near}")
    seat = take_seat(near, ["up"])
    far_side = seat.hear("open").conn

    async def client():
        async with connect(near.url("/up")) as ws:
            opened = await asyncio.to_thread(seat.hear, "open")
            for payload in ("hello", b"\0" * 70000, ""):
                await ws.send(payload)
                said = await asyncio.to_thread(seat.hear, "data")
                assert said.conn == opened.conn
                seat.send(far_side, said.payload, said.opcode)
                back = await asyncio.to_thread(seat.hear, "data")
                assert back.conn == far_side
                seat.send(opened.conn, back.payload, back.opcode)
                seat.flush()
                assert await ws.recv() == payload

    run_async(client())


# --- it comes back


def test_a_server_that_is_not_there_yet(dialing, take_seat):
    port = free_port()
    gate = dialing('url = "ws://127.0.0.1:%d/" retry_min = 10ms retry_max = 50ms' % port)
    seat = take_seat(gate, ["up"])
    eventually(lambda: failed(gate).get("connect", 0) >= 3, "it is attempted again and again")
    assert "refused" in dial(gate)["last"]

    async def talk(ws, *_):
        await ws.wait_closed()

    loop, state, started = asyncio.new_event_loop(), {}, threading.Event()

    async def serve():
        import websockets
        state["end"] = asyncio.Event()
        async with websockets.serve(talk, "127.0.0.1", port):
            started.set()
            await state["end"].wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), daemon=True)
    thread.start()
    assert started.wait(DEADLINE)
    first = seat.hear("open")
    loop.call_soon_threadsafe(state["end"].set)
    thread.join(DEADLINE)
    closed = seat.hear("closed")
    assert (closed.conn, closed.meta["by"], closed.meta["code"]) == (first.conn, "client", 1001), "the other end is what CLOSED calls the client"
    before = failed(gate)["connect"]
    eventually(lambda: failed(gate)["connect"] > before, "and attempted again")
    assert dial(gate)["opened"] == 1


def test_each_connection_is_a_new_one(dialing, take_seat):
    async def talk(ws, *_):
        await ws.close(4001, "again")

    with websockets_server(talk) as port:
        gate = dialing('url = "ws://127.0.0.1:%d/" retry_min = 1ms retry_max = 5ms' % port)
        seat = take_seat(gate, ["up"])
        conns = set()
        for _ in range(3):
            opened = seat.hear("open")
            closed = seat.hear("closed")
            assert opened.conn == closed.conn and closed.meta["code"] == 4001
            conns.add(opened.conn)
        assert len(conns) == 3
        eventually(lambda: dial(gate)["last"] == "closed by the server: 4001 again", "how the latest one ended")
        gate.wsctl("dial", "stop", "d1")
        wait_state(gate, "stopped")


def test_it_waits_for_a_handler(dialing, take_seat):
    with raw_server(good_101) as (port, _):
        gate = dialing('url = "ws://127.0.0.1:%d/"' % port)
        assert wait_state(gate, "waiting")["attempts"] == 0
        take_seat(gate, ["up"]).hear("open")
        assert wait_state(gate, "open")["attempts"] == 1
        gate.wsctl("dial", "stop", "d1")


def test_it_does_not_where_the_route_keeps_messages(dialing, take_seat):
    with raw_server(good_101, frame(1, "early", masked=False)) as (port, _):
        gate = dialing('url = "ws://127.0.0.1:%d/" %s' % (port, LATER), route="no_handler = wait handler_wait = 1h")
        wait_state(gate, "open")
        seat = take_seat(gate, ["up"])
        seat.hear("open")
        assert seat.hear("data").payload == b"early"
        gate.wsctl("dial", "stop", "d1")


def test_it_waits_for_room_in_the_route(dialing, take_seat):
    async def talk(ws, *_):
        await ws.wait_closed()

    with websockets_server(talk) as port:
        url = 'url = "ws://127.0.0.1:%d/" retry_min = 1ms retry_max = 5ms' % port
        gate = dialing(url, url, route="max_connections = 1")
        seat = take_seat(gate, ["up"])
        seat.hear("open")
        states = eventually(lambda: (s := sorted(dial(gate, name)["state"] for name in ("d1", "d2"))) == ["open", "waiting"] and s)
        assert states
        open_one = next(name for name in ("d1", "d2") if dial(gate, name)["state"] == "open")
        gate.wsctl("dial", "stop", open_one)
        assert seat.hear("closed")
        assert seat.hear("open").meta["dialed"]["name"] != open_one


def test_started_while_it_is_being_stopped(dialing, take_seat):
    """Stop waits for the server's goodbye; who starts again before that has not said so for nothing."""
    may_leave = threading.Event()

    def then(connection, _):
        assert may_leave.wait(DEADLINE)
        connection.shutdown(socket.SHUT_RDWR)

    with raw_server(good_101, then=then) as (port, _):
        gate = dialing('url = "ws://127.0.0.1:%d/" retry_min = 1h retry_max = 1h' % port)
        seat = take_seat(gate, ["up"])
        seat.hear("open")
        wait_state(gate, "open")
        gate.wsctl("dial", "stop", "d1")
        assert dial(gate)["stopping"]
        gate.wsctl("dial", "start", "d1")
        gate.wsctl("dial", "stop", "d1")  # the last word counts
        gate.wsctl("dial", "start", "d1")
        may_leave.set()
        assert seat.hear("closed").meta["code"] == 1000
        row = wait_state(gate, "connecting")
        assert (row["attempts"], row["stopping"]) == (2, False)
        gate.wsctl("dial", "stop", "d1")
        wait_state(gate, "stopped")


# --- it does not come about


@pytest.mark.parametrize("answer, reason, why", [
    (lambda key: b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno", "refused", "the server answers 403"),
    (lambda key: b"HTTP/1.1 302 Found\r\nLocation: ws://127.0.0.1/\r\nContent-Length: 0\r\n\r\n", "refused", "the server answers 302"),
    (lambda key: good_101("x" * 24), "protocol", "Sec-WebSocket-Accept"), (lambda key: b"220 smtp ready\r\n\r\n", "protocol", ""),
    (lambda key: good_101(key, "Sec-WebSocket-Protocol: v9"), "protocol", ""), (lambda key: b"HTTP/1.1 101 Sw", "connect", "closed"),
    (lambda key: good_101(key, "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=15"), "protocol", "")])
def test_an_answer_that_is_none(dialing, take_seat, answer, reason, why):
    with raw_server(answer, then=lambda connection, _: connection.shutdown(socket.SHUT_WR)) as (port, _):
        gate = dialing('url = "ws://127.0.0.1:%d/" %s' % (port, LATER), route="compress = on compress_takeover = on compress_window = 10")
        seat = take_seat(gate, ["up"])
        row = wait_state(gate, "pausing")
        assert failed(gate) == {reason: 1}
        assert why in row["last"]
        assert seat.hears_nothing()


def test_the_body_of_a_refusal_is_not_waited_for(dialing, take_seat):
    with raw_server(lambda key: b"HTTP/1.1 503 No\r\nContent-Length: 1000\r\n\r\nno") as (port, _):
        gate = dialing('url = "ws://127.0.0.1:%d/" timeout = 1h %s' % (port, LATER))
        take_seat(gate, ["up"])
        assert wait_state(gate, "pausing")["last"] == "the server answers 503"


def test_a_certificate_that_is_not_good(dialing, take_seat, pki):
    async def talk(ws, *_):
        await ws.wait_closed()

    with websockets_server(talk, ssl=server_context(pki.local)) as port:
        gate = dialing('url = "wss://localhost:%d/" %s' % (port, LATER), 'url = "wss://127.0.0.1:%d/" ca = "%s" insecure = yes %s' % (port, pki.ca.file, LATER))
        assert take_seat(gate, ["up"]).hear("open").meta["dialed"]["name"] == "d2"
        assert "certificate" in wait_state(gate, "pausing")["last"]
        assert failed(gate) == {"tls": 1}


def test_a_server_that_says_nothing(dialing, take_seat):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        gate = dialing('url = "ws://127.0.0.1:%d/" timeout = 100ms %s' % (listener.getsockname()[1], LATER))
        take_seat(gate, ["up"])
        assert "took too long" in wait_state(gate, "pausing")["last"]
        assert failed(gate) == {"timeout": 1}


def test_a_name_that_nobody_has(dialing, take_seat):
    gate = dialing('url = "ws://name.invalid/" timeout = 5s %s' % LATER)
    take_seat(gate, ["up"])
    row = wait_state(gate, "pausing")
    assert sum(failed(gate).values()) == 1 and set(failed(gate)) <= {"address", "timeout"} and "name.invalid" in row["last"]


@pytest.mark.parametrize("bytes_, code", [
    (frame(1, "x"), 1002), (frame(1, "x", masked=False, rsv=4), 1002), (frame(3, "", masked=False), 1002), (frame(0, "", masked=False), 1002),
    (frame(9, "x" * 126, masked=False), 1002), (frame(1, b"\xff", masked=False), 1007), (frame(2, b"", masked=False, length=1 << 40), 1009),
    (frame(8, b"\x03", masked=False), 1002), (frame(8, b"\x03\xec", masked=False), 1002)])
def test_a_server_that_breaks_a_rule(dialing, take_seat, bytes_, code):
    with raw_server(good_101, bytes_) as (port, heard):
        gate = dialing('url = "ws://127.0.0.1:%d/" %s' % (port, LATER))
        seat = take_seat(gate, ["up"])
        seat.hear("open")
        closed = seat.hear("closed").meta
        assert (closed["code"], closed["by"], closed["clean"]) == (code, "gate", False)
        wait_state(gate, "pausing")
    frames = bytes(heard.split(b"\r\n\r\n", 1)[1])
    assert frames[0] == 0x88 and frames[1] & 0x80, "our goodbye is masked"
    assert bytes(a ^ b for a, b in zip(frames[6:8], frames[2:6])) == code.to_bytes(2, "big")


# --- limits of the route are limits of its dialed connections


def test_a_server_that_does_not_read(dialing, take_seat):
    done = threading.Event()
    with raw_server(good_101, then=lambda connection, heard: done.wait(DEADLINE)) as (port, _):
        gate = dialing('url = "ws://127.0.0.1:%d/" %s' % (port, LATER), route="max_queue = 64KiB")
        seat = take_seat(gate, ["up"])
        conn = seat.hear("open").conn
        for _ in range(400):
            seat.send(conn, bytes(60000), 2)
        seat.flush()
        closed = seat.hear("closed").meta
        done.set()
        assert (closed["by"], closed["code"]) == ("gate", 1013)


def test_pings_of_the_route(dialing, take_seat):
    with raw_server(good_101) as (port, heard):
        gate = dialing('url = "ws://127.0.0.1:%d/" %s' % (port, LATER), route="ping_interval = 20ms ping_timeout = 100ms")
        seat = take_seat(gate, ["up"])
        seat.hear("open")
        closed = seat.hear("closed").meta
        assert (closed["by"], closed["reason"]) == ("network", "no answer to a ping")
        assert heard.split(b"\r\n\r\n", 1)[1][:2] == b"\x89\x80"


def test_without_memory_for_contexts_it_is_compressed_without(dialing, take_seat):
    """A server that agreed to contexts cannot be told that there is no memory for them; the next time none are offered."""

    async def talk(ws, *_):
        await ws.send("x" * 1000)
        await ws.wait_closed()

    with websockets_server(talk, compression="deflate") as port:
        gate = dialing('url = "ws://127.0.0.1:%d/" retry_min = 1ms retry_max = 1ms' % port,
                       route="compress = on compress_takeover = on", extra="limits { compress_memory = 1000 }")
        seat = take_seat(gate, ["up"])
        extensions = seat.hear("open").meta["extensions"]
        assert "server_no_context_takeover" in extensions and "client_no_context_takeover" in extensions
        assert seat.hear("data").payload == b"x" * 1000
        row = wait_state(gate, "open")
        assert (row["attempts"], failed(gate)) == (2, {"memory": 1})
        assert row["last"] == "compress_memory is used up"


# --- managed


@pytest.mark.parametrize("option", ["--user", "--group", "--header", "--ca"])
def test_wsctl_leaves_out_no_option(make_gate, option):
    """What JSON cannot say is told to whoever asked for it: without its --ca a dial would trust others."""
    gate = make_gate(routes=["up=/up"])
    gate.wsctl("dial", "ws://127.0.0.1:%d/" % free_port(), "-r", "up", option, "A: caf\udce9", status=2)
    assert gate.wsctl("dial", "list")["dials"] == []


def test_wsctl(make_gate, take_seat):
    async def talk(ws, *_):
        async for message in ws:
            await ws.send(message)

    with websockets_server(talk, subprotocols=["p"]) as port:
        url = "ws://127.0.0.1:%d/x?secret=1" % port
        gate = make_gate(routes=["up=/up"])
        seat = take_seat(gate, ["up"])
        made = gate.wsctl("dial", url, "--route", "up", "--header", "X-A: b", "--subprotocol", "p", "--group", "g", "--user", "u", "--retry-min", "1h", "--retry-max", "1h")
        assert (made["name"], made["route"], made["configured"], made["url"]) == ("dial-1", "up", False, "ws://127.0.0.1:%d/x" % port)
        opened = seat.hear("open")
        assert (opened.meta["user"], opened.meta["groups"], opened.meta["subprotocol"]) == ("u", ["g"], "p")
        assert "secret" not in gate.output
        assert gate.wsctl("dial", url, "-r", "up", "-n", "two", "--once")["once"]
        assert seat.hear("open").meta["dialed"]["name"] == "two"
        text = subprocess.run([str(BUILD / "wsctl" / "wsctl"), "-d", gate.dir, "dial"], capture_output=True, text=True, timeout=DEADLINE).stdout
        assert "dial-1" in text and "two" in text and "open" in text
        gate.wsctl("dial", "stop", "two")
        closed = seat.hear("closed").meta
        assert (closed["by"], closed["code"], closed["clean"]) == ("admin", 1000, True)
        eventually(lambda: dial(gate, "two") is None, "one that was made while the gate runs is forgotten")
        gate.wsctl("dial", "stop", "two", status=1)
        for wrong in ([url], [url, "-r", "nope"], [url, "-r", "up", "-n", "dial-1"], [url, "-r", "up", "-n", "a b"], [url, "-r", "up", "-H", "Host: x"],
                      [url, "-r", "up", "-H", "no colon"], ["ws://h/#f", "-r", "up"], [url, "-r", "up", "--ca", "/nowhere"],
                      ["wss://h/", "-r", "up", "--ca", "/nowhere"], [url, "-r", "up", "--retry-min", "2s", "--retry-max", "1s"],
                      [url, "-r", "up", "--connect-timeout", "soon"], ["stop"], ["fly", "x"]):
            run = subprocess.run([str(BUILD / "wsctl" / "wsctl"), "-d", gate.dir, "dial", *wrong], capture_output=True, text=True, timeout=DEADLINE)
            assert run.returncode in (1, 2) and run.stderr.startswith("wsctl: "), (wrong, run)
        assert [row["name"] for row in gate.wsctl("dial")["dials"]] == ["dial-1"]


def test_once_is_once(make_gate, take_seat):
    gate = make_gate(routes=["up=/up"])
    take_seat(gate, ["up"])
    gate.wsctl("dial", "ws://127.0.0.1:%d/" % free_port(), "-r", "up", "--once")
    eventually(lambda: not gate.wsctl("dial")["dials"], "it failed, and is forgotten")
    assert failed(gate) == {"connect": 1}


def test_stopped_and_started(dialing, take_seat):
    async def talk(ws, *_):
        await ws.wait_closed()

    with websockets_server(talk) as port:
        gate = dialing('url = "ws://127.0.0.1:%d/"' % port)
        seat = take_seat(gate, ["up"])
        seat.hear("open")
        gate.wsctl("dial", "stop", "d1")
        seat.hear("closed")
        wait_state(gate, "stopped")
        gate.wsctl("dial", "stop", "d1")
        gate.wsctl("dial", "start", "d1")
        seat.hear("open")
        gate.wsctl("dial", "start", "d1")


@pytest.mark.parametrize("when", ["connecting", "open", "pausing"])
def test_a_drain_ends_it(dialing, take_seat, when):
    async def talk(ws, *_):
        with contextlib.suppress(ConnectionClosed):
            await ws.recv()
        codes.append(ws.close_code)

    codes = []
    with websockets_server(talk) as port, socket.create_server(("127.0.0.1", 0)) as silent:
        to = {"connecting": silent.getsockname()[1], "open": port, "pausing": free_port()}[when]
        gate = dialing('url = "ws://127.0.0.1:%d/" timeout = 1h %s' % (to, LATER))
        seat = take_seat(gate, ["up"])
        wait_state(gate, when)
        if when == "open":
            seat.hear("open")
        gate.wsctl("shutdown")
        eventually(lambda: gate.process.poll() is not None, "the gate ends at once")
        assert gate.process.returncode == 0
        if when == "open":
            eventually(lambda: codes == [1001], "and says goodbye")


@pytest.mark.parametrize("text, why", [
    ('dial d { route = up }', "wsgate.conf:3: dial 'd': url is missing"),
    ('dial d { url = "ws://h/" }', "wsgate.conf:3: dial 'd': route is missing"),
    ('dial d {\n url = "ws://h/"\n route = down }', "dial 'd': route: there is no route 'down'"),
    ('dial d { url = "http://h/" route = up }', "dial 'd': "), ('dial d { url = "ws://h/" route = up headers = {"Upgrade: x"} }', "dial 'd': "),
    ('dial d { url = "ws://h/" route = up ca = "/x" }', "for wss://"), ('dial d { url = "wss://h/" route = up ca = "/x" }', "/x"),
    ('dial d { url = "wss://h/" route = up key = "/x" }', "certificate is missing"),
    ('dial d { url = "ws://h/" route = up retry_min = 2s retry_max = 1s }', "retry_max"),
    ('dial d { url = "ws://h/" route = up user = "%s" }' % ("x" * 256), "user: a name"),
    ('dial d { url = "ws://h/" route = up groups = {"%s"} }' % ("x" * 256), "groups: a name"),
    ('dial d { url = "ws://h/" route = page }', "it does not speak WebSocket: 'page'"), ('dial "a b" { url = "ws://h/" route = up }', "a b")])
def test_what_cannot_be(tmp_path, text, why):
    config = tmp_path / "wsgate.conf"
    config.write_text('listen "127.0.0.1:0" { }\nroute up { path = "/up" } route page { path = "/p" kind = http }\n%s\n' % text)
    run = subprocess.run([str(BUILD / "wsgate" / "wsgate"), "--config", str(config), "--test"], capture_output=True, text=True, timeout=DEADLINE)
    assert run.returncode != 0 and why in run.stderr, run
