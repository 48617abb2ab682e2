"""One measurement is one run of wsbench; several are their medians."""

import json
import statistics

from harness.programs import BUILD, Failed, run

CONNECT_S = 30


def measure(server, mode, path, seconds, warm_up_s=0.3, memory=False, **options):
    """What wsbench says, as a dictionary. Options are those of wsbench: connections=64, in_flight=16, …"""
    pids = [program.pid for program in server.memory_of] if memory else server.pids
    command = [BUILD / "wsbench" / "wsbench", mode, server.url(path), "--json", "--duration", seconds, "--warm-up", warm_up_s,
               "--connect-timeout", CONNECT_S, "--pid", ",".join(map(str, pids))]
    if server.is_tls:
        command.append("--insecure")
    if server.tree:
        command.append("--pid-tree")
    for name, value in options.items():
        command.append("--" + name.replace("_", "-"))
        if value is not True:
            command.append(value)
    ended = run(command, 2 * CONNECT_S + 3 * seconds + 30)
    if ended.returncode == 2 or not ended.stdout:
        raise Failed(f"{server.name}: {ended.stderr.strip()}")
    return json.loads(ended.stdout)


def complaint(said):
    """What was wrong in a run, in words; None when nothing was."""
    if said["clean"]:
        return None
    counts = ("missing", "corrupt", "unexpected", "lost", "duplicate", "server_closed", "disconnected", "handshake_failed", "skipped")
    return said["fault"] or ", ".join(f"{name} {said[name]}" for name in counts if said[name]) or "not clean"


class Cell:
    """The results of one server under one load, round by round."""

    def __init__(self, server):
        self.server = server
        self.results = []
        self.wrong = None  # the first complaint

    def add(self, said):
        self.wrong = self.wrong or complaint(said)
        self.results.append(said)

    def median(self, figure):
        return statistics.median(said[figure] for said in self.results)


def rounds(count, servers, one):
    """Call one(server) for each server, count times over, and gather: what the machine does meanwhile hits all of them. A server that
    failed is not asked again."""
    cells = [Cell(server) for server in servers]
    for number in range(count):
        for cell in cells if number % 2 == 0 else reversed(cells):
            if not cell.wrong:
                cell.add(one(cell.server))
    return cells
