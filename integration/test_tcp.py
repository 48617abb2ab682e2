"""The bus on TCP: plain on loopback, with keys everywhere, and nobody gets in who should not."""

import contextlib
import json
import os
import random
import re
import select
import socket
import struct
import subprocess
import threading

import pytest
import wsbus
import zmq

from conftest import BUILD, DEADLINE, PYTHON, ROOT, eventually
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


LANGUAGES = ("c", "python", "node")
NO_KEYS = {"WSBUS_SERVER_KEY": "", "WSBUS_KEY_FILE": ""}


def echo_command(language, address):
    """The echo example, as people start it."""
    program = {"c": [BUILD / "examples" / "wsbus-echo"], "python": [PYTHON, ROOT / "examples/python/echo.py"],
               "node": ["node", ROOT / "examples/node/echo.js"]}[language]
    return [*program, "--bus", address, "--route", "echo"]


def key_environment(directory, name, server_key):
    return {"WSBUS_SERVER_KEY": server_key.decode(), "WSBUS_KEY_FILE": str(directory / name)}


def assert_echo(gate, text):
    with Raw(gate.port) as client:
        client.upgrade("/echo")
        client.say(text)
        assert client.read_message() == text


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


def test_ipv6(make_gate, processes):
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
    gate.wait_handlers("echo", 0)
    for count, language in enumerate(LANGUAGES, 1):
        processes(echo_command(language, at), env=NO_KEYS)
        gate.wait_handlers("echo", count)


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
            "wsgate: --bus-%s: '%s' is open to other machines: take 127.0.0.1 or [::1], or let in who has a key: "
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
    with Peer(zmq.DEALER, at, keys["any"], keys["server"], routing_id=b"h1") as handler:
        handler.say(HELLO, meta={"routes": ["echo"]})
        eventually(lambda: guarded.wsctl("stats")["bus"]["peers_refused"]["identity"] > 0, "the gate to count it")
        guarded.wait_line('msg="peer refused" why="its routing id is .* beside a key"')
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
            seat.join(event.conn, "other:everybody")
        seat.flush()
        eventually(lambda: guarded.wsctl("groups")["groups"] == [{"name": "other:everybody", "count": 2}], "both in the group")
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
        assert b"not for this name" in limited.hear(ERROR)[1]
        limited.say(LIST, meta={"group": "other:everybody"})
        assert limited.hear(MEMBERS)[2]["members"] == ["%016x" % conns["other"]]
        pusher = stack.enter_context(Peer(zmq.PUSH, at["commands"], keys["chat"], keys["server"]))
        pusher.say(PUBLISH, b"pushed", code=1, meta={"group": "other:everybody"})
        assert other_client.read_message() == "pushed"
        seat.send(conns["echo"], "the first it hears")
        seat.flush()
        assert echo_client.read_message() == "the first it hears"


# ------------------------------------------------------------------- handlers


class Relay:
    """A port that leads to the gate's; tells how many connections ended, and all that passed."""

    def __init__(self, endpoint):
        self._port = int(endpoint.rsplit(":", 1)[1])
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = "tcp://127.0.0.1:%d" % self._listener.getsockname()[1]
        self.ended, self.bytes = 0, b""
        self._wakeup, self._end = socket.socketpair()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._wakeup.close()
        self._thread.join(DEADLINE)
        self._listener.close()
        self._end.close()

    def _run(self):
        pairs = {}  # each socket to the other one
        while True:
            for one in select.select([self._end, self._listener, *pairs], [], [])[0]:
                if one is self._end:
                    for each in pairs:
                        each.close()
                    return
                if one is self._listener:
                    handler, gate = one.accept()[0], socket.create_connection(("127.0.0.1", self._port))
                    pairs.update({handler: gate, gate: handler})
                elif one in pairs:
                    self._pass_on(one, pairs)

    def _pass_on(self, one, pairs):
        data = b""
        with contextlib.suppress(OSError):
            data = one.recv(65536)
            pairs[one].sendall(data)
        self.bytes += data
        if not data:
            self.ended += 1
            for each in (one, pairs[one]):
                del pairs[each]
                each.close()


@pytest.mark.parametrize("with_keys", [False, True], ids=["plain", "keys"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_echo_in_every_language(language, with_keys, make_gate, keys, tmp_path, processes):
    """With keys nobody on the way can read it."""
    gate = make_gate(args=[*ANY, *(keys["args"] if with_keys else [])], routes=("echo=/echo", "chat=/chat", "other=/other"))
    with Relay(endpoints(gate)["handlers"]) as relay:
        env = key_environment(tmp_path, "any", keys["server"]) if with_keys else NO_KEYS
        handler = processes(echo_command(language, relay.endpoint), env=env)
        gate.wait_handlers("echo", 1)
        assert_echo(gate, "said by %s" % language)
        assert handler.stop() == 0
        gate.wait_handlers("echo", 0)
        assert (b"said by" in relay.bytes) != with_keys


def test_handlers_with_keys_find_a_gate_that_comes_back(make_gate, keys, tmp_path, processes):
    args = ["--bus-handlers", "tcp://127.0.0.1:%d" % free_port(), *keys["args"]]
    routes = ("echo=/echo", "chat=/chat", "other=/other")
    gate = make_gate(directory=tmp_path / "run", args=args, routes=routes)
    for language in LANGUAGES:
        processes(echo_command(language, endpoints(gate)["handlers"]), env=key_environment(tmp_path, "any", keys["server"]))
    gate.wait_handlers("echo", len(LANGUAGES))
    assert gate.stop() == 0
    gate = make_gate(directory=tmp_path / "run", args=args, routes=routes)
    gate.wait_handlers("echo", len(LANGUAGES))
    assert_echo(gate, "again")


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_handler_that_takes_another_for_the_gate(language, guarded, keys, tmp_path, processes):
    with Relay(endpoints(guarded)["handlers"]) as relay:
        env = key_environment(tmp_path, "any", keys["stranger"][0])
        handler = processes(echo_command(language, relay.endpoint), env=env)
        eventually(lambda: relay.ended, "one of them to hang up")
        assert guarded.wsctl("handlers")["handlers"] == []
        assert handler.stop() == 0


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_handler_whose_key_is_not_listed(language, guarded, keys, tmp_path, processes):
    env = key_environment(tmp_path, "stranger", keys["server"])
    handler = processes(echo_command(language, endpoints(guarded)["handlers"]), env=env)
    guarded.wait_line("msg=\"key refused\"")
    assert guarded.wsctl("handlers")["handlers"] == []
    assert handler.stop() == 0


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_handler_that_is_listed_later(language, make_gate, keys, tmp_path, processes):
    """The gate reads its list when it starts; nobody has to start the handler again."""
    args = ["--bus-handlers", "tcp://127.0.0.1:%d" % free_port(), *keys["args"]]
    routes = ("echo=/echo", "chat=/chat", "other=/other")
    gate = make_gate(directory=tmp_path / "run", args=args, routes=routes)
    env = key_environment(tmp_path, "stranger", keys["server"])
    processes(echo_command(language, endpoints(gate)["handlers"]), env=env)
    gate.wait_line("msg=\"key refused\"")
    assert gate.stop() == 0
    with open(tmp_path / "clients", "ab") as clients:
        clients.write(keys["stranger"][0] + b"\n")
    gate = make_gate(directory=tmp_path / "run", args=args, routes=routes)
    gate.wait_handlers("echo", 1)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_handler_without_keys_where_they_are_wanted(language, guarded, processes):
    with Relay(endpoints(guarded)["handlers"]) as relay:
        handler = processes(echo_command(language, relay.endpoint), env=NO_KEYS)
        eventually(lambda: relay.ended, "one of them to hang up")
        assert guarded.wsctl("handlers")["handlers"] == []
        assert handler.stop() == 0


@pytest.mark.parametrize("has_keys_first", [True, False], ids=["keys-first", "keys-later"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_handler_for_whom_the_gate_has_keys_too_early_or_too_late(language, has_keys_first, make_gate, keys, tmp_path, processes):
    """Once it is the gate that is right, nobody has to start the handler again."""
    bind = ["--bus-handlers", "tcp://127.0.0.1:%d" % free_port()]
    routes = ("echo=/echo", "chat=/chat", "other=/other")
    wrong = make_gate(directory=tmp_path / "run", args=[*bind, *(keys["args"] if has_keys_first else [])], routes=routes)
    env = NO_KEYS if has_keys_first else key_environment(tmp_path, "any", keys["server"])
    handler = processes(echo_command(language, endpoints(wrong)["handlers"]), env=env)
    handler.wait_line("refuses the connection")
    wrong.wait_line("it has keys where none are wanted, or none where they are")
    assert wrong.stop() == 0
    right = make_gate(directory=tmp_path / "run", args=[*bind, *([] if has_keys_first else keys["args"])], routes=routes)
    right.wait_handlers("echo", 1)
    assert_echo(right, "at last")


SOME_KEY = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"  # Z85, but nobody's
BAD_KEYS = [  # WSBUS_SERVER_KEY, the text of WSBUS_KEY_FILE or None, its mode, what is said
    ("no key file", SOME_KEY, None, 0, "no key of our own: \\w+ or WSBUS_KEY_FILE"),
    ("no server key", "", SOME_KEY, 0o600, "not the gate's public key: \\w+ or WSBUS_SERVER_KEY"),
    ("a short server key", SOME_KEY[1:], SOME_KEY, 0o600, "the gate's public key is not 40 characters of Z85"),
    ("not Z85", SOME_KEY[1:] + "~", SOME_KEY, 0o600, "the gate's public key is not 40 characters of Z85"),
    ("more than 32 bits", "%%%%%" + SOME_KEY[5:], SOME_KEY, 0o600, "the gate's public key is not 40 characters of Z85"),
    ("a missing file", SOME_KEY, "missing", 0, "(?i)no such file or directory"),
    ("a directory", SOME_KEY, "directory", 0, "not a file|Is a directory"),
    ("open to the group", SOME_KEY, SOME_KEY, 0o640, r"key: others than its owner can read it \(mode 0640\): chmod 0600 it"),
    ("open to all", SOME_KEY, SOME_KEY, 0o604, r"key: others than its owner can read it \(mode 0604\): chmod 0600 it"),
    ("an empty file", SOME_KEY, "", 0o600, "key: there is no key in it"),
    ("comments only", SOME_KEY, "# %s\n\n" % SOME_KEY, 0o600, "key: there is no key in it"),
    ("two keys", SOME_KEY, "\n%s # one\n%s\n" % (SOME_KEY, SOME_KEY), 0o600, "key: line 3: a second key; there can be one only"),
    ("not a key", SOME_KEY, "# mine\nsecret\n", 0o600, "key: line 2: it does not begin with a key, 40 characters of Z85"),
    ("a list", SOME_KEY, "%s chat\n" % SOME_KEY, 0o600, "key: line 1: it does not begin with a key, 40 characters of Z85"),
    ("a key of more than 32 bits", SOME_KEY, "%%%%%" + SOME_KEY[5:], 0o600, "key: line 1: it does not begin with a key"),
]


@pytest.mark.parametrize("language", LANGUAGES)
def test_bad_keys_of_handlers(language, tmp_path):
    """None of them starts, and each says why; the secret is in none of it."""
    for name, server_key, text, mode, why in BAD_KEYS:
        path = {None: "", "missing": tmp_path / "missing", "directory": tmp_path}.get(text, tmp_path / "key")
        if mode:
            path.write_text(text)
            path.chmod(mode)
        run = subprocess.run(echo_command(language, "tcp://127.0.0.1:1"), capture_output=True, text=True, timeout=DEADLINE,
                             env={**os.environ, "WSBUS_SERVER_KEY": server_key, "WSBUS_KEY_FILE": str(path)})
        assert run.returncode == 1, (name, run)
        assert re.search(why, run.stderr), (name, run.stderr)
        assert SOME_KEY not in run.stderr, name


def test_keys_of_the_environment_are_not_for_local_handlers(make_gate, tmp_path, processes):
    gate = make_gate()
    for count, language in enumerate(LANGUAGES, 1):
        processes(echo_command(language, gate.dir), env={"WSBUS_SERVER_KEY": "nonsense", "WSBUS_KEY_FILE": str(tmp_path / "missing")})
        gate.wait_handlers("echo", count)


def test_keys_as_arguments_in_python(guarded, keys, tmp_path, monkeypatch):
    """They win over the environment. The C library's are in the unit tests."""
    monkeypatch.setenv("WSBUS_SERVER_KEY", "nonsense")
    monkeypatch.setenv("WSBUS_KEY_FILE", str(tmp_path / "missing"))
    good = {"server_key": keys["server"].decode(), "key_file": tmp_path / "any"}
    with wsbus.Handler(["echo"], endpoints(guarded)["handlers"], context=zmq.Context(), **good) as handler:
        event = handler.read(DEADLINE * 1000)
        assert event.type == "welcome"
    for make in (lambda bus, **more: wsbus.Handler(["echo"], bus, **more), lambda bus, **more: wsbus.Subscriber([""], bus, **more),
                 wsbus.Commander):
        for bus in (None, guarded.dir, "ipc://" + guarded.dir):
            for more in (good, {"key_file": tmp_path / "any"}, {"server_key": SOME_KEY}):
                with pytest.raises(ValueError, match="are for addresses with tcp://"):
                    make(bus, **more)
        with pytest.raises(ValueError, match="40 characters of Z85"):
            make("tcp://127.0.0.1:1", key_file=tmp_path / "any")
        with pytest.raises(FileNotFoundError):
            make("tcp://127.0.0.1:1", server_key=SOME_KEY)


NODE_OPTIONS = """
import { Handler } from "%s/node/wsbus.js";
const [text] = process.argv.slice(1);
const bus = new Handler({ routes: ["echo"], ...JSON.parse(text) });
for await (const event of bus) {
  console.log(event.type);
  break;
}
await bus.bye();
"""


def test_keys_as_options_in_node(guarded, keys, tmp_path):
    env = {**os.environ, "WSBUS_SERVER_KEY": "nonsense", "WSBUS_KEY_FILE": str(tmp_path / "missing")}
    tcp = endpoints(guarded)["handlers"]

    def run(**options):
        return subprocess.run(["node", "--input-type=module", "-e", NODE_OPTIONS % ROOT, "--", json.dumps(options)],
                              capture_output=True, text=True, timeout=DEADLINE, env=env)

    good = {"serverKey": keys["server"].decode(), "keyFile": str(tmp_path / "any")}
    done = run(bus=tcp, **good)
    assert (done.returncode, done.stdout) == (0, "welcome\n"), done.stderr
    for bus, options, why in ((guarded.dir, good, "are for addresses with tcp://"),
                              ("ipc://" + guarded.dir, {"keyFile": good["keyFile"]}, "are for addresses with tcp://"),
                              (guarded.dir, {"serverKey": SOME_KEY}, "are for addresses with tcp://"),
                              (tcp, {"keyFile": good["keyFile"]}, "40 characters of Z85"),
                              (tcp, {"serverKey": SOME_KEY}, "no such file")):
        done = run(bus=bus, **options)
        assert done.returncode == 1 and why in done.stderr, done
    done = run(bus="ipc://" + guarded.dir)
    assert (done.returncode, done.stdout) == (0, "welcome\n"), done.stderr


def test_the_subscriber_with_a_key(guarded, keys, tmp_path, processes):
    at = endpoints(guarded)
    subscriber = processes(
        [PYTHON, ROOT / "examples/python/subscriber.py", "--bus", at["events"], "--commands", at["commands"], "--route", "chat"],
        env=key_environment(tmp_path, "any", keys["server"]))
    with Raw(guarded.port) as client:
        client.upgrade("/chat")

        def arrives():
            """A subscription takes a moment."""
            client.say("time?")
            return "chat data" in subscriber.output

        eventually(arrives, "the subscriber to hear")
        assert re.fullmatch(r"\d\d:\d\d:\d\d", client.read_message())


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
    refused("clients: others than its owner can write it (mode 0622): chmod go-w it")
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
