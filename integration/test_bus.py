"""The bus as a handler sees it: docs/protocol.md, Part I, sentence by sentence, with a handler that the test plays."""

import json
import re
import struct

import pytest
import zmq

import wsbus
from conftest import HANDLERS, PYTHON, ROOT, eventually
from raw import PING, PONG, Raw, close_frame, frame
from wsbus import META, MORE, conn_hex, make_header, make_record


def connect(gate, bus, path="/echo"):
    client = Raw(gate).upgrade(path)
    return client, bus.hear("open").conn


class Plain:
    """A DEALER without any help: one ZeroMQ message in, one out."""

    def __init__(self, gate):
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.connect("ipc://%s/handlers" % gate.dir)

    def send(self, type_, payload=b"", meta=None, code=0, flags=0, conn=0, seq=0):
        data = b"" if meta is None else meta if isinstance(meta, bytes) else json.dumps(meta).encode()
        parts = [make_header(type_, code, flags | (META if data else 0), len(payload), conn, seq), payload]
        self.send_parts(parts + ([data] if data else []))

    def send_parts(self, parts):
        self.socket.send_multipart(parts)

    def read(self):
        """(fields, payload, meta) of the next message that is no heartbeat."""
        while True:
            assert self.socket.poll(20000), "nothing came"
            fields, payload, meta = wsbus.parse_parts(self.socket.recv_multipart())
            if fields[1] != 12:
                return fields, payload, json.loads(meta) if meta else {}

    def close(self):
        self.context.destroy(linger=0)


@pytest.fixture
def plain(gate):
    socket = Plain(gate)
    yield socket
    socket.close()


# --- registration


def test_welcome(make_gate, take_seat):
    gate = make_gate(routes=["a=/a", "b=/b", "c=/c,max_message=32MiB"])
    bus = take_seat(gate, ["b", "a", "b"], name="the test")
    meta = bus.welcome.meta
    assert re.fullmatch("[0-9a-f]{16}", meta["epoch"])
    assert sorted(meta["routes"]) == ["a", "b"]
    assert meta["heartbeat_ms"] == 1000
    assert meta["max_message"] == 32 << 20
    assert {"batch", "records"} <= set(meta["features"])
    handler, = gate.wsctl("handlers")["handlers"]
    assert (handler["id"], handler["name"], handler["language"], handler["batch"]) == (meta["id"], "the test", "python", True)
    other = take_seat(gate, ["a"])
    assert other.welcome.meta["epoch"] == meta["epoch"]
    assert other.welcome.meta["id"] != meta["id"]


@pytest.mark.parametrize("meta, code, text", [
    ({"routes": ["echo", "nowhere"]}, 6, "route 'nowhere' does not exist"),
    ({"routes": []}, 3, "HELLO wants"),
    ({}, 3, "HELLO wants"),
    ({"routes": "echo"}, 3, "routes"),
    ({"routes": [1]}, 3, "must be a string"),
    (b'{"routes": ["echo"], "routes": []}', 3, "not JSON"),
    (b"[]", 3, "must be a JSON object"),
    (b"{\xff}", 3, "not JSON"),
    ({"routes": ["echo"], "level": "loud"}, 3, "level"),
])
def test_hello_that_is_refused(gate, plain, meta, code, text):
    plain.send(64, meta=meta, seq=7)
    fields, payload, _ = plain.read()
    assert (fields[1], fields[2], fields[6]) == (15, code, 7)
    assert text in payload.decode()
    assert gate.wsctl("handlers")["handlers"] == []


def test_nothing_is_taken_before_hello(plain):
    for type_ in (65, 66, 67, 68, 69, 70, 71, 72, 73, 74, 75, 76):
        plain.send(type_, seq=type_)
        fields, payload, _ = plain.read()
        assert (fields[1], fields[2], fields[6], payload) == (15, 5, type_, b"say HELLO first")
    plain.send(77, b"anyone?", seq=9)  # but PING is
    fields, payload, _ = plain.read()
    assert (fields[1], fields[6], payload) == (5, 9, b"anyone?")


@pytest.mark.parametrize("is_batch", [False, True])
def test_a_handler_that_takes_records_gets_messages_of_one_part(gate, plain, is_batch):
    def read():
        while True:
            assert plain.socket.poll(20000), "nothing came"
            part, = plain.socket.recv_multipart()
            fields, payload, meta = wsbus.parse_alone(part)
            for record in wsbus.parse_batch(payload) if fields[1] == 127 else [(fields, payload, meta)]:
                if record[0][1] != 12:
                    return record

    plain.send(64, meta={"routes": ["nowhere"], "records": True}, seq=1)
    assert plain.read()[0][1] == 15  # what is refused begins nothing: it is of two parts
    plain.send(64, meta={"routes": ["echo"], "records": True, "batch": is_batch}, seq=2)
    assert read()[0][1] == 1
    assert gate.wsctl("handlers")["handlers"][0]["records"] is True
    with Raw(gate) as client:
        client.upgrade("/echo")
        assert read()[0][1] == 2
        for size in (0, 1, 300, 70000):
            client.say("x" * size)
            fields, payload, meta = read()
            assert (fields[1], payload, meta) == (3, b"x" * size, b"")
    assert read()[0][1] == 4
    plain.send(64, meta={"routes": ["echo"]}, seq=3)  # said again without it: from then on in parts
    assert plain.read()[0][1] == 1


# An IMMEDIATE socket of libzmq's ends the process when its connection ends in front of the second part of a message.
# Over shared memory there are no parts.
@pytest.mark.parametrize("language", [language for language in HANDLERS if language != "raw"])
def test_helpers_take_records(gate, echo, language):
    echo(gate, language)
    handler, = gate.wsctl("handlers")["handlers"]
    assert (handler["link"], handler["records"]) == (("shm", False) if language in ("c", "python-shm") else ("zmq", True))


def test_hello_again_is_answered_and_changes_the_routes(make_gate):
    gate = make_gate(routes=["a=/a", "b=/b"])
    plain = Plain(gate)
    plain.send(64, meta={"routes": ["a"]}, seq=1)
    first = plain.read()[2]
    plain.send(64, meta={"routes": ["b"]}, seq=2)
    fields, _, second = plain.read()
    assert (fields[1], fields[6]) == (1, 2)
    assert (second["id"], second["epoch"], second["routes"]) == (first["id"], first["epoch"], ["b"])
    routes = {route["name"]: route["handlers"] for route in gate.wsctl("routes")["routes"]}
    assert routes == {"a": 0, "b": 1}
    plain.close()


@pytest.mark.parametrize("type_, flags, code", [(0, 0, 1), (3, 0, 1), (83, 0, 1), (126, 0, 1), (255, 0, 1), (69, 64, 2), (69, 4, 2), (64, 16, 2)])
def test_unknown_types_and_flags_are_told(plain, type_, flags, code):
    plain.send(64, meta={"routes": ["echo"]})
    assert plain.read()[0][1] == 1
    plain.send(type_, flags=flags, seq=3)
    fields, payload, _ = plain.read()
    assert (fields[1], fields[2], fields[6]) == (15, code, 3), payload
    plain.send(77, b"?")
    assert plain.read()[0][1] == 5  # the link is up


def test_malformed_headers_are_dropped_and_counted(gate, plain):
    good = make_header(77, size=1)
    bad = [[b"", b""], [good[:31], b"x"], [good + b"x", b"x"], [b"\x02" + good[1:], b"x"], [good, b"xy"], [good], [good, b"x", b"{}"],
           [good, b"x", b"{}", b"more"], [b"x" * 32, b""]]
    for parts in bad:
        plain.send_parts(parts)
    plain.send_parts([good, b"!"])
    assert plain.read()[1] == b"!"
    assert gate.wsctl("stats")["bus"]["malformed"] == len(bad)
    assert 1 <= gate.output.count('msg="malformed message"') <= 2, gate.output


# --- batches


def test_a_handler_that_does_not_ask_gets_single_messages(gate, plain):
    plain.send(64, meta={"routes": ["echo"]})
    assert plain.read()[0][1] == 1
    with Raw(gate) as client:
        client.upgrade().say("a").say("b")
        kinds = [plain.read() for _ in range(3)]
        assert [fields[1] for fields, _, _ in kinds] == [2, 3, 3]
        conn = kinds[0][0][5]
        records = b"".join(make_record(make_header(69, 1, 0, 1, conn), text) for text in (b"x", b"y"))
        plain.send_parts([make_header(127, size=len(records)), records])  # but it may send one
        assert [client.read_message(), client.read_message()] == ["x", "y"]


def test_batch_gathers_a_round(gate, take_seat):
    bus = take_seat(gate)
    with Raw(gate) as client:
        client.upgrade().send(b"".join(frame(1, "%d" % i) for i in range(1000)))
        conn = bus.hear("open").conn
        events = [bus.hear("data") for _ in range(1000)]
        assert [event.text for event in events] == ["%d" % i for i in range(1000)]
        assert [event.seq for event in events] == list(range(2, 1002))
        assert {event.conn for event in events} == {conn}
        assert events[0].time_ns <= events[-1].time_ns


def test_a_bad_record_ends_its_batch_only(gate, plain):
    plain.send(64, meta={"routes": ["echo"]})
    assert plain.read()[0][1] == 1
    ping = make_record(make_header(77, size=1, seq=1), b"1")
    inner = make_record(make_header(127))
    for bad in (inner, b"\x07" * 64, ping[:40], b"\0" * 8, struct.pack("<II", 1 << 31, 0) + ping[8:]):
        plain.send_parts([make_header(127, size=len(ping) + len(bad), seq=5), ping + bad])
        assert plain.read()[1] == b"1"  # what came before it is done
        fields, payload, _ = plain.read()
        assert (fields[1], fields[2], fields[6]) == (15, 4, 5), payload
    plain.send_parts([make_header(127), b""])  # an empty one is good
    plain.send(77, b"?")
    assert plain.read()[1] == b"?"


# --- pinning


def test_a_connection_goes_to_whoever_has_the_fewest(gate, take_seat):
    first = take_seat(gate)
    early = [connect(gate, first) for _ in range(3)]
    second = take_seat(gate)
    late = [connect(gate, second) for _ in range(3)]  # second hears all of them
    for client, conn in early + late:
        client.say("x")
    assert sorted(first.hear("data").conn for _ in early) == sorted(conn for _, conn in early)
    assert sorted(second.hear("data").conn for _ in late) == sorted(conn for _, conn in late)
    early[0][0].send(close_frame(1000))
    assert first.hear("closed").conn == early[0][1]
    connect(gate, first)  # it has the fewest now
    assert second.hears_nothing()


# --- commands for many


def test_one_stale_target_does_not_harm_the_others(gate, take_seat):
    bus = take_seat(gate)
    (one, a), (two, b) = connect(gate, bus), connect(gate, bus)
    (gone, c) = connect(gate, bus)
    gone.send(close_frame(1000))
    bus.hear("closed")
    never = a ^ 0xff << 56  # of another epoch
    seq = bus.send([a, never, c, b], "all of you", outcome=True)
    outcomes = {event.conn: event.outcome for event in (bus.hear("outcome") for _ in range(4)) if event.seq == seq}
    assert outcomes == {a: "written", b: "written", c: "gone", never: "stale"}
    assert one.read_message() == two.read_message() == "all of you"


def test_outcomes(make_gate, take_seat):
    gate = make_gate(routes=["echo=/echo,max_message=1MiB", "web=/web,kind=http"])
    bus = take_seat(gate, ["echo", "web"])
    client, conn = connect(gate, bus)

    def outcome_of(*args, **kwargs):
        seq = bus.send(*args, outcome=True, **kwargs)
        event = bus.hear("outcome")
        assert event.seq == seq
        assert bool(event.meta.get("reason")) == (event.outcome != "written")
        return event.outcome

    assert outcome_of(conn, "x") == "written"
    assert client.read_message() == "x"
    assert outcome_of(conn, b"x" * (1 << 20)) == "written"
    assert client.read_message() == b"x" * (1 << 20)
    assert outcome_of(conn, b"x" * ((1 << 20) + 1)) == "too big"
    assert outcome_of(conn, b"x" * (17 << 20)) == "too big"
    assert outcome_of(conn, b"\xff", opcode=1) == "invalid"
    assert outcome_of(conn, b"", opcode=9) == "invalid"
    assert outcome_of(12345, "x") == "stale"
    with Raw(gate) as browser:
        browser.send("GET /web HTTP/1.1\r\nHost: x\r\n\r\n")
        assert outcome_of(bus.hear("request").conn, "x") == "refused"
        browser.reset()  # a goodbye might only mean that it has said all it has to say
        assert bus.hear("aborted")
    client.send(close_frame(1000))
    bus.hear("closed")
    assert outcome_of(conn, "x") == "gone"


def test_without_asking_there_is_no_outcome(gate, take_seat):
    bus = take_seat(gate)
    client, conn = connect(gate, bus)
    bus.send(conn, "x")
    bus.send(12345, "x")
    bus.flush()
    assert client.read_message() == "x"
    assert bus.hears_nothing()


def test_bad_payload_without_an_outcome_is_an_error(gate, take_seat):
    bus = take_seat(gate)
    client, conn = connect(gate, bus)
    seq = bus.send(conn, b"\xff", opcode=1)
    error = bus.hear("error")
    assert (error.seq, error.code, error.text) == (seq, 4, "the text is not UTF-8")
    bus.send(conn, "good")
    bus.flush()
    assert client.read_message() == "good"


def test_no_target_is_an_error(gate, take_seat):
    bus = take_seat(gate)
    bus.send(0, "x")
    assert bus.hear("error").code == 3
    bus._command("send", 0, b"x", 1, meta={"to": ["xyz"]})
    assert bus.hear("error").code == 3


# --- groups


def test_groups(gate, take_seat):
    bus = take_seat(gate)
    (one, a), (two, b), (three, c) = (connect(gate, bus) for _ in range(3))
    bus.join(a, "red", "all", outcome=True)
    bus.join(b, "blue", "all", outcome=True)
    bus._command("join", 0, outcome=True, meta={"groups": ["all"], "to": [conn_hex(c)]})
    assert [bus.hear("outcome").outcome for _ in range(3)] == ["written"] * 3
    bus.publish("for all", group="all")
    bus.publish("for red", group="red")
    bus.publish("for nobody", group="green")
    bus.publish("all but a", group="all", but=[a])
    bus.publish("the route", route="echo")
    bus.leave(a, "all")
    bus.leave(a, "never been in")
    bus.publish("left", group="all")
    bus.publish("end", route="echo")
    bus.flush()

    def heard(client):
        messages = []
        while not messages or messages[-1] != "end":
            messages.append(client.read_message())
        return messages

    assert heard(one) == ["for all", "for red", "the route", "end"]
    assert heard(two) == ["for all", "all but a", "the route", "left", "end"]
    assert heard(three) == ["for all", "all but a", "the route", "left", "end"]
    assert {g["name"]: g["count"] for g in gate.wsctl("groups")["groups"]} == {"red": 1, "blue": 1, "all": 2}
    two.send(close_frame(1000))
    bus.hear("closed")
    assert {g["name"]: g["count"] for g in gate.wsctl("groups")["groups"]} == {"red": 1, "all": 1}  # gone with its connection
    for client in (one, three):
        client.close()


def test_publish_with_outcomes(gate, take_seat):
    bus = take_seat(gate)
    conns = [connect(gate, bus) for _ in range(3)]
    seq = bus.publish(b"x", route="echo", outcome=True)
    outcomes = [bus.hear("outcome") for _ in conns]
    assert {(event.conn, event.outcome, event.seq) for event in outcomes} == {(conn, "written", seq) for _, conn in conns}


@pytest.mark.parametrize("meta, code", [
    ({}, 3), ({"group": "g", "route": "echo"}, 3), ({"route": "nowhere"}, 6), ({"group": "g", "except": ["x"]}, 3), ({"group": 7}, 3)])
def test_publish_that_is_refused(gate, take_seat, meta, code):
    bus = take_seat(gate)
    bus._command("publish", 0, b"x", 1, meta=meta or {"x": 1})
    assert bus.hear("error").code == code


@pytest.mark.parametrize("groups, code", [([], 3), ([""], 7), (["x" * 256], 7), ([5], 3)])
def test_names_of_groups(gate, take_seat, groups, code):
    bus = take_seat(gate)
    client, conn = connect(gate, bus)
    bus._command("join", conn, meta={"groups": groups})
    assert bus.hear("error").code == code


# --- ping, log, level, heartbeat


def test_ping_to_a_client_tells_the_round_trip(gate, take_seat):
    bus = take_seat(gate)
    client, conn = connect(gate, bus)
    seq = bus.ping(conn, b"tick")
    bus.flush()
    assert client.read_frame() == (True, 0, PING, b"tick")
    client.send(frame(PONG, b"tick"))
    pong = bus.hear("pong")
    assert (pong.conn, pong.seq, pong.payload) == (conn, seq, b"tick")
    assert 0 < pong.meta["rtt_us"] < 20_000_000


def test_ping_to_the_gate(gate, take_seat):
    bus = take_seat(gate)
    seq = bus.ping(0, b"x" * 125)
    pong = bus.hear("pong")
    assert (pong.conn, pong.seq, pong.payload) == (0, seq, b"x" * 125)
    bus.ping(0, b"x" * 126)
    assert bus.hear("error").code == 4


def test_the_gate_sends_heartbeats(plain):
    plain.send(64, meta={"routes": ["echo"]})
    numbers = []
    while len(numbers) < 2:
        assert plain.socket.poll(5000)
        fields, _, _ = wsbus.parse_parts(plain.socket.recv_multipart())
        if fields[1] == 12:
            numbers.append(fields[6])
    assert numbers == [1, 2]


def test_log_lines_of_handlers(gate, take_seat):
    bus = take_seat(gate, name="chatty")
    bus.log("warn", 'a "quoted"\nline')
    bus.flush()
    line = gate.wait_line(r"level=warn .*module=handler").string
    assert "chatty" in line and r"\"quoted\"\nline" in line, line


def test_a_handlers_level_is_set_while_it_runs(gate, take_seat):
    bus = take_seat(gate)
    gate.wsctl("log", "set", "handler:%d=debug" % bus.welcome.meta["id"])
    assert bus.hear("level").code == 0
    assert bus.level == "debug"


# --- events and commands


@pytest.fixture
def feed(make_gate):
    return make_gate(routes=["feed=/feed,deliver=publish", "echo=/echo,tap=yes", "quiet=/quiet"])


class Listener:
    """A SUB that has arrived: the gate has its subscription."""

    def __init__(self, gate, topic):
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.SUB)
        self.socket.setsockopt_string(zmq.SUBSCRIBE, topic)
        self.socket.connect("ipc://%s/events" % gate.dir)

    def read(self):
        assert self.socket.poll(20000), "nothing came"
        parts = self.socket.recv_multipart()
        return parts[0].decode(), wsbus.Event(*wsbus.parse_parts(parts[1:]))

    def arrive(self, gate, path):
        """Knock until an OPEN is heard: a subscription takes its time."""
        def knocked():
            with Raw(gate) as client:
                client.upgrade(path)
            return self.socket.poll(100)

        eventually(knocked, "the subscription")
        while self.socket.poll(300):
            self.socket.recv_multipart()

    def close(self):
        self.context.destroy(linger=0)


def test_published_routes_and_commands(feed):
    listener = Listener(feed, "feed ")
    listener.arrive(feed, "/feed")
    commands = wsbus.Commander(feed.dir, zmq.Context())
    with Raw(feed) as client:
        client.upgrade("/feed").say("one").say(b"two")
        topics = [listener.read() for _ in range(3)]
        assert [topic for topic, _ in topics] == ["feed open", "feed data", "feed data"]
        opened = topics[0][1]
        assert opened.meta["route"] == "feed"
        assert [(event.payload, event.opcode, event.seq) for _, event in topics[1:]] == [(b"one", 1, 2), (b"two", 2, 3)]
        commands.send(opened.conn, "answer")
        assert client.read_message() == "answer"
        commands.join(opened.conn, "g")
        commands.publish("to the group", group="g")
        commands.publish("to the route", route="feed")
        assert [client.read_message(), client.read_message()] == ["to the group", "to the route"]
        commands.close(opened.conn, 1000, "bye")
        assert client.read_close() == (1000, "bye")
        client.send(close_frame(1000))
        topic, closed = listener.read()
        assert (topic, closed.meta["by"]) == ("feed closed", "handler")
    listener.close()


def test_what_commands_does_not_take_is_counted(feed):
    commands = wsbus.Commander(feed.dir, zmq.Context())
    before = feed.wsctl("stats")["bus"]["command_errors"]
    for name in ("hello", "credit", "ack", "tag", "log", "bye", "pong"):
        commands._command(name)
    commands.send(1, b"\xff", opcode=1)
    commands.send(0, b"no target")
    eventually(lambda: feed.wsctl("stats")["bus"]["command_errors"] == before + 9, "nine errors")
    unheard = feed.wsctl("stats")["bus"]["commands_unheard"]
    assert {reason: count for reason, count in unheard.items() if count} == {"refused": 6, "metadata": 2, "payload": 1}
    assert feed.wsctl("handlers")["handlers"] == []


def test_a_tapped_route_is_published_and_served(feed, take_seat):
    bus = take_seat(feed, ["echo", "quiet"])
    listener = Listener(feed, "echo data")
    all_of_quiet = Listener(feed, "quiet")
    with Raw(feed) as client, Raw(feed) as silent:
        client.upgrade("/echo")
        conn = bus.hear("open").conn
        eventually(lambda: client.say("knock") and listener.socket.poll(100), "the subscription")
        topic, event = listener.read()
        assert (topic, event.text, event.conn) == ("echo data", "knock", conn)
        assert bus.hear("data").text == "knock"
        silent.upgrade("/quiet").say("secret")
        while bus.hear("open", "data").payload != b"secret":
            pass
        assert not all_of_quiet.socket.poll(200)
    listener.close()
    all_of_quiet.close()


def test_a_publishing_route_takes_no_handlers(feed, plain_of):
    plain = plain_of(feed)
    plain.send(64, meta={"routes": ["feed"]})
    fields, payload, _ = plain.read()
    assert (fields[1], fields[2]) == (15, 6)
    assert "subscribe to events" in payload.decode()


@pytest.fixture
def plain_of():
    made = []

    def make(gate):
        made.append(Plain(gate))
        return made[-1]

    yield make
    for plain in made:
        plain.close()


def test_the_subscriber_example(make_gate, processes):
    gate = make_gate(routes=["feed=/feed,deliver=publish"])
    program = processes([PYTHON, "-u", ROOT / "examples/python/subscriber.py", "--bus", gate.dir, "--route", "feed"])
    with Raw(gate) as client:
        client.upgrade("/feed")

        def asked():
            client.say("time?")
            return not client.is_quiet(0.2)

        eventually(asked, "an answer")
        assert re.fullmatch(r"\d\d:\d\d:\d\d", client.read_message())
    program.wait_line("feed data")
    program.signal(2)
    eventually(lambda: program.process.poll() is not None, "it ends on Ctrl-C")
