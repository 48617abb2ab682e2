"""wsproto at the other end, the sans-I/O implementation that Python's web servers use: its client and the gate, its server and the library's client;
ws and wss, compressed or not, from nothing to 16 MiB, cut into fragments and into writes at random. A failure shows the seed; WSBUS_SEED repeats it."""

import contextlib
import os
import random
import socket
import ssl
import threading

import pytest

from conftest import DEADLINE
from test_connect import connect
from test_interop import COMPRESSED, SIZES, WIRES, check, filled, routes

from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Ping, Pong, Request, TextMessage
from wsproto.extensions import PerMessageDeflate


@pytest.fixture
def chance():
    seed = int(os.environ.get("WSBUS_SEED", random.randrange(1 << 32)))
    print("WSBUS_SEED=%d" % seed)
    return random.Random(seed)


class Peer:
    """wsproto over a socket, for either end."""

    def __init__(self, kind, connection, chance):
        self.ws, self.socket, self.chance = WSConnection(kind), connection, chance
        self._events = []
        connection.settimeout(DEADLINE)

    def say(self, event):
        self._send(self.ws.send(event))

    def _send(self, data):
        if len(data) > 1:  # its reader gets to see it in two reads, if the kernel will have it so
            cut = self.chance.randrange(1, len(data))
            self.socket.sendall(data[:cut])
            data = data[cut:]
        self.socket.sendall(data)

    def hear(self, *kinds):
        """The next event, which must be one of these; pings are answered on the way."""
        while True:
            while not self._events:
                data = self.socket.recv(1 << 16)
                self.ws.receive_data(data or None)
                self._events = list(self.ws.events())
            event = self._events.pop(0)
            if isinstance(event, Ping) and Ping not in kinds:
                self.say(event.response())
                continue
            assert isinstance(event, kinds), event
            return event

    def say_message(self, message):
        """In up to five frames."""
        kind = TextMessage if isinstance(message, str) else BytesMessage
        cuts = sorted(self.chance.randrange(len(message) + 1) for _ in range(self.chance.randrange(5)))
        parts = [message[a:b] for a, b in zip([0] + cuts, cuts + [len(message)])]
        for number, part in enumerate(parts):
            self.say(kind(data=part, message_finished=number == len(parts) - 1))

    def hear_message(self):
        parts = []
        while True:
            event = self.hear(TextMessage, BytesMessage)
            parts.append(event.data)
            if event.message_finished:
                return ("" if isinstance(event, TextMessage) else b"").join(parts)


@WIRES
@COMPRESSED
def test_its_client_and_the_gate(make_gate, echo, pki, wire, compressed, chance):
    gate = make_gate(routes=routes(compressed))
    echo(gate)
    with contextlib.closing(socket.create_connection(("127.0.0.1", gate.port), DEADLINE)) as plain:
        connection = pki.client().wrap_socket(plain, server_hostname="localhost") if wire == "wss" else plain
        peer = Peer(ConnectionType.CLIENT, connection, chance)
        peer.say(Request(host="localhost", target="/echo", extensions=[PerMessageDeflate()]))
        assert bool(peer.hear(AcceptConnection).extensions) == compressed
        for number, size in enumerate(SIZES):
            data = filled(size, number)
            for message in (data, data.decode()):
                peer.say_message(message)
                assert peer.hear_message() == message
        peer.say(Ping(payload=b"alive?"))
        assert bytes(peer.hear(Pong).payload) == b"alive?"
        peer.say(CloseConnection(code=3210, reason="enough"))
        assert peer.hear(CloseConnection).code == 3210
        connection.close()


@contextlib.contextmanager
def server_of(talk, context, chance):
    """One connection, talked to in a thread; yields the port."""
    failures = []
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as listener:
        listener.settimeout(DEADLINE)

        def main():
            try:
                plain, _ = listener.accept()
                with contextlib.closing(context.wrap_socket(plain, server_side=True) if context else plain) as connection:
                    talk(Peer(ConnectionType.SERVER, connection, chance))
            except BaseException as failure:  # shown by the test that it belongs to
                failures.append(failure)

        thread = threading.Thread(target=main, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(DEADLINE)
    assert not failures and not thread.is_alive(), failures


@WIRES
@COMPRESSED
def test_its_server_and_our_client(pki, wire, compressed, chance):
    context = None
    if wire == "wss":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*pki.local)

    def talk(peer):
        peer.hear(Request)
        peer.say(AcceptConnection(extensions=[PerMessageDeflate()] if compressed else []))
        for number, size in enumerate(SIZES):
            peer.say_message(filled(size, number))
        for _ in range(3):
            peer.say_message(peer.hear_message())
        peer.say(CloseConnection(code=4321, reason="enough"))
        assert peer.hear(CloseConnection).code == 4321

    with server_of(talk, context, chance) as port:
        rows = connect("%s://localhost:%d/" % (wire, port), "one\ntwo\nthree\n", "--ca", pki.ca.file, "-w", "20s", status=5)
    check(rows, compressed)
    assert [row["text"] for row in rows if row["type"] == "text"] == ["one", "two", "three"]
    assert rows[-1] == {"type": "close", "code": 4321, "reason": "enough", "clean": True, "by": "server"}
