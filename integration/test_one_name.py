"""One name for one thing: what is documented, and what else is taken."""

import os
import re
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


# --- options and letters


def said(program, *args):
    return subprocess.run([BUILD / program / program, *args], capture_output=True, text=True, check=True, timeout=DEADLINE).stdout


def commands():
    return re.findall(r"^  ([a-z][a-z-]*) +", said("wsctl", "--help").split("Commands:")[1], re.M)


def options_of(text):
    """{long name: letter or None} of the options that a help describes, each at the beginning of a line."""
    lines = re.findall(r"^ +(?:-(\w), )?--([a-z][a-z0-9-]*)[ ,\n]", text, re.M)
    return {name: letter or None for letter, name in lines}


@pytest.fixture(scope="module")
def helps():
    """{(program, subcommand): its options}"""
    found = {(program, ""): options_of(said(program, "--help")) for program in ("wsgate", "wsbench")}
    for command in commands():
        if command != "help":
            found["wsctl", command] = options_of(said("wsctl", command, "--help"))
    assert len(found) > 20 and all(found.values())
    return found


def test_help_fits_80_columns():
    texts = {program: said(program, "--help") for program in ("wsgate", "wsbench", "wsctl")}
    texts.update({"wsctl " + command: said("wsctl", command, "--help") for command in commands() if command != "help"})
    assert len(texts) > 20
    for where, text in texts.items():
        for line in text.splitlines():
            assert len(line) <= 80 and line == line.rstrip(), (where, line)


def test_a_letter_has_one_meaning_in_each_program(helps):
    meanings = {}
    for (program, command), options in helps.items():
        for name, letter in options.items():
            if letter:
                first = meanings.setdefault((program, letter), (name, command))
                assert first[0] == name, "%s -%s is --%s in %s and --%s in %s" % (program, letter, *first, name, command)


def test_an_option_has_the_same_letter_everywhere(helps):
    letters = {}
    for where, options in helps.items():
        for name, letter in options.items():
            if letter:
                first = letters.setdefault(name, (letter, where))
                assert first[0] == letter, "--%s is -%s in %s and -%s in %s" % (name, *first, letter, where)


# What two programs must not call by two names: documented -> what else is taken.
SAME = {"runtime-dir": {"dir", "bus"}, "ca": {"ca-file", "cacert", "cafile"}, "certificate": {"cert", "client-certificate"}, "insecure": {"no-verify"},
        "limit": {"max", "top"}, "header": {"headers"}, "subprotocol": {"subprotocols", "protocol"}, "json": {"format"}}


def test_no_other_name_is_documented(helps):
    for where, options in helps.items():
        for documented, others in SAME.items():
            assert not others & set(options), "%s calls --%s by another name" % (where, documented)


@pytest.mark.parametrize("page", ["wsctl", "wsbench"])
def test_the_manual_has_every_option(helps, page):
    text = (ROOT / "docs" / "man" / ("%s.1.scd" % page)).read_text()
    named = set(re.findall(r"--([a-z][a-z0-9-]*)", text))
    for (program, command), options in helps.items():
        if program == page:
            assert set(options) <= named, (command, set(options) - named)
            for name, letter in options.items():
                assert not letter or re.search(r"-%s\b" % letter, text), (command, letter)


def completed(program, *words):
    script = 'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _%s; printf "%%s\\n" "${COMPREPLY[@]}"' % program
    run = subprocess.run(["bash", "-c", script, "bash", ROOT / "packaging" / "completions" / program, program, *words], capture_output=True, text=True,
                         timeout=DEADLINE, env={**os.environ, "PATH": "%s:%s" % (BUILD / "wsctl", os.environ["PATH"])})
    assert run.returncode == 0 and not run.stderr, run.stderr
    return set(run.stdout.split())


def test_completion_offers_what_the_help_describes(helps):
    for (program, command), options in helps.items():
        if program == "wsgate":
            continue  # it has no completion
        words = [command, "--"] if command else ["--"]
        offered = {word[2:] for word in completed(program, *words) if word.startswith("--")}
        assert offered - {"version", "help"} == set(options) - {"version", "help"}, (program, command)
    assert set(commands()) <= completed("wsctl", "")


def test_other_names_and_letters_are_taken(make_gate, tmp_path):
    """What the help and the manual said before."""
    gate = make_gate()
    for args in (["connect", "ws://127.0.0.1:1/", "--cert", "/x"], ["connect", "ws://127.0.0.1:1/", "-w", "1s"], ["connect", "ws://127.0.0.1:1/", "--ca-file", "/x"],
                 ["connect", "ws://127.0.0.1:1/", "-u", "/nowhere"]):
        assert wsctl(*args).returncode != 2, args
    for args in (["close", "-c", "1000", "--all", "--yes"], ["groups", "-u"], ["groups", "--users"]):
        assert wsctl(*args, "-d", gate.dir).returncode in (0, 1), args
    keys = tmp_path / "keys.json"
    assert wsctl("token", "new", keys).returncode == 0
    long = wsctl("token", "make", "--keys", keys, "--ttl", "1m", "--claims", '{"a":1}')
    short = wsctl("token", "make", "-k", keys, "-t", "1m", "-c", '{"a":1}')
    assert long.returncode == 0 and short.returncode == 0 and len(long.stdout) == len(short.stdout)


@pytest.mark.parametrize("program", [["wsgate/wsgate", "-t"], ["wsctl/wsctl"], ["wsctl/wsctl", "status"], ["wsbench/wsbench"], ["examples/wsbus-echo"],
                                     *("examples/python/%s.py" % name for name in ("chat", "door", "drawing", "echo", "echo_aio", "echo_shm", "subscriber"))], ids=str)
def test_an_abbreviation_is_no_name(program):
    """A unit that says --runtime-di would mean something else, or two things, as soon as another option begins so."""
    command = [PYTHON, str(ROOT / program)] if isinstance(program, str) else [str(BUILD / program[0]), *program[1:]]
    flag = "--connection" if "wsbench" in command[0] else "--runtime-di"
    whole = flag + ("s" if "wsbench" in command[0] else "r")
    for words in ([flag, "1"], [flag + "=1"]):
        done = subprocess.run([*command, *words], capture_output=True, text=True, timeout=DEADLINE, stdin=subprocess.DEVNULL,
                              env={**os.environ, "PYTHONPATH": str(ROOT / "python"), "WSBUS_LIBRARY": str(BUILD / "libwsbus" / "libwsbus.so.0")})
        assert done.returncode == 2, done
        assert flag in done.stderr
        if isinstance(program, list):
            assert "did you mean" in done.stderr and whole in done.stderr, done.stderr
