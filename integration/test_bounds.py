"""What the configuration bounds, whatever handlers and clients do: memory, time without an acknowledgement, what is checked."""

import time

import pytest
from conftest import DEADLINE, eventually
from raw import Raw, frame

MIB = 1 << 20


def configured(make_gate, tmp_path, options):
    """A gate with one route, echo, and these options."""
    config = tmp_path / "gate.conf"
    config.write_text("route echo { path = /echo\n%s\n}\n" % options)
    return make_gate(args=["--config", config, "--log", "ws=warn"], routes=[])


def fill(client, number, most):
    """Send numbered messages until the kernel takes no more: how many went, and what is left of one that went in part."""
    client.socket.setblocking(False)
    for sent in range(most):
        data = frame(2, b"%06d" % (number + sent) + bytes(30000))
        at = 0
        while at < len(data):
            try:
                at += client.socket.send(data[at:])
            except BlockingIOError:
                return sent, data[at:] if at else b""
    return most, b""


def is_paused(gate):
    rows = gate.wsctl("list")["connections"]
    return rows and all(row["paused"] for row in rows)


@pytest.mark.parametrize("why", ["no acknowledgement", "no credit", "no handler"])
def test_memory_is_bounded_and_nothing_is_lost(make_gate, take_seat, tmp_path, why):
    """20 clients offer all that they can, and nobody is done with any of it. Later all of it arrives, in order."""
    gate = configured(make_gate, tmp_path, "max_retained = 4MiB\nno_handler = wait\nhandler_wait = 600s\nack_timeout = 600s")
    seat = None
    if why == "no acknowledgement":
        seat = take_seat(gate, manual_ack=True, credit=None)
    elif why == "no credit":
        seat = take_seat(gate, credit=(1, 1))
    clients = [Raw(gate.port) for _ in range(20)]
    for client in clients:
        client.upgrade("/echo")
    before = gate.memory_kib()
    offered = {client: 0 for client in clients}
    rest = {}

    def offer():
        for client in clients:
            if client in rest and rest[client]:
                continue  # the kernel holds a part of one: no more fits
            sent, rest[client] = fill(client, offered[client], 3000)
            offered[client] += sent
        return all(rest.values())

    eventually(offer, "the kernels of all clients are full")
    eventually(lambda: is_paused(gate), "all clients are paused")
    gate.assert_grew_less(before, 56)  # 16 MiB may be under way to the hub, in buffers that double; and what is retained, there and at the link
    route = gate.wsctl("stats")["routes"]["echo"]
    assert route["messages_in"] == route["delivered"] + route["retained_messages"] + sum(route["in_dropped"].values())
    assert sum(route["in_dropped"].values()) == 0
    assert route["pauses"] >= 20

    if seat is not None:
        seat.stand_up()
    seat = take_seat(gate)
    seen, waiting = {}, {client: tail for client, tail in rest.items() if tail}
    end = time.monotonic() + DEADLINE * 3
    while sum(seen.values()) < sum(offered.values()) + len(rest):
        assert time.monotonic() < end, (seen, offered)
        for client in list(waiting):
            try:
                waiting[client] = waiting[client][client.socket.send(waiting[client]):]
            except BlockingIOError:
                continue
            if not waiting[client]:
                del waiting[client]
        while (event := seat.read(10)) is not None:
            if event.type == "data":
                number = seen.get(event.conn, 0)
                assert event.payload[:6] == b"%06d" % number, "out of order"
                seen[event.conn] = number + 1
        seat.flush()
    for client in clients:
        client.close()


def test_who_acknowledges_nothing_is_given_up(make_gate, take_seat, tmp_path):
    """It lives, its library answers every heartbeat, and it does nothing."""
    gate = configured(make_gate, tmp_path, "ack_timeout = 1s")
    idle = take_seat(gate)
    with Raw(gate.port) as client:
        client.upgrade("/echo")
        client.say("one")
        opened, one = idle.hear("open"), idle.hear("data")
        busy = take_seat(gate)
        again, data = busy.hear("open"), busy.hear("data")
        assert (again.conn, again.redelivered) == (opened.conn, True)
        assert (data.payload, data.redelivered, data.seq) == (one.payload, True, one.seq)
        busy.send(data.conn, "from the busy one")
        client.say("two")
        assert busy.hear("data").payload == b"two"
        assert client.read_message() == "from the busy one"
        assert busy.hears_nothing()  # and has acknowledged everything
        idle.send(opened.conn, "too late")
        idle.flush()
        events = [idle.read(DEADLINE * 1000) for _ in range(2)]
        assert events[0].type == "revoked" and events[0].conn == opened.conn
        assert events[1].type == "welcome", "it is registered anew"
        assert client.is_quiet()


@pytest.mark.parametrize("said", ["yes", "no"])
def test_text_of_handlers_is_checked_unless_the_route_says_no(make_gate, take_seat, tmp_path, said):
    gate = configured(make_gate, tmp_path, "check_text = %s" % said)
    seat = take_seat(gate)
    with Raw(gate.port) as client:
        client.upgrade("/echo")
        conn = seat.hear("open").conn
        seat.send(conn, b"caf\xe9", 1, outcome=True)
        seat.flush()
        outcome = seat.hear("outcome")
        assert outcome.outcome == ("invalid" if said == "yes" else "written")
        if said == "no":
            assert client.read_frame().payload == b"caf\xe9"


@pytest.mark.parametrize("policy, reason", [("drop-new", "full_new"), ("drop-old", "full_old"), ("close", "full_close")])
def test_what_a_full_handler_costs_is_counted(make_gate, take_seat, tmp_path, policy, reason):
    gate = configured(make_gate, tmp_path, "handler_full = %s\nmax_backlog = 10000\nack_timeout = 600s" % policy)
    seat = take_seat(gate, credit=(5, 1 << 30))
    with Raw(gate.port) as client:
        client.upgrade("/echo")
        conn = seat.hear("open").conn
        for i in range(100):
            client.say("%03d" % i + "x" * 1000)
        if policy == "close":
            assert client.read_close()[0] == 1013
        else:
            eventually(lambda: gate.wsctl("stats")["routes"]["echo"]["messages_in"] == 100, "all are in")
        route = gate.wsctl("stats")["routes"]["echo"]
        dropped = route["in_dropped"].pop(reason)
        assert dropped > (0 if policy == "close" else 50) and not any(route["in_dropped"].values())
        assert route["messages_in"] == route["delivered"] + dropped + route["retained_messages"]
        seen, last = [], 1
        while len(seen) < route["messages_in"] - dropped:
            event = seat.hear("data")
            assert event.conn == conn and event.seq == int(event.payload[:3]) + 2, "the gap says what was dropped"
            assert event.seq > last
            seen.append(int(event.payload[:3]))
            last = event.seq
        assert seen[:5] == [0, 1, 2, 3, 4]
        if policy == "drop-old":
            assert seen[-1] == 99
        elif policy == "drop-new":
            assert seen == list(range(len(seen)))
