"""Ten thousand clients at once, two handlers in two languages, ten messages for each client: nothing lost, reordered or corrupted."""

import hashlib
import multiprocessing
import os
import resource
import selectors
import socket
import time

from conftest import eventually
from raw import frame, upgrade_request

CONNECTIONS, MESSAGES = 10_000, 10
CLIENT_PROCESSES = 2
LIMIT_S = float(os.environ.get("WSBUS_TEST_DEADLINE", "20")) * 9
UNDER_WAY = 200  # handshakes at a time


def message_of(client, number):
    """Different for each client and number, 20 to 400 bytes long, and wrong when a byte of it is."""
    seed = hashlib.sha256(b"%d/%d" % (client, number)).hexdigest()
    return ("%d/%d " % (client, number) + seed * (1 + client * 7 % 6)).encode()


class Client:
    """One connection of the crowd: a little state machine, driven by bytes."""

    __slots__ = ("number", "socket", "received", "is_open", "got")

    def __init__(self, number, port):
        self.number, self.received, self.is_open, self.got = number, bytearray(), False, 0
        self.socket = socket.socket()
        self.socket.connect(("127.0.0.1", port))
        self.socket.setblocking(False)
        self.socket.send(upgrade_request())

    def on_bytes(self):
        """Takes what came. Returns what went wrong, or None."""
        data = self.socket.recv(65536)
        if not data:
            return "client %d: closed after %d messages: %r" % (self.number, self.got, bytes(self.received[:100]))
        self.received += data
        if not self.is_open:
            end = self.received.find(b"\r\n\r\n")
            if end < 0:
                return None
            if not self.received.startswith(b"HTTP/1.1 101 "):
                return "client %d: %r" % (self.number, bytes(self.received[:100]))
            del self.received[:end + 4]
            self.is_open = True
        return self.take_frames()

    def take_frames(self):
        while len(self.received) >= 4:
            length, head = self.received[1], 2
            if length == 126:
                length, head = int.from_bytes(self.received[2:4], "big"), 4
            if len(self.received) < head + length:
                return None
            payload = bytes(self.received[head:head + length])
            if self.received[0] != 0x81 or self.got == MESSAGES or payload != message_of(self.number, self.got):
                return "client %d: message %d is %r" % (self.number, self.got, bytes(self.received[:200]))
            del self.received[:head + length]
            self.got += 1
        return None


class Crowd:
    def __init__(self, numbers, port):
        self.todo, self.port, self.clients = list(numbers)[::-1], port, []
        self.selector = selectors.EpollSelector()
        self.end = time.monotonic() + LIMIT_S

    def turn(self):
        """One round of waiting and reading."""
        if time.monotonic() > self.end:
            raise AssertionError("not within %g s: %d open, %d of %d messages" % (
                LIMIT_S, sum(c.is_open for c in self.clients), sum(c.got for c in self.clients), len(self.clients) * MESSAGES))
        for key, _ in self.selector.select(1):
            failure = key.data.on_bytes()
            if failure:
                raise AssertionError(failure)

    def arrive(self):
        while self.todo or not all(client.is_open for client in self.clients):
            waiting = sum(not client.is_open for client in self.clients[-UNDER_WAY:])
            for _ in range(min(UNDER_WAY - waiting, len(self.todo))):
                client = Client(self.todo.pop(), self.port)
                self.clients.append(client)
                self.selector.register(client.socket, selectors.EVENT_READ, client)
            self.turn()

    def talk(self):
        for number in range(MESSAGES):
            for index, client in enumerate(self.clients):
                client.socket.send(frame(1, message_of(client.number, number)))
                if index % 500 == 499:
                    self.turn()
        while not all(client.got == MESSAGES for client in self.clients):
            self.turn()


def run_crowd(numbers, port, conversation):
    """In a process of its own: come, wait until all are there, talk, wait until all were looked at, go."""
    try:
        crowd = Crowd(numbers, port)
        crowd.arrive()
        conversation.send("arrived")
        conversation.recv()
        crowd.talk()
        conversation.send("done")
        conversation.recv()
    except Exception as failure:  # told to the test
        conversation.send("failed: %r" % failure)


def test_ten_thousand_clients(make_gate, echo):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert hard == resource.RLIM_INFINITY or hard >= 12_000, "this needs 12,000 descriptors, the hard limit is %d: raise it (ulimit -Hn)" % hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 12_000), hard))
    gate = make_gate(args=["--workers", "2", "--log-level", "warn", "--log", "gate=info"])
    for language in ("c", "python"):
        echo(gate, language)
    empty_kib = gate.memory_kib()

    talks, processes = [], []
    context = multiprocessing.get_context("fork")
    for part in range(CLIENT_PROCESSES):
        ours, theirs = context.Pipe()
        process = context.Process(target=run_crowd, args=(range(part, CONNECTIONS, CLIENT_PROCESSES), gate.port, theirs), daemon=True)
        process.start()
        talks.append(ours)
        processes.append(process)

    def hear(word):
        for talk in talks:
            assert talk.poll(LIMIT_S + 10), "a crowd says nothing"
            assert talk.recv() == word

    def say(word):
        for talk in talks:
            talk.send(word)

    def nobody_has_any():
        handlers = gate.wsctl("handlers")["handlers"]
        return None if any(handler["connections"] for handler in handlers) else handlers

    try:
        hear("arrived")
        assert gate.wsctl("status")["connections"] == CONNECTIONS
        handlers = gate.wsctl("handlers")["handlers"]
        assert sorted(handler["connections"] for handler in handlers) == [CONNECTIONS // 2] * 2
        assert sorted(handler["language"] for handler in handlers) == ["C", "python"]
        idle_kib = (gate.memory_kib() - empty_kib) / CONNECTIONS
        say("talk")
        hear("done")
        route = gate.wsctl("stats")["routes"]["echo"]
        assert (route["messages_in"], route["messages_out"], route["dropped"]) == (CONNECTIONS * MESSAGES,) * 2 + (0,)
        say("go")
        eventually(lambda: gate.wsctl("status")["connections"] == 0, "all have gone", deadline=LIMIT_S)
        for handler in eventually(nobody_has_any, "the handlers have acknowledged that they are gone"):
            assert (handler["queued"], handler["dropped"], handler["errors"]) == (0, 0, 0)
        print("%.1f KiB for each idle connection" % idle_kib)
    finally:
        for process in processes:
            process.kill()
            process.join()
