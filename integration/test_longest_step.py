"""No step of a loop does very much, whatever is asked of it: counted in calls to the kernel and in allocations, which are the same on any
machine. bench/longest_step.py says what that is in time."""

import resource
import signal
import socket

import pytest
import wsbus
import zmq

from conftest import BUILD, eventually, is_sanitized
from raw import Raw
from steps import Steps
from test_metrics import ask, port_of
from test_tcp import HELLO, Peer

CLIENTS = 2000
CALLS, ALLOCATIONS = 400, 8000  # of one step at most; what is below costs 5 ms or less
NAMES = ["group-%04d-%s" % (number, "x" * 20) for number in range(100)]  # 3 KB
WATCHERS = 40
WAITING = 2000

pytestmark = pytest.mark.skipif(is_sanitized(BUILD / "wsgate" / "wsgate"), reason="a sanitizer has an allocator of its own")


class Crowd:
    """A gate with very many idle clients of one handler, which is the test's, and whose loops are watched."""

    def __init__(self, make_gate, take_seat, processes, directory, workers):
        self.steps = Steps(directory)
        self.gate = make_gate(
            routes=["echo=/echo", "other=/other,deliver=publish", "probe=/probe"], env=self.steps.env,
            args=["--workers", workers, "--metrics", "127.0.0.1:0"])
        self.seat = take_seat(self.gate, ["echo", "probe"])
        self.probe = Raw(self.gate).upgrade("/probe")
        self.probe_conn = self.seat.hear("open").conn
        self.crowd = processes([BUILD / "wsbench" / "wsbench", "idle", "-c", CLIENTS, "-d", "600", self.gate.url("/echo")])
        self.conns = [self.seat.hear("open").conn for _ in range(CLIENTS)]

    def settle(self):
        """Until everything that was said has been done: the answer to what was said behind it is here."""
        self.seat.flush()
        self.probe.say("are you there")
        while (event := self.seat.read(20000)).type != "data":
            assert event is not None
        self.seat.send(self.probe_conn, "done")
        self.seat.flush()
        while self.probe.read_message() != "done":
            pass

    def check(self, work):
        self.settle()
        self.steps.forget()
        work(self)
        self.settle()
        most = self.steps.most()
        print("%s: %r" % (work.__name__, most))
        assert 0 < most.calls <= CALLS and 0 < most.allocations <= ALLOCATIONS, most


def publishes_to_all(crowd):
    for _ in range(10):
        crowd.seat.publish("x" * 125, route="echo")


def sends_by_name(crowd):
    crowd.gate.wsctl("send", "--route", "echo", "--route", "probe", "--text", "x")


def sends_by_ids(crowd):
    crowd.seat.send(crowd.conns, "x")


def sends_one_by_one(crowd):
    for conn in crowd.conns:
        crowd.seat.send(conn, "x")


def requests_that_wait(crowd):
    """Their responses are all there at once."""
    clients = [Raw(crowd.gate) for _ in range(300)]
    for client in clients:
        client.send(b"GET /echo HTTP/1.1\r\nHost: localhost\r\n\r\n")
    for conn in [crowd.seat.hear("request").conn for _ in clients]:
        crowd.seat.respond(conn, b"here")
    crowd.seat.flush()
    for client in clients:
        assert client.read_response().body == b"here"
        client.reset()


def requests_in_hand(crowd, count):
    """Clients whose requests wait, and the connections."""
    clients = [Raw(crowd.gate) for _ in range(count)]
    for client in clients:
        client.send(b"GET /echo HTTP/1.1\r\nHost: localhost\r\n\r\n")
    return clients, [crowd.seat.hear("request").conn for _ in clients]


def closes_of_requests_that_wait(crowd):
    clients, conns = requests_in_hand(crowd, WAITING)
    for conn in conns:
        crowd.seat.close(conn)
    crowd.seat.flush()
    for client in clients:
        client.expect_end()


def responses_one_by_one(crowd):
    clients, conns = requests_in_hand(crowd, WAITING)
    for conn in conns:
        crowd.seat.respond(conn, b"here", headers={"Connection": "close"})
    crowd.seat.flush()
    for client in clients:
        assert client.read_response().body == b"here"
        client.reset()


def a_list_of_all(crowd):
    assert len(crowd.gate.wsctl("list", "--limit", "0")["connections"]) >= CLIENTS


def many_names_for_one(crowd):
    for conn in crowd.conns[:500]:
        crowd.seat.join(conn, *NAMES)


def many_groups(crowd):
    for number in range(20000):
        crowd.seat.join(crowd.conns[number % CLIENTS], "group %d" % number)


def a_list_of_names(crowd):
    for conn in crowd.conns:
        crowd.seat.join(conn, "all")
    crowd.settle()
    assert len(crowd.gate.wsctl("groups", "--limit", "0")["groups"]) > 20000
    assert len(crowd.gate.wsctl("groups", "all", "--limit", "0")["groups"][0]["members"]) == CLIENTS


def joins_that_many_watch(crowd):
    watchers = [Peer(zmq.DEALER, "ipc://%s/handlers" % crowd.gate.dir) for _ in range(WATCHERS)]
    try:
        for watcher in watchers:
            watcher.say(HELLO, meta={"routes": ["echo"], "presence": True, "drain": True})
        crowd.gate.wait_handlers("echo", 1 + WATCHERS)
        for conn in crowd.conns[:20]:
            crowd.seat.leave(conn, *NAMES)
            crowd.seat.join(conn, *NAMES)
        crowd.settle()
    finally:
        for watcher in watchers:
            watcher.__exit__()
    crowd.gate.wait_handlers("echo", 1)


def a_handler_comes_and_goes(crowd):
    with wsbus.Handler(["echo"], bus=crowd.gate.dir) as other:
        eventually(lambda: other.read(0) is not None, "it is registered")
        crowd.gate.wait_handlers("echo", 2)
        other.disconnect()
    crowd.gate.wait_handlers("echo", 1)


def many_come_at_once(crowd):
    clients = [Raw(crowd.gate) for _ in range(300)]
    for client in clients:
        client.send(b"GET /other HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
    for client in clients:
        client.expect_101()
    for client in clients:
        client.reset()


def a_look_at_the_metrics(crowd):
    answer = ask(port_of(crowd.gate), "/metrics")
    assert answer.status == 200 and b"wsbus_build_info" in answer.body


def closes_one_by_one(crowd):
    for conn in crowd.conns[:1000]:
        crowd.seat.close(conn)
    crowd.seat.flush()
    eventually(lambda: crowd.gate.wsctl("stats")["gate"]["connections"] <= CLIENTS - 900, "they are gone")


def a_close_of_all(crowd):
    crowd.gate.wsctl("close", "--route", "echo", "--yes")
    eventually(lambda: crowd.gate.wsctl("stats")["gate"]["connections"] <= 1, "all are gone")


WORKS = [
    publishes_to_all, sends_by_name, sends_by_ids, sends_one_by_one, requests_that_wait, closes_of_requests_that_wait, responses_one_by_one, a_list_of_all, many_names_for_one, many_groups, a_list_of_names,
    joins_that_many_watch, a_handler_comes_and_goes, many_come_at_once, a_look_at_the_metrics, closes_one_by_one, a_close_of_all]


# What the kernel has accepted for a gate that does not run is served when it goes on, though it ends then.
def test_the_last_clients_of_a_gate_come_in_steps(make_gate, take_seat, tmp_path):
    steps = Steps(tmp_path)
    gate = make_gate(env=steps.env, args=["--workers", "1", "--drain-timeout", "60s"])
    seat = take_seat(gate)
    gate.signal(signal.SIGSTOP)
    waiting = int(open("/proc/sys/net/core/somaxconn").read())
    waiting = min(waiting, 2000, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 200)
    clients = [socket.create_connection(("127.0.0.1", gate.port), 20) for _ in range(waiting)]
    for client in clients:
        client.sendall(b"GET /echo HTTP/1.1\r\nHost: h\r\n\r\n")
    gate.signal(signal.SIGTERM)
    steps.forget()
    gate.signal(signal.SIGCONT)
    for _ in clients:
        seat.respond(seat.hear("request").conn, b"here")
    seat.flush()
    for client in clients:
        assert client.recv(12) == b"HTTP/1.1 200", "it was let in, and answered"
        client.close()
    gate.process.wait(60)
    most = steps.most()
    print("the last clients: %r" % (most,))
    assert 0 < most.calls <= CALLS and 0 < most.allocations <= ALLOCATIONS, most


@pytest.mark.parametrize("workers", [1, 2])
def test_no_step_does_very_much(make_gate, take_seat, processes, tmp_path, workers):
    crowd = Crowd(make_gate, take_seat, processes, tmp_path, workers)
    for work in WORKS:
        crowd.check(work)
