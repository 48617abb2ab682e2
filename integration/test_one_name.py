"""One name for one thing: what is documented, and what else is taken."""

import os
import subprocess

import pytest

from conftest import BUILD, DEADLINE, HANDLERS, PYTHON, ROOT
from raw import Raw

WSCTL = BUILD / "wsctl" / "wsctl"
# The runtime directory, in every program that takes one.
RUNTIME_DIR = ["--runtime-dir", "--dir", "--bus"]
EXAMPLES = {"chat.py": "chat", "door.py": "door", "drawing.py": "drawing"}


def wsctl(*args, **env):
    clean = {name: value for name, value in os.environ.items() if name != "WSBUS_DIR"}
    return subprocess.run([WSCTL, *map(str, args)], capture_output=True, text=True, timeout=DEADLINE, env={**clean, **env})


@pytest.mark.parametrize("name", RUNTIME_DIR)
def test_the_runtime_directory_of_the_gate_and_wsctl(processes, tmp_path, name):
    directory = tmp_path / "run"
    gate = processes([BUILD / "wsgate" / "wsgate", "%s=%s" % (name, directory), "--listen", "127.0.0.1:0"])
    gate.wait_line("msg=ready")
    for command in ([name, directory, "status"], ["%s=%s" % (name, directory), "status"], ["status", name, directory],
                    ["status", "%s=%s" % (name, directory)], ["-d", directory, "status"], ["status", "-d", directory]):
        done = wsctl(*command)
        assert done.returncode == 0 and str(directory) in done.stdout, (command, done.stderr)
    assert wsctl("status", name).returncode == 2 and wsctl(name).returncode == 2
    for variable in ("WSBUS_DIR", "WSBUS_RUNTIME_DIR"):
        assert wsctl("status", **{variable: str(directory)}).returncode == 0


@pytest.mark.parametrize("name", RUNTIME_DIR)
@pytest.mark.parametrize("language", HANDLERS)
def test_the_runtime_directory_of_handlers(gate, processes, language, name):
    words = HANDLERS[language](gate, "echo")
    words = [name if word == "--runtime-dir" else word for word in words]
    assert name in words
    processes(words)
    gate.wait_handlers("echo", 1)
    with Raw(gate).upgrade() as client:
        assert client.ask("hello") == "hello"


@pytest.mark.parametrize("name", RUNTIME_DIR)
@pytest.mark.parametrize("example", EXAMPLES)
def test_the_runtime_directory_of_examples(make_gate, processes, tmp_path, example, name):
    gate = make_gate(routes=["chat=/chat/{room}", "drawing=/drawing", "door=,kind=gatekeeper"])
    (tmp_path / "passes").write_text("x ann\n")
    processes([PYTHON, ROOT / "examples/python" / example, name, gate.dir, *([tmp_path / "passes"] if example == "door.py" else [])])
    gate.wait_handlers(EXAMPLES[example], 1)


@pytest.mark.parametrize("language", [name for name in HANDLERS if name != "raw"])  # which takes its directory as an argument
def test_the_variable_of_the_runtime_directory(gate, processes, language):
    words = [str(word) for word in HANDLERS[language](gate, "echo")]
    at = words.index("--runtime-dir")
    processes(words[:at] + words[at + 2:], env={"WSBUS_DIR": "", "WSBUS_RUNTIME_DIR": gate.dir})
    gate.wait_handlers("echo", 1)


def test_one_of_them_is_documented():
    for program in ([BUILD / "wsgate" / "wsgate", "--help"], [WSCTL, "--help"], [WSCTL, "list", "--help"], [BUILD / "examples" / "wsbus-echo", "--help"],
                    [PYTHON, ROOT / "examples/python/echo.py", "--help"]):
        said = subprocess.run(list(map(str, program)), capture_output=True, text=True, check=True).stdout
        assert "--runtime-dir" in said, program
        assert "--dir" not in said and "--bus " not in said and "--bus," not in said, said


# --- words of the configuration


@pytest.mark.parametrize("word, shown", [("queue", "queue"), ("handler", "queue"), ("publish", "publish")])
def test_wsctl_shows_what_the_configuration_says(make_gate, word, shown):
    gate = make_gate(routes=["echo=/echo,deliver=%s" % word])
    route, = gate.wsctl("routes")["routes"]
    assert route["deliver"] == shown
    table = wsctl("routes", "--runtime-dir", gate.dir).stdout
    assert shown in table.split()
