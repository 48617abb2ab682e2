"""The gate and its service manager: the tests play systemd, with a datagram socket and descriptors that they pass."""

import contextlib
import os
import re
import signal
import socket
import subprocess

import pytest

from conftest import BUILD, DEADLINE, PYTHON, eventually, with_libwsbus
from raw import Raw

WSGATE = BUILD / "wsgate" / "wsgate"
# As systemd does before it starts a service: descriptors from 3 on, and the variables that say so. Arguments: names, then
# descriptors, then "--" and the command.
ACTIVATE = """
import os, sys
at = sys.argv.index("--")
names, given = sys.argv[1], [int(word) for word in sys.argv[2:at]]
high = [os.dup2(os.dup(fd), 100 + i) for i, fd in enumerate(given)]
for i, fd in enumerate(high):
    os.dup2(fd, 3 + i, inheritable=True)
    os.close(fd)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(given)), LISTEN_FDNAMES=names)
os.execv(sys.argv[at + 1], sys.argv[at + 1:])
"""


class Manager:
    """A service manager: what it was told, each message a dict."""

    def __init__(self, directory):
        self.path = "%s/notify" % directory
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.socket.settimeout(DEADLINE)
        self.env = {"NOTIFY_SOCKET": self.path}

    def hear(self, key):
        """The next message that has this key, others are not waited for."""
        while True:
            message = dict(line.split("=", 1) for line in self.socket.recv(65536).decode().splitlines())
            if key in message:
                return message


@pytest.fixture
def manager(tmp_path):
    manager = Manager(tmp_path)
    yield manager
    manager.socket.close()


def activated(names, *sockets):
    fds = [sock.fileno() for sock in sockets]
    return {"under": [PYTHON, "-c", ACTIVATE, names, *fds, "--"], "pass_fds": fds}


def listening(family=socket.AF_INET, address=("127.0.0.1", 0)):
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.bind(address)
    sock.listen(100)
    return sock


def talk(client, take, text):
    client.say(text)
    while (event := take.hear("open", "data", "closed")).type != "data":
        pass
    take.send(event.conn, event.payload, event.opcode)
    take.flush()
    assert client.read_message() == text


def test_it_tells_how_it_is_from_start_to_end(make_gate, manager):
    gate = make_gate(env=manager.env, args=["--workers", "2"])
    assert manager.hear("READY") == {"READY": "1", "STATUS": "Serving 1 routes on 1 addresses with 2 workers"}
    gate.wsctl("reload")
    first = manager.hear("RELOADING")
    assert "READY" in manager.hear("READY")
    gate.signal(signal.SIGHUP)
    second = manager.hear("RELOADING")
    assert int(second["MONOTONIC_USEC"]) > int(first["MONOTONIC_USEC"]) > 0
    assert "READY" in manager.hear("READY")
    gate.signal(signal.SIGTERM)
    end = manager.hear("STOPPING")
    assert end["STATUS"] == "Draining 0 connections" and int(end["EXTEND_TIMEOUT_USEC"]) > 10_000_000
    assert gate.stop() == 0


def test_a_client_is_served_when_it_says_ready(processes, manager, tmp_path):
    """Not when it has bound, and not when it has opened some of its listeners."""
    path = tmp_path / "clients.sock"
    processes([WSGATE, "--runtime-dir", tmp_path / "run", "--listen", "unix:%s" % path, "--route", "echo=/echo"], env=manager.env)
    manager.hear("READY")
    with Raw(str(path)) as client:
        client.send(b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.read_until(b"\r\n").startswith(b"HTTP/1.1 404 ")


def test_a_reload_that_fails_is_told(make_gate, manager, pki, tmp_path):
    certificate, key = (tmp_path / name for name in ("a.pem", "a.key"))
    for source, target in zip(pki.local, (certificate, key)):
        target.write_bytes(open(source, "rb").read())
        target.chmod(0o600)
    gate = make_gate(env=manager.env, listen=["127.0.0.1:0,certificates=%s,keys=%s" % (certificate, key)])
    manager.hear("READY")
    certificate.write_text("nonsense")
    gate.wsctl("reload", status=1)
    manager.hear("RELOADING")
    status = manager.hear("READY")["STATUS"]
    assert "the last reload failed: " in status and str(certificate) in status
    certificate.write_bytes(open(pki.local[0], "rb").read())
    gate.wsctl("reload")
    assert "failed" not in manager.hear("READY")["STATUS"]


@pytest.mark.parametrize("workers", [1, 3])
def test_the_watchdog_hears_of_it(make_gate, manager, workers):
    make_gate(env={**manager.env, "WATCHDOG_USEC": "200000"}, args=["--workers", workers])
    for _ in range(5):
        manager.hear("WATCHDOG")


def test_without_being_asked_it_says_nothing_of_its_life(make_gate, manager):
    gate = make_gate(env={**manager.env, "WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"})  # for another process
    manager.hear("READY")
    assert gate.stop() == 0
    words = []
    manager.socket.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            words.append(manager.socket.recv(65536))
    assert not any(b"WATCHDOG" in word for word in words) and any(b"STOPPING" in word for word in words)


def test_a_stopped_gate_is_not_said_to_live(make_gate, manager):
    """SIGSTOP stands for whatever keeps it from running."""
    gate = make_gate(env={**manager.env, "WATCHDOG_USEC": "200000"})
    manager.hear("WATCHDOG")
    gate.signal(signal.SIGSTOP)
    eventually(lambda: " T " in open("/proc/%d/stat" % gate.pid).read(), "it is stopped")
    manager.socket.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            manager.socket.recv(65536)
    manager.socket.settimeout(1)
    with pytest.raises(TimeoutError):
        manager.hear("WATCHDOG")
    gate.signal(signal.SIGCONT)
    manager.socket.settimeout(DEADLINE)
    manager.hear("WATCHDOG")


@pytest.mark.parametrize("workers", [1, 3])
def test_passed_sockets_are_listened_on(make_gate, take_seat, tmp_path, workers):
    web, more, local = listening(), listening(), listening(socket.AF_UNIX, str(tmp_path / "clients.sock"))
    gate = make_gate(listen=["fd:web", "fd:local", "127.0.0.1:0"], args=["--workers", workers], **activated("web:local:web", web, local, more))
    ports = [sock.getsockname()[1] for sock in (web, more)]
    seen = re.findall(r"msg=listening address=(\S+)", gate.output)
    assert seen[:3] == ["127.0.0.1:%d" % ports[0], "127.0.0.1:%d" % ports[1], "unix:%s" % (tmp_path / "clients.sock")]
    bus = take_seat(gate)
    for place in (*ports, str(tmp_path / "clients.sock"), gate.port):
        with Raw(place) as client:
            talk(client.upgrade(), bus, "hello")
    assert gate.stop() == 0
    assert os.path.exists(tmp_path / "clients.sock")  # it is not the gate's to remove


def dual_stack():
    sock = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    sock.bind(("::", 0))
    sock.listen(100)
    return sock


def test_a_client_of_a_socket_for_both_is_what_it_is(make_gate, take_seat):
    """Not an IPv6 address that stands for an IPv4 one: neither in what is told nor for the rules."""
    web = dual_stack()
    port = web.getsockname()[1]
    gate = make_gate(listen=["fd:web,deny=127.0.0.2"], **activated("web", web))
    bus = take_seat(gate)
    with Raw(port) as client:
        client.upgrade()
        assert bus.hear("open").meta["peer"].startswith("127.0.0.1:")
    with Raw(port, source="127.0.0.2") as client:
        client.send(b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.read_to_end() == b""


def test_between_two_gates_clients_wait_and_are_not_refused(make_gate, take_seat, tmp_path):
    """What socket activation is for: the socket is there while the gate restarts."""
    web = listening()
    run = tmp_path / "run"
    run.mkdir()
    first = make_gate(run, listen=["fd:web"], **activated("web", web))
    assert first.stop() == 0
    with socket.create_connection(web.getsockname(), DEADLINE) as early:
        early.sendall(b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n")
        make_gate(run, listen=["fd:web"], **activated("web", web))
        assert early.recv(100).startswith(b"HTTP/1.1 404 ")


@pytest.mark.parametrize("listen, names, why", [
    (["fd:web"], None, "listen 'fd:web': the service manager passed no socket of this name"),
    (["fd:web"], "other", "listen 'fd:web': the service manager passed no socket of this name"),
    (["127.0.0.1:0"], "web", "the service manager passed a socket 'web', and there is no listener 'fd:web'"),
    (["fd:web", "fd:web"], "web", "this address"),
    (["fd:web,mode=0600"], "web", "mode: only a Unix socket"),
    (["fd:"], "web", "'fd:' is not a socket's name"),
    (["fd:a b"], "web", "'fd:a b' is not a socket's name"),
])
def test_what_is_not_passed_or_not_wanted_is_an_error(tmp_path, listen, names, why):
    with listening() as web:
        command = [str(WSGATE), "--runtime-dir", str(tmp_path), "--route", "echo=/echo", *(word for one in listen for word in ("--listen", one))]
        if names:
            command = [PYTHON, "-c", ACTIVATE, names, str(web.fileno()), "--", *command]
        run = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, pass_fds=[web.fileno()])
    assert run.returncode in (1, 2) and why in run.stderr, run.stderr


def test_what_is_said_of_passed_sockets_in_a_check_needs_none(tmp_path):
    run = subprocess.run([str(WSGATE), "-t", "--listen", "fd:web", "--route", "echo=/echo"], capture_output=True, text=True, timeout=DEADLINE)
    assert run.returncode == 0, run.stderr


def journal(tmp_path):
    """A pipe as standard error, and the variable by which systemd says that it is the journal's."""
    read, write = os.pipe()
    status = os.fstat(write)
    return read, write, {"JOURNAL_STREAM": "%d:%d" % (status.st_dev, status.st_ino)}


def run_with_journal(command, env, write, until, read):
    process = subprocess.Popen([str(word) for word in command], stderr=write, env={**os.environ, **env})
    os.close(write)
    text = b""
    while until not in text and (more := os.read(read, 65536)):
        text += more
    process.terminate()
    while more := os.read(read, 65536):
        text += more
    os.close(read)
    assert process.wait(DEADLINE) is not None
    return text.decode().splitlines()


@pytest.mark.parametrize("style, begin", [("logfmt", "time="), ("json", '{"time":"')])
def test_lines_for_the_journal_have_priorities(tmp_path, style, begin):
    read, write, env = journal(tmp_path)
    command = [WSGATE, "--runtime-dir", tmp_path / "run", "--listen", "127.0.0.1:0", "--route", "echo=/echo", "--log-format", style]
    lines = run_with_journal(command, env, write, b"ready", read)
    assert all(re.match(r"<[3-7]>" + re.escape(begin), line) for line in lines), lines
    assert any(line.startswith("<6>") and "ready" in line for line in lines)


def test_an_error_of_the_start_has_a_priority(tmp_path):
    read, write, env = journal(tmp_path)
    lines = run_with_journal([WSGATE, "--listen", "nonsense"], env, write, b"nonsense", read)
    assert lines and lines[-1].startswith("<3>wsgate: "), lines


def test_elsewhere_lines_have_none(tmp_path, make_gate):
    gate = make_gate(env={"JOURNAL_STREAM": "9:12345"})
    assert gate.lines[0].startswith("time=")


HANDLER_LOGS = {
    "python": """
import sys
from wsbus import Handler
with Handler(["echo"], bus=sys.argv[1]) as bus:
    for level in ("info", "wslog", "warn", "error"):
        bus.log(level, "a line")
    print("done", file=sys.stderr, flush=True)
    sys.stdin.read()
""",
    "python-shm": """
import sys
from wsbus_shm import Handler
with Handler(["echo"], bus=sys.argv[1]) as bus:
    for level in ("info", "wslog", "warn", "error"):
        bus.log(level, "a line")
    print("done", file=sys.stderr, flush=True)
    sys.stdin.read()
""",
}


@pytest.mark.parametrize("language", list(HANDLER_LOGS))
def test_what_a_handler_logs_has_priorities_in_the_journal(gate, tmp_path, language):
    read, write, env = journal(tmp_path)
    command = with_libwsbus(PYTHON, "-c", HANDLER_LOGS[language], gate.dir)
    lines = run_with_journal(command, env, write, b"done", read)
    assert [line[:3] for line in lines if line.endswith("a line")] == ["<6>", "<5>", "<4>", "<3>"], lines
