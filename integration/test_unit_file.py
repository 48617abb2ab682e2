"""The systemd unit that is shipped: the gate starts and serves under its filters, user and limits. `./dev package` starts it under systemd."""

import os
import pathlib
import re
import signal
import subprocess
import urllib.request

import pytest

import under_unit
from conftest import BUILD, DEADLINE, PYTHON, ROOT, Gate, eventually
from raw import Raw

UNIT = ROOT / "packaging" / "wsgate.service"
HANDLER_UNIT = ROOT / "packaging" / "handler.service"
WSGATE = BUILD / "wsgate" / "wsgate"
NOBODY = 64000  # a uid that this machine has no use for
EXPOSURE = 18  # of 100, as systemd-analyze counts; less is safer


def owner():
    """Who the gate is to be: another user than its handlers, where that is possible."""
    return NOBODY if os.geteuid() == 0 else os.geteuid()


def open_to_all(*places):
    """pytest makes directories for nobody else."""
    for place in places:
        for folder in (place, *place.parents[:3]):
            os.chmod(folder, 0o755)


@pytest.fixture
def make_unit_gate(processes, tmp_path_factory):
    """As make_gate, under the settings of the unit, and as another user where that is possible."""

    def make(**kwargs):
        directory = tmp_path_factory.mktemp("gate")
        open_to_all(directory)
        os.chown(directory, owner(), owner())
        gate = Gate(directory, under=[PYTHON, "-B", ROOT / "integration" / "under_unit.py", UNIT, owner()], **kwargs)
        processes.started.append(gate)
        return gate

    return make


def talk(gate, text):
    with Raw(gate) as client:
        client.upgrade()
        client.say(text)
        return client.read_message()


def get(gate, path):
    with urllib.request.urlopen(gate.http(path), timeout=DEADLINE, context=gate.tls) as answer:
        return answer.read()


@pytest.mark.parametrize("language", ["c", "c-zmq", "python"])
def test_the_gate_serves_under_the_filters_of_its_unit(make_unit_gate, echo, language):
    gate = make_unit_gate(args=["--workers", "2"])
    echo(gate, language)
    assert talk(gate, "hello") == "hello"
    assert gate.stop() == 0


def test_what_else_a_gate_does_stays_within_the_filters(make_unit_gate, echo, tmp_path, pki, make_gate):
    """Files, an access log that is reopened, metrics, TLS, the bus on TCP, a name to look up, a reload."""
    files = tmp_path / "files"
    files.mkdir()
    (files / "page.txt").write_text("text of a page")
    open_to_all(files, *map(pathlib.Path, pki.local))
    logs = tmp_path / "logs"
    logs.mkdir()
    os.chown(logs, owner(), owner())
    other = make_gate()
    echo(other)
    gate = make_unit_gate(
        pki=pki, args=["--static", "/files/=%s" % files, "--access-log", logs / "access.log", "--metrics", "127.0.0.1:0",
              "--bus-handlers", "tcp://127.0.0.1:*"])
    echo(gate, "python")
    assert get(gate, "/echo").startswith(b"hello from Python")
    assert get(gate, "/files/page.txt") == b"text of a page"
    gate.wsctl("dial", other.url().replace("127.0.0.1", "localhost"), "--route", "echo")
    eventually(lambda: [dial["state"] for dial in gate.wsctl("dial", "list")["dials"]] == ["open"], "the dialed connection")
    gate.wsctl("reload")
    gate.signal(signal.SIGHUP)
    eventually(lambda: gate.output.count("files read anew") == 2, "both reloads")
    gate.signal(signal.SIGUSR1)
    gate.wait_line("access log reopened")
    assert talk(gate, "still there") == "still there"
    assert gate.stop() == 0


def test_a_stopped_handler_of_another_user_is_seen(make_unit_gate, echo):
    """The gate reads /proc of a process that is not its own: ProtectProc must leave it there."""
    gate = make_unit_gate()
    stopped = echo(gate, "c-zmq")
    stopped.signal(signal.SIGSTOP)
    eventually(lambda: gate.wsctl("handlers")["handlers"] == [], "the gate gives it up")
    assert under_unit.settings(UNIT)["ProtectProc"] == ["default"]  # a namespace of systemd's, which this test does not have


@pytest.mark.parametrize("link", ["shm", "zmq"])
def test_a_handler_serves_under_the_filters_of_the_example(processes, gate, link):
    """As the user that the gate is: who else may open its sockets is up to bus_mode."""
    under = [PYTHON, "-B", ROOT / "integration" / "under_unit.py", HANDLER_UNIT, os.geteuid()]
    handler = processes([*under, BUILD / "examples" / "wsbus-echo", "--bus", gate.dir, "--route", "echo"], env={"WSBUS_LINK": link})
    gate.wait_handlers("echo", 1)
    assert [one["link"] for one in gate.wsctl("handlers")["handlers"]] == [link]
    assert talk(gate, "hello") == "hello"
    assert handler.stop() == 0


def test_systemd_has_nothing_to_say_about_the_unit(tmp_path):
    """systemd-analyze wants to find what ExecStart names."""
    unit = tmp_path / "wsgate.service"
    unit.write_text(UNIT.read_text().replace("ExecStart=wsgate", "ExecStart=%s" % WSGATE).replace(
        "ExecReload=wsctl", "ExecReload=%s" % (BUILD / "wsctl" / "wsctl")))
    run = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, timeout=DEADLINE)
    assert (run.returncode, run.stderr) == (0, "")


def test_the_unit_leaves_little_to_whoever_takes_over_the_gate():
    run = subprocess.run(["systemd-analyze", "security", "--offline=true", "--threshold=%d" % EXPOSURE, UNIT],
                         capture_output=True, text=True, timeout=DEADLINE)
    assert run.returncode == 0, run.stdout


@pytest.mark.parametrize("keeps_comments", [True, False])
def test_the_configuration_that_is_installed_is_good(pki, tmp_path, keeps_comments):
    """As it is, and with all that it offers taken."""
    text = (ROOT / "packaging" / "wsgate.conf").read_text()
    if not keeps_comments:
        text = re.sub(r'^# (?=\w+ ?("[^"]*" )?[{=]|}|    )', "", text, flags=re.MULTILINE)
        assert text.count("#") < (ROOT / "packaging" / "wsgate.conf").read_text().count("#") - 10
    for name, path in (("tls.pem", pki.local[0]), ("tls.key", pki.local[1])):
        text = text.replace("/etc/wsbus/" + name, str(path))
    text = text.replace("/var/log/wsbus", str(tmp_path))
    (tmp_path / "wsgate.conf").write_text(text)
    run = subprocess.run([WSGATE, "-t", "-c", tmp_path / "wsgate.conf"], capture_output=True, text=True, timeout=DEADLINE)
    assert run.returncode == 0, run.stderr
