"""Handlers that are killed, stopped or say goodbye, and a gate that comes back as another: clients lose only what nobody could answer."""

import signal
import time

import pytest
import zmq

import wsbus
from conftest import BUILD, HANDLERS, PYTHON, ROOT, eventually
from raw import Raw, close_frame


def handlers_of(gate):
    return gate.wsctl("handlers")["handlers"]


def wait_acknowledged(gate):
    """An answer can be here before the acknowledgement behind it is at the gate: a handler that ends between them is answered for again."""
    eventually(lambda: gate.wsctl("stats")["routes"]["echo"]["retained_messages"] == 0, "all acknowledged")


@pytest.mark.parametrize("language", list(HANDLERS))
def test_kill_9_moves_its_connections(gate, echo, language):
    victim = echo(gate, language)
    clients = [Raw(gate).upgrade() for _ in range(4)]
    for client in clients:
        assert client.ask("before") == "before"
    echo(gate, "c")
    wait_acknowledged(gate)
    victim.kill()
    eventually(lambda: len(handlers_of(gate)) == 1, "the gate knows", deadline=5)
    for client in clients:
        assert client.ask("after") == "after"
    assert handlers_of(gate)[0]["connections"] == 4
    for client in clients:
        client.close()


def test_the_new_handler_hears_what_the_old_one_knew(gate, take_seat):
    old, new = take_seat(gate), take_seat(gate)
    client = Raw(gate).upgrade(path="/echo?who=me")
    opened = old.hear("open")
    client.say("one")
    assert old.hear("data").seq == 2
    old.vanish()
    moved = new.hear("open", deadline=10)
    assert (moved.conn, moved.seq, moved.redelivered) == (opened.conn, 1, True)
    assert moved.meta == opened.meta
    again = new.hear("data")  # the old one had it, and was not done with it
    assert (again.conn, again.text, again.seq, again.redelivered) == (opened.conn, "one", 2, True)
    client.say("two")
    data = new.hear("data")
    assert (data.conn, data.text, data.seq, data.redelivered) == (opened.conn, "two", 3, False)
    new.send(opened.conn, "hello from the other one")
    new.flush()
    assert client.read_message() == "hello from the other one"
    client.send(close_frame(1000))
    assert new.hear("closed").seq == 4


def test_groups_outlive_their_handler(gate, take_seat):
    old, new = take_seat(gate), take_seat(gate)
    client = Raw(gate).upgrade()
    conn = old.hear("open").conn
    old.join(conn, "stays", outcome=True)
    old.hear("outcome")
    old.stand_up()
    assert new.hear("open").redelivered
    new.publish("still in it", group="stays")
    new.flush()
    assert client.read_message() == "still in it"


def test_a_goodbye_moves_at_once(gate, take_seat):
    old, new = take_seat(gate), take_seat(gate)
    client = Raw(gate).upgrade()
    old.hear("open")
    begun = time.monotonic()
    old.stand_up()
    assert new.hear("open").redelivered
    assert time.monotonic() - begun < 0.9, "not the next heartbeat"
    client.close()


def test_the_death_of_the_last_one_is_1013(gate, echo):
    handler = echo(gate)
    client = Raw(gate).upgrade()
    assert client.ask("x") == "x"
    handler.kill()
    assert client.read_close() == (1013, "no handler")
    client.send(close_frame(1013))
    client.expect_end()
    with Raw(gate) as late:
        late.send(b"GET /echo HTTP/1.1\r\nHost: x\r\n\r\n")
        assert late.read_response().status == 503
    echo(gate, "python")
    assert Raw(gate).upgrade().ask("again") == "again"


@pytest.mark.parametrize("language", list(HANDLERS))
def test_a_stopped_handler_is_noticed_and_comes_back(gate, echo, language):
    victim, other = echo(gate, language), echo(gate, "c")
    clients = [Raw(gate).upgrade() for _ in range(2)]
    for client in clients:
        assert client.ask("x") == "x"
    wait_acknowledged(gate)
    victim.signal(signal.SIGSTOP)
    eventually(lambda: len(handlers_of(gate)) == 1, "noticed", deadline=8)
    for client in clients:
        assert client.ask("served by the other") == "served by the other"
    victim.signal(signal.SIGCONT)
    gate.wait_handlers("echo", 2)  # it says HELLO again
    more = [Raw(gate).upgrade() for _ in range(2)]
    for client in clients + more:
        assert client.ask("y") == "y"
    assert sorted(handler["connections"] for handler in handlers_of(gate)) == [2, 2]
    assert other.process.poll() is None


def test_kill_9_while_everybody_talks(gate, echo):
    """Nothing is lost; none gets what belongs to another. What a victim had answered and not acknowledged is answered again."""
    victims = [echo(gate, language) for language in ("c", "python")]
    echo(gate, "c")
    clients = [Raw(gate).upgrade() for _ in range(30)]
    for index, client in enumerate(clients):
        assert client.ask("%d hello" % index) == "%d hello" % index
    for turn, victim in enumerate(victims):
        for index, client in enumerate(clients):
            client.say("%d lost %d" % (index, turn))
        victim.kill()
    eventually(lambda: len(handlers_of(gate)) == 1, "both are gone")
    for index, client in enumerate(clients):
        client.say("%d end" % index)
        answers = []
        while not answers or answers[-1] != "%d end" % index:
            answers.append(client.read_message())
        first, second = "%d lost 0" % index, "%d lost 1" % index
        assert set(answers[:-1]) == {first, second}
        assert answers.count(first) <= 3 and answers.count(second) <= 2  # once for each handler that had it
        assert answers.index(first) < answers.index(second)
        client.close()
    eventually(lambda: gate.wsctl("status")["connections"] == 0, "the count is true")


# --- the gate


@pytest.mark.parametrize("sig", [signal.SIGKILL, signal.SIGTERM])
def test_all_languages_come_back_to_a_new_gate(make_gate, processes, tmp_path, sig):
    directory = tmp_path / "run"
    first = make_gate(directory)
    for language in HANDLERS:
        processes(HANDLERS[language](first, "echo"))
    first.wait_handlers("echo", len(HANDLERS))
    epoch = first.wsctl("status")["epoch"]
    client = Raw(first).upgrade()
    assert client.ask("x") == "x"
    first.process.send_signal(sig)
    if sig == signal.SIGTERM:
        assert client.read_close()[0] == 1001
        client.send(close_frame(1001))
    client.read_to_end()
    first.process.wait(20)
    second = make_gate(directory)
    second.wait_handlers("echo", len(HANDLERS))
    assert second.wsctl("status")["epoch"] != epoch
    clients = [Raw(second).upgrade() for _ in range(2 * len(HANDLERS))]
    for index, client in enumerate(clients):
        assert client.ask("hello %d" % index) == "hello %d" % index
    assert [handler["connections"] for handler in handlers_of(second)] == [2] * len(HANDLERS)


def test_ids_of_an_earlier_gate_are_stale(make_gate, take_seat, tmp_path):
    directory = tmp_path / "run"
    first = make_gate(directory)
    bus = take_seat(first)
    old_client = Raw(first).upgrade()
    old = bus.hear("open").conn
    epoch = bus.epoch
    first.kill()
    old_client.read_to_end()
    second = make_gate(directory)
    assert bus.hear("welcome").meta["epoch"] == bus.epoch != epoch
    client = Raw(second).upgrade()
    new = bus.hear("open").conn
    assert new != old
    bus.send(old, "for somebody who is gone", outcome=True)
    assert bus.hear("outcome").outcome == "stale"
    bus.send(new, "for you")
    bus.flush()
    assert client.read_message() == "for you"


def test_an_id_is_never_used_twice(gate, take_seat):
    bus = take_seat(gate)
    seen = []
    for _ in range(50):
        client = Raw(gate).upgrade()
        seen.append(bus.hear("open").conn)
        client.reset()
        bus.hear("closed")
        bus.send(seen[0], "late", outcome=True)
        assert bus.hear("outcome").outcome == "gone"
    assert len(set(seen)) == 50


def test_a_handler_that_was_dropped_comes_back(gate, echo):
    echo(gate, "c")
    echo(gate, "python")
    client = Raw(gate).upgrade()
    assert client.ask("x") == "x"
    for handler in handlers_of(gate):
        gate.wsctl("handlers", "drop", handler["id"])
        gate.wait_handlers("echo", 2)
    assert client.ask("y") == "y"
    assert not {1, 2} & {handler["id"] for handler in handlers_of(gate)}


def test_a_dealer_that_comes_and_goes(gate, echo):
    """Strangers that connect and vanish, in every state, leave nothing behind."""
    echo(gate)
    for turn in range(30):
        context = zmq.Context()
        socket = context.socket(zmq.DEALER)
        socket.connect("ipc://%s/handlers" % gate.dir)
        if turn % 3:
            socket.send_multipart([*wsbus.encode("hello", meta={"routes": ["echo"]})])
            assert socket.poll(20000)
        context.destroy(linger=0)
    eventually(lambda: len(handlers_of(gate)) == 1, "only the real one is left")
    assert Raw(gate).upgrade().ask("x") == "x"


# A program's handlers learn of the gate's end from their connection: silence says nothing for ten minutes here.
PATIENT = {
    "python": [PYTHON, "-c", """
import sys, wsbus
with wsbus.Handler(["echo"], bus=sys.argv[1], silence_ms=600000) as bus:
    for event in bus:
        if event.type == "data":
            bus.send(event.conn, event.text)
"""],
    "python-aio": [PYTHON, "-c", """
import asyncio, sys, wsbus_aio
async def main():
    async with wsbus_aio.Handler(["echo"], bus=sys.argv[1], silence_ms=600000) as bus:
        async for event in bus:
            if event.type == "data":
                bus.send(event.conn, event.text)
asyncio.run(main())
"""],
    "node": ["node", "--input-type=module", "-e", """
const { Handler } = await import(process.argv[1]);
const bus = new Handler({ bus: process.argv[2], routes: ["echo"], silenceMs: 600000 });
for await (const event of bus) if (event.type === "data") bus.send(event.conn, event.payload.toString());
""", ROOT / "node/wsbus.js"],
}


@pytest.mark.parametrize("sig", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("language", list(PATIENT))
def test_handlers_register_again_without_a_silence(make_gate, processes, tmp_path, language, sig):
    """A client that comes right after the gate is served, although nobody waits for it but the route's `handler_wait`."""
    directory, routes = tmp_path / "run", ["echo=/echo,no_handler=wait,handler_wait=20s"]
    first = make_gate(directory, routes=routes)
    processes([*PATIENT[language], first.dir])
    first.wait_handlers("echo", 1)
    for _ in range(2):
        first.process.send_signal(sig)
        first.process.wait(20)
        first = make_gate(directory, routes=routes)
        assert Raw(first).upgrade().ask("so soon") == "so soon"


CROWD = 2000


@pytest.fixture
def crowded(make_gate, take_seat, processes):
    """A gate, and a call that publishes to a crowd more than its worker does at once, and returns the handlers that there are."""
    gate = make_gate(routes=["crowd=/crowd", "echo=/echo,ack_timeout=1s"], args=["--workers", 1])
    seat = take_seat(gate, ["crowd"])
    processes([BUILD / "wsbench" / "wsbench", "idle", "-c", CROWD, "-d", "600", gate.url("/crowd")])
    for _ in range(CROWD):
        seat.hear("open")

    def publish():
        for _ in range(10):
            seat.publish("x" * 100, route="crowd")
        seat.flush()
        return handlers_of(gate)

    return gate, publish


@pytest.mark.parametrize("language", ["c", "c-zmq"])
def test_a_stopped_handler_is_noticed_while_another_publishes(crowded, echo, language):
    gate, publish = crowded
    victim = echo(gate, language)
    victim.signal(signal.SIGSTOP)
    eventually(lambda: len(publish()) == 1, "noticed")  # it never was, while this went on


def test_a_handler_that_hangs_is_noticed_while_another_publishes(crowded, take_seat):
    gate, publish = crowded
    victim = take_seat(gate)
    client = Raw(gate).upgrade()
    client.say("nobody reads this")
    victim.hear("open")
    eventually(lambda: len(publish()) == 1, "noticed")  # it never was, while this went on
