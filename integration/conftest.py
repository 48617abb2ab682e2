"""Fixtures: a real gate, real handlers, real clients. Everything waits for a condition with a deadline, never for a time."""

import asyncio
import contextlib
import functools
import http.client
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
import zmq

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = pathlib.Path(os.environ.get("WSBUS_BUILD", ROOT / "build" / "dev"))
PYTHON = "/usr/bin/python3"
DEADLINE = float(os.environ.get("WSBUS_TEST_DEADLINE", "20"))  # generous: sanitizer builds on a busy machine

sys.path.insert(0, str(ROOT / "python"))
os.environ["PYTHONPATH"] = str(ROOT / "python")  # for the examples, which import the helper as an installed one

import wsbus  # noqa: E402
from certificates import Pki  # noqa: E402


SO_PASSRIGHTS = 83


def can_refuse_descriptors():
    """Since Linux 6.16 a Unix socket can."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            return probe.getsockopt(socket.SOL_SOCKET, SO_PASSRIGHTS) == 1
        except OSError:
            return False


def eventually(condition, what="the condition", deadline=DEADLINE):
    """Wait until condition() is true; return what it returned."""
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, "not within %g s: %s" % (deadline, what)
        time.sleep(0.01)


@functools.cache
def is_sanitized(program):
    data = pathlib.Path(program).read_bytes()
    return b"__asan_init" in data or b"__tsan_init" in data


@functools.cache
def sanitizer_first(library):
    """What makes a program that has no sanitizer load a library that has one: its runtime wants to come first."""
    data = pathlib.Path(library).read_bytes()
    for name in ("asan", "tsan"):
        if b"__%s_init" % name.encode() in data:
            found = subprocess.run(["cc", "-print-file-name=lib%s.so" % name], capture_output=True, text=True, check=True).stdout.strip()
            return ["LD_PRELOAD=" + found, "ASAN_OPTIONS=detect_leaks=0"]  # Python never frees everything
    return []


ENDS = (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGCHLD)
IGNORED = "WSBUS_TEST_IGNORES"  # the workers of pytest-xdist learn it from who started them


def hear_ignored_signals():
    """Let programs that the tests start begin with the default action of a signal, also where pytest itself ignores it.

    A shell starts what runs in the background with SIGINT and SIGQUIT ignored, and exec keeps that. A handler that does nothing
    has the same effect here, and exec takes it away. SIGHUP stays: who says nohup wants the programs to outlive the terminal.
    """
    before = os.environ.get(IGNORED, "").split()
    ignored = [number for number in ENDS if signal.getsignal(number) == signal.SIG_IGN or number.name in before]
    for number in ignored:
        signal.signal(number, lambda *_: None)
    os.environ[IGNORED] = " ".join(number.name for number in ignored)


hear_ignored_signals()


@pytest.fixture
def ctrl_c():
    """SIGINT raises KeyboardInterrupt in this process, wherever it runs."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield lambda *_: signal.raise_signal(signal.SIGINT)
    signal.signal(signal.SIGINT, before)


class Process:
    """A program of ours with its output kept; `lines` grows while it runs."""

    def __init__(self, command, env=None, pass_fds=()):
        self.command = [str(part) for part in command]
        self.lines = []
        self.process = subprocess.Popen(
            self.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**os.environ, **(env or {})},
            text=True, errors="replace", pass_fds=pass_fds,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    @property
    def pid(self):
        return self.process.pid

    @property
    def output(self):
        return "\n".join(self.lines)

    def wait_line(self, pattern, deadline=DEADLINE):
        regex = re.compile(pattern)

        def found():
            for line in list(self.lines):
                match = regex.search(line)
                if match:
                    return match
            assert self.process.poll() is None or self._reader.is_alive(), "%s ended (%s):\n%s" % (
                self.command, self.process.returncode, self.output)
            return None

        return eventually(found, "a line that matches %r from %s; it said:\n%s" % (pattern, self.command[0], self.output), deadline)

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()

    def stop(self, deadline=DEADLINE):
        """SIGTERM, and its exit status."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(deadline)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError("%s did not end on SIGTERM:\n%s" % (self.command, self.output))
        self._reader.join(deadline)
        return self.process.returncode

    def memory_kib(self):
        for line in pathlib.Path("/proc/%d/status" % self.pid).read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
        raise AssertionError("no VmRSS")

    def assert_grew_less(self, before_kib, most_mib):
        """Since it had before_kib. A sanitizer keeps what was freed for a while: 256 MiB of it, and its shadow."""
        grown = self.memory_kib() - before_kib
        most = (most_mib + (500 if is_sanitized(self.command[0]) else 0)) << 10
        assert grown < most, "%s grew by %d KiB" % (self.command[0], grown)


class Gate(Process):
    """A running wsgate. `port` is its first TCP listener's."""

    def __init__(self, directory, args=(), routes=("echo=/echo",), listen=("127.0.0.1:0",), pki=None, under=(), env=None, pass_fds=()):
        self.dir = str(directory)
        self.tls = pki and pki.client()  # what clients speak to it with
        self.curl = ["curl", "-sS", "--max-time", "30", *(["--cacert", str(pki.ca.file)] if pki else [])]
        if pki:
            listen = ["%s,certificates=%s,keys=%s" % (address, *pki.local) for address in listen]
        command = [*under, BUILD / "wsgate" / "wsgate", "--runtime-dir", self.dir]
        for address in listen:
            command += ["--listen", address]
        for route in routes:
            command += ["--route", route]
        super().__init__(command + list(args), env=env, pass_fds=pass_fds)
        self.wait_line(r"msg=ready")
        match = re.search(r"address=\S*:(\d+)", self.output)
        self.port = int(match.group(1)) if match else None

    def url(self, path="/echo"):
        return "%s://127.0.0.1:%d%s" % ("wss" if self.tls else "ws", self.port, path)

    def wss(self, path="/echo"):
        return "wss://localhost:%d%s" % (self.port, path)

    def http(self, path="/"):
        return "%s://127.0.0.1:%d%s" % ("https" if self.tls else "http", self.port, path)

    def http_client(self):
        if self.tls:
            return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=30, context=self.tls)
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)

    def wsctl(self, *args, status=0):
        """What wsctl --json says."""
        run = subprocess.run(
            [str(BUILD / "wsctl" / "wsctl"), "--runtime-dir", self.dir, *map(str, args), "--json"], capture_output=True, text=True, timeout=DEADLINE)
        assert run.returncode == status, "wsctl %s: %d\n%s%s" % (args, run.returncode, run.stdout, run.stderr)
        return json.loads(run.stdout) if run.stdout.strip() else None

    def wait_handlers(self, route, count):
        """Until `count` handlers serve the route."""
        return eventually(
            lambda: sum(route in handler["routes"] for handler in self.wsctl("handlers")["handlers"]) == count,
            "%d handlers of %s" % (count, route))


def assert_clean(process):
    """No sanitizer had anything to say, and no assertion failed."""
    for word in ("AddressSanitizer", "LeakSanitizer", "ThreadSanitizer", "runtime error:", "Assertion"):
        assert word not in process.output, process.output


@pytest.fixture
def processes():
    """Starts programs, and sees to it that none is left and none complained."""
    started = []

    def start(command, **kwargs):
        process = Process(command, **kwargs)
        started.append(process)
        return process

    start.started = started
    yield start
    for process in sorted(reversed(started), key=lambda process: isinstance(process, Gate)):  # gates last: others say goodbye to them
        with contextlib.suppress(ProcessLookupError):
            process.signal(signal.SIGCONT)
        process.stop()
    for process in started:
        assert_clean(process)


@pytest.fixture(scope="session")
def pki(tmp_path_factory):
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def wire(request):
    """What gates and raw clients speak. A module that is to be run both ways says BOTH_WIRES."""
    return getattr(request, "param", "ws")


BOTH_WIRES = pytest.mark.parametrize("wire", ["ws", "wss"], indirect=True)


@pytest.fixture
def make_gate(processes, tmp_path_factory, wire, request):
    """make_gate(routes=[…], args=[…]) starts a gate of its own directory."""

    def make(directory=None, **kwargs):
        if wire == "wss":
            kwargs["pki"] = request.getfixturevalue("pki")
        gate = Gate(directory or tmp_path_factory.mktemp("gate"), **kwargs)
        processes.started.append(gate)
        return gate

    return make


@pytest.fixture
def gate(make_gate):
    """A gate with one route, echo, for both kinds."""
    return make_gate()


def with_libwsbus(*command):
    """A program of another language that loads the library we built."""
    library = BUILD / "libwsbus" / "libwsbus.so.0"
    return ["env", "WSBUS_LIBRARY=%s" % library, *sanitizer_first(library), *command]


HANDLERS = {  # "c" and "python-shm" come over shared memory, the others over ZeroMQ
    "c-zmq": lambda gate, route: ["env", "WSBUS_LINK=zmq", BUILD / "examples" / "wsbus-echo", "--runtime-dir", gate.dir, "--route", route],
    "c": lambda gate, route: [BUILD / "examples" / "wsbus-echo", "--runtime-dir", gate.dir, "--route", route],
    "python": lambda gate, route: [PYTHON, ROOT / "examples/python/echo.py", "--runtime-dir", gate.dir, "--route", route],
    "python-aio": lambda gate, route: [PYTHON, ROOT / "examples/python/echo_aio.py", "--runtime-dir", gate.dir, "--route", route],
    "python-shm": lambda gate, route: with_libwsbus(PYTHON, ROOT / "examples/python/echo_shm.py", "--runtime-dir", gate.dir, "--route", route),
    "raw": lambda gate, route: [PYTHON, ROOT / "examples/python/echo_raw.py", "--runtime-dir", gate.dir],
    "node": lambda gate, route: ["node", ROOT / "examples/node/echo.js", "--runtime-dir", gate.dir, "--route", route],
}


@pytest.fixture
def echo(processes):
    """echo(gate, "c") starts an echo handler in that language and waits until the gate knows it."""

    def start(gate, language="c", route="echo"):
        before = sum(route in handler["routes"] for handler in gate.wsctl("handlers")["handlers"])
        process = processes(HANDLERS[language](gate, route))
        gate.wait_handlers(route, before + 1)
        return process

    return start


class Seat(wsbus.Handler):
    """A handler that the test plays itself: it hears events one by one, and says what it wants."""

    def __init__(self, gate, routes, **kwargs):
        super().__init__(routes=routes, bus=gate.dir, context=zmq.Context(), **kwargs)
        self.welcome = self.hear("welcome")

    def hear(self, *types, deadline=DEADLINE):
        """The next event, which must be one of these types."""
        event = self.read(deadline * 1000)
        assert event is not None, "no event within %g s; waited for %s" % (deadline, types)
        assert event.type in types, "%r instead of %s: %r" % (event, types, event.payload[:200])
        return event

    def hears_nothing(self, seconds=0.2):
        event = self.read(seconds * 1000)
        assert event is None, event
        return True

    def stand_up(self):
        """Say BYE and go."""
        if not self._socket.closed:
            self._silence_ms = 100  # there may be no gate any more to say it to
            self.disconnect()
            self._context.destroy(linger=500)

    def vanish(self):
        """Go without a word."""
        self._socket.close(linger=0)
        self._context.destroy(linger=0)


@pytest.fixture
def take_seat():
    """take_seat(gate, ["route"]) registers a handler that is played by the test."""
    seats = []

    def take(gate, routes=("echo",), **kwargs):
        seats.append(Seat(gate, routes, **kwargs))
        return seats[-1]

    yield take
    for seat in seats:
        seat.stand_up()


def run_async(coroutine, deadline=DEADLINE * 3):
    """Run a client's conversation, bounded."""
    return asyncio.run(asyncio.wait_for(coroutine, deadline))
