"""A handler that is not registered says so, in the same words in every language; and the end of it."""

import json
import os
import re
import subprocess

import pytest
import wsbus

from conftest import HANDLERS, PYTHON, ROOT, eventually, with_libwsbus
from raw import Raw
from test_tcp import echo_command, endpoints, guarded, key_environment, keys  # noqa: F401 (fixtures)

VECTORS = json.loads((ROOT / "tests/vectors/trouble.json").read_text())
LANGUAGES = [language for language in HANDLERS if language != "raw"]  # raw is what people write without a helper


def trouble_of(vector):
    return wsbus.Trouble(vector["name"], vector["routes"], vector["endpoint"], vector.get("public_key"))


def test_python_has_the_line_for_each_trouble():
    for vector in VECTORS["lines"]:
        if vector.get("only") != "c":
            assert trouble_of(vector).note(vector["kind"], vector.get("why", ""), 0) == vector["line"]


@pytest.mark.parametrize("vector", VECTORS["times"], ids=lambda vector: vector["what"])
def test_python_tells_at_the_same_times(vector):
    trouble = trouble_of(VECTORS["lines"][0])
    for now_ms, kind, why, is_due in vector["notes"]:
        line = trouble.note(kind, why, now_ms / 1000)
        assert (line is not None) == is_due, (now_ms, kind)
        assert kind != "none" or not is_due or line == VECTORS["registered"]


def test_node_has_the_same_lines_and_times():
    run = subprocess.run(["node", str(ROOT / "tests/vectors/trouble.mjs")], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.strip() == "%d lines, %d times" % (sum(vector.get("only") != "c" for vector in VECTORS["lines"]), len(VECTORS["times"]))


class Nowhere:
    """A runtime directory in which there is no gate."""

    def __init__(self, directory):
        directory.mkdir(mode=0o700, exist_ok=True)
        self.dir = str(directory)


def troubles(process):
    return [re.sub(r"^.*?wsbus: ", "wsbus: ", line) for line in process.lines if "wsbus: handler" in line]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_handler_without_a_gate_says_so_and_when_it_has_one(processes, make_gate, tmp_path, language):
    nowhere = Nowhere(tmp_path / "run")
    handler = processes(HANDLERS[language](nowhere, "echo"))
    handler.wait_line(re.escape("(route 'echo'): no gate at %s: no socket is there; start wsgate there" % nowhere.dir))
    gate = make_gate(tmp_path / "run")
    handler.wait_line(re.escape("(route 'echo'): registered with the gate at %s" % nowhere.dir))
    assert Raw(gate).upgrade().ask("x") == "x"
    gate.kill()
    handler.wait_line(re.escape("no gate at %s: nobody listens there; start wsgate there" % nowhere.dir))
    assert len(troubles(handler)) == 3, handler.output


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_route_that_does_not_exist_is_told(processes, make_gate, tmp_path, language):
    gate = make_gate(tmp_path / "run")
    handler = processes(HANDLERS[language](gate, "ekko"))
    handler.wait_line(re.escape(
        "(route 'ekko'): the gate at %s refuses the registration: route 'ekko' does not exist; correct the handler" % gate.dir))
    gate.kill()
    gate = make_gate(tmp_path / "run", routes=["ekko=/echo"])
    handler.wait_line("registered with the gate at")
    assert Raw(gate).upgrade().ask("x") == "x"


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_directory_that_may_not_be_entered_is_told(processes, make_gate, tmp_path, language):
    gate = make_gate(tmp_path / "run")
    os.chmod(gate.dir, 0)
    mortal = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--"] if os.geteuid() == 0 else []
    handler = processes([*mortal, *HANDLERS[language](gate, "echo")])
    handler.wait_line(re.escape("no permission for the gate at %s; run the handler as the gate's user" % gate.dir))
    os.chmod(gate.dir, 0o700)
    handler.wait_line("registered with the gate at")


@pytest.mark.parametrize("language", ["c", "python", "node"])
def test_a_key_that_is_not_on_the_list_is_told(processes, guarded, tmp_path, keys, language):  # noqa: F811
    address = endpoints(guarded)["handlers"]
    stranger = processes(echo_command(language, address), env=key_environment(tmp_path, "stranger", keys["server"]))
    stranger.wait_line(re.escape("the gate at %s refuses the connection; put our public key %s on its list of keys" % (
        address, keys["stranger"][0].decode())))
    nobody = processes(echo_command(language, address), env={"WSBUS_SERVER_KEY": "", "WSBUS_KEY_FILE": ""})
    nobody.wait_line(re.escape("the gate at %s refuses the connection; look at its log, and set server_key and key_file" % address))
    limited = processes(echo_command(language, address), env=key_environment(tmp_path, "chat", keys["server"]))
    limited.wait_line("route 'echo' is not for your key")


def test_python_tells_the_program_instead(tmp_path, capfd):
    told = []
    with wsbus.Handler(["echo"], bus=Nowhere(tmp_path / "run").dir, on_trouble=told.append) as handler:
        eventually(lambda: handler.read(0) is None and told, "a line")
    assert "no gate at %s" % (tmp_path / "run") in told[0] and len(told) == 1
    assert capfd.readouterr().err == ""


def test_the_helper_of_libwsbus_tells_the_program_too(tmp_path, processes):
    program = processes(with_libwsbus(PYTHON, "-c", """
import sys, wsbus_shm
handler = wsbus_shm.Handler(["echo"], bus=sys.argv[1], on_trouble=lambda line: print("told:", line, flush=True))
while handler.read(100) is None:
    pass
""", Nowhere(tmp_path / "run").dir))
    program.wait_line("^told: wsbus: handler .*no gate at")


def test_a_subscriber_without_a_gate_says_so(processes, make_gate, tmp_path):
    subscriber = processes([PYTHON, "-c", """
import sys, wsbus
for topic, event in wsbus.Subscriber(bus=sys.argv[1]):
    print("heard", topic, flush=True)
""", Nowhere(tmp_path / "run").dir])
    subscriber.wait_line(re.escape("wsbus: a subscriber of events: no gate at %s: no socket is there" % (tmp_path / "run")))
    gate = make_gate(tmp_path / "run", routes=["feed=/feed,deliver=publish"])
    subscriber.wait_line(re.escape("wsbus: a subscriber of events: connected to the gate at"))
    with Raw(gate) as client:
        client.upgrade("/feed")

        def is_heard():
            client.say("x")  # what was said before it had subscribed is not for it
            return "heard feed data" in subscriber.lines

        eventually(is_heard, "an event")


# --- the gate's log


def test_the_gate_warns_of_handlers_that_it_refuses(gate, processes):
    handler = processes(HANDLERS["python"](gate, "ekko"))
    line = gate.wait_line('msg="handler refused"')
    assert "level=warn" in line.string and "why=\"route 'ekko' does not exist\"" in line.string, line.string
    assert "name=echo.py" in line.string and "pid=%d" % handler.pid in line.string
    assert gate.wsctl("stats")["bus"]["hellos_refused"] >= 1


@pytest.mark.parametrize("language", ["c", "c-zmq", "python"])
def test_the_gate_warns_of_a_crash_and_not_of_a_goodbye(gate, echo, language):
    orderly, crashing = echo(gate, language), echo(gate, language)
    orderly.stop()
    line = gate.wait_line('msg="handler gone"')
    assert "level=info" in line.string and 'why="said goodbye"' in line.string
    assert gate.wsctl("stats")["bus"]["handlers_gone"] == 0
    crashing.kill()
    line = gate.wait_line('msg="handler lost"')
    assert "level=warn" in line.string and "pid=%d" % crashing.pid in line.string and "without a goodbye" in line.string
    assert gate.wsctl("stats")["bus"]["handlers_gone"] == 1
