"""ZeroMQ peers that break rules, byte by byte, at the endpoints of a running gate: they are turned away and counted, and nobody else notices."""

import contextlib
import os
import resource
import signal
import socket
import struct
import threading
import time

import pytest
import wsbus
import zmq

from conftest import DEADLINE, PYTHON, ROOT, eventually
from raw import Raw

GREETING = b"\xff" + b"\0" * 7 + b"\1\x7f\3\1NULL" + b"\0" * 48
TYPES = {"handlers": b"DEALER", "events": b"SUB", "commands": b"PUSH"}


def frame(body, more=False, command=False):
    flags = more | command << 2
    return bytes([flags, len(body)]) + body if len(body) < 256 else bytes([flags | 2]) + struct.pack(">Q", len(body)) + body


def ready(socket_type):
    return frame(b"\x05READY\x0bSocket-Type" + struct.pack(">I", len(socket_type)) + socket_type, command=True)


def hello(endpoint):
    return GREETING + ready(TYPES[endpoint])


def message(payload=b"x" * 40):
    return frame(wsbus.make_header(79, size=len(payload)), more=True) + frame(payload)  # LOG, which nobody minds


def ping(context=b"", ttl=0):
    return frame(b"\x04PING" + struct.pack(">H", ttl) + context, command=True)


def dial(gate, endpoint):
    peer = socket.socket(socket.AF_UNIX)
    peer.settimeout(DEADLINE)

    def connected():
        try:
            peer.connect("%s/%s" % (gate.dir, endpoint))
            return True
        except BlockingIOError:
            return False  # very many wait to be accepted

    eventually(connected, "a place in the queue")
    return peer


def refused(gate):
    return {why: count for why, count in gate.wsctl("stats")["bus"]["peers_refused"].items() if count}


def is_closed(peer):
    try:
        while peer.recv(65536):
            pass
    except ConnectionError:
        pass
    return True


def shake_hands(peer, endpoint):
    peer.sendall(hello(endpoint))
    heard = b""
    while b"READY" not in heard:
        heard += peer.recv(4096)


@pytest.mark.parametrize("endpoint", ["handlers", "commands"])
def test_many_messages_and_a_ping_in_one_write(gate, echo, endpoint):
    """What ended the gate after a hundred tries, when libzmq spoke for it."""
    echo(gate)
    client = Raw(gate).upgrade()
    for turn in range(400):
        with dial(gate, endpoint) as peer:
            shake_hands(peer, endpoint)
            peer.sendall(message(b"x") * 150 + ping(b"anybody?"))
    assert gate.process.poll() is None
    assert client.ask("still there?") == "still there?"
    eventually(lambda: gate.wsctl("stats")["bus"]["peers"] <= 1, "they are gone")
    assert refused(gate) == {}


@pytest.mark.parametrize("endpoint, said, why", [
    ("handlers", b"GET / HTTP/1.1\r\n\r\n", "greeting"),
    ("handlers", b"\1\0\0\0", "version"),
    ("commands", GREETING[:10] + b"\1\0\0\0", "version"),
    ("handlers", GREETING.replace(b"NULL\0", b"CURVE"), "mechanism"),
    ("events", GREETING + ready(b"PUSH"), "socket_type"),
    ("handlers", hello("handlers") + b"\xff\xff", "frame"),
    ("handlers", hello("handlers") + b"\2" + b"\x7f" * 8, "size"),
    ("commands", hello("commands") + frame(b"x", more=True) * 100, "parts"),
    ("events", hello("events") + b"".join(frame(b"\x09SUBSCRIBE%d" % i, command=True) for i in range(2000)), "subscriptions"),
    ("handlers", hello("handlers") + frame(b"\x04PING", command=True), "command"),
], ids=lambda value: value if isinstance(value, str) else "")
def test_who_breaks_a_rule_is_turned_away_and_counted(gate, echo, endpoint, said, why):
    echo(gate)
    with dial(gate, endpoint) as peer:
        try:
            peer.sendall(said)
        except ConnectionError:
            pass  # shown the door already
        assert is_closed(peer)
    eventually(lambda: refused(gate) == {why: 1}, "counted as %s, not as %s" % (why, refused(gate)))
    line = gate.wait_line("msg=\"peer refused\"").string
    assert "address=local" in line and "total=1" in line, line
    assert Raw(gate).upgrade().ask("x") == "x"


def test_strangers_do_not_fill_the_log(gate):
    for _ in range(300):
        with dial(gate, "handlers") as peer:
            peer.sendall(b"rubbish" * 10)
    eventually(lambda: refused(gate).get("greeting") == 300, "all are counted")
    gate.wait_line("msg=\"peer refused\".*total=300")
    assert gate.output.count("peer refused") <= 10


def test_an_endpoint_that_is_full(make_gate, echo):
    """Those who say nothing make room; those who are in stay; the others are told in the log what to change."""
    gate = make_gate(args=["--zmq-peers", "8"])
    handler = echo(gate, "python")
    silent = [dial(gate, "handlers") for _ in range(20)]
    echo(gate, "node")
    assert refused(gate)["room"] >= 12
    assert handler.process.poll() is None
    client = Raw(gate).upgrade()
    assert client.ask("x") == "x"
    peers = []

    def comes_in():
        peers.append(dial(gate, "handlers"))
        try:
            peers[-1].sendall(hello("handlers"))
            return b"READY" in peers[-1].recv(64, socket.MSG_WAITALL) + peers[-1].recv(64)
        except ConnectionError:
            return False

    assert [comes_in() for _ in range(8)] == [True] * 6 + [False] * 2
    assert refused(gate)["peers"] == 2
    gate.wait_line("msg=\"peer refused\".*zmq_peers")
    assert client.ask("y") == "y"
    for peer in silent + peers:
        peer.close()
    echo(gate, "python")


def open_descriptors(pid):
    return len(os.listdir("/proc/%d/fd" % pid))


def test_without_descriptors_the_gate_lives_and_peers_wait(gate, echo):
    """libzmq ended the process at the first connection beyond the limit."""
    echo(gate, "python")
    client = Raw(gate).upgrade()
    before = resource.prlimit(gate.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(gate.pid, resource.RLIMIT_NOFILE, (open_descriptors(gate.pid), before[1]))
    waiting = [dial(gate, name) for name in ("handlers", "commands", "events") for _ in range(5)]
    for turn in range(50):
        assert client.ask("turn %d" % turn) == "turn %d" % turn
    resource.prlimit(gate.pid, resource.RLIMIT_NOFILE, before)
    eventually(lambda: gate.wsctl("stats")["bus"]["peers"] >= 16, "they come in")
    assert refused(gate)["descriptors"] >= 1
    for peer in waiting:
        peer.close()
    echo(gate, "node")


CHILD_THAT_HOLDS_EVERYTHING = """
import os, sys, time
sys.path.insert(0, %r)
import wsbus
handler = wsbus.Handler(routes=["echo"], bus=sys.argv[1])
while handler.read(20000).type != "welcome":
    pass
if os.fork() == 0:
    while True:
        time.sleep(1000)
print("ready", flush=True)
while True:
    handler.read(1000)
"""


def test_a_handler_that_is_killed_while_a_child_holds_its_descriptors(gate, processes):
    """The socket stays open, so nothing hangs up; the process has ended all the same."""
    program = processes([PYTHON, "-c", CHILD_THAT_HOLDS_EVERYTHING % str(ROOT / "examples/python"), gate.dir])
    program.wait_line("ready")
    gate.wait_handlers("echo", 1)
    child, = [int(pid) for pid in os.listdir("/proc") if pid.isdigit() and parent_of(pid) == program.pid]
    begun = time.monotonic()
    os.kill(program.pid, signal.SIGKILL)
    gate.wait_handlers("echo", 0)
    took = time.monotonic() - begun
    os.kill(child, signal.SIGKILL)
    program.process.wait()
    assert took < 3, "3 s are promised"


def parent_of(pid):
    try:
        with open("/proc/%s/stat" % pid) as stat:
            return int(stat.read().rsplit(")", 1)[1].split()[1])
    except (OSError, ValueError):
        return None


def test_who_takes_no_answers_does_not_cost_others_theirs(gate):
    """What a peer without a registration is told comes out of one purse: a few of those who do not read must not empty it."""
    silent = []
    for _ in range(3):
        silent.append(dial(gate, "handlers"))
        shake_hands(silent[-1], "handlers")
        silent[-1].sendall((frame(wsbus.make_header(200), more=True) + frame(b"")) * 25_000)
    eventually(lambda: gate.wsctl("stats")["bus"]["command_errors"] >= 75_000, "all are read")
    with dial(gate, "handlers") as peer:
        shake_hands(peer, "handlers")
        peer.sendall(frame(wsbus.make_header(200), more=True) + frame(b""))
        assert b"\1\x0f" in peer.recv(4096)  # version 1, ERROR
    for peer in silent:
        peer.close()


def floods(gate, ports):
    """What hostile peers say without end, each to its endpoint."""
    part, command = frame(b"", more=True), frame(b"\1x", command=True)
    toggle = frame(b"\x09SUBSCRIBEecho ", command=True) + frame(b"\x06CANCELecho ", command=True)
    return [
        (lambda: dial(gate, "handlers"), hello("handlers"), command * 4096),
        (lambda: dial(gate, "handlers"), hello("handlers"), (part * 63 + frame(b"")) * 64),
        (lambda: dial(gate, "handlers"), hello("handlers"), ping(b"0123456789abcdef") * 1024),
        (lambda: dial(gate, "commands"), hello("commands"), message(b"x") * 512),
        (lambda: dial(gate, "events"), hello("events"), toggle * 512),
        (lambda: socket.create_connection(("127.0.0.1", ports["handlers"]), timeout=DEADLINE), b"", b"rubbish"),
        (lambda: socket.create_connection(("127.0.0.1", ports["handlers"]), timeout=DEADLINE), hello("handlers"), part * 100),
    ]


def flood(is_over, connect, begin, again):
    """Read nothing, and come again whenever the gate has hung up."""
    while not is_over.is_set():
        with contextlib.suppress(OSError), connect() as peer:
            peer.settimeout(0.2)
            peer.sendall(begin)
            while not is_over.is_set():
                with contextlib.suppress(TimeoutError):
                    peer.sendall(again)


def test_floods_of_all_kinds_at_once(make_gate, echo):
    """Handlers and subscribers that speak libzmq go on among them: nothing of theirs is lost, and none is given up."""
    gate = make_gate(routes=["echo=/echo,tap=yes"], args=["--bus-handlers", "tcp://127.0.0.1:*"])
    echo(gate, "python")
    echo(gate, "node")
    ports = {one["channel"]: int(one["endpoint"].rsplit(":", 1)[1]) for one in gate.wsctl("status")["bus"]}
    context, is_over = zmq.Context(), threading.Event()
    subscriber = context.socket(zmq.SUB)
    subscriber.subscribe(b"echo data")
    subscriber.connect("ipc://%s/events" % gate.dir)
    eventually(lambda: gate.wsctl("stats")["bus"]["subscriptions"] == 1, "it has subscribed")
    threads = [threading.Thread(target=flood, args=(is_over, *one)) for one in floods(gate, ports)]
    for thread in threads:
        thread.start()
    try:
        with Raw(gate).upgrade() as client, Raw(gate).upgrade() as other:
            for turn in range(100):
                assert client.ask("turn %d" % turn) == "turn %d" % turn
                assert other.ask("other %d" % turn) == "other %d" % turn
        seen = set()
        while len(seen) < 200:
            assert subscriber.poll(DEADLINE * 1000), "%d of 200 copies came" % len(seen)
            seen.add(subscriber.recv_multipart()[2])
    finally:
        is_over.set()
        for thread in threads:
            thread.join()
        context.destroy(linger=0)
    stats = gate.wsctl("stats")["bus"]
    assert stats["handlers"] == 2 and stats["handlers_gone"] == 0
    assert refused(gate).keys() >= {"parts", "greeting"}
    eventually(lambda: gate.wsctl("stats")["bus"]["peers"] <= 2, "the others are gone")


def test_wsgate_has_no_libzmq(gate):
    """Nor the threads that come with it."""
    with open("/proc/%d/maps" % gate.pid) as maps:
        assert "libzmq" not in maps.read()
