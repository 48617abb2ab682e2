"""The demo page in two real browsers, behind handlers in C, Python and Node."""

import os
import subprocess

from conftest import BOTH_WIRES, BUILD, DEADLINE, PYTHON, ROOT


@BOTH_WIRES
def test_two_browsers_chat_and_drag_the_drawing(make_gate, processes, tmp_path):
    gate = make_gate(
        routes=["echo=/echo", "chat=/chat/{room}", "drawing=/drawing,kind=websocket"],
        args=["--static", "/=%s" % (ROOT / "examples/web")])
    for route, command in {
        "echo": [BUILD / "examples/wsbus-echo", "--bus", gate.dir],
        "chat": [BUILD / "examples/wsbus-chat", "--bus", gate.dir],
        "drawing": [PYTHON, ROOT / "examples/python/drawing.py", "--bus", gate.dir],
    }.items():
        processes(command)
        gate.wait_handlers(route, 1)
    processes([PYTHON, ROOT / "examples/python/chat.py", "--bus", gate.dir])  # two languages share the rooms
    gate.wait_handlers("chat", 2)
    processes(["node", ROOT / "examples/node/echo.js", "--bus", gate.dir])
    gate.wait_handlers("echo", 2)

    run = subprocess.run(
        ["node", str(ROOT / "integration/browser/page.js"), gate.http("/"), str(tmp_path / "page.png")],
        capture_output=True, text=True, timeout=DEADLINE * 6, env={**os.environ, "HOME": str(tmp_path)})
    assert run.returncode == 0, run.stdout + run.stderr
    assert "50 echoes" in run.stdout
    assert (tmp_path / "page.png").stat().st_size > 10000
