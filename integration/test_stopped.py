"""A gate that was stopped, or whose machine slept: that time did not pass for those who waited for it."""

import signal
import time

from conftest import eventually
from raw import Raw

PAUSE = 3  # seconds; more than each of the limits below


def test_nobody_is_closed_for_silence_that_was_ours(make_gate, echo):
    gate = make_gate(routes=["echo=/echo,idle_timeout=1s,ping_interval=500ms,ping_timeout=1s,ack_timeout=1s"])
    echo(gate)
    echo(gate, "python")
    clients = [Raw(gate).upgrade() for _ in range(10)]
    for client in clients:
        assert client.ask("before") == "before"
    gate.signal(signal.SIGSTOP)
    for client in clients:
        client.say("meanwhile")
    time.sleep(PAUSE)  # the stop itself
    gate.signal(signal.SIGCONT)
    for client in clients:
        assert client.read_message() == "meanwhile"
        assert client.ask("after") == "after"
    stats = gate.wsctl("stats")
    assert stats["bus"]["handlers_gone"] == 0, gate.output
    assert stats["routes"]["echo"]["ended"]["idle"] == stats["routes"]["echo"]["ended"]["ping"] == 0
    eventually(lambda: gate.wsctl("stats")["routes"]["echo"]["ended"]["idle"] == len(clients), "silence of their own")
