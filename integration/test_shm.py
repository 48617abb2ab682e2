"""The link over shared memory: who is let in, who is not and comes over ZeroMQ instead, and what a gate's end means."""

import os
import pathlib
import shutil
import signal
import subprocess
import tempfile

import pytest

import shm_peer
from conftest import BUILD, DEADLINE, PYTHON, ROOT, Gate, eventually
from raw import Raw
from shm_peer import Peer, Refused, connect, hello, read_answer, ready

RING = 64 << 10
NOBODY = 65534
RING_PAGES = (2 << 20) + shm_peer.CONTROL  # what stays charged of a link


def link_of(gate, process):
    """How the handler of that process came."""
    return next(h["link"] for h in gate.wsctl("handlers")["handlers"] if h["pid"] == process.pid)


def bus_stats(gate):
    return gate.wsctl("stats")["bus"]


def ask(gate, message="words"):
    with Raw(gate) as client:
        assert client.upgrade().ask(message) == message


# --- messages

@pytest.mark.parametrize("ring", ["64KiB", "1MiB"])
def test_messages_of_every_size_come_back(make_gate, echo, ring):
    gate = make_gate(routes=("echo=/echo,max_message=16MiB,max_queue=64MiB",), args=["--shm-ring", ring])
    assert link_of(gate, echo(gate)) == "shm"
    with Raw(gate) as client:
        client.upgrade()
        for size in (0, 1, 125, 126, 4047, 4048, 4049, 16 << 10, RING // 4 - 48, RING // 4 - 47, RING, 1 << 20, (1 << 20) + 1, 16 << 20):
            message = os.urandom(size)
            assert client.ask(message) == message
        sizes = [(i * 7919) % 40000 for i in range(500)]
        for size in sizes[:20]:
            client.say(bytes([size % 251]) * size)
        for at, size in enumerate(sizes):
            assert client.read_message() == bytes([size % 251]) * size
            if at + 20 < len(sizes):
                client.say(bytes([sizes[at + 20] % 251]) * sizes[at + 20])


def test_wsctl_tells_of_the_link(gate, echo):
    before = bus_stats(gate)
    process = echo(gate)
    for _ in range(20):
        ask(gate)
    handler = next(h["id"] for h in gate.wsctl("handlers")["handlers"] if h["pid"] == process.pid)
    shown = gate.wsctl("handlers", "show", handler)
    assert shown["link"] == "shm"
    shm = shown["shm"]
    assert (shm["ring_down"], shm["ring_up"]) == (2 << 20, 2 << 20)
    assert shm["records_in"] >= 40 and shm["records_out"] >= 40 and shm["wakes_in"] > 0 and shm["wakes_out"] > 0
    assert shm["used_down"] <= shm["ring_down"] and shm["used_up"] <= shm["ring_up"]
    door = connect(gate.dir)
    door.send(hello(magic=1))
    assert read_refusal(door)
    put_out = Peer(gate.dir)
    put_out.door.send(b"?")
    assert put_out.is_put_out()
    put_out.close()

    def moved():
        now = bus_stats(gate)
        return [now[key] - before[key] for key in ("shm_attached", "shm_refused", "shm_ejected", "shm_links")]
    eventually(lambda: moved() == [2, 1, 1, 1], "counters")


# --- refusals

WRONG = {
    "another magic": (hello(magic=shm_peer.MAGIC ^ 1), "not a word of this protocol"),
    "READY first": (ready() + b"\0" * 30, "not a word of this protocol"),
    "too short": (hello()[:39], "not a word of this protocol"),
    "noise": (os.urandom(500), "not a word of this protocol"),
    "a later version only": (hello(major_min=2, major_max=9), "speaks version 1 of the link, not 2 to 9"),
    "an earlier version only": (hello(major_min=0, major_max=0), "speaks version 1 of the link, not 0 to 0"),
    "versions upside down": (hello(major_min=9, major_max=0), "speaks version 1"),
    "without parts": (hello(features=0), "large messages go in parts"),
}


@pytest.mark.parametrize("word", WRONG)
def test_a_first_word_that_is_wrong(gate, word):
    said, reason = WRONG[word]
    door = connect(gate.dir)
    door.send(said)
    with pytest.raises(Refused, match=reason):
        read_answer(door)
    assert door.recv(1) == b""
    gate.wait_line('shared memory: refused"')
    assert bus_stats(gate)["shm_memory"] == 0


def test_a_longer_hello_of_a_later_minor_version(gate):
    door = connect(gate.dir)
    door.send(hello(minor=7, major_max=3, features=0xff) + b"more")
    terms, fds = read_answer(door)
    assert (terms.major, terms.minor, terms.features) == (1, 0, shm_peer.PARTS)
    for fd in fds:
        os.close(fd)


@pytest.mark.parametrize("wanted, got", [(1, 64 << 10), (65537, 128 << 10), (1 << 63, 8 << 20), (0, 2 << 20)])
def test_sizes_that_are_wanted(gate, wanted, got):
    peer = Peer(gate.dir, ring=wanted)
    assert (peer.terms.ring_down, peer.terms.ring_up) == (got, got)
    peer.close()


def test_nobody_waits_at_the_door_for_long(gate):
    silent, half = connect(gate.dir), Peer(gate.dir, say_ready=False)
    assert read_refusal(silent) == "it did not say READY in time"
    assert half.is_put_out() is False  # it is told why, too
    half.close()
    eventually(lambda: bus_stats(gate)["shm_memory"] == RING_PAGES, "what it wrote to is given back")


def read_refusal(door):
    with pytest.raises(Refused) as refused:
        read_answer(door)
    return str(refused.value)


def test_only_some_attach_at_once(gate):
    doors = [connect(gate.dir) for _ in range(9)]
    for door in doors:
        door.send(hello(ring_down=RING, ring_up=RING))
    for door in doors[:8]:
        for fd in read_answer(door)[1]:
            os.close(fd)
    assert bus_stats(gate)["shm_memory"] == 8 * 2 * (RING + shm_peer.CONTROL)  # nothing for the ninth
    doors[3].close()
    for fd in read_answer(doors[8])[1]:  # whose turn it is now
        os.close(fd)
    for door in doors:
        door.close()


def test_who_comes_and_goes_is_refused_in_the_end(make_gate, echo):
    gate = make_gate(args=["--shm-memory", "1MiB"])
    with pytest.raises(Refused, match="attached and left too often"):
        for _ in range(10):
            Peer(gate.dir, ring=RING).close()
    assert 1 << 18 <= bus_stats(gate)["shm_memory"] < 1 << 19
    program = "import sys; sys.path.insert(0, %r); import shm_peer; shm_peer.Peer(%r, ring=65536)" % (str(ROOT / "integration"), gate.dir)
    subprocess.run([PYTHON, "-c", program], check=True, timeout=DEADLINE)  # another process owes nothing


def test_only_so_many_handlers(make_gate, echo):
    gate = make_gate(args=["--shm-handlers", "1"])
    first, second = echo(gate), echo(gate)
    assert (link_of(gate, first), link_of(gate, second)) == ("shm", "zmq")
    gate.wait_line('refused".*as many handlers are attached as may be')
    first.kill()
    gate.wait_handlers("echo", 1)
    ask(gate)
    assert link_of(gate, echo(gate)) == "shm"


def test_only_so_much_memory(make_gate, echo):
    gate = make_gate(args=["--shm-memory", "1MiB"])
    assert link_of(gate, echo(gate)) == "zmq"
    gate.wait_line("refused.*shm_memory is 1024 KiB in all")
    ask(gate)
    Peer(gate.dir, ring=RING).close()  # a small one fits


@pytest.mark.parametrize("refusal", ["shm=no", "insists"])
def test_a_gate_without_shared_memory(make_gate, echo, processes, refusal):
    gate = make_gate(args=["--shm", "no"])
    assert not pathlib.Path(gate.dir, "shm").exists()
    if refusal == "shm=no":
        assert link_of(gate, echo(gate)) == "zmq"
        ask(gate)
        return
    insists = processes([BUILD / "examples/wsbus-echo", "--bus", gate.dir], env={"WSBUS_LINK": "shm"})
    echo(gate, "python", "echo")
    ask(gate)
    assert insists.process.poll() is None
    assert len(gate.wsctl("handlers")["handlers"]) == 1
    assert insists.stop() == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_only_those_who_may(processes, echo):
    directory = tempfile.mkdtemp(dir="/tmp")
    try:
        gate = Gate(directory, args=["--bus-mode", "0666", "--shm-allow", "daemon"])
        processes.started.append(gate)
        os.chmod(directory, 0o755)
        program = "import sys; sys.path.insert(0, %r); import shm_peer; shm_peer.Peer(%r)" % (str(ROOT / "integration"), directory)
        for uid, allowed in ((NOBODY, False), (1, True)):
            run = subprocess.run([PYTHON, "-c", program], user=uid, group=uid, extra_groups=(), capture_output=True, text=True, timeout=DEADLINE)
            assert (run.returncode == 0) == allowed, run.stderr
            assert allowed or "its user and group are not among those that may attach" in run.stderr
    finally:
        processes.started[-1].stop()
        shutil.rmtree(directory, ignore_errors=True)


# --- gates that end

@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL], ids=["TERM", "KILL"])
def test_handlers_attach_to_the_next_gate(make_gate, echo, end):
    gate = make_gate()
    handlers = [echo(gate), echo(gate)]
    ask(gate)
    gate.signal(end)
    gate.process.wait(DEADLINE)
    after = make_gate(directory=gate.dir)
    after.wait_handlers("echo", 2)
    assert [link_of(after, handler) for handler in handlers] == ["shm", "shm"]
    ask(after)


def test_one_that_was_put_out_may_come_in_again(gate):
    for _ in range(3):
        peer = Peer(gate.dir, ring=RING)
        peer.register("echo")
        with Raw(gate) as client:
            client.upgrade().say("x")
            peer.echo(1)
            assert client.read_message() == "x"
        peer.put(b"\0" * 40, 0)
        assert peer.is_put_out()
        peer.close()
        gate.wait_handlers("echo", 0)
