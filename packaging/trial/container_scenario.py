"""The container of packaging/Containerfile, step by step."""

import os
import pathlib
import re
import subprocess
import tempfile

import container
from machine import Failed

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
CLIENT = """
import sys
sys.path.insert(0, %r)
from raw import Raw
with Raw(8080) as client:
    client.upgrade()
    client.say("hello")
    print(client.read_message())
""" % str(ROOT / "integration")


def need(condition, what):
    if not condition:
        raise Failed(what)


class Trial:
    """Builds the image, and keeps what runs."""

    def __init__(self, fresh, context):
        self.fresh, self.context = fresh, context
        self.image = self.running = self.handler = None
        self.folder = tempfile.TemporaryDirectory()
        self.volume = pathlib.Path(self.folder.name, "volume")
        os.chmod(self.folder.name, 0o755)

    def end(self):
        if self.handler:
            self.handler.kill()
            self.handler.wait()
        if self.running:
            self.running.stop()
        self.folder.cleanup()


def the_steps_of_the_containerfile_can_be_done(t):
    t.image = container.build(t.context / "packaging/Containerfile", t.context, t.fresh)
    need(t.image.user == "65532:65532", "it is not root")


def the_gate_comes_up_read_only_and_is_healthy(t):
    t.running = container.Container(t.image, t.volume, "--listen", "*:8080", "--route", "echo=/echo")
    t.running.wait()
    status = pathlib.Path("/proc/%d/status" % t.running.pid).read_text()
    for pattern in (r"Uid:\t65532\t65532", r"CapEff:\t0000000000000000", r"CapBnd:\t0000000000000000", r"NoNewPrivs:\t1"):
        need(re.search(pattern, status), "%s in\n%s" % (pattern, status))
    mounts = pathlib.Path("/proc/%d/mountinfo" % t.running.pid).read_text().splitlines()
    root = next(line.split() for line in mounts if line.split()[4] == "/")
    need("ro" in root[5].split(","), "its root is read-only: %s" % root)


def a_handler_outside_serves_a_client(t):
    t.handler = subprocess.Popen(["/usr/bin/python3", "-B", ROOT / "examples/python/echo.py", "--bus", t.volume],
                                 env={**os.environ, "PYTHONPATH": str(ROOT / "python")})
    deadline = 100
    while (done := t.running.connect(8080, CLIENT)).returncode and deadline:
        deadline -= 1  # until the handler is registered
    need(done.stdout == "hello\n", "%s%s" % (done.stdout, done.stderr))


def it_drains_when_it_is_stopped(t):
    need(t.running.stop() == 0, "its exit status")
    t.running = None


def steps():
    return [(step.__name__.replace("_", " "), step) for step in (
        the_steps_of_the_containerfile_can_be_done, the_gate_comes_up_read_only_and_is_healthy, a_handler_outside_serves_a_client,
        it_drains_when_it_is_stopped)]
