"""What is published to so many that it is not done in one step: to each once, and nothing that was said behind it comes before it."""

import signal

import pytest

from raw import Raw

CLIENTS = 1700  # more than three steps of a worker, and more than one of each of two


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


def test_a_drain_does_not_overtake_what_was_published(make_gate, take_seat):
    gate = make_gate(args=["--workers", "1"])
    seat = take_seat(gate)
    clients = [Raw(gate).upgrade() for _ in range(CLIENTS)]
    try:
        for _ in clients:
            seat.join(seat.hear("open").conn, "crowd")
        words = ["%d of 200" % number for number in range(200)]
        for word in words:
            seat.publish(word, group="crowd")
        seat.flush()
        first = clients[0].read_message()
        gate.signal(signal.SIGTERM)
        assert [first, *(clients[0].read_message() for _ in words[1:])] == words
        for client in clients[1:]:
            assert [client.read_message() for _ in words] == words
    finally:
        for client in clients:
            client.close()
