"""Handlers over shared memory that break every rule there is: the gate puts them out, and nobody else notices."""

import ctypes
import fcntl
import mmap
import os
import pathlib
import random
import resource
import signal
import struct
import subprocess
import threading

import pytest

import shm_peer
import wsbus
from conftest import PYTHON, ROOT, can_refuse_descriptors, eventually, is_sanitized
from raw import BINARY, TEXT, Raw
from shm_peer import Peer, Refused

RING = 64 << 10
WRITTEN, GONE, STALE, INVALID = (wsbus.OUTCOMES.index(name) for name in ("written", "gone", "stale", "invalid"))
GROWTH_MIB = 48  # the C library keeps what the largest message took, in a buffer that doubles: 32 MiB; and rings have pages


class Echoes:
    """Clients of honest handlers that never stop asking, each in a thread."""

    def __init__(self, gate, paths):
        self.counts = dict.fromkeys(paths, 0)
        self.failure = None
        self._ends = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(gate, path), daemon=True) for path in paths]
        for thread in self._threads:
            thread.start()

    def _ask(self, gate, path):
        rng = random.Random(path)
        try:
            with Raw(gate) as client:
                client.upgrade(path)
                while not self._ends.is_set():
                    message = rng.choice(("short", "longer " * 60, rng.randbytes(rng.randrange(6000))))
                    assert client.ask(message) == message
                    self.counts[path] += 1
        except BaseException as error:
            self.failure = error

    def go_on(self, count=20):
        """All of them got so many more answers from now on."""
        wanted = {path: done + count for path, done in self.counts.items()}
        eventually(lambda: self.failure or all(self.counts[path] >= least for path, least in wanted.items()), "echoes of others")
        assert self.failure is None, repr(self.failure)

    def end(self):
        self.go_on(1)
        self._ends.set()
        for thread in self._threads:
            thread.join()


def count_fds(gate):
    return len(os.listdir("/proc/%d/fd" % gate.pid))


def bus_stats(gate):
    return gate.wsctl("stats")["bus"]


class Scene:
    """A gate with an honest handler over shared memory and one over ZeroMQ, both at work, and a stage for somebody else: `echo`."""

    def __init__(self, make_gate, echo, args=()):
        self.gate = make_gate(routes=("echo=/echo", "other=/other", "third=/third"), args=["--workers", "1", *args])
        self._echo = echo
        self._next = []
        echo(self.gate, "c", "other")
        echo(self.gate, "python", "third")
        self.echoes = Echoes(self.gate, ("/other", "/third"))
        self.echoes.go_on()
        self.peers = []
        self.clients = []
        self.owed = []  # what was given to this process, and may still be mapped
        self.fds, self.kib = count_fds(self.gate), self.gate.memory_kib()
        self.before = bus_stats(self.gate)

    def attach(self, registers=True, **kwargs):
        peer = Peer(self.gate.dir, ring=RING, **kwargs)
        self.peers.append(peer)
        if registers:
            peer.register("echo", ack=True)
        return peer

    def client(self, path="/echo"):
        client = Raw(self.gate).upgrade(path)
        self.clients.append(client)
        return client

    def start_next(self):
        """An honest handler for the stage; its registration."""
        self._next.append(self._echo(self.gate, "c", "echo"))
        return next(h for h in self.gate.wsctl("handlers")["handlers"] if h["pid"] == self._next[-1].pid)

    def stop_next(self):
        while self._next:
            self._next.pop().stop()
        self.gate.wait_handlers("echo", 0)

    def moved(self, counter):
        return bus_stats(self.gate)[counter] - self.before[counter]

    def is_put_out(self, peer, why):
        assert peer.is_put_out()
        self.gate.wait_line('put out".*why="?.*' + why)
        eventually(lambda: self.moved("shm_ejected") == 1, "it is counted")

    def end(self):
        """Whoever was here has left nothing behind."""
        self.echoes.go_on()
        for client in self.clients:
            client.close()
        for peer in self.peers:
            self.owed.append(peer.terms.ring_down)
            peer.close()
        charged = self.before["shm_memory"] + sum(shm_peer.CONTROL + size for size in self.owed)  # until this process ends
        self.stop_next()
        eventually(lambda: bus_stats(self.gate)["shm_links"] == self.before["shm_links"], "links are gone")
        eventually(lambda: bus_stats(self.gate)["shm_memory"] == charged, "memory is given back")
        eventually(lambda: count_fds(self.gate) <= self.fds + len(self.owed), "descriptors are closed")
        self.gate.assert_grew_less(self.kib, GROWTH_MIB)
        self.echoes.end()


@pytest.fixture
def make_scene(make_gate, echo):
    scenes = []

    def make(**kwargs):
        scenes.append(Scene(make_gate, echo, **kwargs))
        return scenes[-1]

    yield make
    for scene in scenes:
        scene.end()


@pytest.fixture
def scene(make_scene):
    return make_scene()


def test_a_peer_by_the_book_echoes(scene):
    peer = scene.attach()
    client = scene.client()
    for message in ("", "x", "words", b"\0\xff" * 5000, "é" * 20000, b"x" * 200000):
        client.say(message)
        peer.echo(1)
        assert client.read_message() == message
    assert scene.moved("shm_ejected") == 0


# --- positions

HEADS = {
    "back": lambda peer: 64,
    "beyond": lambda peer: peer.at + (1 << 20),
    "unaligned": lambda peer: peer.get(peer.up, shm_peer.HEAD) + 8,
    "before the beginning": lambda peer: -64,
    "nearly all": lambda peer: (1 << 64) - 64,
}


@pytest.mark.parametrize("head", HEADS)
def test_a_head_that_cannot_be(scene, head):
    peer = scene.attach()
    client = scene.client()
    for _ in range(3):  # so that the gate has looked already
        client.say(b"x" * 40000)
        peer.echo(1)
        assert client.read_message() == b"x" * 40000
    peer.set(shm_peer.HEAD, HEADS[head](peer))
    peer.ring()
    for _ in range(10):  # the gate looks when it has no room
        client.say(b"x" * 15000)
    scene.is_put_out(peer, "its head is where it cannot be")


RECORDS = {  # the body of a record, and the length in front of it
    "length 0": (b"\0" * 40, 0),
    "length 3": (b"\0" * 40, 3),
    "length 4": (b"\0" * 40, 4),
    "length 7": (b"\0" * 40, 7),
    "length 8": (b"\0" * 40, 8),
    "length 39": (b"\0" * 40, 39),
    "over a quarter": (b"\0" * 40, RING // 4 - 7),
    "the whole ring": (b"\0" * 40, RING),
    "nearly 4 GiB": (b"\0" * 40, 0xffffffff),
    "nearly 4 GiB, less the stamp": (b"\0" * 40, 0xfffffff0),
    "zeros": (b"\0" * 40, 40),
    "a version that is none": (b"\0" * 8 + b"\x02\x45" + b"\0" * 30, 40),
    "payload that is not there": (b"\0" * 8 + wsbus.make_header(wsbus.COMMANDS["send"], 1, size=1), 40),
    "payload that nobody speaks of": (b"\0" * 8 + wsbus.make_header(wsbus.COMMANDS["send"], 1) + b"abcdefgh", 48),
    "payload of nearly 4 GiB": (b"\0" * 8 + wsbus.make_header(wsbus.COMMANDS["send"], 1, size=0xffffffd8), 40),
    "large, without a payload": (b"\0" * 8 + wsbus.make_header(wsbus.COMMANDS["send"], 1) + b"x" * 8000, 8040),
    "large, with too much of it": (b"\0" * 8 + wsbus.make_header(wsbus.COMMANDS["send"], 1, size=8001) + b"x" * 8000, 8040),
    "large, of another version": (b"\0" * 8 + b"\x63" + wsbus.make_header(wsbus.COMMANDS["send"], 1, size=8000)[1:] + b"x" * 8000, 8040),
    "metadata without its flag": (struct.pack("<II", 48, 8) + wsbus.make_header(wsbus.COMMANDS["send"], 1) + b'{"to":1}', 48),
    "a flag without metadata": (struct.pack("<II", 40, 0) + wsbus.make_header(wsbus.COMMANDS["send"], 1, wsbus.META), 40),
    "more metadata than there is": (struct.pack("<II", 48, 4096) + wsbus.make_header(wsbus.COMMANDS["send"], 1, wsbus.META) + b"{}" * 4, 48),
    "more metadata than may be": (struct.pack("<II", 48, 0x3fffffff) + wsbus.make_header(wsbus.COMMANDS["send"], 1, wsbus.META) + b"{}" * 4, 48),
    "padding that is not zero": (struct.pack("<II", 41, 0) + wsbus.make_header(wsbus.COMMANDS["send"], 1, size=1) + b"xyyyyyyy", 41),
    "the last of parts that is nothing": (shm_peer.PART_HEAD.pack(8, shm_peer.PART | shm_peer.PART_LAST), 8),
}


@pytest.mark.parametrize("record", RECORDS)
def test_a_record_that_is_none(scene, record):
    peer = scene.attach()
    peer.put(*RECORDS[record])
    scene.is_put_out(peer, "a record that is none")


def test_a_record_on_which_more_lies_than_was_released(scene):
    peer = scene.attach()
    lengths = [8] + [RING // 4 - 8] * 4  # of parts, so that it reads on; the last one goes beyond what it has released
    position = peer.tail + 64
    for length in lengths[1:]:
        peer.poke(position + 8, shm_peer.PART_HEAD.pack(length, shm_peer.PART))
        peer.poke(position, struct.pack("<Q", shm_peer.stamp(peer.terms.key_up, position)))
        position += shm_peer.size_of(length)
    peer.put(shm_peer.PART_HEAD.pack(lengths[0], shm_peer.PART))
    scene.is_put_out(peer, "a record that is none")


def test_bad_commands_are_answered_and_the_link_stays(scene):
    peer = scene.attach()
    peer.put_record(wsbus.make_record(wsbus.make_header(120, seq=1)))
    assert (error := peer.hear("error")).seq == 1 and error.code == 1
    peer.put_record(wsbus.make_record(wsbus.make_header(wsbus.COMMANDS["send"], 1, 0x40, seq=2)))
    assert (error := peer.hear("error")).seq == 2 and error.code == 2
    peer.put_record(shm_peer.make_record("send", 1, b"x", 1, seq=3, meta=b"not JSON"))
    assert (error := peer.hear("error")).seq == 3 and error.code == 3
    inner = wsbus.make_record(wsbus.make_header(wsbus.COMMANDS["ping"], size=77))
    peer.put_record(wsbus.make_record(wsbus.make_header(wsbus.BATCH, size=len(inner), seq=4), inner))
    assert (error := peer.hear("error")).seq == 4 and error.code == 4
    good = wsbus.make_record(wsbus.make_header(wsbus.COMMANDS["ping"], seq=5))
    nested = wsbus.make_record(wsbus.make_header(wsbus.BATCH, size=len(good)), good)
    peer.put_record(wsbus.make_record(wsbus.make_header(wsbus.BATCH, size=len(good + nested), seq=6), good + nested))
    assert peer.hear("pong").seq == 5  # what stood in front of it
    assert (error := peer.hear("error")).seq == 6 and error.code == 4
    client = scene.client()
    client.say("still there")
    peer.echo(1)
    assert client.read_message() == "still there"
    assert scene.moved("shm_ejected") == 0


def test_commands_before_hello(scene):
    peer = scene.attach(registers=False)
    peer.say("send", 1, b"x" * 9000, 2, seq=7)
    assert (error := peer.hear("error")).seq == 7 and error.code == 5


# --- parts

def test_a_record_in_the_middle_of_another(scene):
    peer = scene.attach()
    peer.put_part(shm_peer.make_record("ping", payload=b"x")[:20])
    peer.put_record(shm_peer.make_record("ping"))
    scene.is_put_out(peer, "a record that is none")


def test_parts_without_end(scene):
    peer = scene.attach()
    with pytest.raises(BrokenPipeError):
        for sent in range(0, 1 << 30, 8000):
            peer.put_part(b"x" * 8000)
    assert sent < 64 << 20
    scene.gate.wait_line('put out".*a record that is none')
    scene.gate.assert_grew_less(scene.kib, GROWTH_MIB + 40)


def test_parts_of_one_byte_and_of_none(scene):
    peer = scene.attach()
    client = scene.client()
    opened = peer.hear("open")
    message = bytes(random.Random(1).randbytes(961))
    record = shm_peer.make_record("send", opened.conn, message, 2)
    for at in range(len(record)):
        peer.put_part(b"")
        peer.put_part(record[at:at + 1], at == len(record) - 1)
    assert client.read_message() == message


def test_a_message_that_was_not_finished_is_not_sent(scene):
    peer = scene.attach()
    client = scene.client()
    opened = peer.hear("open")
    scene.start_next()
    peer.put_parts(shm_peer.make_record("send", opened.conn, b"x" * 30000, 2)[:-4096])
    peer.put_part(b"not the last")
    peer.door.close()
    assert client.ask("to the next one") == "to the next one"


# --- connections of others

def test_made_up_connections_are_stale(scene):
    peer = scene.attach()
    client = scene.client()
    opened = peer.hear("open")
    rng = random.Random(2)
    ids = [0x1234, (1 << 64) - 1, opened.conn + 1, opened.conn ^ 1 << 63] + [opened.conn ^ rng.getrandbits(64) for _ in range(50)]
    for payload in (b"small", b"x" * 9000):
        for conn in ids:
            peer.say("send", conn, payload, 2, wsbus.WANT_OUTCOME, seq=9)
            outcome = peer.hear("outcome")
            assert outcome.conn == conn and outcome.code in (STALE, GONE), outcome
    assert client.is_quiet(0.05)


def test_a_revoked_connection_is_not_reached(scene):
    peer = scene.attach()
    client = scene.client()
    opened = peer.hear("open")
    peer.say("ack", opened.conn, seq=1)
    scene.gate.wsctl("move", "%016x" % opened.conn, scene.start_next()["id"])
    assert peer.hear("revoked").conn == opened.conn
    for payload in (b"no", b"x" * 9000):
        peer.say("send", opened.conn, payload, 2, wsbus.WANT_OUTCOME)
        assert peer.hear("outcome").code == STALE
    assert client.ask("of the new one") == "of the new one"


# --- what changes while it is read

FLIPPER = """
import mmap, os, sys
memory = mmap.mmap(int(sys.argv[1]), %d)
places = range(%d, len(memory), %d)
sys.stdout.write("flips\\n")
sys.stdout.flush()
while os.getppid() == int(sys.argv[2]):
    for place in places:
        memory[place] = 0xff
    for place in places:
        memory[place] = 0xc3
"""


def test_text_that_changes_while_it_is_checked(scene):
    peer = scene.attach()
    client = scene.client()
    opened = peer.hear("open")
    slot, tail = 8192, peer.tail
    while tail % slot:  # so that all later ones lie at the same places
        peer.say("ping")
        peer.hear("pong")
        tail = peer.tail
    payload = "é".encode() * ((slot - 8 - 40) // 2)
    with subprocess.Popen([PYTHON, "-c", FLIPPER % (4096 + RING, 4096 + 8 + 40 + 4000, slot), str(peer.up_fd), str(os.getpid())],
                          pass_fds=[peer.up_fd], stdout=subprocess.PIPE) as flipper:
        try:
            flipper.stdout.readline()
            codes = []
            for _ in range(400):
                peer.say("send", opened.conn, payload, TEXT, wsbus.WANT_OUTCOME)
                codes.append(peer.hear("outcome").code)
                if codes[-1] == WRITTEN:
                    assert client.read_message().encode() == payload  # it decodes strictly
        finally:
            flipper.kill()
    assert set(codes) == {WRITTEN, INVALID}, "one of them never happened: the test tests nothing"
    peer.say("send", opened.conn, b"the end", BINARY)
    assert client.read_message() == b"the end"


# --- what it was given

def test_a_flood_of_bells(scene):
    peer = scene.attach()
    for _ in range(20):
        for _ in range(10000):
            peer.ring()
        scene.echoes.go_on(1)
    client = scene.client()
    client.say("and it still speaks")
    peer.echo(1)
    assert client.read_message() == "and it still speaks"


def test_flags_of_descriptors_that_were_given(scene):
    peer = scene.attach()
    for fd in (peer.bell, peer.gate):
        fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) & ~os.O_NONBLOCK)
    os.eventfd_read(peer.gate)
    os.eventfd_write(peer.gate, (1 << 64) - 2)  # the next write of somebody who is not careful blocks
    with open("/proc/self/fd/%d" % peer.bell, "wb", buffering=0, opener=lambda path, _: os.open(path, os.O_WRONLY | os.O_NONBLOCK)) as pipe:
        while pipe.write(b"x" * 4096):
            pass
    client = scene.client()
    for _ in range(30):
        client.say(b"x" * 1000)
    scene.echoes.go_on()
    os.eventfd_read(peer.gate)
    peer.echo(30)
    for _ in range(30):
        assert client.read_message() == b"x" * 1000


def test_descriptors_closed_at_once(scene):
    peer = scene.attach()
    for fd in (peer.down_fd, peer.up_fd, peer.bell):
        os.close(fd)
    peer.bell = peer.down_fd = peer.up_fd = os.open("/dev/null", os.O_RDONLY)
    client = scene.client()
    for _ in range(30):
        client.say(b"x" * 1000)  # it is rung, and nobody can hear
    peer.echo(30)
    for _ in range(30):
        assert client.read_message() == b"x" * 1000


def test_memory_that_nobody_may_change(scene):
    peer = scene.attach()
    punch = 3  # FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
    fallocate = ctypes.CDLL(None).fallocate64
    fallocate.argtypes = [ctypes.c_int] * 2 + [ctypes.c_int64] * 2
    for fd in (peer.down_fd, peer.up_fd):
        for size in (0, 1 << 30):
            with pytest.raises(PermissionError):
                os.ftruncate(fd, size)
        with pytest.raises(PermissionError):
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)
    with pytest.raises(PermissionError):
        os.pwrite(peer.down_fd, b"x", 4096)
    with pytest.raises(PermissionError):
        mmap.mmap(peer.down_fd, 4096)
    with pytest.raises(PermissionError), open("/proc/self/fd/%d" % peer.down_fd, "r+b") as again:
        mmap.mmap(again.fileno(), 4096)
    assert fallocate(peer.down_fd, punch, 0, 8192) == -1
    assert fallocate(peer.up_fd, punch, 0, 8192) == 0  # its own, and its own loss: the gate reads zeros
    peer.ring()
    scene.echoes.go_on()


def test_a_word_on_the_socket(scene):
    peer = scene.attach()
    peer.door.send(b"hello?")
    scene.is_put_out(peer, "it speaks on its socket")


def test_descriptors_that_come_along_with_hello(scene):
    with open("/dev/null") as null:
        if can_refuse_descriptors():
            with pytest.raises(PermissionError):
                scene.attach(hello_fds=[null.fileno()] * 50)
            peer = scene.attach()
        else:
            peer = scene.attach(hello_fds=[null.fileno()] * 50)
    client = scene.client()
    client.say("x")
    peer.echo(1)
    assert count_fds(scene.gate) < scene.fds + 20


# --- those who do not read

def test_one_that_never_reads(scene, processes):
    holder = processes([PYTHON, ROOT / "integration/shm_peer.py", scene.gate.dir, "echo"])
    holder.wait_line("pid")
    client = scene.client()
    messages = [b"%06d" % i + b"x" * (i * 37 % 3000) for i in range(300)]
    for message in messages:
        client.say(message)
    handler = next(h["id"] for h in scene.gate.wsctl("handlers")["handlers"] if h["name"] == "peer")
    eventually(lambda: scene.gate.wsctl("handlers", "show", handler)["shm"]["stalls"], "its ring is full")
    scene.echoes.go_on(50)
    scene.start_next()
    holder.kill()
    for message in messages:
        assert client.read_message() == message


def test_one_that_is_stopped(scene, processes):
    holder = processes([PYTHON, ROOT / "integration/shm_peer.py", scene.gate.dir, "echo"])
    holder.wait_line("pid")
    client = scene.client()
    client.say("to one that does not move")
    scene.start_next()
    holder.signal(signal.SIGSTOP)
    assert client.read_message() == "to one that does not move"
    scene.echoes.go_on()
    holder.kill()


def test_a_child_that_keeps_everything_open(scene, processes):
    parent = processes([PYTHON, ROOT / "integration/shm_peer.py", scene.gate.dir, "echo", "fork"])
    child = int(parent.wait_line(r'"child": (\d+)').group(1))
    try:
        client = scene.client()
        client.say("to one that dies")
        scene.start_next()
        os.kill(parent.pid, signal.SIGKILL)
        assert client.read_message() == "to one that dies"
    finally:
        os.kill(child, signal.SIGKILL)
    parent.process.wait()


# --- when the gate itself is short of something

def limit(gate, what, value):
    _, hard = resource.prlimit(gate.pid, what)
    resource.prlimit(gate.pid, what, (value, hard))
    return hard


@pytest.mark.parametrize("what, words", [
    (resource.RLIMIT_FSIZE, "larger than this process's limit"),
    (resource.RLIMIT_AS, "shared memory"),
    (resource.RLIMIT_NOFILE, ""),
], ids=["files", "addresses", "descriptors"])
def test_a_gate_that_is_short(scene, what, words):
    gate = scene.gate
    if what == resource.RLIMIT_AS and is_sanitized(gate.command[0]):
        pytest.skip("a sanitizer needs addresses without end")
    little = {resource.RLIMIT_FSIZE: RING, resource.RLIMIT_NOFILE: scene.fds + 1}.get(what) or address_kib(gate) << 10
    hard = limit(gate, what, little)
    with pytest.raises(Refused, match=words):
        Peer(gate.dir, ring=RING)
    gate.wait_line('shared memory: refused"')
    if what != resource.RLIMIT_NOFILE:
        assert scene.start_next()["link"] == "zmq"
        assert scene.client().ask("over ZeroMQ") == "over ZeroMQ"
    limit(gate, what, hard)
    scene.stop_next()
    peer = scene.attach()
    client = scene.client()
    client.say("and in again")
    peer.echo(1)
    assert client.read_message() == "and in again"


def address_kib(gate):
    text = pathlib.Path("/proc/%d/status" % gate.pid).read_text()
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("VmSize:"))


def test_those_who_wait_at_the_door_hide_nobody(scene, processes):
    """No descriptor is left to let anybody in; somebody who is inside dies, and that is noticed."""
    holder = processes([PYTHON, ROOT / "integration/shm_peer.py", scene.gate.dir, "echo"])
    holder.wait_line("pid")
    client = scene.client()
    client.say("to one that dies")
    scene.start_next()
    hard = limit(scene.gate, resource.RLIMIT_NOFILE, 4)
    try:
        doors = [shm_peer.connect(scene.gate.dir) for _ in range(3)]
        holder.kill()
        assert client.read_message() == "to one that dies"
        scene.echoes.go_on(5)
    finally:
        limit(scene.gate, resource.RLIMIT_NOFILE, hard)
    for door in doors:  # and now they are let in
        door.send(shm_peer.hello())
        terms, fds = shm_peer.read_answer(door)
        scene.owed.append(terms.ring_down)
        for fd in (door.detach(), *fds):
            os.close(fd)
