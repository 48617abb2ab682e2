"""permessage-deflate (RFC 7692): clients of several makes and hostile ones, through the gate to handlers and back."""

import asyncio
import contextlib
import json
import random
import zlib

import pytest
import websockets
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

from conftest import BUILD, DEADLINE, ROOT, eventually, run_async
from raw import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Raw, close_code, frame, upgrade_request

MIB = 1 << 20
BROWSER = ROOT / "integration/browser"
RSV1 = 4
TAIL = b"\x00\x00\xff\xff"
OFFER = "Sec-WebSocket-Extensions: permessage-deflate"
COMPRESS = ["echo=/echo,compress=yes,compress_threshold=0"]
TAKEOVER = ["echo=/echo,compress=yes,compress_threshold=0,compress_takeover=yes"]
ALONE = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"


def deflate(message, final=False):
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    data = packer.compress(message)
    if final:
        return data + packer.flush(zlib.Z_FINISH) + b"\x00"
    return (data + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]


def inflate(data):
    return zlib.decompressobj(-15).decompress(data + TAIL)


def upgrade(gate, offer=OFFER, path="/echo", **kwargs):
    return Raw(gate, **kwargs).upgrade(path, extra=[offer] if offer else [])


def read_packed(client):
    got = client.read_frame()
    assert got.fin and got.rsv == RSV1 and got.opcode in (TEXT, BINARY), got
    return inflate(got.payload)


def text_of(size, seed=1):
    """About so many bytes of words, not all of them ASCII."""
    words = ["alpha ", "beta ", "gamma ", "delta ", "epsilon ", "ζήτα ", "ητα ", "\N{SNOWMAN} "]
    text = "".join(random.Random(seed).choices(words, k=size // 2 + 1)).encode()
    return text[:size].decode(errors="ignore")


def stats_of(gate, route="echo"):
    return gate.wsctl("stats")["routes"][route]


# --- what is agreed


@pytest.mark.parametrize("routes, offer, answer", [
    (["echo=/echo"], "permessage-deflate", None),
    (COMPRESS, None, None),
    (COMPRESS, "x-unknown", None),
    (COMPRESS, "permessage-deflate", ALONE),
    (COMPRESS, "permessage-deflate; client_max_window_bits", ALONE),
    (COMPRESS, "permessage-deflate; server_max_window_bits=10", ALONE + "; server_max_window_bits=10"),
    (COMPRESS, "permessage-deflate; server_max_window_bits=8", None),
    (COMPRESS, "permessage-deflate; server_max_window_bits=8, permessage-deflate", ALONE),
    (COMPRESS, "permessage-deflate; unknown, permessage-deflate; client_no_context_takeover", ALONE),
    (TAKEOVER, "permessage-deflate", "permessage-deflate; server_max_window_bits=12"),
    (TAKEOVER, "permessage-deflate; client_max_window_bits",
     "permessage-deflate; server_max_window_bits=12; client_max_window_bits=12"),
    (TAKEOVER, "permessage-deflate; server_no_context_takeover; client_max_window_bits=8",
     "permessage-deflate; server_no_context_takeover; client_max_window_bits=8"),
    ([TAKEOVER[0] + ",slow_client=drop-old"], "permessage-deflate", "permessage-deflate; server_no_context_takeover"),
    (["echo=/echo,compress=yes,accept=handler"], "permessage-deflate", ALONE),
])
def test_what_is_agreed(make_gate, take_seat, routes, offer, answer):
    gate = make_gate(routes=routes)
    bus = take_seat(gate)
    with Raw(gate) as client:
        client.send(_request(offer))
        event = bus.hear("open")
        if event.pending:
            bus.accept(event.conn)
            bus.flush()
        client.expect_101()
        assert client.headers.get("sec-websocket-extensions") == answer
        assert event.meta["extensions"] == (answer or "")
        assert gate.wsctl("list")["connections"][0]["extensions"] == (answer or "")
        assert gate.wsctl("show", "%016x" % event.conn)["extensions"] == (answer or "")
        assert stats_of(gate)["compressed"] == (1 if answer else 0)


def _request(offer):
    return upgrade_request(extra=["Sec-WebSocket-Extensions: " + offer] if offer else [])


def test_a_malformed_offer_is_a_bad_request(make_gate, take_seat):
    gate = make_gate(routes=COMPRESS)
    take_seat(gate)
    for offer in ("permessage-deflate;", "permessage-deflate; a=\"", ",", "permessage-deflate x"):
        with Raw(gate) as client:
            client.send(_request(offer))
            assert client.read_response().status == 400


# --- messages


@pytest.mark.parametrize("language", ["c", "python"])
@pytest.mark.parametrize("routes", [COMPRESS, TAKEOVER], ids=["alone", "takeover"])
def test_echo_of_all_sizes(make_gate, echo, routes, language):
    gate = make_gate(routes=routes)
    echo(gate, language)

    async def talk():
        async with websockets.connect(gate.url(), max_size=None) as client:
            assert [extension.name for extension in client.extensions] == ["permessage-deflate"]
            for size in (0, 1, 2, 125, 126, 127, 1000, 4096, 65535, 65536, 1 << 20):
                for message in (text_of(size, size), random.Random(size).randbytes(size)):
                    await client.send(message)
                    assert await client.recv() == message
            for message in (bytes(16 * MIB), random.Random(7).randbytes(16 * MIB)):
                await client.send(message)
                assert await client.recv() == message

    run_async(talk())
    stats = stats_of(gate)
    assert stats["unpacked"] == stats["messages_in"] == 24
    assert stats["unpacked_bytes"] == stats["bytes_in"]
    assert stats["packed"] >= 8 and stats["packed_bytes"] < stats["packed_from_bytes"] / 5


@pytest.mark.parametrize("bits", range(9, 16))
@pytest.mark.parametrize("alone", [False, True])
def test_windows_and_contexts(make_gate, echo, bits, alone):
    gate = make_gate(routes=[TAKEOVER[0] + ",compress_window=15"])
    echo(gate)
    factory = ClientPerMessageDeflateFactory(
        server_no_context_takeover=alone, client_no_context_takeover=alone, server_max_window_bits=bits, client_max_window_bits=bits)

    async def talk():
        async with websockets.connect(gate.url(), extensions=[factory], compression=None) as client:
            for i in range(40):
                message = text_of(1 + i * 997, i % 3)
                await client.send(message)
                assert await client.recv() == message

    run_async(talk())


def test_fragments_of_a_compressed_message(make_gate, echo):
    gate = make_gate(routes=COMPRESS)
    echo(gate)
    rng = random.Random(3)
    client = upgrade(gate)
    for i in range(60):
        message = text_of(rng.randrange(1, 5000), i).encode()
        packed = deflate(message, final=i % 4 == 0)
        cuts = sorted(rng.randrange(len(packed) + 1) for _ in range(rng.randrange(6)))
        parts = [packed[a:b] for a, b in zip([0] + cuts, cuts + [len(packed)])]
        stream = b""
        for n, part in enumerate(parts):
            stream += frame(TEXT if n == 0 else CONTINUATION, part, fin=n == len(parts) - 1, rsv=RSV1 if n == 0 else 0)
            if n < len(parts) - 1 and rng.random() < 0.3:
                stream += frame(PING, b"p%d" % n)
        at = 0
        while at < len(stream):
            step = rng.randrange(1, 1 + len(stream))
            client.send(stream[at:at + step])
            at += step
        got = client.read_frame()
        while got.opcode == PONG:
            got = client.read_frame()
        assert (inflate(got.payload) if got.rsv else got.payload) == message


def test_uncompressed_messages_between(make_gate, echo):
    """RFC 7692 §6: each message is compressed or not as its sender likes."""
    gate = make_gate(routes=["echo=/echo,compress=yes,compress_threshold=100"])
    echo(gate)
    client = upgrade(gate)
    client.say("small")
    assert client.read_message() == "small"
    client.send(frame(TEXT, deflate(b"small"), rsv=RSV1))
    assert client.read_message() == "small"  # below the threshold
    client.say("x" * 1000)
    assert read_packed(client) == b"x" * 1000
    noise = random.Random(1).randbytes(1000)
    client.say(noise)
    assert client.read_message() == noise  # would not become smaller


# --- hostile clients


BROKEN = [
    ("garbage", frame(TEXT, b"\xff\xff\xff\xff", rsv=RSV1), 1002),
    ("nothing at all", frame(TEXT, b"", rsv=RSV1), 1002),
    ("truncated", frame(BINARY, deflate(b"hello, hello, hello")[:-4], rsv=RSV1), 1002),
    ("not UTF-8", frame(TEXT, deflate(b"a\xff"), rsv=RSV1), 1007),
    ("cut inside a character", frame(TEXT, deflate(b"\xe2\x82"), rsv=RSV1), 1007),
    ("RSV1 on a continuation", frame(TEXT, b"\xf2", fin=False, rsv=RSV1) + frame(CONTINUATION, b"\x48", rsv=RSV1), 1002),
    ("RSV1 on a ping", frame(PING, b"x", rsv=RSV1), 1002),
    ("RSV1 on a close", frame(CLOSE, b"\x03\xe8", rsv=RSV1), 1002),
    ("RSV2", frame(TEXT, deflate(b"a"), rsv=2), 1002),
    ("RSV1 and RSV3", frame(TEXT, deflate(b"a"), rsv=5), 1002),
    ("a bomb", frame(BINARY, deflate(bytes(64 * MIB)), rsv=RSV1), 1009),
    ("a byte too many", frame(BINARY, deflate(bytes(MIB + 1)), rsv=RSV1), 1009),
    ("too much before it is inflated", frame(BINARY, bytes(2 * MIB), rsv=RSV1), 1009),
]


@pytest.mark.parametrize("routes", [COMPRESS, TAKEOVER], ids=["alone", "takeover"])
@pytest.mark.parametrize("what, data, code", BROKEN, ids=[row[0] for row in BROKEN])
def test_a_client_that_breaks_the_rules_is_closed(make_gate, take_seat, what, data, code, routes):
    gate = make_gate(routes=[routes[0] + ",max_message=1MiB"])
    bus = take_seat(gate)
    before = gate.memory_kib()
    client = upgrade(gate)
    bus.hear("open")
    with contextlib.suppress(OSError):
        client.send(data)
    got = client.read_frame()
    assert got.opcode == CLOSE and close_code(got.payload)[0] == code, got
    event = bus.hear("closed")
    assert (event.meta["by"], event.meta["code"], event.meta["messages_in"]) == ("gate", code, 0)
    gate.assert_grew_less(before, 30)


def test_rsv1_that_was_not_agreed(gate, take_seat):
    bus = take_seat(gate)
    client = upgrade(gate)  # offers, to a route that does not compress
    bus.hear("open")
    client.send(frame(TEXT, deflate(b"a"), rsv=RSV1))
    got = client.read_frame()
    assert got.opcode == CLOSE and close_code(got.payload)[0] == 1002


def test_a_message_as_large_as_it_may_be(make_gate, take_seat):
    gate = make_gate(routes=[COMPRESS[0] + ",max_message=1MiB"])
    bus = take_seat(gate)
    client = upgrade(gate)
    bus.hear("open")
    noise = random.Random(5).randbytes(MIB)
    for message in (bytes(MIB), noise):  # what cannot be packed is longer than the limit on the wire
        client.send(frame(BINARY, deflate(message), rsv=RSV1))
        assert bus.hear("data").payload == message


def test_many_bombs_cost_no_memory(make_gate, take_seat):
    gate = make_gate(routes=["echo=/echo,compress=yes,max_message=64KiB"])
    bus = take_seat(gate)
    bomb = frame(BINARY, deflate(bytes(16 * MIB)), rsv=RSV1)
    before = gate.memory_kib()
    for _ in range(50):
        client = upgrade(gate)
        bus.hear("open")
        client.send(bomb)
        assert close_code(client.read_frame().payload)[0] == 1009
        bus.hear("closed")
        client.close()
    gate.assert_grew_less(before, 20)


# --- memory


def test_contexts_are_bounded(make_gate, take_seat):
    """Beyond compress_memory connections are compressed without takeover; what is closed gives its share back."""
    gate = make_gate(routes=TAKEOVER, args=["--max-compress-memory", "1MiB"])
    bus = take_seat(gate)
    before = gate.memory_kib()
    clients = []
    for _ in range(100):
        clients.append(upgrade(gate, OFFER + "; client_max_window_bits"))
        bus.hear("open")
    kept = [client for client in clients if "no_context_takeover" not in client.headers["sec-websocket-extensions"]]
    stats = gate.wsctl("stats")["gate"]
    assert 10 < len(kept) < 30
    assert stats["compress_refused"] == 100 - len(kept)
    assert MIB * 0.9 < stats["compress_memory"] <= MIB
    for client in clients:
        client.send(frame(TEXT, deflate(b"hello " * 20), rsv=RSV1))
        bus.send(bus.hear("data").conn, "hello " * 20)
        bus.flush()
        assert read_packed(client) == b"hello " * 20
    gate.assert_grew_less(before, 20)
    for client in clients:
        client.close()
    eventually(lambda: gate.wsctl("stats")["gate"]["compress_memory"] == 0, "the memory of contexts is given back")
    client = upgrade(gate)
    assert "no_context_takeover" not in client.headers["sec-websocket-extensions"]


# --- many, and slow


def test_published_messages_are_packed_once(make_gate, take_seat):
    gate = make_gate(routes=["echo=/echo,compress=yes,join=all"], args=["--workers", "2"])
    bus = take_seat(gate)
    packed = [upgrade(gate) for _ in range(10)]
    narrow = [upgrade(gate, OFFER + "; server_max_window_bits=9") for _ in range(3)]
    plain = [upgrade(gate, None) for _ in range(5)]
    for _ in range(18):
        bus.hear("open")
    for message in ("to all of you " * 100, "a longer one " * 3000):
        bus.publish(message, group="all")
        bus.flush()
        frames = {client.read_frame().payload for client in packed}
        assert len(frames) == 1 and inflate(frames.pop()) == message.encode()
        for client in narrow:
            unpacker = zlib.decompressobj(-9)
            assert unpacker.decompress(client.read_frame().payload + TAIL) == message.encode()
        for client in plain:
            assert client.read_message() == message
    assert stats_of(gate)["packed"] == 26


class Stream:
    """What a client with a context sees."""

    def __init__(self):
        self.unpacker = zlib.decompressobj(-15)

    def read(self, client):
        got = client.read_frame()
        assert got.opcode in (TEXT, BINARY), got
        return self.unpacker.decompress(got.payload + TAIL) if got.rsv else got.payload


@pytest.mark.parametrize("slow", ["drop-old", "drop-new", "conflate"])
def test_dropped_messages_do_not_spoil_the_context(make_gate, take_seat, slow):
    """Messages that may be dropped, those that may not and those for many, to a client that keeps its window and reads slowly."""
    gate = make_gate(routes=[TAKEOVER[0] + ",join=all,max_queue=128KiB"])
    bus = take_seat(gate)
    client = upgrade(gate, receive_buffer=4096)
    assert client.headers["sec-websocket-extensions"] == "permessage-deflate; server_max_window_bits=12"
    conn = bus.hear("open").conn
    rng = random.Random(11)
    noise = rng.randbytes(30000).hex()
    sent = {}
    for i in range(3000):
        at = rng.randrange(30000)
        message = "%06d %s" % (i, noise[at:at + rng.randrange(30000)])
        sent[i] = message
        kind = i % 3
        if kind == 0:
            bus.publish(message, group="all", slow=slow, key="k%d" % (i % 7) if slow == "conflate" else None)
        elif kind == 1:
            bus.send(conn, message, slow=slow, key="k%d" % (i % 7) if slow == "conflate" else None)
        else:
            bus.send(conn, message, slow="drop-new")
        if i % 50 == 0:
            bus.flush()
    last = "the end"
    bus.flush()
    eventually(lambda: sum(stats_of(gate)["out_dropped"].values()) > 100, "the client's queue to be full")
    stream, numbers = Stream(), []
    done = False
    while not done:
        if len(numbers) % 20 == 0:
            bus.send(conn, last, slow="drop-new")
            bus.flush()
        message = stream.read(client).decode()
        done = message == last
        if not done:
            assert message == sent[int(message[:6])]
            numbers.append(int(message[:6]))
    assert numbers == sorted(numbers)
    assert len(numbers) < 3000, "nothing was dropped"


def test_messages_for_many_between_those_that_keep_a_context(make_gate, take_seat):
    gate = make_gate(routes=[TAKEOVER[0] + ",join=all"], args=["--workers", "1"])
    bus = take_seat(gate)
    clients = [(upgrade(gate), bus.hear("open").conn, Stream()) for _ in range(3)]
    for i in range(20):
        message, for_all = text_of(1000, i % 2), text_of(700, i % 3 + 5)
        bus.send([conn for _, conn, _ in clients[:1]], message)
        for _, conn, _ in clients:
            bus.send(conn, message)
        bus.publish(for_all, group="all")
        bus.flush()
        for n, (client, _, stream) in enumerate(clients):
            for want in [message] * (2 if n == 0 else 1) + [for_all]:
                assert stream.read(client).decode() == want


def test_a_handler_can_say_that_a_message_is_not_to_be_packed(make_gate, take_seat):
    gate = make_gate(routes=["echo=/echo,compress=yes,join=all"])
    bus = take_seat(gate)
    client = upgrade(gate)
    conn = bus.hear("open").conn
    for plain in (False, True):
        bus.send(conn, "s" * 1000, plain=plain)
        bus.publish("p" * 1000, group="all", plain=plain)
        bus.flush()
        for letter in ("s", "p"):
            if plain:
                assert client.read_message() == letter * 1000
            else:
                assert read_packed(client) == letter.encode() * 1000


def test_a_tap_shows_the_message_itself(make_gate, take_seat):
    gate = make_gate(routes=[COMPRESS[0] + ",tap=yes"])
    bus = take_seat(gate)
    client = upgrade(gate)
    bus.hear("open")
    client.send(frame(TEXT, deflate(b"watched"), rsv=RSV1))
    assert bus.hear("data").payload == b"watched"


# --- other clients


@pytest.mark.parametrize("routes", [COMPRESS, TAKEOVER], ids=["alone", "takeover"])
def test_node_client(make_gate, echo, processes, routes):
    """The ws module of npm, which comes with playwright."""
    gate = make_gate(routes=routes)
    echo(gate)
    script = """
        const WebSocket = require(%s).ws;
        const ws = new WebSocket(%s, {perMessageDeflate: {threshold: 0}});
        const messages = [];
        for (let i = 0; i < 200; i++) messages.push(("message " + i + " ").repeat(1 + i * i %% 400));
        let n = 0;
        ws.on("open", () => { for (const m of messages) ws.send(m); });
        ws.on("message", data => {
            if (data.toString() !== messages[n]) { console.log("wrong at " + n); process.exit(1); }
            if (++n === messages.length) { console.log("all of them, " + ws.extensions); ws.close(); }
        });
        ws.on("error", e => { console.log("error " + e); process.exit(1); });
    """ % (json.dumps(str(BROWSER / "node_modules/playwright-core/lib/utilsBundle")), json.dumps(gate.url()))
    processes(["node", "-e", script]).wait_line(r"all of them, permessage-deflate")
    assert stats_of(gate)["unpacked"] == 200


@pytest.mark.parametrize("routes", [COMPRESS, TAKEOVER], ids=["alone", "takeover"])
def test_browser(make_gate, echo, processes, routes):
    gate = make_gate(routes=routes)
    echo(gate)
    processes(["node", BROWSER / "deflate.js", gate.url()]).wait_line(r"18 right, permessage-deflate")
    assert stats_of(gate)["unpacked"] > 10


@pytest.mark.parametrize("routes", [COMPRESS, TAKEOVER], ids=["alone", "takeover"])
@pytest.mark.parametrize("args", [("-s", "3000"), ("-s", "3000", "--fragment", "100"), ("-s", "10"), ("-b", "-s", "2000")], ids=" ".join)
def test_wsbench(make_gate, echo, processes, routes, args):
    gate = make_gate(routes=routes)
    echo(gate)
    client = processes([BUILD / "wsbench/wsbench", "echo", gate.url(), "--deflate", "-c", "8", "-f", "4", "-n", "2000", "-w", "0", *args])
    client.process.wait(DEADLINE)
    assert client.process.returncode == 0, client.output
    assert stats_of(gate)["compressed"] == 8


def test_wsbench_wants_compression_when_it_asks_for_it(gate, echo, processes):
    echo(gate)
    client = processes([BUILD / "wsbench/wsbench", "echo", gate.url(), "--deflate", "-c", "1", "-n", "1"])
    client.process.wait(DEADLINE)
    assert client.process.returncode != 0
    client.wait_line("the server does not compress")
