"""Where a gate listens, what keeps it from starting, and how it ends."""

import array
import os
import re
import resource
import signal
import socket
import stat
import subprocess
import time

import pytest

from conftest import BUILD, DEADLINE, can_refuse_descriptors, eventually
from raw import Raw, close_frame, upgrade_request

WSGATE = BUILD / "wsgate" / "wsgate"


def fails(directory, *args, **kwargs):
    """(exit status, what it said) of a gate that cannot start."""
    run = subprocess.run([str(WSGATE), "--runtime-dir", str(directory), *map(str, args)], capture_output=True, text=True, timeout=DEADLINE, **kwargs)
    return run.returncode, run.stderr.strip().splitlines()[-1]


def serve(gate, take_seat):
    """A handler, and a client's way to say something through the gate."""
    bus = take_seat(gate)

    def talk(client):
        client.say("x")
        while (event := bus.hear("open", "data", "closed")).type != "data":
            pass
        bus.send(event.conn, "y")
        bus.flush()
        assert client.read_message() == "y"

    return talk


def test_ipv4_ipv6_and_unix_at_once(make_gate, take_seat, tmp_path):
    path = "%s/clients.sock" % tmp_path
    gate = make_gate(listen=["127.0.0.1:0", "[::1]:0", "unix:%s,mode=0622" % path])
    addresses = re.findall(r"msg=listening address=(\S+)", gate.output)
    assert len(addresses) == 3 and addresses[1].startswith("[::1]:"), addresses
    talk = serve(gate, take_seat)
    with Raw(gate) as client:
        talk(client.upgrade())
    with Raw(path) as client:
        talk(client.upgrade())
    with socket.create_connection(("::1", int(addresses[1].rsplit(":", 1)[1])), DEADLINE) as six:
        six.sendall(upgrade_request())
        assert six.recv(100).startswith(b"HTTP/1.1 101 ")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o622
    assert gate.stop() == 0
    assert not os.path.exists(path)


def test_several_workers_share_a_port(make_gate, take_seat, echo, tmp_path):
    path = "%s/clients.sock" % tmp_path
    gate = make_gate(listen=["127.0.0.1:0", "unix:" + path], args=["--workers", "3"])
    echo(gate, "c")
    echo(gate, "python")
    clients = [Raw(gate.port if i % 3 else path).upgrade() for i in range(60)]
    for index, client in enumerate(clients):
        assert client.ask("hello %d" % index) == "hello %d" % index
    rows = gate.wsctl("list")["connections"]
    assert len(rows) == 60
    assert {row["worker"] for row in rows} == {0, 1, 2}
    bus = take_seat(gate)
    bus.publish("to everybody", route="echo")
    bus.flush()
    for client in clients:
        assert client.read_message() == "to everybody"
    seq = bus.send([int(row["id"], 16) for row in rows], "each", outcome=True)
    outcomes = [bus.hear("outcome") for _ in rows]
    assert {(event.seq, event.outcome) for event in outcomes} == {(seq, "written")}
    assert {"%016x" % event.conn for event in outcomes} == {row["id"] for row in rows}
    for client in clients:
        client.close()
    eventually(lambda: gate.wsctl("status")["connections"] == 0, "all gone")


def test_a_port_in_use(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        status, said = fails(tmp_path / "run", "--listen", "127.0.0.1:%d" % port)
    assert status == 1
    assert said == "wsgate: cannot listen on 127.0.0.1:%d: Address already in use" % port


def test_two_gates_want_one_port(make_gate, tmp_path):
    first = make_gate()
    status, said = fails(tmp_path / "other", "--listen", "127.0.0.1:%d" % first.port)
    assert (status, said) == (1, "wsgate: cannot listen on 127.0.0.1:%d: Address already in use" % first.port)


def test_an_address_that_is_not_ours(tmp_path):
    status, said = fails(tmp_path / "run", "--listen", "192.0.2.1:8080")
    assert (status, said) == (1, "wsgate: cannot listen on 192.0.2.1:8080: Cannot assign requested address")


def test_a_stale_unix_socket_is_replaced(make_gate, tmp_path):
    path = "%s/clients.sock" % tmp_path
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(path)
    stale.close()
    make_gate(listen=["127.0.0.1:0", "unix:" + path])
    with Raw(path) as client:
        assert client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").read_response().status == 404


def test_a_live_unix_socket_is_not(tmp_path):
    path = "%s/clients.sock" % tmp_path
    with socket.socket(socket.AF_UNIX) as alive:
        alive.bind(path)
        alive.listen()
        status, said = fails(tmp_path / "run", "--listen", "unix:" + path)
        assert (status, said) == (1, "wsgate: %s: somebody listens there already" % path)
        assert os.path.exists(path)


def test_a_file_is_never_replaced(tmp_path):
    path = tmp_path / "precious"
    path.write_text("data")
    status, said = fails(tmp_path / "run", "--listen", "unix:%s" % path)
    assert (status, said) == (1, "wsgate: %s exists and is not a socket" % path)
    assert path.read_text() == "data"


# --- the runtime directory


def test_the_runtime_directory_is_made_for_us_alone(make_gate, tmp_path):
    gate = make_gate(tmp_path / "run")
    assert stat.S_IMODE(os.stat(gate.dir).st_mode) == 0o700
    for name in ("handlers", "events", "commands", "control"):
        mode = os.stat("%s/%s" % (gate.dir, name)).st_mode
        assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o600, name
    assert gate.stop() == 0
    assert os.listdir(gate.dir) == []


def test_two_gates_want_one_directory(make_gate, echo):
    first = make_gate()
    echo(first)
    client = Raw(first).upgrade()
    status, said = fails(first.dir, "--listen", "127.0.0.1:0", "--route", "echo=/echo")
    assert status == 1
    assert first.dir in said and "already" in said, said
    assert client.ask("still here") == "still here"
    assert first.wsctl("status")["pid"] == first.pid


def test_what_a_killed_gate_left_is_replaced(make_gate, take_seat, tmp_path):
    first = make_gate(tmp_path / "run")
    first.kill()
    assert set(os.listdir(first.dir)) >= {"handlers", "control"}
    second = make_gate(tmp_path / "run")
    talk = serve(second, take_seat)
    with Raw(second) as client:
        talk(client.upgrade())


def test_a_directory_that_others_can_write(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run").chmod(0o777)
    status, said = fails(tmp_path / "run", "--listen", "127.0.0.1:0")
    assert status == 1
    assert "can be written by others" in said and "chmod" not in said


def test_a_link_and_a_file_are_no_directory(tmp_path):
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "file").write_text("")
    for name in ("link", "file"):
        status, said = fails(tmp_path / name, "--listen", "127.0.0.1:0")
        assert status == 1 and "is not a directory, or a link to one" in said, said


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_a_directory_of_somebody_else(tmp_path):
    (tmp_path / "run").mkdir(mode=0o700)
    os.chown(tmp_path / "run", 65534, 65534)
    status, said = fails(tmp_path / "run", "--listen", "127.0.0.1:0")
    assert status == 1
    assert "belongs to user 65534 and not to user 0" in said


def test_a_name_that_is_too_long(tmp_path):
    status, said = fails(tmp_path / ("x" * 120), "--listen", "127.0.0.1:0")
    assert status == 1 and "is longer than" in said


def test_the_environment_names_it(tmp_path, processes):
    gate = processes([WSGATE, "--listen", "127.0.0.1:0"], env={"WSBUS_DIR": str(tmp_path / "by-env")})
    gate.wait_line("msg=ready")
    assert (tmp_path / "by-env" / "control").exists()


# --- the end


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains(make_gate, take_seat, sig):
    gate = make_gate(routes=["echo=/echo"])
    bus = take_seat(gate)
    clients = [Raw(gate).upgrade() for _ in range(5)]
    conns = {bus.hear("open").conn for _ in clients}
    idle = Raw(gate)
    waiting = Raw(gate).send("GET /echo HTTP/1.1\r\nHost: x\r\n\r\n")
    request = bus.hear("request").conn
    gate.signal(sig)
    for client in clients:
        assert client.read_close() == (1001, "the gate is shutting down")
    eventually(lambda: not can_connect(gate.port), "no new clients")
    idle.expect_end()
    bus.respond(request, "what was begun is finished")
    bus.flush()
    answer = waiting.read_response()
    assert (answer.body, answer.headers["connection"]) == (b"what was begun is finished", "close")
    assert gate.process.poll() is None, "it waits for its clients"
    for client in clients:
        client.send(close_frame(1001))
        client.expect_end()
        client.close()
    waiting.close()
    closed = [bus.hear("closed") for _ in clients]
    assert {event.conn for event in closed} == conns
    assert {(event.meta["by"], event.meta["code"], event.meta["clean"]) for event in closed} == {("gate", 1001, True)}
    assert gate.process.wait(DEADLINE) == 0
    gate.wait_line("msg=stopped")


def can_connect(port):
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
        return True
    except ConnectionRefusedError:
        return False


def test_the_drain_has_a_deadline(make_gate, take_seat):
    gate = make_gate(args=["--drain-timeout", "300ms"])
    take_seat(gate)
    stubborn = Raw(gate).upgrade()
    begun = time.monotonic()
    gate.signal(signal.SIGTERM)
    assert stubborn.read_close()[0] == 1001
    assert gate.process.wait(DEADLINE) == 0
    assert 0.25 < time.monotonic() - begun < 8


def test_a_second_signal_does_not_wait(make_gate, take_seat):
    gate = make_gate(args=["--drain-timeout", "1h", "--close-timeout", "1h"])
    take_seat(gate)
    stubborn = Raw(gate).upgrade()
    gate.signal(signal.SIGTERM)
    assert stubborn.read_close()[0] == 1001
    assert gate.process.poll() is None
    gate.signal(signal.SIGINT)
    assert gate.process.wait(DEADLINE) == 0


def test_more_clients_than_allowed(make_gate, take_seat):
    gate = make_gate(args=["--max-connections", "3"])
    bus = take_seat(gate)
    clients = []
    for _ in range(3):
        clients.append(Raw(gate).upgrade())
        bus.hear("open")
    with Raw(gate) as refused:
        refused.send("GET /echo HTTP/1.1\r\nHost: h\r\n\r\n")
        assert refused.read_response().status == 503
        refused.expect_end()
    assert gate.wsctl("status")["refused"] == 1
    clients[0].close()
    bus.hear("closed")
    eventually(lambda: gate.wsctl("status")["connections"] == 2, "a free place")
    with Raw(gate) as client:
        client.upgrade()


def test_out_of_descriptors(make_gate, take_seat):
    """A gate that runs out of descriptors serves those it has, and newcomers when there is room again."""
    gate = make_gate(args=["--workers", "1"])
    bus = take_seat(gate)
    client = Raw(gate).upgrade()
    conn = bus.hear("open").conn
    open_now = len(os.listdir("/proc/%d/fd" % gate.pid))
    soft, hard = resource.prlimit(gate.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(gate.pid, resource.RLIMIT_NOFILE, (open_now + 10, hard))
    crowd = [Raw(gate).send(upgrade_request()) for _ in range(50)]
    gate.wait_line('msg="cannot accept: out of descriptors or memory"')
    bus.send(conn, "still served")
    bus.flush()
    assert client.read_message() == "still served"
    resource.prlimit(gate.pid, resource.RLIMIT_NOFILE, (soft, hard))
    for newcomer in crowd:
        newcomer.expect_101()
        newcomer.close()


def test_each_listener_has_its_own_limits_of_a_head(make_gate, tmp_path):
    strict, roomy = "%s/strict.sock" % tmp_path, "%s/roomy.sock" % tmp_path
    config = tmp_path / "wsgate.conf"
    config.write_text('listen "unix:%s" { max_head = 1KiB max_headers = 8 head_timeout = 100ms }\n'
                      'listen "unix:%s" { max_head = 64KiB max_headers = 300 head_timeout = 1h }\n'
                      "limits { head = 8KiB headers = 50 }\n" % (strict, roomy))
    gate = make_gate(args=["-c", config], routes=(), listen=["127.0.0.1:0"])

    def ask(where, *headers):
        with Raw(where) as client:
            client.send("GET / HTTP/1.1\r\nHost: x\r\n%s\r\n" % "".join("%s\r\n" % h for h in headers))
            return client.read_response().status

    long, many = "X: " + "x" * 2000, ["X-%d: 1" % i for i in range(20)]
    assert [ask(strict), ask(strict, long), ask(strict, *many)] == [404, 431, 431]
    assert [ask(gate), ask(gate, long), ask(gate, *many)] == [404, 404, 404]
    longer, more = "X: " + "x" * 30000, ["X-%d: 1" % i for i in range(200)]
    assert [ask(gate, longer), ask(gate, *more)] == [431, 431]
    assert [ask(roomy, longer), ask(roomy, *more)] == [404, 404]
    with Raw(roomy) as patient, Raw(strict) as late:
        patient.send("GET / HTTP/1.1\r\nHost")
        late.send("GET / HTTP/1.1\r\nHost")
        assert late.read_response().status == 408
        patient.send(": x\r\n\r\n")
        assert patient.read_response().status == 404


def passes_a_descriptor(path, kind):
    with socket.socket(socket.AF_UNIX, kind) as peer:
        peer.connect(path)
        peer.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0]))])


def test_descriptors_are_not_taken(make_gate, take_seat, tmp_path):
    """One that lingers would be closed by the kernel in the gate's next receive, which then takes as long as its owner likes."""
    page, metrics = str(tmp_path / "page"), str(tmp_path / "metrics")
    gate = make_gate(listen=["127.0.0.1:0", "unix:" + page], args=["--metrics", "unix:" + metrics])
    paths = [page, metrics] + ["%s/%s" % (gate.dir, name) for name in ("handlers", "events", "commands", "control")]
    for path, kind in [(path, socket.SOCK_STREAM) for path in paths] + [(gate.dir + "/shm", socket.SOCK_SEQPACKET)]:
        if can_refuse_descriptors():
            with pytest.raises(PermissionError):
                passes_a_descriptor(path, kind)
        else:
            passes_a_descriptor(path, kind)
    talk = serve(gate, take_seat)
    with Raw(page) as client:
        talk(client.upgrade())
