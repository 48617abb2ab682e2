"""Files: what is served, how browsers are saved from reading it twice, and what is never served."""

import email.utils
import os
import subprocess

import pytest

from conftest import BOTH_WIRES
from raw import Raw, upgrade_request

pytestmark = BOTH_WIRES

PAGE = b"<!doctype html><title>hi</title>\n"
DIGITS = bytes(range(48, 58)) * 1000


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """What is to be served lies in `site`; what must never be lies beside it."""
    top = tmp_path_factory.mktemp("files")
    site = top / "site"
    (site / "sub" / "empty").mkdir(parents=True)
    (site / ".git").mkdir()
    (top / "secret.txt").write_text("secret")
    (site / "index.html").write_bytes(PAGE)
    (site / "sub" / "index.html").write_bytes(b"sub")
    (site / "digits.txt").write_bytes(DIGITS)
    (site / "empty.txt").write_bytes(b"")
    (site / "big.bin").write_bytes(os.urandom(5 << 20))
    (site / "with space.txt").write_text("space")
    (site / "grüße.txt").write_text("grüße")
    for name in ("a.css", "a.js", "a.svg", "a.png", "a.json", "a.wasm", "a.unheard-of", "A.HTML"):
        (site / name).write_text("x")
    (site / ".git" / "config").write_text("secret")
    (site / ".htpasswd").write_text("secret")
    (site / "out").symlink_to(top / "secret.txt")
    (site / "up").symlink_to("..")
    (site / "inside").symlink_to("digits.txt")
    os.mkfifo(site / "fifo")
    return top


@pytest.fixture
def site(make_gate, files):
    return make_gate(args=["--static", "/=%s" % (files / "site"), "--static", "/more/=%s" % (files / "site" / "sub")])


def ask(gate, path, *headers, method="GET"):
    with Raw(gate) as client:
        return client.send("\r\n".join(["%s %s HTTP/1.1" % (method, path), "Host: x", *headers, "", ""])).read_response(method)


@pytest.mark.parametrize("path, type_", [
    ("/", "text/html"), ("/index.html", "text/html"), ("/A.HTML", "text/html"), ("/a.css", "text/css"), ("/a.js", "text/javascript"),
    ("/a.svg", "image/svg+xml"), ("/a.png", "image/png"), ("/a.json", "application/json"), ("/a.wasm", "application/wasm"),
    ("/digits.txt", "text/plain"), ("/a.unheard-of", "application/octet-stream")])
def test_types(site, path, type_):
    answer = ask(site, path)
    assert answer.status == 200
    assert answer.headers["content-type"].split(";")[0] == type_
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path, body", [
    ("/", PAGE), ("/sub/", b"sub"), ("/more/", b"sub"), ("/empty.txt", b""), ("/with%20space.txt", b"space"), ("/inside", DIGITS),
    ("/gr%C3%BC%C3%9Fe.txt", "grüße".encode()), ("/digits.txt?v=1", DIGITS)])
def test_bodies(site, path, body):
    answer = ask(site, path)
    assert (answer.status, answer.body) == (200, body)


def test_a_big_file_arrives_whole(site, files):
    run = subprocess.run([*site.curl, site.http("/big.bin")], capture_output=True)
    assert run.stdout == (files / "site" / "big.bin").read_bytes()


def test_head(site):
    get, head = ask(site, "/digits.txt"), ask(site, "/digits.txt", method="HEAD")
    assert (head.status, head.body) == (200, b"")
    for name in ("content-length", "content-type", "etag", "last-modified", "accept-ranges"):
        assert head.headers[name] == get.headers[name]
    assert head.headers["content-length"] == "10000"


def test_many_requests_on_one_connection(site):
    with Raw(site) as client:
        client.send("".join("GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path for path in ("/", "/digits.txt", "/nowhere", "/sub", "/sub/") * 20))
        for _ in range(20):
            assert [client.read_response().status for _ in range(5)] == [200, 200, 404, 301, 200]


def test_a_file_of_the_future_was_modified_now(site, files):
    """RFC 9110 §8.8.2.1: Last-Modified is not later than Date."""
    path = files / "site" / "future.txt"
    path.write_text("from tomorrow")
    os.utime(path, (2 ** 32, 2 ** 32))
    answer = ask(site, "/future.txt")
    date, modified = (email.utils.parsedate_to_datetime(answer.headers[name]) for name in ("date", "last-modified"))
    assert answer.body == b"from tomorrow" and 0 <= (date - modified).total_seconds() <= 2


def test_what_lies_nowhere_is_the_routes(make_gate, files):
    """A directory at / does not hide that a path speaks WebSocket, and serves what lies there all the same."""
    gate = make_gate(routes=["chat=/chat/{room*},kind=websocket", "sub=/sub/,kind=websocket"], args=["--static", "/=%s" % (files / "site")])
    for method in ("GET", "HEAD", "POST"):
        answer = ask(gate, "/chat/x", method=method)
        assert (answer.status, answer.headers["upgrade"]) == (426, "websocket")
    assert ask(gate, "/chat/.git").status == 426
    assert ask(gate, "/nowhere").status == 404
    assert ask(gate, "/sub/").body == b"sub"
    assert ask(gate, "/sub/", method="POST").status == 405
    assert gate.wsctl("stats")["gate"]["refused_by"]["kind"] == 4


def test_conditional_requests(site, files):
    path = files / "site" / "changing.txt"
    path.write_text("one")
    first = ask(site, "/changing.txt")
    etag, modified = first.headers["etag"], first.headers["last-modified"]
    later = email.utils.formatdate(email.utils.mktime_tz(email.utils.parsedate_tz(modified)) + 60, usegmt=True)
    earlier = email.utils.formatdate(email.utils.mktime_tz(email.utils.parsedate_tz(modified)) - 60, usegmt=True)
    for status, headers in [
        (304, ["If-None-Match: " + etag]),
        (304, ['If-None-Match: "x", W/%s, "y"' % etag.removeprefix("W/")]),
        (304, ["If-None-Match: *"]),
        (200, ['If-None-Match: "x"']),
        (304, ["If-Modified-Since: " + modified]),
        (200, ["If-Modified-Since: " + earlier]),
        (200, ["If-Modified-Since: yesterday"]),
        (200, ['If-None-Match: "x"', "If-Modified-Since: " + modified]),  # the tag counts, the date does not
        (412, ['If-Match: "x"']),
        (412, ["If-Unmodified-Since: " + earlier]),
    ]:
        answer = ask(site, "/changing.txt", *headers)
        assert answer.status == status, headers
        assert answer.body == (b"one" if status == 200 else b""), headers
        if status == 304:
            assert answer.headers["etag"] == etag
            assert "content-type" not in answer.headers
    path.write_text("three")
    assert ask(site, "/changing.txt", "If-None-Match: " + etag).body == b"three"


@pytest.mark.parametrize("range_, content_range, body", [
    ("bytes=0-9", "bytes 0-9/10000", DIGITS[:10]),
    ("bytes=9990-", "bytes 9990-9999/10000", DIGITS[9990:]),
    ("bytes=-7", "bytes 9993-9999/10000", DIGITS[-7:]),
    ("bytes=9999-20000", "bytes 9999-9999/10000", b"9"),
    ("bytes=-99999", "bytes 0-9999/10000", DIGITS),
])
def test_range(site, range_, content_range, body):
    answer = ask(site, "/digits.txt", "Range: " + range_)
    assert (answer.status, answer.headers["content-range"], answer.body) == (206, content_range, body)


@pytest.mark.parametrize("range_", ["bytes=10000-", "bytes=-0"])
def test_range_that_cannot_be(site, range_):
    answer = ask(site, "/digits.txt", "Range: " + range_)
    assert (answer.status, answer.headers["content-range"]) == (416, "bytes */10000")


@pytest.mark.parametrize("header", ["bytes=x-y", "lines=1-2", "bytes=5-2", "bytes=0-1,5-6", "bytes="])
def test_range_that_is_passed_over(site, header):
    answer = ask(site, "/digits.txt", "Range: " + header)
    assert (answer.status, answer.body) == (200, DIGITS)


def test_if_range(site):
    etag = ask(site, "/digits.txt").headers["etag"]
    assert ask(site, "/digits.txt", "Range: bytes=0-0", "If-Range: " + etag).status == (200 if etag.startswith("W/") else 206)
    assert ask(site, "/digits.txt", "Range: bytes=0-0", 'If-Range: "other"').status == 200


def test_a_directory_is_redirected(site):
    answer = ask(site, "/sub?x=1")
    assert (answer.status, answer.headers["location"]) == (301, "/sub/?x=1")
    assert ask(site, "/more").headers["location"] == "/more/"


@pytest.mark.parametrize("path", ["//evil.test/sub", "///sub"])
def test_a_redirect_stays_on_this_host(site, path):
    answer = ask(site, path)
    assert not answer.headers.get("location", "").startswith("//"), answer


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_files_are_for_reading(site, method):
    answer = ask(site, "/digits.txt", method=method)
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD, OPTIONS")


NEVER = [
    "/../secret.txt", "/sub/../../secret.txt", "/%2e%2e/secret.txt", "/%2E%2e%2fsecret.txt", "/..%2fsecret.txt", "/%252e%252e/secret.txt",
    "/sub/%2e%2e/%2e%2e/secret.txt", "/..\\secret.txt", "/%5c..%5csecret.txt", "/.%00./secret.txt", "/./../secret.txt",
    "/more/../../secret.txt", "/more../secret.txt", "/out", "/up/secret.txt", "/up/", "/up", "/.git/config", "/.git/", "/.htpasswd", "/%2ehtpasswd",
    "/%2egit/config", "/digits.txt/", "/digits.txt/x", "/digits.txt%00.html", "/fifo", "/" + "x" * 5000, "/sub/empty/", "/\xff", "/%ff",
]


@pytest.mark.parametrize("path", NEVER)
def test_never_served(site, path):
    with Raw(site) as client:
        answer = client.send(("GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path).encode("latin-1")).read_response()
        assert answer.status in (400, 403, 404), answer
        assert b"secret" not in answer.body
        assert answer.status == 400 or "location" not in answer.headers


def test_a_route_comes_before_a_file(make_gate, take_seat, files):
    gate = make_gate(routes=["digits=/digits.txt", "ws=/"], args=["--static", "/=%s" % (files / "site")])
    bus = take_seat(gate, ["digits", "ws"])
    with Raw(gate) as client:
        client.send("GET /digits.txt HTTP/1.1\r\nHost: x\r\n\r\n")
        bus.respond(bus.hear("request").conn, "from the handler")
        bus.flush()
        assert client.read_response().body == b"from the handler"
    assert ask(gate, "/empty.txt").status == 200


def test_the_demo_page(make_gate, take_seat):
    from conftest import BOTH_WIRES, ROOT
    gate = make_gate(routes=["chat=/ws,kind=websocket"], args=["--static", "/=%s" % (ROOT / "examples" / "web")])
    take_seat(gate, ["chat"])
    assert b"<html" in ask(gate, "/").body.lower()
    with Raw(gate) as client:
        client.send(upgrade_request("/ws")).expect_101()


def test_a_body_that_nobody_wants_and_that_does_not_come(make_gate, files):
    """The file leaves, and then the connection ends."""
    gate = make_gate(args=["--static", "/=%s" % (files / "site"), "--head-timeout", "500ms"])
    with Raw(gate) as client:
        client.send("GET /big.bin HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n")
        status, headers = client.read_head()
        client.read(int(headers["content-length"]))
        client.expect_end()
    assert ask(gate, "/").status == 200
