"""One table of what an endpoint may be sent and what has to come of it, row by row after RFC 6455 and RFC 7692. The gate is told it by a
client, over ws and wss, plain and compressed; the library's client is told the same by a server."""

import collections
import json
import subprocess

import pytest

from conftest import BUILD, DEADLINE, HANDLERS, Gate, Process, assert_clean
from raw import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Raw, frame
from test_connect import good_101, raw_server
from test_deflate import deflate, inflate
from test_protocol import CLOSE_CODES_REFUSED, CLOSE_CODES_TAKEN

RSV1 = 4
KINDS = ["ws", "wss", "ws-deflate", "wss-deflate"]

F = collections.namedtuple("F", "opcode payload fin rsv length", defaults=(b"", True, 0, None))
# What is sent, and what comes back: messages ("text" as str, "binary" as bytes), (PONG, payload), and (CLOSE, code) at the end.
Row = collections.namedtuple("Row", "name rfc frames answers")


def end(code):
    return (CLOSE, code)


def close(code=None, reason=b""):
    return F(CLOSE, b"" if code is None else code.to_bytes(2, "big") + reason)


def fragments(opcode, *pieces, rsv=0):
    last = len(pieces) - 1
    return [F(CONTINUATION if i else opcode, piece, i == last, 0 if i else rsv) for i, piece in enumerate(pieces)]


def splits(data):
    return [(data[:i], data[i:]) for i in range(len(data) + 1)]


GOODBYE = [close(1000)]
BYE = [end(1000)]

# --- 1: framing -----------------------------------------------------------------------------------------------------------

SIZES = [0, 1, 125, 126, 127, 128, 65535, 65536, 65537]
FRAMING = [Row("1.1 text of %d" % n, "6455 §5.2", [F(TEXT, b"*" * n)] + GOODBYE, ["*" * n] + BYE) for n in SIZES]
FRAMING += [Row("1.2 binary of %d" % n, "6455 §5.2", [F(BINARY, b"\xfe" * n)] + GOODBYE, [b"\xfe" * n] + BYE) for n in SIZES]
FRAMING += [Row("1.3 %s bits of length for %d bytes" % (bits, n), "6455 §5.2", [F(BINARY, b"x" * n, length=bits)], [end(1002)])
            for bits, n in [("16", 0), ("16", 125), ("64", 0), ("64", 125), ("64", 126), ("64", 65535)]]
FRAMING += [Row("1.4 length with its highest bit", "6455 §5.2", [F(BINARY, length=1 << 63)], [end(1002)]),
            Row("1.5 length beyond all limits", "6455 §10.4", [F(BINARY, length=(1 << 63) - 1)], [end(1009)])]

# --- 2: pings -------------------------------------------------------------------------------------------------------------

PINGS = [Row("2.1 ping of %d" % len(p), "6455 §5.5.2", [F(PING, p)] + GOODBYE, [(PONG, p)] + BYE) for p in (b"", b"?", b"\0\xff\xfe\xfd", b"x" * 125)]
PINGS += [Row("2.2 %s of 126" % name, "6455 §5.5", [F(opcode, b"x" * 126)], [end(1002)]) for name, opcode in [("ping", PING), ("pong", PONG), ("close", CLOSE)]]
PINGS += [Row("2.3 pong that nobody asked for", "6455 §5.5.3", [F(PONG, b"p"), F(PONG), F(PING, b"q")] + GOODBYE, [(PONG, b"q")] + BYE),
          Row("2.4 ten pings", "6455 §5.5.2", [F(PING, b"%d" % i) for i in range(10)] + GOODBYE, [(PONG, b"%d" % i) for i in range(10)] + BYE),
          Row("2.5 ping in fragments", "6455 §5.5", [F(PING, b"x", False)], [end(1002)]),
          Row("2.6 pong in fragments", "6455 §5.5", [F(PONG, b"x", False)], [end(1002)])]

# --- 3: reserved bits, 4: opcodes -------------------------------------------------------------------------------------------

RESERVED = [Row("3.%d RSV %d on %s" % (rsv, rsv, name), "6455 §5.2", [F(TEXT, b"good"), F(opcode, payload, rsv=rsv)], ["good", end(1002)])
            for rsv in range(1, 8) for name, opcode, payload in [("text", TEXT, b"x"), ("binary", BINARY, b"x"), ("nothing", BINARY, b""),
                                                                 ("ping", PING, b"x"), ("pong", PONG, b""), ("close", CLOSE, b"\x03\xe8")]]
OPCODES = [Row("4.%d opcode %d with %d bytes" % (1 + (opcode > 7), opcode, len(p)), "6455 §5.2", [F(TEXT, b"good"), F(opcode, p), F(PING)], ["good", end(1002)])
           for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15) for p in (b"", b"payload")]

# --- 5: fragments -----------------------------------------------------------------------------------------------------------

FRAGMENTS = [
    Row("5.1 two", "6455 §5.4", fragments(TEXT, b"a", b"b") + GOODBYE, ["ab"] + BYE),
    Row("5.2 many", "6455 §5.4", fragments(BINARY, *[b"%d" % i for i in range(100)]) + GOODBYE, [b"".join(b"%d" % i for i in range(100))] + BYE),
    Row("5.3 empty ones", "6455 §5.4", fragments(TEXT, b"", b"", b"") + GOODBYE, [""] + BYE),
    Row("5.4 empty first and last", "6455 §5.4", fragments(TEXT, b"", b"middle", b"") + GOODBYE, ["middle"] + BYE),
    Row("5.5 pings between", "6455 §5.4", [F(TEXT, b"a", False), F(PING, b"1"), F(CONTINUATION, b"b", False), F(PING, b"2"), F(CONTINUATION, b"c")] + GOODBYE,
        [(PONG, b"1"), (PONG, b"2"), "abc"] + BYE),
    Row("5.6 a pong between", "6455 §5.4", [F(TEXT, b"a", False), F(PONG, b"1"), F(CONTINUATION, b"b")] + GOODBYE, ["ab"] + BYE),
    Row("5.7 a close between", "6455 §5.5.1", [F(TEXT, b"a", False), close(1000), F(CONTINUATION, b"b")], BYE),
    Row("5.8 continuation of nothing", "6455 §5.4", [F(CONTINUATION, b"x")], [end(1002)]),
    Row("5.9 continuation of nothing, not the last", "6455 §5.4", [F(CONTINUATION, b"x", False)], [end(1002)]),
    Row("5.10 continuation of what was ended", "6455 §5.4", fragments(TEXT, b"a", b"b") + [F(CONTINUATION, b"c")], ["ab", end(1002)]),
    Row("5.11 text inside text", "6455 §5.4", [F(TEXT, b"a", False), F(TEXT, b"b")], [end(1002)]),
    Row("5.12 binary inside text", "6455 §5.4", [F(TEXT, b"a", False), F(BINARY, b"b", False)], [end(1002)]),
]

# --- 6: UTF-8 ----------------------------------------------------------------------------------------------------------------

VALID = ["κόσμε", "\0", "\x7f", "\x80", "\u07ff", "\u0800", "\ud7ff", "\ue000", "\ufdd0", "\ufffd", "\ufffe", "\uffff", "\U00010000", "\U0001fffe", "\U000fffff",
         "\U0010fffe", "\U0010ffff", "\ufeffBOM", "a\u0308", "Hello-µ@ßöäüàá-UTF-8!!", "日本語", "🏳️‍🌈"]
UNICODE = [Row("6.1 %s" % ascii(text), "6455 §5.6", [F(TEXT, text.encode())] + sum((fragments(TEXT, *pair) for pair in splits(text.encode())), []) +
               fragments(TEXT, *[text.encode()[i:i + 1] for i in range(len(text.encode()))]) + GOODBYE, [text] * (len(text.encode()) + 3) + BYE) for text in VALID]
INVALID = {
    "a continuation alone": "80 bf 8080 80bf 80bf80bf",
    "a first byte alone": "c2 df e0 ef f0 f4 c220 e120 f120 c2c2 e1e1 f1f1",
    "the last byte is missing": "ce e182 ef bf f09080 f48fbf",
    "a byte that never is": "fe ff fefeffff c0 c1 f5 f8 fc",
    "overlong": "c080 c0af c1bf e08080 e080af e09fbf f0808080 f08080af f08fbfbf f880808080 fc8080808080",
    "a surrogate": "eda080 edadbf edae80 edafbf edb080 edbe80 edbfbf eda080edb080 edafbfedbfbf",
    "beyond the last": "f4908080 f4bfbfbf f5808080 f7bfbfbf f888808080 fbbfbfbfbf fc8480808080 fdbfbfbfbfbf",
    "another encoding": "fffe4100 e4f6fc",
}
for why, all_ in INVALID.items():
    for digits in all_.split():
        data = b"k\xc3\xb6" + bytes.fromhex(digits)
        UNICODE.append(Row("6.2 %s: %s" % (why, digits), "6455 §8.1", [F(TEXT, data)], [end(1007)]))
        UNICODE.extend(Row("6.3 %s: %s split at %d" % (why, digits, i), "6455 §8.1", fragments(TEXT, *pair), [end(1007)]) for i, pair in enumerate(splits(data)))
UNICODE += [Row("6.4 before the message is whole: %s" % digits, "6455 §8.1", [F(TEXT, b"ok" + bytes.fromhex(digits), False)], [end(1007)])
            for digits in ("ff", "c0", "e09f", "eda0", "f08f", "f490", "c220")]
UNICODE += [Row("6.5 within a frame", "6455 §8.1", [F(TEXT, b"ok\xff", length=60000)], [end(1007)]),
            Row("6.6 a message of other bytes is no text", "6455 §5.6", [F(BINARY, b"\xff\xfe\xc0")] + GOODBYE, [b"\xff\xfe\xc0"] + BYE)]

# --- 7: closing ----------------------------------------------------------------------------------------------------------------

CLOSING = [Row("7.1 code %d" % code, "6455 §7.4", [close(code)], [end(code)]) for code in CLOSE_CODES_TAKEN]
CLOSING += [Row("7.2 code %d" % code, "6455 §7.4", [close(code)], [end(1002)]) for code in CLOSE_CODES_REFUSED]
CLOSING += [
    Row("7.3 no code", "6455 §5.5.1", [close()], [end(None)]),
    Row("7.4 half a code", "6455 §5.5.1", [F(CLOSE, b"\x03")], [end(1002)]),
    Row("7.5 the longest reason", "6455 §5.5", [close(1000, b"r" * 123)], BYE),
    Row("7.6 a reason that is not UTF-8", "6455 §5.5.1", [close(1000, b"\xce\xba\xff")], [end(1007)]),
    Row("7.7 a reason cut inside a character", "6455 §5.5.1", [close(1000, "€".encode()[:2])], [end(1007)]),
    Row("7.8 in fragments", "6455 §5.5", [F(CLOSE, b"\x03\xe8", False)], [end(1002)]),
    Row("7.9 nothing counts behind it", "6455 §5.5.1", [F(TEXT, b"before"), close(1000), F(TEXT, b"behind"), F(PING), close(1001), F(15)], ["before"] + BYE),
]

# --- 9: size -------------------------------------------------------------------------------------------------------------------

LARGE = [Row("9.1 text of %d KiB" % k, "6455 §5.2", [F(TEXT, "é*".encode() * (k * 1024 // 3))] + GOODBYE, ["é*" * (k * 1024 // 3)] + BYE) for k in (64, 1024, 4096)]
LARGE += [Row("9.2 binary of %d KiB" % k, "6455 §5.2", [F(BINARY, b"\0\xff" * (k * 512))] + GOODBYE, [b"\0\xff" * (k * 512)] + BYE) for k in (64, 1024, 4096)]
LARGE += [Row("9.3 a MiB in fragments of %d" % n, "6455 §5.4", fragments(BINARY, *[b"f" * n] * ((1 << 20) // n)) + GOODBYE, [b"f" * (1 << 20)] + BYE)
          for n in (256, 4096, 65536)]
LARGE += [Row("9.4 a thousand messages", "6455 §5.2", [F(TEXT, b"%d" % i) for i in range(1000)] + GOODBYE, ["%d" % i for i in range(1000)] + BYE)]

# --- 12, 13: compression ---------------------------------------------------------------------------------------------------------

PACKED = [Row("12.1 %d bytes" % n, "7692 §7.2", [F(TEXT, deflate(b"x" * n), rsv=RSV1)] * 3 + GOODBYE, ["x" * n] * 3 + BYE) for n in (0, 1, 125, 126, 65536, 1 << 20)]
PACKED += [Row("12.2 split at %d" % i, "7692 §6.1", fragments(TEXT, *pair, rsv=RSV1) + GOODBYE, ["hällo hällo"] + BYE)
           for i, pair in enumerate(splits(deflate("hällo hällo".encode())))]
PACKED += [
    Row("12.3 a ping between", "7692 §6.1", [F(TEXT, deflate(b"abc")[:2], False, RSV1), F(PING, b"1"), F(CONTINUATION, deflate(b"abc")[2:])] + GOODBYE, [(PONG, b"1"), "abc"] + BYE),
    Row("12.4 a message that is not packed", "7692 §6", [F(TEXT, deflate(b"a"), rsv=RSV1), F(TEXT, b"b"), F(TEXT, deflate(b"c"), rsv=RSV1)] + GOODBYE, ["a", "b", "c"] + BYE),
    Row("12.5 a block with BFINAL", "7692 §7.2.3.4", [F(TEXT, deflate(b"final", final=True), rsv=RSV1)] + GOODBYE, ["final"] + BYE),
    Row("12.6 a stored block", "7692 §7.2.3.3", [F(TEXT, bytes.fromhex("000500faff") + b"Hello\0", rsv=RSV1)] + GOODBYE, ["Hello"] + BYE),
    Row("12.7 the RFC's own", "7692 §7.2.3.1", [F(TEXT, bytes.fromhex("f248cdc9c90700"), rsv=RSV1)] + GOODBYE, ["Hello"] + BYE),
    Row("12.8 two blocks", "7692 §7.2.3.5", [F(TEXT, bytes.fromhex("f24805000000ffffcac9c90700"), rsv=RSV1)] + GOODBYE, ["Hello"] + BYE),
    Row("13.1 garbage", "7692 §7.2.2", [F(TEXT, b"\xff" * 4, rsv=RSV1)], [end(1002)]),
    Row("13.2 nothing", "7692 §7.2.2", [F(TEXT, rsv=RSV1)], [end(1002)]),
    Row("13.3 cut short", "7692 §7.2.2", [F(BINARY, deflate(b"hello, hello, hello")[:-4], rsv=RSV1)], [end(1002)]),
    Row("13.4 text that is not UTF-8", "6455 §8.1", [F(TEXT, deflate(b"\xff"), rsv=RSV1)], [end(1007)]),
    Row("13.5 text cut inside a character", "6455 §8.1", [F(TEXT, deflate("€".encode()[:2]), rsv=RSV1)], [end(1007)]),
    Row("13.6 RSV1 on a continuation", "7692 §6.1", [F(TEXT, b"\xf2", False, RSV1), F(CONTINUATION, b"\x48", rsv=RSV1)], [end(1002)]),
    Row("13.7 RSV1 and RSV2", "7692 §6", [F(TEXT, deflate(b"a"), rsv=6)], [end(1002)]),
    Row("13.8 more than may be", "6455 §10.4", [F(BINARY, deflate(bytes((16 << 20) + 1)), rsv=RSV1)], [end(1009)]),
]

SECTIONS = {"1 framing": FRAMING, "2 pings": PINGS, "3 reserved bits": RESERVED, "4 opcodes": OPCODES, "5 fragments": FRAGMENTS, "6 UTF-8": UNICODE,
            "7 closing": CLOSING, "9 size": LARGE, "12 compression": PACKED}


def rows_for(section, is_packed):
    """With compression RSV1 of a message says something, and without it the rows about it break the rules already."""
    if section == "12 compression" and not is_packed:
        return []
    return [row for row in SECTIONS[section] if not (is_packed and any(f.rsv == RSV1 and f.opcode in (TEXT, BINARY) for f in row.frames)) or
            section == "12 compression"]


def bytes_of(row, masked):
    return b"".join(frame(f.opcode, f.payload, f.fin, f.rsv, masked, f.length) for f in row.frames)


def test_each_row_is_there_once():
    names = [row.name for rows in SECTIONS.values() for row in rows]
    assert len(names) == len(set(names)) > 500


# --- the gate ---------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=KINDS)
def endpoint(request, tmp_path_factory, pki):
    """A gate with an echo handler, and whether its messages are packed."""
    is_packed = request.param.endswith("deflate")
    gate = Gate(tmp_path_factory.mktemp("gate"), args=["--workers", "1"], pki=pki if request.param.startswith("wss") else None,
                routes=["echo=/echo" + (",compress=yes,compress_threshold=0" if is_packed else "")])
    handler = Process(HANDLERS["c"](gate, "echo"))
    gate.wait_handlers("echo", 1)
    yield gate, is_packed
    for process in (handler, gate):
        assert process.stop() == 0
        assert_clean(process)


def heard_by(client):
    """Everything up to and including the close frame, as a row has it."""
    while True:
        got = client.read_frame()
        assert got.fin and got.rsv in (0, RSV1), got
        if got.opcode == CLOSE:
            yield end(int.from_bytes(got.payload[:2], "big") if got.payload else None)
            return
        if got.opcode == PONG:
            assert not got.rsv
            yield (PONG, got.payload)
            continue
        payload = inflate(got.payload) if got.rsv else got.payload
        yield payload.decode() if got.opcode == TEXT else payload


def sorted_by_kind(answers):
    """Pongs are the gate's own and overtake what a handler has to answer: the order counts for each by itself."""
    return [a for a in answers if isinstance(a, tuple)], [a for a in answers if not isinstance(a, tuple)]


@pytest.mark.parametrize("section", SECTIONS)
def test_gate(endpoint, section):
    gate, is_packed = endpoint
    for row in rows_for(section, is_packed):
        extra = ["Sec-WebSocket-Extensions: permessage-deflate"] if is_packed else []
        messages = [a for a in row.answers if not isinstance(a, tuple)]
        data = bytes_of(row, masked=True)
        goodbye = bytes_of(row._replace(frames=row.frames[-1:]), masked=True)
        with Raw(gate) as client:
            client.upgrade(extra=extra)
            heard = []
            try:
                if row.frames[-1:] == GOODBYE and messages:  # who closes at once hears no echo
                    client.send(data[:-len(goodbye)])
                    stream = heard_by(client)
                    while len(sorted_by_kind(heard)[1]) < len(messages):
                        heard.append(next(stream))
                    client.send(goodbye)
                    heard.extend(stream)
                else:
                    client.send(data)
                    heard.extend(heard_by(client))
                client.expect_end()
            except (AssertionError, OSError) as error:
                raise AssertionError("%s (RFC %s): %s; heard %.200r" % (row.name, row.rfc, error, heard)) from error
            pongs, echoed = sorted_by_kind(heard)
            wanted_pongs, wanted = sorted_by_kind(row.answers)
            if wanted_pongs[-1] != end(1000) or row.frames[-1:] != GOODBYE:
                assert echoed == wanted[:len(echoed)], row  # the close may overtake what the handler still echoes
            else:
                assert echoed == wanted, row.name
            assert pongs == wanted_pongs, (row.name, row.rfc)


# --- the library's client -----------------------------------------------------------------------------------------------------------


def client_hears(row, is_packed):
    """What `wsctl connect` makes of it, and the frames that it sent."""
    extra = ["Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover"] if is_packed else []
    args = [] if is_packed else ["--no-compression"]
    with raw_server(lambda key: good_101(key, *extra), bytes_of(row, masked=False)) as (port, sent):
        run = subprocess.run([str(BUILD / "wsctl" / "wsctl"), "--json", "connect", "ws://127.0.0.1:%d/" % port, *args], input="", capture_output=True,
                             text=True, timeout=DEADLINE * 3)
    heard = []
    for line in map(json.loads, run.stdout.splitlines()):
        if line.get("type") == "text":
            heard.append(line["text"])
        elif line.get("type") == "binary":
            heard.append(bytes.fromhex(line["hex"]))
        elif line.get("type") == "close":
            heard.append(end(None if line["code"] == 1005 else line["code"]))
    frames, rest = [], bytes(sent).split(b"\r\n\r\n", 1)[1]
    while rest:
        assert rest[0] & 0x80 and rest[1] & 0x80 and rest[1] & 0x7f < 126, rest[:20]
        length = rest[1] & 0x7f
        payload = bytes(byte ^ rest[2 + i % 4] for i, byte in enumerate(rest[6:6 + length]))
        frames.append((rest[0] & 0x7f, payload))
        rest = rest[6 + length:]
    return heard, frames


def a_few(rows):
    """A process for each is too slow for every split of every sequence of UTF-8: every seventh of those."""
    for number, row in enumerate(rows):
        if not row.name.startswith("6.3") or number % 7 == 0:
            yield row


@pytest.mark.parametrize("section", SECTIONS)
def test_client(section):
    is_packed = section == "12 compression"
    for row in a_few(rows_for(section, is_packed)):
        heard, sent = client_hears(row, is_packed)
        where = (row.name, row.rfc)
        assert heard == [a for a in row.answers if not (isinstance(a, tuple) and a[0] == PONG)], where
        code = row.answers[-1][1]
        assert [f for f in sent if f[0] == PONG] == [a for a in row.answers if isinstance(a, tuple) and a[0] == PONG], where
        assert sent[-1] == (CLOSE, b"" if code is None else code.to_bytes(2, "big")), (where, sent[-3:])
        assert len([f for f in sent if f[0] == CLOSE]) == 1, where
