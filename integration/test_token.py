"""Tokens: made with wsctl or by others, wanted by routes, refused for every reason there is, and what becomes of their claims."""

import base64
import hashlib
import hmac
import json
import os
import signal
import stat
import subprocess
import time

import pytest

from conftest import BUILD, DEADLINE, ROOT, eventually
from raw import Raw, frame, upgrade_request


def wsctl(*args, status=0):
    run = subprocess.run([str(BUILD / "wsctl" / "wsctl"), "token", *map(str, args)], capture_output=True, text=True, timeout=DEADLINE)
    assert run.returncode == status, run.stdout + run.stderr
    return (run.stdout if status == 0 else run.stderr).strip()


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signed(secret, claims, header=None):
    text = "%s.%s" % (b64(json.dumps(header or {"alg": "HS256"}).encode()), b64(json.dumps(claims).encode()))
    return "%s.%s" % (text, b64(hmac.new(secret, text.encode(), hashlib.sha256).digest()))


@pytest.fixture
def keys(tmp_path):
    path = tmp_path / "keys.json"
    wsctl("new", path, "--kid", "k1")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    return path


def secret_of(keys):
    k = json.loads(keys.read_text())["keys"][0]["k"]
    return base64.urlsafe_b64decode(k + "=" * (-len(k) % 4))


def status_of(gate, path="/echo", *lines):
    with Raw(gate) as client:
        return client.send(upgrade_request(path, extra=lines)).read_response().status


def route(keys, more=""):
    return "echo=/echo,token=query:token,token_keys=%s%s" % (keys, more)


def test_a_token_lets_in_and_its_claims_are_told(make_gate, take_seat, keys):
    gate = make_gate(routes=[route(keys, ",user=claim:sub,pin=hash,pin_key=claim:tenant")])
    bus = take_seat(gate)
    token = wsctl("make", "-k", keys, "-r", "echo", "-u", "ann", "-t", "1h", "-c", '{"tenant": 7, "roles": ["a", "é"]}')
    with Raw(gate).upgrade("/echo?x=1&token=%s&y=2" % token):
        opened = bus.hear("open")
        claims = opened.meta["claims"]
        assert (claims["sub"], claims["tenant"], claims["roles"], claims["aud"]) == ("ann", 7, ["a", "é"], "echo")
        assert 3590 <= claims["exp"] - time.time() <= 3601
        row, = gate.wsctl("list")["connections"]
        assert row["target"] == "/echo?x=1&token=&y=2"  # nobody else needs to see it
        assert [user["name"] for user in gate.wsctl("groups", "--users")["groups"]] == ["ann"]
    bus.hear("closed")
    assert token not in gate.output
    with Raw(gate) as client:
        client.send("GET /echo?token=%s HTTP/1.1\r\nHost: h\r\n\r\n" % token)
        request = bus.hear("request")
        assert request.meta["claims"]["sub"] == "ann"
        bus.respond(request.conn, "hello")
        bus.flush()
        assert client.read_response().body == b"hello"


def test_what_is_not_let_in(make_gate, echo, keys):
    gate = make_gate(routes=[route(keys), "other=/other,token=query:token,token_keys=%s" % keys])
    echo(gate)
    secret, now = secret_of(keys), int(time.time())
    good = wsctl("make", "-k", keys, "-r", "echo")
    assert status_of(gate, "/echo?token=" + good) == 101
    for bad, why in [
        ("", "no token"), (good[:-2] + ("AA" if good[-2:] != "AA" else "BB"), "the signature is not right"), ("x", "not a token"),
        (wsctl("make", "-k", keys, "-r", "other"), "the token is for somebody else"),
        (signed(secret, {"exp": now - 31}), "the token has expired"), (signed(secret, {}), "the token has no expiry"),
        (signed(secret, {"exp": now + 60, "nbf": now + 60}), "the token is not good yet"),
        (signed(b"x" * 32, {"exp": now + 60}), "the signature is not right"),
        (signed(secret, {"exp": now + 60}, {"alg": "none"}), "no key is for its algorithm"),
        (signed(secret, {"exp": now + 60}, {"alg": "HS256", "kid": "other"}), "no key of its algorithm has its kid"),
    ]:
        with Raw(gate) as client:
            response = client.send(upgrade_request("/echo?token=" + bad)).read_response()
        assert response.status == 401 and response.headers["www-authenticate"] == "Bearer"
        assert why.encode() not in response.body
        gate.wait_line('msg=refused .*why="%s"' % why)
    with Raw(gate) as client:
        client.send("GET /echo HTTP/1.1\r\nHost: h\r\n\r\n")
        assert client.read_response().status == 401
    assert gate.wsctl("stats")["routes"]["echo"]["refused_by"]["token"] == 11


@pytest.mark.parametrize("deep, status", [(31, 101), (32, 401), (990, 401), (2047, 401)])
def test_claims_are_not_deeper_than_handlers_can_read(make_gate, echo, keys, deep, status):
    """Python gives up at some 990 levels, the C library's parser at 2,048: the gate does before."""
    gate = make_gate(routes=[route(keys)])
    for language in ("python", "c"):
        echo(gate, language)
    text = "%s.%s" % (b64(b'{"alg":"HS256"}'), b64(b'{"exp":%d,"x":%s}' % (time.time() + 60, b"[" * deep + b"]" * deep)))
    token = "%s.%s" % (text, b64(hmac.new(secret_of(keys), text.encode(), hashlib.sha256).digest()))
    clients = [Raw(gate).send(upgrade_request("/echo?token=" + token)) for _ in range(4)]
    assert [client.read_head()[0] for client in clients] == [status] * 4
    if status == 101:
        assert [client.ask("hello") for client in clients] == ["hello"] * 4
    assert len(gate.wsctl("handlers")["handlers"]) == 2


def test_a_token_is_not_logged_where_nobody_asks_for_it(make_gate, keys, tmp_path):
    """A proxy that drops Upgrade, an old client, a path with an error in it: the token is as good as ever."""
    log, secret = tmp_path / "access.log", "s3cr3t"
    gate = make_gate(routes=[route(keys, ",kind=websocket")], args=["--access-log", log])
    for status, request in [
        (426, b"GET /echo?a=1&token=%s&b=2 HTTP/1.1\r\nHost: h\r\n\r\n"), (404, b"GET /ehco?token=%s HTTP/1.1\r\nHost: h\r\n\r\n"),
        (404, upgrade_request("/ehco?token=%s")), (426, upgrade_request("/echo?token=%s", sec_websocket_version="8"))]:
        with Raw(gate) as client:
            assert client.send(request.replace(b"%s", secret.encode())).read_response().status == status
    eventually(lambda: log.read_text().count("\n") == 4, "a line for each of them")
    gate.wait_line("msg=refused .*status=426 .*target=\"?/echo[?]token=")
    assert "/echo?a=1&token=&b=2 " in log.read_text()
    assert secret not in log.read_text() and secret not in gate.output


@pytest.mark.parametrize("source, lines", [
    ("header:authorization", "Authorization: Bearer %s"), ("header:authorization", "authorization: bearer  %s"), ("header:x-token", "X-Token: %s"),
    ("cookie:session", "Cookie: a=b; session=%s")])
def test_where_a_token_can_be(make_gate, echo, keys, source, lines):
    gate = make_gate(routes=["echo=/echo,token=%s,token_keys=%s" % (source, keys)])
    echo(gate)
    token = wsctl("make", "-k", keys)
    assert status_of(gate, "/echo", lines % token) == 101
    assert status_of(gate, "/echo") == 401
    assert status_of(gate, "/echo?token=" + token) == 401


SUBPROTOCOL = "echo=/echo,token=subprotocol:bearer,subprotocols=chat.v2|chat.v1,token_keys=%s"


@pytest.mark.parametrize("offer, chosen", [
    ("bearer, %s", "bearer"), ("chat.v1, bearer, %s", "chat.v1"), ("bearer, %s, chat.v1, chat.v2", "chat.v1"), ("other, bearer,%s", "bearer"),
    ("bearer\r\nSec-WebSocket-Protocol: %s", "bearer"), (", bearer, ,, %s,", "bearer")])
def test_a_token_among_the_subprotocols(make_gate, take_seat, keys, offer, chosen):
    """The token and its mark are no subprotocols: the mark is told only where the client would else hear of none."""
    gate = make_gate(routes=[SUBPROTOCOL % keys])
    seat = take_seat(gate)
    token = wsctl("make", "-k", keys, "-u", "ann", "-c", json.dumps({"more": "x" * 600}))
    with Raw(gate).upgrade(extra=["Sec-WebSocket-Protocol: " + offer % token]) as client:
        assert client.headers["sec-websocket-protocol"] == chosen
        meta = seat.hear("open").meta
        assert (meta["subprotocol"], meta["claims"]["sub"]) == (chosen, "ann")
        assert not {"bearer", token} & set(meta["offered"])
        assert gate.wsctl("list")["connections"][0]["subprotocol"] == chosen
    assert token not in gate.output


@pytest.mark.parametrize("offer", ["%s", "bearer", "%s, bearer", "chat.v1, %s", "bearer, chat.v1, %s", "Bearer, %s", "bearer, %sx"])
def test_what_is_no_token_among_the_subprotocols(make_gate, echo, keys, offer):
    gate = make_gate(routes=[SUBPROTOCOL % keys])
    echo(gate)
    token = wsctl("make", "-k", keys)
    assert status_of(gate, "/echo", "Sec-WebSocket-Protocol: " + (offer % token if "%" in offer else offer)) == 401
    assert status_of(gate, "/echo?bearer=" + token) == 401
    assert gate.wsctl("stats")["routes"]["echo"]["refused_by"]["token"] == 2


def test_a_required_subprotocol_is_not_the_mark(make_gate, echo, keys):
    gate = make_gate(routes=[SUBPROTOCOL % keys + ",require_subprotocol=yes"])
    echo(gate)
    token = wsctl("make", "-k", keys)
    assert status_of(gate, "/echo", "Sec-WebSocket-Protocol: bearer, " + token) == 400
    assert status_of(gate, "/echo", "Sec-WebSocket-Protocol: chat.v1, bearer, " + token) == 101


@pytest.mark.parametrize("said, status, chosen", [(None, 101, "bearer"), ("", 101, "bearer"), ("bearer", 101, "bearer"), ("other", 101, "other"),
                                                  ("token", 502, None)])
def test_a_handler_never_chooses_the_token(make_gate, take_seat, keys, said, status, chosen):
    gate = make_gate(routes=[SUBPROTOCOL % keys + ",accept=handler"])
    seat = take_seat(gate)
    token = wsctl("make", "-k", keys)
    with Raw(gate) as client:
        client.send(upgrade_request(extra=["Sec-WebSocket-Protocol: other, bearer, " + token]))
        opened = seat.hear("open")
        assert opened.meta["offered"] == ["other"]
        seat.accept(opened.conn, **({} if said is None else {"subprotocol": token if said == "token" else said}))
        seat.flush()
        answer = client.read_head()
        assert (answer[0], answer[1].get("sec-websocket-protocol")) == (status, chosen)


def test_a_browser_brings_its_token(make_gate, echo, keys, tmp_path):
    gate = make_gate(routes=[SUBPROTOCOL % keys])
    echo(gate)
    token = wsctl("make", "-k", keys, "-t", "10m")
    run = subprocess.run(["node", str(ROOT / "integration/browser/token.js"), gate.url(), token], capture_output=True, text=True,
                         timeout=DEADLINE * 6, env={**os.environ, "HOME": str(tmp_path)})
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.split("\n")[:5] == ["1000 bearer", "1000 chat.v1", "1000 chat.v1", "1006 ", "1006 "]


@pytest.mark.parametrize("key", ["user", "pin_key"])
def test_only_tokens_are_found_there(key):
    run = subprocess.run([str(BUILD / "wsgate" / "wsgate"), "-t", "--listen", "127.0.0.1:0", "--route", "echo=/echo,%s=subprotocol:x" % key], capture_output=True, text=True)
    assert run.returncode != 0 and "is for token only" in run.stderr


def test_a_foreign_key_spoils_no_set(make_gate, echo, keys):
    """RFC 7517 §5. Neither at start, nor when keys are rotated."""
    foreign = [{"kty": "RSA", "use": "enc", "kid": "enc-1", "n": "AQAB", "e": "AQAB"}, {"kty": "AKP", "alg": "ML-DSA-65", "pub": "AAAA"}]
    first = json.loads(keys.read_text())["keys"][0]
    keys.write_text(json.dumps({"keys": [foreign[0], first]}))
    gate = make_gate(routes=[route(keys)])
    echo(gate)
    assert gate.wait_line('level=warn .*msg="keys skipped" .*route=echo .*used=1 skipped=1 why="key 1 \\(enc-1\\): ')
    assert status_of(gate, "/echo?token=" + wsctl("make", "-k", keys)) == 101
    second = {"kty": "oct", "kid": "k2", "alg": "HS512", "k": b64(b"x" * 64)}
    keys.write_text(json.dumps({"keys": [second, *foreign]}))
    old = signed(base64.urlsafe_b64decode(first["k"] + "=="), {"exp": time.time() + 60})
    assert status_of(gate, "/echo?token=" + old) == 101
    gate.wsctl("reload")
    assert gate.wait_line('msg="keys skipped" .*skipped=2')
    assert status_of(gate, "/echo?token=" + wsctl("make", "-k", keys)) == 101
    assert status_of(gate, "/echo?token=" + old) == 401


def test_a_connection_has_the_leeway_of_its_token(make_gate, echo, keys):
    """A token whose time was over, and was let in by the leeway, ended its connection at once."""
    gate = make_gate(routes=[route(keys, ",token_expiry=close,token_leeway=3s")])
    echo(gate)
    now = time.time()
    with Raw(gate).upgrade("/echo?token=" + signed(secret_of(keys), {"exp": now - 1})) as client:
        assert client.ask("let in") == "let in"
        assert client.read_close() == (1008, "the token has expired")
        assert time.time() >= now + 1.9
    assert gate.wsctl("stats")["routes"]["echo"]["ended"]["token"] == 1


def test_rs256_by_somebody_else(make_gate, echo, tmp_path):
    pem, keys = tmp_path / "key.pem", tmp_path / "jwks.json"
    subprocess.run(["openssl", "genrsa", "-out", str(pem), "2048"], check=True, capture_output=True)
    modulus = subprocess.run(["openssl", "rsa", "-in", str(pem), "-noout", "-modulus"], check=True, capture_output=True, text=True).stdout
    n = bytes.fromhex(modulus.strip().split("=")[1])
    keys.write_text(json.dumps({"keys": [{"kty": "RSA", "kid": "r1", "alg": "RS256", "n": b64(n), "e": "AQAB"}]}))
    gate = make_gate(routes=["echo=/echo,token=query:t,token_keys=%s,token_issuer=https://id.example,token_audience=us" % keys])
    echo(gate)

    def token(**claims):
        text = "%s.%s" % (b64(b'{"alg":"RS256","kid":"r1"}'), b64(json.dumps({"exp": time.time() + 60, **claims}).encode()))
        run = subprocess.run(["openssl", "dgst", "-sha256", "-sign", str(pem)], input=text.encode(), check=True, capture_output=True)
        return "%s.%s" % (text, b64(run.stdout))

    assert status_of(gate, "/echo?t=" + token(iss="https://id.example", aud=["us", "them"])) == 101
    assert status_of(gate, "/echo?t=" + token(iss="https://id.example")) == 401
    assert status_of(gate, "/echo?t=" + token(iss="https://evil.example", aud="us")) == 401
    # the public key as if it were a secret one
    assert status_of(gate, "/echo?t=" + signed(n, {"exp": time.time() + 60, "iss": "https://id.example", "aud": "us"})) == 401


def test_a_connection_may_end_with_its_token(make_gate, take_seat, keys):
    gate = make_gate(routes=[route(keys, ",token_expiry=close,token_leeway=0"), "keep=/keep,token=query:token,token_keys=%s,token_leeway=0" % keys])
    bus = take_seat(gate, ["echo", "keep"])
    short = wsctl("make", "-k", keys, "-t", "2")
    with Raw(gate).upgrade("/keep?token=" + short) as stays, Raw(gate).upgrade("/echo?token=" + short) as goes:
        opened = {event.meta["route"]: event.conn for event in (bus.hear("open"), bus.hear("open"))}
        assert goes.read_close() == (1008, "the token has expired")
        goes.send(frame(8, b"\x03\xf0"))
        assert bus.hear("closed").conn == opened["echo"]
        bus.send(opened["keep"], "you stay")
        bus.flush()
        assert stays.read_message() == "you stay"
    assert gate.wsctl("stats")["routes"]["echo"]["ended"]["token"] == 1


@pytest.mark.parametrize("spoil, why", [
    (lambda path: path.unlink(), "No such file"), (lambda path: path.write_text("{"), "line 1"), (lambda path: path.write_text('{"keys": []}'), "no key set"),
    (lambda path: path.chmod(0o644), "chmod 0600"), (lambda path: path.write_text('{"keys": [{"kty": "oct", "k": "AAAA"}]}'), "shorter than 32 bytes")])
def test_keys_that_cannot_be(processes, keys, spoil, why):
    spoil(keys)
    check = processes([BUILD / "wsgate" / "wsgate", "-t", "--listen", "127.0.0.1:0", "--route", route(keys)])
    assert check.process.wait(DEADLINE) != 0
    check.wait_line("--route: route 'echo': token_keys: .*" + why)


def test_what_wsctl_says(tmp_path, keys):
    assert "File exists" in wsctl("new", keys, status=1)
    assert "--keys FILE is missing" in wsctl("make", status=2)
    assert "not a JSON object" in wsctl("make", "-k", keys, "-c", "[1]", status=2)
    assert "no symmetric key k2" in wsctl("make", "-k", keys, "--kid", "k2", status=1)
    token = wsctl("make", "-k", keys, "-r", "chat", "-u", "bob", "--issuer", "me")
    claims = json.loads(wsctl("check", token, "-k", keys, "-r", "chat", "--issuer", "me"))
    assert (claims["sub"], claims["aud"], claims["iss"]) == ("bob", "chat", "me")
    assert "the token is for somebody else" in wsctl("check", token, "-k", keys, "-r", "news", status=1)
    assert "the signature is not right" in wsctl("check", token[:-4] + "AAAA", "-k", keys, status=1)
    assert json.loads(wsctl("make", "-k", keys, "--json"))["claims"]["exp"] > time.time()


@pytest.mark.parametrize("how", ["wsctl", "SIGHUP"])
def test_keys_are_read_anew(make_gate, echo, tmp_path, how):
    first, second, live = tmp_path / "first.json", tmp_path / "second.json", tmp_path / "live.json"
    wsctl("new", first)
    wsctl("new", second)
    live.write_text(first.read_text())
    live.chmod(0o600)
    gate = make_gate(routes=[route(live)])
    echo(gate)

    def reload(good):
        said = len(gate.lines)
        if how == "wsctl":
            gate.wsctl("reload", status=0 if good else 1)
        else:
            gate.signal(signal.SIGHUP)
        return eventually(lambda: [line for line in gate.lines[said:] if 'msg="files ' in line])[0]

    old, new = wsctl("make", "-k", first), wsctl("make", "-k", second)
    assert (status_of(gate, "/echo?token=" + old), status_of(gate, "/echo?token=" + new)) == (101, 401)
    with Raw(gate).upgrade("/echo?token=" + old) as stays:
        live.write_text("rubbish")
        assert "line 1" in reload(good=False)
        assert status_of(gate, "/echo?token=" + old) == 101
        live.write_text(second.read_text())
        assert "read anew" in reload(good=True)
        assert (status_of(gate, "/echo?token=" + old), status_of(gate, "/echo?token=" + new)) == (401, 101)
        assert stays.ask("still here") == "still here"
