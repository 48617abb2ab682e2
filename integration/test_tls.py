"""TLS: who is shown which certificate, who is let in, what bad and slow strangers can do, and that everything else is as without."""

import json
import os
import signal
import socket
import ssl
import struct
import subprocess
import time

import pytest
from certificates import fingerprint
from conftest import BUILD, eventually, run_async
from raw import BINARY, Raw, close_frame, frame, upgrade_request
from websockets.client import connect

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
VERSIONS = pytest.mark.parametrize("version", [V12, V13], ids=["1.2", "1.3"])


def listener(*pairs, **options):
    """--listen's value."""
    keys = {"certificates": "|".join(str(cert) for cert, _ in pairs), "keys": "|".join(str(key) for _, key in pairs), **options}
    return "127.0.0.1:0," + ",".join("%s=%s" % pair for pair in keys.items())


@pytest.fixture
def tls_gate(make_gate, pki):
    """tls_gate() has one listener, with TLS."""

    def make(*pairs, args=(), options=None, **kwargs):
        return make_gate(listen=[listener(*(pairs or (pki.local,)), **(options or {}))], args=args, **kwargs)

    return make


def tls_stats(gate):
    return {key: value for key, value in gate.wsctl("stats")["gate"].items() if key.startswith("tls_")}


def failures(gate):
    return {reason: count for reason, count in tls_stats(gate)["tls_failed"].items() if count}


# --- it works ------------------------------------------------------------------------------------------------------------


@VERSIONS
@pytest.mark.parametrize("language", ["c", "c-zmq"])
def test_echo_over_both_links(tls_gate, echo, pki, version, language):
    gate = tls_gate()
    echo(gate, language)
    with Raw(gate, tls=pki.client(version=version)) as client:
        client.upgrade()
        assert client.ask("hello") == "hello"
        for size in (0, 1, 125, 126, 16383, 16384, 16385, 65536, 1 << 20, 5 << 20):
            payload = os.urandom(size)
            assert client.ask(payload) == payload
        client.send(close_frame(1000))
        assert client.read_close() == (1000, "")
        client.expect_end()  # with close_notify: Python would complain
    assert tls_stats(gate)["tls_handshakes"] == {"1.2": int(version == V12), "1.3": int(version == V13)}


def test_a_client_library_and_many_at_once(tls_gate, echo, pki):
    gate = tls_gate()
    echo(gate)

    async def talk():
        clients = [await connect(gate.wss(), ssl=pki.client()) for _ in range(50)]
        for i, client in enumerate(clients):
            await client.send("message %d" % i)
        assert [await client.recv() for client in clients] == ["message %d" % i for i in range(50)]
        for client in clients:
            await client.close()
            assert client.close_code == 1000

    run_async(talk())
    eventually(lambda: gate.wsctl("status")["connections"] == 0)
    assert tls_stats(gate)["tls_truncated"] == 0


@pytest.mark.parametrize("takeover", ["no", "yes"])
def test_compressed(tls_gate, echo, pki, takeover):
    gate = tls_gate(routes=["echo=/echo,compress=yes,compress_takeover=" + takeover])
    echo(gate)

    async def talk():
        async with connect(gate.wss(), ssl=pki.client()) as client:
            assert [extension.name for extension in client.extensions] == ["permessage-deflate"]
            for i in range(100):
                message = "words and numbers %d " % i * (1 + i * i)
                await client.send(message)
                assert await client.recv() == message

    run_async(talk())
    assert gate.wsctl("stats")["routes"]["echo"]["packed"] > 90


def test_messages_cut_at_every_record_and_byte(tls_gate, echo, pki):
    gate = tls_gate()
    echo(gate)
    with Raw(gate, tls=pki.client()) as client:
        for byte in upgrade_request():
            client.send(bytes([byte]))
        client.expect_101()
        for byte in frame(1, "in small pieces"):
            client.send(bytes([byte]))
        assert client.read_message() == "in small pieces"


def test_wsbench_checks_every_answer(tls_gate, echo, pki):
    gate = tls_gate()
    echo(gate)
    for trust in (["--ca-file", str(pki.ca.file)], ["--insecure"]):
        run = subprocess.run([BUILD / "wsbench" / "wsbench", "echo", gate.wss(), *trust, "-c", "8", "-f", "4", "-n", "2000", "-d", "20"],
                             capture_output=True, text=True)
        assert run.returncode == 0, run.stdout + run.stderr
    run = subprocess.run([BUILD / "wsbench" / "wsbench", "echo", gate.wss(), "-c", "1", "-n", "1"], capture_output=True, text=True)
    assert run.returncode != 0 and "certificate" in run.stdout + run.stderr


@VERSIONS
def test_files_by_https(tls_gate, pki, tmp_path, version):
    (tmp_path / "big.bin").write_bytes(os.urandom(5 << 20))
    (tmp_path / "small.txt").write_text("small")
    gate = tls_gate(args=["--static", "/=%s" % tmp_path])
    with Raw(gate, tls=pki.client(version=version)) as client:
        for name in ("small.txt", "big.bin", "small.txt"):
            answer = client.send("GET /%s HTTP/1.1\r\nHost: x\r\n\r\n" % name).read_response()
            assert (answer.status, answer.body) == (200, (tmp_path / name).read_bytes())
        part = client.send("GET /big.bin HTTP/1.1\r\nHost: x\r\nRange: bytes=70000-199999\r\nConnection: close\r\n\r\n").read_response()
        assert (part.status, part.body) == (206, (tmp_path / "big.bin").read_bytes()[70000:200000])
        client.expect_end()


def test_a_slow_reader_gets_all_of_a_file(tls_gate, pki, tmp_path):
    (tmp_path / "big.bin").write_bytes(os.urandom(8 << 20))
    gate = tls_gate(args=["--static", "/=%s" % tmp_path])
    before = gate.memory_kib()
    with Raw(gate, tls=pki.client(), receive_buffer=4096) as client, Raw(gate, tls=pki.client()) as other:
        client.send("GET /big.bin HTTP/1.1\r\nHost: x\r\n\r\n")
        assert other.send("GET /none HTTP/1.1\r\nHost: x\r\n\r\n").read_response().status == 404  # nobody waits for the slow one
        assert client.read_response().body == (tmp_path / "big.bin").read_bytes()
    gate.assert_grew_less(before, 4)


def test_handlers_are_told(tls_gate, pki, take_seat):
    gate = tls_gate(options={"client_certificates": "optional", "client_ca": pki.clients.file})
    seat = take_seat(gate)
    with Raw(gate, tls=pki.client(version=V13, cert=pki.alice)) as client:
        client.upgrade()
        event = seat.hear("open")
        assert event.meta["scheme"] == "wss"
        assert event.meta["tls"] == {
            "version": "TLSv1.3", "cipher": client.socket.cipher()[0], "resumed": False, "name": "localhost",
            "client": {"subject": "CN=alice", "fingerprint": fingerprint(pki.alice[0])}}
        shown = gate.wsctl("show", "%016x" % event.conn)
        assert shown["tls"] == {"version": "TLSv1.3", "cipher": client.socket.cipher()[0], "name": "localhost",
                                "client_subject": "CN=alice", "client_fingerprint": fingerprint(pki.alice[0])}
        assert gate.wsctl("list")["connections"][0]["tls"]["version"] == "TLSv1.3"
    seat.hear("closed")
    with Raw(gate, tls=pki.client(version=V12)) as client:
        client.send("GET /echo HTTP/1.1\r\nHost: x\r\n\r\n")
        event = seat.hear("request")
        assert event.meta["scheme"] == "https"
        assert event.meta["tls"]["version"] == "TLSv1.2" and "client" not in event.meta["tls"]


def test_plain_listeners_beside_it_stay_plain(make_gate, pki, take_seat):
    gate = make_gate(listen=["127.0.0.1:0", listener(pki.local)])
    seat = take_seat(gate)
    with Raw(gate) as client:
        client.upgrade()
        event = seat.hear("open")
        assert event.meta["scheme"] == "ws" and "tls" not in event.meta


# --- certificates --------------------------------------------------------------------------------------------------------


def shown(gate, pki, name, **kwargs):
    """The common name of what a client is shown that asks for a host."""
    context = pki.client(**kwargs)
    context.check_hostname = False
    with Raw(gate, tls=context, name=name) as client:
        return dict(pair[0] for pair in client.socket.getpeercert()["subject"])["commonName"]


@VERSIONS
def test_certificate_by_name(tls_gate, pki, version):
    gate = tls_gate(pki.a, pki.b, pki.local)
    for name, expected in (("a.test", "a"), ("b.test", "b"), ("x.b.test", "b"), ("x.y.b.test", "a"), ("localhost", "local"),
                           ("A.TEST", "a"), ("other.test", "a"), (None, "a")):
        assert shown(gate, pki, name, version=version) == expected, name


def test_wsctl_tls_show(tls_gate, pki):
    gate = tls_gate(pki.a, pki.b)
    listeners = gate.wsctl("tls")["listeners"]
    assert [c["names"] for c in listeners[0]["certificates"]] == [["a.test"], ["b.test", "*.b.test"]]
    first = listeners[0]["certificates"][0]
    assert first["fingerprint"] == fingerprint(pki.a[0]) and first["key"] == "EC" and first["file"] == str(pki.a[0])
    assert 29 * 86400 < first["not_after"] - time.time() < 31 * 86400
    text = subprocess.run([BUILD / "wsctl" / "wsctl", "-d", gate.dir, "tls"], capture_output=True, text=True).stdout
    assert "*.b.test" in text and fingerprint(pki.b[0]) in text


@pytest.mark.parametrize("how", ["wsctl", "SIGHUP"])
def test_reload(tls_gate, echo, pki, tmp_path, how):
    own = tmp_path / "own.pem"
    own.write_bytes(pki.a[0].read_bytes() + pki.a[1].read_bytes())
    own.chmod(0o600)
    gate = tls_gate(options={"certificates": own, "keys": own})
    echo(gate)

    def reload(good):
        if how == "wsctl":
            return gate.wsctl("reload", status=0 if good else 1)
        said = len(gate.lines)
        gate.signal(signal.SIGHUP)
        return eventually(lambda: [line for line in gate.lines[said:] if 'msg="files ' in line])[0]

    old = Raw(gate, tls=pki.client(), name="a.test").upgrade()
    own.write_bytes(pki.b[0].read_bytes() + pki.b[1].read_bytes())
    reload(True)
    assert eventually(lambda: shown(gate, pki, None) == "b")
    assert old.ask("still here") == "still here"
    own.write_bytes(pki.b[0].read_bytes() + pki.a[1].read_bytes())  # a key of something else
    assert "not the key of the certificate" in json.dumps(reload(False))
    assert shown(gate, pki, None) == "b"
    assert old.ask("still here") == "still here"
    own.unlink()
    assert "No such file" in json.dumps(reload(False))
    assert shown(gate, pki, None) == "b"
    old.close()


@VERSIONS
def test_sessions_are_resumed_also_after_a_reload(tls_gate, pki, version):
    gate = tls_gate(args=["--workers", "2"])
    context = pki.client(version=version)

    def visit(session):
        with Raw(gate, tls=context, session=session) as client:
            client.send("GET /none HTTP/1.1\r\nHost: x\r\n\r\n").read_response()  # with it come the tickets
            return client.socket.session, client.socket.session_reused

    session, reused = visit(None)
    assert not reused
    session, reused = visit(session)
    assert reused
    gate.wsctl("reload")
    assert visit(session)[1]
    assert tls_stats(gate)["tls_resumed"] == 2


# --- client certificates ---------------------------------------------------------------------------------------------------


def is_let_in(gate, context):
    try:
        with Raw(gate, tls=context) as client:
            return client.send("GET /none HTTP/1.1\r\nHost: x\r\n\r\n").read_response().status == 404
    except (ssl.SSLError, ConnectionError, AssertionError):
        return False


@VERSIONS
@pytest.mark.parametrize("rule, nobody, alice, mallory", [("optional", True, True, False), ("required", False, True, False)])
def test_client_certificates(tls_gate, pki, version, rule, nobody, alice, mallory):
    gate = tls_gate(options={"client_certificates": rule, "client_ca": pki.clients.file})
    assert is_let_in(gate, pki.client(version=version)) == nobody
    assert is_let_in(gate, pki.client(version=version, cert=pki.alice)) == alice
    assert is_let_in(gate, pki.client(version=version, cert=pki.mallory)) == mallory
    assert eventually(lambda: failures(gate)) == {"certificate": 2 - nobody}


@VERSIONS
def test_a_resumed_session_is_still_who_it_was(tls_gate, pki, take_seat, version):
    gate = tls_gate(options={"client_certificates": "required", "client_ca": pki.clients.file})
    seat = take_seat(gate)
    context = pki.client(version=version, cert=pki.alice)
    session = None
    for is_second in (False, True):
        with Raw(gate, tls=context, session=session) as client:
            client.upgrade()
            assert seat.hear("open").meta["tls"] == {
                "version": client.socket.version(), "cipher": client.socket.cipher()[0], "resumed": is_second, "name": "localhost",
                "client": {"subject": "CN=alice", "fingerprint": fingerprint(pki.alice[0])}}
            session = client.socket.session
        seat.hear("closed")


def test_a_session_is_not_resumed_past_other_rules(make_gate, pki):
    """One gate, one set of ticket keys, two listeners: who came in where nobody is asked has to show a certificate at the other."""
    gate = make_gate(listen=[listener(pki.local), listener(pki.local, client_certificates="required", client_ca=pki.clients.file)])
    ports = [int(line.rsplit(":", 1)[1].split()[0]) for line in gate.lines if "msg=listening" in line]
    context = pki.client(version=V12)
    with Raw(ports[0], tls=context) as client:
        client.send("GET /none HTTP/1.1\r\nHost: x\r\n\r\n").read_response()
        session = client.socket.session
    with pytest.raises((ssl.SSLError, ConnectionError)):
        Raw(ports[1], tls=context, session=session)
    assert eventually(lambda: failures(gate)) == {"certificate": 1}


# --- what is refused -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["TLSv1", "TLSv1.1"])
def test_old_versions_are_refused(tls_gate, pki, version):
    gate = tls_gate()
    flag = "-" + version.lower().replace("v", "").replace(".", "_")
    run = subprocess.run(["openssl", "s_client", "-connect", "127.0.0.1:%d" % gate.port, flag, "-cipher", "ALL:@SECLEVEL=0"],
                         input="", capture_output=True, text=True)
    assert "alert protocol version" in run.stderr, run.stderr
    assert eventually(lambda: failures(gate)) == {"version": 1}


def test_a_minimum_of_1_3(tls_gate, pki):
    gate = tls_gate(options={"tls_min_version": "1.3"})
    assert not is_let_in(gate, pki.client(version=V12))
    assert is_let_in(gate, pki.client(version=V13))


def test_ciphers(tls_gate, pki):
    gate = tls_gate(options={"tls_ciphers": "ECDHE-ECDSA-AES128-GCM-SHA256"})
    assert not is_let_in(gate, pki.client(version=V12, ciphers="ECDHE-ECDSA-AES256-GCM-SHA384"))
    assert is_let_in(gate, pki.client(version=V12, ciphers="ECDHE-ECDSA-AES128-GCM-SHA256"))
    assert eventually(lambda: failures(gate)) == {"cipher": 1}


@pytest.mark.parametrize("offer, chosen", [(None, None), (["http/1.1"], "http/1.1"), (["h2", "http/1.1"], "http/1.1")])
def test_alpn(tls_gate, pki, offer, chosen):
    gate = tls_gate()
    with Raw(gate, tls=pki.client(alpn=offer)) as client:
        assert client.socket.selected_alpn_protocol() == chosen


def test_alpn_without_anything_in_common(tls_gate, pki):
    gate = tls_gate()
    with pytest.raises(ssl.SSLError, match="(?i)no.application.protocol"):
        Raw(gate, tls=pki.client(alpn=["h2"]))
    assert eventually(lambda: failures(gate)) == {"alpn": 1}


def test_plain_http_is_told_in_plain(tls_gate, pki):
    gate = tls_gate()
    with Raw(gate) as client:
        answer = client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").read_response()
        assert answer.status == 400
        client.expect_end()
    assert failures(gate) == {"plain": 1}
    gate.wait_line("plain HTTP where TLS is spoken")
    assert is_let_in(gate, pki.client())


GARBAGE = {
    "zeros": b"\0" * 100,
    "high bits": b"\x80" * 500,
    "a record too long": b"\x16\x03\x01\xff\xff" + b"\1" * 100,
    "a hello of one byte": b"\x16\x03\x01\0\x05\1\0\0\1\0",
    "an alert": b"\x15\x03\x03\0\2\2\x28",
    "empty lines": b"\r\n\r\n",
}


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_ends_that_connection_only(tls_gate, pki, name):
    gate = tls_gate()
    with Raw(gate) as client:
        client.send(GARBAGE[name]).read_to_end()
    assert eventually(lambda: sum(failures(gate).values())) == 1
    assert is_let_in(gate, pki.client())


def test_garbage_in_an_open_connection(tls_gate, echo, pki, take_seat):
    gate = tls_gate()
    seat = take_seat(gate)
    client = Raw(gate, tls=pki.client()).upgrade()
    seat.hear("open")
    plain = socket.socket(fileno=os.dup(client.socket.fileno()))
    plain.sendall(b"\x17\x03\x03\0\x20" + os.urandom(32))
    closed = seat.hear("closed")
    assert (closed.meta["code"], closed.meta["clean"]) == (1006, False)
    plain.close()
    client.close()


def test_goodbye_and_cut_are_told_apart(tls_gate, pki, take_seat):
    gate = tls_gate()
    seat = take_seat(gate)
    for is_cut in (False, True):
        client = Raw(gate, tls=pki.client()).upgrade()
        seat.hear("open")
        if is_cut:
            client.socket.shutdown(socket.SHUT_WR)  # of TCP: no close_notify
        else:
            client.socket.setblocking(False)
            try:
                client.socket.unwrap()
            except ssl.SSLError:
                pass  # our part is said
        assert seat.hear("closed").meta["code"] == 1006
        eventually(lambda: tls_stats(gate)["tls_truncated"] == int(is_cut))
        client.close()


# --- slow and many -----------------------------------------------------------------------------------------------------------


def hello(pki):
    """The first flight of a client."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = pki.client().wrap_bio(incoming, outgoing, server_hostname="localhost")
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


@pytest.mark.parametrize("said", ["nothing", "half", "all"])
def test_a_handshake_that_stops_is_cut_off(tls_gate, pki, said):
    gate = tls_gate(args=["--tls-handshake-timeout", "300ms"])
    flight = hello(pki)
    with Raw(gate) as client:
        client.send({"nothing": b"", "half": flight[:len(flight) // 2], "all": flight}[said])
        client.read_to_end()
    assert failures(gate) == {"timeout": 1}


def test_a_handshake_byte_by_byte(tls_gate, pki):
    gate = tls_gate()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = pki.client().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with socket.create_connection(("127.0.0.1", gate.port)) as wire:
        wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                for byte in outgoing.read():
                    wire.sendall(bytes([byte]))
                incoming.write(wire.recv(65536))
        tls.write(b"GET /none HTTP/1.1\r\nHost: x\r\n\r\n")
        for byte in outgoing.read():
            wire.sendall(bytes([byte]))
        answer = b""
        while b"\r\n" not in answer:
            try:
                answer += tls.read(65536)
            except ssl.SSLWantReadError:
                incoming.write(wire.recv(65536))
    assert answer.startswith(b"HTTP/1.1 404")


def test_a_flood_of_half_handshakes_is_bounded(tls_gate, pki):
    gate = tls_gate(args=["--max-tls-handshakes", "32", "--workers", "1", "--tls-handshake-timeout", "1s"])
    flight = hello(pki)
    before = gate.memory_kib()
    clients = [Raw(gate).send(flight[:-1]) for _ in range(300)]
    eventually(lambda: tls_stats(gate)["tls_held"] > 0)
    assert gate.wsctl("status")["connections"] <= 32
    gate.assert_grew_less(before, 16)
    for client in clients[:200]:
        client.close()
    assert is_let_in(gate, pki.client())  # after its turn
    for client in clients:
        client.close()


def test_others_are_served_during_a_storm(tls_gate, echo, pki):
    gate = tls_gate(args=["--workers", "1"])
    echo(gate)
    flight = hello(pki)
    with Raw(gate, tls=pki.client()) as client:
        client.upgrade()
        storm = [Raw(gate).send(flight) for _ in range(200)]
        for i in range(20):
            assert client.ask("message %d" % i) == "message %d" % i
        for one in storm:
            one.reset()
    eventually(lambda: sum(failures(gate).values()) == 200)


def test_a_client_that_does_not_read_is_bounded_as_without_tls(tls_gate, pki, take_seat):
    gate = tls_gate(routes=["echo=/echo,max_queue=1MiB"])
    seat = take_seat(gate)
    client = Raw(gate, tls=pki.client(), receive_buffer=4096).upgrade()
    conn = seat.hear("open").conn
    outcomes = []
    for _ in range(200):
        seat.send(conn, os.urandom(65536), BINARY)
    closed = seat.hear("closed")
    assert closed.meta["code"] == 1013, (closed, outcomes)
    client.close()


def test_reset_in_the_middle_of_everything(tls_gate, echo, pki):
    gate = tls_gate()
    echo(gate)
    for at in range(6):
        client = Raw(gate, tls=pki.client())
        if at:
            client.upgrade()
        if at > 1:
            client.send(frame(BINARY, os.urandom(1 << 20))[:at * 100000])
        client.reset()
    eventually(lambda: gate.wsctl("status")["connections"] == 0)


# --- the files ---------------------------------------------------------------------------------------------------------------


def check(*args):
    return subprocess.run([BUILD / "wsgate" / "wsgate", "-t", *map(str, args)], capture_output=True, text=True)


def test_bad_files_are_named(pki, tmp_path):
    text = tmp_path / "text"
    text.write_text("nothing\n")
    for pair, options, says in (
            ((pki.a[0], "/no/such.key"), {}, "--listen: /no/such.key: No such file or directory"),
            ((text, pki.a[1]), {}, "%s: no certificate (PEM) in it" % text),
            ((pki.a[0], text), {}, "%s: no private key (PEM) in it" % text),
            ((pki.a[0], pki.b[1]), {}, "b.key: not the key of the certificate in %s" % pki.a[0]),
            (pki.a, {"client_certificates": "required", "client_ca": text}, "%s: no certificate (PEM) in it" % text),
            (pki.a, {"tls_ciphers": "NOSUCH"}, "'NOSUCH' has a cipher that OpenSSL does not know")):
        run = check("--listen", listener(pair, **options))
        assert run.returncode == 2 and says in run.stderr, run.stderr


def test_warnings(pki):
    cert, key = pki.ca.sign("old", days=-1)
    key.chmod(0o644)
    run = check("--listen", listener((cert, key)))
    assert run.returncode == 0
    assert "warning: %s: the certificate has expired on" % cert in run.stderr
    assert "warning: %s: others can read this key (mode 0644)" % key in run.stderr


# --- behind a proxy ------------------------------------------------------------------------------------------------------------


def proxied_gate(make_gate, pki):
    """A listener whose connections begin with a PROXY header, then TLS: a file, since trusted proxies have no flag."""
    folder = pki.ca.folder
    config = folder / "proxied.conf"
    config.write_text('trusted_proxies = {"127.0.0.1"}\nlisten "127.0.0.1:0" {\nproxy_protocol = yes\ncertificates = {"%s"}\nkeys = {"%s"}\n}\n'
                      % pki.local)
    return make_gate(listen=[], args=["-c", config])


def test_tls_behind_the_proxy_protocol(make_gate, pki, take_seat):
    gate = proxied_gate(make_gate, pki)
    seat = take_seat(gate)
    wire = socket.create_connection(("127.0.0.1", gate.port))
    wire.sendall(b"PROXY TCP4 192.0.2.7 127.0.0.1 4711 443\r\n")
    with pki.client().wrap_socket(wire, server_hostname="localhost") as client:
        client.sendall(upgrade_request())
        event = seat.hear("open")
        assert (event.meta["peer"], event.meta["scheme"], event.meta["tls"]["name"]) == ("192.0.2.7:4711", "wss", "localhost")
