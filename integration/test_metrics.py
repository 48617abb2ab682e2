"""Metrics and health: every line of the exposition is checked, the numbers are those of wsctl, and nobody can get in the way."""

import pathlib
import random
import re
import signal
import socket
import subprocess

import pytest

from conftest import BUILD, DEADLINE, eventually
from raw import Raw

WSGATE = str(BUILD / "wsgate" / "wsgate")
METRICS = ["--metrics", "127.0.0.1:0"]
TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"'
SAMPLE = re.compile(r"(%s)(?:\{(%s(?:,%s)*)\})? (\d+(?:\.\d+)?)" % (NAME, LABEL, LABEL))
SUFFIX = {"gauge": "", "counter": "_total", "info": "_info"}


def parse(text):
    """{(sample name, labels): value} of an exposition; anything that OpenMetrics does not allow fails."""
    assert text.endswith("\n# EOF\n") and text.split("\n").count("# EOF") == 1
    samples, families, family, kind = {}, {}, None, None
    for line in text[:-len("# EOF\n")].split("\n")[:-1]:
        word = line.split(" ", 3)
        if line.startswith("# TYPE "):
            family, kind = word[2], word[3]
            assert kind in SUFFIX and re.fullmatch(NAME, family), line
            assert family not in families, "family twice: " + line
            families[family] = {"TYPE": kind}
        elif line.startswith("# "):
            assert word[1] in ("HELP", "UNIT") and word[2] == family and word[1] not in families[family], line
            assert not any(name == family + SUFFIX[kind] for name, _ in samples), "metadata comes before samples: " + line
            families[family][word[1]] = word[3]
            assert word[1] != "UNIT" or family.endswith("_" + word[3]), line
        else:
            match = SAMPLE.fullmatch(line)
            assert match, "not a sample: %r" % line
            labels = re.findall(LABEL, match.group(2) or "")
            assert len(dict(labels)) == len(labels), line
            assert match.group(1) == family + SUFFIX[kind], "%s does not belong to %s" % (line, family)
            key = match.group(1), frozenset(labels)
            assert key not in samples, "twice: " + line
            samples[key] = float(match.group(match.lastindex))
    assert all("HELP" in one for one in families.values())
    return samples


class Scraped:
    def __init__(self, text):
        self.samples = parse(text)

    def __call__(self, metric, /, **labels):
        return self.samples[metric, frozenset(labels.items())]

    def names(self):
        return {name for name, _ in self.samples}


def port_of(gate):
    return int(re.search(r"msg=metrics at=127\.0\.0\.1:(\d+)", gate.output).group(1))


def ask(where, path, method="GET", extra=""):
    with Raw(where) as client:
        client.send("%s %s HTTP/1.1\r\nHost: x\r\n%s\r\n" % (method, path, extra))
        response = client.read_response(method)
        assert client.read_to_end() == b"", "one request a connection"
        assert response.headers["connection"] == "close"
        return response


def scrape(gate):
    response = ask(port_of(gate), "/metrics")
    assert response.status == 200
    assert response.headers["content-type"] == TYPE
    return Scraped(response.body.decode())


@pytest.fixture
def gate(make_gate):
    return make_gate(args=METRICS, routes=("echo=/echo", "feed=/feed,deliver=publish"))


def test_numbers_move_and_are_those_of_wsctl(gate, echo):
    before = scrape(gate)
    assert before("wsbus_route_in_messages_total", route="echo") == 0
    assert re.fullmatch(r"\d+\.\d+\.\d+", dict(next(labels for name, labels in before.samples if name == "wsbus_build_info"))["version"])
    echo(gate, "python")
    with Raw(gate.port) as client:
        client.upgrade("/echo")
        for text in ("a", "bc", "déf"):
            assert client.ask(text) == text
        now = eventually(lambda: (s := scrape(gate))("wsbus_route_out_messages_total", route="echo") == 3 and s, "three answers")
        assert now("wsbus_gate_connections") == 1
        assert now("wsbus_gate_accepted_connections_total") == before("wsbus_gate_accepted_connections_total") + 1
        assert now("wsbus_route_in_messages_total", route="echo") == 3
        assert now("wsbus_route_in_bytes_total", route="echo") == 7
        assert now("wsbus_route_handlers", route="echo") == 1 and now("wsbus_route_handlers", route="feed") == 0
        assert now("wsbus_route_in_dropped_messages_total", route="echo", reason="no_handler") == 0
        assert now("wsbus_bus_handlers") == 1
        handler = gate.wsctl("handlers")["handlers"][0]
        labels = {"handler": str(handler["id"]), "name": handler["name"]}
        assert now("wsbus_handler_connections", **labels) == 1
        assert now("wsbus_handler_events_total", **labels) >= 4
    eventually(lambda: scrape(gate)("wsbus_gate_connections") == 0, "the connection to go")
    assert scrape(gate)("wsbus_gate_uptime_seconds") > before("wsbus_gate_uptime_seconds")

    stats, after = gate.wsctl("stats"), scrape(gate)
    for key, metric in (("opened", "opened_connections"), ("closed", "closed_connections"), ("messages_in", "in_messages"), ("bytes_in", "in_bytes"),
                        ("messages_out", "out_messages"), ("written", "written_messages"), ("delivered", "delivered_messages"), ("requests", "requests")):
        for route in ("echo", "feed"):
            assert stats["routes"][route][key] == after("wsbus_route_%s_total" % metric, route=route), key
    for direction in ("in", "out"):
        reasons = stats["routes"]["echo"][direction + "_dropped"]
        assert len(reasons) >= 6
        for reason, number in reasons.items():
            assert number == after("wsbus_route_%s_dropped_messages_total" % direction, route="echo", reason=reason)
    assert stats["bus"]["handlers_gone"] == after("wsbus_bus_lost_handlers_total")


def test_names_of_handlers_cannot_break_a_line(gate, take_seat):
    name = 'a"b\\c} 1\n# EOF é'
    take_seat(gate, ["echo"], name=name)
    names = {dict(labels)["name"] for metric, labels in scrape(gate).samples if metric == "wsbus_handler_connections"}
    shown, = names
    assert shown == gate.wsctl("handlers")["handlers"][0]["name"].replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def test_methods_paths_and_what_is_no_http(gate):
    port = port_of(gate)
    head = ask(port, "/metrics", "HEAD")
    assert head.status == 200 and head.body == b"" and int(head.headers["content-length"]) > 1000
    assert ask(port, "/healthz").body == b"ok\n"
    assert ask(port, "/metrics?x=1").status == 200
    for path in ("/", "/metrics/", "/Metrics", "/metrics%00", "/../metrics/x", "/healthz2"):
        assert ask(port, path).status in (400, 404), path
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        refused = ask(port, "/metrics", method, "Content-Length: 0\r\n")
        assert refused.status == 405 and refused.headers["allow"] == "GET, HEAD"
    assert ask(port, "/metrics", extra="Content-Length: 5\r\n").status == 413
    assert ask(port, "/metrics", extra="X: %s\r\n" % ("y" * 9000)).status == 431
    chance = random.Random(7)
    for rubbish in [b"\0" * 100, b"\xff" * 5000, b"GET\r\n\r\n", b"GET /metrics HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                    *(chance.randbytes(chance.randrange(1, 300)) + b"\r\n\r\n" for _ in range(30))]:
        with Raw(port) as client:
            client.send(rubbish)
            client.socket.shutdown(socket.SHUT_WR)
            answer = client.read_to_end()
            assert answer == b"" or answer.startswith(b"HTTP/1.1 4") or answer.startswith(b"HTTP/1.1 5"), answer
    assert ask(port, "/healthz").status == 200


def test_a_request_in_pieces_and_two_at_once(gate):
    with Raw(port_of(gate)) as client:
        for byte in "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n":
            client.send(byte)
        assert client.read_response().body == b"ok\n"
    with Raw(port_of(gate)) as client:
        client.send("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 3)
        assert client.read_response().body == b"ok\n"
        assert client.read_to_end() == b""


def test_ready_until_it_drains(make_gate, echo):
    gate = make_gate(args=[*METRICS, "--drain-timeout", "60s", "--close-timeout", "60s"])
    port = port_of(gate)
    assert ask(port, "/readyz").body == b"ok\n"
    refused = ask(port, "/readyz?handlers")
    assert (refused.status, refused.body) == (503, b"route echo: no handler\n")
    handler = echo(gate, "python")
    assert ask(port, "/readyz?handlers").status == 200
    with Raw(gate.port) as client:
        client.upgrade("/echo")
        gate.signal(signal.SIGTERM)
        assert client.read_close()[0] == 1001
        refused = ask(port, "/readyz")
        assert (refused.status, refused.body) == (503, b"draining\n")
        assert ask(port, "/readyz", "HEAD").status == 503
        assert ask(port, "/healthz").status == 200
        assert scrape(gate)("wsbus_gate_draining") == 1
    gate.process.wait(DEADLINE)
    assert gate.process.returncode == 0
    handler.stop()


def test_many_connections_and_slow_ones_keep_nobody_out(gate):
    """They are bounded: the oldest makes room, and probes are answered."""
    port = port_of(gate)
    descriptors = "/proc/%d/fd" % gate.pid
    before = len(list(pathlib.Path(descriptors).iterdir()))
    waiting = [Raw(port) for _ in range(100)]
    try:
        for client in waiting[::2]:
            client.send("GET /metrics HTTP/1.1\r\n")
        assert ask(port, "/healthz").status == 200
        assert len(list(pathlib.Path(descriptors).iterdir())) <= before + 16
        scrape(gate)
        assert waiting[0].read_to_end() == b"", "it had to make room"
    finally:
        for client in waiting:
            client.close()


def test_many_routes_and_a_scraper_that_does_not_read(make_gate, processes, tmp_path, echo):
    conf = tmp_path / "wsgate.conf"
    conf.write_text("".join('route "r%d" { path = "/r%d" }\n' % (i, i) for i in range(1000)))
    gate = make_gate(args=[*METRICS, "-c", conf])
    echo(gate, "python")
    port = port_of(gate)
    slow = [Raw(port, receive_buffer=4096) for _ in range(8)]
    try:
        for client in slow:
            client.send("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        with Raw(gate.port) as client:
            client.upgrade("/echo")
            assert client.ask("while they do not read") == "while they do not read"
        samples = scrape(gate).samples
        assert len({dict(labels)["route"] for name, labels in samples if name == "wsbus_route_in_messages_total"}) == 1001
        whole = slow[-1].read_response()
        assert len(parse(whole.body.decode())) > 30000
    finally:
        for client in slow:
            client.close()


def test_on_a_unix_socket(make_gate, tmp_path):
    path = tmp_path / "metrics.sock"
    gate = make_gate(args=["--metrics", "unix:%s" % path])
    assert path.stat().st_mode & 0o777 == 0o600
    assert Scraped(ask(str(path), "/metrics").body.decode()).names()
    assert gate.stop() == 0
    assert not path.exists()


def check(*args):
    return subprocess.run([WSGATE, "-t", "--listen", "127.0.0.1:0", "--route", "echo=/echo", *map(str, args)], capture_output=True, text=True, timeout=DEADLINE)


@pytest.mark.parametrize("address", ["localhost:9464", "9464", "", "::1:9464", "*:65536", "fd:metrics", "tcp://127.0.0.1:9464"])
def test_what_is_no_address(address):
    run = check("--metrics", address)
    assert run.returncode == 2 and run.stderr.startswith("wsgate: --metrics: '%s' is " % address), run.stderr


@pytest.mark.parametrize("address, is_open", [("0.0.0.0:9464", True), ("*:9464", True), ("[::]:9464", True), ("192.0.2.1:9464", True),
                                              ("127.0.0.1:9464", False), ("127.9.9.9:9464", False), ("[::1]:9464", False), ("unix:/tmp/y", False)])
def test_a_warning_where_other_machines_can_read_them(address, is_open, token_file):
    run = check("--metrics", address)
    assert run.returncode == 0 and ("metrics: '%s' is open to other machines, and tells whoever asks" % address in run.stderr) == is_open
    assert is_open or not run.stderr
    run = check("--metrics", address, "--metrics-token", token_file)
    assert run.returncode == 0 and ("metrics: '%s' is open to other machines; " % address in run.stderr) == is_open
    assert is_open or not run.stderr


TOKEN = "s3cret-of-the-scraper._~+/=="


@pytest.fixture
def token_file(tmp_path):
    path = tmp_path / "metrics.token"
    path.touch(mode=0o600)
    path.write_text(TOKEN + "\n")
    return path


def bearer(token):
    return "Authorization: Bearer %s\r\n" % token


def test_for_other_machines(make_gate, token_file):
    """A kubelet comes without a token, and whoever reads names of routes comes with one."""
    gate = make_gate(args=["--metrics", "0.0.0.0:0", "--metrics-token", token_file])
    port = int(gate.wait_line(r'level=warn .*msg="metrics are open to other machines" at=0\.0\.0\.0:(\d+) token=yes').group(1))
    for path, method in (("/metrics", "GET"), ("/metrics", "HEAD"), ("/metrics?x", "GET")):
        refused = ask(port, path, method)
        assert (refused.status, refused.headers["www-authenticate"]) == (401, "Bearer")
        assert b"wsbus" not in refused.body
    for wrong in (bearer(TOKEN[:-1]), bearer(TOKEN + "="), bearer(TOKEN.upper()), bearer(""), bearer("x" * 4000), "Authorization: Basic %s\r\n" % TOKEN,
                  "Authorization: %s\r\n" % TOKEN, bearer(TOKEN) * 2, bearer(TOKEN) + bearer("x"), "X-Authorization: Bearer %s\r\n" % TOKEN):
        assert ask(port, "/metrics", extra=wrong).status == 401, wrong
    refused = 13
    assert gate.wsctl("stats")["gate"]["refused_by"]["token"] == refused
    for why in ("no token", "not the token", "more than one Authorization"):
        gate.wait_line('msg="metrics refused" why="%s"' % why)
    assert TOKEN not in gate.output
    right = ask(port, "/metrics", extra=bearer(TOKEN).replace("Bearer", "bearer"))
    assert right.status == 200
    assert Scraped(right.body.decode())("wsbus_gate_refused_connections_total", reason="token") == refused
    assert ask(port, "/metrics", "HEAD", bearer(TOKEN)).status == 200
    assert ask(port, "/metrics", "POST", "Content-Length: 0\r\n").status == 405
    for path in ("/healthz", "/readyz"):
        assert (ask(port, path).status, ask(port, path).body) == (200, b"ok\n")
    assert ask(port, "/nothing").status == 404


def test_without_a_token_for_other_machines(make_gate):
    gate = make_gate(args=["--metrics", "*:0"])
    port = int(gate.wait_line(r'level=warn .*msg="metrics are open to other machines" at=\S+:(\d+) token=no').group(1))
    assert ask(port, "/metrics").status == 200


def test_the_token_is_read_anew(make_gate, token_file):
    gate = make_gate(args=[*METRICS, "--metrics-token", token_file])
    port = port_of(gate)
    assert "open to other machines" not in gate.output
    assert ask(port, "/metrics", extra=bearer(TOKEN)).status == 200
    token_file.write_text("another-one-that-is-new")
    assert ask(port, "/metrics", extra=bearer(TOKEN)).status == 200
    gate.wsctl("reload")
    assert ask(port, "/metrics", extra=bearer(TOKEN)).status == 401
    assert ask(port, "/metrics", extra=bearer("another-one-that-is-new")).status == 200
    for spoil in (lambda: token_file.write_text("short"), lambda: token_file.write_text("two of them are-not-one-token"), lambda: token_file.write_text(""),
                  lambda: token_file.write_text("x" * 5000), lambda: (token_file.write_text(TOKEN), token_file.chmod(0o640)), token_file.unlink):
        spoil()
        told = 'msg="files not taken" why="metrics_token: %s: ' % token_file
        before = gate.output.count(told)
        gate.signal(signal.SIGHUP)
        eventually(lambda told=told, before=before: gate.output.count(told) == before + 1, "that file to be refused")
        assert ask(port, "/metrics", extra=bearer("another-one-that-is-new")).status == 200
        assert ask(port, "/metrics", extra=bearer(TOKEN)).status == 401


@pytest.mark.parametrize("text, mode, why", [
    ("", 0o600, "a token has 16 to 1024 characters, and here are 0"), ("short", 0o600, "a token has 16 to 1024 characters, and here are 5"),
    ("two of them are-not-one-token", 0o600, "not one token: letters, digits and"), (TOKEN, 0o604, r"others than its owner can read it (mode 0604)"),
    (TOKEN, 0o660, "others than its owner can read it (mode 0660)"), (None, 0, "cannot be read: No such file or directory")])
def test_a_file_that_has_no_token(tmp_path, text, mode, why):
    path = tmp_path / "file"
    if text is not None:
        path.write_text(text)
        path.chmod(mode)
    run = check(*METRICS, "--metrics-token", path)
    assert run.returncode == 2 and run.stderr.startswith("wsgate: --metrics-token: %s: %s" % (path, why)), run.stderr


def test_a_token_for_nothing(token_file):
    run = check("--metrics-token", token_file)
    assert (run.returncode, run.stderr) == (2, "wsgate: --metrics-token: metrics is missing, the address where they are served\n")


def test_a_port_that_is_taken(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = "127.0.0.1:%d" % other.getsockname()[1]
        run = subprocess.run([WSGATE, "--runtime-dir", tmp_path / "run", "--listen", "127.0.0.1:0", "--metrics", address],
                             capture_output=True, text=True, timeout=DEADLINE)
    assert run.returncode == 1 and "cannot listen on %s: Address already in use" % address in run.stderr
