"""Responses as gzip: those of handlers, packed by the gate, and files that lie there packed."""

import gzip
import json
import random
import subprocess
import zlib

import pytest

from conftest import BOTH_WIRES, eventually
from raw import Raw
from test_http import get

pytestmark = BOTH_WIRES

TEXT = b"All work and no play makes Jack a dull boy.\n" * 500
JSON = {"content-type": "application/json"}
PACKED = "gzip, deflate, br"


@pytest.fixture
def web(make_gate):
    return make_gate(routes=["web=/web/{rest*},kind=http,gzip=on", "plain=/plain,kind=http"])


def answered(gate, bus, body, headers, status=200, method="GET", accept=PACKED, path="/web/"):
    """What a client gets to see of a response."""
    with Raw(gate) as client:
        client.send(get(path, method, ["Accept-Encoding: " + accept] if accept else []))
        bus.respond(bus.hear("request").conn, body, status, headers)
        bus.flush()
        return client.read_response(method)


def test_a_response_is_packed(web, take_seat):
    bus = take_seat(web, ["web"])
    answer = answered(web, bus, TEXT, {**JSON, "ETag": '"7"', "Vary": "Origin"})
    assert (answer.headers["content-encoding"], answer.headers["vary"], answer.headers["etag"]) == ("gzip", "Origin, Accept-Encoding", 'W/"7"')
    assert len(answer.body) == int(answer.headers["content-length"]) < len(TEXT) // 10
    assert gzip.decompress(answer.body) == TEXT
    head = answered(web, bus, TEXT, {**JSON, "ETag": '"7"', "Vary": "Origin"}, method="HEAD")
    assert {**head.headers, "date": 0, "x-request-id": 0} == {**answer.headers, "date": 0, "x-request-id": 0}
    stats = web.wsctl("stats")["routes"]["web"]
    assert (stats["gzipped"], stats["gzip_from_bytes"], stats["gzip_bytes"]) == (2, 2 * len(TEXT), 2 * len(answer.body))


@pytest.mark.parametrize("accept, headers, status, body", [
    ("", JSON, 200, TEXT), ("br", JSON, 200, TEXT), ("gzip;q=0", JSON, 200, TEXT), ("gzip;q=0.2, identity", JSON, 200, TEXT),
    (PACKED, {"content-type": "image/png"}, 200, TEXT), (PACKED, {**JSON, "content-encoding": "x-own"}, 200, TEXT),
    (PACKED, {**JSON, "cache-control": "no-transform"}, 200, TEXT), (PACKED, JSON, 200, b"short"),
    (PACKED, JSON, 200, random.Random(1).randbytes(4000)), (PACKED, {**JSON, "content-range": "bytes 0-9/10"}, 206, TEXT)])
def test_a_response_stays_as_it_is(web, take_seat, accept, headers, status, body):
    answer = answered(web, take_seat(web, ["web"]), body, headers, status, accept=accept)
    assert (answer.status, answer.body, answer.headers.get("content-encoding")) == (status, body, headers.get("content-encoding"))


def test_another_route_is_left_alone(web, take_seat):
    answer = answered(web, take_seat(web, ["plain"]), TEXT, JSON, path="/plain")
    assert (answer.body, "vary" in answer.headers) == (TEXT, False)


def test_nothing_is_packed_where_there_is_no_body(web, take_seat):
    bus = take_seat(web, ["web"])
    for status in (204, 304):
        answer = answered(web, bus, b"", {**JSON, "ETag": '"7"'}, status)
        assert ("content-encoding" in answer.headers, answer.headers["etag"]) == (False, '"7"' if status == 204 else 'W/"7"')


def test_events_arrive_one_by_one(web, take_seat):
    bus = take_seat(web, ["web"])
    unpacker = zlib.decompressobj(31)
    with Raw(web) as client:
        client.send(get("/web/", headers=["Accept-Encoding: gzip"]))
        conn = bus.hear("request").conn
        bus.respond(conn, b"", 200, {"content-type": "text/event-stream"}, more=True)
        bus.flush()
        assert client.read_head()[1]["content-encoding"] == "gzip"
        for i in range(100):
            event = b"data: %d\n\n" % i
            bus.body(conn, event)
            bus.flush()
            got = b""
            while got != event:  # before the next one is sent
                got += unpacker.decompress(client.read(int(client.read_until(b"\r\n"), 16)))
                client.read(2)
        bus.body(conn, b"", more=False)
        bus.flush()
        rest = client.read_until(b"\r\n0\r\n\r\n")
        assert unpacker.decompress(rest[rest.index(b"\r\n") + 2:]) == b"" and unpacker.eof
        client.send(get("/web/"))
        bus.respond(bus.hear("request").conn, "next")
        bus.flush()
        assert client.read_response().body == b"next"


@pytest.mark.parametrize("extra", [[], ["--http1.0"]])
def test_curl_unpacks_parts(web, take_seat, extra):
    bus = take_seat(web, ["web"])
    curl = subprocess.Popen([*web.curl, "--compressed", *extra, web.http("/web/")], stdout=subprocess.PIPE)
    conn = bus.hear("request").conn
    bus.respond(conn, TEXT, 200, JSON, more=True)
    for i in range(20):
        bus.body(conn, TEXT, more=i < 19)
    bus.flush()
    assert curl.communicate(timeout=30)[0] == 21 * TEXT
    assert curl.returncode == 0


def test_memory_for_compressors_is_bounded(make_gate, take_seat):
    gate = make_gate(routes=["web=/web/{rest*},gzip=on,half_close=abort"], args=["--max-compress-memory", "200KiB"])
    bus = take_seat(gate, ["web"])
    clients, codings = [], []
    for _ in range(5):
        clients.append(Raw(gate))
        clients[-1].send(get("/web/", headers=["Accept-Encoding: gzip"]))
        bus.respond(bus.hear("request").conn, b"part", 200, JSON, more=True)
        bus.flush()
        codings.append(clients[-1].read_head()[1].get("content-encoding"))
    assert codings == ["gzip", "gzip", None, None, None]
    assert 0 < gate.wsctl("stats")["gate"]["compress_memory"] <= 200 << 10
    for client in clients:
        client.close()
    for _ in range(5):
        bus.hear("aborted")
    assert gate.wsctl("stats")["gate"]["compress_memory"] == 0


# --- larger than what a round packs

MIB = 1 << 20
NOISE = random.Random(2).randbytes(1 << 15).hex().encode()  # 64 KiB that become half
LARGE = NOISE * (8 * MIB // len(NOISE))


def test_a_large_body_is_packed_in_pieces(web, take_seat):
    bus = take_seat(web, ["web"])
    with Raw(web) as client:
        client.send(get("/web/1", headers=["Accept-Encoding: gzip"]) + get("/web/2"))
        seq = bus.respond(bus.hear("request").conn, LARGE, 200, {**JSON, "ETag": '"7"'}, outcome=True)
        bus.flush()
        answer = client.read_response()
        assert (answer.headers["content-encoding"], answer.headers["transfer-encoding"], answer.headers["etag"]) == ("gzip", "chunked", 'W/"7"')
        assert "content-length" not in answer.headers
        assert gzip.decompress(answer.body) == LARGE and len(answer.body) < len(LARGE) * 3 // 4
        outcome, request = sorted((bus.hear("outcome", "request") for _ in range(2)), key=lambda event: event.type)
        assert (outcome.seq, outcome.outcome) == (seq, "written")
        bus.respond(request.conn, "next")
        bus.flush()
        assert client.read_response().body == b"next"
    stats = web.wsctl("stats")
    assert (stats["routes"]["web"]["gzip_from_bytes"], stats["routes"]["web"]["gzip_bytes"]) == (len(LARGE), len(answer.body))
    assert stats["gate"]["compress_memory"] == 0


def test_head_says_what_get_would_of_a_large_body(web, take_seat):
    bus = take_seat(web, ["web"])
    answers = [answered(web, bus, LARGE, JSON, method=method).headers for method in ("GET", "HEAD")]
    for headers in answers:
        del headers["date"], headers["x-request-id"]
    assert answers[0] == answers[1]


def test_a_large_part_is_packed_in_pieces(web, take_seat, tmp_path):
    bus = take_seat(web, ["web"])
    got = tmp_path / "got"
    curl = subprocess.Popen([*web.curl, "--compressed", "-o", got, web.http("/web/")])
    conn = bus.hear("request").conn
    bus.respond(conn, b"", 200, JSON, more=True)
    outcomes = {bus.body(conn, LARGE, outcome=True): None}
    end = bus.body(conn, LARGE, outcome=True, at=len(LARGE), more=False)
    bus.flush()
    while outcomes.get(end) != "written":  # it is refused while more than max_queue waits to be packed
        event = bus.hear("outcome", "writable")
        if event.type == "outcome":
            outcomes[event.seq] = event.outcome
            continue
        assert event.meta["at"] == len(LARGE)
        end = bus.body(conn, LARGE, outcome=True, at=len(LARGE), more=False)
        bus.flush()
    assert sorted(outcomes.values()) in (["dropped", "written", "written"], ["written", "written"])
    assert curl.wait(timeout=30) == 0
    assert got.read_bytes() == 2 * LARGE


def test_a_client_of_http_1_0_gets_a_large_body_as_it_is(web, take_seat):
    bus = take_seat(web, ["web"])
    with Raw(web) as client:
        client.send(b"GET /web/ HTTP/1.0\r\nHost: gate.test\r\nAccept-Encoding: gzip\r\n\r\n")
        bus.respond(bus.hear("request").conn, LARGE, 200, JSON)
        bus.flush()
        answer = client.read_response()
    assert (answer.body, answer.headers["content-length"], answer.headers["vary"]) == (LARGE, str(len(LARGE)), "Accept-Encoding")
    assert "content-encoding" not in answer.headers


def test_the_access_log_counts_what_a_large_body_became(make_gate, take_seat, tmp_path):
    log = tmp_path / "access.log"
    gate = make_gate(routes=["web=/web/{rest*},gzip=on"], args=["--access-log", log, "--access-format", "json"])
    bus = take_seat(gate, ["web"])
    with Raw(gate) as client:
        client.send(get("/web/", headers=["Accept-Encoding: gzip", "Connection: close"]))
        bus.respond(bus.hear("request").conn, LARGE, 200, JSON)
        bus.flush()
        client.read_head()
        size = len(client.read_to_end())
    eventually(lambda: log.exists() and log.read_bytes().endswith(b"\n"), "the line is there")
    line = json.loads(log.read_text())
    assert (line["bytes"], line["complete"], line["route"]) == (size, True, "web")


# --- files


@pytest.fixture
def site(make_gate, tmp_path):
    files = tmp_path / "site"
    (files / "dir.css.gz").mkdir(parents=True)
    (files / "page.html").write_bytes(TEXT)
    (files / "page.html.gz").write_bytes(gzip.compress(TEXT))
    (files / "index.html").write_bytes(b"index")
    (files / "index.html.gz").write_bytes(gzip.compress(b"index"))
    (files / "alone.css").write_bytes(TEXT)
    (files / "dir.css").write_bytes(TEXT)
    (files / "orphan.html.gz").write_bytes(gzip.compress(TEXT))
    for name in ("on", "off"):
        (files / name).mkdir()
        (files / name / "page.html").write_bytes(TEXT)
        (files / name / "page.html.gz").write_bytes(gzip.compress(TEXT))
    config = tmp_path / "gate.conf"
    config.write_text('static "/" {\n directory = "%s"\n gzip_static = on\n}\nstatic "/off/" {\n directory = "%s"\n}\n' % (files, files / "off"))
    gate = make_gate(args=["--config", config])
    gate.files = files
    return gate


def ask(gate, path, *headers, method="GET"):
    with Raw(gate) as client:
        return client.send(get(path, method, headers)).read_response(method)


def test_a_packed_file_stands_for_the_file(site):
    packed = (site.files / "page.html.gz").read_bytes()
    plain, answer = ask(site, "/page.html"), ask(site, "/page.html", "Accept-Encoding: gzip")
    assert (plain.body, answer.body) == (TEXT, packed)
    assert "content-encoding" not in plain.headers and answer.headers["content-encoding"] == "gzip"
    assert plain.headers["content-type"] == answer.headers["content-type"] == "text/html; charset=utf-8"
    assert plain.headers["vary"] == answer.headers["vary"] == "Accept-Encoding"
    assert plain.headers["etag"] != answer.headers["etag"] and not answer.headers["etag"].startswith("W/")
    head = ask(site, "/page.html", "Accept-Encoding: gzip", method="HEAD")
    assert (head.headers["content-length"], head.headers["content-encoding"]) == (str(len(packed)), "gzip")
    assert ask(site, "/", "Accept-Encoding: gzip").headers["content-encoding"] == "gzip"
    for etag, coding in ((answer.headers["etag"], "gzip"), (plain.headers["etag"], "identity")):
        again = ask(site, "/page.html", "Accept-Encoding: " + coding, "If-None-Match: " + etag)
        assert (again.status, again.headers["vary"], again.headers["etag"]) == (304, "Accept-Encoding", etag)
        assert "content-encoding" not in again.headers
    assert ask(site, "/page.html", "Accept-Encoding: gzip", "If-None-Match: " + plain.headers["etag"]).status == 200


def test_a_range_is_of_what_was_chosen(site):
    packed = (site.files / "page.html.gz").read_bytes()
    answer = ask(site, "/page.html", "Accept-Encoding: gzip", "Range: bytes=3-9")
    assert (answer.status, answer.body, answer.headers["content-range"]) == (206, packed[3:10], "bytes 3-9/%d" % len(packed))
    assert (answer.headers["content-encoding"], answer.headers["vary"]) == ("gzip", "Accept-Encoding")
    plain = ask(site, "/page.html", "Range: bytes=3-9")
    assert (plain.status, plain.body, plain.headers["content-range"]) == (206, TEXT[3:10], "bytes 3-9/%d" % len(TEXT))
    etag = ask(site, "/page.html").headers["etag"]  # of the other one: the range is not of that
    whole = ask(site, "/page.html", "Accept-Encoding: gzip", "Range: bytes=3-9", "If-Range: " + etag)
    assert (whole.status, whole.body) == (200, packed)


@pytest.mark.parametrize("path, status, coding, vary", [
    ("/alone.css", 200, None, False), ("/dir.css", 200, None, False), ("/off/page.html", 200, None, False), ("/orphan.html", 404, None, False),
    ("/page.html.gz", 200, None, False)])
def test_where_nothing_stands_beside_a_file(site, path, status, coding, vary):
    answer = ask(site, path, "Accept-Encoding: gzip")
    assert (answer.status, answer.headers.get("content-encoding"), "vary" in answer.headers) == (status, coding, vary)


def test_curl_unpacks_a_file(site):
    run = subprocess.run([*site.curl, "--compressed", site.http("/page.html")], capture_output=True)
    assert (run.stdout, run.returncode) == (TEXT, 0)
