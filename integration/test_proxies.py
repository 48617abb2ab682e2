"""Behind Debian's nginx and HAProxy, with the configurations of packaging/proxy/ as they stand there, but for ports and paths."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess

import pytest

from conftest import BUILD, DEADLINE, PYTHON, ROOT, Gate, eventually
from raw import PING, PONG, Raw, close_frame, frame

PROXY = ROOT / "packaging" / "proxy"
HANDLER = """
import json, sys
from wsbus import Handler
peers = {}
with Handler(routes=["web"], bus=sys.argv[1], name=sys.argv[2]) as bus:
    for event in bus:
        if event.type == "open":
            peers[event.conn] = event.meta
        if event.type == "data" and event.payload == b"who":
            meta = peers[event.conn]
            bus.send(event.conn, json.dumps({"gate": sys.argv[2], **{key: meta.get(key) for key in ("peer", "scheme", "proxy")}}))
        elif event.type == "data" and event.payload != b"no answer":
            bus.send(event.conn, event.payload, event.opcode)
        elif event.type == "request" and event.meta["path"] == "/events":
            stream = event.conn
            bus.respond(stream, b"data: first\\n\\n", headers={"content-type": "text/event-stream"}, more=True)
        elif event.type == "request" and event.meta["path"] == "/end":
            bus.body(stream, b"data: last\\n\\n", more=False)
            bus.respond(event.conn, b"ended")
        elif event.type == "request" and event.meta["method"] == "POST":
            bus.respond(event.conn, b"%d" % len(event.payload)) if not event.more else None
            size = len(event.payload)
        elif event.type == "request":
            told = {key: event.meta.get(key) for key in ("peer", "scheme", "request_id")}
            bus.respond(event.conn, json.dumps({"gate": sys.argv[2], **told}))
        elif event.type == "body":
            size += len(event.payload)
            if not event.more:
                bus.respond(event.conn, b"%d" % size)
"""
# Around a site, what Debian's /etc/nginx/nginx.conf is around those of sites-enabled/.
NGINX = """
%(user)s
worker_processes 1;
error_log stderr;
pid %(dir)s/nginx.pid;
events { worker_connections 256; }
http {
    access_log off;
    client_body_temp_path %(dir)s/body; proxy_temp_path %(dir)s/proxy; fastcgi_temp_path %(dir)s/f; uwsgi_temp_path %(dir)s/u; scgi_temp_path %(dir)s/s;
    include %(dir)s/site.conf;
}
"""


def program(name):
    """Debian keeps them where only root looks."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    assert found, "%s is missing: ./dev setup installs it" % name
    return found


def changed(text, changes):
    """The text with each key, which has to be there, replaced by its value."""
    for old, new in changes.items():
        assert old in text, "%r is not in the file any more" % old
        text = text.replace(old, new)
    return text


def listening():
    """A socket of a port that the kernel has chosen. The proxies inherit it, so that nobody else can take it."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(64)
    return listener


def shown_gate(name):
    """The configuration of the gate that the file shows in its head."""
    head = (PROXY / name).read_text().split("\n\n")[0]
    lines = [line[4:] for line in head.splitlines() if line.startswith("#   ")]
    assert any("trusted_proxies" in line for line in lines)
    return "\n".join(lines) + "\n"


class Site:
    """One or two gates, each with a handler that tells its name, and the proxy in front of them."""

    def __init__(self, kind, processes, tmp_path, pki):
        self.kind, self.processes, self.dir, self.pki = kind, processes, tmp_path, pki
        self.gates, self.handlers, self.sockets = [], [], []
        self.file = "nginx.conf" if kind == "nginx" else "haproxy.cfg"

    def add_gate(self, *args):
        name = "gate%d" % (len(self.gates) + 1)
        folder = self.dir / name
        folder.mkdir()
        text = shown_gate(self.file)
        if self.kind != "nginx":
            text = changed(text, {"127.0.0.1:9464": "127.0.0.1:0", "127.0.0.1:8080": "127.0.0.1:0", "127.0.0.1:8443": "[::1]:0",
                                  '"127.0.0.1"': '"127.0.0.1", "::1"', '"/etc/wsbus/tls.pem"': '"%s" keys = "%s"' % self.pki.local})
        (folder / "wsgate.conf").write_text(text)
        gate = Gate(folder / "run", args=["-c", folder / "wsgate.conf", *args], routes=["web=/{all*}"],
                    listen=["127.0.0.1:0"] if self.kind == "nginx" else [])
        self.processes.started.append(gate)
        ports = dict(re.findall(r"msg=listening address=(\S+):(\d+)", gate.output))
        gate.port, gate.tls_port = int(ports["127.0.0.1"]), int(ports.get("[::1]", 0))
        found = re.search(r"msg=metrics at=\S*:(\d+)", gate.output)
        gate.metrics_port = found and int(found.group(1))
        self.handlers.append(self.processes([PYTHON, "-c", HANDLER, gate.dir, name]))
        gate.wait_handlers("web", 1)
        self.gates.append(gate)
        return gate

    def listen(self):
        self.sockets.append(listening())
        return self.sockets[-1]

    def start(self, changes=None):
        return self.start_nginx(changes or {}) if self.kind == "nginx" else self.start_haproxy(changes or {})

    def start_nginx(self, changes):
        web = self.listen()
        line = "server 127.0.0.1:8080 max_fails=1 fail_timeout=2s;"
        self.port = web.getsockname()[1]
        site = changed((PROXY / self.file).read_text(), {
            "listen 80;": "listen 127.0.0.1:%d;" % self.port,
            line: "\n".join(line.replace("8080", str(gate.port)) for gate in self.gates), **changes})
        (self.dir / "site.conf").write_text(site)
        (self.dir / "nginx.conf").write_text(NGINX % {"dir": self.dir, "user": "user root;" if os.geteuid() == 0 else ""})
        self.proxy = self.processes([program("nginx"), "-p", self.dir, "-c", self.dir / "nginx.conf", "-g", "daemon off;"],
                                    env={"NGINX": "%d;" % web.fileno()}, pass_fds=[web.fileno()])
        return self

    def start_haproxy(self, changes):
        web, tls = self.listen(), self.listen()
        self.port, self.tls_port = web.getsockname()[1], tls.getsockname()[1]
        http = "server gate1 127.0.0.1:8080 check port 9464"
        passed = "server gate1 127.0.0.1:8443 send-proxy-v2 check port 9464"
        rest = " inter 1s fall 2 rise 2"

        def lines(line, port):
            return "\n".join((line + rest).replace("gate1", "gate%d" % (i + 1)).replace("9464", str(gate.metrics_port)).replace(*port(gate))
                             for i, gate in enumerate(self.gates))

        text = changed((PROXY / self.file).read_text(), {
            "bind :80\n": "bind fd@%d\n" % web.fileno(), "bind :443\n": "bind fd@%d\n" % tls.fileno(),
            http + rest: lines(http, lambda gate: ("8080", str(gate.port))),
            passed + rest: lines(passed.replace("check port", "check addr 127.0.0.1 port"), lambda gate: ("127.0.0.1:8443", "[::1]:%d" % gate.tls_port)),
            **changes})
        (self.dir / "haproxy.cfg").write_text(text)
        self.proxy = self.processes([program("haproxy"), "-db", "-f", self.dir / "haproxy.cfg"], pass_fds=[web.fileno(), tls.fileno()])
        return self

    def client(self, source="127.0.0.2"):
        """A connection through the proxy, from an address that is not the proxy's."""
        if self.kind == "haproxy-tls":
            return Raw(self.tls_port, source=source, tls=self.pki.client())
        return Raw(self.port, source=source)

    def websocket(self, **kwargs):
        return self.client().upgrade("/ws", **kwargs)


@pytest.fixture
def site(request, processes, tmp_path, pki):
    made = Site(request.param, processes, tmp_path, pki)
    yield made
    for listener in made.sockets:
        listener.close()


EACH = pytest.mark.parametrize("site", ["nginx", "haproxy", "haproxy-tls"], indirect=True)
BY_HEADER = pytest.mark.parametrize("site", ["nginx", "haproxy"], indirect=True)


def who(client):
    return json.loads(client.ask("who"))


def get(path="/", *headers):
    return "\r\n".join(["GET %s HTTP/1.1" % path, "Host: gate.test", *headers, "", ""])


def asked(site, *headers):
    """(status, what the handler tells of the request), on a connection of its own."""
    with site.client() as client:
        answer = client.send(get("/", *headers)).read_response()
        return answer.status, json.loads(answer.body) if answer.status == 200 else None


@EACH
def test_websockets(site):
    site.add_gate()
    site.start()
    with site.websocket() as client:
        told = who(client)
        assert told["peer"].startswith("127.0.0.2:")
        assert told["scheme"] == ("wss" if site.kind == "haproxy-tls" else "ws")
        assert client.ask("t\u00ebxt") == "t\u00ebxt"
        large = bytes(range(256)) * 4096
        assert client.ask(large) == large
        client.send(frame(1, "cut ", fin=False) + frame(9, "?") + frame(0, "in two"))
        assert client.read_frame()[2:] == (PONG, b"?")
        assert client.read_message() == "cut in two"
        client.send(close_frame(4001, "enough"))
        assert client.read_close() == (4001, "")
        client.expect_end()
    gate, = site.gates
    eventually(lambda: gate.wsctl("list", "--kind", "websocket")["total"] == 0, "the gate has seen the end")


@EACH
def test_http(site):
    site.add_gate()
    site.start()
    with site.client() as client:
        for _ in range(3):  # one connection
            told = json.loads(client.send(get("/")).read_response().body)
            assert told["peer"].startswith("127.0.0.2:")
            assert told["scheme"] == ("https" if site.kind == "haproxy-tls" else "http")
        body = b"x" * (3 << 20)
        client.send("POST /up HTTP/1.1\r\nHost: gate.test\r\nContent-Length: %d\r\n\r\n" % len(body)).send(body)
        assert client.read_response().body == b"%d" % len(body)
        client.send("POST /up HTTP/1.1\r\nHost: gate.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
        assert client.read_response().body == b"5"
        answer = client.send("HEAD / HTTP/1.1\r\nHost: gate.test\r\n\r\n").read_response("HEAD")
        assert answer.status == 200 and int(answer.headers["content-length"]) > 0
    with site.client() as client:
        assert client.send(get("/ws", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 12")).read_response().status in (400, 426)


@EACH
def test_events_are_not_held_back(site):
    site.add_gate()
    site.start()
    with site.client() as client, site.client() as other:
        client.send(get("/events"))
        status, headers = client.read_head()
        assert (status, headers["content-type"]) == (200, "text/event-stream")
        assert b"data: first" in client.read_until(b"first\n\n")  # while the response goes on
        assert other.send(get("/end")).read_response().body == b"ended"
        assert b"data: last" in client.read_until(b"last\n\n")


@EACH
def test_what_clients_say_of_themselves_is_not_believed(site):
    site.add_gate()
    site.start()
    lies = ["X-Forwarded-For: 192.0.2.7", "Forwarded: for=192.0.2.8", "X-Forwarded-Proto: wss", "X-Request-Id: mine"]
    status, told = asked(site, *lies)
    assert status == 200 and told["peer"].startswith("127.0.0.2:") and told["request_id"] != "mine"
    with site.client().upgrade("/ws", extra=lies) as client:
        assert who(client)["peer"].startswith("127.0.0.2:")
    if site.kind != "haproxy-tls":  # nobody stands between who speaks TLS and the gate
        assert told["scheme"] == "http"


@EACH
def test_a_drain_through_the_proxy(site):
    """One of two gates is drained: no request fails, no handshake does, and its clients are told to come again."""
    asks = site.kind != "nginx"  # whether gates are ready
    site.add_gate("--drain-delay", "1h" if asks else "0s", "--drain-timeout", "1h")
    site.add_gate()
    site.start()
    clients = {}

    def one_of_each():
        client = site.websocket()
        name = who(client)["gate"]
        if name in clients:
            client.close()
        else:
            clients[name] = client
        return len(clients) == 2

    eventually(one_of_each, "a client at each gate")
    first, second = site.gates
    first.signal(signal.SIGTERM)
    if asks:
        served = []

        def none_comes():
            status, told = asked(site)
            assert status == 200
            served.append(told["gate"])
            return len(served) >= 20 and "gate1" not in served[-20:]

        eventually(none_comes, "HAProxy sends nobody to the gate that drains")
        assert clients["gate1"].ask("still served") == "still served"
        first.signal(signal.SIGTERM)  # ends the delay
    for _ in range(20):
        status, told = asked(site)
        assert status == 200
    assert clients["gate1"].read_close() == (1001, "the gate is shutting down")
    clients["gate1"].send(close_frame(1001))
    clients["gate1"].close()
    assert first.process.wait(DEADLINE) == 0
    for _ in range(20):
        status, told = asked(site)
        assert (status, told["gate"]) == (200, "gate2")
        with site.websocket() as late:
            assert who(late)["gate"] == "gate2"
    assert clients["gate2"].ask("nothing happened") == "nothing happened"
    clients["gate2"].close()


# The same, faster: what is 75 s in the files is 3 s here, and the gate's pings come each 500 ms instead of 45 s.
FASTER = {"nginx": {"_read_timeout 75s": "_read_timeout 3s", "_send_timeout 75s": "_send_timeout 3s"},
          "haproxy": {"client 75s": "client 3s", "server 75s": "server 3s", "tunnel 75s": "tunnel 3s"}}


@EACH
def test_pings_keep_a_silent_connection(site):
    site.add_gate("--ping-interval", "500ms", "--ping-timeout", "10s")
    site.start(FASTER[site.kind.split("-")[0]])
    with site.websocket() as client:
        for _ in range(10):  # more than twice as long as the proxy waits
            ping = client.read_frame()
            assert ping.opcode == PING
            client.send(frame(PONG, ping.payload))
        assert client.ask("still there") == "still there"


@EACH
def test_one_direction_is_enough(site):
    """A client that only sends is not silent, and gets no pings: the proxy must not end it for the silence of the other side."""
    site.add_gate("--ping-interval", "0")
    site.start(FASTER[site.kind.split("-")[0]])
    with site.websocket() as client:
        for _ in range(10):  # more than the proxy waits
            client.say("no answer")
            assert client.is_quiet(0.5)
        assert client.ask("still there") == "still there"


@EACH
def test_without_pings_the_proxy_ends_a_silent_connection(site):
    """What the test above shows is the work of the pings."""
    site.add_gate("--ping-interval", "0")
    site.start(FASTER[site.kind.split("-")[0]])
    with site.websocket() as client:
        assert client.read_to_end() == b""
    gate, = site.gates
    eventually(lambda: gate.wsctl("list", "--kind", "websocket")["total"] == 0, "the gate has seen the end")


def seconds(text, *patterns):
    return [int(value) for pattern in patterns for value in re.findall(pattern, text, re.M)]


def default_of(flag):
    usage = subprocess.run([BUILD / "wsgate" / "wsgate", "--help"], capture_output=True, text=True, check=True).stdout
    return int(re.search(r"--%s TIME.*?\((\d+)s" % flag, usage, re.S).group(1))


@pytest.mark.parametrize("name, patterns", [
    ("nginx.conf", [r"^ *proxy_(?:read|send)_timeout (\d+)s;"]), ("haproxy.cfg", [r"^ *timeout (?:client|server|tunnel) (\d+)s"])])
def test_the_timeouts_fit_the_defaults_of_the_gate(name, patterns):
    text = (PROXY / name).read_text()
    longest = default_of("ping-interval") + default_of("ping-timeout")
    found = seconds(text, *patterns)
    assert len(found) >= 2 and min(found) > longest, "a proxy waits longer than the gate needs to find out that a client has gone"
    if name == "nginx.conf":
        assert seconds(text, r"^ *keepalive_timeout (\d+)s;")[0] < default_of("keepalive-timeout")
