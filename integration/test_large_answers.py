"""An answer may be as large as the gate takes it, in every language; a larger one is refused with a reason, and nothing else suffers."""

import subprocess

import pytest

from conftest import BUILD, DEADLINE, HANDLERS, PYTHON, ROOT, with_libwsbus
from raw import Raw, BINARY

MIB = 1 << 20
PYTHON_HANDLER = """
import sys
sys.path.insert(0, %(examples)r)
import %(module)s as wsbus
handler = wsbus.Handler(routes=["echo"], bus=sys.argv[1])
for event in handler:
    if event.type == "data":
        try:
            handler.send(event.conn, bytes(int(event.text)))
        except Exception as error:
            handler.send(event.conn, "no: %%s" %% error)
"""
NODE_HANDLER = """
import { Handler } from %(module)s;
const handler = new Handler({ routes: ["echo"], bus: process.argv[2] });
for await (const event of handler) {
  if (event.type !== "data") continue;
  try {
    handler.send(event.conn, Buffer.alloc(Number(event.payload.toString())), 2);
  } catch (error) {
    handler.send(event.conn, `no: ${error}`);
  }
}
"""
LANGUAGES = {
    "python": (".py", PYTHON_HANDLER % {"examples": str(ROOT / "python"), "module": "wsbus"}, [PYTHON]),
    "python-shm": (".py", PYTHON_HANDLER % {"examples": str(ROOT / "python"), "module": "wsbus_shm"}, with_libwsbus(PYTHON)),
    "node": (".mjs", NODE_HANDLER % {"module": '"%s"' % (ROOT / "node/wsbus.js")}, ["node"]),
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_answers_up_to_what_the_gate_takes(make_gate, processes, tmp_path, language):
    config = tmp_path / "wsgate.conf"
    config.write_text('route echo {\n path = "/echo"\n max_message = 96MiB\n max_queue = 256MiB\n}\n')
    gate = make_gate(routes=(), args=["--config", config])
    suffix, text, command = LANGUAGES[language]
    script = tmp_path / ("large" + suffix)
    script.write_text(text)
    processes([*command, script, gate.dir])
    gate.wait_handlers("echo", 1)
    client = Raw(gate).upgrade()
    for size in (64 * MIB, 80 * MIB):
        client.say(str(size))
        frame = client.read_frame()
        assert (frame.opcode, len(frame.payload)) == (BINARY, size)
    client.say(str(97 * MIB))
    assert client.read_message().startswith("no: ")
    client.say("5")
    assert client.read_frame().payload == bytes(5)
    assert gate.wsctl("stats")["bus"]["handlers_gone"] == 0
    client.close()
