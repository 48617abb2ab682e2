"""The shared test vectors of the envelope, read by the Python helper and by the Node module, as the C tests do."""

import json
import subprocess

import pytest
import wsbus

from conftest import ROOT

VECTORS = json.loads((ROOT / "tests/vectors/envelope.json").read_text())


def fields_of(vector):
    names = ("type", "code", "flags", "payload_len")
    return tuple(vector[name] for name in names) + tuple(int(vector[name], 16) for name in ("conn", "seq", "time_ns"))


def ids(vectors):
    return [vector["name"] for vector in vectors]


@pytest.mark.parametrize("vector", VECTORS["headers"], ids=ids(VECTORS["headers"]))
def test_python_reads_and_writes_headers(vector):
    data = bytes.fromhex(vector["hex"])
    if not vector["valid"]:
        with pytest.raises(wsbus.ProtocolError):
            wsbus.parse_header(data)
        return
    assert wsbus.parse_header(data)[1:] == fields_of(vector)
    kind, code, flags, size, conn, seq, time_ns = fields_of(vector)
    assert wsbus.make_header(kind, code, flags, size, conn, seq, time_ns) == data


@pytest.mark.parametrize("vector", VECTORS["messages"], ids=ids(VECTORS["messages"]))
def test_python_reads_messages(vector):
    parts = [bytes.fromhex(vector["header"]), bytes.fromhex(vector["payload"])]
    if vector["meta"] is not None:
        parts.append(vector["meta"].encode())
    if vector["valid"]:
        _, payload, meta = wsbus.parse_parts(parts)
        assert payload == parts[1] and meta == (parts[2] if len(parts) == 3 else b"")
    else:
        with pytest.raises(wsbus.ProtocolError):
            wsbus.parse_parts(parts)


@pytest.mark.parametrize("vector", VECTORS["batches"], ids=ids(VECTORS["batches"]))
def test_python_reads_batches(vector):
    data, records = bytes.fromhex(vector["hex"]), []
    try:
        records.extend(wsbus.parse_batch(data))
        valid = True
    except wsbus.ProtocolError:
        valid = False
    assert valid == vector["valid"]
    # what stands in front of a bad record is good
    assert [(payload.hex(), meta.decode()) for _, payload, meta in records] == [
        (record["payload"], record["meta"] or "") for record in vector["records"]]


@pytest.mark.parametrize("vector", VECTORS["alone"], ids=ids(VECTORS["alone"]))
def test_python_reads_messages_of_one_part(vector):
    data, record = bytes.fromhex(vector["hex"]), vector["record"]
    if vector["valid"]:
        fields, payload, meta = wsbus.parse_alone(data)
        assert (fields[1], payload.hex(), meta.decode()) == (record["type"], record["payload"], record["meta"] or "")
    else:
        with pytest.raises(wsbus.ProtocolError):
            wsbus.parse_alone(data)


@pytest.mark.parametrize("vector", VECTORS["pairs"], ids=ids(VECTORS["pairs"]))
def test_python_writes_pairs(vector):
    assert wsbus.make_pairs([tuple(int(n, 16) for n in pair) for pair in vector["pairs"]]).hex() == vector["hex"]


def test_node_reads_all_vectors():
    run = subprocess.run(["node", str(ROOT / "tests/vectors/check.mjs")], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.strip() == "%d vectors" % sum(len(VECTORS[kind]) for kind in ("headers", "messages", "batches", "alone", "pairs"))
