"""The steps of packaging/Containerfile without an engine, as far as they are used there; and what comes of them, run as it says."""

import json
import pathlib
import re
import shutil
import subprocess
import time

from machine import Failed

WORDS = {"FROM", "RUN", "COPY", "ENV", "VOLUME", "EXPOSE", "USER", "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT", "CMD"}
BASE = "debian:12-slim"


def instructions(path):
    """(word, rest) of each, lines joined."""
    text = re.sub(r"^#.*\n", "", pathlib.Path(path).read_text(), flags=re.MULTILINE)
    for line in re.sub(r"\\\n", " ", text).splitlines():
        if line.strip():
            word, _, rest = line.strip().partition(" ")
            if word not in WORDS:
                raise Failed("an instruction that this does not know: %s" % word)
            yield word, rest.strip()


class Image:
    """A stage, and what it says about how it is to be run."""

    def __init__(self, machine):
        self.machine = machine
        self.env, self.user, self.entrypoint, self.command, self.health = {}, "0", [], [], None


def copy(image, words, context, stages):
    source, target = words[-2:]
    folder = stages[words[0].removeprefix("--from=")].machine.folder if words[0].startswith("--from=") else context
    into = image.machine.folder / target.strip("/")
    shutil.copytree(folder / source.strip("/") if source != "." else folder, into, dirs_exist_ok=True, symlinks=True)


def build(path, context, fresh):
    """fresh(name): a Machine with the base image. Returns the last stage."""
    stages, image = {}, None
    for word, rest in instructions(path):
        if word == "FROM":
            base, *name = rest.split(" AS ")
            if base != BASE:
                raise Failed("the base is %s, and here is %s only" % (base, BASE))
            image = stages[name[0] if name else ""] = Image(fresh("stage-%d" % len(stages)))
        elif word == "RUN":
            image.machine.build(rest)
        elif word == "COPY":
            copy(image, rest.split(), context, stages)
        elif word == "ENV":
            image.env.update([rest.split("=", 1)])
        elif word == "USER":
            image.user = rest
        elif word == "ENTRYPOINT":
            image.entrypoint = json.loads(rest)
        elif word == "CMD":
            image.command = json.loads(rest)
        elif word == "HEALTHCHECK":
            image.health = json.loads(rest.removeprefix("CMD "))
    return image


class Container:
    """What runs in an image: read-only, without capabilities, as its user, with /run/wsbus from outside."""

    def __init__(self, image, volume, *arguments):
        machine = image.machine
        self.image, self.log = image, machine.log
        uid, gid = image.user.split(":")
        volume.mkdir()
        shutil.chown(volume, int(uid), int(gid))
        start, enter = machine.nspawn(
            "--read-only", "--private-network", "--bind=%s:/run/wsbus" % volume, "--drop-capability=all", "--no-new-privileges=yes",
            "--user=wsbus", "--console=pipe", *("--setenv=%s=%s" % pair for pair in image.env.items()))
        words = image.entrypoint + (list(arguments) or image.command)
        self.process = subprocess.Popen([*start, "--", *words], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, preexec_fn=enter)
        self.pid = None

    def wait(self):
        """Until the gate can be reached."""
        end = time.monotonic() + 30
        while self.status(check=False) != 0:
            if self.process.poll() is not None or time.monotonic() > end:
                raise Failed("the gate does not come up; see the log")
            time.sleep(0.1)

    def status(self, check=True):
        """Of the health check."""
        children = pathlib.Path("/proc/%d/task/%d/children" % (self.process.pid, self.process.pid)).read_text().split()
        if not children:
            return 1
        self.pid = int(children[0])
        enter = ["nsenter", "--all", "--target=%d" % self.pid, "--setuid=%s" % self.image.user.split(":")[0], "env", "-i", "PATH=/usr/bin",
                 *("%s=%s" % pair for pair in self.image.env.items()), *self.image.health]
        return subprocess.run(enter, stdout=self.log, stderr=self.log).returncode

    def connect(self, port, code):
        """Run Python code in its network."""
        return subprocess.run(["nsenter", "--net", "--target=%d" % self.pid, "/usr/bin/python3", "-B", "-c", code], capture_output=True, text=True, timeout=60)

    def stop(self):
        """As an engine does: the signal goes to the gate, which is process 1 there."""
        if self.process.poll() is None:
            subprocess.run(["nsenter", "--pid", "--mount", "--target=%d" % self.pid, "kill", "-TERM", "1"], check=False)
            try:
                return self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                return None
        return self.process.returncode
