"""The bus on TCP: plain on loopback, with keys everywhere, and nobody gets in who should not."""

import contextlib
import json
import os
import random
import socket
import struct
import subprocess

import pytest
import zmq

from conftest import BUILD, DEADLINE, eventually
from raw import Raw

WSGATE = str(BUILD / "wsgate" / "wsgate")
HEADER = struct.Struct("<BBBBIQQQ")
WELCOME, DATA, OUTCOME, PING_EV, ERROR, MEMBERS = 1, 3, 9, 12, 15, 16
HELLO, SEND, PUBLISH, BYE, LIST = 64, 69, 73, 80, 81
ANY = ["--bus-handlers", "tcp://127.0.0.1:*", "--bus-events", "tcp://127.0.0.1:0", "--bus-commands", "tcp://localhost:*"]


def pack(kind, payload=b"", meta=None, code=0, conn=0, flags=0):
    parts = [HEADER.pack(1, kind, code, flags | (meta is not None), len(payload), conn, 0, 0), payload]
    return parts + ([json.dumps(meta).encode()] if meta is not None else [])


class Peer:
    """A ZeroMQ socket of the test's own, with a context of its own."""

    def __init__(self, kind, endpoint, keys=None, server_key=None, **options):
        self.context = zmq.Context()
        self.socket = self.context.socket(kind)
        self.socket.linger = 0
        if keys:
            self.socket.curve_publickey, self.socket.curve_secretkey = keys
            self.socket.curve_serverkey = server_key
        for name, value in options.items():
            setattr(self.socket, name, value)
        self.monitor = self.socket.get_monitor_socket()
        self.socket.connect(endpoint)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.disable_monitor()
        self.context.destroy(linger=0)

    def say(self, *args, **kwargs):
        self.socket.send_multipart(pack(*args, **kwargs))

    def hear(self, kind):
        """The next message of this kind; pings are not what anybody waits for."""
        while True:
            assert self.socket.poll(DEADLINE * 1000), "nothing came"
            head, payload, *meta = self.socket.recv_multipart()
            fields = HEADER.unpack(head)
            if fields[1] == kind:
                return fields, payload, json.loads(meta[0]) if meta else {}
            assert fields[1] in (PING_EV, 2, 4), fields

    def hello(self, *routes):
        self.say(HELLO, meta={"routes": list(routes)})
        return self.hear(WELCOME)[2]

    def wait_event(self, *events):
        """Until ZeroMQ says one of these of the connection."""
        while True:
            assert self.monitor.poll(DEADLINE * 1000), "ZeroMQ said nothing"
            head, _ = self.monitor.recv_multipart()
            event = struct.unpack("=HI", head)[0]
            if event in events:
                return event


REFUSED = (zmq.EVENT_HANDSHAKE_FAILED_AUTH, zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL, zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL,
           zmq.EVENT_DISCONNECTED)


def endpoints(gate):
    return {one["channel"]: one["endpoint"] for one in gate.wsctl("status")["bus"]}


def echo_over(handler, gate, text="over the wire"):
    """A client says something, the handler answers it."""
    with Raw(gate.port) as client:
        client.upgrade("/echo")
        client.say(text)
        fields, payload, _ = handler.hear(DATA)
        assert payload.decode() == text
        handler.say(SEND, payload, code=fields[2], conn=fields[5])
        assert client.read_message() == text


def make_key(path):
    run = subprocess.run([WSGATE, "--make-key", str(path)], capture_output=True, text=True, timeout=DEADLINE)
    assert run.returncode == 0 and run.stderr == "", run.stderr
    return run.stdout.strip().encode()


def read_key(path):
    """The pair of a key file that wsgate made."""
    lines = path.read_text().splitlines()
    secret = next(line for line in lines if len(line) == 40).encode()
    return zmq.curve_public(secret), secret


@pytest.fixture
def keys(tmp_path):
    """Keys for a gate, and for two handlers: `any` may serve all routes, `chat` only that one."""
    names = ("gate", "any", "chat", "stranger")
    public = {name: make_key(tmp_path / name) for name in names}
    (tmp_path / "clients").write_text(
        "# who may come in\n\n%s   # any route\n%s\tchat other\n" % (public["any"].decode(), public["chat"].decode()))
    os.chmod(tmp_path / "clients", 0o600)
    pairs = {name: read_key(tmp_path / name) for name in names}
    pairs["args"] = ["--curve-secret", tmp_path / "gate", "--curve-clients", tmp_path / "clients"]
    pairs["server"] = public["gate"]
    return pairs


@pytest.fixture
def guarded(make_gate, keys):
    return make_gate(routes=("echo=/echo", "chat=/chat,deliver=publish", "other=/other"), args=[*ANY, *keys["args"]])


# ---------------------------------------------------------------------- plain


def test_a_handler_on_loopback_without_keys(make_gate):
    gate = make_gate(args=ANY)
    at = endpoints(gate)
    assert sorted(at) == ["commands", "events", "handlers"]
    assert all(one.startswith("tcp://127.0.0.1:") and int(one.rsplit(":", 1)[1]) for one in at.values()), at
    assert gate.output.count("bus on tcp") == 3 and at["handlers"] in gate.output
    with Peer(zmq.DEALER, at["handlers"]) as handler:
        assert handler.hello("echo")["routes"] == ["echo"]
        echo_over(handler, gate)
        handler.say(BYE)
        gate.wait_handlers("echo", 0)


def test_both_doors_of_a_gate_lead_to_the_same_place(make_gate, echo):
    gate = make_gate(args=ANY)
    echo(gate, "python")
    with Peer(zmq.DEALER, endpoints(gate)["handlers"]) as handler:
        handler.hello("echo")
        gate.wait_handlers("echo", 2)


def test_ipv6(make_gate):
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    gate = make_gate(args=["--bus-handlers", "tcp://[::1]:*"])
    at = endpoints(gate)["handlers"]
    assert at.startswith("tcp://[::1]:")
    with Peer(zmq.DEALER, at, ipv6=True) as handler:
        handler.hello("echo")
        echo_over(handler, gate)


def test_the_library_over_tcp(make_gate, processes):
    gate = make_gate(args=ANY)
    processes([BUILD / "examples" / "wsbus-echo", "--bus", endpoints(gate)["handlers"], "--route", "echo"])
    gate.wait_handlers("echo", 1)
    with Raw(gate.port) as client:
        client.upgrade("/echo")
        client.say("c")
        assert client.read_message() == "c"


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def test_a_gate_that_comes_back(make_gate, tmp_path):
    args = ["--bus-handlers", "tcp://127.0.0.1:%d" % free_port()]
    gate = make_gate(directory=tmp_path / "run", args=args)
    with Peer(zmq.DEALER, endpoints(gate)["handlers"]) as handler:
        epoch = handler.hello("echo")["epoch"]
        assert gate.stop() == 0
        gate = make_gate(directory=tmp_path / "run", args=args)
        assert handler.hello("echo")["epoch"] != epoch
        echo_over(handler, gate)


def test_a_port_that_is_taken(make_gate, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        endpoint = "tcp://127.0.0.1:%d" % other.getsockname()[1]
        run = subprocess.run([WSGATE, "--runtime-dir", tmp_path / "run", "--listen", "127.0.0.1:0", "--bus-handlers", endpoint],
                             capture_output=True, text=True, timeout=DEADLINE)
    assert run.returncode == 1
    assert "cannot bind %s: Address already in use" % endpoint in run.stderr


@pytest.mark.parametrize("endpoint", ["tcp://*:5555", "tcp://0.0.0.0:5555", "tcp://[::]:*", "tcp://192.0.2.1:5555", "tcp://[2001:db8::1]:1"])
@pytest.mark.parametrize("flag", ["handlers", "events", "commands"])
def test_without_keys_only_loopback(flag, endpoint, tmp_path):
    for test in ([], ["-t"]):
        run = subprocess.run([WSGATE, *test, "--runtime-dir", tmp_path / "run", "--listen", "127.0.0.1:0", "--bus-" + flag, endpoint],
                             capture_output=True, text=True, timeout=DEADLINE)
        assert run.returncode == 2
        assert run.stderr == (
            "wsgate: bus: %s: '%s' is open to other machines: take 127.0.0.1 or [::1], or let in who has a key: "
            "curve_secret and curve_clients, see wsgate.conf(5)\n" % (flag, endpoint))
    assert not (tmp_path / "run").exists()


# ----------------------------------------------------------------------- keys


def test_echo_with_a_key(guarded, keys):
    at = guarded.wsctl("status")["bus"]
    assert {one["server_key"] for one in at} == {keys["server"].decode()}
    with Peer(zmq.DEALER, endpoints(guarded)["handlers"], keys["any"], keys["server"]) as handler:
        handler.hello("echo")
        echo_over(handler, guarded)
    guarded.wait_handlers("echo", 0)  # it left without a word


def test_local_peers_need_no_key(guarded, keys, echo, take_seat):
    echo(guarded, "python")
    with Peer(zmq.DEALER, endpoints(guarded)["handlers"], keys["any"], keys["server"]) as handler:
        handler.hello("echo")
        guarded.wait_handlers("echo", 2)


def test_a_key_that_is_not_listed(guarded, keys):
    at = endpoints(guarded)
    for channel, kind in (("handlers", zmq.DEALER), ("events", zmq.SUB), ("commands", zmq.PUSH)):
        with Peer(kind, at[channel], keys["stranger"], keys["server"]) as stranger:
            assert stranger.wait_event(zmq.EVENT_HANDSHAKE_SUCCEEDED, *REFUSED) != zmq.EVENT_HANDSHAKE_SUCCEEDED
    line = guarded.wait_line("msg=\"key refused\"").string
    assert 'key="%s"' % keys["stranger"][0].decode().replace("\\", "\\\\") in line or keys["stranger"][0].decode() in line, line
    assert "address=127.0.0.1" in line
    assert guarded.wsctl("stats")["bus"]["keys_refused"] >= 3


def test_a_client_that_takes_another_for_the_gate(guarded, keys):
    with Peer(zmq.DEALER, endpoints(guarded)["handlers"], keys["any"], keys["stranger"][0]) as handler:
        assert handler.wait_event(zmq.EVENT_HANDSHAKE_SUCCEEDED, *REFUSED) != zmq.EVENT_HANDSHAKE_SUCCEEDED
    assert guarded.wsctl("handlers")["handlers"] == []


def test_a_client_without_keys(guarded):
    at = endpoints(guarded)
    for channel, kind in (("handlers", zmq.DEALER), ("events", zmq.SUB), ("commands", zmq.PUSH)):
        with Peer(kind, at[channel]) as plain:
            assert plain.wait_event(zmq.EVENT_HANDSHAKE_SUCCEEDED, *REFUSED) != zmq.EVENT_HANDSHAKE_SUCCEEDED


def test_a_key_for_some_routes_gets_no_events(guarded, keys):
    at = endpoints(guarded)["events"]
    with Peer(zmq.SUB, at, keys["chat"], keys["server"]) as limited:
        assert limited.wait_event(zmq.EVENT_HANDSHAKE_SUCCEEDED, *REFUSED) != zmq.EVENT_HANDSHAKE_SUCCEEDED
    with Peer(zmq.DEALER, endpoints(guarded)["handlers"], keys["chat"], keys["server"]) as limited:
        assert limited.wait_event(zmq.EVENT_HANDSHAKE_SUCCEEDED, *REFUSED) == zmq.EVENT_HANDSHAKE_SUCCEEDED


def test_a_routing_id_of_ones_own_is_not_taken_with_a_key(guarded, keys):
    """Whoever else is on the list could take the place of one that is known."""
    at = endpoints(guarded)["handlers"]
    malformed = guarded.wsctl("stats")["bus"]["malformed"]
    with Peer(zmq.DEALER, at, keys["any"], keys["server"], routing_id=b"h1") as handler:
        handler.say(HELLO, meta={"routes": ["echo"]})
        eventually(lambda: guarded.wsctl("stats")["bus"]["malformed"] == malformed + 1, "the gate to count it")
    assert guarded.wsctl("handlers")["handlers"] == []


def test_subscribers_at_both_doors(guarded, keys):
    """Each gets every copy, and keeps getting them when the other one leaves."""
    local = "ipc://%s/events" % guarded.dir
    with contextlib.ExitStack() as stack:
        far = stack.enter_context(Peer(zmq.SUB, endpoints(guarded)["events"], keys["any"], keys["server"]))
        near = Peer(zmq.SUB, local)
        for subscriber in (far, near):
            subscriber.socket.subscribe(b"chat data")

        client = stack.enter_context(Raw(guarded.port))
        client.upgrade("/chat")
        number = 0

        def arrives_at(subscriber):
            """Say things until one arrives: a subscription takes a moment."""
            nonlocal number
            number += 1
            client.say(str(number))
            return subscriber.socket.poll(50)

        for subscriber in (far, near):
            eventually(lambda: arrives_at(subscriber), "an event")
        last = str(number).encode()
        for subscriber in (far, near):
            while True:
                assert subscriber.socket.poll(DEADLINE * 1000)
                topic, head, payload, *_ = subscriber.socket.recv_multipart()
                assert topic == b"chat data"
                if payload == last:
                    break
        with near:
            pass  # it leaves
        for _ in range(20):
            number += 1
            client.say(str(number))
            assert far.socket.poll(DEADLINE * 1000), "the other one's leaving took it along"
            assert far.socket.recv_multipart()[2] == str(number).encode()


def test_commands_with_a_key(guarded, keys, take_seat):
    seat = take_seat(guarded, ["echo"])
    with Raw(guarded.port) as client, Peer(zmq.PUSH, endpoints(guarded)["commands"], keys["any"], keys["server"]) as pusher:
        client.upgrade("/echo")
        conn = seat.hear("open").conn
        pusher.say(SEND, b"pushed", code=1, conn=conn)
        assert client.read_message() == "pushed"


def test_a_key_serves_and_commands_only_its_routes(guarded, keys, take_seat):
    """`chat` is for chat and other: echo, whoever serves it, is none of its business."""
    seat = take_seat(guarded, ["echo", "other"])
    at = endpoints(guarded)
    with contextlib.ExitStack() as stack:
        echo_client, other_client = stack.enter_context(Raw(guarded.port)), stack.enter_context(Raw(guarded.port))
        echo_client.upgrade("/echo")
        other_client.upgrade("/other")
        conns = {}
        for _ in range(2):
            event = seat.hear("open")
            conns[event.meta["route"]] = event.conn
            seat.join(event.conn, "everybody")
        seat.flush()
        eventually(lambda: guarded.wsctl("groups")["groups"] == [{"name": "everybody", "count": 2}], "both in the group")
        limited = stack.enter_context(Peer(zmq.DEALER, at["handlers"], keys["chat"], keys["server"]))
        limited.say(HELLO, meta={"routes": ["echo"]})
        fields, text, _ = limited.hear(ERROR)
        assert fields[2] == 6 and b"not for your key" in text
        assert limited.hello("other")["routes"] == ["other"]

        limited.say(SEND, b"no", code=1, conn=conns["echo"], flags=8)
        fields, _, meta = limited.hear(OUTCOME)
        assert (fields[2], meta["reason"]) == (5, "your key is not for its route")
        limited.say(SEND, b"to both", code=1, meta={"to": ["%016x" % conn for conn in conns.values()]})
        assert other_client.read_message() == "to both"
        limited.say(PUBLISH, b"to all", code=1, meta={"all": True})
        assert other_client.read_message() == "to all"
        limited.say(PUBLISH, b"to echo", code=1, meta={"route": "echo"})
        assert b"not for this route" in limited.hear(ERROR)[1]
        limited.say(LIST, meta={"group": "everybody"})
        assert limited.hear(MEMBERS)[2]["members"] == ["%016x" % conns["other"]]
        pusher = stack.enter_context(Peer(zmq.PUSH, at["commands"], keys["chat"], keys["server"]))
        pusher.say(PUBLISH, b"pushed", code=1, meta={"group": "everybody"})
        assert other_client.read_message() == "pushed"
        seat.send(conns["echo"], "the first it hears")
        seat.flush()
        assert echo_client.read_message() == "the first it hears"


# ------------------------------------------------------------------- rubbish


@pytest.mark.parametrize("with_keys", [False, True])
def test_rubbish_at_the_ports(make_gate, keys, with_keys, echo):
    gate = make_gate(args=[*ANY, *(keys["args"] if with_keys else [])], routes=("echo=/echo", "chat=/chat", "other=/other"))
    echo(gate, "python")
    chance = random.Random(5)
    greeting = b"\xff" + b"\0" * 8 + b"\x7f\x03\x01" + (b"CURVE" if with_keys else b"NULL").ljust(20, b"\0") + b"\0" + b"\0" * 31
    pieces = [b"GET / HTTP/1.1\r\n\r\n", greeting, greeting + b"\x04\xff" + b"\x05READY" * 20, greeting + b"\x06" + b"\xff" * 8,
              greeting + b"\x04\xc8\x05HELLO" + b"\1\0" + b"A" * 192, b"\0" * 10000, b"\xff" * 10000]
    pieces += [greeting[:chance.randrange(65)] + chance.randbytes(chance.randrange(400)) for _ in range(60)]
    for endpoint in endpoints(gate).values():
        port = int(endpoint.rsplit(":", 1)[1])
        for piece in pieces:
            with socket.create_connection(("127.0.0.1", port), DEADLINE) as peer, contextlib.suppress(OSError):
                peer.sendall(piece)
                peer.shutdown(socket.SHUT_WR)
    with Raw(gate.port) as client:
        client.upgrade("/echo")
        client.say("still there")
        assert client.read_message() == "still there"
    kwargs = {"keys": keys["any"], "server_key": keys["server"]} if with_keys else {}
    with Peer(zmq.DEALER, endpoints(gate)["handlers"], **kwargs) as handler:
        handler.hello("echo")


# -------------------------------------------------------------- configuration


def start_with(tmp_path, *args):
    return subprocess.run(
        [WSGATE, "-t", "--listen", "127.0.0.1:0", "--route", "echo=/echo", "--bus-handlers", "tcp://*:*", *map(str, args)],
        capture_output=True, text=True, timeout=DEADLINE)


def test_make_key(tmp_path):
    path = tmp_path / "key"
    public = make_key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert zmq.curve_public(read_key(path)[1]) == public
    assert public.decode() in path.read_text(), "the comment says it as well"
    before = path.read_bytes()
    again = subprocess.run([WSGATE, "--make-key", str(path)], capture_output=True, text=True, timeout=DEADLINE)
    assert (again.returncode, again.stdout) == (1, "") and "File exists" in again.stderr
    assert path.read_bytes() == before, "a key is never overwritten"


def test_bad_key_files(tmp_path):
    secret, clients = tmp_path / "secret", tmp_path / "clients"
    public = make_key(secret).decode()

    def refused(message, secret=secret):
        run = start_with(tmp_path, "--curve-secret", secret, "--curve-clients", clients)
        assert run.returncode == 2 and message in run.stderr, run.stderr
        assert run.stderr.count("\n") == 1

    refused("clients: cannot be read: No such file or directory")
    clients.write_text(public + " echo\n")
    clients.chmod(0o622)
    refused("clients: others than its owner can write it (mode 0622): chmod 0600 it")
    clients.chmod(0o644)
    assert start_with(tmp_path, "--curve-secret", secret, "--curve-clients", clients).returncode == 0

    for mode in (0o640, 0o604):
        secret.chmod(mode)
        refused("secret: others than its owner can read it (mode %04o): chmod 0600 it" % mode)
    secret.chmod(0o600)
    refused("not a file", tmp_path)
    refused("cannot be read: No such file or directory", tmp_path / "none")

    for text, message in (("", "clients: there is no key in it: nobody could come in"), ("# nobody\n", "there is no key in it"),
                          ("\n%s echo ecko\n" % public, "clients: there is no route 'ecko'"),
                          ("%s\n\n%s echo\n" % (public, public), "clients: line 3: the key of line 1 again"),
                          (public[:-1] + "\n", "clients: line 1: it does not begin with a key, 40 characters of Z85"),
                          ("# a\n" + "~" * 40, "clients: line 2: it does not begin with a key"),
                          (public + " a,b", "clients: line 1: what follows a key are names of routes")):
        clients.write_text(text)
        refused(message)
    clients.write_text(public)
    secret.write_text("# none\n")
    refused("secret: there is no key in it")
