"""Strangers and the gate's own needs: descriptors, places, handshakes. Who connects to the client port keeps nobody else out."""

import contextlib
import pathlib
import signal
import socket

import pytest

import conftest
from conftest import BUILD, DEADLINE, Gate, eventually
from raw import Raw, upgrade_request
from shm_peer import Peer, Refused
from test_zmtp import hello

LIMIT = 300
WRAPPER = """#!/bin/sh
ulimit -n %d
exec setpriv --bounding-set -sys_resource --inh-caps -sys_resource "%s" "$@"
"""  # without the right to raise the hard limit, as anybody but root


def descriptors(gate):
    return len(list(pathlib.Path("/proc/%d/fd" % gate.pid).iterdir()))


def connections(gate):
    return gate.wsctl("status")["connections"]


def strangers(gate, count, says=b""):
    clients = []
    for _ in range(count):
        with contextlib.suppress(OSError):
            client = socket.create_connection(("127.0.0.1", gate.port), timeout=DEADLINE)
            clients.append(client)
            client.sendall(says)
    return clients


def hang_up(clients):
    for client in clients:
        client.close()


def test_one_connection_has_one_file_open(make_gate, tmp_path):
    root = tmp_path / "www"
    root.mkdir()
    (root / "large").write_bytes(bytes(8 << 20))
    gate = make_gate(args=["--static", "/=%s" % root])
    before = descriptors(gate)
    client = Raw(gate, receive_buffer=4096)
    client.send("GET /large HTTP/1.1\r\nHost: h\r\n\r\n" * 700)
    eventually(lambda: descriptors(gate) > before + 1, "the connection and its file")
    assert descriptors(gate) <= before + 3
    for _ in range(2):  # and the next ones come when the one before has gone
        assert len(client.read_response().body) == 8 << 20
    assert descriptors(gate) <= before + 3
    client.close()


def test_the_one_too_many_is_told_and_handlers_come_in(make_gate, echo):
    gate = make_gate(args=["--max-connections", "40", "--workers", "1"])
    clients = strangers(gate, 40, b"GET / HTTP/1.1\r\n")  # not silent
    eventually(lambda: connections(gate) == 40, "all of them")
    late = Raw(gate)
    late.send("GET /echo HTTP/1.1\r\nHost: h\r\n\r\n")
    answer = late.read_response()
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    echo(gate)
    hang_up(clients)
    eventually(lambda: connections(gate) == 0, "all gone")
    with Raw(gate).upgrade() as client:
        assert client.ask("hello") == "hello"


def test_who_says_nothing_makes_room(make_gate, echo):
    gate = make_gate(args=["--max-connections", "40", "--workers", "1"])
    echo(gate)
    silent = strangers(gate, 40)
    eventually(lambda: connections(gate) == 40, "all of them")

    def gets_in():
        with contextlib.suppress(ConnectionError, EOFError, AssertionError):
            return Raw(gate).upgrade()
        return None

    client = eventually(gets_in, "a place, when they have been silent for a second")
    assert client.ask("hello") == "hello"
    assert gate.wsctl("stats")["gate"]["refused_by"]["silent"] >= 1
    client.close()
    hang_up(silent)


@pytest.mark.parametrize("wire", ["wss"], indirect=True)
def test_silent_connections_do_not_stop_tls(make_gate, echo):
    gate = make_gate(args=["--max-tls-handshakes", "10", "--workers", "1"])
    echo(gate)
    silent = strangers(gate, 60)
    eventually(lambda: connections(gate) >= 60, "all of them")
    with Raw(gate).upgrade() as client:
        assert client.ask("hello") == "hello"
    hang_up(silent)


@pytest.fixture
def limited_gate(processes, tmp_path, monkeypatch):
    """Make a gate that may have LIMIT descriptors, and not more."""
    program = tmp_path / "wsgate" / "wsgate"
    program.parent.mkdir()
    program.write_text(WRAPPER % (LIMIT, BUILD / "wsgate" / "wsgate"))
    program.chmod(0o755)

    def make(**options):
        with monkeypatch.context() as patch:
            patch.setattr(conftest, "BUILD", tmp_path)
            gate = Gate(tmp_path / "gate", **options)
        processes.started.append(gate)
        return gate

    return make


def test_peers_of_the_bus_leave_descriptors_for_others(limited_gate, echo, tmp_path):
    """Whoever reaches a TCP endpoint of the bus, and says nothing or all that it has to say, does not keep out clients, files and wsctl."""
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "file").write_text("here")
    gate = limited_gate(args=["--bus-handlers", "tcp://127.0.0.1:*", "--bus-events", "tcp://127.0.0.1:*", "--bus-commands", "tcp://127.0.0.1:*",
                              "--static", "/files/=%s" % (tmp_path / "www")])
    echo(gate)
    ports = {one["channel"]: int(one["endpoint"].rsplit(":", 1)[1]) for one in gate.wsctl("status")["bus"]}
    peers = []
    for number in range(400):
        channel = ("handlers", "events", "commands")[number % 3]
        peer = socket.create_connection(("127.0.0.1", ports[channel]), timeout=DEADLINE)
        peers.append(peer)
        if number % 2:
            with contextlib.suppress(OSError):
                peer.sendall(hello(channel))
        if number % 20 == 0:
            with Raw(gate).upgrade() as client:
                assert client.ask("hello %d" % number) == "hello %d" % number
            with Raw(gate) as client:
                client.send("GET /files/file HTTP/1.1\r\nHost: x\r\n\r\n")
                assert client.read_response()[2] == b"here"
            eventually(lambda: gate.wsctl("status")["connections"] == 0, "both are gone")
    assert gate.wsctl("stats")["bus"]["peers_refused"]["descriptors"] > 0
    assert "cannot accept" not in gate.output
    hang_up(peers)
    eventually(lambda: gate.wsctl("stats")["bus"]["peers"] <= 1, "they are gone")
    echo(gate, "node")


def test_links_over_shared_memory_leave_descriptors_for_others(limited_gate, echo, tmp_path):
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "file").write_text("here")
    gate = limited_gate(args=["--static", "/files/=%s" % (tmp_path / "www")])
    echo(gate)
    peers = []
    for _ in range(LIMIT // 4):
        with contextlib.suppress(Refused):
            peers.append(Peer(gate.dir))
    assert 4 <= len(peers) < LIMIT // 8
    clients = strangers(gate, 60)
    eventually(lambda: connections(gate) == 60, "there is room for clients")
    with Raw(gate) as client:
        client.send("GET /files/file HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.read_response()[2] == b"here"
    hang_up(clients)
    echo(gate, "python")  # over ZeroMQ there is room as well
    with Raw(gate).upgrade() as client:
        assert client.ask("hello") == "hello"
    for peer in peers:
        peer.close()
    echo(gate)


def test_with_few_descriptors_the_gate_lives_and_is_managed(limited_gate, echo):
    gate = limited_gate()
    most = gate.wsctl("status")["max_connections"]
    assert LIMIT // 3 <= most <= LIMIT * 2 // 3
    clients = strangers(gate, 320, b"GET / HTTP/1.1\r\n")
    eventually(lambda: connections(gate) == most, "as many as may be, whichever worker took them")
    echo(gate)  # the bus has its descriptors
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(gate.dir + "/commands")
    assert gate.process.poll() is None
    assert gate.output.count("cannot accept") <= 5
    hang_up(clients)
    gate.signal(signal.SIGTERM)
    gate.process.wait(DEADLINE)


def test_when_many_wait_to_be_heard_of_the_others_are_told_at_once(make_gate, take_seat):
    gate = make_gate(routes=["echo=/echo,max_pending=20"])  # an address alone has half of them
    slow = take_seat(gate, ack=True)
    clients = []

    def pending():
        return gate.wsctl("stats")["routes"]["echo"]["pending"]

    for n in range(32):  # it has heard of so many, and got done with none
        clients.append(Raw(gate).upgrade())
        eventually(lambda: pending() == 0, "it has heard of it")
    for n in range(10):
        clients.append(Raw(gate).upgrade())
        eventually(lambda n=n: pending() == n + 1, "it waits")
    for _ in range(3):
        refusal = Raw(gate).send(upgrade_request()).read_response()
        assert refusal.status == 503 and 1 <= int(refusal.headers["retry-after"]) <= 8
    assert gate.wsctl("stats")["routes"]["echo"]["refused_by"]["pending"] == 3
    clients.pop().close()  # who leaves before its turn makes room
    eventually(lambda: pending() == 9, "nobody is to hear of it")
    clients.append(Raw(gate).upgrade())
    eventually(lambda: pending() == 10, "it waits in its place")
    first = slow.hear("open")
    slow.ack(first.conn, first.seq)
    slow.flush()
    eventually(lambda: pending() == 9, "the next one is heard of")
    hang_up(clients)
