"""Handlers with the default link come back over shared memory, however long the gate was away."""

import signal
import time


from conftest import DEADLINE
from raw import Raw
from test_shm import link_of

OUTAGE = 1.5  # seconds; the library looks for shared memory for less than that before it settles for ZeroMQ


def outage(gate):
    gate.signal(signal.SIGKILL)
    gate.process.wait(DEADLINE)
    time.sleep(OUTAGE)


def test_after_a_long_outage_handlers_are_on_shared_memory_again(make_gate, echo):
    gate = make_gate()
    handler = echo(gate)
    assert link_of(gate, handler) == "shm"
    for _ in range(2):
        outage(gate)
        gate = make_gate(directory=gate.dir)
        gate.wait_handlers("echo", 1)
        assert link_of(gate, handler) == "shm"
        with Raw(gate).upgrade() as client:
            assert client.ask("hello") == "hello"


def test_who_fell_back_to_zeromq_asks_the_next_gate_for_shared_memory(make_gate, echo):
    gate = make_gate(args=["--shm", "no"])
    handler = echo(gate)
    assert link_of(gate, handler) == "zmq"
    for option, link in (("yes", "shm"), ("no", "zmq"), ("yes", "shm")):
        gate.signal(signal.SIGKILL)
        gate.process.wait(DEADLINE)
        gate = make_gate(directory=gate.dir, args=["--shm", option])
        gate.wait_handlers("echo", 1)
        assert link_of(gate, handler) == link
        with Raw(gate).upgrade() as client:
            assert client.ask("hello") == "hello"
