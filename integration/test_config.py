"""What wsgate is told, by file and by flags: -t says exactly what is wrong and where, and what is right works."""

import json
import subprocess

import pytest

from conftest import BUILD, DEADLINE, ROOT
from raw import Raw

WSGATE = str(BUILD / "wsgate" / "wsgate")


def run(*args, **kwargs):
    return subprocess.run([WSGATE, *map(str, args)], capture_output=True, text=True, timeout=DEADLINE, **kwargs)


def check(tmp_path, text):
    (tmp_path / "wsgate.conf").write_text(text)
    return run("-t", "-c", "wsgate.conf", cwd=tmp_path)


GOOD = """
runtime_dir = "%s"
workers = 1
listen "127.0.0.1:0" {}
route "echo" {
    path = "/echo/{name}"
    subprotocols = {"a", "b"}
    max_message = 1MiB
}
log { level = debug  format = json }
timeouts { head = 2s }
limits { connections = 10 }
"""


def test_a_good_file(tmp_path):
    answer = check(tmp_path, GOOD % "x")
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "wsgate: the configuration is good\n", "")


BAD = {
    "unknown option": ("worker = 2", "wsgate.conf:1: unknown option 'worker'; did you mean 'workers'?"),
    "unknown option, nothing like it": ("frobnicate = 2", "wsgate.conf:1: unknown option 'frobnicate'; wsgate.conf(5) lists those that are known here"),
    "unknown option of a route": ('\nroute "a" {\n  pth = "/a"\n}', "wsgate.conf:3: route 'a': unknown option 'pth'; did you mean 'path'?"),
    "not a number": ("workers = many", "wsgate.conf:1: workers:"),
    "too many workers": ("workers = 65", "wsgate.conf:1: workers:"),
    "not a word": ('route "a" {\n path = "/a"\n kind = webscoket\n}', "wsgate.conf:3: route 'a': kind:"),
    "not a size": ('route "a" {\n path = "/a"\n max_message = 3 bananas\n}', "wsgate.conf:3"),
    "not a time": ("timeouts {\n head = 10\n}", "wsgate.conf:2: timeouts: head:"),
    "set twice": ("workers = 1\nworkers = 2", "wsgate.conf:2: workers: it is set twice"),
    "no path": ('listen "127.0.0.1:0" {}\nroute "a" {\n kind = http\n}', "route 'a'"),
    "bad path": ('route "a" {\n path = "a"\n}', "wsgate.conf:2: route 'a': path:"),
    "bad subprotocol": ('route "a" {\n path = "/a"\n subprotocols = {"x y"}\n}', "wsgate.conf:3: route 'a': subprotocols: 'x y' is not a subprotocol"),
    "no such source": ('listen "127.0.0.1:0" {}\nroute "a" {\n path = "/a"\n user = name\n}',
                       "wsgate.conf:4: route 'a', user: 'name' is not one of query:NAME, param:NAME, header:NAME, cookie:NAME, claim:NAME, address, or of a token subprotocol:NAME"),
    "no such parameter": ('listen "127.0.0.1:0" {}\nroute "a" {\n path = "/a/{b}"\n pin_key = "param:c"\n}',
                          "wsgate.conf:4: route 'a', pin_key: 'param:c': the path /a/{b} has no parameter 'c'"),
    "bad group": ('listen "127.0.0.1:0" {}\nroute "a" {\n path = "/a/{b}"\n join = {"x", "{b"}\n}',
                  "wsgate.conf:4: route 'a', join: '{b': a brace without the other"),
    "hash of nothing": ('listen "127.0.0.1:0" {}\nroute "a" {\n path = "/a"\n pin = hash\n}',
                        "wsgate.conf:4: route 'a', pin: 'hash' needs a pin_key"),
    "not closed": ('route "a" {\n path = "/a"\n', "wsgate.conf:"),
    "route twice": ('route "a" {\n path = "/a"\n}\nroute "a" {\n path = "/b"\n}', "wsgate.conf:4"),
    "bad address": ('listen "nowhere" {}', "nowhere"),
    "NUL": ("workers = 1\0", "wsgate.conf:1:"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file(tmp_path, name):
    text, message = BAD[name]
    answer = check(tmp_path, text)
    assert (answer.returncode, answer.stdout) == (2, "")
    assert answer.stderr.startswith("wsgate: "), answer.stderr
    assert message in answer.stderr.splitlines()[0], answer.stderr
    (tmp_path / "wsgate.conf").write_text(text)
    assert run("-c", "wsgate.conf", cwd=tmp_path).returncode == 2, "nor does it start"


FLAGS = {
    "unknown flag": (["--frobnicate"], "wsgate: --frobnicate: unknown flag; see wsgate --help"),
    "unknown letter": (["-z"], "wsgate: -z: unknown flag; see wsgate --help"),
    "no value": (["--listen"], "wsgate: --listen: a value is missing; see wsgate --help"),
    "a value too many": (["--version=3"], "wsgate: --version=3: it takes no value; see wsgate --help"),
    "an argument": (["wsgate.conf"], "wsgate: unexpected argument 'wsgate.conf'; see wsgate --help"),
    "route without path": (["--route", "echo"], "wsgate: --route: 'echo' is not NAME=PATTERN[,key=value…]: write it like chat=/chat/{room}"),
    "route with a strange key": (["--route", "a=/a,max_mesage=1"], "wsgate: --route: 'a': unknown key 'max_mesage'; did you mean 'max_message'?"),
    "route with a key twice": (["--route", "a=/a,tap=yes,tap=no"], "wsgate: --route: 'a': tap: it is set twice"),
    "no such file": (["-c", "/nonexistent"], "wsgate: /nonexistent: cannot be read: No such file or directory"),
    "two files": (["-c", "a", "-c", "b"], "wsgate: --config: 'b': there can be one file only\nwsgate: a: cannot be read: No such file or directory"),
    "no such directory": (["--listen", "127.0.0.1:0", "--static", "/=/nonexistent"], "wsgate: --static: static directory /nonexistent: No such file or directory"),
    "static without a prefix": (["--static", "/srv"], "wsgate: --static: '/srv' is not PREFIX=DIR: write it like /=/var/www"),
}


@pytest.mark.parametrize("name", FLAGS)
def test_bad_flags(name, tmp_path):
    flags, message = FLAGS[name]
    for args in (flags, ["-t", *flags]):
        answer = run("--runtime-dir", tmp_path / "run", *args)
        assert (answer.returncode, answer.stdout, answer.stderr) == (2, "", message + "\n")
    assert not (tmp_path / "run").exists()


def test_everything_that_is_wrong_is_told_at_once(tmp_path):
    """What the file says, what its parts say of each other, and what is not on this machine."""
    (tmp_path / "file").write_text("no key")
    (tmp_path / "file").chmod(0o600)
    here = str(tmp_path)
    answer = check(tmp_path, """
wrokers = 2
runtime_dir = "HERE/file"
metrics_token = "HERE/file"
log { access_log = "HERE/nowhere/access.log" }
forwarded = forwarded
listen "127.0.0.1:0" {
    certificates = {"HERE/none.pem"}
}
listen "unix:HERE/nowhere/socket" {}
listen "unix:HERE/file" {}
route "a" {
    path = "/a"
    kind = websocket
    gatekeeper = b
}
route "c" { path = "/c" token = "query:t" token_keys = "HERE/none.json" }
route "d" { path = "/c" pth = 3 }
static "/s/" { directory = "HERE/nowhere" }
dial "x" { url = "http://example.org/" route = nobody }
bus {
    handlers = "tcp://127.0.0.1:*"
    curve_secret = "HERE/file"
    curve_clients = "HERE/none"
}
""".replace("HERE", here))
    told = [line.removeprefix("wsgate: ") for line in answer.stderr.splitlines()]
    want = [
        "wsgate.conf:2: unknown option 'wrokers'", "wsgate.conf:18: route 'd': unknown option 'pth'",
        "wsgate.conf:6: forwarded: trusted_proxies is missing", "wsgate.conf:4: metrics_token: metrics is missing",
        "wsgate.conf:15: route 'a': gatekeeper: there is no route 'b'", "wsgate.conf:20: dial 'x': route: there is no route 'nobody'",
        "wsgate.conf:3: runtime_dir: runtime directory %s/file is not a directory" % here, "wsgate.conf:4: metrics_token: %s/file" % here,
        "wsgate.conf:5: log: access_log: %s/nowhere/access.log cannot be made: directory %s/nowhere: No such file" % (here, here),
        "wsgate.conf:8: %s/none.pem: " % here, "wsgate.conf:10: %s/nowhere/socket cannot be made: directory %s/nowhere: No such file" % (here, here),
        "wsgate.conf:11: %s/file exists and is not a socket" % here,
        "wsgate.conf:17: route 'c': token_keys: %s/none.json" % here,
        "wsgate.conf:19: static directory %s/nowhere: No such file or directory" % here,
        "wsgate.conf:20: dial 'x': 'http://example.org/': it does not begin with ws://", "wsgate.conf:23: bus: curve_secret: %s/file" % here,
        "wsgate.conf:24: bus: curve_clients: %s/none" % here,
    ]
    for line in want:
        assert any(one.startswith(line[:200]) for one in told), (line, answer.stderr)
    assert len(told) == len(want), answer.stderr
    assert (answer.returncode, answer.stdout) == (2, "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "wsgate.conf"], "nothing was made"


def test_it_advises_nothing_about_a_directory_that_is_for_all(tmp_path):
    for name, mode in (("tmp", 0o1777), ("shared", 0o775)):
        directory = tmp_path / name
        directory.mkdir()
        directory.chmod(mode)
        for args in (["-t"], []):
            answer = run(*args, "--listen", "127.0.0.1:0", "--runtime-dir", directory)
            assert answer.returncode == (2 if args else 1) and "chmod" not in answer.stderr, answer.stderr
            assert "runtime directory %s can be written by others" % directory in answer.stderr
            assert "name one that is the gate's alone" in answer.stderr


def test_a_byte_order_mark(tmp_path):
    (tmp_path / "wsgate.conf").write_text(GOOD % "x", encoding="utf-8-sig")
    assert (tmp_path / "wsgate.conf").read_bytes().startswith(b"\xef\xbb\xbf")
    answer = run("-t", "-c", "wsgate.conf", cwd=tmp_path)
    assert (answer.returncode, answer.stderr) == (0, "")


def test_so_many_faults_and_no_more(tmp_path):
    answer = check(tmp_path, "".join("frob%d = 1\n" % number for number in range(1000)))
    lines = answer.stderr.splitlines()
    assert answer.returncode == 2 and len(lines) == 51 and lines[-1].startswith("wsgate: and 9"), answer.stderr


def test_version_and_help():
    version, help_ = run("--version"), run("--help")
    assert version.returncode == help_.returncode == 0
    assert version.stdout.startswith("wsgate 0.") and version.stdout.count("\n") == 1
    assert help_.stdout.startswith("Usage: wsgate ")
    for flag in ("--config", "--test", "--listen", "--route", "--static", "--runtime-dir", "--workers", "--log-level"):
        assert flag in help_.stdout
    assert max(map(len, help_.stdout.splitlines())) <= 120
    assert run("--version", "--frobnicate").returncode == 2
    assert run("-V").stdout == version.stdout and run("-h").stdout == help_.stdout


def test_a_file_that_runs(processes, tmp_path, take_seat):
    (tmp_path / "wsgate.conf").write_text(GOOD % (tmp_path / "run"))
    gate = processes([WSGATE, "-c", tmp_path / "wsgate.conf", "--log", "ws=error"])
    gate.wait_line('"ready"')
    lines = [json.loads(line) for line in gate.lines]
    port = int(next(line["address"] for line in lines if line["msg"] == "listening").rsplit(":", 1)[1])
    gate.dir = str(tmp_path / "run")
    bus = take_seat(gate)
    with Raw(port) as client:
        client.upgrade("/echo/me", extra=["Sec-WebSocket-Protocol: b"])
        opened = bus.hear("open")
        assert (opened.meta["params"], opened.meta["subprotocol"]) == ({"name": "me"}, "b")
    assert gate.stop() == 0
    assert all(json.loads(line) for line in gate.lines)
    assert not any(json.loads(line)["module"] == "ws" for line in gate.lines)


def test_flags_win_over_the_file(processes, tmp_path):
    (tmp_path / "wsgate.conf").write_text(GOOD % (tmp_path / "run"))
    gate = processes([WSGATE, "--log-format", "logfmt", "-c", tmp_path / "wsgate.conf", "--workers", "2", "--listen", "127.0.0.1:0"])
    gate.wait_line("msg=ready .*workers=2")
    assert gate.output.count("msg=listening") == 2


HELP = "give --route NAME=PATTERN or --static PREFIX=DIR, or a section route or static in the file of --config"
SERVES = {"nothing": ([], False), "a gatekeeper": (["--route", "door=,kind=gatekeeper"], False), "a route": (["--route", "echo=/echo"], True),
          "files": (["--static", "/=."], True)}


@pytest.mark.parametrize("name", SERVES)
def test_a_gate_that_serves_nothing_says_so(name, processes, tmp_path):
    flags, serves = SERVES[name]
    answer = run("-t", "--listen", "127.0.0.1:0", *flags, env={"WSBUS_DIR": str(tmp_path)})
    assert answer.returncode == 0 and answer.stdout == "wsgate: the configuration is good\n"
    why = "there is no route with a path and no static directory, and each request gets 404"
    assert answer.stderr == ("" if serves else "wsgate: warning: nothing to serve: %s: %s\n" % (why, HELP))
    gate = processes([WSGATE, "--log-format", "json", "--listen", "127.0.0.1:0", "--runtime-dir", tmp_path / "run", *flags])
    gate.wait_line("ready")
    lines = [json.loads(line) for line in gate.lines if "nothing to serve" in line]
    assert [(line["level"], line["why"], line["help"]) for line in lines] == ([] if serves else [("warn", why, HELP)])


def test_the_example_file(tmp_path):
    example = ROOT / "examples" / "wsgate.conf"
    text = example.read_text()
    (tmp_path / "html").mkdir()
    (tmp_path / "wsgate.conf").write_text(text.replace("/var/www/html", str(tmp_path / "html")))
    answer = run("-t", "-c", tmp_path / "wsgate.conf", env={"WSBUS_DIR": str(tmp_path)})
    assert (answer.returncode, answer.stderr) == (0, "")


def test_the_example_says_the_defaults(tmp_path):
    """Each option in it is known; without one of its braces it is not a configuration any more."""
    text = (ROOT / "examples" / "wsgate.conf").read_text()
    assert check(tmp_path, text.rstrip().removesuffix("}")).returncode == 2


def test_log_lines_are_logfmt_in_utc(gate):
    for line in gate.lines:
        assert line.startswith("time="), line
    stamp = gate.lines[0].split(" ")[0].split("=", 1)[1]
    date, _, clock = stamp.partition("T")
    assert len(date) == 10 and clock.endswith("Z") and len(clock.split(".")[1]) == 7, stamp
