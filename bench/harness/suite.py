"""The rows of ./dev bench. All servers of a row take turns, round by round, with the limit among them."""

import os
import resource

from harness import plot, peers, servers
from harness.load import measure, rounds
from harness.programs import BUILD, Failed, eventually, run

OUTPUT = BUILD / "bench"
MOST_CONNECTIONS = 50000


class Effort:
    """How long, and how often. The quick one is for a look, not for a figure that is quoted."""

    def __init__(self, quick):
        self.quick = quick
        self.rounds = 2 if quick else 5
        self.seconds = 0.5 if quick else 1.5
        self.warm_up_s = 0.2 if quick else 0.3
        self.idle = 2000 if quick else 10000
        self.idle_before = 500 if quick else 2000
        self.sizes = [16, 1 << 10, 64 << 10, 1 << 20] if quick else [16 << (2 * i) for i in range(11)]
        self.sweep_rounds = 1 if quick else 3
        self.connections = [100, 1000] if quick else [100, 300, 1000, 3000, 10000]


def in_flight_of(size):
    """Enough that nobody waits, and not so much that it is the memory that is measured."""
    return max(1, min(16, (256 << 10) // size))


def most_connections():
    """What one process may have open, less what it needs for itself."""
    return min(resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 256, MOST_CONNECTIONS)


def sources_of(connections):
    """One source address has some 28,000 ports."""
    return -(-connections // 25000)


class Report:
    """The table on the terminal, and all figures for bench.csv."""

    FIGURES = ["per_s", "mb_per_s", "p50_us", "p90_us", "p99_us", "p999_us", "server_us", "client_us", "server_switches",
               "rss_per_connection_kib", "pss_per_connection_kib", "connects_per_s", "handshake_p50_us", "handshake_p99_us",
               "other_percent"]
    COLUMNS = ("per_s", "p50_us", "p99_us")  # what the table shows besides the figure of the row

    def __init__(self):
        self.rows = []

    def add(self, row, cell, **more):
        for figure in self.FIGURES:
            self.rows.append((row, cell.server.name, figure, f"{cell.median(figure):.4f}"))
        for figure, value in more.items():
            self.rows.append((row, cell.server.name, figure, f"{value:.4f}"))

    def head(self, row, unit):
        print(f"\n{row:36}{'per s':>10}{'p50 µs':>9}{'p99 µs':>9}{unit:>12}{'÷ limit':>9}{'spread':>8}", flush=True)

    def line(self, cell, value, limit, spread, columns):
        rate, middle, late = (cell.median(column) for column in columns)
        print(f"  {cell.server.name:34}{rate:>10.0f}{middle:>9.0f}{late:>9.0f}"
              f"{value:>12.3f}{value / limit if limit > 0 else float('nan'):>9.2f}{spread:>7.0f}%", flush=True)

    def show(self, row, cells, unit="CPU µs", figure="server_us", columns=COLUMNS):
        """The first cell is the limit."""
        limit = cells[0].median(figure) if cells[0].results else 0
        self.head(row, unit)
        for cell in cells:
            if cell.wrong:
                print(f"  {cell.server.name:34} NOT MEASURED: {cell.wrong}", flush=True)
                continue
            values = [said[figure] for said in cell.results]
            value = cell.median(figure)
            spread = (max(values) - min(values)) / value * 100 if value else 0
            self.line(cell, value, limit, spread, columns)
            self.add(row, cell, **{f"{figure}_to_limit": value / limit if limit > 0 else 0})


# --- the rows ---------------------------------------------------------------------------------------------------------


def echo_rows(report, effort, limits, gates, others):
    for connections, in_flight, size in ((64, 16, 125), (16, 1, 125), (16, 4, 16384)):
        limit = limits["in-place" if size >= 16384 else "copy"]
        takers = [limit, *gates, *(other for other in others if other.echo)]
        cells = rounds(effort.rounds, takers, lambda server: measure(
            server, "echo", server.echo, effort.seconds, effort.warm_up_s, connections=connections, in_flight=in_flight, size=size))
        report.show(f"echo {connections} × {in_flight} × {size} B", cells)


def tls_rows(report, effort, programs):
    """The same gate with TLS and without, which stands for the limit here: what TLS costs in all."""
    plain, tls = (servers.start_gate(programs, name, [servers.ECHO_C], tls=is_tls)
                  for name, is_tls in (("wsgate, ws", False), ("wsgate, wss", True)))
    for connections, in_flight, size in ((64, 16, 125), (16, 1, 125), (16, 4, 16384)):
        cells = rounds(effort.rounds, [plain, tls], lambda server: measure(
            server, "echo", server.echo, effort.seconds, effort.warm_up_s, connections=connections, in_flight=in_flight, size=size))
        report.show(f"TLS: echo {connections} × {in_flight} × {size} B", cells)
    idle = rounds(1, [plain, tls], lambda server: measure(
        server, "idle", server.echo, 0.3, memory=True, connections=effort.idle // 5, settle=0.3))
    report.show(f"TLS: idle, {effort.idle // 5} connections, handshakes", idle, "RSS KiB", "rss_per_connection_kib",
                ("connects_per_s", "handshake_p50_us", "handshake_p99_us"))
    programs.stop([*plain.programs, *tls.programs])


def fanout_row(report, effort, limits, gates, others):
    takers = [limits["copy"], *(server for server in [*gates, *others] if server.sub)]
    cells = rounds(effort.rounds, takers, lambda server: measure(
        server, "fanout", server.sub, effort.seconds, effort.warm_up_s, publish_path=server.pub, connections=500, in_flight=4))
    report.show("fan-out 1 → 500, a delivery", cells)


def deflate_rows(report, effort, programs):
    """What compression costs: everything is compressed both ways. The first line is the same gate without."""
    kinds = (("wsgate, not compressed", "", {}), ("wsgate, deflate", ",compress=yes,compress_threshold=0", {"deflate": True}),
             ("wsgate, deflate and context", ",compress=yes,compress_threshold=0,compress_takeover=yes", {"deflate": True}))
    gates = [servers.start_gate(programs, name, [servers.ECHO_C], options=options) for name, options, _ in kinds]
    load = {name: options for name, _, options in kinds}
    for size in (128, 1024, 16384):
        cells = rounds(effort.rounds, gates, lambda server: measure(
            server, "echo", server.echo, effort.seconds, effort.warm_up_s, connections=16, in_flight=4, size=size, **load[server.name]))
        report.show(f"compressed echo 16 × 4 × {size} B", cells)
    for gate in gates:
        programs.stop(gate.programs)


def open_files(program):
    return len(os.listdir(f"/proc/{program.pid}/fd"))


def hold(programs, server, path, connections):
    """Connections that are there before those that are measured."""
    holder = programs.start("holder", [BUILD / "wsbench" / "wsbench", "idle", server.url(path), "--connections", connections, "--duration", 600,
                                       "--quiet"])
    eventually(lambda: holder.check() or open_files(holder) >= connections, f"{connections} connections are open")
    return holder


def idle_row(report, effort, programs, others):
    """What a further connection costs, at servers that were started for it: a process keeps what it has been given once, and the first
    connections have its code and its tables brought in, which is no connection's."""
    starts = {"limit": lambda: servers.start_limit(programs, "copy"),
              "wsgate": lambda: servers.start_gate(programs, "wsgate", [servers.ECHO_C])}
    peers_too = [other for other in others if other.memory_of]
    more = effort.idle - effort.idle_before

    def one(server):
        fresh = starts[server.name]() if server.name in starts else server
        fresh.name = server.name
        path = fresh.echo or fresh.sub
        holder = hold(programs, fresh, path, effort.idle_before)
        measure(fresh, "idle", path, 0.1, connections=8)  # the last of them have shaken hands when these have
        said = measure(fresh, "idle", path, 0.3, memory=True, connections=more, settle=0.3)
        programs.stop([holder])
        if server.name in starts:
            programs.stop(fresh.programs)
        return said

    names = [servers.Server(name, 0, []) for name in starts]
    cells = rounds(min(effort.rounds, 3), names, one)
    cells += rounds(1, peers_too, one)
    report.show(f"idle, {more} beside {effort.idle_before}, handshakes", cells, "RSS KiB", "rss_per_connection_kib",
                ("connects_per_s", "handshake_p50_us", "handshake_p99_us"))


# --- the plots --------------------------------------------------------------------------------------------------------


def write_plot(name, *args, **kwargs):
    drawn = plot.svg(*args, **kwargs)
    if drawn:
        (OUTPUT / f"{name}.svg").write_text(drawn, encoding="utf-8")
        print(f"  {OUTPUT / name}.svg")


def plots_of(name, title, label, by_server, x_text):
    """by_server: name → [(x, cell)]. Three plots of one sweep."""
    def series(figure, dashed=False, suffix=""):
        return [plot.Series(server + suffix, [(x, cell.median(figure)) for x, cell in points if not cell.wrong], dashed, number)
                for number, (server, points) in enumerate(by_server.items())]

    write_plot(f"throughput-by-{name}", f"Throughput, {title}", label, "messages a second", series("per_s"), x_text)
    write_plot(f"cpu-by-{name}", f"CPU time of the server, {title}", label, "µs for each message", series("server_us"), x_text)
    latency = [one for pair in zip(series("p50_us", suffix=", p50"), series("p99_us", True, ", p99")) for one in pair]
    write_plot(f"latency-by-{name}", f"Latency, {title}", label, "µs", latency, x_text)


def sweep(report, effort, name, title, label, takers, values, load, x_text=plot.text_of_number):
    """load(value): the options of wsbench; takers(value): the servers, the limit first."""
    by_server = {}
    for value in values:
        cells = rounds(effort.sweep_rounds, takers(value), lambda server: measure(
            server, "echo", server.echo, effort.seconds, effort.warm_up_s, **load(value)))
        report.show(f"{name}: {x_text(value)}", cells)
        for cell in cells:
            by_server.setdefault(cell.server.name, []).append((value, cell))
    print()
    plots_of(name, title, label, by_server, x_text)


def size_sweep(report, effort, limits, gates):
    sweep(report, effort, "size", "echo, 4 connections", "bytes of a message",
          lambda size: [limits["in-place" if size >= 16384 else "copy"], *gates], effort.sizes,
          lambda size: {"connections": 4, "in_flight": in_flight_of(size), "size": size, "binary": True, "drain": 10}, plot.text_of_bytes)


def connection_sweep(report, effort, limits, gates):
    most = most_connections()
    counts = [count for count in effort.connections if count < most] + ([] if effort.quick else [most])
    print(f"\nconnections: up to {counts[-1]}; a process here may open {resource.getrlimit(resource.RLIMIT_NOFILE)[1]} files")
    sweep(report, effort, "connections", "echo of 125 B, one in flight on each connection", "connections",
          lambda count: [limits["copy"], *gates], counts,
          lambda count: {"connections": count, "in_flight": 1, "size": 125, "sources": sources_of(count)})


def worker_sweep(report, effort, programs, limits):
    """How far more workers help depends on how many cores there are for them; the client has one of those."""
    counts = range(1, max(2, len(os.sched_getaffinity(0))) + 1)
    started = []
    for count in counts:
        server = servers.start_c(programs, "shm", count)
        server.name = f"wsgate, {count} worker{'s' if count > 1 else ''}"
        started.append(server)
    cells = rounds(effort.sweep_rounds, [limits["copy"], *started], lambda server: measure(
        server, "echo", server.echo, effort.seconds, effort.warm_up_s, connections=64, in_flight=16, size=125))
    report.show("workers: echo 64 × 16 × 125 B", cells)
    write_plot("throughput-by-workers", "Throughput, echo 64 × 16 × 125 B", "workers", "messages a second", [
        plot.Series("wsgate", [(count, cell.median("per_s")) for count, cell in zip(counts, cells[1:]) if not cell.wrong])])
    for server in started:
        programs.stop(server.programs)


class ScalingEffort(Effort):
    """Each cell once more often, over all that this machine can hold."""

    def __init__(self):
        super().__init__(quick=False)
        self.seconds = 1
        self.sizes = [16 << (2 * i) for i in range(11)]
        self.connections = [100, 1000, 10000]


def scaling(programs, report):
    """One worker and two, by connections and by size. The client takes part of the machine too: where there are two cores, a second
    worker has nothing of its own to run on, and the figure says what it costs rather than what it brings."""
    effort = ScalingEffort()
    limits = {mode: servers.start_limit(programs, mode) for mode in ("copy", "in-place")}
    gates = [servers.start_c(programs, "shm", count) for count in (1, 2)]
    for gate, name in zip(gates, ("wsgate, 1 worker", "wsgate, 2 workers")):
        gate.name = name
    connection_sweep(report, effort, limits, gates)
    size_sweep(report, effort, limits, gates)


def micro(report):
    """The pure cores: one line each."""
    print(f"\n{'operation':22}{'bytes':>9}{'CPU ns':>12}")
    for program in ("bench_micro", "bench_tls", "bench_deflate"):
        ended = run([BUILD / "bench" / program], 120)
        if ended.returncode:
            raise Failed(ended.stderr.strip())
        for line in ended.stdout.splitlines():
            said = dict(word.split("=", 1) for word in line.split())
            ratio = f"{said['ratio']:>8}" if "ratio" in said else ""
            print(f"{said['name']:22}{said['bytes']:>9}{float(said['ns']):>12.1f}{ratio}", flush=True)
            report.rows.append(("micro", f"{said['name']} {said['bytes']}", "ns", said["ns"]))


def run_all(programs, report, quick):
    effort = Effort(quick)
    limits = {mode: servers.start_limit(programs, mode) for mode in ("copy", "in-place")}
    shared, zmq = servers.start_c(programs, "shm"), servers.start_c(programs, "zmq")
    gates = [shared, zmq, servers.start_plain(programs), servers.start_python(programs)]
    others = peers.start_all(programs)
    micro(report)
    echo_rows(report, effort, limits, gates, others)
    tls_rows(report, effort, programs)
    deflate_rows(report, effort, programs)
    fanout_row(report, effort, limits, gates, others)
    idle_row(report, effort, programs, others)
    size_sweep(report, effort, limits, [shared, zmq])
    connection_sweep(report, effort, limits, [shared, zmq])
    worker_sweep(report, effort, programs, limits)
