#!/usr/bin/env python3
"""From the death of a handler to the first message that its successor gets again, over shared memory: kill -9 of a process that
holds one unacknowledged message, median of 20. Prints one line. WSBUS_BUILD: the build directory (build/release)."""

import os
import pathlib
import signal
import statistics
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
os.environ.setdefault("WSBUS_BUILD", str(ROOT / "build" / "release"))
sys.path.insert(0, str(ROOT / "integration"))

from conftest import PYTHON, Gate, Process, eventually  # noqa: E402
from raw import Raw  # noqa: E402
from shm_peer import Peer  # noqa: E402

TIMES = 20


def is_delivered(gate):
    return any(h.get("delivered", 0) or h.get("shm", {}).get("records_out", 0) >= 3 for h in gate.wsctl("handlers")["handlers"])


def measure(gate):
    """Milliseconds."""
    holder = Process([PYTHON, ROOT / "integration" / "shm_peer.py", gate.dir, "echo"])
    holder.wait_line("pid")
    client = Raw(gate).upgrade()
    client.say("held")
    eventually(lambda: is_delivered(gate), "it is delivered")
    peer = Peer(gate.dir, ring=65536)
    peer.register("echo", ack=True)
    begun = time.perf_counter()
    os.kill(holder.pid, signal.SIGKILL)
    while (event := peer.hear("open", "data")).type != "data":
        pass
    ended = time.perf_counter()
    assert event.redelivered and event.text == "held"
    holder.kill()
    client.close()
    peer.close()
    gate.wait_handlers("echo", 0)
    return (ended - begun) * 1000


def main():
    with tempfile.TemporaryDirectory() as directory:
        gate = Gate(os.path.join(directory, "run"))
        try:
            took = sorted(measure(gate) for _ in range(TIMES))
        finally:
            gate.stop()
    print("death to redelivery: median %.2f ms, from %.2f to %.2f ms, of %d" % (statistics.median(took), took[0], took[-1], TIMES))


if __name__ == "__main__":
    main()
