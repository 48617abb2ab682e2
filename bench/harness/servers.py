"""What can be measured: the limits, the gate with each kind of handler; peers.py has those of other people."""

import json

from harness.programs import BUILD, PYTHON, ROOT, START_S, Failed, eventually, run

# Room for the largest messages, and for as much of them as is in flight.
ROUTES = ["echo=/echo,max_message=32MiB,max_queue=256MiB", "sub=/sub,max_queue=64MiB", "pub=/pub",
          "seed=/seed,max_message=32MiB,max_queue=64MiB"]


class Server:
    """Something that echoes at `echo` and sends what comes at `pub` to all at `sub`; None: it does not."""

    def __init__(self, name, port, programs, echo="/", sub="/sub", pub="/pub", tree=False, idle=None):
        self.name, self.port, self.programs = name, port, programs
        self.echo, self.sub, self.pub = echo, sub, pub
        self.tree = tree  # it starts processes that count too
        self.is_tls = False
        self.folder = None  # a gate's runtime directory
        self.memory_of = programs[:1] if idle is None else idle  # whose memory an idle connection costs

    @property
    def pids(self):
        return [program.pid for program in self.programs]

    def url(self, path):
        return f"{'wss' if self.is_tls else 'ws'}://127.0.0.1:{self.port}{path}"


def start_limit(programs, mode, name="limit"):
    program = programs.start(f"limit {mode}", [BUILD / "bench" / "bench_limit", mode])
    return Server(name, int(program.wait_line(r"port=(\d+)").group(1)), [program])


def make_certificate(folder):
    """One that signs itself; nobody looks at it."""
    cert, key = folder / "tls.pem", folder / "tls.key"
    ended = run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=bench",
                 "-keyout", key, "-out", cert], START_S)
    if ended.returncode:
        raise Failed(f"openssl: {ended.stderr}")
    return f",certificates={cert},keys={key}"


def start_gate(programs, name, handlers, workers=1, env=None, tls=False, options=""):
    """`handlers`: commands; {dir} in them is the gate's runtime directory. `options`: more of each route, each with its comma."""
    folder = programs.make_folder(f"gate {name}")
    command = [BUILD / "wsgate" / "wsgate", "--listen", "127.0.0.1:0" + (make_certificate(folder) if tls else ""), "--runtime-dir", folder, "--workers", workers]
    for route in ROUTES:
        command += ["--route", route + options]
    gate = programs.start(f"gate {name}", command)
    gate.wait_line(r"msg=ready")
    port = int(gate.wait_line(r"address=\S*:(\d+)").group(1))
    started = [programs.start(f"handler {name}", [str(part).format(dir=folder) for part in handler], env)
               for handler in handlers]

    def registered():
        for program in started:
            program.check()
        answer = run([BUILD / "wsctl" / "wsctl", "--dir", folder, "handlers", "--json"], START_S)
        return answer.returncode == 0 and len(json.loads(answer.stdout)["handlers"]) == len(started)

    eventually(registered, f"the handlers of {name} are registered")
    server = Server(name, port, [gate, *started], echo="/echo")
    server.folder = folder
    server.is_tls = tls
    return server


def commands_done(server):
    """What its handlers have had the gate do so far."""
    answer = run([BUILD / "wsctl" / "wsctl", "--dir", server.folder, "stats", "--json"], START_S)
    if answer.returncode:
        raise Failed(f"wsctl stats: {answer.stderr}")
    return json.loads(answer.stdout)["bus"]["commands"]


ECHO_C = [BUILD / "examples" / "wsbus-echo", "--bus", "{dir}"]
FANOUT_C = [BUILD / "bench" / "bench_fanout_handler", "{dir}"]
ECHO_PYTHON = [PYTHON, ROOT / "examples" / "python" / "echo.py", "--bus", "{dir}"]
ECHO_RAW = [PYTHON, ROOT / "examples" / "python" / "echo_raw.py", "{dir}"]


def start_c(programs, link, workers=1):
    """Echo and fan-out in C. The library goes by WSBUS_LINK; a gate that offers no shared memory is spoken to by ZeroMQ."""
    names = {"shm": "wsgate, shared memory", "zmq": "wsgate, ZeroMQ"}
    return start_gate(programs, names[link], [ECHO_C, FANOUT_C], workers, {"WSBUS_LINK": link})


def start_python(programs):
    return only_echo(start_gate(programs, "wsgate, Python", [ECHO_PYTHON]))


def start_plain(programs):
    """One ZeroMQ message a frame, no batches, no acknowledgement: what a handler of 13 lines gets."""
    return only_echo(start_gate(programs, "wsgate, ZeroMQ plain", [ECHO_RAW]))


def only_echo(server):
    server.sub = server.pub = None
    return server
