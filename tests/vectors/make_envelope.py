#!/usr/bin/env python3
"""Writes envelope.json, the test vectors of the bus envelope (docs/protocol.md §2), which the C, Python and Node tests read.

Made from the text of the specification with struct, not with any of the codecs that are tested with it. Bytes are
hexadecimal; 64-bit numbers are strings of 16 hexadecimal digits, because JSON numbers lose bits above 2^53.

  headers   32 bytes <-> fields; `valid` false: must be refused
  messages  parts as they come over ZeroMQ; `meta` null: no such part
  batches   the payload of a BATCH; `records` come out of it, and then it ends well (`valid`) or must be refused
  alone     a message that came as one part, and the one record that comes out of it, or it must be refused
  pairs     the payload of an ACK of connection 0 <-> [connection, seq]
"""
import json
import pathlib
import struct

META, MORE, REDELIVERED, WANT_OUTCOME, PENDING = 1, 2, 4, 8, 16
TOP = 2**64 - 1


def header(type, code=0, flags=0, length=0, conn=0, seq=0, time=0, version=1):
    return struct.pack("<BBBBIQQQ", version, type, code, flags, length, conn, seq, time)


def hex64(n):
    return f"{n:016x}"


def fields(type, code=0, flags=0, length=0, conn=0, seq=0, time=0):
    return {"type": type, "code": code, "flags": flags, "payload_len": length, "conn": hex64(conn), "seq": hex64(seq),
            "time_ns": hex64(time)}


def good_header(name, **f):
    return {"name": name, "hex": header(**f).hex(), "valid": True, **fields(**f)}


def bad_header(name, data):
    return {"name": name, "hex": data.hex(), "valid": False}


def record(payload=b"", meta=b"", size=None, meta_len=None, length=None, flags=None, pad=b"\0", **f):
    flags = (META if meta else 0) if flags is None else flags
    body = header(length=len(payload) if length is None else length, flags=flags, **f) + payload + meta
    size = 8 + len(body) if size is None else size
    data = struct.pack("<II", size, len(meta) if meta_len is None else meta_len) + body
    return data + pad * (-len(data) % 8)


def told(payload=b"", meta=b"", flags=None, **f):
    flags = (META if meta else 0) if flags is None else flags
    return {**fields(length=len(payload), flags=flags, **f), "payload": payload.hex(), "meta": meta.decode() or None}


def batch(name, *records, valid=True, rest=b""):
    data = b"".join(record(**r) for r in records) + rest
    return {"name": name, "hex": data.hex(), "valid": valid, "records": [told(**r) for r in records]}


def message(name, head, payload, meta, valid):
    return {"name": name, "header": head.hex(), "payload": payload.hex(), "meta": meta, "valid": valid}


TEXT = dict(type=3, code=1, conn=0x0123456789ABCDEF, seq=2, time=1700000000123456789)
HELLO = dict(type=64, seq=1, meta=b'{"routes":["echo"]}')

headers = [
    good_header("data, text", type=3, code=1, length=5, conn=0x0123456789ABCDEF, seq=2, time=1700000000123456789),
    good_header("hello with metadata", type=64, flags=META, seq=1),
    good_header("all bits set", type=255, code=255, flags=255, length=2**32 - 1, conn=TOP, seq=TOP, time=TOP),
    good_header("all zero but the version", type=0),
    good_header("above 2^53", type=3, code=2, conn=2**53 + 1, seq=2**63, time=2**53 + 1),
    good_header("open, pending, redelivered", type=2, flags=META | REDELIVERED | PENDING, conn=1, seq=1),
    good_header("batch", type=127, length=48),
    good_header("credit", type=65, flags=META, seq=3),
    good_header("ack of one", type=66, conn=0x0123456789ABCDEF, seq=17),
    good_header("ack of many", type=66, length=48, seq=4),
    good_header("tag", type=74, flags=META, conn=1, seq=5),
    good_header("list", type=81, flags=META, seq=6),
    good_header("working", type=82, seq=8),
    good_header("dead letter", type=19, code=1, flags=META, length=6, conn=1, seq=9),
    good_header("members, more of them follow", type=16, flags=META | MORE, seq=6),
    good_header("joined", type=17, flags=META, conn=1),
    good_header("left", type=18, flags=META, conn=1),
    good_header("drain begins", type=14, flags=META | MORE),
    good_header("drain ends", type=14),
    good_header("data, redelivered", type=3, code=2, flags=REDELIVERED, length=5, conn=1, seq=9),
    bad_header("empty", b""),
    bad_header("one byte short", header(type=3)[:31]),
    bad_header("one byte long", header(type=3) + b"\0"),
    bad_header("version 0", header(type=3, version=0)),
    bad_header("version 2", header(type=3, version=2)),
]

messages = [
    message("no payload, no metadata", header(80), b"", None, True),
    message("payload", header(69, code=1, length=2, conn=9), b"hi", None, True),
    message("payload and metadata", header(73, code=1, flags=META, length=2), b"hi", '{"group":"g"}', True),
    message("credit", header(65, flags=META), b"", '{"messages":8192,"bytes":1048576}', True),
    message("tag", header(74, flags=META, conn=9), b"", '{"set":["a"],"unset":["b"],"user":"u"}', True),
    message("list", header(81, flags=META), b"", '{"tag":"a","limit":1000}', True),
    message("members", header(16, flags=META | MORE), b"", '{"tag":"a","count":2,"members":["0000000000000009"]}', True),
    message("data, delivered for the third time", header(3, code=1, flags=META | REDELIVERED, length=2, conn=9, seq=4), b"hi",
            '{"deliveries":3}', True),
    message("drain", header(14, flags=META | MORE), b"", '{"reason":"update"}', True),
    message("ack with a length that is not true", header(66, length=16), bytes(32), None, False),
    message("metadata without the flag", header(73, length=2), b"hi", '{"group":"g"}', False),
    message("the flag without metadata", header(73, flags=META, length=2), b"hi", None, False),
    message("empty metadata", header(73, flags=META, length=2), b"hi", "", False),
    message("payload shorter than said", header(69, length=3), b"hi", None, False),
    message("payload longer than said", header(69, length=1), b"hi", None, False),
    message("length of 4 GiB", header(69, length=2**32 - 1), b"hi", None, False),
]

batches = [
    batch("empty"),
    batch("one record without a payload", dict(type=80)),
    batch("padding of 7", dict(payload=b"x", **TEXT)),
    batch("padding of 1", dict(payload=b"1234567", **TEXT)),
    batch("no padding", dict(payload=b"12345678", **TEXT)),
    batch("metadata only", HELLO),
    batch("payload and metadata", dict(type=73, code=1, payload=b"hi", meta=b'{"group":"g"}')),
    batch("unknown type and flags are not the codec's business", dict(type=200, flags=0xE0)),
    batch("three records", HELLO, dict(payload=b"abc", **TEXT), dict(type=80)),
    batch("a reply, its acknowledgement, credit", dict(type=69, code=1, conn=9, payload=b"hi"),
          dict(type=66, payload=struct.pack("<QQ", 9, 2)), dict(type=65, meta=b'{"messages":1,"bytes":2}')),
    batch("a prefix that is cut", dict(payload=b"x", **TEXT), valid=False, rest=b"\x28\0\0"),
    batch("a record that is cut", dict(type=80), valid=False, rest=record(payload=b"12345678", **TEXT)[:-8]),
    batch("padding that is cut", valid=False, rest=record(payload=b"x", **TEXT)[:-1]),
    batch("padding that is not zero", valid=False, rest=record(payload=b"x", pad=b"\1", **TEXT)),
    batch("size 0", valid=False, rest=record(size=0, **TEXT)),
    batch("size below the header", valid=False, rest=record(size=39, **TEXT)),
    batch("size of 4 GiB", valid=False, rest=record(size=2**32 - 1, **TEXT)),
    batch("size of 4 GiB less the padding", valid=False, rest=record(size=2**32 - 7, **TEXT)),
    batch("payload length not true", valid=False, rest=record(payload=b"x", length=2, **TEXT)),
    batch("metadata longer than the record", valid=False, rest=record(meta_len=9, **TEXT)),
    batch("metadata of 4 GiB", valid=False, rest=record(meta_len=2**32 - 1, **TEXT)),
    batch("metadata without the flag", valid=False, rest=record(type=73, meta=b"{}", flags=0)),
    batch("the flag without metadata", valid=False, rest=record(type=73, flags=META)),
    batch("another version", valid=False, rest=struct.pack("<II", 40, 0) + header(type=80, version=2)),
    batch("a batch in a batch", dict(type=80), valid=False, rest=record(type=127)),
]


def alone(name, data, told=None):
    return {"name": name, "hex": data.hex(), "valid": told is not None, "record": told}


inside = record(payload=b"abc", **TEXT) + record(type=80)
alones = [
    alone("payload", record(payload=b"x", **TEXT), told(payload=b"x", **TEXT)),
    alone("metadata", record(**HELLO), told(**HELLO)),
    alone("payload and metadata", record(type=2, payload=b"1234", meta=b"{}"), told(type=2, payload=b"1234", meta=b"{}")),
    alone("nothing but a header", record(type=80), told(type=80)),
    alone("a batch", record(type=127, payload=inside), told(type=127, payload=inside)),
    alone("nothing", b""),
    alone("a header", header(type=80)),
    alone("two records", inside),
    alone("a record, and more behind it", record(type=80) + b"\0"),
    alone("cut", record(payload=b"x", **TEXT)[:-1]),
    alone("padding that is not zero", record(payload=b"x", pad=b"\1", **TEXT)),
]


def pairs_of(name, *pairs):
    data = b"".join(struct.pack("<QQ", conn, seq) for conn, seq in pairs)
    return {"name": name, "hex": data.hex(), "pairs": [[hex64(conn), hex64(seq)] for conn, seq in pairs]}


pairs = [
    pairs_of("none"),
    pairs_of("one", (0x0123456789ABCDEF, 17)),
    pairs_of("in the order in which they came", (9, 2), (1, 2**53 + 1), (TOP, TOP)),
]

path = pathlib.Path(__file__).with_name("envelope.json")
text = json.dumps({"about": "Made by make_envelope.py.", "headers": headers, "messages": messages, "batches": batches, "alone": alones,
                   "pairs": pairs},
                  indent=1)
path.write_text(text + "\n", encoding="utf-8")
