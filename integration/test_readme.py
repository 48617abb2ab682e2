"""What the README says is tried as it is written: its commands, its handlers, and the paths that it names."""

import os
import re
import shlex
import subprocess
import textwrap

import pytest

from conftest import BUILD, DEADLINE, PYTHON, ROOT, eventually, is_sanitized
from raw import Raw

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
SHELL = [line for language, block in BLOCKS if language == "sh" for line in block.splitlines() if line and not line.startswith("#")]
WSCTL = [line for line in SHELL if line.startswith("wsctl ")]
# They go on until they are stopped, or go to another machine.
ENDLESS = ("tap", "connect", "dial wss:")
C_AROUND = """
#include <stdio.h>
#include <wsbus/websocket.h>
int main(void);
int main(void)
{
    wsb_handler h;
    const char *routes[] = {"echo"};
    if (!wsb_handler_open(NULL, &(struct wsb_handler_options){.routes = routes, .route_count = 1}, &h))
        return 1;
%s
    return 0;
}
"""


def blocks(language):
    return [block for kind, block in BLOCKS if kind == language]


@pytest.fixture
def shell(tmp_path):
    """The environment that the README asks for, with the programs of this build."""
    return {**os.environ, "PATH": "%s:%s:%s" % (BUILD / "wsgate", BUILD / "wsctl", os.environ["PATH"]), "PYTHONPATH": str(ROOT / "python"),
            "WSBUS_DIR": str(tmp_path / "run")}


@pytest.fixture
def readme_gate(processes, shell):
    """The command of the README, but for the port."""
    line, = (line for line in SHELL if line.startswith("wsgate ") and "certificates" not in line)
    gate = processes(["env", *shlex.split(line.replace(":8080", ":0"))], env=shell)
    gate.wait_line("msg=ready")
    gate.port = int(re.search(r"address=\S+:(\d+)", gate.output).group(1))
    return gate


def wsctl(shell, *words):
    return subprocess.run(["wsctl", *words], env=shell, capture_output=True, text=True, timeout=DEADLINE)


def echoes(gate, shell):
    eventually(lambda: "echo" in wsctl(shell, "handlers").stdout, "the handler")
    with Raw(gate) as client:
        client.upgrade()
        client.say("hello")
        return client.read_message() == "hello"


def test_the_environment_is_what_it_says():
    line, = (line for line in SHELL if line.startswith("export "))
    assert line == 'export PATH="$PWD/build/demo/wsgate:$PWD/build/demo/wsctl:$PATH" PYTHONPATH="$PWD/python" WSBUS_DIR=/tmp/wsbus'


def test_the_handler_in_python_serves(readme_gate, processes, shell, tmp_path):
    program = tmp_path / "handler.py"
    program.write_text(blocks("python")[0])
    assert PYTHON in README
    processes([PYTHON, program], env=shell)
    assert echoes(readme_gate, shell)


def test_the_handler_in_c_serves(readme_gate, processes, shell, tmp_path):
    if is_sanitized(BUILD / "libwsbus/libwsbus.so.0"):
        pytest.skip("a program without the sanitizer cannot load the library")
    source, program = tmp_path / "handler.c", tmp_path / "handler"
    source.write_text(blocks("c")[0])
    line, = (line for line in SHELL if line.startswith("cc "))
    line = line.replace("-Ilibwsbus", "-std=c11 -Wall -Wextra -Werror -I%s/libwsbus" % ROOT)
    line = line.replace("$PWD/build/demo", str(BUILD)).replace("build/demo", str(BUILD))
    subprocess.run(["bash", "-c", line], cwd=tmp_path, check=True)
    processes([program], env=shell)
    assert echoes(readme_gate, shell)


def test_the_client_in_c_compiles(tmp_path):
    source = tmp_path / "client.c"
    source.write_text(C_AROUND % textwrap.indent(blocks("c")[1], "    "))
    subprocess.run(["cc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-I", ROOT / "libwsbus/include", "-fsyntax-only", source], check=True)


@pytest.mark.parametrize("line", [line for line in WSCTL if not any(word in line for word in ENDLESS)])
def test_each_command_of_wsctl_is_one(readme_gate, shell, tmp_path, line):
    done = subprocess.run(["bash", "-c", line], env=shell, cwd=tmp_path, capture_output=True, text=True, timeout=DEADLINE)
    assert done.returncode in (0, 1) and "usage" not in done.stderr.lower() and "unknown" not in done.stderr, done.stderr


@pytest.mark.parametrize("line", [line for line in WSCTL if any(word in line for word in ENDLESS) and "$(" not in line])
def test_each_endless_command_of_wsctl_is_one(readme_gate, shell, line):
    """As far as its options are concerned: with an option that is none it says just that, and nothing of the others."""
    words = shlex.split(line, comments=True)
    done = wsctl(shell, *words[1:], "--no-such-option")
    assert done.returncode == 2 and "--no-such-option" in done.stderr and done.stderr.count("\n") <= 2, done.stderr


def test_what_it_links_to_is_there():
    for path in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / path).exists(), path
    for folder in re.findall(r"`([\w.]+/)`", README):
        assert (ROOT / folder).is_dir(), folder


def test_dev_knows_the_verbs_that_it_names():
    verbs = set(re.findall(r"\./dev (\w+)", README + (ROOT / "CONTRIBUTING.md").read_text()))
    known = subprocess.run([ROOT / "dev", "help"], capture_output=True, text=True, check=True).stdout
    assert verbs and all(re.search(r"^  %s\b" % verb, known, re.MULTILINE) for verb in verbs), verbs
