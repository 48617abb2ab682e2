"""wsbench: what it says of good servers, that it sees what is wrong with bad ones, and what it says to bad usage."""

import asyncio
import contextlib
import json
import ssl
import subprocess
import threading

import pytest
import websockets

from conftest import BUILD, DEADLINE, ROOT

WSBENCH = BUILD / "wsbench" / "wsbench"
SHORT = ["-w", "0", "-d", "60", "-n", "400"]  # ends by the count


def wsbench(*args, status=0):
    run = subprocess.run([str(WSBENCH), *map(str, args), "--json"], capture_output=True, text=True, timeout=DEADLINE * 3)
    assert run.returncode == status, "%s: %d\n%s%s" % (args, run.returncode, run.stdout, run.stderr)
    result = json.loads(run.stdout)
    assert result["clean"] == (status == 0)
    return result


class Server:
    """A server of another make, whose faults are chosen by the path."""

    def __init__(self, **kwargs):
        self.loop = asyncio.new_event_loop()
        self.subscribers = set()
        self.ready = threading.Event()
        self.kwargs = kwargs
        self.thread = threading.Thread(target=self.run)
        self.thread.start()
        assert self.ready.wait(DEADLINE)

    def run(self):
        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(self.serve())

    async def serve(self):
        self.stopping = asyncio.Event()
        where = {} if "path" in self.kwargs else {"host": "127.0.0.1", "port": 0}
        start = websockets.unix_serve if "path" in self.kwargs else websockets.serve
        async with start(self.handle, compression=None, max_size=None, subprotocols=["bench"], **where, **self.kwargs) as server:
            if not "path" in self.kwargs:
                self.port = server.sockets[0].getsockname()[1]
            self.ready.set()
            await self.stopping.wait()

    def stop(self):
        self.loop.call_soon_threadsafe(self.stopping.set)
        self.thread.join(DEADLINE)

    async def handle(self, connection):
        path = connection.path
        if path == "/sub":
            self.subscribers.add(connection)
        number, held = 0, None
        async for message in connection:
            number += 1
            if path == "/fragments" and len(message) > 8:
                await connection.send([message[:3], message[3:7], message[7:]])
                await connection.ping()
            elif path == "/corrupt" and number == 5:
                await connection.send(message[:-1] + "!")
            elif path == "/lose" and number == 5:
                pass
            elif path == "/swap" and number == 5:
                held = message
            elif path == "/swap" and number == 6:
                await connection.send(message)
                await connection.send(held)
            elif path == "/other" and number == 5:
                await connection.send(message.encode())
            elif path == "/close" and number == 5:
                await connection.close(1011, "enough")
            elif path == "/gone" and number == 5:
                connection.transport.abort()
            elif path.startswith("/pub"):
                copies = 2 if path == "/pub/twice" and number == 5 else 0 if path == "/pub/lose" and number == 5 else 1
                for _ in range(copies):
                    websockets.broadcast(self.subscribers, message)
            else:
                await connection.send(message)
                if path == "/twice" and number == 5:
                    await connection.send(message)

    def url(self, path="/", scheme="ws", host="127.0.0.1"):
        return "%s://%s:%d%s" % (scheme, host, self.port, path)


@pytest.fixture
def server():
    with contextlib.closing(Server()) as one:
        yield one


Server.close = Server.stop


@pytest.mark.parametrize("args", [
    ["-c", 4, "-f", 4], ["-s", 0], ["-s", 1], ["-s", 8, "-f", 3], ["-s", 126, "-b"], ["-s", 65536, "-b", "-t", 2],
    ["-s", 1000, "--fragment", 300], ["-c", 2, "-f", 2, "-s", 300000, "-n", 40], ["--subprotocol", "bench"], ["-H", "X-A: b"],
], ids=str)
def test_every_answer_of_a_good_server_comes_back(server, args):
    result = wsbench("echo", server.url(), *SHORT, *args)
    assert result["sent"] == result["received"] == (40 if 40 in args else 400)
    assert result["clean_closes"] == result["connected"] == result["wanted"]


def test_fragments_and_pings_of_the_server(server):
    result = wsbench("echo", server.url("/fragments"), *SHORT, "-c", 2, "-f", 4, "-s", 300)
    assert result["received"] == 400 and result["pings"] > 0


@pytest.mark.parametrize("path, count", [
    ("/corrupt", "corrupt"), ("/swap", "corrupt"), ("/other", "other_opcode"), ("/close", "server_closed"), ("/gone", "disconnected")])
def test_what_is_wrong_is_counted(server, path, count):
    result = wsbench("echo", server.url(path), "-w", 0, "-d", 30, "-n", 40, "-c", 2, "-f", 4, status=1)
    assert result[count] > 0
    assert result["fault"] or count == "other_opcode"


def test_an_answer_too_many_is_counted(server):
    result = wsbench("echo", server.url("/twice"), "-w", 0, "-d", 30, "-n", 20, "-c", 1, status=1)
    assert result["unexpected"] + result["corrupt"] > 0


def test_an_answer_that_never_comes_is_missing(server):
    # One in flight: nothing comes behind what was lost, so it is not taken for the next one.
    result = wsbench("echo", server.url("/lose"), "-w", 0, "-d", 2, "-c", 3, "--drain", 0.2, status=1)
    assert result["missing"] == 3 and result["corrupt"] == 0


def test_a_schedule_is_kept_and_latency_counts_from_it(server):
    result = wsbench("rate", server.url(), "-r", 2000, "-c", 3, "-w", 0, "-d", 60, "-n", 500, "-t", 2)
    assert result["sent"] == result["received"] == 500
    assert result["mean_us"] > result["since_sent_mean_us"] > 0  # nothing leaves before it is due


def test_what_a_schedule_gets_no_answer_to_counts_as_latency(server):
    result = wsbench("rate", server.url("/lose"), "-r", 100, "-c", 1, "-w", 0, "-d", 0.2, "--drain", 0.2, status=1)
    assert result["missing"] > 0 and result["max_us"] >= 200000


def test_everybody_gets_what_is_published(server):
    result = wsbench("fanout", server.url("/sub"), "--publish-path", "/pub", "-c", 20, "-f", 2, *SHORT, "-n", 50)
    assert result["sent"] == 50 and result["received"] == 1000


@pytest.mark.parametrize("path, count", [("/pub/lose", "lost"), ("/pub/twice", "duplicate")])
def test_gaps_and_repetitions_are_counted(server, path, count):
    result = wsbench("fanout", server.url("/sub"), "--publish-path", path, "-c", 3, "-f", 4, *SHORT, "-n", 20, status=1)
    assert result[count] == 3


def test_connections_are_held_and_what_they_cost_is_told(gate, echo):
    echo(gate)
    result = wsbench("idle", gate.url(), "-c", 50, "-d", 0.1, "--pid", gate.pid)
    assert result["connected"] == result["alive"] == result["clean_closes"] == 50
    assert result["processes"] == 1 and result["rss_kib"] > 1000


def test_the_gate_and_its_handler(gate, echo):
    handler = echo(gate)
    result = wsbench("echo", gate.url(), "-c", 4, "-f", 8, "-w", 0, "-d", 60, "-n", 5000, "--pid", "%d,%d" % (gate.pid, handler.pid))
    assert result["received"] == 5000
    assert result["processes"] == 2 and result["server_us"] > 0


def test_a_unix_socket(tmp_path):
    with contextlib.closing(Server(path=str(tmp_path / "socket"))):
        assert wsbench("echo", "ws://name/", "--unix", tmp_path / "socket", *SHORT)["received"] == 400


@pytest.fixture
def secure_server(tmp_path):
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
         "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", certificate],
        check=True, capture_output=True, timeout=DEADLINE)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with contextlib.closing(Server(ssl=context)) as one:
        one.certificate = certificate
        yield one


def test_tls_is_verified(secure_server):
    url = secure_server.url(scheme="wss")
    assert wsbench("echo", url, *SHORT, "--ca-file", secure_server.certificate, "-s", 20000)["received"] == 400
    assert wsbench("echo", secure_server.url(scheme="wss", host="localhost"), *SHORT, "--ca-file", secure_server.certificate)["received"] == 400
    assert wsbench("echo", url, *SHORT, "--insecure")["received"] == 400
    refused = wsbench("echo", url, *SHORT, status=1)
    assert refused["handshake_failed"] == 16 and "TLS" in refused["fault"]


def test_nobody_there_and_nothing_at_the_path(gate):
    assert wsbench("echo", "ws://127.0.0.1:1/", "-c", 3, status=1)["refused"] == 3
    nowhere = wsbench("echo", gate.url("/nowhere"), "-c", 3, status=1)
    assert nowhere["handshake_failed"] == 3 and nowhere["http_status"] == 404


@pytest.mark.parametrize("args, words", [
    (["echo"], "a mode and a URL"),
    (["echo", "http://h/"], "ws://"),
    (["echo", "ws://h/", "-c", "many"], "--connections"),
    (["echo", "ws://127.0.0.1:1/", "--pid", "4194304"], "no process 4194304"),
    (["echo", "ws://127.0.0.1:1/", "--publish-path", "x"], "fanout"),
    (["echo", "wss://127.0.0.1:1/", "--ca-file", "/nonexistent"], "/nonexistent"),
])
def test_bad_usage_is_told(args, words):
    run = subprocess.run([str(WSBENCH), *args], capture_output=True, text=True, timeout=DEADLINE)
    assert run.returncode == 2 and words in run.stderr and not run.stdout


def test_the_manual_and_the_completions_know_every_option():
    said = subprocess.run([str(WSBENCH), "--help"], capture_output=True, text=True, timeout=DEADLINE)
    assert said.returncode == 0
    options = {word.strip(",") for word in said.stdout.split() if word.startswith("--") and len(word) > 2}
    manual = (ROOT / "docs/man/wsbench.1.scd").read_text()
    completions = [(ROOT / "packaging/completions" / name).read_text() for name in ("wsbench", "_wsbench")]
    assert len(options) > 25
    for option in options:
        assert option in manual, option
        for completion in completions:
            assert option in completion, option


def test_text_for_people(server):
    run = subprocess.run([str(WSBENCH), "echo", server.url(), *SHORT, "-l", "a name"], capture_output=True, text=True, timeout=DEADLINE)
    assert run.returncode == 0
    assert "a name" in run.stdout and "latency" in run.stdout and "NOT CLEAN" not in run.stdout
    early = subprocess.run([str(WSBENCH), "echo", server.url(), "-n", "40", "-w", "60"], capture_output=True, text=True, timeout=DEADLINE)
    assert early.returncode == 0 and "--warm-up 0" in early.stdout  # ended by the count, with nothing measured
    quiet = subprocess.run([str(WSBENCH), "echo", server.url("/corrupt"), *SHORT, "-q"], capture_output=True, text=True, timeout=DEADLINE)
    assert quiet.returncode == 1 and not quiet.stdout
