"""Long responses for clients that are slower than their handler: what the handler is told, and what can never happen."""

import hashlib
import random
import ssl
import subprocess
import threading
import zlib

import pytest

from conftest import BOTH_WIRES, ROOT, eventually, with_libwsbus
from raw import Raw
from test_http import begin_stream, get

pytestmark = BOTH_WIRES

KIB, MIB = 1 << 10, 1 << 20


class Rewinding:
    """A handler that sends as fast as it can, says where each part belongs, and goes back to where it is told to."""

    def __init__(self, bus, conn, body, part, outcome=False):
        self.bus, self.conn, self.body, self.part, self.outcome = bus, conn, body, part, outcome
        self.at, self.told, self.refused = 0, 0, 0

    def send(self, count):
        for _ in range(count):
            if self.at < len(self.body):
                part = self.body[self.at:self.at + self.part]
                self.bus.body(self.conn, part, more=self.at + len(part) < len(self.body), at=self.at, outcome=self.outcome)
                self.at += len(part)
        self.bus.flush()

    def hear(self, wait_ms):
        event = self.bus.read(wait_ms)
        if event is None:
            return False
        assert event.type in ("writable", "outcome"), event
        if event.type == "writable":
            assert event.conn == self.conn
            self.at, self.told = event.meta["at"], self.told + 1
        else:
            self.refused += event.outcome == "dropped"
        return True


def wait_refused(gate):
    """Until a part has found no room."""
    eventually(lambda: gate.wsctl("stats")["routes"]["web"]["body_refused"], "a part that is refused")


def read_parts(client, unpack=bytes):
    """A chunked body: its length and hash."""
    digest, total = hashlib.sha256(), 0
    while size := int(client.read_until(b"\r\n"), 16):
        data = unpack(client.read(size + 2)[:-2])
        digest.update(data)
        total += len(data)
    assert client.read(2) == b"\r\n"
    return total, digest.digest()


@pytest.mark.parametrize("outcome", [False, True])
@pytest.mark.parametrize("coding", [None, "gzip"])
def test_a_handler_that_goes_back_leaves_no_hole(make_gate, take_seat, outcome, coding):
    gate = make_gate(routes=["web=/web/{rest*},max_queue=64KiB,gzip=on,gzip_level=1"])
    bus = take_seat(gate, ["web"])
    body = random.Random(4).randbytes(12 * MIB)
    got = []
    with Raw(gate, receive_buffer=4096) as client:
        client.send(get("/web/", headers=["Accept-Encoding: gzip"] if coding else []))
        handler = Rewinding(bus, bus.hear("request").conn, body, 32 * KIB, outcome)
        bus.respond(handler.conn, b"", 200, {"content-type": "text/plain"}, more=True)
        while handler.at < len(body):
            handler.send(16)
        assert client.read_head()[1].get("content-encoding") == coding
        wait_refused(gate)  # nobody reads yet
        unpack = zlib.decompressobj(31).decompress if coding else bytes
        reader = threading.Thread(target=lambda: got.append(read_parts(client, unpack)), daemon=True)
        reader.start()
        while not got:
            if handler.hear(20) or handler.told:
                handler.send(16)
        reader.join()
        assert got[0] == (len(body), hashlib.sha256(body).digest())
        assert handler.told and bool(handler.refused) == outcome
    assert gate.wsctl("stats")["routes"]["web"]["gzipped"] == (1 if coding else 0)


def fill(bus, conn):
    """Parts until the client's queue is full, as an outcome says."""
    at = 0
    while True:
        bus.body(conn, bytes(64 * KIB), at=at, outcome=True)
        bus.flush()
        at += 64 * KIB
        event = bus.read(100)
        if event is not None and event.outcome == "dropped":
            return event
        assert at < 64 * MIB


@pytest.mark.parametrize("more, outcome", [(True, False), (True, True), (False, False)])
def test_a_handler_that_does_not_heed_it_is_cut_off(make_gate, take_seat, more, outcome):
    gate = make_gate(routes=["web=/web/{rest*},max_queue=64KiB"])
    with Raw(gate, receive_buffer=4096) as client:
        bus, conn = begin_stream(gate, take_seat, client, {}, b"")
        fill(bus, conn)
        bus.body(conn, b"behind the part that was refused", more=more, outcome=outcome)
        bus.flush()
        while (event := bus.hear("outcome", "aborted")).type == "outcome":
            pass
        assert (event.conn, event.meta["reason"]) == (conn, "a part of the response was refused, and not sent again")
        assert not client.read_to_end().endswith(b"0\r\n\r\n"), "half a response must not look whole"


def test_without_a_position_or_an_outcome_it_ends_at_once(make_gate, take_seat):
    gate = make_gate(routes=["web=/web/{rest*},max_queue=64KiB"])
    with Raw(gate, receive_buffer=4096) as client:
        bus, conn = begin_stream(gate, take_seat, client, {}, b"")
        for _ in range(1000):
            bus.body(conn, bytes(64 * KIB))
        bus.flush()
        event = bus.hear("aborted")
        assert (event.conn, event.meta["reason"]) == (conn, "slow client")
        assert gate.wsctl("stats")["routes"]["web"]["cut"]["slow"] == 1
        assert not client.read_to_end().endswith(b"0\r\n\r\n")


@pytest.mark.parametrize("type_", ["text/plain", "text/event-stream"])
def test_a_client_that_takes_nothing_is_cut_off(make_gate, take_seat, type_):
    gate = make_gate(routes=["web=/web/{rest*},max_queue=64KiB,stream_timeout=300ms,sse_keepalive=300ms"])
    with Raw(gate, receive_buffer=4096) as client:
        bus, conn = begin_stream(gate, take_seat, client, {"content-type": type_}, b"")
        fill(bus, conn)
        while (event := bus.hear("outcome", "aborted")).type == "outcome":
            pass
        assert (event.conn, event.meta["reason"]) == (conn, "the client does not take what is sent")
        assert gate.wsctl("stats")["routes"]["web"]["cut"]["slow"] == 1
        gate.wait_line('response cut off.*the client does not take what is sent.*route=web')
        assert not client.read_to_end().endswith(b"0\r\n\r\n")


def test_what_is_cut_off_is_counted(make_gate, take_seat):
    gate = make_gate(routes=["web=/web/{rest*},stream_timeout=100ms,request_timeout=100ms"])
    with Raw(gate) as client:
        bus, conn = begin_stream(gate, take_seat, client, {}, b"begun")
        assert bus.hear("aborted").conn == conn
    with Raw(gate) as client:
        client.send(get("/web/"))
        bus.hear("request")
        assert client.read_response().status == 504
    stats = gate.wsctl("stats")["routes"]["web"]
    assert stats["cut"]["silent"] == sum(stats["cut"].values()) == 1
    assert stats["refused_by"]["request_timeout"] == 1


def test_the_end_of_a_response_may_be_refused_too(make_gate, take_seat):
    """The helpers must not believe that it is over."""
    gate = make_gate(routes=["web=/web/{rest*},max_queue=64KiB"])
    with Raw(gate, receive_buffer=4096) as client:
        bus, conn = begin_stream(gate, take_seat, client, {}, b"")
        fill(bus, conn)
        bus.body(conn, b"", more=False, at=1 << 40, outcome=True)  # wherever it belongs, it is not its turn
        while (event := bus.hear("outcome")).outcome == "written":
            pass
        assert event.outcome == "dropped"
        got = []
        reader = threading.Thread(target=lambda: got.append(read_parts(client)), daemon=True)
        reader.start()
        while (event := bus.hear("outcome", "writable")).type == "outcome":
            pass
        bus.body(conn, b"end", more=False, at=event.meta["at"], outcome=True)
        while (last := bus.hear("outcome")).outcome != "written" or last.seq != bus._seq:
            pass
        reader.join(20)
        assert got and got[0][0] == event.meta["at"] + 3


HANDLER = """
import sys
sys.path.insert(0, %r)
from wsbus_shm import Handler

BODY = bytes(range(256)) * (32 << 10)
PART = 64 << 10
at = told = 0

def send(bus, conn):
    global at
    while at < len(BODY):
        part = BODY[at:at + PART]
        bus.body(conn, part, more=at + len(part) < len(BODY), at=at)
        at += len(part)
    bus.flush()

with Handler(routes=["web"], bus=sys.argv[1]) as bus:
    for event in bus:
        if event.type == "request":
            bus.respond(event.conn, b"", more=True)
        elif event.type == "writable":
            at, told = event.meta["at"], told + 1
            print("told", flush=True)
        if event.type in ("request", "writable"):
            send(bus, event.conn)
"""


def test_libwsbus_goes_back_too(make_gate, processes, tmp_path):
    gate = make_gate(routes=["web=/web/{rest*},max_queue=64KiB"])
    script = tmp_path / "handler.py"
    script.write_text(HANDLER % str(ROOT / "python"))
    handler = processes(with_libwsbus("/usr/bin/python3", script, gate.dir))
    gate.wait_handlers("web", 1)
    with Raw(gate, receive_buffer=4096) as client:
        client.send(get("/web/"))
        wait_refused(gate)
        assert client.read_head()[0] == 200
        body = bytes(range(256)) * (32 << 10)
        assert read_parts(client) == (len(body), hashlib.sha256(body).digest())
    assert "told" in handler.output


NODE = """
import { Handler } from "%s/node/wsbus.js";

const BODY = Buffer.alloc(8 << 20, "0123456789abcdef");
const PART = 64 << 10;
let at = 0;
const underWay = new Set();
const bus = new Handler({ routes: ["web"], bus: process.argv[2] });
for await (const event of bus) {
  if (event.type === "request" && event.meta.expect_continue) bus.continue(event.conn);
  else if (event.type === "request") bus.respond(event.conn, "", { more: true });
  if (event.type === "body" && !event.more) bus.respond(event.conn, "thanks");
  if (event.type === "writable") at = event.meta.at;
  if (event.type === "outcome") underWay.delete(event.seq);
  if (event.type === "writable" || event.type === "outcome" || (event.type === "request" && !event.more))
    while (at < BODY.length && underWay.size < 8) {
      const part = BODY.subarray(at, at + PART);
      underWay.add(bus.body(event.conn, part, { more: at + part.length < BODY.length, at, outcome: true }));
      at += part.length;
    }
}
"""


def test_the_node_helper_goes_back_and_asks_for_bodies(make_gate, processes, tmp_path):
    gate = make_gate(routes=["web=/web/{rest*},max_queue=64KiB,expect=handler"])
    script = tmp_path / "handler.mjs"
    script.write_text(NODE % ROOT)
    processes(["node", script, gate.dir])
    gate.wait_handlers("web", 1)
    with Raw(gate, receive_buffer=4096) as client:
        client.send(get("/web/", "POST", ["Content-Length: 5", "Expect: 100-continue"]))
        assert client.read_head()[0] == 100
        assert client.send("12345").read_response().body == b"thanks"
        client.send(get("/web/"))
        assert client.read_head()[0] == 200
        body = b"0123456789abcdef" * (512 << 10)
        assert read_parts(client) == (len(body), hashlib.sha256(body).digest())


def test_curl_slowly(make_gate, take_seat):
    gate = make_gate(routes=["web=/web/{rest*},max_queue=64KiB"])
    bus = take_seat(gate, ["web"])
    body = random.Random(5).randbytes(6 * MIB)
    curl = subprocess.Popen([*gate.curl, "--limit-rate", "4M", gate.http("/web/")], stdout=subprocess.PIPE)
    conn = bus.hear("request").conn
    bus.respond(conn, b"", more=True)
    handler = Rewinding(bus, conn, body, 64 * KIB, outcome=True)
    got = []
    reader = threading.Thread(target=lambda: got.append(curl.stdout.read()), daemon=True)
    reader.start()
    handler.send(200)
    while not got:
        if handler.hear(20):  # what was refused is behind what was taken, so somebody always has to say something
            handler.send(2)
    reader.join()
    assert got[0] == body and curl.wait() == 0


@pytest.mark.parametrize("coding", [None, "gzip"])
@pytest.mark.parametrize("queued", [False, True])
def test_half_a_response_to_http_1_0_does_not_look_whole(make_gate, take_seat, coding, queued):
    """Its end is that of the connection: one that breaks off ends in a reset, whether parts of it are missing or waiting."""
    gate = make_gate(routes=["web=/web/{rest*},gzip=on"], args=["--close-timeout", "300ms", "--keepalive-timeout", "300ms"])
    with Raw(gate, receive_buffer=4096) as client:
        bus = take_seat(gate, ["web"])
        client.send("GET /web/ HTTP/1.0\r\n%s\r\n" % ("Accept-Encoding: gzip\r\n" if coding else ""))
        conn = bus.hear("request").conn
        bus.respond(conn, b"half", 200, {"content-type": "text/plain"}, more=True)
        bus.flush()
        head = client.read_head()[1]
        assert "transfer-encoding" not in head and head.get("content-encoding") == coding
        client.read(4)
        if queued:
            bus.body(conn, random.Random(1).randbytes(8 * MIB), more=False)
            bus.flush()
        else:
            gate.wsctl("close", "%016x" % conn)
        eventually(lambda: not gate.wsctl("list")["connections"], "the end of the connection")
        with pytest.raises((ConnectionResetError, ssl.SSLError)):
            while client.socket.recv(65536):
                pass
