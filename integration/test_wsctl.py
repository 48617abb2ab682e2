"""Every subcommand of wsctl against a real gate: what it prints, what --json has, what its exit status is."""

import asyncio
import concurrent.futures
import json
import os
import pathlib
import pty
import re
import signal
import socket
import subprocess
import threading

import pytest
import websockets

from conftest import BUILD, DEADLINE, PYTHON, ROOT, eventually
from raw import Raw

WSCTL = str(BUILD / "wsctl" / "wsctl")


class Client:
    """A WebSocket client that stays while the test talks to wsctl."""

    def __init__(self, clients, url, **kwargs):
        self._clients = clients
        self.received = []
        self.socket = clients.run(lambda: websockets.connect(url, **kwargs))
        self._reader = asyncio.run_coroutine_threadsafe(self._read(), clients.loop)

    async def _read(self):
        try:
            async for message in self.socket:
                self.received.append(message)
        except websockets.ConnectionClosed:
            pass

    def send(self, message):
        self._clients.run(self.socket.send(message))

    def wait_closed(self):
        self._reader.result(DEADLINE)
        return self.socket.close_code, self.socket.close_reason


class Clients:
    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self._open = []

    def run(self, awaitable):
        async def wait():
            return await (awaitable() if callable(awaitable) else awaitable)  # connect() binds itself to the loop it is made in

        return asyncio.run_coroutine_threadsafe(wait(), self.loop).result(DEADLINE)

    def __call__(self, url, **kwargs):
        client = Client(self, url, **kwargs)
        self._open.append(client)
        return client

    def end(self):
        for client in self._open:
            self.run(client.socket.close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(DEADLINE)


@pytest.fixture
def clients():
    all_of_them = Clients()
    yield all_of_them
    all_of_them.end()


def run(gate, *args, status=0, env=None, stdin=""):
    """Without --json: (stdout, stderr)."""
    done = subprocess.run([WSCTL, "--dir", gate.dir, *map(str, args)], capture_output=True, text=True, timeout=DEADLINE,
                          input=stdin, env={**os.environ, **(env or {})})
    assert done.returncode == status, "wsctl %s: %d\n%s%s" % (args, done.returncode, done.stdout, done.stderr)
    return done.stdout, done.stderr


def rows(gate, *args):
    return gate.wsctl("list", *args)["connections"]


def only(gate):
    return eventually(lambda: rows(gate, "--kind", "websocket"), "a connection")[0]["id"]


# ---------------------------------------------------------------- help, usage, no gate

COMMANDS = ("status", "list", "show", "close", "send", "ping", "handlers", "routes", "groups", "log", "tap", "stats", "shutdown")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command, tmp_path):
    for args in ([command, "--help"], ["help", command]):
        done = subprocess.run([WSCTL, *args], capture_output=True, text=True, timeout=DEADLINE, env={**os.environ, "WSBUS_DIR": str(tmp_path)})
        assert done.returncode == 0
        assert done.stdout.startswith("Usage: wsctl %s " % command)
        assert "--json" in done.stdout


@pytest.mark.parametrize("option", ["-V", "--version"])
@pytest.mark.parametrize("program", ["wsgate", "wsctl", "wsbench"])
def test_every_program_tells_its_version(program, option):
    run = subprocess.run([str(BUILD / program / program), option], capture_output=True, text=True, timeout=DEADLINE)
    assert (run.returncode, run.stderr) == (0, "")
    assert re.fullmatch(program + r" \d+\.\d+\.\d+\n", run.stdout), run.stdout


@pytest.mark.parametrize("args", [
    (), ("nope",), ("--nope", "status"), ("status", "extra"), ("status", "--nope"), ("show",), ("show", "xyz"), ("list", "--older-than", "soon"),
    ("list", "--handler", "x"), ("close",), ("close", "--all", "--route", "echo"), ("close", "1", "--dry-run"), ("send", "-t", "x"),
    ("send", "--all", "-t", "x", "--base64", "eA=="), ("handlers", "eat", "1"), ("handlers", "show", "x"), ("handlers", "show"), ("log", "set"),
    ("log", "set", "debug"), ("log", "--for", "5m"), ("tap",), ("ping",), ("status", "--timeout", "0"), ("help", "nope"),
])
def test_wrong_usage_is_2_and_needs_no_gate(args, tmp_path):
    done = subprocess.run([WSCTL, *args], capture_output=True, text=True, timeout=DEADLINE, stdin=subprocess.DEVNULL,
                          env={**os.environ, "WSBUS_DIR": str(tmp_path)})
    assert done.returncode == 2, done
    assert done.stderr and not done.stdout


@pytest.mark.parametrize("command", [("status",), ("list",), ("tap", "--route", "echo"), ("shutdown",), ("show", "0123456789abcdef")])
def test_no_gate_is_3(command, tmp_path):
    done = subprocess.run([WSCTL, "-d", str(tmp_path), *command, "--json"], capture_output=True, text=True, timeout=DEADLINE)
    assert done.returncode == 3
    assert "no gate is running in %s" % tmp_path in done.stderr
    assert json.loads(done.stdout)["error"]["status"] == 3


def test_an_address_of_handlers_is_no_runtime_directory():
    done = subprocess.run([WSCTL, "-d", "tcp://127.0.0.1:5570", "status"], capture_output=True, text=True, timeout=DEADLINE)
    assert done.returncode == 3 and "runtime directory" in done.stderr and "no gate is running" not in done.stderr, done


def test_wss_to_a_port_without_tls_says_so(gate):
    url = gate.url("/echo").replace("ws://", "wss://")
    done = subprocess.run([WSCTL, "connect", url], capture_output=True, text=True, timeout=DEADLINE, stdin=subprocess.DEVNULL)
    assert done.returncode == 3 and "is it TLS that the peer speaks?" in done.stderr, done


def test_a_gate_that_stands_still_is_4(gate):
    gate.signal(signal.SIGSTOP)
    try:
        _, err = run(gate, "status", "--timeout", "200ms", status=4)
    finally:
        gate.signal(signal.SIGCONT)
    assert "does not answer" in err
    assert gate.wsctl("status")["state"] == "running"


def test_an_empty_directory_does_not_win_over_the_environment(gate):
    done = subprocess.run([WSCTL, "status", "--json"], capture_output=True, text=True, timeout=DEADLINE, env={**os.environ, "WSBUS_DIR": gate.dir})
    assert json.loads(done.stdout)["runtime_dir"] == gate.dir


# ---------------------------------------------------------------- looking

def test_status(gate, echo):
    echo(gate, "python")
    status = gate.wsctl("status")
    assert status["pid"] == gate.pid and status["state"] == "running" and status["runtime_dir"] == gate.dir
    assert status["handlers"] == 1 and status["routes"] == 1 and status["connections"] == 0 and status["taps"] == 0
    assert set(status["log"]["levels"]) == {"gate", "http", "ws", "bus", "link", "admin", "handler"}
    assert any(str(gate.port) in listener for listener in status["listeners"])
    out, _ = run(gate, "status")
    assert "pid %d" % gate.pid in out and "ws=info" in out


def test_list_prints_a_connection_as_it_is_called(gate, echo, clients):
    echo(gate, "python")
    client = clients(gate.url("/echo?x=1"))
    client.send("hello")
    eventually(lambda: client.received == ["hello"], "the echo")
    row = eventually(lambda: [r for r in rows(gate) if r["messages_out"] == 1], "a row with one message")[0]
    assert row["what"] == "WebSocket(server, CONNECTED)" and row["route"] == "echo" and row["target"] == "/echo?x=1"
    assert row["messages_in"] == 1 and row["bytes_in"] == 5 and row["bytes_out"] == 5 and row["handler"] == 1
    assert row["peer"].startswith("127.0.0.1:")
    out, _ = run(gate, "list")
    assert "WebSocket(server, CONNECTED)" in out and row["id"] in out and "\x1b" not in out


def test_list_filters(gate, echo, clients):
    echo(gate, "python")
    clients(gate.url())
    clients(gate.url())
    eventually(lambda: len(rows(gate)) == 2, "two connections")
    assert len(rows(gate, "--route", "echo", "--state", "connected", "--kind", "websocket", "--handler", 1, "--peer", "127.")) == 2
    for nobody in (["--handler", 99], ["--idle", "1h"], ["--older-than", "1h"], ["--subprotocol", "x"], ["--kind", "http"],
                   ["--state", "closing"], ["--peer", "10."]):
        answer = gate.wsctl("list", *nobody)
        assert answer == {"connections": [], "matched": 0, "total": 2}, nobody
    answer = gate.wsctl("list", "--limit", 1)
    assert len(answer["connections"]) == 1 and answer["matched"] == 2
    assert "1 of 2 shown" in run(gate, "list", "--limit", 1)[0]
    _, err = run(gate, "list", "--state", "open", status=2)
    assert '"state" must be one of' in err


def test_list_tells_who_left(gate, echo, clients):
    echo(gate, "python")
    client = clients(gate.url())
    eventually(lambda: len(rows(gate)) == 1, "one connection")
    clients.run(client.socket.close())
    eventually(lambda: rows(gate) == [], "no connection")


def test_list_watch_goes_on_until_it_is_interrupted(gate):
    watch = subprocess.Popen([WSCTL, "-d", gate.dir, "list", "--watch", "--interval", "100ms", "--json"], stdout=subprocess.PIPE, text=True)
    for _ in range(3):
        assert json.loads(watch.stdout.readline())["total"] == 0
    watch.send_signal(signal.SIGINT)
    assert watch.wait(DEADLINE) == 0


def on_a_terminal(gate, *args, env=None, columns=80):
    """What wsctl writes to a terminal of that width."""
    main, other = pty.openpty()
    import fcntl
    import struct
    import termios
    fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 25, columns, 0, 0))
    clean = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLUMNS", "LC_ALL", "LC_CTYPE")}
    child = subprocess.Popen([WSCTL, "-d", gate.dir, *args], stdout=other, stdin=other, env={**clean, "TERM": "xterm", "LANG": "C.UTF-8", **(env or {})})
    os.close(other)
    out = b""
    while True:
        try:
            part = os.read(main, 65536)
        except OSError:  # EIO: the other side is gone
            break
        if not part:
            break
        out += part
    os.close(main)
    assert child.wait(DEADLINE) == 0
    return out.decode()


def shown(text):
    return text.replace("\x1b[1m", "").replace("\x1b[0m", "").replace("\r\n", "\n").splitlines()


TABLES = [["list"], ["handlers"], ["routes"], ["groups"], ["groups", "--users"], ["groups", "--tags"], ["dial"], ["dead-letters"], ["log"]]


@pytest.fixture
def full_gate(make_gate, take_seat):
    """A gate with something long in each table."""
    gate = make_gate(routes=["a-route-of-some-length=/a/path/{that}/is/long,user=query:who", "other=/other,max_deliveries=1"],
                     args=["--log-level", "info"])
    seat = take_seat(gate, ["a-route-of-some-length"], name="a-handler-of-some-length")
    clients = [Raw(gate).upgrade("/a/path/x/is/long?who=somebody-with-a-long-name") for _ in range(3)]
    for client in clients:
        conn = seat.hear("open").conn
        seat.join(conn, "a-group-with-a-name-that-is-longer-than-forty-columns")
        seat.tag(conn, "a-tag-with-a-name-that-is-longer-than-forty-columns")
    seat.flush()
    gate.wsctl("dial", "ws://127.0.0.1:1/a/path/that/is/long", "-r", "other", "--name", "a-dial-with-a-long-name")
    victim = take_seat(gate, ["other"])
    lost = Raw(gate).upgrade("/other")
    victim.hear("open")
    lost.say("a text that ends its handler, and is longer than a narrow terminal")
    victim.hear("data")
    victim.vanish()
    eventually(lambda: gate.wsctl("dead-letters")["total"] == 1, "a dead letter")
    eventually(lambda: len(gate.wsctl("groups", "--tags")["groups"]) == 1, "a tag")
    gate.wsctl("log", "set", "ws=debug", "--for", "1h")
    yield gate
    for client in [*clients, lost]:
        client.close()


def test_tables_fit_the_terminal(full_gate):
    for command in TABLES:
        heads = {}
        for columns in (20, 40, 80, 132, 400):
            lines = shown(on_a_terminal(full_gate, *command, columns=columns))
            for line in lines:
                assert len(line) <= columns, (command, columns, line)
            heads[columns] = lines[0].split()
            assert len(lines) > 1 and len(heads[columns]) >= (1 if columns < 40 else 2), (command, columns, lines)
        assert len(heads[40]) <= len(heads[80]) <= len(heads[400])
        assert shown(on_a_terminal(full_gate, *command, columns=400, env={"COLUMNS": "40"}))[0].split() == heads[40]
        everything = run(full_gate, *command)[0]
        assert everything.splitlines()[0].split() == heads[400] and "\u2026" not in everything and "..." not in everything, command
        piped, _ = run(full_gate, *command, env={"COLUMNS": "40"})
        assert len(piped.splitlines()[0]) == len(everything.splitlines()[0]), "a pipe gets everything"


def test_what_matters_is_there_at_each_width(full_gate):
    assert shown(on_a_terminal(full_gate, "list", columns=40))[0].split()[:3] == ["ID", "ROUTE", "PEER"]
    assert shown(on_a_terminal(full_gate, "handlers", columns=40))[0].split()[:2] == ["ID", "NAME"]
    for columns in (80, 100, 200):
        text = on_a_terminal(full_gate, "list", columns=columns)
        assert "WebSocket(server, CONNECTED)" in text and "\x1b[1m" in text
    assert "RTT" in on_a_terminal(full_gate, "list", columns=200)


def test_no_color_is_respected(gate):
    assert "\x1b[" in on_a_terminal(gate, "routes")
    assert "\x1b[" not in on_a_terminal(gate, "routes", env={"NO_COLOR": "1"})
    assert "\x1b[" not in on_a_terminal(gate, "routes", env={"TERM": "dumb"})


def test_a_reader_that_leaves_is_an_ordinary_end(gate):
    child = subprocess.Popen([WSCTL, "-d", gate.dir, "stats"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    child.stdout.close()
    assert child.wait(DEADLINE) == 0
    assert child.stderr.read() == ""


def test_show(gate, echo, clients):
    echo(gate, "python")
    clients(gate.url("/echo?a=b"), origin="https://example.org")
    found = only(gate)
    shown = gate.wsctl("show", found)
    assert shown["id"] == found and shown["open"]["query"] == "a=b" and shown["open"]["origin"] == "https://example.org"
    assert shown["groups"] == []
    out, _ = run(gate, "show", found)
    assert out.startswith("%s  WebSocket(server, CONNECTED)\n" % found) and "https://example.org" in out
    assert gate.wsctl("show", "0000000000000001", status=1)["error"]["message"] == "no connection 0000000000000001"


def test_what_a_peer_wrote_does_not_reach_the_terminal(gate, echo, clients):
    echo(gate, "python")
    clients(gate.url(), extra_headers={"X-Evil": "caf\u00e9\u009b31m"})
    for out in (run(gate, "show", only(gate))[0], on_a_terminal(gate, "show", only(gate), "--json")):
        assert "\x9b" not in out and "\\u" in out


def test_the_end_of_an_id_is_enough_when_it_is_the_only_one(gate, echo, clients):
    echo(gate, "python")
    clients(gate.url())
    found = only(gate)
    assert gate.wsctl("show", found[8:])["id"] == found
    for _ in range(16):
        clients(gate.url())
    eventually(lambda: len(rows(gate)) == 17, "17 connections")
    common = next(digit for digit in "0123456789abcdef" if sum(r["id"].endswith(digit) for r in rows(gate)) > 1)
    _, err = run(gate, "show", common, status=1)
    assert "ambiguous" in err and all(i in [r["id"] for r in rows(gate)] for i in err.split(": ")[2].replace(", ...", "").strip().split(", "))
    missing = next(digit for digit in "0123456789abcdef" * 2 if not any(r["id"].endswith(digit * 4) for r in rows(gate)))
    assert "no connection's id ends in" in run(gate, "show", missing * 4, status=1)[1]


def test_routes(make_gate):
    gate = make_gate(routes=["echo=/echo", "chat=/chat/{room}"])
    routes = {route["name"]: route for route in gate.wsctl("routes")["routes"]}
    assert routes["chat"]["path"] == "/chat/{room}" and routes["chat"]["handlers"] == 0 and routes["echo"]["taps"] == 0
    out, _ = run(gate, "routes")
    assert "/chat/{room}" in out


def test_stats(gate, echo, clients):
    echo(gate, "python")
    client = clients(gate.url())
    client.send("hello")
    eventually(lambda: client.received, "the echo")
    stats = gate.wsctl("stats")
    assert stats["routes"]["echo"]["messages_in"] == 1 and stats["gate"]["accepted"] == 1 and stats["bus"]["pinned"] == 1
    assert set(stats) == {"gate", "bus", "control", "routes"}
    assert "routes.echo.messages_in 1\n" in run(gate, "stats")[0]


def test_groups(make_gate, processes, clients):
    gate = make_gate(routes=["chat=/chat/{room}"])
    assert gate.wsctl("groups") == {"total": 0, "groups": []}
    for words, noun in (["groups", "nope"], "group"), (["groups", "nope", "--users"], "user"), (["groups", "nope", "--tags"], "tag"):
        assert gate.wsctl(*words, status=1)["error"]["message"] == 'no %s "nope"' % noun
    assert "no group" in gate.wsctl("send", "--group", "nope", "-t", "x", status=1)["error"]["message"]
    processes([PYTHON, ROOT / "examples/python/chat.py", "--bus", gate.dir])
    gate.wait_handlers("chat", 1)
    one, two = clients(gate.url("/chat/green")), clients(gate.url("/chat/green"))
    clients(gate.url("/chat/red"))
    eventually(lambda: {g["name"]: g["count"] for g in gate.wsctl("groups")["groups"]} == {"room:green": 2, "room:red": 1}, "the groups")
    members = gate.wsctl("groups", "room:green")["groups"][0]["members"]
    assert set(members) < {r["id"] for r in rows(gate)} and len(members) == 2
    assert gate.wsctl("show", members[0])["groups"] == ["room:green"]
    assert run(gate, "groups", "room:green")[0].split() == members
    assert gate.wsctl("send", "--group", "room:green", "-t", "news")["outcomes"] == {"written": 2}
    for client in (one, two):
        eventually(lambda: "news" in client.received, "the news")


class Asker:
    """A client of the control socket by itself."""

    def __init__(self, gate):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect("%s/control" % gate.dir)
        self.socket.settimeout(20)
        self.lines = self.socket.makefile("r")

    def ask(self, method, **params):
        self.socket.sendall(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode() + b"\n")

    def hear(self):
        return json.loads(self.lines.readline())["result"]


def test_very_many_groups(make_gate, take_seat):
    """They are written some at a time, for several who ask together, one of whom goes away."""
    gate = make_gate(routes=["echo=/echo"])
    bus = take_seat(gate, ["echo"])
    clients = [Raw(gate).upgrade() for _ in range(20)]
    names = ["group %05d" % i for i in range(5000)]
    for number, _ in enumerate(clients):
        conn = bus.hear("open").conn
        bus.join(conn, *names[number * 250:number * 250 + 250])
        bus.join(conn, "all")
    bus.flush()
    eventually(lambda: gate.wsctl("groups")["total"] == 5001, "the groups")

    first, gone, some, third, one = askers = [Asker(gate) for _ in range(5)]
    first.ask("groups", limit=0)
    gone.ask("groups", limit=0)
    gone.socket.close()
    gone.lines.close()
    some.ask("groups", limit=3000)
    third.ask("groups", limit=0)
    third.ask("groups", name="all")
    one.ask("groups", name="all", limit=7)
    every = first.hear()
    assert every["total"] == 5001 and len(every["groups"]) == 5001 and {g["name"] for g in every["groups"]} == {"all", *names}
    assert {g["name"]: g["count"] for g in every["groups"]}["all"] == 20
    assert len({g["name"] for g in some.hear()["groups"]}) == 3000
    assert len(third.hear()["groups"]) == 5001
    assert len(set(third.hear()["groups"][0]["members"])) == 20
    assert len(one.hear()["groups"][0]["members"]) == 7
    for asker in askers:
        asker.socket.close()
    for client in clients:
        client.close()


# ---------------------------------------------------------------- doing

def test_send_to_ids_route_and_all(gate, echo, clients):
    echo(gate, "python")
    one, two = clients(gate.url()), clients(gate.url())
    eventually(lambda: len(rows(gate)) == 2, "two connections")
    ids = [r["id"] for r in rows(gate)]
    assert gate.wsctl("send", *ids, "-t", "grüße") == {"targets": 2, "outcomes": {"written": 2}, "waiting": 0, "failures": []}
    assert gate.wsctl("send", "--route", "echo", "--base64", "AAEC")["targets"] == 2
    out, _ = run(gate, "send", "--all", stdin="from stdin")
    assert out == "written to 2 of 2\n"
    run(gate, "send", "--all", "--binary", stdin="x\x00y")
    for client in (one, two):
        eventually(lambda: len(client.received) == 4, "four messages")
        assert client.received == ["grüße", b"\x00\x01\x02", "from stdin", b"x\x00y"]


def test_send_says_what_became_of_each(gate, echo, clients):
    echo(gate, "python")
    clients(gate.url())
    found = only(gate)
    answer = gate.wsctl("send", found, "0000000000000001", "-t", "x", status=1)
    assert answer["outcomes"] == {"written": 1, "stale": 1}
    assert answer["failures"][0]["id"] == "0000000000000001" and answer["failures"][0]["outcome"] == "stale"
    assert "no route" in run(gate, "send", "--route", "nope", "-t", "x", status=1)[1]
    assert '"base64"' in run(gate, "send", "--all", "--base64", "A", status=2)[1]
    assert "not text" in run(gate, "send", "--all", stdin="\x00", status=2)[1]


def test_ping(gate, echo, clients):
    echo(gate, "python")
    clients(gate.url())
    found = only(gate)
    assert gate.wsctl("ping", found)["rtt_us"] > 0
    assert rows(gate)[0]["rtt_us"] > 0
    out, _ = run(gate, "ping", found, "--count", 3)
    assert len(out.splitlines()) == 3
    assert "stale" in gate.wsctl("ping", "0000000000000001", status=1)["error"]["message"]


def test_a_client_that_does_not_answer_a_ping_is_4(gate, echo, processes):
    echo(gate, "python")
    silent = processes(["/usr/bin/python3", "-c", """
import socket, sys, time
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
s.sendall(b"GET /echo HTTP/1.1\\r\\nHost: x\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n"
          b"Sec-WebSocket-Version: 13\\r\\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\\r\\n\\r\\n")
print(s.recv(4096).split()[1].decode(), flush=True)
time.sleep(3600)
""", str(gate.port)])
    silent.wait_line("^101$")
    _, err = run(gate, "ping", only(gate), "--timeout", "300ms", status=4)
    assert "no pong within 300 ms" in err


def test_close_by_id(gate, echo, clients):
    echo(gate, "python")
    client = clients(gate.url())
    answer = gate.wsctl("close", only(gate), "--code", 4001, "--reason", "geh heim")
    assert answer["outcomes"] == {"written": 1}
    assert client.wait_closed() == (4001, "geh heim")
    assert gate.wsctl("close", "0000000000000001", status=1)["outcomes"] == {"stale": 1}
    eventually(lambda: "by=admin code=4001" in gate.output, "the log line")


def test_close_by_filter_counts_first(gate, echo, clients):
    echo(gate, "python")
    all_of_them = [clients(gate.url()) for _ in range(3)]
    eventually(lambda: len(rows(gate)) == 3, "three connections")
    assert gate.wsctl("close", "--route", "echo", "--dry-run") == {"matched": 3}
    assert gate.wsctl("close", "--group", "nope", "--dry-run", status=1) == {"matched": 0}
    _, err = run(gate, "close", "--route", "echo", status=2)
    assert "3 connections would be closed: say --yes" in err
    assert len(rows(gate)) == 3
    _, err = run(gate, "close", "--all", "--code", 1005, "--yes", status=2)
    assert '"code"' in err
    out, err = run(gate, "close", "--route", "echo", "--yes")
    assert out == "closed 3 of 3\n" and "closing 3 connections" in err
    for client in all_of_them:
        assert client.wait_closed() == (1000, "")
    _, err = run(gate, "close", "--all", "--yes", status=1)
    assert "no connection fits" in err


def test_handlers_show_and_drop(gate, echo, clients):
    echo(gate, "python")
    echo(gate, "python")
    clients(gate.url())
    found = only(gate)
    owner = rows(gate)[0]["handler"]
    shown = gate.wsctl("handlers", "show", owner)
    assert shown["pinned"] == [found] and shown["connections"] == 1 and shown["routes"] == ["echo"] and shown["language"] == "python"
    assert found in run(gate, "handlers", "show", owner)[0]
    assert gate.wsctl("handlers", "drop", owner) == {"connections": 1}
    moved = eventually(lambda: [r for r in rows(gate) if r["handler"] not in (0, owner)], "a connection that moved")
    assert moved[0]["id"] == found
    assert "no handler %d" % owner in gate.wsctl("handlers", "drop", owner, status=1)["error"]["message"]
    gate.wait_handlers("echo", 2)  # its process lives: it comes back


def test_log_levels_come_and_go(gate, echo):
    echo(gate, "python")
    levels = gate.wsctl("log")
    assert levels["levels"]["ws"] == "info" and levels["temporary"] == []
    levels = gate.wsctl("log", "set", "ws=debug", "--for", "5m")
    assert levels["levels"]["ws"] == "debug"
    assert levels["temporary"][0]["module"] == "ws" and levels["temporary"][0]["back_to"] == "info"
    assert 290000 < levels["temporary"][0]["left_ms"] <= 300000
    gate.wsctl("log", "set", "ws=warn", "--for", "1s")  # it goes back to what was before the first
    eventually(lambda: gate.wsctl("log")["levels"]["ws"] == "info", "the level to be back")
    assert gate.wsctl("log", "set", "all=error")["levels"] == dict.fromkeys(levels["levels"], "error")
    gate.wsctl("log", "set", "handler:1=debug")
    assert gate.wsctl("handlers")["handlers"][0]["level"] == "debug"
    gate.wsctl("log", "set", "handler:1=error", "--for", "1s")
    eventually(lambda: gate.wsctl("handlers")["handlers"][0]["level"] == "debug", "the handler's level to be back")
    assert '"module" must be one of' in run(gate, "log", "set", "nope=debug", status=2)[1]
    assert '"level" must be one of' in run(gate, "log", "set", "ws=loud", status=2)[1]
    assert "no handler 99" in run(gate, "log", "set", "handler:99=debug", status=1)[1]


def test_shutdown(gate, echo, clients):
    echo(gate, "python")
    client = clients(gate.url())
    only(gate)
    run(gate, "shutdown", "--wait", "--timeout", "20s")
    assert client.wait_closed()[0] == 1001
    assert gate.process.wait(DEADLINE) == 0
    run(gate, "status", status=3)


# ---------------------------------------------------------------- tap

def start_tap(gate, *args):
    tap = subprocess.Popen([WSCTL, "-d", gate.dir, "tap", *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    eventually(lambda: gate.wsctl("status")["taps"] > 0, "the tap")
    return tap


def no_taps(gate):
    return (gate.wsctl("status")["taps"] == 0 and all(route["taps"] == 0 for route in gate.wsctl("routes")["routes"])
            and not any(row["tapped"] for row in rows(gate)))


def test_tap_shows_both_directions(gate, echo, clients):
    echo(gate, "python")
    client = clients(gate.url())
    found = only(gate)
    tap = start_tap(gate, found, "--json", "--count", "4")
    eventually(lambda: rows(gate)[0]["tapped"], "the mark")
    client.send("grüße\x1b[2J")
    client.send(b"\x00\xff")
    out, _ = tap.communicate(timeout=DEADLINE)
    frames = [json.loads(line) for line in out.splitlines()]
    assert tap.returncode == 0
    assert sorted((f["dir"], f["opcode"], f["len"]) for f in frames) == [("in", "binary", 2), ("in", "text", 11), ("out", "binary", 2), ("out", "text", 11)]
    assert all(f["id"] == found and f["type"] == "tap" and f["cut"] is False and f["time_ns"] > 0 for f in frames)
    assert [f["text"] for f in frames if f["opcode"] == "text"] == ["grüße\x1b[2J"] * 2
    assert [f["base64"] for f in frames if f["opcode"] == "binary"] == ["AP8="] * 2
    eventually(lambda: no_taps(gate), "no taps")


def test_tap_lines_are_harmless_and_cut(gate, echo, clients):
    echo(gate, "python")
    client = clients(gate.url())
    tap = start_tap(gate, "--route", "echo", "--count", "6", "--bytes", "20")
    client.send("\x1b]0;evil\a\u202e")
    client.send(bytes(range(40)))
    client.send("€" * 20000)  # 60,000 bytes; 20 bytes would end in the middle of a character
    out, _ = tap.communicate(timeout=DEADLINE)
    assert "\x1b" not in out and "\u202e" not in out and "\a" not in out
    assert "text 12 \\x1b]0;evil\\x07\\u{202e}" in out
    assert "binary 40 00 01 02" in out and out.count("text 60000 " + "€" * 6 + "...") == 2
    assert len(out.splitlines()) == 6


def test_tap_in_json_is_harmless_on_a_terminal(gate, echo, clients):
    echo(gate, "python")
    client = clients(gate.url())
    with concurrent.futures.ThreadPoolExecutor() as pool:
        shown = pool.submit(on_a_terminal, gate, "tap", "--route", "echo", "--json", "--count", "1")
        eventually(lambda: gate.wsctl("status")["taps"] > 0, "the tap")
        client.send("\u009b31m\u202e")
        out = shown.result(DEADLINE)
    assert "\x9b" not in out and "\u202e" not in out and "\\u009b31m\\u202e" in out.lower()


def test_tap_ends_with_its_connection(gate, echo, clients):
    echo(gate, "python")
    client = clients(gate.url())
    tap = start_tap(gate, only(gate))
    clients.run(client.socket.close())
    _, err = tap.communicate(timeout=DEADLINE)
    assert tap.returncode == 0 and "the connection closed" in err
    eventually(lambda: no_taps(gate), "no taps")


def test_tap_of_nothing_is_1(gate):
    assert "no WebSocket connection" in run(gate, "tap", "0000000000000001", status=1)[1]
    assert "no route" in run(gate, "tap", "--route", "nope", status=1)[1]


def test_tap_ends_cleanly_on_interrupt(gate):
    tap = start_tap(gate, "--route", "echo")
    tap.send_signal(signal.SIGINT)
    out, err = tap.communicate(timeout=DEADLINE)
    assert tap.returncode == 0 and out == "" and err == ""
    eventually(lambda: no_taps(gate), "no taps")


def test_kill_9_in_the_middle_of_a_tap_leaves_nothing_behind(gate, echo, clients):
    echo(gate, "python")
    client = clients(gate.url())
    found = only(gate)
    taps = [start_tap(gate, found), start_tap(gate, "--route", "echo"), start_tap(gate, found)]
    eventually(lambda: gate.wsctl("status")["taps"] == 3, "three taps")
    for i in range(100):
        client.send("message %d" % i)
    taps[0].kill()
    eventually(lambda: gate.wsctl("status")["taps"] == 2, "two taps")
    assert rows(gate)[0]["tapped"]  # the other one still watches it
    for tap in taps[1:]:
        tap.kill()
    eventually(lambda: no_taps(gate), "no taps")
    client.send("still here")
    eventually(lambda: client.received and client.received[-1] == "still here", "the echo")
    for tap in taps:
        tap.communicate()


def test_a_tap_that_is_not_read_loses_lines_and_says_how_many(gate, echo, clients):
    echo(gate, "python")
    client = clients(gate.url())
    found = only(gate)
    tap = start_tap(gate, found, "--json", "--bytes", "16384")
    tap.send_signal(signal.SIGSTOP)
    size, count = 100_000, 0

    def lost():
        nonlocal count
        client.send(b"x" * size)
        count += 1
        return gate.wsctl("stats")["control"]["tap_lines_lost"] > 20

    eventually(lost, "lost lines")
    eventually(lambda: len(client.received) == count, "every echo: the tap costs the client nothing")
    tap.send_signal(signal.SIGCONT)
    seen, told = 0, 0
    while seen + told < 2 * count:
        line = json.loads(tap.stdout.readline())
        seen += line["type"] == "tap"
        told += line.get("lost", 0)
        if line["type"] == "tap":
            assert line["len"] == size and line["cut"]
    assert seen + told == 2 * count and told > 20
    tap.kill()
    tap.communicate()


# --- JSON on every exit

ID = "0123456789abcdef"
VERBS = {  # each command with arguments that are good, as far as the command line goes
    "status": [], "list": [], "show": [ID], "close": [ID], "send": [ID, "--text", "x"], "publish": ["--all", "--text", "x"], "ping": [ID],
    "handlers": [], "move": [ID, "1"], "routes": [], "groups": [], "log": [], "tap": [ID], "dead-letters": [], "dial": [], "stats": [],
    "tls": [], "reload": [], "shutdown": [], "drain": [], "connect": ["ws://127.0.0.1:1/"], "token": ["check", "x"],
}
ALONE = {"connect", "token"}  # they need no gate
MORE = [["handlers", "show", "1"], ["handlers", "drain", "1", "--wait"], ["handlers", "undrain", "1"], ["handlers", "weight", "1", "2"],
        ["handlers", "drop", "1"], ["log", "set", "ws=info"], ["log", "reopen"], ["dial", "stop", "x"], ["dial", "start", "x"],
        ["dial", "list"], ["groups", "g"], ["close", "--all", "--yes"], ["close", "--all", "--dry-run"], ["list", "--route", "echo"]]


def say_json(*args, **kwargs):
    """Exit status and documents of `wsctl ARGS --json`; there is one at least."""
    run = subprocess.run([WSCTL, *map(str, args), "--json"], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=DEADLINE, **kwargs)
    documents = [json.loads(line) for line in run.stdout.splitlines()]
    assert documents, (args, run)
    return run.returncode, documents


def error_of(status, documents, reason):
    error = documents[-1]["error"]
    assert set(error) - {"code"} == {"message", "reason", "status"} and error["message"], error
    assert (error["status"], error["reason"]) == (status, reason)
    return error


def test_json_of_wrong_usage():
    commands = re.findall(r"^  ([a-z-]+) ", say_json("help")[1][0]["help"], re.MULTILINE)
    assert set(commands) - {"help"} == set(VERBS), "each command is looked at"
    for args in ([], ["--frobnicate"], ["frobnicate"], ["help", "frobnicate"], *([verb, "--frobnicate"] for verb in VERBS),
                 *([verb, *VERBS[verb], "--timeout", "0"] for verb in VERBS), *([verb, *["x"] * 9] for verb in VERBS if verb not in ("close", "send", "publish"))):
        status, documents = say_json(*args)
        assert status == 2 and len(documents) == 1
        error_of(2, documents, "usage")


def test_json_of_help_and_version():
    assert say_json("--version") == (0, [{"version": subprocess.run([WSCTL, "-V"], capture_output=True, text=True).stdout.split()[1]}])
    for args in (["--help"], ["help"], ["help", "list"], *([verb, "--help"] for verb in VERBS)):
        status, documents = say_json(*args)
        assert status == 0 and documents[0]["help"].startswith("Usage: wsctl"), args


@pytest.mark.parametrize("args", [*([verb, *VERBS[verb]] for verb in VERBS if verb not in ALONE), *MORE], ids=" ".join)
def test_json_without_a_gate(tmp_path, args):
    status, documents = say_json(*args, "--runtime-dir", tmp_path)
    assert status == 3 and len(documents) == 1
    error_of(3, documents, "unreachable")


def test_json_of_what_the_gate_says(gate, echo):
    """Of each verb, done or refused: JSON, and the exit status that it tells."""
    echo(gate)
    for args in [*([verb, *VERBS[verb]] for verb in VERBS if verb not in {*ALONE, "shutdown", "drain"}), *MORE]:
        status, documents = say_json(*args, "--runtime-dir", gate.dir, "--timeout", "2s")
        assert status in (0, 1, 2, 4), args
        if "error" in documents[-1]:
            error_of(status, documents, {1: "refused", 2: "usage", 4: "timeout"}[status])
    code = error_of(1, say_json("show", ID, "--runtime-dir", gate.dir)[1], "refused")["code"]
    assert code == -32001
    assert error_of(2, say_json("token", "check", "x")[1], "usage")
    assert error_of(3, say_json("connect", "ws://127.0.0.1:1/")[1], "unreachable")
    assert say_json("shutdown", "--runtime-dir", gate.dir)[0] == 0


def test_json_without_permission(gate, tmp_path):
    os.chmod(gate.dir, 0)
    mortal = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--"] if os.geteuid() == 0 else []
    run = subprocess.run([*mortal, WSCTL, "status", "--json", "--runtime-dir", gate.dir], capture_output=True, text=True, timeout=DEADLINE)
    os.chmod(gate.dir, 0o700)
    words = "no permission for the gate at %s; run wsctl as the gate's user or in its group, and see bus_mode of wsgate.conf" % gate.dir
    assert error_of(run.returncode, [json.loads(run.stdout)], "unreachable")["message"] == words


def catches_interrupts(process):
    caught = re.search(r"^SigCgt:\s*(\w+)", pathlib.Path("/proc/%d/status" % process.pid).read_text(), re.MULTILINE).group(1)
    return int(caught, 16) >> (signal.SIGINT - 1) & 1


@pytest.mark.parametrize("args", [["status"], ["list"], ["handlers"], ["tap", "--route", "echo"]], ids=" ".join)
def test_json_of_a_timeout_and_an_interrupt(gate, processes, args):
    gate.signal(signal.SIGSTOP)
    status, documents = say_json(*args, "--runtime-dir", gate.dir, "--timeout", "100ms")
    assert status == 4
    error_of(4, documents, "timeout")
    waiting = processes([WSCTL, *args, "--json", "--runtime-dir", gate.dir, "--timeout", "60s"])
    eventually(lambda: catches_interrupts(waiting), "it is prepared for an interrupt")
    waiting.signal(signal.SIGINT)
    assert waiting.process.wait(DEADLINE) == 130
    waiting._reader.join(DEADLINE)
    error_of(130, [json.loads(next(line for line in waiting.lines if line.startswith("{")))], "interrupted")
    gate.signal(signal.SIGCONT)


def test_json_at_the_end_of_a_tap(gate, processes):
    tap = processes([WSCTL, "tap", "--route", "echo", "--json", "--runtime-dir", gate.dir])
    eventually(lambda: gate.wsctl("status")["taps"] == 1, "the tap")
    tap.signal(signal.SIGINT)
    assert tap.process.wait(DEADLINE) == 0
    tap._reader.join(DEADLINE)
    assert json.loads(tap.lines[-1]) == {"type": "end", "reason": "interrupted"}


@pytest.mark.parametrize("how", [[], ["--json"]], ids=["text", "json"])
def test_an_interrupt_before_a_connection_is_open(processes, how):
    """A server that says nothing is not waited for."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(DEADLINE)
        waiting = processes([WSCTL, "connect", "ws://127.0.0.1:%d/" % server.getsockname()[1], "--timeout", "10m", *how])
        accepted, _ = server.accept()
        with accepted:
            assert accepted.recv(1)
            waiting.signal(signal.SIGINT)
            assert waiting.process.wait(DEADLINE) == 130
    waiting._reader.join(DEADLINE)
    if how:
        error_of(130, [json.loads(line) for line in waiting.lines], "interrupted")
    else:
        assert waiting.lines == []
