"""Other implementations at the other end: their clients and the gate, their servers and the library's client; ws and wss, compressed or not,
messages from nothing to 16 MiB, cut into fragments at random (with a seed)."""

import hashlib
import json
import random
import ssl

import pytest
import websockets

from conftest import BUILD, DEADLINE, ROOT, run_async
from test_connect import connect, websockets_server

BUNDLE = ROOT / "integration/browser/node_modules/playwright-core/lib/utilsBundle"  # the ws module of npm, which comes with playwright
SIZES = [0, 1, 125, 126, 127, 4096, 65535, 65536, 1 << 20, 16 << 20]
WIRES = pytest.mark.parametrize("wire", ["ws", "wss"], indirect=True)
COMPRESSED = pytest.mark.parametrize("compressed", [False, True], ids=["plain", "deflate"])

# A generator that both sides have: every message is known by its size and number alone.
PRELUDE = """
    const {ws: WebSocket, wsServer: Server} = require(%(bundle)s);
    let state = 7;
    const chance = most => (state = (state * 1103515245 + 12345) %% 2147483648) %% most;
    const fill = (size, number) => { const b = Buffer.alloc(size); for (let i = 0; i < size; i++) b[i] = (i * 31 + number * 7 + (i >> 9)) & 0x7f; return b; };
    const say = (ws, data, binary) => {
        let at = 0;
        while (chance(3) && at < data.length) {
            const end = at + chance(data.length - at);
            ws.send(data.subarray(at, end), {fin: false, binary});
            at = end;
        }
        ws.send(data.subarray(at), {fin: true, binary});
    };
    const sizes = %(sizes)s;
"""

CLIENT = PRELUDE + """
    const ws = new WebSocket(%(url)s, {perMessageDeflate: %(deflate)s && {threshold: 0}, ca: %(ca)s && require("fs").readFileSync(%(ca)s), maxPayload: 1 << 25});
    const sent = sizes.flatMap((size, i) => [[fill(size, i), true], [fill(size, i), false]]);
    let n = 0;
    ws.on("open", () => say(ws, ...sent[0]));
    ws.on("message", (data, binary) => {
        if (binary !== sent[n][1] || !data.equals(sent[n][0])) { console.log("wrong at " + n); process.exit(1); }
        if (++n < sent.length) say(ws, ...sent[n]);
        else ws.close(1000, "enough"); // a reason is not said back
    });
    ws.on("close", (code, reason) => { console.log("end " + n + " " + code + " " + reason + " [" + ws.extensions + "]"); });
    ws.on("error", e => { console.log("error " + e); process.exit(1); });
"""

SERVER = PRELUDE + """
    const fs = require("fs");
    const server = %(cert)s ? require("https").createServer({cert: fs.readFileSync(%(cert)s), key: fs.readFileSync(%(key)s)}) : require("http").createServer();
    const wss = new Server({server, perMessageDeflate: %(deflate)s && {threshold: 0}, maxPayload: 1 << 25});
    wss.on("connection", ws => {
        sizes.forEach((size, i) => say(ws, fill(size, i), true));
        let heard = 0;
        ws.on("message", (data, binary) => { ws.send(data, {binary}); if (++heard === 3) ws.close(4321, "enough"); });
        ws.on("close", (code, reason) => console.log("end " + heard + " " + code + " [" + ws.extensions + "]"));
    });
    server.listen(0, "127.0.0.1", () => console.log("port=" + server.address().port));
"""


def node(template, **values):
    names = dict.fromkeys(("url", "ca", "cert", "key"), None) | {"bundle": BUNDLE, "sizes": SIZES} | values
    return ["node", "-e", template % {name: json.dumps(value if isinstance(value, (list, bool, type(None))) else str(value)) for name, value in names.items()}]


def filled(size, number):
    pattern = bytearray(size)
    for row in range(0, size, 512):  # 512 steps of 31 end where they began, in 7 bits
        step = bytes((i * 31 + number * 7 + (row >> 9)) & 0x7f for i in range(128)) * 4
        pattern[row:row + 512] = step[:min(512, size - row)]
    return bytes(pattern)


# --- their clients, our gate -------------------------------------------------------------------------------------------------


def routes(compressed):
    return ["echo=/echo" + (",compress=yes,compress_takeover=yes,compress_threshold=0" if compressed else "")]


@WIRES
@COMPRESSED
def test_node_and_the_gate(make_gate, echo, processes, pki, wire, compressed):
    gate = make_gate(routes=routes(compressed))
    echo(gate)
    client = processes(node(CLIENT, url=gate.url(), ca=pki.ca.file if wire == "wss" else None, deflate=True))
    client.wait_line(r"end 20 1000  \[%s\]" % ("permessage-deflate" if compressed else ""))
    assert gate.wsctl("stats")["routes"]["echo"]["unpacked"] == (20 if compressed else 0)


@WIRES
@COMPRESSED
def test_python_and_the_gate(make_gate, echo, pki, wire, compressed):
    gate = make_gate(routes=routes(compressed))
    echo(gate)

    async def talk():
        chance = random.Random(11)
        async with websockets.connect(gate.url(), max_size=None, **({"ssl": pki.client()} if wire == "wss" else {})) as client:
            assert bool(client.extensions) == compressed
            for number, size in enumerate(SIZES):
                data = filled(size, number)
                for message in (data, data.decode()):
                    cuts = sorted(chance.randrange(size + 1) for _ in range(chance.randrange(5)))
                    await client.send([message[a:b] for a, b in zip([0] + cuts, cuts + [size])])
                    assert await client.recv() == message
            await client.close(3210, "enough")
            assert (client.close_code, client.close_reason) == (3210, "")

    run_async(talk())


@WIRES
@COMPRESSED
def test_libwebsockets_and_the_gate(make_gate, echo, processes, pki, wire, compressed):
    gate = make_gate(routes=routes(compressed))
    echo(gate)
    program = BUILD / "integration/lws/lws_client"
    assert program.exists(), "without libwebsockets-dev it is not built: ./dev setup installs it"
    # libwebsockets 4.1 ends the program when it is to compress nothing, and hears twice what comes as it is on a compressed connection,
    # as small messages do: RFC 7692 §6 allows it.
    sizes = [size for size in SIZES if size >= 4096] if compressed else SIZES
    client = processes([program, "localhost" if wire == "wss" else "127.0.0.1", gate.port, "/echo", pki.ca.file if wire == "wss" else "-",
                        "deflate", 7, *sizes])
    client.wait_line(r"^end %d$" % (2 * len(sizes)), deadline=3 * DEADLINE)
    stats = gate.wsctl("stats")["routes"]["echo"]
    assert (stats["packed"], stats["unpacked"]) == ((2 * len(sizes),) * 2 if compressed else (0, 0))


@WIRES
@COMPRESSED
def test_a_browser_and_the_gate(make_gate, echo, processes, wire, compressed):
    gate = make_gate(routes=routes(compressed))
    echo(gate)
    page = processes(["node", ROOT / "integration/browser/echo.js", gate.url()])
    page.wait_line(r"18 right, 3210, \[%s\]" % ("permessage-deflate[^]]*" if compressed else ""), deadline=3 * DEADLINE)


# --- their servers, our client -------------------------------------------------------------------------------------------------


def check(rows, compressed):
    """Every size from the server, then three of ours there and back, and its goodbye."""
    assert rows[0]["compressed"] == compressed
    binary = [bytes.fromhex(row["hex"]) for row in rows if row["type"] == "binary"]
    assert [len(data) for data in binary] == SIZES
    for number, data in enumerate(binary):
        assert hashlib.sha256(data).digest() == hashlib.sha256(filled(len(data), number)).digest(), len(data)


@WIRES
@COMPRESSED
def test_a_node_server(processes, pki, wire, compressed):
    cert, key = pki.local if wire == "wss" else (None, None)
    server = processes(node(SERVER, cert=cert, key=key, deflate=compressed))
    port = server.wait_line(r"port=(\d+)").group(1)
    rows = connect("%s://localhost:%s/" % (wire, port), "one\ntwo\nthree\n", "--ca", pki.ca.file, "-w", "20s", status=5)
    check(rows, compressed)
    assert [row["text"] for row in rows if row["type"] == "text"] == ["one", "two", "three"]
    assert rows[-1] == {"type": "close", "code": 4321, "reason": "enough", "clean": True, "by": "server"}
    server.wait_line(r"end 3 4321 \[%s\]" % ("permessage-deflate" if compressed else ""))


@WIRES
@COMPRESSED
def test_a_python_server(pki, wire, compressed):
    async def talk(ws, *_):
        chance = random.Random(13)
        for number, size in enumerate(SIZES):
            data = filled(size, number)
            cuts = sorted(chance.randrange(size + 1) for _ in range(chance.randrange(5)))
            await ws.send([data[a:b] for a, b in zip([0] + cuts, cuts + [size])])
        for _ in range(3):
            await ws.send(await ws.recv())
        await ws.close(4321, "enough")

    context = None
    if wire == "wss":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*pki.local)
    with websockets_server(talk, ssl=context, compression="deflate" if compressed else None) as port:
        rows = connect("%s://localhost:%d/" % (wire, port), "one\ntwo\nthree\n", "--ca", pki.ca.file, "-w", "20s", status=5)
    check(rows, compressed)
    assert [row["text"] for row in rows if row["type"] == "text"] == ["one", "two", "three"]
    assert rows[-1] == {"type": "close", "code": 4321, "reason": "enough", "clean": True, "by": "server"}
