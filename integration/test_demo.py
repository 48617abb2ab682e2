"""`./dev` and the demo as a user starts and stops it."""

import os
import re
import signal
import socket
import subprocess
import tempfile

import pytest

from conftest import BUILD, DEADLINE, ROOT, eventually


@pytest.mark.parametrize("words", [
    ["demo", "--tls", "--other"], ["soak", "none", "2"], ["package", "--none", "--quick"], ["fuzz", "none", "ws_frame", "http"]])
def test_dev_refuses_an_argument_too_many(words):
    """The first argument, or the port, is wrong as well, so that a `dev` that ignores the last one does not begin to build."""
    done = subprocess.run([ROOT / "dev", *words], env={**os.environ, "WSBUS_DEMO_PORT": "none"}, capture_output=True, text=True, timeout=DEADLINE)
    assert done.returncode == 1 and "at most" in done.stderr and words[-1] in done.stderr, done.stderr


@pytest.fixture
def short_path():
    """pytest's own are too long for the addresses of sockets."""
    with tempfile.TemporaryDirectory(prefix="wsbus-") as path:
        yield path


def test_the_demo_cleans_up_however_often_it_is_interrupted(short_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    demo = subprocess.Popen([ROOT / "examples/demo/run"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                            env={**os.environ, "WSBUS_BUILD": str(BUILD), "WSBUS_DEMO_PORT": str(port), "TMPDIR": short_path})
    folder = None
    try:
        for line in demo.stdout:
            folder = folder or re.search(r"--runtime-dir (\S+) ", line)
            if line.startswith("Ctrl-C"):
                break
        assert folder and os.path.isdir(folder[1])
        pid = int(re.search(r"msg=ready.* pid=(\d+)", open(folder[1] + "/gate.log").read())[1])

        def ended():
            demo.send_signal(signal.SIGINT)
            return demo.poll() is not None

        eventually(ended, "the end of the demo")
        assert demo.returncode == 0
        assert not os.path.exists(folder[1])
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    finally:
        demo.kill()
        demo.wait()
        demo.stdout.close()
