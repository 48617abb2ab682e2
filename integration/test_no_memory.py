"""A gate for which one allocation in many fails: no client and no handler sees a hole; who would, is closed."""

import contextlib
import signal
import subprocess

import pytest

from conftest import BUILD, Gate, eventually, is_sanitized
from raw import CLOSE, Raw, close_code, frame

EVERY = 200
CLIENTS, MESSAGES = 40, 200
# From SIGUSR2 on, until the next one, one in EVERY allocations of the program fails.
SHIM = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
static atomic_int on;
static atomic_uint turn = 1;
static int fails(void)
{
    if (!atomic_load(&on))
        return 0;
    unsigned x = atomic_fetch_add(&turn, 1) * 2654435761u;
    if ((x >> 8) %% %(every)d)
        return 0;
    errno = ENOMEM;
    return 1;
}
static void change(int number) { (void)number; atomic_store(&on, !atomic_load(&on)); }
extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
void *malloc(size_t n) { return fails() ? NULL : __libc_malloc(n); }
void *calloc(size_t k, size_t n) { return fails() ? NULL : __libc_calloc(k, n); }
void *realloc(void *p, size_t n) { return fails() ? NULL : __libc_realloc(p, n); }
__attribute__((constructor)) static void init(void) { signal(SIGUSR2, change); }
"""


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shim")
    (folder / "shim.c").write_text(SHIM % {"every": EVERY})
    subprocess.run(["cc", "-shared", "-fPIC", "-o", folder / "shim.so", folder / "shim.c"], check=True, timeout=120)
    return folder / "shim.so"


class Talker:
    """Sends numbers and hears their echo; notes whether it was closed."""

    def __init__(self, gate):
        self.raw, self.heard, self.code = Raw(gate).upgrade(), 0, None

    def ask(self, number):
        self.raw.say("%d" % number)

    def hear(self, number):
        """The echo of the number, or the end."""
        frame = self.raw.read_frame()
        if frame.opcode == CLOSE:
            self.code = close_code(frame.payload)[0]
            return
        assert int(frame.payload) == number, "a hole"
        self.heard += 1


@pytest.mark.skipif(is_sanitized(BUILD / "wsgate" / "wsgate"), reason="a sanitizer has an allocator of its own")
@pytest.mark.parametrize("language", ["c", "c-zmq", "python"])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_no_client_sees_a_hole(processes, echo, shim, tmp_path, monkeypatch, language, workers):
    monkeypatch.setenv("LD_PRELOAD", str(shim))
    gate = Gate(tmp_path / "gate", args=["--workers", workers, "--drain-timeout", "1s"])
    monkeypatch.delenv("LD_PRELOAD")
    processes.started.append(gate)
    echo(gate, language)
    clients = [Talker(gate) for _ in range(CLIENTS)]
    gate.signal(signal.SIGUSR2)
    for number in range(MESSAGES):
        for client in clients:
            with_end(client, lambda client: client.ask(number))
        for client in clients:
            with_end(client, lambda client: client.hear(number))
    assert gate.process.poll() is None, gate.output
    assert all(client.code in (None, 1011, 1013, 1006) for client in clients), [client.code for client in clients]
    assert any(client.heard for client in clients)


def with_end(client, step):
    """An end without a word is one as well: nobody is left who could not tell."""
    if client.code is not None:
        return
    try:
        step(client)
    except (ConnectionError, EOFError, BrokenPipeError, AssertionError) as error:
        if isinstance(error, AssertionError) and "a hole" in str(error):
            raise
        client.code = 1006


@pytest.mark.skipif(is_sanitized(BUILD / "wsgate" / "wsgate"), reason="a sanitizer has an allocator of its own")
@pytest.mark.parametrize("workers", ["1", "2"])
def test_whoever_was_told_of_a_connection_is_told_of_its_end(processes, take_seat, shim, tmp_path, monkeypatch, workers):
    """Bursts take many turns, and what waits for the next one needs memory; at the end nobody counts what is not there."""
    monkeypatch.setenv("LD_PRELOAD", str(shim))
    gate = Gate(tmp_path / "gate", args=["--workers", workers])
    monkeypatch.delenv("LD_PRELOAD")
    processes.started.append(gate)
    seat = take_seat(gate)
    burst = frame(2, b"x") * 2000
    for _ in range(20):
        clients = [Raw(gate).upgrade() for _ in range(20)]
        gate.signal(signal.SIGUSR2)
        for client in clients:
            with contextlib.suppress(ConnectionError):
                for _ in range(5):
                    client.socket.sendall(burst)
        while seat.read(200) is not None:
            pass
        gate.signal(signal.SIGUSR2)
        for client in clients:
            client.reset()
        eventually(lambda: seat.read(0) is None and gate.wsctl("handlers")["handlers"][0]["connections"] == 0,
                   "the hub has heard of all ends")
    assert gate.process.poll() is None, gate.output
