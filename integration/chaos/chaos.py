"""Chaos: clients that send numbered messages, through one gate, to handlers that are killed, stopped, drained and restarted.

A round is some time of that and then quiet. In the quiet everything must have come out even:

  - every message that the gate read was processed, at least once, in order, for the connection it came on;
  - of the times that one was processed, at most one was not flagged as redelivered;
  - every reply came to the client whose message it answers, and every client that stayed got all of its replies;
  - nobody was closed but those that do not read, and every message dropped is in a counter with its reason;
  - the counters of the route add up to nothing, and the gate's memory stayed within its bound.

Run by test_chaos.py for a minute, and by `./dev soak` for an hour.  Usage: chaos.py --build DIR [--seconds N] [--clients N] [--seed N]
"""

import argparse
import collections
import contextlib
import json
import os
import pathlib
import random
import re
import selectors
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
PYTHON = "/usr/bin/python3"
RECORD = struct.Struct("<QQIIII")
WINDOW = 4              # messages of one client without a reply
MUTE_EVERY = 100        # every so many clients one never reads
PADDING = 30000         # bytes of a mute client's messages: their replies are to fill its queue
ROUND_SECONDS = 50
CONFIGURATION = """
runtime_dir = "%(dir)s"
workers = %(workers)d
listen "127.0.0.1:0" { }
bus { handlers = "tcp://127.0.0.1:*" }
route chaos {
    path = "/chaos"
    no_handler = wait
    handler_wait = 120s
    max_retained = 8MiB
    max_queue = 64KiB
    ack_timeout = 5s
    max_deliveries = 0
}
limits { connections = 20000 }
log { levels = {"ws=warn"} }
"""


class Failure(AssertionError):
    pass


def check(condition, *what):
    if not condition:
        raise Failure(" ".join(map(str, what)))


# ------------------------------------------------------------------------------------------------------------- clients


class Client:
    """One connection; `number` is its name in every message, never used twice."""

    def __init__(self, world, number, mute):
        self.world, self.number, self.mute = world, number, mute
        self.sent = 0
        self.replied = 0          # all up to this one
        self.buffer = bytearray()
        self.is_open = False
        self.socket = socket.create_connection(("127.0.0.1", world.port))
        if mute:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.sendall(b"GET /chaos HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
        self.socket.setblocking(False)
        world.selector.register(self.socket, selectors.EVENT_READ, self)

    def send_one(self):
        if not self.is_open or (not self.mute and self.sent - self.replied >= WINDOW):
            return
        payload = self.message(self.sent + 1)
        head = bytes((0x82, 0x80 | len(payload))) if len(payload) < 126 else struct.pack("!BBH", 0x82, 0xFE, len(payload))
        frame = head + bytes(4) + payload
        try:
            taken = self.socket.send(frame)
        except BlockingIOError:
            return                # paused by the gate: that is what back-pressure looks like from here
        except OSError:
            self.world.lost(self)
            return
        self.sent += 1
        if taken < len(frame):    # the rest must follow, whatever it takes
            self.socket.setblocking(True)
            self.socket.settimeout(60)
            try:
                self.socket.sendall(frame[taken:])
            except OSError:
                self.world.lost(self)
                return
            self.socket.setblocking(False)

    def message(self, number):
        return b"%d %d " % (self.number, number) + b"x" * (PADDING if self.mute else number % 50)

    def on_readable(self):
        if self.mute and self.is_open:
            self.world.selector.unregister(self.socket)
            return
        try:
            data = self.socket.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.world.lost(self)
            return
        self.buffer += data
        if not self.is_open:
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            check(self.buffer.startswith(b"HTTP/1.1 101"), "no 101:", bytes(self.buffer[:80]))
            del self.buffer[:end + 4]
            self.is_open = True
        while self.take_frame():
            pass

    def take_frame(self):
        b = self.buffer
        if len(b) < 2:
            return False
        size, at = b[1], 2
        if size == 126:
            if len(b) < 4:
                return False
            size, at = b[2] << 8 | b[3], 4
        check(size < 127 or b[1] == 126, "a frame that nobody sent")
        if len(b) < at + size:
            return False
        payload = bytes(b[at:at + size])
        opcode = b[0] & 15
        del b[:at + size]
        if opcode == 8:
            self.world.closed(self, struct.unpack("!H", payload[:2])[0] if payload else 1005, payload[2:])
            return False
        check(opcode == 2, "opcode", opcode)
        client, number = payload.split(None, 2)[:2]
        check(int(client) == self.number, "client", self.number, "got a reply to client", int(client))
        number = int(number)
        check(payload == self.message(number), "a reply that is not what was said:", payload)
        check(number <= self.sent, "a reply to what was not sent")
        check(number <= self.replied + 1, "client", self.number, "has a reply to", number, "but not to", self.replied + 1)
        self.replied = max(self.replied, number)  # again, if it was processed again
        return True

    def close(self, abort=False):
        with contextlib.suppress(KeyError, ValueError):
            self.world.selector.unregister(self.socket)
        if abort:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()
        self.is_open = False


# ------------------------------------------------------------------------------------------------------------ handlers


class Slot:
    """A handler's place: whichever process is in it now."""

    def __init__(self, name, command, records):
        self.name, self.command, self.records = name, command, records
        self.output = records.with_suffix(".out")
        self.processed = 0
        self.process = None
        self.start_at = 0         # when there is none
        self.stopped_until = None
        self.killed = False
        self.starts = 0

    def start(self):
        with open(self.output, "ab") as output:
            self.process = subprocess.Popen(self.command + [str(self.records)], stdin=subprocess.DEVNULL, stdout=output,
                                            stderr=subprocess.STDOUT)
        self.killed = False
        self.starts += 1

    def signal(self, number):
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)

    def look(self, now):
        """Restart what has ended, wake what has slept long enough."""
        if self.process is None:
            if now >= self.start_at:
                self.start()
            return
        if self.stopped_until is not None and now >= self.stopped_until:
            self.signal(signal.SIGCONT)
            self.stopped_until = None
        if self.process.poll() is not None:
            check(self.killed or self.process.returncode == 0, self.name, "ended by itself:", self.process.returncode,
                  self.output.read_text(errors="replace")[-2000:])
            self.process = None
            self.stopped_until = None
            self.start_at = now + random.uniform(0.05, 1.5)


# --------------------------------------------------------------------------------------------------------------- world


class World:
    def __init__(self, build, clients, seed, workers=2, most_mib=160):
        self.build, self.client_count, self.most_mib = pathlib.Path(build), clients, most_mib
        self.random = random.Random(seed)
        random.seed(seed)
        self.directory = tempfile.TemporaryDirectory(prefix="wsbus-chaos-")
        self.dir = pathlib.Path(self.directory.name)
        self.selector = selectors.EpollSelector()
        self.clients, self.numbers = [], 0
        self.left = []            # clients that are gone: what they had sent is still to be looked at
        self.known = {}           # client number → (connection, last number processed)
        self.owners = {}          # connection → client number
        self.processed = self.duplicates = self.unflagged = self.closed_slow = self.vanished = 0
        self.actions = collections.Counter()
        self.most_kib = 0
        config = self.dir / "wsgate.conf"
        config.write_text(CONFIGURATION % {"dir": self.dir / "bus", "workers": workers})
        self.log = open(self.dir / "gate.log", "wb")
        self.gate = subprocess.Popen([str(self.build / "wsgate" / "wsgate"), "--config", str(config)],
                                     stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT)
        try:
            self.find_gate()
        except BaseException:
            self.gate.kill()
            raise

    def find_gate(self):
        """Where it listens, once it does; and who serves it."""
        self.wait(lambda: "msg=ready" in self.gate_output(), "the gate is ready")
        self.port = int(re.search(r"address=\S*:(\d+)", self.gate_output()).group(1))
        status = self.wsctl("status")
        tcp = next(e["endpoint"] for e in status["bus"] if e["endpoint"].startswith("tcp://"))
        ipc = str(self.dir / "bus")
        commands = {
            "c-shm": ["env", "WSBUS_LINK=shm", str(self.build / "integration" / "chaos" / "chaos_handler"), ipc],
            "c-ipc": ["env", "WSBUS_LINK=zmq", str(self.build / "integration" / "chaos" / "chaos_handler"), ipc],
            "py-tcp": [PYTHON, str(HERE / "handler.py"), tcp],
            "js-ipc": ["node", str(HERE / "handler.mjs"), ipc],
            "c-tcp": [str(self.build / "integration" / "chaos" / "chaos_handler"), tcp],
        }
        self.slots = [Slot(name, command, self.dir / (name + ".records")) for name, command in commands.items()]

    def gate_output(self):
        check(self.gate.poll() is None, "the gate ended:", (self.dir / "gate.log").read_text(errors="replace")[-4000:])
        return (self.dir / "gate.log").read_text(errors="replace")

    def wsctl(self, *args):
        run = subprocess.run([str(self.build / "wsctl" / "wsctl"), "--dir", str(self.dir / "bus"), *args, "--json"],
                             capture_output=True, text=True, timeout=60)
        check(run.returncode == 0, "wsctl", args, run.stdout, run.stderr)
        return json.loads(run.stdout)

    def wait(self, condition, what, seconds=60):
        end = time.monotonic() + seconds
        while not condition():
            check(time.monotonic() < end, "not within", seconds, "s:", what() if callable(what) else what)
            self.turn(0.01)

    # -- clients

    def connect(self):
        self.numbers += 1
        self.clients.append(Client(self, self.numbers, self.numbers % MUTE_EVERY == 0))

    def lost(self, client):
        check(client.mute, "client", client.number, "was cut off after", client.sent, "messages,", client.replied, "replies")
        self.closed_slow += 1
        self.replace(client)

    def closed(self, client, code, reason):
        raise Failure("client %d was closed: %d %s" % (client.number, code, reason.decode(errors="replace")))

    def replace(self, client, abort=False):
        client.close(abort)
        self.clients.remove(client)
        self.left.append(client)
        self.connect()

    def turn(self, seconds):
        for key, _ in self.selector.select(seconds):
            key.data.on_readable()

    # -- a round

    def send_for(self, seconds):
        """Everybody sends now and then; some vanish; handlers have accidents."""
        end = time.monotonic() + seconds
        next_accident = next_look = time.monotonic()
        last = time.monotonic()
        debt = 0.0
        while time.monotonic() < end:
            now = time.monotonic()
            debt += (now - last) * self.client_count / 0.7
            last = now
            while debt >= 1:
                client = self.random.choice(self.clients)
                for _ in range(6 if client.mute else 1):
                    client.send_one()
                debt -= 1
            if self.random.random() < 0.02:
                self.vanish()
            if now >= next_accident:
                self.accident(now)
                next_accident = now + self.random.expovariate(1 / 0.7)
            if now >= next_look:
                self.look(now)
                next_look = now + 0.05
            self.turn(0.005)

    def vanish(self):
        client = self.random.choice(self.clients)
        if client.is_open and not client.mute:
            self.vanished += 1
            self.replace(client, abort=True)

    def accident(self, now):
        slot = self.random.choice(self.slots)
        if slot.process is None or slot.process.poll() is not None:
            return
        what = self.random.choices(("kill", "stop", "drain", "term"), (4, 3, 2, 1))[0]
        if what in ("stop", "drain") and slot.stopped_until is not None:
            return
        if what == "kill":
            slot.killed = True
            slot.signal(signal.SIGKILL)
        elif what == "stop":
            slot.signal(signal.SIGSTOP)
            slot.stopped_until = now + self.random.uniform(0.3, 6)
        elif what == "term":
            slot.killed = True  # it may not have got as far as to listen to it
            slot.signal(signal.SIGTERM)
        else:
            ids = [h["id"] for h in self.wsctl("handlers")["handlers"] if h["pid"] == slot.process.pid and h["state"] == "serving"]
            if not ids:
                return
            run = subprocess.run([str(self.build / "wsctl" / "wsctl"), "--dir", str(self.dir / "bus"), "handlers", "drain",
                                  str(ids[0])], capture_output=True, text=True, timeout=60)
            check(run.returncode in (0, 1), run.stderr)  # 1: it has just gone
        self.actions[what] += 1

    def look(self, now):
        for slot in self.slots:
            slot.look(now)
        for line in pathlib.Path("/proc/%d/status" % self.gate.pid).read_text().splitlines():
            if line.startswith("VmRSS:"):
                self.most_kib = max(self.most_kib, int(line.split()[1]))
        check(self.most_kib < self.most_mib << 10, "the gate has", self.most_kib, "KiB")

    def quiet(self):
        """No more accidents; everybody gets what is owed to him."""
        for client in [c for c in self.clients if c.mute]:
            client.close(abort=True)
            self.clients.remove(client)
            self.left.append(client)

        def is_even():
            self.look(time.monotonic())
            return all(client.replied == client.sent for client in self.clients)

        def are_idle():
            """Everybody runs, is known, and has said what it has done: nothing more will be written down."""
            self.look(time.monotonic())
            known = {h["pid"]: h["unacknowledged"] for h in self.wsctl("handlers")["handlers"] if h["state"] == "serving"}
            return all(slot.process is not None and slot.stopped_until is None and known.get(slot.process.pid) == 0
                       for slot in self.slots)

        self.wait(is_even, self.describe_owed, 90)
        self.wait(are_idle, lambda: "all handlers are idle: %s" % self.wsctl("handlers"), 60)
        self.wait(lambda: self.route()["retained_messages"] == 0, lambda: "nothing is retained: %s" % self.route(), 60)
        self.even()
        self.verify()
        self.route_at_end = self.route()
        while len(self.clients) < self.client_count:
            self.connect()

    def describe_owed(self):
        owed = [(c.number, c.sent, c.replied) for c in self.clients if c.replied != c.sent]
        return "%d clients have all replies; so many wait: %d, like (number, sent, replied) %s; handlers %s" % (
            len(self.clients) - len(owed), len(owed), owed[:5], self.wsctl("handlers"))

    def route(self):
        return self.wsctl("stats")["routes"]["chaos"]

    def even(self):
        """What came in is delivered, dropped or pending; and the same for what went out."""
        def is_even():
            r = self.route()
            return (r["messages_in"] == r["delivered"] + sum(r["in_dropped"].values()) + r["retained_messages"]
                    and r["messages_out"] == r["written"] + sum(r["out_dropped"].values()))

        self.wait(is_even, lambda: "the sums are even: %s" % self.route(), 30)
        dropped = self.route()["in_dropped"]
        check(sum(dropped.values()) == 0, "nothing may be dropped with this policy:", dropped)

    # -- what the handlers wrote down

    def records(self):
        for slot in self.slots:
            if not slot.records.exists():
                continue
            data = slot.records.read_bytes()
            os.truncate(slot.records, 0)  # they append: what comes next is the next round's
            check(len(data) % RECORD.size == 0, "half a record of", slot.name)
            slot.processed += len(data) // RECORD.size
            for conn, time_ns, client, number, flags, _ in RECORD.iter_unpack(data):
                yield time_ns, client, number, flags & 1, conn

    def verify(self):
        by_client = collections.defaultdict(list)
        for time_ns, client, number, flag, conn in self.records():
            by_client[client].append((time_ns, number, flag, conn))
        for client, entries in by_client.items():
            self.verify_client(client, sorted(entries))
        for client in self.clients + self.left:
            last = self.known.get(client.number, (0, 0))[1]
            check(last <= client.sent, "client", client.number, "sent", client.sent, "but", last, "was processed")
            if client in self.clients:
                check(last == client.sent, "client", client.number, "sent", client.sent, "but only", last, "was processed")
            else:
                check(last >= client.replied, "client", client.number, "has a reply to what was not processed")
        self.left = []
        came_in = self.route()["messages_in"]
        check(came_in == self.processed, "the gate read", came_in, "messages,", self.processed, "were processed")

    def verify_client(self, client, entries):
        conn, last = self.known.get(client, (entries[0][3], 0))
        check(self.owners.setdefault(conn, client) == client, "connection %x is of two clients" % conn)
        unflagged = collections.Counter()
        first = set()
        for _, number, flag, of in entries:
            check(of == conn, "client %d had connection %x, and now %x" % (client, conn, of))
            unflagged[number] += not flag
            self.unflagged += not flag
            if number in first or number <= last - len(first):
                self.duplicates += 1
                continue
            check(number == last + 1, "client", client, "message", number, "was processed after", last)
            first.add(number)
            last = number
            self.processed += 1
        check(max(unflagged.values()) <= 1, "client", client, "has messages that came twice and were not flagged")
        self.known[client] = (conn, last)

    def story(self, client):
        """Who processed what of a client since the last quiet, for whoever reads how a run failed."""
        lines = []
        for slot in self.slots:
            data = slot.records.read_bytes() if slot.records.exists() else b""
            for conn, time_ns, of, number, flags, _ in RECORD.iter_unpack(data[:len(data) // RECORD.size * RECORD.size]):
                if of == client:
                    lines.append((time_ns, "%d %s processed %d of connection %016x%s" % (time_ns, slot.name, number, conn, ", again" if flags & 1 else "")))
            text = slot.output.read_text(errors="replace") if slot.output.exists() else ""
            lines += [(int(line.split()[0]), slot.name + " " + line) for line in text.splitlines() if " client %d " % client in line]
        return "\n".join(text for _, text in sorted(lines))

    # -- end

    def stop(self):
        for client in self.clients:
            client.close()
        for slot in self.slots:
            if slot.process is not None and slot.process.poll() is None:
                slot.signal(signal.SIGCONT)
                slot.signal(signal.SIGTERM)
        for slot in self.slots:
            if slot.process is not None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    slot.process.wait(15)
                slot.process.kill()
                slot.process.wait()
        if self.gate.poll() is None:
            self.gate.terminate()
            self.gate.wait(30)
        self.log.close()
        for output in [self.dir / "gate.log", *(slot.output for slot in self.slots if slot.output.exists())]:
            text = output.read_text(errors="replace")
            for word in ("AddressSanitizer", "LeakSanitizer", "ThreadSanitizer", "runtime error:", "Assertion", "malformed"):
                check(word not in text, output.name, text[-8000:])
        self.directory.cleanup()

    def check_that_much_happened(self):
        """What held says little if nothing went on."""
        check(all(slot.processed > 0 and slot.starts > 1 for slot in self.slots), "somebody had nothing to do:", self.report())
        check(all(self.actions[what] for what in ("kill", "stop", "drain")), "not all accidents happened:", self.report())
        check(self.unflagged > self.processed // 2, "nearly everything is flagged:", self.unflagged, self.report())
        check(self.vanished and self.closed_slow, "all clients were good:", self.report())
        check(self.route_at_end["redelivered"] > 0, "nothing came again:", self.report())

    def report(self):
        return ("%d messages processed, %d of them again; by %s; %d accidents %s; %d vanished, %d cut off because they did not "
                "read; the gate had %d MiB at most") % (
            self.processed, self.duplicates, {slot.name: slot.processed for slot in self.slots}, sum(self.actions.values()), dict(self.actions), self.vanished, self.closed_slow,
            self.most_kib >> 10)


def run(build, seconds, clients=2000, seed=None, most_mib=160, say=lambda text: None):
    """Rounds for so many seconds in all; raises Failure."""
    seed = seed if seed is not None else random.SystemRandom().randrange(1 << 30)
    say("seed %d" % seed)
    world = World(build, clients, seed, most_mib=most_mib)
    end = time.monotonic() + seconds
    try:
        for _ in range(clients):
            world.connect()
            world.turn(0)
        while time.monotonic() < end:
            world.send_for(min(ROUND_SECONDS, max(1, end - time.monotonic())))
            world.quiet()
            say(world.report())
    except Failure as failure:
        client = re.search(r"client (\d+)", str(failure))
        raise Failure("seed %d: %s\n%s\n%s\n%s" % (seed, failure, world.report(), world.story(int(client.group(1))) if client else "",
                                               (world.dir / "gate.log").read_text(errors="replace")[-6000:])) from failure
    finally:
        world.stop()
    return world


if __name__ == "__main__":
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--build", required=True)
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--clients", type=int, default=2000)
    parser.add_argument("--seed", type=int)
    arguments = parser.parse_args()
    run(arguments.build, arguments.seconds, arguments.clients, arguments.seed, say=lambda text: print(text, flush=True))
