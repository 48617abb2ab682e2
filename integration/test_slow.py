"""Clients and handlers that are slow, or stop altogether: bounded memory, and nobody else waits for them."""

import resource
import select
import signal
import threading
import time

import pytest

from conftest import BOTH_WIRES, DEADLINE, eventually
from raw import Raw, close_frame, frame, upgrade_request

pytestmark = BOTH_WIRES

MIB = 1 << 20


def connect(gate, bus, path="/echo", **kwargs):
    client = Raw(gate, **kwargs).upgrade(path)
    return client, bus.hear("open").conn


def test_a_client_that_does_not_read_is_closed(make_gate, take_seat):
    gate = make_gate(routes=["echo=/echo,max_queue=1MiB"], args=["--close-timeout", "1s"])
    bus = take_seat(gate)
    lazy, lazy_conn = connect(gate, bus, receive_buffer=4096)
    lively, lively_conn = connect(gate, bus)
    before_kib = gate.memory_kib()
    outcomes, sent = {}, 0
    while "dropped" not in outcomes.values():
        sent += 1
        assert sent < 2000, "100 MiB for a client that reads nothing"
        bus.send([lazy_conn, lively_conn], b"x" * 50000, outcome=True)
        bus.flush()
        assert lively.read_message() == b"x" * 50000
        while (event := bus.read(0)) is not None:
            assert event.type == "outcome", event
            if event.conn == lazy_conn:
                outcomes[event.seq] = event.outcome
                if event.outcome == "dropped":
                    assert event.meta["reason"] == "slow client"
    gate.assert_grew_less(before_kib, 30)
    while (event := bus.hear("closed", "outcome", "data")).type != "closed":
        if event.type == "outcome" and event.conn == lazy_conn:
            outcomes[event.seq] = event.outcome
    assert (event.conn, event.meta["by"], event.meta["code"], event.meta["reason"]) == (lazy_conn, "gate", 1013, "slow client")
    bus.send(lively_conn, "and you?")
    bus.flush()
    assert lively.read_message() == "and you?"


class Reader(threading.Thread):
    """Reads the numbers of messages until one says end."""

    def __init__(self, client):
        super().__init__(daemon=True)
        self.client, self.numbers = client, []
        self.start()

    def run(self):
        while (message := self.client.read_message()) != "end":
            self.numbers.append(int(message[:6]))


MANY = 500
REASONS = {"drop-new": {"slow client: dropped"}, "drop-old": {"slow client: dropped"}, "conflate": {"replaced by a newer message of its key"}}
COUNTED = {"drop-new": "slow_new", "drop-old": "slow_old", "conflate": "conflated"}


@pytest.mark.parametrize("said_by", ["route", "command"])
@pytest.mark.parametrize("policy", REASONS)
def test_what_a_slow_client_misses(make_gate, take_seat, policy, said_by):
    """A client that stops reading for a while stays, misses what its policy says, and delays nobody."""
    gate = make_gate(routes=["echo=/echo,max_queue=1MiB" + (",slow_client=" + policy if said_by == "route" else "")])
    bus = take_seat(gate)
    lazy, lazy_conn = connect(gate, bus, receive_buffer=4096)
    lively, lively_conn = connect(gate, bus)
    outcomes, writable = {}, []

    def listen(until):
        while not until():
            event = bus.hear("outcome", "writable")
            if event.type == "writable":
                writable.append((event.conn, event.seq))
            elif event.conn == lazy_conn:
                assert event.seq not in outcomes
                outcomes[event.seq] = event.outcome, event.meta.get("reason")

    before_kib = gate.memory_kib()
    sent = []
    for number in range(MANY):
        message = b"%06d" % number + b"x" * 50000
        sent.append(bus.send([lazy_conn, lively_conn], message, outcome=True, key=str(number % 10),
                             slow=policy if said_by == "command" else None))
        bus.flush()
        assert lively.read_message() == message
    gate.assert_grew_less(before_kib, 30)
    reader = Reader(lazy)
    if policy != "conflate":  # ten keys never fill a queue
        listen(lambda: writable)
    last = bus.send(lazy_conn, "end", outcome=True)
    listen(lambda: last in outcomes and len(outcomes) == MANY + 1)
    reader.join(DEADLINE)
    numbers = reader.numbers
    assert numbers == sorted(set(numbers))
    assert 10 <= len(numbers) < MANY
    if policy == "drop-new":
        assert numbers[:20] == list(range(20)), "the oldest, as many as fit"  # later ones when the kernel's buffer grows
    elif policy == "drop-old":
        assert numbers[-18:] == list(range(MANY))[-18:], "the newest, as many as fit"
    else:
        assert numbers[-10:] == list(range(MANY))[-10:], "the latest of each key"
    assert [sent.index(seq) for seq in sent if outcomes[seq] == ("written", None)] == numbers
    missed = [outcomes[seq] for seq in sent if outcomes[seq] != ("written", None)]
    assert {outcome for outcome, _ in missed} == {"dropped"} and {reason for _, reason in missed} == REASONS[policy]
    assert writable == ([] if policy == "conflate" else [(lazy_conn, 0)]), "told once"
    route = gate.wsctl("stats")["routes"]["echo"]
    assert route["messages_out"] == 2 * MANY + 1 == route["written"] + sum(route["out_dropped"].values())
    assert route["out_dropped"][COUNTED[policy]] == len(missed)


def test_a_slow_client_that_reads_at_last_learns_why(make_gate, take_seat):
    gate = make_gate(routes=["echo=/echo,max_queue=64KiB"])
    bus = take_seat(gate)
    lazy, conn = connect(gate, bus, receive_buffer=4096)
    for _ in range(400):
        bus.send(conn, b"x" * 50000)
    bus.flush()
    eventually(lambda: "CLOSING" in gate.wsctl("list")["connections"][0]["what"], "the gate to give it up")
    assert lazy.read_close() == (1013, "slow client")
    lazy.send(close_frame(1013))
    closed = bus.hear("closed")
    assert (closed.meta["code"], closed.meta["clean"]) == (1013, True)


def test_pings_do_not_fill_memory(make_gate, take_seat):
    """A client that pings and never reads is a slow client too."""
    gate = make_gate(routes=["echo=/echo,max_queue=64KiB"], args=["--close-timeout", "500ms"])
    bus = take_seat(gate)
    lazy, conn = connect(gate, bus, receive_buffer=4096)
    ping = frame(9, b"x" * 125) * 500
    before_kib = gate.memory_kib()

    def is_cut_off():
        try:
            lazy.send(ping)
            return False
        except OSError:
            return True

    eventually(is_cut_off, "the end of its connection")
    closed = bus.hear("closed")
    assert (closed.conn, closed.meta["by"], closed.meta["code"]) == (conn, "gate", 1013)
    gate.assert_grew_less(before_kib, 10)


class Flood(threading.Thread):
    """Sends as fast as the gate takes it, until told to end; counts what was taken."""

    def __init__(self, gate):
        super().__init__(daemon=True)
        self.client, self.taken, self.ending = Raw(gate).upgrade("/slow"), 0, False
        self.client.socket.setblocking(False)

    def run(self):
        data = memoryview(frame(2, b"f" * MIB))
        at = 0
        while not self.ending:
            if select.select([], [self.client.socket], [], 0.05)[1]:
                sent = self.client.socket.send(data[at:])
                self.taken += sent
                at = (at + sent) % len(data)

    def end(self):
        self.ending = True
        self.join()
        self.client.close()


def test_a_handler_that_does_not_read_slows_its_clients(make_gate, echo):
    gate = make_gate(routes=["slow=/slow", "echo=/echo"])
    slow = echo(gate, "c", route="slow")
    echo(gate, "c", route="echo")
    other = Raw(gate).upgrade()
    assert other.ask("before") == "before"
    before_kib = gate.memory_kib()
    floods = [Flood(gate) for _ in range(4)]
    slow.signal(signal.SIGSTOP)
    for flood in floods:
        flood.start()

    def all_are_stuck():
        """None could send anything for a while, or the gate has given the handler up."""
        before = [flood.taken for flood in floods]
        assert other.ask("meanwhile") == "meanwhile"
        select.select([], [], [], 0.3)
        gate.assert_grew_less(before_kib, 100)
        return all(before) and [flood.taken for flood in floods] == before

    eventually(all_are_stuck, "back-pressure")
    # A handler that stays stopped is given up; what its clients send while they are closed is read and thrown away.
    assert "handler lost" in gate.output or sum(flood.taken for flood in floods) < 128 * MIB
    for flood in floods:
        flood.end()
    slow.signal(signal.SIGCONT)
    eventually(lambda: gate.wsctl("status")["connections"] == 1, "only the other client is left")
    assert other.ask("after") == "after"
    gate.wait_handlers("slow", 1)


def test_clients_go_on_when_their_handler_does(make_gate, echo):
    """Whatever waited arrives in order when a slow handler reads again."""
    gate = make_gate(routes=["echo=/echo,max_queue=64MiB"])
    handler = echo(gate)
    client = Raw(gate).upgrade()
    messages = [b"%06d" % i + b"x" * 500_000 for i in range(60)]
    writer = threading.Thread(target=lambda: [client.say(message) for message in messages], daemon=True)
    handler.signal(signal.SIGSTOP)
    writer.start()
    eventually(lambda: gate.wsctl("handlers")["handlers"][0]["paused"], "its clients wait")
    handler.signal(signal.SIGCONT)
    writer.join()  # the queue holds all answers meanwhile; and two threads must not use one connection with TLS
    for message in messages:
        assert client.read_message() == message


def test_slow_heads_keep_nobody_out(make_gate, echo):
    gate = make_gate(args=["--head-timeout", "1s"])
    echo(gate)
    drips = [Raw(gate).send("GET /echo HTTP/1.1\r\nHost: x\r\n") for _ in range(200)]
    begun = time.monotonic()
    with Raw(gate) as client:
        assert client.upgrade().ask("x") == "x"
        while time.monotonic() - begun < 0.8:  # each byte late, but before a naive timer would begin anew
            for drip in drips:
                drip.send("X")
            assert client.ask("y") == "y"
        for drip in drips:
            assert drip.read_response().status == 408
            drip.close()
        assert time.monotonic() - begun < 8


def test_slow_frames_cost_nothing_before_they_come(make_gate, take_seat):
    """Headers that promise 16 MiB make the gate keep what has come, not what was promised."""
    gate = make_gate()
    bus = take_seat(gate)
    before_kib = gate.memory_kib()
    clients = [connect(gate, bus)[0] for _ in range(100)]
    for client in clients:
        client.send(frame(2, b"", length=16 * MIB)[:14] + b"only this")
    with Raw(gate) as last:
        last.upgrade().say("x")
        bus.hear("open")
        assert bus.hear("data").text == "x"
    gate.assert_grew_less(before_kib, 50)
    for client in clients:
        client.close()


def test_killed_in_the_middle_of_a_frame(gate, take_seat):
    bus = take_seat(gate)
    conns = set()
    for cut in (1, 5, 6, 7, 100, 60000):
        client, conn = connect(gate, bus)
        conns.add(conn)
        client.send(frame(2, b"x" * 70000)[:cut])
        client.reset()
        closed = bus.hear("closed")
        assert (closed.conn, closed.seq, closed.meta["code"], closed.meta["messages_in"]) == (conn, 2, 1006, 0)
    assert len(conns) == 6
    eventually(lambda: gate.wsctl("status")["connections"] == 0, "none is left")
    assert gate.wsctl("list")["connections"] == []


def test_a_client_that_sends_after_it_was_refused(gate):
    """What a refused client still sends is read and thrown away, so that it sees the refusal and no reset."""
    with Raw(gate) as client:
        client.send(upgrade_request(path="/nowhere") + b"x" * 500_000)
        assert client.read_response().status == 404


def test_a_response_that_nobody_reads(make_gate, take_seat):
    gate = make_gate(routes=["web=/web,kind=http,max_queue=256KiB"])
    bus = take_seat(gate, ["web"])
    client = Raw(gate, receive_buffer=4096).send("GET /web HTTP/1.1\r\nHost: x\r\n\r\n")
    conn = bus.hear("request").conn
    bus.respond(conn, b"x", more=True)
    before_kib = gate.memory_kib()
    event = None
    for _ in range(2000):
        bus.body(conn, b"x" * 60000, outcome=True)
        bus.flush()
        if (event := bus.read(0)) is not None and event.type == "outcome" and event.outcome != "written":
            break
    assert event is not None and event.outcome == "dropped", event
    bus.body(conn, b"as if nothing had been", outcome=True)
    bus.flush()
    while (event := bus.hear("outcome", "aborted")).type != "aborted":
        pass
    assert event.meta["reason"] == "a part of the response was refused, and not sent again"
    gate.assert_grew_less(before_kib, 30)
    client.close()


def blast(gate, clients, each):
    """Each says so many bytes in messages of 4000, as far as the gate reads them. Return how many messages of all routes it has read."""
    said = frame(2, b"x" * 3992, key=bytes(4)) * (each // 4000)
    left = {client: memoryview(said) for client in clients}
    moved = True
    while left and moved:  # otherwise the kernel holds the rest back
        moved = False
        for client in list(left):
            try:
                sent = client.socket.send(left[client])
            except BlockingIOError:
                continue
            moved = True
            left[client] = left[client][sent:]
            if not left[client]:
                del left[client]
    before = None
    while (heard := sum(route["messages_in"] for route in gate.wsctl("routes")["routes"])) != before:
        before = heard
    return heard


def test_very_many_clients_are_paused_before_they_have_said_much(make_gate, take_seat):
    """To pause a client is cheap: the gate must not read on from the others while it does so a few at a time."""
    clients, each = 1500, 160000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert hard == resource.RLIM_INFINITY or hard >= 4000, "this needs 4,000 descriptors: raise the hard limit (ulimit -Hn)"
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4000), hard))
    gate = make_gate(routes=["echo=/echo"], args=["--workers", 1, "--max-connections", clients + 100])
    bus = take_seat(gate, ack=True)  # it takes nothing from here on but OPEN
    sockets = []
    for _ in range(clients):
        client, _ = connect(gate, bus)
        client.socket.setblocking(False)
        sockets.append(client)
    heard = blast(gate, sockets, each)
    assert heard < clients * each // 4000 / 3, "of as many as were said it should have read a third at most"
