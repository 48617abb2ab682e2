"""A message that ends every handler that gets it is set aside, and takes nobody else along. In every language."""

import json
import threading

import pytest
import zmq

import wsbus
from conftest import DEADLINE, HANDLERS, PYTHON, ROOT, eventually, with_libwsbus
from raw import Raw

PYTHON_HANDLER = """
import os, signal, sys
sys.path.insert(0, %(examples)r)
import %(module)s as wsbus
handler = wsbus.Handler(routes=["echo"], bus=sys.argv[1])
for event in handler:
    if event.type == "data" and event.text == "poison":
        os.kill(os.getpid(), signal.SIGKILL)
    if event.type == "open" and "poison" in event.meta.get("query", ""):
        os.kill(os.getpid(), signal.SIGKILL)
    if event.type == "request":
        if "poison" in event.meta["query"]:
            os.kill(os.getpid(), signal.SIGKILL)
        handler.respond(event.conn, b"fine")
    if event.type == "data":
        handler.send(event.conn, "%%s for the %%d. time" %% (event.text, event.deliveries))
"""
NODE_HANDLER = """
import { Handler } from %(module)s;
const handler = new Handler({ routes: ["echo"], bus: process.argv[2] });
for await (const event of handler) {
  const said = event.type === "data" ? event.payload.toString() : event.meta.query ?? "";
  if (said.includes("poison")) process.kill(process.pid, "SIGKILL");
  if (event.type === "data") handler.send(event.conn, `${said} for the ${event.deliveries}. time`);
  if (event.type === "request") handler.respond(event.conn, "fine");
}
"""


def python(module):
    return PYTHON_HANDLER % {"examples": str(ROOT / "python"), "module": module}


FRAGILE = {
    "python": lambda gate, path: [PYTHON, path(".py", python("wsbus")), gate.dir],
    "python-shm": lambda gate, path: with_libwsbus(PYTHON, path(".py", python("wsbus_shm")), gate.dir),
    "node": lambda gate, path: ["node", path(".mjs", NODE_HANDLER % {"module": json.dumps(str(ROOT / "node/wsbus.js"))}), gate.dir],
}


class Supervisor:
    """Starts the handler again whenever it has died, as an init system would."""

    def __init__(self, processes, command):
        self.processes, self.command, self.deaths, self.over = processes, command, 0, False
        self.current = processes(command)
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()

    def _watch(self):
        while True:
            self.current.process.wait()
            if self.over or self.deaths > 10:
                return
            self.deaths += 1
            self.current = self.processes(self.command)

    def wait_deaths(self, count):
        eventually(lambda: self.deaths >= count, "%d deaths" % count)
        assert self.deaths == count

    def end(self):
        self.over = True
        self.current.kill()
        self.thread.join(DEADLINE)


@pytest.fixture(params=FRAGILE)
def fragile(request, processes, tmp_path):
    def path(suffix, text):
        file = tmp_path / ("handler" + suffix)
        file.write_text(text)
        return file

    supervisors = []

    def start(gate):
        supervisors.append(Supervisor(processes, FRAGILE[request.param](gate, path)))
        gate.wait_handlers("echo", 1)
        return supervisors[-1]

    yield start
    for supervisor in supervisors:
        supervisor.end()


def waiting_gate(make_gate, tmp_path, *more):
    config = tmp_path / "wsgate.conf"
    config.write_text('route echo {\n path = "/echo"\n no_handler = wait\n handler_wait = 60s\n %s\n}\n' % "\n ".join(more))
    return make_gate(routes=(), args=["--config", config])


def set_aside(gate):
    return gate.wsctl("dead-letters")["dead_letters"]


def test_a_message_that_kills_is_set_aside_and_others_are_served(make_gate, tmp_path, fragile):
    gate = waiting_gate(make_gate, tmp_path)
    supervisor = fragile(gate)
    others = [Raw(gate).upgrade() for _ in range(5)]
    victim = Raw(gate).upgrade()
    for number in range(20):
        for client in others:
            client.say("before %d" % number)
    victim.say("poison")
    code, _ = victim.read_close()
    assert code == 1011
    supervisor.wait_deaths(3)  # the default
    for client in others:
        client.say("after")
        heard = [client.read_message()]
        while not heard[-1].startswith("after"):
            heard.append(client.read_message())
        for number in range(20):
            assert any(text.startswith("before %d for" % number) for text in heard), "%d is missing" % number
        assert heard[-1] == "after for the 1. time"
        client.close()
    letter, = set_aside(gate)
    assert (letter["event"], letter["text"], letter["deliveries"], letter["route"]) == ("data", "poison", 3, "echo")
    route = gate.wsctl("stats")["routes"]["echo"]
    assert route["in_dropped"]["undeliverable"] == 1
    assert gate.output.count("event set aside") == 1


def test_with_skip_the_client_goes_on(make_gate, tmp_path, fragile):
    gate = waiting_gate(make_gate, tmp_path, "undeliverable = skip", "max_deliveries = 2")
    supervisor = fragile(gate)
    with Raw(gate).upgrade() as client:
        client.say("poison")
        client.say("good")
        assert client.read_message() in ("good for the 1. time", "good for the 2. time")
    supervisor.wait_deaths(2)


def test_an_open_that_kills_ends_its_connection(make_gate, tmp_path, fragile):
    gate = waiting_gate(make_gate, tmp_path)
    supervisor = fragile(gate)
    victim = Raw(gate).upgrade(path="/echo?poison")
    assert victim.read_close()[0] == 1011
    supervisor.wait_deaths(3)
    assert set_aside(gate)[0]["event"] == "open"


def test_a_get_that_kills_is_502(make_gate, tmp_path, fragile):
    gate = waiting_gate(make_gate, tmp_path)
    supervisor = fragile(gate)
    client = gate.http_client()
    client.request("GET", "/echo?poison")
    assert client.getresponse().status == 502
    supervisor.wait_deaths(3)
    client = gate.http_client()
    client.request("GET", "/echo?good")
    assert client.getresponse().read() == b"fine"


def test_it_is_set_aside_after_its_client_has_left(make_gate, tmp_path, fragile):
    gate = waiting_gate(make_gate, tmp_path)
    supervisor = fragile(gate)
    with Raw(gate).upgrade() as client:
        client.say("poison")
        client.close()
    letter, = eventually(lambda: set_aside(gate), "the letter")
    assert letter["text"] == "poison"
    supervisor.wait_deaths(3)
    with Raw(gate).upgrade() as client:
        assert client.ask("good") == "good for the 1. time"


def test_a_dead_letter_is_told_on_events(make_gate, tmp_path, fragile):
    gate = waiting_gate(make_gate, tmp_path)
    fragile(gate)
    context = zmq.Context()
    events = context.socket(zmq.SUB)
    events.connect("ipc://%s/events" % gate.dir)
    events.subscribe("echo dead-letter")
    # The gate sees the subscription some time; each poison is one letter.
    def told():
        with Raw(gate).upgrade() as client:
            client.say("poison")
            client.read_close()
        return events.poll(200)
    eventually(told, "a letter")
    topic, head, payload, meta = events.recv_multipart()
    fields = wsbus.parse_header(head)
    assert topic == b"echo dead-letter"
    assert wsbus.EVENTS[fields[1]] == "dead-letter"
    assert payload == b"poison"
    said = json.loads(meta)
    assert (said["event"], said["deliveries"], said["route"]) == ("data", 3, "echo")
    context.destroy(linger=0)


SLOW = """
import sys, time
sys.path.insert(0, %(examples)r)
import %(module)s as wsbus
handler = wsbus.Handler(routes=["echo"], bus=sys.argv[1])
for event in handler:
    if event.type == "data":
        end = time.monotonic() + 3
        while time.monotonic() < end:
            time.sleep(0.2)  # the work
            if event.text == "says so":
                handler.working()
        handler.send(event.conn, "done, delivered %%d" %% event.deliveries)
"""


@pytest.mark.parametrize("module", ["wsbus", "wsbus_shm"])
def test_a_handler_that_says_it_works_keeps_its_client(make_gate, tmp_path, processes, module):
    gate = waiting_gate(make_gate, tmp_path, "ack_timeout = 1s")
    script = tmp_path / "slow.py"
    script.write_text(SLOW % {"examples": str(ROOT / "python"), "module": module})
    processes(with_libwsbus(PYTHON, script, gate.dir))
    gate.wait_handlers("echo", 1)
    with Raw(gate).upgrade() as client:
        assert client.ask("says so") == "done, delivered 1"
    assert "acknowledges nothing" not in gate.output
    with Raw(gate).upgrade() as client:
        client.say("says nothing")
        gate.wait_line("acknowledges nothing")
