"""The library's WebSocket client, as wsctl connect drives it: against servers that others wrote, servers that break rules, and our own gate."""

import asyncio
import contextlib
import hashlib
import json
import random
import socket
import ssl
import subprocess
import threading
import zlib

import pytest
import websockets

from conftest import BUILD, DEADLINE
from raw import accept_of, close_frame, frame

SIZES = [0, 1, 125, 126, 127, 65535, 65536, 1 << 20, 16 << 20]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    key, cert = folder / "key.pem", folder / "cert.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", str(key), "-out", str(cert),
                    "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"], check=True, capture_output=True)
    return cert, key


def connect(url, lines="", *args, status=0, **kwargs):
    """What wsctl connect --json says, an object a line."""
    run = subprocess.run([str(BUILD / "wsctl" / "wsctl"), "--json", "connect", url, *map(str, args)], input=lines, capture_output=True, text=True,
                         timeout=DEADLINE * 3, **kwargs)
    assert run.returncode == status, (run.returncode, run.stdout[-500:], run.stderr[-500:])
    return [json.loads(line) for line in run.stdout.splitlines()]


@contextlib.contextmanager
def websockets_server(handler, **kwargs):
    """python3-websockets in a thread; yields its port."""
    loop = asyncio.new_event_loop()
    started = threading.Event()
    state = {}

    async def main():
        state["end"] = asyncio.Event()
        async with websockets.serve(handler, "127.0.0.1", 0, max_size=None, **kwargs) as server:
            state["port"] = server.sockets[0].getsockname()[1]
            started.set()
            await state["end"].wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(main()), daemon=True)
    thread.start()
    assert started.wait(DEADLINE)
    try:
        yield state["port"]
    finally:
        loop.call_soon_threadsafe(state["end"].set)
        thread.join(DEADLINE)
        loop.close()


async def echo(ws, *_):
    async for message in ws:
        await ws.send(message)


@pytest.mark.parametrize("tls", [False, True], ids=["ws", "wss"])
@pytest.mark.parametrize("compression", ["deflate", None])
def test_echo_with_another_server(certificate, tls, compression):
    context = None
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
    with websockets_server(echo, ssl=context, compression=compression, subprotocols=["v1"]) as port:
        url = "%s://localhost:%d/x" % ("wss" if tls else "ws", port)
        opened, text, binary = connect(url, "häßlich\n/binary 00ff10\n", "-s", "v2", "-s", "v1", "--ca", certificate[0], "-c", 2)
    assert (opened["subprotocol"], opened["compressed"]) == ("v1", compression is not None)
    assert opened["tls"].startswith("TLSv1.") == tls
    assert text == {"type": "text", "text": "häßlich"} and binary == {"type": "binary", "hex": "00ff10"}


@pytest.mark.parametrize("compression", ["deflate", None])
def test_messages_of_every_size_in_random_fragments(compression):
    """The server sends, in fragments of its own choice; the digest of what arrives is that of what was sent."""
    chance = random.Random(7)
    sent = [chance.randbytes(size) if chance.random() < 0.5 else bytes([65 + size % 26]) * size for size in SIZES]

    async def talk(ws, *_):
        for data in sent:
            cuts = sorted(chance.randrange(len(data) + 1) for _ in range(chance.randrange(4)))
            await ws.send([data[a:b] for a, b in zip([0] + cuts, cuts + [len(data)])])
        await ws.wait_closed()

    with websockets_server(talk, compression=compression) as port:
        rows = connect("ws://127.0.0.1:%d/" % port, "", "-c", len(SIZES))
    got = [bytes.fromhex(row["hex"]) for row in rows[1:] if row["type"] == "binary"]
    assert [len(data) for data in got] == SIZES
    assert [hashlib.sha256(data).digest() for data in got] == [hashlib.sha256(data).digest() for data in sent]


@pytest.mark.parametrize("compression", ["deflate", None])
def test_long_texts_there_and_back(compression):
    with websockets_server(echo, compression=compression) as port:
        texts = ["é" * size for size in (0, 1, 62, 63, 32768, 100000)] + ["x" * (1 << 20)]
        rows = connect("ws://127.0.0.1:%d/" % port, "".join("/text %s\n" % text for text in texts), "-c", len(texts))
    assert [row["text"] for row in rows[1:1 + len(texts)]] == texts


# --- TLS


def test_a_certificate_has_to_be_good(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    with websockets_server(echo, ssl=context) as port:
        assert "error" in connect("wss://localhost:%d/" % port, "", status=3)[0]  # nobody knows who signed it
        assert "error" in connect("wss://127.0.0.2:%d/" % port, "", "--ca", certificate[0], "-T", 5, status=3)[0]  # nobody listens there
        assert connect("wss://127.0.0.1:%d/" % port, "x\n", "--ca", certificate[0], "-c", 1)[1]["text"] == "x"
        assert connect("wss://localhost:%d/" % port, "x\n", "--insecure", "-c", 1)[1]["text"] == "x"


@contextlib.contextmanager
def tls_server_in_one_breath(certificate, answer):
    """Answers one handshake with answer(key) and a goodbye of TLS, all in one write."""
    listener = socket.create_server(("127.0.0.1", 0))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)

    def serve():
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_side=True)
        connection, _ = listener.accept()
        connection.settimeout(DEADLINE)

        def until_done(step):
            while True:
                try:
                    return step()
                except ssl.SSLWantReadError:
                    connection.sendall(outgoing.read())
                    incoming.write(connection.recv(65536))

        with connection:
            until_done(tls.do_handshake)
            connection.sendall(outgoing.read())
            request = b""
            while b"\r\n\r\n" not in request:
                request += until_done(lambda: tls.read(65536))
            tls.write(answer(request.split(b"Sec-WebSocket-Key: ")[1].split(b"\r\n")[0].decode()))
            with contextlib.suppress(ssl.SSLWantReadError):
                tls.unwrap()
            connection.sendall(outgoing.read())
            with contextlib.suppress(OSError):
                while connection.recv(65536):
                    pass

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        thread.join(DEADLINE)
        listener.close()


def test_what_comes_with_the_end_of_tls_is_kept(certificate):
    with tls_server_in_one_breath(certificate, lambda key: b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno") as port:
        assert "403" in connect("wss://localhost:%d/" % port, "", "--ca", certificate[0], status=1)[0]["error"]["message"]


def test_messages_that_nobody_has_room_for_outlive_the_end_of_tls(certificate):
    packer = zlib.compressobj(wbits=-15)
    packed = [(packer.compress(bytes([65 + i]) * (3 << 20)) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4] for i in range(3)]
    messages = b"".join(frame(1, data, rsv=4, masked=False) for data in packed)
    with tls_server_in_one_breath(certificate, lambda key: good_101(key, "Sec-WebSocket-Extensions: permessage-deflate") + messages +
                                  close_frame(1000, "all", masked=False)) as port:
        rows = connect("wss://localhost:%d/" % port, "", "--ca", certificate[0])
    assert [row["text"][0] * 2 + str(len(row["text"])) for row in rows[1:4]] == ["AA3145728", "BB3145728", "CC3145728"]
    assert rows[4:] == [{"type": "close", "code": 1000, "reason": "all", "clean": True, "by": "server"}]


def test_a_certificate_has_to_be_for_the_host(tmp_path):
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", str(key), "-out", str(cert),
                    "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:other.example"], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    with websockets_server(echo, ssl=context) as port:
        said = connect("wss://localhost:%d/" % port, "", "--ca", cert, status=3)[0]
        assert "certificate is not good" in said["error"]["message"]


# --- servers that break rules


@contextlib.contextmanager
def raw_server(answer, behind=b"", then=lambda connection, heard: None):
    """Answers one handshake with `answer` (a function of the key), says `behind` with it, and goes on with `then`."""
    listener = socket.create_server(("127.0.0.1", 0))
    heard = bytearray()

    def serve():
        connection, _ = listener.accept()
        connection.settimeout(DEADLINE)
        with connection:
            while b"\r\n\r\n" not in heard:
                heard.extend(connection.recv(65536))
            key = heard.split(b"Sec-WebSocket-Key: ")[1].split(b"\r\n")[0].decode()
            connection.sendall(answer(key) + behind)
            then(connection, heard)
            with contextlib.suppress(OSError):
                while data := connection.recv(65536):
                    heard.extend(data)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1], heard
    finally:
        thread.join(DEADLINE)
        listener.close()


def good_101(key, *lines):
    return "\r\n".join(["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Accept: " + accept_of(key),
                        *lines, "", ""]).encode()


def test_what_comes_with_the_101_is_kept():
    with raw_server(good_101, frame(1, "first", masked=False) + close_frame(1000, "that was it", masked=False)) as (port, _):
        rows = connect("ws://127.0.0.1:%d/" % port)
    assert rows[1:] == [{"type": "text", "text": "first"}, {"type": "close", "code": 1000, "reason": "that was it", "clean": True, "by": "server"}]


@pytest.mark.parametrize("bytes_, code, why", [
    (frame(1, "x"), 1002, "rule"), (frame(1, "x", masked=False, rsv=4), 1002, "rule"), (frame(1, "x", masked=False, rsv=2), 1002, "rule"),
    (frame(3, "", masked=False), 1002, "rule"), (frame(0, "", masked=False), 1002, "rule"), (frame(9, "x" * 126, masked=False), 1002, "rule"),
    (frame(1, b"\xff", masked=False), 1007, "UTF-8"), (frame(2, b"", masked=False, length=1 << 40), 1009, "too big"),
    (frame(8, b"\x03", masked=False), 1002, "rule"), (frame(8, b"\x03\xec", masked=False), 1002, "rule")])
def test_a_server_that_breaks_a_rule(bytes_, code, why):
    with raw_server(good_101, bytes_) as (port, heard):
        rows = connect("ws://127.0.0.1:%d/" % port, "", "--no-compression", status=1)
    assert why in next(row for row in rows if "error" in row)["error"]["message"]
    closed = next(row for row in rows if row.get("type") == "close")
    assert (closed["code"], closed["by"], closed["clean"]) == (code, "us", False)
    frames = heard.split(b"\r\n\r\n", 1)[1]
    assert frames[0] == 0x88 and frames[1] & 0x80  # our goodbye is masked
    key = frames[2:6]
    assert bytes(a ^ b for a, b in zip(frames[6:8], key)) == code.to_bytes(2, "big")


@pytest.mark.parametrize("answer, status", [
    (lambda key: good_101(key).replace(b"websocket", b"h2c"), 1), (lambda key: good_101("x" * 24), 1), (lambda key: good_101(key, "Sec-WebSocket-Protocol: v9"), 1),
    (lambda key: good_101(key, "Sec-WebSocket-Extensions: permessage-bzip"), 1), (lambda key: b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno", 1),
    (lambda key: b"220 smtp ready\r\n\r\n", 1), (lambda key: b"HTTP/1.1 302 Found\r\nLocation: ws://127.0.0.1/\r\nContent-Length: 0\r\n\r\n", 1)])
def test_an_answer_that_is_none(answer, status):
    with raw_server(answer, then=lambda connection, _: connection.shutdown(socket.SHUT_WR)) as (port, _):
        assert "error" in connect("ws://127.0.0.1:%d/" % port, "", status=status)[0]


def test_masks_are_new_each_time():
    def then(connection, heard):
        while len(heard.split(b"\r\n\r\n", 1)[1]) < 500:
            heard.extend(connection.recv(65536))
        connection.sendall(close_frame(1000, masked=False))

    with raw_server(good_101, then=then) as (port, heard):
        connect("ws://127.0.0.1:%d/" % port, "".join("same\n" for _ in range(50)), "--no-compression", "-w", "100ms")
    frames, masks, at = heard.split(b"\r\n\r\n", 1)[1], set(), 0
    while at < len(frames) and frames[at] == 0x81:
        masks.add(bytes(frames[at + 2:at + 6]))
        at += 6 + (frames[at + 1] & 0x7f)
    assert len(masks) == 50


# --- our own gate


@pytest.mark.parametrize("language", ["c", "c-zmq", "python"])
def test_with_our_own_gate(make_gate, echo, language):
    gate = make_gate(routes=["echo=/echo,subprotocols=v1,compress=on"])
    echo(gate, language)
    rows = connect(gate.url(), "hello " * 1000 + "\n/ping x\n", "-s", "v1", "-c", 1)
    assert rows[0]["subprotocol"] == "v1" and rows[0]["compressed"]
    assert {"type": "text", "text": "hello " * 1000} in rows
    assert connect(gate.url("/nowhere"), "", status=1)[0]["error"]["message"] == "the server answered 404"
    assert "Connection refused" in connect("ws://127.0.0.1:1/", "", status=3)[0]["error"]["message"]
    connect("http://127.0.0.1/", "", status=2)


def test_over_a_unix_socket(make_gate, echo, tmp_path):
    gate = make_gate(listen=("127.0.0.1:0", "unix:%s" % (tmp_path / "http.sock")))
    echo(gate)
    assert connect("ws://gate/echo", "over there\n", "--unix", tmp_path / "http.sock", "-c", 1)[1]["text"] == "over there"


def test_a_pipe_gets_messages_and_nothing_else(gate, echo):
    echo(gate)
    run = subprocess.run([str(BUILD / "wsctl" / "wsctl"), "connect", gate.url(), "-c", "3"], input="one\n//two\n/binary 616263\n", capture_output=True, text=True, timeout=DEADLINE)
    assert run.stdout == "one\n/two\n616263\n" and run.returncode == 0
    assert "open" in run.stderr


@pytest.mark.parametrize("code, status", [(1000, 0), (1001, 0), (None, 0), (1002, 5), (1003, 5), (1008, 5), (1009, 5), (1011, 5), (1012, 5), (3000, 5), (4321, 5)])
def test_how_the_server_closes_is_the_exit_status(code, status):
    goodbye = frame(8, b"", masked=False) if code is None else close_frame(code, "why", masked=False)
    with raw_server(good_101, frame(1, b"before", masked=False) + goodbye) as (port, _):
        rows = connect("ws://127.0.0.1:%d/" % port, status=status)
    assert {"type": "text", "text": "before"} in rows
    assert (rows[-1]["type"], rows[-1]["code"], rows[-1]["by"]) == ("close", code or 1005, "server")


def test_our_own_goodbye_is_no_fault_of_the_server(gate, echo):
    """The server answers with the code that it was sent."""
    echo(gate)
    connect(gate.url(), "/close 4321 enough\n")


@pytest.mark.parametrize("json", [False, True])
def test_what_a_server_says_of_its_goodbye_moves_no_cursor(json):
    evil = "bye \x1b]0;title\x07 \u009b2J \u202egnol"
    with raw_server(good_101, close_frame(1000, evil, masked=False)) as (port, _):
        run = subprocess.run([str(BUILD / "wsctl" / "wsctl"), *["--json"][:json], "connect", "ws://127.0.0.1:%d/" % port], input="", capture_output=True, text=True, timeout=DEADLINE)
    said = run.stdout if json else run.stderr
    assert "bye" in said and not set("\x1b\x07") & set(said)
    assert json or not set("\u009b\u202e") & set(said)  # JSON goes as it is to a program, and escaped to a terminal
