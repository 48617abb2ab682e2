"""Random bytes at every door while a client goes on: no crash, no growth, nobody else notices. WSBUS_GARBAGE_SECONDS sets for how long."""

import json
import os
import random
import socket
import struct
import threading
import time

import pytest
import zmq

import wsbus
from conftest import DEADLINE, eventually
from raw import Raw, frame, upgrade_request

SECONDS = float(os.environ.get("WSBUS_GARBAGE_SECONDS", "5"))
SEED = int(os.environ.get("WSBUS_GARBAGE_SEED", "0")) or random.SystemRandom().getrandbits(32)
GROWTH_MIB = 64
METHODS = ("status", "stats", "routes", "groups", "handlers", "handler_show", "list", "show", "log_get", "tap", "untap", "send", "ping", "nothing")
WORDS = (None, True, -1, 0, 1 << 63, 1e300, "", "other", "x" * 3000, "\0", "\ud7ff", [], [[]], {}, ["0" * 16], "0123456789abcdef", [1, "a", None])
KEYS = ("routes", "to", "except", "group", "groups", "route", "code", "reason", "status", "headers", "subprotocol", "batch", "level", "pid", "name")


def noise(rng, most=2000):
    return rng.randbytes(rng.choice((0, 1, 2, 7, 31, 32, 33, rng.randrange(most))))


def mangled(rng, data):
    """Something that was good, with bytes changed, left out, or doubled."""
    data = bytearray(data)
    for _ in range(rng.randrange(1, 6)):
        at = rng.randrange(len(data) + 1)
        what = rng.randrange(4)
        if what == 0 and at < len(data):
            data[at] = rng.randrange(256)
        elif what == 1:
            del data[at:at + rng.randrange(1, 9)]
        elif what == 2:
            data[at:at] = noise(rng, 50)
        else:
            data[at:at] = data[at:at + rng.randrange(1, 40)]
    return bytes(data)


def random_json(rng):
    if rng.random() < 0.2:
        return noise(rng, 200)
    text = json.dumps({rng.choice(KEYS): rng.choice(WORDS) for _ in range(rng.randrange(5))}).encode()
    return mangled(rng, text) if rng.random() < 0.2 else text


# --- who makes it: one function for each door; each call is one short visit


def to_clients_port(rng, gate):
    kind = rng.randrange(4)
    with Raw(gate) as visitor:
        if kind == 0:
            visitor.send(noise(rng, 20000))
        elif kind == 1:
            visitor.send(mangled(rng, upgrade_request()))
        elif kind == 2:
            visitor.send(upgrade_request()).send(noise(rng, 5000))
        else:
            good = b"".join(frame(rng.randrange(16), rng.randbytes(rng.choice((0, 3, 126, 3000))), fin=rng.random() < 0.8) for _ in range(5))
            visitor.send(upgrade_request()).send(mangled(rng, good))
        if rng.random() < 0.5:
            visitor.socket.settimeout(0.01)
            visitor.socket.recv(10000)
        if rng.random() < 0.3:
            visitor.reset()


def raw_to_endpoint(name):
    def visit(rng, gate):
        with socket.socket(socket.AF_UNIX) as visitor:
            visitor.settimeout(1)
            visitor.connect("%s/%s" % (gate.dir, name))
            greeting = b"\xff" + b"\0" * 8 + b"\x7f\x03\x01NULL" + b"\0" * 48
            visitor.send(rng.choice((noise(rng), greeting + noise(rng), mangled(rng, greeting), greeting[:rng.randrange(64)])) or b"\0")
            if rng.random() < 0.5:
                visitor.settimeout(0.01)
                visitor.recv(1000)
    visit.__name__ = "raw_to_" + name
    return visit


def random_parts(rng):
    """One message: right, wrong, and in between."""
    payload = noise(rng, 3000)
    size = rng.choice((len(payload), len(payload), len(payload), rng.getrandbits(32)))
    meta = random_json(rng) if rng.random() < 0.7 else b""
    flags = rng.choice((1, 1, 0, 9, rng.randrange(256))) if meta else rng.choice((0, 8, rng.randrange(256)))
    type_ = rng.choice((rng.randrange(64, 81), rng.randrange(64, 81), 127, rng.randrange(256)))
    if type_ == 80 and rng.random() < 0.9:
        type_ = 69
    conn = rng.choice((0, rng.getrandbits(64), rng.getrandbits(16)))
    header = struct.pack("<BBBBIQQQ", rng.choice((1, 1, 1, 1, rng.randrange(256))), type_, rng.randrange(4), flags, size, conn, rng.getrandbits(64), 0)
    if type_ == 127:
        records = b"".join(wsbus.make_record(header[:1] + bytes([rng.randrange(64, 81)]) + header[2:4] + struct.pack("<I", 3) + header[8:], b"abc", b"")
                           for _ in range(rng.randrange(4)))
        payload = records if rng.random() < 0.3 else mangled(rng, records + b"\0" * 8)
        header = header[:3] + b"\0" + struct.pack("<I", len(payload)) + header[8:]
        meta = b""
    parts = [header, payload] + ([meta] if meta else [])
    what = rng.randrange(12)
    if what == 0:
        parts = [noise(rng, 100) for _ in range(rng.randrange(1, 6))]
    elif what == 1:
        parts[0] = mangled(rng, parts[0])
    return parts


def zmq_to_endpoint(name, kind):
    def visit(rng, gate):
        context = zmq.Context()
        try:
            visitor = context.socket(kind)
            visitor.setsockopt(zmq.LINGER, 50)
            visitor.setsockopt(zmq.SNDTIMEO, 1000)
            visitor.connect("ipc://%s/%s" % (gate.dir, name))
            if name == "handlers" and rng.random() < 0.5:  # a registered one, of a route that the client does not use
                visitor.send_multipart([*wsbus.encode("hello", meta={"routes": ["other"], "batch": rng.random() < 0.5})])
            for _ in range(rng.randrange(1, 60)):
                visitor.send_multipart(random_parts(rng))
            if name == "handlers" and visitor.poll(20):
                visitor.recv_multipart()
        finally:
            context.destroy()
    visit.__name__ = "zmq_to_" + name
    return visit


def zmq_to_events(rng, gate):
    """An XSUB can send what a SUB cannot: subscriptions of any bytes, and messages."""
    context = zmq.Context()
    try:
        visitor = context.socket(zmq.XSUB)
        visitor.setsockopt(zmq.LINGER, 50)
        visitor.connect("ipc://%s/events" % gate.dir)
        for _ in range(rng.randrange(1, 10)):  # not more: the tree that libzmq makes of them costs a sanitizer build seconds
            visitor.send(rng.choice((b"\1", b"\0", b"")) + noise(rng, 80))
    finally:
        context.destroy()


def to_control(rng, gate):
    with socket.socket(socket.AF_UNIX) as visitor:
        visitor.settimeout(1)
        visitor.connect("%s/control" % gate.dir)
        for _ in range(rng.randrange(1, 20)):
            call = {"jsonrpc": "2.0", "id": rng.choice(WORDS), "method": rng.choice(METHODS),
                    "params": rng.choice(({}, [], None, {"id": rng.choice(WORDS), "handler": rng.choice(WORDS), "limit": rng.choice(WORDS)},
                                          {"route": rng.choice(WORDS), "ids": rng.choice(WORDS), "text": rng.choice(WORDS)}))}
            line = json.dumps(call).encode()
            visitor.send(rng.choice((line, line, mangled(rng, line), noise(rng))) + b"\n")
        if rng.random() < 0.5:
            visitor.settimeout(0.02)
            visitor.recv(10000)


DOORS = [
    to_clients_port, raw_to_endpoint("handlers"), raw_to_endpoint("events"), raw_to_endpoint("commands"), zmq_to_endpoint("handlers", zmq.DEALER),
    zmq_to_endpoint("commands", zmq.PUSH), zmq_to_events, to_control,
]


class Vandal(threading.Thread):
    """Visits one door again and again until the time is over."""

    def __init__(self, door, gate, seed, until):
        super().__init__(daemon=True)
        self.door, self.gate, self.rng, self.until = door, gate, random.Random(seed), until
        self.visits, self.failure = 0, None
        self.start()

    def run(self):
        try:
            while time.monotonic() < self.until:
                try:
                    self.door(self.rng, self.gate)
                except (OSError, zmq.ZMQError):
                    pass  # shown the door
                self.visits += 1
        except Exception as failure:
            self.failure = failure


def test_garbage_at_every_door(make_gate, echo):
    print("seed", SEED)
    gate = make_gate(routes=["echo=/echo", "other=/other,tap=yes"], args=["--log-level", "warn", "--log", "gate=info", "--workers", "2"])
    echo(gate, "c")
    clients = [Raw(gate).upgrade() for _ in range(4)]

    def everybody_is_fine(turn):
        for index, client in enumerate(clients):
            text = "%d says %d" % (index, turn)
            begun = time.monotonic()
            assert client.ask(text) == text
            assert time.monotonic() - begun < DEADLINE / 2, "slow"

    def rampage(seconds):
        until = time.monotonic() + seconds
        vandals = [Vandal(door, gate, SEED + number, until) for number, door in enumerate(DOORS)]
        turn = 0
        while any(vandal.is_alive() for vandal in vandals):
            everybody_is_fine(turn)
            turn += 1
            time.sleep(0.02)  # so that the vandals get the processor
        for vandal in vandals:
            assert vandal.failure is None, (vandal.door.__name__, vandal.failure, SEED)
            assert vandal.visits > 2, (vandal.door.__name__, vandal.visits)

    rampage(SECONDS / 5)  # what it needs to be warm
    warm_kib = gate.memory_kib()
    rampage(SECONDS)
    assert gate.process.poll() is None, "seed %d" % SEED
    everybody_is_fine(-1)
    eventually(lambda: gate.wsctl("status")["connections"] == len(clients), "only the clients are left (seed %d)" % SEED)
    eventually(lambda: len(gate.wsctl("handlers")["handlers"]) == 1, "only the real handler is left (seed %d)" % SEED)
    status, stats = gate.wsctl("status"), gate.wsctl("stats")
    assert status["taps"] == 0
    eventually(lambda: gate.wsctl("stats")["control"]["clients"] == 1, "nobody is left at the control socket")
    assert {row["id"] for row in gate.wsctl("list")["connections"]} >= {row["id"] for row in gate.wsctl("list", "--route", "echo")["connections"]}
    assert stats["bus"]["malformed"] > 0 and stats["bus"]["command_errors"] > 0
    gate.assert_grew_less(warm_kib, GROWTH_MIB)
    assert len(gate.lines) < 200 + 20 * SECONDS, "the log was flooded: %d lines" % len(gate.lines)
    print("grew by %d KiB, %s" % (gate.memory_kib() - warm_kib, stats["bus"]))


@pytest.mark.parametrize("name", ["handlers", "events", "commands", "control"])
def test_a_socket_that_says_nothing(gate, echo, name):
    """Connections that were opened and forgotten keep nobody out."""
    echo(gate)
    silent = [socket.socket(socket.AF_UNIX) for _ in range(30)]
    for visitor in silent:
        visitor.connect("%s/%s" % (gate.dir, name))
    client = Raw(gate).upgrade()
    assert client.ask("x") == "x"
    for visitor in silent:
        visitor.close()
    echo(gate, "python")


def zmtp_command(body):
    return bytes([4, len(body)]) + body


def test_a_subscription_longer_than_any_topic(make_gate, echo):
    """Each byte of it would cost the gate thirty-five: whoever sends one is cut off, and the others go on."""
    gate = make_gate(routes=["echo=/echo,tap=yes"])
    echo(gate)
    before_kib = gate.memory_kib()
    with socket.socket(socket.AF_UNIX) as visitor:
        visitor.settimeout(DEADLINE)
        visitor.connect("%s/events" % gate.dir)
        visitor.sendall(b"\xff" + b"\0" * 8 + b"\x7f\x03\0NULL" + b"\0" * 48)
        visitor.sendall(zmtp_command(b"\x05READY\x0bSocket-Type" + struct.pack(">I", 4) + b"XSUB"))
        try:
            visitor.sendall(b"\x02" + struct.pack(">Q", (8 << 20) + 1) + b"\1" + b"x" * (8 << 20))
            while visitor.recv(65536):
                pass
        except ConnectionError:
            pass
    assert Raw(gate).upgrade().ask("x") == "x"
    gate.assert_grew_less(before_kib, 32)
