"""The grid of sizes that WebSockets.jl was measured with in 2018, run again: i³ · 1020 bytes for i from 1 to 12, 200 samples each,
from and to a handler, with another process and with a browser. And what was planned there: round trips by size, by load."""

import os
import pathlib
import shutil

from harness import plot, servers
from harness.load import complaint, measure
from harness.programs import BUILD, Failed, ROOT, eventually, run
from harness.suite import OUTPUT

SIZES = [i ** 3 * 1020 for i in range(1, 13)]
# Figures published in 2018 for the WebSockets.jl package: best time per byte down (server to client) and up, and latency of each way
# for a message of about 1 kB.
PUBLISHED = [
    ("Julia process", 1.613, 4.550, 61.2, 56.6),
    ("Internet Explorer", 2.843, 3.022, 142.5, 20.0),
    ("Chrome", 5.245, 4.489, 192.7, 32.5),
    ("Firefox", 6.145, 4.875, 435.5, 35.4),
    ("PhantomJS", 7.994, 1.620, 266.5, 2.9),
]


class Grid:
    """One way's time for each size, in ns: what the round trip of a message took that was large in one direction only, less
    half a round trip that was small in both."""

    def __init__(self, name, lines):
        said = [dict(word.split("=", 1) for word in line.split()) for line in lines]
        self.name = name
        self.round_ns = next(float(one["ns"]) for one in said if one["way"] == "round")
        self.ways = {way: {int(one["size"]): float(one["ns"]) - self.round_ns / 2 for one in said if one["way"] == way}
                     for way in ("down", "up")}

    def best_per_byte(self, way):
        return min(ns / size for size, ns in self.ways[way].items())

    def latency_us(self, way):
        return self.ways[way][SIZES[0]] / 1e3


def run_process(server):
    ended = run([BUILD / "bench" / "bench_seed_client", server.port, *SIZES], 120)
    if ended.returncode:
        raise Failed(ended.stderr.strip())
    return Grid("C process", ended.stdout.splitlines())


def run_browser(server):
    """None where there is no browser to be driven."""
    modules = pathlib.Path(os.environ.get("WSBUS_BROWSER_MODULES", ROOT / "integration" / "browser"))
    chromium = os.environ.get("CHROMIUM", "/usr/bin/chromium")
    if not shutil.which("node") or not (modules / "node_modules").is_dir() or not os.access(chromium, os.X_OK):
        print(f"left out: the browser: it wants node, {chromium}, and npm ci in {modules}")
        return None
    ended = run(["node", ROOT / "bench" / "seed_browser.mjs", server.port, *SIZES], 180)
    if ended.returncode:
        raise Failed(ended.stderr.strip())
    return Grid(f"Chromium {ended.stderr.split()[-1].split('.')[0]}", ended.stdout.splitlines())


def mb(ns_per_byte):
    return 1e3 / ns_per_byte


def show_sizes(grid, rows):
    print(f"\n{grid.name}, through the gate; a small round trip takes {grid.round_ns / 1e3:.0f} µs")
    print(f"{'bytes':>10}{'down µs':>11}{'ns/B':>9}{'MB/s':>8}{'up µs':>11}{'ns/B':>9}{'MB/s':>8}")
    for size in SIZES:
        line = f"{size:>10}"
        for way in ("down", "up"):
            ns = grid.ways[way][size]
            line += f"{ns / 1e3:>11.1f}{ns / size:>9.3f}{mb(ns / size):>8.0f}"
            rows.append((f"seed grid, {way}", grid.name, f"ns_{size}", f"{ns:.0f}"))
        print(line, flush=True)


def show_beside_published(grids):
    print("\nbest time per byte, and latency of 1,020 B one way, beside the figures published in 2018 for the WebSockets.jl package")
    print("(another machine, and no gate in between: the distance says as much of eight years as of programs)")
    print(f"{'':26}{'down ns/B':>11}{'MB/s':>7}{'up ns/B':>11}{'MB/s':>7}{'down µs':>11}{'up µs':>8}")
    ours = [(grid.name, grid.best_per_byte("down"), grid.best_per_byte("up"), grid.latency_us("down"), grid.latency_us("up"))
            for grid in grids]
    for title, group in (("wsbus, handler and", ours), ("WebSockets.jl and", PUBLISHED)):
        print(title)
        for name, down, up, latency_down, latency_up in group:
            print(f"  {name:24}{down:>11.3f}{mb(down):>7.0f}{up:>11.3f}{mb(up):>7.0f}{latency_down:>11.1f}{latency_up:>8.1f}")


def draw(grids):
    series = [plot.Series(f"{grid.name}, {way}", [(size, ns / size) for size, ns in grid.ways[way].items()], way == "up", number)
              for number, grid in enumerate(grids) for way in ("down", "up")]
    drawn = plot.svg("Time per byte, one way", "bytes of a message", "ns for each byte", series, plot.text_of_bytes)
    if drawn:
        (OUTPUT / "seed-grid.svg").write_text(drawn, encoding="utf-8")
        print(f"\n  {OUTPUT / 'seed-grid.svg'}")


# --- round trips under load -------------------------------------------------------------------------------------------


def probe(server, size):
    """Round trips of one client, one message at a time."""
    said = measure(server, "echo", server.echo, 20, 0, connections=1, in_flight=1, count=200, size=size, binary=True)
    if complaint(said):
        raise Failed(complaint(said))
    return said


def load_command(server, share, most_per_s):
    """A share of what the gate can do, or all of it: then each of many clients waits for room."""
    command = [BUILD / "wsbench" / "wsbench", "echo" if share == 100 else "rate", server.url(server.echo), "-q", "-c", "64",
               "-d", "600", "-w", "0"]
    return command + (["-f", "16"] if share == 100 else ["-r", str(most_per_s * share / 100)])


def start_load(programs, server, share, most_per_s):
    """Under way when this returns."""
    before = servers.commands_done(server)
    program = programs.start(f"load {share}", load_command(server, share, most_per_s))
    eventually(lambda: servers.commands_done(server) > before + 1000, "the gate is loaded")
    return program


def rtt_by_load(programs, server, rows):
    most_per_s = measure(server, "echo", server.echo, 1.5, connections=64, in_flight=16, size=125)["per_s"]
    print(f"\nround trips by size, while 64 others load gate and handler; 100 % are {most_per_s:.0f} messages of 125 B a second")
    print(f"{'bytes':>10}" + "".join(f"{f'{share} % p50 µs':>15}{'p99 µs':>10}" for share in (0, 50, 100)))
    sizes = [SIZES[i - 1] for i in (1, 2, 4, 6, 9, 12)]
    table = {}
    for share in (0, 50, 100):
        others = start_load(programs, server, share, most_per_s) if share else None
        for size in sizes:
            table[size, share] = probe(server, size)
        if others:
            others.check()
            programs.stop([others])
    for size in sizes:
        print(f"{size:>10}" + "".join(f"{table[size, share]['p50_us']:>15.0f}{table[size, share]['p99_us']:>10.0f}"
                                      for share in (0, 50, 100)))
        for share in (0, 50, 100):
            for figure in ("p50_us", "p99_us"):
                rows.append(("round trip by load", f"{share} %", f"{figure}_{size}", f"{table[size, share][figure]:.1f}"))


def run_all(programs, report):
    link = os.environ.get("WSBUS_LINK", "auto")
    print(f"C handlers, WSBUS_LINK={link}; 200 samples a size, the mean of the middle half")
    seed = servers.start_gate(programs, "seed", [[BUILD / "bench" / "bench_seed_handler", "{dir}"]])
    grids = [grid for grid in (run_process(seed), run_browser(seed)) if grid]
    for grid in grids:
        show_sizes(grid, report.rows)
    show_beside_published(grids)
    draw(grids)
    rtt_by_load(programs, servers.start_gate(programs, "echo", [servers.ECHO_C]), report.rows)
