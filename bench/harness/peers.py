"""Servers and gates of other people, where they are installed. Each is set up for the same work: echo, and what comes at /pub to all
at /sub. Those that are not there are named, with what they want."""

import os
import pathlib
import shutil
import socket
import subprocess

from harness.programs import BUILD, PYTHON, ROOT, START_S, Failed, eventually
from harness.servers import Server, only_echo

SETUPS = ROOT / "bench" / "peers"


class Missing(Exception):
    pass


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def need(program, package):
    if not shutil.which(program):
        raise Missing(f"no {program}: it is in the package {package}")


def wait_port(program, port):
    def answers():
        program.check()
        with socket.socket() as one:
            one.settimeout(1)
            return one.connect_ex(("127.0.0.1", port)) == 0

    eventually(answers, f"{program.process.args[0]} listens")


def started(name, programs, port, others=(), **kwargs):
    wait_port(programs[0], port)
    return Server(name, port, [*programs, *others], **kwargs)


def fill_in(name, folder, port, **more):
    """A configuration of ours with its places filled in."""
    source = (SETUPS / name).read_text(encoding="utf-8")
    path = folder / pathlib.Path(name).name
    for place, value in {"DIR": folder, "PORT": port, **more}.items():
        source = source.replace(f"@{place}@", str(value))
    path.write_text(source, encoding="utf-8")
    return path


def python_websockets(programs):
    probe = subprocess.run([PYTHON, "-c", "import websockets; print(websockets.__version__)"], capture_output=True, text=True,
                           timeout=START_S)
    if probe.returncode:
        raise Missing("no module websockets: it is in the package python3-websockets")
    port = free_port()
    return started(f"Python websockets {probe.stdout.strip()}",
                   [programs.start("websockets", [PYTHON, "-B", SETUPS / "py_websockets.py", port])], port)


def node_ws(programs):
    need("node", "nodejs")
    modules = os.environ.get("WSBUS_PEER_NODE_PATH", str(BUILD / "peers" / "node_modules"))
    if not pathlib.Path(modules, "ws").is_dir():
        raise Missing(f"no module ws in {modules}: npm install --prefix {BUILD / 'peers'} ws")
    port = free_port()
    return started("node ws", [programs.start("ws", ["node", SETUPS / "ws_node.js", port], {"NODE_PATH": modules})], port)


def libwebsockets(programs):
    if not shutil.which("pkg-config") or subprocess.run(["pkg-config", "--exists", "libwebsockets"], timeout=START_S).returncode:
        raise Missing("no libwebsockets: it is in the package libwebsockets-dev")
    flags = subprocess.run(["pkg-config", "--cflags", "--libs", "libwebsockets"], capture_output=True, text=True, check=True,
                           timeout=START_S).stdout.split()
    program = programs.make_folder("lws") / "lws_echo"
    built = subprocess.run([os.environ.get("CC", "cc"), "-O2", "-o", program, SETUPS / "lws_echo.c", *flags], capture_output=True,
                           text=True, timeout=120)
    if built.returncode:
        raise Failed(f"lws_echo.c: {built.stderr}")
    port = free_port()
    return started("libwebsockets", [programs.start("lws", [program, port])], port)


def websocketd(programs):
    """A process for each connection: no fan-out, and memory is not one process's."""
    need("websocketd", "websocketd")
    port = free_port()
    program = programs.start("websocketd", ["websocketd", "--address=127.0.0.1", f"--port={port}", "--loglevel=error", "cat"])
    return only_echo(started("websocketd, cat", [program], port, tree=True, idle=[]))


def nchan(programs):
    """Only publish and subscribe; a connection that does both hears itself, which is the nearest thing to echo."""
    need("nginx", "nginx")
    module = pathlib.Path(os.environ.get("WSBUS_PEER_NCHAN", "/usr/lib/nginx/modules/ngx_nchan_module.so"))
    if not module.exists():
        raise Missing("no nchan: it is in the package libnginx-mod-nchan")
    folder, port = programs.make_folder("nchan"), free_port()
    (folder / "tmp").mkdir()
    configuration = fill_in("nchan.conf", folder, port, MODULE=module)
    program = programs.start("nchan", ["nginx", "-p", folder, "-c", configuration])
    return started("nginx, nchan", [program], port, echo="/echo/%d", tree=True)


def mongrel2(programs):
    need("mongrel2", "mongrel2-core")
    need("m2sh", "mongrel2-core")
    handler = BUILD / "bench" / "peer_mongrel2"
    folder, port = programs.make_folder("m2"), free_port()
    loaded = subprocess.run(["m2sh", "load", "-config", fill_in("mongrel2.conf", folder, port), "-db", folder / "config.sqlite"],
                            capture_output=True, text=True, cwd=folder, timeout=START_S)
    if loaded.returncode:
        raise Failed(f"m2sh: {loaded.stdout}{loaded.stderr}")
    server = programs.start("mongrel2", ["mongrel2", folder / "config.sqlite", "bench"])
    wait_port(server, port)
    behind = programs.start("mongrel2 handler", [handler, f"ipc://{folder}/send", f"ipc://{folder}/receive"])
    return started("mongrel2, C handler", [server], port, [behind])


def pushpin(programs):
    """As it is packaged, mongrel2 is its front; the backend is asked over ZeroMQ, with WebSocket events in requests."""
    need("pushpin", "pushpin")
    if subprocess.run([PYTHON, "-c", "import zmq"], capture_output=True, timeout=START_S).returncode:
        raise Missing("no module zmq: it is in the package python3-zmq")
    folder, port = programs.make_folder("pp"), free_port()
    for name in ("run", "log"):
        (folder / name).mkdir()
    (folder / "routes").write_text(f"* zhttpreq/ipc://{folder}/run/backend,over_http\n", encoding="utf-8")
    configuration = fill_in("pushpin.conf", folder, port, SIDE=free_port())
    server = programs.start("pushpin", ["pushpin", f"--config={configuration}"])
    wait_port(server, port)
    eventually((folder / "run" / "push-in").exists, "Pushpin's handler listens")
    behind = programs.start("pushpin backend", [PYTHON, "-B", SETUPS / "pushpin_backend.py", f"ipc://{folder}/run/backend",
                                                f"ipc://{folder}/run/push-in"])
    return started("Pushpin, Python backend", [server], port, [behind], tree=True, idle=[])


ALL = [mongrel2, pushpin, websocketd, nchan, libwebsockets, node_ws, python_websockets]


def start_all(programs):
    """Those that are installed. One that does not start is told of and left out, as it says nothing about wsbus."""
    found = []
    print()
    for start in ALL:
        before = list(programs.running)
        try:
            found.append(start(programs))
        except (Missing, Failed, OSError) as why:
            print(f"left out: {start.__name__}: {why}", flush=True)
            programs.stop([program for program in programs.running if program not in before])
    return found
