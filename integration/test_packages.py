"""The helpers as packages: what a registry would be given works where nothing else of this tree is."""

import functools
import json
import pathlib
import re
import subprocess
import sys
import tarfile
import zipfile

import pytest

from conftest import DEADLINE, PYTHON, ROOT
from raw import Raw

sys.path.insert(0, str(ROOT / "packaging"))

import helpers  # noqa: E402

NODE = ROOT / "node"
ECHO_PY = """
import sys
from wsbus import Handler
import wsbus_aio, wsbus_shm
assert wsbus_aio.__file__.startswith(sys.argv[2]) and wsbus_shm.__file__.startswith(sys.argv[2])
with Handler(["echo"], bus=sys.argv[1]) as bus:
    for event in bus:
        if event.type == "data":
            bus.send(event.conn, event.payload, event.opcode)
"""
ECHO_TS = """
import { Handler, TEXT, type BusEvent } from "wsbus";

const bus = new Handler({ routes: ["echo"], bus: process.argv[2], kinds: ["websocket"] });
function answer(event: BusEvent): void {
  if (event.type === "data") bus.send(event.conn, event.payload, event.opcode, { slow: "drop-old" });
  if (event.type === "open") bus.join(event.conn, "all");
  if (event.type === "request") bus.respond(event.conn, "x", { headers: { "content-type": "text/plain", vary: ["a", "b"] } });
}
for await (const event of bus) answer(event);
bus.publish("x", { all: true, except: [1n] }, TEXT);
await bus.bye();
"""
WRONG_TS = [
    ('import { Handler } from "wsbus"; new Handler({});', "Property 'routes' is missing"),
    ('import { Handler } from "wsbus"; new Handler({ routes: ["echo"] }).send(1, "x");', "Argument of type 'number'"),
    ('import { Handler } from "wsbus"; new Handler({ routes: ["echo"] }).nothing();', "Property 'nothing' does not exist"),
]


def run(*command, cwd=None):
    done = subprocess.run([str(word) for word in command], cwd=cwd, capture_output=True, text=True, timeout=DEADLINE * 6)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def echoes(gate):
    gate.wait_handlers("echo", 1)
    with Raw(gate) as client:
        client.upgrade()
        client.say("hello")
        return client.read_message() == "hello"


def test_the_wheel_is_whole(gate, processes, tmp_path):
    site = tmp_path / "site"
    with zipfile.ZipFile(helpers.wheel(tmp_path)) as wheel:
        wheel.extractall(site)
    info = next(site.glob("wsbus-*.dist-info"))
    metadata = (info / "METADATA").read_text()
    assert "Requires-Dist: pyzmq" in metadata and (info / "LICENSE").exists()
    assert sorted(path.name for path in site.glob("*.py")) == ["wsbus.py", "wsbus_aio.py", "wsbus_shm.py"]
    processes([PYTHON, "-c", ECHO_PY, gate.dir, site], env={"PYTHONPATH": str(site)})
    assert echoes(gate)


@pytest.fixture
def project(tmp_path):
    """A project of somebody's that has installed the package, and typescript."""
    project = tmp_path / "project"
    modules = project / "node_modules"
    modules.mkdir(parents=True)
    with tarfile.open(helpers.npm(tmp_path)) as archive:
        archive.extractall(modules)
    (modules / "package").rename(modules / "wsbus")
    for other in NODE.joinpath("node_modules").iterdir():
        if other.name != ".package-lock.json":
            (modules / other.name).symlink_to(other)
    (project / "package.json").write_text('{"type": "module"}')
    (project / "tsconfig.json").write_text(json.dumps({"compilerOptions": {
        "strict": True, "target": "ES2022", "module": "NodeNext", "moduleResolution": "NodeNext", "types": ["node"]}}))
    return project


def tsc(project):
    return subprocess.run(["node", NODE / "node_modules/typescript/bin/tsc", "-p", project], capture_output=True, text=True, timeout=DEADLINE * 6)


def test_the_npm_package_is_whole_and_typed(gate, processes, project):
    assert sorted(path.name for path in (project / "node_modules/wsbus").iterdir()) == [
        "LICENSE", "README.md", "package.json", "wsbus.d.ts", "wsbus.js"]
    (project / "echo.ts").write_text(ECHO_TS)
    done = tsc(project)
    assert done.returncode == 0, done.stdout
    processes(["node", project / "echo.js", gate.dir])
    assert echoes(gate)


def test_the_types_refuse_what_is_wrong(project):
    for code, why in WRONG_TS:
        (project / "wrong.ts").write_text(code)
        done = tsc(project)
        assert done.returncode != 0 and why in done.stdout, done.stdout


def test_the_types_name_what_there_is(tmp_path):
    """Each export, and each method and property of Handler, is in the declarations; and nothing else."""
    code = """
    import * as wsbus from %s;
    const own = Object.getOwnPropertyNames(wsbus.Handler.prototype);
    const bus = new wsbus.Handler({ routes: ["echo"], bus: %s });
    console.log(JSON.stringify({ exports: Object.keys(wsbus), members: [...own, ...Object.keys(bus)] }));
    process.exit(0);
    """ % (json.dumps(str(NODE / "wsbus.js")), json.dumps(str(tmp_path)))
    there = json.loads(run("node", "--input-type=module", "-e", code))
    types = (NODE / "wsbus.d.ts").read_text()
    assert set(re.findall(r"^export (?:const|function|class) (\w+)", types, re.MULTILINE)) == set(there["exports"])
    body = re.search(r"^export class Handler .*?^}", types, re.MULTILINE | re.DOTALL).group(0)
    assert set(re.findall(r"^  (\w+)[(:]", body, re.MULTILINE)) == set(there["members"])


@functools.cache
def version_of(path, pattern):
    return re.search(pattern, pathlib.Path(path).read_text(), re.MULTILINE).group(1)


@pytest.mark.parametrize("path, pattern", [
    ("libwsbus/include/wsbus/version.h", r'^#define WSB_VERSION_TEXT +"(.*)"'),
    ("python/pyproject.toml", r'^version = "(.*)"'),
    ("node/package.json", r'^  "version": "(.*)"'),
    ("node/package-lock.json", r'^  "version": "(.*)"'),
    ("debian/changelog", r"^wsbus \((.*)\)"),
])
def test_all_have_one_version(path, pattern):
    assert version_of(ROOT / path, pattern) == version_of(ROOT / "CMakeLists.txt", r"project\(wsbus VERSION (\S+)")


@pytest.mark.parametrize("folder", ["python", "node"])
def test_the_licence_is_the_projects(folder):
    assert (ROOT / folder / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
