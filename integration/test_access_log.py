"""The access log of a real gate: every request and every connection once, whole lines whatever clients send, rotation, and a disk that is full."""

import json
import os
import re
import signal
import subprocess

import pytest

from conftest import BUILD, DEADLINE, BOTH_WIRES, eventually
from raw import BINARY, Raw, close_frame, upgrade_request
from test_gatekeeping import configured

COMBINED = re.compile(r'(\S+) - - \[(\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000)\] "([^"]*)" (\d{3}) (\d+) "([^"]*)" "([^"]*)"((?: [a-z_]+=\S+)*)')


def get(path="/echo", *headers, method="GET"):
    return "\r\n".join(["%s %s HTTP/1.1" % (method, path), "Host: gate.test", *headers, "", ""]).encode("latin-1")


@pytest.fixture
def log(tmp_path):
    return tmp_path / "access.log"


def lines_of(log, count):
    """The lines of the file, once there are so many."""
    eventually(lambda: log.exists() and log.read_bytes().count(b"\n") >= count, "%d lines in %s" % (count, log))
    text = log.read_text()  # all of it is ASCII or UTF-8, whatever was sent
    assert text.count("\n") == count, text
    return text.splitlines()


def objects_of(log, count):
    return [json.loads(line) for line in lines_of(log, count)]


def parse(line):
    """A line of combined, with the pairs behind it as a dict."""
    match = COMBINED.fullmatch(line)
    assert match, line
    host, _, request, status, size, referer, agent, pairs = match.groups()
    return (host, request, int(status), int(size), referer, agent), dict(pair.split("=", 1) for pair in pairs.split())


@BOTH_WIRES
def test_requests_and_connections(make_gate, take_seat, log):
    gate = make_gate(args=["--access-log", log, "--access-format", "json", "--workers", "2"])
    bus = take_seat(gate)
    with Raw(gate) as client:
        client.send(get("/echo?a=1", "User-Agent: tester/1", "Referer: https://x.test/page?secret=1"))
        request = bus.hear("request")
        bus.respond(request.conn, "12345")
        bus.flush()
        client.read_response()
        client.send(get("/nowhere")).read_response()
        port = client.socket.getsockname()[1]
    with Raw(gate).upgrade(extra=["User-Agent: tester/2"]) as client:
        opened = bus.hear("open")
        client.say("hello")
        bus.send(opened.conn, b"\0" * 1000, BINARY)
        bus.flush()
        client.read_message()
        client.send(close_frame(4001, "done"))
        client.read_close()
    bus.hear("data"), bus.hear("closed")
    first, second, third = sorted(objects_of(log, 3), key=lambda one: one["time"])
    assert {k: first[k] for k in ("method", "target", "version", "status", "bytes", "referer", "agent", "route", "complete", "peer")} == {
        "method": "GET", "target": "/echo?a=1", "version": "1.1", "status": 200, "bytes": 5, "referer": "https://x.test/page",
        "agent": "tester/1", "route": "echo", "complete": True, "peer": "127.0.0.1:%d" % port}
    assert first["request_id"] == request.meta["request_id"] and int(first["conn"], 16) == request.conn
    assert (second["status"], second["bytes"], second["route"], second["target"]) == (404, 14, "", "/nowhere")
    assert (third["status"], third["bytes"], third["agent"], third["request_id"]) == (101, 1000, "tester/2", opened.meta["request_id"])
    assert third["websocket"] == {"by": "client", "code": 4001, "clean": True, "messages_in": 1, "bytes_in": 5, "messages_out": 1, "bytes_out": 1000}
    assert gate.wsctl("stats")["gate"]["access_lines"] == 3 and gate.wsctl("status")["access_lines_lost"] == 0


@pytest.mark.parametrize("form", ["combined", "json"])
def test_hostile_bytes_stay_in_their_line(make_gate, log, form):
    gate = make_gate(args=["--access-log", log, "--access-format", form, "--workers", "1"])  # one worker's lines are in order
    evil = "\x80\xff\u00e4 \" 200 0 \"-\" \\\" \\n \t{\"a\":1} \x1b]0;x".replace("\x1b", "")
    requests = [get("/%22?\"<>&|`\\", "User-Agent: " + evil, "Referer: " + evil, "X-Request-Id: a\"b"),
                get("/nowhere", "User-Agent: " + "\xe4" * 5000, "Referer: http://" + "a" * 5000),
                get("/" + "b" * 6000), b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"]
    for request in requests:
        with Raw(gate) as client:
            assert client.send(request).read_response().status >= 400
    if form == "json":
        seen = objects_of(log, 5)
        assert seen[0]["agent"] == evil and seen[0]["target"] == "/%22?\"<>&|`\\"
        assert (seen[1]["agent"], seen[1]["referer"]) == ("\xe4" * 512, ("http://" + "a" * 1017))
        assert len(seen[2]["target"]) == 4096 and (seen[3]["method"], seen[3]["target"]) == ("", "")
        return
    seen = [parse(line) for line in lines_of(log, 5)]
    assert seen[0][0][1] == "GET /%22?\\x22<>&|`\\x5C HTTP/1.1" and "\\x22 200 0 " in seen[0][0][5]
    assert seen[1][0][5] == "\\xE4" * 512 and seen[3][0][1:4] == ("-", 400, 16)


def test_the_client_behind_a_proxy_and_the_token(make_gate, tmp_path, log, echo):
    keys = tmp_path / "keys.json"
    subprocess.run([BUILD / "wsctl" / "wsctl", "token", "new", keys], check=True, timeout=DEADLINE, stdout=subprocess.DEVNULL)
    gate = configured(make_gate, tmp_path, (
        'trusted_proxies = {"127.0.0.0/8"}\nforwarded = x-forwarded-for\nlog { access_log = "%s" }\n'
        'route "inner" { path = "/inner" token = "query:token" token_keys = "%s" }\n') % (log, keys))
    for path in ("/inner?token=SECRET&x=1", "/nowhere"):
        with Raw(gate) as client:
            client.send(get(path, "X-Forwarded-For: 2001:db8::7", "X-Request-Id: of-the-proxy")).read_response()
    first, second = sorted((parse(line) for line in lines_of(log, 2)), key=lambda one: one[0][1])
    assert first[0][:3] == ("2001:db8::7", "GET /inner?token=&x=1 HTTP/1.1", 401)
    assert (first[1]["id"], first[1]["route"], second[1]["route"]) == ("of-the-proxy", "inner", "-")
    assert "SECRET" not in log.read_text()


def test_refused_handshakes_are_requests(make_gate, log):
    gate = make_gate(args=["--access-log", log])
    with Raw(gate) as client:
        assert client.send(upgrade_request()).read_response().status == 503
    (_, request, status, _, _, _), pairs = parse(lines_of(log, 1)[0])
    assert (request, status, "close" in pairs) == ("GET /echo HTTP/1.1", 503, False)


@pytest.mark.parametrize("how", ["signal", "wsctl"])
def test_rotation(make_gate, log, how):
    gate = make_gate(args=["--access-log", log])

    def ask(path):
        with Raw(gate) as client:
            client.send(get(path)).read_response()

    def reopen(good):
        if how == "wsctl":
            gate.wsctl("log", "reopen", status=0 if good else 1)
        else:
            gate.signal(signal.SIGUSR1)
        gate.wait_line("msg=\"access log reopened\"" if good else "msg=\"access log not reopened\".*Is a directory")

    ask("/before")
    lines_of(log, 1)
    moved = log.rename(log.with_suffix(".1"))
    ask("/between")
    lines_of(moved, 2)
    log.mkdir()
    reopen(good=False)  # and the old one goes on
    ask("/still")
    lines_of(moved, 3)
    log.rmdir()
    reopen(good=True)
    ask("/after")
    assert "/after" in lines_of(log, 1)[0]
    lines_of(moved, 3)
    assert log.stat().st_mode & 0o777 & ~0o640 == 0


def test_without_a_log_there_is_nothing_to_reopen(make_gate):
    gate = make_gate(args=["--access-log", "off"])
    gate.wsctl("log", "reopen", status=1)
    gate.signal(signal.SIGUSR1)
    gate.wait_line("msg=\"nothing to reopen\"")
    with Raw(gate) as client:
        assert client.send(get("/nowhere")).read_response().status == 404


def test_a_log_that_cannot_be_opened_is_said_at_once(tmp_path):
    run = subprocess.run([BUILD / "wsgate" / "wsgate", "--runtime-dir", tmp_path / "run", "--listen", "127.0.0.1:0", "--route", "echo=/echo",
                          "--access-log", "/nowhere/access.log"], capture_output=True, text=True, timeout=DEADLINE)
    assert run.returncode == 1 and "wsgate: access log /nowhere/access.log: No such file or directory" in run.stderr


def test_a_full_disk_costs_lines_and_no_clients(make_gate, echo):
    gate = make_gate(args=["--access-log", "/dev/full"])
    echo(gate)
    for _ in range(20):
        with Raw(gate).upgrade() as client:
            assert client.ask("x") == "x"
            client.send(close_frame(1000))
            client.read_close()
    eventually(lambda: gate.wsctl("stats")["gate"]["access_lines_lost"] == 20, "lost lines that are counted")
    gate.wait_line("msg=\"access log lines lost\".* why=\"No space left on device\"")


def test_a_pipe_that_nobody_reads_costs_lines_and_no_clients(make_gate, log):
    os.mkfifo(log)
    reader = os.open(log, os.O_RDONLY | os.O_NONBLOCK)
    gate = make_gate(args=["--access-log", log])
    request = get("/" + "x" * 4000)
    with Raw(gate) as client:
        for _ in range(400):  # more than the pipe and the queue hold
            assert client.send(request).read_response().status == 404
    eventually(lambda: gate.wsctl("stats")["gate"]["access_lines_lost"] > 0, "lost lines that are counted")
    assert gate.stop() == 0  # it does not wait for ever
    os.close(reader)


def test_the_end_of_the_gate_is_in_the_log(make_gate, log, echo):
    gate = make_gate(args=["--access-log", log, "--access-format", "json"])
    handler = echo(gate)
    client = Raw(gate).upgrade()
    assert client.ask("x") == "x"
    gate.signal(signal.SIGTERM)
    assert client.read_close()[0] == 1001
    client.send(close_frame(1001))
    client.close()
    assert gate.stop() == 0
    assert handler
    (line,) = objects_of(log, 1)
    assert (line["websocket"]["by"], line["websocket"]["code"]) == ("gate", 1001)
