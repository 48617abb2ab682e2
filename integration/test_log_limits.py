"""What strangers and handlers can have the gate write: a few lines a second of each kind, and sums of the others. And what it counts."""

import contextlib
import re
import socket

import pytest

import wsbus
from conftest import DEADLINE, eventually
from raw import Raw, upgrade_request


PING, LOG = 77, 79  # types of messages


def knock(gate, says):
    """One connection that is ended by the gate; everything it says was looked at."""
    with socket.create_connection(("127.0.0.1", gate.port), timeout=DEADLINE) as client:
        with contextlib.suppress(ConnectionError):
            client.sendall(says)
            while client.recv(4096):
                pass


def account(gate, what):
    """(lines of this kind, lines that are said to be left out)."""
    lines = sum('msg="%s"' % what in line or "msg=%s " % what in line for line in gate.output.splitlines())
    sums = re.findall(r'msg="lines left out" of="?%s"? count=(\d+)' % re.escape(what), gate.output)
    return lines, [int(count) for count in sums]


def flood(gate, what, make, at_least, each=1):
    """Make lines, more than are written at once, and no more of them: each one is written or in a sum."""
    made = 0
    while not account(gate, what)[1]:  # one burst may lie in two seconds, and all of it be written
        for _ in range(at_least):
            make()
            made += each
        assert made < 500 * at_least * each
    eventually(lambda: account(gate, what)[0] + sum(account(gate, what)[1]) >= made, "all are accounted for")
    lines, sums = account(gate, what)
    assert lines < made and lines + sum(sums) == made
    return made


@pytest.fixture
def lone_gate(make_gate):
    return make_gate(args=["--workers", "1", "--log-level", "info"])


def test_requests_that_are_refused(lone_gate):
    made = flood(lone_gate, "refused", lambda: knock(lone_gate, b"GET / HTTP/9.9\r\n\r\n"), 40)
    assert sum(lone_gate.wsctl("stats")["gate"]["refused_by"].values()) == made


def test_the_end_tells_what_was_left_out(lone_gate):
    for _ in range(100):
        knock(lone_gate, b"GET / HTTP/9.9\r\n\r\n")
    assert lone_gate.stop() == 0
    lines, sums = account(lone_gate, "refused")
    assert lines < 100 and lines + sum(sums) == 100
    assert lone_gate.lines[-1].endswith("msg=stopped")


def test_connections_that_come_and_go(make_gate):
    gate = make_gate(args=["--workers", "1"], routes=["feed=/feed,deliver=publish"])

    def crowd():
        clients = [Raw(gate) for _ in range(100)]
        for client in clients:
            client.send(upgrade_request("/feed"))
        for client in clients:
            client.expect_101()
            client.reset()

    made = flood(gate, "opened", crowd, 3, each=100)
    eventually(lambda: gate.wsctl("stats")["gate"]["connections"] == 0, "all are gone")
    assert gate.stop() == 0
    lines, sums = account(gate, "closed")
    assert lines < made and lines + sum(sums) == made


@pytest.mark.parametrize("wire", ["wss"], indirect=True)
def test_tls_handshakes_that_fail(lone_gate):
    made = flood(lone_gate, "TLS handshake failed", lambda: knock(lone_gate, b"\x16\x03\x01\x00\x05rubbish"), 40)
    assert sum(lone_gate.wsctl("stats")["gate"]["tls_failed"].values()) == made


def test_lines_of_a_handler(lone_gate, take_seat):
    bus = take_seat(lone_gate, name="chatty")

    def say():
        bus.log("info", "again")
        bus.flush()

    made = flood(lone_gate, "chatty", say, 400)
    lines, sums = account(lone_gate, "chatty")
    assert lines + sum(sums) <= made
    quiet = take_seat(lone_gate, name="quiet")  # what one says is not another's share
    quiet.log("info", "is heard")
    quiet.flush()
    lone_gate.wait_line("msg=quiet .*is heard")


def test_lines_of_who_is_not_registered(lone_gate):
    with wsbus.zmq.Context() as context, context.socket(wsbus.zmq.DEALER) as stranger:
        stranger.connect("ipc://%s/handlers" % lone_gate.dir)

        def say():
            stranger.send_multipart([wsbus.make_header(LOG, 1, 0, 4), b"me!?"])
            stranger.send_multipart([wsbus.make_header(PING), b""])
            assert stranger.poll(DEADLINE * 1000) and stranger.recv_multipart()  # it was read

        flood(lone_gate, "unregistered", say, 40)


def test_commands_that_meet_nobody_are_counted(lone_gate, take_seat):
    def missed():
        return lone_gate.wsctl("stats")["bus"]["missed"]

    bus = take_seat(lone_gate)
    client = Raw(lone_gate).upgrade()
    conn = bus.hear("open").conn
    client.close()
    bus.hear("closed")
    eventually(lambda: lone_gate.wsctl("status")["connections"] == 0, "it is gone")
    before = missed()
    never = conn ^ 1 << 40
    for target in (conn, never):
        bus.send(target, "hello")
        bus.close(target)
        bus.join(target, "room")
    bus.publish("nobody is there", group="room")  # that is no miss: a group may be empty
    bus.flush()
    eventually(lambda: missed() == before + 6, "each of them")
