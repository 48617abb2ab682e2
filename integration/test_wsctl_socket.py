"""The control socket itself: JSON-RPC as the specification says, rubbish, floods, strangers."""

import json
import os
import pathlib
import random
import socket
import subprocess
import threading

import pytest

from conftest import DEADLINE, eventually


class Control:
    """A raw client of the control socket."""

    def __init__(self, gate):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(DEADLINE)
        self.socket.connect(gate.dir + "/control")
        self.file = self.socket.makefile("rb")

    def send(self, data):
        self.socket.sendall(data if isinstance(data, bytes) else json.dumps(data).encode() + b"\n")

    def receive(self):
        line = self.file.readline()
        return json.loads(line) if line else None

    def call(self, method, **params):
        self.send({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        return self.receive()

    def close(self):
        self.file.close()
        self.socket.close()


@pytest.fixture
def control(gate):
    opened = []

    def connect():
        opened.append(Control(gate))
        return opened[-1]

    yield connect
    for one in opened:
        one.close()


@pytest.mark.parametrize("line, code", [
    (b"rubbish\n", -32700), (b"[]\n", -32600), (b"1\n", -32600), (b"{}\n", -32600), (b'{"jsonrpc":"2.0","id":1,"method":"nope"}\n', -32601),
    (b'{"jsonrpc":"2.0","id":1,"method":"status","params":{"x":1}}\n', -32602), (b'{"jsonrpc":"2.0","id":1,"method":"show"}\n', -32602),
    (b'{"jsonrpc":"2.0","id":1,"method":"show","params":{"id":"0000000000000001"}}\n', -32001), (b"\xff\n", -32700), (b"[" * 100000 + b"\n", -32700),
])
def test_errors_have_the_standard_codes_and_the_socket_stays(control, line, code):
    c = control()
    c.send(line)
    assert c.receive()["error"]["code"] == code
    assert "result" in c.call("status")


def test_requests_in_one_packet_are_answered_in_order(control):
    c = control()
    c.send(b"".join(json.dumps({"jsonrpc": "2.0", "id": i, "method": "status" if i % 2 else "list"}).encode() + b"\r\n\n" for i in range(300)))
    assert [c.receive()["id"] for _ in range(300)] == list(range(300))


def test_a_request_byte_by_byte(control):
    c = control()
    for byte in b'{"jsonrpc":"2.0","id":"x","method":"routes"}\n':
        c.send(bytes([byte]))
    assert c.receive()["id"] == "x"


def test_notifications_are_not_answered(control):
    c = control()
    c.send({"jsonrpc": "2.0", "method": "status"})
    c.send({"jsonrpc": "2.0", "method": "nope"})
    c.send({"jsonrpc": "2.0", "method": "list"})
    assert c.call("routes")["id"] == 1


def test_who_closes_one_direction_still_gets_the_answers(control):
    c = control()
    c.send(b'{"jsonrpc":"2.0","id":1,"method":"list"}\n{"jsonrpc":"2.0","id":2,"method":"status"}')
    c.socket.shutdown(socket.SHUT_WR)
    assert [c.receive()["id"], c.receive()["id"]] == [1, 2]
    assert c.receive() is None


def test_a_line_that_is_too_long_ends_the_connection(gate, control):
    c = control()

    def flood():
        try:
            c.send(b"x" * (2 << 20))
        except OSError:
            pass

    sender = threading.Thread(target=flood)
    sender.start()
    assert c.receive()["error"]["code"] == -32600
    c.socket.shutdown(socket.SHUT_RDWR)
    sender.join(DEADLINE)
    assert gate.wsctl("status")["state"] == "running"


def test_who_asks_without_reading_stops_being_listened_to(gate, control):
    c = control()
    c.socket.settimeout(1)
    question = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "stats"}).encode() + b"\n"
    before = gate.memory_kib()
    sent = 0
    with pytest.raises(TimeoutError):
        while sent < 64 << 20:
            c.socket.sendall(question * 1000)
            sent += len(question) * 1000
    assert gate.memory_kib() - before < 32 << 10
    assert gate.wsctl("status")["state"] == "running"


def test_who_sends_faster_than_it_is_carried_out_waits(gate, control):
    line = b'{"jsonrpc":"2.0","method":"nope"}\n'
    count = 250000
    before = gate.wsctl("stats")["control"]["requests"]
    c = control()
    c.send(line * count)
    carried_out = gate.wsctl("stats")["control"]["requests"] - before
    assert count - carried_out < (1 << 20) / len(line), "what is not in the socket any more has been done"


def test_at_most_64_clients(gate, control):
    many = [control() for _ in range(64)]
    assert "result" in many[-1].call("status")
    last = control()
    assert "too many" in last.receive()["error"]["message"]
    assert last.receive() is None
    many.pop().close()
    eventually(lambda: "result" in (control().call("status") or {}), "room again")


def test_random_bytes_do_no_harm(gate, control):
    seed = int.from_bytes(os.urandom(4), "big")
    print("seed", seed)
    rng = random.Random(seed)
    words = [b'{"jsonrpc":"2.0"', b',"id":1', b',"method":"', b"status", b"list", b"tap", b"close", b"send", b'"', b',"params":{', b'"ids":["', b'"route":"echo"',
             b"0000000000000001", b'"]', b"}", b"\n", b"\xff", b"[", b"null", b'"all":true', b'"text":"x"', b",", b":", b"1e999", b"\\u0000"]
    for _ in range(200):
        c = Control(gate)
        try:
            c.send(b"".join(rng.choice(words) if rng.random() < 0.9 else rng.randbytes(rng.randrange(20)) for _ in range(rng.randrange(200))))
            if rng.random() < 0.5:
                c.send(b"\n")
        except OSError:
            pass
        c.close()
    assert gate.wsctl("status")["state"] == "running"
    eventually(lambda: gate.wsctl("stats")["control"]["clients"] == 1, "no client left but the one that asks")
    assert gate.wsctl("status")["taps"] == 0


def test_disconnecting_while_a_question_is_open(gate, control):
    for method in ("list", "ping", "send", "close"):
        params = {"list": {}, "ping": {"id": "0000000000000001"}, "send": {"all": True, "text": "x"}, "close": {"all": True}}[method]
        for _ in range(20):
            c = Control(gate)
            c.send({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
            c.close()
    assert gate.wsctl("list")["connections"] == []


def test_only_taps_of_its_own_can_be_ended(gate, control):
    one, two = control(), control()
    sub = one.call("tap", route="echo")["result"]["sub"]
    assert two.call("untap", sub=sub)["error"]["code"] == -32001
    assert gate.wsctl("status")["taps"] == 1
    assert one.call("untap", sub=sub)["result"] == {}
    assert gate.wsctl("status")["taps"] == 0
    for _ in range(16):
        assert "result" in one.call("tap", route="echo")
    assert one.call("tap", route="echo")["error"]["code"] == -32003
    one.close()
    eventually(lambda: gate.wsctl("status")["taps"] == 0, "no taps")


def test_the_socket_file_is_ours_alone_and_goes_with_the_gate(gate):
    path = gate.dir + "/control"
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert gate.stop() == 0
    assert not os.path.exists(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a second user")
def test_a_stranger_is_refused_even_where_the_file_would_let_him(gate):
    os.chmod(gate.dir + "/control", 0o666)
    for folder in (pathlib.Path(gate.dir), *pathlib.Path(gate.dir).parents):
        if not folder.stat().st_mode & 0o001:  # the temporary ones, up to where everybody may pass
            folder.chmod(folder.stat().st_mode | 0o011)
    stranger = subprocess.run(["/usr/bin/python3", "-c", """
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
print(s.makefile().readline())
""", gate.dir + "/control"], user=65534, group=65534, extra_groups=[], capture_output=True, text=True, timeout=DEADLINE)
    assert json.loads(stranger.stdout)["error"]["message"] == "this user may not manage this gate", stranger
    assert gate.wsctl("stats")["control"]["refused"] == 1
