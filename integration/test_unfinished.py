"""Messages that do not become complete, and clients that are slow and alive."""

import threading

from conftest import eventually
from raw import Raw, frame

MIB = 1 << 20


def configured(make_gate, tmp_path, limits, *route):
    config = tmp_path / "wsgate.conf"
    config.write_text('limits {\n %s\n}\nroute echo {\n path = "/echo"\n max_message = 16MiB\n %s\n}\n' % (limits, "\n ".join(route)))
    return make_gate(routes=(), args=["--config", config])


def ended(gate, why):
    return gate.wsctl("stats")["routes"]["echo"]["ended"][why]


def test_a_message_that_takes_too_long_is_1008(make_gate, tmp_path, echo):
    gate = configured(make_gate, tmp_path, "", "message_timeout = 300ms")
    echo(gate)
    with Raw(gate).upgrade() as slow:
        slow.send(frame(2, b"", length=1000)[:8] + b"some")
        assert slow.read_close()[0] == 1008
    assert ended(gate, "message_timeout") == 1


def test_unfinished_messages_have_a_common_budget(make_gate, tmp_path, echo):
    gate = configured(make_gate, tmp_path, "message_memory = 32MiB")
    echo(gate)
    before = gate.memory_kib()
    greedy = [Raw(gate).upgrade() for _ in range(20)]
    for client in greedy:  # each sends most of a message, and then nothing
        client.socket.settimeout(20)
        try:
            client.send(frame(2, b"", length=15 * MIB)[:14] + bytes(14 * MIB))
        except ConnectionError:
            pass  # it was the oldest
    eventually(lambda: ended(gate, "unfinished") >= 15, "most of them ended")
    gate.assert_grew_less(before, 128)
    with Raw(gate).upgrade() as modest:
        assert modest.ask("hello") == "hello"
    for client in greedy:
        client.close()


def test_a_slow_reader_is_not_cut_while_it_reads(make_gate, tmp_path, take_seat):
    """Its pong is behind 8 MiB that it takes its time for; each time the gate looks, it has taken some."""
    gate = configured(make_gate, tmp_path, "", "max_queue = 64MiB", "ping_interval = 100ms", "ping_timeout = 1s")
    seat = take_seat(gate)
    client = Raw(gate, receive_buffer=64 << 10).upgrade()
    conn = seat.hear("open").conn
    seat.send(conn, bytes(8 * MIB))
    seat.flush()
    got = 0
    pause = threading.Event()
    while got < 8 * MIB:
        pause.wait(0.02)  # the slow line: some 3 MiB a second
        data = client.socket.recv(64 << 10)
        assert data, "cut behind %d bytes" % got
        got += len(data)
    assert ended(gate, "ping") == 0
    client.close()


def test_a_slow_upload_is_not_cut(make_gate, tmp_path, echo):
    gate = configured(make_gate, tmp_path, "", "ping_interval = 100ms", "ping_timeout = 300ms")
    echo(gate)
    with Raw(gate).upgrade() as client:
        data = frame(2, bytes(200))
        pause = threading.Event()
        for at in range(0, len(data), 10):  # its pong would be in the middle of the message
            client.send(data[at:at + 10])
            pause.wait(0.05)
        while True:
            got = client.read_frame()
            if got.opcode == 2:
                break
        assert len(got.payload) == 200
    assert ended(gate, "ping") == 0
