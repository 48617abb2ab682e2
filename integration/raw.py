"""A client that can say anything: HTTP and WebSocket over a plain socket, byte by byte, right or wrong."""

import base64
import collections
import hashlib
import os
import socket
import ssl
import struct
import time

DEADLINE = float(os.environ.get("WSBUS_TEST_DEADLINE", "20"))
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10

Frame = collections.namedtuple("Frame", "fin rsv opcode payload")
Response = collections.namedtuple("Response", "status headers body")


def accept_of(key):
    return base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()


def mask_bytes(payload, key):
    if not payload:
        return b""
    long_key = (key * (len(payload) // 4 + 1))[:len(payload)]
    return (int.from_bytes(payload, "little") ^ int.from_bytes(long_key, "little")).to_bytes(len(payload), "little")


def frame(opcode, payload=b"", fin=True, rsv=0, masked=True, length=None, key=b"\x37\xfa\x21\x3d"):
    """The bytes of one frame. `length` is what its header claims; "16" or "64" forces that many bits for the true one."""
    if isinstance(payload, str):
        payload = payload.encode()
    claimed = length if isinstance(length, int) else len(payload)
    bit = 0x80 if masked else 0
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    if claimed > 0xffff or length == "64":
        head += bytes([bit | 127]) + struct.pack(">Q", claimed)
    elif claimed > 125 or length == "16":
        head += bytes([bit | 126]) + struct.pack(">H", claimed)
    else:
        head += bytes([bit | claimed])
    return head + (key + mask_bytes(payload, key) if masked else payload)


def close_frame(code=None, reason="", **kwargs):
    payload = b"" if code is None else struct.pack(">H", code) + (reason if isinstance(reason, bytes) else reason.encode())
    return frame(CLOSE, payload, **kwargs)


def close_code(payload):
    """(code, reason) of a close frame's payload; (None, "") of an empty one."""
    return (struct.unpack(">H", payload[:2])[0], payload[2:].decode()) if payload else (None, "")


def upgrade_request(path="/echo", method="GET", version="HTTP/1.1", without=(), extra=(), **changes):
    """A handshake; `changes` replaces header values by lower-case name with _ for -, `extra` is more header lines."""
    headers = {"Host": "gate.test", "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Key": KEY,
               "Sec-WebSocket-Version": "13"}
    lines = ["%s %s %s" % (method, path, version)]
    for name, value in headers.items():
        if name.lower() not in [w.lower() for w in without]:
            lines.append("%s: %s" % (name, changes.get(name.lower().replace("-", "_"), value)))
    return "\r\n".join(lines + list(extra) + ["", ""]).encode()


class Raw:
    """One connection to a gate. Every wait has a deadline and fails with what had come so far."""

    def __init__(self, where, receive_buffer=None, source=None, tls=None, name="localhost", session=None):
        if isinstance(where, str):
            self.socket = socket.socket(socket.AF_UNIX)
            address = where
        else:
            self.socket = socket.socket(socket.AF_INET)
            address = ("127.0.0.1", where if isinstance(where, int) else where.port)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if source:
            self.socket.bind((source, 0))
        self.socket.settimeout(DEADLINE)
        self.socket.connect(address)
        self.extra = getattr(where, "extra", [])  # header lines of each handshake
        tls = tls or getattr(where, "tls", None)
        if tls:  # an ssl.SSLContext; `name` is asked for, and the certificate must be for it
            self.socket = tls.wrap_socket(self.socket, server_hostname=name, session=session, suppress_ragged_eofs=False)
        self._bytes = bytearray()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        self.socket.close()

    def reset(self):
        """End with RST, as a crashed machine's kernel would."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data.encode() if isinstance(data, str) else data)
        return self

    def _more(self):
        data = self.socket.recv(65536)
        self._bytes += data
        return bool(data)

    def read(self, count):
        while len(self._bytes) < count:
            assert self._more(), "the gate closed after %d of %d bytes: %r" % (len(self._bytes), count, bytes(self._bytes[:200]))
        data = bytes(self._bytes[:count])
        del self._bytes[:count]
        return data

    def read_until(self, end):
        while end not in self._bytes:
            assert self._more(), "the gate closed before %r: %r" % (end, bytes(self._bytes[:200]))
        return self.read(self._bytes.index(end) + len(end))

    def read_to_end(self):
        """Everything up to the end of the connection, in whatever way it ends."""
        try:
            while self._more():
                pass
        except (ConnectionResetError, ssl.SSLError):
            pass
        data = bytes(self._bytes)
        self._bytes.clear()
        return data

    def is_quiet(self, seconds=0.2):
        """Nothing comes, for so long. For what must not happen there is no other way than to look for a while."""
        self.socket.settimeout(seconds)
        try:
            if not self._bytes:
                self._more()
            return False
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(DEADLINE)

    # --- HTTP

    def read_head(self):
        lines = self.read_until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        version, status, _ = lines[0].split(" ", 2)
        assert version == "HTTP/1.1", lines[0]
        headers = collections.defaultdict(list)
        for line in lines[1:-2]:
            name, value = line.split(":", 1)
            headers[name.lower()].append(value.strip())
        return int(status), {name: ", ".join(values) for name, values in headers.items()}

    def read_response(self, method="GET"):
        status, headers = self.read_head()
        body = b""
        if method != "HEAD" and status >= 200 and status not in (204, 304):
            if headers.get("transfer-encoding") == "chunked":
                while size := int(self.read_until(b"\r\n"), 16):
                    body += self.read(size)
                    assert self.read(2) == b"\r\n"
                assert self.read(2) == b"\r\n"
            elif "content-length" in headers:
                body = self.read(int(headers["content-length"]))
            else:
                body = self.read_to_end()
        return Response(status, headers, body)

    # --- WebSocket

    def upgrade(self, path="/echo", **kwargs):
        kwargs.setdefault("extra", self.extra)
        self.send(upgrade_request(path, **kwargs))
        return self.expect_101()

    def expect_101(self):
        status, self.headers = self.read_head()
        assert status == 101, (status, self.headers)
        assert self.headers["sec-websocket-accept"] == accept_of(KEY)
        return self

    def read_frame(self):
        first, second = self.read(2)
        assert not second & 0x80, "a server must not mask"
        length = second & 0x7f
        if length == 126:
            length, = struct.unpack(">H", self.read(2))
        elif length == 127:
            length, = struct.unpack(">Q", self.read(8))
        return Frame(bool(first & 0x80), first >> 4 & 7, first & 15, self.read(length))

    def read_message(self):
        """The payload of a data message; str for text."""
        got = self.read_frame()
        assert got.fin and not got.rsv and got.opcode in (TEXT, BINARY), got
        return got.payload.decode() if got.opcode == TEXT else got.payload

    def say(self, message):
        return self.send(frame(TEXT if isinstance(message, str) else BINARY, message))

    def ask(self, message):
        """Say it and return what comes back."""
        return self.say(message).read_message()

    def read_close(self):
        """(code, reason) of the gate's close frame; data before it is skipped."""
        end = time.monotonic() + DEADLINE
        while (got := self.read_frame()).opcode != CLOSE:
            assert time.monotonic() < end, "no close frame, but %r" % (got,)
        return close_code(got.payload)

    def expect_end(self):
        assert self.read_to_end() == b""
