"""Starting programs, waiting for what they say, and ending them whatever happens."""

import ctypes
import os
import pathlib
import re
import signal
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = pathlib.Path(os.environ.get("WSBUS_BUILD", ROOT / "build" / "release")).resolve()
PYTHON = "/usr/bin/python3"
START_S = 20  # for a server to be ready, and to end
PR_SET_PDEATHSIG = 1


class Failed(Exception):
    pass


def end_with_parent():
    """In the child: whatever becomes of us, it goes too."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def eventually(condition, what):
    end = time.monotonic() + START_S
    while not (value := condition()):
        if time.monotonic() > end:
            raise Failed(f"not within {START_S} s: {what}")
        time.sleep(0.02)
    return value


class Program:
    def __init__(self, process, log):
        self.process, self.log = process, log

    @property
    def pid(self):
        return self.process.pid

    def check(self):
        if self.process.poll() is not None:
            raise Failed(f"{self.process.args[0]} has ended:\n{self.said()}")

    def said(self):
        return self.log.read_text(errors="replace")

    def wait_line(self, pattern):
        def found():
            self.check()
            return re.search(pattern, self.said())

        return eventually(found, f"{self.process.args[0]} says {pattern}")


class Programs:
    """Started programs with their output in files, ended in the reverse order."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.running = []
        self.count = 0

    def make_folder(self, name):
        """A new, empty folder; short, since sockets are put in it."""
        self.count += 1
        folder = self.folder / f"{self.count}-{re.sub('[^a-z0-9]+', '-', name.lower())[:20]}"
        folder.mkdir()
        return folder

    def start(self, name, command, env=None, cwd=None):
        self.count += 1
        log = self.folder / f"{self.count}-{re.sub('[^a-z0-9]+', '-', name.lower())[:40]}.log"
        with open(log, "wb") as output:
            process = subprocess.Popen(
                [str(part) for part in command], stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd=cwd,
                env={**os.environ, **(env or {})}, preexec_fn=end_with_parent)
        program = Program(process, log)
        self.running.append(program)
        return program

    def stop(self, programs=None):
        """Those, or all."""
        ending = [program for program in reversed(self.running) if programs is None or program in programs]
        for program in ending:
            program.process.terminate()
        for program in ending:
            try:
                program.process.wait(START_S)
            except subprocess.TimeoutExpired:
                program.process.kill()
                program.process.wait()
            self.running.remove(program)


def run(command, timeout_s):
    """A program that ends by itself."""
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=timeout_s,
                          preexec_fn=end_with_parent)
