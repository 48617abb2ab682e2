#!/usr/bin/env python3
"""The longest step of a gate's loops under each input that makes much work at once, in milliseconds of CPU time of the thread; and the most
calls to the kernel and allocations of one step. Prints a line for each. A loop that goes on for longer than 5 ms keeps every other client of its worker waiting.

    longest_step.py [--clients N] [--workers N]       WSBUS_BUILD: the build directory (build/release)
"""

import argparse
import os
import pathlib
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
os.environ.setdefault("WSBUS_BUILD", str(ROOT / "build" / "release"))
sys.path.insert(0, str(ROOT / "integration"))
sys.path.insert(0, str(ROOT / "python"))

import wsbus  # noqa: E402
from conftest import BUILD, Gate, Process, Seat, eventually  # noqa: E402
from raw import Raw  # noqa: E402
from steps import Steps  # noqa: E402

TEXT = b"".join(b'{"id":%d,"name":"user %d"},' % (i * i, i * 7919 % 10007) for i in range(450000))[:15000000]
NAMES = ["group-%04d-%s" % (i, "x" * 20) for i in range(100)]  # 3 KB


class Trial:
    def __init__(self, directory, options):
        self.clients = options.clients
        self.steps = Steps(directory)
        self.gate = Gate(
            os.path.join(directory, "run"), routes=["echo=/echo", "other=/other", "web=/web,gzip=on,max_queue=64MiB"],
            args=["--workers", options.workers, "--max-connections", options.clients + 100],
            env=self.steps.env)
        self.seat = Seat(self.gate, ["echo", "other", "web"], ack=True)
        self.probe = Raw(self.gate).upgrade("/other")
        self.probe_conn = self.seat.hear("open").conn
        self.crowd = Process([BUILD / "wsbench" / "wsbench", "idle", "-c", options.clients, "-d", "600", self.gate.url("/echo")])
        self.conns = [self.seat.hear("open").conn for _ in range(options.clients)]

    def settle(self):
        """Everything that was said has been done: the answer to what was said behind it is here."""
        self.seat.flush()
        self.probe.say("are you there")
        while self.seat.read(20000).type != "data":
            pass
        self.seat.send(self.probe_conn, "done")
        self.seat.flush()
        while self.probe.read_message() != "done":
            pass

    def run(self, what, work):
        self.settle()
        self.steps.forget()
        work()
        self.settle()
        most = self.steps.most()
        print("%8.2f ms %6d calls %6d allocations  %s" % (*most[:3], what), flush=True)


def main():
    parser = argparse.ArgumentParser(allow_abbrev=False, description=__doc__)
    parser.add_argument("--clients", type=int, default=15000)
    parser.add_argument("--workers", type=int, default=1)
    with tempfile.TemporaryDirectory() as directory:
        trial = Trial(directory, parser.parse_args())
        try:
            run_all(trial)
        finally:
            trial.crowd.kill()
            trial.seat.disconnect()
            trial.gate.kill()


def run_all(t):
    seat, conns = t.seat, t.conns

    def publish_ten_times():
        for _ in range(10):
            seat.publish("x" * 125, route="echo")

    def hundred_groups_each():
        for conn in conns[:1000]:
            seat.join(conn, *["%s-%d" % (name, conn % 7) for name in NAMES])

    def many_groups():
        for number in range(100000):
            seat.join(conns[number % len(conns)], "g%d" % number)

    def sends_one_by_one():
        for conn in conns:
            seat.send(conn, "x" * 125)

    def handler_comes_and_goes():
        with wsbus.Handler(["echo"], bus=t.gate.dir) as other:
            eventually(lambda: other.read(0) is not None, "it is registered")
            t.gate.wait_handlers("echo", 2)
            other.disconnect()
        t.gate.wait_handlers("echo", 1)

    def answers(body, in_parts=False):
        with Raw(t.gate) as client:
            client.send(b"GET /web HTTP/1.1\r\nHost: gate\r\nAccept-Encoding: gzip\r\n\r\n")
            conn = seat.hear("request").conn
            seat.respond(conn, b"" if in_parts else body, 200, {"content-type": "text/plain"}, more=in_parts)
            if in_parts:
                seat.body(conn, body, more=False)
            seat.flush()
            assert client.read_response().headers["content-encoding"] == "gzip"

    t.run("nothing but the probe", lambda: None)
    t.run("a body of 4 MB as gzip", lambda: answers(TEXT[:4000000]))
    t.run("a part of 15 MB as gzip", lambda: answers(TEXT, in_parts=True))
    t.run("10 publishes to %d clients" % t.clients, publish_ten_times)
    t.run("wsctl send to two routes, one of all of them", lambda: t.gate.wsctl("send", "--route", "echo", "--route", "other", "--text", "x"))
    t.run("wsctl list of all", lambda: t.gate.wsctl("list", "--limit", 100000))
    t.run("1,000 JOINs of 3 KB", hundred_groups_each)
    t.run("100,000 groups", many_groups)
    t.run("wsctl groups, 100,000 of them", lambda: t.gate.wsctl("groups", "--limit", 0))
    t.run("%d SENDs one by one" % t.clients, sends_one_by_one)
    t.run("a handler comes and goes, %d pins" % t.clients, handler_comes_and_goes)
    t.run("wsctl close of all", lambda: t.gate.wsctl("close", "--route", "echo", "--yes"))


if __name__ == "__main__":
    main()
