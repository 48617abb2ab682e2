"""The gate ends in good order: not ready first, then no new clients, what is under way finished, everybody told; and handlers likewise."""

import signal
import subprocess
import urllib.error
import urllib.request

from conftest import BUILD, DEADLINE, ROOT, eventually, sanitizer_first
from raw import Raw


def ready(gate, port):
    try:
        with urllib.request.urlopen("http://127.0.0.1:%d/readyz" % port, timeout=DEADLINE) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def metrics_port(gate):
    return int(gate.wait_line(r"msg=metrics at=\S*:(\d+)").group(1))


def test_the_gate_says_that_it_is_not_ready_and_serves_on(make_gate, echo):
    gate = make_gate(args=["--metrics", "127.0.0.1:0"])
    port = metrics_port(gate)
    echo(gate)
    before = Raw(gate).upgrade()
    assert ready(gate, port) == 200
    gate.wsctl("drain", "--delay", "1h")
    assert ready(gate, port) == 503
    assert gate.wsctl("status")["state"] == "draining"
    with Raw(gate).upgrade() as late:  # a balancer that has not looked yet
        assert late.ask("hello") == "hello"
    assert before.ask("still here") == "still here"
    gate.signal(signal.SIGTERM)  # impatience ends the delay
    assert before.read_close()[0] == 1001
    before.close()
    gate.process.wait(DEADLINE)
    assert gate.process.returncode == 0


def test_an_answer_under_way_comes_before_the_end(make_gate, take_seat):
    gate = make_gate(args=["--drain-timeout", "60s"])
    seat = take_seat(gate)
    client = Raw(gate).upgrade()
    opened = seat.hear("open")
    idle = Raw(gate).upgrade()
    seat.hear("open")
    client.say("question")
    seat.hear("data")
    gate.signal(signal.SIGTERM)
    assert idle.read_close()[0] == 1001  # nothing of it is under way
    seat.send(opened.conn, "answer")
    idle.close()
    seat.hear("closed")  # asking for more says that the question is done with
    assert client.read_message() == "answer"
    assert client.read_close()[0] == 1001
    client.close()
    seat.hear("closed")
    gate.process.wait(DEADLINE)


def test_who_does_not_answer_is_not_waited_for(make_gate, take_seat):
    gate = make_gate(args=["--drain-timeout", "2s"])
    seat = take_seat(gate)
    client = Raw(gate).upgrade()
    seat.hear("open")
    client.say("question")
    seat.hear("data")
    gate.signal(signal.SIGTERM)
    assert client.read_close()[0] == 1001
    client.close()
    gate.process.wait(DEADLINE)


def test_very_many_clients_are_closed_over_some_time(make_gate, echo):
    gate = make_gate(args=["--workers", "1", "--drain-spread", "1h", "--drain-timeout", "24h"])
    echo(gate)
    clients = [Raw(gate).upgrade() for _ in range(600)]
    gate.signal(signal.SIGTERM)
    gate.wait_line("msg=draining")
    # 256 in a tick at least: the last ones are told in a later one, and all are told.
    for client in clients:
        assert client.read_close()[0] == 1001
        client.close()
    gate.process.wait(DEADLINE)


def test_those_in_the_accept_queue_are_served(make_gate, echo):
    gate = make_gate(args=["--workers", "1", "--drain-timeout", "20s"])
    echo(gate, "python")
    gate.signal(signal.SIGSTOP)  # the kernel goes on shaking hands
    clients = [Raw(gate) for _ in range(20)]
    for client in clients:
        client.send("GET /echo HTTP/1.1\r\nHost: h\r\n\r\n")
    gate.signal(signal.SIGTERM)
    gate.signal(signal.SIGCONT)
    for client in clients:
        assert client.read_response().status == 200
        client.close()
    gate.process.wait(DEADLINE)


def test_a_handler_may_be_undrained(gate, take_seat):
    first, second = take_seat(gate), None
    client = Raw(gate).upgrade()
    opened = first.hear("open")
    number = gate.wsctl("handlers")["handlers"][0]["id"]
    assert gate.wsctl("handlers", "drain", number)["connections"] == 1
    assert first.hear("drain").more
    refused = Raw(gate)
    refused.send("GET /echo HTTP/1.1\r\nHost: h\r\n\r\n")
    assert refused.read_response().status == 503
    assert gate.wsctl("handlers", "undrain", number)["state"] == "serving"
    late = Raw(gate).upgrade()
    first.hear("open")
    client.say("hello")
    assert first.hear("data").conn == opened.conn
    second = take_seat(gate)
    gate.wsctl("handlers", "drain", number)
    assert first.hear("drain").more
    eventually(lambda: (event := first.read(1000)) is not None and event.type == "drain" and not event.more, "the end of the drain")
    run = subprocess.run([BUILD / "wsctl" / "wsctl", "--dir", gate.dir, "handlers", "undrain", str(number)], capture_output=True, text=True)
    assert (run.returncode, "drained" in run.stderr) == (1, True), run
    for _ in range(2):
        assert second.hear("open", "data").type in ("open", "data")
    late.close()
    client.close()


def test_event_streams_of_a_handler_end_when_it_drains(gate, take_seat):
    seat = take_seat(gate)
    streams = [Raw(gate) for _ in range(2)]
    for stream, kind in zip(streams, ("text/event-stream", "application/octet-stream")):
        stream.send("GET /echo HTTP/1.1\r\nHost: h\r\n\r\n")
        conn = seat.hear("request").conn
        seat.respond(conn, b"data: 1\n\n", headers={"Content-Type": kind}, more=True)
        seat.flush()
        stream.read_until(b"data: 1\n\n\r\n")
    number = gate.wsctl("handlers")["handlers"][0]["id"]
    gate.wsctl("handlers", "drain", number)
    streams[0].read_until(b"0\r\n\r\n")
    assert streams[1].is_quiet()
    seen = [seat.hear("drain", "aborted").type for _ in range(2)]
    assert sorted(seen) == ["aborted", "drain"]
    for stream in streams:
        stream.close()


README_LOOP = """
#include <stdio.h>
#include <wsbus/handler.h>
int main(int argc, char **argv)
{
    wsb_handler h;
    const char *routes[] = {"echo"};
    if (!wsb_handler_open(argc > 1 ? argv[1] : NULL, &(struct wsb_handler_options){.size = sizeof(struct wsb_handler_options), .routes = routes, .route_count = 1}, &h))
        return 1;
    struct wsb_event ev = {.size = sizeof ev};
    while (wsb_readguarded(h, &ev, -1))
        if (ev.type == WSB_EV_DATA)
            wsb_writeguarded(h, ev.conn, ev.opcode, ev.data, ev.len);
    puts(wsb_reason_name(wsb_reason(h)));
    return !wsb_handler_close(h);
}
"""


def test_the_loop_of_the_readme_ends_on_drain(gate, processes, tmp_path):
    source = tmp_path / "loop.c"
    source.write_text(README_LOOP)
    library = BUILD / "libwsbus"
    subprocess.run(["cc", "-std=c11", source, "-I", ROOT / "libwsbus/include", "-L", library, "-lwsbus", "-Wl,-rpath,%s" % library, "-o", tmp_path / "loop"],
                   check=True, timeout=120)
    command = ["env", *sanitizer_first(library / "libwsbus.so.0"), tmp_path / "loop", gate.dir]
    loop = processes(command)
    gate.wait_handlers("echo", 1)
    number = gate.wsctl("handlers")["handlers"][0]["id"]
    with Raw(gate).upgrade() as client:
        assert client.ask("hello") == "hello"
        successor = processes(command)
        gate.wait_handlers("echo", 2)
        gate.wsctl("handlers", "drain", number)
        loop.process.wait(DEADLINE)
        assert (loop.process.returncode, loop.wait_line("drained").group()) == (0, "drained")
        assert client.ask("again") == "again"
    successor.stop()
