"""What is published to so many that it is not done in one step: to each once, and nothing that was said behind it comes before it."""

import pytest

from conftest import BUILD, Process
from raw import Raw
from test_slow import blast, connect

CLIENTS = 700  # more than a worker closes in one step, and than each of two does


@pytest.mark.parametrize("workers", [1, 2])
def test_what_follows_a_publish_stays_behind_it(make_gate, take_seat, workers):
    gate = make_gate(args=["--workers", workers])
    seat = take_seat(gate)
    clients, ids = [], []
    try:
        for _ in range(CLIENTS):
            clients.append(Raw(gate).upgrade())
            ids.append(seat.hear("open").conn)
            seat.join(ids[-1], "crowd")
        some = (0, CLIENTS // 2, CLIENTS - 1)
        seat.publish("one", group="crowd")
        for number in some:
            seat.send(ids[number], "only you")
        seat.publish("two", group="crowd")
        seat.leave(ids[-1], "crowd")
        seat.publish("not the last", group="crowd")
        for number in some:
            seat.close(ids[number], 4001, "enough")
        seat.publish("not the closed", group="crowd")
        seat.flush()
        for number, client in enumerate(clients):
            want = ["one", *(["only you"] if number in some else []), "two", *(["not the last"] if number != CLIENTS - 1 else []),
                    *(["not the closed"] if number not in some else [])]
            assert [client.read_message() for _ in want] == want, number
            if number in some:
                assert client.read_close() == (4001, "enough")
            else:
                client.say("I am here")
                assert seat.hear("data").text == "I am here"
    finally:
        for client in clients:
            client.close()


@pytest.mark.parametrize("workers", [1, 2])
def test_what_follows_a_close_of_many_stays_behind_it(make_gate, take_seat, workers):
    gate = make_gate(args=["--workers", workers])
    seat = take_seat(gate)
    clients = [Raw(gate).upgrade() for _ in range(CLIENTS)]
    try:
        ids = [seat.hear("open").conn for _ in clients]
        ends = {conn: client for conn, client in zip(ids, clients)}
        seat._command("close", meta={"to": ["%016x" % conn for conn in ids], "code": 4001})
        for conn in ids:
            seat.send(conn, "too late")
        seat.flush()
        for client in ends.values():
            assert (end := client.read_frame()).opcode == 8 and end.payload[:2] == (4001).to_bytes(2, "big"), end
    finally:
        for client in clients:
            client.close()


def test_clients_are_paused_though_much_is_published(make_gate, take_seat):
    """PAUSE has its place in the order of commands: what is in front of it has to be bounded by the work that it is."""
    talkers, crowd, each = 100, 1000, 4000000
    gate = make_gate(routes=["echo=/echo", "news=/news"], args=["--workers", 1, "--max-connections", talkers + crowd + 10])
    publisher = take_seat(gate, ["news"])
    audience = Process([BUILD / "wsbench" / "wsbench", "idle", "-c", crowd, "-d", "600", gate.url("/news")])
    try:
        for _ in range(crowd):
            publisher.hear("open")
        bus = take_seat(gate, ack=True)
        clients = [connect(gate, bus)[0] for _ in range(talkers)]
        for client in clients:
            client.socket.setblocking(False)
        for _ in range(6000):
            publisher.publish("x" * 100, route="news")
        publisher.flush()
        heard = blast(gate, clients, each)
    finally:
        audience.kill()
    assert heard < talkers * each // 4000 / 2, "of as many as were said it should have read a half at most"
