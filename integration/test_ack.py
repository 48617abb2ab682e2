"""What is promised when handlers die, sleep or are drained: nothing is lost, nothing is said twice unmarked, nobody answers for others."""

import signal
import time

import pytest
import zmq

import wsbus
from conftest import DEADLINE, HANDLERS, eventually
from raw import Raw
from test_wsctl_socket import Control

ACKNOWLEDGING = [language for language in HANDLERS if language != "raw"]
CLIENTS, MESSAGES = 5, 300


def handlers_of(gate):
    return gate.wsctl("handlers")["handlers"]


def talkers(gate, count=CLIENTS):
    """Clients of one handler that can be told apart, and have heard from it."""
    clients = [Raw(gate).upgrade(path="/echo?%d" % index) for index in range(count)]
    for client in clients:
        assert client.ask("hello") == "hello"
    return clients


class Successor:
    """Hears what is redelivered to the other handler, and echoes it."""

    def __init__(self, seat):
        self.seat, self.names, self.heard = seat, {}, {}

    def hear_until(self, done):
        while not done(self.heard):
            event = self.seat.hear("open", "data")
            if event.type == "open":
                assert event.redelivered
                self.names[event.conn] = int(event.meta["query"])
                self.heard[self.names[event.conn]] = []
            else:
                self.heard[self.names[event.conn]].append((event.text, event.redelivered, event.seq))
                self.seat.send(event.conn, event.text)
        self.seat.flush()
        return self.heard


def all_have(count, text):
    return lambda heard: len(heard) == count and all(said and said[-1][0] == text for said in heard.values())


@pytest.mark.parametrize("language", ACKNOWLEDGING)
def test_kill_9_in_the_middle_loses_nothing(gate, echo, take_seat, language):
    victim = echo(gate, language)
    clients = talkers(gate)
    successor = Successor(take_seat(gate))
    for number in range(MESSAGES):
        if number == MESSAGES // 2:
            victim.signal(signal.SIGSTOP)  # from here on it has what it never answers
        for client in clients:
            client.say(str(number))
    victim.kill()
    heard = successor.hear_until(all_have(CLIENTS, str(MESSAGES - 1)))
    for index, client in enumerate(clients):
        numbers = [int(text) for text, _, _ in heard[index]]
        first = numbers[0]
        assert numbers == list(range(first, MESSAGES)), "in order, and without a hole"
        assert [seq for _, _, seq in heard[index]] == [number + 3 for number in numbers], "OPEN is 1, hello is 2"
        marks = [redelivered for _, redelivered, _ in heard[index]]
        assert marks == sorted(marks, reverse=True), "what may have been seen comes first"
        answers = []
        while len(answers) < len(numbers) or answers[-len(numbers):] != numbers:
            answers.append(int(client.read_message()))
        told_before = answers[:-len(numbers)]
        assert told_before == list(range(len(told_before))), "the first one's answers come before those of its successor"
        assert first <= len(told_before), "what was not answered was redelivered"
        client.close()
    assert any(redelivered for said in heard.values() for _, redelivered, _ in said)


def test_without_ack_each_message_comes_at_most_once(gate, echo, take_seat):
    victim = echo(gate, "raw")
    clients = talkers(gate)
    successor = Successor(take_seat(gate))
    victim.signal(signal.SIGSTOP)
    for client in clients:
        for number in range(20):
            client.say(str(number))
    eventually(lambda: sum(row["messages_in"] for row in gate.wsctl("list")["connections"]) == CLIENTS * 21, "the gate has them")
    victim.kill()
    eventually(lambda: len(handlers_of(gate)) == 1, "noticed")
    for client in clients:
        client.say("end")
    heard = successor.hear_until(all_have(CLIENTS, "end"))
    for index in range(CLIENTS):
        assert [text for text, redelivered, _ in heard[index] if redelivered] == [], "what ZeroMQ took counts as delivered"
        assert heard[index][-1][2] == 2 + 20 + 1, "and the gap says how many"


@pytest.mark.parametrize("language", ACKNOWLEDGING)
def test_who_wakes_up_late_answers_for_nobody(gate, echo, take_seat, language):
    sleeper = echo(gate, language)
    client, = talkers(gate, 1)
    seat = take_seat(gate)
    sleeper.signal(signal.SIGSTOP)
    for number in range(50):
        client.say("%d" % number)
    assert seat.hear("open").redelivered
    for number in range(50):
        event = seat.hear("data")
        assert event.text == str(number)
        seat.send(event.conn, "seat %d" % number)
    seat.flush()
    assert [client.read_message() for _ in range(50)] == ["seat %d" % number for number in range(50)]
    sleeper.signal(signal.SIGCONT)
    gate.wait_handlers("echo", 2)  # it says HELLO again
    with Raw(gate).upgrade() as other:
        assert other.ask("awake?") == "awake?"  # pinned to it, and behind everything that it had
    client.say("end")
    event = seat.hear("data")
    seat.send(event.conn, "seat end")
    seat.flush()
    assert client.read_message() == "seat end"
    assert client.is_quiet()


def test_what_was_taken_away_is_refused_before_it_is_read(gate, take_seat):
    old = take_seat(gate)
    client = Raw(gate).upgrade()
    conn = old.hear("open").conn
    client.say("x")
    old.hear("data")  # and it has not said that it is done with it
    new = take_seat(gate)
    control = Control(gate)
    assert control.call("handler_drop", handler=int(old.id))["result"] == {"connections": 1}
    control.close()
    assert new.hear("open").redelivered
    assert new.hear("data").redelivered

    def has_come():
        old._take()
        return any(event.type == "revoked" for event in old._inbox)

    eventually(has_come, "it has come, and is not read")
    old.send(conn, "late", outcome=True)
    told = []
    while "outcome" not in told:
        event = old.hear("revoked", "outcome", "welcome")
        told.append(event.type)
    assert event.outcome == "stale"
    assert told[0] == "revoked" and old.stale == 1
    old.send(conn, "later")  # nor after it has read so
    old.flush()
    assert old.stale == 2
    new.send(conn, "in time")
    new.flush()
    assert client.read_message() == "in time"
    assert client.is_quiet()


@pytest.mark.parametrize("language", ACKNOWLEDGING)
def test_a_rolling_restart_is_not_noticed(gate, echo, language):
    old = echo(gate, language)
    number = handlers_of(gate)[0]["id"]
    clients = talkers(gate)
    for word in range(100):
        for client in clients:
            client.say(str(word))
    echo(gate, "c")
    control = Control(gate)
    assert "result" in control.call("handler_drain", handler=number)
    control.close()
    for word in range(100, 200):
        for client in clients:
            client.say(str(word))
    for client in clients:
        assert [int(client.read_message()) for _ in range(200)] == list(range(200)), "nothing lost, twice, or in another place"
    assert old.process.wait(DEADLINE) == 0, old.output
    eventually(lambda: len(handlers_of(gate)) == 1, "the gate has read the old one's farewell")
    remaining, = handlers_of(gate)
    assert remaining["connections"] == CLIENTS
    for client in clients:
        assert client.ask("served") == "served"
        assert client.is_quiet(0.01)
        client.close()


# --- credit, counted by a handler that knows nothing but ZeroMQ


class Counter:
    def __init__(self, gate, **hello):
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.connect("ipc://%s/handlers" % gate.dir)
        self.say("hello", meta={"routes": ["echo"], **hello})
        gate.wait_handlers("echo", 1)

    def say(self, name, **fields):
        header, payload, meta = wsbus.encode(name, **fields)
        self.socket.send_multipart([header, payload] + ([meta] if meta else []))

    def hear(self, count, quiet=0.3):
        """The next messages of clients; then nothing more comes for a while."""
        heard = []
        end = time.monotonic() + DEADLINE
        while self.socket.poll((max(0, end - time.monotonic()) if len(heard) < count else quiet) * 1000):
            event = wsbus.Event(*wsbus.parse_parts(self.socket.recv_multipart()))
            if event.type == "ping":
                self.say("pong", payload=event.payload, seq=event.seq)
                if len(heard) >= count:
                    break  # they come every second, and after everything that was sent before
            elif event.type == "data":
                heard.append(event)
        return heard

    def close(self):
        self.context.destroy(linger=0)


@pytest.fixture
def counter():
    opened = []

    def start(gate, **hello):
        opened.append(Counter(gate, **hello))
        return opened[-1]

    yield start
    for one in opened:
        one.close()


def test_the_credit_of_messages_is_kept(gate, counter):
    handler = counter(gate, ack=True, credit={"messages": 10, "bytes": 1 << 20})
    clients = [Raw(gate).upgrade() for _ in range(4)]
    eventually(lambda: handlers_of(gate)[0]["connections"] == 4, "all are pinned: a full handler gets no new ones")
    for number in range(25):
        for client in clients:
            client.say(str(number))
    heard = handler.hear(10)
    assert len(heard) == 10
    for grant in (1, 5, 20):
        handler.say("credit", meta={"messages": grant, "bytes": 0})
        more = handler.hear(grant)
        assert len(more) == grant
        heard += more
    handler.say("credit", meta={"messages": 1000, "bytes": 0})
    heard += handler.hear(100 - len(heard))
    for conn in {event.conn for event in heard}:
        assert [event.text for event in heard if event.conn == conn] == [str(number) for number in range(25)]
    assert len(heard) == 100


def test_the_credit_of_bytes_is_overdrawn_by_one_message(gate, counter):
    handler = counter(gate, ack=True, credit={"messages": 1000, "bytes": 100})
    client = Raw(gate).upgrade()
    for _ in range(10):
        client.say(b"x" * 40)
    client.say(b"x" * 5000)
    assert len(handler.hear(3)) == 3  # 100, 60, 20: the third overdraws
    handler.say("credit", meta={"messages": 0, "bytes": 20})  # it had overdrawn as much
    assert handler.hear(0) == []
    handler.say("credit", meta={"messages": 0, "bytes": 6 * 40 + 1})
    assert len(handler.hear(7)) == 7
    handler.say("credit", meta={"messages": 0, "bytes": 40})
    assert [len(event.payload) for event in handler.hear(1)] == [5000], "however large, it arrives"


def test_a_helper_never_has_more_than_its_window(gate, take_seat):
    """Seats do it by themselves: what the gate has sent and the seat has not read stays within the window."""
    seat = take_seat(gate, credit=(8, 1000))
    client = Raw(gate).upgrade()
    for number in range(200):
        client.say(str(number))
    seat.hear("open")
    for number in range(200):
        assert seat.hear("data").text == str(number)
        assert len(seat._inbox) < 8
