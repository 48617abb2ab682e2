"""The tests run in the background too, as `nohup ./dev test &` starts them: with signals ignored, which programs inherit."""

import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile

import pytest

from conftest import DEADLINE, IGNORED

HERE = pathlib.Path(__file__).resolve().parent
# What nohup and a shell without job control ignore, and one more that would take exit statuses from whoever waits for a child.
NOHUP = (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGCHLD)
MASKS = """
import os, signal, subprocess, conftest
own = open("/proc/self/status").read()
os.kill(os.getpid(), signal.SIGINT), os.kill(os.getpid(), signal.SIGQUIT), os.kill(os.getpid(), signal.SIGHUP)  # as ignored as before
print(own + subprocess.run(["cat", "/proc/self/status"], capture_output=True, text=True, check=True).stdout)
"""
# Each sends SIGINT: to itself, to a program that it starts, or to one that a fixture starts.
TESTS = ["test_python_shm.py::test_an_event_that_an_exception_tore_away_is_anothers",
         "test_wsctl.py::test_list_watch_goes_on_until_it_is_interrupted",
         "test_listeners.py::test_a_signal_drains"]


def ignore_all():
    for number in NOHUP:
        signal.signal(number, signal.SIG_IGN)


def in_the_background(*args):
    env = {key: value for key, value in os.environ.items() if key != IGNORED and not key.startswith("PYTEST_")}
    return subprocess.run([sys.executable, "-B", *args], cwd=HERE, env=env, capture_output=True, text=True, timeout=DEADLINE * 6, preexec_fn=ignore_all)


def test_programs_start_with_the_default_actions():
    run = in_the_background("-c", MASKS)
    assert run.returncode == 0, run.stderr
    ours, theirs = [int(mask, 16) for mask in re.findall(r"^SigIgn:\s*([0-9a-f]+)", run.stdout, re.M)]
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGCHLD):
        assert not (ours | theirs) & 1 << number - 1, number
    assert theirs & 1 << signal.SIGHUP - 1  # what nohup is for


@pytest.mark.parametrize("workers", [[], ["-n", "1"]], ids=["alone", "xdist"])
def test_tests_that_interrupt_pass_in_the_background(workers):
    # A place of its own: pytest closes the one that all its runs share to other users, and gates of other users may be in it now.
    with tempfile.TemporaryDirectory(prefix="wsbus-tests-") as folder:
        run = in_the_background("-m", "pytest", "-q", "-p", "no:cacheprovider", "--basetemp", folder + "/t", *workers, *TESTS)
    assert run.returncode == 0 and re.search(r"\b[3-9] passed", run.stdout), run.stdout + run.stderr
