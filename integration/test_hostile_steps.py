"""What clients can ask for in few bytes is dear: requests that stand behind each other, files, signatures that are wrong, messages that were compressed a
thousandfold. No step of a loop does very much of it, and another client is answered meanwhile. Counted, as in test_longest_step.py."""

import base64
import contextlib
import json
import signal
import ssl
import subprocess
import zlib

import pytest

from conftest import BOTH_WIRES, BUILD, is_sanitized
from raw import Raw, frame
from steps import Steps

CLIENTS, BYTES = 32, 60000
CALLS, ALLOCATIONS, SIGNATURES, CODED = 400, 8000, 16, 1 << 20

pytestmark = [BOTH_WIRES, pytest.mark.skipif(is_sanitized(BUILD / "wsgate" / "wsgate"), reason="a sanitizer has an allocator of its own")]


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def key_set(path):
    """The public half of a key on P-521, whose signatures take longest."""
    private = subprocess.run(["openssl", "ecparam", "-name", "secp521r1", "-genkey", "-noout"], check=True, capture_output=True).stdout
    point = subprocess.run(["openssl", "ec", "-pubout", "-outform", "DER"], input=private, check=True, capture_output=True).stdout[-132:]
    path.write_text(json.dumps({"keys": [{"kty": "EC", "crv": "P-521", "alg": "ES512", "x": b64(point[:66]), "y": b64(point[66:])}]}))
    path.chmod(0o600)
    return path


def wrong_token():
    text = b64(json.dumps({"alg": "ES512"}).encode()) + "." + b64(json.dumps({"sub": "x", "exp": 1 << 33}).encode())
    return text + "." + b64(b"\0" + b"\x55" * 65 + b"\0" + b"\x66" * 65)


def request(line, *fields):
    return "\r\n".join([line + " HTTP/1.1", "Host: h", *fields, "", ""]).encode()


def bomb(size=1000000):
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(bytes(size)) + packer.flush(zlib.Z_SYNC_FLUSH)
    return frame(2, packed[:-4], rsv=4)


class Trial:
    def __init__(self, make_gate, take_seat, directory, workers):
        (directory / "www").mkdir()
        (directory / "www" / "file.txt").write_text("a file")
        self.steps = Steps(directory)
        self.gate = make_gate(
            routes=["echo=/echo", "packed=/packed,compress=yes", "probe=/probe",
                    "signed=/signed,token=query:token,token_keys=%s" % key_set(directory / "keys.json")],
            args=["--workers", workers, "--static", "/www/=%s/www" % directory], env=self.steps.env)
        self.seat = take_seat(self.gate, ["echo", "packed", "signed", "probe"])
        self.probe = Raw(self.gate).upgrade("/probe")
        self.conn = self.seat.hear("open").conn

    def ask(self):
        """An innocent client has an answer."""
        self.probe.say("are you there")
        while (event := self.seat.read(20000)).conn != self.conn:
            assert event is not None
        self.seat.send(self.conn, "yes")
        self.seat.flush()
        assert self.probe.read_message() == "yes"

    def attack_by_records(self, clients=16, records=2000):
        """A request that is refused, and behind it records of a byte that nobody uses any more."""
        attackers = [Raw(self.gate) for _ in range(clients)]
        self.ask()
        self.steps.forget()
        for attacker in attackers:
            attacker.send(b"no request\r\n\r\n")
            assert attacker.read_response().status == 400
        self.gate.signal(signal.SIGSTOP)  # so that all of them are there at once
        for attacker in attackers:
            attacker.socket.setblocking(False)
            with contextlib.suppress(BlockingIOError, ssl.SSLWantWriteError):
                for _ in range(records):
                    attacker.socket.send(b"x")
        self.gate.signal(signal.SIGCONT)
        self.ask()
        self.ask()
        most = self.steps.most()
        print("records of a byte", most)
        for attacker in attackers:
            attacker.reset()
        return most

    def attack(self, payload, path=None, clients=CLIENTS, extra=()):
        attackers = [Raw(self.gate) for _ in range(clients)]
        for attacker in attackers if path else []:
            attacker.upgrade(path, extra=extra)
        self.ask()
        self.steps.forget()
        for attacker in attackers:
            attacker.socket.setblocking(False)
            attacker.socket.send(payload * (BYTES // len(payload)))
        self.ask()
        self.ask()
        most = self.steps.most()
        print(payload[:20], most)
        for attacker in attackers:
            attacker.reset()
        return most


@pytest.mark.parametrize("workers", [1, 2])
def test_no_client_makes_a_step_long(make_gate, take_seat, tmp_path, workers):
    t = Trial(make_gate, take_seat, tmp_path, workers)
    for what in (
            t.attack(request("GET /nowhere")), t.attack(request("GET /nowhere"), clients=1), t.attack(request("HEAD /www/file.txt")),
            t.attack(request("OPTIONS *")), t.attack(frame(2, b"x"), "/echo"), t.attack(frame(9, b"x"), "/echo"),
            t.attack(request("GET /signed?token=" + wrong_token()), clients=8),
            t.attack(bomb(16 << 20), "/packed", clients=4, extra=["Sec-WebSocket-Extensions: permessage-deflate"]),
            t.attack_by_records(),
            t.attack(bomb(), "/packed", clients=2, extra=["Sec-WebSocket-Extensions: permessage-deflate"])):
        assert what.calls <= CALLS and what.signatures <= SIGNATURES and what.coded <= CODED
        assert what.allocations <= 2 * ALLOCATIONS  # the loop that hands out what the others have said does it in loads
